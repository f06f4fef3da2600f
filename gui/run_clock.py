"""From the host's clock, in which readings come, to the axis of the traces, which is the spectrometer's own time.

A frame reaches the host some milliseconds after it was taken, the least delayed one of a few seconds tells the offset between
both clocks; they drift apart by some 20 ppm, so the offset is taken anew every few seconds.
"""

import numpy as np
from numpy.typing import NDArray

from gui.growing_array import GrowingArray

WINDOW_S = 5.0


class RunClock:
    """The two clocks of one run."""

    def __init__(self) -> None:
        self._host_ns = GrowingArray("i8")
        self._offset_ns = GrowingArray("i8")
        self._window = -1

    def add(self, host_ns: NDArray[np.int64], axis_s: NDArray[np.float64]) -> None:
        """Take the arrival and the time on the axis of frames, arrays (n,) in time order."""
        if not len(host_ns):
            return
        offsets = host_ns - np.round(axis_s * 1e9).astype(np.int64)
        windows = (axis_s // WINDOW_S).astype(np.int64)
        starts = np.flatnonzero(np.r_[True, np.diff(windows) != 0])
        for start, stop in zip(starts, [*starts[1:], len(offsets)], strict=True):
            best = int(start + np.argmin(offsets[start:stop]))
            if windows[start] != self._window:
                self._window = int(windows[start])
                self._host_ns.append(host_ns[best])
                self._offset_ns.append(offsets[best])
            elif offsets[best] < self._offset_ns.values[-1]:
                self._host_ns.put(len(self._host_ns) - 1, host_ns[best])
                self._offset_ns.put(len(self._offset_ns) - 1, offsets[best])

    def axis_s(self, host_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Convert host times (ns, (n,)) to the axis (s, (n,)); NaN before the first frame has come."""
        if not len(self._host_ns):
            return np.full(len(host_ns), np.nan)
        known, offsets = self._host_ns.values, self._offset_ns.values
        # relative to the first, for whose sake no digit of the large numbers is lost
        offset = np.interp((host_ns - known[0]).astype(np.float64), (known - known[0]).astype(np.float64), offsets - offsets[0])
        return (host_ns - offsets[0] - offset) * 1e-9
