"""From the laser through the attenuator to the energy meter, and what a user makes of its readings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sim_instruments.attenuator import EXTINCTION, Attenuator, malus, plate_deg
from sim_instruments.energy_meter import EnergyMeter, true_area_cm2
from sim_instruments.laser import PumpLaser

MS = 1_000_000
S = 1_000_000_000
AREA_CM2 = 0.01


def at(*times_s: float) -> np.ndarray:
    return np.array([round(t * S) for t in times_s], np.int64)


def shots(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int64) * MS


def landings(settings_in_turn: list[float], rounds: int, seed: int = 1) -> np.ndarray:
    """True transmission after each setting of each round, (rounds, settings)."""
    attenuator, reached, t_ns = Attenuator(seed), [], 0
    for setting in settings_in_turn * rounds:
        attenuator.set_transmission(setting, t_ns)
        t_ns += S
        reached.append(attenuator.transmission(np.array([t_ns]))[0])
    return np.array(reached).reshape(rounds, len(settings_in_turn))


def test_malus() -> None:
    assert_allclose(malus(np.array([0.0, 22.5, 45.0, 90.0])), [1.0, (1 + EXTINCTION) / 2, EXTINCTION, 1.0])
    for transmission in (EXTINCTION, 0.1, 0.5, 1.0):
        assert float(malus(plate_deg(transmission))) == pytest.approx(transmission)
    assert plate_deg(0.5005) == pytest.approx(22.5)


def test_attenuator_lands_within_0_3_percent_and_half_a_percent_higher_from_above() -> None:
    reached = landings([0.2, 0.5, 0.8, 0.5], 1500)
    from_below, from_above = reached[1:, 1], reached[:, 3]
    assert from_below.mean() == pytest.approx(0.5, rel=3e-4)
    assert from_above.mean() / from_below.mean() - 1 == pytest.approx(0.005, abs=5e-4)
    for values in (from_below, from_above):
        assert values.std() / values.mean() == pytest.approx(0.003, rel=0.08)


def test_a_reversal_within_the_backlash_moves_nothing_but_chance() -> None:
    reached = landings([0.5, 0.6, 0.599], 1500)
    assert reached[:, 2].mean() / reached[:, 1].mean() - 1 == pytest.approx(0.0, abs=4e-4)


def test_setting_again_what_is_set_changes_nothing() -> None:
    attenuator = Attenuator(1)
    attenuator.set_transmission(0.3, 0)
    first = attenuator.transmission(at(1.0))
    attenuator.set_transmission(0.3, 2 * S)
    assert_array_equal(attenuator.transmission(at(3.0)), first)


def test_attenuator_takes_its_time() -> None:
    attenuator = Attenuator(2)
    attenuator.set_transmission(0.5, 10 * S)
    before, half, there, later = attenuator.transmission(at(10.0, 10.125, 10.25, 99.0))
    assert attenuator.arrival_ns == 10 * S + 250 * MS
    assert before == 1.0
    assert half == pytest.approx((1 + there) / 2)
    assert later == there != 0.5
    attenuator.set_transmission(1.0, 10 * S + 125 * MS)  # on the way
    assert attenuator.transmission(at(10.125))[0] == pytest.approx(half)
    assert attenuator.transmission(at(10.0625))[0] == pytest.approx((1 + half) / 2)
    turning, end, stays = attenuator.transmission(at(10.175, 10.375, 10.4))
    assert turning == pytest.approx(0.8 * half + 0.2 * end)
    assert end == stays == pytest.approx(1.0, abs=0.015)


def test_attenuator_never_amplifies_nor_blocks() -> None:
    reached = landings([1.0, 0.999, EXTINCTION, 0.999], 300)
    assert reached.max() <= 1
    assert reached[:, 2].min() > 0.98 * EXTINCTION


def test_attenuator_refuses_what_it_cannot_do() -> None:
    attenuator = Attenuator(1)
    for bad in (float("nan"), 0.0, -0.1, 1.001):
        with pytest.raises(ValueError, match="transmission"):
            attenuator.set_transmission(bad, 0)
    attenuator.set_transmission(0.5, 10)
    with pytest.raises(ValueError, match="after 10 ns"):
        attenuator.set_transmission(0.6, 9)
    assert attenuator.setting == 0.5


def test_laser_without_attenuator_is_the_laser_with_an_open_one() -> None:
    times, bare = PumpLaser(5, 40.0, 7).fire(shots(0, 2000))
    open_times, through = PumpLaser(5, 40.0, 7, Attenuator(1)).fire(shots(0, 2000))
    assert_array_equal(times, open_times)
    assert_array_equal(bare, through)


def test_attenuator_acts_on_the_pulses_after_it_has_moved() -> None:
    attenuator = Attenuator(1)
    attenuator.set_transmission(0.25, 5 * S)
    _, bare = PumpLaser(5, 40.0, 100_000).fire(shots(0, 10_000))
    _, through = PumpLaser(5, 40.0, 100_000, attenuator).fire(shots(0, 10_000))
    ratio = np.divide(through, bare, out=np.full(10_000, 0.5), where=bare > 0)
    assert (ratio[:5000] == 1).all()
    assert_allclose(ratio[5251:][bare[5251:] > 0], attenuator.transmission(at(9.0))[0])
    assert (np.diff(ratio[5000:5250][bare[5000:5250] > 0]) < 0).all()


def test_measured_energies_scatter_as_laser_and_meter_together() -> None:
    """1.5 % per pulse, 0.5 % drift, 0.5 % meter; a hundred lasers of 500 pulses, so that the drift shows too."""
    relative, missed = [], 0
    for seed in range(100):
        t_ns, fluence = PumpLaser(seed, 40.0, 0).fire(shots(0, 500))
        meter = EnergyMeter(seed, max_rate_hz=1000.0)
        index, energy = meter.read(t_ns, fluence * AREA_CM2)
        assert_array_equal(index, np.arange(500))
        assert_array_equal(energy == 0, fluence == 0)
        missed += int((energy == 0).sum())
        relative.append(energy[energy > 0] / (40.0 * AREA_CM2 * meter.gain) - 1)
    assert 0 <= missed <= 15  # 5 expected of 50 000
    within = np.mean([part.var() for part in relative])
    assert np.sqrt(within) == pytest.approx(np.hypot(0.015, 0.005), rel=0.02)
    assert np.std([part.mean() for part in relative]) == pytest.approx(0.005, rel=0.25)


def test_a_missed_pulse_reads_nothing_and_is_one_in_ten_thousand() -> None:
    t_ns, fluence = PumpLaser(3, 40.0, 0).fire(shots(0, 300_000))
    keep = np.flatnonzero(fluence == 0)
    assert 10 <= len(keep) <= 55  # 30 expected
    _, energy = EnergyMeter(1, max_rate_hz=1000.0).read(t_ns[keep], fluence[keep] * AREA_CM2)
    assert not energy.any()


def test_gain_of_a_meter_belongs_to_its_serial_number() -> None:
    gains = np.array([EnergyMeter(1, f"EM{i:04d}").gain for i in range(400)])
    assert gains.mean() == pytest.approx(1.0, abs=0.004)
    assert gains.std() == pytest.approx(0.02, rel=0.15)
    assert EnergyMeter(7, "EM0003").gain == gains[3]


def test_noise_of_a_meter_is_half_a_percent() -> None:
    meter = EnergyMeter(1, max_rate_hz=1000.0)
    _, energy = meter.read(shots(0, 20_000), np.full(20_000, 0.4))
    assert energy.std() / energy.mean() == pytest.approx(0.005, rel=0.03)
    assert energy.mean() == pytest.approx(0.4 * meter.gain, rel=2e-4)


def test_a_slow_meter_reads_every_25th_pulse_of_a_fast_laser() -> None:
    index, _ = EnergyMeter(1).read(shots(0, 1000), np.ones(1000))
    assert_array_equal(index, np.arange(0, 1000, 25))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60 * MS), min_size=1, max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_readings_do_not_depend_on_how_calls_are_divided(gaps_ns: list[int], cuts: list[int]) -> None:
    t_ns = np.cumsum(np.array(gaps_ns, np.int64))
    energy = np.linspace(0.1, 1.0, len(t_ns))
    index, whole = EnergyMeter(9).read(t_ns, energy)
    assert (np.diff(t_ns[index]) >= 25 * MS).all()
    divided, done, parts, places = EnergyMeter(9), 0, [], []
    for end in [*sorted(min(cut, len(t_ns)) for cut in cuts), len(t_ns)]:
        part, reading = divided.read(t_ns[done:end], energy[done:end])
        parts.append(reading)
        places.append(part + done)
        done = end
    assert_array_equal(np.concatenate(places), index)
    assert_array_equal(np.concatenate(parts), whole)


def test_meter_checks_order() -> None:
    meter = EnergyMeter(1)
    meter.read(shots(5, 1), np.ones(1))
    with pytest.raises(ValueError, match="order of time"):
        meter.read(shots(4, 1), np.ones(1))


def test_fluence_of_a_bench_is_off_by_one_factor_at_every_setting() -> None:
    """F = E / entered area: 5 % of area and 2 % of gain over benches, but the same factor for all data of one."""
    errors = []
    for bench in range(150):
        attenuator, meter = Attenuator(bench), EnergyMeter(bench, f"EM{bench}", 1000.0)
        laser = PumpLaser(bench, 130.0, 0, attenuator)
        area = true_area_cm2(AREA_CM2, f"bench {bench}")
        ratios = []
        for step, transmission in enumerate((0.1, 0.3, 0.9)):
            attenuator.set_transmission(transmission, step * S)
            t_ns, true = laser.fire(shots(1000 * step + 300, 100))
            _, energy = meter.read(t_ns, true * area)
            ratios.append(energy.mean() / AREA_CM2 / true.mean())
        assert np.ptp(ratios) < 0.0035  # 0.5 % / sqrt(100) each
        errors.append(np.mean(ratios) - 1)
    assert np.std(errors) == pytest.approx(np.hypot(0.05, 0.02), rel=0.15)
    assert true_area_cm2(AREA_CM2, "bench 3") == true_area_cm2(AREA_CM2, "bench 3")
