"""`rig off` against a served bench that other programs left on, judged by the bench's own record and the bytes on its wires."""

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import serial

import rig.safety
from drivers.link import open_link
from drivers.registry import find
from rig import cli
from rig.bench import default_bench
from rig.bench_source import BenchFiles
from rig.cold_start import HAZARDS, held_by_another
from sim_instruments.persona import Persona
from sim_instruments.served_instrument import ServedInstrument
from sim_instruments.server import BenchServer
from sim_instruments.world import World

ON_THE_WIRE_NS = 100_000_000
SOON_S = 0.8  # instead of the deadline for read-back, so that what never answers is not waited for
MODELS = {"voltage_source": "keithley-2400", "laser_trigger": "srs-dg645", "spectrometer": "ocean-fx"}


class Tap:
    """A wire with somebody who writes down what arrives, and when; when cut, nothing comes through."""

    def __init__(self, inside: Persona) -> None:
        self.inside: Any = inside
        self.heard: list[tuple[int, bytes]] = []
        self.cut = False
        self.on_byte: Callable[[bytes], None] = lambda data: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def receive(self, data: bytes, t_ns: int) -> None:
        if data:
            self.heard.append((t_ns, data))
            self.on_byte(data)
        if not self.cut:
            self.inside.receive(data, t_ns)


@dataclass
class LeftOn:
    """A served bench on which the source is at 20 V, a long burst runs and both shutters are open."""

    server: BenchServer
    file: Path
    taps: dict[str, Tap]
    accepted_ns: dict[str, list[int]]
    opened: list[socket.socket] = field(default_factory=list)

    def say(self, role: str, message: bytes, wait_s: float = 0.03) -> None:
        client = socket.create_connection(("127.0.0.1", self.server.addresses[role].port))
        self.opened.append(client)
        client.sendall(message)
        time.sleep(wait_s)  # noqa: TID251 - a real server in real time

    def look(self, seen: Callable[[World], Any]) -> Any:
        return self.server.call(seen)

    @property
    def voltage_v(self) -> float:
        return self.look(lambda world: world.terminal.record.voltage_v[-1])

    @property
    def fires(self) -> bool:
        before = self.look(lambda world: world.pulses_carried)
        time.sleep(0.03)  # noqa: TID251 - 30 pulses' time
        return self.look(lambda world: world.pulses_carried) > before

    @property
    def shutter_closed(self) -> bool:
        return self.closed("shutter")

    def closed(self, role: str) -> bool:
        return self.look(lambda world: self.taps[role].inside.blades.closed(world.now_ns()))

    def is_off(self) -> bool:
        return (self.voltage_v, self.fires, self.shutter_closed, self.closed("cw_shutter")) == (0.0, False, True, True)

    def turn_on(self) -> None:
        self.say("voltage_source", b":SENS:CURR:PROT 1E-3;:SOUR:VOLT:RANG 20;:SOUR:VOLT 20;:OUTP ON\n")
        self.say("laser_trigger", b"LAMP 3,4;TRAT 1000;BURM 1;BURC 100000;BURP 1E-3;TSRC 5\n*TRG\n")
        self.say("shutter", b"ens\r")
        self.say("cw_shutter", b"ens\r")
        assert (self.voltage_v, self.fires, self.shutter_closed, self.closed("cw_shutter")) == (20.0, True, False, False)
        for tap in self.taps.values():
            tap.heard.clear()
        for moments in self.accepted_ns.values():
            moments.clear()

    def off_after_ns(self, role: str) -> int:
        """From the moment the instrument took the connection, when off could be sent, to its last byte."""
        off, heard = find(default_bench().description()[role]["model"], role).kind.off_message, b""  # type: ignore[arg-type]
        for t_ns, data in self.taps[role].heard:
            heard += data
            if off in heard:
                return t_ns - self.accepted_ns[role][0]
        raise AssertionError(f"off never reached {role}: {heard!r}")

    def elsewhere(self, **resources: str) -> Path:
        """The bench file with resources replaced."""
        text = self.file.read_text()
        for role, resource in resources.items():
            text = text.replace(f'"{self.server.addresses[role].resource}"', f'"{resource}"')
        other = self.file.with_name("elsewhere.toml")
        other.write_text(text)
        return other


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[LeftOn]:
    monkeypatch.setenv("COLUMNS", "160")
    accepted_ns: dict[str, list[int]] = {}
    accept = ServedInstrument.accept

    def witnessed(instrument: ServedInstrument, now_ns: int) -> Any:
        [role] = [role for role, tap in taps.items() if tap is instrument.persona]
        accepted_ns.setdefault(role, []).append(now_ns)
        return accept(instrument, now_ns)

    monkeypatch.setattr(ServedInstrument, "accept", witnessed)
    server = BenchServer(BenchFiles().describe(None, {}))
    taps = {role: Tap(persona) for role, persona in server.world.personas.items()}
    for role, tap in taps.items():
        server.rewire(role, tap)  # type: ignore[arg-type]
    file = tmp_path / "served.toml"
    file.write_text(BenchFiles().served(None, {}, server.resources))
    with server:
        left_on = LeftOn(server, file, taps, accepted_ns)
        try:
            left_on.turn_on()
            yield left_on
        finally:
            for client in left_on.opened:
                client.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.safety, "CONFIRM_S", SOON_S)


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def how(self, role: str) -> str:
        return self.json["instruments"][role]["off"]


@pytest.fixture
def off(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def command(*words: str | Path) -> Said:
        capfd.readouterr()
        code = cli.main(["off", *map(str, words)])
        return Said(code, *capfd.readouterr())

    return command


@contextmanager
def black_hole(*, full: bool = False) -> Generator[str]:
    """A resource where connections are taken and nothing is ever read, or (full) not even taken."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if full else 16)
        waiting = [socket.socket() for _ in range(4 if full else 0)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield f"TCPIP::127.0.0.1::{listener.getsockname()[1]}::SOCKET"
        finally:
            for one in waiting:
                one.close()


def nobody() -> str:
    """A resource at which no one listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"TCPIP::127.0.0.1::{free.getsockname()[1]}::SOCKET"


# --- all is well ------------------------------------------------------------------------------------------------------


def test_everything_that_others_left_on_goes_off_and_says_so(bench: LeftOn, off: Callable[..., Said]) -> None:
    said = off("--bench", bench.file, "--json")
    assert said.code == 0, said
    assert bench.is_off()
    assert said.json["confirmed"]
    assert {role: said.how(role) for role in said.json["instruments"]} == dict.fromkeys(HAZARDS, "CONFIRMED")
    assert "DG645" in said.json["instruments"]["laser_trigger"]["identity"]
    assert "SIMULATED" in said.err


def test_off_is_the_first_thing_an_instrument_hears_and_its_name_is_asked_last(bench: LeftOn, off: Callable[..., Said]) -> None:
    off("--bench", bench.file)
    for role in ("voltage_source", "laser_trigger", "spectrometer"):
        heard = b"".join(data for _, data in bench.taps[role].heard)
        message = find(MODELS[role], role).kind.off_message  # type: ignore[arg-type]
        assert heard.startswith(message), (role, heard)
    source = b"".join(data for _, data in bench.taps["voltage_source"].heard)
    assert source.index(b"OUTP?") < source.index(b"*IDN?")
    shutter = b"".join(data for _, data in bench.taps["shutter"].heard)
    assert shutter.index(b"ens\r") < shutter.index(b"id?")


def test_off_is_on_the_wire_as_soon_as_it_can_be(bench: LeftOn, off: Callable[..., Said]) -> None:
    off("--bench", bench.file)
    for role in ("voltage_source", "laser_trigger", "spectrometer"):
        assert bench.off_after_ns(role) <= ON_THE_WIRE_NS, role


def test_ctrl_c_meanwhile_keeps_nothing_on(bench: LeftOn, off: Callable[..., Said]) -> None:
    bench.taps["laser_trigger"].on_byte = lambda data: os.kill(os.getpid(), signal.SIGINT)
    said = off("--bench", bench.file)
    assert said.code == 0
    assert "Still stopping" in said.err
    assert bench.is_off()


# --- something is dead ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("full", [False, True], ids=["never answers", "never takes the connection"])
def test_one_that_hangs_delays_no_other(
    bench: LeftOn, off: Callable[..., Said], full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(open_link.__kwdefaults__, "timeout_s", 0.25)  # not the 2 s of every link
    with black_hole(full=full) as hole:
        said = off("--bench", bench.elsewhere(laser_trigger=hole), "--json")
    assert said.code == 5
    assert said.how("laser_trigger") == ("UNKNOWN" if full else "SENT")
    assert {said.how(role) for role in HAZARDS if role != "laser_trigger"} == {"CONFIRMED"}
    assert (bench.voltage_v, bench.shutter_closed) == (0.0, True)
    for role in ("voltage_source", "spectrometer"):
        assert bench.off_after_ns(role) <= ON_THE_WIRE_NS, role
    assert "OFF IS NOT CONFIRMED" in said.err
    assert "by hand" in said.err


@pytest.mark.usefixtures("impatient")
def test_one_that_obeys_and_says_nothing_is_off_and_not_confirmed(bench: LeftOn, off: Callable[..., Said]) -> None:
    tap = bench.taps["voltage_source"]
    tap.reply_ready_ns = lambda t_ns: None  # type: ignore[attr-defined]
    said = off("--bench", bench.file, "--json")
    assert (said.code, said.how("voltage_source")) == (5, "SENT")
    assert bench.voltage_v == 0.0


def test_one_that_nobody_answers_for_is_unknown_and_the_rest_is_off(bench: LeftOn, off: Callable[..., Said]) -> None:
    said = off("--bench", bench.elsewhere(voltage_source=nobody()), "--json")
    assert (said.code, said.how("voltage_source")) == (5, "UNKNOWN")
    assert "voltage source" in said.err
    assert "front panel" in said.err
    assert (bench.fires, bench.shutter_closed) == (False, True)
    assert bench.voltage_v == 20.0  # it is true that this one is not off


@pytest.mark.fault("W14")
def test_all_dead_is_told_for_each(bench: LeftOn, off: Callable[..., Said]) -> None:
    said = off("--bench", bench.elsewhere(**{role: nobody() for role in HAZARDS}), "--json")
    assert said.code == 5
    assert {said.how(role) for role in HAZARDS} == {"UNKNOWN"}
    for role in HAZARDS:
        assert f"{role.replace('_', ' ')} at TCPIP::127.0.0.1" in said.err
    assert said.err.count("not asked") == len(HAZARDS)  # who they are


@pytest.mark.fault("I4")
def test_a_stranger_that_says_it_is_off_proves_nothing(bench: LeftOn, off: Callable[..., Said]) -> None:
    stranger = bench.elsewhere(voltage_source="TCPIP::127.0.0.1::1::SOCKET")
    stranger.write_text(stranger.read_text().replace('model = "keithley-2400"', 'model = "scpi-supply"'))
    stranger.write_text(
        stranger.read_text().replace("::1::SOCKET", f"::{bench.server.addresses['voltage_source'].port}::SOCKET")
    )
    said = off("--bench", stranger, "--json")
    assert said.code == 5
    assert "2400" in said.json["instruments"]["voltage_source"]["another"]


@pytest.mark.fault("X11")
def test_a_port_that_another_program_holds_is_told_in_words(
    bench: LeftOn, off: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*arguments: Any, **settings: Any) -> Any:
        raise serial.SerialException(errno.EBUSY, "could not open port: Device or resource busy")

    monkeypatch.setattr(serial, "serial_for_url", taken)
    said = off("--bench", bench.elsewhere(shutter="ASRL/dev/ttyUSB9::INSTR"), "--json")
    assert (said.code, said.how("shutter")) == (5, "UNKNOWN")
    assert "another program holds ASRL/dev/ttyUSB9::INSTR" in said.err
    assert bench.voltage_v == 0.0


def test_a_refused_connection_is_not_taken_for_a_port_in_use() -> None:
    assert not held_by_another(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    assert held_by_another(OSError(errno.EBUSY, "busy"))


# --- the bench file ---------------------------------------------------------------------------------------------------


def test_a_mistake_in_the_bench_file_keeps_nothing_on(bench: LeftOn, off: Callable[..., Said]) -> None:
    broken = bench.file.with_name("broken.toml")
    broken.write_text(bench.file.read_text().replace("spot_area_cm2", "spot_area_mm2"))
    said = off("--bench", broken)
    assert said.code == 0
    assert "spot_area_mm2" in said.out
    assert bench.is_off()


def test_a_file_that_cannot_be_read_is_an_unknown_state(tmp_path: Path, off: Callable[..., Said]) -> None:
    said = off("--bench", tmp_path / "none.toml")
    assert said.code == 5
    assert "Nothing was switched off" in said.err
    assert "front panel" in said.err


@pytest.mark.fault("R5")
def test_without_a_bench_it_says_that_nothing_real_was_switched_off(off: Callable[..., Said]) -> None:
    said = off()
    assert said.code == 0
    assert "SIMULATED" in said.out
    assert "no real instrument was switched off" in said.out
