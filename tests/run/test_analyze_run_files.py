"""`rig analyze` on run files: the same numbers from the raw spectra, or which ones differ; what cannot be read is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from desk import Desk, told

from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.on_off import OnOff
from rig.measurements.threshold_map import ThresholdMap
from rig.run_state import Progress
from rig.runfile import open_run
from rig.runfile_lock import WriterLock
from rig.sequence import Sequence
from rig.session import Session

SWITCHING = OnOff(cycles=2, on_time_s=0.3, off_time_s=0.3)
SWEEP = FluenceSweep(
    voltage_v=20.0, points=20, shots_per_point=20, settle_s=0.01, fluence_min_uj_cm2=9.0, fluence_max_uj_cm2=70.0
)
MAP = ThresholdMap(points=14, shots_per_point=12, voltages=2, passes=1, settle_s=0.01)
NAMES = ("on_off", "fluence_sweep", "threshold_map")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One finished run of each, and what a kill leaves of a sweep."""
    folder = tmp_path_factory.mktemp("made")
    killed, found = folder / "killed.copy", dict[str, Path]()

    def copies(progress: Progress) -> None:
        if progress.shots_done > 0.75 * progress.shots_planned and not killed.exists():
            [path] = folder.glob("*fluence_sweep.h5")
            shutil.copy(path, killed)

    session = Session(out=folder)
    for name, what in zip(NAMES, (SWITCHING, SWEEP, MAP), strict=True):
        watch = copies if what is SWEEP else lambda progress: None
        found[name] = session.run(Sequence.of(what), observe=watch).path
    return {**found, "killed": killed}


@pytest.fixture
def runs(made: dict[str, Path], desk: Desk) -> dict[str, str]:
    """Copies in the folder one is in."""
    for name, path in made.items():
        shutil.copy(path, f"{name}.h5")
    return {name: f"{name}.h5" for name in made}


def analysed(desk: Desk, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    said = desk.rig("analyze", *words, "--json")
    assert len(said.out.splitlines()) == 1
    assert said.json["exit_code"] == said.code
    return said.code, said.json["runs"], said.err


def test_a_file_of_any_measurement_gives_what_is_stored_in_it(desk: Desk, runs: dict[str, str]) -> None:
    code, found, err = analysed(desk, *(runs[name] for name in NAMES))
    assert code == 0
    for name, one in zip(NAMES, found, strict=True):
        assert (one["measurement"], one["state"], one["stored"]) == (name, "done", "same")
        assert (one["differences"], one["frames_differ"]) == ([], 0)
        assert one["results"] == open_run(runs[name]).results
        assert one["frames"] == open_run(runs[name]).count > 0
    for words in ("SIMULATED", "switched", "threshold", "falls", "stored results: the same"):
        assert words in err


def test_a_stored_number_that_is_another_one_is_named(desk: Desk, runs: dict[str, str]) -> None:
    path = runs["fluence_sweep"]
    true = open_run(path).results["threshold_uj_cm2"]["value"]
    with h5py.File(path, "r+") as file:
        text = file["entry/results/json"][()].decode()
        other = f"9{str(true)[1:]}"
        assert str(true) in text
        file["entry/results/json"][()] = text.replace(str(true), other)
    code, [found], err = analysed(desk, path)
    assert code == 0
    assert found["stored"] == "different"
    named = {one["name"]: (one["stored"], one["anew"]) for one in found["differences"]}
    assert named["threshold_uj_cm2.value"] == (float(other), true)
    assert found["results"]["threshold_uj_cm2"]["value"] == true
    assert "threshold_uj_cm2.value" in err
    assert "is stored" in err


def test_stored_traces_and_flags_take_no_part(desk: Desk, runs: dict[str, str]) -> None:
    path = runs["on_off"]
    results = open_run(path).results
    with h5py.File(path, "r+") as file:
        frames = file["entry/frames"]
        frames["band_535"][100:107] *= 3.0
        frames["flags"][200:203] |= 2  # saturated
    code, [found], err = analysed(desk, path)
    assert code == 0
    assert found["frames_differ"] == 10
    assert found["results"] == results
    assert "10 frames differ" in err


def test_raw_spectra_are_what_counts(desk: Desk, runs: dict[str, str]) -> None:
    path = runs["on_off"]
    with h5py.File(path, "r+") as file:
        file["entry/spectra/counts"][300:600] = file["entry/spectra/counts"][5]
    _, [found], _ = analysed(desk, path)
    assert found["frames_differ"] >= 290
    assert found["stored"] == "different"


def test_what_cannot_be_read_is_told_with_its_reason_and_the_others_are_analysed(desk: Desk, runs: dict[str, str]) -> None:
    Path("empty.h5").touch()
    Path("text.h5").write_text("wavelength,40 uJ/cm2\n500,1\n", encoding="utf-8")
    cut = Path(runs["threshold_map"])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    words = ("empty.h5", runs["on_off"], "text.h5", "missing.h5", str(cut))
    code, found, err = analysed(desk, *words)
    assert code == 2
    assert [one["file"] for one in found] == list(words)
    assert [("error" in one) for one in found] == [True, False, True, True, True]
    assert found[1]["stored"] == "same"
    for one in (found[0], *found[2:]):
        assert one["error"]["what"]
        assert one["file"] in err
    assert "Traceback" not in err


def test_what_a_kill_left_is_analysed_and_after_it_was_recovered_too(desk: Desk, runs: dict[str, str]) -> None:
    path = runs["killed"]
    code, [found], err = analysed(desk, path)
    assert (code, found["stored"]) == (0, "none")
    assert 10 <= found["results"]["points_measured"] < 20
    assert "not finished" in err
    assert desk.rig("recover", path).code == 0
    code, [again], _ = analysed(desk, path)
    assert (code, again["state"]) == (0, "interrupted")
    assert again["results"] == found["results"]


def test_a_run_that_goes_on_is_left_alone(desk: Desk, runs: dict[str, str]) -> None:
    lock = WriterLock.acquire(Path(runs["on_off"]))
    assert lock is not None
    try:
        code, [found], err = analysed(desk, runs["on_off"])
    finally:
        lock.release()
    assert code == 2
    assert "still going on" in found["error"]["what"]
    told(err, "rig show")


def test_results_traces_and_figure_are_written_where_one_wants_them(desk: Desk, runs: dict[str, str]) -> None:
    before = Path(runs["on_off"]).read_bytes()
    assert desk.rig("analyze", runs["on_off"], "--out", "new/deep").code == 0
    assert {path.name for path in Path("new/deep").iterdir()} == {
        "on_off_analysis.json",
        "on_off_traces.csv",
        "on_off_spectra.csv",
        "on_off.png",
    }
    assert json.loads(Path("new/deep/on_off_analysis.json").read_text("utf-8"))["stored"] == "same"
    assert Path(runs["on_off"]).read_bytes() == before
    Path("in_the_way").touch()
    said = desk.rig("analyze", runs["on_off"], "--out", "in_the_way")
    assert said.code == 2
    told(said.err, "cannot be written", "in_the_way")


# --- rig analyze threshold RUN.h5 ------------------------------------------------------------------------------------------


def exported(path: str, name: str) -> str:
    """The mean spectra of a sweep's set points as another program would export them, fluences as the run tells them."""
    run = open_run(path)
    dark, rows, results = run.dark, run.frames(), run.results
    assert dark is not None
    use = (rows["flags"] == 0) & (rows["state"] == 1)
    seen = (run.wavelength_nm > 484) & (run.wavelength_nm < 566)
    columns = []
    for number, point in enumerate(results["points"]):
        light = run.spectra()[use & (rows["cycle"] == number)].mean(axis=0) - dark.mean
        columns.append((f"{point['fluence_uj_cm2']:.5f} uJ/cm2", np.where(dark.hot, np.nan, light)[seen]))
    keep = np.isfinite(columns[0][1])
    lines = [",".join(["nm", *(header for header, _ in columns)])]
    for at, nm in enumerate(run.wavelength_nm[seen]):
        if keep[at]:
            lines.append(",".join([f"{nm:.4f}", *(f"{light[at]:.4f}" for _, light in columns)]))
    Path(name).write_text("\n".join(lines), encoding="utf-8")
    return name


def test_the_threshold_of_a_run_file_is_that_of_its_exported_spectra(desk: Desk, runs: dict[str, str]) -> None:
    of_file = desk.rig("analyze", "threshold", runs["fluence_sweep"], "--json")
    of_table = desk.rig("analyze", "threshold", exported(runs["fluence_sweep"], "spectra.csv"), "--json")
    assert of_file.code == of_table.code == 0
    stored = open_run(runs["fluence_sweep"]).results["threshold_uj_cm2"]
    lo, hi = of_file.json["threshold"]["ci95"]
    assert (of_file.json["threshold"]["value"], [lo, hi]) == (stored["value"], stored["ci95"])
    # means know nothing of the scatter of the shots behind them, so that the points have other weights
    assert of_table.json["threshold"]["value"] == pytest.approx(stored["value"], rel=0.01)
    assert lo < of_table.json["threshold"]["value"] < hi
    assert set(of_table.json) <= set(of_file.json)


def test_a_map_tells_the_threshold_of_each_sweep(desk: Desk, runs: dict[str, str]) -> None:
    said = desk.rig("analyze", "threshold", runs["threshold_map"], "--json", "--figure", "map.png")
    assert said.code == 0
    assert [one["voltage_v"] for one in said.json["sweeps"]] == [0.0, 20.0, 0.0]
    stored = [one["threshold_uj_cm2"]["value"] for one in open_run(runs["threshold_map"]).results["sweeps"]]
    assert [one["threshold"]["value"] for one in said.json["sweeps"]] == stored
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_a_sweep_has_no_threshold(desk: Desk, runs: dict[str, str]) -> None:
    said = desk.rig("analyze", "threshold", runs["on_off"], "--json")
    assert said.code == 2
    assert [one["code"] for one in said.json["error"]["reasons"]] == ["no-sweep"]


@pytest.mark.parametrize("words", [("--unit", "nJ/cm2"), ("--any-order",), ("--saturation", "60000"), ("--fluence-error", "1")])
def test_options_of_tables_are_refused_with_a_run_file(desk: Desk, runs: dict[str, str], words: tuple[str, ...]) -> None:
    said = desk.rig("analyze", "threshold", runs["fluence_sweep"], *words)
    assert said.code == 2
    told(said.err, "option-of-tables", words[0])


def test_a_run_file_is_known_by_its_contents(desk: Desk, runs: dict[str, str]) -> None:
    Path(runs["fluence_sweep"]).rename("sweep.csv")
    assert desk.rig("analyze", "threshold", "sweep.csv", "--json").json["voltage_v"] == 20.0
