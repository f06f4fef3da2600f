"""One fenced VISA conversation: no answer is believed unless it was asked for, in order, in time and in full."""

import itertools
import math
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import Enum
from typing import Any, cast

from pymeasure.adapters import Adapter
from pyvisa import ResourceManager
from pyvisa.constants import StatusCode
from pyvisa.errors import Error as VisaError
from pyvisa.errors import VisaIOError
from pyvisa.resources import GPIBInstrument, MessageBasedResource, TCPIPInstrument, USBInstrument

from drivers.clock import Clock, Deadline, MonotonicClock
from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, WrongIdentity
from drivers.link_words import cannot_open, held_elsewhere, shown
from drivers.visa_session import arrived, session_behind, tune_socket

CHUNK_BYTES = 1 << 20
QUIET_MS = 20  # a link that says nothing for so long is drained; the question after it proves it
OFF_TIMEOUT_MS = 250
OFF_PATIENCE_S, OFF_RETRY_S = 1.0, 0.02  # a new connection, when the old one does not take an off message
DROP_S = 0.01  # who takes a connection only to drop it does so within this
LOCK_SPARE_S = 5.0  # longer than the longest conversation of a driver goes on beyond its own deadline
LOCK_PATIENCE_S = 0.05  # how long an off message waits for a conversation of another thread; off is out within 0.1 s
STALE_ANSWERS = 16
NONCES = range(101, 255)  # 8 bits, and three digits: a late code, setting or count is hardly ever one of them
UNKNOWN_STATE = "unknown: the last message may or may not have been executed"


class LinkState(Enum):
    """What may be done with a link."""

    READY = "ready"
    AWAITING = "an answer has not been read yet"
    DOUBTFUL = "doubtful: what comes next may belong to an earlier question"


class Link(Adapter):
    """PyMeasure adapter around an open message-based VISA resource.

    A conversation is a message and its complete answer under one lock and one absolute deadline. Whatever goes wrong in it
    (no answer in time, an answer of the wrong form, an interrupt between question and answer) makes the link DOUBTFUL; then
    only `write_now()` and `resync()` work.

    Parameters
    ----------
    resource            open PyVISA resource; the link owns it from now on
    clock               the clock that deadlines are taken from; a stepped one advances inside the VISA read
    timeout_s           deadline of a conversation that names none (s)
    read_termination    end of an answer, None for a binary link that reads exact numbers of bytes
    write_termination   appended to text messages
    max_reply_bytes     an answer longer than this is a desync
    visa_settings       attributes of the resource set after every (re)opening, for example baud_rate
    """

    def __init__(
        self,
        resource: MessageBasedResource,
        clock: Clock,
        *,
        name: str,
        timeout_s: float = 2.0,
        read_termination: str | None = "\n",
        write_termination: str | None = "\n",
        max_reply_bytes: int = CHUNK_BYTES,
        visa_settings: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.connection = resource
        self.name = name
        self.timeout_s = timeout_s
        self.max_reply_bytes = max_reply_bytes
        self.state = LinkState.READY
        self.nonces = itertools.cycle(NONCES)  # for questions whose answer shows that it is theirs
        self.has_device_clear = isinstance(resource, GPIBInstrument | USBInstrument | TCPIPInstrument)
        self._resource = resource
        self.clock = clock
        self._read_termination = read_termination
        self._write_termination = write_termination or ""
        self._visa_settings = dict(visa_settings or {})
        self._lock = threading.RLock()
        self._depth = 0
        self._deadline = Deadline(clock, timeout_s)
        self._allowed_s = timeout_s
        self._asked = "nothing"
        self._off_pending = False
        self._configure()

    def __repr__(self) -> str:
        return f"<Link {self.name!r} {self.state.name}>"

    @property
    def binary(self) -> bool:
        """Get whether answers are exact numbers of bytes instead of lines."""
        return self._read_termination is None

    # --- conversations

    @contextmanager
    def conversation(self, timeout_s: float | None = None) -> Generator[None, None, None]:
        """Hold the link for a question and its answer; nested conversations share the outermost deadline."""
        with self._held(timeout_s):
            if self._depth == 0:
                self._allow(timeout_s)
            self._depth += 1
            try:
                yield
            except BaseException as error:
                # an interrupt between question and answer is as bad as a lost answer
                if self.state is LinkState.AWAITING or isinstance(error, LinkDesync):
                    self.state = LinkState.DOUBTFUL
                raise
            else:
                if self.binary and self.state is LinkState.AWAITING:
                    self.state = LinkState.READY
            finally:
                self._depth -= 1

    def fence(self, question: str, answer: str) -> None:
        """Ask `question` and drop answers to earlier questions until `answer` comes.

        Raises
        ------
        LinkTimeout  nothing (more) came
        LinkDesync   too many other lines came first
        """
        with self.conversation():
            self.write(question)
            for _ in range(STALE_ANSWERS):
                if self._receive_line().strip() == answer.encode():
                    self.state = LinkState.READY
                    return
            raise self._desync(f"answered {STALE_ANSWERS} lines that nobody asked for")

    def resync(self, prove: Callable[[], object], timeout_s: float | None = None) -> None:
        """Leave DOUBTFUL: clear, drain and let `prove` ask who is there; when that fails reopen the link and try once more.

        Parameters
        ----------
        prove      asks a question only the right instrument answers, and only now: see `fence`
        timeout_s  deadline of each of the two tries (s)

        Raises
        ------
        WrongIdentity  somebody else answers; the link stays doubtful
        LinkDesync     it could not be proved; the link stays doubtful
        """
        with self._held():
            failure: InstrumentError | None = None
            for reopen in (False, True):
                try:
                    if reopen:
                        self._reopen()
                    self._drain()  # a serial line keeps what it has picked up, also when it is opened anew
                    self.state = LinkState.READY
                    with self.conversation(timeout_s):
                        prove()
                except WrongIdentity:
                    self.state = LinkState.DOUBTFUL
                    raise
                except InstrumentError as error:
                    self.state = LinkState.DOUBTFUL
                    failure = error
                else:
                    return
            raise LinkDesync(
                f"{self.name} could not be brought back to a state in which its answers can be believed.",
                where=self.name,
                hardware_state=UNKNOWN_STATE,
                next_step="look at the instrument's front panel, check cable and power, then start again",
            ) from failure

    def write_now(self, message: bytes) -> None:
        """Send an off message: no answer, no waiting for one, in every state of the link, through a new connection if need be.

        Raises
        ------
        InstrumentError  it could not be sent, not even after reopening
        """
        held = self._lock.acquire(timeout=LOCK_PATIENCE_S)
        try:
            if not held or self.state is LinkState.AWAITING:
                self.state = LinkState.DOUBTFUL  # somebody's answer is lost, or will come late
            try:
                self._push(message)
            except InstrumentError:
                self._push_anew(message)
        finally:
            if held:
                self._lock.release()

    # --- what PyMeasure calls

    def _write(self, command: str, **kwargs: Any) -> None:
        self._write_bytes((command + self._write_termination).encode("ascii"), **kwargs)

    def _write_bytes(self, content: bytes, **kwargs: Any) -> None:
        with self._held():
            if self._depth == 0:
                self._allow(None)
            if self.state is LinkState.AWAITING:
                raise self._desync(f"was sent {shown(content)} while its last answer was unread")
            self._refuse_doubt()
            question = self.binary or b"?" in content
            if question and self._unasked():
                raise self._desync(f"had sent something before it was asked {shown(content)}")
            self._asked = shown(content)
            if question:
                self.state = LinkState.AWAITING  # before it is sent: an interrupt must not leave an answer nobody knows of
            with self._failures_told("taking"):
                self._resource.timeout = self._left_ms()
                self._resource.write_raw(content)
            self._off_pending = False

    def _read(self, **kwargs: Any) -> str:
        with self._held():
            self._expect_answer()
            line = self._receive_line()
            if self.state is not LinkState.AWAITING:
                raise self._desync("was switched off while it answered")
            try:
                text = line.decode("ascii").strip()
            except UnicodeDecodeError:
                raise self._desync(f"answered {shown(line)}, which is not text") from None
            self.state = LinkState.READY
            return text

    def _read_bytes(self, count: int, break_on_termchar: bool = False, **kwargs: Any) -> bytes:
        with self._held():
            self._expect_answer()
            if 0 <= count and not break_on_termchar:
                if not count <= self.max_reply_bytes:
                    raise self._desync(f"announced {count} bytes, more than the {self.max_reply_bytes} that make sense")
                return self._receive(count, None)
            line = self._receive_line()
            self.state = LinkState.READY
            return line

    def flush_read_buffer(self) -> None:
        """Discard what has arrived; an answer that has not is still owed, so the link is doubtful then."""
        with self._held():
            self._drain()
            if self.state is LinkState.AWAITING:
                self.state = LinkState.DOUBTFUL

    # --- bytes

    def _receive_line(self) -> bytes:
        if self._read_termination is None:
            raise ValueError(f"{self.name} is a binary link: say how many bytes to read")
        return self._receive(self.max_reply_bytes, self._read_termination.encode("ascii")[-1:])

    def _receive(self, count: int, end: bytes | None) -> bytes:
        """Exactly `count` bytes, or a line of at most so many; the deadline is absolute however the bytes trickle."""
        parts: list[bytes] = []
        left = count
        with self._failures_told("answering"):
            while left > 0:
                if parts and self._deadline.over:
                    raise self._timeout()
                if (ready := arrived(self._resource, self._deadline.left_s)) == 0:
                    raise self._timeout()
                self._resource.timeout = self._left_ms()
                wanted = min(left, CHUNK_BYTES, ready or CHUNK_BYTES)
                part = self._resource.read_bytes(wanted, chunk_size=wanted, break_on_termchar=True)
                if not part:
                    raise self._timeout()
                parts.append(part)
                left -= len(part)
                # a short part ended with the terminator or with the link's own END mark
                if end is not None and (part.endswith(end) or len(part) < wanted):
                    break
            else:
                if end is not None:
                    raise self._desync(f"sent {count} bytes without an end of message")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _unasked(self) -> bool:
        """Whether bytes wait that nobody asked for; they would be taken for the next answer.

        Not on links with a device clear: there an answer ends with its message, and listening for nothing is an error.
        """
        if self.has_device_clear:
            return False
        interface: Any = getattr(session_behind(self._resource), "interface", None)
        with self._failures_told("being listened to before"):
            if (ready := arrived(self._resource, 0.0)) is not None:
                return ready > 0
            if (waiting := getattr(interface, "in_waiting", None)) is not None:  # pyserial's port
                return waiting > 0
            self._resource.timeout = 0
            try:
                return bool(self._resource.read_bytes(1))
            except VisaIOError as error:
                if error.error_code == StatusCode.error_timeout:
                    return False
                raise

    @contextmanager
    def _held(self, patience_s: float | None = None) -> Generator[None]:
        """Hold the link; raises InstrumentError when another thread does not let go of it in time."""
        wait_s = LOCK_SPARE_S + (self.timeout_s if patience_s is None else patience_s)
        if not self._lock.acquire(timeout=wait_s):
            raise held_elsewhere(self.name, wait_s)
        try:
            yield
        finally:
            self._lock.release()

    def _push(self, message: bytes, linger_s: float = 0.0) -> None:
        self._asked = shown(message)
        with self._failures_told("taking"):
            self._resource.timeout = OFF_TIMEOUT_MS
            if self.has_device_clear:
                with suppress(VisaIOError):
                    self._resource.clear()
            arrived(self._resource, 0.0)  # a connection that has ended takes a last message and loses it
            self._resource.write_raw(message)
            arrived(self._resource, linger_s)
        self._off_pending = True

    def _push_anew(self, message: bytes) -> None:
        """Through a new connection; one that is refused, or taken only to be dropped, is asked for again for a while."""
        patience = Deadline(self.clock, OFF_PATIENCE_S)
        while True:
            try:
                self._reopen(OFF_TIMEOUT_MS)
                self._push(message, linger_s=DROP_S)
                return
            except InstrumentError:
                if patience.over:
                    raise
                self.clock.sleep(OFF_RETRY_S)

    def _drain(self) -> None:
        with self._failures_told("being cleared after"):
            # a clear empties the instrument's input too: an off message it has not come to yet must not be lost
            if self.has_device_clear and not self._off_pending:
                self._resource.clear()
            self._resource.timeout = QUIET_MS
            for _ in range(STALE_ANSWERS):
                if (ready := arrived(self._resource, QUIET_MS * 1e-3)) == 0:
                    return
                try:
                    self._resource.read_bytes(ready or CHUNK_BYTES, break_on_termchar=True)
                except VisaIOError as error:
                    if error.error_code == StatusCode.error_timeout:
                        return
                    raise
            raise self._desync("never stops sending")

    def _reopen(self, timeout_ms: int | None = None) -> None:
        try:
            self._resource.close()
            self._resource.open(open_timeout=round(self.timeout_s * 1000) if timeout_ms is None else timeout_ms)
            self._configure()
        except Exception as error:  # pyvisa-py reports a failed connection as a bare Exception
            self.state = LinkState.DOUBTFUL
            raise cannot_open(self.name, str(self._resource), error, UNKNOWN_STATE) from error

    def _configure(self) -> None:
        resource = self._resource
        resource.chunk_size = CHUNK_BYTES
        resource.read_termination = self._read_termination
        resource.write_termination = self._write_termination
        for attribute, value in self._visa_settings.items():
            setattr(resource, attribute, value)
        tune_socket(resource)

    def _allow(self, timeout_s: float | None) -> None:
        self._allowed_s = self.timeout_s if timeout_s is None else timeout_s
        self._deadline = Deadline(self.clock, self._allowed_s)

    def _left_ms(self) -> int:
        return max(1, math.ceil(self._deadline.left_s * 1000))

    def _refuse_doubt(self) -> None:
        if self.state is LinkState.DOUBTFUL:
            raise self._desync("is in doubt since an earlier question went wrong")

    def _expect_answer(self) -> None:
        self._refuse_doubt()
        if self.state is LinkState.READY:
            raise self._desync("was listened to although nothing was asked")

    @contextmanager
    def _failures_told(self, doing: str) -> Generator[None, None, None]:
        """Turn VISA's and the system's errors into ours; whatever interrupts a transfer leaves doubt."""
        try:
            yield
        except (VisaError, OSError) as error:
            if isinstance(error, VisaIOError) and error.error_code == StatusCode.error_timeout:
                raise self._timeout() from error
            self.state = LinkState.DOUBTFUL
            raise InstrumentError(
                f"The link to {self.name} failed while it was {doing} {self._asked}: {error}",
                where=self.name,
                hardware_state=UNKNOWN_STATE,
                next_step="check that the instrument is on and connected and that no other program holds it",
            ) from error
        except BaseException:
            self.state = LinkState.DOUBTFUL
            raise

    def _timeout(self) -> LinkTimeout:
        self.state = LinkState.DOUBTFUL
        return LinkTimeout(
            f"{self.name} gave no complete answer to {self._asked} within {self._allowed_s:g} s.",
            where=self.name,
            hardware_state=UNKNOWN_STATE,
            next_step="the link is cleared and proved again before anything else is believed; "
            "if it happens again check cable, address and power",
        )

    def _desync(self, what: str) -> LinkDesync:
        self.state = LinkState.DOUBTFUL
        return LinkDesync(
            f"{self.name} {what} (last message: {self._asked}).",
            where=self.name,
            hardware_state=UNKNOWN_STATE,
            next_step="nothing it says is believed until the link is cleared and the instrument has said who it is",
        )


# --- opening ------------------------------------------------------------------------------------------------------


def open_link(
    resource_manager: ResourceManager,
    resource_name: str,
    clock: Clock,
    *,
    name: str,
    timeout_s: float = 2.0,
    read_termination: str | None = "\n",
    write_termination: str | None = "\n",
    max_reply_bytes: int = CHUNK_BYTES,
    **visa_settings: Any,
) -> Link:
    """Open a VISA resource by name and put a link around it; whoever answers there is asked by the driver's identify().

    Raises
    ------
    InstrumentError  the resource cannot be opened: wrong name, nobody there, in use, no such interface
    """
    try:
        resource = resource_manager.open_resource(resource_name, open_timeout=round(timeout_s * 1000), **visa_settings)
        link = Link(
            cast(MessageBasedResource, resource),
            clock,
            name=name,
            timeout_s=timeout_s,
            read_termination=read_termination,
            write_termination=write_termination,
            max_reply_bytes=max_reply_bytes,
            visa_settings=visa_settings,
        )
        if not link.has_device_clear:
            link.flush_read_buffer()  # what a line has picked up before us is no answer
    except Exception as error:  # pyvisa-py reports a failed connection as a bare Exception
        raise cannot_open(name, resource_name, error) from error
    return link


# --- the same for adapters that are not links (PyMeasure's own, used in a notebook or in a protocol test) ------------


def conversation(adapter: Adapter, timeout_s: float | None = None) -> AbstractContextManager[None]:
    """Hold a Link for a question and its answer; other adapters know no conversations."""
    return adapter.conversation(timeout_s) if isinstance(adapter, Link) else nullcontext()


def send_now(adapter: Adapter, message: bytes) -> None:
    """Send an off message, on a Link through its path for that."""
    if isinstance(adapter, Link):
        adapter.write_now(message)
    else:
        adapter.write_bytes(message)


def clock_of(adapter: Adapter) -> Clock:
    """Return a Link's clock, the computer's own for other adapters."""
    return adapter.clock if isinstance(adapter, Link) else MonotonicClock()


def regain(adapter: Adapter, prove: Callable[[], object], timeout_s: float | None = None) -> bool:
    """Bring a Link that is not ready back by `Link.resync`; return whether that was necessary."""
    if not isinstance(adapter, Link) or adapter.state is LinkState.READY:
        return False
    adapter.resync(prove, timeout_s)
    return True
