"""A person in front of the window: opens it, starts engines of their own folder, and leaves neither behind."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PyQt5.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from gui import engine_process
from gui.application import make_application
from gui.layout_memory import LayoutMemory
from gui.main_window import MainWindow
from rig.bench import default_bench, read_bench

SHORT = """\
title = "short"
sample = "test"
measurement = "on_off"
[parameters]
voltage_on_v = 20.0
on_time_s = 0.2
off_time_s = 0.2
cycles = {cycles}
fluence_uj_cm2 = 40.0
settle_s = 0.05
"""


class WindowDesk:
    """Opens windows; `answer` is what is said when a window asks before it closes, `asked` what it asked."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.out = folder / "runs"
        self.memory = folder / "layout.ini"
        self.answer = "keep"
        self.asked: list[str] = []
        self.windows: list[MainWindow] = []
        make_application("dark")

    def window(self, *, speed: str = "free", bench: Path | None = None, begin: bool = True) -> MainWindow:
        memory = LayoutMemory(self.memory)
        memory.speed = speed
        read = default_bench() if bench is None else read_bench(bench)
        window = MainWindow(read, bench, out=self.out, memory=memory)
        window.ask = self._ask
        self.windows.append(window)
        window.show()
        if begin:
            window.begin()
        return window

    def ready(self, window: MainWindow) -> None:
        """Wait until its engine is there."""
        self.qtbot.waitUntil(lambda: window.link.status is not None and not window._pace_due, timeout=20_000)

    def running(self, window: MainWindow, shots: int = 1) -> None:
        self.qtbot.waitUntil(
            lambda: window.link.runs and window.link.status is not None and window.link.status.shots_done >= shots,
            timeout=15_000,
        )

    def resting(self, window: MainWindow) -> None:
        self.qtbot.waitUntil(
            lambda: not window.link.runs and not window._starting and "Hardware:" in "".join(window.messages.lines),
            timeout=15_000,
        )

    def close(self) -> None:
        self.answer = "keep"
        for window in self.windows:
            window.close()
            window.deleteLater()
        for process in engine_process.STARTED:
            process.kill()
            process.wait()
        engine_process.STARTED.clear()

    def _ask(self, _window: QWidget, title: str) -> str:
        self.asked.append(title)
        return self.answer


@contextmanager
def at_the_window(qtbot: QtBot, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[WindowDesk]:
    monkeypatch.setenv("ITO_RIG_STATE", str(folder / "state"))
    desk = WindowDesk(qtbot, folder)
    try:
        yield desk
    finally:
        desk.close()
