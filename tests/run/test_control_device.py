"""Control devices of the simulated bench: insulated ones are insensitive, bare ones are not, too little proves neither."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench_truth import truth_of, wrong_frames
from ladder_truth import true_levels

from rig import cli
from rig.measurements.catalogue import record_of
from rig.measurements.control import Control
from rig.measurements.control_findings import control_findings
from rig.run_state import FinishReason, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session

BARE_A = 322e-6  # at 20 V; source: the film's table of currents
SHORT: dict[str, Any] = {
    "frames_per_level": 6,
    "frames_at_rest": 6,
    "settle_s": 0.2,
    "rest_s": 0.2,
    "brackets": 5,
    "voltages": 4,
    "reference_current_a": BARE_A,
}


def judged(folder: Path, variant: str, *, stop: Any = None, faults: tuple[str, ...] = (), **given: Any) -> tuple[Session, Any]:
    session, asked = Session(out=folder, seed=3, variant=variant, faults=faults), StopRequest()

    def observe(progress: Any) -> None:
        if stop is not None and progress.shots_done >= stop:
            asked.request("seen enough")

    return session, session.run(Sequence.of(Control(**{**SHORT, **given})), stop=asked, observe=observe)


@pytest.fixture(scope="module")
def insulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """A device with PMMA between film and electrode."""
    return judged(tmp_path_factory.mktemp("pmma"), "pmma")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Any]:
    """The film itself."""
    return judged(tmp_path_factory.mktemp("bare"), "bare")


def test_an_insulated_device_is_insensitive_in_light_colour_and_current(insulated: tuple[Session, Any]) -> None:
    session, result = insulated
    assert (result.outcome.reason, result.outcome.safe.safe) == (FinishReason.DONE, True)
    run, found = open_run(result.path), result.results.found
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
    assert {found.light.judgement, found.slope.judgement, found.peak.judgement, found.current_judgement} == {"insensitive"}
    assert result.results.sentence.startswith("the device is insensitive")
    true = true_levels(session, run, result.record.parameters.stays(), 0.2)
    assert found.light.change.ci95[0] <= true[20.0] - 1 <= found.light.change.ci95[1]
    assert abs(true[20.0] - 1) < 0.005
    assert found.peak.change.ci95[0] <= 0.15 <= found.peak.change.ci95[1]  # the film's own shift (nm) at 20 V
    at_20_v = session.world.film.current_a(20.0, session.world.now_ns())
    assert found.current.value.ci95[0] <= at_20_v <= found.current.value.ci95[1]


def test_a_bare_film_is_changed(bare: tuple[Session, Any]) -> None:
    session, result = bare
    found = result.results.found
    assert (found.light.judgement, found.slope.judgement, found.current_judgement) == ("changed", "changed", "changed")
    assert found.judgement == "changed"
    true = true_levels(session, open_run(result.path), result.record.parameters.stays(), 0.2)
    assert found.light.change.value == pytest.approx(true[20.0] - 1, abs=0.01)
    assert result.results.ladder.test.verdict == "falls"


def test_the_file_alone_says_the_same(insulated: tuple[Session, Any]) -> None:
    _, result = insulated
    said = result.as_json()["results"]
    record: Any = record_of(result.path)
    assert record.as_json() == said == open_run(result.path).results
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert said["judgement"] == "insensitive"
    assert said["current_below"]["limit_a"] == pytest.approx(BARE_A / 100)
    assert open_run(result.path).result_arrays["control_relative"] == pytest.approx([1.0] * 4, abs=0.01)
    findings = control_findings(record)
    assert [len(table.rows) for table in findings.tables] == [4, 4]
    assert "two one-sided tests" in findings.methods
    [drawing] = findings.drawings
    assert len(drawing.draw().axes) == 3


def test_the_terminal_and_the_report_say_it(insulated: tuple[Session, Any], capsys: pytest.CaptureFixture[str]) -> None:
    _, result = insulated
    assert cli.main(["show", str(result.path)]) == 0
    assert "the device is insensitive to the voltage" in capsys.readouterr().out
    assert cli.main(["report", str(result.path)]) == 0
    assert "Statements" in result.path.with_name(f"{result.path.stem}_report.html").read_text()


def test_without_a_reference_the_current_is_told_and_not_judged(tmp_path: Path) -> None:
    _, result = judged(tmp_path, "pmma", reference_current_a=None, frames_per_level=4, frames_at_rest=4)
    assert result.results.found.current is None
    assert result.results.current.value == pytest.approx(2e-7, rel=0.5)
    assert "current not compared" in result.results.sentence
    assert any("reference_current_a" in line for line in result.record.lines)
    assert result.as_json()["results"]["current_below"] is None


def test_light_too_noisy_for_its_margin_proves_nothing(tmp_path: Path) -> None:
    _, result = judged(tmp_path, "pmma", light_margin=1e-4, frames_per_level=4, frames_at_rest=4)
    assert result.results.found.light.judgement == "undecided"
    assert result.results.code == "undecided"
    assert "cannot be said" in result.results.sentence


def test_a_run_stopped_before_its_brackets_are_complete_is_undecided(tmp_path: Path) -> None:
    planned = Control(**SHORT).max_shots(1000.0)
    _, result = judged(tmp_path, "pmma", stop=planned * 3 // 4)
    assert result.outcome.reason is FinishReason.STOPPED
    found = result.results.found
    assert (found.light.judgement, found.light.change.value) == ("undecided", None)
    assert found.peak.judgement == "undecided"
    assert record_of(result.path).as_json() == result.as_json()["results"]


def test_a_device_that_breaks_down_is_judged_in_nothing(tmp_path: Path) -> None:
    _, result = judged(tmp_path, "pmma", faults=("breakdown@14s",))
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.safe
    assert result.results is None
    assert "ended by a fault" in result.record.reason
    assert result.as_json()["results"]["judgement"] is None
    assert not control_findings(result.record).tables
