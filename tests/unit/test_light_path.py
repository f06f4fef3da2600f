"""From trigger edges to counts: the paper's Figure 2 in raw frames, and the bookkeeping of pulses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval
from numpy.testing import assert_array_equal

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges, Optics
from sim_instruments.spectrograph import PIXELS, Spectrograph

MS = 1_000_000
DELAY_NS = 100_000
OPEN_NS = 500_000
NOMINAL = FilmParameters.nominal()


def bench(fluence: float = 40.0, seed: int = 1) -> LightPath:
    return LightPath(PumpLaser(seed, fluence, DELAY_NS), Film(NOMINAL), Spectrograph(seed + 1))


def trigger(path: LightPath, rise_ns: np.ndarray) -> None:
    path.laser_triggered(Edges(rise_ns, rise_ns + 10_000, 0.0, 5.0))


def shots(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int64) * MS


def spectrum(fluence: float, voltage_v: float, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Wavelength and mean corrected spectrum of n one-shot frames, 0.1 s after the voltage came on."""
    path = bench(fluence)
    path.film.set_voltage(voltage_v, 0)
    dark = path.expose(shots(0, 100), shots(0, 100) + OPEN_NS).mean(axis=0)
    trigger(path, shots(100, n))
    measured = path.expose(shots(100, n), shots(100, n) + OPEN_NS).mean(axis=0) - dark
    wavelength = polyval(np.arange(PIXELS), path.wavelength_coefficients)
    return wavelength, measured / polyval(measured, path.nonlinearity_coefficients)


def half_maximum(wavelength: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Peak and width (nm) between the outermost half-maximum crossings next to the peak, 5 pixels smoothed."""
    smooth = np.convolve(counts, np.ones(5) / 5, "same")
    peak = int(smooth.argmax())
    half = smooth[peak] / 2
    left = peak - int(np.argmax(smooth[peak::-1] < half))
    right = peak + int(np.argmax(smooth[peak:] < half))
    low = np.interp(half, smooth[[left, left + 1]], wavelength[[left, left + 1]])
    high = np.interp(half, smooth[[right, right - 1]], wavelength[[right, right - 1]])
    return float(wavelength[peak]), float(high - low)


def band(wavelength: np.ndarray, counts: np.ndarray, centre_nm: float) -> float:
    return float(counts[np.abs(wavelength - centre_nm) <= 1].mean())


@pytest.fixture(scope="module")
def off() -> tuple[np.ndarray, np.ndarray]:
    return spectrum(40.0, 0.0)


@pytest.fixture(scope="module")
def on() -> tuple[np.ndarray, np.ndarray]:
    return spectrum(40.0, 20.0)


def test_off_band_is_at_520_nm_and_25_nm_wide(off: tuple[np.ndarray, np.ndarray]) -> None:
    wavelength, counts = off
    _, width = half_maximum(wavelength, counts)
    upper = (counts > counts.max() / 2) & (np.abs(wavelength - 520) < 20)
    bend, slope, _ = np.polyfit(wavelength[upper] - 520, np.log(counts[upper]), 2)
    assert 520 - slope / bend / 2 == pytest.approx(519.75, abs=0.3)
    assert width == pytest.approx(24.98, abs=0.5)
    assert counts.max() == pytest.approx(590, rel=0.1)


def test_on_line_is_at_535_nm_and_narrower_than_4_nm(on: tuple[np.ndarray, np.ndarray]) -> None:
    peak, width = half_maximum(*on)
    assert peak == pytest.approx(535.5, abs=0.4)
    assert width == pytest.approx(3.47, abs=0.15)
    assert on[1].max() == pytest.approx(2500, rel=0.15)


def test_contrast(off: tuple[np.ndarray, np.ndarray], on: tuple[np.ndarray, np.ndarray]) -> None:
    assert band(*on, 535) / band(*off, 535) == pytest.approx(10.8, rel=0.06)
    assert band(*on, 520) / band(*off, 520) == pytest.approx(0.19, abs=0.01)


@pytest.mark.parametrize(
    ("fluence", "voltage_v", "low", "high"),
    [
        (0.9 * 68, 0.0, 24, 27),
        (1.1 * 68, 0.0, 4.2, 5.2),
        (1.3 * 68, 0.0, 3.3, 4.0),
        (1.3 * 32, 20.0, 3.2, 3.6),
        (3.0 * 32, 20.0, 2.6, 3.1),
    ],
)
def test_width_against_fluence(fluence: float, voltage_v: float, low: float, high: float) -> None:
    assert low < half_maximum(*spectrum(fluence, voltage_v))[1] < high


def test_warming_moves_the_spontaneous_band() -> None:
    """0.43 K after 30 s at 20 V, with the energy of the gap made to rise 5 meV/K so that it shows: -0.47 nm."""
    centres = []
    for gap_ev_per_k in (0.0, 5e-3):
        path = LightPath(PumpLaser(1, 5.0, 0), Film(replace(NOMINAL, gap_ev_per_k=gap_ev_per_k)), Spectrograph(2))
        path.film.set_voltage(20.0, 0)
        trigger(path, shots(30_000, 2000))
        dark = path.expose(shots(29_000, 1), shots(29_900, 1)).astype(float)[0]
        counts = path.expose(shots(30_000, 1), shots(32_000, 1)).astype(float)[0] - dark
        part = path.spectrograph.window(480.0, 570.0)
        centres.append((counts[part] * path.spectrograph.true_wavelength_nm[part]).sum() / counts[part].sum())
    assert centres[1] - centres[0] == pytest.approx(-0.47, abs=0.06)


def test_it_is_optics_to_a_persona() -> None:
    optics: Optics = bench()
    raw = optics.expose(shots(0, 3), shots(0, 3) + OPEN_NS)
    assert raw.shape == (3, 2136)
    assert raw.dtype == np.uint16
    assert len(optics.wavelength_coefficients) == 4
    assert len(optics.nonlinearity_coefficients) == 8
    assert optics.expose(shots(5, 0), shots(5, 0)).shape == (0, 2136)


def test_light_of_several_pulses_adds_up() -> None:
    path = bench()
    trigger(path, shots(10, 10))
    dark, one, ten = path.expose(np.array([0, 10, 11]) * MS, np.array([10, 11, 20]) * MS).astype(float)
    lit = path.spectrograph.window(510.0, 530.0)
    assert (ten - dark)[lit].mean() / (one - dark)[lit].mean() == pytest.approx(9, rel=0.05)
    assert_array_equal(path.record.exposures["pulses"], [0, 1, 9])
    assert_array_equal(path.record.exposures["first_pulse"], [0, 0, 1])


def test_windows_contain_their_opening_and_not_their_closing() -> None:
    path = bench()
    trigger(path, np.array([100, 200, 300]) * MS - DELAY_NS)
    path.expose(np.array([100, 200, 250]) * MS, np.array([200, 250, 300]) * MS)
    assert_array_equal(path.record.exposures["pulses"], [1, 1, 0])
    path.expose(np.array([300]) * MS, np.array([301]) * MS)
    assert_array_equal(path.record.exposures["first_pulse"], [0, 1, 2, 2])
    assert_array_equal(path.record.exposures["pulses"], [1, 1, 0, 1])


def test_light_outside_every_window_is_lost_but_bleaches() -> None:
    path, unseen = bench(), bench()
    for each in (path, unseen):
        trigger(each, shots(0, 1000))
    path.expose(shots(0, 1000), shots(0, 1000) + OPEN_NS)
    raw = unseen.expose(shots(0, 1000) + OPEN_NS, shots(1, 1000))
    assert raw[:, unseen.spectrograph.window(510.0, 530.0)].mean() == pytest.approx(1480, abs=3)
    assert path.film.bleached_fraction == unseen.film.bleached_fraction > 0


def test_record_holds_the_truth_of_every_pulse_and_exposure() -> None:
    path = bench()
    path.film.set_voltage(20.0, 1500 * MS + DELAY_NS)
    trigger(path, shots(0, 3000))
    path.film.set_voltage(0.0, 2000 * MS)
    for first in range(0, 3000, 500):
        path.expose(shots(first, 500), shots(first, 500) + OPEN_NS)
    pulses, exposures = path.record.pulses, path.record.exposures
    assert len(pulses) == len(exposures) == 3000
    assert_array_equal(pulses["t_ns"], shots(0, 3000) + DELAY_NS)
    assert_array_equal(np.flatnonzero(pulses["voltage_v"] == 20.0), np.arange(1500, 2000))
    assert_array_equal(exposures["first_pulse"], np.arange(3000))
    assert_array_equal(exposures["close_ns"] - exposures["open_ns"], OPEN_NS)
    assert pulses["fluence_uj_cm2"].mean() == pytest.approx(40, rel=0.02)


def test_what_is_over_stays_over() -> None:
    path = bench()
    trigger(path, shots(0, 5))
    path.expose(shots(0, 5), shots(0, 5) + OPEN_NS)
    with pytest.raises(ValueError, match="is over"):
        trigger(path, shots(4, 1) + 1)
    with pytest.raises(ValueError, match="is over"):
        path.expose(shots(3, 1), shots(4, 1))


def test_pulses_that_nobody_looks_at_can_be_let_go() -> None:
    path = bench()
    trigger(path, shots(0, 100))
    path.emit_until(50 * MS)
    assert len(path.record.pulses) == 50
    path.expose(shots(50, 50), shots(50, 50) + OPEN_NS)
    assert len(path.record.pulses) == 100


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    ahead=st.integers(0, 30),
    period_ms=st.sampled_from([1, 3]),
    edge_ms=st.integers(1, 40),
)
@example(sizes=[1, 300, 5], ahead=30, period_ms=1, edge_ms=290)
def test_counts_do_not_depend_on_how_time_is_divided(sizes: list[int], ahead: int, period_ms: int, edge_ms: int) -> None:
    """One-shot and three-shot frames, a voltage edge on the way; bit for bit."""
    total = sum(sizes)
    open_ns = shots(0, total) * period_ms
    close_ns = open_ns + period_ms * MS - OPEN_NS
    rise_ns = shots(0, total * period_ms)

    whole = bench(60.0)
    whole.film.set_voltage(20.0, edge_ms * MS - 50_000)
    trigger(whole, rise_ns)
    expected = whole.expose(open_ns, close_ns)

    divided, frames, fired, set_up = bench(60.0), [], 0, False
    done = 0
    for size in sizes:
        end_ns = int(close_ns[done + size - 1])
        if not set_up and end_ns >= edge_ms * MS - 50_000:
            divided.film.set_voltage(20.0, edge_ms * MS - 50_000)
            set_up = True
        more = min(len(rise_ns), (done + size) * period_ms + ahead)
        trigger(divided, rise_ns[fired:more])
        fired = more
        divided.film.current_a(20.0, end_ns)
        frames.append(divided.expose(open_ns[done : done + size], close_ns[done : done + size]))
        done += size
    assert_array_equal(np.concatenate(frames), expected)
    for column in ("t_ns", "fluence_uj_cm2", "voltage_v"):
        assert_array_equal(divided.record.pulses[column], whole.record.pulses[column])


def test_laser_noise() -> None:
    laser = PumpLaser(5, 40.0, 7)
    t_ns, fluence = laser.fire(shots(0, 400_000))
    assert_array_equal(t_ns, shots(0, 400_000) + 7)
    missed = fluence == 0
    assert 15 < missed.sum() < 75  # 40 expected
    hit = fluence[~missed]
    assert np.diff(hit).std() / np.sqrt(2) / 40 == pytest.approx(0.015, rel=0.01)
    assert hit.mean() == pytest.approx(40, rel=0.015)


def test_laser_drifts_within_minutes() -> None:
    """Means of 25 pulses, once a minute for 20 000 minutes: 0.5 %, correlation e^-1 after 10 min."""
    rise_ns = np.arange(20_000, dtype=np.int64)[:, None] * 60_000 * MS + shots(0, 25)
    _, fluence = PumpLaser(6, 40.0, 0).fire(rise_ns.ravel())
    relative = np.ma.masked_equal(fluence, 0).reshape(rise_ns.shape).mean(axis=1) / 40 - 1
    covariance = [float(np.mean(relative[:-lag] * relative[lag:])) for lag in (1, 11)]
    assert covariance[0] == pytest.approx(0.005**2 * np.exp(-0.1), rel=0.15)
    assert covariance[1] / covariance[0] == pytest.approx(np.exp(-1), rel=0.2)


def test_laser_checks_order() -> None:
    laser = PumpLaser(5, 40.0, 0)
    laser.fire(shots(5, 1))
    assert len(laser.fire(shots(0, 0))[0]) == 0
    with pytest.raises(ValueError, match="order of time"):
        laser.fire(shots(4, 1))


def test_fluence_may_be_set_between_pulses() -> None:
    laser = PumpLaser(5, 40.0, 0)
    laser.fire(shots(0, 10))
    laser.fluence_uj_cm2 = 80.0
    assert laser.fire(shots(10, 10))[1].mean() == pytest.approx(80, rel=0.03)
