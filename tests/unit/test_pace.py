"""Simulated time is held back to a multiple of real time, and let go at once."""

from rig.pace import Pace


class Real:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.ns = 10**12

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, duration_s: float) -> None:
        self.ns += round(duration_s * 1e9)


def test_ten_times_as_fast_means_a_tenth_of_the_time() -> None:
    real = Real()
    pace = Pace(real)
    pace.speed = 10.0
    for step in range(101):
        pace.keep(step * 10**7, lambda: False)
    assert real.ns - 10**12 == 10**8


def test_without_a_speed_nothing_waits_and_a_stop_ends_the_waiting() -> None:
    real = Real()
    pace = Pace(real)
    pace.keep(10**15, lambda: False)
    assert real.ns == 10**12
    pace.speed = 1.0
    pace.keep(0, lambda: False)
    looks = iter([False, False, True])
    pace.keep(10**12, lambda: next(looks))
    assert real.ns - 10**12 == 2 * 20_000_000


def test_another_speed_counts_from_now_on() -> None:
    real = Real()
    pace = Pace(real)
    pace.speed = 1.0
    pace.keep(0, lambda: False)
    pace.keep(10**9, lambda: False)
    pace.speed = 100.0
    pace.keep(10**9, lambda: False)
    pace.keep(2 * 10**9, lambda: False)
    assert real.ns - 10**12 == 10**9 + 10**7
