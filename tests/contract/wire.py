"""A simulated instrument whose wires are watched and can be broken."""

from collections import deque
from typing import Any

from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError

from sim_instruments.persona import Edges, OutputPulses, Persona

NEVER_NS = 2**62


class Wire:
    """A persona with its wires watched. Fulfils Persona.

    Parameters
    ----------
    log       (role, bytes) of all instruments in the order of writing
    traffic   (time, "write" or "clear", bytes) as this instrument got them
    lose      so many replies never arrive
    late_ns   the next reply arrives so much later
    double    the next reply arrives twice
    rewrite   (old, new) bytes in every reply
    cut_at    so many bytes of the next write arrive, then the transfer fails
    lost_ns   when a lost reply is foretold for; None where whoever carries it cannot know that it is lost
    """

    def __init__(self, persona: Persona, role: str, log: list[tuple[str, bytes]], *, lost_ns: int | None = NEVER_NS) -> None:
        self.persona = persona
        self.role = role
        self.log = log
        self.lost_ns = lost_ns
        self.traffic: list[tuple[int, str, bytes]] = []
        self.emitted: dict[str, list[OutputPulses]] = {}
        self.lose = 0
        self.late_ns = 0
        self.double = False
        self.rewrite: tuple[bytes, bytes] | None = None
        self.cut_at: int | None = None
        self._lost = False
        self._line: deque[tuple[int, bytes]] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.persona, name)  # what a persona offers besides bytes and edges

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        pulses = self.persona.run_until(t_ns)
        for connector, some in pulses.items():
            if len(some):
                self.emitted.setdefault(connector, []).append(some)
        return pulses

    def receive_edges(self, connector: str, edges: Edges) -> None:
        self.persona.receive_edges(connector, edges)

    def receive(self, data: bytes, t_ns: int) -> None:
        if not data:  # nobody has written: it is only to catch up
            self.persona.receive(data, t_ns)
            return
        cut, self.cut_at = self.cut_at, None
        data = data[:cut]
        self.traffic.append((t_ns, "write", data))
        self.log.append((self.role, data))
        self._lost = False
        self.persona.receive(data, t_ns)
        if cut is not None:
            raise VisaIOError(StatusCode.error_io)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        ready_ns = self.persona.reply_ready_ns(t_ns)
        while ready_ns is not None and ready_ns <= t_ns and (self.lose or self.late_ns or self.double or self.rewrite):
            self._carry(t_ns)
            ready_ns = self.persona.reply_ready_ns(t_ns)
        if self._line:
            return self._line[0][0]
        return self.lost_ns if ready_ns is None and self._lost else ready_ns

    @property
    def reply_is_sent(self) -> bool:
        return False

    def _carry(self, t_ns: int) -> None:
        reply, ended = b"", False
        while not ended:
            part, ended = self.persona.take(1 << 20, t_ns)
            reply += part
        if self.lose:
            self.lose, self._lost = self.lose - 1, True
            return
        if self.rewrite:
            reply = reply.replace(*self.rewrite)
        self._line.extend([(t_ns + self.late_ns, reply)] * (2 if self.double else 1))
        self.late_ns, self.double = 0, False

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        if not self._line:
            promised_ns = self.persona.reply_ready_ns(t_ns)
            data, ended = self.persona.take(max_bytes, t_ns)
            assert data or promised_ns is None or promised_ns > t_ns, f"{self.role} gives nothing of the reply that it has"
            return data, ended
        ready_ns, reply = self._line.popleft()
        if ready_ns > t_ns or len(reply) > max_bytes:
            count = 0 if ready_ns > t_ns else max_bytes
            self._line.appendleft((ready_ns, reply[count:]))
            return reply[:count], False
        return reply, True

    def device_clear(self, t_ns: int) -> None:
        self.traffic.append((t_ns, "clear", b""))
        self._line.clear()
        self.persona.device_clear(t_ns)
