"""The figure of a fluence calibration: energy against the plate's angle with the fitted law, and what the fit leaves over."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rig.fluence_calibration import FluenceCalibration

POINT_COLOUR, LAW_COLOUR, INK = "#0072B2", "#D55E00", "#333333"


def calibration_figure(calibration: FluenceCalibration) -> Figure:
    """Draw energies (uJ, at the meter) with standard errors over the law, residuals below; save it with `figure.savefig`."""
    figure = Figure(figsize=(7.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.0, 1.0))
    points, law = calibration.points, calibration.law
    angles = np.array([point.angle_deg for point in points])
    energies = np.array([point.energy_uj for point in points])
    errors = np.array([point.standard_error_uj for point in points])
    fine = np.linspace(angles.min(), angles.max(), 400)
    above.plot(fine, [law.at(float(angle)) for angle in fine], color=LAW_COLOUR, label="Malus' law, fitted")
    above.errorbar(angles, energies, errors, fmt="o", ms=4, color=POINT_COLOUR, label="measured, standard error")
    above.set_ylabel("pulse energy at the meter (µJ)")
    above.legend(frameon=False)
    below.axhline(0.0, color=LAW_COLOUR)
    below.errorbar(angles, [1e3 * point.residual_uj for point in points], 1e3 * errors, fmt="o", ms=4, color=POINT_COLOUR)
    below.set_ylabel("residual (nJ)")
    below.set_xlabel("angle of the plate (°)")
    what = "SIMULATED fluence calibration" if calibration.simulated else "fluence calibration"
    above.set_title(
        f"{what}, {calibration.calibrated_at}\n"
        f"χ² = {calibration.chi2:.3g} at {calibration.degrees_of_freedom} degrees of freedom",
        color=INK,
        fontsize=10,
    )
    return figure
