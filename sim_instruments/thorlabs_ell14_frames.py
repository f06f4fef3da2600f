"""What an Elliptec module makes of the bytes on its line: frames of fixed length, no terminator needed.

A frame is an address (0..F), two letters and as many hexadecimal digits as the letters ask for. Source: Thorlabs ELLx modules
protocol manual (command letters, lengths), as programs of others use it; that an idle line of 2 s ends a frame is from memory,
unverified. Assumed: what cannot begin a frame is skipped, and a character that is no digit among the digits ends the frame.
"""

from dataclasses import dataclass

ADDRESSES = b"0123456789ABCDEF"
_DIGITS = frozenset(b"0123456789ABCDEFabcdef")
IDLE_NS = 2_000_000_000

DIGITS: dict[str, int] = {
    "in": 0,
    "gs": 0,
    "us": 0,
    "ca": 1,
    "ga": 1,
    "is": 2,
    "i1": 0,
    "i2": 0,
    "f1": 4,
    "f2": 4,
    "b1": 4,
    "b2": 4,
    "s1": 0,
    "s2": 0,
    "ho": 1,
    "ma": 8,
    "mr": 8,
    "gp": 0,
    "so": 8,
    "go": 0,
    "sj": 8,
    "gj": 0,
    "sv": 2,
    "gv": 0,
    "fw": 0,
    "bw": 0,
    "st": 0,
}
"""How many digits follow the letters of each command."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Parameters
    ----------
    address  "0" to "F"
    command  two letters, "" when the line went idle before the frame was complete
    digits   what followed them
    valid    it is a command, with all of its digits
    """

    address: str
    command: str
    digits: str
    valid: bool


class FrameStream:
    """Cuts bytes into frames; holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._held = b""
        self._last_ns = 0

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget the incomplete frame."""
        self._held = b""

    def feed(self, byte: int, t_ns: int) -> list[Frame]:
        """Take one byte that has arrived at `t_ns`; return what it completes, after what it was too late for."""
        found: list[Frame] = []
        if self._held and t_ns - self._last_ns >= IDLE_NS:
            found.append(Frame(chr(self._held[0]), "", "", valid=False))
            self._held = b""
        self._last_ns = t_ns
        frame = self._add(byte)
        return found if frame is None else [*found, frame]

    def _add(self, byte: int) -> Frame | None:
        if not self._held:
            if byte in ADDRESSES:
                self._held = bytes([byte])
            return None
        if byte in b"\r\n" or (len(self._held) >= 3 and byte not in _DIGITS):
            return self._cut(valid=False)
        self._held += bytes([byte])
        if len(self._held) < 3:
            return None
        wanted = DIGITS.get(self._held[1:3].decode("latin-1"))
        if wanted is None:
            return self._cut(valid=False)
        return self._cut(valid=True) if len(self._held) == 3 + wanted else None

    def _cut(self, *, valid: bool) -> Frame:
        text, self._held = self._held.decode("latin-1"), b""
        return Frame(text[0], text[1:3], text[3:], valid)
