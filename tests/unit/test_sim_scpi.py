"""Instrument-side SCPI grammar: what a message means, whatever its spelling and segmentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_instruments.scpi import (
    CommandTree,
    ErrorQueue,
    Flag,
    MessageStream,
    Real,
    ScpiError,
    Text,
    Whole,
    Word,
    WordSet,
    parse_number,
    parse_string,
    split_outside,
)

TREE = CommandTree[str]()
for spec in (
    "*RST",
    "*IDN?",
    "OUTPut[1][:STATe]",
    "OUTPut[1][:STATe]?",
    "[:SENSe[1]]:CURRent[:DC]:NPLCycles",
    "[:SENSe[1]]:CURRent[:DC]:PROTection[:LEVel]",
    "SOURce[1]:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
    "SOURce[1]:VOLTage:MODE",
    "SOURce[1]:VOLTage:RANGe",
    "SOURce2:TTL",
    "DIGital:LINE#:MODE",
    "SYSTem:ERRor[:NEXT]?",
):
    TREE.add(spec, spec)


def meanings(message: str) -> list[str]:
    parsed = TREE.parse(message)
    assert parsed.error == 0, message
    return [unit.entry for unit in parsed.units]


@pytest.mark.parametrize(
    "header",
    [
        "SENS:CURR:NPLC 1",
        ":sense1:Current:DC:nplcycles 1",
        "CURR:NPLC 1",
        "SENSE:CURR:DC:NPLC 1",
        "  :SENS1:CURRENT:NPLCYCLES   1 ",
    ],
)
def test_spellings_of_one_command(header: str) -> None:
    assert meanings(header) == ["[:SENSe[1]]:CURRent[:DC]:NPLCycles"]


@pytest.mark.parametrize(
    "header", ["SENS:CUR:NPLC 1", "SENS:CURRE:NPLC 1", "OUTP:NONSENSE", "*IDN", "*FOO", "SYST:ERR", "NPLC 1"]
)
def test_anything_between_short_and_long_is_undefined(header: str) -> None:
    assert TREE.parse(header).error == -113


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("OUTP2 ON", -114),
        ("SOUR2:TTL 1", 0),
        ("SOUR:TTL 1", -113),
        ("SOUR:VOLT,1", -111),
        (":", -102),
        ("5", -102),
        ("OUTP\x01ON", -101),
        ("OUTP \xb5", -101),
        ("SENS:CURRENTCURRENTCURRENT:NPLC 1", -112),
    ],
)
def test_header_errors(message: str, error: int) -> None:
    assert TREE.parse(message).error == error


def test_path_rules() -> None:
    assert meanings("SOUR:VOLT:MODE FIX;RANG 20") == ["SOURce[1]:VOLTage:MODE", "SOURce[1]:VOLTage:RANGe"]
    assert meanings("SOUR:VOLT:MODE FIX;*RST;RANG 20")[2] == "SOURce[1]:VOLTage:RANGe"
    assert meanings("SOUR:VOLT:MODE FIX;:OUTP ON")[1] == "OUTPut[1][:STATe]"
    assert TREE.parse("SOUR:VOLT:MODE FIX;OUTP ON").error == -113
    assert meanings("*RST;:*IDN?;;:SYST:ERR?;") == ["*RST", "*IDN?", "SYSTem:ERRor[:NEXT]?"]


def test_units_before_an_error_are_kept() -> None:
    parsed = TREE.parse("*RST;:FOO 1;:OUTP ON")
    assert [unit.entry for unit in parsed.units] == ["*RST"]
    assert parsed.error == -113


def test_parameters_and_suffixes() -> None:
    unit = TREE.parse("DIG:LINE3:MODE 'a,b;c', (1,2),  3").units[0]
    assert unit.suffixes == (3,)
    assert unit.params == ("'a,b;c'", "(1,2)", "3")
    assert TREE.parse("DIG:LINE:MODE x").units[0].suffixes == (1,)
    assert TREE.parse("OUTP?").units[0].params == ()


def test_separators_inside_quotes_and_parentheses() -> None:
    assert split_outside('a;\'b;c\';"d;""e";(f;g)', ";") == ["a", "'b;c'", '"d;""e"', "(f;g)"]


@given(st.lists(st.text("AB*:?;1 ,", min_size=1, max_size=9)), st.data())
def test_segmentation_does_not_matter(messages: list[str], data: st.DataObject) -> None:
    ends = [data.draw(st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\r"])) for _ in messages]
    stream = b"".join(m.encode() + end for m, end in zip(messages, ends, strict=True))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader, seen = MessageStream(), list[str]()
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += reader.feed(stream[begin:end])
    assert seen == [m.strip() for m in messages if m.strip()]


@pytest.mark.parametrize(
    ("text", "value"),
    [("20", 20.0), ("+2.5E-3", 2.5e-3), (".5", 0.5), ("2 e1", 20.0), ("#H1f", 31.0), ("#B101", 5.0), ("#q17", 15.0)],
)
def test_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", -109),
        ("'1'", -158),
        ("(1)", -178),
        ("#Z1", -168),
        ("#H", -168),
        ("nan", -148),
        ("1V", -121),
        ("1,2", -121),
        ("+", -121),
    ],
)
def test_what_is_no_number(text: str, code: int) -> None:
    with pytest.raises(ScpiError) as caught:
        parse_number(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "params", "value"),
    [
        (Real(0.0, 9.0), ("MAX",), 9.0),
        (Real(0.0, 9.0), ("default",), 3),
        (Whole(1, 2500), ("10.4",), 10),
        (Whole(1, 2500), ("MIN",), 1),
        (Whole(1, 2500, endless=True), ("INF",), float("inf")),
        (Flag(), ("on",), True),
        (Flag(), ("0",), False),
        (Word(("FIXed", "LIST")), ("fixed",), "FIX"),
        (WordSet(("VOLTage", "CURRent", "TIME")), ("TIME", "volt"), ("VOLT", "TIME")),
        (WordSet(("TENTer",), "NONE"), ("NONE",), ()),
        (Text(5), ("'a''b'",), "a'b"),
    ],
)
def test_parameter_kinds(kind: Real, params: tuple[str, ...], value: object) -> None:
    assert kind.parse(params, 3, 0) == value


@pytest.mark.parametrize(
    ("kind", "params", "code"),
    [
        (Real(0.0, 9.0), (), -109),
        (Real(0.0, 9.0), ("1", "2"), -108),
        (Real(0.0, 9.0), ("9.1",), -222),
        (Real(0.0, 9.0), ("1e999",), -222),
        (Real(0.0, 9.0), ("FOO",), -224),
        (Whole(1, 4), ("0",), -222),
        (Whole(1, 4), ("INF",), -224),
        (Flag(), ("2",), -222),
        (Flag(), ("maybe",), -224),
        (Word(("FIXed",)), ("1",), -128),
        (Word(("FIXed",)), ("FIXE",), -224),
        (Text(2), ("'abc'",), -154),
        (Text(2), ("'ab",), -151),
        (Text(2), ("ab",), -104),
    ],
)
def test_parameter_errors(kind: Real, params: tuple[str, ...], code: int) -> None:
    with pytest.raises(ScpiError) as caught:
        kind.parse(params, 3, 0)
    assert caught.value.code == code


def test_strings() -> None:
    assert parse_string('"a""b"') == 'a"b'


def test_error_queue_overflows_into_its_last_entry() -> None:
    queue = ErrorQueue({-113: "Undefined header", -222: "Parameter data out of range", -350: "Queue overflow"}, depth=3)
    for code in (-113, -222, -222, -113, -113):
        queue.push(code)
    assert [queue.pop() for _ in range(4)] == [
        '-113,"Undefined header"',
        '-222,"Parameter data out of range"',
        '-350,"Queue overflow"',
        '0,"No error"',
    ]
