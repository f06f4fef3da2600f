"""Every number of the film's table, measured with the noise of the instruments, lies in its acceptance."""

import math
import re

import pytest
from film.film_rows import ROWS
from film.row import Measured, Row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.quantity)
def test_row(row: Row) -> None:
    assert row.passed, (row.measured, row.acceptance)


def test_rows_are_told_apart_and_complete() -> None:
    assert len({row.quantity for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert re.fullmatch(r"C\d\d|-", row.claim), row
        assert row.paper
        assert row.low < row.high


def test_a_row_judges() -> None:
    """A value outside, an interval that reaches out, an interval that is wanted and missing, and no number at all."""

    def verdict(value: float, half_width: float | None, *, whole: bool) -> bool:
        return Row("-", "q", "-", lambda: Measured(value, half_width), 1, 0.0, 1.0, whole=whole).passed

    assert verdict(0.9, 0.2, whole=False)
    assert verdict(0.9, 0.05, whole=True)
    assert not verdict(1.1, 0.05, whole=False)
    assert not verdict(0.9, 0.2, whole=True)
    assert not verdict(0.9, None, whole=True)
    assert not verdict(math.nan, None, whole=False)
