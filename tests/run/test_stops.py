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
from desk import MODES, Desk, kept, told
from test_command_line import sequence

from rig import OnOff, Session
from rig.runfile import open_run
from rig.runner import Progress

# --- stops ------------------------------------------------------------------------------------------------------------


def press(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


LAST_CONVERSATION = 510  # of such a run, a few before its end
_random = random.Random(20)
MOMENTS = sorted({1, 2, 3, 40, *_random.sample(range(41, 440), 4), *_random.sample(range(440, LAST_CONVERSATION), 9)})


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment(desk: Desk, moment: int) -> None:
    mode = MODES[moment % 2]
    desk.at_conversation = {moment + delay: press(signal.SIGINT) for delay in (0, *range(2, 2 + moment % 9))}  # 1 to 10 times
    said = desk.rig("run", sequence(mode=mode, cycles=2))
    assert said.code == 130
    told(said.err, "Stopped (Ctrl-C) after", "off, confirmed by laser trigger, voltage source, spectrometer", "rig show")
    assert desk.bench.is_off()
    run = kept("stopped")
    rows = run.frames()
    assert set(rows["state"][rows["flags"] == 0].tolist()) <= {0, 1}
    if moment % 3 == 0:
        assert desk.rig("show", str(run.path)).code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("name", "why"), [("SIGTERM", "terminated"), ("SIGHUP", "terminal closed")])
def test_terminate_and_hang_up(desk: Desk, name: str, why: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"{name} is not of this system")
    before = signal.getsignal(getattr(signal, name))
    desk.at_conversation = {560: press(getattr(signal, name))}  # frames have come
    said = desk.rig("run", sequence("a.toml", cycles=4), sequence("b.toml"))
    assert said.code == 3
    told(said.err, f"Stopped ({why}) after", "off, confirmed by")
    assert desk.bench.is_off()
    assert kept("stopped").count > 0  # and the second sequence was not begun
    assert "not run" in said.out
    assert signal.getsignal(getattr(signal, name)) is before


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
