"""Slow state and current of the film."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sim_instruments.film.charging import BiasHistory, steady_fraction
from sim_instruments.film.emission import EdgeEmission
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

NOMINAL = FilmParameters.nominal()
MS = 1_000_000
S = 1_000_000_000


def at(*times_s: float) -> np.ndarray:
    return np.array([round(t * S) for t in times_s], np.int64)


@pytest.fixture
def film() -> Film:
    return Film(NOMINAL)


def test_charged_fraction_against_voltage() -> None:
    fractions = [steady_fraction(NOMINAL, v) for v in (0.0, 5.0, 10.0, 15.0, 20.0)]
    assert_allclose(fractions, [0, 0.20, 0.50, 0.69, 0.80], atol=0.003)


def test_charging_takes_5_ms_and_discharging_25_ms(film: Film) -> None:
    film.set_voltage(20.0, 1 * S)
    on = film.charged_fraction(at(1.0, 1.005, 1.2))
    assert on[0] == 0
    assert on[1] / 0.8 == pytest.approx(1 - np.exp(-1), rel=2e-3)
    film.set_voltage(0.0, 2 * S)
    off = film.charged_fraction(at(2.0, 2.025, 2.1))
    assert_allclose(off[1:] / off[0], np.exp([-1, -4]), rtol=1e-9)


def test_state_agrees_with_a_plain_integration(film: Film) -> None:
    """Euler's method with 20 us steps through three edges, off the grid."""
    p = NOMINAL
    edges = [(3 * MS, 20.0), (203 * MS, -12.0), (397 * MS, 0.0), (461 * MS, 17.0)]
    for t_ns, voltage in edges:
        film.set_voltage(voltage, t_ns)
    checks = at(0.01, 0.1, 0.21, 0.35, 0.42, 0.5, 0.6)
    state, voltage, reference = np.zeros(4), 0.0, []
    step_ns, pending = 20_000, list(edges)
    for t_ns in range(0, int(checks[-1]) + step_ns, step_ns):
        if pending and t_ns >= pending[0][0]:
            voltage = pending.pop(0)[1]
        if t_ns in checks:
            reference.append(state.copy())
        f, y, t1, t2 = state
        k_in = p.charge_per_s * (voltage / 20) ** 2 * (1 - p.ion_screening * y * np.sign(voltage))
        power = abs(voltage) * 8e-7 * voltage**2  # watts, roughly; heat is compared loosely
        change = [
            k_in * (1 - f) - p.discharge_per_s * f,
            (np.tanh(voltage / 20) - y) / p.ion_s,
            (p.fast_heat_k_per_w * power - t1) / p.fast_heat_s,
            (p.slow_heat_k_per_w * power - t2) / p.slow_heat_s,
        ]
        state = state + step_ns * 1e-9 * np.array(change)
    reference = np.array(reference).T
    history = film.state(checks)
    assert_allclose(history.charged, reference[0], atol=2e-3)
    assert_allclose(history.ion, reference[1], atol=1e-4)
    assert_allclose(history.warming_k, reference[2] + reference[3], rtol=0.15, atol=2e-3)
    assert_allclose(film.voltage_v(checks), [20, 20, -12, -12, 0, 17, 17])


def test_thirty_seconds_of_bias_move_ions_current_and_threshold(film: Film) -> None:
    """dc at 20 V: current -11 %, threshold +1.9 %, 0.43 K."""
    film.set_voltage(20.0, 0)
    assert film.current_a(20.0, 30 * S) / film.current_a(20.0, 0) - 1 == pytest.approx(-0.11, abs=0.005)
    charged = float(film.charged_fraction(at(30.0))[0])
    threshold = EdgeEmission(NOMINAL).native_threshold(charged)
    assert threshold / 32 - 1 == pytest.approx(0.019, abs=0.003)
    assert film.state(at(30.0)).warming_k[0] == pytest.approx(0.43, abs=0.01)


def test_charging_is_reversible(film: Film) -> None:
    film.set_voltage(20.0, 0)
    film.set_voltage(0.0, 30 * S)
    f, y = film.state(at(31.0, 50.0))[1:3]
    assert f[0] < 1e-10
    assert_allclose(y, np.tanh(1) * (1 - np.exp(-7.5)) * np.exp([-0.25, -5.0]))


def test_after_a_reversal_ions_help_until_they_have_passed_zero(film: Film) -> None:
    film.set_voltage(20.0, 0)
    film.set_voltage(-20.0, 20 * S)
    balance = steady_fraction(NOMINAL, 20.0)
    early, late = film.charged_fraction(at(20.1, 40.0))
    assert early > balance > late


@settings(max_examples=40, deadline=None)
@given(
    edges=st.lists(st.tuples(st.integers(1, 80 * MS), st.sampled_from([0.0, 5.0, -20.0, 20.0])), min_size=1, max_size=6),
    questions=st.lists(st.integers(0, 500 * MS), max_size=8),
)
@example(edges=[(5 * MS, 20.0), (12 * MS, 0.0), (30 * MS, 20.0)], questions=[12 * MS, 500 * MS])
def test_asking_changes_nothing(edges: list[tuple[int, float]], questions: list[int]) -> None:
    quiet, asked = BiasHistory(NOMINAL), BiasHistory(NOMINAL)
    t_ns = 0
    for gap_ns, voltage in edges:
        t_ns += gap_ns
        quiet.set_voltage(voltage, t_ns)
        for ahead_ns in questions:  # also about times after the next edge
            asked.state_at(ahead_ns)
        asked.set_voltage(voltage, t_ns)
    end = np.arange(0, t_ns + 100 * MS, 7 * MS, dtype=np.int64)
    for one, other in zip(quiet.at(end), asked.at(end), strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_voltages_at_one_instant_leave_the_later(film: Film) -> None:
    film.set_voltage(5.0, 1 * S)
    film.set_voltage(20.0, 1 * S)
    other = Film(NOMINAL)
    other.set_voltage(20.0, 1 * S)
    assert film.charged_fraction(at(1.01))[0] == other.charged_fraction(at(1.01))[0]


def test_time_and_numbers_are_checked(film: Film) -> None:
    film.set_voltage(5.0, 10)
    with pytest.raises(ValueError, match="after one at 10 ns"):
        film.set_voltage(0.0, 9)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot be at"):
            film.set_voltage(bad, 20)
    film.emit(at(1.0), np.array([40.0]))
    with pytest.raises(ValueError, match="has been emitted"):
        film.set_voltage(0.0, 1 * S)
    with pytest.raises(ValueError, match="order of time"):
        film.emit(at(0.5), np.array([40.0]))
    film.set_voltage(0.0, 2 * S)
    film.emit(at(3.0), np.array([40.0]))
    with pytest.raises(ValueError, match="forgotten"):
        film.charged_fraction(at(1.5))


@pytest.mark.parametrize(("voltage_v", "microampere"), [(1.0, 1.3), (5.0, 22.0), (10.0, 83.0), (20.0, 322.0)])
def test_current(film: Film, voltage_v: float, microampere: float) -> None:
    current = film.current_a(voltage_v, 0)
    assert current * 1e6 == pytest.approx(microampere, rel=0.02)
    assert -1 < film.current_a(-voltage_v, 0) / current < -0.85  # the film rectifies a little


def test_current_may_be_asked_at_another_voltage_than_the_applied(film: Film) -> None:
    film.set_voltage(20.0, 0)
    currents = [film.current_a(v, 30 * S) for v in (0.0, 5.0, 10.0, 20.0)]
    assert currents[0] == 0
    assert all(low < high for low, high in pairwise(currents))


def test_capacitance(film: Film) -> None:
    assert film.capacitance_f == pytest.approx(0.71e-9, rel=0.01)


def test_leak_draws_from_its_time_on(film: Film) -> None:
    sound = film.current_a(20.0, 100)
    film.add_leak(10_000.0, 100)
    assert film.current_a(20.0, 99) == sound
    assert film.current_a(20.0, 100) == pytest.approx(sound + 2e-3)
    assert film.current_a(-20.0, 100) < -2e-3


def test_bleaching_is_2_percent_in_400_000_shots_and_only_grows(film: Film) -> None:
    times = np.arange(400_000, dtype=np.int64) * MS
    before = film.absorb(times, np.full(400_000, 40.0))
    assert film.bleached_fraction == pytest.approx(0.02, rel=0.02)
    assert (np.diff(before) >= 0).all()
    assert film.emit(times[-1:], np.array([0.0])).se_area[0] == 0
    assert film.bleached_fraction >= before[-1]
