"""How much a pump wanders, from levels that ought to be equal; intervals of slow values under such a pump."""

import math
from typing import Any

import numpy as np
import pytest

from rig.analysis.pump_drift import drift_per_octave, ratio_with_drift, wandering, with_drift
from rig.analysis.statistics import Value
from rig.analysis.step_response import slow_part

PER_OCTAVE = 1e-3
LEVEL_S = 0.45


def drift_of(parts: list[Any]) -> float | None:
    t_s, levels, white = parts
    return drift_per_octave([t_s], [levels], [white], LEVEL_S)


def levels_of(rng: np.random.Generator, per_octave: float, white: float = 0.0, slope: float = 0.0) -> list[Any]:
    """Ten levels every 2 s, each a mean of 45 frames."""
    t_s = 0.01 * np.arange(2000, dtype=np.float64)
    light = 1 + wandering(t_s, per_octave, rng) + white * rng.standard_normal(2000) + slope * t_s
    starts = np.arange(0, 2000, 200)
    means = np.array([light[start : start + 45].mean() for start in starts])
    return [t_s[starts], 500 * means, np.full(10, 500 * white / math.sqrt(45))]


def test_the_wandering_is_found_again_whatever_the_noise_of_frames_or_a_steady_course() -> None:
    rng = np.random.default_rng(1)
    for white, slope in ((0.0, 0.0), (0.005, 0.0), (0.0, 0.01)):
        found = [drift_of(levels_of(rng, PER_OCTAVE, white, slope)) for _ in range(200)]
        assert np.sqrt(np.mean(np.square(np.array(found, float)))) == pytest.approx(PER_OCTAVE, rel=0.25)


def test_a_steady_pump_wanders_little_and_few_levels_tell_nothing() -> None:
    rng = np.random.default_rng(2)
    found = [drift_of(levels_of(rng, 0.0, 0.005)) for _ in range(50)]
    assert np.median(np.array(found, float)) < 0.3e-3
    few = [part[:5] for part in levels_of(rng, PER_OCTAVE)]
    assert drift_of(few) is None
    assert drift_per_octave([], [], [], LEVEL_S) is None


def tail(rng: np.random.Generator, per_octave: float) -> tuple[Any, Any, Any]:
    t_s = np.arange(-1.0, 19.9, 0.01)
    moved = 1 + wandering(t_s, per_octave, rng)
    light = np.where(t_s < 0, 0.2, 1 - 0.024 * np.exp(-np.maximum(t_s, 0) / 4)) * moved * 500 + rng.standard_normal(len(t_s))
    return light[t_s < -0.05], t_s[t_s > 0.4], light[t_s > 0.4]


def test_under_a_pump_that_wanders_the_slow_part_is_inside_its_interval() -> None:
    plain, held, told = 0, 0, 0
    for seed in range(10):
        parts = tail(np.random.default_rng(seed), 0.5 * PER_OCTAVE)
        first = slow_part(*parts)
        found = with_drift(first, *parts, 0.5 * PER_OCTAVE)
        assert found.tau_s.value is None or found.tau_s.value == first.tau_s.value
        plain += first.tau_s.ci95 is not None and first.tau_s.ci95[0] <= 4 <= first.tau_s.ci95[1]
        told += found.tau_s.ci95 is not None
        held += found.tau_s.ci95 is not None and found.tau_s.ci95[0] <= 4 <= found.tau_s.ci95[1]
    assert told >= 8
    assert held >= told - 1
    assert plain <= 7


def test_it_is_refused_where_the_wandering_hides_it_or_is_not_known() -> None:
    parts = tail(np.random.default_rng(3), 0.0)
    first = slow_part(*parts)
    assert first.tau_s.value is not None
    assert "wanders too much" in with_drift(first, *parts, 0.02).reason
    assert "not known" in with_drift(first, *parts, None).reason
    steady = with_drift(first, *parts, 0.0)
    assert steady.tau_s.ci95 == pytest.approx(first.tau_s.ci95)
    assert steady.share.ci95 == pytest.approx(first.share.ci95)


def test_a_quotient_of_two_levels_is_wider_the_longer_apart_they_lie() -> None:
    found = Value(0.98, (0.979, 0.981), "")
    near, far = (ratio_with_drift(found, apart_s, 0.2, PER_OCTAVE) for apart_s in (1.0, 50.0))
    assert near.half_width is not None
    assert far.half_width is not None
    assert 0.001 < near.half_width < far.half_width
    assert ratio_with_drift(found, 1.0, 0.2, None) == Value(0.98, None, "")
    assert ratio_with_drift(Value(None, None, ""), 1.0, 0.2, PER_OCTAVE).value is None
