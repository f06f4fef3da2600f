"""Which fluence tells most of a threshold: on curves of the law itself, where the variance is known."""

import math

import numpy as np
import pytest

from rig.analysis.light_curve import LightCurve
from rig.analysis.next_fluence import APART, Design, as_narrow, expected, most_telling, needed, rough_law
from rig.analysis.rate_law import RateLaw
from rig.analysis.threshold import COARSE_GAP, CUT_BELOW, FITTED_TO, find_threshold

LAW = RateLaw(50.0, 1e5, math.log(1e-3), 0.0)
SWEEP = np.geomspace(12.0, 130.0, 26)
GRID = np.geomspace(12.0, 130.0, 201)


def curve_of(fluence: np.ndarray, law: RateLaw = LAW, seed: int | None = 1, fluence_error: float = 0.005) -> LightCurve:
    """Points of the law with 0.5 % of scatter in the fluence and 100 counts in the light; none without a seed."""
    error = np.hypot(100.0, 0.003 * law.gradient(fluence))
    noise = np.zeros((2, len(fluence))) if seed is None else np.random.default_rng(seed).standard_normal((2, len(fluence)))
    signal = law.at(fluence * (1 + fluence_error * noise[0])) + error * noise[1]
    return LightCurve(fluence, signal, error, fluence_error, "set-point means")


def design(fluence: np.ndarray) -> Design:
    return Design(fluence, np.hypot(100.0, 0.003 * LAW.gradient(fluence)), 0.005)


def test_the_expected_interval_is_the_one_that_the_estimator_gives() -> None:
    found = [find_threshold(curve_of(SWEEP, seed=seed)) for seed in range(20)]
    reduced = float(np.median([one.reduced_chi2 or 0.0 for one in found]))
    given = np.median([one.statistical.half_width / one.statistical.value for one in found])  # type: ignore[operator]
    assert design(SWEEP).half_width(LAW, reduced) == pytest.approx(given, rel=0.15)


def test_twice_the_points_are_narrower_and_four_are_none() -> None:
    twice = design(np.geomspace(12.0, 130.0, 51)).half_width(LAW)
    assert 0.6 < twice / design(SWEEP).half_width(LAW) < 0.8
    assert design(SWEEP[:4]).half_width(LAW) == math.inf


def test_the_point_chosen_narrows_the_interval_more_than_any_far_from_it() -> None:
    so_far = np.array([12.0, 13.2, 14.5, 16.0, 22.0, 30.0, 40.0, 54.0, 73.0, 85.0])
    chosen = float(GRID[most_telling(LAW, design(so_far), design(GRID))])
    narrowed = {f: design(np.sort(np.r_[so_far, f])).half_width(LAW) for f in (chosen, 12.5, 25.0, 88.0, 110.0)}
    assert min(narrowed, key=narrowed.__getitem__) == chosen
    assert 0.8 * LAW.threshold < chosen < 1.5 * LAW.threshold


def test_no_point_is_chosen_beside_another_while_others_are_free() -> None:
    so_far = np.array([12.0, 13.2, 14.5, 16.0, 22.0, 30.0, 40.0, 54.0, 73.0])
    for _ in range(10):
        chosen = float(GRID[most_telling(LAW, design(so_far), design(GRID))])
        assert np.abs(np.log(chosen / so_far)).min() >= APART
        assert chosen < FITTED_TO * LAW.threshold
        so_far = np.sort(np.r_[so_far, chosen])


def test_points_are_needed_until_the_estimator_has_its_least_error() -> None:
    so_far = np.array([12.0, 13.2, 14.5, 16.0, 21.6, 29.2, 39.4, 53.2, 71.8])
    taken = 0
    while (zone := needed(so_far, LAW.threshold, 130.0)) is not None:
        taken += 1
        assert zone[0] < zone[1]
        so_far = np.sort(np.r_[so_far, math.sqrt(zone[0] * zone[1])])
    beside = so_far[(so_far > LAW.threshold / CUT_BELOW) & (so_far < LAW.threshold * CUT_BELOW)]
    assert taken <= 8
    assert so_far[-1] >= CUT_BELOW * LAW.threshold
    assert np.diff(np.log(beside)).max() <= COARSE_GAP
    assert min((so_far < LAW.threshold).sum(), (so_far > LAW.threshold).sum()) >= 4


def test_nothing_stronger_is_asked_for_than_there_may_be() -> None:
    so_far = np.array([12.0, 13.2, 14.5, 16.0, 21.6, 29.2, 39.4])
    for _ in range(12):
        zone = needed(so_far, LAW.threshold, 60.0)
        if zone is None:
            break
        assert zone[1] <= 60.0
        so_far = np.sort(np.r_[so_far, math.sqrt(zone[0] * zone[1])])
    assert so_far[-1] > 58.0


@pytest.mark.parametrize("threshold", [30.0, 50.0, 75.0])
def test_a_rough_law_is_near_with_few_points(threshold: float) -> None:
    law = RateLaw(threshold, 1e5, math.log(1e-3), 0.0)
    few = np.r_[SWEEP[:4], np.geomspace(21.0, 128.0, 7)]
    rough = rough_law(curve_of(few, law))
    assert rough is not None
    assert rough.threshold == pytest.approx(threshold, rel=0.08)


def test_a_light_that_does_not_rise_has_no_law() -> None:
    flat = curve_of(SWEEP, RateLaw(400.0, 1e5, math.log(1e-6), 0.0))
    assert rough_law(flat) is None
    assert rough_law(curve_of(SWEEP[:4])) is None


def test_a_threshold_is_as_narrow_as_its_own_points_and_not_as_twice_as_many() -> None:
    found = find_threshold(curve_of(SWEEP))
    twice = np.geomspace(12.0, 130.0, 80)
    assert as_narrow(found, expected(curve_of(SWEEP), SWEEP[::2]))
    assert not as_narrow(found, expected(curve_of(SWEEP), twice, 10.0))
    assert not as_narrow(find_threshold(curve_of(SWEEP[:9])), expected(curve_of(SWEEP), SWEEP[::2]))


def test_points_of_more_shots_have_smaller_errors() -> None:
    curve = curve_of(SWEEP)
    four = expected(curve, SWEEP, shots_ratio=4.0, points=3)
    assert len(four.fluence_uj_cm2) == 78
    assert np.allclose(four.error[::3], curve.error / 2)
