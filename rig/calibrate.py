"""Measures the pump energy against the angle of the attenuator's plate and makes a calibration of it, or says why it cannot.

The source's output is off throughout. The shutter is open only while pulses are measured; the plate turns behind a closed one,
or, without a shutter, while nothing fires. Whatever happens, everything is off before anything is said.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, stdev

import numpy as np

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError, Reason, RefusedError
from drivers.roles import BurstProgram, EnergyMeterInfo, PulseOutput, SourceLimits
from rig.bench import Bench
from rig.compiler import TRIGGER_WIDTH_NS
from rig.fluence import DARK_PART, MIN_POINTS, MalusFit, fit_malus, objections, without_effect
from rig.fluence_calibration import FORMAT, FluenceCalibration, Point
from rig.instruments import Instruments, prepare_meter, serials
from rig.pump_beam import PumpBeam
from rig.run_state import StopRequest

TURN_DEG = 90.0  # the energy repeats after it
RATE_MARGIN = 1.25  # slower than the meter's greatest rate by this factor: the conversation takes time, too
SPARE_PULSES = 5
LEAST_PULSES = 5
BLIND_PART = 0.02  # of its range: what an energy meter may fail to notice, twice the usual 1 %
WHERE = "calibrate fluence"


@dataclass(frozen=True, slots=True)
class Measured:
    """One angle (deg, read back) and the pulse energies there (uJ, at the meter)."""

    angle_deg: float
    energies_uj: tuple[float, ...]


@dataclass(slots=True)
class Scan:
    """What is measured: so many pulses at each of so many angles within a quarter turn, in random order.

    Parameters
    ----------
    observe  told after each angle: how many are done, of how many
    """

    opened: Instruments
    bench: Bench
    clock: Clock
    pulses: int
    points: int
    seed: int
    stop: StopRequest
    observe: Callable[[int, int], None]
    measured: list[Measured] = field(default_factory=list[Measured])
    info: EnergyMeterInfo | None = None
    rate_hz: float = 0.0  # of the pulses
    pace_hz: float = 0.0  # at which they can be measured

    def run(self) -> None:
        """Prepare, measure, go safe; a stop request leaves the angles that are done.

        Raises
        ------
        InstrumentError   an instrument does not do as it is told; everything is off again
        UnsafeStateError  off could not be confirmed
        """
        try:
            self._measure(self.opened.beam(self.bench))
        except BaseException as error:
            self.opened.go_safe(error)
            raise
        report = self.opened.make_safe()
        report.raise_if_unsafe()
        if report.interrupt is not None:
            raise report.interrupt

    def _measure(self, beam: PumpBeam) -> None:
        limits = self.bench.voltage_source.limits
        self.opened.by_role["laser_trigger"].prepare()
        beam.prepare_shutters()
        beam.prepare_plate()
        self.opened.by_role["voltage_source"].prepare(SourceLimits(*limits.voltage_v, limits.current_a))
        self.info = prepare_meter(self.opened, self.bench)
        if self.info is None:
            raise ValueError("a scan needs an energy meter")
        # every pulse is measured and none falls on the film for nothing; a laser that never stops keeps its rate
        self.pace_hz = min(self.bench.laser_trigger.rate_hz, self.info.max_rate_hz / RATE_MARGIN)
        self.rate_hz = self.bench.laser_trigger.rate_hz if beam.runs_free else self.pace_hz
        if not beam.runs_free:
            self.opened.by_role["laser_trigger"].load(self._program())
        angles = np.random.default_rng(self.seed).permutation(np.arange(self.points) * TURN_DEG / self.points)
        for number, angle_deg in enumerate(angles.tolist()):
            if self.stop.requested:
                return
            found_deg = self.opened.by_role["attenuator"].move_to(angle_deg)
            beam.open()
            energies = self._pulses(beam)
            beam.close()
            self.measured.append(Measured(found_deg % 360.0, energies))
            self.observe(number + 1, self.points)

    def _pulses(self, beam: PumpBeam) -> tuple[float, ...]:
        """Measure pulses at one angle: as many as asked for, fewer where the meter does not see them all."""
        trigger, meter = self.opened.by_role["laser_trigger"], self.opened.by_role["energy_meter"]
        fired = self.pulses + SPARE_PULSES
        if not beam.runs_free:
            trigger.arm(fired)
            trigger.fire()
        energies: list[float] = []
        end = Deadline(self.clock, fired / self.pace_hz)
        while len(energies) < self.pulses and not end.over and not self.stop.requested:
            reading = meter.measure(min(2 / self.pace_hz, end.left_s) + 0.05)
            if reading is not None:
                energies.append(reading.energy_uj)
        if not beam.runs_free:
            self._wait(fired)
        return tuple(energies)

    def _wait(self, fired: int) -> None:
        trigger = self.opened.by_role["laser_trigger"]
        patience = Deadline(self.clock, fired / self.rate_hz + 1.0)
        while trigger.busy():
            if self.stop.requested:
                trigger.make_safe()
                return
            if patience.over:
                raise InstrumentError(
                    f"The delay generator is still busy 1 s after {fired} shots should have ended.",
                    where="laser trigger",
                    hardware_state="going safe",
                    next_step="check its burst period and trigger source on the front panel",
                )
            self.clock.sleep(0.25 / self.rate_hz)

    def _program(self) -> BurstProgram:
        """Pulses to the laser alone, at the scan's own rate."""
        [cable] = [cable for cable in self.bench.cables if cable.target == "laser.trigger"]
        channel = cable.source.split(".", 1)[1]
        output = PulseOutput(
            channel,  # pyright: ignore[reportArgumentType] - checked by the bench model
            0,
            TRIGGER_WIDTH_NS,
            cable.level_v,
            cable.load == "high_z",
            cable.edge == "rising",
        )
        return BurstProgram(round(1e9 / self.rate_hz), (output,), t0_on_first_shot_only=False)


def require_scannable(bench: Bench, pulses: int, points: int) -> None:
    """See that a bench has what a calibration needs.

    Raises
    ------
    RefusedError  every reason why not
    """
    reasons = [
        Reason(f"no-{role.replace('_', '-')}", bench.where(()) or "bench", f"a calibration needs [{role}], the bench has none")
        for role in ("attenuator", "energy_meter")
        if getattr(bench, role) is None
    ]
    for name, least, given in (("pulses", LEAST_PULSES, pulses), ("points", MIN_POINTS, points)):
        if not least <= given <= 1000:
            reasons.append(Reason("scan-impossible", f"--{name}", f"{given} {name}; {least} to 1000 make a fit"))
    if reasons:
        raise RefusedError(
            "The fluence of this bench cannot be calibrated.", tuple(reasons), next_step="complete the bench file"
        )


def evaluate(scan: Scan, *, simulated: bool, label: str) -> FluenceCalibration:
    """Fit Malus' law to what was measured.

    Raises
    ------
    RefusedError  it does not describe what was measured, with the reason: nothing may be stored
    """
    bench, meter, info = scan.bench, scan.bench.energy_meter, scan.info
    if meter is None or info is None:
        raise ValueError("nothing was measured")
    seen = [one for one in scan.measured if len(one.energies_uj) >= max(LEAST_PULSES, scan.pulses / 2)]
    reasons = _too_little(scan, seen) or without_effect([fmean(one.energies_uj) for one in seen], WHERE)
    if reasons:
        raise _refused(reasons)
    angles, energies = [one.angle_deg for one in seen], [fmean(one.energies_uj) for one in seen]
    errors = [_standard_error(one.energies_uj) for one in seen]
    try:
        fit = fit_malus(angles, energies, errors)
    except (ValueError, RuntimeError) as error:  # RuntimeError: a fit without an end
        raise _refused([Reason("fit-does-not-describe", WHERE, f"Malus' law could not be fitted: {error}")]) from error
    reasons = objections(fit, angles, energies, WHERE) or _missing(scan, seen, fit)
    if reasons:
        raise _refused(reasons)
    return FluenceCalibration(
        format=FORMAT,
        simulated=simulated,
        calibrated_at=label,
        bench=str(bench.path or "values"),
        energy_open_uj=fit.law.open,
        zero_deg=fit.law.zero_deg,
        extinction=fit.law.extinction,
        covariance=tuple(tuple(row) for row in fit.covariance.tolist()),  # pyright: ignore[reportArgumentType] - it is 3 by 3
        chi2=fit.chi2,
        degrees_of_freedom=fit.freedom,
        probability=fit.probability,
        spot_area_cm2=bench.pump.spot_area_cm2,
        pickoff_ratio=meter.pickoff_ratio,
        wavelength_nm=meter.wavelength_nm,
        rate_hz=scan.rate_hz,
        identities={role: str(who)[:300] for role, who in scan.opened.identities.items()},
        serials=serials(scan.opened, info),
        point=tuple(
            Point(angle_deg=angle, energy_uj=energy, standard_error_uj=error, residual_uj=residual, pulses=len(one.energies_uj))
            for one, angle, energy, error, residual in zip(seen, angles, energies, errors, fit.residuals.tolist(), strict=True)
        ),
    )


def _standard_error(energies: tuple[float, ...]) -> float:
    """Standard error of the mean; wider for few pulses, whose scatter says little of itself (Student's t)."""
    n = len(energies)
    return stdev(energies) / math.sqrt(n) * math.sqrt((n - 1) / (n - 3))


def _too_little(scan: Scan, seen: list[Measured]) -> list[Reason]:
    if not any(one.energies_uj for one in scan.measured):
        message = (
            f"the energy meter saw no pulse at any of {len(scan.measured)} angles: is the laser on, the shutter's interlock "
            "closed, the head in the beam?"
        )
        return [Reason("no-pulses", WHERE, message)]
    if len(seen) < MIN_POINTS:
        message = f"pulses were seen at {len(seen)} of {len(scan.measured)} angles, a fit needs {MIN_POINTS}"
        return [Reason("too-few-points", WHERE, message)]
    return []


def _missing(scan: Scan, seen: list[Measured], fit: MalusFit) -> list[Reason]:
    """Where the beam is nearly dark a meter may see nothing; where there should be light, something is wrong."""
    blind_uj = max(DARK_PART * fit.law.open, BLIND_PART * (scan.info.range_uj if scan.info else 0.0))
    lost = [one for one in scan.measured if one not in seen and fit.law.at(one.angle_deg) > blind_uj]
    if not lost:
        return []
    at = ", ".join(f"{one.angle_deg:.1f} deg ({len(one.energies_uj)} of {scan.pulses})" for one in lost[:5])
    return [Reason("pulses-missing", WHERE, f"the meter missed pulses where there is light: at {at}")]


def _refused(reasons: list[Reason]) -> RefusedError:
    error = RefusedError(
        "The calibration is not stored: what was measured does not make one.",
        tuple(reasons),
        where=WHERE,
        next_step="put right what the reason names and calibrate again",
    )
    error.hardware_state = "everything is off, confirmed"
    return error
