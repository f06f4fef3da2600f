"""A VISA library of a few lines with a stepped clock, for tests of the fenced conversation."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import pyvisa
from pyvisa import rname
from pyvisa.constants import InterfaceType, ResourceAttribute, StatusCode
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from drivers.errors import LinkTimeout
from drivers.link import Link, open_link

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
