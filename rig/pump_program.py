"""What blocks ask of the pump: a filter for all, the angle of the plate for each, how long a burst may be. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.errors import Reason
from rig.bench import OPEN_POSITION, Bench
from rig.config_file import Where
from rig.sequence import Block
from rig.timeline import PULSE_MARGIN_NS, Burst, ShotPattern

INSERTION_NS = 100  # from the laser's sync edge to the start of a burst; 85 ns. Source: DG645 manual, trigger input to T0


@dataclass(frozen=True, slots=True)
class Filter:
    """Where a filter wheel stands, from 1 on, and what it lets through there (0 to 1, as entered)."""

    position: int
    transmission: float


def filter_of(bench: Bench) -> Filter | None:
    """Return what stands in the beam of a bench's filter wheel; None without a wheel."""
    position = bench.filter_position
    return None if position is None else Filter(position, bench.filter_transmission)


def weakening(blocks: Sequence[Block], bench: Bench) -> Bench:
    """Return the bench behind the filter that all pulses of a run need, as it is when they need none or none helps.

    Of filters that all blocks can do with it is the densest: the plate then stands far from its darkest, where its angle says
    most, and the energy meter before the wheel sees strong pulses.
    """
    wheel = bench.filter_wheel
    asked = sorted({block.fluence_uj_cm2 for block in blocks if block.exposure.light in ("pulses", "blocked")})
    if wheel is None or not asked or _reaches(bench, asked):
        return bench
    behind = [bench.behind_filter(place) for place in range(OPEN_POSITION + 1, len(wheel.transmission) + 1)]
    fitting = [one for one in behind if _reaches(one, asked)]
    return min(fitting, key=lambda one: one.filter_transmission) if fitting else bench


def _reaches(bench: Bench, asked_uj_cm2: Sequence[float]) -> bool:
    if bench.attenuator is None:
        return all(_is_pump(asked, bench) for asked in asked_uj_cm2)
    law = bench.fluence_law()
    return law is None or law.lowest <= asked_uj_cm2[0] <= asked_uj_cm2[-1] <= law.open


def _is_pump(asked_uj_cm2: float, bench: Bench) -> bool:
    """Whether a fluence is that of a pump which nothing but a filter can change."""
    if bench.filter_transmission == 1:
        return asked_uj_cm2 == bench.pump.fluence_uj_cm2
    return math.isclose(asked_uj_cm2, bench.pump.fluence_uj_cm2 * bench.filter_transmission, rel_tol=1e-9)


def plate_deg(block: Block, bench: Bench) -> float | None:
    """Return the angle of the plate for a block's fluence; None when there is none, or it cannot be reached."""
    law = None if bench.attenuator is None else bench.fluence_law()
    if law is None or not law.lowest <= block.fluence_uj_cm2 <= law.open:
        return None
    return law.angle_deg(block.fluence_uj_cm2)


def check_fluence(block: Block, bench: Bench, where: Where) -> list[Reason]:
    """List why the fluence of a block cannot be had."""
    asked, loc = block.fluence_uj_cm2, where(("parameters", "fluence_uj_cm2"))
    if bench.attenuator is None:
        if _is_pump(asked, bench):
            return []
        message = (
            f"{asked:g} uJ/cm2 is asked for, but this bench has no attenuator and its pump is set to "
            f"{bench.pump.fluence_uj_cm2:g} uJ/cm2 ({bench.where(('pump', 'fluence_uj_cm2'))})"
        )
        return [Reason("fluence-not-available", loc, message)]
    law = bench.fluence_law()
    if law is None:
        message = (
            f"{asked:g} uJ/cm2 is asked for, but nobody knows what the angles of the attenuator mean: "
            f"measure it (rig calibrate fluence) or enter zero_deg and extinction ({bench.where(('attenuator',))})"
        )
        return [Reason("fluence-not-available", loc, message)]
    if law.lowest <= asked <= law.open:
        return []
    source = ("attenuator", "calibration") if bench.calibration() else ("pump", "fluence_uj_cm2")
    message = (
        f"{asked:g} uJ/cm2 is outside the {law.lowest:.4g} to {law.open:.4g} uJ/cm2 that the attenuator can set "
        f"({bench.where(source)}){_filters_text(asked < law.lowest, bench)}"
    )
    return [Reason("fluence-out-of-reach", loc, message)]


def _filters_text(too_weak: bool, bench: Bench) -> str:
    """Say what a filter wheel has to do with it."""
    wheel = bench.filter_wheel
    if wheel is None:
        return "; weaker pulses need a filter wheel: [filter_wheel]" if too_weak else ""
    if bench.filter_position != OPEN_POSITION:
        return f"; the filter of this run lets {bench.filter_transmission:g} through"
    return "; no one filter lets the plate set all fluences of the run" if too_weak else ""


def check_drift(pattern: ShotPattern, bursts: Sequence[Burst], bench: Bench, where: Where) -> list[Reason]:
    """List the bursts that are so long that two clocks, laser's and generator's, drift a pulse out of its exposure.

    A burst begins with the laser and then counts its own period, so the n-th pulse is (n - 1) periods times both clocks' errors
    away from its place.
    """
    laser = bench.laser
    if not laser.runs_free or laser.clock_ppm is None:
        return []
    ppm = laser.clock_ppm + bench.laser_trigger.clock_ppm
    room_ns = min(pattern.pulse_ns - pattern.open_ns, pattern.close_ns - pattern.pulse_ns) - PULSE_MARGIN_NS - INSERTION_NS
    longest = max(burst.shots for burst in bursts)
    drift_ns = (longest - 1) * pattern.period_ns * ppm * 1e-6
    if drift_ns <= room_ns or room_ns <= 0:  # without any room the pattern itself is refused
        return []
    shots = int(room_ns / (pattern.period_ns * ppm * 1e-6)) + 1
    message = (
        f"a burst of {longest} shots: the laser's clock ({laser.clock_ppm:g} ppm) and the generator's "
        f"({bench.laser_trigger.clock_ppm:g} ppm) may move its last pulse by {drift_ns / 1e3:.4g} us, the exposure leaves "
        f"{room_ns / 1e3:.4g} us; the longest burst is {shots} shots, {(shots - 1) * pattern.period_ns * 1e-9:.6g} s of data"
    )
    return [Reason("laser-drifts-out", where(("parameters",)), message)]
