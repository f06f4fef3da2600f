"""What a plan and a file must be, whatever is asked for: compiled timelines and prices, and TOML that reads as it was written.

Invariants 13 and 14 of the table in tests/faults/test_invariants.py.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from drivers.errors import CompileError, ConfigError
from drivers.roles import HoldLevel, LevelList
from rig.bench import Bench, default_bench, parse_bench
from rig.compiler import Plan, plan
from rig.config_file import parse_document, render_toml
from rig.instruments import facts
from rig.measurements.on_off import OnOff
from rig.sequence import Measurement, Mode, Sequence, parse_sequence
from rig.session import MEASUREMENTS

EXAMPLES = 2000 if os.environ.get("RIG_LONG") else 100
SOME = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
Values = dict[str, Any]
TEXT = st.text(max_size=40) | st.sampled_from(["", '"', "\\", "\n", "a = 1", "'''", "\x7f", "\u2028", "\U0001f600"])
MODES: list[Mode] = ["gated", "stepped", "auto"]


def default_values() -> Values:
    return json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))


def read_bench_text(text: str) -> Bench:
    return parse_bench(parse_document(text, Path("bench.toml")))


def voltages(highest_v: float) -> st.SearchStrategy[float]:
    return st.floats(-highest_v, highest_v).map(lambda voltage_v: voltage_v + 0.0)  # -0.0 is refused


@st.composite
def benches(draw: st.DrawFn) -> Bench:
    """Benches that differ from the default one in every kind of value: rates, limits, delays, words, tables left out."""
    values = default_values()
    limits = values["voltage_source"]["limits"]
    limits["voltage_v"] = [draw(st.floats(-20, 0)), draw(st.floats(1e-3, 20))]
    limits["current_a"] = draw(st.floats(1e-9, 0.1))
    limits["step_v"] = draw(st.floats(1e-3, 420))
    limits["on_time_s"] = draw(st.floats(1e-3, 1e5))
    limits["duty"] = draw(st.floats(1e-3, 1))
    values["laser_trigger"]["rate_hz"] = draw(st.floats(0.1, 1500) | st.sampled_from([1.0, 10.0, 100.0, 1000.0]))
    values["spectrometer"]["integration_time_s"] = draw(st.floats(1e-5, 9e-4))
    values["laser"]["pulse_delay_s"] = draw(st.floats(0, 5e-4))
    values["environment"] = {"operator": draw(TEXT), "temperature_c": draw(st.floats(-50, 100)), "note": draw(TEXT)}
    values["safety"] = {"guard_silence_s": draw(st.floats(0.5, 60))}
    for role in draw(st.sets(st.sampled_from(["energy_meter", "shutter", "attenuator", "filter_wheel"]))):
        del values[role]
    values["pump"]["fluence_uj_cm2"] = draw(st.floats(1e-4, 1e4)) if "attenuator" in values else 40.0
    try:
        return read_bench_text(render_toml(values))
    except ConfigError:
        assume(False)
        raise


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """Sequences within the windows of their parameters."""
    off_v = draw(voltages(210) | st.just(0.0))
    on_v = draw(voltages(210))
    assume(on_v != off_v)
    on_s, off_s = draw(st.floats(1e-3, 1e3)), draw(st.floats(1e-3, 1e3))
    parameters = OnOff(
        voltage_on_v=on_v,
        voltage_off_v=off_v,
        on_time_s=on_s,
        off_time_s=off_s,
        cycles=draw(st.integers(1, 10_000)),
        fluence_uj_cm2=draw(st.floats(1e-4, 1e4)),
        settle_s=draw(st.floats(0, 1, exclude_max=True)) * min(on_s, off_s, 100.0),
    )
    return Sequence.of(parameters, title=draw(TEXT), sample=draw(TEXT), mode=draw(st.sampled_from(MODES)))


@st.composite
def plans(draw: st.DrawFn) -> tuple[OnOff, Bench, Plan]:
    """What a bench with wide limits can run."""
    rate_hz = draw(st.sampled_from([10.0, 250.0, 1000.0]))
    values = default_values()
    values["voltage_source"]["limits"].update(on_time_s=1e5, duty=1.0, step_v=40.0)
    values["laser_trigger"]["rate_hz"] = rate_hz
    bench = read_bench_text(render_toml(values))
    on_shots, off_shots, settle_shots = draw(st.integers(1, 400)), draw(st.integers(1, 400)), draw(st.integers(0, 20))
    assume(settle_shots < min(on_shots, off_shots))
    off_v = draw(st.sampled_from([0.0, -20.0]) | voltages(20))
    on_v = draw(voltages(20))
    assume(on_v != off_v)
    wanted = OnOff(
        voltage_on_v=on_v,
        voltage_off_v=off_v,
        on_time_s=on_shots / rate_hz,
        off_time_s=off_shots / rate_hz,
        cycles=draw(st.integers(1, 8)),
        settle_s=settle_shots / rate_hz,
    )
    try:
        return wanted, bench, plan(cast(Measurement, wanted), draw(st.sampled_from(MODES)), bench, facts(bench))
    except CompileError:
        assume(False)
        raise


# --- 13: compiled -----------------------------------------------------------------------------------------------------


def sorted_and_possible(what: Plan, period_ns: int, source_step_ns: int, readout_ns: int) -> None:
    """Every shot's moments come in order, and nothing is asked for sooner than an instrument can."""
    for one in what.blocks:
        pattern = one.timeline.pattern
        assert pattern.period_ns == period_ns
        moments = [0, pattern.spectrometer_ns, pattern.open_ns, pattern.pulse_ns, pattern.close_ns, pattern.ready_ns, period_ns]
        assert all(before <= after for before, after in pairwise(moments)), moments
        assert 0 <= pattern.laser_ns <= pattern.pulse_ns
        assert pattern.ready_ns - pattern.close_ns >= readout_ns
        if one.mode == "stepped":
            assert pattern.edge_ns == 0
            assert pattern.open_ns >= source_step_ns


def prices_agree(wanted: OnOff, rate_hz: float, what: Plan) -> None:
    """What a plan costs is what its programs, counted one by one, add up to."""
    on, off = round(wanted.on_time_s * rate_hz), round(wanted.off_time_s * rate_hz)
    assert what.planned_shots == wanted.cycles * (on + off)
    assert what.price.shots == sum(burst.shots for one in what.blocks for burst in one.timeline.bursts)
    data = [burst.shots - burst.lead_in for one in what.blocks for burst in one.timeline.bursts if burst.stretch is not None]
    assert sum(data) == what.planned_shots
    assert what.frame_capacity >= what.price.shots
    assert what.price.duration_s >= what.price.shots / rate_hz * (1 - 1e-9)
    on_s = wanted.cycles * on / rate_hz * abs(wanted.voltage_on_v)
    off_s = wanted.cycles * off / rate_hz * abs(wanted.voltage_off_v)
    assert what.price.bias_v_s == pytest.approx(on_s + off_s)
    assert what.price.dose_j_cm2 == pytest.approx(what.price.shots * wanted.fluence_uj_cm2 * 1e-6)


def levels_are_planned(wanted: OnOff, what: Plan) -> None:
    """The source is given the planned levels in the planned order, within the limits, and a list ends at 0 V."""
    levels: list[float] = []
    for one in what.blocks:
        source = one.programs.source
        if isinstance(source, HoldLevel):
            levels.append(source.voltage_v)
        else:
            assert isinstance(source, LevelList)
            assert len(source.levels_v) == len(one.timeline.bursts)
            assert source.levels_v[-1] == 0.0
            levels += source.levels_v[:-1:2]  # each level stands there twice: at its begin and at its end
            assert source.levels_v[:-1:2] == source.levels_v[1:-1:2]
    assert levels == [wanted.voltage_off_v, wanted.voltage_on_v] * wanted.cycles
    assert all(-20 <= level_v <= 20 for level_v in levels)


@SOME
@given(planned=plans())
def test_every_plan_is_sorted_priced_and_complete(planned: tuple[OnOff, Bench, Plan]) -> None:
    wanted, bench, what = planned
    known = facts(bench)
    rate_hz = bench.laser_trigger.rate_hz
    sorted_and_possible(what, round(1e9 / rate_hz), known.source_step_ns, known.spectrometer_readout_ns)
    prices_agree(wanted, rate_hz, what)
    levels_are_planned(wanted, what)


def a_plan() -> tuple[OnOff, Bench, Plan]:
    bench, wanted = default_bench(), OnOff(cycles=2)
    return wanted, bench, plan(cast(Measurement, wanted), "stepped", bench, facts(bench))


def test_control_a_plan_that_is_out_of_order_or_too_tight_is_seen() -> None:
    _, _, what = a_plan()
    sorted_and_possible(what, 1_000_000, 0, 0)
    for source_step_ns, readout_ns in ((10_000_000, 0), (0, 10_000_000)):
        with pytest.raises(AssertionError):
            sorted_and_possible(what, 1_000_000, source_step_ns, readout_ns)
    first = what.blocks[0]
    pattern = replace(first.timeline.pattern, pulse_ns=first.timeline.pattern.close_ns + 1)
    late = replace(what, blocks=(replace(first, timeline=replace(first.timeline, pattern=pattern)),))
    with pytest.raises(AssertionError):
        sorted_and_possible(late, 1_000_000, 0, 0)


@pytest.mark.parametrize("judge", [prices_agree, levels_are_planned])
def test_control_a_plan_of_something_else_is_seen(judge: Callable[..., None]) -> None:
    wanted, bench, what = a_plan()
    rate = [bench.laser_trigger.rate_hz] if judge is prices_agree else []
    judge(wanted, *rate, what)
    with pytest.raises(AssertionError):
        judge(wanted.model_copy(update={"cycles": 3}), *rate, what)
    with pytest.raises(AssertionError):
        judge(wanted.model_copy(update={"voltage_on_v": 19.0}), *rate, what)


# --- 14: written and read ---------------------------------------------------------------------------------------------


def read_sequence_text(text: str) -> Sequence:
    return parse_sequence(parse_document(text, Path("sequence.toml")), MEASUREMENTS)


@SOME
@given(sequence=sequences())
def test_a_sequence_reads_as_it_was_written(sequence: Sequence) -> None:
    again = read_sequence_text(sequence.source_text)
    assert again.model_dump() == sequence.model_dump()
    assert type(again.parameters) is type(sequence.parameters)
    assert read_sequence_text(render_toml(again.model_dump())).model_dump() == sequence.model_dump()


@SOME
@given(bench=benches())
def test_a_bench_reads_as_it_was_written(bench: Bench) -> None:
    again = read_bench_text(render_toml(bench.model_dump(by_alias=True, exclude_none=True)))
    assert again.model_dump() == bench.model_dump()


def test_control_what_reads_differently_is_seen() -> None:
    sequence = Sequence.of(OnOff(voltage_on_v=13.0), title="13")
    changed = read_sequence_text(sequence.source_text.replace("13.0", "13.000001"))
    assert changed.model_dump() != sequence.model_dump()
    bench = default_bench()
    text = render_toml(bench.model_dump(by_alias=True, exclude_none=True))
    assert read_bench_text(text.replace("rate_hz = 1000.0", "rate_hz = 999.0")).model_dump() != bench.model_dump()
