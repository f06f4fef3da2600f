"""What a threshold map brings to a report: thresholds by voltage, the reduction, the test, the single sweeps, the figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rig.analysis.statistics import Value
from rig.measurements.map_record import MapRecord, MapResult
from rig.report.findings import Cell, Drawing, ResultTable
from rig.report.summary import value_text

CAPTION = (
    "Threshold of amplified emission against voltage (uJ/cm2, 95 % intervals); below it the single sweeps against time, those "
    "at 0 V in another colour: their course is the film's drift."
)
NOTE = (
    "Numbers after ± are half the 95 % interval; a dash: there is no value. What is common to all fluences is not in it. Over "
    "0 V: divided by the threshold at 0 V at the same time, ± 1 sigma."
)


@dataclass(frozen=True, slots=True, eq=False)
class MapFindings:
    """`rig.report.findings.Findings` of a record; everything is from its file."""

    record: MapRecord

    @property
    def sentence(self) -> str:
        """Say what the voltage does, or why that cannot be said."""
        return f"{self.record.lines[0]}."

    @property
    def tables(self) -> Sequence[ResultTable]:
        """Get thresholds by voltage, what follows from them, and the sweeps; nothing without a result."""
        result = self.record.result
        return () if result is None else (_levels(result), _effect(result), _sweeps(result))

    @property
    def drawings(self) -> Sequence[Drawing]:
        """Get thresholds against voltage; nothing without a threshold."""
        result = self.record.result
        if result is None or all(one.value.value is None for one in result.effect.levels):
            return ()
        return (Drawing("map", CAPTION, self.record.figure),)

    @property
    def methods(self) -> str:
        """Say how the thresholds were compared."""
        result, parameters = self.record.result, self.record.parameters
        if result is None:
            return ""
        return (
            f"Fluence sweeps of {parameters.points} points between {parameters.fluence_min_uj_cm2:g} and "
            f"{parameters.fluence_max_uj_cm2:g} uJ/cm2 were taken at {parameters.voltages} voltages from 0 to "
            f"{parameters.voltage_max_v:g} V, each {parameters.passes} times in random order (seed {parameters.seed}), with a "
            "sweep at 0 V before every pass and after the last. Each threshold was divided by that at 0 V interpolated to its "
            f"time; the quotients were tested with a weighted isotonic regression. The result was: {result.sentence}."
        )


def _levels(result: MapResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.voltage_v:g}",
            value_text(one.value),
            "-" if one.relative is None or one.sigma is None else f"{one.relative:.4f} ± {one.sigma:.4f}",
            f"{one.used} of {one.taken}",
        )
        for one in result.effect.levels
    ]
    columns = ("voltage (V)", "threshold", "over 0 V", "sweeps with a threshold")
    return ResultTable("Thresholds by voltage", columns, tuple(rows), NOTE)


def _effect(result: MapResult) -> ResultTable:
    effect, test = result.effect, result.effect.test
    drift = {None: "not known", True: "differ beyond their errors", False: "agree"}[effect.drifted]
    rows: list[tuple[Cell, ...]] = [
        ("reduction", value_text(effect.reduction), _interval(effect.reduction)),
        ("last threshold at 0 V over the first, minus 1", value_text(effect.drift), _interval(effect.drift)),
        ("sweeps at 0 V", drift, "-"),
    ]
    if test is not None:
        rows.append(("threshold against voltage", test.verdict, "-"))
        for name, p in (("fall", test.p_fall), ("rise", test.p_rise), ("departure from a fall", test.p_not_falling)):
            rows.append((f"p of such a {name} when nothing depends on voltage", "-" if p is None else f"{p:.2g}", "-"))
    return ResultTable("What the voltage does", ("quantity", "value", "95 % interval"), tuple(rows))


def _sweeps(result: MapResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (f"{one.t_s:.1f}", f"{one.voltage_v:g}", "-" if one.result is None else value_text(one.result.value), one.reason)
        for one in result.sweeps
    ]
    columns = ("time (s)", "voltage (V)", "threshold", "why there is none")
    return ResultTable("Sweeps in the order of time", columns, tuple(rows), f"fluence: {result.fluence_from}")


def _interval(value: Value) -> str:
    return "-" if value.ci95 is None else f"{value.ci95[0]:.4g} to {value.ci95[1]:.4g} {value.unit}".rstrip()
