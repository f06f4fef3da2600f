"""Acceptance of the switching run over films of a population: threshold of each film (truth) against what the run says.

python benchmarks/device_population.py [films] [mode]
"""

import sys
import tempfile

from rig.measurements.on_off import OnOff
from rig.sequence import Sequence
from rig.session import Session


def main(films: int = 20, mode: str = "stepped") -> None:
    print(f"{'film':8} {'F_th(20 V)':>10} {'switched':>8} {'claims failed'}")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(films):
            session = Session(out=folder, device=f"NC-{number:03d}", state=folder)
            result = session.run(Sequence.of(OnOff(), mode=mode))
            threshold = session.world.film.native_threshold(20.0)
            failed = [f"{v.claim} {v.quantity} = {v.value}" for v in result.record.verdicts if v.passed is not True]
            switched = "yes" if result.results.switched else "no"
            print(f"NC-{number:03d}   {threshold:10.2f} {switched:>8} {'; '.join(failed)}", flush=True)
            result.path.unlink()


if __name__ == "__main__":
    main(*(int(sys.argv[1]),) if len(sys.argv) > 1 else (), *sys.argv[2:3])
