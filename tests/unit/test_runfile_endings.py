"""How run files end: finished, given up, recovered, and on disks that fail."""

import errno
import os
import shutil
from pathlib import Path

import h5py
import pytest
from runfile_case import PIXELS, Usage, filled, frames, make, same

from drivers.errors import RecordError
from rig.runfile import RawHandle, bytes_per_frame, open_raw, open_run, recover

# --- how it ends ------------------------------------------------------------------------------------------------------


def test_finished_file_holds_what_was_recorded_and_no_more(tmp_path: Path) -> None:
    writer = filled(tmp_path, frames=20_000)
    before = writer.path.stat().st_size
    assert writer.finish("stopped") == writer.path
    with h5py.File(writer.path, "r") as file:
        assert file["entry/spectra/counts"].shape == (21, PIXELS)  # type: ignore[union-attr]
        assert file["entry/traces/band_520"].shape == (21,)  # type: ignore[union-attr]
        assert file["entry/readings/voltage_v"].shape == (2,)  # type: ignore[union-attr]
    assert writer.path.stat().st_size < before - 19_000 * bytes_per_frame(PIXELS)
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    with pytest.raises(RecordError, match="closed"):
        writer.append_frames(*frames(21, 1))


def test_run_without_frames_can_be_finished(tmp_path: Path) -> None:
    writer = make(tmp_path, frames=0)
    writer.finish("stopped")
    run = open_run(writer.path)
    assert (run.count, run.spectra().shape, run.state, run.trimmed) == (0, (0, PIXELS), "stopped", True)


def test_unfinished_means_says_running_and_nobody_writes(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    run = open_run(writer.path)
    assert (run.writer_lives, run.unfinished) == (True, False)
    writer.close()
    assert (run.writer_lives, run.unfinished) == (False, True)
    assert recover(run.path).state == "interrupted"
    assert (run.unfinished, run.trimmed) == (False, True)
    assert same(run.frames(), frames(0, 21)[0])


@pytest.mark.fault("X1")
def test_recover_twice_changes_nothing(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    writer.close()
    (tmp_path / "run.h5.finishing").write_bytes(b"left by a program that was killed while it finished")
    recover(writer.path)
    once = writer.path.read_bytes()
    recover(writer.path)
    assert writer.path.read_bytes() == once
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]


def test_recover_leaves_a_living_writer_alone(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    with pytest.raises(RecordError, match="still being written"):
        recover(writer.path)
    writer.append_frames(*frames(21, 2))
    writer.finish("done")
    assert recover(writer.path).state == "done"


@pytest.mark.fault("X16")
def test_file_survives_a_copy_that_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = filled(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "another program has the file open")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(RecordError, match="another program has the file open"):
            writer.finish("done")
    run = open_run(writer.path)
    assert (run.state, run.trimmed, run.unfinished, run.writer_lives) == ("done", False, False, False)
    assert same(run.frames(), frames(0, 21)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    recover(writer.path)
    assert (run.state, run.trimmed) == ("done", True)


def test_copy_with_a_wrong_byte_is_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = filled(tmp_path)
    fsync, spectrum, spoiled = os.fsync, frames(4, 1)[1].tobytes(), []

    def spoil(descriptor: int) -> None:
        fsync(descriptor)
        for copy in tmp_path.glob("*.finishing"):
            content = bytearray(copy.read_bytes())
            if spectrum in content:
                content[content.index(spectrum)] ^= 1
                copy.write_bytes(content)
                spoiled.append(copy)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", spoil)
        with pytest.raises(RecordError, match="differs"):
            writer.finish("done")
    assert len(spoiled) == 1
    run = open_run(writer.path)
    assert (run.trimmed, run.state) == (False, "done")
    assert same(run.spectra(), frames(0, 21)[1])


@pytest.mark.fault("X7")
def test_no_room_for_the_copy_keeps_hdf5_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = filled(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 0))
        with pytest.raises(RecordError, match="disk is full"):
            writer.finish("done")
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    assert open_run(writer.path).count == 21


@pytest.mark.parametrize("state", ["running", "paused", "a state of more than sixteen bytes", ""])
def test_only_an_ending_ends_a_run(tmp_path: Path, state: str) -> None:
    writer = filled(tmp_path)
    with pytest.raises(ValueError):
        writer.finish(state)
    writer.close()
    assert open_run(writer.path).unfinished


# --- a disk that fails ------------------------------------------------------------------------------------------------


class FailingHandle:
    """The real handle until its n-th write; that one writes half and the next raises."""

    def __init__(self, path: Path, good_writes: int, number: int) -> None:
        self.real = open_raw(path)
        self.left = good_writes
        self.number = number
        self.touched_after_failure = 0

    def seek(self, offset: int, /) -> int:
        return self.real.seek(offset)

    def write(self, data: memoryview, /) -> int | None:
        self.left -= 1
        if self.left < -1:
            self.touched_after_failure += self.left < -2
            raise OSError(self.number, os.strerror(self.number))
        return self.real.write(data[: len(data) // 2] if self.left == -1 else data)

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()


def writes_of_a_batch(tmp_path: Path) -> int:
    handles: list[FailingHandle] = []

    def opener(path: Path) -> RawHandle:
        handles.append(FailingHandle(path, 1000, errno.EIO))
        return handles[0]

    folder = tmp_path / "counted"
    folder.mkdir()
    writer = make(folder, opener=opener)
    writer.append_frames(*frames(0, 5))
    writer.close()
    return 1000 - handles[0].left


@pytest.mark.fault("X7")
@pytest.mark.parametrize(
    ("good_writes", "number"), [(n, (errno.ENOSPC, errno.EIO)[n % 2]) for n in (0, 1, 2, 19, 20, 21, 22, 41, 60)]
)
def test_full_disk_keeps_what_was_acknowledged(tmp_path: Path, good_writes: int, number: int) -> None:
    handles: list[FailingHandle] = []

    def opener(path: Path) -> RawHandle:
        handles.append(FailingHandle(path, good_writes, number))
        return handles[0]

    writer = make(tmp_path, opener=opener)
    acknowledged = 0
    batch_writes: list[int] = []
    with pytest.raises(RecordError) as failure:  # noqa: PT012
        for first in range(0, 100, 5):
            batch_writes.append(handles[0].left)
            writer.append_frames(*frames(first, 5))
            acknowledged = first + 5
    assert f"{acknowledged} frames are safe" in failure.value.what
    assert ("the disk is full" in failure.value.what) == (number == errno.ENOSPC)
    for attempt in (lambda: writer.log(1, "x"), writer.sync, lambda: writer.finish("fault")):
        with pytest.raises(RecordError, match="takes no more data"):
            attempt()
    assert handles[0].touched_after_failure == 0
    run = recover(writer.path)
    assert run.state == "interrupted"
    # A batch whose very last bytes failed is complete, though nobody was told so.
    in_last_batch = batch_writes[-1] + 1
    assert run.count == acknowledged + 5 * (in_last_batch == writes_of_a_batch(tmp_path))
    assert same(run.frames(), frames(0, run.count)[0])
    assert same(run.spectra(), frames(0, run.count)[1])


@pytest.mark.fault("X8")
def test_failed_sync_counts_only_what_was_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = make(tmp_path)
    writer.append_frames(*frames(0, 5))
    writer.sync()
    writer.append_frames(*frames(5, 5))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(RecordError, match="5 frames are safe"):
            writer.sync()
    with pytest.raises(RecordError, match="takes no more data"):
        writer.append_frames(*frames(10, 5))
    writer.close()
    assert open_run(writer.path).unfinished
