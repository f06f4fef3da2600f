"""The steady-state rate equation of a laser as a law of light against fluence, and its fit without a start value.

Y(F) = c + S/2 [(x - 1) + sqrt((x - 1)^2 + 4 beta x)], x = F / F_th. Light is linear in S and c, so only F_th and ln beta are
searched, both over their whole range, so no start value leads to a wrong minimum. Source: root of the photon balance of a laser
with a fraction beta of the spontaneous light in the mode, textbook (from memory, unverified); the offset c is ours.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]

LOG_BETA = (math.log(1e-8), math.log(0.3))
SCANNED = (61, 15)
STARTS = 2
PROFILE_POINTS = 31


@dataclass(frozen=True, slots=True)
class RateLaw:
    """The law with its parameters: threshold (uJ/cm2), slope and offset (counts), ln beta."""

    threshold: float
    slope: float
    log_beta: float
    offset: float

    @property
    def beta(self) -> float:
        """Fraction of the spontaneous light that is amplified."""
        return math.exp(self.log_beta)

    def at(self, fluence: Floats) -> Floats:
        """Light (counts) at `fluence` (uJ/cm2, (n,))."""
        return self.offset + self.slope * root(fluence / self.threshold, self.beta)

    def gradient(self, fluence: Floats) -> Floats:
        """Counts per relative change of the fluence, (n,)."""
        return (self.at(fluence * 1.001) - self.at(fluence * 0.999)) / 0.002

    def jacobian(self, fluence: Floats) -> Floats:
        """Derivatives (n, 4) by ln F_th, slope (relative), ln beta and offset (counts)."""
        x, step = fluence / self.threshold, 1e-3
        g = root(x, self.beta)
        by_beta = root(x, self.beta * math.exp(step)) - root(x, self.beta * math.exp(-step))
        return np.column_stack(
            [-self.gradient(fluence), self.slope * g, self.slope * by_beta / (2 * step), np.ones_like(fluence)]
        )


def root(x: Floats, beta: Floats | float) -> Floats:
    """[(x - 1) + sqrt((x - 1)^2 + 4 beta x)] / 2, the photon number in units of its slope."""
    return 0.5 * (x - 1 + np.sqrt((x - 1) ** 2 + 4 * beta * x))


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best law, its chi squared, and the 1-sigma error of its slope (counts) at that threshold and beta."""

    law: RateLaw
    chi_squared: float
    slope_error: float


def fit(fluence: Floats, signal: Floats, sigma: Floats, between: tuple[float, float]) -> Fitted:
    """Best law with its threshold in `between` (uJ/cm2): a scan over (ln F_th, ln beta), its two best places followed down."""
    lo, hi = (np.array([math.log(between[i]), LOG_BETA[i]]) for i in (0, 1))
    axes = [np.linspace(lo[k], hi[k], SCANNED[k]) for k in (0, 1)]
    surface = _linear(fluence, signal, sigma, *axes)[0]
    starts = np.argsort(surface, axis=None)[:STARTS]

    weight = sigma**-2.0
    share = weight / weight.sum()
    dy = signal - float(share @ signal)

    def residuals(place: Floats) -> Floats:
        g = root(fluence / math.exp(place[0]), math.exp(place[1]))
        dg = g - float(share @ g)
        weighted = weight * dg
        slope = max(float(weighted @ dy), 0.0) / max(float(weighted @ dg), 1e-300)
        return (dy - slope * dg) / sigma

    best, least = lo, math.inf
    for start in starts.tolist():
        row, column = divmod(start, SCANNED[1])
        inside = np.clip([axes[0][row], axes[1][column]], lo + 1e-9, hi - 1e-9)
        found = least_squares(residuals, inside, bounds=(lo, hi), x_scale=[0.01, 0.3], xtol=1e-6, ftol=1e-7, max_nfev=60)
        if 2 * found.cost < least:
            best, least = found.x, 2 * float(found.cost)
    _, slope, offset, slope_error = (float(a[0, 0]) for a in _linear(fluence, signal, sigma, best[:1], best[1:]))
    return Fitted(RateLaw(math.exp(best[0]), slope, float(best[1]), offset), least, slope_error)


def interval(
    fluence: Floats, signal: Floats, sigma: Floats, fitted: Fitted, rise: float, between: tuple[float, float]
) -> tuple[float, float]:
    """Thresholds (uJ/cm2) where chi squared, least over all else, has risen by `rise`: the profile likelihood's interval.

    An end that is not reached inside `between` is that end of `between`.
    """
    ends: list[float] = []
    centre, limits = math.log(fitted.law.threshold), [math.log(b) for b in between]
    for side, limit in zip((-1.0, 1.0), limits, strict=True):
        reach = 0.02
        while True:
            edge = centre + side * min(reach, abs(limit - centre))
            axis = np.linspace(centre, edge, PROFILE_POINTS)
            above = _profile(fluence, signal, sigma, axis, fitted.law.log_beta) - fitted.chi_squared - rise
            if above[-1] > 0 or reach >= abs(limit - centre):
                break
            reach *= 2
        crossing = np.flatnonzero(above > 0)
        at = edge
        if len(crossing):
            k = max(int(crossing[0]), 1)
            at = axis[k - 1] + (axis[k] - axis[k - 1]) * above[k - 1] / (above[k - 1] - above[k])
        ends.append(math.exp(float(at)))
    return ends[0], ends[1]


def _profile(fluence: Floats, signal: Floats, sigma: Floats, log_threshold: Floats, log_beta: float) -> Floats:
    """Least chi squared over beta, slope and offset at each threshold, (m,)."""
    betas = np.unique(np.r_[np.linspace(*LOG_BETA, 18), np.clip(log_beta + np.linspace(-1.5, 1.5, 25), *LOG_BETA)])
    return _linear(fluence, signal, sigma, log_threshold, betas)[0].min(axis=1)


def _linear(
    fluence: Floats, signal: Floats, sigma: Floats, log_threshold: Floats, log_beta: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Chi squared, slope, offset and slope error (m, b) of the best S >= 0 and c at each of (m,) thresholds and (b,) betas."""
    x = fluence / np.exp(log_threshold)[:, None, None]
    g = root(x, np.exp(log_beta)[None, :, None])
    weight = sigma**-2.0
    total = weight.sum()
    mean_g, mean_y = (g @ weight) / total, float(signal @ weight) / total
    dg, dy = g - mean_g[..., None], signal - mean_y
    spread = (dg**2) @ weight
    slope = np.maximum((dg * dy) @ weight, 0.0) / np.maximum(spread, 1e-300)
    chi_squared = float(dy**2 @ weight) - slope**2 * spread
    return np.maximum(chi_squared, 0.0), slope, mean_y - slope * mean_g, np.maximum(spread, 1e-300) ** -0.5
