"""Spectra per second from trigger edges to raw counts, with fresh and pooled noise, beside drawing the noise alone (same run).

Then the resident memory before and after 200 000 spectra. What it grows by is the record of pulses and exposures, 56 bytes a
spectrum, and what that has left behind in outgrowing its arrays.

python benchmarks/film_rendering.py
"""

import mmap
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sim_instruments.detector_noise import DetectorNoise, FreshNoise, PooledNoise
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import EXPOSURE, PULSE, LightPath
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import PIXELS, Spectrograph

PERIOD_NS = 1_000_000
DELAY_NS = 100_000
CHUNKS = (1, 20, 256)
SPECTRA = {1: 1024, 20: 5120, 256: 5120}
MANY = 200_000
REPEATS = 5
STATM = Path("/proc/self/statm")


def bench(noise: DetectorNoise) -> LightPath:
    return LightPath(PumpLaser(1, 40.0, DELAY_NS), Film(FilmParameters.nominal()), Spectrograph(2, noise=noise))


def frames(path: LightPath, spectra: int, chunk: int) -> Iterator[np.ndarray]:
    """Expose in chunks, 20 V switched on for the second half."""
    path.film.set_voltage(20.0, spectra // 2 * PERIOD_NS)
    for first in range(0, spectra, chunk):
        rise_ns = np.arange(first, min(first + chunk, spectra), dtype=np.int64) * PERIOD_NS
        path.laser_triggered(Edges(rise_ns, rise_ns + 10_000, 0.0, 5.0))
        yield path.expose(rise_ns, rise_ns + 500_000)


def render_s(chunk: int, noise: DetectorNoise) -> float:
    """Time per spectrum in chunks (s)."""
    path = bench(noise)
    begin = time.perf_counter()
    for _ in frames(path, SPECTRA[chunk], chunk):
        pass
    return (time.perf_counter() - begin) / SPECTRA[chunk]


def noise_s(chunk: int) -> float:
    """Time per spectrum to draw its normal numbers in chunks, nothing else (s)."""
    noise, buffer = FreshNoise(1), np.empty((chunk, PIXELS), np.float32)
    begin = time.perf_counter()
    for _ in range(0, SPECTRA[chunk], chunk):
        noise.fill(buffer)
    return (time.perf_counter() - begin) / SPECTRA[chunk]


def resident_mb() -> float:
    """Resident memory (MB); nan where the system does not tell."""
    return int(STATM.read_text().split()[1]) * mmap.PAGESIZE / 1e6 if STATM.exists() else float("nan")


def main() -> None:
    print("spectra/s; in brackets relative to drawing the noise alone")
    print(f"{'chunk':>6} {'noise alone':>12} {'fresh':>16} {'pooled':>16}")
    pool = PooledNoise(2, PIXELS)
    for chunk in CHUNKS:
        # interleaved, best of several: the machine may be doing other things
        runs = [(noise_s(chunk), render_s(chunk, FreshNoise(2)), render_s(chunk, pool)) for _ in range(REPEATS)]
        alone, fresh, pooled = (min(times) for times in zip(*runs, strict=True))
        rates = " ".join(f"{1 / each:8.0f} ({alone / each:5.2f})" for each in (fresh, pooled))
        print(f"{chunk:6d} {1 / alone:12.0f} {rates}")
    path = bench(pool)
    run = frames(path, MANY, 256)
    for _ in range(20):
        next(run)
    before = resident_mb()
    for _ in run:
        pass
    after = resident_mb()
    record = (len(path.record.pulses) * PULSE.itemsize + len(path.record.exposures) * EXPOSURE.itemsize) / 1e6
    print(f"resident: {before:.1f} MB before, {after:.1f} MB after {MANY} spectra, {record:.1f} MB of it the record")


if __name__ == "__main__":
    sys.exit(main())
