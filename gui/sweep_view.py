"""The results of a fluence sweep: light against fluence with the fitted law and the threshold's interval, the line's width."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QWidget

from gui import theme
from gui.live_record import UNFINISHED
from gui.result_pane import ResultPane, plot_pane
from gui.result_view import ResultKind
from gui.side_work import Abandoned, check
from rig.analysis.statistics import Value
from rig.analysis.threshold import FITTED_TO
from rig.bench import parse_bench
from rig.config_file import parse_document
from rig.measurements.sweep_record import SweepRecord, SweepResult, reduce_sweep
from rig.runfile import ENDINGS, Run, open_run

Floats = NDArray[np.float64]
BAND_ALPHA = 70
LAW_POINTS = 300
FLUENCE = "pump fluence (µJ/cm²)"


@dataclass(frozen=True, slots=True, eq=False)
class FoundSweep:
    """What a SweepReduction found; see gui.result_view.Found."""

    record: SweepRecord
    ending: str
    left: int = 0

    @property
    def reason(self) -> str:
        """Get why there are no results, empty when there are some."""
        return "" if self.record.result is not None else self.record.reason


class SweepReduction:
    """One fluence sweep; see gui.result_view.Reduction. It is reduced anew each time: the weights change with every point."""

    def __init__(self, path: Path) -> None:
        self._run = open_run(path)
        self._bench = parse_bench(parse_document(self._run.header.bench_toml, path))

    def update(self, abandoned: Abandoned) -> FoundSweep:
        """Reduce the blocks that have ended."""
        ending, frames = how_far(self._run)
        record = reduce_sweep(self._run, self._bench, ending=ending, frames=frames, check=lambda: check(abandoned))
        return FoundSweep(record, ending)


def how_far(run: Run) -> tuple[str, int | None]:
    """How the run ended, and None; while somebody writes the file "", and how many frames nobody writes again."""
    state, ending = run.state, ""
    if state not in ENDINGS:
        ending = UNFINISHED if run.unfinished else ""
    elif run.trimmed or not run.writer_lives:
        ending = state
    if ending:
        return ending, None
    received = run.ledger.get("received", 0)
    return "", min(run.count, received if isinstance(received, int) else 0)


class SweepView(ResultPane):
    """Light above, width below, in words above both; see gui.result_view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self.light = plot_pane("light against fluence", "light beyond the band (counts)", FLUENCE)
        self.narrowing = plot_pane("width of the line against fluence", "FWHM (nm)", FLUENCE)
        self.light.setToolTip(
            "light beyond the scaled spontaneous band, ± standard error; line: the fitted law, where it is fitted; vertical: "
            "threshold, shaded: its 95 % interval. Mouse: zoom; Home: everything again"
        )
        self.narrowing.setToolTip(
            "full width at half maximum as recorded; dashed: where it has fallen to half, shaded: between which points"
        )
        self.narrowing.setXLink(self.light)
        super().__init__(
            "the threshold with half of its 95 % interval, or why there is none",
            "other estimates, and what the numbers rest on",
            self.light,
            self.narrowing,
            parent,
        )

    def draw(self, result: Any) -> None:
        """Draw light, law and width."""
        _draw_light(self.light.getPlotItem(), result)
        _draw_width(self.narrowing.getPlotItem(), result)


def _draw_light(plot: Any, result: SweepResult) -> None:
    look, curve = theme.current(), result.curve
    off, on = QColor(look.off), QColor(look.on)
    f, y = curve.fluence_uj_cm2, curve.signal
    plot.addItem(pg.ErrorBarItem(x=f, y=y, height=2 * curve.error, pen=pg.mkPen(off)))
    plot.addItem(pg.ScatterPlotItem(f, y, size=6, pen=None, brush=off))
    law = result.threshold.law
    if law is None or result.value.value is None:
        return
    fine = np.linspace(float(f[0]), min(FITTED_TO * law.threshold, float(f[-1])), LAW_POINTS)
    plot.addItem(pg.PlotCurveItem(fine, law.at(fine), pen=pg.mkPen(on, width=1)))
    _mark(plot, result.value, on, Qt.PenStyle.SolidLine)


def _draw_width(plot: Any, result: SweepResult) -> None:
    colour = QColor(theme.current().band_535)
    known = np.isfinite(result.fwhm_nm)
    x, y = result.width_uj_cm2[known], result.fwhm_nm[known]
    plot.addItem(pg.ScatterPlotItem(x, y, size=6, pen=None, brush=colour))
    plot.addItem(pg.PlotCurveItem(x, y, pen=pg.mkPen(colour, width=1)))
    _mark(plot, result.crossing, colour, Qt.PenStyle.DashLine)


def _mark(plot: Any, value: Value, colour: QColor, style: Qt.PenStyle) -> None:
    """Draw a fluence with its interval."""
    if value.value is None:
        return
    plot.addItem(pg.InfiniteLine(value.value, angle=90, pen=pg.mkPen(colour, width=1, style=style)))
    if value.ci95 is not None:
        shade = QColor(colour)
        shade.setAlpha(BAND_ALPHA)
        plot.addItem(pg.LinearRegionItem(value.ci95, movable=False, brush=shade, pen=pg.mkPen(None)))


SWEEP = ResultKind(SweepReduction, SweepView)
