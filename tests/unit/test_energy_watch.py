"""Which pulse an energy belongs to, and when the meter is asked: never a guess."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import InstrumentError
from drivers.roles import EnergyMeterInfo, EnergyReading, Identity
from rig.energy_watch import EnergyWatch, shot_energies
from rig.timeline import ShotPattern

MS = 1_000_000
PERIOD = 50 * MS
PATTERN = ShotPattern(PERIOD, 0, 0, 500_000, 250_000, 750_000, 770_000)
INFO = EnergyMeterInfo("ES111C", "1", "2025", 40.0, 2.4, 400.0)
FIRED = 10**17  # a host's clock may have more digits than a float


def frames(shots: int, late_ns: int = 2 * MS, begun_ns: int = 1 * MS) -> tuple[np.ndarray, np.ndarray]:
    """Triggers 0.. of a burst that began `begun_ns` after it was fired, each frame there `late_ns` after its exposure."""
    number = np.arange(shots)
    return number, FIRED + begun_ns + number * PERIOD + PATTERN.close_ns + late_ns


def reading(number: int, energy_uj: float, asked_ns: int = 20 * MS, answered_ns: int = 1 * MS) -> EnergyReading:
    """A reading of pulse `number`: asked so long before it came, answered so long after."""
    pulse_ns = FIRED + MS + number * PERIOD + PATTERN.pulse_ns
    return EnergyReading(energy_uj, pulse_ns - asked_ns, pulse_ns + answered_ns)


def filed(readings: list[EnergyReading], shots: int = 5, *, runs_free: bool = False, **late: int) -> list[float | None]:
    trigger, arrival = frames(shots, **late)
    found = shot_energies(trigger, arrival, readings, shots=shots, t_fire_ns=FIRED, pattern=PATTERN, runs_free=runs_free)
    return [None if np.isnan(value) else float(value) for value in found]


def test_a_reading_goes_to_the_one_pulse_it_can_be() -> None:
    assert filed([reading(1, 0.4), reading(3, 0.5)]) == [None, 0.4, None, 0.5, None]


def test_a_reading_over_two_pulses_goes_to_none() -> None:
    assert filed([reading(2, 0.4, asked_ns=60 * MS)]) == [None] * 5
    assert filed([reading(2, 0.4, answered_ns=60 * MS)]) == [None] * 5


def test_two_readings_of_one_pulse_go_to_none() -> None:
    assert filed([reading(2, 0.4), reading(2, 0.5)]) == [None] * 5


def test_a_reading_before_or_after_the_burst_goes_to_none() -> None:
    assert filed([reading(-2, 0.4), reading(7, 0.5)]) == [None] * 5


def test_after_the_burst_of_a_laser_that_never_stops_the_last_pulse_is_not_sure() -> None:
    across = [reading(4, 0.4, answered_ns=60 * MS)]
    assert filed(across) == [None, None, None, None, 0.4]
    assert filed(across, runs_free=True) == [None] * 5


def test_frames_that_come_late_make_neighbours_possible() -> None:
    # all that is known of a pulse is that it came before its frame: 60 ms late, and the next one may have been meant
    assert filed([reading(1, 0.4), reading(2, 0.5), reading(3, 0.6)], late_ns=60 * MS) == [None] * 5


@given(
    begun_ns=st.integers(0, 49 * MS),
    late_ns=st.integers(0, 30 * MS),
    asked=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 70 * MS), st.integers(0, 70 * MS)), max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_what_is_filed_is_right_whatever_the_delays(begun_ns: int, late_ns: int, asked: list[tuple[int, int, int]]) -> None:
    trigger, arrival = frames(20, late_ns, begun_ns)
    pulses = FIRED + begun_ns + np.arange(20) * PERIOD + PATTERN.pulse_ns
    readings: list[EnergyReading] = []
    for number, before_ns, after_ns in asked:
        asked_ns = int(pulses[number]) - before_ns
        first = int(np.searchsorted(pulses, asked_ns))  # the meter measures the next pulse, whichever was meant
        readings.append(EnergyReading(float(first), asked_ns, int(pulses[first]) + after_ns))
    found = shot_energies(trigger, arrival, readings, shots=20, t_fire_ns=FIRED, pattern=PATTERN, runs_free=False)
    known = np.isfinite(found)
    assert np.array_equal(found[known], trigger[known].astype(float))


# --- when it is asked -------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    t_ns: int = 0

    def now_ns(self) -> int:
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


@dataclass
class Meter:
    answers: list[EnergyReading | InstrumentError | None] = field(default_factory=list[EnergyReading | InstrumentError | None])
    asked: int = 0

    def identify(self) -> Identity:
        return Identity("a", "b", "c", "d")

    def prepare(self, wavelength_nm: float, range_uj: float) -> EnergyMeterInfo:
        return INFO

    def measure(self, timeout_s: float) -> EnergyReading | None:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, InstrumentError):
            raise answer
        return answer

    def errors(self) -> list[str]:
        return []


def watch(rate_hz: float, *answers: EnergyReading | InstrumentError | None) -> tuple[EnergyWatch, Meter, Clock]:
    meter, clock = Meter(list(answers)), Clock()
    return EnergyWatch(meter, INFO, clock, rate_hz=rate_hz, pickoff_ratio=1.0), meter, clock


@pytest.mark.parametrize(("rate_hz", "per_shot"), [(40.0, True), (40.0001, False), (1000.0, False), (0.1, True)])
def test_every_pulse_is_asked_for_only_where_the_meter_can_follow(rate_hz: float, per_shot: bool) -> None:
    assert watch(rate_hz)[0].per_shot is per_shot


def test_a_fast_laser_is_looked_at_now_and_then() -> None:
    energy, _, clock = watch(1000.0)
    assert energy.due(10.0)
    energy.measure()
    assert not energy.due(10.0)
    clock.sleep(0.6)
    assert energy.due(10.0)
    assert not energy.due(0.01)  # the end of the burst does not wait for it


def test_a_meter_that_fails_is_told_once_and_left_alone() -> None:
    energy, meter, _ = watch(20.0, InstrumentError("it is gone"), None)
    assert energy.measure() is None
    assert not energy.due(10.0)
    assert "it is gone" in energy.end_block()
    assert energy.end_block() == ""
    assert meter.asked == 1


def test_a_block_without_an_answer_is_told_and_one_with_is_not() -> None:
    energy, _, _ = watch(20.0, None, None, reading(0, 0.4))
    energy.measure()
    energy.measure()
    assert "asked 2 times" in energy.end_block()
    assert energy.measure() is not None
    assert energy.end_block() == ""


def test_a_reading_that_is_no_number_is_none() -> None:
    energy, _, _ = watch(20.0, reading(0, float("nan")))
    assert energy.measure() is None
