"""A line of text that gives up its end, never its beginning, when there is no room; the whole of it is its tooltip."""

from PyQt5.QtCore import QSize, Qt
from PyQt5.QtGui import QPainter, QPaintEvent
from PyQt5.QtWidgets import QLabel, QSizePolicy, QWidget


class ElidedLabel(QLabel):
    """Plain text in one line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def say(self, text: str, colour: str) -> None:
        """Show a text in a colour ("#rrggbb")."""
        wanted = f"color: {colour};"
        if self.text() != text:
            self.setText(text)
            self.setToolTip(text)
        if self.styleSheet() != wanted:
            self.setStyleSheet(wanted)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Need hardly any room."""
        return QSize(20, self.fontMetrics().height())

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paint what fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), int(self.alignment()), shown)
        painter.end()
