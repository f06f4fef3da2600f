"""Voltage ladders as blocks: which voltages in which order between which rests, waits, numbers, limits; both measurements."""

from pathlib import Path
from typing import Any

import pytest

from drivers.errors import CompileError
from rig.config_file import check
from rig.fluence_calibration import EnergyScale
from rig.fluence_record import BlockFluence, FluenceRecord
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.control import Control
from rig.measurements.pl_record import linearity_fluence
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.voltage_ladder import Stay
from rig.sequence import BlockMode, Exposure, State, read_sequence
from rig.session import Session

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE_HZ = 1000.0
BRIGHT: dict[str, Any] = {"fluence_uj_cm2": 0.4}


def voltages(stays: tuple[Stay, ...]) -> list[float]:
    return [stay.voltage_v for stay in stays if stay.purpose != "linearity"]


@pytest.mark.parametrize("kind", [PlVsVoltage, Control])
def test_every_pass_takes_each_voltage_once_and_each_lies_between_two_rests(kind: type[Any]) -> None:
    stays = kind(passes=3).stays()
    order = voltages(stays)
    assert set(order[::2]) == {0.0}
    assert 0.0 not in order[1::2]
    for first in (0, 4, 8):
        assert sorted(order[1::2][first : first + 4]) == [5.0, 10.0, 15.0, 20.0]
    assert [stay.purpose == "rest" for stay in stays if stay.purpose != "linearity"] == [one == 0.0 for one in order]


def test_the_order_is_the_seeds_and_each_pass_has_its_own() -> None:
    order = voltages(PlVsVoltage(seed=7).stays())
    assert order == voltages(PlVsVoltage(seed=7).stays()) != voltages(PlVsVoltage(seed=8).stays())
    assert order[1:9:2] != order[9:17:2]


def test_a_control_ends_with_its_brackets_at_the_highest_voltage() -> None:
    stays = Control(brackets=7).stays()
    assert voltages(stays)[-15:] == [0.0, 20.0] * 7 + [0.0]
    assert [stay.purpose for stay in stays].count("repeat") == 7


def test_linearity_goes_up_and_down_again_and_weaker_light_has_more_frames() -> None:
    last = PlVsVoltage(linearity_frames=10).stays()[-5:]
    assert [stay.fluence_uj_cm2 for stay in last] == pytest.approx([0.001, 0.002, 0.004, 0.002, 0.001])
    assert [stay.frames for stay in last] == [20, 10, 10, 10, 20]
    assert {stay.voltage_v for stay in last} == {0.0}
    assert all(stay.purpose != "linearity" for stay in PlVsVoltage(linearity_frames=0).stays())


@pytest.mark.parametrize(("frame_s", "settle_s", "rest_s"), [(1.0, 1.0, 20.0), (0.1, 0.35, 2.0), (0.25, 0.0, 0.5)])
def test_frames_count_from_the_wait_on_with_the_leading_one_in_it(frame_s: float, settle_s: float, rest_s: float) -> None:
    one = PlVsVoltage(frame_s=frame_s, settle_s=settle_s, rest_s=rest_s)
    for stay in one.stays()[1:]:
        wait_s = {"level": settle_s, "rest": rest_s}.get(stay.purpose, 0.0)
        counted_from_s = (1 + stay.settling) * frame_s
        assert wait_s <= counted_from_s + 1e-9
        assert counted_from_s < max(wait_s, frame_s) + frame_s - 1e-9


@pytest.mark.parametrize("mode", ["gated", "stepped"])
@pytest.mark.parametrize("one", [PlVsVoltage(), Control()])
def test_blocks_are_the_stays_and_the_shots_declared_are_those_made(mode: BlockMode, one: PlVsVoltage | Control) -> None:
    blocks, stays = list(one.blocks(RATE_HZ, mode)), one.stays()
    assert [block.index for block in blocks] == [block.stretches[0].cycle for block in blocks] == list(range(len(stays)))
    assert sum(block.shots for block in blocks) == one.max_shots(RATE_HZ)
    for block, stay in zip(blocks, stays, strict=True):
        [stretch] = block.stretches
        assert (stretch.voltage_v, block.fluence_uj_cm2) == (stay.voltage_v, stay.fluence_uj_cm2)
        assert stretch.state is (State.OFF if stay.voltage_v == 0 else State.ON)
        assert block.exposure == Exposure("pulses", one.frame_s)
        assert block.settle_s == pytest.approx(stay.settling * one.frame_s)


@pytest.mark.parametrize(
    ("kind", "given", "code", "field"),
    [
        (PlVsVoltage, {"voltage_max_v": 0.0}, "empty-range", "voltage_max_v"),
        (PlVsVoltage, {"passes": 50, "frames_at_rest": 1000}, "run-too-long", "passes"),
        (PlVsVoltage, {"passes": 1}, "out-of-range", "passes"),
        (PlVsVoltage, {"fluence_uj_cm2": 2.0}, "wrong-magnitude", "fluence_uj_cm2"),
        (Control, {"voltage_max_v": 0.0}, "empty-range", "voltage_max_v"),
        (Control, {"brackets": 4}, "out-of-range", "brackets"),
        (Control, {"reference_current_a": 0.0}, "out-of-range", "reference_current_a"),
    ],
)
def test_a_ladder_that_is_none_is_refused(kind: type[Any], given: dict[str, Any], code: str, field: str) -> None:
    found = check(kind, given)
    assert isinstance(found, tuple)
    assert (code, field) in {(reason.code, reason.where) for reason in found}


@pytest.mark.parametrize(
    ("one", "code", "where"),
    [
        (PlVsVoltage(**BRIGHT, voltage_max_v=25.0), "voltage-above-limit", "parameters.voltage_max_v"),
        (Control(voltage_max_v=25.0), "voltage-above-limit", "parameters.voltage_max_v"),
        (Control(frames_per_level=620, frames_at_rest=620), "on-time-above-limit", "parameters.frames_per_level"),
        (Control(frames_per_level=400, rest_s=0.0, frames_at_rest=10), "duty-above-limit", "parameters"),
        (Control(frame_s=0.1005), "part-of-a-shot", "parameters.frame_s"),
    ],
)
def test_the_benchs_limits_are_named_by_the_ladders_own_keys(one: PlVsVoltage | Control, code: str, where: str) -> None:
    with pytest.raises(CompileError) as caught:
        Session().plan(one)
    assert (code, where) in {(reason.code, reason.where) for reason in caught.value.reasons}


@pytest.mark.parametrize("name", ["pl_vs_voltage", "control"])
def test_the_example_has_the_defaults(name: str) -> None:
    sequence = read_sequence(EXAMPLES / f"{name}.toml", MEASUREMENTS)
    assert sequence.parameters == MEASUREMENTS[name]()  # type: ignore[call-arg]


def test_the_example_of_a_control_is_one_that_the_default_bench_can_run() -> None:
    plan = Session().plan(read_sequence(EXAMPLES / "control.toml", MEASUREMENTS))
    assert plan.mode == "gated"
    assert plan.price.duration_s < 300


def metered(error: float, readings: int = 20, without: int = -1) -> FluenceRecord:
    blocks = [
        BlockFluence(number, stay.fluence_uj_cm2, 1.04 * stay.fluence_uj_cm2, error * stay.fluence_uj_cm2, readings)
        for number, stay in enumerate(PlVsVoltage().stays())
        if number != without
    ]
    return FluenceRecord(EnergyScale(1.0, 0.01, 0.05, 0.02, 0.0), tuple(blocks), None, None, 0, 0)


def test_linearity_takes_the_meters_means_only_where_all_are_better_than_set_points() -> None:
    stays = PlVsVoltage().stays()
    found = linearity_fluence(metered(0.002), stays)
    assert [found.uj_cm2[number] for number in range(len(stays) - 5, len(stays))] == pytest.approx(
        [1.04 * one for one in (0.001, 0.002, 0.004, 0.002, 0.001)]
    )
    assert (found.error, found.source) == (pytest.approx(0.002 / 1.04), "the meter's mean of each stay")
    for other in (None, metered(0.02), metered(0.002, readings=4), metered(0.002, without=len(stays) - 1)):
        found = linearity_fluence(other, stays)
        assert (found.error, found.source) == (0.005, "set points")
        assert found.uj_cm2[len(stays) - 1] == pytest.approx(0.001)
