"""Ocean Binary Protocol, client side: build frames, read frames, and refuse whatever is not the answer to the question.

Source: message layout and error numbers as in libseabreeze and pyseabreeze 2.11.0; byte order is little endian.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pymeasure.adapters import Adapter

from drivers.errors import InstrumentError, LinkDesync
from drivers.link import conversation

START, FOOTER = b"\xc1\xc0", b"\xc5\xc4\xc3\xc2"
VERSION = 0x1100
HEADER = struct.Struct("<2sHHHII6xBB16sI")  # 44 bytes
TRAILER_BYTES = 20  # checksum and footer
IMMEDIATE_BYTES = 16  # data up to this length travel in the header
REPLY_BYTES_MAX = 1 << 20
STALE_FRAMES = 16

RESPONSE, ACK, ACK_REQUESTED, NACK, EXCEPTION = 0x01, 0x02, 0x04, 0x08, 0x10
MD5 = 1

ERRORS = {
    1: "protocol not supported",
    2: "message type unknown",
    3: "checksum wrong",
    4: "message too large",
    5: "payload length wrong",
    6: "payload data wrong",
    7: "not ready",
    8: "checksum type unknown",
    9: "was reset",
    10: "too many buses",
    11: "out of memory",
    12: "no such information",
    13: "internal error",
    14: "message did not end properly",
    15: "scan interrupted",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One frame from the instrument; `data` is not copied when it came as payload."""

    message_type: int
    flags: int
    error: int
    regarding: int
    data: bytes | memoryview

    @property
    def refusal(self) -> str | None:
        """Get why the instrument refused the message, None when it did not."""
        if self.error == 0 and not self.flags & (NACK | EXCEPTION):
            return None
        return f"{self.error} {ERRORS.get(self.error, 'error without a published meaning')}"


def frame(message_type: int, data: bytes = b"", *, flags: int = 0, regarding: int = 0) -> bytes:
    """Build one message, without checksum: TCP and USB carry their own."""
    immediate, payload = (data, b"") if len(data) <= IMMEDIATE_BYTES else (b"", data)
    header = HEADER.pack(
        START,
        VERSION,
        flags,
        0,
        message_type,
        regarding,
        0,
        len(immediate),
        immediate,
        len(payload) + TRAILER_BYTES,
    )
    return header + payload + bytes(16) + FOOTER


def receive(adapter: Adapter) -> Reply:
    """Read one frame: the header, then exactly what it announces.

    Raises
    ------
    LinkDesync   the bytes are no frame
    LinkTimeout  they do not come
    """
    header = adapter.read_bytes(HEADER.size)
    if len(header) != HEADER.size:
        raise desync(f"{len(header)} bytes instead of a header")
    start, _, flags, error, message_type, regarding, checksum_type, length, immediate, remaining = HEADER.unpack(header)
    if start != START or not TRAILER_BYTES <= remaining <= REPLY_BYTES_MAX or not length <= IMMEDIATE_BYTES:
        raise desync(f"no frame begins with {header.hex(' ', 4)}")
    rest = adapter.read_bytes(remaining)
    if rest[-len(FOOTER) :] != FOOTER or len(rest) != remaining:
        raise desync(f"the frame of type {message_type:#08x} does not end where it says")
    payload = memoryview(rest)[:-TRAILER_BYTES]
    if checksum_type == MD5 and rest[-TRAILER_BYTES : -len(FOOTER)] != _md5(header, payload):
        raise desync(f"the checksum of a frame of type {message_type:#08x} is wrong")
    return Reply(message_type, flags, error, regarding, immediate[:length] if length else payload)


def exchange(adapter: Adapter, message_type: int, data: bytes, *, flags: int, regarding: int) -> Reply:
    """Send a message and read the answer that belongs to it; "regarding" is echoed and proves which one that is.

    Raises
    ------
    LinkDesync   the answer belongs to another message
    LinkTimeout  none comes
    """
    with conversation(adapter):
        adapter.write_bytes(frame(message_type, data, flags=flags, regarding=regarding))
        reply = receive(adapter)
        if (reply.message_type, reply.regarding) != (message_type, regarding):
            raise desync(
                f"message {regarding} of type {message_type:#08x} was answered by "
                f"{reply.regarding} of type {reply.message_type:#08x}"
            )
    return reply


def fence(adapter: Adapter, message_type: int, *, regarding: int) -> None:
    """Ask and drop frames until the answer comes: late answers to earlier messages are gone then.

    Raises
    ------
    LinkDesync   too many other frames, or no frames
    LinkTimeout  nothing (more) comes
    """
    with conversation(adapter):
        adapter.write_bytes(frame(message_type, regarding=regarding))
        for _ in range(STALE_FRAMES):
            reply = receive(adapter)
            if (reply.message_type, reply.regarding) == (message_type, regarding):
                return
        raise desync(f"{STALE_FRAMES} frames came that nobody asked for")


def desync(what: str) -> LinkDesync:
    """Make the error for bytes that are not the answer."""
    return LinkDesync(
        f"Ocean Binary Protocol: {what}.",
        where="link to the spectrometer",
        hardware_state="unknown: the bytes may belong to an earlier message",
        next_step="the link is cleared and proved again before anything else is believed",
    )


def _md5(header: bytes, payload: memoryview) -> bytes:
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(payload)
    return digest.digest()


# --- properties ---------------------------------------------------------------------------------------------------


class Speaker(Protocol):
    """An instrument whose properties are messages."""

    def get(self, message_type: int, data: bytes = b"") -> bytes | memoryview:
        """Ask and return the data of the answer."""
        ...

    def put(self, message_type: int, data: bytes = b"") -> None:
        """Set, and wait until it is acknowledged."""
        ...


def unpack(form: str, data: bytes | memoryview, message_type: int) -> Any:
    """Read one value.

    Raises
    ------
    InstrumentError  the answer has another length
    """
    if len(data) != struct.calcsize(form):
        raise InstrumentError(
            f"The answer to message {message_type:#08x} has {len(data)} bytes instead of {struct.calcsize(form)}.",
            where="spectrometer",
            hardware_state="as before",
            next_step="this firmware may speak another dialect; note its revision",
        )
    return struct.unpack(form, data)[0]


def measurement(get: int, form: str, docs: str) -> Any:
    """Make a property for a value (struct format `form`) that can only be read."""

    def fget(self: Speaker) -> Any:
        return unpack(form, self.get(get), get)

    return property(fget, doc=docs)


def control(get: int, put: int, form: str, docs: str, legal: Callable[[Any], bool]) -> Any:
    """Make a property for a value (struct format `form`) that is read and set; `legal` decides which values are sent."""

    def fget(self: Speaker) -> Any:
        return unpack(form, self.get(get), get)

    def fset(self: Speaker, value: Any) -> None:
        if not legal(value):
            raise ValueError(f"{value!r} is not legal here. {docs}")
        self.put(put, struct.pack(form, value))

    return property(fget, fset, doc=docs)


def text(get: int, docs: str) -> Any:
    """Make a property for a text that can only be read (str)."""

    def fget(self: Speaker) -> str:
        return bytes(self.get(get)).rstrip(b"\0").decode("latin-1").strip()

    return property(fget, doc=docs)
