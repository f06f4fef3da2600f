from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_analysis_synthetic import WAVELENGTH_NM, Film, gaussian, make_run, through_detector

from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, band_slice
from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, acceptance

DARK_FILM = Film(band_counts=0.0, line_counts=0.0)
BAND_ONLY = Film(line_counts=0.0)
CLAIMS = ["C06", "C08", "C16", "C17", "C18", "C19", "C20", "C21", "C22", "C22"]


@cache
def nominal() -> SwitchingResult:
    return make_run(drift=-0.01).reduce()


def ratio_in_film(film: Film, band: tuple[float, float]) -> float:
    pixels = band_slice(WAVELENGTH_NM, *band)
    return float(film.light(True)[pixels].mean() / film.light(False)[pixels].mean())


def inside(value: Value, truth: float, slack: float = 2.0) -> bool:
    """The truth lies within `slack` times the interval (five intervals are looked at, so once is too strict)."""
    assert value.value is not None
    assert value.half_width
    return abs(value.value - truth) <= slack * value.half_width


def test_the_nominal_film_switches_and_its_numbers_come_out():
    result = nominal()
    assert result.switched
    assert result.reason == "narrow line at ON, broad band at OFF"
    assert inside(result.off_peak_nm, 520.0)
    assert inside(result.off_fwhm_nm, 25.0)
    assert result.on_peak_nm.value == pytest.approx(535.55, abs=0.02)
    assert result.on_fwhm_nm.value == pytest.approx(3.51, abs=0.02)
    assert result.on_fwhm_deconvolved_nm.value == pytest.approx(np.sqrt(3.51**2 - 1), abs=0.02)
    assert inside(result.contrast_535, ratio_in_film(Film(), ASE_BAND_NM))
    assert inside(result.ratio_520, ratio_in_film(Film(), SE_BAND_NM))
    assert result.correlation_520_535.value is not None
    assert result.correlation_520_535.value < -0.99
    assert result.agreement.value == 1.0


def test_every_cycle_is_reported_with_wider_intervals():
    result = nominal()
    assert [one.cycle for one in result.per_cycle] == [0, 1, 2, 3, 4, 5]
    assert result.on_peak_nm.half_width is not None
    for one in result.per_cycle:
        assert one.switched
        assert one.per_cycle == ()
        assert one.on_peak_nm.value == pytest.approx(535.55, abs=0.03)
        assert one.on_peak_nm.half_width == pytest.approx(result.on_peak_nm.half_width * np.sqrt(6), rel=1e-6)
    assert result.per_cycle[0].off_drift.value is None
    assert result.per_cycle[5].off_drift == result.off_drift


def test_the_nominal_run_passes_every_claim():
    verdicts = acceptance(nominal())
    assert [v.claim for v in verdicts] == CLAIMS
    assert [v.passed for v in verdicts] == [True] * 10


@pytest.mark.parametrize("drift", [-0.2, -0.04, 0.08])
def test_a_drifting_film_is_seen_whatever_the_laser_does(drift: float):
    run = make_run(drift=drift, laser_drift=0.1, shots=80)
    # from the middle of the first OFF stretch to that of the last: 10 of 12 stretches
    truth = (1 + drift * 10.5 / 12) / (1 + drift * 0.5 / 12) - 1
    assert inside(run.reduce(with_energy=True).off_drift, truth)
    assert not inside(run.reduce().off_drift, truth)
    assert verdict(run.reduce(with_energy=True), "C08").passed is False


def test_a_meter_that_is_too_slow_for_shots_still_takes_out_the_lasers_drift():
    run = make_run(laser_drift=0.1, shots=80)
    ramp = np.linspace(1.0, 1.1, len(run.energy))
    slow = np.repeat(ramp.reshape(12, 80).mean(axis=1), 80)
    slow[::7] = np.nan
    drift = replace(run, energy=slow).reduce(with_energy=True).off_drift
    assert drift.value == pytest.approx(0.0, abs=0.02)
    assert run.reduce().off_drift.value == pytest.approx(0.0837, abs=0.01)


def verdict(result: SwitchingResult, claim: str, which: int = 0):
    return [v for v in acceptance(result) if v.claim == claim][which]


NOT_SWITCHED = {
    "band only": (BAND_ONLY, "no maximum of its own"),
    "no voltage effect": (Film(line_counts=0.0, suppression=1.0), "no maximum of its own"),
    "band moves to 533 nm": (Film(line_counts=500.0, line_nm=533.0, line_fwhm_nm=25.0, suppression=0.0), "nm wide"),
    "broad hump at 536 nm": (Film(line_counts=900.0, line_nm=536.0, line_fwhm_nm=12.0), "nm wide"),
    "dark": (DARK_FILM, "no light above the noise"),
    "line drowned in the band": (Film(line_counts=60.0, suppression=1.0), "no maximum of its own"),
    "line at OFF as well": (Film(line_always=True), "without voltage as well"),
}


@pytest.mark.parametrize("name", NOT_SWITCHED)
def test_a_film_that_does_not_switch_is_called_so(name: str):
    film, reason = NOT_SWITCHED[name]
    result = make_run(film, shots=40).reduce()
    assert not result.switched
    assert reason in result.reason
    if not film.line_always:
        assert result.on_peak_nm == Value(None, None, "nm")
        assert result.on_fwhm_nm == Value(None, None, "nm")
        assert [verdict(result, claim).passed for claim in ("C06", "C19", "C20")] == [False] * 3


@pytest.mark.parametrize("seed", range(12))
def test_noise_never_makes_a_line(seed: int):
    run = make_run(DARK_FILM, shots=20, seed=seed)
    # a dark spectrum with errors of its own leaves a fixed pattern in both states
    pattern = 3.0 * np.random.default_rng(seed).normal(size=2136)
    result = replace(run, dark=run.dark + pattern).reduce()
    assert not result.switched
    assert not any(one.switched or one.on_peak_nm.value is not None for one in result.per_cycle)
    assert result.on_peak_nm.value is None
    assert result.off_peak_nm.value is None


@pytest.mark.parametrize("seed", range(8))
def test_a_weak_band_never_makes_a_line(seed: int):
    result = make_run(Film(band_counts=15.0, line_counts=0.0, suppression=1.0), shots=20, seed=seed).reduce()
    assert not result.switched
    assert not any(one.on_peak_nm.value is not None for one in result.per_cycle)


def test_a_hot_pixel_at_535_nm_is_not_an_ase_line():
    run = make_run(BAND_ONLY, shots=30, seed=3)
    spectra = run.spectra.copy()
    spectra[run.state == 1, 909] += np.uint16(3000)
    result = replace(run, spectra=spectra).reduce()
    assert result.on_peak_nm.value is None
    assert "hot pixel" in result.reason


def test_one_stray_flash_is_not_an_ase_line():
    run = make_run(BAND_ONLY, shots=40)
    spectra = run.spectra.copy()
    shot = 140
    assert run.state[shot] == 1
    flash = 50_000 * gaussian(535.5, 3.0)
    spectra[shot] = through_detector(flash[None], np.random.default_rng(1), run.dark)[0]
    result = replace(run, spectra=spectra).reduce()
    assert result.on_peak_nm.value is None
    assert "not significantly above" in result.reason


@pytest.mark.parametrize("line_counts", [120.0, 300.0])
def test_a_weak_line_above_the_suppressed_band_is_seen(line_counts: float):
    result = make_run(Film(line_counts=line_counts), shots=60).reduce()
    assert result.on_peak_nm.value == pytest.approx(535.5, abs=0.25)
    assert result.on_fwhm_nm.value is not None
    assert result.on_fwhm_nm.value < 6


def test_states_that_do_not_follow_the_voltage_are_counted():
    run = make_run(shots=50)
    spectra = run.spectra.copy()
    swapped = [10, 20, 30]  # OFF shots that emitted as ON
    rng = np.random.default_rng(5)
    spectra[swapped] = through_detector(np.stack([Film().light(True)] * 3), rng, run.dark)
    result = replace(run, spectra=spectra).reduce()
    assert result.agreement.value == pytest.approx(1 - 3 / 600)
    assert verdict(result, "C16").passed is True
    assert result.per_cycle[0].agreement.value == pytest.approx(0.97)
    assert verdict(result.per_cycle[0], "C16").passed is None


def test_frames_not_used_do_not_count():
    run = make_run(shots=50, missed=(7, 60, 383))
    assert run.reduce().agreement.value == 1.0
    everything = replace(run, use=np.ones_like(run.use)).reduce()
    assert everything.agreement.value == pytest.approx(1 - 2 / 600)  # two of the missed pulses were ON


@pytest.mark.parametrize("lost_state", [0, 1])
def test_a_run_with_one_state_only_says_so(lost_state: int):
    run = make_run(cycles=2, shots=30)
    result = replace(run, use=run.state != lost_state).reduce()
    assert result.reason == f"no used frame at {('OFF', 'ON')[lost_state]}"
    assert not result.switched
    assert result.contrast_535.value is None
    assert result.agreement.value is None
    assert result.correlation_520_535.value is None
    verdicts = acceptance(result)
    assert {v.passed for v in verdicts} == {None}
    assert {v.claim for v in verdicts if v.word == "not measured"} >= {"C16", "C17", "C19", "C20", "C21", "C22"}


def test_a_run_without_used_frames_is_empty_not_an_error():
    run = make_run(cycles=1, shots=20)
    result = replace(run, use=np.zeros_like(run.use)).reduce()
    assert not result.switched
    assert result.per_cycle == ()
    assert [v.passed for v in acceptance(result)] == [None] * 10


def test_a_run_stopped_inside_a_cycle_is_reduced_as_far_as_it_goes():
    whole = make_run(shots=40)
    n = 5 * 80 + 40 + 3  # the last ON stretch has three frames
    cut = {name: getattr(whole, name)[:n] for name in ("spectra", "state", "cycle", "time_s", "energy", "use")}
    result = replace(whole, **cut).reduce()
    assert result.switched
    assert result.off_drift.value is not None
    assert len(result.per_cycle) == 6


@pytest.mark.parametrize(("psf_nm", "passed"), [(1.0, True), (2.0, True), (2.1, False)])
def test_a_width_below_4_nm_counts_only_behind_a_sharp_spectrograph(psf_nm: float, passed: bool):
    assert verdict(replace(nominal(), psf_fwhm_nm=psf_nm), "C20").passed is passed


@pytest.mark.parametrize(
    ("claim", "which", "field", "passing", "failing"),
    [
        ("C08", 0, "off_drift", (-0.03, 0.03), (-0.031, 0.031, None)),
        ("C16", 0, "agreement", (0.991,), (0.99, None)),
        ("C17", 0, "off_peak_nm", (518.5, 521.5), (518.4, 521.6, None)),
        ("C18", 0, "off_fwhm_nm", (23.0, 27.0), (22.9, 27.1, None)),
        ("C19", 0, "on_peak_nm", (534.0, 536.0), (533.9, 536.1, None)),
        ("C20", 0, "on_fwhm_nm", (3.99,), (4.0, None)),
        ("C21", 0, "ratio_520", (0.49,), (0.5, None)),
        ("C22", 0, "contrast_535", (5.01,), (5.0, None)),
        ("C22", 1, "correlation_520_535", (-0.951,), (-0.95, None)),
    ],
)
def test_claims_are_judged_at_their_limits(
    claim: str, which: int, field: str, passing: tuple[float, ...], failing: tuple[float | None, ...]
):
    for values, passed in ((passing, True), (failing, False)):
        for value in values:
            changed = replace(nominal(), **{field: Value(value, None, "")})
            assert verdict(changed, claim, which).passed is passed, (claim, value)
            assert verdict(changed, claim, which).value == value


def with_contrasts(*contrasts: float) -> SwitchingResult:
    cycles = tuple(replace(nominal().per_cycle[0], contrast_535=Value(c, None, "")) for c in contrasts)
    return replace(nominal(), per_cycle=cycles)


def test_repeatability_needs_five_like_cycles_and_stability_six():
    assert verdict(with_contrasts(10, 10, 10, 10), "C06").passed is None
    assert verdict(with_contrasts(9.5, 10, 10, 10, 10.5), "C06").passed is True
    assert verdict(with_contrasts(8.0, 10, 10, 10, 10), "C06").passed is False
    assert verdict(with_contrasts(10, 10, 10, 10, 10), "C08").passed is None
    assert verdict(with_contrasts(*[10] * 6), "C08").passed is True
