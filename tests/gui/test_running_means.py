import numpy as np
import pytest

from gui.running_means import RunningMeans
from rig.analysis.correction import mean_spectra

PIXELS = 30
NONLINEARITY = (1.0, -1e-6, 3e-12)


@pytest.mark.parametrize("piece", [1, 37, 5000])
def test_means_and_parts_are_those_of_the_analysis_however_the_frames_came(piece: int) -> None:
    noise = np.random.default_rng(0)
    frames = 5000
    spectra = noise.integers(1000, 40_000, (frames, PIXELS)).astype(np.uint16)
    state = (np.arange(frames) // 200 % 2).astype(np.int8)
    use = noise.random(frames) < 0.9
    dark, hot = np.full(PIXELS, 900.0), np.zeros(PIXELS, bool)
    hot[[0, 7, 8]] = True
    made = RunningMeans(dark, hot, NONLINEARITY)
    for first in range(0, frames, piece):
        part = slice(first, first + piece)
        made.add(spectra[part], state[part], use[part])
    right = mean_spectra([(spectra, state, np.zeros(frames, int), use)], dark, NONLINEARITY, hot)
    found = made.means()
    np.testing.assert_array_equal(found.frames, right.frames)
    np.testing.assert_allclose(found.per_cycle, right.per_cycle, rtol=1e-12)
    for mine, theirs in zip(found.parts, right.parts, strict=True):
        assert len(mine) == 20
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_a_state_without_a_frame_has_no_mean() -> None:
    made = RunningMeans(np.zeros(PIXELS), np.zeros(PIXELS, bool), NONLINEARITY)
    made.add(np.ones((3, PIXELS), np.uint16), np.zeros(3, np.int8), np.array([True, True, False]))
    assert made.frames == (2, 0)
    assert made.mean(1) is None
    assert np.isnan(made.means().mean(1)).sum() == 0
