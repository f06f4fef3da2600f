"""Thorlabs FW102C filter wheel: its lines, and the role FilterWheel on top of them.

Source: FW102C operating manual, table of keywords; Odemis, for the framing (a line ends with CR and comes back as echo, then
CR, a value and CR where there is one, then the prompt "> ", which comes after a move when it is over) and for the words of an
error. What an external trigger does (in input mode an edge turns the wheel on): from memory, unverified.
"""

from typing import Any

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, Reason, RefusedError, WrongIdentity
from drivers.link import clock_of, conversation, regain
from drivers.registry import DriverEntry, require_same
from drivers.roles import Identity

PROMPT = b"> "
REPLY_BYTES_MAX = 1024
STALE_BYTES_MAX = 4096
TIMEOUT_S = 0.5  # of a question to a wheel that stands still
MOVE_TIMEOUT_S = 20.0  # half a turn of twelve positions at low speed, and more; assumed
REST_TIMEOUT_S = 5.0  # of a question to one that may be half a turn from where it will stand; assumed
STEP_S = 0.6  # from one position to the next at high speed; assumed
SLICE_S = 0.2  # of waiting: whoever watches sees a sign of life so often
FAST, TRIGGER_OUT, SENSORS_ASLEEP = 1, 1, 0
SIZES = (6, 12)
NONSENSE = "~"  # begins a line that no beginning of a command can turn into a command


def _setting(name: str, docs: str) -> Any:
    def ask(self: "Fw102c") -> int:
        return self.number(f"{name}?", 0, 1)

    def tell(self: "Fw102c", value: int) -> None:
        if value not in (0, 1):
            raise ValueError(f"{name}={value} is neither 0 nor 1")
        self.tell(f"{name}={value}")

    return property(ask, tell, doc=docs)


class Fw102c(Instrument):
    """Thorlabs FW102C, and its sister of twelve positions.

    It turns at high speed, its sensors asleep when it stands (they shine), its trigger connector an output: a stray edge there
    would turn the wheel by itself.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    def __init__(self, adapter: Adapter | str | int, name: str = "Thorlabs FW102C", **kwargs: Any) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self.positions: int = SIZES[0]
        self._reported: list[str] = []
        self._identity: Identity | None = None
        self._nonce = 0

    # --- settings

    speed = _setting("speed", "Control how fast it turns (0 low, 1 high).")
    trigger = _setting("trig", "Control what the trigger connector is (0 input, 1 output).")
    sensors = _setting("sensors", "Control whether the sensors stay on when it stands (0 asleep, 1 on).")

    @property
    def position_count(self) -> int:
        """Get how many positions the wheel has (int, 6 or 12)."""
        return self.number("pcount?", *SIZES)

    # --- role FilterWheel

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not an FW102C or FW212C, or not the one that answered before
        """
        self._regain()
        self._end_line()  # somebody may have left half a command on the line
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> None:
        """High speed, sensors asleep, trigger connector an output, all read back; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  a setting is not as set
        InstrumentError   it refuses a command, or is no wheel of 6 or 12 positions
        """
        self._regain()
        self._end_line()
        self._reported.clear()
        for name, value in (("trigger", TRIGGER_OUT), ("speed", FAST), ("sensors", SENSORS_ASLEEP)):
            self._confirm(name, value)
        found = self.position_count
        if found not in SIZES:
            raise self._desync("pcount?", str(found).encode())
        self.positions = found
        self._where()

    def move_to(self, position: int) -> int:
        """Turn to a position (1 to `positions`), and return the one it says when it stands.

        Raises
        ------
        RefusedError      there is no such position; nothing was sent
        ReadbackMismatch  it stands elsewhere
        InstrumentError   it refuses, or its move does not end in time
        """
        if position not in range(1, self.positions + 1):
            message = f"{position} is none of the positions 1 to {self.positions}"
            raise RefusedError(f"{self.name} is not turned.", (Reason("no-such-position", self.name, message),))
        self._regain()
        here = self._where()
        if here != position:
            self._turn(here, position)
            here = self._where()
        if here != position:
            raise ReadbackMismatch(
                f"{self.name} was sent to position {position} and says {here}.",
                where=self.name,
                hardware_state=f"filter wheel at position {here}, by its own word",
                next_step="see whether the wheel is blocked, or somebody presses its button; then start again",
            )
        return here

    def position(self) -> int:
        """Ask where the wheel stands (1 to `positions`)."""
        self._regain()
        return self._where()

    def errors(self) -> list[str]:
        """Return what it has refused since the last call."""
        found, self._reported = self._reported, []
        return found

    # --- lines

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a line and return what stands between echo and prompt, "" when nothing does.

        Raises
        ------
        InstrumentError  the wheel reports an error
        LinkDesync       the echo is that of another line
        """
        with conversation(self.adapter, TIMEOUT_S):
            self.write_bytes(command.encode("ascii") + b"\r")
            return self._value(command, self._to_prompt(b"", REPLY_BYTES_MAX))

    def number(self, question: str, low: int, high: int) -> int:
        """Ask for a whole number.

        Raises
        ------
        LinkDesync  the answer is none from `low` to `high`
        """
        with conversation(self.adapter, TIMEOUT_S):
            text = self.ask(question)
            if not (text.isdecimal() and low <= int(text) <= high):
                raise self._desync(question, text.encode())
        return int(text)

    def tell(self, line: str) -> None:
        """Send a line that is answered by its echo only.

        Raises
        ------
        InstrumentError  the wheel reports an error
        LinkDesync       it answers more than that
        """
        with conversation(self.adapter, TIMEOUT_S):
            if text := self.ask(line):
                raise self._desync(line, text.encode())

    # --- parts

    def _turn(self, here: int, position: int) -> None:
        """Send it there; the prompt comes when it stands, after a time that is mostly waited for in slices."""
        line = f"pos={position}"
        apart = abs(position - here)
        with conversation(self.adapter, MOVE_TIMEOUT_S):
            self.write_bytes(line.encode("ascii") + b"\r")
            echo = self._to(b"\r", b"", REPLY_BYTES_MAX)
            if echo.lstrip(b"\0") == line.encode("ascii") + b"\r":
                for _ in range(int(min(apart, self.positions - apart) * STEP_S / SLICE_S)):
                    clock_of(self.adapter).sleep(SLICE_S)
            if text := self._value(line, self._to_prompt(echo, REPLY_BYTES_MAX)):
                raise self._desync(line, text.encode())

    def _where(self) -> int:
        return self.number("pos?", 1, self.positions)

    def _value(self, command: str, reply: bytes) -> str:
        """What an answer says, whose echo must be that of `command`."""
        echo, end, value = reply.partition(b"\r")
        if echo.lstrip(b"\0 \r\n") != command.encode("ascii") or not end or not value.isascii():
            raise self._desync(command, reply)
        text = value.decode("ascii").strip()
        if "error" in text.lower():
            self._reported.append(f"{command}: {text}")
            raise InstrumentError(
                f"{self.name} does not take {command!r}: {text}.",
                where=self.name,
                hardware_state="as before this line",
                next_step="this firmware may not know the keyword, or the value is out of its range",
            )
        return text

    def _to_prompt(self, begun: bytes, at_most: int) -> bytes:
        """Everything up to the prompt, without it."""
        return self._to(PROMPT, begun, at_most)[: -len(PROMPT)]

    def _to(self, end: bytes, reply: bytes, at_most: int) -> bytes:
        while not reply.endswith(end):
            if len(reply) >= at_most:
                raise self._desync("", reply)
            reply += self.adapter.read_bytes(1)
        return reply

    def _confirm(self, name: str, value: int) -> None:
        setattr(self, name, value)
        found = getattr(self, name)
        if found != value:
            raise ReadbackMismatch(
                f"{self.name}: {name} was set to {value}, the wheel says {found}.",
                where=self.name,
                hardware_state="filter wheel standing, settings partly made",
                next_step="this firmware may differ; power-cycle the wheel and run again",
            )

    def _ask_identity(self) -> Identity:
        text = self.ask("*idn?")
        words = text.split()
        if not any("FW102C" in word.upper() for word in words):
            raise WrongIdentity(
                f"An FW102C should answer here, but it says {text[:60]!r}.",
                where=self.name,
                hardware_state="only its identity was asked",
                next_step="check the resource name and the model in the bench file",
            )
        return Identity("Thorlabs", "FW102C", "", words[-1])

    def _regain(self) -> None:
        regain(self.adapter, self._prove, REST_TIMEOUT_S)

    def _end_line(self) -> None:
        """Send a line with a number of its own, which makes no sense, and drop everything up to its echo.

        Half a command that was sent before it becomes nonsense with it, and a move that is under way comes to its end first.
        """
        self._nonce = self._nonce % 999 + 1
        mark = f"{NONSENSE}{self._nonce}\r".encode("ascii")
        with conversation(self.adapter, REST_TIMEOUT_S):
            self.write_bytes(mark)
            seen = b""
            while mark not in seen:
                if len(seen) >= STALE_BYTES_MAX:
                    raise self._desync(mark.decode("ascii"), seen)
                seen += self._to_prompt(b"", STALE_BYTES_MAX)

    def _prove(self) -> None:
        self._end_line()
        require_same(self._ask_identity(), self._identity)

    def _desync(self, line: str, reply: bytes) -> LinkDesync:
        return LinkDesync(
            f"The answer of {self.name} to {line!r} was {reply[:60]!r}, which does not fit.",
            where=self.name,
            hardware_state="unknown: the answer may belong to an earlier line",
            next_step="the link is cleared and proved again before anything else is believed",
        )


DRIVER = DriverEntry(
    model="thorlabs-fw102c",
    role="filter_wheel",
    identity=r"Thorlabs,FW(102|212)C\b",
    build=Fw102c,
    read_termination=None,
    write_termination=None,
    serial_line={"baud_rate": 115_200},
)
