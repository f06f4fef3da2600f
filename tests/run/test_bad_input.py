"""Whatever goes wrong: output off, pulses stopped, everything acquired kept, and one screen that says so."""

import errno
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from test_command_line import Said, bench, sequence

from drivers.errors import RefusedError
from rig import cli
from rig.runfile import RawHandle, RunFile, open_raw, open_run
from rig.session import Session
from sim_instruments import world as world_module
from sim_instruments.persona import Edges
from sim_instruments.visa_library import SimulatedVisaLibrary
from sim_instruments.world import World

SCREEN = 25
A_DAY_NS = 86_400 * 10**9
MODES = ("gated", "stepped")
ROLES = ("voltage_source", "laser_trigger", "spectrometer")
Change = Callable[["Bench"], None]


class Bench:
    """A simulated bench under observation: when the laser was fired, and what is done to it at which conversation."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fired_ns: list[int] = []
        self.conversations = 0
        triggered = world.light_path.laser_triggered

        def witness(edges: Edges) -> None:
            self.fired_ns += edges.rise_ns.tolist()
            triggered(edges)

        world.light_path.laser_triggered = witness  # type: ignore[method-assign]

    def silence(self, role: str, after_ns: int = 0) -> None:
        """From a time on the instrument does what it is told and answers nothing."""
        persona = self.world.personas[role]
        answer = persona.reply_ready_ns
        persona.reply_ready_ns = lambda t_ns: t_ns + A_DAY_NS if t_ns >= after_ns else answer(t_ns)  # type: ignore[method-assign]

    def is_off(self) -> bool:
        """No voltage on the film and no pulse, now and for two more seconds."""
        pulses = len(self.fired_ns)
        self.world.sleep(2.0)
        return self.world.terminal.record.voltage_v[-1] == 0.0 and len(self.fired_ns) == pulses

    def untouched(self) -> bool:
        return not self.fired_ns and set(self.world.terminal.record.voltage_v) == {0.0}


class Desk:
    """A user at the command line: runs commands in a folder of their own, with a bench that somebody tampers with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.benches: list[Bench] = []
        self.tamper: Change = lambda bench: None
        self.at_conversation: Mapping[int, Callable[[], None]] = {}
        self._capfd = capfd
        write = SimulatedVisaLibrary.write

        def make(*arguments: Any) -> World:
            self.benches.append(Bench(World(*arguments)))
            self.tamper(self.benches[-1])
            return self.benches[-1].world

        def counted(library: SimulatedVisaLibrary, session: Any, data: bytes) -> Any:
            bench = self.benches[-1]
            bench.conversations += 1
            self.at_conversation.get(bench.conversations, lambda: None)()
            return write(library, session, data)

        monkeypatch.setattr(world_module, "World", make)
        monkeypatch.setattr(SimulatedVisaLibrary, "write", counted)

    @property
    def bench(self) -> Bench:
        return self.benches[-1]

    def rig(self, *words: str) -> Said:
        self._capfd.readouterr()
        code = cli.main(list(words))
        out, err = self._capfd.readouterr()
        return Said(code, out, err)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return Desk(monkeypatch, capfd)


def on_from_ns(desk: Desk, name: str) -> int:
    """When an undisturbed run of a sequence first puts a voltage on the film."""
    Session(out="undisturbed").run(name)
    record = desk.bench.world.terminal.record
    return next(t for t, v in zip(record.t_ns, record.voltage_v, strict=True) if v != 0)


def rows_on_screen(text: str) -> int:
    return sum(max(1, math.ceil(len(line.rstrip()) / 80)) for line in text.splitlines())


def told(message: str, *words: str) -> None:
    """One screen that says what, where, the state of the hardware and what to do, with these words in it."""
    assert rows_on_screen(message) <= SCREEN, message
    assert "Traceback" not in message
    assert re.search(r"^  hardware: +\S", message, re.MULTILINE), message
    for word in words:
        assert word in " ".join(message.split()), message


def refused(said: Said, *codes: str) -> None:
    """Refused with these codes among the reasons, before anything was opened or written."""
    assert said.code == 2
    told(said.err, "Refused", "nothing was touched", *(f"[{code}]" for code in codes))
    assert re.search(r"^  next: +\S", said.err, re.MULTILINE)
    assert not list(Path().glob("runs/*"))


def kept(state: str | None = None) -> Any:
    """The one run file: readable with our reader, with plain h5py, and with `rig show`; return the Run."""
    [path] = Path("runs").glob("*.h5")
    assert not list(Path("runs").glob("*.lock"))
    assert not list(Path("runs").glob("*.part"))
    run = open_run(path)
    if state is not None:
        assert run.state == state
    ledger = run.ledger
    if ledger:
        assert ledger["assigned"] + ledger["unassigned"] + ledger["lost"] == ledger["planned"]
        assert ledger["received"] <= run.count if run.state in ("running", "interrupted") else ledger["received"] == run.count
    with h5py.File(path, "r") as file:
        assert file["entry/spectra/counts"].shape[0] >= run.count
        assert int(file["entry/frames/count"][()]) == run.count
    shots = run.column("shot")
    assert len(set(shots[shots >= 0].tolist())) == int((shots >= 0).sum())
    return run


# --- files ------------------------------------------------------------------------------------------------------------

BAD_FILES = {
    "missing": (None, "file-missing"),
    "empty": ("", "missing-key"),
    "not TOML": ("title = = 3", "toml-malformed"),
    "twice": ('title = "a"\ntitle = "b"', "duplicate-key"),
    "a run file by mistake": ("\x89HDF\r\n\x1a\n\0\0", "toml-malformed"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("place", ["sequence", "bench"])
def test_missing_and_malformed_files(desk: Desk, kind: str, place: str) -> None:
    text, code = BAD_FILES[kind]
    if text is not None:
        Path("bad.toml").write_text(text, encoding="utf-8")
    words = ("bad.toml",) if place == "sequence" else (sequence(), "--bench", "bad.toml")
    for command in ("run", "check", "plan"):
        said = desk.rig(command, *words)
        refused(said, code)
        assert "bad.toml" in said.err
    assert desk.benches == []


def test_a_file_that_is_not_text(desk: Desk) -> None:
    Path("bad.toml").write_bytes(b"\xff\xfe" * 40)
    refused(desk.rig("run", "bad.toml"), "not-utf8")


def test_mistakes_in_sequence_and_bench_come_together(desk: Desk) -> None:
    Path("s.toml").write_text(Path(sequence(cycles=0)).read_text("utf-8") + "volts = 3\n", encoding="utf-8")
    said = desk.rig("run", "s.toml", "--bench", bench(rate_hz='"fast"'))
    refused(said, "out-of-range", "unknown-key", "wrong-type")
    for place in ("s.toml:10 parameters.cycles", "s.toml:13 parameters.volts", "b.toml:22 laser_trigger.rate_hz"):
        assert place in said.err


def test_hundreds_of_mistakes_still_fit_one_screen_and_all_are_in_the_json(desk: Desk) -> None:
    with Path(sequence()).open("a", encoding="utf-8") as file:
        file.writelines(f"key_{number} = 1\n" for number in range(300))
    said = desk.rig("run", "s.toml", "--json")
    refused(said, "unknown-key")
    assert re.search(r"and 2\d\d more", said.err)
    assert len(said.json["error"]["reasons"]) == 300


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"volt": 20.5}, "voltage-above-limit", ("20.5 V", "-20 to 20 V", "s.toml:7 parameters.voltage_on_v")),
        ({"volt": -21.0}, "voltage-above-limit", ("-21 V",)),
        ({"cycles": 0}, "out-of-range", ("lowest value accepted, 1",)),
        ({"cycles": -1}, "out-of-range", ("lowest value accepted, 1",)),
        ({"cycles": 10**12}, "out-of-range", ("highest value accepted, 10000",)),
        ({"cycles": "1.5"}, "wrong-type", ("whole number",)),
        ({"cycles": 10000, "on_s": 50.0, "off_s": 50.0}, "run-too-long", ("1e+09 shots", "TB")),
        ({"on_s": 0.0}, "out-of-range", ("on_time_s",)),
        ({"on_s": "nan"}, "not-finite", ("on_time_s",)),
        ({"on_s": 0.0505}, "part-of-a-shot", ("50.5 shots",)),
        ({"on_s": 61.0, "off_s": 61.0}, "on-time-above-limit", ("61 s", "60 s")),
        ({"on_s": 0.2}, "duty-above-limit", ("80 %", "60 %")),
        ({"fluence": 41.0}, "fluence-not-available", ("41 uJ/cm2", "40 uJ/cm2", "default_bench.toml:10")),
        ({"volt": "20000.0"}, "wrong-magnitude", ("mV",)),
    ],
)
def test_a_sequence_that_the_bench_does_not_allow(
    desk: Desk, changes: dict[str, Any], code: str, words: tuple[str, ...]
) -> None:
    begin = time.perf_counter()
    said = desk.rig("run", sequence(**changes))
    refused(said, code)
    told(said.err, *words)
    assert desk.benches == []
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    ("changes", "mode", "code", "words"),
    [
        ({"integration_time_s": "1.1e-3"}, "auto", "exposure-too-long", ("1000 Hz",)),
        ({"rate_hz": "2100.0"}, "auto", "exposure-too-long", ("2100 Hz",)),
        ({"pulse_delay_s": "900e-6"}, "auto", "window-beyond-period", ("pulse_delay_s",)),
        ({"integration_time_s": "700e-6"}, "stepped", "window-beyond-period", ("1000 us",)),
        ({"integration_time_s": "990e-6"}, "gated", "spectrometer-too-slow", ("every second trigger",)),
        ({"integration_time_s": "3e-6"}, "auto", "pulse-outside-window", ("2 us to spare",)),
        ({"model": '"srs-dg535"'}, "auto", "unknown-model", ("srs-dg645",)),
    ],
)
def test_a_bench_whose_times_do_not_fit(
    desk: Desk, changes: dict[str, str], mode: str, code: str, words: tuple[str, ...]
) -> None:
    if "model" in changes:
        Path("b.toml").write_text(Path(bench()).read_text("utf-8").replace('"srs-dg645"', changes["model"]), encoding="utf-8")
    else:
        bench(**changes)
    said = desk.rig("run", sequence(mode=mode), "--bench", "b.toml", "--simulate")
    refused(said, code)
    told(said.err, *words)
    assert desk.benches == []


def test_stepped_mode_without_its_cable(desk: Desk) -> None:
    text = Path(bench()).read_text("utf-8")
    begin, end = text.index("[[cable]]                "), text.index("[environment]")
    Path("b.toml").write_text(text[:begin] + text[end:], encoding="utf-8")
    said = desk.rig("run", sequence(mode="stepped"), "--bench", "b.toml", "--simulate")
    refused(said, "no-cable-to-source")
    told(said.err, "laser_trigger.T0 to voltage_source.trigger_link_1", "gated")
    said = desk.rig("check", sequence(mode="auto"), "--bench", "b.toml")
    assert said.code == 0
    assert "gated: stepped blocks are not possible: stepped blocks need a cable" in " ".join(said.out.replace("│", " ").split())


@pytest.mark.parametrize("command", ["show", "export", "recover"])
@pytest.mark.parametrize("kind", ["missing", "not HDF5", "folder"])
def test_run_files_that_are_none(desk: Desk, command: str, kind: str) -> None:
    path = Path("x.h5")
    if kind == "not HDF5":
        path.write_text("not a run", encoding="utf-8")
    if kind == "folder":
        path.mkdir()
    said = desk.rig(command, str(path), *(("--csv",) if command == "export" else ()))
    assert said.code == 2
    told(said.err, "x.h5", "nothing was touched")


def test_a_run_file_of_which_half_was_copied(desk: Desk) -> None:
    made = desk.rig("run", sequence(), "--quiet", "--json").json["file"]
    Path("x.h5").write_bytes(Path(made).read_bytes()[:200_000])
    for command in ("show", "recover"):
        said = desk.rig(command, "x.h5")
        assert said.code == 2
        told(said.err, "x.h5", "damaged", "nothing was touched")


# --- where the data go ------------------------------------------------------------------------------------------------


def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_is_opened(desk: Desk) -> None:
    Path("file").write_text("in the way", encoding="utf-8")
    said = desk.rig("run", sequence(), "--out", "file/runs")
    refused(said, "folder-not-writable")
    told(said.err, "file/runs")
    with pytest.raises(RefusedError, match="stored"):  # and from Python
        Session(out="file/runs").run("s.toml")
    assert desk.benches == []


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

    def __init__(self, path: Path, writes: int) -> None:
        self.handle = open_raw(path)
        self.left = writes

    def seek(self, offset: int, /) -> int:
        return self.handle.seek(offset)

    def write(self, data: memoryview, /) -> int | None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.handle.write(data)

    def fileno(self) -> int:
        return self.handle.fileno()

    def close(self) -> None:
        self.handle.close()


ENDLESS = 10**9


@pytest.mark.parametrize(
    ("writes", "mode"),
    [
        (0, "gated"),
        (4, "stepped"),
        (5, "gated"),
        (40, "gated"),
        (40, "stepped"),
        (110, "gated"),
        (-20, "stepped"),
        (-1, "gated"),
    ],
)
def test_a_disk_that_fills_up_ends_the_run_safely(desk: Desk, monkeypatch: pytest.MonkeyPatch, mode: str, writes: int) -> None:
    disks: list[FullDisk] = []

    def opener(path: Path) -> RawHandle:
        disks.append(FullDisk(path, writes if disks or writes >= 0 else ENDLESS))
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
    run = kept()
    frames = run.count
    assert (run.dark is not None) == (writes >= 5)  # as many as a dark takes
    assert (frames > 0) == (writes >= 40)
    shown = desk.rig("show", str(run.path))
    assert shown.code == 0
    assert f"frames in the file: {frames}" in shown.out
    assert "unfinished" in shown.out
    assert desk.rig("recover", str(run.path)).code == 0
    assert kept("interrupted").count == frames


# --- instruments ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("role", ROLES)
def test_an_instrument_that_never_answers(desk: Desk, role: str) -> None:
    desk.tamper = lambda bench: bench.silence(role)
    said = desk.rig("run", sequence())
    assert said.code == 4
    told(said.err, role.replace("_", " "), "nothing was set or switched", "next:")
    assert desk.bench.untouched()


@pytest.mark.parametrize(
    ("mode", "role"),
    [("gated", "voltage_source"), ("stepped", "voltage_source"), ("stepped", "laser_trigger"), ("gated", "spectrometer")],
)
def test_an_instrument_that_falls_silent_is_shouted_about(desk: Desk, mode: str, role: str) -> None:
    when_ns = on_from_ns(desk, sequence(mode=mode)) + 20_000_000
    desk.tamper = lambda bench: bench.silence(role, when_ns)
    said = desk.rig("run", sequence(mode=mode))
    assert said.code == 5
    told(said.err, "THE STATE OF THE HARDWARE IS NOT CONFIRMED", role.replace("_", " "), "by hand")
    assert said.err.rindex("NOT CONFIRMED") > said.err.rindex("FAULT")  # the last thing on the screen
    assert desk.bench.is_off()  # it does what it is told, it only does not say so
    assert kept("fault").count > 0


@pytest.mark.parametrize("mode", MODES)
def test_compliance_during_a_burst(desk: Desk, mode: str) -> None:
    words = sequence(mode=mode, on_s=0.3, off_s=0.3)
    when_ns = on_from_ns(desk, words) + (120_000_000 if mode == "gated" else 0)
    desk.tamper = lambda bench: bench.world.film.add_leak(5000.0, when_ns)
    said = desk.rig("run", words)
    assert said.code == 4
    told(said.err, "current limit", "mA", "voltage source", "hardware: off, confirmed by", "resistance", "rig show")
    assert desk.bench.is_off()
    assert len(desk.bench.fired_ns) > 300
    run = kept("fault")
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


def test_a_defect_of_the_program_is_told_like_any_other_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise KeyError("no such thing")

    monkeypatch.setattr("rig.runner.blank_rows", broken)
    said = desk.rig("run", sequence())
    assert said.code == 4
    told(said.err, "FAULT", "KeyError", "runner.py", "defect", "hardware: off, confirmed by")
    assert desk.bench.is_off()
    kept("fault")


# --- stops ------------------------------------------------------------------------------------------------------------


def press(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


LAST_CONVERSATION = 510  # of such a run, a few before its end
_random = random.Random(20)
MOMENTS = sorted({1, 2, 3, 40, *_random.sample(range(41, 440), 4), *_random.sample(range(440, LAST_CONVERSATION), 9)})


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment(desk: Desk, moment: int) -> None:
    mode = MODES[moment % 2]
    desk.at_conversation = {moment + delay: press(signal.SIGINT) for delay in (0, *range(2, 2 + moment % 9))}  # 1 to 10 times
    said = desk.rig("run", sequence(mode=mode, cycles=2))
    assert said.code == 130
    told(said.err, "Stopped (Ctrl-C) after", "off, confirmed by laser trigger, voltage source, spectrometer", "rig show")
    assert desk.bench.is_off()
    run = kept("stopped")
    rows = run.frames()
    assert set(rows["state"][rows["flags"] == 0].tolist()) <= {0, 1}
    if moment % 3 == 0:
        assert desk.rig("show", str(run.path)).code == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("name", "why"), [("SIGTERM", "terminated"), ("SIGHUP", "terminal closed")])
def test_terminate_and_hang_up(desk: Desk, name: str, why: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"{name} is not of this system")
    before = signal.getsignal(getattr(signal, name))
    desk.at_conversation = {500: press(getattr(signal, name))}
    said = desk.rig("run", sequence("a.toml", cycles=4), sequence("b.toml"))
    assert said.code == 3
    told(said.err, f"Stopped ({why}) after", "off, confirmed by")
    assert desk.bench.is_off()
    assert kept("stopped").count > 0  # and the second sequence was not begun
    assert "not run" in said.out
    assert signal.getsignal(getattr(signal, name)) is before


def test_a_stop_is_not_allowed_to_hide_an_unknown_state(desk: Desk) -> None:
    def stop_and_cut() -> None:
        press(signal.SIGINT)()
        desk.bench.silence("voltage_source")

    desk.at_conversation = {470: stop_and_cut}
    said = desk.rig("run", sequence())
    assert said.code == 5
    told(said.err, "NOT CONFIRMED", "voltage source")


# --- as a process -----------------------------------------------------------------------------------------------------


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rig.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def frames_arrive(process: subprocess.Popen[str], more_than: int = 200) -> None:
    """Wait until the run file of a process holds some frames."""
    for _ in range(3000):
        assert process.poll() is None, process.communicate()
        found = [open_run(path) for path in Path("runs").glob("*.h5")]
        if found and found[0].count > more_than:
            return
        time.sleep(0.01)  # noqa: TID251 - a real process in real time
    raise AssertionError("no frames")


def test_a_real_ctrl_c(desk: Desk) -> None:
    with started("run", sequence(on_s=2.0, off_s=2.0, cycles=50)) as process:
        frames_arrive(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    told(err, "Ctrl-C: stopping safely", "Stopped (Ctrl-C) after", "off, confirmed by")
    assert "SIMULATED" in out
    ledger = kept("stopped").ledger
    assert 200 < 0.9 * ledger["received"] < ledger["assigned"]


def test_show_and_recover_after_a_kill(desk: Desk) -> None:
    with started("run", sequence(on_s=0.5, off_s=0.5, cycles=200)) as process:
        frames_arrive(process, 1500)
        [path] = Path("runs").glob("*.h5")
        live = desk.rig("show", str(path))
        process.kill()
        process.communicate(timeout=30)
    assert live.code == 0
    assert "being written now" in live.out
    said = desk.rig("show", str(path))
    assert said.code == 0
    for words in ("SIMULATED", "unfinished", "rig recover", "switched", "535."):
        assert words in said.out
    assert path.with_suffix(".png").exists()
    frames = open_run(path).count
    assert desk.rig("recover", str(path)).code == 0
    run = kept("interrupted")
    assert (run.count, run.trimmed) == (frames, True)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")
def test_a_terminal_that_closes(desk: Desk) -> None:
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "rig.cli", "run", sequence(on_s=2.0, off_s=2.0, cycles=50)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        os.close(slave)
        for _ in range(3000):
            if (found := [open_run(path) for path in Path("runs").glob("*.h5")]) and found[0].count > 200:
                break
            time.sleep(0.01)  # noqa: TID251 - a real process in real time
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 3
    assert kept("stopped").count > 200
