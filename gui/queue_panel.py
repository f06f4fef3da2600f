"""The queue of runs, to look at and to put into order: with the mouse or with keys."""

from collections.abc import Callable
from html import escape

from PyQt5.QtCore import QEvent, QSignalBlocker, QSize, Qt, QTimer, pyqtSignal
from PyQt5.QtGui import QColor, QKeySequence, QPalette
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QShortcut,
    QVBoxLayout,
    QWidget,
)

from drivers.errors import RigError
from gui import theme
from gui.run_queue import Entry, RunQueue

ROOM = 12  # px, left and right of a button's text
ID_ROLE = int(Qt.ItemDataRole.UserRole)
# but nothing can be dropped onto it
DRAGGABLE = Qt.ItemFlags(Qt.ItemFlag.ItemIsSelectable) | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsDragEnabled
# a sign and a word each: colour is never the only difference
SIGNS = {"waiting": "○", "running": "▶", "done": "✔", "refused": "✖", "fault": "⚠", "stopped": "■"}
COLOURS = {"waiting": "text", "running": "on", "done": "good", "refused": "alarm", "fault": "alarm", "stopped": "warning"}


class QueuePanel(QWidget):
    """Shows a RunQueue; what is started comes from RunQueue.next(), never from here."""

    opened = pyqtSignal(object)  # Entry: to be looked at in the form
    goes_on = pyqtSignal()

    def __init__(self, queue: RunQueue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self.title = QLabel("", self)
        self.status = QLabel("", self)
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.list = QListWidget(self)
        self.list.setAccessibleName("queue of runs")
        self.list.setToolTip("Alt+Up and Alt+Down move an entry, or drag it; Del takes it out; Enter opens a copy in the form")
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setUniformItemSizes(True)
        self.list.itemActivated.connect(lambda item: self.opened.emit(self._entry(item)))
        model = self.list.model()
        assert model is not None  # noqa: S101 - a list widget has its own
        model.rowsMoved.connect(lambda *_: QTimer.singleShot(0, self._dropped))
        self.list.currentRowChanged.connect(lambda _: self._enable())
        self._buttons: list[QPushButton] = []
        self._lay_out()
        queue.listen(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        top, keys, whole = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        self.go = self._button("Run the queue", "F8", "starts the first entry that waits, then one after the other", self._go)
        top.addWidget(self.title, 1)
        top.addWidget(self.go)
        self.up = self._button("Up", "Alt+Up", "run it earlier", lambda: self._move(-1))
        self.down = self._button("Down", "Alt+Down", "run it later", lambda: self._move(1))
        self.out = self._button("Remove", "Del", "take it out of the queue", self._remove)
        self.again = self._button("Again", "Ctrl+D", "put a copy at the end, to be run once more", self._again)
        self.clear = self._button("Clear ended", "Ctrl+Del", "take out all that have been run", self._queue.clear_ended)
        for button in (self.up, self.down, self.out, self.again, self.clear):
            keys.addWidget(button)
        keys.addStretch(1)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        whole.addLayout(top)
        whole.addWidget(self.list, 1)
        whole.addWidget(self.status)
        whole.addLayout(keys)

    def _button(self, text: str, key: str, tip: str, act: Callable[[], object]) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(f"{tip} ({key})")
        button.setAccessibleName(f"{text}: {tip}")
        button.setAutoDefault(False)
        button.setMinimumWidth(button.sizeHint().width() + ROOM)

        def safely() -> None:
            if not button.isEnabled():
                return
            try:
                act()
            except RigError as error:
                self.say(f"{error.what} {error.next_step}".strip())

        button.clicked.connect(safely)
        shortcut = QShortcut(QKeySequence(key), self, safely)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        return button

    # --- what is shown

    def refresh(self) -> None:
        """Show the queue as it is."""
        current = self._current()
        blocker = QSignalBlocker(self.list)
        self.list.clear()
        for entry in self._queue.entries:
            item = QListWidgetItem(_line(entry), self.list)
            item.setData(ID_ROLE, entry.id)
            item.setForeground(QColor(getattr(theme.current(), COLOURS[entry.state])))
            item.setToolTip(_tip(entry))
            item.setSizeHint(QSize(0, round(theme.scale() * 24)))
            item.setFlags(DRAGGABLE)
            if current is not None and entry.id == current.id:
                self.list.setCurrentItem(item)
        if self.list.currentRow() < 0 and self.list.count():
            self.list.setCurrentRow(self._first_to_see())
        blocker.unblock()
        waiting = self._queue.waiting
        self.title.setText(f"Queue: {waiting} waiting" if self._queue.entries else "Queue: empty")
        self.go.setText("Halt the queue" if self._queue.going else "Go on" if self._queue.halted else "Run the queue")
        self.say(self._state_words())
        self._enable()

    def _first_to_see(self) -> int:
        states = [entry.state for entry in self._queue.entries]
        return next((states.index(state) for state in ("running", "waiting") if state in states), 0)

    def say(self, text: str) -> None:
        """Say a line beneath the list."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
        palette = self.status.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(theme.current().warning))
        self.status.setPalette(palette)

    def _state_words(self) -> str:
        queue = self._queue
        words = [queue.trouble] if queue.trouble else []
        if queue.foreign and not queue.trouble:
            words.append("Another window has this queue: use that one, or close it and open this one anew.")
        if queue.halted:
            words.append(f"Halted: {queue.halted.rstrip('.')}.")
        return "\n".join(words)

    def _enable(self) -> None:
        queue, entry = self._queue, self._current()
        mine = not queue.foreign
        row, last = self.list.currentRow(), self.list.count() - 1
        self.go.setEnabled(mine and (queue.going or queue.waiting > 0))
        self.up.setEnabled(mine and row > 0)
        self.down.setEnabled(mine and 0 <= row < last)
        self.out.setEnabled(mine and entry is not None and entry.state != "running")
        self.again.setEnabled(mine and entry is not None)
        self.clear.setEnabled(mine and any(one.state not in ("waiting", "running") for one in queue.entries))
        self.list.setDragEnabled(mine)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self.refresh()

    # --- what is done

    def _current(self) -> Entry | None:
        return self._entry(self.list.currentItem())

    def _entry(self, item: QListWidgetItem | None) -> Entry | None:
        number = None if item is None else item.data(ID_ROLE)
        return next((entry for entry in self._queue.entries if entry.id == number), None)

    def _go(self) -> None:
        if self._queue.going:
            self._queue.halt()
            return
        self._queue.go_on()
        self.goes_on.emit()

    def _move(self, places: int) -> None:
        entry = self._current()
        if entry is not None:
            self._queue.move(entry.id, places)

    def _remove(self) -> None:
        entry, row = self._current(), self.list.currentRow()
        if entry is not None:
            self._queue.remove(entry.id)
            self.list.setCurrentRow(min(row, self.list.count() - 1))

    def _again(self) -> None:
        entry = self._current()
        if entry is not None:
            self._queue.again(entry.id)

    def _dropped(self) -> None:
        items = [self.list.item(row) for row in range(self.list.count())]
        try:
            self._queue.reorder([item.data(ID_ROLE) for item in items if item is not None])
        except RigError as error:
            self.refresh()
            self.say(f"{error.what} {error.next_step}".strip())


def _line(entry: Entry) -> str:
    sample = f" · {entry.sample}" if entry.sample else ""
    detail = f" · {entry.detail}" if entry.detail else ""
    return f"{SIGNS[entry.state]} {entry.state}  {entry.label}{sample}{detail}"


def _tip(entry: Entry) -> str:
    lines = [f"{entry.name}: {entry.measurement}", entry.detail, entry.file, "", entry.toml[:2000]]
    text = "\n".join(line for index, line in enumerate(lines) if line or index == 3)
    return f"<pre>{escape(text)}</pre>"  # what is not escaped might be taken for markup
