"""The run file seen from outside: what a plain HDF5 reader, another process or the next program finds in it."""

import errno
import io
import math
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import RecordError, RefusedError
from rig.runfile import FRAME_DTYPE, Flag, RawHandle, Results, RunFile, RunHeader, bytes_per_frame, open_raw, open_run, recover

PIXELS = 24
HEADER = RunHeader(
    run_id="run-1",
    title="ASE at 40 uJ/cm2",
    sample="CsPbBr3-07",
    measurement="on_off",
    mode="gated",
    simulated=True,
    seed=7,
    device="pristine",
    sequence_toml="title = 'x'\n",
    bench_toml="[laser]\n",
    programs_json="{}",
    identities_json='{"source": "maker, model"}',
    versions_json="{}",
    environment_json="{}",
    wavelength_nm=np.linspace(350.0, 1000.0, PIXELS),
    nonlinearity=(1.0, -2e-6),
    wall_start_label="2024-05-01T12:00:00+02:00",
    assumed_json="[]",
)


class Usage(NamedTuple):
    """What shutil.disk_usage returns (bytes)."""

    total: int
    used: int
    free: int


def make(
    folder: Path,
    name: str = "run",
    *,
    frames: int = 100,
    header: RunHeader = HEADER,
    event_bytes: int = 4096,
    opener: Callable[[Path], RawHandle] = open_raw,
) -> RunFile:
    return RunFile.create(
        folder, name, header, frame_capacity=frames, reading_capacity=50, event_bytes=event_bytes, opener=opener
    )


def frames(first: int, n: int) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Frames whose every number follows from their index."""
    index = np.arange(first, first + n)
    columns = np.zeros(n, dtype=FRAME_DTYPE)
    for place, name in enumerate(FRAME_DTYPE.names or ()):
        columns[name] = (index * (place + 3)) % 101
    columns["device_time_us"] = 5_000_000 + 1000 * index
    columns["pulse_energy_uj"] = math.nan
    spectra = (index[:, None] * 31 + np.arange(PIXELS)) % 65536
    return columns, spectra.astype(np.uint16)


def same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Compare to the last bit, NaN included."""
    return found.shape == expected.shape and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def filled(folder: Path, name: str = "run", **options: Any) -> RunFile:
    run = make(folder, name, **options)
    for first in (0, 7, 14):
        run.append_frames(*frames(first, 7))
    run.append_readings([10, 20], [0.0, 20.0], [1e-9, 2e-6], [False, True], 0, [0, 1])
    run.log(10, "first light")
    run.set_dark(np.full(PIXELS, 1500.0), np.full(PIXELS, 9.0), np.arange(PIXELS) == 3, 100)
    run.set_ledger({"triggers": 21, "frames": 21})
    return run


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_viewers_find_the_traces_from_the_root(tmp_path: Path) -> None:
    run = filled(tmp_path)
    for state in ("running", "done"):
        if state == "done":
            run.finish("done")
        with h5py.File(run.path, "r") as file:
            entry: Any = file[file.attrs["default"]]
            traces = entry[entry.attrs["default"]]
            assert [file.attrs["NX_class"], entry.attrs["NX_class"], traces.attrs["NX_class"]] == [
                "NXroot",
                "NXentry",
                "NXdata",
            ]
            signal, axis = traces[traces.attrs["signal"]], traces[traces.attrs["axes"][0]]
            assert signal.shape == axis.shape
            assert (axis.attrs["units"], signal.attrs["units"]) == ("s", "counts")
            assert axis[:21] == pytest.approx(np.arange(21) * 1e-3)
            assert [*traces.attrs["auxiliary_signals"]] == ["band_535"]
            assert same(traces["band_520"][:21], frames(0, 21)[0]["band_520"])
            assert traces["title"][()].decode() == "SIMULATED: ASE at 40 uJ/cm2"
            spectra = entry["spectra"]
            shape = tuple(spectra[name].shape[0] for name in spectra.attrs["axes"])
            assert spectra[spectra.attrs["signal"]].shape == shape
            if state == "running":  # a plot ends where the data end
                assert np.isnan(signal[21:]).all()
                assert np.isnan(axis[21:]).all()


def test_every_number_says_its_unit(tmp_path: Path) -> None:
    run = make(tmp_path)
    with h5py.File(run.path, "r") as file:
        for group in ("frames", "readings", "spectra", "traces", "dark"):
            numbers = {name: item for name, item in file["entry"][group].items() if item.dtype.kind != "S"}  # type: ignore[index]
            assert [name for name, item in numbers.items() if "units" not in item.attrs] == []
            assert numbers
    run.close()


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    columns, spectra = frames(0, 21)
    run = open_run(writer.path)
    for finished in (False, True):
        if finished:
            writer.finish("done", Results('{"contrast": 4.5}', {"mean_on": (spectra[0] * 1.0, "counts")}), "2024-05-01T12:01")
        assert run.count == 21
        assert same(run.frames(), columns)
        assert same(run.frames(5, 9), columns[5:9])
        assert same(run.column("band_535", -4), columns["band_535"][-4:])
        assert run.column("time_s") == pytest.approx(np.arange(21) * 1e-3)
        assert same(run.spectra(), spectra)
        assert same(run.spectra(2, 500, 4), spectra[2::4])
        assert len(run.spectra(21)) == 0
        assert run.readings["voltage_v"].tolist() == [0.0, 20.0]
        assert run.readings["compliance"].tolist() == [0, 1]
        assert run.readings["block"].tolist() == [0, 0]
        dark = run.dark
        assert dark is not None
        assert (dark.mean[0], dark.variance[0], dark.hot.tolist().index(True), dark.frames) == (1500.0, 9.0, 3, 100)
        assert run.events == [(10, "first light")]
        assert run.ledger == {"triggers": 21, "frames": 21}
        assert (run.state, run.trimmed) == (("done", True) if finished else ("running", False))
    assert run.results == {"contrast": 4.5}
    assert same(run.result_arrays["mean_on"], spectra[0] * 1.0)
    assert run.wall_end_label == "2024-05-01T12:01"
    with pytest.raises(ValueError, match="no such column"):
        run.column("band_999")


@pytest.mark.parametrize("text", ["", "../x", "µ" * 300, "a\0b", "CON", '"; DROP', "two\nlines", "\ud800"])
def test_header_comes_back_verbatim(tmp_path: Path, text: str) -> None:
    run = make(tmp_path, header=replace(HEADER, sample=text, sequence_toml=text, seed=None, simulated=False))
    header = open_run(run.path).header
    run.close()
    assert header.sample == header.sequence_toml == text.encode("utf-8", "backslashreplace").decode()
    assert (header.seed, header.simulated) == (None, False)
    for name in ("run_id", "title", "measurement", "nonlinearity", "wall_start_label", "identities_json"):
        assert getattr(header, name) == getattr(HEADER, name)
    assert same(header.wavelength_nm, HEADER.wavelength_nm)


def test_rows_are_rewritten_and_spectra_are_not(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    changed, spectra = frames(0, 21)
    changed["flags"][5:9] = Flag.UNASSIGNED | Flag.LEAD_IN
    changed["shot"][5:9] = -1
    writer.rewrite_rows(5, changed[5:9])
    run = open_run(writer.path)
    assert same(run.frames(), changed)
    assert same(run.spectra(), spectra)
    with pytest.raises(ValueError, match="cannot be rewritten"):
        writer.rewrite_rows(20, changed[:2])
    writer.close()


def test_full_event_log_says_so_and_goes_on(tmp_path: Path) -> None:
    writer = make(tmp_path, event_bytes=400)
    for i in range(50):
        writer.log(i, "µ is two bytes,\n a line break is none")
    events = open_run(writer.path).events
    assert 1 < len(events) < 50
    assert events[0] == (0, "µ is two bytes,\n a line break is none")
    assert "full" in events[-1][1]
    writer.finish("done")
    assert open_run(writer.path).events == events


def test_no_dark_and_no_ledger_at_first(tmp_path: Path) -> None:
    writer = make(tmp_path)
    run = open_run(writer.path)
    assert (run.dark, run.ledger, run.events, run.results, run.count) == (None, {}, [], {}, 0)
    writer.close()


# --- what is refused --------------------------------------------------------------------------------------------------


def test_more_frames_than_room_are_refused_whole(tmp_path: Path) -> None:
    writer = make(tmp_path, frames=10)
    writer.append_frames(*frames(0, 8))
    with pytest.raises(RecordError, match="room for 10 frames"):
        writer.append_frames(*frames(8, 3))
    writer.append_frames(*frames(8, 2))
    assert same(open_run(writer.path).frames(), frames(0, 10)[0])
    writer.close()


@pytest.mark.parametrize("wrong", ["pixels", "count", "spectra dtype", "columns dtype"])
def test_wrong_shapes_are_refused(tmp_path: Path, wrong: str) -> None:
    columns, spectra = frames(0, 4)
    given: dict[str, tuple[Any, Any]] = {
        "pixels": (columns, spectra[:, :-1]),
        "count": (columns[:3], spectra),
        "spectra dtype": (columns, spectra.astype(np.int32)),
        "columns dtype": (columns[["shot", "flags"]], spectra),
    }
    writer = make(tmp_path)
    with pytest.raises(ValueError, match="expected"):
        writer.append_frames(*given[wrong])
    assert open_run(writer.path).count == 0
    writer.close()


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(RefusedError) as refusal:
            make(folder)
        assert [reason.code for reason in refusal.value.reasons] == ["folder-not-writable"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("share", "fits"), [(1.99, False), (2.5, True)])
def test_disk_needs_twice_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, fits: bool) -> None:
    frames_planned = 20_000
    free = int(share * frames_planned * bytes_per_frame(PIXELS))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 * free, 9 * free, free))
    if fits:
        make(tmp_path, frames=frames_planned).close()
        return
    with pytest.raises(RefusedError) as refusal:
        make(tmp_path, frames=frames_planned)
    assert [reason.code for reason in refusal.value.reasons] == ["disk-space"]
    assert list(tmp_path.iterdir()) == []


def test_reserved_before_the_first_shot(tmp_path: Path) -> None:
    writer = make(tmp_path, frames=20_000)
    size = writer.path.stat().st_size
    if os.name == "posix":
        assert writer.path.stat().st_blocks * 512 >= 20_000 * bytes_per_frame(PIXELS)
    writer.append_frames(*frames(0, 100))
    assert writer.path.stat().st_size == size
    writer.close()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x"])
def test_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        make(tmp_path, name)


def test_taken_names_get_a_number(tmp_path: Path) -> None:
    (tmp_path / "run.h5.part").write_text("left by a program that was killed while it made a file")
    writers = [make(tmp_path) for _ in range(3)]
    assert [writer.path.name for writer in writers] == ["run.h5", "run-2.h5", "run-3.h5"]
    for writer in writers:
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-2.h5", "run-3.h5", "run.h5"]


def test_nothing_is_left_of_a_file_that_could_not_be_made(tmp_path: Path) -> None:
    def fail(_: Path) -> RawHandle:
        raise OSError(errno.EIO, "input/output error")

    with pytest.raises(RecordError, match="could not be made"):
        make(tmp_path, opener=fail)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_told_from_runs(tmp_path: Path) -> None:
    writer = filled(tmp_path)
    writer.finish("done")
    good = writer.path.read_bytes()
    foreign, packed = io.BytesIO(), io.BytesIO()
    with h5py.File(foreign, "w") as file:
        file["entry/frames/count"] = 3
    packed.write(good)
    with h5py.File(packed, "r+") as file:
        del file["entry/spectra/counts"]
        file.create_dataset("entry/spectra/counts", data=np.zeros((21, PIXELS), np.uint16), chunks=True, compression="gzip")
    for content in (b"", b"junk" * 100, good[: len(good) // 2], foreign.getvalue(), packed.getvalue()):
        (tmp_path / "other.h5").write_bytes(content)
        with pytest.raises(RecordError):
            open_run(tmp_path / "other.h5")
    with pytest.raises(RecordError, match="no such"):
        open_run(tmp_path / "absent.h5")


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


WRITES_PER_BATCH = 3 + len(FRAME_DTYPE.names or ())  # spectra, columns, time, count


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
    with pytest.raises(RecordError) as failure:  # noqa: PT012
        for first in range(0, 100, 5):
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
    assert run.count == acknowledged + 5 * (good_writes % WRITES_PER_BATCH == WRITES_PER_BATCH - 1)
    assert same(run.frames(), frames(0, run.count)[0])
    assert same(run.spectra(), frames(0, run.count)[1])


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


# --- others look on ---------------------------------------------------------------------------------------------------


def test_plain_readers_and_writer_do_not_disturb_each_other(tmp_path: Path) -> None:
    writer = make(tmp_path, frames=3000)
    columns, spectra = frames(0, 3000)
    ready, wrong, seen = threading.Event(), [], set[int]()

    def watch() -> None:
        run = open_run(writer.path)
        while True:
            ending = ready.is_set()
            n = run.count
            seen.add(n)
            if not same(run.frames(0, n), columns[:n]) or not same(run.spectra(0, n), spectra[:n]):
                wrong.append(n)
            if ending:
                return

    with h5py.File(writer.path, "r") as viewer:  # holds HDF5's own lock all the time
        watcher = threading.Thread(target=watch)
        watcher.start()
        for first in range(0, 3000, 10):
            writer.append_frames(columns[first : first + 10], spectra[first : first + 10])
        writer.finish("done")
        ready.set()
        watcher.join()
        assert viewer["entry/spectra/counts"].shape == (3000, PIXELS)  # type: ignore[union-attr]
    assert wrong == []
    assert max(seen) == 3000
    assert open_run(writer.path).trimmed


def _without_labels(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    with h5py.File(path, "r", locking=False) as file:
        for label in file["entry/labels"].values():  # type: ignore[union-attr]
            start = label.id.get_offset()
            content[start : start + label.dtype.itemsize] = bytes(label.dtype.itemsize)
    return bytes(content)


def test_same_inputs_same_bytes_but_for_the_labels(tmp_path: Path) -> None:
    live: list[bytes] = []
    finished: list[bytes] = []
    for i, label in enumerate(("2024-05-01T12:00:00", "2025-01-01T00:00:00+01:00")):
        writer = filled(tmp_path, f"name{i}", header=replace(HEADER, wall_start_label=label))
        live.append(_without_labels(writer.path))
        writer.finish("done", Results("{}", {"mean": (np.arange(3.0), "counts")}), label)
        finished.append(_without_labels(writer.path))
        threading.Event().wait(1.1 - i)  # HDF5's time stamps count seconds
    assert live[0] == live[1]
    assert finished[0] == finished[1]
    assert live[0] != finished[0]
