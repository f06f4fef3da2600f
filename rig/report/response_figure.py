"""The figure of a response: the edges laid over each other, and the light of the whole run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rig.report.threshold_figure import INK, LAW_COLOUR, POINT_COLOUR

Floats = NDArray[np.float64]

MOST_POINTS = 6000  # of the run: more are not told apart on paper
SHADE = "#e8e8f4"


def response_figure(
    edges: tuple[Floats, Floats, Floats, Floats],
    course: tuple[Floats, Floats],
    under: Sequence[tuple[float, float]],
    title: str,
) -> Figure:
    """Draw a response.

    Parameters
    ----------
    edges   time since the edge (ms) and way of the light (0 to 1), after ON, then after OFF
    course  time (s) and light (counts) of every frame
    under   begin and end of each stretch under voltage (s)
    """
    figure = Figure(figsize=(7.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, height_ratios=(1.3, 1.0))
    left, right, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    _edge(left, edges[0], edges[1], "voltage on")
    _edge(right, edges[2], edges[3], "voltage off")
    left.set_ylabel("way of the light")
    t_s, light = course
    every = max(1, len(t_s) // MOST_POINTS)
    for begin_s, end_s in under:
        below.axvspan(begin_s, end_s, color=SHADE, lw=0)
    below.plot(t_s[::every], light[::every], ".", ms=1.5, color=POINT_COLOUR)
    below.set_xlabel("time (s)")
    below.set_ylabel("light (counts)")
    figure.suptitle(title, color=INK, fontsize=9, wrap=True)
    return figure


def _edge(axes: Axes, since_ms: Floats, way: Floats, label: str) -> None:
    for level in (0.1, 0.9):
        axes.axhline(level, color=LAW_COLOUR, lw=0.6)
    axes.plot(since_ms, way, ".", ms=2.5, color=POINT_COLOUR)
    axes.set_ylim(-0.3, 1.3)
    axes.set_xlabel("middle of the frame after the edge (ms)")
    axes.set_title(label, color=INK, fontsize=9)
