import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rig.analysis.statistics import (
    Value,
    batch_means,
    correlation_of,
    fraction_of,
    mean_of,
    ratio_of_means,
    student_t,
    value_with_error,
)

Floats = NDArray[np.float64]


def drifting(rng: np.random.Generator, n: int, correlation: float) -> Floats:
    """Noise of unit variance whose neighbours are correlated (first-order autoregression)."""
    steps = rng.normal(size=n) * math.sqrt(1 - correlation**2)
    out = np.empty(n)
    out[0] = rng.normal()
    for i in range(1, n):
        out[i] = correlation * out[i - 1] + steps[i]
    return out


def covers(value: Value, truth: float) -> bool:
    assert value.ci95 is not None
    return value.ci95[0] <= truth <= value.ci95[1]


def test_batches_are_consecutive_and_nearly_equal():
    assert batch_means(np.arange(10.0), 5).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert batch_means(np.arange(3.0), 20).tolist() == [0.0, 1.0, 2.0]
    assert batch_means(np.zeros(0), 20).shape == (0,)


def test_students_t_has_its_textbook_values():
    assert student_t(0.975, 19) == pytest.approx(2.093, abs=5e-4)
    assert student_t(0.975, 1) == pytest.approx(12.706, abs=5e-4)
    assert student_t(0.975, 0) == math.inf


def test_the_interval_of_the_mean_holds_for_autocorrelated_shots():
    rng = np.random.default_rng(11)
    hits = sum(covers(mean_of(5.0 + drifting(rng, 1000, 0.7), "nm"), 5.0) for _ in range(150))
    # 95 % of 150 within binomial chance; the shot-by-shot formula would cover about 59 %
    assert 132 <= hits <= 150


def test_the_interval_of_a_ratio_covers_and_profits_from_common_drift():
    rng = np.random.default_rng(12)
    hits, halves = 0, []
    for _ in range(100):
        laser = 1 + 0.05 * np.repeat(rng.normal(size=20), 30)
        ratio = ratio_of_means(20 * laser * (1 + 0.02 * rng.normal(size=600)), 4 * laser * (1 + 0.02 * rng.normal(size=600)))
        hits += covers(ratio, 5.0)
        halves.append(ratio.half_width or math.nan)
    assert 87 <= hits <= 100
    assert np.mean(halves) < 0.02  # unpaired it would be about 0.16


def test_a_ratio_to_nothing_does_not_exist():
    rng = np.random.default_rng(13)
    noise = rng.normal(size=400)
    noise -= noise.mean()
    assert ratio_of_means(np.full(400, 3.0), noise) == Value(None, None, "")
    assert ratio_of_means(np.ones(5), np.zeros(0)).value is None
    assert ratio_of_means(np.ones(5), -np.ones(5)).value is None
    assert ratio_of_means(np.array([6.0]), np.array([2.0])) == Value(3.0, None, "")


@pytest.mark.parametrize("truth", [-0.95, -0.3, 0.0, 0.6])
def test_the_interval_of_a_correlation_covers(truth: float):
    rng = np.random.default_rng(14)
    hits = 0
    for _ in range(150):
        x = rng.normal(size=400)
        y = truth * x + math.sqrt(1 - truth**2) * rng.normal(size=400)
        value = correlation_of(x, y)
        assert value.value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
        hits += covers(value, truth)
    assert 132 <= hits <= 150


def test_a_correlation_of_constants_or_too_few_does_not_exist():
    x = np.arange(10.0)
    assert correlation_of(x, np.ones(10)).value is None
    assert correlation_of(x[:2], x[:2]).value is None
    perfect = correlation_of(x, -2 * x)
    assert perfect.value == pytest.approx(-1.0)
    assert perfect.ci95 is not None
    assert perfect.ci95[1] < -0.999999


def test_fractions_have_exact_intervals():
    assert fraction_of(0, 0) == Value(None, None, "")
    none, half, every = fraction_of(0, 10), fraction_of(5, 10), fraction_of(10, 10)
    assert none.ci95 == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert half.ci95 == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert every.ci95 == pytest.approx((0.6915, 1.0), abs=1e-4)


def test_what_is_not_finite_is_absent():
    assert value_with_error(math.nan, 1.0, 5, "nm") == Value(None, None, "nm")
    assert value_with_error(None, 1.0, 5, "nm") == Value(None, None, "nm")
    assert value_with_error(2.0, math.nan, 5, "nm") == Value(2.0, None, "nm")
    assert value_with_error(2.0, 1.0, 0, "nm") == Value(2.0, None, "nm")
    assert mean_of(np.zeros(0), "nm") == Value(None, None, "nm")
    assert mean_of(np.array([4.0]), "nm") == Value(4.0, None, "nm")
