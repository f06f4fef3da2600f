"""Numbers at uneven times, no more of them than a picture has columns: least and greatest of each column."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def columns(time_s: Floats, values: Floats, first_s: float, last_s: float, pixels: int) -> tuple[Floats, Floats]:
    """Choose what to draw between two times of numbers in time order (n,): all while they are few, else two per pixel."""
    start = max(0, int(np.searchsorted(time_s, first_s)) - 1)
    stop = int(np.searchsorted(time_s, last_s, side="right")) + 1
    time_s, values = time_s[start:stop], values[start:stop]
    if len(time_s) <= 2 * max(1, pixels) or not last_s > first_s:
        return time_s, values
    column = np.floor((time_s - first_s) * (pixels / (last_s - first_s)))
    starts = np.flatnonzero(np.r_[True, np.diff(column) != 0])
    both = np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)], axis=1)
    return np.repeat(time_s[starts], 2), both.reshape(-1)


def extremes(*values: Floats) -> tuple[float, float]:
    """Get the least and the greatest of all that are numbers, (0, 0) of none."""
    lows = [float(np.fmin.reduce(one)) for one in values if len(one)]
    highs = [float(np.fmax.reduce(one)) for one in values if len(one)]
    low, high = min((x for x in lows if np.isfinite(x)), default=0.0), max((x for x in highs if np.isfinite(x)), default=0.0)
    return low, high
