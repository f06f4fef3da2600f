"""Current against voltage, and at one voltage against time, in the dark (claims C04, C05, C59)."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.sequence import Block, BlockMode, BlockResult, Exposure, State, Stretch

MOST_FRAMES = 100_000

Leg = Literal["up", "down", "hold"]


@dataclass(frozen=True, slots=True)
class IvVisit:
    """One stay at a voltage, after a rest at 0 V: on the way from 0 V outward ("up"), back ("down"), or the long hold."""

    voltage_v: float
    leg: Leg
    frames: int
    rest_frames: int


class Iv(ConfigModel):
    """A ladder of voltages up and down, a rest at 0 V before each, then one long hold at the voltage farthest from 0 V.

    The laser is not fired; dark frames are taken all the same, `frame_s` apart, and prove that no light comes. The source is
    read every 80 ms while it holds a level, so blocks are gated. Source of the range: Nano Lett. 2021, 21, 7831 (20 V); numbers
    of levels and times are ours.
    """

    name: ClassVar[str] = "iv"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_max_v", "on_time_s": "long_hold_s"}
    gated_because: ClassVar[str] = "the source is read while it holds a level"

    voltage_max_v: float = Field(default=20.0, ge=-210, le=210, description="voltage farthest from 0 V (V, -210 to 210)")
    voltages: int = Field(default=11, ge=6, le=101, description="evenly spaced voltages, 0 V is one of them (6 to 101)")
    both_signs: bool = Field(default=False, description="the same ladder with the other sign, too")
    hold_s: float = Field(default=1.0, ge=0.5, le=60, description="at each voltage of the ladder (s, 0.5 to 60)")
    settle_s: float = Field(default=0.2, ge=0, le=10, description="of each stay, before the readings that count (s, 0 to 10)")
    long_hold_s: float = Field(default=30.0, ge=0, le=1000, description="at the highest voltage, at the end (s, 0 to 1000)")
    rests: float = Field(
        default=3.0, ge=0.1, le=100, description="time at 0 V before each stay, for each second of it (0.1 to 100)"
    )
    frame_s: float = Field(default=0.1, ge=0.02, le=1, description="from one dark frame to the next (s, 0.02 to 1)")

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a ladder that is none, stays without a reading that counts, and runs that are too long."""
        if self.voltage_max_v == 0:
            yield Contradiction("empty-range", ("voltage_max_v",), "all voltages would be 0 V")
        if not self.settle_s <= self.hold_s / 2:
            message = f"settle_s = {self.settle_s:g} s leaves too few readings in hold_s = {self.hold_s:g} s"
            yield Contradiction("settle-too-long", ("settle_s",), message)
        if not self._frames <= MOST_FRAMES:
            message = f"{self._frames} frames in all, one run may have {MOST_FRAMES}"
            yield Contradiction("run-too-long", ("hold_s",), message)

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List nothing: the laser's rate (Hz) does not matter."""
        return []

    def levels_v(self) -> tuple[float, ...]:
        """List the voltages of the ladder (V) without 0 V, from the nearest to the farthest."""
        return tuple(np.linspace(0.0, self.voltage_max_v, self.voltages).tolist()[1:])

    @cached_property
    def visits(self) -> tuple[IvVisit, ...]:
        """List the stays in the order of time; the file's column `cycle` is an index into it."""
        levels_v, visits = self.levels_v(), list[IvVisit]()
        for sign in (1.0, -1.0) if self.both_signs else (1.0,):
            visits += [self._visit(sign * voltage_v, "up", self.hold_s) for voltage_v in levels_v]
            visits += [self._visit(sign * voltage_v, "down", self.hold_s) for voltage_v in reversed(levels_v)]
        if self.long_hold_s > 0:
            visits.append(self._visit(levels_v[-1], "hold", self.long_hold_s))
        return tuple(visits)

    def _visit(self, voltage_v: float, leg: Leg, hold_s: float) -> IvVisit:
        return IvVisit(voltage_v, leg, self._count(hold_s), self._count(hold_s * self.rests))

    def _count(self, time_s: float) -> int:
        return max(1, round(time_s / self.frame_s))

    @property
    def _frames(self) -> int:
        stays = (2 if self.both_signs else 1) * 2 * (self.voltages - 1)
        times_s = [self.hold_s] * stays + [self.long_hold_s] * (self.long_hold_s > 0)
        return sum(self._count(time_s) + self._count(time_s * self.rests) for time_s in times_s)

    def max_shots(self, rate_hz: float) -> int:
        """Count the frames of the whole run: exact, and reached."""
        return self._frames

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield a block for each rest and one for each stay: a stay's number is half of its block's."""
        exposure = Exposure("none", self.frame_s)
        for number, visit in enumerate(self.visits):
            rest = Stretch(State.OFF, 0.0, visit.rest_frames, number)
            stay = Stretch(State.ON, visit.voltage_v, visit.frames, number)
            for index, stretch in ((2 * number, rest), (2 * number + 1, stay)):
                yield Block(index, (stretch,), 0.0, 0.0, exposure)
