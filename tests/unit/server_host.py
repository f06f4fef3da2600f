"""A served bench for tests, and plain sockets that talk to it."""

import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rig.bench import default_bench
from sim_instruments.server import BenchServer

PATIENCE_S = 5.0


def description(**resources: str) -> dict[str, Any]:
    """The default bench; resources replaced where a test says so."""
    bench = default_bench().description()
    for role, resource in resources.items():
        bench[role] = {**bench[role], "resource": resource}
    return bench


class Client:
    """A program that is careful about nothing: a socket as it comes, without TCP_NODELAY."""

    def __init__(self, server: BenchServer, role: str, buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer_bytes is not None:  # what the system keeps for a program that does not read
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.addresses[role].port))

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def line(self) -> bytes:
        """The next line, or what came before the connection ended."""
        received = b""
        while not received.endswith(b"\n"):
            piece = self.socket.recv(1)
            if not piece:
                break
            received += piece
        return received.strip()

    def ask(self, question: bytes) -> bytes:
        self.send(question)
        return self.line()

    def bytes(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            piece = self.socket.recv(count - len(received))
            if not piece:
                break
            received += piece
        return received

    def quiet(self, duration_s: float) -> bool:
        """Nothing comes, and the connection does not end, for a while."""
        self.socket.settimeout(duration_s)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.socket.settimeout(PATIENCE_S)

    def reset(self) -> None:
        """Vanish without a farewell, as a program that is killed with data unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@contextmanager
def client(server: BenchServer, role: str, buffer_bytes: int | None = None) -> Generator[Client]:
    one = Client(server, role, buffer_bytes)
    try:
        yield one
    finally:
        one.socket.close()
