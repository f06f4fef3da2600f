"""Traces: one number per frame, the mean light of a narrow band with its error.

A frame's number does not depend on the frames it is computed with: live batches and a re-analysis of the whole file agree to
the last bit. So nothing is summed by numpy's own reductions, whose order of additions depends on the shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.correction import good_neighbours, light_counts

Floats = NDArray[np.float64]
Raw = NDArray[np.uint16]
Mask = NDArray[np.bool_]

SE_BAND_NM = (520.0, 1.0)  # centre, half width; claim C21
ASE_BAND_NM = (535.0, 1.0)  # claim C22


def band_slice(wavelength_nm: Floats, center_nm: float, half_width_nm: float) -> slice:
    """Pixels whose wavelength lies in centre +- half width (both ends included); `wavelength_nm` (pixels,) ascends.

    Raises
    ------
    ValueError  no pixel lies there
    """
    lo, hi = center_nm - half_width_nm, center_nm + half_width_nm
    first, last = np.searchsorted(wavelength_nm, lo, side="left"), np.searchsorted(wavelength_nm, hi, side="right")
    if not first < last:
        raise ValueError(f"no pixel between {lo} and {hi} nm")
    return slice(int(first), int(last))


@dataclass(frozen=True, slots=True)
class Band:
    """A band made ready for one spectrometer and one dark spectrum: light is sum(weight * light of pixel) over `pixels`."""

    pixels: slice
    weight: Floats
    dark: Floats
    nonlinearity: tuple[float, ...]
    electrons_per_count: float
    read_variance: float

    @classmethod
    def prepare(
        cls,
        dark: Floats,
        nonlinearity: Sequence[float],
        hot: Mask,
        pixels: slice,
        electrons_per_count: float,
        read_noise_counts: float,
    ) -> "Band":
        """Weights 1/k on the band's k pixels; a hot pixel hands its weight to its two good neighbours."""
        weight = np.zeros(len(dark))
        weight[pixels] = 1.0 / len(weight[pixels])
        bad, left, right = good_neighbours(hot)
        for neighbour in (left, right):
            np.add.at(weight, neighbour, 0.5 * weight[bad])
        weight[bad] = 0.0
        span = np.flatnonzero(weight)
        pixels = slice(int(span[0]), int(span[-1]) + 1)
        weight = weight[pixels, None].copy()
        read_variance = float(np.sum(weight**2)) * read_noise_counts**2
        return cls(pixels, weight, dark[pixels, None].copy(), tuple(nonlinearity), electrons_per_count, read_variance)

    def trace(self, spectra: Raw) -> tuple[Floats, Floats]:
        """Mean light (counts, (n,)) and its 1-sigma error (counts, (n,)) of raw spectra, uint16 (n, pixels).

        Variance per pixel: light / (electrons per count) + read noise^2. The error of the dark spectrum is common to all
        frames and not in it.
        """
        light = light_counts(np.ascontiguousarray(spectra[:, self.pixels].T), self.dark, self.nonlinearity)
        light *= self.weight
        counts = _fold(light)
        light *= self.weight
        variance = np.maximum(_fold(light), 0.0)
        variance /= self.electrons_per_count
        variance += self.read_variance
        return counts, np.sqrt(variance, out=variance)


def _fold(terms: Floats) -> Floats:
    """Sum over the first axis by adding halves, element by element: the order depends on that axis alone."""
    while (rows := len(terms)) > 1:
        half = rows // 2
        folded = terms[:half] + terms[half : 2 * half]
        if rows % 2:
            folded[0] += terms[-1]
        terms = folded
    return terms[0].copy()


def band_trace(
    spectra: Raw,
    dark: Floats,
    nonlinearity: Sequence[float],
    hot: Mask,
    pixels: slice,
    electrons_per_count: float,
    read_noise_counts: float,
) -> tuple[Floats, Floats]:
    """Trace of one band in one call: see `Band.prepare` and `Band.trace`, which live code keeps apart."""
    return Band.prepare(dark, nonlinearity, hot, pixels, electrons_per_count, read_noise_counts).trace(spectra)
