"""The threads of a window's conversation with one engine: one finds it and listens, one speaks, Stop has a line of its own."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import RigError
from gui.stop_line import StopLine
from rig.control import Answer, Closing, Command, ErrorWords, Event, Off, Start, Stop, Welcome
from rig.control_client import EngineLine
from rig.engine_file import EngineFile

LOOK_S = 0.5
ANSWER_S = 5.0
START_ANSWER_S = 120.0  # a long sequence is compiled before it is taken


@dataclass(frozen=True, slots=True)
class Attached:
    """The engine was found and has said who it is."""

    engine: EngineFile
    welcome: Welcome


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of command `number`."""

    number: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class StopAnswered:
    """The engine has taken a Stop or an Off."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Gone:
    """The conversation has ended; `orderly` when the engine took leave."""

    why: str
    orderly: bool


Heard = Attached | Answered | StopAnswered | Gone | Event
Find = Callable[[threading.Event], EngineFile]


class Conversation:
    """Talks to an engine, from its making to close().

    Parameters
    ----------
    find  returns the engine, or raises RigError; it gives up when the event that it is handed is set
    who   shown to others
    tell  told everything that is heard, in threads of this conversation
    """

    def __init__(self, find: Find, who: str, tell: Callable[[Heard], None]) -> None:
        self._find = find
        self._who = who
        self._tell = tell
        self._closed = threading.Event()
        self._orders: queue.SimpleQueue[tuple[int, Command] | None] = queue.SimpleQueue()
        self._numbers = 0
        self._void = 0  # starts up to this number were overtaken by a Stop
        self._line: EngineLine | None = None
        self._stop_line: StopLine | None = None
        self._more: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._listen, name="engine link", daemon=True)
        self._thread.start()

    def post(self, command: Command) -> int:
        """Send a command when those before it are answered; return its number, which Answered carries."""
        self._numbers += 1
        self._orders.put((self._numbers, command))
        return self._numbers

    def press(self, command: Stop | Off) -> bool:
        """Stop now, before anything that waits to be sent; False when there is nobody to be told."""
        self._void = self._numbers
        line, stop_line = self._line, self._stop_line
        if stop_line is not None and stop_line.press(command):
            return True
        if line is None:
            return False
        self._begin(lambda: self._press_on(line, command), "stop on the common line")
        return True

    def overtaken(self, number: int) -> bool:
        """Tell whether a Stop came after this command was given."""
        return number <= self._void

    def close(self) -> None:
        """End it, and wait for its threads."""
        self._closed.set()
        self._orders.put(None)
        if self._line is not None:
            self._line.close()
        self._thread.join()
        for thread in self._more:
            thread.join()

    # --- threads

    def _begin(self, act: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=act, name=name, daemon=True)
        self._more.append(thread)
        thread.start()

    def _listen(self) -> None:
        why, orderly = "the window has let go of it", False
        try:
            engine = self._find(self._closed)
            with EngineLine.connect(engine, self._who, commander=True) as line:
                self._stop_line = self._ready_to_stop(engine)
                self._line = line
                self._tell(Attached(engine, line.welcome))
                self._begin(lambda: self._speak(line), "orders to the engine")
                while not self._closed.is_set():
                    for event in line.events(LOOK_S):
                        orderly = orderly or isinstance(event, Closing)
                        self._tell(event)
        except RigError as error:
            why = str(error)
        finally:
            if self._stop_line is not None:
                self._stop_line.close()
            self._orders.put(None)
            self._tell(Gone(why, orderly))

    def _ready_to_stop(self, engine: EngineFile) -> StopLine | None:
        try:
            return StopLine(engine, f"{self._who} (its Stop)", lambda answer: self._tell(StopAnswered(answer)))
        except OSError:  # no socket left: Stop goes the common way
            return None

    def _speak(self, line: EngineLine) -> None:
        while (order := self._orders.get()) is not None:
            number, command = order
            if isinstance(command, Start) and self.overtaken(number):
                answer = _refusal("It was not started: Stop was pressed before the engine could be told.")
            else:
                answer = _sent(line, command, START_ANSWER_S if isinstance(command, Start) else ANSWER_S)
            self._tell(Answered(number, answer))

    def _press_on(self, line: EngineLine, command: Stop | Off) -> None:
        answer = _sent(line, command, ANSWER_S)
        if answer.ok:
            self._tell(StopAnswered(answer))


def _sent(line: EngineLine, command: Command, timeout_s: float) -> Answer:
    try:
        return line.send(command, timeout_s)
    except RigError as error:
        return Answer(id=0, ok=False, error=ErrorWords.of(error))


def _refusal(what: str) -> Answer:
    return Answer(id=0, ok=False, error=ErrorWords(kind="RefusedError", what=what))
