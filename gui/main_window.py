"""The window: run controls that are always in sight, alarms, and the pages as docks. Holds no instrument and no run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PyQt5.QtCore import Qt, QTimer
from PyQt5.QtGui import QCloseEvent, QResizeEvent
from PyQt5.QtWidgets import (
    QApplication,
    QDockWidget,
    QFileDialog,
    QLabel,
    QMainWindow,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.application import guarded
from gui.engine_link import EngineLink
from gui.engine_news import EngineNews
from gui.engine_process import EngineChoice
from gui.layout_memory import LayoutMemory
from gui.message_area import AlarmBanner, MessageArea
from gui.page_context import PageContext
from gui.page_table import PAGES, PageEntry
from gui.run_controls import PAUSE_KEY, SPEEDS, START_KEY, STOP_KEY_NAME, RunControls, StopKey, ask_before_closing
from gui.window_menus import WindowMenus
from rig.bench import Bench
from rig.control import Answer, Ended, EngineStatus, ErrorWords, Inject, Pace, Pause, Refused, Resume, Start, Take

FIRST_SIZE = (1280, 700)
LEAST_WIDTH = 900
RESULTS_OF = "results"
NAME_LENGTH = 200


class MainWindow(QMainWindow):
    """One bench, one engine, five pages.

    Parameters
    ----------
    bench     as read from its file
    path      of that file, None for the default bench
    simulate  make that bench of software
    out       folder for run files
    run       a run file to begin with
    memory    of the layout
    """

    def __init__(
        self,
        bench: Bench,
        path: Path | None = None,
        *,
        simulate: bool = False,
        out: Path,
        run: Path | None = None,
        memory: LayoutMemory | None = None,
    ) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        in_process = simulate or path is None
        self._bench_name = "default bench" if path is None else path.name
        self._choice = EngineChoice(path, simulate, out)
        self._memory = memory or LayoutMemory()
        self._first_run = run
        self._starting = self._closes_after_stop = self._released = self._begun = False
        self._pace_due = False
        self._messages_height = 0
        self.ask: Callable[[QWidget, str], str] = ask_before_closing
        self.link = EngineLink(self)
        self.context = PageContext(bench, self.link, out, in_process or bench.simulated)
        self.controls = RunControls(simulated=self.context.simulated, paced=in_process)
        self.messages, self.banner = MessageArea(), AlarmBanner()
        self._paced = in_process
        words = (() if path is None else ("--bench", str(path.resolve()))) + (("--simulate",) if simulate else ())
        self.news = EngineNews(
            self.link, self.controls, self.messages, self.banner, bench=words, in_process=in_process, parent=self
        )
        self.pages: dict[str, QWidget] = {}
        self._failed: set[str] = set()
        self.docks: dict[str, QDockWidget] = {}
        self._make_docks()
        self._make_header()
        application = QApplication.instance()
        assert isinstance(application, QApplication)  # noqa: S101 - there is no widget without one
        self._application = application
        self._stop_key = StopKey(application)
        self._wire()
        self.resize(*FIRST_SIZE)
        if not self._memory.restore(self):
            self.lay_out()
        self._name_window()

    # --- life

    def begin(self) -> None:
        """Look for the engine, make the pages that are in sight; once the window is up."""
        self._begun = True
        self.link.find_or_start(self._choice)
        self._show_state()
        if self._first_run is not None:
            self.open_run(self._first_run)
        self._make_visible_pages()

    def release(self) -> None:
        """Let go of everything but the run; harmless when done already."""
        if self._released:
            return
        self._released = True
        self._stop_key.close()
        self._memory.remember(self)
        for page in self.pages.values():
            close: Any = getattr(page, "close_page", None)
            if close is not None:
                guarded(close, lambda error: self.messages.tell(str(error), "warning"))
        self.link.close()
        self.news.close()

    def closeEvent(self, a0: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ask what becomes of a run; it never depends on the window."""
        if a0 is None:
            return
        if self.link.runs or self._starting:
            status = self.link.status
            wanted = self.ask(self, "" if status is None else status.title)
            if wanted == "stop":
                self._closes_after_stop = True
                self.link.stop("the window was closed")
            if wanted != "keep":
                a0.ignore()
                return
        self.release()
        a0.accept()

    # --- run

    def start(self) -> None:
        """Start what the sequence page holds."""
        page: Any = self.page("sequence")
        if page is None or not hasattr(page, "draft"):
            return
        path = page.draft.path
        self.start_text(page.draft.toml(), f"{page.draft.measurement}.toml" if path is None else path.name)

    def start_text(self, toml: str, name: str) -> None:
        """Start a sequence; the engine is started first when there is none."""
        if not self.link.there:
            self.link.find_or_start(self._choice)
        self._starting = True
        self._show_state()
        self.messages.tell(f"Start: {name}")
        self.link.send(
            Start(sequence_toml=toml, name=name[-NAME_LENGTH:], out=str(self.context.out.resolve())), self._start_answered
        )

    def pause(self) -> None:
        """Pause after the block that is under way."""
        self.link.send(Pause())

    def resume(self) -> None:
        """Go on after a pause."""
        self.link.send(Resume())

    def take_command(self) -> None:
        """Take command from whoever else has it."""
        self.link.send(Take(force=True))

    def set_speed(self, name: str) -> None:
        """Let the simulated bench run at one of SPEEDS."""
        self._memory.speed = name
        speed = next(speed for one, _, speed in SPEEDS if one == name)
        self.controls.set_speed(name)
        if self.link.there:
            self.link.send(Pace(speed=speed))

    def _start_answered(self, answer: Answer) -> None:
        if answer.ok:
            return
        self._starting = False
        words = answer.error or ErrorWords(kind="", what="The start was refused without a reason.")
        self.news.refused(words)
        page: Any = self.pages.get("sequence")
        if page is not None and hasattr(page, "start_refused"):
            page.start_refused(words)
        self._show_state()

    # --- what the engine says

    def _wire(self) -> None:
        link, controls = self.link, self.controls
        link.status_changed.connect(self._status_changed)
        link.attached.connect(self._attached)
        link.said.connect(self._heed)
        link.gone.connect(self._gone)
        controls.start_asked.connect(self.start)
        controls.pause_asked.connect(self.pause)
        controls.resume_asked.connect(self.resume)
        controls.stop_asked.connect(lambda: link.stop("Stop in the window"))
        controls.speed_asked.connect(self.set_speed)
        self._stop_key.pressed.connect(lambda: link.stop(f"{STOP_KEY_NAME} in the window"))
        self.messages.resized.connect(self._messages_resized)
        self.messages.told.connect(lambda _text, weight: self._raise_messages() if weight == "alarm" else None)

    def _explain_faults(self) -> None:
        self.messages.tell(
            "A bench that the engine simulates can be broken while it runs, to see what the program does then: the entries of "
            "this menu. On a real bench, and on one served by another program, there are none."
        )

    def _put_in(self, fault: str) -> None:
        self.link.send(Inject(fault=fault))

    def _attached(self, _engine: object) -> None:
        welcome = self.link.welcome
        self._menus.show_faults("Simulated &bench", () if welcome is None else welcome.faults, self._put_in)
        self._pace_due = self._paced
        self._show_state()

    def _status_changed(self, status: EngineStatus) -> None:
        if self._pace_due:
            self._pace_due = False
            if status.state == "idle" and self.link.commands:  # a run that somebody watches keeps its speed
                self.set_speed(self._memory.speed)
        elif self._paced and not self.controls.speed.hasFocus():
            self.controls.set_speed(next((name for name, _, speed in SPEEDS if speed == status.speed), "free"))
        if status.state in ("running", "paused", "stopping"):
            self._starting = False
        page: Any = self.pages.get("sequence")
        if page is not None and hasattr(page, "set_status"):
            page.set_status(status)
        self._show_state()

    def _heed(self, event: object) -> None:
        if isinstance(event, Ended | Refused):
            self._starting = False
            self._show_state()
            if self._closes_after_stop and isinstance(event, Ended):
                self._close_when_safe()
        page: Any = self.pages.get("sequence")
        if page is not None and hasattr(page, "heed"):
            page.heed(event)

    def _close_when_safe(self) -> None:
        self._closes_after_stop = False
        if self.banner.alarms:
            self.messages.tell("The window stays open: read the alarm first.", "alarm")
        else:
            QTimer.singleShot(0, self._close)

    def _close(self) -> None:
        self.close()

    def _gone(self, why: str) -> None:
        self._starting = self._closes_after_stop = False
        page: Any = self.pages.get("sequence")
        if page is not None and hasattr(page, "engine_gone"):
            page.engine_gone(why)
        self._show_state()

    def _show_state(self) -> None:
        self.controls.show_status(self.link.status, there=self.link.there, starting=self._starting)
        self._name_window()

    def _name_window(self) -> None:
        status = self.link.status
        run = status.title if status is not None and self.link.runs else ""
        parts = [*([run] if run else []), self._bench_name, "rig"]
        title = " \u2013 ".join([*(["SIMULATED"] if self.context.simulated else []), *parts])
        if title != self.windowTitle():
            self.setWindowTitle(title)

    def tell_caught(self, what: str, _trace: str) -> None:
        """Tell of an error that nobody caught: the window goes on, and so does the run."""
        self.messages.tell(
            f"A defect of this window, the run does not notice it: {what}. The details are in its log.", "warning"
        )

    # --- pages

    def page(self, name: str) -> QWidget | None:
        """Return a page, made now when it was not needed yet; None when that fails, which is told."""
        if name not in self.pages and name not in self._failed and not self._released:
            entry = next(one for one in PAGES if one.name == name)
            guarded(lambda: self._make_page(entry), lambda error: self._page_failed(entry, error))
        return self.pages.get(name)

    def open_run(self, path: Path) -> None:
        """Show a run file, finished or being written, on the pages that show runs."""
        for name in ("run", RESULTS_OF):
            page: Any = self.page(name) if name == "run" else self.pages.get(name)
            if page is not None and hasattr(page, "show_run"):
                page.show_run(path)
        self.show_page("run")

    def open_results(self, path: Path) -> None:
        """Show what a run says."""
        page: Any = self.page(RESULTS_OF)
        if page is not None and hasattr(page, "show_run"):
            page.show_run(path)
        self.show_page(RESULTS_OF)

    def show_page(self, name: str) -> None:
        """Bring a page to the front."""
        dock = self.docks[name]
        dock.show()
        dock.raise_()
        page = self.page(name) if name in {one.name for one in PAGES} else dock.widget()
        if page is not None:
            page.setFocus()

    def _make_page(self, entry: PageEntry) -> None:
        page: Any = entry.make(self.context)
        self.pages[entry.name] = page
        frame = QScrollArea()  # a page that needs more room than there is must not make the window larger than the screen
        frame.setWidgetResizable(True)
        frame.setFrameShape(QScrollArea.Shape.NoFrame)
        frame.setWidget(page)
        self.docks[entry.name].setWidget(frame)
        if hasattr(page, "start_asked"):
            page.start_asked.connect(self.start_text)
        if hasattr(page, "run_chosen"):
            page.run_chosen.connect(lambda path: self.open_run(Path(path)))
        if hasattr(page, "results_asked"):
            page.results_asked.connect(lambda path: self.open_results(Path(path)))
        if hasattr(page, "noted"):
            page.noted.connect(self.messages.tell)
        if hasattr(page, "set_status"):
            page.set_status(self.link.status)
        status = self.link.status
        if self.link.runs and status is not None and status.file and hasattr(page, "show_run"):
            page.show_run(Path(status.file))

    def _page_failed(self, entry: PageEntry, error: BaseException) -> None:
        self._failed.add(entry.name)
        self.messages.tell(f"The page {entry.title} cannot be shown: {error!r}", "warning")
        self.docks[entry.name].setWidget(_placeholder(f"{entry.title} cannot be shown: {error}"))

    def _make_visible_pages(self) -> None:
        for entry in PAGES if self._begun else ():
            if not self._released and entry.name not in self.pages and not self.docks[entry.name].visibleRegion().isEmpty():
                self.page(entry.name)

    def _make_docks(self) -> None:
        self.setDockNestingEnabled(True)
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        for entry in PAGES:
            self._dock(entry.name, entry.title, _placeholder(f"{entry.title}: {entry.purpose}")).visibilityChanged.connect(
                lambda visible: QTimer.singleShot(0, self._make_visible_pages) if visible else None
            )
        self._dock("messages", "Messages", self.messages)

    def _dock(self, name: str, title: str, widget: QWidget) -> QDockWidget:
        dock = QDockWidget(title, self)
        dock.setObjectName(name)
        dock.setAccessibleName(title)
        dock.setWidget(widget)
        self.docks[name] = dock
        return dock

    def lay_out(self) -> None:
        """Put every dock where it belongs: pages as tabs, messages below."""
        first: QDockWidget | None = None
        for entry in PAGES:
            dock = self.docks[entry.name]
            dock.setFloating(False)
            self.addDockWidget(Qt.DockWidgetArea.TopDockWidgetArea, dock)
            if first is not None:
                self.tabifyDockWidget(first, dock)
            first = first or dock
            dock.show()
        messages = self.docks["messages"]
        messages.setFloating(False)
        self.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, messages)
        messages.show()
        if first is not None:
            self.resizeDocks([first, messages], [600, 64], Qt.Orientation.Vertical)
            first.raise_()

    def resizeEvent(self, a0: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Give what is gained or lost to the pages; the messages keep their height."""
        super().resizeEvent(a0)
        QTimer.singleShot(0, self._keep_messages_low)  # Qt lays its docks out after this event

    def _keep_messages_low(self) -> None:
        messages = self.docks["messages"]
        shown = [dock for dock in self.docks.values() if dock is not messages and not dock.visibleRegion().isEmpty()]
        if not self._messages_height or not shown or not messages.isVisible() or messages.isFloating():
            return
        page = shown[0]  # Qt moves a border only when the docks on both sides of it are named
        heights = [page.height() + messages.height() - self._messages_height, self._messages_height]
        self.resizeDocks([page, messages], heights, Qt.Orientation.Vertical)

    def _messages_resized(self) -> None:
        dragged = QApplication.mouseButtons() != Qt.MouseButton.NoButton  # by a person, not by the window that is being resized
        if self.isVisible() and (dragged or not self._messages_height):
            self._messages_height = self.docks["messages"].height()

    def _raise_messages(self) -> None:
        self.docks["messages"].show()

    # --- menus

    def _make_header(self) -> None:
        header = QWidget()
        column = QVBoxLayout(header)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._make_menus().bar)
        column.addWidget(self.controls)
        column.addWidget(self.banner)
        header.setMinimumWidth(LEAST_WIDTH)  # else the height of an alarm is reckoned for the narrowest window there could be
        self.setMinimumWidth(LEAST_WIDTH)
        # in the place of the menu: no dock can be put above it, and nobody can close it
        self.setMenuWidget(header)

    def _make_menus(self) -> WindowMenus:
        self._menus = menus = WindowMenus(self)
        menus.add("&File", "&Open run...", self._choose_run, "Ctrl+Shift+O")
        menus.add("&File", "&Close the window", self._close, "Ctrl+Q")
        menus.add("&Run", f"&Start\t{START_KEY}", self.start)
        menus.add("&Run", f"&Pause after this block\t{PAUSE_KEY}", self.pause)
        menus.add("&Run", f"&Go on\t{PAUSE_KEY}", self.resume)
        menus.add("&Run", f"S&top\t{STOP_KEY_NAME}", lambda: self.link.stop("Stop in the menu"))
        menus.add("&Run", "Take &command of the engine", self.take_command)
        menus.add("&Run", "Switch everything &off without the engine (rig off)", self.news.switch_off)
        menus.add("Simulated &bench", "What this is", self._explain_faults)
        for entry in PAGES:
            menus.add("&View", entry.title, lambda name=entry.name: self.show_page(name), entry.key)
        menus.add("&View", "Messages", lambda: self.show_page("messages"), "Ctrl+6")
        menus.add_themes("&View", self.use_theme)
        menus.add("&View", "&Put everything back in its place", self.lay_out)
        menus.add("&Help", "&Keys", menus.show_keys, "F1")
        return menus

    def use_theme(self, name: str) -> None:
        """Change the look, and remember it."""
        theme.apply(self._application, name)
        for part in (self.controls, self.banner, self.messages):
            part.dress()
        self._memory.theme = name
        self._menus.show_theme(name)

    def _choose_run(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a run", str(self.context.out), "Runs (*.h5);;All files (*)")
        if name:
            self.open_run(Path(name))


def _placeholder(text: str) -> QLabel:
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setWordWrap(True)
    return label
