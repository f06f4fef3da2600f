"""The bytes between the driver and an SC10, both ways."""

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, WrongIdentity
from drivers.thorlabs_sc10 import Sc10

NONSENSE = (b"~1\r", b"~1\rCommand error CMD_NOT_DEFINED\r> ")
IDENTITY = (b"id?\r", b"id?\rTHORLABS SC10 VERSION 1.07\r> ")


def said(line, value=None):
    return (line + b"\r", line + b"\r" + (b"" if value is None else value + b"\r") + b"> ")


OFF, ON = said(b"ens?", b"0"), said(b"ens?", b"1")
TOGGLE = said(b"ens")
CLOSED, OPEN = said(b"closed?", b"1"), said(b"closed?", b"0")
SOUND = said(b"interlock?", b"0")
MANUAL = said(b"mode?", b"1")


def test_identity_after_a_line_that_ends_whatever_was_begun():
    with expected_protocol(Sc10, [NONSENSE, IDENTITY]) as inst:
        assert str(inst.identify()) == "Thorlabs SC10, serial not told, firmware 1.07"


def test_half_a_command_left_on_the_line_becomes_nonsense():
    with expected_protocol(Sc10, [(b"~1\r", b"> ens~1\rCommand error CMD_NOT_DEFINED\r> "), IDENTITY]) as inst:
        assert inst.identify().model == "SC10"


def test_another_controller_is_refused():
    said_by_another = (b"id?\r", b"id?\rTHORLABS MC2000B VERSION 1.07\r> ")
    with expected_protocol(Sc10, [NONSENSE, said_by_another]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


@pytest.mark.parametrize("before", [[OFF], [ON, TOGGLE, OFF]], ids=["closed", "open"])
def test_preparing_closes_and_sets_manual_mode(before):
    settings = [said(b"mode=1"), MANUAL, said(b"trig=0"), said(b"trig?", b"0")]
    with expected_protocol(Sc10, [*before, *settings, OFF, OPEN, CLOSED]) as inst:
        inst.prepare()


def test_opening_asks_before_it_toggles():
    with expected_protocol(Sc10, [MANUAL, SOUND, OFF, TOGGLE, ON, CLOSED, OPEN]) as inst:
        inst.open()


def test_what_is_open_is_not_toggled():
    with expected_protocol(Sc10, [MANUAL, SOUND, ON, OPEN]) as inst:
        inst.open()


def test_closing():
    with expected_protocol(Sc10, [ON, TOGGLE, OFF, OPEN, CLOSED]) as inst:
        inst.close()


def test_what_is_closed_is_not_toggled():
    with expected_protocol(Sc10, [OFF, CLOSED]) as inst:
        inst.close()


def test_a_tripped_interlock_is_told_before_anything_moves():
    with expected_protocol(Sc10, [MANUAL, said(b"interlock?", b"1")]) as inst:
        with pytest.raises(InstrumentError, match="interlock") as told:
            inst.open()
    assert "circuit" in told.value.next_step


@pytest.mark.fault("I5")
def test_an_interlock_that_trips_while_it_opens_is_told():
    with expected_protocol(Sc10, [MANUAL, SOUND, OFF, TOGGLE, OFF, said(b"interlock?", b"1")]) as inst:
        with pytest.raises(InstrumentError, match="interlock"):
            inst.open()


def test_it_is_not_opened_in_another_mode():
    with expected_protocol(Sc10, [said(b"mode?", b"5")]) as inst, pytest.raises(InstrumentError, match="mode 5"):
        inst.open()


@pytest.mark.fault("I10")
def test_a_shutter_that_stays_closed_is_told():
    with expected_protocol(Sc10, [MANUAL, SOUND, OFF, TOGGLE, ON, *[CLOSED] * 25]) as inst:
        with pytest.raises(ReadbackMismatch, match="does not open"):
            inst.open()


@pytest.mark.fault("I10")
def test_a_shutter_that_stays_open_is_shouted():
    with expected_protocol(Sc10, [ON, TOGGLE, OFF, *[OPEN] * 25]) as inst:
        with pytest.raises(ReadbackMismatch, match="does not close") as told:
            inst.close()
    assert "PERHAPS OPEN" in told.value.hardware_state


def test_going_safe_asks_toggles_and_asks_again():
    with expected_protocol(Sc10, [ON, TOGGLE, OFF]) as inst:
        inst.make_safe()


def test_going_safe_when_it_is_says_no_more_than_a_question():
    with expected_protocol(Sc10, [OFF]) as inst:
        inst.make_safe()


def test_going_safe_tries_twice_then_raises():
    stays = [ON, TOGGLE, ON]
    with expected_protocol(Sc10, [*stays, *stays]) as inst:
        with pytest.raises(ReadbackMismatch, match="disabled and says it is not") as told:
            inst.make_safe()
    assert "OPEN" in told.value.hardware_state


@pytest.mark.parametrize(
    ("pairs", "safe", "detail"),
    [
        ([OFF, CLOSED], True, "disabled, closed"),
        ([OFF, OPEN, CLOSED], True, "disabled, closed"),
        ([ON], False, "ENABLED, NOT CLOSED"),
        ([OFF, *[OPEN] * 25], False, "disabled, NOT CLOSED"),
    ],
)
def test_reading_back_whether_it_is_safe(pairs, safe, detail):
    with expected_protocol(Sc10, pairs) as inst:
        found = inst.read_safe()
    assert (found.safe, found.detail) == (safe, detail)


@pytest.mark.parametrize(
    ("name", "value", "keyword"),
    [
        ("mode", 3, b"mode"),
        ("trigger", 1, b"trig"),
        ("open_time_ms", 999_999, b"open"),
        ("shut_time_ms", 10, b"shut"),
        ("repeat_count", 99, b"rep"),
    ],
)
def test_settings(name, value, keyword):
    written = str(value).encode()
    with expected_protocol(Sc10, [said(keyword + b"=" + written), said(keyword + b"?", written)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", 0), ("mode", 6), ("trigger", 2), ("open_time_ms", 1_000_000), ("shut_time_ms", -1), ("repeat_count", 100)],
)
def test_impossible_settings_are_refused_before_anything_is_sent(name, value):
    with expected_protocol(Sc10, []) as inst, pytest.raises(ValueError, match="is not within"):
        setattr(inst, name, value)


def test_an_error_is_told_and_kept():
    refused = (b"rep=17\r", b"rep=17\rCommand error CMD_ARG_INVALID\r> ")
    with expected_protocol(Sc10, [refused, said(b"interlock?", b"1"), SOUND]) as inst:
        with pytest.raises(InstrumentError, match="CMD_ARG_INVALID"):
            inst.repeat_count = 17
        assert inst.errors() == ["rep=17: Command error CMD_ARG_INVALID", "interlock tripped"]
        assert inst.errors() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"closed?\r1\r> ",  # the answer to something else
        b"ens?\r> ",  # none
        b"ens?\r7\r> ",  # not a possible one
        b"ens?\r1\r0\r> ",  # two
        b"> ",
        b"ens?\r\xff\r> ",
    ],
)
def test_what_is_no_answer_to_the_question_is_told(answer):
    with expected_protocol(Sc10, [(b"ens?\r", answer)]) as inst, pytest.raises(LinkDesync):
        _ = inst.enabled


def test_an_answer_without_end_is_told():
    with expected_protocol(Sc10, [(b"id?\r", b"x" * 2000)]) as inst:
        with pytest.raises(LinkDesync):
            inst.ask("id?")
        inst.adapter._read_buffer = None  # what it has not read of it is not the point
