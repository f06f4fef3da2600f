"""Face 2 of the simulated bench: every instrument a TCP server on 127.0.0.1, on the real clock, for programs of any kind.

One thread, one loop. World time is real time since the server was made, unless it is given another pace; it moves when bytes
come, when an answer is foretold for now, every millisecond while pulses run, for a while after somebody has said something and
while an answer depends on the bench, and at least every 20 ms.
"""

import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from sim_instruments.catalogue import find
from sim_instruments.client_connection import ClientConnection
from sim_instruments.pace import Pace, RealPace
from sim_instruments.persona import Persona
from sim_instruments.served_instrument import HOST, Address, ServedInstrument, listen
from sim_instruments.world import OPTIONAL_ROLES, REQUIRED_ROLES, START_NS, World

BUSY_TICK_NS = 1_000_000
IDLE_TICK_NS = 20_000_000
RECENT_NS = 1_000_000_000
"""So long after a pulse or a word the bench is looked at every millisecond: the next pulse may bring an answer."""

CALL_TIMEOUT_S = 30.0

T = TypeVar("T")


class BenchServer:
    """The simulated bench as TCP servers; listens from the moment it is made, answers while it runs.

    As a context manager it runs in a thread of its own; `serve()` runs it in the calling thread; who lets world time pass by
    hand calls `turn()`.

    Parameters
    ----------
    description  of the bench, as World wants it; where a resource is a serial line the instrument is served as one
    ports        role -> TCP port; roles not named get free ports
    seed         of all noise
    pace         of world time; the computer's clock unless given
    world        further arguments of World

    Raises
    ------
    ValueError   a model that cannot be simulated, a port for a role that is not on the bench
    OSError      a port is taken
    """

    def __init__(
        self,
        description: Mapping[str, Any],
        ports: Mapping[str, int] | None = None,
        seed: int = 0,
        pace: Pace | None = None,
        **world: Any,
    ) -> None:
        wanted = dict(ports or {})
        roles = [role for role in (*REQUIRED_ROLES, *OPTIONAL_ROLES) if role in description]
        for role in wanted:
            if role not in roles:
                raise ValueError(f"no {role} is on this bench; there are {', '.join(roles)}")
        listeners: dict[str, socket.socket] = {}
        try:
            for role in roles:
                find(description[role]["model"], role)
                listeners[role] = _listen(role, wanted.get(role, 0))
            self.addresses = {role: _address(description[role], listeners[role]) for role in roles}
            served = {role: {**description[role], "resource": self.addresses[role].resource} for role in roles}
            self.world = World({**description, **served}, seed, wire_time=False, **world)
        except BaseException:
            for listener in listeners.values():
                listener.close()
            raise
        self._instruments = {
            role: ServedInstrument(persona, listeners[role], is_line=not _has_network(description[role]))
            for role, persona in self.world.personas.items()
        }
        self._pace: Pace = RealPace(START_NS) if pace is None else pace
        self._selector = selectors.SelectSelector()  # the one whose timeouts are finer than a millisecond
        self._wake_in, self._wake_out = socket.socketpair()
        self._interests: dict[ClientConnection, int] = {}
        self._calls: deque[tuple[Callable[[World], Any], Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        self._looper: int | None = None
        self._failure: BaseException | None = None
        self.look: Callable[[World], None] = lambda world: None  # somebody who wants to see the world after every turn
        self._stopping = self._closed = False
        self._rendered_ns = self._wake_ns = START_NS
        self._pulses_seen, self._busy_ns = 0, -RECENT_NS
        for instrument in self._instruments.values():
            self._selector.register(instrument.listener, selectors.EVENT_READ, instrument)
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)

    @property
    def resources(self) -> dict[str, str]:
        """Get role -> VISA resource name."""
        return {role: address.resource for role, address in self.addresses.items()}

    def clients(self, role: str) -> tuple[ClientConnection, ...]:
        """Get the connections to an instrument; look at them inside `call`."""
        return tuple(self._instruments[role].clients)

    def rewire(self, role: str, wire: Persona) -> None:
        """Put `wire` in the place of an instrument, before anybody talks to it: a fault of its link, somebody who listens."""
        self.world.personas[role] = self._instruments[role].persona = wire

    # --- life

    def serve(self) -> None:
        """Serve in this thread until `stop`; everything is closed then."""
        self._looper = threading.get_ident()
        try:
            while not self._stopping:
                self.turn()
        finally:
            self.close()

    def stop(self) -> None:
        """Ask the loop to end; from any thread, or from a signal's function."""
        self._stopping = True
        with suppress(OSError):
            self._wake_out.send(b"\0")

    def call(self, look: Callable[[World], T]) -> T:
        """Let `look` see the world between two turns of the loop, when nothing moves; return what it returns.

        Raises
        ------
        RuntimeError  the server ended meanwhile
        """
        if self._looper in (None, threading.get_ident()) or self._closed:
            return look(self.world)
        future: Future[T] = Future()
        self._calls.append((look, future))
        if self._closed:
            raise RuntimeError("the server has ended")
        with suppress(OSError):
            self._wake_out.send(b"\0")
        return future.result(CALL_TIMEOUT_S)

    def close(self) -> None:
        """Close every socket and write down the film's history; harmless when done already."""
        if self._closed:
            return
        self._closed = True
        for instrument in self._instruments.values():
            instrument.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        for _, future in self._calls:
            future.set_exception(RuntimeError("the server has ended"))
        self.world.close()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve_in_thread, name="simulated bench", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self.close()
        if self._failure is not None and error is None:
            raise self._failure

    def _serve_in_thread(self) -> None:
        try:
            self.serve()
        except BaseException as error:  # noqa: BLE001 - told to whoever leaves the context
            self._failure = error

    # --- one turn of the loop

    @property
    def wake_ns(self) -> int:
        """Get the world time (ns) at which the next turn is due if no bytes come."""
        return self._wake_ns

    def turn(self) -> None:
        """Listen until the next turn is due or bytes come; let the world catch up, hear clients and answer them."""
        for key, mask in self._selector.select(self._pace.patience_s(self._wake_ns)):
            self._transfer(key.fileobj, key.data, mask)
        now_ns = self._pace.now_ns()
        self.world.advance_to(now_ns)
        self._render(now_ns)
        wake_ns = now_ns + self._tick_ns(now_ns)
        for instrument in self._instruments.values():
            if instrument.idle:
                continue
            for client in instrument.dismiss(now_ns):
                self._forget(client)
            instrument.hear(now_ns)
            due_ns = instrument.answer(now_ns)
            if due_ns is not None:
                wake_ns = min(wake_ns, due_ns - self._pace.early_ns)
            elif instrument.waiting(now_ns):
                wake_ns = min(wake_ns, now_ns + BUSY_TICK_NS)
            for client in instrument.clients:
                client.acknowledge()
                self._listen_to(client)
        self._wake_ns = wake_ns
        self.look(self.world)
        while self._calls:
            _answer_call(*self._calls.popleft(), self.world)

    def _transfer(self, ready: Any, owner: Any, mask: int) -> None:
        if ready is self._wake_in:
            with suppress(BlockingIOError):
                self._wake_in.recv(4096)
        elif isinstance(owner, ServedInstrument):
            owner.accept(self._pace.now_ns())
        elif isinstance(owner, ClientConnection):
            if mask & selectors.EVENT_WRITE:
                owner.send()
            if mask & selectors.EVENT_READ and owner.wants_read:
                owner.receive()
                self._busy_ns = self._pace.now_ns()

    def _tick_ns(self, now_ns: int) -> int:
        """How long the world may be left alone if no bytes come and no answer is foretold (ns)."""
        if self.world.pulses_carried != self._pulses_seen:
            self._pulses_seen, self._busy_ns = self.world.pulses_carried, now_ns
        return BUSY_TICK_NS if now_ns - self._busy_ns < RECENT_NS else IDLE_TICK_NS

    def _render(self, now_ns: int) -> None:
        """Let the spectrometer make its frames even if nobody asks: a long silence must not become a long stall."""
        if now_ns - self._rendered_ns >= IDLE_TICK_NS:
            self._rendered_ns = now_ns
            self._instruments["spectrometer"].persona.receive(b"", now_ns)

    def _listen_to(self, client: ClientConnection) -> None:
        """Tell the selector what this client is good for now."""
        read = selectors.EVENT_READ if client.wants_read else 0  # one that is lost wants nothing
        wanted = read | (selectors.EVENT_WRITE if client.unsent else 0)
        known = self._interests.get(client, 0)
        if wanted == known:
            return
        if not known:
            self._selector.register(client.socket, wanted, client)
        elif wanted:
            self._selector.modify(client.socket, wanted, client)
        else:
            self._selector.unregister(client.socket)
        self._interests[client] = wanted

    def _forget(self, client: ClientConnection) -> None:
        if self._interests.pop(client, 0):
            self._selector.unregister(client.socket)
        client.close()


def _answer_call(look: Callable[[World], Any], future: "Future[Any]", world: World) -> None:
    try:
        future.set_result(look(world))
    except Exception as error:  # noqa: BLE001 - it is the caller's
        future.set_exception(error)


def _listen(role: str, port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as error:
        raise OSError(error.errno, f"port {port} for {role} on {HOST}: {error.strerror or error}") from error


def _address(settings: Mapping[str, Any], listener: socket.socket) -> Address:
    port = int(listener.getsockname()[1])
    serial = str(settings["resource"]).upper().startswith("ASRL")
    resource = f"ASRLsocket://{HOST}:{port}::INSTR" if serial else f"TCPIP::{HOST}::{port}::SOCKET"
    return Address(str(settings["model"]), HOST, port, resource)


def _has_network(settings: Mapping[str, Any]) -> bool:
    """Whether the instrument has a network socket of its own, not a serial line or an adapter."""
    return str(settings["resource"]).upper().startswith("TCPIP")
