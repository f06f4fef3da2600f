"""The results of any measurement whose record has lines and a figure: the sentences, and the figure of its report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from PyQt5.QtCore import QEvent, Qt
from PyQt5.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from gui import theme
from gui.figure_picture import DRAWING, FigurePicture, Pictures, pictures_of
from gui.result_pane import LINES_POINTS, OUTCOME_POINTS, label_for
from gui.result_view import ResultKind
from gui.side_work import Abandoned, check
from gui.sweep_view import how_far
from rig.bench import parse_bench
from rig.config_file import parse_document
from rig.measurements.catalogue import Record, reduce_run
from rig.runfile import open_run

WORDS_WIDTH = 300  # px at 96 dpi
NO_BLOCK = "no block has ended yet"


class ToldRecord(Record, Protocol):
    """A record that says itself in sentences."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Get the sentences, the outcome first."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FoundFigure:
    """What a RecordReduction found; see gui.result_view.Found. `known` tells whether the run answers its question."""

    lines: tuple[str, ...]
    pictures: Pictures
    known: bool
    reason: str
    ending: str
    left: int = 0


class RecordReduction:
    """One run, reduced as `rig report` does; see gui.result_view.Reduction. It is reduced anew each time."""

    def __init__(self, path: Path) -> None:
        self._run = open_run(path)
        self._bench = parse_bench(parse_document(self._run.header.bench_toml, path))

    def update(self, abandoned: Abandoned) -> FoundFigure:
        """Reduce what there is, and draw it."""
        ending, frames = how_far(self._run)
        record = cast(ToldRecord, reduce_run(self._run, self._bench))
        check(abandoned)
        if record.result is None:
            return FoundFigure(
                record.lines, {}, known=False, reason=record.reason if ending or frames else NO_BLOCK, ending=ending
            )
        with DRAWING:
            check(abandoned)
            try:
                pictures = pictures_of(record.figure())
            except ValueError:  # a few blocks into the run there are sentences, and nothing to draw
                pictures = {}
        return FoundFigure(record.lines, pictures, known=not record.result.code, reason="", ending=ending)


class RecordView(QWidget):
    """The outcome above, the other sentences beside the figure; see gui.result_view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.outcome = label_for("the outcome with half of its 95 % interval, or why there is none", OUTCOME_POINTS)
        self.lines = label_for("what else the run says, and what the numbers rest on", LINES_POINTS)
        self.lines.setAlignment(Qt.Alignment(Qt.AlignmentFlag.AlignTop))
        self.lines.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        words = QScrollArea()
        words.setWidget(self.lines)
        words.setWidgetResizable(True)
        words.setFrameShape(QScrollArea.Shape.NoFrame)
        words.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        words.setFixedWidth(round(WORDS_WIDTH * theme.scale()))
        words.setAccessibleName("sentences of the results")
        self.figure = FigurePicture()
        self.figure.setToolTip("the figure of the report; the page of runs saves it as a file")
        self.figure.setAccessibleName("figure of the results")
        row = QHBoxLayout()
        row.addWidget(words)
        row.addWidget(self.figure, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.outcome)
        layout.addLayout(row, 1)
        self._known = False

    @property
    def widget(self) -> QWidget:
        """Get itself."""
        return self

    def show_found(self, found: Any) -> None:
        """Show what was found."""
        told = cast(FoundFigure, found)
        first, *more = told.lines
        self._known = told.known
        self.outcome.setText(first if told.ending else f"so far: {first}")
        self.lines.setText("\n\n".join(more))
        self.figure.show_pictures(told.pictures)
        self.figure.setAccessibleDescription(first)
        self._colour()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "_known"):
            self._colour()

    def _colour(self) -> None:
        look = theme.current()
        self.outcome.setStyleSheet(f"color: {look.good if self._known else look.warning}")


RECORD = ResultKind(RecordReduction, RecordView)
