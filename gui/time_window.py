"""Which part of a run the time axes show: all, its last seconds, or what somebody has chosen; and the pause of the view."""

GROWTH = 1.25  # the axis of a whole run grows in such steps, so that the picture does not creep
FIRST_S = 1.0
SMALLEST_S = 1e-4
LARGEST_S = 1e7

Range = tuple[float, float]


class TimeWindow:
    """The time axis of one page (s).

    Parameters
    ----------
    length_s  of a rolling window, None for the whole run
    """

    def __init__(self, length_s: float | None = None) -> None:
        self.length_s = length_s
        self._chosen: Range | None = None
        self._end_s = FIRST_S
        self._newest_s = 0.0
        self._paused_s: float | None = None

    @property
    def chosen(self) -> bool:
        """Get whether the part shown was chosen by hand."""
        return self._chosen is not None

    @property
    def paused(self) -> bool:
        """Get whether the view stands still."""
        return self._paused_s is not None

    @property
    def newest_s(self) -> float:
        """Get the time up to which anything is shown: that of the newest frame, or of the pause."""
        return self._newest_s if self._paused_s is None else self._paused_s

    def begin(self) -> None:
        """Start anew with another run."""
        self._chosen, self._paused_s = None, None
        self._end_s, self._newest_s = FIRST_S, 0.0

    def follow(self, length_s: float | None) -> None:
        """Show the last `length_s` seconds, None for the whole run, and go along with it."""
        self.length_s, self._chosen = length_s, None

    def auto(self) -> None:
        """Give back what was chosen by hand."""
        self._chosen = None

    def choose(self, first_s: float, last_s: float) -> None:
        """Show this part and stay there, whatever the run does."""
        middle, width = 0.5 * (first_s + last_s), min(max(last_s - first_s, SMALLEST_S), LARGEST_S)
        self._chosen = (middle - 0.5 * width, middle + 0.5 * width)

    def zoom(self, factor: float) -> None:
        """Show `factor` times as much; what comes last stays in sight when the window follows it."""
        first, last = self.range_s
        anchor = self.newest_s if first <= self.newest_s <= last and not self.chosen else 0.5 * (first + last)
        self.choose(anchor - (anchor - first) * factor, anchor + (last - anchor) * factor)

    def move(self, part: float) -> None:
        """Go on by a part of what is shown, negative for back."""
        first, last = self.range_s
        step = part * (last - first)
        self.choose(first + step, last + step)

    def pause(self) -> None:
        """Hold the view; what comes later is not shown until `resume`."""
        if self._paused_s is None:
            self._chosen = self._chosen or self.range_s
            self._paused_s = self._newest_s

    def resume(self) -> None:
        """Follow the run again."""
        self._paused_s, self._chosen = None, None

    def advance(self, newest_s: float, *, complete: bool = False) -> None:
        """Take the time of the newest frame; `complete` when no more will come."""
        self._newest_s = newest_s
        if complete:
            self._end_s = max(newest_s, SMALLEST_S)
        while not newest_s <= self._end_s and newest_s < LARGEST_S:
            self._end_s *= GROWTH

    @property
    def range_s(self) -> Range:
        """Get the first and the last time shown (s)."""
        if self._chosen is not None:
            return self._chosen
        if self.length_s is None:
            return 0.0, self._end_s
        last_s = max(self.newest_s, self.length_s)
        return last_s - self.length_s, last_s
