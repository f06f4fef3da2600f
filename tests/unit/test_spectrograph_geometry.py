"""Spectrographs of other geometries look at the same film."""

import numpy as np
import pytest
from numpy.polynomial.polynomial import polyval

from rig.bench import default_bench
from sim_instruments.catalogue import entries
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import OCEAN_FX, Spectrograph
from sim_instruments.world import World

MS = 1_000_000
MODELS = [entry for entry in entries() if entry.role == "spectrometer"]


def world(model: str, seed: int = 4, *, pooled_noise: bool = False) -> World:
    description = default_bench().description()
    description["spectrometer"]["model"] = model
    description["pump"]["fluence_uj_cm2"] = 40.0
    for in_the_beam in ("attenuator", "shutter", "energy_meter"):
        description.pop(in_the_beam, None)
    return World(description, seed, pooled_noise=pooled_noise)


@pytest.mark.parametrize("pooled_noise", [False, True])
@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.model)
def test_a_shot_s_light_is_at_its_wavelength_whatever_the_pixels(entry, pooled_noise: bool) -> None:  # type: ignore[no-untyped-def]
    path = world(entry.model, pooled_noise=pooled_noise).light_path
    rise_ns = 2_000 * MS + np.arange(50, dtype=np.int64) * MS
    path.laser_triggered(Edges(rise_ns, rise_ns + 1000, 0.0, 5.0))
    raw = path.expose(rise_ns, rise_ns + MS // 2).astype(float)
    assert raw.shape == (50, entry.geometry.pixels)
    path.emit_until(3_000 * MS)
    dark_ns = 3_000 * MS + np.arange(50, dtype=np.int64) * MS
    light = raw.mean(axis=0) - path.expose(dark_ns, dark_ns + MS // 2).mean(axis=0)
    wavelength_nm = polyval(np.arange(entry.geometry.pixels), path.wavelength_coefficients)
    lit = (wavelength_nm > 480) & (wavelength_nm < 570)
    centre_nm = float((light * wavelength_nm)[lit].sum() / light[lit].sum())
    assert centre_nm == pytest.approx(522, abs=5)
    assert abs(light[~lit].mean()) < 0.02 * light[lit].max()


def test_the_default_geometry_is_the_one_that_is_named() -> None:
    one, other = Spectrograph(7), Spectrograph(7, geometry=OCEAN_FX)
    assert one.wavelength_coefficients == other.wavelength_coefficients
    assert (one.hot_pixels == other.hot_pixels).all()


def test_there_is_more_than_one_geometry() -> None:
    assert len({entry.geometry.pixels for entry in MODELS}) > 1
