"""The paper's claims against a run: value with its interval, what the paper says, the rule, the verdict."""

from collections.abc import Sequence

from PyQt5.QtCore import QEvent, QSize, Qt
from PyQt5.QtGui import QColor, QGuiApplication, QKeySequence
from PyQt5.QtWidgets import QAbstractItemView, QHeaderView, QShortcut, QTableWidget, QTableWidgetItem, QWidget

from gui import theme
from rig.analysis.statistics import Value
from rig.analysis.switching import Verdict
from rig.report.summary import value_text

HEADINGS = ("claim", "quantity", "measured", "95 % interval", "paper", "rule", "verdict")
TIPS = (
    "number of the claim in our list of what the paper says",
    "what is measured",
    "value ± half of its 95 % interval",
    "bounds from batch means and Student's t, for shots that drift and depend on each other",
    "what the paper says",
    "what passes",
    "whether it does",
)
ROW_MARGIN = 4  # pixels
USUAL_CLAIMS = 10
VERDICT = HEADINGS.index("verdict")
_WORDS = {True: ("✓", "good"), False: ("✗", "alarm"), None: ("…", "warning")}


def interval_text(value: float | None, ci95: tuple[float, float] | None) -> str:
    """Write an interval with as many places as its width has sense."""
    if value is None or ci95 is None:
        return "-"
    width = ci95[1] - ci95[0]
    places = next((n for n in range(0, 6) if width >= 10.0**-n), 6) + 1 if width > 0 else 3
    return f"{ci95[0]:.{places}f} to {ci95[1]:.{places}f}"


def claim_cells(verdict: Verdict) -> tuple[str, ...]:
    """Write one claim as the cells of its row."""
    measured = value_text(Value(verdict.value, verdict.ci95, verdict.unit))
    interval = interval_text(verdict.value, verdict.ci95)
    word = f"{_WORDS[verdict.passed][0]} {verdict.word}"
    return verdict.claim, verdict.quantity, measured, interval, verdict.paper, verdict.rule, word


class ClaimsTable(QTableWidget):
    """The table; Ctrl+C copies it for a spreadsheet."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADINGS), parent)
        self._verdicts: tuple[Verdict, ...] = ()
        self.setHorizontalHeaderLabels(HEADINGS)
        for column, tip in enumerate(TIPS):
            if (item := self.horizontalHeaderItem(column)) is not None:
                item.setToolTip(tip)
        self.setAccessibleName("claims of the paper")
        self.setToolTip("the paper's claims that this run can judge; Ctrl+C copies the table")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        if (rows := self.verticalHeader()) is not None:
            rows.hide()
            rows.setMinimumSectionSize(1)
            rows.setDefaultSectionSize(self.fontMetrics().height() + ROW_MARGIN)
        if (headings := self.horizontalHeader()) is not None:
            headings.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            headings.setSectionResizeMode(HEADINGS.index("rule"), QHeaderView.ResizeMode.Stretch)
            headings.setDefaultAlignment(Qt.Alignment() | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            headings.setHighlightSections(False)
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.copy)

    def show_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Show these; what is selected and where it is scrolled stays."""
        given = tuple(verdicts)
        if given != self._verdicts:
            self._verdicts = given
            self._fill()

    def copy(self) -> None:
        """Put the table into the clipboard, columns parted by tabs."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.text())

    def text(self) -> str:
        """Write the table as lines of cells parted by tabs."""
        return "\n".join("\t".join(row) for row in (HEADINGS, *map(claim_cells, self._verdicts)))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Ask for room for all claims."""
        headings, rows = self.horizontalHeader(), self.verticalHeader()
        if headings is None or rows is None:
            return super().sizeHint()
        height = headings.sizeHint().height() + USUAL_CLAIMS * rows.defaultSectionSize() + 2 * self.frameWidth()
        return QSize(super().sizeHint().width(), height)

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange:
            self._fill()

    def _fill(self) -> None:
        self.setRowCount(len(self._verdicts))
        for row, verdict in enumerate(self._verdicts):
            for column, text in enumerate(claim_cells(verdict)):
                item = self.item(row, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.setItem(row, column, item)
                item.setText(text)
                item.setToolTip(text)
                if column == VERDICT:
                    item.setForeground(QColor(getattr(theme.current(), _WORDS[verdict.passed][1])))
                    item.setFont(theme.font(self.font().pointSizeF(), bold=True))
