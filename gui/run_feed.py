"""A run file followed while it is written, or read as a whole: one feed for everything that the window draws of it.

Each turn takes a bounded time; what does not fit waits for the next one. Nothing here raises into the event loop: a file that
is gone or damaged is told by `failed`, and looked for again once a second.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from drivers.clock import Clock, MonotonicClock
from drivers.errors import RecordError
from gui.band_retrace import BandNm
from gui.run_content import ReplacedError, RunContent
from gui.run_numbers import RunNumbers
from gui.run_readings import Energies, Readings
from gui.run_stretches import Stretch
from gui.trace_pyramid import Floats, TracePyramid
from gui.waterfall_ring import Image, WaterfallRing
from rig.runfile import open_run

INTERVAL_MS = 33
BUDGET_S = 0.008  # of one turn; the step that crosses it may take as long again
LOOK_S = 0.3
READINGS_S = 0.1
LEVELS_S = 0.2
ENERGIES_S = 1.0
RETRY_S = 1.0
PATIENCE = 3  # a ledger may be torn while it is written, a file be out of its place while it is replaced
NUMBERS_S = 0.5
NUMBERS_REST = 10  # times as long as the last computation took

# what numpy says of numbers that make no sense
_ABSURD = (ArithmeticError, LookupError, ValueError, TypeError, MemoryError, OSError)


class RunFeed(QObject):
    """One run at a time.

    Signals
    -------
    grown        there is something new to draw
    ended(word)  the run is over: an ending of rig.runfile, or "unfinished" when its writer died; also for a file that was
                 complete when it was opened, once its frames are read
    failed(why)  the file cannot be read, in words for a person; `grown` when it can again
    """

    grown = pyqtSignal()
    ended = pyqtSignal(str)
    failed = pyqtSignal(str)

    def __init__(self, parent: QObject | None = None, clock: Clock | None = None) -> None:
        super().__init__(parent)
        self.content: RunContent | None = None
        self.numbers = RunNumbers()
        self.trouble = ""  # why the file cannot be read at present
        self._clock = clock or MonotonicClock()
        self._path: Path | None = None
        self._due: dict[str, int] = {}
        self._failures = 0
        self._told_ending = ""
        self._work: ThreadPoolExecutor | None = None
        self._pending: Future[RunNumbers] | None = None
        self._pending_since_ns = 0
        self._newest: tuple[int, int] = (0, 0)  # frames, and when the last of them was seen (ns)
        self._stale = True
        self._whole = False  # the run was over when it was opened
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.poll)

    # --- which file ---------------------------------------------------------------------------------------------------

    def open(self, path: Path | str) -> None:
        """Follow this file from now on; `failed` says so when it is none."""
        self._path = Path(path)
        self._forget()
        self.poll()

    def start(self, interval_ms: int = INTERVAL_MS) -> None:
        """Take turns from now on, by the event loop's timer."""
        self._timer.start(interval_ms)

    def close(self) -> None:
        """Take no more turns, and wait for the thread that computes."""
        self._timer.stop()
        self._path = None
        self._forget()
        if self._work is not None:
            self._work.shutdown(wait=True, cancel_futures=True)
            self._work = None

    def _forget(self) -> None:
        self.content, self.numbers, self.trouble = None, RunNumbers(), ""
        self._due, self._failures, self._told_ending = {}, 0, ""
        self._pending, self._stale = None, True  # what is still computed of the last file is not looked at

    # --- a turn -------------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Take one turn: read what is new, as much as fits into the time of a turn."""
        if self._path is None or (self._failures and not self._is_due("retry", RETRY_S if self.trouble else 0.0)):
            return
        try:
            if self.content is None:
                self.content = RunContent(open_run(self._path))
            self._turn(self.content)
        except RecordError as error:
            self._fail(str(error))
        except ReplacedError as error:
            self._forget()
            self._fail(f"This is another run than before: {error}.\n  where:    {self._path}")
        except _ABSURD as error:
            self._fail(f"What is in this file cannot be shown: {error}\n  where:    {self._path}")
        else:
            if self.trouble:
                self.trouble = ""
                self.grown.emit()
            self._failures = 0

    def _fail(self, why: str) -> None:
        self._failures += 1
        if self._failures < PATIENCE and self.content is not None:
            return
        if why != self.trouble:
            self.trouble = why
            self.failed.emit(why)

    def _turn(self, content: RunContent) -> None:
        end_ns = self._clock.now_ns() + round(BUDGET_S * 1e9)
        if self._is_due("look", LOOK_S):
            content.look()
            if not content.frames:
                self._whole = bool(content.ending)
        new = content.take_new()
        content.take_ledger()
        news = content.take_settled() or new
        if self._is_due("readings", READINGS_S):
            news = content.readings.poll(content.run) or news
        if self._is_due("energies", ENERGIES_S):
            content.readings.poll_energies(content.run)
        while self._clock.now_ns() < end_ns:
            took = [content.more and content.take_new(), content.take_settled(), content.take_spectra()]
            if not any(took):
                break
            news = True
        if content.frames != self._newest[0]:
            self._newest = content.frames, self._clock.now_ns()
        if content.waterfall is not None and self._is_due("levels", LEVELS_S):
            content.waterfall.follow(LEVELS_S)
        news = self._take_numbers(content, news) or news
        if news:
            self.grown.emit()
        over = content.ending and not content.left and content.settled == content.frames and not content.more
        if over and content.ending != self._told_ending:
            self._told_ending = content.ending
            self._due["numbers"] = 0
            if self._whole and content.waterfall is not None:
                content.waterfall.reset_levels()
            self._stale = True
            self.ended.emit(content.ending)

    def _is_due(self, what: str, every_s: float) -> bool:
        now_ns = self._clock.now_ns()
        if now_ns < self._due.get(what, now_ns):
            return False
        self._due[what] = now_ns + round(every_s * 1e9)
        return True

    # --- numbers, in a thread -----------------------------------------------------------------------------------------

    def _take_numbers(self, content: RunContent, news: bool) -> bool:
        """Look after the computation of the numbers; tell whether there are new ones."""
        self._stale = self._stale or news
        if self._pending is None:
            if self._stale and self._is_due("numbers", NUMBERS_S):
                if self._work is None:
                    self._work = ThreadPoolExecutor(1, "numbers of the run")
                self._stale = False
                self._pending, self._pending_since_ns = self._work.submit(content.numbers()), self._clock.now_ns()
            return False
        if not self._pending.done():
            return False
        done, self._pending = self._pending, None
        took_s = (self._clock.now_ns() - self._pending_since_ns) * 1e-9
        self._due["numbers"] = self._clock.now_ns() + round(min(max(NUMBERS_S, NUMBERS_REST * took_s), 10.0) * 1e9)
        self.numbers = done.result()
        return True

    # --- what is drawn ------------------------------------------------------------------------------------------------

    @property
    def traces(self) -> TracePyramid | None:
        """Get the traces "band_520" and "band_535"; None before the file could be opened."""
        return None if self.content is None else self.content.traces

    @property
    def readings(self) -> Readings | None:
        """Get voltage and current."""
        return None if self.content is None else self.content.readings.readings

    @property
    def energies(self) -> Energies | None:
        """Get the pulse energies."""
        return None if self.content is None else self.content.readings.energies

    @property
    def stretches(self) -> list[Stretch]:
        """Get the OFF and ON stretches so far; the last one is under way while the run is."""
        return [] if self.content is None else self.content.stretches.all

    @property
    def waterfall(self) -> WaterfallRing | None:
        """Get the waterfall of the whole run."""
        return None if self.content is None else self.content.waterfall

    @property
    def catching_up(self) -> int:
        """Get how many frames have still to be read again for means, waterfall or other bands."""
        return 0 if self.content is None else self.content.left

    @property
    def reading_age_s(self) -> float | None:
        """Get how old the last reading of V and I is (s): against the newest frame, and since then; None without either."""
        if self.content is None or not self.content.frames:
            return None
        age_s = self.content.readings.age_s(self.content.newest_host_ns)
        if age_s is None or self.content.ending:
            return age_s
        return age_s + (self._clock.now_ns() - self._newest[1]) * 1e-9

    def latest_spectrum(self) -> Floats | None:
        """Read the newest frame's light (counts, (pixels,)); None when there is none, or it cannot be read."""
        try:
            return None if self.content is None else self.content.latest_spectrum()
        except (RecordError, *_ABSURD):
            return None  # the next turn tells

    def mean_spectrum(self, state: int) -> Floats | None:
        """Return the mean light at OFF (0) or ON (1) so far (counts, (pixels,)); None while there is none."""
        means = None if self.content is None else self.content.means
        return None if means is None else means.mean(state)

    def waterfall_picture(self, first_s: float, last_s: float, height: int) -> Image | None:
        """Lay the waterfall between two times on `height` even lines, NaN where nothing is; None before the first frame."""
        try:
            return None if self.content is None else self.content.waterfall_picture(first_s, last_s, height)
        except (RecordError, *_ABSURD):
            return None  # the next turn tells

    def set_bands(self, band_520: BandNm, band_535: BandNm) -> str:
        """Reduce the whole run again with other bands (centre, half width, nm); return why not, empty when it is done."""
        if self.content is None:
            return "No run is open."
        try:
            self.content.set_bands(band_520, band_535)
        except _ABSURD as error:
            return str(error)
        self._stale = True
        self.grown.emit()
        return ""
