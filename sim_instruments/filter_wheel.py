"""A wheel of neutral density filters: one of them stands in the beam, and metal while it turns."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

FILTER_ERROR = 0.03
"""Of a filter's transmission against what is engraved on it, relative, 1 sigma, for good. Source: assumed."""

APERTURE = 0.3
"""Part of the way to the next position on which a filter is still in the beam. Source: assumed."""

LONG_AGO_NS = -(2**62)
KNOTS_AT_MOST = 1024


class FilterWheel:
    """Passes the beam through the filter of its position. Fulfils `sim_instruments.beam.Element`.

    Parameters
    ----------
    engraved   transmission of the filters, from position 1 on; where none is engraved the wheel is closed
    positions  of the whole wheel
    serial     fixes by how much each filter is off; one that is engraved 1 is a hole
    """

    def __init__(self, engraved: Sequence[float], positions: int, serial: str) -> None:
        self.positions = positions
        self.true = np.zeros(positions)
        for place, part in enumerate(engraved[:positions]):
            error = FILTER_ERROR * _deviate(f"{serial}/{place + 1}")
            self.true[place] = min(1.0, part if part >= 1 else part * (1 + error))
        self._knot_ns = np.array([LONG_AGO_NS], np.int64)
        self._places = np.array([0.0])  # 0 is position 1; it grows without end

    def turn(self, begin_ns: int, end_ns: int, places: int) -> None:
        """Turn by so many places between two times, evenly."""
        here = float(self._places_at(np.array([begin_ns]))[0])
        kept = np.flatnonzero(self._knot_ns < begin_ns)[-KNOTS_AT_MOST:]
        self._knot_ns = np.append(self._knot_ns[kept], [begin_ns, max(end_ns, begin_ns + 1)])
        self._places = np.append(self._places[kept], [here, np.rint(here) + places])

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the part of the light that comes through at `t_ns` (n,), any order."""
        places = self._places_at(t_ns)
        nearest = np.rint(places)
        through = self.true[nearest.astype(np.int64) % self.positions]
        return np.where(np.abs(places - nearest) <= APERTURE, through, 0.0)

    def _places_at(self, t_ns: TimesNs) -> Floats:
        since_ns = t_ns - self._knot_ns[-1]  # differences, as float64 cannot hold ns over more than 100 days
        return np.interp(since_ns, self._knot_ns - self._knot_ns[-1], self._places)


def _deviate(name: str) -> float:
    """Standard normal deviate that belongs to one filter for good."""
    digest = hashlib.sha256(f"filter/{name}".encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:16], "big")).standard_normal())
