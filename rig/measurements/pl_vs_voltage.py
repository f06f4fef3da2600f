"""Weakly pumped photoluminescence against voltage: a ladder of voltages between stays at 0 V (Fig. 4a of the paper)."""

from collections.abc import Generator, Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from drivers.errors import Reason
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.measurements.voltage_ladder import Stay, VoltageLadder, stay_blocks, stay_shots
from rig.sequence import Block, BlockMode, BlockResult

MOST_FRAMES = 20_000  # their spectra are reduced together: some 400 pixels of each
FACTORS = (0.5, 1.0, 2.0, 1.0, 0.5)  # of the fluence, up and down again, so that a drift cancels


class PlVsVoltage(ConfigModel):
    """Light of weak pulses at evenly spaced voltages, each between two stays at 0 V; then at half and twice the fluence.

    All pulses of `frame_s` add up in one frame. Every pass takes the voltages in a new random order. A rest at 0 V counts from
    `rest_s` after its edge, when slow changes are over. Source: Nano Lett. 2021, 21, 7831, Fig. 4a and 4c (2 nJ/cm2, 0 to
    20 V); frames, waits and passes are ours.
    """

    name: ClassVar[str] = "pl_vs_voltage"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_max_v", "on_time_s": "frames_per_level"}

    voltage_max_v: float = Field(default=20.0, ge=-210, le=210, description="voltage farthest from 0 V (V, -210 to 210)")
    voltages: int = Field(default=5, ge=2, le=21, description="evenly spaced voltages, 0 V is one of them (2 to 21)")
    fluence_uj_cm2: float = Field(default=0.002, ge=1e-5, le=1.0, description="weak pump fluence (uJ/cm2, 0.00001 to 1)")
    frame_s: float = Field(default=1.0, ge=1e-3, le=10, description="time of a frame, in which pulses add up (s, 0.001 to 10)")
    frames_per_level: int = Field(
        default=8, ge=4, le=1000, description="frames that count at each visit of a voltage (4 to 1000)"
    )
    frames_at_rest: int = Field(default=16, ge=4, le=1000, description="frames that count in each rest at 0 V (4 to 1000)")
    settle_s: float = Field(default=1.0, ge=0, le=60, description="from a voltage's edge to the frames that count (s, 0 to 60)")
    rest_s: float = Field(default=20.0, ge=0, le=600, description="from the edge to 0 V to the frames that count (s, 0 to 600)")
    passes: int = Field(default=3, ge=2, le=50, description="how many times each voltage (2 to 50)")
    linearity_frames: int = Field(
        default=12, ge=0, le=1000, description="frames at twice the fluence, and more at less; 0: linearity is not measured"
    )
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="of the random orders (0 to 2147483647)")

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield a range that is none, and more frames than are reduced together."""
        if self.voltage_max_v == 0:
            yield Contradiction("empty-range", ("voltage_max_v",), "all voltages would be 0 V")
        frames = stay_shots(self.stays())
        if not frames <= MOST_FRAMES:
            yield Contradiction("run-too-long", ("passes",), f"{frames} frames in all, one run may have {MOST_FRAMES}")

    def check(self, rate_hz: float, where: Where = dotted) -> list[Reason]:
        """List nothing: whether frames hold whole numbers of pulses is checked for every measurement."""
        return []

    @property
    def ladder(self) -> VoltageLadder:
        """Get the ladder, without the part at other fluences."""
        return VoltageLadder(
            voltage_max_v=self.voltage_max_v,
            voltages=self.voltages,
            passes=self.passes,
            repeats=0,
            fluence_uj_cm2=self.fluence_uj_cm2,
            frame_s=self.frame_s,
            level_frames=self.frames_per_level,
            rest_frames=self.frames_at_rest,
            settle_s=self.settle_s,
            rest_s=self.rest_s,
            seed=self.seed,
        )

    def stays(self) -> tuple[Stay, ...]:
        """List all stays in the order of time; the file's column `cycle` is an index into it."""
        if self.linearity_frames == 0:
            return self.ladder.stays()
        others = tuple(
            Stay("linearity", 0.0, self.fluence_uj_cm2 * one, 0, round(self.linearity_frames * max(1.0, 1 / one)))
            for one in FACTORS
        )
        return self.ladder.stays() + others

    def max_shots(self, rate_hz: float) -> int:
        """Count the frames of the whole run, waits included: exact, and reached."""
        return stay_shots(self.stays())

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per stay."""
        yield from stay_blocks(self.stays(), self.frame_s)
