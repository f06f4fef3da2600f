"""Runs over a network whose delays vary by up to 2 s: how they end, and how many frames are filed wrongly (it must be none).

Bench, proxy and run are real sockets on this computer; judged by the bench's own record of the voltage at every frame's pulse.

python benchmarks/jitter.py [runs per row, 10]
"""

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "run"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "faults"))

from proxy import MESSAGE, REPLY, Jitter
from wired_bench import WiredBench

MOST_S = 2.0
POWERS = (400.0, 40.0, 12.0)


def main(runs: int) -> None:
    head = (
        "mode",
        "mean delay (ms)",
        "runs",
        "to their end",
        "as a fault",
        "unconfirmed",
        "frames",
        "assigned",
        "wrong",
        "s per run",
    )
    print(" ".join(f"{word:>15}" for word in head))
    with tempfile.TemporaryDirectory() as folder:
        bench = WiredBench(Path(folder))
        with bench.server:
            for mode in ("gated", "stepped"):
                for power in POWERS:
                    print(row(bench, mode, power, runs), flush=True)


def row(bench: WiredBench, mode: str, power: float, runs: int) -> str:
    """One line: `runs` runs with one distribution of delays."""
    done = faults = shouted = frames = assigned = wrong = 0
    began_s = time.monotonic()
    for seed in range(runs):
        with bench.wired(seed) as wired:
            jitter = Jitter(MOST_S, power, random.Random(f"{mode} {power} {seed}"))

            def begin(wired=wired, jitter=jitter) -> None:
                for role in wired.proxy.ports:
                    for way in (MESSAGE, REPLY):
                        wired.proxy.on(role, way, jitter, times=None)

            wired.at_burst(0, begin)
            run = wired.run(mode, on_s=0.3, off_s=0.25)
        done, faults, shouted = done + (run.code == 0), faults + (run.code == 4), shouted + (run.code == 5)
        if run.code not in (0, 4, 5) or run.path is None:
            raise SystemExit(run.told)
        found = bench.wrong(run.path)
        frames, wrong, assigned = frames + len(run.acknowledged), wrong + found[0], assigned + found[1]
    each_s = (time.monotonic() - began_s) / runs
    cells = (mode, f"{1e3 * MOST_S / (power + 1):.0f}", runs, done, faults, shouted, frames, assigned, wrong, f"{each_s:.1f}")
    return " ".join(f"{cell!s:>15}" for cell in cells)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
