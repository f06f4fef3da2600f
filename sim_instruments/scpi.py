"""The instrument's side of SCPI: from a stream of bytes to commands with parsed parameters, and the error queue.

Knows no model. A persona describes its commands by the makers' own notation ("SENSe:CURRent[:DC]:NPLCycles?") in a
`CommandTree` and its parameters by the kinds at the end of this module.
Source: IEEE 488.2 and SCPI-99 syntax as the makers' manuals summarise it.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

Value = bool | int | float | str | tuple[str, ...] | tuple[float, ...]
T = TypeVar("T")

STANDARD_ERRORS: dict[int, str] = {
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -105: "GET not allowed",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -110: "Command header error",
    -111: "Header separator error",
    -112: "Program mnemonic too long",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -120: "Numeric data error",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -124: "Too many digits",
    -128: "Numeric data not allowed",
    -140: "Character data error",
    -141: "Invalid character data",
    -144: "Character data too long",
    -148: "Character data not allowed",
    -150: "String data error",
    -151: "Invalid string data",
    -154: "String too long",
    -158: "String data not allowed",
    -160: "Block data error",
    -161: "Invalid block data",
    -168: "Block data not allowed",
    -170: "Expression error",
    -171: "Invalid expression",
    -178: "Expression data not allowed",
    -200: "Execution error",
    -201: "Invalid while in local",
    -202: "Settings lost due to rtl",
    -210: "Trigger error",
    -211: "Trigger ignored",
    -212: "Arm ignored",
    -213: "Init ignored",
    -214: "Trigger deadlock",
    -215: "Arm deadlock",
    -220: "Parameter error",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -230: "Data corrupt or stale",
    -241: "Hardware missing",
    -260: "Expression error",
    -281: "Cannot create program",
    -282: "Illegal program name",
    -284: "Program currently running",
    -285: "Program syntax error",
    -314: "Save/recall memory lost",
    -315: "Configuration memory lost",
    -330: "Self-test failed",
    -350: "Queue overflow",
    -360: "Communications error",
    -361: "Parity error",
    -362: "Framing error",
    -363: "Input buffer overrun",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    -430: "Query DEADLOCKED",
    -440: "Query UNTERMINATED after indefinite response",
}
NO_ERROR = '0,"No error"'
MNEMONIC_LIMIT = 12  # IEEE 488.2
SUFFIX_DIGITS = 9  # more than any channel or line has


class ScpiError(Exception):
    """A command cannot be parsed or executed; `code` goes to the error queue."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ErrorQueue:
    """First in, first out; when full the newest entry is replaced by -350.

    Parameters
    ----------
    texts  code -> text, all codes this instrument knows
    depth  entries it holds
    """

    def __init__(self, texts: Mapping[int, str], depth: int = 10) -> None:
        self.texts = texts
        self.depth = depth
        self.codes: deque[int] = deque()

    def push(self, code: int) -> None:
        """Add an entry."""
        if len(self.codes) < self.depth:
            self.codes.append(code)
        else:
            self.codes[-1] = -350

    def pop(self) -> str:
        """Take the oldest entry, e.g. `-113,"Undefined header"`."""
        return self.entry(self.codes.popleft()) if self.codes else NO_ERROR

    def entry(self, code: int) -> str:
        """Return an entry as it is sent."""
        return f'{code},"{self.texts[code]}"'


INPUT_LIMIT_BYTES = 16_384  # of one message; assumed, the manuals read give no number
OVERRUN = "\0overrun"  # for a message that was too long, to be compared with `is`; parsed it is an invalid character


class MessageStream:
    """Cuts a byte stream into messages at LF or CR, whatever the segmentation; empty messages vanish.

    A message longer than `limit` bytes is dropped up to its end; OVERRUN stands in its place as soon as it is too long.
    """

    def __init__(self, limit: int = INPUT_LIMIT_BYTES) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._dropping = False

    def __len__(self) -> int:
        """Bytes of the message that has no end yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """Return the messages completed by `data`, and OVERRUN for each that has become too long."""
        messages: list[str] = []
        *ended, rest = re.split(rb"[\r\n]", data)
        for piece in ended:
            self._take(piece, messages)
            if text := self._rest.decode("latin-1").strip():
                messages.append(text)
            self.clear()
        self._take(rest, messages)
        return messages

    def clear(self) -> None:
        """Forget the unfinished message."""
        self._rest.clear()
        self._dropping = False

    def _take(self, piece: bytes, messages: list[str]) -> None:
        if self._dropping:
            return
        self._rest += piece
        if len(self._rest) > self._limit:
            self._rest.clear()
            self._dropping = True
            messages.append(OVERRUN)


def split_outside(text: str, separator: str) -> list[str]:
    """Split at `separator` except inside quotes and parentheses."""
    if not any(mark in text for mark in "\"'("):
        return text.split(separator)
    parts: list[str] = []
    start, quote, depth = 0, "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == separator and depth <= 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


# --- command tree ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit(Generic[T]):
    """One command or query of a message: what it means, its parameters as text, its variable header suffixes."""

    entry: T
    params: tuple[str, ...] = ()
    suffixes: tuple[int, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unit[T]":
        return self


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A message: its units up to the first that makes no sense, and that one's error code (0: all make sense)."""

    units: tuple[Unit[T], ...]
    error: int


@dataclass(slots=True)
class _Node(Generic[T]):
    children: dict[str, "_Node[T]"] = field(default_factory=dict)
    command: T | None = None
    query: T | None = None


_SPEC_NODE = re.compile(r"(?P<optional>\[)?:?(?P<name>\*?[A-Z]+(?:\d[A-Z])?[a-z]*)(?P<suffix>\[1\]|#|\d+)?\]?")
_HEADER = re.compile(r"(?P<root>:?)(?P<path>\*?[A-Za-z]\w*(?::[A-Za-z]\w*)*)(?P<query>\??)(?P<rest>.*)", re.DOTALL)


@lru_cache(maxsize=1000)
def long_and_short(mnemonic: str) -> frozenset[str]:
    """Both spellings of a mnemonic given as "VOLTage", in upper case."""
    return frozenset((mnemonic.upper(), re.sub("[a-z]", "", mnemonic)))


class CommandTree(Generic[T]):
    """All headers an instrument understands.

    A header is given as in the manuals: long form with the short form in capitals, `[:NODE]` optional, `[1]` an optional
    numeric suffix 1, `#` a variable numeric suffix, `?` at the end for the query form.
    """

    def __init__(self, mnemonic_limit: int = MNEMONIC_LIMIT) -> None:
        self._root: _Node[T] = _Node()
        self._mnemonic_limit = mnemonic_limit

    def add(self, spec: str, entry: T) -> None:
        """Make `entry` the meaning of a header."""
        parts = [(m["optional"] is not None, m["name"], m["suffix"] or "") for m in _SPEC_NODE.finditer(spec)]
        for node in self._ends(self._root, parts):
            if spec.endswith("?"):
                node.query = entry
            else:
                node.command = entry

    def _ends(self, node: _Node[T], parts: Sequence[tuple[bool, str, str]]) -> Iterator[_Node[T]]:
        if not parts:
            yield node
            return
        (optional, name, suffix), rest = parts[0], parts[1:]
        if optional:
            yield from self._ends(node, rest)
        endings = ("", "1") if suffix == "[1]" else (suffix,)
        spellings = [word + ending for word in long_and_short(name) for ending in endings]
        child: _Node[T] = next((node.children[s] for s in spellings if s in node.children), None) or _Node()
        node.children.update(dict.fromkeys(spellings, child))
        yield from self._ends(child, rest)

    def parse(self, message: str) -> Parsed[T]:
        """Parse a whole message; path rules of SCPI: `;` stays in the subsystem, `;:` returns to the root."""
        units: list[Unit[T]] = []
        path: tuple[str, ...] = ()
        try:
            for text in split_outside(message, ";"):
                if text.strip():
                    unit, path = self._unit(text.strip(), path)
                    units.append(unit)
        except ScpiError as error:
            return Parsed(tuple(units), error.code)
        return Parsed(tuple(units), 0)

    def _unit(self, text: str, path: tuple[str, ...]) -> tuple[Unit[T], tuple[str, ...]]:
        if not text.replace("\t", " ").isprintable() or not text.isascii():
            raise ScpiError(-101)
        header = _HEADER.fullmatch(text)
        if header is None:
            raise ScpiError(-102)
        names = tuple(header["path"].upper().split(":"))
        rest = header["rest"]
        if rest and not header["query"] and not rest[0].isspace():
            raise ScpiError(-111 if rest[0] not in ":?*" else -110)
        if any(len(name) > self._mnemonic_limit for name in names):
            raise ScpiError(-112)
        common = names[0].startswith("*")
        full = names if common or header["root"] else path + names
        node, suffixes = self._find(full)
        entry = node.query if header["query"] else node.command
        if entry is None:
            raise ScpiError(-113)
        params = tuple(p.strip() for p in split_outside(rest, ",")) if rest.strip() else ()
        return Unit(entry, params, suffixes), path if common else full[:-1]

    def _find(self, names: tuple[str, ...]) -> tuple[_Node[T], tuple[int, ...]]:
        node, suffixes = self._root, list[int]()
        for name in names:
            child = node.children.get(name)
            if child is None:
                stem = name.rstrip("0123456789")
                child = node.children.get(stem + "#")
                if child is None:
                    raise ScpiError(-114 if stem != name and stem in node.children else -113)
                if len(name) - len(stem) > SUFFIX_DIGITS:
                    raise ScpiError(-114)
                suffixes.append(int(name[len(stem) :] or "1"))
            node = child
        return node, tuple(suffixes)


# --- parameters -----------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)\s*([eE]\s*[+-]?\d+)?")
LIMIT_WORDS = ("MINimum", "MAXimum", "DEFault")
_RADIX = {"H": 16, "Q": 8, "B": 2}
_NONDECIMAL = re.compile(r"#([hH][0-9A-Fa-f]+|[qQ][0-7]+|[bB][01]+)")


def single(params: Sequence[str]) -> str:
    """Return the one parameter; ScpiError -109 when there is none, -108 when there are more."""
    if len(params) > 1:
        raise ScpiError(-108)
    if not params or not params[0]:
        raise ScpiError(-109)
    return params[0]


def parse_number(text: str) -> float:
    """Read a decimal or #H/#Q/#B number; the codes of IEEE 488.2 for anything else."""
    if not text:
        raise ScpiError(-109)
    if text[0] in "\"'":
        raise ScpiError(-158)
    if text[0] == "(":
        raise ScpiError(-178)
    if text[0] == "#":
        if not _NONDECIMAL.fullmatch(text):
            raise ScpiError(-168)
        try:
            return float(int(text[2:], _RADIX[text[1].upper()]))
        except OverflowError:
            raise ScpiError(-222) from None
    if text[0].isalpha():
        raise ScpiError(-148)
    if not _NUMBER.fullmatch(text):
        raise ScpiError(-121)
    return float("".join(text.split()))


def parse_word(text: str, words: Sequence[str]) -> str:
    """Return the short form of the word of `words` that `text` spells; ScpiError when it is none of them."""
    if not text:
        raise ScpiError(-109)
    if text[0] in "\"'":
        raise ScpiError(-158)
    for word in words:
        if text.upper() in long_and_short(word):
            return re.sub("[a-z]", "", word)
    raise ScpiError(-224 if text[0].isalpha() else -128)


def parse_string(text: str) -> str:
    """Return the contents of a quoted string; a doubled quote inside stands for one."""
    if len(text) < 2 or text[0] not in "\"'" or text[-1] != text[0]:
        raise ScpiError(-151 if text[:1] in ("'", '"') else -104)
    return text[1:-1].replace(text[0] * 2, text[0])


class Kind(Protocol):
    """How a parameter is written, bounded and read back."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """Return the value the parameters mean; ScpiError when they mean none."""
        ...

    def format(self, value: Any) -> str:
        """Return the reply to the query form."""
        ...


@dataclass(frozen=True, slots=True)
class Real:
    """A real number in [lo, hi]; MIN, MAX and DEF are words for numbers."""

    lo: float
    hi: float
    pattern: str = "{:+.6E}"

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 outside the limits."""
        text = single(params)
        names: dict[str, Value] = {"MIN": self.lo, "MAX": self.hi, "DEF": default}
        if text[0].isalpha():
            return names[parse_word(text, LIMIT_WORDS)]
        value = parse_number(text)
        if not self.lo <= value <= self.hi:
            raise ScpiError(-222)
        return value

    def format(self, value: Any) -> str:
        """E notation unless another pattern is given."""
        return self.pattern.format(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in [lo, hi] (numbers with a fraction are rounded); `endless` allows INF, read back as +9.9E37."""

    lo: int
    hi: int
    endless: bool = False

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 outside the limits."""
        text = single(params)
        if self.endless and text.upper() in ("INF", "INFINITE"):
            return float("inf")
        value = Real(self.lo - 0.5, self.hi + 0.5).parse(params, default, current)
        return min(max(round(float(str(value))), self.lo), self.hi)

    def format(self, value: Any) -> str:
        """Digits only."""
        return "+9.900000E+37" if value == float("inf") else str(int(value))


@dataclass(frozen=True, slots=True)
class Flag:
    """0, 1, ON or OFF."""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """Numbers other than 0 and 1 are out of range."""
        text = single(params)
        if text[0].isalpha():
            return parse_word(text, ("ON", "OFF")) == "ON"
        number = round(min(abs(parse_number(text)), 2.0))
        if number > 1:
            raise ScpiError(-222)
        return number == 1

    def format(self, value: Any) -> str:
        """0 or 1."""
        return str(int(bool(value)))


@dataclass(frozen=True, slots=True)
class Word:
    """One of some words, kept and read back in its short form."""

    words: tuple[str, ...]

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-224 for a word that is none of them."""
        return parse_word(single(params), self.words)

    def format(self, value: Any) -> str:
        """The short form."""
        return str(value)


@dataclass(frozen=True, slots=True)
class WordSet:
    """A list of words, kept in the order of the instrument; `nothing` is the word for the empty list."""

    words: tuple[str, ...]
    nothing: str = ""

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-109 for an empty list, -224 for a word that is none of them."""
        if not params:
            raise ScpiError(-109)
        named = {parse_word(p, (*self.words, *([self.nothing] if self.nothing else []))) for p in params}
        chosen = [short for word in self.words if (short := re.sub("[a-z]", "", word)) in named]
        return tuple(chosen)

    def format(self, value: Any) -> str:
        """Short forms joined by commas."""
        return ",".join(value) or self.nothing


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string of at most `length` characters."""

    length: int

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-154 when too long."""
        text = parse_string(single(params))
        if len(text) > self.length:
            raise ScpiError(-154)
        return text

    def format(self, value: Any) -> str:
        """In double quotes."""
        return f'"{value}"'
