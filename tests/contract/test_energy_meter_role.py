"""What every energy meter has to do, judged by the pulses that left the laser.

A reading is right when it is the energy of one pulse, at the meter's gain, within the meter's noise; gain and noise are those
of the simulated heads.
"""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from role_bench import LINE, MS, US, RoleBench, S, of_role

from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, RefusedError
from drivers.link import LinkState
from drivers.registry import DriverEntry
from drivers.roles import BurstProgram, EnergyMeter, EnergyMeterInfo, EnergyReading, PulseOutput
from sim_instruments import visa_library

WAVELENGTH_NM, RANGE_UJ = 400.0, 0.8  # the bench's pulses have about 0.4 uJ
NOISE = 0.03  # six times a head's noise
GAIN_ERROR = 0.1  # five times the spread of gains
TIMEOUT_S = 0.2
EF = PulseOutput("EF", 100 * US, 10 * US, 2.5, high_z=False, positive=True)


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting in vain need not take small steps: pulses keep their own times."""
    monkeypatch.setattr(visa_library, "STEP_NS", 2 * MS)


@pytest.fixture(params=of_role("energy_meter"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model, timeout_s=TIMEOUT_S)


def meter(bench: RoleBench) -> EnergyMeter:
    return bench.instruments["energy_meter"]


def prepare(bench: RoleBench) -> EnergyMeterInfo:
    return meter(bench).prepare(WAVELENGTH_NM, RANGE_UJ)


def fire(bench: RoleBench, shots: int, period_ns: int) -> None:
    """Start a burst of laser pulses."""
    bench.laser.prepare()
    bench.laser.load(BurstProgram(period_ns, (EF,), False))
    bench.laser.arm(shots)
    bench.laser.fire()


def measured(bench: RoleBench, count: int, timeout_s: float = 1.0) -> list[EnergyReading]:
    """So many readings, one after the other."""
    readings = [meter(bench).measure(timeout_s) for _ in range(count)]
    assert None not in readings
    return [reading for reading in readings if reading is not None]


def true_pulses(bench: RoleBench) -> tuple[np.ndarray, np.ndarray]:
    """When the film was hit (ns) and with which energy (uJ)."""
    times = np.array(bench.light_ns())
    return times, bench.world.light_path.record.pulses["fluence_uj_cm2"] * bench.world.beam.area_cm2


def ratios(bench: RoleBench, readings: Sequence[EnergyReading]) -> list[float]:
    """Each reading by the true energy of the nearest pulse within its times."""
    times, energies = true_pulses(bench)
    found: list[float] = []
    for reading in readings:
        within = energies[(times >= reading.asked_ns) & (times <= reading.answered_ns)]
        assert len(within), f"no pulse from {reading.asked_ns} to {reading.answered_ns}"
        by_each = reading.energy_uj / within
        found.append(float(by_each[np.argmin(np.abs(by_each - 1))]))
    return found


def test_says_who_it_is(bench: RoleBench, model: tuple[DriverEntry, str, str]) -> None:
    identity = meter(bench).identify()
    assert model[0].matches(f"{identity.maker},{identity.model}")
    assert identity.serial


def test_prepare_says_what_the_head_is(bench: RoleBench) -> None:
    info = prepare(bench)
    assert info.head
    assert info.head_serial
    assert info.calibrated
    assert info.wavelength_nm == WAVELENGTH_NM
    assert 1 <= info.max_rate_hz <= 10_000
    assert info.range_uj >= RANGE_UJ
    assert meter(bench).errors() == []


def test_the_range_is_the_smallest_that_fits(bench: RoleBench) -> None:
    small = prepare(bench).range_uj
    assert meter(bench).prepare(WAVELENGTH_NM, small).range_uj == pytest.approx(small)
    large = meter(bench).prepare(WAVELENGTH_NM, small * 1.01).range_uj
    assert large > small
    assert meter(bench).prepare(WAVELENGTH_NM, large * 0.99).range_uj == pytest.approx(large)


def test_a_reading_is_the_energy_of_the_pulse_that_came_between_its_two_times(bench: RoleBench) -> None:
    prepare(bench)
    fire(bench, 40, 50 * MS)
    found = np.array(ratios(bench, measured(bench, 30)))
    gain = float(np.median(found))
    assert gain == pytest.approx(1.0, abs=GAIN_ERROR)
    assert np.abs(found / gain - 1).max() < NOISE


def test_readings_follow_the_pulses_one_by_one_up_to_the_head_s_rate(bench: RoleBench) -> None:
    info = prepare(bench)
    period_ns = math.ceil(S / info.max_rate_hz / MS) * MS
    fire(bench, 60, period_ns)
    readings = measured(bench, 50)
    times, _ = true_pulses(bench)
    begins = [int(np.searchsorted(times, reading.answered_ns, side="right")) for reading in readings]
    assert np.diff(begins).tolist() == [1] * 49


def test_of_a_faster_train_pulses_are_left_out_and_readings_stay_right(bench: RoleBench) -> None:
    info = prepare(bench)
    fire(bench, 2000, MS)
    readings = measured(bench, 20)
    took_s = (readings[-1].answered_ns - readings[0].answered_ns) * 1e-9
    assert took_s >= 19 / info.max_rate_hz - 0.01
    times, energies = true_pulses(bench)
    assert len(times) > 20 * 5
    mean = float(np.mean([reading.energy_uj for reading in readings]))
    assert mean == pytest.approx(float(energies.mean()), rel=GAIN_ERROR)


def test_a_single_pulse_that_comes_late_is_measured(bench: RoleBench) -> None:
    prepare(bench)
    bench.laser.prepare()
    bench.laser.load(BurstProgram(2 * S, (PulseOutput("EF", S, 10 * US, 2.5, high_z=False, positive=True),), False))
    bench.laser.arm(1)
    bench.laser.fire()
    (reading,) = measured(bench, 1, timeout_s=3.0)
    (pulse_ns,) = bench.light_ns()
    assert reading.asked_ns < pulse_ns <= reading.answered_ns
    assert reading.answered_ns - pulse_ns < 20 * MS


@pytest.mark.parametrize("timeout_s", [0.0, 0.1, 1.5])
def test_without_a_pulse_there_is_none_and_it_is_alive_afterwards(bench: RoleBench, timeout_s: float) -> None:
    prepare(bench)
    before_ns = bench.now_ns()
    assert meter(bench).measure(timeout_s) is None
    assert 0 <= (bench.now_ns() - before_ns) * 1e-9 - timeout_s < 0.1
    assert bench.links["energy_meter"].state is LinkState.READY
    assert meter(bench).errors() == []
    fire(bench, 5, 100 * MS)
    assert len(ratios(bench, measured(bench, 2))) == 2


def test_a_pulse_from_before_the_question_is_no_answer(bench: RoleBench) -> None:
    prepare(bench)
    fire(bench, 10, 20 * MS)
    bench.wait(0.5)
    assert len(bench.light_ns()) == 10
    assert meter(bench).measure(0.2) is None


def test_what_was_left_over_from_a_question_without_pulse_is_not_read_later(bench: RoleBench) -> None:
    prepare(bench)
    assert meter(bench).measure(0.05) is None
    fire(bench, 1, 20 * MS)  # comes while nobody asks
    bench.wait(0.2)
    assert meter(bench).measure(0.05) is None


def test_prepare_puts_right_what_somebody_changed_by_hand(bench: RoleBench) -> None:
    prepare(bench)
    fire(bench, 10, 50 * MS)
    before = ratios(bench, measured(bench, 3))
    bench.wait(1.0)
    bench.by_hand("energy_meter")
    prepare(bench)
    fire(bench, 10, 50 * MS)
    after = ratios(bench, measured(bench, 3))
    assert np.mean(after) == pytest.approx(np.mean(before), rel=NOISE)
    assert meter(bench).errors() == []


def test_a_pulse_beyond_the_range_is_told_and_measured_in_a_larger_range(bench: RoleBench) -> None:
    info = prepare(bench)
    bench.world.light_path.laser.fluence_uj_cm2 *= 20
    fire(bench, 4, 100 * MS)
    with pytest.raises(InstrumentError, match=f"{info.range_uj:g} uJ"):
        meter(bench).measure(1.0)
    meter(bench).prepare(WAVELENGTH_NM, 20 * RANGE_UJ)
    fire(bench, 4, 100 * MS)
    (ratio,) = ratios(bench, measured(bench, 1))
    assert ratio == pytest.approx(1.0, abs=GAIN_ERROR)


@pytest.mark.parametrize("wavelength_nm", [1.0, 1e6, 0.0, -400.0, math.nan])
def test_a_wavelength_it_is_not_calibrated_for_is_refused(bench: RoleBench, wavelength_nm: float) -> None:
    with pytest.raises(RefusedError) as refused:
        meter(bench).prepare(wavelength_nm, RANGE_UJ)
    assert [reason.code for reason in refused.value.reasons] == ["wavelength-impossible"]
    with pytest.raises(InstrumentError):
        meter(bench).measure(0.1)


@pytest.mark.parametrize("range_uj", [1e12, 0.0, -1.0, math.nan, math.inf])
def test_a_range_it_does_not_have_is_refused(bench: RoleBench, range_uj: float) -> None:
    with pytest.raises(RefusedError) as refused:
        meter(bench).prepare(WAVELENGTH_NM, range_uj)
    assert [reason.code for reason in refused.value.reasons] == ["energy-range-impossible"]


def test_unprepared_it_measures_nothing(bench: RoleBench) -> None:
    fire(bench, 10, 50 * MS)
    with pytest.raises(InstrumentError):
        meter(bench).measure(0.5)


def test_an_answer_that_is_lost_is_a_lost_link_and_preparing_again_helps(bench: RoleBench) -> None:
    prepare(bench)
    fire(bench, 100, 50 * MS)
    bench.wires["energy_meter"].lose = 1
    with pytest.raises(LinkTimeout):
        meter(bench).measure(1.0)
    with pytest.raises(InstrumentError):  # it may be another instrument by now, or switched off in between
        meter(bench).measure(1.0)
    assert bench.links["energy_meter"].state is LinkState.READY
    prepare(bench)
    assert len(ratios(bench, measured(bench, 3))) == 3


@pytest.mark.fault("W2")
def test_an_answer_that_comes_late_is_not_taken_for_another(bench: RoleBench) -> None:
    prepare(bench)
    fire(bench, 100, 50 * MS)
    bench.wires["energy_meter"].late_ns = 300 * MS
    with pytest.raises(LinkTimeout):
        meter(bench).measure(1.0)
    prepare(bench)
    found = np.array(ratios(bench, measured(bench, 20)))
    assert np.abs(found / np.median(found) - 1).max() < NOISE


@pytest.mark.fault("W3")
def test_an_answer_that_comes_twice_is_not_taken_for_the_next(bench: RoleBench, model: tuple[DriverEntry, str, str]) -> None:
    if model[1] != LINE:
        pytest.skip("what arrives on this link belongs to one message")
    prepare(bench)
    fire(bench, 100, 50 * MS)
    bench.wires["energy_meter"].double = True
    with pytest.raises(LinkDesync):
        measured(bench, 2)
    prepare(bench)
    found = np.array(ratios(bench, measured(bench, 10)))
    assert np.abs(found / np.median(found) - 1).max() < NOISE
