"""Connections that end, are refused or are dropped under a link, on real sockets through pyvisa-py; a wall clock that stops."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import pyvisa

from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError, LinkTimeout
from drivers.link import Link, LinkState, open_link

PATIENCE_S = 5.0


@contextmanager
def listening() -> Generator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@contextmanager
def link_to(server: socket.socket, timeout_s: float = 3.0) -> Generator[Link]:
    manager = pyvisa.ResourceManager("@py")
    name = f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"
    link = open_link(manager, name, MonotonicClock(), name="source", timeout_s=timeout_s)
    try:
        yield link
    finally:
        link.close()
        manager.close()


def ask(link: Link) -> str:
    with link.conversation():
        link.write("V?")
        return link.read()


@pytest.mark.fault("W7")
def test_a_connection_that_ends_instead_of_an_answer_is_told_at_once() -> None:
    with listening() as server, link_to(server) as link:
        peer, _ = server.accept()
        peer.settimeout(PATIENCE_S)

        def hang_up() -> None:
            peer.recv(16)
            peer.close()

        hangs_up = threading.Thread(target=hang_up)
        hangs_up.start()
        began = time.monotonic()
        with pytest.raises(InstrumentError, match="the other side has ended the connection"):
            ask(link)
        hangs_up.join(PATIENCE_S)
        assert time.monotonic() - began < 1.0
        assert link.state is LinkState.DOUBTFUL


def test_a_connection_that_ended_between_two_questions_is_not_taken_for_an_unasked_answer() -> None:
    with listening() as server, link_to(server) as link:
        peer, _ = server.accept()
        peer.close()
        with pytest.raises(InstrumentError, match="the other side has ended the connection"):
            link.write("V?")


@pytest.mark.fault("W7")
def test_off_is_not_lost_in_a_connection_that_has_ended() -> None:
    with listening() as server, link_to(server) as link:
        server.accept()[0].close()
        link.write_now(b"off\n")
        peer, _ = server.accept()
        with peer:
            peer.settimeout(PATIENCE_S)
            assert peer.recv(16) == b"off\n"


@pytest.mark.fault("W7")
def test_off_is_sent_again_when_a_new_connection_is_dropped_at_once() -> None:
    """As serial device servers do while they hold another one to be open."""
    heard: list[bytes] = []

    def take(server: socket.socket) -> None:
        for _ in range(2):
            server.accept()[0].close()
        peer, _ = server.accept()
        with peer:
            peer.settimeout(PATIENCE_S)
            heard.append(peer.recv(16))

    with listening() as server, link_to(server) as link:
        server.accept()[0].close()
        taker = threading.Thread(target=take, args=(server,))
        taker.start()
        link.write_now(b"off\n")
        taker.join(PATIENCE_S)
    assert heard == [b"off\n"]


def test_off_that_nobody_takes_is_told_within_a_second_and_a_half() -> None:
    with listening() as server, link_to(server) as link:
        server.accept()[0].close()
        server.close()
        began = time.monotonic()
        with pytest.raises(InstrumentError, match="cannot be opened"):
            link.write_now(b"off\n")
        assert 0.9 < time.monotonic() - began < 1.5


@pytest.mark.fault("X9")
def test_a_deadline_does_not_depend_on_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyVISA-py takes its own from it: were it asked to wait, it would wait for ever here."""
    with listening() as server, link_to(server, timeout_s=0.3) as link:
        peer, _ = server.accept()
        monkeypatch.setattr(time, "time", lambda: 0.0)
        began = time.monotonic()
        threading.Timer(0.1, peer.sendall, (b"20.",)).start()  # in part
        with peer, pytest.raises(LinkTimeout):
            ask(link)
        assert 0.25 < time.monotonic() - began < 1.0
