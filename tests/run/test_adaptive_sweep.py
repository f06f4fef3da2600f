"""Adaptive fluence sweeps of the simulated bench, whole: as good as the sweep they stand for, with half its shots and dose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames
from other_benches import at_rate, other_bench

from rig.fluence_record import fluence_record
from rig.measurements.catalogue import record_of
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.sweep_record import reduce_sweep
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.session import RunResult, Session

RANGES = {0.0: (20.0, 140.0), 20.0: (9.0, 70.0)}


def sweep(folder: Path, voltage_v: float = 0.0, order: str = "adaptive", **given: Any) -> tuple[Session, RunResult]:
    low, high = RANGES[voltage_v]
    session = Session(given.pop("bench", None), simulate=True, out=folder, seed=3, faults=given.pop("faults", ()))
    stop = given.pop("stop", None)
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    values = {"fluence_min_uj_cm2": low, "fluence_max_uj_cm2": high, "shots_per_point": 80, "settle_s": 0.04, **given}
    return session, session.run(
        FluenceSweep.model_validate({"voltage_v": voltage_v, "order": order, **values}), stop=asked, observe=observe
    )


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, RunResult]:
    """One at 0 V, with nothing wrong."""
    return sweep(tmp_path_factory.mktemp("adaptive"))


def dose_uj_cm2(session: Session) -> float:
    """What the film really got."""
    return float(session.world.light_path.record.pulses["fluence_uj_cm2"].sum())


def expected(session: Session, result: RunResult, voltage_v: float) -> float:
    """The film's own threshold on the scale that the sweep's fluences have: the meter's, or the set points'."""
    run = open_run(result.path)
    pulses, exposures = session.world.light_path.record.pulses, session.world.light_path.record.exposures
    device_us = session.world.personas["spectrometer"].device_clock.at(exposures["open_ns"]).astype(np.int64)
    rows = run.frames()
    rows = rows[rows["flags"] == 0]
    place = np.searchsorted(device_us, rows["device_time_us"].astype(np.int64))
    true = pulses["fluence_uj_cm2"][exposures["first_pulse"][place]]
    told = np.array([visit.fluence_uj_cm2 for visit in result.record.parameters.visits()])[rows["cycle"]]
    record = result.record.result
    if record.curve.method == "energy-rebinned":
        told = rows["pulse_energy_uj"] / session.bench.pump.spot_area_cm2
    elif "times" in record.fluence_from:
        told = told * float(record.fluence_from.split("times ")[1].split(",")[0])
    return session.world.film.native_threshold(voltage_v) * float(np.nanmedian(told / true))


@pytest.mark.parametrize("voltage_v", [0.0, 20.0])
def test_it_finds_the_threshold_with_half_the_dose_and_as_narrow_an_interval(
    tmp_path: Path, steady: tuple[Session, RunResult], voltage_v: float
) -> None:
    session, adaptive = steady if voltage_v == 0 else sweep(tmp_path / "adaptive", voltage_v)
    other, full = sweep(tmp_path / "full", voltage_v, "random")
    found = adaptive.results.value
    assert adaptive.outcome.reason is FinishReason.DONE
    assert found.value == pytest.approx(expected(session, adaptive, voltage_v), rel=0.025)
    assert found.half_width / found.value < 1.15 * full.results.value.half_width / full.results.value.value
    assert dose_uj_cm2(session) < 0.5 * dose_uj_cm2(other)
    assert adaptive.outcome.ledger.planned == adaptive.outcome.ledger.assigned < 0.55 * full.outcome.ledger.planned
    run = open_run(adaptive.path)
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


def test_the_file_says_which_fluences_were_chosen(steady: tuple[Session, RunResult]) -> None:
    session, result = steady
    run = open_run(result.path)
    assert record_of(result.path).as_json() == result.as_json()["results"] == run.results
    said = {block["block"]: block["asked_uj_cm2"] for block in run.results["fluence"]["blocks"]}
    rows, pulses = run.frames(), session.world.light_path.record.pulses["fluence_uj_cm2"]
    true = np.array([np.median(pulses[np.flatnonzero(rows["block"] == block)]) for block in sorted(said)])
    ratio = true / np.array([said[block] for block in sorted(said)])
    assert np.ptp(ratio) < 0.05 * ratio.mean()
    assert len(set(said.values())) == len(said) > 12


def test_the_plans_strongest_fluence_is_not_taken_for_what_was_asked(steady: tuple[Session, RunResult]) -> None:
    session, result = steady
    record = fluence_record(open_run(result.path), session.bench)
    assert record is not None
    assert {block.asked_uj_cm2 for block in record.blocks} == {None}


def test_the_price_is_never_exceeded(steady: tuple[Session, RunResult]) -> None:
    session, result = steady
    assert result.outcome.ledger.received <= result.plan.frame_capacity
    assert dose_uj_cm2(session) * 1e-6 <= result.plan.price.dose_j_cm2


@pytest.mark.parametrize("given", [(5.0, 55.0), (85.0, 155.0)])
def test_without_a_threshold_in_range_it_ends_and_says_so(tmp_path: Path, given: tuple[float, float]) -> None:
    _, result = sweep(tmp_path, fluence_min_uj_cm2=given[0], fluence_max_uj_cm2=given[1])
    assert result.outcome.reason is FinishReason.DONE
    assert result.results.value.value is None
    assert result.results.sentence.startswith("no threshold in range")
    assert result.results.measured <= 18


def test_where_the_meter_follows_every_pulse_it_goes_by_energies(tmp_path: Path) -> None:
    session, result = sweep(tmp_path, bench=other_bench(at_rate(20.0)), shots_per_point=30)
    assert result.results.curve.method == "energy-rebinned"
    assert result.results.value.value == pytest.approx(expected(session, result, 0.0), rel=0.025)
    assert result.outcome.ledger.planned <= 0.5 * 26 * 30


@pytest.mark.parametrize("fault", ["missing-pulses@0s:0.1", "bad-pixels@0s"])
def test_pulses_and_pixels_that_fail_do_not_lead_it_astray(tmp_path: Path, fault: str) -> None:
    session, result = sweep(tmp_path, faults=(fault,))
    assert result.results.value.value == pytest.approx(expected(session, result, 0.0), rel=0.025)


def test_a_detector_that_saturates_is_not_lit_as_strongly_again(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, faults=("saturation@0s:40",))
    assert result.outcome.reason is FinishReason.DONE
    assert result.results.value.value is None
    assert "left out: saturated frames" in result.results.sentence


def test_one_that_is_stopped_says_what_it_has(tmp_path: Path) -> None:
    _, result = sweep(tmp_path, stop=200)
    assert result.outcome.reason is FinishReason.STOPPED
    assert record_of(result.path).result.code == "too-few-points"


def test_it_can_be_watched_as_it_grows(steady: tuple[Session, RunResult]) -> None:
    session, result = steady
    run = open_run(result.path)
    ends = np.flatnonzero(np.diff(run.column("block"))) + 1
    points = [reduce_sweep(run, session.bench, ending="", frames=int(end)).result.measured for end in ends]
    assert points == list(range(1, len(ends) + 1))
    whole = reduce_sweep(run, session.bench).result
    assert whole.measured == len(ends) + 1
    assert whole.value.value == result.results.value.value
