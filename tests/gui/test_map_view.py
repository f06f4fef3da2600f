"""The results page of a threshold map: what its record says, drawn by voltage and by time; in words where there is nothing."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyqtgraph as pg
import pytest
from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QApplication

from gui import theme
from gui.map_view import MapView
from gui.results_page import ResultsPage
from rig import Session
from rig.measurements.catalogue import record_of
from rig.measurements.threshold_map import ThresholdMap
from rig.runner import StopRequest

SHORT = ThresholdMap(points=20, shots_per_point=20, settle_s=0.06, passes=1, voltages=3)


class Link(QObject):
    said = pyqtSignal(object)


def mapped(folder: Path, stop_at: int | None = None) -> Path:
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop_at is not None and progress.shots_done >= stop_at:
            asked.request("seen enough")

    return Session(out=folder, seed=3).run(SHORT, stop=asked, observe=observe).path


@pytest.fixture
def page(qtbot, tmp_path) -> Iterator[Any]:
    context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
    made: Any = ResultsPage(context, interval_s=0.05)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close_page()


def points(plot: Any) -> list[float]:
    """The abscissae of all points in a plot."""
    drawn = [item for item in plot.getPlotItem().items if isinstance(item, pg.ScatterPlotItem | pg.PlotDataItem)]
    return sorted({float(x) for item in drawn for x in item.getData()[0]})


def test_a_chosen_map_shows_what_its_record_says_by_voltage_and_by_time(qtbot, page, tmp_path):
    path = mapped(tmp_path)
    page.show_run(path)
    qtbot.waitUntil(lambda: isinstance(page.view, MapView) and bool(page.view.outcome.text()), timeout=15_000)
    record: Any = record_of(path)
    assert page.view.outcome.text() == record.lines[0]
    assert "reduction from 0 V to 20 V" in record.lines[0]
    assert page.view.lines.text() == "; ".join(record.lines[1:])
    assert points(page.view.levels) == [0.0, 10.0, 20.0]
    assert len(points(page.view.course)) == len(record.result.sweeps)
    assert "SIMULATED" in page.view.levels.getPlotItem().titleLabel.text
    before = page.view.levels.backgroundBrush().color().name()
    name = theme.current().name
    theme.apply(QApplication.instance(), "light" if name == "dark" else "dark")
    assert page.view.levels.backgroundBrush().color().name() != before
    theme.apply(QApplication.instance(), name)


def test_a_map_that_was_stopped_compares_nothing_that_is_not_bracketed(qtbot, page, tmp_path):
    page.show_run(mapped(tmp_path, stop_at=1500))
    qtbot.waitUntil(lambda: isinstance(page.view, MapView) and bool(page.view.outcome.text()), timeout=15_000)
    assert "reduction from" not in page.view.outcome.text()
