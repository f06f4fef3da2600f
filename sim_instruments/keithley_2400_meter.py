"""The Keithley 2400 behind its parser: settings, output stage, trigger model, readings and status joined."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from sim_instruments.keithley_2400_output import Limited, OutputStage, effective_limit
from sim_instruments.keithley_2400_readings import (
    NAN,
    OVERFLOW,
    STAT_COMPLIANCE,
    STAT_FILTER,
    STAT_FOUR_WIRE,
    STAT_FRONT,
    STAT_I_MEASURED,
    STAT_I_SOURCE,
    STAT_OHMS,
    STAT_OVERFLOW,
    STAT_PROTECTION,
    STAT_RANGE_COMPLIANCE,
    STAT_V_MEASURED,
    STAT_V_SOURCE,
    TIME_WRAP_S,
    Reading,
    Store,
)
from sim_instruments.keithley_2400_settings import CURR_RANGES, VOLT_RANGES, Settings, Standing, lowest_range
from sim_instruments.keithley_2400_status import (
    MEAS_AVAILABLE,
    MEAS_COMPLIANCE,
    MEAS_ENABLE,
    MEAS_FULL,
    MEAS_OVERFLOW,
    MEAS_READING,
    MEAS_TOO_HOT,
    MEAS_VOLTAGE_LIMIT,
    Status,
)
from sim_instruments.keithley_2400_trigger import Phase, TriggerModel
from sim_instruments.scpi import ScpiError

RANGE_CHANGE_NS = 13_300_000  # at most 75 range changes a second. Source: SPEC-2400 rev L
NOISE_OF_RANGE = 2e-4
CURRENT_NOISE_A = 1e-9
# Auto delay by current range: 3 ms, 2 ms, else 1 ms. Source: 2400 quick results guide; which range, from memory
AUTO_DELAY_NS = {1e-6: 3_000_000, 1e-5: 2_000_000}
AUTO_DELAY_ELSE_NS = 1_000_000


class Noise(Protocol):
    """A source of standard normal numbers (numpy's Generator is one)."""

    def standard_normal(self) -> float:
        """Draw one."""
        ...


@dataclass(frozen=True, slots=True)
class Keithley2400Quirks:
    """What differs between links and units, or is not documented.

    Parameters
    ----------
    serial_link          RS-232 instead of GPIB: ASCII data only, Ctrl-C aborts, Ctrl-X clears, no query interruption
    auto_delay_told      SOUR:DEL? answers the automatic delay while that is on, as PyMeasure's test on the instrument found
                         (1 ms after *RST); else what was set, by the manual 0
    identity_blanks      blanks after the commas of *IDN?, as the manual prints it; instruments in the field have none
    firmware             last field of *IDN?
    line_frequency_hz    what the instrument has found at power-on
    trigger_latency_ns   from a detected trigger to the start of the source action. Source: 2400S-900-01 rev K, appendix
    source_set_ns        until the new level has settled. Source: same
    step_overhead_ns     rest of a cycle; makes 360 us with the two above, the manual's example
    auto_delay_extra_ns  what the automatic source delay takes longer than its name (about 100 us). Source: same
    measure_overhead_ns  of a measured cycle; makes 990 readings/s at 0.01 NPLC, 50 Hz, no auto-zero. Source: SPEC-2400
    message_time_ns      transfer and parsing of one message over GPIB, assumed; 0 where the wire is real and takes its own
    """

    serial_link: bool = False
    auto_delay_told: bool = True
    identity_blanks: bool = False
    firmware: str = "C30   Mar 17 2006 09:29:29/A02  /K/J"
    line_frequency_hz: int = 50
    trigger_latency_ns: int = 225_000
    source_set_ns: int = 50_000
    step_overhead_ns: int = 85_000
    auto_delay_extra_ns: int = 100_000
    measure_overhead_ns: int = 450_000
    message_time_ns: int = 1_000_000

    def __deepcopy__(self, memo: dict[int, Any]) -> "Keithley2400Quirks":
        return self


@dataclass
class SourceMeter:
    """The instrument without its interface; fulfils Cycle of the trigger model.

    Parameters
    ----------
    output             output stage with the load on it
    noise              read noise
    pulses             (line, falling edge ns) of output triggers not fetched yet
    interlock_closed   state of the output-enable line of the digital port
    too_hot            whether the over-temperature protection holds the output off
    """

    output: OutputStage
    noise: Noise
    serial: str
    quirks: Keithley2400Quirks
    settings: Settings = field(default_factory=Settings)
    standing: Standing = field(default_factory=Standing)
    status: Status = field(default_factory=Status)
    store: Store = field(default_factory=Store)
    saved: dict[int, Settings] = field(default_factory=dict[int, Settings])
    pulses: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    interlock_closed: bool = True
    too_hot: bool = False
    switched_on_ns: int = 0
    levels: tuple[float, ...] = ()
    point: int = 0
    trigger: TriggerModel = field(init=False)

    def __post_init__(self) -> None:
        self.trigger = TriggerModel(self)
        self.standing.line_frequency_hz = self.quirks.line_frequency_hz

    # --- what commands do

    def initiate(self, t_ns: int) -> None:
        """Leave idle; ScpiError -213 while running, +803 with the output off, +801 without levels to walk."""
        if self.trigger.running:
            raise ScpiError(-213)
        self.levels = self.settings.levels()
        if not self.levels and self.settings.source_mode != "FIX":
            raise ScpiError(801)  # assumed: the manual does not say what an empty list does
        if not self.output.on:
            if not self.settings.auto_clear:
                raise ScpiError(803)
            self._check_blocked()
        self.point = 0
        self.store.latest.clear()
        if self.settings.time_reset_auto:
            self.switched_on_ns = t_ns
        self.trigger.start(t_ns)

    def switch(self, on: bool, t_ns: int) -> None:
        """Switch the output; ScpiError +802 when the output-enable line blocks it, +810 when it is too hot."""
        if on and not self.output.on:
            self._check_blocked()
            self.output.level = self.bias
        self.output.on = on
        self.regulate(t_ns)

    def reading_ns(self) -> int | None:
        """How long READ? takes from now on (ns); None when not even READ? is certain, or its length."""
        settings = self.settings
        at_once = settings.arm_source == settings.trig_source == "IMM" and settings.source_mode == "FIX" and not self.levels
        if not (at_once and self.output.on and not settings.auto_clear and settings.arm_count < float("inf")):
            return None
        cycle_ns = sum(self.duration_ns(phase) for phase in (Phase.SOURCE, Phase.DELAY, Phase.MEASURE, Phase.OVERHEAD))
        return int(settings.arm_count) * settings.trig_count * cycle_ns

    def set_level(self, t_ns: int) -> None:
        """Bring the programmed level to the output."""
        self.output.level = self.bias
        self.regulate(t_ns)

    def regulate(self, t_ns: int) -> None:
        """Let the output stage settle on the present load and settings."""
        self.output.apply(self.settings, t_ns)

    def reset(self, settings: Settings, t_ns: int) -> None:
        """Abort, switch the output off and take over a whole set-up; data store and standing settings stay."""
        self.trigger.abort(t_ns)
        self.output.on = False
        self.settings = settings
        self.set_level(t_ns)

    @property
    def bias(self) -> float:
        """Programmed level of the active source (V or A)."""
        return self.settings.source_v if self.settings.sourcing_voltage else self.settings.source_a

    def _check_blocked(self) -> None:
        if self.settings.output_enable and not self.interlock_closed:
            raise ScpiError(802)
        if self.too_hot:
            raise ScpiError(810)

    def refresh(self) -> None:
        """Bring the condition registers up to date."""
        self.status.set_condition(self.status.operation, self.trigger.condition())
        stored = len(self.store.stored)
        bits = MEAS_AVAILABLE if stored >= 2 else 0
        if stored >= self.standing.buffer_points and not self.store.active:
            bits |= MEAS_FULL
        if self.settings.output_enable and self.interlock_closed:
            bits |= MEAS_ENABLE
        if self.too_hot:
            bits |= MEAS_TOO_HOT
        if self.output.protected:
            bits |= MEAS_VOLTAGE_LIMIT
        if self.output.limited is not Limited.NOT:
            bits |= MEAS_COMPLIANCE
        self.status.set_condition(self.status.measurement, bits)

    # --- Cycle: what the trigger model does

    def duration_ns(self, phase: Phase) -> int:
        """How long a timed phase lasts (ns)."""
        if phase is Phase.SOURCE:
            delay_ns = round(self.settings.trig_delay_s * 1e9)
            return self.quirks.trigger_latency_ns + delay_ns + self._range_change_ns() + self.quirks.source_set_ns
        if phase is Phase.DELAY:
            return self.source_delay_ns() + (self.quirks.auto_delay_extra_ns if self.settings.source_delay_auto else 0)
        if phase is Phase.MEASURE:
            return self._measure_ns()
        return self.quirks.step_overhead_ns

    def enter_layer(self, t_ns: int) -> None:
        """Auto output-off with TCO switches on here, at the programmed level until the first trigger."""
        if self.settings.auto_clear and self.settings.auto_clear_mode == "TCO":
            self.switch(True, t_ns)

    def leave_layer(self, t_ns: int) -> None:
        """Auto output-off switches off; otherwise the last level stays at the output (assumed)."""
        if self.settings.auto_clear:
            self.switch(False, t_ns)

    def source(self, t_ns: int) -> bool:
        """Put out the next level; True when an early compliance abort ends the sweep."""
        settings = self.settings
        if self.levels:
            self.output.level = self.levels[self.point % len(self.levels)]
            self.point += 1
        elif settings.sourcing_voltage:
            self.output.level = settings.source_v = settings.triggered_v
        else:
            self.output.level = settings.source_a = settings.triggered_a
        if settings.auto_clear:
            self.output.on = True
        self.regulate(t_ns)
        return self._aborts("EARL")

    def measure(self, t_ns: int) -> bool:
        """Take a reading; True when a late compliance abort ends the sweep."""
        self.regulate(t_ns)
        reading = self._reading(t_ns)
        filled = self.store.add(reading, self.standing)
        self.status.pulse(self.status.measurement, MEAS_READING | (MEAS_OVERFLOW if reading.status & STAT_OVERFLOW else 0))
        if filled:
            self.refresh()
        ends = self._aborts("LATE")
        if self.settings.auto_clear and self.settings.auto_clear_mode == "ALW":
            self.switch(False, t_ns)
        return ends

    def pulse(self, line: int, t_ns: int) -> None:
        """Send a pulse on a trigger-link line."""
        self.pulses.append((line, t_ns))

    def _aborts(self, when: str) -> bool:
        return bool(self.levels) and self.settings.compliance_abort == when and self.output.limited is not Limited.NOT

    def _range_change_ns(self) -> int:
        settings = self.settings
        volt = settings.sourcing_voltage
        automatic = settings.source_volt_auto if volt else settings.source_curr_auto
        if not (self.levels and automatic and settings.sweep_ranging == "AUTO"):
            return 0
        ranges = VOLT_RANGES if volt else CURR_RANGES
        coming = lowest_range(ranges, self.levels[self.point % len(self.levels)])
        return 0 if coming == self.output.source_range(settings) else RANGE_CHANGE_NS

    def source_delay_ns(self) -> int:
        """Time between a new level and the measurement (ns), automatic or set."""
        settings = self.settings
        if not settings.source_delay_auto:
            return round(settings.source_delay_s * 1e9)
        range_a = self._current_range_a(settings.current_limit_a)
        return AUTO_DELAY_NS.get(range_a, AUTO_DELAY_ELSE_NS)

    def _measured(self) -> frozenset[str]:
        functions = frozenset(self.settings.functions)
        return functions | {"VOLT", "CURR"} if "RES" in functions else functions

    def _measure_ns(self) -> int:
        """Conversions of V and I, two more for auto-zero, each NPLC line periods, times a repeating filter's count."""
        settings = self.settings
        conversions = len(self._measured() & {"VOLT", "CURR"})
        if not conversions:
            return 0
        repeats = settings.filter_count if settings.filter_on and settings.filter_type == "REP" else 1
        conversions += 2 if settings.auto_zero else 0
        period_ns = 1e9 / self.standing.line_frequency_hz
        return round(repeats * conversions * settings.nplc * period_ns) + self.quirks.measure_overhead_ns

    def _current_range_a(self, current_a: float) -> float:
        settings = self.settings
        if not settings.sourcing_voltage:
            return self.output.source_range(settings)
        if not settings.sense_curr_auto:
            return settings.sense_curr_range_a
        return lowest_range(CURR_RANGES, min(abs(current_a), effective_limit(settings).value))

    def _voltage_range_v(self, voltage_v: float) -> float:
        settings = self.settings
        if settings.sourcing_voltage:
            return self.output.source_range(settings)
        return lowest_range(VOLT_RANGES, voltage_v) if settings.sense_volt_auto else settings.sense_volt_range_v

    def _reading(self, t_ns: int) -> Reading:
        """Measure what is switched on; what is sourced but not measured is reported as programmed, the rest as NAN."""
        settings, output, measured = self.settings, self.output, self._measured()
        voltage_v = self._sourced_or_nan(settings.sourcing_voltage)
        current_a = self._sourced_or_nan(not settings.sourcing_voltage)
        if "VOLT" in measured:
            sigma_v = NOISE_OF_RANGE * self._voltage_range_v(output.voltage_v)
            voltage_v = output.voltage_v + sigma_v * self.noise.standard_normal()
        if "CURR" in measured:
            true_a = output.current_a(settings, t_ns)
            sigma_a = NOISE_OF_RANGE * self._current_range_a(true_a) + CURRENT_NOISE_A
            current_a = true_a + sigma_a * self.noise.standard_normal()
        resistance_ohm = NAN
        if "RES" in measured:
            resistance_ohm = voltage_v / current_a if abs(current_a) > 1e-30 else OVERFLOW
        time_s = (t_ns - self.switched_on_ns) * 1e-9 % TIME_WRAP_S
        status = self._status_word(measured) | (STAT_OVERFLOW if resistance_ohm == OVERFLOW else 0)
        return Reading(voltage_v, current_a, resistance_ohm, time_s, status)

    def _sourced_or_nan(self, sourced: bool) -> float:
        """Level at the output of what is sourced, +9.91E37 for what is not."""
        return self.output.level if sourced else NAN

    def _status_word(self, measured: frozenset[str]) -> int:
        settings = self.settings
        bits = (
            (STAT_FILTER, settings.filter_on),
            (STAT_FRONT, settings.terminals == "FRON"),
            (STAT_COMPLIANCE, self.output.limited is Limited.COMPLIANCE),
            (STAT_PROTECTION, self.output.protected),
            (STAT_V_MEASURED, "VOLT" in measured),
            (STAT_I_MEASURED, "CURR" in measured),
            (STAT_OHMS, "RES" in measured),
            (STAT_V_SOURCE, settings.sourcing_voltage),
            (STAT_I_SOURCE, not settings.sourcing_voltage),
            (STAT_RANGE_COMPLIANCE, self.output.limited is Limited.RANGE_COMPLIANCE),
            (STAT_FOUR_WIRE, settings.four_wire),
        )
        return sum(bit for bit, state in bits if state)
