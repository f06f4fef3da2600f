"""One plot of the window with its header: title, legend, a note, a button to keep a picture or the numbers of it."""

from typing import Any

import pyqtgraph as pg
from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QAction, QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from gui import theme
from gui.elided_label import ElidedLabel

AXIS_WIDTH = 56  # the same for all plots on one time axis, so that their times stand above one another
TIME = "Time (s)"
FORMATS = {"png": "Picture (PNG)", "svg": "Drawing (SVG)", "csv": "Numbers in view (CSV)"}


class AxisViewBox(pg.ViewBox):
    """Mouse in the plot moves and zooms the horizontal axis only (unless `free`), on the vertical axis that one."""

    def __init__(self, *, free: bool) -> None:
        super().__init__(enableMenu=False)
        self._free = free
        self.moved_axis: int | None = None

    def wheelEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802 - Qt's name
        """Zoom around the mouse."""
        self.moved_axis = 0 if axis is None and not self._free else axis
        super().wheelEvent(ev, self.moved_axis)

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802 - Qt's name
        """Move, with the right button zoom."""
        self.moved_axis = 0 if axis is None and not self._free else axis
        super().mouseDragEvent(ev, self.moved_axis)


class PlotPane(QWidget):
    """A header and below it plots, one above the other on one horizontal axis.

    Parameters
    ----------
    axis   what the horizontal axis is, with its unit
    free   the mouse in the plot moves both axes
    solid  colours fill the plot, so that words in it need a ground of their own

    Signals
    -------
    export_wanted(format)  a key of FORMATS
    moved(plot)            somebody has moved or zoomed this pg.PlotItem by hand
    reset()                a double click: back to auto
    recoloured()           there is another theme
    """

    export_wanted = pyqtSignal(str)
    moved = pyqtSignal(object)
    reset = pyqtSignal()
    recoloured = pyqtSignal()

    def __init__(
        self,
        title: str,
        rows: int = 1,
        *,
        axis: str = TIME,
        free: bool = False,
        solid: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._solid = solid
        self._free = free
        self.title = title
        self.axis = axis
        self.simulated = False
        self.setAccessibleName(title)
        self.canvas: Any = pg.GraphicsLayoutWidget(parent=self)
        self.canvas.setAccessibleName(f"Plot: {title}")
        self.canvas.ci.layout.setContentsMargins(0, 6, 6, 0)
        self.canvas.ci.layout.setSpacing(0)
        self.plots: tuple[Any, ...] = tuple(self._plot(row) for row in range(rows))
        self._watermark = _watermark(self.plots[0])
        self._title = QLabel(title)
        self._title.setFont(theme.font(9.5, bold=True))
        self.legend = QLabel("")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setFont(theme.font(9.0))
        self.legend.setMinimumWidth(1)
        self.note = ElidedLabel()
        self.note.setFont(theme.font(9.0))
        self.note.setAlignment(Qt.Alignment(Qt.AlignmentFlag.AlignRight) | Qt.AlignmentFlag.AlignVCenter)
        self.header = QHBoxLayout()
        self.header.setContentsMargins(6, 0, 2, 0)
        self.header.setSpacing(10)
        for widget in (self._title, self.legend):
            self.header.addWidget(widget)
        self.header.addWidget(self.note, 1)
        self.header.addWidget(self._export_button())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(self.header)
        outer.addWidget(self.canvas, 1)
        self.setMinimumHeight(90)
        self.canvas.scene().sigMouseClicked.connect(self._clicked)
        self.recolour()

    def _plot(self, row: int) -> Any:
        plot: Any = self.canvas.addPlot(row=row, col=0, viewBox=AxisViewBox(free=self._free))
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.getAxis("left").setWidth(round(AXIS_WIDTH * theme.scale()))
        for name in ("left", "bottom"):
            plot.getAxis(name).enableAutoSIPrefix(False)
            plot.getAxis(name).setStyle(tickFont=theme.font(8.5), tickTextOffset=3)
        view = plot.getViewBox()
        view.disableAutoRange()
        view.setDefaultPadding(0.0)
        view.sigRangeChangedManually.connect(lambda _: self.moved.emit(plot))
        return plot

    def _export_button(self) -> QToolButton:
        button = QToolButton()
        button.setText("Export")
        button.setFont(theme.font(9.0))
        button.setAutoRaise(True)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setToolTip(f"Keep this plot as a picture, or the numbers that are in view (Ctrl+E): {self.title}")
        button.setAccessibleName(f"Export {self.title}")
        menu = QMenu(button)
        for name, text in FORMATS.items():
            action = QAction(f"{text} ...", menu)
            action.triggered.connect(lambda _=False, name=name: self.export_wanted.emit(name))
            menu.addAction(action)
        button.setMenu(menu)
        self.export_menu = menu
        return button

    @property
    def pixels(self) -> int:
        """Get how many pixels wide the plots are."""
        return max(1, int(self.plots[0].getViewBox().width()))

    def mark_simulated(self, simulated: bool) -> None:
        """Say in the plots whether what they show is simulated."""
        self.simulated = simulated
        self._watermark.setVisible(simulated)

    def label(self, plot: Any, side: str, text: str) -> None:
        """Write what an axis is, with its unit."""
        axis = plot.getAxis(side)
        if axis.labelText != text:
            axis.setLabel(text, **{"font-size": "9pt"})

    def say(self, note: str, kind: str = "faint") -> None:
        """Write a note at the right, in one of the theme's colours."""
        self.note.say(note, getattr(theme.current(), kind))

    def recolour(self) -> None:
        """Take the colours of the theme."""
        look = theme.current()
        self.canvas.setBackground(look.background)
        for plot in self.plots:
            for name in ("left", "bottom"):
                plot.getAxis(name).setPen(look.pen("faint"))
                plot.getAxis(name).setTextPen(look.pen("text"))
        mark = self._watermark
        mark.setColor(_transparent(look.alarm, 170))
        mark.fill = pg.mkBrush(_transparent(look.background, 190)) if self._solid else pg.mkBrush(None)
        mark.update()
        self.recoloured.emit()

    def _clicked(self, click: Any) -> None:
        if click.double():
            self.reset.emit()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Notice another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self.recolour()


def _watermark(plot: Any) -> Any:
    mark: Any = pg.TextItem("SIMULATED", anchor=(1.0, 0.0))
    mark.setFont(theme.font(10.0, bold=True))
    mark.setParentItem(plot.getViewBox())
    mark.setZValue(100)
    mark.setVisible(False)
    view = plot.getViewBox()

    def place() -> None:
        mark.setPos(view.width() - 4, 2)

    view.sigResized.connect(lambda _: place())
    place()
    return mark


def _transparent(colour: str, alpha: int) -> QColor:
    made = QColor(colour)
    made.setAlpha(alpha)
    return made


def swatch(colour: str, text: str) -> str:
    """Write an entry of a legend."""
    return f'<span style="color:{colour}">━</span>&nbsp;{text.replace(" ", "&nbsp;")}'
