"""Light against fluence, made ready for a fit: points with errors, from single shots or from set points."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Method = Literal["energy-rebinned", "set-point means", "spectra as given"]

USUAL_PER_BIN = 10
LEAST_PER_BIN = 5
BINS_WANTED = 50
MOST_BINS = 200
SMOOTHED_BINS = 7
METERED_ERROR = 0.001  # relative error of a bin's mean fluence where the meter followed every shot
NOMINAL_ERROR = 0.005  # where the set point is all there is: what an attenuator repeats to. Source: assumed


@dataclass(frozen=True, slots=True)
class LightCurve:
    """Points (n,), fluence (uJ/cm2) ascending: light (counts), its 1-sigma error, relative error of the fluence; how made."""

    fluence_uj_cm2: Floats
    signal: Floats
    error: Floats
    fluence_error: float
    method: Method


def rebinned(fluence_uj_cm2: Floats, signal: Floats) -> LightCurve:
    """Points from single shots sorted by their measured energy, 5 to 10 shots a point (10 from 500 shots on, more from 2000).

    The error is the scatter about a straight line in each point's shots, pooled over 7 neighbouring points: the spread of
    energies inside a point is no error, and the scatter of ten numbers alone is too poor a weight. Left-over shots of highest
    energy are not used.

    Parameters
    ----------
    fluence_uj_cm2  measured, (n,), finite; missed and saturated shots left out
    signal          light of each shot (counts, (n,))
    """
    size = shots_per_bin(len(signal))
    rows = np.argsort(fluence_uj_cm2, kind="stable")[: len(signal) // size * size].reshape(-1, size)
    f, y = fluence_uj_cm2[rows], signal[rows]
    variance = _smoothed(_residual_variance(f, y)) / size
    return LightCurve(f.mean(axis=1), y.mean(axis=1), np.sqrt(variance), METERED_ERROR, "energy-rebinned")


def shots_per_bin(shots: int) -> int:
    """How many of so many single shots make a point."""
    return max(int(np.clip(shots // BINS_WANTED, LEAST_PER_BIN, USUAL_PER_BIN)), -(-shots // MOST_BINS))


def set_point_means(
    point: NDArray[np.integer], fluence_uj_cm2: Floats, signal: Floats, fluence_error: float = NOMINAL_ERROR
) -> LightCurve:
    """Points from shots whose own energy is not known, or too rarely: the mean at each set point, and its standard error.

    Parameters
    ----------
    point           number of the set point that each shot was taken at, (n,); those with a single shot are left out
    fluence_uj_cm2  of each shot as set, or as far as the meter followed (NaN where not), (n,)
    signal          light of each shot (counts, (n,))
    fluence_error   relative 1-sigma error of a set point's fluence
    """
    _, index, count = np.unique(point, return_inverse=True, return_counts=True)
    mean = np.bincount(index, signal) / count
    scatter = np.bincount(index, (signal - mean[index]) ** 2) / np.maximum(count - 1, 1)
    known = np.isfinite(fluence_uj_cm2)
    readings = np.bincount(index, known)
    f = np.bincount(index, np.where(known, fluence_uj_cm2, 0.0)) / np.maximum(readings, 1)
    good = (readings > 0) & (count > 1)
    order = np.flatnonzero(good)[np.argsort(f[good], kind="stable")]
    return LightCurve(f[order], mean[order], np.sqrt(scatter / count)[order], fluence_error, "set-point means")


def as_given(fluence_uj_cm2: Floats, signal: Floats, error: Floats, fluence_error: float = NOMINAL_ERROR) -> LightCurve:
    """Points from spectra that somebody else averaged; `error` (counts, (n,)) as far as it is known.

    `fluence_error` is the relative 1-sigma error of each fluence for itself: setting, and pulses that were too few to average.
    """
    order = np.argsort(fluence_uj_cm2, kind="stable")
    return LightCurve(fluence_uj_cm2[order], signal[order], error[order], fluence_error, "spectra as given")


def _residual_variance(f: Floats, y: Floats) -> Floats:
    """Variance (n,) about the straight line through each row of y (n, k) against f (n, k)."""
    df, dy = f - f.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = (df**2).sum(axis=1)
    slope = np.divide((df * dy).sum(axis=1), spread, out=np.zeros(len(f)), where=spread > 0)
    residual = ((dy - slope[:, None] * df) ** 2).sum(axis=1)
    return residual / (f.shape[1] - 2)


def _smoothed(values: Floats) -> Floats:
    """Running mean over neighbours, fewer at the ends."""
    ones = np.ones(min(SMOOTHED_BINS, len(values)))
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")
