"""A fluence sweep as blocks: which points in which order, under which voltage, how many shots."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import CompileError
from rig.config_file import check
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.fluence_sweep import FluenceSweep
from rig.sequence import BlockMode, State, read_sequence
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
    ],
)
def test_a_sweep_that_is_none_is_refused(given: dict[str, float], code: str) -> None:
    found = check(FluenceSweep, given)
    assert isinstance(found, tuple)
    assert code in {reason.code for reason in found}


def test_fluences_beyond_the_bench_are_refused_by_the_compiler() -> None:
    with pytest.raises(CompileError, match="fluence"):
        Session().plan(FluenceSweep.model_validate({**SHORT, "fluence_max_uj_cm2": 500.0}))


def test_the_example_is_a_sweep_that_the_default_bench_can_run() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert isinstance(sequence.parameters, FluenceSweep)
    assert Session().plan(sequence).price.on_duty <= 0.6
