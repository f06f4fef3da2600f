"""The threshold of amplified emission from light against fluence (rule X3), with a 95 % interval, or why there is none.

The law is the root of a laser's rate equation (rig.analysis.rate_law). It is not the law of any film: what it misses is at
least 2 % of the light and 0.2 % of the slope at every point, which enters the weights, so that neither the many points far
above the threshold nor the quiet ones far below decide where it lies. Only points below 1.8 thresholds are fitted, as films
saturate above. What is left of the difference between law and film is 0.5 % (1 sigma) of the threshold; 0.9 % where the sweep
ends below 1.5 thresholds, or the points beside the threshold are more than 12 % apart; 1.5 % where they are and are means of
set points. It is part of the interval. Source of these figures: 50 simulated films at five voltages, other ones than
docs/analysis.md is made from.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rig.analysis.light_curve import LightCurve, Method
from rig.analysis.rate_law import Fitted, RateLaw, fit, interval
from rig.analysis.statistics import Value, student_t, value_between

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FITTED_TO = 1.8
LEVEL_ERROR = 0.02
SLOPE_ERROR = 0.002
LAW_ERROR = 0.005
LAW_ERROR_CUT = 0.009
CUT_BELOW = 1.5
LAW_ERROR_COARSE = 0.015
COARSE_GAP = 0.12
ROUNDS = 6
ONSET = 0.05
PARAMETERS = 4
LEAST_POINTS = 8
LEAST_A_SIDE = 4
LEAST_ABOVE_FITTED = 3
MARGIN = 0.1
LEAST_SLOPE_SIGMAS = 5.0
BETTER_THAN_POWER = 4.0
WIDEST = 0.15
MOST_LOG_BETA = math.log(0.1)
UNIT = "uJ/cm2"

Code = Literal["too-few-points", "all-below", "all-above", "no-slope", "no-kink", "not-a-number", "threshold-uncertain"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no threshold: a stable code and a sentence."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """Threshold of one sweep, or the reason why there is none (then `value` has none, and `law` is None).

    value              uJ/cm2; the 95 % interval holds the scatter and the law's own error, but no error common to all
                       fluences (meter, area)
    statistical        the same without the law's own error: to compare sweeps of one film
    law                the fitted law
    points, fitted     points in the sweep, and those below 1.8 thresholds
    reduced_chi2       of the fit, with the law's own misfit in the weights: of the order of 1 or below
    method             how the points were made
    """

    value: Value
    statistical: Value
    law: RateLaw | None
    points: int
    fitted: int
    reduced_chi2: float | None
    method: Method
    refusal: Refusal | None = None


def find_threshold(curve: LightCurve) -> Threshold:
    """Threshold of a sweep; never raises for what may come out of an experiment, but refuses with a reason."""
    refusal = _unusable(curve)
    if refusal is not None:
        return _refused(curve, refusal)
    used, fitted = _fitted(curve)
    refusal = _implausible(curve, used, fitted)
    if refusal is not None:
        return _refused(curve, refusal)
    law = fitted.law
    freedom = int(used.sum()) - PARAMETERS
    reduced = fitted.chi_squared / freedom
    rise = student_t(0.975, freedom) ** 2 * max(reduced, _measured_share(curve, used, law))
    f = curve.fluence_uj_cm2
    ends = interval(f[used], curve.signal[used], _sigma(curve, used, law), fitted, rise, (0.5 * f[0], 2 * f[-1]))
    below, above = law.threshold - ends[0], ends[1] - law.threshold
    if not below + above < WIDEST * 2 * law.threshold:
        words = f"no threshold in range: its 95 % interval would be {ends[0]:.3g} to {ends[1]:.3g} uJ/cm2"
        return _refused(curve, Refusal("threshold-uncertain", words))
    own = 1.96 * _law_error(curve, law) * law.threshold
    lo, hi = law.threshold - math.hypot(below, own), law.threshold + math.hypot(above, own)
    value, statistical = (value_between(law.threshold, *pair, UNIT) for pair in ((lo, hi), ends))
    return Threshold(value, statistical, law, len(f), int(used.sum()), reduced, curve.method)


def _law_error(curve: LightCurve, law: RateLaw) -> float:
    """Relative 1-sigma error of the threshold, as films follow laws of their own."""
    f = curve.fluence_uj_cm2
    beside = f[(f > law.threshold / CUT_BELOW) & (f < law.threshold * CUT_BELOW)]
    coarse = bool(np.diff(np.log(beside)).max(initial=0.0) > COARSE_GAP)
    if coarse and curve.method != "energy-rebinned":
        return LAW_ERROR_COARSE
    return LAW_ERROR_CUT if coarse or f[-1] < CUT_BELOW * law.threshold else LAW_ERROR


def _refused(curve: LightCurve, refusal: Refusal) -> Threshold:
    absent = Value(None, None, UNIT)
    return Threshold(absent, absent, None, len(curve.fluence_uj_cm2), 0, None, curve.method, refusal)


def _unusable(curve: LightCurve) -> Refusal | None:
    """Why these points cannot be fitted at all."""
    f = curve.fluence_uj_cm2
    if not (np.isfinite(f).all() and np.isfinite(curve.signal).all() and np.isfinite(curve.error).all()):
        return Refusal("not-a-number", "a fluence, a signal or an error is not a number")
    if len(f) and not (f > 0).all():
        return Refusal("not-a-number", "a fluence is not above zero")
    different = len(np.unique(f))
    if different < LEAST_POINTS:
        words = f"{different} different fluences: a threshold takes at least {LEAST_POINTS}, {LEAST_A_SIDE} on either side"
        return Refusal("too-few-points", words)
    if not curve.signal.max() > 0:
        return Refusal("no-slope", "no threshold in range: there is no light beyond the scaled spontaneous band")
    return None


def _fitted(curve: LightCurve) -> tuple[Mask, Fitted]:
    """Points below 1.8 thresholds and the law through them, by at most six rounds from the last point without a signal."""
    f, y = curve.fluence_uj_cm2, curve.signal
    dark = np.flatnonzero(y <= ONSET * y.max())
    start = float(f[min(int(dark[-1]) + 1, len(f) - 1)]) if len(dark) else float(f[0])
    used = _window(f, start)
    fitted = _twice_fitted(curve, used, None)
    for _ in range(ROUNDS - 1):
        before, used = used, _window(f, fitted.law.threshold)
        if (used == before).all():
            break
        fitted = _twice_fitted(curve, used, fitted.law)
    return used, fitted


def _twice_fitted(curve: LightCurve, used: Mask, law: RateLaw | None) -> Fitted:
    """Fit, and fit again with the weights of the law that came out."""
    f, y = curve.fluence_uj_cm2, curve.signal
    between = float(f[0]), float(f[-1])
    first = fit(f[used], y[used], _sigma(curve, used, law), between)
    return fit(f[used], y[used], _sigma(curve, used, first.law), between)


def _window(fluence: Floats, threshold: float) -> Mask:
    """Points below 1.8 thresholds, and as many as a fit takes."""
    used = fluence < FITTED_TO * threshold
    used[: PARAMETERS + 2] = True
    return used


def _sigma(curve: LightCurve, used: Mask, law: RateLaw | None) -> Floats:
    """Errors of the used points by the law (by the points themselves when there is none yet)."""
    f, y = curve.fluence_uj_cm2[used], curve.signal[used]
    level, gradient, slope = (
        (y, np.gradient(y, np.log(f)) if len(np.unique(f)) == len(f) else 0 * y, 0.5 * float(y.max()))
        if law is None
        else (law.at(f), law.gradient(f), law.slope)
    )
    variance = curve.error[used] ** 2 + (LEVEL_ERROR * level) ** 2 + (curve.fluence_error * gradient) ** 2
    return np.sqrt(variance + (SLOPE_ERROR * slope) ** 2 + (1e-6 * float(curve.signal.max())) ** 2)


def _measured_share(curve: LightCurve, used: Mask, law: RateLaw) -> float:
    """Which part of the threshold's variance by the weights comes from measured errors, not from the law's own misfit, 0 to 1.

    Residuals alone do not tell: most points lie where they say nothing about the threshold. All of it where errors are unknown.
    """
    if curve.method == "spectra as given":
        return 1.0
    f, sigma = curve.fluence_uj_cm2[used], _sigma(curve, used, law)
    jacobian = law.jacobian(f) / sigma[:, None]
    influence = np.linalg.pinv(jacobian)[0] / sigma
    measured = curve.error[used] ** 2 + (curve.fluence_error * law.gradient(f)) ** 2
    return float(influence**2 @ measured / (influence**2 @ sigma**2))


def _side(points: int, side: str) -> str:
    """Say that hardly any point, or too few, are on one side of the threshold."""
    if points < 2:
        return f"all points are {'above' if side == 'below' else 'below'} or at it"
    if points < LEAST_A_SIDE:
        return f"only {points} points are {side} it, {LEAST_A_SIDE} are needed"
    return f"the points {side} it reach no farther than {MARGIN:.0%}"


def _implausible(curve: LightCurve, used: Mask, fitted: Fitted) -> Refusal | None:
    """Why the best law is no threshold: where it lies, and whether it is a kink at all."""
    f, law = curve.fluence_uj_cm2, fitted.law
    below, above = int((f < law.threshold).sum()), int((f > law.threshold).sum())
    at = f"the best fit lies at {law.threshold:.3g} uJ/cm2, the points at {f[0]:.3g} to {f[-1]:.3g} uJ/cm2"
    if not law.slope >= LEAST_SLOPE_SIGMAS * fitted.slope_error:
        return Refusal(
            "no-slope", "no threshold in range: the light beyond the scaled spontaneous band does not rise significantly"
        )
    if below < LEAST_A_SIDE or not f[0] * (1 + MARGIN) <= law.threshold:
        return Refusal("all-above", f"no threshold in range: {_side(below, 'below')} ({at}, {below} of them below)")
    if above < LEAST_A_SIDE or not law.threshold <= f[-1] * (1 - MARGIN):
        return Refusal("all-below", f"no threshold in range: {_side(above, 'above')} ({at}, {above} of them above)")
    fitted_above = int((f[used] > law.threshold).sum())
    if fitted_above < LEAST_ABOVE_FITTED:
        words = f"only {fitted_above} points between it and {FITTED_TO:g} times it ({at}): measure more fluences there"
        return Refusal("too-few-points", f"no threshold: {words}")
    if not (law.log_beta <= MOST_LOG_BETA and _better_than_power(curve, used, fitted)):
        return Refusal(
            "no-kink", f"no threshold in range: the light rises smoothly, a power of the fluence says it as well ({at})"
        )
    return None


def _better_than_power(curve: LightCurve, used: Mask, fitted: Fitted) -> bool:
    """Whether chi squared of c + a F^p with the best p is at least four times the law's, and one per point."""
    f, y, sigma = curve.fluence_uj_cm2[used], curve.signal[used], _sigma(curve, used, fitted.law)
    weight = sigma**-2.0
    powers = np.linspace(0.5, 12.0, 47)
    g = (f / f[-1]) ** powers[:, None]
    mean_g, mean_y = (g @ weight) / weight.sum(), float(y @ weight) / weight.sum()
    dg, dy = g - mean_g[:, None], y - mean_y
    chi_squared = float((dy**2 @ weight - (((dg * dy) @ weight) ** 2 / ((dg**2) @ weight))).min())
    return chi_squared > BETTER_THAN_POWER * fitted.chi_squared and chi_squared > fitted.chi_squared + len(f)
