"""A motorised attenuator of the pump: a half-wave plate that turns before a polariser."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

EXTINCTION = 1e-3
"""Transmission of the crossed polariser, the least that can be set. Source: assumed."""

POSITION_NOISE = 0.003
BACKLASH = 0.005
MOVE_S = 0.25
LONG_AGO_NS = -(2**62)


def malus(plate_deg: Floats | float) -> Floats:
    """Transmission behind a half-wave plate at `plate_deg`, any shape: the polarisation turns by twice the angle.

    T = x + (1 - x) cos^2(2 theta) with the extinction x.
    """
    return EXTINCTION + (1 - EXTINCTION) * np.cos(2 * np.radians(plate_deg)) ** 2


def plate_deg(transmission: float) -> float:
    """Return the plate's angle, 0 to 45 degrees, that transmits `transmission`. Raises ValueError out of range."""
    if not EXTINCTION <= transmission <= 1:
        raise ValueError(f"transmission {transmission} is not within {EXTINCTION} and 1")
    return math.degrees(math.acos(math.sqrt((transmission - EXTINCTION) / (1 - EXTINCTION)))) / 2


class Attenuator:
    """Transmits what it was set to, within 0.3 % from move to move, and 0.5 % more when it was reached from above.

    It is calibrated upwards. The backlash is play: after a reversal the plate stays until the motor has gone through it. During
    a move (0.25 s) the transmission changes linearly. Figures: assumed.

    Parameters
    ----------
    seed : of the positioning noise, one draw per move
    transmission : where it stands at first, exactly; `EXTINCTION` to 1
    """

    def __init__(self, seed: int | np.random.SeedSequence, transmission: float = 1.0) -> None:
        self.setting = _checked(transmission)
        self._reached = math.log(transmission)
        self._noise = np.random.Generator(np.random.SFC64(seed))
        self._knot_ns = np.array([LONG_AGO_NS], np.int64)
        self._knot = np.array([transmission])
        self._asked_ns = LONG_AGO_NS

    @property
    def arrival_ns(self) -> int:
        """Time at which the last move is over (ns)."""
        return int(self._knot_ns[-1])

    def set_transmission(self, transmission: float, t_ns: int) -> None:
        """Start to move to `transmission` at `t_ns`, from wherever it is then; nothing moves when that is the setting already.

        Raises ValueError outside of `EXTINCTION` to 1, and when t decreases.
        """
        if t_ns < self._asked_ns:
            raise ValueError(f"the attenuator is set at {t_ns} ns, after {self._asked_ns} ns")
        if _checked(transmission) == self.setting:
            return
        here = float(self.transmission(np.array([t_ns]))[0])
        self.setting, self._asked_ns = transmission, t_ns
        wanted = math.log(transmission)
        self._reached = min(max(self._reached, wanted), wanted + BACKLASH)
        landed = min(1.0, math.exp(self._reached) * (1 + POSITION_NOISE * float(self._noise.standard_normal())))
        before = self._knot_ns < t_ns
        self._knot_ns = np.append(self._knot_ns[before], [t_ns, t_ns + round(MOVE_S * 1e9)])
        self._knot = np.append(self._knot[before], [here, landed])

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the true transmission at `t_ns` (n,), any order."""
        since_ns = t_ns - self._knot_ns[-1]  # differences, as float64 cannot hold ns over more than 100 days
        return np.interp(since_ns, self._knot_ns - self._knot_ns[-1], self._knot)


def _checked(transmission: float) -> float:
    plate_deg(transmission)
    return transmission
