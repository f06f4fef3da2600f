"""A writer that is killed before each call that reaches the system, from the first byte of its file to the finished copy.

Every call is a process of its own that really dies there, so that its locks fall as they do. Few calls are tried; RIG_LONG=1
tries all.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from killed_runs import LONG, opened_by_others, run_files
from test_runfile_crash import PIXELS, create, frames

from rig.runfile import Results, open_run, recover
from rig.runfile_layout import ENDINGS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
CALLS = {
    *("write", "truncate", "replace", "rename", "unlink", "remove", "fsync", "posix_fallocate", "flock", "open", "close"),
    *("lseek", "mkdir"),
}
VARIES = 5  # a life makes a few calls more or less than another
TRIED = 10**6 if LONG else 20
Life = Callable[[Path, Callable[[int], None]], None]


def written(folder: Path, tell: Callable[[int], None]) -> Any:
    """Everything that is ever written into a run file."""
    writer = create(folder, frame_capacity=30)
    dark = np.linspace(1400.0, 1600.0, PIXELS)
    writer.log(0, "begins")
    writer.set_dark(dark, dark, np.zeros(PIXELS, bool), 100)
    for block in range(2):
        writer.append_frames(*frames(5 * block, 5))
        tell(5 * block + 5)
        writer.append_readings(block, 20.0, 1e-6, False, block, block)
        writer.rewrite_rows(5 * block, frames(5 * block, 5, assigned=True)[0])
        writer.set_ledger({"received": 5 * block + 5})
        writer.log(block, f"block {block}")
        writer.sync()
    return writer


def finished(folder: Path, tell: Callable[[int], None]) -> None:
    writer = written(folder, tell)
    writer.finish("done", Results('{"a": 1}', {"b": (np.arange(3.0), "1")}), "the end")


def recovered(folder: Path, tell: Callable[[int], None]) -> None:
    written(folder, tell).close()
    recover(folder / "run.h5")


def live(life: Life, folder: Path, killed_at: int) -> tuple[int, int, bool]:
    """Live in a process of its own and die before call number `killed_at`; calls made, frames acknowledged, died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().split()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return killed_at, int(said[-1]) if said else 0, True
        assert os.WEXITSTATUS(status) == 0
        return int(said[-1]), int(said[-2]), False
    calls = 0

    def watch(frame: FrameType, event: str, what: Any) -> None:
        nonlocal calls
        if event == "c_call" and what.__name__ in CALLS and frame.f_code.co_filename != __file__:
            if calls == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1

    try:
        sys.setprofile(watch)
        life(folder, lambda count: os.write(writing, b"%d " % count) and None)
        sys.setprofile(None)
        os.write(writing, b"%d" % calls)
        os._exit(0)
    finally:
        os._exit(1)


def judge(folder: Path, acknowledged: int) -> str:
    """What is left opens and holds what was acknowledged; recovering it, or beginning anew, leaves nothing beside it."""
    found = run_files(folder)
    if not found:
        assert not acknowledged
        leftovers = {path.name for path in folder.iterdir()}
        assert leftovers <= {"run.h5.part", "run.h5.lock"}
        writer = create(folder, frame_capacity=30)
        writer.close()
        events = open_run(writer.path).events
        assert [text for _, text in events if "run.h5.part" in text] == [text for _, text in events]
        assert {path.name for path in folder.iterdir()} == {"run.h5"}
        return "nothing"
    [path] = found
    count = opened_by_others(path, independent=LONG or acknowledged == 10)
    assert acknowledged <= count <= acknowledged + 5
    run = open_run(path)
    state = run.state
    early, spectra = frames(0, count)
    late, _ = frames(0, count, assigned=True)
    assert np.array_equal(run.spectra(), spectra)
    rows = run.frames()
    assert np.array_equal(rows["frame_count"], early["frame_count"])
    known = rows["flags"] == 0
    assert rows[known].tobytes() == late[known].tobytes()
    assert run.ledger.get("received", 0) <= count
    before = rows.tobytes(), run.events, run.ledger
    recover(path)
    assert (run.frames().tobytes(), run.events, run.ledger) == before
    assert (run.trimmed, run.state) == (True, state if state in ENDINGS else "interrupted")
    once = path.read_bytes()
    recover(path)
    assert path.read_bytes() == once
    assert {left.name for left in folder.iterdir()} == {"run.h5"}
    return state


@pytest.mark.fault("X1")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("life", [finished, recovered])
def test_whatever_call_was_the_last(tmp_path: Path, life: Life, record_property: Callable[[str, object], None]) -> None:
    (tmp_path / "whole").mkdir()
    calls, acknowledged, died = live(life, tmp_path / "whole", -1)
    assert (acknowledged, died) == (10, False)
    assert calls > 500
    left: dict[str, int] = {}
    last = calls - 1 - VARIES
    tried = sorted({round(number * last / min(TRIED, last)) for number in range(min(TRIED, last) + 1)})
    for number in tried:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        _, acknowledged, died = live(life, folder, number)
        assert died
        kind = judge(folder, acknowledged)
        left[kind] = left.get(kind, 0) + 1
    assert set(left) == {"nothing", "running", "done" if life is finished else "interrupted"} or not LONG
    assert left["nothing"] > 0
    assert left["running"] > 0
    record_property("kept", f"all acknowledged frames, killed at {len(tried)} of {calls} calls ({life.__name__})")
