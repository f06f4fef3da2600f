"""One exponential towards an end value, with intervals: how light or current goes on moving long after a step (rule of C59)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from rig.analysis.statistics import Value, batch_means, student_t, value_between, value_with_error

Floats = NDArray[np.float64]

BATCHES = 60
LEAST_BATCHES = 20
SLOWEST_HOLDS = 0.5  # a time constant above half of the time watched has not been seen to end
FASTEST_BATCHES = 2.0  # faster, and the mean of a batch is not the law at its middle
STARTS = 25
SIGNIFICANT = 4.0  # standard errors


@dataclass(frozen=True, slots=True)
class Relaxation:
    """y = end + amplitude exp(-t / tau), t from the step. `reason` says why values are absent.

    tau_s         time constant
    amplitude     what is still to go at the step, extrapolated; signed
    end           value long after
    change        mean of the last tenth of the time watched minus that of the first tenth: needs no law
    """

    tau_s: Value
    amplitude: Value
    end: Value
    change: Value
    reason: str = ""


def relax(t_s: Floats, y: Floats, unit: str) -> Relaxation:
    """Fit what is watched from some time after a step on.

    Parameters
    ----------
    t_s   time since the step (s, (n,)), ascending, >= 0
    y     light, current, ... (n,), in `unit`

    Means of 60 consecutive batches are fitted; the interval is that of the linearised fit (of ln tau for the time constant),
    widened by chi^2 where the law does not hold. Refused: fewer than 20 samples, anything not finite, an amplitude below 4
    standard errors, a time constant above half of the time watched or below two batches.
    """
    reason = _refusal(t_s, y)
    if reason:
        return _absent(unit, reason)
    t, means = batch_means(t_s, BATCHES), batch_means(y, BATCHES)
    change = _change(means, unit)
    found, columns = _fit(t, means)
    log_tau, end, amplitude = found
    freedom = len(t) - 3
    left = means - columns[:, 1:] @ np.array([end, amplitude])
    covariance = np.linalg.pinv(columns.T @ columns) * float(left @ left) / freedom
    tau_error, end_error, amplitude_error = (float(e) for e in np.sqrt(np.maximum(np.diag(covariance), 0.0)))
    tau_s, watched_s = math.exp(log_tau), float(t_s[-1] - t_s[0])
    refusals = (
        (not abs(amplitude) > SIGNIFICANT * amplitude_error, "nothing slow above the noise"),
        (tau_s > SLOWEST_HOLDS * watched_s, f"{watched_s:.3g} s are too short to see it end"),
        (tau_s < FASTEST_BATCHES * watched_s / len(t), "it is over within the first two batches: look earlier"),
    )
    for refused, text in refusals:
        if refused:
            return Relaxation(Value(None, None, "s"), Value(None, None, unit), Value(None, None, unit), change, text)
    half = student_t(0.975, freedom) * tau_error
    return Relaxation(
        value_between(tau_s, tau_s * math.exp(-half), tau_s * math.exp(half), "s"),
        value_with_error(amplitude, amplitude_error, freedom, unit),
        value_with_error(end, end_error, freedom, unit),
        change,
    )


def _refusal(t_s: Floats, y: Floats) -> str:
    if t_s.shape != y.shape or t_s.ndim != 1:
        return f"times {t_s.shape} and values {y.shape} do not belong together"
    if len(y) < LEAST_BATCHES:
        return f"{len(y)} samples, at least {LEAST_BATCHES} are needed"
    if not (np.isfinite(t_s).all() and np.isfinite(y).all()):
        return "a time or a value is not finite"
    if not (t_s[0] >= 0 and (np.diff(t_s) > 0).all()):
        return "times must ascend from the step on"
    return ""


def _absent(unit: str, reason: str) -> Relaxation:
    none = Value(None, None, unit)
    return Relaxation(Value(None, None, "s"), none, none, none, reason)


def _change(means: Floats, unit: str) -> Value:
    tenth = max(2, len(means) // 10)
    first, last = means[:tenth], means[-tenth:]
    error = math.sqrt((float(np.var(first, ddof=1)) + float(np.var(last, ddof=1))) / tenth)
    return value_with_error(float(last.mean() - first.mean()), error, 2 * tenth - 2, unit)


def _columns(t: Floats, log_tau: float) -> Floats:
    return np.column_stack([np.ones_like(t), np.exp(-t * math.exp(-log_tau))])


def _fit(t: Floats, y: Floats) -> tuple[tuple[float, float, float], Floats]:
    """(ln tau, end, amplitude) and the Jacobian with columns in this order; the linear part is projected out."""

    def miss(log_tau: Floats) -> Floats:
        columns = _columns(t, float(log_tau[0]))
        return columns @ np.linalg.lstsq(columns, y, rcond=None)[0] - y

    span = float(t[-1] - t[0])
    grid = np.linspace(math.log(span / len(t) / 3), math.log(3 * span), STARTS)
    start = min(grid, key=lambda x: float(np.sum(miss(np.array([x])) ** 2)))
    best = float(least_squares(miss, [start], bounds=(grid[0] - 0.1, grid[-1] + 0.1)).x[0])
    columns = _columns(t, best)
    end, amplitude = np.linalg.lstsq(columns, y, rcond=None)[0]
    slope = amplitude * columns[:, 1] * t * math.exp(-best)
    return (best, float(end), float(amplitude)), np.column_stack([slope, columns])
