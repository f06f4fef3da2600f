"""Spectra per second from trigger edges to raw counts, fresh noise, beside the cost of the noise alone (same run).

python benchmarks/film_rendering.py
"""

import sys
import time

import numpy as np

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import PIXELS, Spectrograph

PERIOD_NS = 1_000_000
DELAY_NS = 100_000
SPECTRA = 5120
REPEATS = 5


def render_s(chunk: int) -> float:
    """Time for SPECTRA spectra in chunks, 20 V switched on for the second half (s)."""
    path = LightPath(PumpLaser(1, 40.0, DELAY_NS), Film(FilmParameters.nominal()), Spectrograph(2))
    path.film.set_voltage(20.0, SPECTRA // 2 * PERIOD_NS)
    starts = np.arange(SPECTRA, dtype=np.int64) * PERIOD_NS
    begin = time.perf_counter()
    for i in range(0, SPECTRA, chunk):
        rise = starts[i : i + chunk]
        path.laser_triggered(Edges(rise, rise + 10_000, 0.0, 5.0))
        path.expose(rise, rise + 500_000)
    return time.perf_counter() - begin


def noise_s(chunk: int) -> float:
    """Time for as many float32 normal numbers, nothing else (s)."""
    generator, buffer = np.random.Generator(np.random.SFC64(1)), np.empty((chunk, PIXELS), np.float32)
    begin = time.perf_counter()
    for _ in range(0, SPECTRA, chunk):
        generator.standard_normal(dtype=np.float32, out=buffer)
    return time.perf_counter() - begin


def main() -> None:
    print(f"{'chunk':>6} {'spectra/s':>10} {'ms/chunk':>9} {'noise alone/s':>14} {'ratio':>6}")
    for chunk in (1, 5, 15, 20, 25, 256):
        # interleaved, best of several: the machine may be doing other things
        pairs = [(render_s(chunk), noise_s(chunk)) for _ in range(REPEATS)]
        render, noise = (min(times) for times in zip(*pairs, strict=True))
        rates = f"{SPECTRA / render:10.0f} {render / SPECTRA * chunk * 1e3:9.3f} {SPECTRA / noise:14.0f}"
        print(f"{chunk:6d} {rates} {noise / render:6.2f}")


if __name__ == "__main__":
    sys.exit(main())
