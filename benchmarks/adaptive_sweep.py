"""Adaptive fluence sweeps against 26-point ones of the same film: interval, shots, dose, bias and coverage over many films.

python benchmarks/adaptive_sweep.py [films]        default 50; ends with 1 when a number is not reached

The blocks are the measurement's own, sent what simulated films answer; the reduction is that of whole spectra, the same for
both. The truth is the film's own threshold, which only this file asks for. Films NC-400 and following; the estimator's figures
and the least distance of points were chosen on others (NC-300 on), the rule that ends the climb after NC-401 and NC-402.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from film.threshold_sweeps import AREA_CM2, Design, SweptFilm

from rig.analysis.ase_excess import band_excess, weakest
from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, band_slice
from rig.analysis.light_curve import rebinned, set_point_means
from rig.analysis.threshold import Threshold, find_threshold
from rig.measurements.fluence_sweep import FluenceSweep, Order
from rig.runfile import FRAME_DTYPE
from rig.sequence import Block, BlockResult
from sim_instruments.film.parameters import FilmParameters

FILMS = 50
FIRST_FILM = 400
RATE_HZ = 1000.0
SETTLE_S = 0.1
SHOTS = 100
PULSE_RMS = 0.015
RANGE_UJ_CM2 = (12.0, 130.0)
VOLTAGES_V = (0.0, 20.0)
MOST_SHOTS = 0.5  # of the 26 points', in the median; dose, too
WIDER = 1.05  # median interval over that of the 26 points: the same
MOST_BIAS = 0.01
COVERAGE = 0.92


@dataclass
class Taken:
    """A sweep as a film has answered it; shots and dose (J/cm2) with all that settle and rest."""

    film: SweptFilm
    metered: bool
    light: list[np.ndarray] = field(default_factory=list)
    fluence: list[np.ndarray] = field(default_factory=list)
    asked: list[np.ndarray] = field(default_factory=list)
    shots: int = 0
    dose: float = 0.0

    def block(self, block: Block, counts: bool) -> BlockResult:
        """Answer a block; one that only rests is not rendered."""
        self.shots += block.shots
        self.dose += block.shots * block.fluence_uj_cm2 * 1e-6
        (stretch,) = block.stretches
        if not counts:
            return BlockResult(np.zeros(0, FRAME_DTYPE))
        shots = stretch.shots - round(block.settle_s * RATE_HZ)
        light, fluence = self.film.visit(stretch.voltage_v, block.fluence_uj_cm2, shots)
        rows = np.zeros(len(light), FRAME_DTYPE)
        rows["cycle"], rows["state"] = stretch.cycle, int(stretch.state)
        rows["pulse_energy_uj"] = fluence * AREA_CM2 if self.metered else np.nan
        for name, band_nm in (("band_520", SE_BAND_NM), ("band_535", ASE_BAND_NM)):
            rows[name] = light[:, band_slice(self.film.wavelength_nm, *band_nm)].sum(axis=1)
        self.light.append(light)
        self.fluence.append(fluence)
        self.asked.append(np.full(len(fluence), block.fluence_uj_cm2))
        return BlockResult(rows)

    def threshold(self, metered: bool) -> Threshold:
        """Reduce all spectra: by the energy of each shot, or by set points on the meter's scale."""
        light, fluence, asked = (np.concatenate(part) for part in (self.light, self.fluence, self.asked))
        signal = band_excess(self.film.wavelength_nm, light, weakest(asked)).signal
        if metered:
            return find_threshold(rebinned(fluence, signal))
        point = np.unique(asked, return_inverse=True)[1]
        return find_threshold(set_point_means(point, asked * float(np.median(fluence / asked)), signal))


def swept(film: int, order: Order, voltage_v: float, metered: bool) -> tuple[Taken, float]:
    """One sweep of a fresh film, and its true threshold (uJ/cm2)."""
    low, high = RANGE_UJ_CM2
    sweep = FluenceSweep(
        order=order,
        voltage_v=voltage_v,
        fluence_min_uj_cm2=low,
        fluence_max_uj_cm2=high,
        shots_per_point=SHOTS,
        settle_s=SETTLE_S,
        seed=film,
    )
    design = Design("", low, high, sweep.points, SHOTS, PULSE_RMS)
    bench = SweptFilm(FilmParameters.sampled(f"NC-{film:03d}"), design, film)
    taken, blocks = Taken(bench, metered), sweep.blocks(RATE_HZ, "gated")
    block = next(blocks)
    try:
        while True:
            block = blocks.send(taken.block(block, counts=block.stretches[0].voltage_v == voltage_v))
    except StopIteration:
        return taken, bench.truth(voltage_v)


@dataclass
class Tally:
    """Over many films: relative errors, half widths (with and without the law's own error), shots, dose, what was refused."""

    errors: list[float] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    statistical: list[float] = field(default_factory=list)
    shots: list[int] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)
    dose: list[float] = field(default_factory=list)
    visits: list[int] = field(default_factory=list)
    covered: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, taken: Taken, truth: float, metered: bool) -> None:
        self.shots.append(taken.shots)
        self.counted.append(sum(map(len, taken.fluence)))
        self.dose.append(taken.dose)
        self.visits.append(len(taken.light))
        found = taken.threshold(metered)
        if found.refusal is not None:
            self.refused[found.refusal.code] += 1
        if found.value.value is None or found.value.ci95 is None or found.statistical.half_width is None:
            return
        self.errors.append(found.value.value / truth - 1)
        self.half_widths.append((found.value.ci95[1] - found.value.ci95[0]) / (2 * truth))
        self.statistical.append(found.statistical.half_width / truth)
        self.covered += found.value.ci95[0] <= truth <= found.value.ci95[1]


Key = tuple[float, bool, Order]


def population(films: int, said: Callable[[str], None] = lambda text: None) -> dict[Key, Tally]:
    """Both orders of the same films."""
    tallies: dict[Key, Tally] = {
        (voltage_v, metered, order): Tally() for voltage_v in VOLTAGES_V for metered in (True, False) for order in ORDERS
    }
    for number in range(films):
        for voltage_v in VOLTAGES_V:
            full = swept(FIRST_FILM + number, "random", voltage_v, metered=True)  # whose course is no matter of the meter
            for metered in (True, False):
                tallies[voltage_v, metered, "random"].add(*full, metered)
                adaptive = swept(FIRST_FILM + number, "adaptive", voltage_v, metered)
                tallies[voltage_v, metered, "adaptive"].add(*adaptive, metered)
        if number % 10 == 9:
            said(f"{number + 1} films")
    return tallies


ORDERS: tuple[Order, ...] = ("random", "adaptive")


def reached(tallies: dict[Key, Tally]) -> bool:
    """Whether an adaptive sweep costs at most half and is as good, in each of the four cases."""
    good = True
    for (voltage_v, metered, order), tally in tallies.items():
        if order == "adaptive":
            full = tallies[voltage_v, metered, "random"]
            half = np.median(tally.shots) <= MOST_SHOTS * full.shots[0] and np.median(tally.dose) <= MOST_SHOTS * full.dose[0]
            narrow = np.median(tally.half_widths) <= WIDER * np.median(full.half_widths)
            true = abs(np.mean(tally.errors)) <= MOST_BIAS and tally.covered >= COVERAGE * len(tally.errors)
            good &= bool(half and narrow and true)
    return good


def lines(tallies: dict[Key, Tally]) -> Iterator[tuple[str, ...]]:
    """Rows of a table, its head first."""
    yield (
        *("voltage", "fluences from", "order", "found", "refused", "visits", "shots that count", "shots, all", "dose (mJ/cm2)"),
        *("bias %", "sd %", "median ± %", "without the law's %", "coverage %"),
    )
    for (voltage_v, metered, order), tally in tallies.items():
        refused = ", ".join(f"{count} {code}" for code, count in sorted(tally.refused.items())) or "0"
        costs = [f"{np.median(tally.visits):g}", f"{np.median(tally.counted):.0f}", f"{np.median(tally.shots):.0f}"]
        wide = [f"{100 * float(np.median(widths)):.2f}" for widths in (tally.half_widths, tally.statistical)]
        yield (
            *(f"{voltage_v:g} V", "meter, every shot" if metered else "set points", order, str(len(tally.errors)), refused),
            *costs,
            f"{1e3 * float(np.median(tally.dose)):.1f}",
            *(f"{100 * float(np.mean(tally.errors)):+.2f}", f"{100 * float(np.std(tally.errors, ddof=1)):.2f}", *wide),
            f"{100 * tally.covered / max(1, len(tally.errors)):.0f}",
        )


def main(films: int = FILMS) -> int:
    tallies = population(films, lambda text: print(text, file=sys.stderr, flush=True))
    head, *rows = lines(tallies)
    for line in (head, ("---",) * len(head), *rows):
        print(f"| {' | '.join(line)} |")
    return 0 if reached(tallies) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
