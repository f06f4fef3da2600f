"""Event log and status registers of a Keithley 2450.

The operation and questionable registers have no bits of their own: MAP says which event sets and which clears a bit.
Source: 2450-901-01 rev B and 2461-901-01 rev A, SYSTem:EVENtlog, STATus and appendix C (event numbers); the reply of an empty
log as programs for this family of instruments meet it; that 4915 is an error: from memory, unverified. Numbers marked so are
assumed.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sim_instruments.scpi import STANDARD_ERRORS

LOG_DEPTH = 1000  # from memory, unverified; the oldest entry makes room (assumed)
EMPTY = '0,"No error;0;0 0"'
POWER_ON = datetime(2025, 1, 1)  # what the simulated clock shows at 0 ns
ERROR, WARNING, INFORMATION = 1, 2, 4
NO_TRIGGER_MODEL = 2710  # number assumed, wording as users report it
ABORTED, FAILED, STARTED, COMPLETED = 2728, 2730, 2731, 2732
LOGGED = {INFORMATION: 2734, WARNING: 2738, ERROR: 2742}  # by a block of the trigger model; the first of four
PAST_CAPACITY, EMPTIED, FILLED = 4915, 4917, 4918
LAST_EVENT = 32_767  # a number that may be mapped; assumed
MAPPED_BITS = 15
LIST_MISSING, INTERLOCK = 2790, 5074

TEXTS: dict[int, tuple[str, int]] = {
    **{code: (text, ERROR) for code, text in STANDARD_ERRORS.items()},
    1115: ("Parameter error: TRACe:MAKE cannot take an existing reading buffer name", ERROR),
    1133: ("Parameter 4, Syntax error, expected valid name parameters", ERROR),
    NO_TRIGGER_MODEL: ("No trigger model found", ERROR),
    ABORTED: ("Trigger model aborted", INFORMATION),  # wording assumed
    STARTED: ("Trigger model running", INFORMATION),  # wording assumed
    COMPLETED: ("Trigger model completed", INFORMATION),  # wording assumed
    FAILED: ("Trigger model failed", INFORMATION),  # wording assumed
    PAST_CAPACITY: ("Attempting to store past capacity of reading buffer", ERROR),
    LIST_MISSING: ("Configuration list, error, does not exist", ERROR),
    INTERLOCK: ("Output voltage limited by interlock", WARNING),
}
_ESR_BIT = {1: 5, 2: 4, 3: 3, 4: 2}  # command, execution, device, query error, by the hundreds of the code


def moment(t_ns: int) -> datetime:
    """What the instrument's clock shows (cut to microseconds)."""
    return POWER_ON + timedelta(microseconds=t_ns // 1000)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log."""

    code: int
    text: str
    kind: int
    t_ns: int

    def __str__(self) -> str:
        stamp = moment(self.t_ns).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
        return f'{self.code},"{self.text};{self.kind};{stamp}"'


@dataclass
class Register:
    """Condition, event and enable registers, and the user's own mapping: bit -> events that set and clear it, 0 for none."""

    condition: int = 0
    event: int = 0
    enable: int = 0
    mapped: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])

    @property
    def summary(self) -> bool:
        """Get whether an enabled event has happened."""
        return bool(self.event & self.enable)

    def notice(self, code: int) -> None:
        """An event has happened."""
        for bit, (sets, clears) in self.mapped.items():
            if code == clears:
                self.condition &= ~(1 << bit)
            if code == sets:
                self.condition |= 1 << bit
                self.event |= 1 << bit

    def read_event(self) -> int:
        """Return the event register and clear it."""
        event, self.event = self.event, 0
        return event


@dataclass
class Status:
    """Event log, standard event register, enables."""

    entries: deque[Event] = field(default_factory=lambda: deque[Event](maxlen=LOG_DEPTH))
    standard_event: int = 1 << 7  # power on
    standard_enable: int = 0
    service_enable: int = 0
    operation: Register = field(default_factory=Register)
    questionable: Register = field(default_factory=Register)

    def report(self, code: int, t_ns: int) -> None:
        """Log an event of the instrument's own; errors set their bit of the standard event register."""
        text, kind = TEXTS[code]
        self.post(text, kind, t_ns, code)
        if kind == ERROR:
            self.standard_event |= 1 << (_ESR_BIT.get(-code // 100, 3) if code < 0 else 3)

    def post(self, text: str, kind: int, t_ns: int, code: int = 1003) -> None:
        """Log anything; bits that are mapped to it follow."""
        self.entries.append(Event(code, text, kind, t_ns))
        self.notice(code)

    def notice(self, code: int) -> None:
        """Let the mapped bits follow an event that need not be in the log."""
        for register in (self.operation, self.questionable):
            register.notice(code)

    def complete(self) -> None:
        """Note the completion that *OPC asked for."""
        self.standard_event |= 1

    def count(self, kinds: int) -> int:
        """How many unread entries are of these kinds."""
        return sum(1 for event in self.entries if event.kind & kinds)

    def next(self, kinds: int) -> str:
        """Take the oldest entry of these kinds; what is older is passed over for good."""
        if not self.count(kinds):
            return EMPTY
        while not (event := self.entries.popleft()).kind & kinds:
            pass
        return str(event)

    def byte(self, message_available: bool) -> int:
        """Return the status byte with bit 6 as master summary."""
        bits = (4 if self.count(ERROR) else 0) | (16 if message_available else 0)
        bits |= 32 if self.standard_event & self.standard_enable else 0
        bits |= (128 if self.operation.summary else 0) | (8 | 1 if self.questionable.summary else 0)
        return bits | (64 if bits & self.service_enable else 0)

    def clear(self) -> None:
        """*CLS: event registers and event log; enables stay."""
        self.clear_events()
        self.entries.clear()

    def clear_events(self) -> None:
        """STAT:CLE: event registers alone."""
        self.standard_event = self.operation.event = self.questionable.event = 0

    def preset(self) -> None:
        """STAT:PRES: event and enable registers of the user's own mapping; the mapping stays (assumed)."""
        for register in (self.operation, self.questionable):
            register.event = register.enable = 0

    def unmap(self) -> None:
        """*RST takes the mapping away."""
        for register in (self.operation, self.questionable):
            register.mapped.clear()
