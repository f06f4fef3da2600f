"""Cascade and state spectra."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import cascade, decay_rates_per_ps, mean_excitations, poisson, state_operator
from sim_instruments.film.spectra import HC_EV_NM, absorption_spectra, se_band, stimulated_spectra

NOMINAL = FilmParameters.nominal()


def test_lifetimes_that_follow_from_pair_counting() -> None:
    neutral, charged = (1 / decay_rates_per_ps(NOMINAL, charge)[1:] for charge in (0, 1))
    assert neutral[0] == pytest.approx(7000)
    assert neutral[1] == pytest.approx(74)
    assert 16 <= neutral[2] <= 17
    assert charged[0] == pytest.approx(290)
    assert 31 <= round(charged[1]) <= 33


@pytest.mark.parametrize("charge", [0, 1])
def test_cascade_solves_its_rate_equations(charge: int) -> None:
    rate = decay_rates_per_ps(NOMINAL, charge, 0.4)
    expected = expm((np.diag(rate[1:], 1) - np.diag(rate)) * 50.0)
    assert_allclose(cascade(NOMINAL, charge, 50.0, 0.4), expected, atol=1e-12)


def test_states_hold_every_nanocrystal_once() -> None:
    operator = state_operator(NOMINAL, 4.0)
    assert_allclose(operator[:3].sum(axis=0), 1.0)
    assert_allclose(operator[3:].sum(axis=0), 1.0)


def test_poisson_with_its_tail() -> None:
    probability = poisson(np.array([0.0, 1.2, 6.0]))
    assert_allclose(probability.sum(axis=-1), 1.0)
    assert_allclose(probability[0], np.eye(8)[0], atol=1e-15)
    assert probability[1, 2] == pytest.approx(np.exp(-1.2) * 0.72)
    assert probability[2, 7] == pytest.approx(0.3937, abs=1e-4)  # 1 - P(N <= 6) of mean 6, from tables


def test_pump_density() -> None:
    assert_allclose(mean_excitations(NOMINAL, np.array([40.0, 0.002])), [1.09, 5.5e-5], rtol=0.01)


def test_only_pairs_or_charged_excitons_give_gain_at_537_nm() -> None:
    """The scenario of the paper's Figure 1: a neutral exciton absorbs, a trion and a biexciton amplify."""
    n0, n1, n2, c0, c1, c2 = absorption_spectra(NOMINAL, np.array([HC_EV_NM / 537]))[:, 0]
    assert n0 > 0
    assert n1 > 0
    assert n2 < 0
    assert c0 == pytest.approx(n0 / 2, rel=0.15)
    assert c1 < 0
    assert c2 < 0


def test_ground_states_emit_nothing() -> None:
    lines = stimulated_spectra(NOMINAL, np.linspace(2.2, 2.5, 31))
    assert not lines[[0, 3]].any()
    assert (lines[[1, 2, 4, 5]] > 0).all()


def test_spontaneous_band_has_unit_area_and_the_paper_s_shape() -> None:
    wavelength = np.arange(440.0, 640.0, 0.01)
    band = se_band(NOMINAL, wavelength)
    assert band.sum() * 0.01 == pytest.approx(1.0, rel=0.003)  # E^2 makes it exceed 1 by half its relative variance
    above = wavelength[band > band.max() / 2]
    assert above[-1] - above[0] == pytest.approx(24.98, abs=0.05)
    assert (above[-1] + above[0]) / 2 == pytest.approx(520.0, abs=0.7)
    assert se_band(NOMINAL, wavelength, 0.01).argmax() < band.argmax()
