"""What the window costs: redraw against the length of the run, memory over a million frames, following a file that is written.

Everything is measured in one run on one machine; compare the ratios, not the milliseconds. The file of a million frames has few
pixels (a spectrum is never kept, so that changes no memory); the one that is followed has all 2136.

python benchmarks/window_drawing.py [frames of the longest run, 1000000]
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PyQt5.QtCore import QTimer
from PyQt5.QtWidgets import QApplication

from gui.run_feed import RunFeed
from gui.trace_pyramid import TracePyramid
from rig.runfile import FRAME_DTYPE, Flag, RunFile, RunHeader

PERIOD_US = 1000
STRETCH = 1000
WIDTH = 1280
REDRAWS = 60
FOLLOW_S = 8.0
BATCH_S = 0.015
NAMES = ("band_520", "band_535")
NONLINEARITY = (1.0, -5e-7, 2e-12, 3e-18, -5e-24, -3e-29, -2e-35, 3e-40)  # as many terms as a real one has


def rows(first: int, count: int, period_us: int = PERIOD_US) -> np.ndarray:
    """Rows as they are when their block has ended: OFF and ON take turns."""
    made = np.zeros(count, FRAME_DTYPE)
    number = np.arange(first, first + count)
    made["device_time_us"] = number * period_us
    made["host_time_ns"] = number * period_us * 1000 + 3_000_000
    made["frame_count"] = number
    made["shot"] = number
    made["block"] = made["stretch"] = number // STRETCH
    made["cycle"] = number // (2 * STRETCH)
    made["state"] = number // STRETCH % 2
    made["planned_voltage_v"] = 20.0 * made["state"]
    made["flags"] = np.where(number % STRETCH < 100, int(Flag.SETTLING), 0)
    noise = np.random.default_rng(first)
    made["band_520"] = np.where(made["state"] == 1, 200.0, 1000.0) + noise.normal(size=count) * 30
    made["band_535"] = np.where(made["state"] == 1, 1100.0, 100.0) + noise.normal(size=count) * 30
    return made


def header(pixels: int) -> RunHeader:
    from rig.bench import default_bench

    wavelength_nm = np.linspace(338.0, 792.0, pixels) if pixels > 1000 else np.linspace(490.0, 555.0, pixels)
    texts = dict.fromkeys(("title", "sample", "device", "sequence_toml", "programs_json", "identities_json"), "")
    return RunHeader(
        run_id="benchmark",
        measurement="on_off",
        mode="gated",
        simulated=True,
        seed=0,
        bench_toml=default_bench().source_text,
        versions_json="{}",
        environment_json="{}",
        wavelength_nm=wavelength_nm,
        nonlinearity=NONLINEARITY,
        wall_start_label="",
        assumed_json="{}",
        **texts,
    )


class Writer:
    """Writes a run as the runner does: rows unassigned at first, once more when the stretch is over, then the ledger."""

    def __init__(self, folder: Path, frames: int, pixels: int, period_us: int = PERIOD_US) -> None:
        self.file = RunFile.create(folder, "run", header(pixels), frame_capacity=frames, reading_capacity=10_000)
        self.file.set_dark(np.full(pixels, 1500.0), np.full(pixels, 100.0), np.zeros(pixels, bool), 100)
        self.period_us, self.count, self.ended = period_us, 0, 0
        axis = header(pixels).wavelength_nm
        off = 1500 + 1000 * np.exp(-(((axis - 520) / 15) ** 2))
        on = 1500 + 200 * np.exp(-(((axis - 520) / 15) ** 2)) + 4000 * np.exp(-(((axis - 535.3) / 2) ** 2))
        noise = np.random.default_rng(0).normal(size=(512, pixels)) * 10
        self.pool = [(light + noise).astype(np.uint16) for light in (off, on)]

    def arrive(self, count: int) -> None:
        made = rows(self.count, count, self.period_us)
        state = made["state"].copy()
        made["flags"], made["state"], made["shot"], made["cycle"] = int(Flag.UNASSIGNED), -1, -1, -1
        pool = self.pool[int(state[-1])]
        self.file.append_frames(made, pool[:count] if count <= len(pool) else np.resize(pool, (count, pool.shape[1])))
        self.count += count
        if self.count // STRETCH > self.ended // STRETCH:
            self.end_block()

    def end_block(self) -> None:
        final = self.count - self.count % STRETCH
        self.file.rewrite_rows(self.ended, rows(self.ended, final - self.ended, self.period_us))
        self.ended = final
        self.file.set_ledger({"planned": final, "received": final, "assigned": final, "unassigned": 0, "flagged": {}})


def write_live(folder: Path, rate_hz: int) -> None:
    """Write in real time, as a process of its own."""
    frames = int(rate_hz * (FOLLOW_S + 4))
    writer = Writer(folder, frames + STRETCH, 2136, round(1e6 / rate_hz))
    print("ready", flush=True)
    start = time.monotonic()
    while writer.count < frames:
        time.sleep(BATCH_S)  # noqa: TID251 - real time is what is measured
        due = min(frames, int((time.monotonic() - start) * rate_hz)) - writer.count
        if due > 0:
            writer.arrive(min(due, STRETCH - writer.count % STRETCH))
    writer.file.close()


# --- redraw -----------------------------------------------------------------------------------------------------------


def synthetic(frames: int) -> TracePyramid:
    made = TracePyramid(NAMES)
    for first in range(0, frames, 8192):
        some = rows(first, min(8192, frames - first))
        made.append(some["device_time_us"] * 1e-6, {name: some[name] for name in NAMES}, np.zeros(len(some), bool))
    return made


def redraw(application: QApplication, pyramid: TracePyramid, part: float) -> tuple[float, float, int]:
    """Milliseconds to choose the points, to choose and paint them (medians), and how many they are."""
    plot = pg.PlotWidget()
    plot.resize(WIDTH, 400)
    curves = [plot.plot(pen=pg.mkPen(colour)) for colour in ("#56b4e9", "#e69f00")]
    end_s = float(pyramid.time_s[-1])
    plot.setXRange(end_s * (1 - part), end_s, padding=0)
    plot.setYRange(0, 1300)
    plot.show()
    application.processEvents()
    chosen: list[float] = []
    drawn: list[float] = []
    points = 0
    for turn in range(REDRAWS):
        begin = time.perf_counter()
        view = pyramid.view(end_s * (1 - part) + 1e-3 * turn, end_s, WIDTH)
        chosen.append(time.perf_counter() - begin)
        for curve, name in zip(curves, NAMES, strict=True):
            curve.setData(view.time_s, view.values[name], connect="finite", skipFiniteCheck=False)
        plot.viewport().repaint()
        drawn.append(time.perf_counter() - begin)
        points = len(view.time_s)
    plot.close()
    return 1e3 * statistics.median(chosen), 1e3 * statistics.median(drawn), points


def redraw_table(application: QApplication, longest: int) -> None:
    print(f"two traces on {WIDTH} pixels, a whole redraw (ms)")
    print(f"  {'frames':>9} {'window':>7} {'points':>7} {'choose':>7} {'redraw':>7} {'of the shortest':>16}")
    base = 0.0
    for frames in (1_000, 30_000, longest // 4, longest, 4 * longest):
        pyramid = synthetic(frames)
        for part in (1.0, 0.01):
            choose_ms, redraw_ms, points = redraw(application, pyramid, part)
            base = base or redraw_ms
            print(f"  {frames:9} {part:7.0%} {points:7} {choose_ms:7.2f} {redraw_ms:7.2f} {redraw_ms / base:16.2f}")


# --- memory -----------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def memory_table(longest: int) -> None:
    print(f"a run of {longest} frames read from its file (128 pixels)")
    print(f"  {'frames':>9} {'resident MB':>12} {'bytes/frame':>12} {'seconds':>8} {'longest turn ms':>16}")
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), longest + STRETCH, 128)
        feed = RunFeed()
        feed.open(writer.file.path)
        before, before_frames = resident_bytes(), 0
        for share in (0.1, 0.25, 0.5, 0.75, 1.0):
            while writer.count < longest * share:
                writer.arrive(STRETCH)
            begin, longest_turn = time.perf_counter(), 0.0
            feed.poll()
            while feed.catching_up or feed.traces is None or len(feed.traces) < writer.count:
                turn = time.perf_counter()
                feed.poll()
                longest_turn = max(longest_turn, time.perf_counter() - turn)
            taken = time.perf_counter() - begin
            now = resident_bytes()
            slope = (now - before) / (writer.count - before_frames)
            print(f"  {writer.count:9} {now / 1e6:12.1f} {slope:12.1f} {taken:8.2f} {1e3 * longest_turn:16.1f}")
            before, before_frames = now, writer.count
        feed.close()
        writer.file.close()


# --- following --------------------------------------------------------------------------------------------------------


def follow(application: QApplication, rate_hz: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--write", folder, str(rate_hz)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None  # noqa: S101
            writer.stdout.readline()
            (path,) = Path(folder).glob("*.h5")
            feed = RunFeed()
            feed.open(path)
            turns: list[float] = []

            def turn() -> None:
                begin = time.perf_counter()
                feed.poll()
                turns.append(time.perf_counter() - begin)

            timer = QTimer()
            timer.timeout.connect(turn)
            timer.start(33)
            QTimer.singleShot(1000, application.quit)
            application.exec()
            turns.clear()
            begin, used = time.perf_counter(), time.process_time()
            QTimer.singleShot(round(1000 * FOLLOW_S), application.quit)
            application.exec()
            core = (time.process_time() - used) / (time.perf_counter() - begin)
            timer.stop()
            seen = 0 if feed.traces is None else len(feed.traces)
            left = feed.catching_up
            feed.close()
            writer.kill()
        turns.sort()
        print(
            f"  {rate_hz:9} {core:8.1%} {1e3 * turns[len(turns) // 2]:10.1f} {1e3 * turns[-1 - len(turns) // 100]:8.1f} "
            f"{1e3 * turns[-1]:8.1f} {seen:8} {left:6}"
        )


def main(longest: int) -> None:
    application = QApplication([])
    redraw_table(application, longest)
    memory_table(longest)
    print("following a file that is written, 2136 pixels, 30 turns/s: traces, waterfall, means, numbers (no drawing)")
    print(f"  {'frames/s':>9} {'of core':>8} {'median ms':>10} {'p99':>8} {'longest':>8} {'seen':>8} {'behind':>6}")
    for rate_hz in (1000, 4500):
        follow(application, rate_hz)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_live(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
