"""Noise of the detector: fresh counts stay what they always were, the pool is as good as its documentation says."""

import hashlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from world_bench import DESCRIPTION

from sim_instruments.detector_noise import DetectorNoise, FreshNoise, PooledNoise
from sim_instruments.spectrograph import PIXELS, Spectrograph
from sim_instruments.world import World

WIDTH = 24
STRETCH = 256
EXPOSURE_S = 500e-6


def drawn(noise: DetectorNoise, *counts: int, width: int = WIDTH) -> np.ndarray:
    parts = [np.empty((n, width), np.float32) for n in counts]
    for part in parts:
        noise.fill(part)
    return np.concatenate(parts)


def test_fresh_counts_are_bit_for_bit_what_they_were() -> None:
    """Checksum recorded before there was a choice of noise; whole range, all kinds of windows, saturation, long exposures."""
    spectrograph, light = Spectrograph(9), np.random.default_rng(1)
    digest = hashlib.sha256()
    for n, window, exposure_s in (
        (1, slice(500, 1300), 5e-4),
        (300, slice(500, 1300), 5e-4),
        (257, slice(0, PIXELS), 1e-3),
        (3, slice(1000, 1001), 10.0),
        (20, slice(0, 5), 5e-4),
    ):
        counts = light.uniform(0, 80_000, (n, window.stop - window.start)).astype(np.float32)
        exposures = np.asarray(exposure_s * (1 + 0.1 * np.arange(n) % 3), np.float64)
        digest.update(spectrograph.read(counts, window, exposures).tobytes())
    assert digest.hexdigest()[:16] == "9986d4d5fc006131"


def test_fresh_is_what_a_spectrograph_has_unless_told() -> None:
    light = np.full((5, 40), 3000, np.float32)
    default, chosen = (
        each.read(light.copy(), slice(1000, 1040), np.full(5, EXPOSURE_S))
        for each in (Spectrograph(3), Spectrograph(3, noise=FreshNoise(3)))
    )
    assert_array_equal(default, chosen)


@pytest.mark.parametrize("make", [FreshNoise, lambda seed: PooledNoise(seed, WIDTH, 600)])
def test_noise_does_not_depend_on_how_frames_are_divided(make: type[FreshNoise]) -> None:
    """Cuts at, before and after the end of a stretch, and one call beyond the whole pool."""
    whole = drawn(make(5), 2500)
    for counts in ([1] * 2500, [255, 1, 1, 255, 1988], [256, 2244], [257, 700, 1543]):
        assert_array_equal(drawn(make(5), *counts), whole)


def test_seed_fixes_the_pool_and_where_it_is_read() -> None:
    one, same, other = (drawn(PooledNoise(seed, WIDTH, 600), 1000) for seed in (1, 1, 2))
    assert_array_equal(one, same)
    frames, others = ({frame.tobytes() for frame in each} for each in (one, other))
    assert not frames & others


def test_pool_is_normal() -> None:
    """In every pixel, over the pool's length; a fresh draw of as many would miss the variance by 2 % in every third pixel."""
    pool = drawn(PooledNoise(1, WIDTH), 40 * 4096).astype(float)
    frames = np.unique(pool, axis=0)
    assert len(frames) == 4096
    assert_array_equal(np.abs(frames.mean(axis=0)) < 1e-6, True)
    assert frames.var(axis=0) == pytest.approx(np.ones(WIDTH), rel=1e-5)
    assert (frames**4).mean() == pytest.approx(3.0, rel=0.05)
    assert np.abs(np.corrcoef(frames.T) - np.eye(WIDTH)).max() < 5 / np.sqrt(4096)
    assert pool.var(axis=0) == pytest.approx(np.ones(WIDTH), rel=0.02)


def test_neighbouring_frames_are_not_correlated() -> None:
    """Lags up to the shortest distance at which a frame may come back; noise of the estimate: 1/sqrt(98 000)."""
    frames = drawn(PooledNoise(2, WIDTH), 4096).astype(float)
    for lag in (1, 2, 3, 10, 100, STRETCH):
        assert abs((frames[lag:] * frames[:-lag]).mean()) < 5 / np.sqrt(frames[lag:].size)


@pytest.mark.parametrize("size", [512, 700, 4096])
def test_a_frame_comes_back_after_257_frames_at_the_earliest(size: int) -> None:
    first = drawn(PooledNoise(3, WIDTH, size), 100_000)[:, 0]
    _, which = np.unique(first, return_inverse=True)
    order = np.argsort(which, kind="stable")
    again = np.diff(which[order]) == 0
    distance = np.diff(order)[again]
    assert which.max() + 1 == size
    assert distance.min() >= STRETCH + 1
    assert distance.mean() == pytest.approx(size, rel=0.05)


def test_a_pool_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="511 frames"):
        PooledNoise(1, WIDTH, 511)


@pytest.mark.parametrize("light", [0.0, 3000.0])
def test_counts_with_pooled_noise_have_the_specified_variance(light: float) -> None:
    """Within 2 %, in the window and beside it, and no pixel stands out."""
    window, n = slice(1000, 1040), 3000
    spectrograph = Spectrograph(1, noise=PooledNoise(1, PIXELS, 1024))
    raw = spectrograph.read(np.full((n, 40), light, np.float32), window, np.full(n, EXPOSURE_S))[:, 900:1140].astype(float)
    variance, slope = raw.var(axis=0), 1 - 2 * 0.035 * light / 65535
    assert variance[100:140].mean() == pytest.approx((light / 3 + 144) * slope**2 + 1 / 12, rel=0.02)
    assert np.delete(variance, slice(100, 140)).mean() == pytest.approx(144 + 1 / 12, rel=0.02)
    assert variance[:100].max() / variance[:100].min() < 1.4
    centred = raw - raw.mean(axis=0)
    assert abs((centred[1:] * centred[:-1]).mean() / variance.mean()) < 5 / np.sqrt(raw.size)


def test_a_world_has_pooled_noise_on_demand() -> None:
    """The same detector and the same light; only the noise differs, and pooled noise is its seed's as well."""
    open_ns = np.arange(2_000, 2_100, dtype=np.int64) * 1_000_000
    fresh, pooled, again = (
        World(DESCRIPTION, 4, pooled_noise=how).light_path.expose(open_ns, open_ns + 500_000).astype(float)
        for how in (False, True, True)
    )
    assert_array_equal(pooled, again)
    assert (fresh - pooled).std() == pytest.approx(12 * np.sqrt(2), rel=0.01)
    assert (fresh - pooled).mean() == pytest.approx(0.0, abs=0.2)
