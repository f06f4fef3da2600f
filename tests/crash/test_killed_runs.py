"""Whole runs that die: by kill -9 at moments nobody chose, and after every write of theirs. RIG_LONG=1 tries far more."""

import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed_runs import LONG, MODES, Batch, Reference, judge, judge_recovery, kill_runs, run_files, sequence
from numpy.typing import NDArray
from test_runfile_crash import RecordingHandle

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import shifted, truth_of, wrong_frames

from rig.runfile import RunFile, open_run
from rig.session import Session

KILLS = 100 if LONG else 2
TRIED_WRITES = 10**6 if LONG else 30


@pytest.mark.fault("X1")
@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_run_killed_at_any_moment_loses_nothing_it_acknowledged(
    tmp_path: Path, mode: str, record_property: Callable[[str, object], None]
) -> None:
    count = kill_runs(sequence(tmp_path, mode), tmp_path, KILLS, seed=3)
    assert count.kept >= count.acknowledged
    assert count.kills == KILLS
    record_property("kept", f"{count.acknowledged} of {count.acknowledged} acknowledged frames, {count.kills} kills")
    if LONG:
        assert min(count.running, count.ended, count.acknowledged) > 0


class Taped:
    """One whole run, and every write it gave to its file; after how many of them how many frames were acknowledged."""

    def __init__(self, folder: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handles: list[RecordingHandle] = []
        self.acknowledged: list[tuple[int, Batch]] = []
        append = RunFile.append_frames

        def opener(path: Path) -> RecordingHandle:
            self.handles.append(RecordingHandle(path))
            return self.handles[-1]

        def told(runfile: RunFile, columns: NDArray[Any], spectra: NDArray[np.uint16]) -> None:
            append(runfile, columns, spectra)
            self.acknowledged.append((len(self.tape.writes), (runfile.count, zlib.crc32(spectra.tobytes()))))

        monkeypatch.setitem(RunFile.create.__func__.__kwdefaults__, "opener", opener)  # type: ignore[attr-defined]
        monkeypatch.setattr(RunFile, "append_frames", told)
        self.session = Session(out=folder / "undisturbed")
        self.session.run(sequence(folder, mode))
        [path] = run_files(folder / "undisturbed")
        self.run = open_run(path)

    @property
    def tape(self) -> RecordingHandle:
        [handle] = self.handles
        return handle

    def batches(self, writes: int) -> list[Batch]:
        return [batch for after, batch in self.acknowledged if after <= writes]


def chosen(everything: int, tried: int) -> Iterator[int]:
    step = max(1, everything // tried)
    yield from range(0, everything, step)


@pytest.mark.fault("X1")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
def test_run_cut_off_after_any_write(
    tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    taped = Taped(tmp_path, mode, monkeypatch)
    tape, rows = taped.tape, taped.run.frames()
    truth = truth_of(taped.session, taped.run)
    assert wrong_frames(rows, truth) == 0
    assert wrong_frames(shifted(rows, 1), truth) > 0  # the judge sees
    reference = Reference.of(taped.run)
    path = tmp_path / "crashed" / "run.h5"
    path.parent.mkdir()
    path.write_bytes(tape.untouched)
    tried, points, states = set(chosen(len(tape.writes), TRIED_WRITES)), 0, set[str]()
    with path.open("r+b", buffering=0) as file:
        for number, (offset, data) in enumerate(tape.writes):
            if number in tried:  # whole writes before it, then a piece of it
                for torn in sorted({0, 1, len(data) // 2}):
                    file.seek(offset)
                    file.write(data[:torn])
                    run = judge(path, taped.batches(number), reference, independent=points % 10 == 0)
                    states.add(run.state)
                    points += 1
                _recovers(path, tmp_path / "recovered" / "run.h5", every=not LONG or number % 10 == 0)
            file.seek(offset)
            file.write(data)
    judge(path, taped.batches(len(tape.writes)), reference)
    assert "running" in states
    assert len(tape.writes) > 100
    record_property("kept", f"all acknowledged frames at {points} crash points of {len(tape.writes)} writes ({mode})")


def _recovers(path: Path, copy: Path, *, every: bool) -> None:
    if every:
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
        judge_recovery(copy)
