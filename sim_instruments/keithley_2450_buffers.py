"""What a Keithley 2450 has measured: readings, reading buffers, and how both are sent.

Source: 2450-901-01 rev B, sections 3 and 6 (TRACe, FETCh?, FORMat) and 8 (status bits); the forms of dates, units and
formatted values are from memory, unverified.
"""

import statistics
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from sim_instruments.keithley_2450_log import POWER_ON, moment
from sim_instruments.scpi import ScpiError, parse_word

OVERFLOW = 9.9e37
MIN_POINTS = 10
MAX_POINTS = 4_500_000  # of all buffers together; from memory, unverified
MAX_NAME = 31
MAX_ELEMENTS = 14
AUTOMATIC_DIGITS = 7
STAT_TERMINAL, STAT_LIMIT, STAT_SENSE, STAT_OUTPUT = 8, 32, 64, 128
STYLES = ("STANdard", "COMPact", "FULL", "WRITable", "FULLWRITable")
ELEMENTS = (
    *("DATE", "FORMatted", "FRACtional", "READing", "RELative", "SEConds", "SOURce", "SOURFORMatted", "SOURSTATus"),
    *("SOURUNIT", "STATus", "TIME", "TSTamp", "UNIT"),
)
_BINARY = ("READ", "REL", "SOUR")
_UNITS = {"VOLT": ("Volt DC", "V"), "CURR": ("Amp DC", "A"), "RES": ("Ohm", "Ohm"), "WATT": ("Watt DC", "W")}
_PREFIXES = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))


class Reading(NamedTuple):
    """One measurement: `value` in the unit of `function` (or WATT), `source` in that of `source_function`, and when."""

    value: float
    source: float
    t_ns: int
    function: str
    source_function: str
    status: int
    source_status: int


@dataclass(frozen=True, slots=True)
class Form:
    """How numbers are sent: ASC, REAL (8 bytes) or SRE (4 bytes), SWAP or NORM, significant digits (0: automatic)."""

    data_format: str
    byte_order: str
    precision: int

    def number(self, value: float) -> str:
        """ASCII form, e.g. `-1.375422E-11`."""
        return f"{value:.{(self.precision or AUTOMATIC_DIGITS) - 1}E}"


@dataclass
class ReadingBuffer:
    """A named store of readings; full, it keeps the newest (continuous) or the oldest ones."""

    name: str
    capacity: int
    continuous: bool
    style: str = "STAN"
    log_state: bool = True
    readings: deque[Reading] = field(default_factory=deque[Reading])

    def add(self, reading: Reading) -> None:
        """Take a reading; a full buffer that is filled once takes none."""
        if len(self.readings) >= self.capacity:
            if not self.continuous:
                return
            self.readings.popleft()
        self.readings.append(reading)

    def resize(self, capacity: int) -> None:
        """Change the capacity; what it holds is lost."""
        self.capacity = capacity
        self.readings.clear()

    def between(self, first: int, last: int) -> list[Reading]:
        """Readings with numbers first..last, counted from 1; ScpiError -222 when there are none such."""
        if not 1 <= first <= last <= len(self.readings):
            raise ScpiError(-222)
        return list(islice(self.readings, first - 1, last))


@dataclass
class Buffers:
    """All reading buffers of the instrument; the active one is the last made."""

    default_points: int
    buffers: dict[str, ReadingBuffer] = field(default_factory=dict[str, ReadingBuffer])

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the user's buffers and empty the others."""
        names = ("defbuffer1", "defbuffer2")
        self.buffers = {name: ReadingBuffer(name, self.default_points, True) for name in names}

    def find(self, name: str) -> ReadingBuffer:
        """Return a buffer by name, in any case of letters; ScpiError -224 when there is none (code assumed)."""
        buffer = self.buffers.get(name.lower())
        if buffer is None:
            raise ScpiError(-224)
        return buffer

    def make(self, name: str, points: int, style: str) -> None:
        """Add a buffer; ScpiError 1115 for a name in use, -225 when the memory does not suffice (code assumed)."""
        if name.lower() in self.buffers:
            raise ScpiError(1115)
        if not 1 <= len(name) <= MAX_NAME:
            raise ScpiError(-154 if name else -109)
        self._check_room(points)
        self.buffers[name.lower()] = ReadingBuffer(name, points, False, style)

    def resize(self, buffer: ReadingBuffer, points: int) -> None:
        """Change a capacity."""
        self._check_room(points - buffer.capacity)
        buffer.resize(points)

    def delete(self, name: str) -> None:
        """Remove a user's buffer; ScpiError -224 for the two that always exist (code assumed)."""
        if name.lower() in ("defbuffer1", "defbuffer2"):
            raise ScpiError(-224)
        del self.buffers[self.find(name).name.lower()]

    def _check_room(self, points: int) -> None:
        if sum(buffer.capacity for buffer in self.buffers.values()) + points > MAX_POINTS or len(self.buffers) > 100:
            raise ScpiError(-225)


# --- how readings are sent ------------------------------------------------------------------------------------------


def parse_elements(params: Sequence[str]) -> tuple[str, ...]:
    """Short names of buffer elements, READ when none is asked for; ScpiError 1133 for an unknown one, -223 for too many."""
    if len(params) > MAX_ELEMENTS:
        raise ScpiError(-223)
    try:
        return tuple(parse_word(p, ELEMENTS) for p in params) or ("READ",)
    except ScpiError:
        raise ScpiError(1133) from None


def _engineering(value: float, symbol: str) -> str:
    factor, prefix = next(((f, p) for f, p in _PREFIXES if abs(value) >= f), _PREFIXES[-1])
    return f"{value / factor:+.5f} {prefix}{symbol}"


def _stamp(reading: Reading, pattern: str) -> str:
    """Date and time with all nine places of the second."""
    return f"{moment(reading.t_ns).strftime(pattern)}.{reading.t_ns % 1_000_000_000:09d}"


def _seconds(reading: Reading) -> int:
    return int((POWER_ON - type(POWER_ON)(1970, 1, 1)).total_seconds()) + reading.t_ns // 1_000_000_000


_Element = Callable[[Reading, int, Form], str]
_TEXTS: dict[str, _Element] = {
    "READ": lambda r, t0, form: form.number(r.value),
    "SOUR": lambda r, t0, form: form.number(r.source),
    "REL": lambda r, t0, form: form.number((r.t_ns - t0) * 1e-9),
    "FRAC": lambda r, t0, form: form.number(r.t_ns % 1_000_000_000 * 1e-9),
    "SEC": lambda r, t0, form: str(_seconds(r)),
    "DATE": lambda r, t0, form: moment(r.t_ns).strftime("%m/%d/%Y"),
    "TIME": lambda r, t0, form: _stamp(r, "%H:%M:%S"),
    "TST": lambda r, t0, form: _stamp(r, "%m/%d/%Y %H:%M:%S"),
    "STAT": lambda r, t0, form: str(r.status),
    "SOURSTAT": lambda r, t0, form: str(r.source_status),
    "UNIT": lambda r, t0, form: _UNITS[r.function][0],
    "SOURUNIT": lambda r, t0, form: _UNITS[r.source_function][0],
    "FORM": lambda r, t0, form: _engineering(r.value, _UNITS[r.function][1]),
    "SOURFORM": lambda r, t0, form: _engineering(r.source, _UNITS[r.source_function][1]),
}
_NUMBERS: dict[str, Callable[[Reading, int], float]] = {
    "READ": lambda r, t0: r.value,
    "SOUR": lambda r, t0: r.source,
    "REL": lambda r, t0: (r.t_ns - t0) * 1e-9,
}


def format_readings(readings: Iterable[Reading], elements: Sequence[str], origin_ns: int, form: Form) -> bytes:
    """Return readings element by element, times relative to `origin_ns`; ScpiError 1133 for text in a binary format."""
    if form.data_format == "ASC":
        return ",".join(_TEXTS[name](reading, origin_ns, form) for reading in readings for name in elements).encode()
    if any(name not in _BINARY for name in elements):
        raise ScpiError(1133)
    numbers = [_NUMBERS[name](reading, origin_ns) for reading in readings for name in elements]
    order = "<" if form.byte_order == "SWAP" else ">"
    return b"#0" + struct.pack(f"{order}{len(numbers)}{'d' if form.data_format == 'REAL' else 'f'}", *numbers)


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "AVERage": statistics.fmean,
    "MAXimum": max,
    "MINimum": min,
    "PK2Pk": lambda values: max(values) - min(values),
    "STDDev": lambda values: statistics.stdev(values) if len(values) > 1 else 0.0,
}
