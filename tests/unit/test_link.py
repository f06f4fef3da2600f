"""The fenced conversation: on a VISA library of a few lines with a stepped clock, and on pyvisa-py with a real socket."""

import itertools
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import pyvisa
from pyvisa import rname
from pyvisa.constants import InterfaceType, ResourceAttribute, StatusCode
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, WrongIdentity
from drivers.link import Link, LinkState, open_link, regain, send_now

GPIB, USB = "GPIB0::24::INSTR", "USB0::0x05E6::0x2400::1::INSTR"
SOCKET, SERIAL = "TCPIP::192.0.2.20::5025::SOCKET", "ASRL3::INSTR"
WITHOUT_CLEAR = [SOCKET, SERIAL]
EVERY = [GPIB, USB, *WITHOUT_CLEAR]
MS = 1_000_000
_numbers = itertools.count()


class SteppedClock:
    """Advances when somebody waits."""

    def __init__(self) -> None:
        self.t_ns = 0

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += max(0, round(duration_s * 1e9))


class Device:
    """What a test puts behind a resource: answers as (delay_ns, bytes) per message, and a log of what arrived."""

    def __init__(self, answers: dict[bytes, list[tuple[int, bytes]]] | None = None) -> None:
        self.clock = SteppedClock()
        self.answers = answers or {}
        self.log: list[bytes | str] = []
        self.coming: list[tuple[int, bytes]] = []
        self.broken = False
        self.refuses_clear = False
        self.endless = False

    def receive(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("reset by peer")
        self.log.append(data)
        t_ns = self.clock.t_ns
        for delay_ns, answer in self.answers.get(data.strip(), []):
            t_ns += delay_ns
            self.coming.append((t_ns, answer))
        if data.startswith(b"*ESE "):
            nonce = data.split(b";")[0].split()[1]
            self.coming.append((t_ns, nonce + b"\n"))

    def take(self, count: int, deadline_ns: int, end: bytes) -> bytes:
        """Up to `count` bytes, to the terminator if there is one, advancing the clock as VISA would wait."""
        if self.endless:
            self.clock.t_ns += 100
            return b"x" * count
        out = b""
        while len(out) < count:
            if not self.coming or self.coming[0][0] > deadline_ns:
                self.clock.t_ns = max(self.clock.t_ns, deadline_ns)
                raise TimeoutError
            t_ns, chunk = self.coming.pop(0)
            self.clock.t_ns = max(self.clock.t_ns, t_ns)
            out += chunk[:1]
            if chunk[1:]:
                self.coming.insert(0, (t_ns, chunk[1:]))
            if end and out.endswith(end):
                break
        return out


class TinyVisa(VisaLibraryBase):
    """The least PyVISA asks of a library; one device behind every name."""

    device: Device

    def _init(self) -> None:
        self.attributes: dict[Any, Any] = {}
        self.opened = 0

    def open_default_resource_manager(self) -> Any:
        return 1, StatusCode.success

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        return ()

    def open(self, session: Any, resource_name: str, access_mode: Any = None, open_timeout: Any = 0) -> Any:
        parsed: Any = rname.ResourceName.from_string(resource_name)
        self.opened += 1
        self.device.log.append("opened")
        self.device.broken = False
        self.attributes = {
            ResourceAttribute.timeout_value: 2000,
            ResourceAttribute.interface_type: getattr(InterfaceType, parsed.interface_type_const.name),
            ResourceAttribute.resource_class: parsed.resource_class,
        }
        return 2, StatusCode.success

    def close(self, session: Any) -> StatusCode:
        return StatusCode.success

    def write(self, session: Any, data: bytes) -> Any:
        self.device.receive(bytes(data))
        return len(data), StatusCode.success

    def read(self, session: Any, count: int) -> Any:
        timeout_ns = int(self.attributes[ResourceAttribute.timeout_value]) * MS
        end = b""
        if self.attributes.get(ResourceAttribute.termchar_enabled):
            end = bytes([self.attributes[ResourceAttribute.termchar]])
        try:
            data = self.device.take(count, self.device.clock.t_ns + timeout_ns, end)
        except TimeoutError:
            return b"", self.handle_return_value(session, StatusCode.error_timeout)
        ended = bool(end) and data.endswith(end)
        status = StatusCode.success_termination_character_read if ended else StatusCode.success_max_count_read
        return data, self.handle_return_value(session, status)

    def clear(self, session: Any) -> StatusCode:
        if self.device.refuses_clear:
            return self.handle_return_value(session, StatusCode.error_io)
        self.device.log.append("device clear")
        self.device.coming.clear()
        return self.handle_return_value(session, StatusCode.success)

    def get_attribute(self, session: Any, attribute: Any) -> Any:
        return self.attributes.get(attribute, 0), StatusCode.success

    def set_attribute(self, session: Any, attribute: Any, attribute_state: Any) -> StatusCode:
        self.attributes[attribute] = attribute_state
        return StatusCode.success

    def disable_event(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return StatusCode.success

    def discard_events(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return StatusCode.success


def connect(device: Device, resource: str = SOCKET, **settings: Any) -> Link:
    library: Any = TinyVisa(LibraryPath(f"tiny-{next(_numbers)}", "test"))
    library.device = device
    manager = pyvisa.ResourceManager(library)
    link = open_link(manager, resource, device.clock, name="source", **settings)
    device.log.clear()
    return link


def ask(link: Link, question: str) -> str:
    with link.conversation():
        link.write(question)
        return link.read()


def exchange(link: Link, message: bytes, *counts: int) -> list[bytes]:
    with link.conversation():
        link.write_bytes(message)
        return [link.read_bytes(count) for count in counts]


def doubtful(device: Device, resource: str) -> Link:
    """A link whose last question was not answered in time."""
    link = connect(device, resource)
    with pytest.raises(LinkTimeout):
        ask(link, "SLOW?")
    device.log.clear()
    return link


def fence(link: Link) -> Callable[[], None]:
    def prove() -> None:
        nonce = str(next(link.nonces))
        link.fence(f"*ESE {nonce};*ESE?", nonce)

    return prove


SLOW = {b"SLOW?": [(2_500 * MS, b"late\n")], b"V?": [(MS, b"20.0\n")], b"I?": [(MS, b"1e-3\n")]}


# --- a conversation that goes well


@pytest.mark.parametrize("resource", EVERY)
def test_a_question_and_its_answer(resource: str) -> None:
    device = Device({b"V?": [(3 * MS, b"+2.000000E+01\r\n")]})
    link = connect(device, resource)
    start_ns = device.clock.t_ns
    assert ask(link, "V?") == "+2.000000E+01"
    assert device.log == [b"V?\n"]
    assert device.clock.t_ns - start_ns == 3 * MS
    assert link.state is LinkState.READY


def test_fragments_are_put_together() -> None:
    device = Device({b"V?": [(MS, b"+2.0"), (MS, b"0E"), (MS, b"+01\n")]})
    assert ask(connect(device), "V?") == "+2.00E+01"


def test_settings_reach_the_resource_and_survive_reopening() -> None:
    device = Device(SLOW)
    link = connect(device, SERIAL, baud_rate=57600)
    library: Any = link.connection
    assert library.baud_rate == 57600
    device.broken = True
    link.write_now(b"OFF\n")
    assert library.baud_rate == 57600


def test_a_binary_answer_is_read_by_counting() -> None:
    frame = bytes(range(256)) * 256
    device = Device({b"\x01\x02": [(MS, frame)]})
    link = connect(device, read_termination=None, write_termination=None)
    assert exchange(link, b"\x01\x02", 44, len(frame) - 44) == [frame[:44], frame[44:]]
    assert link.state is LinkState.READY


def test_a_long_conversation_may_take_its_time() -> None:
    link = connect(Device(SLOW))
    with link.conversation(timeout_s=3.0):
        link.write("SLOW?")
        assert link.read() == "late"


# --- answers that do not come, or not as they should


@pytest.mark.parametrize("resource", EVERY)
def test_silence_ends_at_the_deadline_and_leaves_doubt(resource: str) -> None:
    device = Device()
    link = connect(device, resource)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkTimeout, match=r"source .*'V\?' within 2 s") as failed:
        ask(link, "V?")
    assert device.clock.t_ns - start_ns == 2_000 * MS
    assert link.state is LinkState.DOUBTFUL
    assert failed.value.where == "source"
    assert "unknown" in failed.value.hardware_state
    assert failed.value.next_step


def test_the_deadline_is_absolute_however_slowly_bytes_trickle() -> None:
    device = Device({b"\x01": [(500 * MS, b"x")] * 44})
    link = connect(device, read_termination=None, write_termination=None)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkTimeout):
        exchange(link, b"\x01", 44)
    assert device.clock.t_ns - start_ns <= 2_500 * MS


def test_an_answer_without_end_is_cut_off() -> None:
    device = Device()
    link = connect(device, max_reply_bytes=1000)
    link.write("V?")
    device.endless = True
    with pytest.raises(LinkDesync, match="1000 bytes without an end"):
        link.read()
    assert link.state is LinkState.DOUBTFUL


def test_an_announced_length_that_makes_no_sense_is_not_waited_for() -> None:
    device = Device({b"\x01": [(MS, b"x" * 44)]})
    link = connect(device, read_termination=None, write_termination=None)
    start_ns = device.clock.t_ns
    with pytest.raises(LinkDesync, match="4294967295 bytes"):
        exchange(link, b"\x01", 44, 2**32 - 1)
    assert device.clock.t_ns - start_ns == MS


def test_bytes_that_are_no_text_are_shown_and_not_believed() -> None:
    link = connect(Device({b"V?": [(MS, b"+2.0\xff\n")]}))
    with pytest.raises(LinkDesync, match="xff"):
        ask(link, "V?")
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.parametrize("resource", WITHOUT_CLEAR)
def test_a_duplicated_answer_is_not_taken_for_the_next_one(resource: str) -> None:
    link = connect(Device({**SLOW, b"V?": [(MS, b"20.0\n"), (0, b"20.0\n")]}), resource)
    assert ask(link, "V?") == "20.0"
    with pytest.raises(LinkDesync, match="before it was asked"):
        ask(link, "I?")


def test_a_question_over_an_unread_answer_is_refused() -> None:
    link = connect(Device(SLOW))
    link.write("V?")
    with pytest.raises(LinkDesync, match="unread"):
        link.write("I?")
    assert link.state is LinkState.DOUBTFUL


def test_listening_without_a_question_is_refused() -> None:
    with pytest.raises(LinkDesync, match="nothing was asked"):
        connect(Device()).read()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, ValueError])
def test_an_interrupt_between_question_and_answer_leaves_doubt(interrupt: type[BaseException]) -> None:
    link = connect(Device(SLOW))

    def interrupted() -> None:
        with link.conversation():
            link.write("V?")
            raise interrupt

    with pytest.raises(interrupt):
        interrupted()
    assert link.state is LinkState.DOUBTFUL


def test_an_error_after_the_answer_leaves_none() -> None:
    link = connect(Device(SLOW))

    def failing() -> None:
        with link.conversation():
            link.write("V?")
            link.read()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        failing()
    assert link.state is LinkState.READY


def test_a_broken_connection_is_an_instrument_error() -> None:
    device = Device(SLOW)
    link = connect(device)
    device.broken = True
    with pytest.raises(InstrumentError, match="reset by peer") as failed:
        ask(link, "V?")
    assert not isinstance(failed.value, LinkTimeout)
    assert link.state is LinkState.DOUBTFUL


# --- doubt and its end


@pytest.mark.parametrize("resource", EVERY)
def test_in_doubt_nothing_is_sent_and_nothing_believed(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    for conversation in (lambda: ask(link, "V?"), lambda: link.write("OUTP ON"), link.read):
        with pytest.raises(LinkDesync, match="in doubt"):
            conversation()
    assert device.log == []


@pytest.mark.parametrize("resource", EVERY)
def test_a_late_answer_is_never_taken_for_another(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    device.clock.sleep(0.6)  # now the late answer is there
    assert regain(link, fence(link))
    assert ask(link, "V?") == "20.0"


def test_an_answer_later_than_the_drain_is_dropped_by_the_fence() -> None:
    device = Device(SLOW)
    link = doubtful(device, SOCKET)
    device.clock.sleep(0.4)
    device.coming = [(device.clock.t_ns + 25 * MS, b"late\n")]  # the drain listens for 20 ms
    link.resync(fence(link))
    assert b"late" not in [chunk for _, chunk in device.coming]
    assert ask(link, "V?") == "20.0"


@pytest.mark.parametrize(("resource", "clears"), [(GPIB, 1), (USB, 1), (SOCKET, 0), (SERIAL, 0)])
def test_device_clear_only_where_the_link_has_one(resource: str, clears: int) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    link.resync(fence(link))
    assert device.log.count("device clear") == clears
    assert "opened" not in device.log


def test_what_cannot_be_proved_at_once_is_tried_on_a_new_connection() -> None:
    device = Device(SLOW)
    link = doubtful(device, SOCKET)
    device.broken = True
    link.resync(fence(link))
    assert "opened" in device.log
    assert ask(link, "V?") == "20.0"


def test_what_cannot_be_proved_at_all_stays_in_doubt() -> None:
    device = Device()
    link = doubtful(device, SOCKET)
    start_ns = device.clock.t_ns

    def prove() -> None:
        ask(link, "WHO?")

    with pytest.raises(LinkDesync, match="could not be brought back") as failed:
        link.resync(prove)
    assert isinstance(failed.value.__cause__, LinkTimeout)
    assert link.state is LinkState.DOUBTFUL
    assert device.clock.t_ns - start_ns <= 4_500 * MS


def test_somebody_else_is_told_at_once() -> None:
    link = doubtful(Device(SLOW), SOCKET)

    def prove() -> None:
        raise WrongIdentity("another serial number")

    with pytest.raises(WrongIdentity):
        link.resync(prove)
    assert link.state is LinkState.DOUBTFUL


def test_a_ready_link_is_left_alone() -> None:
    device = Device(SLOW)
    link = connect(device)
    assert not regain(link, fence(link))
    assert device.log == []


# --- off


@pytest.mark.parametrize("resource", EVERY)
def test_off_goes_out_in_doubt_and_takes_no_time(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    start_ns = device.clock.t_ns
    send_now(link, b"OFF\n")
    clear = ["device clear"] if resource in (GPIB, USB) else []
    assert device.log == [*clear, b"OFF\n"]
    assert device.clock.t_ns == start_ns
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.parametrize("resource", EVERY)
def test_off_goes_out_while_an_answer_is_unread(resource: str) -> None:
    device = Device(SLOW)
    link = connect(device, resource)
    link.write("V?")
    link.write_now(b"OFF\n")
    assert device.log[-1] == b"OFF\n"
    assert link.state is LinkState.DOUBTFUL
    link.resync(fence(link))
    assert ask(link, "I?") == "1e-3"


@pytest.mark.parametrize("resource", [GPIB, USB])
def test_an_off_message_is_not_cleared_away_by_the_resync_after_it(resource: str) -> None:
    device = Device(SLOW)
    link = doubtful(device, resource)
    link.write_now(b"OFF\n")
    link.resync(fence(link))
    assert device.log[:2] == ["device clear", b"OFF\n"]
    assert "device clear" not in device.log[2:]


def test_off_leaves_a_ready_link_ready() -> None:
    device = Device(SLOW)
    link = connect(device)
    link.write_now(b"OFF\n")
    assert ask(link, "V?") == "20.0"


def test_off_goes_out_even_if_the_clear_fails() -> None:
    device = Device(SLOW)
    link = connect(device, GPIB)
    device.refuses_clear = True
    link.write_now(b"OFF\n")
    assert device.log == [b"OFF\n"]


def test_off_goes_out_through_a_new_connection() -> None:
    device = Device(SLOW)
    link = connect(device)
    device.broken = True
    link.write_now(b"OFF\n")
    assert device.log == ["opened", b"OFF\n"]
    assert link.state is LinkState.DOUBTFUL


def test_off_does_not_wait_for_another_threads_conversation() -> None:
    device = Device(SLOW)
    link = connect(device)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with link.conversation():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert inside.wait(10)
        link.write_now(b"OFF\n")
        assert not leave.is_set()
        assert device.log == [b"OFF\n"]
    finally:
        leave.set()
        other.join()
    assert link.state is LinkState.DOUBTFUL


# --- pyvisa-py on a real socket


@contextmanager
def served(answer: Callable[[bytes], bytes]) -> Generator[int]:
    """A server on the loopback that answers lines; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer, peer.makefile("rb") as lines:
                for line in lines:
                    peer.sendall(answer(line.strip()))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(10)


@contextmanager
def loopback(port: int, **settings: Any) -> Generator[Link]:
    manager = pyvisa.ResourceManager("@py")
    link = open_link(manager, f"TCPIP::127.0.0.1::{port}::SOCKET", MonotonicClock(), name="loopback", timeout_s=0.3, **settings)
    try:
        yield link
    finally:
        link.close()
        manager.close()


def test_a_real_socket_answers_and_does_not_wait_for_acknowledgements() -> None:
    with served(lambda line: b"20.0\r\n" if line.endswith(b"?") else b"") as port, loopback(port) as link:
        link.write("SET")
        assert ask(link, "V?") == "20.0"
        resource: Any = link.connection
        interface = resource.visalib.sessions[resource.session].interface
        assert interface.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_real_socket_with_too_many_answers_is_in_doubt() -> None:
    with served(lambda _: b"20.0\n20.0\n") as port, loopback(port) as link:
        assert ask(link, "V?") == "20.0"
        with pytest.raises(LinkDesync, match="before it was asked"):
            ask(link, "I?")


def test_a_real_socket_that_is_silent_times_out() -> None:
    with served(lambda line: line[5:-6] + b"\n" if line.startswith(b"*ESE") else b"") as port, loopback(port) as link:
        with pytest.raises(LinkTimeout):
            ask(link, "V?")
        link.resync(fence(link))
        assert link.state is LinkState.READY


def test_a_large_answer_over_a_real_socket() -> None:
    frame = b"".join(i.to_bytes(2, "little") for i in range(32_580))
    with served(lambda _: frame) as port, loopback(port, read_termination=None, write_termination=None) as link:
        assert exchange(link, b"go\n", 44, len(frame) - 44) == [frame[:44], frame[44:]]


def test_a_port_nobody_listens_on_is_told_when_it_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(InstrumentError, match="cannot be opened"), loopback(port):
        pass


@pytest.mark.parametrize("resource", ["COM", "TCPIP::", "ASRL77::INSTR"])
def test_what_cannot_be_opened_is_told_with_a_next_step(resource: str) -> None:
    manager = pyvisa.ResourceManager("@py")
    with pytest.raises(InstrumentError, match="cannot be opened") as failed:
        open_link(manager, resource, SteppedClock(), name="source")
    manager.close()
    assert failed.value.where == resource
    assert failed.value.next_step


def test_a_setting_the_resource_does_not_have_is_refused() -> None:
    with pytest.raises(InstrumentError, match="baud_rat"):
        connect(Device(), SERIAL, baud_rat=9600)
