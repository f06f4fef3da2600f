"""What a Keithley 2400 has measured: readings, the data store, and how both are sent."""

import statistics
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sim_instruments.keithley_2400_settings import Settings, Standing

NAN = 9.91e37  # the manual's "not a number"
OVERFLOW = 9.9e37
TIME_WRAP_S = 99_999.999

# bits of the status word of a reading
STAT_OVERFLOW, STAT_FILTER, STAT_FRONT, STAT_COMPLIANCE, STAT_PROTECTION = (1 << bit for bit in range(5))
STAT_V_MEASURED, STAT_I_MEASURED, STAT_OHMS, STAT_V_SOURCE, STAT_I_SOURCE = (1 << bit for bit in range(11, 16))
STAT_RANGE_COMPLIANCE, STAT_FOUR_WIRE = 1 << 16, 1 << 22


class Reading(NamedTuple):
    """One source-measure cycle; what was not measured is +9.91E37.

    Time is counted from switch-on or SYST:TIME:RES (s). `status` is the word of STAT_ bits.
    """

    voltage_v: float
    current_a: float
    resistance_ohm: float
    time_s: float
    status: int


_ELEMENT_FIELD = {"VOLT": 0, "CURR": 1, "RES": 2, "TIME": 3, "STAT": 4}


def format_readings(readings: Iterable[Reading], settings: Settings) -> bytes:
    """Return readings as FORM:ELEM, FORM:DATA and FORM:BORD ask for: ASCII, or `#0` and 4-byte floats."""
    fields = [_ELEMENT_FIELD[name] for name in settings.elements]
    numbers = [float(reading[i]) for reading in readings for i in fields]
    if settings.data_format == "ASC":
        return ",".join(f"{number:+.6E}" for number in numbers).encode()
    order = ">" if settings.byte_order == "NORM" else "<"
    return b"#0" + struct.pack(f"{order}{len(numbers)}f", *numbers)


_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "MEAN": statistics.fmean,
    "SDEV": lambda numbers: statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
    "MAX": max,
    "MIN": min,
    "PKPK": lambda numbers: max(numbers) - min(numbers),
}


def format_statistic(readings: Sequence[Reading], settings: Settings) -> bytes:
    """Return the chosen statistic of voltage, current and resistance in that order; +9.91E37 for what was not measured.

    Source: 2400S-900-01 rev K, data store; that all three are always sent is assumed (PyMeasure counts on it).
    """
    columns = zip(*(reading[:3] for reading in readings), strict=True)
    values = (NAN if NAN in column else _STATISTICS[settings.statistic](column) for column in columns)
    return ",".join(f"{value:+.6E}" for value in values).encode()


@dataclass
class Store:
    """The readings of the last run (for FETC?) and the data store (for TRAC:DATA?)."""

    latest: list[Reading] = field(default_factory=list)
    stored: list[Reading] = field(default_factory=list)
    active: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Store":
        return Store(list(self.latest), list(self.stored), self.active)

    def add(self, reading: Reading, standing: Standing) -> bool:
        """Take a reading; True when it filled the data store, which ends storage.

        FETC? keeps at most the 2500 newest readings of an endless run (assumed).
        """
        self.latest.append(reading)
        if len(self.latest) > 2500:
            del self.latest[0]
        if not self.active:
            return False
        self.stored.append(reading)
        if len(self.stored) < standing.buffer_points:
            return False
        self.active = False
        standing.buffer_control = "NEV"
        return True

    def stamped(self, time_format: str) -> Sequence[Reading]:
        """Return stored readings with times from the first one (ABS) or from the one before (DELT)."""
        if not self.stored:
            return ()
        origins = [self.stored[0], *(self.stored if time_format == "DELT" else [self.stored[0]] * len(self.stored))]
        return [r._replace(time_s=(r.time_s - o.time_s) % TIME_WRAP_S) for r, o in zip(self.stored, origins, strict=False)]
