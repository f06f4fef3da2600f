"""What weakly pumped light says of the claims: the ladder of voltages (C14, C52, C53, C55)."""

from rig.measurements.pl_record import PlRecord
from rig.paper.claim import Judged, Rule, absent, judge
from rig.report.summary import value_text

WEAK_UJ_CM2 = 0.002  # the paper's
VOLTAGE_V = 20.0  # what the claims are about
LIFETIME = "intensity only: lifetimes need a photon counter"
CLAIMS = ("C14", "C52", "C53", "C55")
EARLY = Rule("at least 0.97 about 1 s after the voltage", lo=0.97)
LATE = Rule("at least 0.99 from 20 s on, bleaching taken off", lo=0.99)
LINEAR = Rule("exponent 1.00 +- 0.02", 0.98, 1.02)


def of_weak_light(record: PlRecord) -> list[Judged]:
    """Judge every claim that a ladder of weakly pumped light speaks of."""
    run, result = record.run.path.name, record.result
    if result is None or result.faulted:
        why = record.reason if result is None else result.sentence
        return [absent(claim, "weakly pumped light", "-", why, run) for claim in CLAIMS]
    fluence = record.parameters.fluence_uj_cm2
    pumped = f"at {1e3 * fluence:g} nJ/cm2"
    if fluence != WEAK_UJ_CM2:
        pumped += f", not the paper's {1e3 * WEAK_UJ_CM2:g}"
    early_s = result.stays.early_s
    when = "" if early_s is None else f"{early_s[0]:g} to {early_s[1]:g} s after the voltage; "
    made = [
        judge(
            "C14", "light over that before, early", result.recovery_early, EARLY, note=f"{when}{pumped}; {LIFETIME}", run=run
        ),
        judge("C14", "light over that before, late", result.recovery_late, LATE, note=pumped, run=run),
        judge(
            "C52", "exponent of light against fluence", result.linearity, LINEAR, note=f"{pumped}; {result.slope_from}", run=run
        ),
    ]
    verdict = result.verdict
    passed = None if verdict is None or verdict == "undecided" else verdict == "falls"
    levels = [
        f"{one.voltage_v:g} V {value_text(one.relative)}" for one in result.ladder.levels if one.relative.value is not None
    ]
    note = f"light over that at 0 V: {', '.join(levels)}; the paper gives no numbers; {pumped}"
    highest = result.relative_at_highest
    made.append(Judged("C53", "light at the highest voltage", highest, "falls monotonically", passed, note, run))
    made += [
        judge("C55", "light over that before, early", result.recovery_early, EARLY, note=f"{when}{LIFETIME}", run=run),
        judge("C55", "light over that before, late", result.recovery_late, LATE, note=LIFETIME, run=run),
    ]
    top_v = record.parameters.voltage_max_v
    if top_v == VOLTAGE_V:
        return made
    why = f"the highest voltage was {top_v:g} V, the claim is about {VOLTAGE_V:g} V"
    return [one if one.claim == "C52" else absent(one.claim, one.quantity, one.rule, why, run) for one in made]
