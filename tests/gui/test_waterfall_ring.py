import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui.waterfall_ring import HALF_ROWS, WaterfallRing

PIXELS = 12
KEPT = slice(2, 10)
PERIOD_S = 1e-3


def ring(hot: int | None = None) -> WaterfallRing:
    mask = np.zeros(PIXELS, bool)
    if hot is not None:
        mask[hot] = True
    return WaterfallRing(KEPT, np.full(PIXELS, 100.0), mask, 10.0)


def spectra(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 5000, (frames, PIXELS)).astype(np.uint16)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=12))
def test_rows_are_means_of_so_many_frames_whatever_the_pieces(pieces: list[int]) -> None:
    frames = sum(pieces)
    raw, time_s = spectra(frames), np.arange(frames) * PERIOD_S
    made = ring()
    for part in np.split(np.arange(frames), np.cumsum(pieces)[:-1]):
        made.add(raw[part], time_s[part])
    per_row = made.frames_per_row
    starts = np.arange(0, frames, per_row)
    counts = np.diff(np.r_[starts, frames])
    right = np.add.reduceat(raw[:, KEPT].astype(float), starts, axis=0) / counts[:, None] - 100.0
    assert len(made) <= 2 * HALF_ROWS
    np.testing.assert_allclose(made.rows, right, rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(made.start_s, time_s[starts])


def test_a_long_run_takes_no_more_memory_than_a_short_one() -> None:
    made = ring()
    before = made.nbytes
    raw = spectra(1000)
    for piece in range(50):
        made.add(raw, (np.arange(1000) + 1000 * piece) * PERIOD_S)
    assert made.nbytes == before
    assert HALF_ROWS <= len(made) <= 2 * HALF_ROWS
    assert made.frames == 50_000


def test_the_scale_rises_slowly_and_never_falls() -> None:
    made = ring()
    made.add(np.full((100, PIXELS), 600, np.uint16), np.arange(100) * PERIOD_S)
    made.follow(0.1)
    assert made.levels[1] == pytest.approx(500)
    made.add(np.full((100, PIXELS), 5100, np.uint16), np.arange(100, 200) * PERIOD_S)
    steps = []
    for _ in range(100):
        made.follow(0.1)
        steps.append(made.levels[1])
    assert max(np.diff([500, *steps])) < 0.06 * 4500
    assert steps[-1] == pytest.approx(5000, rel=0.02)
    for _ in range(30):
        made.add(np.full((1000, PIXELS), 110, np.uint16), np.arange(200, 1200) * PERIOD_S)
        made.follow(1.0)
    assert made.levels[1] >= steps[-1]


def test_on_request_the_scale_fits_at_once() -> None:
    made = ring()
    made.add(np.full((100, PIXELS), 600, np.uint16), np.arange(100) * PERIOD_S)
    made.follow(0.1)
    made.add(np.full((1000, PIXELS), 5100, np.uint16), np.arange(100, 1100) * PERIOD_S)
    made.reset_levels()
    assert made.levels[1] == pytest.approx(5000)


def test_a_hot_pixel_looks_like_its_neighbours() -> None:
    raw = np.full((10, PIXELS), 600, np.uint16)
    raw[:, 5] = 60_000
    made = ring(hot=5)
    made.add(raw, np.arange(10) * PERIOD_S)
    np.testing.assert_allclose(made.rows, 500.0)


def test_a_pause_stays_empty_on_the_even_axis() -> None:
    raw = np.full((200, PIXELS), 600, np.uint16)
    time_s = np.arange(200) * PERIOD_S
    time_s[100:] += 1.0
    made = ring()
    made.add(raw, time_s)
    lines = made.picture(0.0, 1.2, 120)[:, 0]
    np.testing.assert_allclose(lines[[0, 5, 9, 111, 119]], 500.0)
    assert np.isnan(lines[12:109]).all()


def test_nothing_yet_is_an_empty_picture() -> None:
    assert np.isnan(ring().picture(0.0, 1.0, 20)).all()
