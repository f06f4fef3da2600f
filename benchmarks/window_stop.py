"""How long after the key a Stop is with the engine, while the window draws flat out and a run goes on in real time.

The key is a real key event of Qt, the engine a process of its own. Counted are the time until the line was handed to the
operating system ("on the wire") and the time until the engine's answer was heard.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QEvent, Qt, QTimer
from PyQt5.QtGui import QKeyEvent
from PyQt5.QtWidgets import QApplication

from gui import engine_process, stop_line
from gui.application import make_application
from gui.layout_memory import LayoutMemory
from gui.main_window import MainWindow
from rig.bench import default_bench

SEQUENCE = """\
title = "stop"
sample = "none"
measurement = "on_off"
[parameters]
on_time_s = 0.5
off_time_s = 0.5
cycles = 200
fluence_uj_cm2 = 40.0
"""


class Bench:
    """A window with a run under way; stops it by key and starts it again."""

    def __init__(self, folder: Path) -> None:
        self.application = make_application("dark")
        memory = LayoutMemory(folder / "layout.ini")
        memory.speed = "real"
        self.window = MainWindow(default_bench(), out=folder / "runs", memory=memory)
        self.window.resize(1920, 1080)
        self.window.show()
        self.window.begin()
        self.drawn = 0
        self.wire_ns = self.answer_ns = self.key_ns = 0
        self._repaint = QTimer()
        self._repaint.timeout.connect(self._draw)
        self.window.link.stop_answered.connect(lambda _: setattr(self, "answer_ns", time.monotonic_ns()))
        press = stop_line.StopLine.press

        def timed(line: stop_line.StopLine, command: object) -> bool:
            sent = press(line, command)
            self.wire_ns = time.monotonic_ns()
            return sent

        stop_line.StopLine.press = timed

    def _draw(self) -> None:
        self.window.grab()  # everything, every time the loop is idle
        self.drawn += 1

    def until(self, what: Callable[[], object], within_s: float = 30.0) -> None:
        end = time.monotonic() + within_s
        while not what():
            self.application.processEvents()
            if time.monotonic() > end:
                raise SystemExit("\n".join(["not in time:", *self.window.messages.lines]))

    def once(self) -> tuple[float, float, float]:
        """Return ms to the wire and to the answer, and how long one drawing of the window takes (ms)."""
        window = self.window
        window.start_text(SEQUENCE, "stop.toml")
        self.until(lambda: window.link.runs and window.link.status is not None and window.link.status.shots_done > 300)
        self._repaint.start(0)
        began, self.drawn = time.monotonic(), 0
        self.until(lambda: time.monotonic() - began > 0.7)
        drawing_ms = 1e3 * (time.monotonic() - began) / max(1, self.drawn)
        self.wire_ns = self.answer_ns = 0
        # the key comes while a drawing is under way: posted, so that it waits for its turn
        self.key_ns = time.monotonic_ns()
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_F12, Qt.KeyboardModifier.NoModifier)
        QApplication.postEvent(window, event)
        self._draw()
        self.until(lambda: self.answer_ns > 0)
        self._repaint.stop()
        self.until(lambda: not window.link.runs)
        return (self.wire_ns - self.key_ns) * 1e-6, (self.answer_ns - self.key_ns) * 1e-6, drawing_ms

    def close(self) -> None:
        self.window.ask = lambda *_: "keep"
        self.window.close()
        for process in engine_process.STARTED:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ITO_RIG_STATE"] = str(Path(folder) / "state")
        bench = Bench(Path(folder))
        try:
            told = [bench.once() for _ in range(options.times)]
        finally:
            bench.close()
    drawing_ms = statistics.median(row[2] for row in told)
    print(f"{options.times} times F12, window 1920 x 1080 drawn flat out, {drawing_ms:.0f} ms a drawing")
    for name, column in (("key to wire", 0), ("key to answer heard", 1)):
        values = sorted(row[column] for row in told)
        print(f"{name:22} median {statistics.median(values):6.1f} ms   worst {values[-1]:6.1f} ms   (aim: 100 ms to the wire)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
