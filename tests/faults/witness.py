"""Somebody who watches a simulated bench and meddles with it: what was said on every wire, what the film saw, and when.

Everything a judge needs is taken from here or from the world's own record; nothing of it passes through the program.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mishaps import OF_MESSAGES, Mishap, Mishaps, renewed_in
from numpy.typing import NDArray
from pyvisa import ResourceManager
from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError

from drivers.registry import find
from sim_instruments.persona import Edges
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

A_DAY_NS = 86_400 * 10**9
BRIGHT_UJ_CM2 = 0.1  # far above what leaks past closed blades, far below what is ever asked for
FIRE = re.compile(rb"\*TRG")  # of the delay generator: starts a burst
SWITCH_ON = re.compile(rb"(?i)\bOUTP(UT)?(:STAT(E)?)? (1|ON)\b|:INIT\b")  # of a source: a level, or a list that waits
BY_HAND = {  # what somebody leaves on at the front panel, within every limit
    "voltage_source": b":SOUR:FUNC VOLT;:SOUR:VOLT:MODE FIX;:SOUR:VOLT:RANG 20;:SOUR:VOLT 5;:OUTP ON\n",
    "laser_trigger": b"TRAT 1000;TSRC 0\n",
}


@dataclass(frozen=True)
class Message:
    """What came for an instrument; `live` when it reached it."""

    t_ns: int
    role: str
    data: bytes
    live: bool


class Wire:
    """An instrument's line: overheard, with one mishap at a time, or cut. Fulfils Persona.

    Parameters
    ----------
    dead  nothing gets through in either direction, and the host notices
    mute  the instrument does what it is told, its answers never come
    """

    def __init__(self, role: str, inner: Mishaps, witness: "Witness") -> None:
        self.role, self.inner, self.witness = role, inner, witness
        self.dead = self.mute = False
        self.emitted = 0  # pulses that left its outputs
        self.edges_ns: list[int] = []  # at its trigger inputs, the first of each pulse

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def run_until(self, t_ns: int) -> Any:
        pulses = self.inner.run_until(t_ns)
        self.emitted += sum(len(some) for some in pulses.values())
        return pulses

    def receive_edges(self, connector: str, edges: Edges) -> None:
        self.edges_ns += np.minimum(edges.rise_ns, edges.fall_ns).tolist()
        self.inner.receive_edges(connector, edges)

    def receive(self, data: bytes, t_ns: int) -> None:
        if data:
            self.witness.hear(self, data, t_ns)
            if self.dead:
                raise VisaIOError(StatusCode.error_io)
        self.inner.receive(data, t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        return t_ns + A_DAY_NS if self.dead or self.mute else self.inner.reply_ready_ns(t_ns)

    @property
    def reply_is_sent(self) -> bool:
        return False

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        return (b"", False) if self.dead or self.mute else self.inner.take(max_bytes, t_ns)

    def device_clear(self, t_ns: int) -> None:
        if self.dead:
            raise VisaIOError(StatusCode.error_io)
        self.inner.device_clear(t_ns)

    def spoil(self, kind: str) -> None:
        """Let a mishap happen to the message that is just coming, or to the next reply."""
        number = self.inner.messages if kind in OF_MESSAGES else self.inner.replies
        self.inner.plan, self.inner.happened = Mishap(kind, number), False


Act = Callable[[Wire], None]


@dataclass
class Witness:
    """Watches one world from its beginning to its end.

    Parameters
    ----------
    world     the bench
    settings  role -> table of the bench description, to make an instrument anew
    """

    world: World
    settings: Mapping[str, Any]
    heard: list[Message] = field(default_factory=list[Message])
    raw: list[NDArray[np.uint16]] = field(default_factory=list[NDArray[np.uint16]])
    spoiled: set[str] = field(default_factory=set[str])  # roles to whose wire anything was done
    wires: dict[str, Wire] = field(default_factory=dict[str, Wire])
    acts: dict[int, list[Act]] = field(default_factory=dict[int, list[Act]])  # by number of the message, from 0 at listen()
    begun: int = 0

    def __post_init__(self) -> None:
        for role, persona in tuple(self.world.personas.items()):
            self.wires[role] = Wire(role, self._with_mishaps(role, persona), self)
            self.world.personas[role] = self.wires[role]
        path = self.world.light_path
        self.laser_is_fired = any(cable.target == "laser.trigger" for cable in self.world.cables)
        expose = path.expose

        def exposed(open_ns: Any, close_ns: Any) -> Any:
            raw = expose(open_ns, close_ns)
            self.raw.append(raw.copy())
            return raw

        path.expose = exposed  # type: ignore[method-assign]

    def _with_mishaps(self, role: str, persona: Any) -> Mishaps:
        settings = {**self.settings.get(role, {}), "resource": self.world.resources[role]}
        mishaps: Mishaps = Mishaps(persona, lambda: renewed_in(self.world, role, settings, mishaps.persona))
        return mishaps

    # --- during a run

    def listen(self, acts: Mapping[int, list[Act]]) -> None:
        """From now on messages are counted from 0, and these things happen just before some of them."""
        self.begun, self.acts, self.spoiled = len(self.heard), dict(acts), set()

    def hear(self, wire: Wire, data: bytes, t_ns: int) -> None:
        number = len(self.heard) - self.begun
        self.heard.append(Message(t_ns, wire.role, data, live=not wire.dead))
        for act in self.acts.get(number, ()):
            act(wire)

    def plug_in(self) -> None:
        """Every line is whole again, and nothing is on its way."""
        for wire in self.wires.values():
            wire.dead = wire.mute = False
            wire.inner.forget()

    # --- from outside

    def straight_to(self, role: str, data: bytes) -> None:
        """Bytes that come over no wire of the program's: the front panel, the guard's own connection."""
        self.world.catch_up()
        self.wires[role].inner.persona.receive(data, self.world.now_ns())

    def switch_off_from_outside(self) -> None:
        """What the guard does, over connections of its own: a driver's off message, for a shutter a conversation."""
        for role, wire in self.wires.items():
            kind = find(self.settings[role]["model"], role).kind  # type: ignore[arg-type]
            if getattr(kind, "off_message", b""):
                self.straight_to(role, kind.off_message)
            elif role in ("shutter", "cw_shutter"):
                wire.dead = wire.mute = False
                wire.inner.forget()
                manager = ResourceManager(library_for(self.world))
                entry = find(self.settings[role]["model"], role)  # type: ignore[arg-type]
                shutter, link = entry.connect(manager, self.world.resources[role], self.world)
                shutter.make_safe()
                link.close()
                manager.close()
        self.world.sleep(0.1)

    # --- the truth

    @property
    def voltage_v(self) -> float:
        return self.world.terminal.record.voltage_v[-1]

    @property
    def pulses(self) -> int:
        """How many have left the delay generator."""
        return self.wires["laser_trigger"].emitted

    def blades_closed(self, role: str = "shutter") -> bool:
        return role not in self.wires or bool(self.wires[role].blades.closed(self.world.now_ns()))

    def transmission(self, t_ns: int) -> float:
        """Of everything that shutters the beam, at a time not long past."""
        return 1.0 if "shutter" not in self.wires else float(self.wires["shutter"].blades.transmission(np.array([t_ns]))[0])

    def messages(self, first: int = 0) -> list[Message]:
        """What was heard since listen(), from number `first` on."""
        return self.heard[self.begun + first :]

    def stretches_on(self) -> list[tuple[int, int]]:
        """From when to when (ns) there was a voltage on the film without a break."""
        record, found, since = self.world.terminal.record, list[tuple[int, int]](), None
        for t_ns, voltage_v in zip(record.t_ns, record.voltage_v, strict=True):
            if voltage_v != 0 and since is None:
                since = t_ns
            elif voltage_v == 0 and since is not None:
                found.append((since, t_ns))
                since = None
        return found if since is None else [*found, (since, self.world.now_ns())]

    def bright_ns(self) -> NDArray[np.int64]:
        """When light fell on the film."""
        self.world.light_path.emit_until(self.world.now_ns())
        pulses = self.world.light_path.record.pulses
        return pulses["t_ns"][pulses["fluence_uj_cm2"] >= BRIGHT_UJ_CM2]

    def steps_begun_ns(self, step_ns: int) -> NDArray[np.int64]:
        """When each change of the voltage was begun: at the trigger edge that made it, else when it is on record."""
        edges = np.array([-1, *sorted(self.wires["voltage_source"].edges_ns)])
        changed = np.array(self.world.terminal.record.t_ns)
        edge = edges[np.searchsorted(edges, changed, side="right") - 1]
        return np.where((edge >= 0) & (changed - edge <= step_ns), edge, changed)
