"""The simulated SC10 against the maker's keyword table, row by row, and against what programs of others send.

Source: SC10 operating manual, keywords; the framing as InstrumentKit 1.0.0b2 and Micro-Manager expect it. A row is executed
here or stands in the persona's KNOWINGLY_ABSENT.
"""

import re
from pathlib import Path

import pytest

from sim_instruments.thorlabs_sc10 import KEYWORDS, KNOWINGLY_ABSENT, Sc10Persona

MS = 1_000_000
PAGE = Path(__file__).parents[2] / "docs" / "instruments" / "thorlabs-sc10.md"
ROW = re.compile(r"^\| `(?P<command>[^|]*)` \| (?P<example>.*) \| (?:(?P<yes>yes)|no: (?P<reason>.*)) \|$", re.MULTILINE)
NOT_DEFINED, ARG_INVALID = "Command error CMD_NOT_DEFINED", "Command error CMD_ARG_INVALID"


class Host:
    """A host that waits for every prompt."""

    def __init__(self, *before: str) -> None:
        self.persona = Sc10Persona()
        self.t_ns = 0
        for line in before:
            self.exchange(line.encode() + b"\r")

    def exchange(self, data: bytes) -> bytes:
        self.persona.receive(data, self.t_ns)
        found = b""
        while (ready_ns := self.persona.reply_ready_ns(self.t_ns)) is not None:
            self.t_ns = max(self.t_ns, ready_ns)
            self.persona.run_until(self.t_ns)
            found += self.persona.take(1 << 16, self.t_ns)[0]
        return found

    def ask(self, line: str) -> str:
        """What stands between echo and prompt, "" when nothing does."""
        found = self.exchange(line.encode() + b"\r").decode()
        assert found.startswith(line + "\r")
        assert found.endswith("> ")
        value = found[len(line) + 1 : -2]
        assert value == "" or value.endswith("\r")
        return value[:-1]


def test_the_bytes_of_a_question() -> None:
    assert Host().exchange(b"ens?\r") == b"ens?\r0\r> "


def test_the_bytes_of_a_command() -> None:
    assert Host().exchange(b"ens\r") == b"ens\r> "


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
    assert Host().ask(question) == answer


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
    host = Host()
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
    host = Host()
    assert host.ask(line) == ARG_INVALID
    question = line.partition("=")[0] + "?"
    assert host.ask(question) == DEFAULTS[question]


@pytest.mark.parametrize("line", ["ENS?", "ens ?", "*idn?", "close", "open", "ens=1", "foo=1", "closed=1", "id", "~1"])
def test_what_is_no_keyword_is_refused(line: str) -> None:
    assert Host().ask(line) == NOT_DEFINED


def test_an_empty_line_gets_a_prompt() -> None:
    assert Host().exchange(b"\r") == b"\r> "


def test_a_line_feed_after_the_return_does_no_harm() -> None:
    assert Host().exchange(b"ens?\r\nid?\r\n") == b"ens?\r0\r> id?\rTHORLABS SC10 VERSION 1.07\r> "


@pytest.mark.parametrize(("store", "recalled"), [("save", "77"), ("savp", "77"), ("rep=2", "500")])
def test_stored_settings_are_recalled(store: str, recalled: str) -> None:
    assert Host("open=77", store, "open=88", "resp").ask("open?") == recalled


def test_the_list_of_commands_names_every_keyword() -> None:
    listed = Host().ask("?").split("\r")
    assert listed == list(KEYWORDS)
    for question in (word for word in listed if word.endswith("?") and word != "?"):
        assert "error" not in Host().ask(question)


def test_the_dialogue_of_micro_manager() -> None:
    """It asks *idn? first and goes on whatever comes, sets manual mode, reads before it toggles; all up to the next '>'."""
    host = Host()
    said = (b"*idn?\r", b"mode=1\r", b"ens?\r", b"ens\r", b"ens?\r")
    heard = [host.exchange(line).partition(b">")[0] for line in said]
    assert heard[1:] == [b"mode=1\r", b"ens?\r0\r", b"ens\r", b"ens?\r1\r"]
    assert heard[0].startswith(b"*idn?\r")


def test_the_page_says_what_is_absent_and_why() -> None:
    rows = list(ROW.finditer(PAGE.read_text("utf-8")))
    assert {row["command"]: row["reason"] for row in rows if not row["yes"]} == KNOWINGLY_ABSENT
    told = {row["command"] for row in rows}
    wanted = {f"{word}n" if word.endswith("=") else word for word in KEYWORDS}
    assert told == (wanted | {"mode=5", "trig=0", "trig=1"}) - {"trig=n"}
