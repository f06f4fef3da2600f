"""What the control device says of the claims: "insensitive" as a statement with a margin (C61 to C63)."""

from rig.analysis.equivalence import Equivalence
from rig.analysis.statistics import Value
from rig.measurements.control_record import ControlRecord
from rig.measurements.iv_record import IvRecord
from rig.paper.campaign import CONTROL_VARIANT, control_name
from rig.paper.claim import Judged, absent

CLAIMS = ("C61", "C62", "C63")
MOST_CURRENT = 0.01  # of the bare device's
LIGHT_MARGIN, PEAK_MARGIN_NM = 0.02, 0.3
VOLTAGE_V = 20.0  # what the claims are about
CURRENT_RULE = "below 1 % of the bare device's at the same voltage"


def of_control(record: ControlRecord, bare: IvRecord | None) -> list[Judged]:
    """Judge every claim that a control run speaks of; `bare` is the bare device's current against voltage."""
    run, result = record.run.path.name, record.result
    if result is None:
        return [absent(claim, "control device", "-", record.reason, run) for claim in CLAIMS]
    found, top_v = result.found, record.parameters.voltage_max_v
    field = (
        "with two layers of 20 nm (permittivity 3) beside 300 nm (5) 82 % of the voltage is across the nanocrystals (assumed)"
    )
    light, peak = ("within 2 %, as an equivalence", LIGHT_MARGIN), ("within 0.3 nm, as an equivalence", PEAK_MARGIN_NM)
    made = [
        _equivalent("C62", "change of the light at the highest voltage", found.light, light, run),
        _equivalent("C62", "the same along all voltages", found.slope, light, run),
        _current(record, bare, run),
        absent("C62", "change of the lifetime", "within 3 %", "needs a photon counter", run),
        _equivalent("C63", "shift of the peak", found.peak, peak, run, field),
    ]
    if top_v != VOLTAGE_V:
        why = f"the highest voltage was {top_v:g} V, the claim is about {VOLTAGE_V:g} V"
        made = [absent(one.claim, one.quantity, one.rule, why, run) for one in made]
    return [_marked(record, run), *made]


def _marked(record: ControlRecord, run: str) -> Judged:
    """A simulated film says itself how it is made; of a real one the sample's name is all there is."""
    header, rule, none = record.run.header, "the run file marks the device as one with PMMA", Value(None, None, "")
    name = header.device if header.simulated and header.device else header.sample
    note = f"device {name!r}, as entered; its layer is not measured"
    if header.simulated and header.device:
        return Judged("C61", "control device", none, rule, CONTROL_VARIANT in header.device.split(), note, run)
    return Judged("C61", "control device", none, rule, header.sample.endswith(control_name("")), note, run)


def _equivalent(claim: str, quantity: str, found: Equivalence, limit: tuple[str, float], run: str, note: str = "") -> Judged:
    rule, margin = limit
    if found.margin != margin:
        return absent(claim, quantity, rule, f"the run was judged by a margin of {found.margin:g}", run)
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
    inside, outside = -MOST_CURRENT < lo and hi < MOST_CURRENT, lo >= MOST_CURRENT or hi <= -MOST_CURRENT
    note = f"the bare device's: {bare.run.path.name}"
    if not inside and not outside:
        note += "; the interval reaches across the limit"
    return Judged("C62", quantity, share, CURRENT_RULE, True if inside else False if outside else None, note, run)
