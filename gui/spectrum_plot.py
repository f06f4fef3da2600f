"""The newest spectrum, the mean spectra at OFF and ON so far, and the two bands, which can be dragged."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QObject, QSignalBlocker, pyqtSignal
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QToolButton

from gui import theme
from gui.band_form import LEAST_HALF_NM, BandForm, Bands, band_button
from gui.band_retrace import BandNm
from gui.pixel_columns import extremes
from gui.plot_pane import PlotPane, swatch
from gui.plot_table import Column, PlotTable
from gui.value_range import ValueRange
from rig.reduction import BANDS

Floats = NDArray[np.float64]
BAND_COLOURS = ("band_520", "band_535")
LEAST_COUNTS = 10.0
BAND_ALPHA = 45
STEP_NM = 0.01
WAVELENGTH = "Wavelength (nm)"
MEAN_WIDTH = 1.6  # some hundred points: no long trace
NEWEST, OFF, ON = "newest frame", "mean OFF", "mean ON"


class SpectrumPlot(QObject):
    """Counts against wavelength.

    Signals
    -------
    bands_wanted(bands)  the bands were moved: ((centre, half width), (centre, half width)), nm
    reset_wanted         those of the file are wanted
    """

    bands_wanted = pyqtSignal(object)
    reset_wanted = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.pane = PlotPane("Spectrum", axis=WAVELENGTH, free=True)
        self.plot = self.pane.plots[0]
        self.pane.label(self.plot, "left", "Counts")
        self.pane.label(self.plot, "bottom", WAVELENGTH)
        self._curves = {name: pg.PlotCurveItem() for name in (NEWEST, OFF, ON)}
        self._regions: tuple[Any, ...] = tuple(pg.LinearRegionItem(swapMode="sort") for _ in BAND_COLOURS)
        self._labels = tuple(_label(region) for region in self._regions)
        for region in self._regions:
            region.setZValue(-20)
            self.plot.addItem(region)
            region.sigRegionChanged.connect(self._dragging)
            region.sigRegionChangeFinished.connect(self._dragged)
        for curve in self._curves.values():
            self.plot.addItem(curve)
        self._range = ValueRange(LEAST_COUNTS)
        self._wavelength_nm: Floats = np.empty(0)
        self._shown: dict[str, Floats] = {}
        self.by_hand = [False, False]  # wavelength, counts
        self._home_nm = (500.0, 560.0)
        self.form = BandForm()
        self.form.chosen.connect(self.bands_wanted)
        self.form.reset.connect(self.reset_wanted)
        self.bands_button = band_button(self.form)
        self.reset_button = QToolButton()
        self.reset_button.setText("Bands differ from the file's: reset")
        self.reset_button.setToolTip("Show the bands again that the run file was made with (R).")
        self.reset_button.setAccessibleName("Reset the bands to those of the file")
        self.reset_button.clicked.connect(lambda: self.reset_wanted.emit())
        self.reset_button.hide()
        for widget in (self.reset_button, self.bands_button):
            widget.setFont(theme.font(9.0))
            self.pane.header.insertWidget(self.pane.header.count() - 1, widget)
        self.pane.recoloured.connect(self.recolour)
        self.recolour()
        first, second = BANDS.values()
        self.show_bands((first, second), of_file=True)
        self.plot.setXRange(*self._home_nm, padding=0)

    def recolour(self) -> None:
        """Take the colours of the theme."""
        look = theme.current()
        colours = {NEWEST: look.faint, OFF: look.off, ON: look.on}
        for name, curve in self._curves.items():
            curve.setPen(pg.mkPen(colours[name], width=1.0 if name == NEWEST else MEAN_WIDTH))
        for region, label, name in zip(self._regions, self._labels, BAND_COLOURS, strict=True):
            colour = QColor(getattr(look, name))
            for line in region.lines:
                line.setPen(pg.mkPen(colour, width=1.0))
                line.setHoverPen(pg.mkPen(look.text, width=2.0))
            label.setColor(colour)
            colour.setAlpha(BAND_ALPHA)
            region.setBrush(colour)
            colour.setAlpha(2 * BAND_ALPHA)
            region.setHoverBrush(colour)
        self.reset_button.setStyleSheet(f"color: {look.warning};")
        self.pane.legend.setText(
            " &nbsp; ".join(swatch(colour, name.removesuffix(" frame")) for name, colour in colours.items())
        )

    def clear(self) -> None:
        """Show no spectrum."""
        for curve in self._curves.values():
            curve.setData(np.empty(0), np.empty(0))
        self._shown = {}
        self._range.forget()
        self.by_hand = [False, False]

    def set_axis(self, wavelength_nm: Floats, home_nm: tuple[float, float]) -> None:
        """Take the wavelength of every pixel, and the part of them that is shown unless somebody chooses another (nm)."""
        self._wavelength_nm, self._home_nm = wavelength_nm, home_nm
        if not self.by_hand[0]:
            self.plot.setXRange(*home_nm, padding=0)

    def home(self) -> None:
        """Go back to what is shown by itself."""
        self.by_hand = [False, False]
        self._range.forget()
        self.plot.setXRange(*self._home_nm, padding=0)

    def draw(self, newest: Floats | None, off: Floats | None, on: Floats | None, now_s: float) -> None:
        """Show spectra (counts, (pixels,)); None where there is none yet."""
        left, right = self.plot.getViewBox().viewRange()[0]
        seen = slice(*np.searchsorted(self._wavelength_nm, (left, right)).tolist())
        axis_nm = self._wavelength_nm[seen]
        shown: list[Floats] = []
        self._shown = {}
        for name, light in ((NEWEST, newest), (OFF, off), (ON, on)):
            if light is None or len(light) != len(self._wavelength_nm):
                self._curves[name].setData(np.empty(0), np.empty(0))
                continue
            self._shown[name] = light
            shown.append(light[seen])
            self._curves[name].setData(axis_nm, light[seen])
        if not self.by_hand[1]:
            self.plot.setYRange(*self._range.fit(*extremes(*shown), now_s), padding=0)

    # --- the bands

    def show_bands(self, bands: Bands, *, of_file: bool) -> None:
        """Draw the bands that the traces are of, and say whether they are those of the file."""
        for region, (centre, half) in zip(self._regions, bands, strict=True):
            if not any(line.moving for line in region.lines) and not region.moving:
                with QSignalBlocker(region):
                    region.setRegion((centre - half, centre + half))
        self._label(bands)
        self.form.show_bands(bands)
        self.reset_button.setVisible(not of_file)

    def can_move(self, able: bool) -> None:
        """Let the bands be dragged, or not."""
        for region in self._regions:
            region.setMovable(able)
        self.bands_button.setEnabled(able)

    @property
    def bands(self) -> Bands:
        """Get the bands as they are drawn."""
        first, second = (_band(*sorted(region.getRegion())) for region in self._regions)
        return first, second

    def _label(self, bands: Bands) -> None:
        for label, (centre, half) in zip(self._labels, bands, strict=True):
            label.setText(f"{centre:g} ± {half:g}")

    def _dragging(self) -> None:
        self._label(self.bands)

    def _dragged(self) -> None:
        self.bands_wanted.emit(self.bands)

    def table(self) -> PlotTable:
        """Copy the spectra in view."""
        left, right = self.plot.getViewBox().viewRange()[0]
        seen = (self._wavelength_nm >= left) & (self._wavelength_nm <= right)
        columns = [Column("wavelength", "nm", self._wavelength_nm[seen])]
        columns += [Column(name, "counts", light[seen].copy()) for name, light in self._shown.items()]
        return PlotTable("spectrum", tuple(columns))


def _label(region: Any) -> Any:
    made = pg.InfLineLabel(region.lines[1], position=0.93, anchors=[(0, 0), (0, 0)])
    made.setFont(theme.font(9.0))
    return made


def _band(low_nm: float, high_nm: float) -> BandNm:
    """Centre and half width in whole steps."""
    centre = round(0.5 * (low_nm + high_nm) / STEP_NM) * STEP_NM
    half = max(LEAST_HALF_NM, round(0.5 * (high_nm - low_nm) / STEP_NM) * STEP_NM)
    return round(centre, 2), round(half, 2)
