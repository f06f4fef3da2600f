"""The page of the instruments: how each one is, what may be set by hand, a live view for alignment, and the bench drawn.

Nothing here talks to an instrument: the engine opens them at rest, asks them twice a second, and makes everything safe when
this window, or the wish, is gone.
"""

from pathlib import Path
from typing import cast

from PyQt5.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt5.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from drivers.clock import MonotonicClock
from gui import theme
from gui.bench_picture import BenchPicture
from gui.instrument_card import InstrumentCard
from gui.live_spectrum import LiveSpectrum
from gui.live_view_form import LiveViewForm
from gui.page_context import PageContext
from rig.control import (
    Answer,
    Begun,
    Connect,
    Disconnect,
    Ended,
    EngineStatus,
    ErrorWords,
    InstrumentStates,
    Refused,
    SetByHand,
)
from rig.control_words import RoleName
from rig.measurements.live_view import LiveView

AGE_MS = 500
COLUMNS = 3
LEAST_PX = 210  # of bench and spectrum
BUSY = ("running", "paused", "stopping")


class InstrumentsPage(QWidget):
    """Cards, bench and live view of one bench.

    Signals
    -------
    start_asked  text and name of a sequence: a live view
    """

    start_asked = pyqtSignal(str, str)

    def __init__(self, context: PageContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._link = context.link
        self._clock = MonotonicClock()
        self._connected = self._connecting = False
        self._told: InstrumentStates | None = None
        self._told_ns = 0
        self._make_widgets()
        self._lay_out()
        self._link.said.connect(self.heed)
        self._link.status_changed.connect(self._take_status)
        self._link.gone.connect(self._engine_gone)
        self._timer = QTimer(self)
        self._timer.setInterval(AGE_MS)
        self._timer.timeout.connect(self._grow_old)
        self._timer.start()
        self._take_status(self._link.status)

    def close_page(self) -> None:
        """Let go of the run file; the engine sees by itself that nobody is there."""
        self._timer.stop()
        self.spectrum.close_feed()

    # --- what a person wants

    def connect_instruments(self) -> None:
        """Ask the engine to open the bench at rest."""
        if not self.connect_button.isEnabled():
            return
        self._connecting = True
        self._say("", "text")
        self._show()
        self._link.send(Connect(), self._connect_answered)

    def disconnect_instruments(self) -> None:
        """Ask the engine to make everything safe and let go."""
        if self.disconnect_button.isEnabled():
            self._link.send(Disconnect(), self._answered)

    def set_by_hand(self, wish: SetByHand) -> None:
        """Ask the engine to set something; a refusal is told on the instrument's card."""
        card = self.cards[wish.role]
        self._link.send(wish, lambda answer: card.refuse(None if answer.ok else _why(wish, answer)))

    def _connect_answered(self, answer: Answer) -> None:
        if not answer.ok:
            self._connecting = False
            self._answered(answer)

    def _answered(self, answer: Answer) -> None:
        if not answer.ok:
            self._say(_words(answer.error), "alarm")
        self._show()

    # --- what the engine says

    def heed(self, event: object) -> None:
        """Hear what the engine says."""
        match event:
            case InstrumentStates():
                self._take_states(event)
            case Refused() if self._connecting:
                self._connecting = False
                self._say(_words(event.error), "alarm")
                self._show()
            case Refused() if self._connected:
                self._say(_words(event.error), "alarm")
            case Begun() if event.measurement == LiveView.name:
                self.spectrum.follow(Path(event.file))
            case Ended() if not self._connected:
                self._show()
            case _:
                pass

    def _take_states(self, states: InstrumentStates) -> None:
        was = self._connected
        self._connected, self._connecting = states.connected, False
        self._told, self._told_ns = states, self._clock.now_ns()
        for words in states.instruments:
            if words.role in self.cards:
                self.cards[words.role].show_words(words, settable=states.connected and self._link.commands)
        if was and not states.connected:
            open_ones = [one.role.replace("_", " ") for one in states.hardware if one.confirmation != "CONFIRMED"]
            if open_ones:
                self._say(f"NOT CONFIRMED OFF: {', '.join(open_ones)}. Go and look at the bench.", "alarm")
            else:
                self._say(f"Disconnected: {states.why}. Everything is confirmed off.", "good")
        elif states.connected and not was:
            self._say("", "text")
        self._show()

    def _take_status(self, status: EngineStatus | None) -> None:
        if status is not None and not status.connected and self._connected and not self._busy:
            self._connected = False  # its end was told while this window could not hear
        if status is not None and status.measurement == LiveView.name and status.file and self._busy:
            self.spectrum.follow(Path(status.file))
        self._show()

    def _engine_gone(self, _why: str) -> None:
        if self._connected:
            self._say("The engine is gone; its guard switches everything off.", "alarm")
        self._connected = self._connecting = False
        self._show()

    # --- looks

    @property
    def _busy(self) -> bool:
        status = self._link.status
        return status is not None and status.state in BUSY

    def _show(self) -> None:
        status, busy = self._link.status, self._busy
        latched = status is not None and status.state == "latched"
        commands = self._link.commands
        idle = status is not None and not busy and not latched and commands
        self.connect_button.setEnabled(idle and not self._connected and not self._connecting)
        self.disconnect_button.setEnabled(self._connected and commands)
        why_not = (
            "there is no engine yet"
            if status is None
            else "a run is under way"
            if busy
            else "acknowledge the fault first (F9)"
            if latched
            else ""
            if commands
            else f"{status.commander} commands the engine"
        )
        self.form.enable(idle, why_not)
        self.connect_button.setToolTip(
            f"Open every instrument, everything off, to look at it and set it (Alt+C){f': {why_not}' if why_not else ''}"
        )
        text, colour = self._summary(why_not)
        self.state.setText(text)
        self.state.setStyleSheet(f"color: {getattr(theme.current(), colour)};")
        if not self._connected:
            for card in self.cards.values():
                card.show_in_use() if busy else card.show_not_connected()
        self.picture.show_states({role: card.shown_state for role, card in self.cards.items()})

    def _summary(self, why_not: str) -> tuple[str, str]:
        if self._connecting:
            return "Connecting: every instrument is opened, switched off and brought to a known state", "text"
        if self._busy:
            return "The run has the instruments; its values are on the page of the run", "text"
        if not self._connected:
            return f"Not connected{f': {why_not}' if why_not else '. Connect to look at the instruments and set them'}", "text"
        on = [card.name.text().lower() for card in self.cards.values() if card.shown_state == "armed"]
        if on:
            return f"ON by hand: {', '.join(on)}. Off with its button, Disconnect, or Stop (F12)", "warning"
        return "Connected, everything at rest", "good"

    def _grow_old(self) -> None:
        if not self._connected or self._told is None:
            return
        since_s = (self._clock.now_ns() - self._told_ns) * 1e-9
        for words in self._told.instruments:
            if words.live and words.role in self.cards:
                self.cards[words.role].show_age(since_s + max(one.age_s for one in words.live))

    def _say(self, text: str, colour: str) -> None:
        self._message_colour = colour
        self.message.setText(text)
        self.message.setVisible(bool(text))
        self.message.setStyleSheet(f"color: {getattr(theme.current(), colour)};")

    def _make_widgets(self) -> None:
        bench = self._context.bench
        self._message_colour = "text"
        self.state, self.message = QLabel(), QLabel()
        self.state.setFont(theme.font(11.0, bold=True))
        self.state.setAccessibleName("State of the connection to the instruments")
        self.state.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.setWordWrap(True)
        self.message.hide()
        self.connect_button = QPushButton("&Connect", self)
        self.connect_button.setAccessibleName("Connect the instruments")
        self.connect_button.clicked.connect(lambda: self.connect_instruments())
        self.disconnect_button = QPushButton("&Disconnect", self)
        self.disconnect_button.setToolTip("Everything off, then let go of the instruments (Alt+D)")
        self.disconnect_button.setAccessibleName("Disconnect the instruments, everything off")
        self.disconnect_button.clicked.connect(lambda: self.disconnect_instruments())
        self.cards: dict[str, InstrumentCard] = {}
        for role in bench.roles():
            card = InstrumentCard(cast(RoleName, role), getattr(bench, role).model, self)
            card.wished.connect(self.set_by_hand)
            self.cards[role] = card
        self.picture = BenchPicture(bench, self)
        self.form = LiveViewForm(bench, self)
        self.form.start_asked.connect(self.start_asked)
        self.spectrum = LiveSpectrum(self)

    def _lay_out(self) -> None:
        bar, whole = QHBoxLayout(), QVBoxLayout(self)
        whole.setContentsMargins(8, 6, 8, 6)
        bar.addWidget(self.state, 1)
        bar.addWidget(self.connect_button)
        bar.addWidget(self.disconnect_button)
        grid = QGridLayout()
        grid.setSpacing(6)
        for number, card in enumerate(self.cards.values()):
            grid.addWidget(card, number // COLUMNS, number % COLUMNS)
        for column in range(COLUMNS):
            grid.setColumnStretch(column, 1)
        view, column = QWidget(self), QVBoxLayout()
        view.setLayout(column)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form)
        column.addWidget(self.spectrum, 1)
        lower = QSplitter(Qt.Orientation.Horizontal, self)
        lower.addWidget(self.picture)
        lower.addWidget(view)
        lower.setSizes([700, 560])
        lower.setChildrenCollapsible(False)
        lower.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)  # what the cards leave over
        lower.setMinimumHeight(round(LEAST_PX * theme.scale()))
        whole.addLayout(bar)
        whole.addWidget(self.message)
        whole.addLayout(grid)
        whole.addWidget(lower, 1)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._say(self.message.text(), self._message_colour)
            self._show()


def _words(error: ErrorWords | None) -> str:
    if error is None:
        return "It was refused without a reason."
    lines = [error.what, *(f"{one.message} [{one.code}]" for one in error.reasons), error.next_step]
    return "\n".join(line for line in lines if line)


def _why(wish: SetByHand, answer: Answer) -> ErrorWords:
    return answer.error or ErrorWords(kind="", what=f"{wish.quantity} was refused without a reason.")
