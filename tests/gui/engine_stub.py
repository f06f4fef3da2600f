"""An engine that only says what a test tells it to say, on a real control channel."""

import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from drivers.errors import RefusedError
from rig.control import Answer, Command, EngineState, EngineStatus, ErrorWords, Start, Welcome
from rig.control_server import ControlServer
from rig.engine_file import EngineFile

TOKEN = "a-token-of-at-least-thirty-two-letters"  # noqa: S105 - of tests


@dataclass
class EngineStub:
    """Takes every command; `awake` cleared makes it hang, `refusal` makes it refuse."""

    state: EngineState = "idle"
    latched: str = ""
    refusal: str = ""
    taken: list[tuple[Command, int]] = field(default_factory=list)  # and when (ns)
    awake: threading.Event = field(default_factory=threading.Event)
    slow_start: threading.Event = field(default_factory=threading.Event)
    server: ControlServer | None = None

    def submit(self, command: Command, who: str) -> Answer:
        self.awake.wait(10)
        if isinstance(command, Start):
            self.slow_start.wait(10)
        self.taken.append((command, time.monotonic_ns()))
        if self.refusal:
            return Answer(id=0, ok=False, error=ErrorWords.of(RefusedError(self.refusal, (), next_step="later")))
        return Answer(id=command.id, ok=True)

    def status(self) -> EngineStatus:
        self.awake.wait(10)
        return EngineStatus(state=self.state, latched=self.latched, simulated=True, bench="b.toml")

    def welcome(self, who_commands: str) -> Welcome:
        return Welcome(pid=os.getpid(), host=socket.gethostname(), bench="b.toml", simulated=True, who_commands=who_commands)

    @property
    def words(self) -> list[str]:
        return [command.command for command, _ in self.taken]

    @property
    def file(self) -> EngineFile:
        assert self.server is not None
        return EngineFile(
            pid=os.getpid(),
            host=socket.gethostname(),
            port=self.server.port,
            token=TOKEN,
            bench="b.toml",
            resources=(),
            simulated=True,
            started_label="2026-01-31T12:00:00+01:00",
        )


@contextmanager
def stub_engine() -> Generator[EngineStub]:
    stub = EngineStub()
    stub.awake.set()
    stub.slow_start.set()
    with ControlServer(stub, TOKEN, log=lambda _: None) as server:
        stub.server = server
        try:
            yield stub
        finally:
            stub.awake.set()
            stub.slow_start.set()
