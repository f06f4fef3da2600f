"""What records of all measurements have alike: numbers that stay numbers, arrays by voltage, one frame, one entry each."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from runfile_case import HEADER

from drivers.errors import ConfigError
from rig.analysis.statistics import Value
from rig.commands_report import FINDINGS
from rig.measurements.catalogue import CATALOGUE, without_record
from rig.measurements.iv import Iv
from rig.measurements.live_view import LiveView
from rig.measurements.on_off import OnOff
from rig.measurements.record_frame import Reduced, by_voltage, ended_by_fault, figure_title, framed
from rig.measurements.run_parameters import parameters_of
from rig.report.summary import interval_text
from rig.runfile import Run

SEQUENCE = 'measurement = "iv"\nsample = "x"\ntitle = "y"\n\n[parameters]\nvoltages = 7\n'
FOUND = SimpleNamespace(sentence="it fell")


def ran(state: str = "done", **header: Any) -> Run:
    texts = {"measurement": "iv", "run_id": "x-1", "simulated": True, "shown_id": "SIMULATED x-1", **header}
    return cast(Run, SimpleNamespace(state=state, header=SimpleNamespace(**texts)))


def reduced(result: Any, reason: str = "") -> Reduced:
    return cast(Reduced, SimpleNamespace(run=ran(), result=result, reason=reason, fluence=None))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Value(2.0, (1.0, 3.0), "V"), {"value": 2.0, "ci95": [1.0, 3.0], "unit": "V"}),
        (Value(2.0, None, ""), {"value": 2.0, "ci95": None, "unit": ""}),
        (Value(2.0, (1.0, math.inf), ""), {"value": 2.0, "ci95": None, "unit": ""}),
        (Value(None, None, "nm"), {"value": None, "ci95": None, "unit": "nm"}),
        (Value(math.nan, (1.0, 3.0), "nm"), {"value": None, "ci95": None, "unit": "nm"}),
        (Value(np.float64(0.5), (np.float64(0.25), np.float64(0.75)), ""), {"value": 0.5, "ci95": [0.25, 0.75], "unit": ""}),
    ],
)
def test_a_value_is_told_in_plain_finite_numbers(value: Value, told: dict[str, Any]) -> None:
    assert value.as_json() == told
    assert json.loads(json.dumps(value.as_json(), allow_nan=False)) == told
    assert all(type(number) is float for number in [value.as_json()["value"] or 0.0, *(value.as_json()["ci95"] or [])])


def test_an_interval_is_told_with_its_unit_and_a_dash_where_there_is_none() -> None:
    assert interval_text(Value(67.0, (66.1234, 68.0), "uJ/cm2")) == "66.12 to 68 uJ/cm2"
    assert interval_text(Value(67.0, (66.1234, 68.0), ""), 6) == "66.1234 to 68"
    assert interval_text(Value(67.0, None, "nm")) == "-"


def test_levels_without_a_value_are_stored_as_nan_at_their_voltage() -> None:
    stored = by_voltage("{}", "map", "threshold", "uJ/cm2", [(0.0, Value(68.0, None, "")), (20.0, Value(None, None, ""))])
    voltage_v, threshold = stored.arrays["map_voltage"], stored.arrays["map_threshold"]
    assert (voltage_v[0].tolist(), voltage_v[1], threshold[1]) == ([0.0, 20.0], "V", "uJ/cm2")
    assert threshold[0][0] == 68.0
    assert math.isnan(threshold[0][1])
    assert by_voltage("{}", "map", "threshold", "", []).arrays["map_voltage"][0].shape == (0,)


def test_the_file_says_how_a_run_ended_unless_it_is_said_otherwise() -> None:
    assert [ended_by_fault(ran("fault"), ending) for ending in (None, "", "done", "fault")] == [True, False, False, True]
    assert not ended_by_fault(ran("done"), None)


def test_numbers_stand_between_what_was_measured_and_what_is_said_of_it() -> None:
    told = framed(reduced(FOUND), {"voltage_v": 5.0}, {"threshold": 1.0})
    assert list(told.items()) == [
        ("measurement", "iv"),
        ("voltage_v", 5.0),
        ("threshold", 1.0),
        ("reason", "it fell"),
        ("fluence", None),
    ]
    assert framed(reduced(None, "no frames"), {}, {})["reason"] == "no frames"


def test_a_figure_says_that_it_is_simulated_and_what_came_out() -> None:
    assert figure_title(reduced(FOUND)) == "SIMULATED x-1\nit fell"


def test_a_runs_name_says_that_it_is_simulated_and_only_then() -> None:
    shown = [replace(HEADER, run_id="x-1", simulated=simulated).shown_id for simulated in (True, False)]
    assert shown == ["SIMULATED x-1", "x-1"]


def test_parameters_are_those_of_the_file_and_of_no_other_measurement() -> None:
    run = ran(sequence_toml=SEQUENCE)
    assert parameters_of(run, Iv) == Iv(voltages=7)
    with pytest.raises(ConfigError):
        parameters_of(run, OnOff)


def test_every_measurement_has_its_report() -> None:
    assert set(FINDINGS) == set(CATALOGUE)


def test_only_runs_with_two_states_are_reduced_as_switching() -> None:
    told = {name for name in (*CATALOGUE, "own") if "switched" in without_record(name, "-")}
    assert told == {OnOff.name, LiveView.name, "own"}
