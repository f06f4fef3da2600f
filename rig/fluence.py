"""Fluence against the angle of a half-wave plate: Malus' law, its inverse, its fit to measured energies, its uncertainty.

Pure numbers. Angles are the plate's own (deg); the law repeats every 90 deg, as the polarisation turns by twice the angle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.errors import Reason

Floats = NDArray[np.float64]

SETTING_ERROR = 0.005  # of the transmission, each time the plate is set anew, and the laser's slow drift; assumed
MIN_POINTS = 8
LEAST_PROBABILITY = 1e-4  # of a fit as bad as this one if the law were true
LEAST_MODULATION = 0.5  # (max - min) / (max + min); below this no polariser is at work, or the plate stands still
DARK_PART = 0.05  # of the open beam: what a meter may fail to see
OTHER_HARMONICS = {1: "once per turn", 2: "as cos^2 of the angle itself: a turning polariser?", 8: "twice as often"}


@dataclass(frozen=True, slots=True)
class Malus:
    """What passes a half-wave plate before a polariser: open * (x + (1 - x) cos^2(2 (angle - zero))).

    Parameters
    ----------
    open        greatest value, of whatever is spoken about (energy in uJ, fluence in uJ/cm2)
    zero_deg    an angle of the plate at which it is reached
    extinction  x, what the crossed polariser still lets through, as a part of it (0 to below 1)
    """

    open: float
    zero_deg: float
    extinction: float

    @property
    def lowest(self) -> float:
        """Get the least value that can be set."""
        return self.open * self.extinction

    def at(self, angle_deg: float) -> float:
        """Return what passes at an angle of the plate."""
        through = math.cos(2 * math.radians(angle_deg - self.zero_deg)) ** 2
        return self.open * (self.extinction + (1 - self.extinction) * through)

    def angle_deg(self, value: float) -> float:
        """Return the angle (deg, 0 to below 360) that lets `value` pass, on the branch of 0 to 45 deg from zero upwards.

        Raises
        ------
        ValueError  the value is not within `lowest` and `open`
        """
        if not self.lowest <= value <= self.open:
            raise ValueError(f"{value:g} is not within {self.lowest:g} and {self.open:g}")
        if value == self.lowest:
            return (self.zero_deg + 45.0) % 360.0
        through = (value / self.open - self.extinction) / (1 - self.extinction)
        blocked = (1 - value / self.open) / (1 - self.extinction)
        # the last bit may leave less than nothing of the smaller part
        turned = math.atan2(math.sqrt(max(blocked, 0.0)), math.sqrt(max(through, 0.0)))
        return (self.zero_deg + math.degrees(turned) / 2) % 360.0

    def scaled(self, factor: float) -> "Malus":
        """Return the law of another quantity, proportional to this one."""
        return Malus(self.open * factor, self.zero_deg, self.extinction)


def gradient(law: Malus, angle_deg: ArrayLike) -> Floats:
    """Return the derivatives of `law.at(angle)` by open, zero_deg and extinction, (3, n)."""
    turned = 2 * np.radians(np.atleast_1d(np.asarray(angle_deg, dtype=np.float64)) - law.zero_deg)
    through = np.cos(turned) ** 2
    by_zero = law.open * (1 - law.extinction) * np.sin(2 * turned) * 2 * np.pi / 180
    return np.array([law.extinction + (1 - law.extinction) * through, by_zero, law.open * (1 - through)])


@dataclass(frozen=True, slots=True, eq=False)
class MalusFit:
    """Malus' law fitted to energies.

    Parameters
    ----------
    law         what was found
    covariance  of open, zero_deg and extinction, (3, 3)
    chi2        sum of the squared residuals in units of their uncertainties
    freedom     number of points less number of parameters
    residuals   energies less the law, (n,)
    sigma       uncertainty of each energy that the fit was given, floor included, (n,)
    """

    law: Malus
    covariance: Floats
    chi2: float
    freedom: int
    residuals: Floats
    sigma: Floats

    @property
    def probability(self) -> float:
        """Get how probable a chi2 as great as this one is if the law is true."""
        return _probability(self.chi2, self.freedom)


def _probability(chi2: float, freedom: int) -> float:
    from scipy.special import chdtrc  # slow to import, and hardly ever needed; scipy.stats would be slower still

    return float(chdtrc(freedom, chi2))


def law_sigma(law: Malus, covariance: ArrayLike, angle_deg: float) -> float:
    """Return the standard uncertainty of `law.at(angle_deg)`: of its parameters, and of setting the plate once more."""
    slope = gradient(law, angle_deg)[:, 0]
    of_parameters = float(slope @ np.asarray(covariance, dtype=np.float64) @ slope)
    return math.sqrt(max(of_parameters, 0.0) + (SETTING_ERROR * law.at(angle_deg)) ** 2)


def fit_malus(angle_deg: ArrayLike, energy: ArrayLike, standard_error: ArrayLike) -> MalusFit:
    """Fit Malus' law to energies (n,) at angles (n,) with their standard errors (n,).

    Every point gets `SETTING_ERROR` of its energy besides. The zero is given within 0 and 90 deg; an extinction that comes out
    below nothing is held at 0.

    Raises
    ------
    ValueError  fewer than four points, not all at different angles modulo 90 deg, anything not finite, no effect of angle
    """
    angles, energies, errors = (np.asarray(given, dtype=np.float64) for given in (angle_deg, energy, standard_error))
    if len(np.unique(np.round(angles % 90.0, 3))) < 4 or not np.isfinite([angles, energies, errors]).all():
        raise ValueError("a fit of Malus' law needs finite energies at four different angles or more")
    sigma = np.hypot(errors, SETTING_ERROR * np.maximum(np.abs(energies), 1e-3 * np.abs(energies).max()))
    if not (sigma > 0).all():
        raise ValueError("there is no energy to fit")
    # linear in mean, cos and sin of four times the angle, so that the best fit is found without searching
    (mean, cosine, sine), of_linear, chi2 = _harmonic(angles, energies, sigma, 4)
    wave, full = math.hypot(cosine, sine), mean + math.hypot(cosine, sine)
    if not (wave > 1e-9 * abs(mean) and full > 0):
        raise ValueError("the energy does not change with the angle")
    law = Malus(full, math.degrees(math.atan2(sine, cosine)) / 4 % 90.0, (mean - wave) / full)
    by_wave = np.array([cosine, sine]) / wave
    slopes = np.array(
        [
            [1.0, *by_wave],
            [0.0, *(np.degrees([-sine, cosine]) / (4 * wave**2))],
            [2 * wave / full**2, *(-2 * mean / full**2 * by_wave)],
        ]
    )
    covariance = slopes @ of_linear @ slopes.T
    # (what is no Malus' law at all stays as it came out, and is objected to)
    if law.extinction < 0 and _probability(chi2, len(angles) - 3) >= LEAST_PROBABILITY:
        law, covariance = _without_extinction(law, covariance, angles, energies, sigma)
    residuals = energies - np.array([law.at(angle) for angle in angles.tolist()])
    chi2 = float(np.sum((residuals / sigma) ** 2))
    return MalusFit(law, covariance, chi2, len(angles) - 3, residuals, sigma)


def _without_extinction(law: Malus, covariance: Floats, *data: Floats) -> tuple[Malus, Floats]:
    """Fit once more with the extinction held at nothing, whose uncertainty stays."""
    angles, energies, sigma = data

    def curve(at_deg: Floats, full: float, zero: float) -> Floats:
        return full * np.cos(2 * np.radians(at_deg - zero)) ** 2

    from scipy.optimize import curve_fit  # slow to import, and hardly ever needed

    values, held = curve_fit(curve, angles, energies, [law.open, law.zero_deg], sigma, absolute_sigma=True)
    whole = np.zeros((3, 3))
    whole[:2, :2], whole[2, 2] = held, covariance[2, 2]
    return Malus(float(values[0]), float(values[1] % 90.0), 0.0), whole


def without_effect(energy: ArrayLike, where: str) -> list[Reason]:
    """Say that the angle does hardly anything to the energies (n,); to be asked before any fit."""
    energies = np.asarray(energy, dtype=np.float64)
    highest, lowest = float(energies.max()), float(energies.min())
    modulation = (highest - lowest) / (highest + lowest) if highest + lowest > 0 else 0.0
    if modulation >= LEAST_MODULATION:
        return []
    message = (
        f"between its greatest and least the energy changes by {100 * modulation:.3g} % (of their sum; at least "
        f"{100 * LEAST_MODULATION:g} % is needed): the plate does not turn, or no polariser follows it"
    )
    return [Reason("plate-without-effect", where, message)]


def objections(fit: MalusFit, angle_deg: ArrayLike, energy: ArrayLike, where: str) -> list[Reason]:
    """List why a fit must not be used: it has to describe what was measured, and that has to be Malus' law."""
    angles, energies = (np.asarray(given, dtype=np.float64) for given in (angle_deg, energy))
    if fit.probability >= LEAST_PROBABILITY and 0 <= fit.law.extinction < 1 and fit.law.open > 0:
        return []
    law, size = fit.chi2, float(np.sqrt(np.mean(fit.residuals**2)) / energies.max())
    other, how = min((_harmonic(angles, energies, fit.sigma, order)[2], text) for order, text in OTHER_HARMONICS.items())
    if other < law / 4:
        message = f"the energy does not repeat every 90 deg but goes {how} (chi2 {other:.3g} against {law:.3g})"
        return [Reason("wrong-harmonic", where, message)]
    message = (
        f"Malus' law misses the points by {100 * size:.2g} % of the greatest on average, chi2 {law:.3g} at {fit.freedom} "
        f"degrees of freedom (probability {fit.probability:.1g}, at least {LEAST_PROBABILITY:g} is needed): "
        "a saturated meter, a plate that skips, or a laser that drifts"
    )
    return [Reason("fit-does-not-describe", where, message)]


def _harmonic(angles: Floats, energies: Floats, sigma: Floats, order: int) -> tuple[Floats, Floats, float]:
    """Fit a + b cos(order angle) + c sin(order angle); return (a, b, c), their covariance and chi2."""
    turned = order * np.radians(angles)
    columns = np.column_stack([np.ones(len(angles)), np.cos(turned), np.sin(turned)]) / sigma[:, None]
    found = np.asarray(np.linalg.lstsq(columns, energies / sigma, rcond=None)[0], dtype=np.float64)
    covariance = np.asarray(np.linalg.pinv(columns.T @ columns), dtype=np.float64)
    return found, covariance, float(np.sum((columns @ found - energies / sigma) ** 2))


def quadrature(parts: Sequence[float]) -> float:
    """Return the root of the sum of squares of independent relative uncertainties."""
    return math.sqrt(sum(part * part for part in parts))
