"""A device that broke down on the bench is not run again before a person has said why it may be."""

import json
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, told
from other_benches import other_bench
from test_command_line import sequence

from drivers.errors import ComplianceReached, RefusedError
from rig.control import Start
from rig.device_lock import Breakdown, Device
from rig.engine import Engine
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.on_off import OnOff
from rig.run_state import Progress
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import Session
from rig.simulation import put_in

SHORT: dict[str, Any] = {"cycles": 2, "on_time_s": 0.5, "off_time_s": 0.5}
MET = Breakdown("2026-01-02T03:04:05+00:00", "/data/run.h5", 20.0, 0.19, 1e-3)


def session(folder: Path, device: str | None = "NC-8") -> Session:
    return Session(device=device, state=folder / "films", out=folder / "runs")


def broken(folder: Path, mode: str = "stepped", device: str | None = "NC-8") -> Any:
    """Run on a device that breaks down when a third of the shots are done."""
    bench, done = session(folder, device), list[bool]()

    def breaks(progress: Progress) -> None:
        if not done and progress.shots_done >= progress.shots_planned / 3 > 0:
            done.append(True)
            put_in(bench.world, "breakdown", 0)

    return bench.run(Sequence.of(OnOff(**SHORT), mode=mode), observe=breaks)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_breakdown_locks_the_device_and_says_when_where_and_at_what(tmp_path: Path, mode: str) -> None:
    result = broken(tmp_path, mode)
    assert isinstance(result.outcome.fault, ComplianceReached)
    assert result.outcome.safe.safe
    assert "is locked" in str(result.outcome.fault)
    events = [text for _, text in open_run(result.path).events]
    assert any("'NC-8' is locked" in text for text in events)
    with pytest.raises(RefusedError) as refused:
        session(tmp_path).run(OnOff(**SHORT))
    [reason] = refused.value.reasons
    assert reason.code == "device-locked"
    limited = open_run(result.path).readings
    last = limited[limited["compliance"] != 0][-1]
    for words in (
        str(result.path),
        f"{last['current_a'] * 1e3:.3f} mA at {last['voltage_v']:.2f} V",
        "20 V were set",
    ):
        assert words in reason.message
    assert "rig unlock" in refused.value.next_step


def test_the_refusal_comes_before_anything_is_opened_or_written(tmp_path: Path) -> None:
    broken(tmp_path)
    files = sorted(path.name for path in (tmp_path / "runs").iterdir())
    again = session(tmp_path)
    with pytest.raises(RefusedError):
        again.run(FluenceSweep())  # whatever is measured
    assert again.world is None
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == files


@pytest.mark.parametrize("device", [None, "NC-9"])
def test_other_devices_run_on(tmp_path: Path, device: str | None) -> None:
    broken(tmp_path)
    assert session(tmp_path, device).run(OnOff(**{**SHORT, "cycles": 1})).outcome.fault is None


def test_a_nominal_film_is_nobodys_and_is_never_locked(tmp_path: Path) -> None:
    result = broken(tmp_path, device=None)
    assert isinstance(result.outcome.fault, ComplianceReached)
    assert not (tmp_path / "films").exists()
    assert "locked" not in str(result.outcome.fault)


def test_the_engine_refuses_as_well(tmp_path: Path) -> None:
    broken(tmp_path)
    engine = Engine(session(tmp_path))
    text = Path(tmp_path / "s.toml")
    text.write_text('title = "t"\nsample = "s"\nmeasurement = "on_off"\n[parameters]\ncycles = 1\n', encoding="utf-8")
    answer = engine.submit(Start(id=1, name="s.toml", sequence_toml=text.read_text("utf-8")), "test")
    assert not answer.ok
    assert answer.error is not None
    assert [reason.code for reason in answer.error.reasons] == ["device-locked"]


def test_a_queue_of_runs_stops_and_the_next_one_is_refused_at_once(desk: Desk) -> None:
    sequence("a.toml", on_s=0.4, off_s=0.4, cycles=10)
    words = ("--device", "NC-8", "--state", "films", "--quiet", "--json")
    said = desk.rig("run", "a.toml", "a.toml", *words, "--fault", "breakdown@6s")
    assert said.code == 4
    told(said.err, "current limit", "rig unlock", "--state films")
    assert len(list(Path("runs").glob("*.h5"))) == 1
    benches = len(desk.benches)
    said = desk.rig("run", "a.toml", *words)
    assert said.code == 2
    told(said.err, "Refused", "[device-locked]", "nothing was touched")
    assert len(desk.benches) == benches


def test_locks_are_listed_and_taken_away_with_a_reason(desk: Desk) -> None:
    broken(Path.cwd())
    said = desk.rig("unlock", "--state", "films", "--json")
    [listed] = said.json["locked"]
    assert (listed["device"], listed["simulated"]) == ("NC-8", True)
    assert listed["breakdown"]["set_v"] == 20.0
    assert "NC-8" in said.err
    for words in (("NC-8", "--simulated"), ("NC-8", "--why", "looked"), ("NC-7", "--simulated", "--why", "looked")):
        said = desk.rig("unlock", *words, "--state", "films")
        assert said.code == 2
        told(said.err, "Refused")
    said = desk.rig("unlock", "NC-8", "--simulated", "--why", "measured 3 Mohm", "--state", "films")
    assert said.code == 0
    [kept] = Path("films/locked_devices").glob("*.json")
    assert json.loads(kept.read_text("utf-8"))["history"][-1]["why"] == "measured 3 Mohm"
    assert desk.rig("unlock", "--state", "films", "--json").json == {"locked": []}
    session(Path.cwd()).plan(OnOff(**SHORT))


@pytest.mark.parametrize("simulated", [False, True])
def test_behind_resources_the_sample_is_the_device(tmp_path: Path, simulated: bool) -> None:
    """Refused before a resource is opened: there is nothing at these addresses."""

    def served(tables: dict[str, Any]) -> None:
        tables["simulated"] = simulated
        for number, table in enumerate(one for one in tables.values() if isinstance(one, dict) and "resource" in one):
            table["resource"] = f"TCPIP::127.0.0.1::{1 + number}::SOCKET"

    on_bench = Session(other_bench(served), out=tmp_path / "runs")
    device = Device("B12", simulated)
    on_bench.locks.lock(device, MET)
    with pytest.raises(RefusedError) as refused:
        on_bench.run(Sequence.of(OnOff(**SHORT), sample="B12" if simulated else " b12"))
    assert [reason.code for reason in refused.value.reasons] == ["device-locked"]
    assert not (tmp_path / "runs").exists()
    on_bench.plan(Sequence.of(OnOff(**SHORT), sample="B13"))
    Session(simulate=True).plan(Sequence.of(OnOff(**SHORT), sample="B12"))
