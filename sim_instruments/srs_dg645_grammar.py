"""The DG645's command grammar: a byte stream cut into commands, and parameters read as the instrument reads them.

Source: DG645 operating manual, remote programming (command syntax, error codes). What the manual leaves open is tagged
"assumed" or "from memory, unverified".
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

INPUT_BUFFER_BYTES = 255
PARAMETER_CHARS = 40  # assumed: where "parameter overflow" begins
_BEYOND_ALL_LIMITS = 10**40


class Code(IntEnum):
    """What LERR? answers; only codes that something on the wire can provoke."""

    ILLEGAL_VALUE = 10
    ILLEGAL_MODE = 11
    ILLEGAL_DELAY = 12
    ILLEGAL_LINK = 13
    RECALL_FAILED = 14
    ILLEGAL_COMMAND = 110
    UNDEFINED_COMMAND = 111
    ILLEGAL_QUERY = 112
    ILLEGAL_SET = 113
    NULL_PARAMETER = 114
    EXTRA_PARAMETERS = 115
    MISSING_PARAMETERS = 116
    PARAMETER_OVERFLOW = 117
    INVALID_FLOAT = 118
    INVALID_INTEGER = 120
    INTEGER_OVERFLOW = 121
    INVALID_HEXADECIMAL = 122
    SYNTAX_ERROR = 126
    OVER_RUN = 171
    TOO_MANY_ERRORS = 254


class CommandError(Exception):
    """The instrument refuses a command; `code` goes into its error queue."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class Command:
    """One command: header in capitals, its parameters as text, its length on the wire, or why it cannot be read."""

    header: str
    query: bool
    parameters: tuple[str, ...]
    size: int
    error: Code | None = None


_COMMAND = re.compile(r"(\*?[A-Za-z]+)(\??)\s*(.*)", re.DOTALL)
_HEADER = re.compile(r"\*[A-Z]{3}|[A-Z]{4}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_HEXADECIMAL = re.compile(r"0[xX][0-9A-Fa-f]+")


def parse(raw: bytes) -> Command | None:
    """Read one command without its terminator; None for blanks only."""
    text = raw.decode("latin-1").strip(" \t\0")
    if not text:
        return None
    size = len(raw) + 1
    matched = _COMMAND.fullmatch(text)
    header = matched[1].upper() if matched else ""
    if matched is None or not _HEADER.fullmatch(header):
        return Command(header, query=False, parameters=(), size=size, error=Code.ILLEGAL_COMMAND)
    parameters = tuple(part.strip() for part in matched[3].split(",")) if matched[3] else ()
    error = None
    if any(not part for part in parameters):
        error = Code.NULL_PARAMETER
    elif any(len(part) > PARAMETER_CHARS for part in parameters):
        error = Code.PARAMETER_OVERFLOW
    elif "?" in matched[3]:  # assumed: what a misplaced question mark provokes
        error = Code.SYNTAX_ERROR
    return Command(header, query=bool(matched[2]), parameters=parameters, size=size, error=error)


class CommandStream:
    """Cuts bytes, in any segmentation, into commands ended by `;`, CR or LF.

    A command longer than the input buffer can never be ended: it is dropped and stands in the stream as an over run.
    """

    def __init__(self) -> None:
        self._begun = bytearray()

    def __len__(self) -> int:
        """Bytes of the command that has no terminator yet."""
        return len(self._begun)

    def clear(self) -> None:
        """Forget the command that has no terminator yet."""
        self._begun.clear()

    def feed(self, data: bytes) -> list[Command]:
        """Take bytes; return the commands that they complete, in order."""
        commands: list[Command] = []
        *ended, rest = re.split(rb"[;\r\n]", data)
        for piece in ended:
            self._take(piece, commands)
            command = parse(bytes(self._begun))
            self._begun.clear()
            if command is not None:
                commands.append(command)
        self._take(rest, commands)
        return commands

    def _take(self, piece: bytes, commands: list[Command]) -> None:
        self._begun += piece
        while len(self._begun) > INPUT_BUFFER_BYTES:
            commands.append(Command("", query=False, parameters=(), size=0, error=Code.OVER_RUN))
            del self._begun[: INPUT_BUFFER_BYTES + 1]


def read_integer(text: str) -> int:
    """Read a decimal or 0x... integer of 32 bits (hexadecimal: from memory, unverified).

    Raises
    ------
    CommandError  120 not an integer, 121 more than 32 bits, 122 0x without digits after it
    """
    hexadecimal = text[:2].lower() == "0x"
    if not (_HEXADECIMAL if hexadecimal else _INTEGER).fullmatch(text):
        raise CommandError(Code.INVALID_HEXADECIMAL if hexadecimal else Code.INVALID_INTEGER)
    value = int(text, 16 if hexadecimal else 10)
    if not -(2**31) <= value <= 2**32 - 1:
        raise CommandError(Code.INTEGER_OVERFLOW)
    return value


def read_number(text: str, decimals: int, quantum: int) -> int:
    """Read a number as an integer in units of 10**-decimals, rounded to multiples of `quantum` of them.

    Numbers beyond anything that the instrument could want come back as a huge integer, for the caller's range check.

    Raises
    ------
    CommandError  118 not a number
    """
    if not _FLOAT.fullmatch(text):
        raise CommandError(Code.INVALID_FLOAT)
    value = Decimal(text)
    if value.adjusted() > 15:
        return _BEYOND_ALL_LIMITS if value > 0 else -_BEYOND_ALL_LIMITS
    return int((value.scaleb(decimals) / quantum).to_integral_value()) * quantum


def read_index(text: str, low: int, high: int) -> int:
    """Read an integer that must lie in low..high.

    Raises
    ------
    CommandError  10 out of range, or as read_integer
    """
    value = read_integer(text)
    if not low <= value <= high:
        raise CommandError(Code.ILLEGAL_VALUE)
    return value


def fixed(value: int, decimals: int) -> str:
    """Write an integer in units of 10**-decimals as the instrument does: signed, all decimals."""
    whole, rest = divmod(abs(value), 10**decimals)
    return f"{'-' if value < 0 else '+'}{whole}.{rest:0{decimals}d}"
