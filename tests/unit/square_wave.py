"""Light of a weakly pumped film under a square wave and in a long hold, in frames, and what the film itself does meanwhile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.step_response import Edges, Trace
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import cw_frames, cw_yield

Floats = NDArray[np.float64]

S = 1_000_000_000
CYCLES = 10
FULL_COUNTS_PER_S = 1.74e8  # band sum at 0 V, 15 000 counts in the highest pixel of a 10 ms frame
BAND_PIXELS = 150
READ_COUNTS = 12.0
ELECTRONS_PER_COUNT = 3.0
PUMP_NOISE = 0.002  # per frame, assumed
DEAD_SHARE = 0.003  # of the exposure, so that edges meet frames in ever other phases


@dataclass(frozen=True, slots=True)
class Chain:
    """Exposure (s) and how noisy the pump is from frame to frame."""

    exposure_s: float = 0.01
    pump_noise: float = PUMP_NOISE

    def frames(self, film: Film, until_s: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Start (s) and band sum (counts) of free-running frames from a random phase on."""
        exposure_ns = round(self.exposure_s * S)
        period_ns = round(exposure_ns * (1 + DEAD_SHARE))
        open_ns = np.arange(int(rng.integers(0, period_ns)), round(until_s * S) - exposure_ns, period_ns, dtype=np.int64)
        counts = FULL_COUNTS_PER_S * self.exposure_s * cw_frames(film, open_ns, open_ns + exposure_ns)
        counts *= 1 + self.pump_noise * rng.standard_normal(len(counts))
        sigma = np.sqrt(counts / ELECTRONS_PER_COUNT + BAND_PIXELS * READ_COUNTS**2)
        return np.multiply(open_ns, 1e-9, dtype=np.float64), counts + sigma * rng.standard_normal(len(counts))


def square_wave(
    parameters: FilmParameters, seed: int, chain: Chain | None = None, cycles: int = CYCLES
) -> tuple[Trace, Edges, Film]:
    """0.5 Hz between 0 and 20 V, ON first at 1 s."""
    film, chain = Film(parameters), chain or Chain()
    for cycle in range(cycles):
        film.set_voltage(20.0, (2 * cycle + 1) * S)
        film.set_voltage(0.0, (2 * cycle + 2) * S)
    open_s, counts = chain.frames(film, 2 * cycles + 1.0, np.random.default_rng(seed))
    edges = Edges(np.arange(1.0, 2 * cycles + 1), np.arange(2 * cycles) % 2 == 0)
    return Trace(open_s, counts, np.zeros(len(open_s), np.bool_), chain.exposure_s), edges, film


def true_times(film: Film, edges: Edges, on: bool) -> tuple[float, float, float]:
    """10-90 %, 1 - 1/e and 95 % times (s) of the film's own light, edges averaged, without frames or noise."""
    since_s = np.arange(-0.5, 0.95, 5e-5)
    ways: list[Floats] = []
    for t_s in edges.t_s[edges.on == on]:
        light = cw_yield(film.parameters, film.state(np.round((t_s + since_s) * S).astype(np.int64)))
        before, after = light[since_s < -0.02].mean(), light[since_s >= 0.5].mean()
        ways.append((light - before) / (after - before))
    way = np.mean(ways, axis=0)
    ten, efold, ninety, settled = (_first(since_s, way, level) for level in (0.1, 1 - np.exp(-1.0), 0.9, 0.95))
    return ninety - ten, efold, settled


def _first(t_s: Floats, way: Floats, level: float) -> float:
    after = int(np.argmax(way >= level))
    return float(np.interp(level, way[after - 1 : after + 1], t_s[after - 1 : after + 1]))


def long_hold(parameters: FilmParameters, seed: int, chain: Chain | None = None) -> tuple[Floats, Floats]:
    """20 V from 1 s to 31 s, then 0 V until 51 s: middle of the frame (s) and counts."""
    film, chain = Film(parameters), chain or Chain()
    film.set_voltage(20.0, S)
    film.set_voltage(0.0, 31 * S)
    open_s, counts = chain.frames(film, 51.0, np.random.default_rng(seed))
    return open_s + 0.5 * chain.exposure_s, counts


def parts_of_hold(t_s: Floats, counts: Floats, edge: str) -> tuple[Floats, Floats, Floats]:
    """Arguments of `slow_part`: plateau before the edge, time since it and light, from where the fast step is over."""
    edge_s, first_s, last_s = {"on": (1.0, 0.2, 29.98), "off": (31.0, 0.4, 19.9)}[edge]
    since_s = t_s - edge_s
    tail = (since_s >= first_s) & (since_s <= last_s)
    return counts[(since_s > -0.9) & (since_s < -0.02)], since_s[tail], counts[tail]
