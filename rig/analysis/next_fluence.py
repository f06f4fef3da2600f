"""Which fluence tells most of a threshold that is known roughly: for sweeps that choose their points as they go.

A threshold's interval comes from the measured errors of the points, weighted as rig.analysis.threshold weights them. So the
next point is the one after which that variance is least for its cost; before that come the points without which no threshold
is given at all, or only with a wider error of the law.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.light_curve import LightCurve
from rig.analysis.rate_law import RateLaw, fit
from rig.analysis.statistics import student_t
from rig.analysis.threshold import (
    COARSE_GAP,
    CUT_BELOW,
    FITTED_TO,
    LEAST_A_SIDE,
    LEAST_SLOPE_SIGMAS,
    LEVEL_ERROR,
    ONSET,
    PARAMETERS,
    SLOPE_ERROR,
    Threshold,
)

Floats = NDArray[np.float64]

TOP = 1.62  # of the threshold: the strongest point wanted, so far above 1.5 that a rough threshold does
NEAR = 1.06  # of the threshold: a point as near to it does not surely lie above or below
CLOSED = 0.9 * COARSE_GAP
APART = 0.03  # relative distance of points: closer ones bias thresholds by 0.5 %. Source: 24 simulated films, NC-300 and on
SAME = 1.03  # intervals that differ by less are the same
LEAST_FITTED = PARAMETERS + 1
WEAKLY_KNOWN = np.array([1.0, 1.0, 3.0, 1.0])  # 1 sigma beforehand: ln threshold, relative slope, ln beta, offset in slopes


@dataclass(frozen=True, slots=True)
class Design:
    """Points of a sweep: fluence (uJ/cm2, (n,)), error of the light (counts, (n,)), relative error of each fluence."""

    fluence_uj_cm2: Floats
    error: Floats
    fluence_error: float

    def half_width(self, law: RateLaw, reduced_chi2: float = 0.0) -> float:
        """Half of the 95 % interval (relative) that these points give a threshold, without the law's own error."""
        used = self.fluence_uj_cm2 < FITTED_TO * law.threshold
        freedom = int(used.sum()) - PARAMETERS
        if freedom < 1:
            return math.inf
        f, error = self.fluence_uj_cm2[used], self.error[used]
        measured, weighted = _variances(law, f[None], error[None], self.fluence_error)
        return student_t(0.975, freedom) * math.sqrt(max(float(measured[0]), reduced_chi2 * float(weighted[0])))


def expected(curve: LightCurve, fluence_uj_cm2: Floats, shots_ratio: float = 1.0, points: int = 1) -> Design:
    """Points that visits at other fluences (uJ/cm2, (n,)) would make: errors between those of their neighbours on `curve`.

    Parameters
    ----------
    shots_ratio  shots of such a point over those of a point of the curve
    points       how many each visit makes
    """
    error = np.interp(fluence_uj_cm2, curve.fluence_uj_cm2, curve.error) / math.sqrt(shots_ratio)
    return Design(np.repeat(fluence_uj_cm2, points), np.repeat(error, points), curve.fluence_error)


def rough_law(curve: LightCurve) -> RateLaw | None:
    """Fit the law to few points, for choosing the next one only; None with fewer than five of them, or no significant rise."""
    f, y = curve.fluence_uj_cm2, curve.signal
    if len(np.unique(f)) < LEAST_FITTED or not y.max() > 0:
        return None
    dark = np.flatnonzero(y <= ONSET * y.max())
    start = float(f[min(int(dark[-1]) + 1, len(f) - 1)]) if len(dark) else float(f[0])
    used = f < FITTED_TO * start
    used[: LEAST_FITTED + 1] = True
    sigma = np.sqrt(curve.error**2 + (LEVEL_ERROR * y) ** 2 + (SLOPE_ERROR * float(y.max())) ** 2)
    fitted = fit(f[used], y[used], sigma[used], (float(f[0]), float(f[-1])))
    return fitted.law if fitted.law.slope > LEAST_SLOPE_SIGMAS * fitted.slope_error else None


def needed(fluence_uj_cm2: Floats, threshold: float, strongest: float) -> tuple[float, float] | None:
    """Between which fluences (uJ/cm2) a point must lie so that the estimator gives a threshold with its least error.

    Parameters
    ----------
    fluence_uj_cm2  visited, (n,)
    threshold       as far as it is known (uJ/cm2)
    strongest       that may be asked for (uJ/cm2)
    """
    f = np.unique(fluence_uj_cm2)
    top = min(TOP * threshold, strongest)
    if not f[-1] >= min(CUT_BELOW * 1.03 * threshold, strongest):
        return top / 1.02, min(top * 1.02, strongest)
    gap = _widest_gap(f, threshold / CUT_BELOW, threshold * CUT_BELOW)
    if gap is not None:
        return gap
    if not int((f > threshold * NEAR).sum()) >= LEAST_A_SIDE:
        return threshold * NEAR, top
    if not int((f < threshold / NEAR).sum()) >= LEAST_A_SIDE:
        return float(f[0]), threshold / NEAR
    return None


def most_telling(law: RateLaw, so_far: Design, candidates: Design) -> int:
    """Index of the candidate that brings down the threshold's variance most for its cost: shots and dose alike."""
    f, error = so_far.fluence_uj_cm2, so_far.error
    used = f < FITTED_TO * law.threshold
    apart = np.abs(np.log(candidates.fluence_uj_cm2[:, None] / f)).min(axis=1, initial=math.inf)
    many = len(candidates.fluence_uj_cm2)
    grown_f = np.column_stack([np.tile(f[used], (many, 1)), candidates.fluence_uj_cm2])
    grown_error = np.column_stack([np.tile(error[used], (many, 1)), candidates.error])
    before, _ = _variances(law, f[used][None], error[used][None], so_far.fluence_error)
    after, _ = _variances(law, grown_f, grown_error, so_far.fluence_error)
    cost = 1.0 + candidates.fluence_uj_cm2 / law.threshold
    # what lies beyond the fit is chosen only where nothing else is left
    gain = np.where(candidates.fluence_uj_cm2 < FITTED_TO * law.threshold, (before - after) / cost, -1e300)
    # a point close to another one has the same misfit of the law: it would only seem to tell more
    return int(np.argmax(np.where(apart >= min(APART, float(apart.max())), gain, -np.inf)))


def as_narrow(found: Threshold, full: Design) -> bool:
    """Whether a threshold's interval is as narrow as the points of `full` would make it, within 3 %."""
    law, value = found.law, found.value.value
    whole, scatter = found.value.half_width, found.statistical.half_width
    if law is None or value is None or whole is None or scatter is None:
        return False
    own_squared = (whole**2 - scatter**2) / value**2
    wanted = math.sqrt(full.half_width(law, found.reduced_chi2 or 0.0) ** 2 + max(own_squared, 0.0))
    return whole <= SAME * wanted * value


def _widest_gap(f: Floats, low: float, high: float) -> tuple[float, float] | None:
    """Where a point would make the widest gap inside (low, high) as narrow as evenly spaced ones would; None if all are."""
    inside = f[(f > low) & (f < high)]
    ends = np.unique(np.r_[f[f <= low][-1:], inside, f[f >= high][:1]])
    gaps = np.diff(np.log(ends))
    if not len(gaps) or not gaps.max() > COARSE_GAP:
        return None
    first = int(np.argmax(gaps))
    step = gaps[first] / math.ceil(gaps[first] / CLOSED)
    at = float(ends[first]) * math.exp(step * (gaps[first] / step // 2))
    return at * math.exp(-0.15 * step), at * math.exp(0.15 * step)


def _variances(law: RateLaw, fluence: Floats, error: Floats, fluence_error: float) -> tuple[Floats, Floats]:
    """Variance of ln threshold (m,) of m designs of n points, (m, n): by measured errors alone, and by the weights."""
    flat = fluence.ravel()
    gradient = law.gradient(flat).reshape(fluence.shape)
    measured = error**2 + (fluence_error * gradient) ** 2
    weight_variance = measured + (LEVEL_ERROR * law.at(flat).reshape(fluence.shape)) ** 2 + (SLOPE_ERROR * law.slope) ** 2
    scale = np.array([1.0, 1.0, 1.0, law.slope])
    jacobian = law.jacobian(flat).reshape(*fluence.shape, PARAMETERS) * scale
    weighted = jacobian / weight_variance[..., None]
    information = np.swapaxes(jacobian, 1, 2) @ weighted + np.diag(WEAKLY_KNOWN**-2.0)
    influence = np.linalg.solve(information, np.swapaxes(weighted, 1, 2))[:, 0, :]
    return (influence**2 * measured).sum(axis=1), (influence**2 * weight_variance).sum(axis=1)
