"""A beam shutter: blades that need milliseconds to let the beam through or not."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

LEAKAGE = 1e-4
"""Part of the light that comes past closed blades. Source: assumed."""

LONG_AGO_NS = -(2**62)
KNOTS_AT_MOST = 16_384
MS = 1_000_000

OPENING_DELAY_NS, OPENING_NS = 8 * MS, 3 * MS
CLOSING_DELAY_NS, CLOSING_NS = 8 * MS, 5 * MS
"""From the controller's command to the first movement, and from there to its end. Source: from memory, unverified."""


class Blades:
    """Closed at first; the transmission changes linearly while the blades move. Fulfils `sim_instruments.beam.Element`."""

    def __init__(self) -> None:
        self._knot_ns = np.array([LONG_AGO_NS], np.int64)
        self._knots = np.array([LEAKAGE])

    @property
    def rest_ns(self) -> int:
        """Get the time from which on nothing moves any more (ns)."""
        return int(self._knot_ns[-1])

    def move(self, t_ns: int, *, to_open: bool) -> None:
        """Be told at `t_ns` to open or to close; a movement that has begun goes on until this one begins."""
        delay_ns, full_ns, end = (OPENING_DELAY_NS, OPENING_NS, 1.0) if to_open else (CLOSING_DELAY_NS, CLOSING_NS, LEAKAGE)
        begin_ns = t_ns + delay_ns
        here = float(self.transmission(np.array([begin_ns]))[0])
        kept = np.flatnonzero(self._knot_ns < begin_ns)[-KNOTS_AT_MOST:]
        end_ns = begin_ns + max(1, round(abs(end - here) / (1 - LEAKAGE) * full_ns))
        self._knot_ns = np.append(self._knot_ns[kept], [begin_ns, end_ns])
        self._knots = np.append(self._knots[kept], [here, end])

    def closed(self, t_ns: int) -> bool:
        """Return whether the blades are fully closed at `t_ns`."""
        return bool(self.transmission(np.array([t_ns]))[0] <= LEAKAGE)

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the part of the light that comes through at `t_ns` (n,), any order."""
        return np.interp(t_ns - self._knot_ns[-1], self._knot_ns - self._knot_ns[-1], self._knots)
