"""The run file seen from outside: what a plain HDF5 reader, another process or the next program finds in it."""

import errno
import io
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from runfile_case import HEADER, PIXELS, Usage, filled, frames, make, same

from drivers.errors import RecordError, RefusedError
from rig.runfile import Flag, RawHandle, Results, bytes_per_frame, open_run

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


@pytest.mark.fault("X8")
def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(RefusedError) as refusal:
            make(folder)
        assert [reason.code for reason in refusal.value.reasons] == ["folder-not-writable"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.fault("X7")
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


@pytest.mark.fault("C4")
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


def test_folder_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("rig.runfile_lock._lock", fail)
    with pytest.raises(RecordError, match="locked"):
        make(tmp_path)
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
