"""The film in transmission: its absorption with and without bias, and what a pump pulse changes of it.

States, spectra and decay are those that amplify at the edge; only geometry differs (a thinner film, pumped all over).
"""

import math

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import poisson, states_after
from sim_instruments.film.spectra import HC_EV_NM, absorption_spectra

Floats = NDArray[np.float64]

OVERLAP_PS = 0.08
"""Time scale of the error function with which the signal rises: pump and probe pulses of 100 fs. Source: assumed."""

HOT_SHARE = 0.6
COOLING_PS = 0.35
"""Share of the signal that is missing while carriers are hot, and how fast they cool to the band edge. Source: assumed."""


class Transmission:
    """Absorbance of one device at fixed wavelengths.

    A warm film is one with another `energy_shift_ev`: all band-edge energies move together.

    Parameters
    ----------
    parameters : of the device
    wavelength_nm : (n,), where the probe light is looked at
    """

    def __init__(self, parameters: FilmParameters, wavelength_nm: Floats) -> None:
        self.parameters = parameters
        self._states = parameters.exciton_od * absorption_spectra(parameters, HC_EV_NM / wavelength_nm).T
        self._higher = higher_bands_od(parameters, wavelength_nm)

    def excitations(self, fluence_uj_cm2: float) -> float:
        """<N> = kappa F with kappa = 0.0354 cm2/uJ; the stripe at the edge couples less. Source: assumed."""
        return self.parameters.transmission_coupling_cm2_per_uj * fluence_uj_cm2

    def linear_od(self, charged_fraction: float) -> Floats:
        """OD0 = OD_x [(1 - f) n0 + f c0] + higher bands, (n,), unpumped; at 537 nm 0.049 at 0 V, 0.032 at 20 V.

        A charge blocks half of the band edge and leaves the higher bands as they are.
        """
        return self._ground(charged_fraction) + self._higher

    def transient_od(self, excitations: float, charged_fraction: float, delay_ps: Floats) -> Floats:
        """Pump-induced change dOD = OD_x [a(<N>, f, t) - a(0, f)] * rise(t), (k, n).

        rise = 1/2 [1 + erf(t / 80 fs)] (1 - 0.6 e^(-t/0.35 ps)), the latter for t >= 0.

        Parameters
        ----------
        excitations : <N> per nanocrystal, averaged over the film
        charged_fraction : 0..1
        delay_ps : (k, 1), or (k, n) where the delay differs between wavelengths; pump first for t > 0
        """
        f = charged_fraction
        after_ps = np.maximum(delay_ps, 0.0)
        states = states_after(self.parameters, poisson(np.array(excitations)), f, after_ps)
        states *= np.repeat([1 - f, f], 3)
        change = np.einsum("kms,ns->kn" if delay_ps.shape[1] == 1 else "kns,ns->kn", states, self._states)
        change -= self._ground(f)
        overlap = np.array([math.erf(t) for t in (delay_ps / OVERLAP_PS).flat]).reshape(delay_ps.shape)
        return change * (0.5 * (1 + overlap) * (1 - HOT_SHARE * np.exp(-after_ps / COOLING_PS)))

    def _ground(self, f: float) -> Floats:
        return (1 - f) * self._states[:, 0] + f * self._states[:, 3]


def higher_bands_od(parameters: FilmParameters, wavelength_nm: Floats) -> Floats:
    """Optical density (n,) that neither pump nor charge changes: quadratic from the band edge up to the 400 nm of the pump.

    Zero below the continuum's edge, and such that the film has its full optical density (0.46) at 400 nm. Source: assumed.
    """
    p = parameters
    edge_ev = p.exciton_ev + p.continuum_offset_ev
    pump_ev = HC_EV_NM / p.film_od_nm
    rest = p.film_od - p.exciton_od * float(absorption_spectra(p, np.array([pump_ev]))[0, 0])
    return rest * (np.maximum(HC_EV_NM / wavelength_nm - edge_ev, 0) / (pump_ev - edge_ev)) ** 2
