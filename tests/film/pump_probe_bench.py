"""A film under the pump-probe spectrometer, and what an experimenter reads from its spectra (rules X6, X7, X8)."""

from functools import cached_property

import numpy as np
from film.kinetics import COOLED_PS, best_decay
from scipy.optimize import curve_fit

from sim_instruments.film.charging import steady_fraction
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.pump_probe import PumpProbe

PIXELS_NM = np.arange(480.0, 590.0, 0.5)
DELAYS_PS = np.concatenate([np.arange(-2.0, 2.0, 0.25), np.geomspace(2.0, 3000.0, 80)])
NEAR_4_PS = np.array([3.0, 3.5, 4.0, 4.5, 5.0])
LATE_PS = np.linspace(1200.0, 3000.0, 8)
FLUENCES = np.geomspace(1.4, 71.0, 14)
AVERAGES = 200
PUMP_ERROR = 0.005  # of a fluence as set, relative


class Bench:
    """All that an experimenter can ask of the film. The pump density is never told: it is measured first."""

    def __init__(self, parameters: FilmParameters, seed: int) -> None:
        self._parameters = parameters
        instrument, pump = np.random.SeedSequence(seed).spawn(2)
        self._spectrometer = PumpProbe(parameters, PIXELS_NM, instrument)
        self._pump = np.random.default_rng(pump)
        self.density_scale = self._density_scale()

    def linear(self, voltage_v: float) -> np.ndarray:
        charged = steady_fraction(self._parameters, voltage_v)
        return np.mean([self._spectrometer.linear(charged) for _ in range(20)], axis=0)

    def change(self, fluence: float, voltage_v: float, delay_ps: np.ndarray = NEAR_4_PS) -> np.ndarray:
        """Change of absorbance (k, n)."""
        fluence *= 1 + PUMP_ERROR * float(self._pump.standard_normal())
        charged = steady_fraction(self._parameters, voltage_v)
        return self._spectrometer.transient(fluence, charged, delay_ps, AVERAGES).od

    def pumped(self, fluence: float, voltage_v: float) -> np.ndarray:
        """Absorbance (n,) 4 ps after the pump; negative is gain."""
        return self.linear(voltage_v) + self.change(fluence, voltage_v).mean(axis=0)

    def trace(self, wavelength_nm: float, density: float, voltage_v: float) -> np.ndarray:
        """-d(OD) at a wavelength +- 1 nm at all delays, pumped to <N> = `density`."""
        return -self.change(self.fluence(density), voltage_v, DELAYS_PS)[:, near(wavelength_nm)].mean(axis=1)

    def _density_scale(self) -> tuple[float, float]:
        """kappa (cm2/uJ) and its error from the bleach after 1.2 ns without bias, when one exciton at most is left: X8."""
        bleach = np.array([-self.change(fluence, 0.0, LATE_PS)[:, near(514, 2)].mean() for fluence in FLUENCES])
        best, covariance = curve_fit(lambda f, a, k: a * (1 - np.exp(-k * f)), FLUENCES, bleach, p0=(bleach.max(), 0.03))
        return float(best[1]), float(np.sqrt(covariance[1, 1]))

    def fluence(self, density: float) -> float:
        """Fluence (uJ/cm2) for <N> = `density` on the measured scale."""
        return density / self.density_scale[0]

    @cached_property
    def thresholds(self) -> dict[tuple[float, float], float]:
        """<N> at which -d(alpha)/alpha0 is 1 at 537 nm, by bias while pumped and bias of alpha0."""
        density = self.density_scale[0] * FLUENCES
        change = {v: np.array([self.change(f, v)[:, near(537)].mean() for f in FLUENCES]) for v in (0.0, 20.0)}
        linear = {v: self.linear(v)[near(537)].mean() for v in (0.0, 20.0)}
        return {(v, v0): crossing(density, -change[v] / linear[v0]) for v in change for v0 in linear}

    def gain_peak_nm(self, density: float, voltage_v: float) -> float:
        """Wavelength of the largest gain at 4 ps."""
        return lowest_nm(self.pumped(self.fluence(density), voltage_v), 5.0, 2)[0]

    def bleach(self, density: float, voltage_v: float) -> tuple[float, float]:
        """Wavelength (nm) and (negative) size of the largest bleach at 4 ps."""
        return lowest_nm(self.change(self.fluence(density), voltage_v).mean(axis=0), 7.0, 4)

    def gain_lifetime_ps(self, density: float, voltage_v: float) -> float:
        """First delay after cooling at which the fitted absorbance at 537 nm is positive again: X7, both at the same bias.

        Raises ValueError when there is no gain to begin with.
        """
        fit = best_decay(DELAYS_PS, self.trace(537, density, voltage_v))
        fine_ps = np.arange(COOLED_PS, 1000.0, 0.05)
        absorbance = self.linear(voltage_v)[near(537)].mean() - fit.at(fine_ps)
        if absorbance[0] > 0:
            raise ValueError(f"no gain at <N> = {density} and {voltage_v} V")
        return float(fine_ps[np.argmax(absorbance > 0)])


def near(wavelength_nm: float, half_width_nm: float = 1.0) -> np.ndarray:
    return np.abs(PIXELS_NM - wavelength_nm) <= half_width_nm


def crossing(densities: np.ndarray, ratio: np.ndarray) -> float:
    """Density at which `ratio` is 1: parabola through the six points nearest to it: X6."""
    six = np.sort(np.argsort(np.abs(ratio - 1))[:6])
    roots = np.roots(np.polyfit(densities[six], ratio[six] - 1, 2))
    real = roots[np.isreal(roots)].real
    middle = np.interp(1.0, ratio[six], densities[six])
    return float(real[np.argmin(np.abs(real - middle))])


def lowest_nm(spectrum: np.ndarray, half_width_nm: float, degree: int) -> tuple[float, float]:
    """Position and depth of the minimum, from a polynomial around the lowest pixel."""
    window = near(PIXELS_NM[spectrum.argmin()], half_width_nm)
    centre_nm = PIXELS_NM[window].mean()
    fit = np.polynomial.Polynomial.fit(PIXELS_NM[window], spectrum[window], degree)
    fine_nm = np.linspace(centre_nm - half_width_nm / 2, centre_nm + half_width_nm / 2, 2001)
    values = fit(fine_nm)
    return float(fine_nm[values.argmin()]), float(values.min())
