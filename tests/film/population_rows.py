"""Quantiles of 200 devices against those specified. Acceptance: the 99 % sampling error of a quantile.

A quantile of n values that scatter with density p has the standard error sqrt(q (1 - q) / n) / p. The density is that of a
log-normal law through the specified 5 % and 95 % points, of each side apart, as the laws are skewed.
"""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
from film.row import Measured, Row
from scipy.stats import norm

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

DEVICES = 200
SIGMAS_OF_99_PERCENT = 2.576
LEVELS = (0.05, 0.50, 0.95)
PERCENT = 100.0


@functools.cache
def thresholds() -> dict[float, np.ndarray]:
    """Native thresholds (uJ/cm2) of the devices by voltage."""
    films = [Film(FilmParameters.sampled(f"CsPbBr3-{number:03d}")) for number in range(DEVICES)]
    return {v: np.array([film.native_threshold(v) for film in films]) for v in (0.0, 20.0)}


def reduction_percent() -> np.ndarray:
    return PERCENT * (1 - thresholds()[20.0] / thresholds()[0.0])


def relative_error(level: float, specified: tuple[float, float, float]) -> float:
    """Standard error of the quantile at `level`, relative."""
    low, middle, high = np.log(specified)
    away = float(norm.ppf(LEVELS[-1]))
    sigma = {0.05: (middle - low) / away, 0.50: (high - low) / (2 * away), 0.95: (high - middle) / away}[level]
    density = float(norm.pdf(norm.ppf(level))) / sigma
    return math.sqrt(level * (1 - level) / DEVICES) / density


def _rows(name: str, specified: tuple[float, float, float], values: Callable[[], np.ndarray]) -> Iterator[Row]:
    for level, value in zip(LEVELS, specified, strict=True):
        error = relative_error(level, specified)

        def measure(level: float = level, error: float = error) -> Measured:
            found = float(np.quantile(values(), level))
            return Measured(found, 1.96 * error * found)

        reach = SIGMAS_OF_99_PERCENT * error * value
        note = f"of {DEVICES} devices; specified {value:g}"
        quantity = f"{name}, {PERCENT * level:g} % quantile"
        yield Row("-", quantity, "-", measure, 1, round(value - reach, 1), round(value + reach, 1), note=note)


POPULATION_ROWS = [
    *_rows("native threshold at 0 V (uJ/cm2)", (56.0, 68.0, 90.0), lambda: thresholds()[0.0]),
    *_rows("native threshold at 20 V (uJ/cm2)", (26.0, 33.0, 45.0), lambda: thresholds()[20.0]),
    *_rows("threshold reduction at 20 V (%)", (45.0, 53.0, 57.0), reduction_percent),
]
