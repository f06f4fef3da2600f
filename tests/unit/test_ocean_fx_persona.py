import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocean_fx_host import (
    ABORT,
    ASK_ACK,
    AVERAGES,
    BACK_TO_BACK,
    BUFFER_SIZE,
    BUFFERING,
    CLEAR,
    DELAY,
    GET,
    IDLE,
    INTEGRATION,
    MODE,
    MS,
    NOW,
    RECORDS,
    REMOVE,
    SIMULATE,
    START,
    U8,
    U32,
    US,
    WAITING,
    Answer,
    Bench,
    FakeOptics,
)

from sim_instruments.ocean_fx import OceanFxPersona
from sim_instruments.ocean_fx_messages import KNOWINGLY_ABSENT
from sim_instruments.persona import Persona


def test_is_a_persona():
    persona: Persona = OceanFxPersona(FakeOptics())
    assert persona.run_until(MS) == {}


# --- questions and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (0x000100, b"FX-0231"),
        (0x000101, b"\x07"),
        (0x000E00, b"\x57\x24"),
        (0x000E01, b"\x01\x20"),
        (0x100820, U32(50_000)),
        (0x100822, U32(50_000)),
        (0x110001, U32(10)),
        (0x110002, U32(10_000_000)),
        (0x110003, U32(1)),
        (0x110220, U32(2136)),
        (0x180100, b"\x04"),
        (0x181100, b"\x03"),
        (WAITING, U32(0)),
        (IDLE, b"\x01"),
    ],
)
def test_fixed_answers(kind: int, data: bytes):
    assert Bench().get(kind) == data


@pytest.mark.parametrize("kind", [0x000080, 0x000090, 0x000A80, 0x000A81, 0x000A82, 0x000A83, 0x000E11, 0x400000, 0x400002])
def test_answered_with_something(kind: int):
    assert Bench().get(kind)


def test_coefficients_are_single_floats():
    bench = Bench()
    for kind, sent in ((0x180101, FakeOptics.wavelength_coefficients), (0x181101, FakeOptics.nonlinearity_coefficients)):
        got = [struct.unpack("<f", bench.get(kind, U8(i)))[0] for i in range(len(sent))]
        assert got == [float(np.float32(c)) for c in sent]
        assert bench.refused(kind, U8(len(sent)), GET) == 12


def test_pixel_ranges_cover_the_detector_once():
    bench = Bench()
    ranges = [struct.unpack("<2I", bench.get(kind)) for kind in (0x110221, 0x110222, 0x110223)]
    assert sorted(pixel for first, last in ranges for pixel in range(first, last + 1)) == list(range(2136))


@pytest.mark.parametrize(
    ("set_", "get", "form", "good", "bad"),
    [
        (BUFFERING, 0x100800, "<B", (1, 0), (2,)),
        (BUFFER_SIZE, 0x100822, "<I", (1, 50_000), (0, 50_001)),
        (INTEGRATION, 0x110000, "<I", (10, 10_000_000), (9, 10_000_001)),
        (MODE, 0x110100, "<B", (1, 2, 0xFF, 0), (3, 4)),
        (BACK_TO_BACK, 0x110102, "<I", (1, 50_000), (0, 50_001)),
        (DELAY, 0x110500, "<I", (0, 1000), (10**6,)),
        (AVERAGES, 0x120000, "<H", (1, 50), (0,)),
        (0x110410, 0x110400, "<B", (1, 0), (2,)),
        (0x300010, 0x300000, "<I", (5,), ()),
        (0x310010, 0x310000, "<I", (1000,), (0,)),
    ],
)
def test_settings_are_read_back_and_limits_refused(set_: int, get: int, form: str, good: tuple[int, ...], bad: tuple[int, ...]):
    bench = Bench()
    default = bench.get(get)
    for value in good:
        bench.set(set_, struct.pack(form, value))
        assert struct.unpack(form, bench.get(get)) == (value,)
    for value in bad:
        assert bench.refused(set_, struct.pack(form, value)) == 6
        assert struct.unpack(form, bench.get(get)) == (good[-1],)
    assert bench.refused(set_, bytes(9)) == 5
    bench.set(0x000001)
    assert bench.get(get) == default


@pytest.mark.parametrize("kind", [*KNOWINGLY_ABSENT, 0x123456])
@pytest.mark.parametrize("flags", [GET, ASK_ACK])
def test_unknown_types_are_refused(kind: int, flags: int):
    answer = Bench().ask(kind, flags=flags)
    assert (answer.flags, answer.error) == (0x09, 2)


def test_commands_without_acknowledgement_act_silently():
    bench = Bench()
    bench.send(INTEGRATION, U32(500))
    bench.send(INTEGRATION, U32(1))
    assert bench.answer() is None
    assert bench.get(0x110000) == U32(500)


def test_a_question_that_asks_for_acknowledgement_gets_one_answer_with_both():
    bench = Bench()
    answer = bench.ask(0x100, flags=ASK_ACK)
    assert (answer.flags, answer.data) == (0x03, b"FX-0231")
    assert bench.answer() is None


def test_echo_and_protocol_version_zero():
    bench = Bench()
    bench.send(0x0FF101, U32(31415), version=0)
    answer = bench.answer()
    assert answer is not None
    assert answer.data == U32(31415)


def test_a_reply_takes_its_time_and_comes_in_pieces():
    bench = Bench()
    bench.send(0x100)
    ready_ns = bench.fx.reply_ready_ns(bench.t)
    assert ready_ns == 200 * US + 64 * 10
    assert bench.fx.take(64, ready_ns - 1) == (b"", False)
    first, ended = bench.fx.take(44, ready_ns)
    assert not ended
    rest, ended = bench.fx.take(64, ready_ns)
    assert ended
    assert Answer(first + rest).data == b"FX-0231"
    assert bench.fx.reply_ready_ns(ready_ns) is None


def test_replies_share_the_line():
    bench = Bench()
    bench.send(0x100)
    bench.send(0x101)
    assert bench.fx.take(64, 200 * US + 640)[1]
    assert bench.fx.reply_ready_ns(200 * US + 640) == 200 * US + 2 * 640


def test_bytes_of_pyseabreeze():
    bench = Bench()
    for _ in range(2):
        assert bench.get(0x101) == b"\x07"
        assert bench.get(0x100) == b"FX-0231"
    bench.set(MODE, U8(0))
    bench.set(INTEGRATION, U32(20_000))
    assert [bench.get(0x180101, U8(i)) for i in range(bench.get(0x180100)[0])]
    before = bench.t
    for _ in range(3):
        assert len(bench.get(NOW)) == 4272
    assert [close - opened for opened, close in bench.optics.asked] == [20 * MS] * 3
    assert bench.t - before >= 60 * MS


def test_reset_starts_the_counters_afresh():
    bench = Bench()
    bench.arm()
    bench.edges(11 * MS)
    bench.run(20 * MS)
    bench.set(0x000000)
    assert bench.get(0x110100) == U8(0)
    assert bench.get(WAITING) == U32(0)
    bench.set(BUFFERING, U8(1))
    reset_ns = 20 * MS
    bench.set(SIMULATE)
    bench.run(bench.t + 20 * MS)
    got = bench.records()
    assert got.count == [1]
    assert got.time_us == [(got.open_ns[0] - reset_ns) // US]


def test_damaged_frames_are_refused_and_the_next_is_answered():
    bench = Bench()
    head = struct.pack("<2sHHHII6xBB16sI", b"\xc1\xc0", 0x1100, 0, 0, 0x100, 0, 1, 0, b"", 20)
    bench.fx.receive(head + bytes(16) + b"\xc5\xc4\xc3\xc2", bench.t)
    bench.fx.receive(b"noise" + head[:40] + b"\xff\xff\xff\xff", bench.t)
    assert [(a.flags, a.error) for a in (bench.answer(), bench.answer()) if a] == [(0x09, 3), (0x09, 4)]
    assert bench.get(0x100) == b"FX-0231"


def test_device_clear_drops_half_a_request_and_unread_replies():
    bench = Bench()
    bench.send(0x100)
    bench.fx.receive(b"\xc1\xc0\x00\x11", bench.t)
    bench.fx.device_clear(bench.t)
    assert bench.answer() is None
    assert bench.get(0x101) == b"\x07"


known = st.sampled_from(
    (0, 1, START, ABORT, IDLE, SIMULATE, RECORDS, NOW, CLEAR, REMOVE, WAITING, BUFFERING, BUFFER_SIZE, MODE, AVERAGES)
) | st.sampled_from((INTEGRATION, BACK_TO_BACK, DELAY, 0x180101, 0x400001, 0x310010, 0x310011, 0x0FF101, 0x100, 0xFFFFFFFF))
values = st.sampled_from([b"", b"\0", b"\1", b"\2", b"\xff", b"\1\0", b"\3\0", U32(1), U32(15), U32(400), U32(2**32 - 1)])


@given(
    st.lists(st.tuples(known | st.integers(0, 2**32 - 1), values, st.integers(0, 0xFFFF), st.integers(0, 3000), st.binary()))
)
@settings(max_examples=150, deadline=None)
def test_nothing_a_host_sends_raises(script: list[tuple[int, bytes, int, int, bytes]]):
    bench = Bench(stale=True)
    bench.set(BUFFERING, U8(1))
    for kind, data, flags, wait_us, noise in script:
        bench.edges(bench.t + wait_us * US // 2)
        bench.run(bench.t + wait_us * US)
        bench.send(kind, data, flags)
        bench.fx.receive(noise, bench.t)
        bench.fx.reply_ready_ns(bench.t)
        bench.fx.take(5000, bench.t)
    opened = [opened for opened, _ in bench.optics.asked]
    assert opened == sorted(opened)
