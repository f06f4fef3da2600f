"""How fast world time runs on a served bench: with the computer's clock, or only as far as whoever waits lets it."""

import time
from typing import Protocol

EARLY_NS = 80_000  # the system wakes a sleeper so much too late


class Pace(Protocol):
    """World time of a server, and for how long it may listen before something is due.

    `early_ns`: so much before a foretold answer the server wants to be awake (ns).
    """

    early_ns: int

    def now_ns(self) -> int:
        """World time (ns), never going back."""
        ...

    def patience_s(self, until_ns: int) -> float:
        """How long (s) to listen for bytes when nothing is due before world time `until_ns` (ns); 0 only looks."""
        ...


class RealPace:
    """A second of the world is a second of the computer's monotonic clock.

    Parameters
    ----------
    start_ns  world time now (ns)
    """

    early_ns = EARLY_NS  # the last of a wait for an answer is spent awake

    def __init__(self, start_ns: int) -> None:
        self._origin_ns = time.monotonic_ns() - start_ns

    def now_ns(self) -> int:
        """World time (ns)."""
        return time.monotonic_ns() - self._origin_ns

    def patience_s(self, until_ns: int) -> float:
        """The time that is left until `until_ns` (s)."""
        return max(0, until_ns - self.now_ns()) * 1e-9


class SteppedPace:
    """World time stands still until somebody moves it; for a server whose turns are made by whoever waits for it.

    Parameters
    ----------
    start_ns  world time now (ns)
    """

    early_ns = 0

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """World time (ns)."""
        return self._now_ns

    def advance_to(self, t_ns: int) -> None:
        """From the next turn on it is `t_ns` (ns); earlier times are a no-op."""
        self._now_ns = max(self._now_ns, t_ns)

    def patience_s(self, until_ns: int) -> float:
        """No time passes by itself."""
        return 0.0
