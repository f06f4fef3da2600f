"""What a run costs, in one row, and why its mode was chosen."""

from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtGui import QColor, QPalette
from PyQt5.QtWidgets import QGridLayout, QLabel, QWidget

from gui import theme
from gui.plan_sketch import PlanSketch, price_rows

PRICES = 6


class PriceStrip(QWidget):
    """Shows the price of a sketch, or dashes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pairs = [(QLabel("", self), QLabel("–", self)) for _ in range(PRICES)]
        self._why = QLabel("", self)
        self._why.setWordWrap(True)
        self._why.setTextFormat(Qt.TextFormat.PlainText)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for index, (name, value) in enumerate(self._pairs):
            value.setFont(theme.font(11.0, digits=True))
            grid.addWidget(name, 0, index)
            grid.addWidget(value, 1, index)
        grid.addWidget(self._why, 2, 0, 1, PRICES)
        self._recolour()

    def show_price(self, sketch: PlanSketch | None) -> None:
        """Show what a planned run costs; None takes the numbers away."""
        rows = price_rows(sketch.price, frames=sketch.frames) if sketch is not None else (("", "–", ""),) * PRICES
        for (name, value), (name_text, value_text, meaning) in zip(self._pairs, rows, strict=True):
            name.setText(name_text)
            value.setText(value_text)
            value.setAccessibleName(f"{name_text} {value_text}")
            for label in (name, value):
                label.setToolTip(meaning)
        self._why.setText(f"{sketch.mode}: {sketch.why}" if sketch is not None else "")

    def _recolour(self) -> None:
        for label in (self._why, *(name for name, _ in self._pairs)):
            palette = label.palette()
            palette.setColor(QPalette.ColorRole.WindowText, QColor(theme.current().faint))
            label.setPalette(palette)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._recolour()
