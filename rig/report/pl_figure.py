"""The figure of a voltage ladder: light against voltage, light of each stay against time, mean spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rig.analysis.bracketed_ladder import NORMAL, LadderLight, Light
from rig.report.threshold_figure import INK, LAW_COLOUR, POINT_COLOUR

Floats = NDArray[np.float64]


def pl_figure(
    ladder: LadderLight, stays: Sequence[Light | None], wavelength_nm: Floats, spectra: Mapping[float, Floats], title: str
) -> Figure:
    """Draw a ladder; `spectra` are mean counts (pixels,) by voltage (V)."""
    figure = Figure(figsize=(7.0, 7.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, middle, below = figure.subplots(3, 1, height_ratios=(2.0, 1.2, 1.5))
    known = [one for one in ladder.levels if one.relative.value is not None]
    above.errorbar(
        [one.voltage_v for one in known],
        [one.relative.value or 0.0 for one in known],
        [one.relative.half_width or 0.0 for one in known],
        fmt="o-",
        ms=4,
        color=POINT_COLOUR,
    )
    above.set_xlabel("voltage (V)")
    above.set_ylabel("light over that at 0 V")
    above.set_ylim(bottom=min(0.0, *above.get_ylim()))
    for name, colour, biased in (("at 0 V", LAW_COLOUR, False), ("under voltage", POINT_COLOUR, True)):
        some = [one for one in stays if one is not None and (one.voltage_v != 0) is biased]
        half = [NORMAL * one.sigma for one in some]
        t_s, counts = [one.t_s for one in some], [one.counts for one in some]
        middle.errorbar(t_s, counts, half, fmt="o", ms=3, color=colour, label=name)
    middle.set_xlabel("time (s)")
    middle.set_ylabel("light (counts)")
    middle.legend(frameon=False)
    colours = colormaps["viridis"](np.linspace(0.0, 0.85, max(2, len(spectra))))
    for (voltage_v, spectrum), colour in zip(spectra.items(), colours, strict=False):
        below.plot(wavelength_nm, spectrum, color=colour, lw=0.8, label=f"{voltage_v:g} V")
    below.set_xlabel("wavelength (nm)")
    below.set_ylabel("counts per frame")
    below.legend(frameon=False, ncols=2)
    above.set_title(title, color=INK, fontsize=9, wrap=True)
    return figure
