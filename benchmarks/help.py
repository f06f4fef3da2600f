"""How long `rig --help` takes, against Python doing nothing at all; the aim is three times as long.

python benchmarks/help.py [rounds, 20]
"""

import subprocess
import sys
import time


def best_s(rounds: int, *words: str) -> float:
    times: list[float] = []
    for _ in range(rounds):
        begun_s = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - begun_s)
    return min(times)


def main(rounds: int) -> None:
    nothing_s, help_s = best_s(rounds, "-c", "pass"), best_s(rounds, "-m", "rig.cli", "--help")
    print(f"Python alone {nothing_s * 1e3:.0f} ms, rig --help {help_s * 1e3:.0f} ms, ratio {help_s / nothing_s:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
