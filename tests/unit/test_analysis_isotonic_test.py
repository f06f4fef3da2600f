"""The isotonic test: fits by hand, false alarms at their level, and the verdicts."""

import numpy as np
import pytest

from rig.analysis.isotonic_test import falling_fit, isotonic_test

ONES = np.ones(5)
FALLING = np.array([68.0, 59.0, 45.0, 36.0, 32.0])


def test_what_falls_is_fitted_by_itself() -> None:
    assert np.array_equal(falling_fit(FALLING, ONES), FALLING)


def test_violators_are_pooled_by_their_weights() -> None:
    assert np.allclose(falling_fit(np.array([5.0, 1.0, 4.0]), np.array([1.0, 1.0, 2.0])), [5.0, 3.0, 3.0])
    assert np.allclose(falling_fit(np.array([1.0, 2.0, 3.0]), ONES[:3]), [2.0, 2.0, 2.0])


def test_the_fit_is_the_best_of_all_that_never_rise() -> None:
    draw = np.random.default_rng(4)
    values, weights = draw.normal(size=6), draw.uniform(0.5, 2.0, 6)
    fitted = falling_fit(values, weights)
    assert (np.diff(fitted) <= 0).all()
    others = np.sort(fitted + draw.normal(scale=0.3, size=(2000, 6)), axis=1)[:, ::-1]
    assert (weights @ (values - fitted) ** 2 <= ((others - values) ** 2 @ weights) + 1e-12).all()


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (FALLING, "falls"),
        (FALLING[::-1], "rises"),
        (np.array([50.0, 50.4, 49.7, 50.1, 49.9]), "constant"),
        (np.array([50.0, 30.0, 60.0, 30.0, 50.0]), "not monotone"),
    ],
)
def test_the_verdict(values: np.ndarray, verdict: str) -> None:
    assert isotonic_test(values, ONES).verdict == verdict


def test_two_values_are_compared_as_a_one_sided_difference() -> None:
    found = isotonic_test(np.array([2.0, 0.0]), np.array([0.6, 0.8]))  # a difference of two sigma: 2.275 %
    assert found.p_fall == pytest.approx(0.02275, abs=0.008)
    assert found.p_rise == pytest.approx(1.0)


def test_one_value_decides_nothing() -> None:
    found = isotonic_test(np.array([1.0]), np.array([0.1]))
    assert (found.verdict, found.p_fall) == ("undecided", None)


def test_false_alarms_are_as_rare_as_said_also_with_unequal_errors() -> None:
    draw, sigma = np.random.default_rng(1), np.array([1.0, 2.0, 1.0, 0.5, 1.0])
    found = [isotonic_test(draw.normal(size=5) * sigma, sigma) for _ in range(60)]
    falls = sum(one.p_fall is not None and one.p_fall < 0.25 for one in found)
    assert 6 <= falls <= 24  # 15 of 60 are expected, 3.4 is one sigma
    assert sum(one.verdict != "constant" for one in found) <= 9


@pytest.mark.parametrize(("values", "sigma"), [([1.0, 2.0], [1.0]), ([1.0, np.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0, 0.0])])
def test_what_is_no_measurement_is_refused(values: list[float], sigma: list[float]) -> None:
    with pytest.raises(ValueError, match="error above zero"):
        isotonic_test(np.array(values), np.array(sigma))
