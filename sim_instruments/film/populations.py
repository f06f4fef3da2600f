"""What a pump pulse leaves in the nanocrystals: Poisson statistics, then an Auger cascade of several picoseconds.

A state is the number of excitations N in a neutral (charge 0) or singly charged (charge 1) nanocrystal. At most one extra
carrier per nanocrystal: the paper finds double charging insignificant.
"""

from math import comb, factorial

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]

MOST = 7
"""Highest number of excitations that is told apart; the Poisson tail beyond is counted into it."""

PHOTONS_PER_CM2_PER_UJ_CM2 = 2.0137e12
"""Photons of 400 nm in 1 uJ, from hc/lambda."""

FULL_CHARGE = 0.8
"""Charged fraction at 20 V to which the vacancy-related loss is referred. Source: fitted."""

_NUMBER = np.arange(MOST)
_FACTORIAL = np.array([float(factorial(n)) for n in range(MOST)])


def mean_excitations(parameters: FilmParameters, fluence_uj_cm2: Floats) -> Floats:
    """<N> = eta_c * sigma_400 * photons per area, any shape. 1.09 at 40 uJ/cm2 in the nominal film."""
    per_uj_cm2 = parameters.pump_coupling * parameters.pump_cross_section_cm2 * PHOTONS_PER_CM2_PER_UJ_CM2
    return fluence_uj_cm2 * per_uj_cm2


def poisson(mean: Floats) -> Floats:
    """P_N = e^-m m^N / N!, N = 0..7 with the tail in N = 7: shape (..., 8) for `mean` of shape (...)."""
    below = np.exp(-mean)[..., None] * mean[..., None] ** _NUMBER / _FACTORIAL
    return np.concatenate([below, 1.0 - below.sum(axis=-1, keepdims=True)], axis=-1)


def exciton_rate_per_ps(parameters: FilmParameters, charged_fraction: Floats | float) -> Floats | float:
    """1/tau_X(f) = 1/tau_X0 + (f/0.8)/tau_v (1/ps): vacancies that come with the charge open a loss. Source: assumed."""
    return 1 / parameters.exciton_ps + charged_fraction / FULL_CHARGE / parameters.vacancy_ps


def decay_rates_per_ps(parameters: FilmParameters, charge: int, charged_fraction: float = 0.0) -> Floats:
    """Total decay rate k(N, q) of N = 0..7 excitations beside q extra electrons (1/ps), shape (8,).

    k = g_e C(N+q, 2) N + g_h (N+q) C(N, 2) + N / tau_X: pair counting, with the two Auger constants fixed by the lifetimes
    of trion and biexciton. Lifetimes that follow: 16-17 ps for N = 3, 31-33 ps for the charged biexciton.
    """
    p = parameters
    electron = 1 / p.trion_ps - 1 / p.exciton_ps
    hole = (1 / p.biexciton_ps - 2 / p.exciton_ps - 2 * electron) / 2
    single = exciton_rate_per_ps(p, charged_fraction)
    return np.array(
        [electron * comb(n + charge, 2) * n + hole * (n + charge) * comb(n, 2) + n * single for n in range(MOST + 1)]
    )


def _modes(parameters: FilmParameters, charge: int, charged_fraction: float) -> tuple[Floats, Floats, Floats]:
    """Return eigenvalues (8,), eigenvectors (8, 8) and their inverse of M in dp/dt = M p, every decay taking one away."""
    rate = decay_rates_per_ps(parameters, charge, charged_fraction)
    values, vectors = np.linalg.eig(np.diag(rate[1:], 1) - np.diag(rate))
    return values, vectors, np.linalg.inv(vectors)


def cascade(parameters: FilmParameters, charge: int, t_ps: float, charged_fraction: float = 0.0) -> Floats:
    """exp(M t) of dp/dt = M p, every decay taking one excitation away: shape (8, 8), column = initial N."""
    values, vectors, inverse = _modes(parameters, charge, charged_fraction)
    return (vectors * np.exp(values * t_ps)) @ inverse


def states_after(parameters: FilmParameters, initial: Floats, charged_fraction: float, t_ps: Floats) -> Floats:
    """Return the six states at `t_ps` >= 0 (any shape) that `initial` P_N (8,) decays to: shape (..., 6).

    Neutral with N = 0, 1, >= 2, summing to 1, then charged likewise; the exciton lifetime is that at `charged_fraction`.
    """
    decayed: list[Floats] = []
    for charge in (0, 1):
        values, vectors, inverse = _modes(parameters, charge, charged_fraction)
        modes = np.vstack([vectors[:2], vectors[2:].sum(axis=0)]) * (inverse @ initial)
        decayed.append(np.exp(values * t_ps[..., None]) @ modes.T)
    return np.concatenate(decayed, axis=-1)


def state_operator(parameters: FilmParameters, t_ps: float) -> Floats:
    """From initial P_N to the six states at `t_ps`: shape (6, 8), rows N = 0, 1, >= 2 neutral, then charged.

    The exciton lifetime of the uncharged film is used throughout: at 4 ps the difference is below 0.1 %.
    """
    after = (cascade(parameters, charge, t_ps) for charge in (0, 1))
    return np.vstack([row for p in after for row in (p[0], p[1], p[2:].sum(axis=0))])
