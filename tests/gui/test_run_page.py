"""The run page: what it says and shows of runs in every state, and what it leaves alone."""

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from PyQt5.QtCore import QObject, QPoint, QPointF, Qt, pyqtSignal
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui import theme
from gui.colour_bar import colour_index
from gui.run_page import RunPage
from gui.run_words import RunFacts, run_words
from rig.analysis.bands import band_slice, band_trace
from rig.analysis.correction import DarkStatistics
from rig.control import Begun, EngineStatus, RunProgress
from rig.measurements.catalogue import record_of
from rig.report.summary import value_text
from rig.runfile import Flag, open_run
from tests.gui.replayed_run import ReplayedRun


class Link(QObject):
    """What a page hears of the engine."""

    said = pyqtSignal(object)
    status_changed = pyqtSignal(object)
    status: EngineStatus | None = None


@pytest.fixture
def page(qtbot: QtBot, qapp: Any, tmp_path: Path) -> Generator[RunPage]:
    theme.apply(qapp, "dark")
    context: Any = SimpleNamespace(bench=None, link=Link(), out=tmp_path, simulated=True)
    made = RunPage(context)
    qtbot.addWidget(made)
    made.resize(1366, 640)
    made.show()
    yield made
    made.close_page()


@pytest.fixture
def replay(run_file: Path, tmp_path: Path) -> Generator[ReplayedRun]:
    made = ReplayedRun(run_file, tmp_path)
    yield made
    if made.file is not None:
        made.file.close()


def status(path: Path, state: Any = "running", **more: Any) -> EngineStatus:
    return EngineStatus(state=state, file=str(path), simulated=True, bench="", shots_planned=800, **more)


def heard(page: RunPage, event: object) -> None:
    link: Any = page.context.link
    link.said.emit(event)


def told(page: RunPage, now: EngineStatus) -> None:
    link: Any = page.context.link
    link.status_changed.emit(now)


def read_whole(page: RunPage, qtbot: QtBot, path: Path) -> None:
    page.show_run(path)
    frames = open_run(path).count
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == frames and not page.feed.catching_up)
    qtbot.waitUntil(lambda: page.views.numbers.text("contrast") != "–")
    page.views.draw(fresh=True, everything=True)


def drawn(page: RunPage, name: str = "band_535") -> tuple[np.ndarray, np.ndarray]:
    x, y = page.views.traces._curves[name].getData()
    return x, y


# --- what it says -----------------------------------------------------------------------------------------------------


def test_without_a_run_it_says_what_to_do(page: RunPage) -> None:
    assert "Start" in page.state.text()
    assert "Runs page" in page.state.text()


def test_a_finished_run_shows_the_numbers_of_its_report(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    qtbot.waitUntil(lambda: page.state.text().startswith("Done."))
    result = record_of(run_file).result
    assert result is not None
    numbers = page.views.numbers
    qtbot.waitUntil(lambda: numbers.text("contrast") == value_text(result.contrast_535))
    assert numbers.text("peak") == value_text(result.on_peak_nm)
    assert numbers.text("fwhm") == value_text(result.on_fwhm_nm)
    assert numbers.text("done") == "800"
    assert numbers.more("done") == "of 800"
    assert numbers.text("left") == "ended"


def test_a_file_that_is_none_is_told_with_its_name(page: RunPage, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "torn.h5").write_bytes(b"no run" * 100)
    page.show_run(tmp_path / "torn.h5")
    qtbot.waitUntil(lambda: "torn.h5 cannot be read" in page.state.text())


def test_a_run_that_begins_is_followed_by_itself(page: RunPage, qtbot: QtBot, run_file: Path, replay: ReplayedRun) -> None:
    read_whole(page, qtbot, run_file)
    begun = Begun(
        title="",
        sample="",
        measurement="on_off",
        mode="gated",
        file=str(replay.path),
        shots_planned=800,
        duration_s=1.0,
        simulated=True,
    )
    heard(page, begun)
    told(page, status(replay.path, left_s=72.0))
    heard(page, RunProgress(state="taking dark frames", shots_done=0, shots_planned=800))
    qtbot.waitUntil(lambda: "taking dark frames" in page.state.text())
    replay.arrive(100)
    qtbot.waitUntil(lambda: "cycle 1, OFF at 0 V (planned)" in page.state.text())
    assert page.views.numbers.text("left") == "1 min 12 s"
    assert page.views.numbers.text("done") == "100"


def test_an_attached_window_shows_the_run_that_is_under_way(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    replay.arrive(50)
    told(page, status(replay.path))
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 50)


@pytest.mark.parametrize(
    ("facts", "words", "kind"),
    [
        (RunFacts(file="a.h5", frames=3, ours=True, status=status(Path("a.h5"), "stopping")), "Stopping", "warning"),
        (
            RunFacts(file="a.h5", frames=3, ours=True, status=status(Path("a.h5"), "paused")),
            "Paused, everything off",
            "warning",
        ),
        (RunFacts(file="a.h5", frames=3, ours=True, status=status(Path("a.h5"), pausing=True)), "pauses after", "warning"),
        (RunFacts(file="a.h5", frames=3, ending="fault"), "fault", "alarm"),
        (RunFacts(file="a.h5", frames=3, ending="unfinished"), "rig recover", "alarm"),
        (RunFacts(status=status(Path("a.h5"), "latched")), "acknowledge", "alarm"),
        (RunFacts(file="a.h5", frames=3), "another program", "text"),
        (RunFacts(file="a.h5", ours=True, trouble="no file yet", status=status(Path("a.h5"))), "Preparing", "text"),
    ],
)
def test_every_state_has_its_words(facts: RunFacts, words: str, kind: str) -> None:
    said = run_words(facts)
    assert words in said[0]
    assert said[1] == kind


def test_a_simulated_run_says_so_in_every_plot(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    assert page.simulated.isVisible()
    assert all(pane._watermark.isVisible() for pane in page.views.panes)
    page.views.mark_simulated(False)
    assert not any(pane._watermark.isVisible() for pane in page.views.panes)


# --- traces -----------------------------------------------------------------------------------------------------------


def test_every_frame_of_a_short_run_is_drawn_as_it_is_in_the_file(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    rows = open_run(run_file).frames()
    hidden = (rows["flags"] & int(Flag.SATURATED | Flag.MISSED_PULSE | Flag.LEAD_IN)) != 0
    _, shown = drawn(page)
    assert set(shown[np.isfinite(shown)]) == set(rows["band_535"][~hidden])
    assert np.isnan(shown).sum() >= hidden.sum() > 0


def test_the_voltage_shades_the_traces_where_it_was_on(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    rows = open_run(run_file).frames()
    table, time_s = page.views._stretches, open_run(run_file).column("time_s")
    on = table.state == 1
    shaded = np.zeros(len(rows), bool)
    for first, last in zip(table.first_s[on], table.last_s[on], strict=True):
        shaded |= (time_s >= first) & (time_s <= last)
    assigned = rows["state"] >= 0
    assert assigned.sum() == 800
    assert np.array_equal(shaded[assigned], rows["state"][assigned] == 1)


def test_places_without_a_frame_have_the_colour_of_nothing() -> None:
    light = np.array([[np.nan, 0.0, 25.0, 100.0, 1e9, -1e9]], np.float32)
    assert colour_index(light, (0.0, 100.0)).tolist() == [[0, 1, 128, 255, 255, 1]]


def test_the_colours_of_an_opened_run_fit_at_once(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    qtbot.waitUntil(lambda: page.state.text().startswith("Done."))
    ring = page.feed.waterfall
    assert ring is not None
    assert ring.levels[1] == pytest.approx(float(np.percentile(ring.rows[:: max(1, len(ring) // 256)].max(axis=1), 99.7)))


def test_marks_of_bad_frames_can_be_hidden(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    replay.rows["flags"][50] |= int(Flag.SATURATED)
    replay.arrive(200)
    page.show_run(replay.path)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 200)
    page.views.draw(fresh=True, everything=True)
    assert page.views.traces._bad.xvals == [pytest.approx(page.feed.traces.time_s[50])]  # type: ignore[union-attr]
    assert np.isnan(drawn(page)[1][50])
    QTest.keyClick(page, Qt.Key.Key_F)
    page.refresh()
    assert page.views.traces._bad.xvals == []


def test_another_band_reduces_the_whole_run_again(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    run = open_run(run_file)
    before = drawn(page)[1].copy()
    page.views.spectrum._regions[1].setRegion((537.0, 541.0))
    page.views.spectrum._regions[1].sigRegionChangeFinished.emit(None)
    qtbot.waitUntil(lambda: not page.feed.catching_up)
    dark, content = run.dark, page.feed.content
    assert dark is not None
    assert content is not None
    assert content.bench is not None
    wanted, _ = band_trace(
        run.spectra(),
        dark.mean,
        run.header.nonlinearity,
        dark.hot,
        band_slice(run.wavelength_nm, 539.0, 2.0),
        content.bench.spectrometer.electrons_per_count,
        DarkStatistics(dark.mean, dark.variance, dark.hot).read_noise_counts,
    )
    page.refresh()
    shown = content.traces.trace("band_535")
    assert np.array_equal(shown[np.isfinite(shown)], wanted[np.isfinite(shown)])
    assert page.views.spectrum.reset_button.isVisible()
    assert "differ" in page.views.spectrum.reset_button.text()
    QTest.keyClick(page, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: not page.feed.catching_up)
    page.views.draw(fresh=True, everything=True)
    assert np.array_equal(drawn(page)[1], before, equal_nan=True)
    assert not page.views.spectrum.reset_button.isVisible()


def test_bands_typed_without_a_mouse_are_the_same(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    page.views.spectrum.form._boxes[0][0].setValue(518.5)
    page.views.spectrum.form.chosen.emit(page.views.spectrum.form.bands)
    assert page.feed.content is not None
    assert page.feed.content.bands["band_520"] == (518.5, 1.0)


# --- the view ---------------------------------------------------------------------------------------------------------


def test_a_paused_view_stands_still_while_the_run_goes_on(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    replay.arrive(200)
    page.show_run(replay.path)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 200)
    qtbot.waitUntil(lambda: len(drawn(page)[0]) >= 200)
    QTest.keyClick(page, Qt.Key.Key_P)
    held, x_range = drawn(page)[0].copy(), page.views._range
    spectrum = page.views.spectrum._curves["newest frame"].getData()[1].copy()
    replay.arrive(300)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 500)
    for _ in range(3):
        page.refresh()
    assert np.array_equal(drawn(page)[0], held)
    assert page.views._range == x_range
    assert np.array_equal(page.views.spectrum._curves["newest frame"].getData()[1], spectrum)
    QTest.keyClick(page, Qt.Key.Key_Minus)  # more of the axis, and still nothing later than the pause
    assert page.views._range[1] > x_range[1]
    assert drawn(page)[0][-1] <= held[-1] + 2e-3
    assert page.paused.isVisible()
    assert "PAUSED" in page.paused.text()
    QTest.keyClick(page, Qt.Key.Key_P)
    page.refresh()
    assert drawn(page)[0][-1] > held[-1]
    assert not page.paused.isVisible()


def test_keys_zoom_and_go_back_to_auto(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    whole = page.views._range
    QTest.keyClick(page, Qt.Key.Key_Plus)
    near = page.views._range
    assert near[1] - near[0] == pytest.approx(0.5 * (whole[1] - whole[0]))
    QTest.keyClick(page, Qt.Key.Key_Left)
    assert page.views._range[0] < near[0]
    assert page.length.currentText() == "Part chosen by hand"
    QTest.keyClick(page, Qt.Key.Key_A)
    assert page.views._range == whole
    assert page.length.currentText() == "Whole run"


def test_all_time_axes_show_the_same_part(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    moved = page.views.source.current
    moved.getViewBox().moved_axis = 0
    moved.setXRange(0.1, 0.3, padding=0)
    moved.getViewBox().sigRangeChangedManually.emit([True, False])
    page.refresh()
    shown = [plot.getViewBox().viewRange()[0] for plot in page.views._time_plots]
    assert shown == [pytest.approx([0.1, 0.3])] * len(shown)


def test_a_rolling_window_shows_the_newest_frames(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    page.window_s.follow(0.05)
    replay.arrive(400)
    page.show_run(replay.path)
    page.window_s.follow(0.05)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 400)
    page.views.draw(fresh=True, everything=True)
    newest_s = page.feed.traces.time_s[-1]  # type: ignore[union-attr]
    assert page.views._range == pytest.approx((newest_s - 0.05, newest_s))


def test_a_page_that_is_not_in_sight_draws_nothing_and_misses_nothing(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    page.show_run(replay.path)
    page.hide()
    before = page.views.drawings
    replay.arrive(300)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 300)
    assert page.views.drawings == before
    page.show()
    qtbot.waitUntil(lambda: len(drawn(page)[0]) >= 300)


def test_readings_are_shown_with_their_age(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    page.views.source.show_age(3.25, last_reading_s=1.0, newest_s=4.25, over=False, stepped=True)
    note = page.views.source.pane.note.text()
    assert "3.2 s old" in note
    assert "read when it ends" in note
    assert page.views.source._measured_v.opacity() < 1
    assert page.views.source._unknown[0].getRegion() == (1.0, 4.25)
    page.views.source.show_age(0.2, last_reading_s=4.0, newest_s=4.2, over=False, stepped=True)
    assert page.views.source._measured_v.opacity() == 1
    assert not page.views.source._unknown[0].isVisible()


def test_a_writer_that_died_is_told(page: RunPage, qtbot: QtBot, replay: ReplayedRun) -> None:
    replay.arrive(100)
    replay.file.close()
    page.show_run(replay.path)
    qtbot.waitUntil(lambda: "rig recover" in page.state.text())


def test_a_file_whose_wavelengths_make_no_sense_is_drawn_as_far_as_it_goes(
    page: RunPage, qtbot: QtBot, replay: ReplayedRun, tmp_path: Path
) -> None:
    replay.arrive(100)
    replay.end_block()
    replay.file.close()
    with h5py.File(replay.path, "r+") as file:
        file["entry/spectra/wavelength_nm"][...] = np.nan
    page.show_run(replay.path)
    qtbot.waitUntil(lambda: page.feed.traces is not None and len(page.feed.traces) == 100)
    page.views.draw(fresh=True, everything=True)
    assert len(drawn(page)[0]) >= 100


def test_a_new_theme_recolours_what_is_drawn(page: RunPage, qtbot: QtBot, qapp: Any, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    theme.apply(qapp, "light")
    assert page.views.traces._curves["band_535"].opts["pen"].color().name() == theme.LIGHT.band_535
    theme.apply(qapp, "dark")


def test_every_control_has_a_name_and_a_tip(page: RunPage) -> None:
    from PyQt5.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox

    controls = [
        one for kind in (QAbstractButton, QComboBox, QAbstractSpinBox) for one in page.findChildren(kind) if one.parent()
    ]
    ours = [one for one in controls if not one.objectName().startswith("qt_")]
    assert len(ours) > 10
    assert [one for one in ours if not one.toolTip() or not (one.accessibleName() or getattr(one, "text", str)())] == []


def wheel(page: RunPage, place: QPointF, canvas: Any) -> None:
    point = place.toPoint()
    event = QWheelEvent(
        QPointF(point),
        QPointF(canvas.viewport().mapToGlobal(point)),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButtons(Qt.MouseButton.NoButton),
        Qt.KeyboardModifiers(Qt.KeyboardModifier.NoModifier),
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas.viewport(), event)


def test_the_wheel_zooms_time_in_the_plot_and_counts_on_their_axis(page: RunPage, qtbot: QtBot, run_file: Path) -> None:
    read_whole(page, qtbot, run_file)
    traces = page.views.traces
    view = traces.plot.getViewBox()
    whole, counts = page.views._range, view.viewRange()[1]
    wheel(page, view.sceneBoundingRect().center(), traces.pane.canvas)
    page.refresh()
    assert page.views._range[1] - page.views._range[0] < whole[1] - whole[0]
    assert view.viewRange()[1] == counts
    near = page.views._range
    wheel(page, traces.plot.getAxis("left").sceneBoundingRect().center(), traces.pane.canvas)
    page.refresh()
    assert page.views._range == near
    assert view.viewRange()[1][1] < counts[1]
    page.views.draw(fresh=True, everything=True)
    assert view.viewRange()[1][1] < counts[1]
    place = view.sceneBoundingRect().center().toPoint()
    for part in (QTest.mouseClick, QTest.mouseDClick, QTest.mouseRelease):  # as a double click arrives
        part(traces.pane.canvas.viewport(), Qt.MouseButton.LeftButton, pos=place)
    page.refresh()
    assert page.views._range == whole
    assert view.viewRange()[1] == counts


def test_the_page_fits_a_small_screen(page: RunPage) -> None:
    assert page.minimumSizeHint().width() <= 1000
    assert page.minimumSizeHint().height() <= 560
