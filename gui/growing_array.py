"""An array that grows at its end: what is known of a run, a number per frame."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIRST_ROOM = 1024
MOST_ROOM = 1 << 24  # what a file says of its length is not believed beyond
GROWTH = 1.5


class GrowingArray:
    """Numbers of one type; growing costs a constant time per number, room that is left over no memory until it is written.

    Parameters
    ----------
    room  how many are expected: as long as no more come, nothing is ever moved
    """

    def __init__(self, dtype: str | np.dtype[Any], room: int = FIRST_ROOM) -> None:
        self._room = np.empty(min(max(room, FIRST_ROOM), MOST_ROOM), dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def values(self) -> NDArray[Any]:
        """Get what is in it, a view that later growth leaves behind."""
        return self._room[: self._used]

    @property
    def nbytes(self) -> int:
        """Get the memory of what is in it (bytes)."""
        return self.values.nbytes

    def append(self, values: ArrayLike) -> None:
        """Add `values` (n,) at the end."""
        self.put(self._used, values)

    def put(self, first: int, values: ArrayLike) -> None:
        """Write `values` (n,) from entry `first` (at most the present length) on, over what is there and beyond.

        Raises
        ------
        IndexError  it would leave a hole
        """
        given = np.atleast_1d(np.asarray(values, self._room.dtype))
        if not 0 <= first <= self._used:
            raise IndexError(f"entry {first} of {self._used}")
        end = first + len(given)
        if end > len(self._room):
            larger = np.empty(max(end, int(len(self._room) * GROWTH)), self._room.dtype)
            larger[: self._used] = self.values
            self._room = larger
        self._room[first:end] = given
        self._used = max(self._used, end)
