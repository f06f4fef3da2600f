"""Files made to harm who opens them: refused in words, nothing executed, nothing else opened, little memory taken."""

import ctypes
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from killed_runs import LONG
from test_runfile_crash import PIXELS, create, frames

from drivers.errors import RecordError
from rig.runfile import Results, Run, open_run, recover
from rig.runfile_layout import read_extents

pytestmark = pytest.mark.fault("C6")
LITTLE_BYTES = 4 << 20
HUGE = 1 << 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good finished file, to be spoiled."""
    writer = create(tmp_path)
    writer.append_frames(*frames(0, 5))
    writer.log(0, "begins")
    return writer.finish("done", Results('{"a": 1}', {"b": (np.arange(3.0), "1")}))


def ask_everything(run: Run) -> None:
    """All that any command of ours ever asks a file."""
    for name in ("header", "capacity", "count", "wavelength_nm", "readings", "energies", "dark", "state", "wall_end_label"):
        getattr(run, name)
    for name in ("trimmed", "unfinished", "events", "ledger", "results", "result_arrays"):
        getattr(run, name)
    run.frames()
    run.spectra()


def refused(path: Path) -> RecordError:
    """Opening it, or asking it, is refused with one of our errors, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="no run file, or it is damaged") as refusal:
            ask_everything(open_run(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LITTLE_BYTES
    assert len(str(refusal.value)) < 2000
    with pytest.raises(RecordError):
        recover(path)
    return refusal.value


def replaced(path: Path, name: str, make: Callable[[h5py.Group, str], Any]) -> None:
    """Put something else in the place of a dataset of /entry."""
    with h5py.File(path, "r+") as file:
        entry = file["entry"]
        assert isinstance(entry, h5py.Group)
        del entry[name]
        make(entry, name)


def test_good_file_is_not_refused(path: Path) -> None:
    ask_everything(open_run(path))


# --- sizes ----------------------------------------------------------------------------------------------------------------

BOMBS: dict[str, dict[str, Any]] = {
    "unwritten chunks": {"shape": (HUGE // PIXELS, PIXELS), "dtype": "<u2", "chunks": (1 << 20, PIXELS), "compression": "gzip"},
    "declared, not there": {"shape": (HUGE // PIXELS, PIXELS), "dtype": "<u2"},
    "no end": {"shape": (5, PIXELS), "dtype": "<u2", "maxshape": (None, PIXELS)},
    "compressed zeros": {"data": np.zeros((1 << 19, PIXELS), "<u2"), "chunks": True, "compression": "gzip"},
}


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.parametrize("name", ["spectra/counts", "events/log", "dark/mean"])
def test_sizes_that_are_not_in_the_file(path: Path, kind: str, name: str) -> None:
    replaced(path, name, lambda entry, place: entry.create_dataset(place, **BOMBS[kind]))
    refused(path)


@pytest.mark.parametrize("name", ["events/log", "title", "status/state", "provenance/nonlinearity", "results/json"])
def test_holes_of_gigabytes_are_not_read(path: Path, name: str) -> None:
    """A sparse file really is as long as it says, and costs its maker nothing."""

    def hole(entry: h5py.Group, place: str) -> None:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        number = name == "provenance/nonlinearity"
        space = h5py.h5s.create_simple((1 << 27,)) if number else h5py.h5s.create(h5py.h5s.SCALAR)
        kind = h5py.h5t.py_create(np.dtype("<f8")) if number else h5py.h5t.py_create(h5py.string_dtype("utf-8", (1 << 30) - 1))
        h5py.h5d.create(entry.id, place.encode(), kind, space, creation)

    replaced(path, name, hole)
    with path.open("r+b") as file:
        file.truncate(2 << 30)
    assert path.stat().st_blocks * 512 < 10 << 20
    assert "bytes, at most" in refused(path).what


def test_datasets_that_share_their_bytes(path: Path) -> None:
    """Many large ones in a small file would be read many times over."""
    with path.open("rb") as file:
        extents = read_extents(file)
    content = bytearray(path.read_bytes())
    from_, to = (extents[f"dark/{name}"].offset.to_bytes(8, "little") for name in ("mean", "variance"))
    assert content.count(from_) == 1
    content[content.index(from_) :][:8] = to
    shifted = (extents["dark/variance"].offset + 8).to_bytes(8, "little")
    content[content.index(from_) : content.index(from_) + 8] = shifted
    path.write_bytes(content)
    assert "share" in refused(path).what


def test_more_names_than_anybody_looks_at(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for number in range(1100):
            file.create_group(f"entry/junk/{number}")
    assert "names in a group" in refused(path).what


# --- types and shapes -------------------------------------------------------------------------------------------------------


def names(path: Path) -> list[str]:
    with path.open("rb") as file:
        return sorted(read_extents(file))


WRONG = (np.zeros((3, 4, 5)), np.zeros((), "<c16"), np.zeros(2, [("a", "<f8"), ("b", "<i4")]))


def test_every_missing_or_wrong_dataset(path: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.h5"
    linked = {"spectra/title", "spectra/time_s", "dark/wavelength_nm"}
    tried = [name for name in names(path) if not name.startswith(("traces/", "results/", "energies/")) and name not in linked]
    tried = [name for name in tried if "/" in name and not name.startswith(("provenance/", "sample/"))]
    for number, name in enumerate(tried):
        spoiled.write_bytes(path.read_bytes())
        with h5py.File(spoiled, "r+") as file:
            del file["entry"][name]  # type: ignore[attr-defined]
        refused(spoiled)
        for data in WRONG if LONG else WRONG[number % len(WRONG) :][:1]:
            spoiled.write_bytes(path.read_bytes())
            replaced(spoiled, name, lambda entry, place, data=data: entry.create_dataset(place, data=data))
            refused(spoiled)
    assert len(tried) > 35


@pytest.mark.parametrize(
    "dtype", [h5py.string_dtype(), h5py.ref_dtype, h5py.regionref_dtype, h5py.vlen_dtype(np.int32)], ids=str
)
def test_things_that_are_no_numbers(path: Path, dtype: Any) -> None:
    replaced(path, "frames/shot", lambda entry, place: entry.create_dataset(place, (5,), dtype))
    refused(path)


@pytest.mark.parametrize("dtype", [np.dtype("<f8"), h5py.ref_dtype, h5py.string_dtype("utf-8", 1000)], ids=str)
def test_format_mark_of_another_kind(path: Path, dtype: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["format"]
        if dtype.kind == "f":
            file.attrs["format"] = np.zeros(1000)
        else:
            file.attrs.create("format", None, (), dtype)
    refused(path)


TEXTS = {
    "deep": "[" * 100_000,
    "no time": '[Infinity, "x"]\n',
    "no pair": '[1, "a", 2]\n',
    "no number": '["x", "a"]\n',
    "many digits": f'[{"9" * 5000}, "x"]\n',
    "list": "[1, 2]",
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("name", ["events/log", "status/ledger_0", "results/json"])
def test_texts_that_are_no_log_or_ledger(path: Path, kind: str, name: str) -> None:
    if name == "events/log" and kind == "list":
        pytest.skip("a line without its end is none")
    data = np.bytes_((TEXTS[kind] + ("\n" if name == "events/log" else "")).encode())

    def put(entry: h5py.Group, place: str) -> None:
        entry.create_dataset(place, data=data, dtype=h5py.string_dtype("utf-8", len(data)))

    replaced(path, name, put)
    with pytest.raises(RecordError, match="damaged"):
        ask_everything(open_run(path))


# --- other files ------------------------------------------------------------------------------------------------------------


@contextmanager
def opened_files(watched: Path) -> Iterator[list[int]]:
    """Who opens this file while we look: the kernel tells, for HDF5 opens files behind Python's back."""
    c_library = ctypes.CDLL(None, use_errno=True)
    descriptor = c_library.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    assert c_library.inotify_add_watch(descriptor, os.fsencode(watched), 0x20) >= 0  # IN_OPEN
    opened: list[int] = []
    try:
        yield opened
        try:
            opened.append(len(os.read(descriptor, 4096)))
        except BlockingIOError:
            pass
    finally:
        os.close(descriptor)


def external_entry(file: h5py.File, other: Path) -> None:
    file["kept"] = file["entry"]
    del file["entry"]
    file["entry"] = h5py.ExternalLink(str(other), "/entry")


def external_dataset(file: h5py.File, other: Path) -> None:
    del file["entry/frames/shot"]
    file["entry/frames/shot"] = h5py.ExternalLink(str(other), "/entry/frames/shot")


def soft_entry(file: h5py.File, other: Path) -> None:
    external_entry(file, other)
    file["there"] = h5py.ExternalLink(str(other), "/entry")
    del file["entry"]
    file["entry"] = h5py.SoftLink("/there")


def external_storage(file: h5py.File, other: Path) -> None:
    del file["entry/frames/shot"]
    file.create_dataset("entry/frames/shot", (5,), "<i4", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, other: Path) -> None:
    del file["entry/frames/shot"]
    layout = h5py.VirtualLayout((5,), "<i4")
    layout[:] = h5py.VirtualSource(str(other), "/entry/frames/shot", (5,))
    file["entry"].create_virtual_dataset("frames/shot", layout)  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked who opens a file")
@pytest.mark.parametrize("lead", [external_entry, external_dataset, soft_entry, external_storage, virtual])
def test_no_other_file_is_opened(path: Path, tmp_path: Path, lead: Callable[[h5py.File, Path], None]) -> None:
    other = tmp_path / "secret.h5"
    other.write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        lead(file, other)
    with opened_files(other) as opened:
        refused(path)
    assert opened == []
    with opened_files(other) as opened, h5py.File(path, "r") as file:  # the lure works for who is not careful
        try:
            file["entry/frames/shot"][()]  # type: ignore[index]
        except (OSError, KeyError):
            pytest.skip("HDF5 itself refuses this one")
    assert len(opened) == 1


# --- anything at all --------------------------------------------------------------------------------------------------------

MUTANTS = """
import random, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from drivers.errors import RecordError
from rig.runfile import open_run
from test_hostile_files import ask_everything

resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]), resource.RLIM_INFINITY))
good, refused = Path(sys.argv[1]).read_bytes(), 0
path = Path(sys.argv[1]).with_name("mutant.h5")
for seed in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[5])):
    chance = random.Random(seed)
    content = bytearray(good)
    for _ in range(chance.choice((1, 2, 8))):
        place = chance.randrange(len(content))
        size = chance.choice((1, 8))
        content[place : place + size] = chance.choice((b"\\xff" * 8, bytes(8), chance.randbytes(8)))[:size]
    if chance.random() < 0.1:
        del content[chance.randrange(len(content)) :]
    path.write_bytes(content)
    print(seed, flush=True)
    try:
        ask_everything(open_run(path))
    except RecordError:
        refused += 1
print("refused", refused)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on memory")
def test_spoiled_bytes_are_a_refusal_or_a_run(path: Path) -> None:
    """Never another error, never gigabytes."""
    mutants = 3000 if LONG else 150
    words = [sys.executable, "-c", MUTANTS, str(path), str(Path(__file__).parent), "0", str(3 << 30), str(mutants)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"mutant {ended.stdout.split()[-1:]}: {ended.stderr[-2000:]}"
    assert int(ended.stdout.split()[-1]) > mutants // 20
