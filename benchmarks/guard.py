"""How soon the guard has everything off after `kill -9` of a run: voltage at the film and last pulse, by the server's record.

The bench is served by one process, each run is another and its guard a third. A run is killed while 20 V are at the film, at a
random moment of the stretch: while a level is held (gated) and while a list walks (stepped).

python benchmarks/guard.py [kills, 100] [gated|stepped|both, both]
"""

import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "faults"))

from guarded_run import kill_times_ms, served_bench

HOLD_S = 0.8


def line(name: str, times_ms: Sequence[float]) -> str:
    ordered = sorted(times_ms)
    figures = (statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1])
    return f"  {name:24} {len(ordered):5d} " + " ".join(f"{figure:9.1f}" for figure in figures)


def main(kills: int, modes: Sequence[str]) -> None:
    chance = random.Random(1)
    print(f"  {'ms after the kill':24} {'kills':>5} {'median':>9} {'95 %':>9} {'maximum':>9}")
    with tempfile.TemporaryDirectory() as folder, served_bench(Path(folder)) as served:
        for mode in modes:
            delays_s = [chance.uniform(0, HOLD_S) for _ in range(kills // len(modes))]
            times = kill_times_ms(served, mode, delays_s)
            print(line(f"{mode}, 0 V at the film", [voltage for voltage, _ in times]))
            print(line(f"{mode}, last pulse", [pulse for _, pulse in times]), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    which = words[1] if len(words) > 1 else "both"
    main(int(words[0]) if words else 100, ("gated", "stepped") if which == "both" else (which,))
