"""The source's output, switched on for a moment at 0 V and at a small voltage; only when the user allows it.

A source that is on already works for somebody and is never touched, allowed or not: what it walks through cannot be put back.
"""

from drivers.roles import HoldLevel, SourceLimits, SourceReading
from rig.checkup import Check, Finding, Situation, kept

TRY_V = 0.1
SETTLE_S = 0.2
TOLERANCE_V = 0.02  # a source on its 20 V range; what matters here is a contact that is open or shorted


def output_levels(situation: Situation) -> Finding:
    """Switch on at 0 V, step to a small voltage within the limits, read both back, switch off."""
    if not situation.allowed.output:
        return Finding("skipped", "the output stays off", next_step="to test it: rig doctor --allow-output (0 V, then 0.1 V)")
    source, limits = situation.instrument("voltage_source"), situation.bench.voltage_source.limits
    low_v, high_v = limits.voltage_v
    level_v = min(TRY_V, high_v, limits.step_v) if high_v > 0 else max(-TRY_V, low_v, -limits.step_v)
    if getattr(source, "buffer_count", 0):
        return Finding(
            "skipped", "readings wait in the source's buffer and would be lost", next_step="read or clear them first"
        )
    with kept(situation, ("voltage_source",)):
        source.prepare(SourceLimits(low_v, high_v, limits.current_a))
        readings = [_at(situation, wanted_v) for wanted_v in (0.0, level_v)]
    off = [abs(reading.voltage_v - wanted) for reading, wanted in zip(readings, (0.0, level_v), strict=True)]
    limited = any(reading.in_compliance for reading in readings)
    what = "; ".join(f"{reading.voltage_v:+.4f} V, {1e6 * reading.current_a:+.3g} uA" for reading in readings)
    details = {
        "asked_v": [0.0, level_v],
        "measured_v": [reading.voltage_v for reading in readings],
        "measured_a": [reading.current_a for reading in readings],
        "in_compliance": limited,
    }
    if all(error <= TOLERANCE_V for error in off) and not limited:
        return Finding("ok", f"at 0 V and {level_v:g} V: {what}; off again", max(off), "V", details=details)
    why = "the current limit holds the voltage down" if limited else f"more than {TOLERANCE_V:g} V off"
    step = "look for a short at the film's contacts" if limited else "look at the sense leads and the source's calibration"
    return Finding("fail", f"at 0 V and {level_v:g} V: {what}: {why}; off again", max(off), "V", step, details)


def _at(situation: Situation, level_v: float) -> SourceReading:
    source = situation.instrument("voltage_source")
    source.load(HoldLevel(level_v))
    source.arm()
    situation.clock.sleep(SETTLE_S)
    return source.measure()


SOURCE_CHECKS = [Check("voltage_source", "levels", output_levels, ("voltage_source",), ("voltage_source",))]
