"""A part of the waterfall nearer than its rows show it: single frames read from the file, as many as there are lines."""

import numpy as np
from numpy.typing import NDArray

from gui.waterfall_ring import WaterfallRing, picture
from rig.runfile import Run

READS = 192  # at one time, so that nobody waits
KEPT = 4096


class WaterfallDetail:
    """Frames 0, n, 2n, ... of a window of time, n a power of two: the same ones while the window scrolls."""

    def __init__(self, ring: WaterfallRing) -> None:
        self._ring = ring
        self._kept: dict[int, NDArray[np.float32]] = {}

    def picture(self, run: Run, time_s: NDArray[np.float64], first_s: float, last_s: float, height: int) -> NDArray[np.float32]:
        """Lay a window on an even time axis, counts (height, pixels kept); the finest of it may only come at the next call.

        Raises
        ------
        RecordError  from the file
        """
        coarse = self._ring.picture(first_s, last_s, height)
        start, stop = np.searchsorted(time_s, (first_s, last_s)).tolist()
        stride = 1
        while (stop - start) / stride > height:
            stride *= 2
        if stop - start < 1 or stride >= self._ring.frames_per_row:
            return coarse
        wanted = range(-(-start // stride) * stride, stop, stride)
        self._read(run, [row for row in wanted if row not in self._kept], stride)
        rows = [row for row in wanted if row in self._kept]
        if not rows:
            return coarse
        near = time_s[rows]
        fine = picture(np.array([self._kept[row] for row in rows]), near, near, first_s, last_s, height)
        return np.where(np.isnan(fine), coarse, fine)

    def _read(self, run: Run, missing: list[int], stride: int) -> None:
        if not missing:
            return
        if len(self._kept) > KEPT:
            self._kept.clear()
        last = missing[-1]
        first = max(missing[0], last - (READS - 1) * stride)
        light = self._ring.light(run.spectra(first, last + 1, stride))
        self._kept.update(zip(range(first, last + 1, stride), light, strict=False))
