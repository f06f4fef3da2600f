"""How long a voltage has stood on the film without a break; the compiler limits the plan, this what really happens."""

import math

from drivers.clock import Clock
from drivers.errors import InterlockTripped

MARGIN_S = 1.0  # arming, reading back and committing a stretch, beyond its shots


class OnTime:
    """Counts from the first level that is not 0 V.

    Parameters
    ----------
    limit_s  of the bench file (s)
    """

    def __init__(self, limit_s: float, clock: Clock) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._since_ns: int | None = None

    def level(self, voltage_v: float) -> None:
        """The source is about to stand at a level (V)."""
        if voltage_v == 0.0:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = self._clock.now_ns()

    def check(self) -> None:
        """See that it has not stood for too long.

        Raises
        ------
        InterlockTripped  it has
        """
        if self._since_ns is None or math.isinf(self._limit_s):
            return
        on_s = (self._clock.now_ns() - self._since_ns) * 1e-9
        if not on_s <= self._limit_s + MARGIN_S:
            raise InterlockTripped(
                f"Tripped: a voltage has been on for {on_s:.2f} s, allowed {self._limit_s:g} s (limits.on_time_s) "
                f"and {MARGIN_S:g} s for arming and reading.",
                where="voltage source",
                hardware_state="going safe; nothing is switched on again by itself",
                next_step="see what held the run up: a slow link, a busy computer, a laser whose edges do not come",
            )
