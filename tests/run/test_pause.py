"""Pause between two blocks, and the fence of a stop: judged by what the bench itself recorded."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_truth import truth_of, wrong_frames
from other_benches import laser_as_master, other_bench

from drivers.clock import MonotonicClock
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.runner import FinishReason, PauseRequest, Progress, RunState, StopRequest
from rig.sequence import Sequence
from rig.session import Session
from sim_instruments.visa_library import SimulatedVisaLibrary

SHORT = {"cycles": 2, "on_time_s": 0.3, "off_time_s": 0.3, "settle_s": 0.05}
WALL = MonotonicClock()
ON_ITS_WAY_NS = 10_000_000


class Resting:
    """An onlooker that asks for a pause at a block and takes it back from another thread, having looked at the bench."""

    def __init__(self, session: Session, pause: PauseRequest, then: Callable[[], None]) -> None:
        self.session = session
        self.pause = pause
        self.then = then
        self.rests = 0
        self.voltages_v: list[float] = []
        self.pulses: list[int] = []
        self._thread: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.state is RunState.COLLECTING and progress.shots_done > 200 and not self.rests:
            self.pause.asked = True
        if progress.state is RunState.PAUSED:
            world = self.session.world
            self.voltages_v.append(world.terminal.record.voltage_v[-1])
            self.pulses.append(len(world.light_path.record.pulses))
            if not self.rests:
                self._thread = threading.Thread(target=self._end)
                self._thread.start()
            self.rests += 1

    def _end(self) -> None:
        WALL.sleep(0.3)
        self.then()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join()


@pytest.mark.parametrize("mode", ["gated", "stepped"])
@pytest.mark.parametrize("runs_free", [False, True])
def test_a_pause_switches_everything_off_and_the_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, mode: str, runs_free: bool
) -> None:
    session = Session(other_bench(laser_as_master()) if runs_free else None, simulate=True, out=tmp_path)
    pause = PauseRequest()
    rest = Resting(session, pause, lambda: setattr(pause, "asked", False))
    result = session.run(Sequence.of(OnOff(**SHORT), mode=mode), observe=rest, pause=pause)
    rest.join()
    assert rest.rests >= 3
    assert set(rest.voltages_v) == {0.0}
    assert len(set(rest.pulses)) == 1
    words = [text for _, text in open_run(result.path).events]
    assert any(text.startswith("paused: laser trigger: confirmed") for text in words), words
    assert "the pause is over" in words
    assert result.outcome.reason is FinishReason.DONE, result.outcome.fault
    assert result.outcome.ledger.assigned == result.outcome.ledger.planned == 1200
    stored = open_run(result.path)
    assert wrong_frames(stored.frames(), truth_of(session, stored)) == 0


def test_a_stop_ends_a_pause(tmp_path: Path) -> None:
    session = Session(out=tmp_path)
    pause, stop = PauseRequest(), StopRequest()
    rest = Resting(session, pause, lambda: stop.request("enough"))
    result = session.run(OnOff(**SHORT), observe=rest, pause=pause, stop=stop)
    rest.join()
    assert result.outcome.reason is FinishReason.STOPPED
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert 0 < result.outcome.ledger.assigned < 1200


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_after_a_stop_is_asked_for_nothing_is_switched_on_or_fired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """At every fifth conversation from before the first block to the end: also between arming and firing."""
    total = conversations_of(tmp_path, monkeypatch, mode, at=10**9)[0]
    begun = total - 160
    caught = {"in time": 0, "too late": 0}
    for at in range(begun, total, 5):
        _, stopped_ns, fired_ns, on_ns = conversations_of(tmp_path, monkeypatch, mode, at)
        assert stopped_ns is not None
        assert not [t for t in fired_ns if t > stopped_ns], f"a burst was fired after the stop at message {at}"
        # the message that was on its way when the stop came may still be carried out
        assert not [t for t in on_ns if t > stopped_ns + ON_ITS_WAY_NS], f"a voltage came after the stop at message {at}"
        caught["too late" if fired_ns else "in time"] += 1
    assert caught["in time"] >= 3
    assert caught["too late"] >= 3


def conversations_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, at: int
) -> tuple[int, int | None, list[int], list[int]]:
    """Run, ask for a stop right after message `at`; messages, time of the stop, of every software trigger, of every level."""
    stop, count, stopped_ns = StopRequest(), 0, None
    fired_ns: list[int] = []
    write = SimulatedVisaLibrary.write
    session = Session(out=folder)

    def counted(library: SimulatedVisaLibrary, visa: Any, data: bytes) -> Any:
        nonlocal count, stopped_ns
        count += 1
        if b"*TRG" in data:
            fired_ns.append(session.world.now_ns())
        answer = write(library, visa, data)
        if count == at:
            stop.request("test")
            stopped_ns = session.world.now_ns()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedVisaLibrary, "write", counted)
        parameters = {"cycles": 1, "on_time_s": 0.02, "off_time_s": 0.02, "settle_s": 0.005}
        result = session.run(Sequence.of(OnOff(**parameters), mode=mode), stop=stop)
    assert result.outcome.fault is None, result.outcome.fault
    record = session.world.terminal.record
    on_ns = [t for t, v in zip(record.t_ns, record.voltage_v, strict=True) if v != 0.0]
    return count, stopped_ns, fired_ns, on_ns
