"""From a sequence and a bench to programs, or to every reason why not."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.errors import CompileError
from drivers.roles import HoldLevel, LevelList
from rig.bench import Bench, default_bench, parse_bench
from rig.compiler import Facts, Plan, compile_block, plan
from rig.config_file import parse_document, render_toml
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.live_view import LiveView
from rig.measurements.on_off import OnOff
from rig.sequence import Block, Mode, State, Stretch
from rig.session import Session

FACTS = Facts(
    source_step_ns=360_000,
    source_max_points=2500,
    spectrometer_readout_ns=20_000,
    integration_min_ns=10_000,
    integration_max_ns=10_000_000_000,
    source_connector="trigger_link",
    source_bipolar=True,
    spectrometer_has_clock=True,
)
Values = dict[str, Any]
T0_CABLE = 2


def bench(change: Callable[[Values], object] = lambda tables: None) -> Bench:
    tables: Values = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
    change(tables)
    return parse_bench(parse_document(render_toml(tables), Path("b.toml")))


def without_step_cable(tables: Values) -> None:
    del tables["cable"][T0_CABLE]


def compiled(mode: Mode = "auto", on: Bench | None = None, facts: Facts = FACTS, **parameters: Any) -> Plan:
    given: dict[str, Any] = {"cycles": 2, **parameters}
    return plan(OnOff(**given), mode, on or bench(), facts)


def refusal(mode: Mode = "auto", on: Bench | None = None, facts: Facts = FACTS, **parameters: Any) -> CompileError:
    with pytest.raises(CompileError) as caught:
        compiled(mode, on, facts, **parameters)
    assert caught.value.next_step
    return caught.value


def codes(error: CompileError) -> set[str]:
    return {reason.code for reason in error.reasons}


# --- programs ---------------------------------------------------------------------------------------------------------


def test_gated_blocks_hold_one_level_each() -> None:
    what = compiled("gated")
    assert [one.programs.source for one in what.blocks] == [HoldLevel(level_v) for level_v in (0.0, 20.0) * 2]
    for one in what.blocks:
        assert {output.channel for output in one.programs.trigger.outputs} == {"EF", "AB"}  # nothing can step the source
        assert not one.programs.trigger.t0_on_first_shot_only


def test_stepped_blocks_walk_a_list_that_ends_at_zero() -> None:
    what = compiled("stepped")
    assert [one.programs.source for one in what.blocks] == [LevelList((0.0, 0.0, 20.0, 20.0, 0.0), 1)] * 2
    trigger = what.blocks[0].programs.trigger
    assert trigger.t0_on_first_shot_only
    [t0] = [output for output in trigger.outputs if output.channel == "T0"]
    assert (t0.delay_ns, t0.high_z, t0.positive) == (0, True, False)
    assert 10_000 <= t0.width_ns


def test_outputs_follow_the_cables() -> None:
    def swapped(tables: Values) -> None:
        tables["cable"][0]["from"], tables["cable"][1]["from"] = "laser_trigger.AB", "laser_trigger.GH"
        tables["cable"][1]["level_v"] = 3.0

    what = compiled("gated", bench(swapped))
    outputs = {output.channel: output for output in what.blocks[0].programs.trigger.outputs}
    assert set(outputs) == {"AB", "GH"}
    pattern = what.blocks[0].timeline.pattern
    assert (outputs["AB"].delay_ns, outputs["GH"].delay_ns) == (pattern.laser_ns, pattern.spectrometer_ns)
    assert (outputs["AB"].level_v, outputs["GH"].level_v) == (4.0, 3.0)


def test_the_trigger_line_is_the_one_the_cable_leads_to() -> None:
    def line_3(tables: Values) -> None:
        tables["cable"][T0_CABLE]["to"] = "voltage_source.trigger_link_3"

    source = compiled("stepped", bench(line_3)).blocks[0].programs.source
    assert isinstance(source, LevelList)
    assert source.trigger_line == 3


def test_a_block_compiles_by_itself_as_in_its_plan() -> None:
    for mode in ("gated", "stepped"):
        for one in compiled(mode).blocks:
            assert compile_block(one.block, mode, bench(), FACTS) == one


def test_a_gated_block_of_two_stretches_is_a_defect_of_the_measurement() -> None:
    stretches = (Stretch(State.OFF, 0.0, 10, 0), Stretch(State.ON, 20.0, 10, 0))
    with pytest.raises(ValueError, match="one stretch"):
        compile_block(Block(0, stretches, 0.1, 40.0), "gated", bench(), FACTS)


# --- the mode ---------------------------------------------------------------------------------------------------------


def test_auto_is_stepped_where_it_can_be() -> None:
    what = compiled("auto")
    assert what.mode == "stepped"
    assert "proved" in what.why


def continuous(tables: Values) -> None:
    tables["cable"][T0_CABLE]["from"] = "laser_trigger.CD"


def slow_film(tables: Values) -> None:
    tables["spectrometer"]["integration_time_s"] = 700e-6


@pytest.mark.parametrize(
    ("change", "parameters", "code", "said"),
    [
        (without_step_cable, {}, "no-cable-to-source", "laser_trigger.T0 to voltage_source.trigger_link_1"),
        (continuous, {}, "continuous-program-unproven", "prescaler"),
        (slow_film, {}, "window-beyond-period", "window"),
        (lambda tables: None, {"settle_s": 0.004}, "settle-too-short", "0.005 s"),
    ],
)
def test_stepped_is_refused_with_the_reason_that_auto_gives_for_gated(
    change: Callable[[Values], object], parameters: dict[str, Any], code: str, said: str
) -> None:
    error = refusal("stepped", bench(change), **parameters)
    assert code in codes(error)
    assert "gated" in error.next_step
    what = compiled("auto", bench(change), **parameters)
    assert what.mode == "gated"
    assert said in what.why
    assert compiled("gated", bench(change), **parameters).why == "asked for by the sequence"


SUPPLY = replace(FACTS, source_step_ns=0, source_max_points=0, source_connector="", source_bipolar=False)


def to_digital_io(tables: Values) -> None:
    tables["cable"][T0_CABLE].update(to="voltage_source.digital_io_2", level_v=4.5)


@pytest.mark.parametrize(
    ("change", "facts", "code", "where", "said"),
    [
        (without_step_cable, SUPPLY, "source-cannot-step", "voltage_source.model", "keithley-2400 has no list"),
        (lambda tables: None, SUPPLY, "source-cannot-step", "voltage_source.model", "no list that trigger edges could step"),
        (
            without_step_cable,
            replace(FACTS, source_connector="digital_io"),
            "no-cable-to-source",
            "cable",
            "voltage_source.digital_io_1",
        ),
        (
            lambda tables: None,
            replace(FACTS, spectrometer_has_clock=False),
            "spectrometer-without-clock",
            "spectrometer.model",
            "ocean-fx has no clock",
        ),
    ],
)
def test_models_that_cannot_be_stepped_are_gated_and_the_one_reason_is_told(
    change: Callable[[Values], object], facts: Facts, code: str, where: str, said: str
) -> None:
    error = refusal("stepped", bench(change), facts)
    assert [reason.code for reason in error.reasons] == [code]
    assert error.reasons[0].where.endswith(where)
    what = compiled("auto", bench(change), facts)
    assert what.mode == "gated"
    assert said in what.why


@pytest.mark.parametrize(
    ("change", "facts", "said"),
    [
        (to_digital_io, FACTS, "keithley-2400 has no digital_io, its trigger lines are called trigger_link_1"),
        (
            lambda tables: None,
            replace(FACTS, source_connector="digital_io"),
            "has no trigger_link, its trigger lines are called digital_io_1",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["gated", "stepped", "auto"])
def test_a_cable_at_a_connector_that_the_model_does_not_have_is_refused_in_every_mode(
    mode: Mode, change: Callable[[Values], object], facts: Facts, said: str
) -> None:
    error = refusal(mode, bench(change), facts)
    assert codes(error) == {"connector-not-on-model"}
    assert error.reasons[0].where.endswith("cable[2].to")
    assert said in error.reasons[0].message


def test_a_cable_left_over_at_a_source_without_inputs_forbids_nothing() -> None:
    assert compiled("gated", bench(to_digital_io), SUPPLY).mode == "gated"


def test_everything_that_forbids_stepping_is_told_at_once() -> None:
    error = refusal("stepped", bench(continuous), replace(SUPPLY, spectrometer_has_clock=False), settle_s=0.004)
    assert codes(error) == {"source-cannot-step", "spectrometer-without-clock", "settle-too-short"}


def test_a_digital_line_steps_a_source_that_has_one() -> None:
    source = compiled("stepped", bench(to_digital_io), replace(FACTS, source_connector="digital_io")).blocks[0].programs.source
    assert isinstance(source, LevelList)
    assert source.trigger_line == 2


def test_a_unipolar_source_is_not_asked_for_less_than_zero() -> None:
    assert compiled("gated", facts=SUPPLY, voltage_off_v=0.0).planned_shots > 0
    error = refusal("gated", facts=SUPPLY, voltage_off_v=-0.001, voltage_on_v=0.0)
    assert codes(error) == {"voltage-negative"}
    assert error.reasons[0].where.endswith("voltage_off_v")


def test_a_source_with_a_short_list_is_not_stepped() -> None:
    few = replace(FACTS, source_max_points=2)
    assert codes(refusal("stepped", facts=few)) == {"list-too-long"}
    assert compiled("auto", facts=few).mode == "gated"


def test_a_slower_source_opens_the_window_later_or_is_not_stepped() -> None:
    slower = replace(FACTS, source_step_ns=450_000)
    assert compiled("stepped", facts=slower).blocks[0].timeline.pattern.open_ns >= 450_000
    too_slow = replace(FACTS, source_step_ns=600_000)
    assert "window-beyond-period" in codes(refusal("stepped", facts=too_slow))


# --- limits -----------------------------------------------------------------------------------------------------------


def ulp_beyond(value: float) -> float:
    return math.nextafter(value, math.inf)


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    ("allowed", "refused", "code"),
    [
        ({"voltage_on_v": 20.0}, {"voltage_on_v": ulp_beyond(20.0)}, "voltage-above-limit"),
        ({"voltage_on_v": -20.0}, {"voltage_on_v": -ulp_beyond(20.0)}, "voltage-above-limit"),
        ({"voltage_on_v": 10.0, "voltage_off_v": -10.0}, {"voltage_on_v": 10.0, "voltage_off_v": -10.5}, "step-above-limit"),
        ({"on_time_s": 60.0, "off_time_s": 60.0}, {"on_time_s": 60.001, "off_time_s": 60.001}, "on-time-above-limit"),
        ({"on_time_s": 3.0}, {"on_time_s": 3.001}, "duty-above-limit"),
        ({"on_time_s": 0.3, "off_time_s": 0.2, "cycles": 999}, {"on_time_s": 0.301}, "duty-above-limit"),
        ({"fluence_uj_cm2": 160.0}, {"fluence_uj_cm2": ulp_beyond(160.0)}, "fluence-out-of-reach"),
        ({"fluence_uj_cm2": 0.16}, {"fluence_uj_cm2": -ulp_beyond(-0.16)}, "fluence-out-of-reach"),
        ({"cycles": 10_000, "on_time_s": 5.0, "off_time_s": 5.0}, {"cycles": 10_000, "on_time_s": 5.001}, "run-too-long"),
    ],
)
def test_limits_hold_to_the_last_bit(allowed: dict[str, Any], refused: dict[str, Any], code: str) -> None:
    def generous(tables: Values) -> None:
        tables.pop("filter_wheel", None)  # it has weaker pulses than any sequence may ask for
        if "voltage_off_v" in allowed:
            tables["voltage_source"]["limits"]["duty"] = 1.0

    if code != "run-too-long":  # a hundred million shots take a while to compile, one more is refused at once
        assert compiled("gated", bench(generous), **allowed).planned_shots > 0
    error = refusal("gated", bench(generous), **{**allowed, **refused})
    assert code in codes(error)


def test_without_an_attenuator_the_fluence_is_what_it_is() -> None:
    def fixed(tables: Values) -> None:
        del tables["attenuator"]
        tables["pump"]["fluence_uj_cm2"] = 40.0

    what = compiled("gated", bench(fixed))
    assert {one.programs.plate_deg for one in what.blocks} == {None}
    error = refusal("gated", bench(fixed), fluence_uj_cm2=ulp_beyond(40.0))
    assert codes(error) == {"fluence-not-available"}
    assert "has no attenuator" in error.reasons[0].message


def test_an_attenuator_that_nobody_knows_sets_nothing() -> None:
    def unknown(tables: Values) -> None:
        del tables["attenuator"]["zero_deg"], tables["attenuator"]["extinction"]

    error = refusal("gated", bench(unknown))
    assert codes(error) == {"fluence-not-available"}
    assert "rig calibrate fluence" in error.reasons[0].message


def test_the_plate_stands_where_the_fluence_is_and_the_dose_follows() -> None:
    what = compiled("gated", fluence_uj_cm2=80.0)
    law = bench().fluence_law()
    assert law is not None
    [angle_deg] = {one.programs.plate_deg for one in what.blocks}
    assert angle_deg is not None
    assert law.at(angle_deg) == pytest.approx(80.0)
    assert what.price.dose_j_cm2 == pytest.approx(2 * compiled("gated").price.dose_j_cm2)


def test_every_reason_comes_at_once_and_once() -> None:
    error = refusal("gated", voltage_on_v=21.0, fluence_uj_cm2=161.0, on_time_s=70.0, off_time_s=2.0)
    found = [reason.code for reason in error.reasons]
    assert sorted(found) == sorted(set(found))
    assert set(found) == {
        "voltage-above-limit",
        "fluence-out-of-reach",
        "on-time-above-limit",
        "step-above-limit",
        "duty-above-limit",
    }
    for reason in error.reasons:
        assert any(digit.isdigit() for digit in reason.message)  # the value and the limit are in it


def test_an_exposure_that_the_model_cannot_make() -> None:
    facts = replace(FACTS, integration_min_ns=600_000)
    error = refusal("gated", facts=facts)
    assert codes(error) == {"integration-time-out-of-range"}
    assert error.reasons[0].where.endswith("spectrometer.integration_time_s")


@pytest.mark.fault("C2")
@given(voltage_v=st.floats(-25, 25), off_v=st.floats(-25, 25))
@settings(max_examples=60, deadline=None)
def test_nothing_beyond_the_limits_is_ever_compiled(voltage_v: float, off_v: float) -> None:
    assume(voltage_v != off_v and 0.0 not in (voltage_v, off_v))
    on = bench(lambda tables: tables["voltage_source"]["limits"].update(duty=1.0))
    for mode in ("gated", "stepped"):
        asked: dict[str, Any] = {
            "voltage_on_v": voltage_v,
            "voltage_off_v": off_v,
            "cycles": 1,
            "on_time_s": 0.2,
            "off_time_s": 0.2,
        }
        if max(abs(voltage_v), abs(off_v)) <= 20 and abs(voltage_v - off_v) <= 20:
            levels = [burst.voltage_v for one in compiled(mode, on, **asked).blocks for burst in one.timeline.bursts]
            assert all(-20 <= level <= 20 for level in levels)
        else:
            assert codes(refusal(mode, on, **asked)) <= {"voltage-above-limit", "step-above-limit"}


# --- the price --------------------------------------------------------------------------------------------------------


def test_the_price_of_the_paper_s_run() -> None:
    what = compiled("stepped", cycles=6)
    price = what.price
    assert what.planned_shots == 24_000
    assert price.shots == 24_000 + 6 * 4  # per block a lead-in, one shot at the end of each stretch, a closing shot
    assert price.duration_s == pytest.approx(24.0, abs=1.0)
    assert price.dose_j_cm2 == pytest.approx(24_024 * 40e-6)
    assert price.bias_v_s == pytest.approx(6 * 2.0 * 20.0)
    assert price.on_duty == pytest.approx(0.5)
    assert 24_024 * 2136 * 2 < price.file_bytes < 1.2 * 24_024 * 2136 * 2
    assert what.frame_capacity >= price.shots


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_what_is_priced_is_what_is_planned(mode: Mode) -> None:
    what = compiled(mode, cycles=3, on_time_s=0.2, off_time_s=0.3)
    assert what.planned_shots == OnOff(cycles=3, on_time_s=0.2, off_time_s=0.3).max_shots(1000.0) == 1500
    bursts = [burst for one in what.blocks for burst in one.timeline.bursts]
    assert sum(burst.shots - burst.lead_in for burst in bursts if burst.stretch is not None) == 1500
    assert what.price.shots == sum(burst.shots for burst in bursts)


@pytest.mark.parametrize("measurement", [FluenceSweep(voltage_v=30.0), LiveView(voltage_v=30.0)])
def test_a_refusal_names_the_measurements_own_parameter(measurement: FluenceSweep | LiveView) -> None:
    with pytest.raises(CompileError) as refused:
        Session().plan(measurement)
    above = [reason for reason in refused.value.reasons if reason.code == "voltage-above-limit"]
    assert [reason.where for reason in above] == ["parameters.voltage_v"]
