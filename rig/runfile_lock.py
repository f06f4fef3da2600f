"""The lock that says whether a run file's writer lives; the operating system drops it when the process dies.

A lock file beside the run file, not a lock on the run file itself: HDF5 takes that one when a viewer opens the file, and the
viewer would be refused.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, *, shared: bool = False) -> None:  # Windows' locks are exclusive
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO, *, shared: bool = False) -> None:
        fcntl.flock(file.fileno(), (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


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
        return cls(file, path)

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
