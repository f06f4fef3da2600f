"""The file of a run: made before the first shot, filled by plain writes, trimmed at the end, recovered after a kill.

Whatever happens to the process, the file opens with any HDF5 reader and holds every frame that append_frames() returned from.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import Reason, RecordError, RefusedError
from rig.runfile_copy import bring_back, cause, present_name, recover, replace_by_copy, sync_folder
from rig.runfile_layout import (
    ENDINGS,
    ENERGY_DTYPE,
    FRAME_COLUMNS,
    FRAME_DTYPE,
    READING_DTYPE,
    TIME_COLUMN,
    Capacity,
    Extent,
    Flag,
    Results,
    RunHeader,
    bytes_per_frame,
    cells,
    planned_bytes,
    read_extents,
    write_skeleton,
)
from rig.runfile_lock import PART, WriterLock, clear_leftovers, keep_out
from rig.runfile_reader import Dark, Run, open_run

__all__ = [
    "ENDINGS",
    "ENERGY_DTYPE",
    "FRAME_DTYPE",
    "READING_DTYPE",
    "Dark",
    "Flag",
    "Results",
    "Run",
    "RunFile",
    "RunHeader",
    "bytes_per_frame",
    "check_folder",
    "open_run",
    "recover",
]

_LOG_FULL = "the event log is full: later events are not recorded"
# A frame stays marked by its old flags until all else about it is written.
_ROW_ORDER = (TIME_COLUMN.name, *(name for name in FRAME_DTYPE.names or () if name != "flags"), "flags")
_BLANK = {column.name: column.blank_bytes for column in (TIME_COLUMN, *FRAME_COLUMNS)}


class RawHandle(Protocol):
    """An unbuffered binary file, as far as the writer needs it."""

    def seek(self, offset: int, /) -> int:
        """Go to `offset` (bytes from the start)."""
        ...

    def write(self, data: memoryview, /) -> int | None:
        """Write some of `data`, return how much."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_raw(path: Path) -> RawHandle:
    """Open an existing file for unbuffered reading and writing."""
    return path.open("r+b", buffering=0)


class RunFile:
    """The one writer of a run file; create() makes it, finish() or close() ends it."""

    def __init__(self, path: Path, handle: RawHandle, extents: Mapping[str, Extent], lock: WriterLock) -> None:
        self.path = path
        self._handle = handle
        self._extents = extents
        self._lock = lock
        self._broken = ""
        self._closed = False
        self._count = 0
        self._synced_count = 0
        self._reading_count = 0
        self._energy_count = 0
        self._ledger_slot = 0
        self._first_time_us = 0
        self._log_bytes = 0
        self._log_full = False

    @classmethod
    def create(
        cls,
        folder: Path,
        name: str,
        header: RunHeader,
        *,
        frame_capacity: int,
        reading_capacity: int,
        event_bytes: int = 1 << 18,
        energy_capacity: int = 0,
        opener: Callable[[Path], RawHandle] = open_raw,
    ) -> Self:
        """Make `folder`/`name`.h5 (or name-2, name-3 ... when it exists), complete and reserved on the disk.

        Raises
        ------
        RefusedError  the folder cannot be written, or the disk has less than twice the room needed (all reasons at once)
        RecordError   the disk failed while the file was made; nothing is left behind
        ValueError    a name that is not a plain file name, a label that is too long
        """
        if not name or Path(name).name != name or name in (".", ".."):
            raise ValueError(f"not a plain file name: {name!r}")
        planned = cells(header, Capacity(frame_capacity, reading_capacity, event_bytes, energies=energy_capacity))
        check_folder(folder, planned_bytes(planned))
        try:
            path, lock = _claim(folder, name)
        except OSError as error:
            raise RecordError(f"no file can be locked in this folder: {cause(error)}", where=str(folder)) from error
        left = clear_leftovers(folder)
        part = path.with_name(f"{path.name}{PART}")
        try:
            write_skeleton(part, planned)
            with part.open("rb") as file:
                extents = read_extents(file)
            part.replace(path)
            sync_folder(folder)
            handle = opener(path)
            keep_out(handle.fileno())
            writer = cls(path, handle, extents, lock)
        except BaseException as error:
            for made in (part, path):
                with suppress(OSError):
                    made.unlink(missing_ok=True)
            lock.release()
            if isinstance(error, OSError | RuntimeError):
                raise RecordError(f"the run file could not be made: {cause(error)}", where=str(path)) from error
            raise
        if left:
            writer.log(0, f"cleared away, nothing was recorded in it: {', '.join(left)}")
        return writer

    @property
    def count(self) -> int:
        """Get how many frames are acknowledged."""
        return self._count

    # --- what is written shot by shot -----------------------------------------------------------------------------

    def append_frames(self, columns: NDArray[Any], spectra: NDArray[np.uint16]) -> None:
        """Append frames: `columns` FRAME_DTYPE (n,), `spectra` uint16 (n, pixels); on return they survive a kill.

        Raises
        ------
        RecordError  the disk is full or failing (the file keeps what it had), or more frames than the file has room for
        ValueError   wrong dtype or shape
        """
        _check_columns(columns)
        pixels = self._extents["spectra/counts"].shape[1]
        if spectra.shape != (len(columns), pixels) or spectra.dtype != np.uint16:
            raise ValueError(f"spectra: uint16 ({len(columns)}, {pixels}) expected, got {spectra.dtype} {spectra.shape}")
        self._check_room("frames", self._count, len(columns))
        if self._count == 0 and len(columns):
            self._first_time_us = int(columns["device_time_us"][0])
        self._write("spectra/counts", spectra, self._count)
        self._write_rows(self._count, columns, over_blank=True)
        self._write("frames/count", np.int64(self._count + len(columns)))
        self._count += len(columns)

    def rewrite_rows(self, first: int, columns: NDArray[Any]) -> None:
        """Overwrite the rows (not the spectra) of frames `first`.. with `columns` FRAME_DTYPE (n,).

        Raises
        ------
        RecordError  as append_frames()
        ValueError   rows that were not appended yet, wrong dtype
        """
        if not 0 <= first <= first + len(columns) <= self._count:
            raise ValueError(f"rows {first} to {first + len(columns)} of {self._count} cannot be rewritten")
        _check_columns(columns)
        self._write_rows(first, columns)

    def append_readings(
        self,
        t_ns: ArrayLike,
        voltage_v: ArrayLike,
        current_a: ArrayLike,
        compliance: ArrayLike,
        block: ArrayLike,
        stretch: ArrayLike,
    ) -> None:
        """Append what the source measured; scalars or arrays (n,); raises as append_frames()."""
        given = (t_ns, voltage_v, current_a, compliance, block, stretch)
        self._reading_count = self._append("readings", self._reading_count, READING_DTYPE, given)

    def append_energies(self, t_ns: ArrayLike, energy_uj: ArrayLike, block: ArrayLike, stretch: ArrayLike) -> None:
        """Append what the energy meter measured; scalars or arrays (n,); raises as append_frames()."""
        given = (t_ns, energy_uj, block, stretch)
        self._energy_count = self._append("energies", self._energy_count, ENERGY_DTYPE, given)

    def _append(self, group: str, count: int, dtype: np.dtype[Any], values: tuple[ArrayLike, ...]) -> int:
        """Append rows to a table of small columns; return how many it then has."""
        given = np.broadcast_arrays(*map(np.atleast_1d, values))
        rows = len(given[0])
        self._check_room(group, count, rows)
        for name, column in zip(dtype.names or (), given, strict=True):
            self._write(f"{group}/{name}", column.astype(dtype[name]), count)
        self._write(f"{group}/count", np.int64(count + rows))
        return count + rows

    def log(self, t_ns: int, text: str) -> None:
        """Add one line to the event log; a full log ends with a line that says so, and swallows the rest."""
        line, mark = (
            (json.dumps([int(t_ns), entry], ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
            for entry in (text, _LOG_FULL)
        )
        left = self._extents["events/log"].nbytes - self._log_bytes
        if self._log_full:
            return
        if len(line) + len(mark) > left:
            self._log_full = True
            line = mark if len(mark) <= left else b""
        self._write("events/log", line, at_byte=self._log_bytes)
        self._log_bytes += len(line)

    # --- cells that are overwritten as a whole ---------------------------------------------------------------------

    def set_dark(self, mean: NDArray[np.float64], variance: NDArray[np.float64], hot: NDArray[np.bool_], frames: int) -> None:
        """Store the dark, arrays (pixels,); a kill meanwhile leaves no dark rather than a mixed one."""
        self._write("dark/frames", np.int64(0))
        for name, values in (("mean", mean), ("variance", variance), ("hot", hot)):
            extent = self._extents[f"dark/{name}"]
            if values.shape != extent.shape:
                raise ValueError(f"dark {name}: shape {extent.shape} expected, got {values.shape}")
            self._write(f"dark/{name}", values.astype(extent.dtype))
        self._write("dark/frames", np.int64(frames))

    def set_ledger(self, ledger: Mapping[str, Any]) -> None:
        """Store the reconciliation of triggers and frames; a kill meanwhile leaves the one before.

        Raises
        ------
        ValueError  more JSON than its cell holds
        """
        slot = 1 - self._ledger_slot
        self._write_text(f"status/ledger_{slot}", json.dumps(ledger))
        self._write("status/ledger_slot", np.uint8(slot))
        self._ledger_slot = slot

    def set_state(self, state: str) -> None:
        """Store the state, at most 16 bytes (ValueError)."""
        self._write_text("status/state", state)

    # --- the end ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Wait until the disk has everything, and see that the file still has its name.

        Once a second, outside the hot path.

        Raises
        ------
        RecordError  the disk is failing, or somebody moved or removed the file (close() then writes it again)
        """
        self._check_usable()
        try:
            os.fsync(self._handle.fileno())
            now = present_name(self._handle.fileno(), self.path)
        except OSError as error:
            self._break(error, self._synced_count)
        if now != str(self.path):
            # writing would go on for ever, into a file that nobody finds or that ends with this process
            self._break(
                OSError(errno.ENOENT, f"it was moved to {now}" if now else "it was removed while it was written"), self._count
            )
        self._synced_count = self._count

    def finish(self, state: str, results: Results | None = None, wall_end_label: str = "") -> Path:
        """Store how the run ended, replace the file by its trimmed and verified copy, and close.

        Raises
        ------
        RecordError  the copy failed; the file itself is valid, says `state` and can be finished by recover()
        ValueError   a state that is none of ENDINGS
        """
        if state not in ENDINGS:
            raise ValueError(f"not an ending: {state!r}")
        try:
            self._write_text("labels/end_time", wall_end_label)
            self.set_state(state)
            self.sync()
            self._close_handle()
            replace_by_copy(self.path, state, results or Results())
        finally:
            self.close()
        return self.path

    def close(self) -> None:
        """Let go of file and lock as they are; harmless when done twice. A file that somebody removed is written again.

        Raises
        ------
        RecordError  it was removed and cannot be written again
        """
        try:
            if not self._closed and self._removed():
                bring_back(self._handle.fileno(), self.path)
        finally:
            self._close_handle()
            self._lock.release()

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _write_rows(self, first: int, columns: NDArray[Any], *, over_blank: bool = False) -> None:
        time_us = columns["device_time_us"].astype(np.int64) - self._first_time_us
        for name in _ROW_ORDER:
            data = (time_us * 1e-6 if name == TIME_COLUMN.name else columns[name]).tobytes()
            # half of what is known of a frame on arrival is nothing, and that stands there already
            if not (over_blank and data == _BLANK[name] * len(columns)):
                self._write(f"frames/{name}", data, first)

    def _write_text(self, name: str, text: str) -> None:
        room = self._extents[name].nbytes
        encoded = text.encode("utf-8", "backslashreplace")
        if len(encoded) > room:
            raise ValueError(f"{name}: {len(encoded)} bytes do not fit into {room}")
        self._write(name, encoded.ljust(room, b"\0"))

    def _write(self, name: str, values: NDArray[Any] | np.generic | bytes, row: int = 0, at_byte: int = 0) -> None:
        data = values if isinstance(values, bytes) else values.tobytes()
        extent = self._extents[name]
        start = row * extent.row_bytes + at_byte
        if start + len(data) > extent.nbytes:
            raise ValueError(f"{name}: bytes {start} to {start + len(data)} of {extent.nbytes}")
        self._check_usable()
        try:
            self._handle.seek(extent.offset + start)
            left = memoryview(data)
            while left:
                written = self._handle.write(left)
                if not written:
                    raise OSError(errno.EIO, "nothing was written")
                left = left[written:]
        except OSError as error:
            self._break(error, self._count)

    def _check_room(self, group: str, count: int, rows: int) -> None:
        room = self._extents[f"{group}/block"].shape[0]
        if count + rows > room:
            raise RecordError(
                f"the run file has room for {room} {group}, {count} are in it and {rows} more came",
                where=str(self.path),
                hardware_state="not known here",
                next_step="stop the run; everything up to now is in the file",
            )

    def _check_usable(self) -> None:
        if self._broken or self._closed:
            raise RecordError(self._broken or "the run file is closed", where=str(self.path), hardware_state="not known here")

    def _break(self, error: OSError, safe: int) -> NoReturn:
        self._broken = f"the run file takes no more data ({cause(error)}); {safe} frames are safe"
        raise RecordError(
            self._broken,
            where=str(self.path),
            hardware_state="not known here",
            next_step="make room or reconnect the disk, then finish the file with: rig recover",
        ) from error

    def _removed(self) -> bool:
        try:
            return not present_name(self._handle.fileno(), self.path)
        except OSError:  # a handle that tells nothing gives nothing back either
            return False

    def _close_handle(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(OSError):  # nothing is buffered, so nothing can be lost here
                self._handle.close()


def _check_columns(columns: NDArray[Any]) -> None:
    if columns.dtype != FRAME_DTYPE or columns.ndim != 1:
        raise ValueError(f"columns: FRAME_DTYPE (n,) expected, got {columns.dtype} {columns.shape}")


def check_folder(folder: Path, size: int) -> None:
    """See that files can be written in `folder` and that the disk has room for twice `size` (bytes).

    Raises
    ------
    RefusedError  all reasons at once
    """
    reasons: list[Reason] = []
    try:
        with TemporaryFile(dir=folder, buffering=0) as probe:  # a kill leaves none behind
            probe.write(b"probe")
            probe.seek(0)
            if probe.read() != b"probe":
                raise OSError(errno.EIO, "the folder does not give back what was written")
    except OSError as error:
        reasons.append(Reason("folder-not-writable", str(folder), f"nothing can be written there: {cause(error)}"))
    else:
        free = shutil.disk_usage(folder).free
        if not 2 * size <= free:
            need = f"{2 * size / 1e6:.0f} MB are needed (with the finished copy), the disk has {free / 1e6:.0f} MB free"
            reasons.append(Reason("disk-space", str(folder), need))
    if reasons:
        raise RefusedError("the run cannot be stored", tuple(reasons), where=str(folder), next_step="choose another folder")


def _claim(folder: Path, name: str) -> tuple[Path, WriterLock]:
    attempt = 1
    while True:
        path = folder / (f"{name}.h5" if attempt == 1 else f"{name}-{attempt}.h5")
        attempt += 1
        if path.exists():
            continue
        lock = WriterLock.acquire(path)
        if lock is None:
            continue
        if not path.exists():
            return path, lock
        lock.release()
