"""Answers that are long in coming, on a real socket through pyvisa-py."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import MagicMock

import pytest
import pyvisa
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.resources import USBRaw

from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError, LinkDesync
from drivers.late_answer import first_bytes, listen_to
from drivers.link import Link, LinkState, open_link


@contextmanager
def loopback() -> Generator[tuple[Link, socket.socket]]:
    """A link, and the other end of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        manager = pyvisa.ResourceManager("@py")
        link = open_link(
            manager,
            f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET",
            MonotonicClock(),
            name="loopback",
            timeout_s=1.0,
            read_termination=None,
            write_termination=None,
        )
        peer, _ = server.accept()
        try:
            with peer:
                yield link, peer
        finally:
            link.close()
            manager.close()


def test_silence_is_no_answer_and_no_doubt() -> None:
    with loopback() as (link, _):
        began_ns = link.clock.now_ns()
        with link.conversation():
            assert first_bytes(link, 4, 0.05) == b""
        assert 0.04e9 < link.clock.now_ns() - began_ns < 0.5e9
        assert link.state is LinkState.READY


def test_an_answer_that_comes_late_is_read_in_full() -> None:
    with loopback() as (link, peer):
        link.write_bytes(b"go")
        with link.conversation():
            assert first_bytes(link, 4, 0.0) == b""
        timer = threading.Timer(0.05, lambda: peer.sendall(b"spectrum"))
        timer.start()
        with link.conversation():
            assert first_bytes(link, 4, 0.5) == b"spec"
            assert link.read_bytes(4) == b"trum"
        timer.join()
        assert link.state is LinkState.READY


def test_a_link_in_doubt_is_not_listened_to() -> None:
    with loopback() as (link, peer):
        peer.sendall(b"spec")
        link.state = LinkState.DOUBTFUL
        with pytest.raises(LinkDesync):
            first_bytes(link, 4, 0.1)


# --- endpoints --------------------------------------------------------------------------------------------------------


def raw_usb_link() -> tuple[Link, Any]:
    resource = MagicMock(spec=USBRaw)
    resource.visalib = None
    return Link(resource, MonotonicClock(), name="spectrometer", read_termination=None), resource


def test_on_raw_usb_the_endpoint_is_chosen() -> None:
    link, resource = raw_usb_link()
    listen_to(link, 0x86)
    resource.set_visa_attribute.assert_called_once_with(ResourceAttribute.usb_bulk_in_pipe, 0x86)


def test_a_library_that_cannot_choose_is_told_with_a_way_out() -> None:
    link, resource = raw_usb_link()
    resource.set_visa_attribute.side_effect = VisaIOError(StatusCode.error_nonsupported_attribute)
    with pytest.raises(InstrumentError, match="several endpoints") as told:
        listen_to(link, 0x86)
    assert "VI_ATTR_USB_BULK_IN_PIPE" in told.value.next_step


def test_other_links_have_one_stream() -> None:
    with loopback() as (link, peer):
        listen_to(link, 0x86)
        peer.sendall(b"spec")
        with link.conversation():
            assert first_bytes(link, 4, 0.5) == b"spec"


def test_a_failing_library_leaves_doubt() -> None:
    link, resource = raw_usb_link()
    resource.read_bytes.side_effect = VisaIOError(StatusCode.error_io)
    with pytest.raises(InstrumentError, match="waited for"), link.conversation():
        first_bytes(link, 512, 0.01)
    assert link.state is LinkState.DOUBTFUL


def test_a_read_timeout_is_no_answer_yet() -> None:
    link, resource = raw_usb_link()
    resource.read_bytes.side_effect = VisaIOError(StatusCode.error_timeout)
    with link.conversation():
        assert first_bytes(link, 512, 0.0) == b""
    assert link.state is LinkState.READY
    assert resource.timeout == 1  # never 0, which is "for ever" to some libraries
