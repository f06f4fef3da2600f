"""Checks of the computer itself: how fast the output folder takes data, what its clock and its sleep are worth."""

import os
import tempfile
from pathlib import Path

from drivers.clock import Clock
from rig.checkup import Check, Finding, Situation
from rig.compiler import frame_bytes
from rig.instruments import facts

DISK_MB = 16
SLEEPS, SLEEP_S = 20, 1e-3
STEPS = 50
STEP_WARN_NS = 1_000_000
OVERSLEEP_WARN_S = 0.02


def _disk(situation: Situation) -> Finding:
    folder = situation.folder
    place = folder if folder.is_dir() else _nearest(folder)
    rate_mb_s = written_mb_s(place, situation.wall_clock)
    needed_mb_s = situation.bench.laser_trigger.rate_hz * frame_bytes(facts(situation.bench)) / 1e6
    what = f"{rate_mb_s:.0f} MB/s written and synced in {place}; this bench makes {needed_mb_s:.1f} MB/s"
    details = {"folder": str(place), "needed_mb_s": needed_mb_s, "written_mb": DISK_MB}
    enough = rate_mb_s >= 2 * needed_mb_s
    status = "ok" if enough else "warn" if rate_mb_s >= needed_mb_s else "fail"
    step = "" if enough else "use a folder on a local disk (--out DIR), or fewer shots per second"
    return Finding(status, what, rate_mb_s, "MB/s", step, details)


def _nearest(folder: Path) -> Path:
    """Return the folder in which a missing one would be made."""
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())


def written_mb_s(folder: Path, clock: Clock) -> float:
    """Write and sync some megabytes into a file of no name that is gone afterwards; return MB/s.

    Raises
    ------
    OSError  the folder takes nothing
    """
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir=folder) as file:
        begin_ns = clock.now_ns()
        for _ in range(DISK_MB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        taken_s = max((clock.now_ns() - begin_ns) * 1e-9, 1e-9)
    return DISK_MB * len(block) / 1e6 / taken_s


def _clock(situation: Situation) -> Finding:
    clock = situation.wall_clock
    step_ns = min(_step_ns(clock) for _ in range(STEPS))
    slept_s: list[float] = []
    for _ in range(SLEEPS):
        begin_ns = clock.now_ns()
        clock.sleep(SLEEP_S)
        slept_s.append((clock.now_ns() - begin_ns) * 1e-9)
    late_s = max(slept_s) - SLEEP_S
    good = step_ns <= STEP_WARN_NS and late_s <= OVERSLEEP_WARN_S
    return Finding(
        "ok" if good else "warn",
        f"steps of {step_ns / 1e3:.3g} us; a sleep of 1 ms takes up to {1e3 * max(slept_s):.3g} ms",
        step_ns / 1e3,
        "us",
        "" if good else "end other programs; times of the host are labels only, but the bench will run slower",
        {"step_ns": step_ns, "sleep_asked_s": SLEEP_S, "sleep_taken_max_s": max(slept_s)},
    )


def _step_ns(clock: Clock) -> int:
    begin_ns = clock.now_ns()
    while (now_ns := clock.now_ns()) == begin_ns:
        pass
    return now_ns - begin_ns


COMPUTER_CHECKS = [Check("computer", "disk", _disk), Check("computer", "clock", _clock)]
