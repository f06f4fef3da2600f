"""A pulse energy meter behind the attenuator, and the area that turns its readings into fluence."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

READING_NOISE = 0.005
GAIN_ERROR = 0.02
AREA_ERROR = 0.05
MAX_RATE_HZ = 40.0
"""Of a pyroelectric head. Source: from memory, unverified."""


def true_area_cm2(entered_cm2: float, bench: str) -> float:
    """Return the spot's true area (cm2) on a bench where somebody entered `entered_cm2`: 5 % off, for all of its data alike.

    Who divides a measured energy by the entered area is wrong by the ratio at every voltage. Source: assumed.
    """
    return entered_cm2 * float(np.exp(AREA_ERROR * _deviate("spot area", bench)))


class EnergyMeter:
    """A triggered head: 2 % gain error, fixed by the serial number, and 0.5 % noise, one draw per reading. Figures: assumed.

    Parameters
    ----------
    seed : of the noise
    serial : fixes the gain
    max_rate_hz : readings closer than this are not taken
    """

    def __init__(self, seed: int | np.random.SeedSequence, serial: str = "EM0001", max_rate_hz: float = MAX_RATE_HZ) -> None:
        self.gain = 1 + GAIN_ERROR * _deviate("energy meter", serial)
        self.period_ns = int(np.ceil(1e9 / max_rate_hz))
        self._noise = np.random.Generator(np.random.SFC64(seed))
        self._last_ns: int | None = None
        self._ready_ns: int | None = None

    def read(self, t_ns: TimesNs, energy_uj: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return which of the pulses at `t_ns` (n,) with `energy_uj` (n,) were read, as indices (r,), and the readings (uJ, r).

        A trigger without a pulse (0 uJ) takes a reading, 0. Times do not decrease over all calls, however these are divided;
        ValueError otherwise.
        """
        if len(t_ns):
            if (self._last_ns is not None and t_ns[0] < self._last_ns) or (np.diff(t_ns) < 0).any():
                raise ValueError("the meter's triggers must come in the order of time")
            self._last_ns = int(t_ns[-1])
        index = self._taken(t_ns)
        noise = self._noise.standard_normal(len(index))
        return index, energy_uj[index] * self.gain * (1 + READING_NOISE * noise)

    def _taken(self, t_ns: TimesNs) -> NDArray[np.intp]:
        taken: list[int] = []
        following = 0 if self._ready_ns is None else int(np.searchsorted(t_ns, self._ready_ns))
        while following < len(t_ns):
            taken.append(following)
            self._ready_ns = int(t_ns[following]) + self.period_ns
            following = int(np.searchsorted(t_ns, self._ready_ns))
        return np.array(taken, np.intp)


def _deviate(kind: str, serial: str) -> float:
    """Standard normal deviate that belongs to one thing for good."""
    digest = hashlib.sha256(f"{kind}/{serial}".encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:16], "big")).standard_normal())
