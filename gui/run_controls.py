"""Start, Pause after this block, Stop: always in sight, with the state of the engine and what is known of the hardware."""

from collections.abc import Sequence

from PyQt5.QtCore import QEvent, QObject, Qt, pyqtSignal
from PyQt5.QtGui import QKeyEvent
from PyQt5.QtWidgets import (
    QApplication,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from gui import theme
from gui.engine_link import GOES_ON
from rig.control import EngineStatus, HardwareWords
from rig.report.summary import duration_text
from rig.safety import Confirmation

STOP_KEY = Qt.Key.Key_F12
STOP_KEY_NAME, START_KEY, PAUSE_KEY = "F12", "F5", "F6"
SPEEDS: tuple[tuple[str, str, float | None], ...] = (
    ("real", "real time", 1.0),
    ("ten", "10 times", 10.0),
    ("free", "as fast as possible", None),
)
_STATES = {
    "idle": "Ready",
    "running": "Running",
    "paused": "Paused, everything off",
    "stopping": "Stopping safely",
    "latched": "FAULT, waits to be acknowledged",
}


class StopKey(QObject):
    """Makes one key mean Stop wherever the focus is: in a text, in a dialog, in a menu."""

    pressed = pyqtSignal()

    def __init__(self, application: QApplication) -> None:
        super().__init__()
        self._application = application
        application.installEventFilter(self)

    def close(self) -> None:
        """Let go of the key."""
        self._application.removeEventFilter(self)

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """See every key before anybody else does."""
        if a1 is not None and a1.type() == QEvent.Type.KeyPress and isinstance(a1, QKeyEvent):
            if a1.key() == STOP_KEY:
                if not a1.isAutoRepeat():
                    self.pressed.emit()
                return True
        return False


class RunControls(QFrame):
    """The row at the top of the window.

    Signals
    -------
    start_asked, pause_asked, resume_asked, stop_asked
    speed_asked  str: one of SPEEDS
    """

    start_asked = pyqtSignal()
    pause_asked = pyqtSignal()
    resume_asked = pyqtSignal()
    stop_asked = pyqtSignal()
    speed_asked = pyqtSignal(str)

    def __init__(self, *, simulated: bool, paced: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("controls")
        self.setAccessibleName("Run")
        self._status: EngineStatus | None = None
        self._there = self._starting = self._silent = False
        self._make_buttons()
        self.state, self.hardware, self.left = QLabel(), QLabel(), QLabel()
        self.state.setAccessibleName("State of the engine")
        self.hardware.setAccessibleName("State of the hardware")
        self.hardware.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.left.setAlignment(Qt.AlignmentFlag.AlignRight)
        for label in (self.state, self.hardware):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress of the run")
        self.progress.setTextVisible(False)
        self.simulated = QLabel("SIMULATED")
        self.simulated.setObjectName("simulated")
        self.simulated.setToolTip("No real instrument takes part: this bench is made of software")
        self.simulated.setVisible(simulated)
        self.speed = QComboBox()
        self.speed.setAccessibleName("Speed of the simulated bench")
        self.speed.setToolTip("How fast the simulated bench runs")
        for name, text, _ in SPEEDS:
            self.speed.addItem(text, name)
        self.speed.activated.connect(lambda index: self.speed_asked.emit(self.speed.itemData(index)))
        self.speed.setVisible(paced)
        self._lay_out()
        self._hardware_colour = "faint"
        self.say_hardware("Hardware: not asked yet", "faint")
        self.dress()
        self.show_status(None)

    # --- what it shows

    def show_status(self, status: EngineStatus | None, *, there: bool = False, starting: bool = False) -> None:
        """Show where the engine is; `there`: one lives or is being started, `starting`: a run was asked for."""
        self._status, self._there, self._starting = status, there, starting
        state = "" if status is None else status.state
        goes_on = state in GOES_ON
        self.start.setEnabled(not goes_on and state != "latched" and not starting)
        self.pause.setVisible(not (state == "paused" or (status is not None and status.pausing)))
        self.resume.setVisible(not self.pause.isVisibleTo(self))
        self.pause.setEnabled(state == "running")
        self.resume.setEnabled(goes_on and state != "stopping")
        self.stop.setEnabled(there)
        self._write(status)

    def show_silent(self, silent: bool) -> None:
        """Show that the engine does not answer."""
        self._silent = silent
        self._write(self._status)

    def say_hardware(self, text: str, colour: str) -> None:
        """Say what is known of the hardware, in a colour of the theme."""
        self.hardware.setText(text)
        self.hardware.setToolTip(text)
        self._hardware_colour = colour
        self.hardware.setStyleSheet(f"color: {getattr(theme.current(), colour)};")

    def set_speed(self, name: str) -> None:
        """Show a speed without asking for it."""
        self.speed.setCurrentIndex(max(0, self.speed.findData(name)))

    def _write(self, status: EngineStatus | None) -> None:
        if self._silent:
            text = "THE ENGINE DOES NOT ANSWER"
        elif status is None:
            text = "Looking for the engine" if self._there else "No engine: Start starts one"
        else:
            text = _STATES[status.state]
            if status.state == "idle" and self._starting:
                text = "Starting"
            if status.pausing and status.state == "running":
                text = "Running, pauses after this block"
            title = status.title or status.measurement
            text += f" \u2013 {title}" if title and status.state != "idle" else ""
        self.state.setText(text)
        self.state.setToolTip(text)
        shots = 0 if status is None else status.shots_planned
        goes_on = status is not None and status.state in GOES_ON
        self.progress.setEnabled(goes_on)
        # Qt counts in 32 bits
        self.progress.setRange(0, 1000)
        self.progress.setValue(0 if status is None or not shots else round(1000 * min(status.shots_done, shots) / shots))
        left = "" if status is None or not shots else f"{status.shots_done} / {shots} shots"
        if status is not None and goes_on and status.left_s is not None:
            left += f", {duration_text(status.left_s)} left"
        self.left.setText(left)

    # --- looks

    def _make_buttons(self) -> None:
        self.start = _button("&Start", START_KEY, "Run the sequence of the Sequence page")
        self.start.setShortcut(START_KEY)
        self.start.clicked.connect(lambda: self.start_asked.emit())
        self.pause = _button("&Pause after this block", PAUSE_KEY, "Go on until this block ends, then wait with everything off")
        self.pause.setShortcut(PAUSE_KEY)
        self.pause.clicked.connect(lambda: self.pause_asked.emit())
        self.resume = _button("&Go on", PAUSE_KEY, "Go on after the pause, or do not pause after all")
        self.resume.setShortcut(PAUSE_KEY)
        self.resume.clicked.connect(lambda: self.resume_asked.emit())
        self.stop = _button("STOP", STOP_KEY_NAME, "Everything off, now and without a question; what was measured is kept")
        self.stop.setObjectName("stop")
        self.stop.clicked.connect(lambda: self.stop_asked.emit())

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 4)
        row.setSpacing(8)
        for widget in (self.start, self.pause, self.resume):
            row.addWidget(widget)
        middle = QGridLayout()
        middle.setVerticalSpacing(1)
        middle.addWidget(self.state, 0, 0)
        middle.addWidget(self.left, 0, 1)
        middle.addWidget(self.progress, 1, 0, 1, 2)
        middle.addWidget(self.hardware, 2, 0, 1, 2)
        middle.setColumnStretch(0, 1)
        row.addLayout(middle, 1)
        row.addWidget(self.speed)
        row.addWidget(self.simulated)
        row.addWidget(self.stop)

    def dress(self) -> None:
        """Take on the theme. Only what has colours of its own has a style sheet: below one, palettes do not change any more."""
        look = theme.current()
        ink = "#000000" if look.name == "dark" else "#ffffff"
        self.stop.setFont(theme.font(13, bold=True))
        self.simulated.setFont(theme.font(11, bold=True))
        self.state.setFont(theme.font(11, bold=True))
        self.stop.setStyleSheet(
            f"QPushButton {{ background: {look.alarm}; color: {ink}; border: 2px solid {look.alarm}; border-radius: 4px;"
            f" padding: 6px 18px; }} QPushButton:hover, QPushButton:focus {{ border-color: {look.text}; }}"
            f" QPushButton:pressed {{ background: {look.text}; color: {look.background}; }}"
            f" QPushButton:disabled {{ background: {look.panel}; color: {look.faint}; border-color: {look.faint}; }}"
        )
        self.simulated.setStyleSheet(
            f"color: {look.warning}; border: 2px solid {look.warning}; border-radius: 4px; padding: 4px 8px;"
        )
        self.progress.setStyleSheet(
            f"QProgressBar {{ border: 1px solid {look.faint}; background: {look.background}; max-height: 7px; }}"
            f" QProgressBar::chunk {{ background: {look.good}; }}"
        )
        self.hardware.setStyleSheet(f"color: {getattr(look, self._hardware_colour)};")


def _button(text: str, key: str, tip: str) -> QPushButton:
    button = QPushButton(f"{text}\n{key}" if text == "STOP" else f"{text} ({key})")
    button.setToolTip(f"{tip} ({key})")
    button.setAccessibleName(text.replace("&", ""))
    button.setMinimumHeight(34)
    return button


def hardware_words(hardware: Sequence[HardwareWords]) -> tuple[str, bool]:
    """Say what was confirmed by read-back and what was not; and whether all was."""
    if not hardware:
        return "no instrument was open", True
    kinds: dict[str, list[str]] = {}
    for one in hardware:
        name = one.role.replace("_", " ")
        confirmed = one.confirmation == Confirmation.CONFIRMED.name
        kinds.setdefault(one.confirmation, []).append(name if confirmed else f"{name} ({one.detail})")
    worst_first = [kind.name for kind in reversed(Confirmation)]
    told = [f"{Confirmation[kind].value}: {', '.join(kinds[kind])}" for kind in worst_first if kind in kinds]
    return "; ".join(told), set(kinds) <= {Confirmation.CONFIRMED.name}


def ask_before_closing(parent: QWidget, title: str) -> str:
    """Ask what becomes of a run when the window is closed; return "keep", "stop" or "cancel"."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("A run is under way")
    box.setText(f"{title or 'A run'} is under way.")
    box.setInformativeText(
        "It does not need this window: the engine is a process of its own. Open the window again, or use rig attach, to see it."
    )
    keep = box.addButton("&Keep running", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("&Stop safely, then close", QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton("&Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(cancel)
    box.setEscapeButton(cancel)
    box.exec_()
    pressed = box.clickedButton()
    return "keep" if pressed is keep else "stop" if pressed is stop else "cancel"
