"""Work that takes longer than a turn of the event loop, a piece at a time in a thread; answers come in the GUI thread."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal

MAX_WAITING = 20
PATIENCE_S = 5.0

Abandoned = Callable[[], bool]
Work = Callable[[Abandoned], Any]


class GivenUpError(Exception):
    """Raised by a piece of work that has noticed that nobody wants it any more."""


def check(abandoned: Abandoned) -> None:
    """Give up when nobody wants the work any more.

    Raises
    ------
    GivenUpError  so it is
    """
    if abandoned():
        raise GivenUpError


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    work: Work
    then: Callable[[Any], None]
    failed: Callable[[Exception], None]


class SideWork(QObject):
    """A thread that works for one page; it begins with the first piece.

    A piece is handed `abandoned`, which it may ask now and then; after close() that says yes. What a piece raises is handed to
    `failed`, also defects of the program.
    """

    _came = pyqtSignal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._condition = threading.Condition()
        self._waiting: deque[_Piece] = deque()
        self._at_work = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._came.connect(self._hand_over)

    @property
    def busy(self) -> bool:
        """Get whether something is being done or waits."""
        with self._condition:
            return self._at_work or bool(self._waiting)

    def ask(self, work: Work, then: Callable[[Any], None], failed: Callable[[Exception], None]) -> bool:
        """Have something done; False when too much waits already, or after close()."""
        with self._condition:
            if self._closing or len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append(_Piece(work, then, failed))
            self._condition.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return True

    def close(self) -> None:
        """End the thread; what waits is forgotten. A piece that copies a large file goes on beyond the patience."""
        with self._condition:
            self._closing = True
            self._waiting.clear()
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _abandoned(self) -> bool:
        return self._closing

    def _run(self) -> None:
        while True:
            with self._condition:
                self._at_work = False
                self._condition.wait_for(lambda: self._closing or self._waiting)
                if self._closing:
                    return
                piece = self._waiting.popleft()
                self._at_work = True
            answer: Callable[[], None]
            try:
                result = piece.work(self._abandoned)
            except GivenUpError:
                continue
            except Exception as error:  # noqa: BLE001 - it is told where it was asked for, and the thread goes on
                answer = _bound(piece.failed, error)
            else:
                answer = _bound(piece.then, result)
            if not self._closing:
                self._came.emit(answer)

    def _hand_over(self, answer: Callable[[], None]) -> None:
        if not self._closing:
            answer()


def _bound(function: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: function(value)
