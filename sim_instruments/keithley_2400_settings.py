"""Everything a Keithley 2400 can be told and asked back: one typed field per setting, one row per command.

Defaults of `Settings` are those of *RST. Source of commands, limits and defaults: 2400S-900-01 rev K, section 18, unless
marked.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim_instruments.scpi import (
    LIMIT_WORDS,
    Flag,
    Kind,
    Real,
    ScpiError,
    Text,
    Value,
    Whole,
    Word,
    WordSet,
    parse_number,
    parse_string,
    parse_word,
    single,
)

FULL_SCALE = 1.05  # of the nominal range, for levels, compliance and readings
MAX_V = 210.0
MAX_A = 1.05
MAX_POINTS = 2500
LIST_MESSAGE_POINTS = 100
VOLT_RANGES = (0.2, 2.0, 20.0, 200.0)
CURR_RANGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
OHM_RANGES = (20.0, 200.0, 2e3, 2e4, 2e5, 2e6, 2e7, 2e8)
PROTECTIONS_V = (20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 160.0)
FUNCTIONS = ("VOLT", "CURR", "RES")
ELEMENTS = ("VOLTage", "CURRent", "RESistance", "TIME", "STATus")


def lowest_range(ranges: Sequence[float], value: float) -> float:
    """Nominal value of the lowest range whose 105 % hold |value|; the highest one when none does."""
    # a hair of tolerance: 1.05 * 1e-4 must hold a limit of 1.05e-4
    return next((r for r in ranges if abs(value) <= r * FULL_SCALE * (1 + 1e-9)), ranges[-1])


@dataclass
class Settings:
    """What *RST resets and *SAV saves; names carry units, words are the short forms of the manual."""

    source_function: str = "VOLT"
    volt_mode: str = "FIX"
    curr_mode: str = "FIX"
    source_v: float = 0.0
    source_a: float = 0.0
    triggered_v: float = 0.0
    triggered_a: float = 0.0
    source_volt_range_v: float = 20.0
    source_volt_auto: bool = True
    source_curr_range_a: float = 1e-4
    source_curr_auto: bool = True
    protection_v: float = MAX_V
    start_v: float = 0.0
    stop_v: float = 0.0
    start_a: float = 0.0
    stop_a: float = 0.0
    sweep_points: int = MAX_POINTS
    sweep_spacing: str = "LIN"
    sweep_direction: str = "UP"
    sweep_ranging: str = "BEST"
    compliance_abort: str = "NEV"
    list_v: tuple[float, ...] = ()
    list_a: tuple[float, ...] = ()
    list_v_start: int = 1
    list_a_start: int = 1
    source_delay_s: float = 0.0
    source_delay_auto: bool = True
    auto_clear: bool = False
    auto_clear_mode: str = "ALW"
    digital_level: int = 15
    digital_size: int = 3
    digital_auto_clear: bool = False
    off_state: str = "NORM"
    output_enable: bool = False
    terminals: str = "FRON"
    four_wire: bool = False
    functions: tuple[str, ...] = ("CURR",)
    concurrent: bool = True
    current_limit_a: float = 1.05e-4
    voltage_limit_v: float = 21.0
    limit_sync_curr: bool = False
    limit_sync_volt: bool = False
    sense_curr_range_a: float = 1e-4
    sense_curr_auto: bool = True
    sense_volt_range_v: float = 20.0
    sense_volt_auto: bool = True
    sense_res_range_ohm: float = 2e5
    sense_res_auto: bool = True
    res_mode: str = "AUTO"
    res_compensation: bool = False
    nplc: float = 1.0
    filter_on: bool = False
    filter_count: int = 10
    filter_type: str = "REP"
    auto_zero: bool = True
    auto_zero_cache: bool = False
    data_format: str = "ASC"
    byte_order: str = "NORM"
    elements: tuple[str, ...] = ("VOLT", "CURR", "RES", "TIME", "STAT")
    arm_count: float = 1
    arm_source: str = "IMM"
    arm_timer_s: float = 0.1
    arm_direction: str = "ACC"
    arm_input_line: int = 1
    arm_output_line: int = 2
    arm_output: tuple[str, ...] = ()
    trig_count: int = 1
    trig_source: str = "IMM"
    trig_delay_s: float = 0.0
    trig_direction: str = "ACC"
    trig_input_line: int = 1
    trig_output_line: int = 2
    trig_input: tuple[str, ...] = ("SOUR",)
    trig_output: tuple[str, ...] = ()
    statistic: str = "MEAN"
    time_reset_auto: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Settings":
        return copy.copy(self)  # all values are immutable

    @property
    def sourcing_voltage(self) -> bool:
        """Get whether the source holds a voltage (else a current)."""
        return self.source_function == "VOLT"

    @property
    def source_mode(self) -> str:
        """Get FIX, SWE or LIST of the active source."""
        return self.volt_mode if self.sourcing_voltage else self.curr_mode

    def levels(self) -> tuple[float, ...]:
        """Levels (V or A) of the sweep or list of the active source, in running order; empty in fixed mode."""
        volt = self.sourcing_voltage
        if self.source_mode == "LIST":
            values = self.list_v if volt else self.list_a
            first = (self.list_v_start if volt else self.list_a_start) - 1
            return values[::-1] if self.sweep_direction == "DOWN" else values[first:] + values[:first]
        if self.source_mode == "SWE":
            start, stop = (self.start_v, self.stop_v) if volt else (self.start_a, self.stop_a)
            last = max(self.sweep_points - 1, 1)
            if self.sweep_spacing == "LOG" and start * stop > 0:
                points = tuple(start * (stop / start) ** (i / last) for i in range(self.sweep_points))
            else:
                points = tuple(start + (stop - start) * i / last for i in range(self.sweep_points))
            return points[::-1] if self.sweep_direction == "DOWN" else points
        return ()


@dataclass
class Standing:
    """What *RST leaves alone; of the data store: 2400S-900-01 rev K, note to table 18-10."""

    line_frequency_hz: int = 50
    line_frequency_auto: bool = True
    display: bool = True
    display_digits: int = 6
    display_text: str = ""
    display_text_on: bool = False
    beeper: bool = True
    register_format: str = "ASC"
    power_on: str = "RST"
    buffer_points: int = 100
    buffer_feed: str = "SENS"
    buffer_control: str = "NEV"
    buffer_time: str = "ABS"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Standing":
        return copy.copy(self)


# --- kinds that only this instrument has ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range:
    """A measuring or source range, chosen by a value it must hold, UP or DOWN; read back as its full scale (105 %).

    The read-back as full scale follows the *RST value of the manual (21 V) and what PyMeasure's test on the instrument reads
    back. MIN and MAX are the lowest and the highest range.
    """

    ranges: tuple[float, ...]
    limit: float

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 when no range holds the value."""
        text = single(params)
        if text.upper() in ("UP", "DOWN"):
            i = self.ranges.index(float(str(current))) + (1 if text.upper() == "UP" else -1)
            return self.ranges[min(max(i, 0), len(self.ranges) - 1)]
        if text[0].isalpha():
            named: dict[str, Value] = {"MIN": self.ranges[0], "MAX": self.ranges[-1], "DEF": default}
            return named[parse_word(text, LIMIT_WORDS)]
        return lowest_range(self.ranges, float(str(Real(-self.limit, self.limit).parse(params, default, current))))

    def format(self, value: Any) -> str:
        """Full scale."""
        return f"{float(value) * FULL_SCALE:+.6E}"


@dataclass(frozen=True, slots=True)
class Protection:
    """Overvoltage protection: the highest step that |value| reaches, at least the lowest; above the last step NONE (210 V)."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 outside +-210 V."""
        text = single(params)
        if text[0].isalpha():
            named = {"MIN": PROTECTIONS_V[0], "MAX": MAX_V, "DEF": MAX_V, "NONE": MAX_V}
            return named[parse_word(text, (*LIMIT_WORDS, "NONE"))]
        value = abs(float(str(Real(-MAX_V, MAX_V).parse(params, default, current))))
        if value > PROTECTIONS_V[-1]:
            return MAX_V
        return max((step for step in PROTECTIONS_V if step <= value), default=PROTECTIONS_V[0])

    def format(self, value: Any) -> str:
        """In volts."""
        return f"{float(value):+.6E}"


@dataclass(frozen=True, slots=True)
class Levels:
    """A list of at most 100 levels in +-limit."""

    limit: float

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-223 for too many values, -222 for one outside the limits."""
        if not params:
            raise ScpiError(-109)
        if len(params) > LIST_MESSAGE_POINTS:
            raise ScpiError(-223)
        values = [parse_number(p) for p in params]
        if not all(-self.limit <= v <= self.limit for v in values):
            raise ScpiError(-222)
        return tuple(values)

    def format(self, value: Any) -> str:
        """Joined by commas."""
        return ",".join(f"{v:+.6E}" for v in value)


@dataclass(frozen=True, slots=True)
class DataFormat:
    """ASC, REAL,32 or SRE; the two binary ones are the same and read back as REAL,32."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-224 for another word or length."""
        word = parse_word(params[0] if params else "", ("ASCii", "REAL", "SREal"))
        if len(params) > 1 and (word != "REAL" or parse_number(params[1]) != 32 or len(params) > 2):
            raise ScpiError(-224 if word == "REAL" else -108)
        return "ASC" if word == "ASC" else "REAL,32"

    def format(self, value: Any) -> str:
        """As it is kept."""
        return str(value)


def parse_functions(params: Sequence[str]) -> tuple[str, ...]:
    """Short names of measuring functions from quoted ones ('CURR', "VOLT:DC"); ScpiError -224 for unknown ones."""
    if not params:
        raise ScpiError(-109)
    names = [parse_string(p).upper().removesuffix(":DC") for p in params]
    return tuple(parse_word(name or "0", ("VOLTage", "CURRent", "RESistance")) for name in names)


def format_functions(functions: Sequence[str]) -> str:
    """Reply form: "VOLT:DC","CURR:DC","RES"."""
    return ",".join(f'"{name}"' if name == "RES" else f'"{name}:DC"' for name in FUNCTIONS if name in functions) or '""'


# --- the table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A header that sets and queries one field of Settings (or of Standing)."""

    spec: str
    key: str
    kind: Kind
    standing: bool = False


_SOURCE = "SOURce[1]"
_SENSE = "[:SENSe[1]]"
_ARM = "ARM[:SEQuence[1]][:LAYer[1]]"
_TRIG = "TRIGger[:SEQuence[1]]"
_T = "[:TCONfigure]"
_A = "[:ASYNchronous]"
_TRACE = ("TRACe", "DATA")
_LINE = Whole(1, 4)
_EVENTS = WordSet(("SOURce", "DELay", "SENSe"), "NONE")
_BYPASS = Word(("ACCeptor", "SOURce"))
_MODE = Word(("FIXed", "SWEep", "LIST"))
_NPLC = Real(0.01, 10.0, "{:.2f}")
_ARM_SOURCES = ("IMMediate", "TLINk", "TIMer", "MANual", "BUS", "NSTest", "PSTest", "BSTest")


def _levels(name: str, short: str, unit: str, limit: float, ranges: tuple[float, ...]) -> tuple[Row, ...]:
    """Rows that exist alike for the voltage and the current source."""
    source, level = f"{_SOURCE}:{name}", Real(-limit, limit)
    return (
        Row(f"{source}:MODE", f"{short}_mode", _MODE),
        Row(f"{source}[:LEVel][:IMMediate][:AMPLitude]", f"source_{unit}", level),
        Row(f"{source}[:LEVel]:TRIGgered[:AMPLitude]", f"triggered_{unit}", level),
        Row(f"{source}:RANGe", f"source_{short}_range_{unit}", Range(ranges, limit)),
        Row(f"{source}:RANGe:AUTO", f"source_{short}_auto", Flag()),
        Row(f"{source}:STARt", f"start_{unit}", level),
        Row(f"{source}:STOP", f"stop_{unit}", level),
        Row(f"{_SOURCE}:LIST:{name}", f"list_{unit}", Levels(limit)),
        Row(f"{_SOURCE}:LIST:{name}:STARt", f"list_{unit}_start", Whole(1, 100)),
        Row(f"{_SENSE}:{name}[:DC]:RANGe[:UPPer]", f"sense_{short}_range_{unit}", Range(ranges, limit)),
        Row(f"{_SENSE}:{name}[:DC]:RANGe:AUTO", f"sense_{short}_auto", Flag()),
        Row(f"{_SENSE}:{name}[:DC]:PROTection:RSYNchronize", f"limit_sync_{short}", Flag()),
        Row(f"{_SENSE}:{name}[:DC]:NPLCycles", "nplc", _NPLC),
    )


ROWS: tuple[Row, ...] = (
    *_levels("VOLTage", "volt", "v", MAX_V, VOLT_RANGES),
    *_levels("CURRent", "curr", "a", MAX_A, CURR_RANGES),
    Row(f"{_SOURCE}:FUNCtion[:MODE]", "source_function", Word(("VOLTage", "CURRent"))),
    Row(f"{_SOURCE}:VOLTage:PROTection[:LEVel]", "protection_v", Protection()),
    Row(f"{_SOURCE}:SWEep:POINts", "sweep_points", Whole(2, MAX_POINTS)),
    Row(f"{_SOURCE}:SWEep:SPACing", "sweep_spacing", Word(("LINear", "LOGarithmic"))),
    Row(f"{_SOURCE}:SWEep:DIRection", "sweep_direction", Word(("UP", "DOWN"))),
    Row(f"{_SOURCE}:SWEep:RANGing", "sweep_ranging", Word(("BEST", "AUTO", "FIXed"))),
    Row(f"{_SOURCE}:SWEep:CABort", "compliance_abort", Word(("NEVer", "EARLy", "LATE"))),
    Row(f"{_SOURCE}:DELay", "source_delay_s", Real(0.0, 9999.999)),
    Row(f"{_SOURCE}:DELay:AUTO", "source_delay_auto", Flag()),
    Row(f"{_SOURCE}:CLEar:AUTO", "auto_clear", Flag()),
    Row(f"{_SOURCE}:CLEar:AUTO:MODE", "auto_clear_mode", Word(("ALWays", "TCOunt"))),
    Row("SOURce2:TTL[:LEVel]", "digital_level", Whole(0, 15)),
    Row("SOURce2:BSIZe", "digital_size", Whole(3, 4)),
    Row("SOURce2:CLEar:AUTO", "digital_auto_clear", Flag()),
    Row("OUTPut[1]:SMODe", "off_state", Word(("HIMPedance", "NORMal", "ZERO", "GUARd"))),
    Row("OUTPut[1]:ENABle[:STATe]", "output_enable", Flag()),
    Row("ROUTe:TERMinals", "terminals", Word(("FRONt", "REAR"))),
    Row("SYSTem:RSENse", "four_wire", Flag()),
    Row(f"{_SENSE}:FUNCtion:CONCurrent", "concurrent", Flag()),
    Row(f"{_SENSE}:CURRent[:DC]:PROTection[:LEVel]", "current_limit_a", Real(-MAX_A, MAX_A)),
    Row(f"{_SENSE}:VOLTage[:DC]:PROTection[:LEVel]", "voltage_limit_v", Real(-MAX_V, MAX_V)),
    Row(f"{_SENSE}:RESistance:RANGe[:UPPer]", "sense_res_range_ohm", Range(OHM_RANGES, 2.1e8)),
    Row(f"{_SENSE}:RESistance:RANGe:AUTO", "sense_res_auto", Flag()),
    Row(f"{_SENSE}:RESistance:MODE", "res_mode", Word(("MANual", "AUTO"))),
    Row(f"{_SENSE}:RESistance:OCOMpensated", "res_compensation", Flag()),
    Row(f"{_SENSE}:RESistance:NPLCycles", "nplc", _NPLC),
    Row(f"{_SENSE}:AVERage[:STATe]", "filter_on", Flag()),
    Row(f"{_SENSE}:AVERage:COUNt", "filter_count", Whole(1, 100)),
    Row(f"{_SENSE}:AVERage:TCONtrol", "filter_type", Word(("REPeat", "MOVing"))),
    Row("SYSTem:AZERo:CACHing[:STATe]", "auto_zero_cache", Flag()),
    Row("FORMat[:DATA]", "data_format", DataFormat()),
    Row("FORMat:BORDer", "byte_order", Word(("NORMal", "SWAPped"))),
    Row("FORMat:ELEMents[:SENSe[1]]", "elements", WordSet(ELEMENTS)),
    Row(f"{_ARM}:COUNt", "arm_count", Whole(1, MAX_POINTS, endless=True)),
    Row(f"{_ARM}:SOURce", "arm_source", Word(_ARM_SOURCES)),
    Row(f"{_ARM}:TIMer", "arm_timer_s", Real(0.001, 99999.99)),
    Row(f"{_ARM}{_T}:DIRection", "arm_direction", _BYPASS),
    Row(f"{_ARM}{_T}{_A}:ILINe", "arm_input_line", _LINE),
    Row(f"{_ARM}{_T}{_A}:OLINe", "arm_output_line", _LINE),
    Row(f"{_ARM}{_T}{_A}:OUTPut", "arm_output", WordSet(("TENTer", "TEXit"), "NONE")),
    Row(f"{_TRIG}:COUNt", "trig_count", Whole(1, MAX_POINTS)),
    Row(f"{_TRIG}:SOURce", "trig_source", Word(("IMMediate", "TLINk"))),
    Row(f"{_TRIG}:DELay", "trig_delay_s", Real(0.0, 999.9999)),
    Row(f"{_TRIG}{_T}:DIRection", "trig_direction", _BYPASS),
    Row(f"{_TRIG}{_T}{_A}:ILINe", "trig_input_line", _LINE),
    Row(f"{_TRIG}{_T}{_A}:OLINe", "trig_output_line", _LINE),
    Row(f"{_TRIG}{_T}{_A}:INPut", "trig_input", _EVENTS),
    Row(f"{_TRIG}{_T}{_A}:OUTPut", "trig_output", _EVENTS),
    *(Row(f"{trace}:POINts", "buffer_points", Whole(1, MAX_POINTS), standing=True) for trace in _TRACE),
    *(Row(f"{trace}:FEED", "buffer_feed", Word(("SENSe", "SENSe1")), standing=True) for trace in _TRACE),
    *(Row(f"{trace}:FEED:CONTrol", "buffer_control", Word(("NEXT", "NEVer")), standing=True) for trace in _TRACE),
    *(Row(f"{trace}:TSTamp:FORMat", "buffer_time", Word(("ABSolute", "DELTa")), standing=True) for trace in _TRACE),
    Row("CALCulate3:FORMat", "statistic", Word(("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK"))),
    Row("SYSTem:TIME:RESet:AUTO", "time_reset_auto", Flag()),
    Row("SYSTem:LFRequency", "line_frequency_hz", Whole(50, 60), standing=True),
    Row("SYSTem:LFRequency:AUTO", "line_frequency_auto", Flag(), standing=True),
    Row("SYSTem:BEEPer:STATe", "beeper", Flag(), standing=True),
    Row("SYSTem:POSetup", "power_on", Word(("RST", "PRESet", "SAV0", "SAV1", "SAV2", "SAV3", "SAV4")), standing=True),
    Row("DISPlay:ENABle", "display", Flag(), standing=True),
    Row("DISPlay:DIGits", "display_digits", Whole(4, 7), standing=True),
    Row("DISPlay[:WINDow[1]]:TEXT[:DATA]", "display_text", Text(20), standing=True),
    Row("DISPlay[:WINDow[1]]:TEXT:STATe", "display_text_on", Flag(), standing=True),
    Row("FORMat:SREGister", "register_format", Word(("ASCii", "HEXadecimal", "OCTal", "BINary")), standing=True),
)
