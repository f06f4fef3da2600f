"""Decays of the weakly pumped film by photon counting, and what is read off their histograms (rule X5)."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares, root_scalar
from scipy.signal import lfilter

from sim_instruments.film.charging import SlowState, steady_fraction
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import Decay, pulsed
from sim_instruments.tcspc import PhotonCounter

VOLTAGES = (0.0, 5.0, 10.0, 15.0, 20.0)
WEAK_UJ_CM2 = 0.002
BIN_PS = 4.0
BINS = 6000
MERGED = 3
RESPONSE_BINS = 80  # merged ones; beyond there is only background
FIRST_PS = -600.0


def at_rest(parameters: FilmParameters, voltage_v: float, n: int = 1) -> SlowState:
    """A film that has been charged, but whose ions have not moved."""
    every = np.ones(n)
    return SlowState(voltage_v * every, steady_fraction(parameters, voltage_v) * every, 0 * every, 0 * every, 0 * every)


def weak_decay(parameters: FilmParameters, voltage_v: float, fluence_uj_cm2: float = WEAK_UJ_CM2) -> Decay:
    photons, lifetime = pulsed(parameters, np.array([fluence_uj_cm2]), at_rest(parameters, voltage_v))
    return Decay(photons[0], lifetime[0])


def fallen_to_1_e_ns(histogram: np.ndarray, edges_ps: np.ndarray) -> float:
    """Time from the pulse to the first bin after the peak that holds less than 1/e of it."""
    peak = int(histogram.argmax())
    first = peak + int(np.argmax(histogram[peak:] < histogram[peak] / np.e))
    return float(edges_ps[first] + edges_ps[first + 1]) / 2000


class Fit(NamedTuple):
    """`fast_share` is that of the initial rate."""

    lifetimes_ns: np.ndarray
    errors_ns: np.ndarray
    fast_share: float
    bic: float

    @property
    def fall_ns(self) -> float:
        """1/e time of the decay itself, free of the instrument's response."""
        fast, slow = self.lifetimes_ns[0], self.lifetimes_ns[-1]

        def left(t_ns: float) -> float:
            return self.fast_share * np.exp(-t_ns / fast) + (1 - self.fast_share) * np.exp(-t_ns / slow) - 1 / np.e

        return float(root_scalar(left, bracket=(0.0, 2 * slow)).root)


def exponentials(histogram: np.ndarray, response: np.ndarray, bin_ns: float, guess_ns: list[float]) -> Fit:
    """Variable projection: exponentials convolved with a measured response, and a constant; Poisson weights from the fit."""

    def columns(log_ns: np.ndarray) -> np.ndarray:
        parts = [np.ones_like(response)]
        for bins in np.exp(log_ns) / bin_ns:  # light spread evenly over its bin decays into this and all later ones
            kept = np.exp(-1 / bins)
            same = 1 - bins * (1 - kept)
            parts.append(np.asarray(lfilter([same, bins * (1 - kept) ** 2 - kept * same], [1, -kept], response)))
        return np.column_stack(parts)

    def amplitudes(log_ns: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(columns(log_ns) * weight[:, None], histogram * weight, rcond=None)[0]

    def misses(log_ns: np.ndarray) -> np.ndarray:
        return (columns(log_ns) @ amplitudes(log_ns) - histogram) * weight

    between = np.log(0.03), np.log(30.0)
    weight = 1 / np.sqrt(np.maximum(histogram, 4.0))
    found = least_squares(misses, np.log(guess_ns), bounds=between)
    weight = 1 / np.sqrt(np.maximum(columns(found.x) @ amplitudes(found.x), 1.0))
    found = least_squares(misses, found.x, bounds=between)
    lifetimes, areas = np.exp(found.x), amplitudes(found.x)[1:]
    errors = lifetimes * np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    heights = areas / lifetimes
    bic = 2 * found.cost + (2 * len(guess_ns) + 1) * np.log(len(histogram))
    return Fit(lifetimes, errors, float(heights[0] / heights.sum()), float(bic))


class Trace(NamedTuple):
    """A decay at one voltage, 12 ps bins: histogram, and the fits with one and two parts."""

    histogram: np.ndarray
    single: Fit
    double: Fit

    @property
    def best(self) -> Fit:
        """As many parts as the Bayesian criterion allows."""
        return min(self.single, self.double, key=lambda fit: fit.bic)

    @property
    def smooth_1_e_ns(self) -> float:
        """1/e time of the histogram, smoothed over 60 ps."""
        edges_ps = FIRST_PS + MERGED * BIN_PS * np.arange(len(self.histogram) + 1)
        return fallen_to_1_e_ns(np.convolve(self.histogram, np.ones(5) / 5, "same"), edges_ps)


def decays(parameters: FilmParameters, seed: int) -> dict[float, Trace]:
    """Decays of all voltages and the instrument's response, from one counter."""
    chain, measured = PhotonCounter(seed, bins=BINS, bin_ps=BIN_PS, first_ps=FIRST_PS), {}
    scattered = chain.count(np.array([2e-5]), np.array([0.1]), 200_000_000)

    def rebinned(counts: np.ndarray) -> np.ndarray:
        return counts.reshape(-1, MERGED).sum(axis=1).astype(float)

    response = np.maximum(rebinned(scattered) - MERGED * chain.background_per_bin, 0.0)
    response[RESPONSE_BINS:] = 0
    for voltage_v in VOLTAGES:
        histogram = rebinned(chain.count(*weak_decay(parameters, voltage_v), 60_000_000))
        single, double = (exponentials(histogram, response, MERGED * BIN_PS / 1000, guess) for guess in ([3.0], [0.2, 5.0]))
        measured[voltage_v] = Trace(histogram, single, double)
    return measured


def brightness_ladder(parameters: FilmParameters, seed: int) -> np.ndarray:
    """Light at all voltages relative to 0 V, which is measured before and after; 1 % per shot, over nine lifetimes."""
    chain, shots = PhotonCounter(seed, bin_ps=16.0, bins=4000), 20_000_000
    background = chain.background_per_bin * 4000
    counts = [chain.count(*weak_decay(parameters, v), shots).sum() - background for v in (*VOLTAGES, 0.0)]
    return np.array(counts[:-1]) / np.mean([counts[0], counts[-1]])
