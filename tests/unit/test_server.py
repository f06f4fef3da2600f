"""The simulated bench as TCP servers: one input per instrument, many clients, none of them to be trusted."""

import socket
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest
import pyvisa
import serial
from server_host import Client, client, description

from drivers.obp import frame
from sim_instruments.client_connection import (
    ANSWER_CREDIT_BYTES,
    BURST_BYTES,
    FLOOD_BYTES_PER_S,
    RECEIVE_BYTES,
    UNSENT_LIMIT_BYTES,
)
from sim_instruments.served_instrument import MAX_CLIENTS
from sim_instruments.server import BenchServer
from sim_instruments.world import START_NS, World

DG645 = b"Stanford Research Systems,DG645,"
SERIAL_LINE = "ASRL3::INSTR"
SPECTRUM_BYTES = 64 + 4272
SPECTRUM_NOW = frame(0x101000)
KERNEL_BYTES = 8_000_000  # what the system keeps at most between two ends of a connection


@pytest.fixture(scope="module")
def server() -> Generator[BenchServer]:
    with BenchServer(description(), seed=1) as running:
        yield running


@pytest.fixture
def own_server() -> Generator[BenchServer]:
    with BenchServer(description(), seed=1) as running:
        yield running


# --- bytes


def test_a_question_may_come_byte_by_byte(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one:
        one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.send(*(bytes([byte]) for byte in b"*IDN?\n"))
        assert one.line().startswith(DG645)


def test_questions_in_one_segment_are_all_answered_in_order(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one:
        one.send(b"BURC 7\nBURC?\nBURC 8\nBURC?\n*IDN?\n")
        assert [one.line(), one.line()] == [b"7", b"8"]
        assert one.line().startswith(DG645)


def test_binary_messages_are_answered_in_any_segmentation(server: BenchServer) -> None:
    with client(server, "spectrometer") as one:
        one.send(SPECTRUM_NOW[:5], SPECTRUM_NOW[5:] + SPECTRUM_NOW)
        answers = one.bytes(2 * SPECTRUM_BYTES)
        assert len(answers) == 2 * SPECTRUM_BYTES
        assert answers[SPECTRUM_BYTES:][:2] == answers[:2] == SPECTRUM_NOW[:2]


def test_what_is_sent_before_the_end_of_a_connection_is_still_answered(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one:
        one.send(b"*IDN?\n")
        one.socket.shutdown(socket.SHUT_WR)
        assert one.line().startswith(DG645)
        assert one.socket.recv(1) == b""


def test_small_segments_are_sent_at_once(server: BenchServer) -> None:
    with client(server, "voltage_source") as one:
        one.ask(b"*IDN?\n")
        [served] = server.call(lambda _: server.clients("voltage_source"))
        assert served.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


# --- time


def test_world_time_is_real_time(server: BenchServer) -> None:
    before = time.monotonic_ns(), server.call(World.now_ns)
    time.sleep(0.05)  # noqa: TID251 - the real clock is what is tested
    after = time.monotonic_ns(), server.call(World.now_ns)
    assert after[1] - before[1] == pytest.approx(after[0] - before[0], abs=25e6)
    assert before[1] > START_NS


def test_pulses_run_and_frames_are_made_although_nobody_asks(own_server: BenchServer) -> None:
    with client(own_server, "laser_trigger") as trigger, client(own_server, "spectrometer") as spectrometer:
        for code, value in ((0x110010, 500), (0x110110, 1), (0x100810, 1)):  # 500 us, at edges, into the buffer
            width = 4 if code == 0x110010 else 1
            spectrometer.send(frame(code, value.to_bytes(width, "little")))
        trigger.send(b"LAMP 3,4;TRAT 1000;BURM 1;BURC 40;BURP 1E-3;TSRC 5\n*TRG\n")
        deadline = time.monotonic() + 5
        while (frames := own_server.call(_frames_made)) < 40 and time.monotonic() < deadline:
            time.sleep(0.01)  # noqa: TID251
        assert frames == 40


def _frames_made(world: World) -> int:
    spectrometer: Any = world.personas["spectrometer"]
    return len(spectrometer._buffer)


# --- several clients


def test_each_client_gets_the_answers_to_its_own_questions(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one, client(server, "laser_trigger") as other:
        one.send(b"BURC 11\nDLAY 2,0,3E-6\n")
        for _ in range(20):
            one.send(b"BURC?\n")
            other.send(b"DLAY?2\n")
            assert one.line() == b"11"
            assert other.line() == b"0,+0.000003000000"


def test_half_a_message_is_not_mixed_with_that_of_another_client(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one, client(server, "laser_trigger") as other:
        one.ask(b"*IDN?\n")
        one.send(b"BURC 1")
        other.send(b"*IDN?\n")
        time.sleep(0.02)  # noqa: TID251 - the other has been heard by now
        one.send(b"23\nBURC?\n")
        assert one.line() == b"123"
        assert other.line().startswith(DG645)


def test_an_off_message_gets_through_while_another_client_waits_and_takes_nothing_from_it(own_server: BenchServer) -> None:
    with client(own_server, "voltage_source") as one, client(own_server, "voltage_source") as other:
        one.send(b"*RST;:SOUR:VOLT 5;:OUTP ON;:TRIG:SOUR TLIN;:READ?\n")
        assert one.quiet(0.05)
        assert own_server.call(lambda world: world.terminal.record.voltage_v[-1]) == 5.0
        other.send(b":ABOR;:OUTP OFF\n")
        assert one.ask(b"*IDN?\n").startswith(b"KEITHLEY")
        assert own_server.call(lambda world: world.terminal.record.voltage_v[-1]) == 0.0
        assert other.quiet(0.02)


def test_the_answer_to_a_client_that_has_gone_is_nobodys(server: BenchServer) -> None:
    for _ in range(5):
        gone = Client(server, "laser_trigger")
        gone.send(b"*IDN?\n")
        gone.reset()
        with client(server, "laser_trigger") as one:
            assert one.ask(b"*ESE?\n").isdigit()


def test_an_instrument_with_a_network_socket_forgets_half_a_message_with_its_connection(server: BenchServer) -> None:
    gone = Client(server, "laser_trigger")
    gone.send(b"*RS")
    gone.reset()
    with client(server, "laser_trigger") as one:
        assert one.ask(b"*IDN?\n").startswith(DG645)


def test_on_a_line_half_a_message_stays(own_server: BenchServer) -> None:
    gone = Client(own_server, "voltage_source")
    gone.send(b":SOUR:VOLT 1")
    gone.reset()
    with client(own_server, "voltage_source") as one:
        assert float(one.ask(b"1\n:SOUR:VOLT?\n")) == 11.0


def test_more_clients_than_fit_are_refused_and_the_others_stay(own_server: BenchServer) -> None:
    inside = [Client(own_server, "laser_trigger") for _ in range(MAX_CLIENTS)]
    try:
        assert inside[-1].ask(b"*IDN?\n").startswith(DG645)
        with client(own_server, "laser_trigger") as late:
            assert late.socket.recv(1) == b""
        assert inside[0].ask(b"*IDN?\n").startswith(DG645)
    finally:
        for one in inside:
            one.socket.close()


# --- bad manners


def _say_until_blocked(one: Client, words: bytes, limit: int) -> int:
    """Say `words` again and again until nothing more is taken for a while; return how many bytes were."""
    said = 0
    one.socket.settimeout(0.2)
    with suppress(TimeoutError):
        while said < limit:
            said += one.socket.send(words)
    return said


def test_a_client_that_never_reads_is_not_listened_to_for_long_and_hinders_nobody(own_server: BenchServer) -> None:
    with client(own_server, "spectrometer", 16_384) as deaf, client(own_server, "spectrometer") as one:
        deaf.send(frame(0x110010, (10).to_bytes(4, "little")))  # 10 us, so that answers come as fast as they can
        began, said = time.monotonic(), 0
        while (unsent := _most_unsent(own_server)) <= UNSENT_LIMIT_BYTES and time.monotonic() < began + 20:
            said += _say_until_blocked(deaf, 16 * SPECTRUM_NOW, 1_000_000)
        assert unsent > UNSENT_LIMIT_BYTES
        said += _say_until_blocked(deaf, 16 * SPECTRUM_NOW, 20_000_000)
        assert said < 20_000_000
        sent = KERNEL_BYTES // SPECTRUM_BYTES
        heard = RECEIVE_BYTES + BURST_BYTES + FLOOD_BYTES_PER_S * (time.monotonic() - began) + ANSWER_CREDIT_BYTES * sent
        assert _most_unsent(own_server) <= 2 * UNSENT_LIMIT_BYTES + heard // len(SPECTRUM_NOW) * SPECTRUM_BYTES
        one.send(SPECTRUM_NOW)
        assert len(one.bytes(SPECTRUM_BYTES)) == SPECTRUM_BYTES


def _most_unsent(server: BenchServer) -> int:
    return server.call(lambda _: max(len(served.unsent) for served in server.clients("spectrometer")))


def test_a_flood_of_commands_is_taken_no_faster_than_a_line_would_bring_it(own_server: BenchServer) -> None:
    taken: list[int] = []
    source = own_server.world.personas["voltage_source"]
    receive = source.receive
    own_server.call(lambda _: setattr(source, "receive", lambda data, t_ns: (taken.append(len(data)), receive(data, t_ns))))
    began = time.monotonic()
    with client(own_server, "voltage_source") as flood, client(own_server, "laser_trigger") as other:
        said = _say_until_blocked(flood, 1000 * b":OUTP OFF\n", 20_000_000)
        assert other.ask(b"*IDN?\n").startswith(DG645)
        elapsed_s = time.monotonic() - began
        heard = own_server.call(lambda _: sum(taken))
        assert BURST_BYTES <= heard <= BURST_BYTES + FLOOD_BYTES_PER_S * elapsed_s + 1
        assert heard < said < 20_000_000


def test_garbage_and_resets_leave_the_server_running(server: BenchServer) -> None:
    for number in range(20):
        for role in server.addresses:
            one = Client(server, role)
            one.send(bytes((number * 37 + i * i) % 256 for i in range(300)))
            one.reset() if number % 2 else one.socket.close()
    with client(server, "spectrometer") as one:
        one.send(frame(0x000100))
        assert one.bytes(64)[:2] == b"\xc1\xc0"
    with client(server, "laser_trigger") as one:
        one.send(b"\n*CLS\n")
        assert one.ask(b"*IDN?\n").startswith(DG645)


# --- serial instruments


def test_a_serial_instrument_is_served_to_pyvisa_and_to_pyserial() -> None:
    with BenchServer(description(voltage_source=SERIAL_LINE)) as running:
        resource = running.resources["voltage_source"]
        port = running.addresses["voltage_source"].port
        assert resource == f"ASRLsocket://127.0.0.1:{port}::INSTR"
        manager = pyvisa.ResourceManager("@py")
        opened: Any = manager.open_resource(resource, read_termination="\n", write_termination="\n")
        assert opened.query("*IDN?").startswith("KEITHLEY")
        opened.close()
        manager.close()
        with serial.serial_for_url(f"socket://127.0.0.1:{port}", timeout=2) as line:
            line.write(b"*IDN?\n")
            assert line.readline().startswith(b"KEITHLEY")


# --- beginning and end


def test_a_port_can_be_chosen_and_a_taken_one_is_told() -> None:
    with BenchServer(description()) as running:
        taken = running.addresses["spectrometer"].port
        with pytest.raises(OSError, match=f"port {taken} for laser_trigger"):
            BenchServer(description(), {"laser_trigger": taken})
    with BenchServer(description(), {"laser_trigger": taken}) as running:
        assert running.resources["laser_trigger"] == f"TCPIP::127.0.0.1::{taken}::SOCKET"


def test_a_port_for_a_role_that_is_not_there_is_refused() -> None:
    bench = description()
    bench.pop("shutter", None)
    with pytest.raises(ValueError, match="no shutter is on this bench"):
        BenchServer(bench, {"shutter": 5000})


def test_at_the_end_nothing_listens_and_clients_are_told() -> None:
    with BenchServer(description()) as running, client(running, "laser_trigger") as one:
        one.ask(b"*IDN?\n")
        running.stop()
        assert one.socket.recv(1) == b""
    for address in running.addresses.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), 1)


def test_the_world_can_be_looked_at_after_the_end() -> None:
    with BenchServer(description()) as running:
        began = running.call(World.now_ns)
    assert running.call(World.now_ns) >= began


def test_a_failure_of_the_simulation_ends_the_server_and_is_told() -> None:
    def fail(data: bytes, t_ns: int) -> None:
        raise ZeroDivisionError("a mistake in a persona")

    def provoke() -> None:
        with BenchServer(description()) as running, client(running, "laser_trigger") as one:
            running.call(lambda world: setattr(world.personas["laser_trigger"], "receive", fail))
            one.send(b"*IDN?\n")
            assert one.socket.recv(1) == b""

    with pytest.raises(ZeroDivisionError):
        provoke()
