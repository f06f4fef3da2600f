"""What a switching run (or a live view) brings to a report: verdicts on the paper's claims, values per cycle, its figure."""

from collections.abc import Sequence

from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, Verdict
from rig.measurements.reference_light import ReferenceLight
from rig.measurements.stability import Stability, percent_of
from rig.measurements.switching_record import SwitchingRecord
from rig.report.findings import Cell, Drawing, Findings, Mark, ResultTable, Tone
from rig.report.summary import interval_text, value_text

CYCLES_SHOWN = 100
PER_CYCLE = (
    ("contrast at 535 nm", "contrast_535"),
    ("ON/OFF at 520 nm", "ratio_520"),
    ("correlation 520/535", "correlation_520_535"),
    ("OFF peak", "off_peak_nm"),
    ("OFF FWHM", "off_fwhm_nm"),
    ("ON peak", "on_peak_nm"),
    ("ON FWHM", "on_fwhm_nm"),
    ("OFF drift", "off_drift"),
)
VALUES = (
    *PER_CYCLE,
    ("ON FWHM, spectrograph's width taken off", "on_fwhm_deconvolved_nm"),
    ("frames that follow V", "agreement"),
)
INTERVALS = "Numbers after ± are half the 95 % interval, from batch means and Student's t; a dash: there is no value."
CAPTION = (
    "a, emission against time and wavelength (counts per frame). b, mean spectra of both states with their widths at half "
    "maximum. c, light at 520 and 535 nm against time; shaded: voltage ON."
)
ENDED_BY_CONTRAST = (
    "after the cycle at which half the 95 % interval of the contrast was below {:g} % of it; as it was looked at again and "
    "again, the interval is somewhat too narrow."
)
_TONES: dict[bool | None, Tone] = {True: "good", False: "bad", None: "open"}


def switching_findings(record: SwitchingRecord) -> Findings:
    """Say what a record brings to a report; everything is from its file."""
    result, tables = record.result, list[ResultTable]()
    if result is not None:
        tables += [_values(result), _verdicts(record.verdicts), _cycles(result)]
    if record.stability is not None:
        tables.append(_losses(record.stability))
    if record.reference:
        tables.append(_reference(record.reference))
    if result is None:
        return Findings(f"No results: {record.reason}.", tables)
    drawing = Drawing("switching", CAPTION, record.figure)
    return Findings(_sentence(record, result), tables, (drawing,), _methods(record, result))


def _sentence(record: SwitchingRecord, result: SwitchingResult) -> str:
    cycles = len(result.per_cycle)
    verdict = f"{'Switched' if result.switched else 'Not switched'}, {cycles} cycle{'' if cycles == 1 else 's'}"
    return " ".join([f"{verdict}: {result.reason}.", *(f"{note[:1].upper()}{note[1:]}." for note in record.notes)])


def _methods(record: SwitchingRecord, result: SwitchingResult) -> str:
    if record.means is None or not record.means.frames.sum(axis=0).all():
        return f"The two states could not be compared: {result.reason}."
    said = ["Mean spectra of both states were formed over all used frames."]
    band, width, line, narrow = result.off_peak_nm, result.off_fwhm_nm, result.on_peak_nm, result.on_fwhm_nm
    if band.value is not None:
        said.append(f"Without voltage the emission was centred at {value_text(band)} with a FWHM of {value_text(width)}.")
    if line.value is not None:
        said.append(f"With voltage a line stood at {value_text(line)} with a FWHM of {value_text(narrow)}.")
    else:
        said.append("With voltage no narrow line was found.")
    ratios = (("535 ± 1 nm", result.contrast_535), ("520 ± 1 nm", result.ratio_520))
    known = [f"{value_text(value)} at {where}" for where, value in ratios if value.value is not None]
    if known:
        said.append(f"The ratio of the light with and without voltage was {' and '.join(known)}.")
    if record.reference:
        frames = sum(one.frames for one in record.reference)
        said.append(f"{frames} frames with the pump blocked were compared with the dark frames and used for nothing else.")
    if record.precision is not None:
        said.append(f"The run was to end {ENDED_BY_CONTRAST.format(record.precision.wanted_percent)}")
    said.append("Uncertainties after ± of these values are half the 95 % interval, from batch means.")
    return " ".join(said)


def _verdicts(verdicts: Sequence[Verdict]) -> ResultTable:
    rows = tuple(
        (one.claim, one.quantity, value_text(Value(one.value, one.ci95, one.unit)), one.paper, one.rule, _mark(one))
        for one in verdicts
    )
    columns = ("claim", "quantity", "this run", "paper", "rule", "verdict")
    note = "Paper: Qin et al., Nano Lett. 2021, 21, 7831. Tolerances are this program's. " + INTERVALS
    return ResultTable("The paper's claims", columns, rows, note)


def _mark(verdict: Verdict) -> Mark:
    """An absent value fails by the rule, but nobody should take it for a value that was measured."""
    word = "FAIL: no value" if verdict.passed is False and verdict.value is None else verdict.word
    return Mark(word, _TONES[verdict.passed])


def _values(result: SwitchingResult) -> ResultTable:
    rows = tuple((name, value_text(getattr(result, field)), interval_text(getattr(result, field), 6)) for name, field in VALUES)
    return ResultTable("Values of the whole run", ("quantity", "value", "95 % interval"), rows, INTERVALS)


def _cycles(result: SwitchingResult) -> ResultTable:
    cycles = result.per_cycle
    rows: list[tuple[Cell, ...]] = []
    for one in cycles[:CYCLES_SHOWN]:
        switched = Mark("yes", "good") if one.switched else Mark("no", "bad")
        rows.append((str(one.cycle), switched, *(value_text(getattr(one, field)) for _, field in PER_CYCLE)))
    left = len(cycles) - CYCLES_SHOWN
    note = f"{left} more cycles are in the results of the run file. " if left > 0 else ""
    return ResultTable("Cycle by cycle", ("cycle", "switched", *(name for name, _ in PER_CYCLE)), tuple(rows), note + INTERVALS)


def _reference(found: Sequence[ReferenceLight]) -> ResultTable:
    rows = tuple(
        (one.when, str(one.frames), f"{band_nm} nm", value_text(light.light), _share(light.share), _LIT[light.lit])
        for one in found
        for band_nm, light in ((520, one.light_520), (535, one.light_535))
    )
    columns = ("reference frames", "number", "band", "light per frame", "of the OFF light", "as dark as the dark frames")
    note = "The pump is fired and kept from the film: what is left is light of the room, or of the laser past the film. "
    return ResultTable("Stray light", columns, rows, note + INTERVALS)


_LIT = {True: Mark("NO", "bad"), False: Mark("yes", "good"), None: Mark("too few frames", "open")}


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2g} %"


def _losses(stability: Stability) -> ResultTable:
    found = stability.found
    rows: list[tuple[Cell, ...]] = [
        (str(number), value_text(percent_of(off)), value_text(percent_of(on)))
        for number, (off, on) in enumerate(zip(found.off_by_cycle, found.on_by_cycle, strict=True))
    ]
    left = max(0, len(rows) - CYCLES_SHOWN)
    note = f"{left} earlier ones are in the results of the run file. " if left else ""
    note += "Against the mean of the first 3; the error is the larger one of the scatters inside a cycle and between cycles. "
    columns = ("cycle that counts", "OFF light lost, 520 nm", "ON light lost, 535 nm")
    return ResultTable("Light lost", columns, tuple(rows[left:]), f"{note}{stability.sentence}.")
