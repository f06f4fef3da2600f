"""Small files that must never be half written: settings, queues, the meeting place of engine and views.

A reader finds the old content or the new one, whatever kills the writer, and the new one is on the disk when `write_whole`
returns. A file that makes no sense is set aside for a person to look at, never deleted.
"""

import itertools
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

from drivers.clock import Clock, MonotonicClock

MAX_BYTES = 1_000_000
UNFINISHED = ".new-"
BUSY_TRIES = 25  # on Windows a file that somebody reads at this moment cannot be replaced
BUSY_WAIT_S = 0.02


def write_whole(path: Path, content: str | bytes, *, private: bool = False, clock: Clock | None = None) -> None:
    """Put `content` (text as UTF-8) in the place of `path`.

    Parameters
    ----------
    private  for this user only (on Windows: what the folder allows); else what the user's umask allows

    Raises
    ------
    OSError  the folder or the disk does not play along; what was there is as it was
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f"{path.name}{UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(draft, flags, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(draft, path, clock or MonotonicClock())
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_small(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read a file that has to be a plain and small one.

    Raises
    ------
    OSError     it is not there, or cannot be read
    ValueError  it is no plain file, or larger than `max_bytes`
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
        raise ValueError(f"{path} is no plain file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path} is larger than {max_bytes} bytes")
    return data


def set_aside(path: Path) -> Path:
    """Give a file that makes no sense the first free name PATH.bad-<n>, and return that.

    Raises
    ------
    OSError  it cannot be renamed
    """
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.bad-{number}")
        try:
            os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # nobody else gets this name
        except FileExistsError:
            continue
        try:
            path.replace(aside)
        except OSError:
            with suppress(OSError):
                aside.unlink()
            raise
        _sync_folder(path.parent)
        return aside
    raise AssertionError("numbers do not end")


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can look into, and return it (on Windows the profile's rights hold).

    Raises
    ------
    OSError  it cannot be made, or belongs to somebody else
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":
        there = path.stat()
        if there.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        if there.st_mode & 0o077:
            path.chmod(0o700)
    return path


def _replace(draft: Path, path: Path, clock: Clock) -> None:
    for _ in range(BUSY_TRIES if sys.platform == "win32" else 0):
        try:
            draft.replace(path)
        except PermissionError:
            clock.sleep(BUSY_WAIT_S)
        else:
            return
    draft.replace(path)


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where the system lets one open a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
