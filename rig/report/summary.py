"""What a person reads of a run and of an error: tables and texts for the terminal; and the results as plain numbers for --json.

Nothing is printed here. Everything fits 80 columns, and an error fits one screen.
"""

import math
import sysconfig
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from drivers.errors import RefusedError, RigError
from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, Verdict
from rig.safety import SafeReport

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
PAIRS_PER_ROW = 4
REASON_LINES = 17  # of the 25 that a screen has
FIELD_LINES = 3


# --- numbers ----------------------------------------------------------------------------------------------------------


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


def interval_text(value: Value, digits: int = 4) -> str:
    """95 % interval as "66.1 to 68.3 uJ/cm2"; a dash where there is none."""
    if value.ci95 is None:
        return "-"
    lo, hi = value.ci95
    return f"{lo:.{digits}g} to {hi:.{digits}g} {value.unit}".rstrip()


def duration_text(duration_s: float) -> str:
    """Seconds as a person says them: "24.3 s", "12 min 5 s", "3 h 20 min"."""
    if not duration_s >= 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def results_table(verdicts: Sequence[Verdict]) -> Table:
    """Claims of the paper against the run: value ± half of the 95 % interval, paper's value, rule, verdict."""
    table = Table(title="Results (± half of the 95 % interval)", padding=(0, 1, 0, 0), **_PLAIN)
    for name in ("claim", "quantity", "measured", "paper", "rule", "verdict"):
        table.add_column(name, no_wrap=name == "measured", max_width=_NARROW.get(name))
    for v in verdicts:
        measured = value_text(Value(v.value, v.ci95, v.unit))
        table.add_row(v.claim, v.quantity, measured, v.paper, v.rule, Text(v.word, style=_VERDICTS[v.passed]))
    return table


_NARROW = {"quantity": 15, "paper": 11}  # leaves the rule enough of 80 columns
_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False}
_VERDICTS = {
    True: "bold green",
    False: "bold red",
    None: "yellow",
}


def outcome_text(result: SwitchingResult) -> Text:
    """One sentence: whether the run switched, and why or why not."""
    word, style = ("switched", "bold green") if result.switched else ("not switched", "bold red")
    return Text.assemble((word, style), f": {result.reason}")


def ledger_table(ledger: Mapping[str, int | Mapping[str, int]]) -> Table:
    """Frames by what became of them, four to a row in the order given; a mapping inside begins a row under its own name."""
    table = Table(title="Frames", show_header=False, padding=(0, 2, 0, 0), **_PLAIN)
    for _ in range(PAIRS_PER_ROW):
        table.add_column()
        table.add_column(justify="right")
    _add_pairs(table, {name: number for name, number in ledger.items() if isinstance(number, int)})
    for name, inner in ledger.items():
        if not isinstance(inner, int):
            table.add_row(f"{_spaced(name)}:")
            _add_pairs(table, inner)
    return table


def frames_table(ledger: Mapping[str, Any]) -> Table:
    """Frames in the order in which they are asked after: what became of the shots, what arrived, what is flagged."""
    order = ("planned", "assigned", "unassigned", "lost", "received", "lead_in", "surplus", "flagged")
    return ledger_table({name: ledger[name] for name in order if name in ledger})


def _add_pairs(table: Table, numbers: Mapping[str, int]) -> None:
    cells = [cell for name, number in numbers.items() for cell in (_spaced(name), f"{number:,}".replace(",", " "))]
    for start in range(0, len(cells), 2 * PAIRS_PER_ROW):
        table.add_row(*cells[start : start + 2 * PAIRS_PER_ROW])


def _spaced(name: str) -> str:
    return name.replace("_", " ")


# --- errors -----------------------------------------------------------------------------------------------------------


def hardware_text(report: SafeReport) -> str:
    """One line when every instrument has confirmed that it is off, a line per instrument when not."""
    names = {_spaced(role): proof for role, proof in report.instruments.items()}
    if report.safe:
        return f"off, confirmed by {', '.join(names)}" if names else str(report)
    return "\n".join(f"{name}: {how.value} ({detail})" for name, (how, detail) in names.items())


def wrapped(text: str, width: int = 80) -> str:
    """Break lines that are longer than `width` between words; what is carried over is indented."""
    return "\n".join(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in text.splitlines())


def error_text(error: BaseException, hardware: str = "", width: int = 80) -> str:
    """Say what happened, where, in which state the hardware is and what to do next, in at most 25 lines of `width`.

    Parameters
    ----------
    hardware  what is known of the outputs by now, when that is more than the error itself knew
    """
    error = told_error(error)
    lines = _wrapped(error.what, "", width)
    reasons = error.reasons if isinstance(error, RefusedError) else ()
    for number, reason in enumerate(reasons):
        more = _wrapped(str(reason), "  - ", width)
        if number and len(lines) + len(more) > REASON_LINES:
            lines.append(f"  - and {len(reasons) - number} more")
            break
        lines += more
    fields = {"where": error.where, "hardware": hardware or error.hardware_state, "next": error.next_step}
    for name, text in fields.items():
        for number, line in enumerate(text.splitlines()[:FIELD_LINES]):
            lines += _wrapped(line, f"  {name + ':':10}" if number == 0 else " " * 12, width)
    return "\n".join(lines)


def _wrapped(text: str, label: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=FIELD_LINES + 1,
        placeholder=" ...",
    )


def told_error(error: BaseException) -> RigError:
    """Return the error, or one that nobody foresaw in the four sentences of all others."""
    if isinstance(error, RigError):
        return error
    places = [f"{Path(frame.filename).name}:{frame.lineno} ({frame.name})" for frame in _telling_frames(error)]
    return RigError(
        f"The program itself failed: {type(error).__name__}: {_text_of(error)}",
        where=" > ".join(places),
        hardware_state="not known here",
        next_step="this is a defect of the program or of the measurement: please report it with these lines and the sequence",
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody's own error must not keep what happened from being told
        return "(its text cannot be told)"


_OURS = Path(__file__).resolve().parent.parent
_NOT_A_USERS = (
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
    *(_OURS.parent / name for name in ("rig", "drivers", "sim_instruments", "gui")),
)


def _telling_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Choose at most three frames of a traceback: first the innermost line that a user wrote, then the last two others."""
    frames = list(traceback.extract_tb(error.__traceback__))
    theirs = [frame for frame in frames if _is_a_users(frame.filename)][-1:]
    others = [frame for frame in frames if frame not in theirs]
    return [*theirs, *others[len(theirs) - 3 :]]


def _is_a_users(filename: str) -> bool:
    """Whether a line is of a notebook, a script or a measurement."""
    if filename.startswith("<frozen"):
        return False
    path = Path(filename).resolve()
    return path.is_relative_to(_OURS / "measurements") or not any(path.is_relative_to(place) for place in _NOT_A_USERS)


# --- plain numbers ----------------------------------------------------------------------------------------------------


def results_json(result: SwitchingResult | None) -> dict[str, Any]:
    """Results as plain numbers: {"off_peak_nm": {"value", "ci95", "unit"}, ..., "per_cycle": [{"cycle", ...}, ...]}.

    `ci95` is [lo, hi] or None, `value` is None where a line is absent, everywhere when there is no result; NaN and infinity
    never appear.
    """
    if result is None:
        return {**{key: Value(None, None, _UNITS.get(key[-3:], "")).as_json() for key in JSON_KEYS}, "per_cycle": []}
    per_cycle = [{"cycle": one.cycle, **_numbers(one)} for one in result.per_cycle]
    return {**_numbers(result), "per_cycle": per_cycle}


_UNITS = {"_nm": "nm"}


def _numbers(result: SwitchingResult) -> dict[str, Any]:
    return {key: getattr(result, key).as_json() for key in JSON_KEYS}
