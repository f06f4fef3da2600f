"""The figure of a threshold map: thresholds against voltage, and below them those of the single sweeps against time."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rig.analysis.field_effect import FieldEffect
from rig.analysis.statistics import Value
from rig.report.threshold_figure import INK, LAW_COLOUR, POINT_COLOUR


def map_figure(effect: FieldEffect, sweeps: Sequence[tuple[float, float, Value]], title: str) -> Figure:
    """Draw `effect`, and single sweeps that have a threshold: (time in s, voltage in V, threshold in uJ/cm2)."""
    figure = Figure(figsize=(7.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(2.0, 1.0))
    _draw(above, [(one.voltage_v, one.value) for one in effect.levels], POINT_COLOUR, "mean of the sweeps, 95 %")
    above.set_xlabel("voltage (V)")
    above.set_ylabel("threshold (µJ/cm²)")
    above.set_ylim(bottom=0)
    above.legend(frameon=False)
    _draw(below, [(t_s, value) for t_s, voltage_v, value in sweeps if voltage_v == 0], LAW_COLOUR, "at 0 V")
    _draw(below, [(t_s, value) for t_s, voltage_v, value in sweeps if voltage_v != 0], POINT_COLOUR, "under voltage")
    below.set_xlabel("time (s)")
    below.set_ylabel("threshold (µJ/cm²)")
    below.legend(frameon=False)
    above.set_title(title, color=INK, fontsize=9, wrap=True)
    return figure


def _draw(axes: Axes, points: Sequence[tuple[float, Value]], colour: str, label: str) -> None:
    known = [(x, value.value, value.half_width or 0.0) for x, value in points if value.value is not None]
    x, y, half = ([one[column] for one in known] for column in range(3))
    axes.errorbar(x, y, half, fmt="o", ms=4, color=colour, label=label)
