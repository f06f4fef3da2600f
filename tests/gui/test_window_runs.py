"""Runs of real engine processes, seen and commanded from a window; windows and engines that die."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from window_desk import SHORT, WindowDesk, at_the_window

from gui import engine_process
from gui.application import ErrorNet
from gui.main_window import MainWindow
from rig.control import Ended
from rig.engine_file import living_engines
from rig.runfile import open_run

LONG = SHORT.format(cycles=500)


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[WindowDesk]:
    with at_the_window(qtbot, tmp_path, monkeypatch) as there:
        yield there


def lines(window: MainWindow) -> str:
    return "\n".join(window.messages.lines)


def alarms(window: MainWindow) -> list[str]:
    return [alarm.key for alarm in window.banner.alarms]


def test_a_whole_run_from_start_to_the_saved_file(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window()
    ended: list[Ended] = []
    window.link.said.connect(lambda event: ended.append(event) if isinstance(event, Ended) else None)
    window.start_text(SHORT.format(cycles=2), "short.toml")  # the engine is still being started
    qtbot.waitUntil(lambda: ended != [], timeout=20_000)
    run = open_run(Path(ended[0].file))
    assert (run.state, run.count) == ("done", 808)
    assert Path(ended[0].file).parent == desk.out.resolve()
    assert "Everything is off: confirmed by read-back" in window.controls.hardware.text()
    assert window.controls.start.isEnabled()
    assert alarms(window) == []


def test_stop_during_a_run_and_during_a_pause(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(LONG, "long.toml")
    desk.running(window)
    window.link.stop("test")
    desk.resting(window)
    assert "Run stopped (test)" in lines(window)
    window.messages._lines.clear()
    window.start_text(LONG, "long.toml")
    desk.running(window)
    window.pause()
    qtbot.waitUntil(lambda: window.link.status is not None and window.link.status.state == "paused", timeout=10_000)
    assert window.controls.resume.isVisible()
    assert not window.controls.pause.isVisible()
    window.link.stop("in the pause")
    window.link.stop("once more, while it stops")
    desk.resting(window)
    assert "Run stopped (in the pause)" in lines(window)
    assert [open_run(file).state for file in sorted(desk.out.glob("*.h5"))] == ["stopped", "stopped"]


def test_a_fault_from_the_menu_ends_the_run_and_the_window_says_what_to_do(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    [entry] = [action for action in window.actions() if action.text() == "Break it: breakdown"]
    entry.trigger()
    qtbot.waitUntil(lambda: "start a run first" in lines(window), timeout=3000)
    window.start_text(LONG, "long.toml")
    desk.running(window, 300)
    entry.trigger()
    desk.resting(window)
    said = lines(window)
    assert "SIMULATED fault from now on: breakdown" in said
    assert "The source reached its current limit" in said
    assert "check its resistance at 0.1 V" in said + " ".join(alarm.detail for alarm in window.banner.alarms)
    assert "confirmed by read-back" in said
    [path] = desk.out.glob("*.h5")
    assert open_run(path).state == "fault"
    assert not window.controls.start.isEnabled()  # latched until somebody has seen it


def test_stop_when_nothing_runs_is_taken_and_says_so(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window()
    desk.ready(window)
    window.link.stop()
    qtbot.waitUntil(lambda: "no run was under way" in lines(window), timeout=3000)
    window.start_text(SHORT.format(cycles=1), "short.toml")
    desk.resting(window)
    assert "Run done" in lines(window)


def test_a_paused_run_goes_on(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(SHORT.format(cycles=6), "short.toml")
    desk.running(window)
    window.pause()
    qtbot.waitUntil(lambda: window.link.status is not None and window.link.status.state == "paused", timeout=10_000)
    window.set_speed("free")
    window.resume()
    desk.resting(window)
    assert "Run done" in lines(window)


def test_a_sequence_that_the_compiler_refuses_is_told_with_its_code(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window()
    window.start_text(SHORT.format(cycles=2).replace("20.0", "1e3"), "bad.toml")
    qtbot.waitUntil(lambda: not window._starting, timeout=20_000)
    assert "bad.toml" in lines(window)
    assert "[" in lines(window).split("voltage_on_v")[1]
    assert not list(desk.out.glob("*.h5"))


def test_an_engine_that_is_killed_is_an_alarm_and_the_next_start_starts_another(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(LONG, "long.toml")
    desk.running(window, 50)
    assert window.link.engine is not None
    os.kill(window.link.engine.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: alarms(window) == ["gone"], timeout=3000)
    alarm = window.banner.alarms[0]
    assert "ended with it" in alarm.detail  # the simulated bench
    [file] = desk.out.glob("*.h5")
    assert str(file.resolve()) in alarm.detail
    assert "not known" in window.controls.hardware.text()
    assert not window.controls.stop.isEnabled()
    window.news.recover(str(file))
    qtbot.waitUntil(lambda: "rig recover: done" in lines(window), timeout=15_000)
    assert open_run(file).count >= 50
    window.start_text(SHORT.format(cycles=1), "short.toml")
    qtbot.waitUntil(lambda: "Run done" in lines(window), timeout=20_000)


def stands_still(pid: int) -> bool:
    return all("State:\tT" in task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGSTOP and /proc")
def test_a_stop_that_an_engine_does_not_answer_offers_rig_off(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(LONG, "long.toml")
    desk.running(window)
    assert window.link.engine is not None
    os.kill(window.link.engine.pid, signal.SIGSTOP)
    qtbot.waitUntil(lambda: stands_still(window.link.engine.pid), timeout=3000)  # else it answers in between, now and then
    window.link.stop("test")
    qtbot.waitUntil(lambda: "stop" in alarms(window), timeout=5000)
    alarm = next(one for one in window.banner.alarms if one.key == "stop")
    text, act = alarm.actions[0]
    assert "rig &off" in text
    act()
    qtbot.waitUntil(lambda: "rig off: every instrument confirms" in lines(window), timeout=20_000)
    os.kill(window.link.engine.pid, signal.SIGCONT)
    desk.resting(window)
    assert "Run stopped (test)" in lines(window)
    assert alarms(window) == []


# --- windows that end


@pytest.mark.fault("X2")
def test_a_window_that_is_killed_hurts_no_run_and_another_finds_it(desk: WindowDesk, qtbot: QtBot, tmp_path: Path) -> None:
    program = (
        "import sys; from PyQt5.QtCore import QTimer; import gui.main_window as m; from gui.commands import main\n"
        "begin = m.MainWindow.begin\n"
        "def begin_and_start(window):\n"
        "    begin(window); window._memory.speed = 'real'; window.start_text(sys.argv[1], 'long.toml')\n"
        "m.MainWindow.begin = begin_and_start\n"
        "main(['--out', sys.argv[2]])\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, SHORT.format(cycles=8), str(desk.out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        qtbot.waitUntil(lambda: list(desk.out.glob("*.h5")) != [], timeout=20_000)
    finally:
        other.kill()
        other.wait()
    [engine] = living_engines()
    window = desk.window()
    try:
        desk.running(window, 100)
        assert window.link.engine is not None
        assert window.link.engine.pid == engine.pid
        window.set_speed("free")
        desk.resting(window)
        [file] = desk.out.glob("*.h5")
        assert (open_run(file).state, open_run(file).count) == ("done", 3232)
        assert engine_process.STARTED == []
    finally:
        os.kill(engine.pid, signal.SIGKILL)


@pytest.mark.fault("X2")
@pytest.mark.qt_no_exception_capture
def test_a_slot_that_raises_leaves_run_and_window_alive(desk: WindowDesk, qtbot: QtBot, tmp_path: Path) -> None:
    """In every slot that hears the engine, at every event of a run."""
    window = desk.window()
    net = ErrorNet(tmp_path / "window.log")
    net.caught.connect(window.tell_caught)
    net.spread()
    try:

        def fail(_event: object) -> None:
            raise ZeroDivisionError("a view has broken")

        window.link.said.connect(fail)
        window.link.status_changed.connect(fail)
        window.start_text(SHORT.format(cycles=2), "short.toml")
        qtbot.waitUntil(lambda: "Run done" in lines(window), timeout=20_000)
        window.link.said.disconnect(fail)
        window.link.status_changed.disconnect(fail)
    finally:
        net.close()
    assert "ZeroDivisionError: a view has broken" in lines(window)
    assert "a view has broken" in (tmp_path / "window.log").read_text()
    [file] = desk.out.glob("*.h5")
    assert open_run(file).state == "done"


def test_closing_during_a_run_asks_and_keeps_it_running(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(SHORT.format(cycles=8), "short.toml")
    desk.running(window)
    desk.answer = "cancel"
    assert not window.close()
    assert window.link.runs
    desk.answer = "keep"
    assert window.close()
    assert desk.asked == ["short", "short"]
    again = desk.window()
    desk.running(again)
    again.set_speed("free")
    desk.resting(again)
    assert "Run done" in lines(again)


def test_closing_with_stop_ends_the_run_safely_first(desk: WindowDesk, qtbot: QtBot) -> None:
    window = desk.window(speed="real")
    desk.ready(window)
    window.start_text(LONG, "long.toml")
    desk.running(window)
    desk.answer = "stop"
    assert not window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=10_000)
    [file] = desk.out.glob("*.h5")
    assert open_run(file).state == "stopped"


def test_a_run_of_the_command_line_is_found_and_can_be_stopped(desk: WindowDesk, qtbot: QtBot, tmp_path: Path) -> None:
    """Its bench is simulated as fast as it can, so the run has to be long."""
    sequence = tmp_path / "long.toml"
    sequence.write_text(SHORT.format(cycles=4000))
    words = ["run", str(sequence), "--out", str(desk.out), "--quiet"]
    run = subprocess.Popen(
        [sys.executable, "-P", "-m", "rig.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        qtbot.waitUntil(lambda: list(desk.out.glob("*.h5")) != [], timeout=20_000)
        window = desk.window()
        desk.running(window)
        assert window.link.engine is not None
        assert window.link.engine.pid == run.pid
        window.link.stop("from the window")
        qtbot.waitUntil(lambda: "Run stopped (from the window)" in lines(window), timeout=10_000)
        assert run.wait(20) == 3
    finally:
        run.kill()
        run.wait()


def test_a_window_that_is_made_larger_and_smaller_gives_it_to_the_page_and_not_to_the_messages(
    desk: WindowDesk, qtbot: QtBot
) -> None:
    window = desk.window(begin=False)
    window.resize(1366, 740)
    qtbot.waitUntil(lambda: window._messages_height > 0, timeout=3000)
    qtbot.wait(50)
    before = window.docks["messages"].height()
    for size in ((1920, 1052), (1000, 640), (1366, 740)):
        window.resize(*size)
        qtbot.wait(50)
        assert abs(window.docks["messages"].height() - before) <= 2, size
