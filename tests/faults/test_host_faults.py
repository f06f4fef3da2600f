"""The computer around a run: its clocks jump, it sleeps, it stands still; who can reach it; which bench it believes it is on.

Judged by the record of the world or of the server, by the system's own table of sockets, and by what a real instrument heard.
"""

import ast
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from guarded_run import SEQUENCE, GuardedRun, Record, ServedBench, eventually, pause, served_bench

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import shifted, truth_of, wrong_frames
from other_benches import other_bench

import rig.lifeline
from drivers.clock import MonotonicClock, slept_ns
from drivers.errors import ConfigError, RigError
from rig import cli
from rig.bench import default_bench
from rig.bench_source import BenchFiles
from rig.lifeline import Lifeline
from rig.measurements.on_off import OnOff
from rig.provenance import now_label
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session
from sim_instruments.server import BenchServer

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX; Windows is a procedure of docs/faults.md")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tables of Linux")
LONG = bool(os.environ.get("RIG_LONG"))
MODES = ("gated", "stepped")
STOPPED_S = 5.0
SILENCE_S = 2.0  # what a bench file has unless it says otherwise
GUARD_ACTS_S = 0.25
SHORT = {"cycles": 1, "on_time_s": 0.2, "off_time_s": 0.15, "settle_s": 0.01}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServedBench]:
    with served_bench(tmp_path_factory.mktemp("served")) as bench:
        yield bench


# --- X9: the wall clock -----------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


class JumpingClock(datetime):
    """A wall clock that somebody sets forth and back by an hour at every look."""

    looks = 0
    jumps = (timedelta(0), -HOUR, HOUR, timedelta(0), -HOUR)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "JumpingClock":
        cls.looks += 1
        jumped = datetime.now(tz) + cls.jumps[cls.looks % len(cls.jumps)]
        return cls.fromtimestamp(jumped.timestamp(), tz)


@pytest.mark.fault("X9")
@pytest.mark.parametrize("mode", MODES)
def test_a_wall_clock_that_jumps_changes_nothing_but_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    def run(folder: str) -> Any:
        return open_run(Session(out=tmp_path / folder).run(Sequence.of(OnOff(**SHORT), mode=mode)).path)

    calm = run("calm")
    with monkeypatch.context() as patch:
        patch.setattr("rig.provenance.datetime", JumpingClock)
        jumps = JumpingClock.looks
        jumped = run("jumped")
        assert JumpingClock.looks > jumps
    assert calm.events == jumped.events
    for one, other in ((calm.frames(), jumped.frames()), (calm.readings, jumped.readings)):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert calm.header.run_id == jumped.header.run_id
    assert calm.state == jumped.state == "done"


@pytest.mark.fault("X9")
def test_labels_of_a_clock_that_jumps_never_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.provenance.datetime", JumpingClock)
    labels = [datetime.fromisoformat(now_label()) for _ in range(20)]
    assert labels == sorted(labels)


@pytest.mark.fault("X9")
def test_summer_time_is_no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels carry their offset: the hour that happens twice is told apart."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process cannot be set here")
    moments = [datetime(2030, 10, 27, 0, 59, 59, tzinfo=UTC), datetime(2030, 10, 27, 1, 0, 1, tzinfo=UTC)]
    monkeypatch.setattr("rig.provenance.datetime", SimpleNamespace(now=lambda zone: moments.pop(0)))
    monkeypatch.setattr("rig.provenance._wall_clock._last", datetime.fromtimestamp(0, UTC))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        before, after = now_label(), now_label()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert (before, after) == ("2030-10-27T02:59:59+02:00", "2030-10-27T02:00:01+01:00")
    assert datetime.fromisoformat(before) < datetime.fromisoformat(after)


WALL = {f"datetime.{name}" for name in ("now", "utcnow", "today")} | {"date.today"}
WALL |= {f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime")}


@pytest.mark.fault("X9")
def test_only_labels_are_taken_from_the_wall_clock() -> None:
    """The linter bans some of these; this is all of them, in every module of ours."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("rig", "drivers", "sim_instruments", "gui")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in WALL
    }
    assert found == {"rig/provenance.py"}


# --- X10: sleep -------------------------------------------------------------------------------------------------------


class LeapingClock(MonotonicClock):
    """The clock of a computer that sleeps when it is told to."""

    leapt_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.leapt_ns


@pytest.mark.fault("X10")
@pytest.mark.parametrize("counted", [True, False], ids=["the clock leaps (Windows)", "the clock leaves it out (Linux)"])
def test_a_computer_that_has_slept_says_so_at_the_next_look(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    clock = LeapingClock()
    lifeline = Lifeline(clock, SILENCE_S)
    try:
        lifeline.guard(default_bench(), [])
        clock.leapt_ns += 3 * 10**9
        lifeline.check()  # nothing is on yet: it may sleep
        lifeline.watch(None)
        with lifeline.long_step(10.0):
            clock.leapt_ns += 3 * 10**9
        lifeline.check()  # that was announced
        if counted:
            clock.leapt_ns += 3 * 10**9
        else:
            monkeypatch.setattr(rig.lifeline, "slept_ns", lambda: slept_ns() + 3 * 10**9)
        lifeline.beating(clock).now_ns()
        with pytest.raises(RigError, match=r"stood still for 3\.\d s") as raised:
            lifeline.check()
        assert "power settings" in raised.value.next_step
        lifeline.release()
    finally:
        lifeline.close()


@posix
@pytest.mark.fault("X10")
def test_a_run_and_its_guard_that_slept_together_wake_up_and_switch_off(served: ServedBench, record_property: Any) -> None:
    """As after a sleep of the computer: instruments went on by themselves, nobody watched, nobody may go on."""
    with GuardedRun(served, "gated", on_s=4.0, off_s=3.0) as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        pause(0.4)
        run.signal(signal.SIGSTOP)
        os.kill(guard, signal.SIGSTOP)
        pause(SILENCE_S + 0.3)
        os.kill(guard, signal.SIGCONT)
        woken_ns = run.signal(signal.SIGCONT)
        assert run.end() == 4
    off_ms = (served.record.zero_since_ns() - woken_ns) * 1e-6
    assert off_ms <= 300  # of which a look for the guard's own word is 50
    record_property("off_ms", off_ms)
    assert "This computer stood still for 2." in run.told or "The guard has switched everything off" in run.told
    assert "off, confirmed by laser trigger, voltage source" in run.told
    [path] = run.out.glob("*.h5")
    file = open_run(path)
    assert file.state == "fault"
    assert file.count == file.ledger["received"]
    record_property("kept", f"{file.count} of {file.ledger['received']} acknowledged frames")


# --- X13: the run stands still for five seconds -----------------------------------------------------------------------


@posix
@pytest.mark.fault("X13")
@pytest.mark.timeout(600)
def test_after_five_seconds_of_standing_still_no_frame_has_a_wrong_voltage(tmp_path: Path, record_property: Any) -> None:
    """The bench is simulated here, in real time; the run and its guard are processes of their own, one pair for each mode."""
    for number in range(10 if LONG else 1):
        results: dict[str, StoodStill] = {}
        folders = {mode: tmp_path / f"{mode}_{number}" for mode in MODES}
        both = [threading.Thread(target=_stand_still, args=(folders[mode], mode, results)) for mode in MODES]
        for one in both:
            one.start()
        for one in both:
            one.join()
        for mode in MODES:
            found = results[mode]
            assert SILENCE_S - 0.5 < found.off_s < SILENCE_S + 4 * GUARD_ACTS_S, (mode, found.off_s)
            assert found.wrong == 0
            assert found.held > 300  # frames of the time in which nobody asked for any
            assert (found.ledger["assigned"] > 0) is (mode == "gated")  # nobody has read the record that would prove a list
            assert found.wrong_if_shifted > 0 or mode == "stepped"  # the control
            record_property("off_ms", found.off_s * 1e3)
            record_property("kept", f"{found.count} of {found.ledger['received']} acknowledged frames; 0 under a wrong voltage")


@dataclass(frozen=True)
class StoodStill:
    """A run that was stopped and woken up; `held` frames were taken meanwhile, and fetched."""

    off_s: float
    count: int
    held: int
    wrong: int
    wrong_if_shifted: int
    ledger: dict[str, Any]


def _stand_still(folder: Path, mode: str, results: dict[str, StoodStill]) -> None:
    folder.mkdir()
    server = BenchServer(BenchFiles().describe(None, {}))
    (folder / "served.toml").write_text(BenchFiles().served(None, {}, server.resources))

    def last(world: Any) -> tuple[float, int]:
        return world.terminal.record.voltage_v[-1], world.terminal.record.t_ns[-1]

    with server:
        bench = ServedBench(folder, Record(folder / "none"), folder / "served.toml", None)  # type: ignore[arg-type]
        with GuardedRun(bench, mode, on_s=4.0, off_s=2.8) as run:
            eventually(lambda: server.call(last)[0] == 20.0, 30, "20 V at the film")
            pause(0.7)
            run.signal(signal.SIGSTOP)
            stopped_ns = server.call(lambda world: world.now_ns())
            pause(STOPPED_S)
            voltage_v, off_ns = server.call(last)
            run.signal(signal.SIGCONT)
            code = run.end()
        assert code == 4, run.told
        assert voltage_v == 0.0
        [path] = run.out.glob("*.h5")
        file = open_run(path)
        rows = file.frames()
        truth = server.call(lambda world: truth_of(SimpleNamespace(world=world), file))  # type: ignore[arg-type]
        stopped_us = server.call(lambda world: world.personas["spectrometer"].device_clock.at(np.array([stopped_ns])))[0]
        results[mode] = StoodStill(
            off_s=(off_ns - stopped_ns) * 1e-9,
            count=file.count,
            held=int(np.sum(rows["device_time_us"] > stopped_us)),
            wrong=wrong_frames(rows, truth),
            wrong_if_shifted=wrong_frames(shifted(rows, 700), truth),
            ledger=dict(file.ledger),
        )


# --- R1: who can reach it ---------------------------------------------------------------------------------------------


def sockets_of(pid: int) -> set[str]:
    """The inodes of every socket that a process holds."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def reachable(pid: int) -> list[str]:
    """Addresses at which a process listens or takes datagrams, as the system's own tables say."""
    own, found = sockets_of(pid), []
    for table, listening in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        path = Path("/proc/net") / table
        for row in path.read_text().splitlines()[1:] if path.exists() else ():
            words = row.split()
            if words[9] in own and words[3] in listening:
                address = words[1].split(":")[0]
                found.append(".".join(str(byte) for byte in bytes.fromhex(address)[::-1]) if len(address) == 8 else address)
    return found


@linux
@pytest.mark.fault("R1")
def test_neither_run_nor_guard_nor_bench_listens_beyond_this_computer(served: ServedBench) -> None:
    with GuardedRun(served, "gated") as run:
        guard = run.guard_pid
        run.wait_for_voltage()
        pids = {"server": served.process.pid, "run": run.process.pid, "guard": guard}
        found = {name: reachable(pid) for name, pid in pids.items()}
        run.signal(signal.SIGINT)
        run.end()
    assert len(found["server"]) == len(default_bench().roles())
    assert found["guard"] == []
    assert set().union(*found.values()) == {"127.0.0.1"}


@linux
def test_a_socket_that_is_open_to_everybody_is_seen() -> None:
    """The control."""
    with closing(socket.create_server(("0.0.0.0", 0))), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:  # noqa: S104
        datagrams.bind(("0.0.0.0", 0))  # noqa: S104
        assert reachable(os.getpid()).count("0.0.0.0") == 2  # noqa: S104


# --- R5: real or simulated --------------------------------------------------------------------------------------------


class Witness:
    """A bench of ports on this computer that notice whoever calls."""

    def __init__(self, roles: Iterable[str]) -> None:
        self.listeners = {role: socket.create_server(("127.0.0.1", 0)) for role in roles}
        for listener in self.listeners.values():
            listener.setblocking(False)

    def resources(self, tables: dict[str, Any]) -> None:
        for role, listener in self.listeners.items():
            tables[role]["resource"] = f"TCPIP::127.0.0.1::{listener.getsockname()[1]}::SOCKET"

    def called(self) -> list[str]:
        """Who was called since the last look."""
        found = []
        for role, listener in self.listeners.items():
            try:
                listener.accept()[0].close()
                found.append(role)
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()


ROLES = ("voltage_source", "laser_trigger", "spectrometer")


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Witness]:
    """A real bench, as a file says (bench.toml), whose instruments notice a call; a short sequence (s.toml)."""
    witness = Witness(ROLES)
    monkeypatch.chdir(tmp_path)
    bench = other_bench(lambda tables: witness.resources(tables), _no_lines)
    Path("bench.toml").write_text(bench.source_text)
    Path("s.toml").write_text(SEQUENCE.format(mode="gated", on_s=0.12, off_s=0.11).replace("cycles = 20", "cycles = 1"))
    yield witness
    witness.close()


def _no_lines(tables: dict[str, Any]) -> None:
    for role in ("attenuator", "shutter", "energy_meter", "cw_shutter", "filter_wheel"):
        tables.pop(role, None)
    tables["pump"]["fluence_uj_cm2"] = 40.0


def texts(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))


@pytest.mark.fault("R5")
@pytest.mark.parametrize(
    "words",
    [
        ("run", "s.toml"),
        ("run", "s.toml", "--bench", "bench.toml", "--simulate"),
        ("off",),
        ("off", "--bench", "bench.toml", "--simulate"),
    ],
    ids=" ".join,
)
def test_what_is_simulated_calls_no_real_instrument_and_says_so(
    real: Witness, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(list(words))
    out, _ = capfd.readouterr()
    assert real.called() == []
    assert code == 0
    assert "SIMULATED" in out
    if words[0] == "off":
        assert "no real instrument was switched off" in out
        return
    [path] = Path("runs").glob("*.h5")
    run = open_run(path)
    assert run.header.simulated
    assert run.header.seed == 0


@pytest.mark.fault("R5")
def test_what_is_real_is_called_and_never_taken_for_simulated(
    real: Witness, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers, and nothing simulated steps in."""

    def no_world(*arguments: Any) -> None:
        raise AssertionError("a simulated bench was made")

    monkeypatch.setattr("sim_instruments.world.World", no_world)
    code = cli.main(["off", "--bench", "bench.toml"])
    out, err = capfd.readouterr()
    assert set(real.called()) == set(ROLES)
    assert code == 5
    assert "SIMULATED" not in out + err


@pytest.mark.fault("R5")
def test_a_bench_file_that_says_simulated_reaches_this_computer_only() -> None:
    for resource in ("TCPIP::192.0.2.20::5025::SOCKET", "GPIB0::24::INSTR", "USB0::0x05E6::0x2450::04412345::INSTR"):

        def served_there(tables: dict[str, Any], resource: str = resource) -> None:
            tables["simulated"] = True
            tables["voltage_source"]["resource"] = resource

        with pytest.raises(ConfigError) as caught:
            other_bench(served_there)
        assert "simulated-elsewhere" in [reason.code for reason in caught.value.reasons]


@pytest.mark.fault("R5")
def test_simulated_stands_in_the_file_the_figure_and_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = Session(out=tmp_path).run(OnOff(cycles=2, on_time_s=0.3, off_time_s=0.25))
    assert open_run(result.path).header.simulated
    assert "SIMULATED" in texts(result.figure)
    assert cli.main(["show", str(result.path)]) == 0
    assert capfd.readouterr().out.startswith("SIMULATED")
