"""What goes wrong on real wires while 20 V are at the film: what `rig run` does, by the bench's own record.

Every message and every reply goes wrong on the stepped clock (test_every_lost_answer.py, test_mishaps_of_a_run.py); here are
real sockets, with one sample of each kind. RIG_LONG=1 takes more samples, and drivers' deadlines as they are, not a sixth of
them.
"""

import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))
from mishaps import renewed_in
from proxy import (
    MESSAGE,
    REPLY,
    BlackHole,
    Call,
    Corrupt,
    Cut,
    Deed,
    Delayed,
    Doubled,
    Elsewhere,
    Ended,
    Endless,
    Glued,
    Lost,
    Reset,
    Rule,
    Sliced,
)
from serial.urlhandler import protocol_socket
from wired_bench import Wired, WiredBench, WiredRun

from drivers import keithley_2400, registry
from rig import safety
from rig.runfile import open_run

OFF_MS = 100.0
LONG = bool(os.environ.get("RIG_LONG"))
ON = 1  # the burst at 20 V
FRAMES = rb"(?s)^.{1000}"  # a reply that holds spectra
Tell = Callable[[str, object], None]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Generator[WiredBench]:
    bench = WiredBench(tmp_path_factory.mktemp("wired"))
    with bench.server:
        yield bench


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every deadline a sixth of what it is: what is tried here is what comes after it."""
    if not LONG:
        monkeypatch.setattr(registry, "open_link", partial(registry.open_link, timeout_s=2.0 / 6))
        monkeypatch.setattr(keithley_2400, "READ_TIMEOUT_S", keithley_2400.READ_TIMEOUT_S / 6)
        monkeypatch.setattr(safety, "CONFIRM_S", safety.CONFIRM_S / 6)


@pytest.fixture
def wired(bench: WiredBench) -> Generator[Wired]:
    with bench.wired() as wired:
        yield wired
        switch_off(bench)


def switch_off(bench: WiredBench) -> None:
    """By hand, for the next test: some faults leave the source on."""
    with socket.create_connection(("127.0.0.1", bench.ports["voltage_source"])) as panel:
        panel.sendall(b"\n:ABOR;:TRIG:CLE;:OUTP OFF\n:OUTP?\n")
        assert panel.recv(16) == b"0\n"


@dataclass
class Provoked:
    """A run in which something went wrong at a known moment."""

    run: WiredRun
    fault_ns: int

    @property
    def told(self) -> str:
        return " ".join(self.run.told.split())


def provoke(
    wired: Wired, role: str, way: str, deed: Deed, *, match: bytes = b"", times: int | None = 1, guarded: bool = False
) -> Provoked:
    """Run, and let something happen to the first message or reply after the burst at 20 V has been fired."""
    rules: list[Rule] = []
    wired.at_burst(ON, lambda: rules.append(wired.proxy.on(role, way, deed, match=match, times=times)))
    run = wired.run(on_s=0.3, off_s=0.2, guarded=guarded)
    assert rules, run.told
    assert rules[0].done_ns, "nothing went wrong"
    return Provoked(run, rules[0].done_ns[0])


def off_in_time(wired: Wired, found: Provoked, tell: Tell, within_ms: float = OFF_MS) -> None:
    """Everything off within so long of the moment at which the program knew; what it had is kept, and nothing is wrong."""
    off_ms = (wired.bench.off_ns() - found.run.detected_ns(found.fault_ns)) * 1e-6
    assert off_ms <= within_ms
    tell("off_ms", max(0.0, off_ms))  # before 0: it was off already when it was noticed
    nothing_wrong(wired, found, tell)


def nothing_wrong(wired: Wired, found: Provoked, tell: Tell) -> None:
    assert found.run.path is not None
    tell("kept", found.run.kept())
    wrong, assigned = wired.bench.wrong(found.run.path)
    assert wrong == 0
    assert assigned > 0


def is_told(found: Provoked, *words: str) -> None:
    """In which state the hardware is, what to do next, and `words`."""
    for word in ("hardware: off, confirmed by laser trigger, voltage source, spectrometer", "next:", *words):
        assert word in found.told, found.told


SOURCE, TRIGGER, SPECTROMETER = "voltage source (keithley-2400)", "laser trigger (srs-dg645)", "spectrometer (ocean-fx)"
OFTEN = ("lost", "late-frames", "doubled", "not-ascii", "cut-frames", "reset-before", "ended", "block-too-long")
ONCE = [
    pytest.param(deed, role, way, match, words, marks=pytest.mark.fault(*rows), id=name)
    for name, rows, deed, role, way, match, words in (
        ("lost", ["W1"], Lost(), "voltage_source", REPLY, b"", (SOURCE, "no complete answer")),
        ("late", ["W2"], Delayed(5.5 if LONG else 0.95), "voltage_source", REPLY, b"", (SOURCE, "no complete answer")),
        ("late-frames", ["W2"], Delayed(2.2 if LONG else 0.45), "spectrometer", REPLY, FRAMES, (SPECTROMETER, "no complete")),
        ("doubled", ["W3"], Doubled(), "voltage_source", REPLY, b"", (SOURCE, "before it was asked")),
        ("doubled-frames", ["W3"], Doubled(), "spectrometer", REPLY, FRAMES, (SPECTROMETER, "before it was asked")),
        ("not-ascii", ["W4"], Corrupt(((0, 0x80),)), "voltage_source", REPLY, b"", (SOURCE, r"'\xb1;+")),
        ("cut", ["W5"], Cut(5), "voltage_source", REPLY, b"", (SOURCE, "no complete answer")),
        ("cut-frames", ["W5"], Cut(900), "spectrometer", REPLY, FRAMES, (SPECTROMETER, "no complete answer")),
        ("glued", ["W5"], Glued(), "voltage_source", REPLY, b"", (SOURCE, "no complete answer")),
        ("reset-before", ["W7"], Reset(), "voltage_source", MESSAGE, b"", (SOURCE, "failed while it was answering")),
        ("reset-after", ["W7"], Reset(delivered=True), "voltage_source", MESSAGE, b"", (SOURCE, "failed while")),
        ("reset-frames", ["W7"], Reset(), "spectrometer", REPLY, FRAMES, (SPECTROMETER, "failed while it was answering")),
        ("reset-trigger", ["W7"], Reset(), "laser_trigger", MESSAGE, b"", (TRIGGER, "failed while it was")),
        ("ended", ["W7"], Ended(), "voltage_source", MESSAGE, b"", (SOURCE, "the other side has ended the connection")),
        (
            "block-too-long",
            ["W13"],
            Corrupt(((42, 0xFF),)),
            "spectrometer",
            REPLY,
            FRAMES,
            ("no frame begins with", "c1c00011"),
        ),
        ("block-of-another-kind", ["W13"], Corrupt(((8, 0x40),)), "spectrometer", REPLY, FRAMES, ("next:",)),
    )
    if LONG or name in OFTEN
]


@pytest.mark.parametrize(("deed", "role", "way", "match", "words"), ONCE)
def test_a_wire_that_fails_once_ends_the_run_off_and_loses_nothing(
    wired: Wired, deed: Deed, role: str, way: str, match: bytes, words: tuple[str, ...], record_property: Tell
) -> None:
    found = provoke(wired, role, way, deed, match=match)
    assert found.run.code == 4, found.told
    off_in_time(wired, found, record_property)
    is_told(found, *words)


@pytest.mark.fault("W5")
def test_fragments_are_no_fault(wired: Wired, record_property: Tell) -> None:
    for role in ("voltage_source", "laser_trigger"):
        for way in (MESSAGE, REPLY):
            wired.proxy.on(role, way, Sliced(1), times=None)
    wired.at_burst(ON, lambda: wired.proxy.on("spectrometer", REPLY, Sliced(97), match=FRAMES, times=4))
    found = Provoked(wired.run(on_s=0.3, off_s=0.2), 0)
    assert found.run.code == 0, found.told
    assert found.run.path is not None
    assert open_run(found.run.path).ledger["assigned"] == 500
    nothing_wrong(wired, found, record_property)


@pytest.mark.fault("W6")
@pytest.mark.parametrize("role", ["voltage_source", "spectrometer"])
def test_an_endless_reply_takes_neither_memory_nor_time(wired: Wired, role: str, record_property: Tell) -> None:
    before_bytes = resident_bytes()
    grown: list[int] = []
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.005):
            grown.append(resident_bytes() - before_bytes)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = provoke(wired, role, REPLY, Endless(1 << 30))
    finally:
        watching.set()
        watcher.join()
    assert found.run.code == 4, found.told
    assert max(grown) < 64 << 20
    assert (found.run.ended_ns - found.fault_ns) * 1e-9 < 5.0
    off_in_time(wired, found, record_property)
    is_told(found, SOURCE if role == "voltage_source" else SPECTROMETER)


def resident_bytes() -> int:
    """Memory of this process: program, bench and proxy."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.fault("W7")
@pytest.mark.parametrize(
    "deed", [pytest.param(Reset(refused_s=0.4), id="refused"), pytest.param(Reset(dropped_s=0.4), id="taken-and-dropped")]
)
def test_off_gets_through_as_soon_as_a_connection_can_be_had_again(wired: Wired, deed: Deed, record_property: Tell) -> None:
    found = provoke(wired, "voltage_source", MESSAGE, deed)
    assert found.run.code == 4, found.told
    assert (wired.bench.off_ns() - found.fault_ns) * 1e-6 > 300.0  # the control: it was really refused
    off_in_time(wired, found, record_property, within_ms=400.0 + OFF_MS)
    is_told(found, SOURCE)


@pytest.mark.fault("W7")
def test_a_connection_refused_for_longer_than_a_run_tries_is_the_guards(wired: Wired, record_property: Tell) -> None:
    """The run ends without a confirmation; its guard goes on until off has been heard by somebody."""
    found = provoke(wired, "voltage_source", MESSAGE, Reset(dropped_s=1.8), guarded=True)
    assert found.run.code == 5, found.told
    assert "switch the source's output off at its front panel" in found.told
    off_ms = (wired.bench.off_ns() - found.fault_ns) * 1e-6
    assert 1500.0 < off_ms < 2300.0
    record_property("off_ms", off_ms)
    nothing_wrong(wired, found, record_property)


@pytest.mark.fault("W8")
def test_a_pulled_cable_is_shouted_and_ends_within_its_deadlines(wired: Wired, record_property: Tell) -> None:
    """Nothing can reach the source: light goes off, the voltage stays, and that is said in capitals."""
    found = provoke(wired, "voltage_source", MESSAGE, BlackHole())
    assert found.run.code == 5
    lasted_s = (found.run.ended_ns - found.fault_ns) * 1e-9
    assert lasted_s < keithley_2400.READ_TIMEOUT_S + safety.SEND_S + safety.CONFIRM_S + 2.0
    assert wired.bench.voltage_v == 20.0  # the control: the cable was really pulled
    assert "voltage source: off was sent, read-back failed" in found.told
    assert "switch the source's output off at its front panel" in found.told
    assert "NOT CONFIRMED" in found.told.upper()
    light_ms = (wired.bench.last_light_ns() - found.run.detected_ns(found.fault_ns)) * 1e-6
    assert light_ms <= OFF_MS
    nothing_wrong(wired, found, record_property)


@pytest.mark.fault("Y6", "W8")
def test_a_spectrometer_that_hangs_is_left_behind_and_everything_else_goes_off(wired: Wired, record_property: Tell) -> None:
    found = provoke(wired, "spectrometer", REPLY, Lost(), times=None)
    assert found.run.code == 5
    assert "laser trigger: confirmed by read-back" in found.told
    assert "voltage source: confirmed by read-back" in found.told
    off_in_time(wired, found, record_property)  # that no thread is left behind is seen after every test


@pytest.mark.fault("W10")
def test_another_instrument_on_reconnect_is_refused_and_only_told_off(
    wired: Wired, tmp_path: Path, record_property: Tell
) -> None:
    stranger = WiredBench(tmp_path)
    persona: Any = stranger.server.world.personas["voltage_source"]
    persona.meter.serial = "4999999"
    with stranger.server:
        port = stranger.ports["voltage_source"]
        heard: list[bytes] = []
        hear = persona.receive
        persona.receive = lambda data, t_ns: (heard.append(data), hear(data, t_ns))[1]
        found = provoke(wired, "voltage_source", MESSAGE, Elsewhere(port))
    assert found.run.code == 5
    assert "Another instrument answers than before" in found.told
    assert "4999999" in found.told
    assert "4102311" in found.told
    said = {line for line in b"".join(heard).split(b"\n") if line}
    assert b":ABOR;:TRIG:CLE;:OUTP OFF" in said
    assert all(line.endswith(b"?") or line in (b":ABOR;:TRIG:CLE;:OUTP OFF", b"*CLS") for line in said), said
    light_ms = (wired.bench.last_light_ns() - found.run.detected_ns(found.fault_ns)) * 1e-6
    assert light_ms <= OFF_MS
    record_property("off_ms", light_ms)
    nothing_wrong(wired, found, record_property)


@pytest.mark.fault("W11")
def test_a_source_that_was_switched_off_and_on_ends_the_run(wired: Wired, record_property: Tell) -> None:
    def cycle(world: Any) -> None:
        role = "voltage_source"
        settings = {"model": wired.bench.models[role], "resource": world.resources[role]}
        wired.bench.server.rewire(role, renewed_in(world, role, settings, world.personas[role]))

    found = provoke(wired, "voltage_source", REPLY, Call(lambda: wired.bench.call(cycle)))
    assert found.run.code == 4, found.told
    off_in_time(wired, found, record_property)
    is_told(found)
    assert wired.bench.voltage_v == 0.0


@pytest.mark.fault("W12")
def test_a_level_that_never_arrived_is_seen_before_a_pulse_falls_on_it(wired: Wired, record_property: Tell) -> None:
    lost = wired.proxy.on("voltage_source", MESSAGE, Lost(), match=rb"^:SOUR:VOLT 20")
    found = Provoked(wired.run(on_s=0.3, off_s=0.2), 0)
    found.fault_ns = lost.done_ns[0]
    assert found.run.code == 4, found.told
    off_in_time(wired, found, record_property)
    is_told(found, "Keithley 2400", "source_voltage")


@pytest.mark.fault("R4")
def test_somebody_else_who_sets_another_level_is_noticed(wired: Wired, record_property: Tell) -> None:
    def meddle() -> None:
        with socket.create_connection(("127.0.0.1", wired.bench.ports["voltage_source"])) as other:
            other.sendall(b":SOUR:VOLT 5\n")

    found = provoke(wired, "voltage_source", REPLY, Call(meddle))
    assert found.run.code == 4, found.told
    off_in_time(wired, found, record_property)
    is_told(found)
    assert re.search(r"\b(4\.9|5\.0)\d* V", found.told), found.told


def close_in_any_case(port: Any) -> None:
    """In the place of pyserial's own, which leaves a socket open that it cannot shut down, and sleeps otherwise."""
    if port.is_open:
        port._socket.close()
        port._socket, port.is_open = None, False


@pytest.mark.fault("W14")
def test_all_instruments_that_vanish_at_once_are_listed_in_one_message(
    tmp_path: Path, record_property: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything in the beam. Nobody can reach anything: the voltage stays, the burst ends by itself."""
    monkeypatch.setattr(protocol_socket.Serial, "close", close_in_any_case)
    full = WiredBench(tmp_path, slim=False)
    with full.server, full.wired() as wired:
        found = provoke(wired, "voltage_source", MESSAGE, Call(wired.proxy.vanish))
        switch_off(full)
    assert found.run.code == 5
    listed = found.told[found.told.index("Off could not be confirmed") :]
    assert "where: laser trigger, voltage source, spectrometer, shutter, cw shutter" in listed
    assert found.told.count("Off could not be confirmed") == 1
    assert (full.last_light_ns() - found.fault_ns) * 1e-9 < 0.35  # the burst's own end
    assert found.run.path is not None
    record_property("kept", found.run.kept())
    assert full.wrong(found.run.path)[0] == 0


def test_the_proxy_by_itself_changes_nothing(wired: Wired) -> None:
    run = wired.run("stepped", on_s=0.3, off_s=0.2)
    assert run.code == 0, run.told
    assert run.path is not None
    assert wired.bench.wrong(run.path) == (0, 500)
    assert not run.errors
