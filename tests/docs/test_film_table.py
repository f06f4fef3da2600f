"""docs/film.md says what the film gives today: the same rows, and values that a fresh measurement repeats."""

import re
import runpy
from pathlib import Path

import pytest
from film.film_rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_film_table.py"))
PAGE = (ROOT / "docs" / "film.md").read_text(encoding="utf-8")
LINES = [tuple(cell.strip() for cell in line[1:-1].split(" | ")) for line in PAGE.splitlines() if line.startswith("| ")]
STORED = [line for line in LINES if len(line) == len(SCRIPT["COLUMNS"]) and line != SCRIPT["COLUMNS"] and line[0] != "---"]


def test_the_page_has_the_rows_of_the_code_in_their_order() -> None:
    assert [line[:3] for line in STORED] == [SCRIPT["cells"](row)[:3] for row in ROWS]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.quantity for row in ROWS])
def test_a_stored_value_is_measured_again(number: int) -> None:
    """Up to one unit of the last digit printed: half of it was rounded away, half is left to other machines' arithmetic."""
    row, stored = ROWS[number], STORED[number]
    value = re.match(r"-?[\d.]+", stored[3])
    assert value is not None
    assert len(value[0].partition(".")[2]) == row.digits
    assert abs(float(value[0]) - row.measured.value) <= 10.0**-row.digits
    assert stored[4:] == SCRIPT["cells"](row)[4:]


def test_everything_passes_and_the_command_is_named() -> None:
    assert all(line[5] == "pass" for line in STORED)
    command = re.search(r"`python (docs/\S+)`", PAGE)
    assert command is not None
    assert (ROOT / command[1]).is_file()
