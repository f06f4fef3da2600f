"""The simulated SC10 against the maker's keyword table, row by row, and against what programs of others send.

Source: SC10 operating manual, keywords; the framing as InstrumentKit 1.0.0b2 and Micro-Manager expect it. A row is executed
here or stands in the persona's KNOWINGLY_ABSENT.
"""

import pytest
from thorlabs_host import Host, absent, told_of

from sim_instruments.thorlabs_sc10 import KEYWORDS, KNOWINGLY_ABSENT, Sc10Persona

NOT_DEFINED, ARG_INVALID = "Command error CMD_NOT_DEFINED", "Command error CMD_ARG_INVALID"


def powered_up(*before: str) -> Host:
    return Host(Sc10Persona(), *(f"{line}\r".encode() for line in before))


def test_the_bytes_of_a_question() -> None:
    assert powered_up().exchange(b"ens?\r") == b"ens?\r0\r> "


def test_the_bytes_of_a_command() -> None:
    assert powered_up().exchange(b"ens\r") == b"ens\r> "


DEFAULTS = {
    "id?": "THORLABS SC10 VERSION 1.07",
    "ens?": "0",
    "mode?": "1",
    "trig?": "0",
    "xto?": "0",
    "open?": "500",
    "shut?": "500",
    "rep?": "1",
    "closed?": "1",
    "interlock?": "0",
    "baud?": "0",
}


@pytest.mark.parametrize(("question", "answer"), DEFAULTS.items())
def test_power_up_values(question: str, answer: str) -> None:
    assert powered_up().ask(question) == answer


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mode", (1, 2, 3, 4, 5)),
        ("trig", (0, 1)),
        ("xto", (0, 1)),
        ("open", (0, 1, 999_999)),
        ("shut", (0, 1, 999_999)),
        ("rep", (1, 99)),
        ("baud", (0, 1)),
    ],
)
def test_what_is_set_is_read_back(name: str, values: tuple[int, ...]) -> None:
    host = powered_up()
    for value in values:
        assert host.ask(f"{name}={value}") == ""
        assert host.ask(f"{name}?") == str(value)


@pytest.mark.parametrize(
    "line",
    [
        *("mode=0", "mode=6", "mode=", "mode=1.0", "mode=-1", "mode= 1", "trig=2", "xto=2", "rep=0", "rep=100", "baud=2"),
        *("open=1000000", "open=0000001", "shut=-5", "open=x"),
    ],
)
def test_impossible_values_are_refused_and_change_nothing(line: str) -> None:
    host = powered_up()
    assert host.ask(line) == ARG_INVALID
    question = line.partition("=")[0] + "?"
    assert host.ask(question) == DEFAULTS[question]


@pytest.mark.parametrize("line", ["ENS?", "ens ?", "*idn?", "close", "open", "ens=1", "foo=1", "closed=1", "id", "~1"])
def test_what_is_no_keyword_is_refused(line: str) -> None:
    assert powered_up().ask(line) == NOT_DEFINED


def test_an_empty_line_gets_a_prompt() -> None:
    assert powered_up().exchange(b"\r") == b"\r> "


def test_a_line_feed_after_the_return_does_no_harm() -> None:
    assert powered_up().exchange(b"ens?\r\nid?\r\n") == b"ens?\r0\r> id?\rTHORLABS SC10 VERSION 1.07\r> "


@pytest.mark.parametrize(("store", "recalled"), [("save", "77"), ("savp", "77"), ("rep=2", "500")])
def test_stored_settings_are_recalled(store: str, recalled: str) -> None:
    assert powered_up("open=77", store, "open=88", "resp").ask("open?") == recalled


def test_the_list_of_commands_names_every_keyword() -> None:
    listed = powered_up().ask("?").split("\r")
    assert listed == list(KEYWORDS)
    for question in (word for word in listed if word.endswith("?") and word != "?"):
        assert "error" not in powered_up().ask(question)


def test_the_dialogue_of_micro_manager() -> None:
    """It asks *idn? first and goes on whatever comes, sets manual mode, reads before it toggles; all up to the next '>'."""
    host = powered_up()
    said = (b"*idn?\r", b"mode=1\r", b"ens?\r", b"ens\r", b"ens?\r")
    heard = [host.exchange(line).partition(b">")[0] for line in said]
    assert heard[1:] == [b"mode=1\r", b"ens?\r0\r", b"ens\r", b"ens?\r1\r"]
    assert heard[0].startswith(b"*idn?\r")


def test_the_page_says_what_is_absent_and_why() -> None:
    told = told_of("thorlabs-sc10")
    assert absent(told) == KNOWINGLY_ABSENT
    wanted = {f"{word}n" if word.endswith("=") else word for word in KEYWORDS}
    assert set(told) == (wanted | {"mode=5", "trig=0", "trig=1"}) - {"trig=n"}
