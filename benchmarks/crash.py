"""What is left of runs that are killed with `kill -9` at random moments: which files open, which frames are in them.

Each run is a process of its own (`rig run` on the simulated bench). It tells on a pipe every batch of frames whose storing was
acknowledged; then its file is opened with plain h5py and with pyfive, compared byte by byte with an undisturbed run, and
recovered twice. Anything missing or different ends the program with an AssertionError.

python benchmarks/crash.py [kills, 200] [gated|stepped|both, both]
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "crash"))

from killed_runs import MODES, Count, kill_runs, sequence

HEADINGS = ("kills", "no file yet", "half-made", "cut off", "ended", "acknowledged", "in the files", "lost")


def line(mode: str, count: Count) -> str:
    lost = max(0, count.acknowledged - count.kept)
    before = (count.kills, count.without_file, count.while_made, count.running, count.ended)
    return f"  {mode:8}" + "".join(f"{number:>13}" for number in (*before, count.acknowledged, count.kept, lost))


def main(kills: int, modes: Sequence[str]) -> None:
    print(f"  {'':8}" + "".join(f"{heading:>13}" for heading in HEADINGS))
    for mode in modes:
        with tempfile.TemporaryDirectory() as folder:
            print(line(mode, kill_runs(sequence(Path(folder), mode), Path(folder), kills // len(modes), seed=1)), flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    which = words[1] if len(words) > 1 else "both"
    main(int(words[0]) if words else 200, MODES if which == "both" else (which,))
