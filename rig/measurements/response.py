"""How soon the light follows the voltage: a square wave, then one long hold (Fig. 4b of the paper)."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.runfile_layout import Flag
from rig.sequence import Block, BlockMode, BlockResult, Exposure, State, Stretch

FEWEST_FRAMES = 25  # in half a period: plateaus, and five frames that settle
SETTLING = 0.25  # of half a period; of a second in the hold
PROBE_STRETCHES, PROBE_FRAMES = 3, 20
HOLD_PIECES = 30  # the source measures at its own steps only, so a hold is many of them at one level
NO_DATA = Flag.UNASSIGNED | Flag.LEAD_IN | Flag.SURPLUS


class Part(StrEnum):
    """What a block of the run is for."""

    PROBE = "probe"  # without voltage: how long the host's gaps are
    WAVE = "wave"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class _Level:
    """A stretch before its frames are counted: `time_s` from its beginning to the next one's."""

    state: State
    voltage_v: float
    time_s: float
    cycle: int


class Response(ConfigModel):
    """Weak light in frames of `frame_s`, while the voltage goes on and off; then once for long, for what is slow.

    Before each stretch the host takes some time in which there are no frames. A few stretches without voltage show how much;
    those of the wave are that much shorter, so that its period is the one asked for. Source of the wave: Nano Lett. 2021, 21,
    7831, Fig. 4b (20 V, 0.5 Hz, 10 cycles, frames of 10 ms under continuous light); the hold's times are ours.
    """

    name: ClassVar[str] = "response"
    keys: ClassVar[Mapping[str, str]] = {"on_time_s": "hold_s", "off_time_s": "recovery_s", "settle_s": "half_period_s"}

    voltage_on_v: float = Field(default=20.0, ge=-210, le=210, description="voltage of the ON state (V, -210 to 210)")
    half_period_s: float = Field(default=1.0, ge=0.02, le=30, description="from one edge to the next (s, 0.02 to 30)")
    cycles: int = Field(default=10, ge=10, le=20, description="periods of the wave (10 to 20)")
    hold_s: float = Field(default=30.0, ge=0, le=600, description="ON at a stretch afterwards, 0 for none (s, 0 to 600)")
    recovery_s: float = Field(default=20.0, ge=0.5, le=600, description="OFF before and after the hold (s, 0.5 to 600)")
    frame_s: float = Field(default=0.01, ge=1e-4, le=1, description="from one frame to the next (s, 0.0001 to 1)")
    light: Literal["cw", "pulses"] = Field(
        default="cw",
        description="cw: continuous light; pulses: all pulses in a frame add up (weak ones, fast enough to be even)",
    )
    fluence_uj_cm2: float = Field(
        default=1.0, ge=1e-4, le=1e4, description="of each pulse, where the light is pulses (uJ/cm2, 0.0001 to 10000)"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a wave without a step, and stretches of too few frames."""
        if self.voltage_on_v == 0:
            yield Contradiction("equal-voltages", ("voltage_on_v",), "ON and OFF are both 0 V: nothing would respond")
        for key in ("half_period_s", "hold_s", "recovery_s"):
            time_s = getattr(self, key)
            if not (time_s >= FEWEST_FRAMES * self.frame_s or (key == "hold_s" and time_s == 0)):
                message = f"{key} = {time_s:g} s holds fewer than {FEWEST_FRAMES} frames of {self.frame_s:g} s"
                yield Contradiction("too-few-frames", (key,), message)

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List nothing: what a frame may hold is the compiler's to say."""
        return []

    def max_shots(self, rate_hz: float) -> int:
        """Bound the frames of the whole run: those there are when the host needs no time between stretches."""
        return sum(block.shots for block in self.blocks(rate_hz, "gated"))

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield what `parts` does."""
        parts, sent = self.parts(mode), None
        while True:
            try:
                _, block = parts.send(sent)
            except StopIteration:
                return
            sent = yield block

    def parts(self, mode: BlockMode) -> Generator[tuple[Part, Block], BlockResult | None, None]:
        """Yield every block and what it is for; be sent what each has brought.

        Stepped: one block for each part, so that every edge of the voltage has frames before and after it. Gated: one for each
        stretch. The same results make the same blocks, so that a reduction finds them again.
        """
        brought: list[NDArray[np.void]] = []
        index = 0
        for stretches in _in_blocks(self._probe(), mode):
            sent = yield Part.PROBE, self._block(index, stretches, SETTLING)
            brought += [] if sent is None else [sent.rows]
            index += 1
        lost_s = lost_time_s(np.concatenate(brought), self.frame_s) if brought else 0.0
        for part, levels, settling_s in (
            (Part.WAVE, self._wave(), SETTLING * self.half_period_s),
            (Part.HOLD, self._hold(mode), SETTLING),
        ):
            for stretches in _in_blocks(self._counted(levels, lost_s), mode):
                yield part, self._block(index, stretches, settling_s)
                index += 1

    def _block(self, index: int, stretches: tuple[Stretch, ...], settling_s: float) -> Block:
        exposure = Exposure(self.light, self.frame_s)
        settle_s = max(settling_s, 5 * self.frame_s)
        return Block(index, stretches, settle_s, self.fluence_uj_cm2, exposure)

    def _probe(self) -> tuple[Stretch, ...]:
        return (Stretch(State.OFF, 0.0, PROBE_FRAMES, 0),) * PROBE_STRETCHES

    def _wave(self) -> list[_Level]:
        levels = [
            _Level(state, voltage_v, self.half_period_s, cycle)
            for cycle in range(self.cycles)
            for state, voltage_v in ((State.OFF, 0.0), (State.ON, self.voltage_on_v))
        ]
        return [*levels, _Level(State.OFF, 0.0, self.half_period_s, self.cycles)]

    def _hold(self, mode: BlockMode) -> list[_Level]:
        if self.hold_s == 0:
            return []
        cycle = self.cycles + 1
        fitting = int(self.hold_s / (FEWEST_FRAMES * self.frame_s))
        pieces = 1 if mode == "gated" else max(1, min(HOLD_PIECES, fitting))
        rest = _Level(State.OFF, 0.0, self.recovery_s, cycle)
        return [rest, *[_Level(State.ON, self.voltage_on_v, self.hold_s / pieces, cycle)] * pieces, rest]

    def _counted(self, levels: list[_Level], lost_s: float) -> Iterator[Stretch]:
        """Give each stretch its frames, as many as keep the edges where they are asked for; half of them at least."""
        asked_s = taken_s = 0.0
        for level in levels:
            asked_s += level.time_s
            most = round(level.time_s / self.frame_s)
            shots = min(most, max(most // 2, round((asked_s - taken_s - lost_s) / self.frame_s)))
            taken_s += shots * self.frame_s + lost_s
            yield Stretch(level.state, level.voltage_v, shots, level.cycle)


def _in_blocks(stretches: Iterator[Stretch] | tuple[Stretch, ...], mode: BlockMode) -> Iterator[tuple[Stretch, ...]]:
    every = tuple(stretches)
    if mode == "gated":
        yield from ((one,) for one in every)
    elif every:
        yield every


def lost_time_s(rows: NDArray[np.void], frame_s: float) -> float:
    """How much longer than its frames a stretch takes (s), the host's gaps; 0 where no two stretches have frames.

    Parameters
    ----------
    rows  of FRAME_DTYPE, those of stretches that followed each other
    """
    known = rows[((rows["flags"] & int(NO_DATA)) == 0) & (rows["state"] >= 0)]
    spans: list[tuple[float, float]] = []
    for number in np.unique(known["stretch"]):
        mine = known[known["stretch"] == number]
        t_s = mine["device_time_us"].astype(np.float64) * 1e-6
        shots = mine["shot"] - mine["shot"][0]
        spans.append((float(t_s[0]), float(t_s[0]) + (float(shots[-1]) + 1) * frame_s))
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    return max(0.0, float(np.median(gaps))) if gaps else 0.0
