"""The fenced conversation on a VISA library of a few lines with a stepped clock."""

import threading
from typing import Any

import pytest
from link_wire import EVERY, GPIB, MS, SERIAL, SLOW, SOCKET, USB, WITHOUT_CLEAR, Device, ask, connect, doubtful, exchange, fence

from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, WrongIdentity
from drivers.link import LinkState, regain, send_now

# --- a conversation that goes well


@pytest.mark.parametrize("resource", EVERY)
def test_a_question_and_its_answer(resource: str) -> None:
    device = Device({b"V?": [(3 * MS, b"+2.000000E+01\r\n")]})
    link = connect(device, resource)
    start_ns = device.clock.t_ns
    assert ask(link, "V?") == "+2.000000E+01"
    assert device.log == [b"V?\n"]
    assert device.clock.t_ns - start_ns == 3 * MS
    assert link.state is LinkState.READY


@pytest.mark.fault("W5")
def test_fragments_are_put_together() -> None:
    device = Device({b"V?": [(MS, b"+2.0"), (MS, b"0E"), (MS, b"+01\n")]})
    assert ask(connect(device), "V?") == "+2.00E+01"


def test_settings_reach_the_resource_and_survive_reopening() -> None:
    device = Device(SLOW)
    link = connect(device, SERIAL, baud_rate=57600)
    library: Any = link.connection
    assert library.baud_rate == 57600
    device.broken = True
    link.write_now(b"OFF\n")
    assert library.baud_rate == 57600


def test_a_binary_answer_is_read_by_counting() -> None:
    frame = bytes(range(256)) * 256
    device = Device({b"\x01\x02": [(MS, frame)]})
    link = connect(device, read_termination=None, write_termination=None)
    assert exchange(link, b"\x01\x02", 44, len(frame) - 44) == [frame[:44], frame[44:]]
    assert link.state is LinkState.READY


def test_a_long_conversation_may_take_its_time() -> None:
    link = connect(Device(SLOW))
    with link.conversation(timeout_s=3.0):
        link.write("SLOW?")
        assert link.read() == "late"


# --- answers that do not come, or not as they should


@pytest.mark.fault("W1")
@pytest.mark.parametrize("resource", EVERY)
def test_silence_ends_at_the_deadline_and_leaves_doubt(resource: str) -> None:
    device = Device()
    link = connect(device, resource)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkTimeout, match=r"source .*'V\?' within 2 s") as failed:
        ask(link, "V?")
    assert device.clock.t_ns - start_ns == 2_000 * MS
    assert link.state is LinkState.DOUBTFUL
    assert failed.value.where == "source"
    assert "unknown" in failed.value.hardware_state
    assert failed.value.next_step


@pytest.mark.fault("W9")
def test_the_deadline_is_absolute_however_slowly_bytes_trickle() -> None:
    device = Device({b"\x01": [(500 * MS, b"x")] * 44})
    link = connect(device, read_termination=None, write_termination=None)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkTimeout):
        exchange(link, b"\x01", 44)
    assert device.clock.t_ns - start_ns <= 2_500 * MS


@pytest.mark.fault("W6")
def test_an_answer_without_end_is_cut_off() -> None:
    device = Device()
    link = connect(device, max_reply_bytes=1000)
    link.write("V?")
    device.endless = True
    with pytest.raises(LinkDesync, match="1000 bytes without an end"):
        link.read()
    assert link.state is LinkState.DOUBTFUL


def test_an_announced_length_that_makes_no_sense_is_not_waited_for() -> None:
    device = Device({b"\x01": [(MS, b"x" * 44)]})
    link = connect(device, read_termination=None, write_termination=None)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkDesync, match="4294967295 bytes"):
        exchange(link, b"\x01", 44, 2**32 - 1)
    assert device.clock.t_ns - start_ns == MS


@pytest.mark.fault("W4")
def test_bytes_that_are_no_text_are_shown_and_not_believed() -> None:
    link = connect(Device({b"V?": [(MS, b"+2.0\xff\n")]}))
    with pytest.raises(LinkDesync, match="xff"):
        ask(link, "V?")
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.fault("W3")
@pytest.mark.parametrize("resource", WITHOUT_CLEAR)
def test_a_duplicated_answer_is_not_taken_for_the_next_one(resource: str) -> None:
    link = connect(Device({**SLOW, b"V?": [(MS, b"20.0\n"), (0, b"20.0\n")]}), resource)
    assert ask(link, "V?") == "20.0"
    with pytest.raises(LinkDesync, match="before it was asked"):
        ask(link, "I?")


def test_a_question_over_an_unread_answer_is_refused() -> None:
    link = connect(Device(SLOW))
    link.write("V?")
    with pytest.raises(LinkDesync, match="unread"):
        link.write("I?")
    assert link.state is LinkState.DOUBTFUL


def test_listening_without_a_question_is_refused() -> None:
    with pytest.raises(LinkDesync, match="nothing was asked"):
        connect(Device()).read()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, ValueError])
def test_an_interrupt_between_question_and_answer_leaves_doubt(interrupt: type[BaseException]) -> None:
    link = connect(Device(SLOW))

    def interrupted() -> None:
        with link.conversation():
            link.write("V?")
            raise interrupt

    with pytest.raises(interrupt):
        interrupted()
    assert link.state is LinkState.DOUBTFUL


def test_an_error_after_the_answer_leaves_none() -> None:
    link = connect(Device(SLOW))

    def failing() -> None:
        with link.conversation():
            link.write("V?")
            link.read()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        failing()
    assert link.state is LinkState.READY


@pytest.mark.fault("W7")
def test_a_broken_connection_is_an_instrument_error() -> None:
    device = Device(SLOW)
    link = connect(device)
    device.broken = True
    with pytest.raises(InstrumentError, match="reset by peer") as failed:
        ask(link, "V?")
    assert not isinstance(failed.value, LinkTimeout)
    assert link.state is LinkState.DOUBTFUL


# --- doubt and its end


@pytest.mark.parametrize("resource", EVERY)
def test_in_doubt_nothing_is_sent_and_nothing_believed(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    for conversation in (lambda: ask(link, "V?"), lambda: link.write("OUTP ON"), link.read):
        with pytest.raises(LinkDesync, match="in doubt"):
            conversation()
    assert device.log == []


@pytest.mark.fault("W2")
@pytest.mark.parametrize("resource", EVERY)
def test_a_late_answer_is_never_taken_for_another(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    device.clock.sleep(0.6)  # now the late answer is there
    assert regain(link, fence(link))
    assert ask(link, "V?") == "20.0"


def test_an_answer_later_than_the_drain_is_dropped_by_the_fence() -> None:
    device = Device(SLOW)
    link = doubtful(device, SOCKET)
    device.clock.sleep(0.4)
    device.coming = [(device.clock.t_ns + 25 * MS, b"late\n")]  # the drain listens for 20 ms
    link.resync(fence(link))
    assert b"late" not in [chunk for _, chunk in device.coming]
    assert ask(link, "V?") == "20.0"


@pytest.mark.parametrize(("resource", "clears"), [(GPIB, 1), (USB, 1), (SOCKET, 0), (SERIAL, 0)])
def test_device_clear_only_where_the_link_has_one(resource: str, clears: int) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    link.resync(fence(link))
    assert device.log.count("device clear") == clears
    assert "opened" not in device.log


def test_a_late_code_or_status_is_not_taken_for_the_fence() -> None:
    """They are small numbers; the fence's have three digits."""
    for late in (b"1\n", b"4\n", b"5\n", b"64\n"):
        device = Device({b"SLOW?": [(2_100 * MS, late)], **{key: SLOW[key] for key in (b"V?",)}})
        link = doubtful(device, SOCKET)
        link.resync(fence(link))
        assert device.log.count("opened") == 0
        assert ask(link, "V?") == "20.0"


def test_what_a_line_still_holds_after_it_was_opened_anew_is_dropped() -> None:
    """The first proof leaves a line half read; on the new connection the rest of it comes first."""
    device = Device(SLOW)
    link = doubtful(device, SERIAL)
    proofs = 0

    def prove() -> None:
        nonlocal proofs
        proofs += 1
        if proofs == 1:
            device.coming += [(device.clock.t_ns, b"what nobody asked for\n"), (device.clock.t_ns, b"and more\n")]
            raise LinkDesync("no")
        fence(link)()

    link.resync(prove)
    assert link.state is LinkState.READY
    assert ask(link, "V?") == "20.0"


def test_what_cannot_be_proved_at_once_is_tried_on_a_new_connection() -> None:
    device = Device(SLOW)
    link = doubtful(device, SOCKET)
    device.broken = True
    link.resync(fence(link))
    assert "opened" in device.log
    assert ask(link, "V?") == "20.0"


def test_what_cannot_be_proved_at_all_stays_in_doubt() -> None:
    device = Device()
    link = doubtful(device, SOCKET)
    start_ns = device.clock.t_ns

    def prove() -> None:
        ask(link, "WHO?")

    with pytest.raises(LinkDesync, match="could not be brought back") as failed:
        link.resync(prove)
    assert isinstance(failed.value.__cause__, LinkTimeout)
    assert link.state is LinkState.DOUBTFUL
    assert device.clock.t_ns - start_ns <= 4_500 * MS


@pytest.mark.fault("W10")
def test_somebody_else_is_told_at_once() -> None:
    link = doubtful(Device(SLOW), SOCKET)

    def prove() -> None:
        raise WrongIdentity("another serial number")

    with pytest.raises(WrongIdentity):
        link.resync(prove)
    assert link.state is LinkState.DOUBTFUL


def test_a_ready_link_is_left_alone() -> None:
    device = Device(SLOW)
    link = connect(device)
    assert not regain(link, fence(link))
    assert device.log == []


# --- off


@pytest.mark.parametrize("resource", EVERY)
def test_off_goes_out_in_doubt_and_takes_no_time(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    start_ns = device.clock.t_ns
    send_now(link, b"OFF\n")
    clear = ["device clear"] if resource in (GPIB, USB) else []
    assert device.log == [*clear, b"OFF\n"]
    assert device.clock.t_ns == start_ns
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.parametrize("resource", EVERY)
def test_off_goes_out_while_an_answer_is_unread(resource: str) -> None:
    device = Device(SLOW)
    link = connect(device, resource)
    link.write("V?")
    link.write_now(b"OFF\n")
    assert device.log[-1] == b"OFF\n"
    assert link.state is LinkState.DOUBTFUL
    link.resync(fence(link))
    assert ask(link, "I?") == "1e-3"


@pytest.mark.parametrize("resource", [GPIB, USB])
def test_an_off_message_is_not_cleared_away_by_the_resync_after_it(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    link.write_now(b"OFF\n")
    link.resync(fence(link))
    assert device.log[:2] == ["device clear", b"OFF\n"]
    assert "device clear" not in device.log[2:]


def test_off_leaves_a_ready_link_ready() -> None:
    device = Device(SLOW)
    link = connect(device)
    link.write_now(b"OFF\n")
    assert ask(link, "V?") == "20.0"


def test_off_goes_out_even_if_the_clear_fails() -> None:
    device = Device(SLOW)
    link = connect(device, GPIB)
    device.refuses_clear = True
    link.write_now(b"OFF\n")
    assert device.log == [b"OFF\n"]


@pytest.mark.fault("W7")
def test_off_goes_out_through_a_new_connection() -> None:
    device = Device(SLOW)
    link = connect(device)
    device.broken = True
    link.write_now(b"OFF\n")
    assert device.log == ["opened", b"OFF\n"]
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.fault("X14")
def test_off_does_not_wait_for_another_threads_conversation() -> None:
    device = Device(SLOW)
    link = connect(device)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with link.conversation():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert inside.wait(10)
        link.write_now(b"OFF\n")
        assert not leave.is_set()
        assert device.log == [b"OFF\n"]
    finally:
        leave.set()
        other.join()
    assert link.state is LinkState.DOUBTFUL
