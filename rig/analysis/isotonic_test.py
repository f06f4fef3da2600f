"""Whether independent values fall along their order, stay, or do neither: order-restricted likelihood ratios.

The weighted non-increasing fit is that of pooled adjacent violators. Against "all equal" its gain in chi squared is the
statistic of a fall (E-bar squared with known errors, chi-bar-square distributed), what it leaves over that of a departure
from falling. Both distributions are drawn under "all equal", which is least favourable for the second (then its p value is an
upper bound). Source: Robertson, Wright, Dykstra, "Order Restricted Statistical Inference", 1988, chapter 2 (from memory,
unverified).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Verdict = Literal["falls", "rises", "constant", "not monotone", "undecided"]

DRAWS = 4000
LEVEL = 0.05
SEED = 20211


@dataclass(frozen=True, slots=True, eq=False)
class IsotonicTest:
    """Outcome for values in order.

    fitted       the weighted non-increasing fit, (n,)
    p_fall       probability of such a fall when all are equal
    p_rise       the same of a rise
    p_not_falling  upper bound of the probability of such a departure when none rises
    verdict      "falls" or "rises": p below 2.5 % for that direction and no departure from it; "constant": neither direction;
                 "not monotone": a significant departure from both; "undecided": too few values
    """

    fitted: Floats
    p_fall: float | None
    p_rise: float | None
    p_not_falling: float | None
    verdict: Verdict


def falling_fit(values: Floats, weights: Floats) -> Floats:
    """Least-squares fit of `values` (n,) that never rises, by pooling adjacent violators; `weights` (n,) above zero."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, count = value, weight, 1
        while pools and pools[-1][0] < mean:
            before, heavy, many = pools.pop()
            mean, total, count = (before * heavy + mean * total) / (heavy + total), heavy + total, many + count
        pools.append((mean, total, count))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])


def isotonic_test(values: Floats, sigma: Floats) -> IsotonicTest:
    """Test `values` (n,) with known independent 1-sigma errors `sigma` (n,), in the order in which they should fall.

    The draws are seeded: the same values give the same answer.

    Raises
    ------
    ValueError  lengths differ, something is not finite, or an error is not above zero
    """
    if values.shape != sigma.shape or not (np.isfinite(values).all() and np.isfinite(sigma).all() and (sigma > 0).all()):
        raise ValueError("an isotonic test takes finite values, each with an error above zero")
    if len(values) < 2:
        return IsotonicTest(values.copy(), None, None, None, "undecided")
    weights = sigma**-2.0
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, len(values))) * sigma
    fall, left = _statistics(values, weights)
    rise, left_rising = _statistics(-values, weights)
    null = np.array([_statistics(one, weights) for one in drawn])
    p_fall, p_rise = (_share(null[:, 0], one) for one in (fall, rise))
    p_not_falling, p_not_rising = (_share(null[:, 1], one) for one in (left, left_rising))
    verdict: Verdict = "constant"
    if max(p_not_falling, p_not_rising) < LEVEL:
        verdict = "not monotone"
    elif p_fall < LEVEL / 2 and p_not_falling >= LEVEL:
        verdict = "falls"
    elif p_rise < LEVEL / 2 and p_not_rising >= LEVEL:
        verdict = "rises"
    return IsotonicTest(falling_fit(values, weights), p_fall, p_rise, p_not_falling, verdict)


def _statistics(values: Floats, weights: Floats) -> tuple[float, float]:
    """Chi squared that a falling fit gains over a constant, and what it leaves."""
    fitted = falling_fit(values, weights)
    mean = float(values @ weights / weights.sum())
    return float(weights @ (fitted - mean) ** 2), float(weights @ (values - fitted) ** 2)


def _share(null: Floats, found: float) -> float:
    """P value from draws; never zero."""
    return float((1 + np.count_nonzero(null >= found * (1 - 1e-12))) / (1 + len(null)))
