import numpy as np
import pytest

from gui.run_numbers import grouped, shot_count
from rig.analysis.statistics import ratio_of_means

LEDGER = {"planned": 100, "received": 60, "assigned": 50, "unassigned": 4, "surplus": 2, "flagged": {"settling": 10}}


def test_a_long_run_computed_from_groups_gives_the_same_contrast() -> None:
    noise = np.random.default_rng(0)
    state = np.arange(300_000) // 500 % 2
    drift = 1 + 0.1 * np.sin(np.arange(300_000) / 3e4)
    at_535 = (100 + 900 * state) * drift + noise.normal(size=len(state)) * 20
    at_520 = 2 * at_535
    few_520, few_535, few = grouped((at_520, at_535), state, 2000)
    assert max((few == 0).sum(), (few == 1).sum()) <= 2000
    np.testing.assert_allclose(few_520, 2 * few_535)
    right = ratio_of_means(at_535[state == 1], at_535[state == 0])
    found = ratio_of_means(few_535[few == 1], few_535[few == 0])
    assert found.value == pytest.approx(right.value, rel=1e-4)
    assert found.ci95 == pytest.approx(right.ci95, rel=1e-3)


def test_a_short_run_and_one_that_has_ended_are_computed_frame_by_frame() -> None:
    light, state = np.arange(5000.0), np.arange(5000) % 2
    for most in (2500, None):
        same = grouped((light, light), state, most)
        assert same[0] is light
        assert same[2] is state


def test_a_running_run_counts_what_waits_and_what_is_lost() -> None:
    shots = shot_count(LEDGER, 75, 57)
    assert (shots.planned, shots.pending, shots.done, shots.lost) == (100, 15, 69, 3)
    assert shots.flagged == {"settling": 10}


def test_without_a_ledger_every_frame_waits() -> None:
    shots = shot_count({}, 7, None)
    assert (shots.planned, shots.pending, shots.done, shots.lost) == (None, 7, 7, None)


def test_a_ledger_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError):
        shot_count({"planned": "many"}, 7, None)
