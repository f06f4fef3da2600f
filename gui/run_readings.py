"""What source and energy meter measured during a run, on the time axis of the traces, with the age of the last reading."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gui.growing_array import GrowingArray
from gui.run_clock import RunClock
from rig.runfile import Run

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Arrays (n,) in the order of measurement: time on the axis of the traces (s), V, A, whether the current was limited."""

    time_s: Floats
    voltage_v: Floats
    current_a: Floats
    compliance: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Energies:
    """Arrays (n,): time on the axis of the traces (s), pulse energy at the meter (uJ)."""

    time_s: Floats
    energy_uj: Floats


class RunReadings:
    """Readings and energies of one run; only new rows of the source are read."""

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock
        self._t_ns = GrowingArray("i8")
        self._voltage_v = GrowingArray("f8")
        self._current_a = GrowingArray("f8")
        self._compliance = GrowingArray("?")
        self._energy_t_ns = np.empty(0, np.int64)
        self._energy_uj = np.empty(0)

    def __len__(self) -> int:
        return len(self._t_ns)

    def poll(self, run: Run) -> bool:
        """Read what is new of the source's readings; tell whether there was any; raises RecordError."""
        rows = run.readings_from(len(self))
        self._t_ns.append(rows["t_ns"])
        self._voltage_v.append(rows["voltage_v"])
        self._current_a.append(rows["current_a"])
        self._compliance.append(rows["compliance"] != 0)
        return len(rows) > 0

    def poll_energies(self, run: Run) -> None:
        """Read the energies; raises RecordError."""
        rows = run.energies
        self._energy_t_ns, self._energy_uj = rows["t_ns"].copy(), rows["energy_uj"].copy()

    @property
    def readings(self) -> Readings:
        """Get all readings so far."""
        return Readings(
            self._clock.axis_s(self._t_ns.values), self._voltage_v.values, self._current_a.values, self._compliance.values
        )

    @property
    def energies(self) -> Energies:
        """Get all energies so far."""
        return Energies(self._clock.axis_s(self._energy_t_ns), self._energy_uj)

    def age_s(self, newest_host_ns: int) -> float | None:
        """How long before the newest frame (host time, ns) the last reading was made (s, >= 0); None without one."""
        if not len(self):
            return None
        return max(0.0, (newest_host_ns - int(self._t_ns.values[-1])) * 1e-9)
