"""The spectrograph's chain from light to counts, taken apart again as a user would."""

import numpy as np
import pytest
from numpy.polynomial.polynomial import polyval
from numpy.testing import assert_array_equal

from sim_instruments.spectrograph import PIXELS, Spectrograph

FRAMES = 3000
EXPOSURE_S = 500e-6


def frames(spectrograph: Spectrograph, light: float, window: slice, n: int, exposure_s: float = EXPOSURE_S) -> np.ndarray:
    flat = np.full((n, window.stop - window.start), light, np.float32)
    return spectrograph.read(flat, window, np.full(n, exposure_s)).astype(float)


@pytest.mark.parametrize("light", [0.0, 600.0, 3000.0])
def test_noise_is_shot_noise_of_3_electrons_a_count_and_12_counts_of_reading(light: float) -> None:
    window = slice(1000, 1040)
    counts = frames(Spectrograph(1), light, window, FRAMES)[:, window]
    slope = 1 - 2 * 0.035 * light / 65535  # of the bent response
    expected = (light / 3 + 144) * slope**2 + 1 / 12
    assert counts.var(axis=0).mean() == pytest.approx(expected, rel=0.02)


def test_dark_noise_and_offset_everywhere_else() -> None:
    raw = frames(Spectrograph(1), 0.0, slice(1000, 1040), FRAMES)
    offset = np.delete(raw.mean(axis=0), Spectrograph(1).hot_pixels)
    assert np.median(raw.var(axis=0)) == pytest.approx(144 + 1 / 12, rel=0.02)
    assert offset.mean() == pytest.approx(1480, abs=1)
    assert offset.std() == pytest.approx(9, rel=0.05)
    columns = raw[:, :500] - raw[:, :500].mean(axis=0)
    assert abs(np.corrcoef(columns[:, 0], columns[:, 1])[0, 1]) < 0.08
    assert columns.mean(axis=1).std() == pytest.approx(12 / np.sqrt(500), rel=0.05)  # no noise common to a frame


def test_counts_are_rounded_not_cut() -> None:
    """Offsets of twenty instruments average to 1480 within the pattern's own error, 0.04 counts."""
    every = [Spectrograph(i, f"serial {i}") for i in range(20)]
    means = [np.delete(frames(each, 0.0, slice(0, 1), 40).mean(axis=0), each.hot_pixels).mean() for each in every]
    assert np.mean(means) == pytest.approx(1480.0, abs=0.2)


def test_long_exposures_collect_dark_current() -> None:
    window = slice(1000, 1040)
    short, long = (frames(Spectrograph(1), 0.0, window, 200, seconds) for seconds in (1e-3, 10.0))
    rise = (long - short).mean(axis=0)
    assert np.median(rise) == pytest.approx(600 * (1 - 0.035 * 600 / 65535), abs=0.5)
    assert rise[window].mean() == pytest.approx(np.median(rise), abs=1.5)


def test_saturated_pixels_read_65535_exactly() -> None:
    window = slice(1000, 1040)
    raw = frames(Spectrograph(1), 90_000.0, window, 20)
    assert (raw[:, window] == 65535).all()
    assert (raw[:, :1000] < 65535).all()


def test_reported_nonlinearity_recovers_the_light() -> None:
    """Within 0.05 % over the range, also as the 4-byte numbers that go over the wire."""
    light = np.linspace(100, 60_000, 500)
    q = light / 65535
    measured = light * (1 - 0.035 * q + 0.010 * q**2)
    coefficients = Spectrograph(1).nonlinearity_coefficients
    assert len(coefficients) == 8
    assert np.abs(measured / polyval(measured, coefficients) / light - 1).max() < 5e-4
    with np.errstate(under="ignore"):
        short = np.array(coefficients, np.float32).astype(float)
    assert np.abs(measured / polyval(measured, short) / light - 1).max() < 5e-4


def test_counts_corrected_for_offset_and_nonlinearity_are_the_light() -> None:
    spectrograph, window = Spectrograph(1), slice(1000, 1100)
    dark = frames(spectrograph, 0.0, window, 500).mean(axis=0)
    measured = (frames(spectrograph, 40_000.0, window, 500).mean(axis=0) - dark)[window]
    light = measured / polyval(measured, spectrograph.nonlinearity_coefficients)
    assert light.mean() == pytest.approx(40_000, rel=5e-4)


def test_serial_number_fixes_the_instrument_and_seed_the_noise() -> None:
    window = slice(1000, 1040)

    def mean(seed: int, serial: str) -> np.ndarray:
        return frames(Spectrograph(seed, serial), 0.0, window, 400).mean(axis=0)

    one, same, other = mean(1, "A"), mean(2, "A"), mean(1, "B")
    assert np.std(one - same) == pytest.approx(12 * np.sqrt(2 / 400), rel=0.1)
    assert np.std(one - other) > 5
    assert Spectrograph(1, "A").wavelength_coefficients != Spectrograph(1, "B").wavelength_coefficients
    assert Spectrograph(1, "A").wavelength_coefficients == Spectrograph(2, "A").wavelength_coefficients


def test_three_hot_pixels() -> None:
    raw = frames(Spectrograph(1), 0.0, slice(1000, 1040), 100).mean(axis=0)
    hot = np.flatnonzero(raw > np.median(raw) + 200)
    assert_array_equal(hot, Spectrograph(1).hot_pixels)
    assert len(hot) == 3


def test_warming_lowers_the_offset_by_4_counts_a_kelvin() -> None:
    cold, warm = (frames(Spectrograph(1, warming_k=k), 0.0, slice(1000, 1040), 50).mean() for k in (0.0, 5.0))
    assert cold - warm == pytest.approx(20, abs=0.3)


def test_wavelengths() -> None:
    spectrographs = [Spectrograph(1, f"serial {i}") for i in range(20)]
    true = spectrographs[0].true_wavelength_nm
    assert true[0] == pytest.approx(338.2)
    assert true[-1] == pytest.approx(792, abs=1.5)
    errors = np.array([polyval(np.arange(PIXELS), s.wavelength_coefficients) - true for s in spectrographs])
    assert 0.05 < errors[:, 0].std() < 0.2
    assert np.abs(errors).max() < 0.5


def test_a_narrow_line_appears_as_wide_as_the_optics_make_it_and_where_it_is() -> None:
    spectrograph = Spectrograph(1)
    window = spectrograph.window(500.0, 560.0)
    wavelength = np.arange(490.0, 570.0, 0.05)
    line = np.where(np.isclose(wavelength, 535.0), 1 / 0.05, 0.0)[None]
    image = spectrograph.image(wavelength, line, window)[0].astype(float)
    nm = spectrograph.true_wavelength_nm[window]
    assert (image * nm).sum() / image.sum() == pytest.approx(535.0, abs=0.02)
    assert (image * np.gradient(nm)).sum() == pytest.approx(40_000, rel=0.01)
    fine = np.arange(530, 540, 0.001)
    above = fine[np.interp(fine, nm, image) > image.max() / 2]
    assert above[-1] - above[0] == pytest.approx(1.0, abs=0.03)


def test_pixels_respond_unequally_by_half_a_percent() -> None:
    spectrograph, window = Spectrograph(1), slice(900, 1900)
    wavelength = np.arange(440.0, 800.0, 0.1)
    image = spectrograph.image(wavelength, np.ones((1, len(wavelength))), window)[0]
    assert image.std() / image.mean() == pytest.approx(0.005, rel=0.1)


@pytest.mark.parametrize("cuts", [[1], [7, 300], [256], [255, 257]])
def test_noise_does_not_depend_on_how_reading_is_divided(cuts: list[int]) -> None:
    window, exposures = slice(500, 1300), np.full(520, EXPOSURE_S)
    light = np.random.default_rng(1).uniform(0, 5000, (520, 800)).astype(np.float32)
    whole = Spectrograph(9).read(light.copy(), window, exposures)
    divided = Spectrograph(9)
    parts = [
        divided.read(part.copy(), window, time)
        for part, time in zip(np.split(light, cuts), np.split(exposures, cuts), strict=True)
    ]
    assert_array_equal(whole, np.concatenate(parts))
