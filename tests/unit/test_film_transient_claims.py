"""The paper's transient absorption, measured on the simulated film as on a real one: noisy spectra in, claims out.

Claims C01-C03, C31-C34, C36-C51. The pump density is never told: it comes from the late bleach (Poisson), the gain from
lamp and pump-probe spectra, lifetimes from fits. One deviation from the paper is deliberate: the charged gain lasts near 203 ps
where the paper says 220 ps. Spectra that force 220 ps make the 537 nm trace rise after the pump; the claim's tolerance (45 ps)
holds without.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import curve_fit, least_squares
from scipy.special import erfc

from sim_instruments.film.charging import steady_fraction
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.pump_probe import PumpProbe

NOMINAL = FilmParameters.nominal()
SEED = 2021
PIXELS_NM = np.arange(480.0, 590.0, 0.5)
DELAYS_PS = np.concatenate([np.arange(-2.0, 2.0, 0.25), np.geomspace(2.0, 3000.0, 80)])
NEAR_4_PS = np.array([3.0, 3.5, 4.0, 4.5, 5.0])
AVERAGES = 200
PUMP_ERROR = 0.005  # of a fluence as set, relative
INSTRUMENT_PS = 0.08
LONGEST_PS = 1000.0  # for exponentials beside a constant: slower ones cannot be told from it within 3 ns


class Bench:
    """A film under the pump-probe spectrometer. Everything an experimenter can ask of it, and nothing else."""

    def __init__(self, parameters: FilmParameters, seed: int) -> None:
        self._parameters = parameters
        instrument, pump = np.random.SeedSequence(seed).spawn(2)
        self._spectrometer = PumpProbe(parameters, PIXELS_NM, instrument)
        self._pump = np.random.default_rng(pump)

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


def near(wavelength_nm: float, half_width_nm: float = 1.0) -> np.ndarray:
    return np.abs(PIXELS_NM - wavelength_nm) <= half_width_nm


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
    """Fit exponentials by variable projection to what follows cooling (from 2 ps on): X5."""
    cooled = delay_ps >= 2.0
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


def density_scale(bench: Bench, fluences: np.ndarray) -> tuple[float, float]:
    """kappa (cm2/uJ) and its error from the bleach after 1.2 ns without bias, when one exciton at most is left: X8."""
    late_ps = np.linspace(1200.0, 3000.0, 8)
    bleach = np.array([-bench.change(fluence, 0.0, late_ps)[:, near(514, 2)].mean() for fluence in fluences])
    best, covariance = curve_fit(lambda f, a, k: a * (1 - np.exp(-k * f)), fluences, bleach, p0=(bleach.max(), 0.03))
    return float(best[1]), float(np.sqrt(covariance[1, 1]))


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


# 4 ps of delay, many densities: one experiment for all claims about spectra and thresholds.

FLUENCES = np.geomspace(1.4, 71.0, 14)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(NOMINAL, SEED)


@pytest.fixture(scope="module")
def scale(bench: Bench) -> tuple[float, float]:
    return density_scale(bench, FLUENCES)


@pytest.fixture(scope="module")
def kappa(scale: tuple[float, float]) -> float:
    return scale[0]


@pytest.fixture(scope="module")
def thresholds(bench: Bench, kappa: float) -> dict[tuple[float, float], float]:
    """<N> at which -d(alpha)/alpha0 is 1 at 537 nm, by bias while pumped and bias of alpha0."""
    change = {v: np.array([bench.change(f, v)[:, near(537)].mean() for f in FLUENCES]) for v in (0.0, 20.0)}
    linear = {v: bench.linear(v)[near(537)].mean() for v in (0.0, 20.0)}
    return {(v, v0): crossing(kappa * FLUENCES, -change[v] / linear[v0]) for v in change for v0 in linear}


def test_density_scale(scale: tuple[float, float]) -> None:
    """C50."""
    kappa, error = scale
    assert kappa == pytest.approx(NOMINAL.transmission_coupling_cm2_per_uj, rel=0.05)
    assert 0 < error < 0.01 * kappa


def test_gain_thresholds(thresholds: dict[tuple[float, float], float]) -> None:
    """C31, C32, C02, C03. Both normalisations, R3: the paper's ratio refers to the unbiased film."""
    assert thresholds[0.0, 0.0] == pytest.approx(1.0, abs=0.12)
    assert thresholds[0.0, 0.0] >= 0.95
    assert thresholds[20.0, 0.0] == pytest.approx(0.5, abs=0.07)
    assert thresholds[20.0, 20.0] < 0.75


def test_true_net_gain_under_bias_begins_lower(thresholds: dict[tuple[float, float], float]) -> None:
    """R3, a prediction (the paper gives no number): 0.31 with the absorption at the same bias."""
    assert thresholds[20.0, 20.0] == pytest.approx(0.31, abs=0.03)


@pytest.mark.parametrize(("voltage_v", "lowest"), [(0.0, 1.3), (20.0, 0.5)])
def test_gain_lies_just_below_the_gap(bench: Bench, kappa: float, voltage_v: float, lowest: float) -> None:
    """C33: from 1.3 times the threshold (0 V), from <N> = 0.5 (20 V)."""
    for density in np.geomspace(lowest, 2.5, 5):
        spectrum = bench.pumped(density / kappa, voltage_v)
        assert spectrum.min() < 0
        assert 530 <= lowest_nm(spectrum, 5.0, 2)[0] <= 540


def test_gain_peak_shift(bench: Bench, kappa: float) -> None:
    """C37, C38: one claim (R5), 2 nm or 8 meV to the blue, at equal density."""
    off, on = (lowest_nm(bench.pumped(1.5 / kappa, v), 5.0, 2)[0] for v in (0.0, 20.0))
    assert on - off == pytest.approx(-2.0, abs=0.7)
    assert 1239.842e3 * (1 / on - 1 / off) == pytest.approx(8.6, abs=3.0)


def test_shift_is_the_difference_of_binding_energies() -> None:
    """C39 (meV)."""
    assert 8 <= 1e3 * (NOMINAL.biexciton_shift_ev - NOMINAL.trion_shift_ev) <= 15


def test_bleach_and_induced_absorption(bench: Bench, kappa: float) -> None:
    """C36: bleach at the band edge; beyond 550 nm weak induced absorption."""
    change = bench.change(0.3 / kappa, 0.0).mean(axis=0)
    assert change[near(514)].mean() < 0
    assert 0 < change[PIXELS_NM > 555].mean() < -0.1 * change[near(514)].mean()


def test_bleach_maximum_moves_and_drops_under_bias(bench: Bench, kappa: float) -> None:
    """C40, C41, R6 (opposite in sign to the gain's shift), R7."""
    (off_nm, off), (on_nm, on) = (lowest_nm(bench.change(0.06 / kappa, v).mean(axis=0), 7.0, 4) for v in (0.0, 20.0))
    assert off_nm == pytest.approx(514, abs=1.0)
    assert on_nm == pytest.approx(518, abs=1.5)
    assert 0.4 < on / off < 0.7


def test_film_in_transmission() -> None:
    """C34 at 400 nm, where the optical density is assumed to be meant (R8)."""
    lamp = PumpProbe(NOMINAL, np.arange(395.0, 405.5, 0.5), SEED).linear(0.0)
    assert lamp.mean() == pytest.approx(0.46, abs=0.02)


# Kinetics.


def trace(bench: Bench, wavelength_nm: float, fluence: float, voltage_v: float) -> np.ndarray:
    """-d(OD) at a wavelength +- 1 nm at all delays."""
    return -bench.change(fluence, voltage_v, DELAYS_PS)[:, near(wavelength_nm)].mean(axis=1)


def test_fast_bleach_component_appears_with_bias(bench: Bench, kappa: float) -> None:
    """C42: 290 ps at 20 V; without bias nothing decays faster than the single exciton."""
    on = decay(DELAYS_PS, trace(bench, 518, 0.06 / kappa, 20.0), 2, constant=False)
    assert on.lifetime_ps[0] == pytest.approx(290, abs=30)
    assert on.error_ps[0] < 10
    assert on.share[0] > 0.4
    off = decay(DELAYS_PS, trace(bench, 514, 0.06 / kappa, 0.0), 2, constant=False)
    assert off.share_between(0, 1000) < 0.10


def test_bias_adds_a_component_that_the_data_demand(bench: Bench, kappa: float) -> None:
    """C42 by the number of terms."""
    on = trace(bench, 518, 0.06 / kappa, 20.0)
    one, two = (decay(DELAYS_PS, on, terms, constant=False) for terms in (1, 2))
    assert two.bic < one.bic - 10


def test_stimulated_emission_under_bias(bench: Bench, kappa: float) -> None:
    """C43, C44: 290 ps at any density."""
    fits = {n: decay(DELAYS_PS, trace(bench, 537, n / kappa, 20.0), 1, constant=True) for n in (0.3, 0.5, 0.7, 0.9, 1.2)}
    assert fits[0.7].lifetime_ps[0] == pytest.approx(290, abs=35)
    assert fits[0.7].share[0] > 0.7
    lifetimes = np.array([fit.lifetime_ps[0] for fit in fits.values()])
    assert np.ptp(lifetimes) / lifetimes.mean() < 0.15


def test_charged_biexcitons_play_no_major_role(bench: Bench, kappa: float) -> None:
    """C51."""
    fit = decay(DELAYS_PS, trace(bench, 537, 0.7 / kappa, 20.0), 2, constant=True)
    assert fit.share_between(0, 60) < 0.15


def test_neutral_gain_decay(bench: Bench, kappa: float) -> None:
    """C45."""
    fit = decay(DELAYS_PS, trace(bench, 537, 1.2 / kappa, 0.0), 2, constant=True)
    main = fit.share[:2].argmax()
    assert fit.lifetime_ps[main] == pytest.approx(80, abs=12)
    assert fit.share[main] > 0.6


def test_fast_component_without_bias_grows_with_density(bench: Bench, kappa: float) -> None:
    """C46. The constant is the 7 ns of the single exciton here, so that the same fit serves all densities."""
    densities = (0.06, 0.12, 0.25, 0.5, 0.8, 1.2, 2.0)
    fits = [decay(DELAYS_PS, trace(bench, 537, n / kappa, 0.0), 2, constant=False) for n in densities]
    shares = [fit.share_between(40, 120) for fit in fits]
    assert all(low < high for low, high in pairwise(shares))
    assert shares[0] < 0.25
    assert shares[densities.index(1.2)] > 0.6


def gain_lifetime_ps(bench: Bench, fluence: float, voltage_v: float) -> float:
    """First delay after cooling at which the fitted absorbance at 537 nm is positive again: X7, both at the same bias."""
    fit = best_decay(DELAYS_PS, trace(bench, 537, fluence, voltage_v))
    fine_ps = np.arange(2.0, 1000.0, 0.05)
    absorbance = bench.linear(voltage_v)[near(537)].mean() - fit.at(fine_ps)
    assert absorbance[0] < 0
    return float(fine_ps[np.argmax(absorbance > 0)])


def test_gain_lifetimes(bench: Bench, kappa: float) -> None:
    """C47-C49, R2: durations of net gain, not decay constants. Near 203 ps is meant where the paper says 220 ps."""
    charged, neutral = gain_lifetime_ps(bench, 0.7 / kappa, 20.0), gain_lifetime_ps(bench, 1.2 / kappa, 0.0)
    assert charged == pytest.approx(220, abs=45)
    assert charged == pytest.approx(203, abs=10)
    assert neutral == pytest.approx(24, abs=5)
    assert 6 < charged / neutral < 12


# Not only the nominal device.


@pytest.mark.parametrize("number", range(20))
def test_any_device_of_the_batch_switches_its_gain(number: int) -> None:
    """Net gain at lower density, further to the blue; at low density, where pairs are few, its own trion's lifetime."""
    device = FilmParameters.sampled(f"CsPbBr3-{number:02d}")
    bench = Bench(device, number)
    kappa, _ = density_scale(bench, FLUENCES)
    assert kappa == pytest.approx(device.transmission_coupling_cm2_per_uj, rel=0.05)
    gain = {v: [-bench.pumped(f, v)[near(537)].mean() for f in FLUENCES] for v in (0.0, 20.0)}
    off, on = (float(np.interp(0.0, values, kappa * FLUENCES)) for values in gain.values())
    assert off > 0.95
    assert on < 0.5 * off
    off_nm, on_nm = (lowest_nm(bench.pumped(1.5 / kappa, v), 5.0, 2)[0] for v in (0.0, 20.0))
    assert on_nm - off_nm == pytest.approx(-2.0, abs=0.7)
    fit = decay(DELAYS_PS, trace(bench, 537, 0.1 / kappa, 20.0), 1, constant=True)
    assert fit.lifetime_ps[0] == pytest.approx(device.trion_ps, rel=0.03)
