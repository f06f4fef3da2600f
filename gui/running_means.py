"""Mean spectra at OFF and ON while frames still come in: the light of single frames as rig.analysis has it, summed up.

Frames of a state go into slots of equal numbers of frames, merged in pairs when they are all full, so that at any time some 20
means over consecutive frames are at hand, from which intervals are taken.
"""

import numpy as np
from numpy.typing import NDArray

from rig.analysis.correction import (
    PART_SLOTS,
    PARTS,
    ROWS_PER_PASS,
    Floats,
    Mask,
    MeanSpectra,
    Raw,
    fill_hot,
    light_counts,
)

STATES = (0, 1)


class _Slots:
    """Sums over consecutive frames of one state."""

    def __init__(self, pixels: int) -> None:
        self.sums = np.zeros((2 * PART_SLOTS, pixels))
        self.frames = np.zeros(2 * PART_SLOTS, np.int64)
        self.size = 1
        self.slot = 0

    @property
    def room(self) -> int:
        """Get how many frames the present slot still takes (>= 1)."""
        return int(self.size - self.frames[self.slot])

    def add(self, total: Floats, frames: int) -> None:
        self.sums[self.slot] += total
        self.frames[self.slot] += frames
        if self.room:
            return
        self.slot += 1
        if self.slot == 2 * PART_SLOTS:
            for array in (self.sums, self.frames):
                array[:PART_SLOTS] = array[0::2] + array[1::2]
                array[PART_SLOTS:] = 0
            self.slot, self.size = PART_SLOTS, 2 * self.size

    def parts(self) -> Floats:
        used = int(np.count_nonzero(self.frames))
        groups = [group for group in np.array_split(np.arange(used), PARTS) if len(group)]
        means = [self.sums[group].sum(axis=0) / self.frames[group].sum() for group in groups]
        return np.array(means).reshape(len(groups), self.sums.shape[1])


class RunningMeans:
    """Mean light of the used frames of a run, both states; its memory does not grow.

    Parameters
    ----------
    dark, hot     mean dark spectrum (counts, (pixels,)) and mask of pixels not to be believed
    nonlinearity  as in drivers.roles.SpectrometerInfo
    """

    def __init__(self, dark: Floats, hot: Mask, nonlinearity: tuple[float, ...]) -> None:
        self._dark = dark
        self._hot = hot
        self._nonlinearity = nonlinearity
        self._slots = tuple(_Slots(len(dark)) for _ in STATES)

    @property
    def frames(self) -> tuple[int, int]:
        """Get how many frames are in it, OFF and ON."""
        off, on = (int(slots.frames.sum()) for slots in self._slots)
        return off, on

    def add(self, spectra: Raw, state: NDArray[np.integer], use: Mask) -> None:
        """Add frames in time order: raw spectra (n, pixels), state (n,) 0 OFF or 1 ON, and which of them count (n,)."""
        for one in STATES:
            chosen = spectra[use & (state == one)]
            slots, start = self._slots[one], 0
            while start < len(chosen):
                rows = min(len(chosen) - start, slots.room, ROWS_PER_PASS)  # a pass stays in the processor's cache
                piece = chosen[start : start + rows]
                slots.add(light_counts(piece, self._dark, self._nonlinearity).sum(axis=0), rows)
                start += rows

    def mean(self, state: int) -> Floats | None:
        """Return the mean light of a state (counts, (pixels,)), None while it has no frame."""
        slots = self._slots[state]
        frames = int(slots.frames.sum())
        return fill_hot(slots.sums.sum(axis=0) / frames, self._hot) if frames else None

    def means(self) -> MeanSpectra:
        """Return all at once, as if the run had one cycle."""
        both = [self.mean(state) for state in STATES]
        nothing = np.full(len(self._dark), np.nan)
        per_cycle = np.array([[nothing if mean is None else mean for mean in both]])
        off, on = (fill_hot(slots.parts(), self._hot) for slots in self._slots)
        return MeanSpectra(np.zeros(1, np.int64), per_cycle, np.array([self.frames], np.int64), (off, on))
