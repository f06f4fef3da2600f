"""Which part of a run is shown, and value axes that do not jump."""

from dataclasses import replace

import numpy as np
import pytest

from gui.pixel_columns import columns, extremes
from gui.run_stretches import Stretch
from gui.stretch_shade import StretchTable, merged
from gui.time_window import TimeWindow
from gui.value_range import ValueRange, round_above


def test_the_axis_of_a_whole_run_grows_in_steps_and_ends_with_the_run() -> None:
    window = TimeWindow()
    ends = set[float]()
    for newest_s in np.arange(0.0, 100.0, 0.1).tolist():
        window.advance(newest_s)
        assert window.range_s[0] == 0.0
        assert window.range_s[1] >= newest_s
        ends.add(window.range_s[1])
    assert len(ends) < 25
    window.advance(100.0, complete=True)
    assert window.range_s == (0.0, 100.0)


def test_a_rolling_window_begins_at_zero_and_then_rolls() -> None:
    window = TimeWindow(10.0)
    window.advance(3.0)
    assert window.range_s == (0.0, 10.0)
    window.advance(25.0)
    assert window.range_s == (15.0, 25.0)


def test_a_chosen_part_stays_whatever_comes() -> None:
    window = TimeWindow(10.0)
    window.choose(2.0, 3.0)
    window.advance(1000.0)
    assert window.range_s == (2.0, 3.0)
    window.auto()
    assert window.range_s == (990.0, 1000.0)


def test_a_pause_holds_the_time_and_what_is_the_newest() -> None:
    window = TimeWindow(10.0)
    window.advance(20.0)
    window.pause()
    window.advance(50.0)
    assert window.range_s == (10.0, 20.0)
    assert window.newest_s == 20.0
    window.zoom(0.5)
    assert window.range_s == (12.5, 17.5)
    window.resume()
    assert window.range_s == (40.0, 50.0)


def test_zooming_while_following_keeps_the_newest_in_sight() -> None:
    window = TimeWindow(10.0)
    window.advance(20.0)
    window.zoom(0.1)
    assert window.range_s == pytest.approx((19.0, 20.0))


@pytest.mark.parametrize(
    ("value", "above"), [(0.9, 1.0), (1.0, 1.0), (1.01, 1.2), (730.0, 800.0), (float("nan"), 1.0), (0.0, 1.0)]
)
def test_ends_are_round(value: float, above: float) -> None:
    assert round_above(value) == pytest.approx(above)


def test_a_value_axis_grows_at_once_and_shrinks_late() -> None:
    axis = ValueRange(10.0)
    assert axis.fit(0.0, 900.0, 0.0)[1] == 1000.0
    assert axis.fit(0.0, 2000.0, 0.1)[1] == 2500.0
    assert axis.fit(0.0, 900.0, 0.2)[1] == 2500.0
    assert axis.fit(0.0, 900.0, 3.1)[1] == 2500.0
    assert axis.fit(0.0, 900.0, 3.3)[1] == 1000.0


def test_a_value_axis_that_is_still_needed_does_not_shrink() -> None:
    axis = ValueRange(10.0)
    tops = {axis.fit(0.0, high, now)[1] for now, high in enumerate([2300.0, 900.0, 2200.0, 900.0, 900.0, 2300.0])}
    assert tops == {2500.0}


def test_noise_below_zero_is_inside_and_so_is_a_negative_current() -> None:
    axis = ValueRange(1e-9)
    bottom, top = axis.fit(-3e-6, 1e-6, 0.0)
    assert bottom <= -3e-6
    assert top >= 1e-6


def test_columns_keep_the_least_and_the_greatest_of_each_pixel() -> None:
    time_s = np.arange(10_000) * 1e-3
    values = np.zeros(10_000)
    values[5003], values[7001] = 9.0, -9.0
    shown_s, shown = columns(time_s, values, 0.0, 10.0, 100)
    assert len(shown) <= 2 * 102
    assert (shown.max(), shown.min()) == (9.0, -9.0)
    assert shown_s[np.argmax(shown)] == pytest.approx(5.0)


def test_few_numbers_are_all_drawn() -> None:
    time_s = np.arange(20.0)
    assert np.array_equal(columns(time_s, time_s, -1.0, 30.0, 100)[1], time_s)


def test_extremes_leave_out_what_is_no_number() -> None:
    assert extremes(np.array([np.nan, 2.0]), np.array([np.nan]), np.empty(0)) == (2.0, 2.0)
    assert extremes(np.array([np.nan])) == (0.0, 0.0)


def test_a_table_of_stretches_follows_what_is_proven_later() -> None:
    def stretch(number: int, last_s: float, *, proven: bool) -> Stretch:
        return Stretch(float(number), last_s, 0, number, number % 2, number // 2, 20.0 * (number % 2), proven=proven)

    table = StretchTable()
    stretches: list[Stretch] = []
    for number in range(50):
        stretches = [
            *[replace(one, last_s=one.first_s + 0.9, proven=True) for one in stretches[-3:]],
            stretch(number, number + 0.5, proven=False),
        ]
        everything = [*table._stretches[: max(0, number - 3)], *stretches]
        table.follow(everything)
        fresh = StretchTable(everything)
        for name in ("first_s", "last_s", "state", "cycle", "voltage_v"):
            assert np.array_equal(getattr(table, name), getattr(fresh, name))
    assert len(table) == 50
    assert table.now == (48.0, 49.5)
    table.follow([])
    assert len(table) == 0


def test_stretches_closer_than_a_pixel_are_drawn_as_one() -> None:
    first, last = merged(np.array([0.0, 1.0, 5.0]), np.array([0.9, 2.0, 6.0]), 0.5)
    assert first.tolist() == [0.0, 5.0]
    assert last.tolist() == [2.0, 6.0]
