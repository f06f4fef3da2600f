"""`rig calibrate fluence` at the terminal: what is stored, what is said, what is refused."""

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
