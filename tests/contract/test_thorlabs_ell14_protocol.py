"""The bytes between the driver and an ELL14, both ways."""

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.thorlabs_ell14 import Ell14

IDENTITY = (b"0in", b"0IN0E1140051720231701016800023000\r\n")
IDLE = (b"0gs", b"0GS00\r\n")
AT_HOME = (b"0gp", b"0PO00000000\r\n")
PREPARED = [IDLE, IDENTITY, (b"0sv64", b"0GS00\r\n"), (b"0ho0", b"0PO00000000\r\n"), IDLE, AT_HOME]


def move(command, answer=None):
    """A move, and the answer at its end: where it was sent unless said otherwise."""
    return (command, answer or command.replace(b"ma", b"PO") + b"\r\n")


def prepared(*pairs):
    """An instrument that is prepared, and what is said with it afterwards."""
    return expected_protocol(Ell14, [*PREPARED, *pairs])


def test_identity():
    with expected_protocol(Ell14, [IDENTITY]) as inst:
        identity = inst.identify()
        assert str(identity) == "Thorlabs ELL14, serial 11400517, firmware 17"


@pytest.mark.parametrize(
    "answer",
    [
        b"0IN061140051720231701016800023000\r\n",  # an ELL6
        b"0IN0E1140051720231701016800000000\r\n",  # no pulses
    ],
)
def test_another_module_is_refused(answer):
    with expected_protocol(Ell14, [(b"0in", answer)]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


def test_preparing_homes_at_full_velocity_and_reads_back():
    with prepared((b"0gp", b"0PO00000001\r\n")) as inst:
        inst.prepare()
        assert inst.angle_deg() == pytest.approx(360 / 143360)


@pytest.mark.parametrize("answer", [b"0PO00000000\r\n", b"0GS09\r\n0PO00000000\r\n"], ids=["silent", "busy first"])
def test_the_end_of_a_move_is_waited_for(answer):
    with expected_protocol(Ell14, [*PREPARED[:3], (b"0ho0", answer), IDLE, AT_HOME]) as inst:
        inst.prepare()


def test_preparing_waits_for_a_move_that_somebody_began():
    begun = [(b"0gs", b"0GS09\r\n"), (b"0gs", b"0PO00004600\r\n")]
    with expected_protocol(Ell14, [*begun, *PREPARED]) as inst:
        inst.prepare()


def test_45_degrees_are_approached_from_47():
    said = [AT_HOME, move(b"0ma0000491C"), move(b"0ma00004600"), IDLE, (b"0gp", b"0PO00004600\r\n")]
    with prepared(*said) as inst:
        inst.prepare()
        assert inst.move_to(45.0) == 45.0


def test_zero_is_approached_from_two():
    with prepared(AT_HOME, move(b"0ma0000031C"), move(b"0ma00000000"), IDLE, (b"0gp", b"0POFFFFFFFF\r\n")) as inst:
        inst.prepare()
        assert inst.move_to(0.0) == pytest.approx(360 - 360 / 143360)


def test_the_last_degrees_are_approached_across_zero():
    said = [AT_HOME, move(b"0ma0000018E"), move(b"0maFFFFFE72"), IDLE, (b"0gp", b"0POFFFFFE72\r\n")]
    with prepared(*said) as inst:
        inst.prepare()
        assert inst.move_to(359.0) == pytest.approx(359.0, abs=0.002)


@pytest.mark.parametrize("angle_deg", [-0.001, 360.0, 1e9, float("nan"), float("inf")])
def test_impossible_angles_are_refused_before_anything_is_sent(angle_deg):
    with prepared() as inst:
        inst.prepare()
        with pytest.raises(RefusedError, match="nothing was sent"):
            inst.move_to(angle_deg)


@pytest.mark.parametrize("call", [lambda inst: inst.move_to(10.0), lambda inst: inst.angle_deg()])
def test_nothing_moves_and_no_angle_is_told_before_it_is_homed(call):
    with expected_protocol(Ell14, []) as inst, pytest.raises(InstrumentError, match="does not know its angle"):
        call(inst)


def test_a_plate_that_does_not_stand_where_it_was_sent_is_told():
    said = [AT_HOME, move(b"0ma0000491C"), move(b"0ma00004600"), IDLE, (b"0gp", b"0PO00004640\r\n")]
    with prepared(*said) as inst:
        inst.prepare()
        with pytest.raises(ReadbackMismatch, match=r"45 deg and stands at 45\.161 deg"):
            inst.move_to(45.0)
        with pytest.raises(InstrumentError, match="does not know its angle"):
            inst.angle_deg()


def test_a_plate_that_was_moved_by_somebody_else_is_told_before_it_turns():
    with prepared((b"0gp", b"0PO00001000\r\n")) as inst:
        inst.prepare()
        with pytest.raises(InstrumentError, match="prepare") as told:
            inst.move_to(45.0)
        assert "turned by hand" in told.value.hardware_state


@pytest.mark.parametrize(("status", "words"), [(b"08", "too hot"), (b"0C", "beyond its travel"), (b"02", "mechanical timeout")])
def test_a_refused_move_is_told_and_kept_as_an_error(status, words):
    with prepared(AT_HOME, move(b"0ma0000491C", b"0GS" + status + b"\r\n"), IDLE) as inst:
        inst.prepare()
        with pytest.raises(InstrumentError, match=words):
            inst.move_to(45.0)
        (error,) = inst.errors()
        assert words in error


def test_a_status_after_the_move_is_told():
    with prepared(AT_HOME, move(b"0ma0000491C"), move(b"0ma00004600"), (b"0gs", b"0GS0B\r\n")) as inst:
        inst.prepare()
        with pytest.raises(InstrumentError, match="motor error"):
            inst.move_to(45.0)


def test_errors_are_what_the_status_said_once():
    with expected_protocol(Ell14, [(b"0gs", b"0GS06\r\n"), IDLE]) as inst:
        assert inst.errors() == ["status 6 (module out of isolation)"]
        assert inst.errors() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"1PO00000000\r\n",  # another address
        b"0XX00000000\r\n",  # no such answer
        b"0PO0000000g\r\n",  # no digits
        b"0PO00000000\n\r",  # no end where it should be
        b"0GV64\r\n",  # the answer to something else
    ],
)
def test_what_is_no_answer_to_the_question_is_told(answer):
    with expected_protocol(Ell14, [(b"0gp", answer)]) as inst:
        with pytest.raises(LinkDesync):
            _ = inst.position_pulses
        inst.adapter._read_buffer = None  # what it has not read of it is not the point


@pytest.mark.parametrize(("answer", "pulses"), [(b"0PO0000F000\r\n", 61440), (b"0POFFFFF072\r\n", -3982)])
def test_positions_are_signed(answer, pulses):
    with expected_protocol(Ell14, [(b"0gp", answer)]) as inst:
        assert inst.position_pulses == pulses


def test_velocity():
    with expected_protocol(Ell14, [(b"0sv32", b"0GS00\r\n"), (b"0gv", b"0GV32\r\n")]) as inst:
        inst.velocity_percent = 50
        assert inst.velocity_percent == 50
        with pytest.raises(ValueError, match="101"):
            inst.velocity_percent = 101


def test_a_refused_velocity_is_told():
    with expected_protocol(Ell14, [(b"0sv01", b"0GS04\r\n")]) as inst, pytest.raises(InstrumentError, match="out of range"):
        inst.velocity_percent = 1


def test_another_address_on_the_line():
    with expected_protocol(Ell14, [(b"Agp", b"APO00000000\r\n")], address="A") as inst:
        assert inst.position_pulses == 0
