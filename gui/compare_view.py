"""Two runs drawn over each other, their numbers side by side, and the differences of what was asked."""

from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.claims_table import ROW_MARGIN
from gui.run_compare import TEST, Comparison, Side
from gui.switching_view import SHOWN_NM
from rig.report.summary import value_text

Floats = NDArray[np.float64]
AXIS_WIDTH = 70  # pixels, so that both time axes lie above each other
LEGEND = "&nbsp;&nbsp; counts per frame; spectra: ON ───, OFF ·····"
HEADINGS = ("quantity", "A", "B", "B − A", "")
_VERDICTS = {True: "≠ beyond", False: "≈ within", None: "no interval"}


class CompareView(QWidget):
    """Shows a Comparison. Run A and run B have a colour each; ON is drawn through, OFF dotted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Comparison | None = None
        self.names = QLabel()
        self.names.setTextFormat(Qt.TextFormat.RichText)
        self.names.setAccessibleName("runs that are compared")
        self.plots = pg.GraphicsLayoutWidget()
        self.plots.setAccessibleName("traces and mean spectra of both runs")
        self.plots.setToolTip("both runs from their first frame on; mouse: zoom, right button: everything again")
        self._at_520, self._at_535, self._spectra = self._make_plots()
        self.table = self._make_table()
        self.test = QLabel(TEST)
        self.test.setWordWrap(True)
        self.sequence, self.bench = (_text(name) for name in ("differences of the sequences", "differences of the benches"))
        numbers = QWidget()
        inside = QVBoxLayout(numbers)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.table, 1)
        inside.addWidget(self.test)
        self.tabs = QTabWidget()
        for page, name in ((numbers, "&Numbers"), (self.sequence, "Se&quences"), (self.bench, "&Benches")):
            self.tabs.addTab(page, name)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.plots)
        splitter.addWidget(self.tabs)
        splitter.setSizes([500, 500])
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.names)
        layout.addWidget(splitter, 1)

    def _make_plots(self) -> tuple[Any, Any, Any]:
        layout: Any = self.plots.ci
        upper, spectra = layout.addPlot(0, 0), layout.addPlot(0, 1, 2, 1)
        lower = layout.addPlot(1, 0)
        lower.setXLink(upper)
        for plot, label in ((upper, "520 nm"), (lower, "535 nm"), (spectra, "mean counts")):
            plot.setLabel("left", label)
            plot.showGrid(x=True, y=True, alpha=0.15)
        for plot in (upper, lower):
            plot.getAxis("left").setWidth(AXIS_WIDTH)
        lower.setLabel("bottom", "time since the first frame (s)")
        spectra.setLabel("bottom", "wavelength (nm)")
        spectra.setXRange(*SHOWN_NM, padding=0)
        spectra.setAutoVisible(y=True)
        layout.layout.setColumnStretchFactor(0, 3)
        layout.layout.setColumnStretchFactor(1, 2)
        return upper, lower, spectra

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, len(HEADINGS))
        table.setHorizontalHeaderLabels(HEADINGS)
        table.setAccessibleName("numbers of both runs")
        table.setToolTip(TEST)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        if (rows := table.verticalHeader()) is not None:
            rows.hide()
            rows.setMinimumSectionSize(1)
            rows.setDefaultSectionSize(self.fontMetrics().height() + ROW_MARGIN)
        if (headings := table.horizontalHeader()) is not None:
            headings.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            headings.setHighlightSections(False)
        return table

    def show_comparison(self, comparison: Comparison) -> None:
        """Show two runs."""
        self._shown = comparison
        self._draw()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and self._shown is not None:
            self._draw()

    # --- drawing

    def _draw(self) -> None:
        look, shown = theme.current(), self._shown
        if shown is None:
            return
        self.plots.setBackground(look.background)
        for plot in (self._at_520, self._at_535, self._spectra):
            plot.clear()
            for side in ("bottom", "left"):
                plot.getAxis(side).setPen(look.faint)
                plot.getAxis(side).setTextPen(look.text)
        self.test.setStyleSheet(f"color: {look.faint}")
        sides = ((shown.a, look.first), (shown.b, look.second))
        for side, colour in sides:
            self._draw_side(side, QColor(colour))
        self.names.setText("&nbsp;&nbsp; ".join(_name(letter, *one) for letter, one in zip("AB", sides, strict=True)) + LEGEND)
        self._fill_table(shown)
        self.sequence.setHtml(_difference_html(shown.sequence, "The sequences are the same."))
        self.bench.setHtml(_difference_html(shown.bench, "The benches are the same."))

    def _draw_side(self, side: Side, colour: QColor) -> None:
        pen = pg.mkPen(colour, width=1)
        for plot, values in ((self._at_520, side.at_520), (self._at_535, side.at_535)):
            if len(values):
                plot.addItem(pg.PlotCurveItem(side.time_s, values, pen=pen, connect="finite"))
        dotted = pg.mkPen(colour, width=1, style=Qt.PenStyle.DotLine)
        for light, one in ((side.mean_off, dotted), (side.mean_on, pen)):
            if light is not None:
                self._spectra.addItem(pg.PlotCurveItem(side.wavelength_nm, light, pen=one))

    def _fill_table(self, shown: Comparison) -> None:
        look = theme.current()
        self.table.setRowCount(len(shown.differences))
        for row, one in enumerate(shown.differences):
            numbers = map(value_text, (one.a, one.b, one.value))
            cells = (one.quantity, *numbers, _verdict(one.value.value, one.beyond))
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if one.beyond and column >= 3:
                    item.setForeground(QColor(look.warning))
                    item.setFont(theme.font(self.font().pointSizeF(), bold=True))
                self.table.setItem(row, column, item)


def _verdict(value: float | None, beyond: bool | None) -> str:
    return "" if value is None else _VERDICTS[beyond]


def _name(letter: str, side: Side, colour: str) -> str:
    words = f"{letter}: {escape(side.label)}"
    if side.simulated:
        words += " (SIMULATED)"
    if side.reason:
        words += f" - no numbers, because {escape(side.reason)}"
    return f'<span style="color: {colour}"><b>{words}</b></span>'


def _text(name: str) -> QTextBrowser:
    browser = QTextBrowser()
    browser.setAccessibleName(name)
    browser.setToolTip(f"{name}: lines of A only begin with -, lines of B only with +")
    browser.setOpenLinks(False)
    return browser


def _difference_html(lines: tuple[str, ...], equal: str) -> str:
    look = theme.current()
    if not lines:
        return f"<p>{escape(equal)}</p>"
    colours = {"-": look.first, "+": look.second, "@": look.faint}
    body = "\n".join(f'<span style="color: {colours.get(line[:1], look.text)}">{escape(line)}</span>' for line in lines)
    return f'<pre style="white-space: pre-wrap">{body}</pre>'
