"""An edge-emission spectrograph, of 2136 pixels unless it has another geometry: from photons per nm to raw counts."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from sim_instruments.detector_noise import DetectorNoise, FreshNoise

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Counts = NDArray[np.uint16]

PIXELS = 2136
FULL_SCALE = 65535.0
TRUE_WAVELENGTH = (338.2, 0.22520, -5.6e-6, -1.9e-10)
CALIBRATION_ERROR = (0.1, 1e-5)
"""Standard deviations of the reported wavelength's offset (nm) and slope (nm per pixel) from the true ones."""

PSF_FWHM_NM = 1.0
COUNTS_PER_PHOTON_PER_NM = 40_000.0
ELECTRONS_PER_COUNT = 3.0
READ_NOISE_COUNTS = 12.0
DARK_COUNTS_PER_S = 60.0
OFFSET_COUNTS = 1480.0
OFFSET_PATTERN_COUNTS = 9.0
OFFSET_COUNTS_PER_K = -4.0
RESPONSE_PATTERN = 0.005
HOT_PIXELS = 3
HOT_COUNTS = (300.0, 3000.0)
BEND = (-0.035, 0.010)
"""Counts are L (1 + b1 q + b2 q^2), q = L / 65535, of the light L."""

BLOCK = 32  # frames at a time, so that they stay in the cache


@dataclass(frozen=True, slots=True)
class Geometry:
    """What distinguishes one model's detector from another's; all else is taken to be alike (assumed).

    Parameters
    ----------
    pixels           as sent, those that see no light included
    true_wavelength  c0..c3 of wavelength (nm) = sum c_i pixel^i
    """

    pixels: int = PIXELS
    true_wavelength: tuple[float, float, float, float] = TRUE_WAVELENGTH


OCEAN_FX = Geometry()


class Spectrograph:
    """Optics, detector and converter of one instrument. Figures: assumed, of the order of an Ocean FX.

    The serial number fixes what a calibration could find (wavelength error, response and offset pattern, hot pixels), the seed
    the noise, which is fresh for every exposure unless another `noise` is given. One frame of noise per exposure, in the order
    of exposures, before nonlinearity, rounding and clipping.

    Attributes
    ----------
    wavelength_coefficients : reported c0..c3 of wavelength (nm) = sum c_i pixel^i; off the truth by a calibration error
    nonlinearity_coefficients : reported c0..c7 of r(m) = sum c_i m^i with m = raw - dark; light = m / r(m)
    """

    def __init__(
        self,
        seed: int | np.random.SeedSequence,
        serial: str = "OFX00001",
        warming_k: float = 0.0,
        noise: DetectorNoise | None = None,
        geometry: Geometry = OCEAN_FX,
    ) -> None:
        digest = hashlib.sha256(f"spectrograph/{serial}".encode()).digest()
        pattern = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        self.pixels = pixels = geometry.pixels
        self.true_wavelength_nm = np.polynomial.polynomial.polyval(np.arange(pixels), geometry.true_wavelength)
        offset_error, slope_error = (pattern.standard_normal(2) * CALIBRATION_ERROR).tolist()
        c0, c1, c2, c3 = geometry.true_wavelength
        self.wavelength_coefficients = (c0 + offset_error, c1 + slope_error, c2, c3)
        self.nonlinearity_coefficients = _nonlinearity()
        self._response = 1 + RESPONSE_PATTERN * pattern.standard_normal(pixels)
        offset = OFFSET_COUNTS + OFFSET_COUNTS_PER_K * warming_k + OFFSET_PATTERN_COUNTS * pattern.standard_normal(pixels)
        self.hot_pixels = np.sort(pattern.choice(pixels, HOT_PIXELS, replace=False))
        offset[self.hot_pixels] += pattern.uniform(*HOT_COUNTS, HOT_PIXELS)
        self._offset_to_round = (offset + 0.5).astype(np.float32)  # the converter's rounding, done by truncation
        self._noise = FreshNoise(seed) if noise is None else noise
        self._frame = np.empty((BLOCK, pixels), np.float32)

    def window(self, low_nm: float, high_nm: float) -> slice:
        """Return the pixels whose true wavelength lies in the range."""
        first, last = np.searchsorted(self.true_wavelength_nm, (low_nm, high_nm)).tolist()
        return slice(first, last)

    def image(self, wavelength_nm: Floats, density: Floats, window: slice) -> Singles:
        """Return counts per pixel of the window, (k, w), for spectra `density` (k, q) in photons per nm.

        `wavelength_nm` (q,) is evenly spaced, finer than the point-spread function (Gaussian, FWHM 1 nm).
        """
        spread = _spread(self.true_wavelength_nm[window].tobytes(), wavelength_nm.tobytes())
        step_nm = wavelength_nm[1] - wavelength_nm[0]
        counts = density @ spread * (step_nm * COUNTS_PER_PHOTON_PER_NM) * self._response[window]
        return counts.astype(np.float32)

    def read(self, light: Singles, window: slice, exposure_s: Floats) -> Counts:
        """Return raw counts (n, pixels) of exposures that last `exposure_s` (n,) and collect `light` (n, w) counts in `window`.

        `light` is used up. Outside the window there is only dark current, and the bend of the response acts on its mean alone
        (the noise's share is below 0.001 counts).
        """
        n = len(exposure_s)
        raw = np.empty((n, self.pixels), np.uint16)
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            self._read_block(light[rows], window, exposure_s[rows], raw[rows])
        return raw

    def _read_block(self, light: Singles, window: slice, exposure_s: Floats, raw: Counts) -> None:
        frame = self._frame[: len(raw)]
        self._noise.fill(frame)
        dark = (exposure_s * DARK_COUNTS_PER_S).astype(np.float32)[:, None]
        light += dark
        noise = _deviation(light)
        noise *= frame[:, window]
        light += noise
        frame[:, window] = _bent(light)
        dark_noise, dark_counts = _deviation(dark), _bent(dark)
        for unlit in (frame[:, : window.start], frame[:, window.stop :]):
            unlit *= dark_noise
            unlit += dark_counts
        frame += self._offset_to_round
        np.clip(frame, 0, FULL_SCALE, out=frame)
        raw[...] = frame


def _deviation(light: Singles) -> Singles:
    """Standard deviation of the noise (counts): shot noise of 3 electrons per count, and 12 counts of read noise."""
    variance = light * np.float32(1 / ELECTRONS_PER_COUNT)
    variance += np.float32(READ_NOISE_COUNTS**2)
    return np.sqrt(variance, out=variance)


def _bent(light: Singles) -> Singles:
    """What the nonlinear detector makes of the light: L (1 + b1 q + b2 q^2)."""
    b1, b2 = np.float32(BEND[0] / FULL_SCALE), np.float32(BEND[1] / FULL_SCALE**2)
    counts = light * b2
    counts += b1
    counts *= light
    counts += np.float32(1)
    counts *= light
    return counts


def _nonlinearity() -> tuple[float, ...]:
    """Fit r(m) = m / L of order 7 to the detector's bend over its range, as a maker's calibration would."""
    light = np.linspace(0, FULL_SCALE, 2000)
    relative = 1 + light / FULL_SCALE * (BEND[0] + BEND[1] * light / FULL_SCALE)
    fitted = Polynomial.fit(light * relative, relative, 7).convert()
    return tuple(float(c) for c in fitted.coef)


@lru_cache(maxsize=4)
def _spread(pixel_nm: bytes, wavelength_nm: bytes) -> Floats:
    """Light per nm of a sharp line at each wavelength (q), as float64 bytes, at each pixel (w): (q, w), read-only.

    Kept, as every bench with the same spectrograph needs the same and it is most of what making a bench takes.
    """
    away = (np.frombuffer(pixel_nm) - np.frombuffer(wavelength_nm)[:, None]) / PSF_FWHM_NM
    spread = np.exp(-4 * np.log(2) * away**2) * (np.sqrt(4 * np.log(2) / np.pi) / PSF_FWHM_NM)
    spread.flags.writeable = False
    return spread
