"""What one box of a form stands for: a field of a parameter model, its unit, limits and choices, its value as text. No Qt."""

import re
import tomllib
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rig.config_file import Loc, dotted, render_toml, unit_of

Kind = Literal["number", "whole", "text", "choice", "switch", "list", "toml"]

_SHOWN_UNITS = {"uJ/cm2": "µJ/cm²", "cm2": "cm²", "degC": "°C"}
# what people type and TOML does not take: .5 and 5. and 007
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SCALARS: dict[Any, Kind] = {float: "number", int: "whole", str: "text", bool: "switch"}


class Absent:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class FormField:
    """One field.

    Parameters
    ----------
    loc          where its key is in the sequence, ("parameters", "cycles")
    label        for people, without the unit
    unit         as shown, "" without one
    kind         which kind of box
    optional     whether it may be empty, which leaves the key out
    default      ABSENT without one
    choices      of kind "choice"
    limits       the window of its model, in words; "" without one
    description  of its model
    """

    loc: Loc
    label: str
    unit: str
    kind: Kind
    optional: bool
    default: Any
    choices: tuple[Any, ...]
    limits: str
    description: str

    @property
    def key(self) -> str:
        """Get its name as in a file: "parameters.cycles"."""
        return dotted(self.loc)

    def chosen_from(self, choices: tuple[Any, ...]) -> "FormField":
        """Return the same field with choices."""
        return replace(self, kind="choice", choices=choices)

    def text(self, value: Any) -> str:
        """Write a value as one would type it into the box."""
        if value is ABSENT or value is None:
            return ""
        if isinstance(value, str) and (self.kind in ("text", "choice") or self.value(value) == value):
            return value
        if self.kind == "list" and isinstance(value, tuple | list):
            return ", ".join(literal(one) for one in value)
        return literal(value)

    def value(self, text: str) -> Any:
        """Read what was typed; what is no value of its kind stays text, for the checks to refuse."""
        if self.kind == "text":
            return ABSENT if self.optional and text == "" else text
        bare = text.strip()
        if bare == "":
            # emptying a box must not bring a default back unseen; a key that has none is just missing
            return ABSENT if self.optional or self.default is ABSENT else text
        if self.kind == "choice":
            return next((choice for choice in self.choices if self.text(choice) == text), text)
        if self.kind == "list" and not bare.startswith("["):
            bare = f"[{bare}]"
        found = _toml_value(bare)
        return _number(bare, text) if found is ABSENT else found


def fields_of(model: type[BaseModel], prefix: Loc = ()) -> tuple[FormField, ...]:
    """List the fields of a model, those of the models inside it in their places."""
    found: list[FormField] = []
    for name, info in model.model_fields.items():
        loc = (*prefix, info.alias or name)
        annotation, optional = _plain(info.annotation)
        if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
            found += fields_of(annotation, loc)
        else:
            found.append(_field(loc, name, info, annotation, optional))
    return tuple(found)


def _field(loc: Loc, name: str, info: FieldInfo, annotation: Any, optional: bool) -> FormField:
    unit = unit_of(name)
    default = info.get_default(call_default_factory=True, validated_data={}) if not info.is_required() else ABSENT
    kind, choices = _kind(annotation)
    return FormField(
        loc=loc,
        label=_label(name),
        unit=_SHOWN_UNITS.get(unit, unit),
        kind=kind,
        optional=optional,
        default=default,
        choices=choices,
        limits=_limits(info.metadata),
        description=info.description or "",
    )


def _plain(annotation: Any) -> tuple[Any, bool]:
    """Take Annotated[...] and "or None" away."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [one for one in get_args(annotation) if one is not NoneType]
        if len(kinds) == 1 and len(kinds) < len(get_args(annotation)):
            return _plain(kinds[0])[0], True
    return annotation, False


def _kind(annotation: Any) -> tuple[Kind, tuple[Any, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is tuple:
        inner = [_plain(one)[0] for one in get_args(annotation) if one is not Ellipsis]
        return ("list" if all(one in _SCALARS for one in inner) else "toml"), ()
    return _SCALARS.get(annotation, "toml"), ()


def _label(name: str) -> str:
    ending = next(
        (end for end in ("_uj_cm2", "_percent", "_cm2", "_hz", "_nm", "_v", "_a", "_s", "_c") if name.endswith(end)), ""
    )
    words = name.removesuffix(ending).replace("_", " ")
    return words[:1].upper() + words[1:]


def _limits(metadata: list[Any]) -> str:
    bounds = {
        kind: getattr(one, kind)
        for one in metadata
        for kind in ("ge", "gt", "le", "lt")
        if getattr(one, kind, None) is not None
    }
    told = {kind: str(bound) if isinstance(bound, int) else f"{bound:g}" for kind, bound in bounds.items()}
    low = told["ge"] if "ge" in told else f"above {told['gt']}" if "gt" in told else ""
    high = told["le"] if "le" in told else f"below {told['lt']}" if "lt" in told else ""
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if "ge" in bounds else f"up to {high}" if "le" in bounds else low or high


def literal(value: Any) -> str:
    """Write one value as TOML."""
    return render_toml({"x": value}).partition(" = ")[2]


def _toml_value(text: str) -> Any:
    """Read one TOML value, ABSENT when it is none."""
    try:
        table = tomllib.loads(f"x = {text}")
    except (ValueError, RecursionError):
        return ABSENT
    return frozen(table["x"]) if list(table) == ["x"] else ABSENT


def _number(bare: str, text: str) -> Any:
    if not _PLAIN_NUMBER.fullmatch(bare):
        return text
    try:
        return int(bare)
    except ValueError:
        return float(bare)


def frozen(value: Any) -> Any:
    """Make tuples of lists, as Document does."""
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value
