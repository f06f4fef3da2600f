"""A serial adapter that is pulled out: what pyserial raises then on Windows, by a port that raises it, and what a user reads.

The errors are those that pyserial's Windows port raises when Windows says that the device has gone (ClearCommError failed with
PermissionError 13 or OSError 22; WriteFile failed; a port that cannot be opened again before it is plugged in once more). That
Windows still raises them in this order, and that a port of the same name works again after it was plugged in, needs Windows and
an adapter: see the check list in docs/safety.md.

Source: texts of pyserial's `serialwin32.py`; the order from memory, unverified.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import serial

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from link_wire import SteppedClock
from pyvisa.resources import SerialInstrument

from drivers.errors import InstrumentError
from drivers.link import Link, LinkState

GONE = "ClearCommError failed (PermissionError(13, 'The device does not recognize the command.', None, 22))"
NOT_WRITTEN = "WriteFile failed (PermissionError(13, 'The device does not recognize the command.', None, 22))"
NOT_OPENED = "could not open port 'COM7': FileNotFoundError(2, 'The system cannot find the file specified.', None, 2)"


class UnpluggedPort:
    """What a link needs of a serial resource, with a cable that can be pulled. Counts openings and what was written."""

    def __init__(self) -> None:
        self.plugged = True
        self.openings = 0
        self.written: list[bytes] = []
        self.timeout = 0
        self.visalib = None

    def open(self, **_: Any) -> None:
        self.openings += 1
        if not self.plugged:
            raise serial.SerialException(NOT_OPENED)

    def close(self) -> None:
        """Closing a handle of a device that has gone is no error."""

    def write_raw(self, message: bytes) -> int:
        if not self.plugged:
            raise serial.SerialException(NOT_WRITTEN)
        self.written.append(message)
        return len(message)

    def read_bytes(self, count: int, **_: Any) -> bytes:
        if not self.plugged:
            raise serial.SerialException(GONE)
        return b"20.0\n"

    def __str__(self) -> str:
        return "ASRL7::INSTR"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> UnpluggedPort:
    monkeypatch.setattr(Link, "_unasked", lambda link: False)
    return UnpluggedPort()


def link_to(port: Any) -> Link:
    resource: SerialInstrument = port
    return Link(resource, SteppedClock(), name="shutter (thorlabs-sc10)", timeout_s=0.5)


@pytest.mark.fault("X17")
@pytest.mark.parametrize("asked_first", [True, False], ids=["while-it-answers", "while-it-is-told"])
def test_the_text_names_instrument_event_state_and_next_step(port: UnpluggedPort, asked_first: bool) -> None:
    link = link_to(port)
    if asked_first:
        link.write("ens?")
        port.plugged = False
        with pytest.raises(InstrumentError) as told:
            link.read()
        assert "while it was answering 'ens?'" in str(told.value)
        assert "ClearCommError failed" in str(told.value)
    else:
        port.plugged = False
        with pytest.raises(InstrumentError) as told:
            link.write("ens?")
        assert "while it was taking 'ens?'" in str(told.value)
    assert "shutter (thorlabs-sc10)" in str(told.value)
    assert "may or may not have been executed" in told.value.hardware_state
    assert "check that the instrument is on and connected" in told.value.next_step
    assert link.state is LinkState.DOUBTFUL


@pytest.mark.fault("X17")
def test_off_is_tried_for_a_while_with_pauses_and_then_told_as_not_sent(port: UnpluggedPort) -> None:
    link = link_to(port)
    port.plugged = False
    began_ns = link.clock.now_ns()
    with pytest.raises(InstrumentError) as told:
        link.write_now(b"off\n")
    waited_s = (link.clock.now_ns() - began_ns) * 1e-9
    assert 0.5 < waited_s < 2.0
    assert "ASRL7::INSTR" in str(told.value)
    assert not port.written


@pytest.mark.fault("X17")
def test_off_gets_through_when_the_adapter_is_back(port: UnpluggedPort) -> None:
    link = link_to(port)
    port.plugged = False

    class PluggedIn(SteppedClock):
        def sleep(self, duration_s: float) -> None:
            super().sleep(duration_s)
            port.plugged = self.t_ns >= 300_000_000

    link.clock = PluggedIn()
    link.write_now(b"off\n")
    assert port.written == [b"off\n"]
    assert link.clock.now_ns() >= 300_000_000


@pytest.mark.fault("X17")
def test_a_port_that_is_gone_is_opened_at_most_once_for_each_proof(port: UnpluggedPort) -> None:
    """No loop that opens and opens while nobody waits for anything."""
    link = link_to(port)
    port.plugged = False
    with pytest.raises(InstrumentError):
        link.resync(lambda: None)
    link.clock.sleep(60.0)
    assert port.openings <= 1
