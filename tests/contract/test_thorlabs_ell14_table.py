"""The simulated ELL14 against the maker's tables, row by row, and against what programs of others send.

Source: Thorlabs ELLx modules protocol manual as quoted by others; byte examples as pylablib, elliptec and thorlabs_elliptec
send and expect them. A row is executed here or stands in the persona's KNOWINGLY_ABSENT.
"""

import numpy as np
import pytest
from thorlabs_host import Host, absent, told_of

from sim_instruments.thorlabs_ell14 import KNOWINGLY_ABSENT, Ell14Persona, Ell14Quirks

S = 1_000_000_000


def homed(*before: bytes) -> Host:
    """A homed module, and a host that waits for every answer."""
    return Host(Ell14Persona(np.random.default_rng(3), quirks=Ell14Quirks(settle_pulses=0)), b"0ho0", *before)


ROWS = [
    (b"0in", b"0IN0E1140051720231701016800023000"),
    (b"0gs", b"0GS00"),
    (b"0ho0", b"0PO00000000"),
    (b"0ho1", b"0PO00000000"),
    (b"0ma00004600", b"0PO00004600"),
    (b"0ma00023000", b"0PO00023000"),
    (b"0mrFFFFF072", b"0POFFFFF072"),
    (b"0mr00000F8E", b"0PO00000F8E"),
    (b"0gp", b"0PO00000000"),
    (b"0so00000100", b"0GS00"),
    (b"0go", b"0HO00000000"),
    (b"0sj00000E38", b"0GS00"),
    (b"0gj", b"0GJ00000000"),
    (b"0sv64", b"0GS00"),
    (b"0sv32", b"0GS00"),
    (b"0gv", b"0GV64"),
    (b"0i1", b"0I1100195FFFFFFFF00AE00CB"),
    (b"0i2", b"0I2100195FFFFFFFF00AF00CD"),
    (b"0f180B0", b"0GS00"),
    (b"0f280B0", b"0GS00"),
    (b"0b180B0", b"0GS00"),
    (b"0b280B0", b"0GS00"),
    (b"0s1", b"0GS00"),
    (b"0s2", b"0GS00"),
    (b"0us", b"0GS00"),
    (b"0ca7", b"7GS00"),
    (b"0gaA", b"AGS00"),
    (b"0is05", b"0GS00"),
    (b"0st", b"0GS00"),
]


@pytest.mark.parametrize(("command", "answer"), ROWS)
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n", b"\r"])
def test_every_command_with_and_without_a_line_end(command: bytes, answer: bytes, end: bytes) -> None:
    assert homed().exchange(command + end) == answer + b"\r\n"


@pytest.mark.parametrize(
    ("before", "question", "answer"),
    [
        (b"0sj00000E38", b"0fw", b"0PO00000E38"),
        (b"0sj00000E38", b"0bw", b"0POFFFFF1C8"),
        (b"0sj00000E38", b"0gj", b"0GJ00000E38"),
        (b"0so00000100", b"0go", b"0HO00000100"),
        (b"0soFFFFFF00", b"0go", b"0HOFFFFFF00"),
        (b"0sv32", b"0gv", b"0GV32"),
        (b"0f180B0", b"0i1", b"0I1100195FFFFFFFF00B000CB"),
        (b"0b280B0", b"0i2", b"0I2100195FFFFFFFF00AF00B0"),
        (b"0ma00004600", b"0gp", b"0PO00004600"),
        (b"0ma00004600", b"0mrFFFFF072", b"0PO00003672"),
    ],
)
def test_what_is_set_is_in_force(before: bytes, question: bytes, answer: bytes) -> None:
    assert homed(before).exchange(question) == answer + b"\r\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (b"0xx", b"03"),
        (b"0IN", b"03"),
        (b"0ma0000", b"03"),  # cut short by its line end
        (b"0ma0000zzzz", b"03"),
        (b"0ho2", b"04"),
        (b"0sv00", b"04"),
        (b"0sv65", b"04"),
        (b"0sj80000000", b"04"),
        (b"0so00023001", b"04"),
        (b"0ma00023001", b"0C"),
        (b"0maFFFDCFFF", b"0C"),
        (b"0mr7FFFFFFF", b"0C"),
        *[(b"0" + command.encode(), b"03") for command in ("c1", "c2", "cm", "om", "ga")],
    ],
)
def test_what_the_maker_refuses_is_refused_by_its_number(command: bytes, status: bytes) -> None:
    host = homed()
    assert host.exchange(command + b"\r\n") == b"0GS" + status + b"\r\n"
    assert host.exchange(b"0gp") == b"0PO00000000\r\n"


def test_several_commands_in_one_segment_are_answered_in_order() -> None:
    assert homed().exchange(b"0gp0gs\r\n0gv0in") == (b"0PO00000000\r\n0GS00\r\n0GV64\r\n0IN0E1140051720231701016800023000\r\n")


def test_other_addresses_on_the_line_are_not_answered_for() -> None:
    for address in b"123456789ABCDEF":
        assert homed().exchange(bytes([address]) + b"gs") == b""


def test_the_dialogue_of_others_at_45_degrees() -> None:
    """45 degrees are 17920 pulses of 143360."""
    host = homed()
    said = [b"0in", b"0gs", b"0ho0", b"0ma00004600", b"0gp", b"0mrFFFFF072"]
    heard = [host.exchange(command) for command in said]
    assert heard[3:] == [b"0PO00004600\r\n", b"0PO00004600\r\n", b"0PO00003672\r\n"]
    assert int("4600", 16) / int(heard[0][25:33], 16) * 360 == 45


def test_the_page_says_what_is_absent_and_why() -> None:
    told = told_of("thorlabs-ell14")
    assert absent(told) == KNOWINGLY_ABSENT
    present = set(told) - set(KNOWINGLY_ABSENT)
    shown = {command[1:3].decode() for command, _ in ROWS} | {"fw", "bw"}
    assert present == shown - {"f2", "b1", "b2", "s2"}  # told in the rows of f1 and s1
