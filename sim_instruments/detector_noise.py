"""Standard normal numbers for the frames of a detector: drawn afresh, or read from a pool when speed matters more."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Seed = int | np.random.SeedSequence

POOL_FRAMES = 4096
STRETCH = 256
"""Frames that are read from the pool in a row before it is entered elsewhere."""


class DetectorNoise(Protocol):
    """A sequence of frames of noise with mean 0 and variance 1, read once from its start to its end."""

    def fill(self, frames: Singles) -> None:
        """Write the next n frames into `frames` (n, pixels); how they are divided among calls makes no difference."""
        ...


class FreshNoise:
    """Every number is drawn anew: white in time and over the pixels, for as long as anybody looks."""

    def __init__(self, seed: Seed) -> None:
        self._normal = np.random.Generator(np.random.SFC64(seed))

    def fill(self, frames: Singles) -> None:
        """Write the next n frames into `frames` (n, pixels)."""
        self._normal.standard_normal(dtype=np.float32, out=frames)


class PooledNoise:
    """Frames drawn once, and read over and over: 256 in a row, then from another random place on.

    A stretch never overlaps the one before it, so the same frame comes back after 257 frames at the earliest and after as many
    as the pool has on average. Good for tests of speed and for watching an alignment. Not for statistics over more frames than
    the pool has, where the mean of n frames no longer falls as n^-1/2, nor for a correlation in time beyond 256 frames. Every
    pixel has mean 0 and variance 1 over the pool, exactly.

    Parameters
    ----------
    seed   of the pool and of the places
    pixels in a frame
    frames in the pool, at least twice 256 (4 bytes a pixel: 35 MB for 4096 frames of 2136 pixels); ValueError for fewer
    """

    def __init__(self, seed: Seed, pixels: int, frames: int = POOL_FRAMES) -> None:
        if frames < 2 * STRETCH:
            raise ValueError(f"a pool of {frames} frames: consecutive stretches need {2 * STRETCH}")
        self._places = np.random.Generator(np.random.SFC64(seed))
        self._pool = self._places.standard_normal((frames, pixels), dtype=np.float32)
        self._pool -= self._pool.mean(axis=0)
        self._pool /= np.sqrt(np.einsum("ij,ij->j", self._pool, self._pool) / np.float32(frames))
        self._next = int(self._places.integers(frames))
        self._left = STRETCH

    def fill(self, frames: Singles) -> None:
        """Write the next n frames into `frames` (n, pixels)."""
        size, done = len(self._pool), 0
        while done < len(frames):
            if not self._left:
                self._next = (self._next + int(self._places.integers(size - 2 * STRETCH + 1))) % size
                self._left = STRETCH
            n = min(len(frames) - done, self._left, size - self._next)
            frames[done : done + n] = self._pool[self._next : self._next + n]
            self._next = (self._next + n) % size
            self._left -= n
            done += n
