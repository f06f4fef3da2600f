"""Keithley 2400 SourceMeter, down to the bytes: the interface in front of the instrument.

Messages take time to arrive and are executed in order. While the trigger model runs, only ABOR, *RST, *RCL, SYST:PRES, *TRG
and INIT (refused, -213) act; everything else waits for idle. One of these at the head of a message acts even past messages
that wait: then, except for *TRG and INIT, it acts once more in its turn, so that `:ABOR;:TRIG:CLE;:OUTP OFF` ends with the
output off even when an INIT waited before it. *RST drops what waits. (What the maker's firmware does with waiting messages
after ABOR is not documented: assumed. That *RST cancels them is.)
Source: 2400S-900-01 rev K, sections 11 and 16.
"""

import copy
import re
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.keithley_2400_commands import Command, parse
from sim_instruments.keithley_2400_forecast import UnforeseenError, foretell
from sim_instruments.keithley_2400_meter import Keithley2400Quirks, Noise, SourceMeter
from sim_instruments.keithley_2400_output import OutputStage
from sim_instruments.keithley_2400_status import TEXTS
from sim_instruments.persona import Edges, OutputPulses, Persona, Terminal
from sim_instruments.scpi import OVERRUN, MessageStream, ScpiError, Unit

__all__ = ["KNOWINGLY_ABSENT", "Keithley2400Persona", "Keithley2400Quirks"]

PULSE_NS = 10_000
MIN_PULSE_NS = 10_000  # from memory, unverified
INPUT_LOW_MAX_V = 0.5
INPUT_HIGH_V = (2.0, 5.0)
# 3.84 V and 0.33 V unloaded; OutputPulses gives levels into 50 ohm, which this output cannot drive
IDLE_V, ACTIVE_V = 3.84 / 2, 0.33 / 2
_LINES = {f"trigger_link_{line}": line for line in (1, 2, 3, 4)}
_CONTROL = re.compile(rb"([\x03\x18])")
_CTRL_C, _CTRL_X = b"\x03", b"\x18"

KNOWINGLY_ABSENT: dict[str, str] = {
    "CALCulate, CALCulate2": "mathematics and limit tests in the instrument; the rig computes itself",
    "TRACe:FEED CALCulate": "needs the CALCulate subsystems",
    "SOURce:MEMory, SOURce:FUNCtion MEMory, SYSTem:MEMory": "memory sweeps; lists do what the bench needs",
    "SENSe:RESistance:MODE AUTO": "kept as a setting, but the source is never taken over; +825 never comes",
    "SENSe:...:RANGe:AUTO:LLIMit, ULIMit, SYSTem:RCMode": "auto-ranging takes no time here",
    "SENSe:AVERage:TCONtrol MOVing": "kept as a setting; readings are not averaged over each other",
    "SOURce2:TTL, SOURce2:BSIZe": "kept and read back; the digital port has no pins here, so its size limits no level",
    "SYSTem:AZERo:CACHing": "kept as a setting; changes of the integration time cost nothing here",
    "NSTest, PSTest, BSTest, MANual": "start-of-test line and front-panel key do not exist: such an arm layer waits until ABOR",
    "OUTPut:SMODe HIMPedance": "the relay's 15 ms and its wear are not modelled",
    "OUTPut:SMODe GUARd, ZERO": "hold 0 V like NORMal; their current limits with the output off are not modelled",
    "*OPT, SYSTem:GUARd, SYSTem:MEP, SYSTem:CCHeck, CALibration, DIAGnostic": "no counterpart on this bench",
    "SYSTem:KEY, LOCal, REMote, RWLock, BEEPer": "accepted without effect",
    "-420, -430": "the persona is not told about reads that find nothing",
    "+600 errors": "lost memory is not modelled",
    "other error codes": "all texts of table B-1 are known; expressions, calibration, programs and pulses exist nowhere here",
    "STATus:MEASurement bits 0 to 5 and 10": "limit tests and the contact check never happen",
    "STATus:QUEStionable bits 8 and 14": "the calibration is always valid, no parameter is ignored",
    "status word bits 5 to 10, 17, 18 and 23": "mathematics, null, limits, auto-ohms, offset compensation, contacts, pulses",
}


class _NoLoad:
    """Terminals nobody hears of, for looking ahead."""

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        return 0.0

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        return None


class _NoNoise:
    """Draws nothing from anybody's generator."""

    def standard_normal(self) -> float:
        return 0.0


_NO_LOAD: Terminal = _NoLoad()
_NO_NOISE: Noise = _NoNoise()


@dataclass
class _Message:
    """A message under way: the units not executed yet, the error of the one after them, the replies so far."""

    units: deque[Unit[Command]]
    error: int
    replies: list[bytes] = field(default_factory=list[bytes])
    started: bool = False


class Keithley2400Persona:
    """A simulated Keithley 2400; fulfils Persona.

    Inputs and outputs are "trigger_link_1" to "trigger_link_4". An input acts on the falling edge of a pulse of at least 10 us
    between <= 0.5 V and 2 to 5 V; outputs send active-low pulses of 10 us.

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
        serial: str = "4102311",
        quirks: Keithley2400Quirks | None = None,
    ) -> None:
        self.meter = SourceMeter(OutputStage(terminal), rng, serial, quirks or Keithley2400Quirks())
        self._stream = MessageStream()
        self._incoming: deque[tuple[int, str]] = deque()
        self._last_arrival_ns = 0
        self._queue: deque[_Message] = deque()
        self._out: deque[tuple[int, bytes]] = deque()
        self._edges: deque[tuple[int, int]] = deque()
        self._last_ns = 0
        self._foretold = False
        self._forecast_ns: int | None = None

    # --- Persona

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Let everything happen up to `t_ns`; return the output triggers since last time."""
        while (due_ns := self._due_ns()) is not None and due_ns <= t_ns:
            self._happen(due_ns)
        if not self.meter.pulses:
            return {}
        pulses, self.meter.pulses = self.meter.pulses, []
        emitted: dict[str, OutputPulses] = {}
        for connector, line in _LINES.items():
            begin_ns = np.asarray([t for on, t in pulses if on == line], dtype=np.int64)
            if len(begin_ns):
                emitted[connector] = OutputPulses(begin_ns, begin_ns + PULSE_NS, IDLE_V, ACTIVE_V)
        return emitted

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Pulses arrive at an input; KeyError for a connector that does not exist.

        An edge older than the last thing that happened here counts as coming right after it.
        """
        line = _LINES[connector]
        if not (edges.low_v <= INPUT_LOW_MAX_V and INPUT_HIGH_V[0] <= edges.high_v <= INPUT_HIGH_V[1]):
            return
        wide = np.abs(edges.rise_ns - edges.fall_ns) >= MIN_PULSE_NS
        new = [(int(t), line) for t in edges.fall_ns[wide]]
        if new:
            self._edges = deque(sorted([*self._edges, *new]))
            self._foretold = False

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host; on a serial link Ctrl-C aborts and Ctrl-X clears at once."""
        self._foretold = False
        controlled = self.meter.quirks.serial_link and (_CTRL_C in data or _CTRL_X in data)
        for part in _CONTROL.split(data) if controlled else (data,):
            if part == _CTRL_X and controlled:
                self.device_clear(t_ns)
            elif part == _CTRL_C and controlled:
                self._touch(t_ns)
                self.meter.trigger.abort(t_ns)
                self._settle(t_ns)
            else:
                for text in self._stream.feed(part):
                    self._last_arrival_ns = max(t_ns, self._last_arrival_ns) + self.meter.quirks.message_time_ns
                    self._incoming.append((self._last_arrival_ns, text))
        while self._incoming and self._incoming[0][0] <= t_ns:  # a link that takes no time here
            self._happen(t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next reply is there; None when none is on its way, or when only a trigger from outside can bring it.

        Exact, except that a sweep which ends early by compliance abort replies earlier than foretold.
        """
        if self._out:
            return self._out[0][0]
        overdue = self._forecast_ns is not None and self._forecast_ns <= t_ns  # what was foretold was lost meanwhile (-410)
        if not self._foretold or overdue:
            self._forecast_ns = self._foretell()
            self._foretold = True
        return self._forecast_ns

    @property
    def reply_is_sent(self) -> bool:
        """Never known: what is foretold is written when its time comes."""
        return False

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take up to `max_bytes` of the next reply, never of two; the flag marks its end."""
        if not self._out:
            return b"", False
        self._foretold = False
        ready_ns, reply = self._out.popleft()
        if len(reply) > max_bytes:
            self._out.appendleft((ready_ns, reply[max_bytes:]))
            return reply[:max_bytes], False
        return reply, True

    def device_clear(self, t_ns: int) -> None:
        """SDC or DCL: back to idle, nothing waits, nothing is left to read; output and settings stay."""
        self._stream.clear()
        self._last_arrival_ns = t_ns
        for waiting in (self._incoming, self._queue, self._out):
            waiting.clear()
        self._touch(t_ns)
        self.meter.trigger.abort(t_ns)
        self._settle(t_ns)

    # --- what is not bytes and edges

    def load_changed(self, t_ns: int) -> None:
        """The load draws another current now: regulate again."""
        self._touch(t_ns)
        self.meter.regulate(t_ns)
        self._settle(t_ns)

    def set_interlock(self, closed: bool, t_ns: int) -> None:
        """Close or open the output-enable line; with OUTP:ENAB on, opening it switches the output off."""
        self._touch(t_ns)
        self.meter.interlock_closed = closed
        if self.meter.settings.output_enable and not closed:
            self.meter.trigger.abort(t_ns)
            self.meter.switch(False, t_ns)
        self._settle(t_ns)

    def set_temperature(self, too_hot: bool, t_ns: int) -> None:
        """Let it overheat, which switches the output off, or cool down again, which switches nothing on (assumed)."""
        self._touch(t_ns)
        self.meter.too_hot = too_hot
        if too_hot:
            self.meter.trigger.abort(t_ns)
            self.meter.switch(False, t_ns)
        self._settle(t_ns)

    def serial_poll(self, t_ns: int) -> int:
        """Status byte by GPIB serial poll, which works while the instrument is not idle."""
        return self.meter.status.byte(message_available=bool(self._out))

    def group_trigger(self, t_ns: int) -> None:
        """GET on the bus, the same as *TRG but at once."""
        self._touch(t_ns)
        if not self.meter.trigger.bus(t_ns):
            self.meter.status.report(-211)
        self._settle(t_ns)

    # --- time

    def _touch(self, t_ns: int) -> None:
        self._last_ns = max(self._last_ns, t_ns)
        self._foretold = False

    def _sources(self) -> tuple[int | None, int | None, int | None]:
        """When an edge, the trigger model and a message are due."""
        return (
            self._edges[0][0] if self._edges else None,
            self.meter.trigger.due_ns,
            self._incoming[0][0] if self._incoming else None,
        )

    def _due_ns(self) -> int | None:
        dues = [due_ns for due_ns in self._sources() if due_ns is not None]
        return max(min(dues), self._last_ns) if dues else None

    def _happen(self, t_ns: int) -> None:
        """Do the one thing that is due first; at the same time edges come before the trigger model before messages."""
        edge_ns, trigger_ns, message_ns = self._sources()
        self._last_ns = t_ns
        if edge_ns is not None and edge_ns <= t_ns:
            self.meter.trigger.edge(self._edges.popleft()[1], t_ns)
        elif trigger_ns is not None and trigger_ns <= t_ns:
            self.meter.trigger.proceed()
        elif message_ns is not None and message_ns <= t_ns:
            self._parse(self._incoming.popleft()[1])
        self._settle(t_ns)

    def _settle(self, t_ns: int) -> None:
        self.meter.refresh()
        self._work(t_ns)

    def _foretell(self) -> int | None:
        """When the next reply is there: from what waits if that tells, else a copy of this instrument runs ahead."""
        if not (self._incoming or self._queue) or self._next_without_input_ns() is None:
            return None
        if not (self._queue or self.meter.trigger.running):
            try:
                return foretell(self.meter, self._incoming)
            except UnforeseenError:
                pass
        # what must not be reached from the copy, or need not be copied
        replaced = {id(self.meter.output.terminal): _NO_LOAD, id(self.meter.noise): _NO_NOISE, id(TEXTS): TEXTS}
        return copy.deepcopy(self, replaced).run_to_reply()

    def run_to_reply(self) -> int | None:
        """Let everything happen until there is a reply; return when that is, or None when only new input brings one."""
        while not self._out:
            due_ns = self._next_without_input_ns()
            if due_ns is None:
                return None
            self._happen(due_ns)
        return self._out[0][0]

    def _next_without_input_ns(self) -> int | None:
        """When the next step towards idle is due; None when only new input leads there."""
        return None if self.meter.trigger.endless and not self._incoming else self._due_ns()

    # --- messages

    def _parse(self, text: str) -> None:
        if text is OVERRUN:
            self.meter.status.report(-363)
            return
        parsed = parse(text)
        self._queue.append(_Message(deque(parsed.units), parsed.error))

    def _blocked(self, message: _Message) -> bool:
        return bool(message.units) and self.meter.trigger.running and not message.units[0].entry.at_once

    def _work(self, t_ns: int) -> None:
        """Execute what can be executed now."""
        while self._queue:
            message = self._queue[0]
            if self._blocked(message):
                if not self._act_past_waiting(t_ns):
                    return
                continue
            if not message.started:
                message.started = True
                self._interrupt()
            if message.units:
                self._execute(message, message.units.popleft(), t_ns)
                continue
            if message.error:
                self.meter.status.report(message.error)
            if message.replies:
                self._out.append((t_ns, b";".join(message.replies) + b"\n"))
            self._queue.popleft()

    def _act_past_waiting(self, t_ns: int) -> bool:
        """Let the head of a message act past the messages that wait before it; False when there is none to act."""
        message = next((m for m in self._queue if m.units and m.units[0].entry.at_once), None)
        if message is None:
            return False
        unit = message.units[0]
        if unit.entry.cancels:
            self._queue = deque([message])
        if not unit.entry.repeats:
            message.units.popleft()
        try:
            unit.entry.run(self.meter, unit.params, t_ns)
        except ScpiError as error:
            self._fail(message, error.code)
        self.meter.refresh()
        return True

    def _fail(self, message: _Message, code: int) -> None:
        """An error ends its message."""
        self.meter.status.report(code)
        message.units.clear()
        message.error = 0

    def _execute(self, message: _Message, unit: Unit[Command], t_ns: int) -> None:
        try:
            reply = unit.entry.run(self.meter, unit.params, t_ns)
        except ScpiError as error:
            self._fail(message, error.code)
            reply = None
        else:
            if unit.entry.then is not None:
                message.units.appendleft(Unit(unit.entry.then))
        if reply is not None:
            message.replies.append(reply.encode() if isinstance(reply, str) else reply)
        self.meter.refresh()

    def _interrupt(self) -> None:
        """A new message while a reply is unread discards the reply; a serial line has sent it long ago."""
        if self._out and not self.meter.quirks.serial_link:
            self._out.clear()
            self.meter.status.report(-410)


def _make(around: Surroundings) -> Persona:
    quirks = Keithley2400Quirks(serial_link=around.serial_line, message_time_ns=1_000_000 if around.wire_time else 0)
    return Keithley2400Persona(around.terminal, around.rng, quirks=quirks)


PERSONA = PersonaEntry("keithley-2400", "voltage_source", _make, "GPIB0::24::INSTR")
