"""Thorlabs SC10 shutter controller: its lines, and the role Shutter on top of them.

Source: SC10 operating manual, keyword table, and what InstrumentKit and Micro-Manager send and expect: a line ends with CR and
comes back as echo, then CR, a value and CR where there is one, then the prompt "> ".
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, WrongIdentity
from drivers.link import clock_of, conversation, regain
from drivers.registry import DriverEntry, require_same
from drivers.roles import Identity, LiveQuantity, SafeReadback

T = TypeVar("T")

PROMPT = b"> "
MANUAL, INTERNAL = 1, 0
REPLY_BYTES_MAX = 1024
SAFE_TIMEOUT_S = 0.5  # of one question on the way to safety
LOOKS, LOOK_S = 25, 0.02  # how often and how far apart it is looked at, until it must be open or closed
STALE_BYTES_MAX = 4096
NONSENSE = "~"  # begins a line that no beginning of a command can turn into a command


def _setting(name: str, low: int, high: int, docs: str) -> Any:
    def ask(self: "Sc10") -> int:
        return self.number(f"{name}?", low, high)

    def tell(self: "Sc10", value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{name}={value} is not within {low} and {high}")
        self.tell(f"{name}={value}")

    return property(ask, tell, doc=docs)


class Sc10(Instrument):
    """Thorlabs SC10 as a shutter: manual mode, opened and closed by enabling and disabling it.

    The only command for both is `ens`, which toggles: whether it is enabled is asked before it is sent, every time.

    Parameters
    ----------
    adapter  a `drivers.link.Link`, or anything PyMeasure takes (then without fences)
    """

    off_message: bytes = b""
    opening_time_s: float = 0.05  # 20 ms for command and echo at 9600 baud, 11 ms for the blades
    closing_time_s: float = 0.05
    live_quantities: tuple[str, ...] = ("interlock_closed",)

    def __init__(self, adapter: Adapter | str | int, name: str = "Thorlabs SC10", **kwargs: Any) -> None:
        super().__init__(adapter, name, includeSCPI=False, **kwargs)
        self._reported: list[str] = []
        self._identity: Identity | None = None
        self._nonce = 0
        self._opened = False  # by us, and not closed by us since

    # --- settings and state

    mode = _setting("mode", 1, 5, "Control the mode (1 manual, 2 auto, 3 single, 4 repeat, 5 external gate).")
    trigger = _setting("trig", 0, 1, "Control what starts a sequence (0 internal, 1 external).")
    open_time_ms = _setting("open", 0, 999_999, "Control how long it is open in automatic modes (ms, 0 to 999999).")
    shut_time_ms = _setting("shut", 0, 999_999, "Control how long it is closed in automatic modes (ms, 0 to 999999).")
    repeat_count = _setting("rep", 1, 99, "Control how often it opens in repeat mode (1 to 99).")

    @property
    def enabled(self) -> bool:
        """Get whether it is enabled (bool): open in manual mode, at work in the others."""
        return bool(self.number("ens?", 0, 1))

    @property
    def closed(self) -> bool:
        """Get whether the blades are closed (bool)."""
        return bool(self.number("closed?", 0, 1))

    @property
    def interlock_tripped(self) -> bool:
        """Get whether the interlock circuit is open (bool)."""
        return bool(self.number("interlock?", 0, 1))

    def shutdown(self) -> None:
        """Close it."""
        self.make_safe()
        super().shutdown()

    # --- role Shutter

    def identify(self) -> Identity:
        """Ask who answers.

        Raises
        ------
        WrongIdentity  it is not an SC10, or not the one that answered before
        """
        self._regain()
        self._end_line()  # somebody may have left half a command on the line
        self._identity = self._ask_identity()
        return self._identity

    def prepare(self) -> None:
        """Close it, manual mode, internal trigger, all read back; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  a setting is not as set, or it does not close
        InstrumentError   it refuses a command
        """
        self.make_safe()
        self._reported.clear()
        self._confirm("mode", MANUAL)
        self._confirm("trigger", INTERNAL)
        self.make_safe()  # a setting may enable it on some other firmware
        self._wait(closed=True)

    def open(self) -> None:
        """Open, and return when it says that it is not closed any more.

        Raises
        ------
        InstrumentError   not in manual mode, or the interlock is tripped
        ReadbackMismatch  it stays closed
        """
        self._regain()
        self._require_manual()
        self._refuse_interlock()
        self._switch(on=True)
        self._wait(closed=False)
        clock_of(self.adapter).sleep(LOOK_S)  # not closed is not yet open: the blades need some ms more

    def close(self) -> None:
        """Close, and return when it says that it is closed.

        Raises
        ------
        ReadbackMismatch  it stays open
        """
        self._regain()
        self._switch(on=False)
        self._wait(closed=True)

    def errors(self) -> list[str]:
        """Return what it has refused since the last call, and an interlock that is tripped."""
        self._regain()
        found, self._reported = self._reported, []
        if self.interlock_tripped:
            found.append("interlock tripped")
        return found

    def live(self) -> tuple[LiveQuantity, ...]:
        """Ask whether what was opened is still enabled, which it is not with a tripped interlock, else for the circuit itself.

        One question, 30 ms at 9600 baud; two when it was tripped.

        Raises
        ------
        InstrumentError  no answer that fits, or it has closed by itself: its circuit was open for a moment
        """
        if self._opened and self.enabled:
            return (LiveQuantity("interlock_closed", 1.0),)
        tripped = self.interlock_tripped
        if self._opened and not tripped:
            raise InstrumentError(
                f"{self.name} was opened and is closed now: its interlock tripped for a moment, or somebody pressed ENABLE.",
                where=self.name,
                hardware_state="shutter closed",
                next_step="see who was at the lid, the door or the front panel, then start again",
            )
        return (LiveQuantity("interlock_closed", float(not tripped)),)

    def make_safe(self) -> None:
        """Close it: ask whether it is enabled, toggle it if so, ask again. A link that fails is brought back once.

        Raises
        ------
        InstrumentError  it does not answer believably, or stays enabled
        """
        self._twice(lambda: self._switch(on=False))

    def read_safe(self) -> SafeReadback:
        """Ask whether it is disabled and its blades are closed, waiting for these to come to rest."""
        return self._twice(self._safety)

    # --- lines

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a line and return what stands between echo and prompt, "" when nothing does.

        Raises
        ------
        InstrumentError  the controller reports an error
        LinkDesync       the echo is that of another line
        """
        with conversation(self.adapter, SAFE_TIMEOUT_S):
            self.write_bytes(command.encode("ascii") + b"\r")
            reply = self._to_prompt(REPLY_BYTES_MAX)
            echo, end, value = reply.partition(b"\r")
            if echo.lstrip() != command.encode("ascii") or not end or not value.isascii():
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

    def _to_prompt(self, at_most: int) -> bytes:
        """Everything up to the prompt, without it."""
        reply = b""
        while not reply.endswith(PROMPT):
            if len(reply) >= at_most:
                raise self._desync("", reply)
            reply += self.adapter.read_bytes(1)
        return reply[: -len(PROMPT)]

    def number(self, question: str, low: int, high: int) -> int:
        """Ask for a whole number.

        Raises
        ------
        LinkDesync  the answer is none from `low` to `high`
        """
        with conversation(self.adapter, SAFE_TIMEOUT_S):
            text = self.ask(question)
            if not (text.isdecimal() and low <= int(text) <= high):
                raise self._desync(question, text.encode())
        return int(text)

    def tell(self, line: str) -> None:
        """Send a line that is answered by its echo only.

        Raises
        ------
        InstrumentError  the controller reports an error
        LinkDesync       it answers more than that
        """
        with conversation(self.adapter, SAFE_TIMEOUT_S):
            if text := self.ask(line):
                raise self._desync(line, text.encode())

    # --- parts

    def _twice(self, act: Callable[[], T]) -> T:
        """Do what may be done again without harm; when it fails, once more on a link that has been brought back."""
        self._regain()
        try:
            return act()
        except InstrumentError:
            self._regain()
            return act()

    def _safety(self) -> SafeReadback:
        enabled = self.enabled
        closed = not enabled and self._becomes(closed=True)
        return SafeReadback(closed, f"{'ENABLED' if enabled else 'disabled'}, {'closed' if closed else 'NOT CLOSED'}")

    def _switch(self, *, on: bool) -> None:
        self._opened = False
        if self.enabled is not on:
            self._toggle(on=on)
        self._opened = on

    def _toggle(self, *, on: bool) -> None:
        self.tell("ens")
        if self.enabled is not on:
            if on:
                self._refuse_interlock()
            raise ReadbackMismatch(
                f"{self.name} was {'enabled' if on else 'disabled'} and says it is not.",
                where=self.name,
                hardware_state="shutter in doubt" if on else "SHUTTER PERHAPS OPEN",
                next_step="close the shutter at its front panel, then look why it does not obey",
            )

    def _becomes(self, *, closed: bool) -> bool:
        for _ in range(LOOKS):
            if self.closed is closed:
                return True
            clock_of(self.adapter).sleep(LOOK_S)
        return False

    def _wait(self, *, closed: bool) -> None:
        if not self._becomes(closed=closed):
            raise ReadbackMismatch(
                f"{self.name} does not {'close' if closed else 'open'}.",
                where=self.name,
                hardware_state="SHUTTER PERHAPS OPEN" if closed else "shutter closed by its own word",
                next_step="look at the blades and their cable; block the beam by hand meanwhile",
            )

    def _require_manual(self) -> None:
        if (mode := self.mode) != MANUAL:
            raise InstrumentError(
                f"{self.name} is in mode {mode}, not in manual mode; it was not opened.",
                where=self.name,
                hardware_state="shutter as before",
                next_step="prepare() it; somebody has changed the mode at the front panel",
            )

    def _refuse_interlock(self) -> None:
        if self.interlock_tripped:
            raise InstrumentError(
                f"The interlock of {self.name} is tripped: it cannot be opened.",
                where=self.name,
                hardware_state="shutter closed by the interlock",
                next_step="close the lid or door in the interlock circuit (or plug its connector in at the back), then go on",
            )

    def _confirm(self, name: str, value: int) -> None:
        setattr(self, name, value)
        found = getattr(self, name)
        if found != value:
            raise ReadbackMismatch(
                f"{self.name}: {name} was set to {value}, the controller says {found}.",
                where=self.name,
                hardware_state="shutter closed, settings partly made",
                next_step="this firmware may differ; look at the front panel",
            )

    def _ask_identity(self) -> Identity:
        text = self.ask("id?")
        words = text.split()
        if "SC10" not in (word.upper() for word in words):
            raise WrongIdentity(
                f"An SC10 should answer here, but it says {text[:60]!r}.",
                where=self.name,
                hardware_state="only its identity was asked",
                next_step="check the resource name and the model in the bench file",
            )
        return Identity("Thorlabs", "SC10", "", words[-1])

    def _regain(self) -> None:
        regain(self.adapter, self._prove, SAFE_TIMEOUT_S)  # one that is mute must not keep others waiting

    def _end_line(self) -> None:
        """Send a line with a number of its own, which makes no sense, and drop everything up to its echo.

        Half a command that was sent before it becomes nonsense with it.
        """
        self._nonce = self._nonce % 999 + 1
        mark = f"{NONSENSE}{self._nonce}\r".encode("ascii")
        with conversation(self.adapter, SAFE_TIMEOUT_S):
            self.write_bytes(mark)
            seen = b""
            while mark not in seen:
                if len(seen) >= STALE_BYTES_MAX:
                    raise self._desync(mark.decode("ascii"), seen)
                seen += self._to_prompt(STALE_BYTES_MAX)

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
    model="thorlabs-sc10",
    role="shutter",
    identity=r"Thorlabs,SC10\b",
    build=Sc10,
    read_termination=None,
    write_termination=None,
    serial_line={"baud_rate": 9600},
)
