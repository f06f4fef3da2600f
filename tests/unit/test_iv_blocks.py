"""Blocks of a current-voltage run, and the law that is fitted to its currents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.errors import CompileError
from rig.analysis.current_law import current_law
from rig.config_file import check
from rig.measurements.catalogue import MEASUREMENTS
from rig.measurements.iv import Iv
from rig.sequence import Sequence, State, read_sequence
from rig.session import Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "iv.toml"


def made(**given: Any) -> Iv:
    values: dict[str, Any] = {"voltages": 6, "long_hold_s": 5.0, **given}
    return Iv(**values)


def test_the_ladder_goes_up_and_down_and_the_long_hold_is_last() -> None:
    visits = made().visits
    assert [(one.voltage_v, one.leg) for one in visits] == [
        *((v, "up") for v in (4.0, 8.0, 12.0, 16.0, 20.0)),
        *((v, "down") for v in (20.0, 16.0, 12.0, 8.0, 4.0)),
        (20.0, "hold"),
    ]
    assert visits[-1].frames == 50


def test_negative_voltages_only_come_when_they_are_asked_for() -> None:
    assert min(one.voltage_v for one in made().visits) > 0
    both = [one.voltage_v for one in made(both_signs=True, long_hold_s=0.0).visits]
    assert both[10:] == [-v for v in both[:10]]


@pytest.mark.parametrize(
    "given", [{}, {"both_signs": True}, {"long_hold_s": 0.0}, {"hold_s": 0.73, "rests": 1.3}, {"frame_s": 0.03}]
)
def test_the_frames_declared_are_those_made_dark_and_each_stay_follows_its_rest(given: dict[str, Any]) -> None:
    one = made(**given)
    blocks = list(one.blocks(1000.0, "gated"))
    assert sum(block.shots for block in blocks) == one.max_shots(1000.0)
    assert [block.index for block in blocks] == list(range(2 * len(one.visits)))
    assert {block.exposure.light for block in blocks} == {"none"}
    for rest, stay in zip(blocks[::2], blocks[1::2], strict=True):
        [off], [on] = rest.stretches, stay.stretches
        assert (off.state, off.voltage_v, on.state, on.cycle) == (State.OFF, 0.0, State.ON, off.cycle)
        assert on.voltage_v == one.visits[on.cycle].voltage_v
        assert off.shots == pytest.approx(one.rests * on.shots, abs=1.5)


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"voltage_max_v": 0.0}, "empty-range", "voltage_max_v"),
        ({"settle_s": 0.6}, "settle-too-long", "settle_s"),
        ({"hold_s": 60.0, "frame_s": 0.02, "voltages": 101}, "run-too-long", "hold_s"),
        ({"voltages": 5}, "out-of-range", "voltages"),
    ],
)
def test_a_run_that_is_none_is_refused(given: dict[str, Any], code: str, field: str) -> None:
    found = check(Iv, given)
    assert isinstance(found, tuple)
    assert (code, field) in {(reason.code, reason.where) for reason in found}


@pytest.mark.parametrize(
    ("given", "code", "where"),
    [
        ({"voltage_max_v": 21.0}, "voltage-above-limit", "parameters.voltage_max_v"),
        ({"long_hold_s": 61.0}, "on-time-above-limit", "parameters.long_hold_s"),
        ({"rests": 0.5}, "duty-above-limit", "parameters"),
    ],
)
def test_the_benchs_limits_are_told_by_the_keys_of_this_measurement(given: dict[str, Any], code: str, where: str) -> None:
    with pytest.raises(CompileError) as caught:
        Session().plan(made(**given))
    assert (code, where) in {(reason.code, reason.where) for reason in caught.value.reasons}


def test_blocks_are_gated_although_the_bench_could_step_and_stepped_ones_are_refused() -> None:
    plan = Session().plan(made())
    assert (plan.mode, plan.why) == ("gated", "the source is read while it holds a level")
    with pytest.raises(CompileError) as caught:
        Session().plan(Sequence.of(made(), mode="stepped"))
    assert [reason.code for reason in caught.value.reasons] == ["gated-only"]


def test_the_example_is_what_the_default_bench_can_run_without_light() -> None:
    sequence = read_sequence(EXAMPLE, MEASUREMENTS)
    assert isinstance(sequence.parameters, Iv)
    price = Session().plan(sequence).price
    assert price.dose_j_cm2 == 0.0
    assert price.on_duty <= 0.6


# --- the law

VOLTS = np.linspace(2.0, 20.0, 10)


def currents(leak_ohm: float, k_a: float, exponent: float, seed: int, error_a: float = 2e-8) -> Any:
    true = VOLTS / leak_ohm + k_a * VOLTS**exponent
    error = error_a + 1e-4 * true
    return VOLTS, true + error * np.random.default_rng(seed).standard_normal(len(VOLTS)), error


@pytest.mark.parametrize(("leak_ohm", "exponent"), [(2e6, 2.0), (2e6, 3.0), (1e5, 2.0), (1e9, 1.6)])
def test_the_intervals_hold_exponent_and_leak_as_often_as_they_say(leak_ohm: float, exponent: float) -> None:
    found = [current_law(*currents(leak_ohm, 8e-7, exponent, seed)) for seed in range(100)]
    told = [law for law in found if not law.reason]
    assert len(told) == 100
    inside = [law.exponent.ci95[0] <= exponent <= law.exponent.ci95[1] for law in told if law.exponent.ci95]
    assert 88 <= sum(inside) <= 100
    leaks = [law.leak_ohm.ci95[0] <= leak_ohm <= law.leak_ohm.ci95[1] for law in told if law.leak_ohm.ci95]
    assert (len(leaks) > 90) == (leak_ohm < 1e8)  # one that takes no part has no value
    assert leak_ohm > 1e8 or sum(leaks) >= 88


def test_the_law_gives_back_the_currents_and_the_other_sign_is_the_same() -> None:
    volts, flow, error = currents(2e6, 8e-7, 2.0, 1)
    law = current_law(volts, flow, error)
    assert np.allclose(law.at(volts), flow, rtol=0.02)
    assert current_law(-volts, -flow, error).exponent == law.exponent
    assert law.slope.value == pytest.approx(1.94, abs=0.02)  # a leak makes it less than the exponent


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, i, e: (v[:4], i[:4], e[:4]), "at least 5"),
        (lambda v, i, e: (v, np.where(v > 10, np.nan, i), e), "no number"),
        (lambda v, i, e: (v, i, 0 * e), "no error"),
        (lambda v, i, e: (v, np.where(v > 10, 1e-8, i), e), "the contact was lost"),
        (lambda v, i, e: (v, v / 1e6, e), "leak alone"),
        (lambda v, i, e: (v, 1e-9 * (-1) ** np.arange(len(v)), e), "no current above the noise"),
        (lambda v, i, e: (np.where(v > 10, -v, v), i, e), "both signs"),
    ],
)
def test_what_gives_no_law_is_refused_with_the_reason(change: Any, words: str) -> None:
    law = current_law(*change(*currents(2e6, 8e-7, 2.0, 2)))
    assert words in law.reason
    assert law.exponent.value is None
    assert np.isnan(law.at(VOLTS)).all()
