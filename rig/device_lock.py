"""Devices that have broken down: locked until a person says why they may be used again.

One small file per device in a folder that outlives every run. It keeps every breakdown and every unlocking, the last of them
counts. A file that cannot be read locks its device. Names of samples differ neither by case nor by blanks: a slip of the
keyboard is not a new device.
"""

import getpass
import hashlib
import json
import math
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from drivers.clock import MonotonicClock
from drivers.errors import ComplianceReached, Reason, RecordError, RefusedError, RigError
from rig.file_lock import FileLock
from rig.provenance import now_label
from rig.runfile import Run, open_run
from rig.small_file import read_small, set_aside, write_whole
from rig.state_folder import state_folder

FOLDER = "locked_devices"
FORMAT = 1
BUSY_TRIES, BUSY_WAIT_S = 100, 0.02  # somebody else writes the same file: a few ms
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Device:
    """A device by name: the sample of a sequence, or the serial number of a simulated film."""

    name: str
    simulated: bool

    def __str__(self) -> str:
        return f"{'the simulated device' if self.simulated else 'the device'} {self.name!r}"

    @property
    def file_name(self) -> str:
        """Get one file name per device, on file systems that ignore case too."""
        plain = f"simulated {self.name}" if self.simulated else " ".join(self.name.split()).casefold()
        digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return f"{re.sub(r'[^A-Za-z0-9-]+', '_', plain)[:60]}.{digest}.json"


@dataclass(frozen=True, slots=True)
class Breakdown:
    """What locked a device.

    when        label of the wall clock
    run_file    the run that met it, as a path
    set_v       voltage that was set (V), None where no frame says it
    voltage_v   what the source measured (V), None where it measured nothing
    current_a   the same (A)
    """

    when: str
    run_file: str
    set_v: float | None
    voltage_v: float | None
    current_a: float | None

    def __str__(self) -> str:
        measured = "the source reached its current limit"
        if self.voltage_v is not None and self.current_a is not None:
            measured += f", {self.current_a * 1e3:.3f} mA at {self.voltage_v:.2f} V"
        wanted = "" if self.set_v is None else f" ({self.set_v:g} V were set)"
        return f"on {self.when} {measured}{wanted}, in {self.run_file}"


@dataclass(frozen=True, slots=True)
class LockedDevice:
    """A device that is locked; `device` is None where its file does not tell, `breakdown` where that cannot be read."""

    device: Device | None
    breakdown: Breakdown | None
    path: Path

    def __str__(self) -> str:
        if self.breakdown is None:
            return f"its lock cannot be read, which locks it as well: {self.path}"
        return f"broken down: {self.breakdown}"


class DeviceLocks:
    """The locks in `folder`, which is made when it is first written to; None is this user's own."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self._given = folder
        self.folder = state_folder(FOLDER) if folder is None else Path(folder) / FOLDER

    def unlocked_by(self, device: Device) -> str:
        """Write the command that unlocks a device."""
        words = f"{' --simulated' if device.simulated else ''}{'' if self._given is None else f' --state {self._given}'}"
        return f'rig unlock {json.dumps(device.name, ensure_ascii=False)}{words} --why "..."'

    def find(self, device: Device) -> LockedDevice | None:
        """Tell what locks a device, None when nothing does."""
        return _locked(self.folder / device.file_name, device)

    def all(self) -> list[LockedDevice]:
        """List what is locked, by name of the files."""
        found = (_locked(path, None) for path in sorted(self.folder.glob("*.json")))
        return [one for one in found if one is not None]

    def require_unlocked(self, device: Device) -> None:
        """See that nothing locks a device.

        Raises
        ------
        RefusedError  something does
        """
        locked = self.find(device)
        if locked is not None:
            raise RefusedError(
                f"{_capital(str(device))} is locked: it may not be run again before somebody has looked at it.",
                (Reason("device-locked", str(device), str(locked)),),
                where=str(locked.path),
                next_step=f"measure its resistance at 0.1 V; if it is sound: {self.unlocked_by(device)}; "
                "another device has another name",
            )

    def lock(self, device: Device, breakdown: Breakdown) -> None:
        """Lock a device; it is on the disk when this returns.

        Raises
        ------
        OSError  it cannot be written
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / device.file_name
        with _alone(path):  # without that right, too: whoever writes last, the device is locked
            _append(path, device, {"event": "locked", **asdict(breakdown)})

    def unlock(self, device: Device, who: str, why: str, when: str) -> LockedDevice:
        """Say that a device may be used again; return what had locked it.

        Raises
        ------
        RefusedError  it is not locked, or no reason is given
        RecordError   that cannot be written; the device stays locked
        """
        if not why.strip():
            message = "a device that broke down is unlocked with a reason, which is kept"
            raise RefusedError("No reason is given.", (Reason("no-reason", str(device), message),), next_step='--why "..."')
        path = self.folder / device.file_name
        if not self.folder.is_dir():
            raise _not_locked(device)
        try:
            with _alone(path) as alone:
                if not alone:
                    raise BlockingIOError(0, "another program is writing it")
                locked = self.find(device)
                if locked is None:
                    raise _not_locked(device)
                _append(path, device, {"event": "unlocked", "when": when, "who": who, "why": why[:MAX_TEXT]})
        except OSError as error:
            raise RecordError(
                f"{_capital(str(device))} stays locked: {error.strerror or error}.", where=str(path), next_step="try again"
            ) from error
        return locked


def lock_broken(locks: DeviceLocks, device: Device, path: Path, fault: BaseException | None) -> str:
    """Lock a device whose run met the source's current limit; return what to say of it, "" when there is nothing.

    Parameters
    ----------
    path   the run file, closed or not
    fault  what ended the run; a reading at the limit counts whatever ended it
    """
    try:
        breakdown = _met(open_run(path))
    except (RigError, ValueError):
        breakdown = None
    if breakdown is None and not isinstance(fault, ComplianceReached):
        return ""
    try:
        locks.lock(device, breakdown or Breakdown(now_label(), str(path.resolve()), None, None, None))
    except OSError as error:
        said = f"{device} has broken down, and this could NOT be written down ({error.strerror or error}); use it no more"
    else:
        said = f"{device} is locked for further runs; after a look at it: {locks.unlocked_by(device)}"
    if isinstance(fault, RigError):
        fault.next_step = f"{fault.next_step}; {said}" if fault.next_step else said
    return said


def _met(run: Run) -> Breakdown | None:
    """Find the last reading at the current limit, None without one."""
    readings = run.readings
    limited = readings[(readings["compliance"] != 0) & (readings["block"] >= 0)]  # those before are at harmless voltages
    if not len(limited):
        return None
    last = limited[-1]
    planned = run.column("planned_voltage_v")[run.column("block") == last["block"]]
    planned = planned[np.isfinite(planned)]  # of frames that are assigned to no shot none is known
    set_v = planned[np.argmax(np.abs(planned))] if len(planned) else np.nan
    return Breakdown(now_label(), str(run.path.resolve()), *map(_known, (set_v, last["voltage_v"], last["current_a"])))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def this_user() -> str:
    """Name who sits here: user and computer."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = "unknown user"
    return f"{name} on {socket.gethostname()}"


# --- files ------------------------------------------------------------------------------------------------------------


def _locked(path: Path, device: Device | None) -> LockedDevice | None:
    try:
        named, history = _read(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return LockedDevice(device, None, path)
    last = history[-1]
    return LockedDevice(named, _breakdown(last), path) if last["event"] == "locked" else None


def _read(path: Path) -> tuple[Device, list[dict[str, Any]]]:
    """Read a device and what happened to it, at least one event; raises OSError, ValueError."""
    try:
        found: Any = json.loads(read_small(path))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    table = cast(dict[str, Any], found)
    name, simulated, history = table.get("device"), table.get("simulated"), table.get("history")
    if table.get("format") != FORMAT or not isinstance(name, str) or not isinstance(simulated, bool):
        raise ValueError(f"{path} is not the lock of a device")
    device = Device(name, simulated)
    if not isinstance(history, list) or not history or device.file_name != path.name:
        raise ValueError(f"{path} is not the lock of {device}")
    events = cast(list[Any], history)
    for event in events:
        _require_event(event, path)
    return device, cast(list[dict[str, Any]], events)


def _require_event(event: Any, path: Path) -> None:
    """Refuse (ValueError) what is no event of a device."""
    if not isinstance(event, dict):
        raise ValueError(f"{path} holds something else than events")
    table = cast(dict[str, Any], event)
    if table.get("event") == "locked":
        texts, numbers = ("when", "run_file"), ("set_v", "voltage_v", "current_a")
    elif table.get("event") == "unlocked":
        texts, numbers = ("when", "who", "why"), ()
    else:
        raise ValueError(f"{path} holds the event {table.get('event')!r}")
    if not all(isinstance(table.get(key), str) for key in texts) or not all(
        table.get(key) is None or (isinstance(table[key], int | float) and math.isfinite(table[key])) for key in numbers
    ):
        raise ValueError(f"{path} holds an event that makes no sense")


def _breakdown(event: dict[str, Any]) -> Breakdown:
    return Breakdown(event["when"], event["run_file"], event["set_v"], event["voltage_v"], event["current_a"])


def _append(path: Path, device: Device, event: dict[str, Any]) -> None:
    """Write one more event; a file that makes no sense is set aside, and the event says where to."""
    history: list[dict[str, Any]] = []
    try:
        _, history = _read(path)
    except FileNotFoundError:
        pass
    except ValueError:
        event = {**event, "unreadable": str(set_aside(path))}
    table = {"format": FORMAT, "device": device.name, "simulated": device.simulated, "history": [*history, event]}
    write_whole(path, json.dumps(table, indent=2, allow_nan=False) + "\n")


@contextmanager
def _alone(path: Path) -> Generator[bool]:
    """Keep others of this user's programs from writing the same file; tell whether that was possible."""
    clock, busy = MonotonicClock(), path.with_name(f"{path.name}.busy")
    lock = FileLock.acquire(busy)
    for _ in range(BUSY_TRIES):
        if lock is not None:
            break
        clock.sleep(BUSY_WAIT_S)
        lock = FileLock.acquire(busy)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


# --- words ------------------------------------------------------------------------------------------------------------


def _not_locked(device: Device) -> RefusedError:
    reason = Reason("not-locked", str(device), "nothing locks it; `rig unlock` alone lists what is locked")
    return RefusedError(f"{_capital(str(device))} is not locked.", (reason,), next_step="rig unlock")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
