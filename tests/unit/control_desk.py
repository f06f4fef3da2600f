"""An engine that only writes down what it is told, and a plain socket to its control channel."""

import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import RefusedError
from rig.control import (
    Answer,
    Command,
    EngineStatus,
    ErrorWords,
    Event,
    Hello,
    Welcome,
    decode_event,
    encode,
)
from rig.control_server import ControlServer
from rig.engine_file import EngineFile

TOKEN = "a-token-of-at-least-thirty-two-letters"  # noqa: S105 - of tests
PID, COMPUTER = 4711, "bench-computer"


@dataclass
class WritingDesk:
    """Takes every command unless it is told to refuse."""

    taken: list[tuple[Command, str]] = field(default_factory=list[tuple[Command, str]])
    when_ns: list[int] = field(default_factory=list[int])
    refuse: bool = False
    fail: bool = False

    def submit(self, command: Command, who: str) -> Answer:
        self.when_ns.append(time.monotonic_ns())
        self.taken.append((command, who))
        if self.fail:
            raise ZeroDivisionError("the desk has broken")
        if self.refuse:
            return Answer(id=0, ok=False, error=ErrorWords.of(RefusedError("not now", (), next_step="later")))
        return Answer(id=command.id, ok=True)

    def status(self) -> EngineStatus:
        return EngineStatus(state="idle", simulated=True, bench="b.toml")

    def welcome(self, who_commands: str) -> Welcome:
        return Welcome(pid=PID, host=COMPUTER, bench="b.toml", simulated=True, who_commands=who_commands)

    @property
    def words(self) -> list[str]:
        return [command.command for command, _ in self.taken]


class Wire:
    """A plain connection: whole lines out, events in."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.file = self.socket.makefile("rb")

    def say(self, *messages: Command | bytes) -> None:
        self.socket.sendall(b"".join(one if isinstance(one, bytes) else encode(one) for one in messages))

    def hello(self, who: str = "me", *, commander: bool = False) -> Welcome:
        self.say(Hello(token=TOKEN, who=who, commander=commander))
        welcome, status = self.next(Welcome), self.next(EngineStatus)
        assert status.bench == welcome.bench
        return welcome

    def event(self) -> Event | None:
        """The next event, None at the end."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            return None
        return decode_event(line) if line else None

    def next(self, kind: Any) -> Any:
        """The next event of a kind; others before it are dropped."""
        while (event := self.event()) is not None:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"the connection ended before a {kind.__name__}")

    def ended(self) -> bool:
        """Whether nothing more comes but the end."""
        return self.event() is None

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass
class Channel:
    desk: WritingDesk
    server: ControlServer
    log: list[str]

    @property
    def engine(self) -> EngineFile:
        return EngineFile(
            pid=PID,
            host=COMPUTER,
            port=self.server.port,
            token=TOKEN,
            bench="b.toml",
            resources=(),
            simulated=True,
            started_label="2026-01-31T12:00:00+01:00",
        )

    def wire(self) -> Wire:
        return Wire(self.server.port)


@contextmanager
def open_channel() -> Generator[Channel]:
    log: list[str] = []
    desk = WritingDesk()
    with ControlServer(desk, TOKEN, log=log.append) as server:
        yield Channel(desk, server, log)


def eventually(what: Callable[[], Any], within_s: float = 3.0) -> Any:
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, f"not within {within_s:g} s"
        time.sleep(0.005)  # noqa: TID251 - real sockets in real time
    return found
