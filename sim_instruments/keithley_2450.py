"""Keithley 2450 SourceMeter in SCPI, down to the bytes: the interface in front of the instrument.

Messages take time to arrive and are executed in order. The trigger model runs beside them: settings it may use are refused
while it runs, everything else acts at once, ABORt and OUTPut OFF too. *WAI, *OPC? and a measurement hold up what comes after
them; an ABORt at the head of a message acts past that (assumed, a quirk).
Kept and read back without effect: moving filter, lower limit of auto-ranging (ranging takes no time), high capacitance, offset
compensation, synchronous line types (plain trigger lines), off-states other than NORMal (0 V too; HIMPedance draws no current,
its relay takes no time), other languages than SCPI, an endless pulse (none is sent), levels of digital outputs on cables.
Source: 2450-901-01 rev B, 2461-901-01 rev A (the same command language, two years later).
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.keithley_2400_output import OutputStage
from sim_instruments.keithley_2450_command import Command, Waits
from sim_instruments.keithley_2450_commands import parse
from sim_instruments.keithley_2450_meter import Keithley2450Quirks, SourceMeter
from sim_instruments.persona import Edges, OutputPulses, Persona, Terminal
from sim_instruments.scpi import OVERRUN, MessageStream, ScpiError, Unit

__all__ = ["KNOWINGLY_ABSENT", "Keithley2450Persona", "Keithley2450Quirks"]

MAX_WAITING = 10_000  # messages, assumed
MAX_UNREAD = 10_000  # replies, assumed
_LINES = {f"digital_io_{line}": line for line in range(1, 7)}

KNOWINGLY_ABSENT: dict[str, str] = {
    "CALCulate:<function>:MATH:STATe": "mathematics inside the instrument; the rig computes itself",
    "CALCulate2:<function>:LIMit<n>:STATe": "limit tests inside the instrument; the rig tests itself",
    "SOURce[1]:CONFiguration:LIST:QUERy?": "tells TSP commands, which are not spoken",
    "[:SENSe[1]]:CONFiguration:LIST:QUERy?": "tells TSP commands, which are not spoken",
    "TRIGger:BLOCk:BRANch:LIMit:CONStant": "limit tests do not exist here",
    "TRIGger:BLOCk:BRANch:LIMit:DYNamic": "limit tests do not exist here",
    "TRIGger:BLOCk:BRANch:DELTa": "limit tests do not exist here",
    "TRIGger:TIMer<n>:STATe": "timer events can be named but never come",
    "TRIGger:BLENder<n>:MODE": "blender events can be named but never come",
    "TRIGger:LAN<n>:IN:EDGE": "LAN events can be named but never come",
    'TRIGger:LOAD "LoopUntilEvent"': "an illegal parameter value here; a branch on event does the same",
    'TRIGger:LOAD "GradeBinning"': "an illegal parameter value here; nothing on this bench sorts parts",
    'TRIGger:LOAD "SortBinning"': "an illegal parameter value here; nothing on this bench sorts parts",
    "TRIGger:PAUSe": "a wait block does what the bench needs",
    "TRIGger:RESume": "a wait block does what the bench needs",
    "TRACe:SAVE": "there is no USB drive",
    "TRACe:WRITe:READing": "readings come from this instrument only",
    "[:SENSe[1]]:<function>:RANGe:AUTO:ULIMit?": "ranging takes no time here",
    "SYSTem:COMMunication:LAN:CONFigure": "the simulated instrument has no network settings",
    "SYSTem:GPIB:ADDRess": "the simulated instrument has no interface settings",
    "SYSTem:TIME": "the clock is the simulation's and starts at 2025-01-01",
    "SYSTem:PASSword:NEW": "nothing is locked",
    "SCRipt:RUN": "no TSP scripts",
}


@dataclass
class _Message:
    """A message under way: the units not executed yet, the error of the one after them, the replies so far."""

    units: deque[Unit[Command]]
    error: int
    replies: list[bytes] = field(default_factory=list[bytes])
    started: bool = False

    @property
    def asks(self) -> bool:
        """Get whether a reply may come of it."""
        return bool(self.replies) or any(unit.entry.asks for unit in self.units)


class Keithley2450Persona:
    """A simulated Keithley 2450; fulfils Persona.

    Inputs and outputs are "digital_io_1" to "digital_io_6". An input acts on the edge its line is set to, of pulses of at least
    2 us between <= 0.7 V and 3.7 to 5.25 V; a trigger output sends 5 V pulses of the width and logic its line is set to.

    Parameters
    ----------
    terminal  what hangs on the output; asked and told in time order, told nothing later than run_until
    rng       read noise only
    serial    serial number
    quirks    link and timing
    """

    def __init__(
        self,
        terminal: Terminal,
        rng: np.random.Generator,
        *,
        serial: str = "04412345",
        quirks: Keithley2450Quirks | None = None,
    ) -> None:
        self.meter = SourceMeter(OutputStage(terminal), rng, serial, quirks or Keithley2450Quirks())
        self._stream = MessageStream()
        self._incoming: deque[tuple[int, str]] = deque()
        self._last_arrival_ns = 0
        self._queue: deque[_Message] = deque()
        self._out: deque[tuple[int, bytes]] = deque()
        self._last_ns = 0

    # --- Persona

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Let everything happen up to `t_ns`; return the output triggers since last time."""
        while (due_ns := self._due_ns()) is not None and due_ns <= t_ns:
            self._happen(due_ns)
        return self.meter.digital.fetch()

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Pulses arrive at an input; KeyError for a connector that does not exist.

        An edge older than the last thing that happened here counts as coming right after it.
        """
        self.meter.digital.arrive(_LINES[connector], edges)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host."""
        for text in self._stream.feed(data):
            self._last_arrival_ns = max(t_ns, self._last_arrival_ns) + self.meter.quirks.message_time_ns
            if len(self._incoming) < MAX_WAITING:
                self._incoming.append((self._last_arrival_ns, text))
        while self._incoming and self._incoming[0][0] <= t_ns:  # a link that takes no time here
            self._happen(t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When to look for the next reply: it is not there earlier, and may be later; then ask again.

        None when no reply is on its way, or when only an event from outside can bring it. What is due now but has not happened
        yet happens in the next run_until, so it is foretold for the nanosecond after `t_ns`.
        """
        if self._out:
            return self._out[0][0]
        measured = self.meter.job is not None and bool(self.meter.job.elements)
        waits = measured or any(message.asks for message in self._queue) or any(_asks(text) for _, text in self._incoming)
        due_ns = self._due_ns() if waits else None
        return None if due_ns is None else max(due_ns, t_ns + 1)

    @property
    def reply_is_sent(self) -> bool:
        """Never known: what is foretold is written when its time comes."""
        return False

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take up to `max_bytes` of the next reply, never of two; the flag marks its end."""
        if not self._out:
            return b"", False
        ready_ns, reply = self._out.popleft()
        if len(reply) > max_bytes:
            self._out.appendleft((ready_ns, reply[max_bytes:]))
            return reply[:max_bytes], False
        return reply, True

    def device_clear(self, t_ns: int) -> None:
        """USBTMC, VXI-11 or GPIB clear: nothing waits, nothing is left to read; output, settings and trigger model stay.

        That the trigger model goes on is assumed, a quirk.
        """
        self._stream.clear()
        self._last_arrival_ns = t_ns
        for waiting in (self._incoming, self._queue, self._out):
            waiting.clear()
        self._touch(t_ns)
        self.meter.job = None
        self.meter.completion_asked = False
        if self.meter.quirks.clear_aborts:
            self.meter.abort(t_ns)
        self._settle(t_ns)

    # --- what is not bytes and edges

    def load_changed(self, t_ns: int) -> None:
        """The load draws another current now: regulate again."""
        self._touch(t_ns)
        self.meter.regulate(t_ns)
        self._settle(t_ns)

    def set_interlock(self, closed: bool, t_ns: int) -> None:
        """Close or open the interlock; open, it holds the output below a voltage far above this bench's."""
        self._touch(t_ns)
        self.meter.interlock_closed = closed
        self.meter.regulate(t_ns)
        self.meter.check_interlock(t_ns)
        self._settle(t_ns)

    def serial_poll(self, t_ns: int) -> int:
        """Status byte by serial poll."""
        return self.meter.status.byte(message_available=bool(self._out))

    def group_trigger(self, t_ns: int) -> None:
        """GET on the bus, or the trigger of VXI-11 and USBTMC: the same as *TRG but at once."""
        self._touch(t_ns)
        self.meter.event("COMM", t_ns)
        self._settle(t_ns)

    # --- time

    def _touch(self, t_ns: int) -> None:
        self._last_ns = max(self._last_ns, t_ns)

    def _sources(self) -> tuple[int | None, int | None, int | None, int | None]:
        """When an edge, the trigger model, a measurement and a message are due."""
        meter = self.meter
        return (
            meter.digital.edges[0][0] if meter.digital.edges else None,
            meter.trigger.due_ns,
            meter.job.due_ns if meter.job else None,
            self._incoming[0][0] if self._incoming else None,
        )

    def _due_ns(self) -> int | None:
        dues = [due_ns for due_ns in self._sources() if due_ns is not None]
        return max(min(dues), self._last_ns) if dues else None

    def _happen(self, t_ns: int) -> None:
        """Do the one thing that is due first; at the same time edges come before blocks before readings before messages."""
        edge_ns, block_ns, reading_ns, message_ns = self._sources()
        self._last_ns = t_ns
        if edge_ns is not None and edge_ns <= t_ns:
            event = self.meter.digital.take_edge()
            if event:
                self.meter.event(event, t_ns)
        elif block_ns is not None and block_ns <= t_ns:
            self.meter.trigger.proceed()
        elif reading_ns is not None and reading_ns <= t_ns:
            self._reading_done(t_ns)
        elif message_ns is not None and message_ns <= t_ns:
            self._arrived(self._incoming.popleft()[1], t_ns)
        self._settle(t_ns)

    def _settle(self, t_ns: int) -> None:
        if self.meter.completion_asked and not self.meter.trigger.running:
            self.meter.completion_asked = False
            self.meter.status.complete()
        self._work(t_ns)

    # --- messages

    def _arrived(self, text: str, t_ns: int) -> None:
        if text is OVERRUN or len(self._queue) >= MAX_WAITING:
            self.meter.status.report(-363, t_ns)
            return
        parsed = parse(text)
        message = _Message(deque(parsed.units), parsed.error)
        self._queue.append(message)
        overtakes = message.units and message.units[0].entry.overtakes and self.meter.quirks.abort_overtakes
        if overtakes and self._held_up():
            self.meter.abort(t_ns)

    def _held_up(self) -> bool:
        """Whether the message at the head cannot go on."""
        if self.meter.job is not None:
            return True
        message = self._queue[0]
        waits = bool(message.units) and message.units[0].entry.waits is Waits.IDLE
        return waits and self.meter.trigger.running

    def _work(self, t_ns: int) -> None:
        """Execute what can be executed now."""
        while self._queue and not self._held_up():
            message = self._queue[0]
            if not message.started:
                message.started = True
                self._interrupt(t_ns)
            if message.units:
                self._execute(message, message.units.popleft(), t_ns)
                continue
            if message.error:
                self.meter.status.report(message.error, t_ns)
            self._queue.popleft()
            if message.replies:
                self._send(b";".join(message.replies) + b"\n", t_ns)

    def _send(self, reply: bytes, t_ns: int) -> None:
        if len(self._out) >= MAX_UNREAD:
            self._out.clear()
            self.meter.status.report(-430, t_ns)
        self._out.append((t_ns, reply))

    def _execute(self, message: _Message, unit: Unit[Command], t_ns: int) -> None:
        try:
            reply = unit.entry(self.meter, unit.params, unit.suffixes, t_ns)
        except ScpiError as error:
            self._fail(message, error.code, t_ns)
            return
        if reply is not None:
            message.replies.append(reply.encode() if isinstance(reply, str) else reply)

    def _reading_done(self, t_ns: int) -> None:
        """A reading that the message at the head waits for."""
        message = self._queue[0]
        try:
            reply = self.meter.advance_job(t_ns)
        except ScpiError as error:
            self.meter.job = None
            self._fail(message, error.code, t_ns)
            return
        if reply:
            message.replies.append(reply)

    def _fail(self, message: _Message, code: int, t_ns: int) -> None:
        """An error ends its message (assumed, as in the 2400)."""
        self.meter.status.report(code, t_ns)
        message.units.clear()
        message.error = 0

    def _interrupt(self, t_ns: int) -> None:
        """A new message while a reply is unread discards the reply; a socket has sent it long ago."""
        if self._out and not self.meter.quirks.socket_link:
            self._out.clear()
            self.meter.status.report(-410, t_ns)


def _asks(text: str) -> bool:
    """Whether a reply may come of a message."""
    return "?" in text


def _make(around: Surroundings) -> Persona:
    quirks = Keithley2450Quirks(socket_link=around.serial_line, message_time_ns=1_000_000 if around.wire_time else 0)
    return Keithley2450Persona(around.terminal, around.rng, quirks=quirks)


PERSONA = PersonaEntry("keithley-2450", "voltage_source", _make, "TCPIP::192.0.2.22::5025::SOCKET")
