"""A form made from the fields of a parameter model: what is typed stays as it is, what is wrong is said beneath it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from PyQt5.QtCore import QEvent, QObject, QSignalBlocker, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QPalette, QWheelEvent
from PyQt5.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from drivers.errors import Reason
from gui import theme
from gui.form_field import FormField
from rig.config_file import Loc

Box = QLineEdit | QComboBox | QCheckBox


class _Wheel(QObject):
    """Keeps the wheel from changing a choice that the mouse only passes while one scrolls."""

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if isinstance(a1, QWheelEvent) and isinstance(a0, QWidget) and not a0.hasFocus():
            a1.ignore()
            return True
        return super().eventFilter(a0, a1)


class ParameterForm(QWidget):
    """One row per field: label, box, unit, limits; beneath it what is wrong."""

    edited = pyqtSignal(object, str)  # FormField, text

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[Loc, _Row] = {}
        self._wheel = _Wheel(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)

    def set_fields(self, fields: Sequence[FormField], texts: Mapping[Loc, str]) -> None:
        """Show these fields with these texts; a form that has them already keeps its boxes, focus and cursor."""
        if [row.field for row in self._rows.values()] != list(fields):
            self._build(fields)
        for loc, row in self._rows.items():
            row.set_text(texts[loc])

    @property
    def fields(self) -> tuple[FormField, ...]:
        """Get the fields that it shows."""
        return tuple(row.field for row in self._rows.values())

    def box(self, loc: Loc) -> Box:
        """Get the box of a field."""
        return self._rows[loc].box

    def text(self, loc: Loc) -> str:
        """Get what a box holds."""
        return self._rows[loc].text()

    def enter(self, loc: Loc, text: str) -> None:
        """Put a text into a box as if a person had; `edited` tells."""
        row = self._rows[loc]
        row.set_text(text)
        self.edited.emit(row.field, row.text())

    def mark(self, reasons: Mapping[Loc, Sequence[Reason]]) -> None:
        """Say beneath the boxes what is wrong with them; those that are not named are all right."""
        for loc, row in self._rows.items():
            row.mark(reasons.get(loc, ()))

    def marks(self, loc: Loc) -> str:
        """Get what stands beneath a box, "" when nothing is wrong."""
        return self._rows[loc].message.text()

    @property
    def label_width(self) -> int:
        """Get the room that the widest label needs (px)."""
        return max((row.label.sizeHint().width() for row in self._rows.values()), default=0)

    def set_label_width(self, width: int) -> None:
        """Give labels at least this room (px), so that the boxes of two forms stand in one column."""
        self._grid.setColumnMinimumWidth(0, width)

    def focus_first_mark(self) -> bool:
        """Put the cursor into the first box that is wrong; False when there is none."""
        for row in self._rows.values():
            if row.message.text():
                row.box.setFocus(Qt.FocusReason.OtherFocusReason)
                return True
        return False

    def _build(self, fields: Sequence[FormField]) -> None:
        for row in self._rows.values():
            row.discard(self._grid)
        self._rows = {}
        for field in fields:
            row = _Row(field, self)
            self._rows[field.loc] = row
            row.place(self._grid, self._grid.rowCount())
            row.box.installEventFilter(self._wheel)
            self._connect(row)
        boxes: list[QWidget] = [row.box for row in self._rows.values()]
        for one, after in pairwise(boxes):
            QWidget.setTabOrder(one, after)

    def _connect(self, row: "_Row") -> None:
        def tell(_: Any = None) -> None:
            self.edited.emit(row.field, row.text())

        box = row.box
        if isinstance(box, QLineEdit):
            box.textEdited.connect(tell)
        elif isinstance(box, QComboBox):
            box.activated.connect(tell)
        else:
            box.clicked.connect(tell)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            for row in self._rows.values():
                row.recolour()


class _Row:
    """The widgets of one field."""

    def __init__(self, field: FormField, parent: QWidget) -> None:
        self.field = field
        self.box = _box(field, parent)
        self.label = QLabel(field.label, parent)
        self.label.setBuddy(self.box)
        self.unit = QLabel(field.unit, parent)
        self.limits = QLabel(field.limits, parent)
        self.message = QLabel("", parent)
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.hide()
        tip = field.description or field.label
        tip += f"\nkey in the file: {field.key}"
        for widget in (self.box, self.label, self.unit, self.limits):
            widget.setToolTip(tip)
        self.box.setAccessibleName(f"{field.label}{f' in {field.unit}' if field.unit else ''}")
        self.box.setAccessibleDescription(field.description)
        self.recolour()

    def place(self, grid: QGridLayout, at: int) -> None:
        grid.addWidget(self.label, at, 0)
        if self.field.unit or self.field.limits:
            grid.addWidget(self.box, at, 1)
            grid.addWidget(self.unit, at, 2)
            grid.addWidget(self.limits, at, 3)
        else:
            grid.addWidget(self.box, at, 1, 1, 3)
            self.unit.hide()
            self.limits.hide()
        grid.addWidget(self.message, at + 1, 1, 1, 3)

    def discard(self, grid: QGridLayout) -> None:
        for widget in (self.label, self.box, self.unit, self.limits, self.message):
            grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def text(self) -> str:
        box = self.box
        if isinstance(box, QLineEdit):
            return box.text()
        if isinstance(box, QComboBox):
            return str(box.currentData())
        return "true" if box.isChecked() else "false"

    def set_text(self, text: str) -> None:
        if text == self.text():
            return
        box, blocker = self.box, QSignalBlocker(self.box)
        if isinstance(box, QLineEdit):
            box.setText(text)
        elif isinstance(box, QComboBox):
            index = box.findData(text)
            if index < 0:  # a wrong choice of a file stays, to be seen
                box.addItem(text or "(not chosen)", text)
                index = box.count() - 1
            box.setCurrentIndex(index)
        else:
            box.setChecked(text == "true")
        blocker.unblock()

    def mark(self, reasons: Sequence[Reason]) -> None:
        self.message.setText("\n".join(f"✖ {reason.message} [{reason.code}]" for reason in reasons))
        self.message.setVisible(bool(reasons))
        self.box.setAccessibleDescription("; ".join([*(reason.message for reason in reasons), self.field.description]))
        self.recolour()

    def recolour(self) -> None:
        look = theme.current()
        for label, colour in ((self.message, look.alarm), (self.limits, look.faint)):
            _colour(label, QPalette.ColorRole.WindowText, colour)
        wrong = bool(self.message.text())
        border = f"border: 2px solid {look.alarm}; padding: 1px;" if wrong else ""
        kind = type(self.box).__name__
        if self.box.styleSheet() != (sheet := f"{kind} {{ {border} }}" if wrong else ""):
            self.box.setStyleSheet(sheet)


def _colour(widget: QWidget, role: QPalette.ColorRole, colour: str) -> None:
    palette = widget.palette()
    if palette.color(role) != QColor(colour):
        palette.setColor(role, QColor(colour))
        widget.setPalette(palette)


def _box(field: FormField, parent: QWidget) -> Box:
    if field.kind == "switch" and not field.optional:
        return QCheckBox("", parent)
    if field.kind in ("choice", "switch"):
        box = QComboBox(parent)
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if field.optional:
            box.addItem("(none)", "")
        for choice in field.choices or (True, False):
            text = field.text(choice)
            box.addItem(text, text)
        return box
    line = QLineEdit(parent)
    line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    line.setMinimumWidth(90)
    if field.kind != "text":
        line.setAlignment(Qt.AlignmentFlag.AlignRight)
    if field.optional:
        line.setPlaceholderText("none")
    if field.kind == "list":
        line.setPlaceholderText("values, with commas between them")
    return line
