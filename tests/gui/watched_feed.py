"""A feed on a clock of the test's own, and what it told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gui.run_feed import RunFeed

TURNS = 2000


@dataclass
class Clock:
    """Every look at it takes a little; a turn's time passes between two turns."""

    t_ns: int = 0

    def now_ns(self) -> int:
        self.t_ns += 10_000
        return self.t_ns

    def sleep(self, duration_s: float) -> None:
        self.t_ns += round(duration_s * 1e9)


@dataclass
class Watched:
    feed: RunFeed
    clock: Clock
    ended: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    grown: int = 0

    def __post_init__(self) -> None:
        self.feed.ended.connect(self.ended.append)
        self.feed.failed.connect(self.failed.append)
        self.feed.grown.connect(self._count)

    def _count(self) -> None:
        self.grown += 1

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.clock.sleep(0.033)
            self.feed.poll()

    def until(self, true: Callable[[], bool], what: str) -> None:
        for _ in range(TURNS):
            if true():
                return
            self.turns(1)
            self._wait_for_the_numbers()
        raise AssertionError(f"not within {TURNS} turns: {what}")

    def _wait_for_the_numbers(self) -> None:
        if self.feed._pending is not None:
            self.feed._pending.exception(timeout=10)

    def rest(self) -> None:
        """Turns until nothing is left to be done."""
        self.until(lambda: not self.feed.catching_up, "caught up")
        self.clock.sleep(20)
        self.turns(1)
        self._wait_for_the_numbers()
        self.clock.sleep(20)
        self.turns(2)
        self._wait_for_the_numbers()
        self.turns(1)


def opened(watched: Watched, path: Path) -> Watched:
    watched.feed.open(path)
    watched.rest()
    return watched


def shown(watched: Watched, name: str) -> np.ndarray:
    assert watched.feed.traces is not None
    return watched.feed.traces.trace(name)
