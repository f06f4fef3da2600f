"""`rig calibrate fluence` at the terminal: what is stored, what is said, what is refused."""

import re
from pathlib import Path

import pytest
from desk import Desk
from test_command_line import bench, sequence


def test_a_calibration_is_stored_drawn_and_used(desk: Desk) -> None:
    bench("lab.toml")
    said = desk.rig("calibrate", "fluence", "--bench", "lab.toml", "--simulate", "--pulses", "6", "--points", "14")
    assert said.code == 0
    assert Path("fluence_calibration.png").stat().st_size > 10_000
    for words in ("SIMULATED", "chi2", "extinction", 'calibration = "fluence_calibration.toml"', "uJ/cm2 at the film"):
        assert words in said.out
    text = Path("lab.toml").read_text("utf-8")
    Path("lab.toml").write_text(
        text.replace("zero_deg = 0.0", 'calibration = "fluence_calibration.toml" #').replace("extinction = 0.001\n", ""),
        "utf-8",
    )
    said = desk.rig("check", sequence(), "--bench", "lab.toml", "--simulate")
    assert said.code == 0
    assert "age less than a day" in " ".join(said.out.replace("│", " ").split())


def test_a_calibration_as_json(desk: Desk) -> None:
    said = desk.rig("calibrate", "fluence", "--pulses", "6", "--points", "14", "--json", "--out", "c.toml")
    assert said.code == 0
    assert len(said.out.splitlines()) == 1
    told = said.json
    assert told["simulated"] is True
    assert told["fluence_open_uj_cm2"]["systematic"] > told["fluence_open_uj_cm2"]["statistical"] > 0
    assert 10 <= len(told["points"]) <= 14
    assert set(told["points"][0]) == {"angle_deg", "energy_uj", "standard_error_uj", "residual_uj", "pulses"}


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--points", "7"), "scan-impossible"), (("--pulses", "4"), "scan-impossible")],
    ids=["points", "pulses"],
)
def test_a_calibration_that_could_not_be_a_fit_is_refused(desk: Desk, words: tuple[str, ...], code: str) -> None:
    said = desk.rig("calibrate", "fluence", *words)
    assert said.code == 2
    assert f"[{code}]" in said.err
    assert not list(Path().glob("*.toml"))


def test_a_bench_without_a_meter_cannot_be_calibrated(desk: Desk) -> None:
    text = Path(bench("lab.toml")).read_text("utf-8")
    begin, end = text.index("[energy_meter]"), text.index("[[cable]]")
    Path("lab.toml").write_text(text[:begin] + text[end:], "utf-8")
    said = desk.rig("calibrate", "fluence", "--bench", "lab.toml", "--simulate")
    assert said.code == 2
    assert "[no-energy-meter]" in said.err
    assert "nothing was touched" in said.err


def test_a_calibration_needs_a_folder_that_exists(desk: Desk) -> None:
    said = desk.rig("calibrate", "fluence", "--out", "nowhere/c.toml")
    assert said.code == 2
    assert "nowhere" in said.err


def test_the_calibration_before_is_kept_under_its_date(desk: Desk) -> None:
    words = ("calibrate", "fluence", "--pulses", "6", "--points", "14", "--out", "c.toml")
    assert desk.rig(*words).code == 0
    first = re.sub(r'calibrated_at = ".{19}', 'calibrated_at = "1999-12-31T23:59:58', Path("c.toml").read_text("utf-8"))
    Path("c.toml").write_text(first, "utf-8")
    said = desk.rig(*words)
    assert said.code == 0
    assert Path("c_19991231T235958.toml").read_text("utf-8") == first
    assert "c_19991231T235958.toml" in said.out
    assert "of 14 angles, where the beam is nearly dark" in said.out


@pytest.mark.fault("R5")
def test_a_rehearsal_never_replaces_what_was_measured(desk: Desk) -> None:
    words = ("calibrate", "fluence", "--pulses", "6", "--points", "14", "--out", "c.toml")
    assert desk.rig(*words).code == 0
    measured = Path("c.toml").read_text("utf-8").replace("simulated = true", "simulated = false")
    Path("c.toml").write_text(measured, "utf-8")
    said = desk.rig(*words)
    assert said.code == 2
    assert "[measured-before]" in said.err
    assert Path("c.toml").read_text("utf-8") == measured


def test_another_file_is_never_overwritten(desk: Desk) -> None:
    Path("c.toml").write_text("notes = 1\n", "utf-8")
    said = desk.rig("calibrate", "fluence", "--out", "c.toml")
    assert said.code == 2
    assert "[not-a-calibration]" in said.err
    assert Path("c.toml").read_text("utf-8") == "notes = 1\n"
