"""Peak and width of a band or line in a mean spectrum (rule X4), with intervals from the scatter of part spectra."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.statistics import Value, value_with_error

Floats = NDArray[np.float64]

# Five pixels, least-squares parabola: takes noise away without broadening, where a plain 5-pixel mean would make a 3.5 nm line
# 2 % wider (0.2 nm pixels; this one widens 2.6 nm by less than 0.02 nm). Source: Savitzky and Golay 1964, quadratic, 5 points.
SMOOTHING = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35.0
MIN_WIDTH_PIXELS = 2.0  # a real line is at least 4 pixels wide behind a 1 nm PSF
MIN_HEIGHT_SIGMAS = 6.0
PEAK_LEVEL = 0.8


@dataclass(frozen=True, slots=True)
class Line:
    """One maximum of a spectrum, or the reason why there is none (then everything else is None).

    peak_nm              vertex of a parabola through ln I above 80 % of the maximum
    centre_nm            the same above 50 %: the centre of a broad band (claim C17)
    fwhm_nm              full width at half maximum, as recorded
    fwhm_deconvolved_nm  sqrt(fwhm^2 - psf^2); None when the line is not wider than the spectrograph's own
    height_counts        smoothed maximum
    """

    peak_nm: float | None = None
    centre_nm: float | None = None
    fwhm_nm: float | None = None
    fwhm_deconvolved_nm: float | None = None
    height_counts: float | None = None
    reason: str = ""


def find_line(wavelength_nm: Floats, spectrum: Floats, window_nm: tuple[float, float], psf_fwhm_nm: float = 0.0) -> Line:
    """Find the highest maximum inside `window_nm` of a dark-free spectrum (pixels,) and measure it.

    The half-maximum crossings (sub-pixel, 5-pixel smoothed) may lie outside the window. Refused, with a reason: nothing above 6
    sigma of the spectrum's own pixel noise; a spectrum that only rises towards an edge of the window; no crossing; a feature
    less than 2 pixels wide before smoothing (a hot pixel).
    """
    smooth = np.convolve(np.pad(spectrum, 2, mode="edge"), SMOOTHING, mode="valid")
    lo, hi = np.searchsorted(wavelength_nm, window_nm)
    if hi - lo < 3:
        return Line(reason=f"the spectrometer does not see {window_nm[0]:g}-{window_nm[1]:g} nm")
    where = f"between {window_nm[0]:g} and {window_nm[1]:g} nm"
    top = int(lo + np.argmax(smooth[lo:hi]))
    height = float(smooth[top])
    noise = 1.4826 * float(np.median(np.abs(spectrum - smooth)))
    if not height > max(MIN_HEIGHT_SIGMAS * noise, 0.0):
        return Line(reason=f"no light above the noise {where}")
    if top in (lo, hi - 1):
        return Line(reason=f"no maximum of its own {where}")
    edges = _crossings(smooth, top, 0.5 * height)
    first = max(top - 2, 0)
    sharpest = first + int(np.argmax(spectrum[first : top + 3]))
    raw_edges = _crossings(spectrum, sharpest, 0.5 * float(spectrum[sharpest]))
    if edges is None or raw_edges is None:
        return Line(reason=f"the maximum {where} does not fall to half its height")
    if raw_edges[1] - raw_edges[0] < MIN_WIDTH_PIXELS:
        return Line(reason=f"the feature at {wavelength_nm[top]:.1f} nm is less than 2 pixels wide: a hot pixel, not a line")
    left, right = np.interp(edges, np.arange(len(spectrum)), wavelength_nm)
    fwhm = float(right - left)
    return Line(
        peak_nm=_vertex(wavelength_nm, smooth, top, PEAK_LEVEL * height),
        centre_nm=_vertex(wavelength_nm, smooth, top, 0.5 * height),
        fwhm_nm=fwhm,
        fwhm_deconvolved_nm=math.sqrt(fwhm**2 - psf_fwhm_nm**2) if fwhm > psf_fwhm_nm else None,
        height_counts=height,
    )


def _crossings(spectrum: Floats, top: int, level: float) -> tuple[float, float] | None:
    """Where the spectrum first falls below `level` on both sides of `top` (pixels, interpolated)."""
    below = np.flatnonzero(spectrum < level)
    after = int(np.searchsorted(below, top))
    if after == 0 or after == len(below):
        return None
    left, right = int(below[after - 1]), int(below[after])
    rise, fall = spectrum[left + 1] - spectrum[left], spectrum[right - 1] - spectrum[right]
    return left + float((level - spectrum[left]) / rise), right - float((level - spectrum[right]) / fall)


def _vertex(wavelength_nm: Floats, smooth: Floats, top: int, level: float) -> float:
    """Vertex (nm) of the parabola through ln I around `top` above `level`, weighted as for equal noise in counts."""
    below = np.flatnonzero(smooth < level)
    after = int(np.searchsorted(below, top))
    near = slice(int(below[after - 1]) + 1 if after else 0, int(below[after]) if after < len(below) else None)
    origin = float(wavelength_nm[top])
    x, y = wavelength_nm[near] - origin, smooth[near]
    if len(x) < 3:
        return origin
    curvature, slope, _ = np.polyfit(x, np.log(y), 2, w=y)
    vertex = -0.5 * slope / curvature if curvature < 0 else 0.0
    return origin + float(np.clip(vertex, x[0], x[-1]))


@dataclass(frozen=True, slots=True)
class LineValues:
    """A line's numbers with their intervals (nm)."""

    peak_nm: Value
    centre_nm: Value
    fwhm_nm: Value
    fwhm_deconvolved_nm: Value


QUANTITIES = ("peak_nm", "centre_nm", "fwhm_nm", "fwhm_deconvolved_nm")
ABSENT = LineValues(*(Value(None, None, "nm") for _ in QUANTITIES))


@dataclass(frozen=True, slots=True)
class LineScatter:
    """Standard deviation (nm) of each quantity between part spectra, NaN where fewer than half of the parts show the line."""

    deviation_nm: dict[str, float]
    freedom: int

    def values(self, line: Line, weight: float) -> LineValues:
        """Attach intervals to a line measured in a mean of `weight` times as many frames as a part has."""
        return LineValues(
            *(
                value_with_error(getattr(line, name), self.deviation_nm[name] / math.sqrt(weight), self.freedom, "nm")
                for name in QUANTITIES
            )
        )


def line_scatter(wavelength_nm: Floats, parts: Floats, window_nm: tuple[float, float], psf_fwhm_nm: float = 0.0) -> LineScatter:
    """Measure the line in every part spectrum, float64 (k, pixels), and take the scatter.

    With parts of consecutive frames it holds for drifting shots as well: the interval of the mean of all is
    t x deviation / sqrt(k).
    """
    lines = [find_line(wavelength_nm, part, window_nm, psf_fwhm_nm) for part in parts]
    found = [line for line in lines if line.peak_nm is not None]
    if len(found) < max(2, len(parts) / 2):
        return LineScatter(dict.fromkeys(QUANTITIES, math.nan), 0)
    columns = {name: [v for line in found if (v := getattr(line, name)) is not None] for name in QUANTITIES}
    deviation = {name: float(np.std(v, ddof=1)) if len(v) > 1 else math.nan for name, v in columns.items()}
    return LineScatter(deviation, len(found) - 1)
