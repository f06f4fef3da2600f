"""The Stanford Research DG645 digital delay generator, as its bytes and its pulses show it.

Inputs "EXT" and "INHIBIT", outputs "T0", "AB", "CD", "EF", "GH". Source: DG645 operating manual (remote programming,
triggering, burst mode) and the byte sequences of the maker's driver srsinst.dg645. Assumed: every command takes 1 ms and
takes effect at the end of it; device clear empties both queues and leaves the outputs alone.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sim_instruments.catalogue import PersonaEntry
from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.reply_queue import ReplyQueue
from sim_instruments.srs_dg645_cycles import Cycles, Event
from sim_instruments.srs_dg645_grammar import (
    INPUT_BUFFER_BYTES,
    Code,
    Command,
    CommandError,
    CommandStream,
    fixed,
    read_index,
    read_number,
)
from sim_instruments.srs_dg645_settings import (
    CHANNELS,
    DELAYS,
    OUTPUTS,
    SETTINGS,
    SINGLE_SHOT_SOURCES,
    STEPS,
    Dg645Quirks,
    Settings,
    read_link,
)

__all__ = ["KNOWINGLY_ABSENT", "Dg645Persona", "Dg645Quirks"]

COMMAND_NS = 1_000_000
SELF_TEST_NS = 2_000_000_000  # assumed; the manual says seconds
CALIBRATION_NS = 60_000_000_000  # assumed; the manual says minutes
ERROR_QUEUE_DEPTH = 20

# ESR bits
OPC, QYE, DDE, EXE, CME, PON = 1, 4, 8, 16, 32, 128
# STB bits
INSB, BUSY, BURST, MAV, ESB, MSS = 1, 2, 4, 16, 32, 64

KNOWINGLY_ABSENT: dict[str, str] = {
    "errors 15, 16, 17, 40 to 91": "the simulated hardware passes every test and calibration",
    "errors 30, 32, 170": "no link of this bench loses or garbles a byte on the instrument's side",
    "INSR bits 6 and 7": "the timebases never lose lock",
    "ESR bit 2": "the persona is not told about reads that find nothing",
    "*PSC": "kept and read back; the simulated instrument is never switched off",
    "DISP, SHDP": "kept and read back; there is no display",
    "IFCF, IFRS, EPHY": "kept and read back; the link of the bench stays what it is",
    "LCAL, REMT, LOCK, UNLK": "accepted; there is no front panel and no second host",
    "TRAT just beyond its limits": "clamped silently, says the maker's driver; here refused, as the manual says",
}

_BAUD_RATES = ("4800", "9600", "19200", "38400", "57600", "115200")
_SWITCH = ("0", "1")
_ADDRESS = ()  # any dotted quad
# IFCF: value at power-on and what may be set; the power-on values of 4..13 are assumed
_INTERFACE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1", _SWITCH),  # RS-232
    ("9600", _BAUD_RATES),
    ("1", _SWITCH),  # GPIB
    ("15", tuple(str(address) for address in range(31))),
    *[("1", _SWITCH)] * 7,  # TCP/IP, DHCP, auto-IP, static IP, raw socket, telnet, VXI-11
    ("0.0.0.0", _ADDRESS),  # noqa: S104 - the instrument's own address, nothing listens
    ("0.0.0.0", _ADDRESS),  # noqa: S104
    ("0.0.0.0", _ADDRESS),  # noqa: S104
)


@dataclass(frozen=True, slots=True)
class _Verb:
    """A command that is more than a number: fewest and most parameters to ask and to set (None: no such form)."""

    ask: tuple[int, int] | None
    do: tuple[int, int] | None
    run: Callable[[tuple[str, ...], bool], str | None]


def _bus_bit(code: Code) -> int:
    """Return the ESR bit that belongs to an error (of 171 and 254: assumed)."""
    if code < 30:
        return EXE
    return CME if 110 <= code < 170 else DDE


class Dg645Persona:
    """One DG645.

    Parameters
    ----------
    serial    six digits, as *IDN? shows them
    firmware  as *IDN? shows it after "ver"
    quirks    what the manual leaves open
    wire_time whether a command takes time to arrive and be read; on a real wire that is the wire's own
    """

    def __init__(
        self,
        *,
        serial: str = "004025",
        firmware: str = "1.00.00E",
        quirks: Dg645Quirks | None = None,
        wire_time: bool = True,
    ) -> None:
        self._identity = f"Stanford Research Systems,DG645,s/n{serial},ver{firmware}"
        self._quirks = quirks or Dg645Quirks()
        self._command_ns = COMMAND_NS if wire_time else 0
        self._settings = Settings(self._quirks)
        self._cycles = Cycles(self._settings.timing(), self._quirks)
        self._stream = CommandStream()
        self._waiting: deque[tuple[int, Command]] = deque()
        self._free_ns = 0  # when the processor has done what it began
        self._now_ns = 0
        self._replies = ReplyQueue()
        self._terminator = b"\r\n"
        self._errors: deque[Code] = deque()
        self._esr = PON
        self._masks = {"*ESE": 0, "*SRE": 0, "INSE": 0, "*PSC": 1}  # *RST leaves them alone
        self._shown = "2,0"  # assumed
        self._interface = [value for value, _ in _INTERFACE]
        self._phy = ["1", "1"]  # EPHY, from memory, unverified
        self._verbs = self._make_verbs()

    # --- the Persona protocol -----------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Execute what is due, advance the outputs; return the pulses that began since last time."""
        self._work(t_ns)
        self._now_ns = t_ns
        self._cycles.advance(t_ns)
        return self._cycles.drain()

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Pulses arrive at "EXT" or "INHIBIT". Raises KeyError for any other connector."""
        self._cycles.receive_edges(connector, edges)

    def receive(self, data: bytes, t_ns: int) -> None:
        """Bytes arrive at `t_ns`, in any segmentation."""
        self._waiting.extend((t_ns, command) for command in self._stream.feed(data))
        if self._quirks.overrun_by_waiting_commands:
            held = len(self._stream) + sum(command.size for _, command in self._waiting)
            if held > INPUT_BUFFER_BYTES:
                self.device_clear(t_ns)
                self._report(Code.OVER_RUN)
        if not self._command_ns:
            self._work(t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next reply is there; for a question not yet executed, when it will have been."""
        if self._replies:
            return self._replies.ready_ns
        done_ns = self._free_ns
        for arrived_ns, command in self._waiting:
            done_ns = max(arrived_ns, done_ns) + self._command_ns
            if command.query and command.error is None and self._answers(command.header):
                return done_ns + self._duration_ns(command.header)
        return None

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next reply is on the line already."""
        return bool(self._replies)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take bytes of the first reply that is ready; the flag says that they end it."""
        return self._replies.take(max_bytes, t_ns)

    def device_clear(self, t_ns: int) -> None:
        """Forget commands that wait and replies that nobody took; what runs goes on (assumed)."""
        self._stream.clear()
        self._waiting.clear()
        self._replies.clear()

    # --- execution ----------------------------------------------------------------------------------------------------

    def _work(self, t_ns: int) -> None:
        """Execute the commands that are done by `t_ns`."""
        while self._waiting:
            arrived_ns, command = self._waiting[0]
            done_ns = max(arrived_ns, self._free_ns) + self._command_ns
            if done_ns > t_ns:
                break
            self._waiting.popleft()
            self._free_ns = self._now_ns = done_ns
            self._cycles.advance(done_ns)
            self._execute(command)

    def _execute(self, command: Command) -> None:
        try:
            if command.error is Code.OVER_RUN:
                self._replies.clear()  # from memory, unverified: an over run empties both buffers
            if command.error is not None:
                raise CommandError(command.error)
            answer = self._dispatch(command)
        except CommandError as refusal:
            self._report(refusal.code)
            return
        lasts_ns = self._duration_ns(command.header)
        if lasts_ns:
            self._cycles.abort(deaf_ns=lasts_ns)
            self._free_ns += lasts_ns
        if answer is not None:
            self._replies.send(answer.encode("ascii") + self._terminator, self._free_ns)

    def _report(self, code: Code) -> None:
        self._esr |= _bus_bit(code)
        if len(self._errors) < ERROR_QUEUE_DEPTH - 1:
            self._errors.append(code)
        elif len(self._errors) < ERROR_QUEUE_DEPTH:
            self._errors.append(Code.TOO_MANY_ERRORS)

    def _dispatch(self, command: Command) -> str | None:
        header, parameters = command.header, command.parameters
        verb = self._verbs.get(header)
        item = SETTINGS.get(header)
        if item is not None:
            indexes = int(bool(item.indexes))
            ask, do, run = (indexes, indexes), (indexes + 1, indexes + 1), None
        elif verb is not None:
            ask, do, run = verb.ask, verb.do, verb.run
        else:
            raise CommandError(Code.UNDEFINED_COMMAND)
        count = ask if command.query else do
        if count is None:
            raise CommandError(Code.ILLEGAL_QUERY if command.query else Code.ILLEGAL_SET)
        if len(parameters) < count[0]:
            raise CommandError(Code.MISSING_PARAMETERS)
        if len(parameters) > count[1]:
            raise CommandError(Code.EXTRA_PARAMETERS)
        if run is not None:
            return run(parameters, command.query)
        return self._run_setting(header, parameters, query=command.query)

    def _answers(self, header: str) -> bool:
        verb = self._verbs.get(header)
        return header in SETTINGS or (verb is not None and verb.ask is not None)

    def _duration_ns(self, header: str) -> int:
        return {"*TST": SELF_TEST_NS, "*CAL": CALIBRATION_NS}.get(header, 0)

    # --- settings -----------------------------------------------------------------------------------------------------

    def _run_setting(self, header: str, parameters: tuple[str, ...], *, query: bool) -> str | None:
        item = SETTINGS[header]
        index = read_index(parameters[0], item.indexes[0], item.indexes[-1]) if item.indexes else 0
        if query:
            return item.write(self._settings[header, index])
        self._set(header, index, item.read(parameters[-1]))
        return None

    def _set(self, header: str, index: int, value: int) -> None:
        """Set one number and let it take effect. Raises CommandError."""
        if header in ("PRES", "PHAS") and self._quirks.prescale_refused_single_shot:
            if self._settings["TSRC", 0] in SINGLE_SHOT_SOURCES:
                raise CommandError(Code.ILLEGAL_MODE)
        enabled = header == "ADVT" and value > self._settings["ADVT", 0]
        self._settings.write({(header, index): value})
        if header not in SETTINGS or SETTINGS[header].aborts:
            self._cycles.configure(self._settings.timing())
        if self._quirks.counters_restart:
            self._cycles.restart_counters(OUTPUTS if enabled else range(index, index + int(header == "PRES")))

    def _step(self, header: str) -> Callable[[tuple[str, ...], bool], None]:
        """Return what runs a step command: down for 0, up for 1."""
        target, size = STEPS[header]
        indexes = DELAYS if target == "DLAY" else SETTINGS[target].indexes

        def run(parameters: tuple[str, ...], _query: bool) -> None:
            index = read_index(parameters[0], indexes[0], indexes[-1]) if indexes else 0
            sign = 2 * read_index(parameters[-1], 0, 1) - 1
            self._set(target, index, self._settings[target, index] + sign * self._settings[size, index])

        return run

    def _delay(self, parameters: tuple[str, ...], query: bool) -> str | None:
        if query:
            channel = read_index(parameters[0], CHANNELS[0], CHANNELS[-1])
            return f"{self._settings.ask_link(channel)},{fixed(self._settings.ask_delay(channel), 12)}"
        channel, reference = read_link(parameters[0], parameters[1])
        delay_ps = read_number(parameters[2], 12, 5)
        self._settings.write({("LINK", channel): reference, ("DLAY", channel): delay_ps})
        self._cycles.configure(self._settings.timing())
        return None

    def _link(self, parameters: tuple[str, ...], query: bool) -> str | None:
        if query:
            return str(self._settings.ask_link(read_index(parameters[0], CHANNELS[0], CHANNELS[-1])))
        channel, reference = read_link(parameters[0], parameters[1])
        self._settings.write({("LINK", channel): reference})  # assumed: the delay is then counted from the new channel
        self._cycles.configure(self._settings.timing())
        return None

    # --- everything else ----------------------------------------------------------------------------------------------

    def _make_verbs(self) -> dict[str, _Verb]:
        none, one, two = (0, 0), (1, 1), (2, 2)
        verbs = {
            "*IDN": _Verb(none, None, lambda _p, _q: self._identity),
            "*RST": _Verb(None, none, lambda _p, _q: self._recall(0)),
            "*RCL": _Verb(None, one, lambda p, _q: self._recall(read_index(p[0], 0, 9))),
            "*SAV": _Verb(None, one, lambda p, _q: self._settings.save(read_index(p[0], 1, 9))),
            "*TRG": _Verb(None, none, lambda _p, _q: self._trigger()),
            "*OPC": _Verb(none, none, self._operation_complete),
            "*WAI": _Verb(None, none, lambda _p, _q: None),
            "*TST": _Verb(none, None, lambda _p, _q: "0"),
            "*CAL": _Verb(none, None, lambda _p, _q: "0"),
            "*CLS": _Verb(None, none, lambda _p, _q: self._clear_status()),
            "*ESR": _Verb(none, None, lambda _p, _q: self._read_esr()),
            "*STB": _Verb(none, None, lambda _p, _q: str(self._status_byte())),
            "INSR": _Verb(none, None, lambda _p, _q: self._read_insr()),
            "LERR": _Verb(none, None, lambda _p, _q: str(int(self._errors.popleft())) if self._errors else "0"),
            "DLAY": _Verb(one, (3, 3), self._delay),
            "LINK": _Verb(one, two, self._link),
            "DISP": _Verb(none, two, self._display),
            "IFCF": _Verb(one, two, self._configure_interface),
            "EPHY": _Verb(one, two, self._configure_phy),
            "IFRS": _Verb(None, one, lambda p, _q: self._acknowledge(read_index(p[0], 0, 2))),
            "XTRM": _Verb(None, (1, 3), self._set_terminator),
            "EMAC": _Verb(none, None, lambda _p, _q: "00:19:B3:02:00:01"),  # a made-up address
            "TIMB": _Verb(none, None, lambda _p, _q: "0"),
            "LOCK": _Verb(none, None, lambda _p, _q: "1"),
            "UNLK": _Verb(none, None, lambda _p, _q: "1"),
            "LCAL": _Verb(None, none, lambda _p, _q: None),
            "REMT": _Verb(None, none, lambda _p, _q: None),
        }
        for header in self._masks:
            verbs[header] = _Verb(none, one, self._mask(header))
        for header, (target, _size) in STEPS.items():
            indexed = target == "DLAY" or bool(SETTINGS[target].indexes)
            verbs[header] = _Verb(None, two if indexed else one, self._step(header))
        return verbs

    def _acknowledge(self, _interface: int) -> None:
        """IFRS: a simulated interface has nothing to reset."""

    def _recall(self, location: int) -> None:
        self._settings.recall(location)
        self._cycles.configure(self._settings.timing())
        if self._quirks.counters_restart:
            self._cycles.restart_counters(OUTPUTS)

    def _trigger(self) -> None:
        if self._settings["TSRC", 0] not in SINGLE_SHOT_SOURCES:
            raise CommandError(Code.ILLEGAL_MODE)
        self._cycles.trigger()

    def _operation_complete(self, _parameters: tuple[str, ...], query: bool) -> str | None:
        if query:
            return "1"
        self._esr |= OPC
        return None

    def _clear_status(self) -> None:
        self._esr = 0
        self._cycles.events = Event(0)
        self._errors.clear()

    def _read_esr(self) -> str:
        value, self._esr = self._esr, 0
        return str(value)

    def _read_insr(self) -> str:
        value, self._cycles.events = self._cycles.events, Event(0)
        return str(int(value))

    def _status_byte(self) -> int:
        bits = (
            (INSB, self._cycles.events & self._masks["INSE"]),
            (BUSY, self._cycles.in_cycle),
            (BURST, self._cycles.in_burst),
            (MAV, self._replies.is_ready(self._now_ns)),
            (ESB, self._esr & self._masks["*ESE"]),
        )
        status = sum(bit for bit, condition in bits if condition)
        return status | (MSS if status & self._masks["*SRE"] else 0)

    def _mask(self, header: str) -> Callable[[tuple[str, ...], bool], str | None]:
        highest = 1 if header == "*PSC" else 255

        def run(parameters: tuple[str, ...], query: bool) -> str | None:
            if query:
                return str(self._masks[header])
            self._masks[header] = read_index(parameters[0], 0, highest)
            return None

        return run

    def _display(self, parameters: tuple[str, ...], query: bool) -> str | None:
        if query:
            return self._shown
        self._shown = f"{read_index(parameters[0], 0, 14)},{read_index(parameters[1], CHANNELS[0], CHANNELS[-1])}"
        return None

    def _configure_interface(self, parameters: tuple[str, ...], query: bool) -> str | None:
        item = read_index(parameters[0], 0, len(_INTERFACE) - 1)
        if query:
            return self._interface[item]
        allowed = _INTERFACE[item][1]
        quad = parameters[1].split(".")
        is_address = len(quad) == 4 and all(part.isdecimal() and len(part) <= 3 and int(part) <= 255 for part in quad)
        if not (parameters[1] in allowed if allowed else is_address):
            raise CommandError(Code.ILLEGAL_VALUE)
        self._interface[item] = parameters[1]
        return None

    def _configure_phy(self, parameters: tuple[str, ...], query: bool) -> str | None:
        item = read_index(parameters[0], 0, len(self._phy) - 1)
        if query:
            return self._phy[item]
        self._phy[item] = str(read_index(parameters[1], 0, 1))
        return None

    def _set_terminator(self, parameters: tuple[str, ...], _query: bool) -> None:
        self._terminator = bytes(code for code in (read_index(text, 0, 255) for text in parameters) if code)


PERSONA = PersonaEntry(
    "srs-dg645", "laser_trigger", lambda around: Dg645Persona(wire_time=around.wire_time), "TCPIP::192.0.2.20::5025::SOCKET"
)
