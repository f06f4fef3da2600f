"""Sweeps, maps and tables that give no threshold: each says why, and no number is told that could be taken for one."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from desk import Desk, told
from test_command_line import Said

from rig.measurements.fluence_sweep import FluenceSweep
from rig.run_state import Progress, StopRequest
from rig.runfile import Flag, open_run
from rig.sequence import Sequence
from rig.session import Session
from rig.simulation import put_in

GOOD: dict[str, Any] = {
    "voltage_v": 20.0,
    "points": 20,
    "shots_per_point": 20,
    "settle_s": 0.01,
    "fluence_min_uj_cm2": 9.0,
    "fluence_max_uj_cm2": 70.0,
}
AT_0_V = {"points": 12, "shots_per_point": 15}
MAP: dict[str, Any] = {"points": 14, "shots_per_point": 12, "voltages": 2, "passes": 1, "settle_s": 0.01}


def written(measurement: str = "fluence_sweep", **parameters: Any) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
    text = f'title = "t"\nsample = "s"\nmeasurement = "{measurement}"\n[parameters]\n'
    Path("s.toml").write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
    return "s.toml"


def the_file() -> str:
    [path] = Path("runs").glob("*.h5")
    return str(path)


def no_threshold_anywhere(results: dict[str, Any]) -> None:
    """Of all values that a threshold is told by."""
    values = [results.get("threshold_uj_cm2"), results.get("reduction")]
    values += [one["threshold_uj_cm2"] for kind in ("sweeps", "levels") for one in results.get(kind) or ()]
    assert all(value is None or (value["value"], value["ci95"]) == (None, None) for value in values)
    assert results["reason"]


def everywhere_refused(desk: Desk, path: str, code: str) -> Said:
    """The results of the run, its re-analysis and the estimator by itself: no threshold, one reason."""
    stored = open_run(path).results
    no_threshold_anywhere(stored)
    anew = desk.rig("analyze", path, "--json")
    assert anew.code == 0
    no_threshold_anywhere(anew.json["runs"][0]["results"])
    shown = desk.rig("show", path)
    assert shown.code == 0
    assert "no threshold" in shown.out
    assert "±" not in next(line for line in shown.out.splitlines() if "no threshold" in line)
    said = desk.rig("analyze", "threshold", path, "--json")
    assert said.code == 2
    assert "threshold" not in said.json
    assert code in {reason["code"] for reason in said.json["error"]["reasons"]}
    told(said.err, "no threshold", f"[{code}]", "next:")
    return said


# --- sweeps and maps that cannot have one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"fluence_min_uj_cm2": 3.0, "fluence_max_uj_cm2": 24.0}, "no-slope", "does not rise"),
        ({"fluence_min_uj_cm2": 9.0, "fluence_max_uj_cm2": 76.0, "points": 20}, "all-below", "above it"),
        ({"fluence_min_uj_cm2": 80.0, "fluence_max_uj_cm2": 155.0}, "all-above", "all points are above"),
        ({"fluence_min_uj_cm2": 20.0, "fluence_max_uj_cm2": 140.0, "points": 8}, "all-below", "only 3 points are above it"),
    ],
)
def test_a_range_or_a_grid_that_cannot_show_it(desk: Desk, parameters: dict[str, Any], code: str, words: str) -> None:
    said = desk.rig("run", written(**{**AT_0_V, **parameters}), "--json", "--quiet")
    assert said.code == 0, "the run itself is a good one"
    no_threshold_anywhere(said.json["results"])
    assert words in said.json["results"]["reason"]
    everywhere_refused(desk, the_file(), code)


def test_saturated_frames_are_no_light(desk: Desk) -> None:
    said = desk.rig("run", written(**GOOD), "--json", "--quiet", "--fault", "saturation@0s:200")
    assert said.code == 0
    no_threshold_anywhere(said.json["results"])
    assert "saturated" in said.json["results"]["reason"]
    assert said.json["frames"]["flagged"]["saturated"] > 100
    assert desk.rig("analyze", "threshold", the_file()).code == 2


@pytest.mark.parametrize("part", [0.3, 0.55])
def test_a_sweep_that_was_stopped_half_way(desk: Desk, part: float) -> None:
    stop = StopRequest()

    def stops(progress: Progress) -> None:
        if progress.shots_done >= part * progress.shots_planned > 0:
            stop.request("seen enough")

    Session(out="runs").run(Sequence.of(FluenceSweep(**GOOD)), stop=stop, observe=stops)
    stored = open_run(the_file()).results
    assert 3 < stored["points_measured"] < 20
    assert f"{stored['points_measured']} of 20 points" in stored["reason"]
    no_threshold_anywhere(stored)
    assert desk.rig("analyze", "threshold", the_file()).code == 2


@pytest.mark.parametrize(("what", "part"), [("fluence_sweep", 0.4), ("fluence_sweep", 0.95), ("threshold_map", 0.4)])
def test_a_device_that_breaks_down_in_the_middle(desk: Desk, what: str, part: float) -> None:
    """However much was measured before: the run ends safe, its file is readable, the device is locked, no number is told."""
    sequence = written(what, **(GOOD if what == "fluence_sweep" else MAP))
    session, done = Session(out="runs", device="NC-3", state="films"), list[bool]()

    def breaks(progress: Progress) -> None:
        if not done and progress.shots_done >= part * progress.shots_planned > 0:
            done.append(True)
            put_in(session.world, "breakdown", 0)

    result = session.run(sequence, observe=breaks)
    assert result.outcome.safe.safe
    stored = open_run(result.path).results
    assert stored["refusal"] == "run-faulted"
    assert "ended by a fault" in stored["reason"]
    no_threshold_anywhere(stored)
    assert stored.get("fwhm_crossing_uj_cm2", {"value": None})["value"] is None
    said = desk.rig("show", str(result.path))
    assert said.code == 0
    assert "line half as wide" not in said.out
    refusal = desk.rig("analyze", "threshold", str(result.path), "--json")
    assert {reason["code"] for reason in refusal.json["error"]["reasons"]} == {"run-faulted"}
    again = desk.rig("run", sequence, "--device", "NC-3", "--state", "films")
    assert again.code == 2
    told(again.err, "[device-locked]")


# --- what is missing in the file ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Session(out=tmp_path_factory.mktemp("sweep")).run(FluenceSweep(**GOOD)).path


def changed(source: Path, **columns: Any) -> str:
    """A copy with other columns of its frames: name -> function of the column."""
    shutil.copy(source, "changed.h5")
    with h5py.File("changed.h5", "r+") as file:
        for name, change in columns.items():
            values = file[f"entry/frames/{name}"]
            values[...] = change(values[()])
    return "changed.h5"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_missing_energies_are_said_and_never_guessed(desk: Desk, sweep_file: Path, share: float) -> None:
    """With an energy for nearly every shot they are the fluences, else the set points are, and that is told."""
    rng = np.random.default_rng(1)

    def some(energy: np.ndarray) -> np.ndarray:
        rows = open_run(sweep_file).frames()
        set_uj = np.geomspace(9.0, 70.0, 20)[np.clip(rows["cycle"], 0, 19)] * 0.01
        noisy = set_uj * rng.normal(1.0, 0.01, len(energy))
        noisy[rng.random(len(energy)) > share] = np.nan
        noisy[rows["cycle"] == 4] = np.nan  # of one point none at all
        return noisy

    said = desk.rig("analyze", changed(sweep_file, pulse_energy_uj=some), "--json")
    assert said.code == 0
    results = said.json["runs"][0]["results"]
    by_energy = share > 0.9
    assert ("every shot" in results["fluence_from"]) == by_energy
    assert results["threshold_uj_cm2"]["value"] == pytest.approx(32.0, rel=0.06)
    if by_energy:
        assert results["points_measured"] == 19
        assert "19 of 20 points" in results["reason"]
    else:
        assert "set points" in results["fluence_from"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [(Flag.UNASSIGNED, "no frame is assigned"), (Flag.COMPLIANCE, "no frame is assigned"), (Flag.MISSED_PULSE, "no frame is")],
)
def test_a_file_whose_frames_all_have_a_flag_has_no_result(desk: Desk, sweep_file: Path, flag: Flag, words: str) -> None:
    path = changed(sweep_file, flags=lambda flags: flags | int(flag))
    said = desk.rig("analyze", path, "--json")
    assert said.code == 0
    no_threshold_anywhere(said.json["runs"][0]["results"])
    assert words in said.json["runs"][0]["results"]["reason"]
    assert desk.rig("analyze", "threshold", path).code == 2


def test_a_file_whose_frames_belong_to_no_visit_is_told(desk: Desk, sweep_file: Path) -> None:
    path = changed(sweep_file, cycle=lambda cycle: cycle + 1000)
    said = desk.rig("analyze", path, "--json")
    assert said.code == 2
    told(said.err, "do not fit together")


# --- tables ------------------------------------------------------------------------------------------------------------

NM = np.arange(450.0, 620.0, 0.5)
FLUENCES = np.geomspace(9.0, 70.0, 20)


def light(threshold: float = 32.0) -> np.ndarray:
    """A broad band and, beyond a threshold, a line, with a little noise: (20, pixels)."""
    band = np.exp(-(((NM - 520) / 15) ** 2))
    line = np.exp(-(((NM - 535.5) / 1.7) ** 2))
    x = FLUENCES / threshold
    strength = 0.5 * ((x - 1) + np.sqrt((x - 1) ** 2 + 4e-3 * x))
    noise = np.random.default_rng(2).normal(0, 2.0, (len(FLUENCES), len(NM)))
    return 1e3 * x[:, None] * band + 2e4 * strength[:, None] * line + noise


def table(spectra: np.ndarray, headers: list[str] | None = None) -> str:
    headers = [f"{one:.3f} uJ/cm2" for one in FLUENCES] if headers is None else headers
    rows = [",".join(["nm", *headers])]
    rows += [",".join([f"{nm:g}", *(f"{one:.3f}" for one in column)]) for nm, column in zip(NM, spectra.T, strict=True)]
    Path("t.csv").write_text("\n".join(rows), encoding="utf-8")
    return "t.csv"


def test_the_table_that_is_spoilt_below_is_a_good_one(desk: Desk) -> None:
    said = desk.rig("analyze", "threshold", table(light()), "--json")
    assert said.code == 0
    assert said.json["threshold"]["value"] == pytest.approx(32.0, rel=0.02)
    assert said.json["notes"] == []


def spoilt(kind: str) -> str:
    spectra, fluences = light(), FLUENCES.copy()
    if kind == "a column of NaN":
        spectra[7] = np.nan
    elif kind == "one NaN":
        spectra[7, 30] = np.nan
    elif kind == "infinity":
        spectra[7, 30] = np.inf
    elif kind == "saturated":
        spectra = np.minimum(spectra, 4000.0)
    elif kind == "fluences up and down":
        fluences[[4, 12]] = fluences[[12, 4]]
    elif kind == "zero fluence":
        fluences[0] = 0.0
    units = {"energies, not fluences": " uJ", "powers": " mW/cm2", "no unit": "", "capital M": " MJ/cm2"}
    headers = [f"{one:.3f}{units.get(kind, ' uJ/cm2')}" for one in fluences]
    if kind == "a fluence is missing":
        headers[3] = "spectrum 4"
    if kind == "a NaN fluence":
        headers[3] = "nan uJ/cm2"
    return table(spectra, headers)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("a column of NaN", "not-a-number"),
        ("one NaN", "not-a-number"),
        ("infinity", "not-a-number"),
        ("saturated", "saturated"),
        ("fluences up and down", "fluence-order"),
        ("zero fluence", "fluence-range"),
        ("energies, not fluences", "fluence-unit"),
        ("powers", "fluence-unit"),
        ("no unit", "fluence-unit"),
        ("capital M", "fluence-unit"),
        ("a fluence is missing", "fluence-missing"),
        ("a NaN fluence", "fluence-missing"),
    ],
)
def test_a_table_that_is_not_certain_gives_no_number(desk: Desk, kind: str, code: str) -> None:
    said = desk.rig("analyze", "threshold", spoilt(kind), "--json")
    assert said.code == 2
    assert "threshold" not in said.json
    assert {reason["code"] for reason in said.json["error"]["reasons"]} == {code}
    told(said.err, "t.csv", f"[{code}]")


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "nm,40 uJ/cm2\n"])
def test_an_empty_table_is_said_to_be_empty(desk: Desk, content: str) -> None:
    Path("t.csv").write_text(content, encoding="utf-8")
    said = desk.rig("analyze", "threshold", "t.csv", "--json")
    assert said.code == 2
    assert [reason["code"] for reason in said.json["error"]["reasons"]] == ["empty"]


@pytest.mark.parametrize(("unit", "factor"), [("nJ/cm2", 1e-3), ("mJ/cm2", 1e3)])
def test_the_unit_of_the_header_is_used_and_an_unusual_one_is_remarked(desk: Desk, unit: str, factor: float) -> None:
    said = desk.rig("analyze", "threshold", table(light(), [f"{one:.3f} {unit}" for one in FLUENCES]), "--json")
    assert said.json["threshold"]["value"] == pytest.approx(32.0 * factor, rel=0.02)
    assert any("unit is right" in note for note in said.json["notes"])
    right = desk.rig("analyze", "threshold", table(light(), [f"{one / factor:.6g} {unit}" for one in FLUENCES]), "--json")
    assert right.json["threshold"]["value"] == pytest.approx(32.0, rel=0.02)
    assert right.json["notes"] == []


@pytest.mark.parametrize("kept", [4, 7])
def test_a_table_of_too_few_fluences_is_refused(desk: Desk, kept: int) -> None:
    chosen = np.linspace(0, len(FLUENCES) - 1, kept).astype(int)
    said = desk.rig("analyze", "threshold", table(light()[chosen], [f"{FLUENCES[k]:.3f} uJ/cm2" for k in chosen]), "--json")
    assert said.code == 2
    assert said.json["error"]["reasons"][0]["code"] == "too-few-points"
