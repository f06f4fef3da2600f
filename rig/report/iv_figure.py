"""The figure of a current-voltage run: current against voltage, up and down, and below it against time at the long hold."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rig.analysis.current_law import CurrentLaw
from rig.analysis.current_voltage import CurrentDecay
from rig.analysis.statistics import Value
from rig.report.threshold_figure import INK, LAW_COLOUR, POINT_COLOUR, WIDTH_COLOUR

COLOURS = {"up": POINT_COLOUR, "down": WIDTH_COLOUR}


def iv_figure(
    curves: Mapping[str, Sequence[tuple[float, Value]]],
    law: CurrentLaw,
    course: tuple[NDArray[np.float64], NDArray[np.float64]],
    decay: CurrentDecay,
    title: str,
) -> Figure:
    """Draw currents by way ("up", "down": pairs of V and uA), the law, and the course of the long hold (s, uA)."""
    figure = Figure(figsize=(7.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(2.0, 1.0))
    highest_v = 0.0
    for way, points in curves.items():
        known = [(x, y.value, y.half_width or 0.0) for x, y in points if y.value is not None]
        if known:
            volts, currents, halves = (np.array(column) for column in zip(*known, strict=True))
            above.errorbar(volts, currents, halves, fmt="o", ms=4, color=COLOURS[way], label=f"{way}, 95 %")
            highest_v = max(highest_v, *volts.tolist(), *(-volts).tolist())
    if law.k_a is not None and law.exponent.value is not None and highest_v > 0:
        sign = -1.0 if all(x <= 0 for points in curves.values() for x, _ in points) else 1.0
        fine = np.linspace(0.0, highest_v, 200)
        label = f"leak and power {law.exponent.value:.2f}"
        above.plot(sign * fine, sign * 1e6 * law.at(fine), color=LAW_COLOUR, lw=1.0, label=label)
    above.set_xlabel("voltage (V)")
    above.set_ylabel("current (µA)")
    if above.get_legend_handles_labels()[0]:
        above.legend(frameon=False)
    t_s, current_ua = course
    below.plot(t_s, current_ua, ".", ms=2, color=POINT_COLOUR)
    ends = decay.start.value, decay.end.value, decay.tau_s.value
    if len(t_s) and None not in ends:
        start, end, tau_s = (value or 0.0 for value in ends)
        fine = np.linspace(0.0, float(t_s[-1]), 300)
        below.plot(fine, end + (start - end) * np.exp(-fine / tau_s), color=LAW_COLOUR, lw=1.0)
    below.set_xlabel("time at the long hold (s)")
    below.set_ylabel("current (µA)")
    above.set_title(title, color=INK, fontsize=9, wrap=True)
    return figure
