"""Threshold from light against fluence: the steady-state rate equation of a laser, fitted to energy-sorted bins (rule X3)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from rig.analysis.statistics import student_t

BIN_SHOTS = 10
FITTED_TO = 1.9  # thresholds; above, the film saturates and the law does not
ROUNDS = 6
ONSET = 0.05
LEVEL_ERROR = 0.02
ENERGY_ERROR = 0.001
MODEL_ERROR = 0.008
"""By how much this law and other films' thresholds disagree (relative). Source: 200 simulated devices, dense sweeps."""

LEAST_BINS = 4
LEAST_SLOPE_SIGMAS = 5.0
MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Threshold:
    """Fluence (uJ/cm2) and standard error, of which `statistical` comes from the scatter; or why there is none."""

    value: float = math.nan
    error: float = math.nan
    statistical: float = math.nan
    reason: str = ""


def excess(wavelength_nm: np.ndarray, light: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """Y = sum(531..541 nm) - rho sum(500..520 nm), (n,), of spectra (n, pixels): X2. rho from the shots of `weak` (n,)."""
    line = light[:, (531 <= wavelength_nm) & (wavelength_nm <= 541)].sum(axis=1)
    band = light[:, (500 <= wavelength_nm) & (wavelength_nm <= 520)].sum(axis=1)
    return line - line[weak].sum() / band[weak].sum() * band


def law(fluence: np.ndarray, threshold: float, slope: float, log_beta: float, offset: float) -> np.ndarray:
    """c + S/2 [(x - 1) + sqrt((x - 1)^2 + 4 beta x)], x = F/F_th."""
    x = fluence / threshold
    return offset + slope / 2 * (x - 1 + np.sqrt((x - 1) ** 2 + 4 * math.exp(log_beta) * x))


def fit_threshold(fluence: np.ndarray, signal: np.ndarray) -> Threshold:
    """Threshold of single shots, (n,) each: `fluence` as measured, `signal` as from `excess`."""
    f, y, y_error = _bins(fluence, signal)
    above = np.flatnonzero(y > ONSET * y.max())
    best = np.array([f[above[0]] if len(above) else f[-1], 0.5 * y.max(), math.log(1e-2), 0.0])
    used, jacobian, chi_squared = np.zeros(len(f), bool), np.zeros((1, len(best))), 0.0
    for _ in range(ROUNDS):
        before, used = used, f < FITTED_TO * best[0]
        if not used.any() or (used == before).all():
            break
        best, jacobian, chi_squared = _fit(f[used], y[used], y_error[used], best)
    if min((f[used] < best[0]).sum(), (f[used] > best[0]).sum()) < LEAST_BINS:
        return Threshold(reason="no threshold in range: too few points on one side")
    if not f[0] * (1 + MARGIN) <= best[0] <= f[-1] * (1 - MARGIN):
        return Threshold(reason="no threshold in range: at its end")
    freedom = int(used.sum()) - len(best)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * max(chi_squared / freedom, 1.0)
    if not best[1] >= LEAST_SLOPE_SIGMAS * math.sqrt(covariance[1, 1]):
        return Threshold(reason="no threshold in range: no slope above it")
    statistical = student_t(0.975, freedom) / 1.96 * math.sqrt(covariance[0, 0])
    return Threshold(float(best[0]), math.hypot(statistical, MODEL_ERROR * best[0]), statistical)


def _bins(fluence: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean fluence, mean signal and its standard error of shots sorted by energy, ten a bin."""
    order = np.argsort(fluence)[: len(fluence) // BIN_SHOTS * BIN_SHOTS].reshape(-1, BIN_SHOTS)
    y = signal[order]
    return fluence[order].mean(axis=1), y.mean(axis=1), y.std(axis=1, ddof=1) / math.sqrt(BIN_SHOTS)


def _fit(f: np.ndarray, y: np.ndarray, y_error: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Best parameters, weighted Jacobian and chi squared."""
    slope = (law(f * 1.001, *start) - law(f * 0.999, *start)) / (0.002 * f)
    sigma = np.sqrt(y_error**2 + (LEVEL_ERROR * y) ** 2 + (ENERGY_ERROR * slope * f) ** 2)
    limits = [0, 0, math.log(1e-9), -np.inf], [np.inf, np.inf, 0, np.inf]
    scale = [start[0], abs(start[1]), 1.0, abs(start[1])]
    found = least_squares(lambda p: (law(f, *p) - y) / sigma, start, bounds=limits, x_scale=scale)
    return found.x, found.jac, 2 * found.cost
