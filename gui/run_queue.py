"""The sequences that are to be run one after the other, kept in a file. No Qt; it runs nothing, it says what comes next.

It goes on by itself after a run that ended well, and after a sequence that was refused before anything was touched. After
anything else, and after the window was opened anew, it halts until a person says go on. What a queue holds are copies of the
texts, which nobody can change any more.
"""

import tomllib
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivers.errors import Reason, RecordError, RefusedError
from rig.control import Begun, Closing, Ended, EngineStatus, ErrorWords, Event, Refused
from rig.file_lock import FileLock
from rig.runfile_layout import ENDINGS
from rig.runfile_reader import open_run
from rig.sequence import slug
from rig.small_file import private_folder, read_small, set_aside, write_whole
from rig.state_folder import state_folder

State = Literal["waiting", "running", "done", "refused", "fault", "stopped"]

MAX_ENTRIES = 200
MAX_FILE_BYTES = 20_000_000
MAX_TEXT = 50_000  # characters; a line of the control channel takes no more
# refused for what it says: the next one may be better
HARMLESS = ("ConfigError", "CompileError")
# the start may have come through all the same: gone() tells
NOT_HEARD = "EngineGone"
STILL_RUNS = "still running"
UNSEEN = "nobody saw how it ended: look at its file on the runs page, and at the bench"


class Entry(BaseModel):
    """One sequence of the queue; `file` is its run file, once it has begun."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: int = Field(ge=1)
    name: str
    toml: str = Field(max_length=MAX_TEXT)
    title: str = ""
    sample: str = ""
    measurement: str = ""
    state: State = "waiting"
    detail: str = ""
    file: str = ""

    @property
    def label(self) -> str:
        """Get what people call it."""
        return self.title or self.name


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    entries: list[Entry] = Field(max_length=MAX_ENTRIES)


def ending_of(file: str) -> str:
    """Read from a run file how its run ended, STILL_RUNS when somebody writes it; "" when it does not say."""
    try:
        run = open_run(Path(file))
        alive, state = run.writer_lives, run.state  # in this order: a writer sets its state before it lets go
    except Exception:  # noqa: BLE001 - whatever is wrong with that file: how it ended is not known
        return ""
    return state if state in ENDINGS else STILL_RUNS if alive else ""


def queue_file(bench: Path | None) -> Path:
    """Return where the queue of a bench file is kept; None is the default bench."""
    name = "default" if bench is None else f"{slug(bench.stem)}-{sha256(str(bench.resolve()).encode()).hexdigest()[:8]}"
    return state_folder("queues") / f"{name}.json"


class RunQueue:
    """The queue.

    Parameters
    ----------
    path    of its file, None to keep nothing
    ending  tells how the run of a file ended; "" when nobody knows

    Only one window at a time has the queue of a file; `foreign` says that another one has it, and nothing can be changed then.
    `trouble` says what is wrong with the file, "" when nothing is.
    """

    def __init__(self, path: Path | None = None, ending: Callable[[str], str] = ending_of) -> None:
        self._path = path
        self._ending = ending
        self._listeners: list[Callable[[], None]] = []
        self._entries: list[Entry] = []
        self._unsure = False  # the entry that runs may have ended unheard
        self._lock: FileLock | None = None
        self.foreign = False
        self.trouble = ""
        self.going = False
        self.halted = ""  # why, when it did so by itself
        if path is not None:
            self._open(path)

    def close(self) -> None:
        """Give the file back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._listeners.clear()

    def listen(self, listener: Callable[[], None]) -> None:
        """Tell `listener` whenever anything changes."""
        self._listeners.append(listener)

    # --- what is there

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Get the entries, in the order in which they are run."""
        return tuple(self._entries)

    @property
    def running(self) -> Entry | None:
        """Get the entry whose run is under way, or was asked for."""
        return next((entry for entry in self._entries if entry.state == "running"), None)

    @property
    def waiting(self) -> int:
        """Count the entries that are still to be run."""
        return sum(entry.state == "waiting" for entry in self._entries)

    def entry(self, number: int) -> Entry:
        """Get an entry by its id; KeyError when there is none."""
        return self._entries[self._index(number)]

    # --- what a person does; RefusedError when it cannot be, RecordError when the file cannot be written

    def add(self, toml: str, name: str) -> Entry:
        """Put a copy of a sequence at the end."""
        if len(self._entries) >= MAX_ENTRIES:
            raise _refused("queue-full", f"The queue holds {MAX_ENTRIES} entries: take out what has been run.")
        if len(toml) > MAX_TEXT:
            raise _refused("sequence-too-long", f"A sequence of {len(toml)} characters is too long, {MAX_TEXT} are accepted.")
        number = 1 + max((entry.id for entry in self._entries), default=0)
        entry = Entry(id=number, name=name, toml=toml, **_heading(toml))
        self._change([*self._entries, entry])
        return entry

    def remove(self, number: int) -> None:
        """Take an entry out; not the one that runs."""
        index = self._index(number)
        if self._entries[index].state == "running":
            raise _refused("entry-runs", "This entry is running: stop the run first.")
        self._change(self._entries[:index] + self._entries[index + 1 :])

    def clear_ended(self) -> None:
        """Take out everything that is neither waiting nor running."""
        self._change([entry for entry in self._entries if entry.state in ("waiting", "running")])

    def move(self, number: int, places: int) -> None:
        """Move an entry down by some places (up when negative), to an end at most."""
        index = self._index(number)
        rest = self._entries[:index] + self._entries[index + 1 :]
        at = min(max(0, index + places), len(rest))
        self._change([*rest[:at], self._entries[index], *rest[at:]])

    def reorder(self, numbers: list[int]) -> None:
        """Put the entries into the order of these ids, which are all of them."""
        if sorted(numbers) != sorted(entry.id for entry in self._entries):
            raise _refused("queue-changed", "The queue has changed in the meantime: look at it again.")
        self._change([self.entry(number) for number in numbers])

    def again(self, number: int) -> Entry:
        """Put a copy of an entry at the end, to be run once more."""
        entry = self.entry(number)
        return self.add(entry.toml, entry.name)

    def go_on(self) -> None:
        """Let it go on; next() then says with what."""
        if not self._writable():
            return
        entry = self.running
        if entry is not None and self._unsure:  # no engine may ever come back to tell
            if self._ending(entry.file) == STILL_RUNS:
                raise _refused("entry-runs", f"{entry.label} is still running: attach to its engine, or stop it first.")
            self._settle_unseen(entry)
            self._unsure = False
        self.going, self.halted = True, ""
        self._tell()

    def halt(self, why: str = "") -> None:
        """Let it start nothing more; what runs is not touched."""
        self.going, self.halted = False, why
        self._tell()

    # --- what happens

    def next(self) -> Entry | None:
        """Take the entry that is to be started now, and call it running; None when there is none to start.

        Raises
        ------
        RecordError  that cannot be written down; it is not to be started then, and the queue halts
        """
        if not self.going or self.running is not None:
            return None
        entry = next((one for one in self._entries if one.state == "waiting"), None)
        if entry is None:
            self.going = False  # what is added later waits for a person
            self._tell()
            return None
        self._unsure = False
        try:
            self._change(self._with(entry, state="running", detail="", file=""))
        except RecordError as error:
            self.halt(error.what)
            raise
        return self.entry(entry.id)

    def heed(self, event: Event) -> None:
        """Hear what the engine says. Raises nothing: what cannot be written down is kept in `trouble`, and the queue halts."""
        match event:
            case Begun() | EngineStatus():
                self._heed_whereabouts(event)
            case Ended():
                self._heed_end(event)
            case Refused(error=error):
                self.refused(error)
            case Closing(why=why):
                self.gone(why)
            case _:
                pass

    def refused(self, error: ErrorWords) -> None:
        """Hear that the running entry was not taken, or never began."""
        entry = self.running
        if entry is None or error.kind == NOT_HEARD:
            return
        if error.kind in HARMLESS and not entry.file:
            self._settle(entry, "refused", _words(error), "")
        elif error.kind == "RefusedError" and not entry.file:  # engine busy or latched, bench taken, disk full
            self._settle(entry, "waiting", _words(error), f"{entry.label} was not started: {error.what}")
        elif error.kind == "ControlError" and not entry.file:
            self._settle(entry, "refused", _words(error), f"{entry.label} was not started: {error.what}")
        else:
            self._settle(entry, "fault", _words(error), f"{entry.label}: {error.what}")

    def gone(self, why: str) -> None:
        """Hear that nobody hears from the engine any more; the entry that runs is settled when one does again."""
        self._unsure = True
        if self.running is not None or self.going:
            self.halt(f"the engine cannot be heard: {why}")

    # --- inside

    def _heed_whereabouts(self, event: Begun | EngineStatus) -> None:
        entry = self.running
        if entry is None:
            return
        under_way = isinstance(event, Begun) or event.state in ("running", "paused", "stopping")
        ours = (event.title, event.sample, event.measurement) == (entry.title, entry.sample, entry.measurement)
        if isinstance(event, Begun) and ours:
            self._unsure = False
            self._put(self._with(entry, file=event.file))
        elif isinstance(event, EngineStatus) and self._unsure:  # else what it says may be older than the start
            if under_way and event.file and (entry.file == event.file or (ours and not entry.file)):
                self._unsure = False
                self._put(self._with(entry, file=event.file))
            elif event.file or not under_way:
                self._unsure = False
                self._settle_unseen(entry)

    def _heed_end(self, event: Ended) -> None:
        entry = self.running
        if entry is None or entry.file != event.file:
            return
        proved = all(one.confirmation == "CONFIRMED" for one in event.hardware)
        if event.state == "done" and event.exit_code == 0 and event.error is None and proved:
            self._settle(entry, "done", "", "")
        elif event.state == "stopped" and event.error is None and proved:
            self._settle(entry, "stopped", event.why, f"{entry.label} was stopped{event.why and f': {event.why}'}")
        else:
            not_off = ", ".join(one.role for one in event.hardware if one.confirmation != "CONFIRMED")
            words = _words(event.error) if event.error is not None else f"off is not confirmed: {not_off or event.state}"
            self._settle(entry, "fault", words, f"{entry.label} ended with a fault")

    def _settle_unseen(self, entry: Entry) -> None:
        word = self._ending(entry.file) if entry.file else ""
        states: dict[str, State] = {"done": "done", "stopped": "stopped", "fault": "fault"}
        detail = "" if word == "done" else "seen in its file only" if word in states else UNSEEN
        self._settle(entry, states.get(word, "fault"), detail, f"the end of {entry.label} was not seen")

    def _settle(self, entry: Entry, state: State, detail: str, halted: str) -> None:
        self._put(self._with(entry, state=state, detail=detail))
        if halted:
            self.halt(halted)

    def _put(self, entries: list[Entry]) -> None:
        """Change what has happened anyway."""
        try:
            self._change(entries)
        except RecordError as error:
            self._entries = entries
            self.trouble = str(error)
            self.halt(error.what)

    def _with(self, entry: Entry, **changes: Any) -> list[Entry]:
        changed = entry.model_copy(update=changes)
        return [changed if one.id == entry.id else one for one in self._entries]

    def _index(self, number: int) -> int:
        for index, entry in enumerate(self._entries):
            if entry.id == number:
                return index
        raise KeyError(number)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    # --- file

    def _writable(self) -> bool:
        return not self.foreign

    def _change(self, entries: list[Entry]) -> None:
        if not self._writable():
            raise _refused("queue-elsewhere", "Another window has this queue: use that one, or close it.")
        if self._path is not None:
            try:
                write_whole(self._path, _Stored(entries=entries).model_dump_json(indent=1) + "\n", private=True)
            except (OSError, ValueError) as error:
                raise RecordError(
                    f"The queue cannot be written: {error}.",
                    where=str(self._path),
                    next_step="make room on the disk and the folder writable, then do it again",
                ) from error
        self._entries, self.trouble = entries, ""
        self._tell()

    def _open(self, path: Path) -> None:
        try:
            private_folder(path.parent)
            self._lock = FileLock.acquire(path.with_suffix(".lock"))
        except OSError as error:
            self.trouble = f"the queue cannot be kept in {path.parent}: {error.strerror or error}"
            return
        self.foreign = self._lock is None
        self._read(path)

    def _read(self, path: Path) -> None:
        try:
            stored = _Stored.model_validate_json(read_small(path, MAX_FILE_BYTES))
            _require_sound(stored.entries)
        except FileNotFoundError:
            return
        except OSError as error:
            self.trouble = f"{path} cannot be read: {error.strerror or error}"
            self.foreign = True  # nothing is written over what cannot be read
            return
        except ValueError as error:  # ValidationError is one
            self._set_aside(path, error)
            return
        self._entries = stored.entries
        self._unsure = self.running is not None
        if self._unsure or self.waiting:
            self.halted = "the window was opened anew"

    def _set_aside(self, path: Path, error: ValueError) -> None:
        why = "it is no queue" if isinstance(error, ValidationError) else str(error)
        self.trouble = f"{path} makes no sense ({why})"
        if self.foreign:
            return
        with suppress(OSError):
            self.trouble += f" and was set aside as {set_aside(path).name}; the queue begins empty"
            return
        self.foreign = True


def _require_sound(entries: list[Entry]) -> None:
    if len({entry.id for entry in entries}) != len(entries):
        raise ValueError("two entries have one id")
    if sum(entry.state == "running" for entry in entries) > 1:
        raise ValueError("two entries are running")


def _heading(toml: str) -> dict[str, Any]:
    """Read title, sample and measurement of a sequence; one that is malformed has none."""
    try:
        values: dict[str, Any] = tomllib.loads(toml)
    except (ValueError, RecursionError):
        return {}
    return {key: str(values[key]) for key in ("title", "sample", "measurement") if key in values}


def _words(error: ErrorWords) -> str:
    reasons = "; ".join(f"{reason.message} [{reason.code}]" for reason in error.reasons)
    return f"{error.what} {reasons}".strip()


def _refused(code: str, what: str) -> RefusedError:
    return RefusedError(what, (Reason(code, "", what),), where="queue of runs")
