"""Light at voltages that each lie between two stays at 0 V: relative light, whether it comes back, whether it is linear.

A stay under voltage is divided by the light at 0 V interpolated to its time, so that a steady drift cancels. Where the two
stays at 0 V differ by more than twice their error, half of that is added to its error (assumed: a drift between them need not
be steady). All intervals are 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from rig.analysis.isotonic_test import IsotonicTest, isotonic_test
from rig.analysis.statistics import Value

NORMAL = 1.96
LEAST_SIGMAS = 5.0  # light at 0 V below this is none to relate anything to
DRIFT_P = SCATTER_P = 0.05
DRIFTED_SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class Light:
    """Mean light of one stay (counts), its 1-sigma error, voltage (V), fluence (uJ/cm2), and the time of its middle (s)."""

    t_s: float
    voltage_v: float
    counts: float
    sigma: float
    fluence_uj_cm2: float = 1.0


@dataclass(frozen=True, slots=True)
class Bracket:
    """A stay under voltage between two at 0 V, and the light right after it, before anything slow is over (None: not seen)."""

    before: Light
    biased: Light
    after: Light
    early: Light | None = None

    @property
    def reference(self) -> float:
        """Get the light at 0 V at the time of the stay under voltage (counts)."""
        share = (self.biased.t_s - self.before.t_s) / (self.after.t_s - self.before.t_s)
        return self.before.counts + share * (self.after.counts - self.before.counts)

    @property
    def relative(self) -> float:
        """Get the light under voltage over that at 0 V."""
        return self.biased.counts / self.reference

    @property
    def sigma(self) -> float:
        """Get the 1-sigma error of `relative`, without that of the dark spectrum, which all stays share."""
        own = math.hypot(self.before.sigma, self.after.sigma)
        change = abs(self.after.counts - self.before.counts)
        excess = math.sqrt(change**2 - own**2) if change > DRIFTED_SIGMAS * own else 0.0
        return math.hypot(self.biased.sigma, self.relative * 0.5 * math.hypot(own, excess)) / self.reference


@dataclass(frozen=True, slots=True)
class LadderLevel:
    """One voltage (V): light over that at 0 V, its 1-sigma error (None without any), brackets behind it."""

    voltage_v: float
    relative: Value
    sigma: float | None
    brackets: int


@dataclass(frozen=True, slots=True, eq=False)
class LadderLight:
    """What the voltage does to the light.

    levels   from 0 V to the voltage farthest from it; 1 at 0 V, with the error of one stay there
    test     whether the light falls along them, None without two
    drift    light of the last stay at 0 V over that of the first, minus 1
    drifted  whether the stays at 0 V differ beyond their errors, None for fewer than two
    """

    levels: tuple[LadderLevel, ...]
    test: IsotonicTest | None
    drift: Value
    drifted: bool | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """Light at 0 V after the highest voltage over that before it, drift taken off: early after the edge, and late.

    drift_per_s  relative, from brackets at other voltages; no value: nothing was taken off
    """

    early: Value
    late: Value
    drift_per_s: Value


def ladder_light(
    brackets: Sequence[Bracket], rests: Sequence[Light], levels_v: Sequence[float], dark_error: float
) -> LadderLight:
    """Reduce a ladder; `levels_v` begins with 0 V, `dark_error` (counts) is common to all stays.

    Raises
    ------
    ValueError  the light at 0 V is not above its noise
    """
    usable_light(rests, dark_error)
    reference = float(np.mean([one.counts for one in rests]))
    rest_error = math.sqrt(float(np.mean([one.sigma**2 for one in rests]))) / reference
    levels = [LadderLevel(levels_v[0], Value(1.0, None, ""), rest_error, len(rests))]
    for voltage_v in levels_v[1:]:
        here = [(one.relative, one.sigma) for one in brackets if one.biased.voltage_v == voltage_v]
        if not here:
            levels.append(LadderLevel(voltage_v, Value(None, None, ""), None, 0))
            continue
        mean, sigma = _weighted(here)
        sigma = math.hypot(sigma, dark_error * (1 - mean) / reference)
        levels.append(LadderLevel(voltage_v, _value(mean, sigma), sigma, len(here)))
    known = [(one.relative.value, one.sigma) for one in levels if one.relative.value is not None and one.sigma is not None]
    test = None
    if len(known) >= 2:
        values, sigmas = (np.array(column, np.float64) for column in zip(*known, strict=True))
        # the stays at 0 V are many: their mean is what the others were divided by
        sigmas[0] /= math.sqrt(len(rests))
        test = isotonic_test(values, sigmas)
    return LadderLight(tuple(levels), test, *_drift(rests))


def usable_light(rests: Sequence[Light], dark_error: float) -> None:
    """Refuse light at 0 V that is not above its noise.

    Raises
    ------
    ValueError  it is not, or there is no stay at 0 V
    """
    if not rests:
        raise ValueError("there is no stay at 0 V to compare with")
    worst = min(one.counts / math.hypot(one.sigma, dark_error) if one.sigma > 0 else 0.0 for one in rests)
    if not worst >= LEAST_SIGMAS:
        raise ValueError(f"too little light at 0 V: {worst:.2g} times its error, {LEAST_SIGMAS:g} are needed")


def recovery(brackets: Sequence[Bracket], highest_v: float) -> Recovery:
    """Compare the light after `highest_v` (V) with that before it."""
    others = [one for one in brackets if one.biased.voltage_v != highest_v]
    rate, rate_sigma = 0.0, 0.0
    told = Value(None, None, "1/s")
    if len(others) >= 2:
        rates = [_rate(one) for one in others]
        rate, rate_sigma = _weighted(rates)
        told = _value(rate, rate_sigma, "1/s")
    mine = [one for one in brackets if one.biased.voltage_v == highest_v]
    early = [(one.before, one.early) for one in mine if one.early is not None]
    late = [(one.before, one.after) for one in mine]
    return Recovery(_recovered(early, rate, rate_sigma), _recovered(late, rate, rate_sigma), told)


def exponent(stays: Sequence[Light], setting_error: float, dark_error: float) -> Value:
    """Slope of ln light against ln fluence; no value below three stays at two fluences, or without light.

    Parameters
    ----------
    setting_error  relative 1 sigma of the fluence, each time it is set
    dark_error     counts, common to all stays
    """
    lit = [one for one in stays if one.counts > LEAST_SIGMAS * math.hypot(one.sigma, dark_error)]
    if len(lit) < 3 or len(lit) < len(stays) or len({one.fluence_uj_cm2 for one in lit}) < 2:
        return Value(None, None, "")
    counts = np.array([one.counts for one in lit])
    covariance = np.diag((np.array([one.sigma for one in lit]) / counts) ** 2 + setting_error**2)
    covariance += np.outer(dark_error / counts, dark_error / counts)
    design = np.column_stack([np.ones(len(lit)), np.log([one.fluence_uj_cm2 for one in lit])])
    weight = np.linalg.inv(covariance)
    spread = np.linalg.inv(design.T @ weight @ design)
    found = spread @ design.T @ weight @ np.log(counts)
    return _value(float(found[1]), math.sqrt(float(spread[1, 1])))


def _value(value: float, sigma: float, unit: str = "") -> Value:
    return Value(value, (value - NORMAL * sigma, value + NORMAL * sigma), unit)


def _weighted(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Weighted mean and its 1-sigma error, by the scatter where that is more than the errors make likely."""
    values, sigmas = (np.array(column, np.float64) for column in zip(*points, strict=True))
    weights = sigmas**-2.0
    mean = float(values @ weights / weights.sum())
    chi_squared, freedom = float(weights @ (values - mean) ** 2), len(values) - 1
    unlikely = freedom > 0 and chdtrc(freedom, chi_squared) < SCATTER_P
    return mean, float(weights.sum() ** -0.5) * math.sqrt(chi_squared / freedom if unlikely else 1.0)


def _rate(one: Bracket) -> tuple[float, float]:
    """Relative change per second from before to after, and its error."""
    ratio, sigma = _ratio(one.before, one.after)
    time_s = one.after.t_s - one.before.t_s
    return (ratio - 1) / time_s, sigma / time_s


def _ratio(before: Light, after: Light) -> tuple[float, float]:
    ratio = after.counts / before.counts
    return ratio, math.hypot(after.sigma, ratio * before.sigma) / before.counts


def _recovered(pairs: Sequence[tuple[Light, Light]], rate: float, rate_sigma: float) -> Value:
    if not pairs:
        return Value(None, None, "")
    mean, sigma = _weighted([_ratio(*pair) for pair in pairs])
    time_s = float(np.mean([after.t_s - before.t_s for before, after in pairs]))
    return _value(mean - rate * time_s, math.hypot(sigma, rate_sigma * time_s))


def _drift(rests: Sequence[Light]) -> tuple[Value, bool | None]:
    if len(rests) < 2:
        return Value(None, None, ""), None
    ratio, sigma = _ratio(rests[0], rests[-1])
    weights = np.array([one.sigma**-2.0 for one in rests])
    counts = np.array([one.counts for one in rests])
    chi_squared = float(weights @ (counts - counts @ weights / weights.sum()) ** 2)
    return _value(ratio - 1, sigma), bool(chdtrc(len(rests) - 1, chi_squared) < DRIFT_P)
