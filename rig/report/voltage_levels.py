"""What stood at the film's terminals in a run: each planned voltage with what the source measured there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.reduction import usable

MICRO = 1e6


@dataclass(frozen=True, slots=True)
class VoltageLevel:
    """One planned voltage (V): frames taken there, those used, and the source's readings nearest to the used ones.

    Voltages in V, currents in A; None where no reading stands beside a used frame.
    """

    planned_v: float
    state: str
    frames: int
    used: int
    readings: int
    mean_v: float | None
    lowest_v: float | None
    highest_v: float | None
    mean_a: float | None
    greatest_a: float | None

    def voltage_text(self) -> str:
        """Say the voltage measured."""
        if self.mean_v is None:
            return "not measured beside a used frame"
        return f"{self.mean_v:.4f} V (lowest {self.lowest_v:.4f}, highest {self.highest_v:.4f})"

    def current_text(self) -> str:
        """Say the current measured."""
        if self.mean_a is None or self.greatest_a is None:
            return "-"
        return f"{self.mean_a * MICRO:.4g} µA (greatest {self.greatest_a * MICRO:.4g})"


def voltage_levels(rows: NDArray[np.void]) -> tuple[VoltageLevel, ...]:
    """Sum up frames (FRAME_DTYPE, (n,)) by planned voltage and state; a voltage without any assigned frame is told, too."""
    chosen = rows[np.isfinite(rows["planned_voltage_v"])]
    found = [(float(v), int(state)) for v, state in np.unique(chosen[["planned_voltage_v", "state"]])]
    assigned = {v for v, state in found if state >= 0}
    return tuple(_level(chosen, state, v) for v, state in found if state >= 0 or v not in assigned)


def _level(rows: NDArray[Any], state: int, planned_v: float) -> VoltageLevel:
    here = rows[(rows["state"] == state) & (rows["planned_voltage_v"] == planned_v)]
    used = here[usable(here["flags"])]
    beside = np.stack([used["measured_voltage_v"], used["measured_current_a"]])
    beside = beside[:, np.isfinite(beside).all(axis=0)]
    fresh = np.r_[True, (np.diff(beside) != 0).any(axis=0)] if beside.size else np.zeros(0, np.bool_)
    readings = np.unique(beside[:, fresh], axis=1)  # many frames share one reading
    voltage_v, current_a = readings
    known = bool(len(voltage_v))
    return VoltageLevel(
        planned_v,
        {0: "OFF", 1: "ON"}.get(state, "no frame assigned"),
        len(here),
        len(used),
        len(voltage_v),
        float(voltage_v.mean()) if known else None,
        float(voltage_v.min()) if known else None,
        float(voltage_v.max()) if known else None,
        float(current_a.mean()) if known else None,
        float(current_a[np.abs(current_a).argmax()]) if known else None,
    )
