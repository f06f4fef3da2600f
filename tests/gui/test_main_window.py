"""What the window says and offers in every state of its engine, its keys, its memory, and errors inside it."""

import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from engine_stub import EngineStub, stub_engine
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QApplication, QDialog, QLineEdit, QVBoxLayout
from pytestqt.qtbot import QtBot
from window_desk import WindowDesk, at_the_window

from gui import page_table, theme
from gui.application import MAX_TOLD, ErrorNet
from gui.layout_memory import LayoutMemory
from gui.main_window import MainWindow
from gui.message_area import Alarm, AlarmBanner
from gui.run_controls import hardware_words
from gui.window_menus import SHORTCUTS
from rig.control import Acknowledge, Ended, EngineState, ErrorWords, HardwareWords
from rig.lifeline import GUARD_SUFFIX


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[WindowDesk]:
    monkeypatch.setattr("gui.main_window.PAGES", ())
    with at_the_window(qtbot, tmp_path, monkeypatch) as there:
        yield there


@pytest.fixture
def stub() -> Generator[EngineStub]:
    with stub_engine() as engine:
        yield engine


@pytest.fixture
def window(desk: WindowDesk, stub: EngineStub) -> MainWindow:
    """A window without pages, attached to an engine that says what the test wants."""
    one = desk.window(begin=False)
    one.link.attach(stub.file)
    desk.ready(one)
    return one


def be(stub: EngineStub, window: MainWindow, qtbot: QtBot, state: EngineState, latched: str = "") -> None:
    stub.state, stub.latched = state, latched
    window.link._ask()
    qtbot.waitUntil(lambda: window.link.status is not None and window.link.status.state == state, timeout=3000)


def off(confirmation: str, role: str = "voltage_source", detail: str = "said nothing") -> HardwareWords:
    return HardwareWords(role=role, confirmation=confirmation, detail=detail)


def end(stub: EngineStub, *hardware: HardwareWords, error: ErrorWords | None = None) -> None:
    assert stub.server is not None
    stub.server.publish(Ended(file="/r.h5", state="fault" if error else "stopped", exit_code=3, hardware=hardware, error=error))


# --- in sight


def test_what_is_simulated_says_so_in_the_title_and_in_the_window(window: MainWindow) -> None:
    assert window.windowTitle().startswith("SIMULATED")
    assert window.controls.simulated.isVisible()
    assert window.controls.speed.isVisible()


def test_a_real_bench_says_nothing_of_the_sort(desk: WindowDesk, tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    default = (Path(sys.modules["rig"].__file__ or "").parent / "default_bench.toml").read_text()
    path.write_text(default)
    window = desk.window(bench=path, begin=False)
    assert window.context.simulated == window.context.bench.simulated
    if not window.context.simulated:
        assert "SIMULATED" not in window.windowTitle()
        assert "lab.toml" in window.windowTitle()
        assert not window.controls.simulated.isVisible()
    assert not window.controls.speed.isVisible()  # time is real behind resources


@pytest.mark.parametrize(
    ("state", "start", "pause", "resume"),
    [
        ("idle", True, False, False),
        ("running", False, True, False),
        ("paused", False, False, True),
        ("stopping", False, False, False),
        ("latched", False, False, False),
    ],
)
def test_stop_can_be_pressed_in_every_state_and_the_rest_where_it_makes_sense(
    window: MainWindow, stub: EngineStub, qtbot: QtBot, state: EngineState, start: bool, pause: bool, resume: bool
) -> None:
    be(stub, window, qtbot, state, "a fault" if state == "latched" else "")
    controls = window.controls
    assert controls.stop.isEnabled()
    assert controls.stop.isVisible()
    assert controls.start.isEnabled() == start
    assert (controls.pause.isVisible() and controls.pause.isEnabled()) == pause
    assert (controls.resume.isVisible() and controls.resume.isEnabled()) == resume
    qtbot.mouseClick(controls.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "stop" in stub.words, timeout=3000)
    be(stub, window, qtbot, "idle")


def test_the_stop_key_works_while_a_text_has_the_focus_and_inside_a_dialog(
    window: MainWindow, stub: EngineStub, qtbot: QtBot
) -> None:
    dialog = QDialog(window)
    text = QLineEdit(dialog)
    QVBoxLayout(dialog).addWidget(text)
    dialog.setModal(True)
    dialog.show()
    text.setFocus()
    qtbot.keyClicks(text, "1.5")
    qtbot.keyClick(text, Qt.Key.Key_F12)
    qtbot.waitUntil(lambda: stub.words.count("stop") == 1, timeout=3000)
    assert text.text() == "1.5"
    assert dialog.isVisible()
    dialog.close()


def test_a_held_stop_key_is_one_stop(window: MainWindow, stub: EngineStub, qtbot: QtBot) -> None:
    from PyQt5.QtCore import QEvent
    from PyQt5.QtGui import QKeyEvent

    for repeated in (False, True, True, True):
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_F12, Qt.KeyboardModifier.NoModifier, "", repeated)
        QApplication.sendEvent(window, event)
    qtbot.waitUntil(lambda: "stop" in stub.words, timeout=3000)
    qtbot.wait(100)
    assert stub.words.count("stop") == 1


def test_a_run_that_does_not_end_after_its_stop_was_taken_is_an_alarm(
    window: MainWindow, stub: EngineStub, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gui.engine_news.SAFE_WITHIN_MS", 200)
    be(stub, window, qtbot, "running")
    window.link.stop("test")
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    assert "has not ended" in window.banner.alarms[0].what
    end(stub, off("CONFIRMED"))
    qtbot.waitUntil(lambda: not window.banner.isVisible(), timeout=3000)


# --- what was confirmed


def test_what_was_confirmed_and_what_not_is_said_by_name(window: MainWindow, stub: EngineStub, qtbot: QtBot) -> None:
    end(stub, off("CONFIRMED", "laser_trigger", "outputs off"), off("CONFIRMED", "shutter", "closed"))
    qtbot.waitUntil(lambda: "Everything is off" in window.controls.hardware.text(), timeout=3000)
    assert "laser trigger, shutter" in window.controls.hardware.text()
    assert window.banner.alarms == ()


@pytest.mark.parametrize("doubt", ["SENT", "UNKNOWN", "STILL_ON"])
def test_what_is_not_confirmed_is_shouted_until_somebody_acknowledges(
    window: MainWindow, stub: EngineStub, qtbot: QtBot, doubt: str
) -> None:
    stub.state, stub.latched = "latched", "off could not be confirmed"
    end(stub, off("CONFIRMED", "shutter"), off(doubt))
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    assert window.controls.hardware.text().startswith("NOT CONFIRMED OFF")
    assert "voltage source (said nothing)" in window.banner.alarms[0].detail
    assert "front panel" in window.banner.alarms[0].detail
    qtbot.wait(700)  # what the engine says of itself later takes nothing back
    assert window.banner.isVisible()
    stub.state, stub.latched = "idle", ""
    qtbot.keyClick(window, Qt.Key.Key_F9)
    qtbot.waitUntil(lambda: "acknowledge" in stub.words, timeout=3000)
    assert not window.banner.isVisible()


def test_worst_comes_first_in_the_words_about_the_hardware() -> None:
    words, safe = hardware_words([off("CONFIRMED", "shutter"), off("STILL_ON", "laser_trigger", "says on")])
    assert words.startswith("NOT OFF by its own word")
    assert "laser trigger (says on)" in words.split(";")[0]
    assert not safe


def test_a_fault_says_what_to_do_and_acknowledging_it_tells_the_engine(
    window: MainWindow, stub: EngineStub, qtbot: QtBot
) -> None:
    stub.state, stub.latched = "latched", "the current limit was reached"
    words = ErrorWords(kind="RigError", what="The current limit was reached.", next_step="look at the contacts")
    end(stub, off("CONFIRMED"), error=words)
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    assert "current limit" in window.banner.alarms[0].what
    assert "look at the contacts" in window.banner.alarms[0].detail
    window.banner.acknowledge()
    qtbot.waitUntil(lambda: any(isinstance(command, Acknowledge) for command, _ in stub.taken), timeout=3000)


def test_a_latched_engine_that_is_found_is_explained(window: MainWindow, stub: EngineStub, qtbot: QtBot) -> None:
    be(stub, window, qtbot, "latched", "the shutter did not close")
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    assert "the shutter did not close" in window.banner.alarms[0].what
    be(stub, window, qtbot, "idle")  # somebody else has acknowledged it
    qtbot.waitUntil(lambda: not window.banner.isVisible(), timeout=3000)


def test_what_the_guard_did_is_told_when_an_engine_has_died(
    window: MainWindow, stub: EngineStub, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window.news, "_in_process", False)
    monkeypatch.setattr("gui.engine_news.GUARD_LOOKS_MS", (50, 200))
    file = tmp_path / "r.h5"
    be(stub, window, qtbot, "running")
    assert window.link.status is not None
    window.link._set(window.link.status.model_copy(update={"file": str(file)}))
    assert stub.server is not None
    stub.server.close("killed")
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    assert "has not written yet" in window.banner.alarms[0].detail
    file.with_suffix(GUARD_SUFFIX).write_text('{"guard": [{"reason": "the engine has died", "text": "all confirmed off"}]}')
    qtbot.waitUntil(lambda: "all confirmed off" in window.banner.alarms[0].detail, timeout=3000)


def test_alarms_wait_for_each_other() -> None:
    banner = AlarmBanner()
    seen: list[str] = []
    for key in ("a", "b", "a"):
        banner.shout(Alarm(key, f"alarm {key}", acknowledged=lambda key=key: seen.append(key)))
    assert [alarm.key for alarm in banner.alarms] == ["a", "b"]
    banner.acknowledge()
    banner.acknowledge()
    banner.acknowledge()
    assert seen == ["a", "b"]


# --- closing


def test_closing_asks_only_while_a_run_is_under_way(
    desk: WindowDesk, window: MainWindow, stub: EngineStub, qtbot: QtBot
) -> None:
    be(stub, window, qtbot, "running")
    desk.answer = "cancel"
    assert not window.close()
    be(stub, window, qtbot, "idle")
    assert window.close()
    assert len(desk.asked) == 1


def test_a_window_that_was_to_close_after_stop_stays_open_for_an_alarm(
    desk: WindowDesk, window: MainWindow, stub: EngineStub, qtbot: QtBot
) -> None:
    be(stub, window, qtbot, "running")
    desk.answer = "stop"
    assert not window.close()
    stub.state, stub.latched = "latched", "x"
    end(stub, off("UNKNOWN"))
    qtbot.waitUntil(window.banner.isVisible, timeout=3000)
    qtbot.wait(100)
    assert window.isVisible()


# --- errors inside the window


def told(window: MainWindow) -> list[str]:
    return [line for line in window.messages.lines if "RuntimeError: broken" in line]


@pytest.mark.qt_no_exception_capture
def test_an_error_in_a_thread_and_one_in_a_slot_are_told_and_written_down(
    window: MainWindow, qtbot: QtBot, tmp_path: Path
) -> None:
    net = ErrorNet(tmp_path / "log")
    net.caught.connect(window.tell_caught)
    net.spread()
    try:

        def fail() -> None:
            raise RuntimeError("broken")

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        window.controls.start_asked.connect(fail)
        window.controls.start_asked.disconnect(window.start)
        for _ in range(MAX_TOLD + 20):
            window.controls.start_asked.emit()
        qtbot.waitUntil(lambda: len(told(window)) >= MAX_TOLD, timeout=3000)
        qtbot.wait(50)
    finally:
        net.close()
    assert len(told(window)) == MAX_TOLD
    assert "not told any more" in "".join(told(window))
    assert (tmp_path / "log").read_text().count("RuntimeError: broken") == MAX_TOLD


def test_a_page_that_cannot_be_made_leaves_the_window_usable(
    desk: WindowDesk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_context: object) -> None:
        raise ImportError("no such page")

    entry = page_table.PageEntry("run", "Run", "Ctrl+1", "the run", broken)  # type: ignore[arg-type]
    monkeypatch.setattr("gui.main_window.PAGES", (entry,))
    window = desk.window(begin=False)
    window._make_visible_pages()
    assert window.page("run") is None
    assert sum("cannot be shown" in line for line in window.messages.lines) == 1


# --- memory


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00\xff" * 500, b"[General]\ntheme=neon\nspeed=@Invalid()\ngeometry=5\ndocks=@Variant(\\0\\0)\n", b"[" * 300_000],
)
def test_whatever_its_memory_holds_a_window_opens(desk: WindowDesk, garbage: bytes) -> None:
    desk.memory.write_bytes(garbage)
    memory = LayoutMemory(desk.memory)
    assert memory.theme in theme.NAMES
    assert memory.speed == "real"
    assert desk.window(begin=False).isVisible()


def test_a_layout_that_was_tampered_with_is_not_handed_to_qt(desk: WindowDesk) -> None:
    window = desk.window(begin=False)
    memory = LayoutMemory(desk.memory)
    memory.remember(window)
    assert LayoutMemory(desk.memory).restore(window)
    text = desk.memory.read_text()
    where = text.index("docks=") + 40
    # one line longer: Qt reads a file of the same length within the same moment from its memory
    desk.memory.write_text(text[:where] + ("0" if text[where] != "0" else "1") + text[where + 1 :] + "\n")
    assert not LayoutMemory(desk.memory).restore(window)


def test_theme_and_speed_are_remembered(desk: WindowDesk, window: MainWindow) -> None:
    window.use_theme("light")
    window.set_speed("ten")
    window.close()
    memory = LayoutMemory(desk.memory)
    assert (memory.theme, memory.speed) == ("light", "ten")
    theme.apply(QApplication.instance(), "dark")  # type: ignore[arg-type]


def test_no_key_means_two_things(desk: WindowDesk, window: MainWindow) -> None:
    keys = [action.shortcut().toString() for action in window.actions() if not action.shortcut().isEmpty()]
    keys += [button.shortcut().toString() for button in (window.controls.start, window.controls.pause)]
    keys += ["F12", "F9"]
    assert len(keys) == len(set(keys))
    listed = {key for key, _ in SHORTCUTS}
    assert set(keys) <= listed
