"""The Ocean Binary Protocol (OBP1) as an instrument sees it: requests out of a byte stream, replies into it.

A frame, little endian: start C1 C0, version, flags, error number, message type, regarding, 6 reserved bytes, checksum type,
immediate length, 16 immediate bytes, bytes remaining, payload, 16 bytes of checksum, end C5 C4 C3 C2. Up to 16 data bytes
travel as immediate data, more as payload, never both.

Sources: frame, flags and error numbers as in seabreeze 2.11.0 (pyseabreeze protocol layer, libseabreeze OBP constants) and in
an OBP message class published by the maker. How a real instrument finds its way back after garbage is not documented: assumed.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

HEADER = struct.Struct("<2sHHHII6sBB16sI")
START = b"\xc1\xc0"
END = b"\xc5\xc4\xc3\xc2"
CHECKSUM_BYTES = 16
TRAILER_BYTES = CHECKSUM_BYTES + len(END)
FRAME_BYTES = HEADER.size + TRAILER_BYTES  # without payload
IMMEDIATE_BYTES = 16
VERSION = 0x1100
VERSIONS = (VERSION, 0x0000)  # a public FX program works with version 0
MAX_REQUEST_PAYLOAD = 16 * 1024  # assumed


class Flag(IntFlag):
    """Bits of the flags field."""

    RESPONSE = 0x01
    ACK = 0x02
    ACK_REQUESTED = 0x04
    NACK = 0x08
    EXCEPTION = 0x10
    DEPRECATED = 0x20


class Checksum(IntEnum):
    """How a frame is protected; MD5 runs over header and payload."""

    NONE = 0
    MD5 = 1


class ErrorNumber(IntEnum):
    """What the error field of a reply says."""

    NONE = 0
    PROTOCOL = 1
    UNKNOWN_TYPE = 2
    CHECKSUM = 3
    TOO_LARGE = 4
    PAYLOAD_LENGTH = 5
    PAYLOAD_DATA = 6
    NOT_READY = 7
    UNKNOWN_CHECKSUM = 8
    RESET = 9
    TOO_MANY_BUSES = 10
    MEMORY = 11
    NO_SUCH_INFORMATION = 12
    INTERNAL = 13
    NO_PROPER_END = 14
    SCAN_INTERRUPTED = 15
    DECRYPTION = 100
    FIRMWARE_LAYOUT = 101
    FIRMWARE_PACKET_SIZE = 102
    FIRMWARE_HARDWARE = 103
    FIRMWARE_FLASH_MAP = 104
    DEFERRED = 255


class ObpError(Exception):
    """A message is refused with this error number."""

    def __init__(self, number: ErrorNumber) -> None:
        super().__init__(number.name)
        self.number = number


@dataclass(frozen=True, slots=True)
class Request:
    """One message from the host; `error` is what is wrong with the frame itself."""

    message_type: int
    flags: Flag
    regarding: int
    checksum: Checksum = Checksum.NONE
    data: bytes = b""
    error: ErrorNumber = ErrorNumber.NONE


class RequestStream:
    """Cuts a byte stream into requests, whatever its segmentation, and finds its way back after garbage."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Bytes of the request that has begun."""
        return len(self._bytes)

    def clear(self) -> None:
        """Forget a request that has begun."""
        self._bytes.clear()

    def feed(self, data: bytes) -> Iterator[Request]:
        """Take in `data` and yield every request that is complete, malformed ones with their error."""
        self._bytes += data
        while True:
            begin = self._bytes.find(START)
            if begin < 0:
                # nothing before a start is worth keeping but the first half of one
                del self._bytes[: len(self._bytes) - self._bytes.endswith(START[:1])]
                return
            del self._bytes[:begin]
            if len(self._bytes) < HEADER.size:
                return
            fields = HEADER.unpack_from(self._bytes)
            remaining = fields[10]
            error = _header_error(fields)
            if error is ErrorNumber.NONE:
                if len(self._bytes) < HEADER.size + remaining:
                    return
                frame = bytes(self._bytes[: HEADER.size + remaining])
                if frame.endswith(END):
                    del self._bytes[: len(frame)]
                    yield _request(fields, frame)
                    continue
                error = ErrorNumber.NO_PROPER_END
            # not a frame: the next one may begin anywhere behind these start bytes
            del self._bytes[: len(START)]
            if error is not ErrorNumber.PROTOCOL or _plausible(fields):
                yield Request(fields[4], Flag(fields[2]), fields[5], error=error)


Fields = tuple[bytes, int, int, int, int, int, bytes, int, int, bytes, int]


def _header_error(fields: Fields) -> ErrorNumber:
    version, remaining = fields[1], fields[10]
    if version not in VERSIONS:
        return ErrorNumber.PROTOCOL
    if remaining > MAX_REQUEST_PAYLOAD + TRAILER_BYTES:
        return ErrorNumber.TOO_LARGE
    return ErrorNumber.NONE if remaining >= TRAILER_BYTES else ErrorNumber.PAYLOAD_LENGTH


def _plausible(fields: Fields) -> bool:
    """Tell a header of an unknown version, which is answered, from noise, which is not."""
    checksum, immediate, remaining = fields[7], fields[8], fields[10]
    return (
        checksum in tuple(Checksum)
        and immediate <= IMMEDIATE_BYTES
        and TRAILER_BYTES <= remaining <= MAX_REQUEST_PAYLOAD + TRAILER_BYTES
    )


def _request(fields: Fields, frame: bytes) -> Request:
    """Read a frame whose start, version, length and end are right."""
    flags, message_type, regarding, checksum, immediate = fields[2], fields[4], fields[5], fields[7], fields[8]
    covered, sum_received = frame[:-TRAILER_BYTES], frame[-TRAILER_BYTES : -len(END)]
    payload = covered[HEADER.size :]
    error = ErrorNumber.NONE
    if checksum not in tuple(Checksum):
        checksum, error = Checksum.NONE, ErrorNumber.UNKNOWN_CHECKSUM
    elif checksum == Checksum.MD5 and _md5(covered) != sum_received:
        error = ErrorNumber.CHECKSUM
    elif immediate > IMMEDIATE_BYTES or (immediate and payload):
        error = ErrorNumber.PAYLOAD_LENGTH
    data = fields[9][:immediate] or payload
    return Request(message_type, Flag(flags), regarding, Checksum(checksum), data, error)


def reply(request: Request, *, is_command: bool, data: bytes = b"", error: ErrorNumber = ErrorNumber.NONE) -> bytes | None:
    """Build the answer to `request`, or None for a command that asked for no acknowledgement.

    A question is answered with RESPONSE (and ACK when that was asked for), a command with ACK, a failure with NACK.
    The answer is checksummed like the request (assumed).
    """
    if is_command and not request.flags & Flag.ACK_REQUESTED:
        return None
    flags = Flag(0) if is_command else Flag.RESPONSE
    if error is not ErrorNumber.NONE:
        flags |= Flag.NACK
    elif request.flags & Flag.ACK_REQUESTED:
        flags |= Flag.ACK
    immediate = data if len(data) <= IMMEDIATE_BYTES else b""
    payload = b"" if immediate else data
    header = HEADER.pack(
        START,
        VERSION,
        flags,
        error,
        request.message_type,
        request.regarding,
        b"",
        request.checksum,
        len(immediate),
        immediate,
        len(payload) + TRAILER_BYTES,
    )
    checksum = _md5(header, payload) if request.checksum is Checksum.MD5 else bytes(CHECKSUM_BYTES)
    return b"".join((header, payload, checksum, END))


def _md5(*parts: bytes) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.digest()
