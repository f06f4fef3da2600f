"""The simulated Ocean FX against the message tables of the Ocean Binary Protocol, row by row, and against its clients' bytes.

Source of every row: libseabreeze's OBP constants, pyseabreeze 2.11.0 and two public FX programs, unless its comment says
otherwise; the dialogue is the one pyseabreeze 2.11.0 has with an FX. A row is executed here or stands in KNOWINGLY_ABSENT.
"""

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.ocean_fx import OceanFxPersona
from sim_instruments.ocean_fx_messages import KNOWINGLY_ABSENT
from sim_instruments.persona import Edges, TimesNs

US, MS = 1_000, 1_000_000
HEADER = struct.Struct("<2sHHHII6sBB16sI")
RESPONSE, ACK, ASK_ACK, NACK = 0x01, 0x02, 0x04, 0x08
U8, U16, U32, F32 = "<B", "<H", "<I", "<f"


class Optics:
    wavelength_coefficients = (338.25, 0.225, -5.5e-6, -1.75e-10)
    nonlinearity_coefficients = (1.0, -5e-7)

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        return np.full((len(open_ns), 2136), 700, np.uint16) + np.arange(2136, dtype=np.uint16)


@dataclass(frozen=True)
class Reply:
    flags: int
    error: int
    kind: int
    regarding: int
    checksum: int
    data: bytes


class Host:
    """A client that reads a header's worth first and the rest after it, and believes nothing."""

    def __init__(self) -> None:
        self.fx = OceanFxPersona(Optics())
        self.t_ns = 0

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.fx.run_until(self.t_ns)

    def send(self, kind: int, data: bytes = b"", flags: int = 0, *, version: int = 0x1100, checksum: int = 0) -> None:
        immediate, payload = (data, b"") if len(data) <= 16 else (b"", data)
        head = HEADER.pack(b"\xc1\xc0", version, flags, 0, kind, 7, b"", checksum, len(immediate), immediate, len(payload) + 20)
        total = hashlib.md5(head + payload, usedforsecurity=False).digest() if checksum == 1 else bytes(16)
        self.write(head + payload + total + b"\xc5\xc4\xc3\xc2")

    def write(self, wire: bytes) -> None:
        self.fx.receive(wire, self.t_ns)

    def read(self) -> Reply | None:
        ready_ns = self.fx.reply_ready_ns(self.t_ns)
        if ready_ns is None:
            return None
        self.run(max(0, ready_ns - self.t_ns))
        wire, _ = self.fx.take(64, self.t_ns)
        start, version, flags, error, kind, regarding, _, checksum, short, immediate, left = HEADER.unpack(wire[:44])
        assert (start, version) == (b"\xc1\xc0", 0x1100)
        assert not flags & 0x34  # asks for nothing, no exception, not deprecated
        while len(wire) < 44 + left:
            wire += self.fx.take(44 + left - len(wire), self.t_ns)[0]
        payload = wire[44:-20]
        assert wire[-4:] == b"\xc5\xc4\xc3\xc2"
        assert not (short and payload), "immediate data and payload at once"
        assert len(payload) == 0 or len(payload) > 16
        if checksum == 1:
            assert wire[-20:-4] == hashlib.md5(wire[:-20], usedforsecurity=False).digest()
        return Reply(flags, error, kind, regarding, checksum, immediate[:short] or payload)

    def ask(self, kind: int, data: bytes = b"", flags: int = 0) -> Reply:
        self.send(kind, data, flags)
        reply = self.read()
        assert reply is not None
        assert (reply.kind, reply.regarding) == (kind, 7)
        return reply

    def get(self, kind: int, data: bytes = b"") -> bytes:
        reply = self.ask(kind, data)
        assert (reply.flags, reply.error) == (RESPONSE, 0)
        return reply.data

    def value(self, kind: int, form: str, data: bytes = b"") -> float:
        return struct.unpack(form, self.get(kind, data))[0]

    def set(self, kind: int, data: bytes = b"") -> None:
        reply = self.ask(kind, data, ASK_ACK)
        assert (reply.flags, reply.error, reply.data) == (ACK, 0, b"")


# --- questions --------------------------------------------------------------------------------------------------------

# message type, form of the answer, its value when the table gives one
QUESTIONS = [
    (0x000101, U8, 7),
    (0x000E00, U16, None),
    (0x000E01, U16, None),
    (0x100800, U8, None),
    (0x100820, U32, 50_000),
    (0x100822, U32, 50_000),
    (0x100900, U32, 0),
    (0x100908, U8, 1),
    (0x110000, U32, None),
    (0x110001, U32, 10),
    (0x110002, U32, None),
    (0x110003, U32, None),
    (0x110100, U8, 0),
    (0x110102, U32, 1),
    (0x110220, U32, 2136),
    (0x110500, U32, 0),
    (0x120000, U16, 1),
    (0x180100, U8, 4),
    (0x181100, U8, 2),
    (0x300000, U32, None),
    (0x300001, U32, None),
    (0x300002, U8, 0),
    (0x110400, U8, 0),
    (0x400000, U8, None),
]
TEXTS = [0x000080, 0x000090, 0x000100, 0x000A80, 0x000A81, 0x000A82, 0x000A83, 0x000E11, 0x110221, 0x110222, 0x110223, 0x400002]


@pytest.mark.parametrize(("kind", "form", "expected"), QUESTIONS)
@pytest.mark.parametrize("flags", [0, ASK_ACK])
def test_questions(kind: int, form: str, expected: int | None, flags: int) -> None:
    host = Host()
    reply = host.ask(kind, flags=flags)
    assert (reply.flags, reply.error) == (RESPONSE | (ACK if flags else 0), 0)
    (value,) = struct.unpack(form, reply.data)
    assert value == expected if expected is not None else value >= 0
    assert host.read() is None  # answered once
    assert host.ask(kind, bytes(9)).error == 5


@pytest.mark.parametrize("kind", TEXTS)
def test_questions_of_no_fixed_form(kind: int) -> None:
    assert Host().get(kind)


def test_pixel_ranges_are_pairs() -> None:
    pairs = [struct.unpack("<2I", Host().get(kind)) for kind in (0x110221, 0x110222, 0x110223)]
    assert all(first <= last < 2136 for first, last in pairs)


@pytest.mark.parametrize(
    ("count", "kind", "values"),
    [(0x180100, 0x180101, Optics.wavelength_coefficients), (0x181100, 0x181101, Optics.nonlinearity_coefficients)],
)
def test_coefficients(count: int, kind: int, values: tuple[float, ...]) -> None:
    host = Host()
    assert host.value(count, U8) == len(values)
    read = [host.value(kind, F32, struct.pack(U8, i)) for i in range(len(values))]
    assert read == pytest.approx(values, rel=1e-7)
    assert host.ask(kind, struct.pack(U8, len(values))).error == 12


def test_temperatures() -> None:
    host = Host()
    for i in range(int(host.value(0x400000, U8))):
        assert -40 < host.value(0x400001, F32, struct.pack(U8, i)) < 100


def test_echo() -> None:
    assert Host().get(0x0FF101, b"any\x00thing") == b"any\x00thing"
    assert Host().get(0x0FF101, bytes(range(40))) == bytes(range(40))


# --- settings and commands --------------------------------------------------------------------------------------------

# set, get, form, what is taken, what is refused as data
SETTINGS = [
    (0x100810, 0x100800, U8, (1, 0), (2,)),
    (0x100832, 0x100822, U32, (1, 50_000), (0, 50_001)),
    (0x110010, 0x110000, U32, (10, 500, 10_000_000), (0, 9)),
    (0x110110, 0x110100, U8, (0, 1, 2, 0xFF), (3, 4)),  # 3 is the HDX's level mode
    (0x110112, 0x110102, U32, (1, 50_000), (0,)),
    (0x110510, 0x110500, U32, (0, 1000), ()),
    (0x120010, 0x120000, U16, (1, 100), (0,)),
    (0x110410, 0x110400, U8, (1, 0), (2,)),
    (0x300010, 0x300000, U32, (0, 100), ()),
    (0x300011, 0x300001, U32, (10, 100), ()),
    (0x300012, 0x300002, U8, (1, 0), (2,)),
]


@pytest.mark.parametrize(("kind", "get", "form", "good", "bad"), SETTINGS)
def test_settings(kind: int, get: int, form: str, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    host = Host()
    for value in good:
        host.set(kind, struct.pack(form, value))
        assert host.value(get, form) == value
    for value in bad:
        refusal = host.ask(kind, struct.pack(form, value), ASK_ACK)
        assert (refusal.flags & NACK, refusal.error) == (NACK, 6)
    assert host.ask(kind, bytes(7), ASK_ACK).error == 5
    assert host.value(get, form) == good[-1]
    host.send(kind, struct.pack(form, good[0]))
    assert host.read() is None  # no acknowledgement was asked for
    assert host.value(get, form) == good[0]


@pytest.mark.parametrize(
    ("kind", "data"),
    [(0x000000, b""), (0x000001, b""), (0x100000, b""), (0x100830, b""), (0x100831, struct.pack(U32, 1)), (0x110120, b"")],
)
def test_commands(kind: int, data: bytes) -> None:
    host = Host()
    host.set(kind, data)
    host.send(kind, data)
    assert host.read() is None


def test_start_needs_a_mode_that_can_start() -> None:
    host = Host()
    host.set(0x110110, b"\x01")
    host.set(0x100902)
    host.set(0x110110, b"\xff")
    assert host.ask(0x100902, flags=ASK_ACK).error == 7


# --- no row is missing ------------------------------------------------------------------------------------------------

# types of the tables that this model does not have, or that nobody here needs
ABSENT = (
    *(0x100928, 0x101100, 0x420004, 0x420010, 0x420011, 0x000A90, 0x000A91, 0x000A92, 0x000A93, 0x180111, 0x181111),
    *(0x182000, 0x183100, 0x300003, 0x310002),
)


@pytest.mark.parametrize("kind", ABSENT)
def test_what_is_knowingly_absent_is_an_unknown_type(kind: int) -> None:
    assert KNOWINGLY_ABSENT[kind]
    reply = Host().ask(kind)
    assert (reply.flags, reply.error) == (RESPONSE | NACK, 2)


def test_the_list_of_absences_is_that_of_the_tables() -> None:
    assert set(KNOWINGLY_ABSENT) == set(ABSENT)


# --- the frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [0, 1])
@pytest.mark.parametrize("version", [0x1100, 0x0000])
def test_checksums_and_versions(checksum: int, version: int) -> None:
    host = Host()
    host.send(0x000100, checksum=checksum, version=version)
    reply = host.read()
    assert reply is not None
    assert (reply.flags, reply.data, reply.checksum) == (RESPONSE, b"FX-0231", checksum)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ((2, b"\x00\x20"), 1),  # protocol version of the newer devices
        ((22, b"\x01"), 3),
        ((40, b"\xff\xff\xff\x7f"), 4),
        ((23, b"\x11"), 5),
        ((22, b"\x09"), 8),
        ((60, b"\x00\x00\x00\x00"), 14),
    ],
)
def test_errors_of_the_frame(change: tuple[int, bytes], error: int) -> None:
    host = Host()
    wire = HEADER.pack(b"\xc1\xc0", 0x1100, 0, 0, 0x100, 7, b"", 0, 0, b"", 20) + bytes(16) + b"\xc5\xc4\xc3\xc2"
    at, data = change
    host.write(wire[:at] + data + wire[at + len(data) :])
    reply = host.read()
    assert reply is not None
    assert (reply.flags & NACK, reply.error) == (NACK, error)
    assert host.get(0x100) == b"FX-0231"


def test_a_request_in_pieces_and_several_in_one() -> None:
    host = Host()
    wire = HEADER.pack(b"\xc1\xc0", 0x1100, 0, 0, 0x101, 7, b"", 0, 0, b"", 20) + bytes(16) + b"\xc5\xc4\xc3\xc2"
    for byte in wire * 2:
        host.write(bytes([byte]))
    host.write(wire * 2)
    replies = [host.read() for _ in range(5)]
    assert [reply.data for reply in replies if reply] == [b"\x07"] * 4


# --- spectra ----------------------------------------------------------------------------------------------------------


def edges(host: Host, n: int, period_ns: int = MS) -> None:
    rise_ns = host.t_ns + (1 + np.arange(n)) * period_ns
    host.fx.receive_edges("trigger", Edges(rise_ns, rise_ns + 10 * US, 0.0, 5.0))
    host.run((n + 2) * period_ns)


def fast_set_up(host: Host) -> None:
    """Buffer clear, capacity, one spectrum per trigger, buffering on, 500 us, external edges."""
    for kind, data in (
        (0x100830, b""),
        (0x100832, struct.pack(U32, 50_000)),
        (0x110112, struct.pack(U32, 1)),
        (0x100810, b"\x01"),
        (0x110010, struct.pack(U32, 500)),
        (0x110110, b"\x01"),
    ):
        host.set(kind, data)


def test_records_of_the_fast_buffer() -> None:
    host = Host()
    fast_set_up(host)
    edges(host, 40)
    assert host.value(0x100900, U32) == 40
    data = b"".join(host.get(0x100980, struct.pack(U32, 15)) for _ in range(4))  # 15, 15, 10 and none
    assert len(data) == 40 * 4340
    records = [data[i : i + 4340] for i in range(0, len(data), 4340)]
    fields = [struct.unpack_from("<HHIQIIIIQH", record) for record in records]
    first_count, first_us = fields[0][6], fields[0][3]
    for i, (version, size, pixel_bytes, time_us, integration_us, pixel_format, count, before, before_us, averages) in enumerate(
        fields
    ):
        assert (version, size, pixel_bytes, integration_us, pixel_format, averages) == (1, 64, 4272, 500, 1, 1)
        assert (count, before) == (first_count + i, (first_count + i - 1) & 0xFFFFFFFF)
        assert time_us == pytest.approx(first_us + 1000 * i, abs=2)
        assert i == 0 or before_us == fields[i - 1][3]
    assert np.frombuffer(records[5][64 : 64 + 4272], "<u2").tolist() == list(range(700, 700 + 2136))


def test_at_most_fifteen_records_at_a_time() -> None:
    host = Host()
    fast_set_up(host)
    edges(host, 3)
    assert host.ask(0x100980, struct.pack(U32, 16)).error == 6
    assert len(host.get(0x100980, struct.pack(U32, 15))) == 3 * 4340  # at once, what is there


def test_the_maker_s_rate_is_reached_and_not_passed() -> None:
    """4500 spectra/s; a trigger that comes too early is not seen and leaves no gap in the count."""
    for period_ns, expected in ((223 * US, 100), (150 * US, 50)):
        host = Host()
        fast_set_up(host)
        host.set(0x110010, struct.pack(U32, 10))
        edges(host, 100, period_ns)
        assert host.value(0x100900, U32) == expected


def test_removing_the_oldest() -> None:
    host = Host()
    fast_set_up(host)
    edges(host, 5)
    host.set(0x100831, struct.pack(U32, 2))
    assert host.value(0x100900, U32) == 3
    (count,) = struct.unpack_from(U32, host.get(0x100980, struct.pack(U32, 1)), 24)
    assert count == 3


# --- pyseabreeze ------------------------------------------------------------------------------------------------------


def test_the_dialogue_of_pyseabreeze() -> None:
    """GETs are sent with flags 0, SETs with 0x04; everything that `Host.read` asserts, that client checks too."""
    host = Host()
    for _ in range(2):
        assert host.value(0x000101, U8) == 7
        assert host.get(0x000100) == b"FX-0231"
    host.set(0x110110, b"\x00")
    host.set(0x110010, struct.pack(U32, 20_000))
    assert host.value(0x180100, U8) == 4
    assert [host.value(0x180101, F32, struct.pack(U8, i)) for i in range(4)] == pytest.approx(Optics.wavelength_coefficients)
    for _ in range(3):
        begun_ns = host.t_ns
        spectrum = host.get(0x101000)
        assert len(spectrum) == 4272
        assert np.frombuffer(spectrum, "<u2").tolist() == list(range(700, 700 + 2136))
        assert host.t_ns - begun_ns >= 20 * MS
