"""Sequences and benches with nothing to do, and numbers in another unit: refused by the plan, nothing is opened."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from desk import Desk, refused
from test_command_line import bench, sequence

NOTHING = {
    "no cycle": ({"cycles": 0}, {}, "out-of-range"),
    "no time with the voltage on": ({"on_s": 0.0}, {}, "out-of-range"),
    "no time with the voltage off": ({"off_s": 0.0}, {}, "out-of-range"),
    "less than one shot": ({"on_s": 0.0004}, {}, ""),
    "no exposure": ({}, {"integration_time_s": "0.0"}, "out-of-range"),
    "no shots per second": ({}, {"rate_hz": "0.0"}, "out-of-range"),
    "no light": ({"fluence": 0.0}, {}, "out-of-range"),
}
OTHER_UNITS = {
    "mV for V": ({"volt": 20000.0}, {}),
    "us for s": ({}, {"integration_time_s": "500.0"}),
    "ms for s": ({"on_s": 1000.0, "off_s": 1000.0}, {}),
    "kHz for Hz": ({}, {"rate_hz": "1e6"}),
    "us for s of a delay": ({}, {"pulse_delay_s": "700.0"}),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Desk(monkeypatch, capfd)


@pytest.mark.fault("C7")
@pytest.mark.parametrize("what", NOTHING)
def test_where_nothing_would_be_done_the_run_is_refused(desk: Desk, what: str) -> None:
    changes, of_bench, code = NOTHING[what]
    said = desk.rig("run", sequence(**changes), "--bench", bench(**of_bench), "--simulate")
    refused(said, *([code] if code else []))
    assert desk.benches == []


@pytest.mark.fault("C8")
@pytest.mark.parametrize("what", OTHER_UNITS)
def test_a_number_in_another_unit_is_refused(desk: Desk, what: str) -> None:
    changes, of_bench = OTHER_UNITS[what]
    refused(desk.rig("run", sequence(**changes), "--bench", bench(**of_bench), "--simulate"))
    assert desk.benches == []


@pytest.mark.fault("C8")
def test_every_number_of_a_plan_has_its_unit(desk: Desk) -> None:
    said = desk.rig("plan", sequence())
    assert said.code == 0
    for number, unit in ((20, "V"), (40, "uJ/cm2"), (1000, "us")):
        assert re.search(rf"\b{number} {unit}\b", " ".join(said.out.split())), (number, unit)
