"""The colours of the waterfall, and their legend in counts."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QImage, QPainter, QPaintEvent
from PyQt5.QtWidgets import QWidget

from gui import theme

COLOURS = "magma"  # perceptually uniform, and told apart with any colour vision (van der Walt and Smith, 2015)
STEPS = 255  # index 0 is left for "nothing here"
Levels = tuple[float, float]


def colour_table(nothing: str) -> NDArray[np.uint8]:
    """Make the table of 256 colours, RGBA (256, 4); the first is that of places without a frame."""
    table = np.empty((256, 4), np.uint8)
    colours: Any = pg.colormap.get(COLOURS)
    table[1:] = colours.getLookupTable(nPts=STEPS, alpha=True)
    empty = QColor(nothing)
    table[0] = (empty.red(), empty.green(), empty.blue(), 255)
    return table


def colour_index(light: NDArray[np.float32], levels: Levels) -> NDArray[np.uint8]:
    """Choose colours of counts, by the square root, so that weak light shows beside strong; NaN is index 0."""
    low, high = levels
    part = np.clip((light - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    nothing = np.isnan(part)
    index = (np.sqrt(np.where(nothing, 0.0, part)) * (STEPS - 1) + 1.5).astype(np.uint8)
    index[nothing] = 0
    return index


class ColourBar(QWidget):
    """The legend: a strip of all colours and the counts at its ends and in its middle."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._levels: Levels = (0.0, 1.0)
        self.setToolTip("Counts above the dark per colour, by the square root. L fits the colours to what is in view.")
        self.setAccessibleName("Legend of the waterfall in counts")

    def show_levels(self, levels: Levels) -> None:
        """Take the counts of the first and the last colour."""
        if levels != self._levels:
            self._levels = levels
            self.update()

    @property
    def marks(self) -> tuple[str, str, str]:
        """Get what stands at the beginning, in the middle and at the end."""
        low, high = self._levels
        return f"{low:.0f}", f"{low + 0.25 * (high - low):.0f}", f"{high:.0f} counts"

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for enough room."""
        return QSize(round(290 * theme.scale()), self.fontMetrics().height())

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint strip and counts."""
        painter = QPainter(self)
        self.paint(painter, QRectF(self.rect()))
        painter.end()

    def paint(self, painter: QPainter, area: QRectF) -> None:
        """Paint into an area, also of a picture that is kept."""
        table = np.ascontiguousarray(colour_table(theme.current().background)[1:])
        strip = QImage(table.tobytes(), STEPS, 1, QImage.Format.Format_RGBA8888)
        metrics = painter.fontMetrics()
        low, middle, high = self.marks
        left = metrics.horizontalAdvance(low) + 4.0
        right = metrics.horizontalAdvance(high) + 4.0
        bar = QRectF(area.left() + left, area.top() + 3, max(10.0, area.width() - left - right), area.height() - 6)
        painter.drawImage(bar, strip)
        painter.setPen(QColor(theme.current().text))
        centre = int(Qt.AlignmentFlag.AlignVCenter)
        painter.drawText(area, centre | int(Qt.AlignmentFlag.AlignLeft), low)
        painter.drawText(area, centre | int(Qt.AlignmentFlag.AlignRight), high)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(bar, int(Qt.AlignmentFlag.AlignCenter), middle)
