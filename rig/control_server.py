"""The engine's side of the control channel: listens on this computer only, lets one command and all look on.

One thread, one loop, no waiting for anybody. Safety goes before order: Stop and Off need no lease, and Off as the first line of
a connection needs no token either. What looks on needs a token, what commands needs both.
"""

import hmac
import json
import logging
import selectors
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self, cast

from drivers.clock import Clock, Deadline, MonotonicClock
from drivers.errors import RefusedError, RigError
from rig.control import (
    Answer,
    Closing,
    Command,
    CommanderChanged,
    ControlError,
    Ended,
    EngineStatus,
    ErrorWords,
    Event,
    Hello,
    Note,
    Off,
    Refused,
    Release,
    Status,
    Stop,
    Take,
    Welcome,
    decode_command,
    encode,
)
from rig.control_connection import ControlConnection

HOST = "127.0.0.1"
HELLO_S = 2.0
LAST_WORDS_S = 0.5
MAX_LISTENERS = 16
MAX_STRANGERS = 64  # who has not said who it is yet; beyond this the oldest has to go
LINES_PER_TURN = 32  # of one connection, so that a flood of one does not keep another from saying off
MAX_MALFORMED = 16
NO_FILE_S = 0.05  # the system has no more sockets: try again after so long
STRANGER = "somebody on this computer, without a token"


class Desk(Protocol):
    """The engine, as the channel sees it. All of it is called in the server's thread and must return at once."""

    def submit(self, command: Command, who: str) -> Answer:
        """Take a command of Start, Pause, Resume, Stop, Off, Acknowledge and Quit, or say why not."""
        ...

    def status(self) -> EngineStatus:
        """Say where the engine is."""
        ...

    def welcome(self, who_commands: str) -> Welcome:
        """Say which engine this is."""
        ...


class ControlServer:
    """Listens from the moment it is made until `close()`.

    Parameters
    ----------
    token  whoever says it may command
    log    told what was refused; the 1st, 2nd, 4th, 8th ... time of each kind

    Raises
    ------
    OSError  no port is to be had
    """

    def __init__(self, desk: Desk, token: str, *, clock: Clock | None = None, log: Callable[[str], None] | None = None) -> None:
        self._desk = desk
        self._token = token.encode()
        self._clock = clock or MonotonicClock()
        self._log = log or logging.getLogger(__name__).warning
        self._lock = threading.Lock()  # of what others than the loop touch: connections and their backlogs; held for moments
        self._connections: list[ControlConnection] = []
        self._commander: ControlConnection | None = None
        self._hand_overs = 0
        self._stopping = False
        self.refusals: dict[str, int] = {}
        self._listener = _listening()
        self.port = int(self._listener.getsockname()[1])
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._woken)
        self._thread = threading.Thread(target=self._serve, name="control channel", daemon=True)
        self._thread.start()

    @property
    def commander(self) -> str:
        """Get who commands, "" for nobody."""
        commander = self._commander
        return "" if commander is None else commander.who

    @property
    def lease(self) -> int:
        """Get a number that is another whenever somebody else commands, or nobody any more; never the same twice."""
        return self._hand_overs

    @property
    def listeners(self) -> int:
        """Get how many are connected and have said who they are."""
        return sum(connection.welcomed for connection in list(self._connections))

    def publish(self, event: Event) -> None:
        """Tell everybody; from any thread, without waiting, and whatever happens without an error."""
        if self._stopping:
            return
        try:
            event, line = self._ready(event)
            with self._lock:
                for connection in self._connections:
                    if connection.welcomed:
                        connection.tell(event, line)
            self._wake()
        except Exception as error:  # noqa: BLE001 - the run goes on, whoever cannot be told
            self._note_refusal("events that cannot be sent", repr(error))

    def close(self, why: str = "the engine ends") -> None:
        """Say goodbye, end all connections and the thread; harmless when done already."""
        if not self._stopping:
            self.publish(Closing(why=why))
            self._stopping = True
            self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    # --- the loop

    def _serve(self) -> None:
        try:
            while not self._stopping:
                self._turn(self._patience_s())
            self._selector.unregister(self._listener)  # nobody new
            self._listener.close()
            end = Deadline(self._clock, LAST_WORDS_S)
            while self._flush() and not end.over:
                self._turn(0.02)
        finally:
            for connection in self._connections:
                connection.close()
            self._listener.close()
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()

    def _turn(self, patience_s: float | None) -> None:
        for key, mask in self._selector.select(patience_s):
            if isinstance(key.data, ControlConnection):
                if mask & selectors.EVENT_READ and not key.data.lines:
                    self._receive(key.data)
            else:
                key.data()
        for connection in self._connections:
            if connection.lines:
                self._hear(connection)
        now_ns = self._clock.now_ns()
        for connection in self._connections:
            if not (connection.welcomed or connection.ending) and now_ns >= connection.deadline_ns:
                self._drop(connection, "connections that did not say who they are", f"within {HELLO_S:g} s")
        self._flush()
        self._dismiss()

    def _patience_s(self) -> float | None:
        if any(one.lines for one in self._connections):
            return 0.0
        strangers = [one.deadline_ns for one in self._connections if not one.welcomed]
        return max(0.0, (min(strangers) - self._clock.now_ns()) * 1e-9) + 0.001 if strangers else None

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # gone already, or no socket left: the oldest stranger has to go
            self._clock.sleep(NO_FILE_S)
            connected = None
        strangers = [one for one in self._connections if not one.welcomed and not one.ending]
        if strangers and (connected is None or len(strangers) >= MAX_STRANGERS):
            self._drop(strangers[0], "connections that had to make room", f"there were {len(strangers)}")
        if connected is None:
            return
        connection = ControlConnection(connected, self._clock.now_ns() + round(HELLO_S * 1e9))
        with self._lock:
            self._connections.append(connection)
        self._selector.register(connected, selectors.EVENT_READ, connection)

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)

    def _wake(self) -> None:
        with suppress(OSError):  # full: it wakes up anyway; closed: nobody listens any more
            self._wake_out.send(b"\0")

    def _flush(self) -> bool:
        """Send what can be sent without waiting; tell whether anything is left."""
        left = False
        for connection in self._connections:
            waiting = False
            while not connection.lost:
                with self._lock:
                    waiting = connection.fetch()
                if not waiting or not connection.send():
                    break
            if connection.lost:
                continue
            self._selector.modify(
                connection.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0), connection
            )
            left = left or waiting
            if connection.ending and not waiting:
                connection.lost = True
        return left

    def _dismiss(self) -> None:
        """Take leave of connections that have ended."""
        for connection in [one for one in self._connections if one.lost]:
            self._selector.unregister(connection.socket)
            with self._lock:
                self._connections.remove(connection)
            connection.close()
            if connection is self._commander:
                self._hand_over(None)

    def _drop(self, connection: ControlConnection, kind: str, detail: str) -> None:
        connection.lost = True
        self._note_refusal(kind, detail)

    # --- what is said

    def _receive(self, connection: ControlConnection) -> None:
        try:
            connection.receive()
        except ValueError as error:
            if connection.welcomed:
                self._end(connection, f"The connection ends: {error}.")
            self._note_refusal("lines that are too long", connection.who or STRANGER)
            connection.lost = connection.lost or not connection.welcomed

    def _hear(self, connection: ControlConnection) -> None:
        try:
            for _ in range(LINES_PER_TURN):
                if connection.lost or connection.ending:
                    connection.lines.clear()
                if not connection.lines:
                    return
                line = connection.lines.popleft()
                if connection.welcomed:
                    self._hear_line(connection, line)
                else:
                    self._hear_stranger(connection, line)
        except Exception as error:  # noqa: BLE001 - one connection must not end the channel for all
            self._drop(connection, "connections that failed", repr(error))

    def _end(self, connection: ControlConnection, why: str) -> None:
        self._tell(connection, Closing(why=why))
        connection.ending = True

    def _hear_stranger(self, connection: ControlConnection, line: bytes) -> None:
        try:
            command = decode_command(line)
        except ControlError as error:
            self._drop(connection, "lines that are no commands", f"{STRANGER}: {error.what}")
            return
        if isinstance(command, Off):
            connection.ending = True
            self._note_refusal("off without a token (obeyed)", command.why)
            self._tell(connection, self._submit(command, STRANGER))
        elif not isinstance(command, Hello):
            self._drop(connection, "commands before hello", command.command)
        elif not hmac.compare_digest(command.token.encode(), self._token):
            self._drop(connection, "wrong tokens", repr(command.who))
        elif sum(one.welcomed for one in self._connections) >= MAX_LISTENERS:
            connection.ending = True
            full = RefusedError(f"{MAX_LISTENERS} listeners are connected to this engine, more are not taken.", ())
            self._tell(connection, Refused(error=ErrorWords.of(full)))
        else:
            self._welcome(connection, command)

    def _welcome(self, connection: ControlConnection, hello: Hello) -> None:
        connection.who = hello.who or "somebody"
        if hello.commander and self._commander is None:
            self._hand_over(connection)
        words = self._desk.welcome(self.commander).model_copy(
            update={"who_commands": self.commander, "you_command": self._commander is connection}
        )
        with self._lock:  # nothing that is published comes before it
            connection.tell(words)
            connection.welcomed = True
        self._tell(connection, self._desk.status())

    def _hear_line(self, connection: ControlConnection, line: bytes) -> None:
        try:
            command = decode_command(line)
        except ControlError as error:
            number = _id_of(line)
            words = ErrorWords.of(error)
            self._tell(connection, Refused(error=words) if number is None else Answer(id=number, ok=False, error=words))
            self._note_refusal("lines that are no commands", connection.who)
            connection.malformed += 1
            if connection.malformed >= MAX_MALFORMED:
                self._end(connection, f"The connection ends: {MAX_MALFORMED} lines of it were no commands.")
            return
        try:
            answer = self._answer(connection, command)
        except RigError as error:
            answer = Answer(id=command.id, ok=False, error=ErrorWords.of(error))
        self._tell(connection, answer)

    def _answer(self, connection: ControlConnection, command: Command) -> Answer:
        done = Answer(id=command.id, ok=True)
        if isinstance(command, Hello):
            raise ControlError("Hello has been said on this connection.", where="control channel")
        if isinstance(command, Status):
            self._tell(connection, self._desk.status())
            return done
        if isinstance(command, Release):
            self._need_lease(connection)
            self._hand_over(None)
            return done
        if isinstance(command, Take) and command.force and self._commander not in (None, connection):
            self.publish(Note(text=f"{connection.who} takes command from {self.commander} by force."))
            self._hand_over(connection)
            return done
        if not isinstance(command, Stop | Off):
            self._take(connection)
        return done if isinstance(command, Take) else self._submit(command, connection.who)

    def _submit(self, command: Command, who: str) -> Answer:
        try:
            return self._desk.submit(command, who).model_copy(update={"id": command.id})
        except Exception as error:  # noqa: BLE001 - the answer to a command is never silence
            return Answer(id=command.id, ok=False, error=ErrorWords.of(error))

    # --- who commands

    def _take(self, connection: ControlConnection) -> None:
        if self._commander is None:
            self._hand_over(connection)
        self._need_lease(connection)

    def _need_lease(self, connection: ControlConnection) -> None:
        if self._commander is not connection:
            there = self._commander is not None
            raise RefusedError(
                f"{self.commander} commands this engine, you look on."
                if there
                else "Nobody commands this engine, you neither.",
                (),
                where="control channel",
                next_step="take command by force, or ask there; stop and off work for everybody" if there else "",
            )

    def _hand_over(self, connection: ControlConnection | None) -> None:
        if connection is not self._commander:
            self._commander = connection
            self._hand_overs += 1
            self.publish(CommanderChanged(who=self.commander))

    # --- words

    def _tell(self, connection: ControlConnection, event: Event) -> None:
        event, line = self._ready(event)
        with self._lock:
            connection.tell(event, line, asked=True)

    def _ready(self, event: Event) -> tuple[Event, bytes]:
        """Return an event with all the server knows, and its line; parts that are too long for a line are left out."""
        if isinstance(event, EngineStatus):
            event = event.model_copy(update={"commander": self.commander})
        try:
            return event, encode(event)
        except ControlError as too_long:
            event = _shorter(event, too_long)
            return event, encode(event)

    def _note_refusal(self, kind: str, detail: str) -> None:
        count = self.refusals.get(kind, 0) + 1
        self.refusals[kind] = count
        if count & (count - 1) == 0:  # a flood must not fill the log
            with suppress(Exception):
                self._log(f"control channel: {kind}: {count} so far, now: {detail[:300]}")


def _shorter(event: Event, why: ControlError) -> Event:
    left_out = f"left out: {why.what}"
    if isinstance(event, Ended):
        error = None if event.error is None else event.error.model_copy(update={"reasons": event.error.reasons[:5]})
        return event.model_copy(update={"outcome": {"note": left_out}, "error": error})
    if isinstance(event, Answer | Refused) and event.error is not None:
        return event.model_copy(update={"error": event.error.model_copy(update={"reasons": event.error.reasons[:5]})})
    raise why


def _id_of(line: bytes) -> int | None:
    """Return the id of a command that cannot be understood, so that who sent it does not wait for an answer."""
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    number: Any = cast(dict[str, Any], said).get("id") if isinstance(said, dict) else None
    return number if type(number) is int and 0 <= number < 2**53 else None


def _listening() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # else another program could listen on the same port and be taken for the engine
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind((HOST, 0))
        listener.listen(MAX_STRANGERS)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
