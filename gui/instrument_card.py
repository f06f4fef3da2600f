"""One instrument of the bench: state, identity, live values with their age, what may be set by hand, its last error."""

import math
from collections.abc import Callable

from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from gui import theme
from gui.elided_label import ElidedLabel
from gui.quantity_text import ENTRIES, SWITCHES, is_bad, live_text, name_of, number_text
from rig.control import ErrorWords, InstrumentWords, SetByHand, SettingWords
from rig.control_words import HandQuantity, RoleName

OLD_S = 3.0  # a value this old is no live value any more
STATES = {
    "not connected": ("○ not connected", "faint"),
    "idle": ("● at rest", "good"),
    "armed": ("▲ ON", "warning"),
    "fault": ("✖ FAULT", "alarm"),
    "in use": ("◆ the run has it", "text"),
}


class InstrumentCard(QFrame):
    """Shows InstrumentWords.

    Signals
    -------
    wished  SetByHand: a person wants something set
    """

    wished = pyqtSignal(object)

    def __init__(self, role: RoleName, model: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.role: RoleName = role
        self._model = model
        self._words = InstrumentWords(role=role, model=model, state="not connected")
        self._state = "not connected"
        self._rows: dict[HandQuantity, _Row] = {}
        self._settable = False
        self._refusal = ""
        self.setObjectName("card")
        self.setAccessibleName(f"{name_of(role)}, {model}")
        self.name, self.state = QLabel(name_of(role)), QLabel()
        self.name.setFont(theme.font(11.0, bold=True))
        self.state.setFont(theme.font(10.0, bold=True))
        self.state.setAccessibleName(f"State of the {name_of(role).lower()}")
        self.identity, self.age = ElidedLabel(), QLabel()
        self.detail, self.live, self.error = ElidedLabel(), ElidedLabel(), QLabel()
        self.live.setFont(theme.font(11.0, bold=True, digits=True))
        self.error.setTextFormat(Qt.TextFormat.PlainText)
        self.error.setWordWrap(True)
        self.error.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        self._show()

    # --- what it shows

    def show_words(self, words: InstrumentWords, *, settable: bool) -> None:
        """Show what the engine says; `settable`: settings may be moved now."""
        self._words, self._state, self._settable = words, words.state, settable
        if words.settings:
            self._fill(words.settings)
        self._show()

    def show_in_use(self) -> None:
        """Show that a run has the instrument."""
        self._words = InstrumentWords(role=self.role, model=self._model, state="not connected")
        self._state, self._settable = "in use", False
        self._show()

    def show_not_connected(self) -> None:
        """Show that nothing is known; an error that was told stays to be read."""
        kept = self._words
        self._words = InstrumentWords(role=self.role, model=self._model, state="not connected", error=kept.error)
        self._state, self._settable = "fault" if kept.state == "fault" else "not connected", False
        self._show()

    def show_age(self, age_s: float | None) -> None:
        """Show how old the live values are (s); None without any."""
        look = theme.current()
        old = age_s is not None and age_s > OLD_S
        self.age.setText("" if age_s is None else f"{age_s:.0f} s ago" if age_s >= 2 else "now")
        _style(self.age, f"color: {look.warning if old else look.faint};")

    def refuse(self, error: ErrorWords | None) -> None:
        """Say why a wish was not fulfilled; None: it was."""
        lines = [] if error is None else [f"{one.message} [{one.code}]" for one in error.reasons] or [error.what]
        self._refusal = "\n".join(f"✖ {line}" for line in lines)
        self._show()

    @property
    def shown_state(self) -> str:
        """Get the state that it shows: a key of STATES."""
        return self._state

    def row(self, quantity: HandQuantity) -> "_Row":
        """Get the row of a setting; KeyError when it was never told."""
        return self._rows[quantity]

    # --- parts

    def _show(self) -> None:
        look, words = theme.current(), self._words
        _style(self, f"#card {{ border: 1px solid {look.faint}; border-radius: 4px; }}")
        text, colour = STATES[self._state]
        self.state.setText(text)
        _style(self.state, f"color: {getattr(look, colour)};")
        self.identity.say(words.identity or words.model, look.faint)
        self.detail.say(words.detail, look.text)
        live = [text for text in map(live_text, words.live) if text]
        self.live.say("   ".join(live), look.alarm if any(map(is_bad, words.live)) else look.text)
        for label in (self.detail, self.live):
            label.setVisible(bool(label.text()))
        errors = [self._refusal, *([f"last error: {words.error}"] if words.error else [])]
        self.error.setText("\n".join(filter(None, errors)))
        self.error.setVisible(bool(self.error.text()))
        _style(self.error, f"color: {look.alarm};")
        self.show_age(max((one.age_s for one in words.live), default=None))
        for row in self._rows.values():
            row.enable(self._settable)

    def _fill(self, settings: tuple[SettingWords, ...]) -> None:
        for setting in settings:
            quantity = setting.quantity
            if quantity not in self._rows:
                make = _SwitchRow if quantity in SWITCHES else _NumberRow
                self._rows[quantity] = make(self, quantity, lambda value, quantity=quantity: self._wish(quantity, value))
                self._rows[quantity].place(self._settings, len(self._rows) - 1)
            self._rows[quantity].take(setting)

    def _wish(self, quantity: HandQuantity, value: float | None) -> None:
        if value is None:
            self._refusal = f"✖ {ENTRIES[quantity].label}: this is no number; write it like 12.5"
            self._show()
            return
        self._refusal = ""
        self._show()
        self.wished.emit(SetByHand(role=self.role, quantity=quantity, value=value))

    def _lay_out(self) -> None:
        head, second, whole = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        whole.setContentsMargins(10, 6, 10, 6)
        whole.setSpacing(3)
        head.addWidget(self.name)
        head.addStretch(1)
        head.addWidget(self.state)
        second.addWidget(self.identity, 1)
        second.addWidget(self.age)
        self._settings = QGridLayout()
        self._settings.setColumnStretch(3, 1)
        self._settings.setVerticalSpacing(3)
        whole.addLayout(head)
        whole.addLayout(second)
        whole.addWidget(self.detail)
        whole.addWidget(self.live)
        whole.addLayout(self._settings)
        whole.addWidget(self.error)
        whole.addStretch(1)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._show()


def _style(widget: QWidget, sheet: str) -> None:
    if widget.styleSheet() != sheet:  # setting the same once more costs a new layout
        widget.setStyleSheet(sheet)


class _NumberRow:
    """A number: box, unit, button; what a person is typing is not overwritten by what the instrument has."""

    def __init__(self, card: QWidget, quantity: HandQuantity, wish: Callable[[float | None], None]) -> None:
        self._entry = ENTRIES[quantity]
        self._wish = wish
        self._known: float | None = None
        self.label, self.box, self.limits = QLabel(f"{self._entry.label}:", card), QLineEdit(card), QLabel("", card)
        self.button = QPushButton("Set", card)
        self.box.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.box.setMaximumWidth(round(84 * theme.scale()))
        self.box.setAccessibleName(f"{self._entry.label} in {self._entry.unit}")
        self.button.setAccessibleName(f"Set {self._entry.label.lower()}")
        self.button.setAutoDefault(False)
        for widget in (self.box, self.button, self.label):
            widget.setToolTip(f"{self._entry.label}: {self._entry.tip} (Return sets it)")
        self.box.returnPressed.connect(self.press)
        self.button.clicked.connect(lambda: self.press())

    def place(self, grid: QGridLayout, at: int) -> None:
        for column, widget in enumerate((self.label, self.box, self.button, self.limits)):
            grid.addWidget(widget, at, column)

    def take(self, setting: SettingWords) -> None:
        factor, unit = self._entry.factor, self._entry.unit
        if setting.value != self._known:
            self._known = setting.value
            self.box.setText(number_text(setting.value / factor))
            self.box.setModified(False)
        low, high = number_text(setting.low / factor), number_text(setting.high / factor)
        self.limits.setText(f"{unit}  ({low} to {high})")

    def press(self) -> None:
        try:
            value = float(self.box.text().strip())
        except ValueError:
            value = math.nan
        self._wish(value * self._entry.factor if math.isfinite(value) else None)

    def enable(self, on: bool) -> None:
        for widget in (self.box, self.button):
            widget.setEnabled(on)


class _SwitchRow:
    """Two buttons, one for each state: nobody has to think about what a press will do."""

    def __init__(self, card: QWidget, quantity: HandQuantity, wish: Callable[[float | None], None]) -> None:
        words = self._switch = SWITCHES[quantity]
        self.label = QLabel(f"{words.label}:", card)
        self.on, self.off = QPushButton(words.on, card), QPushButton(words.off, card)
        self.said = QLabel("", card)
        self._is_on: float | None = None
        for button, value in ((self.on, 1.0), (self.off, 0.0)):
            button.setAccessibleName(f"{words.label} {button.text().lower()}")
            button.setToolTip(
                f"{words.label} {button.text().lower()}; Stop (F12) switches everything off, and so does Disconnect"
            )
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, value=value: wish(value))

    def place(self, grid: QGridLayout, at: int) -> None:
        for column, widget in enumerate((self.label, self.on, self.off, self.said)):
            grid.addWidget(widget, at, column)

    def take(self, setting: SettingWords) -> None:
        self._is_on = setting.value
        self.said.setText(self._switch.is_on if setting.value != 0 else self._switch.is_off)

    def press(self, on: bool) -> None:
        (self.on if on else self.off).click()

    def enable(self, on: bool) -> None:
        look, lit = theme.current(), on and bool(self._is_on)
        for button in (self.on, self.off):
            button.setEnabled(on)
        self.said.setVisible(on)
        _style(self.said, f"color: {look.warning}; font-weight: bold;" if lit else f"color: {look.text};")


_Row = _NumberRow | _SwitchRow
