"""The bytes between the driver and an Ocean FX, both ways."""

import hashlib
import struct

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers import obp
from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.ocean_fx import OceanFx
from drivers.roles import ExposureProgram

PIXELS = 2136
WAVELENGTH = (338.2, 0.2252, -5.6e-6, -1.9e-10)
NONLINEARITY = (1.0, 1e-7)


def frame(message_type, data=b"", flags=0, regarding=0, error=0, md5=False):
    """A frame built by hand from the published table, apart from the driver's own builder."""
    immediate = data if len(data) <= 16 else b""
    payload = data if len(data) > 16 else b""
    header = b"\xc1\xc0" + struct.pack("<HHHII", 0x1100, flags, error, message_type, regarding) + bytes(6)
    header += struct.pack("<BB16sI", md5, len(immediate), immediate, len(payload) + 20)
    checksum = hashlib.md5(header + payload, usedforsecurity=False).digest() if md5 else bytes(16)
    return header + payload + checksum + b"\xc5\xc4\xc3\xc2"


OFF = (frame(0x100000) + frame(0x110110, b"\xff"), None)


class Script:
    """Numbers the messages as the driver does: from 1, one by one."""

    def __init__(self):
        self.pairs = []
        self.number = 0

    def get(self, message_type, answer, data=b"", **changes):
        self.number += 1
        regarding = changes.pop("regarding", self.number)
        answered = changes.pop("answered_type", message_type)
        self.pairs.append(
            (frame(message_type, data, 0, self.number), frame(answered, answer, changes.pop("flags", 1), regarding, **changes))
        )
        return self

    def put(self, message_type, data=b"", **changes):
        self.number += 1
        answer = frame(message_type, b"", changes.pop("flags", 2), self.number, **changes)
        self.pairs.append((frame(message_type, data, 4, self.number), answer))
        return self

    def off(self):
        self.pairs.append(OFF)
        return self


def control(script, put, get, data):
    return script.put(put, data).get(get, data)


def coefficients(script, count_type, values):
    script.get(count_type, bytes([len(values)]))
    for index, value in enumerate(values):
        script.get(count_type + 1, struct.pack("<f", value), bytes([index]))
    return script


def prepared():
    script = Script().off().get(0x110220, struct.pack("<I", PIXELS)).put(0x100000)
    control(script, 0x100810, 0x100800, b"\x01")
    control(script, 0x100832, 0x100822, struct.pack("<I", 50_000))
    control(script, 0x110112, 0x110102, struct.pack("<I", 1))
    control(script, 0x120010, 0x120000, struct.pack("<H", 1))
    control(script, 0x110510, 0x110500, struct.pack("<I", 0))
    script.put(0x100830)
    coefficients(script, 0x180100, WAVELENGTH)
    coefficients(script, 0x181100, NONLINEARITY)
    return script.get(0x110001, struct.pack("<I", 10)).get(0x110002, struct.pack("<I", 10_000_000))


def records(*frames, **changes):
    """Buffered spectra by hand: (count, microseconds, first pixel)."""
    parts = []
    for count, time_us, pixel in frames:
        metadata = struct.pack(
            "<HHIQIIIIQH",
            1,
            changes.get("metadata_bytes", 64),
            changes.get("pixel_bytes", 4272),
            time_us,
            500,
            changes.get("pixel_format", 1),
            count,
            count - 1,
            time_us - 1000,
            1,
        )
        spectrum = np.full(PIXELS, 1480, "<u2")
        spectrum[0] = pixel
        parts.append(metadata.ljust(64, b"\0") + spectrum.tobytes() + b"\0\0\0\0")
    return b"".join(parts)


def collecting(answer, **changes):
    return Script().get(0x100980, answer, struct.pack("<I", 15), **changes)


def test_the_drivers_own_frames_are_those_of_the_table():
    assert obp.frame(0x110110, b"\x01", flags=4, regarding=7) == frame(0x110110, b"\x01", 4, 7)
    assert obp.frame(0x0FF101, bytes(range(40)), regarding=9) == frame(0x0FF101, bytes(range(40)), 0, 9)
    assert len(obp.frame(0x100000)) == 64


@pytest.mark.parametrize(
    ("name", "value", "put", "get", "data"),
    [
        ("integration_time_us", 500, 0x110010, 0x110000, struct.pack("<I", 500)),
        ("trigger_mode", 1, 0x110110, 0x110100, b"\x01"),
        ("trigger_mode", 255, 0x110110, 0x110100, b"\xff"),
        ("back_to_back", 1, 0x110112, 0x110102, struct.pack("<I", 1)),
        ("acquisition_delay_us", 100, 0x110510, 0x110500, struct.pack("<I", 100)),
        ("scans_to_average", 3, 0x120010, 0x120000, struct.pack("<H", 3)),
        ("buffering_enabled", True, 0x100810, 0x100800, b"\x01"),
        ("buffer_capacity", 50_000, 0x100832, 0x100822, struct.pack("<I", 50_000)),
    ],
)
def test_settings(name, value, put, get, data):
    with expected_protocol(OceanFx, control(Script(), put, get, data).pairs) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("integration_time_us", 9),
        ("integration_time_us", float("nan")),
        ("trigger_mode", 3),
        ("buffer_capacity", 50_001),
        ("back_to_back", 0),
    ],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(OceanFx, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


def test_identity():
    script = Script().get(0x110220, struct.pack("<I", PIXELS)).get(0x000E11, b"OceanFX\0").get(0x000100, b"FX-0231")
    with expected_protocol(OceanFx, script.get(0x000090, b"\x04\x01").pairs) as inst:
        identity = inst.identify()
    assert (identity.maker, identity.model, identity.serial, identity.firmware) == (
        "Ocean Insight",
        "Ocean FX (OceanFX)",
        "FX-0231",
        "0x0104",
    )


def test_another_spectrometer_is_refused():
    with expected_protocol(OceanFx, Script().get(0x110220, struct.pack("<I", 2068)).pairs) as inst:
        with pytest.raises(WrongIdentity, match="2068 pixels"):
            inst.identify()


def test_prepare_tells_what_the_instrument_says_of_itself():
    with expected_protocol(OceanFx, prepared().pairs) as inst:
        info = inst.prepare()
    pixel = np.arange(PIXELS)
    exact = sum(float(np.float32(c)) * pixel**i for i, c in enumerate(WAVELENGTH))
    np.testing.assert_allclose(info.wavelength_nm, exact, rtol=0, atol=1e-9)
    assert info.nonlinearity == tuple(float(np.float32(c)) for c in NONLINEARITY)
    assert (info.saturation_counts, info.integration_min_ns, info.integration_max_ns) == (65535, 10_000, 10_000_000_000)


def test_load_arm_trigger():
    script = prepared().put(0x100000)
    control(script, 0x110010, 0x110000, struct.pack("<I", 500))
    control(script, 0x110110, 0x110100, b"\x01")
    script.put(0x100830).put(0x110120)
    with expected_protocol(OceanFx, script.pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "external_edge"))
        inst.arm()
        inst.trigger()


def test_a_setting_that_is_not_in_force_is_told():
    script = prepared().put(0x100000).put(0x110010, struct.pack("<I", 500)).get(0x110000, struct.pack("<I", 10_000))
    with expected_protocol(OceanFx, script.pairs) as inst:
        inst.prepare()
        with pytest.raises(ReadbackMismatch, match="integration_time_us"):
            inst.load(ExposureProgram(500_000, "software"))


@pytest.mark.parametrize("integration_ns", [9_000, 500_500, 10_000_001_000, 0, -1000])
def test_impossible_exposures_are_refused(integration_ns):
    with expected_protocol(OceanFx, prepared().pairs) as inst:
        inst.prepare()
        with pytest.raises(RefusedError):
            inst.load(ExposureProgram(integration_ns, "software"))


def test_nothing_is_loaded_into_an_unprepared_instrument():
    with expected_protocol(OceanFx, []) as inst, pytest.raises(InstrumentError, match="not prepared"):
        inst.load(ExposureProgram(500_000, "software"))


@pytest.mark.parametrize("n", [0, 1, 3, 15])
def test_collect(n):
    answer = records(*[(100 + i, 1_000_000 + 1000 * i, 2000 + i) for i in range(n)])
    with expected_protocol(OceanFx, collecting(answer).pairs) as inst:
        batch = inst.collect()
    assert len(batch) == n
    assert batch.spectra.shape == (n, PIXELS)
    assert batch.spectra.dtype == np.uint16
    assert batch.device_time_us.dtype == np.uint64
    assert batch.count.dtype == np.uint32
    assert batch.count.tolist() == [100 + i for i in range(n)]
    assert batch.device_time_us.tolist() == [1_000_000 + 1000 * i for i in range(n)]
    assert batch.spectra[:, 0].tolist() == [2000 + i for i in range(n)]
    assert (batch.spectra[:, 1:] == 1480).all()


def test_spectra_are_not_copied():
    with expected_protocol(OceanFx, collecting(records((1, 1000, 5))).pairs) as inst:
        spectra = inst.collect().spectra
    assert not spectra.flags.owndata
    assert not spectra.flags.writeable


def test_an_answer_with_checksum_is_checked():
    good = collecting(records((1, 1000, 5)), md5=True).pairs
    with expected_protocol(OceanFx, good) as inst:
        assert len(inst.collect()) == 1
    asked, answer = good[0]
    flipped = answer[:200] + bytes([answer[200] ^ 1]) + answer[201:]
    with expected_protocol(OceanFx, [(asked, flipped)]) as inst, pytest.raises(LinkDesync, match="checksum"):
        inst.collect()


@pytest.mark.fault("W13")
@pytest.mark.parametrize(
    "answer",
    [
        records((1, 1000, 5))[:-1],
        records(*[(i, 1000 * i, 5) for i in range(1, 17)]),
        records((1, 1000, 5), metadata_bytes=32),
        records((1, 1000, 5), pixel_bytes=4096),
        records((1, 1000, 5), pixel_format=2),
        b"\0" * 12,
    ],
    ids=["torn", "more than asked", "metadata", "pixel bytes", "pixel format", "short"],
)
def test_records_that_make_no_sense_are_refused(answer):
    with expected_protocol(OceanFx, collecting(answer).pairs) as inst, pytest.raises(InstrumentError, match="no sense"):
        inst.collect()


@pytest.mark.parametrize(
    "changes", [{"regarding": 77}, {"answered_type": 0x100900}, {"regarding": 0}], ids=["late", "other question", "unnumbered"]
)
def test_an_answer_to_another_message_is_a_desync(changes):
    with expected_protocol(OceanFx, collecting(records((1, 1000, 5)), **changes).pairs) as inst, pytest.raises(LinkDesync):
        inst.collect()


@pytest.mark.parametrize("damage", ["start", "footer", "length"])
def test_bytes_that_are_no_frame_are_a_desync(damage):
    asked, answer = Script().get(0x100900, struct.pack("<I", 3)).pairs[0]
    torn = {
        "start": b"\xc1\xc1" + answer[2:],
        "footer": answer[:-1] + b"\0",
        "length": answer[:40] + struct.pack("<I", 19) + answer[44:],
    }[damage]
    with pytest.raises(LinkDesync):
        # PyMeasure's adapter keeps what the driver rightly leaves unread
        with expected_protocol(OceanFx, [(asked, torn)]) as inst:
            _ = inst.spectra_waiting


@pytest.mark.parametrize(
    ("flags", "error", "text"),
    [
        (0x08, 6, "6 payload data wrong"),
        (0x09, 2, "2 message type unknown"),
        (0x10, 13, "13 internal error"),
        (0x08, 250, "250"),
    ],
)
def test_a_refusal_is_told_and_remembered_once(flags, error, text):
    with expected_protocol(OceanFx, Script().put(0x100830, flags=flags, error=error).pairs) as inst:
        with pytest.raises(InstrumentError, match=text):
            inst.arm()
        assert [text in told for told in inst.errors()] == [True]
        assert inst.errors() == []


@pytest.mark.fault("W13")
def test_a_value_of_the_wrong_length_is_told():
    with expected_protocol(OceanFx, Script().get(0x110000, b"\x01\x02").pairs) as inst:
        with pytest.raises(InstrumentError, match="2 bytes instead of 4"):
            _ = inst.integration_time_us


def test_safe_is_write_only_and_asks_for_no_acknowledgement():
    with expected_protocol(OceanFx, [OFF]) as inst:
        inst.make_safe()
    flags = [struct.unpack_from("<H", inst.off_message, offset + 4)[0] for offset in (0, 64)]
    assert flags == [0, 0]


@pytest.mark.parametrize(("mode", "safe"), [(0xFF, True), (0, False), (1, False)])
def test_safe_is_a_trigger_mode_that_takes_nothing(mode, safe):
    with expected_protocol(OceanFx, Script().get(0x110100, bytes([mode])).pairs) as inst:
        assert inst.read_safe().safe is safe
