"""The table of faults is whole: every row has a test or steps done by hand, and docs/faults.md says what the code says."""

import json
import runpy
from collections import Counter
from pathlib import Path

import pytest
from fault_rows import ROWS, FaultRow
from marked_tests import MarkedTest, marked_tests

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_fault_table.py"))
NAMES = {row.name for row in ROWS}
FAMILIES = {"W": 14, "I": 11, "Y": 7, "P": 3, "X": 17, "C": 8, "R": 5}


def wanting(rows: tuple[FaultRow, ...], marked: list[MarkedTest]) -> list[str]:
    """What a table lacks."""
    tests = Counter(test.row for test in marked)
    unknown = [
        f"{test.test} marks {test.row}, which is no row" for test in marked if test.row not in {row.name for row in rows}
    ]
    return [words for row in rows if (words := row.wanting(tests[row.name]))] + unknown


@pytest.fixture(scope="module")
def marked() -> list[MarkedTest]:
    return marked_tests(TESTS)


def test_there_are_65_rows_and_each_is_there_once() -> None:
    assert len(ROWS) == 65
    assert [row.name for row in ROWS] == [f"{letter}{n}" for letter, last in FAMILIES.items() for n in range(1, last + 1)]


def test_every_fault_has_a_test_or_steps_by_hand_and_no_marker_is_unknown(marked: list[MarkedTest]) -> None:
    assert wanting(ROWS, marked) == []


def test_every_fault_has_a_test() -> None:
    assert [row.name for row in ROWS if not row.automatic] == []


def test_a_missing_row_is_found(marked: list[MarkedTest]) -> None:
    """The control: without the tests of one row that row, and only that one, is missed."""
    for row in ROWS:
        left = [test for test in marked if test.row != row.name]
        missed = {words.split()[0] for words in wanting(ROWS, left)} - {words.split()[0] for words in wanting(ROWS, marked)}
        assert missed == ({row.name} if row.automatic and left != marked else set())
    assert wanting((FaultRow("Z1", "what nobody tests", ("run",), "nothing", automatic=False),), []) != []
    assert wanting(ROWS, [*marked, MarkedTest("a.py::test_a", "W99")])[-1] == "a.py::test_a marks W99, which is no row"


def test_tests_that_are_marked_are_found_however_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "CASES = [1, pytest.param(2, marks=pytest.mark.fault('W3'))]\n"
        "pytestmark = [pytest.mark.slow, pytest.mark.fault('W9')]\n"
        "MANY = [pytest.param(n, marks=pytest.mark.fault(*rows)) for n, rows in ((5, ['W5']), ('late', ['W6', 'W7']))]\n"
        "@pytest.mark.parametrize('n', MANY)\n"
        "def test_many(n): ...\n"
        "@pytest.mark.fault('W1', 'W2')\n"
        "@pytest.mark.parametrize('n', [*CASES, pytest.param(3, marks=[pytest.mark.fault('W4')])])\n"
        "def test_one(n): ...\n"
        "@pytest.mark.fault('X1')\n"
        "class TestMany:\n"
        "    def test_two(self): ...\n"
        "    def other(self): ...\n"
        "TestMachine = Machine.TestCase\n"
        "TestMachine.pytestmark = pytest.mark.fault('Y1')\n",
        encoding="utf-8",
    )
    (tmp_path / "test_none.py").write_text("def test_none(): ...\n", encoding="utf-8")
    found: dict[str, set[str]] = {}
    for test in marked_tests(tmp_path):
        found.setdefault(test.test, set()).add(test.row)
    assert found == {
        "test_some.py::test_one": {"W1", "W2", "W3", "W4", "W9"},
        "test_some.py::test_many": {"W5", "W6", "W7", "W9"},
        "test_some.py::TestMany::test_two": {"X1", "W9"},
        "test_some.py::TestMachine": {"Y1", "W9"},
    }
    (tmp_path / "test_bad.py").write_text("@pytest.mark.fault(ROW)\ndef test_bad(): ...\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"test_bad.py:1: which rows are ROW\?"):
        marked_tests(tmp_path)


# --- the page ---------------------------------------------------------------------------------------------------------


def without_numbers(text: str) -> list[str]:
    """A page, its measured cells taken out."""
    columns = SCRIPT["COLUMNS"]
    places = [columns.index(name) for name in SCRIPT["MEASURED"]]
    lines: list[str] = []
    for line in text.splitlines():
        cells = line[2:-2].split(" | ")
        if line.startswith("| ") and len(cells) == len(columns) and cells[0] in NAMES:
            line = " | ".join("" if place in places else cell for place, cell in enumerate(cells))
        lines.append("" if line.startswith("Measured with ") else line)
    return lines


def test_the_page_says_what_the_code_says(marked: list[MarkedTest]) -> None:
    """Red after a test was marked, moved or renamed: run `python docs/make_fault_table.py`."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    fresh = "\n".join(SCRIPT["page"](marked, {}, "nothing yet"))
    assert without_numbers(text) == without_numbers(fresh)
    assert without_numbers(text.replace("| W1 |", "| W1 | x")) != without_numbers(fresh)
    assert SCRIPT["COMMANDS"] in text


def test_no_cell_breaks_the_table() -> None:
    for row in ROWS:
        assert "|" not in row.fault + row.holds
        assert row.layers


def test_numbers_stay_when_the_page_is_made_without_new_ones(marked: list[MarkedTest]) -> None:
    cells = {"W7": ("12 / 30 ms (4)", "9 of 9"), "P3": ("1 / 1 ms (1)", "–")}
    text = "\n".join(SCRIPT["page"](marked, cells, "Python 3, 2 processors"))
    kept = SCRIPT["stored"](text)
    assert {name: kept[name] for name in cells} == cells
    assert kept["W1"] == ("–", "–")
    assert set(kept) >= NAMES
    assert SCRIPT["measured_on"](text) == "Python 3, 2 processors"


def test_what_a_test_tells_reaches_its_row(pytester: pytest.Pytester) -> None:
    """Parameters with a marker of their own count for their own row."""
    pytester.makeini("[pytest]\nmarkers = fault(*rows): rows")
    pytester.makeconftest((TESTS / "faults" / "fault_times.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("ms", [3.0, pytest.param(5.0, marks=pytest.mark.fault("W2"))])
        @pytest.mark.fault("W1")
        def test_one(ms, record_property):
            record_property("off_ms", ms)
            record_property("off_ms", 10 * ms)
            record_property("kept", "7 of 9 frames")
            record_property("kept", "all events")

        def test_unmarked(record_property):
            record_property("off_ms", 99.0)
        """
    )
    pytester.runpytest_inprocess("--fault-times", "times.json", "-p", "no:cacheprovider").assert_outcomes(passed=3)
    times = json.loads((pytester.path / "times.json").read_text(encoding="utf-8"))
    rows = SCRIPT["measured"]([times])
    assert rows["W1"].cells() == ("17.5 / 50 ms (4)", "14 of 18 frames; all events")
    assert rows["W2"].cells() == ("27.5 / 50 ms (2)", "7 of 9 frames; all events")
    assert rows["W3"].cells() == ("–", "–")
    times["tests"][0]["outcome"] = "failed"
    with pytest.raises(ValueError, match="no table of tests that fail"):
        SCRIPT["measured"]([times])
