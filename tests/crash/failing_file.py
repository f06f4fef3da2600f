"""Run files on a disk that fails: from which write on, with which error, and how soon after that everything was off."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from desk import Bench, Desk

from rig.runfile import RunFile, open_raw

NEVER = 10**9


class FailingFile:
    """The real file until so many writes are done; then every write raises."""

    def __init__(self, path: Path, disk: "Disk") -> None:
        self.real = open_raw(path)
        self.disk = disk
        self.writes = 0
        self.voltage_was_on: list[bool] = []  # at each write

    def seek(self, offset: int, /) -> int:
        return self.real.seek(offset)

    def write(self, data: memoryview, /) -> int | None:
        if self.writes >= self.disk.fails_at:
            self.disk.now()
            raise OSError(self.disk.number, os.strerror(self.disk.number))
        self.writes += 1
        self.voltage_was_on.append(self.disk.desk.bench.world.terminal.record.voltage_v[-1] != 0.0)
        if self.writes == self.disk.strikes_at:
            self.disk.now()
            self.disk.strike()
        return self.real.write(data)

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()


class Disk:
    """Every run file is opened on it.

    `fails_at` is the write that fails, before `strikes_at` something else happens; `failed_ns` is when, on the bench's clock.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
        self.desk = desk
        self.fails_at = NEVER
        self.number = 0
        self.strikes_at = NEVER
        self.strike: Callable[[], None] = lambda: None
        self.file: FailingFile | None = None
        self.failed_ns: int | None = None
        monkeypatch.setitem(RunFile.create.__func__.__kwdefaults__, "opener", self.open)  # type: ignore[attr-defined]

    def open(self, path: Path) -> FailingFile:
        self.failed_ns = None
        self.file = FailingFile(path, self)
        return self.file

    def now(self) -> None:
        """Remember this moment as the one of the fault."""
        if self.failed_ns is None:
            self.failed_ns = self.desk.bench.world.now_ns()

    def off_ms(self) -> float:
        """From the fault to 0 V at the film and the last pulse, by the world's own record."""
        assert self.failed_ns is not None
        return off_after_ms(self.desk.bench, self.failed_ns)


def off_after_ms(bench: Bench, fault_ns: int) -> float:
    record = bench.world.terminal.record
    assert record.voltage_v[-1] == 0.0
    last_ns = max([record.t_ns[-1], *bench.fired_ns[-1:]])
    return max(0, last_ns - fault_ns) * 1e-6
