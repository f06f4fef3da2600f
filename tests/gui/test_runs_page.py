"""The page of runs: choice and order, what is offered for which run, and what it does."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PyQt5.QtCore import QObject, Qt, pyqtSignal
from PyQt5.QtWidgets import QApplication
from replayed_run import ReplayedRun

from gui import theme
from gui.run_index import RUNNING, RunFacts
from gui.run_table import ANY, COLUMNS, RunTable
from gui.runs_page import RunsPage
from rig.analysis.statistics import Value
from rig.runfile import open_run

DESCENDING, ASCENDING = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder


class Link(QObject):
    said = pyqtSignal(object)


class Desk:
    """A page on a folder of runs, and what it asked of the computer."""

    def __init__(self, qtbot, folder: Path) -> None:
        self._qtbot = qtbot
        self.opened: list[Path] = []
        self.chosen: list[Path] = []
        self.asked: list[Path] = []
        self.folder = folder
        context: Any = SimpleNamespace(bench=None, link=Link(), out=folder, simulated=True)
        self.link = context.link
        self.page = RunsPage(context, opener=self._open, ask_folder=lambda where: folder / "elsewhere")
        self.page.run_chosen.connect(self.chosen.append)
        self.page.results_asked.connect(self.asked.append)
        qtbot.addWidget(self.page)
        self.page.resize(1300, 600)
        self.page.show()

    def _open(self, path: Path) -> bool:
        self.opened.append(path)
        return True

    def wait_for(self, path: Path, state: str = "done") -> None:
        def read() -> bool:
            facts = self.page.table.of(path)
            return facts is not None and facts.state == state

        self._qtbot.waitUntil(read, timeout=5000)

    def wait_note(self, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.page.note.text(), timeout=5000)

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.page.activateWindow()
        self.page.view.setFocus()
        self._qtbot.keyClick(self.page.view, key, modifier)

    def enabled(self) -> set[str]:
        return {name for name, button in self.page.buttons.items() if button.isEnabled()}


@pytest.fixture
def desk(qtbot, tmp_path) -> Iterator[Desk]:
    made = Desk(qtbot, tmp_path / "runs")
    made.folder.mkdir()
    yield made
    made.page.close_page()


@pytest.fixture
def run(desk, run_file) -> Path:
    path = desk.folder / "one.h5"
    shutil.copy(run_file, path)
    desk.page.refresh()
    desk.wait_for(path)
    return path


def facts(name: str, **known: Any) -> RunFacts:
    return RunFacts(Path(name), 1, 1, **{"state": "done", "when_s": 0.0, **known})


def names(table: RunTable) -> list[str]:
    return [one.path.name for row in range(table.rowCount()) if (one := table.facts(row)) is not None]


def column(name: str) -> int:
    return next(place for place, one in enumerate(COLUMNS) if one.name == name)


# --- the table


def test_the_newest_run_is_on_top(qtbot):
    table = RunTable()
    table.take([facts("old", when_s=1.0), facts("new", when_s=3.0), facts("middle", when_s=2.0)], [])

    assert names(table) == ["new", "middle", "old"]


@pytest.mark.parametrize(("order", "expected"), [(DESCENDING, ["b", "a", "none"]), (ASCENDING, ["a", "b", "none"])])
def test_runs_without_a_value_come_last_in_either_order(order, expected):
    table = RunTable()
    low, high = (Value(number, None, "") for number in (2.0, 9.0))
    table.take([facts("none"), facts("a", contrast_535=low), facts("b", contrast_535=high)], [])

    table.sort(column("ON/OFF"), order)

    assert names(table) == expected


@pytest.mark.parametrize(
    ("text", "state", "simulated", "expected"),
    [
        ("", ANY, None, {"a.h5", "b.h5", "c.h5"}),
        ("film-7", ANY, None, {"a.h5"}),
        ("FILM stepped", ANY, None, {"a.h5"}),
        ("film", ANY, None, {"a.h5", "b.h5"}),
        ("c.h5", ANY, None, {"c.h5"}),
        ("", "fault", None, {"b.h5"}),
        ("", ANY, False, {"b.h5"}),
        ("film", "done", True, {"a.h5"}),
        ("nothing of the kind", ANY, None, set()),
    ],
)
def test_every_word_of_the_filter_has_to_occur(text, state, simulated, expected):
    table = RunTable()
    table.take(
        [
            facts("a.h5", sample="Film-7", mode="stepped", measurement="on_off", simulated=True),
            facts("b.h5", sample="film-8", state="fault", simulated=False),
            facts("c.h5", simulated=True),
        ],
        [],
    )

    table.choose(text, state, simulated)

    assert set(names(table)) == expected


def test_a_row_that_is_read_later_takes_its_place_and_selections_stay_with_their_runs(desk, run):
    desk.page.select(run)

    desk.page.table.take([facts("younger", when_s=4e9), facts("older", when_s=1.0)], [])

    assert names(desk.page.table) == ["younger", "one.h5", "older"]
    assert [one.path for one in desk.page.selected] == [run]


def test_a_run_that_is_gone_leaves_the_list(qtbot):
    table = RunTable()
    table.take([facts("a"), facts("b")], [])

    table.take([], [Path("a"), Path("never seen")])

    assert names(table) == ["b"]


def test_a_simulated_run_says_so_in_its_row(desk, run):
    row = desk.page.table.row_of(run)

    assert desk.page.table.index(row, column("bench")).data() == "SIMULATED"


def test_a_thumbnail_is_painted_where_there_is_light(desk, run, qtbot):
    theme.apply(QApplication.instance(), "dark")
    dark = facts("dark.h5", when_s=1.0)
    desk.page.table.take([dark], [])
    qtbot.wait(50)

    def colours(row: int) -> int:
        place = desk.page.view.visualRect(desk.page.table.index(row, column("light")))
        image = desk.page.view.viewport().grab(place).toImage()
        return len({image.pixel(x, y) for x in range(image.width()) for y in range(image.height())})

    assert colours(desk.page.table.row_of(run)) > 20
    assert colours(desk.page.table.row_of(dark.path)) <= 2


# --- what is offered and done


def test_a_filter_that_nothing_passes_says_so(desk, run):
    desk.page.text.setText("nothing of the kind")

    desk.wait_note("change the filter")
    desk.page.text.setText("one.h5")

    desk._qtbot.waitUntil(lambda: desk.page.table.rowCount() == 1)


def test_an_empty_folder_says_what_to_do(desk, qtbot):
    desk.wait_note("press Start")


def test_enter_opens_the_selected_run_and_control_r_its_results(desk, run):
    desk.page.select(run)

    desk.press(Qt.Key.Key_Return)
    desk.press(Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)

    assert desk.chosen == [run]
    assert desk.asked == [run]


def test_an_unreadable_file_offers_nothing_but_its_folder_and_says_why(desk):
    path = desk.folder / "bad.h5"
    path.write_bytes(b"bad")
    desk.page.refresh()
    desk.wait_for(path, "unreadable")

    desk.page.select(path)
    desk.press(Qt.Key.Key_Return)

    assert desk.enabled() == {"reveal"}
    assert "no run file" in desk.page.note.text()
    assert desk.chosen == []


def test_a_run_that_goes_on_can_be_opened_but_not_recovered(desk, run_file, qtbot):
    live = ReplayedRun(run_file, desk.folder)
    live.arrive(50)
    desk.page.refresh()
    desk.wait_for(live.path, RUNNING)

    desk.page.select(live.path)

    assert {"open", "results", "figure", "report", "export", "reveal"} == desk.enabled()
    live.file.close()


def test_an_interrupted_run_is_recovered_and_it_is_told_what_was_done(desk, run_file):
    live = ReplayedRun(run_file, desk.folder)
    live.arrive(150)
    live.file.close()
    desk.page.refresh()
    desk.wait_for(live.path, "interrupted")
    desk.page.select(live.path)

    desk.page.buttons["recover"].click()

    desk.wait_note("again.h5 recovered: interrupted, 150 frames")
    desk._qtbot.waitUntil(lambda: (known := desk.page.table.of(live.path)) is not None and known.trimmed)
    assert "recovered" in desk.page.note.text()  # and is not covered up by the news that follow from it
    assert open_run(live.path).state == "interrupted"
    assert open_run(live.path).count == 150
    assert "recover" not in desk.enabled()


def test_what_is_exported_is_the_run(desk, run):
    desk.page.select(run)

    desk.page.buttons["export"].click()
    desk.wait_note("written to")

    traces = np.genfromtxt(desk.folder / "elsewhere" / "one_traces.csv", delimiter=",", skip_header=3)
    spectra = np.genfromtxt(desk.folder / "elsewhere" / "one_spectra.csv", delimiter=",", skip_header=2)
    assert len(traces) == open_run(run).count
    assert np.allclose(spectra[:, 2], open_run(run).result_arrays["mean_on"], rtol=1e-9, atol=1e-6)


def test_the_figure_beside_a_run_is_opened_and_drawn_when_there_is_none(desk, run):
    figure = run.with_suffix(".png")
    desk.page.select(run)

    desk.page.buttons["figure"].click()
    desk._qtbot.waitUntil(lambda: desk.opened == [figure], timeout=10_000)
    drawn = figure.stat()
    desk.page.buttons["figure"].click()

    assert desk.opened == [figure, figure]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_mtime_ns == drawn.st_mtime_ns


def test_the_report_of_a_run_is_written_beside_it_and_opened(desk, run):
    page = run.with_name(f"{run.stem}_report.html")
    desk.page.select(run)

    desk.page.buttons["report"].click()
    desk._qtbot.waitUntil(lambda: desk.opened == [page], timeout=20_000)
    assert "SIMULATED" in page.read_text("utf-8")


def test_a_figure_that_cannot_be_written_says_what_to_do(desk, run):
    (desk.folder / "one.png.part").mkdir()
    desk.page.select(run)

    desk.page.buttons["figure"].click()

    desk.wait_note("What to do")
    assert desk.opened == []


def test_two_runs_are_compared_and_one_is_not(desk, run, qtbot):
    other = desk.folder / "two.h5"
    shutil.copy(run, other)
    desk.page.refresh()
    desk.wait_for(other)
    desk.page.select(run)
    assert "compare" not in desk.enabled()

    desk.page.select(run, other)
    assert "compare" in desk.enabled()
    desk.press(Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: desk.page.stack.currentIndex() == 1)

    table = desk.page.comparison.table
    shown = {table.item(row, 4).text() for row in range(table.rowCount())}
    assert shown <= {"≈ within", "no interval", ""}
    assert "≈ within" in shown
    assert "SIMULATED" in desk.page.comparison.names.text()
    desk.page.show_list()
    assert desk.page.stack.currentIndex() == 0


def test_a_file_that_vanishes_before_it_is_compared_is_told(desk, run):
    other = desk.folder / "two.h5"
    shutil.copy(run, other)
    desk.page.refresh()
    desk.wait_for(other)
    desk.page.select(run, other)

    other.unlink()
    desk.page.buttons["compare"].click()

    desk.wait_note("there is no such run file")


def test_the_folder_of_a_run_is_shown(desk, run):
    desk.page.select(run)

    desk.press(Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)

    assert desk.opened == [desk.folder]


def test_runs_of_a_second_folder_join_the_list(desk, run, run_file):
    elsewhere = desk.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(run_file, elsewhere / "other.h5")

    desk.page._add_folder()

    desk.wait_for(elsewhere / "other.h5")
    assert desk.page.table.rowCount() == 2


def test_markup_in_names_and_texts_stays_text(desk, run_file):
    path = desk.folder / "<b>x.h5"
    shutil.copy(run_file, path)
    desk.page.refresh()
    desk.wait_for(path)

    desk.page.select(path)

    assert "<b>x.h5" in desk.page.note.text()
    assert desk.page.note.textFormat() == Qt.TextFormat.PlainText


def test_hundreds_of_files_are_listed_before_they_are_read(desk, run_file):
    first = desk.folder / "0.h5"
    shutil.copy(run_file, first)
    for number in range(1, 300):
        os.link(first, desk.folder / f"{number}.h5")

    counts: list[tuple[int, int]] = []
    desk.page.index.changed.connect(lambda change: counts.append((desk.page.table.rowCount(), change.left)))
    desk.page.refresh()
    desk._qtbot.waitUntil(lambda: any(rows == 300 for rows, _ in counts), timeout=10_000)

    at_first = next(left for rows, left in counts if rows == 300)
    assert at_first > 250
