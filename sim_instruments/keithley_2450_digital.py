"""The six digital lines of a Keithley 2450 (DB-9): edges in, pulses out.

Source: 2450-901-01 rev B and 2461-901-01 rev A, DIGital and TRIGger:DIGital subsystems. Input levels (0.7 V, 3.7 V) and
output levels (5 V through no stated resistance): data sheet from memory, unverified. Minimum pulse width: assumed.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.scpi import ScpiError

LINES = 6
LOW_MAX_V = 0.7
HIGH_V = (3.7, 5.25)
MIN_PULSE_NS = 2_000
# OutputPulses gives levels into 50 ohm, doubled into a high impedance, which is all this output can drive
HIGH_HALF_V, LOW_HALF_V = 5.0 / 2, 0.0
LINE_TYPES = ("DIGital", "TRIGger", "SYNChronous")
DIRECTIONS = ("IN", "OUT", "OPENdrain", "MASTer", "ACCeptor")
_ALLOWED = {"DIG": ("IN", "OUT", "OPEN"), "TRIG": ("IN", "OUT", "OPEN"), "SYNC": ("MAST", "ACC")}
_OPPOSITE = {"FALL": "RIS", "RIS": "FALL"}


@dataclass
class Line:
    """One line: its settings, the level outside (pulled up), what its detector has seen."""

    kind: str = "DIG"
    direction: str = "IN"
    driven: bool = False
    edge: str = "FALL"
    logic: str = "NEG"
    width_s: float = 10e-6
    stimulus: str = "NONE"
    outside: bool = True
    detected: bool = False
    overrun: bool = False

    @property
    def level(self) -> bool:
        """Get what the line reads: what it drives, or what comes from outside."""
        if self.direction == "OUT":
            return self.driven
        return self.outside and (self.driven or self.direction != "OPEN")

    @property
    def listens(self) -> bool:
        """Get whether edges from outside are trigger events."""
        return self.kind in ("TRIG", "SYNC") and self.direction != "OUT"

    def set_mode(self, kind: str, direction: str) -> None:
        """Set type and direction; ScpiError -221 when they do not go together (code assumed)."""
        if direction not in _ALLOWED[kind]:
            raise ScpiError(-221)
        self.kind, self.direction = kind, direction
        self.driven = direction == "OPEN"

    def drive(self, high: bool) -> None:
        """Set the level; ScpiError -221 on a line that is an input (the maker warns; code assumed)."""
        if self.kind != "DIG" or self.direction == "IN":
            raise ScpiError(-221)
        self.driven = high


@dataclass
class DigitalPort:
    """All lines, the edges that are still to come, the pulses not fetched yet."""

    lines: dict[int, Line] = field(default_factory=lambda: {n: Line() for n in range(1, LINES + 1)})
    edges: deque[tuple[int, int, str]] = field(default_factory=deque[tuple[int, int, str]])
    pulses: list[tuple[int, int, int, str]] = field(default_factory=list[tuple[int, int, int, str]])

    def reset(self) -> None:
        """*RST: all lines are digital inputs; what lies outside stays as it is."""
        self.lines = {n: Line(outside=line.outside) for n, line in self.lines.items()}

    def line(self, number: int) -> Line:
        """Return a line; ScpiError -114 for one that does not exist."""
        if number not in self.lines:
            raise ScpiError(-114)
        return self.lines[number]

    def arrive(self, number: int, edges: Edges) -> None:
        """Pulses come in on a line; too weak or too narrow ones are not seen."""
        if not (edges.low_v <= LOW_MAX_V and HIGH_V[0] <= edges.high_v <= HIGH_V[1]):
            return
        wide = np.abs(edges.rise_ns - edges.fall_ns) >= MIN_PULSE_NS
        new = [(int(t), number, "RIS") for t in edges.rise_ns[wide]] + [(int(t), number, "FALL") for t in edges.fall_ns[wide]]
        if new:
            self.edges = deque(sorted([*self.edges, *new]))

    def take_edge(self) -> str | None:
        """Let the next edge happen; return the trigger event it is, if it is one."""
        _, number, edge = self.edges.popleft()
        line = self.lines[number]
        line.outside = edge == "RIS"
        if not line.listens or line.edge == _OPPOSITE[edge]:
            return None
        line.overrun |= line.detected
        line.detected = True
        return f"DIG{number}"

    def forget(self, event: str) -> None:
        """The trigger model has taken an event: its line's detector is free again."""
        if event.startswith("DIG"):
            self.lines[int(event[3:])].detected = False

    def stimulate(self, event: str, t_ns: int) -> None:
        """Send a pulse from every trigger output that an event stimulates."""
        for number, line in self.lines.items():
            sends = line.stimulus == event and line.kind == "TRIG" and line.direction != "IN"
            if sends and line.width_s > 0 and len(self.pulses) < 1_000_000:
                self.pulses.append((number, t_ns, t_ns + round(line.width_s * 1e9), line.logic))

    def fetch(self) -> dict[str, OutputPulses]:
        """Return the pulses since last time, by connector; a line's logic is the one of its last pulse."""
        if not self.pulses:
            return {}
        pulses, self.pulses = self.pulses, []
        sent: dict[str, OutputPulses] = {}
        for number in self.lines:
            own = [pulse for pulse in pulses if pulse[0] == number]
            if own:
                begin_ns = np.asarray([begin for _, begin, _, _ in own], dtype=np.int64)
                end_ns = np.asarray([end for _, _, end, _ in own], dtype=np.int64)
                idle_v, active_v = (HIGH_HALF_V, LOW_HALF_V) if own[-1][3] == "NEG" else (LOW_HALF_V, HIGH_HALF_V)
                sent[f"digital_io_{number}"] = OutputPulses(begin_ns, end_ns, idle_v, active_v)
        return sent

    def read(self) -> int:
        """Levels of all lines as bits; ScpiError -221 unless all are for digital control (code assumed)."""
        self._check_all_digital()
        return sum(line.level << (number - 1) for number, line in self.lines.items())

    def write(self, pattern: int) -> None:
        """Set all lines; ScpiError -221 unless all are for digital control (code assumed)."""
        self._check_all_digital()
        for number, line in self.lines.items():
            line.driven = bool(pattern >> (number - 1) & 1)

    def write_masked(self, pattern: int, mask: int) -> None:
        """Set the lines of `mask` that are digital outputs."""
        for number, line in self.lines.items():
            if mask >> (number - 1) & 1 and line.kind == "DIG" and line.direction != "IN":
                line.driven = bool(pattern >> (number - 1) & 1)

    def _check_all_digital(self) -> None:
        if any(line.kind != "DIG" for line in self.lines.values()):
            raise ScpiError(-221)
