"""What a threshold map brings to a report: thresholds by voltage, the reduction, the test, the single sweeps, the figure."""

from rig.measurements.map_record import MapRecord, MapResult
from rig.measurements.threshold_map import ThresholdMap
from rig.report.findings import Cell, Drawing, Findings, ResultTable
from rig.report.summary import interval_text, value_text

CAPTION = (
    "Threshold of amplified emission against voltage (uJ/cm2, 95 % intervals); below it the single sweeps against time, those "
    "at 0 V in another colour: their course is the film's drift."
)
NOTE = (
    "Numbers after ± are half the 95 % interval; a dash: there is no value. What is common to all fluences is not in it. Over "
    "0 V: divided by the threshold at 0 V at the same time, ± 1 sigma."
)


def map_findings(record: MapRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result = record.result
    if result is None:
        return Findings(f"{record.lines[0]}.")
    drawn = any(one.value.value is not None for one in result.effect.levels)
    drawings = (Drawing("map", CAPTION, record.figure),) if drawn else ()
    tables = (_levels(result), _effect(result), _sweeps(result))
    return Findings(f"{record.lines[0]}.", tables, drawings, _methods(record.parameters, result))


def _methods(parameters: ThresholdMap, result: MapResult) -> str:
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
        ("reduction", value_text(effect.reduction), interval_text(effect.reduction)),
        ("last threshold at 0 V over the first, minus 1", value_text(effect.drift), interval_text(effect.drift)),
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
