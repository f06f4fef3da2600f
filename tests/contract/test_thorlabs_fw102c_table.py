"""The simulated FW102C against the maker's keyword table, row by row, and against what programs of others send.

Source: FW102C operating manual, keywords; the framing as Odemis expects it. A row is executed here or stands in the persona's
KNOWINGLY_ABSENT.
"""

import re
from pathlib import Path

import pytest

from sim_instruments.thorlabs_fw102c import KEYWORDS, KNOWINGLY_ABSENT, Fw102cPersona

PAGE = Path(__file__).parents[2] / "docs" / "instruments" / "thorlabs-fw102c.md"
ROW = re.compile(r"^\| `(?P<command>[^|]*)` \| (?P<example>.*) \| (?:(?P<yes>yes)|no: (?P<reason>.*)) \|$", re.MULTILINE)


class Host:
    """A host that waits for everything that comes."""

    def __init__(self, *before: str) -> None:
        self.persona = Fw102cPersona()
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
    assert Host().exchange(b"speed?\r") == b"speed?\r1\r> "


def test_the_bytes_of_a_move() -> None:
    assert Host().exchange(b"pos=3\r") == b"pos=3\r> "


DEFAULTS = {
    "*idn?": "THORLABS FW102C/FW212C Filter Wheel version 1.07",
    "pos?": "1",
    "pcount?": "6",
    "trig?": "0",
    "speed?": "1",
    "sensors?": "0",
    "baud?": "1",
}


@pytest.mark.parametrize(("question", "answer"), DEFAULTS.items())
def test_power_up_values(question: str, answer: str) -> None:
    assert Host().ask(question) == answer


@pytest.mark.parametrize(
    ("name", "values"),
    [("pos", range(1, 7)), ("pcount", (12, 6)), *((name, (1, 0)) for name in ("trig", "speed", "sensors", "baud"))],
)
def test_what_is_set_is_read_back(name: str, values: tuple[int, ...]) -> None:
    host = Host()
    for value in values:
        assert host.ask(f"{name}={value}") == ""
        assert host.ask(f"{name}?") == str(value)


def test_the_dialogue_of_odemis() -> None:
    """It ends whatever was begun, asks who is there, how many positions, where; turns; all up to the next prompt."""
    host = Host()
    said = (b"\r", b"*idn?\r", b"pcount?\r", b"pos?\r", b"speed?\r", b"pos=5\r", b"pos?\r")
    heard = [host.exchange(line) for line in said]
    assert all(answer.endswith(b"> ") for answer in heard)
    bare = [answer[len(line) : -2].rstrip(b"\r") for line, answer in zip(said, heard, strict=True)]
    assert re.match(rb"THORLABS.*FW102C.*", bare[1])
    assert bare[2:] == [b"6", b"1", b"1", b"", b"5"]


def test_the_page_says_what_is_absent_and_why() -> None:
    rows = list(ROW.finditer(PAGE.read_text("utf-8")))
    assert {row["command"]: row["reason"] for row in rows if not row["yes"]} == KNOWINGLY_ABSENT
    wanted = {f"{word}n" if word.endswith("=") else word for word in KEYWORDS}
    assert {row["command"] for row in rows} == (wanted | {"trig=0", "trig=1"}) - {"trig=n"}
