"""Damage that stays: hazard, breakdown, what it does to current and light, contacts that let go."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sim_instruments.film.charging import steady_fraction
from sim_instruments.film.current import SOUND, Contact, steady_current_a
from sim_instruments.film.damage import Condition, Wear, circuit, condition, hazard_per_s
from sim_instruments.film.emission import EdgeEmission
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

NOMINAL = FilmParameters.nominal()
UNBREAKABLE = replace(NOMINAL, hazard_per_s=0.0)
MS = 1_000_000
S = 1_000_000_000
BROKEN = Wear(hazard=NOMINAL.critical_hazard)


def at(*times_s: float) -> np.ndarray:
    return np.array([round(t * S) for t in times_s], np.int64)


class Step:
    """A contact that changes once."""

    def __init__(self, t_ns: int, after: Contact) -> None:
        self.t_ns, self.after = t_ns, after

    def at(self, t_ns: int) -> Contact:
        return self.after if t_ns >= self.t_ns else SOUND

    def next_ns(self, t_ns: int) -> int | None:
        return self.t_ns if t_ns < self.t_ns else None


# --- the law


@pytest.mark.parametrize(
    ("voltage_v", "chance"), [(18, 5.6e-6), (20, 1.2e-4), (22, 2.6e-3), (24, 5.4e-2), (26, 0.70), (28, 1.0), (-24, 5.4e-2)]
)
def test_chance_to_break_within_a_minute(voltage_v: float, chance: float) -> None:
    assert 1 - np.exp(-60 * hazard_per_s(NOMINAL, voltage_v)) == pytest.approx(chance, rel=0.02)


def test_hazard_at_22_v_is_more_than_ten_times_that_at_20_v() -> None:
    assert hazard_per_s(NOMINAL, 22.0) >= 10 * hazard_per_s(NOMINAL, 20.0)


def test_heat_and_damage_raise_the_hazard() -> None:
    cold = hazard_per_s(NOMINAL, 20.0)
    assert hazard_per_s(NOMINAL, 20.0, warming_k=2.0) / cold == pytest.approx(np.exp(0.1))
    assert hazard_per_s(NOMINAL, 20.0, damage=0.1) / cold == pytest.approx(4.0)
    assert hazard_per_s(NOMINAL, 0.0) == 0


def test_strength_is_exponentially_distributed_over_devices() -> None:
    """Share of devices that outlive H is e^-H."""
    origin = FilmParameters.origins()["critical_hazard"]
    strength = np.array([origin.draw(1.0, z) for z in np.random.default_rng(1).standard_normal(20_000)])
    for hazard in (0.1, 0.7, 1.2, 3.0):
        assert (strength > hazard).mean() == pytest.approx(np.exp(-hazard), abs=0.01)


def test_half_a_batch_survives_6_s_at_26_8_v() -> None:
    """40 serials; h tau = ln 2 at 20 V + 1.5 V lg(ln2 / 1.2e-5), 0.3 V less for heat, feedback and the spread of V_b."""
    films = [Film(FilmParameters.sampled(f"NC-{i:03d}")) for i in range(40)]
    for film in films:
        film.set_voltage(26.8, 0)
    broken = sum(film.broken(6 * S) for film in films)
    assert 11 <= broken <= 29  # binomial, 3 sigma


def test_breakdown_comes_when_the_hazard_has_added_up() -> None:
    """Against Euler's method with the film's own temperature."""
    film = Film(NOMINAL)
    film.set_voltage(27.0, 0)
    when_ns = film.next_change_ns(0, 60 * S)
    while (later := film.next_change_ns(when_ns or 0, 60 * S)) is not None:
        when_ns = later  # the first change was the weak spot's, if any
    assert when_ns is not None
    assert film.broken(when_ns)
    assert not film.broken(when_ns - 1000)
    step_s = 2e-3
    times = np.arange(0, when_ns * 1e-9, step_s)
    warming = Film(UNBREAKABLE)
    warming.set_voltage(27.0, 0)
    kelvin = warming.state(np.round(times * S).astype(np.int64)).warming_k
    hazard = 0.0
    for dt_k in kelvin:
        hazard += step_s * hazard_per_s(NOMINAL, 27.0, float(dt_k), 0.02 * hazard)
    assert hazard == pytest.approx(1.0, abs=0.01)
    assert film.wear(when_ns).damage == pytest.approx(0.52, abs=1e-3)


def test_far_too_much_voltage_breaks_at_once_and_stays_finite() -> None:
    film = Film(NOMINAL)
    film.set_voltage(-210.0, 1 * S)
    assert film.next_change_ns(1 * S, 2 * S) == 1 * S + 1
    wear = film.wear(10 * S)
    assert wear.hazard == NOMINAL.critical_hazard
    assert 0.5 <= wear.damage <= 0.53
    assert np.isfinite(film.current_a(-210.0, 10 * S))
    assert np.isfinite(film.emit(at(11.0), np.array([40.0])).ase).all()


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 90 * MS), st.sampled_from([0.0, 20.0, 28.0, -31.0])), min_size=1, max_size=6),
    questions=st.lists(st.integers(0, 700 * MS), max_size=8),
)
def test_asking_does_not_age(steps: list[tuple[int, float]], questions: list[int]) -> None:
    quiet, asked = Film(NOMINAL), Film(NOMINAL)
    for film in (quiet, asked):
        film.add_contact(Step(55 * MS, Contact(1e9)), 0)
        film.add_contact(Step(75 * MS, Contact(-1e9, 0.7)), 0)
    t_ns = 0
    for gap_ns, voltage in steps:
        t_ns += gap_ns
        quiet.set_voltage(voltage, t_ns)
        for ahead_ns in questions:
            asked.wear(ahead_ns)
            asked.next_change_ns(0, ahead_ns)
        asked.set_voltage(voltage, t_ns)
    end = np.arange(0, t_ns + 300 * MS, 7 * MS, dtype=np.int64)
    for one, other in zip(quiet.state(end), asked.state(end), strict=True):
        assert_array_equal(one, other)
    assert quiet.next_change_ns(0, t_ns + 300 * MS) == asked.next_change_ns(0, t_ns + 300 * MS)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2 * S), st.sampled_from([0.0, 5.0, 20.0, -20.0, 24.0, 30.0, 210.0]), st.integers(0, 50)),
        min_size=2,
        max_size=8,
    )
)
def test_nothing_ever_heals(steps: list[tuple[int, float, int]]) -> None:
    film, t_ns, before = Film(NOMINAL), 0, Wear()
    for gap_ns, voltage_v, pulses in steps:
        t_ns += gap_ns
        film.set_voltage(voltage_v, t_ns)
        shots = t_ns + 1 + np.arange(pulses, dtype=np.int64) * (gap_ns // 100)
        film.absorb(shots, np.full(pulses, 40.0))
        t_ns += gap_ns
        after = film.wear(t_ns)
        assert all(new >= old for new, old in zip(after, before, strict=True))
        before = after
        if gap_ns % 3 == 0:  # taken off and put on another bench
            film, t_ns = Film(NOMINAL, after, seed=gap_ns), 0
            assert film.wear(0) == after


# --- what damage does


def test_a_film_without_damage_is_exactly_the_film_as_made() -> None:
    edge, film = EdgeEmission(NOMINAL), Film(NOMINAL)
    film.set_voltage(20.0, 0)
    pump, zero, one = np.linspace(1, 100, 30), np.zeros(30), np.ones(30)
    state = film.state(np.arange(30) * MS)
    new = condition(NOMINAL, zero, zero)
    assert_array_equal(new, Condition(one, one, one))
    with_it, without = edge.emit(pump, state, zero, new), edge.emit(pump, state, zero)
    assert_array_equal(with_it.ase, without.ase)
    assert_array_equal(with_it.se_area, without.se_area)
    assert steady_current_a(NOMINAL, 20.0, 0.3, 0.1, circuit(NOMINAL)) == steady_current_a(NOMINAL, 20.0, 0.3, 0.1)


def test_damage_opens_the_shunt_and_costs_gain() -> None:
    """R_sh e^-3D and alpha_l (1 + D/2); spontaneous light far below threshold stays."""
    worn, new = Film(UNBREAKABLE, Wear(damage=0.2)), Film(UNBREAKABLE)
    assert 1e-6 / (worn.current_a(0.01, 0) / 0.01) == pytest.approx(2.0 * np.exp(-0.6), rel=0.02)
    assert new.current_a(0.01, 0) / 0.01 == pytest.approx(1 / 2e6, rel=0.02)
    lossy = Film(replace(UNBREAKABLE, loss_per_cm=1.1 * UNBREAKABLE.loss_per_cm))
    for film in (worn, new, lossy):
        film.set_voltage(20.0, 0)
    bright, dim, same = (film.emit(at(0.2, 0.3), np.array([1.0, 35.0])) for film in (new, worn, lossy))
    assert dim.se_area[0] == pytest.approx(bright.se_area[0], rel=1e-3)
    assert dim.ase[1].sum() < 0.8 * bright.ase[1].sum()
    assert dim.ase[1].sum() == pytest.approx(same.ase[1].sum(), rel=1e-3)


def test_a_broken_film_is_a_short_that_gives_the_off_spectrum_dimmer() -> None:
    film, off, twin = Film(NOMINAL), Film(NOMINAL), Film(NOMINAL)
    for each in (film, twin):
        each.set_voltage(20.0, 0)
    film.break_down(1 * S)
    assert film.next_change_ns(0, 2 * S) == 1 * S
    assert film.current_a(20.0, 1 * S - 1) == pytest.approx(twin.current_a(20.0, 1 * S - 1))
    assert film.current_a(0.1, 1 * S) == pytest.approx(0.1 / (NOMINAL.series_ohm + NOMINAL.short_ohm), rel=1e-3)
    wear, sound = film.wear(1 * S), twin.wear(1 * S)
    assert wear.damage - sound.damage == pytest.approx(0.5)
    assert film.charged_fraction(at(1.0, 1.5)) == pytest.approx([0.79, 0.0], abs=0.01)  # even at full voltage
    film.set_voltage(0.18, 1 * S + 1)  # what compliance leaves
    dim, was = film.emit(at(1.5), np.array([40.0])), off.emit(at(1.5), np.array([40.0]))
    assert dim.se_area[0] / was.se_area[0] == pytest.approx(0.6, abs=0.01)
    assert dim.ase.sum() < 0.5 * was.ase.sum()


def test_breaking_costs_gain_and_adds_loss() -> None:
    """Loss x 1.5, gain x 0.8, yield x 0.6."""
    worn = replace(UNBREAKABLE, loss_per_cm=1.5 * UNBREAKABLE.loss_per_cm, gain_per_cm=0.8 * UNBREAKABLE.gain_per_cm)
    pump = np.array([150.0, 200.0])
    broken, same = Film(NOMINAL, BROKEN).emit(at(0.0, 1.0), pump), Film(worn).emit(at(0.0, 1.0), pump)
    assert_allclose(broken.ase, 0.6 * same.ase, rtol=1e-9)
    assert_allclose(broken.se_area, 0.6 * same.se_area, rtol=1e-9)


def test_a_short_differs_from_device_to_device() -> None:
    shorts = np.array([FilmParameters.sampled(f"NC-{i}").short_ohm for i in range(300)])
    assert np.log(shorts / 120).std() == pytest.approx(0.5, abs=0.07)
    assert np.median(shorts) == pytest.approx(120, rel=0.1)


def test_a_film_broken_before_is_broken_still_and_not_once_more() -> None:
    film = Film(NOMINAL, BROKEN._replace(damage=0.5))
    film.set_voltage(20.0, 0)
    assert film.next_change_ns(0, 60 * S) is None
    assert film.wear(60 * S) == BROKEN._replace(damage=0.5)
    assert film.current_a(1.0, 60 * S) > 5e-3


def test_a_breakdown_announces_itself() -> None:
    """Shunt 20 % down and noise of 0.3 %, from a nine-tenths hazard on."""
    film, twin = Film(NOMINAL), Film(NOMINAL)
    film.weaken(1 * S)
    assert film.current_a(20.0, 1 * S - 1) == twin.current_a(20.0, 1 * S - 1)
    ratio = np.array([film.current_a(20.0, t) / twin.current_a(20.0, t) for t in range(1 * S, 1 * S + 4000)])
    assert ratio.std() == pytest.approx(3e-3, rel=0.05)
    assert ratio.mean() - 1 == pytest.approx(0.25 * 10e-6 / 322e-6, rel=0.1)  # R_sh takes 10 of 322 uA
    again = Film(NOMINAL)
    again.weaken(1 * S)
    assert again.current_a(20.0, 1 * S + 7) == film.current_a(20.0, 1 * S + 7)
    assert not film.broken(60 * S)


def test_bleaching_goes_on_where_it_was() -> None:
    film = Film(NOMINAL, Wear(bleached=0.3))
    assert film.bleached_fraction == pytest.approx(0.3, rel=1e-12)
    for bleached in np.linspace(0.01, 0.99, 99).tolist():
        assert Film(NOMINAL, Wear(bleached=bleached)).bleached_fraction >= bleached  # to the last bit
    half = film.emit(at(0.0), np.array([0.01])).se_area / Film(NOMINAL).emit(at(0.0), np.array([0.01])).se_area
    assert half == pytest.approx(0.7, rel=1e-5)
    assert film.bleached_fraction > 0.3


# --- contacts and capacitance


def test_an_open_contact_leaves_leakage_and_no_switching() -> None:
    film = Film(UNBREAKABLE)
    film.set_voltage(20.0, 0)
    film.add_contact(Step(1 * S, Contact(2e9)), 0)
    assert film.current_a(20.0, 1 * S - 1) > 300e-6
    assert film.current_a(20.0, 1 * S) == pytest.approx(10e-9, rel=0.01)
    assert film.voltage_v(at(2.0))[0] == 20.0
    assert film.charged_fraction(at(1.0, 1.025, 2.0)) == pytest.approx([0.79, 0.79 * np.exp(-1), 0.0], abs=0.01)
    off = Film(UNBREAKABLE).emit(at(2.0), np.array([40.0]))
    assert_allclose(film.emit(at(2.0), np.array([40.0])).se_area, off.se_area, rtol=0.02)  # ions and heat linger


def test_a_contact_that_is_open_already_acts_from_when_it_is_put_in() -> None:
    film = Film(UNBREAKABLE)
    film.set_voltage(20.0, 0)
    film.add_contact(Step(0, Contact(2e9)), 105 * MS)  # between two nodes of the grid
    before, after = film.charged_fraction(at(0.105, 0.130))
    assert before == pytest.approx(0.80, abs=0.01)
    assert after / before == pytest.approx(np.exp(-1), rel=1e-3)


def test_a_film_behind_an_open_contact_does_not_age() -> None:
    film = Film(NOMINAL)
    film.add_contact(Step(0, Contact(2e9)), 0)
    film.set_voltage(28.0, 1)
    assert film.wear(60 * S).hazard < 1e-9


def test_a_partly_lifted_electrode_costs_current_and_contrast_by_its_area() -> None:
    whole, part = Film(UNBREAKABLE), Film(UNBREAKABLE)
    for film in (whole, part):
        film.set_voltage(20.0, 0)
    part.add_contact(Step(1, Contact(area=0.6)), 0)
    assert part.current_a(20.0, 1 * S) / whole.current_a(20.0, 1 * S) == pytest.approx(0.6, rel=0.02)
    pump = np.array([40.0])
    off = Film(UNBREAKABLE).emit(at(1.0), pump).ase.sum()
    on, partly = (film.emit(at(1.0), pump).ase.sum() for film in (whole, part))
    assert (partly - off) / (on - off) == pytest.approx(0.6, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-200, 200),
    st.floats(0, 3e9),
    st.floats(0.1, 1),
    st.floats(0, 0.7),
    st.booleans(),
)
def test_current_solves_the_circuit(voltage_v: float, contact_ohm: float, area: float, damage: float, broken: bool) -> None:
    """V = V' + R I with I = V'/R_sh + J V'|V'|, whatever is wrong."""
    wrong = circuit(NOMINAL, Contact(contact_ohm, area), damage, 1.0 if broken else 0.0)
    current_a = steady_current_a(NOMINAL, voltage_v, 0.0, 0.0, wrong)
    inner_v = voltage_v - current_a * wrong.series_ohm
    lossless = wrong._replace(series_ohm=0.0, stiff=True)
    # with R = 0 the plain law; rectification goes by the sign of the whole voltage
    expected_a = steady_current_a(NOMINAL, abs(inner_v) * np.sign(voltage_v), 0.0, 0.0, lossless)
    assert expected_a == pytest.approx(current_a, rel=1e-3, abs=1e-15)


def test_a_step_charges_film_and_cable() -> None:
    film = Film(NOMINAL)
    film.set_voltage(20.0, 5 * MS)
    assert film.displacement_a(4 * MS, 6 * MS) == pytest.approx(0.71e-9 * 20 / 2e-3, rel=0.01)
    assert film.displacement_a(5 * MS, 8 * MS) == 0
    film.set_voltage(0.0, 10 * MS)
    assert film.displacement_a(9 * MS, 11 * MS) == pytest.approx(-0.71e-9 * 20 / 2e-3, rel=0.01)
    assert film.displacement_a(4 * MS, 11 * MS) == 0


def test_behind_an_open_contact_only_the_cable_is_charged() -> None:
    film = Film(NOMINAL)
    film.add_contact(Step(0, Contact(2e9)), 0)
    film.set_voltage(20.0, 5 * MS)
    assert film.displacement_a(4 * MS, 6 * MS) == pytest.approx(120e-12 * 20 / 2e-3, rel=0.01)


def test_what_has_been_seen_cannot_be_changed() -> None:
    film = Film(NOMINAL)
    film.set_voltage(20.0, 10)
    for change in (film.weaken, film.break_down, lambda t_ns: film.add_contact(Step(0, SOUND), t_ns)):
        with pytest.raises(ValueError, match="after one at 10 ns"):
            change(9)
    film.emit(at(1.0), np.array([40.0]))
    with pytest.raises(ValueError, match="has been emitted"):
        film.break_down(1 * S)


def test_native_thresholds_are_those_of_the_unused_film() -> None:
    worn = Film(NOMINAL, Wear(damage=0.5, hazard=2.0, bleached=0.1))
    assert worn.native_threshold(20.0) == pytest.approx(32.0, abs=0.005)
    assert worn.native_threshold(0.0) == pytest.approx(68.0, abs=0.005)
    assert steady_fraction(NOMINAL, 20.0) == pytest.approx(0.8)
