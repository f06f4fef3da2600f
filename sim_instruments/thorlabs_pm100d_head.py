"""The pyroelectric head of a PM100D and the peak detector behind it: from light to peak voltages.

Source: kinds and flags of heads from the maker's instrument driver (header); every figure of the ES111C and of the console's
ranges from memory, unverified. Assumed: the responsivity, see Head; its slope with wavelength; a full-scale peak is not yet
an overload; a peak is there as soon as its pulse is.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_instruments.energy_meter import EnergyMeter

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

PUMP_NM = 400.0
VOLTAGE_RANGES_V = (0.1, 1.0, 10.0, 100.0)
SLOPE = 0.02  # of the responsivity, per e-fold of the wavelength
IS_ENERGY, RESPONSIVITY_SETTABLE, WAVELENGTH_SETTABLE = 2, 16, 32
PYROELECTRIC, STANDARD = 3, 2


@dataclass(frozen=True, slots=True)
class Head:
    """What is written in a head's memory.

    The responsivity is a hundredfold and more of a real ES111C's, which measures from 10 uJ upwards (from memory, unverified):
    the pulses of the simulated bench, 0.4 uJ, would not trigger a real one.

    Parameters
    ----------
    name, serial, calibrated  as SYST:SENS:IDN? shows them; the serial number fixes the gain error
    wavelength_nm             shortest and longest calibrated wavelength
    responsivity_v_per_j      peak voltage per energy at 400 nm (V/J)
    max_rate_hz               pulses that follow faster are not measured
    """

    name: str = "ES111C"
    serial: str = "1501012"
    calibrated: str = "11-Nov-2025"
    kind: int = PYROELECTRIC
    subkind: int = STANDARD
    flags: int = IS_ENERGY | RESPONSIVITY_SETTABLE | WAVELENGTH_SETTABLE
    wavelength_nm: tuple[float, float] = (185.0, 25_000.0)
    responsivity_v_per_j: float = 1e5
    max_rate_hz: float = 40.0

    def responsivity(self, wavelength_nm: float) -> float:
        """Return the calibrated responsivity (V/J) at a wavelength (nm)."""
        return self.responsivity_v_per_j * (1 + SLOPE * math.log(wavelength_nm / PUMP_NM))


@dataclass(frozen=True, slots=True)
class Peak:
    """A pulse above the trigger level: when (ns), and its voltage (V), None where it followed too fast to be measured."""

    t_ns: int
    voltage_v: float | None


class Detector:
    """Looks at every pulse that comes through the beam, measured or not.

    Pulses may be announced before their time; they wait, and nothing is kept of those that are over.

    Parameters
    ----------
    seed  of the noise
    """

    def __init__(self, head: Head, seed: int) -> None:
        self.head = head
        self.threshold_v = 0.0
        self._meter = EnergyMeter(seed, head.serial, head.max_rate_hz)
        self._waiting: deque[tuple[TimesNs, Floats]] = deque()

    @property
    def gain(self) -> float:
        """Get by how much this head reads too high (1: right)."""
        return self._meter.gain

    @property
    def waiting(self) -> int:
        """Get how many pulses are announced and not over."""
        return sum(len(t_ns) for t_ns, _ in self._waiting)

    def witness(self, t_ns: TimesNs, energy_uj: Floats) -> None:
        """Be told of pulses (n,), in the order of time."""
        if len(t_ns):
            self._waiting.append((np.array(t_ns, np.int64), np.array(energy_uj, np.float64)))

    def pass_until(self, t_ns: int) -> None:
        """Let all pulses up to and including `t_ns` go by."""
        while self._waiting and self._waiting[0][0][0] <= t_ns:
            self._measure(*self._take(t_ns, everything=True))

    def next_peak(self, until_ns: int) -> Peak | None:
        """Return the next pulse up to and including `until_ns` that triggers, None when there is none."""
        while self._waiting and self._waiting[0][0][0] <= until_ns:
            t_ns, energy_uj = self._take(until_ns, everything=False)
            triggered, voltage_v = self._measure(t_ns, energy_uj)
            if triggered:
                return Peak(int(t_ns[0]), float(voltage_v[0]) if len(voltage_v) else None)
        return None

    def _take(self, until_ns: int, *, everything: bool) -> tuple[TimesNs, Floats]:
        t_ns, energy_uj = self._waiting.popleft()
        count = int(np.searchsorted(t_ns, until_ns, side="right")) if everything else 1
        if count < len(t_ns):
            self._waiting.appendleft((t_ns[count:], energy_uj[count:]))
        return t_ns[:count], energy_uj[:count]

    def _measure(self, t_ns: TimesNs, energy_uj: Floats) -> tuple[int, Floats]:
        """Return how many pulses triggered, and the voltages (V) of those that were measured."""
        volts_per_uj = 1e-6 * self.head.responsivity(PUMP_NM)
        above = (energy_uj * volts_per_uj >= self.threshold_v) & (energy_uj > 0)
        _, read_uj = self._meter.read(t_ns[above], energy_uj[above])
        return int(above.sum()), read_uj * volts_per_uj
