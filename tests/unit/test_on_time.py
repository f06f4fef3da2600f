"""A voltage that stands longer than the bench allows ends the run, however long its shots are."""

import pytest

from drivers.errors import InterlockTripped
from rig.on_time import MARGIN_S, OnTime


class Hand:
    """A clock moved by hand."""

    ns = 0

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, duration_s: float) -> None:
        self.ns += round(duration_s * 1e9)


def test_it_counts_from_the_first_level_and_a_break_begins_anew() -> None:
    clock = Hand()
    on = OnTime(2.0, clock)
    clock.sleep(100)
    on.check()
    for level_v in (20.0, 10.0, -20.0):  # one level after the other without a break
        on.level(level_v)
        clock.sleep((2.0 + MARGIN_S) / 3)
        on.check()
    clock.sleep(0.01)
    with pytest.raises(InterlockTripped, match=r"on for 3.01 s, allowed 2 s"):
        on.check()
    on.level(0.0)
    on.check()
    on.level(20.0)
    clock.sleep(2.5)
    on.check()
