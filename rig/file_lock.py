"""A lock that dies with its holder: a file of this user's that the operating system lets one process lock.

The file says who holds it. On POSIX it is removed when the lock is given back, so a lock counts only on the file that has the
name now: whoever gets the lock of a removed one tries again.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from rig.small_file import read_small

MAX_CONTENT_BYTES = 16_384
TRIES = 20

if sys.platform == "win32":
    import msvcrt

    LOCKED_BYTE = 1 << 30  # Windows' locks keep others from reading what is locked: lock what nobody reads

    def _lock(handle: int) -> None:
        os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """The right that goes with a file, from acquire() to release() or to the end of the process."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle: int | None = handle
        self.path = path

    @classmethod
    def acquire(cls, path: Path) -> "FileLock | None":
        """Take the lock; None when somebody has it, this process included.

        Raises
        ------
        OSError  the folder cannot be written, or its file system has no locks
        """
        for _ in range(TRIES):
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
            handle = os.open(path, flags, 0o600)
            try:
                _lock(handle)
                if _has_name(handle, path):
                    os.ftruncate(handle, 0)  # the words of a holder that has died
                    return cls(handle, path)
            except OSError as error:
                os.close(handle)
                if isinstance(error, BlockingIOError) or error.errno in (errno.EACCES, errno.EDEADLK):
                    return None
                raise
            os.close(handle)
        return None  # somebody takes and releases it all the time

    def write(self, content: bytes) -> None:
        """Say who holds it.

        Raises
        ------
        OSError  it cannot be written
        """
        if self._handle is None:
            raise OSError(errno.EBADF, "the lock has been given back", str(self.path))
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, content)
        os.ftruncate(self._handle, len(content))

    def release(self) -> None:
        """Give the lock back; harmless when done twice."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if sys.platform != "win32":  # refuses to remove an open file; there the file stays and locks nothing
            with suppress(OSError):
                self.path.unlink()
        os.close(handle)


def content(path: Path) -> bytes:
    """Return what the holder has said, b"" when it has said nothing, or nothing that can be read."""
    try:
        return read_small(path, MAX_CONTENT_BYTES)
    except (OSError, ValueError):
        return b""


def _has_name(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
