"""A fluence sweep as blocks: which points in which order, under which voltage, how many shots."""

import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import CompileError
from rig.analysis.rate_law import RateLaw
from rig.config_file import check
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.fluence_sweep import FluenceSweep
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import Block, BlockMode, BlockResult, State, read_sequence
from rig.session import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "fluence_sweep.toml"
SHORT = {"points": 10, "shots_per_point": 20}
RATE_HZ = 1000.0


def fluences(one: FluenceSweep) -> list[float]:
    return [block.fluence_uj_cm2 for block in one.blocks(RATE_HZ, "gated")]


def test_points_are_log_spaced_and_both_ends_are_reached() -> None:
    made = fluences(FluenceSweep.model_validate({**SHORT, "fluence_min_uj_cm2": 10.0, "fluence_max_uj_cm2": 100.0}))
    assert made[0] == pytest.approx(10.0)
    assert made[-1] == pytest.approx(100.0)
    assert np.allclose(np.diff(np.log(made)), np.log(10) / 9)


def test_down_is_up_reversed_and_both_is_one_after_the_other() -> None:
    up, down, both = (fluences(FluenceSweep.model_validate({**SHORT, "order": order})) for order in ("up", "down", "both"))
    assert down == up[::-1]
    assert both == up + down


def test_a_random_order_is_the_seeds_and_each_repeat_has_its_own() -> None:
    given = {**SHORT, "order": "random", "repeats": 2, "seed": 5}
    made = fluences(FluenceSweep.model_validate(given))
    first, second = made[:10], made[10:]
    assert sorted(first) == sorted(second) == fluences(FluenceSweep.model_validate(SHORT))
    assert first != second
    assert made == fluences(FluenceSweep.model_validate(given))
    assert made != fluences(FluenceSweep.model_validate({**given, "seed": 6}))


@pytest.mark.parametrize("mode", ["gated", "stepped"])
@pytest.mark.parametrize("voltage_v", [0.0, 20.0])
@pytest.mark.parametrize("order", ["up", "both", "random"])
@pytest.mark.parametrize("rate_hz", [13.0, 1000.0])
def test_the_shots_declared_are_those_made(mode: BlockMode, voltage_v: float, order: str, rate_hz: float) -> None:
    one = FluenceSweep.model_validate({**SHORT, "voltage_v": voltage_v, "order": order, "rests": 2, "repeats": 2})
    blocks = list(one.blocks(rate_hz, mode))
    assert sum(block.shots for block in blocks) == one.max_shots(rate_hz)
    assert [block.index for block in blocks] == list(range(len(blocks)))


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_under_voltage_every_visit_follows_a_rest_at_the_same_fluence(mode: BlockMode) -> None:
    one = FluenceSweep.model_validate({**SHORT, "voltage_v": 20.0, "rests": 3, "settle_s": 0.05})
    made = [(block.fluence_uj_cm2, stretch) for block in one.blocks(RATE_HZ, mode) for stretch in block.stretches]
    for number, pair in groupby(made, key=lambda item: item[1].cycle):
        (rest_at, rest), (visit_at, visit) = pair
        assert (rest.state, rest.voltage_v, rest.shots) == (State.OFF, 0.0, 210)
        assert (visit.state, visit.voltage_v, visit.shots) == (State.ON, 20.0, 70)
        assert rest_at == visit_at == one.visits()[number].fluence_uj_cm2


def test_at_0_v_nothing_rests_and_nothing_settles() -> None:
    blocks = list(FluenceSweep.model_validate(SHORT).blocks(RATE_HZ, "gated"))
    assert [(block.shots, block.settle_s, len(block.stretches)) for block in blocks] == [(20, 0.0, 1)] * 10


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"fluence_min_uj_cm2": 50.0, "fluence_max_uj_cm2": 50.0}, "empty-range"),
        ({"points": 200, "shots_per_point": 1000}, "run-too-long"),
        ({"order": "adaptive", "points": 12}, "too-few-points"),
        ({"order": "adaptive", "repeats": 2}, "adaptive-repeats"),
        ({"stop_below_percent": 2.0}, "not-adaptive"),
    ],
)
def test_a_sweep_that_is_none_is_refused(given: dict[str, float], code: str) -> None:
    found = check(FluenceSweep, given)
    assert isinstance(found, tuple)
    assert code in {reason.code for reason in found}


ADAPTIVE = {"order": "adaptive", "shots_per_point": 20}


def answered(blocks: Any, threshold: float, *, saturates: float = math.inf) -> list[Block]:
    """Drive an adaptive sweep with frames of a film that follows the law of a laser; the blocks it asked for."""
    law, random, asked = RateLaw(threshold, 1e6, math.log(1e-3), 0.0), np.random.default_rng(4), [next(blocks)]
    try:
        while True:
            block, rows = asked[-1], np.zeros(asked[-1].shots, FRAME_DTYPE)
            for name, light in (("band_520", 100.0), ("band_535", 40.0)):
                fluence = block.fluence_uj_cm2 * (1 + 0.015 * random.standard_normal(len(rows)))
                excess = law.at(fluence) - law.at(np.full(1, 1e-9)) if name == "band_535" else 0.0
                rows[name] = light * fluence + excess + 30 * random.standard_normal(len(rows))
            rows["state"], rows["cycle"] = block.stretches[-1].state, block.stretches[-1].cycle
            rows["pulse_energy_uj"] = np.nan
            rows["flags"] = int(Flag.SATURATED) if block.fluence_uj_cm2 > saturates else 0
            asked.append(blocks.send(BlockResult(rows)))
    except StopIteration:
        return asked


def test_asked_without_results_an_adaptive_sweep_is_the_most_there_can_be() -> None:
    one = FluenceSweep.model_validate(ADAPTIVE)
    blocks = list(one.blocks(RATE_HZ, "gated"))
    assert sum(block.shots for block in blocks) == one.max_shots(RATE_HZ) == 26 * 10
    assert all(block.fluence_uj_cm2 == pytest.approx(130.0) for block in blocks[1:])


@pytest.mark.parametrize("threshold", [32.0, 50.0, 68.0])
def test_an_adaptive_sweep_goes_where_the_threshold_is_and_ends_early(threshold: float) -> None:
    adaptive = FluenceSweep.model_validate(ADAPTIVE).blocks(RATE_HZ, "gated")
    asked = [block.fluence_uj_cm2 for block in answered(adaptive, threshold)]
    assert asked[:4] == pytest.approx(np.geomspace(12.0, 130.0, 26)[:4], rel=0.01)
    assert len(set(asked)) == len(asked) < 26
    beside = [one for one in asked if threshold / 1.5 < one < 1.8 * threshold]
    assert len(beside) >= 0.4 * len(asked)
    assert sum(one > 1.8 * threshold for one in asked) <= 1


def test_every_visit_says_which_of_the_fluences_it_is() -> None:
    one = FluenceSweep.model_validate(ADAPTIVE)
    for block in answered(one.blocks(RATE_HZ, "gated"), 50.0):
        assert one.visits()[block.stretches[0].cycle].fluence_uj_cm2 == block.fluence_uj_cm2


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_under_voltage_an_adaptive_visit_rests_as_others_do(mode: BlockMode) -> None:
    one = FluenceSweep.model_validate({**ADAPTIVE, "voltage_v": 20.0, "rests": 2, "settle_s": 0.05})
    asked = answered(one.blocks(RATE_HZ, mode), 50.0)
    made = [(block.fluence_uj_cm2, stretch) for block in asked for stretch in block.stretches]
    for (rest_at, rest), (visit_at, visit) in zip(made[::2], made[1::2], strict=True):
        assert (rest.state, rest.shots, visit.state, visit.shots) == (State.OFF, 120, State.ON, 60)
        assert rest_at == visit_at


@pytest.mark.parametrize("threshold", [5.0, 135.0, 1000.0])
def test_an_adaptive_sweep_without_a_threshold_in_range_does_not_chase_it(threshold: float) -> None:
    asked = answered(FluenceSweep.model_validate(ADAPTIVE).blocks(RATE_HZ, "gated"), threshold)
    assert 8 <= len(asked) <= 16


def test_where_the_detector_saturates_nothing_as_strong_is_asked_for_again() -> None:
    adaptive = FluenceSweep.model_validate(ADAPTIVE).blocks(RATE_HZ, "gated")
    asked = [one.fluence_uj_cm2 for one in answered(adaptive, 50.0, saturates=80.0)]
    over = [number for number, fluence in enumerate(asked) if fluence > 80.0]
    assert over
    assert all(asked[number] < min(asked[one] for one in over if one < number) for number in range(over[0] + 1, len(asked)))


def test_saturated_from_the_weakest_on_it_ends() -> None:
    assert len(answered(FluenceSweep.model_validate(ADAPTIVE).blocks(RATE_HZ, "gated"), 50.0, saturates=1.0)) == 1


def test_a_sweep_ends_as_soon_as_its_interval_is_narrow_enough() -> None:
    def visits(stop_percent: float) -> int:
        one = FluenceSweep.model_validate({**ADAPTIVE, "points": 40, "stop_below_percent": stop_percent})
        return len(answered(one.blocks(RATE_HZ, "gated"), 50.0))

    assert visits(3.0) < visits(0.5) == 40


def test_fluences_beyond_the_bench_are_refused_by_the_compiler() -> None:
    with pytest.raises(CompileError, match="fluence"):
        Session().plan(FluenceSweep.model_validate({**SHORT, "fluence_max_uj_cm2": 500.0}))


def test_the_example_is_a_sweep_that_the_default_bench_can_run() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert isinstance(sequence.parameters, FluenceSweep)
    assert Session().plan(sequence).price.on_duty <= 0.6
