"""Films with a history, made otherwise, or broken: what a user of `rig run` on the simulated bench can choose."""

import json
from pathlib import Path

import h5py
import pytest
from desk import Desk, told
from test_command_line import sequence

from rig.runfile import open_run
from sim_instruments.device_store import DeviceStore

SHORT = {"on_s": 0.6, "off_s": 0.5}


def run(desk: Desk, *words: str) -> tuple[int, dict, str]:
    sequence("s.toml", **SHORT)
    said = desk.rig("run", "s.toml", "--json", "--out", "runs", *words)
    return said.code, json.loads(said.out.splitlines()[-1]), said.err


def test_the_history_of_a_film_grows_from_run_to_run_and_is_in_the_file(desk: Desk) -> None:
    code, first, _ = run(desk, "--device", "NC-7", "--state", "films")
    after_one = DeviceStore("films").load("NC-7")
    assert code == 0
    assert after_one.greatest_bias_v == pytest.approx(20.0)
    assert after_one.bleached > 0
    _, second, _ = run(desk, "--device", "NC-7", "--state", "films", "--seed", "4")
    after_two = DeviceStore("films").load("NC-7")
    assert after_two.bleached > after_one.bleached
    assert after_two.damage > after_one.damage
    assert after_two.hazard > after_one.hazard
    for name, bleached in ((first["file"], 0.0), (second["file"], after_one.bleached)):
        with h5py.File(name) as file:
            told_history = json.loads(file["entry/provenance/simulation_json"][()])["history"]
        assert told_history["bleached"] == bleached


def test_without_a_serial_nothing_is_kept(desk: Desk) -> None:
    assert run(desk, "--state", "films")[0] == 0
    assert not Path("films").exists()


def test_the_films_can_be_listed(desk: Desk) -> None:
    run(desk, "--device", "NC-7", "--state", "films")
    said = desk.rig("sim", "devices", "--state", "films")
    assert said.code == 0
    assert "SIMULATED" in said.out
    assert "NC-7" in said.out
    [record] = [json.loads(line) for line in desk.rig("sim", "devices", "--state", "films", "--json").out.splitlines()]
    assert record["serial"] == "NC-7"


def test_a_film_behind_pmma_is_a_result_not_a_fault(desk: Desk) -> None:
    code, report, _ = run(desk, "--variant", "pmma")
    assert code == 0
    assert report["results"]["switched"] is False
    assert report["results"]["on_peak_nm"]["value"] is None


@pytest.mark.fault("I1", "P1")
def test_a_breakdown_ends_the_run_safe_and_stays_in_the_film(desk: Desk) -> None:
    code, report, err = run(desk, "--device", "NC-8", "--state", "films", "--fault", "breakdown@3.2s")
    assert code == 4
    told(err, "current limit", "off, confirmed")
    assert open_run(report["file"]).state == "fault"
    assert report["frames"]["flagged"]["compliance"] > 0
    assert DeviceStore("films").load("NC-8").breakdowns == 1
    assert desk.rig("unlock", "NC-8", "--simulated", "--state", "films", "--why", "test").code == 0
    code, _, err = run(desk, "--device", "NC-8", "--state", "films", "--seed", "9")
    assert code == 4, "a broken film stays broken"


@pytest.mark.parametrize("words", [("--fault", "brakedown@1s"), ("--fault", "breakdown@-1s"), ("--fault", "")])
def test_what_cannot_be_simulated_is_refused(desk: Desk, words: tuple[str, str]) -> None:
    sequence("s.toml", **SHORT)
    said = desk.rig("run", "s.toml", *words)
    assert said.code == 2
    told(said.err, "[simulation-impossible]", "nothing was touched")
    assert not list(Path().glob("runs/*"))
