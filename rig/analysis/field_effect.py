"""From thresholds taken in turns with 0 V to what the voltage does: drift taken out, a test, and the reduction.

Each sweep is divided by the threshold at 0 V at its own time, interpolated linearly between the sweeps at 0 V before and after
it. Between those the film need not have drifted linearly: half of what they differ by beyond their errors is one more 1 sigma
(assumed). A sweep without one on either side is not compared. The errors are statistical; what the law of the threshold misses
(rig.analysis.threshold) enters the values and the reduction, at both voltages as if it were independent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtrc

from rig.analysis.isotonic_test import IsotonicTest, isotonic_test
from rig.analysis.statistics import Value
from rig.analysis.threshold import UNIT, Threshold

DRIFT_P = 0.05
Code = Literal["", "no-reference", "no-voltage", "highest-missing"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One sweep: voltage, time of its middle (s), threshold (which may be refused)."""

    voltage_v: float
    t_s: float
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class Level:
    """One voltage: mean threshold of its sweeps, and that over the one at 0 V at the same time; sweeps with a threshold, taken.

    value            as measured, with scatter between sweeps and the law's error in its interval
    relative, sigma  of 1 at 0 V, and its statistical 1 sigma; None when it was not between two sweeps at 0 V
    law_error        relative 1 sigma, of what the law of the threshold misses
    """

    voltage_v: float
    value: Value
    relative: float | None
    sigma: float | None
    law_error: float
    used: int
    taken: int


@dataclass(frozen=True, slots=True, eq=False)
class FieldEffect:
    """What the voltage does to the threshold.

    levels      from 0 V to the voltage farthest from it
    reduction   1 - threshold at the farthest voltage / threshold at 0 V
    test        of the relative thresholds in the order of the voltages, None without two of them
    drift       last threshold at 0 V over the first, minus 1, statistical interval
    drifted     whether the sweeps at 0 V differ beyond their errors, None for fewer than two
    code        why there is no reduction, "" when there is one
    """

    levels: tuple[Level, ...]
    reduction: Value
    test: IsotonicTest | None
    drift: Value
    drifted: bool | None
    code: Code


@dataclass(frozen=True, slots=True)
class _Point:
    t_s: float
    value: float
    sigma: float
    law: float


def field_effect(legs: Sequence[Leg], levels_v: Sequence[float]) -> FieldEffect:
    """Compare the sweeps `legs`, in any order, at the voltages `levels_v` (V), of which the first is 0 V.

    Never raises for what may come out of an experiment: what is missing has no value, and `code` says why.
    """
    points = {
        v: [_point(leg) for leg in legs if leg.voltage_v == v and leg.threshold.value.value is not None] for v in levels_v
    }
    taken = {v: sum(leg.voltage_v == v for leg in legs) for v in levels_v}
    zeros = sorted(points[levels_v[0]], key=lambda one: one.t_s)
    levels = tuple(_level(v, points[v], zeros, taken[v]) for v in levels_v)
    compared = [one for one in levels if one.relative is not None and one.sigma is not None]
    test = None
    if len(compared) >= 2:
        relative = np.array([one.relative for one in compared], np.float64)
        test = isotonic_test(relative, np.array([one.sigma for one in compared], np.float64))
    code: Code = ""
    if not zeros:
        code = "no-reference"
    elif len(compared) < 2:
        code = "no-voltage"
    elif levels[-1].relative is None:
        code = "highest-missing"
    drift, drifted = _drift(zeros)
    return FieldEffect(levels, _reduction(levels[0], levels[-1]), test, drift, drifted, code)


def _point(leg: Leg) -> _Point:
    found = leg.threshold
    value, whole, own = found.value.value, found.value.half_width, found.statistical.half_width
    if value is None or whole is None or own is None:
        raise ValueError("a threshold without an interval")
    law = math.sqrt(max(0.0, whole**2 - own**2)) / 1.96 / value
    return _Point(leg.t_s, value, own / 1.96, law)


def _mean(points: Sequence[_Point]) -> tuple[float, float, float]:
    """Weighted mean, its 1 sigma by the errors alone, and by the scatter as well."""
    weights = np.array([one.sigma**-2.0 for one in points])
    values = np.array([one.value for one in points])
    mean = float(values @ weights / weights.sum())
    sigma = float(weights.sum() ** -0.5)
    scatter = float(weights @ (values - mean) ** 2) / max(1, len(points) - 1)
    return mean, sigma, sigma * math.sqrt(max(1.0, scatter))


def _level(voltage_v: float, points: Sequence[_Point], zeros: Sequence[_Point], taken: int) -> Level:
    if not points:
        return Level(voltage_v, Value(None, None, UNIT), None, None, 0.0, 0, taken)
    mean, sigma, scattered = _mean(points)
    law = max(one.law for one in points)
    half = 1.96 * math.hypot(scattered, law * mean)
    value = Value(mean, (mean - half, mean + half), UNIT)
    relative: tuple[float, float] | None = (1.0, sigma / mean)
    if voltage_v != 0:
        ratios = [one for one in (_ratio(point, zeros) for point in points) if one is not None]
        weights = np.array([one[1] ** -2.0 for one in ratios])
        relative = None
        if ratios:
            relative = float(np.array([one[0] for one in ratios]) @ weights / weights.sum()), float(weights.sum() ** -0.5)
    return Level(voltage_v, value, *(relative or (None, None)), law, len(points), taken)


def _ratio(point: _Point, zeros: Sequence[_Point]) -> tuple[float, float] | None:
    """Threshold over that at 0 V at the same time, and its 1 sigma; the reference's own error is that of the level 0 V."""
    before = [one for one in zeros if one.t_s < point.t_s]
    after = [one for one in zeros if one.t_s > point.t_s]
    if not before or not after:
        return None
    first, last = before[-1], after[0]
    share = (point.t_s - first.t_s) / (last.t_s - first.t_s)
    reference = first.value + share * (last.value - first.value)
    change = max(0.0, (last.value - first.value) ** 2 - first.sigma**2 - last.sigma**2)
    ratio = point.value / reference
    return ratio, ratio * math.hypot(point.sigma / point.value, 0.5 * math.sqrt(change) / reference)


def _drift(zeros: Sequence[_Point]) -> tuple[Value, bool | None]:
    if len(zeros) < 2:
        return Value(None, None, ""), None
    first, last = zeros[0], zeros[-1]
    ratio = last.value / first.value
    half = 1.96 * ratio * math.hypot(first.sigma / first.value, last.sigma / last.value)
    mean, _, _ = _mean(zeros)
    chi_squared = sum(((one.value - mean) / one.sigma) ** 2 for one in zeros)
    return Value(ratio - 1, (ratio - 1 - half, ratio - 1 + half), ""), bool(chdtrc(len(zeros) - 1, chi_squared) < DRIFT_P)


def _reduction(rest: Level, highest: Level) -> Value:
    if rest.sigma is None or highest.relative is None or highest.sigma is None:
        return Value(None, None, "")
    own = highest.relative * math.hypot(rest.sigma, rest.law_error, highest.law_error)
    half = 1.96 * math.hypot(highest.sigma, own)
    reduction = 1 - highest.relative
    return Value(reduction, (reduction - half, reduction + half), "")
