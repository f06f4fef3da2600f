"""Where engines and those who want to talk to them meet: one file per running engine, for this user only.

The file is worth something only while the engine holds the lock beside it; the operating system drops that when the engine
dies, so that neither a number given to another process nor a restart of the computer makes a dead engine look alive.
"""

import os
import secrets
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from drivers.clock import Clock, Deadline, MonotonicClock
from drivers.errors import RecordError, RefusedError
from rig.file_lock import FileLock
from rig.small_file import private_folder, read_small, write_whole
from rig.state_folder import state_folder

FOLDER = "engines"
MAX_FILE_BYTES = 64 * 1024
LOCK_PATIENCE_S = 1.0  # somebody may just be looking whether this lock is free


class EngineFile(BaseModel):
    """How to reach an engine.

    Parameters
    ----------
    host           name of the computer; the port is open on its 127.0.0.1 only
    token          whoever knows it may command
    bench          path of the bench file, "" for the default bench
    resources      VISA resources that it uses
    started_label  wall time
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pid: int = Field(gt=0)
    host: str
    port: int = Field(gt=0, lt=65536)
    token: str = Field(min_length=32, max_length=200, repr=False)
    bench: str
    resources: tuple[str, ...]
    simulated: bool
    started_label: str

    def __str__(self) -> str:
        what = "SIMULATED, " if self.simulated else ""
        return f"engine {self.pid} on {self.host} ({what}bench {self.bench or 'default'}, since {self.started_label})"


def new_token() -> str:
    """Make a token that nobody can guess."""
    return secrets.token_urlsafe(32)


@contextmanager
def publish_engine(
    *,
    port: int,
    token: str,
    bench: Path | None,
    resources: Sequence[str],
    simulated: bool,
    started_label: str,
    folder: Path | None = None,
    clock: Clock | None = None,
) -> Generator[EngineFile]:
    """Let this process be found as an engine, until the end of the context.

    Raises
    ------
    RecordError  the folder does not play along, or this process is published already
    """
    engine = EngineFile(
        pid=os.getpid(),
        host=socket.gethostname(),
        port=port,
        token=token,
        bench="" if bench is None else str(bench.resolve()),
        resources=tuple(resources),
        simulated=simulated,
        started_label=started_label,
    )
    place = folder or state_folder(FOLDER)
    path = place / f"{engine.host}-{engine.pid}.json"
    try:
        private_folder(place)
        lock = _patient_lock(_lock_path(path), clock or MonotonicClock())
    except OSError as error:
        raise _cannot_publish(path, error.strerror or str(error)) from error
    if lock is None:
        raise _cannot_publish(path, "this process is published already")
    try:
        try:
            write_whole(path, engine.model_dump_json(indent=1) + "\n", private=True)
        except OSError as error:
            raise _cannot_publish(path, error.strerror or str(error)) from error
        yield engine
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()


def living_engines(folder: Path | None = None) -> list[EngineFile]:
    """Return the engines of this user on this computer, oldest first; files of dead ones are removed.

    Files that are no engine's are left alone: a newer version of this program may have written them.
    """
    place = folder or state_folder(FOLDER)
    here = socket.gethostname()
    found: list[EngineFile] = []
    for path in sorted(place.glob("*.json")):
        try:
            engine = EngineFile.model_validate_json(read_small(path, MAX_FILE_BYTES))
        except (OSError, ValueError):  # ValidationError is a ValueError
            continue
        if engine.host != here or path.name != f"{engine.host}-{engine.pid}.json":
            continue
        try:
            dead = FileLock.acquire(_lock_path(path))
        except OSError:
            continue
        if dead is None:
            found.append(engine)
            continue
        with suppress(OSError):
            path.unlink(missing_ok=True)
        dead.release()
    return sorted(found, key=lambda engine: engine.started_label)


def find_engine(bench: Path | None = None, pid: int | None = None, folder: Path | None = None) -> EngineFile:
    """Return the one running engine that is meant: any, that of a bench file, or that of a process.

    Raises
    ------
    RefusedError  none is running, or several are and it was not said which
    """
    running = living_engines(folder)
    wanted = "" if bench is None else str(bench.resolve())
    meant = [one for one in running if (not wanted or one.bench == wanted) and pid in (None, one.pid)]
    if len(meant) == 1:
        return meant[0]
    listed = "; ".join(str(one) for one in running)
    if meant:
        raise RefusedError(
            f"{len(meant)} engines are running: {'; '.join(str(one) for one in meant)}.",
            (),
            next_step=f"say which with --pid: {', '.join(str(one.pid) for one in meant)}",
        )
    asked = [*([f"bench {wanted}"] if wanted else []), *([f"process {pid}"] if pid is not None else [])]
    raise RefusedError(
        f"No engine is running{' for ' + ', '.join(asked) if asked else ''} on {socket.gethostname()}.",
        (),
        next_step=f"there is: {listed}" if running else "start one with: rig engine, or rig run",
    )


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _patient_lock(path: Path, clock: Clock) -> FileLock | None:
    end = Deadline(clock, LOCK_PATIENCE_S)
    while (lock := FileLock.acquire(path)) is None and not end.over:
        clock.sleep(0.02)
    return lock


def _cannot_publish(path: Path, why: str) -> RecordError:
    return RecordError(
        f"The engine cannot make itself known: {why}.",
        where=str(path),
        next_step="make this folder yours and writable, or let ITO_RIG_STATE name another one",
    )
