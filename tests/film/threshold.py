"""The threshold of a sweep of the film, by the estimator of fluence sweeps, as rows of the film's table want it."""

import math
from dataclasses import dataclass

import numpy as np

from rig.analysis.ase_excess import band_excess
from rig.analysis.light_curve import rebinned
from rig.analysis.threshold import find_threshold

WEAK_STEPS = 4


@dataclass(frozen=True, slots=True)
class Threshold:
    """Fluence (uJ/cm2) and half of its 95 % interval, of which `statistical` comes from the scatter; or why there is none."""

    value: float = math.nan
    half_width: float = math.nan
    statistical: float = math.nan
    reason: str = ""


def threshold_of(wavelength_nm: np.ndarray, light: np.ndarray, fluence: np.ndarray, step: np.ndarray) -> Threshold:
    """Threshold of single shots: corrected light (n, pixels), measured fluence (n,), number of the set point (n,)."""
    found = find_threshold(rebinned(fluence, band_excess(wavelength_nm, light, step < WEAK_STEPS).signal))
    value, half, scatter = found.value.value, found.value.half_width, found.statistical.half_width
    if value is None or half is None or scatter is None:
        return Threshold(reason="" if found.refusal is None else found.refusal.message)
    return Threshold(value, half, scatter)
