"""What an edge spectrum has in 531-541 nm beyond its spontaneous band (rule X2), with its error from pixel noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bands import band_slice

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LINE_NM = (536.0, 5.0)  # centre, half width
BAND_NM = (510.0, 10.0)
WEAK_FLUENCES = 4
_THIRD_DIFFERENCE = np.array([1.0, -3.0, 3.0, -1.0]) / np.sqrt(
    20.0
)  # of unit variance for white noise; no smooth spectrum passes


@dataclass(frozen=True, slots=True)
class Excess:
    """Y = sum(531..541 nm) - rho sum(500..520 nm) per spectrum.

    signal  Y (counts, (n,))
    error   1 sigma of Y from the noise of the pixels (counts, (n,)); what the pulse energy adds is not in it
    rho     line over band of the weak spectra, and its 1 sigma
    """

    signal: Floats
    error: Floats
    rho: float
    rho_error: float


def weakest(fluence: Floats, count: int = WEAK_FLUENCES) -> Mask:
    """Mark the spectra at the `count` lowest different fluences (set points, any unit, (n,))."""
    lowest = np.unique(fluence)[:count]
    return np.isin(fluence, lowest)


def pixel_noise(wavelength_nm: Floats, light: Floats) -> Floats:
    """Noise of one pixel (counts, 1 sigma, (n,)) of spectra (n, pixels), from third differences between 500 and 541 nm.

    Spectra sampled so coarsely that their own curvature passes for noise get too large a number, never too small a one;
    fewer than 8 pixels give 0.
    """
    seen = light[:, (wavelength_nm >= BAND_NM[0] - BAND_NM[1]) & (wavelength_nm <= LINE_NM[0] + LINE_NM[1])]
    if seen.shape[1] < 8:
        return np.zeros(len(light))
    kinks = np.lib.stride_tricks.sliding_window_view(seen, len(_THIRD_DIFFERENCE), axis=1) @ _THIRD_DIFFERENCE
    return 1.4826 * np.median(np.abs(kinks), axis=1)


def band_excess(wavelength_nm: Floats, light: Floats, weak: Mask) -> Excess:
    """Y of dark-free spectra `light` (n, pixels), ascending `wavelength_nm` (pixels,); rho from those marked in `weak` (n,).

    Raises
    ------
    ValueError  a band without pixels, no weak spectrum, or no light in the spontaneous band of the weak ones
    """
    line_pixels, band_pixels = band_slice(wavelength_nm, *LINE_NM), band_slice(wavelength_nm, *BAND_NM)
    line, band = light[:, line_pixels].sum(axis=1), light[:, band_pixels].sum(axis=1)
    if not weak.any():
        raise ValueError("no weak spectrum to take the shape of the spontaneous band from")
    below = float(band[weak].sum())
    noise = pixel_noise(wavelength_nm, light)
    line_error, band_error = noise * np.sqrt(light[:, line_pixels].shape[1]), noise * np.sqrt(light[:, band_pixels].shape[1])
    if not below > 5.0 * float(np.sqrt((band_error[weak] ** 2).sum())):
        raise ValueError("no light between 500 and 520 nm at the lowest fluences")
    rho = float(line[weak].sum()) / below
    rho_error = float(np.sqrt((line_error[weak] ** 2 + (rho * band_error[weak]) ** 2).sum())) / below
    error = np.sqrt(line_error**2 + (rho * band_error) ** 2)
    return Excess(line - rho * band, error, rho, rho_error)
