"""When "does not depend on the voltage" is a result and not a lack of data: two one-sided tests against a margin (claim C62).

A difference that is not significant proves nothing: few or noisy data give the same. Here "insensitive" is said only when the
90 % interval of the change lies inside +-margin, which is where both one-sided tests reject at 5 %; "changed" only when the
95 % interval lies wholly outside; everything between is undecided. Margins are set before the data are seen. Source: D. J.
Schuirmann, J. Pharmacokinet. Biopharm. 15, 657 (1987), abstract.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from rig.analysis.statistics import Value, student_t, value_with_error

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Judgement = Literal["insensitive", "changed", "undecided"]

MIN_SAMPLES = 5
SHARED_REFERENCE = 1.0 / 6.0  # correlation of neighbouring brackets that share one reference, all levels equally noisy


@dataclass(frozen=True, slots=True)
class Equivalence:
    """A change judged against +-margin, both in the change's unit.

    change     with its 95 % interval
    ci90       the interval that is held against the margin; None where there is none
    p_value    larger of the two one-sided tests' chances of such data if the true change were at the margin
    judgement  insensitive, changed or undecided
    reason     in words, with numbers
    """

    change: Value
    ci90: tuple[float, float] | None
    margin: float
    p_value: float | None
    judgement: Judgement
    reason: str


def equivalence_of(changes: Floats, margin: float, unit: str = "") -> Equivalence:
    """Judge independent measurements of one change (n,), n >= 5; not finite ones make it undecided.

    Raises
    ------
    ValueError  a margin that is no positive number
    """
    _check_margin(margin)
    reason = _refusal(changes)
    if reason:
        return _nothing(margin, unit, reason)
    return _judged(float(changes.mean()), _standard_error(changes), len(changes) - 1, margin, unit)


def equivalence_of_brackets(levels: Floats, biased: Mask, margin: float) -> Equivalence:
    """Judge the relative change under bias of levels measured in turn, unbiased - biased - unbiased - ... - unbiased.

    Every biased level (odd places of `levels` (2 n + 1,)) is held against the mean of its two neighbours, so that drift along a
    straight line cancels. Neighbouring brackets share a reference; the interval is widened for their correlation of 1/6.

    Raises
    ------
    ValueError  levels that do not alternate, or a margin that is no positive number
    """
    _check_margin(margin)
    if levels.shape != biased.shape or len(levels) % 2 == 0 or not (biased == (np.arange(len(levels)) % 2 == 1)).all():
        raise ValueError("levels must alternate unbiased, biased, ..., unbiased")
    reference = 0.5 * (levels[:-1:2] + levels[2::2])
    if not (np.isfinite(levels).all() and (reference > 0).all()):
        return _nothing(margin, "", "a level is not finite, or there is no light without bias")
    changes = levels[1::2] / reference - 1.0
    reason = _refusal(changes)
    if reason:
        return _nothing(margin, "", reason)
    count = len(changes)
    # the scatter misses the common part too: its expectation is (1 - rho 2/n) of the variance
    inflation = (1 + 2 * SHARED_REFERENCE * (count - 1) / count) / (1 - 2 * SHARED_REFERENCE / count)
    return _judged(float(changes.mean()), math.sqrt(inflation) * _standard_error(changes), count - 1, margin, "")


def equivalence_of_slope(voltage_v: Floats, values: Floats, full_v: float, margin: float) -> Equivalence:
    """Judge the relative change from 0 to `full_v` (V) along a straight line through `values` (n,) at `voltage_v` (n,).

    Voltages in random order, at least 5 points at 3 different ones. An effect that is even in V shows only when all are >= 0.
    The error of the linearised ratio slope x full_v / intercept.

    Raises
    ------
    ValueError  shapes that differ, or a margin or full voltage that is no such number
    """
    _check_margin(margin)
    if voltage_v.shape != values.shape or not (math.isfinite(full_v) and full_v != 0):
        raise ValueError("voltages and values differ in shape, or the full voltage is 0 or not finite")
    reason = _refusal(values)
    if not reason and (not np.isfinite(voltage_v).all() or len(np.unique(voltage_v)) < 3):
        reason = "at least 3 different voltages are needed"
    if reason:
        return _nothing(margin, "", reason)
    design = np.column_stack([np.ones_like(voltage_v), voltage_v / full_v])
    (start, step), *_ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(values) - 2
    variance = float(np.sum((design @ np.array([start, step]) - values) ** 2)) / freedom
    covariance = np.linalg.inv(design.T @ design) * variance
    if not start > student_t(0.975, freedom) * math.sqrt(covariance[0, 0]):
        return _nothing(margin, "", "no light at 0 V to relate the change to")
    change = float(step / start)
    gradient = np.array([-change, 1.0]) / start
    return _judged(change, math.sqrt(float(gradient @ covariance @ gradient)), freedom, margin, "")


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Whether a quantity stays below a limit: `below` None where the data do not say. `upper` is its one-sided 95 % bound."""

    value: Value
    upper: float | None
    limit: float
    below: bool | None
    reason: str


def stays_below(samples: Floats, limit: float, unit: str = "") -> Ceiling:
    """Judge the mean of independent samples (n,), n >= 5, by its one-sided 95 % bounds.

    Raises
    ------
    ValueError  a limit that is not finite
    """
    if not math.isfinite(limit):
        raise ValueError(f"the limit {limit} is not finite")
    reason = _refusal(samples)
    if reason:
        return Ceiling(Value(None, None, unit), None, limit, None, reason)
    mean, error, freedom = float(samples.mean()), _standard_error(samples), len(samples) - 1
    half = student_t(0.95, freedom) * error
    below = True if mean + half < limit else False if mean - half > limit else None
    word = {True: "below", False: "above", None: "not told apart from"}[below]
    text = f"{mean:.3g} (one-sided 95 %: {mean - half:.3g} to {mean + half:.3g}) is {word} {limit:.3g}"
    return Ceiling(value_with_error(mean, error, freedom, unit), mean + half, limit, below, text)


def _check_margin(margin: float) -> None:
    if not 0 < margin < math.inf:
        raise ValueError(f"a margin must be a positive number, not {margin}")


def _refusal(samples: Floats) -> str:
    if len(samples) < MIN_SAMPLES:
        return f"{len(samples)} samples, at least {MIN_SAMPLES} are needed"
    if not np.isfinite(samples).all():
        return "a sample is not finite"
    return "the samples are all the same: copies, not measurements" if np.ptp(samples) == 0 else ""


def _standard_error(samples: Floats) -> float:
    return float(samples.std(ddof=1)) / math.sqrt(len(samples))


def _nothing(margin: float, unit: str, reason: str) -> Equivalence:
    return Equivalence(Value(None, None, unit), None, margin, None, "undecided", reason)


def _judged(change: float, error: float, freedom: int, margin: float, unit: str) -> Equivalence:
    value = value_with_error(change, error, freedom, unit)
    half = student_t(0.95, freedom) * error
    ci90 = (change - half, change + half)
    if value.value is None or value.ci95 is None or not error > 0:
        return _nothing(margin, unit, "no interval")
    p_value = float(stdtr(freedom, (abs(change) - margin) / error))
    if -margin < ci90[0] and ci90[1] < margin:
        return Equivalence(value, ci90, margin, p_value, "insensitive", f"90 % interval inside ±{margin:.3g}")
    if value.ci95[0] > margin or value.ci95[1] < -margin:
        return Equivalence(value, ci90, margin, p_value, "changed", f"95 % interval outside ±{margin:.3g}")
    text = f"the change ({ci90[0]:.3g} to {ci90[1]:.3g}, 90 %) is not told apart from the margin ±{margin:.3g}"
    return Equivalence(value, ci90, margin, p_value, "undecided", text)
