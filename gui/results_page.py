"""The page of results: of the run that goes on, or of one chosen from the list; they grow with the file, in a thread."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QEvent, Qt, QTimer
from PyQt5.QtGui import QHideEvent, QShowEvent
from PyQt5.QtWidgets import QHBoxLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from drivers.clock import Clock, MonotonicClock
from drivers.errors import RigError
from gui import theme
from gui.live_record import UNFINISHED
from gui.map_view import MAP
from gui.page_context import PageContext
from gui.record_view import RECORD
from gui.result_view import Found, Reduction, ResultKind, ResultView
from gui.side_work import Abandoned, SideWork, check
from gui.sweep_view import SWEEP
from gui.switching_view import SWITCHING
from rig.control import Begun, EngineStatus
from rig.measurements.control import Control
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.iv import Iv
from rig.measurements.on_off import OnOff
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.threshold_map import ThresholdMap
from rig.runfile import open_run

INTERVAL_S = 2.0
REST = 5  # times as long as the last look took
RETRY_S = 5.0
KINDS: dict[str, ResultKind] = {
    OnOff.name: SWITCHING,
    FluenceSweep.name: SWEEP,
    ThresholdMap.name: MAP,
    **dict.fromkeys((Iv.name, Response.name, PlVsVoltage.name, Control.name), RECORD),
}
NOTHING = "No results, because no run is chosen: press Start, or choose a run on the page of runs."


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """One look at a run: of which measurement it is, its reduction (None: there is no view for it), what was found."""

    measurement: str
    title: str
    simulated: bool
    reduction: Reduction | None
    found: Any = None
    took_s: float = 0.0


class ResultsPage(QWidget):
    """Results of one run; follows the run that begins by itself. What nobody sees is not computed."""

    def __init__(
        self,
        context: PageContext,
        *,
        clock: Clock | None = None,
        interval_s: float = INTERVAL_S,
        kinds: Mapping[str, ResultKind] = KINDS,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._clock = clock or MonotonicClock()
        self._interval_s = interval_s
        self._kinds = kinds
        self._views: dict[str, ResultView] = {}
        self._side = SideWork("results of a run", self)
        self._path: Path | None = None
        self._number = 0  # of the run shown, so that answers about an earlier one are not taken
        self._last: _Look | None = None
        self._due = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tick)
        self._lay_out()
        self._say(NOTHING)
        context.link.said.connect(self._heed)

    def _lay_out(self) -> None:
        self._badge = QLabel("SIMULATED")
        self._badge.setFont(theme.font(10.0, bold=True))
        self._badge.setToolTip("the instruments of this run were software")
        self._badge.hide()
        self._title = QLabel()
        self._title.setTextFormat(Qt.TextFormat.PlainText)
        self._title.setFont(theme.font(11.0, bold=True))
        self._title.setAccessibleName("run whose results are shown")
        self._standing = QLabel()
        self._standing.setTextFormat(Qt.TextFormat.PlainText)
        self._standing.setAccessibleName("how the results stand")
        self._why = QLabel()
        self._why.setTextFormat(Qt.TextFormat.PlainText)
        self._why.setFont(theme.font(12.0))
        self._why.setWordWrap(True)
        self._why.setAlignment(Qt.Alignment(Qt.AlignmentFlag.AlignCenter))
        self._why.setAccessibleName("why there are no results")
        self._stack = QStackedWidget()
        self._stack.addWidget(self._why)
        head = QHBoxLayout()
        head.addWidget(self._badge)
        head.addWidget(self._title)
        head.addWidget(self._standing, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        layout.addWidget(self._stack, 1)
        self._colour()

    # --- for the window

    def show_run(self, path: Path | str) -> None:
        """Show the results of this run from now on, as it grows."""
        if Path(path) == self._path:  # asked for twice: by whoever chose it, and by its beginning
            self._tick()
            return
        self._path, self._last = Path(path), None
        self._number += 1
        self._title.setText(self._path.stem)
        self._standing.setText("")
        self._badge.hide()
        self._say("Reducing the run ...")
        self._tick()

    def close_page(self) -> None:
        """End the thread."""
        self._timer.stop()
        self._number += 1
        self._side.close()

    @property
    def shown(self) -> Path | None:
        """Get the file whose results are shown."""
        return self._path

    @property
    def words(self) -> str:
        """Get why there are no results, empty when some are shown."""
        return self._why.text() if self._stack.currentWidget() is self._why else ""

    @property
    def view(self) -> ResultView | None:
        """Get what shows the results, None when none are shown."""
        return next((view for view in self._views.values() if view.widget is self._stack.currentWidget()), None)

    # --- events

    def _heed(self, event: object) -> None:
        if isinstance(event, Begun) and event.file:
            self.show_run(event.file)
        elif isinstance(event, EngineStatus) and self._path is None and event.file:
            self.show_run(event.file)  # a window that attached to a run under way

    def showEvent(self, a0: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Compute what was not, as nobody saw it."""
        super().showEvent(a0)
        self._look()

    def hideEvent(self, a0: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Compute no more until it is shown again."""
        super().hideEvent(a0)
        if self._timer.isActive():
            self._timer.stop()
            self._due = True

    def changeEvent(self, a0: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take other colours with another theme."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() == QEvent.Type.PaletteChange and hasattr(self, "_stack"):
            self._colour()

    def _colour(self) -> None:
        look = theme.current()
        self._badge.setStyleSheet(f"background: {look.alarm}; color: {look.background}; padding: 2px 6px; border-radius: 3px")
        self._standing.setStyleSheet(f"color: {look.faint}")

    # --- looking

    def _tick(self) -> None:
        self._due = True
        self._look()

    def _look(self) -> None:
        """Have the thread look at the run, if somebody would see it."""
        if self._path is None or not self._due or not self.isVisible():
            return
        self._due = False
        path, number, last = self._path, self._number, self._last

        def work(abandoned: Abandoned) -> _Look:
            return self._reduce(path, last, lambda: abandoned() or self._number != number)

        if not self._side.ask(work, lambda look: self._take(number, look), lambda error: self._fail(number, error)):
            self._due = True

    def _reduce(self, path: Path, last: _Look | None, abandoned: Abandoned) -> _Look:
        """Look at a run, in the thread."""
        check(abandoned)
        started_ns = self._clock.now_ns()
        if last is None:
            header = open_run(path).header
            kind = self._kinds.get(header.measurement)
            last = _Look(
                header.measurement,
                f"{header.run_id}: {header.title}",
                header.simulated,
                None if kind is None else kind.reduction(path),
            )
        found = None if last.reduction is None else last.reduction.update(abandoned)
        return replace(last, found=found, took_s=(self._clock.now_ns() - started_ns) * 1e-9)

    def _take(self, number: int, look: _Look) -> None:
        """Show what the thread has found."""
        if number != self._number:
            return
        self._last = look
        self._title.setText(look.title)
        self._badge.setVisible(look.simulated)
        found: Found | None = look.found
        if found is None:
            known = ", ".join(sorted(self._kinds))
            self._say(
                f'No results, because this window shows none of the measurement "{look.measurement}" (it knows {known}). '
                "The file is complete all the same: open it on the page of the run, or export it."
            )
            return
        self._standing.setText(_standing(found))
        if found.reason:
            self._say(f"No results{'' if found.ending else ' yet'}, because {found.reason}.")
        else:
            view = self._view(look.measurement)
            view.show_found(found)
            self._stack.setCurrentWidget(view.widget)
        if found.left:
            self._timer.start(0)
        elif not found.ending or found.ending == UNFINISHED:
            self._timer.start(round(1000 * max(self._interval_s, REST * look.took_s)))

    def _view(self, measurement: str) -> ResultView:
        if measurement not in self._views:
            view = self._views[measurement] = self._kinds[measurement].view()
            self._stack.addWidget(view.widget)
        return self._views[measurement]

    def _fail(self, number: int, error: Exception) -> None:
        """Say why a run cannot be reduced; what is shown of it stays, and it is tried again later."""
        if number != self._number:
            return
        told = error if isinstance(error, RigError) else RigError(f"the reduction itself failed: {error!r}")
        words = f"No results, because {told.what}"
        if told.next_step:
            words += f"\nWhat to do: {told.next_step}"
        if self.view is None:
            self._say(words)
        else:
            self._standing.setText(f"not up to date: {told.what}")
        self._last = None  # begin afresh: another run may have been put in the place of the file
        self._timer.start(round(1000 * RETRY_S))

    def _say(self, words: str) -> None:
        self._why.setText(words)
        self._stack.setCurrentWidget(self._why)


def _standing(found: Found) -> str:
    if found.left:
        return f"{found.left} frames are still to be reduced"
    if not found.ending:
        return "running: grows with every block that ends"
    if found.ending == UNFINISHED:
        return "its writer is gone: recover it on the page of runs"
    return found.ending
