"""Blocks of the switching measurement: every shot once, off first, in both modes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import CompileError
from rig.config_file import unit_of
from rig.measurements.on_off import OnOff
from rig.sequence import BlockMode, State, Stretch

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
    assert running.send({"contrast": 3.0}).index == 1
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
        assert {type(bound).__name__ for bound in field.metadata} >= {"Ge", "Le"}
        assert not field.is_required()
