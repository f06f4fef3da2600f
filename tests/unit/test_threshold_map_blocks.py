"""A threshold map as blocks: which voltages in which order, what lies between which sweeps at 0 V, and what is refused."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import CompileError
from rig.config_file import check
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.threshold_map import ThresholdMap
from rig.sequence import BlockMode, State, read_sequence
from rig.session import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "threshold_map.toml"
SHORT: dict[str, Any] = {"points": 8, "shots_per_point": 5, "settle_s": 0.02}
RATE_HZ = 1000.0


def made(**given: Any) -> ThresholdMap:
    return ThresholdMap.model_validate({**SHORT, **given})


def voltages(one: ThresholdMap, mode: BlockMode = "gated") -> list[float]:
    """Voltages of the sweeps as the blocks have them: that under which a visit counts."""
    told: dict[int, float] = {}
    for block in one.blocks(RATE_HZ, mode):
        for stretch in block.stretches:
            told[stretch.cycle] = stretch.voltage_v  # the last stretch of a visit is the one that counts
    return [told[number] for number in range(0, len(told), one.points)]


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_every_pass_holds_each_voltage_once_between_two_sweeps_at_0_v(mode: BlockMode) -> None:
    order = voltages(made(passes=3), mode)
    assert order[0] == order[5] == order[10] == order[15] == 0.0
    assert len(order) == 16
    for first in (1, 6, 11):
        assert sorted(order[first : first + 4]) == [5.0, 10.0, 15.0, 20.0]


def test_the_order_is_the_seeds_and_each_pass_has_its_own() -> None:
    order = voltages(made(passes=2, seed=7))
    assert order == voltages(made(passes=2, seed=7)) != voltages(made(passes=2, seed=8))
    assert order[1:5] != order[6:10]
    assert order[1:5] != sorted(order[1:5])


def test_in_every_sweep_the_fluences_are_the_same_in_an_order_of_their_own() -> None:
    one = made()
    fluences = [visit.fluence_uj_cm2 for visit in one.visits()]
    sweeps = [fluences[first : first + 8] for first in range(0, len(fluences), 8)]
    assert all(sorted(sweep) == sorted(sweeps[0]) for sweep in sweeps)
    assert len({tuple(sweep) for sweep in sweeps}) == len(sweeps)


@pytest.mark.parametrize("mode", ["gated", "stepped"])
@pytest.mark.parametrize("rate_hz", [13.0, 1000.0])
def test_the_shots_declared_are_those_made_and_all_is_numbered_through(mode: BlockMode, rate_hz: float) -> None:
    one = made(passes=2, rests=2)
    blocks = list(one.blocks(rate_hz, mode))
    assert sum(block.shots for block in blocks) == one.max_shots(rate_hz)
    assert [block.index for block in blocks] == list(range(len(blocks)))
    cycles = [number for number, _ in groupby(stretch.cycle for block in blocks for stretch in block.stretches)]
    assert cycles == list(range(len(one.visits())))


def test_under_voltage_every_visit_follows_a_rest_at_the_same_fluence() -> None:
    one = made(rests=3)
    found = [(block.fluence_uj_cm2, stretch) for block in one.blocks(RATE_HZ, "gated") for stretch in block.stretches]
    biased = [sweep.voltage_v != 0 for sweep in one.sweeps]
    for number, group in groupby(found, key=lambda item: item[1].cycle):
        states = [(fluence, stretch.state, stretch.shots) for fluence, stretch in group]
        fluence = one.visits()[number].fluence_uj_cm2
        if biased[number // one.points]:
            assert states == [(fluence, State.OFF, 75), (fluence, State.ON, 25)]
        else:
            assert states == [(fluence, State.OFF, 25)]


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"fluence_min_uj_cm2": 50.0, "fluence_max_uj_cm2": 50.0}, "empty-range", "fluence_max_uj_cm2"),
        ({"voltage_max_v": 0.0}, "empty-range", "voltage_max_v"),
        ({"points": 200, "shots_per_point": 1000}, "run-too-long", "shots_per_point"),
        ({"voltages": 1}, "out-of-range", "voltages"),
    ],
)
def test_a_map_that_is_none_is_refused(given: dict[str, Any], code: str, field: str) -> None:
    found = check(ThresholdMap, given)
    assert isinstance(found, tuple)
    assert (code, field) in {(reason.code, reason.where) for reason in found}


def test_a_voltage_above_the_benchs_limit_is_refused_at_the_key_that_asks_for_it() -> None:
    Session().plan(made(voltage_max_v=20.0, passes=1))
    with pytest.raises(CompileError) as caught:
        Session().plan(made(voltage_max_v=25.0, passes=1))
    [code] = {reason.code for reason in caught.value.reasons if "voltage" in reason.code}
    assert code == "voltage-above-limit"
    assert {reason.where for reason in caught.value.reasons if reason.code == code} == {"parameters.voltage_max_v"}


def test_a_dose_above_the_limit_has_to_be_accepted() -> None:
    dose_j_cm2 = Session().plan(made()).price.dose_j_cm2
    assert dose_j_cm2 > 0
    Session().plan(made(dose_limit_j_cm2=dose_j_cm2))
    with pytest.raises(CompileError, match="more light") as caught:
        Session().plan(made(dose_limit_j_cm2=0.999 * dose_j_cm2))
    [reason] = caught.value.reasons
    assert (reason.code, reason.where) == ("dose-above-limit", "parameters.dose_limit_j_cm2")
    assert f"{dose_j_cm2:.4g} J/cm2" in reason.message
    assert Session().plan(made(dose_limit_j_cm2=0.0, dose_accepted=True)).price.dose_j_cm2 == dose_j_cm2


def test_the_example_is_a_map_that_the_default_bench_can_run() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert isinstance(sequence.parameters, ThresholdMap)
    plan = Session().plan(sequence)
    assert plan.mode == "stepped"
    assert plan.price.on_duty <= 0.6
