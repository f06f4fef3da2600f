"""Absorption and stimulated emission of the six states of a nanocrystal, in units of the neutral exciton peak.

Rows everywhere: neutral with N = 0, 1, >= 2 excitations, then charged with 0, 1, >= 2. Factors of one half come from the
two-fold band-edge degeneracy: one exciton leaves half the absorption and half the emission; a spectator charge blocks half of
the ground absorption; a trion has no band-edge absorption left. Induced absorption X -> XX competes with biexciton emission,
which sets the neutral threshold. Source: two-dimensional spectroscopy (Zhao 2019); numbers fitted to the paper.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]

HC_EV_NM = 1239.842


def gaussian(energy_ev: Floats, centre_ev: float, fwhm_ev: float) -> Floats:
    """exp(-4 ln2 ((E - centre)/fwhm)^2): peak 1."""
    return np.exp(-4 * math.log(2) * ((energy_ev - centre_ev) / fwhm_ev) ** 2)


def continuum(parameters: FilmParameters, energy_ev: Floats) -> Floats:
    """Absorption above the exciton that no band-edge population bleaches: an error-function step."""
    p = parameters
    x = (energy_ev - p.exciton_ev - p.continuum_offset_ev) / p.continuum_width_ev
    return p.continuum_strength / 2 * (1 + np.array([math.erf(value) for value in x]))


def stimulated_spectra(parameters: FilmParameters, energy_ev: Floats) -> Floats:
    """Stimulated emission per nanocrystal in each state, shape (6, n) for `energy_ev` of shape (n,)."""
    p = parameters
    energy = energy_ev - p.energy_shift_ev
    peak = HC_EV_NM / p.emission_nm
    lines = (
        (0.0, 0.0),
        (0.5, 0.0),
        (p.biexciton_strength, p.biexciton_shift_ev),
        (0.0, 0.0),
        (0.5 * p.trion_strength, p.trion_shift_ev),
        (p.charged_biexciton_strength, p.biexciton_shift_ev),
    )
    return np.array([height * gaussian(energy, peak - shift, p.emission_width_ev) for height, shift in lines])


def absorption_spectra(parameters: FilmParameters, energy_ev: Floats) -> Floats:
    """Net absorption per nanocrystal in each state (negative = gain), shape (6, n) for `energy_ev` of shape (n,).

    The film's is a = (1 - f) sum_s p_s n_s + f sum_s r_s c_s with neutral and charged populations p and r.
    """
    p = parameters
    energy = energy_ev - p.energy_shift_ev
    ground = gaussian(energy, p.exciton_ev, p.exciton_width_ev)
    esa = 0.5 * p.esa_strength * gaussian(energy, p.exciton_ev - p.esa_shift_ev, p.esa_width_ev)
    charged_ground = 0.5 * gaussian(energy, p.exciton_ev - p.charged_shift_ev, p.exciton_width_ev)
    flat = np.full_like(energy, p.induced_absorption)
    taken_up = np.array([ground, esa + flat, 2 * flat, charged_ground, flat, 2 * flat])
    return taken_up + continuum(p, energy) - stimulated_spectra(p, energy_ev)


def se_band(parameters: FilmParameters, wavelength_nm: Floats, shift_ev: float = 0.0) -> Floats:
    """Spontaneous band per nm of unit area, shape of `wavelength_nm`: a Gaussian in energy times E^2 (520 nm, 25 nm).

    `shift_ev` moves it in energy, as warming does. Source: paper, Figure 2b.
    """
    p = parameters
    centre_ev = HC_EV_NM / p.se_nm
    fwhm_ev = HC_EV_NM * p.se_width_nm / p.se_nm**2
    energy_ev = HC_EV_NM / wavelength_nm
    area = fwhm_ev * math.sqrt(math.pi / (4 * math.log(2)))  # of the Gaussian over energy; |dE/dlambda| = E^2/hc
    return gaussian(energy_ev, centre_ev + shift_ev, fwhm_ev) * energy_ev**2 / HC_EV_NM / area
