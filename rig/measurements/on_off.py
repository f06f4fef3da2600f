"""Switching: the voltage goes off and on, cycle after cycle, at one fluence."""

from collections.abc import Generator, Iterator
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from drivers.errors import CompileError, Reason
from rig.analysis import degradation
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.measurements.stop_rule import LEAST_CYCLES, StopRule
from rig.sequence import Block, BlockMode, BlockResult, Exposure, State, Stretch

SHOT_TOLERANCE = 1e-6  # shots; far above the rounding of seconds times hertz, far below a shot
LEAST_REFERENCE = 20  # frames: one per batch of the interval

Order = Literal["ab", "abba", "random"]


class OnOff(ConfigModel):
    """Off for `off_time_s`, on for `on_time_s`, `cycles` times.

    Which of them comes first in a cycle is the order's. Windows of the parameters catch wrong units; what the bench allows is
    checked against its own limits.
    Source of the defaults: Nano Lett. 2021, 21, 7831, Fig. 2 (20 V, 40 uJ/cm2); times and cycles are ours.
    """

    name: ClassVar[str] = "on_off"

    voltage_on_v: float = Field(default=20.0, ge=-210, le=210, description="voltage of the ON state (V, -210 to 210)")
    voltage_off_v: float = Field(default=0.0, ge=-210, le=210, description="voltage of the OFF state (V, -210 to 210)")
    on_time_s: float = Field(default=2.0, ge=1e-3, le=1e3, description="duration of each ON stretch (s, 0.001 to 1000)")
    off_time_s: float = Field(default=2.0, ge=1e-3, le=1e3, description="duration of each OFF stretch (s, 0.001 to 1000)")
    cycles: int = Field(default=6, ge=1, le=10_000, description="how many times OFF and ON, at most (1 to 10000)")
    fluence_uj_cm2: float = Field(default=40.0, ge=1e-4, le=1e4, description="pump fluence (uJ/cm2, 0.0001 to 10000)")
    settle_s: float = Field(
        default=0.1, ge=0, le=100, description="frames this soon after a voltage edge are flagged (s, 0 to 100)"
    )
    order: Order = Field(
        default="ab",
        description="ab: OFF, ON in every cycle; abba: ON first in every second one; random: in half of them, by the seed",
    )
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="of the random order (0 to 2147483647)")
    reference_frames: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="frames with the pump blocked, at the beginning and again at the end (0 or 20 to 100000)",
    )
    stop_below_percent: float | None = Field(
        default=None,
        ge=0.01,
        le=100,
        description="end once half the 95 % interval of the 535 nm contrast is below this part of it (%, 0.01 to 100)",
    )
    stop_degraded_percent: float | None = Field(
        default=None,
        ge=0.1,
        le=100,
        description="end once the ON or OFF light has fallen by more than this part of the first 3 cycles' (%, 0.1 to 100)",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield equal voltages, stretches that would be flagged from end to end, and rules that could never be heeded."""
        if self.voltage_on_v == self.voltage_off_v:
            message = f"ON and OFF are both {self.voltage_on_v:g} V: nothing would switch"
            yield Contradiction("equal-voltages", ("voltage_on_v",), message)
        for key in ("off_time_s", "on_time_s"):
            if not self.settle_s < getattr(self, key):
                message = f"settle_s = {self.settle_s:g} s leaves no unflagged frame in {key} = {getattr(self, key):g} s"
                yield Contradiction("settle-too-long", ("settle_s",), message)
        if self.order == "abba" and self.cycles % 2:
            message = f"OFF ON ON OFF takes two cycles; {self.cycles} is no even number"
            yield Contradiction("odd-cycles", ("cycles",), message)
        if 0 < self.reference_frames < LEAST_REFERENCE:
            message = f"{self.reference_frames} frames tell no stray light; 0, or {LEAST_REFERENCE} or more"
            yield Contradiction("too-few-frames", ("reference_frames",), message)
        yield from self._idle_rules()

    def _idle_rules(self) -> Iterator[Contradiction]:
        if self.stop_below_percent is not None and self.stop_degraded_percent is not None:
            message = "a run ends either once its contrast is known or once the film has degraded"
            yield Contradiction("two-stop-rules", ("stop_degraded_percent",), message)
        for key, first in (("stop_below_percent", LEAST_CYCLES), ("stop_degraded_percent", degradation.LEAST_CYCLES)):
            if getattr(self, key) is not None and not self.cycles >= first:
                message = f"{key} is looked at after {first} cycles, and there are at most {self.cycles}"
                yield Contradiction("too-few-cycles", ("cycles",), message)

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List the stretches that are no whole number of shots at `rate_hz` (Hz)."""
        return [
            Reason(
                "part-of-a-shot",
                where(("parameters", key)),
                f"{time_s:g} s at {rate_hz:g} Hz are {time_s * rate_hz:.9g} shots; "
                f"a whole number is needed, such as {max(1, round(time_s * rate_hz)) / rate_hz:.9g} s",
            )
            for key, time_s in (("off_time_s", self.off_time_s), ("on_time_s", self.on_time_s))
            if not (abs(time_s * rate_hz - round(time_s * rate_hz)) <= SHOT_TOLERANCE and round(time_s * rate_hz) >= 1)
        ]

    def on_first(self) -> tuple[bool, ...]:
        """Tell for each cycle whether ON comes first; of a random order's cycles half, of an odd number one more or less."""
        if self.order == "random":
            draw = np.random.default_rng(self.seed)
            first = np.arange(self.cycles + self.cycles % 2) % 2 == 1
            return tuple(bool(one) for one in draw.permutation(first)[: self.cycles])
        return tuple(self.order == "abba" and cycle % 2 == 1 for cycle in range(self.cycles))

    def stretches(self, rate_hz: float) -> tuple[Stretch, ...]:
        """Expand into OFF, ON, OFF, ON ... (or as the order says) at `rate_hz` (Hz).

        Raises
        ------
        CompileError  a stretch is no whole number of shots (see `check`)
        """
        return tuple(stretch for pair in self._pairs(rate_hz) for stretch in pair)

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of the whole run at `rate_hz` (Hz): exact, and reached unless a rule ends it.

        Raises
        ------
        CompileError    a stretch is no whole number of shots (see `check`)
        """
        return self.cycles * sum(self._shots(rate_hz)) + 2 * self.reference_frames

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per stretch (gated), or per cycle (stepped: a lost source edge costs one cycle).

        Reference frames are blocks of their own. A rule is asked after each cycle, with abba after every second one.

        Raises
        ------
        CompileError    a stretch is no whole number of shots (see `check`)
        """
        rule, index = StopRule(self.stop_below_percent, self.stop_degraded_percent), 0
        if self.reference_frames:
            yield self._reference(index)
            index += 1
        for cycle, pair in enumerate(self._pairs(rate_hz)):
            for stretches in (pair,) if mode == "stepped" else ((one,) for one in pair):
                rule.take((yield Block(index, stretches, self.settle_s, self.fluence_uj_cm2)))
                index += 1
            if (self.order != "abba" or cycle % 2) and rule.met():
                break
        if self.reference_frames:
            yield self._reference(index)

    def _reference(self, index: int) -> Block:
        stretch = Stretch(State.OFF, 0.0, self.reference_frames, -1)
        return Block(index, (stretch,), self.settle_s, self.fluence_uj_cm2, Exposure("blocked"))

    def _pairs(self, rate_hz: float) -> Iterator[tuple[Stretch, Stretch]]:
        off_shots, on_shots = self._shots(rate_hz)
        for cycle, on_first in enumerate(self.on_first()):
            off = Stretch(State.OFF, self.voltage_off_v, off_shots, cycle)
            on = Stretch(State.ON, self.voltage_on_v, on_shots, cycle)
            yield (on, off) if on_first else (off, on)

    def _shots(self, rate_hz: float) -> tuple[int, int]:
        if reasons := self.check(rate_hz):
            raise CompileError("the times are no whole numbers of shots", tuple(reasons), next_step="change the times")
        return round(self.off_time_s * rate_hz), round(self.on_time_s * rate_hz)
