"""What a fluence sweep brings to a report: the threshold or why there is none, its points, its figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rig.analysis.statistics import Value
from rig.measurements.sweep_record import SweepRecord, SweepResult
from rig.report.findings import Cell, Drawing, ResultTable
from rig.report.summary import value_text

CAPTION = (
    "Light beyond the scaled spontaneous band against pump fluence (counts per shot, ± standard error) with the fitted law and "
    "the threshold's 95 % interval; below it the line's full width at half maximum."
)
NOTE = "Numbers after ± are half the 95 % interval; a dash: there is no value. What is common to all fluences is not in it."


@dataclass(frozen=True, slots=True, eq=False)
class SweepFindings:
    """`rig.report.findings.Findings` of a record; everything is from its file."""

    record: SweepRecord

    @property
    def sentence(self) -> str:
        """Say the threshold, or why there is none."""
        return f"{self.record.lines[0]}."

    @property
    def tables(self) -> Sequence[ResultTable]:
        """Get the values and the points; nothing without a result."""
        result = self.record.result
        return () if result is None else (_values(result), _points(result))

    @property
    def drawings(self) -> Sequence[Drawing]:
        """Get light against fluence."""
        return () if self.record.result is None else (Drawing("sweep", CAPTION, self.record.figure),)

    @property
    def methods(self) -> str:
        """Say how the threshold was found."""
        result, parameters = self.record.result, self.record.parameters
        if result is None:
            return ""
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
    rows = tuple((name, value_text(value), _interval(value)) for name, value in named)
    return ResultTable("Values of the sweep", ("quantity", "value", "95 % interval"), rows, NOTE)


def _interval(value: Value) -> str:
    return "-" if value.ci95 is None else f"{value.ci95[0]:.4g} to {value.ci95[1]:.4g} {value.unit}"


def _points(result: SweepResult) -> ResultTable:
    curve = result.curve
    rows: list[tuple[Cell, ...]] = [
        (f"{f:.4g}", f"{y:.5g}", f"{e:.2g}") for f, y, e in zip(curve.fluence_uj_cm2, curve.signal, curve.error, strict=True)
    ]
    columns = ("fluence (uJ/cm2)", "light (counts)", "standard error (counts)")
    return ResultTable("Points", columns, tuple(rows), f"{curve.method}; fluence: {result.fluence_from}")
