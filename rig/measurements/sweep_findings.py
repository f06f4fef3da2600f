"""What a fluence sweep brings to a report: the threshold or why there is none, its points, its figure."""

from rig.analysis.statistics import Value
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.sweep_record import SweepRecord, SweepResult
from rig.report.findings import Cell, Drawing, Findings, ResultTable
from rig.report.summary import interval_text, value_text

CAPTION = (
    "Light beyond the scaled spontaneous band against pump fluence (counts per shot, ± standard error) with the fitted law and "
    "the threshold's 95 % interval; below it the line's full width at half maximum."
)
NOTE = "Numbers after ± are half the 95 % interval; a dash: there is no value. What is common to all fluences is not in it."


def sweep_findings(record: SweepRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result = record.result
    if result is None:
        return Findings(f"{record.lines[0]}.")
    drawing = Drawing("sweep", CAPTION, record.figure)
    tables = (_values(result), _points(result))
    return Findings(f"{record.lines[0]}.", tables, (drawing,), _methods(record.parameters, result))


def _methods(parameters: FluenceSweep, result: SweepResult) -> str:
    found = f"The result was: {result.sentence}."
    values = f"{parameters.points} log-spaced values"
    if parameters.chooses_fluence:
        values = f"{result.measured} values, each chosen by the fit to those before it,"
    return (
        f"The pump fluence was set to {values} between {parameters.fluence_min_uj_cm2:g} and "
        f"{parameters.fluence_max_uj_cm2:g} uJ/cm2 at {parameters.voltage_v:g} V ({result.fluence_from}). The light "
        "between 531 and 541 nm beyond that of the spontaneous band, scaled at the weakest fluences, was fitted with the "
        f"steady-state rate equation of a laser. {found}"
    )


def _values(result: SweepResult) -> ResultTable:
    named: list[tuple[str, Value]] = [("threshold", result.value), ("line half as wide", result.crossing)]
    if result.hysteresis is not None:
        named.append(("threshold on the way up minus down", result.hysteresis.difference))
    rows = tuple((name, value_text(value), interval_text(value)) for name, value in named)
    return ResultTable("Values of the sweep", ("quantity", "value", "95 % interval"), rows, NOTE)


def _points(result: SweepResult) -> ResultTable:
    curve = result.curve
    rows: list[tuple[Cell, ...]] = [
        (f"{f:.4g}", f"{y:.5g}", f"{e:.2g}") for f, y, e in zip(curve.fluence_uj_cm2, curve.signal, curve.error, strict=True)
    ]
    columns = ("fluence (uJ/cm2)", "light (counts)", "standard error (counts)")
    return ResultTable("Points", columns, tuple(rows), f"{curve.method}; fluence: {result.fluence_from}")
