"""What is in the folders of runs: a list that is there at once and fills up file by file, in a thread, what is looked at first.

A file is read once for each (path, size, time of change); one that nobody writes any more costs nothing after that. No file is
kept open, and whatever is wrong with one is a line of the list.
"""

import math
import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PyQt5.QtCore import QObject, pyqtSignal

from drivers.clock import Clock, MonotonicClock
from drivers.errors import RigError
from rig.analysis.statistics import Value
from rig.runfile import ENDINGS, Run, open_run
from rig.runfile_layout import INTERRUPTED
from rig.runfile_lock import writer_lives

RESCAN_S = 2.0
BATCH_S = 0.2
REST_S = 0.003  # after each file
THUMBNAIL_POINTS = 64
MAX_TEXT = 200
PATIENCE_S = 5.0
RUNNING = "running now"
UNREADABLE = "unreadable"
UNREAD = ""
STATES = ("done", "stopped", "fault", RUNNING, INTERRUPTED, UNREADABLE)
NOTHING = Value(None, None, "")


@dataclass(frozen=True, slots=True, eq=False)
class RunFacts:
    """What the list says of one file.

    state        one of STATES, "" before it was read
    trouble      why it cannot be read
    recoverable  its writer is gone and it was not trimmed
    started      ISO text of the wall clock; `when_s` the same as a number, the file's own time where there is none
    assigned     shots that have a frame, of `planned`; None where the file does not say
    switched     None where the file has no results
    trace        520 and 535 nm light of evenly spaced frames, float32 (2, n)
    """

    path: Path
    size: int
    mtime_ns: int
    state: str = UNREAD
    trouble: str = ""
    trimmed: bool = False
    recoverable: bool = False
    started: str = ""
    when_s: float = 0.0
    sample: str = ""
    title: str = ""
    measurement: str = ""
    mode: str = ""
    simulated: bool | None = None
    frames: int = 0
    assigned: int | None = None
    planned: int | None = None
    switched: bool | None = None
    reason: str = ""
    contrast_535: Value = NOTHING
    on_peak_nm: Value = NOTHING
    on_fwhm_nm: Value = NOTHING
    trace: NDArray[np.float32] | None = None

    @property
    def running(self) -> bool:
        """Get whether somebody writes it."""
        return self.state == RUNNING


@dataclass(frozen=True, slots=True, eq=False)
class IndexChange:
    """What is new: files that were seen or read (again), files that are gone, what is wrong with folders."""

    facts: tuple[RunFacts, ...]
    gone: tuple[Path, ...]
    troubles: tuple[str, ...]
    left: int  # files that have still to be read


def read_facts(path: Path, size: int, mtime_ns: int) -> RunFacts:
    """Read what the list says of a run file, live or finished. Raises nothing: an unreadable one says why."""
    bare = RunFacts(path, size, mtime_ns, when_s=mtime_ns * 1e-9)
    try:
        return _read(open_run(path), bare)
    except RigError as error:
        return _unreadable(bare, error.what)
    except Exception as error:  # noqa: BLE001 - one bad file of thousands must not end the list
        return _unreadable(bare, f"its contents make no sense: {type(error).__name__}: {error}")


def _unreadable(bare: RunFacts, why: str) -> RunFacts:
    return RunFacts(bare.path, bare.size, bare.mtime_ns, UNREADABLE, _short(why), when_s=bare.when_s)


def _read(run: Run, bare: RunFacts) -> RunFacts:
    trimmed = run.trimmed
    state, recoverable = run.state, False
    if not trimmed:
        if run.unfinished:
            state, recoverable = INTERRUPTED, True
        elif state in ENDINGS and not run.writer_lives:
            recoverable = True
        else:
            state = RUNNING
    header, ledger, results = run.header, run.ledger, run.results
    switched = results.get("switched")
    return RunFacts(
        path=bare.path,
        size=bare.size,
        mtime_ns=bare.mtime_ns,
        state=state if state in STATES else _short(state),
        trimmed=trimmed,
        recoverable=recoverable,
        started=_short(header.wall_start_label),
        when_s=_seconds(header.wall_start_label, bare.when_s),
        sample=_short(header.sample),
        title=_short(header.title),
        measurement=_short(header.measurement),
        mode=_short(header.mode),
        simulated=header.simulated,
        frames=run.count,
        assigned=_count(ledger.get("assigned")),
        planned=_count(ledger.get("planned")),
        switched=switched if isinstance(switched, bool) else None,
        reason=_short(str(results.get("reason") or "")),
        contrast_535=_value(results.get("contrast_535")),
        on_peak_nm=_value(results.get("on_peak_nm")),
        on_fwhm_nm=_value(results.get("on_fwhm_nm")),
        trace=_thumbnail(run),
    )


def _thumbnail(run: Run) -> NDArray[np.float32] | None:
    step = max(1, -(-run.count // THUMBNAIL_POINTS))
    columns = [run.column(name, 0, None, step)[:THUMBNAIL_POINTS] for name in ("band_520", "band_535")]
    points = min(map(len, columns))
    return np.array([column[:points] for column in columns], np.float32) if points > 1 else None


def _short(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text[: MAX_TEXT + 1])
    return plain if len(plain) <= MAX_TEXT else plain[: MAX_TEXT - 3] + "..."


def _seconds(label: str, otherwise_s: float) -> float:
    try:
        return datetime.fromisoformat(label).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise_s


def _count(found: Any) -> int | None:
    return found if isinstance(found, int) else None


def _value(found: Any) -> Value:
    """Take a value out of the results of a file as far as it is one."""
    if not isinstance(found, dict):
        return NOTHING
    entry = cast(dict[str, Any], found)
    number, interval, unit = entry.get("value"), entry.get("ci95"), entry.get("unit")
    if not _is_number(number):
        return NOTHING
    bounds = cast(list[Any], interval) if isinstance(interval, list) else []
    ci95 = (float(bounds[0]), float(bounds[1])) if len(bounds) == 2 and all(map(_is_number, bounds)) else None
    return Value(float(cast(float, number)), ci95, _short(unit) if isinstance(unit, str) else "")


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)


class RunIndex(QObject):
    """The runs of some folders, kept up to date by a thread until close().

    Signals
    -------
    changed  IndexChange, a few times a second at most
    """

    changed = pyqtSignal(object)

    def __init__(self, folders: Iterable[Path], *, clock: Clock | None = None, rescan_s: float = RESCAN_S) -> None:
        super().__init__()
        self._clock = clock or MonotonicClock()
        self._rescan_ns = round(rescan_s * 1e9)
        self._condition = threading.Condition()
        self._folders = list(dict.fromkeys(folders))
        self._preferred: list[Path] = []
        self._scan_now = True
        self._again = False
        self._closing = False
        # of the thread alone
        self._known: dict[Path, RunFacts] = {}
        self._wanted: dict[Path, tuple[int, int]] = {}
        self._news: list[RunFacts] = []
        self._gone: list[Path] = []
        self._troubles: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._work, name="index of runs", daemon=True)

    def begin(self) -> None:
        """Start reading."""
        self._thread.start()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Get the folders that are looked at."""
        with self._condition:
            return tuple(self._folders)

    def add_folder(self, folder: Path) -> None:
        """Look into one folder more."""
        with self._condition:
            if folder not in self._folders:
                self._folders.append(folder)
            self._scan_now = True
            self._condition.notify()

    def prefer(self, paths: list[Path]) -> None:
        """Read these before all others: somebody is looking at them."""
        with self._condition:
            self._preferred = paths
            self._condition.notify()

    def refresh(self, *, again: bool = False) -> None:
        """Look now; `again` reads unreadable files once more, whose cause may have gone without changing them."""
        with self._condition:
            self._scan_now, self._again = True, self._again or again
            self._condition.notify()

    def close(self) -> None:
        """End the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)  # a file on a share that does not answer holds it longer

    # --- the thread -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        scanned_ns = told_ns = self._clock.now_ns()
        while True:
            with self._condition:
                if self._closing:
                    return
                now_ns = self._clock.now_ns()
                due = self._scan_now or now_ns - scanned_ns >= self._rescan_ns
                if not due and not self._wanted and not self._news and not self._gone:
                    self._condition.wait((self._rescan_ns - (now_ns - scanned_ns)) * 1e-9)
                    continue
                again, preferred, folders = self._again, self._preferred, tuple(self._folders)
                if due:
                    self._scan_now = self._again = False
            if due:
                scanned_ns = now_ns
                try:
                    self._scan(folders, again=again)
                except Exception as error:  # noqa: BLE001 - it is told, and the list goes on with what it knows
                    self._troubles = (f"the folders cannot be looked through, a defect of the program: {error!r}",)
                self._tell()
                continue
            if self._wanted:
                self._read_one(preferred)
                with self._condition:  # the window has to get its turns while thousands are read
                    if not self._closing:
                        self._condition.wait(REST_S)
            if not self._wanted or self._clock.now_ns() - told_ns >= BATCH_S * 1e9:
                self._tell()
                told_ns = self._clock.now_ns()

    def _tell(self) -> None:
        change = IndexChange(tuple(self._news), tuple(self._gone), self._troubles, len(self._wanted))
        self._news, self._gone = [], []
        if not self._closing:
            self.changed.emit(change)

    def _read_one(self, preferred: list[Path]) -> None:
        path = next((path for path in preferred if path in self._wanted), None) or next(iter(self._wanted))
        size, mtime_ns = self._wanted.pop(path)
        self._news.append(facts := read_facts(path, size, mtime_ns))
        self._known[path] = facts

    def _scan(self, folders: tuple[Path, ...], *, again: bool) -> None:
        found, troubles = _found(folders)
        self._troubles = tuple(troubles)
        for path in [path for path in self._known if path not in found]:
            del self._known[path]
            self._wanted.pop(path, None)
            self._gone.append(path)
        newest_first = sorted(found.items(), key=lambda item: item[1].st_mtime_ns, reverse=True)
        for path, entry in newest_first:
            key = (entry.st_size, entry.st_mtime_ns)
            known = self._known.get(path)
            if known is None:
                known = RunFacts(path, *key, when_s=entry.st_mtime_ns * 1e-9)
                if not stat.S_ISREG(entry.st_mode):
                    known = _unreadable(known, "it is not a plain file")
                self._known[path] = known
                self._news.append(known)
            if self._stale(known, key, again=again) and stat.S_ISREG(entry.st_mode):
                self._wanted[path] = key
        self._wanted = {path: self._wanted[path] for path, _ in newest_first if path in self._wanted}

    @staticmethod
    def _stale(known: RunFacts, key: tuple[int, int], *, again: bool) -> bool:
        if known.state == UNREAD or (known.size, known.mtime_ns) != key:
            return True
        if known.state == UNREADABLE:
            return again
        # a writer that dies changes nothing of its file
        return not known.trimmed and writer_lives(known.path) != known.running


def _found(folders: tuple[Path, ...]) -> tuple[dict[Path, os.stat_result], list[str]]:
    """List the run files of all folders, and what is wrong with folders; one that is not there yet has no runs yet."""
    found: dict[Path, os.stat_result] = {}
    troubles: list[str] = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.endswith(".h5"):
                        continue
                    try:
                        facts = entry.stat()
                    except OSError:  # gone in this moment, or a link to nowhere
                        continue
                    if not stat.S_ISDIR(facts.st_mode):
                        found[folder / entry.name] = facts
        except FileNotFoundError:
            continue
        except OSError as error:
            troubles.append(f"{folder} cannot be listed: {error.strerror}")
    return found, troubles
