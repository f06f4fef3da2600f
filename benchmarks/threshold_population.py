"""Bias and coverage of the threshold estimator over a population of simulated films, and false thresholds where there is none.

python benchmarks/threshold_population.py [films]        default 200; ends with 1 when a number is not reached

The truth is the film's own threshold, which only this file asks for. The estimator's figures were chosen on films NC-300 to
NC-349, here are NC-000 and following.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from film.threshold_sweeps import DENSE, DESIGNS, NOISY, SPARSE, VOLTAGES_V, Design, Sweep, SweptFilm

from rig.analysis.ase_excess import band_excess
from rig.analysis.light_curve import LightCurve, as_given, rebinned, set_point_means
from rig.analysis.narrowing import half_width_crossing, widths
from rig.analysis.threshold import find_threshold
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

FILMS = 200
METERED_MEAN_ERROR = 0.002
SETTING_ERROR = 0.005
GOALS = {DENSE: (0.92, 0.99), NOISY: (0.92, 0.99), SPARSE: (0.92, 1.0)}
MOST_BIAS = 0.01


def of_shots(sweep: Sweep, design: Design) -> LightCurve:
    return rebinned(sweep.fluence, band_excess(sweep.wavelength_nm, sweep.light, sweep.step < 4).signal)


def of_set_points(sweep: Sweep, design: Design) -> LightCurve:
    excess = band_excess(sweep.wavelength_nm, sweep.light, sweep.step < 4)
    return set_point_means(sweep.step, sweep.fluence, excess.signal, METERED_MEAN_ERROR)


def of_export(sweep: Sweep, design: Design) -> LightCurve:
    """Mean spectra at nominal fluences: what an exported table holds, with the user's word for the pulse noise."""
    light = mean_spectra(sweep, design)
    excess = band_excess(sweep.wavelength_nm, light, np.arange(design.points) < 4)
    setting = 0.005
    return as_given(
        design.fluences, excess.signal, excess.error, float(np.hypot(setting, design.pulse_rms / design.shots**0.5))
    )


def mean_spectra(sweep: Sweep, design: Design) -> np.ndarray:
    return np.array([sweep.light[sweep.step == step].mean(axis=0) for step in range(design.points)])


METHODS: dict[str, Callable[[Sweep, Design], LightCurve]] = {
    "single shots, energy-rebinned": of_shots,
    "set-point means, metered": of_set_points,
    "exported mean spectra, nominal fluence": of_export,
}


@dataclass
class Tally:
    """Relative errors of what was found, how often the interval held the truth, why nothing was found."""

    errors: list[float] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    by_voltage: dict[float, list[float]] = field(default_factory=dict)
    covered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    crossings: list[float] = field(default_factory=list)

    @property
    def bias(self) -> float:
        return float(np.mean(self.errors))

    @property
    def spread(self) -> float:
        return float(np.std(self.errors, ddof=1))

    @property
    def coverage(self) -> float:
        return self.covered / len(self.errors)

    def add(self, curve: LightCurve, truth: float, voltage_v: float) -> None:
        found = find_threshold(curve)
        if found.refusal is not None:
            self.refused[found.refusal.code] += 1
        if found.value.value is None or found.value.ci95 is None:
            return
        error = found.value.value / truth - 1
        self.errors.append(error)
        self.by_voltage.setdefault(voltage_v, []).append(error)
        self.half_widths.append((found.value.ci95[1] - found.value.ci95[0]) / (2 * truth))
        self.covered += found.value.ci95[0] <= truth <= found.value.ci95[1]


def population(films: int, said: Callable[[str], None] = lambda text: None) -> dict[Design, dict[str, Tally]]:
    """Each design and method over `films` films at five voltages."""
    tallies = {design: {name: Tally() for name in METHODS} for design in DESIGNS}
    for number in range(films):
        parameters = FilmParameters.sampled(f"NC-{number:03d}")
        for design in DESIGNS:
            for voltage_v, sweep in SweptFilm(parameters, design, number).sweep():
                for name, curve in METHODS.items():
                    tallies[design][name].add(curve(sweep, design), sweep.truth, voltage_v)
                fwhm_nm = widths(sweep.wavelength_nm, mean_spectra(sweep, design))
                crossing = half_width_crossing(design.fluences, fwhm_nm).value
                if crossing is not None:
                    tallies[design]["single shots, energy-rebinned"].crossings.append(crossing / sweep.truth - 1)
        if number % 20 == 19:
            said(f"{number + 1} films")
    return tallies


def without_threshold(films: int) -> Iterator[tuple[str, Sweep, Design]]:
    """Sweeps that end below the threshold, or begin above it: alternately, each at one voltage."""
    for number in range(films):
        random = np.random.default_rng(number)
        voltage_v = float(random.choice(VOLTAGES_V))
        parameters = FilmParameters.sampled(f"NC-{number:03d}")
        truth = Film(parameters).native_threshold(voltage_v)
        if number % 2:
            lowest = truth * random.uniform(1.0, 1.6)
            kind, design = "all above", Design("above", lowest, min(4 * lowest, 215.0), 26, 30, 0.015)
        else:
            highest = truth * random.uniform(0.5, 1.0)
            kind, design = "all below", Design("below", highest / 8, highest, 26, 30, 0.015)
        for _, sweep in SweptFilm(parameters, design, number).sweep((voltage_v,)):
            yield kind, sweep, design


def false_thresholds(films: int) -> dict[str, Counter[str]]:
    """By kind of sweep: what was answered by any of the methods, "found" where a threshold was."""
    answers: dict[str, Counter[str]] = {"all below": Counter(), "all above": Counter()}
    for kind, sweep, design in without_threshold(films):
        for curve in METHODS.values():
            refusal = find_threshold(curve(sweep, design)).refusal
            answers[kind][refusal.code if refusal else "found"] += 1
    return answers


def reached(tallies: dict[Design, dict[str, Tally]], answers: dict[str, Counter[str]]) -> bool:
    """Whether the numbers that are asked for are reached, by single shots."""
    judged = [(tally["single shots, energy-rebinned"], GOALS[design]) for design, tally in tallies.items()]
    good = all(abs(tally.bias) <= MOST_BIAS and lo <= tally.coverage <= hi for tally, (lo, hi) in judged)
    return good and not any(counted["found"] for counted in answers.values())


def lines(tallies: dict[Design, dict[str, Tally]]) -> Iterator[tuple[str, ...]]:
    """Rows of a table, its head first."""
    yield "design", "points", "found", "refused", "bias %", "sd %", "median ± %", "coverage %", "bias % at 0, 5, 10, 15, 20 V"
    for design, methods in tallies.items():
        for name, tally in methods.items():
            refused = ", ".join(f"{count} {code}" for code, count in sorted(tally.refused.items())) or "0"
            steps = ", ".join(f"{100 * np.mean(tally.by_voltage[v]):+.2f}" for v in VOLTAGES_V if v in tally.by_voltage)
            numbers = f"{100 * tally.bias:+.2f}", f"{100 * tally.spread:.2f}", f"{100 * np.median(tally.half_widths):.2f}"
            yield design.name, name, str(len(tally.errors)), refused, *numbers, f"{100 * tally.coverage:.1f}", steps


def main(films: int = FILMS) -> int:
    tallies, answers = population(films, lambda text: print(text, file=sys.stderr, flush=True)), false_thresholds(films)
    for line in lines(tallies):
        print(" | ".join(line))
    for kind, counted in answers.items():
        print(f"{kind}: {dict(counted)}")
    return 0 if reached(tallies, answers) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
