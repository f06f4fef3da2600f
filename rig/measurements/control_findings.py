"""What a control device brings to a report: its statements with their margins, light by voltage, the figure."""

from rig.analysis.equivalence import Equivalence, Judgement
from rig.analysis.statistics import Value
from rig.measurements.control import Control
from rig.measurements.control_record import NO_REFERENCE, ControlRecord, ControlResult
from rig.measurements.pl_findings import CAPTION
from rig.measurements.pl_record import LIFETIMES
from rig.report.findings import Cell, Drawing, Findings, Mark, ResultTable, Tone
from rig.report.summary import value_text

NOTE = (
    "Insensitive: the 90 % interval lies inside the margin, which was set before the run. Changed: the 95 % interval lies "
    "outside. Undecided: neither; a change that is not significant proves nothing."
)
TONES: dict[Judgement, Tone] = {"insensitive": "good", "changed": "bad", "undecided": "open"}
MICRO = 1e6


def control_findings(record: ControlRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result = record.result
    if result is None:
        return Findings(f"{record.lines[0]}.")
    drawing = Drawing("control", CAPTION, record.figure)
    tables = (_statements(result), _levels(result))
    return Findings(f"{record.lines[0]}.", tables, (drawing,), _methods(record.parameters, result))


def _methods(asked: Control, result: ControlResult) -> str:
    return (
        f"Photoluminescence under pulses of {asked.fluence_uj_cm2:g} uJ/cm2 was taken in frames of {asked.frame_s:g} s at "
        f"{asked.voltages} voltages from 0 to {asked.voltage_max_v:g} V, each {asked.passes} times in random order (seed "
        f"{asked.seed}), and {asked.brackets} times more at {asked.voltage_max_v:g} V, always between two stays at 0 V. "
        "Changes were judged by two one-sided tests against margins that were set before the run. The result was: "
        f"{result.sentence}. Not measured: {LIFETIMES}."
    )


def _statements(result: ControlResult) -> ResultTable:
    found = result.found
    rows: list[tuple[Cell, ...]] = [
        _row("light at the highest voltage over 0 V, minus 1", found.light),
        _row("the same along a line through all voltages", found.slope),
        _row("shift of the peak at the highest voltage", found.peak),
    ]
    if found.current is None or found.current_judgement is None:
        rows.append(("current at the highest voltage", _microamperes(result.current), "-", NO_REFERENCE))
    else:
        judged = Mark(found.current_judgement, TONES[found.current_judgement])
        limit = f"below {found.current.limit * MICRO:.3g} µA"
        rows.append(("current at the highest voltage", _microamperes(result.current), limit, judged))
    return ResultTable("Statements", ("quantity", "value", "margin", "judgement"), tuple(rows), NOTE)


def _row(name: str, one: Equivalence) -> tuple[Cell, ...]:
    return (
        name,
        value_text(one.change),
        f"±{one.margin:g} {one.change.unit}".rstrip(),
        Mark(one.judgement, TONES[one.judgement]),
    )


def _microamperes(value: Value) -> str:
    if value.value is None:
        return "-"
    return f"{value.value * MICRO:.3g} ± {(value.half_width or 0.0) * MICRO:.2g} µA"


def _levels(result: ControlResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (f"{one.voltage_v:g}", value_text(one.relative), f"{one.brackets}") for one in result.ladder.levels
    ]
    return ResultTable("Light by voltage", ("voltage (V)", "light over 0 V", "stays"), tuple(rows))
