"""Where the line narrows: the fluence at which its width has fallen to half (claim C26), an estimate beside the threshold."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rig.analysis.lineshape import find_line
from rig.analysis.statistics import Value, value_between

Floats = NDArray[np.float64]

WINDOW_NM = (500.0, 550.0)
WEAK_POINTS = 4
UNIT = "uJ/cm2"


def widths(wavelength_nm: Floats, light: Floats) -> Floats:
    """FWHM as recorded (nm) of the highest maximum of each spectrum (n, pixels) in 500-550 nm; NaN where there is none."""
    found = (find_line(wavelength_nm, spectrum, WINDOW_NM).fwhm_nm for spectrum in light)
    return np.array([np.nan if width is None else width for width in found])


def half_width_crossing(fluence_uj_cm2: Floats | Sequence[float], fwhm_nm: Floats) -> Value:
    """Fluence (uJ/cm2) at which the width is half that of the four weakest points; fluences (n,) ascend.

    The two points around the first crossing that lasts (two points in a row below, or the last one) are its interval: what lies
    between them was not measured. No value when no point, or the first one already, is that narrow, or when fewer than two of
    the four weakest show a line.
    """
    fluence = np.asarray(fluence_uj_cm2, np.float64)
    weak = fwhm_nm[:WEAK_POINTS]
    known = np.isfinite(fwhm_nm)
    if np.isfinite(weak).sum() < 2:
        return Value(None, None, UNIT)
    level = 0.5 * float(np.nanmean(weak))
    f, w = fluence[known], fwhm_nm[known]
    narrow = w < level
    lasting = np.flatnonzero(narrow & np.r_[narrow[1:], True])
    if not len(lasting) or lasting[0] == 0:
        return Value(None, None, UNIT)
    k = int(lasting[0])
    share = (w[k - 1] - level) / (w[k - 1] - w[k]) if w[k - 1] > level else 0.0
    at = f[k - 1] * (f[k] / f[k - 1]) ** share
    return value_between(float(at), float(f[k - 1]), float(f[k]), UNIT)
