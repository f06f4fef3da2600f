"""Whole runs (`rig run` on a simulated bench) that are killed with kill -9, and the judge of what they leave.

As a program it starts such runs: one process imports everything, and every run is a process forked from it, so that a kill
costs the time of the run and not of its imports. Each tells on a pipe every batch whose append_frames() returned.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyfive
from numpy.typing import NDArray

from rig.runfile import FRAME_DTYPE, Run, open_run, recover

LONG = bool(os.environ.get("RIG_LONG"))
MODES = ("gated", "stepped")
SEQUENCE = """\
title = "killed"
sample = "film"
measurement = "on_off"
mode = "{mode}"
[parameters]
voltage_on_v = 20.0
on_time_s = 0.06
off_time_s = 0.06
cycles = {cycles}
fluence_uj_cm2 = 40.0
settle_s = 0.01
"""
Batch = tuple[int, int]  # frames in the file after it, checksum of its spectra


def sequence(folder: Path, mode: str, cycles: int = 2) -> Path:
    path = folder / f"{mode}_{cycles}.toml"
    path.write_text(SEQUENCE.format(mode=mode, cycles=cycles), encoding="utf-8")
    return path


def run_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.h5"))


# --- the judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """What the same run leaves when nobody disturbs it: same seed, same bytes."""

    spectra: NDArray[np.uint16]
    rows: NDArray[Any]
    events: list[tuple[int, str]]

    @classmethod
    def of(cls, run: Run) -> "Reference":
        return cls(run.spectra(), run.frames(), run.events)


def opened_by_others(path: Path, *, independent: bool = True) -> int:
    """Open the file as any viewer does, with plain h5py and with a reader that shares no code with it; return its frames."""
    with h5py.File(path, "r") as file:
        entry: Any = file["entry"]
        count = int(entry["frames/count"][()])
        spectra = entry["spectra/counts"][:count]
    if independent:
        with pyfive.File(path) as other:
            assert int(other["entry/frames/count"][()]) == count
            assert np.array_equal(other["entry/spectra/counts"][:count], spectra)
            assert other["entry/traces/band_520"].shape[0] >= count  # the default plot
    return count


def judge(path: Path, acknowledged: Sequence[Batch], reference: Reference, *, independent: bool = True) -> Run:
    """Every acknowledged frame is there once with its bytes, whoever is assigned is right, log and ledger are whole."""
    count = opened_by_others(path, independent=independent)
    run = open_run(path)
    assert run.count == count >= (acknowledged[-1][0] if acknowledged else 0)
    spectra, rows, first = run.spectra(), run.frames(), 0
    for end, checksum in acknowledged:
        assert zlib.crc32(spectra[first:end].tobytes()) == checksum
        first = end
    assert np.array_equal(spectra, reference.spectra[:count])
    for name in ("device_time_us", "frame_count"):
        assert np.array_equal(rows[name], reference.rows[name][:count]), name
    assert (np.diff(rows["device_time_us"].astype(np.int64)) > 0).all()  # none twice
    known = rows["flags"] == 0  # whoever is not flagged is as the undisturbed run has it, in every column
    for name in FRAME_DTYPE.names or ():
        assert rows[name][known].tobytes() == reference.rows[name][:count][known].tobytes(), name
    events = [event for event in run.events if event in reference.events]
    assert events == reference.events[: len(events)]
    ledger = run.ledger
    if ledger:
        assert ledger["received"] <= count
        assert ledger["assigned"] <= (rows["shot"] >= 0).sum()
    return run


def judge_recovery(path: Path) -> None:
    """`rig recover` finishes the file, deletes nothing, does nothing the second time, and leaves nothing beside it."""
    run = open_run(path)
    before = (run.spectra().tobytes(), run.frames().tobytes(), run.readings.tobytes(), run.events, run.ledger, run.state)
    recover(path)
    after = (run.spectra().tobytes(), run.frames().tobytes(), run.readings.tobytes(), run.events, run.ledger, run.state)
    assert after[:-1] == before[:-1]
    assert after[-1] == (before[-1] if before[-1] in ("done", "stopped", "fault") else "interrupted")
    assert run.trimmed
    once = path.read_bytes()
    recover(path)
    assert path.read_bytes() == once
    assert opened_by_others(path) == run.count
    left = {left.name for left in path.parent.iterdir()} - {path.with_suffix(".png").name, path.with_suffix(".html").name}
    assert left == {path.name}


# --- runs that are killed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a run process ended (as os.waitpid says), after how long, and what it had acknowledged."""

    status: int
    after_s: float
    acknowledged: list[Batch]

    @property
    def killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


class Stable:
    """The process that runs are forked from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, source: Path, out: Path, kill_after_s: float | None = None) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"words": ["run", str(source), "--out", str(out), "--quiet"], "kill_after_s": kill_after_s}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return Ended(told["status"], told["after_s"], [(end, checksum) for end, checksum in told["acknowledged"]])


@contextmanager
def stable() -> Generator[Stable]:
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Stable(process)
        finally:
            process.kill()


@dataclass
class Count:
    """What happened to killed runs."""

    kills: int = 0  # a few runs more ended before their time came
    without_file: int = 0
    while_made: int = 0
    running: int = 0
    ended: int = 0
    acknowledged: int = 0
    kept: int = 0


def kill_runs(source: Path, folder: Path, kills: int, seed: int) -> Count:
    """Kill so many runs at random moments and judge what each leaves; AssertionError when anything is lost."""
    chance, count = random.Random(seed), Count()
    with stable() as runs:
        whole = runs.run(source, folder / "whole")
        assert whole.status == 0
        [path] = run_files(folder / "whole")
        reference, whole_s = Reference.of(open_run(path)), whole.after_s
        for number in range(3 * kills):
            if count.kills == kills:
                break
            out = folder / f"killed_{number}"
            ended = runs.run(source, out, chance.uniform(0.0, 1.0) * whole_s)
            if not ended.killed:  # faster than the first: still to be judged
                whole_s = min(whole_s, ended.after_s)
            count.kills += ended.killed
            files = run_files(out)
            if not files:
                assert not ended.acknowledged
                count.without_file += 1
                count.while_made += any(out.glob("*.part"))
                continue
            run = judge(files[0], ended.acknowledged, reference)
            count.running += run.state == "running"
            count.ended += run.state != "running"
            count.acknowledged += ended.acknowledged[-1][0] if ended.acknowledged else 0
            count.kept += run.count
            judge_recovery(files[0])
    return count


def _fork_and_kill(job: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reading)
        _run(job["words"], writing)
    os.close(writing)
    limit = job["kill_after_s"]
    said = b""
    while True:
        left = None if limit is None else max(0.0, limit - (time.monotonic() - begun))
        ready, _, _ = select.select([reading], [], [], left)
        if not ready:
            os.kill(child, signal.SIGKILL)
            limit = None
        elif piece := os.read(reading, 65536):
            said += piece
        else:
            break
    os.close(reading)
    _, status = os.waitpid(child, 0)
    batches = [[int(number) for number in line.split()] for line in said[: said.rfind(b"\n") + 1].splitlines()]
    return {"status": status, "after_s": time.monotonic() - begun, "acknowledged": batches}


def _run(words: list[str], writing: int) -> None:
    from rig import cli
    from rig.runfile import RunFile

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    append = RunFile.append_frames

    def told(self: RunFile, columns: NDArray[Any], spectra: NDArray[np.uint16]) -> None:
        append(self, columns, spectra)
        os.write(writing, f"{self.count} {zlib.crc32(spectra.tobytes())}\n".encode())

    RunFile.append_frames = told
    try:
        code = cli.main(words)
    except BaseException:  # noqa: BLE001 - a forked process must not go on with its parent's work
        code = 99
    os._exit(code)


def _main() -> None:
    from tempfile import TemporaryDirectory

    from rig import cli

    with TemporaryDirectory() as folder:  # everything is imported by a run
        cli.main(["run", str(sequence(Path(folder), "gated", cycles=1)), "--out", folder, "--quiet"])
    for line in sys.stdin:
        print(json.dumps(_fork_and_kill(json.loads(line))), flush=True)


if __name__ == "__main__":
    _main()
