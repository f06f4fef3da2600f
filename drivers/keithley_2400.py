"""Keithley 2400 SourceMeter: properties in PyMeasure's idiom, and the role VoltageSource on top of them.

Source of commands, ranges and errors: Keithley 2400 Series user's manual 2400S-900-01 rev K, command reference and trigger
model, unless said otherwise.
"""

from collections.abc import Sequence
from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.validators import strict_discrete_set, strict_range

from drivers.errors import InstrumentError, ReadbackMismatch, Reason, RefusedError
from drivers.keithley_2400_answers import LIVE, MEASURE, READING, blocked_by, conditions, measured, reading_of
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
)
from drivers.source_checks import check_levels, check_limits, check_list, output_stays_off

ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")  # a reading holds its elements in this order, whatever was asked for
ARM_SOURCES = ("IMM", "TLIN", "TIM", "MAN", "BUS", "NST", "PST", "BST")
EVENTS = ("SOUR", "DEL", "SENS", "NONE")
LIST_VALUES_PER_MESSAGE = 100
BUFFER_READINGS = 2500
RANGE_REACH = 1.05  # a range reaches 105 % of its name
LEVEL_TOLERANCE_V = 0.01  # the source's own steps are finer: 0.5 mV on the 20 V range, 5 mV on the 200 V range (from memory)
READ_TIMEOUT_S = 5.0
MEASURE_TIMEOUT_S = 1.5  # V and I once take 0.2 s at most; while nobody answers the voltage stays on
SECONDS_PER_READING = 0.01  # 60 characters of a buffer read-out at 57 600 baud

# property -> value, in the order they are sent; *RST leaves the buffer alone, so nothing here relies on it for that
RESET_STATE: dict[str, object] = {
    "output_off_state": "NORM",
    "source_function": "VOLT",
    "source_mode": "FIX",
    "source_voltage": 0.0,
    "concurrent": True,
    "functions": ("VOLT", "CURR"),
    "data_format": "ASC",
    "elements": READING,
}
HOLD_STATE: dict[str, object] = {
    "auto_output_off": False,
    "source_mode": "FIX",
    "nplc": 0.1,
    "auto_zero": True,
    "arm_count": 1,
    "arm_source": "IMM",
    "trigger_count": 1,
    "trigger_source": "IMM",
}
LIST_STATE: dict[str, object] = {
    "source_voltage": 0.0,
    "source_mode": "LIST",
    "source_auto_delay": False,
    "source_delay": 0.0,
    "nplc": 0.01,
    "auto_zero": False,
    "arm_count": 1,
    "arm_source": "IMM",
    "trigger_source": "TLIN",
    "trigger_input_event": "SOUR",
    "trigger_delay": 0.0,  # the stamps tell intervals: one that was set by hand would make every step late unseen
    "buffer_feed": "SENS",
    "buffer_timestamps": "ABS",
    "auto_output_off_mode": "TCO",  # before switching it on: the other mode switches off after every point
    "auto_output_off": True,
}


class Keithley2400(Fenced, SCPIMixin, Instrument):
    """Keithley 2400 source-meter as a voltage source.

    Reading never switches the output on: READ? is used, never MEAS?, and only after the output was seen to be on. While a
    list runs the instrument queues every question until it is idle, so none is asked.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    off_message: bytes = b"\n:ABOR;:TRIG:CLE;:OUTP OFF\n"  # the first line end closes a message cut off before it
    step_time_ns: int = 360_000  # the manual's example for a source-only step: <= 225 us trigger latency, <= 50 us source, rest
    max_list_points: int = BUFFER_READINGS
    trigger_connector: str = "trigger_link"
    bipolar: bool = True
    live_quantities: tuple[str, ...] = ("interlock_closed", "over_temperature")

    def __init__(self, adapter: Adapter | str | int, name: str = "Keithley 2400", **kwargs: Any) -> None:
        kwargs.setdefault("read_termination", "\n")
        kwargs.setdefault("write_termination", "\n")
        super().__init__(adapter, name, **kwargs)
        self._limits: SourceLimits | None = None
        self._program: SourceProgram | None = None
        self._sweeping = False
        self._on = False  # switched on by this driver, and not off since
        self._identity: Identity | None = None

    # --- output

    output_enabled = switch(":OUTP", "Control whether the output is on (bool).")
    output_off_state = choice(
        ":OUTP:SMOD",
        "Control what off means (str, 'NORM' 0 V at 0.5 % of full scale, 'HIMP' opens a relay, 'ZERO' or 'GUAR').",
        ("HIMP", "NORM", "ZERO", "GUAR"),
    )
    output_enable_line = switch(":OUTP:ENAB", "Control whether the rear output-enable line can block the output (bool).")
    output_enable_tripped = flag(  # Source: page 18-56; the word means what one would not expect
        ":OUTP:ENAB:TRIP", "Get whether the output-enable line is low, so that the output can be switched on (bool)."
    )
    auto_output_off = switch(":SOUR:CLE:AUTO", "Control whether the output goes off by itself (bool); see the mode.")
    auto_output_off_mode = choice(
        ":SOUR:CLE:AUTO:MODE",
        "Control when the output goes off by itself (str, 'ALW' after every point, 'TCO' on leaving the trigger layer).",
        ("ALW", "TCO"),
    )
    terminals = choice(":ROUT:TERM", "Control the terminals (str, 'FRON' or 'REAR'); a change switches off.", ("FRON", "REAR"))
    four_wire = switch(":SYST:RSEN", "Control whether the sense terminals are used, 4-wire (bool).")

    # --- source

    source_function = choice(":SOUR:FUNC", "Control what is sourced (str, 'VOLT', 'CURR' or 'MEM').", ("VOLT", "CURR", "MEM"))
    source_mode = choice(
        ":SOUR:VOLT:MODE", "Control how the voltage is sourced (str, 'FIX', 'SWE' or 'LIST').", ("FIX", "SWE", "LIST")
    )
    source_voltage = number(":SOUR:VOLT", "Control the source level (V, strictly -210 to 210).", -210, 210)
    source_voltage_triggered = number(
        ":SOUR:VOLT:TRIG", "Control the level that the next trigger applies (V, strictly -210 to 210).", -210, 210
    )
    source_voltage_range = number(
        ":SOUR:VOLT:RANG", "Control the source range by the level to reach (V, strictly -210 to 210); fixes it.", -210, 210
    )
    source_voltage_auto_range = switch(":SOUR:VOLT:RANG:AUTO", "Control whether the source range follows the level (bool).")
    source_delay = number(":SOUR:DEL", "Control the wait from source to measurement (s, strictly 0 to 9999.999).", 0, 9999.999)
    source_auto_delay = switch(":SOUR:DEL:AUTO", "Control whether the instrument chooses the source delay (bool).")
    list_points = register(":SOUR:LIST:VOLT:POIN", "Get the length of the source list (points, 0 to 2500).")

    # --- measurement

    compliance_current = number(":SENS:CURR:PROT", "Control the current limit (A, strictly -1.05 to 1.05).", -1.05, 1.05)
    compliance_tripped = flag(":SENS:CURR:PROT:TRIP", "Get whether the current is being limited (bool).")
    current_range = number(
        ":SENS:CURR:RANG", "Control the current range by the current to reach (A, strictly -1.05 to 1.05).", -1.05, 1.05
    )
    current_auto_range = switch(":SENS:CURR:RANG:AUTO", "Control whether the current range follows the reading (bool).")
    nplc = number(":SENS:CURR:NPLC", "Control the integration time of all functions (line cycles, 0.01 to 10).", 0.01, 10)
    auto_zero = switch(":SYST:AZER", "Control whether readings are corrected for zero drift (bool); off is faster.")
    averaging = switch(":SENS:AVER", "Control whether readings are averaged (bool).")
    averaging_count = integer(":SENS:AVER:COUN", "Control how many readings are averaged (1 to 100).", 1, 100)
    concurrent = switch(":SENS:FUNC:CONC", "Control whether several functions are measured at once (bool).")
    functions = subset(
        ":SENS:FUNC", "Control the measured functions (list of 'VOLT', 'CURR', 'RES').", ("VOLT", "CURR", "RES"), quoted=True
    )
    elements = subset(
        ":FORM:ELEM", "Control what a reading holds (list of 'VOLT', 'CURR', 'RES', 'TIME', 'STAT', in this order).", ELEMENTS
    )
    data_format = choice(
        ":FORM:DATA", "Control how readings are sent (str, 'ASC', 'REAL,32' or 'SRE').", ("ASC", "REAL,32", "SRE")
    )

    # --- trigger model: idle -> arm layer -> trigger layer

    arm_count = integer(":ARM:COUN", "Control how often the arm layer is passed (1 to 2500).", 1, 2500)
    arm_source = choice(":ARM:SOUR", f"Control what the arm layer waits for (str, one of {ARM_SOURCES}).", ARM_SOURCES)
    arm_timer = number(":ARM:TIM", "Control the arm layer's interval (s, strictly 0.001 to 99999.99).", 0.001, 99999.99)
    arm_input_line = integer(":ARM:ILIN", "Control the arm layer's input line (1 to 4).", 1, 4)
    arm_output_line = integer(":ARM:OLIN", "Control the arm layer's output line (1 to 4).", 1, 4)
    arm_output_event = choice(
        ":ARM:OUTP", "Control when the arm layer sends a pulse (str, 'TENT', 'TEX' or 'NONE').", ("TENT", "TEX", "NONE")
    )
    trigger_count = integer(":TRIG:COUN", "Control how often the trigger layer is passed (1 to 2500).", 1, 2500)
    trigger_source = choice(":TRIG:SOUR", "Control what the trigger layer waits for (str, 'IMM' or 'TLIN').", ("IMM", "TLIN"))
    trigger_delay = number(":TRIG:DEL", "Control the trigger layer's delay (s, strictly 0 to 999.9999).", 0, 999.9999)
    trigger_input_event = choice(":TRIG:INP", f"Control which action waits for an edge (str, one of {EVENTS}).", EVENTS)
    trigger_input_line = integer(":TRIG:ILIN", "Control the trigger layer's input line (1 to 4).", 1, 4)
    trigger_output_event = choice(":TRIG:OUTP", f"Control which action sends a pulse (str, one of {EVENTS}).", EVENTS)
    trigger_output_line = integer(":TRIG:OLIN", "Control the trigger layer's output line (1 to 4).", 1, 4)

    # --- buffer; *RST does not touch it

    buffer_points = integer(":TRAC:POIN", "Control the size of the buffer (readings, 1 to 2500).", 1, BUFFER_READINGS)
    buffer_count = register(":TRAC:POIN:ACT", "Get the number of readings in the buffer (0 to 2500).")
    buffer_feed = choice(":TRAC:FEED", "Control what is stored (str, 'SENS' or 'CALC').", ("SENS", "CALC"))
    buffer_control = choice(":TRAC:FEED:CONT", "Control storing (str, 'NEXT' until full, 'NEV' not at all).", ("NEXT", "NEV"))
    buffer_timestamps = choice(
        ":TRAC:TST:FORM", "Control stored times (str, 'ABS' since the first reading, 'DELT' between them).", ("ABS", "DELT")
    )

    # --- status and system

    next_error = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride] - PyMeasure's own mixin does it
        ":SYST:ERR?", "Get and remove the oldest error of the queue (list of str: code, text).", cast=str, maxsplit=1
    )
    measurement_condition = register(":STAT:MEAS:COND", "Get the measurement register (bits: 9 buffer full, 14 compliance).")
    operation_condition = register(":STAT:OPER:COND", "Get the operation register (bits: 3 sweeping, 5 waits, 10 idle).")
    questionable_condition = register(":STAT:QUES:COND", "Get the questionable register (bit 8 calibration).")
    event_status = register("*ESR", "Get and clear the event status register (0 to 255).")
    status_byte = register("*STB", "Get the status byte (0 to 255); answered after its end while a list runs.")
    line_frequency = Instrument.control(
        ":SYST:LFR?",
        ":SYST:LFR %d",
        "Control the power line frequency (Hz, strictly 50 or 60).",
        validator=strict_discrete_set,
        values=(50, 60),
        get_process=int,
    )
    display_enabled = switch(":DISP:ENAB", "Control whether the front panel shows readings (bool); off is faster.")

    # --- actions

    def list_voltages(self, levels_v: Sequence[float]) -> None:
        """Load the source list (V): 1 to 2500 levels, at most 100 per message."""
        if not 1 <= len(levels_v) <= self.max_list_points:
            raise ValueError(f"a list has 1 to {self.max_list_points} levels, not {len(levels_v)}")
        for level_v in levels_v:
            strict_range(level_v, (-210, 210))
        command = ":SOUR:LIST:VOLT"
        for text in batches(levels_v, LIST_VALUES_PER_MESSAGE):
            self.write(f"{command} {text}")
            command = ":SOUR:LIST:VOLT:APP"

    def clear_buffer(self) -> None:
        """Stop storing and empty the buffer."""
        self.write(":TRAC:FEED:CONT NEV;:TRAC:CLE")

    def reset_time(self) -> None:
        """Let the time stamps of readings start at 0."""
        self.write(":SYST:TIME:RES")

    def shutdown(self) -> None:
        """Switch the output off, write-only."""
        self.make_safe()
        super().shutdown()

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a question and return its answer.

        Raises
        ------
        InstrumentError  a list runs: the answer would come after its end, if it ends
        """
        if self._sweeping:
            raise InstrumentError(
                f"{self.name} walks a list and answers nothing before its end; {command!r} was not sent.",
                where=self.name,
                hardware_state="list armed or running, output as the list says",
                next_step="collect() or make_safe() first",
            )
        return super().ask(command, query_delay)

    # --- role VoltageSource

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not a 2400, or not the one that answered before
        """
        self._regain()
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self, limits: SourceLimits) -> None:
        """Switch off, reset, fix ranges and current limit, read them back; errors from before are dropped.

        An output-enable line that is in use stays in use: the reset would put it out of force.

        Raises
        ------
        RefusedError      the limits are impossible for this model; nothing was sent
        ReadbackMismatch  range, current limit or the use of the output-enable line are not as set
        InstrumentError   the instrument reported errors
        """
        self._refuse(check_limits(limits, 210, 1.05))
        self.make_safe()
        self._regain()
        self._program, self._on = None, False  # loaded under limits that may have been wider
        largest_v = max(abs(limits.voltage_min_v), abs(limits.voltage_max_v))
        self.clear()
        guarded = self.output_enable_line
        self.reset()
        if guarded:
            set_and_confirm(self, self.name, "output_enable_line", True)
            self.live()  # a line that is closed says so once more when it is put in use
        self.clear_buffer()
        self._set(RESET_STATE)
        self.source_voltage_range = largest_v
        # the limit first: a fixed current range would refuse a limit beyond it (+824)
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
        InstrumentError  prepare() was not called, or a list is to be loaded while the output is on
        """
        if self._limits is None:
            raise InstrumentError(
                f"{self.name} has no limits yet, or lost them with its link.", where=self.name, next_step="prepare() it first"
            )
        if isinstance(program, HoldLevel):
            self._refuse(check_levels((program.voltage_v,), self._limits))
            if not isinstance(self._program, HoldLevel):
                self._program = None  # half of a list may be in it, until this is done
                self._load_hold()
            if not self._on:  # so that nothing is left to be said between the decision to switch on and doing it
                set_and_confirm(self, self.name, "source_voltage", program.voltage_v, LEVEL_TOLERANCE_V)
        else:
            self._refuse([*check_levels(program.levels_v, self._limits), *check_list(program, self.max_list_points)])
            self._program = None
            self._load_list(program)
        self._program = program

    def arm(self) -> None:
        """Switch the loaded level on, or wait for the first edge of the list.

        Raises
        ------
        ReadbackMismatch  the level is not as set
        InstrumentError   nothing is loaded, or the output stays off (output-enable line, over-temperature)
        """
        match self._program:
            case HoldLevel(voltage_v):
                was_on, self._on = self._on, True
                if was_on:
                    set_and_confirm(self, self.name, "source_voltage", voltage_v, LEVEL_TOLERANCE_V)
                else:
                    self.output_enabled = True
                if not self.output_enabled:
                    raise output_stays_off(
                        self.name, was_on, self.errors(), "check the output-enable line and the temperature warning"
                    )
            case LevelList():
                self._sweeping = True
                self.write(":ABOR;:TRIG:CLE;:INIT")  # one message: nothing can be decided halfway
            case None:
                raise InstrumentError(f"{self.name} has nothing loaded to arm.", where=self.name, next_step="load() a program")

    def measure(self) -> SourceReading:
        """Measure V and I once.

        Raises
        ------
        InstrumentError  the output is off or a list runs: nothing was measured and nothing switched
        """
        with conversation(self.adapter, MEASURE_TIMEOUT_S):
            if not isinstance(self._program, HoldLevel) and not self.output_enabled:
                reading = None  # with auto output-off the second half would start the list, or what came of one
            else:
                # one message: with the output off the first half is answered, the second refused (error +803)
                reading = self.asked(MEASURE, measured)
        if reading is None:
            raise InstrumentError(
                f"{self.name} was asked to measure while its output is off: "
                f"{'; '.join([*blocked_by(self.live()), *self.errors()])}",
                where=self.name,
                hardware_state="output off, confirmed",
                next_step="arm() a level first; reading never switches the output on",
            )
        return reading

    def collect(self) -> list[SourceReading]:
        """Fetch what the list measured, one reading per executed point; a list that still waits is ended, output off."""
        self.make_safe()
        self._regain()
        count = self.buffer_count
        if count == 0:
            return []
        with conversation(self.adapter, READ_TIMEOUT_S + SECONDS_PER_READING * count):
            numbers = self.numbers(":TRAC:DATA?", count * len(READING))
            return [reading_of(numbers[start : start + len(READING)]) for start in range(0, len(numbers), len(READING))]

    def errors(self) -> list[str]:
        """Empty the error queue and return it, oldest first."""
        return drain_errors(lambda: self.asked(":SYST:ERR?", parse_error), self.name)

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask for the output-enable line, where it is in use, and the temperature warning, now and since the last time.

        One message; it clears the measurement event register.

        Raises
        ------
        InstrumentError  a list runs, or no answer that fits
        """
        return self.asked(LIVE, conditions)

    def make_safe(self) -> None:
        """Send off: ends a list, forgets edges, output off. Write-only, device clear first where the link has one."""
        self._sweeping = self._on = False
        send_now(self.adapter, self.off_message)

    def read_safe(self) -> SafeReadback:
        """Ask whether the output is off."""
        self._regain()
        on = self.output_enabled
        return SafeReadback(not on, f"output {'ON' if on else 'off'}")

    # --- parts

    def _ask_identity(self) -> Identity:
        return DRIVER.require(self.asked("*IDN?", parse_identity))

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
        points = len(program.levels_v)
        self.clear_buffer()
        self.list_voltages(program.levels_v)
        self._set(LIST_STATE)
        self.trigger_input_line = program.trigger_line
        self.trigger_count = points
        self.buffer_points = points
        self.buffer_control = "NEXT"
        require_no_errors(self.errors(), self.name, "a list was loaded")

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        if reasons:
            raise RefusedError(f"{self.name} refuses what it was given; nothing was sent.", tuple(reasons), where=self.name)


DRIVER = DriverEntry(
    model="keithley-2400",
    role="voltage_source",
    identity=r"KEITHLEY INSTRUMENTS( INC\.?)?,(MODEL )?2400\b",
    build=Keithley2400,
)
