"""Which instruments stand on the bench, what they may do, and how they are cabled: bench.toml."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from drivers.errors import Reason
from rig.bench_tables import (
    Attenuator,
    CwShutter,
    EnergyMeter,
    Environment,
    FilterWheel,
    Laser,
    LaserTrigger,
    LibraryName,
    Pump,
    Safety,
    Shutter,
    Spectrometer,
    VoltageSource,
)
from rig.cabling import Cable, impossible_cables
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
    render_toml,
)
from rig.fluence import Malus
from rig.fluence_calibration import EnergyScale, FluenceCalibration, read_calibration
from rig.monitor import Monitor, twice_monitored

BREAKDOWN_VOLTAGE_V = 20.0  # above it the film is more likely to break down. Source: Nano Lett. 2021, 21, 7831 (claim C12)

OPEN_POSITION = 1  # of a filter wheel: nothing in the beam
CALIBRATION_AGREES = 1.5  # factor between a calibration and what was entered by hand; beyond it something has changed

# --- roles ----------------------------------------------------------------------------------------------------------

ROLES = (
    "laser_trigger",
    "voltage_source",
    "spectrometer",
    "shutter",
    "attenuator",
    "energy_meter",
    "cw_shutter",
    "filter_wheel",
)
OPTIONAL_ROLES = ROLES[3:]

# --- bench ----------------------------------------------------------------------------------------------------------


class Bench(ConfigModel):
    """Instruments by role, limits, cables and environment."""

    visa_library: LibraryName = Field(default="@py", description='"@py", "@ivi", or the path of a VISA library')
    simulated: bool = Field(default=False, description="the resources are served by `rig sim serve`; runs are marked SIMULATED")
    laser: Laser
    pump: Pump
    voltage_source: VoltageSource
    laser_trigger: LaserTrigger
    spectrometer: Spectrometer
    attenuator: Attenuator | None = None
    energy_meter: EnergyMeter | None = None
    shutter: Shutter | None = None
    cw_shutter: CwShutter | None = None
    filter_wheel: FilterWheel | None = None
    cables: tuple[Cable, ...] = Field(default=(), alias="cable", description="one [[cable]] each")
    safety: Safety = Safety()
    monitors: tuple[Monitor, ...] = Field(default=(), alias="monitor", description="one [[monitor]] each")
    environment: Environment = Environment()
    _document: Document | None = None
    _calibration: FluenceCalibration | None = None
    _filter: int = OPEN_POSITION

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

    def calibration(self) -> FluenceCalibration | None:
        """Read the calibration that the attenuator names, None when it names none; it has to be one of this bench.

        Raises
        ------
        ConfigError  the file cannot be read, or belongs to another spot, pick-off or fluence, with every reason
        """
        if self.attenuator is None or self.attenuator.calibration is None:
            return None
        if self._calibration is None:
            loc = ("attenuator", "calibration")
            path = (self.path or Path()).parent / self.attenuator.calibration
            found = read_calibration(path)
            if reasons := tuple(self._foreign(found, loc)):
                raise config_error(path.name, reasons, str(path))
            self._calibration = found
        return self._calibration

    def _foreign(self, found: FluenceCalibration, loc: Loc) -> Iterator[Reason]:
        meter, pump = self.energy_meter, self.pump
        pairs = [("pump.spot_area_cm2", pump.spot_area_cm2, found.spot_area_cm2)]
        if meter is not None:
            pairs.append(("energy_meter.pickoff_ratio", meter.pickoff_ratio, found.pickoff_ratio))
            pairs.append(("energy_meter.wavelength_nm", meter.wavelength_nm, found.wavelength_nm))
        for name, here, there in pairs:
            if here != there:
                message = f"it was made with {name} = {there:g}, this bench says {here:g}: calibrate anew"
                yield Reason("calibration-of-another-bench", self.where(loc), message)
        ratio = found.energy_open_uj * found.pickoff_ratio / found.spot_area_cm2 / pump.fluence_uj_cm2
        if not 1 / CALIBRATION_AGREES <= ratio <= CALIBRATION_AGREES:
            message = f"its fluence with the attenuator open is {ratio:.3g} times pump.fluence_uj_cm2: one of the two is wrong"
            yield Reason("calibration-disagrees", self.where(loc), message)

    def behind_filter(self, position: int) -> "Bench":
        """Return the bench with its filter wheel at a position, which every fluence of it then goes through.

        Raises
        ------
        ValueError  the wheel has no such filter, or there is no wheel
        """
        if self.filter_wheel is None or not 1 <= position <= len(self.filter_wheel.transmission):
            raise ValueError(f"this bench has no filter at position {position}")
        behind = self.model_copy()
        behind._filter = position  # noqa: SLF001 - one of its own
        return behind

    @property
    def filter_position(self) -> int | None:
        """Get the position of the filter wheel, 1 (open) unless a run has chosen another; None without a wheel."""
        return None if self.filter_wheel is None else self._filter

    @property
    def filter_transmission(self) -> float:
        """Get what the filter in the beam lets through, by what is entered (0 to 1)."""
        return 1.0 if self.filter_wheel is None else self.filter_wheel.transmission[self._filter - 1]

    def fluence_law(self) -> Malus | None:
        """Get the fluence at the film (uJ/cm2) against the plate's angle; None when nobody knows what its angles mean.

        Raises
        ------
        ConfigError  as calibration()
        """
        calibration, plate = self.calibration(), self.attenuator
        if calibration is not None:
            return calibration.law.scaled(calibration.pickoff_ratio / calibration.spot_area_cm2 * self.filter_transmission)
        if plate is None or plate.zero_deg is None or plate.extinction is None:
            return None
        return Malus(self.pump.fluence_uj_cm2 * self.filter_transmission, plate.zero_deg, plate.extinction)

    def energy_scale(self) -> EnergyScale | None:
        """Get what makes fluence of the energy meter's readings, None without a meter."""
        meter, pump, wheel = self.energy_meter, self.pump, self.filter_wheel
        if meter is None:
            return None
        filtered = wheel is not None and self._filter != OPEN_POSITION
        return EnergyScale(
            meter.pickoff_ratio,
            pump.spot_area_cm2,
            pump.spot_area_uncertainty,
            meter.gain_uncertainty,
            meter.pickoff_uncertainty,
            self.filter_transmission,
            wheel.transmission_uncertainty if wheel is not None and filtered else 0.0,
        )

    def description(self) -> dict[str, Any]:
        """Describe the bench to a simulator: a plain, JSON-able dict."""
        everything = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        kept = {
            "voltage_source": ("model", "resource"),
            "laser_trigger": ("model", "resource"),
            "spectrometer": ("model", "resource", "electrons_per_count", "psf_nm"),
            "pump": ("fluence_uj_cm2", "spot_area_cm2"),
            "laser": ("pulse_delay_s", *(("trigger", "rate_hz", "clock_ppm") if self.laser.runs_free else ())),
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
        yield from impossible_cables(self.cables, laser_runs_free=self.laser.runs_free)
        yield from twice_monitored(self.monitors)
        yield from self._impossible_clock()
        yield from self._half_known()
        yield from self._wheel_without_hole()
        yield from self._shared_resources()
        yield from self._resources_elsewhere()

    def _resources_elsewhere(self) -> Iterator[Contradiction]:
        for table in self.roles() if self.simulated else ():
            resource: str = getattr(self, table).resource
            if not re.search(r"(::|//)(127\.0\.0\.1|localhost)(::?)\d+::", resource):
                message = f"{resource} is not on this computer (127.0.0.1), where simulated instruments are served"
                yield Contradiction("simulated-elsewhere", (table, "resource"), message)

    def _impossible_clock(self) -> Iterator[Contradiction]:
        laser, given = self.laser, ("rate_hz", "clock_ppm")
        if not laser.runs_free:
            for key in given:
                if getattr(laser, key) is not None:
                    message = f"{key} belongs to a laser that is its own clock; the rate of this one is laser_trigger.rate_hz"
                    yield Contradiction("laser-clock-unused", ("laser", key), message)
            return
        if self.shutter is None:
            message = "a laser that is its own clock needs a shutter or pulse picker to keep its pulses off the film: [shutter]"
            yield Contradiction("laser-is-master", ("laser", "trigger"), message)
        for key in given:
            if getattr(laser, key) is None:
                yield Contradiction("laser-clock-missing", ("laser", "trigger"), f"a laser that is its own clock needs {key}")
        if laser.rate_hz is not None and laser.rate_hz != self.laser_trigger.rate_hz:
            message = f"{laser.rate_hz:g} Hz, but laser_trigger.rate_hz is {self.laser_trigger.rate_hz:g} Hz: shots are pulses"
            yield Contradiction("laser-rate-differs", ("laser", "rate_hz"), message)

    def _half_known(self) -> Iterator[Contradiction]:
        plate = self.attenuator
        if plate is not None and (plate.zero_deg is None) != (plate.extinction is None):
            known, missing = ("zero_deg", "extinction") if plate.extinction is None else ("extinction", "zero_deg")
            message = f"{known} is entered and {missing} is not: an angle needs both (or a calibration)"
            yield Contradiction("attenuator-half-known", ("attenuator", known), message)

    def _wheel_without_hole(self) -> Iterator[Contradiction]:
        wheel = self.filter_wheel
        if wheel is not None and wheel.transmission[0] != 1:
            message = f"position 1 lets {wheel.transmission[0]:g} through, but it has to be open: 1.0"
            yield Contradiction("filter-wheel-not-open", ("filter_wheel", "transmission"), message)

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
