"""The instruments of a bench, opened all together or not at all, and what their models can do before they are opened."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from pyvisa import ResourceManager

from drivers.clock import Clock
from drivers.errors import ConfigError, InstrumentError, Reason, RefusedError, RigError, WrongIdentity
from drivers.registry import HAZARDS, Closable, DriverEntry, Role, find
from drivers.roles import (
    EnergyMeterInfo,
    Identity,
    Shutter,
    SourceLimits,
    Spectrometer,
    SpectrometerInfo,
    Telling,
    VoltageSource,
)
from rig.bench import Bench
from rig.bench_watch import QUEUES, BenchWatch, rules, untold
from rig.compiler import Facts, Plan
from rig.contact_check import ContactCheck
from rig.energy_watch import EnergyWatch
from rig.interlocks import Interlocks
from rig.pump_beam import PumpBeam
from rig.run_state import Roles
from rig.safety import SafeInstrument, SafeReport, make_safe
from rig.sequence import Light
from rig.steps import Walk, one_by_one

RANGE_MARGIN = 1.5  # between the energy that is expected with the attenuator open and the meter's range


@dataclass(slots=True)
class Instruments:
    """Open instruments by role, who they said they are, and how they are all switched off."""

    by_role: dict[Role, Any] = field(default_factory=dict[Role, Any])
    identities: dict[Role, Identity] = field(default_factory=dict[Role, Identity])
    links: list[Closable] = field(default_factory=list[Closable])
    walk: Walk = one_by_one

    def close(self) -> None:
        """End all conversations; the instruments stay as they are."""
        for link in self.links:
            with suppress(Exception):  # one that is broken already keeps no other open
                link.close()

    def roles(self) -> Roles:
        """Get what a run needs."""
        got = self.by_role
        return Roles(
            got["voltage_source"],
            got["laser_trigger"],
            got["spectrometer"],
            got.get("attenuator"),
            got.get("energy_meter"),
            got.get("shutter"),
            got.get("cw_shutter"),
        )

    def beam(self, bench: Bench) -> PumpBeam:
        """Get what stands in the beams."""
        got = self.by_role
        return PumpBeam(
            got.get("attenuator"),
            got.get("shutter"),
            runs_free=bench.laser.runs_free,
            cw_shutter=got.get("cw_shutter"),
            filter_wheel=got.get("filter_wheel"),
        )

    def safe_ones(self) -> dict[str, SafeInstrument]:
        """Get those that can be switched off or closed, by role."""
        return {role: instrument for role, instrument in self.by_role.items() if role in HAZARDS}

    def make_safe(self) -> SafeReport:
        """Everything off, and what each instrument says of it."""
        return make_safe(self.safe_ones(), self.walk)

    def go_safe(self, error: BaseException) -> SafeReport:
        """Everything off after a failed preparation, and the error told so.

        Raises
        ------
        UnsafeStateError  off could not be confirmed
        """
        report = self.make_safe()
        if isinstance(error, RigError):
            error.hardware_state = str(report)
        report.raise_if_unsafe()
        return report


def open_instruments(
    bench: Bench, roles: Sequence[Role], manager: ResourceManager, clock: Clock, walk: Walk = one_by_one
) -> Instruments:
    """Open the instruments of some roles and ask who they are; nothing is set or switched. `walk` is how they will go off.

    Raises
    ------
    ConfigError      there is no driver for a model
    InstrumentError  one cannot be opened, or is another than the bench says; all are closed again
    """
    opened = Instruments(walk=walk)
    try:
        for role in roles:
            section = getattr(bench, role)
            entry = find(section.model, role)
            opened.by_role[role], link = entry.connect(manager, section.resource, clock)
            opened.links.append(link)
            opened.identities[role] = _identify(entry, opened.by_role[role], section.resource)
    except BaseException as error:
        opened.close()
        manager.close()
        if isinstance(error, RigError):
            error.hardware_state = "instruments were only asked who they are; nothing was set or switched"
        raise
    return opened


def prepare(opened: Instruments, bench: Bench, beam: PumpBeam) -> tuple[SpectrometerInfo, EnergyMeterInfo | None]:
    """Bring all instruments of a run into a known state, what makes light first: no pulse, shutters closed, output off."""
    roles, limits = opened.roles(), bench.voltage_source.limits
    roles.laser_trigger.prepare()
    beam.prepare_shutters()
    roles.voltage_source.prepare(SourceLimits(*limits.voltage_v, limits.current_a))
    beam.prepare_filter(bench.filter_position)
    beam.prepare_plate()
    meter = prepare_meter(opened, bench)
    return roles.spectrometer.prepare(), meter


def prepare_meter(opened: Instruments, bench: Bench) -> EnergyMeterInfo | None:
    """Prepare the energy meter for the open beam, None without one."""
    meter, section = opened.by_role.get("energy_meter"), bench.energy_meter
    if meter is None or section is None:
        return None
    open_uj = bench.pump.fluence_uj_cm2 * bench.pump.spot_area_cm2 / section.pickoff_ratio
    return meter.prepare(section.wavelength_nm, RANGE_MARGIN * open_uj)


def energy_watch(opened: Instruments, info: EnergyMeterInfo | None, bench: Bench, clock: Clock) -> EnergyWatch | None:
    """Make what asks the energy meter during a run, None without one."""
    section = bench.energy_meter
    if info is None or section is None:
        return None
    rate_hz, ratio = bench.laser_trigger.rate_hz, section.pickoff_ratio
    return EnergyWatch(opened.by_role["energy_meter"], info, clock, rate_hz=rate_hz, pickoff_ratio=ratio)


def bench_watch(opened: Instruments, bench: Bench, clock: Clock, lights: Collection[Light] = ("pulses", "cw")) -> BenchWatch:
    """Make what watches over the live quantities of a run under these lights; what gives none of them need not be asked."""
    by_role = {str(role): one for role, one in opened.by_role.items() if role != "cw_shutter" or "cw" in lights}
    tellers = {role: instrument for role, instrument in by_role.items() if isinstance(instrument, Telling)}
    queues = {role: by_role[role] for role in QUEUES if role in by_role}
    ratio = 1.0 if bench.energy_meter is None else bench.energy_meter.pickoff_ratio
    return BenchWatch(Interlocks(rules(bench, by_role)), clock, tellers, queues, ratio)


def contact_check(opened: Instruments, bench: Bench, what: Plan, clock: Clock) -> ContactCheck | None:
    """Make what looks at the contact before a run; None for one that applies no voltage."""
    if not any(stretch.voltage_v != 0 for one in what.blocks for stretch in one.block.stretches):
        return None
    section = bench.voltage_source
    limits = SourceLimits(*section.limits.voltage_v, section.limits.current_a)
    return ContactCheck(opened.by_role["voltage_source"], limits, clock, section.contact_check)


def serials(opened: Instruments, info: EnergyMeterInfo | None) -> dict[str, str]:
    """Get the serial numbers that a calibration of the fluence holds for."""
    found = {str(role): who.serial for role, who in opened.identities.items() if role in ("attenuator", "energy_meter")}
    return found if info is None else {**found, "energy_head": info.head_serial}


def require_calibrated(bench: Bench, here: Mapping[str, str], *, simulated: bool) -> None:
    """See that the calibration in use was made with the instruments that are here.

    A real one may be used to rehearse with simulated instruments, whose serial numbers are others.

    Raises
    ------
    RefusedError  it was made with others
    """
    calibration = bench.calibration()
    if calibration is None or (simulated and not calibration.simulated):
        return
    reasons = [
        Reason(
            "calibration-of-another-instrument",
            bench.where(("attenuator", "calibration")),
            f"it was made with {name.replace('_', ' ')} {there}, here is {here[name]}: calibrate anew",
        )
        for name, there in calibration.serials.items()
        if name in here and here[name] != there
    ]
    if reasons:
        raise RefusedError(
            "The fluence calibration does not belong to these instruments.", tuple(reasons), next_step="rig calibrate fluence"
        )


def facts(bench: Bench) -> Facts:
    """What the bench's models are capable of, from their drivers.

    Raises
    ------
    ConfigError  there is no driver for a model, or none of them tells what a monitor watches
    """
    kinds: dict[str, Any] = {role: find(getattr(bench, role).model, cast(Role, role)).kind for role in bench.roles()}
    if reasons := tuple(untold(bench, kinds)):
        raise ConfigError(
            "A monitor watches what nothing on this bench tells.",
            reasons,
            next_step="take the monitor out, or use a model that tells it (docs/instruments)",
        )
    source = cast(type[VoltageSource], kinds["voltage_source"])
    spectrometer = cast(type[Spectrometer], kinds["spectrometer"])
    shutter = cast(type[Shutter] | None, kinds.get("shutter"))
    return Facts(
        source_step_ns=source.step_time_ns,
        source_max_points=source.max_list_points,
        # a short exposure does not make frames come faster than the model's least frame period
        spectrometer_readout_ns=max(
            spectrometer.readout_ns,
            spectrometer.frame_period_min_ns - round(bench.spectrometer.integration_time_s * 1e9),
        ),
        integration_min_ns=spectrometer.integration_min_ns,
        integration_max_ns=spectrometer.integration_max_ns,
        pixels=spectrometer.pixels,
        shutter_s=0.0 if shutter is None else shutter.opening_time_s + shutter.closing_time_s,
        source_connector=source.trigger_connector,
        source_bipolar=source.bipolar,
        spectrometer_has_clock=spectrometer.has_clock,
    )


def visa(library: str) -> ResourceManager:
    """Open a VISA library by what a bench file calls it.

    Raises
    ------
    InstrumentError  it cannot be opened
    """
    try:
        return ResourceManager(library)
    except (OSError, ValueError) as error:
        raise InstrumentError(
            f"The VISA library {library} cannot be opened: {error}",
            where="visa_library in the bench file",
            next_step='install it, name its file, or use visa_library = "@py" with the resources that PyVISA-py knows',
        ) from error


def _identify(entry: DriverEntry, instrument: Any, resource: str) -> Identity:
    where = f"{entry.role.replace('_', ' ')} at {resource}"
    try:
        identity: Identity = instrument.identify()
    except RigError as error:
        error.where = where  # the driver does not know its address
        raise
    if not entry.matches(f"{identity.maker},{identity.model},{identity.serial},{identity.firmware}"):
        raise WrongIdentity(
            f"At {resource} answers {identity}; the bench file says {entry.model}.",
            where=where,
            hardware_state="only its identity was asked, nothing was set or switched",
            next_step="correct the resource or the model in the bench file, or the address on the instrument",
        )
    return identity
