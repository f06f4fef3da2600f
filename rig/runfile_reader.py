"""A run as its file tells it, while it is written, after it ended and after it was killed.

The file is opened for each question and closed again: a viewer never stands in the way of the finished copy that replaces a
running file, and follows that replacement by itself. Nothing here writes, and nothing in a file is executed.
"""

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RecordError
from rig.runfile_layout import (
    ENDINGS,
    ENERGY_DTYPE,
    FRAME_DTYPE,
    HEADER_TEXTS,
    READING_DTYPE,
    TIME_COLUMN,
    Capacity,
    Extent,
    RunHeader,
    cells,
    read_extents,
)
from rig.runfile_lock import open_elsewhere, writer_lives

SMALL_BYTES = 64 << 20  # of a text or anything else that is read as a whole and does not grow with the run


@dataclass(frozen=True, slots=True, eq=False)
class Dark:
    """The dark: `mean` and `variance` float64 (pixels,) (counts, counts^2), `hot` bool (pixels,), frames averaged."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    hot: NDArray[np.bool_]
    frames: int


class OpenedRun:
    """Raw reading of one open file; only for the time of one question, and for the finishing of a run."""

    def __init__(self, file: FileIO, extents: Mapping[str, Extent]) -> None:
        self.file = file
        self.extents = extents

    def array(self, name: str) -> NDArray[Any]:
        """Read a whole dataset; raises KeyError when there is none, EOFError when the file is too short."""
        extent = self.extents[name]
        values = np.empty(extent.shape, dtype=extent.dtype)
        self._fill(extent.offset, values)
        return values

    def rows(self, name: str, chosen: range) -> NDArray[Any]:
        """Read some rows of a dataset; raises as array()."""
        extent = self.extents[name]
        values = np.empty((len(chosen), *extent.shape[1:]), dtype=extent.dtype)
        if chosen.step == 1:
            self._fill(extent.offset + chosen.start * extent.row_bytes, values)
        else:
            for i, row in enumerate(chosen):
                self._fill(extent.offset + row * extent.row_bytes, values[i : i + 1])
        return values

    def number(self, name: str) -> int:
        """Read a whole number."""
        return int(self.array(name))

    def text(self, name: str) -> str:
        """Read a text."""
        return bytes(self.array(name)[()]).decode("utf-8", "replace")

    def valid(self, group: str) -> range:
        """Read which rows of "frames", "readings" or "energies" are valid; none of a table that older files lack."""
        if f"{group}/count" not in self.extents:
            return range(0)
        return range(max(0, min(self.number(f"{group}/count"), self.extents[f"{group}/block"].shape[0])))

    def table(self, group: str, dtype: np.dtype[Any], chosen: range) -> NDArray[Any]:
        """Read the columns of a group into one structured array."""
        table = np.empty(len(chosen), dtype=dtype)
        for name in dtype.names or ():
            table[name] = self.rows(f"{group}/{name}", chosen)
        return table

    def _fill(self, offset: int, values: NDArray[Any]) -> None:
        self.file.seek(offset)
        left = values.reshape(-1).view(np.uint8).data
        while left:
            done = self.file.readinto(left)
            if not done:
                raise EOFError("the file is shorter than it says")
            left = left[done:]


class Run:
    """A read-only view of a run file, live or finished; every property is read afresh.

    Raises
    ------
    RecordError  from everything: the file is gone, damaged or no run file
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: tuple[int, int, int] | None = None
        self._extents: dict[str, Extent] = {}
        with self._opened():
            pass

    @contextmanager
    def _opened(self) -> Generator[OpenedRun]:
        try:
            with self.path.open("rb", buffering=0) as file:  # a buffer could be older than the count it is read with
                facts = os.fstat(file.fileno())
                identity = (facts.st_dev, facts.st_ino, facts.st_size)
                if identity != self._identity:  # first time, or replaced by its finished copy
                    extents = read_extents(file)
                    _require_layout(extents)
                    self._extents = extents
                    self._identity = identity
                yield OpenedRun(file, self._extents)
        except FileNotFoundError as error:
            raise RecordError("there is no such run file", where=str(self.path)) from error
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise RecordError(
                f"this is no run file, or it is damaged: {error}",
                where=str(self.path),
                next_step="keep the file; what is in it may be readable with an HDF5 viewer",
            ) from error

    # --- the frames -----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Get how many frames are valid."""
        with self._opened() as run:
            return len(run.valid("frames"))

    @property
    def wavelength_nm(self) -> NDArray[np.float64]:
        """Get the wavelength of every pixel (nm), float64 (pixels,)."""
        with self._opened() as run:
            return run.array("spectra/wavelength_nm")

    def frames(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Read frames start:stop, an array of FRAME_DTYPE (n,)."""
        with self._opened() as run:
            return run.table("frames", FRAME_DTYPE, run.valid("frames")[start:stop])

    def column(self, name: str, start: int = 0, stop: int | None = None, step: int = 1) -> NDArray[Any]:
        """Read rows start:stop:step of one column of FRAME_DTYPE, or of "time_s", (n,); ValueError for other names."""
        if name not in (TIME_COLUMN.name, *(FRAME_DTYPE.names or ())):
            raise ValueError(f"no such column: {name!r}")
        with self._opened() as run:
            return run.rows(f"frames/{name}", run.valid("frames")[start:stop:step])

    def spectra(self, start: int = 0, stop: int | None = None, step: int = 1) -> NDArray[np.uint16]:
        """Read the raw spectra start:stop:step, uint16 (n, pixels); only these are read from the disk."""
        with self._opened() as run:
            return run.rows("spectra/counts", run.valid("frames")[start:stop:step])

    @property
    def readings(self) -> NDArray[Any]:
        """Get what the source measured, an array of READING_DTYPE (n,)."""
        with self._opened() as run:
            return run.table("readings", READING_DTYPE, run.valid("readings"))

    def readings_from(self, start: int) -> NDArray[Any]:
        """Read what the source measured from row `start` on, an array of READING_DTYPE (n,)."""
        with self._opened() as run:
            return run.table("readings", READING_DTYPE, run.valid("readings")[start:])

    @property
    def energies(self) -> NDArray[Any]:
        """Get what the energy meter measured, an array of ENERGY_DTYPE (n,)."""
        with self._opened() as run:
            chosen = run.valid("energies")
            return run.table("energies", ENERGY_DTYPE, chosen) if chosen else np.empty(0, ENERGY_DTYPE)

    @property
    def dark(self) -> Dark | None:
        """Get the dark, None when none was taken yet."""
        with self._opened() as run:
            frames = run.number("dark/frames")
            if frames <= 0:
                return None
            hot = run.array("dark/hot").astype(np.bool_)
            return Dark(run.array("dark/mean"), run.array("dark/variance"), hot, frames)

    # --- about the run --------------------------------------------------------------------------------------------

    @property
    def header(self) -> RunHeader:
        """Get what was known before the first shot."""
        with self._opened() as run:
            # a text that older files lack is empty
            texts = {field: run.text(name) if name in run.extents else "" for field, name in HEADER_TEXTS.items()}
            seed = run.text("provenance/seed")
            return RunHeader(
                **texts,
                simulated=bool(run.number("provenance/simulated")),
                seed=int(seed) if seed else None,
                wavelength_nm=run.array("spectra/wavelength_nm"),
                nonlinearity=tuple(run.array("provenance/nonlinearity").tolist()),
                wall_start_label=run.text("labels/start_time"),
            )

    @property
    def capacity(self) -> Capacity:
        """Get the room that is allocated."""
        with self._opened() as run:
            return Capacity(
                frames=run.extents["spectra/counts"].shape[0],
                readings=run.extents["readings/t_ns"].shape[0],
                events=run.extents["events/log"].nbytes,
                ledger=run.extents["status/ledger_0"].nbytes,
                energies=run.extents["energies/t_ns"].shape[0] if "energies/t_ns" in run.extents else 0,
            )

    @property
    def state(self) -> str:
        """Get the state: one of ENDINGS, or what the run is doing."""
        with self._opened() as run:
            return run.text("status/state")

    @property
    def wall_end_label(self) -> str:
        """Get the wall-clock label of the end, empty before."""
        with self._opened() as run:
            return run.text("labels/end_time")

    @property
    def trimmed(self) -> bool:
        """Get whether this is the finished copy."""
        with self._opened() as run:
            return bool(run.number("status/trimmed"))

    @property
    def writer_lives(self) -> bool:
        """Get whether somebody holds the lock."""
        return writer_lives(self.path)

    @property
    def unfinished(self) -> bool:
        """Get whether the writer died: the state is no ending and nobody holds the lock."""
        # The lock first: a writer that ends between the two questions has set its state before it lets go.
        return not self.writer_lives and self.state not in ENDINGS and not open_elsewhere(self.path)

    @property
    def events(self) -> list[tuple[int, str]]:
        """Get the event log, (t_ns, text) each; a line that was torn by a kill is left out."""
        with self._opened() as run:
            lines = run.text("events/log").split("\n")[:-1]
            return [(int(t_ns), str(text)) for t_ns, text in map(json.loads, lines)]

    @property
    def ledger(self) -> dict[str, Any]:
        """Get the latest reconciliation of triggers and frames, empty before the first."""
        with self._opened() as run:
            text = run.text(f"status/ledger_{run.number('status/ledger_slot') & 1}")
            return _json_object(text) if text else {}

    @property
    def results(self) -> dict[str, Any]:
        """Get the results of a finished run, empty before."""
        with self._opened() as run:
            return _json_object(run.text("results/json")) if "results/json" in run.extents else {}

    @property
    def result_arrays(self) -> dict[str, NDArray[Any]]:
        """Get the arrays among the results."""
        with self._opened() as run:
            names = [name for name in run.extents if name.startswith("results/") and name != "results/json"]
            return {name.removeprefix("results/"): run.array(name) for name in names}


def _json_object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object expected, got {type(found).__name__}")
    return found


@cache
def _template() -> dict[str, tuple[np.dtype[Any], int]]:
    """List what every run file has: type and number of dimensions; a text may have any length."""
    nothing = RunHeader(
        **dict.fromkeys(HEADER_TEXTS, ""),
        simulated=True,
        seed=None,
        wavelength_nm=np.zeros(1),
        nonlinearity=(1.0,),
        wall_start_label="",
    )
    return {cell.path: (cell.dtype, len(cell.shape)) for cell in cells(nothing, Capacity(1, 1, 1, energies=1))}


def _require_layout(extents: Mapping[str, Extent]) -> None:
    """Refuse (ValueError, KeyError) what is not as the layout says, before any of it is read."""
    optional = {*HEADER_TEXTS.values(), *(path for path in _template() if path.startswith("energies/"))}
    pixels = extents["spectra/counts"].shape[1:]
    rows = {group: extents[f"{group}/block"].shape for group in ("frames", "readings")}
    rows["energies"] = extents["energies/block"].shape if "energies/block" in extents else (0,)
    for path, (dtype, dimensions) in _template().items():
        if path in optional and path not in extents:
            continue
        extent = extents[path]
        right = extent.dtype.kind == "S" if dtype.kind == "S" else extent.dtype == dtype
        if not right or len(extent.shape) != dimensions:
            raise ValueError(f"/entry/{path} is {extent.dtype} {extent.shape}, not as a run file has it")
        group, _, name = path.partition("/")
        if path == "spectra/counts":
            expected = rows["frames"] + pixels
        elif group in rows and dimensions:
            expected = rows[group]
        elif path == "spectra/wavelength_nm" or (group == "dark" and dimensions):
            expected = pixels
        else:
            expected = extent.shape
        if extent.shape != expected:
            raise ValueError(f"/entry/{path} has the shape {extent.shape}, {expected} expected")
        if group not in rows and name != "counts":
            _require_small(path, extent)
    for path, extent in extents.items():
        if path.startswith("results/"):
            if extent.dtype.kind not in "biufS":
                raise ValueError(f"/entry/{path} holds no plain numbers or text")
            if path == "results/json":
                _require_small(path, extent)


def _require_small(path: str, extent: Extent) -> None:
    if not extent.nbytes <= SMALL_BYTES:
        raise ValueError(f"/entry/{path} takes {extent.nbytes} bytes, at most {SMALL_BYTES} are read")


def open_run(path: Path | str) -> Run:
    """Open a run file for reading, whatever its writer does meanwhile; raises RecordError."""
    return Run(Path(path))
