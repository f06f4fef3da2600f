"""Shutters of pulses and of continuous light: never both open, whatever is asked for next."""

import pytest

from rig.pump_beam import PumpBeam
from rig.sequence import Light


class FakeShutter:
    """Is where it was told to be; several of them write into one list what they were told."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told, self.is_open = name, told, False

    def prepare(self) -> None:
        self.close()

    def open(self) -> None:
        self.told.append(f"{self.name} open")
        self.is_open = True

    def close(self) -> None:
        self.told.append(f"{self.name} closed")
        self.is_open = False


def beam_of(told: list[str], *, runs_free: bool = False) -> tuple[PumpBeam, FakeShutter, FakeShutter]:
    pulses, cw = FakeShutter("pulses", told), FakeShutter("cw", told)
    return PumpBeam(None, pulses, runs_free=runs_free, cw_shutter=cw), pulses, cw  # type: ignore[arg-type]


@pytest.mark.parametrize("first", ["pulses", "cw", "blocked", "none"])
@pytest.mark.parametrize("second", ["pulses", "cw", "blocked", "none"])
@pytest.mark.parametrize("runs_free", [False, True])
def test_only_the_light_that_is_asked_for_comes_through(first: Light, second: Light, runs_free: bool) -> None:
    beam, pulses, cw = beam_of([], runs_free=runs_free)
    beam.prepare_shutters()
    for light in (first, second):
        beam.set_light(light)
        beam.open()
        assert (pulses.is_open, cw.is_open) == (light == "pulses", light == "cw")
        beam.after_burst()
    beam.close()
    assert (pulses.is_open, cw.is_open) == (False, False)


def test_one_light_is_shut_out_before_the_other_is_let_in() -> None:
    told: list[str] = []
    beam, _, _ = beam_of(told)
    beam.set_light("cw")
    beam.open()
    beam.set_light("pulses")
    beam.open()
    assert told == ["cw open", "cw closed", "pulses open"]


def test_after_a_pause_it_opens_what_was_open() -> None:
    told: list[str] = []
    beam, _, cw = beam_of(told)
    beam.set_light("cw")
    beam.open()
    cw.close()  # make_safe() of the pause
    beam.was_closed()
    beam.open()
    assert cw.is_open
