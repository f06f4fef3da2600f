"""A film pumped from above and seen from its edge: laser, attenuator, energy meter, spectrograph, and what a user makes of it.

The meter follows every shot. Its gain and the spot's area count as calibrated: their errors (2 % and 5 %) are common to all
voltages and quoted apart.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from film.threshold import Threshold, threshold_of

from rig.analysis.correction import dark_statistics, fill_hot, light_counts, saturated
from rig.analysis.lineshape import Line, find_line
from sim_instruments.attenuator import Attenuator
from sim_instruments.energy_meter import EnergyMeter
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import PIXELS, PSF_FWHM_NM, Spectrograph

MS = 1_000_000
S = 1_000 * MS
SHOT_NS = MS
EXPOSURE_NS = 500_000
PULSE_NS = 100_000  # after the trigger, inside the exposure
SETTLE_NS = 100 * MS
VISIT_NS = S
MOVED_NS = 300 * MS
BRIGHTEST_UJ_CM2 = 220.0
AREA_CM2 = 0.01
DARK_FRAMES = 400
SWEEP_UJ_CM2 = np.geomspace(12.0, 130.0, 26)
SWEEP_SHOTS = 30
LINE_WINDOW_NM = (500.0, 550.0)


class Shots(NamedTuple):
    """Corrected light (n, pixels) in counts and measured fluence (n,) in uJ/cm2 of the shots that came and fit the detector."""

    light: np.ndarray
    fluence: np.ndarray


class EdgeBench:
    """One session on one film. Time only goes on."""

    def __init__(self, parameters: FilmParameters, seed: int) -> None:
        plate, pump, camera, head, self._plan = np.random.SeedSequence(seed).spawn(5)
        self._attenuator = Attenuator(plate)
        laser = PumpLaser(pump, BRIGHTEST_UJ_CM2, PULSE_NS, self._attenuator)
        self.film = Film(parameters)
        self._path = LightPath(laser, self.film, Spectrograph(camera))
        self._meter = EnergyMeter(head, max_rate_hz=1e9 / SHOT_NS)
        self.now_ns = 0
        self.dark = dark_statistics(self._frames(DARK_FRAMES))
        self.nonlinearity = self._path.nonlinearity_coefficients
        wavelength_nm = np.polynomial.polynomial.polyval(np.arange(PIXELS), self._path.wavelength_coefficients)
        self.wavelength_nm = np.asarray(wavelength_nm, np.float64)

    def bias(self, voltage_v: float, settle_ns: int = SETTLE_NS) -> None:
        self.film.set_voltage(voltage_v, self.now_ns)
        self.now_ns += settle_ns

    def pump(self, fluence: float) -> None:
        self._attenuator.set_transmission(fluence / BRIGHTEST_UJ_CM2, self.now_ns)
        self.now_ns += MOVED_NS

    def raw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Raw counts (n, pixels) and measured fluence (n,) of `count` shots."""
        rise_ns = self._grid(count)
        before = len(self._path.record.pulses)
        self._path.laser_triggered(Edges(rise_ns, rise_ns + 10_000, 0.0, 5.0))
        frames = self._frames(count)
        energy_uj = self._path.record.pulses["fluence_uj_cm2"][before:] * AREA_CM2
        return frames, self._meter.read(rise_ns, energy_uj)[1] / (self._meter.gain * AREA_CM2)

    def shots(self, count: int) -> Shots:
        """Fire, and drop what missed or does not fit the detector."""
        frames, fluence = self.raw(count)
        good = (fluence > 0.5 * np.median(fluence)) & ~saturated(frames, self.dark.hot)
        light = light_counts(frames[good], self.dark.mean, self.nonlinearity)
        return Shots(fill_hot(light, self.dark.hot), fluence[good])

    def line(self, light: np.ndarray, window_nm: tuple[float, float] = LINE_WINDOW_NM) -> Line:
        """Peak and width of the mean spectrum (X4)."""
        return find_line(self.wavelength_nm, light.mean(axis=0), window_nm, PSF_FWHM_NM)

    def sweep(self, voltages: Sequence[float], *, gated: bool = True) -> dict[float, "Sweep"]:
        """Light against fluence at each voltage, all visits in one random order, one a second; bias on for its shots only.

        Without gating the bias stays on from visit to visit.
        """
        plan = [(v, step) for v in voltages for step in range(len(SWEEP_UJ_CM2))]
        taken: dict[float, dict[int, Shots]] = {v: {} for v in voltages}
        for index in np.random.default_rng(self._plan).permutation(len(plan)):
            voltage_v, step = plan[index]
            start_ns = self.now_ns
            self.pump(float(SWEEP_UJ_CM2[step]))
            self.bias(voltage_v)
            taken[voltage_v][step] = self.shots(SWEEP_SHOTS)
            if gated:
                self.bias(0.0, 0)
            self.now_ns = start_ns + VISIT_NS
        return {v: Sweep(self, [taken[v][step] for step in range(len(SWEEP_UJ_CM2))]) for v in voltages}

    def _grid(self, count: int) -> np.ndarray:
        return self.now_ns + np.arange(count, dtype=np.int64) * SHOT_NS

    def _frames(self, count: int) -> np.ndarray:
        open_ns = self._grid(count)
        self.now_ns += count * SHOT_NS
        return self._path.expose(open_ns, open_ns + EXPOSURE_NS)


class Sweep:
    """Shots of one voltage by set point, weakest first."""

    def __init__(self, bench: EdgeBench, points: list[Shots]) -> None:
        self._bench = bench
        self._points = points

    @cached_property
    def threshold(self) -> Threshold:
        """X3."""
        light = np.concatenate([point.light for point in self._points])
        step = np.repeat(np.arange(len(self._points)), [len(point.fluence) for point in self._points])
        fluence = np.concatenate([point.fluence for point in self._points])
        return threshold_of(self._bench.wavelength_nm, light, fluence, step)

    @cached_property
    def half_width_fluence(self) -> float:
        """Fluence at which the line has half the width that it has at the four weakest set points (claim C26)."""
        width = np.array([self._bench.line(point.light).fwhm_nm or np.nan for point in self._points])
        fluence = np.array([point.fluence.mean() for point in self._points])
        narrow = int(np.argmax(width < width[:4].mean() / 2))
        return float(np.interp(-width[:4].mean() / 2, -width[narrow - 1 : narrow + 1], fluence[narrow - 1 : narrow + 1]))
