"""The synthetic switching run that the tests of analysis and report share, and what must be true of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, band_slice, band_trace
from rig.analysis.correction import MeanSpectra, light_counts, mean_spectra
from rig.analysis.switching import SwitchingResult, reduce_switching

Floats = NDArray[np.float64]
PIXEL = np.arange(2136)
WAVELENGTH_NM: Floats = 338.2 + 0.2252 * PIXEL - 5.6e-6 * PIXEL**2 - 1.9e-10 * PIXEL**3
NONLINEARITY = (1.0, -0.035 / 65535, 0.010 / 65535**2)
ELECTRONS_PER_COUNT = 3.0
READ_NOISE_COUNTS = 12.0
LASER_NOISE = 0.015


def gaussian(centre_nm: float, fwhm_nm: float) -> Floats:
    return np.exp(-4 * np.log(2) * ((WAVELENGTH_NM - centre_nm) / fwhm_nm) ** 2)


@dataclass(frozen=True)
class Film:
    """Light of one shot (counts): a 25 nm band at OFF, the same suppressed plus a line at ON."""

    band_counts: float = 590.0
    suppression: float = 0.19
    line_counts: float = 2360.0
    line_nm: float = 535.56
    line_fwhm_nm: float = 3.47
    line_always: bool = False

    def light(self, on: bool) -> Floats:
        band = self.band_counts * gaussian(520.0, 25.0)
        line = self.line_counts * gaussian(self.line_nm, self.line_fwhm_nm)
        return (self.suppression * band if on else band) + (line if on or self.line_always else 0.0)


@dataclass(frozen=True)
class Run:
    spectra: NDArray[np.uint16]
    state: NDArray[np.uint8]
    cycle: NDArray[np.int64]
    time_s: Floats
    energy: Floats
    use: NDArray[np.bool_]
    dark: Floats
    hot: NDArray[np.bool_]

    def traces(self) -> tuple[Floats, Floats]:
        at_520, at_535 = (
            band_trace(
                self.spectra,
                self.dark,
                NONLINEARITY,
                self.hot,
                band_slice(WAVELENGTH_NM, *band),
                ELECTRONS_PER_COUNT,
                READ_NOISE_COUNTS,
            )[0]
            for band in (SE_BAND_NM, ASE_BAND_NM)
        )
        return at_520, at_535

    def means(self) -> MeanSpectra:
        return mean_spectra([(self.spectra, self.state, self.cycle, self.use)], self.dark, NONLINEARITY, self.hot)

    def reduce(self, psf_fwhm_nm: float = 1.0, with_energy: bool = False) -> SwitchingResult:
        return reduce_switching(
            WAVELENGTH_NM,
            self.means(),
            *self.traces(),
            self.state,
            self.cycle,
            self.use,
            psf_fwhm_nm=psf_fwhm_nm,
            energy=self.energy if with_energy else None,
        )


def through_detector(light: Floats, rng: np.random.Generator, offset: Floats) -> NDArray[np.uint16]:
    """Raw counts: shot and read noise, then a detector whose gain falls with the signal, offset, rounding, clipping."""
    noisy = light + rng.normal(size=light.shape) * np.sqrt(light / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2)
    bent = noisy * (1 - 0.035 * noisy / 65535 + 0.010 * (noisy / 65535) ** 2)
    return np.clip(np.rint(bent + offset), 0, 65535).astype(np.uint16)


def make_run(
    film: Film | None = None,
    *,
    cycles: int = 6,
    shots: int = 60,
    seed: int = 1,
    drift: float = 0.0,
    laser_drift: float = 0.0,
    missed: tuple[int, ...] = (),
    hot_pixel: tuple[int, float] | None = None,
) -> Run:
    """`shots` frames per stretch, OFF first; film and laser drift linearly by these fractions over the run."""
    film = film or Film()
    rng = np.random.default_rng(seed)
    n = 2 * cycles * shots
    state = np.tile(np.repeat(np.array([0, 1], np.uint8), shots), cycles)
    cycle = np.repeat(np.arange(cycles), 2 * shots)
    ramp = np.linspace(0.0, 1.0, n)
    energy = (1 + laser_drift * ramp) * (1 + LASER_NOISE * rng.normal(size=n))
    amplitude = energy * (1 + drift * ramp)
    amplitude[list(missed)] = 0.0
    light = np.stack([film.light(False), film.light(True)])[state] * amplitude[:, None]
    offset = 1480 + 9 * rng.normal(size=len(PIXEL))
    if hot_pixel is not None:
        offset[hot_pixel[0]] += hot_pixel[1]
    use = np.ones(n, np.bool_)
    use[list(missed)] = False
    spectra = through_detector(light, rng, offset)
    return Run(spectra, state, cycle, np.linspace(0.0, (n - 1) * 1e-3, n), energy, use, offset, np.zeros(len(PIXEL), np.bool_))


def test_the_spectrometer_covers_what_the_film_emits():
    assert np.all(np.diff(WAVELENGTH_NM) > 0)
    assert WAVELENGTH_NM[0] < 400 < 600 < WAVELENGTH_NM[-1]


def test_the_analysis_gives_the_light_that_went_into_the_detector():
    run = make_run(cycles=1, shots=400)
    light = light_counts(run.spectra, run.dark, NONLINEARITY)
    for state in (0, 1):
        expected = Film().light(bool(state)) * run.energy[run.state == state].mean()
        error = np.sqrt((expected / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2) / 400)
        pull = (light[run.state == state].mean(axis=0) - expected) / error
        assert np.abs(pull).max() < 6.5
        assert np.std(pull) < 1.15
