"""What weakly pumped photoluminescence brings to a report: light by voltage, recovery, linearity, the figure."""

from rig.measurements.pl_record import LIFETIMES, PlRecord, PlResult
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.report.findings import Cell, Drawing, Findings, ResultTable
from rig.report.summary import value_text

CAPTION = (
    "Light of weak pulses against voltage, over that at 0 V (95 % intervals); the light of every stay against time, those at "
    "0 V in another colour; mean spectra by voltage."
)
NOTE = (
    "Numbers after ± are half the 95 % interval; a dash: there is no value. Light is that of the whole line, weighted with its "
    "mean spectrum; the plain sum over 485 to 565 nm beside it is noisier and does not mind a line that changes its shape."
)


def pl_findings(record: PlRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result = record.result
    if result is None or result.faulted:
        return Findings(f"{record.lines[0]}.")
    drawing = Drawing("pl", CAPTION, record.figure)
    tables = (_levels(result), _effect(result))
    return Findings(f"{record.lines[0]}.", tables, (drawing,), _methods(record.parameters, result))


def _methods(asked: PlVsVoltage, result: PlResult) -> str:
    return (
        f"Photoluminescence under pulses of {asked.fluence_uj_cm2 * 1e3:g} nJ/cm2 was taken in frames of "
        f"{asked.frame_s:g} s, in each of which all pulses add up, at {asked.voltages} voltages from 0 to "
        f"{asked.voltage_max_v:g} V, each {asked.passes} times in random order (seed {asked.seed}) and between two stays "
        f"at 0 V that were counted from {asked.rest_s:g} s after the voltage. Light was divided by that at 0 V "
        "interpolated to its time; the quotients were tested with a weighted isotonic regression. The result was: "
        f"{result.sentence}. Not measured: {LIFETIMES}."
    )


def _levels(result: PlResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.voltage_v:g}",
            value_text(one.relative),
            value_text(wide.relative),
            f"{one.brackets}",
        )
        for one, wide in zip(result.ladder.levels, result.wide.levels, strict=True)
    ]
    columns = ("voltage (V)", "light over 0 V", "plain sum over 0 V", "stays")
    return ResultTable("Light by voltage", columns, tuple(rows), NOTE)


def _effect(result: PlResult) -> ResultTable:
    test, early_s = result.ladder.test, result.stays.early_s
    drift = {None: "not known", True: "differ beyond their errors", False: "agree"}[result.ladder.drifted]
    window = "soon" if early_s is None else f"{early_s[0]:g} to {early_s[1]:g} s"
    rows: list[tuple[Cell, ...]] = [
        ("light against voltage", "-" if result.verdict is None else result.verdict),
        (f"light {window} after the highest voltage over before", value_text(result.recovery_early)),
        (f"light {result.rest_s:g} s and more after it over before", value_text(result.recovery_late)),
        ("drift per second, taken off both", _rate_text(result)),
        ("power of the fluence that light goes with", value_text(result.linearity)),
        ("last light at 0 V over the first, minus 1", value_text(result.ladder.drift)),
        ("stays at 0 V", drift),
        ("lifetimes", LIFETIMES),
    ]
    if test is not None and test.p_fall is not None and test.p_not_falling is not None:
        rows.append(("p of such a fall when nothing depends on voltage", f"{test.p_fall:.2g}"))
        rows.append(("p of such a departure from a fall", f"{test.p_not_falling:.2g}"))
    return ResultTable("What the voltage does", ("quantity", "value"), tuple(rows))


def _rate_text(result: PlResult) -> str:
    rate = result.recovery.drift_per_s
    if rate.value is None:
        return "none: no other voltage tells it"
    return f"{rate.value:.2g} ± {rate.half_width or 0.0:.2g} 1/s"
