"""Light under weak continuous pump in frames of 10 ms, and what is read off its steps (rule X9)."""

import numpy as np
from scipy.optimize import least_squares

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.photoluminescence import cw_frames
from sim_instruments.film.spectra import se_band
from sim_instruments.spectrograph import Spectrograph

S = 1_000_000_000
FRAME_NS = 10_000_000
FRAME_PERIOD_NS = FRAME_NS + 30_000  # so that edges meet the frames in every phase
CYCLES = 10


def cw_trace(film: Film, until_s: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Time (s, middle of the frame) and band integral of frames, dark-subtracted, of a free-running spectrograph.

    The pump is set to 15 000 counts at 0 V; its level is not known from the paper.
    """
    spectrograph = Spectrograph(seed)
    window = spectrograph.window(500.0, 540.0)
    wavelength = np.arange(490.0, 550.0, 0.25)
    band = spectrograph.image(wavelength, 10.0 * se_band(film.parameters, wavelength)[None], window)
    exposure = np.full(200, FRAME_NS * 1e-9)
    dark = spectrograph.read(np.zeros((200, band.shape[1]), np.float32), window, exposure).mean(axis=0)[window]
    open_ns = np.arange(0, round(until_s * S) - FRAME_NS, FRAME_PERIOD_NS, dtype=np.int64)
    seen = cw_frames(film, open_ns, open_ns + FRAME_NS)
    raw = spectrograph.read((seen[:, None] * band).astype(np.float32), window, np.full(len(open_ns), FRAME_NS * 1e-9))
    counts = raw[:, window] - dark
    light = counts / np.polynomial.polynomial.polyval(counts, spectrograph.nonlinearity_coefficients)
    return (open_ns + FRAME_NS / 2) * 1e-9, light.sum(axis=1)


def crossing_s(t_s: np.ndarray, progress: np.ndarray, level: float) -> float:
    """Time of the first passage of `level`, between frames by a straight line."""
    after = int(np.argmax(progress >= level))
    return float(np.interp(level, progress[after - 1 : after + 1], t_s[after - 1 : after + 1]))


def rises_s(t_s: np.ndarray, light: np.ndarray, edge_s: float) -> tuple[float, float, float]:
    """10 %, 50 % and 90 % times of the step at `edge_s`, between plateaus 0.5 to 0.02 s before and 0.5 to 0.95 s after."""
    since = t_s - edge_s
    before = light[(-0.5 < since) & (since < -0.02)].mean()
    after = light[(0.5 < since) & (since < 0.95)].mean()
    near = (-0.03 < since) & (since < 0.5)
    ten, half, ninety = (crossing_s(since[near], (light[near] - before) / (after - before), q) for q in (0.1, 0.5, 0.9))
    return ten, half, ninety


def modulated(parameters: FilmParameters, seed: int) -> dict[str, np.ndarray]:
    """Ten cycles of a 0.5 Hz square wave, 0/20 V: (10 %, 50 %, 90 %) of every edge, (10, 3), by kind of edge."""
    film = Film(parameters)
    for cycle in range(CYCLES):
        film.set_voltage(20.0, (2 * cycle + 1) * S)
        film.set_voltage(0.0, (2 * cycle + 2) * S)
    t_s, light = cw_trace(film, 2 * CYCLES + 1.0, seed)
    edges = {"on": range(1, 2 * CYCLES, 2), "off": range(2, 2 * CYCLES + 1, 2)}
    return {name: np.array([rises_s(t_s, light, edge) for edge in times]) for name, times in edges.items()}


def held(parameters: FilmParameters, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """30 s at 20 V from 1 s on, then 20 s at 0 V: time (s) and light relative to that before."""
    film = Film(parameters)
    film.set_voltage(20.0, 1 * S)
    film.set_voltage(0.0, 31 * S)
    t_s, light = cw_trace(film, 51.5, seed)
    return t_s, light / light[t_s < 0.98].mean()


def slow_part(t_s: np.ndarray, light: np.ndarray) -> tuple[float, float, float]:
    """Time constant (s), amplitude and final value of a single exponential."""

    def misses(guess: np.ndarray) -> np.ndarray:
        tau_s, amplitude, end = guess
        return end + amplitude * np.exp(-t_s / tau_s) - light

    tau_s, amplitude, end = least_squares(misses, [3.0, light[0] - light[-1], light[-1]], x_scale=[1, 0.01, 1]).x
    return float(tau_s), float(amplitude), float(end)


def slow_tail(t_s: np.ndarray, light: np.ndarray, edge: str) -> tuple[float, float]:
    """Time constant (s) of the tail after an edge of `held`, and its amplitude relative to the fast step."""
    edge_s, first_s, last_s = {"on": (1.0, 1.2, 30.98), "off": (31.0, 31.3, 51.0)}[edge]
    part = (first_s < t_s) & (t_s < last_s)
    tau_s, amplitude, end = slow_part(t_s[part] - edge_s, light[part])
    before = light[np.abs(t_s - edge_s + 0.3) < 0.25].mean()
    return tau_s, abs(amplitude) / abs(end + amplitude - before)


def recovered(t_s: np.ndarray, light: np.ndarray) -> tuple[float, float]:
    """Light 1 s and 20 s after the bias of `held`."""
    return float(light[np.abs(t_s - 32) < 0.1].mean()), float(light[np.abs(t_s - 50.9) < 0.3].mean())
