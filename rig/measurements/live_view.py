"""Live view: short gated bursts, one after the other, so that somebody can see the spectrum while aligning."""

import math
from collections.abc import Generator, Mapping
from typing import ClassVar

from pydantic import Field

from drivers.errors import Reason
from rig.compiler import BURST_GAP_S
from rig.config_file import ConfigModel, Where, dotted
from rig.sequence import Block, BlockMode, BlockResult, State, Stretch

REASON = "a live view is for looking at: nothing is concluded from it"


class LiveView(ConfigModel):
    """Bursts of a few shots until somebody stops it or `duration_s` is over; it is a run like any other and leaves a file.

    At 0 V every burst is OFF. At another voltage each burst under it follows `rests` at 0 V, so that the source rests as the
    bench's duty demands and both spectra are seen side by side. The defaults are ours.
    """

    name: ClassVar[str] = "live_view"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_v"}  # what others call it

    voltage_v: float = Field(default=0.0, ge=-210, le=210, description="voltage of the ON bursts, 0 for none (V, -210 to 210)")
    fluence_uj_cm2: float = Field(default=40.0, ge=1e-4, le=1e4, description="pump fluence (uJ/cm2, 0.0001 to 10000)")
    duration_s: float = Field(default=60.0, gt=0, le=600, description="it ends by itself after so long, about (s, up to 600)")
    shots_per_burst: int = Field(default=50, ge=1, le=10_000, description="shots in one burst (1 to 10000)")
    rests: int = Field(default=1, ge=1, le=100, description="bursts at 0 V before each one under voltage (1 to 100)")
    settle_s: float = Field(
        default=0.03, ge=0, le=10, description="under voltage: frames this soon after an edge are flagged (s, 0 to 10)"
    )

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List why bursts at `rate_hz` (Hz) would be flagged from end to end."""
        burst_s = self.shots_per_burst / rate_hz
        if self.voltage_v == 0 or self.settle_s < burst_s:
            return []
        message = f"settle_s = {self.settle_s:g} s leaves no unflagged frame in a burst of {burst_s:g} s"
        return [Reason("settle-too-long", where(("parameters", "settle_s")), message)]

    def bursts(self, rate_hz: float) -> int:
        """Count the bursts that fit into `duration_s` at `rate_hz` (Hz) with their gaps: whole rounds, at least one."""
        in_a_round = 1 if self.voltage_v == 0 else self.rests + 1
        round_s = in_a_round * (self.shots_per_burst / rate_hz + BURST_GAP_S)
        return in_a_round * max(1, math.floor(self.duration_s / round_s))

    def max_shots(self, rate_hz: float) -> int:
        """Count the shots of a live view that nobody stops, at `rate_hz` (Hz)."""
        return self.bursts(rate_hz) * self.shots_per_burst

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per burst, in either mode."""
        in_a_round = 1 if self.voltage_v == 0 else self.rests + 1
        settle_s = 0.0 if self.voltage_v == 0 else self.settle_s  # without an edge there is nothing to settle
        for index in range(self.bursts(rate_hz)):
            on = self.voltage_v != 0 and index % in_a_round == self.rests
            state, voltage_v = (State.ON, self.voltage_v) if on else (State.OFF, 0.0)
            stretch = Stretch(state, voltage_v, self.shots_per_burst, index // in_a_round)
            yield Block(index, (stretch,), settle_s, self.fluence_uj_cm2)
