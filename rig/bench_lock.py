"""One program per instrument: a lock for each VISA resource of a bench, which dies with its holder.

The locks are this user's (`state_folder`). Another user's program is not seen here: it is met at the port, where the system
lets one program have it, or as foreign traffic on the link. `rig off` takes no lock, it has to work always; a bench simulated
in the program's own process has nothing to lock.
"""

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from pyvisa.rname import InvalidResourceName, ResourceName

from drivers.errors import Reason, RefusedError
from rig.bench import Bench
from rig.file_lock import FileLock, content
from rig.provenance import now_label
from rig.small_file import private_folder
from rig.state_folder import state_folder

FOLDER = "locks"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has an instrument: process, computer, what it is doing, its bench and since when (a label)."""

    pid: int
    host: str
    who: str
    bench: str
    since: str

    def __str__(self) -> str:
        here = " (this process)" if (self.pid, self.host) == (os.getpid(), socket.gethostname()) else ""
        doing = f"{self.who}, " if self.who else ""
        bench = f", bench {self.bench}" if self.bench else ""
        return f"{doing}process {self.pid}{here} on {self.host}{bench}, since {self.since}"


class BenchLock:
    """The right to talk to some instruments, from acquire() to release() or to the end of the process."""

    def __init__(self, locks: list[FileLock]) -> None:
        self._locks = locks

    @classmethod
    def acquire(cls, resources: Iterable[str], who: str, *, bench: str = "", folder: Path | None = None) -> Self:
        """Take the locks of all these VISA resources, or none.

        Parameters
        ----------
        who     what for, as others will read it: "rig run"
        folder  of the locks; None is this user's

        Raises
        ------
        RefusedError  bench-in-use, with everyone who has one of them; bench-lock-impossible
        """
        place = folder or state_folder(FOLDER)
        me = Holder(os.getpid(), socket.gethostname(), who, bench, now_label())
        wanted = {lock_name(resource): resource for resource in resources}
        taken: list[FileLock] = []
        refused: list[tuple[str, Holder | None]] = []
        try:
            if wanted:
                private_folder(place)
            for name, resource in sorted(wanted.items()):
                lock = FileLock.acquire(place / name)
                if lock is None:
                    refused.append((resource, _holder(place / name)))
                    continue
                taken.append(lock)
                lock.write(json.dumps({"resource": resource, **asdict(me)}).encode())
        except OSError as error:
            _release(taken)
            raise _impossible(place, error) from error
        except BaseException:
            _release(taken)
            raise
        if refused:
            _release(taken)
            raise _in_use(refused, bench)
        return cls(taken)

    def release(self) -> None:
        """Give all of them back; harmless when done twice."""
        locks, self._locks = self._locks, []
        _release(locks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()


def lock_bench(bench: Bench, roles: Iterable[str]) -> BenchLock:
    """Take the right to use the instruments of some roles, before any of them hears a word; raises as BenchLock.acquire()."""
    who = Path(sys.argv[0]).stem or "python"
    return BenchLock.acquire([getattr(bench, role).resource for role in roles], who, bench=str(bench.path or ""))


def lock_name(resource: str) -> str:
    """Name the lock file of a VISA resource: the same for all its spellings, in a folder that several computers may share."""
    what = _place(resource)
    slug = re.sub(r"[^A-Za-z0-9.]+", "_", what).strip("_")[:60]
    return f"{slug}.{hashlib.sha256(what.encode('utf-8', 'replace')).hexdigest()[:12]}.lock"


def _place(resource: str) -> str:
    """Return what stands behind a resource name, so far as the name says it.

    Source: PyVISA's rname (what may be left out of a name, and what it then means). That COM3 is also ASRL3: from memory,
    unverified. Names of hosts are not looked up: an instrument that is named in one file and numbered in another has two locks.
    """
    here = socket.gethostname().lower()
    upper = resource.strip().upper()
    try:
        name: Any = ResourceName.from_string(upper)
    except InvalidResourceName:
        return f"{here} {upper}"
    kind, board = str(name.interface_type), str(name.board)
    if kind == "TCPIP":
        port = getattr(name, "port", None) or getattr(name, "lan_device_name", "")
        return _network(str(name.host_address), str(port), here)
    if kind == "ASRL" and board.startswith("SOCKET://"):
        host, _, port = board.removeprefix("SOCKET://").rpartition(":")
        return _network(host, port, here)
    if kind == "ASRL":
        device = resource.strip()[len("ASRL") :].split("::")[0]
        if device.startswith("/"):  # /dev/serial/by-id/... is a link to the same port
            return f"{here} ASRL {Path(device).resolve()}"
        return f"{here} ASRL {board.removeprefix('COM')}"
    if kind == "USB":
        maker, model = (int(str(number), 0) for number in (name.manufacturer_id, name.model_code))
        return f"{here} USB {maker} {model} {name.serial_number}"
    if kind == "GPIB" and hasattr(name, "primary_address"):
        return f"{here} GPIB {board} {name.primary_address} {name.secondary_address}"
    return f"{here} {name}"


def _network(host: str, port: str, here: str) -> str:
    """Name a place on the network, which is the same seen from every computer unless it is in this one."""
    host = host.strip("[]").lower()
    return f"tcp {f'{here} loopback' if host in LOOPBACK else host} {port.lower()}"


def _holder(path: Path) -> Holder | None:
    try:
        said = cast(dict[str, Any], json.loads(content(path)))
        return Holder(int(said["pid"]), *(str(said[name])[:300] for name in ("host", "who", "bench", "since")))
    except (ValueError, TypeError, KeyError):
        return None


def _release(locks: list[FileLock]) -> None:
    for lock in reversed(locks):
        lock.release()


def _in_use(refused: list[tuple[str, Holder | None]], bench: str) -> RefusedError:
    known = {str(holder) for _, holder in refused if holder is not None}
    who = "; ".join(sorted(known)) or "a program that has not said who it is"
    return RefusedError(
        f"The bench is in use by {who}.",
        tuple(
            Reason("bench-in-use", resource, f"held by {holder or 'a program that has not said who it is'}")
            for resource, holder in refused
        ),
        where=bench,
        next_step="watch it with: rig attach; end it with: rig stop; or wait. What must be off now: rig off",
    )


def _impossible(place: Path, error: OSError) -> RefusedError:
    return RefusedError(
        "It cannot be made sure that nobody else uses these instruments.",
        (Reason("bench-lock-impossible", str(error.filename or place), error.strerror or str(error)),),
        where=str(place),
        next_step="make this folder writable, or let ITO_RIG_STATE name a folder on a local disk",
    )
