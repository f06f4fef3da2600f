"""What the list of runs costs: a folder of thousands of small run files, until the first row, until all are read.

The files are small (24 pixels, 400 frames); of a large one hardly more is read. The longest gap is how long the window did not
answer, the pages of the list painted meanwhile.

python benchmarks/window_runs.py [files, 2000] [folder, a temporary one]
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PyQt5.QtCore import QObject, Qt, QTimer, pyqtSignal
from PyQt5.QtWidgets import QApplication

from gui.run_index import RunFacts
from gui.runs_page import RunsPage
from rig.runfile import FRAME_DTYPE, Results, RunFile, RunHeader

PIXELS, FRAMES = 24, 400
TEXTS = ("device", "sequence_toml", "bench_toml", "programs_json", "identities_json", "versions_json", "environment_json")
RESULTS = '{"switched": true, "reason": "x", "contrast_535": {"value": 10.0, "ci95": [9.9, 10.1], "unit": ""}}'


class Link(QObject):
    """Says nothing."""

    said = pyqtSignal(object)


def stand_in(folder: Path) -> Path:
    """Make one finished run."""
    header = RunHeader(
        run_id="stand-in",
        title="stand-in",
        sample="CsPbBr3-07",
        measurement="on_off",
        mode="gated",
        simulated=True,
        seed=1,
        **dict.fromkeys(TEXTS, "x" * 2000),
        wavelength_nm=np.linspace(480.0, 570.0, PIXELS),
        nonlinearity=(1.0,),
        wall_start_label="2024-05-01T12:00:00+02:00",
        assumed_json="[]",
    )
    run = RunFile.create(folder, "stand-in", header, frame_capacity=FRAMES, reading_capacity=10)
    rows = np.zeros(FRAMES, FRAME_DTYPE)
    rows["band_520"] = rows["band_535"] = np.arange(FRAMES)
    run.append_frames(rows, np.zeros((FRAMES, PIXELS), np.uint16))
    return run.finish("done", Results(RESULTS))


def copies(folder: Path, count: int) -> None:
    """Fill a folder with copies, each a second older than the one before."""
    with tempfile.TemporaryDirectory() as made:
        first = stand_in(Path(made))
        for number in range(count):
            path = folder / f"run-{number:05}.h5"
            shutil.copy(first, path)
            os.utime(path, (1.7e9 - number, 1.7e9 - number))


def memory_mb() -> float:
    """Return the memory of this process (MB)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def timed(what: Callable[[], Any]) -> float:
    """Do something and return how long it took (ms)."""
    started = time.perf_counter()
    what()
    return 1e3 * (time.perf_counter() - started)


def measure(application: QApplication, folder: Path, files: int) -> None:
    """Open the page and print what it took."""
    context: Any = SimpleNamespace(bench=None, link=Link(), out=folder, simulated=True)
    before_mb, started = memory_mb(), time.perf_counter()
    page = RunsPage(context)
    page.resize(1366, 700)
    page.show()
    marks: dict[str, float] = {}
    gaps = [0.0]
    last = [time.perf_counter()]

    def beat() -> None:
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    def mark(name: str) -> None:
        marks.setdefault(name, time.perf_counter() - started)

    def heed(change: Any) -> None:
        if page.table.rowCount():
            mark("first row, s")
        if page.table.rowCount() == files:
            mark("all listed, s")
            if change.left == 0:
                mark("all read, s")
        top = page.table.facts(0)
        if top is not None and top.state:
            mark("top row read, s")

    page.index.changed.connect(heed)
    heart = QTimer()
    heart.timeout.connect(beat)
    heart.start(1)
    while "all read, s" not in marks:
        application.processEvents()
        time.sleep(0.0005)  # noqa: TID251 - real time is what is measured
    for name, value in marks.items():
        print(f"{name:32}{value:10.3f}")
    print(f"{'longest gap, ms':32}{1e3 * max(gaps):10.1f}")
    print(f"{'gaps above 20 ms':32}{sum(gap > 0.02 for gap in gaps):10}")
    print(f"{'memory, kB a file':32}{1e3 * (memory_mb() - before_mb) / files:10.1f}")
    print(f"{'sort by contrast, ms':32}{timed(lambda: page.view.sortByColumn(8, Qt.SortOrder.DescendingOrder)):10.1f}")
    print(f"{'filter, ms':32}{timed(lambda: page.table.choose('run-00 csp', 'any state', None)):10.1f}")
    print(f"{'filter off, ms':32}{timed(lambda: page.table.choose('', 'any state', None)):10.1f}")
    news = [RunFacts(folder / f"new-{number}.h5", 1, 1, "done", when_s=float(number)) for number in range(20)]
    print(f"{'20 new rows, ms':32}{timed(lambda: page.table.take(news, [])):10.1f}")
    gaps[:] = [0.0]
    spent, idle = time.process_time(), time.perf_counter()
    while time.perf_counter() - idle < 6:
        application.processEvents()
        time.sleep(0.005)  # noqa: TID251
    print(f"{'looking for new ones, % of a core':32}{100 * (time.process_time() - spent) / 6:9.1f}")
    print(f"{'longest gap meanwhile, ms':32}{1e3 * max(gaps):10.1f}")
    page.close_page()


def main() -> None:
    """Measure one folder."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    application = QApplication(sys.argv[:1])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(made)
        copies(folder, files)
        measure(application, folder, files)


if __name__ == "__main__":
    main()
