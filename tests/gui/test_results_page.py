"""Results: the same as the report's, growing block by block, in words where there are none."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QApplication, QLabel
from replayed_run import ReplayedRun

from gui.claims_table import VERDICT, ClaimsTable, interval_text
from gui.live_record import LiveRecord
from gui.result_view import ResultKind
from gui.results_page import ResultsPage
from gui.side_work import GivenUpError, SideWork
from gui.switching_view import SwitchingView, half_maximum, interval
from rig import OnOff, Session
from rig.analysis.switching import Verdict
from rig.control import Begun
from rig.measurements.catalogue import record_of
from rig.runfile import RunFile, open_run

CLAIM = Verdict("C19", "ON peak", "535 nm", 535.4, (535.3, 535.5), "nm", "535 ± 1 nm", True)


class Link(QObject):
    said = pyqtSignal(object)


def never() -> bool:
    return False


def begun(path: Path) -> Begun:
    return Begun(
        title="", sample="", measurement="on_off", mode="", file=str(path), shots_planned=1, duration_s=1.0, simulated=True
    )


@pytest.fixture
def make_page(qtbot, tmp_path) -> Iterator[Callable[..., ResultsPage]]:
    made: list[ResultsPage] = []

    def make(**options: Any) -> ResultsPage:
        context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
        page = ResultsPage(context, interval_s=0.05, **options)
        page.link = context.link
        qtbot.addWidget(page)
        page.show()
        made.append(page)
        return page

    yield make
    for page in made:
        page.close_page()


def claims_of(page: ResultsPage) -> str:
    view = page.view
    assert isinstance(view, SwitchingView)
    return view.claims.text()


# --- the reduction


def test_results_summed_up_block_by_block_are_those_of_the_report(run_file, tmp_path):
    run = ReplayedRun(run_file, tmp_path)
    record = LiveRecord(run.path)
    while run.arrived < len(run.rows):
        run.arrive(150)
        record.update(never)
        run.end_block()
        record.update(never)
    run.finish()

    found = record.update(never)

    expected = record_of(run_file)
    assert (found.ending, found.left, found.frames) == ("done", 0, len(run.rows))
    assert found.record.means is not None
    assert expected.means is not None
    assert found.record.means.frames.tolist() == expected.means.frames.tolist()
    assert np.allclose(found.record.means.per_cycle, expected.means.per_cycle, rtol=1e-12, atol=1e-9)
    for one, other in zip(found.record.verdicts, expected.verdicts, strict=True):
        assert (one.claim, one.passed) == (other.claim, other.passed)
        assert one.value == pytest.approx(other.value, rel=1e-9)
        assert (one.ci95 is None) == (other.ci95 is None)
        if other.ci95 is not None:
            assert one.ci95 == pytest.approx(other.ci95, rel=1e-6)


def test_frames_whose_block_has_not_ended_are_not_looked_at(run_file, tmp_path):
    run = ReplayedRun(run_file, tmp_path)
    record = LiveRecord(run.path)
    run.arrive(300)
    assert record.update(never).frames == 0

    run.end_block()
    run.arrive(100)

    assert record.update(never).frames == 300
    run.file.close()


def test_a_long_file_is_reduced_in_pieces_and_says_what_is_left(run_file):
    record = LiveRecord(run_file)

    first = record.update(never, budget_s=0.0)

    assert first.left > 0
    assert record.complete(never).left == 0


def test_a_reduction_that_nobody_wants_is_given_up(run_file):
    with pytest.raises(GivenUpError):
        LiveRecord(run_file).complete(lambda: True)


# --- the page


def test_a_chosen_run_shows_the_claims_of_its_report(qtbot, make_page, run_file):
    page = make_page()
    assert "no run is chosen" in page.words

    page.show_run(run_file)
    qtbot.waitUntil(lambda: page.view is not None)

    expected = ClaimsTable()
    qtbot.addWidget(expected)
    expected.show_verdicts(record_of(run_file).verdicts)
    assert claims_of(page) == expected.text()
    assert "C19\tON peak\t535." in claims_of(page)


def test_a_run_that_begins_is_followed_and_its_results_grow_with_every_block(qtbot, make_page, run_file, tmp_path):
    page, run = make_page(), ReplayedRun(run_file, tmp_path)

    page.link.said.emit(begun(run.path))
    qtbot.waitUntil(lambda: "no block has ended yet" in page.words)
    run.arrive(420)
    run.end_block()
    qtbot.waitUntil(lambda: page.view is not None)
    early = claims_of(page)
    run.arrive(len(run.rows))
    run.end_block()
    qtbot.waitUntil(lambda: claims_of(page) != early)
    run.finish()

    qtbot.waitUntil(lambda: any(label.text() == "done" for label in page.findChildren(QLabel)))


def test_what_nobody_sees_is_not_computed(qtbot, make_page, run_file):
    page = make_page()
    page.hide()

    page.show_run(run_file)
    qtbot.wait(200)
    assert page.view is None

    page.show()
    qtbot.waitUntil(lambda: page.view is not None)


def test_a_run_without_results_says_why(qtbot, make_page, tmp_path, run_file):
    path = tmp_path / "dark.h5"
    run = ReplayedRun(run_file, tmp_path)
    run.file.finish("stopped")
    shutil.move(run.path, path)
    page = make_page()

    page.show_run(path)

    qtbot.waitUntil(lambda: "because no frame is assigned" in page.words)


def test_a_measurement_that_the_page_does_not_know_is_named(qtbot, make_page, run_file, tmp_path):
    header = replace(open_run(run_file).header, measurement="threshold_curve")
    other = RunFile.create(tmp_path, "other", header, frame_capacity=10, reading_capacity=10)
    other.close()
    page = make_page()

    page.show_run(other.path)

    qtbot.waitUntil(lambda: 'measurement "threshold_curve"' in page.words)


def test_a_later_measurement_fits_in_by_one_line(qtbot, make_page, run_file):
    class Curve:
        def __init__(self) -> None:
            self.widget = QLabel()

        def show_found(self, found: Any) -> None:
            self.widget.setText(found.text)

    class Reduction:
        def update(self, abandoned: Callable[[], bool]) -> Any:
            return SimpleNamespace(ending="done", left=0, reason="", text="68 and 32 uJ/cm2")

    page = make_page(kinds={OnOff.name: ResultKind(lambda path: Reduction(), Curve)})

    page.show_run(run_file)
    qtbot.waitUntil(lambda: page.view is not None)

    assert page.view.widget.text() == "68 and 32 uJ/cm2"


@pytest.mark.parametrize("content", [None, b"", b"bad"])
def test_a_file_that_cannot_be_read_is_told_and_tried_again(qtbot, make_page, run_file, tmp_path, content, monkeypatch):
    monkeypatch.setattr("gui.results_page.RETRY_S", 0.05)
    path = tmp_path / "later.h5"
    if content is not None:
        path.write_bytes(content)
    page = make_page()

    page.show_run(path)
    qtbot.waitUntil(lambda: page.words.startswith("No results, because th"))
    shutil.copy(run_file, tmp_path / "whole")
    (tmp_path / "whole").replace(path)

    qtbot.waitUntil(lambda: page.view is not None)


def test_another_run_chosen_meanwhile_is_the_one_shown(qtbot, make_page, run_file, tmp_path):
    other = Session(out=tmp_path, seed=2).run(OnOff(on_time_s=0.1, off_time_s=0.1, cycles=1, settle_s=0.02)).path
    page = make_page()

    page.show_run(run_file)
    page.show_run(other)
    qtbot.waitUntil(lambda: page.view is not None)

    assert page.shown == other
    assert "too few cycles" in claims_of(page)


def test_a_defect_of_a_reduction_is_told_and_the_page_lives(qtbot, make_page, run_file):
    def broken(path: Path) -> Any:
        raise ZeroDivisionError("of somebody")

    page = make_page(kinds={OnOff.name: ResultKind(broken, lambda: None)})

    page.show_run(run_file)

    qtbot.waitUntil(lambda: "of somebody" in page.words)


# --- parts


def test_a_verdict_is_told_by_word_and_sign_not_by_colour_alone(qtbot):
    table = ClaimsTable()
    qtbot.addWidget(table)
    verdicts = [replace(CLAIM, passed=passed) for passed in (True, False, None)]

    table.show_verdicts(verdicts)

    assert [table.item(row, VERDICT).text() for row in range(3)] == ["✓ pass", "✗ FAIL", "… too few cycles"]


def test_the_claims_are_copied_as_a_spreadsheet_takes_them(qtbot):
    table = ClaimsTable()
    qtbot.addWidget(table)
    table.show_verdicts([CLAIM])

    table.copy()

    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text().splitlines()[1].split("\t")[:3] == ["C19", "ON peak", "535.40 ± 0.10 nm"]


@pytest.mark.parametrize(
    ("ci95", "text"),
    [
        ((535.43901, 535.44152), "535.4390 to 535.4415"),
        ((10.105, 10.267), "10.11 to 10.27"),
        ((-3.0, 5.0), "-3.0 to 5.0"),
        (None, "-"),
    ],
)
def test_an_interval_has_as_many_places_as_its_width_allows(ci95, text):
    assert interval_text(1.0, ci95) == text


def test_the_interval_of_a_mean_comes_from_the_scatter_of_its_parts():
    parts = np.array([[1.0], [2.0], [3.0], [2.0]])

    half = interval(parts)

    assert half == pytest.approx([3.1824 * np.sqrt(2.0 / 3.0) / 2.0], rel=1e-4)  # t of 3 degrees of freedom
    assert interval(parts[:1]) is None


def test_the_bar_of_the_width_lies_where_the_line_is_half_as_high():
    x = np.linspace(0.0, 10.0, 1001)
    light = np.exp(-0.5 * ((x - 4.0) / 0.5) ** 2)

    left, right, half = half_maximum(x, light, 4.0)

    assert (left, right, half) == pytest.approx((4.0 - 0.58871, 4.0 + 0.58871, 0.5), abs=1e-4)
    assert half_maximum(x, np.ones_like(x), 4.0) is None


def test_side_work_answers_in_order_and_ends_in_the_middle(qtbot):
    side = SideWork("test")
    answers: list[Any] = []

    def fails(abandoned: Callable[[], bool]) -> None:
        raise ValueError("no")

    side.ask(lambda abandoned: 1, answers.append, answers.append)
    side.ask(fails, answers.append, lambda error: answers.append(str(error)))
    side.ask(lambda abandoned: 3, answers.append, answers.append)
    qtbot.waitUntil(lambda: answers == [1, "no", 3])

    def endless(abandoned: Callable[[], bool]) -> None:
        while not abandoned():
            pass

    side.ask(endless, answers.append, answers.append)
    side.close()

    assert not side.ask(lambda abandoned: 4, answers.append, answers.append)
    assert answers == [1, "no", 3]
