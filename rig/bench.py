"""Which instruments stand on the bench, what they may do, and how they are cabled: bench.toml."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rig.config_file import (
    ConfigModel,
    Contradiction,
    Document,
    Loc,
    check,
    config_error,
    dotted,
    parse_document,
    read_document,
    refusal,
    render_toml,
    suggestion,
)

BREAKDOWN_VOLTAGE_V = 20.0  # above it the film is more likely to break down. Source: Nano Lett. 2021, 21, 7831 (claim C12)

# --- names ----------------------------------------------------------------------------------------------------------

# Source: VPP-4.3 resource grammar, the interfaces this rig uses; host names and IPv4 only
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ID = r"::(?:0x[0-9A-F]+|\d+)"
_RESOURCES = {
    "GPIB0::24::INSTR": r"GPIB\d*::(?:[0-9]|[12]\d|30)(?:::\d{1,2})?(?:::INSTR)?",
    "TCPIP::192.0.2.20::5025::SOCKET": rf"TCPIP\d*::{_HOST}::(?P<port>\d{{1,5}})::SOCKET",
    "TCPIP::192.0.2.20::INSTR": rf"TCPIP\d*::{_HOST}(?:::[A-Za-z][\w,]*)?::INSTR",
    "ASRL3::INSTR": r"ASRL(?!:)\S+?(?:::INSTR)?",
    "USB0::0x05E6::0x2450::04412345::INSTR": rf"USB\d*{_ID}{_ID}::(?!INSTR|RAW)[^:\s]+(?:::\d+)?(?:::(?:INSTR|RAW))?",
}


def _resource(text: str) -> str:
    matches = (re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE) for pattern in _RESOURCES.values())
    match = next((found for found in matches if found), None)
    if match is None or not 1 <= int(match.groupdict().get("port") or 1) <= 65535:
        raise refusal("resource-malformed", f"{text[:60]!r} is no VISA resource name, such as {' or '.join(_RESOURCES)}")
    return text


def _visa_library(text: str) -> str:
    if text not in ("@py", "@ivi") and (not text.strip() or text.startswith("@")):
        raise refusal("wrong-choice", f'{text[:60]!r} is neither "@py", "@ivi" nor the path of a VISA library')
    return text


def _model(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise refusal("model-malformed", f'{text[:60]!r} is no model name, such as "keithley-2400"')
    return text


ResourceName = Annotated[str, Field(max_length=200), AfterValidator(_resource)]
ModelName = Annotated[str, Field(max_length=60), AfterValidator(_model)]
Note = Annotated[str, Field(max_length=300)]

# --- tables ---------------------------------------------------------------------------------------------------------
# The windows catch wrong units and slips of the pen; what an instrument can do is its driver's knowledge.


class Laser(ConfigModel):
    """The pump laser."""

    trigger: Literal["slave", "master"] = Field(description="slave: every pulse is fired by the laser trigger")
    pulse_delay_s: float = Field(ge=0, le=0.1, description="trigger edge at the laser to pulse at the film (s)")


class Pump(ConfigModel):
    """The pump light at the film."""

    fluence_uj_cm2: float = Field(ge=1e-4, le=1e4, description="fluence at the film (uJ/cm2)")
    spot_area_cm2: float = Field(ge=1e-8, le=1.0, description="area of the pumped spot (cm2)")
    source: Note = Field(description="where these numbers come from")


class Limits(ConfigModel):
    """What the source may do to the film; checked in the compiler, the driver and where it can in the instrument."""

    voltage_v: tuple[Annotated[float, Field(ge=-210, le=210)], Annotated[float, Field(ge=-210, le=210)]] = Field(
        description="lowest and highest voltage (V)"
    )
    current_a: float = Field(ge=1e-9, le=0.1, description="current at which the source limits, its compliance (A)")
    step_v: float = Field(ge=1e-3, le=420, description="largest change of voltage in one edge (V)")
    on_time_s: float = Field(ge=1e-3, le=1e5, description="longest time with the voltage on, without a break (s)")
    duty: float = Field(gt=0, le=1, description="largest fraction of time with the voltage on")
    breakdown_accepted: bool = Field(default=False, description="allow limits beyond 20 V, where films break down")


class VoltageSource(ConfigModel):
    """The instrument across the film."""

    model: ModelName
    resource: ResourceName
    limits: Limits


class LaserTrigger(ConfigModel):
    """The delay generator."""

    model: ModelName
    resource: ResourceName
    rate_hz: float = Field(ge=0.1, le=1e4, description="shots per second (Hz)")


class Spectrometer(ConfigModel):
    """The spectrometer at the film's edge."""

    model: ModelName
    resource: ResourceName
    integration_time_s: float = Field(ge=1e-6, le=10, description="exposure per shot (s)")
    trigger_delay_s: float = Field(default=0.0, ge=0, le=0.1, description="trigger edge to begin of exposure (s)")
    electrons_per_count: float = Field(default=3.0, ge=0.01, le=1e4, description="for shot noise; 3.0 is assumed, not measured")
    psf_nm: float = Field(default=1.0, ge=0.01, le=100, description="width (FWHM) of a sharp line (nm); 1.0 is assumed")


class Attenuator(ConfigModel):
    """The half-wave plate before the polariser that attenuates the pump."""

    model: ModelName
    resource: ResourceName


class EnergyMeter(ConfigModel):
    """The pulse energy meter at the pick-off."""

    model: ModelName
    resource: ResourceName


class Shutter(ConfigModel):
    """What lets the pump beam through or not."""

    model: ModelName
    resource: ResourceName


class Cable(ConfigModel):
    """A cable from an output to an input."""

    source: str = Field(alias="from", max_length=60, description="where it begins: laser_trigger.EF")
    target: str = Field(alias="to", max_length=60, description="where it ends: laser.trigger")
    edge: Literal["rising", "falling"] = Field(default="rising", description="the edge that matters at the input")
    load: Literal["50_ohm", "high_z"] = Field(default="50_ohm", description="what the input loads the output with")
    level_v: float = Field(default=4.0, ge=0.1, le=12, description="height of the pulse at the input (V)")


class Environment(ConfigModel):
    """What surrounds the film; recorded as given."""

    temperature_c: float | None = Field(default=None, ge=-50, le=100, description="air temperature (degC)")
    humidity_percent: float | None = Field(default=None, ge=0, le=100, description="relative humidity (%)")
    operator: Note | None = Field(default=None, description="who")
    note: Note | None = Field(default=None, description="anything else")


# --- connectors -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputNeeds:
    """What a pulse must be like at an input: its edge, its height (V), and who says so."""

    edges: tuple[str, ...]
    level_v: tuple[float, float]
    source: str


# `trigger_link` acts on falling edges, low <= 0.5 V, high 2..5 V. Source: Keithley 2400S-900-01 rev K, trigger link
_LINES = tuple(f"voltage_source.trigger_link_{line}" for line in (1, 2, 3, 4))
_DIGITAL = tuple(f"voltage_source.digital_io_{line}" for line in (1, 2, 3, 4, 5, 6))
_TRIGGER_OUTPUTS = tuple(f"laser_trigger.{name}" for name in ("T0", "AB", "CD", "EF", "GH"))
OUTPUTS = (*_TRIGGER_OUTPUTS, *_LINES, *_DIGITAL, "laser.sync")
INPUTS = {
    "laser.trigger": InputNeeds(("rising",), (2.0, 5.0), "assumed for a TTL input"),
    "spectrometer.trigger": InputNeeds(("rising",), (2.0, 5.0), "assumed for a TTL input"),
    "laser_trigger.EXT": InputNeeds(("rising", "falling"), (2.0, 5.0), "assumed for a TTL signal"),
    **dict.fromkeys(_LINES, InputNeeds(("falling",), (2.0, 5.0), "2400S-900-01 rev K, trigger link")),
    **dict.fromkeys(_DIGITAL, InputNeeds(("rising", "falling"), (3.7, 5.0), "2450 data sheet, digital I/O")),
}
REQUIRED_INPUTS = ("laser.trigger", "spectrometer.trigger")

# Height at the input (V): 0.5 to 5.0 V into 50 ohm, the double into a high impedance. Source: DG645 manual, LAMP
TRIGGER_LEVEL_V = {"50_ohm": (0.5, 5.0), "high_z": (1.0, 10.0)}

ROLES = ("laser_trigger", "voltage_source", "spectrometer", "shutter", "attenuator", "energy_meter")
OPTIONAL_ROLES = ROLES[3:]

# --- bench ----------------------------------------------------------------------------------------------------------


class Bench(ConfigModel):
    """Instruments by role, limits, cables and environment."""

    visa_library: Annotated[str, Field(max_length=300), AfterValidator(_visa_library)] = Field(
        default="@py", description='"@py", "@ivi", or the path of a VISA library'
    )
    laser: Laser
    pump: Pump
    voltage_source: VoltageSource
    laser_trigger: LaserTrigger
    spectrometer: Spectrometer
    attenuator: Attenuator | None = None
    energy_meter: EnergyMeter | None = None
    shutter: Shutter | None = None
    cables: tuple[Cable, ...] = Field(default=(), alias="cable", description="one [[cable]] each")
    environment: Environment = Environment()
    _document: Document | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Keep the file this came from, when there is one."""
        self._document = context if isinstance(context, Document) else None

    @property
    def path(self) -> Path | None:
        """Get the file this was read from."""
        return self._document.path if self._document else None

    @property
    def source_text(self) -> str:
        """Get the TOML text: the file's own, comments included, or one written from the values."""
        return self._document.text if self._document else render_toml(self.model_dump(by_alias=True, exclude_none=True))

    def where(self, loc: Loc) -> str:
        """Name a key for a reader, with file and line when there are any."""
        return self._document.where(loc) if self._document else dotted(loc)

    def roles(self) -> tuple[str, ...]:
        """Get the roles that an instrument on this bench has, in the order in which they are opened."""
        return tuple(role for role in ROLES if getattr(self, role) is not None)

    def cable_to(self, connector: str) -> Cable | None:
        """Get the cable that ends at an input ("spectrometer.trigger"), None when there is none."""
        return next((cable for cable in self.cables if cable.target == connector), None)

    def description(self) -> dict[str, Any]:
        """Describe the bench to a simulator: a plain, JSON-able dict."""
        everything = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        kept = {
            "voltage_source": ("model", "resource"),
            "laser_trigger": ("model", "resource"),
            "spectrometer": ("model", "resource", "electrons_per_count", "psf_nm"),
            "pump": ("fluence_uj_cm2", "spot_area_cm2"),
            "laser": ("pulse_delay_s",),
        }
        return {
            **{table: {key: everything[table][key] for key in keys} for table, keys in kept.items()},
            **{role: everything[role] for role in OPTIONAL_ROLES if role in everything},
            "cables": [{key: cable[key] for key in ("from", "to", "load")} for cable in everything["cable"]],
            "environment": everything["environment"],
        }

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield everything that cannot be true of one bench."""
        yield from self._impossible_limits()
        yield from self._impossible_timing()
        yield from self._impossible_cables()
        yield from self._shared_resources()

    def _shared_resources(self) -> Iterator[Contradiction]:
        owners: dict[str, str] = {}
        for table in self.roles():
            resource: str = getattr(self, table).resource
            owner = owners.setdefault(resource.upper(), table)
            if owner != table:
                yield Contradiction("resource-twice", (table, "resource"), f"{resource} is also the resource of {owner}")

    def _impossible_limits(self) -> Iterator[Contradiction]:
        limits, loc = self.voltage_source.limits, ("voltage_source", "limits")
        lowest, highest = limits.voltage_v
        if lowest >= highest:
            message = f"the lowest voltage, {lowest:g} V, is not below the highest, {highest:g} V"
            yield Contradiction("limits-reversed", (*loc, "voltage_v"), message)
        elif not lowest <= 0 <= highest:
            message = f"{lowest:g} to {highest:g} V leaves out 0 V, where every program ends"
            yield Contradiction("limits-without-zero", (*loc, "voltage_v"), message)
        if not max(abs(lowest), abs(highest)) <= BREAKDOWN_VOLTAGE_V and not limits.breakdown_accepted:
            message = (
                f"{lowest:g} to {highest:g} V goes beyond {BREAKDOWN_VOLTAGE_V:g} V, where films break down "
                "(Nano Lett. 2021, 21, 7831): say breakdown_accepted = true if that is meant"
            )
            yield Contradiction("breakdown-risk", (*loc, "voltage_v"), message)

    def _impossible_timing(self) -> Iterator[Contradiction]:
        if self.laser.trigger == "master":
            message = "a laser that is its own clock needs a shutter or pulse-picker role, which this rig does not have"
            yield Contradiction("laser-is-master", ("laser", "trigger"), message)
        period_s = 1 / self.laser_trigger.rate_hz
        busy_s = self.spectrometer.trigger_delay_s + self.spectrometer.integration_time_s
        if not busy_s < period_s:
            message = (
                f"trigger_delay_s + integration_time_s = {busy_s:g} s is not below the shot period, "
                f"{period_s:g} s at {self.laser_trigger.rate_hz:g} Hz"
            )
            yield Contradiction("exposure-too-long", ("spectrometer", "integration_time_s"), message)
        if not self.laser.pulse_delay_s < period_s:
            message = f"{self.laser.pulse_delay_s:g} s is not below the shot period, {period_s:g} s"
            yield Contradiction("pulse-too-late", ("laser", "pulse_delay_s"), message)

    def _impossible_cables(self) -> Iterator[Contradiction]:
        outputs = Counter(cable.source for cable in self.cables)
        inputs = Counter(cable.target for cable in self.cables)
        for index, cable in enumerate(self.cables):
            begin, end = ("cable", index, "from"), ("cable", index, "to")
            for loc, name, known in ((begin, cable.source, list(OUTPUTS)), (end, cable.target, list(INPUTS))):
                if name not in known:
                    kind = "output" if loc is begin else "input"
                    yield Contradiction("cable-end-unknown", loc, f"{name!r} is not an {kind}: {suggestion(name, known)}")
            if outputs[cable.source] > 1:
                yield Contradiction(
                    "cable-output-twice", begin, f"{cable.source} has {outputs[cable.source]} cables: one drives one"
                )
            if inputs[cable.target] > 1:
                yield Contradiction("cable-input-twice", end, f"{cable.target} is fed by {inputs[cable.target]} cables")
            if cable.source in inputs:
                message = f"{cable.source} is used as an input and as an output"
                yield Contradiction("cable-both-ways", begin, message)
            yield from self._unfit_pulse(index, cable)
        for connector in REQUIRED_INPUTS:
            if not any(cable.target == connector and cable.source in _TRIGGER_OUTPUTS for cable in self.cables):
                message = f"no cable leads from an output of laser_trigger to {connector}"
                yield Contradiction("cable-missing", ("cable",), message)

    def _unfit_pulse(self, index: int, cable: Cable) -> Iterator[Contradiction]:
        needs = INPUTS.get(cable.target)
        if needs and cable.edge not in needs.edges:
            message = f"{cable.target} acts on {' or '.join(needs.edges)} edges ({needs.source}), not on {cable.edge} ones"
            yield Contradiction("cable-edge", ("cable", index, "edge"), message)
        windows = [(f"{cable.target} accepts", needs.level_v, needs.source)] if needs else []
        if cable.source in _TRIGGER_OUTPUTS:
            windows += [(f"{cable.source} gives into {cable.load}", TRIGGER_LEVEL_V[cable.load], "DG645 manual")]
        for what, (lo, hi), source in windows:
            if not lo <= cable.level_v <= hi:
                message = f"{cable.level_v:g} V: {what} {lo:g} to {hi:g} V ({source})"
                yield Contradiction("cable-level", ("cable", index, "level_v"), message)


def parse_bench(document: Document) -> Bench:
    """Make a bench of a parsed file; see `read_bench`."""
    bench = check(Bench, document.values, document.where, context=document)
    if isinstance(bench, tuple):
        raise config_error(document.path.name, bench, str(document.path))
    return bench


def read_bench(path: Path) -> Bench:
    """Read a bench file.

    Raises
    ------
    ConfigError    the file cannot be read, or all mistakes in it at once
    """
    return parse_bench(read_document(path))


def default_bench() -> Bench:
    """Get the simulated bench that is used when none is named."""
    name = "default_bench.toml"
    return parse_bench(parse_document((files("rig") / name).read_text("utf-8"), Path(name)))


def new_bench_text() -> str:
    """Get the commented template for a new bench file; what must be filled in is refused until it is."""
    return (files("rig") / "new_bench.toml").read_text("utf-8")
