"""The figure that every run has: light, voltage and current against time, with what was flagged."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rig.report.figure import INK, OFF_COLOUR, ON_COLOUR
from rig.report.run_facts import RunFacts, eventful
from rig.runfile import Flag

PLAN_COLOUR, MARK_COLOUR = "#999999", "#CC79A7"
MAX_BINS = 1200
RASTERIZED = 5000  # points; as vectors more would make the SVG slow to open
CAPTION = (
    "Course of the run. Above: light in the 520 and 535 nm bands (counts per frame; band: lowest and highest of the frames "
    "drawn together). Middle: voltage as planned for each frame and as measured at the source (V). Below: current (mA). "
    "Triangles: flagged frames, those after a voltage edge not counted. Time is that of the spectrometer since the first "
    "frame; readings of the source are placed by the computer's clock and may be off by some 0.1 s."
)


def course_figure(facts: RunFacts) -> Figure:
    """Draw a run, whatever it measured.

    Raises
    ------
    ValueError  there is no frame
    """
    rows = facts.rows
    if not len(rows):
        raise ValueError("the file has no frame")
    figure = Figure(figsize=(11.0, 6.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    light, voltage, current = figure.subplots(3, 1, sharex=True, height_ratios=(1.6, 1.0, 1.0))
    t_s = np.asarray(rows["device_time_us"].astype(np.int64) - int(rows["device_time_us"][0]), np.float64) * 1e-6
    reading_s = (facts.readings["t_ns"] - int(rows["host_time_ns"][0])) * 1e-9
    many = len(reading_s) > RASTERIZED
    _draw_light(light, np.asarray(t_s, np.float64), facts)
    known = np.flatnonzero(np.isfinite(rows["planned_voltage_v"]))
    known = known[_corners(rows["planned_voltage_v"][known])]
    voltage.plot(
        t_s[known], rows["planned_voltage_v"][known], color=PLAN_COLOUR, lw=1.0, drawstyle="steps-post", label="planned"
    )
    voltage.plot(reading_s, facts.readings["voltage_v"], ".", color=ON_COLOUR, ms=4, label="measured", rasterized=many)
    current.plot(reading_s, facts.readings["current_a"] * 1e3, ".", color=OFF_COLOUR, ms=4, rasterized=many)
    for axes, name in ((light, "Counts per frame"), (voltage, "Voltage (V)"), (current, "Current (mA)")):
        axes.set_ylabel(name, fontsize=9)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    for axes in (light, voltage):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.1, fontsize=8, ncols=4, frameon=False)
    current.set_xlabel("Time (s)", fontsize=9)
    figure.suptitle(f"Run {facts.header.run_id}, sample {facts.header.sample}", x=0.01, ha="left", fontsize=11, color=INK)
    if facts.header.simulated:
        badge = {"boxstyle": "round,pad=0.3", "facecolor": "#B00020", "edgecolor": "none"}
        figure.text(0.99, 0.985, "SIMULATED", ha="right", va="top", fontsize=12, weight="bold", color="white", bbox=badge)
    return figure


def _corners(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where a list of levels (n,) changes, with both ends; all else of it is straight."""
    change = np.flatnonzero(np.diff(values))
    return np.unique(np.r_[0, change, change + 1, len(values) - 1]).astype(np.intp) if len(values) else change


def _draw_light(axes: Axes, t_s: NDArray[np.float64], facts: RunFacts) -> None:
    data = (facts.rows["flags"] & int(Flag.LEAD_IN)) == 0
    rows, t_s = facts.rows[data], t_s[data]
    if not len(rows):
        return
    starts = np.unique(np.arange(0, len(rows), max(1, -(-len(rows) // MAX_BINS))))
    number = np.diff(np.r_[starts, len(rows)])
    for column, colour, label in (("band_520", OFF_COLOUR, "520 nm"), ("band_535", ON_COLOUR, "535 nm")):
        lowest, highest = (bins.reduceat(rows[column], starts) for bins in (np.fmin, np.fmax))
        axes.fill_between(t_s[starts], lowest, highest, color=colour, alpha=0.35, lw=0)
        axes.plot(t_s[starts], np.add.reduceat(rows[column], starts) / number, color=colour, lw=0.8, label=label)
    flagged = eventful(rows["flags"])
    if flagged.any():
        at, foot = t_s[flagged], axes.get_xaxis_transform()
        label, many = f"flagged ({len(at)})", len(at) > RASTERIZED
        foots = np.full(len(at), 0.02)
        axes.scatter(at, foots, 14, MARK_COLOUR, marker="^", transform=foot, zorder=3, label=label, rasterized=many)
