"""The figure of a threshold: light against fluence with the fitted law, the line's width below it."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from rig.analysis.light_curve import LightCurve
from rig.analysis.statistics import Value
from rig.analysis.threshold import FITTED_TO, Threshold
from rig.report.summary import value_text

Floats = NDArray[np.float64]

POINT_COLOUR, LAW_COLOUR, WIDTH_COLOUR, INK = "#0072B2", "#D55E00", "#CC79A7", "#333333"


def threshold_figure(
    curve: LightCurve, found: Threshold, width_fluence: Floats, fwhm_nm: Floats, crossing: Value, title: str
) -> Figure:
    """Draw points (uJ/cm2, counts) with standard errors, law and interval; widths (nm) at `width_fluence`, all (n,)."""
    figure = Figure(figsize=(7.0, 6.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.0))
    f = curve.fluence_uj_cm2
    above.errorbar(f, curve.signal, curve.error, fmt="o", ms=4, color=POINT_COLOUR, label=f"light ({curve.method})")
    if found.law is not None and found.value.value is not None:
        fine = np.geomspace(f[0], min(FITTED_TO * found.law.threshold, f[-1]), 400)
        above.plot(fine, found.law.at(fine), color=LAW_COLOUR, label="rate equation, where it is fitted")
        for axes in (above, below):
            axes.axvline(found.value.value, color=LAW_COLOUR, lw=1.0)
            if found.value.ci95 is not None:
                axes.axvspan(*found.value.ci95, color=LAW_COLOUR, alpha=0.2, lw=0)
    below.plot(width_fluence, fwhm_nm, "o-", ms=4, color=WIDTH_COLOUR)
    if crossing.value is not None:
        below.axvline(crossing.value, color=WIDTH_COLOUR, lw=1.0, ls="--")
    above.set_xscale("log")
    for side in (below.xaxis.set_major_formatter, below.xaxis.set_minor_formatter):
        side(LogFormatter(labelOnlyBase=False, minor_thresholds=(2.0, 0.8)))
    above.set_ylabel("light beyond the band (counts)")
    above.legend(frameon=False)
    below.set_ylabel("FWHM (nm)")
    below.set_xlabel("pump fluence (µJ/cm²)")
    said = found.refusal.message if found.refusal else f"threshold {value_text(found.value)} (95 %)"
    above.set_title(f"{title}\n{said}", color=INK, fontsize=9, wrap=True)
    return figure
