"""The light of both bands against time: 520 and 535 nm, the stretches at ON shaded, frames that cannot be used left out."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PyQt5.QtWidgets import QCheckBox

from gui import theme
from gui.pixel_columns import extremes
from gui.plot_pane import PlotPane, swatch
from gui.plot_table import Column, PlotTable
from gui.stretch_shade import StretchShade, StretchTable
from gui.trace_pyramid import TracePyramid, TraceView
from gui.value_range import ValueRange

TRACES = {"band_520": "520 nm", "band_535": "535 nm"}
SINGLE_SHOTS = 0.2  # points per pixel: when there are fewer, every shot gets a dot
LEAST_COUNTS = 10.0
FOOT = (0.0, 0.035)  # part of the height where bad frames are marked


class TracePlot:
    """Draws what a TracePyramid has."""

    def __init__(self) -> None:
        self.pane = PlotPane("Light of the bands")
        self.pane.setMinimumHeight(130)
        self.plot = self.pane.plots[0]
        self.pane.label(self.plot, "left", "Counts")
        self.shade = StretchShade()
        self.plot.addItem(self.shade)
        self._curves = {name: pg.PlotCurveItem(connect="finite") for name in TRACES}
        self._dots: dict[str, Any] = {name: pg.ScatterPlotItem(size=5, pen=None) for name in TRACES}
        for item in (*self._curves.values(), *self._dots.values()):
            self.plot.addItem(item)
        self._bad = pg.VTickGroup(yrange=FOOT)
        self.plot.addItem(self._bad)
        self._range = ValueRange(LEAST_COUNTS)
        self.by_hand = False  # the value axis was moved
        self.marks = QCheckBox("lost, saturated, missed")
        self.marks.setFont(theme.font(9.0))
        self.marks.setChecked(True)
        self.marks.setToolTip("Mark these shots at the foot of the traces (F). They are gaps either way.")
        self.marks.setAccessibleName("Mark lost, saturated and missed shots")
        self.pane.header.insertWidget(2, self.marks)
        self.pane.recoloured.connect(self.recolour)
        self.recolour()

    def recolour(self) -> None:
        """Take the colours of the theme."""
        look = theme.current()
        for name in TRACES:
            self._curves[name].setPen(look.pen(name))
            self._dots[name].setBrush(getattr(look, name))
        self._bad.setPen(look.pen("alarm"))
        entries = [swatch(getattr(look, name), text) for name, text in TRACES.items()]
        entries.append(f'<span style="background:rgba{(*look.on_shade[:3], 0.35)}">&nbsp;ON&nbsp;</span>')
        entries.append(f'<span style="color:{look.alarm}">❘</span>')
        self.pane.legend.setText(" &nbsp; ".join(entries))

    def clear(self) -> None:
        """Show nothing."""
        nothing = np.empty(0)
        for item in (*self._curves.values(), *self._dots.values()):
            item.setData(nothing, nothing)
        self._bad.setXVals([])
        self.shade.show_stretches(StretchTable(), under_way=False)
        self._range.forget()
        self.by_hand = False

    def draw(self, traces: TracePyramid, range_s: tuple[float, float], until_s: float, now_s: float) -> TraceView:
        """Show the part between two times, nothing that is later than `until_s`; `now_s` is for how fast the axis follows."""
        first_s, last_s = range_s
        view = traces.view(first_s, min(last_s, until_s), self.pane.pixels)
        near = view.exact and len(view.time_s) < SINGLE_SHOTS * self.pane.pixels
        for name, curve in self._curves.items():
            curve.setData(view.time_s, view.values[name], connect="finite")
            dots = self._dots[name]
            if near:
                dots.setData(view.time_s, view.values[name])
            elif len(dots.data):
                dots.clear()
        self._bad.setXVals(view.bad_s.tolist() if self.marks.isChecked() else [])
        self._bad.update()
        if not self.by_hand:
            self.plot.setYRange(*self._range.fit(*extremes(*view.values.values()), now_s), padding=0)
        return view

    def table(self, traces: TracePyramid, range_s: tuple[float, float], until_s: float) -> PlotTable:
        """Copy the exact numbers of every frame in view."""
        seen = slice(
            int(np.searchsorted(traces.time_s, range_s[0])),
            int(np.searchsorted(traces.time_s, min(range_s[1], until_s), side="right")),
        )
        columns = [Column("time", "s", traces.time_s[seen].copy())]
        columns += [Column(text, "counts", traces.trace(name)[seen].copy()) for name, text in TRACES.items()]
        columns.append(Column("lost before, saturated or missed", "0 or 1", traces.bad[seen].astype(np.int64)))
        return PlotTable("traces", tuple(columns))
