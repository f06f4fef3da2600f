"""Light of one shot: thresholds, line shapes, and what uses the light up."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sim_instruments.film.charging import SlowState, steady_fraction
from sim_instruments.film.emission import NODES_NM, EdgeEmission, Emission
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import mean_excitations

NOMINAL = FilmParameters.nominal()
EDGE = EdgeEmission(NOMINAL)


def shine(fluence: float | list[float], voltage_v: float = 0.0, warming_k: float = 0.0, bleached: float = 0.0) -> Emission:
    """One shot of each fluence on a film at rest under bias."""
    pump = np.atleast_1d(np.asarray(fluence, dtype=float))
    every = np.ones(len(pump))
    charged = steady_fraction(NOMINAL, voltage_v)
    state = SlowState(every * voltage_v, every * charged, every * 0, every * warming_k, every * 0)
    return EDGE.emit(pump, state, every * bleached)


def width_nm(spectrum: np.ndarray) -> float:
    fine = np.linspace(NODES_NM[0], NODES_NM[-1], 3401)
    values = np.interp(fine, NODES_NM, spectrum)
    above = fine[values > values.max() / 2]
    return float(above[-1] - above[0])


@pytest.mark.parametrize(("voltage_v", "expected"), [(0.0, 68.0), (20.0, 32.0)])
def test_native_thresholds_of_the_paper(voltage_v: float, expected: float) -> None:
    assert Film(NOMINAL).native_threshold(voltage_v) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("voltage_v", "expected"), [(5.0, 59.1), (10.0, 45.1), (15.0, 36.4)])
def test_native_thresholds_between(voltage_v: float, expected: float) -> None:
    film = Film(NOMINAL)
    assert film.native_threshold(voltage_v) == pytest.approx(expected, rel=0.005)
    assert film.native_threshold(-voltage_v) == film.native_threshold(voltage_v)


@pytest.mark.parametrize(
    ("name", "off", "on"),
    [("loss_per_cm", 3.8, 5.8), ("gain_per_cm", -4.6, -7.1), ("pump_coupling", -9.0, -9.0), ("biexciton_strength", -8.2, -1.1)],
)
def test_thresholds_move_with_their_causes(name: str, off: float, on: float) -> None:
    """Percent for +10 % of the parameter. Source: sensitivity table of the specification, given to one digit."""
    film = Film(replace(NOMINAL, **{name: 1.1 * getattr(NOMINAL, name)}))
    assert 100 * (film.native_threshold(0.0) / 68.0 - 1) == pytest.approx(off, abs=0.15)
    assert 100 * (film.native_threshold(20.0) / 32.0 - 1) == pytest.approx(on, abs=0.15)


def test_a_film_without_enough_gain_has_no_threshold() -> None:
    assert EdgeEmission(replace(NOMINAL, gain_per_cm=100.0)).native_threshold(0.0) == np.inf


@pytest.mark.parametrize(("voltage_v", "threshold"), [(0.0, 68.0), (20.0, 32.0)])
def test_amplified_light_sets_in_at_the_threshold(voltage_v: float, threshold: float) -> None:
    factors = np.array([0.7, 0.8, 1.5, 1.75, 2.0])
    light = shine((factors * threshold).tolist(), voltage_v).ase.sum(axis=1)
    assert light[1] < 0.05 * light[2]
    slopes = np.diff(light[2:])
    assert slopes[1] == pytest.approx(slopes[0], rel=0.3)  # linear far above, not exponential


def test_line_narrows_towards_a_limit() -> None:
    widths = [width_nm(line) for line in shine([32 * 1.1, 32 * 1.3, 32 * 2.0, 32 * 3.0], 20.0).ase]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1.2 * widths[3]
    assert 2.5 < widths[3] < 2.9


def test_amplification_takes_from_the_spontaneous_band() -> None:
    off, on = shine(40.0), shine(40.0, 20.0)
    assert on.se_area[0] < 0.5 * off.se_area[0]
    assert on.ase.max() > 20 * off.ase.max()


def test_no_more_light_than_excitations() -> None:
    fluence = np.geomspace(1, 1000, 40)
    for voltage_v in (0.0, 10.0, 20.0):
        amplified = shine(fluence.tolist(), voltage_v).ase.sum(axis=1) * 0.5 / NOMINAL.ase_collection
        assert (amplified < mean_excitations(NOMINAL, fluence)).all()


def test_missed_pulse_is_dark() -> None:
    dark = shine([0.0, 40.0], 20.0)
    assert dark.se_area[0] == 0
    assert not dark.ase[0].any()
    assert dark.se_area[1] > 0


def test_weak_light_is_linear_and_fades_with_voltage() -> None:
    """2 nJ/cm2: slope 1, and the ladder 1 / 0.73 / 0.42 / 0.27 / 0.20 at 0 / 5 / 10 / 15 / 20 V."""
    weak = shine([0.002, 0.004]).se_area
    assert weak[1] / weak[0] == pytest.approx(2.0, rel=1e-3)
    ladder = [shine(0.002, voltage_v).se_area[0] / weak[0] for voltage_v in (5.0, 10.0, 15.0, 20.0)]
    assert_allclose(ladder, [0.73, 0.42, 0.27, 0.20], atol=0.005)


def test_bleaching_dims_and_delays() -> None:
    fresh, spent = shine([0.002, 40.0], 20.0), shine([0.002, 40.0], 20.0, bleached=0.1)
    assert spent.se_area[0] == pytest.approx(0.9 * fresh.se_area[0])
    assert spent.ase[1].sum() < 0.8 * fresh.ase[1].sum()


def test_ions_dim_all_light() -> None:
    one = np.ones(2)
    charged, zero = one * 0.5, one * 0
    pump = np.array([1.0, 90.0])
    rest, moved = (EDGE.emit(pump, SlowState(one * 10, charged, ion, zero, zero), zero) for ion in (zero, one * -0.76))
    assert_allclose(moved.se_area / rest.se_area, 1 - 0.03 * 0.76)
    assert_allclose(moved.ase / rest.ase, 1 - 0.03 * 0.76)


def test_warming_costs_gain_and_moves_the_line_to_higher_energy() -> None:
    cold, warm = shine(60.0, 20.0), shine(60.0, 20.0, warming_k=5.0)
    assert warm.ase.sum() < cold.ase.sum()
    assert warm.shift_ev[0] == pytest.approx(7.5e-4)

    def centre_nm(light: Emission) -> float:
        return float((light.ase[0] * NODES_NM).sum() / light.ase[0].sum())

    only_colder_gain = EdgeEmission(replace(NOMINAL, gap_ev_per_k=0.0))
    one = np.ones(1)
    state = SlowState(one * 20, one * steady_fraction(NOMINAL, 20.0), one * 0, one * 5.0, one * 0)
    unmoved = only_colder_gain.emit(np.array([60.0]), state, one * 0)
    assert centre_nm(unmoved) - centre_nm(warm) == pytest.approx(535**2 / 1239.842 * 7.5e-4, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 1), st.floats(0, 3), st.floats(0, 0.5)), min_size=1, max_size=80))
def test_a_shot_does_not_know_its_neighbours(shots: list[tuple[float, float, float, float]]) -> None:
    fluence, charged, warming, bleached = np.array(shots).T.copy()
    zero = np.zeros(len(shots))
    together = EDGE.emit(fluence, SlowState(zero, charged, zero, warming, zero), bleached)
    last = slice(len(shots) - 1, None)
    alone = EDGE.emit(
        fluence[last], SlowState(zero[last], charged[last], zero[last], warming[last], zero[last]), bleached[last]
    )
    assert_array_equal(together.ase[last], alone.ase)
    assert_array_equal(together.se_area[last], alone.se_area)
