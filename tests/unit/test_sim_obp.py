import hashlib
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim_instruments.obp import Checksum, ErrorNumber, Flag, Request, RequestStream, reply


def frame(
    message_type: int,
    data: bytes = b"",
    *,
    flags: int = 0,
    version: int = 0x1100,
    regarding: int = 0,
    checksum: int = 0,
    remaining: int | None = None,
) -> bytes:
    immediate, payload = (data, b"") if len(data) <= 16 else (b"", data)
    covered = bytes.fromhex("c1c0") + struct.pack(
        "<HHHII6xBB16sI",
        version,
        flags,
        0,
        message_type,
        regarding,
        checksum,
        len(immediate),
        immediate,
        len(payload) + 20 if remaining is None else remaining,
    )
    covered += payload
    return covered + (hashlib.md5(covered).digest() if checksum == 1 else bytes(16)) + bytes.fromhex("c5c4c3c2")  # noqa: S324


def answer(request: Request, *, is_command: bool, data: bytes = b"", error: ErrorNumber = ErrorNumber.NONE) -> bytes:
    built = reply(request, is_command=is_command, data=data, error=error)
    assert built is not None
    return built


def read(stream: RequestStream, data: bytes) -> list[Request]:
    return list(stream.feed(data))


quiet = st.binary(max_size=60).map(lambda noise: noise.replace(b"\xc1", b"\x00"))
message_data = st.binary(max_size=40)


@given(st.lists(st.tuples(quiet, st.integers(0, 2**32 - 1), message_data, st.sampled_from((0, 1))), max_size=4), st.data())
def test_requests_survive_any_segmentation_and_noise_between_them(
    sent: list[tuple[bytes, int, bytes, int]], data: st.DataObject
):
    wire = b"".join(noise + frame(kind, body, checksum=checksum) for noise, kind, body, checksum in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    stream = RequestStream()
    got = [request for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) for request in read(stream, wire[a:b])]
    assert [(r.message_type, r.data, r.checksum, r.error) for r in got] == [
        (kind, body, checksum, 0) for _, kind, body, checksum in sent
    ]


@pytest.mark.parametrize(
    "noise", [b"\xc1", b"\xc1\xc1", b"\xc0\xc1", b"\xc1\xc0", b"\xc1\xc0\x00\x00", b"\xc1\xc0\x00\x11" + b"\xff" * 30]
)
def test_start_bytes_in_noise_do_not_hide_the_next_request(noise: bytes):
    got = read(RequestStream(), noise + frame(0x100, regarding=7))
    assert got[-1] == Request(0x100, Flag(0), 7)


def test_noise_that_looks_like_a_start_is_not_answered():
    noise = b"\xc1\xc0" + b"\xee" * 60
    assert [r.message_type for r in read(RequestStream(), noise + frame(0x100))] == [0x100]


def test_a_truncated_request_is_reported_and_those_behind_it_are_found():
    got = read(RequestStream(), frame(0x110010, b"1234")[:50] + frame(0x100) + frame(0x101))
    assert [(r.message_type, r.error) for r in got] == [
        (0x110010, ErrorNumber.NO_PROPER_END),
        (0x100, ErrorNumber.NONE),
        (0x101, ErrorNumber.NONE),
    ]


def damaged(good: bytes, at: int, to: int) -> bytes:
    return good[:at] + bytes([to]) + good[at + 1 :]


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (damaged(frame(5, b"abc", checksum=1), 25, 0), ErrorNumber.CHECKSUM),
        (damaged(frame(5, b"a" * 20, checksum=1), 70, 0), ErrorNumber.CHECKSUM),
        (frame(5, remaining=10**6), ErrorNumber.TOO_LARGE),
        (frame(5, remaining=0xFFFFFFFF), ErrorNumber.TOO_LARGE),
        (frame(5, remaining=19), ErrorNumber.PAYLOAD_LENGTH),
        (frame(5, version=0x2000), ErrorNumber.PROTOCOL),
        (frame(5, checksum=7), ErrorNumber.UNKNOWN_CHECKSUM),
        (damaged(frame(5), 63, 0), ErrorNumber.NO_PROPER_END),
        (damaged(frame(5, b"abc"), 23, 17), ErrorNumber.PAYLOAD_LENGTH),
        (damaged(frame(5, b"a" * 20), 23, 2), ErrorNumber.PAYLOAD_LENGTH),
    ],
)
def test_what_is_wrong_with_a_frame_is_named_and_the_next_is_read(wire: bytes, error: ErrorNumber):
    got = read(RequestStream(), wire + frame(6))
    assert [(r.message_type, r.error) for r in got] == [(5, error), (6, ErrorNumber.NONE)]


@pytest.mark.parametrize("version", [0x1100, 0x0000])
def test_both_protocol_versions_are_understood(version: int):
    assert read(RequestStream(), frame(5, version=version))[0].error is ErrorNumber.NONE


def test_clear_forgets_half_a_request():
    stream = RequestStream()
    assert read(stream, frame(5)[:60]) == []
    stream.clear()
    assert [r.message_type for r in read(stream, frame(6))] == [6]


@given(st.lists(st.binary(max_size=200)))
@example([b"\xc1\xc0" * 100])
@settings(max_examples=200)
def test_no_bytes_raise(chunks: list[bytes]):
    stream = RequestStream()
    for chunk in chunks:
        read(stream, chunk)


@pytest.mark.parametrize(
    ("asked", "is_command", "error", "flags"),
    [
        (0, False, 0, 0x01),
        (4, False, 0, 0x03),
        (0, False, 2, 0x09),
        (4, False, 2, 0x09),
        (4, True, 0, 0x02),
        (4, True, 6, 0x08),
    ],
)
def test_flags_of_answers(asked: int, is_command: bool, error: int, flags: int):
    got = answer(Request(0x100, Flag(asked), 0x01020304), is_command=is_command, error=ErrorNumber(error))
    assert got == frame(0x100, flags=flags, regarding=0x01020304)[:6] + bytes([error]) + frame(0x100, regarding=0x01020304)[7:]


@pytest.mark.parametrize("error", [ErrorNumber.NONE, ErrorNumber.PAYLOAD_DATA])
def test_a_command_without_acknowledgement_gets_no_answer(error: ErrorNumber):
    assert reply(Request(0x110010, Flag(0), 0), is_command=True, error=error) is None


@pytest.mark.parametrize("size", [0, 1, 16, 17, 4272])
@pytest.mark.parametrize("checksum", list(Checksum))
def test_answers_carry_data_as_immediate_or_payload_and_the_asked_checksum(size: int, checksum: Checksum):
    data = bytes(range(1, 240)) * 18
    got = answer(Request(0x101000, Flag(0), 0, checksum), is_command=False, data=data[:size])
    assert got == frame(0x101000, data[:size], flags=1, checksum=checksum)
