from itertools import pairwise

import numpy as np
import pytest
from test_analysis_synthetic import NONLINEARITY, WAVELENGTH_NM, Film, make_run, through_detector

from rig.analysis.bands import band_slice
from rig.analysis.correction import (
    dark_statistics,
    fill_hot,
    good_neighbours,
    light_counts,
    mean_spectra,
    missed_pulses,
    saturated,
)

DARK = np.array([100.0, 200.5, 300.0])
RAW = np.array([[100, 1200, 40300]], np.uint16)


def test_light_follows_the_polynomial_of_the_instrument():
    x = np.array([0.0, 999.5, 40000.0])
    r = 1.0 - 5e-7 * x + 2e-12 * x**2
    np.testing.assert_allclose(light_counts(RAW, DARK, (1.0, -5e-7, 2e-12))[0], x / r, rtol=1e-14)


@pytest.mark.parametrize("never_calibrated", [(), (0.0, 0.0, 0.0), (1.0,)])
def test_without_calibration_light_is_raw_minus_dark(never_calibrated: tuple[float, ...]):
    assert light_counts(RAW, DARK, never_calibrated).tolist() == [[0.0, 999.5, 40000.0]]


def test_a_pixel_slice_gives_the_same_numbers_as_the_whole():
    whole = light_counts(RAW, DARK, NONLINEARITY)
    assert (light_counts(RAW, DARK, NONLINEARITY, slice(1, 3)) == whole[:, 1:3]).all()


@pytest.mark.fault("Y7")
def test_one_pixel_at_62000_voids_a_frame_unless_it_is_hot():
    spectra = np.full((4, 10), 1500, np.uint16)
    spectra[1, 3], spectra[2, 5], spectra[3, 5] = 61_999, 62_000, 65_535
    spectra[3, 7] = 62_001
    assert saturated(spectra).tolist() == [False, False, True, True]
    assert saturated(spectra, ignore=np.arange(10) == 5).tolist() == [False, False, False, True]
    assert saturated(spectra[:0]).shape == (0,)


def make_darks(frames: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    offset = 1480 + 9 * rng.normal(size=2136) + np.linspace(-60, 60, 2136)
    return through_detector(np.zeros((frames, 2136)), rng, offset)


@pytest.mark.parametrize("frames", [20, 400])
def test_hot_noisy_and_stuck_pixels_are_found_and_nothing_else(frames: int):
    darks = make_darks(frames)
    rng = np.random.default_rng(5)
    darks[:, 70] += 300
    darks[:, 900] += 3000
    darks[:, 901] = 1481
    darks[:, 1500] = np.clip(1480 + 400 * rng.normal(size=frames), 0, None).astype(np.uint16)
    statistics = dark_statistics(darks)
    assert np.flatnonzero(statistics.hot).tolist() == [70, 900, 901, 1500]
    assert statistics.read_noise_counts == pytest.approx(12.0, rel=0.05)
    np.testing.assert_array_equal(statistics.mean, darks.mean(axis=0))
    np.testing.assert_allclose(statistics.variance, darks.astype(float).var(axis=0, ddof=1))


def test_two_darks_do_for_a_mean_and_one_does_not():
    darks = make_darks(2)
    assert not dark_statistics(darks).hot.any()
    with pytest.raises(ValueError, match="two dark frames"):
        dark_statistics(darks[:1])


def test_a_noise_free_detector_has_no_hot_pixels():
    assert not dark_statistics(np.full((10, 200), 1480, np.uint16)).hot.any()


def test_hot_pixels_become_the_mean_of_their_good_neighbours():
    light = np.array([9.0, 2.0, 99.0, 99.0, 6.0, 1.0, 99.0])
    hot = light > 50
    assert fill_hot(light, hot).tolist() == [9.0, 2.0, 4.0, 4.0, 6.0, 1.0, 1.0]
    assert light[2] == 99.0
    with pytest.raises(ValueError, match="every pixel"):
        good_neighbours(np.ones(3, np.bool_))


@pytest.mark.fault("I11")
def test_missed_pulses_alone_and_in_bursts():
    missed = (5, 77, 150, *range(200, 225))
    run = make_run(shots=60, missed=missed)
    light = light_counts(run.spectra, run.dark, NONLINEARITY, band_slice(WAVELENGTH_NM, 522.5, 22.5)).mean(axis=1)
    found = missed_pulses(light, 2 * run.cycle + run.state)
    assert np.flatnonzero(found).tolist() == list(missed)


def test_the_slow_return_after_an_edge_is_not_a_missed_pulse():
    stretch = np.repeat([0, 1, 2], 200)
    light = np.where(stretch == 1, 20.0, 100.0)
    light[400:] -= 80 * np.exp(-np.arange(200) / 25)
    light[[300, 405, 500]] = 0.0
    assert np.flatnonzero(missed_pulses(light, stretch)).tolist() == [300, 405, 500]


def test_nothing_is_called_missed_where_light_drowns_in_noise():
    light = np.random.default_rng(6).normal(1.0, 1.0, 2000)
    assert not missed_pulses(light, np.zeros(2000, np.int64)).any()
    assert missed_pulses(light[:0], np.zeros(0, np.int64)).shape == (0,)


def test_mean_spectra_are_means_of_corrected_used_frames_however_they_come():
    run = make_run(cycles=2, shots=30, missed=(3, 40))
    light = light_counts(run.spectra, run.dark, NONLINEARITY)
    cuts = (0, 1, 17, 17, 64, 120)
    batches = [(run.spectra[a:b], run.state[a:b], run.cycle[a:b], run.use[a:b]) for a, b in pairwise(cuts)]
    means = mean_spectra(batches, run.dark, NONLINEARITY)
    assert means.cycles.tolist() == [0, 1]
    assert means.frames.tolist() == [[29, 29], [30, 30]]
    for state in (0, 1):
        for c in (0, 1):
            chosen = run.use & (run.state == state) & (run.cycle == c)
            np.testing.assert_allclose(means.per_cycle[c, state], light[chosen].mean(axis=0), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(means.mean(state), light[run.use & (run.state == state)].mean(axis=0), rtol=1e-12, atol=1e-9)


def test_the_mean_is_right_for_a_line_that_comes_and_goes_at_full_scale():
    light = np.tile([0.0, 48_000.0], 50)[:, None] * np.ones(4)
    raw = np.rint(light * (1 - 0.1 * light / 65535)).astype(np.uint16)
    # r(x) of this detector: light = x / r(x) with r = (1 + sqrt(1 - 0.4 x / 65535)) / 2, to fifth order
    q = np.linspace(0, 0.7, 200)
    c = np.polynomial.polynomial.polyfit(q, 0.5 * (1 + np.sqrt(1 - 0.4 * q)), 5)
    coefficients = [float(a) / 65535**i for i, a in enumerate(c)]
    ones = np.ones(100, np.bool_)
    means = mean_spectra([(raw, ones, np.zeros(100, np.int64), ones)], np.zeros(4), coefficients)
    np.testing.assert_allclose(means.mean(1), 24_000.0, rtol=2e-4)


@pytest.mark.parametrize("frames", [1, 7, 20, 333, 1000])
def test_parts_are_means_of_consecutive_frames(frames: int):
    ramp = np.arange(frames, dtype=np.uint16)[:, None] * np.ones(3, np.uint16)
    used = np.ones(frames, np.bool_)
    off, on = mean_spectra([(ramp, used, np.zeros(frames, np.int64), used)], np.zeros(3), ()).parts
    assert off.shape == (0, 3)
    assert len(on) == min(20, frames)
    assert (np.diff(on[:, 0]) > 0).all()
    # equal parts of a ramp: their mean is the ramp's, their steps are a twentieth of it
    np.testing.assert_allclose(on[:, 0].mean(), (frames - 1) / 2, rtol=0.05)
    if frames >= 20:
        np.testing.assert_allclose(np.diff(on[:, 0]), frames / 20, rtol=0.15 if frames >= 333 else 0.5)


def test_frames_of_an_unknown_state_are_refused_when_used_and_ignored_when_not():
    raw, cycle = np.full((2, 5), 7, np.uint16), np.zeros(2, np.int64)
    state = np.array([1, 255], np.uint8)
    with pytest.raises(ValueError, match="state 255"):
        mean_spectra([(raw, state, cycle, np.array([True, True]))], np.zeros(5), ())
    means = mean_spectra([(raw, state, cycle, np.array([True, False]))], np.zeros(5), ())
    assert means.frames.tolist() == [[0, 1]]
    assert np.isnan(means.per_cycle[0, 0]).all()


def test_hot_pixels_are_filled_in_the_means():
    run = make_run(cycles=1, shots=20, hot_pixel=(900, 3000.0))
    hot = np.arange(2136) == 900
    cold_dark = np.where(hot, 1480.0, run.dark)
    means = mean_spectra([(run.spectra, run.state, run.cycle, run.use)], cold_dark, NONLINEARITY, hot)
    expected = Film().light(False)[900]
    assert abs(means.mean(0)[900] - expected) < 20
    assert np.abs(means.parts[0][:, 900] - expected).max() < 60
