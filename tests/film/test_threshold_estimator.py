"""The estimator on curves of its own law, on other films' light, and where there is no threshold to be found."""

import numpy as np
import pytest
from film.edge_bench import EdgeBench
from film.threshold import excess, fit_threshold, law

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

FLUENCE = np.repeat(np.geomspace(12.0, 130.0, 26), 30)


def shots(threshold: float, slope: float = 1e5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Measured fluence and signal, with 1.5 % of pulse noise, 0.1 % of the meter's and 60 counts of the detector's."""
    rng = np.random.default_rng(seed)
    fluence = FLUENCE * (1 + 0.015 * rng.standard_normal(len(FLUENCE)))
    signal = law(fluence, threshold, slope, np.log(1e-3), 20.0) + 60 * rng.standard_normal(len(FLUENCE))
    return fluence * (1 + 0.001 * rng.standard_normal(len(FLUENCE))), signal


@pytest.mark.parametrize("threshold", [25.0, 32.0, 50.0, 68.0, 90.0])
def test_its_own_law_is_recovered_within_its_error(threshold: float) -> None:
    found = fit_threshold(*shots(threshold))
    assert found.value == pytest.approx(threshold, rel=0.005)
    assert abs(found.value - threshold) < 4 * found.statistical
    assert 0.008 * threshold <= found.error < 0.012 * threshold


def test_statistical_error_is_the_scatter() -> None:
    found = [fit_threshold(*shots(50.0, seed=seed)) for seed in range(40)]
    scatter = np.std([one.value for one in found], ddof=1)
    assert 0.6 * scatter < np.median([one.statistical for one in found]) < 2.5 * scatter


@pytest.mark.parametrize(("threshold", "slope"), [(11.0, 1e5), (12.5, 1e5), (128.0, 1e5), (200.0, 1e5), (50.0, 5.0)])
def test_no_threshold_in_range_is_said(threshold: float, slope: float) -> None:
    found = fit_threshold(*shots(threshold, slope))
    assert found.reason
    assert np.isnan(found.value)


def test_excess_is_light_beyond_the_scaled_band() -> None:
    wavelength = np.arange(480.0, 570.0, 0.5)
    band = np.exp(-(((wavelength - 520) / 12) ** 2))
    line = 3.0 * (np.abs(wavelength - 535) < 1.25)
    light = np.array([band, 2 * band, 0.4 * band + line])
    assert excess(wavelength, light, np.array([True, False, False])) == pytest.approx([0, 0, 15.0], abs=1e-9)


@pytest.mark.parametrize("number", range(5))
def test_other_films_have_their_own_thresholds(number: int) -> None:
    """Within 3 %: the law is not the film's own, which costs about 1 %."""
    film = FilmParameters.sampled(f"NC-{number:03d}")
    for voltage_v, sweep in EdgeBench(film, number).sweep((0.0, 20.0)).items():
        assert sweep.threshold.value == pytest.approx(Film(film).native_threshold(voltage_v), rel=0.03)
