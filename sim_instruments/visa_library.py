"""Face 1 of the simulated bench: an in-process PyVISA library on the world's stepped clock.

The drivers and any other PyVISA program talk to it with the calls they use for hardware. A read that has to wait advances the
world to the moment the reply is there, or to the timeout. Everything happens in the calling thread.
"""

import fnmatch
import itertools
import threading
from dataclasses import dataclass, field
from typing import Any, cast

from pyvisa import rname
from pyvisa.constants import (
    VI_TMO_INFINITE,
    AccessModes,
    EventAttribute,
    EventMechanism,
    EventType,
    InterfaceType,
    ResourceAttribute,
    StatusCode,
)
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.typing import VISARMSession, VISASession
from pyvisa.util import LibraryPath

from sim_instruments.persona import Persona
from sim_instruments.world import World

STEP_NS = 100_000  # how far the world moves when nobody knows when a reply will come
DEFAULT_TIMEOUT_MS = 2000
INFINITE_WAIT_LIMIT_NS = 3_600_000_000_000
_serial = itertools.count(1)
# links with a clear of their own; a socket or a serial line has none (and must not get one in simulation)
_CLEARABLE = {InterfaceType.gpib, InterfaceType.usb, InterfaceType.vxi}


@dataclass(slots=True)
class _Conversation:
    persona: Persona
    attributes: dict[Any, Any] = field(default_factory=dict)
    clearable: bool = False
    left_over: bytes = b""
    left_over_ends: bool = False
    has_end: bool = False  # the link carries an END mark (GPIB, USB), so a message's last byte is known


class SimulatedVisaLibrary(VisaLibraryBase):
    """PyVISA library whose resources are the personas of one World; make it with `library_for(world)`."""

    world: World

    def _init(self) -> None:
        self._conversations: dict[int, _Conversation] = {}
        self._numbers = itertools.count(1)
        self._thread = threading.get_ident()

    # --- resource manager

    def open_default_resource_manager(self) -> tuple[VISARMSession, StatusCode]:
        """Open the manager's own session."""
        session = VISARMSession(next(self._numbers))
        return session, self.handle_return_value(session, StatusCode.success)

    def list_resources(self, session: VISARMSession, query: str = "?*::INSTR") -> tuple[str, ...]:
        """Names of the simulated resources that match a VISA expression (`?` one character, `?*` any)."""
        pattern = query.split("{")[0].replace("?*", "*")
        return tuple(name for name in self.world.resources.values() if fnmatch.fnmatchcase(name.upper(), pattern.upper()))

    def open(
        self,
        session: VISARMSession,
        resource_name: str,
        access_mode: AccessModes = AccessModes.no_lock,
        open_timeout: int = 0,
    ) -> tuple[VISASession, StatusCode]:
        """Open a conversation with the persona behind a resource name."""
        self._check_thread()
        number = VISASession(next(self._numbers))
        wanted = str(rname.ResourceName.from_string(resource_name)).upper()
        names = {str(rname.ResourceName.from_string(name)).upper(): role for role, name in self.world.resources.items()}
        role = names.get(wanted)
        if role is None:
            return number, self.handle_return_value(None, StatusCode.error_resource_not_found)
        parsed = cast(Any, rname.ResourceName.from_string(resource_name))
        interface = getattr(InterfaceType, parsed.interface_type_const.name)
        instr = parsed.resource_class == "INSTR"
        self._conversations[number] = _Conversation(
            self.world.personas[role],
            {
                ResourceAttribute.resource_name: resource_name,
                ResourceAttribute.resource_class: parsed.resource_class,
                ResourceAttribute.interface_type: interface,
                ResourceAttribute.interface_number: 0,
                ResourceAttribute.timeout_value: DEFAULT_TIMEOUT_MS,
                ResourceAttribute.termchar: ord("\n"),
                ResourceAttribute.termchar_enabled: False,
                ResourceAttribute.send_end_enabled: True,
                ResourceAttribute.suppress_end_enabled: not instr,
                ResourceAttribute.interface_instrument_name: f"simulated {role}",
            },
            clearable=instr and interface in _CLEARABLE,
            has_end=instr and interface != InterfaceType.asrl,
        )
        return number, self.handle_return_value(number, StatusCode.success)

    def close(self, session: VISASession | VISARMSession | Any) -> StatusCode:
        """End a conversation; the instrument does not notice."""
        self._conversations.pop(session, None)
        return self.handle_return_value(None, StatusCode.success)

    # --- conversation

    def write(self, session: VISASession, data: bytes) -> tuple[int, StatusCode]:
        """Send bytes; they arrive now."""
        self._check_thread()
        self.world.catch_up()
        self._conversations[session].persona.receive(bytes(data), self.world.now_ns())
        return len(data), self.handle_return_value(session, StatusCode.success)

    def read(self, session: VISASession, count: int) -> tuple[bytes, StatusCode]:
        """Read up to `count` bytes, advancing the world until they are there or the timeout has passed.

        Ends for the reason VISA gives: termination character, END of the message, or `count` reached.
        """
        self._check_thread()
        talk = self._conversations[session]
        terminator = int(talk.attributes[ResourceAttribute.termchar])
        stops_at_terminator = bool(talk.attributes[ResourceAttribute.termchar_enabled])
        timeout_ms = int(talk.attributes[ResourceAttribute.timeout_value])
        infinite = timeout_ms == VI_TMO_INFINITE
        deadline_ns = self.world.now_ns() + (INFINITE_WAIT_LIMIT_NS if infinite else timeout_ms * 1_000_000)
        collected = b""
        while True:
            if not talk.left_over and not self._wait_for_reply(talk.persona, deadline_ns):
                if infinite:
                    raise RuntimeError("a read without timeout waits for a reply that nothing on the simulated bench can cause")
                return collected, self.handle_return_value(session, StatusCode.error_timeout)
            if stops_at_terminator or talk.left_over:
                chunk, end = self._take_to(talk, terminator, count - len(collected))
            else:
                chunk, end = talk.persona.take(count - len(collected), self.world.now_ns())
            if not (chunk or end or len(collected) >= count):
                raise RuntimeError("a simulated instrument says that a reply is there, and gives nothing of it")
            collected += chunk
            if stops_at_terminator and collected[-1:] == bytes([terminator]):
                return collected, self.handle_return_value(session, StatusCode.success_termination_character_read)
            if end and talk.has_end:
                return collected, self.handle_return_value(session, StatusCode.success)
            if len(collected) >= count:
                return collected, self.handle_return_value(session, StatusCode.success_max_count_read)

    def _take_to(self, talk: _Conversation, terminator: int, count: int) -> tuple[bytes, bool]:
        """Take up to and including the terminator; what follows it (never more than one reply) waits for the next read."""
        chunk, end = (talk.left_over, talk.left_over_ends) if talk.left_over else talk.persona.take(count, self.world.now_ns())
        length = chunk.find(terminator) + 1 or len(chunk)
        length = min(length, count)
        talk.left_over, talk.left_over_ends = chunk[length:], end
        return chunk[:length], end and not talk.left_over

    def _wait_for_reply(self, persona: Persona, deadline_ns: int) -> bool:
        while True:
            now_ns = self.world.now_ns()
            ready_ns = persona.reply_ready_ns(now_ns)
            if ready_ns is not None and ready_ns <= now_ns:
                return True
            if now_ns >= deadline_ns:
                return False
            if ready_ns is not None and persona.reply_is_sent:
                self.world.coast_to(min(deadline_ns, ready_ns))
                continue
            # None: only something elsewhere on the bench (an edge, the end of a sweep) can bring the reply
            self.world.advance_to(min(deadline_ns, now_ns + STEP_NS if ready_ns is None else ready_ns))

    def clear(self, session: VISASession) -> StatusCode:
        """Device clear on links that have one; elsewhere drop what has arrived, as pyvisa-py does for a socket."""
        self._check_thread()
        talk = self._conversations[session]
        talk.left_over = b""
        self.world.catch_up()
        if talk.clearable:
            talk.persona.device_clear(self.world.now_ns())
        else:
            while (ready := talk.persona.reply_ready_ns(self.world.now_ns())) is not None and ready <= self.world.now_ns():
                talk.persona.take(65536, self.world.now_ns())
        return self.handle_return_value(session, StatusCode.success)

    def flush(self, session: VISASession, mask: Any) -> StatusCode:
        """Nothing is buffered on the host's side."""
        return self.handle_return_value(session, StatusCode.success)

    # --- attributes and events

    def get_attribute(self, session: Any, attribute: ResourceAttribute | EventAttribute) -> tuple[Any, StatusCode]:
        """Return an attribute of a conversation."""
        talk = self._conversations.get(session)
        if talk is None or attribute not in talk.attributes:
            return 0, self.handle_return_value(session, StatusCode.error_nonsupported_attribute)
        return talk.attributes[attribute], self.handle_return_value(session, StatusCode.success)

    def set_attribute(self, session: Any, attribute: ResourceAttribute, attribute_state: Any) -> StatusCode:
        """Set an attribute; a serial line's settings are accepted and have no effect."""
        talk = self._conversations[session]
        talk.attributes[attribute] = attribute_state
        return self.handle_return_value(session, StatusCode.success)

    def disable_event(self, session: Any, event_type: EventType, mechanism: EventMechanism) -> StatusCode:
        """There are no events."""
        return StatusCode.success

    def discard_events(self, session: Any, event_type: EventType, mechanism: EventMechanism) -> StatusCode:
        """There are no events."""
        return StatusCode.success

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a simulated bench on a stepped clock belongs to the thread that made it")


def library_for(world: World) -> SimulatedVisaLibrary:
    """A PyVISA library of its own for this world (PyVISA shares libraries of one path: each gets a fresh one)."""
    library = cast(SimulatedVisaLibrary, SimulatedVisaLibrary(LibraryPath(f"simulated-bench-{next(_serial)}", "simulated")))
    library.world = world
    return library
