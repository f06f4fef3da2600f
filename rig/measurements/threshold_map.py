"""The threshold of amplified emission against voltage: sweeps in turns, bracketed by 0 V (Fig. 2f of the paper)."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.measurements.fluence_sweep import MOST_SHOTS, FluenceSweep, Visit
from rig.sequence import Block, BlockMode, BlockResult


class ThresholdMap(ConfigModel):
    """Fluence sweeps at 0 V and at `voltages - 1` voltages up to the highest, which are taken in turns.

    Every pass begins with a sweep at 0 V and then takes the other voltages in a new random order; a last sweep at 0 V ends the
    run. So each voltage lies between two sweeps at 0 V, and a film that drifts shows itself there. In every sweep the fluences
    are in random order. Source of ranges: Nano Lett. 2021, 21, 7831, Fig. 2f (68 uJ/cm2 at 0 V, 32 uJ/cm2 at 20 V); numbers of
    points and shots are ours, and so is the dose that has to be accepted (assumed).
    """

    name: ClassVar[str] = "threshold_map"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_max_v", "on_time_s": "shots_per_point"}

    voltage_max_v: float = Field(default=20.0, ge=-210, le=210, description="voltage farthest from 0 V (V, -210 to 210)")
    voltages: int = Field(default=5, ge=2, le=21, description="evenly spaced voltages, 0 V is one of them (2 to 21)")
    fluence_min_uj_cm2: float = Field(default=16.0, ge=1e-4, le=1e4, description="weakest point (uJ/cm2, 0.0001 to 10000)")
    fluence_max_uj_cm2: float = Field(default=130.0, ge=1e-4, le=1e4, description="strongest point (uJ/cm2, 0.0001 to 10000)")
    points: int = Field(default=26, ge=8, le=200, description="set points of each sweep, log-spaced (8 to 200)")
    shots_per_point: int = Field(default=50, ge=5, le=10_000, description="shots at each visit of a point (5 to 10000)")
    settle_s: float = Field(
        default=0.1, ge=0, le=10, description="wait at the beginning of a visit, beside the shots that count (s, 0 to 10)"
    )
    rests: int = Field(default=1, ge=1, le=100, description="under voltage: shots at 0 V for each one under it (1 to 100)")
    passes: int = Field(default=2, ge=1, le=20, description="how many times each voltage (1 to 20)")
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="of the random orders (0 to 2147483647)")
    dose_limit_j_cm2: float = Field(
        default=10.0, ge=0, le=1e6, description="dose on the film above which it has to be accepted (J/cm2, 0 to 1000000)"
    )
    dose_accepted: bool = Field(default=False, description="run although the dose is above the limit")

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield ranges that are none, and more shots than are reduced together."""
        if self.voltage_max_v == 0:
            yield Contradiction("empty-range", ("voltage_max_v",), "all voltages would be 0 V")
        if not self.fluence_min_uj_cm2 < self.fluence_max_uj_cm2:
            message = f"the weakest point, {self.fluence_min_uj_cm2:g} uJ/cm2, is not below the strongest"
            yield Contradiction("empty-range", ("fluence_max_uj_cm2",), message)
        shots = (self.passes * self.voltages + 1) * self.points * self.shots_per_point
        if not shots <= MOST_SHOTS:
            message = f"{shots} shots in all, one map may have {MOST_SHOTS}"
            yield Contradiction("run-too-long", ("shots_per_point",), message)

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List nothing: any number of shots fits any rate (Hz)."""
        return []

    def levels_v(self) -> tuple[float, ...]:
        """List the voltages (V), from 0 V to the one farthest from it."""
        return tuple(np.linspace(0.0, self.voltage_max_v, self.voltages).tolist())

    @cached_property
    def sweeps(self) -> tuple[FluenceSweep, ...]:
        """List the sweeps in the order of time; the first and the last are at 0 V."""
        draw = np.random.default_rng(self.seed)
        biased = self.levels_v()[1:]
        orders = [draw.permutation(len(biased)).tolist() for _ in range(self.passes)]
        voltages = [v for order in orders for v in (0.0, *(biased[number] for number in order))] + [0.0]
        return tuple(self._sweep(voltage_v, int(draw.integers(2**31))) for voltage_v in voltages)

    def _sweep(self, voltage_v: float, seed: int) -> FluenceSweep:
        return FluenceSweep(
            voltage_v=voltage_v,
            fluence_min_uj_cm2=self.fluence_min_uj_cm2,
            fluence_max_uj_cm2=self.fluence_max_uj_cm2,
            points=self.points,
            order="random",
            shots_per_point=self.shots_per_point,
            settle_s=self.settle_s,
            rests=self.rests,
            seed=seed,
        )

    def visits(self) -> tuple[Visit, ...]:
        """List the visits of all sweeps, `points` to each; the file's column `cycle` is an index into it."""
        return tuple(visit for sweep in self.sweeps for visit in sweep.visits())

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of the whole run at `rate_hz` (Hz), settling and rests included: exact, and reached."""
        at_rest = sum(sweep.voltage_v == 0 for sweep in self.sweeps) * self.points
        return sum(sweep.max_shots(rate_hz) for sweep in self.sweeps) + at_rest * self._settling(rate_hz)

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield the blocks of one sweep after the other, numbered through; at 0 V a visit settles as long as elsewhere."""
        index = 0
        for number, sweep in enumerate(self.sweeps):
            more = self._settling(rate_hz) if sweep.voltage_v == 0 else 0
            for block in sweep.blocks(rate_hz, mode):
                first = number * self.points
                stretches = tuple(replace(one, cycle=one.cycle + first, shots=one.shots + more) for one in block.stretches)
                yield replace(block, index=index, stretches=stretches, settle_s=self.settle_s)
                index += 1

    def _settling(self, rate_hz: float) -> int:
        return int(np.ceil(self.settle_s * rate_hz - 1e-6))
