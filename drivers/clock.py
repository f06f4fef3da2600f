"""The Clock that everybody is handed; the one place that may look at the computer's own time."""

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time in integer nanoseconds. A simulated clock advances when somebody sleeps or waits for a reply."""

    def now_ns(self) -> int:
        """Time since an arbitrary start (ns), never going back."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Wait `duration_s` (s); returns at once for durations <= 0."""
        ...


class MonotonicClock:
    """The computer's monotonic clock."""

    def now_ns(self) -> int:
        """Time since an arbitrary start (ns)."""
        return time.monotonic_ns()

    def sleep(self, duration_s: float) -> None:
        """Wait `duration_s` (s); returns at once for durations <= 0."""
        if duration_s > 0:
            time.sleep(duration_s)  # noqa: TID251 - the one real sleep


def slept_ns() -> int:
    """Time that this computer has slept and its monotonic clock has left out (ns); only differences mean something.

    Linux leaves it out and counts it in CLOCK_BOOTTIME; Windows counts it anyway, so that a sleep is a leap of the clock there.
    Elsewhere nobody knows: always 0. Source: PEP 418, "include sleep".
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if boot is None else time.clock_gettime_ns(boot) - time.monotonic_ns()


class Deadline:
    """A moment on a clock by which something must have happened."""

    def __init__(self, clock: Clock, after_s: float) -> None:
        self.clock = clock
        self.t_ns = clock.now_ns() + round(after_s * 1e9)

    @property
    def left_s(self) -> float:
        """Get the time that is left (s), 0 when none is."""
        return max(0.0, (self.t_ns - self.clock.now_ns()) * 1e-9)

    @property
    def over(self) -> bool:
        """Get whether the moment has passed."""
        return self.clock.now_ns() >= self.t_ns
