"""What a block asks of the pump: the angle of the plate; of a laser that is its own clock, how long a burst may be. Pure."""

from collections.abc import Sequence

from drivers.errors import Reason
from rig.bench import Bench
from rig.config_file import Where
from rig.sequence import Block
from rig.timeline import PULSE_MARGIN_NS, Burst, ShotPattern

INSERTION_NS = 100  # from the laser's sync edge to the start of a burst; 85 ns. Source: DG645 manual, trigger input to T0


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
        if asked == bench.pump.fluence_uj_cm2:
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
        f"({bench.where(source)})"
    )
    return [Reason("fluence-out-of-reach", loc, message)]


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
