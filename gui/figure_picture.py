"""The figure of a record as a picture, drawn in a thread, in the colours of both themes; and the widget that shows it."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PyQt5.QtCore import QEvent, QSize, Qt
from PyQt5.QtGui import QColor, QImage, QPainter, QPaintEvent, QPixmap
from PyQt5.QtWidgets import QSizePolicy, QWidget

from gui import theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWING = threading.Lock()  # matplotlib draws one figure at a time
WIDTH_IN, HEIGHT_IN, DPI = 10.5, 5.4, 150  # a window has less height than a page
SMALLEST = QSize(320, 220)

Pictures = Mapping[str, QImage]  # by the name of the theme


def pictures_of(figure: "Figure") -> Pictures:
    """Draw a figure in the colours of every theme; slow: for a thread, which holds DRAWING."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_size_inches(WIDTH_IN, HEIGHT_IN)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    light = np.array(canvas.buffer_rgba(), np.uint8)[:, :, :3]
    return {theme.LIGHT.name: _image(light), theme.DARK.name: _image(darkened(light, theme.DARK.background))}


def darkened(light: NDArray[np.uint8], background: str) -> NDArray[np.uint8]:
    """Turn lightness round and keep hue (uint8, (rows, columns, 3)); white becomes `background` ("#rrggbb"), black white."""
    turned = light + (255.0 - light.max(axis=2, keepdims=True) - light.min(axis=2, keepdims=True))
    least = np.array(QColor(background).getRgb()[:3], np.float64)
    return np.round(least + turned * (255.0 - least) / 255.0).astype(np.uint8)


def _image(rgb: NDArray[np.uint8]) -> QImage:
    rows, columns, _ = rgb.shape
    return QImage(rgb.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()  # it owns its bytes


class FigurePicture(QWidget):
    """Shows a figure as large as there is room, in the colours of the theme."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: Pictures = {}
        self._scaled: tuple[str, QSize, QPixmap] | None = None
        self.setMinimumSize(SMALLEST)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_pictures(self, pictures: Pictures) -> None:
        """Show the picture of the theme in use; none of an empty mapping."""
        self._pictures, self._scaled = pictures, None
        self.update()

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint it in the middle."""
        look = theme.current()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(look.background))
        picture = self._pictures.get(look.name)
        if picture is not None:
            ratio = self.devicePixelRatioF()
            room = self.size() * ratio
            if self._scaled is None or self._scaled[:2] != (look.name, room):
                image = picture.scaled(room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
                image.setDevicePixelRatio(ratio)
                self._scaled = look.name, room, QPixmap.fromImage(image)
            pixmap = self._scaled[2]
            at = self.rect().center() - pixmap.rect().center() / ratio
            painter.drawPixmap(at, pixmap)
        painter.end()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self.update()
