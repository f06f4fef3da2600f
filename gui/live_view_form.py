"""What a live view is started with: voltage, fluence, how long at most."""

from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from drivers.errors import ConfigError
from gui import theme
from rig.bench import Bench
from rig.config_file import check
from rig.measurements.live_view import LiveView
from rig.sequence import Sequence

FIELDS = (
    ("voltage_v", "Voltage", "V", "0: light without a voltage; else every second burst is at 0 V"),
    ("fluence_uj_cm2", "Fluence", "µJ/cm²", "of the pump"),
    ("duration_s", "At most", "s", "it ends by itself after so long; Stop (F12) ends it before"),
)
NAME = "live_view.toml"


class LiveViewForm(QWidget):
    """Three boxes and a button.

    Signals
    -------
    start_asked  text and name of the sequence
    """

    start_asked = pyqtSignal(str, str)

    def __init__(self, bench: Bench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._boxes: dict[str, QLineEdit] = {}
        self.message = QLabel()
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setWordWrap(True)
        self.message.hide()
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.message)
        title = QLabel("Live view")
        title.setFont(theme.font(11.0, bold=True))
        row.addWidget(title)
        for name, label, unit, tip in FIELDS:
            box = QLineEdit(f"{_first(name, bench):g}", self)
            box.setMaximumWidth(round(64 * theme.scale()))
            box.setAlignment(Qt.AlignmentFlag.AlignRight)
            box.setAccessibleName(f"Live view: {label.lower()} in {unit}")
            box.returnPressed.connect(self.press)
            self._boxes[name] = box
            for widget in (QLabel(label, self), box, QLabel(unit, self)):
                widget.setToolTip(f"{label}: {tip}")
                row.addWidget(widget)
        row.addStretch(1)
        self.start = QPushButton("Start &live view", self)
        self.start.setToolTip("Short bursts, one after the other, for alignment (Alt+L); everything is off in the end")
        self.start.setAccessibleName("Start live view")
        self.start.setAutoDefault(False)
        self.start.clicked.connect(lambda: self.press())
        row.addWidget(self.start)
        self._recolour()

    def enter(self, name: str, text: str) -> None:
        """Put a text into a box."""
        self._boxes[name].setText(text)

    def press(self) -> None:
        """Ask for the start, or say what is wrong."""
        if not self.start.isEnabled():
            return
        values: dict[str, object] = {name: _number(box.text()) for name, box in self._boxes.items()}
        found = check(LiveView, values)
        if isinstance(found, tuple):
            self.say("\n".join(f"✖ {reason.where}: {reason.message} [{reason.code}]" for reason in found))
            return
        self.say("")
        try:
            text = Sequence.of(found, title="Live view", sample="alignment", mode="gated").source_text
        except ConfigError as error:
            self.say(str(error))
            return
        self.start_asked.emit(text, NAME)

    def say(self, text: str) -> None:
        """Say why not; "" for nothing."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def enable(self, on: bool, why_not: str) -> None:
        """Let it be started or not."""
        self.start.setEnabled(on)
        self.start.setToolTip(
            why_not or "Short bursts, one after the other, for alignment (Alt+L); everything is off in the end"
        )

    def _recolour(self) -> None:
        self.message.setStyleSheet(f"color: {theme.current().alarm};")

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._recolour()


def _number(text: str) -> object:
    try:
        return float(text.strip())
    except ValueError:
        return text


def _first(name: str, bench: Bench) -> float:
    """What a box begins with; a fluence that this bench has."""
    value = float(LiveView.model_fields[name].default)
    if name != "fluence_uj_cm2":
        return value
    try:
        law = None if bench.attenuator is None else bench.fluence_law()
    except ConfigError:  # the calibration cannot be read: the engine says so when it is started
        law = None
    if law is not None:
        return min(max(value, law.lowest), law.open)
    return bench.pump.fluence_uj_cm2
