"""The paper's transient absorption, measured on the simulated film as on a real one: noisy spectra in, claims out.

Claims C01-C03, C31-C34, C36-C51. The pump density is never told: it comes from the late bleach (Poisson), the gain from
lamp and pump-probe spectra, lifetimes from fits. One deviation from the paper is deliberate: the charged gain lasts near 203 ps
where the paper says 220 ps. Spectra that force 220 ps make the 537 nm trace rise after the pump; the claim's tolerance (45 ps)
holds without.
"""

from itertools import pairwise

import numpy as np
import pytest
from film.kinetics import decay
from film.pump_probe_bench import DELAYS_PS, FLUENCES, PIXELS_NM, Bench, lowest_nm, near

from sim_instruments.film.parameters import FilmParameters
from sim_instruments.pump_probe import PumpProbe

NOMINAL = FilmParameters.nominal()
SEED = 2021

# 4 ps of delay, many densities: one experiment for all claims about spectra and thresholds.


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(NOMINAL, SEED)


def test_density_scale(bench: Bench) -> None:
    """C50."""
    kappa, error = bench.density_scale
    assert kappa == pytest.approx(NOMINAL.transmission_coupling_cm2_per_uj, rel=0.05)
    assert 0 < error < 0.01 * kappa


def test_gain_thresholds(bench: Bench) -> None:
    """C31, C32, C02, C03. Both normalisations, R3: the paper's ratio refers to the unbiased film."""
    assert bench.thresholds[0.0, 0.0] == pytest.approx(1.0, abs=0.12)
    assert bench.thresholds[0.0, 0.0] >= 0.95
    assert bench.thresholds[20.0, 0.0] == pytest.approx(0.5, abs=0.07)
    assert bench.thresholds[20.0, 20.0] < 0.75


def test_true_net_gain_under_bias_begins_lower(bench: Bench) -> None:
    """R3, a prediction (the paper gives no number): 0.31 with the absorption at the same bias."""
    assert bench.thresholds[20.0, 20.0] == pytest.approx(0.31, abs=0.03)


@pytest.mark.parametrize(("voltage_v", "lowest"), [(0.0, 1.3), (20.0, 0.5)])
def test_gain_lies_just_below_the_gap(bench: Bench, voltage_v: float, lowest: float) -> None:
    """C33: from 1.3 times the threshold (0 V), from <N> = 0.5 (20 V)."""
    for density in np.geomspace(lowest, 2.5, 5):
        spectrum = bench.pumped(bench.fluence(density), voltage_v)
        assert spectrum.min() < 0
        assert 530 <= lowest_nm(spectrum, 5.0, 2)[0] <= 540


def test_gain_peak_shift(bench: Bench) -> None:
    """C37, C38: one claim (R5), 2 nm or 8 meV to the blue, at equal density."""
    off, on = (bench.gain_peak_nm(1.5, v) for v in (0.0, 20.0))
    assert on - off == pytest.approx(-2.0, abs=0.7)
    assert 1239.842e3 * (1 / on - 1 / off) == pytest.approx(8.6, abs=3.0)


def test_shift_is_the_difference_of_binding_energies() -> None:
    """C39 (meV)."""
    assert 8 <= 1e3 * (NOMINAL.biexciton_shift_ev - NOMINAL.trion_shift_ev) <= 15


def test_bleach_and_induced_absorption(bench: Bench) -> None:
    """C36: bleach at the band edge; beyond 550 nm weak induced absorption."""
    change = bench.change(bench.fluence(0.3), 0.0).mean(axis=0)
    assert change[near(514)].mean() < 0
    assert 0 < change[PIXELS_NM > 555].mean() < -0.1 * change[near(514)].mean()


def test_bleach_maximum_moves_and_drops_under_bias(bench: Bench) -> None:
    """C40, C41, R6 (opposite in sign to the gain's shift), R7."""
    (off_nm, off), (on_nm, on) = (bench.bleach(0.06, v) for v in (0.0, 20.0))
    assert off_nm == pytest.approx(514, abs=1.0)
    assert on_nm == pytest.approx(518, abs=1.5)
    assert 0.4 < on / off < 0.7


def test_film_in_transmission() -> None:
    """C34 at 400 nm, where the optical density is assumed to be meant (R8)."""
    lamp = PumpProbe(NOMINAL, np.arange(395.0, 405.5, 0.5), SEED).linear(0.0)
    assert lamp.mean() == pytest.approx(0.46, abs=0.02)


# Kinetics.


def test_fast_bleach_component_appears_with_bias(bench: Bench) -> None:
    """C42: 290 ps at 20 V; without bias nothing decays faster than the single exciton."""
    on = decay(DELAYS_PS, bench.trace(518, 0.06, 20.0), 2, constant=False)
    assert on.lifetime_ps[0] == pytest.approx(290, abs=30)
    assert on.error_ps[0] < 10
    assert on.share[0] > 0.4
    off = decay(DELAYS_PS, bench.trace(514, 0.06, 0.0), 2, constant=False)
    assert off.share_between(0, 1000) < 0.10


def test_bias_adds_a_component_that_the_data_demand(bench: Bench) -> None:
    """C42 by the number of terms."""
    on = bench.trace(518, 0.06, 20.0)
    one, two = (decay(DELAYS_PS, on, terms, constant=False) for terms in (1, 2))
    assert two.bic < one.bic - 10


def test_stimulated_emission_under_bias(bench: Bench) -> None:
    """C43, C44: 290 ps at any density."""
    fits = {n: decay(DELAYS_PS, bench.trace(537, n, 20.0), 1, constant=True) for n in (0.3, 0.5, 0.7, 0.9, 1.2)}
    assert fits[0.7].lifetime_ps[0] == pytest.approx(290, abs=35)
    assert fits[0.7].share[0] > 0.7
    lifetimes = np.array([fit.lifetime_ps[0] for fit in fits.values()])
    assert np.ptp(lifetimes) / lifetimes.mean() < 0.15


def test_charged_biexcitons_play_no_major_role(bench: Bench) -> None:
    """C51."""
    fit = decay(DELAYS_PS, bench.trace(537, 0.7, 20.0), 2, constant=True)
    assert fit.share_between(0, 60) < 0.15


def test_neutral_gain_decay(bench: Bench) -> None:
    """C45."""
    fit = decay(DELAYS_PS, bench.trace(537, 1.2, 0.0), 2, constant=True)
    main = fit.share[:2].argmax()
    assert fit.lifetime_ps[main] == pytest.approx(80, abs=12)
    assert fit.share[main] > 0.6


def test_fast_component_without_bias_grows_with_density(bench: Bench) -> None:
    """C46. The constant is the 7 ns of the single exciton here, so that the same fit serves all densities."""
    densities = (0.06, 0.12, 0.25, 0.5, 0.8, 1.2, 2.0)
    fits = [decay(DELAYS_PS, bench.trace(537, n, 0.0), 2, constant=False) for n in densities]
    shares = [fit.share_between(40, 120) for fit in fits]
    assert all(low < high for low, high in pairwise(shares))
    assert shares[0] < 0.25
    assert shares[densities.index(1.2)] > 0.6


def test_gain_lifetimes(bench: Bench) -> None:
    """C47-C49, R2: durations of net gain, not decay constants. Near 203 ps is meant where the paper says 220 ps."""
    charged, neutral = bench.gain_lifetime_ps(0.7, 20.0), bench.gain_lifetime_ps(1.2, 0.0)
    assert charged == pytest.approx(220, abs=45)
    assert charged == pytest.approx(203, abs=10)
    assert neutral == pytest.approx(24, abs=5)
    assert 6 < charged / neutral < 12


# Not only the nominal device.


@pytest.mark.parametrize("number", range(20))
def test_any_device_of_the_batch_switches_its_gain(number: int) -> None:
    """Net gain at lower density, further to the blue; at low density, where pairs are few, its own trion's lifetime."""
    device = FilmParameters.sampled(f"CsPbBr3-{number:02d}")
    bench = Bench(device, number)
    kappa, _ = bench.density_scale
    assert kappa == pytest.approx(device.transmission_coupling_cm2_per_uj, rel=0.05)
    gain = {v: [-bench.pumped(f, v)[near(537)].mean() for f in FLUENCES] for v in (0.0, 20.0)}
    off, on = (float(np.interp(0.0, values, kappa * FLUENCES)) for values in gain.values())
    assert off > 0.95
    assert on < 0.5 * off
    off_nm, on_nm = (bench.gain_peak_nm(1.5, v) for v in (0.0, 20.0))
    assert on_nm - off_nm == pytest.approx(-2.0, abs=0.7)
    fit = decay(DELAYS_PS, bench.trace(537, 0.1, 20.0), 1, constant=True)
    assert fit.lifetime_ps[0] == pytest.approx(device.trion_ps, rel=0.03)
