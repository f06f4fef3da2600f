"""What the source does, on the time axis of the traces: voltage as planned and as measured, current, and how old that is."""

import numpy as np
import pyqtgraph as pg
from PyQt5.QtGui import QColor

from gui import theme
from gui.pixel_columns import columns, extremes
from gui.plot_pane import PlotPane, swatch
from gui.plot_table import Column, PlotTable
from gui.run_readings import Readings
from gui.stretch_shade import StretchShade, StretchTable
from gui.value_range import ValueRange

OLD_S = 1.0  # a reading older than this is shown as old
DIMMED = 0.45
LEAST_V, LEAST_A = 1.0, 1e-9
PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


class SourcePlot:
    """Two plots above one another."""

    def __init__(self) -> None:
        self.pane = PlotPane("Source", rows=2)
        self.pane.setMinimumHeight(130)
        self.voltage, self.current = self.pane.plots
        self.voltage.getAxis("bottom").setStyle(showValues=False)
        self.pane.label(self.voltage, "left", "V")
        self.pane.label(self.current, "bottom", "Time (s)")
        self.shades = (StretchShade(), StretchShade())
        self._unknown = tuple(pg.LinearRegionItem(movable=False, pen=pg.mkPen(None)) for _ in self.pane.plots)
        for plot, shade, region in zip(self.pane.plots, self.shades, self._unknown, strict=True):
            plot.addItem(shade)
            plot.addItem(region)
            region.setZValue(-40)
            region.setVisible(False)
        self._planned = pg.PlotCurveItem(connect="finite")
        self._measured_v, self._measured_a = (pg.ScatterPlotItem(size=4, pen=None) for _ in range(2))
        self._line_a = pg.PlotCurveItem(connect="finite")
        self._limited = pg.VTickGroup(yrange=(0.0, 0.08))
        for item in (self._planned, self._measured_v):
            self.voltage.addItem(item)
        for item in (self._line_a, self._measured_a, self._limited):
            self.current.addItem(item)
        self._ranges = ValueRange(LEAST_V), ValueRange(LEAST_A)
        self._dim = False
        self.by_hand = [False, False]
        for plot in self.pane.plots:
            plot.setYRange(*_with_room(0.0, 1.0), padding=0)
        self.pane.label(self.current, "left", "nA")
        self.pane.recoloured.connect(self.recolour)
        self.recolour()

    def recolour(self) -> None:
        """Take the colours of the theme."""
        look = theme.current()
        self._planned.setPen(look.pen("faint"))
        self._measured_v.setBrush(look.voltage)
        self._measured_a.setBrush(look.current)
        self._line_a.setPen(look.pen("current"))
        self._limited.setPen(look.pen("alarm"))
        veil = QColor(look.faint)
        veil.setAlpha(70)
        for region in self._unknown:
            region.setBrush(veil)
        self.pane.legend.setText(
            " &nbsp; ".join(
                (
                    swatch(look.faint, "planned"),
                    swatch(look.voltage, "measured V").replace("━", "●"),
                    swatch(look.current, "current").replace("━", "●"),
                )
            )
        )

    def clear(self) -> None:
        """Show nothing."""
        nothing = np.empty(0)
        for item in (self._planned, self._measured_v, self._measured_a, self._line_a):
            item.setData(nothing, nothing)
        self._limited.setXVals([])
        for region, shade in zip(self._unknown, self.shades, strict=True):
            region.setVisible(False)
            shade.show_stretches(StretchTable(), under_way=False)
        for one in self._ranges:
            one.forget()
        self.by_hand = [False, False]
        self.pane.say("")

    def draw(self, readings: Readings, table: StretchTable, range_s: tuple[float, float], until_s: float, now_s: float) -> None:
        """Show the part between two times, nothing that is later than `until_s`."""
        first_s, last_s = range_s[0], min(range_s[1], until_s)
        pixels = self.pane.pixels
        step_s = np.stack([table.first_s, table.last_s], axis=1).reshape(-1)
        planned = columns(step_s, np.repeat(table.voltage_v, 2), first_s, last_s, pixels)
        self._planned.setData(*planned, connect="finite")
        known = readings.time_s <= until_s
        time_s, volts, amps = readings.time_s[known], readings.voltage_v[known], readings.current_a[known]
        measured_v = columns(time_s, volts, first_s, last_s, pixels // 2)
        self._measured_v.setData(*measured_v)
        at_s, current = columns(time_s, amps, first_s, last_s, pixels // 2)
        bottom, top = self._ranges[1].fit(*extremes(current), now_s)
        unit, prefix = next((one for one in PREFIXES if max(top, -bottom) >= one[0]), PREFIXES[-1])
        self.pane.label(self.current, "left", f"{prefix}A")
        self._measured_a.setData(at_s, current / unit)
        self._line_a.setData(at_s, current / unit, connect="finite")
        limited = time_s[readings.compliance[known]]
        self._limited.setXVals(columns(limited, limited, first_s, last_s, pixels)[0].tolist())
        self._limited.update()
        if not self.by_hand[0]:
            self.voltage.setYRange(*_with_room(*self._ranges[0].fit(*extremes(measured_v[1], planned[1]), now_s)), padding=0)
        if not self.by_hand[1]:
            self.current.setYRange(*_with_room(bottom / unit, top / unit), padding=0)

    def show_age(
        self, age_s: float | None, *, last_reading_s: float | None, newest_s: float, over: bool, stepped: bool
    ) -> None:
        """Say how old what is shown is; what was not measured yet lies under a veil, what is old is dim."""
        old = not over and (age_s is None or age_s > OLD_S)
        for region in self._unknown:
            region.setVisible(old and last_reading_s is not None and newest_s > last_reading_s)
            if last_reading_s is not None:
                region.setRegion((last_reading_s, max(last_reading_s, newest_s)))
        if old != self._dim:
            self._dim = old
            for item in (self._measured_v, self._measured_a, self._line_a):
                item.setOpacity(DIMMED if old else 1.0)
        self.pane.say(*_age_words(age_s, over=over, stepped=stepped, old=old))

    def table(self, readings: Readings, range_s: tuple[float, float], until_s: float) -> PlotTable:
        """Copy the readings in view."""
        seen = (readings.time_s >= range_s[0]) & (readings.time_s <= min(range_s[1], until_s))
        return PlotTable(
            "source",
            (
                Column("time", "s", readings.time_s[seen]),
                Column("voltage", "V", readings.voltage_v[seen]),
                Column("current", "A", readings.current_a[seen]),
                Column("current limited", "0 or 1", readings.compliance[seen].astype(np.int64)),
            ),
        )


def _with_room(bottom: float, top: float) -> tuple[float, float]:
    """Keep points at either end off the frame."""
    room = 0.08 * (top - bottom)
    return bottom - room, top + room


def _age_words(age_s: float | None, *, over: bool, stepped: bool, old: bool) -> tuple[str, str]:
    why = ": a stepped block is read when it ends" if stepped else ": the source has not answered since"
    if over:
        return ("", "faint") if age_s is not None else ("no reading of the source in this file", "warning")
    if age_s is None:
        return f"not measured yet{why if stepped else ''}", "warning"
    return f"{age_s:.1f} s old{why if old else ''}", "warning" if old else "text"
