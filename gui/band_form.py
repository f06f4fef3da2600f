"""The two bands as numbers: the way to move them without a mouse."""

from PyQt5.QtCore import QSignalBlocker, pyqtSignal
from PyQt5.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QMenu, QPushButton, QToolButton, QWidget, QWidgetAction

from gui.band_retrace import BandNm

NAMES = ("520 nm band", "535 nm band")
LEAST_HALF_NM = 0.05
MOST_HALF_NM = 50.0
Bands = tuple[BandNm, BandNm]


class BandForm(QWidget):
    """Centre and half width of both bands (nm).

    Signals
    -------
    chosen(bands)  somebody wants these: ((centre, half width), (centre, half width))
    reset          somebody wants those of the file
    """

    chosen = pyqtSignal(object)
    reset = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        for column, text in enumerate(("", "Centre", "Half width")):
            grid.addWidget(QLabel(text), 0, column)
        self._boxes: list[tuple[QDoubleSpinBox, QDoubleSpinBox]] = []
        for row, name in enumerate(NAMES, 1):
            grid.addWidget(QLabel(name), row, 0)
            boxes = (
                _box(f"Centre of the {name}", 0.0, 3000.0),
                _box(f"Half width of the {name}", LEAST_HALF_NM, MOST_HALF_NM),
            )
            for column, box in enumerate(boxes, 1):
                grid.addWidget(box, row, column)
            self._boxes.append(boxes)
        apply = QPushButton("Apply")
        apply.setToolTip("Reduce the traces of the whole run again with these bands. The run file is not changed.")
        apply.clicked.connect(lambda: self.chosen.emit(self.bands))
        back = QPushButton("Those of the file")
        back.setToolTip("Show the bands again that the run file was made with (R).")
        back.clicked.connect(lambda: self.reset.emit())
        grid.addWidget(apply, 3, 1)
        grid.addWidget(back, 3, 2)

    @property
    def bands(self) -> Bands:
        """Get what is in the boxes."""
        first, second = ((centre.value(), half.value()) for centre, half in self._boxes)
        return first, second

    def show_bands(self, bands: Bands) -> None:
        """Put these into the boxes."""
        for boxes, values in zip(self._boxes, bands, strict=True):
            for box, value in zip(boxes, values, strict=True):
                with QSignalBlocker(box):
                    box.setValue(value)


def _box(name: str, low: float, high: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(2)
    box.setSingleStep(0.1)
    box.setSuffix(" nm")
    box.setAccessibleName(name)
    box.setToolTip(name)
    return box


def band_button(form: BandForm) -> QToolButton:
    """Make the button that shows the form."""
    button = QToolButton()
    button.setText("Bands")
    button.setAutoRaise(True)
    button.setToolTip("Type centre and width of the bands (B); or drag them in the plot.")
    button.setAccessibleName("Bands of the traces")
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    menu = QMenu(button)
    action = QWidgetAction(menu)
    action.setDefaultWidget(form)
    menu.addAction(action)
    button.setMenu(menu)
    form.chosen.connect(lambda _: menu.hide())
    form.reset.connect(lambda: menu.hide())
    return button
