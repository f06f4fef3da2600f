"""What the window has to say: alarms that stay until somebody has read them, and the lines of everything that happened."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QKeySequence, QResizeEvent
from PyQt5.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QShortcut,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from rig.provenance import now_label

Weight = Literal["note", "good", "warning", "alarm"]

MAX_LINES = 1000
SHOWN_LINES = 8  # of an alarm; the rest is among the messages
ACKNOWLEDGE_KEY = "F9"
_COLOURS: dict[Weight, str] = {"note": "text", "good": "good", "warning": "warning", "alarm": "alarm"}
Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that somebody must have read.

    Parameters
    ----------
    key           of several with one key only the last is shown
    what          one sentence
    detail        what is known, what to do
    actions       (text of the button, what it does); the alarm stays
    acknowledged  done when it is acknowledged
    """

    key: str
    what: str
    detail: str = ""
    actions: tuple[tuple[str, Act], ...] = ()
    acknowledged: Act | None = None


class AlarmBanner(QFrame):
    """Shows the oldest alarm that nobody has acknowledged, in alarm colour, and how many more there are."""

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("alarm")
        self.setAccessibleName("Alarm")
        self._alarms: dict[str, Alarm] = {}
        self._what, self._detail = QLabel(), QLabel()
        for label in (self._what, self._detail):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._buttons = QHBoxLayout()
        self._seen = QPushButton(f"Acknowledge ({ACKNOWLEDGE_KEY})")
        self._seen.setToolTip("I have read this and looked at the bench")
        self._seen.clicked.connect(self.acknowledge)
        QShortcut(QKeySequence(ACKNOWLEDGE_KEY), self, self.acknowledge, context=Qt.ShortcutContext.ApplicationShortcut)
        words, row = QVBoxLayout(), QHBoxLayout(self)
        row.setContentsMargins(10, 6, 10, 6)
        words.addWidget(self._what)
        words.addWidget(self._detail)
        row.addLayout(words, 1)
        row.addLayout(self._buttons)
        row.addWidget(self._seen)
        self.dress()
        self.hide()

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Get those that nobody has acknowledged, oldest first."""
        return tuple(self._alarms.values())

    def shout(self, alarm: Alarm) -> None:
        """Show an alarm until it is acknowledged."""
        self._alarms[alarm.key] = alarm
        self._show()

    def amend(self, key: str, detail: str) -> None:
        """Tell more about an alarm that is still there."""
        if key in self._alarms:
            self._alarms[key] = replace(self._alarms[key], detail=detail)
            self._show()

    def withdraw(self, key: str) -> None:
        """Take back an alarm that has turned out to be none."""
        if self._alarms.pop(key, None) is not None:
            self._show()

    def acknowledge(self) -> None:
        """Take it that the alarm shown was read."""
        alarm = next(iter(self._alarms.values()), None)
        if alarm is None:
            return
        del self._alarms[alarm.key]
        self._show()
        if alarm.acknowledged is not None:
            alarm.acknowledged()

    def _show(self) -> None:
        while self._buttons.count():
            item = self._buttons.takeAt(0)
            button = None if item is None else item.widget()
            if button is not None:
                button.deleteLater()
        alarm = next(iter(self._alarms.values()), None)
        self.setVisible(alarm is not None)
        if alarm is not None:
            more = len(self._alarms) - 1
            self._what.setText(f"{alarm.what}{f'   ({more} more)' if more else ''}")
            lines = alarm.detail.splitlines()
            self._detail.setText("\n".join([*lines[:SHOWN_LINES], *(["..."] if len(lines) > SHOWN_LINES else [])]))
            self._detail.setVisible(bool(lines))
            for text, act in alarm.actions:
                button = QPushButton(text)
                button.setAccessibleName(text.replace("&", ""))
                button.clicked.connect(lambda _checked, act=act: act())
                self._buttons.addWidget(button)
        self.changed.emit()

    def dress(self) -> None:
        """Take on the theme."""
        look = theme.current()
        ink = "#000000" if look.name == "dark" else "#ffffff"
        sheet = (
            f"#alarm {{ background: {look.alarm}; }} #alarm QLabel {{ color: {ink}; background: transparent; }}"
            f" #alarm QPushButton {{ color: {look.text}; background: {look.panel}; border: 2px solid {look.panel};"
            " border-radius: 3px; padding: 5px 12px; }"
            f" #alarm QPushButton:hover, #alarm QPushButton:focus {{ border-color: {ink}; }}"
        )
        self._what.setFont(theme.font(13, bold=True))
        self.setStyleSheet(sheet)


class MessageArea(QPlainTextEdit):
    """The lines of everything that happened, newest last; `told` (text, weight) tells each, `resized` that it was resized."""

    told = pyqtSignal(str, str)
    resized = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setMaximumBlockCount(MAX_LINES * 2)
        self.setAccessibleName("Messages")
        self.setToolTip("What happened, newest last; select and copy as you like")
        self.setTabChangesFocus(True)
        self._lines: deque[tuple[str, str, Weight]] = deque(maxlen=MAX_LINES)

    @property
    def lines(self) -> tuple[str, ...]:
        """Get the texts, oldest first."""
        return tuple(text for _, text, _ in self._lines)

    def tell(self, text: str, weight: Weight = "note") -> None:
        """Add a line, or several that belong together."""
        line = (now_label()[11:19], text.strip(), weight)
        self._lines.append(line)
        self._write(line)
        self.told.emit(text, weight)

    def resizeEvent(self, e: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Tell it."""
        super().resizeEvent(e)
        self.resized.emit()

    def dress(self) -> None:
        """Take on the theme."""
        self.clear()
        for line in self._lines:
            self._write(line)

    def _write(self, line: tuple[str, str, Weight]) -> None:
        when, text, weight = line
        look = theme.current()
        body = escape(text).replace("\n", "<br>&nbsp;&nbsp;")
        self.appendHtml(
            f'<span style="color:{look.faint}">{when}</span>&nbsp; '
            f'<span style="color:{getattr(look, _COLOURS[weight])}">{body}</span>'
        )
