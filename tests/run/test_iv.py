"""Current-voltage runs of the simulated bench, whole: the film's own current, breakdown, a contact that is lost, a stop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_other_sources import bench_with

from rig import cli
from rig.measurements.catalogue import record_of
from rig.measurements.iv import Iv
from rig.measurements.iv_findings import iv_findings
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.session import Session

SHORT: dict[str, Any] = {"voltages": 6, "hold_s": 0.8, "long_hold_s": 0.0, "rests": 1.0}


def measured(folder: Path, *, bench: Any = None, stop: int | None = None, **given: Any) -> tuple[Session, Any]:
    film = {key: given.pop(key) for key in ("faults", "variant") if key in given}
    session = Session(bench, simulate=bench is not None, out=folder, seed=5, **film)
    asked = StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    return session, session.run(Iv(**given), stop=asked, observe=observe)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """The nominal film, everything as in the example."""
    return measured(tmp_path_factory.mktemp("iv"))


def true_ua(session: Session, run: Any, block: int, voltage_v: float) -> float:
    """The film's own mean current (uA) when the readings that count were made."""
    rows = run.readings[run.readings["block"] == block]
    later = rows["t_ns"] - rows["t_ns"][0] >= 200_000_000
    # a reading is told some 10 ms after it was made
    return float(np.mean([session.world.film.current_a(voltage_v, int(t) - 15_000_000) for t in rows["t_ns"][later]])) * 1e6


def test_every_current_is_the_films_own(whole: tuple[Session, Any]) -> None:
    session, result = whole
    assert (result.outcome.reason, result.outcome.fault, result.plan.mode) == (FinishReason.DONE, None, "gated")
    run, inside = open_run(result.path), 0
    for number, one in enumerate(result.results.stays):
        own = true_ua(session, run, 2 * number + 1, one.voltage_v)
        assert one.current_ua.value == pytest.approx(own, abs=0.25 + 2e-3 * own)
        inside += one.current_ua.ci95[0] <= own <= one.current_ua.ci95[1]
    assert inside >= 17  # of 20
    levels = {one.voltage_v: one.current_ua.value for one in result.results.levels}
    assert levels[10.0] == pytest.approx(83.0, rel=0.04)  # nominal, before ions have moved
    assert levels[20.0] == pytest.approx(322.0, rel=0.04)


def test_the_exponent_is_that_of_a_space_charge_limited_current(whole: tuple[Session, Any]) -> None:
    _, result = whole
    assert result.results.exponent.value == pytest.approx(2.0, abs=0.04)
    assert result.results.exponent.half_width < 0.03
    assert result.results.law.leak_ohm.ci95[0] < 2.4e6
    assert result.results.law.leak_ohm.ci95[1] > 1.9e6


def test_the_current_falls_over_the_long_hold_as_the_films_does(whole: tuple[Session, Any]) -> None:
    session, result = whole
    run = open_run(result.path)
    rows = run.readings[run.readings["block"] == 2 * len(result.record.parameters.visits) - 1]
    first_ns = int(rows["t_ns"][0])
    own = [session.world.film.current_a(20.0, t) for t in (first_ns + 50_000_000, first_ns + 29_900_000_000)]
    assert result.results.fall.value == pytest.approx(100 * (1 - own[1] / own[0]), abs=1.5)
    assert 5.0 <= result.results.fall.value <= 20.0
    assert 2.0 <= result.results.decay.tau_s.value <= 10.0


def test_the_voltage_read_back_is_right_and_both_ways_agree(whole: tuple[Session, Any]) -> None:
    _, result = whole
    assert abs(result.results.readback.value) <= 0.1
    assert result.results.readback.half_width < 0.05
    assert abs(result.results.hysteresis.value) < 2.0
    assert result.record.contact.condition == "sound"
    assert result.record.contact.resistance.value == pytest.approx(1.74e6, rel=0.05)


def test_no_light_falls_on_the_film_and_every_frame_is_dark(whole: tuple[Session, Any]) -> None:
    session, result = whole
    assert not (session.world.light_path.record.pulses["fluence_uj_cm2"] > 0).any()
    run = open_run(result.path)
    assert run.count > 900
    assert abs(run.column("band_520")).mean() < 5 * run.column("band_520_sigma").mean()


def test_the_file_alone_says_the_same(whole: tuple[Session, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, result = whole
    said = result.as_json()["results"]
    record: Any = record_of(result.path)
    assert record.as_json() == said == open_run(result.path).results
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["contact"]["condition"] == "sound"
    assert said["exponent"]["value"] == result.results.exponent.value
    assert len(open_run(result.path).result_arrays["iv_current"]) == 10
    findings = iv_findings(record)
    assert [len(table.rows) for table in findings.tables] == [3, 8, 10]
    assert len(findings.drawings[0].draw().axes) == 2
    assert cli.main(["show", str(result.path)]) == 0
    assert "exponent 1.9" in capsys.readouterr().out


def test_a_film_behind_pmma_has_a_leak_and_no_exponent(tmp_path: Path) -> None:
    _, result = measured(tmp_path, variant="pmma", **SHORT)
    assert result.outcome.reason is FinishReason.DONE
    assert result.record.contact.condition == "sound"
    assert result.results.code == "no-law"
    assert result.results.highest.current_ua.value == pytest.approx(0.2, abs=0.3)
    assert result.results.hysteresis.value is None


def test_a_device_that_breaks_down_keeps_what_was_before_and_says_where(tmp_path: Path) -> None:
    _, result = measured(tmp_path, faults=("breakdown@20s:1",), **SHORT)
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    record: Any = record_of(result.path)
    broke = record.result.broke
    assert record.result.code == "broke-down"
    assert f"broke down at {broke.voltage_v:g} V after" in record.lines[0]
    assert broke.voltage_v in (8.0, 12.0, 16.0, 20.0)
    assert 1 <= len(record.result.stays) < 10
    assert all(one.voltage_v < broke.voltage_v for one in record.result.stays)
    assert record.result.exponent.value is None
    assert record.result.fall.value is None


def test_one_that_breaks_down_at_once_has_no_current_and_says_why(tmp_path: Path) -> None:
    _, result = measured(tmp_path, faults=("breakdown@14s:1",), **SHORT)
    assert result.outcome.reason is FinishReason.FAULT
    assert result.results is None
    assert "broke down at 4 V after" in result.record.reason


def test_an_electrode_that_lifts_off_half_way_gives_no_law(tmp_path: Path) -> None:
    _, result = measured(tmp_path, faults=("open-contact@20s",), **SHORT)
    assert result.outcome.reason is FinishReason.DONE
    assert "the contact was lost" in result.results.sentence
    assert result.results.exponent.value is None
    assert result.results.hysteresis.value is None


def test_a_run_that_is_stopped_says_what_it_has(tmp_path: Path) -> None:
    _, result = measured(tmp_path, stop=50, **SHORT)
    assert result.outcome.reason is FinishReason.STOPPED
    assert "of 10 stays" in result.results.sentence
    assert result.results.exponent.value is None
    assert record_of(result.path).as_json() == result.as_json()["results"]


def test_a_run_that_is_stopped_at_once_has_no_result(tmp_path: Path) -> None:
    _, result = measured(tmp_path, stop=0, **SHORT)
    assert result.results is None
    assert result.record.reason
    assert result.as_json()["results"]["exponent"] is None
    with pytest.raises(ValueError, match=r"\w"):
        result.record.figure()


@pytest.mark.parametrize("source", ["keithley-2450", "scpi-supply"])
def test_other_sources_measure_the_same(tmp_path: Path, source: str) -> None:
    _, result = measured(tmp_path, bench=bench_with(source), **SHORT)
    assert (result.outcome.reason, result.outcome.fault) == (FinishReason.DONE, None)
    top = result.results.highest
    assert (top.voltage_v, top.current_ua.value) == (20.0, pytest.approx(310.0, rel=0.04))
    exponent = result.results.exponent
    if source == "scpi-supply":  # it shows 10 uA
        assert top.current_ua.half_width >= 3.0
        assert exponent.value is None or exponent.ci95[0] <= 2.0 <= exponent.ci95[1]
    else:
        assert exponent.value == pytest.approx(2.0, abs=0.1)
