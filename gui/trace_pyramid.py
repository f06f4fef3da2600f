"""Traces of any length, drawn at the cost of the pixels they fill: single shots when near, least and greatest when far.

Frames lie in buckets of 8, 16, 32 ... frames, each with its least and greatest value. Buckets belong to the frames, not to the
pixels, so a picture that scrolls does not shimmer. Where no frame can be shown (lost, saturated, nothing measured for a while)
the line has a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gui.growing_array import GrowingArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BASE = 8  # frames in the smallest buckets
TOP_BUCKETS = 512  # no level has fewer, but the last
POINTS_PER_PIXEL = 3
HOLE_PERIODS = 1.5  # two frames further apart than this are no neighbours
PERIOD_FRAMES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TraceView:
    """What to draw.

    time_s  (n,), the same for all traces
    values  name: (n,), NaN at gaps: draw with connect="finite"
    exact   every frame is a point of its own
    bad_s   times of frames that were lost or cannot be used, a point per bucket
    """

    time_s: Floats
    values: Mapping[str, Floats]
    exact: bool
    bad_s: Floats


class _Level:
    """Buckets of `frames` frames: least and greatest of every trace, whether any of them is bad."""

    def __init__(self, frames: int, names: Sequence[str], room: int) -> None:
        self.frames = frames
        self.low = {name: GrowingArray("f8", room // frames) for name in names}
        self.high = {name: GrowingArray("f8", room // frames) for name in names}
        self.bad = GrowingArray("?", room // frames)

    def __len__(self) -> int:
        return len(self.bad)

    @property
    def nbytes(self) -> int:
        return self.bad.nbytes + sum(array.nbytes for side in (self.low, self.high) for array in side.values())


class TracePyramid:
    """Traces of one run by name, on one time axis.

    Parameters
    ----------
    names  of the traces
    room   how many frames are expected
    """

    def __init__(self, names: Sequence[str], room: int = 0) -> None:
        self.names = tuple(names)
        self._expected = room
        self._time_s = GrowingArray("f8", room)
        self._values = {name: GrowingArray("f8", room) for name in self.names}
        self._bad = GrowingArray("?", room)
        self._levels = [_Level(BASE, self.names, room)]
        self._period_s = 0.0
        self._period_frames = 0

    def __len__(self) -> int:
        return len(self._time_s)

    @property
    def time_s(self) -> Floats:
        """Get the time of every frame, never descending (s, (n,))."""
        return self._time_s.values

    @property
    def bad(self) -> Mask:
        """Get which frames are marked ((n,))."""
        return self._bad.values

    @property
    def period_s(self) -> float:
        """Get the usual time from one frame to the next (s), 0 while fewer than two are known."""
        if self._period_frames < PERIOD_FRAMES and self._period_frames < len(self) >= 2:
            self._period_frames = min(len(self), PERIOD_FRAMES)
            self._period_s = float(np.median(np.diff(self.time_s[: self._period_frames])))
        return self._period_s

    @property
    def nbytes(self) -> int:
        """Get the memory of all frames and buckets (bytes)."""
        single = sum(array.nbytes for array in (self._time_s, self._bad, *self._values.values()))
        return single + sum(level.nbytes for level in self._levels)

    def trace(self, name: str) -> Floats:
        """Get one trace frame by frame ((n,), NaN where it has nothing to show)."""
        return self._values[name].values

    def append(self, time_s: Floats, values: Mapping[str, Floats], bad: Mask) -> None:
        """Add frames, arrays (n,); a time that runs back or is no number stands still."""
        if not len(time_s):
            return
        first = len(self)
        start = self._time_s.values[-1] if first else -np.inf
        rising = np.maximum.accumulate(np.fmax(time_s, start))
        self._time_s.append(np.where(np.isfinite(rising), rising, 0.0))
        self.rewrite(first, values, bad)

    def rewrite(self, first: int, values: Mapping[str, Floats], bad: Mask | None = None) -> None:
        """Overwrite traces from frame `first` on, arrays (n,); `bad` None leaves that as it is."""
        end = first
        for name, column in values.items():
            self._values[name].put(first, column)
            end = first + len(column)
        if bad is not None:
            self._bad.put(first, bad)
        self._refill(first, end)

    def blank(self) -> None:
        """Forget the values of all traces, as if no frame had anything to show; times and marks stay."""
        for columns in (self._values, *(side for level in self._levels for side in (level.low, level.high))):
            for column in columns.values():
                column.values.fill(np.nan)

    def view(self, first_s: float, last_s: float, pixels: int) -> TraceView:
        """Choose what to draw between two times on `pixels` pixels: some 3 points a pixel at most, whatever the length."""
        time_s = self.time_s
        start = max(0, int(np.searchsorted(time_s, first_s)) - 1)
        stop = min(len(time_s), int(np.searchsorted(time_s, last_s, side="right")) + 1)
        pixels = max(1, pixels)
        if stop - start <= POINTS_PER_PIXEL * pixels:
            return self._exact(start, stop)
        most = POINTS_PER_PIXEL * pixels / 2
        level = next((one for one in self._levels if (stop - start) / one.frames <= most), self._levels[-1])
        return self._decimated(level, start, stop, (last_s - first_s) / pixels)

    def _exact(self, start: int, stop: int) -> TraceView:
        time_s, bad = self.time_s[start:stop], self._bad.values[start:stop]
        holes = np.flatnonzero(np.diff(time_s) > HOLE_PERIODS * self.period_s) + 1
        values = {name: np.insert(self.trace(name)[start:stop], holes, np.nan) for name in self.names}
        return TraceView(np.insert(time_s, holes, time_s[holes]), values, exact=True, bad_s=time_s[bad])

    def _decimated(self, level: _Level, start: int, stop: int, pixel_s: float) -> TraceView:
        chosen = slice(start // level.frames, -(-stop // level.frames))
        middle = np.arange(chosen.start, chosen.stop) * level.frames + level.frames // 2
        time_s = self.time_s[np.minimum(middle, len(self) - 1)]
        usual_s = level.frames * self.period_s + max(HOLE_PERIODS * self.period_s, pixel_s)
        holes = np.flatnonzero(np.diff(time_s) > usual_s) + 1
        values = {
            name: np.insert(
                np.stack([level.low[name].values[chosen], level.high[name].values[chosen]], axis=1).reshape(-1),
                2 * holes,
                np.nan,
            )
            for name in self.names
        }
        axis = np.insert(np.repeat(time_s, 2), 2 * holes, time_s[holes])
        return TraceView(axis, values, exact=False, bad_s=time_s[level.bad.values[chosen]])

    def _refill(self, first: int, end: int) -> None:
        """Make the buckets anew that hold frames first:end."""
        low: dict[str, Floats] = {name: self._values[name].values for name in self.names}
        high, bad, size = low, self._bad.values, BASE
        for level in self._levels:
            first, end = first // size, -(-end // size)
            part = slice(first * size, end * size)
            for name in self.names:
                level.low[name].put(first, _reduced(np.fmin, low[name][part], size))
                level.high[name].put(first, _reduced(np.fmax, high[name][part], size))
            level.bad.put(first, _reduced(np.logical_or, bad[part], size))
            low = {name: level.low[name].values for name in self.names}
            high = {name: level.high[name].values for name in self.names}
            bad, size = level.bad.values, 2
        while len(self._levels[-1]) >= 2 * TOP_BUCKETS:
            self._levels.append(self._above(self._levels[-1]))

    def _above(self, below: _Level) -> _Level:
        made = _Level(2 * below.frames, self.names, self._expected)
        for name in self.names:
            made.low[name].append(_reduced(np.fmin, below.low[name].values, 2))
            made.high[name].append(_reduced(np.fmax, below.high[name].values, 2))
        made.bad.append(_reduced(np.logical_or, below.bad.values, 2))
        return made


def _reduced(how: np.ufunc, values: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Reduce consecutive groups of `size` values, the last one perhaps smaller."""
    whole = len(values) // size * size
    reduced = how.reduce(values[:whole].reshape(-1, size), axis=1)
    return reduced if whole == len(values) else np.append(reduced, how.reduce(values[whole:]))
