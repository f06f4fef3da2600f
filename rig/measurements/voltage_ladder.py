"""A ladder of voltages, each between two stays at 0 V; the stays that several measurements are made of."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rig.sequence import Block, BlockResult, Exposure, State, Stretch

Purpose = Literal["rest", "level", "repeat", "linearity"]


@dataclass(frozen=True, slots=True)
class Stay:
    """Frames at one voltage and fluence; `settling` frames come before the `frames` that count.

    purpose  "rest" at 0 V beside a voltage, "level" and "repeat" under voltage, "linearity" at 0 V at another fluence
    """

    purpose: Purpose
    voltage_v: float
    fluence_uj_cm2: float
    settling: int
    frames: int


@dataclass(frozen=True, slots=True)
class VoltageLadder:
    """Stays in the order of time: every pass takes all voltages in a random order, each between two rests at 0 V.

    Parameters
    ----------
    voltage_max_v, voltages    evenly spaced from 0 V to the one farthest from it; 0 V is one of them
    passes, repeats            how often each voltage; how often once more the farthest one, after all passes
    fluence_uj_cm2, frame_s    of all frames
    level_frames, rest_frames  that count, under voltage and at rest
    settle_s, rest_s           from a voltage edge to the first frame that counts, under voltage and at rest
    seed                       of the random orders
    """

    voltage_max_v: float
    voltages: int
    passes: int
    repeats: int
    fluence_uj_cm2: float
    frame_s: float
    level_frames: int
    rest_frames: int
    settle_s: float
    rest_s: float
    seed: int

    def levels_v(self) -> tuple[float, ...]:
        """List the voltages (V), from 0 V to the one farthest from it."""
        return tuple(np.linspace(0.0, self.voltage_max_v, self.voltages).tolist())

    def stays(self) -> tuple[Stay, ...]:
        """List the stays; the first and the last are rests, and rests alternate with voltages."""
        draw = np.random.default_rng(self.seed)
        biased = self.levels_v()[1:]
        order = [biased[number] for _ in range(self.passes) for number in draw.permutation(len(biased)).tolist()]
        listed = [Stay("rest", 0.0, self.fluence_uj_cm2, 0, self.rest_frames)]
        for number in range(len(order) + self.repeats):
            again = number >= len(order)
            voltage_v, purpose = (biased[-1], "repeat") if again else (order[number], "level")
            listed.append(Stay(purpose, voltage_v, self.fluence_uj_cm2, self._frames(self.settle_s), self.level_frames))
            listed.append(Stay("rest", 0.0, self.fluence_uj_cm2, self._frames(self.rest_s), self.rest_frames))
        return tuple(listed)

    def _frames(self, wait_s: float) -> int:
        """Frames that a wait takes, beside the one that leads every block in."""
        return max(0, math.ceil(wait_s / self.frame_s - 1 - 1e-9))


def stay_shots(stays: Sequence[Stay]) -> int:
    """Count the frames of `stays`, those of settling included: what a plan calls shots."""
    return sum(stay.settling + stay.frames for stay in stays)


def stay_blocks(stays: Sequence[Stay], frame_s: float) -> Generator[Block, BlockResult | None, None]:
    """Yield one block per stay, in either mode: the number of the stay is in the file's column `cycle`."""
    for number, stay in enumerate(stays):
        state = State.OFF if stay.voltage_v == 0 else State.ON
        stretch = Stretch(state, stay.voltage_v, stay.settling + stay.frames, number)
        yield Block(number, (stretch,), stay.settling * frame_s, stay.fluence_uj_cm2, Exposure("pulses", frame_s))
