"""The plots and numbers of the run page and when each of them is drawn: only what is in sight and has changed."""

from typing import Any

import numpy as np
from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QSplitter, QVBoxLayout, QWidget

from drivers.clock import Clock
from gui.number_panel import NumberPanel, run_shown
from gui.plot_pane import PlotPane
from gui.plot_table import PlotTable
from gui.run_content import RunContent
from gui.run_feed import RunFeed
from gui.source_plot import SourcePlot
from gui.spectrum_plot import SpectrumPlot
from gui.stretch_shade import StretchTable
from gui.time_window import Range, TimeWindow
from gui.trace_plot import TracePlot
from gui.trace_pyramid import Floats
from gui.waterfall_plot import WaterfallPlot
from rig.reduction import BANDS

STRETCHES_S, SOURCE_S, MEANS_S, WATERFALL_S = 0.25, 0.2, 0.5, 0.1  # least time between two drawings
OFF, ON = 0, 1
HOME_NM = (500.0, 560.0)


class RunViews(QWidget):
    """All that is drawn of one feed.

    Parameters
    ----------
    feed    of the run
    window  which part of it is shown
    """

    moved = pyqtSignal()  # somebody has zoomed or moved the time axis
    reset = pyqtSignal()

    def __init__(self, feed: RunFeed, window: TimeWindow, clock: Clock, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._feed, self._window, self._clock = feed, window, clock
        self.traces, self.source, self.waterfall = TracePlot(), SourcePlot(), WaterfallPlot()
        self.spectrum, self.numbers = SpectrumPlot(), NumberPanel()
        self.panes: tuple[PlotPane, ...] = (self.waterfall.pane, self.traces.pane, self.source.pane, self.spectrum.pane)
        self.drawings = 0  # for measurements: how many times anything was drawn
        self._time_plots: tuple[Any, ...] = (self.waterfall.plot, self.traces.plot, *self.source.pane.plots)
        self._range: Range = (0.0, 1.0)
        self._due: dict[str, int] = {}
        self._stretches = StretchTable()
        self._content: RunContent | None = None
        self._has_waterfall = False
        self._means: tuple[Floats | None, Floats | None] = (None, None)
        self._shown_numbers: object = None
        self._bands: object = None
        self._over = False
        self._arrange()
        for pane in self.panes:
            pane.moved.connect(self._moved)
            pane.reset.connect(self.reset)

    def _arrange(self) -> None:
        self.left, self.right = QSplitter(Qt.Orientation.Vertical), QSplitter(Qt.Orientation.Vertical)
        for pane in self.panes[:3]:
            self.left.addWidget(pane)
        self.left.setSizes([260, 330, 250])
        self.right.addWidget(self.numbers)
        self.right.addWidget(self.spectrum.pane)
        self.right.setStretchFactor(1, 1)
        self.both = QSplitter(Qt.Orientation.Horizontal)
        self.both.addWidget(self.left)
        self.both.addWidget(self.right)
        self.both.setStretchFactor(0, 5)
        self.both.setStretchFactor(1, 3)
        self.both.setSizes([840, 500])
        for splitter in (self.left, self.right, self.both):
            splitter.setChildrenCollapsible(True)
            splitter.setHandleWidth(5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.both)

    # --- what is shown

    def clear(self) -> None:
        """Show nothing, for another run."""
        for plot in (self.traces, self.source, self.waterfall, self.spectrum):
            plot.clear()
        self._due, self._stretches, self._content = {}, StretchTable(), None
        self._has_waterfall, self._shown_numbers, self._bands, self._means = False, None, None, (None, None)
        self._range = self._window.range_s
        self._set_range(self._range)
        self.numbers.clear()

    def home(self) -> None:
        """Give all value axes back to themselves."""
        self.traces.by_hand = self.waterfall.by_hand = False
        self.source.by_hand = [False, False]
        self.waterfall.home()
        self.spectrum.home()
        self._due = {}

    def fit_colours(self) -> None:
        """Fit the colours of the waterfall to what it shows."""
        if self._feed.waterfall is not None:
            self._feed.waterfall.reset_levels()
            self._due.pop("waterfall", None)

    def magnify(self, factor: float) -> None:
        """Show `factor` times as many counts in the traces."""
        bottom, top = self.traces.plot.getViewBox().viewRange()[1]
        self.traces.by_hand = True
        self.traces.plot.setYRange(bottom * factor, top * factor, padding=0)

    def mark_simulated(self, simulated: bool) -> None:
        """Say in every plot whether it is simulated."""
        for pane in self.panes:
            pane.mark_simulated(simulated)

    # --- drawing

    def draw(self, *, fresh: bool, everything: bool = False) -> None:
        """Draw what is due; `fresh` when there are new data, `everything` when whatever is drawn may be out of date."""
        content = self._feed.content
        if content is None:
            return
        if content is not self._content:
            self._begin(content)
        if everything:
            self._due = {}
        over = bool(content.ending)
        fresh = fresh or over != self._over
        self._over = over
        newest_s = float(content.traces.time_s[-1]) if len(content.traces) else 0.0
        self._window.advance(newest_s, complete=over)
        moved = self._follow_range()
        now_s = self._clock.now_ns() * 1e-9
        self.drawings += 1
        if not self._window.paused or everything:
            self._draw_data(content, fresh=fresh, now_s=now_s)
        self._draw_time(content, fresh=fresh or everything, moved=moved or everything, now_s=now_s)

    def _begin(self, content: RunContent) -> None:
        self._content = content
        axis_nm = content.wavelength_nm
        inside = HOME_NM[0] > axis_nm[0] and HOME_NM[1] < axis_nm[-1]
        possible = bool(np.isfinite(axis_nm).all()) and axis_nm[0] < axis_nm[-1]
        home = (float(axis_nm[0]), float(axis_nm[-1])) if possible and not inside else HOME_NM
        self.spectrum.set_axis(axis_nm, home)
        self.mark_simulated(content.header.simulated)

    def _follow_range(self) -> bool:
        """Let the time axes follow the window, in whole pixels; tell whether they moved."""
        wanted, shown = self._window.range_s, self._range
        if wanted == shown:
            return False
        pixel_s = (wanted[1] - wanted[0]) / self.traces.pane.pixels
        same_width = abs((wanted[1] - wanted[0]) - (shown[1] - shown[0])) < 1e-6 * pixel_s
        if same_width and abs(wanted[1] - shown[1]) < pixel_s and not self._window.chosen:
            return False
        self._set_range(wanted)
        return True

    def _set_range(self, wanted: Range) -> None:
        self._range = wanted
        for plot in self._time_plots:
            plot.setXRange(*wanted, padding=0)

    def _draw_data(self, content: RunContent, *, fresh: bool, now_s: float) -> None:
        if fresh and self._is_due("stretches", STRETCHES_S):
            self._stretches.follow(self._feed.stretches)
            for shade in (self.traces.shade, *self.source.shades):
                shade.show_stretches(self._stretches, under_way=not content.ending)
        if self._seen(self.spectrum.pane) and (fresh or self._is_due("spectrum", MEANS_S)):
            if self._is_due("means", MEANS_S):
                self._means = self._feed.mean_spectrum(OFF), self._feed.mean_spectrum(ON)
            self.spectrum.draw(self._feed.latest_spectrum(), *self._means, now_s)
        bands = content.bands, content.dark is not None
        if bands != self._bands:
            self._bands = bands
            self.show_bands()
        if self._feed.numbers is not self._shown_numbers:
            self._shown_numbers = self._feed.numbers
            self.numbers.show_numbers(run_shown(self._feed.numbers, content.light))

    def show_bands(self) -> None:
        """Draw the bands that the traces are of."""
        content = self._feed.content
        if content is not None:
            first, second = content.bands.values()
            self.spectrum.show_bands((first, second), of_file=content.bands == BANDS)
            self.spectrum.can_move(content.dark is not None)

    def _draw_time(self, content: RunContent, *, fresh: bool, moved: bool, now_s: float) -> None:
        until_s = self._window.newest_s
        if (fresh or moved) and self._seen(self.traces.pane) and not (self._window.paused and not moved):
            self.traces.draw(content.traces, self._range, until_s, now_s)
        if self._seen(self.source.pane) and ((moved and not self._rolls) or self._is_due("source", SOURCE_S)):
            self._draw_source(content, until_s, now_s)
        if self._seen(self.waterfall.pane) and (moved or fresh) and self._is_due("waterfall", WATERFALL_S):
            self._draw_waterfall(content, until_s)

    @property
    def _rolls(self) -> bool:
        return self._window.length_s is not None and not self._window.chosen

    def _draw_source(self, content: RunContent, until_s: float, now_s: float) -> None:
        readings = content.readings.readings
        self.source.draw(readings, self._stretches, self._range, until_s, now_s)
        if not self._window.paused:
            self.source.show_age(
                self._feed.reading_age_s,
                last_reading_s=float(readings.time_s[-1]) if len(readings.time_s) else None,
                newest_s=until_s,
                over=bool(content.ending),
                stepped=content.header.mode == "stepped",
            )

    def _draw_waterfall(self, content: RunContent, until_s: float) -> None:
        ring = content.waterfall
        if ring is None:
            return
        if not self._has_waterfall:
            self._has_waterfall = True
            self.waterfall.set_wavelengths(content.wavelength_nm[ring.pixels])
        light = self._feed.waterfall_picture(*self._range, self.waterfall.columns)
        if light is None:
            return
        first_s, last_s = self._range
        if until_s < last_s:
            light[max(0, int(np.ceil((until_s - first_s) / (last_s - first_s) * len(light)))) :] = np.nan
        self.waterfall.draw(light, self._range, ring.levels)

    def _is_due(self, what: str, every_s: float) -> bool:
        now_ns = self._clock.now_ns()
        if now_ns < self._due.get(what, 0):
            return False
        self._due[what] = now_ns + round(every_s * 1e9)
        return True

    @staticmethod
    def _seen(pane: PlotPane) -> bool:
        return not pane.visibleRegion().isEmpty()

    # --- by hand

    def _moved(self, plot: Any) -> None:
        x = plot.getViewBox().viewRange()[0]
        if plot is self.spectrum.plot:
            axis = plot.getViewBox().moved_axis
            self.spectrum.by_hand = [by_hand or axis != 1 - which for which, by_hand in enumerate(self.spectrum.by_hand)]
            return
        if plot.getViewBox().moved_axis == 1:
            self._keep_values(plot)
        elif (x[0], x[1]) != self._range:
            self._window.choose(x[0], x[1])
            self.moved.emit()

    def _keep_values(self, plot: Any) -> None:
        if plot is self.traces.plot:
            self.traces.by_hand = True
        elif plot is self.waterfall.plot:
            self.waterfall.by_hand = True
        else:
            self.source.by_hand[self.source.pane.plots.index(plot)] = True

    # --- what is kept

    def table(self, pane: PlotPane) -> PlotTable | None:
        """Take the numbers of a plot that are in view; None when there is none."""
        content, until_s = self._feed.content, self._window.newest_s
        if content is None:
            return None
        if pane is self.traces.pane:
            return self.traces.table(content.traces, self._range, until_s)
        if pane is self.source.pane:
            return self.source.table(content.readings.readings, self._range, until_s)
        if pane is self.spectrum.pane:
            return self.spectrum.table()
        light = self._feed.waterfall_picture(*self._range, self.waterfall.columns)
        return None if light is None else self.waterfall.table(light, self._range)
