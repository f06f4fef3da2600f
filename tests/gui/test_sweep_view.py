"""The results page of a fluence sweep: the threshold of its report, growing point by point, in words where there is none."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyqtgraph as pg
import pytest
from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QLabel
from replayed_run import ReplayedRun

from gui import theme
from gui.results_page import ResultsPage
from gui.run_deeds import draw_figure, figure_of
from gui.side_work import GivenUpError
from gui.sweep_view import SweepReduction, SweepView
from rig import Session
from rig.control import Begun
from rig.measurements.catalogue import record_of
from rig.measurements.fluence_sweep import FluenceSweep
from rig.runfile import open_run

SHORT = FluenceSweep(
    voltage_v=20.0, points=20, shots_per_point=30, fluence_min_uj_cm2=9.0, fluence_max_uj_cm2=70.0, settle_s=0.05
)


class Link(QObject):
    said = pyqtSignal(object)


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Session(out=tmp_path_factory.mktemp("sweeps"), seed=1).run(SHORT).path


@pytest.fixture
def page(qtbot, tmp_path) -> Iterator[Any]:
    context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
    made: Any = ResultsPage(context, interval_s=0.05)
    made.link = context.link
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close_page()


def shown_by(page: Any) -> str:
    return page.view.outcome.text() if isinstance(page.view, SweepView) else ""


def items(view: SweepView, kind: type) -> list[Any]:
    return [item for item in view.light.getPlotItem().items if isinstance(item, kind)]


def test_a_chosen_sweep_shows_the_threshold_of_its_report(qtbot, page, sweep_file):
    page.show_run(sweep_file)
    qtbot.waitUntil(lambda: page.view is not None)

    record = record_of(sweep_file)
    assert shown_by(page) == record.lines[0]
    assert "threshold 3" in shown_by(page)
    assert page.view.lines.text() == "; ".join(record.lines[1:])


def test_points_law_and_interval_are_drawn_where_they_are(qtbot, sweep_file):
    view = SweepView()
    qtbot.addWidget(view)
    view.show_found(SweepReduction(sweep_file).update(lambda: False))

    result = record_of(sweep_file).result
    (points,) = items(view, pg.ScatterPlotItem)
    (law,) = items(view, pg.PlotCurveItem)
    (line,) = items(view, pg.InfiniteLine)
    (region,) = items(view, pg.LinearRegionItem)
    assert np.array_equal(points.getData()[0], result.curve.fluence_uj_cm2)
    assert np.array_equal(points.getData()[1], result.curve.signal)
    assert line.value() == result.value.value
    assert region.getRegion() == pytest.approx(result.value.ci95)
    assert np.allclose(law.getData()[1], result.threshold.law.at(law.getData()[0]))


def test_a_sweep_under_way_grows_and_says_that_it_is_not_over(qtbot, page, sweep_file, tmp_path):
    run = ReplayedRun(sweep_file, tmp_path)
    page.link.said.emit(
        Begun(
            title="",
            sample="",
            measurement="fluence_sweep",
            mode="",
            file=str(run.path),
            shots_planned=1,
            duration_s=1.0,
            simulated=True,
        )
    )
    qtbot.waitUntil(lambda: "no frame is assigned" in page.words)
    run.arrive(len(run.rows) // 4)
    run.end_block()
    qtbot.waitUntil(lambda: shown_by(page).startswith("so far: a threshold takes") or shown_by(page).startswith("so far: 5 "))
    early = len(items(page.view, pg.ScatterPlotItem)[0].getData()[0])
    run.arrive(len(run.rows))
    run.end_block()
    qtbot.waitUntil(lambda: shown_by(page).startswith("so far: threshold 3"))
    assert len(items(page.view, pg.ScatterPlotItem)[0].getData()[0]) == 20 > early
    run.finish()

    qtbot.waitUntil(lambda: any(label.text() == "done" for label in page.findChildren(QLabel)))
    qtbot.waitUntil(lambda: shown_by(page).startswith("threshold 3"))


def test_frames_whose_block_has_not_ended_are_not_looked_at(sweep_file, tmp_path):
    run = ReplayedRun(sweep_file, tmp_path)
    run.arrive(len(run.rows) // 2)
    run.end_block()
    reduction = SweepReduction(run.path)
    before = reduction.update(lambda: False).record.result.measured
    run.arrive(200)

    assert reduction.update(lambda: False).record.result.measured == before
    run.file.close()


def test_a_run_ended_by_a_fault_shows_its_points_and_no_threshold(qtbot, sweep_file, tmp_path):
    run = ReplayedRun(sweep_file, tmp_path)
    run.arrive(len(run.rows))
    run.end_block()
    run.finish("fault")
    view = SweepView()
    qtbot.addWidget(view)

    view.show_found(SweepReduction(run.path).update(lambda: False))

    assert view.outcome.text().startswith("no threshold: the run was ended by a fault")
    assert items(view, pg.ScatterPlotItem)
    assert not items(view, pg.InfiniteLine)


def test_a_reduction_that_nobody_wants_is_given_up(sweep_file):
    with pytest.raises(GivenUpError):
        SweepReduction(sweep_file).update(lambda: True)


def test_another_theme_redraws_what_is_shown(qtbot, qapp, sweep_file):
    view = SweepView()
    qtbot.addWidget(view)
    view.show_found(SweepReduction(sweep_file).update(lambda: False))
    try:
        for name in theme.NAMES:
            look = theme.apply(qapp, name)
            qtbot.waitUntil(lambda look=look: view.light.backgroundBrush().color().name() == look.background.lower())
            assert len(items(view, pg.ScatterPlotItem)) == 1
    finally:
        theme.apply(qapp, theme.NAMES[0])


def test_the_figure_of_a_sweep_can_be_drawn_beside_its_file(sweep_file):
    assert draw_figure(sweep_file) == figure_of(sweep_file)
    assert figure_of(sweep_file).read_bytes().startswith(b"\x89PNG")
    assert open_run(sweep_file).results["threshold_uj_cm2"]["value"] > 0
