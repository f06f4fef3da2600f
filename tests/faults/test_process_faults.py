"""What ends, interrupts or stops the run's process, its guard or one of its threads: off, nothing lost, and it is told.

Judged by the record of the world or of the server. RIG_LONG=1 tries many more moments.
"""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from guarded_run import SEQUENCE, GuardedRun, ServedBench, eventually, pause, served_bench
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import truth_of, wrong_frames
from other_benches import nothing_in_the_beam, other_bench

from drivers.errors import RigError
from rig import cli
from rig.lifeline import Lifeline
from rig.measurements.on_off import OnOff
from rig.reduction import FrameReducer
from rig.runfile import open_run
from rig.sequence import Block, BlockMode, Sequence
from rig.session import MEASUREMENTS, Session
from sim_instruments import world as world_module
from sim_instruments.world import World

LONG = bool(os.environ.get("RIG_LONG"))
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX; Windows is a procedure of docs/faults.md")
S_MS = 100.0  # from knowing to off on the wire
NOTICED_MS = 1000.0  # a guard that is gone
GUARD_ACTS_MS = 250.0
QUICK_SILENCE_S = 0.6
Tell = Callable[[str, object], None]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[ServedBench]:
    with served_bench(tmp_path_factory.mktemp("served")) as bench:
        yield bench


# --- X4: an error in what a user wrote --------------------------------------------------------------------------------


class OwnEnding(BaseException):
    """A way out of somebody's own."""


class Unspeakable(Exception):  # noqa: N818 - a name for what it is
    """An error whose text is an error."""

    def __str__(self) -> str:
        raise ValueError("no text")


ERRORS: tuple[type[BaseException], ...] = (
    ValueError,
    ZeroDivisionError,
    MemoryError,
    RecursionError,
    StopIteration,
    AssertionError,
    OSError,
    Unspeakable,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    OwnEnding,
)
HOOKS = ("blocks", "observe", "dark", "rows")
BROKEN: list[Callable[[str], None]] = []  # what the hooks of this test's own measurement and reducer call


def reached(hook: str) -> None:
    for act in BROKEN:
        act(hook)


class Mine(OnOff):
    """A measurement that somebody wrote, with a mistake in it."""

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, object, None]:
        for block in super().blocks(rate_hz, mode):
            reached("blocks")
            yield block
        reached("blocks")


SHORT = {"cycles": 1, "on_time_s": 0.12, "off_time_s": 0.1, "settle_s": 0.01}


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Let the reducer say when it is called."""
    dark, rows = FrameReducer.dark, FrameReducer.rows

    def broken_dark(self: FrameReducer, *arguments: Any) -> Any:
        reached("dark")
        return dark(self, *arguments)

    def broken_rows(self: FrameReducer, *arguments: Any) -> Any:
        reached("rows")
        return rows(self, *arguments)

    monkeypatch.setattr(FrameReducer, "dark", broken_dark)
    monkeypatch.setattr(FrameReducer, "rows", broken_rows)
    yield
    BROKEN.clear()


def off_ms(world: Any, since_ns: int) -> float:
    """How long after a moment 0 V came to the film and the last pulse, by the world's record; 0 when before."""
    record, pulses = world.terminal.record, world.light_path.record.pulses
    assert record.voltage_v[-1] == 0.0
    last_ns = max(int(record.t_ns[-1]), int(pulses["t_ns"][-1]) if len(pulses) else 0)
    return max(0, last_ns - since_ns) * 1e-6


@pytest.mark.fault("X4")
@given(
    hook=st.sampled_from(HOOKS),
    kind=st.sampled_from(ERRORS),
    after=st.integers(0, 25),
    mode=st.sampled_from(["gated", "stepped"]),
)
@example(hook="rows", kind=Unspeakable, after=12, mode="gated")
@example(hook="blocks", kind=StopIteration, after=1, mode="gated")
@example(hook="observe", kind=OwnEnding, after=12, mode="stepped")
@example(hook="dark", kind=SystemExit, after=0, mode="stepped")
@settings(max_examples=300 if LONG else 8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_error_in_what_a_user_wrote_switches_off_and_keeps_the_frames(
    tmp_path_factory: pytest.TempPathFactory,
    hooks: None,
    record_property: Tell,
    hook: str,
    kind: type[BaseException],
    after: int,
    mode: str,
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    session = Session(other_bench(nothing_in_the_beam), simulate=True, out=folder)
    count, raised_ns = [0], list[int]()

    def act(name: str) -> None:
        if session.world is None or name != hook or raised_ns:
            return  # while it is planned nothing is wrong yet
        count[0] += 1
        if count[0] > after:
            raised_ns.append(session.world.now_ns())
            raise kind

    BROKEN[:] = [act]
    result: Any = None
    with suppress(*ERRORS):
        result = session.run(Sequence.of(Mine(**SHORT), mode=mode), observe=lambda progress: reached("observe"))
    world = session.world
    world.sleep(1.0)
    world.light_path.emit_until(world.now_ns())
    assert world.terminal.record.voltage_v[-1] == 0.0
    files = list(folder.glob("*.h5"))
    if not files:  # it was told of the preparations, and nothing had been switched on
        assert (hook, after) == ("observe", 0)
        assert set(world.terminal.record.voltage_v) == {0.0}
        assert not len(world.light_path.record.pulses)
        return
    run = open_run(files[0])
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
    assert run.count == run.ledger["received"]
    if not raised_ns:  # the hook was not called so often
        assert result.outcome.fault is None
        return
    took_ms = off_ms(world, raised_ns[0])
    assert took_ms <= S_MS
    record_property("off_ms", took_ms)
    record_property("kept", f"{run.count} of {run.ledger['received']} acknowledged frames")
    assert run.state == "fault"
    if result is not None:
        told = result.outcome.fault
        assert isinstance(told, kind) or isinstance(told.__cause__, kind)
    else:
        assert not issubclass(kind, Exception)


@pytest.mark.fault("X4")
def test_the_line_that_the_user_wrote_is_told_first(
    tmp_path: Path, hooks: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deep inside a library, where the last lines of a traceback say nothing to whoever wrote the measurement."""

    class Wrong(Mine):
        def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, object, None]:
            for number, block in enumerate(super().blocks(rate_hz, mode)):
                if number and BROKEN:
                    re.compile("(unbalanced")  # this line
                yield block

    monkeypatch.setitem(MEASUREMENTS, "on_off", Wrong)
    monkeypatch.chdir(tmp_path)
    text = SEQUENCE.format(mode="gated", on_s=0.15, off_s=0.12).replace("cycles = 20", "cycles = 1")
    (tmp_path / "s.toml").write_text(text)
    world_made: list[Any] = []

    def made(*arguments: Any) -> World:
        world_made.append(World(*arguments))
        BROKEN.append(lambda hook: None)  # from now on: the plan is done
        return world_made[0]

    monkeypatch.setattr(world_module, "World", made)
    assert cli.main(["run", "s.toml"]) == 4
    told = capfd.readouterr().err
    line = next(number for number, row in enumerate(Path(__file__).read_text("utf-8").splitlines(), 1) if "# this line" in row)
    [where] = re.findall(r"where: +(.+(?:\n {12}.+)*)", told)
    assert where.startswith(f"{Path(__file__).name}:{line} (blocks)"), told
    assert "off, confirmed by" in " ".join(told.split())
    assert world_made[0].terminal.record.voltage_v[-1] == 0.0


# --- X3: the guard is killed ------------------------------------------------------------------------------------------


@posix
@pytest.mark.fault("X3")
@pytest.mark.timeout(900)
def test_a_run_whose_guard_is_killed_at_any_moment_is_off_within_a_second(served: ServedBench, record_property: Tell) -> None:
    chance = random.Random(3)
    for number in range(30 if LONG else 1):
        with GuardedRun(served, ("gated", "stepped")[number % 2], on_s=0.6, off_s=0.5) as run:
            guard = run.guard_pid
            if number % 3 < 2:  # else while it prepares
                run.wait_for_voltage()
            pause(chance.uniform(0.0, 0.5))
            killed_ns = time.monotonic_ns()
            os.kill(guard, signal.SIGKILL)
            assert run.end() == 4
        took_ms = max(0.0, (served.record.zero_since_ns() - killed_ns) * 1e-6)
        pulse_ms = max(0.0, (served.record.last_pulse_ns() - killed_ns) * 1e-6)
        assert max(took_ms, pulse_ms) <= NOTICED_MS
        record_property("off_ms", max(took_ms, pulse_ms))
        assert "The guard process has died." in run.told


# --- X5, X6: told to end ----------------------------------------------------------------------------------------------


def all_kept(run: GuardedRun) -> str:
    """Say that every frame which the run says to have is in the file."""
    [path] = run.out.glob("*.h5")
    file = open_run(path)
    assert file.state == "stopped"
    assert file.count == file.ledger["received"] > 0
    assert file.ledger["assigned"] + file.ledger["unassigned"] + file.ledger["lost"] == file.ledger["planned"]
    return f"{file.count} of {file.ledger['received']} acknowledged frames"


@posix
@pytest.mark.fault("X5")
@pytest.mark.timeout(900)
def test_ctrl_c_one_to_ten_times_is_off_at_once(served: ServedBench, record_property: Tell) -> None:
    chance = random.Random(5)
    for times in range(1, 11) if LONG else (7,):
        mode = ("gated", "stepped")[times % 2]
        with GuardedRun(served, mode) as run:
            run.wait_for_voltage()
            pause(chance.uniform(0.0, 0.8))
            first_ns = run.signal(signal.SIGINT)
            for _ in range(times - 1):
                pause(chance.choice([0.0, 0.002, 0.02]))
                if run.process.poll() is None:
                    run.signal(signal.SIGINT)
            assert run.end() == 130
        took_ms = max(served.record.zero_since_ns() - first_ns, served.record.last_pulse_ns() - first_ns) * 1e-6
        assert took_ms <= 3 * S_MS  # of which the wait for the end of a conversation is a part
        record_property("off_ms", took_ms)
        record_property("kept", all_kept(run))


@posix
@pytest.mark.fault("X6")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"] if LONG else ["SIGTERM"])
def test_a_run_that_is_terminated_is_off_before_it_ends(served: ServedBench, record_property: Tell, name: str) -> None:
    with GuardedRun(served, {"SIGTERM": "gated", "SIGHUP": "stepped"}[name]) as run:
        run.wait_for_voltage()
        told_ns = run.signal(getattr(signal, name))
        assert run.end() == 3
    took_ms = max(served.record.zero_since_ns() - told_ns, served.record.last_pulse_ns() - told_ns) * 1e-6
    assert took_ms <= 3 * S_MS
    record_property("off_ms", took_ms)
    record_property("kept", all_kept(run))


TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "rig.cli", *sys.argv[1:]])
"""


@posix
@pytest.mark.fault("X6")
def test_a_terminal_that_is_closed_ends_the_run_safely(served: ServedBench, tmp_path: Path, record_property: Tell) -> None:
    """The system itself hangs up: the run has that terminal as its own, and nobody sends a signal."""
    import pty

    (tmp_path / "s.toml").write_text(SEQUENCE.format(mode="gated", on_s=1.2, off_s=1.0))
    master, slave = pty.openpty()
    words = ["run", str(tmp_path / "s.toml"), "--bench", str(served.bench), "--out", str(tmp_path / "runs"), "--quiet"]
    begun = len(served.record.update().voltages)
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        try:
            eventually(lambda: 20.0 in [v for _, v in served.record.update().voltages[begun:]], 30, "20 V at the film")
            pause(0.3)
            closed_ns = time.monotonic_ns()
            os.close(master)
            assert process.wait(timeout=30) == 3
        finally:
            process.kill()
    took_ms = max(served.record.zero_since_ns() - closed_ns, served.record.last_pulse_ns() - closed_ns) * 1e-6
    assert took_ms <= 3 * S_MS
    record_property("off_ms", took_ms)
    [path] = (tmp_path / "runs").glob("*.h5")
    file = open_run(path)
    assert (file.state, file.count) == ("stopped", file.ledger["received"])
    assert not list((tmp_path / "runs").glob("*.guard.json"))  # it was the run itself


# --- X14: a thread hangs or dies --------------------------------------------------------------------------------------


@pytest.mark.fault("X14")
def test_a_thread_that_never_lets_go_of_a_link_keeps_nothing_on(
    served: ServedBench, tmp_path: Path, record_property: Tell
) -> None:
    """The run waits for a link that a thread of its own holds and never lets go: the guard switches off meanwhile."""
    session = Session(served.with_silence(QUICK_SILENCE_S), out=tmp_path)
    links: list[Any] = []
    from rig import instruments as opening

    original = opening.open_instruments

    def opened(*arguments: Any) -> Any:
        found = original(*arguments)
        links.append(found.by_role["voltage_source"].adapter)
        return found

    let_go, held_ns = threading.Event(), list[int]()

    def hold() -> None:
        with links[0].conversation():
            held_ns.append(time.monotonic_ns())
            let_go.wait(20.0)

    thread = threading.Thread(target=hold)

    def observe(progress: Any) -> None:
        if not held_ns and served.record.update().voltages[-1][1] == 20.0:
            thread.start()
            eventually(lambda: held_ns, 5.0, "the link is held")

    seen: list[float] = []

    def watch() -> None:
        with suppress(AssertionError):
            eventually(lambda: held_ns, 20.0, "held")
            eventually(lambda: served.record.off, 5.0, "off")
            seen.append((served.record.zero_since_ns() - held_ns[0]) * 1e-6)
            pause(0.5)
        let_go.set()

    watcher = threading.Thread(target=watch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rig.session.open_instruments", opened)
        watcher.start()
        wanted = Sequence.of(OnOff(cycles=2, on_time_s=1.4, off_time_s=1.0), mode="gated")  # the source is read all the time
        result = session.run(wanted, observe=observe)
        watcher.join()
        thread.join()
    [took_ms] = seen
    assert took_ms <= QUICK_SILENCE_S * 1e3 + GUARD_ACTS_MS
    record_property("off_ms", took_ms)
    assert isinstance(result.outcome.fault, RigError)
    assert served.record.voltage_v == 0.0
    assert open_run(result.path).count == result.outcome.ledger.received > 0


@pytest.mark.fault("X14")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_that_is_deaf_to_its_guard_stops(
    served: ServedBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Tell
) -> None:
    """The thread that hears the guard dies."""
    hear, died_ns = Lifeline._hear, list[int]()

    def die(self: Lifeline, line: bytes) -> None:
        hear(self, line)
        if served.record.update().voltages[-1][1] == 20.0:
            died_ns.append(time.monotonic_ns())
            raise MemoryError

    monkeypatch.setattr(Lifeline, "_hear", die)
    result = Session(served.bench, out=tmp_path).run(OnOff(cycles=2, on_time_s=1.0, off_time_s=0.7))
    took_ms = (served.record.zero_since_ns() - died_ns[0]) * 1e-6
    assert took_ms <= NOTICED_MS
    record_property("off_ms", took_ms)
    assert "The guard process has died." in str(result.outcome.fault)
    assert result.outcome.safe.safe
    assert open_run(result.path).count == result.outcome.ledger.received > 0
