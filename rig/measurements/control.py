"""The control device, whose electrode is insulated: whether light, colour and current are the same under voltage (Fig. 4d)."""

from collections.abc import Generator, Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from drivers.errors import Reason
from rig.analysis.equivalence import MIN_SAMPLES
from rig.config_file import ConfigModel, Contradiction, Where, dotted
from rig.measurements.pl_vs_voltage import MOST_FRAMES
from rig.measurements.voltage_ladder import Stay, VoltageLadder, stay_blocks, stay_shots
from rig.sequence import Block, BlockMode, BlockResult


class Control(ConfigModel):
    """A ladder of voltages as in pl_vs_voltage, then the highest voltage `brackets` times more, each time beside 0 V.

    The light may be stronger than there, as long as no nanocrystal is excited twice: at 0.2 uJ/cm2 one in 200 is excited at
    all, and light is a hundred times that of 2 nJ/cm2. Margins are set before the run. Source: Nano Lett. 2021, 21, 7831,
    Fig. 4d (insensitive up to 20 V); the margins, frames and waits are ours.
    """

    name: ClassVar[str] = "control"
    keys: ClassVar[Mapping[str, str]] = {"voltage_on_v": "voltage_max_v", "on_time_s": "frames_per_level"}

    voltage_max_v: float = Field(default=20.0, ge=-210, le=210, description="voltage farthest from 0 V (V, -210 to 210)")
    voltages: int = Field(default=5, ge=4, le=21, description="evenly spaced voltages, 0 V is one of them (4 to 21)")
    fluence_uj_cm2: float = Field(default=0.2, ge=1e-5, le=1.0, description="weak pump fluence (uJ/cm2, 0.00001 to 1)")
    frame_s: float = Field(default=0.1, ge=1e-3, le=10, description="time of a frame, in which pulses add up (s, 0.001 to 10)")
    frames_per_level: int = Field(
        default=20, ge=4, le=1000, description="frames that count at each visit of a voltage (4 to 1000)"
    )
    frames_at_rest: int = Field(default=20, ge=4, le=1000, description="frames that count in each rest at 0 V (4 to 1000)")
    settle_s: float = Field(default=1.0, ge=0, le=60, description="from a voltage's edge to the frames that count (s, 0 to 60)")
    rest_s: float = Field(default=5.0, ge=0, le=600, description="from the edge to 0 V to the frames that count (s, 0 to 600)")
    passes: int = Field(default=2, ge=2, le=50, description="how many times each voltage (2 to 50)")
    brackets: int = Field(
        default=6, ge=MIN_SAMPLES, le=100, description="how many times more the highest voltage, beside 0 V (5 to 100)"
    )
    light_margin: float = Field(
        default=0.02, gt=0, le=1, description="change of the light that is none, relative (above 0, to 1)"
    )
    peak_margin_nm: float = Field(default=0.3, gt=0, le=10, description="shift of the peak that is none (nm, above 0, to 10)")
    current_share: float = Field(
        default=0.01, gt=0, le=1, description="of the bare device's current: what less than it is none (above 0, to 1)"
    )
    reference_current_a: float | None = Field(
        default=None, gt=0, le=1, description="current of the bare device at the highest voltage (A, above 0, to 1)"
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
        """Get the ladder with its repeats."""
        return VoltageLadder(
            voltage_max_v=self.voltage_max_v,
            voltages=self.voltages,
            passes=self.passes,
            repeats=self.brackets,
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
        return self.ladder.stays()

    def max_shots(self, rate_hz: float) -> int:
        """Count the frames of the whole run, waits included: exact, and reached."""
        return stay_shots(self.stays())

    def blocks(self, rate_hz: float, mode: BlockMode) -> Generator[Block, BlockResult | None, None]:
        """Yield one block per stay."""
        yield from stay_blocks(self.stays(), self.frame_s)
