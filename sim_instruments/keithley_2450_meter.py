"""The Keithley 2450 behind its parser: settings, output stage, trigger model, readings and event log joined.

The output stage is that of the 2400: a source that holds its level until its limit holds it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from sim_instruments.keithley_2400_output import Limited, OutputStage
from sim_instruments.keithley_2400_settings import Settings as StageSettings
from sim_instruments.keithley_2450_blocks import (
    Block,
    BufferClear,
    Delay,
    DigitalIo,
    LogEvent,
    Measure,
    Notify,
    Recall,
    SourceState,
    UserDelay,
    Wait,
)
from sim_instruments.keithley_2450_buffers import (
    OVERFLOW,
    STAT_LIMIT,
    STAT_OUTPUT,
    STAT_SENSE,
    STAT_TERMINAL,
    Buffers,
    Form,
    Reading,
    ReadingBuffer,
    format_readings,
)
from sim_instruments.keithley_2450_digital import DigitalPort
from sim_instruments.keithley_2450_lists import ConfigurationLists
from sim_instruments.keithley_2450_log import (
    ABORTED,
    COMPLETED,
    EMPTIED,
    FAILED,
    FILLED,
    INFORMATION,
    INTERLOCK,
    NO_TRIGGER_MODEL,
    PAST_CAPACITY,
    STARTED,
    Status,
)
from sim_instruments.keithley_2450_settings import (
    CURR_RANGES,
    FULL_SCALE,
    MAX_V,
    RANGES,
    VOLT_RANGES,
    SenseSide,
    Settings,
    SourceSide,
    Standing,
    lowest_range,
)
from sim_instruments.keithley_2450_trigger import TriggerModel
from sim_instruments.scpi import ScpiError

NOISE_OF_RANGE = 5e-5  # assumed
NOISE_FLOOR = {"VOLT": 1e-6, "CURR": 1e-10}  # assumed
HIGH_VOLTAGE_V, HIGH_VOLTAGE_LIMIT_A = 21.0, 0.105  # the 200 V range carries 100 mA


class Noise(Protocol):
    """A source of standard normal numbers (numpy's Generator is one)."""

    def standard_normal(self) -> float:
        """Draw one."""
        ...


@dataclass(frozen=True, slots=True)
class Keithley2450Quirks:
    """What differs between links and units, or is not documented; times are assumed unless a source is given.

    Parameters
    ----------
    socket_link            a raw socket: replies stay in line, nothing interrupts a query, there is no device clear
    message_time_ns        transfer and parsing of one message
    maker_name             first field of *IDN?; the manual prints "KEITHLEY INSTRUMENTS INC."
    firmware               last field of *IDN?
    line_frequency_hz      what the instrument has found at power-on
    default_buffer_points  of defbuffer1 and 2: 100000 (2461 rev A); 10000 in 2450 rev B
    abort_overtakes        an ABORt acts past a *WAI, *OPC? or measurement that holds up the messages before it
    clear_aborts           a device clear ends the trigger model too
    interlock_limit_v      reached with the interlock open: 42 V; 38 V in 2450 rev B
    trigger_latency_ns     from an edge on a digital line to the end of the wait for it
    block_ns               any block that takes no time by itself
    recall_ns              recall from a configuration list, until the level is out
    output_ns              switching the output
    measure_overhead_ns    of a reading; makes 2900 readings/s at 0.01 NPLC, 50 Hz, without auto-zero and read-back
    auto_delay_ns          automatic source delay
    """

    socket_link: bool = False
    message_time_ns: int = 1_000_000
    maker_name: str = "KEITHLEY INSTRUMENTS"
    firmware: str = "1.7.12b"
    line_frequency_hz: int = 50
    default_buffer_points: int = 100_000
    abort_overtakes: bool = True
    clear_aborts: bool = False
    interlock_limit_v: float = 42.0
    trigger_latency_ns: int = 20_000
    block_ns: int = 5_000
    recall_ns: int = 250_000
    output_ns: int = 500_000
    measure_overhead_ns: int = 145_000
    auto_delay_ns: int = 1_000_000


@dataclass
class Job:
    """A measurement that a message waits for."""

    buffer: ReadingBuffer
    elements: tuple[str, ...]
    left: int
    due_ns: int


@dataclass
class SourceMeter:
    """The instrument without its interface; fulfils Worker of the trigger model."""

    output: OutputStage
    noise: Noise
    serial: str
    quirks: Keithley2450Quirks
    settings: Settings = field(default_factory=Settings)
    standing: Standing = field(default_factory=Standing)
    status: Status = field(default_factory=Status)
    digital: DigitalPort = field(default_factory=DigitalPort)
    source_lists: ConfigurationLists[SourceSide] = field(default_factory=ConfigurationLists[SourceSide])
    sense_lists: ConfigurationLists[SenseSide] = field(default_factory=ConfigurationLists[SenseSide])
    saved: dict[int, Settings] = field(default_factory=dict[int, Settings])
    interlock_closed: bool = True
    completion_asked: bool = False
    job: Job | None = None
    settled_ns: int = 0
    buffers: Buffers = field(init=False)
    trigger: TriggerModel = field(init=False)

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.quirks.default_buffer_points)
        self.trigger = TriggerModel(self)
        self.standing.line_frequency_hz = self.quirks.line_frequency_hz

    # --- what commands do

    def initiate(self, t_ns: int) -> None:
        """Start the trigger model; ScpiError -213 while it runs, 2710 without blocks, -221 for a wait for nothing."""
        if self.trigger.running:
            raise ScpiError(-213)
        if not self.trigger.blocks:
            raise ScpiError(NO_TRIGGER_MODEL)
        if any(isinstance(block, Wait) and "NONE" in block.events for block in self.trigger.blocks.values()):
            raise ScpiError(-221)
        self.source_lists.position.clear()
        self.sense_lists.position.clear()
        for line in self.digital.lines.values():
            line.detected = False
        self.status.report(STARTED, t_ns)
        self.trigger.start(t_ns)

    def abort(self, t_ns: int) -> None:
        """ABORt: the trigger model ends, and a measurement that a message waits for."""
        self.job = None
        self.trigger.abort(t_ns)

    def reset(self, t_ns: int) -> None:
        """*RST: abort, output off, everything as at power-on; log, language and status enables stay."""
        self.abort(t_ns)
        self.trigger.load({})
        self.source_lists, self.sense_lists = ConfigurationLists(), ConfigurationLists()
        self.buffers.reset()
        self.digital.reset()
        self.status.unmap()
        self.take_over(Settings(), t_ns)

    def take_over(self, settings: Settings, t_ns: int) -> None:
        """Switch off and take over a whole set-up."""
        self.output.on = False
        self.settings = settings
        self.set_level(t_ns)

    def switch(self, on: bool, t_ns: int) -> None:
        """Switch the output; the trigger model goes on (assumed)."""
        if on and not self.output.on:
            self.output.level = self.settings.source.level
            self._settle_from(t_ns)
        self.output.on = on
        self.regulate(t_ns)

    def set_level(self, t_ns: int) -> None:
        """Bring the programmed level to the output."""
        if self.settings.source.level != self.output.level:
            self.output.level = self.settings.source.level
            self._settle_from(t_ns)
        self.regulate(t_ns)

    def regulate(self, t_ns: int) -> None:
        """Let the output stage settle on the present load and settings; reaching a limit is a trigger event."""
        before = self.output.limited
        self.output.apply(self.stage(), t_ns)
        if self.output.limited is not Limited.NOT and before is Limited.NOT:
            self.event("SLIM", t_ns)

    def begin(self, buffer: ReadingBuffer, elements: tuple[str, ...], t_ns: int) -> None:
        """Begin the readings that READ? asks for."""
        self.job = Job(buffer, elements, self.settings.count, self._ready_ns(t_ns) + self.reading_ns())

    def advance_job(self, t_ns: int) -> bytes | None:
        """One reading is done; return the reply when it was the last."""
        job = self.job
        if job is None:
            return None
        self.take_reading(job.buffer, t_ns)
        job.left -= 1
        if job.left:
            job.due_ns = t_ns + self.reading_ns()
            return None
        self.job = None
        return self.told_last(job.buffer, job.elements)

    def told_last(self, buffer: ReadingBuffer, elements: tuple[str, ...]) -> bytes:
        """Return the newest reading of a buffer as it is sent; ScpiError -230 when it is empty (code assumed)."""
        if not elements:
            return b""
        if not buffer.readings:
            raise ScpiError(-230)
        return format_readings([buffer.readings[-1]], elements, buffer.readings[0].t_ns, self.form)

    @property
    def form(self) -> Form:
        """Get how numbers are sent."""
        return Form(self.settings.data_format, self.settings.byte_order, self.settings.precision)

    def event(self, name: str, t_ns: int) -> None:
        """A trigger event: for the trigger model, and for lines it stimulates."""
        self.digital.stimulate(name, t_ns)
        self.trigger.event(name, t_ns)

    # --- Worker: what the trigger model makes it do

    def duration_ns(self, block: Block, t_ns: int) -> int:
        """How long a block takes (ns)."""
        quirks = self.quirks
        if isinstance(block, Measure):
            return self._ready_ns(t_ns) - t_ns + self.reading_ns()
        if isinstance(block, Recall):
            return quirks.recall_ns
        if isinstance(block, SourceState):
            return quirks.output_ns
        delay_s = 0.0
        if isinstance(block, Delay):
            delay_s = block.delay_s
        elif isinstance(block, UserDelay):
            side = self.settings.source if block.of_source else self.settings.sense
            delay_s = side.user_delays_s[block.number - 1]
        return quirks.block_ns + round(delay_s * 1e9)

    def latency_ns(self) -> int:
        """From an event to the end of the wait for it (ns)."""
        return self.quirks.trigger_latency_ns

    def limited(self) -> bool:
        """Whether the source is held by its limit."""
        return self.output.limited is not Limited.NOT

    def consumed(self, event: str) -> None:
        """A block has taken an event."""
        self.digital.forget(event)

    def ended(self, state: str, t_ns: int) -> None:
        """The model is idle: the output stays as it is."""
        self.status.report({"ABORTED": ABORTED, "FAILED": FAILED}.get(state, COMPLETED), t_ns)

    def perform(self, block: Block, t_ns: int) -> None:
        """Do what a block is for; a list that is gone ends the model."""
        try:
            self._perform(block, t_ns)
        except ScpiError as error:
            self.status.report(error.code, t_ns)
            self.trigger.fail(t_ns)

    def _perform(self, block: Block, t_ns: int) -> None:
        match block:
            case BufferClear():
                self.empty(self.buffers.find(block.buffer), t_ns)
            case Recall():
                for of_source, name, index in block.lists:
                    self._recall_listed(of_source, name, index, block.step)
                self.set_level(t_ns)
            case SourceState():
                self.switch(block.on, t_ns)
            case Measure():
                self.take_reading(self.buffers.find(block.buffer), t_ns)
            case DigitalIo():
                self.digital.write_masked(block.pattern, block.mask)
            case Notify():
                self.event(f"NOT{block.number}", t_ns)
            case LogEvent():
                self.status.post(block.message, block.kind, t_ns, block.code)
                if block.aborts:
                    self.trigger.abort(t_ns)
            case _:
                pass

    def _recall_listed(self, of_source: bool, name: str, index: int, step: int) -> None:
        if of_source:
            self.recall_source(name, self.source_lists.step(name, step) if step else index)
        else:
            self.recall_sense(name, self.sense_lists.step(name, step) if step else index)

    def recall_source(self, name: str, index: int) -> None:
        """Take settings over from a source list; the level follows with set_level."""
        function, side = self.source_lists.at(name, index)
        self.source_lists.position[name] = index - 1
        self.settings.source_function, self.settings.sources[function] = function, side

    def recall_sense(self, name: str, index: int) -> None:
        """Take settings over from a measurement list."""
        function, side = self.sense_lists.at(name, index)
        self.sense_lists.position[name] = index - 1
        self.settings.sense_function, self.settings.senses[function] = function, side

    # --- source

    def source_range(self) -> float:
        """Nominal source range in use (V or A)."""
        side, ranges = self.settings.source, RANGES[self.settings.source_function]
        return lowest_range(ranges, self.output.level) if side.range_auto else side.range_value

    def stage(self) -> StageSettings:
        """What the output stage must know.

        A fixed measuring range below the limit holds the output at its full scale, as in the 2400 (assumed).
        """
        settings = self.settings
        volt, curr = settings.sources["VOLT"], settings.sources["CURR"]
        senses, measured = settings.senses, settings.sense_function
        protection_v = settings.protection_v
        if not self.interlock_closed:
            protection_v = min(protection_v, self.quirks.interlock_limit_v)
        return StageSettings(
            source_function=settings.source_function,
            current_limit_a=volt.limit,
            voltage_limit_v=curr.limit,
            protection_v=protection_v,
            source_volt_auto=False,
            source_volt_range_v=self.source_range() if settings.sourcing_voltage else volt.range_value,
            source_curr_auto=False,
            source_curr_range_a=curr.range_value if settings.sourcing_voltage else self.source_range(),
            sense_curr_auto=measured != "CURR" or senses["CURR"].range_auto,
            sense_curr_range_a=senses["CURR"].range_value,
            sense_volt_auto=measured != "VOLT" or senses["VOLT"].range_auto,
            sense_volt_range_v=senses["VOLT"].range_value,
            off_state=settings.off_states[settings.source_function],
        )

    def check_interlock(self, t_ns: int) -> None:
        """Log that the open interlock holds the voltage down, when it does."""
        if not self.interlock_closed and self.output.on and self.output.protected:
            self.status.report(INTERLOCK, t_ns)

    def protected(self) -> bool:
        """Whether the overvoltage protection holds the output."""
        return self.output.protected and self.settings.protection_v < MAX_V

    def _settle_from(self, t_ns: int) -> None:
        side = self.settings.source
        self.settled_ns = t_ns + (self.quirks.auto_delay_ns if side.delay_auto else round(side.delay_s * 1e9))

    # --- measurement

    def _ready_ns(self, t_ns: int) -> int:
        """When a measurement wanted at `t_ns` begins: after the source delay, which runs from the last new level."""
        return max(t_ns, self.settled_ns if self.output.on else t_ns)

    def reading_ns(self) -> int:
        """How long one reading takes: conversions of NPLC line periods, one more for read-back, two for auto-zero."""
        sense = self.settings.sense
        conversions = (2 if self.settings.sense_function == "RES" else 1) + int(self.settings.source.read_back)
        conversions += 2 if sense.auto_zero else 0
        repeats = sense.filter_count if sense.filter_on and sense.filter_type == "REP" else 1
        period_ns = 1e9 / self.standing.line_frequency_hz
        return round(repeats * conversions * sense.nplc * period_ns) + self.quirks.measure_overhead_ns

    def take_reading(self, buffer: ReadingBuffer, t_ns: int) -> None:
        """Measure into a buffer."""
        self.regulate(t_ns)
        settings, measured = self.settings, self.settings.sense_function
        current_a = self.output.current_a(self.stage(), t_ns)
        true = {"VOLT": self.output.voltage_v, "CURR": current_a}
        unit = {"OHM": "RES", "WATT": "WATT"}.get(settings.sense.unit, measured)
        if unit != measured or measured == "RES":
            volts, amps = (self._noisy(name, true[name]) for name in ("VOLT", "CURR"))
            value = volts * amps if unit == "WATT" else volts / amps if abs(amps) > 1e-30 else OVERFLOW
        else:
            value = self._measured(measured, true[measured])
        sourced = settings.source_function
        source = self._noisy(sourced, true[sourced]) if settings.source.read_back else self.output.level
        status = STAT_TERMINAL if settings.terminals == "FRON" else 0
        limited = STAT_LIMIT if self.limited() else 0
        source_status = limited | (STAT_OUTPUT if self.output.on else 0) | (STAT_SENSE if settings.sense.four_wire else 0)
        self._store(buffer, Reading(value, source, t_ns, unit, sourced, status, source_status))

    def empty(self, buffer: ReadingBuffer, t_ns: int) -> None:
        """Clear a buffer, which is an event when there was something in it (the condition is assumed)."""
        if buffer.readings:
            buffer.readings.clear()
            self._tell_fill(buffer, EMPTIED, f"The fill status of {buffer.name} is 0% filled", t_ns)

    def _store(self, buffer: ReadingBuffer, reading: Reading) -> None:
        """Put a reading into a buffer; the one that fills it is an event, one for which there is no room an error."""
        was_full = len(buffer.readings) >= buffer.capacity
        if was_full and not buffer.continuous:
            self.status.report(PAST_CAPACITY, reading.t_ns)
            return
        buffer.add(reading)
        if not was_full and len(buffer.readings) >= buffer.capacity:
            self._tell_fill(buffer, FILLED, f"Reading buffer {buffer.name} is 100% filled", reading.t_ns)

    def _tell_fill(self, buffer: ReadingBuffer, code: int, text: str, t_ns: int) -> None:
        if buffer.log_state:
            self.status.post(text, INFORMATION, t_ns, code)
        else:
            self.status.notice(code)

    def _measured(self, function: str, true: float) -> float:
        sense = self.settings.senses[function]
        if not sense.range_auto and abs(true) > sense.range_value * FULL_SCALE * (1 + 1e-6):
            return OVERFLOW
        return self._noisy(function, true) - (sense.relative if sense.relative_on else 0.0)

    def _noisy(self, function: str, true: float) -> float:
        sense = self.settings.senses[function]
        ranges = VOLT_RANGES if function == "VOLT" else CURR_RANGES
        in_use = lowest_range(ranges, true) if sense.range_auto else sense.range_value
        return true + (NOISE_OF_RANGE * in_use + NOISE_FLOOR[function]) * self.noise.standard_normal()
