"""What a person reads of the pump before a run: fluence, angle of the plate, age of its calibration, shutter."""

from rig.bench import OPEN_POSITION, Bench
from rig.compiler import Compiled, Plan
from rig.frame_pattern import FIRED

DAY_S = 86_400
LIGHT_WORDS = {"cw": "continuous light", "none": "none: dark frames", "blocked": "pump blocked"}


def fluence_text(what: Plan, bench: Bench, now_label: str) -> str:
    """Say which fluences a plan asks for and what sets them."""
    asked = sorted({one.block.fluence_uj_cm2 for one in what.blocks if one.block.exposure.light in FIRED})
    if not asked:
        return "no pulse is fired"
    values = ", ".join(f"{value:g}" for value in asked[:5]) + (f" ... {asked[-1]:g}" if len(asked) > 5 else "")
    calibration = bench.calibration()
    if calibration is not None:
        age_s = calibration.age_s(now_label)
        how = "less than a day" if age_s < DAY_S else f"{age_s / DAY_S:.0f} days" if age_s >= DAY_S else "unknown"
        source = f"attenuator, calibrated {calibration.calibrated_at} (age {how})"
    else:
        source = "pump as entered by hand" if bench.attenuator is None else "attenuator, zero and extinction entered by hand"
    meter = "no energy meter" if bench.energy_meter is None else "measured during the run"
    return f"{values} uJ/cm2; {source}{_filter_text(what.blocks[0])}; {meter}"


def light_text(what: Plan) -> str:
    """Say under which light the frames of a plan are taken, and how long they are."""
    words: dict[str, None] = {}
    for one in what.blocks:
        pattern, light = one.timeline.pattern, one.block.exposure.light
        length = f"frames of {pattern.period_ns * 1e-9:g} s, exposed {(pattern.close_ns - pattern.open_ns) * 1e-6:.4g} ms"
        if light != "pulses":
            said = f"{LIGHT_WORDS[light]}; {length}"
        else:
            said = "one pulse in each frame" if pattern.pulses == 1 else f"{pattern.pulses} pulses in each frame; {length}"
        words[said] = None
    return "; ".join(words)


def pulses_fired(what: Plan) -> int:
    """Count the pulses of a plan, those of lead-ins and closing bursts and those that are kept from the film included."""
    blocks = [one for one in what.blocks if one.block.exposure.light in FIRED]
    return sum(one.timeline.shots * one.timeline.pattern.triggers for one in blocks)


def _filter_text(one: Compiled) -> str:
    """Say which filter stands in the beam, nothing where it is open or there is no wheel."""
    at = one.programs.filter
    return "" if at is None or at.position == OPEN_POSITION else f", behind filter {at.position} ({at.transmission:g})"


def pump_lines(one: Compiled, bench: Bench) -> list[str]:
    """Say what plate and shutters do in a block."""
    lines, light = list[str](), one.block.exposure.light
    if one.programs.plate_deg is not None:
        lines.append(f"  attenuator      {one.block.fluence_uj_cm2:g} uJ/cm2, plate at {one.programs.plate_deg:.3f} deg")
    if (at := one.programs.filter) is not None:
        lines.append(f"  filter wheel    position {at.position}, lets {at.transmission:g} through, for the whole run")
    if bench.cw_shutter is not None and light == "cw":
        lines.append("  cw shutter      open from the first burst to the end of the run, or until other light is asked for")
    if bench.shutter is not None and light == "pulses":
        when = "for the time of each burst" if bench.laser.runs_free else "from the first burst to the end of the run"
        lines.append(f"  shutter         open {when}")
    return lines
