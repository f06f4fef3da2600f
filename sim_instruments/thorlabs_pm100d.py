"""Thorlabs PM100D power and energy meter with a pyroelectric head, down to the bytes.

An answer to MEAS?, READ? and FETC? comes with the pulse that completes it. A new message while an answer is owed or unread is
an interrupted query (-410) as on USB; on a line without a device clear an answer that is ready has been sent and stays.
Assumed: a message takes 1 ms; an interrupted MEAS? or READ? ends its measurement, an interrupted *WAI is no error; a device
clear ends the measurement; an error ends its message; sizes of the buffers.
Source: operation manual, introduction to SCPI and common commands; see the modules beside this one for the rest.
"""

from collections import deque
from dataclasses import dataclass, field

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.persona import Edges, OutputPulses, Persona
from sim_instruments.scpi import ScpiError
from sim_instruments.thorlabs_pm100d_absent import KNOWINGLY_ABSENT
from sim_instruments.thorlabs_pm100d_commands import Command, Params, Run, parse
from sim_instruments.thorlabs_pm100d_head import Detector, Head
from sim_instruments.thorlabs_pm100d_meter import Meter, NotYetError
from sim_instruments.thorlabs_pm100d_status import DEADLOCKED, INTERRUPTED, OVERRUN

__all__ = ["KNOWINGLY_ABSENT", "Pm100dPersona"]

MESSAGE_TIME_NS = 1_000_000
MESSAGE_BYTES = 1024
WAITING_MESSAGES = 64
OUTPUT_BYTES = 16_384


@dataclass(slots=True)
class _Message:
    """A message under way: the steps that are left, the error after them, the answers so far."""

    steps: deque[tuple[Run, Params]]
    error: int
    query: bool
    measures: bool
    replies: list[str] = field(default_factory=list[str])


def _message(text: str) -> _Message:
    parsed = parse(text)
    commands: list[Command] = [unit.entry for unit in parsed.units]
    steps: deque[tuple[Run, Params]] = deque((step, unit.params) for unit in parsed.units for step in unit.entry.steps)
    return _Message(steps, parsed.error, any(c.query for c in commands), any(c.measures for c in commands))


class _Lines:
    """Cuts bytes into messages at LF (a CR before it is ignored); None stands for one that was too long."""

    def __init__(self) -> None:
        self._rest = b""
        self._overrun = False

    def __len__(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[str | None]:
        *complete, rest = data.split(b"\n")
        found: list[str | None] = []
        for part in complete:
            line, self._rest = self._rest + part, b""
            if self._overrun or len(line) > MESSAGE_BYTES:
                found.append(None)
            elif text := line.decode("latin-1").strip():
                found.append(text)
            self._overrun = False
        self._rest += rest
        if len(self._rest) > MESSAGE_BYTES:
            self._rest, self._overrun = b"", True
        return found

    def clear(self) -> None:
        self._rest, self._overrun = b"", False


class Pm100dPersona:
    """A simulated PM100D; fulfils Persona. It has no trigger connectors.

    Parameters
    ----------
    head         what is plugged in
    seed         of the head's noise
    serial       serial number of the console
    serial_line  the link has no device clear: what is sent is sent
    wire_time    whether a message takes time to arrive
    """

    def __init__(
        self,
        head: Head | None = None,
        seed: int = 1,
        *,
        serial: str = "P0004711",
        firmware: str = "2.4.0",
        serial_line: bool = False,
        wire_time: bool = True,
    ) -> None:
        self.detector = Detector(head or Head(), seed)
        self.meter = Meter(self.detector, f"Thorlabs,PM100D,{serial},{firmware}")
        self.meter.message_available = lambda: bool(self._out)
        self._serial_line = serial_line
        self._message_ns = MESSAGE_TIME_NS if wire_time else 0
        self._lines = _Lines()
        self._waiting: deque[tuple[int, _Message | None]] = deque()
        self._last_arrival_ns = 0
        self._blocked: _Message | None = None
        self._out: deque[tuple[int, bytes]] = deque()

    # --- Persona

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Look at every pulse and execute every message up to `t_ns`, in the order of time; there are no outputs."""
        while True:
            due_ns = self._waiting[0][0] if self._waiting and self._waiting[0][0] <= t_ns else None
            finished_ns = self.meter.advance(t_ns if due_ns is None else due_ns)
            if finished_ns is not None:
                self._resume(finished_ns)
            elif due_ns is None:
                return {}
            else:
                self._begin(self._waiting.popleft()[1], due_ns)

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Raise KeyError: there is no trigger input."""
        raise KeyError(connector)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host arrive at `t_ns`."""
        for text in self._lines.feed(data):
            if text is not None and len(self._waiting) >= WAITING_MESSAGES:
                text = None
            if text is None and len(self._waiting) >= 2 * WAITING_MESSAGES:
                continue
            self._last_arrival_ns = max(t_ns, self._last_arrival_ns) + self._message_ns
            self._waiting.append((self._last_arrival_ns, None if text is None else _message(text)))
        self.run_until(t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next answer is there; None when none is on its way, or when only a pulse can bring it."""
        if self._out:
            return self._out[0][0]
        for due_ns, message in self._waiting:
            if message is not None and message.query:
                return None if message.measures else due_ns
        return None

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next answer is on the line already."""
        return bool(self._out)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take up to `max_bytes` of the next answer, never of two; the flag marks its end."""
        if not self._out or self._out[0][0] > t_ns or max_bytes <= 0:
            return b"", False
        ready_ns, reply = self._out.popleft()
        if len(reply) > max_bytes:
            self._out.appendleft((ready_ns, reply[max_bytes:]))
            return reply[:max_bytes], False
        return reply, True

    def device_clear(self, t_ns: int) -> None:
        """Nothing waits, nothing is left to read, nothing is measured; settings stay."""
        self._lines.clear()
        self._waiting.clear()
        self._out.clear()
        self._blocked = None
        self._last_arrival_ns = t_ns
        self.meter.abort()

    @property
    def held(self) -> tuple[int, int, int]:
        """Get how much it keeps: bytes of an unfinished message, messages that wait, bytes of answers nobody has read."""
        return len(self._lines), len(self._waiting), sum(len(reply) for _, reply in self._out)

    # --- messages

    def _begin(self, message: _Message | None, t_ns: int) -> None:
        if message is None:
            self.meter.status.report(OVERRUN)
            return
        self._interrupt()
        self._go_on(message, t_ns)

    def _resume(self, t_ns: int) -> None:
        """A measurement has ended: go on with the message that waited for it."""
        message, self._blocked = self._blocked, None
        if message is not None:
            self._go_on(message, t_ns)

    def _interrupt(self) -> None:
        """A new message begins: what was owed is not answered any more."""
        blocked, self._blocked = self._blocked, None
        lost = blocked is not None and blocked.query
        if blocked is not None and blocked.measures:
            self.meter.abort()
        if self._out and not self._serial_line:
            self._out.clear()
            lost = True
        if lost:
            self.meter.status.report(INTERRUPTED)

    def _go_on(self, message: _Message, t_ns: int) -> None:
        while message.steps:
            step, params = message.steps[0]
            try:
                reply = step(self.meter, params)
            except NotYetError:
                self._blocked = message
                return
            except ScpiError as error:
                message.steps.clear()
                message.error = error.code
                break
            message.steps.popleft()
            if reply is not None:
                message.replies.append(reply)
        if message.error:
            self.meter.status.report(message.error)
        if message.replies:
            self._send(";".join(message.replies).encode("ascii") + b"\n", t_ns)

    def _send(self, reply: bytes, t_ns: int) -> None:
        if self.held[2] + len(reply) > OUTPUT_BYTES:
            self.meter.status.report(DEADLOCKED)
        else:
            self._out.append((t_ns, reply))


def _make(around: Surroundings) -> Persona:
    seed = int(around.rng.integers(2**63))
    persona = Pm100dPersona(seed=seed, serial_line=around.serial_line, wire_time=around.wire_time)
    # a bench says how much more there is at the film than at its pick-off
    at_meter = 1 / float(around.settings.get("pickoff_ratio", 1.0))
    around.beam.witnesses.append(lambda t_ns, energy_uj: persona.detector.witness(t_ns, energy_uj * at_meter))
    return persona


PERSONA = PersonaEntry("thorlabs-pm100d", "energy_meter", _make, "USB0::0x1313::0x8078::P0004711::INSTR")
