"""Which frame belongs to which shot: trains with missed, invented and lost frames, on drifting clocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.assignment import NOBODY, assign_burst

PERIOD_NS = 1_000_000


def train(shots: int, ppm: float = 0.0, start_us: int = 123_456_789) -> tuple[np.ndarray, np.ndarray]:
    """Device times (us) and counts of a train in which nothing is missed."""
    t_us = start_us + np.floor(np.arange(shots) * PERIOD_NS * 1e-3 * (1.0 + ppm * 1e-6) + 0.37)
    return t_us.astype(np.uint64), (7 + np.arange(shots)).astype(np.uint32)


def test_a_whole_train_is_exact() -> None:
    t_us, count = train(2001, ppm=20.0)
    found = assign_burst(t_us, count, 2001, PERIOD_NS)
    assert found.exact
    assert np.array_equal(found.trigger, np.arange(2001))
    assert found.lost_in_link == 0


@pytest.mark.parametrize("ppm", [-200.0, -20.0, 20.0, 200.0])
def test_clock_drift_of_a_long_train_costs_no_shot(ppm: float) -> None:
    t_us, count = train(50_000, ppm)
    found = assign_burst(t_us, count, 50_000, PERIOD_NS)
    assert found.exact
    assert np.array_equal(found.trigger, np.arange(50_000))


@pytest.mark.fault("Y1")
def test_a_trigger_that_was_never_seen_leaves_a_step_of_two_periods() -> None:
    t_us, count = train(100)
    keep = np.arange(100) != 40
    found = assign_burst(t_us[keep], count[:99], 100, PERIOD_NS)  # the count does not know of it
    assert found.exact
    assert np.array_equal(found.trigger, np.flatnonzero(keep))


@pytest.mark.fault("Y4")
def test_a_frame_lost_after_read_out_shows_in_the_count() -> None:
    t_us, count = train(100)
    keep = (np.arange(100) < 40) | (np.arange(100) > 42)
    found = assign_burst(t_us[keep], count[keep], 100, PERIOD_NS)
    assert np.array_equal(found.trigger, np.flatnonzero(keep))
    assert found.lost_in_link == 3


def test_the_count_may_wrap() -> None:
    t_us, _ = train(10)
    count = (np.uint64(2**32 - 5) + np.arange(10, dtype=np.uint64)).astype(np.uint32)
    found = assign_burst(t_us, count, 10, PERIOD_NS)
    assert found.exact
    assert found.lost_in_link == 0


@pytest.mark.fault("Y1")
@pytest.mark.parametrize("end", ["first", "last"])
def test_a_trigger_missed_at_an_end_leaves_one_shot_of_doubt(end: str) -> None:
    t_us, count = train(100)
    part = slice(1, None) if end == "first" else slice(0, -1)
    found = assign_burst(t_us[part], count[part], 100, PERIOD_NS)
    assert found.uncertain == 1
    assert np.array_equal(found.trigger, np.arange(99))


@pytest.mark.fault("Y2")
def test_an_extra_frame_between_two_shots_belongs_to_nobody() -> None:
    t_us, _ = train(100)
    t_us = np.insert(t_us, 31, t_us[30] + 300)
    count = np.arange(101).astype(np.uint32)
    found = assign_burst(t_us, count, 100, PERIOD_NS)
    assert found.exact
    assert found.trigger[31] == NOBODY
    assert np.array_equal(np.delete(found.trigger, 31), np.arange(100))


@pytest.mark.fault("Y2")
def test_an_extra_frame_that_hid_a_shot_belongs_to_nobody() -> None:
    t_us, count = train(100)
    t_us[50] -= 300  # the edge came early, the planned one fell into the exposure and was not seen
    found = assign_burst(t_us, count, 100, PERIOD_NS)
    assert found.exact
    assert found.trigger[50] == NOBODY
    assert np.array_equal(np.delete(found.trigger, 50), np.delete(np.arange(100), 50))


def test_an_extra_frame_on_the_grid_outside_the_train_brings_doubt() -> None:
    t_us, count = train(101)
    found = assign_burst(t_us, count, 100, PERIOD_NS)
    assert found.uncertain == 1


@pytest.mark.fault("Y2")
def test_a_frame_delivered_twice_belongs_to_nobody() -> None:
    t_us, count = train(50)
    found = assign_burst(np.insert(t_us, 20, t_us[20]), np.insert(count, 20, count[20]), 50, PERIOD_NS)
    assert found.trigger[21] == NOBODY
    assert np.array_equal(np.delete(found.trigger, 21), np.arange(50))


def test_no_frames() -> None:
    found = assign_burst(np.empty(0, np.uint64), np.empty(0, np.uint32), 10, PERIOD_NS)
    assert len(found.trigger) == 0


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_frame_inside_an_exact_train_gets_its_own_trigger(data: st.DataObject) -> None:
    shots = data.draw(st.integers(30, 400))
    ppm = data.draw(st.floats(-150, 150))
    missed = data.draw(st.sets(st.integers(1, shots - 2), max_size=shots // 3))
    extra = st.tuples(st.integers(1, shots - 2), st.floats(0.15, 0.85))
    extra_at = data.draw(st.lists(extra, max_size=3, unique_by=lambda one: one[0]))
    t_us, _ = train(shots, ppm)
    kept = np.array([k for k in range(shots) if k not in missed])
    times = np.concatenate([t_us[kept].astype(float), [float(t_us[k]) + 1000.0 * f for k, f in extra_at]])
    truth = np.concatenate([kept, np.full(len(extra_at), NOBODY)])
    order = np.argsort(times, kind="stable")
    found = assign_burst(times[order].astype(np.uint64), np.arange(len(times)).astype(np.uint32), shots, PERIOD_NS)
    assert found.exact
    assert np.array_equal(found.trigger, truth[order])
