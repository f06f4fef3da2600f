"""Results of a measurement that has sentences and a figure: those of its report, in the colours of the window, live too."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QApplication
from replayed_run import ReplayedRun
from short_runs import SHORT

from gui import theme
from gui.figure_picture import darkened
from gui.record_view import RecordReduction, RecordView
from gui.results_page import KINDS, ResultsPage
from gui.run_deeds import draw_figure, make_report
from rig.measurements.catalogue import MEASUREMENTS, record_of
from rig.measurements.live_view import LiveView


class Link(QObject):
    said = pyqtSignal(object)


@pytest.fixture
def page(qtbot, tmp_path) -> Iterator[Any]:
    context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
    made: Any = ResultsPage(context, interval_s=0.05)
    qtbot.addWidget(made)
    made.resize(1000, 600)
    made.show()
    yield made
    made.close_page()


def shown(qtbot, page: Any, path: Path) -> RecordView:
    page.show_run(path)
    qtbot.waitUntil(lambda: isinstance(page.view, RecordView) and bool(page.view.outcome.text()), timeout=15_000)
    return page.view


def colours(view: RecordView) -> set[str]:
    picture = view.figure.grab().toImage()
    return {picture.pixelColor(x, y).name() for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)}


def test_every_measurement_with_results_has_a_view():
    assert set(KINDS) == set(MEASUREMENTS) - {LiveView.name}


@pytest.mark.parametrize("name", list(SHORT))
def test_a_finished_run_shows_the_sentences_of_its_record_and_its_figure(qtbot, page, runs, name):
    view = shown(qtbot, page, runs[name])
    record: Any = record_of(runs[name])
    assert view.outcome.text() == record.lines[0]
    assert view.lines.text().split("\n\n") == list(record.lines[1:])
    assert len(colours(view)) > 5


def test_the_figure_follows_the_theme(qtbot, page, runs):
    view, application, before = shown(qtbot, page, runs["iv"]), QApplication.instance(), theme.current().name
    for name in ("dark", "light"):
        theme.apply(application, name)
        assert view.figure.grab().toImage().pixelColor(view.figure.width() // 2, 4).name() == theme.current().background
    theme.apply(application, before)


def test_darkening_keeps_hue_and_turns_white_into_the_background():
    light = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 114, 178]]], np.uint8)
    white, black, red, blue = darkened(light, "#101010")[0].tolist()
    assert (white, black) == ([16, 16, 16], [255, 255, 255])
    assert red == [255, 16, 16]
    assert blue[0] < blue[1] < blue[2]
    assert sum(blue) > 114 + 178


def test_a_run_that_goes_on_says_why_there_is_nothing_then_so_far_then_how_it_ended(qtbot, page, runs, tmp_path):
    run = ReplayedRun(runs["pl_vs_voltage"], tmp_path)
    page.show_run(run.path)
    qtbot.waitUntil(lambda: page.words == "No results yet, because no block has ended yet.")
    run.arrive(len(run.rows) // 2)
    run.end_block()
    qtbot.waitUntil(
        lambda: isinstance(page.view, RecordView) and page.view.outcome.text().startswith("so far: "), timeout=10_000
    )
    run.arrive(len(run.rows))
    run.end_block()
    run.finish()
    expected: Any = record_of(runs["pl_vs_voltage"])
    qtbot.waitUntil(lambda: page.view.outcome.text() == expected.lines[0], timeout=10_000)


def test_frames_that_no_block_has_proved_change_nothing(runs, tmp_path):
    run = ReplayedRun(runs["pl_vs_voltage"], tmp_path)
    run.arrive(20)
    run.end_block()
    reduction = RecordReduction(run.path)
    before = reduction.update(lambda: False)
    run.arrive(4)
    assert reduction.update(lambda: False).lines == before.lines
    run.file.close()


@pytest.mark.parametrize("name", list(SHORT))
def test_the_figure_of_each_is_saved_beside_its_file(runs, name):
    figure = draw_figure(runs[name])
    assert figure == runs[name].with_suffix(".png")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_report_is_written_of_a_run_without_spectra_to_show(runs):
    page = make_report(runs["iv"])
    record: Any = record_of(runs["iv"])
    assert record.lines[0].split(" ±")[0] in page.read_text(encoding="utf-8")
