"""Light that does not come from the film: frames with the pump kept from it, against the dark frames of the run."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.statistics import Value, batch_means, student_t, value_with_error

Floats = NDArray[np.float64]

FALSE_ALARM = 1e-3  # chance that frames as dark as the dark frames are called lit, each band


@dataclass(frozen=True, slots=True)
class StrayLight:
    """Light in one band (counts per frame) with its interval; `lit` says whether it is there, None when too few frames tell.

    `share` is that light over the light of the OFF state in the same band, with no interval of its own.
    """

    light: Value
    lit: bool | None
    share: float | None


def stray_light(trace: Floats, dark_frames: int, off_level: float | None) -> StrayLight:
    """Reduce the band of reference frames (counts, (n,), the dark taken off, in the order of time).

    The dark spectrum is a mean of `dark_frames` frames with the same noise; its error is part of the interval.

    Parameters
    ----------
    off_level  mean light of the OFF state in the band (counts), None where there is none
    """
    if len(trace) < 2:
        return StrayLight(Value(float(trace.mean()) if len(trace) else None, None, "counts"), None, None)
    means, mean = batch_means(trace), float(trace.mean())
    error = math.hypot(_error(means), float(trace.std(ddof=1)) / math.sqrt(max(1, dark_frames)))
    freedom = len(means) - 1
    lit = abs(mean) > student_t(1.0 - FALSE_ALARM / 2, freedom) * error
    share = mean / off_level if off_level is not None and off_level > 0 else None
    return StrayLight(value_with_error(mean, error, freedom, "counts"), lit, share)


def _error(means: Floats) -> float:
    return float(np.std(means, ddof=1)) / math.sqrt(len(means))
