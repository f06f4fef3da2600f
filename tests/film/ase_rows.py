"""What is seen from the edge: thresholds, lines, contrast, stability. Source: paper, Figure 2."""

import functools
import math
from collections.abc import Callable
from itertools import pairwise

from film.edge_bench import EdgeBench, S, Sweep
from film.row import SEED, Measured, Row, of_value, times
from film.switching_run import SwitchingRun, switching_run

from rig.analysis.lineshape import Line
from rig.analysis.statistics import Value
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters

NOMINAL = FilmParameters.nominal()
VOLTAGES = (0.0, 5.0, 10.0, 15.0, 20.0)
HELD_NS = 30 * S
LINES_AT = ((0.0, 0.9), (0.0, 1.1), (0.0, 1.3), (0.0, 1.9), (20.0, 0.9), (20.0, 1.1), (20.0, 1.3), (20.0, 3.0))
LINE_SHOTS = 200
PERCENT = 100.0
ESTIMATOR = "estimator: rate-equation root; without the common error of meter and area"


@functools.cache
def session() -> tuple[dict[float, Sweep], dict[tuple[float, float], Line]]:
    """All sweeps, interleaved, then the mean lines by voltage and fluence in measured thresholds."""
    bench = EdgeBench(NOMINAL, SEED)
    swept = bench.sweep(VOLTAGES)
    lines: dict[tuple[float, float], Line] = {}
    for voltage_v, factor in LINES_AT:
        bench.pump(factor * swept[voltage_v].threshold.value)
        bench.bias(voltage_v)
        lines[voltage_v, factor] = bench.line(bench.shots(LINE_SHOTS).light)
        bench.bias(0.0, S)
    return swept, lines


def sweeps() -> dict[float, Sweep]:
    return session()[0]


@functools.cache
def held_sweep() -> Sweep:
    """At 20 V that has been on for 30 s and stays on."""
    held = EdgeBench(NOMINAL, SEED)
    held.bias(20.0, HELD_NS)
    return held.sweep((20.0,), gated=False)[20.0]


@functools.cache
def run() -> SwitchingRun:
    return switching_run(NOMINAL, SEED)


def threshold(voltage_v: float) -> Measured:
    found = sweeps()[voltage_v].threshold
    return Measured(found.value, found.half_width)


def ratio(one: Measured, other: Measured) -> Measured:
    """one / other with errors that know nothing of each other."""
    value = one.value / other.value
    relative = [m.half_width / m.value for m in (one, other) if m.half_width is not None]
    return Measured(value, value * math.hypot(*relative))


def reduction() -> Measured:
    left = ratio(threshold(20.0), threshold(0.0))
    return Measured(1 - left.value, left.half_width)


def steepest_step() -> Measured:
    """Largest ratio of neighbours: below 1, thresholds fall at every step."""
    return max((ratio(threshold(high), threshold(low)) for low, high in pairwise(VOLTAGES)), key=lambda m: m.value)


def held_rise() -> Measured:
    """Both sweeps of one film by one law: its own error cancels."""
    held, gated = (Measured(t.value, t.statistical) for t in (held_sweep().threshold, sweeps()[20.0].threshold))
    risen = ratio(held, gated)
    return times(Measured(risen.value - 1, risen.half_width), PERCENT)


def narrowing(voltage_v: float) -> Measured:
    sweep = sweeps()[voltage_v]
    return Measured(sweep.half_width_fluence / sweep.threshold.value)


def line_width_nm(voltage_v: float, factor: float) -> Measured:
    """Width of the mean line at so many measured thresholds. Raises ValueError where there is none."""
    line = session()[1][voltage_v, factor]
    if line.fwhm_nm is None:
        raise ValueError(line.reason)
    return Measured(line.fwhm_nm)


def strong_peak_nm() -> Measured:
    """ON peak at 60 uJ/cm2."""
    lit = EdgeBench(NOMINAL, SEED)
    lit.pump(60.0)
    lit.bias(20.0)
    line = lit.line(lit.shots(LINE_SHOTS).light)
    if line.peak_nm is None:
        raise ValueError(line.reason)
    return Measured(line.peak_nm)


def on_spread() -> Measured:
    cycles = run().on_cycles
    return Measured(PERCENT * float(abs(cycles / cycles.mean() - 1).max()))


def of_run(value: Callable[[SwitchingRun], Value], factor: float = 1.0, minus: float = 0.0) -> Callable[[], Measured]:
    """(value - minus) * factor of the run."""

    def measure() -> Measured:
        found = of_value(value(run()))
        return times(Measured(found.value - minus, found.half_width), factor)

    return measure


def native(voltage_v: float) -> Measured:
    return Measured(Film(NOMINAL).native_threshold(voltage_v))


def _thresholds(voltage_v: float, claim: str, paper: str, low: float, high: float, note: str) -> Row:
    name = f"threshold at {voltage_v:g} V (uJ/cm2)"
    return Row(claim, name, paper, functools.partial(threshold, voltage_v), 1, low, high, note=note)


def _native(voltage_v: float, paper: str, low: float, high: float) -> Row:
    note = "where the film's own A_u = A_s; by construction" if paper != "-" else "the film's own; prediction"
    return Row(
        "C30",
        f"native threshold at {voltage_v:g} V (uJ/cm2)",
        paper,
        functools.partial(native, voltage_v),
        2,
        low,
        high,
        note=note,
    )


def _width(voltage_v: float, factor: float, low: float, high: float, note: str = "") -> Row:
    name = f"line width at {voltage_v:g} V, {factor:g} F_th (nm)"
    claim = "C25" if voltage_v else "C24"
    return Row(claim, name, "narrows", functools.partial(line_width_nm, voltage_v, factor), 2, low, high, note=note)


PREDICTION = "prediction"
INF = math.inf

ASE_ROWS = [
    _native(0.0, "68", 67.95, 68.05),
    *(_native(v, "-", 0.995 * f, 1.005 * f) for v, f in ((5.0, 59.1), (10.0, 45.1), (15.0, 36.4))),
    _native(20.0, "32", 31.95, 32.05),
    _thresholds(0.0, "C27", "68", 0.97 * 68, 1.03 * 68, ESTIMATOR),
    *(
        _thresholds(v, "C30", "decreasing", 0.97 * f, 1.03 * f, PREDICTION)
        for v, f in ((5.0, 59.1), (10.0, 45.1), (15.0, 36.4))
    ),
    _thresholds(20.0, "C28", "32", 0.97 * 32, 1.03 * 32, ESTIMATOR),
    Row("C30", "threshold, largest ratio from one voltage to the next", "decreasing", steepest_step, 3, 0, 1, whole=True),
    Row("C29", "threshold reduction at 20 V", "> 50 % (52.9 %)", reduction, 3, 0.509, 0.549),
    Row("C29", "threshold reduction at 20 V, all of its interval", "> 50 %", reduction, 3, 0.50, 1, whole=True),
    Row(
        "C23",
        "threshold at 0 V against the pump of 40 (uJ/cm2)",
        "above",
        functools.partial(threshold, 0.0),
        1,
        40,
        INF,
        whole=True,
    ),
    Row(
        "C23",
        "threshold at 20 V against the pump of 40 (uJ/cm2)",
        "below",
        functools.partial(threshold, 20.0),
        1,
        0,
        40,
        whole=True,
    ),
    Row("C26", "half of the initial width at 0 V (F_th)", "narrows", functools.partial(narrowing, 0.0), 2, 0.75, 1.25),
    Row("C26", "half of the initial width at 20 V (F_th)", "narrows", functools.partial(narrowing, 20.0), 2, 0.75, 1.25),
    _width(0.0, 0.9, 20, INF),
    _width(0.0, 1.1, 4, 6, PREDICTION),
    _width(0.0, 1.3, 0, 5),
    _width(0.0, 1.9, 0, 5, "saturates"),
    _width(20.0, 0.9, 20, INF),
    _width(20.0, 1.1, 0, 5, PREDICTION),
    _width(20.0, 1.3, 0, 5),
    _width(20.0, 3.0, 0, 5, "saturates"),
    Row("C17", "OFF band, centre at 40 uJ/cm2 (nm)", "520", of_run(lambda r: r.result.off_peak_nm), 2, 518.5, 521.5),
    Row("C18", "OFF band, width at 40 uJ/cm2 (nm)", "~25", of_run(lambda r: r.result.off_fwhm_nm), 2, 23, 27),
    Row("C19", "ON line, peak at 40 uJ/cm2 (nm)", "535", of_run(lambda r: r.result.on_peak_nm), 2, 534, 536),
    Row("C19", "ON line, peak at 60 uJ/cm2 (nm)", "535", strong_peak_nm, 1, 534, 536),
    Row("C20", "ON line, width as recorded (nm)", "< 4", of_run(lambda r: r.result.on_fwhm_nm), 2, 0, 4, note="PSF 1 nm"),
    Row("C22", "light at 535 nm, ON / OFF", "increases", of_run(lambda r: r.result.contrast_535), 1, 5, INF, note=PREDICTION),
    Row("C21", "light at 520 nm, ON / OFF", "decreases", of_run(lambda r: r.result.ratio_520), 3, 0, 0.5, note=PREDICTION),
    Row("C22", "correlation of 520 and 535 nm", "antiphase", of_run(lambda r: r.result.correlation_520_535), 3, -1, -0.95),
    Row("C16", "frames whose state is that of the voltage", "follows V", of_run(lambda r: r.result.agreement), 4, 0.99, 1),
    Row(
        "C08",
        "OFF band, last to first of 6 cycles (%)",
        "no degradation",
        of_run(lambda r: r.result.off_drift, PERCENT),
        1,
        -3,
        3,
        note="ions and bleaching, at equal energy",
    ),
    Row(
        "C06",
        "ON line, last to first of 6 cycles (%)",
        "repeatable",
        of_run(lambda r: r.on_change, PERCENT, 1.0),
        1,
        -10,
        10,
        note="ions, bleaching and laser drift; prediction",
    ),
    Row("C06", "ON line, largest deviation of a cycle (%)", "repeatable", on_spread, 1, 0, 10),
    Row("C59", "threshold after 30 s at 20 V (%)", "ions, > 1 s", held_rise, 1, 1, 4, note=PREDICTION),
]
