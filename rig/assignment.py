"""Which frame belongs to which shot: decided from the spectrometer's microsecond clock and frame count alone.

Works on one burst at a time and starts afresh at every burst. Nothing here knows voltages: a burst is a train of `shots`
triggers, one period apart, of which some may have been missed, and some frames may come from edges that nobody planned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID_TOLERANCE = 0.1  # of a period: a frame further than this from the train's grid belongs to no planned trigger
NOBODY = -1


@dataclass(frozen=True, slots=True)
class BurstAssignment:
    """The frames of one burst, each with the trigger it answers.

    Parameters
    ----------
    trigger       int64 (n,): index of the trigger in the burst, -1 for frames of no planned trigger
    uncertain     the alignment is known to +- this many triggers; 0 is exact
    lost_in_link  frames whose count proves that they were read out and never reached us
    period_us     of the train, in ticks of the device's clock
    """

    trigger: NDArray[np.int64]
    uncertain: int
    lost_in_link: int
    period_us: float

    @property
    def exact(self) -> bool:
        """Get whether every frame's trigger is known for certain."""
        return self.uncertain == 0


def assign_burst(
    device_time_us: NDArray[np.uint64], frame_count: NDArray[np.uint32], shots: int, period_ns: int
) -> BurstAssignment:
    """Assign the frames of one burst (in order of read-out) to its `shots` triggers.

    The clock gives the grid: a step of k periods means k - 1 missed triggers, a frame off the grid an edge that nobody
    planned. Device and trigger clocks may differ by some 100 ppm; the period is taken from the frames themselves. A train whose
    frames span exactly `shots` periods is exact. When d triggers are missing at its ends (or d frames too many lie
    on the grid), the alignment is known to +- d only.

    Parameters
    ----------
    device_time_us  uint64 (n,), the device's clock at the start of each exposure
    frame_count     uint32 (n,), the device's count of frames read out (wraps)
    """
    n = len(device_time_us)
    trigger = np.full(n, NOBODY, dtype=np.int64)
    if n == 0:
        return BurstAssignment(trigger, uncertain=0, lost_in_link=0, period_us=period_ns / 1e3)
    t_us = device_time_us.astype(np.int64) - np.int64(device_time_us[0])
    # a frame that repeats a count or goes back in time is an old one delivered again
    counts = frame_count.astype(np.int64)
    step = np.diff(counts) % (1 << 32)
    fresh = np.ones(n, dtype=bool)
    fresh[1:] = (step > 0) & (step < 1 << 31) & (np.diff(np.maximum.accumulate(t_us)) > 0)
    lost_in_link = int(np.sum(np.where(fresh[1:], step - 1, 0)))

    period_us = _period_us(t_us[fresh], period_ns / 1e3)
    position = t_us / period_us
    position = position - _phase(position[fresh])
    slot = np.rint(position).astype(np.int64)
    planned = fresh & (np.abs(position - slot) <= GRID_TOLERANCE)
    if not planned.any():
        return BurstAssignment(trigger, uncertain=shots, lost_in_link=lost_in_link, period_us=period_us)
    # two frames in one slot: the later one is the extra
    index = np.flatnonzero(planned)
    _, first = np.unique(slot[index], return_index=True)
    index = index[np.sort(first)]
    first_slot, last_slot = int(slot[index[0]]), int(slot[index[-1]])
    trigger[index] = slot[index] - first_slot
    uncertain = abs(shots - (last_slot - first_slot + 1))
    trigger[trigger >= shots] = NOBODY
    return BurstAssignment(trigger, uncertain, lost_in_link, period_us)


def _period_us(t_us: NDArray[np.int64], nominal_us: float) -> float:
    """Period in ticks of the device's own clock, from steps that are clearly one period long."""
    steps = np.diff(t_us)
    single = steps[np.abs(steps / nominal_us - 1.0) < GRID_TOLERANCE / 2]
    return float(single.mean()) if len(single) >= 10 else nominal_us


def _phase(position: NDArray[np.float64]) -> float:
    """Where in a period the train ticks: centre of the densest tenth (circular, so that 0.99 and 0.01 are neighbours)."""
    fraction = position % 1.0
    bins = np.histogram(fraction, bins=20, range=(0.0, 1.0))[0]
    pairs = bins + np.roll(bins, -1)
    centre = (int(np.argmax(pairs)) + 1) / 20.0
    offset = (fraction - centre + 0.5) % 1.0 - 0.5
    near = np.abs(offset) <= GRID_TOLERANCE
    return centre + float(np.median(offset[near]))
