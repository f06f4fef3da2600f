"""Fluence sweeps of the simulated bench, whole: thresholds against the film's own, and refusals instead of wrong numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames
from desk import Desk
from other_benches import at_rate, other_bench

from rig.measurements.catalogue import record_of
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.sweep_record import reduce_sweep
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session

AT_0_V = {"points": 20, "shots_per_point": 40, "fluence_min_uj_cm2": 20.0, "fluence_max_uj_cm2": 140.0}
AT_20_V = {"voltage_v": 20.0, "points": 20, "shots_per_point": 40, "fluence_min_uj_cm2": 9.0, "fluence_max_uj_cm2": 70.0}


def sweep(folder: Path, *, bench: Any = None, mode: str = "auto", stop: Any = None, **given: Any) -> tuple[Session, RunResult]:
    faults = given.pop("faults", ())
    session = Session(bench, simulate=bench is not None, out=folder, seed=3, faults=faults)
    wanted = Sequence.of(FluenceSweep(**given), mode=mode)  # type: ignore[arg-type]
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    return session, session.run(wanted, stop=asked, observe=observe)


def truth(session: Session, result: RunResult, voltage_v: float) -> float:
    """The film's own threshold on the scale of the energy meter: how many uJ/cm2 the sweep must say (meter's gain, area)."""
    run = open_run(result.path)
    pulses = session.world.light_path.record.pulses
    lit = pulses["fluence_uj_cm2"][pulses["fluence_uj_cm2"] > 1.0]
    rows = run.frames()
    asked = np.array([visit.fluence_uj_cm2 for visit in result.record.parameters.visits()])[rows["cycle"][rows["cycle"] >= 0]]
    told = result.record.result.curve.fluence_uj_cm2.mean() / np.unique(asked).mean()
    true = np.median(np.sort(lit)[-len(asked) :] / np.sort(asked))
    return float(session.world.film.native_threshold(voltage_v) * told / true)


@pytest.mark.parametrize(
    ("voltage_v", "given", "mode"), [(0.0, AT_0_V, "gated"), (20.0, AT_20_V, "gated"), (20.0, AT_20_V, "stepped")]
)
def test_the_threshold_is_the_films_own(tmp_path: Path, voltage_v: float, given: dict[str, Any], mode: str) -> None:
    session, result = sweep(tmp_path, mode=mode, **given)
    found = result.results.value
    expected = truth(session, result, voltage_v)
    assert result.outcome.reason is FinishReason.DONE
    assert result.plan.mode == mode
    assert found.value == pytest.approx(expected, rel=0.03)
    assert found.ci95[0] <= expected * 1.01
    assert expected * 0.99 <= found.ci95[1]
    assert found.half_width < 0.05 * found.value
    assert result.results.crossing.value == pytest.approx(found.value, rel=0.25)
    run = open_run(result.path)
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


def test_the_file_alone_says_the_same(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, **AT_20_V)
    said = result.as_json()["results"]
    assert record_of(result.path).as_json() == said == open_run(result.path).results
    assert said["threshold_uj_cm2"]["value"] > 0
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert np.array_equal(open_run(result.path).result_arrays["sweep_signal"], result.results.curve.signal)
    assert record_of(result.path).figure().axes[0].get_title().count("threshold") == 1


def test_both_ways_of_a_steady_film_agree(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, order="both", **AT_20_V)
    both = result.results.hysteresis
    assert both.agree is True
    assert both.difference.ci95[0] <= 0 <= both.difference.ci95[1]


def test_a_film_that_ages_during_the_sweep_is_found_by_its_hysteresis(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, order="both", faults=("loss-drift@0s:5",), **AT_0_V)
    assert result.results.hysteresis.agree is False
    assert "changed during the sweep" in "\n".join(result.record.lines)


def test_where_the_meter_follows_every_pulse_points_are_made_by_energy(tmp_path: Path) -> None:
    session, result = sweep(tmp_path, bench=other_bench(at_rate(20.0)), **{**AT_0_V, "order": "random"})
    assert result.results.curve.method == "energy-rebinned"
    assert result.results.fluence_from == "the meter, every shot"
    assert result.results.value.value == pytest.approx(truth(session, result, 0.0), rel=0.03)


def test_all_points_below_the_threshold_give_none(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, points=16, shots_per_point=40, fluence_min_uj_cm2=5.0, fluence_max_uj_cm2=55.0)
    assert result.results.value.value is None
    assert result.results.sentence.startswith("no threshold in range")
    assert result.as_json()["results"]["threshold_uj_cm2"]["value"] is None


def test_all_points_above_the_threshold_give_none(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, points=16, shots_per_point=40, fluence_min_uj_cm2=80.0, fluence_max_uj_cm2=150.0)
    assert result.results.value.value is None
    assert "no threshold" in result.results.sentence


@pytest.mark.parametrize("order", ["up", "down", "random"])
def test_a_sweep_stopped_half_way_gives_no_threshold_and_says_how_far_it_came(tmp_path: Path, order: str) -> None:
    _, result = sweep(tmp_path, stop=260, order=order, **AT_0_V)
    assert result.outcome.reason is FinishReason.STOPPED
    assert result.outcome.safe.safe
    assert result.results.value.value is None
    assert 6 <= result.results.measured <= 8
    assert f"{result.results.measured} of 20 points" in result.results.sentence
    assert record_of(result.path).result.code == "too-few-points"


@pytest.mark.parametrize("order", ["down", "random"])
def test_however_far_a_sweep_has_come_its_threshold_is_right_or_refused(tmp_path: Path, order: str) -> None:
    session, result = sweep(tmp_path, order=order, **AT_0_V)
    run, expected = open_run(result.path), truth(session, result, 0.0)
    ends = np.flatnonzero(np.diff(run.column("block"))) + 1
    found = [reduce_sweep(run, session.bench, ending="", frames=int(end)).result for end in ends]
    told = [one.value.value for one in found if one is not None and not one.code]
    assert len(told) >= 5
    assert np.allclose(told, expected, rtol=0.03)
    assert sum(one is None or one.code == "too-few-points" for one in found) >= 6


def test_without_a_meter_the_set_points_are_the_fluences(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, bench=other_bench(lambda tables: tables.pop("energy_meter")), **AT_0_V)
    visits = result.record.parameters.visits()
    assert result.results.fluence_from == "set points; nothing was measured"
    assert np.allclose(result.results.curve.fluence_uj_cm2, [visit.fluence_uj_cm2 for visit in visits])
    assert result.results.value.value is not None


def test_a_sweep_stopped_before_its_first_point_has_no_result(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, stop=0, **AT_0_V)
    assert result.results is None
    assert result.as_json()["results"]["threshold_uj_cm2"] is None
    assert result.record.reason


def test_a_device_that_breaks_down_gives_no_threshold_whatever_its_points_say(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, faults=("breakdown@6s",), **{**AT_20_V, "points": 40})
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    again = record_of(result.path).result
    assert again is not None
    assert again.code == result.results.code == "run-faulted"
    assert again.value.value is None
    assert "ended by a fault" in again.sentence
    assert len(again.curve.fluence_uj_cm2) > 0


def test_saturated_points_are_left_out_and_no_threshold_is_fitted_through_them(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, faults=("saturation@0s:100",), **AT_0_V)
    assert result.record.result is None or result.results.value.value is None
    said = result.record.reason if result.record.result is None else result.results.sentence
    assert "saturated" in said


def test_the_terminal_says_the_threshold_and_what_it_rests_on(desk: Desk) -> None:
    Path("s.toml").write_text(
        'title = "t"\nsample = "s"\nmeasurement = "fluence_sweep"\n[parameters]\npoints = 20\nshots_per_point = 40\n'
        "fluence_min_uj_cm2 = 20.0\nfluence_max_uj_cm2 = 140.0\n"
    )
    said = desk.rig("run", "s.toml", "--json")
    results = json.loads(said.out.strip().splitlines()[-1])["results"]
    assert said.code == 0
    assert f"threshold {results['threshold_uj_cm2']['value']:.1f} ±" in said.err
    assert "set points times" in said.err
    shown = desk.rig("show", str(next(Path().rglob("*.h5"))))
    assert f"threshold {results['threshold_uj_cm2']['value']:.1f} ±" in shown.out
    assert "switched" not in shown.out
