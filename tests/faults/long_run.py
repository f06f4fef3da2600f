"""A long run on the stepped clock, weighed while it goes: memory of the program and of the process, handles, threads, pace.

The simulated world keeps a record of everything that happens, by which tests judge; it grows with every shot. The memory of the
program is therefore counted apart: what lines of rig/, drivers/ and of the libraries they use have asked for and still hold.
"""

import gc
import os
import sys
import threading
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from other_benches import nothing_in_the_beam, other_bench

from rig.measurements.on_off import OnOff
from rig.sequence import Mode, Sequence
from rig.session import RunResult, Session

SHOTS_PER_CYCLE = 400
SAMPLES = 20
NOT_OF_THE_PROGRAM = ("*/sim_instruments/*", "*/tests/*", "*/tracemalloc.py", "*/linecache.py")


@dataclass(frozen=True)
class Weight:
    """What a run holds after so many shots."""

    shots: int
    program_bytes: int
    resident_bytes: int
    handles: int
    threads: int
    wall_s: float


@dataclass(frozen=True)
class LongRun:
    """A run that has ended, with its weights."""

    result: RunResult
    weights: list[Weight]
    world: Any

    def slope(self, what: str) -> float:
        """How much of it comes with each shot, in the second half of the run (its first half warms up)."""
        half = self.weights[len(self.weights) // 2 :]
        return float(np.polyfit([w.shots for w in half], [float(getattr(w, what)) for w in half], 1)[0])


def long_run(folder: Path, shots: int, mode: Mode, *, traced: bool = True) -> LongRun:
    """Run so many shots; `traced` counts the program's own memory, which makes it slower."""
    session = Session(other_bench(nothing_in_the_beam), simulate=True, out=folder)
    wanted = OnOff(cycles=shots // SHOTS_PER_CYCLE, on_time_s=0.2, off_time_s=0.2, settle_s=0.02)
    weights: list[Weight] = []
    begun_s = time.perf_counter()

    def observe(progress: Any) -> None:
        if progress.shots_done >= (len(weights) + 1) * shots / (SAMPLES + 1):
            weights.append(_weight(progress.shots_done, time.perf_counter() - begun_s, traced=traced))

    if traced:
        tracemalloc.start()
    try:
        result = session.run(Sequence.of(wanted, mode=mode), observe=observe)
    finally:
        tracemalloc.stop()
    return LongRun(result, weights, session.world)


def _weight(shots: int, wall_s: float, *, traced: bool) -> Weight:
    gc.collect()
    held = 0
    if traced:
        others = [tracemalloc.Filter(inclusive=False, filename_pattern=pattern) for pattern in NOT_OF_THE_PROGRAM]
        snapshot = tracemalloc.take_snapshot().filter_traces(others)
        held = sum(statistic.size for statistic in snapshot.statistics("filename"))
    return Weight(shots, held, resident_bytes(), handles(), threading.active_count(), wall_s)


def resident_bytes() -> int:
    """Memory of this process (bytes), 0 where nobody tells."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def handles() -> int:
    """Open files, sockets and pipes of this process, 0 where nobody tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
