"""Sums of exponentials fitted to a trace of absorbance changes (rule X5)."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import erfc

COOLED_PS = 2.0  # carriers are at the band edge from here on
INSTRUMENT_PS = 0.08
LONGEST_PS = 1000.0  # for exponentials beside a constant: slower ones cannot be told from it within 3 ns


@dataclass
class Decay:
    """Sum of exponentials (and a constant, where there is one, as the last share with an infinite lifetime)."""

    lifetime_ps: np.ndarray
    error_ps: np.ndarray
    amplitude: np.ndarray
    bic: float

    @property
    def share(self) -> np.ndarray:
        return np.abs(self.amplitude) / np.abs(self.amplitude).sum()

    def share_between(self, low_ps: float, high_ps: float) -> float:
        return float(self.share[(low_ps <= self.lifetime_ps) & (self.lifetime_ps <= high_ps)].sum())

    def at(self, t_ps: np.ndarray) -> np.ndarray:
        return shapes(t_ps, self.lifetime_ps) @ self.amplitude


def shapes(t_ps: np.ndarray, lifetime_ps: np.ndarray) -> np.ndarray:
    """Exponentials that start at 0, convolved with the instrument's Gaussian, (k, n). The lifetime may be infinite."""
    t, sigma = t_ps[:, None], INSTRUMENT_PS / np.sqrt(2)
    rate = 1 / lifetime_ps
    return 0.5 * np.exp(rate * (rate * sigma**2 / 2 - t)) * erfc((rate * sigma**2 - t) / (sigma * np.sqrt(2)))


def decay(delay_ps: np.ndarray, signal: np.ndarray, terms: int, *, constant: bool) -> Decay:
    """Fit exponentials by variable projection to what follows cooling."""
    cooled = delay_ps >= COOLED_PS
    t, y = delay_ps[cooled], signal[cooled]
    slowest = [np.inf] if constant else []
    longest_ps = LONGEST_PS if constant else 30_000.0

    def basis(log_ps: np.ndarray) -> np.ndarray:
        return shapes(t, np.concatenate([np.exp(log_ps), slowest]))

    def miss(log_ps: np.ndarray) -> np.ndarray:
        columns = basis(log_ps)
        return columns @ np.linalg.lstsq(columns, y, rcond=None)[0] - y

    bounds = np.log([3.0, longest_ps])
    starts = [np.log(np.geomspace(low, high, terms)) for low, high in ((15, 80), (80, 600), (20, 0.7 * longest_ps))]
    best = min((least_squares(miss, start, bounds=bounds) for start in starts), key=lambda fit: fit.cost)
    log_ps = np.sort(best.x)
    columns = basis(log_ps)
    amplitude = np.linalg.lstsq(columns, y, rcond=None)[0]
    slope = amplitude[:terms] * columns[:, :terms] * (t[:, None] / np.exp(log_ps))  # d/d(ln tau)
    jacobian = np.column_stack([slope, columns])
    unknowns = jacobian.shape[1]
    variance = 2 * best.cost / (len(t) - unknowns)
    error = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian))[:terms] * variance) * np.exp(log_ps)
    bic = len(t) * np.log(2 * best.cost / len(t)) + unknowns * np.log(len(t))
    return Decay(np.concatenate([np.exp(log_ps), slowest]), error, amplitude, float(bic))


def best_decay(delay_ps: np.ndarray, signal: np.ndarray) -> Decay:
    """One to three exponentials, as many as the Bayesian criterion allows."""
    return min((decay(delay_ps, signal, terms, constant=False) for terms in (1, 2, 3)), key=lambda fit: fit.bic)
