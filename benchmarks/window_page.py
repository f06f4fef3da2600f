"""The whole run page at 30 frames/s beside a program that writes: frame rate, share of a core, delay of the writer, memory.

A process writes a run file in real time as the runner does (rows, spectra, rewritten rows, ledger) and notes how late a batch
is in the file, against the time at which its last frame was due. The page follows it without a screen; compare with none.

python benchmarks/window_page.py [frames of the longest run, 1000000]
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PyQt5.QtCore import QObject, QTimer, pyqtSignal
from PyQt5.QtWidgets import QApplication
from window_drawing import BATCH_S, STRETCH, Writer, resident_bytes

from gui import theme
from gui.run_page import RunPage

MEASURED_S = 10.0
WARM_S = 2.0
SIZE = (1366, 640)
PIXELS = 2136


def write(folder: Path, rate_hz: int) -> None:
    """Write in real time; print p50, p99 and the longest delay (ms) from a batch's last frame to its being stored."""
    frames = round(rate_hz * (MEASURED_S + WARM_S + 4))
    writer = Writer(folder, frames + STRETCH, PIXELS, round(1e6 / rate_hz))
    print("ready", flush=True)
    delays: list[float] = []
    start = time.monotonic()
    while writer.count < frames:
        time.sleep(BATCH_S)  # noqa: TID251 - real time is what is measured
        due = min(frames, int((time.monotonic() - start) * rate_hz)) - writer.count
        if due > 0:
            writer.arrive(min(due, STRETCH - writer.count % STRETCH))
            now = time.monotonic() - start
            if now > WARM_S:
                delays.append(1e3 * (now - writer.count / rate_hz))
    writer.file.close()
    print(*np.percentile(delays, (50, 99, 100)).round(2), writer.count, flush=True)


class Link(QObject):
    said = pyqtSignal(object)
    status_changed = pyqtSignal(object)
    status = None


def new_page(length: str) -> RunPage:
    context: Any = SimpleNamespace(bench=None, link=Link(), out=Path.cwd(), simulated=True)
    page = RunPage(context)
    page.length.setCurrentText(length)
    page.resize(*SIZE)
    page.show()
    return page


def wait(application: QApplication, seconds: float) -> None:
    QTimer.singleShot(round(1e3 * seconds), application.quit)
    application.exec()


def follow(application: QApplication, rate_hz: int, length: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--write", folder, str(rate_hz)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None  # noqa: S101
            writer.stdout.readline()
            if length is None:
                print(f"  {rate_hz:8}  {'(no window)':14} {'':8} {'':8} {'':9} {'':7} {writer.stdout.readline().strip()}")
                return
            page = new_page(length)
            page.show_run(next(Path(folder).glob("*.h5")))
            wait(application, WARM_S)
            drawn, used, begin = page.views.drawings, time.process_time(), time.perf_counter()
            wait(application, MEASURED_S)
            elapsed = time.perf_counter() - begin
            rate, core = (page.views.drawings - drawn) / elapsed, (time.process_time() - used) / elapsed
            behind = page.feed.catching_up
            words = writer.stdout.readline().strip()
            wait(application, 0.5)
            seen = 0 if page.feed.traces is None else len(page.feed.traces)
            page.close_page()
            page.close()
        print(f"  {rate_hz:8}  {length:14} {rate:8.1f} {core:8.2f} {seen:9} {behind:7} {words}")


def memory(application: QApplication, longest: int) -> None:
    """Read a long run (128 pixels, so that the disk is not what is measured) and redraw all of it."""
    print(f"\n  {'frames':>9} {'resident MB':>12} {'bytes/frame':>12} {'redraw of the page, ms':>24}")
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), longest + STRETCH, 128)
        page = new_page("Whole run")
        writer.arrive(STRETCH)
        page.show_run(writer.file.path)
        before = before_frames = 0
        for share in (0.05, 0.25, 0.5, 1.0):
            while writer.count < longest * share:
                writer.arrive(STRETCH)
            feed = page.feed
            feed.poll()
            while feed.catching_up or feed.traces is None or len(feed.traces) < writer.count:
                feed.poll()
            times: list[float] = []
            for _ in range(30):
                begin = time.perf_counter()
                page.views.draw(fresh=True, everything=True)
                application.processEvents()
                times.append(1e3 * (time.perf_counter() - begin))
            now = resident_bytes()
            slope = (now - before) / (writer.count - before_frames) if before else float("nan")
            print(f"  {writer.count:9} {now / 1e6:12.1f} {slope:12.1f} {statistics.median(times):24.1f}")
            before, before_frames = now, writer.count
        page.close_page()
        page.close()
        writer.file.close()


def main(longest: int) -> None:
    application = QApplication([])
    theme.apply(application, "dark")
    print(
        f"  {'shots/s':>8}  {'view':14} {'frames/s':>8} {'of core':>8} {'seen':>9} {'behind':>7} delay ms: p50 p99 max, written"
    )
    for rate_hz in (1000, 4500):
        for length in (None, "Last 10 s", "Whole run"):
            follow(application, rate_hz, length)
    memory(application, longest)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
