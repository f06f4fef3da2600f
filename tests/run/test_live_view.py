"""A live view: short bursts until somebody has seen enough; a run like any other, from which nothing is concluded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import truth_of, wrong_frames
from other_benches import other_bench

from drivers.errors import CompileError
from rig.measurements.catalogue import record_of
from rig.measurements.live_view import REASON, LiveView
from rig.run_state import FinishReason, Progress, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session


def view(
    folder: Path, stop: StopRequest | None = None, observe: Any = lambda progress: None, **given: Any
) -> tuple[Session, RunResult]:
    session = Session(out=folder, seed=4)
    return session, session.run(Sequence.of(LiveView(**given), mode="gated"), stop=stop, observe=observe)


def test_without_a_voltage_every_burst_is_off_and_no_frame_is_flagged(tmp_path: Path) -> None:
    session, result = view(tmp_path, duration_s=1.0)
    rows = open_run(result.path).frames()
    assert result.outcome.reason is FinishReason.DONE
    assert set(rows["state"][rows["shot"] >= 0]) == {0}
    assert set(session.world.terminal.record.voltage_v) == {0.0}
    assert result.outcome.ledger.as_dict()["flagged"]["settling"] == 0
    assert result.outcome.ledger.assigned == LiveView(duration_s=1.0).max_shots(1000.0) == 700


def test_under_a_voltage_every_other_burst_is_at_0_v_and_frames_are_filed_rightly(tmp_path: Path) -> None:
    session, result = view(tmp_path, duration_s=1.0, voltage_v=20.0)
    run = open_run(result.path)
    rows = run.frames()
    data = rows[rows["shot"] >= 0]
    assert wrong_frames(rows, truth_of(session, run)) == 0
    assert [int((data["state"] == state).sum()) for state in (0, 1)] == [350, 350]
    good = data[data["flags"] == 0]
    assert good["band_535"][good["state"] == 1].mean() > 2 * good["band_535"][good["state"] == 0].mean()


def test_nothing_is_concluded_and_the_file_says_why(tmp_path: Path) -> None:
    _, result = view(tmp_path, duration_s=0.3, voltage_v=20.0)
    assert result.results is None
    assert result.as_json()["results"]["reason"] == record_of(result.path).reason == REASON
    assert open_run(result.path).state == "done"


def test_it_goes_on_until_it_is_stopped(tmp_path: Path) -> None:
    stop = StopRequest()

    def enough(progress: Progress) -> None:
        if progress.shots_done >= 300:
            stop.request("aligned")

    _, result = view(tmp_path, stop, enough, duration_s=600.0)
    assert result.outcome.reason is FinishReason.STOPPED
    assert result.outcome.safe.safe
    assert 300 <= open_run(result.path).count < 600


@pytest.mark.parametrize("rate_hz", [10.0, 1000.0, 4500.0])
def test_the_bench_decides_how_many_bursts_fit_and_one_always_does(rate_hz: float) -> None:
    for voltage_v in (0.0, 5.0):
        for duration_s in (1e-3, 1.0, 60.0):
            one = LiveView(voltage_v=voltage_v, duration_s=duration_s)
            blocks = list(one.blocks(rate_hz, "gated"))
            assert sum(block.shots for block in blocks) == one.max_shots(rate_hz) > 0
            assert len(blocks) % (1 if voltage_v == 0 else 2) == 0
            light_s = one.max_shots(rate_hz) / rate_hz
            assert light_s <= max(duration_s, 2 * 50 / rate_hz)


def test_bursts_that_would_be_flagged_from_end_to_end_are_refused() -> None:
    session = Session()
    with pytest.raises(CompileError, match="settle-too-long"):
        session.plan(Sequence.of(LiveView(voltage_v=5.0, shots_per_burst=20)))
    assert session.plan(Sequence.of(LiveView(voltage_v=0.0, shots_per_burst=20))).planned_shots > 0


def test_more_rests_serve_a_bench_that_allows_less_voltage() -> None:
    def frugal(tables: dict[str, Any]) -> None:
        tables["voltage_source"]["limits"]["duty"] = 0.25

    session = Session(other_bench(frugal), simulate=True)
    with pytest.raises(CompileError, match="duty-above-limit"):
        session.plan(Sequence.of(LiveView(voltage_v=5.0)))
    plan = session.plan(Sequence.of(LiveView(voltage_v=5.0, rests=3), mode="gated"))
    levels = np.array([block.block.stretches[0].voltage_v for block in plan.blocks])
    assert (levels != 0).mean() == 0.25
