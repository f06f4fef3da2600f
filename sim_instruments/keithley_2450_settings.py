"""Everything a Keithley 2450 can be told and asked back in SCPI: one typed field per setting, one row per command.

Defaults are those of *RST. Source of commands, limits and defaults: 2450-901-01 rev B, section 6, and 2461-901-01 rev A,
section 6, where rev B leaves something open; what is marked is from memory or assumed.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sim_instruments.scpi import (
    LIMIT_WORDS,
    Flag,
    Kind,
    Real,
    ScpiError,
    Value,
    Whole,
    Word,
    parse_number,
    parse_string,
    parse_word,
    single,
)

FULL_SCALE = 1.05  # of the nominal range, for levels, limits and readings
MAX_V, MAX_A = 210.0, 1.05
MAX_POINTS = 2500
LIST_MESSAGE_POINTS = 100
USER_DELAYS = 5
VOLT_RANGES = (0.02, 0.2, 2.0, 20.0, 200.0)
CURR_RANGES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
OHM_RANGES = (20.0, 200.0, 2e3, 2e4, 2e5, 2e6, 2e7, 2e8)
RANGES = {"VOLT": VOLT_RANGES, "CURR": CURR_RANGES, "RES": OHM_RANGES}
FUNCTIONS = ("VOLTage", "CURRent", "RESistance")
PROTECTIONS_V = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0)  # from memory, unverified
NUMBER = "{:.9G}"  # how settings are read back: assumed


def lowest_range(ranges: Sequence[float], value: float) -> float:
    """Nominal value of the lowest range whose 105 % hold |value|; the highest one when none does."""
    # a hair of tolerance: 1.05 * 1e-4 must hold a limit of 1.05e-4
    return next((r for r in ranges if abs(value) <= r * FULL_SCALE * (1 + 1e-9)), ranges[-1])


@dataclass(slots=True)
class SourceSide:
    """Settings of one source function (levels in V or A, limits in A or V)."""

    range_value: float
    limit: float
    level: float = 0.0
    range_auto: bool = True
    delay_s: float = 0.0
    delay_auto: bool = True
    read_back: bool = True
    high_capacitance: bool = False
    user_delays_s: tuple[float, ...] = (0.0,) * USER_DELAYS


@dataclass(slots=True)
class SenseSide:
    """Settings of one measuring function."""

    range_value: float
    range_auto: bool = True
    lower_range: float = 0.0
    nplc: float = 1.0
    auto_zero: bool = True
    filter_on: bool = False
    filter_count: int = 10
    filter_type: str = "REP"
    four_wire: bool = False
    relative: float = 0.0
    relative_on: bool = False
    offset_compensation: bool = False
    unit: str = "OHM"
    user_delays_s: tuple[float, ...] = (0.0,) * USER_DELAYS


def _sources() -> dict[str, SourceSide]:
    return {"VOLT": SourceSide(0.02, 1.05e-4), "CURR": SourceSide(1e-8, 21.0)}


def _senses() -> dict[str, SenseSide]:
    return {
        "VOLT": SenseSide(0.02, lower_range=0.02, unit="VOLT"),
        "CURR": SenseSide(1e-8, lower_range=1e-8, unit="AMP"),
        "RES": SenseSide(2e5, lower_range=20.0),
    }


@dataclass
class Settings:
    """What *RST resets and *SAV saves; words are the short forms of the manual."""

    source_function: str = "VOLT"
    sense_function: str = "CURR"
    sources: dict[str, SourceSide] = field(default_factory=_sources)
    senses: dict[str, SenseSide] = field(default_factory=_senses)
    off_states: dict[str, str] = field(default_factory=lambda: {"VOLT": "NORM", "CURR": "NORM"})
    protection_v: float = MAX_V
    count: int = 1
    terminals: str = "FRON"
    data_format: str = "ASC"
    byte_order: str = "SWAP"
    precision: int = 0

    @property
    def source(self) -> SourceSide:
        """Get the settings of the active source."""
        return self.sources[self.source_function]

    @property
    def sense(self) -> SenseSide:
        """Get the settings of the active measuring function."""
        return self.senses[self.sense_function]

    @property
    def sourcing_voltage(self) -> bool:
        """Get whether the source holds a voltage (else a current)."""
        return self.source_function == "VOLT"

    def copied(self) -> "Settings":
        """Return an independent copy."""
        return copy.deepcopy(self)


@dataclass
class Standing:
    """What *RST leaves alone."""

    language: str = "SCPI"
    line_frequency_hz: int = 50
    power_on: str = "RST"
    display: str = "ON100"
    digits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("VOLT", "CURR", "RES"), 5))
    shown_buffer: str = "defbuffer1"


# --- kinds that only this instrument has ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range:
    """A range, chosen by a value it must hold; read back as its nominal value (assumed: the manual's own ranges)."""

    ranges: tuple[float, ...]
    limit: float

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 when no range holds the value."""
        text = single(params)
        if text[0].isalpha():
            named: dict[str, Value] = {"MIN": self.ranges[0], "MAX": self.ranges[-1], "DEF": default}
            return named[parse_word(text, LIMIT_WORDS)]
        return lowest_range(self.ranges, float(str(Real(-self.limit, self.limit).parse(params, default, current))))

    def format(self, value: Any) -> str:
        """Nominal value."""
        return NUMBER.format(float(value))


@dataclass(frozen=True, slots=True)
class Magnitude:
    """A limit whose size lies in [lo, hi]; the sign is kept and means nothing ("limits are absolute values")."""

    lo: float
    hi: float

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 outside the limits."""
        value = float(str(Real(-self.hi, self.hi).parse(params, default, current)))
        if single(params)[:3].upper() == "MIN":
            return self.lo
        if not self.lo <= abs(value):
            raise ScpiError(-222)
        return value

    def format(self, value: Any) -> str:
        """Plain number."""
        return NUMBER.format(float(value))


@dataclass(frozen=True, slots=True)
class Protection:
    """Overvoltage protection: PROT2 to PROT180, or NONE (the full 210 V)."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-224 for a word that is none of the steps."""
        text = single(params).upper()
        if text in ("NONE", "MAX", "MAXIMUM", "DEF", "DEFAULT"):
            return MAX_V
        steps = {f"PROT{step:g}": step for step in PROTECTIONS_V} | {"MIN": PROTECTIONS_V[0], "MINIMUM": PROTECTIONS_V[0]}
        if text not in steps:
            raise ScpiError(-224)
        return steps[text]

    def format(self, value: Any) -> str:
        """The word."""
        return "NONE" if float(value) >= MAX_V else f"PROT{float(value):g}"


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A measuring function in quotes; `:DC` may be written and is read back."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-224 for an unknown name."""
        name = parse_string(single(params)).upper().removesuffix(":DC")
        return parse_word(name or "0", FUNCTIONS)

    def format(self, value: Any) -> str:
        """E.g. "CURR:DC"."""
        return f'"{value}"' if value == "RES" else f'"{value}:DC"'


@dataclass(frozen=True, slots=True)
class Levels:
    """A list of at most 100 levels in +-limit."""

    limit: float

    def read(self, params: Sequence[str]) -> tuple[float, ...]:
        """-223 for too many values, -222 for one outside the limits."""
        if not params:
            raise ScpiError(-109)
        if len(params) > LIST_MESSAGE_POINTS:
            raise ScpiError(-223)
        values = tuple(parse_number(p) for p in params)
        if not all(-self.limit <= v <= self.limit for v in values):
            raise ScpiError(-222)
        return values


# --- the table ------------------------------------------------------------------------------------------------------

Side = Literal["root", "source", "sense", "off", "standing"]


@dataclass(frozen=True, slots=True)
class Row:
    """A header that sets and queries one field.

    Parameters
    ----------
    spec      header in the manual's notation
    key       name of the field
    kind      how it is written, bounded and read back
    side      which part of the settings holds it
    function  VOLT, CURR or RES of a side that has several
    free      may be changed while the trigger model runs (assumed for what no block touches)
    """

    spec: str
    key: str
    kind: Kind
    side: Side = "root"
    function: str = ""
    free: bool = False

    def holder(self, settings: Settings, standing: Standing) -> Any:
        """Return the object that has the field."""
        if self.side == "source":
            return settings.sources[self.function]
        if self.side == "sense":
            return settings.senses[self.function]
        return standing if self.side == "standing" else settings


_OFF_STATES = Word(("NORMal", "HIMPedance", "ZERO", "GUARd"))
_SHORT = {"VOLTage": "VOLT", "CURRent": "CURR", "RESistance": "RES"}
_DC = {"VOLTage": "[:DC]", "CURRent": "[:DC]", "RESistance": ""}
_UNITS = {"VOLT": ("VOLT", "OHM", "WATT"), "CURR": ("AMP", "OHM", "WATT"), "RES": ("OHM",)}
_REACH = {"VOLT": MAX_V, "CURR": MAX_A, "RES": 2.1e8}


def _source_rows(name: str) -> tuple[Row, ...]:
    short = _SHORT[name]
    root = f"SOURce[1]:{name}"
    limit = ("ILIMit", Magnitude(1e-9, MAX_A)) if short == "VOLT" else ("VLIMit", Magnitude(0.02, MAX_V))
    rows = (
        ("[:LEVel][:IMMediate][:AMPLitude]", "level", Real(-_REACH[short], _REACH[short], NUMBER)),
        (f":{limit[0]}[:LEVel]", "limit", limit[1]),
        (":RANGe", "range_value", Range(RANGES[short], _REACH[short])),
        (":RANGe:AUTO", "range_auto", Flag()),
        (":DELay", "delay_s", Real(0.0, 10e3, NUMBER)),
        (":DELay:AUTO", "delay_auto", Flag()),
        (":READ:BACK", "read_back", Flag()),
        (":HIGH:CAPacitance", "high_capacitance", Flag()),
    )
    return tuple(Row(root + spec, key, kind, "source", short) for spec, key, kind in rows)


def _sense_rows(name: str) -> tuple[Row, ...]:
    short = _SHORT[name]
    root = f"[:SENSe[1]]:{name}{_DC[name]}"
    reach = Range(RANGES[short], _REACH[short])
    rows = (
        (":NPLCycles", "nplc", Real(0.01, 10.0, NUMBER)),
        (":RANGe[:UPPer]", "range_value", reach),
        (":RANGe:AUTO", "range_auto", Flag()),
        (":RANGe:AUTO:LLIMit", "lower_range", reach),
        (":AZERo[:STATe]", "auto_zero", Flag()),
        (":AVERage[:STATe]", "filter_on", Flag()),
        (":AVERage:COUNt", "filter_count", Whole(1, 100)),
        (":AVERage:TCONtrol", "filter_type", Word(("REPeat", "MOVing"))),
        (":RSENse", "four_wire", Flag()),
        (":RELative", "relative", Real(-_REACH[short], _REACH[short], NUMBER)),
        (":RELative:STATe", "relative_on", Flag()),
        (":UNIT", "unit", Word(_UNITS[short])),
        *(((":OCOMpensated", "offset_compensation", Flag()),) if short == "RES" else ()),
    )
    return tuple(Row(root + spec, key, kind, "sense", short) for spec, key, kind in rows)


ROWS: tuple[Row, ...] = (
    *_source_rows("VOLTage"),
    *_source_rows("CURRent"),
    *(row for name in FUNCTIONS for row in _sense_rows(name)),
    Row("SOURce[1]:FUNCtion[:MODE]", "source_function", Word(("VOLTage", "CURRent"))),
    Row("SOURce[1]:VOLTage:PROTection[:LEVel]", "protection_v", Protection()),
    Row("[:SENSe[1]]:FUNCtion[:ON]", "sense_function", FunctionName()),
    Row("[:SENSe[1]]:COUNt", "count", Whole(1, 300_000)),
    Row("ROUTe:TERMinals", "terminals", Word(("FRONt", "REAR"))),
    Row("FORMat[:DATA]", "data_format", Word(("ASCii", "REAL", "SREal")), free=True),
    Row("FORMat:BORDer", "byte_order", Word(("NORMal", "SWAPped")), free=True),
    Row("FORMat:ASCii:PRECision", "precision", Whole(0, 16), free=True),
    Row("SYSTem:POSetup", "power_on", Word(("RST", "SAV0", "SAV1", "SAV2", "SAV3", "SAV4")), "standing", free=True),
    Row("*LANG", "language", Word(("SCPI", "SCPI2400", "TSP")), "standing", free=True),
    Row(
        "DISPlay:LIGHt:STATe",
        "display",
        Word(("ON100", "ON75", "ON50", "ON25", "OFF", "BLACkout")),
        "standing",
        free=True,
    ),
    *(
        Row(f"OUTPut[1]:{name}:SMODe", _SHORT[name], _OFF_STATES, "off", _SHORT[name], free=True)
        for name in ("VOLTage", "CURRent")
    ),
)
OFF_STATES = _OFF_STATES
