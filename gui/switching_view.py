"""The results of a switching run: mean OFF and ON spectra with peak, width and intervals, and the paper's claims."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from gui import theme
from gui.claims_table import ClaimsTable
from gui.live_record import LiveRecord, Standing
from gui.result_view import ResultKind
from gui.side_work import Abandoned
from rig.analysis.statistics import Value, student_t
from rig.analysis.switching import SwitchingResult
from rig.report.summary import value_text

Floats = NDArray[np.float64]
SHOWN_NM = (480.0, 570.0)
STATES = (("OFF", "off"), ("ON", "on"))
BAND_ALPHA = 70
POINTS = 9.5


class SwitchingView(QWidget):
    """Spectra above, claims below; see gui.result_view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spectra = MeanSpectraPlot()
        self.claims = ClaimsTable()
        self.outcome = _label("whether the light switched with the voltage, and why or why not")
        self.outcome.setFont(theme.font(12.0, bold=True))
        meaning = "peak and full width at half maximum, ± half of the 95 % interval"
        self.lines = tuple(_label(f"{name}: {meaning}") for name, _ in STATES)
        self.footing = _label("what the numbers rest on")
        words = QHBoxLayout()
        words.addWidget(self.outcome, 2)
        for line in self.lines:
            words.addWidget(line, 1)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.spectra)
        splitter.addWidget(self.claims)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 0)
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(words)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.footing)
        self._found: Standing | None = None

    @property
    def widget(self) -> QWidget:
        """Get itself."""
        return self

    def show_found(self, found: Any) -> None:
        """Show what was found."""
        standing = cast(FoundRecord, found).standing
        self._found = standing
        record = standing.record
        if record.result is None or record.means is None:
            return
        result = record.result
        self.outcome.setText(f"{'switched' if result.switched else 'not switched'}: {result.reason}")
        for (name, _), line, peak, width in zip(STATES, self.lines, _peaks(result), _widths(result), strict=True):
            line.setText(f"{name}: peak {value_text(peak)}\nFWHM {value_text(width)}")
        self.spectra.show_means(record.run.path.stem, standing)
        self.claims.show_verdicts(record.verdicts)
        off, on = (int(n) for n in record.means.frames.sum(axis=0))
        cycles = len(result.per_cycle)
        words = [f"{off} OFF and {on} ON frames in {cycles} cycle{'s' if cycles != 1 else ''}, settled, assigned, unflagged"]
        if record.fluence is not None:
            words.append(" ".join(record.fluence.text().split()))
        self.footing.setText("; ".join(words))
        self._colour()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._colour()

    def _colour(self) -> None:
        look = theme.current()
        record = None if self._found is None else self._found.record
        switched = record is not None and record.result is not None and record.result.switched
        self.outcome.setStyleSheet(f"color: {look.good if switched else look.warning}")
        for label, colour in zip(self.lines, (look.off, look.on), strict=True):
            label.setStyleSheet(f"color: {colour}")
        self.footing.setStyleSheet(f"color: {look.faint}")


class FoundRecord:
    """What a SwitchingReduction found; see gui.result_view.Found."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.ending = standing.ending
        self.left = standing.left
        self.reason = "" if standing.record.result is not None else standing.record.reason


class SwitchingReduction:
    """One switching run; see gui.result_view.Reduction."""

    def __init__(self, path: Path) -> None:
        self._record = LiveRecord(path)

    def update(self, abandoned: Abandoned) -> FoundRecord:
        """Look at what is new."""
        return FoundRecord(self._record.update(abandoned))


class MeanSpectraPlot(pg.PlotWidget):  # type: ignore[misc]
    """Mean OFF and ON light with the interval of the mean, peaks and widths where there are."""

    def __init__(self) -> None:
        super().__init__()
        self._plot: Any = self.getPlotItem()
        self._shown: Standing | None = None
        self._name = ""
        self.setAccessibleName("mean spectra")
        self.setToolTip(
            "mean light per frame at OFF and ON; shaded: 95 % interval of the mean, by 20 part spectra; dashed: peak with its "
            "interval; bar: full width at half maximum. Mouse: zoom; Home: everything again"
        )
        self.setMinimumHeight(160)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._plot.setLabel("bottom", "wavelength (nm)")
        self._plot.setLabel("left", "mean counts per frame")
        self._plot.showGrid(x=True, y=True, alpha=0.15)
        self._plot.setXRange(*SHOWN_NM, padding=0)
        self._plot.enableAutoRange(axis="y")
        self._plot.setAutoVisible(y=True)

    def show_means(self, name: str, standing: Standing) -> None:
        """Draw the means of a run; the zoom stays."""
        self._name, self._shown = name, standing
        self._draw()

    def keyPressEvent(self, ev: Any) -> None:  # noqa: N802 - Qt's name
        """Show everything again on Home."""
        if ev.key() == Qt.Key.Key_Home:
            self._plot.setXRange(*SHOWN_NM, padding=0)
            self._plot.enableAutoRange(axis="y")
        else:
            super().keyPressEvent(ev)

    def changeEvent(self, a0: Any) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "_shown"):
            self._draw()

    def _draw(self) -> None:
        look = theme.current()
        self.setBackground(look.background)
        for side in ("bottom", "left"):
            axis = self._plot.getAxis(side)
            axis.setPen(look.faint)
            axis.setTextPen(look.text)
        if self._shown is None:
            return
        record, wavelength_nm = self._shown.record, self._shown.header.wavelength_nm
        means, result = record.means, record.result
        if means is None or result is None:
            return
        self._plot.clear()
        title = f"{'SIMULATED  ' if self._shown.header.simulated else ''}{self._shown.header.run_id}"
        self._plot.setTitle(title, color=look.faint, size=f"{POINTS}pt")
        for state, (peak, width) in enumerate(zip(_peaks(result), _widths(result), strict=True)):
            colour = QColor(getattr(look, STATES[state][1]))
            light = means.mean(state)
            self._draw_mean(wavelength_nm, light, interval(means.parts[state]), colour)
            self._draw_line(wavelength_nm, light, peak, width, colour)

    def _draw_mean(self, wavelength_nm: Floats, light: Floats, half: Floats | None, colour: QColor) -> None:
        if half is not None:
            shade = QColor(colour)
            shade.setAlpha(BAND_ALPHA)
            bounds = [pg.PlotCurveItem(wavelength_nm, light + sign * half, pen=None) for sign in (-1.0, 1.0)]
            for bound in bounds:
                self._plot.addItem(bound)
            self._plot.addItem(pg.FillBetweenItem(*bounds, brush=shade))
        self._plot.addItem(pg.PlotCurveItem(wavelength_nm, light, pen=pg.mkPen(colour, width=1)))

    def _draw_line(self, wavelength_nm: Floats, light: Floats, peak: Value, width: Value, colour: QColor) -> None:
        if peak.value is None:
            return
        dashed = pg.mkPen(colour, width=1, style=Qt.PenStyle.DashLine)
        self._plot.addItem(pg.InfiniteLine(peak.value, angle=90, pen=dashed))
        if peak.ci95 is not None:
            shade = QColor(colour)
            shade.setAlpha(BAND_ALPHA)
            region = pg.LinearRegionItem(peak.ci95, movable=False, brush=shade, pen=pg.mkPen(None))
            self._plot.addItem(region)
        bar = None if width.value is None else half_maximum(wavelength_nm, light, peak.value)
        if bar is not None:
            self._plot.addItem(pg.PlotCurveItem(np.array(bar[:2]), np.full(2, bar[2]), pen=pg.mkPen(colour, width=2)))


SWITCHING = ResultKind(SwitchingReduction, SwitchingView)


def _peaks(result: SwitchingResult) -> tuple[Value, Value]:
    return result.off_peak_nm, result.on_peak_nm


def _widths(result: SwitchingResult) -> tuple[Value, Value]:
    return result.off_fwhm_nm, result.on_fwhm_nm


def interval(parts: Floats) -> Floats | None:
    """Half of the 95 % interval of a mean of equal parts (k, pixels), by their scatter; None for fewer than 2."""
    if len(parts) < 2:
        return None
    return student_t(0.975, len(parts) - 1) * np.std(parts, axis=0, ddof=1) / np.sqrt(len(parts))


def half_maximum(wavelength_nm: Floats, light: Floats, peak_nm: float) -> tuple[float, float, float] | None:
    """Where the light falls to half of its height at the peak, left and right (nm), and that half (counts); to draw it."""
    top = int(np.argmin(np.abs(wavelength_nm - peak_nm)))
    half = 0.5 * float(light[top])
    below = np.flatnonzero(light < half)
    left, right = below[below < top], below[below > top]
    if not (half > 0 and len(left) and len(right)):
        return None
    a, b = int(left[-1]), int(right[0])
    return (
        float(np.interp(half, light[a : a + 2], wavelength_nm[a : a + 2])),
        float(np.interp(-half, -light[b - 1 : b + 1], wavelength_nm[b - 1 : b + 1])),
        half,
    )


def _label(meaning: str) -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setToolTip(meaning)
    label.setAccessibleDescription(meaning)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlags()
        | Qt.TextInteractionFlag.TextSelectableByMouse
        | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    return label
