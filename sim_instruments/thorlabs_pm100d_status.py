"""Status registers and error queue of a PM100D.

Source: bits of all registers from the maker's instrument driver (header); the form of an answer to SYST:ERR? and the queue of
ten from the programmer's manual of the maker's 4000 series; structure of the registers SCPI-99. Assumed: what is latched at
power-on, and that no preset touches the event registers.
"""

from dataclasses import dataclass, field

from sim_instruments.scpi import STANDARD_ERRORS, ErrorQueue

OPERATION_COMPLETE, QUERY_ERROR, DEVICE_ERROR, EXECUTION_ERROR, COMMAND_ERROR, POWER_ON = 1, 4, 8, 16, 32, 128
AUX, MEAS, ERROR_AVAILABLE, QUES, MESSAGE_AVAILABLE, EVENT, MASTER, OPER = 1, 2, 4, 8, 16, 32, 64, 128
OPER_MEASURING, OPER_WAITING, OPER_SENSOR, OPER_DATA = 0x10, 0x20, 0x100, 0x200
QUES_ENERGY = 0x200

INVALID_SUFFIX = -131
SETTINGS_CONFLICT = -221
STALE = -230
OVERRUN = -363
INTERRUPTED = -410
DEADLOCKED = -430
TEXTS = STANDARD_ERRORS | {INVALID_SUFFIX: "Invalid suffix", -350: "Error queue overflow"}
REGISTER_MAX = 0x7FFF


@dataclass(slots=True)
class Register:
    """Condition, transition filters, event and enable registers of one group."""

    condition: int = 0
    event: int = 0
    enable: int = 0
    positive: int = REGISTER_MAX
    negative: int = 0

    def change(self, bits: int, *, on: bool) -> None:
        """Set or clear condition bits; what passes a filter latches."""
        new = self.condition | bits if on else self.condition & ~bits
        self.event |= (new & ~self.condition & self.positive) | (self.condition & ~new & self.negative)
        self.condition = new

    def read_event(self) -> int:
        """Return the event register and clear it."""
        event, self.event = self.event, 0
        return event

    def preset(self) -> None:
        """Default filters, nothing enabled."""
        self.enable, self.positive, self.negative = 0, REGISTER_MAX, 0


@dataclass(slots=True)
class Status:
    """All registers of the instrument."""

    errors: ErrorQueue = field(default_factory=lambda: ErrorQueue(TEXTS, depth=10))
    standard_event: int = POWER_ON
    standard_enable: int = 0
    service_enable: int = 0
    operation: Register = field(default_factory=lambda: Register(condition=OPER_SENSOR))
    questionable: Register = field(default_factory=Register)
    measurement: Register = field(default_factory=Register)
    auxiliary: Register = field(default_factory=Register)

    def report(self, code: int) -> None:
        """Put an error into the queue and its bit into the standard event register."""
        self.errors.push(code)
        classes = {1: COMMAND_ERROR, 2: EXECUTION_ERROR, 4: QUERY_ERROR}
        self.standard_event |= classes.get(-code // 100, DEVICE_ERROR)

    def next_error(self) -> str:
        """Take the oldest error as it is sent."""
        return self.errors.pop() if self.errors.codes else '+0,"No error"'

    def clear(self) -> None:
        """*CLS: events and errors."""
        self.errors.codes.clear()
        self.standard_event = 0
        for register in self.registers:
            register.event = 0

    def preset(self) -> None:
        """STAT:PRES."""
        for register in self.registers:
            register.preset()

    @property
    def registers(self) -> tuple[Register, ...]:
        """Get the four groups of SCPI."""
        return self.operation, self.questionable, self.measurement, self.auxiliary

    def byte(self, *, message_available: bool) -> int:
        """Return the status byte."""
        summaries = (
            (OPER, self.operation.event & self.operation.enable),
            (QUES, self.questionable.event & self.questionable.enable),
            (MEAS, self.measurement.event & self.measurement.enable),
            (AUX, self.auxiliary.event & self.auxiliary.enable),
            (EVENT, self.standard_event & self.standard_enable),
            (ERROR_AVAILABLE, len(self.errors.codes)),
            (MESSAGE_AVAILABLE, message_available),
        )
        byte = sum(bit for bit, set_ in summaries if set_)
        return byte | (MASTER if byte & self.service_enable & ~MASTER else 0)
