import numpy as np
import pytest
from test_analysis_synthetic import WAVELENGTH_NM, Film, gaussian

from rig.analysis.lineshape import find_line, line_scatter

BAND_NM = (490.0, 560.0)
LINE_NM = (528.0, 544.0)


def noisy(light: np.ndarray, noise_counts: float, seed: int = 2) -> np.ndarray:
    return light + noise_counts * np.random.default_rng(seed).normal(size=light.shape)


def pixel_at(nm: float) -> int:
    return int(np.argmin(np.abs(WAVELENGTH_NM - nm)))


@pytest.mark.parametrize("fwhm_nm", [2.6, 3.47, 5.0, 8.0])
@pytest.mark.parametrize("peak_nm", [533.3, 535.56, 535.67])
def test_peak_and_width_of_a_line_are_found_between_pixels(peak_nm: float, fwhm_nm: float):
    line = find_line(WAVELENGTH_NM, 2400 * gaussian(peak_nm, fwhm_nm), LINE_NM)
    assert line.peak_nm == pytest.approx(peak_nm, abs=0.01)
    assert line.fwhm_nm == pytest.approx(fwhm_nm, abs=0.02)
    assert line.reason == ""


def test_the_spectrographs_own_width_is_taken_out():
    recorded = 2400 * gaussian(535.56, np.hypot(3.3, 1.0))
    line = find_line(WAVELENGTH_NM, recorded, LINE_NM, psf_fwhm_nm=1.0)
    assert line.fwhm_nm == pytest.approx(np.hypot(3.3, 1.0), abs=0.01)
    assert line.fwhm_deconvolved_nm == pytest.approx(3.3, abs=0.01)


def test_a_line_not_wider_than_the_spectrographs_has_no_width_of_its_own():
    line = find_line(WAVELENGTH_NM, 2400 * gaussian(535.56, 2.0), LINE_NM, psf_fwhm_nm=2.5)
    assert line.fwhm_nm == pytest.approx(2.0, abs=0.02)
    assert line.fwhm_deconvolved_nm is None


@pytest.mark.parametrize("centre_nm", [518.7, 520.0, 521.2])
def test_centre_and_width_of_the_broad_band(centre_nm: float):
    band = find_line(WAVELENGTH_NM, noisy(590 * gaussian(centre_nm, 25.0), 1.0), BAND_NM)
    assert band.centre_nm == pytest.approx(centre_nm, abs=0.05)
    assert band.fwhm_nm == pytest.approx(25.0, abs=0.2)


def test_the_band_alone_has_no_maximum_among_the_lines():
    line = find_line(WAVELENGTH_NM, noisy(590 * gaussian(520.0, 25.0), 1.0), LINE_NM)
    assert line.peak_nm is None
    assert line.fwhm_nm is None
    assert line.reason == "no maximum of its own between 528 and 544 nm"


@pytest.mark.parametrize("height_counts", [100.0, 3000.0])
@pytest.mark.parametrize("pedestal", [0.0, 40.0])
def test_a_hot_pixel_is_not_a_line(height_counts: float, pedestal: float):
    spectrum = noisy(pedestal * gaussian(520.0, 25.0), 0.2)
    spectrum[pixel_at(535.5)] += height_counts
    line = find_line(WAVELENGTH_NM, spectrum, LINE_NM)
    assert line.fwhm_nm is None
    assert "hot pixel" in line.reason


def test_noise_is_not_a_line():
    rng = np.random.default_rng(3)
    found = [find_line(WAVELENGTH_NM, rng.normal(size=2136), window) for window in (BAND_NM, LINE_NM) for _ in range(500)]
    assert not [line for line in found if line.peak_nm is not None]
    assert {line.reason.split(" between")[0] for line in found} == {"no light above the noise"}


def test_no_light_at_all_is_not_a_line():
    assert find_line(WAVELENGTH_NM, np.zeros(2136), LINE_NM).peak_nm is None
    assert find_line(WAVELENGTH_NM, np.full(2136, -3.0), LINE_NM).peak_nm is None


def test_a_plateau_that_never_falls_to_half_is_not_a_line():
    spectrum = 100 + 20 * gaussian(535.5, 3.0)
    assert "half" in find_line(WAVELENGTH_NM, spectrum, LINE_NM).reason


def test_a_window_off_the_spectrometer_is_a_reason_not_a_crash():
    assert "does not see" in find_line(WAVELENGTH_NM, np.ones(2136), (200.0, 300.0)).reason


def test_the_intervals_from_part_spectra_cover_the_truth():
    rng = np.random.default_rng(7)
    light = Film().light(True)
    clean = find_line(WAVELENGTH_NM, light, LINE_NM)
    truths = (clean.peak_nm, clean.fwhm_nm)
    hits = np.zeros(2)
    for _ in range(40):
        parts = light + 4.0 * rng.normal(size=(20, 2136))
        measured = find_line(WAVELENGTH_NM, parts.mean(axis=0), LINE_NM)
        values = line_scatter(WAVELENGTH_NM, parts, LINE_NM).values(measured, weight=20)
        for i, (value, truth) in enumerate(zip((values.peak_nm, values.fwhm_nm), truths, strict=True)):
            assert value.ci95 is not None
            assert truth is not None
            hits[i] += value.ci95[0] <= truth <= value.ci95[1]
    assert (hits >= 33).all()


def test_a_mean_of_fewer_frames_has_a_wider_interval():
    parts = Film().light(True) + np.random.default_rng(8).normal(size=(20, 2136))
    scatter = line_scatter(WAVELENGTH_NM, parts, LINE_NM)
    line = find_line(WAVELENGTH_NM, parts.mean(axis=0), LINE_NM)
    whole, sixth = scatter.values(line, 20).fwhm_nm, scatter.values(line, 20 / 6).fwhm_nm
    assert whole.half_width is not None
    assert sixth.half_width == pytest.approx(whole.half_width * np.sqrt(6))


def test_parts_without_the_line_give_no_interval():
    parts = np.random.default_rng(9).normal(size=(20, 2136))
    line = find_line(WAVELENGTH_NM, Film().light(True), LINE_NM)
    value = line_scatter(WAVELENGTH_NM, parts, LINE_NM).values(line, 20).peak_nm
    assert value.value == line.peak_nm
    assert value.ci95 is None
