"""The simulated USB4000 against the tables of its protocol, row by row, and against the dialogue of its clients.

Source of every row: pyseabreeze 2.11.0 and three public programs for this model. A row is executed here or stands in
KNOWINGLY_ABSENT.
"""

import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from sim_instruments.ocean_usb4000 import PERSONA, OceanUsb4000Persona
from sim_instruments.ocean_usb4000_commands import KNOWINGLY_ABSENT
from sim_instruments.persona import Edges, TimesNs

US, MS = 1_000, 1_000_000


class Optics:
    wavelength_coefficients = (340.125, 0.2105, -4.25e-6, -2.5e-10)
    nonlinearity_coefficients = (0.98, 1e-6, -2e-12, 3e-17, -4e-22, 5e-27, -6e-32, 7e-37)

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        return np.full((len(open_ns), 3840), 700, np.uint16) + np.arange(3840, dtype=np.uint16)


class Host:
    """A client that reads what it expects to come, and no more."""

    def __init__(self) -> None:
        self.usb4000 = OceanUsb4000Persona(Optics())
        self.t_ns = 0

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.usb4000.run_until(self.t_ns)

    def send(self, form: str, *values: int) -> None:
        self.usb4000.receive(struct.pack(form, *values), self.t_ns)

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            ready_ns = self.usb4000.reply_ready_ns(self.t_ns)
            assert ready_ns is not None, f"{len(data)} of {count} bytes"
            self.run(max(0, ready_ns - self.t_ns))
            data += self.usb4000.take(count - len(data), self.t_ns)[0]
        return data

    def silent(self) -> bool:
        self.run(1000 * MS)
        return self.usb4000.reply_ready_ns(self.t_ns) is None

    def slot(self, number: int) -> bytes:
        self.send("<BB", 0x05, number)
        answer = self.read(17)
        assert answer[:2] == bytes([0x05, number])
        return answer[2:]

    def text(self, number: int) -> str:
        return self.slot(number).split(b"\0")[0].decode("ascii")

    def status(self) -> tuple[int, ...]:
        """Pixels, integration time (us), lamp, mode, acquiring, packets, power, packets waiting, .., .., speed, .."""
        self.send("<B", 0xFE)
        return struct.unpack("<HLBBBBBBBBBB", self.read(16))


# --- memory slots -----------------------------------------------------------------------------------------------------


def test_the_slots() -> None:
    host = Host()
    assert host.text(0) == "USB4C00123"
    assert [float(host.text(i)) for i in range(1, 5)] == pytest.approx(Optics.wavelength_coefficients, rel=1e-7)
    assert float(host.text(5)) == 0.0
    assert [float(host.text(i)) for i in range(6, 14)] == pytest.approx(Optics.nonlinearity_coefficients, rel=1e-7)
    assert int(host.text(14)) == 7
    assert len(host.text(15).split()) == 3  # grating, filter, slit
    assert host.text(16)
    assert int(host.text(18)) == 9600


def test_the_saturation_stands_in_slot_17_where_clients_look_for_it() -> None:
    assert struct.unpack_from("<H", b"\x05\x11" + Host().slot(17), 6) == (65_535,)


@pytest.mark.parametrize("number", [19, 20, 255])
def test_slots_that_are_not_there(number: int) -> None:
    host = Host()
    host.send("<BB", 0x05, number)
    assert host.silent()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_status_after_power_on() -> None:
    pixels, integration_us, lamp, mode, acquiring, packets, power, waiting, _, _, speed, _ = Host().status()
    assert (pixels, lamp, mode, acquiring, packets, power, waiting, speed) == (3840, 0, 0, 0, 15, 1, 0, 0x80)
    assert 10 <= integration_us <= 65_535_000


@pytest.mark.parametrize(
    ("asked_us", "made_us"),
    [(10, 10), (15, 10), (500, 500), (655_000, 655_000), (655_999, 655_000), (1_000_500, 1_000_000), (65_535_000, 65_535_000)],
)
def test_integration_times(asked_us: int, made_us: int) -> None:
    host = Host()
    host.send("<BI", 0x02, asked_us)
    assert host.status()[1] == made_us


@pytest.mark.parametrize("asked_us", [0, 9, 65_535_001, 2**32 - 1])
def test_integration_times_that_are_ignored(asked_us: int) -> None:
    host = Host()
    host.send("<BI", 0x02, 500)
    host.send("<BI", 0x02, asked_us)
    assert host.status()[1] == 500


def test_lamp_and_mode() -> None:
    host = Host()
    for lamp, mode in ((1, 3), (0, 0), (1, 1), (0, 2)):
        host.send("<BH", 0x03, lamp)
        host.send("<BH", 0x0A, mode)
        assert host.status()[2:4] == (lamp, mode)
    host.send("<BH", 0x0A, 4)
    host.send("<BH", 0x0A, 256)
    assert host.status()[3] == 2


def test_registers() -> None:
    host = Host()
    host.send("<BBH", 0x6A, 0x38, 1234)
    host.send("<BBH", 0x6A, 0x04, 1234)  # the firmware's revision cannot be written
    for register, value in ((0x38, 1234), (0x04, 0x2410), (0x50, 0)):
        host.send("<BB", 0x6B, register)
        assert struct.unpack("<BH", host.read(3)) == (register, value)


def test_temperature() -> None:
    host = Host()
    host.send("<B", 0x6C)
    code, raw = struct.unpack("<Bh", host.read(3))
    assert code == 8
    assert 10 < raw * 0.003906 < 60


def test_commands_are_not_answered() -> None:
    for form, *values in (("<B", 1), ("<BI", 2, 500), ("<BH", 3, 1), ("<BH", 0x0A, 3), ("<BBH", 0x6A, 0x38, 5)):
        host = Host()
        host.send(form, *values)
        assert host.silent()


# --- no row is missing ------------------------------------------------------------------------------------------------

ABSENT = {
    "0x06": b"\x06\x01" + b"1.0".ljust(15, b"\0"),
    "0x0A 1": b"\x0a\x01\x00\x09",
    "0x0A 2": b"\x0a\x02\x00\x09",
    "0x0B, 0x0C, 0x0D": b"\x0b\x0c\x0d",
    "0x60, 0x61, 0x62": b"\x60\x61\x62",
    "0x68, 0x69": b"\x68\x69",
    "0x6D, 0x6E": b"\x6d\x6e",
}


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_knowingly_absent_is_silent(name: str) -> None:
    assert KNOWINGLY_ABSENT[name]
    host = Host()
    before = host.text(1)
    host.usb4000.receive(ABSENT[name], host.t_ns)
    rise_ns = np.array([host.t_ns + MS, host.t_ns + 20 * MS])
    host.usb4000.receive_edges("trigger", Edges(rise_ns, rise_ns + 10 * US, 0.0, 5.0))
    assert host.silent()
    assert host.text(1) == before


def test_the_list_of_absences_is_that_of_the_tables() -> None:
    assert set(KNOWINGLY_ABSENT) == set(ABSENT)


# --- clients ----------------------------------------------------------------------------------------------------------


def test_the_dialogue_of_pyseabreeze() -> None:
    """Initialise, status, saturation, mode, time, wavelengths, and spectra: 2048 bytes first, then the rest."""
    host = Host()
    host.send("<B", 0x01)
    host.run(100 * MS)
    assert host.status()[10] == 0x80
    assert host.text(0) == "USB4C00123"
    host.slot(17)
    host.send("<BH", 0x0A, 0)
    host.send("<BI", 0x02, 20_000)
    assert [float(host.text(i)) for i in range(1, 5)] == pytest.approx(Optics.wavelength_coefficients)
    host.run(200 * MS)
    for _ in range(3):
        begun_ns = host.t_ns
        host.send("<B", 0x09)
        data = host.read(2048) + host.read(7681 - 2048)
        assert data[-1] == 0x69
        assert np.frombuffer(data[:-1], "<u2")[:3682].tolist() == list(range(700, 700 + 3682))
        assert 3_800 * US <= host.t_ns - begun_ns <= 20 * MS + 5 * MS


def test_a_program_that_waits_for_one_edge() -> None:
    host = Host()
    host.send("<BI", 0x02, 3800)
    host.send("<BH", 0x0A, 3)
    host.send("<B", 0x09)
    assert host.status()[4] == 1  # acquiring
    assert host.silent()
    rise_ns = np.array([host.t_ns + MS])
    host.usb4000.receive_edges("trigger", Edges(rise_ns, rise_ns + 10 * US, 0.0, 5.0))
    host.run(20 * MS)
    assert len(host.read(7681)) == 7681
    assert host.status()[4] == 0


def test_the_maker_s_serial_number_is_that_of_the_resource() -> None:
    assert PERSONA.resource.split("::")[3] == Host().text(0)
