"""The command line as its user meets it: words in, words, files and an exit code out."""

import csv
import importlib.resources
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rig import cli
from rig.runfile import open_run
from sim_instruments import world as world_module
from sim_instruments.world import World

SEQUENCE = """
title = "short"
sample = "film"
measurement = "on_off"
mode = "{mode}"
[parameters]
voltage_on_v = {volt}
on_time_s = {on_s}
off_time_s = {off_s}
cycles = {cycles}
fluence_uj_cm2 = {fluence}
settle_s = 0.01
"""
DEFAULTS = {"mode": "auto", "volt": 20.0, "on_s": 0.05, "off_s": 0.05, "cycles": 1, "fluence": 40.0}
JSON_KEYS = {"file", "simulated", "seed", "mode", "state", "duration_s", "wall_s", "frames", "results"}
FRAME_KEYS = {"planned", "lead_in", "received", "assigned", "unassigned", "lost", "surplus", "flagged"}
FLAG_KEYS = {"settling", "saturated", "missed_pulse", "compliance", "monitor", "dark_shift", "reference"}
PEAKS = {"off_peak_nm", "off_fwhm_nm", "on_peak_nm", "on_fwhm_nm"}
VALUES = PEAKS | {"contrast_535", "ratio_520", "correlation_520_535", "off_drift"}
QT = ("PyQt5", "PyQt6", "PySide2", "PySide6", "pyqtgraph")


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.splitlines()[-1])


Rig = Callable[..., Said]


def sequence(name: str = "s.toml", **changes: Any) -> str:
    """Write a short sequence into the current folder; give its name."""
    Path(name).write_text(SEQUENCE.format(**{**DEFAULTS, **changes}), encoding="utf-8")
    return name


def bench(name: str = "b.toml", **changes: str) -> str:
    """Write the default bench with some text of it replaced (old=new pairs as a mapping); give its name."""
    text = importlib.resources.files("rig").joinpath("default_bench.toml").read_text("utf-8")
    for old, new in changes.items():
        text, count = re.subn(rf"(?m)^{old} = .*$", f"{old} = {new}", text)
        assert count == 1, old
    Path(name).write_text(text, encoding="utf-8")
    return name


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Rig:
    """Run a command in this process, in a folder of its own; 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> Said:
        capfd.readouterr()
        try:
            code = cli.main(list(words))
        except SystemExit as usage:  # argparse's own refusals
            code = int(usage.code or 0)
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> list[World]:
    """Every simulated bench that is made, in order."""
    made: list[World] = []

    def make(*arguments: Any) -> World:
        made.append(World(*arguments))
        return made[-1]

    monkeypatch.setattr(world_module, "World", make)
    return made


def files(pattern: str) -> list[Path]:
    return sorted(Path("runs").glob(pattern))


def wide_lines(text: str) -> list[str]:
    """Lines of more than 80 columns, but for those that must stay whole to be copied: paths."""
    return [line for line in text.splitlines() if len(line.rstrip()) > 80 and "runs/" not in line]


# --- run --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_json_is_the_last_line_with_exactly_its_keys(rig: Rig, mode: str) -> None:
    said = rig("run", sequence(mode=mode, cycles=2), "--json", "--seed", "7")
    assert said.code == 0
    assert len(said.out.splitlines()) == 1  # words went to stderr
    assert "SIMULATED" in said.err
    told = said.json
    assert set(told) == JSON_KEYS
    assert (told["simulated"], told["seed"], told["mode"], told["state"]) == (True, 7, mode, "done")
    assert 0.2 <= told["duration_s"] <= 1.0
    assert 0 < told["wall_s"]
    frames = told["frames"]
    assert set(frames) == FRAME_KEYS
    assert set(frames["flagged"]) == FLAG_KEYS
    assert frames["planned"] == 200
    assert frames["assigned"] + frames["unassigned"] + frames["lost"] == 200
    results = told["results"]
    assert set(results) == VALUES | {"per_cycle", "switched", "reason", "fluence"}
    assert [set(one) for one in results["per_cycle"]] == [VALUES | {"cycle"}] * 2
    for name in VALUES:
        assert set(results[name]) == {"value", "ci95", "unit"}
        assert results[name]["unit"] == ("nm" if name in PEAKS else "")
    low, high = results["on_peak_nm"]["ci95"]
    assert low <= results["on_peak_nm"]["value"] <= high
    assert open_run(told["file"]).count == frames["received"]


def test_a_run_leaves_file_and_figure_and_says_what_it_found(rig: Rig) -> None:
    said = rig("run", sequence(cycles=2))
    assert said.code == 0
    assert said.err == ""
    [run_file], [figure] = files("*.h5"), files("*.png")
    assert figure.read_bytes().startswith(b"\x89PNG")
    for words in (
        "SIMULATED",
        "200/200",
        str(run_file),
        str(figure),
        "±",
        "nm",
        "C22",
        "hardware: off, confirmed by laser trigger",
    ):
        assert words in said.out
    assert wide_lines(said.out) == []
    assert len(said.out.splitlines()) <= 45


def test_quiet_says_nothing_and_leaves_the_same_files(rig: Rig) -> None:
    said = rig("run", sequence(), "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert len(files("*.h5")) == len(files("*.png")) == 1


def test_quiet_with_json_is_one_line(rig: Rig) -> None:
    said = rig("run", sequence(), "--quiet", "--json", "--out", "elsewhere/deep")
    assert (said.code, said.err) == (0, "")
    assert len(said.out.splitlines()) == 1
    assert Path(said.json["file"]).parent == Path("elsewhere/deep")


def test_several_sequences_run_in_order_with_one_table_at_the_end(rig: Rig) -> None:
    said = rig("run", sequence("a.toml", off_s=0.06), sequence("b.toml"), "--json")
    assert said.code == 0
    assert [json.loads(line)["frames"]["planned"] for line in said.out.splitlines()] == [110, 100]
    assert said.err.count("Runs\n") == 1
    table = said.err[said.err.index("Runs\n") :]
    assert table.index("a.toml") < table.index("b.toml")
    assert "110/110" in table
    assert wide_lines(table) == []


def test_a_fault_ends_the_list_and_the_table_says_what_was_not_run(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, worlds: list[World]
) -> None:
    make = world_module.World

    def leaking_second(*arguments: Any) -> World:
        world = make(*arguments)
        if len(worlds) == 2:
            world.film.add_leak(1000.0, 0)
        return world

    monkeypatch.setattr(world_module, "World", leaking_second)
    said = rig("run", *(sequence(f"{name}.toml", mode="gated") for name in "abc"))
    assert said.code == 4
    assert len(worlds) == 2
    table = said.out[said.out.index("Runs\n") :]
    assert [state for state in ("done", "fault", "not run") if state in table] == ["done", "fault", "not run"]
    assert "The contact is short" in said.err


def test_an_instrument_that_cannot_be_opened_for_the_second_sequence_still_ends_in_the_table(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, worlds: list[World]
) -> None:
    make = world_module.World

    def unplugged_second(*arguments: Any) -> World:
        world = make(*arguments)
        if len(worlds) == 2:
            world.resources["voltage_source"] = "GPIB0::5::INSTR"
        return world

    monkeypatch.setattr(world_module, "World", unplugged_second)
    said = rig("run", *(sequence(f"{name}.toml") for name in "abc"))
    assert said.code == 4
    table = said.out[said.out.index("Runs\n") :]
    assert [state for state in ("done", "could not start", "not run") if state in table] == [
        "done",
        "could not start",
        "not run",
    ]
    assert "GPIB0::24::INSTR" in said.err


def test_all_sequences_are_checked_before_the_first_moves_anything(rig: Rig, worlds: list[World]) -> None:
    said = rig("run", sequence("a.toml"), sequence("b.toml", volt=25.0), "--json")
    assert said.code == 2
    assert worlds == []
    assert not Path("runs").exists()
    assert [reason["code"] for reason in said.json["error"]["reasons"]] == ["voltage-above-limit", "step-above-limit"]
    assert said.json["exit_code"] == 2


def test_a_film_that_does_not_switch_is_a_result(rig: Rig) -> None:
    words = ("run", sequence(fluence=15.0), "--bench", bench(fluence_uj_cm2="15.0"), "--simulate", "--json")
    said = rig(*words)
    assert said.code == 0
    assert said.json["results"]["switched"] is False
    assert said.json["results"]["on_peak_nm"] == {"value": None, "ci95": None, "unit": "nm"}
    assert "not switched" in said.err


def test_the_seed_is_what_makes_a_simulated_run(rig: Rig) -> None:
    name = sequence()
    told = [rig("run", name, "--quiet", "--json", "--seed", seed).json["results"] for seed in ("3", "3", "4")]
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", "-1"),
        ("--seed", "0.5"),
        ("--device", ""),
        ("--device", "x" * 61),
        ("--device", "NC\n1"),
        ("--no-such-option",),
    ],
)
def test_options_that_make_no_sense_are_refused(rig: Rig, worlds: list[World], words: tuple[str, ...]) -> None:
    assert rig("run", sequence(), *words).code == 2
    assert worlds == []


def test_a_device_is_no_option_of_a_real_bench(rig: Rig) -> None:
    said = rig("run", sequence(), "--bench", bench(), "--device", "NC-001")
    assert said.code == 2
    assert "--simulate" in said.err


# --- before a run -----------------------------------------------------------------------------------------------------


def test_check_says_mode_reason_and_cost_and_opens_nothing(rig: Rig, worlds: list[World]) -> None:
    said = rig("check", sequence(cycles=3))
    assert said.code == 0
    for words in ("stepped", "proved", "300", "MB", "J/cm2", "V s", "50%", "SIMULATED"):
        assert words in said.out
    assert wide_lines(said.out) == []
    assert worlds == []
    assert not Path("runs").exists()


def test_check_says_why_auto_became_gated(rig: Rig) -> None:
    text = Path(bench()).read_text(encoding="utf-8")
    Path("b.toml").write_text(text.replace('from = "laser_trigger.T0"', 'from = "laser_trigger.CD"'), encoding="utf-8")
    said = rig("check", sequence(), "--bench", "b.toml", "--simulate")
    assert said.code == 0
    words = " ".join(said.out.replace("│", " ").split())
    assert "gated: stepped blocks are not possible" in words
    assert "laser_trigger.CD steps the source by a prescaler" in words


def test_plan_shows_one_shot_the_bursts_and_a_program_for_each_instrument(rig: Rig, worlds: list[World]) -> None:
    said = rig("plan", sequence(cycles=2))
    assert said.code == 0
    times = [float(t) for t in re.findall(r"^ +([0-9.]+) us  ", said.out, re.MULTILINE)]
    assert times == sorted(times)
    assert len(times) == 8
    for words in ("51 shots at 0 V", "50 shots at 20 V", "step through 0, 0, 20, 20, 0 V", "leads to laser.trigger", "500 us"):
        assert words in said.out
    assert "block 1: as block 0" in said.out
    assert "(" not in said.out.split("programs:")[1].replace("(high impedance)", "")  # words, not Python
    assert worlds == []


def test_plan_of_gated_blocks_holds_levels(rig: Rig) -> None:
    said = rig("plan", sequence(mode="gated", cycles=2))
    assert said.out.index("hold 0 V") < said.out.index("hold 20 V")
    assert "block 2: as block 0" in said.out


def test_the_template_is_refused_until_it_is_filled_in_and_then_runs(rig: Rig) -> None:
    assert rig("new-bench", "new.toml").code == 0
    template = Path("new.toml").read_text(encoding="utf-8")
    assert rig("new-bench").out == template
    refused = rig("check", sequence(), "--bench", "new.toml")
    assert refused.code == 2
    assert refused.err.count("new.toml:") + int(re.findall(r"and (\d+) more", refused.err)[0]) >= template.count('= "FILL IN"')
    fills = iter(("100e-6", "40.0", "0.01", '"GPIB0::24::INSTR"', '"TCPIP::192.0.2.20::5025::SOCKET"'))
    filled = re.sub(
        r'= "FILL IN"', lambda _: f"= {next(fills, chr(34) + 'TCPIP::192.0.2.21::57357::SOCKET' + chr(34))}", template
    )
    Path("new.toml").write_text(filled, encoding="utf-8")
    said = rig("run", "s.toml", "--bench", "new.toml", "--simulate", "--json", "--quiet")
    assert said.code == 0
    assert said.json["mode"] == "gated"  # the template has no cable to the source


def test_new_bench_never_overwrites(rig: Rig) -> None:
    Path("mine.toml").write_text("precious", encoding="utf-8")
    said = rig("new-bench", "mine.toml")
    assert said.code == 2
    assert Path("mine.toml").read_text(encoding="utf-8") == "precious"
    assert "mine.toml" in said.err


# --- after a run ------------------------------------------------------------------------------------------------------


def test_show_tells_the_same_from_the_file_alone(rig: Rig) -> None:
    ran = rig("run", sequence(cycles=2))
    [run_file] = files("*.h5")
    Path("s.toml").unlink()
    moved = Path("moved.h5")
    run_file.rename(moved)
    said = rig("show", str(moved))
    assert said.code == 0
    table = said.out[said.out.index("Results") : said.out.index("figure:")]
    assert table in ran.out
    for words in ("SIMULATED", "short", "state: done", "208"):
        assert words in said.out
    assert Path("moved.png").read_bytes() == files("*.png")[0].read_bytes()


def test_show_draws_where_it_is_told_and_says_when_it_cannot(rig: Rig) -> None:
    told = rig("run", sequence(), "--quiet", "--json").json
    assert rig("show", told["file"], "--figure", "mine.png").code == 0
    assert Path("mine.png").exists()
    for bad in ("nowhere/mine.png", "mine.unknown"):
        said = rig("show", told["file"], "--figure", bad)
        assert said.code == 2
        assert f"could not be written to {bad}" in said.out


def test_export_writes_every_frame_with_units(rig: Rig) -> None:
    told = rig("run", sequence(), "--quiet", "--json").json
    said = rig("export", told["file"], "--csv", "--out", "tables")
    assert said.code == 0
    traces, spectra = map(Path, said.out.splitlines())
    run = open_run(told["file"])
    tables: list[tuple[list[str], list[list[str]]]] = []
    for path, rows in ((spectra, 2136), (traces, run.count)):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = [line for line in lines if line.startswith("#")]
        assert "SIMULATED" in comments[0]
        header, *body = csv.reader(lines[len(comments) :])
        assert len(body) == rows
        assert {len(row) for row in body} == {len(header)}
        tables.append((header, body))
    header, body = tables[1]
    light = [float(row[header.index("535 nm light (counts)")]) for row in body]
    assert np.array_equal(light, run.column("band_535"))
    states = [row[header.index("state")] for row in body]
    assert (states.count("OFF"), states.count("ON")) == (50, 50)
    assert float(body[-1][header.index("time (s)")]) == pytest.approx(float(run.column("time_s")[-1]), abs=1e-6)


# --- as a program -----------------------------------------------------------------------------------------------------

WATCH = """
import sys
asked = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        asked.append(name.partition(".")[0])
sys.meta_path.insert(0, Watch())
from rig.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
sys.stderr.write("ASKED " + " ".join(sorted(set(asked))))
sys.exit(code)
"""


def imported(*words: str, cwd: Path) -> set[str]:
    """Top-level modules that a command looks for, installed or not."""
    done = subprocess.run([sys.executable, "-c", WATCH, *words], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.partition("ASKED ")[2].split())


def test_help_imports_nothing_slow(tmp_path: Path) -> None:
    """How long it takes: benchmarks/help.py."""
    names = imported("--help", cwd=tmp_path)
    assert {"rig", "argparse"} <= names  # the watch sees something
    assert not names & {"numpy", "scipy", "h5py", "pydantic", "rich", "pyvisa", *QT}


def test_every_command_helps_and_explains_its_exit_codes(rig: Rig) -> None:
    said = rig("--help")
    assert said.code == 0
    for code in ("0", "2", "3", "4", "5", "130"):
        assert re.search(rf"\b{code} +\w", said.out.partition("exit codes")[2])
    for command in ("run", "check", "plan", "show", "export", "recover", "new-bench"):
        assert command in said.out
        assert rig(command, "--help").code == 0


def test_a_headless_run_looks_for_no_qt(tmp_path: Path, rig: Rig) -> None:
    names = imported("run", sequence(), cwd=tmp_path)
    assert {"matplotlib", "h5py"} <= names
    assert not names & set(QT)
    assert h5py.is_hdf5(files("*.h5")[0])
