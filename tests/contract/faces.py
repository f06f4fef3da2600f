"""The two faces that a role is tested through: the in-process VISA library, and the server with PyVISA-py on real sockets.

On both a bench moves only while somebody waits for it, so that what is measured is exact and does not depend on the computer.
"""

import itertools
import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pyvisa import ResourceManager
from pyvisa.constants import ResourceAttribute, SerialTermination, StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.typing import VISASession
from pyvisa.util import LibraryPath
from pyvisa_py.highlevel import PyVisaLibrary
from wire import Wire

from drivers import visa_session
from drivers.clock import Clock
from sim_instruments.client_connection import ClientConnection
from sim_instruments.pace import SteppedPace
from sim_instruments.persona import Persona
from sim_instruments.server import BenchServer
from sim_instruments.visa_library import library_for
from sim_instruments.world import START_NS, World

IN_PROCESS, SERVED = FACES = ("in-process", "served")
DELIVERY_S = 5.0  # real time; loopback needs microseconds
PEEK_BYTES = 1 << 20
IN_PART_MS = 50  # real time for a read that is out of time with part of an answer there: a serial port reads byte by byte
TRANSFER_NS = 50_000  # between two writes: what system, network and Python take at least
_serial = itertools.count(1)


class Face(Clock, Protocol):
    """A bench as the drivers reach it; as a Clock, what they wait by."""

    world: World
    transfer_ns: int
    """By how much later (ns) a write arrives than one that was sent at the same time."""

    @property
    def manager(self) -> ResourceManager:
        """PyVISA's manager of the instruments; asked for when every replacement is in its place."""
        ...

    def replace(self, role: str, persona: Persona) -> None:
        """Put something in the place of an instrument, before it is opened."""
        ...

    def advance_to(self, t_ns: int) -> None:
        """Let everything happen up to `t_ns`."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


class InProcessFace:
    """The in-process library on a world."""

    transfer_ns = 0

    def __init__(self, description: Mapping[str, Any], seed: int) -> None:
        self.world = World(description, seed)
        self._manager: ResourceManager | None = None

    @property
    def manager(self) -> ResourceManager:
        if self._manager is None:
            self._manager = ResourceManager(library_for(self.world))
        return self._manager

    def replace(self, role: str, persona: Persona) -> None:
        self.world.personas[role] = persona

    def now_ns(self) -> int:
        return self.world.now_ns()

    def sleep(self, duration_s: float) -> None:
        self.world.sleep(duration_s)

    def advance_to(self, t_ns: int) -> None:
        self.world.advance_to(t_ns)

    def close(self) -> None:
        pass


def _socket_of(session: Any) -> Any:
    interface = session.interface
    return getattr(interface, "_socket", interface)  # pyserial's port has one inside


def _end(session: Any) -> None:
    """Close pyserial's socket, which would sleep 0.3 s afterwards for the sake of whoever connects next."""
    interface = session.interface
    if interface is not _socket_of(session):
        interface._socket.close()
        interface._socket, interface.is_open = None, False


@dataclass(slots=True)
class _Talk:
    """A connection as both ends see it."""

    session: Any  # of pyvisa-py
    connection: ClientConnection
    wire: Wire | None
    written: int = 0
    read: int = 0

    @property
    def socket(self) -> Any:
        return _socket_of(self.session)

    def waiting(self) -> bytes | bytearray:
        """What has arrived and has not been read; taken into PyVISA-py's own buffer where it has one, as its reads do."""
        pending: bytearray | None = getattr(self.session, "_pending_buffer", None)
        outside = self.connection.sent_bytes > self.read + len(pending or b"")
        if outside and select.select([self.socket], [], [], 0)[0]:
            if pending is None:
                return self.socket.recv(PEEK_BYTES, socket.MSG_PEEK)
            pending += self.socket.recv(PEEK_BYTES)
        return pending or b""

    def serves(self, count: int) -> bool:
        """Whether a read of `count` bytes ends without waiting."""
        waiting = self.waiting()
        end = self._end()
        return len(waiting) >= count or (end is not None and end in waiting)

    def in_flight(self) -> bool:
        """Whether bytes are on their way through the system, in either direction."""
        coming = self.connection.wants_read and self.written > self.connection.received_bytes
        return coming or self.connection.sent_bytes > self.read + len(self.waiting())

    def _end(self) -> bytes | None:
        """The byte that ends a read."""
        end = bytes([self.session.get_attribute(ResourceAttribute.termchar)[0]])
        if hasattr(self.session.interface, "baudrate"):
            ends = self.session.get_attribute(ResourceAttribute.asrl_end_in)[0] == SerialTermination.termination_char
        else:
            ends = self.session.get_attribute(ResourceAttribute.termchar_enabled)[0]
        return end if ends else None


class SteppedPyLibrary(PyVisaLibrary):
    """PyVISA-py as it is, but a read that has to wait lets world time pass until it need not, or until its timeout."""

    face: "ServedFace"

    def open(self, *args: Any, **kwargs: Any) -> tuple[VISASession, StatusCode]:
        number, status = super().open(*args, **kwargs)
        self.face.opened(number, self.sessions[number])
        return number, status

    def close(self, session: Any) -> StatusCode:
        if session in self.face.talks:
            _end(self.face.talks[session].session)
        status = super().close(session)
        self.face.closed(session)
        return status

    def write(self, session: VISASession, data: bytes) -> tuple[int, StatusCode]:
        talk = self.face.talks[session]
        self.face.take_turns()
        cut = None
        if talk.wire is not None:
            cut, talk.wire.cut_at = talk.wire.cut_at, None
        count, status = super().write(session, data[:cut])
        talk.written += count
        self.face.settle()
        if cut is not None:
            raise VisaIOError(StatusCode.error_io)
        return count, status

    def read(self, session: VISASession, count: int) -> tuple[bytes, StatusCode]:
        talk = self.face.talks[session]
        timeout_s = talk.session.timeout
        limit_ns = self.face.now_ns() + round(timeout_s * 1e9)
        in_time = self.face.wait_for(lambda: talk.serves(count), limit_ns)
        before = len(talk.waiting())
        if not (in_time or before):  # what PyVISA-py would say after at least a millisecond
            return b"", self.handle_return_value(session, StatusCode.error_timeout)
        if not in_time:
            self.set_attribute(session, ResourceAttribute.timeout_value, IN_PART_MS)
        try:
            return super().read(session, count)
        finally:
            talk.read += before - len(talk.waiting())
            if not in_time:
                self.set_attribute(session, ResourceAttribute.timeout_value, round(timeout_s * 1e3))


class ServedFace:
    """A served bench whose loop is turned by whoever waits for it, and PyVISA-py that talks to it."""

    transfer_ns = TRANSFER_NS

    def __init__(self, description: Mapping[str, Any], seed: int) -> None:
        self.pace = SteppedPace(START_NS)
        self.server = BenchServer(description, seed=seed, pace=self.pace)
        self.world = self.server.world
        self.talks: dict[Any, _Talk] = {}
        self._written_ns = START_NS
        self._wires: dict[str, Wire] = {}
        library = cast(SteppedPyLibrary, SteppedPyLibrary(LibraryPath(f"served-bench-{next(_serial)}")))
        library.face = self
        self._manager = ResourceManager(library)
        self._select: Any = visa_session.select
        visa_session.select = self  # type: ignore[assignment]  # the one wait of a driver that is neither VISA's nor its clock's

    # --- the bench

    @property
    def manager(self) -> ResourceManager:
        return self._manager

    def replace(self, role: str, persona: Persona) -> None:
        self.server.rewire(role, persona)
        if isinstance(persona, Wire):
            self._wires[role] = persona

    def close(self) -> None:
        visa_session.select = self._select
        self._manager.close()
        self.server.close()

    # --- time

    def now_ns(self) -> int:
        return self.pace.now_ns()

    def sleep(self, duration_s: float) -> None:
        if duration_s > 0:
            self.advance_to(self.now_ns() + round(duration_s * 1e9))

    def advance_to(self, t_ns: int) -> None:
        self.pace.advance_to(t_ns)
        self.settle()

    def wait_for(self, ready: Callable[[], bool], limit_ns: int) -> bool:
        """Let time pass, turn by turn as the server wants it, until `ready` or `limit_ns`; tell which it was."""
        self.settle()
        while not ready():
            now_ns = self.now_ns()
            if now_ns >= limit_ns:
                return False
            assert self.server.wake_ns > now_ns, "the server wants to turn and turn while time stands still"
            self.advance_to(min(limit_ns, self.server.wake_ns))
        return True

    def select(self, read: Iterable[Any], write: Iterable[Any], fail: Iterable[Any], timeout_s: float) -> tuple[Any, ...]:
        """Stand in for select.select where somebody waits for a connection to this bench."""
        (interface,) = read
        ours = [talk for talk in self.talks.values() if talk.session.interface is interface]
        if ours:
            in_time = self.wait_for(lambda: bool(ours[0].waiting()), self.now_ns() + round(timeout_s * 1e9))
            return [interface] * in_time, [], []
        return self._select.select([interface], write, fail, timeout_s)

    # --- bytes under way

    def take_turns(self) -> None:
        """Let pass what lies between two writes."""
        self.advance_to(self._written_ns + TRANSFER_NS)
        self._written_ns = self.now_ns()

    def opened(self, number: Any, session: Any) -> None:
        """Wait until the server has taken in who has just connected."""
        connection = _socket_of(session)
        here, port = connection.getsockname(), connection.getpeername()[1]
        (role,) = [role for role, address in self.server.addresses.items() if address.port == port]
        met: list[ClientConnection] = []

        def has_met() -> bool:
            met[:] = [one for one in self.server.clients(role) if not one.lost and one.socket.getpeername() == here]
            return bool(met)

        self._turn_until(has_met)
        self.talks[number] = _Talk(session, met[0], self._wires.get(role))

    def closed(self, number: Any) -> None:
        """Wait until the server has noticed that somebody has gone."""
        talk = self.talks.pop(number, None)
        if talk is not None:
            self._turn_until(lambda: talk.connection.finished or talk.connection.lost)
            self.server.turn()

    def settle(self) -> None:
        """Turn until every byte that was sent has arrived at its other end; no time passes."""
        self.server.turn()
        self._turn_until(lambda: not any(talk.in_flight() for talk in self.talks.values()))

    def _turn_until(self, done: Callable[[], bool]) -> None:
        patience = time.monotonic() + DELIVERY_S
        while not done():
            assert time.monotonic() < patience, "bytes that were sent never arrived"
            self.server.turn()


def make_face(face: str, description: Mapping[str, Any], seed: int) -> Face:
    """The face of that name on a bench."""
    return {IN_PROCESS: InProcessFace, SERVED: ServedFace}[face](description, seed)
