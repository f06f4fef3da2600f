"""Ctrl-C, signals and kills at any moment: output off, pulses stopped, everything acquired kept."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_truth import off_ms
from desk import MODES, Bench, Desk, kept, told
from test_command_line import sequence

from rig import OnOff, Session
from rig.runfile import open_run
from rig.runner import Progress

# --- stops ------------------------------------------------------------------------------------------------------------


def press(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


_random = random.Random(20)
PARTS = [0.0, 0.005, 0.4, 0.8, 0.99, *sorted(_random.uniform(1.01, 1.88) for _ in range(12))]
_conversations: dict[str, tuple[int, int]] = {}


def conversations(desk: Desk, mode: str) -> tuple[int, int]:
    """How many an undisturbed run has up to its first voltage, and up to the end of its last."""
    if mode not in _conversations:
        first: list[int] = []
        changes: list[int] = []

        def witness(bench: Bench) -> None:
            set_voltage = bench.world.terminal.set_voltage

            def noted(voltage_v: float, t_ns: int) -> None:
                set_voltage(voltage_v, t_ns)
                changes.append(bench.conversations)
                if voltage_v > 15:
                    first.append(bench.conversations)

            bench.world.terminal.set_voltage = noted  # type: ignore[method-assign]

        desk.tamper = witness
        assert desk.rig("run", sequence(mode=mode, cycles=2), "--out", "undisturbed", "--quiet").code == 0
        desk.tamper = lambda bench: None
        _conversations[mode] = first[0], changes[-1]
    return _conversations[mode]


@pytest.mark.fault("X5")
@pytest.mark.parametrize(("part", "mode"), [(part, MODES[number % 2]) for number, part in enumerate(PARTS)])
def test_ctrl_c_at_any_moment(desk: Desk, mode: str, part: float, record_property: Callable[[str, object], None]) -> None:
    """`part` is of the conversations before the first voltage, and beyond 1 of those after it."""
    first, last = conversations(desk, mode)
    moment = 1 + round(part * first) if part <= 1 else first + round((part - 1) * (last - first))
    pressed: list[int] = []

    def first() -> None:
        pressed.append(desk.bench.world.now_ns())
        press(signal.SIGINT)()

    desk.at_conversation = {moment + delay: press(signal.SIGINT) for delay in range(2, 2 + moment % 9)}  # 1 to 10 times
    desk.at_conversation[moment] = first
    said = desk.rig("run", sequence(mode=mode, cycles=2))
    assert said.code == 130
    message = said.err[said.err.index("Stopped (Ctrl-C)") :]  # before it stands one line for each time it was pressed
    told(message, "Stopped (Ctrl-C) after", "off, confirmed by laser trigger, voltage source, spectrometer", "rig show")
    assert desk.bench.is_off()
    record_property("off_ms", off_ms(desk.bench.world, pressed[0]))
    run = kept("stopped")
    rows = run.frames()
    record_property("kept", f"{run.count} of {run.ledger['received']} frames")
    assert (run.count > 0) or part <= 1
    assert set(rows["state"][rows["flags"] == 0].tolist()) <= {0, 1}
    if moment % 3 == 0:
        assert desk.rig("show", str(run.path)).code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.fault("X6")
@pytest.mark.parametrize(("name", "why"), [("SIGTERM", "terminated"), ("SIGHUP", "terminal closed")])
def test_terminate_and_hang_up(desk: Desk, name: str, why: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"{name} is not of this system")
    before = signal.getsignal(getattr(signal, name))
    desk.at_conversation = {700: press(getattr(signal, name))}  # frames have come
    said = desk.rig("run", sequence("a.toml", cycles=4), sequence("b.toml"))
    assert said.code == 3
    told(said.err, f"Stopped ({why}) after", "off, confirmed by")
    assert desk.bench.is_off()
    assert kept("stopped").count > 0  # and the second sequence was not begun
    assert "not run" in said.out
    assert signal.getsignal(getattr(signal, name)) is before


@pytest.mark.fault("X5", "W8")
def test_a_stop_is_not_allowed_to_hide_an_unknown_state(desk: Desk) -> None:
    def stop_and_cut() -> None:
        press(signal.SIGINT)()
        desk.bench.silence("voltage_source")

    desk.at_conversation = {470: stop_and_cut}
    said = desk.rig("run", sequence())
    assert said.code == 5
    told(said.err, "NOT CONFIRMED", "voltage source")


# --- as a process -----------------------------------------------------------------------------------------------------


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rig.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def frames_arrive(process: subprocess.Popen[str], more_than: int = 200) -> None:
    """Wait until the run file of a process holds some frames."""
    for _ in range(3000):
        assert process.poll() is None, process.communicate()
        found = [open_run(path) for path in Path("runs").glob("*.h5")]
        if found and found[0].count > more_than:
            return
        time.sleep(0.01)  # noqa: TID251 - a real process in real time
    raise AssertionError("no frames")


@pytest.mark.fault("X5")
def test_a_real_ctrl_c(desk: Desk) -> None:
    with started("run", sequence(on_s=2.0, off_s=2.0, cycles=50)) as process:
        frames_arrive(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    told(err, "Ctrl-C: stopping safely", "Stopped (Ctrl-C) after", "off, confirmed by")
    assert "SIMULATED" in out
    ledger = kept("stopped").ledger
    assert 200 < 0.9 * ledger["received"] < ledger["assigned"]


@pytest.mark.fault("X1")
def test_show_and_recover_after_a_kill(desk: Desk) -> None:
    with started("run", sequence(on_s=0.5, off_s=0.5, cycles=200)) as process:
        frames_arrive(process, 1500)
        [path] = Path("runs").glob("*.h5")
        live = desk.rig("show", str(path))
        process.kill()
        process.communicate(timeout=30)
    assert live.code == 0
    assert "being written now" in live.out
    said = desk.rig("show", str(path))
    assert said.code == 0
    for words in ("SIMULATED", "unfinished", "rig recover", "switched", "535."):
        assert words in said.out
    assert path.with_suffix(".png").exists()
    frames = open_run(path).count
    assert desk.rig("recover", str(path)).code == 0
    run = kept("interrupted")
    assert (run.count, run.trimmed) == (frames, True)


@pytest.mark.fault("X6")
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")
def test_a_terminal_that_closes(desk: Desk) -> None:
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "rig.cli", "run", sequence(on_s=2.0, off_s=2.0, cycles=50)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        for _ in range(3000):
            if (found := [open_run(path) for path in Path("runs").glob("*.h5")]) and found[0].count > 200:
                break
            time.sleep(0.01)  # noqa: TID251 - a real process in real time
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 3
    assert kept("stopped").count > 200


@pytest.mark.fault("X5")
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_a_script_ends_the_run_and_is_passed_on(tmp_path: Path, ending: type[BaseException]) -> None:
    """Without the command line's signal handling, as in a notebook."""
    session = Session(out=tmp_path)

    def observe(progress: Progress) -> None:
        if progress.shots_done > 100:
            raise ending

    with pytest.raises(ending) as raised:
        session.run(OnOff(cycles=1, on_time_s=0.2, off_time_s=0.2), observe=observe)
    [path] = tmp_path.glob("*.h5")
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert open_run(path).count > 100
    [note] = raised.value.__notes__
    assert str(path) in note
    assert "voltage source: confirmed by read-back" in note
