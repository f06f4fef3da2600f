"""Threshold maps of the simulated bench, whole: the film's own thresholds, a film without effect, drift, an early end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames

from rig import cli
from rig.measurements.catalogue import record_of
from rig.measurements.map_findings import map_findings
from rig.measurements.map_record import reduce_map
from rig.measurements.threshold_map import ThresholdMap
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session

SHORT: dict[str, Any] = {"points": 20, "shots_per_point": 20, "settle_s": 0.06, "passes": 1}
BRIEF: dict[str, Any] = {"settle_s": 0.01, "voltages": 3}  # where no threshold under voltage is judged


def mapped(folder: Path, *, mode: str = "auto", stop: Any = None, **given: Any) -> tuple[Session, Any]:
    film = {key: given.pop(key) for key in ("faults", "variant") if key in given}
    session = Session(out=folder, seed=3, **film)
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    wanted = Sequence.of(ThresholdMap(**{**SHORT, **given}), mode=mode)  # type: ignore[arg-type]
    return session, session.run(wanted, stop=asked, observe=observe)


def scale(session: Session, result: Any) -> float:
    """By how much the fluences that are told are greater than those at the film (set points, meter's gain, area)."""
    pulses = session.world.light_path.record.pulses["fluence_uj_cm2"]
    visits = result.record.parameters.visits()
    told = result.results.sweeps[0].result.curve.fluence_uj_cm2
    asked = np.unique([visit.fluence_uj_cm2 for visit in visits])
    lit = np.sort(pulses[pulses > 1.0])
    true = np.mean([np.median(lit[np.abs(np.log(lit / one)) < 0.05]) / one for one in asked[[4, 10, 16]]])
    return float(np.mean(told / asked) / true)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """The nominal film, in gated blocks."""
    return mapped(tmp_path_factory.mktemp("maps"), mode="gated")


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_each_threshold_is_the_films_own_inside_its_interval(tmp_path: Path, whole: tuple[Session, Any], mode: str) -> None:
    session, result = whole if mode == "gated" else mapped(tmp_path, mode=mode)
    effect, factor = result.results.effect, scale(session, result)
    assert (result.outcome.reason, result.plan.mode) == (FinishReason.DONE, mode)
    assert [one.voltage_v for one in effect.levels] == [0.0, 5.0, 10.0, 15.0, 20.0]
    for one, own in zip(effect.levels, (68.00, 59.15, 45.08, 36.41, 32.00), strict=True):
        assert session.world.film.native_threshold(one.voltage_v) == pytest.approx(own, abs=0.02)
        assert one.value.ci95[0] <= own * factor <= one.value.ci95[1]
        assert one.value.half_width < 0.03 * own
    assert effect.test.verdict == "falls"
    assert effect.drifted is False
    assert effect.reduction.ci95[0] <= 1 - 32.0 / 68.0 <= effect.reduction.ci95[1]
    assert effect.reduction.half_width < 0.02
    assert effect.reduction.ci95[0] > 0.5
    run = open_run(result.path)
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


def test_the_file_alone_says_the_same(whole: tuple[Session, Any]) -> None:
    _, result = whole
    said = result.as_json()["results"]
    record: Any = record_of(result.path)
    assert record.as_json() == said == open_run(result.path).results
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["verdict"] == "falls"
    assert [one["sweeps_used"] for one in said["levels"]] == [2, 1, 1, 1, 1]
    assert np.array_equal(open_run(result.path).result_arrays["map_voltage"], [0.0, 5.0, 10.0, 15.0, 20.0])
    assert "falls" in record.figure().axes[0].get_title()
    findings = map_findings(record)
    assert [len(table.rows) for table in findings.tables] == [5, 7, 6]
    assert "seed 7" in findings.methods
    [drawing] = findings.drawings
    assert len(drawing.draw().axes) == 2


def test_the_terminal_says_thresholds_and_reduction(whole: tuple[Session, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, result = whole
    assert cli.main(["show", str(result.path)]) == 0
    said = capsys.readouterr().out
    assert "reduction from 0 V to 20 V: 0.5" in said
    assert "uJ/cm2 at 20 V" in said


def test_a_film_whose_threshold_does_not_depend_on_voltage_is_called_so(tmp_path: Path) -> None:
    session, result = mapped(tmp_path, variant="pmma", **BRIEF)
    assert session.world.film.native_threshold(20.0) == pytest.approx(session.world.film.native_threshold(0.0), rel=1e-3)
    effect = result.results.effect
    assert effect.test.verdict == "constant"
    assert "does not depend" in result.results.sentence
    assert effect.reduction.ci95[0] <= 0.0 <= effect.reduction.ci95[1]
    assert effect.reduction.half_width < 0.04


def test_a_film_that_drifts_is_told_to_drift_and_not_to_be_changed_by_the_voltage(tmp_path: Path) -> None:
    _, result = mapped(tmp_path, variant="pmma", faults=("loss-drift@0s:1.0",), passes=2, **BRIEF)
    effect = result.results.effect
    assert effect.drifted is True
    assert effect.drift.ci95[0] > 0.05
    assert effect.test.verdict == "constant"
    assert effect.reduction.ci95[0] <= 0.0 <= effect.reduction.ci95[1]
    assert "drifted" in "\n".join(result.record.lines)


def test_a_map_stopped_half_way_says_what_it_has_and_compares_nothing_that_is_not_bracketed(tmp_path: Path) -> None:
    planned = Session().plan(ThresholdMap(**{**SHORT, **BRIEF})).planned_shots
    _, result = mapped(tmp_path, stop=planned // 2, **BRIEF)
    assert result.outcome.reason is FinishReason.STOPPED
    assert result.outcome.safe.safe
    assert result.results.value.value is None
    assert result.results.code == "no-voltage"
    assert "of 4 sweeps" in result.results.sentence
    assert result.results.effect.levels[0].value.value is not None
    assert result.results.effect.levels[0].used == 1
    assert record_of(result.path).as_json() == result.as_json()["results"]


def test_however_far_a_map_has_come_its_reduction_is_right_or_refused(tmp_path: Path) -> None:
    session, result = mapped(tmp_path, voltages=2)
    run = open_run(result.path)
    found = [reduce_map(run, session.bench, ending="", frames=count).result for count in [*range(0, run.count, 800), run.count]]
    assert found[0] is None
    told = [one.value.value for one in found if one is not None and one.value.value is not None]
    assert 1 <= len(told) < len(found) / 2
    assert np.allclose(told, 1 - 32.0 / 68.0, atol=0.03)


def test_a_map_stopped_before_its_first_point_has_no_result(tmp_path: Path) -> None:
    _, result = mapped(tmp_path, stop=0)
    assert result.results is None
    assert result.record.reason
    assert result.as_json()["results"]["reduction"] is None
    with pytest.raises(ValueError, match=r"\w"):
        result.record.figure()


def test_a_device_that_breaks_down_gives_no_threshold_whatever_its_points_say(tmp_path: Path) -> None:
    _, result = mapped(tmp_path, faults=("breakdown@9s",), **BRIEF)
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    again = record_of(result.path)
    assert again.result.code == result.results.code == "run-faulted"
    assert all(one.value.value is None for one in again.result.effect.levels)
    assert all(one["threshold_uj_cm2"]["value"] is None for one in again.as_json()["sweeps"])
    assert len(again.result.sweeps) >= 2


def test_a_range_without_thresholds_gives_none(tmp_path: Path) -> None:
    _, result = mapped(tmp_path, voltages=2, settle_s=0.01, points=12, fluence_min_uj_cm2=3.0, fluence_max_uj_cm2=20.0)
    assert result.results.code == "no-reference"
    assert result.results.value.value is None
    assert all(one.reason.startswith("no threshold") for one in result.results.sweeps)
