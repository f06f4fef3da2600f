"""Thorlabs SC10 shutter controller: its lines, and the role Shutter on top of them.

Source: SC10 operating manual, keyword table; InstrumentKit and Micro-Manager, for the framing (`thorlabs_prompt`).
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers.errors import InstrumentError, ReadbackMismatch
from drivers.link import clock_of
from drivers.registry import DriverEntry
from drivers.roles import Identity, LiveQuantity, SafeReadback
from drivers.thorlabs_prompt import PromptLine

T = TypeVar("T")

MANUAL, INTERNAL = 1, 0
SAFE_TIMEOUT_S = 0.5  # of one question on the way to safety; one that is mute must not keep others waiting
LOOKS, LOOK_S = 25, 0.02  # how often and how far apart it is looked at, until it must be open or closed
IDENTITY = "id?", re.compile(r"(?<!\S)SC10(?!\S)", re.IGNORECASE)


def _setting(name: str, low: int, high: int, docs: str) -> Any:
    def ask(self: "Sc10") -> int:
        return self.line.number(f"{name}?", low, high)

    def tell(self: "Sc10", value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{name}={value} is not within {low} and {high}")
        self.line.tell(f"{name}={value}")

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
        self.line = PromptLine(self.adapter, name, "SC10", IDENTITY, timeout_s=SAFE_TIMEOUT_S, rest_timeout_s=SAFE_TIMEOUT_S)
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
        return bool(self.line.number("ens?", 0, 1))

    @property
    def closed(self) -> bool:
        """Get whether the blades are closed (bool)."""
        return bool(self.line.number("closed?", 0, 1))

    @property
    def interlock_tripped(self) -> bool:
        """Get whether the interlock circuit is open (bool)."""
        return bool(self.line.number("interlock?", 0, 1))

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
        return self.line.identify()

    def prepare(self) -> None:
        """Close it, manual mode, internal trigger, all read back; errors from before are dropped.

        Raises
        ------
        ReadbackMismatch  a setting is not as set, or it does not close
        InstrumentError   it refuses a command
        """
        self.make_safe()
        self.line.refused.clear()
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
        self.line.regain()
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
        self.line.regain()
        self._switch(on=False)
        self._wait(closed=True)

    def errors(self) -> list[str]:
        """Return what it has refused since the last call, and an interlock that is tripped."""
        self.line.regain()
        found, self.line.refused = self.line.refused, []
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

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Send a line of one's own and return its answer; see `PromptLine.ask`."""
        return self.line.ask(command)

    # --- parts

    def _twice(self, act: Callable[[], T]) -> T:
        """Do what may be done again without harm; when it fails, once more on a link that has been brought back."""
        self.line.regain()
        try:
            return act()
        except InstrumentError:
            self.line.regain()
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
        self.line.tell("ens")
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


DRIVER = DriverEntry(
    model="thorlabs-sc10",
    role="shutter",
    identity=r"Thorlabs,SC10\b",
    build=Sc10,
    read_termination=None,
    write_termination=None,
    serial_line={"baud_rate": 9600},
)
