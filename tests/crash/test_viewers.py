"""Viewers and virus scanners that have the run file open, in every phase: the writer goes on, finishing waits or says so."""

import errno
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from desk import Desk, told
from killed_runs import LONG, opened_by_others, run_files, sequence
from test_runfile_crash import create, frames

from rig import runfile_copy
from rig.runfile import open_run, recover
from rig.runfile_lock import lock_path

Property = Callable[[str, object], None]
pytestmark = pytest.mark.fault("X16")

VIEWER = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    print(file["entry/frames/count"][()], flush=True)
    sys.stdin.readline()
    file["entry/spectra/counts"][:3]
"""
SCANNER = """
import fcntl, sys
with open(sys.argv[1], "rb") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("refused", flush=True)
    else:
        print("locked", flush=True)
    sys.stdin.readline()
"""
PHASES = ("empty", "dark", "frames", "rows", "end")


@contextmanager
def held_open(how: str, path: Path) -> Generator[None]:
    """Another process has the file open, with HDF5's own shared lock or with an exclusive one if it gets it, until the end."""
    with subprocess.Popen([sys.executable, "-c", how, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows: by hand, see docs/faults.md")
@pytest.mark.parametrize(
    ("how", "phase"),
    [(VIEWER, phase) for phase in PHASES] + [(SCANNER, phase) for phase in (PHASES if LONG else ("empty", "end"))],
)
def test_writer_and_finish_do_not_mind_who_has_the_file_open(
    tmp_path: Path, how: str, phase: str, record_property: Property
) -> None:
    """From `phase` on the file is held until after the end of the run."""
    writer = create(tmp_path)
    dark = np.ones(16)
    steps: dict[str, Callable[[], None]] = {
        "empty": lambda: writer.log(0, "begins"),
        "dark": lambda: writer.set_dark(dark, dark, dark > 2, 100),
        "frames": lambda: writer.append_frames(*frames(0, 5)),
        "rows": lambda: writer.rewrite_rows(0, frames(0, 5, assigned=True)[0]),
        "end": lambda: writer.append_frames(*frames(5, 5)),
    }
    assert tuple(steps) == PHASES
    order = list(steps)
    for name in order[: order.index(phase)]:
        steps[name]()
    with held_open(how, writer.path):
        for name in order[order.index(phase) :]:
            steps[name]()
            writer.sync()
        writer.finish("done")
    run = open_run(writer.path)
    assert (run.count, run.state, run.trimmed) == (10, "done", True)
    assert (run.spectra() == frames(0, 10)[1]).all()
    assert opened_by_others(writer.path) == 10
    assert [left.name for left in tmp_path.iterdir()] == ["run.h5"]
    record_property("kept", "10 of 10 acknowledged frames")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows: by hand, see docs/faults.md")
def test_viewer_may_look_and_nobody_may_write_while_a_run_is_recorded(tmp_path: Path) -> None:
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    with h5py.File(writer.path, "r") as viewer:
        seen: Any = viewer["entry/frames/count"]
        assert int(seen[()]) == 5
    with pytest.raises(BlockingIOError):
        h5py.File(writer.path, "r+")
    writer.append_frames(*frames(5, 5))
    writer.finish("done")
    with h5py.File(writer.path, "r+") as file:
        assert file["entry/spectra/counts"].shape == (10, 16)  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows: by hand, see docs/faults.md")
@pytest.mark.parametrize("how", [VIEWER, SCANNER])
def test_dead_run_is_recovered_while_somebody_looks_at_it(tmp_path: Path, how: str) -> None:
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    writer.close()
    lock_path(writer.path).write_bytes(b"")  # as a kill leaves it
    with held_open(how, writer.path):
        assert recover(writer.path).state == "interrupted"


class Windows:
    """Refuses to replace an open file, as Windows does, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
        self.refusals = refusals
        self.waited_s: list[float] = []
        self.replace = Path.replace
        monkeypatch.setattr(Path, "replace", lambda path, target: self._replace(path, target))
        monkeypatch.setattr(runfile_copy, "MonotonicClock", lambda: self)

    def sleep(self, duration_s: float) -> None:
        self.waited_s.append(duration_s)

    def _replace(self, path: Path, target: Path) -> Path:
        if path.suffix == ".finishing" and self.refusals:
            self.refusals -= 1
            raise PermissionError(
                errno.EACCES, "The process cannot access the file because it is being used by another process"
            )
        return self.replace(path, target)


def test_finish_waits_for_a_scanner_that_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    windows = Windows(monkeypatch, refusals=3)
    writer.finish("done")
    assert open_run(writer.path).trimmed
    assert 0 < sum(windows.waited_s) <= 1.0


def test_run_whose_file_somebody_keeps_open_says_what_to_do(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Property
) -> None:
    with monkeypatch.context() as patch:
        windows = Windows(patch, refusals=100)
        said = desk.rig("run", str(sequence(tmp_path, "gated")))
        assert sum(windows.waited_s) <= 1.0 + 1e-9
    assert said.code == 4
    told(said.err, "used by another process", "nothing is lost", "close other programs that have the file open", "rig recover")
    assert desk.bench.is_off()
    [path] = run_files(Path("runs"))
    run = open_run(path)
    assert (run.state, run.trimmed, run.unfinished) == ("done", False, False)
    count = opened_by_others(path)
    assert count == run.ledger["received"] > 100
    assert desk.rig("recover", str(path)).code == 0
    assert (run.state, run.trimmed, run.count) == ("done", True, count)
    record_property("kept", f"{count} of {count} acknowledged frames")
