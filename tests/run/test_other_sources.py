"""Whole runs with the other voltage sources on the simulated bench, judged by the bench's own record."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench_truth import shifted, truth_of, wrong_frames

from drivers.errors import CompileError
from rig.bench import Bench, default_bench, parse_bench
from rig.config_file import parse_document, render_toml
from rig.measurements.on_off import OnOff
from rig.reduction import usable
from rig.runfile import open_run
from rig.runner import FinishReason
from rig.sequence import Sequence
from rig.session import RunResult, Session

SOURCES = {
    "keithley-2450": ("TCPIP::192.0.2.22::5025::SOCKET", "voltage_source.digital_io_3"),
    "keithley-2450 on usb": ("USB0::0x05E6::0x2450::04412345::INSTR", "voltage_source.digital_io_3"),
    "scpi-supply": ("TCPIP::192.0.2.23::5025::SOCKET", None),
    "scpi-supply with a cable left over": ("TCPIP::192.0.2.23::5025::SOCKET", "voltage_source.trigger_link_1"),
}


def bench_with(source: str) -> Bench:
    """The default bench with another source and, where it can be stepped, the cable at its connector."""
    tables: dict[str, Any] = json.loads(default_bench().model_dump_json(by_alias=True, exclude_none=True))
    resource, connector = SOURCES[source]
    tables["voltage_source"].update(model=source.split(" ")[0], resource=resource)
    [cable] = [cable for cable in tables["cable"] if cable["to"].startswith("voltage_source.")]
    if connector is None:
        tables["cable"].remove(cable)
    else:
        cable["to"] = connector
    return parse_bench(parse_document(render_toml(tables), Path("bench.toml")))


def run(folder: Path, source: str, mode: str) -> tuple[Session, RunResult]:
    session = Session(bench_with(source), simulate=True, seed=1, out=folder)
    measurement = OnOff(on_time_s=0.2, off_time_s=0.2, cycles=2)
    return session, session.run(Sequence.of(measurement, title="test", sample="film", mode=mode))


@pytest.mark.parametrize("source", list(SOURCES))
@pytest.mark.parametrize("mode", ["auto", "gated"])
def test_a_run_with_another_source_is_done_safe_and_right(tmp_path: Path, source: str, mode: str) -> None:
    session, result = run(tmp_path, source, mode)
    stepped = mode == "auto" and source.startswith("keithley")
    assert result.plan.mode == ("stepped" if stepped else "gated")
    assert result.outcome.fault is None
    assert result.outcome.reason is FinishReason.DONE
    assert result.outcome.safe.safe
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert max(session.world.terminal.record.voltage_v) == 20.0
    lowest_v = -0.1 if source.startswith("keithley") else 0.0  # the look at the contact
    assert min(session.world.terminal.record.voltage_v) == lowest_v
    frames = result.as_json()["frames"]
    assert (frames["planned"], frames["assigned"], frames["lost"]) == (800, 800, 0)
    file = open_run(result.path)
    truth, rows = truth_of(session, file), file.frames()
    assert wrong_frames(rows, truth) == 0
    assert usable(rows["flags"]).sum() > 300
    assert wrong_frames(shifted(rows, 1), truth) >= 2  # the judge sees one shot of error


def test_a_supply_is_gated_and_the_run_says_why(tmp_path: Path) -> None:
    session = Session(bench_with("scpi-supply"), simulate=True, out=tmp_path)
    measurement = OnOff(on_time_s=0.2, off_time_s=0.2, cycles=2)
    assert "scpi-supply has no list that trigger edges could step" in session.plan(measurement).why
    with pytest.raises(CompileError) as refused:
        session.plan(Sequence.of(measurement, title="test", sample="film", mode="stepped"))
    assert [reason.code for reason in refused.value.reasons] == ["source-cannot-step"]


def test_a_supply_is_not_asked_for_a_negative_voltage(tmp_path: Path) -> None:
    session = Session(bench_with("scpi-supply"), simulate=True, out=tmp_path)
    with pytest.raises(CompileError) as refused:
        session.plan(OnOff(voltage_on_v=-5.0, on_time_s=0.2, off_time_s=0.2, cycles=2))
    assert [reason.code for reason in refused.value.reasons] == ["voltage-negative"]
    assert session.world is None
