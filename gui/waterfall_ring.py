"""The waterfall: light against wavelength and time, a bounded number of rows for a run of any length.

Each row is the mean of so many frames; when all rows are used, neighbours are merged, and a row takes twice as many.
The colour scale starts from what the first frames show and follows slowly: nothing on the screen jumps.
"""

import numpy as np
from numpy.typing import NDArray

from rig.analysis.correction import good_neighbours

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Raw = NDArray[np.uint16]

HALF_ROWS = 1024
FOLLOWED_PER_S = 0.5  # how much of its way to where it should be the scale goes in a second
TOP_PERCENT = 99.7
NOISE_SIGMAS = 3.0


class WaterfallRing:
    """Rows of one run.

    Parameters
    ----------
    pixels  the part of the spectrum that is kept
    dark    mean dark spectrum (counts, (all pixels,))
    hot     pixels not to be believed (all pixels,): their neighbours stand in for them
    noise   of one frame without light (counts, 1 sigma)
    """

    def __init__(self, pixels: slice, dark: Floats, hot: Mask, noise: float) -> None:
        self.pixels = pixels
        self.frames_per_row = 1
        self.frames = 0  # that were added
        self._dark = dark[pixels]
        self._hot = good_neighbours(hot[pixels])
        self._noise = noise
        self._rows = np.zeros((2 * HALF_ROWS, len(self._dark)), np.float32)
        self._start_s = np.zeros(2 * HALF_ROWS)
        self._end_s = np.zeros(2 * HALF_ROWS)
        self._held = np.zeros(2 * HALF_ROWS, np.int64)
        self._used = 0
        self._top: float | None = None

    def __len__(self) -> int:
        return self._used

    @property
    def nbytes(self) -> int:
        """Get its memory (bytes), which never changes."""
        return self._rows.nbytes + self._start_s.nbytes + self._end_s.nbytes + self._held.nbytes

    @property
    def rows(self) -> Image:
        """Get the rows in time order, counts, a view (n, pixels kept)."""
        return self._rows[: self._used]

    @property
    def start_s(self) -> Floats:
        """Get the time of each row's first frame (s, (n,))."""
        return self._start_s[: self._used]

    def add(self, spectra: Raw, time_s: Floats) -> None:
        """Add frames in time order: raw spectra (n, all pixels) and their times (n,)."""
        light = self.light(spectra)
        at = 0
        while at < len(light):
            at = self._take(light, time_s, at)
        self.frames += len(light)

    def light(self, spectra: Raw) -> Image:
        """Take the dark away from raw spectra (n, all pixels): counts, (n, pixels kept)."""
        light = np.subtract(spectra[:, self.pixels], self._dark, dtype=np.float32)
        bad, left, right = self._hot
        if len(bad):
            light[:, bad] = 0.5 * (light[:, left] + light[:, right])
        return light

    def _take(self, light: Image, time_s: Floats, at: int) -> int:
        """Put frames from `at` on into the last row, or into as many rows as they fill; return where to go on."""
        size, last = self.frames_per_row, self._used - 1
        if last >= 0 and self._held[last] < size:
            count = min(size - int(self._held[last]), len(light) - at)
            share = count / (self._held[last] + count)
            self._rows[last] += np.float32(share) * (light[at : at + count].mean(axis=0) - self._rows[last])
            self._held[last] += count
            self._end_s[last] = time_s[at + count - 1]
            return at + count
        if self._used == 2 * HALF_ROWS:
            self._merge()
            return at
        rows = min((len(light) - at) // size, 2 * HALF_ROWS - self._used)
        count = rows * size
        if not rows:
            rows, size = 1, len(light) - at
            count = size
        new, piece = slice(self._used, self._used + rows), slice(at, at + count)
        self._rows[new] = light[piece].reshape(rows, size, -1).mean(axis=1)
        self._start_s[new], self._end_s[new] = time_s[piece][::size], time_s[piece][size - 1 :: size]
        self._held[new] = size
        self._used += rows
        return at + count

    def _merge(self) -> None:
        pairs = slice(0, 2 * HALF_ROWS, 2), slice(1, 2 * HALF_ROWS, 2)
        self._rows[:HALF_ROWS] = 0.5 * (self._rows[pairs[0]] + self._rows[pairs[1]])
        self._start_s[:HALF_ROWS], self._end_s[:HALF_ROWS] = self._start_s[pairs[0]], self._end_s[pairs[1]]
        self._held[:HALF_ROWS] = self._held[pairs[0]] + self._held[pairs[1]]
        self._used = HALF_ROWS
        self.frames_per_row *= 2

    def picture(self, first_s: float, last_s: float, height: int) -> Image:
        """Lay the rows on an even time axis: (height, pixels kept), NaN where there was no frame."""
        return picture(self.rows, self.start_s, self._end_s[: self._used], first_s, last_s, height)

    # --- the colour scale ---------------------------------------------------------------------------------------------

    @property
    def levels(self) -> tuple[float, float]:
        """Get the counts of the darkest and the brightest colour."""
        return -NOISE_SIGMAS * self._noise, max(self._top or 0.0, NOISE_SIGMAS * self._noise, 1.0)

    def follow(self, elapsed_s: float) -> None:
        """Let the scale rise towards what is in the picture, as far as it goes in `elapsed_s`; it never falls by itself."""
        wanted = self._wanted()
        if wanted is None:
            return
        if self._top is None:
            self._top = wanted
        elif wanted > self._top:
            self._top += (wanted - self._top) * min(1.0, FOLLOWED_PER_S * max(0.0, elapsed_s))

    def reset_levels(self) -> None:
        """Fit the scale to what is in the picture, at once."""
        self._top = self._wanted()

    def _wanted(self) -> float | None:
        if not self._used:
            return None
        brightest = self.rows[:: max(1, self._used // 256)].max(axis=1)
        return float(np.percentile(brightest, TOP_PERCENT))


def picture(rows: Image, start_s: Floats, end_s: Floats, first_s: float, last_s: float, height: int) -> Image:
    """Lay rows that begin and end at times (n,) on an even axis of `height` lines; a hole wider than a line stays empty."""
    line_s = (last_s - first_s) / max(1, height)
    times = first_s + line_s * (np.arange(height) + 0.5)
    if not len(start_s):
        return np.full((height, rows.shape[1]), np.nan, np.float32)
    at = np.clip(np.searchsorted(start_s, times, side="right") - 1, 0, len(start_s) - 1)
    near = np.clip(np.searchsorted(start_s, times), 0, len(start_s) - 1)
    usual_s = float(np.median(np.diff(start_s))) if len(start_s) > 1 else line_s
    room_s = max(line_s, usual_s)
    late = times - end_s[at] > room_s
    at = np.where((times < start_s[at]) | (late & (start_s[near] - times <= 0.5 * room_s)), near, at)
    laid = rows[at].copy()
    laid[(times - end_s[at] > room_s) | (start_s[at] - times > 0.5 * room_s)] = np.nan
    return laid
