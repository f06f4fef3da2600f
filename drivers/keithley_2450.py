"""Keithley 2450 SourceMeter in its SCPI language: properties in PyMeasure's idiom, and the role VoltageSource on top of them.

A list is the source configuration list that SOUR:LIST makes, walked by a trigger model that waits for edges on a digital line.

Source of commands, ranges and trigger model: Keithley 2450 reference manual 2450-901-01 rev B; of the clear parameter of a
wait, of "next index" after a recall and of the counter's count: 2461-901-01 rev A, whose firmware family it shares (a 2450 of
the first firmware has no clear parameter: loading a list then reports an error). Assumed: a recalled index leaves the output
switched as it is, and is applied within `step_time_ns` of the edge.
"""

from collections.abc import Sequence
from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.validators import strict_range

from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError
from drivers.link import conversation, regain, send_now
from drivers.registry import DriverEntry
from drivers.roles import HoldLevel, Identity, LevelList, LiveQuantity, SafeReadback, SourceLimits, SourceProgram, SourceReading
from drivers.scpi import (
    Fenced,
    batches,
    choice,
    drain_errors,
    flag,
    integer,
    number,
    parse_error,
    parse_identity,
    prove,
    register,
    require_no_errors,
    set_and_confirm,
    subset,
    switch,
    unexpected,
    whole,
)
from drivers.source_checks import check_levels, check_limits, check_list, output_stays_off

BUFFER = "defbuffer1"  # always there, holds far more than a list
LIST = "VoltCustomSweepList"  # the maker's name for what SOUR:LIST:VOLT makes
# voltage read back, current, seconds since the buffer's first reading, status of the source
ELEMENTS = "SOUR,READ,REL,SOURSTAT"
ELEMENT_COUNT = 4
STATUS_LIMITED = 1 << 5
NOT_A_READING = 9.9e37
LINES = 6
WAIT_BLOCK = 4
LIST_VALUES_PER_MESSAGE = 100
MAX_INDEXES = 2500
ARM_QUESTIONS = 1000  # of at least 0.3 ms; a state is up to 100 ms old, so the one from before INIT may come first
LEVEL_SETTLE_S = 1e-3  # between a level and its measurement, far more than the output needs to settle
RANGE_REACH = 1.05  # a range reaches 105 % of its name
LEVEL_TOLERANCE_V = 0.01
READ_TIMEOUT_S = 5.0
MEASURE_TIMEOUT_S = 1.5  # V and I once take 0.2 s at most; while nobody answers the voltage stays on
SECONDS_PER_READING = 0.01

RESET_STATE: dict[str, object] = {
    "output_off_state": "NORM",
    "source_function": "VOLT",
    "source_voltage": 0.0,
    "source_read_back": True,
    "functions": ("CURR",),
    "data_format": "ASC",
}
HOLD_STATE: dict[str, object] = {"source_auto_delay": True, "nplc": 0.1, "auto_zero": True}
LIST_STATE: dict[str, object] = {
    "source_voltage": 0.0,
    "source_auto_delay": False,
    "source_delay": 0.0,
    "nplc": 0.01,
    "auto_zero": False,
}


class Keithley2450(Fenced, SCPIMixin, Instrument):
    """Keithley 2450 source-meter as a voltage source.

    Reading never switches the output on. While the trigger model runs the instrument still answers and still executes ABOR and
    OUTP OFF, so off needs no device clear.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    off_message: bytes = b"\n:ABOR;:OUTP OFF\n"  # the first line end closes a message cut off before it
    step_time_ns: int = 400_000  # assumed: sub-millisecond is all that is claimed, nothing is guaranteed
    max_list_points: int = MAX_INDEXES - 1  # the first index is the 0 V to start from
    trigger_connector: str = "digital_io"
    bipolar: bool = True
    live_quantities: tuple[str, ...] = ("interlock_closed",)

    def __init__(self, adapter: Adapter | str | int, name: str = "Keithley 2450", **kwargs: Any) -> None:
        kwargs.setdefault("read_termination", "\n")
        kwargs.setdefault("write_termination", "\n")
        super().__init__(adapter, name, **kwargs)
        self._limits: SourceLimits | None = None
        self._program: SourceProgram | None = None
        self._walking = self._on = False  # _on: switched on by this driver, and not off since
        self._identity: Identity | None = None

    # --- output

    output_enabled = switch(":OUTP", "Control whether the output is on (bool).")
    output_off_state = choice(
        ":OUTP:VOLT:SMOD",
        "Control what off means for the voltage source (str, 'NORM', 'HIMP' opens a relay, 'ZERO' or 'GUAR').",
        ("NORM", "HIMP", "ZERO", "GUAR"),
    )
    interlock_closed = flag(":OUTP:INT:TRIP", "Get whether the interlock is closed (bool); open, the output stays below 42 V.")
    terminals = choice(":ROUT:TERM", "Control the terminals (str, 'FRON' or 'REAR'); a change switches off.", ("FRON", "REAR"))
    four_wire = switch(":SENS:CURR:RSEN", "Control whether the sense terminals are used, 4-wire (bool).")

    # --- source

    source_function = choice(":SOUR:FUNC", "Control what is sourced (str, 'VOLT' or 'CURR').", ("VOLT", "CURR"))
    source_voltage = number(":SOUR:VOLT", "Control the source level (V, strictly -210 to 210).", -210, 210)
    source_voltage_range = number(
        ":SOUR:VOLT:RANG", "Control the source range by the level to reach (V, strictly -210 to 210); fixes it.", -210, 210
    )
    source_voltage_auto_range = switch(":SOUR:VOLT:RANG:AUTO", "Control whether the source range follows the level (bool).")
    source_delay = number(":SOUR:VOLT:DEL", "Control the wait from level to measurement (s, strictly 0 to 10000).", 0, 10_000)
    source_auto_delay = switch(":SOUR:VOLT:DEL:AUTO", "Control whether the instrument chooses the source delay (bool).")
    source_read_back = switch(":SOUR:VOLT:READ:BACK", "Control whether the source's value is measured (bool), else as set.")
    compliance_current = number(":SOUR:VOLT:ILIM", "Control the current limit (A, strictly 1e-9 to 1.05).", 1e-9, 1.05)
    compliance_tripped = flag(":SOUR:VOLT:ILIM:TRIP", "Get whether the current is being limited (bool).")
    overvoltage_tripped = flag(":SOUR:VOLT:PROT:TRIP", "Get whether the overvoltage protection limits the output (bool).")

    # --- measurement

    functions = subset(
        ":SENS:FUNC",
        "Control the measured function (list of one of 'VOLT', 'CURR', 'RES').",
        ("VOLT", "CURR", "RES"),
        quoted=True,
    )
    current_range = number(
        ":SENS:CURR:RANG", "Control the current range by the current to reach (A, strictly -1.05 to 1.05).", -1.05, 1.05
    )
    current_auto_range = switch(":SENS:CURR:RANG:AUTO", "Control whether the current range follows the reading (bool).")
    nplc = number(":SENS:CURR:NPLC", "Control the integration time of the current (line cycles, 0.01 to 10).", 0.01, 10)
    auto_zero = switch(":SENS:CURR:AZER", "Control whether readings are corrected for zero drift (bool); off is faster.")
    averaging = switch(":SENS:CURR:AVER", "Control whether readings are averaged (bool).")
    averaging_count = integer(":SENS:CURR:AVER:COUN", "Control how many readings are averaged (1 to 100).", 1, 100)
    data_format = choice(":FORM", "Control how readings are sent (str, 'ASC', 'REAL' or 'SRE').", ("ASC", "REAL", "SRE"))

    # --- buffer, lists, status and system

    buffer_count: Any = Instrument.measurement(
        f':TRAC:ACT? "{BUFFER}"', "Get the number of readings in the buffer (0 to 100000).", cast=whole, maxsplit=0
    )
    list_points = register(":SOUR:LIST:VOLT:POIN", "Get the length of the source list (points, 0 to 2500).")
    language = Instrument.measurement(
        "*LANG?", "Get the command language (str, 'SCPI', 'TSP' or 'SCPI2400').", cast=str, get_process=str.strip
    )
    event_status = register("*ESR", "Get and clear the event status register (0 to 255).")
    next_error = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride] - PyMeasure's own mixin does it
        ":SYST:ERR?", "Get and remove the oldest error of the log (list of str: code, text).", cast=str, maxsplit=1
    )

    # --- actions

    def clear_log(self) -> None:
        """Empty the event log."""
        self.write(":SYST:CLE")

    def clear_buffer(self) -> None:
        """Empty the buffer; relative times start anew with its next reading."""
        self.write(f':TRAC:CLE "{BUFFER}"')

    def abort(self) -> None:
        """End the trigger model; the output stays as it is."""
        self.write(":ABOR")

    def initiate(self) -> None:
        """Start the trigger model at its first block."""
        self.write(":INIT")

    def expect_edges(self, line: int) -> None:
        """Make a digital line (1 to 6) a trigger input for falling edges and forget what it has seen."""
        self.write(f":DIG:LINE{line}:MODE TRIG,IN")
        self.write(f":TRIG:DIG{line}:IN:EDGE FALL")
        self.forget_edges(line)

    def forget_edges(self, line: int) -> None:
        """Forget the edges a digital line (1 to 6) has seen."""
        self.write(f":TRIG:DIG{line}:IN:CLE")

    def list_voltages(self, levels_v: Sequence[float]) -> None:
        """Load the source list (V): 1 to 2500 levels, at most 100 per message; it replaces the one before."""
        if not 1 <= len(levels_v) <= MAX_INDEXES:
            raise ValueError(f"a list has 1 to {MAX_INDEXES} levels, not {len(levels_v)}")
        for level_v in levels_v:
            strict_range(level_v, (-210, 210))
        command = ":SOUR:LIST:VOLT"
        for text in batches(levels_v, LIST_VALUES_PER_MESSAGE):
            self.write(f"{command} {text}")
            command = ":SOUR:LIST:VOLT:APP"

    def build_trigger_model(self, line: int, points: int) -> None:
        """Walk the list from its second index on: one falling edge, one index, one reading, `points` times; then output off.

        The first index is the level before the first edge. An edge that comes while a level is applied or measured is forgotten
        when the wait is entered again, so it shows as a missing point instead of as a level that came late.
        """
        self.write(':TRIG:LOAD "Empty"')
        blocks = (
            f'BUFF:CLE 1,"{BUFFER}"',
            f'CONF:REC 2,"{LIST}",1',
            "SOUR:STAT 3,ON",
            f"WAIT {WAIT_BLOCK},DIG{line},ENT",
            f'CONF:NEXT 5,"{LIST}"',
            f"DEL:CONS 6,{LEVEL_SETTLE_S:g}",
            f'MEAS 7,"{BUFFER}",1',
            f"BRAN:COUN 8,{points},{WAIT_BLOCK}",
            "SOUR:STAT 9,OFF",
        )
        for block in blocks:
            self.write(f":TRIG:BLOC:{block}")

    def trigger_state(self) -> tuple[str, int]:
        """Ask in which state the trigger model is ("IDLE", "RUNNING", "WAITING" ...) and in which block."""
        return self.asked(":TRIG:STAT?", _state_and_block)

    def shutdown(self) -> None:
        """Switch the output off, write-only."""
        self.make_safe()
        super().shutdown()

    # --- role VoltageSource

    def identify(self) -> Identity:
        """Ask who answers, and in which language.

        Raises
        ------
        WrongIdentity    it is not a 2450, or not the one that answered before
        InstrumentError  it does not speak SCPI
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self, limits: SourceLimits) -> None:
        """Switch off, reset, fix ranges and current limit, read them back; errors from before are dropped.

        Raises
        ------
        RefusedError      the limits are impossible for this model; nothing was sent
        ReadbackMismatch  range or current limit are not as set
        InstrumentError   the instrument reported errors
        """
        self._refuse(check_limits(limits, 210, 1.05))
        self.make_safe()
        self._regain()
        self._program, self._on = None, False
        largest_v = max(abs(limits.voltage_min_v), abs(limits.voltage_max_v))
        self.clear()
        self.reset()
        self.clear_log()
        self._set(RESET_STATE)
        self.source_voltage_range = largest_v
        # the limit first: a measuring range above it is refused
        set_and_confirm(self, self.name, "compliance_current", limits.current_a, tolerance=1e-3 * limits.current_a)
        self.current_range = limits.current_a
        reach_v = RANGE_REACH * self.source_voltage_range
        if not largest_v <= reach_v:
            raise ReadbackMismatch(
                f"{self.name}: the source range reaches {reach_v:g} V, the limits ask for {largest_v:g} V.",
                where=self.name,
                hardware_state="output off, range not as asked for",
                next_step="look at its front panel and its error queue, then start again",
            )
        require_no_errors(self.errors(), self.name, "it was prepared")
        self._limits = limits

    def load(self, program: SourceProgram) -> None:
        """Set up one block; the output does not change.

        Raises
        ------
        RefusedError     a level or the list's form is outside what was prepared; nothing was sent
        InstrumentError  prepare() was not called, a list still runs, or one is to be loaded while the output is on
        """
        if self._limits is None:
            raise InstrumentError(
                f"{self.name} has no limits yet, or lost them with its link.", where=self.name, next_step="prepare() it first"
            )
        if isinstance(program, HoldLevel):
            self._refuse(check_levels((program.voltage_v,), self._limits))
            self._refuse_walking("load a level")
            if not isinstance(self._program, HoldLevel):
                self._load_hold()
            if not self._on:  # so that nothing is left to be said between the decision to switch on and doing it
                set_and_confirm(self, self.name, "source_voltage", program.voltage_v, LEVEL_TOLERANCE_V)
        else:
            self._refuse([*check_levels(program.levels_v, self._limits), *check_list(program, self.max_list_points, LINES)])
            self._refuse_walking("load a list")
            self._load_list(program)
        self._program = program

    def arm(self) -> None:
        """Switch the loaded level on, or start the list and see that it waits for its first edge.

        Raises
        ------
        ReadbackMismatch  the level is not as set
        InstrumentError   nothing is loaded, the output stays off, or the trigger model does not come to its wait
        """
        match self._program:
            case HoldLevel(voltage_v):
                self._refuse_walking("switch a level on")
                was_on, self._on = self._on, True
                if was_on:
                    set_and_confirm(self, self.name, "source_voltage", voltage_v, LEVEL_TOLERANCE_V)
                else:
                    self.output_enabled = True
                if not self.output_enabled:
                    raise output_stays_off(
                        self.name, was_on, self.errors(), "check its front panel for a warning (temperature, interlock)"
                    )
            case LevelList(_, line):
                self.abort()
                self.forget_edges(line)
                self._walking = True
                self.initiate()
                self._see_it_wait()
            case None:
                raise InstrumentError(f"{self.name} has nothing loaded to arm.", where=self.name, next_step="load() a program")

    def measure(self) -> SourceReading:
        """Measure V and I once.

        Raises
        ------
        InstrumentError  the output is off or a list runs: nothing was measured and nothing switched
        """
        self._refuse_walking("measure")
        with conversation(self.adapter, MEASURE_TIMEOUT_S):
            if not self.output_enabled:
                raise InstrumentError(
                    f"{self.name} was asked to measure while its output is off.",
                    where=self.name,
                    hardware_state="output off, confirmed",
                    next_step="arm() a level first; reading never switches the output on",
                )
            return _reading(self.numbers(f':READ? "{BUFFER}",{ELEMENTS}', ELEMENT_COUNT))

    def collect(self) -> list[SourceReading]:
        """Fetch what the list measured, one reading per executed point; a list that still waits is ended, output off."""
        self.make_safe()
        self._regain()
        count = self.buffer_count
        if count == 0:
            return []
        with conversation(self.adapter, READ_TIMEOUT_S + SECONDS_PER_READING * count):
            numbers = self.numbers(f':TRAC:DATA? 1,{count},"{BUFFER}",{ELEMENTS}', count * ELEMENT_COUNT)
            return [_reading(numbers[start : start + ELEMENT_COUNT]) for start in range(0, len(numbers), ELEMENT_COUNT)]

    def errors(self) -> list[str]:
        """Empty the instrument's log of errors and return them, oldest first."""
        return drain_errors(lambda: self.asked(":SYST:ERR?", parse_error), self.name)

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask for the interlock: one question. It is always in force here, above 42 V; one without a plug reads open.

        Raises
        ------
        InstrumentError  a list runs, or no answer that fits
        """
        self._refuse_walking("ask for its interlock")
        return (LiveQuantity("interlock_closed", float(self.interlock_closed)),)

    def make_safe(self) -> None:
        """Send off: ends the trigger model, output off. Write-only, device clear first where the link has one."""
        self._walking = self._on = False
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether the output is off."""
        self._regain()
        on = self.output_enabled
        return SafeReadback(not on, f"output {'ON' if on else 'off'}")

    # --- parts

    def _ask_identity(self) -> Identity:
        identity = DRIVER.require(self.asked("*IDN?", parse_identity))
        language = self.language
        if language != "SCPI":
            raise InstrumentError(
                f"{self.name} speaks {language}, not SCPI.",
                where=self.name,
                hardware_state="only its identity and language were asked",
                next_step="send it *LANG SCPI, or choose SCPI in its settings menu, and switch it off and on",
            )
        return identity

    def _regain(self) -> None:
        if regain(self.adapter, lambda: prove(self, self._ask_identity, self._identity)):
            # it may have been off in between: what was set up is not to be relied on
            self._limits = None
            self._program = None

    def _set(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _load_hold(self) -> None:
        self.clear_buffer()
        self._set(HOLD_STATE)
        require_no_errors(self.errors(), self.name, "a level was loaded")

    def _load_list(self, program: LevelList) -> None:
        if self.output_enabled:
            raise InstrumentError(
                f"{self.name}: a list is loaded only while the output is off; it is on.",
                where=self.name,
                hardware_state="output on, unchanged",
                next_step="make_safe() first",
            )
        self._program = None  # until this is through, what is in the instrument is neither the old program nor the new
        self.write(':TRIG:LOAD "Empty"')
        self.clear_buffer()
        self._set(LIST_STATE)
        self.list_voltages((0.0, *program.levels_v))
        self._expect_list(1 + len(program.levels_v))
        self.expect_edges(program.trigger_line)
        self.build_trigger_model(program.trigger_line, len(program.levels_v))
        require_no_errors(self.errors(), self.name, "a list was loaded")

    def _expect_list(self, points: int) -> None:
        found = self.list_points
        if found != points:
            raise ReadbackMismatch(
                f"{self.name}: the source list has {found} points, {points} were sent: {'; '.join(self.errors())}",
                where=self.name,
                hardware_state="output off, list not as asked for",
                next_step="look the errors up in the instrument's manual",
            )

    def _see_it_wait(self) -> None:
        state, block = "", 0
        for _ in range(ARM_QUESTIONS):
            state, block = self.trigger_state()
            if state in ("RUNNING", "WAITING") and block == WAIT_BLOCK:
                return
            if state == "FAILED":
                break
        raise InstrumentError(
            f"{self.name} does not wait for its first edge: trigger model {state} in block {block}; {'; '.join(self.errors())}",
            where=self.name,
            hardware_state="output at 0 V or off",
            next_step="make_safe(), then look the errors up in the instrument's manual",
        )

    def _refuse_walking(self, doing: str) -> None:
        if self._walking:
            raise InstrumentError(
                f"{self.name} walks a list; to {doing} would disturb it, and nothing was sent.",
                where=self.name,
                hardware_state="list armed or running, output as the list says",
                next_step="collect() or make_safe() first",
            )

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            raise RefusedError(f"{self.name} refuses what it was given; nothing was sent.", tuple(reasons), where=self.name)


def _state_and_block(answer: str) -> tuple[str, int]:
    state, _, rest = answer.partition(";")
    try:
        return state.strip().upper(), int(rest.rpartition(";")[2])
    except ValueError:
        raise unexpected(":TRIG:STAT?", answer) from None


def _reading(numbers: Sequence[float]) -> SourceReading:
    """One reading from its elements in the order of ELEMENTS; what was not measured or overflowed is NaN."""
    voltage_v, current_a, t_s, status = (value if abs(value) < NOT_A_READING else float("nan") for value in numbers)
    if not status >= 0:
        raise unexpected(ELEMENTS, numbers)
    return SourceReading(voltage_v, current_a, t_s, bool(int(status) & STATUS_LIMITED))


DRIVER = DriverEntry(
    model="keithley-2450",
    role="voltage_source",
    identity=r"KEITHLEY INSTRUMENTS( INC\.?)?,(MODEL )?2450\b",
    build=Keithley2450,
)
