"""Files a user writes: TOML text to frozen models, or every mistake at once with its line, its code and its limit."""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from json import dumps
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from drivers.errors import ConfigError, Reason

MAX_BYTES = 200_000  # forty times the longest bench file there is
MAX_LINE = 4000  # characters; tomllib's time grows with the square of a dotted key's length
MAX_KEY_PARTS = 16  # a.b.c has three; every part of every key is a table: a megabyte of long keys once took 4 GB
MAX_REASONS = 1000  # mistakes that are told one by one

Loc = tuple[str | int, ...]
Where = Callable[[Loc], str]
ModelT = TypeVar("ModelT", bound=BaseModel)

# name's ending -> unit, and the units it is mistaken for: 1 of those is `factor` of ours; longest ending first
UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "_uj_cm2": ("uJ/cm2", {"nJ/cm2": 1e-3, "mJ/cm2": 1e3, "J/cm2": 1e6}),
    "_percent": ("%", {}),
    "_cm2": ("cm2", {"mm2": 1e-2, "um2": 1e-8}),
    "_hz": ("Hz", {"kHz": 1e3, "mHz": 1e-3}),
    "_nm": ("nm", {"um": 1e3, "pm": 1e-3}),
    "_v": ("V", {"mV": 1e-3, "uV": 1e-6}),
    "_a": ("A", {"mA": 1e-3, "uA": 1e-6, "nA": 1e-9}),
    "_s": ("s", {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}),
    "_c": ("degC", {}),
}

# pydantic's error type -> our code and sentence
_RULES = {
    "missing": ("missing-key", "the key is missing"),
    "model_type": ("wrong-type", "{value} is not a table"),
    "tuple_type": ("wrong-type", "{value} is not a list"),
    "string_type": ("wrong-type", "{value} is not text (in quotes)"),
    "bool_type": ("wrong-type", "{value} is neither true nor false"),
    "int_type": ("wrong-type", "{value} is not a whole number (no quotes, no decimal point)"),
    "float_type": ("wrong-type", "{value} is not a number (no quotes)"),
    "finite_number": ("not-finite", "{value} is not a finite number"),
    "greater_than_equal": ("out-of-range", "{value} is below the lowest value accepted, {ge:g}"),
    "less_than_equal": ("out-of-range", "{value} is above the highest value accepted, {le:g}"),
    "greater_than": ("out-of-range", "{value} is not above {gt:g}"),
    "less_than": ("out-of-range", "{value} is not below {lt:g}"),
    "too_long": ("wrong-length", "the list has {actual_length} entries, at most {max_length} are accepted"),
    "too_short": ("wrong-length", "the list has {actual_length} entries, at least {min_length} are needed"),
    "string_too_long": ("text-too-long", "the text is longer than {max_length} characters"),
    "string_too_short": ("text-too-short", "the text is shorter than {min_length} characters"),
    "literal_error": ("wrong-choice", "{value} is not one of {expected}"),
}


# --- text -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5} | \'\'\'.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*'
      | \#[^\n]* | [A-Za-z0-9_+:-]+ | [\[\]{}=,.\n]''',
    re.DOTALL | re.VERBOSE,
)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, words) of each header and each key = value in valid TOML; a value may span lines."""
    line, depth, words, first = 1, 0, list[str](), 1
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word == "\n" and depth == 0:
            if words:
                yield first, words
            words = []
        elif word != "\n" and not word.startswith("#"):
            if not words:
                first = line
            words.append(word)
            depth += (word in "[{") - (word in "]}")
        line += word.count("\n")
    if words:
        yield first, words


def _key(tokens: list[str]) -> list[str]:
    return [tomllib.loads(f"k={t}")["k"] if t[0] in "\"'" else t for t in tokens if t != "."]


def key_lines(text: str) -> dict[Loc, int]:
    """Find the line (from 1) of every table and key of valid TOML; keys inside a value count as the outermost key."""
    lines: dict[Loc, int] = {}
    last: dict[Loc, int] = {}  # array of tables -> index of its newest element
    table: Loc = ()

    def locate(base: Loc, names: list[str], line: int) -> Loc:
        for name in names:
            base = (*base, name)
            lines.setdefault(base, line)
            if base in last:
                base = (*base, last[base])
        return base

    for line, tokens in _statements(text):
        if tokens[:2] == ["[", "["]:
            *parents, name = _key(tokens[2:-2])
            array = (*locate((), parents, line), name)
            last[array] = last.get(array, -1) + 1
            table = (*array, last[array])
            lines.setdefault(array, line)
            lines[table] = line
        elif tokens[0] == "[":
            table = locate((), _key(tokens[1:-1]), line)
        else:
            locate(table, _key(tokens[: tokens.index("=")]), line)
    return lines


def _deep_key_line(text: str) -> int | None:
    """Find the line (from 1) of a key of too many parts, in any text; keys never span lines."""
    if all(row.count(".") < MAX_KEY_PARTS for row in text.split("\n")):
        return None
    line, dots = 1, 0
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word == ".":
            dots += 1
            if dots >= MAX_KEY_PARTS:
                return line
        elif word[0] in "[]{}=,\n#":
            dots = 0
        line += word.count("\n")
    return None


@dataclass(frozen=True, eq=False)
class Document:
    """A TOML file as read: where it was, its text, its values (arrays as tuples)."""

    path: Path
    text: str
    values: dict[str, Any]

    @cached_property
    def _lines(self) -> dict[Loc, int]:
        return key_lines(self.text)

    def where(self, loc: Loc) -> str:
        """Name a key for a reader: ``bench.toml:12 laser.pulse_delay_s``; an absent key has the line of its table."""
        line = next((self._lines[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in self._lines), None)
        return f"{self.path.name}{'' if line is None else f':{line}'} {dotted(loc)}".rstrip()


def dotted(loc: Loc) -> str:
    """Write a place as users do: ``cable[1].from`` (counted from 0)."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _refused(path: Path, code: str, message: str, line: int | None = None) -> ConfigError:
    where = path.name if line is None else f"{path.name}:{line}"
    return ConfigError(
        f"{path.name} cannot be read",
        (Reason(code, where, message),),
        where=str(path),
        next_step="check the path and the file",
    )


def parse_document(text: str, path: Path) -> Document:
    """Parse TOML text that belongs to `path`.

    Raises
    ------
    ConfigError    line-too-long, key-too-long, toml-malformed or duplicate-key, with the line
    """
    if long := next((n for n, row in enumerate(text.split("\n"), 1) if len(row) > MAX_LINE), None):
        raise _refused(path, "line-too-long", f"the line is longer than {MAX_LINE} characters", long)
    if deep := _deep_key_line(text):
        raise _refused(path, "key-too-long", f"the key has more than {MAX_KEY_PARTS} parts", deep)
    try:
        return Document(path, text, _frozen(tomllib.loads(text)))
    except RecursionError:
        raise _refused(path, "toml-malformed", "values are nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and int() on more digits than Python converts
        message = str(error)
        found = re.search(r"at line (\d+)", message)
        line = int(found[1]) if found else text.count("\n") + 1 if "end of document" in message else None
        twice = re.search(r"overwrite|twice|[Dd]uplicate|immutable namespace", message)
        raise _refused(path, "duplicate-key" if twice else "toml-malformed", message, line) from error


def read_document(path: Path) -> Document:
    """Read and parse a TOML file of at most `MAX_BYTES`.

    Raises
    ------
    ConfigError    file-missing, file-unreadable, file-too-large, not-utf8, and what `parse_document` raises
    """
    try:
        if not path.exists():
            raise _refused(path, "file-missing", f"there is no file {path}")
        if not path.is_file():
            raise _refused(path, "file-unreadable", f"{path} is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refused(path, "file-unreadable", f"the system says: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise _refused(path, "file-too-large", f"the file is larger than {MAX_BYTES} bytes: is it a configuration?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, "not-utf8", f"byte 0x{data[error.start]:02x} is not UTF-8 text", line) from error
    return parse_document(text, path)


def render_toml(values: Mapping[str, Any]) -> str:
    """Write plain values (text, numbers, bools, lists, tables) as TOML; reading it gives the same values. None is left out."""
    return "\n".join(_rendered(values, ""))


def _rendered(table: Mapping[str, Any], header: str) -> Iterator[str]:
    def is_tables(value: Any) -> bool:
        return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, dict) for item in value)

    def name(key: str) -> str:
        return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)

    for key, value in table.items():
        if value is not None and not isinstance(value, dict) and not is_tables(value):
            yield f"{name(key)} = {_literal(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ("", f"[{header}{name(key)}]", *_rendered(value, f"{header}{name(key)}."))
        elif is_tables(value):
            for item in value:
                yield from ("", f"[[{header}{name(key)}]]", *_rendered(item, f"{header}{name(key)}."))


def _quoted(text: str) -> str:
    return dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


# --- models ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Values that are fine one by one and impossible together; `loc` is relative to the model that says so."""

    code: str
    loc: Loc
    message: str


class _ContradictionsError(ValueError):
    def __init__(self, found: tuple[Contradiction, ...]) -> None:
        super().__init__("; ".join(f"{dotted(c.loc)}: {c.message} [{c.code}]" for c in found))
        self.found = found


class ConfigModel(BaseModel):
    """Base of everything a user writes: frozen, no unknown keys, no bools or text as numbers, nothing infinite.

    Constructed in Python the same checks raise `pydantic.ValidationError`; `validated` turns them into reasons.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield what is impossible together; called once every field is valid by itself."""
        return iter(())

    @model_validator(mode="after")
    def _agree(self) -> "ConfigModel":
        if found := tuple(self.contradictions()):
            raise _ContradictionsError(found)
        return self

    @field_validator("*", mode="after", check_fields=False)
    @classmethod
    def _refuse_negative_zero(cls, value: object) -> object:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and number == 0.0 and math.copysign(1.0, number) < 0 for number in numbers):
            raise refusal("negative-zero", "-0.0 is a slip of the pen: write 0.0")
        return value


def refusal(code: str, message: str) -> PydanticCustomError:
    """Build the error for a field validator to raise: `code` is kept in the Reason."""
    return PydanticCustomError(code, "{message}", {"message": message})  # pyright: ignore[reportArgumentType] - wants literals


def unit_of(name: str) -> str:
    """Get the unit that a field's name ends with ("on_time_s" -> "s"), "" when it has none."""
    return next((unit for ending, (unit, _) in UNITS.items() if name.endswith(ending)), "")


def suggestion(word: str, known: list[str]) -> str:
    """Propose the nearest known word, or list what is known."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """List the keys that the table at `loc` may have, [] when it is not one of ours."""
    for step in (part for part in loc if isinstance(part, str)):
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        inner = next(_models(fields[step].annotation), None) if step in fields else None
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 128:  # much longer ones cannot even be printed
        return "an integer of more than 38 digits"
    if isinstance(value, dict | tuple):
        return "a table" if isinstance(value, dict) else "a list"
    text = _literal(value) if isinstance(value, str | bool | int | float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _magnitude_hint(name: str, value: float, context: Mapping[str, Any]) -> str:
    """Ask whether another unit was meant: the first one that would bring `value` past the limit it broke."""
    unit, others = next((entry for ending, entry in UNITS.items() if name.endswith(ending)), ("", {}))
    lo = context.get("ge", context.get("gt", -math.inf))
    hi = context.get("le", context.get("lt", math.inf))
    for other, factor in others.items():
        # the broken limit is all pydantic tells; a sign cannot be a matter of units
        if value * factor != 0 and lo <= value * factor <= hi:
            return f"; is this in {other}? {value:g} {other} are {value * factor:g} {unit}"
    return ""


def _reasons(model: type[BaseModel], error: ErrorDetails, where: Where) -> Iterator[Reason]:
    kind, loc, value, context = error["type"], error["loc"], error["input"], error.get("ctx", {})
    key = next((part for part in reversed(loc) if isinstance(part, str)), "")
    if isinstance(broken := context.get("error"), _ContradictionsError):
        yield from (Reason(c.code, where((*loc, *c.loc)), c.message) for c in broken.found)
        return
    if kind == "extra_forbidden":
        yield Reason("unknown-key", where(loc), f"unknown key {key}: {suggestion(key, _keys(model, loc[:-1]))}")
        return
    if kind == "float_type" and isinstance(value, int) and not isinstance(value, bool):
        kind = "finite_number"  # an integer beyond the largest float
    code, sentence = _RULES.get(kind, (kind if "-" in kind else "invalid-value", "{message}"))
    unit = unit_of(key)
    shown = (
        f"{_shown(value)} {unit}" if unit and isinstance(value, int | float) and not isinstance(value, bool) else _shown(value)
    )
    message = sentence.format_map({"message": error["msg"], **context, "value": shown})
    if code == "out-of-range":
        hint = _magnitude_hint(key, value, context) if abs(value) < 1e300 else ""
        code, message = "wrong-magnitude" if hint else code, f"{message}{f' {unit}' if unit else ''}{hint}"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", context["expected"])
        near = get_close_matches(value, choices, n=1)
        message += f"; did you mean {near[0]}?" if near else ""
    yield Reason(code, where(loc), message)


def check(
    model: type[ModelT], values: object, where: Where = dotted, prefix: Loc = (), context: Document | None = None
) -> ModelT | tuple[Reason, ...]:
    """Validate plain values; return the model, or every reason why not.

    Parameters
    ----------
    where    names a place for the reader
    prefix   where `values` lies in the file
    context  handed to the model's `model_post_init`
    """
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        told = error.errors(include_url=False)[:MAX_REASONS]
        reasons = tuple(reason for details in told for reason in _reasons(model, details, lambda loc: where((*prefix, *loc))))
        more = error.error_count() - len(told)
        return (*reasons, Reason("too-many-mistakes", "", f"and {more} more mistakes")) if more else reasons


def config_error(name: str, reasons: tuple[Reason, ...], where: str = "") -> ConfigError:
    """Build the error that lists `reasons` against what is called `name`."""
    count = "1 mistake" if len(reasons) == 1 else f"{len(reasons)} mistakes"
    return ConfigError(f"{name}: {count}", reasons, where=where, next_step="correct what is listed and try again")


def validated(model: type[ModelT], values: object, name: str | None = None, where: Where = dotted) -> ModelT:
    """Validate plain values (from a form, a notebook, a file).

    Raises
    ------
    ConfigError    all mistakes at once
    """
    result = check(model, values, where)
    if isinstance(result, tuple):
        raise config_error(name or model.__name__, result)
    return result


def load_model(path: Path, model: type[ModelT]) -> ModelT:
    """Read a TOML file into `model`.

    Raises
    ------
    ConfigError    the file cannot be read, or all mistakes in it at once, with their lines
    """
    document = read_document(path)
    result = check(model, document.values, document.where)
    if isinstance(result, tuple):
        raise config_error(path.name, result, str(path))
    return result
