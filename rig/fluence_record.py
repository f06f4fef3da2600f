"""What a run file says of its pump: the fluence measured in each block, its uncertainty, and the one that was asked for."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rig.bench import Bench
from rig.fluence_calibration import EnergyScale
from rig.runfile import Run, RunHeader


@dataclass(frozen=True, slots=True)
class BlockFluence:
    """One block (uJ/cm2): asked for, mean of what was measured, its standard error; None where nothing says."""

    block: int
    asked_uj_cm2: float | None
    measured_uj_cm2: float | None
    standard_error_uj_cm2: float | None
    readings: int


@dataclass(frozen=True, slots=True)
class FluenceRecord:
    """The fluence of a run on a bench with an energy meter; `per_shot` counts the frames that have an energy of their own."""

    scale: EnergyScale
    blocks: tuple[BlockFluence, ...]
    mean_uj_cm2: float | None
    standard_error_uj_cm2: float | None
    readings: int
    per_shot: int

    @property
    def systematic_uj_cm2(self) -> float | None:
        """Get the standard uncertainty that all blocks share: spot area, meter, pick-off."""
        return None if self.mean_uj_cm2 is None else self.mean_uj_cm2 * self.scale.relative

    def text(self) -> str:
        """Say it in two short lines, one where nothing was measured."""
        asked = sorted({block.asked_uj_cm2 for block in self.blocks if block.asked_uj_cm2 is not None})
        wanted = f", {', '.join(f'{value:g}' for value in asked)} asked for" if asked else ""
        if self.mean_uj_cm2 is None:
            return f"fluence: not measured, the file has no reading of the energy meter{wanted}"
        error = "" if self.standard_error_uj_cm2 is None else f" ± {_rounded(self.standard_error_uj_cm2)}"
        scale, shots = self.scale, f"; {self.per_shot} frames with their own" if self.per_shot else ""
        return (
            f"fluence: {self.mean_uj_cm2:.4g}{error} ± {_rounded(self.systematic_uj_cm2 or 0.0)} uJ/cm2{wanted}; "
            f"{self.readings} readings{shots}\n         ({'standard error, ' if error else ''}systematic: "
            f"{scale.parts_text()})"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain numbers, None where nothing was measured."""
        return {
            "measured_uj_cm2": self.mean_uj_cm2,
            "standard_error_uj_cm2": self.standard_error_uj_cm2,
            "systematic_uj_cm2": self.systematic_uj_cm2,
            "readings": self.readings,
            "frames_with_energy": self.per_shot,
            "blocks": [
                {
                    "block": block.block,
                    "asked_uj_cm2": block.asked_uj_cm2,
                    "measured_uj_cm2": block.measured_uj_cm2,
                    "standard_error_uj_cm2": block.standard_error_uj_cm2,
                    "readings": block.readings,
                }
                for block in self.blocks
            ],
        }


def run_scale(header: RunHeader, bench: Bench) -> EnergyScale | None:
    """Get what makes fluence of the energy meter's readings in a run, behind the filter of that run; None without a meter."""
    position = json.loads(header.timing_json or "{}").get("filter_position")
    return (bench if position is None else bench.behind_filter(position)).energy_scale()


def fluence_record(run: Run, bench: Bench, asked: Mapping[int, float] | None = None) -> FluenceRecord | None:
    """Reduce the readings of a run; None when its bench has no energy meter.

    `asked` is the fluence of each block (uJ/cm2) where the run chose it itself; else the programs in the file say it.
    """
    scale = run_scale(run.header, bench)
    if scale is None:
        return None
    energies, frames = run.energies, run.column("block")
    fluences = energies["energy_uj"] * scale.uj_cm2_per_uj
    asked = _asked(run) if asked is None else asked
    blocks = [
        BlockFluence(block, asked.get(block), *_mean(fluences[energies["block"] == block]))
        for block in sorted({*map(int, np.unique(frames)), *map(int, np.unique(energies["block"]))})
    ]
    per_shot = int(np.isfinite(run.column("pulse_energy_uj")).sum())
    return FluenceRecord(scale, tuple(blocks), *_mean(fluences), per_shot)


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float | None, float | None, int]:
    """Mean, its standard error, number of values."""
    count = len(values)
    mean = float(values.mean()) if count else None
    return mean, float(values.std(ddof=1) / math.sqrt(count)) if count > 1 else None, count


def _asked(run: Run) -> dict[int, float]:
    programs = json.loads(run.header.programs_json or "[]")
    return {number: float(one["fluence_uj_cm2"]) for number, one in enumerate(programs) if "fluence_uj_cm2" in one}


def _rounded(uncertainty: float) -> str:
    return f"{uncertainty:.2g}"
