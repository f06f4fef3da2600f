"""The bytes between the driver and a USB4000, both ways."""

import struct

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.ocean_usb4000 import OceanUsb4000
from drivers.roles import ExposureProgram

SERIAL = b"USB4C00123"
WAVELENGTH = ("3.4512300E+02", "2.1034500E-01", "-4.0120000E-06", "-2.0050000E-10")
NONLINEARITY = ("9.8000000E-01", "1.2000000E-06", "0", "0", "0", "0", "0", "0")
OFF = (b"\x0a\x00\x00" * 7, None)
REQUEST = (b"\x09", None)


def slot(number, content):
    return (bytes([5, number]), bytes([5, number]) + content.ljust(15, b"\0"))


def status(integration_us=10, mode=0, lamp=0, pixels=3840):
    return (b"\xfe", struct.pack("<HIBBBBBB2xBx", pixels, integration_us, lamp, mode, 0, 15, 1, 0, 0x80))


class Script:
    """Pairs in the order of writing; every status is proved by a slot, the slots taking turns from 2."""

    def __init__(self):
        self.pairs = []
        self.proof = 1

    def add(self, *pairs):
        self.pairs += pairs
        return self

    def status(self, **values):
        self.proof += 1
        return self.add(status(**values), slot(self.proof, b"any"))


def spectrum(first=1500, sync=0x69):
    pixels = np.full(3840, 1500, "<u2")
    pixels[21] = first
    pixels[3668] = 4321
    return pixels.tobytes() + bytes([sync])


def prepared(saturation=60_000):
    script = Script().add(OFF).status(integration_us=100_000)
    script.add((b"\x02\x0a\x00\x00\x00", None), (b"\x0a\x00\x00", None), (b"\x09", spectrum()))
    script.add((b"\x03\x00\x00", None)).status()
    script.add(*[slot(1 + i, text.encode()) for i, text in enumerate(WAVELENGTH)])
    script.add(slot(14, b"7"), *[slot(6 + i, text.encode()) for i, text in enumerate(NONLINEARITY)])
    return script.add(slot(17, struct.pack("<4xH", saturation)))


def loaded(integration_us=500, mode=3):
    script = prepared().add((struct.pack("<BI", 2, integration_us), None)).status(integration_us=integration_us)
    return script.add((struct.pack("<BH", 0x0A, mode), None)).status(integration_us=integration_us, mode=mode)


# --- properties -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "command", "found"),
    [
        ("integration_time_us", 500, b"\x02\xf4\x01\x00\x00", {"integration_us": 500}),
        ("integration_time_us", 65_535_000, b"\x02\x18\xfc\xe7\x03", {"integration_us": 65_535_000}),
        ("trigger_mode", 3, b"\x0a\x03\x00", {"mode": 3}),
        ("lamp_enabled", True, b"\x03\x01\x00", {"lamp": 1}),
    ],
)
def test_settings(name, value, command, found):
    with expected_protocol(OceanUsb4000, Script().add((command, None)).status(**found).pairs) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("integration_time_us", 9),
        ("integration_time_us", 505),
        ("integration_time_us", 655_010),
        ("integration_time_us", 65_536_000),
        ("integration_time_us", float("nan")),
        ("trigger_mode", 4),
        ("lamp_enabled", 2),
    ],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(OceanUsb4000, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


@pytest.mark.parametrize(
    ("name", "pair", "value"),
    [
        ("serial_number", slot(0, SERIAL), "USB4C00123"),
        ("optical_bench", slot(15, b"1 0 25"), "1 0 25"),
        ("firmware_revision", (b"\x6b\x04", b"\x04\x10\x24"), 0x2410),
        ("saturation_counts", slot(17, struct.pack("<4xH", 54_321)), 54_321),
        ("saturation_counts", slot(17, b""), 65_535),
    ],
)
def test_what_it_says_of_itself(name, pair, value):
    with expected_protocol(OceanUsb4000, [pair]) as inst:
        assert getattr(inst, name) == value


@pytest.mark.parametrize(("raw", "celsius"), [(8192, 32.0), (-512, -2.0)])
def test_the_board_s_temperature(raw, celsius):
    with expected_protocol(OceanUsb4000, [(b"\x6c", struct.pack("<Bh", 8, raw))]) as inst:
        assert inst.board_temperature_c == pytest.approx(celsius, abs=0.01)


def test_identity():
    with expected_protocol(OceanUsb4000, [slot(0, SERIAL), (b"\x6b\x04", b"\x04\x10\x24")]) as inst:
        identity = inst.identify()
    assert str(identity) == "Ocean Optics USB4000, serial USB4C00123, firmware 0x2410"


def test_another_model_is_refused():
    with expected_protocol(OceanUsb4000, [slot(0, b"HR4C1234")]) as inst, pytest.raises(WrongIdentity, match="HR4C1234"):
        inst.identify()


# --- the role ---------------------------------------------------------------------------------------------------------


def test_prepare_tells_what_the_instrument_says_of_itself():
    with expected_protocol(OceanUsb4000, prepared().pairs) as inst:
        info = inst.prepare()
    pixel = np.arange(21, 3669)
    exact = sum(float(c) * pixel**i for i, c in enumerate(WAVELENGTH))
    np.testing.assert_allclose(info.wavelength_nm, exact, rtol=0, atol=1e-9)
    assert info.nonlinearity == tuple(float(c) for c in NONLINEARITY)
    assert (info.saturation_counts, info.integration_min_ns, info.integration_max_ns) == (60_000, 10_000, 65_535_000_000)


@pytest.mark.parametrize("text", [b"", b"nan", b"\xff\xff\xff", b"1,5"])
def test_a_calibration_that_cannot_be_read_is_told(text):
    with expected_protocol(OceanUsb4000, [slot(1, text)]) as inst, pytest.raises(InstrumentError, match="memory slot 1"):
        _ = inst.wavelength_coefficients


@pytest.mark.parametrize("order", [b"8", b"-1"])
def test_an_impossible_order_of_the_nonlinearity_is_told(order):
    with expected_protocol(OceanUsb4000, [slot(14, order)]) as inst, pytest.raises(InstrumentError, match="memory slot 14"):
        _ = inst.nonlinearity_coefficients


def test_waiting_for_edges_one_request_is_always_open():
    script = loaded().add((b"\x09", spectrum(7)), (b"\x09", spectrum(8)), REQUEST)
    with expected_protocol(OceanUsb4000, script.pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "external_edge"))
        inst.arm()
        batches = [inst.collect(), inst.collect()]
    assert [batch.spectra.shape for batch in batches] == [(1, 3648)] * 2
    assert [(int(batch.spectra[0, 0]), int(batch.spectra[0, -1])) for batch in batches] == [(7, 4321), (8, 4321)]
    assert [batch.count.tolist() for batch in batches] == [[1], [2]]
    assert batches[0].device_time_us[0] <= batches[1].device_time_us[0]
    assert [batches[0].spectra.dtype, batches[0].device_time_us.dtype, batches[0].count.dtype] == ["u2", "u8", "u4"]


def test_a_software_trigger_is_a_request():
    script = loaded(mode=0).add((b"\x09", spectrum(7)), (b"\x09", spectrum(8)))
    with expected_protocol(OceanUsb4000, script.pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "software"))
        inst.arm()
        assert len(inst.collect()) == 0  # nothing was asked for
        for first in (7, 8):
            inst.trigger()
            assert inst.collect().spectra[0, 0] == first


def test_a_second_software_trigger_before_the_first_was_collected_is_refused():
    with expected_protocol(OceanUsb4000, loaded(mode=0).add(REQUEST).pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "software"))
        inst.trigger()
        with pytest.raises(InstrumentError, match="not collected"):
            inst.trigger()


def test_a_setting_that_is_not_in_force_is_told():
    script = prepared().add((b"\x02\xf4\x01\x00\x00", None)).status(integration_us=100_000)
    with expected_protocol(OceanUsb4000, script.pairs) as inst:
        inst.prepare()
        with pytest.raises(ReadbackMismatch, match="integration_time_us"):
            inst.load(ExposureProgram(500_000, "software"))


@pytest.mark.parametrize("integration_ns", [9_000, 500_500, 505_000, 655_010_000, 65_536_000_000, 0, -10_000])
def test_impossible_exposures_are_refused(integration_ns):
    with expected_protocol(OceanUsb4000, prepared().pairs) as inst:
        inst.prepare()
        with pytest.raises(RefusedError):
            inst.load(ExposureProgram(integration_ns, "software"))


def test_nothing_is_loaded_or_armed_before_its_turn():
    with expected_protocol(OceanUsb4000, []) as inst:
        with pytest.raises(InstrumentError, match="not prepared"):
            inst.load(ExposureProgram(500_000, "software"))
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm()
        assert len(inst.collect()) == 0


@pytest.mark.fault("W13")
def test_a_spectrum_with_the_wrong_end_is_a_desync():
    with expected_protocol(OceanUsb4000, loaded(mode=0).add((b"\x09", spectrum(sync=0x68))).pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "software"))
        inst.trigger()
        with pytest.raises(LinkDesync, match="0x68"):
            inst.collect()


def test_an_answer_to_another_question_is_a_desync():
    with pytest.raises(LinkDesync):
        # PyMeasure's adapter keeps what the driver rightly leaves unread
        with expected_protocol(OceanUsb4000, [(b"\x05\x00", slot(1, b"3.45")[1])]) as inst:
            _ = inst.serial_number


def test_a_status_that_was_late_is_found_out_by_the_slot_after_it():
    late = status(mode=0)[1]
    with pytest.raises(LinkDesync):
        with expected_protocol(OceanUsb4000, [(b"\xfe", late), (b"\x05\x02", status(mode=3)[1])]) as inst:
            inst.read_safe()


def test_a_spectrum_in_front_of_an_answer_is_put_aside_and_not_lost():
    script = loaded().add(REQUEST)
    script.pairs.append((b"\x6c", spectrum(9) + b"\x08\x00\x20"))
    script.add(REQUEST)
    with expected_protocol(OceanUsb4000, script.pairs) as inst:
        inst.prepare()
        inst.load(ExposureProgram(500_000, "external_edge"))
        inst.arm()
        assert inst.board_temperature_c == pytest.approx(32.0, abs=0.01)
        assert inst.collect().spectra[0, 0] == 9


def test_safe_is_write_only():
    with expected_protocol(OceanUsb4000, [OFF]) as inst:
        inst.make_safe()
        assert len(inst.collect()) == 0


@pytest.mark.parametrize(("mode", "safe"), [(0, True), (1, False), (3, False)])
def test_safe_is_the_mode_that_waits_for_no_trigger(mode, safe):
    with expected_protocol(OceanUsb4000, Script().status(mode=mode).pairs) as inst:
        assert inst.read_safe().safe is safe
