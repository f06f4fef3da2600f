"""Values with 95 % intervals that hold for drifting, autocorrelated shots: batch means and Student's t.

Samples come in time order and are cut into (by default 20) consecutive batches; what is slower than a batch shows up as
scatter between batches. Drift slower than the whole run does not, in any interval.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

Floats = NDArray[np.float64]

BATCHES = 20


@dataclass(frozen=True, slots=True)
class Value:
    """A number, its 95 % interval and its unit ("" for a pure number); None where it does not exist, never NaN."""

    value: float | None
    ci95: tuple[float, float] | None
    unit: str

    @property
    def half_width(self) -> float | None:
        """Get half the width of the interval, None without one."""
        return None if self.ci95 is None else 0.5 * (self.ci95[1] - self.ci95[0])

    def as_json(self) -> dict[str, Any]:
        """Return {"value", "ci95": [lo, hi], "unit"}; what is absent is null, and so is what is not finite."""
        if self.value is None or not math.isfinite(self.value):
            return {"value": None, "ci95": None, "unit": self.unit}
        ends = self.ci95 or ()
        ci95 = [float(end) for end in ends] if ends and all(map(math.isfinite, ends)) else None
        return {"value": float(self.value), "ci95": ci95, "unit": self.unit}


def value_between(value: float | None, lo: float, hi: float, unit: str) -> Value:
    """Value with an interval; whatever is not finite becomes None."""
    if value is None or not math.isfinite(value):
        return Value(None, None, unit)
    return Value(float(value), (float(lo), float(hi)) if math.isfinite(lo) and math.isfinite(hi) else None, unit)


def value_with_error(value: float | None, standard_error: float, freedom: int, unit: str) -> Value:
    """Value +- t x standard error, t for `freedom` degrees of freedom; no interval for none."""
    if value is None:
        return Value(None, None, unit)
    half = student_t(0.975, freedom) * standard_error
    return value_between(value, value - half, value + half, unit)


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t; infinite without degrees of freedom."""
    return float(stdtrit(freedom, probability)) if freedom >= 1 else math.inf


def batch_means(samples: Floats, batches: int = BATCHES) -> Floats:
    """Means of consecutive batches of `samples` (n,), float64 (min(batches, n),)."""
    count = min(batches, len(samples))
    return np.array([part.mean() for part in np.array_split(samples, count)] if count else [], np.float64)


def mean_of(samples: Floats, unit: str, batches: int = BATCHES) -> Value:
    """Mean of `samples` (n,) with the interval from its batch means."""
    means = batch_means(samples, batches)
    if len(means) < 2:
        return Value(float(samples.mean()) if len(samples) else None, None, unit)
    return value_with_error(float(samples.mean()), _standard_error(means), len(means) - 1, unit)


def ratio_of_means(numerator: Floats, denominator: Floats, unit: str = "", batches: int = BATCHES) -> Value:
    """Mean of `numerator` (n,) over mean of `denominator` (m,), each in time order.

    Batch i of one is paired with batch i of the other, so that drift common to both cancels (linearised ratio, as in a
    survey's ratio estimator). None when the denominator is not above zero by its own interval.
    """
    count = min(batches, len(numerator), len(denominator))
    if count == 0:
        return Value(None, None, unit)
    below = denominator.mean()
    over, under = batch_means(numerator, count), batch_means(denominator, count)
    uncertainty = student_t(0.975, count - 1) * _standard_error(under) if count > 1 else 0.0
    if not below > uncertainty:
        return Value(None, None, unit)
    ratio = float(numerator.mean() / below)
    if count < 2:
        return Value(ratio, None, unit)
    return value_with_error(ratio, _standard_error(over - ratio * under) / float(below), count - 1, unit)


def correlation_of(x: Floats, y: Floats, batches: int = BATCHES) -> Value:
    """Pearson correlation of `x` and `y` (n,); interval from leaving out one batch at a time, on Fisher's z scale.

    None when either does not vary or there are fewer than 3 pairs.
    """
    if len(x) < 3 or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return Value(None, None, "")
    x, y = x - x.mean(), y - y.mean()
    starts = (np.arange(min(batches, len(x))) * len(x)) // min(batches, len(x))
    moments = np.add.reduceat(np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]), starts, axis=1)
    total = moments.sum(axis=1, keepdims=True)
    whole = float(_fisher_z(total)[0])
    value = float(np.tanh(whole))
    if len(starts) < 3:
        return Value(value, None, "")
    without_one = _fisher_z(total - moments)
    count = len(without_one)
    error = float(np.sqrt((count - 1) / count * np.sum((without_one - without_one.mean()) ** 2)))
    half = student_t(0.975, count - 1) * error
    return value_between(value, math.tanh(whole - half), math.tanh(whole + half), "")


def _fisher_z(moments: Floats) -> Floats:
    n, sx, sy, sxx, syy, sxy = moments
    scale = np.sqrt(np.maximum((sxx - sx * sx / n) * (syy - sy * sy / n), np.finfo(np.float64).tiny))
    return np.arctanh(np.clip((sxy - sx * sy / n) / scale, -1 + 1e-12, 1 - 1e-12))


def fraction_of(hits: int, trials: int) -> Value:
    """Fraction hits / trials with the exact binomial (Clopper-Pearson) interval; None without trials."""
    if trials == 0:
        return Value(None, None, "")
    lo = float(betaincinv(hits, trials - hits + 1, 0.025)) if hits else 0.0
    hi = float(betaincinv(hits + 1, trials - hits, 0.975)) if hits < trials else 1.0
    return value_between(hits / trials, lo, hi, "")


def _standard_error(means: Floats) -> float:
    return float(np.std(means, ddof=1)) / math.sqrt(len(means))
