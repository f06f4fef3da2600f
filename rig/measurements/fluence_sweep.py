"""Emission against pump fluence at one voltage: one block for each set point (Fig. 2d, 2e of the paper)."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.sequence import Block, BlockMode, BlockResult, State, Stretch

if TYPE_CHECKING:
    from rig.measurements.sweep_course import SweepCourse

Order = Literal["up", "down", "both", "random", "adaptive"]

MOST_SHOTS = 100_000  # their spectra are reduced together: some 400 pixels of each, 0.3 GB
GRID = 201  # fluences that an adaptive sweep chooses from, log-spaced: 1.2 % apart from 12 to 130 uJ/cm2
LEAST_SHOTS = 5
LEAST_ADAPTIVE = 20


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of a set point: number of the point (0 is the weakest), its fluence, and which way the sweep went."""

    point: int
    fluence_uj_cm2: float
    direction: Literal["up", "down", "random", "adaptive"]


class FluenceSweep(ConfigModel):
    """Shots at log-spaced pump fluences under one voltage; the threshold of amplified emission is read from them.

    At another voltage than 0 V every visit begins with `rests` times as many shots at 0 V and the same fluence, so that the
    source rests as the bench's duty demands; those shots are recorded and not used. "both" goes up, then down, and compares the
    two; "random" draws a new order for each repeat. "adaptive" begins coarsely and then goes where it learns most of the
    threshold, by visits of half as many shots, and ends when the interval is as narrow as that of the whole sweep. Source of
    the range: Nano Lett. 2021, 21, 7831, Fig. 2d and 2e (thresholds 68 uJ/cm2 at 0 V and 32 uJ/cm2 at 20 V); number of points
    and shots are ours.
    """

    name: ClassVar[str] = "fluence_sweep"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_v"}  # what others call it

    voltage_v: float = Field(default=0.0, ge=-210, le=210, description="voltage at all points (V, -210 to 210)")
    fluence_min_uj_cm2: float = Field(default=12.0, ge=1e-4, le=1e4, description="weakest point (uJ/cm2, 0.0001 to 10000)")
    fluence_max_uj_cm2: float = Field(default=130.0, ge=1e-4, le=1e4, description="strongest point (uJ/cm2, 0.0001 to 10000)")
    points: int = Field(default=26, ge=8, le=200, description="set points, log-spaced (8 to 200)")
    order: Order = Field(default="up", description="up, down, both (up, then down: hysteresis), random, or adaptive")
    shots_per_point: int = Field(default=100, ge=5, le=10_000, description="shots at each visit of a point (5 to 10000)")
    settle_s: float = Field(
        default=0.1, ge=0, le=10, description="under voltage: wait after an edge, beside the shots that count (s, 0 to 10)"
    )
    rests: int = Field(default=1, ge=1, le=100, description="under voltage: shots at 0 V for each one under it (1 to 100)")
    repeats: int = Field(default=1, ge=1, le=100, description="how many times the whole sweep (1 to 100)")
    stop_below_percent: float = Field(
        default=0.0,
        ge=0,
        le=15,
        description="adaptive: ends when half the threshold's interval is below; 0: as narrow as all points (%, 0 to 15)",
    )
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="of the random order (0 to 2147483647)")

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a range that is none, and more shots than are reduced together."""
        if not self.fluence_min_uj_cm2 < self.fluence_max_uj_cm2:
            message = f"the weakest point, {self.fluence_min_uj_cm2:g} uJ/cm2, is not below the strongest"
            yield Contradiction("empty-range", ("fluence_max_uj_cm2",), message)
        if self.order == "adaptive" and self.repeats != 1:
            yield Contradiction("adaptive-repeats", ("repeats",), "an adaptive sweep has no repeats")
        if self.order != "adaptive" and self.stop_below_percent > 0:
            message = 'only order = "adaptive" ends when the interval is narrow enough'
            yield Contradiction("not-adaptive", ("stop_below_percent",), message)
        if self.order == "adaptive" and not self.points >= LEAST_ADAPTIVE:
            message = f"{self.points} points: an adaptive sweep has half their shots, and needs {LEAST_ADAPTIVE} for that"
            yield Contradiction("too-few-points", ("points",), message)
        shots = self._visits * self.shots_per_point
        if not shots <= MOST_SHOTS:
            message = f"{shots} shots in all, one sweep may have {MOST_SHOTS}"
            yield Contradiction("run-too-long", ("shots_per_point",), message)

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List nothing: any number of shots fits any rate (Hz)."""
        return []

    @property
    def _visits(self) -> int:
        return self.points * self.repeats * (2 if self.order == "both" else 1)

    def visits(self) -> tuple[Visit, ...]:
        """List the visits in the order of time; `Stretch.cycle` and the file's column `cycle` are indices into it.

        Of an adaptive sweep those that it chooses from, by fluence.
        """
        if self.order == "adaptive":
            return tuple(Visit(point, fluence, "adaptive") for point, fluence in enumerate(self._fluences(GRID)))
        fluences = self._fluences(self.points)
        up = tuple(Visit(point, fluence, "up") for point, fluence in enumerate(fluences))
        down = tuple(Visit(one.point, one.fluence_uj_cm2, "down") for one in reversed(up))
        if self.order == "random":
            draw = np.random.default_rng(self.seed)
            orders = [draw.permutation(self.points).tolist() for _ in range(self.repeats)]
            return tuple(Visit(point, fluences[point], "random") for order in orders for point in order)
        return {"up": up, "down": down, "both": up + down}[self.order] * self.repeats

    def _fluences(self, points: int) -> list[float]:
        return np.geomspace(self.fluence_min_uj_cm2, self.fluence_max_uj_cm2, points).tolist()

    @property
    def chooses_fluence(self) -> bool:
        """Whether the fluences of the blocks are known only as they come: those of the plan are not the run's."""
        return self.order == "adaptive"

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of the whole run at `rate_hz` (Hz), settling and rests included: exact, adaptive the most."""
        return self._visits * self._shots(rate_hz) * (1 if self.voltage_v == 0 else 1 + self.rests)

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per visit; under voltage in gated blocks one for the rest at 0 V and one for the visit."""
        if self.order == "adaptive":
            yield from self._adaptive(rate_hz, mode)
            return
        index = 0
        for number, visit in enumerate(self.visits()):
            for block in self._visit(index, number, visit.fluence_uj_cm2, rate_hz, mode):
                yield block
                index += 1

    def _adaptive(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield visits where the course leads; asked without results, as many as there can be, at the strongest fluence."""
        visits = self.visits()
        course, planned, index = self.course(), False, 0
        for _ in range(self._visits):
            number = len(visits) - 1 if planned else course.next()
            if number is None:
                return
            for block in self._visit(index, number, visits[number].fluence_uj_cm2, rate_hz, mode):
                result = yield block
                if result is None:
                    planned = True
                else:
                    course.take(result.rows)
                index += 1

    def course(self) -> "SweepCourse":
        """Begin the course of an adaptive sweep."""
        from rig.measurements.sweep_course import SweepCourse  # scipy, which parameters do without

        full, grid = (np.array(self._fluences(points)) for points in (self.points, GRID))
        state = State.ON if self.voltage_v else State.OFF
        return SweepCourse(grid, full, self.shots_per_point, self.stop_below_percent / 100, state)

    def _visit(self, index: int, number: int, fluence_uj_cm2: float, rate_hz: float, mode: BlockMode) -> Iterator[Block]:
        shots = self._shots(rate_hz)
        settle_s = 0.0 if self.voltage_v == 0 else self.settle_s  # without an edge there is nothing to settle
        stretches = (Stretch(State.OFF, 0.0, shots, number),)
        if self.voltage_v != 0:
            rest = Stretch(State.OFF, 0.0, shots * self.rests, number)
            stretches = (rest, Stretch(State.ON, self.voltage_v, shots, number))
        for more, block in enumerate([stretches] if mode == "stepped" else [(one,) for one in stretches]):
            yield Block(index + more, block, settle_s, fluence_uj_cm2)

    def _shots(self, rate_hz: float) -> int:
        """Shots of one visit: those counted, and those of the settling, which are flagged."""
        counted = max(LEAST_SHOTS, -(-self.shots_per_point // 2)) if self.order == "adaptive" else self.shots_per_point
        return counted + (0 if self.voltage_v == 0 else int(np.ceil(self.settle_s * rate_hz - 1e-6)))
