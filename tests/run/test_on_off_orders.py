"""Switching runs in other orders, with reference frames and with stop rules, judged by the bench's own record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import DARK_UJ_CM2, shifted, truth_of, wrong_frames

from rig.measurements.catalogue import record_of
from rig.measurements.on_off import OnOff
from rig.measurements.reference_light import reference_light
from rig.measurements.switching_findings import switching_findings
from rig.measurements.switching_record import SwitchingRecord
from rig.reduction import usable
from rig.run_state import FinishReason, StopRequest
from rig.runfile import Flag, open_run
from rig.sequence import Sequence, State
from rig.session import RunResult, Session

SHORT: dict[str, Any] = {"on_time_s": 0.3, "off_time_s": 0.3, "settle_s": 0.1}
Run = tuple[Session, RunResult, SwitchingRecord]


def run_one(folder: Path, mode: Any = "auto", faults: tuple[str, ...] = (), stop_at: int | None = None, **given: Any) -> Run:
    session, stop = Session(out=folder, seed=1, faults=faults), StopRequest()

    def observe(progress: Any) -> None:
        if stop_at is not None and progress.shots_done >= stop_at:
            stop.request("seen enough")

    wanted = Sequence.of(OnOff.model_validate({**SHORT, **given}), mode=mode)
    result = session.run(wanted, stop=stop, observe=observe)
    assert isinstance(result.record, SwitchingRecord)
    return session, result, result.record


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Run]:
    """Runs of 6 cycles with 200 reference frames at both ends, by mode and order; each is made once."""
    made: dict[tuple[str, str], Run] = {}

    def get(mode: str, order: str) -> Run:
        if (mode, order) not in made:
            folder = tmp_path_factory.mktemp("runs")
            made[mode, order] = run_one(folder, mode, order=order, reference_frames=200)
        return made[mode, order]

    return get


@pytest.mark.parametrize("order", ["abba", "random"])
@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_in_every_order_frames_lie_under_their_voltage_and_every_claim_passes(
    runs: Callable[[str, str], Run], mode: str, order: str
) -> None:
    session, result, record = runs(mode, order)
    run = open_run(result.path)
    rows, truth = run.frames(), truth_of(session, run)
    assert (result.outcome.reason, run.header.mode) == (FinishReason.DONE, mode)
    assert wrong_frames(rows, truth) == 0
    assert wrong_frames(shifted(rows, 1), truth) >= 6
    verdicts = {(one.claim, one.quantity): one.passed for one in record.verdicts}
    assert {"C06", "C08"} <= {claim for claim, _ in verdicts}
    assert all(passed is True for passed in verdicts.values()), verdicts
    assert result.results.contrast_535.value == pytest.approx(10.8, rel=0.03)


def test_the_order_of_the_file_is_that_which_was_asked_for(runs: Callable[[str, str], Run]) -> None:
    _, result, record = runs("gated", "random")
    rows = open_run(result.path).frames()
    rows = rows[usable(rows["flags"])]
    asked = OnOff.model_validate({**SHORT, "order": "random"}).on_first()
    first = [rows["state"][rows["cycle"] == cycle][0] == int(State.ON) for cycle in range(6)]
    assert tuple(first) == asked
    assert len(record.result.per_cycle if record.result else ()) == 6


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_reference_frames_saw_no_pulse_and_count_neither_as_off_nor_as_missed(
    runs: Callable[[str, str], Run], mode: str
) -> None:
    session, result, _ = runs(mode, "abba")
    run = open_run(result.path)
    rows, truth = run.frames(), truth_of(session, run)
    reference = (rows["flags"] & int(Flag.REFERENCE)) != 0
    pulses, exposures = session.world.light_path.record.pulses, session.world.light_path.record.exposures
    assert len(exposures) >= len(rows)
    assert set(rows["flags"][reference]) == {int(Flag.REFERENCE)}
    assert reference.sum() == result.as_json()["frames"]["flagged"]["reference"] == 400
    assert not usable(rows["flags"])[reference].any()
    assert set(rows["cycle"][reference]) == {-1}
    # the laser fired all the same, and next to nothing of it came past the shutter
    assert (truth.pulses[reference] == 1).all()
    weak = int(np.sum(pulses["fluence_uj_cm2"] <= DARK_UJ_CM2))
    assert weak >= 400
    ledger = result.as_json()["frames"]
    assert ledger["planned"] == ledger["assigned"] == 4000
    assert ledger["flagged"]["missed_pulse"] <= weak - 400
    assert ledger["flagged"]["settling"] == 1200


def test_reference_frames_of_a_dark_room_are_as_dark_as_the_dark_frames(runs: Callable[[str, str], Run]) -> None:
    _, result, record = runs("stepped", "abba")
    assert [(one.when, one.frames, one.lit) for one in record.reference] == [("beginning", 200, False), ("end", 200, False)]
    assert record_of(result.path).as_json() == open_run(result.path).results == result.as_json()["results"]
    tables = {table.title: table for table in switching_findings(record).tables}
    assert len(tables["Stray light"].rows) == 4
    assert "400 frames with the pump blocked" in switching_findings(record).methods


def test_light_of_the_room_that_comes_on_during_the_run_is_told_with_its_size(tmp_path: Path) -> None:
    _, _, record = run_one(tmp_path, faults=("stray-light@4s:0.01",), reference_frames=200)
    start, end = record.reference
    assert (start.lit, end.lit) == (False, True)
    for band in (end.light_520, end.light_535):  # 2e7 counts/s x 0.01 x 500 us
        assert band.light.ci95 is not None
        assert band.light.ci95[0] <= 100.0 <= band.light.ci95[1]
        assert band.light.half_width is not None
        assert band.light.half_width < 25.0
    assert "WARNING" in end.sentence
    assert "WARNING" not in start.sentence


def test_light_of_the_room_that_goes_out_is_told_too(runs: Callable[[str, str], Run]) -> None:
    """As the fault cannot end, the dark is made brighter afterwards."""
    rows = open_run(runs("stepped", "abba")[1].path).frames()
    for band in ("band_520", "band_535"):
        rows[band] -= 50.0
    found = reference_light(rows, 100)
    assert [one.lit for one in found] == [True, True]
    assert all("darker" in one.sentence for one in found)


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_run_ends_by_itself_once_the_contrast_is_known(tmp_path: Path, mode: str) -> None:
    session, result, record = run_one(tmp_path, mode, cycles=40, stop_below_percent=0.9, reference_frames=20)
    assert result.outcome.reason is FinishReason.DONE
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    contrast, precision = result.results.contrast_535, record.precision
    assert precision is not None
    assert precision.reached
    assert 3 <= precision.cycles < 20
    assert contrast.half_width < 0.009 * contrast.value
    ledger = result.as_json()["frames"]
    assert ledger["planned"] == ledger["assigned"] == precision.cycles * 600 + 40
    assert ledger["lost"] == 0
    assert [one.when for one in record.reference] == ["beginning", "end"]
    assert f"after {precision.cycles} of at most 40 cycles" in precision.sentence
    assert result.plan.planned_shots == 24_040
    assert record_of(result.path).as_json()["precision"]["reached"] is True


def test_a_contrast_that_is_not_known_well_enough_is_said_so(tmp_path: Path) -> None:
    _, _, record = run_one(tmp_path, cycles=3, stop_below_percent=0.05)
    assert record.precision is not None
    assert not record.precision.reached
    assert "wanted were 0.05 %" in record.precision.sentence


def test_a_run_until_degraded_ends_there_with_cycles_and_dose(tmp_path: Path) -> None:
    session, result, record = run_one(tmp_path, faults=("loss-drift@0s:1.0:alignment",), cycles=40, stop_degraded_percent=15.0)
    stability = record.stability
    assert stability is not None
    assert stability.degraded is True
    after = stability.cycles_until_degraded
    assert after is not None
    rows = open_run(result.path).frames()
    assert int(rows["cycle"].max()) == after  # one more than it takes, to be sure
    # dose: what the film has really got until then, by the world's record
    pulses = session.world.light_path.record.pulses
    until_ns = int(rows["host_time_ns"][rows["cycle"] == after - 1][-1])
    got_uj_cm2 = pulses["fluence_uj_cm2"][pulses["t_ns"] <= until_ns]
    fluence = record.fluence
    assert fluence is not None
    assert fluence.mean_uj_cm2 is not None
    assert 1e6 * stability.dose_j_cm2 / fluence.mean_uj_cm2 == pytest.approx(len(got_uj_cm2), rel=0.01)
    assert stability.dose_j_cm2 == pytest.approx(1e-6 * float(got_uj_cm2.sum()), rel=2 * fluence.scale.relative)

    def left(cycles: range) -> float:  # the fault takes 1 / (1 + t / 60 s) of the light
        t_s = rows["host_time_ns"][np.isin(rows["cycle"], list(cycles)) & usable(rows["flags"]) & (rows["state"] == 0)] * 1e-9
        return float(np.mean(1 / (1 + t_s / 60)))

    true_loss = 1 - left(range(after - 1, after + 1)) / left(range(3))
    assert stability.found.off_loss.value == pytest.approx(true_loss, abs=0.02)  # bleaching and the laser's own drift
    assert "degraded: the ON light" in stability.sentence


def test_a_film_that_lasts_is_told_with_the_bound_of_its_loss(tmp_path: Path) -> None:
    _, result, record = run_one(tmp_path, cycles=8, stop_degraded_percent=20.0)
    stability = record.stability
    assert stability is not None
    assert (stability.degraded, stability.cycles_until_degraded, stability.found.cycles) == (False, None, 8)
    bound = stability.found.loss_bound
    assert bound is not None
    assert 0.0 < bound < 0.2
    assert "not degraded by 20 % within 8 cycles" in stability.sentence
    assert result.as_json()["results"]["stability"]["loss_bound"] == bound
    tables = {table.title: table for table in switching_findings(record).tables}
    assert len(tables["Light lost"].rows) == 8
    assert "Not degraded" in switching_findings(record).sentence


def test_a_run_that_is_stopped_before_enough_cycles_knows_nothing_of_degradation(tmp_path: Path) -> None:
    _, result, record = run_one(tmp_path, stop_at=2200, cycles=40, stop_degraded_percent=20.0, reference_frames=20)
    assert result.outcome.reason is FinishReason.STOPPED
    assert record.stability is not None
    assert record.stability.degraded is None
    assert record.stability.found.loss_bound is None
    assert "is not known" in record.stability.sentence
    assert [one.when for one in record.reference] == ["beginning"]


def test_a_default_run_has_none_of_it_in_its_results(tmp_path: Path) -> None:
    _, result, record = run_one(tmp_path, cycles=1)
    assert record.notes == ()
    assert not {"reference", "precision", "stability"} & set(result.as_json()["results"])
