"""What a response run says of the claims: square-wave bias under weak light (C14, C56 to C60)."""

from rig.analysis.statistics import Value
from rig.analysis.step_response import EdgeResponse
from rig.measurements.response_record import ResponseRecord, duration_words
from rig.paper.claim import Judged, Rule, absent, judge
from rig.paper.of_weak_light import EARLY, LATE

VOLTAGE_V, HOLD_S = 20.0, 30.0  # what the claims are about
ABOUT_20_V = ("C14", "C58", "C59", "C60")
CLAIMS = ("C56", "C57", "C58", "C59", "C60")
PERIOD_S = 2.0  # 0.5 Hz
FAST_S = 0.1
PERIOD = Rule("2.000 +- 0.005 s", 1.995, 2.005)
SLOW_TAU = Rule("2 to 10 s", 2.0, 10.0)
SHARES = {"ON": Rule("0.3 to 10 % of the fast step", 0.003, 0.1), "OFF": Rule("1 to 5 % of the fast step", 0.01, 0.05)}
FALL = Rule("falls by 5 to 20 % (0.05 to 0.20)", 0.05, 0.20)
FAST_PART = Rule("fast part above 0.90", lo=0.90, strictly=True)
TAIL = "one exponential, as the claim asks; about the light's tail, which is not linear in the ions"


def of_response(record: ResponseRecord) -> list[Judged]:
    """Judge every claim that a response run speaks of."""
    run, result = record.run.path.name, record.result
    if result is None or result.code == "no-response":
        why = record.reason if result is None else result.sentence
        return [absent(claim, "response", "-", why, run) for claim in CLAIMS]
    period = 2 * record.parameters.half_period_s
    note = f"under weak light ({record.parameters.light}), after a hold of {record.parameters.hold_s:g} s"
    made = [
        judge("C14", "light over that before, 1 s later", result.hold.recovery_1s, EARLY, note=note, run=run),
        judge("C14", "light over that before, 20 s later", result.hold.recovery_20s, LATE, note=note, run=run),
    ]
    if period == PERIOD_S:
        made.append(judge("C56", "period of the light", result.steps.period_s, PERIOD, run=run))
    else:
        made.append(absent("C56", "period of the light", PERIOD.text, f"the run asked for {period:g} s", run))
    rule = "frames of 10 ms; dead time below 1 ms, or recorded"
    note = f"exposed {1e3 * result.exposure_s:.3g} ms, dead time {1e3 * result.dead_s:.3g} ms, triggered by hardware"
    passed = None if result.frame_interval.value is None else abs(result.frame_interval.value - 0.01) <= 1e-4
    made.append(Judged("C57", "time from frame to frame", result.frame_interval, rule, passed, note, run))
    made += [_fast("ON", result.steps.on, run), _fast("OFF", result.steps.off, run)]
    for name, slow in (("ON", result.hold.slow_on), ("OFF", result.hold.slow_off)):
        said = slow.reason or TAIL
        made.append(judge("C59", f"time constant of the {name} tail", slow.tau_s, SLOW_TAU, note=said, run=run))
        made.append(judge("C59", f"share of the {name} tail", slow.share, SHARES[name], note=slow.reason, run=run))
    current = result.hold.current
    made.append(judge("C59", "fall of the current over the hold", current.fall, FALL, note=current.reason, run=run))
    made.append(
        absent("C59", "rise of the threshold over a hold", "1 to 4 %", "no sweep is quick enough for a hold of 30 s", run)
    )
    made += [
        judge("C60", f"fast / (fast + slow), {name}", slow.fast_fraction, FAST_PART, note=slow.reason, run=run)
        for name, slow in (("ON", result.hold.slow_on), ("OFF", result.hold.slow_off))
    ]
    return [_at_its_conditions(one, record) for one in made]


def _at_its_conditions(one: Judged, record: ResponseRecord) -> Judged:
    """Take a verdict back where the run was about something else than the claim."""
    asked = record.parameters
    why = ""
    if one.claim in ABOUT_20_V and asked.voltage_on_v != VOLTAGE_V:
        why = f"the run switched to {asked.voltage_on_v:g} V, the claim is about {VOLTAGE_V:g} V"
    elif one.claim in ("C59", "C60") and not asked.hold_s >= HOLD_S:
        why = f"the hold was {asked.hold_s:g} s long, the claim asks for {HOLD_S:g} s"
    return absent(one.claim, one.quantity, one.rule, why, one.run) if why and one.passed is not None else one


def _fast(name: str, edge: EdgeResponse, run: str) -> Judged:
    rule, upper_s = "below 100 ms with its interval", edge.rise.upper_s
    quantity = f"10-90 % time, {name}"
    if upper_s is None:
        return absent("C58", quantity, rule, edge.reason, run)
    others = f"to 1 - 1/e {duration_words(edge.efold)}, to 95 % {duration_words(edge.settle)}"
    bound = "" if edge.rise.time_s.value is not None else f"{duration_words(edge.rise)}: not longer than a frame; "
    if bound:
        return Judged(
            "C58", f"{quantity}, upper bound", Value(upper_s, None, "s"), rule, upper_s < FAST_S, f"{bound}{others}", run
        )
    return Judged("C58", quantity, edge.rise.time_s, rule, upper_s < FAST_S, f"{edge.edges} edges; {others}", run)
