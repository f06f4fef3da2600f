"""What a current-voltage run brings to a report: the contact, currents by voltage, their law and course, the figure."""

from rig.contact_check import Contact
from rig.measurements.iv import Iv
from rig.measurements.iv_record import NOT_MEASURED, IvRecord, IvResult, scaled
from rig.report.findings import Cell, Drawing, Findings, Mark, ResultTable, Tone
from rig.report.summary import interval_text, value_text

CAPTION = (
    "Current against voltage (µA, 95 % intervals), on the way up and down, in the dark, with the law that was fitted; below it "
    "the current at the highest voltage against time."
)
NOTE = "Numbers after ± are half the 95 % interval; a dash: there is no value."


def iv_findings(record: IvRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result, contact = record.result, _contact(record.contact)
    if result is None:
        return Findings(f"{record.lines[0]}.", (contact,))
    drawing = Drawing("iv", CAPTION, record.figure)
    tables = (contact, _found(result), _levels(result))
    return Findings(f"{record.lines[0]}.", tables, (drawing,), _methods(record.parameters, result))


def _methods(parameters: Iv, result: IvResult) -> str:
    return (
        f"The current was measured in the dark at {parameters.voltages} voltages from 0 to {parameters.voltage_max_v:g} V, "
        f"up and down, {parameters.hold_s:g} s at each after a rest at 0 V, the first {parameters.settle_s:g} s left out, "
        f"then for {parameters.long_hold_s:g} s at the highest. A leak and a power of the voltage were fitted together, "
        f"one exponential to the long hold. The result was: {result.sentence}."
    )


def _contact(found: Contact | None) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [("contact", "not looked at")]
    if found is not None:
        tones: dict[str, Tone] = {"sound": "good", "undecided": "open"}
        rows = [("contact", Mark(found.condition, tones.get(found.condition, "bad")))]
        rows += [("rule", reason) for reason in found.reasons]
    else:
        rows.append(("rule", NOT_MEASURED))
    return ResultTable("Contact, before the first voltage of the run", ("quantity", "value"), tuple(rows))


def _found(result: IvResult) -> ResultTable:
    top = result.highest
    values = (
        (f"current at {top.voltage_v:g} V", top.current_ua),
        ("power of the voltage beside the leak (space-charge-limited: 2)", result.exponent),
        ("slope of ln I against ln V, upper half", result.law.slope),
        ("leak of that law", scaled(result.law.leak_ohm, 1e-6, "Mohm")),
        ("down over up, minus 1", result.hysteresis),
        ("voltage read back over set, minus 1", result.readback),
        ("fall of the current over the long hold", result.fall),
        ("its time constant", result.decay.tau_s),
    )
    rows: list[tuple[Cell, ...]] = [(name, value_text(value), interval_text(value)) for name, value in values]
    why = "; ".join(text for text in (result.law.reason, result.decay.reason) if text)
    return ResultTable("What was found", ("quantity", "value", "95 % interval"), tuple(rows), f"{NOTE} {why}".strip())


def _levels(result: IvResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (f"{one.voltage_v:g}", value_text(one.current_ua), value_text(one.up), value_text(one.down)) for one in result.levels
    ]
    return ResultTable("Currents by voltage", ("voltage (V)", "mean", "up", "down"), tuple(rows), NOTE)
