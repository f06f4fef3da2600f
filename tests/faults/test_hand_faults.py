"""A voltage that stands by hand, and everybody who could switch it off is gone: judged by the served bench's own record."""

import json
import signal
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from guarded_run import RIG, ServedBench, eventually, served_bench

from drivers.clock import MonotonicClock
from rig.control import Command, Connect, InstrumentStates, SetByHand, Stop
from rig.control_client import EngineLine, off_without_token
from rig.engine_file import find_engine

WALL = MonotonicClock()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServedBench]:
    with served_bench(tmp_path_factory.mktemp("served")) as bench:
        yield bench


class ByHand:
    """`rig engine` on a served bench, 20 V switched on by hand over its channel."""

    def __init__(self, served: ServedBench, out: Path) -> None:
        words = ["engine", "--bench", str(served.bench), "--out", str(out), "--linger", "30", "--json"]
        self.served = served
        self.process = subprocess.Popen([*RIG, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["pid"] == self.process.pid
        self.line = EngineLine.connect(find_engine(pid=self.process.pid), "window", commander=True)
        self.order(Connect())
        self.until(lambda told: told.connected)
        self.order(SetByHand(role="voltage_source", quantity="voltage_v", value=20.0))
        self.order(SetByHand(role="voltage_source", quantity="output_on", value=1.0))
        eventually(lambda: served.record.voltage_v == 20.0, 5, "20 V at the film")

    def order(self, command: Command) -> None:
        self.line.order(command)

    def until(self, what: Callable[[InstrumentStates], bool]) -> InstrumentStates:
        for event in self.line.events(20):
            if isinstance(event, InstrumentStates) and what(event):
                return event
        raise AssertionError("not told")

    def off_after_ms(self) -> float:
        since_ns = WALL.now_ns()
        eventually(lambda: self.served.record.off, 10, "off")
        return (self.served.record.zero_since_ns() - since_ns) * 1e-6

    def close(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def by_hand(served: ServedBench, tmp_path: Path) -> Generator[ByHand]:
    one = ByHand(served, tmp_path)
    yield one
    one.close()


def test_the_window_that_switched_it_on_is_gone(by_hand: ByHand) -> None:
    by_hand.line.close()
    assert by_hand.off_after_ms() < 1000
    assert by_hand.process.poll() is None


def test_the_engine_is_killed(by_hand: ByHand) -> None:
    by_hand.process.kill()
    assert by_hand.off_after_ms() < 1000


def test_the_engine_hangs(by_hand: ByHand) -> None:
    by_hand.process.send_signal(signal.SIGSTOP)
    try:
        assert by_hand.off_after_ms() < 4000  # guard_silence_s is 2 s
    finally:
        by_hand.process.send_signal(signal.SIGCONT)
    told = by_hand.until(lambda told: not told.connected)
    assert {one.confirmation for one in told.hardware} == {"CONFIRMED"}


def test_stop_and_off_by_anybody_reach_the_wire_within_100_ms(by_hand: ByHand, served: ServedBench, tmp_path: Path) -> None:
    with EngineLine.connect(find_engine(pid=by_hand.process.pid), "onlooker") as other:
        other.order(Stop(why="test"))
        assert by_hand.off_after_ms() < 100
    by_hand.until(lambda told: not told.connected)
    second = ByHand(served, tmp_path / "second")
    try:
        assert off_without_token(find_engine(pid=second.process.pid).port).ok
        assert second.off_after_ms() < 100
    finally:
        second.close()


def test_a_second_program_on_the_bench_is_refused_meanwhile(by_hand: ByHand, served: ServedBench, tmp_path: Path) -> None:
    sequence = tmp_path / "s.toml"
    sequence.write_text('title = "t"\nsample = "s"\nmeasurement = "live_view"\n[parameters]\nduration_s = 0.1\n')
    words = [*RIG, "run", str(sequence), "--bench", str(served.bench), "--out", str(tmp_path)]
    second = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "[bench-in-use]" in second.stderr
    assert served.record.voltage_v == 20.0
