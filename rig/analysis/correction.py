"""From raw counts to light: dark, detector nonlinearity, hot pixels, unusable frames, mean spectra.

Raw spectra are uint16 (n, pixels); `dark` is the mean dark spectrum, float64 (pixels,), raw counts; light is in counts of a
linear detector.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Raw = NDArray[np.uint16]
Mask = NDArray[np.bool_]

SATURATION_COUNTS = 62_000  # any pixel at or above it voids the frame (width and excess rules, fault 6 of the twin's list)
HOT_SIGMAS = 10.0
STUCK_MIN_FRAMES = 8
MISSED_SIGMAS = 6.0
NEIGHBOURHOOD_PIXELS = 51
PARTS = 20
PART_SLOTS = 160
ROWS_PER_PASS = 32


def light_counts(raw: Raw, dark: Floats, nonlinearity: Sequence[float], pixels: slice = slice(None)) -> Floats:
    """Light (linear counts, float64, shape of `raw[..., pixels]`) of raw counts.

    `x = raw - dark`, `light = x / r(x)`, r(x) = sum c_i x^i with the coefficients of `SpectrometerInfo.nonlinearity`. Without
    coefficients, or when all are zero (an instrument that was never calibrated; assumed), light = x.
    """
    x = np.subtract(raw[..., pixels], dark[..., pixels], dtype=np.float64)
    if any(nonlinearity):
        response = np.full_like(x, nonlinearity[-1])
        for coefficient in nonlinearity[-2::-1]:
            response *= x
            response += coefficient
        x /= response
    return x


def saturated(spectra: Raw, ignore: Mask | None = None, limit_counts: int = SATURATION_COUNTS) -> Mask:
    """Frames (bool, (n,)) in which any pixel reaches `limit_counts` (raw counts), pixels of `ignore` (hot ones) apart."""
    over: Mask = spectra.max(axis=1) >= limit_counts
    if ignore is not None and over.any():
        over[over] = spectra[over][:, ~ignore].max(axis=1) >= limit_counts
    return over


def dark_shift(spectra: Raw, dark: Floats, pixels: NDArray[np.intp]) -> Floats:
    """How far each frame lies above the dark (counts, float64 (n,)), at `pixels` where no light is expected; their median."""
    return np.median(np.subtract(spectra[:, pixels], dark[pixels], dtype=np.float64), axis=1)


@dataclass(frozen=True, slots=True)
class DarkStatistics:
    """Dark frames reduced: mean (counts) and variance (counts^2) per pixel, mask of pixels not to be believed."""

    mean: Floats
    variance: Floats
    hot: Mask

    @property
    def read_noise_counts(self) -> float:
        """Get the noise of a typical pixel without light (counts, 1 sigma)."""
        return float(np.sqrt(np.median(self.variance)))


def dark_statistics(spectra: Raw) -> DarkStatistics:
    """Mean, variance and hot pixels of dark frames, uint16 (n, pixels), n >= 2.

    A pixel is hot when its mean differs from the median of its neighbourhood, or the logarithm of its variance from the
    median of all, by more than 10 robust standard deviations (1.4826 x median absolute deviation, at least 1 count and a
    factor 1.2); or when it never changed in 8 or more frames while the typical pixel did (stuck).

    Raises
    ------
    ValueError  fewer than two frames
    """
    if len(spectra) < 2:
        raise ValueError("dark statistics need at least two dark frames")
    mean = spectra.mean(axis=0, dtype=np.float64)
    variance = spectra.var(axis=0, ddof=1, dtype=np.float64)
    half = NEIGHBOURHOOD_PIXELS // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mean, half, mode="reflect"), 2 * half + 1)
    hot = _outliers(mean - np.median(around, axis=1), floor=1.0)
    typical = np.median(variance)
    moves = variance > 0
    if typical > 1.0:
        hot[moves] |= _outliers(np.log(variance[moves]), floor=np.log(1.2))
        if len(spectra) >= STUCK_MIN_FRAMES:
            hot |= ~moves
    return DarkStatistics(mean, variance, hot)


def _outliers(values: Floats, floor: float) -> Mask:
    deviation = np.abs(values - np.median(values))
    return deviation > HOT_SIGMAS * max(1.4826 * float(np.median(deviation)), floor)


def good_neighbours(hot: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Hot pixels and, for each, the nearest good pixel to its left and right (the same one twice at the ends).

    Raises
    ------
    ValueError  no good pixel is left
    """
    good, bad = np.flatnonzero(~hot), np.flatnonzero(hot)
    if not len(good):
        raise ValueError("every pixel is masked as hot")
    after = np.searchsorted(good, bad)
    left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
    return bad, np.where(left < bad, left, right), np.where(right > bad, right, left)


def fill_hot(light: Floats, hot: Mask) -> Floats:
    """Copy of `light` (..., pixels) whose hot pixels are the mean of their good neighbours."""
    bad, left, right = good_neighbours(hot)
    filled = light.copy()
    filled[..., bad] = 0.5 * (light[..., left] + light[..., right])
    return filled


def missed_pulses(light: Floats, stretch: NDArray[np.integer] | Mask) -> Mask:
    """Frames (bool, (n,)) whose pulse did not come.

    `light` (n,) is each frame's 500-545 nm light (any linear measure); `stretch` (n,) is constant within one stretch and
    changes at every edge (2 * cycle + state will do). Missed is what lies below half of the stretch's median and at least 6
    robust standard deviations below it: in light too weak for that, nothing can be said. Where the stretch before was darker,
    half of its median is the bound: right after an edge the film still emits as before.
    """
    if not len(light):
        return np.zeros(0, np.bool_)
    starts = np.flatnonzero(np.r_[True, stretch[1:] != stretch[:-1]])
    pieces = np.split(light, starts[1:])
    medians = np.array([np.median(piece) for piece in pieces])
    spreads = np.array([1.4826 * np.median(np.abs(piece - m)) for piece, m in zip(pieces, medians, strict=True)])
    half = 0.5 * np.minimum(medians, np.r_[medians[:1], medians[:-1]])
    bounds = np.minimum(half, medians - MISSED_SIGMAS * spreads)
    return light < np.repeat(bounds, np.diff(np.r_[starts, len(light)]))


@dataclass(frozen=True, slots=True)
class MeanSpectra:
    """Mean light (counts) per cycle and state (0 OFF, 1 ON), and about 20 means of consecutive frames ("parts") per state.

    cycles     int64 (c,), the cycle numbers met
    per_cycle  float64 (c, 2, pixels), NaN where no frame was used
    frames     int64 (c, 2), frames behind each of them
    parts      (OFF, ON), each float64 (k, pixels) in time order, k <= 20, nearly equal numbers of frames
    """

    cycles: NDArray[np.int64]
    per_cycle: Floats
    frames: NDArray[np.int64]
    parts: tuple[Floats, Floats]

    def mean(self, state: int) -> Floats:
        """Mean over all used frames of a state, float64 (pixels,); zeros when there are none."""
        weights = self.frames[:, state]
        return np.nan_to_num(self.per_cycle[:, state]).T @ weights / max(1, int(weights.sum()))


class _Parts:
    """Sums of consecutive frames in one pass, without knowing how many will come: full slots are merged in pairs."""

    def __init__(self, pixels: int) -> None:
        self._sums = np.zeros((2 * PART_SLOTS, pixels))
        self._counts = np.zeros(2 * PART_SLOTS, np.int64)
        self._slot = 0
        self._frames_per_slot = 1

    @property
    def room(self) -> int:
        """Frames that the present slot still takes (>= 1)."""
        return int(self._frames_per_slot - self._counts[self._slot])

    def add(self, total: Floats, frames: int) -> None:
        """Add the sum of `frames` <= room frames."""
        self._sums[self._slot] += total
        self._counts[self._slot] += frames
        if self.room == 0:
            self._slot += 1
        if self._slot == 2 * PART_SLOTS:
            for array in (self._sums, self._counts):
                array[:PART_SLOTS] = array[0::2] + array[1::2]
                array[PART_SLOTS:] = 0
            self._slot = PART_SLOTS
            self._frames_per_slot *= 2

    def means(self) -> Floats:
        """Up to 20 means over consecutive slots, float64 (k, pixels)."""
        slots = int(np.count_nonzero(self._counts))
        groups = [g for g in np.array_split(np.arange(slots), PARTS) if len(g)]
        means = np.empty((len(groups), self._sums.shape[1]))
        for mean, group in zip(means, groups, strict=True):
            mean[:] = self._sums[group].sum(axis=0) / self._counts[group].sum()
        return means


FrameBatch = tuple[Raw, NDArray[np.integer] | Mask, NDArray[np.integer], Mask]


def mean_spectra(
    batches: Iterable[FrameBatch], dark: Floats, nonlinearity: Sequence[float], hot: Mask | None = None
) -> MeanSpectra:
    """Mean spectra in one pass over batches of (spectra (n, pixels), state (n,), cycle (n,), use (n,)).

    The nonlinearity is corrected frame by frame, for a few microseconds each. Correcting the mean instead errs by half of
    (x / r)'' times the variance of the frames: 1e-5 of a steady line, but percents of one that comes and goes at full scale.

    Raises
    ------
    ValueError  a used frame's state is neither 0 (OFF) nor 1 (ON)
    """
    parts = tuple(_Parts(len(dark)) for _ in range(2))
    sums: dict[tuple[int, int], Floats] = {}
    counts: dict[tuple[int, int], int] = {}
    for spectra, state, cycle, use in batches:
        used = np.flatnonzero(use)
        labels = np.stack([cycle[used], state[used]]).astype(np.int64)
        breaks = np.flatnonzero((np.diff(used) != 1) | (np.diff(labels) != 0).any(axis=0)) + 1
        for run in np.split(np.arange(len(used)), breaks) if len(used) else ():
            key = (int(labels[0, run[0]]), int(labels[1, run[0]]))
            if key[1] not in (0, 1):
                raise ValueError(f"a used frame has state {key[1]}; 0 is OFF, 1 is ON")
            total = sums.setdefault(key, np.zeros(len(dark)))
            start, stop = int(used[run[0]]), int(used[run[-1]]) + 1
            counts[key] = counts.get(key, 0) + stop - start
            while start < stop:
                rows = min(stop - start, parts[key[1]].room, ROWS_PER_PASS)  # a pass stays in the processor's cache
                light = light_counts(spectra[start : start + rows], dark, nonlinearity).sum(axis=0)
                parts[key[1]].add(light, rows)
                total += light
                start += rows
    cycles = sorted({cycle for cycle, _ in sums})
    frames = np.array([[counts.get((c, s), 0) for s in (0, 1)] for c in cycles], np.int64).reshape(-1, 2)
    per_cycle = np.full((len(cycles), 2, len(dark)), np.nan)
    for row, c in enumerate(cycles):
        for s in (0, 1):
            if frames[row, s]:
                per_cycle[row, s] = sums[c, s] / frames[row, s]
    off, on = (p.means() for p in parts)
    if hot is not None and hot.any():
        per_cycle, off, on = (fill_hot(light, hot) for light in (per_cycle, off, on))
    return MeanSpectra(np.array(cycles, np.int64), per_cycle, frames, (off, on))
