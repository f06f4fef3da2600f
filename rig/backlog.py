"""Events on their way to one listener, bounded: who is slow hears the newest progress, but never misses how a run ended."""

from collections import deque
from dataclasses import dataclass

from rig.control import EngineStatus, Event, InstrumentStates, Note, RunProgress, encode

MAX_BACKLOG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    event: Event
    line: bytes
    newest_only: bool


class Backlog:
    """First in, first out.

    Progress without words, states of the engine and of connected instruments: only the newest of each waits. Notes, and
    progress with words, are left out while half of the room is taken; how many were, is the last thing that is told. Everything
    else is kept or refused.
    """

    def __init__(self, max_bytes: int = MAX_BACKLOG_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[_Entry] = deque()
        self._bytes = 0
        self._left_out = 0

    def put(self, event: Event, line: bytes, *, asked: bool = False) -> bool:
        """Add an event and its line; False when it does not fit and must not be left out.

        Parameters
        ----------
        asked  somebody waits for just this one
        """
        newest_only = not asked and (
            isinstance(event, EngineStatus)
            or (isinstance(event, RunProgress) and not event.detail)
            or (isinstance(event, InstrumentStates) and event.connected)
        )
        if newest_only:
            old = next((one for one in self._entries if one.newest_only and type(one.event) is type(event)), None)
            if old is not None:
                self._entries.remove(old)
                self._bytes -= len(old.line)
        elif isinstance(event, Note | RunProgress) and self._bytes + len(line) > self._max_bytes // 2:
            self._left_out += 1
            return True
        if self._bytes + len(line) > self._max_bytes:
            return newest_only
        self._entries.append(_Entry(event, line, newest_only))
        self._bytes += len(line)
        return True

    def take(self) -> tuple[Event, bytes] | None:
        """Return the oldest event and its line, None when there is none."""
        if self._entries:
            entry = self._entries.popleft()
            self._bytes -= len(entry.line)
            return entry.event, entry.line
        if not self._left_out:
            return None
        note = Note(text=f"{self._left_out} lines were left out: this listener was too slow for them.")
        self._left_out = 0
        return note, encode(note)
