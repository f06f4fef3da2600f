"""The figure of a fluence sweep: that of its threshold; when the run ended by a fault, without one."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rig.analysis.light_curve import LightCurve
from rig.analysis.statistics import Value
from rig.analysis.threshold import Threshold
from rig.report.threshold_figure import threshold_figure

Floats = NDArray[np.float64]


def sweep_figure(
    *,
    curve: LightCurve,
    threshold: Threshold,
    width_uj_cm2: Floats,
    fwhm_nm: Floats,
    crossing: Value,
    sentence: str,
    faulted: bool,
    title: str,
) -> Figure:
    """Draw a sweep; `sentence` stands above it, and nothing that a run ended by a fault cannot tell is drawn."""
    absent = Value(None, None, threshold.value.unit)
    shown = replace(threshold, value=absent, law=None) if faulted else threshold
    figure = threshold_figure(curve, shown, width_uj_cm2, fwhm_nm, absent if faulted else crossing, title)
    figure.axes[0].set_title(f"{title}\n{sentence}", fontsize=9, wrap=True)
    return figure
