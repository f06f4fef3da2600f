"""How the frames of a block are laid out in time, by what reaches the film and how long each frame is. Pure."""

from drivers.errors import Reason
from rig.bench import Bench
from rig.config_file import Where
from rig.sequence import Exposure
from rig.timeline import ShotPattern, shot_pattern

FIRED = ("pulses", "blocked")  # light for which the laser is fired
DARK_FRAMES, DARK_FRAMES_MIN, DARK_S = 100, 20, 60.0  # fewer of long exposures: as many as there is time for
SOURCE_GUARD_NS = 40_000  # between the source's documented step time and the next window
SPARE_NS = 40_000  # of a frame that is as long as there is room for, beside its read-out


def dark_frames(integration_ns: int) -> int:
    """Return how many frames the dark spectrum of a run is made of."""
    return max(DARK_FRAMES_MIN, min(DARK_FRAMES, round(DARK_S * 1e9 / integration_ns)))


def frame_pattern(exposure: Exposure, bench: Bench, *, readout_ns: int, source_step_ns: int | None) -> ShotPattern:
    """Lay out one shot: one pulse, or several that add up in one frame, or a frame as long as there is room for.

    Parameters
    ----------
    readout_ns      from the end of an exposure until the spectrometer sees its next trigger
    source_step_ns  from the source's edge, at the start of the shot, to its settled level; None in gated blocks
    """
    period_ns, frame_s = round(1e9 / bench.laser_trigger.rate_hz), exposure.frame_s
    fired = exposure.light in FIRED
    exposure_delay_ns = round(bench.spectrometer.trigger_delay_s * 1e9)
    integration_ns, triggers = round(bench.spectrometer.integration_time_s * 1e9), 1
    if frame_s is not None and fired:
        triggers = max(1, round(frame_s * 1e9 / period_ns))
    elif frame_s is not None:
        period_ns = round(frame_s * 1e9)
        free_ns = period_ns - max(source_step_ns or 0, exposure_delay_ns) - readout_ns - SPARE_NS
        integration_ns = max(free_ns, 0) // 1000 * 1000  # spectrometers count microseconds
    return shot_pattern(
        period_ns=period_ns,
        integration_ns=integration_ns,
        readout_ns=readout_ns,
        pulse_delay_ns=round(bench.laser.pulse_delay_s * 1e9) if fired else 0,
        exposure_delay_ns=exposure_delay_ns,
        source_step_ns=source_step_ns,
        laser_runs_free=bench.laser.runs_free and fired,
        triggers=triggers,
        pulses=triggers if exposure.light == "pulses" else 0,
    )


def check_exposure(exposure: Exposure, bench: Bench, where: Where) -> list[Reason]:
    """List why the light cannot be had, or why frames would hold no whole number of pulses."""
    light, frame_s, reasons = exposure.light, exposure.frame_s, list[Reason]()
    if light == "cw" and bench.cw_shutter is None:
        message = "continuous light is asked for, the bench has none: [cw_shutter]; or ask for other light"
        reasons.append(Reason("no-cw-light", bench.where(("cw_shutter",)), message))
    if light == "blocked" and bench.shutter is None:
        message = "the film is to be kept from the pulses, the bench has no shutter: [shutter]"
        reasons.append(Reason("no-shutter", bench.where(("shutter",)), message))
    if frame_s is not None and light in FIRED:
        pulses = frame_s * bench.laser_trigger.rate_hz
        if not (abs(pulses - round(pulses)) <= 1e-6 and round(pulses) >= 1):
            given = f"{frame_s:g} s at {bench.laser_trigger.rate_hz:g} Hz"
            message = f"{given} are {pulses:.9g} pulses; a frame needs a whole number"
            reasons.append(Reason("part-of-a-shot", where(("parameters", "frame_s")), message))
    return reasons
