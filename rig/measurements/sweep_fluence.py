"""The fluence of each visit of a sweep, from its set point and the readings of the energy meter."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.light_curve import NOMINAL_ERROR
from rig.bench import Bench
from rig.fluence_record import run_scale
from rig.measurements.fluence_sweep import Visit
from rig.runfile import Run

Floats = NDArray[np.float64]

LARGEST_DEVIATION = 0.15  # of a visit's readings from its set point: ten times the scatter of single pulses; source: assumed


@dataclass(frozen=True, slots=True)
class VisitFluence:
    """Fluence of each visit (uJ/cm2, (n,)), its relative error (1 sigma), where it comes from, visits that went astray."""

    uj_cm2: Floats
    error: float
    source: str
    strange: tuple[int, ...]


def visit_fluence(
    run: Run, bench: Bench, rows: NDArray[np.void], counted: NDArray[np.bool_], visits: tuple[Visit, ...]
) -> VisitFluence:
    """Take the meter's mean of each visit where it is better than a set point, else set points on the meter's scale.

    A meter that reads one pulse of a visit knows that pulse, not the mean of the visit: single pulses scatter more than an
    attenuator repeats. All readings together still tell by which factor all set points are off.
    """
    asked = np.array([visit.fluence_uj_cm2 for visit in visits])
    scale = run_scale(run.header, bench)
    known = rows["cycle"] >= 0  # rests, too: their fluence is that of the visit
    cycle_of = dict(zip(rows["block"][known].tolist(), rows["cycle"][known].tolist(), strict=True))
    readings = run.energies
    places: list[int] = readings["block"].tolist()
    mine = np.array([place in cycle_of for place in places], np.bool_)
    if scale is None or not mine.any():
        return VisitFluence(asked, NOMINAL_ERROR, "set points; nothing was measured", ())
    number = np.array([cycle_of[place] for place in places if place in cycle_of])
    ratio = readings["energy_uj"][mine] * scale.uj_cm2_per_uj / asked[number]
    factor = float(np.median(ratio))
    if not factor > 0:
        return VisitFluence(asked, NOMINAL_ERROR, "set points; the meter saw no light", ())
    count = np.bincount(number, minlength=len(visits))
    mean = np.bincount(number, ratio, minlength=len(visits)) / np.maximum(count, 1)
    strange = np.flatnonzero((count > 0) & ~(np.abs(mean / factor - 1) <= LARGEST_DEVIATION))
    fewest = int(count[np.unique(rows["cycle"][counted])].min())
    scatter = ratio - mean[number]
    error = np.sqrt(float(scatter @ scatter) / max(1, len(ratio) - int((count > 0).sum())) / max(1, fewest)) / factor
    if fewest >= 2 and error <= NOMINAL_ERROR:
        return VisitFluence(mean * asked, float(error), "the meter's mean of each visit", tuple(strange.tolist()))
    words = f"set points times {factor:.4f}, the meter's median of {len(ratio)} readings"
    return VisitFluence(asked * factor, NOMINAL_ERROR, words, tuple(strange.tolist()))
