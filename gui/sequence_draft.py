"""A sequence while it is being written: values that may still be wrong, and the TOML text they make. No Qt.

The text of a file stays as it is while its values are the file's. What changes is changed in its line, comments beside it
stay; only when that is not possible the whole text is written anew.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from drivers.errors import ConfigError, Reason
from gui.form_field import ABSENT, FormField, fields_of, frozen, literal
from rig.config_file import Document, Loc, dotted, key_lines, render_toml
from rig.sequence import Measurement, Sequence

FORM_NAME = "form"  # what the checks call the text; its keys are no bench's
PARAMETERS = "parameters"
_WHERE = re.compile(rf"{FORM_NAME}(?::\d+)?(?: (?P<key>.+))?", re.DOTALL)
_ONE_LINE = re.compile(
    r"""(?P<key>[^=]*=\s*)(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]\[#"']*\]|[^\s#"'\[{]+)(?P<rest>\s*(?:\#.*)?)""", re.DOTALL
)


class SequenceDraft:
    """What the form holds.

    Parameters
    ----------
    measurements  the names a sequence may use, and their parameter models
    """

    def __init__(self, measurements: Mapping[str, type[Measurement]]) -> None:
        self._measurements = measurements
        self._document: Document | None = None
        self._left: dict[str, Any] = {}  # measurement -> its parameters when another one was chosen
        self._values: dict[str, Any] = {}
        self.new(next(iter(measurements)))

    # --- begin

    def new(self, measurement: str) -> None:
        """Begin anew, with the defaults of a measurement written out."""
        self._document, self._left = None, {}
        self._values = {"title": "", "sample": "", "measurement": measurement, "mode": "auto"}
        self._values[PARAMETERS] = self._defaults(measurement)

    def load(self, document: Document) -> None:
        """Take a file's values, wrong ones too."""
        self._document, self._left = document, {}
        self._values = deepcopy(document.values)

    # --- what is there

    @property
    def path(self) -> Path | None:
        """Get the file it came from."""
        return None if self._document is None else self._document.path

    @property
    def changed(self) -> bool:
        """Get whether it differs from the file; what never was a file always does."""
        return self._document is None or not same(self._values, self._document.values)

    @property
    def measurement(self) -> str:
        """Get the name of the measurement, which may not exist."""
        name = self._values.get("measurement", "")
        return name if isinstance(name, str) else str(name)

    def heading(self) -> tuple[FormField, ...]:
        """List title, sample, measurement, mode."""
        return tuple(field for field in fields_of(Sequence) if field.loc != (PARAMETERS,))

    def parameters(self) -> tuple[FormField, ...]:
        """List the fields of the measurement, none when it does not exist."""
        model = self._model(self.measurement)
        return () if model is None else fields_of(model, (PARAMETERS,))

    def text_of(self, field: FormField) -> str:
        """Get what belongs into a box; a key that a file leaves out shows its default."""
        value = _get(self._values, field.loc)
        return field.text(field.default if value is ABSENT else value)

    def unknown(self) -> tuple[Loc, ...]:
        """List the keys that no box stands for."""
        if self.measurement not in self._measurements:
            return ()
        known = [field.loc for field in (*self.heading(), *self.parameters())]
        return tuple(loc for loc, _ in _leaves(self._values) if not any(loc[: len(one)] == one for one in known))

    # --- change

    def set_text(self, field: FormField, text: str) -> None:
        """Take what was typed into a box, right or wrong."""
        if text == self.text_of(field):
            return
        value = field.value(text)
        if field.loc == ("measurement",):
            self._choose(text)
        elif value is ABSENT or (self._left_out(field.loc) and same(value, field.default)):
            _remove(self._values, field.loc)
        else:
            _set(self._values, field.loc, value)

    def drop_unknown(self) -> None:
        """Take out the keys that no box stands for."""
        for loc in self.unknown():
            _remove(self._values, loc)

    def _choose(self, measurement: str) -> None:
        before, parameters = self.measurement, self._values.get(PARAMETERS, {})
        self._left[before] = parameters
        self._values["measurement"] = measurement
        kept = self._left.get(measurement, None if before in self._measurements else parameters)  # the name was misspelt
        self._values[PARAMETERS] = self._defaults(measurement) if kept is None else kept

    def _left_out(self, loc: Loc) -> bool:
        document = self._document
        if document is None or document.values.get("measurement") != self.measurement:
            return False
        return _get(document.values, loc) is ABSENT

    def _model(self, measurement: str) -> type[BaseModel] | None:
        model: Any = self._measurements.get(measurement)
        return model if isinstance(model, type) and issubclass(model, BaseModel) else None

    def _defaults(self, measurement: str) -> dict[str, Any]:
        model, values = self._model(measurement), dict[str, Any]()
        for field in fields_of(model) if model is not None else ():
            if field.default is not ABSENT and field.default is not None:
                _set(values, field.loc, _plain(field.default))
        return values

    # --- text

    def toml(self) -> str:
        """Write it as a sequence file.

        Raises
        ------
        ConfigError  a value of the file it came from cannot be written again
        """
        if self._document is not None:
            if not self.changed:
                return self._document.text
            patched = _patched(self._document, self._values)
            if patched is not None:
                return patched
        text = render_toml(self._values) + "\n"
        if not _reads_as(text, self._values):
            odd = ", ".join(dotted(loc) for loc, value in _leaves(self._values) if not _writable(value)) or "a value"
            reason = Reason("not-writable", FORM_NAME, f"{odd} cannot be written as TOML")
            raise ConfigError("The sequence cannot be written.", (reason,), next_step="correct it in a text editor")
        return text

    @property
    def loses_comments(self) -> bool:
        """Get whether the text has to be written anew, without the comments of the file."""
        document = self._document
        return document is not None and self.changed and "#" in document.text and _patched(document, self._values) is None


def field_of(reason: Reason, fields: tuple[FormField, ...]) -> FormField | None:
    """Find the box that a reason speaks about; None for those about several, the file or the bench."""
    match = _WHERE.fullmatch(reason.where)
    key = "" if match is None else match["key"] or ""
    return next((field for field in fields if re.match(rf"{re.escape(field.key)}(?=$|[.\[])", key)), None)


def told(reason: Reason) -> str:
    """Write a reason that stands in no box: its place, unless that is the form, its sentence and its code."""
    match = _WHERE.fullmatch(reason.where)
    place = reason.where if match is None else match["key"] or ""
    place = "" if place == PARAMETERS else place
    return f"{place}{': ' if place else ''}{reason.message} [{reason.code}]"


def same(one: Any, other: Any) -> bool:
    """Compare values as TOML does: 1 is not 1.0 and not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # -0.0 is not 0.0, nan is nan


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(exclude_none=True))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, tuple | list) else value


def _writable(value: Any) -> bool:
    return _reads_as(render_toml({"x": value}), {"x": value})


def _reads_as(text: str, values: dict[str, Any]) -> bool:
    try:
        return same(frozen(tomllib.loads(text)), values)
    except (ValueError, RecursionError):
        return False


def _get(values: Any, loc: Loc) -> Any:
    for step in loc:
        if not isinstance(values, dict) or step not in values:
            return ABSENT
        values = values[step]
    return values


def _set(values: dict[str, Any], loc: Loc, value: Any) -> None:
    *parents, last = (str(step) for step in loc)
    for step in parents:
        if not isinstance(values.get(step), dict):
            values[step] = {}
        values = values[step]
    values[last] = value


def _remove(values: dict[str, Any], loc: Loc) -> None:
    inner = _get(values, loc[:-1])
    if isinstance(inner, dict):
        inner.pop(str(loc[-1]), None)


def _leaves(values: Mapping[str, Any], loc: Loc = ()) -> Iterator[tuple[Loc, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*loc, key))
        else:
            yield (*loc, key), value


def _patched(document: Document, values: dict[str, Any]) -> str | None:
    """Change a file's text line by line; None when that does not give these values."""
    old, new = dict(_leaves(document.values)), dict(_leaves(values))
    if _get(document.values, ("measurement",)) != _get(values, ("measurement",)):
        return None  # another measurement is another file
    places = key_lines(document.text)
    rows: list[str | None] = [*document.text.split("\n")]
    if any(loc not in places for loc in old if loc not in new or not same(old[loc], new[loc])):
        return None  # inside the value of another key
    for loc in [loc for loc in old if loc not in new]:
        rows[places[loc] - 1] = None
    for loc in [loc for loc, value in new.items() if loc in old and not same(old[loc], value)]:
        row = rows[places[loc] - 1]
        match = _ONE_LINE.fullmatch(row or "")
        if match is None:
            return None
        rows[places[loc] - 1] = f"{match['key']}{literal(new[loc])}{match['rest']}"
    added: dict[int, list[str]] = {}
    for loc in [loc for loc in new if loc not in old]:
        beside = [line for place, line in places.items() if place == loc[:-1] or (place in old and place[:-1] == loc[:-1])]
        if not beside:
            return None
        added.setdefault(max(beside) - 1, []).append(f"{loc[-1]} = {literal(new[loc])}")
    text = "\n".join(one for index, row in enumerate(rows) for one in (row, *added.get(index, ())) if one is not None)
    return text if _reads_as(text, values) else None
