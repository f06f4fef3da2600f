"""An Ocean Optics USB4000 spectrometer, spoken to in the byte commands of its family (OOI).

On real USB answers to questions come from one endpoint (0x81), spectra from two others (the first 2 kB from 0x86, the rest and
the sync byte from 0x82). Here, and over TCP, all of them come in one stream in the order in which they were ready: the same
bytes, and a question may find a spectrum before its answer.

The instrument has no clock, no frame count and no buffer of spectra; it refuses nothing aloud: a value that is out of range is
ignored (assumed), as the protocol has no errors. Times of transfer are assumed.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_instruments.catalogue import PersonaEntry, Surroundings
from sim_instruments.ocean_usb4000_commands import (
    FIRMWARE,
    FIRMWARE_REVISION,
    INITIALISE,
    INTEGRATION_US,
    KNOWINGLY_ABSENT,
    READ_REGISTER,
    READ_SLOT,
    READ_TEMPERATURE,
    REQUEST,
    SET_INTEGRATION,
    SET_LAMP,
    SET_TRIGGER,
    STATUS,
    TEMPERATURE,
    TRIGGER_DELAY,
    TRIGGER_DELAY_STEP_NS,
    WRITE_REGISTER,
    CommandStream,
    slots,
    status,
    whole_steps_us,
)
from sim_instruments.ocean_usb4000_exposures import Exposures
from sim_instruments.persona import Edges, Optics, OutputPulses, TimesNs
from sim_instruments.spectrograph import Geometry

__all__ = ["KNOWINGLY_ABSENT", "OceanUsb4000Persona", "Usb4000Quirks"]

GEOMETRY = Geometry(pixels=3840, true_wavelength=(340.0, 0.210, -4.0e-6, -2.0e-10))  # dispersion assumed
USED_PIXELS = 3682  # 5-17 shielded, 21-3668 active; what is sent behind them is no detector's: zero (assumed)
SYNC = b"\x69"
TRIGGER_MODES = range(4)
DEFAULT_SERIAL = "USB4C00123"
TTL_HIGH_V, TTL_LOW_V = 2.0, 0.8  # assumed
LATENCY_NS = 125_000  # one microframe
NS_PER_BYTE = 50
MAX_REPLIES = 64

NO_TIMES: TimesNs = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Usb4000Quirks:
    """What is undocumented.

    Parameters
    ----------
    remembers_requests  a request while one is open is not ignored but served afterwards, one at most
    """

    remembers_requests: bool = False


@dataclass(slots=True)
class Reply:
    """Bytes on their way to the host."""

    ready_ns: int
    data: memoryview
    is_spectrum: bool


class OceanUsb4000Persona:
    """One USB4000; input "trigger" takes rising edges, there are no outputs.

    Parameters
    ----------
    optics     what reaches the detector, 3840 pixels of it
    serial     as its memory says, 15 characters at most
    wire_time  whether transfers take time

    `temperature` is the board's, in counts of the instrument's own scale.
    """

    def __init__(
        self,
        optics: Optics,
        *,
        serial: str = DEFAULT_SERIAL,
        quirks: Usb4000Quirks = Usb4000Quirks(),
        wire_time: bool = True,
    ) -> None:
        self._optics = optics
        self._quirks = quirks
        self._wire_time = wire_time
        self._slots = slots(serial, optics.wavelength_coefficients, optics.nonlinearity_coefficients)
        self._exposures = Exposures()
        self._lamp = False
        self._registers: dict[int, int] = {}
        self.temperature = TEMPERATURE
        self._once_more = False
        self._edges: list[TimesNs] = []
        self._stream = CommandStream()
        self._replies: deque[Reply] = deque()
        self._line_free_ns = 0
        self._commands: dict[int, Callable[[bytes, int], None]] = {
            INITIALISE: lambda _arguments, t_ns: self._initialise(t_ns),
            SET_INTEGRATION: self._set_integration,
            SET_LAMP: self._set_lamp,
            READ_SLOT: self._read_slot,
            REQUEST: lambda _arguments, t_ns: self._request(t_ns),
            SET_TRIGGER: self._set_trigger,
            WRITE_REGISTER: self._write_register,
            READ_REGISTER: self._read_register,
            READ_TEMPERATURE: lambda _arguments, t_ns: self._send(struct.pack("<Bh", 0x08, self.temperature), t_ns),
            STATUS: lambda _arguments, t_ns: self._send(self._status(), t_ns),
        }

    # --- the world's side ---------------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Take the triggers up to `t_ns` and let what was exposed be read out; there is no output."""
        self._exposures.take_edges(self._edges_until(t_ns))
        while (exposure := self._exposures.read_out(t_ns)) is not None:
            raw = self._optics.expose(np.array([exposure.open_ns]), np.array([exposure.close_ns]))[0].astype("<u2")
            raw[USED_PIXELS:] = 0
            self._send(raw.tobytes() + SYNC, exposure.read_ns, is_spectrum=True)
            if self._once_more:
                self._once_more = False
                self._exposures.request(exposure.read_ns)
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Take pulses at "trigger"; levels that are not TTL are not seen. Raises ValueError for another connector."""
        if connector != "trigger":
            raise ValueError(f"a USB4000 has no input {connector!r}")
        if edges.high_v >= TTL_HIGH_V and edges.low_v <= TTL_LOW_V:
            self._edges.append(edges.rise_ns)

    def _edges_until(self, t_ns: int) -> TimesNs:
        if not self._edges:
            return NO_TIMES
        edges = np.sort(np.concatenate(self._edges))
        by_now = int(np.searchsorted(edges, t_ns, side="right"))
        self._edges = [edges[by_now:]] if by_now < len(edges) else []
        return edges[:by_now]

    # --- the host's side ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, t_ns: int) -> None:
        """Take bytes from the host and act on every command that is complete."""
        self.run_until(t_ns)
        for command in self._stream.feed(data):
            act = self._commands.get(command[0])
            if act is not None:
                act(command[1:], t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next reply is there (ns), also for an exposure under way; None otherwise."""
        if self._replies:
            return self._replies[0].ready_ns
        exposure = self._exposures.under_way
        return None if exposure is None else self._arrival_ns(exposure.read_ns, 2 * GEOMETRY.pixels + 1)

    @property
    def reply_is_sent(self) -> bool:
        """Whether the next reply is on the line already."""
        return bool(self._replies)

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        """Take bytes of one reply at most."""
        if not self._replies or self._replies[0].ready_ns > t_ns:
            return b"", False
        head = self._replies[0]
        data, head.data = bytes(head.data[:max_bytes]), head.data[max_bytes:]
        if not head.data:
            self._replies.popleft()
        return data, not head.data

    def device_clear(self, t_ns: int) -> None:
        """Drop what has been received in part and what was not read; the links of this model have no such thing."""
        self._stream.clear()
        self._replies.clear()
        self._line_free_ns = t_ns

    def _send(self, data: bytes, t_ns: int, *, is_spectrum: bool = False) -> None:
        """Put an answer on the line; one more than a host could ever have asked for is lost."""
        if len(self._replies) < MAX_REPLIES or is_spectrum:
            self._line_free_ns = self._arrival_ns(t_ns, len(data))
            self._replies.append(Reply(self._line_free_ns, memoryview(data), is_spectrum))

    def _arrival_ns(self, t_ns: int, count: int) -> int:
        if not self._wire_time:
            return t_ns
        return max(t_ns + LATENCY_NS, self._line_free_ns) + count * NS_PER_BYTE

    # --- commands -----------------------------------------------------------------------------------------------------

    @property
    def _spectrum_waits(self) -> bool:
        return any(reply.is_spectrum for reply in self._replies)

    def _initialise(self, t_ns: int) -> None:
        """Run free, forget requests and spectra (assumed)."""
        self._exposures.forget(t_ns)
        self._once_more = False
        self._replies = deque(reply for reply in self._replies if not reply.is_spectrum)

    def _request(self, t_ns: int) -> None:
        if self._exposures.open_request or self._spectrum_waits:
            self._once_more = self._quirks.remembers_requests and self._exposures.open_request
        else:
            self._exposures.request(t_ns)

    def _set_integration(self, arguments: bytes, t_ns: int) -> None:
        (integration_us,) = struct.unpack("<I", arguments)
        if integration_us in INTEGRATION_US:
            self._exposures.set_integration(whole_steps_us(integration_us) * 1000, t_ns)

    def _set_trigger(self, arguments: bytes, t_ns: int) -> None:
        (mode,) = struct.unpack("<H", arguments)
        if mode in TRIGGER_MODES:
            self._exposures.set_mode(mode, t_ns)

    def _set_lamp(self, arguments: bytes, _t_ns: int) -> None:
        self._lamp = arguments != b"\0\0"

    def _read_slot(self, arguments: bytes, t_ns: int) -> None:
        """Answer with a slot's content; a slot that is not there is not answered (assumed)."""
        if arguments[0] < len(self._slots):
            self._send(bytes([READ_SLOT]) + arguments + self._slots[arguments[0]], t_ns)

    def _write_register(self, arguments: bytes, _t_ns: int) -> None:
        register, value = struct.unpack("<BH", arguments)
        if register != FIRMWARE:
            self._registers[register] = value
        if register == TRIGGER_DELAY:
            self._exposures.delay_ns = value * TRIGGER_DELAY_STEP_NS

    def _read_register(self, arguments: bytes, t_ns: int) -> None:
        """Answer with a register's value; one that was never written is 0 (assumed)."""
        value = FIRMWARE_REVISION if arguments[0] == FIRMWARE else self._registers.get(arguments[0], 0)
        self._send(arguments + struct.pack("<H", value), t_ns)

    def _status(self) -> bytes:
        exposures = self._exposures
        return status(
            GEOMETRY.pixels,
            exposures.integration_ns // 1000,
            lamp=self._lamp,
            mode=exposures.mode,
            acquiring=exposures.open_request,
            spectrum_waits=self._spectrum_waits,
        )


def _make(around: Surroundings) -> OceanUsb4000Persona:
    """Make the one that a bench names: on USB the resource carries its serial number."""
    parts = str(around.settings["resource"]).split("::")
    named = len(parts) > 4 and parts[0].upper().startswith("USB")
    return OceanUsb4000Persona(around.light_path, serial=parts[3] if named else DEFAULT_SERIAL, wire_time=around.wire_time)


PERSONA = PersonaEntry("ocean-usb4000", "spectrometer", _make, "USB0::0x2457::0x1022::USB4C00123::RAW", GEOMETRY)
