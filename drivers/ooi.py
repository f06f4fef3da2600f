"""Byte commands of Ocean Optics' older spectrometers (OOI), client side: commands, questions, and a spectrum that may be owed.

On USB answers come from one endpoint and spectra from two others; on a link that is one stream a spectrum may come before the
answer to a question, and is put aside then. No answer carries a number: a slot's echo of its own number is what proves one.

Source: pyseabreeze 2.11.0 and three public programs for the USB4000 (commands, endpoints, layout of the status, slots).
"""

import itertools
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pymeasure.adapters import Adapter

from drivers.errors import InstrumentError, LinkDesync
from drivers.late_answer import first_bytes, listen_to
from drivers.link import Link, clock_of, conversation

ANSWERS, SPECTRUM_BEGIN, SPECTRUM_REST = 0x81, 0x86, 0x82  # endpoints
PACKET_BYTES = 512
BEGIN_BYTES = 2048
SYNC = 0x69
SLOT_BYTES, STATUS_BYTES, REGISTER_BYTES = 17, 16, 3
SLOTS = 18  # beyond slot 0, for proofs
STALE_ANSWERS = 16
OWED_SPECTRA = 4  # how many may come that nobody remembers having asked for
QUIET_S = 0.03  # several of the shortest cycles
SPECTRUM_S = 0.5  # a spectrum is there so long after its exposure, or never
SHORTEST_US = 10
FREE = 0


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Pixels as they came (u16, little endian), and when they began to arrive on the host's clock (us)."""

    data: bytes
    host_time_us: int


@dataclass(frozen=True, slots=True)
class Status:
    """What the instrument says of its own state."""

    integration_us: int
    lamp: bool
    trigger_mode: int


class OoiTalk:
    """The conversation with one instrument.

    Parameters
    ----------
    pixels  in a spectrum as sent

    Attributes
    ----------
    owed    a spectrum has been asked for and may still come
    """

    def __init__(self, adapter: Adapter, pixels: int) -> None:
        self.owed = False
        self._adapter = adapter
        self._pixels = pixels
        self._aside: deque[Spectrum] = deque()
        self._nonces: Iterator[int] = adapter.nonces if isinstance(adapter, Link) else itertools.count(1)

    # --- commands and questions

    def tell(self, command: bytes) -> None:
        """Send a command that is not answered."""
        with conversation(self._adapter):
            self._put_aside()
            listen_to(self._adapter, ANSWERS)
            self._adapter.write_bytes(command)

    def ask(self, question: bytes, begins: bytes, count: int) -> bytes:
        """Ask and return the answer of `count` bytes without the beginning that proves it.

        Raises
        ------
        LinkDesync   something else came
        LinkTimeout  nothing, or not all of it, came
        """
        with conversation(self._adapter):
            self._put_aside()
            listen_to(self._adapter, ANSWERS)
            self._adapter.write_bytes(question)
            head = self._adapter.read_bytes(len(begins))
            if head != begins and self.owed:
                self._aside.append(self._complete(head))
                head = self._adapter.read_bytes(len(begins))
            if head != begins:
                raise desync(f"{head.hex(' ')} began the answer to {question.hex(' ')}")
            return self._adapter.read_bytes(count - len(begins))

    def slot(self, number: int) -> bytes:
        """Return what a memory slot holds (15 bytes)."""
        return self.ask(bytes([0x05, number]), bytes([0x05, number]), SLOT_BYTES)

    def register(self, number: int) -> int:
        """Return a register's value (0 to 65535)."""
        return struct.unpack("<H", self.ask(bytes([0x6B, number]), bytes([number]), REGISTER_BYTES))[0]

    def status(self) -> Status:
        """Ask for the state; a slot is asked after it, so that a late answer to an earlier question cannot pass for it."""
        rest = self.ask(b"\xfe", struct.pack("<H", self._pixels), STATUS_BYTES)
        self.slot(self._proof())
        integration_us, lamp, mode = struct.unpack_from("<IBB", rest)
        return Status(integration_us, bool(lamp), mode)

    def fence(self) -> None:
        """Ask, and drop what comes until the answer does: late answers and spectra are gone then.

        Raises
        ------
        LinkDesync   too much else came
        LinkTimeout  nothing (more) came
        """
        number = self._proof()
        with conversation(self._adapter):
            listen_to(self._adapter, ANSWERS)
            self._adapter.write_bytes(bytes([0x05, number]))
            for _ in range(STALE_ANSWERS):
                head = self._adapter.read_bytes(2)
                if head == bytes([0x05, number]):
                    self._adapter.read_bytes(SLOT_BYTES - 2)
                    return
                self._adapter.read_bytes(self._rest_of(head))
            raise desync(f"{STALE_ANSWERS} answers came that nobody asked for")

    # --- spectra

    def request(self) -> None:
        """Ask for one spectrum."""
        self.tell(b"\x09")
        self.owed = True

    def fetch(self, patience_s: float) -> Spectrum | None:
        """Return the spectrum that is owed, None when it does not begin to come within `patience_s` (s).

        Raises
        ------
        LinkDesync   it does not end where it should
        LinkTimeout  it came in part only
        """
        if self._aside:
            return self._aside.popleft()
        return self._receive(patience_s) if self.owed else None

    def forget(self) -> None:
        """Nothing is known any more of what is owed: something may be."""
        self._aside.clear()
        self.owed = True

    def settle(self) -> None:
        """Make it run free at its shortest exposure and throw away what it owes, until a request brings one spectrum.

        Raises
        ------
        InstrumentError  it does not come, or others do not stop coming
        """
        self.owed = True  # maybe
        before_us = self.status().integration_us
        self.tell(struct.pack("<BI", 0x02, SHORTEST_US))
        self.tell(struct.pack("<BH", 0x0A, FREE))
        self._until_quiet()
        self.request()
        # where a new integration time holds only from the next exposure on, this one has still the old one
        if self._receive(before_us * 1e-6 + SPECTRUM_S) is None:
            raise InstrumentError(
                "The spectrometer runs free and gives no spectrum.",
                where="spectrometer",
                hardware_state="trigger mode 0, nothing was triggered",
                next_step="give it one trigger pulse or switch it off and on: some hang after an external trigger mode",
            )
        self._until_quiet()
        self.owed = False
        self._aside.clear()

    # --- parts

    def _until_quiet(self) -> None:
        if not isinstance(self._adapter, Link):
            return  # others wait for what they are asked to read
        for _ in range(OWED_SPECTRA):
            if self._receive(QUIET_S) is None:
                return
        raise desync("spectra come that nobody asks for")

    def _put_aside(self) -> None:
        """Keep a spectrum that has come, so that it is not taken for an answer."""
        if self.owed and isinstance(self._adapter, Link):
            spectrum = self._receive(0.0)
            if spectrum is not None:
                self._aside.append(spectrum)

    def _receive(self, patience_s: float) -> Spectrum | None:
        timeout_s = patience_s + (self._adapter.timeout_s if isinstance(self._adapter, Link) else 0.0)
        with conversation(self._adapter, timeout_s):
            listen_to(self._adapter, SPECTRUM_BEGIN)
            head = first_bytes(self._adapter, PACKET_BYTES, patience_s)
            return self._complete(head) if head else None

    def _complete(self, head: bytes) -> Spectrum:
        at_us = clock_of(self._adapter).now_ns() // 1000
        begin = b"" if len(head) >= BEGIN_BYTES else self._adapter.read_bytes(BEGIN_BYTES - len(head))
        listen_to(self._adapter, SPECTRUM_REST)
        rest = self._adapter.read_bytes(2 * self._pixels + 1 - BEGIN_BYTES)
        listen_to(self._adapter, ANSWERS)
        if rest[-1] != SYNC:
            raise desync(f"a spectrum ends with {rest[-1]:#04x} instead of {SYNC:#04x}")
        self.owed = False
        return Spectrum(head + begin + rest[:-1], at_us)

    def _proof(self) -> int:
        return 1 + next(self._nonces) % SLOTS

    def _rest_of(self, head: bytes) -> int:
        """How many bytes follow the first two of a stale answer."""
        if head[0] == 0x05:
            return SLOT_BYTES - 2
        return (STATUS_BYTES if head == struct.pack("<H", self._pixels) else 2 * self._pixels + 1) - 2


def desync(what: str) -> LinkDesync:
    """Make the error for bytes that are not the answer."""
    return LinkDesync(
        f"The spectrometer's answers are out of step: {what}.",
        where="link to the spectrometer",
        hardware_state="unknown: the bytes may belong to an earlier question",
        next_step="the link is cleared and proved again before anything else is believed",
    )
