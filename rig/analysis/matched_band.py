"""The light of weak frames by a matched filter: each spectrum's share of the mean spectrum, any constant level apart.

Weights are the mean spectrum itself, which is best where noise is the same in all pixels. As they come from the same frames,
a frame's noise would be multiplied by itself and add light that is not there; so the frames are cut into two halves, and each
half is weighted with the other's mean. What both still share, the noise of the dark spectrum, is known and taken off. A line
that changes its shape loses light in this measure: `wide_light` beside it does not mind, and is noisier.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTER = 0.1  # of the pixels on each side, without light: the constant level of the wide sum
MIN_FRAMES = 4
LEAST_SIGMAS = 5.0  # of the mean spectrum in the noise of its halves


@dataclass(frozen=True, slots=True, eq=False)
class BandLight:
    """Light per frame (counts in the whole line, (n,)), and the 1-sigma error that all frames share through the dark."""

    counts: Floats
    dark_error: float


def matched_light(light: Floats, first_half: Mask, dark_variance: Floats) -> BandLight:
    """Light of frames `light` (n, pixels, dark-free counts) in a window that is wider than the line.

    Parameters
    ----------
    first_half     which half each frame belongs to, (n,); both must hold the same mixture of frames
    dark_variance  of the dark spectrum that was subtracted, per pixel (counts^2)

    Raises
    ------
    ValueError  fewer than 4 frames, a half without any, or no line in the mean spectrum
    """
    if len(light) < MIN_FRAMES or first_half.all() or not first_half.any():
        raise ValueError(f"{len(light)} frames, at least {MIN_FRAMES} in two halves are needed")
    means = [light[half].mean(axis=0) for half in (first_half, ~first_half)]
    weights = [mean - mean.mean() for mean in means]
    # the dark's noise is in all frames and in both means, so its square is in every product
    common = float(dark_variance.sum())
    overlap = float(weights[0] @ weights[1]) - common
    noise = float(np.sqrt(weights[0] @ (weights[0] * _variance(light, first_half))))
    if not overlap > LEAST_SIGMAS * noise:
        raise ValueError("no light above the noise in the mean of all frames")
    scale = float(0.5 * sum(_area(mean) for mean in means)) / overlap
    counts = np.empty(len(light))
    counts[first_half], counts[~first_half] = (light[first_half] @ weights[1], light[~first_half] @ weights[0])
    both = 0.5 * (weights[0] + weights[1])
    return BandLight(scale * (counts - common), abs(scale) * float(np.sqrt(dark_variance @ both**2)))


def wide_light(light: Floats, dark_variance: Floats) -> BandLight:
    """Plain sum over all pixels of `light` (n, pixels) above the level of the outer ones."""
    edge = _outer(light.shape[1])
    outer = float(edge.sum())
    weights = 1.0 - np.where(edge, light.shape[1] / outer, 0.0)
    return BandLight(light @ weights, float(np.sqrt(dark_variance @ weights**2)))


def _variance(light: Floats, half: Mask) -> Floats:
    """Variance of the other half's mean per pixel; infinite when it holds a single frame."""
    other = light[~half]
    return other.var(axis=0, ddof=1) / len(other) if len(other) > 1 else np.full(light.shape[1], np.inf)


def _outer(pixels: int) -> Mask:
    count = max(1, round(OUTER * pixels))
    edge = np.zeros(pixels, np.bool_)
    edge[:count] = edge[-count:] = True
    return edge


def _area(mean: Floats) -> float:
    return float((mean - mean[_outer(len(mean))].mean()).sum())
