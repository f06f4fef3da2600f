"""What each device has been through, one JSON file per serial number, in a folder that outlives every run.

Numbers in it only grow: smaller ones are refused, and reading takes the largest of everything that is there, so that neither a
crash nor a second program loses damage. Nothing here takes any back; an undamaged device is a new serial number.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any, cast

from platformdirs import user_state_path

from sim_instruments.film.damage import Wear

FORMAT = 1
UNFINISHED = ".new-"


def default_folder() -> Path:
    """Where this user's devices are kept: $ITO_RIG_STATE, else the system's place for state that outlives programs."""
    return Path(os.environ.get("ITO_RIG_STATE") or user_state_path("ito-rig") / "films")


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """History of one device.

    Parameters
    ----------
    damage           D
    bleached         B, fraction of the film
    hazard           H, expected number of breakdowns
    breakdowns       0 or 1
    greatest_bias_v  highest |V| that was ever on it or about to be (V)
    """

    serial: str
    damage: float = 0.0
    bleached: float = 0.0
    hazard: float = 0.0
    breakdowns: int = 0
    greatest_bias_v: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= value < math.inf for value in astuple(self)[1:]) or not self.bleached < 1:
            raise ValueError(f"this cannot be the history of a device: {self}")

    @property
    def wear(self) -> Wear:
        """What the film starts from."""
        return Wear(self.damage, self.bleached, self.hazard)

    def merged(self, other: "DeviceRecord") -> "DeviceRecord":
        """Return the larger of every number. Raises ValueError for another device."""
        if other.serial != self.serial:
            raise ValueError(f"{other.serial!r} is not {self.serial!r}")
        return DeviceRecord(self.serial, *map(max, astuple(self)[1:], astuple(other)[1:]))


class DeviceStore:
    """The records in `folder`, which is made when it is first written to. For one bench at a time per device."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def load(self, serial: str) -> DeviceRecord:
        """Return the device's history; all zero for a new serial number.

        Raises ValueError when its file is not readable as one: a device with an unknown past is not a new one.
        """
        path = self._path(serial)
        return reduce(DeviceRecord.merged, self._read_all(path.name), DeviceRecord(serial))

    def save(self, record: DeviceRecord) -> None:
        """Write the history; it is on the disk when this returns. Raises ValueError when any number would fall."""
        known = self.load(record.serial)
        if known.merged(record) != record:
            raise ValueError(f"damage does not heal: {known} is on record, refused {record}")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(record.serial)
        handle, name = tempfile.mkstemp(prefix=f"{path.name}{UNFINISHED}", dir=self.folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "simulated": True, **asdict(record)}, file, indent=2, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_folder(self.folder)

    def records(self) -> list[DeviceRecord]:
        """All devices, by serial number. Raises ValueError for a file that is not readable."""
        return [self.load(serial) for serial in sorted({record.serial for record in self._read_all("*.json")})]

    def _read_all(self, pattern: str) -> Iterator[DeviceRecord]:
        """Read the files of this name, and whole ones that a crash has left between writing and renaming."""
        for path in self.folder.glob(f"{pattern}{UNFINISHED}*"):
            with contextlib.suppress(ValueError, FileNotFoundError):  # torn, or renamed this very moment
                yield _read(path)
        for path in self.folder.glob(pattern):
            yield _read(path)

    def _path(self, serial: str) -> Path:
        """One file name per serial number, on file systems that ignore case too."""
        digest = hashlib.sha256(serial.encode()).hexdigest()[:12]
        return self.folder / f"{re.sub(r'[^A-Za-z0-9-]+', '_', serial)[:60]}.{digest}.json"


class KeptDevice:
    """A device on the bench whose history is being written down.

    Written: before a bias above all earlier ones, at a breakdown, when H has grown by STEP_HAZARD, every second of ageing, and
    on `close`. A killed process takes no more with it than what came after the last of these.
    """

    STEP_HAZARD = 1e-3
    STEP_NS = 1_000_000_000

    def __init__(self, store: DeviceStore, serial: str) -> None:
        self.store = store
        self.record = store.load(serial)
        self._saved_ns: int | None = None

    def allow(self, voltage_v: float, wear: Wear, t_ns: int) -> None:
        """Write down that `voltage_v` is about to be applied, when it is a new height. Raises OSError when it cannot be."""
        if abs(voltage_v) > self.record.greatest_bias_v:
            self._save(wear, t_ns, abs(voltage_v))

    def note(self, wear: Wear, t_ns: int, *, broken: bool) -> None:
        """Write down what the device has been through at `t_ns`, when there is enough of it."""
        if wear.merged(self.record.wear) == self.record.wear and broken <= self.record.breakdowns:
            return
        if self._saved_ns is None:
            self._saved_ns = t_ns
        grown = wear.hazard - self.record.hazard >= self.STEP_HAZARD or broken > self.record.breakdowns
        if grown or t_ns - self._saved_ns >= self.STEP_NS:
            self._save(wear, t_ns, breakdowns=int(broken))

    def close(self, wear: Wear, t_ns: int, *, broken: bool) -> None:
        """Write down everything up to `t_ns`."""
        self._save(wear, t_ns, breakdowns=int(broken))

    def _save(self, wear: Wear, t_ns: int, bias_v: float = 0.0, breakdowns: int = 0) -> None:
        now = DeviceRecord(self.record.serial, *wear, breakdowns, bias_v)
        record = self.store.load(now.serial).merged(self.record).merged(now)
        self.store.save(record)
        self.record, self._saved_ns = record, t_ns


def _read(path: Path) -> DeviceRecord:
    """Return the record in a file. Raises ValueError when it is not one."""
    names = {entry.name for entry in fields(DeviceRecord)}
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or cast(Mapping[str, Any], content).get("format") != FORMAT:
            raise ValueError("not a device record of this format")
        return DeviceRecord(**{name: value for name, value in cast(Mapping[str, Any], content).items() if name in names})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not readable as the history of a device ({error}); nothing was changed") from error


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too, where the system lets one open a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
