from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_analysis_synthetic import (
    ELECTRONS_PER_COUNT,
    NONLINEARITY,
    READ_NOISE_COUNTS,
    WAVELENGTH_NM,
    Film,
    Run,
    make_run,
    through_detector,
)

from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, Band, band_slice, band_trace
from rig.analysis.correction import fill_hot, light_counts

COLD = np.zeros(2136, np.bool_)


@cache
def the_run() -> Run:
    return make_run(cycles=1, shots=40)


def trace(spectra: np.ndarray, band: tuple[float, float], hot: np.ndarray = COLD) -> tuple[np.ndarray, np.ndarray]:
    pixels = band_slice(WAVELENGTH_NM, *band)
    return band_trace(spectra, the_run().dark, NONLINEARITY, hot, pixels, ELECTRONS_PER_COUNT, READ_NOISE_COUNTS)


@pytest.mark.parametrize("band", [SE_BAND_NM, ASE_BAND_NM, (522.5, 22.5)])
def test_a_band_holds_exactly_the_pixels_inside_it(band: tuple[float, float]):
    pixels = band_slice(WAVELENGTH_NM, *band)
    inside = np.abs(WAVELENGTH_NM - band[0]) <= band[1]
    assert np.flatnonzero(inside).tolist() == list(range(pixels.start, pixels.stop))


def test_a_band_off_the_spectrometer_is_refused():
    with pytest.raises(ValueError, match="no pixel between"):
        band_slice(WAVELENGTH_NM, 300.0, 1.0)
    with pytest.raises(ValueError, match="no pixel between"):
        band_slice(WAVELENGTH_NM, 520.0, float("nan"))


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 80), max_size=12),
    band=st.sampled_from([SE_BAND_NM, ASE_BAND_NM, (522.5, 22.5), (535.0, 0.12), (535.0, 0.3)]),
    hot_pixel=st.none() | st.integers(905, 915),
    order=st.sampled_from(("C", "F")),
)
def test_a_frame_gives_the_same_bits_in_whatever_batch(
    cuts: list[int], band: tuple[float, float], hot_pixel: int | None, order: Literal["C", "F"]
):
    hot = COLD.copy()
    if hot_pixel is not None:
        hot[hot_pixel] = True
    spectra = the_run().spectra
    whole, whole_error = trace(spectra, band, hot)
    edges = [0, *sorted(cuts), 80]
    parts = [trace(spectra[a:b].copy(order=order), band, hot) for a, b in pairwise(edges)]
    assert np.concatenate([p[0] for p in parts]).tobytes() == whole.tobytes()
    assert np.concatenate([p[1] for p in parts]).tobytes() == whole_error.tobytes()


def test_single_frames_give_the_bits_of_the_whole():
    spectra = the_run().spectra
    whole, _ = trace(spectra, ASE_BAND_NM)
    assert np.concatenate([trace(frame[None], ASE_BAND_NM)[0] for frame in spectra]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("hot_pixels", [(), (908,), (907, 908, 909), (903,)])
def test_the_trace_is_the_mean_of_corrected_and_filled_pixels(hot_pixels: tuple[int, ...]):
    run, pixels = the_run(), band_slice(WAVELENGTH_NM, *ASE_BAND_NM)
    hot = COLD.copy()
    hot[list(hot_pixels)] = True
    light = fill_hot(light_counts(run.spectra, run.dark, NONLINEARITY), hot)
    np.testing.assert_allclose(trace(run.spectra, ASE_BAND_NM, hot)[0], light[:, pixels].mean(axis=1), rtol=1e-12)


def test_a_band_of_hot_pixels_only_lives_on_its_neighbours():
    pixels = band_slice(WAVELENGTH_NM, *ASE_BAND_NM)
    hot = COLD.copy()
    hot[pixels] = True
    light = light_counts(the_run().spectra, the_run().dark, NONLINEARITY)
    expected = 0.5 * (light[:, pixels.start - 1] + light[:, pixels.stop])
    np.testing.assert_allclose(trace(the_run().spectra, ASE_BAND_NM, hot)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(("on", "hot_pixels"), [(False, ()), (True, ()), (False, (842, 843)), (True, (908,))])
def test_the_error_is_the_scatter_of_equal_shots(on: bool, hot_pixels: tuple[int, ...]):
    rng = np.random.default_rng(9)
    window = slice(780, 980)
    light = np.tile(Film().light(on)[window], (4000, 1))
    spectra = np.zeros((4000, 2136), np.uint16)
    spectra[:, window] = through_detector(light, rng, the_run().dark[window])
    hot = COLD.copy()
    hot[list(hot_pixels)] = True
    for band in (SE_BAND_NM, ASE_BAND_NM):
        counts, sigma = trace(spectra, band, hot)
        assert np.std(counts) == pytest.approx(np.sqrt(np.mean(sigma**2)), rel=0.05)


def test_darkness_has_read_noise_and_no_nan():
    dark = the_run().dark
    counts, sigma = trace(np.floor(dark).astype(np.uint16)[None] - np.uint16(50), SE_BAND_NM)
    pixels = band_slice(WAVELENGTH_NM, *SE_BAND_NM)
    assert counts[0] < 0
    assert sigma[0] == pytest.approx(READ_NOISE_COUNTS / np.sqrt(pixels.stop - pixels.start))


def test_a_prepared_band_gives_what_the_one_call_gives():
    run, pixels = the_run(), band_slice(WAVELENGTH_NM, *SE_BAND_NM)
    band = Band.prepare(run.dark, NONLINEARITY, COLD, pixels, ELECTRONS_PER_COUNT, READ_NOISE_COUNTS)
    prepared, one_call = band.trace(run.spectra), trace(run.spectra, SE_BAND_NM)
    assert prepared[0].tobytes() == one_call[0].tobytes()
    assert prepared[1].tobytes() == one_call[1].tobytes()
    assert band.trace(run.spectra[:0])[0].shape == (0,)
