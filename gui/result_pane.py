"""What results of sweeps and maps look like around their plots: a sentence, two plots one above the other, more words."""

from typing import Any

import pyqtgraph as pg
from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtWidgets import QLabel, QSplitter, QVBoxLayout, QWidget

from gui import theme

AXIS_WIDTH = 90
OUTCOME_POINTS, LINES_POINTS = 12.0, 9.5


class ResultPane(QWidget):
    """Shows what was found; a view gives it two plots and draws into them. See gui.result_view.

    Parameters
    ----------
    outcome, lines  accessible names of the sentence above and of the words below
    upper, lower    pyqtgraph plots; the upper one is twice as high
    """

    def __init__(self, outcome: str, lines: str, upper: Any, lower: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.outcome = label_for(outcome, OUTCOME_POINTS)
        self.lines = label_for(lines, LINES_POINTS)
        self._plots = (upper, lower)
        splitter = QSplitter(Qt.Orientation.Vertical)
        for plot, stretch in ((upper, 2), (lower, 1)):
            splitter.addWidget(plot)
            splitter.setStretchFactor(splitter.count() - 1, stretch)
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.outcome)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.lines)
        self._found: Any = None

    @property
    def widget(self) -> QWidget:
        """Get itself."""
        return self

    def draw(self, result: Any) -> None:
        """Draw a result into the plots, which are empty; a view's own."""
        raise NotImplementedError

    def show_found(self, found: Any) -> None:
        """Show what was found."""
        self._found = found
        first, *more = found.record.lines
        self.outcome.setText(first if found.ending else f"so far: {first}")
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
            for plot in self._plots:
                plot.getPlotItem().enableAutoRange()
        else:
            super().keyPressEvent(a0)

    def _draw(self) -> None:
        look = theme.current()
        for plot in self._plots:
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
        self._plots[0].getPlotItem().setTitle(title, color=look.faint, size="9.5pt")
        self.draw(result)


def plot_pane(name: str, left: str, bottom: str) -> Any:
    """Make a plot with fixed width on the left, so that axes below each other are in line."""
    plot: Any = pg.PlotWidget()
    plot.setAccessibleName(name)
    plot.setMinimumHeight(110)
    item = plot.getPlotItem()
    item.setLabel("left", left)
    item.setLabel("bottom", bottom)
    for side in ("left", "bottom"):
        item.getAxis(side).enableAutoSIPrefix(False)
    item.getAxis("left").setWidth(round(AXIS_WIDTH * theme.scale()))
    item.showGrid(x=True, y=True, alpha=0.15)
    return plot


def label_for(meaning: str, points: float) -> QLabel:
    """Make a label of plain text, of so many points, that says what it means."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setFont(theme.font(points, bold=points > 10))
    label.setToolTip(meaning)
    label.setAccessibleDescription(meaning)
    return label
