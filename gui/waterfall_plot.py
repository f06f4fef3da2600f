"""The waterfall: light against time and wavelength in colours whose meaning does not jump."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QRectF
from PyQt5.QtWidgets import QToolButton

from gui import theme
from gui.colour_bar import ColourBar, Levels, colour_index, colour_table
from gui.plot_pane import PlotPane
from gui.plot_table import Column, PlotTable
from gui.run_content import WATERFALL_NM
from gui.waterfall_ring import Image

Floats = NDArray[np.float64]


class WaterfallPlot:
    """Time to the right, wavelength upwards."""

    def __init__(self) -> None:
        self.pane = PlotPane("Waterfall", solid=True)
        self.plot = self.pane.plots[0]
        self.pane.label(self.plot, "left", "nm")
        self._image = pg.ImageItem(axisOrder="row-major", autoDownsample=False)
        self.plot.addItem(self._image)
        self.bar = ColourBar()
        self.bar.setFont(theme.font(9.0))
        self.fit = QToolButton()
        self.fit.setText("Fit colours")
        self.fit.setFont(theme.font(9.0))
        self.fit.setAutoRaise(True)
        self.fit.setToolTip("Fit the colours to what the waterfall has (L); by themselves they follow slowly.")
        self.fit.setAccessibleName("Fit the colours of the waterfall")
        self.pane.header.insertWidget(2, self.bar)
        self.pane.header.insertWidget(self.pane.header.count() - 1, self.fit)
        self._nm: tuple[float, float] = (WATERFALL_NM[0] - WATERFALL_NM[1], WATERFALL_NM[0] + WATERFALL_NM[1])
        self.plot.setYRange(*self._nm, padding=0)
        self._wavelength_nm: Floats = np.empty(0)
        self.by_hand = False
        self.pane.recoloured.connect(self.recolour)
        self.recolour()

    def recolour(self) -> None:
        """Take the colours of the theme."""
        self._image.setLookupTable(colour_table(theme.current().panel))

    def clear(self) -> None:
        """Show nothing."""
        self._image.clear()
        self.by_hand = False

    def set_wavelengths(self, wavelength_nm: Floats) -> None:
        """Take the wavelength of every pixel that the waterfall keeps (nm, ascending)."""
        self._wavelength_nm = wavelength_nm
        if not (np.isfinite(wavelength_nm).all() and wavelength_nm[0] < wavelength_nm[-1]):
            return  # a file that makes no sense of its axis
        self._nm = float(wavelength_nm[0]), float(wavelength_nm[-1])
        if not self.by_hand:
            self.plot.setYRange(*self._nm, padding=0)

    def home(self) -> None:
        """Show all wavelengths again."""
        self.by_hand = False
        self.plot.setYRange(*self._nm, padding=0)

    @property
    def columns(self) -> int:
        """Get how many moments side by side can be told apart."""
        return self.pane.pixels

    def draw(self, light: Image, range_s: tuple[float, float], levels: Levels) -> None:
        """Show light (counts, (moments, pixels)) evenly spread between two times (s)."""
        if light.shape[1] != len(self._wavelength_nm):
            return
        lines = max(1, min(int(self.plot.getViewBox().height()), light.shape[1] // 2))
        starts = np.searchsorted(self._wavelength_nm, np.linspace(*self._nm, lines, endpoint=False))
        starts = np.minimum(starts, light.shape[1] - 1)
        widths = np.diff(np.r_[starts, light.shape[1]])
        binned = np.add.reduceat(light, starts, axis=1) / np.maximum(widths, 1).astype(np.float32)
        index = colour_index(np.ascontiguousarray(binned.T), levels)
        self._image.setImage(index, autoLevels=False, levels=(0, 255))
        first_s, last_s = range_s
        self._image.setRect(QRectF(first_s, self._nm[0], last_s - first_s, self._nm[1] - self._nm[0]))
        self.bar.show_levels(levels)

    def table(self, light: Image, range_s: tuple[float, float]) -> PlotTable:
        """Lay out what is in view: a row per moment, a column per wavelength (counts)."""
        step_s = (range_s[1] - range_s[0]) / max(1, len(light))
        bottom, top = sorted(self.plot.getViewBox().viewRange()[1])
        pixels = np.flatnonzero((self._wavelength_nm >= bottom) & (self._wavelength_nm <= top))
        known = ~np.isnan(light[:, :1]).reshape(-1)
        columns = [Column("time", "s", (range_s[0] + step_s * (np.arange(len(light)) + 0.5)).astype(np.float64)[known])]
        columns += [Column(f"{self._wavelength_nm[i]:.4f} nm", "counts", light[known, i].astype(np.float64)) for i in pixels]
        return PlotTable("waterfall", tuple(columns))
