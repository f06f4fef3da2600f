"""An Ocean FX spectrometer, spoken to in the Ocean Binary Protocol.

Sources: message types, records and limits as in seabreeze 2.11.0 (both backends), libseabreeze's comments, the maker's FX speed
test and two public FX programs. No manual of the maker's describes the trigger logic of this model in such detail: what is
marked assumed here is a guess that the bench has to confirm.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sim_instruments.catalogue import PersonaEntry
from sim_instruments.obp import FRAME_BYTES, ErrorNumber, ObpError, Request, RequestStream, reply
from sim_instruments.ocean_fx_acquisition import Acquisition, DeviceClock, FrameBlock, Scan
from sim_instruments.ocean_fx_buffer import PIXEL_BYTES, RECORD, FrameBuffer, Records
from sim_instruments.ocean_fx_messages import (
    DISABLED,
    EXTERNAL_EDGE,
    FIXED_ANSWERS,
    FREE,
    INTERNAL_SYNC,
    MULTICAST_ANSWERS,
    SETTINGS,
    TEMPERATURES_C,
    U8,
    U32,
    Setting,
)
from sim_instruments.persona import Edges, Optics, OutputPulses, TimesNs

TTL_HIGH_V, TTL_LOW_V = 2.0, 0.8  # assumed
REPLY_LATENCY_NS = 200_000  # assumed
NS_PER_BYTE = 10  # gigabit Ethernet: assumed
MAX_RECORDS = 15  # per request; Source: the maker's FX speed test

NO_TIMES: TimesNs = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class OceanFxQuirks:
    """What is disputed, undocumented or unpleasant about the instrument.

    Parameters
    ----------
    stale_first_frame  the first frame after arming for edges shows earlier light (python-seabreeze #298)
    drops_oldest       a full buffer loses its oldest record instead of the one that comes (assumed: it does not)
    request_triggers_from
        an idle instrument in mode 0 with nothing waiting takes a request for buffered spectra as a software trigger when the
        back-to-back count is at least this; the maker's speed test relies on it with 50 000, what happens with 1 is unknown
    """

    stale_first_frame: bool = True
    drops_oldest: bool = False
    request_triggers_from: int = 2


@dataclass(frozen=True, slots=True)
class Message:
    """What one message type does.

    Parameters
    ----------
    is_command  it is answered only when an acknowledgement is asked for
    forms       struct formats its data may have; none: any data
    act         gets request, values and time; returns the answer's data, or None when the answer comes later
    """

    is_command: bool
    forms: tuple[str, ...]
    act: Callable[[Request, tuple[int, ...], int], bytes | None]

    def values(self, data: bytes) -> tuple[int, ...]:
        """Read `data`; raises ObpError when no form has its length."""
        for form in self.forms:
            if struct.calcsize(form) == len(data):
                return struct.unpack(form, data)
        if self.forms:
            raise ObpError(ErrorNumber.PAYLOAD_LENGTH)
        return ()


@dataclass(slots=True)
class Waiting:
    """A question that is answered, with `answer_bytes` of data, when `wanted` more frames are there."""

    request: Request
    wanted: int
    answer: Callable[[list[Records]], bytes]
    answer_bytes: int
    records: list[Records] = field(default_factory=list)


@dataclass(slots=True)
class Reply:
    """Bytes on their way to the host."""

    ready_ns: int
    data: memoryview


class OceanFxPersona:
    """One Ocean FX; input "trigger" takes rising edges, there are no outputs.

    Parameters
    ----------
    optics          what reaches the detector
    serial          as the instrument reports it
    clock_ppm       how much its microsecond counter is fast (ppm)
    clock_start_us  reading of that counter at world time 0 (us)
    wire_time       whether answers take time to reach the host; on a real wire that is the wire's own

    `temperatures_c` are those of its boards and chips (deg C).
    """

    def __init__(
        self,
        optics: Optics,
        *,
        serial: str = "FX-0231",
        clock_ppm: float = 8.0,
        clock_start_us: int = 1_834_207_113,
        quirks: OceanFxQuirks = OceanFxQuirks(),
        wire_time: bool = True,
    ) -> None:
        self._optics = optics
        self._latency_ns, self._byte_ns = (REPLY_LATENCY_NS, NS_PER_BYTE) if wire_time else (0, 0)
        self._serial = serial.encode("ascii")
        self._quirks = quirks
        self._acquisition = Acquisition(optics, DeviceClock(clock_start_us, clock_ppm))
        self._buffer = FrameBuffer(drops_oldest=quirks.drops_oldest)
        self._settings = {name: setting.default for name, setting in SETTINGS.items()}
        self._armed = False  # listens to edges or to its own sync
        self._free_running = False
        self._sync_origin_ns = 0
        self._now_ns = 0
        self._edges: list[TimesNs] = []
        self._stream = RequestStream()
        self._waiting: deque[Waiting] = deque()
        self._replies: deque[Reply] = deque()
        self._line_free_ns = 0
        self._after_setting: dict[str, Callable[[int], None]] = {
            "trigger_mode": self._arm,
            "buffer_size": self._resize,
            "sync_period_us": self._restart_sync,
            "sync": self._restart_sync,
        }
        self.temperatures_c = TEMPERATURES_C
        self._messages = self._message_table()

    # --- the world's side ---------------------------------------------------------------------------------------------

    @property
    def device_clock(self) -> DeviceClock:
        """Get the microsecond counter that stamps the frames."""
        return self._acquisition.clock

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Let time pass; there is no output. Frames are made when the host next asks for anything: in fewer, larger batches."""
        if self._waiting:
            self._catch_up(t_ns)
        return {}

    def _catch_up(self, t_ns: int) -> None:
        """Take the triggers up to `t_ns` and let frames be read out."""
        triggers, frames = self._triggers(t_ns)
        if len(triggers):
            self._acquisition.trigger(triggers, self._scan, frames)
        self._now_ns = t_ns
        delivered = True
        while delivered:  # a delivered frame can be what the next software exposure waits for
            delivered = False
            for block in self._acquisition.run_until(t_ns):
                self._deliver(block)
                delivered = True

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Take pulses at "trigger"; levels that are not TTL are not seen. Raises ValueError for another connector."""
        if connector != "trigger":
            raise ValueError(f"an Ocean FX has no input {connector!r}")
        if edges.high_v >= TTL_HIGH_V and edges.low_v <= TTL_LOW_V:
            self._edges.append(edges.rise_ns)

    def _triggers(self, t_ns: int) -> tuple[TimesNs, int]:
        """Triggers since the last call up to `t_ns`, and the frames each of them makes."""
        edges = self._edges_until(t_ns)
        per_trigger = self._settings["back_to_back"]
        if self._free_running:
            hold_ns = self._scan.delay_ns + self._scan.averages * self._scan.period_ns
            return np.arange(self._acquisition.busy_ns, t_ns + 1, hold_ns), 1
        if not self._armed:
            return NO_TIMES, per_trigger
        if self._settings["trigger_mode"] == EXTERNAL_EDGE:
            return edges, per_trigger
        if not self._settings["sync"]:
            return NO_TIMES, per_trigger
        period_ns = self._settings["sync_period_us"] * 1000
        first = (self._now_ns - self._sync_origin_ns) // period_ns + 1
        return np.arange(self._sync_origin_ns + first * period_ns, t_ns + 1, period_ns), per_trigger

    def _edges_until(self, t_ns: int) -> TimesNs:
        if not self._edges:
            return NO_TIMES
        edges = np.sort(np.concatenate(self._edges))
        by_now = int(np.searchsorted(edges, t_ns, side="right"))
        self._edges = [edges[by_now:]] if by_now < len(edges) else []
        return edges[:by_now]

    @property
    def _scan(self) -> Scan:
        settings = self._settings
        return Scan(settings["delay_us"] * 1000, settings["integration_us"] * 1000, settings["averages"])

    def _deliver(self, block: FrameBlock) -> None:
        """Hand frames to the buffer, and to the questions that wait for them."""
        if self._settings["buffering"]:
            self._buffer.put(block.records)
        last_ns = int(block.ready_ns[-1])
        answered = False
        while self._waiting and len(block.ready_ns):
            head = self._waiting[0]
            part, block = block.split(head.wanted)
            head.records.append(part.records)
            head.wanted -= len(part.ready_ns)
            if head.wanted == 0:
                self._waiting.popleft()
                self._send(reply(head.request, is_command=False, data=head.answer(head.records)), int(part.ready_ns[-1]))
                answered = True
        if answered:
            self._expose_for_waiting(last_ns)

    # --- the host's side ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, t_ns: int) -> None:
        """Take bytes from the host and act on every message that is complete."""
        self._catch_up(t_ns)
        for request in self._stream.feed(data):
            message = self._messages.get(request.message_type)
            is_command = message is not None and message.is_command
            try:
                if request.error is not ErrorNumber.NONE:
                    raise ObpError(request.error)
                if message is None:
                    raise ObpError(ErrorNumber.UNKNOWN_TYPE)
                answer = message.act(request, message.values(request.data), t_ns)
            except ObpError as refusal:
                self._send(reply(request, is_command=is_command, error=refusal.number), t_ns)
            else:
                if answer is not None:
                    self._send(reply(request, is_command=is_command, data=answer), t_ns)

    def reply_ready_ns(self, t_ns: int) -> int | None:
        """When the next reply is there (ns), also for one that waits for exposures under way; None otherwise."""
        if self._replies:
            return self._replies[0].ready_ns
        if not self._waiting:
            return None
        head = self._waiting[0]
        frames_ns = self._acquisition.next_ready_ns(head.wanted)
        return None if frames_ns is None else self._arrival_ns(frames_ns, head.answer_bytes)

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

    def _send(self, data: bytes | None, t_ns: int) -> None:
        if data is not None:
            self._line_free_ns = self._arrival_ns(t_ns, len(data) - FRAME_BYTES)
            self._replies.append(Reply(self._line_free_ns, memoryview(data)))

    def _arrival_ns(self, t_ns: int, data_bytes: int) -> int:
        """When a reply decided on at `t_ns` has reached the host."""
        return max(t_ns + self._latency_ns, self._line_free_ns) + (FRAME_BYTES + data_bytes) * self._byte_ns

    # --- messages -----------------------------------------------------------------------------------------------------

    def _message_table(self) -> dict[int, Message]:
        table = {code: Message(False, ("",), self._fixed(data)) for code, data in FIXED_ANSWERS.items()}
        table |= {code: Message(False, ("", U8), self._fixed(data)) for code, data in MULTICAST_ANSWERS.items()}
        table |= {
            0x000100: Message(False, ("",), self._fixed(self._serial)),
            0x000101: Message(False, ("",), self._fixed(struct.pack(U8, len(self._serial)))),
            0x0FF101: Message(False, (), lambda request, _values, _t: request.data),
            0x400000: Message(False, ("",), lambda _request, _values, _t: struct.pack(U8, len(self.temperatures_c))),
            0x400001: Message(False, (U8,), self._one_temperature),
            0x400002: Message(False, ("",), lambda _request, _values, _t: _floats(self.temperatures_c)),
            0x100900: Message(False, ("",), lambda _request, _values, _t: struct.pack(U32, len(self._buffer))),
            0x100908: Message(False, ("",), lambda _request, _values, t: struct.pack(U8, self._idle(t))),
            0x100980: Message(False, (U32,), self._read_buffer),
            0x101000: Message(False, ("",), self._spectrum_now),
        }
        for count_code, values in (
            (0x180100, self._optics.wavelength_coefficients),
            (0x181100, self._optics.nonlinearity_coefficients),
        ):
            table[count_code] = Message(False, ("",), self._fixed(struct.pack(U8, len(values))))
            table[count_code + 1] = Message(False, (U8,), self._indexed(values))
        commands: dict[int, tuple[str, Callable[[tuple[int, ...], int], object]]] = {
            0x000000: ("", lambda _values, t: self._reset(t)),
            0x000001: ("", lambda _values, t: self._restore_defaults(t)),
            0x100000: ("", lambda _values, t: self._abort(t)),
            0x100830: ("", lambda _values, _t: self._clear()),
            0x100831: (U32, lambda values, _t: self._buffer.take(values[0])),
            0x100902: ("", lambda _values, t: self._start(t)),
            0x110120: ("", lambda _values, t: self._simulate_trigger(t)),
        }
        table |= {code: Message(True, (form,), self._command(act)) for code, (form, act) in commands.items()}
        for name, setting in SETTINGS.items():
            table[setting.get] = Message(False, ("",), self._get(name, setting))
            table[setting.set_] = Message(True, (setting.form,), self._set(name, setting))
        return table

    @staticmethod
    def _fixed(data: bytes) -> Callable[[Request, tuple[int, ...], int], bytes]:
        return lambda _request, _values, _t: data

    def _one_temperature(self, request: Request, index: tuple[int, ...], t_ns: int) -> bytes:
        return self._indexed(self.temperatures_c)(request, index, t_ns)

    @staticmethod
    def _indexed(values: tuple[float, ...]) -> Callable[[Request, tuple[int, ...], int], bytes]:
        def act(_request: Request, index: tuple[int, ...], _t_ns: int) -> bytes:
            if index[0] >= len(values):
                raise ObpError(ErrorNumber.NO_SUCH_INFORMATION)
            return struct.pack("<f", values[index[0]])

        return act

    @staticmethod
    def _command(act: Callable[[tuple[int, ...], int], object]) -> Callable[[Request, tuple[int, ...], int], bytes]:
        def acknowledged(_request: Request, values: tuple[int, ...], t_ns: int) -> bytes:
            act(values, t_ns)
            return b""

        return acknowledged

    def _get(self, name: str, setting: Setting) -> Callable[[Request, tuple[int, ...], int], bytes]:
        return lambda _request, _values, _t: struct.pack(setting.form, self._settings[name])

    def _set(self, name: str, setting: Setting) -> Callable[[Request, tuple[int, ...], int], bytes]:
        def act(_request: Request, values: tuple[int, ...], t_ns: int) -> bytes:
            if values[0] not in setting.allowed:
                raise ObpError(ErrorNumber.PAYLOAD_DATA)
            self._settings[name] = values[0]
            self._after_setting.get(name, lambda _t: None)(t_ns)
            return b""

        return act

    # --- what messages do ---------------------------------------------------------------------------------------------

    def _idle(self, t_ns: int) -> bool:
        """Whether nothing is exposed and no edge would start anything (assumed meaning of 0x100908)."""
        busy = self._acquisition.in_progress or t_ns < self._acquisition.busy_ns
        return not (busy or self._armed or self._free_running)

    def _abort(self, t_ns: int) -> None:
        """Stop at once and listen to no edge until the mode is set or 0x100902 comes (assumed)."""
        self._acquisition.abort(t_ns)
        self._armed = self._free_running = False
        while self._waiting:
            request = self._waiting.popleft().request
            self._send(reply(request, is_command=False, error=ErrorNumber.SCAN_INTERRUPTED), t_ns)

    def _arm(self, t_ns: int) -> None:
        """A trigger mode was set: what was under way is interrupted (assumed), and the mode begins."""
        self._abort(t_ns)
        mode = self._settings["trigger_mode"]
        self._armed = mode in (EXTERNAL_EDGE, INTERNAL_SYNC)
        self._sync_origin_ns = t_ns
        self._mark_stale()

    def _mark_stale(self) -> None:
        listens = self._armed and self._settings["trigger_mode"] == EXTERNAL_EDGE
        self._acquisition.stale_next = listens and self._quirks.stale_first_frame

    def _start(self, t_ns: int) -> None:
        mode = self._settings["trigger_mode"]
        if mode == DISABLED or (mode == FREE and not self._settings["buffering"]):
            raise ObpError(ErrorNumber.NOT_READY)
        if mode != FREE:
            if not self._armed:
                self._arm(t_ns)
            return
        self._acquisition.busy_ns = max(self._acquisition.busy_ns, t_ns)
        self._free_running = True
        self.run_until(t_ns)

    def _simulate_trigger(self, t_ns: int) -> None:
        if self._settings["trigger_mode"] == DISABLED:
            raise ObpError(ErrorNumber.NOT_READY)
        self._acquisition.trigger(np.array([t_ns]), self._scan, self._settings["back_to_back"])

    def _clear(self) -> None:
        self._buffer.clear()
        if self._armed:
            self._mark_stale()

    def _resize(self, _t_ns: int) -> None:
        """A new size empties the buffer (assumed)."""
        self._buffer.clear()
        self._buffer.size = self._settings["buffer_size"]

    def _restart_sync(self, t_ns: int) -> None:
        self._sync_origin_ns = t_ns

    def _restore_defaults(self, t_ns: int) -> None:
        """All settings as after power-on, buffer empty (assumed)."""
        self._settings = {name: setting.default for name, setting in SETTINGS.items()}
        self._resize(t_ns)
        self._arm(t_ns)

    def _reset(self, t_ns: int) -> None:
        """As after power-on, counters at zero; the time a start takes is left out (assumed)."""
        self._restore_defaults(t_ns)
        self._acquisition.restart(t_ns)

    def _read_buffer(self, request: Request, values: tuple[int, ...], t_ns: int) -> bytes | None:
        """Answer at once with what is there, up to the number asked for (assumed); 0 asks for one (libseabreeze, 2017).

        Without buffering, mode 0 exposes for the answer, as a public FX program expects.
        """
        n = max(values[0], 1)
        if n > MAX_RECORDS:
            raise ObpError(ErrorNumber.PAYLOAD_DATA)
        if self._settings["trigger_mode"] == FREE and not len(self._buffer):
            if not self._settings["buffering"]:
                return self._wait(Waiting(request, n, _records_answer, n * RECORD.itemsize), t_ns)
            if self._settings["back_to_back"] >= self._quirks.request_triggers_from:
                self._simulate_trigger(t_ns)
        return _records_answer(self._buffer.take(n))

    def _spectrum_now(self, request: Request, _values: tuple[int, ...], t_ns: int) -> None:
        """Answer with the next frame: exposed on demand in mode 0, else whenever a trigger comes (python-seabreeze #146)."""
        if self._settings["trigger_mode"] != FREE and not self._armed:
            raise ObpError(ErrorNumber.NOT_READY)
        self._wait(Waiting(request, 1, _pixels_answer, PIXEL_BYTES), t_ns)

    def _wait(self, waiting: Waiting, t_ns: int) -> None:
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._expose_for_waiting(t_ns)

    def _expose_for_waiting(self, t_ns: int) -> None:
        """In mode 0 a question that waits for frames which nothing else makes is a software trigger."""
        if not self._waiting or self._settings["trigger_mode"] != FREE or self._free_running:
            return
        wanted = self._waiting[0].wanted
        if self._acquisition.next_ready_ns(wanted) is None:
            free_ns = max(t_ns, self._acquisition.busy_ns)
            self._acquisition.trigger(np.array([free_ns]), self._scan, wanted)


def _floats(values: tuple[float, ...]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _records_answer(records: list[Records]) -> bytes:
    return b"".join(piece.tobytes() for piece in records)


def _pixels_answer(records: list[Records]) -> bytes:
    return b"".join(piece["pixels"].tobytes() for piece in records)


PERSONA = PersonaEntry(
    "ocean-fx",
    "spectrometer",
    lambda around: OceanFxPersona(around.light_path, wire_time=around.wire_time),
    "TCPIP::192.0.2.21::57357::SOCKET",
)
