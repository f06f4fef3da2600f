"""`rig paper` as its user meets it: short campaigns, what they leave, and what is said when something is missing or wrong."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import h5py
import pytest
from other_benches import nothing_in_the_beam, other_bench
from test_command_line import Said

from drivers.errors import InstrumentError
from rig import cli, commands_paper
from rig.device_lock import Breakdown, Device, DeviceLocks
from rig.engine import Engine
from rig.measurements.control import Control
from rig.measurements.iv import Iv
from rig.measurements.on_off import OnOff
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.paper import campaign
from rig.paper.campaign import Step
from rig.paper.claims import CLAIMS
from rig.run_state import FAULT, REFUSED, STOPPED
from rig.session import Session
from rig.simulation import put_in
from sim_instruments import world as world_module
from sim_instruments.world import World

SWITCHING = Step(OnOff(cycles=2, on_time_s=0.3, off_time_s=0.3), "film", "switching")
CURRENT = Step(Iv(voltages=6, hold_s=0.5, long_hold_s=0, rests=1.0), "film", "current")
CONTROL = Step(
    Control(voltages=4, frame_s=0.01, frames_per_level=4, frames_at_rest=4, settle_s=0, rest_s=0, brackets=5),
    "control",
    "control device",
)
SHORT = (CURRENT, SWITCHING, CONTROL)
KEYS = {"id", "quantity", "paper", "value", "ci95", "unit", "rule", "verdict", "note", "run"}
LISTED = {f"C{number:02d}" for number in (*range(1, 31), *range(52, 65))}


def rig(*words: str) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(list(words))
    return Said(code, out.getvalue(), err.getvalue())


def paper(folder: Path, *words: str, draws: bool = False) -> Said:
    """Say `rig paper`, by default without figures, which take most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        if not draws:
            patch.setattr(commands_paper, "_drawings", lambda found: [])
        return rig("paper", "--out", str(folder), "--quiet", "--json", *words)


def steps(monkeypatch: pytest.MonkeyPatch, *chosen: Step) -> None:
    monkeypatch.setattr(campaign, "STEPS", chosen)


def claims(said: Said) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in said.json["claims"]:
        found.setdefault(one["id"], []).append(one)
    return found


def page(folder: Path) -> str:
    return (folder / "paper.html").read_text("utf-8")


def runs(folder: Path) -> list[str]:
    return sorted(path.name.split("_", 2)[2] for path in (folder / "runs").glob("*.h5"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A short campaign on the simulated bench: its folder, and what was said. Not to be changed."""
    folder = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        steps(patch, *SHORT)
        return folder, paper(folder, draws=True)


@pytest.fixture
def again(done: tuple[Path, Said], tmp_path: Path) -> Path:
    """A copy of its runs."""
    shutil.copytree(done[0] / "runs", tmp_path / "again" / "runs")
    return tmp_path / "again"


# --- what a campaign leaves


def test_page_figures_and_runs_are_there(done: tuple[Path, Said]) -> None:
    folder, said = done
    assert said.code == 0, said.err
    pictures = {f"paper_figure_{number}.{kind}" for number in (2, 4) for kind in ("png", "svg")}
    assert {path.name for path in folder.iterdir()} == {"paper.html", "runs", *pictures}
    assert all((folder / name).stat().st_size > 5000 for name in pictures)
    assert runs(folder) == ["CsPbBr3-control_control.h5", "CsPbBr3_iv.h5", "CsPbBr3_on_off.h5"]


def test_stdout_is_one_json_line_with_every_claim(done: tuple[Path, Said]) -> None:
    _, said = done
    assert said.out.count("\n") == 1
    assert set(claims(said)) == LISTED == {claim.id for claim in CLAIMS}
    assert all(set(one) == KEYS for one in said.json["claims"])
    assert [one["id"] for one in said.json["claims"]] == sorted(one["id"] for one in said.json["claims"])
    assert {one["verdict"] for one in said.json["claims"]} <= {"pass", "undecided", "not measured"}  # few cycles decide less


def test_the_page_loads_nothing_and_says_simulated_everywhere(done: tuple[Path, Said]) -> None:
    text = page(done[0])
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!data:)""", text)
    beside_the_bench = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert not [words for words in ("://", "url(", "@import", "<script", "<link") if words in beside_the_bench]
    assert "<title>SIMULATED: " in text
    assert '<span class="simulated">SIMULATED</span>' in text
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert len(captions) == 2
    assert all(caption.startswith("SIMULATED. ") for caption in captions)
    for number in (2, 4):
        assert "SIMULATED" in (done[0] / f"paper_figure_{number}.svg").read_text("utf-8")


def test_the_page_says_which_run_speaks_and_what_is_assumed(done: tuple[Path, Said]) -> None:
    text = page(done[0])
    for path in (done[0] / "runs").glob("*.h5"):
        assert path.name in text
    for words in (
        "spot_area_cm2 = 0.01",
        "0.01 cm2, ± 5 % (1 sigma)",
        "75 K/W, assumed",
        "injected share",
        "ito-rig 0.",
        "seed 0",
    ):
        assert words in text, words
    c62 = [one for one in done[1].json["claims"] if one["id"] == "C62" and one["value"] is not None]
    assert all(one["run"].endswith("_control.h5") for one in c62)


def test_the_price_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, *SHORT)
    said = rig("paper", "--out", str(tmp_path / "p"), "--plan")
    assert said.code == 0
    assert not (tmp_path / "p").exists()
    for words in ("iv", "on_off", "control", "together", "dose"):
        assert words in said.out, words


# --- without runs, with some, with others


def test_nothing_measured_is_said_and_is_no_error(tmp_path: Path) -> None:
    said = paper(tmp_path, "--no-runs")
    assert said.code == 0
    assert {one["verdict"] for one in said.json["claims"]} == {"not measured"}
    assert all(one["note"] for one in said.json["claims"])
    assert claims(said)["C20"][0]["note"] == "no run of on_off is in the folder"
    assert "0 pass, 0 fail, 43 are not measured" in said.err
    assert "SIMULATED" not in page(tmp_path)


def test_the_page_is_made_again_from_the_runs_alone(done: tuple[Path, Said], again: Path) -> None:
    said = paper(again, "--no-runs", draws=True)
    assert said.json == done[1].json
    assert page(again) == page(done[0])


def test_foreign_and_broken_files_are_told_and_hurt_nothing(done: tuple[Path, Said], again: Path) -> None:
    (again / "runs" / "notes.h5").write_text("no run at all", encoding="utf-8")
    whole = next(again.glob("runs/*_iv.h5"))
    (again / "runs" / "half.h5").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    said = paper(again, "--no-runs")
    assert said.code == 0
    assert said.json == done[1].json
    for name in ("notes.h5", "half.h5"):
        assert f"{name} cannot be read" in said.err
        assert f"{name} cannot be read" in page(again)


def test_runs_of_another_sample_are_left_out_and_named(
    done: tuple[Path, Said], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(monkeypatch, SWITCHING)
    said = paper(again, "--sample", "second film")
    found = claims(said)
    assert found["C05"][0]["run"].endswith("_second-film_on_off.h5")
    assert found["C62"][0]["verdict"] == "not measured"  # the control device belongs to the other film
    assert "'CsPbBr3', this page is about 'second film'" in said.err
    assert "left out" in page(again)
    steps(monkeypatch, *SHORT)
    assert paper(again, "--no-runs", "--sample", "CsPbBr3").json == done[1].json


def test_a_real_run_among_simulated_ones_is_left_out(again: Path) -> None:
    [real] = again.glob("runs/*_iv.h5")
    with h5py.File(real, "r+") as file:
        flag = file["entry/provenance/simulated"]
        assert isinstance(flag, h5py.Dataset)
        flag[()] = 0
    said = paper(again, "--no-runs")
    assert f"{real.name} is left out: it is real, the other runs of the sample are simulated" in said.err
    assert claims(said)["C62"][2]["note"] == "there is no current of the bare device: iv"


def test_of_two_runs_of_one_measurement_the_later_speaks_and_the_page_says_so(
    again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(again.glob("runs/*_on_off.h5")).name
    steps(monkeypatch, SWITCHING)
    found = claims(paper(again))
    [second] = [path.name for path in again.glob("runs/*_on_off*.h5") if path.name != first]
    assert found["C19"][0]["run"] == second
    assert f"{first} (done): {second} speaks for on_off" in page(again)


def test_a_hostile_name_of_a_sample_is_only_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, SWITCHING)
    name = "<script>alert(1)</script> $\\frac{1}$ \u202e&amp; "
    name += "x" * (280 - len(name))
    said = paper(tmp_path, "--sample", name)
    assert said.code == 0, said.err
    text = page(tmp_path)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\u202e" not in text
    assert claims(said)["C19"][0]["verdict"] == "pass"


def ended(run: Path, state: str) -> None:
    """Write into a run's file that it ended otherwise than it did."""
    with h5py.File(run, "r+") as file:
        text = file["entry/status/state"]
        assert isinstance(text, h5py.Dataset)
        text[()] = state.encode()


def test_a_run_that_a_fault_ended_judges_nothing_and_is_not_drawn(again: Path) -> None:
    [run] = again.glob("runs/*_on_off.h5")
    ended(run, "fault")
    said = paper(again, "--no-runs", draws=True)
    found = claims(said)
    for claim in ("C05", "C19"):
        assert [one["verdict"] for one in found[claim]] == ["not measured"]
        assert found[claim][0]["note"].startswith(f"{run.name} was ended by a fault: ")
    assert found["C04"][0]["verdict"] == "pass"
    assert f"{run.name} was ended by a fault" in page(again)
    assert "c Light" in page(again)  # the caption; panels a to e have nothing
    assert (again / "paper_figure_2.svg").read_text("utf-8").count("<!-- not measured -->") == 6


def test_a_run_that_was_stopped_is_judged_and_said_to_be_incomplete(again: Path) -> None:
    [run] = again.glob("runs/*_on_off.h5")
    ended(run, "stopped")
    [one] = claims(paper(again, "--no-runs"))["C19"]
    assert one["verdict"] == "pass"
    assert one["note"].endswith("the run is not complete: stopped")


def test_a_later_faulted_run_does_not_hide_an_earlier_good_one(again: Path) -> None:
    [good] = again.glob("runs/*_on_off.h5")
    bad = good.with_name(f"9999-{good.name}")
    shutil.copy(good, bad)
    ended(bad, "fault")
    found = claims(paper(again, "--no-runs"))
    assert (found["C19"][0]["verdict"], found["C19"][0]["run"]) == ("pass", good.name)
    assert f"{bad.name} was ended by a fault" in page(again)
    assert f"{bad.name} (fault): {good.name} speaks for on_off" in page(again)


@pytest.mark.parametrize("name", ["x" * 300, " "])
def test_a_name_that_no_run_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit):
        paper(tmp_path / "p", "--sample", name)
    assert not (tmp_path / "p").exists()


# --- what goes wrong


def test_a_poor_bench_runs_what_it_can_and_says_why_not_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, SWITCHING, Step(PlVsVoltage(), "film", "weak"), Step(Response(), "film", "response"))
    bench = tmp_path / "poor.toml"
    bench.write_text(other_bench(nothing_in_the_beam).source_text, encoding="utf-8")
    said = paper(tmp_path / "p", "--bench", str(bench), "--simulate")
    assert said.code == 0, said.err
    assert runs(tmp_path / "p") == ["CsPbBr3_on_off.h5"]
    found = claims(said)
    assert found["C19"][0]["verdict"] == "pass"
    for claim, measurement in (("C53", "pl_vs_voltage"), ("C58", "response")):
        [one] = found[claim]
        assert one["verdict"] == "not measured"
        assert one["note"].startswith(f"{measurement} was not run: ")
        assert one["note"].removeprefix(f"{measurement} was not run: ") in page(tmp_path / "p").replace("&gt;", ">")


def test_a_fault_ends_the_campaign_and_the_page_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, SWITCHING, CURRENT, CONTROL)
    made: list[World] = []

    def make(*arguments: Any) -> World:
        made.append(World(*arguments))
        if len(made) == 2:
            put_in(made[-1], "breakdown", 0)
        return made[-1]

    monkeypatch.setattr(world_module, "World", make)
    said = paper(tmp_path)
    assert said.code == FAULT
    assert len(made) == 2
    found = claims(said)
    assert found["C19"][0]["verdict"] == "pass"  # of the run before
    assert (found["C04"][0]["verdict"], found["C04"][0]["run"][-6:]) == ("fail", "_iv.h5")
    assert found["C61"][0]["note"] == "control was not run: it was not begun: the campaign ended before"
    assert "_iv.h5 was ended by a fault: " in page(tmp_path)
    assert "short; " in found["C04"][0]["note"]


def test_an_instrument_that_cannot_be_opened_ends_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, *SHORT)

    def refused(session: Session, *arguments: Any, **more: Any) -> None:
        raise InstrumentError("The spectrometer does not answer.", hardware_state="off", next_step="look at its cable")

    monkeypatch.setattr(Session, "run", refused)
    said = paper(tmp_path)
    assert said.code == FAULT
    assert said.out.count("\n") == 1
    assert claims(said)["C04"][0]["note"] == "iv was not run: The spectrometer does not answer."
    assert "not begun" in claims(said)["C19"][0]["note"]
    assert "The spectrometer does not answer." in page(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, STOPPED)])
def test_a_stop_between_two_runs_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    steps(monkeypatch, SWITCHING, CURRENT, CONTROL)
    run = Engine.run

    def then_stopped(engine: Engine, *arguments: Any) -> Any:
        result = run(engine, *arguments)
        os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(Engine, "run", then_stopped)
    said = paper(tmp_path)
    assert said.code == code
    assert runs(tmp_path) == ["CsPbBr3_on_off.h5"]
    assert claims(said)["C19"][0]["verdict"] == "pass"
    for claim, measurement in (("C61", "control"), ("C23", "threshold_map")):
        assert measurement in claims(said)[claim][0]["note"]


def test_a_locked_device_is_not_touched_and_the_page_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, *SHORT)
    met = Breakdown("2026-01-02T03:04:05+00:00", "/data/run.h5", 20.0, 0.19, 1e-3)
    DeviceLocks().lock(Device("worn film", simulated=False), met)
    bench = tmp_path / "real.toml"
    bench.write_text(other_bench().source_text, encoding="utf-8")
    said = paper(tmp_path / "p", "--bench", str(bench), "--sample", "worn film")
    assert said.code == REFUSED
    assert not (tmp_path / "p" / "runs").exists()
    assert "broken down: on 2026-01-02" in claims(said)["C19"][0]["note"]
    assert "broken down: on 2026-01-02" in page(tmp_path / "p")


def test_a_folder_that_takes_nothing_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file", encoding="utf-8")
    said = paper(tmp_path / "p")
    assert said.code == REFUSED
    assert "nothing was touched" in said.err


# --- a bench behind its resources


@pytest.fixture
def served(tmp_path: Path) -> Generator[Path]:
    words = [sys.executable, "-m", "rig.cli", "sim", "serve", "--json", "--bench-out", str(tmp_path / "served.toml")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert json.loads(server.stdout.readline())
            yield tmp_path / "served.toml"
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
        finally:
            server.kill()


def test_on_a_real_bench_the_control_device_is_measured_only_when_it_is_said_to_be_there(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Step(OnOff(cycles=1, on_time_s=0.05, off_time_s=0.05, settle_s=0.01), "control", "stands for the control device")
    steps(monkeypatch, Step(Iv(voltages=6, hold_s=0.5, long_hold_s=0, rests=1.0), "film", "current"), other)
    words = ("--out", str(tmp_path / "p"), "--bench", str(served), "--plan")
    without, with_it = rig("paper", *words).out, rig("paper", *words, "--control").out
    assert "iv " in without
    assert "on_off" not in without
    assert "on_off" in with_it
    assert "iv " not in with_it
    said = paper(tmp_path / "p", "--bench", str(served), "--control")
    assert said.code == 0, said.err
    assert runs(tmp_path / "p") == ["CsPbBr3-control_on_off.h5"]
