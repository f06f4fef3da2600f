"""What the control device says of the claims: "insensitive" as a statement with a margin (C61 to C63)."""

from rig.analysis.equivalence import Equivalence
from rig.analysis.statistics import Value
from rig.measurements.control_record import ControlRecord
from rig.measurements.iv_record import IvRecord
from rig.paper.claim import Judged, absent

CLAIMS = ("C61", "C62", "C63")
MOST_CURRENT = 0.01  # of the bare device's
CURRENT_RULE = "below 1 % of the bare device's at the same voltage"


def of_control(record: ControlRecord, bare: IvRecord | None) -> list[Judged]:
    """Judge every claim that a control run speaks of; `bare` is the bare device's current against voltage."""
    run, result = record.run.path.name, record.result
    if result is None:
        return [absent(claim, "control device", "-", record.reason, run) for claim in CLAIMS]
    header, found = record.run.header, result.found
    device = f"device {header.device or header.sample}, as entered; its layer is not measured"
    field = (
        "with two layers of 20 nm (permittivity 3) beside 300 nm (5) 82 % of the voltage is across the nanocrystals (assumed)"
    )
    return [
        Judged("C61", "control device", Value(None, None, ""), "marked in the run file", True, device, run),
        _equivalent("C62", "change of the light at the highest voltage", found.light, "within 2 %, as an equivalence", run),
        _equivalent("C62", "the same along all voltages", found.slope, "within 2 %, as an equivalence", run),
        _current(record, bare, run),
        absent("C62", "change of the lifetime", "within 3 %", "needs a photon counter", run),
        _equivalent("C63", "shift of the peak", found.peak, "within 0.3 nm, as an equivalence", run, field),
    ]


def _equivalent(claim: str, quantity: str, found: Equivalence, rule: str, run: str, note: str = "") -> Judged:
    passed = {"insensitive": True, "changed": False, "undecided": None}[found.judgement]
    words = "; ".join(filter(None, (found.reason, note)))
    return Judged(claim, quantity, found.change, rule, passed, words, run)


def _current(record: ControlRecord, bare: IvRecord | None, run: str) -> Judged:
    quantity, current = "current over the bare device's", None if record.result is None else record.result.current
    if bare is None or bare.result is None or bare.result.broke is not None:
        return absent("C62", quantity, CURRENT_RULE, "there is no current of the bare device: iv", run)
    top = bare.result.highest
    if current is None or current.value is None or current.ci95 is None or not top.current_ua.value:
        return absent("C62", quantity, CURRENT_RULE, "there is no current of the control device", run)
    if top.voltage_v != record.parameters.voltage_max_v:
        why = f"the bare device was measured at {top.voltage_v:g} V, this one at {record.parameters.voltage_max_v:g} V"
        return absent("C62", quantity, CURRENT_RULE, why, run)
    bare_a = 1e-6 * top.current_ua.value
    lo, hi = sorted(end / bare_a for end in current.ci95)
    share = Value(current.value / bare_a, (lo, hi), "")
    return Judged(
        "C62", quantity, share, CURRENT_RULE, hi < MOST_CURRENT if lo < MOST_CURRENT else False, bare.run.path.name, run
    )
