"""Figure 2 as the paper lays it out: switching (a to c), spectra against fluence at both voltages (d, e), thresholds (f)."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from rig.measurements.map_record import MapRecord
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.pump_spectra import PumpSpectra, pump_spectra
from rig.report.figure import INK, OFF_COLOUR, ON_COLOUR, draw_badge, draw_course, draw_spectra, dress
from rig.report.summary import value_text

SPECTRA_NM = (495.0, 560.0)
COLOURS = "viridis"
FAINTEST_COUNTS = 3.0  # what is drawn: the noise of a mean of 50 shots is 2


def figure_2(switching: SwitchingRecord | None, thresholds: MapRecord | None, *, simulated: bool) -> Figure:
    """Draw the panels; one that has no data says why."""
    figure = Figure(figsize=(13.0, 11.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 6)
    a = figure.add_subplot(grid[0, :4])
    b, c = figure.add_subplot(grid[0, 4:]), figure.add_subplot(grid[1, :4], sharex=a)
    f, d, e = figure.add_subplot(grid[1, 4:]), figure.add_subplot(grid[2, :3]), figure.add_subplot(grid[2, 3:])

    def course() -> None:
        draw_course(figure, a, c, _switching(switching).picture())

    _drawn((a, c), course)
    _drawn((b,), lambda: draw_spectra(b, _switching(switching).picture()))
    _drawn((d,), lambda: draw_pump_spectra(figure, d, pump_spectra(_map(thresholds), 0)))
    _drawn((e,), lambda: draw_pump_spectra(figure, e, pump_spectra(_map(thresholds), -1)))
    _drawn((f,), lambda: draw_thresholds(f, _map(thresholds)))
    for letter, axes in zip("abcdef", (a, b, c, d, e, f), strict=True):
        axes.set_title(letter, loc="left", fontsize=11, fontweight="bold", pad=8)
    if simulated:
        draw_badge(figure)
    return figure


def _switching(record: SwitchingRecord | None) -> SwitchingRecord:
    if record is None:
        raise ValueError("not measured")
    return record


def _map(record: MapRecord | None) -> MapRecord:
    if record is None:
        raise ValueError("not measured")
    return record


def _drawn(axes: tuple[Axes, ...], draw: Callable[[], None]) -> None:
    try:
        draw()
    except ValueError as error:
        for one in axes:
            say(one, str(error))


def say(axes: Axes, words: str) -> None:
    """Write words where a panel has nothing to show."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", wrap=True, color=INK, parse_math=False)


def draw_pump_spectra(figure: Figure, axes: Axes, shown: PumpSpectra) -> None:
    """Draw spectra against fluence, and in the inset their width with the threshold."""
    chosen = (shown.wavelength_nm >= SPECTRA_NM[0]) & (shown.wavelength_nm <= SPECTRA_NM[1])
    norm = LogNorm(shown.fluence_uj_cm2[0], shown.fluence_uj_cm2[-1])
    colours = ScalarMappable(norm, COLOURS)
    for fluence, light in zip(shown.fluence_uj_cm2, shown.light, strict=True):
        axes.plot(shown.wavelength_nm[chosen], light[chosen], color=colours.to_rgba(fluence), lw=1.0)
    axes.set_yscale("log")
    axes.set_ylim(FAINTEST_COUNTS, 2.0 * float(shown.light.max()))
    bar = figure.colorbar(colours, ax=axes, pad=0.01, aspect=28)
    bar.set_label("Pump fluence (µJ/cm²)", fontsize=9)
    bar.ax.tick_params(labelsize=8, which="both")
    for side in (bar.ax.yaxis.set_major_formatter, bar.ax.yaxis.set_minor_formatter):
        side(LogFormatter(labelOnlyBase=False, minor_thresholds=(2.0, 0.8)))
    axes.set_xlabel("Wavelength (nm)", fontsize=9)
    axes.set_ylabel("Counts per shot", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_title(f"{shown.voltage_v:g} V", fontsize=9, color=INK)
    inset = axes.inset_axes((0.7, 0.6, 0.28, 0.32))
    inset.semilogx(shown.fluence_uj_cm2, shown.fwhm_nm, "o", ms=2.5, color=INK)
    if shown.threshold.value is not None:
        inset.axvline(shown.threshold.value, color=ON_COLOUR, lw=1.0)
    inset.set_ylim(bottom=0)
    inset.set_title("FWHM (nm)", fontsize=7)
    inset.tick_params(labelsize=6, which="both")
    for side in (inset.xaxis.set_major_formatter, inset.xaxis.set_minor_formatter):
        side(LogFormatter(labelOnlyBase=False, minor_thresholds=(2.0, 0.8)))


def draw_thresholds(axes: Axes, record: MapRecord) -> None:
    """Draw thresholds against voltage with their 95 % intervals."""
    if record.result is None or record.result.faulted:
        raise ValueError(record.reason if record.result is None else record.result.sentence)
    known = [one for one in record.result.effect.levels if one.value.value is not None]
    if not known:
        raise ValueError(record.result.sentence)
    half = [one.value.half_width or np.nan for one in known]
    values = [np.nan if one.value.value is None else one.value.value for one in known]
    axes.errorbar([one.voltage_v for one in known], values, half, fmt="o-", ms=5, lw=0.8, capsize=3, color=OFF_COLOUR)
    axes.set_ylim(bottom=0)
    reduction = record.result.value
    if reduction.value is not None:
        axes.text(0.97, 0.95, f"reduction {value_text(reduction)}", transform=axes.transAxes, ha="right", va="top", fontsize=8)
    dress(axes, "Voltage (V)", "Threshold (µJ/cm²)")
