"""Switching: the voltage goes off and on, cycle after cycle, at one fluence."""

from collections.abc import Generator, Iterator
from typing import ClassVar

from pydantic import Field

from drivers.errors import CompileError, Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.sequence import Block, BlockMode, BlockResult, State, Stretch

SHOT_TOLERANCE = 1e-6  # shots; far above the rounding of seconds times hertz, far below a shot


class OnOff(ConfigModel):
    """Off for `off_time_s`, on for `on_time_s`, `cycles` times.

    Windows of the parameters catch wrong units; what the bench allows is checked against its own limits.
    Source of the defaults: Nano Lett. 2021, 21, 7831, Fig. 2 (20 V, 40 uJ/cm2); times and cycles are ours.
    """

    name: ClassVar[str] = "on_off"

    voltage_on_v: float = Field(default=20.0, ge=-210, le=210, description="voltage of the ON state (V, -210 to 210)")
    voltage_off_v: float = Field(default=0.0, ge=-210, le=210, description="voltage of the OFF state (V, -210 to 210)")
    on_time_s: float = Field(default=2.0, ge=1e-3, le=1e3, description="duration of each ON stretch (s, 0.001 to 1000)")
    off_time_s: float = Field(default=2.0, ge=1e-3, le=1e3, description="duration of each OFF stretch (s, 0.001 to 1000)")
    cycles: int = Field(default=6, ge=1, le=10_000, description="how many times OFF and ON (1 to 10000)")
    fluence_uj_cm2: float = Field(default=40.0, ge=1e-4, le=1e4, description="pump fluence (uJ/cm2, 0.0001 to 10000)")
    settle_s: float = Field(
        default=0.1, ge=0, le=100, description="frames this soon after a voltage edge are flagged (s, 0 to 100)"
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield equal voltages and stretches that would be flagged from end to end."""
        if self.voltage_on_v == self.voltage_off_v:
            message = f"ON and OFF are both {self.voltage_on_v:g} V: nothing would switch"
            yield Contradiction("equal-voltages", ("voltage_on_v",), message)
        for key in ("off_time_s", "on_time_s"):
            if not self.settle_s < getattr(self, key):
                message = f"settle_s = {self.settle_s:g} s leaves no unflagged frame in {key} = {getattr(self, key):g} s"
                yield Contradiction("settle-too-long", ("settle_s",), message)

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

    def stretches(self, rate_hz: float) -> tuple[Stretch, ...]:
        """Expand into OFF, ON, OFF, ON ... at `rate_hz` (Hz).

        Raises
        ------
        CompileError    a stretch is no whole number of shots (see `check`)
        """
        off_shots, on_shots = self._shots(rate_hz)
        return tuple(
            stretch
            for cycle in range(self.cycles)
            for stretch in (
                Stretch(State.OFF, self.voltage_off_v, off_shots, cycle),
                Stretch(State.ON, self.voltage_on_v, on_shots, cycle),
            )
        )

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of the whole run at `rate_hz` (Hz): exact, and reached.

        Raises
        ------
        CompileError    a stretch is no whole number of shots (see `check`)
        """
        return self.cycles * sum(self._shots(rate_hz))

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per stretch (gated), or per cycle (stepped: a lost source edge costs one cycle).

        Raises
        ------
        CompileError    a stretch is no whole number of shots (see `check`)
        """
        per_block = {"gated": 1, "stepped": 2}[mode]
        stretches = self.stretches(rate_hz)
        for index, first in enumerate(range(0, len(stretches), per_block)):
            yield Block(index, stretches[first : first + per_block], self.settle_s, self.fluence_uj_cm2)

    def _shots(self, rate_hz: float) -> tuple[int, int]:
        if reasons := self.check(rate_hz):
            raise CompileError("the times are no whole numbers of shots", tuple(reasons), next_step="change the times")
        return round(self.off_time_s * rate_hz), round(self.on_time_s * rate_hz)
