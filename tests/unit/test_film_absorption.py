"""Absorbance of the film, its change after a pump pulse, and what the pump-probe spectrometer adds."""

from dataclasses import replace
from math import erf, exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.stats import poisson as poisson_law

from sim_instruments.film.absorption import Transmission, higher_bands_od
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import cascade, decay_rates_per_ps, poisson, states_after
from sim_instruments.film.spectra import HC_EV_NM, absorption_spectra
from sim_instruments.pump_probe import STAGE_STEP_PS, PumpProbe

NOMINAL = FilmParameters.nominal()
BAND_NM = np.arange(500.0, 560.0, 0.5)
BAND = Transmission(NOMINAL, BAND_NM)
AT_537 = Transmission(NOMINAL, np.array([537.0]))
OFF, ON = 0.0, 0.8


def delays(*delay_ps: float) -> np.ndarray:
    return np.array(delay_ps)[:, None]


@pytest.mark.parametrize(("charged", "expected"), [(OFF, 0.0490), (ON, 0.0322)])
def test_unpumped_film_at_537_nm(charged: float, expected: float) -> None:
    assert AT_537.linear_od(charged)[0] == pytest.approx(expected, abs=6e-5)


def test_full_optical_density_at_400_nm_whatever_the_charge() -> None:
    pump = Transmission(NOMINAL, np.array([400.0]))
    for charged in (OFF, 0.4, ON):
        assert pump.linear_od(charged)[0] == pytest.approx(0.46, abs=1e-6)


def test_higher_bands_leave_the_band_edge_alone() -> None:
    assert not higher_bands_od(NOMINAL, BAND_NM).any()
    rising = higher_bands_od(NOMINAL, np.arange(495.0, 390.0, -1.0))
    assert (np.diff(rising) > 0).all()


def test_charge_blocks_the_band_edge_in_proportion() -> None:
    empty, half, full = (BAND.linear_od(f) for f in (0.0, 0.5, 1.0))
    assert_allclose(half, (empty + full) / 2)
    assert (full < 0.8 * empty).all()


@pytest.mark.parametrize(
    ("excitations", "charged", "t_ps"), [(0.06, ON, 4.0), (0.7, ON, 203.0), (1.5, OFF, 4.0), (2.5, 0.3, 0.1)]
)
def test_change_is_that_of_the_written_equations(excitations: float, charged: float, t_ps: float) -> None:
    """Everything written out once more, with the matrix exponential of scipy and its Poisson law."""
    start = np.append(poisson_law.pmf(np.arange(7), excitations), poisson_law.sf(6, excitations))
    states = absorption_spectra(NOMINAL, HC_EV_NM / BAND_NM)
    change = np.zeros(len(BAND_NM))
    for charge, share in ((0, 1 - charged), (1, charged)):
        rate = decay_rates_per_ps(NOMINAL, charge, charged)
        now = expm((np.diag(rate[1:], 1) - np.diag(rate)) * t_ps) @ start
        first = 3 * charge
        change += share * (np.array([now[0], now[1], now[2:].sum()]) @ states[first : first + 3] - states[first])
    rise = 0.5 * (1 + erf(t_ps / 0.08)) * (1 - 0.6 * exp(-t_ps / 0.35))
    assert_allclose(BAND.transient_od(excitations, charged, delays(t_ps))[0], 0.30 * change * rise, atol=1e-12)


def test_states_hold_every_nanocrystal_once_and_agree_with_the_cascade() -> None:
    start = poisson(np.array(1.3))
    after_ps = np.array([[0.0, 4.0], [80.0, 3000.0]])
    states = states_after(NOMINAL, start, 0.4, after_ps)
    assert states.shape == (2, 2, 6)
    assert_allclose(states[..., :3].sum(axis=-1), 1.0)
    assert_allclose(states[..., 3:].sum(axis=-1), 1.0)
    for charge in (0, 1):
        population = cascade(NOMINAL, charge, 80.0, 0.4) @ start
        assert_allclose(states[1, 0, 3 * charge : 3 * charge + 2], population[:2], atol=1e-12)


def test_each_wavelength_may_have_its_own_delay() -> None:
    together = BAND.transient_od(1.0, ON, np.full((2, len(BAND_NM)), [[3.0], [50.0]]))
    assert_allclose(together, BAND.transient_od(1.0, ON, delays(3.0, 50.0)), atol=1e-15)
    mixed = BAND.transient_od(1.0, ON, np.linspace(1.0, 90.0, len(BAND_NM))[None, :])
    assert mixed[0, 0] == pytest.approx(BAND.transient_od(1.0, ON, delays(1.0))[0, 0])
    assert mixed[0, -1] == pytest.approx(BAND.transient_od(1.0, ON, delays(90.0))[0, -1])


def test_nothing_happens_before_the_pump_or_without_it() -> None:
    assert not BAND.transient_od(2.0, ON, delays(-2.0, -1.0)).any()
    assert_allclose(BAND.transient_od(0.0, ON, delays(0.0, 4.0, 3000.0)), 0.0, atol=1e-15)


def test_signal_rises_with_the_pulses_and_then_as_carriers_cool() -> None:
    early = BAND.transient_od(0.06, OFF, delays(-0.08, 0.0, 0.16, 0.5, 2.0))[:, 28]  # bleach at 514 nm
    assert (early < 0).all()
    assert (np.diff(early) < 0).all()
    assert early[1] / early[-1] == pytest.approx(0.2, rel=0.01)


def test_weak_change_is_linear_in_the_pump() -> None:
    once, twice = (BAND.transient_od(m, ON, delays(4.0)) for m in (1e-4, 2e-4))
    assert_allclose(twice, 2 * once, rtol=1e-3, atol=1e-9)


def test_one_exciton_in_a_neutral_nanocrystal_gives_no_gain() -> None:
    """C01: gain while there are pairs; when Auger decay has left single excitons only, the film absorbs at any pump."""
    for excitations in (1.5, 2.5, 5.0):
        early, late = AT_537.linear_od(OFF) + AT_537.transient_od(excitations, OFF, delays(4.0, 1200.0))
        assert early[0] < 0
        assert late[0] > 0


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1e-3), st.floats(-2, 3000))
def test_no_gain_is_left_without_pump(charged: float, excitations: float, t_ps: float) -> None:
    """C15: not even if every nanocrystal holds its one extra charge."""
    assert (BAND.linear_od(charged) + BAND.transient_od(excitations, charged, delays(t_ps)) > 0).all()


def test_pump_density_of_the_film_in_transmission() -> None:
    assert BAND.excitations(20.0) == pytest.approx(0.708)


def test_warm_film_absorbs_at_higher_energy() -> None:
    shift_ev = NOMINAL.gap_ev_per_k * 10.0
    warm = Transmission(replace(NOMINAL, energy_shift_ev=shift_ev), HC_EV_NM / (HC_EV_NM / BAND_NM + shift_ev))
    assert_allclose(warm.linear_od(ON), BAND.linear_od(ON), rtol=1e-9)
    assert_allclose(warm.transient_od(1.0, ON, delays(4.0)), BAND.transient_od(1.0, ON, delays(4.0)), rtol=1e-9)


def test_noise_of_a_spectrum_and_its_common_part() -> None:
    od = PumpProbe(NOMINAL, BAND_NM, 5).transient(0.0, OFF, np.full(4000, 100.0)).od
    assert od.std() == pytest.approx(3e-4, rel=0.02)
    assert od.mean(axis=1).var() / od.var() == pytest.approx(0.7, rel=0.05)
    averaged = PumpProbe(NOMINAL, BAND_NM, 5).transient(0.0, OFF, np.full(4000, 100.0), averages=100).od
    assert_allclose(averaged, od / 10, atol=1e-12)


def test_noise_of_the_lamp() -> None:
    spectrometer = PumpProbe(NOMINAL, BAND_NM, 6)
    noise = np.array([spectrometer.linear(ON) for _ in range(400)]) - BAND.linear_od(ON)
    assert noise.std() == pytest.approx(3.5e-4, rel=0.02)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 50])[0, 1]) < 0.2


def test_a_scan_may_be_divided() -> None:
    delay_ps = np.geomspace(1, 3000, 20)
    whole, parts = (PumpProbe(NOMINAL, BAND_NM, 7) for _ in range(2))
    divided = [parts.transient(20.0, ON, part).od for part in np.split(delay_ps, [7, 8])]
    assert_allclose(np.concatenate(divided), whole.transient(20.0, ON, delay_ps).od, atol=1e-15)


def test_the_seed_fixes_a_scan() -> None:
    same = [PumpProbe(NOMINAL, BAND_NM, 7).transient(20.0, ON, np.array([4.0])).od for _ in range(2)]
    assert_array_equal(same[0], same[1])
    assert (PumpProbe(NOMINAL, BAND_NM, 8).transient(20.0, ON, np.array([4.0])).od != same[0]).all()


def test_blue_light_comes_later_by_the_chirp() -> None:
    """Later light meets the pumped film at an earlier reading of the stage: 0.3 ps over 490 ... 570 nm."""
    delay_ps = np.arange(-0.6, 3.0, 0.01)
    od = PumpProbe(NOMINAL, np.array([490.0, 570.0]), 9).transient(60.0, OFF, delay_ps, averages=10**6).od
    blue, red = (np.interp(0.5, signal / signal[-1], delay_ps) for signal in od.T)
    assert red - blue == pytest.approx(0.3, abs=0.02)


def test_pump_scatter_at_400_nm_at_every_delay() -> None:
    wavelength_nm = np.arange(390.0, 560.0)
    od = PumpProbe(NOMINAL, wavelength_nm, 10).transient(30.0, OFF, np.array([-2.0, -1.0]), averages=10**4).od
    line = od.mean(axis=0)
    assert wavelength_nm[line.argmin()] == 400.0
    assert line.min() == pytest.approx(-np.log10(1.03), rel=0.01)
    assert (np.abs(od[:, np.abs(wavelength_nm - 400) > 4]) < 2e-5).all()
    assert od[0, 10] == pytest.approx(od[1, 10], abs=3e-5)


def test_stage_goes_in_steps() -> None:
    asked = np.array([-2.0, 0.001, 4.0, 3000.0])
    reached = PumpProbe(NOMINAL, BAND_NM, 11).transient(0.0, OFF, asked).delay_ps
    assert_allclose(reached, asked, atol=STAGE_STEP_PS / 2 * 1.001)
    assert reached[1] == 0.0


@pytest.mark.parametrize(
    ("fluence", "delay_ps", "averages"),
    [(-1.0, 4.0, 1), (np.nan, 4.0, 1), (np.inf, 4.0, 1), (20.0, 3001.0, 1), (20.0, -2.1, 1), (20.0, np.nan, 1), (20.0, 4.0, 0)],
)
def test_impossible_scans_are_refused(fluence: float, delay_ps: float, averages: int) -> None:
    with pytest.raises(ValueError):
        PumpProbe(NOMINAL, BAND_NM, 12).transient(fluence, OFF, np.array([delay_ps]), averages)
