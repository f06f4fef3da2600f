"""In which order instruments go off: light first, and nobody waits for one that has to be asked before it can be told."""

from dataclasses import dataclass

import pytest

from drivers.errors import LinkTimeout
from drivers.roles import SafeReadback
from rig.safety import Confirmation, make_safe


@dataclass
class Instrument:
    name: str
    log: list[str]
    off_message: bytes = b"OFF"
    mute: bool = False

    def make_safe(self) -> None:
        self.log.append(self.name)
        if self.mute:
            raise LinkTimeout("it says nothing")

    def read_safe(self) -> SafeReadback:
        if self.mute:
            raise LinkTimeout("it says nothing")
        return SafeReadback(True, "off")


@pytest.mark.parametrize(
    ("shutter_message", "order"),
    [
        (b"CLOSE", ["laser_trigger", "shutter", "voltage_source", "spectrometer"]),
        (b"", ["laser_trigger", "voltage_source", "spectrometer", "shutter"]),
    ],
)
def test_light_goes_first_and_what_must_be_asked_goes_last(shutter_message: bytes, order: list[str]) -> None:
    log: list[str] = []
    roles = ("spectrometer", "shutter", "voltage_source", "laser_trigger")
    instruments = {role: Instrument(role, log, shutter_message if role == "shutter" else b"OFF") for role in roles}
    assert make_safe(instruments).safe
    assert log == order


@pytest.mark.fault("I10")
def test_a_mute_shutter_is_unknown_and_the_rest_is_off() -> None:
    log: list[str] = []
    instruments = {role: Instrument(role, log) for role in ("voltage_source", "laser_trigger")}
    report = make_safe({**instruments, "shutter": Instrument("shutter", log, b"", mute=True)})
    assert not report.safe
    assert report.instruments["shutter"][0] is Confirmation.UNKNOWN
    assert report.instruments["voltage_source"][0] is Confirmation.CONFIRMED
