"""Any spectrometer behind python-seabreeze, with a library made of software in its place; in real time, as its reads block."""

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drivers import seabreeze_usb
from drivers.clock import MonotonicClock
from drivers.errors import ConfigError, InstrumentError, RefusedError
from drivers.registry import find
from drivers.roles import ExposureProgram, FrameBatch
from drivers.seabreeze_usb import SeabreezeSpectrometer

RESOURCE = "USB0::0x2457::0x1022::USB4C00123::RAW"
PIXELS = 64
EDGES = ExposureProgram(500_000, "external_edge")
SOFTWARE = ExposureProgram(500_000, "software")


class SeaBreezeError(Exception):
    pass


class FakeSpectrometer:
    """What the driver uses of `seabreeze.spectrometers.Spectrometer`; the first pixel numbers the exposures."""

    serial_number = "USB4C00123"
    model = "USB4000"
    max_intensity = 65535.0
    integration_time_micros_limits = (10, 65_535_000)

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.f = SimpleNamespace(nonlinearity_coefficients=SimpleNamespace(get_nonlinearity_coefficients=lambda: [0.98, 1e-6]))
        self.mode = 0
        self.reading = False
        self.exposures = 0
        self.counts = 1500.4
        self.fault: Exception | None = None
        self.closed = False
        self.hangs = False
        self._change = threading.Condition()
        self._edges = 0

    def edge(self) -> None:
        """A trigger arrives; it is lost when nobody reads or another is being served."""
        with self._change:
            if self.reading and self.mode == 3:
                self._edges = 1
                self._change.notify_all()

    def wait_until_read(self) -> None:
        with self._change:
            assert self._change.wait_for(lambda: self.reading, 2.0)

    def wavelengths(self) -> np.ndarray:
        return np.linspace(400.0, 700.0, PIXELS)

    def integration_time_micros(self, value: int) -> None:
        self.calls.append(("integration_time_micros", value))

    def trigger_mode(self, mode: int) -> None:
        self.calls.append(("trigger_mode", mode))
        with self._change:
            self.mode = mode
            self._change.notify_all()

    def intensities(self) -> np.ndarray:
        with self._change:
            self.reading = True
            self._change.notify_all()
            self._change.wait_for(lambda: (self.mode == 0 and not self.hangs) or self._edges or self.fault)
            self.reading, self._edges = False, 0
            if self.fault:
                raise self.fault
            self.exposures += 1
            return np.r_[float(self.exposures), np.full(PIXELS - 1, self.counts)]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSpectrometer:
    """The library is installed, and one spectrometer is plugged in."""
    device = FakeSpectrometer()

    def from_serial_number(serial: str) -> FakeSpectrometer:
        if serial != device.serial_number:
            raise SeaBreezeError(f"No device attached with serial number '{serial}'.")
        return device

    library = ModuleType("seabreeze.spectrometers")
    library.Spectrometer = SimpleNamespace(from_serial_number=from_serial_number)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "seabreeze", ModuleType("seabreeze"))
    monkeypatch.setitem(sys.modules, "seabreeze.spectrometers", library)
    monkeypatch.setattr(seabreeze_usb, "STOP_S", 0.2)
    return device


@pytest.fixture
def spectrometer(fake: FakeSpectrometer) -> Any:
    opened, closable = open_it()
    yield opened
    fake.hangs = False
    opened.make_safe()
    closable.close()


def open_it(resource: str = RESOURCE) -> Any:
    return find("ocean-seabreeze", "spectrometer").connect(None, resource, MonotonicClock())  # type: ignore[arg-type]


def some(spectrometer: SeabreezeSpectrometer) -> FrameBatch:
    """The next frame, for which a slow machine may have to be asked again."""
    for _ in range(100):
        batch = spectrometer.collect()
        if len(batch):
            return batch
    raise AssertionError("no frame came")


def armed(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    spectrometer.prepare()
    spectrometer.load(EDGES)
    spectrometer.arm()
    fake.wait_until_read()


# --- opening ----------------------------------------------------------------------------------------------------------


def test_without_the_library_it_is_refused_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seabreeze", None)
    monkeypatch.setitem(sys.modules, "seabreeze.spectrometers", None)
    with pytest.raises(ConfigError) as refused:
        open_it()
    assert [reason.code for reason in refused.value.reasons] == ["library-missing"]
    assert "ito-rig[seabreeze]" in refused.value.next_step


@pytest.mark.parametrize("resource", ["GPIB0::7::INSTR", "TCPIP::192.0.2.1::1::SOCKET", "USB0::0x2457::0x1022::RAW"])
def test_a_resource_without_a_serial_number_is_refused(fake: FakeSpectrometer, resource: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_it(resource)
    assert [reason.code for reason in refused.value.reasons] == ["resource-without-serial"]


def test_another_serial_number_is_not_opened(fake: FakeSpectrometer) -> None:
    with pytest.raises(InstrumentError, match="USB4C00999"):
        open_it("USB0::0x2457::0x1022::USB4C00999::RAW")
    assert fake.calls == []


def test_the_identity_is_the_library_s_and_matches_the_driver(spectrometer: SeabreezeSpectrometer) -> None:
    identity = spectrometer.identify()
    assert (identity.model, identity.serial) == ("USB4000", "USB4C00123")
    assert find("ocean-seabreeze").require(identity) == identity


def test_it_says_of_itself_what_the_library_says(spectrometer: SeabreezeSpectrometer) -> None:
    info = spectrometer.prepare()
    assert info.wavelength_nm.tolist() == np.linspace(400.0, 700.0, PIXELS).tolist()
    assert info.nonlinearity == (0.98, 1e-6)
    assert (info.integration_min_ns, info.integration_max_ns) == (10_000, 65_535_000_000)
    assert spectrometer.pixels == PIXELS
    assert not spectrometer.has_clock


# --- what is refused --------------------------------------------------------------------------------------------------


def test_more_than_sixteen_bits_are_refused(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    fake.max_intensity = 200_000.0
    with pytest.raises(RefusedError, match="refuses"):
        spectrometer.prepare()


@pytest.mark.parametrize("integration_ns", [9_000, 500_500, 65_535_001_000, 0, -1000])
def test_impossible_exposures_are_not_set(
    spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer, integration_ns: int
) -> None:
    spectrometer.prepare()
    before = list(fake.calls)
    with pytest.raises(RefusedError):
        spectrometer.load(ExposureProgram(integration_ns, "software"))
    assert fake.calls == before


def test_a_model_whose_edge_mode_is_not_known_is_not_guessed_at(
    spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer
) -> None:
    fake.model = "USB2000PLUS"
    spectrometer.prepare()
    with pytest.raises(RefusedError) as refused:
        spectrometer.load(EDGES)
    assert [reason.code for reason in refused.value.reasons] == ["trigger-mode-unknown"]
    spectrometer.load(SOFTWARE)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_loading_sets_time_and_mode(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    spectrometer.prepare()
    spectrometer.load(EDGES)
    assert fake.calls[-2:] == [("integration_time_micros", 500), ("trigger_mode", 3)]
    spectrometer.load(SOFTWARE)
    assert fake.calls[-2:] == [("integration_time_micros", 500), ("trigger_mode", 0)]


def test_every_edge_gives_a_frame_with_the_host_s_time(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    armed(spectrometer, fake)
    frames = []
    for _ in range(5):
        fake.wait_until_read()
        before_us = MonotonicClock().now_ns() // 1000
        fake.edge()
        frames.append((before_us, some(spectrometer), MonotonicClock().now_ns() // 1000))
    assert [int(frame.count[0]) for _, frame, _ in frames] == [1, 2, 3, 4, 5]
    assert [int(frame.spectra[0, 0]) for _, frame, _ in frames] == [1, 2, 3, 4, 5]
    assert all(before <= frame.device_time_us[0] <= after for before, frame, after in frames)
    assert frames[0][1].spectra.dtype == np.uint16
    assert frames[0][1].spectra[0, 1] == 1500


def test_a_software_trigger_reads_once(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    spectrometer.prepare()
    spectrometer.load(SOFTWARE)
    spectrometer.arm()
    assert len(spectrometer.collect()) == 0
    for number in (1, 2, 3):
        spectrometer.trigger()
        assert some(spectrometer).spectra[0, 0] == number
        assert len(spectrometer.collect()) == 0
    assert fake.exposures == 3


def test_counts_above_full_scale_are_saturated(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    fake.counts = 78_000.0
    armed(spectrometer, fake)
    fake.edge()
    assert some(spectrometer).spectra[0, 1] == 65535


def test_arming_again_throws_away_what_came(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    armed(spectrometer, fake)
    fake.edge()
    while fake.exposures < 1:
        fake.wait_until_read()
    fake.wait_until_read()
    spectrometer.arm()
    assert len(spectrometer.collect()) == 0
    fake.edge()
    assert some(spectrometer).spectra[0, 0] == 2


def test_a_failing_read_is_told(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    armed(spectrometer, fake)
    fake.fault = SeaBreezeError("unplugged")
    fake.trigger_mode(3)  # wakes the read
    with pytest.raises(InstrumentError, match="unplugged"):
        some(spectrometer)


# --- safe -------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("Y6")
def test_a_read_that_waits_for_an_edge_does_not_hold_up_off(
    spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer
) -> None:
    armed(spectrometer, fake)
    began_ns = MonotonicClock().now_ns()
    spectrometer.make_safe()
    assert spectrometer.read_safe().safe
    assert MonotonicClock().now_ns() - began_ns < 1e9
    assert fake.calls[-1] == ("trigger_mode", 0)
    assert not fake.reading
    assert len(spectrometer.collect()) == 0  # what came of running free is no frame


def test_it_can_be_used_again_after_off(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    armed(spectrometer, fake)
    spectrometer.make_safe()
    armed(spectrometer, fake)
    fake.edge()
    assert len(some(spectrometer)) == 1


@pytest.mark.fault("Y6")
def test_a_read_that_never_returns_is_reported_and_nothing_hangs(
    spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer
) -> None:
    armed(spectrometer, fake)
    fake.hangs = True
    began_ns = MonotonicClock().now_ns()
    spectrometer.make_safe()
    assert not spectrometer.read_safe().safe
    with pytest.raises(InstrumentError, match="does not return"):
        spectrometer.prepare()
    spectrometer.close()
    assert not fake.closed  # closing under a read would be worse
    assert MonotonicClock().now_ns() - began_ns < 3e9
    fake.hangs = False
    fake.trigger_mode(0)
    assert spectrometer.read_safe().safe


def test_a_mode_that_was_not_taken_is_not_told_as_safe(spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer) -> None:
    spectrometer.prepare()
    works, fake.trigger_mode = fake.trigger_mode, failing  # type: ignore[method-assign]
    spectrometer.make_safe()
    told = spectrometer.read_safe()
    assert not told.safe
    assert "cable" in told.detail
    fake.trigger_mode = works  # type: ignore[method-assign]
    spectrometer.make_safe()
    assert spectrometer.read_safe().safe


def failing(*_: Any) -> Any:
    raise SeaBreezeError("cable pulled out")


def test_a_library_that_fails_while_it_is_asked_is_an_error_of_ours(
    spectrometer: SeabreezeSpectrometer, fake: FakeSpectrometer
) -> None:
    fake.wavelengths = failing  # type: ignore[method-assign]
    with pytest.raises(InstrumentError, match="could not be asked: cable pulled out"):
        spectrometer.prepare()


def test_closing_ends_the_connection(fake: FakeSpectrometer) -> None:
    spectrometer, closable = open_it()
    armed(spectrometer, fake)
    spectrometer.make_safe()
    closable.close()
    assert fake.closed
