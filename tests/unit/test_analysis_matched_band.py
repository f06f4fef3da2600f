"""Weak light by a matched filter: unbiased although its weights come from the same frames, blind to levels, errors true."""

import numpy as np
import pytest

from rig.analysis.matched_band import matched_light, wide_light

PIXELS = 390
LINE = np.exp(-0.5 * ((np.arange(PIXELS) - 170) / 49.0) ** 2)
AREA = float(LINE.sum())
READ_COUNTS = 12.0
DARK_FRAMES = 60


def frames(seed: int, peak_counts: np.ndarray, level_counts: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Dark-free light (n, pixels) of lines as high as `peak_counts` (n,), and the variance of the dark taken off."""
    draw = np.random.default_rng(seed)
    dark = draw.normal(0.0, READ_COUNTS / np.sqrt(DARK_FRAMES), PIXELS)
    noise = draw.normal(0.0, READ_COUNTS, (len(peak_counts), PIXELS))
    return peak_counts[:, None] * LINE + noise - dark + level_counts, np.full(PIXELS, READ_COUNTS**2 / DARK_FRAMES)


def halves(count: int) -> np.ndarray:
    return np.arange(count) % 2 == 0


def test_light_far_below_its_noise_is_right_on_the_average() -> None:
    peak_counts = np.repeat([40.0, 8.0], 30)  # 8 counts in 12 of noise per pixel
    found = [
        matched_light(light, halves(60), variance).counts for light, variance in (frames(s, peak_counts) for s in range(200))
    ]
    bright, faint = np.mean(found, axis=0)[:30].mean(), np.mean(found, axis=0)[30:].mean()
    assert faint / bright == pytest.approx(0.2, abs=0.002)


def test_weights_from_the_same_frames_would_not_be() -> None:
    ratios: list[float] = []
    for seed in range(100):
        light, _ = frames(seed, np.repeat([40.0, 8.0], 8))
        weights = light.mean(axis=0) - light.mean()
        naive = light @ weights
        ratios.append(float(naive[8:].mean() / naive[:8].mean()))
    assert np.mean(ratios) > 0.21


def test_a_constant_level_changes_nothing() -> None:
    peak_counts = np.full(20, 40.0)
    plain, shifted = (frames(1, peak_counts, level) for level in (0.0, 30.0))
    assert np.allclose(
        matched_light(plain[0], halves(20), plain[1]).counts, matched_light(shifted[0], halves(20), shifted[1]).counts
    )
    assert np.allclose(wide_light(*plain).counts, wide_light(*shifted).counts)


def test_counts_are_those_of_the_whole_line() -> None:
    light, variance = frames(3, np.full(200, 400.0))
    assert matched_light(light, halves(200), variance).counts.mean() == pytest.approx(400.0 * AREA, rel=0.03)
    assert wide_light(light, variance).counts.mean() == pytest.approx(400.0 * AREA, rel=0.03)


def test_the_matched_filter_scatters_less_than_the_plain_sum() -> None:
    light, variance = frames(4, np.full(200, 40.0))
    assert matched_light(light, halves(200), variance).counts.std() < 0.6 * wide_light(light, variance).counts.std()


def test_the_error_told_of_the_dark_is_the_one_it_makes() -> None:
    means, told = [], []
    for seed in range(150):
        light, variance = frames(seed, np.full(400, 40.0))
        band = wide_light(light, variance)
        means.append(band.counts.mean())
        told.append(band.dark_error)
    own = np.std(wide_light(*frames(0, np.full(400, 40.0))).counts) / np.sqrt(400)
    assert np.std(means) == pytest.approx(np.hypot(np.mean(told), own), rel=0.2)


def test_dark_frames_have_no_line_to_look_for() -> None:
    for seed in range(40):
        light, variance = frames(seed, np.zeros(40))
        with pytest.raises(ValueError, match="no light above the noise"):
            matched_light(light, halves(40), variance)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_frames_are_refused(count: int) -> None:
    light, variance = frames(1, np.full(count, 40.0))
    with pytest.raises(ValueError, match="at least 4 in two halves"):
        matched_light(light, halves(count), variance)
