"""The run page: everything that one wants to see of a run while it goes on, and afterwards."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt5.QtGui import QHideEvent, QKeySequence, QShowEvent
from PyQt5.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QShortcut,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from drivers.clock import MonotonicClock
from gui import theme
from gui.elided_label import ElidedLabel
from gui.number_panel import fluence_shown, left_shown, shots_shown
from gui.page_context import PageContext
from gui.plot_export import PlotExport, drawing, file_name, picture, png_bytes
from gui.plot_pane import FORMATS, PlotPane
from gui.plot_table import RunLabel, csv_bytes
from gui.run_feed import RunFeed
from gui.run_views import RunViews
from gui.run_words import RunFacts, place_words, run_words
from gui.time_window import TimeWindow
from rig.control import Begun, EngineStatus, RunProgress
from rig.fluence_record import run_scale
from rig.reduction import BANDS

FRAME_MS = 33
WORDS_S = 0.25
FLUENCE_READINGS = 1000  # the newest ones
LENGTHS: dict[str, float | None] = {
    "Whole run": None,
    "Last 2 s": 2.0,
    "Last 10 s": 10.0,
    "Last 30 s": 30.0,
    "Last 1 min": 60.0,
    "Last 5 min": 300.0,
    "Last 30 min": 1800.0,
}
CHOSEN = "Part chosen by hand"
PAUSED = "VIEW PAUSED at {0:.1f} s. The run is not paused. P: go on watching."


class RunPage(QWidget):
    """The run of the engine, or a run file.

    Signals
    -------
    noted(text)  something to tell that needs no attention, such as where an exported plot is

    Parameters
    ----------
    context  of the window
    """

    noted = pyqtSignal(str)

    def __init__(self, context: PageContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.ask_path: Callable[[QWidget, str, str], str] = _ask_path
        self.feed = RunFeed(self)
        self.window_s = TimeWindow()
        self._clock = MonotonicClock()
        self.views = RunViews(self.feed, self.window_s, self._clock)
        self.export = PlotExport(self)
        self._path: Path | None = None
        self._live: Path | None = None  # file of the engine's run
        self._status: EngineStatus | None = context.link.status
        self._detail = ""
        self._fresh = self._all = True
        self._words_due_ns = 0
        self._asked_uj_cm2: float | None = None
        self._asked_of: object = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._make_controls()
        self._arrange()
        self._keys()
        self._wire()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self.refresh)
        self.views.mark_simulated(context.simulated)
        self._tell()

    # --- making it

    def _make_controls(self) -> None:
        self.state = ElidedLabel()
        self.state.setFont(theme.font(11.0, bold=True))
        self.simulated = QLabel("SIMULATED")
        self.simulated.setFont(theme.font(11.0, bold=True))
        self.paused = QLabel("")
        self.paused.setFont(theme.font(12.0, bold=True))
        self.paused.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.paused.hide()
        self.length = QComboBox()
        self.length.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.length.addItems(list(LENGTHS))
        self.length.setToolTip(
            "How much of the run the time axes show (T to choose; W: whole run; + and -: zoom; arrows: move; A: back)."
        )
        self.length.setAccessibleName("Time shown")
        self.length.activated.connect(self._length_chosen)
        tip = "Go along with the run, all axes by themselves (A, Home, or double click)."
        self.auto = _button("Auto", tip, self.go_auto)
        self.pause = _button("Pause view", "Hold the picture; the run goes on and nothing is lost (P).", self.toggle_pause)
        self.pause.setCheckable(True)
        self.export_button = QToolButton()
        self.export_button.setText("Export")
        self.export_button.setToolTip("Keep a plot as a picture, or the numbers that are in view (Ctrl+E).")
        self.export_button.setAccessibleName("Export a plot")
        self.export_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.export_button)
        for pane in self.views.panes:
            inner = menu.addMenu(pane.title)
            for name, text in FORMATS.items():
                if inner is not None and (action := inner.addAction(f"{text} ...")) is not None:
                    action.triggered.connect(lambda _=False, pane=pane, name=name: self.keep(pane, name))
        self.export_button.setMenu(menu)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(6, 2, 6, 2)
        row.setSpacing(6)
        row.addWidget(self.simulated)
        row.addWidget(self.state, 1)
        for widget in (self.length, self.auto, self.pause, self.export_button):
            row.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.paused)
        layout.addWidget(self.views, 1)
        self.simulated.setVisible(self.context.simulated)
        self._recolour()

    def _keys(self) -> None:
        window = self.window_s
        for keys, press in (
            (("A", "Home"), self.go_auto),
            (("P",), self.toggle_pause),
            (("W",), lambda: self._follow(None)),
            (("F",), self.views.traces.marks.toggle),
            (("L",), self.views.fit_colours),
            (("R",), self.reset_bands),
            (("T",), self.length.showPopup),
            (("B",), self.views.spectrum.bands_button.showMenu),
            (("Ctrl+E",), self.export_button.showMenu),
            (("+", "="), lambda: self._zoomed(lambda: window.zoom(0.5))),
            (("-",), lambda: self._zoomed(lambda: window.zoom(2.0))),
            (("Left",), lambda: self._zoomed(lambda: window.move(-0.2))),
            (("Right",), lambda: self._zoomed(lambda: window.move(0.2))),
            (("Up",), lambda: self.views.magnify(0.8)),
            (("Down",), lambda: self.views.magnify(1.25)),
        ):
            for key in keys:
                shortcut = QShortcut(QKeySequence(key), self, press)
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _wire(self) -> None:
        link: Any = self.context.link
        link.said.connect(self._heed)
        link.status_changed.connect(self.set_status)
        self.feed.grown.connect(self._grown)
        self.feed.ended.connect(self._ended)
        self.feed.failed.connect(lambda _: self._changed())
        self.views.moved.connect(self._moved)
        self.views.reset.connect(self.go_auto)
        self.views.traces.marks.toggled.connect(lambda _: self._redraw())
        self.views.waterfall.fit.clicked.connect(lambda _: self.views.fit_colours())
        self.views.spectrum.bands_wanted.connect(self._set_bands)
        self.views.spectrum.reset_wanted.connect(self.reset_bands)
        for pane in self.views.panes:
            pane.export_wanted.connect(lambda name, pane=pane: self.keep(pane, name))
        self.export.kept.connect(lambda path: self._note(f"Kept: {path}"))
        self.export.failed.connect(lambda path, why: self._note(f"{Path(path).name}: {why}"))

    # --- which run

    def show_run(self, path: Path) -> None:
        """Show a run file, live when it is being written; what is drawn of another run goes away."""
        self._path = Path(path)
        self.window_s.begin()
        self.window_s.follow(LENGTHS.get(self.length.currentText()))
        self._show_length()
        self.views.clear()
        self._show_paused()
        self.feed.open(self._path)
        self.feed.start(FRAME_MS)
        self._asked_uj_cm2, self._asked_of = None, None
        self._changed()

    def set_status(self, status: EngineStatus | None) -> None:
        """Take where the engine is."""
        self._status = status
        if status is not None and status.file:
            self._live = Path(status.file)
            if self._path is None and status.state in ("running", "paused", "stopping"):
                self.show_run(self._live)
        self._words_due_ns = 0

    def _heed(self, event: object) -> None:
        if isinstance(event, Begun):
            self._detail = ""
            if event.file:
                self._live = Path(event.file)
                self.show_run(self._live)
        elif isinstance(event, RunProgress):
            self._detail = event.detail or event.state
            self._words_due_ns = 0

    def close_page(self) -> None:
        """Let go of file and threads; harmless when done already."""
        self._timer.stop()
        self.feed.close()
        self.export.close()

    # --- drawing

    def refresh(self) -> None:
        """Draw what has changed; the timer calls it while the page is in sight."""
        if self._fresh or self._all or self._path is not None:
            self.views.draw(fresh=self._fresh, everything=self._all)
            self._fresh = self._all = False
        if self._clock.now_ns() >= self._words_due_ns:
            self._words_due_ns = self._clock.now_ns() + round(WORDS_S * 1e9)
            self._tell()

    def _grown(self) -> None:
        self._fresh = True

    def _ended(self, _: str) -> None:
        if not self.ours:  # nobody has watched its colours settle
            self.views.fit_colours()
        self._changed()

    def _changed(self) -> None:
        self._fresh = self._all = True
        self._words_due_ns = 0
        self._tell()

    def showEvent(self, a0: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin to draw."""
        super().showEvent(a0)
        self._all = True
        self._timer.start()

    def hideEvent(self, a0: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw nothing that nobody sees."""
        super().hideEvent(a0)
        self._timer.stop()

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the colours of a new theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "paused"):
            self._recolour()
            self._all = True

    def _recolour(self) -> None:
        look = theme.current()
        self.simulated.setStyleSheet(f"color: {look.alarm};")
        self.paused.setStyleSheet(f"background: {look.warning}; color: {look.background}; padding: 3px;")
        self._words_due_ns = 0

    # --- words and numbers

    @property
    def ours(self) -> bool:
        """Get whether the run that is shown is that of the engine."""
        return self._path is not None and self._path == self._live

    def _tell(self) -> None:
        content = self.feed.content
        current = None if content is None else content.stretches.current
        facts = RunFacts(
            file="" if self._path is None else self._path.name,
            frames=0 if content is None else content.frames,
            ending="" if content is None else content.ending,
            trouble=self.feed.trouble,
            status=self._status,
            detail=self._detail,
            ours=self.ours,
            place=""
            if current is None
            else place_words(current.state, current.cycle, current.voltage_v, proven=current.proven),
            catching_up=self.feed.catching_up,
        )
        words, kind = run_words(facts)
        self.state.say(words, getattr(theme.current(), kind))
        simulated = self.context.simulated if content is None else content.header.simulated
        self.simulated.setVisible(simulated)
        if content is None:
            self.views.mark_simulated(simulated)
        if not self.window_s.paused:
            self._tell_numbers()

    def _tell_numbers(self) -> None:
        content = self.feed.content
        if content is None:
            return
        status = self._status if self.ours else None
        ledger_planned = self.feed.numbers.shots.planned if content.ending else None  # before, that of the ended blocks
        planned = status.shots_planned if status is not None and status.shots_planned else ledger_planned
        state = "" if status is None else status.state
        shown = shots_shown(content.shots, planned, content.light)
        shown["left"] = left_shown(
            None if status is None else status.left_s,
            under_way=state in ("running", "paused", "stopping"),
            paused=state == "paused",
            ended=bool(content.ending),
        )
        shown["fluence"] = fluence_shown(self._asked(), *self._measured(), content.light)
        self.views.numbers.show_numbers(shown)

    def _asked(self) -> float | None:
        """Get the fluence that the sequence asks for, None when it is none or several."""
        content = self.feed.content
        if content is not None and self._asked_of is not content:
            self._asked_of = content
            try:
                found = tomllib.loads(content.header.sequence_toml).get("parameters", {}).get("fluence_uj_cm2")
            except (ValueError, AttributeError):
                found = None
            self._asked_uj_cm2 = float(found) if isinstance(found, int | float) else None
        return self._asked_uj_cm2

    def _measured(self) -> tuple[float | None, int]:
        """Get the fluence by the energy meter (uJ/cm2), of its newest readings, and how many there are."""
        content = self.feed.content
        scale = None if content is None or content.bench is None else run_scale(content.header, content.bench)
        if content is None or scale is None:
            return None, 0
        energy_uj = content.readings.energies.energy_uj
        if not len(energy_uj):
            return None, 0
        return float(energy_uj[-FLUENCE_READINGS:].mean()) * scale.uj_cm2_per_uj, len(energy_uj)

    def _note(self, text: str) -> None:
        self.noted.emit(text)
        self.state.say(text, theme.current().text)
        self._words_due_ns = self._clock.now_ns() + 4_000_000_000

    # --- what part of it

    def _length_chosen(self, _: int = 0) -> None:
        text = self.length.currentText()
        if text in LENGTHS:
            self._follow(LENGTHS[text])

    def _follow(self, length_s: float | None) -> None:
        if self.window_s.paused:
            self.window_s.resume()
        self.window_s.follow(length_s)
        self._after_move()

    def _zoomed(self, move: Callable[[], None]) -> None:
        move()
        self._after_move()

    def _moved(self) -> None:
        self._show_length()
        self._all = True

    def _redraw(self) -> None:
        self._all = True

    def _after_move(self) -> None:
        self._show_length()
        self._show_paused()
        self._all = True
        self.refresh()

    def go_auto(self) -> None:
        """Give all axes back to themselves; a paused view goes on."""
        self.window_s.resume()
        self.views.home()
        self._after_move()

    def toggle_pause(self) -> None:
        """Hold the view, or go on."""
        if self.window_s.paused:
            self.window_s.resume()
        else:
            self.window_s.pause()
        self._after_move()

    def _show_paused(self) -> None:
        paused = self.window_s.paused
        self.pause.setChecked(paused)
        self.paused.setText(PAUSED.format(self.window_s.newest_s))
        self.paused.setVisible(paused)

    def _show_length(self) -> None:
        """Let the choice say what is shown."""
        extra = self.length.findText(CHOSEN)
        if self.window_s.chosen and not self.window_s.paused:
            if extra < 0:
                self.length.addItem(CHOSEN)
            self.length.setCurrentText(CHOSEN)
            return
        wanted = next((text for text, length_s in LENGTHS.items() if length_s == self.window_s.length_s), "Whole run")
        self.length.setCurrentText(wanted)
        if extra >= 0:
            self.length.removeItem(extra)

    # --- bands

    def _set_bands(self, bands: Any) -> None:
        refused = self.feed.set_bands(*bands)
        if refused:
            self._note(refused)
        self.views.show_bands()
        self._changed()

    def reset_bands(self) -> None:
        """Show the traces of the file's own bands."""
        first, second = BANDS.values()
        self._set_bands((first, second))

    # --- export

    def keep(self, pane: PlotPane, form: str) -> None:
        """Ask where to, and keep a plot in one of the forms of plot_pane.FORMATS."""
        name = pane.title.split()[0].lower()
        folder = self.context.out if self._path is None else self._path.parent
        stem = "" if self._path is None else self._path.stem
        taken = {one.name for one in folder.glob(f"*.{form}")} if folder.is_dir() else set[str]()
        path = self.ask_path(self, str(folder / file_name(stem, name, form, taken)), FORMATS[form])
        if path:
            self.keep_as(pane, form, Path(path))

    def keep_as(self, pane: PlotPane, form: str, path: Path) -> None:
        """Keep a plot as it is now under this name; `export` tells when it is there."""
        label = self._label()
        if form == "png":
            image = picture(pane, label)
            self.export.keep(path, lambda: png_bytes(image))
        elif form == "svg":
            drawn = drawing(pane, label)
            self.export.keep(path, lambda: drawn)
        else:
            table = self.views.table(pane)
            if table is None:
                self._note("There are no numbers in this plot yet.")
                return
            self.export.keep(path, lambda: csv_bytes(table, label))

    def _label(self) -> RunLabel:
        content = self.feed.content
        if content is None:
            return RunLabel(simulated=self.context.simulated)
        header, bands = content.header, content.bands
        moved = ", ".join(f"{centre:g} ± {half:g} nm" for centre, half in bands.values())
        return RunLabel(
            run=content.run.path.name,
            title=header.title,
            sample=header.sample,
            simulated=header.simulated,
            remark="" if bands == BANDS else f"bands differ from the file's: {moved}",
        )


def _button(text: str, tip: str, press: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAccessibleName(text)
    button.clicked.connect(lambda _=False: press())
    return button


def _ask_path(parent: QWidget, proposed: str, kind: str) -> str:
    return QFileDialog.getSaveFileName(parent, "Keep this plot", proposed, kind)[0]
