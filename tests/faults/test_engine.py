"""The engine and its channel: a run that others follow, pause and stop; judged by the served bench's own record."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from guarded_run import RIG, SEQUENCE, GuardedRun, ServedBench, budget_ms, eventually, pause, served_bench

from drivers.clock import MonotonicClock
from drivers.errors import ComplianceReached
from rig.control import (
    Begun,
    Connect,
    Ended,
    EngineStatus,
    Event,
    Inject,
    Note,
    Off,
    Pause,
    Quit,
    Refused,
    Resume,
    RunProgress,
    Start,
    Stop,
)
from rig.control_client import EngineLine, EngineRefused
from rig.engine import Engine
from rig.engine_file import find_engine, living_engines
from rig.engine_host import hosted
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session

SHORT = {"cycles": 2, "on_time_s": 0.3, "off_time_s": 0.3, "settle_s": 0.05}
WALL = MonotonicClock()


def rig(*words: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*RIG, *words], capture_output=True, text=True, timeout=timeout_s)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServedBench]:
    with served_bench(tmp_path_factory.mktemp("served")) as bench:
        yield bench


# --- in one process


class Heard:
    """A listener, and what it has heard."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def test_everybody_is_told_how_a_run_begins_goes_on_and_ends(tmp_path: Path) -> None:
    session = Session(out=tmp_path)
    sequence = Sequence.of(OnOff(**SHORT), title="told")
    engine, heard = Engine(session), Heard()
    engine.listen(heard)
    result = engine.run(sequence, session.plan(sequence))
    [begun], [ended] = heard.of(Begun), heard.of(Ended)
    assert begun.file == ended.file == str(result.path.resolve())
    assert (begun.title, begun.shots_planned, begun.simulated) == ("told", 1200, True)
    assert (ended.state, ended.exit_code, ended.error) == ("done", 0, None)
    assert {one.role: one.confirmation for one in ended.hardware} == dict.fromkeys(
        ("laser_trigger", "voltage_source", "spectrometer", "shutter", "cw_shutter"), "CONFIRMED"
    )
    assert ended.outcome["frames"] == result.outcome.ledger.as_dict()
    shown = [one.shots_done for one in heard.of(RunProgress)]
    assert shown == sorted(shown)
    assert engine.status().state == "idle"
    assert isinstance(heard.events[-1], Ended)


def test_a_view_that_fails_hurts_no_run_and_is_told_nothing_more(tmp_path: Path) -> None:
    session = Session(out=tmp_path)
    sequence = Sequence.of(OnOff(**SHORT))
    engine, heard = Engine(session), Heard()
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise ZeroDivisionError("a slot of the window")

    engine.listen(broken)
    engine.listen(heard)
    assert engine.run(sequence, session.plan(sequence)).outcome.ledger.assigned == 1200
    assert len(calls) == 1
    assert any("a slot of the window" in note.text for note in heard.of(Note))


def test_after_a_fault_the_engine_is_latched_until_somebody_has_looked(tmp_path: Path) -> None:
    session = Session(out=tmp_path, faults=["breakdown@0.4s"])
    sequence = Sequence.of(OnOff(**SHORT))
    engine = Engine(session)
    start = Start(id=3, sequence_toml=sequence.source_text, name="again.toml")
    assert engine.run(sequence, session.plan(sequence)).outcome.fault is not None
    assert engine.status().state == "latched"
    refused = engine.submit(start, "test")
    assert refused.id == 3
    assert refused.error is not None
    assert refused.error.reasons[0].code == "latched"
    from rig.control import Acknowledge

    assert engine.submit(Acknowledge(), "test").ok
    assert engine.status().state == "idle"
    assert engine.submit(start, "test").ok


def test_a_simulated_bench_is_broken_by_command_while_it_runs_and_at_no_other_time(tmp_path: Path) -> None:
    session = Session(out=tmp_path)
    sequence = Sequence.of(OnOff(**{**SHORT, "cycles": 20}))
    engine, heard = Engine(session), Heard()
    assert "breakdown" in engine.welcome("").faults
    for fault, code in (("breakdown", "nothing-runs"), ("no-such-thing", "simulation-impossible")):
        answer = engine.submit(Inject(fault=fault), "test")
        assert answer.error is not None
        assert [reason.code for reason in answer.error.reasons] == [code]

    broken: list[int] = []

    def break_it(event: Event) -> None:
        if isinstance(event, RunProgress) and event.shots_done > 100 and not broken:
            broken.append(event.shots_done)
            assert engine.submit(Inject(fault="breakdown"), "test").ok

    engine.listen(break_it)
    engine.listen(heard)
    outcome = engine.run(sequence, session.plan(sequence)).outcome
    assert isinstance(outcome.fault, ComplianceReached)
    assert any("SIMULATED fault from now on: breakdown" in note.text for note in heard.of(Note))
    assert session.world.terminal.record.voltage_v[-1] == 0.0


def test_what_the_compiler_refuses_is_refused_at_once_with_every_reason(tmp_path: Path) -> None:
    engine = Engine(Session(out=tmp_path))
    text = SEQUENCE.format(mode="gated", on_s=1.0, off_s=1.0).replace("voltage_on_v = 20.0", "voltage_on_v = 30.0")
    answer = engine.submit(Start(sequence_toml=text.replace("cycles", "cylces"), name="bad.toml"), "test")
    assert answer.error is not None
    assert {reason.code for reason in answer.error.reasons} >= {"unknown-key"}
    answer = engine.submit(Start(sequence_toml=text, name="high.toml"), "test")
    assert answer.error is not None
    assert [reason.code for reason in answer.error.reasons] == ["voltage-above-limit", "step-above-limit"]
    assert engine.status().state == "idle"


def test_an_engine_runs_what_is_started_and_ends_when_nobody_is_there(tmp_path: Path) -> None:
    engine = Engine(Session(out=tmp_path))
    text = Sequence.of(OnOff(**SHORT), title="by command").source_text
    with hosted(engine) as channel:
        found = find_engine(pid=os.getpid())
        own = threading.Thread(target=engine.serve, args=(lambda: channel.listeners > 0, 0.3))
        own.start()
        with EngineLine.connect(found, "window", commander=True) as line, EngineLine.connect(found, "onlooker") as other:
            assert line.welcome.you_command
            with pytest.raises(EngineRefused, match="window commands"):
                other.order(Start(sequence_toml=text, name="s.toml"))
            line.order(Start(sequence_toml=text, name="s.toml", seed=5))
            ended = [until_ended(one) for one in (line, other)]
            assert ended[0] == ended[1]
            assert ended[0].outcome["seed"] == 5
            assert open_run(Path(ended[0].file)).state == "done"
        own.join(10)
        assert not own.is_alive()
    assert engine.why_it_ended == "nobody was there for 0.3 s"
    assert living_engines() == []


def until_ended(line: EngineLine, within_s: float = 30) -> Ended:
    for event in line.events(within_s):
        if isinstance(event, Ended):
            return event
        assert not isinstance(event, Refused), event
    raise AssertionError("no end")


# --- other processes


def test_a_run_is_followed_paused_and_stopped_from_other_terminals(served: ServedBench) -> None:
    with GuardedRun(served, "gated", on_s=0.8, off_s=0.8) as run:
        run.wait_for_voltage()
        with EngineLine.connect(find_engine(pid=run.process.pid), "test") as line:
            follower = subprocess.Popen([*RIG, "attach"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert rig("pause").returncode == 0
            eventually(lambda: state_of(line) == "paused", 10, "paused")
            assert served.record.voltage_v == 0.0
            pulses = served.record.last_pulse_ns()
            told = json.loads(rig("status", "--json").stdout)["engines"]
            assert [(one["pid"], one["status"]["state"]) for one in told] == [(run.process.pid, "paused")]
            assert served.record.last_pulse_ns() == pulses
            assert rig("resume").returncode == 0
            run.wait_for_voltage()
            stopped = rig("stop", "--why", "tea")
            assert stopped.returncode == 0
            confirmed = "off, confirmed by laser trigger, voltage source, spectrometer, shutter, cw shutter"
            assert confirmed in " ".join(stopped.stdout.split())
        assert run.end() == 3
        out, err = follower.communicate(timeout=20)
    assert follower.returncode == 3
    assert "following engine" in out
    assert "Stopped (tea) after" in err
    assert "Stopped (tea) after" in run.told
    assert served.record.off


def state_of(line: EngineLine) -> str:
    from rig.control import Status

    line.order(Status())
    state = ""
    for event in line.events(0.3):
        if isinstance(event, EngineStatus):
            state = event.state
    return state


@pytest.mark.fault("X12")
def test_a_second_program_on_one_bench_is_told_who_has_it_and_a_dead_holder_holds_nothing(
    served: ServedBench, tmp_path: Path
) -> None:
    sequence = tmp_path / "s.toml"
    sequence.write_text(SEQUENCE.format(mode="gated", on_s=0.3, off_s=0.3).replace("cycles = 20", "cycles = 1"))
    words = ["run", str(sequence), "--bench", str(served.bench), "--out", str(tmp_path)]
    with GuardedRun(served, "gated") as run:
        run.wait_for_voltage()
        heard = len(served.record.update().heard)
        for second in (rig(*words), rig("doctor", "--bench", str(served.bench), "--out", str(tmp_path))):
            assert second.returncode == 2
            assert "[bench-in-use]" in second.stderr
            assert f"process {run.process.pid}" in second.stderr
        mine = {words for _, _, words in served.record.update().heard[heard:]}
        assert not any("*IDN?" in one for one in mine), "the second program talked to an instrument"
        run.signal(signal.SIGKILL)
        run.end()
    assert rig(*words).returncode == 0


def test_a_stop_reaches_the_wire_within_100_ms(served: ServedBench, record_property: Any) -> None:
    times_ms: list[float] = []
    for command in (Stop(why="test"), Off(why="test")):
        with GuardedRun(served, "gated") as run:
            run.wait_for_voltage()
            with EngineLine.connect(find_engine(pid=run.process.pid), "test") as line:
                asked_ns = WALL.now_ns()
                line.order(command)
                assert run.end() == 3
            times_ms.append((served.record.zero_since_ns() - asked_ns) * 1e-6)
    record_property("off_ms", max(times_ms))
    assert max(times_ms) <= budget_ms(100.0), times_ms


def test_off_by_anybody_ends_a_run_that_hangs_in_a_conversation(served: ServedBench) -> None:
    """The run's thread waits for an answer that does not come; nobody has to wait for it."""
    session = Session(served.bench, out=served.folder / "hangs")
    sequence = Sequence.of(OnOff(cycles=2, on_time_s=1.5, off_time_s=1.2))
    engine = Engine(session)
    hung = threading.Event()

    def hang(event: Event) -> None:
        if isinstance(event, RunProgress) and event.shots_done > 1500 and not hung.is_set():
            hung.set()
            pause(1.0)  # in the thread of the run

    engine.listen(hang)
    own = threading.Thread(target=lambda: engine.run(sequence, session.plan(sequence)))
    own.start()
    assert hung.wait(20)
    assert served.record.voltage_v == 20.0
    asked_ns = WALL.now_ns()
    assert engine.submit(Off(), "test").ok
    eventually(lambda: served.record.off, 2.0, "off")
    off_ms = (served.record.zero_since_ns() - asked_ns) * 1e-6
    own.join(20)
    assert off_ms < budget_ms(300), off_ms
    assert not own.is_alive()
    assert served.record.off


def test_the_engine_of_a_window_is_a_process_that_outlives_it(served: ServedBench, tmp_path: Path) -> None:
    words = ["engine", "--bench", str(served.bench), "--out", str(tmp_path), "--linger", "1", "--json"]
    text = SEQUENCE.format(mode="gated", on_s=0.4, off_s=0.4).replace("cycles = 20", "cycles = 2")
    with subprocess.Popen([*RIG, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        with EngineLine.connect(find_engine(pid=process.pid), "window", commander=True) as window:
            window.order(Start(sequence_toml=text, name="s.toml"))
            for event in window.events(20):
                if isinstance(event, Begun):
                    break
        with EngineLine.connect(find_engine(pid=process.pid), "the next window", commander=True) as again:
            assert again.welcome.you_command
            with pytest.raises(EngineRefused, match="under way"):
                again.order(Quit())
            assert until_ended(again).state == "done"
        assert process.wait(10) == 0


def test_the_engine_of_a_terminal_takes_no_runs_that_it_would_never_begin(tmp_path: Path) -> None:
    engine = Engine(Session(out=tmp_path), serves=False)
    for command in (Start(sequence_toml=Sequence.of(OnOff(**SHORT)).source_text, name="s.toml"), Connect()):
        answer = engine.submit(command, "test")
        assert answer.error is not None
        assert answer.error.reasons[0].code == "runs-its-own"
    assert not engine.stopped


def test_pause_is_refused_when_nothing_runs(tmp_path: Path) -> None:
    engine = Engine(Session(out=tmp_path))
    for command in (Pause(), Resume()):
        answer = engine.submit(command, "test")
        assert answer.error is not None
        assert answer.error.reasons[0].code == "nothing-runs"
