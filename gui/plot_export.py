"""What is kept of a plot: a picture (PNG), a drawing (SVG) or the numbers in view with their units (CSV).

The picture is taken at once, by the thread of the window; files are written by another one, whole or not at all.
"""

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PyQt5.QtCore import QBuffer, QByteArray, QIODevice, QObject, QRect, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QImage, QPainter, QTextDocument
from PyQt5.QtSvg import QSvgGenerator

from gui import theme
from gui.colour_bar import ColourBar
from gui.plot_pane import PlotPane
from gui.plot_table import RunLabel

SHARPER = 2.0  # pixels of a picture per pixel of the screen
TITLE_LINES = 2


def paint(pane: PlotPane, painter: QPainter, area: QRectF, label: RunLabel) -> None:
    """Paint a plot as it stands, with a title above it."""
    look = theme.current()
    painter.fillRect(area, QColor(look.background))
    painter.setFont(theme.font(9.0))
    line = painter.fontMetrics().height() + 2.0
    painter.setPen(QColor(look.alarm if label.simulated else look.text))
    shown = painter.fontMetrics().elidedText(label.line, Qt.TextElideMode.ElideRight, int(area.width()) - 12)
    painter.drawText(QRectF(area.left() + 6, area.top(), area.width() - 12, line), Qt.AlignmentFlag.AlignVCenter, shown)
    second = QRectF(area.left() + 6, area.top() + line, area.width() - 12, line)
    legend = QTextDocument()
    legend.setDefaultFont(theme.font(9.0))
    legend.setDocumentMargin(0)
    legend.setHtml(f'<span style="color:{look.text}"><b>{pane.title}</b> &nbsp; {pane.legend.text()}</span>')
    painter.save()
    painter.translate(second.topLeft())
    legend.drawContents(painter)
    painter.restore()
    for bar in pane.findChildren(ColourBar):
        width = float(bar.sizeHint().width())
        left = second.left() + legend.idealWidth() + 16
        bar.paint(painter, QRectF(left, second.top(), min(width, second.right() - left), line))
    top = area.top() + TITLE_LINES * line
    bottom = area.bottom()
    if not pane.plots[-1].getAxis("bottom").labelText:  # on the screen the lowest plot says it for all
        bottom -= line
        painter.setPen(QColor(look.text))
        painter.drawText(QRectF(area.left(), bottom, area.width(), line), Qt.AlignmentFlag.AlignCenter, pane.axis)
    pane.canvas.render(painter, QRectF(area.left(), top, area.width(), bottom - top), pane.canvas.rect())


def _size(pane: PlotPane) -> QSize:
    line = pane.fontMetrics().height() + 4
    lines = TITLE_LINES + (not pane.plots[-1].getAxis("bottom").labelText)
    return QSize(pane.canvas.width(), pane.canvas.height() + lines * line)


def picture(pane: PlotPane, label: RunLabel) -> QImage:
    """Take a picture of a plot as it stands."""
    size = _size(pane)
    made = QImage(size * SHARPER, QImage.Format.Format_RGB32)
    made.setDevicePixelRatio(SHARPER)
    painter = QPainter(made)
    try:
        paint(pane, painter, QRectF(0, 0, size.width(), size.height()), label)
    finally:
        painter.end()
    return made


def drawing(pane: PlotPane, label: RunLabel) -> bytes:
    """Draw a plot as it stands, as SVG."""
    size = _size(pane)
    room = QBuffer()
    generator = QSvgGenerator()
    generator.setOutputDevice(room)
    generator.setSize(size)
    generator.setViewBox(QRect(0, 0, size.width(), size.height()))
    generator.setTitle(label.line)
    painter = QPainter(generator)
    try:
        paint(pane, painter, QRectF(0, 0, size.width(), size.height()), label)
    finally:
        painter.end()
    return bytes(room.data())


def png_bytes(image: QImage) -> bytes:
    """Write a picture as PNG."""
    data = QByteArray()
    room = QBuffer(data)
    room.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(room, "PNG")
    return bytes(data)


class PlotExport(QObject):
    """Writes plots to files.

    Signals
    -------
    kept(path)         the file is there
    failed(path, why)  it is not
    """

    kept = pyqtSignal(str)
    failed = pyqtSignal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work: ThreadPoolExecutor | None = None

    def keep(self, path: Path, make: Callable[[], bytes]) -> None:
        """Write what `make` returns, which is called in another thread, in the place of `path`."""
        if self._work is None:
            self._work = ThreadPoolExecutor(1, "export of a plot")
        self._work.submit(self._write, path, make)

    def close(self) -> None:
        """Wait until everything is written."""
        work, self._work = self._work, None
        if work is not None:
            work.shutdown(wait=True)

    def _write(self, path: Path, make: Callable[[], bytes]) -> None:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(make())
            beside.replace(path)
        except (OSError, ValueError, MemoryError) as error:
            beside.unlink(missing_ok=True)
            self.failed.emit(str(path), f"The plot was not kept: {error}. Choose another folder or make room, and try again.")
        else:
            self.kept.emit(str(path))


def file_name(stem: str, plot: str, ending: str, taken: Collection[str] = ()) -> str:
    """Propose a name that is not taken: "run_traces.png", "run_traces_2.png"."""
    base = f"{stem or 'plot'}_{plot}"
    names = (f"{base}{'' if number == 1 else f'_{number}'}.{ending}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
