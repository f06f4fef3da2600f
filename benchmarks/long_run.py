"""What a long run holds with every shot: memory of the process, of the program alone, handles, threads; stepped clock.

Per shot the simulated world keeps 56 bytes of its own record by design; they are a part of the memory of the process.

python benchmarks/long_run.py [shots, 20000]
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "faults"))

from long_run import long_run

WHAT = ("resident_bytes", "program_bytes", "handles", "threads")


def main(shots: int) -> None:
    heading = " ".join(f"{name:>10}" for name in ("resident B", "program B", "handles", "threads", "shots/s"))
    print(f"  {f'per shot, second half of {shots} shots':40} {heading}")
    for mode in ("gated", "stepped"):
        for traced in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                run = long_run(Path(folder), shots, mode, traced=traced)
            last = run.weights[-1]
            known = [f"{run.slope(what):10.2g}" if traced or what != "program_bytes" else f"{'-':>10}" for what in WHAT]
            name = f"{mode}, traced" if traced else mode
            print(f"  {name:40} {' '.join(known)} {last.shots / last.wall_s:10.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
