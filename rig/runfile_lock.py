"""The lock that says whether a run file's writer lives; the operating system drops it when the process dies.

A lock file beside the run file, not a lock on the run file itself: HDF5 takes that one when a viewer opens the file, and the
viewer would be refused.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

PART = ".part"  # a run file that is being made; nothing is recorded in it yet

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, *, shared: bool = False) -> None:  # Windows' locks are exclusive
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def keep_out(descriptor: int) -> None:
        """Nothing to do: an open file can be neither removed nor replaced."""

    def open_elsewhere(run_path: Path) -> bool:
        """Tell whether another program has the file open: not to be found out, and then it cannot be replaced either."""
        return False

else:
    import fcntl

    def _lock(file: BinaryIO, *, shared: bool = False) -> None:
        fcntl.flock(file.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def keep_out(descriptor: int) -> None:
        """Keep others from changing the open run file: viewers share this lock, HDF5 refuses who wants to write."""
        with suppress(OSError):  # a viewer may have an exclusive one; the lock file is what counts
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def open_elsewhere(run_path: Path) -> bool:
        """Tell whether a writer whose lock file was removed, or a viewer, has the run file open with a lock."""
        if lock_path(run_path).exists():  # then that one tells
            return False
        try:
            with run_path.open("rb") as file:
                _lock(file)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def lock_path(run_path: Path) -> Path:
    """Name the lock file of a run file."""
    return run_path.with_name(f"{run_path.name}.lock")


class WriterLock:
    """Exclusive right to write one run file, from acquire() to release() or to the end of the process."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    @classmethod
    def acquire(cls, run_path: Path) -> "WriterLock | None":
        """Take the lock of `run_path`; None when another writer has it.

        Raises
        ------
        OSError  the folder cannot be written, or its file system has no locks
        """
        path = lock_path(run_path)
        for _ in range(100):
            file = path.open("ab")
            try:
                _lock(file)
            except (BlockingIOError, PermissionError):
                file.close()
                return None
            except OSError:
                file.close()
                path.unlink(missing_ok=True)
                raise
            if same_file(file.fileno(), path):
                return cls(file, path)
            file.close()  # whoever had it removed it after it was opened here: a lock on nothing
        raise OSError(errno.ESTALE, "lock files vanish as soon as they are made")

    def release(self) -> None:
        """Give the lock back and remove its file; harmless when done twice."""
        if self._file.closed:
            return
        if sys.platform == "win32":  # refuses to remove an open file
            self._file.close()
        with suppress(OSError):  # a lock file left behind locks nothing
            self._path.unlink()
        self._file.close()


def writer_lives(run_path: Path) -> bool:
    """Tell whether somebody holds the lock of `run_path`."""
    try:
        with lock_path(run_path).open("rb") as file:
            _lock(file, shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def same_file(descriptor: int, path: Path) -> bool:
    """Tell whether `path` is a name of the open file."""
    if sys.platform == "win32":  # an open file keeps its name
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def clear_leftovers(folder: Path) -> tuple[str, ...]:
    """Remove what runs left in `folder` that were killed before their file was made; return the names of unfinished files.

    Nothing is recorded in them. What belongs to a living writer, or to a run file that is there, stays.
    """
    cleared: list[str] = []
    for suffix in (f".h5{PART}", ".h5.lock"):
        for left in folder.glob(f"*{suffix}"):
            run_path = left.with_name(left.name.removesuffix(suffix) + ".h5")
            if suffix.endswith(".lock") and run_path.exists():
                continue
            with suppress(OSError):  # somebody else's: in nobody's way
                lock = WriterLock.acquire(run_path)
                if lock is None:
                    continue
                if suffix.endswith(PART):
                    left.unlink(missing_ok=True)
                    cleared.append(left.name)
                lock.release()
    return tuple(sorted(cleared))
