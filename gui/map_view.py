"""The results of a threshold map: thresholds against voltage, and those of the single sweeps against time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyqtgraph as pg
from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QSplitter, QVBoxLayout, QWidget

from gui import theme
from gui.result_view import ResultKind
from gui.side_work import Abandoned, check
from gui.sweep_view import how_far, label_for, plot_pane
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


class MapView(QWidget):
    """Thresholds by voltage above, by time below, in words above both; see gui.result_view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.outcome = label_for("what the voltage does to the threshold, or why that cannot be said", 12.0)
        self.lines = label_for("the thresholds, the film's drift, and what the numbers rest on", 9.5)
        self.levels = plot_pane("threshold against voltage", THRESHOLD, "voltage (V)")
        self.course = plot_pane("thresholds of the sweeps against time", THRESHOLD, "time (s)")
        self.levels.setToolTip(
            "mean threshold of the sweeps at each voltage, with 95 % interval. Mouse: zoom; Home: everything again"
        )
        self.course.setToolTip("sweeps that have a threshold; those at 0 V in the colour of 0 V: their course is drift")
        splitter = QSplitter(Qt.Orientation.Vertical)
        for plot, stretch in ((self.levels, 2), (self.course, 1)):
            splitter.addWidget(plot)
            splitter.setStretchFactor(splitter.count() - 1, stretch)
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.outcome)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.lines)
        self._found: FoundMap | None = None

    @property
    def widget(self) -> QWidget:
        """Get itself."""
        return self

    def show_found(self, found: Any) -> None:
        """Show what was found."""
        self._found = cast(FoundMap, found)
        first, *more = self._found.record.lines
        self.outcome.setText(first if self._found.ending else f"so far: {first}")
        self.lines.setText("; ".join(more))
        self._draw()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "_found"):
            self._draw()

    def keyPressEvent(self, a0: Any) -> None:  # noqa: N802 - Qt's name
        """Show everything again on Home."""
        if a0.key() == Qt.Key.Key_Home:
            for plot in (self.levels, self.course):
                plot.getPlotItem().enableAutoRange()
        else:
            super().keyPressEvent(a0)

    def _draw(self) -> None:
        look = theme.current()
        for plot in (self.levels, self.course):
            plot.setBackground(look.background)
            plot.getPlotItem().clear()
            for side in ("bottom", "left"):
                axis = plot.getPlotItem().getAxis(side)
                axis.setPen(look.faint)
                axis.setTextPen(look.text)
        self.lines.setStyleSheet(f"color: {look.faint}")
        result = None if self._found is None else self._found.record.result
        if self._found is None or result is None:
            return
        self.outcome.setStyleSheet(f"color: {look.warning if result.value.value is None else look.good}")
        header = self._found.record.run.header
        title = f"{'SIMULATED  ' if header.simulated else ''}{header.run_id}"
        self.levels.getPlotItem().setTitle(title, color=look.faint, size="9.5pt")
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
