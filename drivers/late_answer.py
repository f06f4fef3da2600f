"""Answers that are long in coming: looked for on a link again and again, without doubting it because they are not there yet.

Whoever uses this knows that an answer is owed. On raw USB an instrument may answer from several endpoints; which one is read
from is chosen here too (untested on hardware).
"""

import math
from typing import Any

from pymeasure.adapters import Adapter
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.errors import Error as VisaError
from pyvisa.errors import VisaIOError
from pyvisa.resources import USBRaw

from drivers.clock import Deadline
from drivers.errors import InstrumentError
from drivers.link import Link, LinkState
from drivers.visa_session import arrived, session_behind

POLL_S = 1e-3


def first_bytes(adapter: Adapter, count: int, patience_s: float) -> bytes:
    """Begin an answer: its first `count` bytes, or none when none of it has come within `patience_s` (s).

    Called inside a conversation, in which the rest is then read. `count` is what arrives together: at most one packet on raw
    USB. Adapters that are no links wait for as long as they do.

    Raises
    ------
    LinkDesync       the link is in doubt
    InstrumentError  the link fails
    """
    if not isinstance(adapter, Link):
        return adapter.read_bytes(count)
    if adapter.state is LinkState.READY:
        adapter.state = LinkState.AWAITING
    elif adapter.state is LinkState.DOUBTFUL:
        return adapter.read_bytes(count)  # which refuses
    arrived = _wait(adapter, patience_s)
    if arrived is None:
        return _read_or_nothing(adapter, count, patience_s)
    return adapter.read_bytes(count) if arrived else b""


def listen_to(adapter: Adapter, pipe: int) -> None:
    """Choose the endpoint that a link on raw USB reads from; other links have one stream.

    Raises
    ------
    InstrumentError  this VISA library cannot choose
    """
    if not isinstance(adapter, Link) or not isinstance(resource := adapter.connection, USBRaw):
        return
    try:
        resource.set_visa_attribute(ResourceAttribute.usb_bulk_in_pipe, pipe)
    except VisaError as error:
        raise InstrumentError(
            f"{adapter.name} answers from several endpoints, and this VISA library does not let one choose: {error}",
            where=adapter.name,
            hardware_state="as before",
            next_step="use a VISA library that knows the attribute VI_ATTR_USB_BULK_IN_PIPE, or another driver",
        ) from error


def _wait(link: Link, patience_s: float) -> bool | None:
    """Whether bytes have arrived, waiting for them; None where only reading tells."""
    resource: Any = link.connection
    try:
        if (ready := arrived(resource, patience_s)) is not None:
            return ready > 0
        interface: Any = getattr(session_behind(resource), "interface", None)
        if getattr(interface, "in_waiting", None) is None:
            return None
        patience = Deadline(link.clock, patience_s)
        while not interface.in_waiting:  # pyserial's port
            if patience.over:
                return False
            link.clock.sleep(POLL_S)
    except OSError as error:
        raise _failed(link, error) from error
    return True


def _read_or_nothing(link: Link, count: int, patience_s: float) -> bytes:
    resource: Any = link.connection
    resource.timeout = max(1, math.ceil(patience_s * 1000))  # some libraries take 0 for "forever"
    try:
        data: bytes = resource.read_bytes(count, chunk_size=count, break_on_termchar=True)
    except VisaIOError as error:
        if error.error_code == StatusCode.error_timeout:
            return b""
        raise _failed(link, error) from error
    return data if len(data) == count else data + link.read_bytes(count - len(data))


def _failed(link: Link, error: Exception) -> InstrumentError:
    link.state = LinkState.DOUBTFUL
    return InstrumentError(
        f"The link to {link.name} failed while an answer was waited for: {error}",
        where=link.name,
        hardware_state="unknown",
        next_step="check that the instrument is on and connected and that no other program holds it",
    )
