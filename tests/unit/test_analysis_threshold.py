"""The threshold estimator on curves of its own law, on simulated films, and where there is no threshold to be found."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from film.threshold_sweeps import DENSE, SPARSE, Design, SweptFilm

from rig.analysis.ase_excess import band_excess, weakest
from rig.analysis.light_curve import LightCurve, as_given, rebinned, set_point_means
from rig.analysis.narrowing import half_width_crossing
from rig.analysis.rate_law import RateLaw, fit, interval
from rig.analysis.threshold import find_threshold
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

POINTS = np.geomspace(12.0, 130.0, 26)
STEP = np.repeat(np.arange(26), 30)


def law(threshold: float, slope: float = 1e5) -> RateLaw:
    return RateLaw(threshold, slope, math.log(1e-3), 20.0)


def shots(threshold: float, slope: float = 1e5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Measured fluence and light: 1.5 % of pulse noise, 0.1 % of the meter's, 60 counts of the detector's."""
    rng = np.random.default_rng(seed)
    fluence = POINTS[STEP] * (1 + 0.015 * rng.standard_normal(len(STEP)))
    light = law(threshold, slope).at(fluence) + 60 * rng.standard_normal(len(STEP))
    return fluence * (1 + 0.001 * rng.standard_normal(len(STEP))), light


def curves(threshold: float, slope: float = 1e5, seed: int = 1) -> dict[str, LightCurve]:
    fluence, light = shots(threshold, slope, seed)
    mean = np.array([light[STEP == step].mean() for step in range(26)])
    return {
        "shots": rebinned(fluence, light),
        "means": set_point_means(STEP, fluence, light, 0.002),
        "given": as_given(POINTS, mean, np.full(26, 11.0)),
    }


# --- the law ----------------------------------------------------------------------------------------------------------


def test_law_is_the_root_of_the_photon_balance() -> None:
    x, beta = np.array([0.3, 1.0, 2.0]), 1e-2
    q = RateLaw(1.0, 1.0, math.log(beta), 0.0).at(x)
    assert q * q + q * (1 - x) == pytest.approx(beta * x)


@pytest.mark.parametrize("log_beta", [math.log(1e-5), math.log(1e-3), math.log(0.05)])
def test_scan_finds_the_exact_law_wherever_it_is(log_beta: float) -> None:
    for threshold in (16.0, 50.0, 100.0):
        true = RateLaw(threshold, 3e4, log_beta, -50.0)
        found = fit(POINTS, true.at(POINTS), np.full(26, 10.0), (12.0, 130.0)).law
        assert found.threshold == pytest.approx(threshold, rel=2e-3)
        assert found.slope == pytest.approx(3e4, rel=1e-2)


def test_profile_interval_is_the_covariance_where_the_law_is_nearly_straight() -> None:
    true = RateLaw(40.0, 1e4, math.log(1e-3), 0.0)
    sigma = np.full(26, 30.0)
    fitted = fit(POINTS, true.at(POINTS), sigma, (12.0, 130.0))
    lo, hi = interval(POINTS, true.at(POINTS), sigma, fitted, 1.0, (6.0, 260.0))
    jacobian = fitted.law.jacobian(POINTS) / sigma[:, None]
    error = fitted.law.threshold * math.sqrt(np.linalg.inv(jacobian.T @ jacobian)[0, 0])
    assert (hi - lo) / 2 == pytest.approx(error, rel=0.15)


def test_jacobian_is_the_derivative() -> None:
    one = RateLaw(40.0, 1e4, math.log(1e-2), 7.0)
    moved = (
        RateLaw(40.0 * math.exp(1e-4), 1e4, math.log(1e-2), 7.0),
        RateLaw(40.0, 1e4 * math.exp(1e-4), math.log(1e-2), 7.0),
        RateLaw(40.0, 1e4, math.log(1e-2) + 1e-4, 7.0),
        RateLaw(40.0, 1e4, math.log(1e-2), 7.0 + 1e-4),
    )
    for column, other in enumerate(moved):
        expected = (other.at(POINTS) - one.at(POINTS)) / 1e-4
        assert one.jacobian(POINTS)[:, column] == pytest.approx(expected, rel=2e-3, abs=1.0)


# --- what it finds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [20.0, 32.0, 50.0, 68.0, 90.0])
@pytest.mark.parametrize("kind", ["shots", "means", "given"])
def test_its_own_law_is_recovered_within_its_interval(threshold: float, kind: str) -> None:
    found = find_threshold(curves(threshold)[kind])
    assert found.refusal is None
    assert found.value.value == pytest.approx(threshold, rel=0.007)
    assert found.value.ci95 is not None
    assert found.statistical.ci95 is not None
    assert found.value.ci95[0] < found.statistical.ci95[0] < threshold < found.statistical.ci95[1] < found.value.ci95[1]


def test_statistical_interval_is_as_wide_as_thresholds_scatter() -> None:
    found = [find_threshold(curves(50.0, seed=seed)["shots"]) for seed in range(40)]
    scatter = np.std([one.value.value or math.nan for one in found], ddof=1)
    half = np.median([one.statistical.half_width or math.nan for one in found])
    assert 1.96 * scatter * 0.7 < half < 1.96 * scatter * 4


def test_interval_grows_with_the_noise() -> None:
    noise = np.random.default_rng(3).standard_normal(26)
    widths = []
    for counts in (10.0, 1000.0):
        found = find_threshold(as_given(POINTS, law(50.0).at(POINTS) + counts * noise, np.full(26, counts)))
        assert found.value.half_width is not None
        widths.append(found.value.half_width)
    assert widths[1] > 1.5 * widths[0]


def test_a_spike_below_threshold_does_not_pull_it_down() -> None:
    light = law(68.0).at(POINTS)
    light[5] += 0.08 * light.max()
    found = find_threshold(as_given(POINTS, light, np.full(26, 100.0)))
    assert found.refusal is not None or found.value.value == pytest.approx(68.0, rel=0.05)


def test_order_of_shots_does_not_matter() -> None:
    fluence, light = shots(50.0)
    mixed = np.random.default_rng(0).permutation(len(fluence))
    assert find_threshold(rebinned(fluence[mixed], light[mixed])) == find_threshold(rebinned(fluence, light))


@pytest.mark.parametrize("number", range(4))
def test_films_have_their_own_thresholds(number: int) -> None:
    """Every interval holds the film's own threshold; the population is docs/analysis.md."""
    film = FilmParameters.sampled(f"NC-{number:03d}")
    for design in (DENSE, SPARSE):
        for _, sweep in SweptFilm(film, design, number).sweep((0.0, 20.0)):
            excess = band_excess(sweep.wavelength_nm, sweep.light, sweep.step < 4)
            found = find_threshold(rebinned(sweep.fluence, excess.signal))
            assert found.value.value == pytest.approx(sweep.truth, rel=0.02)
            assert found.value.ci95 is not None
            assert found.value.ci95[0] < sweep.truth < found.value.ci95[1]


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(6))
def test_films_swept_beside_their_threshold_have_none(number: int) -> None:
    film = FilmParameters.sampled(f"NC-{number:03d}")
    truth = Film(film).native_threshold(20.0)
    below, above = (truth / 8, 0.97 * truth), (1.05 * truth, 4 * truth)
    for ends, codes in ((below, {"no-slope", "no-kink", "all-below"}), (above, {"all-above", "no-kink"})):
        for _, sweep in SweptFilm(film, Design("", *ends, 26, 30, 0.015), number).sweep((20.0,)):
            excess = band_excess(sweep.wavelength_nm, sweep.light, sweep.step < 4)
            found = find_threshold(rebinned(sweep.fluence, excess.signal))
            assert found.refusal is not None
            assert found.refusal.code in codes
            assert found.value.value is None
            assert found.value.ci95 is None


@pytest.mark.parametrize("threshold", [11.0, 12.5])
def test_all_above_is_said(threshold: float) -> None:
    found = find_threshold(curves(threshold)["shots"])
    assert found.refusal is not None
    assert found.refusal.code == "all-above"


@pytest.mark.parametrize("threshold", [125.0, 140.0, 400.0])
def test_all_below_is_said(threshold: float) -> None:
    found = find_threshold(curves(threshold)["shots"])
    assert found.refusal is not None
    assert found.refusal.code in ("all-below", "no-slope", "no-kink")


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("kind", ["shots", "given"])
def test_a_power_law_has_no_threshold(power: float, kind: str) -> None:
    fluence, noise = shots(1e6)
    light = 1e4 * (fluence / 130) ** power + noise
    mean = np.array([light[STEP == step].mean() for step in range(26)])
    curve = rebinned(fluence, light) if kind == "shots" else as_given(POINTS, mean, np.full(26, 11.0))
    assert find_threshold(curve).refusal is not None


def test_noise_has_no_threshold() -> None:
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal(26)
        assert find_threshold(as_given(POINTS, noise, np.ones(26))).refusal is not None


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7])
def test_too_few_points_are_said(count: int) -> None:
    f = np.geomspace(20.0, 120.0, count)
    found = find_threshold(as_given(f, law(50.0).at(f), np.ones(count)))
    assert found.refusal is not None
    assert found.refusal.code == "too-few-points"


def test_repeats_of_few_fluences_are_too_few() -> None:
    f = np.repeat([20.0, 40.0, 80.0], 10)
    found = find_threshold(as_given(f, law(50.0).at(f), np.ones(30)))
    assert found.refusal is not None
    assert found.refusal.code == "too-few-points"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", ["fluence", "signal", "error"])
def test_what_is_not_a_number_is_said(bad: float, which: str) -> None:
    columns = {"fluence": POINTS.copy(), "signal": law(50.0).at(POINTS), "error": np.ones(26)}
    columns[which][7] = bad
    found = find_threshold(LightCurve(columns["fluence"], columns["signal"], columns["error"], 0.005, "set-point means"))
    assert found.refusal is not None
    assert found.refusal.code == "not-a-number"


def test_darkness_is_no_slope() -> None:
    found = find_threshold(as_given(POINTS, np.zeros(26), np.ones(26)))
    assert found.refusal is not None
    assert found.refusal.code == "no-slope"


# --- what goes in -----------------------------------------------------------------------------------------------------


def test_excess_is_light_beyond_the_scaled_band() -> None:
    wavelength_nm = np.arange(480.0, 570.0, 0.5)
    band = np.exp(-(((wavelength_nm - 520) / 12) ** 2))
    line = 3.0 * (np.abs(wavelength_nm - 535) < 1.25)
    light = np.array([band, 2 * band, 0.4 * band + line])
    assert band_excess(wavelength_nm, light, np.array([True, False, False])).signal == pytest.approx([0, 0, 15.0], abs=1e-9)


def test_error_of_the_excess_is_its_scatter() -> None:
    wavelength_nm = np.arange(480.0, 570.0, 0.2)
    band = 2000 * np.exp(-(((wavelength_nm - 520) / 12) ** 2))
    light = band + 15.0 * np.random.default_rng(5).standard_normal((400, len(wavelength_nm)))
    excess = band_excess(wavelength_nm, light, np.ones(400, bool))
    assert np.median(excess.error) == pytest.approx(np.std(excess.signal), rel=0.1)


def test_without_light_in_the_band_there_is_no_excess() -> None:
    wavelength_nm = np.arange(480.0, 570.0, 0.5)
    dark = np.random.default_rng(1).standard_normal((4, len(wavelength_nm)))
    with pytest.raises(ValueError, match="no light"):
        band_excess(wavelength_nm, dark, np.ones(4, bool))


def test_weakest_are_all_at_the_four_lowest_fluences() -> None:
    assert weakest(np.array([5.0, 1.0, 1.0, 2.0, 3.0, 4.0])).tolist() == [False, True, True, True, True, True]


def test_spread_of_energies_inside_a_point_is_no_error() -> None:
    fluence = np.geomspace(20.0, 100.0, 500)
    steep = rebinned(fluence, 1e4 * fluence)
    assert (steep.error < 0.01 * np.diff(steep.signal).min()).all()


@pytest.mark.parametrize(("count", "size"), [(140, 5), (400, 8), (780, 10), (2000, 10), (100_000, 500)])
def test_points_are_few_enough_to_fit_and_large_enough_to_have_a_scatter(count: int, size: int) -> None:
    fluence = np.geomspace(20.0, 100.0, count)
    assert len(rebinned(fluence, fluence).signal) == count // size


def test_set_points_without_any_energy_are_left_out() -> None:
    curve = set_point_means(np.array([0, 0, 1, 1]), np.array([np.nan, np.nan, 3.0, np.nan]), np.array([1.0, 2, 3, 5]))
    assert curve.fluence_uj_cm2.tolist() == [3.0]
    assert curve.signal.tolist() == [4.0]


def test_width_crossing_lies_between_the_last_wide_and_the_first_narrow() -> None:
    crossing = half_width_crossing([10, 20, 30, 40, 50, 60], np.array([25.0, 25, 25, 25, 5, 4]))
    assert crossing.ci95 == (40.0, 50.0)
    assert crossing.value is not None
    assert 40 < crossing.value < 50


@pytest.mark.parametrize("widths", [[25.0] * 6, [3.0] * 6, [np.nan] * 6, [25.0, 25, 4, 25, 25, 25]])
def test_a_line_that_does_not_narrow_for_good_has_no_crossing(widths: list[float]) -> None:
    assert half_width_crossing([10, 20, 30, 40, 50, 60], np.array(widths)).value is None
