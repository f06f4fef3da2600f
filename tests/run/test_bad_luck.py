"""Disks and instruments that fail: output off, pulses stopped, everything acquired kept, one screen that says so."""

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_truth import off_ms
from desk import MODES, ROLES, Bench, Desk, kept, on_from_ns, refused, told
from test_command_line import bench, sequence

from drivers.errors import RefusedError
from rig.runfile import RawHandle, RunFile, open_raw
from rig.session import Session

# --- where the data go ------------------------------------------------------------------------------------------------


@pytest.mark.fault("X8")
def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_is_opened(desk: Desk) -> None:
    Path("file").write_text("in the way", encoding="utf-8")
    said = desk.rig("run", sequence(), "--out", "file/runs")
    refused(said, "folder-not-writable")
    told(said.err, "file/runs")
    with pytest.raises(RefusedError, match="stored"):  # and from Python
        Session(out="file/runs").run("s.toml")
    assert desk.benches == []


@pytest.mark.fault("X7")
def test_a_disk_too_small_for_all_runs_together_is_refused_before_the_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [sequence(f"{name}.toml", cycles=10) for name in "abc"]
    room = 40_000_000  # each takes 13 MB, and the one being finished takes as much again
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(total=10**12, used=0, free=room))
    refused(desk.rig("run", *names, "--quiet"), "disk-space")
    assert desk.benches == []
    assert desk.rig("run", *names[:1], "--quiet").code == 0


class FullDisk:
    """A file whose disk is full after so many writes."""

    def __init__(self, path: Path, writes: int, now_ns: Callable[[], int]) -> None:
        self.handle = open_raw(path)
        self.left = writes
        self.now_ns = now_ns
        self.full_ns = 0

    def seek(self, offset: int, /) -> int:
        return self.handle.seek(offset)

    def write(self, data: memoryview, /) -> int | None:
        self.left -= 1
        if self.left < 0:
            self.full_ns = self.full_ns or self.now_ns()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.handle.write(data)

    def fileno(self) -> int:
        return self.handle.fileno()

    def close(self) -> None:
        self.handle.close()


ENDLESS = 10**9


@pytest.mark.fault("X7")
@pytest.mark.parametrize(
    ("writes", "mode"),
    [
        (0, "gated"),
        (4, "stepped"),
        (7, "gated"),
        (40, "gated"),
        (40, "stepped"),
        (110, "gated"),
        (-20, "stepped"),
        (-1, "gated"),
    ],
)
def test_a_disk_that_fills_up_ends_the_run_safely(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, mode: str, writes: int, record_property: Callable[[str, object], None]
) -> None:
    disks: list[FullDisk] = []

    def opener(path: Path) -> RawHandle:
        disks.append(FullDisk(path, writes if disks or writes >= 0 else ENDLESS, desk.bench.world.now_ns))
        return disks[-1]

    monkeypatch.setattr("rig.session.RunFile", SimpleNamespace(create=partial(RunFile.create, opener=opener)))
    if writes < 0:  # counted from the end of an undisturbed run
        assert desk.rig("run", sequence(mode=mode), "--quiet").code == 0
        Path("runs").rename("before")
        writes += ENDLESS - disks[0].left
    said = desk.rig("run", sequence(mode=mode))
    assert said.code == 4
    told(said.err, "FAULT", "the disk is full", "hardware: off, confirmed by", "make room", "rig recover")
    assert desk.bench.is_off()
    record_property("off_ms", off_ms(desk.bench.world, disks[-1].full_ns))
    run = kept()
    frames = run.count
    record_property("kept", f"{frames} of {run.ledger.get('received', frames)} acknowledged frames")
    assert (run.dark is not None) == (writes >= 7)  # as many as the first two events and a dark take
    assert (frames > 0) == (writes >= 40)
    shown = desk.rig("show", str(run.path))
    assert shown.code == 0
    assert f"frames in the file: {frames}" in shown.out
    assert "unfinished" in shown.out
    assert desk.rig("recover", str(run.path)).code == 0
    assert kept("interrupted").count == frames


# --- instruments ------------------------------------------------------------------------------------------------------


@pytest.mark.fault("I4")
@pytest.mark.parametrize(
    "pair", [("voltage_source", "laser_trigger"), ("laser_trigger", "spectrometer"), ("voltage_source", "spectrometer")]
)
def test_another_instrument_at_an_address(desk: Desk, pair: tuple[str, str]) -> None:
    def swap(bench: Bench) -> None:
        resources = bench.world.resources
        resources[pair[0]], resources[pair[1]] = resources[pair[1]], resources[pair[0]]

    desk.tamper = swap
    said = desk.rig("run", sequence(), "--json")
    assert said.code in (2, 4)  # an instrument of another language does not even answer
    told(said.err, "nothing was set or switched")
    assert said.json["error"]["kind"] in ("WrongIdentity", "LinkTimeout", "LinkDesync")
    if pair == ("voltage_source", "laser_trigger"):
        assert said.code == 2
        told(said.err, "KEITHLEY", "srs-dg645", "TCPIP::192.0.2.20::5025::SOCKET", "bench file")
    assert desk.bench.untouched()
    assert not list(Path("runs").glob("*.h5"))


@pytest.mark.fault("R5")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"GPIB0::24::INSTR": "TCPIP::127.0.0.1::3::SOCKET"},
            ("laser trigger", "TCPIP::127.0.0.1::1::SOCKET", "that the instrument is on"),
        ),
        ({'"@py"': '"/nowhere/libvisa.so"'}, ("/nowhere/libvisa.so", "visa_library")),
    ],
)
def test_a_real_bench_with_nobody_there(desk: Desk, changes: dict[str, str], words: tuple[str, ...]) -> None:
    text = Path(bench()).read_text("utf-8").replace("192.0.2.20::5025", "127.0.0.1::1").replace("192.0.2.21", "127.0.0.1")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    Path("b.toml").write_text(text, encoding="utf-8")
    said = desk.rig("run", sequence(), "--bench", "b.toml")
    assert said.code == 4
    told(said.err, "FAULT", *words)
    assert "SIMULATED" not in said.out
    assert desk.benches == []  # never a simulated instrument in place of a real one


@pytest.mark.fault("W8")
@pytest.mark.parametrize("role", ROLES)
def test_an_instrument_that_never_answers(desk: Desk, role: str) -> None:
    desk.tamper = lambda bench: bench.silence(role)
    said = desk.rig("run", sequence())
    assert said.code == 4
    told(said.err, role.replace("_", " "), "nothing was set or switched", "next:")
    assert desk.bench.untouched()


@pytest.mark.fault("W8")
@pytest.mark.parametrize(
    ("mode", "role"),
    [("gated", "voltage_source"), ("stepped", "voltage_source"), ("stepped", "laser_trigger"), ("gated", "spectrometer")],
)
def test_an_instrument_that_falls_silent_is_shouted_about(
    desk: Desk, mode: str, role: str, record_property: Callable[[str, object], None]
) -> None:
    when_ns = on_from_ns(desk, sequence(mode=mode)) + 20_000_000
    desk.tamper = lambda bench: bench.silence(role, when_ns)
    said = desk.rig("run", sequence(mode=mode))
    assert said.code == 5
    told(said.err, "THE STATE OF THE HARDWARE IS NOT CONFIRMED", role.replace("_", " "), "by hand")
    assert said.err.rindex("NOT CONFIRMED") > said.err.rindex("FAULT")  # the last thing on the screen
    assert desk.bench.is_off()  # it does what it is told, it only does not say so
    record_property("off_ms", off_ms(desk.bench.world, when_ns))
    assert kept("fault").count > 0


@pytest.mark.fault("I1", "P1")
@pytest.mark.parametrize("mode", MODES)
def test_compliance_during_a_burst(desk: Desk, mode: str, record_property: Callable[[str, object], None]) -> None:
    words = sequence(mode=mode, on_s=0.3, off_s=0.3)
    when_ns = on_from_ns(desk, words) + (120_000_000 if mode == "gated" else 0)
    desk.tamper = lambda bench: bench.world.film.add_leak(5000.0, when_ns)
    said = desk.rig("run", words)
    assert said.code == 4
    told(said.err, "current limit", "mA", "voltage source", "hardware: off, confirmed by", "resistance", "rig show")
    assert desk.bench.is_off()
    assert len(desk.bench.fired_ns) > 300
    record_property("off_ms", off_ms(desk.bench.world, when_ns))
    run = kept("fault")
    record_property("kept", f"{run.count} of {run.ledger['received']} frames")
    assert run.count > 300
    rows = run.frames()
    true_v = desk.bench.world.terminal.record.voltage_v
    assert min(v for v in true_v if v > 0) < 19.9  # the source did limit
    used = (rows["flags"] == 0) & (rows["state"] == 1)
    assert np.all(rows["measured_voltage_v"][used] > 19.9)
    assert run.ledger["flagged"]["compliance"] > 0
    shown = desk.rig("show", str(run.path))
    assert shown.code == 0
    assert "fault: The source reached its current limit" in shown.out


@pytest.mark.fault("X4")
def test_a_defect_of_the_program_is_told_like_any_other_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise KeyError("no such thing")

    monkeypatch.setattr("rig.acquisition.blank_rows", broken)
    said = desk.rig("run", sequence())
    assert said.code == 4
    told(said.err, "FAULT", "KeyError", "(broken)", "defect", "hardware: off, confirmed by")
    assert desk.bench.is_off()
    kept("fault")
