"""The page of sequences: what the form refuses, what it asks to be started, and how the queue goes on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PyQt5.QtCore import QModelIndex, Qt
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from drivers.errors import RefusedError
from gui import theme
from gui.form_field import fields_of
from gui.plan_sketch import duration_text, price_rows, size_text, sketch
from gui.run_queue import RunQueue
from gui.sequence_check import SequenceChecker, Verdict, check_sequence
from gui.sequence_page import SequencePage
from gui.timeline_picture import TimelinePicture, columns, summary, ticks
from rig import OnOff
from rig.bench import default_bench
from rig.config_file import Loc, parse_document
from rig.control import Begun, Ended, EngineStatus, ErrorWords, HardwareWords, ReasonWords
from rig.frame_pattern import dark_frames
from rig.sequence import Sequence, parse_sequence
from rig.session import MEASUREMENTS, Session

ON_OFF = Path(__file__).parents[2] / "examples" / "on_off.toml"
SHORT = "[parameters]\ncycles = 1\non_time_s = 0.5\noff_time_s = 0.5\n"
HEAD = 'title = "t"\nsample = "s"\nmeasurement = "on_off"\n'
LONG = HEAD + 'mode = "gated"\n[parameters]\ncycles = 10000\non_time_s = 0.5\noff_time_s = 0.5\n'

# what is typed, and the same as somebody would write it in a file
NUMBERS = {
    typed: typed
    for typed in (
        "nan",
        "-inf",
        "1e9",
        "-1e9",
        "21.0",
        "-21.0",
        "0",
        "-0.0",
        "2.5",
        "0.0011",
        "1e-9",
        "61.0",
        "3",
        "true",
        "[1]",
    )
} | {"six": '"six"', "": '""', "0,5": '"0,5"', "5.": "5.0", "6 7": '"6 7"'}
TEXTS = {"x" * 301: f'"{"x" * 301}"', "": '""', "6": '"6"'}
CHOICES = {"sideways": '"sideways"', "stepped": '"stepped"'}
WRONG = {"number": NUMBERS, "whole": NUMBERS, "list": NUMBERS, "text": TEXTS, "choice": CHOICES, "switch": {"true": "true"}}


@pytest.fixture
def page(qtbot: QtBot) -> SequencePage:
    page = SequencePage(default_bench(), simulate=True, queue=RunQueue(), debounce_ms=0)
    qtbot.addWidget(page, before_close_func=lambda page: page.close_page())
    return page


def _load(page: SequencePage, qtbot: QtBot, text: str, folder: Path) -> Verdict:
    path = folder / "sequence.toml"
    path.write_text(text, "utf-8")
    return _verdict(page, qtbot, lambda: page.load(path))


def _verdict(page: SequencePage, qtbot: QtBot, act: Callable[[], object]) -> Verdict:
    with qtbot.waitSignal(page.checked, timeout=5000):
        act()
    assert page.verdict is not None
    return page.verdict


def _show(page: SequencePage, qtbot: QtBot) -> None:
    page.show()
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow, timeout=5000)


def _codes(text: str) -> set[str]:
    """What the compiler says, without any form."""
    try:
        Session(default_bench(), simulate=True).plan(parse_sequence(parse_document(text, Path("x.toml")), MEASUREMENTS))
    except RefusedError as error:
        return {reason.code for reason in error.reasons}
    return set()


def _shown(page: SequencePage) -> set[str]:
    """The codes that stand on the page."""
    told = [*(page.marks(field.loc) for field in page.fields), page.rest.text()]
    return {word[1:-1] for text in told for word in text.split() if word.startswith("[") and word[1:2].isalpha()}


# --- the form refuses what the compiler refuses


def _bad_values() -> list[tuple[str, Loc, str, str]]:
    cases: list[tuple[str, Loc, str, str]] = []
    for name, model in MEASUREMENTS.items():
        heading = [field for field in fields_of(Sequence) if field.loc in (("title",), ("sample",), ("mode",))]
        for field in [*heading, *fields_of(model, ("parameters",))]:  # pyright: ignore[reportArgumentType]
            for typed, written in WRONG.get(field.kind, {}).items():
                if typed or not field.optional:  # nothing in the box of what may be left out is no mistake
                    cases.append((name, field.loc, typed, written))
    return cases


def test_for_bad_values_of_every_field_the_form_says_what_the_compiler_says(page: SequencePage, qtbot: QtBot) -> None:
    cases, refused = _bad_values(), 0
    for measurement, loc, typed, written in cases:
        page.begin(measurement)
        page.enter(("title",), "t")
        keys = {"title": '"t"', "sample": '""', "mode": '"auto"'}
        lines = "".join(f"{key} = {written if loc == (key,) else value}\n" for key, value in keys.items())
        table = f"{loc[-1]} = {written}\n" if len(loc) > 1 else ""
        expected = _codes(f'{lines}measurement = "{measurement}"\n[parameters]\n{table}')
        verdict = _verdict(page, qtbot, lambda loc=loc, typed=typed: page.enter(loc, typed))
        what = f"{measurement} {loc}: {typed!r}"
        assert {reason.code for reason in verdict.reasons} == expected, what
        assert _shown(page) == expected, what
        assert (verdict.sketch is None) == bool(expected), what
        assert page.start.isEnabled() == (not expected), what
        if typed and len(loc) > 1 and page.form.box(loc).property("text") is not None:
            assert page.form.text(loc) == typed, what
        refused += bool(expected)
    assert refused > len(cases) / 2  # most of them are bad indeed


def test_mistakes_stand_beside_their_boxes_and_the_others_in_a_list(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _load(page, qtbot, ON_OFF.read_text("utf-8"), tmp_path)
    page.enter(("parameters", "voltage_on_v"), "25")
    _verdict(page, qtbot, lambda: page.enter(("parameters", "on_time_s"), "4"))
    assert "[voltage-above-limit]" in page.marks(("parameters", "voltage_on_v"))
    assert page.marks(("parameters", "cycles")) == ""
    assert {"[step-above-limit]", "[duty-above-limit]"} <= set(page.rest.text().split())
    assert page.picture.shown is None


def test_a_file_with_mistakes_is_opened_and_its_mistakes_are_shown(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    verdict = _load(page, qtbot, HEAD.replace("on_off", "of_on") + "[parameters]\ncycles = 0\n", tmp_path)
    assert {reason.code for reason in verdict.reasons} == {"wrong-choice"}
    assert "there is no measurement" in page.marks(("measurement",))
    _verdict(page, qtbot, lambda: page.enter(("measurement",), "on_off"))
    assert page.marks(("measurement",)) == ""
    assert "[out-of-range]" in page.marks(("parameters", "cycles"))


def test_unknown_keys_are_listed_and_can_be_taken_out(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _load(page, qtbot, f"{HEAD}{SHORT}cicles = 3\n", tmp_path)
    assert "parameters.cicles" in page.rest.text()
    assert not page.drop.isHidden()
    verdict = _verdict(page, qtbot, page.drop.click)
    assert verdict.reasons == ()
    assert page.drop.isHidden()


def test_a_file_that_is_no_toml_is_refused_in_words_and_leaves_the_form(
    page: SequencePage, qtbot: QtBot, tmp_path: Path
) -> None:
    _load(page, qtbot, HEAD + SHORT, tmp_path)
    (tmp_path / "broken.toml").write_text("title = \n")
    page.load(tmp_path / "broken.toml")
    assert "broken.toml:1" in page.message.text()
    assert page.form.text(("parameters", "on_time_s")) == "0.5"


# --- checking


def test_only_the_newest_text_is_answered(qtbot: QtBot) -> None:
    checker = SequenceChecker(default_bench(), simulate=True)
    answers: list[Verdict] = []
    checker.checked.connect(answers.append)
    checker.ask(LONG)
    qtbot.wait(50)
    checker.ask(HEAD + SHORT)
    qtbot.waitUntil(lambda: bool(answers), timeout=5000)
    assert [answer.text for answer in answers] == [HEAD + SHORT]
    checker.ask(LONG)
    qtbot.wait(20)
    checker.close()  # in the middle of it
    qtbot.wait(20)
    assert len(answers) == 1


def test_an_answer_that_comes_late_is_not_taken_for_the_newer_text(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    late = _load(page, qtbot, HEAD + SHORT, tmp_path)
    newer = _verdict(page, qtbot, lambda: page.enter(("parameters", "cycles"), "0"))
    page.checker.checked.emit(late)
    assert page.verdict is newer
    assert not page.start.isEnabled()


def test_an_abandoned_check_ends_after_the_block_that_it_is_at() -> None:
    asked = 0

    def abandoned() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    assert check_sequence(LONG, Session(default_bench(), simulate=True), abandoned) is None
    assert asked == 3


def test_the_page_waits_for_no_check(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _load(page, qtbot, HEAD + SHORT, tmp_path)
    page.enter(("parameters", "cycles"), "5")
    assert page.verdict is None
    assert not page.start.isEnabled()  # what was checked is no longer what is written
    assert not page.to_queue.isEnabled()


# --- start


def test_start_hands_over_the_text_that_was_checked_and_runs_nothing(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    text = f"{HEAD}# a comment\n{SHORT}"
    _load(page, qtbot, text, tmp_path)
    _show(page, qtbot)
    page.form.box(("parameters", "cycles")).setFocus()
    with qtbot.waitSignal(page.start_asked) as asked:
        qtbot.keyClick(page.form.box(("parameters", "cycles")), Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert asked.args == [text, "sequence.toml"]


@pytest.mark.parametrize(("state", "word"), [("running", "queue"), ("latched", "acknowledge")])
def test_nothing_is_started_while_the_engine_cannot(
    page: SequencePage, qtbot: QtBot, tmp_path: Path, state: str, word: str
) -> None:
    _load(page, qtbot, HEAD + SHORT, tmp_path)
    _show(page, qtbot)
    box = page.form.box(("parameters", "cycles"))
    box.setFocus()
    status = EngineStatus(state="idle", simulated=True, bench="b")
    page.set_status(status.model_copy(update={"state": state}))
    with qtbot.assertNotEmitted(page.start_asked):
        qtbot.keyClick(box, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert word in page.start.toolTip()
    assert page.to_queue.isEnabled()
    page.set_status(status)
    assert page.start.isEnabled()


def test_a_start_that_was_refused_is_told_in_full(page: SequencePage) -> None:
    reason = ReasonWords(code="run-under-way", where="", message="only one at a time")
    page.start_refused(ErrorWords(kind="RefusedError", what="A run is under way.", next_step="wait", reasons=(reason,)))
    assert {"A run is under way.", "only one at a time [run-under-way]", "wait"} == set(page.message.text().split("\n"))


# --- save


def test_saving_what_did_not_change_leaves_every_byte(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    text = f"# why\n{HEAD}{SHORT}".replace("\n", "\r\n")
    path = tmp_path / "sequence.toml"
    path.write_bytes(text.encode())
    _verdict(page, qtbot, lambda: page.load(path))
    assert page.save(tmp_path / "copy.toml")
    assert (tmp_path / "copy.toml").read_bytes() == text.encode()


def test_what_was_saved_is_opened_again_with_its_mistakes(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _load(page, qtbot, HEAD + SHORT, tmp_path)
    page.enter(("parameters", "voltage_on_v"), "twenty")
    assert page.save(tmp_path / "draft.toml")
    page.enter(("parameters", "voltage_on_v"), "1")
    _verdict(page, qtbot, lambda: page.load(tmp_path / "draft.toml"))
    assert page.form.text(("parameters", "voltage_on_v")) == "twenty"
    assert "[wrong-type]" in page.marks(("parameters", "voltage_on_v"))


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_lost(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _load(page, qtbot, HEAD + SHORT, tmp_path)
    page.enter(("title",), "new")
    assert not page.save(tmp_path / "nowhere" / "x.toml")
    assert "cannot be written" in page.message.text()
    assert page.draft.changed


# --- queue


def _begun(title: str, file: str) -> Begun:
    return Begun(
        title=title, sample="s", measurement="on_off", mode="gated", file=file, shots_planned=1, duration_s=1.0, simulated=True
    )


def _ended(file: str, state: str = "done") -> Ended:
    hardware = (HardwareWords(role="voltage_source", confirmation="CONFIRMED", detail=""),)
    return Ended(file=file, state=state, exit_code=0 if state == "done" else 3, hardware=hardware)


def _with_queue(page: SequencePage, qtbot: QtBot, tmp_path: Path, *titles: str) -> None:
    _show(page, qtbot)
    for title in titles:
        _load(page, qtbot, (HEAD + SHORT).replace('"t"', f'"{title}"'), tmp_path)
        page.to_queue.click()


def test_the_queue_asks_for_one_run_after_the_other_and_halts_after_a_stop(
    page: SequencePage, qtbot: QtBot, tmp_path: Path
) -> None:
    _with_queue(page, qtbot, tmp_path, "a", "b", "c")
    asked: list[str] = []
    page.start_asked.connect(lambda text, name: asked.append(text.partition("\n")[0]))
    page.heed(EngineStatus(state="idle", simulated=True, bench="b"))
    assert asked == []  # a person begins
    page.panel.go.click()
    page.heed(_begun("a", "a.h5"))
    assert asked == ['title = "a"']
    page.heed(_ended("a.h5"))
    assert asked == ['title = "a"', 'title = "b"']
    page.heed(_begun("b", "b.h5"))
    page.heed(_ended("b.h5", "stopped"))
    assert len(asked) == 2
    assert "b" in page.panel.status.text()
    qtbot.keyClick(page.panel.list, Qt.Key.Key_F8)
    assert asked[2:] == ['title = "c"']


def test_the_queue_waits_for_a_run_of_somebody_else(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "a")
    status = EngineStatus(state="running", simulated=True, bench="b", file="other.h5")
    page.set_status(status)
    with qtbot.assertNotEmitted(page.start_asked):
        page.panel.go.click()
    with qtbot.waitSignal(page.start_asked):
        page.set_status(status.model_copy(update={"state": "idle"}))


def test_the_form_starts_nothing_while_the_queue_waits_for_its_run_to_begin(
    page: SequencePage, qtbot: QtBot, tmp_path: Path
) -> None:
    _with_queue(page, qtbot, tmp_path, "a")
    assert page.start.isEnabled()
    page.panel.go.click()
    assert not page.start.isEnabled()
    page.heed(_begun("a", "a.h5"))
    page.heed(_ended("a.h5"))
    assert page.start.isEnabled()


def test_an_entry_is_a_copy_that_later_changes_do_not_reach(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "a")
    _verdict(page, qtbot, lambda: page.enter(("parameters", "voltage_on_v"), "5"))
    page.save(tmp_path / "sequence.toml")
    assert "voltage_on_v" not in page.queue.entries[0].toml


def test_a_queue_entry_that_the_engine_refuses_makes_room_for_the_next(
    page: SequencePage, qtbot: QtBot, tmp_path: Path
) -> None:
    _with_queue(page, qtbot, tmp_path, "a", "b")
    page.panel.go.click()
    with qtbot.waitSignal(page.start_asked) as asked:
        page.start_refused(ErrorWords(kind="CompileError", what="It does not fit."))
    assert asked.args is not None
    assert 'title = "b"' in asked.args[0]
    assert [entry.state for entry in page.queue.entries] == ["refused", "running"]


def test_entries_are_moved_and_taken_out_with_keys(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "a", "b", "c")
    page.panel.list.setFocus()
    page.panel.list.setCurrentRow(2)
    qtbot.keyClick(page.panel.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert [entry.title for entry in page.queue.entries] == ["a", "c", "b"]
    qtbot.keyClick(page.panel.list, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert [entry.title for entry in page.queue.entries] == ["c", "a", "b"]  # it goes with the entry, not with the row
    qtbot.keyClick(page.panel.list, Qt.Key.Key_Delete)
    assert [entry.title for entry in page.queue.entries] == ["a", "b"]


def test_delete_inside_a_box_of_the_form_takes_nothing_out_of_the_queue(
    page: SequencePage, qtbot: QtBot, tmp_path: Path
) -> None:
    _with_queue(page, qtbot, tmp_path, "a")
    box = page.heading.box(("title",))
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Delete)
    assert len(page.queue.entries) == 1


def test_a_drag_reorders_the_queue(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "a", "b", "c")
    model = page.panel.list.model()
    assert model is not None
    assert model.moveRow(QModelIndex(), 2, QModelIndex(), 0)  # what a drop inside the list does
    qtbot.waitUntil(lambda: [entry.title for entry in page.queue.entries] == ["c", "a", "b"], timeout=2000)


def test_enter_on_an_entry_opens_a_copy_of_it(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "a", "b")
    page.panel.list.setCurrentRow(0)
    _verdict(page, qtbot, lambda: page.panel.list.itemActivated.emit(page.panel.list.item(0)))
    assert page.heading.text(("title",)) == "a"


def test_what_others_wrote_is_shown_as_text_not_as_markup(page: SequencePage, qtbot: QtBot, tmp_path: Path) -> None:
    _with_queue(page, qtbot, tmp_path, "<b>bold</b>")
    item = page.panel.list.item(0)
    assert item is not None
    assert "<b>" not in item.toolTip()
    assert page.file.textFormat() == page.rest.textFormat() == Qt.TextFormat.PlainText


def test_the_page_says_what_the_measurement_does(page: SequencePage) -> None:
    assert page.about.text() == "Off for off_time_s, on for on_time_s, cycles times."
    assert "Source of the defaults" in page.about.toolTip()


def test_a_simulated_bench_says_so_a_real_one_does_not(page: SequencePage, qtbot: QtBot) -> None:
    assert page.bench_label.text().startswith("SIMULATED")
    real = SequencePage(default_bench(), simulate=False, debounce_ms=0)
    qtbot.addWidget(real, before_close_func=lambda page: page.close_page())
    assert "SIMULATED" not in real.bench_label.text()


# --- picture and price


def test_the_picture_has_every_burst_of_the_first_cycle_and_every_stretch() -> None:
    plan = Session().plan(OnOff(cycles=3))
    drawn = sketch(plan)
    assert plan.mode == "stepped"
    assert [burst.voltage_v for _, _, burst in drawn.first_bursts] == [0, 0, 20, 20, 0]
    assert drawn.level_v.tolist() == [0, 20] * 3
    assert drawn.on.tolist() == [False, True] * 3
    assert np.all(drawn.start_s[1:] > drawn.end_s[:-1])
    dark_s = dark_frames(plan.integration_ns) * plan.integration_ns * 1e-9
    assert drawn.end_s[-1] == pytest.approx(plan.price.duration_s - dark_s, abs=0.1)
    assert "pulse at 650 us" in summary(drawn)


def test_a_long_run_is_drawn_in_as_many_columns_as_the_picture_is_wide() -> None:
    start = np.arange(100_000.0)
    level = np.where(start % 2 == 0, 0.0, 20.0)
    level[77_777] = -5.0
    where, least, greatest = columns(start, start + 1, level, 100_000.0, 500)
    assert len(where) == 500
    assert (least.min(), greatest.max()) == (-5.0, 20.0)
    assert least[int(0.77777 * 500)] == -5.0


def test_ticks_are_round_and_within_the_axis() -> None:
    assert ticks(24.6) == [0, 5, 10, 15, 20]
    assert ticks(1000.0) == [0, 200, 400, 600, 800, 1000]
    assert ticks(0.0) == [0]
    assert all(1 < len(ticks(span)) <= 7 and ticks(span)[-1] <= span for span in np.geomspace(1e-6, 1e9, 200).tolist())


@pytest.mark.parametrize("name", theme.NAMES)
def test_the_picture_shows_voltage_and_pales_when_it_does_not_hold(qtbot: QtBot, name: str) -> None:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    look = theme.apply(application, name)
    picture = TimelinePicture()
    qtbot.addWidget(picture)
    picture.resize(700, 440)

    def pixels(colour: str) -> int:
        image = picture.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        bits = image.bits()
        assert bits is not None
        seen = np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8).reshape(image.height(), -1, 4)[..., :3]
        wanted = [int(colour[at : at + 2], 16) for at in (5, 3, 1)]
        return int((np.abs(seen.astype(int) - wanted).max(axis=2) < 30).sum())

    assert pixels(look.voltage) == 0
    picture.show_sketch(sketch(Session().plan(OnOff(cycles=3))))
    assert pixels(look.voltage) > 500
    picture.show_nothing("No timeline.")
    assert pixels(look.voltage) == 0
    assert picture.shown is None
    theme.apply(application, "dark")


def test_prices_are_written_for_people() -> None:
    rows = {name: value for name, value, _ in price_rows(Session().plan(OnOff()).price)}
    assert rows["Duration"] == "24.7 s"
    assert rows["File"] == "116 MB"
    assert rows["Bias"] == "240 V s"
    assert (duration_text(3725), duration_text(150), size_text(36.9e9)) == ("1 h 02 min", "2 min 30 s", "36.9 GB")
