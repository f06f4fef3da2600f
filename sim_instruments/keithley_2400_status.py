"""Status registers and error texts of a Keithley 2400. Source: 2400S-900-01 rev K, section 15 and table B-1."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sim_instruments.scpi import STANDARD_ERRORS, ErrorQueue, ScpiError, parse_number, split_outside

ESR_BITS = {"OPC": 0, "QUERY": 2, "DEVICE": 3, "EXECUTION": 4, "COMMAND": 5, "USER": 6, "POWER_ON": 7}
OPER_CALIBRATING, OPER_SWEEPING, OPER_TRIGGER, OPER_ARM, OPER_IDLE = (1 << bit for bit in (0, 3, 5, 6, 10))
MEAS_READING, MEAS_OVERFLOW, MEAS_AVAILABLE, MEAS_FULL, MEAS_ENABLE = (1 << bit for bit in (6, 7, 8, 9, 11))
MEAS_TOO_HOT, MEAS_VOLTAGE_LIMIT, MEAS_COMPLIANCE = (1 << bit for bit in (12, 13, 14))

# status messages: register base + bit; the wording below 109 and above 300 is from memory, unverified
STATUS_TEXTS: dict[int, str] = {
    106: "Reading available",
    107: "Reading overflow",
    108: "Buffer available",
    109: "Buffer full",
    111: "OUTPUT enable asserted",
    112: "Temperature limit exceeded",
    113: "Voltage limit exceeded",
    114: "Source in compliance",
    200: "Operation complete",
    300: "Device calibrating",
    303: "Device sweeping",
    305: "Waiting in trigger layer",
    306: "Waiting in arm layer",
    310: "Entering idle layer",
    408: "Questionable calibration",
    414: "Command warning",
}
DEVICE_ERRORS: dict[int, str] = {
    500: "Date of calibration not set",
    501: "Next date of calibration not set",
    502: "Calibration data invalid",
    503: "DAC calibration overflow",
    504: "DAC calibration underflow",
    505: "Source offset data invalid",
    506: "Source gain data invalid",
    507: "Measurement offset data invalid",
    508: "Measurement gain data invalid",
    509: "Not permitted with cal locked",
    510: "Not permitted with cal un-locked",
    601: "Reading buffer data lost",
    602: "GPIB address lost",
    603: "Power-on state lost",
    604: "DC calibration data lost",
    605: "Calibration dates lost",
    606: "GPIB communication language lost",
    700: "Invalid system communication",
    701: "ASCII only with RS-232",
    800: "Illegal with storage active",
    801: "Insufficient vector data",
    802: "OUTPUT blocked by output enable",
    803: "Not permitted with OUTPUT off",
    804: "Expression list full",
    805: "Undefined expression exists",
    806: "Expression not found",
    807: "Definition not allowed",
    808: "Expression cannot be deleted",
    809: "Source memory location revised",
    810: "OUTPUT blocked by Over Temp",
    811: "Not an operator or number",
    812: "Mismatched parenthesis",
    813: "Not a number of data handle",
    814: "Mismatched brackets",
    815: "Too many parenthesis",
    816: "Entire expression not parsed",
    817: "Unknown token",
    818: "Error parsing mantissa",
    819: "Error parsing exponent",
    820: "Error parsing value",
    821: "Invalid data handle index",
    822: "Too small for sense range",
    823: "Invalid with source read-back on",
    824: "Cannot exceed compliance range",
    825: "Invalid with auto-ohms on",
    826: "Attempt to exceed power limit",
    827: "Invalid with ohms guard on",
    828: "Invalid on 1 amp range",
    829: "Invalid on 1kV range",
    830: "Invalid with INF ARM:COUNT",
    831: "Invalid in Pulse Mode",
    900: "Internal System Error",
}
TEXTS: dict[int, str] = STANDARD_ERRORS | STATUS_TEXTS | DEVICE_ERRORS
_ALL_ERRORS = frozenset(STANDARD_ERRORS) | frozenset(DEVICE_ERRORS)


def _event_of(code: int) -> str:
    """Which bit of the standard event register an error sets."""
    if code < 0:
        return {1: "COMMAND", 2: "EXECUTION", 3: "DEVICE"}.get(-code // 100, "QUERY")
    return "EXECUTION" if 800 <= code < 900 else "DEVICE"


@dataclass
class Register:
    """A condition register whose rising bits latch in an event register.

    Parameters
    ----------
    base  code of the status message that belongs to bit 0
    """

    base: int
    condition: int = 0
    event: int = 0
    enable: int = 0

    def read_event(self) -> int:
        """Return the event register and clear it."""
        event, self.event = self.event, 0
        return event


@dataclass
class Status:
    """All registers and the error queue."""

    queue: ErrorQueue = field(default_factory=lambda: ErrorQueue(TEXTS))
    queued_codes: frozenset[int] = _ALL_ERRORS
    standard_event: int = 1 << ESR_BITS["POWER_ON"]
    standard_enable: int = 0
    service_enable: int = 0
    measurement: Register = field(default_factory=lambda: Register(100))
    operation: Register = field(default_factory=lambda: Register(300, condition=OPER_IDLE))
    questionable: Register = field(default_factory=lambda: Register(400))

    def report(self, code: int) -> None:
        """Note an error: its bit in the standard event register, and its entry in the queue when that is enabled."""
        self.standard_event |= 1 << ESR_BITS[_event_of(code)]
        if code in self.queued_codes:
            self.queue.push(code)

    def complete(self) -> None:
        """Note the completion that *OPC asked for."""
        self.standard_event |= 1 << ESR_BITS["OPC"]
        if 200 in self.queued_codes:
            self.queue.push(200)

    def set_condition(self, register: Register, bits: int) -> None:
        """Set a condition register as a whole; bits that rise become events."""
        if bits == register.condition:
            return
        risen = bits & ~register.condition
        register.condition = bits
        register.event |= risen
        for bit in range(risen.bit_length()):
            code = register.base + bit
            if risen >> bit & 1 and code in self.queued_codes:
                self.queue.push(code)

    def pulse(self, register: Register, bits: int) -> None:
        """Let condition bits rise and fall at once."""
        condition = register.condition
        self.set_condition(register, condition & ~bits)
        self.set_condition(register, condition | bits)
        register.condition = condition & ~bits

    def byte(self, message_available: bool) -> int:
        """Return the status byte with bit 6 as master summary."""
        summary = (
            (self.measurement.event & self.measurement.enable, 0),
            (len(self.queue.codes), 2),
            (self.questionable.event & self.questionable.enable, 3),
            (int(message_available), 4),
            (self.standard_event & self.standard_enable, 5),
            (self.operation.event & self.operation.enable, 7),
        )
        bits = sum(1 << bit for value, bit in summary if value)
        return bits | (1 << 6 if bits & self.service_enable else 0)

    def clear(self) -> None:
        """*CLS: event registers and error queue; enables stay."""
        self.standard_event = 0
        self.queue.codes.clear()
        for register in (self.measurement, self.operation, self.questionable):
            register.event = 0

    def preset(self) -> None:
        """STAT:PRES: enables to 0, the queue takes all errors and no status messages."""
        self.queued_codes = _ALL_ERRORS
        for register in (self.measurement, self.operation, self.questionable):
            register.enable = 0

    def enable_codes(self, params: Sequence[str]) -> None:
        """STAT:QUE:ENAB (list): exactly these codes enter the queue from now on."""
        self.queued_codes = _listed_codes(params)

    def disable_codes(self, params: Sequence[str]) -> None:
        """STAT:QUE:DIS (list): these codes do not enter the queue."""
        self.queued_codes -= _listed_codes(params)

    def format_codes(self, enabled: bool) -> str:
        """Return the codes that are (not) queued as a list of ranges of known codes, e.g. `(-440:-101,500:900)`."""
        ranges: list[list[int]] = []
        previous = None
        for code in sorted(TEXTS):
            if (code in self.queued_codes) == enabled:
                if previous is not None and ranges and ranges[-1][1] == previous:
                    ranges[-1][1] = code
                else:
                    ranges.append([code, code])
            previous = code
        return "(" + ",".join(f"{lo}:{hi}" if lo != hi else str(lo) for lo, hi in ranges) + ")"


def _listed_codes(params: Sequence[str]) -> frozenset[int]:
    text = ",".join(params)
    if not text:
        raise ScpiError(-109)
    if not (text.startswith("(") and text.endswith(")")):
        raise ScpiError(-171)
    codes: set[int] = set()
    for part in split_outside(text[1:-1], ","):
        if part.strip():
            ends = sorted(parse_number(end.strip()) for end in part.split(":"))
            codes |= {code for code in TEXTS if ends[0] <= code <= ends[-1]}
    return frozenset(codes)
