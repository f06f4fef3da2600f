"""One mishap in an instrument's conversation: at the n-th message or reply, and never again."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError
from role_bench import NEVER_NS, RoleBench

from sim_instruments.catalogue import Surroundings, find
from sim_instruments.persona import Edges, OutputPulses, Persona
from sim_instruments.world import World

# of replies
SLOW_NS = 50_000_000  # in time, for every driver
LATE_NS = 300_000_000  # too late for most conversations, while the link is brought back
VERY_LATE_NS = 1_100_000_000  # after that
OF_REPLIES = ("lost", "slow", "late", "very late", "doubled", "cut", "corrupt", "another", "noise before")
SWALLOWED = "swallowed"
OF_MESSAGES = (SWALLOWED, "half sent", "interrupted before", "interrupted after", "off and on before")
NOISE = b"\xfe\x00"
ANOTHER = b"1.5E0,X,-2"  # of no question that is asked


@dataclass(frozen=True)
class Mishap:
    """What goes wrong, and with which message or reply (from 0)."""

    kind: str
    number: int


class Mishaps:
    """A persona whose replies and messages are counted, one of them with a mishap. Fulfils Persona.

    Parameters
    ----------
    renewed  makes the same instrument as it is after it was switched off and on
    """

    def __init__(self, persona: Persona, renewed: Callable[[], Persona]) -> None:
        self.persona = persona
        self.renewed = renewed
        self.forget()

    def forget(self) -> None:
        """Count from zero; nothing is planned and nothing on its way."""
        self.plan = Mishap("", -1)
        self.messages = self.replies = 0
        self.happened = False
        self._lost = False
        self._line: deque[tuple[int, bytes]] = deque()

    def expect(self, plan: Mishap) -> None:
        self.forget()
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self.persona, name)

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        return self.persona.run_until(t_ns)

    def receive_edges(self, connector: str, edges: Edges) -> None:
        self.persona.receive_edges(connector, edges)

    def receive(self, data: bytes, t_ns: int) -> None:
        if not data:
            self.persona.receive(data, t_ns)
            return
        number, self.messages = self.messages, self.messages + 1
        self._lost = False
        kind = self._kind(OF_MESSAGES, number)
        if kind == "interrupted before":
            raise KeyboardInterrupt
        if kind == SWALLOWED:
            return
        if kind == "off and on before":
            self.persona = self.renewed()
            self._line.clear()
        self.persona.receive(data[: len(data) // 2] if kind == "half sent" else data, t_ns)
        if kind == "half sent":
            raise VisaIOError(StatusCode.error_io)
        if kind == "interrupted after":
            raise KeyboardInterrupt

    def reply_ready_ns(self, t_ns: int) -> int | None:
        while (ready_ns := self.persona.reply_ready_ns(t_ns)) is not None and ready_ns <= t_ns:
            self._carry(t_ns)
        if self._line:
            return self._line[0][0]
        return NEVER_NS if ready_ns is None and self._lost else ready_ns

    @property
    def reply_is_sent(self) -> bool:
        return False

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        if self.reply_ready_ns(t_ns) is None or not self._line or self._line[0][0] > t_ns:
            return b"", False
        ready_ns, reply = self._line.popleft()
        if len(reply) > max_bytes:
            self._line.appendleft((ready_ns, reply[max_bytes:]))
        return reply[:max_bytes], len(reply) <= max_bytes

    def device_clear(self, t_ns: int) -> None:
        self._line.clear()
        self.persona.device_clear(t_ns)

    def _carry(self, t_ns: int) -> None:
        reply, ended = b"", False
        while not ended:
            part, ended = self.persona.take(1 << 20, t_ns)
            reply += part
        number, self.replies = self.replies, self.replies + 1
        kind = self._kind(OF_REPLIES, number)
        delay_ns = {"slow": SLOW_NS, "late": LATE_NS, "very late": VERY_LATE_NS}.get(kind, 0)
        if kind == "lost":
            self._lost = True
            return
        if kind == "cut":
            self._lost = True
            reply = reply[: (len(reply) + 1) // 2]
        elif kind == "corrupt":
            reply = bytes([reply[0] ^ 0x80]) + reply[1:]
        elif kind == "another" and reply.endswith(b"\n"):
            reply = ANOTHER + (b"\r\n" if reply.endswith(b"\r\n") else b"\n")
        elif kind == "noise before":
            reply = NOISE + reply
        ready_ns = max(t_ns + delay_ns, self._line[-1][0] if self._line else 0)  # a line keeps the order
        self._line.extend([(ready_ns, reply)] * (2 if kind == "doubled" else 1))

    def _kind(self, kinds: tuple[str, ...], number: int) -> str:
        if self.happened or self.plan.number != number or self.plan.kind not in kinds:
            return ""
        self.happened = True
        return self.plan.kind


def renewed_in(world: World, role: str, settings: Mapping[str, Any], persona: Any) -> Persona:
    """The same instrument in the same place, as it is after it was switched off and on; `settings` as of a bench."""
    if hasattr(persona, "power_cycle"):
        persona.power_cycle(world.now_ns())
        return persona
    if role == "voltage_source":
        world.terminal.set_voltage(0.0, world.now_ns())
    if role == "shutter":
        world.beam.elements.remove(persona.blades)
    if role == "filter_wheel":
        world.beam.filters.remove(persona.wheel)
    around = Surroundings(world.terminal, world.light_path, world.beam, np.random.default_rng(7), settings)
    renewed = find(settings["model"], role).make(around)
    renewed.run_until(world.now_ns())
    return renewed


def put_in(bench: RoleBench, role: str) -> Mishaps:
    """Let mishaps happen to one instrument of a bench."""
    wire, settings = bench.wires[role], {"model": bench.entries[role].model, "resource": bench.world.resources[role]}
    mishaps = Mishaps(wire.persona, lambda: renewed_in(bench.world, role, settings, mishaps.persona))
    wire.persona = mishaps
    return mishaps
