"""Results and the frame ledger as rich tables for the terminal, and results as plain numbers for --json. Nothing is printed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, Verdict

JSON_KEYS = (
    "off_peak_nm",
    "off_fwhm_nm",
    "on_peak_nm",
    "on_fwhm_nm",
    "contrast_535",
    "ratio_520",
    "correlation_520_535",
    "off_drift",
)


def value_text(value: Value) -> str:
    """Value as "535.554 ± 0.001 nm", uncertainty (half the 95 % interval) rounded up; a dash where there is no value.

    Two digits of uncertainty, but at most three decimals: what is finer is below the calibration of any quantity here.
    """
    if value.value is None:
        return "-"
    unit = f" {value.unit}" if value.unit else ""
    half = value.half_width
    if half is None:
        return f"{value.value:.4g}{unit}"
    places = min(3, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 3
    shown = math.ceil(half * 10**places - 1e-6) / 10**places  # the last bits of a half width must not round it up
    return f"{value.value:.{places}f} ± {shown:.{places}f}{unit}"


def results_table(verdicts: Sequence[Verdict]) -> Table:
    """Claims of the paper against the run: value ± half of the 95 % interval, paper's value, rule, verdict."""
    table = Table(title="Results", title_justify="left")
    for name in ("claim", "quantity", "measured", "paper", "rule", "verdict"):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for v in verdicts:
        measured = value_text(Value(v.value, v.ci95, v.unit))
        table.add_row(v.claim, v.quantity, measured, v.paper, v.rule, _VERDICTS[v.passed])
    return table


_VERDICTS = {
    True: Text("pass", style="bold green"),
    False: Text("FAIL", style="bold red"),
    None: Text("too few cycles", style="yellow"),
}


def outcome_text(result: SwitchingResult) -> Text:
    """One sentence: whether the run switched, and why or why not."""
    word, style = ("switched", "bold green") if result.switched else ("not switched", "bold red")
    return Text.assemble((word, style), f": {result.reason}")


def ledger_table(ledger: Mapping[str, int]) -> Table:
    """Frames by what became of them (triggers, frames, assigned, unassigned, lost, ...), in the order given."""
    table = Table(title="Frames", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for name, number in ledger.items():
        table.add_row(name.replace("_", " "), f"{number:,}".replace(",", " "))
    return table


def results_json(result: SwitchingResult) -> dict[str, Any]:
    """Results as plain numbers: {"off_peak_nm": {"value", "ci95", "unit"}, ..., "per_cycle": [{"cycle", ...}, ...]}.

    `ci95` is [lo, hi] or None, `value` is None where a line is absent; NaN and infinity never appear.
    """
    per_cycle = [{"cycle": one.cycle, **_numbers(one)} for one in result.per_cycle]
    return {**_numbers(result), "per_cycle": per_cycle}


def _numbers(result: SwitchingResult) -> dict[str, Any]:
    return {key: _plain(getattr(result, key)) for key in JSON_KEYS}


def _plain(value: Value) -> dict[str, Any]:
    known = value.value is not None and math.isfinite(value.value)
    bounded = known and value.ci95 is not None and all(map(math.isfinite, value.ci95))
    return {
        "value": float(value.value) if known and value.value is not None else None,
        "ci95": [float(bound) for bound in value.ci95] if bounded and value.ci95 is not None else None,
        "unit": value.unit,
    }
