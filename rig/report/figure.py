"""The figure of a switching run, after Figure 2a-c of the paper: emission against time, mean spectra, traces.

Drawn through matplotlib's object interface: no pyplot, no global state, so it works in any process and thread.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rig.analysis.bands import band_slice
from rig.analysis.correction import MeanSpectra, fill_hot
from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult
from rig.report.summary import value_text

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Okabe and Ito's colours, told apart by colour-blind eyes; the 535 nm light is the ON light, the 520 nm light the OFF light
OFF_COLOUR, ON_COLOUR, MARK_COLOUR = "#0072B2", "#D55E00", "#CC79A7"
SHADE = "#EFE6D2"
INK = "#333333"
WATERFALL_NM = (522.0, 32.0)
SPECTRUM_NM = (525.0, 45.0)
MAX_ROWS = 1500
MAX_BINS = 1200


class Frames(Protocol):
    """Raw spectra (n, pixels) that are read slice by slice: an array, or a dataset in a file."""

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.uint16]: ...


def waterfall(spectra: Frames, frames: int, dark: Floats, pixels: slice, max_rows: int = MAX_ROWS) -> Floats:
    """Means of consecutive frames minus dark, counts (rows, pixels of the slice); ceil(frames / rows) frames in a row.

    Read in pieces of about 1000 frames; the last row may hold fewer frames.
    """
    per_row = max(1, -(-frames // max_rows))
    at_once = per_row * max(1, 1000 // per_row)
    rows: list[Floats] = []
    for start in range(0, frames, at_once):
        piece = spectra[start : min(start + at_once, frames), pixels]
        starts = np.arange(0, len(piece), per_row)
        totals = np.add.reduceat(piece, starts, axis=0, dtype=np.float64)
        rows.append(totals / np.diff(np.r_[starts, len(piece)])[:, None])
    return np.concatenate(rows) - dark[pixels]


@dataclass(frozen=True, slots=True, eq=False)
class SwitchingPicture:
    """What is drawn of a run of n >= 2 frames: arrays (n,) in time order, counts, seconds."""

    wavelength_nm: Floats
    time_s: Floats
    spectra: Frames
    dark: Floats
    hot: Mask
    trace_520: Floats
    trace_535: Floats
    state: NDArray[np.integer] | Mask
    missed: Mask
    means: MeanSpectra
    result: SwitchingResult


def draw_course(figure: Figure, image: Axes, traces: Axes, shown: SwitchingPicture) -> None:
    """Draw emission against time (Fig. 2a) and below it, on the same axis, the traces (Fig. 2c).

    Traces show every frame, settling ones too; frames of missed pulses leave a gap and a mark at the foot of the panel.
    """
    edges_s = _frame_edges(shown.time_s)
    stretches = _on_stretches(np.asarray(shown.state) == 1, edges_s)
    _draw_waterfall(figure, image, shown.wavelength_nm, edges_s, shown.spectra, shown.dark, shown.hot)
    _draw_traces(traces, edges_s, (shown.trace_520, shown.trace_535), shown.missed, stretches)
    image.broken_barh(stretches, (1.0, 0.035), transform=image.get_xaxis_transform(), color=ON_COLOUR, clip_on=False, lw=0)
    image.tick_params(labelbottom=False)


def draw_spectra(axes: Axes, shown: SwitchingPicture) -> None:
    """Draw the mean spectra OFF and ON with their widths (Fig. 2b)."""
    _draw_spectra(axes, shown.wavelength_nm, shown.means, shown.result)


def switching_figure(shown: SwitchingPicture, *, run_id: str, sample: str, simulated: bool) -> Figure:
    """Draw a run; save it with `figure.savefig`."""
    figure = Figure(figsize=(11.0, 6.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.75, 1.0), height_ratios=(1.0, 1.0))
    image, spectrum = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    traces, words = figure.add_subplot(grid[1, 0], sharex=image), figure.add_subplot(grid[1, 1])
    draw_course(figure, image, traces, shown)
    draw_spectra(spectrum, shown)
    _draw_words(words, shown.result)
    for letter, axes in zip("abc", (image, spectrum, traces), strict=True):
        axes.set_title(letter, loc="left", fontsize=11, fontweight="bold", pad=8)
    # a name may hold anything, dollar signs too
    figure.suptitle(f"Run {run_id}, sample {sample}", x=0.01, ha="left", fontsize=11, color=INK, parse_math=False)
    if simulated:
        draw_badge(figure)
    return figure


def draw_badge(figure: Figure) -> None:
    """Write SIMULATED into the corner."""
    badge = {"boxstyle": "round,pad=0.3", "facecolor": "#B00020", "edgecolor": "none"}
    figure.text(0.99, 0.985, "SIMULATED", ha="right", va="top", fontsize=12, weight="bold", color="white", bbox=badge)


def _frame_edges(time_s: Floats) -> Floats:
    """Begin of each frame's place on the time axis and the end of the last, (n + 1,)."""
    return np.r_[time_s, time_s[-1] + np.median(np.diff(time_s))]


def _on_stretches(on: Mask, edges_s: Floats) -> list[tuple[float, float]]:
    """Begin and length (s) of every stretch at ON."""
    change = np.flatnonzero(np.diff(np.r_[False, on, False].astype(np.int8)))
    return [(float(edges_s[a]), float(edges_s[b] - edges_s[a])) for a, b in zip(change[::2], change[1::2], strict=True)]


def _draw_waterfall(
    figure: Figure, axes: Axes, wavelength_nm: Floats, edges_s: Floats, spectra: Frames, dark: Floats, hot: Mask
) -> None:
    frames = len(edges_s) - 1
    pixels = band_slice(wavelength_nm, *WATERFALL_NM)
    light = fill_hot(waterfall(spectra, frames, dark, pixels), hot[pixels])
    per_row = -(-frames // MAX_ROWS)
    row_edges = edges_s[np.r_[0:frames:per_row, frames]]
    axis_nm = wavelength_nm[pixels]
    pixel_edges = np.r_[axis_nm[0], 0.5 * (axis_nm[1:] + axis_nm[:-1]), axis_nm[-1]]
    top = max(float(np.percentile(light, 99.8)), 1.0)
    mesh = axes.pcolormesh(
        row_edges, pixel_edges, light.T, cmap="magma", norm=PowerNorm(0.5, 0.0, top), shading="flat", rasterized=True
    )
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=28, extend="max")
    bar.set_label("Counts per frame", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    dress(axes, "", "Wavelength (nm)")


def _draw_spectra(axes: Axes, wavelength_nm: Floats, means: MeanSpectra, result: SwitchingResult) -> None:
    pixels = band_slice(wavelength_nm, *SPECTRUM_NM)
    axis_nm = wavelength_nm[pixels]
    drawn = (
        ("OFF", 0, OFF_COLOUR, result.off_peak_nm, result.off_fwhm_nm, 0.02),
        ("ON", 1, ON_COLOUR, result.on_peak_nm, result.on_fwhm_nm, 0.54),
    )
    highest = max(float(means.mean(state)[pixels].max()) for _, state, *_ in drawn)
    for name, state, colour, peak, fwhm, x in drawn:
        light = means.mean(state)[pixels]
        axes.plot(axis_nm, light, color=colour, lw=1.4, label=name)
        axes.fill_between(axis_nm, light, color=colour, alpha=0.12, lw=0)
        text = _line_text(name, peak, fwhm)
        axes.text(x, 0.98, text, transform=axes.transAxes, color=colour, fontsize=8, va="top", linespacing=1.35)
        if peak.value is not None and fwhm.value is not None:
            at_peak = float(np.interp(peak.value, axis_nm, light))
            half = 0.5 * fwhm.value
            middle = _half_maximum_middle(axis_nm, light, peak.value, half)
            axes.plot([middle - half, middle + half], [at_peak / 2] * 2, color=colour, lw=1.0, marker="|", ms=6)
    axes.set_xlim(axis_nm[0], axis_nm[-1])
    axes.set_ylim(-0.02 * highest, 1.3 * max(highest, 1.0))
    dress(axes, "Wavelength (nm)", "Mean counts per frame")


def _half_maximum_middle(axis_nm: Floats, light: Floats, peak_nm: float, half_nm: float) -> float:
    """Where to centre the bar of a known width so that both ends lie equally high (nm)."""
    shifts = np.linspace(-0.2, 0.2, 81) * 2 * half_nm
    left = np.interp(peak_nm + shifts - half_nm, axis_nm, light)
    right = np.interp(peak_nm + shifts + half_nm, axis_nm, light)
    return peak_nm + float(shifts[np.argmin(np.abs(left - right))])


def _line_text(name: str, peak: Value, fwhm: Value) -> str:
    if peak.value is None:
        return f"{name}\nno {'line' if name == 'ON' else 'band'}"
    return f"{name}\npeak {value_text(peak)}\nFWHM {value_text(fwhm)}"


def _draw_traces(
    axes: Axes, edges_s: Floats, traces: tuple[Floats, Floats], missed: Mask, stretches: list[tuple[float, float]]
) -> None:
    axes.broken_barh(stretches, (0.0, 1.0), transform=axes.get_xaxis_transform(), color=SHADE, lw=0, zorder=0)
    if stretches:
        begin, length = stretches[0]
        axes.text(begin + length / 2, 0.97, "ON", transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)
    frames = len(missed)
    starts = np.unique(np.arange(0, frames, max(1, -(-frames // MAX_BINS))))
    middle = 0.5 * (edges_s[starts] + edges_s[np.r_[starts[1:], frames]])
    for trace, colour, label in zip(traces, (OFF_COLOUR, ON_COLOUR), ("520 nm", "535 nm"), strict=True):
        shown = np.where(missed, np.nan, trace)
        low, high = np.fmin.reduceat(shown, starts), np.fmax.reduceat(shown, starts)
        number = np.add.reduceat(~missed, starts, dtype=np.float64)
        mean = np.add.reduceat(np.where(missed, 0.0, trace), starts) / np.where(number > 0, number, np.nan)
        axes.fill_between(middle, low, high, color=colour, alpha=0.3, lw=0)
        axes.plot(middle, mean, color=colour, lw=1.0, label=label)
    if missed.any():
        at, foot = edges_s[:-1][missed], axes.get_xaxis_transform()
        label = f"missed pulse ({len(at)})"
        axes.scatter(at, np.full(len(at), 0.015), 14, MARK_COLOUR, marker="^", transform=foot, zorder=3, label=label)
    axes.legend(loc="upper right", fontsize=8, ncols=3, frameon=True, framealpha=0.9, edgecolor="none", borderpad=0.3)
    axes.set_xlim(edges_s[0], edges_s[-1])
    axes.set_ylim(*_limits(traces, missed))
    dress(axes, "Time (s)", "Counts per frame")


def _limits(traces: tuple[Floats, Floats], missed: Mask) -> tuple[float, float]:
    seen = np.concatenate([trace[~missed] for trace in traces])
    top = float(np.max(seen, initial=1.0))
    return min(0.0, float(np.min(seen, initial=0.0))) - 0.04 * top, 1.22 * top


def _draw_words(axes: Axes, result: SwitchingResult) -> None:
    axes.set_axis_off()
    lines = (
        ("ON/OFF at 535 nm", result.contrast_535),
        ("ON/OFF at 520 nm", result.ratio_520),
        ("Correlation 520/535", result.correlation_520_535),
        ("OFF drift, last/first - 1", result.off_drift),
        ("ON FWHM, deconvolved", result.on_fwhm_deconvolved_nm),
        ("Frames that follow V", result.agreement),
    )
    verdict = "switched" if result.switched else "not switched"
    axes.text(0.02, 0.96, f"{verdict}, {len(result.per_cycle)} cycles", fontsize=11, fontweight="bold", va="top", color=INK)
    axes.text(0.02, 0.86, result.reason, fontsize=8.5, va="top", color=INK, wrap=True)
    for row, (name, value) in enumerate(lines):
        y = 0.70 - 0.10 * row
        axes.text(0.02, y, name, fontsize=9, va="top", color=INK)
        axes.text(0.55, y, value_text(value), fontsize=9, va="top", color=INK)
    axes.text(0.02, 0.04, "± : 95 % intervals from batch means", fontsize=7.5, va="bottom", color="#666666")


def dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Label the axes, take away what is no data."""
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8, direction="out", length=3)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
