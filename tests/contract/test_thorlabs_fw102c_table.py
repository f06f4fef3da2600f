"""The simulated FW102C against the maker's keyword table, row by row, and against what programs of others send.

Source: FW102C operating manual, keywords; the framing as Odemis expects it. A row is executed here or stands in the persona's
KNOWINGLY_ABSENT.
"""

import re

import pytest
from thorlabs_host import Host, absent, told_of

from sim_instruments.thorlabs_fw102c import KEYWORDS, KNOWINGLY_ABSENT, Fw102cPersona


def powered_up(*before: str) -> Host:
    return Host(Fw102cPersona(), *(f"{line}\r".encode() for line in before))


def test_the_bytes_of_a_question() -> None:
    assert powered_up().exchange(b"speed?\r") == b"speed?\r1\r> "


def test_the_bytes_of_a_move() -> None:
    assert powered_up().exchange(b"pos=3\r") == b"pos=3\r> "


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
    assert powered_up().ask(question) == answer


@pytest.mark.parametrize(
    ("name", "values"),
    [("pos", range(1, 7)), ("pcount", (12, 6)), *((name, (1, 0)) for name in ("trig", "speed", "sensors", "baud"))],
)
def test_what_is_set_is_read_back(name: str, values: tuple[int, ...]) -> None:
    host = powered_up()
    for value in values:
        assert host.ask(f"{name}={value}") == ""
        assert host.ask(f"{name}?") == str(value)


def test_the_dialogue_of_odemis() -> None:
    """It ends whatever was begun, asks who is there, how many positions, where; turns; all up to the next prompt."""
    host = powered_up()
    said = (b"\r", b"*idn?\r", b"pcount?\r", b"pos?\r", b"speed?\r", b"pos=5\r", b"pos?\r")
    heard = [host.exchange(line) for line in said]
    assert all(answer.endswith(b"> ") for answer in heard)
    bare = [answer[len(line) : -2].rstrip(b"\r") for line, answer in zip(said, heard, strict=True)]
    assert re.match(rb"THORLABS.*FW102C.*", bare[1])
    assert bare[2:] == [b"6", b"1", b"1", b"", b"5"]


def test_the_page_says_what_is_absent_and_why() -> None:
    told = told_of("thorlabs-fw102c")
    assert absent(told) == KNOWINGLY_ABSENT
    wanted = {f"{word}n" if word.endswith("=") else word for word in KEYWORDS}
    assert set(told) == (wanted | {"trig=0", "trig=1"}) - {"trig=n"}
