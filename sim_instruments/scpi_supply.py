"""A plain programmable supply, down to the bytes: one output of 30 V and 1 A, SCPI, no trigger input.

It is no maker's model; it behaves as supplies of its class do. Commands as SCPI-99 names them (SOURce, OUTPut, MEASure,
SYSTem) and the common commands of IEEE 488.2. Assumed: settings in steps of 1 mV and 0.1 mA and up to 3 % beyond the ratings;
read-back in steps of 1 mV and 10 uA; a message takes 1 ms to arrive and be parsed, a measurement 10 ms; *RST sets 0 V, the
highest current and off.
A message that comes while a reply is unread takes the reply away where the link has an end mark (-410), never on a socket.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.persona import Edges, OutputPulses, Persona, Terminal
from sim_instruments.scpi import (
    LIMIT_WORDS,
    STANDARD_ERRORS,
    CommandTree,
    ErrorQueue,
    Flag,
    Kind,
    MessageStream,
    ScpiError,
    Unit,
    Whole,
    parse_string,
    parse_word,
    single,
)
from sim_instruments.scpi_supply_arguments import INVALID_SUFFIX, Level, check_output, without_channels
from sim_instruments.scpi_supply_output import SupplyOutput

IDENTITY = "ITO-RIG SIMULATED,PLAIN-30V,SN000001,1.0"
SCPI_VERSION = "1999.0"
MESSAGE_NS = 1_000_000
MEASUREMENT_NS = 10_000_000
HIGHEST_V, HIGHEST_A = 30.9, 1.03
HIGHEST_CEILING_V = 33.0  # of the overvoltage protection, and where *RST puts it; assumed
MEMORIES = 5
SETTING_DECIMALS = {"voltage": 3, "current": 4}
READBACK_V, READBACK_A = 1e-3, 1e-5
NOISE_V, NOISE_A = 1e-3, 2e-6
ERROR_QUEUE_DEPTH = 20
INPUT_BYTES = 4096  # a message may have so many before its end
MESSAGES_WAITING = 256
REPLIES_WAITING = 256
OPC, QYE, DDE, EXE, CME, PON = 1, 4, 8, 16, 32, 128
ESB, MSS, ERROR_AVAILABLE, MAV = 32, 64, 4, 16

KNOWINGLY_ABSENT: dict[str, str] = {
    "VOLTage:RANGe": "it has one range",
    "VOLTage:SLEW": "the loop has its own time constant",
    "OUTPut:TRACk": "it has one output",
    "VOLTage:TRIGgered": "it has no trigger system",
    "STATus:QUEStionable:CONDition?": "how supplies number the bits of constant voltage and current differs by maker",
    "CURRent:PROTection": "the current is limited, not switched off",
    "MEASure:ALL?": "no SCPI: one maker's own",
    "CH1:VOLTage": "no SCPI: one maker's own",
}

_VOLTAGE = Level(HIGHEST_V, "V")
_CURRENT = Level(HIGHEST_A, "A")
_CEILING = Level(HIGHEST_CEILING_V, "V")
_BYTE = Whole(0, 255)
_SWITCH = Flag()


@dataclass(frozen=True, slots=True)
class _Command:
    """What a header does: `run` takes parameters and time and returns a reply or None; it lasts so long after parsing."""

    run: Callable[[tuple[str, ...], int], str | None]
    answers: bool = False
    lasts_ns: int = 0


@dataclass(slots=True)
class _Message:
    """A message under way: the units left, the error that follows them, the replies so far, when its next unit is done."""

    units: deque[Unit[_Command]]
    error: int
    done_ns: int
    replies: list[str]
    started: bool = False


class ScpiSupplyPersona:
    """A simulated plain supply; fulfils Persona. It has no connectors: edges that a cable brings it end there.

    Parameters
    ----------
    terminal     what hangs on the output; asked and told in time order
    rng          read noise only
    has_end      the link carries an end mark and a clear (GPIB, USB): an unread reply is lost to the next message
    wire_time    whether a message takes time to arrive and be read; on a real wire that is the wire's own
    """

    def __init__(self, terminal: Terminal, rng: np.random.Generator, *, has_end: bool = False, wire_time: bool = True) -> None:
        self.output = SupplyOutput(terminal, limit_a=HIGHEST_A, ceiling_v=HIGHEST_CEILING_V)
        self.errors = ErrorQueue(STANDARD_ERRORS | {INVALID_SUFFIX: "Invalid suffix"}, ERROR_QUEUE_DEPTH)
        self._rng = rng
        self._has_end = has_end
        self._message_ns = MESSAGE_NS if wire_time else 0
        self._saved: dict[int, tuple[float, float]] = {}
        self._esr, self._ese, self._sre = PON, 0, 0
        self._stream = MessageStream()
        self._unfinished = 0  # bytes of a message whose end has not come
        self._overlong = False
        self._messages: deque[_Message] = deque()
        self._free_ns = 0
        self._replies: deque[tuple[int, bytes]] = deque()
        self._tree = self._commands()

    # --- Persona

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Let everything happen up to `t_ns`; there are no outputs for pulses."""
        while (due_ns := self._due_ns()) is not None and due_ns <= t_ns:
            if self.output.due_ns == due_ns:
                self.output.walk()
            else:
                self._proceed(due_ns)
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Nothing listens."""

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes from the host, in any segmentation; a message that does not end is dropped (-363)."""
        for piece in data.replace(b"\r", b"\n").splitlines(keepends=True):
            self._unfinished += len(piece)
            if self._unfinished > INPUT_BYTES and not self._overlong:
                self._overlong = True
                self._report(-363)
            ended = piece.endswith(b"\n")
            if self._overlong:
                self._stream.clear()
            else:
                for text in self._stream.feed(piece):
                    self._accept(text, t_ns)
            if ended:
                self._unfinished, self._overlong = 0, False
        while self._messages and self._next_message_ns() == t_ns:  # a link that takes no time here
            self._proceed(t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next reply is there; for a question under way when it will have been answered, if it is not refused."""
        if self._replies:
            return self._replies[0][0]
        end_ns = self._free_ns
        for message in self._messages:
            end_ns = max(message.done_ns, end_ns + self._message_ns)
            end_ns += sum(unit.entry.lasts_ns for unit in message.units)
            if message.replies or any(unit.entry.answers for unit in message.units):
                return end_ns
        return None

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next reply is on the line already."""
        return bool(self._replies)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take up to `max_bytes` of the next reply, never of two; the flag marks its end."""
        if not self._replies or self._replies[0][0] > t_ns or max_bytes <= 0:
            return b"", False
        ready_ns, reply = self._replies.popleft()
        if len(reply) > max_bytes:
            self._replies.appendleft((ready_ns, reply[max_bytes:]))
            return reply[:max_bytes], False
        return reply, True

    def device_clear(self, t_ns: int) -> None:
        """Nothing waits, nothing is left to read; output and settings stay."""
        self._stream.clear()
        self._unfinished, self._overlong = 0, False
        self._messages.clear()
        self._replies.clear()

    def load_changed(self, t_ns: int) -> None:
        """The load draws another current now: regulate again."""
        self.output.regulate(t_ns)

    # --- messages

    def _due_ns(self) -> int | None:
        message_ns = self._next_message_ns()
        dues = [due_ns for due_ns in (self.output.due_ns, message_ns) if due_ns is not None]
        return min(dues, default=None)

    def _next_message_ns(self) -> int | None:
        """When the first unit of the first message is done."""
        if not self._messages:
            return None
        message = self._messages[0]
        begin_ns = message.done_ns if message.started else max(message.done_ns, self._free_ns + self._message_ns)
        return begin_ns + (message.units[0].entry.lasts_ns if message.units else 0)

    def _accept(self, text: str, t_ns: int) -> None:
        if len(self._messages) >= MESSAGES_WAITING:
            self._report(-363)
            return
        parsed = self._tree.parse(text)
        self._messages.append(_Message(deque(parsed.units), parsed.error, t_ns + self._message_ns, []))

    def _proceed(self, t_ns: int) -> None:
        """Execute the unit that is done at `t_ns`; a message that is through sends its replies."""
        message = self._messages[0]
        if not message.started:
            message.started = True
            self._interrupt()
        message.done_ns = t_ns
        if message.units:
            unit = message.units.popleft()
            try:
                reply = unit.entry.run(unit.params, t_ns)
            except ScpiError as error:
                message.units.clear()
                message.error = error.code
                reply = None
            if reply is not None:
                message.replies.append(reply)
        if not message.units:
            self._finish(message, t_ns)

    def _finish(self, message: _Message, t_ns: int) -> None:
        self._messages.popleft()
        self._free_ns = t_ns
        if message.error:
            self._report(message.error)
        if not message.replies:
            return
        if len(self._replies) < REPLIES_WAITING:
            self._replies.append((t_ns, (";".join(message.replies) + "\n").encode("ascii")))
        else:
            self._report(-430)

    def _interrupt(self) -> None:
        if self._has_end and self._replies:
            self._replies.clear()
            self._report(-410)

    def _report(self, code: int) -> None:
        self.errors.push(code)
        self._esr |= QYE if code <= -400 else DDE if code <= -300 else EXE if code <= -200 else CME

    # --- commands

    def _commands(self) -> CommandTree[_Command]:
        tree: CommandTree[_Command] = CommandTree()
        for node, kind, name in (("VOLTage", _VOLTAGE, "voltage"), ("CURRent", _CURRENT, "current")):
            header = f"[SOURce[1]:]{node}[:LEVel][:IMMediate][:AMPLitude]"
            self._add_level(tree, header, kind, name)
        self._ask(tree, "OUTPut[1][:STATe]?", lambda t_ns: str(int(self.output.on)), channels=True)
        tree.add("OUTPut[1][:STATe]", _Command(self._switch))
        tree.add("APPLy", _Command(self._apply))
        self._ask(tree, "APPLy?", lambda t_ns: f'"{self.output.setting_v:.5f},{self.output.limit_a:.5f}"')
        tree.add("INSTrument[:SELect]", _Command(lambda params, t_ns: check_output(params)))
        self._ask(tree, "INSTrument[:SELect]?", lambda t_ns: "OUTP1")
        tree.add("INSTrument:NSELect", _Command(lambda params, t_ns: check_output(params)))
        self._ask(tree, "INSTrument:NSELect?", lambda t_ns: "1")
        self._add_protection(tree)
        self._ask(tree, "MEASure[:SCALar][:VOLTage][:DC]?", self._measured_v, MEASUREMENT_NS, channels=True)
        self._ask(tree, "MEASure[:SCALar]:CURRent[:DC]?", self._measured_a, MEASUREMENT_NS, channels=True)
        self._ask(tree, "MEASure[:SCALar]:POWer[:DC]?", self._measured_w, 2 * MEASUREMENT_NS, channels=True)
        self._ask(tree, "SYSTem:ERRor[:NEXT]?", lambda t_ns: self.errors.pop())
        self._ask(tree, "SYSTem:VERSion?", lambda t_ns: SCPI_VERSION)
        self._ask(tree, "*IDN?", lambda t_ns: IDENTITY)
        self._ask(tree, "*TST?", lambda t_ns: "0")
        self._ask(tree, "*OPC?", lambda t_ns: "1")
        self._ask(tree, "*ESR?", lambda t_ns: str(self._pop_events()))
        self._ask(tree, "*STB?", lambda t_ns: str(self._status_byte()))
        self._ask(tree, "*ESE?", lambda t_ns: str(self._ese))
        self._ask(tree, "*SRE?", lambda t_ns: str(self._sre))
        tree.add("*ESE", _Command(lambda params, t_ns: self._mask("_ese", params)))
        tree.add("*SRE", _Command(lambda params, t_ns: self._mask("_sre", params)))
        self._do(tree, "*RST", self._reset)
        tree.add("*SAV", _Command(self._save))
        tree.add("*RCL", _Command(self._recall))
        for header in ("SYSTem:REMote", "SYSTem:LOCal", "SYSTem:RWLock", "SYSTem:BEEPer[:IMMediate]"):
            self._do(tree, header, lambda t_ns: None)
        tree.add("DISPlay[:WINDow][:STATe]", _Command(_switch_nothing))
        tree.add("DISPlay[:WINDow]:TEXT[:DATA]", _Command(_show_nothing))
        self._do(tree, "DISPlay[:WINDow]:TEXT:CLEar", lambda t_ns: None)
        self._do(tree, "*CLS", self._clear_status)
        self._do(tree, "*OPC", lambda t_ns: self._set_event(OPC))
        self._do(tree, "*WAI", lambda t_ns: None)
        return tree

    def _ask(
        self, tree: CommandTree[_Command], spec: str, tell: Callable[[int], str], lasts_ns: int = 0, *, channels: bool = False
    ) -> None:
        tree.add(spec, _Command(_without_parameters(tell, channels=channels), answers=True, lasts_ns=lasts_ns))

    def _do(self, tree: CommandTree[_Command], spec: str, act: Callable[[int], None]) -> None:
        tree.add(spec, _Command(_without_parameters(act)))

    def _add_level(self, tree: CommandTree[_Command], header: str, kind: Kind, name: str) -> None:
        def assign(params: tuple[str, ...], t_ns: int) -> None:
            default = 0.0 if name == "voltage" else HIGHEST_A
            value = round(float(str(kind.parse(without_channels(params), default, 0.0))), SETTING_DECIMALS[name])
            if name == "voltage":
                self.output.set(t_ns, voltage_v=value)
            else:
                self.output.set(t_ns, limit_a=value)

        def tell(params: tuple[str, ...], t_ns: int) -> str:
            params = without_channels(params)
            if not params:
                return kind.format(self._level(name))
            default = 0.0 if name == "voltage" else HIGHEST_A
            return kind.format(kind.parse((parse_word(single(params), LIMIT_WORDS),), default, 0.0))

        tree.add(header, _Command(assign))
        tree.add(f"{header}?", _Command(tell, answers=True))

    def _level(self, name: str) -> float:
        return self.output.setting_v if name == "voltage" else self.output.limit_a

    def _switch(self, params: tuple[str, ...], t_ns: int) -> None:
        self.output.set(t_ns, on=bool(_SWITCH.parse(without_channels(params), False, self.output.on)))

    def _apply(self, params: tuple[str, ...], t_ns: int) -> None:
        """Voltage, or voltage and current, both or none; the name of the output may stand before them."""
        if params and params[0][:1].isalpha() and params[0][:3].upper() not in ("MIN", "MAX", "DEF"):
            check_output(params[:1])
            params = params[1:]
        if len(params) not in (1, 2):
            raise ScpiError(-108 if len(params) > 2 else -109)
        voltage_v = round(float(str(_VOLTAGE.parse(params[:1], 0.0, 0.0))), SETTING_DECIMALS["voltage"])
        current = [round(float(str(_CURRENT.parse((p,), HIGHEST_A, 0.0))), SETTING_DECIMALS["current"]) for p in params[1:]]
        self.output.set(t_ns, voltage_v=voltage_v, limit_a=current[0] if current else None)

    def _add_protection(self, tree: CommandTree[_Command]) -> None:
        """Overvoltage protection, as single-output supplies of Keysight have it."""
        root = "[SOURce[1]:]VOLTage:PROTection"

        def assign(params: tuple[str, ...], t_ns: int) -> None:
            ceiling = _CEILING.parse(without_channels(params), HIGHEST_CEILING_V, 0.0)
            self.output.protect(t_ns, ceiling_v=float(str(ceiling)))

        def switch(params: tuple[str, ...], t_ns: int) -> None:
            self.output.protect(t_ns, on=bool(_SWITCH.parse(params, False, self.output.protected)))

        tree.add(f"{root}[:LEVel]", _Command(assign))
        tree.add(f"{root}:STATe", _Command(switch))
        self._ask(tree, f"{root}[:LEVel]?", lambda t_ns: _CEILING.format(self.output.ceiling_v), channels=True)
        self._ask(tree, f"{root}:STATe?", lambda t_ns: str(int(self.output.protected)))
        self._ask(tree, f"{root}:TRIPped?", lambda t_ns: str(int(self.output.tripped)), channels=True)
        self._do(tree, f"{root}:CLEar", self.output.clear_protection)

    def _reset(self, t_ns: int) -> None:
        self.output.set(t_ns, voltage_v=0.0, limit_a=HIGHEST_A, on=False)
        self.output.protect(t_ns, ceiling_v=HIGHEST_CEILING_V, on=False)
        self.output.clear_protection(t_ns)

    def _save(self, params: tuple[str, ...], t_ns: int) -> None:
        self._saved[self._memory(params)] = (self.output.setting_v, self.output.limit_a)

    def _recall(self, params: tuple[str, ...], t_ns: int) -> None:
        """Levels come back, with the output off (assumed); what was never saved is what *RST sets."""
        voltage_v, limit_a = self._saved.get(self._memory(params), (0.0, HIGHEST_A))
        self.output.set(t_ns, voltage_v=voltage_v, limit_a=limit_a, on=False)

    @staticmethod
    def _memory(params: tuple[str, ...]) -> int:
        return int(str(Whole(1, MEMORIES).parse(params, 1, 1)))

    def _measured_v(self, t_ns: int) -> str:
        return self._read_back(self.output.voltage_v + NOISE_V * self._rng.standard_normal(), READBACK_V)

    def _measured_a(self, t_ns: int) -> str:
        return self._read_back(self.output.current_a(t_ns) + NOISE_A * self._rng.standard_normal(), READBACK_A)

    def _measured_w(self, t_ns: int) -> str:
        return f"{float(self._measured_v(t_ns)) * float(self._measured_a(t_ns)):+.8E}"

    @staticmethod
    def _read_back(value: float, step: float) -> str:
        return f"{round(value / step) * step:+.8E}"

    def _mask(self, name: str, params: tuple[str, ...]) -> None:
        value: Any = _BYTE.parse(params, 0, 0)
        setattr(self, name, int(value))

    def _pop_events(self) -> int:
        events, self._esr = self._esr, 0
        return events

    def _set_event(self, bit: int) -> None:
        self._esr |= bit

    def _clear_status(self, t_ns: int) -> None:
        self._esr = 0
        self.errors.codes.clear()

    def _status_byte(self) -> int:
        byte = ERROR_AVAILABLE * bool(self.errors.codes) | MAV * bool(self._replies) | ESB * bool(self._esr & self._ese)
        return byte | MSS * bool(byte & self._sre)


def _switch_nothing(params: tuple[str, ...], t_ns: int) -> None:
    _SWITCH.parse(params, False, False)


def _show_nothing(params: tuple[str, ...], t_ns: int) -> None:
    parse_string(single(params))


def _without_parameters(
    run: Callable[[int], str | None], *, channels: bool = False
) -> Callable[[tuple[str, ...], int], str | None]:
    def checked(params: tuple[str, ...], t_ns: int) -> str | None:
        if without_channels(params) if channels else params:
            raise ScpiError(-108)
        return run(t_ns)

    return checked


def _make(around: Surroundings) -> Persona:
    return ScpiSupplyPersona(around.terminal, around.rng, has_end=not around.serial_line, wire_time=around.wire_time)


PERSONA = PersonaEntry("scpi-supply", "voltage_source", _make, "TCPIP::192.0.2.23::5025::SOCKET")
