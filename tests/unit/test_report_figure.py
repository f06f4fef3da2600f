import io
import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from rich.console import Console, RenderableType
from test_analysis_synthetic import WAVELENGTH_NM, Film, Run, make_run

from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, acceptance
from rig.report.figure import SwitchingPicture, switching_figure, waterfall
from rig.report.summary import JSON_KEYS, ledger_table, outcome_text, results_json, results_table, value_text

MISSED = (7, 130)


@cache
def run_and_result(switches: bool = True) -> tuple[Run, SwitchingResult]:
    run = make_run(Film() if switches else Film(line_counts=0.0), shots=50, missed=MISSED)
    return run, run.reduce()


@cache
def draw(simulated: bool = True, switches: bool = True) -> Figure:
    run, result = run_and_result(switches)
    at_520, at_535 = run.traces()
    picture = SwitchingPicture(
        wavelength_nm=WAVELENGTH_NM,
        time_s=run.time_s,
        spectra=run.spectra,
        dark=run.dark,
        hot=run.hot,
        trace_520=at_520,
        trace_535=at_535,
        state=run.state,
        missed=~run.use,
        means=run.means(),
        result=result,
    )
    return switching_figure(picture, run_id="R-0042", sample="CsPbBr3-07", simulated=simulated)


def words(figure: Figure) -> str:
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    title = figure.get_suptitle()
    return "\n".join([title, *(text.get_text() for text in texts)])


def shown(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_figure_names_run_and_sample_and_becomes_a_picture():
    figure = draw()
    assert "R-0042" in words(figure)
    assert "CsPbBr3-07" in words(figure)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=60)
    assert picture.getvalue().startswith(b"\x89PNG")


def test_simulated_is_written_on_simulated_runs_only():
    assert "SIMULATED" in words(draw(simulated=True))
    assert "SIMULATED" not in words(draw(simulated=False))


def test_axes_carry_units_and_the_spectra_their_peak_and_width():
    figure = draw()
    labels = {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}
    assert {"Time (s)", "Wavelength (nm)", "Counts per frame", "Mean counts per frame"} <= labels
    _, result = run_and_result()
    for value in (result.off_peak_nm, result.off_fwhm_nm, result.on_peak_nm, result.on_fwhm_nm):
        assert value_text(value) in words(figure)


def test_a_film_that_does_not_switch_is_drawn_and_said_to():
    text = words(draw(switches=False))
    assert "not switched" in text
    assert "no line" in text


def test_missed_pulses_are_gaps_with_a_mark():
    run, _ = run_and_result()
    traces = draw().axes[2]
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in traces.lines}
    for label, trace in zip(("520 nm", "535 nm"), run.traces(), strict=True):
        assert np.flatnonzero(np.isnan(lines[label])).tolist() == list(MISSED)
        np.testing.assert_allclose(lines[label][run.use], trace[run.use])
    marks = [c for c in traces.collections if c.get_label() == "missed pulse (2)"]
    assert len(marks) == 1
    np.testing.assert_allclose(np.asarray(marks[0].get_offsets())[:, 0], run.time_s[list(MISSED)])


def test_on_stretches_are_shaded_where_the_state_is_on():
    run, _ = run_and_result()
    shades = draw().axes[2].collections[0].get_paths()
    begins_ends = [np.asarray(path.vertices)[:, 0] for path in shades]
    spans = [(float(t.min()), float(t.max())) for t in begins_ends]
    assert spans == [pytest.approx((0.05 + 0.1 * c, 0.1 + 0.1 * c)) for c in range(6)]
    assert run.state[50] == 1


def test_the_image_is_decimated_by_means_and_keeps_light():
    run, _ = run_and_result()
    pixels = slice(800, 900)
    rows = waterfall(run.spectra, 600, run.dark, pixels, max_rows=70)
    assert rows.shape == (67, 100)  # 9 frames in a row, 6 in the last
    expected = run.spectra[9:18, pixels].mean(axis=0) - run.dark[pixels]
    np.testing.assert_allclose(rows[1], expected)
    np.testing.assert_allclose(rows[-1], run.spectra[594:, pixels].mean(axis=0) - run.dark[pixels])


@pytest.mark.parametrize(("frames", "max_rows"), [(1, 1500), (2999, 1500), (3001, 1500), (5000, 7)])
def test_the_image_never_has_more_rows_than_asked(frames: int, max_rows: int):
    spectra = np.repeat(np.arange(frames, dtype=np.uint16)[:, None], 4, axis=1)
    rows = waterfall(spectra, frames, np.zeros(4), slice(0, 4), max_rows)
    assert len(rows) <= max_rows
    per_row = -(-frames // max_rows)
    last = frames - (len(rows) - 1) * per_row
    total = rows[:-1, 0].sum() * per_row + rows[-1, 0] * last
    assert total == pytest.approx(frames * (frames - 1) / 2)


def test_the_image_has_the_line_at_on_and_not_at_off():
    image = draw().axes[0]
    mesh = next(c for c in image.collections if isinstance(c, QuadMesh))
    light = np.asarray(mesh.get_array())
    line = light[int(light.shape[0] * (535.5 - 490) / 64)]
    assert line[60:95].min() > 5 * line[10:45].max()


def test_nothing_is_left_in_pyplot():
    import matplotlib.pyplot as plt

    draw()
    assert plt.get_fignums() == []


# --- numbers in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(535.5542, (535.5522, 535.5562), "nm"), "535.554 ± 0.002 nm"),
        (Value(24.96, (24.8, 25.12), "nm"), "24.96 ± 0.16 nm"),
        (Value(9.34, (9.31, 9.37), ""), "9.340 ± 0.030"),
        (Value(2400.4, (2377.4, 2423.4), "counts"), "2400 ± 23 counts"),
        (Value(1.00004, (0.99999, 1.00009), ""), "1.000 ± 0.001"),
        (Value(0.00177, None, ""), "0.00177"),
        (Value(None, None, "nm"), "-"),
    ],
)
def test_values_are_written_with_what_is_known_of_them(value: Value, text: str):
    assert value_text(value) == text


def test_the_table_shows_value_paper_and_verdict_of_every_claim():
    _, result = run_and_result()
    text = shown(results_table(acceptance(result)))
    for claim in ("C06", "C08", "C16", "C17", "C18", "C19", "C20", "C21", "C22"):
        assert claim in text
    assert value_text(result.on_peak_nm) in text
    assert "535 nm" in text
    assert text.count("pass") == 10
    assert "FAIL" not in text


def test_the_table_of_a_film_that_does_not_switch_fails_and_says_why():
    _, result = run_and_result(switches=False)
    assert shown(results_table(acceptance(result))).count("FAIL") == 6
    assert shown(outcome_text(result)).startswith("not switched: no ASE line at ON")


def test_a_short_run_is_too_short_not_failed():
    result = make_run(cycles=2, shots=30).reduce()
    assert shown(results_table(acceptance(result))).count("too few cycles") == 2


def test_the_ledger_lists_what_it_is_given():
    text = shown(ledger_table({"triggers": 24000, "lost": 1, "not_assigned": 0}))
    assert "24 000" in text
    assert text.index("triggers") < text.index("lost") < text.index("not assigned")


def strictly(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(document, allow_nan=False))


def test_json_has_exactly_the_promised_keys_for_the_run_and_each_cycle():
    _, result = run_and_result()
    document = strictly(results_json(result))
    assert set(document) == {*JSON_KEYS, "per_cycle"}
    assert [one["cycle"] for one in document["per_cycle"]] == [0, 1, 2, 3, 4, 5]
    for one in document["per_cycle"]:
        assert set(one) == {*JSON_KEYS, "cycle"}
    assert document["on_peak_nm"]["value"] == result.on_peak_nm.value
    assert document["on_peak_nm"]["ci95"] == list(result.on_peak_nm.ci95 or ())
    assert document["on_peak_nm"]["unit"] == "nm"


def test_json_has_null_where_the_line_is_absent_and_never_nan():
    _, result = run_and_result(switches=False)
    document = strictly(results_json(result))
    assert document["on_peak_nm"] == {"value": None, "ci95": None, "unit": "nm"}
    assert document["on_fwhm_nm"]["value"] is None
    broken = replace(result, ratio_520=Value(float("nan"), (0.0, 1.0), ""), contrast_535=Value(1.0, (0.0, float("inf")), ""))
    document = strictly(results_json(broken))
    assert document["ratio_520"] == {"value": None, "ci95": None, "unit": ""}
    assert document["contrast_535"] == {"value": 1.0, "ci95": None, "unit": ""}
