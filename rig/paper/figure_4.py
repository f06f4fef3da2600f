"""Figure 4a and 4b as the paper lays them out: weakly pumped spectra by voltage, and light under a square wave."""

from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rig.measurements.pl_record import PlRecord, level_spectra
from rig.measurements.response import Part
from rig.measurements.response_record import ResponseRecord, told
from rig.paper.figure_2 import say
from rig.report.figure import INK, OFF_COLOUR, ON_COLOUR, SHADE, draw_badge, dress
from rig.report.summary import value_text

SPECTRA_NM = (480.0, 570.0)
SHOWN_PERIODS = 4
FOLDED_S = (-0.05, 0.2)


def figure_4(ladder: PlRecord | None, response: ResponseRecord | None, *, simulated: bool) -> Figure:
    """Draw the panels; one that has no data says why."""
    figure = Figure(figsize=(13.0, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    a, b = figure.subplots(1, 2, width_ratios=(1.0, 1.7))
    for letter, axes in (("a", a), ("b", b)):
        axes.set_title(letter, loc="left", fontsize=11, fontweight="bold", pad=8)
    if ladder is None or ladder.result is None:
        say(a, "not measured" if ladder is None else ladder.reason)
    else:
        draw_spectra_by_voltage(a, ladder)
    if response is None or response.result is None:
        say(b, "not measured" if response is None else response.reason)
    else:
        draw_square_wave(b, response)
    if simulated:
        draw_badge(figure)
    return figure


def draw_spectra_by_voltage(axes: Axes, record: PlRecord) -> None:
    """Draw mean spectra by voltage, each with the light that is left of that at 0 V."""
    if record.result is None:
        raise ValueError(record.reason)
    wavelength_nm, spectra = level_spectra(record.result.stays, record.parameters.stays())
    left = {one.voltage_v: one.relative for one in record.result.ladder.levels}
    shown = (wavelength_nm >= SPECTRA_NM[0]) & (wavelength_nm <= SPECTRA_NM[1])
    colours = colormaps["viridis"](np.linspace(0.0, 0.85, max(2, len(spectra))))
    for (voltage_v, light), colour in zip(spectra.items(), colours, strict=False):
        relative = left.get(voltage_v)
        words = "" if relative is None or voltage_v == 0 else f": {value_text(relative)}"
        axes.plot(wavelength_nm[shown], light[shown], color=colour, lw=1.0, label=f"{voltage_v:g} V{words}")
    axes.legend(frameon=False, fontsize=8)
    asked = record.parameters
    axes.set_title(f"{1e3 * asked.fluence_uj_cm2:g} nJ/cm², frames of {asked.frame_s:g} s", fontsize=9, color=INK)
    dress(axes, "Wavelength (nm)", "Counts per frame")


def draw_square_wave(axes: Axes, record: ResponseRecord) -> None:
    """Draw the light of the first periods; in the insets one edge of each kind, all of them laid over each other."""
    result = record.result
    if result is None:
        raise ValueError(record.reason)
    trace = result.trace
    stays = [stay for stay in trace.stays if stay.part is Part.WAVE]
    end_s = stays[0].start_s + SHOWN_PERIODS * 2 * record.parameters.half_period_s if stays else 0.0
    t_s = trace.t_s + trace.timing.open_s + trace.timing.exposure_s / 2
    seen = t_s < end_s
    for stay in stays:
        if stay.voltage_v != 0 and stay.start_s < end_s:
            length_s = min(end_s - stay.start_s, record.parameters.half_period_s)
            axes.axvspan(stay.start_s, stay.start_s + length_s, color=SHADE, lw=0, zorder=0)
    axes.plot(t_s[seen], trace.light[seen], color=OFF_COLOUR, lw=0.8, marker=".", ms=2)
    top = float(np.max(trace.light[seen], initial=1.0))
    axes.set_ylim(0, 1.75 * top)
    for place, on, edge, name in ((0.04, True, result.steps.on, "ON"), (0.55, False, result.steps.off, "OFF")):
        inset = axes.inset_axes((place, 0.68, 0.4, 0.26))
        for before, stay in pairwise(stays):
            if (stay.voltage_v != 0) is not on or (before.voltage_v != 0) is on:
                continue
            since_s = t_s - stay.start_s
            near = (since_s > FOLDED_S[0]) & (since_s < FOLDED_S[1])
            inset.plot(1e3 * since_s[near], trace.light[near], ".", ms=2, color=ON_COLOUR if on else OFF_COLOUR)
        inset.set_title(f"{name}: {told(edge)}, edge at 0 ms", fontsize=7)
        inset.tick_params(labelsize=6, labelleft=False, left=False)
    dress(axes, "Time (s)", "Counts per frame")
