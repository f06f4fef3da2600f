"""The finished copy of a run file: trimmed to what was recorded, verified, and put in the place of the running file."""

import errno
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from drivers.clock import MonotonicClock
from drivers.errors import RecordError
from rig.runfile_layout import (
    ENDINGS,
    INTERRUPTED,
    STATE_BYTES,
    Capacity,
    Cell,
    Extent,
    Results,
    cells,
    planned_bytes,
    read_extents,
    write_skeleton,
)
from rig.runfile_lock import WriterLock, lock_path, open_elsewhere, same_file
from rig.runfile_reader import OpenedRun, Run, open_run

_CHUNK_BYTES = 8 << 20
PATIENCE_S = (0.1, 0.2, 0.3, 0.4)


def recover(path: Path | str) -> Run:
    """Finish a run whose writer is gone; a finished one stays as it is.

    A run that did not know its ending yet becomes "interrupted".

    Raises
    ------
    RecordError  the writer lives, this is no run file, or the copy failed (the file stays as it was)
    """
    run = open_run(path)
    if run.trimmed and not lock_path(run.path).exists():
        return run
    if run.state not in ENDINGS and open_elsewhere(run.path):
        raise RecordError(
            "this run may still be written: its lock file is gone, and a program has the file open",
            where=str(path),
            hardware_state="not known here",
            next_step="close what has it open, or wait for the end of the run, then again: rig recover",
        )
    try:
        lock = WriterLock.acquire(run.path)
    except OSError as error:
        if run.trimmed:
            return run
        raise RecordError(
            f"the run cannot be finished here: {cause(error)}",
            where=str(path),
            next_step="see that you may write in its folder, or copy the file to one where you may",
        ) from error
    if lock is None:
        if run.trimmed:
            return run
        raise RecordError("this run is still being written", where=str(path), hardware_state="the run goes on")
    try:
        if not run.trimmed:  # or it died with its lock, or another process was faster
            state = run.state
            replace_by_copy(run.path, state if state in ENDINGS else INTERRUPTED, Results())
    finally:
        lock.release()
    return run


def replace_by_copy(path: Path, state: str, results: Results) -> None:
    """Put a trimmed and verified copy that says `state` in the place of `path`; the caller holds the lock.

    Raises
    ------
    RecordError  the copy failed; `path` is untouched
    """
    copy = path.with_name(f"{path.name}.finishing")
    try:
        with path.open("rb", buffering=0) as file:
            source = OpenedRun(file, read_extents(file))
            planned = cells(open_run(path).header, _used(source), results)
            # HDF5 does not survive a full disk, so it is not let near one.
            if not planned_bytes(planned) <= shutil.disk_usage(path.parent).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_skeleton(copy, planned)
            expected = _fill(copy, planned, source, state)
        if _checksums(copy, planned) != expected:
            raise OSError(errno.EIO, "the copy differs from the original")
        _put_in_place(copy, path)
    except BaseException as error:
        with suppress(OSError):
            copy.unlink(missing_ok=True)
        if not isinstance(
            error, OSError | EOFError | RuntimeError | ValueError | KeyError | TypeError | MemoryError | RecordError
        ):
            raise
        raise RecordError(
            f"the recording is complete, but its file could not be trimmed: {cause(error)}",
            where=str(path),
            hardware_state="not known here",
            next_step="nothing is lost; close other programs that have the file open, make room, then: rig recover",
        ) from error
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise RecordError(
            f"the finished file is in its place, but the disk does not confirm it: {cause(error)}",
            where=str(path),
            hardware_state="not known here",
            next_step="check the disk, copy the file to another one",
        ) from error


def _put_in_place(copy: Path, path: Path) -> None:
    # Windows replaces no file that is open, and a virus scanner has one open for a moment.
    for wait_s in PATIENCE_S:
        with suppress(PermissionError):
            copy.replace(path)
            return
        MonotonicClock().sleep(wait_s)
    copy.replace(path)


def _used(source: OpenedRun) -> Capacity:
    log = source.array("events/log").tobytes()
    return Capacity(
        frames=len(source.valid("frames")),
        readings=len(source.valid("readings")),
        events=log.rfind(b"\n") + 1,
        ledger=source.extents["status/ledger_0"].nbytes,
        energies=len(source.valid("energies")),
    )


def _fill(copy: Path, planned: list[Cell], source: OpenedRun, state: str) -> list[int]:
    """Copy what was filled during the run; return the checksum every dataset must have."""
    checksums: list[int] = []
    with copy.open("r+b", buffering=0) as target:
        extents = read_extents(target)
        for cell in planned:
            data = state.encode().ljust(STATE_BYTES, b"\0") if cell.path == "status/state" else cell.data
            if data is None and cell.path.startswith("energies/") and cell.path not in source.extents:
                data = bytes(cell.nbytes)  # an older file: an empty table
            chunks = iter([data]) if data is not None else _chunks(source.file, source.extents[cell.path], cell.nbytes)
            checksum, place = 0, extents[cell.path].offset
            for chunk in chunks:
                checksum = zlib.crc32(chunk, checksum)
                if cell.value is None:
                    target.seek(place)
                    place += target.write(chunk)
            checksums.append(checksum)
        os.fsync(target.fileno())
    return checksums


def _checksums(copy: Path, planned: list[Cell]) -> list[int]:
    checksums: list[int] = []
    with copy.open("rb", buffering=0) as file:
        extents = read_extents(file)
        for cell in planned:
            checksum = 0
            for chunk in _chunks(file, extents[cell.path], extents[cell.path].nbytes):
                checksum = zlib.crc32(chunk, checksum)
            checksums.append(checksum)
    return checksums


def _chunks(file: FileIO, extent: Extent, nbytes: int) -> Iterator[bytes]:
    done = 0
    while done < nbytes:
        file.seek(extent.offset + done)
        chunk = file.read(min(_CHUNK_BYTES, nbytes - done))
        if not chunk:
            raise EOFError("the file is shorter than it says")
        yield chunk
        done += len(chunk)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows the names in `folder`; raises OSError."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system where folders are not synced
                raise
        finally:
            os.close(descriptor)


def present_name(descriptor: int, path: Path) -> str:
    """Tell where a file opened as `path` is now; empty when it has no name any more and ends with its descriptor."""
    if same_file(descriptor, path):
        return str(path)
    if sys.platform == "linux":
        now = Path(f"/proc/self/fd/{descriptor}").readlink()
        if now == path.resolve():  # a file system that numbers its files anew
            return str(path)
        # what was removed from a network share bears such a name until it is closed
        return str(now) if same_file(descriptor, now) and not now.name.startswith(".nfs") else ""
    return "a place not known here" if os.fstat(descriptor).st_nlink else ""


def bring_back(descriptor: int, path: Path) -> None:
    """Write an open file that has no name any more to `path` once more, or beside what stands there now.

    Raises
    ------
    RecordError  that cannot be done: the file is lost
    """
    target = path.with_name(f"{path.stem}-rescued.h5") if path.exists() else path
    part = target.with_name(f"{target.name}.rescued")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.lseek(descriptor, 0, os.SEEK_SET)
        with part.open("wb") as file:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise RecordError(
            f"the run file was removed while it was written, and could not be written again: {cause(error)}",
            where=str(path),
            hardware_state="not known here",
            next_step="this recording is lost; see who removes files in this folder",
        ) from error


_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full: your quota is used up",
    errno.EFBIG: "the disk is full: no file may grow beyond a limit of this account or of the file system",
}


def cause(error: BaseException) -> str:
    """Say in a few words why something went wrong."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return _FULL[error.errno]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return error.what if isinstance(error, RecordError) else str(error)
