"""The newest spectrum of a live view, drawn as it comes, with the numbers that one aligns by."""

from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QEvent
from PyQt5.QtWidgets import QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.plot_pane import swatch
from gui.run_feed import RunFeed

FRAME_MS = 66
SMALLEST_TOP = 500.0  # counts: noise alone must not fill the picture
SHRINK = 0.98  # of the top per frame, so that it follows falling light without jumping
FILM_NM = (450.0, 650.0)
NOTHING = "No live view so far. It fires short bursts and shows every newest spectrum here."


class LiveSpectrum(QWidget):
    """Follows one run file at a time, from `follow` to `close_feed`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.feed = RunFeed(self)
        self.feed.grown.connect(self._grown)
        self.feed.ended.connect(self._ended)
        self.path: Path | None = None
        self._said = ""
        self._top = SMALLEST_TOP
        self._best = 0.0
        self.numbers, self.note = QLabel(), QLabel(NOTHING)
        self.numbers.setFont(theme.font(13.0, bold=True, digits=True))
        self.numbers.setToolTip("light of the newest frame within 450 to 650 nm, and the most there was since the view began")
        self.numbers.setAccessibleName("Light of the newest frame")
        self.note.setWordWrap(True)
        self.canvas: Any = pg.PlotWidget()
        self.canvas.setAccessibleName("Spectrum of the live view")
        item = self.canvas.getPlotItem()
        item.setMenuEnabled(False)
        item.hideButtons()
        item.setMouseEnabled(x=True, y=False)
        item.setLabel("bottom", "Wavelength (nm)")
        item.setLabel("left", "Counts")
        item.getAxis("left").enableAutoSIPrefix(False)
        item.setXRange(*FILM_NM, padding=0)
        self._off, self._on = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._newest = pg.PlotCurveItem()
        for curve in (self._off, self._on, self._newest):
            item.addItem(curve)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for widget in (self.numbers, self.canvas, self.note):
            column.addWidget(widget, 1 if widget is self.canvas else 0)
        self._recolour()

    def follow(self, path: Path) -> None:
        """Show what is written into a run file."""
        if path == self.path:
            return
        self.path, self._best, self._top = path, 0.0, SMALLEST_TOP
        self._say("Live")
        self.feed.open(path)
        self.feed.start(FRAME_MS)

    def close_feed(self) -> None:
        """Let go of the file."""
        self.path = None
        self.feed.close()

    def _ended(self, how: str) -> None:
        self._say(f"The live view is over ({how}); its last spectrum stays")

    def _say(self, text: str) -> None:
        look = theme.current()
        curves = ((look.text, "newest"), (look.off, "mean OFF"), (look.on, "mean ON"))
        self._said = text
        self.note.setText(f"{text} &nbsp; {' &nbsp; '.join(swatch(colour, name) for colour, name in curves)}")

    def _grown(self) -> None:
        content, light = self.feed.content, self.feed.latest_spectrum()
        if content is None or light is None or not self.isVisible():
            return
        wavelength_nm: NDArray[np.float64] = content.run.wavelength_nm
        self._newest.setData(wavelength_nm, light)
        for state, curve in ((0, self._off), (1, self._on)):
            mean = self.feed.mean_spectrum(state)
            if mean is not None:
                curve.setData(wavelength_nm, mean)
        inside = (wavelength_nm >= FILM_NM[0]) & (wavelength_nm <= FILM_NM[1])
        if not inside.any():
            return
        shown = light[inside]
        peak, total = int(np.argmax(shown)), float(shown.sum())
        self._best = max(self._best, total)
        self.numbers.setText(
            f"light {total:,.0f} (best {self._best:,.0f})   peak {shown[peak]:,.0f} at {wavelength_nm[inside][peak]:.1f} nm"
        )
        self._top = max(1.15 * float(shown[peak]), self._top * SHRINK, SMALLEST_TOP)
        self.canvas.getPlotItem().setYRange(-0.03 * self._top, self._top, padding=0)

    def _recolour(self) -> None:
        look = theme.current()
        self.canvas.setBackground(look.background)
        for name in ("left", "bottom"):
            axis = self.canvas.getPlotItem().getAxis(name)
            axis.setPen(look.pen("faint"))
            axis.setTextPen(look.pen("text"))
        self._newest.setPen(look.pen("text"))
        self._off.setPen(look.pen("off"))
        self._on.setPen(look.pen("on"))
        self.note.setStyleSheet(f"color: {look.faint};")
        if self._said:
            self._say(self._said)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._recolour()
