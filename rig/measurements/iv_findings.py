"""What a current-voltage run brings to a report: the contact, currents by voltage, their law and course, the figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rig.analysis.statistics import Value
from rig.contact_check import Contact
from rig.measurements.iv_record import NOT_MEASURED, IvRecord, IvResult, scaled
from rig.report.findings import Cell, Drawing, Mark, ResultTable, Tone
from rig.report.summary import value_text

CAPTION = (
    "Current against voltage (µA, 95 % intervals), on the way up and down, in the dark, with the law that was fitted; below it "
    "the current at the highest voltage against time."
)
NOTE = "Numbers after ± are half the 95 % interval; a dash: there is no value."


@dataclass(frozen=True, slots=True, eq=False)
class IvFindings:
    """`rig.report.findings.Findings` of a record; everything is from its file."""

    record: IvRecord

    @property
    def sentence(self) -> str:
        """Say how the current grows, or why that cannot be said."""
        return f"{self.record.lines[0]}."

    @property
    def tables(self) -> Sequence[ResultTable]:
        """Get the contact, what was found, and the currents."""
        tables = [_contact(self.record.contact)]
        if self.record.result is not None:
            tables += [_found(self.record.result), _levels(self.record.result)]
        return tables

    @property
    def drawings(self) -> Sequence[Drawing]:
        """Get current against voltage; nothing without a result."""
        return () if self.record.result is None else (Drawing("iv", CAPTION, self.record.figure),)

    @property
    def methods(self) -> str:
        """Say how the currents were measured."""
        result, parameters = self.record.result, self.record.parameters
        if result is None:
            return ""
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
    rows: list[tuple[Cell, ...]] = [(name, value_text(value), _interval(value)) for name, value in values]
    why = "; ".join(text for text in (result.law.reason, result.decay.reason) if text)
    return ResultTable("What was found", ("quantity", "value", "95 % interval"), tuple(rows), f"{NOTE} {why}".strip())


def _levels(result: IvResult) -> ResultTable:
    rows: list[tuple[Cell, ...]] = [
        (f"{one.voltage_v:g}", value_text(one.current_ua), value_text(one.up), value_text(one.down)) for one in result.levels
    ]
    return ResultTable("Currents by voltage", ("voltage (V)", "mean", "up", "down"), tuple(rows), NOTE)


def _interval(value: Value) -> str:
    return "-" if value.ci95 is None else f"{value.ci95[0]:.4g} to {value.ci95[1]:.4g} {value.unit}".rstrip()
