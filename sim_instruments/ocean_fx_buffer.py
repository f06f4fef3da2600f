"""The Ocean FX's records and the buffer they wait in."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

PIXELS = 2136
PIXEL_BYTES = 2 * PIXELS
METADATA_BYTES = 64
CAPACITY = 50_000  # Source: libseabreeze comments and the maker's FX speed test

# Source: cseabreeze fast buffer (python-seabreeze #233) and libseabreeze's record length. How the four bytes behind the pixels
# are computed is unknown; they stay zero (assumed).
RECORD = np.dtype(
    {
        "names": [
            "version",
            "metadata_bytes",
            "pixel_bytes",
            "time_us",
            "integration_us",
            "pixel_format",
            "count",
            "previous_count",
            "previous_time_us",
            "averages",
            "pixels",
            "checksum",
        ],
        "formats": ["<u2", "<u2", "<u4", "<u8", "<u4", "<u4", "<u4", "<u4", "<u8", "<u2", ("<u2", PIXELS), "<u4"],
        "offsets": [0, 2, 4, 8, 16, 20, 24, 28, 32, 40, METADATA_BYTES, METADATA_BYTES + PIXEL_BYTES],
        "itemsize": METADATA_BYTES + PIXEL_BYTES + 4,
    }
)
METADATA_VERSION = 1  # assumed
PIXEL_FORMAT_U16 = 1

Records = NDArray[np.void]


class FrameBuffer:
    """First in, first out, of limited size; blocks of records are kept as they came, so memory follows what waits.

    Parameters
    ----------
    drops_oldest  what is lost when the buffer is full: the oldest record, or (else) the one that comes (assumed)
    """

    def __init__(self, *, drops_oldest: bool) -> None:
        self.size = CAPACITY
        self._drops_oldest = drops_oldest
        self._blocks: deque[Records] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()
        self._waiting = 0

    def put(self, records: Records) -> None:
        """Append `records` (n,) as far as there is room; the rest is lost, which shows as a gap in the count."""
        room = self.size - self._waiting
        if len(records) > room and self._drops_oldest:
            records = records[-self.size :]
            self.take(self._waiting + len(records) - self.size)
        else:
            records = records[:room]
        if len(records):
            self._blocks.append(records)
            self._waiting += len(records)

    def take(self, n: int) -> list[Records]:
        """Remove the `n` oldest records, or as many as there are, and return them in pieces."""
        pieces: list[Records] = []
        left = min(n, self._waiting)
        self._waiting -= left
        while left:
            block = self._blocks.popleft()
            if len(block) > left:
                self._blocks.appendleft(block[left:])
                block = block[:left]
            pieces.append(block)
            left -= len(block)
        return pieces
