"""Weak photoluminescence of the simulated bench against voltage: the film's own light, recovery, linearity, early ends."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames
from ladder_truth import true_frames, true_levels
from other_benches import other_bench

from rig import cli
from rig.measurements.catalogue import record_of
from rig.measurements.pl_findings import pl_findings
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.run_state import FinishReason, StopRequest
from rig.runfile import Flag, open_run
from rig.sequence import Sequence
from rig.session import Session

FLUENCE_UJ_CM2 = 0.4  # what an attenuator without a filter reaches at half and twice of it
SHORT: dict[str, Any] = {
    "fluence_uj_cm2": FLUENCE_UJ_CM2,
    "frame_s": 0.05,
    "frames_per_level": 6,
    "frames_at_rest": 8,
    "settle_s": 0.3,
    "rest_s": 3.0,
    "passes": 2,
    "linearity_frames": 4,
}
BRIEF: dict[str, Any] = {**SHORT, "voltages": 2, "rest_s": 0.5, "linearity_frames": 0}


def measured(folder: Path, *, stop: Any = None, bench: Any = None, **given: Any) -> tuple[Session, Any]:
    film = {key: given.pop(key) for key in ("faults", "variant") if key in given}
    session = Session(bench, simulate=bench is not None, out=folder, seed=3, **film)
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    return session, session.run(Sequence.of(PlVsVoltage(**given)), stop=asked, observe=observe)


def true_early(session: Session, run: Any, parameters: PlVsVoltage) -> float:
    """Light in the rest of the first wait after 20 V, from 1 s on, over that before it, by the film's own physics."""
    rows, light, stays = run.frames(), true_frames(session, run, FLUENCE_UJ_CM2), parameters.stays()
    ratios: list[float] = []
    for number, stay in enumerate(stays):
        if stay.voltage_v == 20.0:
            counted = (rows["flags"] == 0) & (rows["cycle"] == number - 1)
            waiting = np.flatnonzero((rows["flags"] == int(Flag.SETTLING)) & (rows["cycle"] == number + 1))
            ratios.append(float(light[waiting[round(1.0 / parameters.frame_s) - 1 :]].mean() / light[counted].mean()))
    return float(np.mean(ratios))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """The nominal film."""
    return measured(tmp_path_factory.mktemp("pl"), **SHORT)


def test_the_light_at_each_voltage_is_the_films_own_inside_its_interval(whole: tuple[Session, Any]) -> None:
    session, result = whole
    assert (result.outcome.reason, result.outcome.safe.safe) == (FinishReason.DONE, True)
    run, found = open_run(result.path), result.results
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
    true = true_levels(session, run, result.record.parameters.stays(), FLUENCE_UJ_CM2)
    assert list(true.values()) != sorted(true.values())
    for voltage_v, paper_like in ((5.0, 0.73), (10.0, 0.42), (15.0, 0.27), (20.0, 0.20)):
        assert true[voltage_v] == pytest.approx(paper_like, abs=0.012)
    for one, wide in zip(found.ladder.levels[1:], found.wide.levels[1:], strict=True):
        for value in (one.relative, wide.relative):
            assert value.ci95[0] <= true[one.voltage_v] <= value.ci95[1]
        assert one.relative.half_width < 0.012
        assert one.brackets == 2
    assert found.verdict == "falls"


def test_light_comes_back_and_goes_with_the_fluence(whole: tuple[Session, Any]) -> None:
    session, result = whole
    found, parameters = result.results, result.record.parameters
    assert (
        found.recovery_early.ci95[0] <= true_early(session, open_run(result.path), parameters) <= found.recovery_early.ci95[1]
    )
    assert found.recovery_early.half_width < 0.01
    assert found.stays.early_s == pytest.approx((1.0, 3.0), abs=0.051)
    assert found.linearity.ci95[0] <= 0.993 <= found.linearity.ci95[1]  # at 0.8 uJ/cm2 second excitations cost a percent
    assert found.linearity.half_width < 0.02


def test_a_rest_too_short_for_it_refuses_the_late_recovery(whole: tuple[Session, Any]) -> None:
    _, result = whole
    assert result.results.recovery.late.value is not None
    assert result.results.recovery_late.value is None
    assert any("says nothing about the light 20 s after" in line for line in result.record.lines)


def test_the_file_alone_says_the_same(whole: tuple[Session, Any]) -> None:
    _, result = whole
    said = result.as_json()["results"]
    record: Any = record_of(result.path)
    assert record.as_json() == said == open_run(result.path).results
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["relative_at_highest"]["value"] == pytest.approx(0.2, abs=0.02)
    assert said["lifetimes"].startswith("lifetimes are not measurable on this bench")
    assert np.array_equal(open_run(result.path).result_arrays["pl_voltage"], [0.0, 5.0, 10.0, 15.0, 20.0])
    findings = pl_findings(record)
    assert [len(table.rows) for table in findings.tables] == [5, 10]
    assert "seed 7" in findings.methods
    [drawing] = findings.drawings
    assert len(drawing.draw().axes) == 3


def test_the_terminal_and_the_report_say_the_light(whole: tuple[Session, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, result = whole
    assert cli.main(["show", str(result.path)]) == 0
    assert "the light falls with the voltage; at 20 V 0.2" in capsys.readouterr().out
    assert cli.main(["report", str(result.path)]) == 0
    page = result.path.with_name(f"{result.path.stem}_report.html").read_text()
    assert "the light falls with the voltage" in page
    assert "Light by voltage" in page


def test_two_nanojoules_are_enough(tmp_path: Path) -> None:
    def weak_pump(tables: dict[str, Any]) -> None:
        tables["pump"]["fluence_uj_cm2"] = 0.16
        tables["pump"].pop("filters", None)

    weak = {"fluence_uj_cm2": 0.002, "frame_s": 1.0, "frames_per_level": 6, "frames_at_rest": 6, "rest_s": 2.0}
    session, result = measured(tmp_path, bench=other_bench(weak_pump), **weak, voltages=2, passes=2, linearity_frames=0)
    found, run = result.results, open_run(result.path)
    true = true_levels(session, run, result.record.parameters.stays(), 0.002)
    for one in found.ladder.levels[1:]:
        assert one.relative.ci95[0] <= true[one.voltage_v] <= one.relative.ci95[1]
        assert one.relative.half_width < 0.06
    assert found.verdict == "falls"


def test_light_too_weak_to_compare_is_refused(tmp_path: Path) -> None:
    def no_pump(tables: dict[str, Any]) -> None:
        tables["pump"]["fluence_uj_cm2"] = 0.01

    weak = {**BRIEF, "fluence_uj_cm2": 1e-5}
    _, result = measured(tmp_path, bench=other_bench(no_pump), **weak)
    assert result.results is None
    assert "light" in result.record.reason
    assert result.as_json()["results"]["relative_at_highest"] is None
    with pytest.raises(ValueError, match="light"):
        result.record.figure()


def test_a_film_insulated_from_its_electrode_does_not_fall(tmp_path: Path) -> None:
    _, result = measured(tmp_path, variant="pmma", **{**SHORT, "voltages": 3, "linearity_frames": 0})
    assert result.results.verdict == "constant"
    assert result.results.value.value == pytest.approx(1.0, abs=0.01)
    assert result.results.linearity.value is None


def test_a_run_stopped_half_way_compares_what_is_bracketed_only(tmp_path: Path) -> None:
    planned = PlVsVoltage(**BRIEF).max_shots(1000.0)
    _, result = measured(tmp_path, stop=planned // 2, **BRIEF)
    assert result.outcome.reason is FinishReason.STOPPED
    assert "of 5 stays" in result.results.sentence
    assert result.results.ladder.levels[-1].brackets == 1
    assert record_of(result.path).as_json() == result.as_json()["results"]


@pytest.mark.parametrize("stop", [0, 9])
def test_a_run_stopped_before_anything_is_bracketed_has_no_light_at_the_highest_voltage(tmp_path: Path, stop: int) -> None:
    _, result = measured(tmp_path, stop=stop, **BRIEF)
    said = result.as_json()["results"]
    assert said["reason"]
    assert said["relative_at_highest"] is None or said["relative_at_highest"]["value"] is None
    assert record_of(result.path).as_json() == said


def test_a_device_that_breaks_down_gives_no_result_whatever_its_frames_say(tmp_path: Path) -> None:
    _, result = measured(tmp_path, faults=("breakdown@12s",), **SHORT)
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    again: Any = record_of(result.path)
    said = again.as_json()
    assert "ended by a fault" in said["reason"]
    assert said["relative_at_highest"] is None or said["relative_at_highest"]["value"] is None
    assert all(one["relative"]["value"] is None for one in said["levels"] or [])
    with pytest.raises(ValueError, match="ended by a fault"):
        again.figure()
    assert not pl_findings(again).tables
