"""What of a compiled run is drawn and priced: a few arrays, however many blocks there are. No Qt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.compiler import BURST_GAP_S, Compiled, Plan, Price
from rig.sequence import Light, State
from rig.timeline import Burst, ShotPattern

Floats = NDArray[np.float64]

MOST_FIRST = 40  # bursts that are drawn one by one


@dataclass(frozen=True, slots=True, eq=False)
class PlanSketch:
    """A planned run.

    Parameters
    ----------
    start_s, end_s   of each burst that holds data, from the begin of the run, host's gaps as priced (n,)
    level_v          voltage of each (n,)
    on               whether its state is ON (n,)
    fluence_uj_cm2   of each (n,)
    pattern, light   of the block with the most shots; the others differ in their light at most
    frames           whether a shot is a frame of given length, not one pulse
    first_bursts     (start_s, end_s, burst) of the first cycle with this light, from its begin; lead-ins, witnesses and closing
                     shots included; of more cycles where the voltage does not change in one
    first_cycles     how many cycles these are
    settle_s         of each of these bursts: flagged after an edge
    """

    mode: str
    why: str
    price: Price
    pattern: ShotPattern
    light: Light
    frames: bool
    start_s: Floats
    end_s: Floats
    level_v: Floats
    on: NDArray[np.bool_]
    fluence_uj_cm2: Floats
    first_bursts: tuple[tuple[float, float, Burst], ...]
    first_cycles: int
    settle_s: tuple[float, ...]
    blocks: int


def sketch(plan: Plan) -> PlanSketch:
    """Take from a plan what is drawn."""
    rows: list[tuple[float, float, float, bool, float]] = []
    typical = max(plan.blocks, key=lambda one: one.timeline.shots)
    light = typical.block.exposure.light
    first, at_s = _FirstCycles(light), 0.0
    for one in plan.blocks:
        first.begin(one)
        period_s = one.timeline.pattern.period_ns * 1e-9
        for burst in one.timeline.bursts:
            end_s = at_s + burst.shots * period_s
            if burst.stretch is not None:
                stretch = one.timeline.stretches[burst.stretch]
                rows.append((at_s, end_s, burst.voltage_v, stretch.state is State.ON, one.block.fluence_uj_cm2))
            first.take(at_s, end_s, burst)
            at_s = end_s + BURST_GAP_S
    table = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    return PlanSketch(
        mode=plan.mode,
        why=plan.why,
        price=plan.price,
        pattern=typical.timeline.pattern,
        light=light,
        frames=typical.block.exposure.frame_s is not None,
        start_s=table[0],
        end_s=table[1],
        level_v=table[2],
        on=table[3].astype(np.bool_),
        fluence_uj_cm2=table[4],
        first_bursts=tuple(first.bursts),
        first_cycles=len(first.cycles),
        settle_s=tuple(first.settle_s),
        blocks=len(plan.blocks),
    )


class _FirstCycles:
    """Collects the bursts of the first cycle, or of the first cycles, under one light."""

    def __init__(self, light: Light) -> None:
        self.bursts: list[tuple[float, float, Burst]] = []
        self.settle_s: list[float] = []
        self.cycles: set[int] = set()
        self._light = light
        self._under_way, self._over = False, False
        self._begin_s = self._settle_s = 0.0

    def begin(self, one: Compiled) -> None:
        """Hear that the bursts of another block follow."""
        cycle, of_light = one.block.stretches[0].cycle, one.block.exposure.light == self._light
        changed = len({burst.voltage_v for _, _, burst in self.bursts}) > 1
        self._over = self._over or (bool(self.bursts) and (not of_light or (changed and cycle not in self.cycles)))
        self._under_way = of_light and not self._over and len(self.bursts) < MOST_FIRST
        self._settle_s = one.block.settle_s
        if self._under_way:
            self.cycles.add(cycle)

    def take(self, start_s: float, end_s: float, burst: Burst) -> None:
        """Take a burst of the block, if it is one of the first."""
        if self._under_way and len(self.bursts) < MOST_FIRST:
            self._begin_s = self._begin_s if self.bursts else start_s
            self.bursts.append((start_s - self._begin_s, end_s - self._begin_s, burst))
            self.settle_s.append(self._settle_s)


def duration_text(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{int(minutes)} min {seconds % 60:.0f} s" if minutes < 60 else f"{int(hours)} h {int(minutes) % 60:02d} min"


def size_text(size: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def number_text(value: float) -> str:
    """Write a number with four figures, large ones in groups of three."""
    return _grouped(float(f"{value:.4g}")) if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _grouped(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f")


def price_rows(price: Price, *, frames: bool = False) -> tuple[tuple[str, str, str], ...]:
    """List (name, value, what it means) of what a run costs; `frames`: its shots are frames of given length."""
    shots, what = ("frames", "frames") if frames else ("shots", "laser pulses")
    return (
        ("Duration", duration_text(price.duration_s), "dark frames, all shots, and the computer's gaps between bursts"),
        (shots.capitalize(), _grouped(price.shots), f"{what}, those of lead-ins and closing bursts included"),
        ("File", size_text(price.file_bytes), "what is reserved on the disk before the first shot"),
        ("Dose", f"{number_text(price.dose_j_cm2)} J/cm²", "pump light on the film"),
        (
            "Bias",
            f"{number_text(price.bias_v_s)} V s",
            f"voltage times time; on for {100 * price.on_duty:.3g} % of the {shots}",
        ),
        ("Heating", f"≤ {price.heating_max_k:.2g} K", "film at its current limit; thermal resistance assumed"),
    )
