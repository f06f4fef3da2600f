"""The range of a value axis that does not jump: it grows at once, shrinks late, and always ends at a round number."""

import math

ROUND = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
SMALL_PART = 0.5  # of the range: what stays below it for a while lets the range shrink
PATIENCE_S = 3.0
HEADROOM = 1.06
FOOT = 0.03


def round_above(value: float) -> float:
    """Get the least round number that is not below a positive one."""
    if not (math.isfinite(value) and value > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in ROUND if value <= step * power), 10 * power)


class ValueRange:
    """The lower and upper end of one axis.

    Parameters
    ----------
    least  the upper end is never below (in the axis's unit)
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._top = self._bottom = 0.0
        self._small_since_s: float | None = None

    def fit(self, low: float, high: float, now_s: float) -> tuple[float, float]:
        """Take what there is to show between `low` and `high`, at a time (s); return the ends of the axis."""
        top, bottom = self._wanted(high), 0.0 if low >= -FOOT * max(self._top, self._wanted(high)) else -self._wanted(-low)
        if not self._top or top > self._top or bottom < self._bottom:
            self._top, self._bottom = max(top, self._top), min(bottom, self._bottom)
            self._small_since_s = None
        elif top <= SMALL_PART * self._top or bottom > SMALL_PART * self._bottom:
            self._small_since_s = now_s if self._small_since_s is None else self._small_since_s
            if now_s - self._small_since_s >= PATIENCE_S:
                self._top, self._bottom, self._small_since_s = top, bottom, None
        else:
            self._small_since_s = None
        return min(self._bottom, -FOOT * self._top), self._top

    def _wanted(self, value: float) -> float:
        return round_above(max(HEADROOM * value, self._least))
