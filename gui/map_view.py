"""The results of a threshold map: thresholds against voltage, and those of the single sweeps against time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QWidget

from gui import theme
from gui.result_pane import ResultPane, plot_pane
from gui.result_view import ResultKind
from gui.side_work import Abandoned, check
from gui.sweep_view import how_far
from rig.analysis.statistics import Value
from rig.bench import parse_bench
from rig.config_file import parse_document
from rig.measurements.map_record import MapRecord, reduce_map
from rig.runfile import open_run

THRESHOLD = "threshold (µJ/cm²)"


@dataclass(frozen=True, slots=True, eq=False)
class FoundMap:
    """What a MapReduction found; see gui.result_view.Found."""

    record: MapRecord
    ending: str
    left: int = 0

    @property
    def reason(self) -> str:
        """Get why there are no results, empty when there are some."""
        return "" if self.record.result is not None else self.record.reason


class MapReduction:
    """One threshold map; see gui.result_view.Reduction. It is reduced anew each time."""

    def __init__(self, path: Path) -> None:
        self._run = open_run(path)
        self._bench = parse_bench(parse_document(self._run.header.bench_toml, path))

    def update(self, abandoned: Abandoned) -> FoundMap:
        """Reduce the blocks that have ended."""
        ending, frames = how_far(self._run)
        record = reduce_map(self._run, self._bench, ending=ending, frames=frames, check=lambda: check(abandoned))
        return FoundMap(record, ending)


class MapView(ResultPane):
    """Thresholds by voltage above, by time below, in words above both; see gui.result_view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.levels = plot_pane("threshold against voltage", THRESHOLD, "voltage (V)")
        self.course = plot_pane("thresholds of the sweeps against time", THRESHOLD, "time (s)")
        self.levels.setToolTip(
            "mean threshold of the sweeps at each voltage, with 95 % interval. Mouse: zoom; Home: everything again"
        )
        self.course.setToolTip("sweeps that have a threshold; those at 0 V in the colour of 0 V: their course is drift")
        super().__init__(
            "what the voltage does to the threshold, or why that cannot be said",
            "the thresholds, the film's drift, and what the numbers rest on",
            self.levels,
            self.course,
            parent,
        )

    def draw(self, result: Any) -> None:
        """Draw the levels, and the sweeps one after the other."""
        look = theme.current()
        _draw_points(self.levels, [(one.voltage_v, one.value) for one in result.effect.levels], QColor(look.on))
        if result.faulted:
            return
        told = [(one.voltage_v, one.t_s, one.result.value) for one in result.sweeps if one.result is not None]
        _draw_points(self.course, [(t_s, value) for volt, t_s, value in told if volt == 0], QColor(look.off))
        _draw_points(self.course, [(t_s, value) for volt, t_s, value in told if volt != 0], QColor(look.on))


def _draw_points(plot: Any, points: Sequence[tuple[float, Value]], colour: QColor) -> None:
    known = [(x, value.value, value.half_width or 0.0) for x, value in points if value.value is not None]
    x, y, half = np.array(known, np.float64).reshape(-1, 3).T
    item = plot.getPlotItem()
    item.addItem(pg.ErrorBarItem(x=x, y=y, height=2 * half, pen=pg.mkPen(colour)))
    item.addItem(pg.ScatterPlotItem(x, y, size=7, pen=None, brush=colour))


MAP = ResultKind(MapReduction, MapView)
