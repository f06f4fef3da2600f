"""Everything off at once: an instrument that hangs, fails or is late delays no other, and is told as what is known of it."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from pyvisa import ResourceManager

import rig.safety
import rig.steps
from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError, LinkTimeout
from drivers.link import open_link
from drivers.roles import SafeReadback
from rig.safety import Confirmation, SafeReport, make_safe
from rig.steps import Step, one_by_one, side_by_side

SEND_S, CONFIRM_S = 0.3, 0.2
ON_THE_WIRE_S = 0.1
ROLES = ("laser_trigger", "shutter", "voltage_source", "spectrometer")


@dataclass
class Instrument:
    """Notes when it is told off and when it is asked; may do something else first."""

    on_off: Callable[[], None] = lambda: None
    on_ask: Callable[[], None] = lambda: None
    safe: Callable[[], bool] = lambda: True
    off_message: bytes = b"OFF"
    log: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def make_safe(self) -> None:
        self.on_off()
        self.log.append(("off", time.monotonic()))

    def read_safe(self) -> SafeReadback:
        self.log.append(("asked", time.monotonic()))
        self.on_ask()
        return SafeReadback(self.safe(), "its word")

    def words(self) -> list[str]:
        return [word for word, _ in self.log]


def bench(**others: Instrument) -> dict[str, Instrument]:
    return {role: others.get(role, Instrument()) for role in ROLES}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.safety, "SEND_S", SEND_S)
    monkeypatch.setattr(rig.safety, "CONFIRM_S", CONFIRM_S)


@pytest.fixture
def hang() -> Generator[threading.Event]:
    """Whoever waits for this hangs until the test is over."""
    released = threading.Event()
    yield released
    released.set()


def fails(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def waits(released: threading.Event) -> None:
    released.wait()


def confirmations(report: SafeReport) -> dict[str, Confirmation]:
    return {role: how for role, (how, _) in report.instruments.items()}


def others_confirmed(report: SafeReport, role: str) -> bool:
    return {how for name, how in confirmations(report).items() if name != role} == {Confirmation.CONFIRMED}


# --- what hangs, fails, is late ---------------------------------------------------------------------------------------


@pytest.mark.fault("W8")
def test_one_that_hangs_while_off_is_sent_is_unknown_and_delays_no_other(hang: threading.Event) -> None:
    instruments = bench(laser_trigger=Instrument(on_off=lambda: waits(hang)))
    begin = time.monotonic()
    report = make_safe(instruments, side_by_side)
    assert SEND_S <= time.monotonic() - begin < SEND_S + 0.2
    assert confirmations(report)["laser_trigger"] is Confirmation.UNKNOWN
    assert "had not ended" in report.instruments["laser_trigger"][1]
    assert report.left_behind == {"laser_trigger"}
    assert others_confirmed(report, "laser_trigger")
    assert all(instruments[role].log[0][1] - begin < ON_THE_WIRE_S for role in ROLES if role != "laser_trigger")


def test_one_that_hangs_at_the_question_was_sent_off(hang: threading.Event) -> None:
    report = make_safe(bench(voltage_source=Instrument(on_ask=lambda: waits(hang))), side_by_side)
    assert confirmations(report)["voltage_source"] is Confirmation.SENT
    assert report.left_behind == {"voltage_source"}
    assert others_confirmed(report, "voltage_source")


def test_a_deadline_is_that_of_the_step_and_not_of_all_that_came_before(hang: threading.Event) -> None:
    begin = time.monotonic()
    make_safe(bench(voltage_source=Instrument(on_ask=lambda: waits(hang))), side_by_side)
    assert CONFIRM_S <= time.monotonic() - begin < SEND_S


def test_whoever_waits_gives_signs_of_life(hang: threading.Event) -> None:
    looks: list[float] = []

    class Watched(MonotonicClock):
        def now_ns(self) -> int:
            if threading.current_thread() is threading.main_thread():
                looks.append(time.monotonic())
            return super().now_ns()

    begin = time.monotonic()
    make_safe(bench(shutter=Instrument(on_off=lambda: waits(hang))), partial(side_by_side, clock=Watched()))
    moments = [begin, *looks, time.monotonic()]
    assert moments[-1] - begin >= SEND_S
    assert max(later - earlier for earlier, later in pairwise(moments)) < 2 * rig.steps.LOOK_S


def test_all_may_hang(hang: threading.Event) -> None:
    instruments = {role: Instrument(on_off=lambda: waits(hang)) for role in ROLES}
    begin = time.monotonic()
    report = make_safe(instruments, side_by_side)
    assert time.monotonic() - begin < SEND_S + 0.2  # together, not one after the other
    assert set(confirmations(report).values()) == {Confirmation.UNKNOWN}


def test_whoever_was_given_up_is_told_nothing_more_when_it_wakes() -> None:
    waking, woken = threading.Event(), threading.Event()

    def sleep() -> None:
        waking.wait()
        woken.set()

    late = Instrument(on_off=sleep)
    report = make_safe(bench(shutter=late), side_by_side)
    before = dict(report.instruments)
    waking.set()
    assert woken.wait(1.0)
    deadline = time.monotonic() + 1.0
    while any(thread.name == "steps of shutter" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.005)  # noqa: TID251 - a real thread
    assert late.words() == ["off"]
    assert report.instruments == before


def test_one_that_is_late_but_in_time_is_confirmed() -> None:
    slow = Instrument(on_ask=lambda: time.sleep(CONFIRM_S / 2))  # noqa: TID251 - a slow instrument in real time
    report = make_safe(bench(voltage_source=slow), side_by_side)
    assert report.safe
    assert not report.left_behind


@pytest.mark.parametrize("walk", [one_by_one, side_by_side])
def test_what_is_told_of_one_that_fails_is_the_same_in_turn_and_at_once(walk: Any) -> None:
    def told(one: Instrument) -> tuple[Confirmation, str]:
        report = make_safe(bench(voltage_source=one), walk)
        assert others_confirmed(report, "voltage_source")
        assert not report.left_behind
        return report.instruments["voltage_source"]

    broken = InstrumentError("cut", next_step="mend it")
    assert told(Instrument(on_off=fails(broken), on_ask=fails(broken))) == (Confirmation.UNKNOWN, "cut")
    assert told(Instrument(on_off=fails(broken))) == (Confirmation.CONFIRMED, "its word")
    assert told(Instrument(on_ask=fails(LinkTimeout("mute")))) == (Confirmation.SENT, "mute")
    assert told(Instrument(on_ask=fails(ValueError("odd")))) == (Confirmation.SENT, "odd")
    assert told(Instrument(safe=lambda: False)) == (Confirmation.STILL_ON, "its word")


def test_one_that_says_it_is_on_is_told_once_more() -> None:
    words = iter([False, True])
    deaf = Instrument(safe=lambda: next(words))
    assert make_safe(bench(voltage_source=deaf), side_by_side).safe
    assert deaf.words() == ["off", "asked", "off", "asked"]


def test_no_instrument_is_asked_before_it_is_told() -> None:
    instruments = bench()
    make_safe(instruments, side_by_side)
    assert [one.words() for one in instruments.values()] == [["off", "asked"]] * len(ROLES)


def test_each_instrument_has_a_thread_of_its_own_and_light_is_first() -> None:
    began: list[str] = []
    together = threading.Barrier(len(ROLES))

    def act(role: str) -> None:
        began.append(role)
        together.wait(1.0)  # broken unless all are there at once

    assert side_by_side(ROLES, [Step(act, 2.0)]) is None
    assert sorted(began) == sorted(ROLES)
    assert not together.broken


def test_without_threads_off_is_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: Any, **words: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(rig.steps.threading, "Thread", none)
    assert make_safe(bench(), side_by_side).safe


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("X5")
@pytest.mark.skipif(sys.platform == "win32", reason="a signal to oneself")
def test_ten_times_ctrl_c_while_it_waits() -> None:
    def press() -> None:
        for _ in range(10):
            time.sleep(0.01)  # noqa: TID251 - a real signal in real time
            os.kill(os.getpid(), signal.SIGINT)

    instruments = bench(voltage_source=Instrument(on_off=press))
    report = make_safe(instruments, side_by_side)
    assert isinstance(report.interrupt, KeyboardInterrupt)
    assert report.safe
    assert [one.words() for one in instruments.values()] == [["off", "asked"]] * len(ROLES)


def interrupted_at(line: int) -> tuple[dict[str, Instrument], bool]:
    """Go safe with Ctrl-C at the n-th line of rig/steps.py; return the instruments, and whether the line was reached."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.endswith("steps.py"):
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise KeyboardInterrupt
        return trace

    instruments = bench()
    sys.settrace(trace)
    try:
        report = make_safe(instruments, side_by_side)
    except KeyboardInterrupt:
        sys.settrace(None)
        report = make_safe(instruments, side_by_side)  # as whoever runs it does
    finally:
        sys.settrace(None)
    assert report.safe
    return instruments, seen >= line


@pytest.mark.skipif(sys.gettrace() is not None, reason="coverage traces")
def test_ctrl_c_at_any_line_keeps_nothing_on() -> None:
    line, reached = 0, True
    while reached:
        line += 1
        instruments, reached = interrupted_at(line)
        for one in instruments.values():
            assert "off" in one.words(), line
            assert one.words()[0] == "off"
    assert line > 20


# --- on the wire ------------------------------------------------------------------------------------------------------


@pytest.mark.fault("X14")
def test_off_does_not_wait_for_a_conversation_that_is_stuck() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        manager = ResourceManager("@py")
        name = f"TCPIP::127.0.0.1::{listener.getsockname()[1]}::SOCKET"
        link = open_link(manager, name, MonotonicClock(), name="source", timeout_s=1.0)
        instrument, _ = listener.accept()
        with instrument:

            def ask() -> None:
                with link.conversation():
                    link.write("CURR?")
                    with pytest.raises(InstrumentError):
                        link.read()  # it is never answered

            stuck = threading.Thread(target=ask)
            stuck.start()
            instrument.settimeout(2.0)
            assert instrument.recv(100) == b"CURR?\n"
            begin = time.monotonic()
            link.write_now(b"OFF\n")
            assert instrument.recv(100) == b"OFF\n"
            assert time.monotonic() - begin <= ON_THE_WIRE_S
            assert stuck.is_alive()
            stuck.join()
        link.close()
        manager.close()
