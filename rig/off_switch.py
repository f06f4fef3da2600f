"""Off from outside: what the guard needs of one instrument to switch it off over a connection of its own.

Imports PyVISA and nothing heavier; a driver only for read-back, or where a model has no off message of bytes alone.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pyvisa import ResourceManager
from pyvisa.errors import VisaIOError
from pyvisa.resources import GPIBInstrument, MessageBasedResource, TCPIPInstrument, USBInstrument

from drivers.clock import Clock, Deadline
from drivers.visa_session import arrived, tune_socket

OPEN_TIMEOUT_MS = 1000
WRITE_TIMEOUT_MS = 250
RETRY_S = 0.03  # a port of a dead process is free at once, one of a hung process is not
EXECUTED_S = 0.05  # between off and the end of its connection, or the first question


@dataclass(frozen=True, slots=True)
class Hazard:
    """An instrument that has to be switched off, as the run describes it.

    Parameters
    ----------
    off       the driver's off message; b"" where off takes a conversation
    settings  attributes of the VISA resource (baud_rate)
    """

    role: str
    model: str
    resource: str
    off: bytes
    settings: Mapping[str, object] = field(default_factory=dict[str, object])

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can carry."""
        plain = {"role": self.role, "model": self.model, "resource": self.resource}
        return {**plain, "off": self.off.hex(), "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Hazard":
        """Make it of what JSON carried."""
        return cls(said["role"], said["model"], said["resource"], bytes.fromhex(said["off"]), said["settings"])


def reach(resource: str) -> str:
    """Say when a resource can be opened by a second process.

    Source: libusb (an interface that another program has claimed is busy), pySerial 3.5 (exclusive on Windows always, on POSIX
    only when asked, which PyVISA-py does not). That a second process can use a GPIB board: from memory, unverified.
    """
    kind = resource.upper()
    if kind.startswith(("TCPIP", "ASRLSOCKET")):
        return "by a connection of its own"
    if kind.startswith("GPIB"):
        return "over the shared bus, also while the run hangs, unless it hangs in the middle of a transfer"
    if kind.startswith("ASRL"):
        return "over the serial port; on Windows only when the run's process is gone"
    return "only when the run's process is gone: no two programs can open it"


def is_socket(resource: str) -> bool:
    """Tell whether a second connection can be tried without disturbing the first."""
    kind = resource.upper()
    return kind.startswith("ASRLSOCKET") or (kind.startswith("TCPIP") and kind.endswith("SOCKET"))


@dataclass(slots=True)
class Deed:
    """What was done to one instrument; times in ms since the guard saw the reason."""

    role: str
    resource: str
    sent_ms: float | None = None
    safe: bool | None = None  # by its own word; None: not asked, or no believable answer
    detail: str = "not reached yet"

    def __str__(self) -> str:
        name = self.role.replace("_", " ")
        if self.sent_ms is None:
            return f"{name}: NOT SWITCHED OFF ({self.detail})"
        word = {None: "off sent", True: "off, confirmed by read-back", False: "NOT OFF by its own word"}[self.safe]
        return f"{name}: {word} after {self.sent_ms:.0f} ms ({self.detail})"


class OffSwitch:
    """Switches one instrument off, in a thread of its own, again and again until it is sent or time is up.

    Parameters
    ----------
    manager  opens VISA resources
    """

    def __init__(self, hazard: Hazard, manager: ResourceManager, clock: Clock) -> None:
        self.hazard = hazard
        self._manager = manager
        self._clock = clock

    def try_connection(self) -> str:
        """Open and close a second connection, sending nothing; say what came of it."""
        how = reach(self.hazard.resource)
        if not is_socket(self.hazard.resource):
            return f"{how} (not tried)"
        try:
            self._open().close()
        except Exception as error:  # noqa: BLE001 - pyvisa-py reports a failed connection as a bare Exception
            return f"only when the run's process is gone: a second connection was not taken ({_short(error)})"
        return f"{how} (tried: a second connection is taken)"

    def begin(self, give_up_s: float, *, ask: bool) -> tuple[Deed, threading.Thread]:
        """Start switching off; the thread ends when there is nothing more to do, the deed says how far it is.

        Parameters
        ----------
        give_up_s  for so long what fails is tried again (s)
        ask        read back afterwards; not while the run's process may still have a conversation with it
        """
        deed = Deed(self.hazard.role, self.hazard.resource)
        began_ns = self._clock.now_ns()

        def mark() -> None:
            deed.sent_ms = (self._clock.now_ns() - began_ns) * 1e-6
            deed.detail = "not asked"

        def work() -> None:
            end = Deadline(self._clock, give_up_s)
            while deed.sent_ms is None:
                try:
                    self._send(mark) if self.hazard.off else self._converse(deed, mark)
                except Exception as error:  # noqa: BLE001 - whatever it is, off is tried again until time is up
                    deed.sent_ms, deed.detail = None, _short(error)
                    if end.over:
                        return
                    self._clock.sleep(RETRY_S)
            if ask and self.hazard.off:
                self._ask(deed)

        thread = threading.Thread(target=work, name=f"off {self.hazard.role}", daemon=True)
        thread.start()
        return deed, thread

    def _send(self, mark: Callable[[], None]) -> None:
        """Send off, write-only, device clear first where the link has one."""
        resource = self._open()
        try:
            if isinstance(resource, GPIBInstrument | USBInstrument | TCPIPInstrument):
                try:
                    resource.clear()
                except VisaIOError:
                    pass  # the message itself may get through
            resource.write_raw(self.hazard.off)
            mark()
            self._clock.sleep(EXECUTED_S)
            arrived(resource, 0.0)  # raises when the connection was taken only to be dropped: nobody has heard it
        finally:
            resource.close()

    def _open(self) -> MessageBasedResource:
        opened = self._manager.open_resource(self.hazard.resource, open_timeout=OPEN_TIMEOUT_MS)
        resource = cast(MessageBasedResource, opened)
        try:
            for attribute, value in self.hazard.settings.items():
                setattr(resource, attribute, value)
            resource.timeout = WRITE_TIMEOUT_MS
            tune_socket(resource)
        except BaseException:
            resource.close()
            raise
        return resource

    def _converse(self, deed: Deed, mark: Callable[[], None]) -> None:
        """Switch off what has to be asked before it can be told; its driver knows how."""
        instrument, link = self._connect()
        try:
            instrument.make_safe()
            mark()
            _take_word(deed, instrument)
        finally:
            link.close()

    def _ask(self, deed: Deed) -> None:
        try:
            instrument, link = self._connect()
            try:
                _take_word(deed, instrument)
                if deed.safe is False:  # the message may have been lost
                    instrument.make_safe()
                    _take_word(deed, instrument)
            finally:
                link.close()
        except Exception as error:  # noqa: BLE001 - off was sent; that nobody confirms it is told
            deed.detail = f"not confirmed: {_short(error)}"

    def _connect(self) -> tuple[Any, Any]:
        from drivers.registry import Role, find

        hazard = self.hazard
        return find(hazard.model, cast(Role, hazard.role)).connect(self._manager, hazard.resource, self._clock)


def load_drivers() -> None:
    """Import every driver now, so that no time is lost when one is needed."""
    from drivers.registry import entries

    entries()


def _take_word(deed: Deed, instrument: Any) -> None:
    try:
        answer = instrument.read_safe()
    except Exception as error:  # noqa: BLE001 - off was sent; that nobody confirms it is told
        deed.detail = f"not confirmed: {_short(error)}"
    else:
        deed.safe, deed.detail = bool(answer.safe), str(answer.detail)


def _short(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
