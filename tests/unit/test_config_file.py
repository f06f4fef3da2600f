"""Mistakes in files: each named with its line, all at once; what is right comes through unchanged."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from drivers.errors import ConfigError, Reason
from rig.config_file import (
    MAX_BYTES,
    ConfigModel,
    Contradiction,
    dotted,
    key_lines,
    load_model,
    parse_document,
    read_document,
    render_toml,
    unit_of,
    validated,
)


class Lamp(ConfigModel):
    colour: Literal["red", "green"] = "red"
    power_s: float = Field(default=1.0, ge=1e-3, le=100)
    label: str = Field(default="", max_length=5)
    window_v: tuple[Annotated[float, Field(ge=-10, le=10)], Annotated[float, Field(ge=-10, le=10)]] = (0.0, 1.0)


class Room(ConfigModel):
    name: str
    on: bool = True
    seats: int = Field(default=1, ge=1, le=100)
    start_s: float = Field(default=0.0, ge=0, le=1)
    end_s: float = Field(default=1.0, ge=0, le=1)
    lamp: tuple[Lamp, ...] = ()

    def contradictions(self) -> Iterator[Contradiction]:
        if not self.start_s < self.end_s:
            yield Contradiction("ends-early", ("end_s",), "ends before it starts")
        if self.seats > 50 and not self.on:
            yield Contradiction("dark-hall", ("seats",), "many seats in the dark")


def reasons_of(text: str, folder: Path) -> tuple[Reason, ...]:
    path = folder / "room.toml"
    path.write_bytes(text.encode())
    with pytest.raises(ConfigError) as caught:
        load_model(path, Room)
    assert caught.value.hardware_state == "nothing was touched"
    return caught.value.reasons


LAYOUTS = {
    "plain": ("a = 1\n\n# x = 2\nb = 2", {("a",): 1, ("b",): 4}),
    "table": ("[t]\na = 1\n[t.u]\nb = 2", {("t",): 1, ("t", "a"): 2, ("t", "u"): 3, ("t", "u", "b"): 4}),
    "dotted key": ("\na . b.c = 1\na.d = 2", {("a",): 2, ("a", "b"): 2, ("a", "b", "c"): 2, ("a", "d"): 3}),
    "parent implied": ("[a.b]\nc = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 2}),
    "array of tables": (
        "[[c]]\nx = 1\n[c.y]\nz = 1\n[[c]]\nx = 2\n[[c.d]]\n[[c.d]]\nq = 1",
        {
            ("c",): 1,
            ("c", 0): 1,
            ("c", 0, "x"): 2,
            ("c", 0, "y"): 3,
            ("c", 0, "y", "z"): 4,
            ("c", 1): 5,
            ("c", 1, "x"): 6,
            ("c", 1, "d"): 7,
            ("c", 1, "d", 0): 7,
            ("c", 1, "d", 1): 8,
            ("c", 1, "d", 1, "q"): 9,
        },
    ),
    "inline table": ("a = { b = 1, c = { d = 2 } }\ne = 1", {("a",): 1, ("e",): 2}),
    "value over lines": ("a = [\n  1, # ]\n  { b = 'x]' },\n]\ne = 1", {("a",): 1, ("e",): 5}),
    "text over lines": ('a = """x\ny = 1\n[t]\n\\""""""\nb = \'\'\'\n"""\n\'\'\'\nc = 1', {("a",): 1, ("b",): 5, ("c",): 8}),
    "quoted keys": ('"a b" = 1\n\'c.d\'."e\\u0041" = 2', {("a b",): 1, ("c.d",): 2, ("c.d", "eA"): 2}),
    "hash and equals in text": ('a = "# = [" # [x]\nb = \'#"\'\nc = 1', {("a",): 1, ("b",): 2, ("c",): 3}),
    "windows line ends": ("a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
    "numbers with points, dates": ("a = 1.5e-3\nb = 1979-05-27 07:32:00\nc = +inf", {("a",): 1, ("b",): 2, ("c",): 3}),
}


@pytest.mark.parametrize(("text", "lines"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_lines_of_keys(text: str, lines: dict[tuple[str | int, ...], int]) -> None:
    tomllib.loads(text)
    assert key_lines(text) == lines


KEYS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=4))


def tables(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(KEYS, st.one_of(VALUES, children, st.lists(children, min_size=1, max_size=3)), max_size=4)


TREES = tables(st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=2)), max_size=3))


@given(tree=TREES)
@settings(max_examples=60, deadline=None)
def test_written_toml_reads_back_the_same_and_every_key_has_its_line(tree: dict[str, Any]) -> None:
    text = render_toml(tree)
    assert tomllib.loads(text) == tree
    lines, rows = key_lines(text), text.split("\n")

    def walk(value: Any, loc: tuple[str | int, ...]) -> None:
        if loc:
            row = rows[lines[loc] - 1]
            name = next(part for part in reversed(loc) if isinstance(part, str))
            header = tomllib.loads(row)  # each line stands for itself
            while isinstance(header, dict | list) and name not in header:
                header = next(iter(header.values())) if isinstance(header, dict) else header[0]
            assert name in header
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*loc, key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, item in enumerate(value):
                walk(item, (*loc, index))

    walk(tree, ())


BROKEN = {
    "malformed": (b"a = 1\nb = = 2\n", "toml-malformed", ":2"),
    "value missing at the end": (b"a = 1\nb = ", "toml-malformed", ":2"),
    "text not closed": (b'a = 1\n\nb = "x\n', "toml-malformed", ":3"),
    "duplicate key": (b"a = 1\na = 2\n", "duplicate-key", ":2"),
    "duplicate table": (b"[a]\nb = 1\n[a]\n", "duplicate-key", ":3"),
    "duplicate key in an inline table": (b"\na = { b = 1, b = 2 }\n", "duplicate-key", ":2"),
    "not utf-8": (b"a = 1\nb = '\xb5'\n", "not-utf8", ":2"),
    "utf-16": ("a = 1".encode("utf-16"), "not-utf8", ":1"),
    "nul": (b"a = 1\n\x00", "toml-malformed", ":2"),
    "5000 digits": (b"b = 1\na = " + b"9" * 5000, "line-too-long", ":2"),
    "key of 90000 parts": (b"a." * 90_000 + b"a = 1", "line-too-long", ":1"),
    "key of 17 parts": (b"b = '1.2.3'\n" + b"a . " * 16 + b"a = 1", "key-too-long", ":2"),
    "table of 17 parts": (b"\n\n[" + b"'a.b'." * 16 + b"a]", "key-too-long", ":3"),
    "nested too deeply": (b"a = " + b"[" * 1900 + b"]" * 1900, "toml-malformed", ""),
    "too large": (b"#" * (MAX_BYTES + 1), "file-too-large", ""),
}


@pytest.mark.fault("C1")
@pytest.mark.parametrize(("data", "code", "line"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, data: bytes, code: str, line: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    (reason,) = caught.value.reasons
    assert (reason.code, reason.where) == (code, f"x.toml{line}")


def test_dots_that_are_no_parts_of_a_key_are_not_counted() -> None:
    many = "1." * 40
    text = f'{"a." * 15}a = \'{many}\' # {many}\nb = [{"0.5, " * 40}]\nc = """\n{many}\n"""\n'
    assert parse_document(text, Path("x.toml")).values["c"] == f"{many}\n"


def test_beyond_a_thousand_mistakes_only_their_number_is_told(tmp_path: Path) -> None:
    found = reasons_of("name = ''\n" + "".join(f"k{number} = 1\n" for number in range(1500)), tmp_path)
    assert len(found) == 1001
    assert (found[-1].code, found[-1].message) == ("too-many-mistakes", "and 500 more mistakes")


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.toml", "file-missing"), (tmp_path, "file-unreadable")):
        with pytest.raises(ConfigError) as caught:
            read_document(path)
        assert [reason.code for reason in caught.value.reasons] == [code]
        assert str(path) in str(caught.value)


def test_a_file_the_system_refuses_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.toml"
    path.write_text("a = 1")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    (reason,) = caught.value.reasons
    assert reason.code == "file-unreadable"
    assert "Permission denied" in reason.message


def test_the_largest_file_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    text = b"\xef\xbb\xbfname = 'x'\n"
    path.write_bytes(text + b"#\n" * ((MAX_BYTES - len(text)) // 2))
    assert path.stat().st_size == MAX_BYTES
    assert load_model(path, Room).name == "x"


@pytest.mark.fault("C1")
@given(data=st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(data)
    try:
        load_model(path, Room)
    except ConfigError as error:
        assert error.reasons  # noqa: PT017 - both outcomes are right


MISTAKES = {
    "missing": ("seats = 1", "missing-key", "room.toml name"),
    "missing in a table": ("name = ''\n[[lamp]]\nwindow_v = [1]", "missing-key", "room.toml:3 lamp[0].window_v[1]"),
    "text for a number": ("name = ''\nstart_s = '0'", "wrong-type", "room.toml:2 start_s"),
    "number for text": ("name = 3", "wrong-type", "room.toml:1 name"),
    "bool for a number": ("name = ''\nseats = true", "wrong-type", "room.toml:2 seats"),
    "number for a bool": ("name = ''\non = 1", "wrong-type", "room.toml:2 on"),
    "float for an integer": ("name = ''\nseats = 2.0", "wrong-type", "room.toml:2 seats"),
    "table for a number": ("name = ''\n[seats]", "wrong-type", "room.toml:2 seats"),
    "number for a table": ("name = ''\nlamp = 3", "wrong-type", "room.toml:2 lamp"),
    "numbers for tables": ("name = ''\nlamp = [3]", "wrong-type", "room.toml:2 lamp[0]"),
    "date for a number": ("name = ''\nstart_s = 1979-05-27", "wrong-type", "room.toml:2 start_s"),
    "nan": ("name = ''\nstart_s = nan", "not-finite", "room.toml:2 start_s"),
    "beyond floats": ("name = ''\nstart_s = 1" + "0" * 400, "not-finite", "room.toml:2 start_s"),
    "huge integer": ("name = ''\nseats = 0x" + "f" * 3700, "out-of-range", "room.toml:2 seats"),
    "huge integer in hexadecimal for a float": ("name = ''\nstart_s = 0x" + "f" * 3700, "not-finite", "room.toml:2 start_s"),
    "below": ("name = ''\nseats = 0", "out-of-range", "room.toml:2 seats"),
    "negative zero": ("name = ''\nstart_s = -0.0", "negative-zero", "room.toml:2 start_s"),
    "negative zero in a list": (
        "name = ''\n[[lamp]]\nwindow_v = [-0.0, 1]",
        "negative-zero",
        "room.toml:3 lamp[0].window_v",
    ),
    "list too long": ("name = ''\n[[lamp]]\nwindow_v = [1, 2, 3]", "wrong-length", "room.toml:3 lamp[0].window_v"),
    "text too long": ("name = ''\n[[lamp]]\n[[lamp]]\nlabel = '123456'", "text-too-long", "room.toml:4 lamp[1].label"),
    "choice": ("name = ''\n[[lamp]]\ncolour = 'gren'", "wrong-choice", "room.toml:3 lamp[0].colour"),
    "unknown": ("name = ''\nseets = 3", "unknown-key", "room.toml:2 seets"),
    "unknown table": ("name = ''\n[lamps]\nx = 1", "unknown-key", "room.toml:2 lamps"),
    "wrong unit": ("name = ''\n[[lamp]]\npower_s = 2000", "wrong-magnitude", "room.toml:3 lamp[0].power_s"),
    "together impossible": ("name = ''\nend_s = 0.5\nstart_s = 0.5", "ends-early", "room.toml:2 end_s"),
    "together impossible, by default": ("name = ''\nstart_s = 1", "ends-early", "room.toml end_s"),
}


@pytest.mark.fault("C1")
@pytest.mark.parametrize(("text", "code", "where"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_code_line_and_key(tmp_path: Path, text: str, code: str, where: str) -> None:
    (reason,) = reasons_of(text, tmp_path)
    assert (reason.code, reason.where) == (code, where)
    assert len(reason.message) < 300


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = "nam = 'x'\nseats = 2.5\n\n[[lamp]]\ncolour = 'blue'\n[[lamp]]\npower_s = nan\nlabel = 3\n"
    found = {(reason.where, reason.code) for reason in reasons_of(text, tmp_path)}
    assert found == {
        ("room.toml name", "missing-key"),
        ("room.toml:1 nam", "unknown-key"),
        ("room.toml:2 seats", "wrong-type"),
        ("room.toml:5 lamp[0].colour", "wrong-choice"),
        ("room.toml:7 lamp[1].power_s", "not-finite"),
        ("room.toml:8 lamp[1].label", "wrong-type"),
    }


def test_all_contradictions_come_at_once(tmp_path: Path) -> None:
    found = reasons_of("name = 'x'\nstart_s = 1\nseats = 60\non = false\n", tmp_path)
    assert [reason.code for reason in found] == ["ends-early", "dark-hall"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ''\n[[lamp]]\npower_s = 2000", ("2000 s", "100 s", "is this in ms?", "2 s")),
        ("name = ''\n[[lamp]]\npower_s = 5e6", ("is this in us?", "5 s")),
        ("name = ''\n[[lamp]]\nwindow_v = [-2000, 0]", ("is this in mV?", "-2 V")),
        ("name = ''\n[[lamp]]\ncolour = 'gren'", ('"gren"', "'red'", "did you mean green?")),
        ("name = ''\nseets = 3", ("seets", "did you mean seats?")),
        ("name = ''\n[[lamp]]\nq = 3", ("known are colour, power_s, label, window_v",)),
        ("name = ''\nseats = 1000", ("1000", "100")),
        ("name = ''\nseats = true", ("true",)),
    ],
)
def test_messages_tell_value_limit_and_a_way_out(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (reason,) = reasons_of(text, tmp_path)
    for word in words:
        assert word in reason.message


def test_a_sign_is_not_taken_for_a_unit(tmp_path: Path) -> None:
    (reason,) = reasons_of("name = ''\n[[lamp]]\npower_s = -1", tmp_path)
    assert reason.code == "out-of-range"


def test_integers_pass_for_floats_and_arrays_for_tuples(tmp_path: Path) -> None:
    path = tmp_path / "room.toml"
    path.write_text("name = 'x'\nend_s = 1\n[[lamp]]\nwindow_v = [-1, 2]\n")
    room = load_model(path, Room)
    assert room.lamp[0].window_v == (-1.0, 2.0)
    assert type(room.end_s) is float
    with pytest.raises(ValidationError):
        room.seats = 3  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def test_values_from_python_meet_the_same_checks() -> None:
    assert validated(Room, {"name": "x"}) == Room(name="x")
    with pytest.raises(ConfigError, match="Room: 2 mistakes") as caught:
        validated(Room, {"seats": True})
    assert [(reason.where, reason.code) for reason in caught.value.reasons] == [
        ("name", "missing-key"),
        ("seats", "wrong-type"),
    ]
    with pytest.raises(ValidationError, match="ends before it starts"):
        Room(name="x", start_s=1.0)


def test_places_and_units_are_written_as_users_write_them() -> None:
    document = parse_document("[a]\nb = 1\n", Path("folder/x.toml"))
    assert document.where(("a", "b")) == "x.toml:2 a.b"
    assert document.where(("a", "absent")) == "x.toml:1 a.absent"
    assert document.where(()) == "x.toml"
    assert dotted(("cable", 1, "from")) == "cable[1].from"
    assert [unit_of(name) for name in ("on_time_s", "fluence_uj_cm2", "spot_area_cm2", "cycles")] == ["s", "uJ/cm2", "cm2", ""]
