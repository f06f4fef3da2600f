"""Noise of rendered frames: variance = (light / 3 + 12^2) slope^2 + 1/12, in counts^2, whatever the light is made of."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import Spectrograph

MS = 1_000_000
FRAMES = 3000
FULL_SCALE = 65535.0


def steady(t_ns: NDArray[np.int64], fluence: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A laser that gives 40 uJ/cm2 with every pulse, so that what varies is the detector."""
    return t_ns, np.full_like(fluence, 40.0)


@pytest.mark.parametrize(("voltage_v", "shots"), [(0.0, 1), (20.0, 1), (0.0, 10), (20.0, 10)])
def test_variance_of_a_rendered_frame(voltage_v: float, shots: int) -> None:
    """Within 2 %, in the dark and at every level of light; frames of ten shots are read once. Pairs take out slow drift."""
    path = LightPath(PumpLaser(1, 40.0, 100_000), Film(FilmParameters.nominal()), Spectrograph(2))
    path.pulse_faults.append(steady)
    path.film.set_voltage(voltage_v, 0)
    start_ns = 30_000 * MS
    rise_ns = start_ns + np.arange(FRAMES * shots, dtype=np.int64) * MS
    path.laser_triggered(Edges(rise_ns, rise_ns + 10_000, 0.0, 5.0))
    dark_ns = np.arange(500, dtype=np.int64) * MS
    dark = path.expose(dark_ns, dark_ns + MS // 2).mean(axis=0)
    open_ns = rise_ns[::shots]
    frames = path.expose(open_ns, open_ns + (shots - 1) * MS + MS // 2).astype(np.float64)

    variance = np.mean(np.diff(frames, axis=0) ** 2, axis=0) / 2
    counts = frames.mean(axis=0) - dark
    light = counts / np.polynomial.polynomial.polyval(counts, path.nonlinearity_coefficients)
    q = light / FULL_SCALE
    slope = 1 - 2 * 0.035 * q + 3 * 0.010 * q**2
    ratio = variance / ((light / 3 + 12**2) * slope**2 + 1 / 12)
    brightest = light.max()
    for low, high in ((-np.inf, 0.01), (0.01, 0.2), (0.2, 0.6), (0.6, np.inf)):
        there = (low * brightest <= light) & (light < high * brightest)
        assert there.sum() >= 8
        assert ratio[there].mean() == pytest.approx(1.0, abs=0.02)
