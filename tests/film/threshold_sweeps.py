"""Light-against-fluence sweeps of simulated films in three designs, for judging an estimator of the threshold.

Nothing is reduced here: what comes out is corrected light, measured fluence, and the film that knows the truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rig.analysis.correction import dark_statistics, fill_hot, light_counts, saturated
from sim_instruments.attenuator import Attenuator
from sim_instruments.energy_meter import EnergyMeter
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.laser import PULSE_NOISE, PumpLaser
from sim_instruments.light_path import LightPath
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import PIXELS, Spectrograph

MS = 1_000_000
SHOT_NS = MS
EXPOSURE_NS = 500_000
PULSE_NS = 100_000
SETTLE_NS = 100 * MS
MOVED_NS = 300 * MS
VISIT_NS = 1_000 * MS
BRIGHTEST_UJ_CM2 = 220.0
AREA_CM2 = 0.01
DARK_FRAMES = 400
SEEN_NM = (485.0, 565.0)
VOLTAGES_V = (0.0, 5.0, 10.0, 15.0, 20.0)


@dataclass(frozen=True, slots=True)
class Design:
    """Set points (uJ/cm2, log-spaced), shots at each, and the pulse energy's rms from shot to shot."""

    name: str
    lowest: float
    highest: float
    points: int
    shots: int
    pulse_rms: float

    @property
    def fluences(self) -> np.ndarray:
        return np.geomspace(self.lowest, self.highest, self.points)


DENSE = Design("dense", 12.0, 130.0, 26, 30, 0.015)
NOISY = Design("noisy", 12.0, 90.0, 26, 30, 0.03)
SPARSE = Design("sparse", 12.0, 130.0, 14, 10, 0.03)
DESIGNS = (DENSE, NOISY, SPARSE)


class Flicker:
    """What is behind the attenuator, plus noise of its own on every pulse."""

    def __init__(self, beam: Attenuator, rms: float, seed: np.random.SeedSequence) -> None:
        self._beam, self._rms, self._normal = beam, rms, np.random.default_rng(seed)

    def transmission(self, t_ns: np.ndarray) -> np.ndarray:
        return self._beam.transmission(t_ns) * (1 + self._rms * self._normal.standard_normal(len(t_ns)))


@dataclass(frozen=True, slots=True)
class Sweep:
    """Shots of one voltage in the order of time: corrected light (n, pixels), measured fluence (n,), set point (n,) of each."""

    wavelength_nm: np.ndarray
    light: np.ndarray
    fluence: np.ndarray
    step: np.ndarray
    truth: float


class SweptFilm:
    """One session on one film; meter gain and spot area count as calibrated, as their errors are common to all voltages."""

    def __init__(self, parameters: FilmParameters, design: Design, seed: int) -> None:
        plate, pump, camera, head, flicker, self._plan = np.random.SeedSequence(seed).spawn(6)
        self._design = design
        self._attenuator = Attenuator(plate)
        extra = float(np.sqrt(max(design.pulse_rms**2 - PULSE_NOISE**2, 0.0)))
        laser = PumpLaser(pump, BRIGHTEST_UJ_CM2, PULSE_NS, Flicker(self._attenuator, extra, flicker))
        self._film = Film(parameters)
        self._unused = Film(parameters)
        self._path = LightPath(laser, self._film, Spectrograph(camera))
        self._meter = EnergyMeter(head, max_rate_hz=1e9 / SHOT_NS)
        self._now_ns = 0
        self._dark = dark_statistics(self._frames(DARK_FRAMES))
        wavelength_nm = np.polynomial.polynomial.polyval(np.arange(PIXELS), self._path.wavelength_coefficients)
        self._seen = slice(*np.searchsorted(wavelength_nm, SEEN_NM).tolist())
        self.wavelength_nm = np.asarray(wavelength_nm, np.float64)[self._seen]

    def sweep(self, voltages: Sequence[float] = VOLTAGES_V) -> Iterator[tuple[float, Sweep]]:
        """All visits in one random order, one a second, the bias on for its own shots only."""
        fluences = self._design.fluences
        plan = [(v, step) for v in voltages for step in range(len(fluences))]
        taken: dict[float, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {v: [] for v in voltages}
        for index in np.random.default_rng(self._plan).permutation(len(plan)):
            voltage_v, step = plan[index]
            light, fluence = self.visit(voltage_v, float(fluences[step]), self._design.shots)
            taken[voltage_v].append((light, fluence, np.full(len(fluence), step)))
        for voltage_v, visits in taken.items():
            light, fluence, step = (np.concatenate(part) for part in zip(*visits, strict=True))
            yield voltage_v, Sweep(self.wavelength_nm, light, fluence, step, self.truth(voltage_v))

    def truth(self, voltage_v: float) -> float:
        """Threshold of the film before any shot (uJ/cm2)."""
        return self._unused.native_threshold(voltage_v)

    def visit(self, voltage_v: float, fluence_uj_cm2: float, shots: int) -> tuple[np.ndarray, np.ndarray]:
        """Corrected light (n, pixels) and measured fluence (n,) of the good ones of so many shots; it takes a second."""
        start_ns = self._now_ns
        self._attenuator.set_transmission(fluence_uj_cm2 / BRIGHTEST_UJ_CM2, self._now_ns)
        self._now_ns += MOVED_NS
        self._film.set_voltage(voltage_v, self._now_ns)
        self._now_ns += SETTLE_NS
        taken = self._shots(shots)
        self._film.set_voltage(0.0, self._now_ns)
        self._now_ns = start_ns + VISIT_NS
        return taken

    def _shots(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        rise_ns = self._grid(count)
        before = len(self._path.record.pulses)
        self._path.laser_triggered(Edges(rise_ns, rise_ns + 10_000, 0.0, 5.0))
        frames = self._frames(count)
        energy_uj = self._path.record.pulses["fluence_uj_cm2"][before:] * AREA_CM2
        fluence = self._meter.read(rise_ns, energy_uj)[1] / (self._meter.gain * AREA_CM2)
        good = (fluence > 0.5 * np.median(fluence)) & ~saturated(frames, self._dark.hot)
        hot = self._dark.hot[self._seen]
        raw = np.ascontiguousarray(frames[good][:, self._seen])
        light = light_counts(raw, self._dark.mean[self._seen], self._path.nonlinearity_coefficients)
        return fill_hot(light, hot), fluence[good]

    def _grid(self, count: int) -> np.ndarray:
        return self._now_ns + np.arange(count, dtype=np.int64) * SHOT_NS

    def _frames(self, count: int) -> np.ndarray:
        open_ns = self._grid(count)
        self._now_ns += count * SHOT_NS
        return self._path.expose(open_ns, open_ns + EXPOSURE_NS)
