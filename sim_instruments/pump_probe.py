"""A pump-probe spectrometer: delay stage, chopped pump, white-light probe, and a lamp for the unpumped film."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.absorption import Transmission
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]

STAGE_RANGE_PS = (-2.0, 3000.0)
STAGE_STEP_PS = 2e-3 / 0.299792458
"""Delay of one stage step of 1 um, there and back. Source: assumed."""

NOISE_OD = 3e-4
COMMON_SHARE = 0.7
"""Noise of one pumped and one unpumped spectrum, and the share of its variance that all wavelengths have in common."""

LAMP_NOISE_OD = 3.5e-4

CHIRP_PS = 0.3
CHIRP_RANGE_NM = (490.0, 570.0)
"""Blue arrives after red by so much over this range; the stage reads true in its middle. Sign: assumed."""

PUMP_NM = 400.0
PUMP_WIDTH_NM = 2.0
SCATTER_PER_UJ_CM2 = 1e-3
"""Pump light in the probe's spectrometer, relative to the probe, per pump fluence. Source: assumed."""


class Scan(NamedTuple):
    """Change of absorbance `od` (k, n) at the stage's readings `delay_ps` (k,)."""

    delay_ps: Floats
    od: Floats


class PumpProbe:
    """Transient and linear absorption of one film, with the noise of the instrument.

    Noise is drawn spectrum by spectrum, so that a scan may be divided among calls. The delay is optical: it has no jitter.
    Figures: assumed.

    Parameters
    ----------
    parameters : of the film
    wavelength_nm : (n,) of the probe's pixels; the white light holds from 390 to 700 nm
    seed : of the noise
    """

    def __init__(self, parameters: FilmParameters, wavelength_nm: Floats, seed: int | np.random.SeedSequence) -> None:
        self.wavelength_nm = wavelength_nm
        self._film = Transmission(parameters, wavelength_nm)
        self._noise = np.random.Generator(np.random.SFC64(seed))
        low_nm, high_nm = CHIRP_RANGE_NM
        self._chirp_ps = CHIRP_PS * ((low_nm + high_nm) / 2 - wavelength_nm) / (high_nm - low_nm)
        self._scatter = SCATTER_PER_UJ_CM2 * np.exp(-4 * np.log(2) * ((wavelength_nm - PUMP_NM) / PUMP_WIDTH_NM) ** 2)

    def linear(self, charged_fraction: float) -> Floats:
        """Absorbance of the unpumped film in lamp light, against a blank of glass and ITO, (n,)."""
        noise = LAMP_NOISE_OD * self._noise.standard_normal(len(self.wavelength_nm))
        return self._film.linear_od(charged_fraction) + noise

    def transient(self, fluence_uj_cm2: float, charged_fraction: float, delay_ps: Floats, averages: int = 1) -> Scan:
        """Scan the delays, averaging `averages` pairs of a pumped and an unpumped spectrum at each.

        The stage goes to the nearest of its steps. Pump scatter adds light, at 400 nm only and at every delay.

        Raises
        ------
        ValueError : a delay outside -2 ... 3000 ps, a fluence that is negative or not finite, fewer than one average
        """
        low_ps, high_ps = STAGE_RANGE_PS
        if not np.all((low_ps <= delay_ps) & (delay_ps <= high_ps)):
            raise ValueError(f"the stage reaches delays from {low_ps} to {high_ps} ps")
        if not (0 <= fluence_uj_cm2 < np.inf and averages >= 1):
            raise ValueError(f"cannot average {averages} spectra pumped with {fluence_uj_cm2} uJ/cm2")
        reached_ps = np.round(delay_ps / STAGE_STEP_PS) * STAGE_STEP_PS
        excitations = self._film.excitations(fluence_uj_cm2)
        od = self._film.transient_od(excitations, charged_fraction, reached_ps[:, None] + self._chirp_ps)
        od -= np.log10(1 + fluence_uj_cm2 * self._scatter)
        noise = self._noise.standard_normal((len(reached_ps), 1 + len(self.wavelength_nm)))
        noise *= NOISE_OD / np.sqrt(averages)
        od += np.sqrt(COMMON_SHARE) * noise[:, :1] + np.sqrt(1 - COMMON_SHARE) * noise[:, 1:]
        return Scan(reached_ps, od)
