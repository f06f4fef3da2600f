"""The bytes between the driver and an FW102C, both ways."""

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.thorlabs_fw102c import Fw102c

NONSENSE = (b"~1\r", b"~1\rCommand error CMD_NOT_DEFINED\r> ")
IDENTITY = (b"*idn?\r", b"*idn?\rTHORLABS FW102C/FW212C Filter Wheel version 1.07\r> ")


def said(line, value=None):
    return (line + b"\r", line + b"\r" + (b"" if value is None else value + b"\r") + b"> ")


SETTINGS = [
    exchange
    for name, value in ((b"trig", b"1"), (b"speed", b"1"), (b"sensors", b"0"))
    for exchange in (said(name + b"=" + value), said(name + b"?", value))
]


def stands(position):
    return said(b"pos?", str(position).encode())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """A move is waited for as long as it takes; here it takes no time."""
    monkeypatch.setattr("drivers.thorlabs_fw102c.STEP_S", 0.0)


def test_identity_after_a_line_that_ends_whatever_was_begun():
    with expected_protocol(Fw102c, [NONSENSE, IDENTITY]) as inst:
        assert str(inst.identify()) == "Thorlabs FW102C, serial not told, firmware 1.07"


def test_half_a_command_left_on_the_line_becomes_nonsense():
    with expected_protocol(Fw102c, [(b"~1\r", b"> pos=3~1\rCommand error CMD_NOT_DEFINED\r> "), IDENTITY]) as inst:
        assert inst.identify().model == "FW102C"


def test_another_controller_is_refused():
    said_by_another = (b"*idn?\r", b"*idn?\rCommand error CMD_NOT_DEFINED_HERE, THORLABS SC10\r> ")
    with expected_protocol(Fw102c, [NONSENSE, said_by_another]) as inst, pytest.raises(InstrumentError):
        inst.identify()
    with expected_protocol(Fw102c, [NONSENSE, said(b"*idn?", b"THORLABS LCC25 1.0")]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


def test_preparing_sets_what_could_turn_it_and_moves_nothing():
    with expected_protocol(Fw102c, [NONSENSE, *SETTINGS, said(b"pcount?", b"6"), stands(4)]) as inst:
        inst.prepare()
        assert inst.positions == 6


def test_a_wheel_of_twelve_is_known_as_such():
    turned = [stands(1), said(b"pos=12"), stands(12)]
    with expected_protocol(Fw102c, [NONSENSE, *SETTINGS, said(b"pcount?", b"12"), stands(1), *turned]) as inst:
        inst.prepare()
        assert inst.move_to(12) == 12


@pytest.mark.parametrize("count", [b"7", b"0", b"six"])
def test_a_wheel_of_another_size_is_told(count):
    with expected_protocol(Fw102c, [NONSENSE, *SETTINGS, said(b"pcount?", count)]) as inst, pytest.raises(LinkDesync):
        inst.prepare()


def test_a_setting_that_is_not_kept_is_told():
    with expected_protocol(Fw102c, [NONSENSE, said(b"trig=1"), said(b"trig?", b"0")]) as inst:
        with pytest.raises(ReadbackMismatch, match="trigger was set to 1"):
            inst.prepare()


def test_a_move_is_read_back():
    with expected_protocol(Fw102c, [stands(1), said(b"pos=5"), stands(5)]) as inst:
        assert inst.move_to(5) == 5


def test_where_it_stands_it_is_not_sent():
    with expected_protocol(Fw102c, [stands(3)]) as inst:
        assert inst.move_to(3) == 3


def test_a_wheel_that_stands_elsewhere_is_told():
    with expected_protocol(Fw102c, [stands(1), said(b"pos=5"), stands(4)]) as inst:
        with pytest.raises(ReadbackMismatch, match="sent to position 5 and says 4"):
            inst.move_to(5)


@pytest.mark.parametrize("position", [0, 7, -1, 2.5, float("nan"), "2"])
def test_impossible_positions_are_refused_before_anything_is_sent(position):
    with expected_protocol(Fw102c, []) as inst, pytest.raises(RefusedError):
        inst.move_to(position)


def test_a_refusal_is_told_and_kept():
    refused = (b"pos=5\r", b"pos=5\rCommand error CMD_ARG_INVALID\r> ")
    with expected_protocol(Fw102c, [stands(1), refused]) as inst:
        with pytest.raises(InstrumentError, match="CMD_ARG_INVALID"):
            inst.move_to(5)
        assert inst.errors() == ["pos=5: Command error CMD_ARG_INVALID"]
        assert inst.errors() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"speed?\r1\r> ",  # the answer to something else
        b"pos?\r> ",  # none
        b"pos?\r7\r> ",  # not a possible one
        b"pos?\r1\r2\r> ",  # two
        b"> ",
        b"pos?\r\xff\r> ",
    ],
)
def test_what_is_no_answer_to_the_question_is_told(answer):
    with expected_protocol(Fw102c, [(b"pos?\r", answer)]) as inst, pytest.raises(LinkDesync):
        inst.position()


def test_zero_bytes_before_an_echo_do_no_harm():
    with expected_protocol(Fw102c, [(b"pos?\r", b"\x00\x00pos?\r2\r> ")]) as inst:
        assert inst.position() == 2


@pytest.mark.parametrize(("name", "keyword"), [("speed", b"speed"), ("trigger", b"trig"), ("sensors", b"sensors")])
def test_settings(name, keyword):
    with expected_protocol(Fw102c, [said(keyword + b"=0"), said(keyword + b"?", b"0")]) as inst:
        setattr(inst, name, 0)
        assert getattr(inst, name) == 0
        with pytest.raises(ValueError, match="neither 0 nor 1"):
            setattr(inst, name, 2)
