"""The list of runs: what it says of files, what it reads again, what it does with files that are none."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from replayed_run import ReplayedRun

from gui import run_index
from gui.run_index import RUNNING, UNREADABLE, IndexChange, RunFacts, RunIndex, read_facts
from rig.runfile import Results, open_run


def facts_of(path: Path) -> RunFacts:
    facts = path.stat()
    return read_facts(path, facts.st_size, facts.st_mtime_ns)


class Listener:
    """An index that looks often, and what it has said."""

    def __init__(self, qtbot, folder: Path) -> None:
        self._qtbot = qtbot
        self.facts: dict[Path, RunFacts] = {}
        self.order: list[Path] = []
        self.troubles: tuple[str, ...] = ()
        self.index = RunIndex([folder], rescan_s=0.05)
        self.index.changed.connect(self._take)

    def _take(self, change: IndexChange) -> None:
        for facts in change.facts:
            self.facts[facts.path] = facts
            if facts.state:
                self.order.append(facts.path)
        for path in change.gone:
            del self.facts[path]
        self.troubles = change.troubles

    def wait(self, what) -> None:
        self._qtbot.waitUntil(what, timeout=5000)

    def state(self, path: Path) -> str:
        return self.facts[path].state if path in self.facts else "not listed"


@pytest.fixture
def listener(qtbot, tmp_path) -> Iterator[Listener]:
    made = Listener(qtbot, tmp_path)
    yield made
    made.index.close()


def test_a_finished_run_is_told_by_its_own_results(run_file):
    facts, results = facts_of(run_file), open_run(run_file).results

    assert (facts.state, facts.simulated, facts.measurement, facts.trouble) == ("done", True, "on_off", "")
    assert facts.contrast_535.value == results["contrast_535"]["value"]
    assert facts.contrast_535.ci95 == tuple(results["contrast_535"]["ci95"])
    assert facts.on_peak_nm.unit == "nm"
    assert (facts.assigned, facts.planned) == (800, 800)


def test_the_thumbnail_is_of_frames_spread_over_the_whole_run(run_file):
    trace = facts_of(run_file).trace
    frames = open_run(run_file).frames()

    assert trace is not None
    assert 32 <= trace.shape[1] <= run_index.THUMBNAIL_POINTS
    step = -(-len(frames) // run_index.THUMBNAIL_POINTS)
    assert np.array_equal(trace[1], frames["band_535"][::step].astype(np.float32))


def test_a_run_that_is_being_written_is_running_and_one_whose_writer_died_is_to_be_recovered(run_file, tmp_path):
    run = ReplayedRun(run_file, tmp_path)
    run.arrive(100)

    alive = facts_of(run.path)
    run.file.close()
    dead = facts_of(run.path)

    assert (alive.state, alive.recoverable, alive.frames) == (RUNNING, False, 100)
    assert (dead.state, dead.recoverable, dead.frames) == ("interrupted", True, 100)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(5000), b"no run at all"])
def test_what_is_no_run_file_is_listed_with_the_reason(tmp_path, content):
    path = tmp_path / "x.h5"
    path.write_bytes(content)

    facts = facts_of(path)

    assert facts.state == UNREADABLE
    assert "no run file" in facts.trouble


def test_a_truncated_run_is_listed_with_the_reason(run_file, tmp_path):
    path = tmp_path / "short.h5"
    path.write_bytes(run_file.read_bytes()[:200_000])

    assert facts_of(path).state == UNREADABLE


@pytest.mark.parametrize(
    "text", ["[1]", "not json", '{"contrast_535": 5, "switched": "x"}', '{"contrast_535": {"value": "high", "ci95": [1]}}']
)
def test_results_that_make_no_sense_harm_nothing_but_their_own_row(run_file, tmp_path, text):
    run = ReplayedRun(run_file, tmp_path)
    run.arrive(10)
    run.file.finish("done", Results(text))

    facts = facts_of(run.path)

    assert facts.contrast_535.value is None
    assert facts.switched is None
    assert facts.state in ("done", UNREADABLE)


def test_new_files_appear_and_removed_ones_go_by_themselves(listener, run_file, tmp_path):
    listener.index.begin()
    path = tmp_path / "new.h5"

    shutil.copy(run_file, path)
    listener.wait(lambda: listener.state(path) == "done")
    path.unlink()
    listener.wait(lambda: listener.state(path) == "not listed")


def test_the_death_of_a_writer_is_noticed_although_it_changes_nothing_of_the_file(listener, run_file, tmp_path):
    run = ReplayedRun(run_file, tmp_path)
    run.arrive(100)
    listener.index.begin()
    listener.wait(lambda: listener.state(run.path) == RUNNING)
    before = run.path.stat()

    run.file.close()
    listener.wait(lambda: listener.state(run.path) == "interrupted")

    assert run.path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_run_that_ends_is_followed_to_its_finished_copy(listener, run_file, tmp_path):
    run = ReplayedRun(run_file, tmp_path)
    run.arrive(100)
    listener.index.begin()
    listener.wait(lambda: listener.state(run.path) == RUNNING)

    run.finish("stopped")

    listener.wait(lambda: listener.state(run.path) == "stopped")
    assert not listener.facts[run.path].recoverable


def test_a_file_that_does_not_change_is_read_once(listener, run_file, tmp_path, monkeypatch):
    reads: list[Path] = []

    def counted(path: Path, size: int, mtime_ns: int) -> RunFacts:
        reads.append(path)
        return read_facts(path, size, mtime_ns)

    monkeypatch.setattr(run_index, "read_facts", counted)
    still, bad = tmp_path / "still.h5", tmp_path / "bad.h5"
    shutil.copy(run_file, still)
    bad.write_bytes(b"bad")
    listener.index.begin()
    listener.wait(lambda: listener.state(still) == "done" and listener.state(bad) == UNREADABLE)

    later = tmp_path / "later.h5"
    shutil.copy(run_file, later)
    listener.wait(lambda: listener.state(later) == "done")
    assert sorted(reads) == sorted([still, bad, later])

    listener.index.refresh(again=True)  # an unreadable one may have become readable
    listener.wait(lambda: reads.count(bad) == 2)
    assert reads.count(still) == 1


def test_what_is_looked_at_is_read_first(listener, run_file, tmp_path):
    paths = [tmp_path / f"{number}.h5" for number in range(8)]
    for age, path in enumerate(paths):
        shutil.copy(run_file, path)
        os.utime(path, (1e9 - age, 1e9 - age))

    listener.index.prefer([paths[6]])
    listener.index.begin()
    listener.wait(lambda: len(listener.order) == 8)

    assert listener.order == [paths[6], *(path for path in paths if path != paths[6])]


def test_a_pipe_with_the_name_of_a_run_does_not_hold_the_list_up(listener, run_file, tmp_path):
    pipe, run = tmp_path / "pipe.h5", tmp_path / "run.h5"
    os.mkfifo(pipe)
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "nowhere.h5").symlink_to(tmp_path / "gone")
    shutil.copy(run_file, run)

    listener.index.begin()
    listener.wait(lambda: listener.state(run) == "done" and listener.state(pipe) == UNREADABLE)

    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert set(listener.facts) == {pipe, run}


def test_a_folder_that_cannot_be_listed_is_told_and_one_that_is_not_there_yet_is_not(listener, run_file, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    listener.index.add_folder(tmp_path / "not yet")
    listener.index.add_folder(file)

    listener.index.begin()
    listener.wait(lambda: bool(listener.troubles))

    assert len(listener.troubles) == 1
    assert str(file) in listener.troubles[0]


def test_a_defect_while_looking_is_told_and_the_list_goes_on(listener, run_file, tmp_path, monkeypatch):
    real, broken = run_index._found, [True]

    def found(folders):
        if broken[0]:
            raise ZeroDivisionError("of somebody")
        return real(folders)

    monkeypatch.setattr(run_index, "_found", found)
    path = tmp_path / "run.h5"
    shutil.copy(run_file, path)
    listener.index.begin()
    listener.wait(lambda: "of somebody" in " ".join(listener.troubles))

    broken[0] = False

    listener.wait(lambda: listener.state(path) == "done" and not listener.troubles)
