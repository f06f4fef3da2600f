"""Keeps simulated time from running ahead of real time by more than a factor."""

from collections.abc import Callable

from drivers.clock import Clock

SLICE_S = 0.02


class Pace:
    """Holds back who calls keep(), so that the stepped clock goes `speed` times as fast as the real one; None: not at all."""

    def __init__(self, real: Clock) -> None:
        self._real = real
        self._speed: float | None = None
        self._since: tuple[int, int] | None = None  # real and simulated time from which on this speed holds

    @property
    def speed(self) -> float | None:
        """Get how many times as fast as real time it may go."""
        return self._speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._speed, self._since = speed, None

    def begin(self) -> None:
        """Forget what was: another run, another clock."""
        self._since = None

    def keep(self, simulated_ns: int, enough: Callable[[], bool]) -> None:
        """Wait until real time has caught up with `simulated_ns`, or `enough` says so, or the speed is another."""
        speed = self._speed
        if speed is None:
            return
        if self._since is None:
            self._since = self._real.now_ns(), simulated_ns
        since = self._since
        due_ns = since[0] + (simulated_ns - since[1]) / speed
        while (left_ns := due_ns - self._real.now_ns()) > 0 and self._since is since and not enough():
            self._real.sleep(min(SLICE_S, left_ns * 1e-9))
