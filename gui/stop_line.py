"""The way of Stop: a connection to the engine that carries nothing else, ready before it is needed."""

import itertools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from rig.control import MAX_LINE_BYTES, Answer, ControlError, Hello, Off, Stop, decode_event, encode
from rig.control_client import HOST
from rig.engine_file import EngineFile

CONNECT_S = 3.0
MAX_UNANSWERED = 20  # with these in its queue an engine that does not read has been told often enough; far below any buffer


class StopLine:
    """A connection of its own for Stop and Off, from its making to close().

    Parameters
    ----------
    heard  told every answer, in a thread of this line

    Raises
    ------
    OSError  nobody answers there
    """

    def __init__(self, engine: EngineFile, who: str, heard: Callable[[Answer], None]) -> None:
        self._heard = heard
        self._numbers = itertools.count(1)
        self._unanswered: set[int] = set()
        self._lost = False
        self._socket = socket.create_connection((HOST, engine.port), CONNECT_S)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(encode(Hello(token=engine.token, who=who)))
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise
        self._reader = threading.Thread(target=self._listen, name="stop line", daemon=True)
        self._reader.start()

    def press(self, command: Stop | Off) -> bool:
        """Send at once, from any thread, without waiting for anybody; False when this line is lost."""
        if self._lost:
            return False
        if len(self._unanswered) >= MAX_UNANSWERED:
            return True
        number = next(self._numbers)
        self._unanswered.add(number)
        try:
            self._socket.sendall(encode(command.model_copy(update={"id": number})))
        except OSError:
            self._lost = True
        return not self._lost

    def close(self) -> None:
        """End the line and its thread; harmless when done already."""
        self._lost = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._socket.close()

    def _listen(self) -> None:
        rest = b""
        with suppress(OSError):
            while len(rest) <= MAX_LINE_BYTES and (piece := self._socket.recv(65536)):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._hear(line)
        self._lost = True

    def _hear(self, line: bytes) -> None:
        if b'"answer"' not in line[:40]:
            return  # what everybody is told comes here, too, and is heard elsewhere
        with suppress(ControlError):
            event = decode_event(line)
            if isinstance(event, Answer):
                self._unanswered.discard(event.id)
                self._heard(event)
