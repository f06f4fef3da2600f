"""One connection to the engine's control channel: bytes in and out, never waiting, bounded both ways."""

import socket
from collections import deque
from contextlib import suppress

from rig.backlog import Backlog
from rig.control import MAX_LINE_BYTES, Event, encode

RECEIVE_BYTES = 65536


class ControlConnection:
    """A socket and what is known of its other end.

    Parameters
    ----------
    deadline_ns  by when it has to have said who it is
    """

    def __init__(self, connected: socket.socket, deadline_ns: int) -> None:
        self.socket = connected
        self.deadline_ns = deadline_ns
        self.who = ""
        self.welcomed = False
        self.ending = False  # nothing is heard any more; it is closed when what it is owed has been sent
        self.lost = False
        self.malformed = 0
        self.lines: deque[bytes] = deque()  # that nobody has looked at yet
        self._backlog = Backlog()
        self._inbox = bytearray()
        self._unsent = memoryview(b"")
        connected.setblocking(False)
        with suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def tell(self, event: Event, line: bytes | None = None, *, asked: bool = False) -> None:
        """Put an event on its way; a listener that is too slow for what it must hear is lost. Needs the server's lock."""
        if not self._backlog.put(event, encode(event) if line is None else line, asked=asked):
            self.lost = True

    def fetch(self) -> bool:
        """Get the next line ready to be sent; False when there is nothing to send. Needs the server's lock."""
        if not self._unsent and (waiting := self._backlog.take()) is not None:
            self._unsent = memoryview(waiting[1])
        return bool(self._unsent)

    def send(self) -> bool:
        """Send what is ready; False when the other end does not take all of it now."""
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self.lost = True
            return False
        return not self._unsent

    def receive(self) -> None:
        """Add the whole lines that have come to `lines`.

        Raises
        ------
        ValueError  a line is longer than any can be
        """
        try:
            piece = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.lost = True
        if not piece or self.ending:
            return
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = bytes(self._inbox) + lines[0]
            self._inbox.clear()
        self._inbox += rest
        if len(self._inbox) > MAX_LINE_BYTES or any(len(line) > MAX_LINE_BYTES for line in lines):
            self._inbox.clear()
            raise ValueError(f"a line is longer than {MAX_LINE_BYTES} bytes")
        self.lines.extend(lines)

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self.socket.close()
