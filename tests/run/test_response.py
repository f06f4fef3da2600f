"""Responses on the simulated bench, whole: the film's own times, its slow part, bounds, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig import cli
from rig.analysis.step_response import Duration
from rig.measurements import catalogue
from rig.measurements.response import Response
from rig.measurements.response_findings import response_findings
from rig.measurements.response_record import reduce_response
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session
from sim_instruments.film.film import Film
from sim_instruments.film.photoluminescence import cw_yield

QUICK: dict[str, Any] = {"hold_s": 0.0, "half_period_s": 0.4}
BRIEF: dict[str, Any] = {"hold_s": 0.0, "half_period_s": 0.25}  # where no time is judged
ION_S = 4.0  # of the nominal film


def responded(folder: Path, *, mode: str = "auto", stop: int | None = None, **given: Any) -> tuple[Session, Any]:
    film = {key: given.pop(key) for key in ("faults", "variant") if key in given}
    session, asked = Session(out=folder, seed=5, **film), StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    return session, session.run(Sequence.of(Response(**given), mode=mode), stop=asked, observe=observe)  # type: ignore[arg-type]


class Own:
    """What the film itself did at the voltages that really stood at it, without frames or noise."""

    def __init__(self, session: Session) -> None:
        record = session.world.terminal.record
        self.film = Film(session.world.film.parameters)
        t_ns, voltage_v = np.array(record.t_ns), np.abs(np.array(record.voltage_v))
        for at_ns, to_v in zip(record.t_ns, record.voltage_v, strict=True):
            self.film.set_voltage(to_v, at_ns)
        self.on_ns = t_ns[1:][(voltage_v[1:] > 19) & (voltage_v[:-1] < 1)]
        self.off_ns = t_ns[1:][(voltage_v[1:] < 1) & (voltage_v[:-1] > 19)]

    def light(self, edge_ns: int, since_s: Any) -> Any:
        t_ns = np.round(edge_ns + np.atleast_1d(since_s) * 1e9).astype(np.int64)
        return cw_yield(self.film.parameters, self.film.state(t_ns))

    def times_s(self, edges_ns: Any, half_s: float) -> tuple[float, float, float]:
        """10-90 %, 1 - 1/e and 95 %, between the plateaus that an analysis of the wave uses."""
        since_s = np.arange(-0.5, 0.95, 1e-4) * half_s
        ways = []
        for edge_ns in edges_ns:
            light = self.light(int(edge_ns), since_s)
            low, high = light[since_s < -0.02 * half_s].mean(), light[since_s >= 0.5 * half_s].mean()
            ways.append((light - low) / (high - low))
        way = np.mean(ways, axis=0)
        ten, efold, ninety, settled = (float(since_s[np.argmax(way >= x)]) for x in (0.1, 1 - np.exp(-1), 0.9, 0.95))
        return ninety - ten, efold, settled


def holds(duration: Duration, truth_s: float, *, within: float = 0.15) -> bool:
    """Whether a time is right: inside its interval and close, or below its bound."""
    value, ci95 = duration.time_s.value, duration.time_s.ci95
    if value is None or ci95 is None:
        return duration.bound_s is not None and truth_s <= duration.bound_s
    return ci95[0] <= truth_s <= ci95[1] and abs(value / truth_s - 1) <= within


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """The default under continuous light."""
    return responded(tmp_path_factory.mktemp("responses"), hold_s=12.0, recovery_s=20.0)


def test_with_frames_of_10_ms_off_is_told_and_on_is_bounded(whole: tuple[Session, Any]) -> None:
    session, result = whole
    assert (result.outcome.reason, result.plan.mode) == (FinishReason.DONE, "stepped")
    own, steps = Own(session), result.results.steps
    on_s, off_s = own.times_s(own.on_ns[:10], 1.0), own.times_s(own.off_ns[:10], 1.0)
    assert (on_s[0], off_s[0]) == (pytest.approx(9.42e-3, rel=0.03), pytest.approx(63.9e-3, rel=0.03))
    for edge, truth_s in ((steps.on, on_s), (steps.off, off_s)):
        assert (edge.edges, edge.reason) == (10, "")
        assert all(holds(one, true) for one, true in zip((edge.rise, edge.efold, edge.settle), truth_s, strict=True))
    assert steps.on.rise.time_s.value is None
    assert steps.on.rise.bound_s < 0.015
    assert result.results.upper_s < 0.1


def test_the_wave_has_the_period_that_was_asked_for(whole: tuple[Session, Any]) -> None:
    session, result = whole
    period_s = result.results.steps.period_s
    true_s = float(np.polyfit(np.arange(10), Own(session).on_ns[:10] * 1e-9, 1)[0])
    assert period_s.value == pytest.approx(true_s, abs=2e-4)
    assert 1.995 <= period_s.ci95[0] <= period_s.ci95[1] <= 2.005


def test_frame_and_dead_time_are_those_of_the_detector(whole: tuple[Session, Any]) -> None:
    session, result = whole
    exposures = session.world.light_path.record.exposures
    true_s = 1e-9 * np.median(exposures["close_ns"] - exposures["open_ns"])
    assert result.results.exposure_s == pytest.approx(true_s, abs=1e-9)
    assert result.results.exposure_s + result.results.dead_s == pytest.approx(0.01)
    assert result.results.dead_s < 1e-3
    assert result.results.frame_interval.value == pytest.approx(0.01, rel=1e-4)


def test_the_hold_shows_ions_a_falling_current_and_a_full_recovery(whole: tuple[Session, Any]) -> None:
    session, result = whole
    own, hold = Own(session), result.results.hold
    assert hold.slow_off.tau_s.ci95[0] <= ION_S <= hold.slow_off.tau_s.ci95[1]
    before = float(own.light(int(own.on_ns[10]), -0.5)[0])
    after = own.light(int(own.off_ns[10]), np.array([1.1, 19.5]))
    for value, true in zip((hold.recovery_1s, hold.recovery_20s), after / before, strict=True):
        assert value.ci95[0] <= true <= value.ci95[1]
        assert value.half_width < 0.012
    assert hold.recovery_1s.ci95[0] > 0.97
    assert 0.05 < hold.current.fall.ci95[0] <= hold.current.fall.ci95[1] < 0.2
    assert hold.slow_off.fast_fraction.ci95[0] > 0.9


def test_the_file_alone_says_the_same(whole: tuple[Session, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, result = whole
    record: Any = catalogue.record_of(result.path)
    said = record.as_json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said == open_run(result.path).results
    assert said["off"]["10_90_s"]["value"] == pytest.approx(0.0639, rel=0.15)
    assert len(open_run(result.path).result_arrays["response_light"]) == result.outcome.ledger.assigned
    findings = response_findings(record)
    assert [len(table.rows) for table in findings.tables] == [7, 9, 4]
    assert "continuous light" in findings.methods
    [drawing] = findings.drawings
    assert len(drawing.draw().axes) == 3
    assert cli.main(["show", str(result.path)]) == 0
    assert "light answers ON in at most" in capsys.readouterr().out


def test_with_frames_of_1_ms_both_times_are_told_with_the_sources_latency_in_them(tmp_path: Path) -> None:
    session, result = responded(tmp_path, frame_s=0.001, **QUICK)
    own, steps = Own(session), result.results.steps
    for edge, edges_ns in ((steps.on, own.on_ns), (steps.off, own.off_ns)):
        truth_s = own.times_s(edges_ns, 0.4)
        assert edge.rise.time_s.value is not None
        assert all(holds(one, true) for one, true in zip((edge.rise, edge.efold, edge.settle), truth_s, strict=True))
    assert steps.on.efold.time_s.half_width >= 2e-4


def test_weak_pulses_that_add_up_do_as_well(tmp_path: Path) -> None:
    session, result = responded(tmp_path, light="pulses", **QUICK)
    own, steps = Own(session), result.results.steps
    assert result.results.exposure_s == pytest.approx(9.5e-3)
    assert holds(steps.off.rise, own.times_s(own.off_ns, 0.4)[0])
    assert steps.off.rise.time_s.value is not None
    assert own.times_s(own.on_ns, 0.4)[0] <= steps.on.rise.bound_s <= 0.02


def test_where_edges_lie_in_gaps_no_more_is_claimed_than_a_bound(tmp_path: Path) -> None:
    session, result = responded(tmp_path, mode="gated", **QUICK)
    own, steps = Own(session), result.results.steps
    assert result.results.gated
    assert all(one.rise.time_s.value is None for one in (steps.on, steps.off))
    assert own.times_s(own.on_ns, 0.4)[2] <= steps.on.settle.bound_s < 0.3
    assert steps.off.reason.startswith("the edges lie in gaps") or steps.off.settle.bound_s >= 0.086
    assert steps.period_s.value is None


def test_a_film_that_does_not_respond_has_no_time(tmp_path: Path) -> None:
    _, result = responded(tmp_path, variant="pmma", **BRIEF)
    assert result.results.code == "no-response"
    assert result.results.sentence.startswith("no response")
    assert all(one.rise.upper_s is None for one in (result.results.steps.on, result.results.steps.off))


def test_whatever_there_is_of_a_run_its_times_are_right_or_refused(whole: tuple[Session, Any]) -> None:
    session, result = whole
    run = open_run(result.path)
    told = []
    for count in (0, 30, 400, 1500, 2000, 2300):
        found = reduce_response(run, session.bench, ending="stopped", frames=count)
        if found.result is not None:
            told.append(found.result.steps.off)
            assert "stopped" in found.result.sentence
    assert [one.reason[:16] for one in told[:2]] == ["0 edges of the v", "1 usable edges, "]
    assert all(one.reason or abs(one.rise.time_s.value / 63.9e-3 - 1) < 0.1 for one in told)
    assert told[-1].reason == ""


def test_a_run_stopped_in_the_wave_says_so_and_claims_nothing(tmp_path: Path) -> None:
    _, result = responded(tmp_path, stop=200, **BRIEF)
    assert result.outcome.reason is FinishReason.STOPPED
    said = result.as_json()["results"]
    assert "stopped" in said["reason"]
    assert said["both_10_90_below_s"] is None
    assert said["slower_10_90_s"]["value"] is None


def test_frames_without_light_are_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim_instruments.cw_light.AREA_PER_S", 0.0)
    _, result = responded(tmp_path, **BRIEF)
    assert result.results is None
    assert result.record.reason.startswith("no light")
    assert result.as_json()["results"]["off"] is None
    with pytest.raises(ValueError, match="no light"):
        result.record.figure()


def test_saturated_frames_give_no_time(tmp_path: Path) -> None:
    _, result = responded(tmp_path, light="pulses", fluence_uj_cm2=120.0, **BRIEF)
    assert result.results.code == "no-times"
    assert result.results.steps.off.dropped == {"saturated": 10}
    assert result.results.steps.off.rise.upper_s is None


def test_a_device_that_breaks_down_in_the_wave_gives_no_time(tmp_path: Path) -> None:
    _, result = responded(tmp_path, faults=("breakdown@6s",), **BRIEF)
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    again: Any = catalogue.record_of(result.path)
    assert again.as_json() == result.as_json()["results"]
    assert "ended by a fault" in again.result.sentence
    assert again.result.upper_s is None
