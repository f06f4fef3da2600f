"""Replies of a simulated instrument that are on their way to the host, or wait for it to read them."""

from collections import deque
from dataclasses import dataclass

__all__ = ["ReplyQueue"]


@dataclass(slots=True)
class _Reply:
    ready_ns: int
    left: bytes


class ReplyQueue:
    """Whole replies in, bytes of one reply at a time out, in order and not before they are there.

    Parameters
    ----------
    byte_ns   how long a byte is on the line (ns)
    at_most   bytes that wait unread; a reply on top is lost, as a serial line without flow control loses it. None: no end
    """

    def __init__(self, byte_ns: int = 0, at_most: int | None = None) -> None:
        self.byte_ns = byte_ns
        self._at_most = at_most
        self._sent_ns = 0
        self._replies: deque[_Reply] = deque()

    def __bool__(self) -> bool:
        return bool(self._replies)

    @property
    def ready_ns(self) -> int | None:
        """When the first reply is there, None without one."""
        return self._replies[0].ready_ns if self._replies else None

    def is_ready(self, t_ns: int) -> bool:
        """Whether some reply can be read at `t_ns`."""
        return bool(self._replies) and self._replies[0].ready_ns <= t_ns

    def send(self, data: bytes, t_ns: int) -> None:
        """Send a reply from `t_ns` on, after those that are being sent."""
        if self._at_most is not None and sum(len(reply.left) for reply in self._replies) + len(data) > self._at_most:
            return
        self._sent_ns = max(t_ns, self._sent_ns) + len(data) * self.byte_ns
        self._replies.append(_Reply(self._sent_ns, data))

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take bytes of the first reply that is ready; the flag says that they end it."""
        if not self.is_ready(t_ns) or max_bytes <= 0:
            return b"", False
        reply = self._replies[0]
        taken, reply.left = reply.left[:max_bytes], reply.left[max_bytes:]
        if not reply.left:
            self._replies.popleft()
        return taken, not reply.left

    def clear(self) -> None:
        """Forget what nobody took; the line stays as busy as it is."""
        self._replies.clear()
