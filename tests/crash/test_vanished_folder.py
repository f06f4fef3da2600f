"""A folder that goes away, a network share that drops, a disk that confirms nothing, a lock that somebody removes."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import Desk, told
from failing_file import Disk
from killed_runs import Reference, judge, judge_recovery, run_files, sequence
from test_runfile_crash import create, frames

from drivers.errors import RecordError
from rig.runfile import open_run, recover
from rig.runfile_lock import WriterLock, lock_path

Property = Callable[[str, object], None]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps an open file where it is")


# --- whole runs ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def synced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a second on the wall clock is after the end of a simulated run."""
    for module in ("rig.acquisition", "rig.runner"):
        if module in sys.modules and hasattr(sys.modules[module], "SYNC_INTERVAL_S"):
            monkeypatch.setattr(f"{module}.SYNC_INTERVAL_S", 0.0)


def whole(desk: Desk, source: str) -> Reference:
    assert desk.rig("run", source, "--out", "whole", "--quiet").code == 0
    [path] = run_files(Path("whole"))
    return Reference.of(open_run(path))


@pytest.mark.fault("X8")
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EROFS])
def test_share_that_drops_ends_the_run_safely(
    desk: Desk, disk: Disk, tmp_path: Path, number: int, record_property: Property
) -> None:
    source = str(sequence(tmp_path, "gated"))
    reference = whole(desk, source)
    disk.fails_at, disk.number = 120, number
    said = desk.rig("run", source)
    assert said.code == 4
    told(said.err, "FAULT", os.strerror(number), "hardware: off, confirmed by", "reconnect the disk", "rig recover")
    assert desk.bench.is_off()
    record_property("off_ms", disk.off_ms())
    [path] = run_files(Path("runs"))
    [safe] = re.findall(r"(\d+) frames are safe", " ".join(said.err.split()))
    assert judge(path, [], reference).count >= int(safe) > 0
    record_property("kept", f"{safe} of {safe} acknowledged frames")
    judge_recovery(path)


def rename_folder(path: Path) -> None:
    path.parent.rename("elsewhere")


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def remove_file(path: Path) -> None:
    path.unlink()


def put_another_there(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"something else")


@posix
@pytest.mark.fault("X8")
@pytest.mark.usefixtures("synced_at_once")
@pytest.mark.parametrize(
    ("deed", "found", "words"),
    [
        (rename_folder, "elsewhere/*film_on_off.h5", "it was moved to"),
        (remove_folder, "runs/*film_on_off.h5", "it was removed"),
        (remove_file, "runs/*film_on_off.h5", "it was removed"),
        (put_another_there, "runs/*film_on_off-rescued.h5", "it was removed"),
    ],
)
def test_folder_or_file_that_goes_away_costs_no_frame(
    desk: Desk, disk: Disk, tmp_path: Path, deed: Callable[[Path], None], found: str, words: str, record_property: Property
) -> None:
    source = str(sequence(tmp_path, "gated"))
    reference = whole(desk, source)

    disk.strikes_at, disk.strike = 120, lambda: deed(run_files(Path("runs"))[0])
    said = desk.rig("run", source)
    assert disk.failed_ns is not None
    assert said.code == 4
    told(said.err, "FAULT", words, "hardware: off, confirmed by")
    assert desk.bench.is_off()
    record_property("off_ms", disk.off_ms())
    [safe] = re.findall(r"(\d+) frames are safe", " ".join(said.err.split()))
    [path] = Path().glob(found)
    assert judge(path, [], reference).count >= int(safe) > 0
    record_property("kept", f"{safe} of {safe} acknowledged frames")
    recover(path)
    assert open_run(path).trimmed


@pytest.mark.fault("X8")
@pytest.mark.usefixtures("synced_at_once")
def test_disk_that_confirms_nothing_ends_the_run_safely(
    desk: Desk, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Property
) -> None:
    source, fsync = str(sequence(tmp_path, "gated")), os.fsync
    reference = whole(desk, source)

    def fail(descriptor: int) -> None:
        if disk.file is not None and disk.file.writes > 100:
            disk.now()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        disk.file = None
        said = desk.rig("run", source)
    assert said.code == 4
    told(said.err, "FAULT", os.strerror(errno.EIO), "hardware: off, confirmed by")
    assert desk.bench.is_off()
    record_property("off_ms", disk.off_ms())
    [path] = run_files(Path("runs"))
    [safe] = re.findall(r"(\d+) frames are safe", " ".join(said.err.split()))
    assert judge(path, [], reference).count >= int(safe)
    judge_recovery(path)


@posix
@pytest.mark.fault("X8")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_became_read_only_keeps_the_file_as_it_was_written(tmp_path: Path) -> None:
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(RecordError, match="could not be trimmed: Permission denied"):
            writer.finish("done")
    finally:
        tmp_path.chmod(0o755)
    assert recover(writer.path).count == 5


# --- a lock that somebody removes -----------------------------------------------------------------------------------------


@posix
@pytest.mark.fault("X8")
def test_nobody_recovers_under_a_living_writer_whose_lock_file_was_removed(tmp_path: Path) -> None:
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    lock_path(writer.path).unlink()
    run = open_run(writer.path)
    assert not run.unfinished
    with pytest.raises(RecordError, match="may still be written"):
        recover(writer.path)
    writer.append_frames(*frames(5, 5))
    writer.finish("done")
    assert (run.count, run.state, run.trimmed) == (10, "done", True)
    assert (run.spectra() == frames(0, 10)[1]).all()
    assert [left.name for left in tmp_path.iterdir()] == ["run.h5"]


@posix
def test_lock_on_a_file_that_was_removed_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder removes it when it ends; who had opened it before then holds a lock that nobody else sees."""
    path, opened = tmp_path / "run.h5", Path.open
    first = WriterLock.acquire(path)
    assert first is not None

    def open_then_first_ends(self: Path, *arguments: object, **named: object) -> object:
        file = opened(self, *arguments, **named)  # type: ignore[call-overload]
        first.release()
        return file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_then_first_ends)
        second = WriterLock.acquire(path)
    assert second is not None
    assert WriterLock.acquire(path) is None
    second.release()
    assert list(tmp_path.iterdir()) == []


# --- what killed runs leave before their file is there ------------------------------------------------------------------------


def test_next_run_clears_away_what_was_left_before_anything_was_recorded(tmp_path: Path) -> None:
    for name in ("a.h5.part", "a.h5.lock", "b.h5.lock", "other.part", "other.lock"):
        (tmp_path / name).write_bytes(b"left")
    living = create(tmp_path)  # run.h5
    (tmp_path / "run.h5.part").write_bytes(b"of a living writer")
    dead = create(tmp_path)  # run-2.h5
    dead.close()
    dead_lock = lock_path(dead.path)
    dead_lock.write_bytes(b"")  # as a kill leaves it, beside a run that can be recovered
    assert open_run(living.path).events == [(0, "cleared away, nothing was recorded in it: a.h5.part")]
    assert open_run(dead.path).events == []
    create(tmp_path).close()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        *("run.h5", "run.h5.part", "run.h5.lock", "run-2.h5", "run-2.h5.lock", "run-3.h5"),
        *("other.part", "other.lock"),
    }
    living.close()


def test_probe_of_a_folder_leaves_nothing_even_when_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rig import runfile

    seen: list[list[Path]] = []
    usage = shutil.disk_usage

    def look(folder: Path) -> object:
        seen.append(list(tmp_path.iterdir()))
        return usage(folder)

    monkeypatch.setattr(shutil, "disk_usage", look)
    runfile.check_folder(tmp_path, 1000)
    assert seen == [[]]
