"""The window's end of the engine: its state, what it says, and the way of commands to it. Never blocks the window."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from PyQt5.QtCore import QObject, Qt, QTimer, pyqtSignal

from drivers.clock import Clock, MonotonicClock
from gui.conversation import Answered, Attached, Conversation, Find, Gone, Heard, StopAnswered
from gui.engine_process import EngineChoice, start_engine
from rig.control import (
    Answer,
    Begun,
    Command,
    CommanderChanged,
    Ended,
    EngineStatus,
    ErrorWords,
    Off,
    Refused,
    RunProgress,
    Start,
    Status,
    Stop,
    Welcome,
)
from rig.engine_file import EngineFile
from rig.run_state import RunState

ASK_MS = 500
SILENT_S = 3.0
STOP_PATIENCE_MS = 1000
GOES_ON = ("running", "paused", "stopping")

OnAnswer = Callable[[Answer], None]


class EngineLink(QObject):
    """Attached to one engine at a time; every signal comes in the window's thread.

    Signals
    -------
    said            every event of rig.control
    status_changed  EngineStatus; also while a run makes progress
    attached        EngineFile: it was found and has said who it is
    gone            str: the engine, or the way to it, is no more; `status` is None, `last_status` what was known
    refused         ErrorWords: a command nobody waited for the answer of, or a run that did not begin
    stop_pressed    a Stop is on its way
    stop_answered   float: it was taken after so many milliseconds
    stop_unanswered str: it was not taken within a second
    silent_changed  bool: the engine does not answer (any more)
    """

    said = pyqtSignal(object)
    status_changed = pyqtSignal(object)
    attached = pyqtSignal(object)
    gone = pyqtSignal(str)
    refused = pyqtSignal(object)
    stop_pressed = pyqtSignal()
    stop_answered = pyqtSignal(float)
    stop_unanswered = pyqtSignal(str)
    silent_changed = pyqtSignal(bool)
    _came = pyqtSignal(int, object)

    def __init__(self, parent: QObject | None = None, clock: Clock | None = None, *, name: str = "") -> None:
        super().__init__(parent)
        self.name = name or f"rig gui, process {os.getpid()}"  # as others see this window
        self.status: EngineStatus | None = None
        self.last_status: EngineStatus | None = None
        self.engine: EngineFile | None = None
        self.welcome: Welcome | None = None
        self.orderly = False  # whether an engine that is gone took leave
        self._clock = clock or MonotonicClock()
        self._conversation: Conversation | None = None
        self._generation = 0  # what an older conversation says late is not heard
        self._generations = itertools.count(1)
        self._awaited: dict[int, tuple[Command, OnAnswer | None]] = {}
        self._asked_ns: int | None = None
        self._pressed_ns: int | None = None
        self._wish: Stop | Off | None = None  # to be sent as soon as there is an engine
        self._silent = False
        came: Any = self._came  # PyQt5's types know no kinds of connections
        came.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._asking = QTimer(self)
        self._asking.setInterval(ASK_MS)
        self._asking.timeout.connect(self._ask_now_and_then)
        self._stopping = QTimer(self)
        self._stopping.setSingleShot(True)
        self._stopping.setInterval(STOP_PATIENCE_MS)
        self._stopping.timeout.connect(self._stop_overdue)

    # --- the way to an engine

    def attach(self, engine: EngineFile) -> None:
        """Follow and command an engine that runs already; `attached` or `gone` tells how it went."""
        self._converse(lambda _: engine)

    def start_engine(self, bench: Path | None, simulate: bool, out: Path) -> None:
        """Start an engine that outlives the window, and attach to it; commands sent meanwhile wait for it."""
        choice = EngineChoice(bench, simulate, out)
        self._converse(lambda enough: start_engine(choice, enough))

    def find_or_start(self, choice: EngineChoice) -> None:
        """Attach to the living engine of a bench, else start one."""
        self._converse(lambda enough: choice.living() or start_engine(choice, enough))

    @property
    def there(self) -> bool:
        """Get whether an engine is attached, or is just being found or started."""
        return self._conversation is not None

    @property
    def runs(self) -> bool:
        """Get whether a run is under way."""
        return self.status is not None and self.status.state in GOES_ON

    @property
    def silent(self) -> bool:
        """Get whether the engine has not answered for some seconds."""
        return self._silent

    @property
    def commands(self) -> bool:
        """Get whether this window commands the engine, or could."""
        return self.status is not None and self.status.commander in ("", self.name)

    def close(self) -> None:
        """Let go of the engine, which goes on; harmless when done already."""
        self._asking.stop()
        self._stopping.stop()
        self._generation = 0
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.close()
        self._awaited.clear()
        self.engine = self.welcome = self.status = None

    def _converse(self, find: Find) -> None:
        self.close()
        generation = self._generation = next(self._generations)
        self._asked_ns = self._pressed_ns = self._wish = None
        self._say_silent(False)
        self._conversation = Conversation(find, self.name, lambda heard: self._came.emit(generation, heard))

    # --- commands

    def send(self, command: Command, heard: OnAnswer | None = None) -> None:
        """Send a command; `heard` is called with its answer, without it a refusal is told by `refused`."""
        if isinstance(command, Stop | Off):
            self._press(command)
            return
        if self._conversation is None:
            self._told(command, heard, Answer(id=0, ok=False, error=_nobody()))
            return
        self._awaited[self._conversation.post(command)] = command, heard

    def stop(self, why: str = "") -> None:
        """End the run safely: goes out at once, on a connection of its own."""
        self._press(Stop(why=why))

    def _press(self, command: Stop | Off) -> None:
        sent = self._conversation is not None and self._conversation.press(command)
        if self._pressed_ns is None:
            self._pressed_ns = self._clock.now_ns()
        self.stop_pressed.emit()
        if sent:
            if not self._stopping.isActive():
                self._stopping.start()
        elif self._conversation is None:
            self._pressed_ns = None
            self.stop_unanswered.emit("There is no engine that could be told.")
        else:
            self._wish = command  # no engine is reached yet; starts that wait are void now

    def _stop_overdue(self) -> None:
        self.stop_unanswered.emit(f"The engine has not answered for {STOP_PATIENCE_MS / 1000:g} s.")

    def _ask_now_and_then(self) -> None:
        now_ns = self._clock.now_ns()
        if self._asked_ns is None:
            self._ask()
        elif now_ns - self._asked_ns > SILENT_S * 1e9 and not self._compiling:
            self._say_silent(True)

    @property
    def _compiling(self) -> bool:
        """Whether the engine may be busy with the check of a sequence, for which it answers nothing else."""
        return any(isinstance(command, Start) for command, _ in self._awaited.values())

    def _ask(self) -> None:
        if self._asked_ns is None and self._conversation is not None:
            self._asked_ns = self._clock.now_ns()
            self.send(Status(), self._answered_status)

    def _answered_status(self, answer: Answer) -> None:
        self._asked_ns = None
        if answer.ok:
            self._say_silent(False)

    def _say_silent(self, silent: bool) -> None:
        if silent != self._silent:
            self._silent = silent
            self.silent_changed.emit(silent)

    # --- what is heard

    def _take(self, generation: int, what: object) -> None:
        if generation != self._generation:
            return
        heard = cast(Heard, what)
        match heard:
            case Attached():
                self.engine, self.welcome, self.orderly = heard.engine, heard.welcome, False
                self._asking.start()
                wish, self._wish = self._wish, None
                if wish is not None:
                    self._press(wish)
                self.attached.emit(heard.engine)
            case Answered():
                self._take_answer(heard)
            case StopAnswered():
                self._take_stop_answer()
            case Gone():
                self._take_leave(heard)
            case _:
                self._note(heard)
                self.said.emit(heard)

    def _take_answer(self, heard: Answered) -> None:
        command, on_answer = self._awaited.pop(heard.number, (None, None))
        if command is None or self._conversation is None:
            return
        if isinstance(command, Start) and heard.answer.ok and self._conversation.overtaken(heard.number):
            self._press(Stop(why="Stop was pressed while the run was being started"))
        self._told(command, on_answer, heard.answer)
        if not isinstance(command, Status):
            self._ask()

    def _told(self, command: Command, on_answer: OnAnswer | None, answer: Answer) -> None:
        if on_answer is not None:
            on_answer(answer)
        elif not answer.ok:
            self.refused.emit(answer.error or ErrorWords(kind="", what=f"{command.command} was refused without a reason."))

    def _take_stop_answer(self) -> None:
        self._stopping.stop()
        if self._pressed_ns is not None:
            waited_ms = (self._clock.now_ns() - self._pressed_ns) * 1e-6
            self._pressed_ns = None
            self.stop_answered.emit(waited_ms)
        self._ask()

    def _take_leave(self, heard: Gone) -> None:
        conversation, self._conversation = self._conversation, None
        self._generation = 0
        self._asking.stop()
        self._stopping.stop()
        self.last_status, self.status = self.status, None
        self.engine = None
        self.orderly = heard.orderly
        self._asked_ns = self._pressed_ns = self._wish = None
        self._say_silent(False)
        if conversation is not None:
            conversation.close()
        awaited, self._awaited = self._awaited, {}
        for command, on_answer in awaited.values():
            words = ErrorWords(kind="EngineGone", what=heard.why)
            if not isinstance(command, Status):
                self._told(command, on_answer, Answer(id=0, ok=False, error=words))
        self.gone.emit(heard.why)

    def _note(self, event: object) -> None:
        """Keep the state up to date between two answers of the engine about it."""
        status = self.status
        if isinstance(event, EngineStatus):
            self._set(event)
        elif status is None:
            return
        elif isinstance(event, Begun):
            self._set(
                status.model_copy(
                    update={
                        "state": "stopping" if status.state == "stopping" else "running",
                        "latched": "",
                        "shots_done": 0,
                        **event.model_dump(include={"title", "sample", "measurement", "mode", "file", "shots_planned"}),
                    }
                )
            )
        elif isinstance(event, RunProgress):
            paused = event.state == RunState.PAUSED.value
            state = status.state if status.state == "stopping" else "paused" if paused else "running"
            done = {"state": state, "shots_done": event.shots_done, "left_s": event.left_s}
            self._set(status.model_copy(update={**done, "shots_planned": event.shots_planned}))
        elif isinstance(event, Ended):
            confirmed = all(one.confirmation == "CONFIRMED" for one in event.hardware)
            fault = event.error.what if event.error else "" if confirmed else "Off could not be confirmed on every instrument."
            self._set(status.model_copy(update={"state": "latched" if fault else "idle", "latched": fault, "left_s": None}))
            self._ask()
        elif isinstance(event, CommanderChanged):
            self._set(status.model_copy(update={"commander": event.who}))
        elif isinstance(event, Refused):
            self.refused.emit(event.error)
            self._ask()

    def _set(self, status: EngineStatus) -> None:
        self.status = self.last_status = status
        self.status_changed.emit(status)


def _nobody() -> ErrorWords:
    return ErrorWords(
        kind="RefusedError", what="No engine is running for this bench.", where="window", next_step="press Start to start one"
    )
