"""The guard process against a bench in another process: judged by that process's own record of voltage and pulses."""

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from guarded_run import RIG, GuardedRun, ServedBench, alive, budget_ms, eventually, kill_times_ms, pause, served_bench

from drivers.clock import MonotonicClock
from drivers.errors import RigError
from rig.bench import read_bench
from rig.lifeline import Lifeline
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.session import Session

if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

OFF_MS = budget_ms(250.0)
KILLS = 100 if os.environ.get("RIG_LONG") else 5
Told = Callable[[str, object], None]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServedBench]:
    with served_bench(tmp_path_factory.mktemp("served")) as bench:
        yield bench


@pytest.fixture(scope="module")
def quick(served: ServedBench) -> Path:
    return served.with_silence(0.6)


@pytest.mark.fault("X1")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_killed_run_is_off_within_250_ms(served: ServedBench, mode: str, record_property: Told) -> None:
    number = (KILLS + (mode == "gated")) // 2
    chance = random.Random(mode)
    times = kill_times_ms(served, mode, [chance.uniform(0, 0.8) for _ in range(number)])
    for both in times:
        record_property("off_ms", max(both))
    for name, found in (("voltage", [v for v, _ in times]), ("last pulse", [p for _, p in times])):
        print(f"{mode}: {name} median {statistics.median(found):.1f} ms, max {max(found):.1f} ms of {number}")
        assert max(found) <= OFF_MS, found


def test_without_its_guard_a_killed_run_leaves_the_voltage_on(served: ServedBench, capfd: pytest.CaptureFixture[str]) -> None:
    """The control: it is the guard that switches off, nothing else does."""
    with GuardedRun(served, "gated") as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        os.kill(guard, signal.SIGKILL)
        run.signal(signal.SIGKILL)
        run.end()
        pause(1.0)
        left_v = served.record.voltage_v
    lifeline = Lifeline(MonotonicClock(), 2.0)
    lifeline.guard(read_bench(served.bench), ["voltage_source", "laser_trigger"])
    lifeline.close()  # without a goodbye
    assert "GUARD: the run has ended, but it did not confirm that everything is off." in capfd.readouterr().err
    assert left_v == 20.0
    assert served.record.off


@pytest.mark.fault("X1")
def test_what_the_guard_did_is_written_beside_the_run(served: ServedBench) -> None:
    with GuardedRun(served, "gated") as run:
        run.wait_for_voltage()
        run.signal(signal.SIGKILL)
        run.end()
    [deed] = run.deeds()
    assert "has ended without a word" in deed["reason"]
    by_role = {one["role"]: one for one in deed["deeds"]}
    assert set(by_role) == {"laser_trigger", "voltage_source", "shutter", "cw_shutter", "spectrometer"}
    for role, one in by_role.items():
        assert one["off_sent_ms"] is not None, role
        assert one["confirmed_off"] is True, one
    assert "GUARD: the run's process has ended without a word" in run.told
    [path] = run.out.glob("*.h5")
    recovered = subprocess.run([*RIG, "recover", str(path)], capture_output=True, text=True, check=True)
    assert "guard: the run's process has ended without a word. " in recovered.stdout
    assert "voltage source: off, confirmed by read-back after" in recovered.stdout


@pytest.mark.fault("X13")
@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_run_that_stands_still_is_off_after_the_silence_and_ends_as_a_fault(
    served: ServedBench, quick: Path, mode: str, record_property: Told
) -> None:
    with GuardedRun(served, mode, quick, on_s=2.0, off_s=1.4) as run:
        run.wait_for_voltage()
        pause(0.5)
        stopped_ns = run.signal(signal.SIGSTOP)
        eventually(lambda: served.record.off, 3.0, "off by the guard")
        pause(0.3)
        off_s = (served.record.zero_since_ns() - stopped_ns) * 1e-9
        pulse_s = (served.record.last_pulse_ns() - stopped_ns) * 1e-9
        run.signal(signal.SIGCONT)
        assert run.end() == 4
    record_property("off_ms", 1e3 * max(off_s, pulse_s))
    assert 0.3 < off_s < 0.6 + 0.6, off_s
    assert pulse_s < 0.6 + 0.6, pulse_s
    assert "The guard has switched everything off: the run gave no sign of life for 0." in run.told
    assert "off, confirmed by laser trigger, voltage source" in run.told
    assert served.record.voltage_v == 0.0
    [path] = run.out.glob("*.h5")
    file = open_run(path)
    assert file.state == "fault"
    last_fetched_ms = 1e3 * pulse_s
    assert file.count > 500 + last_fetched_ms * 0.5  # what the spectrometer held while the run stood still is there, too
    assert (file.ledger["assigned"] > 0) is (mode == "gated")  # nobody has read the record that would prove a list


@pytest.mark.fault("X3")
def test_a_run_without_a_guard_stops(served: ServedBench, record_property: Told) -> None:
    with GuardedRun(served, "gated", on_s=2.0, off_s=1.4) as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        killed_ns = time.monotonic_ns()
        os.kill(guard, signal.SIGKILL)
        eventually(lambda: served.record.off, 1.0, "off by the run itself")
        assert run.end() == 4
    record_property("off_ms", (max(served.record.zero_since_ns(), served.record.last_pulse_ns()) - killed_ns) * 1e-6)
    assert "The guard process has died." in run.told
    assert "off, confirmed by" in run.told


@pytest.mark.fault("X3")
def test_a_guard_that_does_not_answer_stops_the_run(served: ServedBench, quick: Path) -> None:
    with GuardedRun(served, "gated", quick, on_s=2.0, off_s=1.4) as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        os.kill(guard, signal.SIGSTOP)
        try:
            eventually(lambda: served.record.off, 3.0, "off by the run itself")
        finally:
            os.kill(guard, signal.SIGCONT)
        assert run.end() == 4
    assert "The guard process has not answered for 1." in run.told
    assert not alive(guard)


def test_a_guard_that_was_frozen_for_a_moment_switches_nothing_off(served: ServedBench) -> None:
    with GuardedRun(served, "stepped") as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        os.kill(guard, signal.SIGSTOP)
        pause(0.9)
        os.kill(guard, signal.SIGCONT)
        run.wait_for_voltage(0.0)
        run.wait_for_voltage(20.0)  # the run goes on
        run.signal(signal.SIGINT)
        assert run.end() == 130
    assert run.deeds() == []


@pytest.mark.fault("X5")
def test_ctrl_c_of_the_terminal_reaches_the_run_and_not_the_guard(served: ServedBench) -> None:
    with GuardedRun(served, "gated") as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        os.kill(guard, signal.SIGINT)
        os.kill(guard, signal.SIGTERM)
        os.killpg(run.process.pid, signal.SIGINT)  # what a terminal does: everybody of the group
        assert run.end() == 130
    assert "Stopped (Ctrl-C)" in run.told
    assert run.deeds() == []
    assert not alive(guard)


def test_a_run_that_ends_well_leaves_no_guard_and_no_record_of_one(served: ServedBench, tmp_path: Path) -> None:
    before = len(served.record.update().heard)
    result = Session(served.bench, out=tmp_path).run(OnOff(cycles=1, on_time_s=0.3, off_time_s=0.3))
    events = [text for _, text in open_run(result.path).events if text.startswith("guard: ")]
    assert result.outcome.fault is None
    assert len(events) == 1 + 5, events
    assert "voltage source" in events[2]
    pid = int(events[0].split("process ")[1].split(";")[0])
    assert not alive(pid)
    assert not list(tmp_path.glob("*.guard.json"))
    safe = [words for _, role, words in served.record.update().heard[before:] if role == "laser_trigger" and "BURM 0" in words]
    assert len(safe) <= 2  # preparing and going safe; none by the guard


def test_a_bench_in_the_same_process_has_none_and_says_so(tmp_path: Path) -> None:
    result = Session(out=tmp_path).run(OnOff(cycles=1, on_time_s=0.3, off_time_s=0.3))
    [event] = [text for _, text in open_run(result.path).events if text.startswith("guard: ")]
    assert "none" in event


@pytest.mark.fault("W8")
def test_two_mute_instruments_do_not_delay_the_third(served: ServedBench) -> None:
    """The guard alone, by hand: a laser trigger and a spectrometer nobody answers for, a source that works."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        crowd = []
        for _ in range(4):  # fill the queue of connections that nobody takes
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            crowd.append(one)
        source = tomllib.loads(served.bench.read_text())["voltage_source"]["resource"]
        off = b"\n:ABOR;:TRIG:CLE;:OUTP OFF\n"
        hazards = [
            {"role": "laser_trigger", "model": "srs-dg645", "resource": f"TCPIP::127.0.0.1::{port}::SOCKET"},
            {"role": "spectrometer", "model": "ocean-fx", "resource": f"TCPIP::127.0.0.1::{port}::SOCKET"},
            {"role": "voltage_source", "model": "keithley-2400", "resource": source},
        ]
        plan = {"library": "@py", "hazards": [{**one, "off": off.hex(), "settings": {}} for one in hazards]}
        with subprocess.Popen(
            [sys.executable, "-m", "rig.guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as guard:
            assert guard.stdin is not None
            assert guard.stdout is not None
            record = served.folder / "mute.guard.json"
            words = json.dumps(plan) + "\n" + json.dumps({"record": str(record)}) + "\n"
            guard.stdin.write(words.encode())
            guard.stdin.flush()
            ready = json.loads(guard.stdout.readline())["ready"]
            assert "not taken" in ready[0]
            assert "a second connection is taken" in ready[2]
            guard.stdin.close()
            try:
                eventually(record.exists, 20, "the record")
                deeds = {one["role"]: one for one in json.loads(record.read_text())["guard"][0]["deeds"]}
            finally:
                guard.kill()
        for one in crowd:
            one.close()
    assert deeds["voltage_source"]["off_sent_ms"] <= OFF_MS
    assert deeds["laser_trigger"]["off_sent_ms"] is None
    assert deeds["spectrometer"]["off_sent_ms"] is None


def test_a_run_that_dies_while_silent_is_acted_upon_again_at_once(served: ServedBench) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as mute:  # takes a connection, never says anything
        port = mute.getsockname()[1]
        source = tomllib.loads(served.bench.read_text())["voltage_source"]["resource"]
        shutter = {"role": "shutter", "model": "thorlabs-sc10", "resource": f"ASRLsocket://127.0.0.1:{port}::INSTR", "off": ""}
        plain = {"role": "voltage_source", "model": "keithley-2400", "resource": source, "off": b"\n:OUTP OFF\n".hex()}
        plan = {"library": "@py", "hazards": [{**one, "settings": {}} for one in (shutter, plain)]}
        with subprocess.Popen([sys.executable, "-m", "rig.guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guard:
            assert guard.stdin is not None
            assert guard.stdout is not None
            guard.stdin.write(json.dumps(plan).encode() + b"\n")
            guard.stdin.flush()
            assert "ready" in json.loads(guard.stdout.readline())
            guard.stdin.write(b'{"silence_s": 0.5}\n')
            guard.stdin.flush()
            assert "acted" in json.loads(guard.stdout.readline())
            eventually(lambda: offs(served) == 1, 1.0, "off, because of the silence")
            guard.stdin.close()
            eventually(lambda: offs(served) == 2, OFF_MS * 1e-3, "off, because of the end")
            guard.kill()


def offs(served: ServedBench) -> int:
    """How often the source was sent this test's own off."""
    return sum(role == "voltage_source" and words == "\n:OUTP OFF\n" for _, role, words in served.record.update().heard)


# --- the lifeline by itself


@pytest.mark.fault("X14")
def test_a_thread_that_lives_on_is_no_sign_of_life(served: ServedBench) -> None:
    lifeline = Lifeline(MonotonicClock(), 0.6)
    try:
        lifeline.guard(read_bench(served.bench), ["voltage_source"])
        lifeline.watch(None)
        clock = lifeline.beating(MonotonicClock())
        done = threading.Event()

        def live_on() -> None:
            while not done.is_set():
                clock.sleep(0.02)

        other = threading.Thread(target=live_on)
        other.start()
        pause(1.0)  # the thread of the run does nothing
        done.set()
        other.join()
        with pytest.raises(RigError, match="no sign of life"):
            lifeline.check()
        lifeline.release()
    finally:
        lifeline.close()


def test_waiting_with_the_run_s_own_clock_is_a_sign_of_life_and_so_is_an_announced_silence(served: ServedBench) -> None:
    lifeline = Lifeline(MonotonicClock(), 0.6)
    try:
        lifeline.guard(read_bench(served.bench), ["voltage_source"])
        lifeline.watch(None)
        lifeline.beating(MonotonicClock()).sleep(1.2)
        lifeline.check()
        with lifeline.long_step(3.0):
            lifeline.beat()
            pause(1.2)
        lifeline.check()
        pause(1.0)  # not announced
        with pytest.raises(RigError, match="no sign of life"):
            lifeline.check()
        lifeline.release()
    finally:
        lifeline.close()


def test_before_the_run_begins_silence_means_nothing(served: ServedBench) -> None:
    lifeline = Lifeline(MonotonicClock(), 0.5)
    try:
        lifeline.guard(read_bench(served.bench), ["voltage_source"])
        pause(1.0)
        lifeline.check()
        lifeline.release()
    finally:
        lifeline.close()
