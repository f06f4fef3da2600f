"""What a threshold map says of the claims: thresholds, narrowing, reduction, monotony (C23 to C30)."""

import numpy as np

from rig.analysis.statistics import Value
from rig.measurements.map_record import MapRecord, MapSweep
from rig.paper.claim import Judged, Rule, absent, judge

PUMPED_UJ_CM2 = 40.0  # of the switching run
VOLTAGE_V = 20.0  # of the paper's thresholds under voltage
FEWEST = 20  # set points, and shots at each, for widths against fluence
PAPER = {"C27": (0, 68.0), "C28": (-1, 32.0)}  # claim: which level, threshold (uJ/cm2)
STATISTICAL, SYSTEMATIC = 0.03, 0.10  # relative; half of the 95 % interval, absolute fluence
CLAIMS = ("C23", "C24", "C25", "C26", "C27", "C28", "C29", "C30")
ABOUT_20_V = ("C23", "C25", "C28", "C29", "C30")


def of_map(record: MapRecord) -> list[Judged]:
    """Judge every claim that a threshold map speaks of."""
    run = record.run.path.name
    if record.result is None or record.result.faulted or not record.result.effect.levels:
        why = record.reason if record.result is None else record.result.sentence
        return [absent(claim, "threshold", "-", why, run) for claim in CLAIMS]
    levels = record.result.effect.levels
    rest, highest = levels[0].value, levels[-1].value
    top_v = levels[-1].voltage_v
    elsewhere = "" if top_v == VOLTAGE_V else f"the highest voltage was {top_v:g} V, the claim is about {VOLTAGE_V:g} V"
    made = [_between(rest, highest, run)]
    for claim, one, voltage_v in (("C24", rest, levels[0].voltage_v), ("C25", highest, levels[-1].voltage_v)):
        sweeps = [sweep for sweep in record.result.sweeps if sweep.voltage_v == voltage_v]
        made += _widths(claim, sweeps, one, run, _too_thin(record))
        made += _narrowing(sweeps, voltage_v, run)
    made += [_threshold(claim, levels[which].value, record, expected, run) for claim, (which, expected) in PAPER.items()]
    made += _reduction(record, run)
    test = record.result.effect.test
    verdict = None if test is None or test.verdict == "undecided" else test.verdict == "falls"
    chance = Value(None if test is None else test.p_fall, None, "")
    rule = "falls in one direction within the intervals"
    made.append(Judged("C30", "probability of such a fall by chance", chance, rule, verdict, _steps(record), run))
    if not elsewhere:
        return made
    return [
        absent(one.claim, one.quantity, one.rule, elsewhere, run)
        if one.claim in ABOUT_20_V or one.quantity.endswith(f" {top_v:g} V")
        else one
        for one in made
    ]


def _too_thin(record: MapRecord) -> str:
    points, shots = record.parameters.points, record.parameters.shots_per_point
    if points >= FEWEST and shots >= FEWEST:
        return ""
    return f"{points} set points with {shots} shots each, the claim asks for {FEWEST} with {FEWEST}"


def _steps(record: MapRecord) -> str:
    levels = () if record.result is None else record.result.effect.levels
    told = [f"{one.voltage_v:g} V {one.value.value:.1f}" for one in levels if one.value.value is not None]
    return f"thresholds (uJ/cm2): {', '.join(told)}; values in between are no claim of the paper"


def _between(rest: Value, highest: Value, run: str) -> Judged:
    rule = "both 95 % intervals exclude 40 uJ/cm2: above it at 0 V, below it at 20 V"
    if rest.ci95 is None or highest.ci95 is None:
        return absent("C23", "thresholds around 40 uJ/cm2", rule, "a threshold is missing", run)
    passed = highest.ci95[1] < PUMPED_UJ_CM2 < rest.ci95[0]
    gap = Value(rest.ci95[0] - highest.ci95[1], None, "uJ/cm2")
    note = "40 uJ/cm2 and the thresholds are on one scale, whose common error is left out"
    return Judged("C23", "gap between the two intervals", gap, rule, passed, note, run)


def _widths(claim: str, sweeps: list[MapSweep], threshold: Value, run: str, thin: str) -> list[Judged]:
    """Line widths well above and well below the threshold, over all sweeps at one voltage."""
    above = Rule("< 5 nm from 1.3 thresholds on", hi=5.0, strictly=True)
    below = Rule("> 20 nm up to 0.9 thresholds", lo=20.0, strictly=True)
    seen = [sweep.result for sweep in sweeps if sweep.result is not None]
    if thin or threshold.value is None or not seen:
        return [absent(claim, "line width", above.text, thin or "there is no threshold at this voltage", run)]
    share = np.concatenate([one.width_uj_cm2 for one in seen]) / threshold.value
    fwhm_nm = np.concatenate([one.fwhm_nm for one in seen])
    made: list[Judged] = []
    for quantity, chosen, rule, worst in (
        ("widest line above the threshold", share >= 1.3, above, np.nanmax),
        ("narrowest band below the threshold", share <= 0.9, below, np.nanmin),
    ):
        widths, without = fwhm_nm[chosen & np.isfinite(fwhm_nm)], int((chosen & ~np.isfinite(fwhm_nm)).sum())
        if len(widths):
            made.append(
                judge(
                    claim, quantity, Value(float(worst(widths)), None, "nm"), rule, note=_points(len(widths), without), run=run
                )
            )
        else:
            made.append(absent(claim, quantity, rule.text, "no point lies there, or none has a width", run))
    return made


def _points(count: int, without: int) -> str:
    return f"{count} points" + (f", {without} more have no width" if without else "")


def _narrowing(sweeps: list[MapSweep], voltage_v: float, run: str) -> list[Judged]:
    rule, quantity = Rule("within 25 % of the threshold", -0.25, 0.25), f"where the line is half as wide, {voltage_v:g} V"
    ratios = [
        one.crossing.value / one.value.value - 1
        for one in (sweep.result for sweep in sweeps)
        if one is not None and one.crossing.value is not None and one.value.value is not None
    ]
    if not ratios:
        return [absent("C26", quantity, rule.text, "no sweep has both", run)]
    value = Value(float(np.median(ratios)), None, "")
    note = "relative to the threshold, median of the sweeps; the secondary estimator, never instead of the threshold"
    return [judge("C26", quantity, value, rule, note=note, run=run)]


def _threshold(claim: str, value: Value, record: MapRecord, expected: float, run: str) -> Judged:
    rule = f"half of the interval within 3 %; value within 10 % (absolute fluence) of {expected:g} uJ/cm2"
    if value.value is None or value.half_width is None:
        return absent(claim, "threshold", rule, "there is no threshold at this voltage", run)
    passed = value.half_width <= STATISTICAL * value.value and abs(value.value / expected - 1) <= SYSTEMATIC
    common = (
        "; absolute fluence as entered, no energy meter"
        if record.fluence is None
        else f"; common to all fluences, not in the interval: {100 * record.fluence.scale.relative:.2g} % (1 sigma)"
    )
    half, off = 100 * value.half_width / value.value, 100 * (value.value / expected - 1)
    note = f"rate-law fit of the light beyond the spontaneous band; interval ± {half:.1f} %, value {off:+.1f} %{common}"
    return Judged(claim, "threshold", value, rule, passed, note, run)


def _reduction(record: MapRecord, run: str) -> list[Judged]:
    value = Value(None, None, "") if record.result is None else record.result.value
    rule = Rule("0.529 +- 0.02, lower bound above 0.50", 0.509, 0.549)
    if value.value is None or value.ci95 is None:
        why = record.reason if record.result is None else record.result.sentence
        return [absent("C29", "1 - threshold(20 V) / threshold(0 V)", rule.text, why, run)]
    passed = rule.holds(value.value) and value.ci95[0] > 0.50
    note = "the absolute fluence cancels"
    return [Judged("C29", "1 - threshold(20 V) / threshold(0 V)", value, rule.text, passed, note, run)]
