"""The page of runs: a list of what was recorded, with filter and order, and what can be done with one run or with two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QEvent, QItemSelectionModel, Qt, QTimer, QUrl, pyqtSignal
from PyQt5.QtGui import QDesktopServices, QKeySequence
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QShortcut,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from drivers.errors import RigError
from gui import theme
from gui.compare_view import CompareView
from gui.page_context import PageContext
from gui.run_compare import Comparison, compare
from gui.run_deeds import draw_figure, export_csv, figure_of, make_report, recover_run
from gui.run_index import STATES, IndexChange, RunFacts, RunIndex
from gui.run_table import ANY, COLUMNS, KINDS, THUMBNAIL, TITLE, RunTable, ThumbnailDelegate, about
from gui.side_work import SideWork, Work
from rig.control import Begun, Ended

LOOK_MS = 150  # after scrolling, until what is visible is read first
FILTER_MS = 150
ROW_MARGIN = 8
SIMULATED = {KINDS[0]: None, KINDS[1]: False, KINDS[2]: True}


def open_outside(path: Path) -> bool:
    """Open a file or folder with the program that this computer has for it."""
    return QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


class RunsPage(QWidget):
    """The list.

    Signals
    -------
    run_chosen     Path: somebody wants to look at this run
    results_asked  Path: somebody wants to see its results
    """

    run_chosen = pyqtSignal(object)
    results_asked = pyqtSignal(object)

    def __init__(
        self,
        context: PageContext,
        *,
        index: RunIndex | None = None,
        opener: Callable[[Path], bool] = open_outside,
        ask_folder: Callable[[Path], Path | None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._open = opener
        self._ask_folder = ask_folder or self._ask_for_folder
        self._change: IndexChange | None = None
        self._alarm = self._deed = False  # of what the note says: that something is wrong; that something was done
        self.table = RunTable()
        self.index = index or RunIndex([context.out])
        self._side = SideWork("work on runs", self)
        self._visible_timer = self._make_timer(LOOK_MS, self._prefer_visible)
        self._filter_timer = self._make_timer(FILTER_MS, self._filter)
        self._lay_out()
        self._add_keys()
        self.table.shown.connect(self._count)
        self.index.changed.connect(self._heed_index)
        context.link.said.connect(self._heed)
        self._selected()
        self.index.begin()

    def _make_timer(self, wait_ms: int, then: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(wait_ms)
        timer.timeout.connect(then)
        return timer

    # --- layout

    def _lay_out(self) -> None:
        self.text = QLineEdit()
        self.text.setPlaceholderText("filter: words of sample, title, measurement, date, file")
        self.text.setClearButtonEnabled(True)
        self.text.setAccessibleName("filter")
        self.text.setToolTip("show only runs in which every word occurs (Ctrl+F)")
        self.text.textChanged.connect(lambda: self._filter_timer.start())
        self.state = self._combo((ANY, *STATES), "state", "show only runs in this state")
        self.kind = self._combo(
            tuple(SIMULATED), "real or simulated", "show runs of real instruments, of simulated ones, or both"
        )
        self.count = QLabel()
        self.count.setAccessibleName("how many runs")
        top = QHBoxLayout()
        top.addWidget(self.text, 1)
        for widget in (self.state, self.kind, self.count):
            top.addWidget(widget)
        top.addWidget(self._button("&Folder ...", "look into one folder of runs more", self._add_folder))

        self.view = self._make_view()
        self.buttons = {
            "open": self._button("&Open", "show the run on the page of the run (Enter)", self._open_run),
            "results": self._button("&Results", "show its results (Ctrl+R)", self._ask_results),
            "compare": self._button("&Compare", "compare two runs: select both with Ctrl or Shift (Ctrl+D)", self._compare),
            "figure": self._button("Fi&gure", "open its figure; it is drawn when there is none (Ctrl+G)", self._figure),
            "report": self._button("Re&port", "write its report beside the file and open it (Ctrl+P)", self._report),
            "export": self._button("&Export CSV ...", "write traces and mean spectra as CSV (Ctrl+E)", self._export),
            "recover": self._button("Reco&ver", "finish the file of a run whose writer is gone (Ctrl+Shift+R)", self._recover),
            "reveal": self._button("S&how folder", "open the folder of the file (Ctrl+L)", self._reveal),
        }
        bottom = QHBoxLayout()
        for button in self.buttons.values():
            bottom.addWidget(button)
        bottom.addStretch(1)
        self.note = QLabel()
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.note.setAccessibleName("about the selected run")
        self.note.setTextInteractionFlags(
            Qt.TextInteractionFlags()
            | Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )

        browser = QWidget()
        inside = QVBoxLayout(browser)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addLayout(top)
        inside.addWidget(self.view, 1)
        inside.addLayout(bottom)
        self.comparison = CompareView()
        beside = QWidget()
        inside = QVBoxLayout(beside)
        inside.setContentsMargins(0, 0, 0, 0)
        back = self._button("← &Back to the list", "show the list of runs again (Alt+Left)", self.show_list)
        inside.addWidget(back, 0, Qt.Alignment(Qt.AlignmentFlag.AlignLeft))
        inside.addWidget(self.comparison, 1)
        self.stack = QStackedWidget()
        self.stack.addWidget(browser)
        self.stack.addWidget(beside)
        layout = QVBoxLayout(self)
        layout.addWidget(self.stack, 1)
        layout.addWidget(self.note)

    def _combo(self, words: tuple[str, ...], name: str, tip: str) -> QComboBox:
        combo = QComboBox()
        combo.addItems(words)
        combo.setAccessibleName(name)
        combo.setToolTip(tip)
        combo.currentTextChanged.connect(self._filter)
        return combo

    def _button(self, text: str, tip: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAccessibleDescription(tip)
        button.setAutoDefault(False)
        button.clicked.connect(lambda: act())
        return button

    def _make_view(self) -> QTableView:
        view = QTableView()
        view.setModel(self.table)
        view.setAccessibleName("runs")
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        view.setAlternatingRowColors(True)
        view.setShowGrid(False)
        view.setTabKeyNavigation(False)
        view.setWordWrap(False)
        self._thumbnails = ThumbnailDelegate(view)
        view.setItemDelegateForColumn(THUMBNAIL, self._thumbnails)
        if (rows := view.verticalHeader()) is not None:
            rows.hide()
            rows.setDefaultSectionSize(self.fontMetrics().height() + ROW_MARGIN)  # asks no row for its height
        if (headings := view.horizontalHeader()) is not None:
            headings.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            headings.setHighlightSections(False)
            headings.setSortIndicator(0, Qt.SortOrder.DescendingOrder)
        view.setSortingEnabled(True)
        width = self.fontMetrics().horizontalAdvance("0")
        for number, column in enumerate(COLUMNS):
            view.setColumnWidth(number, column.letters * width + 8)
        if headings is not None:
            headings.setMinimumSectionSize(4 * width)
            headings.setSectionResizeMode(TITLE, QHeaderView.ResizeMode.Stretch)
        view.doubleClicked.connect(lambda: self._open_run())
        if (bar := view.verticalScrollBar()) is not None:
            bar.valueChanged.connect(lambda: self._visible_timer.start())
        if (model := view.selectionModel()) is not None:
            model.selectionChanged.connect(lambda: self._selected())
        return view

    def _add_keys(self) -> None:
        keys: dict[str, Callable[[], Any]] = {
            "Ctrl+F": self.text.setFocus,
            "F5": self.refresh,
            "Ctrl+R": self._ask_results,
            "Ctrl+D": self._compare,
            "Ctrl+G": self._figure,
            "Ctrl+P": self._report,
            "Ctrl+E": self._export,
            "Ctrl+Shift+R": self._recover,
            "Ctrl+L": self._reveal,
            "Alt+Left": self.show_list,
        }
        for key, act in keys.items():
            self._add_key(key, act, self)
        for key in ("Return", "Enter"):
            self._add_key(key, self._open_run, self.view)

    @staticmethod
    def _add_key(key: str, act: Callable[[], Any], place: QWidget) -> None:
        shortcut = QShortcut(QKeySequence(key), place)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(lambda: act())

    # --- for the window

    @property
    def selected(self) -> tuple[RunFacts, ...]:
        """Get what is known of the selected runs, from top to bottom."""
        model = self.view.selectionModel()
        rows = sorted(index.row() for index in model.selectedRows()) if model is not None else []
        return tuple(facts for row in rows if (facts := self.table.facts(row)) is not None)

    def select(self, *paths: Path) -> None:
        """Select runs by their files, as far as they are shown."""
        model = self.view.selectionModel()
        if model is None:
            return
        model.clearSelection()
        flags = (
            QItemSelectionModel.SelectionFlags()
            | QItemSelectionModel.SelectionFlag.Select
            | QItemSelectionModel.SelectionFlag.Rows
        )
        for path in paths:
            if (row := self.table.row_of(path)) is not None:
                model.select(self.table.index(row, 0), flags)

    def refresh(self) -> None:
        """Look for new files now, and read once more what could not be read."""
        self.index.refresh(again=True)

    def show_list(self) -> None:
        """Show the list instead of a comparison."""
        self.stack.setCurrentIndex(0)
        self.view.setFocus()
        self._selected()

    def close_page(self) -> None:
        """End both threads."""
        self._visible_timer.stop()
        self._filter_timer.stop()
        self.index.close()
        self._side.close()

    # --- what happens

    def _heed(self, event: object) -> None:
        if isinstance(event, Begun | Ended):
            self.index.refresh()

    def _heed_index(self, change: IndexChange) -> None:
        self._change = change
        self.table.take(change.facts, change.gone)
        self._count()
        if change.left:
            self._visible_timer.start()
        self._offer()
        if not self._deed:  # what was done stays to be read
            self._tell_about()

    def _filter(self) -> None:
        self.table.choose(self.text.text(), self.state.currentText(), SIMULATED[self.kind.currentText()])
        self._visible_timer.start()
        self._selected()

    def _count(self, *_: int) -> None:
        shown, left = self.table.rowCount(), 0 if self._change is None else self._change.left
        words = f"{shown} run{'' if shown == 1 else 's'}"
        self.count.setText(words + (f", {left} still to be read" if left else ""))

    def _prefer_visible(self) -> None:
        """Have the rows that can be seen read first."""
        view = self.view.viewport()
        if view is None:
            return
        first = max(0, self.view.rowAt(0))
        last = self.view.rowAt(view.height() - 1)
        last = self.table.rowCount() - 1 if last < 0 else last
        rows = [facts for row in range(first, last + 1) if (facts := self.table.facts(row)) is not None]
        self.index.prefer([facts.path for facts in rows])

    def _selected(self) -> None:
        self._offer()
        self._tell_about()

    def _offer(self) -> None:
        """Offer what can be done with what is selected."""
        chosen = self.selected
        one = chosen[0] if len(chosen) == 1 else None
        readable = one is not None and not one.trouble
        for name in ("open", "results", "figure", "report", "export"):
            self.buttons[name].setEnabled(readable)
        self.buttons["reveal"].setEnabled(one is not None)
        self.buttons["recover"].setEnabled(one is not None and one.recoverable)
        self.buttons["compare"].setEnabled(len(chosen) == 2 and not any(facts.trouble for facts in chosen))

    def _tell_about(self) -> None:
        """Say what there is to say of what is selected."""
        chosen = self.selected
        troubles = () if self._change is None else self._change.troubles
        if len(chosen) == 1:
            self._tell(_advice(chosen[0]), alarm=bool(chosen[0].trouble), deed=False)
        elif troubles:
            self._tell("; ".join(troubles), alarm=True, deed=False)
        elif not chosen and self.table.rowCount() == 0:
            folders = ", ".join(map(str, self.index.folders))
            words = "No run has all this: change the filter." if self._filtered else f"No runs in {folders} yet: press Start."
            self._tell(words, deed=False)
        else:
            self._tell("Two runs are selected: they can be compared." if len(chosen) == 2 else "", deed=False)

    @property
    def _filtered(self) -> bool:
        return bool(self.text.text().strip()) or self.state.currentIndex() > 0 or self.kind.currentIndex() > 0

    # --- what can be done

    def _one(self, name: str) -> RunFacts | None:
        return self.selected[0] if self.buttons[name].isEnabled() and len(self.selected) == 1 else None

    def _open_run(self) -> None:
        if (one := self._one("open")) is not None:
            self.run_chosen.emit(one.path)

    def _ask_results(self) -> None:
        if (one := self._one("results")) is not None:
            self.results_asked.emit(one.path)

    def _reveal(self) -> None:
        if (one := self._one("reveal")) is not None and not self._open(one.path.parent):
            self._tell(f"No program opens folders here; it is {one.path.parent}", alarm=True)

    def _figure(self) -> None:
        if (one := self._one("figure")) is None:
            return
        figure = figure_of(one.path)
        if figure.exists() and not one.running:
            self._show_figure(figure)
        else:
            self._have("Drawing the figure ...", lambda _: draw_figure(one.path), self._show_figure)

    def _show_figure(self, figure: Path) -> None:
        opened = self._open(figure)
        self._tell(f"figure: {figure}" if opened else f"No program opens pictures here; it is {figure}", alarm=not opened)

    def _report(self) -> None:
        if (one := self._one("report")) is not None:
            self._have("Writing the report ...", lambda _: make_report(one.path), self._show_report)

    def _show_report(self, page: Path) -> None:
        opened = self._open(page)
        self._tell(f"report: {page}" if opened else f"No program opens pages here; it is {page}", alarm=not opened)

    def _export(self) -> None:
        if (one := self._one("export")) is None:
            return
        folder = self._ask_folder(one.path.parent)
        if folder is not None:
            self._have("Exporting ...", lambda abandoned: export_csv(one.path, folder, abandoned), self._tell)

    def _recover(self) -> None:
        if (one := self._one("recover")) is not None:
            self._have("Recovering: the file is copied and compared ...", lambda _: recover_run(one.path), self._recovered)

    def _recovered(self, words: str) -> None:
        self._tell(words)
        self.index.refresh()

    def _compare(self) -> None:
        if not self.buttons["compare"].isEnabled():
            return
        first, second = sorted(self.selected, key=lambda facts: facts.when_s)
        self._have("Comparing ...", lambda abandoned: compare(first.path, second.path, abandoned), self._show_comparison)

    def _show_comparison(self, comparison: Comparison) -> None:
        self.comparison.show_comparison(comparison)
        self.stack.setCurrentIndex(1)
        self._tell("")

    def _add_folder(self) -> None:
        folder = self._ask_folder(self.index.folders[-1])
        if folder is not None:
            self.index.add_folder(folder)

    def _have(self, words: str, work: Work, then: Callable[[Any], None]) -> None:
        """Have something done in the thread, and say so meanwhile."""
        if self._side.ask(work, then, self._failed):
            self._tell(words)
        else:
            self._tell("Too much is waiting to be done: try again in a moment.", alarm=True)

    def _failed(self, error: Exception) -> None:
        told = error if isinstance(error, RigError) else RigError(f"That failed, a defect of the program: {error!r}")
        words = told.what + (f" ({told.where})" if told.where else "")
        self._tell(f"{words}\nWhat to do: {told.next_step}" if told.next_step else words, alarm=True)

    def _tell(self, words: str, *, alarm: bool = False, deed: bool = True) -> None:
        self._alarm, self._deed = alarm, deed
        self.note.setText(words)
        self.note.setVisible(bool(words))
        self._colour()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "note"):
            self._colour()

    def _colour(self) -> None:
        look = theme.current()
        self.note.setStyleSheet(f"color: {look.alarm if self._alarm else look.text}")

    def _ask_for_folder(self, where: Path) -> Path | None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", str(where))
        return Path(chosen) if chosen else None


def _advice(facts: RunFacts) -> str:
    """Say of a run what its row does not, and what to do."""
    if facts.trouble:
        return f"{about(facts)}\nWhat to do: keep the file; F5 tries again."
    return f"{about(facts)}; Recover trims its file, nothing is lost" if facts.recoverable else about(facts)
