"""One program that talks to a simulated instrument over TCP: what came in from it, what still has to go out."""

import socket
from contextlib import suppress

RECEIVE_BYTES = 4096
UNSENT_LIMIT_BYTES = 256 * 1024
"""A client that leaves so much unread is not listened to until it reads."""

BURST_BYTES = 64 * 1024
FLOOD_BYTES_PER_S = 16 * 1024
ANSWER_CREDIT_BYTES = 256
"""What a client may say without waiting for answers: more at once, and more per second, than a serial line or GPIB brings; and
what it may say more for each answer."""

# A message is over after one of these; the last is the end of an Ocean Binary Protocol frame
_ENDS = (b"\n", b"\r", b"\xc5\xc4\xc3\xc2")
_BINARY_END = _ENDS[-1]
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def asks(data: bytes) -> bool:
    """Tell whether bytes from a client hold a question that an answer can be expected to."""
    return b"?" in data or data.endswith(_BINARY_END)


class ClientConnection:
    """The server's end of one connection; never blocks, buffers are bounded.

    `finished`: nothing more will come from it, answers still go out. `lost`: it is gone. `received_bytes` and `sent_bytes`
    count what has gone through the socket.
    """

    def __init__(self, connection: socket.socket, now_ns: int) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.inbox = b""
        self.unsent = bytearray()
        self.finished = self.lost = False
        self.in_message = False
        self._unacknowledged = False
        self.spoke_ns = now_ns
        self.received_bytes = self.sent_bytes = 0
        self._credit_bytes = float(BURST_BYTES)
        self._credited_ns = now_ns

    @property
    def wants_read(self) -> bool:
        """Get whether the server listens to it at the moment."""
        return not (self.inbox or self.finished or self.lost or len(self.unsent) > UNSENT_LIMIT_BYTES)

    def receive(self) -> None:
        """Take in what has come; an end or a reset is noted, never raised."""
        try:
            self.inbox = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if not self.inbox:
            self.finished = True
        self.received_bytes += len(self.inbox)
        self._unacknowledged = True

    def acknowledge(self) -> None:
        """Let what has come be acknowledged at once, if no answer has carried that already.

        Linux only: else an acknowledgement, and with it the client's next write, waits 40 ms.
        """
        if self._unacknowledged:
            self._unacknowledged = False
            if _QUICKACK is not None and not self.lost:
                with suppress(OSError):
                    self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def next_words(self, now_ns: int) -> bytes:
        """Take from the inbox what may be handed on now: everything, unless the client floods."""
        elapsed_s = (now_ns - self._credited_ns) * 1e-9
        self._credit_bytes = min(BURST_BYTES, self._credit_bytes + elapsed_s * FLOOD_BYTES_PER_S)
        self._credited_ns = now_ns
        words = self.inbox[: int(self._credit_bytes)]
        if not words:
            return b""
        self.inbox = self.inbox[len(words) :]
        self._credit_bytes -= len(words)
        self.in_message = not words.endswith(_ENDS)
        self.spoke_ns = now_ns
        return words

    def answer(self, replies: list[bytes]) -> None:
        """Send what the instrument has replied; who waits for answers does not flood."""
        self._credit_bytes += ANSWER_CREDIT_BYTES * len(replies)
        if not self.lost:
            self.unsent += b"".join(replies)
            self.send()

    def send(self) -> None:
        """Send what fits; a reset is noted, never raised."""
        try:
            while self.unsent:
                count = self.socket.send(self.unsent)
                self.sent_bytes += count
                del self.unsent[:count]
                self._unacknowledged = False
        except BlockingIOError:
            return
        except OSError:
            self._lose()

    def close(self) -> None:
        """End the connection, whatever is unsent."""
        self._lose()
        self.socket.close()

    def _lose(self) -> None:
        # the socket stays open until nobody selects it any more: its number must not be given to another yet
        self.lost = True
        self.inbox = b""
        self.unsent.clear()
