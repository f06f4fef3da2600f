"""How much faster than real time the README's run is simulated, wire to file, in both modes; 1/10 is the aim.

python benchmarks/simulated_run.py
"""

import tempfile

from rig.measurements.on_off import OnOff
from rig.sequence import Sequence
from rig.session import Session


def main() -> None:
    print(f"{'mode':8} {'simulated':>10} {'took':>8} {'ratio':>6} {'frames/s':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("gated", "stepped"):
            outcome = Session(out=folder).run(Sequence.of(OnOff(), mode=mode)).outcome
            ratio = outcome.duration_s / outcome.wall_s
            rate = outcome.ledger.received / outcome.wall_s
            print(f"{mode:8} {outcome.duration_s:8.2f} s {outcome.wall_s:6.2f} s {ratio:6.1f} {rate:9.0f}")


if __name__ == "__main__":
    main()
