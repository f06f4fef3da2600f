import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gui.trace_pyramid import POINTS_PER_PIXEL, TracePyramid

NAMES = ("a", "b")
PERIOD_S = 1e-3


def pyramid(values: np.ndarray, pieces: int = 1, time_s: np.ndarray | None = None) -> TracePyramid:
    made = TracePyramid(NAMES)
    times = np.arange(len(values)) * PERIOD_S if time_s is None else time_s
    for part in np.array_split(np.arange(len(values)), pieces):
        made.append(times[part], {"a": values[part], "b": -values[part]}, np.isnan(values[part]))
    return made


def finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_no_extreme_is_ever_lost_however_it_came_in(frames: int, pieces: int, seed: int, pixels: int) -> None:
    values = np.random.default_rng(seed).normal(size=frames)
    seen = pyramid(values, pieces).view(-1.0, frames, pixels).values
    assert finite(seen["a"]).max() == values.max()
    assert finite(seen["a"]).min() == values.min()
    assert finite(seen["b"]).max() == (-values).max()


@pytest.mark.parametrize("frames", [1_000, 30_000, 300_000])
def test_what_is_drawn_depends_on_the_pixels_not_on_the_run(frames: int) -> None:
    seen = pyramid(np.random.default_rng(0).normal(size=frames)).view(0.0, frames * PERIOD_S, 1000)
    assert 1000 <= len(seen.time_s) <= POINTS_PER_PIXEL * 1000 + 4


def test_near_by_every_shot_is_a_point_with_its_exact_value() -> None:
    values = np.random.default_rng(1).normal(size=100_000)
    seen = pyramid(values).view(50.0, 50.1, 1000)
    assert seen.exact
    first = round(float(seen.time_s[0]) / PERIOD_S)
    np.testing.assert_array_equal(seen.values["a"], values[first : first + len(seen.time_s)])
    assert seen.time_s[0] <= 50.0
    assert seen.time_s[-1] >= 50.1


def test_a_frame_without_light_to_show_leaves_a_gap_and_a_mark() -> None:
    values = np.ones(1000)
    values[500] = np.nan
    seen = pyramid(values).view(0.4, 0.6, 1000)
    at = seen.time_s[np.isnan(seen.values["a"])]
    np.testing.assert_allclose(at, [0.5])
    np.testing.assert_allclose(seen.bad_s, [0.5])


@pytest.mark.parametrize("pixels", [2000, 40])
def test_where_nothing_was_measured_the_line_is_broken(pixels: int) -> None:
    time_s = np.arange(4096) * PERIOD_S
    time_s[2048:] += 5.0
    seen = pyramid(np.ones(4096), time_s=time_s).view(0.0, 10.0, pixels)
    broken = np.flatnonzero(np.isnan(seen.values["a"]))
    assert len(broken) == 1
    assert seen.time_s[broken[0] - 1] < 2.1
    assert seen.time_s[broken[0] + 1] > 7.0


def test_far_away_a_bad_frame_is_still_marked() -> None:
    values = np.ones(400_000)
    values[123_456] = np.nan
    seen = pyramid(values).view(0.0, 400.0, 500)
    assert len(seen.bad_s) == 1
    assert abs(seen.bad_s[0] - 123.456) < 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 5000), st.data())
def test_rewritten_frames_are_as_if_they_had_come_so(frames: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, frames - 1))
    last = data.draw(st.integers(first + 1, frames))
    values = np.random.default_rng(2).normal(size=frames)
    made = pyramid(values)
    values[first:last] *= 100
    made.rewrite(first, {"a": values[first:last], "b": -values[first:last]})
    right = pyramid(values)
    for pixels in (7, 10_000):
        np.testing.assert_array_equal(made.view(0, 9, pixels).values["a"], right.view(0, 9, pixels).values["a"])


def test_a_clock_that_runs_back_stands_still() -> None:
    time_s = np.array([0.0, 1.0, 0.5, np.nan, 2.0])
    made = pyramid(np.arange(5.0), time_s=time_s)
    np.testing.assert_array_equal(made.time_s, [0.0, 1.0, 1.0, 1.0, 2.0])


def test_a_frame_takes_some_ten_bytes() -> None:
    assert pyramid(np.ones(100_000)).nbytes / 100_000 < 40


def test_an_empty_one_can_be_drawn() -> None:
    assert len(TracePyramid(NAMES).view(0.0, 1.0, 100).time_s) == 0
