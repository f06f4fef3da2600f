"""The side of the views and commands of the control channel: one line to a running engine, usable from several threads."""

import itertools
import json
import socket
import threading
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

from drivers.clock import Clock, Deadline, MonotonicClock
from drivers.errors import RefusedError
from rig.backlog import Backlog
from rig.control import (
    MAX_LINE_BYTES,
    PROTOCOL,
    Answer,
    Closing,
    Command,
    CommanderChanged,
    ControlError,
    ErrorWords,
    Event,
    Hello,
    Off,
    Refused,
    Welcome,
    decode_event,
    encode,
)
from rig.engine_file import EngineFile

HOST = "127.0.0.1"
CONNECT_S = 3.0
ANSWER_S = 5.0
LOST = "not known here; look with: rig status, switch off with: rig off"


class EngineGone(ControlError):  # noqa: N818 - what has happened, not what is wrong
    """The engine has ended, or cannot be reached."""


class EngineRefused(RefusedError):  # noqa: N818 - as above
    """The engine does not do what it was asked to; `words` says why, in its own words."""

    def __init__(self, words: ErrorWords) -> None:
        super().__init__(words.what, (), where=words.where, next_step=words.next_step)
        self.hardware_state = words.hardware_state
        self.words = words

    def __str__(self) -> str:
        return str(self.words)


class EngineLine:
    """A connection to an engine, from connect() to close().

    `welcome` is what the engine said of itself, `commander` who commands it, as last heard.
    """

    def __init__(self, connected: socket.socket, engine: EngineFile, clock: Clock) -> None:
        self.engine = engine
        self.welcome: Welcome
        self.commander = ""
        self._socket = connected
        self._clock = clock
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._heard = threading.Condition()
        self._backlog = Backlog()
        self._answers: dict[int, Answer | None] = {}  # None: awaited
        self._ended = ""
        self._reader: threading.Thread | None = None

    @classmethod
    def connect(cls, engine: EngineFile, who: str, commander: bool = False, *, clock: Clock | None = None) -> Self:
        """Call an engine and say who is calling.

        Parameters
        ----------
        who        shown to others: "rig attach, terminal 3"
        commander  ask for command too; `welcome.you_command` says whether that was granted

        Raises
        ------
        EngineGone    nobody answers there
        ControlError  who answers is not this engine, does not know us, or speaks another version
        RefusedError  it takes no more listeners
        """
        connected = _called(engine)
        line = cls(connected, engine, clock or MonotonicClock())
        try:
            connected.sendall(encode(Hello(id=0, token=engine.token, who=who, commander=commander)))
            line.welcome, rest = line._welcomed()
        except OSError as error:
            connected.close()
            raise _gone(engine, str(error)) from error
        except BaseException:
            connected.close()
            raise
        line.commander = line.welcome.who_commands
        line._reader = threading.Thread(target=line._listen, args=(rest,), name="engine line", daemon=True)
        line._reader.start()
        return line

    def send(self, command: Command, timeout_s: float = ANSWER_S) -> Answer:
        """Send a command and return the engine's answer to it; the line numbers commands itself.

        Raises
        ------
        EngineGone    the line has ended, before the answer came
        ControlError  no answer in time, or the command is too long for the channel
        """
        number = next(self._numbers)
        line = encode(command.model_copy(update={"id": number}))
        with self._heard:
            self._answers[number] = None
        try:
            self._write(line)
            end = Deadline(self._clock, timeout_s)
            with self._heard:
                while (answer := self._answers[number]) is None:
                    if self._ended:
                        raise _gone(self.engine, self._ended)
                    if end.over:
                        raise _unanswered(self.engine, command, timeout_s)
                    self._heard.wait(end.left_s)
                return answer
        finally:
            with self._heard:
                del self._answers[number]

    def order(self, command: Command, timeout_s: float = ANSWER_S) -> None:
        """Send a command that has to be taken.

        Raises
        ------
        EngineRefused             it was not
        EngineGone, ControlError  as `send`
        """
        answer = self.send(command, timeout_s)
        if not answer.ok:
            raise EngineRefused(answer.error or ErrorWords(kind="", what="The engine refused without a reason."))

    def events(self, timeout_s: float) -> Generator[Event]:
        """Yield events as they come (answers go to who sent the command), for `timeout_s` (s) at most.

        Raises
        ------
        EngineGone  the line has ended and everything that came has been yielded
        """
        end = Deadline(self._clock, timeout_s)
        while True:
            with self._heard:
                while (waiting := self._backlog.take()) is None:
                    if self._ended:
                        raise _gone(self.engine, self._ended)
                    if end.over:
                        return
                    self._heard.wait(end.left_s)
            yield waiting[0]

    def close(self) -> None:
        """End the line; harmless when done already."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._reader is not None and threading.current_thread() is not self._reader:
            self._reader.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # --- bytes

    def _write(self, line: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError as error:
            with self._heard:
                why = self._ended
            raise _gone(self.engine, why or str(error)) from error

    def _welcomed(self) -> tuple[Welcome, bytes]:
        """Wait for the engine's first line; return it, and what has come after it."""
        end = Deadline(self._clock, CONNECT_S)
        came = b""
        while b"\n" not in came:
            if len(came) > MAX_LINE_BYTES or end.over:
                raise _stranger(self.engine, "what answers there does not speak as an engine does")
            self._socket.settimeout(max(0.01, end.left_s))
            try:
                piece = self._socket.recv(65536)
            except TimeoutError as error:
                raise _stranger(self.engine, "it did not answer in time") from error
            if not piece:
                raise _stranger(self.engine, "it ended the connection: it does not know our token")
            came += piece
        first, _, rest = came.partition(b"\n")
        self._socket.settimeout(None)
        _check_protocol(first, self.engine)
        event = decode_event(first)
        if isinstance(event, Refused):
            raise EngineRefused(event.error)
        if not isinstance(event, Welcome):
            raise _stranger(self.engine, f"it began with {event.event}")
        if (event.pid, event.host) != (self.engine.pid, self.engine.host):
            raise _stranger(self.engine, f"process {event.pid} on {event.host} answers")
        return event, rest

    def _listen(self, rest: bytes) -> None:
        why = "it ended the connection"
        try:
            while True:
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    why = self._take_in(line) or why
                if len(rest) > MAX_LINE_BYTES:
                    why = "it sent a line that is too long"
                    break
                piece = self._socket.recv(65536)
                if not piece:
                    break
                rest += piece
        except (OSError, ControlError) as error:
            why = str(error)
        finally:
            with self._heard:
                self._ended = why
                self._heard.notify_all()

    def _take_in(self, line: bytes) -> str:
        """Take in one line; return why the line ends, when it says so."""
        event = decode_event(line)
        with self._heard:
            if isinstance(event, Answer):
                if event.id in self._answers:
                    self._answers[event.id] = event
            elif not self._backlog.put(event, line):
                raise ControlError("Nobody here has listened to what it said for too long.")
            if isinstance(event, CommanderChanged):
                self.commander = event.who
            self._heard.notify_all()
        return event.why if isinstance(event, Closing) else ""


def off_without_token(port: int, why: str = "", *, timeout_s: float = ANSWER_S) -> Answer:
    """Tell whatever engine listens on a port of this computer to switch everything off; needs no token and no engine file.

    Raises
    ------
    ControlError  it did not answer, or nobody is there
    """
    try:
        with socket.create_connection((HOST, port), timeout_s) as connected:
            connected.sendall(encode(Off(id=1, why=why)))
            came = connected.makefile("rb").readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise ControlError(f"No engine answers on port {port}: {error}.", hardware_state=LOST) from error
    answer = decode_event(came)
    if not isinstance(answer, Answer):
        raise ControlError(f"What answers on port {port} is no engine.", hardware_state=LOST)
    return answer


def _called(engine: EngineFile) -> socket.socket:
    try:
        connected = socket.create_connection((HOST, engine.port), CONNECT_S)
    except OSError as error:
        raise _gone(engine, error.strerror or str(error)) from error
    with suppress(OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _check_protocol(line: bytes, engine: EngineFile) -> None:
    """See that a Welcome is one of our version, before its fields are looked at."""
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _stranger(engine, "what answers there does not speak as an engine does") from None
    protocol = cast(dict[str, Any], said).get("protocol", PROTOCOL) if isinstance(said, dict) else None
    if protocol != PROTOCOL:
        raise ControlError(
            f"{engine} speaks version {str(protocol)[:20]} of the control channel, this program version {PROTOCOL}.",
            where="control channel",
            hardware_state=LOST,
            next_step="use the program of the same version as the engine; rig off works with every version",
        )


def _gone(engine: EngineFile, why: str) -> EngineGone:
    return EngineGone(
        f"{engine} is gone: {why}.",
        where=f"{HOST}:{engine.port}",
        hardware_state=LOST,
        next_step="rig status; the run file has what it recorded (rig show, rig recover)",
    )


def _stranger(engine: EngineFile, why: str) -> ControlError:
    return ControlError(
        f"{engine} cannot be talked to: {why}.",
        where=f"{HOST}:{engine.port}",
        hardware_state=LOST,
        next_step="rig status, then try again",
    )


def _unanswered(engine: EngineFile, command: Command, timeout_s: float) -> ControlError:
    return ControlError(
        f"{engine} did not answer {command.command} within {timeout_s:g} s.",
        where=f"{HOST}:{engine.port}",
        hardware_state=LOST,
        next_step="what must be off now: rig off",
    )
