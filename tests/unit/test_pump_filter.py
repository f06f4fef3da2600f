"""Which filter a run gets, and what it makes of fluences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import CompileError, ConfigError
from rig.bench import Bench, default_bench, parse_bench
from rig.compiler import Plan, plan
from rig.config_file import parse_document, render_toml
from rig.instruments import facts
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.on_off import OnOff
from rig.provenance import timing
from rig.pump_program import weakening
from rig.sequence import Block, Exposure, Light, State, Stretch

Values = dict[str, Any]
OPEN_UJ_CM2, EXTINCTION = 160.0, 1e-3  # of the default bench


def bench(*changes: Callable[[Values], object]) -> Bench:
    tables: Values = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
    for change in changes:
        change(tables)
    return parse_bench(parse_document(render_toml(tables), Path("b.toml")))


def no_wheel(tables: Values) -> None:
    del tables["filter_wheel"]


def planned(fluence_uj_cm2: float, on: Bench | None = None) -> Plan:
    on = on or bench()
    return plan(OnOff(cycles=1, fluence_uj_cm2=fluence_uj_cm2), "auto", on, facts(on))


def blocks(*asked: float, light: Light = "pulses") -> list[Block]:
    stretch = Stretch(State.OFF, 0.0, 10, 0)
    return [Block(number, (stretch,), 0.1, fluence, Exposure(light)) for number, fluence in enumerate(asked)]


@pytest.mark.parametrize(
    ("asked_uj_cm2", "position"),
    [
        *((160.0, 1), (40.0, 1), (0.16, 1)),  # what the plate reaches alone it sets alone
        *((0.1599, 4), (0.017, 4), (0.0161, 4), (0.0159, 5), (0.004, 5), (0.002, 5), (0.001, 6)),
    ],
)
def test_the_wheel_is_open_or_its_densest_filter_that_will_do(asked_uj_cm2: float, position: int) -> None:
    found = weakening(blocks(asked_uj_cm2), bench())
    assert found.filter_position == position
    law = found.fluence_law()
    assert law is not None
    assert law.lowest <= asked_uj_cm2 <= law.open
    assert law.open == pytest.approx(OPEN_UJ_CM2 * 10.0 ** (1 - position))
    assert law.lowest == pytest.approx(law.open * EXTINCTION)


def test_one_filter_serves_all_blocks_of_a_run() -> None:
    assert weakening(blocks(0.001, 0.002, 0.004), bench()).filter_position == 5
    assert weakening(blocks(0.001, 0.15), bench()).filter_position == 4


@pytest.mark.parametrize("light", ["cw", "none"])
def test_light_that_does_not_come_from_the_laser_needs_no_filter(light: Light) -> None:
    assert weakening(blocks(0.001, light=light), bench()).filter_position == 1


def test_the_plate_of_a_plan_stands_where_the_filter_makes_the_fluence() -> None:
    what = planned(0.002)
    assert what.filter_position == 5
    for one in what.blocks:
        assert one.programs.plate_deg is not None
        law = bench().fluence_law()
        assert law is not None
        assert law.at(one.programs.plate_deg) * 1e-4 == pytest.approx(0.002)
    assert timing(what.blocks[0])["filter_position"] == 5
    assert timing(what.blocks[0])["filter_transmission"] == 1e-4


def test_the_dose_is_that_behind_the_filter() -> None:
    assert planned(0.002).price.dose_j_cm2 == pytest.approx(planned(40.0).price.dose_j_cm2 * 0.002 / 40.0)


def test_without_a_wheel_everything_is_as_it_was() -> None:
    what = planned(40.0, bench(no_wheel))
    assert what.filter_position is None
    assert "filter_position" not in timing(what.blocks[0])
    with pytest.raises(CompileError) as refused:
        planned(0.002, bench(no_wheel))
    [reason] = refused.value.reasons
    assert reason.code == "fluence-out-of-reach"
    assert "[filter_wheel]" in reason.message


def test_fluences_that_no_single_filter_covers_are_refused() -> None:
    sweep = FluenceSweep(fluence_min_uj_cm2=0.002, fluence_max_uj_cm2=100.0)
    with pytest.raises(CompileError) as refused:
        plan(sweep, "gated", bench(), facts(bench()))
    assert {reason.code for reason in refused.value.reasons} == {"fluence-out-of-reach"}
    assert "no one filter lets the plate set all fluences" in refused.value.reasons[0].message


def test_what_is_too_strong_is_refused_without_a_word_of_filters_on_a_bench_without() -> None:
    with pytest.raises(CompileError) as refused:
        planned(161.0, bench(no_wheel))
    assert "filter" not in refused.value.reasons[0].message


def test_a_pump_without_plate_has_as_many_fluences_as_filters() -> None:
    fixed = bench(lambda tables: (tables.pop("attenuator"), tables["pump"].update(fluence_uj_cm2=40.0)))
    assert planned(40.0, fixed).filter_position == 1
    assert planned(0.04, fixed).filter_position == 4
    with pytest.raises(CompileError) as refused:
        planned(0.05, fixed)
    assert [reason.code for reason in refused.value.reasons] == ["fluence-not-available"]


def test_the_uncertainty_of_the_filter_is_systematic_and_that_of_a_hole_is_none() -> None:
    is_open, dense = bench().energy_scale(), bench().behind_filter(3).energy_scale()
    without = bench(no_wheel).energy_scale()
    assert is_open is not None
    assert dense is not None
    assert without is not None
    assert is_open == without
    assert dense.relative**2 == pytest.approx(is_open.relative**2 + 0.05**2)
    assert dense.uj_cm2_per_uj == pytest.approx(is_open.uj_cm2_per_uj * 0.01)
    assert "filter 0.01 5 %" in dense.parts_text()
    assert "filter" not in is_open.parts_text()


@pytest.mark.parametrize("position", [0, 7])
def test_a_filter_that_is_not_there_cannot_be_behind(position: int) -> None:
    with pytest.raises(ValueError, match="no filter at position"):
        bench().behind_filter(position)
    with pytest.raises(ValueError, match="no filter at position"):
        bench(no_wheel).behind_filter(1)


@pytest.mark.parametrize(
    ("transmission", "code"),
    [([0.5, 0.1], "filter-wheel-not-open"), ([1.0, 0.0], "out-of-range"), ([1.0, 1.1], "out-of-range"), ([], "wrong-length")],
)
def test_an_impossible_wheel_is_refused(transmission: list[float], code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        bench(lambda tables: tables["filter_wheel"].update(transmission=transmission))
    assert [reason.code for reason in refused.value.reasons] == [code]
