"""A host and a detector's light for tests of the simulated Ocean FX."""

import struct

import numpy as np
from numpy.typing import NDArray

from sim_instruments.ocean_fx import OceanFxPersona, OceanFxQuirks
from sim_instruments.persona import Edges, TimesNs

US, MS = 1_000, 1_000_000
GET, SET, ASK_ACK = 0, 4, 4
CLEAR, BUFFERING, BUFFER_SIZE, WAITING, REMOVE = 0x100830, 0x100810, 0x100832, 0x100900, 0x100831
INTEGRATION, DELAY, AVERAGES, BACK_TO_BACK, MODE = 0x110010, 0x110510, 0x120010, 0x110112, 0x110110
START, ABORT, IDLE, SIMULATE, RECORDS, NOW = 0x100902, 0x100000, 0x100908, 0x110120, 0x100980, 0x101000
U8, U32 = struct.Struct("<B").pack, struct.Struct("<I").pack


class FakeOptics:
    """Pixels 0..3 hold the opening (ns), 4..7 the closing, pixel 8 the number of the exposure."""

    wavelength_coefficients = (338.2, 0.2252, -5.6e-6, -1.9e-10)
    nonlinearity_coefficients = (1.0, -5e-7, 2e-12)

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.calls = 0

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        pixels = np.zeros((len(open_ns), 2136), np.uint16)
        pixels[:, 0:4] = np.ascontiguousarray(open_ns, "<i8").view("<u2").reshape(-1, 4)
        pixels[:, 4:8] = np.ascontiguousarray(close_ns, "<i8").view("<u2").reshape(-1, 4)
        pixels[:, 8] = len(self.asked) + np.arange(len(open_ns))
        self.asked += zip(open_ns.tolist(), close_ns.tolist(), strict=True)
        self.calls += 1
        return pixels


class Answer:
    def __init__(self, wire: bytes) -> None:
        assert wire[:2] == b"\xc1\xc0"
        assert wire[-4:] == b"\xc5\xc4\xc3\xc2"
        self.version, self.flags, self.error, self.type = struct.unpack_from("<HHHI", wire, 2)
        immediate, (remaining,) = wire[23], struct.unpack_from("<I", wire, 40)
        assert len(wire) == 44 + remaining
        self.data = wire[24 : 24 + immediate] or wire[44:-20]


class Records:
    """Metadata read at the offsets of the protocol notes, apart from the persona's own layout."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % 4340 == 0
        raw = np.frombuffer(data, np.uint8).reshape(-1, 4340)

        def column(at: int, form: str) -> list[int]:
            return np.ascontiguousarray(raw[:, at : at + np.dtype(form).itemsize]).view(form)[:, 0].tolist()

        self.time_us, self.integration_us = column(8, "<u8"), column(16, "<u4")
        self.count, self.previous_count, self.previous_time_us = column(24, "<u4"), column(28, "<u4"), column(32, "<u8")
        self.averages = column(40, "<u2")
        self.head = [column(0, "<u2"), column(2, "<u2"), column(4, "<u4"), column(20, "<u4")]
        self.open_ns, self.close_ns = column(64, "<i8"), column(72, "<i8")
        self.pixels = np.ascontiguousarray(raw[:, 64 : 64 + 4272]).view("<u2")

    def __len__(self) -> int:
        return len(self.count)


class Bench:
    """The persona with a host that waits for every answer, at times that only go forward."""

    def __init__(self, *, stale: bool = False, ppm: float = 0.0, quirks: OceanFxQuirks | None = None) -> None:
        self.optics = FakeOptics()
        quirks = quirks or OceanFxQuirks(stale_first_frame=stale)
        self.fx = OceanFxPersona(self.optics, clock_ppm=ppm, clock_start_us=1_000_000, quirks=quirks)
        self.t = 0

    def run(self, t_ns: int) -> None:
        self.t = t_ns
        self.fx.run_until(t_ns)

    def edges(self, *rise_ns: int, low_v: float = 0.0, high_v: float = 5.0) -> None:
        rise = np.array(rise_ns, np.int64)
        self.fx.receive_edges("trigger", Edges(rise, rise + 10 * US, low_v, high_v))

    def send(self, kind: int, data: bytes = b"", flags: int = 0, version: int = 0x1100) -> None:
        wire = struct.pack("<2sHHHII6xBB16sI", b"\xc1\xc0", version, flags, 0, kind, 0, 0, len(data), data, 20)
        self.fx.receive(wire + bytes(16) + b"\xc5\xc4\xc3\xc2", self.t)

    def answer(self) -> Answer | None:
        ready_ns = self.fx.reply_ready_ns(self.t)
        if ready_ns is None:
            return None
        self.run(max(self.t, ready_ns))
        wire, ended = self.fx.take(1_000_000, self.t)
        assert ended
        return Answer(wire)

    def ask(self, kind: int, data: bytes = b"", flags: int = 0) -> Answer:
        self.send(kind, data, flags)
        answer = self.answer()
        assert answer is not None
        return answer

    def get(self, kind: int, data: bytes = b"") -> bytes:
        answer = self.ask(kind, data)
        assert (answer.flags, answer.error, answer.type, answer.version) == (0x01, 0, kind, 0x1100)
        return answer.data

    def set(self, kind: int, data: bytes = b"") -> None:
        answer = self.ask(kind, data, SET)
        assert (answer.flags, answer.error, answer.data, answer.type) == (0x02, 0, b"", kind)

    def refused(self, kind: int, data: bytes = b"", flags: int = SET) -> int:
        answer = self.ask(kind, data, flags)
        assert answer.flags & 0x08
        return answer.error

    def records(self, n: int = 15) -> Records:
        return Records(self.get(RECORDS, U32(n)))

    def all_records(self) -> Records:
        data = b""
        while piece := self.get(RECORDS, U32(15)):
            data += piece
        return Records(data)

    def arm(self, integration_us: int = 100) -> int:
        """Arm for edges at 10 ms and return that time."""
        self.set(INTEGRATION, U32(integration_us))
        self.set(CLEAR)
        self.set(BUFFERING, U8(1))
        self.set(MODE, U8(1))
        self.run(10 * MS)
        return self.t
