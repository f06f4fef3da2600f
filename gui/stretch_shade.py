"""The stretches of a run behind its traces: those with the voltage on shaded, the cycle that is under way marked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt5.QtCore import QRectF
from PyQt5.QtGui import QColor, QPainter

from gui import theme
from gui.run_stretches import Stretch

Floats = NDArray[np.float64]
ON = 1


class StretchTable:
    """Begin, end, state, cycle and planned voltage of all stretches as arrays, for drawing."""

    def __init__(self, stretches: Sequence[Stretch] = ()) -> None:
        self._stretches = list(stretches)
        self.first_s = np.array([one.first_s for one in stretches], np.float64)
        self.last_s = np.array([one.last_s for one in stretches], np.float64)
        self.state = np.array([one.state for one in stretches], np.int64)
        self.cycle = np.array([one.cycle for one in stretches], np.int64)
        self.voltage_v = np.array([np.nan if one.voltage_v is None else one.voltage_v for one in stretches], np.float64)

    def follow(self, stretches: Sequence[Stretch]) -> None:
        """Take these instead; the cost is that of those that are new."""
        same = _same(self._stretches, stretches := list(stretches))
        new = StretchTable(stretches[same:])
        self.first_s = np.concatenate([self.first_s[:same], new.first_s])
        self.last_s = np.concatenate([self.last_s[:same], new.last_s])
        self.state = np.concatenate([self.state[:same], new.state])
        self.cycle = np.concatenate([self.cycle[:same], new.cycle])
        self.voltage_v = np.concatenate([self.voltage_v[:same], new.voltage_v])
        self._stretches = stretches

    def __len__(self) -> int:
        return len(self.state)

    def between(self, first_s: float, last_s: float) -> slice:
        """Find the stretches that lie at least partly between two times."""
        start = int(np.searchsorted(self.last_s, first_s))
        return slice(start, max(start, int(np.searchsorted(self.first_s, last_s, side="right"))))

    @property
    def now(self) -> tuple[float, float] | None:
        """Get begin and end of the cycle that is under way (s), None when the last stretch belongs to none."""
        if not len(self) or self.cycle[-1] < 0:
            return None
        others = np.flatnonzero(self.cycle != self.cycle[-1])
        return float(self.first_s[int(others[-1]) + 1 if len(others) else 0]), float(self.last_s[-1])


def _same(old: list[Stretch], new: list[Stretch]) -> int:
    """Count the entries at the beginning that are the same, by comparisons of whole lists, which are fast."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def merged(first: Floats, last: Floats, least: float) -> tuple[Floats, Floats]:
    """Join intervals in ascending order whose gap is below `least`: no more are drawn than the picture can show."""
    if not len(first):
        return first, last
    apart = np.flatnonzero(first[1:] - last[:-1] > least) + 1
    return first[np.r_[0, apart]], last[np.r_[apart - 1, len(last) - 1]]


class StretchShade(pg.UIGraphicsItem):
    """Drawn from the bottom to the top of the plot it is in."""

    def __init__(self) -> None:
        super().__init__()
        self._table = StretchTable()
        self._marks_cycle = False
        self.setZValue(-50)

    def show_stretches(self, table: StretchTable, *, under_way: bool) -> None:
        """Draw these; the last cycle is marked while it is under way."""
        self._table, self._marks_cycle = table, under_way
        self.update()

    def paint(self, *args: Any) -> None:
        """Paint, in the coordinates of the plot."""
        p: QPainter = args[0]
        area: QRectF = self.boundingRect()
        look, table = theme.current(), self._table
        now = table.now if self._marks_cycle else None
        if now is not None:
            p.fillRect(_part(area, *now), QColor(*look.cycle_shade))
        seen = table.between(area.left(), area.right())
        on = table.state[seen] == ON
        pixel_s = self.pixelWidth() or 0.0
        colour = QColor(*look.on_shade)
        for first, last in zip(*merged(table.first_s[seen][on], table.last_s[seen][on], pixel_s), strict=True):
            p.fillRect(_part(area, float(first), float(last)), colour)


def _part(area: QRectF, first_s: float, last_s: float) -> QRectF:
    left, right = max(first_s, area.left()), min(last_s, area.right())
    return QRectF(left, area.top(), max(0.0, right - left), area.height())
