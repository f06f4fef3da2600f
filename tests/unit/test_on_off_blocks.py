"""Blocks of the switching measurement: every shot once, in every order, in both modes; what is refused before a run."""

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import CompileError
from rig.bench import Bench, default_bench
from rig.config_file import check, unit_of
from rig.measurements.on_off import OnOff
from rig.runfile import FRAME_DTYPE
from rig.sequence import BlockMode, BlockResult, Sequence, State, Stretch
from rig.session import Session

OFF_2S, ON_2S = (State.OFF, 0.0, 2000), (State.ON, 20.0, 2000)


def test_gated_is_one_block_per_stretch() -> None:
    blocks = list(OnOff(cycles=2).blocks(1000.0, "gated"))
    assert [block.index for block in blocks] == [0, 1, 2, 3]
    assert [block.stretches for block in blocks] == [
        (Stretch(*OFF_2S, 0),),
        (Stretch(*ON_2S, 0),),
        (Stretch(*OFF_2S, 1),),
        (Stretch(*ON_2S, 1),),
    ]
    assert {(block.settle_s, block.fluence_uj_cm2, block.shots) for block in blocks} == {(0.1, 40.0, 2000)}


def test_stepped_is_one_block_per_cycle() -> None:
    blocks = list(OnOff(cycles=2).blocks(1000.0, "stepped"))
    assert [(block.index, block.shots) for block in blocks] == [(0, 4000), (1, 4000)]
    assert [block.stretches for block in blocks] == [(Stretch(*OFF_2S, cycle), Stretch(*ON_2S, cycle)) for cycle in (0, 1)]


@given(
    cycles=st.integers(1, 30),
    off_shots=st.integers(101, 5000),
    on_shots=st.integers(101, 5000),
    rate_hz=st.sampled_from([10.0, 500.0, 999.0, 1000.0, 3333.3]),
    mode=st.sampled_from(["gated", "stepped"]),
)
@settings(max_examples=60, deadline=None)
def test_every_shot_is_in_one_block(cycles: int, off_shots: int, on_shots: int, rate_hz: float, mode: BlockMode) -> None:
    measurement = OnOff(cycles=cycles, off_time_s=off_shots / rate_hz, on_time_s=on_shots / rate_hz, settle_s=0.01)
    blocks = list(measurement.blocks(rate_hz, mode))
    stretches = tuple(stretch for block in blocks for stretch in block.stretches)
    assert measurement.check(rate_hz) == []
    assert stretches == measurement.stretches(rate_hz)
    assert [(s.state, s.cycle) for s in stretches] == [(state, c) for c in range(cycles) for state in (State.OFF, State.ON)]
    assert {(s.state, s.shots) for s in stretches} == {(State.OFF, off_shots), (State.ON, on_shots)}
    assert sum(block.shots for block in blocks) == measurement.max_shots(rate_hz) == cycles * (off_shots + on_shots)


def test_results_sent_in_change_nothing() -> None:
    running = OnOff(cycles=2).blocks(1000.0, "stepped")
    next(running)
    assert running.send(BlockResult(np.zeros(4000, FRAME_DTYPE))).index == 1
    with pytest.raises(StopIteration):
        running.send(None)


@pytest.mark.parametrize(
    ("measurement", "rate_hz", "keys"),
    [
        (OnOff(on_time_s=1.0005), 1000.0, ["parameters.on_time_s"]),
        (OnOff(off_time_s=0.3333, on_time_s=0.3333), 100.0, ["parameters.off_time_s", "parameters.on_time_s"]),
        (OnOff(on_time_s=0.5, off_time_s=0.5), 0.5, ["parameters.off_time_s", "parameters.on_time_s"]),
        (OnOff(on_time_s=0.2), 0.1, ["parameters.off_time_s", "parameters.on_time_s"]),
    ],
)
def test_parts_of_a_shot_are_refused(measurement: OnOff, rate_hz: float, keys: list[str]) -> None:
    reasons = measurement.check(rate_hz)
    assert [(reason.where, reason.code) for reason in reasons] == [(key, "part-of-a-shot") for key in keys]
    for expand in (
        measurement.max_shots,
        measurement.stretches,
        lambda rate: next(measurement.blocks(rate, "gated")),
    ):
        with pytest.raises(CompileError) as caught:
            expand(rate_hz)
        assert caught.value.reasons == tuple(reasons)


def test_rounding_of_seconds_times_hertz_is_no_part_of_a_shot() -> None:
    for shots in range(101, 3000):
        assert OnOff(on_time_s=shots * 0.001).check(1000.0) == []


def test_the_proposed_time_is_accepted() -> None:
    (reason,) = OnOff(on_time_s=1.0005).check(1000.0)
    proposed_s = float(reason.message.rsplit("such as ", 1)[1].removesuffix(" s"))
    assert OnOff(on_time_s=proposed_s).check(1000.0) == []


def test_the_largest_run_is_priced_without_being_expanded() -> None:
    largest = OnOff(cycles=10_000, on_time_s=1000.0, off_time_s=1000.0)
    assert largest.max_shots(10_000.0) == 200_000_000_000


def test_every_parameter_tells_a_form_what_it_is() -> None:
    for name, field in OnOff.model_fields.items():
        assert field.description
        assert unit_of(name) in field.description
        assert {type(bound).__name__ for bound in field.metadata} >= {"Ge", "Le"} or get_args(field.annotation)[0] == "ab"
        assert not field.is_required()


# --- order


def states(measurement: OnOff, mode: BlockMode = "gated") -> str:
    """The states of the run's stretches, O and I, reference frames as r."""
    return "".join(
        "r" if block.exposure.light == "blocked" else "OI"[stretch.state]
        for block in measurement.blocks(1000.0, mode)
        for stretch in block.stretches
    )


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_abba_turns_every_second_cycle_round(mode: BlockMode) -> None:
    assert states(OnOff(cycles=4, order="abba"), mode) == "OIIOOIIO"


@pytest.mark.parametrize("order", ["ab", "abba", "random"])
@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_every_cycle_has_one_off_and_one_on_whatever_the_order(order: Any, mode: BlockMode) -> None:
    blocks = list(OnOff(cycles=10, order=order).blocks(1000.0, mode))
    stretches = [stretch for block in blocks for stretch in block.stretches]
    assert sorted((stretch.cycle, int(stretch.state)) for stretch in stretches) == [(c, s) for c in range(10) for s in (0, 1)]
    assert [stretch.cycle for stretch in stretches] == sorted(stretch.cycle for stretch in stretches)
    assert {len(block.stretches) for block in blocks} == {1 if mode == "gated" else 2}


def test_a_random_order_is_its_seeds_and_balanced() -> None:
    orders = [OnOff(cycles=12, order="random", seed=seed).on_first() for seed in range(20)]
    assert orders[3] == OnOff(cycles=12, order="random", seed=3).on_first()
    assert len(set(orders)) > 15
    assert {sum(order) for order in orders} == {6}
    assert {sum(OnOff(cycles=7, order="random", seed=seed).on_first()) for seed in range(20)} == {3, 4}


def test_a_steady_drift_cancels_in_abba_and_not_in_ab() -> None:
    def contrast(order: Any) -> float:
        stretches = OnOff(cycles=6, order=order, on_time_s=1.0, off_time_s=1.0).stretches(100.0)
        state = np.repeat([int(stretch.state) for stretch in stretches], [stretch.shots for stretch in stretches])
        light = np.where(state == 1, 10.0, 1.0) * (1.0 - 2e-4 * np.arange(len(state)))
        return float(light[state == 1].mean() / light[state == 0].mean())

    assert contrast("abba") == pytest.approx(10.0, rel=1e-9)
    assert abs(contrast("ab") / 10.0 - 1.0) > 0.01


# --- reference frames


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_reference_frames_are_blocks_of_their_own_at_both_ends(mode: BlockMode) -> None:
    measurement = OnOff(cycles=2, reference_frames=50)
    blocks = list(measurement.blocks(1000.0, mode))
    assert states(measurement, mode) == "rOIOIr"
    assert [block.index for block in blocks] == list(range(len(blocks)))
    assert sum(block.shots for block in blocks) == measurement.max_shots(1000.0) == 8100
    for block in (blocks[0], blocks[-1]):
        assert [(one.voltage_v, one.shots, one.cycle) for one in block.stretches] == [(0.0, 50, -1)]
    assert {block.exposure.light for block in blocks[1:-1]} == {"pulses"}


def test_a_bench_without_a_shutter_takes_no_reference_frames() -> None:
    bare = Bench.model_validate({**default_bench().model_dump(by_alias=True, exclude_none=True), "shutter": None})
    session = Session(bare, simulate=True)
    assert session.plan(OnOff()).planned_shots == 24_000
    with pytest.raises(CompileError) as caught:
        session.plan(OnOff(reference_frames=50))
    assert {reason.code for reason in caught.value.reasons} == {"no-shutter"}


# --- what is refused


@pytest.mark.parametrize(
    ("parameters", "codes"),
    [
        ({"order": "abba", "cycles": 5}, ["odd-cycles"]),
        ({"reference_frames": 19}, ["too-few-frames"]),
        ({"stop_below_percent": 1.0, "cycles": 2}, ["too-few-cycles"]),
        ({"stop_degraded_percent": 10.0, "cycles": 4}, ["too-few-cycles"]),
        ({"stop_degraded_percent": 10.0, "stop_below_percent": 1.0}, ["two-stop-rules"]),
        ({"order": "baab"}, ["wrong-choice"]),
        ({"order": "abba", "cycles": 4, "reference_frames": 20, "stop_below_percent": 1.0}, []),
        ({"stop_degraded_percent": 10.0, "cycles": 5}, []),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(parameters: dict[str, Any], codes: list[str]) -> None:
    found = check(OnOff, parameters, str, ("parameters",))
    assert ([reason.code for reason in found] if isinstance(found, tuple) else []) == codes


def test_a_rule_is_priced_as_if_it_were_never_met() -> None:
    plain, ruled = (Session().plan(OnOff(cycles=8, stop_below_percent=percent)) for percent in (None, 1.0))
    assert (ruled.planned_shots, ruled.price) == (plain.planned_shots, plain.price)


@pytest.mark.parametrize(
    ("mode", "parameters", "joined"),
    [
        ("gated", {"order": "ab", "on_time_s": 40.0}, False),
        ("gated", {"order": "abba", "on_time_s": 40.0}, True),
        ("stepped", {"order": "abba", "on_time_s": 40.0}, False),  # a block ends at 0 V
        ("gated", {"order": "abba", "on_time_s": 29.9}, False),
        ("gated", {"order": "ab", "on_time_s": 10.0, "voltage_off_v": 5.0}, True),
    ],
)
def test_stretches_that_adjoin_under_voltage_count_as_one(mode: Any, parameters: dict[str, Any], joined: bool) -> None:
    measurement = OnOff.model_validate({"cycles": 4, "off_time_s": parameters["on_time_s"], **parameters})
    try:
        Session().plan(Sequence.of(measurement, mode=mode))
        reasons = []
    except CompileError as error:
        reasons = [(reason.code, "without 0 V" in reason.message) for reason in error.reasons if "duty" not in reason.code]
    assert reasons == ([("on-time-above-limit", True)] if joined else [])


def test_no_more_than_two_stretches_of_a_state_adjoin() -> None:
    for seed in range(30):
        said = states(OnOff(cycles=20, order="random", seed=seed))
        assert "OOO" not in said
        assert "III" not in said
        assert any(a == b for a, b in pairwise(said))
