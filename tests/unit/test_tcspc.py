"""Photon counting, judged against photons thrown one by one and against plain numerical convolution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sim_instruments.tcspc import PhotonCounter

TWO_PS = np.array([290.0, 5000.0])
SCATTER_PS = np.array([0.1])


def counter(
    seed: int = 1, bins: int = 6400, bin_ps: float = 4.0, first_ps: float = -600.0, background: float = 0.0
) -> PhotonCounter:
    return PhotonCounter(
        seed, counts_per_photon=1.0, bin_ps=bin_ps, bins=bins, first_ps=first_ps, background_per_bin=background
    )


def test_a_decay_is_convolved_with_the_response() -> None:
    photons = np.array([4e-4, 6e-4])
    counts = counter().expected(photons, TWO_PS, 1_000_000)
    step_ps = 0.5
    t_ps = np.arange(-600.0, 25_000.0, step_ps) + step_ps / 2
    ideal = np.where(t_ps > 0, (photons[:, None] / TWO_PS[:, None] * np.exp(-t_ps / TWO_PS[:, None])).sum(axis=0), 0.0)
    away = np.arange(-400, 401) * step_ps
    response = np.exp(-4 * np.log(2) * (away / 60.0) ** 2)
    numeric = np.convolve(ideal, response / response.sum(), "same").reshape(-1, 8).sum(axis=1) * step_ps * 1e6
    assert_allclose(counts, numeric, rtol=1e-3, atol=2e-3)


def test_scattered_light_shows_the_response_of_60_ps() -> None:
    chain = counter()
    peak = chain.expected(np.array([0.01]), SCATTER_PS, 10_000)
    centre = (chain.edges_ps[1:] + chain.edges_ps[:-1]) / 2
    assert (peak * centre).sum() / peak.sum() == pytest.approx(0.1, abs=0.2)
    fine = np.arange(-100, 100, 0.1)
    above = fine[np.interp(fine, centre, peak) > peak.max() / 2]
    assert above[-1] - above[0] == pytest.approx(60.0, abs=0.5)


@pytest.mark.parametrize("per_shot", [0.05, 0.5, 3.0])
def test_only_the_first_photon_of_a_shot_is_recorded(per_shot: float) -> None:
    """Against 200 000 shots with every photon thrown by itself; a chi-squared over bins of 500 ps."""
    shots, rng = 200_000, np.random.default_rng(4)
    number = rng.poisson(per_shot, shots)
    arrival = rng.exponential(3000.0, number.sum()) + rng.normal(0.0, 60.0 / np.sqrt(8 * np.log(2)), number.sum())
    first = np.full(shots, np.inf)
    np.minimum.at(first, np.repeat(np.arange(shots), number), arrival)
    chain = counter(bin_ps=500.0, bins=50, first_ps=-500.0)
    thrown = np.histogram(first, chain.edges_ps)[0]
    expected = chain.expected(np.array([per_shot]), np.array([3000.0]), shots)
    seen = expected > 5
    chi_squared = ((thrown - expected) ** 2 / expected)[seen].sum()
    assert chi_squared == pytest.approx(seen.sum(), abs=4 * np.sqrt(2 * seen.sum()))
    assert abs(thrown.sum() - expected.sum()) < 4 * np.sqrt(shots * 0.25)


def test_pile_up_is_a_matter_of_2_and_a_half_percent_at_5_percent_per_shot() -> None:
    weak, usual, strong = (
        counter().expected(np.array([per_shot]), np.array([2000.0]), 1) / per_shot for per_shot in (1e-4, 0.05, 0.5)
    )
    assert usual.sum() / weak.sum() == pytest.approx(0.975, abs=1e-3)
    assert strong.sum() / weak.sum() == pytest.approx((1 - np.exp(-0.5)) / 0.5, rel=1e-3)
    assert strong[-2000:].sum() / weak[-2000:].sum() < 0.62  # late photons are lost most: e^-0.5


def test_counts_scatter_as_poisson_s_law_demands() -> None:
    chain = counter(2, bins=500, background=2.0)
    photons, lifetime = np.tile([0.02], (2000, 1)), np.tile([400.0], (2000, 1))
    every = chain.count(photons, lifetime, 1_000_000).astype(float)
    mean = chain.expected(photons[0], lifetime[0], 1_000_000)
    bright = mean > 20
    assert (every.var(axis=0) / mean)[bright].mean() == pytest.approx(1.0, abs=0.01)
    assert (every.mean(axis=0) / mean)[bright].mean() == pytest.approx(1.0, abs=0.002)
    neighbours = np.corrcoef(every[:, 160], every[:, 161])[0, 1]
    assert abs(neighbours) < 0.09


def test_background_of_two_counts_a_bin_whatever_the_number_of_shots() -> None:
    for shots in (1_000_000, 100_000_000):
        counts = counter(3, background=2.0).count(np.zeros(1), np.ones(1), shots)
        assert counts.mean() == pytest.approx(2.0, abs=4 * np.sqrt(2 / 6400) + 2 * 6400 / shots)
        assert counts.var() / counts.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 6400))


def test_photons_after_the_last_bin_are_not_counted() -> None:
    chain = counter(bins=1000)  # until 3400 ps
    assert chain.expected(np.array([1e-3]), np.array([3400.0]), 1).sum() / 1e-3 == pytest.approx(1 - np.exp(-1), rel=2e-3)


def test_histograms_of_several_states_are_those_of_each() -> None:
    photons = np.array([[1e-3, 0.0], [5e-4, 2e-3]])
    together = counter().expected(photons, np.tile(TWO_PS, (2, 1)), 1000)
    for row, alone in enumerate(photons):
        assert_allclose(together[row], counter().expected(alone, TWO_PS, 1000), rtol=1e-12)
    assert counter().count(photons, np.tile(TWO_PS, (2, 1)), 1000).shape == (2, 6400)


def test_seed_fixes_the_counts() -> None:
    photons = np.array([1e-2, 1e-2])
    one, same, other = (counter(seed).count(photons, TWO_PS, 100_000) for seed in (1, 1, 2))
    assert_array_equal(one, same)
    assert (one != other).any()


def test_what_cannot_be_counted_is_refused() -> None:
    for lifetime in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="lifetimes"):
            counter().expected(np.ones(1), np.array([lifetime]), 10)
    with pytest.raises(ValueError, match="0 shots"):
        counter().count(np.ones(1), np.ones(1), 0)
