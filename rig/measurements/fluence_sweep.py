"""Emission against pump fluence at one voltage: one block for each set point (Fig. 2d, 2e of the paper)."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.sequence import Block, BlockMode, BlockResult, State, Stretch

Order = Literal["up", "down", "both", "random"]

MOST_SHOTS = 100_000  # their spectra are reduced together: some 400 pixels of each, 0.3 GB


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of a set point: number of the point (0 is the weakest), its fluence, and which way the sweep went."""

    point: int
    fluence_uj_cm2: float
    direction: Literal["up", "down", "random"]


class FluenceSweep(ConfigModel):
    """Shots at log-spaced pump fluences under one voltage; the threshold of amplified emission is read from them.

    At another voltage than 0 V every visit begins with `rests` times as many shots at 0 V and the same fluence, so that the
    source rests as the bench's duty demands; those shots are recorded and not used. "both" goes up, then down, and compares the
    two; "random" draws a new order for each repeat. Source of the range: Nano Lett. 2021, 21, 7831, Fig. 2d and 2e (thresholds
    68 uJ/cm2 at 0 V and 32 uJ/cm2 at 20 V); number of points and shots are ours.
    """

    name: ClassVar[str] = "fluence_sweep"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_v"}  # what others call it

    voltage_v: float = Field(default=0.0, ge=-210, le=210, description="voltage at all points (V, -210 to 210)")
    fluence_min_uj_cm2: float = Field(default=12.0, ge=1e-4, le=1e4, description="weakest point (uJ/cm2, 0.0001 to 10000)")
    fluence_max_uj_cm2: float = Field(default=130.0, ge=1e-4, le=1e4, description="strongest point (uJ/cm2, 0.0001 to 10000)")
    points: int = Field(default=26, ge=8, le=200, description="set points, log-spaced (8 to 200)")
    order: Order = Field(default="up", description="up, down, both (up, then down: hysteresis), or random")
    shots_per_point: int = Field(default=100, ge=5, le=10_000, description="shots at each visit of a point (5 to 10000)")
    settle_s: float = Field(
        default=0.1, ge=0, le=10, description="under voltage: wait after an edge, beside the shots that count (s, 0 to 10)"
    )
    rests: int = Field(default=1, ge=1, le=100, description="under voltage: shots at 0 V for each one under it (1 to 100)")
    repeats: int = Field(default=1, ge=1, le=100, description="how many times the whole sweep (1 to 100)")
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="of the random order (0 to 2147483647)")

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a range that is none, and more shots than are reduced together."""
        if not self.fluence_min_uj_cm2 < self.fluence_max_uj_cm2:
            message = f"the weakest point, {self.fluence_min_uj_cm2:g} uJ/cm2, is not below the strongest"
            yield Contradiction("empty-range", ("fluence_max_uj_cm2",), message)
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
        """List the visits in the order of time; `Stretch.cycle` and the file's column `cycle` are indices into it."""
        fluences = np.geomspace(self.fluence_min_uj_cm2, self.fluence_max_uj_cm2, self.points).tolist()
        up = tuple(Visit(point, fluence, "up") for point, fluence in enumerate(fluences))
        down = tuple(Visit(one.point, one.fluence_uj_cm2, "down") for one in reversed(up))
        if self.order == "random":
            draw = np.random.default_rng(self.seed)
            orders = [draw.permutation(self.points).tolist() for _ in range(self.repeats)]
            return tuple(Visit(point, fluences[point], "random") for order in orders for point in order)
        return {"up": up, "down": down, "both": up + down}[self.order] * self.repeats

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of the whole run at `rate_hz` (Hz), settling and rests included: exact, and reached."""
        return self._visits * self._shots(rate_hz) * (1 if self.voltage_v == 0 else 1 + self.rests)

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per visit; under voltage in gated blocks one for the rest at 0 V and one for the visit."""
        shots, index = self._shots(rate_hz), 0
        settle_s = 0.0 if self.voltage_v == 0 else self.settle_s  # without an edge there is nothing to settle
        for number, visit in enumerate(self.visits()):
            stretches = (Stretch(State.OFF, 0.0, shots, number),)
            if self.voltage_v != 0:
                rest = Stretch(State.OFF, 0.0, shots * self.rests, number)
                stretches = (rest, Stretch(State.ON, self.voltage_v, shots, number))
            for block in [stretches] if mode == "stepped" else [(one,) for one in stretches]:
                yield Block(index, block, settle_s, visit.fluence_uj_cm2)
                index += 1

    def _shots(self, rate_hz: float) -> int:
        """Shots of one visit: those counted, and those of the settling, which are flagged."""
        settling = 0 if self.voltage_v == 0 else int(np.ceil(self.settle_s * rate_hz - 1e-6))
        return self.shots_per_point + settling
