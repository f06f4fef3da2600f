"""What is where in a run file: HDF5 with NeXus names, every dataset contiguous and allocated before the first shot.

HDF5 makes the skeleton and is done with it; from then on a dataset is an extent, so many bytes from an offset on, and plain
reads and writes are all that touches it. The layout and its reasons: docs/decisions/0002-run-file-layout.md.
"""

import errno
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

FORMAT = "ito-rig run 1"
STATE_BYTES = 16
LABEL_BYTES = 40
SKELETON_BYTES = 65536  # HDF5's own headers, generously
MAX_NAMES = 1000  # in one group of a file that is read; ours have 20

RUNNING = "running"
INTERRUPTED = "interrupted"  # the ending of a run whose writer died
ENDINGS = ("done", "stopped", "fault", INTERRUPTED)  # in every other state somebody should be writing


class Flag(IntFlag):
    """What is special about a frame; ON/OFF statistics use frames with no flag."""

    SETTLING = 1
    SATURATED = 2
    MISSED_PULSE = 4
    COMPLIANCE = 8
    UNASSIGNED = 16
    LEAD_IN = 32
    SURPLUS = 64
    MONITOR = 128
    DARK_SHIFT = 256
    REFERENCE = 512


@dataclass(frozen=True, slots=True)
class Column:
    """One number per frame (or per reading), stored as a dataset of its own; `blank` (floats: NaN) until it is written."""

    name: str
    dtype: str
    units: str
    meaning: str
    blank: int = 0

    @property
    def blank_bytes(self) -> bytes:
        """Get one element as it stands in a row that nobody has written."""
        dtype = np.dtype(self.dtype)
        return np.array(np.nan if dtype.kind == "f" else self.blank, dtype=dtype).tobytes()


FRAME_COLUMNS = (
    Column("host_time_ns", "<i8", "ns", "time on the host's clock"),
    Column("device_time_us", "<u8", "us", "time on the spectrometer's clock"),
    Column("frame_count", "<u4", "1", "the spectrometer's own frame count"),
    Column("block", "<i4", "1", "block of the run"),
    Column("stretch", "<i4", "1", "stretch of the run"),
    Column("shot", "<i4", "1", "shot of the run, -1 none", -1),
    Column("cycle", "<i4", "1", "OFF/ON cycle, -1 none", -1),
    Column("state", "<i1", "1", "planned state: 0 OFF, 1 ON, -1 none", -1),
    Column("flags", "<u2", "1", ", ".join(f"{flag.value} {flag.name}" for flag in Flag), Flag.UNASSIGNED),
    Column("planned_voltage_v", "<f8", "V", "planned voltage"),
    Column("measured_voltage_v", "<f8", "V", "nearest measured voltage"),
    Column("measured_current_a", "<f8", "A", "nearest measured current"),
    Column("measured_age_s", "<f8", "s", "time of that measurement minus time of the frame"),
    Column("pulse_energy_uj", "<f8", "uJ", "pulse energy at the film, NaN where it was not measured"),
    Column("band_520", "<f8", "counts", "520 nm band"),
    Column("band_535", "<f8", "counts", "535 nm band"),
    Column("band_520_sigma", "<f8", "counts", "standard error of the 520 nm band"),
    Column("band_535_sigma", "<f8", "counts", "standard error of the 535 nm band"),
)
TIME_COLUMN = Column("time_s", "<f8", "s", "time since the first frame, spectrometer's clock")
READING_COLUMNS = (
    Column("t_ns", "<i8", "ns", "time on the host's clock"),
    Column("voltage_v", "<f8", "V", "voltage at the source's terminals"),
    Column("current_a", "<f8", "A", "current at the source's terminals"),
    Column("compliance", "<u1", "1", "1: the source limited its current"),
    Column("block", "<i4", "1", "block of the run"),
    Column("stretch", "<i4", "1", "stretch of the run"),
)
ENERGY_COLUMNS = (
    Column("t_ns", "<i8", "ns", "time on the host's clock"),
    Column("energy_uj", "<f8", "uJ", "pulse energy at the meter"),
    Column("block", "<i4", "1", "block of the run"),
    Column("stretch", "<i4", "1", "stretch of the run"),
)
FRAME_DTYPE = np.dtype([(column.name, column.dtype) for column in FRAME_COLUMNS])
READING_DTYPE = np.dtype([(column.name, column.dtype) for column in READING_COLUMNS])
ENERGY_DTYPE = np.dtype([(column.name, column.dtype) for column in ENERGY_COLUMNS])


def bytes_per_frame(pixels: int) -> int:
    """Price one frame of `pixels` pixels in the file (bytes)."""
    return 2 * pixels + FRAME_DTYPE.itemsize + np.dtype(TIME_COLUMN.dtype).itemsize


@dataclass(frozen=True, slots=True, eq=False)
class RunHeader:
    """What is known of a run before its first shot.

    `wavelength_nm` float64 (pixels,); `nonlinearity` as in drivers.roles.SpectrometerInfo; texts are stored as they come.
    `wall_start_label` is the only wall-clock time among them (ISO text, at most 40 bytes).
    """

    run_id: str
    title: str
    sample: str
    measurement: str
    mode: str
    simulated: bool
    seed: int | None
    device: str
    sequence_toml: str
    bench_toml: str
    programs_json: str
    identities_json: str
    versions_json: str
    environment_json: str
    wavelength_nm: NDArray[np.float64]
    nonlinearity: tuple[float, ...]
    wall_start_label: str
    assumed_json: str
    simulation_json: str = "{}"
    calibration_toml: str = ""
    timing_json: str = "{}"

    @property
    def shown_id(self) -> str:
        """Get the run's name, which says first that nothing of it is real."""
        return f"{'SIMULATED ' if self.simulated else ''}{self.run_id}"


HEADER_TEXTS = {  # field of RunHeader: dataset
    "run_id": "entry_identifier",
    "title": "title",
    "sample": "sample/name",
    "device": "sample/device",
    "measurement": "measurement",
    "mode": "mode",
    "sequence_toml": "provenance/sequence_toml",
    "bench_toml": "provenance/bench_toml",
    "programs_json": "provenance/programs_json",
    "identities_json": "provenance/identities_json",
    "versions_json": "provenance/versions_json",
    "environment_json": "provenance/environment_json",
    "assumed_json": "provenance/assumed_json",
    "simulation_json": "provenance/simulation_json",
    "calibration_toml": "provenance/calibration_toml",
    "timing_json": "provenance/timing_json",
}

GROUPS: dict[str, dict[str, Any]] = {
    "/": {"NX_class": "NXroot", "default": "entry", "creator": "ito-rig", "format": FORMAT},
    "/entry": {"NX_class": "NXentry", "default": "traces"},
    "/entry/sample": {"NX_class": "NXsample"},
    "/entry/provenance": {"NX_class": "NXcollection"},
    "/entry/labels": {"NX_class": "NXcollection"},
    "/entry/status": {"NX_class": "NXcollection"},
    "/entry/events": {"NX_class": "NXcollection"},
    "/entry/frames": {"NX_class": "NXcollection"},
    "/entry/traces": {
        "NX_class": "NXdata",
        "signal": "band_520",
        "auxiliary_signals": ["band_535"],
        "axes": ["time_s"],
        "time_s_indices": 0,
    },
    "/entry/spectra": {
        "NX_class": "NXdata",
        "signal": "counts",
        "axes": ["time_s", "wavelength_nm"],
        "time_s_indices": 0,
        "wavelength_nm_indices": 1,
    },
    "/entry/readings": {
        "NX_class": "NXdata",
        "signal": "voltage_v",
        "auxiliary_signals": ["current_a"],
        "axes": ["t_ns"],
        "t_ns_indices": 0,
    },
    "/entry/energies": {"NX_class": "NXdata", "signal": "energy_uj", "axes": ["t_ns"], "t_ns_indices": 0},
    "/entry/dark": {"NX_class": "NXdata", "signal": "mean", "axes": ["wavelength_nm"], "wavelength_nm_indices": 0},
    "/entry/results": {"NX_class": "NXcollection"},
}

LINKS = {  # the same dataset under a second name, where NeXus or a plot looks for it
    "start_time": "labels/start_time",
    "end_time": "labels/end_time",
    "spectra/title": "traces/title",
    "spectra/time_s": "frames/time_s",
    "dark/wavelength_nm": "spectra/wavelength_nm",
    "traces/time_s": "frames/time_s",
    "traces/band_520": "frames/band_520",
    "traces/band_535": "frames/band_535",
    "traces/band_520_errors": "frames/band_520_sigma",
    "traces/band_535_errors": "frames/band_535_sigma",
}


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much room is allocated; `events` and `ledger` in bytes."""

    frames: int
    readings: int
    events: int
    ledger: int = 16384
    energies: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One dataset below /entry: known from the start when it has a `value`, otherwise allocated to be filled."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    units: str = ""
    meaning: str = ""
    value: object = None
    blank: int = 0

    @property
    def nbytes(self) -> int:
        """Get its size (bytes)."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def data(self) -> bytes | None:
        """Get the bytes of its value, None when it is to be filled."""
        return None if self.value is None else np.array(self.value, dtype=self.dtype).tobytes()


@dataclass(frozen=True, slots=True)
class Results:
    """What an analysis adds when a run is finished: `values` as JSON text, `arrays` as name: (array, units)."""

    values: str = "{}"
    arrays: Mapping[str, tuple[NDArray[Any], str]] = field(default_factory=dict[str, tuple[NDArray[Any], str]])


def _room(path: str, size: int) -> Cell:
    return Cell(path, h5py.string_dtype("utf-8", max(1, size)))


def _text(path: str, text: str, size: int = 1) -> Cell:
    encoded = text.encode("utf-8", "backslashreplace")
    return Cell(path, h5py.string_dtype("utf-8", max(size, len(encoded))), value=encoded)


def _array(path: str, value: NDArray[Any], units: str, meaning: str = "") -> Cell:
    return Cell(path, value.dtype.newbyteorder("<"), value.shape, units, meaning, value)


def cells(header: RunHeader, capacity: Capacity, results: Results | None = None) -> list[Cell]:
    """List every dataset of a run; with `results` of a finished one.

    Raises
    ------
    ValueError  a label longer than 40 bytes
    """
    if len(header.wall_start_label.encode()) > LABEL_BYTES:
        raise ValueError(f"wall_start_label is longer than {LABEL_BYTES} bytes: {header.wall_start_label!r}")
    pixels = len(header.wavelength_nm)
    flag, count, f8 = np.dtype("<u1"), np.dtype("<i8"), np.dtype("<f8")
    plot_title = f"SIMULATED: {header.title}" if header.simulated else header.title
    listed = [_text(path, getattr(header, name)) for name, path in HEADER_TEXTS.items()]
    listed += [
        _text("traces/title", plot_title),
        _text("provenance/seed", "" if header.seed is None else str(header.seed)),
        Cell("provenance/simulated", flag, value=int(header.simulated), meaning="1: no real instrument took part"),
        _array("provenance/nonlinearity", np.array(header.nonlinearity, dtype=f8), "1", "r(x) = sum c_i x^i"),
        _text("labels/start_time", header.wall_start_label, LABEL_BYTES),
        _room("labels/end_time", LABEL_BYTES),
        _text("status/state", RUNNING, STATE_BYTES) if results is None else _room("status/state", STATE_BYTES),
        Cell("status/trimmed", flag, value=int(results is not None), meaning="1: finished, no room is left over"),
        Cell("status/ledger_slot", flag, meaning="which of the two ledgers is valid"),
        _room("status/ledger_0", capacity.ledger),
        _room("status/ledger_1", capacity.ledger),
        _room("events/log", capacity.events),
        Cell("dark/frames", count, meaning="frames averaged; 0: no dark yet", units="1"),
        Cell("dark/mean", f8, (pixels,), "counts", "mean of the dark frames"),
        Cell("dark/variance", f8, (pixels,), "counts^2", "variance of one dark frame"),
        Cell("dark/hot", flag, (pixels,), "1", "1: pixel is not used"),
        Cell("frames/count", count, meaning="rows that are valid; written last", units="1"),
        Cell("readings/count", count, meaning="rows that are valid; written last", units="1"),
        Cell("energies/count", count, meaning="rows that are valid; written last", units="1"),
        _array("spectra/wavelength_nm", np.asarray(header.wavelength_nm, dtype=f8), "nm", "wavelength"),
        Cell("spectra/counts", np.dtype("<u2"), (capacity.frames, pixels), "counts", "raw spectra"),
    ]
    for group, columns, rows in (
        ("frames", (TIME_COLUMN, *FRAME_COLUMNS), capacity.frames),
        ("readings", READING_COLUMNS, capacity.readings),
        ("energies", ENERGY_COLUMNS, capacity.energies),
    ):
        listed += [Cell(f"{group}/{c.name}", np.dtype(c.dtype), (rows,), c.units, c.meaning, blank=c.blank) for c in columns]
    if results is not None:
        listed.append(_text("results/json", results.values))
        listed += [_array(f"results/{name}", np.asarray(value), units) for name, (value, units) in results.arrays.items()]
    return listed


def planned_bytes(planned: list[Cell]) -> int:
    """Price the file (bytes)."""
    return SKELETON_BYTES + sum(cell.nbytes for cell in planned)


def _allocate(entry: h5py.Group, cell: Cell) -> None:
    # h5py's create_dataset() would not allocate scalars early.
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_obj_track_times(False)
    if cell.dtype.kind == "f" or cell.blank:  # a plot of a running file ends where the data end
        creation.set_fill_value(np.array(np.nan if cell.dtype.kind == "f" else cell.blank, dtype=cell.dtype))
        creation.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    elif cell.nbytes < SKELETON_BYTES:
        creation.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    else:  # the file system's own zeros
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(cell.shape) if cell.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    parent, _, name = cell.path.rpartition("/")
    group = entry.require_group(parent) if parent else entry
    kind = h5py.h5t.py_create(cell.dtype, logical=True)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, creation))
    if cell.units:
        dataset.attrs["units"] = cell.units
    if cell.meaning:
        dataset.attrs["long_name"] = f"{cell.meaning} ({cell.units})" if cell.units not in ("", "1") else cell.meaning
    if cell.value is not None and cell.nbytes:
        dataset[()] = np.array(cell.value, dtype=cell.dtype)


def _reserve(descriptor: int, size: int) -> None:
    if sys.platform == "linux":
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # a file system without reservation
                raise


class _Medium(FileIO):
    """The file that HDF5 writes: HDF5 never hears of a full disk, as it ends the interpreter with it; `error` keeps it."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of `data`, or keep the reason why not."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self.error is None:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size (bytes), or keep the reason why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def write_skeleton(path: Path, planned: list[Cell]) -> None:
    """Make the file with every dataset and attribute, reserve its room on the disk, sync it; HDF5 is out of it afterwards.

    Raises
    ------
    OSError  the folder or the disk does not play along
    """
    with _Medium(path, "w+") as medium:
        _format(medium, planned)
        if medium.error is not None:
            raise medium.error
        _reserve(medium.fileno(), path.stat().st_size)
        os.fsync(medium.fileno())


def _format(medium: _Medium, planned: list[Cell]) -> None:
    # Aligned, so that no count or slot number straddles two sectors.
    with h5py.File(medium, "w", alignment_threshold=1, alignment_interval=8) as file:
        for name, attributes in GROUPS.items():
            file.require_group(name).attrs.update(attributes)
        entry = file.require_group("entry")
        for cell in planned:
            if medium.error is not None:
                return
            _allocate(entry, cell)
        for link, target in LINKS.items():
            entry[link] = entry[target]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a dataset's bytes are in the file: `offset` and `nbytes` (bytes), in C order."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Get its size (bytes)."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Get the size of one entry along the first axis (bytes)."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


def _datasets(group: h5py.h5g.GroupID, prefix: str, depth: int) -> Iterator[tuple[str, h5py.h5d.DatasetID]]:
    # Half the time of h5py's Group and Dataset, and a browser opens many runs.
    if not group.get_num_objs() <= MAX_NAMES:
        raise ValueError(f"{group.get_num_objs()} names in a group, at most {MAX_NAMES} are looked at")
    for name in group:
        path = prefix + name.decode("utf-8", "replace")
        kind = h5py.h5g.get_objinfo(group, name, follow_link=False).type  # links that lead elsewhere are none of ours
        if kind == h5py.h5g.DATASET:
            yield path, h5py.h5d.open(group, name)
        elif kind == h5py.h5g.GROUP and depth:
            yield from _datasets(h5py.h5g.open(group, name), f"{path}/", depth - 1)


def _require_ours(opened: h5py.File) -> None:
    """Refuse what is no run file (ValueError), before anything of unknown size is read or any link is followed."""
    name = b"format"
    if h5py.h5a.exists(opened.id, name):
        attribute = h5py.h5a.open(opened.id, name)
        plain = attribute.shape == () and attribute.get_type().get_class() == h5py.h5t.STRING
        if plain and attribute.get_storage_size() <= LABEL_BYTES and opened.attrs.get("format") == FORMAT:
            if isinstance(opened.get("entry", getlink=True), h5py.HardLink):
                return
    raise ValueError(f"not a file of the format {FORMAT!r}")


def _require_apart(extents: Mapping[str, Extent]) -> None:
    """Refuse datasets that share bytes without being one and the same: all together are never larger than the file."""
    places = sorted({(extent.offset, extent.nbytes) for extent in extents.values() if extent.nbytes})
    for (offset, nbytes), (following, _) in pairwise(places):
        if not offset + nbytes <= following:
            raise ValueError(f"two datasets share the bytes from {following} on")


def read_extents(file: BinaryIO) -> dict[str, Extent]:
    """Ask HDF5 where every contiguous dataset below /entry lies; keys are paths below /entry.

    `file` is an open binary file, so that HDF5 neither locks nor reopens it.

    Raises
    ------
    ValueError  another kind of file, or a damaged one (OSError, RuntimeError, KeyError from HDF5 likewise)
    """
    size = file.seek(0, os.SEEK_END)
    extents: dict[str, Extent] = {}
    with h5py.File(file, "r") as opened:
        _require_ours(opened)
        for name, dataset in _datasets(h5py.h5g.open(opened.id, b"entry"), "", depth=1):
            layout = dataset.get_create_plist()  # first: the shape of a virtual dataset would open its sources
            if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count():
                raise ValueError(f"/entry/{name} is not stored contiguously in this file")
            extent = Extent(dataset.get_offset() or 0, dataset.shape, dataset.dtype)
            if extent.dtype.hasobject:
                raise ValueError(f"/entry/{name} holds no plain numbers or text")
            if not 0 <= extent.offset <= extent.offset + extent.nbytes <= size or (extent.nbytes and not extent.offset):
                raise ValueError(f"/entry/{name} lies outside the file")
            extents[name] = extent
    _require_apart(extents)
    return extents
