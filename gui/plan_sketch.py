"""What of a compiled run is drawn and priced: a few arrays, however many blocks there are. No Qt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.compiler import BURST_GAP_S, Plan, Price
from rig.sequence import State
from rig.timeline import Burst, ShotPattern

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PlanSketch:
    """A planned run.

    Parameters
    ----------
    start_s, end_s   of each burst that holds data, from the begin of the run, host's gaps as priced (n,)
    level_v          voltage of each (n,)
    on               whether its state is ON (n,)
    fluence_uj_cm2   of each (n,)
    first_bursts     (start_s, end_s, burst) of the first cycle, lead-ins, witnesses and closing shots included
    settle_s         flagged after an edge
    """

    mode: str
    why: str
    price: Price
    pattern: ShotPattern
    start_s: Floats
    end_s: Floats
    level_v: Floats
    on: NDArray[np.bool_]
    fluence_uj_cm2: Floats
    first_bursts: tuple[tuple[float, float, Burst], ...]
    settle_s: float
    blocks: int


def sketch(plan: Plan) -> PlanSketch:
    """Take from a plan what is drawn."""
    rows: list[tuple[float, float, float, bool, float]] = []
    first: list[tuple[float, float, Burst]] = []
    at_s, first_cycle = 0.0, plan.blocks[0].block.stretches[0].cycle
    for one in plan.blocks:
        period_s = one.timeline.pattern.period_ns * 1e-9
        for burst in one.timeline.bursts:
            end_s = at_s + burst.shots * period_s
            if burst.stretch is not None:
                stretch = one.timeline.stretches[burst.stretch]
                rows.append((at_s, end_s, burst.voltage_v, stretch.state is State.ON, one.block.fluence_uj_cm2))
            if one.block.stretches[0].cycle == first_cycle and len(first) < 40:
                first.append((at_s, end_s, burst))
            at_s = end_s + BURST_GAP_S
    table = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    timeline = plan.blocks[0].timeline
    return PlanSketch(
        mode=plan.mode,
        why=plan.why,
        price=plan.price,
        pattern=timeline.pattern,
        start_s=table[0],
        end_s=table[1],
        level_v=table[2],
        on=table[3].astype(np.bool_),
        fluence_uj_cm2=table[4],
        first_bursts=tuple(first),
        settle_s=plan.blocks[0].block.settle_s,
        blocks=len(plan.blocks),
    )


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


def price_rows(price: Price) -> tuple[tuple[str, str, str], ...]:
    """List (name, value, what it means) of what a run costs."""
    return (
        ("Duration", duration_text(price.duration_s), "time of all shots and the computer's gaps between bursts"),
        ("Shots", _grouped(price.shots), "laser pulses, lead-in and closing shots included"),
        ("File", size_text(price.file_bytes), "what is reserved on the disk before the first shot"),
        ("Dose", f"{number_text(price.dose_j_cm2)} J/cm²", "pump light on the film"),
        ("Bias", f"{number_text(price.bias_v_s)} V s", f"voltage times time; on for {100 * price.on_duty:.3g} % of the shots"),
        ("Heating", f"≤ {price.heating_max_k:.2g} K", "film at its current limit; thermal resistance assumed"),
    )
