"""Weak light: how bright, how fast, how soon, and the control device. Source: paper, Figure 4, which gives few numbers."""

import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
from film.cw_trace import CYCLES, cw_trace, held, modulated, recovered, slow_tail
from film.edge_bench import EdgeBench
from film.photon_histogram import VOLTAGES, WEAK_UJ_CM2, Fit, Trace, brightness_ladder, decays
from film.row import SEED, Measured, Row, repeated, times

from rig.analysis.statistics import student_t
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import pulsed
from sim_instruments.film.variants import device
from sim_instruments.tcspc import PhotonCounter

NOMINAL = FilmParameters.nominal()
PMMA = device(variant="pmma")
S = 1_000_000_000
PERCENT = 100.0
MS_PER_S = 1000.0
READ_A = (2e-4, 1e-9)  # share of the range, and the floor
RANGES_A = (1e-6, 1e-5, 1e-4, 1e-3)
PREDICTION = "prediction"

Edge = Literal["on", "off"]


@functools.cache
def traces(seed: int = SEED) -> dict[float, Trace]:
    return decays(NOMINAL, seed)


@functools.cache
def steps() -> dict[str, np.ndarray]:
    return modulated(NOMINAL, SEED)


@functools.cache
def ladder(seed: int) -> np.ndarray:
    return brightness_ladder(NOMINAL, seed)


@functools.cache
def hold(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return held(NOMINAL, seed)


def brightness(voltage_v: float) -> Callable[[], Measured]:
    return repeated(lambda seed: float(ladder(seed)[VOLTAGES.index(voltage_v)]))


def slowest_step(values: Callable[[int], list[float]]) -> Callable[[], Measured]:
    """Largest ratio of neighbours: below 1, values fall at every step."""
    return repeated(lambda seed: max(high / low for low, high in pairwise(values(seed))))


def fall_times_ns(seed: int) -> list[float]:
    return [traces(seed)[v].best.fall_ns for v in VOLTAGES]


def part_ns(fit: Callable[[], Fit], part: int) -> Measured:
    return Measured(float(fit().lifetimes_ns[part]), 1.96 * float(fit().errors_ns[part]))


def response_ms(edge: Edge) -> Measured:
    """10-90 % time, mean of ten edges."""
    rise_s = steps()[edge][:, 2] - steps()[edge][:, 0]
    half_s = student_t(0.975, CYCLES - 1) * rise_s.std(ddof=1) / math.sqrt(CYCLES)
    return times(Measured(float(rise_s.mean()), float(half_s)), MS_PER_S)


def period_s() -> Measured:
    half_s = 2.0 * np.arange(CYCLES) + steps()["on"][:, 1]
    fit, covariance = np.polyfit(np.arange(CYCLES), half_s, 1, cov=True)
    return Measured(float(fit[0]), student_t(0.975, CYCLES - 2) * math.sqrt(covariance[0, 0]))


def tail(edge: Edge, number: int, factor: float = 1.0) -> Callable[[], Measured]:
    """Time constant (0) or relative amplitude (1) of what follows the fast step."""
    return repeated(lambda seed: factor * slow_tail(*hold(seed), edge)[number])


def lifetime_left(seed: int) -> float:
    """Mean arrival time a second after 30 s of bias, relative to that before."""
    film = Film(NOMINAL)
    film.set_voltage(20.0, S)
    film.set_voltage(0.0, 31 * S)
    before, after = (_arrival_ps(film, t_s, PhotonCounter(seed + t_s)) for t_s in (0, 32))
    return after / before


def _arrival_ps(film: Film, t_s: int, chain: PhotonCounter) -> float:
    light = pulsed(film.parameters, np.array([WEAK_UJ_CM2]), film.state(np.array([t_s * S], np.int64)))
    centre_ps = (chain.edges_ps[1:] + chain.edges_ps[:-1]) / 2
    counts = chain.count(light.photons[0], light.lifetime_ps[0], 20_000_000) - chain.background_per_bin
    return float((counts * centre_ps).sum() / counts.sum())


def current_a(film: Film, t_s: float, noise: np.random.Generator) -> float:
    """A reading of the source-meter at 20 V on the lowest range that holds it. Source of its noise: assumed."""
    true_a = film.current_a(20.0, round(t_s * S))
    range_a = next(full for full in RANGES_A if abs(true_a) < full)
    return true_a + (READ_A[0] * range_a + READ_A[1]) * float(noise.standard_normal())


def biased(parameters: FilmParameters) -> Film:
    film = Film(parameters)
    film.set_voltage(20.0, 0)
    return film


def current_change(seed: int) -> float:
    """Percent in 30 s at 20 V, from 0.1 s on."""
    film, noise = biased(NOMINAL), np.random.default_rng(seed)
    return PERCENT * (current_a(film, 30.0, noise) / current_a(film, 0.1, noise) - 1)


def pmma_current_ua(seed: int) -> float:
    return 1e6 * current_a(biased(PMMA), 0.1, np.random.default_rng(seed))


def pmma_current_share(seed: int) -> float:
    noise = np.random.default_rng(seed)
    return PERCENT * current_a(biased(PMMA), 0.1, noise) / current_a(biased(NOMINAL), 0.1, noise)


def pmma_dimming(seed: int) -> float:
    """Change of the continuous light (%) from 1 s at 0 V to 1 s at 20 V."""
    film = Film(PMMA)
    film.set_voltage(20.0, S)
    t_s, light = cw_trace(film, 2.0, seed)
    return PERCENT * float(light[t_s > 1.1].mean() / light[t_s < 0.99].mean() - 1)


def pmma_lifetime(seed: int) -> float:
    """Change (%) of the fitted lifetime from 0 to 20 V."""
    measured = decays(PMMA, seed)
    off, on = (measured[v].single.lifetimes_ns[0] for v in (0.0, 20.0))
    return PERCENT * float(on / off - 1)


def pmma_stark_nm(seed: int) -> float:
    """Shift of the band's centre from 0 to 20 V, pumped with 10 uJ/cm2."""
    bench, centre_nm = EdgeBench(PMMA, seed), []
    bench.pump(10.0)
    for voltage_v in (0.0, 20.0):
        bench.bias(voltage_v)
        line = bench.line(bench.shots(400).light)
        if line.centre_nm is None:
            raise ValueError(line.reason)
        centre_nm.append(line.centre_nm)
    return centre_nm[1] - centre_nm[0]


def _ladder_row(voltage_v: float, expected: float) -> Row:
    name = f"light at {voltage_v:g} V / 0 V"
    return Row("C53", name, "falls", brightness(voltage_v), 3, expected - 0.012, expected + 0.012, note=PREDICTION)


def _fall_row(voltage_v: float, expected_ns: float) -> Row:
    """Of the fit, within 10 % of the law's: (1 - f) e^(-t/tau_X) + 2 f e^(-t/tau_T) = (1 + f)/e."""
    name = f"1/e time at {voltage_v:g} V (ns)"
    measure = repeated(lambda seed: traces(seed)[voltage_v].best.fall_ns)
    return Row("C54", name, "faster", measure, 2, 0.9 * expected_ns, 1.1 * expected_ns, note=PREDICTION)


def _fast_row(voltage_v: float) -> Row:
    measure = functools.partial(part_ns, lambda: traces()[voltage_v].double, 0)
    return Row("C54", f"fast part of the decay at {voltage_v:g} V (ns)", "~0.29", measure, 3, 0.25, 0.33)


def _response_row(edge: Edge) -> Row:
    name = f"response of the light {edge.upper()}, 10-90 % (ms)"
    note = "frames of 10 ms widen it by 8 ms"
    return Row("C58", name, "< 100", functools.partial(response_ms, edge), 0, 0, 100, whole=True, note=note)


LUMINESCENCE_ROWS = [
    *(_ladder_row(v, share) for v, share in ((5.0, 0.73), (10.0, 0.42), (15.0, 0.27), (20.0, 0.20))),
    Row(
        "C53",
        "light, largest ratio from one voltage to the next",
        "falls",
        slowest_step(lambda seed: list(ladder(seed))),
        3,
        0,
        1,
        whole=True,
    ),
    *(_fall_row(v, ns) for v, ns in zip(VOLTAGES, (7.00, 3.70, 0.64, 0.41, 0.35), strict=True)),
    Row(
        "C54",
        "1/e time, largest ratio from one voltage to the next",
        "faster",
        slowest_step(fall_times_ns),
        3,
        0,
        1,
        whole=True,
    ),
    *(_fast_row(v) for v in VOLTAGES[1:]),
    Row(
        "C54",
        "decay at 0 V, one exponential (ns)",
        "-",
        functools.partial(part_ns, lambda: traces()[0.0].single, 0),
        2,
        6.8,
        7.2,
        note="7 ns of the single exciton, from literature",
    ),
    Row(
        "C54",
        "slow part of the decay at 20 V (ns)",
        "-",
        functools.partial(part_ns, lambda: traces()[20.0].double, 1),
        2,
        4.48,
        4.86,
        note=PREDICTION,
    ),
    Row("C56", "period of the light under 0.5 Hz (s)", "2", period_s, 3, 1.995, 2.005),
    _response_row("on"),
    _response_row("off"),
    Row("C59", "slow time constant at 20 V (s)", "> 1", tail("on", 0), 1, 2, 10),
    Row("C59", "slow time constant at 0 V, afterwards (s)", "> 1", tail("off", 0), 1, 2, 10),
    Row(
        "C59",
        "slow tail of the light at 20 V / fast step (%)",
        "slow part",
        tail("on", 1, PERCENT),
        2,
        0.3,
        10,
        note=PREDICTION,
    ),
    Row("C59", "slow tail of the light at 0 V / fast step (%)", "slow part", tail("off", 1, PERCENT), 2, 1, 5, note=PREDICTION),
    Row(
        "C60",
        "fast part of the change at 20 V (%)",
        "dominates",
        repeated(lambda seed: PERCENT / (1 + slow_tail(*hold(seed), "on")[1])),
        1,
        90,
        100,
    ),
    Row("C59", "current after 30 s at 20 V (%)", "ions, > 1 s", repeated(current_change), 1, -20, -5, note=PREDICTION),
    Row(
        "C14",
        "light 1 s after 30 s at 20 V (%)",
        "recovers",
        repeated(lambda seed: PERCENT * recovered(*hold(seed))[0]),
        1,
        97,
        101,
    ),
    Row(
        "C14",
        "light 20 s after 30 s at 20 V (%)",
        "recovers",
        repeated(lambda seed: PERCENT * recovered(*hold(seed))[1]),
        2,
        99,
        101,
    ),
    Row("C14", "lifetime 1 s after 30 s at 20 V, relative", "recovers", repeated(lifetime_left), 3, 0.97, 1.03),
    Row("C62", "PMMA device: light at 20 V (%)", "no change", repeated(pmma_dimming), 2, -2, 2),
    Row("C62", "PMMA device: lifetime at 20 V (%)", "no change", repeated(pmma_lifetime), 1, -3, 3),
    Row("C62", "PMMA device: current at 20 V / bare device (%)", "no injection", repeated(pmma_current_share), 3, 0, 1),
    Row("C62", "PMMA device: current at 20 V (uA)", "no injection", repeated(pmma_current_ua), 3, 0.19, 0.21, note=PREDICTION),
    Row(
        "C63",
        "PMMA device: shift of the band at 20 V (nm)",
        "no Stark effect",
        repeated(pmma_stark_nm),
        2,
        -0.3,
        0.3,
        note="0.15 nm assumed",
    ),
]
