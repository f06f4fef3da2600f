"""The list of runs as a table: one row per file, sorted and filtered without asking any file anything."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PyQt5.QtCore import QAbstractTableModel, QModelIndex, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QPainter, QPolygonF
from PyQt5.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from gui import theme
from gui.run_index import RUNNING, UNREAD, UNREADABLE, RunFacts
from rig.analysis.statistics import Value
from rig.report.summary import value_text
from rig.runfile_layout import INTERRUPTED

Floats = NDArray[np.float64]
ANY = "any state"
KINDS = ("real and simulated", "real only", "simulated only")
FACTS = int(Qt.ItemDataRole.UserRole) + 1
_STATE_COLOURS = {
    "done": "good",
    RUNNING: "on",
    "fault": "alarm",
    UNREADABLE: "alarm",
    INTERRUPTED: "warning",
    "stopped": "warning",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its usual width in letters, what it shows, by what it sorts (None last), what it means."""

    name: str
    letters: int
    text: Callable[[RunFacts], str]
    key: Callable[[RunFacts], Any]
    tip: str
    number: bool = False


def state_text(facts: RunFacts) -> str:
    """Say the state in words."""
    if facts.state == UNREAD:
        return "reading ..."
    if facts.recoverable:
        return "to recover" if facts.state == INTERRUPTED else f"{facts.state}, to recover"
    return facts.state


def about(facts: RunFacts) -> str:
    """Say of a run what its row does not."""
    if facts.trouble:
        return f"{facts.path} cannot be read: {facts.trouble}"
    words = [f"{facts.path}", state_text(facts)]
    values = (("ON/OFF at 535 nm", facts.contrast_535), ("ON peak", facts.on_peak_nm), ("ON FWHM", facts.on_fwhm_nm))
    words += [f"{name} {value_text(value)}" for name, value in values if value.value is not None]
    return "; ".join([*words, facts.reason] if facts.reason else words)


def when_text(facts: RunFacts) -> str:
    """Say when the run began, in this computer's time; of a file that does not tell, when it was changed."""
    try:
        return datetime.fromtimestamp(facts.when_s).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def shots_text(facts: RunFacts) -> str:
    """Say how many shots have a frame, of how many."""
    if facts.planned is None or facts.assigned is None:
        return f"{facts.frames} frames" if facts.frames else ""
    return f"{facts.assigned} / {facts.planned}"


def _number(value: Value) -> str:
    return "" if value.value is None else f"{value.value:.2f}"


def _contrast(facts: RunFacts) -> str:
    return _number(facts.contrast_535)


def _peak(facts: RunFacts) -> str:
    return _number(facts.on_peak_nm)


def _width(facts: RunFacts) -> str:
    return _number(facts.on_fwhm_nm)


def _shots(facts: RunFacts) -> int | None:
    return facts.assigned if facts.assigned is not None else facts.frames or None


def _simulated(facts: RunFacts) -> str:
    return "" if facts.simulated is None else "SIMULATED" if facts.simulated else "real"


def _kind(facts: RunFacts) -> str:
    return f"{facts.measurement}, {facts.mode}" if facts.mode else facts.measurement


def _name(facts: RunFacts) -> str:
    return facts.title or facts.path.stem


def _switched(facts: RunFacts) -> str:
    return "" if facts.switched is None else "yes" if facts.switched else "no"


COLUMNS = (
    Column("begun", 16, when_text, lambda f: f.when_s, "when the run began, in this computer's time"),
    Column("state", 12, state_text, lambda f: f.state or None, "how the run ended, or that it is running now"),
    Column("bench", 11, _simulated, lambda f: f.simulated, "whether the instruments were software"),
    Column(
        "light", 12, lambda f: "", lambda f: f.frames, "520 and 535 nm light over the run, a few frames of it; sorts by frames"
    ),
    Column("sample", 11, lambda f: f.sample, lambda f: f.sample.casefold() or None, "the sample, as the sequence names it"),
    Column("title", 24, _name, lambda f: _name(f).casefold(), "the title of the sequence, or the name of the file"),
    Column("measurement", 15, _kind, lambda f: _kind(f).casefold() or None, "the measurement, and how its voltage is switched"),
    Column("ASE", 4, _switched, lambda f: f.switched, "whether there is a narrow line at ON only: it switched"),
    Column("ON/OFF", 7, _contrast, lambda f: f.contrast_535.value, "light at 535 nm, ON / OFF; the file's own result", True),
    Column("peak nm", 8, _peak, lambda f: f.on_peak_nm.value, "peak of the ON line (nm)", True),
    Column("FWHM nm", 9, _width, lambda f: f.on_fwhm_nm.value, "width of the ON line, as recorded (nm)", True),
    Column("result", 28, lambda f: f.reason, lambda f: f.reason.casefold() or None, "threshold or line, or why there is none"),
    Column("shots", 13, shots_text, _shots, "shots with a frame / planned", True),
)


THUMBNAIL = next(place for place, column in enumerate(COLUMNS) if column.name == "light")
TITLE = next(place for place, column in enumerate(COLUMNS) if column.name == "title")


class RunTable(QAbstractTableModel):
    """All runs known, those shown in the order asked for.

    Signals
    -------
    shown  after another choice or order: how many rows of how many
    """

    shown = pyqtSignal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self._facts: dict[Path, RunFacts] = {}
        self._rows: list[Path] = []
        self._place: dict[Path, int] = {}
        self._words: tuple[str, ...] = ()
        self._state = ANY
        self._simulated: bool | None = None
        self._column = 0
        self._descending = True

    # --- what is in it

    def take(self, facts: Iterable[RunFacts], gone: Iterable[Path]) -> None:
        """Take what is new and forget what is gone."""
        changed = list(facts)
        missing = [path for path in gone if self._facts.pop(path, None) is not None]
        rearranged = bool(missing)
        for one in changed:
            before = self._facts.get(one.path)
            self._facts[one.path] = one
            was, now = one.path in self._place, self._fits(one)
            key = COLUMNS[self._column].key
            rearranged = rearranged or was != now or (now and (before is None or key(before) != key(one)))
        if rearranged:
            self._arrange()
            return
        for row in sorted(self._place[one.path] for one in changed if one.path in self._place):
            self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def choose(self, text: str, state: str, simulated: bool | None) -> None:
        """Show only runs that have every word of `text` somewhere, this state (or ANY), simulated or not (None: both)."""
        wanted = (tuple(text.casefold().split()), state, simulated)
        if wanted != (self._words, self._state, self._simulated):
            self._words, self._state, self._simulated = wanted
            self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; runs that have no value there come last either way."""
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self._arrange()

    def facts(self, row: int) -> RunFacts | None:
        """Get what is known of the run in a row."""
        return self._facts[self._rows[row]] if 0 <= row < len(self._rows) else None

    def of(self, path: Path) -> RunFacts | None:
        """Get what is known of a file."""
        return self._facts.get(path)

    def row_of(self, path: Path) -> int | None:
        """Get the row of a file, None when it is not shown."""
        return self._place.get(path)

    def _fits(self, facts: RunFacts) -> bool:
        if self._state not in (ANY, facts.state):
            return False
        if self._simulated is not None and facts.simulated is not self._simulated:
            return False
        if not self._words:
            return True
        all_text = "\n".join(
            (facts.path.name, facts.sample, _name(facts), _kind(facts), state_text(facts), when_text(facts), _simulated(facts))
        ).casefold()
        return all(word in all_text for word in self._words)

    def _arrange(self) -> None:
        key = COLUMNS[self._column].key
        fitting = sorted((one for one in self._facts.values() if self._fits(one)), key=lambda f: f.when_s, reverse=True)
        known = [one for one in fitting if key(one) is not None]
        known.sort(key=key, reverse=self._descending)
        rows = [one.path for one in (*known, *(one for one in fitting if key(one) is None))]
        self.layoutAboutToBeChanged.emit()
        before, held = self._rows, self.persistentIndexList()
        self._rows, self._place = rows, {path: row for row, path in enumerate(rows)}
        moved = [
            self.index(self._place[before[one.row()]], one.column()) if before[one.row()] in self._place else QModelIndex()
            for one in held
        ]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()
        self.shown.emit(len(rows), len(self._facts))

    # --- as Qt asks for it

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Count the rows shown."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Name a column, or say what it means."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].name
        return COLUMNS[section].tip if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Say what a cell shows."""
        facts = self.facts(index.row()) if index.isValid() else None
        if facts is None:
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(facts)
        if role == Qt.ItemDataRole.ToolTipRole:
            return about(facts)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{column.name}: {column.text(facts)}"
        if role == Qt.ItemDataRole.TextAlignmentRole and column.number:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column.name == "state" and facts.state in _STATE_COLOURS:
            return QColor(getattr(theme.current(), _STATE_COLOURS[facts.state]))
        return facts if role == FACTS else None


class ThumbnailDelegate(QStyledItemDelegate):
    """Paints the two traces of a run, a few points each."""

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint the cell."""
        super().paint(painter, option, index)
        facts = index.data(FACTS)
        if painter is None or not isinstance(facts, RunFacts) or facts.trace is None:
            return
        look = theme.current()
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        area = QRectF(option.rect).adjusted(4, 3, -4, -3)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for values, colour in zip(facts.trace.astype(np.float64), (look.band_520, look.band_535), strict=True):
            painter.setPen(QColor(look.background if selected else colour))
            for piece in polyline(values, float(np.nanmax(facts.trace, initial=1.0)), area):
                painter.drawPolyline(piece)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802 - Qt's name
        """Ask for room for a small curve."""
        return QSize(110, max(22, option.fontMetrics.height() + 8))


def polyline(values: Floats, top: float, area: QRectF) -> list[QPolygonF]:
    """Lay a trace into a rectangle, 0 at its foot and `top` at its head; what is no number leaves a gap."""
    if len(values) < 2 or not (math.isfinite(top) and top > 0):
        return []
    x = area.left() + np.linspace(0.0, area.width(), len(values))
    y = area.bottom() - np.clip(values / top, 0.0, 1.0) * area.height()
    good = np.isfinite(y)
    pieces = np.split(np.arange(len(y)), np.flatnonzero(np.diff(good)) + 1)
    return [
        QPolygonF([QPointF(float(x[i]), float(y[i])) for i in piece]) for piece in pieces if good[piece[0]] and len(piece) > 1
    ]
