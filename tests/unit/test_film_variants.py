"""The control device: PMMA between film and electrode."""

import numpy as np
import pytest

from sim_instruments.film.charging import steady_fraction
from sim_instruments.film.damage import hazard_per_s
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import cw_yield
from sim_instruments.film.variants import device, pmma

BARE = FilmParameters.nominal()
PMMA = pmma(BARE)
S = 1_000_000_000
VOLTAGES = (0.0, 5.0, 10.0, 15.0, 20.0)


def settled(parameters: FilmParameters, voltage_v: float) -> Film:
    film = Film(parameters)
    film.set_voltage(voltage_v, 0)
    return film


def test_charge_hardly_gets_past_the_polymer() -> None:
    assert [steady_fraction(PMMA, v) for v in VOLTAGES] == pytest.approx([1e-3 * (v / 20) ** 2 for v in VOLTAGES], rel=2e-3)


@pytest.mark.parametrize("after_s", [0.2, 30.0])
def test_weak_light_is_insensitive_to_voltage(after_s: float) -> None:
    """-0.15 % at 20 V, where the bare film loses 80 %; less than 2 % at every voltage and at any time."""
    t_ns = np.array([round(after_s * S)])
    light = np.array([float(cw_yield(PMMA, settled(PMMA, v).state(t_ns))[0]) for v in VOLTAGES])
    assert light[-1] - light[0] == pytest.approx(-0.0015, abs=2e-4)
    assert (np.abs(light / light[0] - 1) < 0.02).all()
    assert float(cw_yield(BARE, settled(BARE, 20.0).state(t_ns))[0]) < 0.25


def test_current_is_leakage_only() -> None:
    """0.2 uA at 20 V, below 1 % of the bare device's."""
    blocked, bare = (settled(p, 20.0).current_a(20.0, S) for p in (PMMA, BARE))
    assert blocked == pytest.approx(0.2e-6, rel=0.01)
    assert blocked < 0.01 * bare
    assert settled(PMMA, 10.0).current_a(10.0, S) == pytest.approx(blocked / 2, rel=1e-6)  # ohmic


def test_threshold_does_not_move() -> None:
    assert Film(PMMA).native_threshold(0.0) == pytest.approx(68.0, abs=0.005)
    assert Film(PMMA).native_threshold(20.0) == pytest.approx(68.0, rel=0.002)


def test_stark_shift_is_small_red_and_quadratic() -> None:
    pump, t_ns = np.array([1.0]), np.array([S])
    shift_ev = np.array([settled(PMMA, v).emit(t_ns, pump).shift_ev[0] for v in (0.0, 10.0, -20.0, 20.0)])
    shift_nm = -shift_ev * 520**2 / 1239.842
    assert 0.05 < shift_nm[3] <= 0.2
    assert shift_nm[2] == pytest.approx(shift_nm[3])
    assert shift_nm[1] == pytest.approx(shift_nm[3] / 4, rel=0.01)
    bare = settled(BARE, 20.0)
    assert bare.emit(t_ns, pump).shift_ev[0] == BARE.gap_ev_per_k * bare.state(t_ns).warming_k[0]


def test_the_polymer_takes_its_share_of_the_capacitance() -> None:
    assert Film(PMMA).capacitance_f - 120e-12 == pytest.approx(0.82 * (Film(BARE).capacitance_f - 120e-12))


def test_breakdown_as_without() -> None:
    assert hazard_per_s(PMMA, 24.0) == hazard_per_s(BARE, 24.0)
    film = settled(PMMA, 30.0)
    assert film.broken(S)
    assert film.current_a(1.0, S) == pytest.approx(1 / 180, rel=0.01)


def test_a_serial_number_is_the_same_film_in_every_make() -> None:
    bare, blocked = device("NC-7"), device("NC-7", "pmma")
    assert bare == device("NC-7", "bare") == FilmParameters.sampled("NC-7")
    assert blocked.gain_per_cm == bare.gain_per_cm
    assert blocked.shunt_ohm == 50 * bare.shunt_ohm
    assert device() == BARE
    assert device(None, "pmma") == PMMA
    with pytest.raises(ValueError, match="bare, pmma"):
        device("NC-7", "PMMA")
