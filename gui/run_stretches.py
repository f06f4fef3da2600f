"""The OFF and ON stretches of a run: proven ones from the rows of the file, those still under way as the sequence plans them.

State and voltage of a frame are in the file only after its block has proved where the voltage stood.
"""

from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from drivers.errors import RigError
from rig.bench import parse_bench
from rig.config_file import parse_document
from rig.runfile import Flag, RunHeader
from rig.sequence import BlockMode, Measurement, parse_sequence
from rig.sequence import Stretch as PlannedStretch

MAX_PLANNED = 100_000
NOBODY = -1
NO_DATA = int(Flag.LEAD_IN | Flag.SURPLUS)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames at one voltage.

    first_s, last_s  times of its first and last frame on the axis of the traces
    number           counted over the run
    state, cycle     0 OFF, 1 ON, -1 not known; cycle number, -1 none
    voltage_v        planned, None where it is not known
    proven           False while the block has not ended: then state, cycle and voltage are those of the plan
    """

    first_s: float
    last_s: float
    block: int
    number: int
    state: int
    cycle: int
    voltage_v: float | None
    proven: bool


class RunStretches:
    """Stretches of one run in time order.

    Parameters
    ----------
    planned  what the sequence says of each stretch
    """

    def __init__(self, planned: tuple[PlannedStretch, ...]) -> None:
        self._planned = planned
        self._proven: list[Stretch] = []
        self._expected: list[Stretch] = []
        self._ended = 0

    @property
    def ended_shots(self) -> int | None:
        """Get how many shots the proven stretches were to have, None where the sequence does not tell."""
        return sum(stretch.shots for stretch in self._planned[: self._ended]) if self._planned else None

    @property
    def planned_voltages(self) -> int:
        """Get how many voltages other than 0 V the sequence asks for."""
        return len({stretch.voltage_v for stretch in self._planned} - {0.0})

    @property
    def all(self) -> list[Stretch]:
        """Get all stretches so far."""
        return [*self._proven, *self._expected]

    @property
    def current(self) -> Stretch | None:
        """Get the last stretch, None before the first."""
        return (self._expected or self._proven or [None])[-1]

    def add(self, rows: NDArray[np.void], time_s: NDArray[np.float64]) -> None:
        """Add frames that nothing is proven of yet: rows of FRAME_DTYPE (n,), times (s, (n,))."""
        for block, number, part in _groups(rows):
            plan = self._planned[number] if 0 <= number < len(self._planned) else None
            found = Stretch(
                float(time_s[part.start]),
                float(time_s[part.stop - 1]),
                block,
                number,
                NOBODY if plan is None else int(plan.state),
                NOBODY if plan is None else plan.cycle,
                None if plan is None else plan.voltage_v,
                proven=False,
            )
            _join(self._expected, found)

    def prove(self, rows: NDArray[np.void], time_s: NDArray[np.float64]) -> None:
        """Take the final rows of frames, in the order in which they were added."""
        for block, number, part in _groups(rows):
            mine = rows[part]
            if ((mine["flags"] & NO_DATA) == 0).any():
                self._ended = max(self._ended, number + 1)
            assigned = mine[mine["state"] != NOBODY]
            volts = mine["planned_voltage_v"][np.isfinite(mine["planned_voltage_v"])]
            found = Stretch(
                float(time_s[part.start]),
                float(time_s[part.stop - 1]),
                block,
                number,
                int(assigned["state"][0]) if len(assigned) else NOBODY,
                int(assigned["cycle"][0]) if len(assigned) else NOBODY,
                float(volts[0]) if len(volts) else None,
                proven=True,
            )
            _join(self._proven, found)
        if self._proven:
            last_s = self._proven[-1].last_s
            self._expected = [replace(one, first_s=max(one.first_s, last_s)) for one in self._expected if one.last_s > last_s]


def _groups(rows: NDArray[Any]) -> list[tuple[int, int, slice]]:
    """Cut rows where block or stretch change: block, stretch, rows of it."""
    block, number = rows["block"], rows["stretch"]
    edges = np.flatnonzero((np.diff(block) != 0) | (np.diff(number) != 0)) + 1
    bounds = [0, *edges.tolist(), len(rows)] if len(rows) else [0]
    return [(int(block[a]), int(number[a]), slice(a, b)) for a, b in pairwise(bounds)]


def _join(stretches: list[Stretch], more: Stretch) -> None:
    """Lengthen the last stretch if these frames belong to it, else add one."""
    last = stretches[-1] if stretches else None
    if last is None or (last.block, last.number) != (more.block, more.number):
        stretches.append(more)
        return
    stretches[-1] = replace(
        last,
        last_s=more.last_s,
        state=more.state if last.state == NOBODY else last.state,
        cycle=more.cycle if last.cycle == NOBODY else last.cycle,
        voltage_v=more.voltage_v if last.voltage_v is None else last.voltage_v,
    )


def planned_stretches(header: RunHeader) -> tuple[PlannedStretch, ...]:
    """List the stretches that a run is to have; none where its sequence does not tell them beforehand."""
    from rig.session import MEASUREMENTS

    try:
        sequence = parse_sequence(parse_document(header.sequence_toml, Path("sequence.toml")), MEASUREMENTS)
        bench = parse_bench(parse_document(header.bench_toml, Path("bench.toml")))
        mode: BlockMode = "stepped" if header.mode == "stepped" else "gated"
        blocks = cast(Measurement, sequence.parameters).blocks(bench.laser_trigger.rate_hz, mode)
        return tuple(islice((stretch for block in blocks for stretch in block.stretches), MAX_PLANNED))
    except (RigError, KeyError, ValueError, TypeError, AttributeError):
        return ()
