"""The fenced conversation on pyvisa-py with a real socket, and links that cannot be opened."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import pyvisa
from link_wire import SERIAL, Device, SteppedClock, ask, connect, exchange, fence

from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError, LinkDesync, LinkTimeout
from drivers.link import Link, LinkState, open_link

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


@pytest.mark.fault("W3")
def test_a_real_socket_with_too_many_answers_is_in_doubt() -> None:
    with served(lambda _: b"20.0\n20.0\n") as port, loopback(port) as link:
        assert ask(link, "V?") == "20.0"
        with pytest.raises(LinkDesync, match="before it was asked"):
            ask(link, "I?")


@pytest.mark.fault("W1")
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
