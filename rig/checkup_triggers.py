"""Trigger loop: pulses sent by the delay generator against frames counted by the spectrometer; and stale frames.

The laser's output is parked (least level, no width) unless pulses to the laser are allowed, so nothing shines on the film.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from drivers.registry import Role
from drivers.roles import BurstProgram, Channel, ExposureProgram, FrameBatch, PulseOutput
from rig.bench import Bench
from rig.cabling import Cable
from rig.checkup import Check, Finding, Situation, kept
from rig.compiler import TRIGGER_WIDTH_NS
from rig.timeline import ShotPattern, shot_pattern

PULSES = 100
STALE_PULSES = 10
SEEN = 10.0  # times the power of the noise: that is light
PATIENCE_S = 1.0  # after a burst should be over
BOTH: tuple[Role, ...] = ("laser_trigger", "spectrometer")


def loop_count(situation: Situation) -> Finding:
    """Send pulses, count frames."""
    if (against := cannot_park(situation)) is not None:
        return against
    light, why_dark = light_allowed(situation)
    with kept(situation, BOTH):
        prepare_loop(situation, light=light)
        frames = fire(situation, PULSES)
    cable = cast(Cable, situation.bench.cable_to("spectrometer.trigger"))
    shots = "the laser's output fired, too" if light else f"the laser's output parked{why_dark}"
    what = f"{PULSES} pulses sent, {len(frames)} frames counted ({shots})"
    gaps = int(np.sum(np.diff(frames.count.astype(np.int64)) - 1)) if len(frames) else 0
    details = {"pulses": PULSES, "frames": len(frames), "gaps_in_count": gaps, "light": light}
    if len(frames) == PULSES and not gaps:
        return Finding("ok", what, float(len(frames)), "frames", details=details)
    way = f"the cable from {cable.source} to {cable.target}"
    step = f"look at {way}: its level ({cable.level_v:g} V), the edge, something else that triggers"
    if not len(frames):
        step = f"is {way} plugged in? Is the generator's INHIBIT input low?"
    return Finding("fail", what, float(len(frames)), "frames", step, details)


def stale_frame(situation: Situation) -> Finding:
    """Fill the detector with light, then arm anew in the dark: does the first frame show the old light?"""
    light, why_dark = light_allowed(situation)
    if not light:
        return Finding("skipped", f"cannot be told in the dark{why_dark or ': it takes pulses to the laser'}", next_step=ALLOW)
    with kept(situation, BOTH):
        prepare_loop(situation, light=True)
        lit = fire(situation, STALE_PULSES).spectra.astype(np.float64)
        prepare_loop(situation, light=False)
        dark = fire(situation, STALE_PULSES).spectra.astype(np.float64)
    if min(len(lit), len(dark)) < STALE_PULSES:
        return Finding("skipped", "frames are missing, see the trigger loop")
    share = old_light(lit, dark)
    if share is None:
        return Finding("skipped", "the detector saw no light from these pulses: laser off, shutter closed or beam blocked?")
    stale = share > 0.5
    what = f"the first frame after arming shows {100 * share:.0f} % of the light before it"
    return Finding("ok", f"{what}{'; runs throw it away' if stale else ''}", share, details={"stale_first_frame": stale})


ALLOW = "to know it: rig doctor --allow-light (some pulses will reach the film)"


def old_light(lit: NDArray[np.float64], dark: NDArray[np.float64]) -> float | None:
    """How much of the lit frames' light the first dark frame shows (0 to 1); None when there was no light to see.

    Parameters
    ----------
    lit, dark  counts (n, pixels); the first frame of either may be an old one and tells nothing of its own burst
    """
    reference = np.median(dark[1:], axis=0)
    light = np.median(lit[1:], axis=0) - reference
    # what the noise alone would leave of a difference of two medians: pi/2 of its variance over the number of frames
    noise = float(np.var(dark[1:], axis=0, ddof=1).sum()) * np.pi / 2 * (1 / len(lit[1:]) + 1 / len(dark[1:]))
    if not float(light @ light) > SEEN * (noise + 1.0):
        return None
    return float((dark[0] - reference) @ light / (light @ light))


# --- the loop itself --------------------------------------------------------------------------------------------------


def light_allowed(situation: Situation) -> tuple[bool, str]:
    """Whether pulses may go to the laser; else why not although it was allowed, as the end of a sentence."""
    if not situation.allowed.light:
        return False, ""
    if situation.bench.shutter is not None:
        state = situation.states.get("shutter")
        if state is None or not state.safe:
            return False, ": the shutter does not say that it is closed"
    return (True, "") if situation.bench.cable_to("laser.trigger") else (False, ": no cable leads to the laser")


def pattern_of(bench: Bench, readout_ns: int) -> ShotPattern:
    """Return one shot of this bench."""
    return shot_pattern(
        period_ns=round(1e9 / bench.laser_trigger.rate_hz),
        integration_ns=round(bench.spectrometer.integration_time_s * 1e9),
        readout_ns=readout_ns,
        pulse_delay_ns=round(bench.laser.pulse_delay_s * 1e9),
        exposure_delay_ns=round(bench.spectrometer.trigger_delay_s * 1e9),
        source_step_ns=None,
    )


def prepare_loop(situation: Situation, *, light: bool) -> None:
    """Load generator and spectrometer as for a run, without the source; `light` includes the laser's output."""
    bench = situation.bench
    trigger, spectrometer = (situation.instrument(role) for role in ("laser_trigger", "spectrometer"))
    pattern = pattern_of(bench, spectrometer.readout_ns)
    delays = {"spectrometer.trigger": pattern.spectrometer_ns}
    if light:
        delays["laser.trigger"] = pattern.laser_ns
    outputs = tuple(
        PulseOutput(
            cast(Channel, cable.source.split(".", 1)[1]),
            delays[cable.target],
            TRIGGER_WIDTH_NS,
            cable.level_v,
            cable.load == "high_z",
            cable.edge == "rising",
        )
        for cable in bench.cables
        if cable.target in delays
    )
    spectrometer.prepare()
    spectrometer.load(ExposureProgram(pattern.close_ns - pattern.open_ns, "external_edge"))
    trigger.load(BurstProgram(pattern.period_ns, outputs, t0_on_first_shot_only=False))


def fire(situation: Situation, pulses: int) -> FrameBatch:
    """Arm both, fire one burst, return all frames of it; a stop request ends it early."""
    trigger, spectrometer, clock = situation.instrument("laser_trigger"), situation.instrument("spectrometer"), situation.clock
    trigger.arm(pulses)
    spectrometer.arm()
    trigger.fire()
    period_s = 1 / situation.bench.laser_trigger.rate_hz
    over_ns = clock.now_ns() + round((pulses * period_s + PATIENCE_S) * 1e9)
    batches: list[FrameBatch] = []
    while trigger.busy() and clock.now_ns() < over_ns and not situation.stopped():
        clock.sleep(min(period_s * spectrometer.frames_per_request, 0.1))
        batches.append(spectrometer.collect())
    clock.sleep(period_s + 0.01)
    return collected(situation, batches)


def collected(situation: Situation, batches: list[FrameBatch]) -> FrameBatch:
    """Fetch what still waits; return it all as one batch."""
    spectrometer = situation.instrument("spectrometer")
    while len(batch := cast(FrameBatch, spectrometer.collect())):
        batches.append(batch)
    batches = [batch for batch in batches if len(batch)] or [batch]
    return FrameBatch(
        np.concatenate([batch.spectra for batch in batches]),
        np.concatenate([batch.device_time_us for batch in batches]),
        np.concatenate([batch.count for batch in batches]),
    )


def cannot_park(situation: Situation) -> Finding | None:
    """Tell when the laser hangs on the one output that pulses in every cycle, parked or not, and may not be fired."""
    cable = situation.bench.cable_to("laser.trigger")
    if cable is None or cable.source != "laser_trigger.T0" or light_allowed(situation)[0]:
        return None
    return Finding("skipped", "the laser hangs on T0, which pulses in every cycle and cannot be parked", next_step=ALLOW)


TRIGGER_CHECKS = [
    Check("bench", "trigger loop", loop_count, BOTH, BOTH),
    Check("bench", "stale frame", stale_frame, BOTH, BOTH),
]
