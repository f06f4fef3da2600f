import threading
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from replayed_run import ReplayedRun
from watched_feed import Clock, Watched, opened, shown

from drivers.errors import RecordError
from gui.run_feed import RunFeed
from rig import OnOff, Session
from rig.measurements.catalogue import record_of
from rig.measurements.switching_record import SwitchingRecord
from rig.reduction import BANDS
from rig.run_state import Progress
from rig.runfile import Flag, Run, open_run
from rig.sequence import Mode, Sequence


@pytest.fixture(scope="module")
def record(run_file: Path) -> SwitchingRecord:
    return record_of(run_file)


def whole_run(live: ReplayedRun, watched: Watched) -> None:
    """Play the run with its blocks, the window looking on all the time."""
    watched.feed.open(live.path)
    stretches = live.rows["stretch"]
    for stretch in np.unique(stretches):
        left = int((stretches == stretch).sum())
        while left > 0:
            live.arrive(min(37, left))
            left -= 37
            watched.turns(1)
        live.end_block()
        watched.turns(1)
    live.read(slice(None))
    live.finish()
    watched.until(lambda: bool(watched.ended), "ended")
    watched.rest()


# --- the same as offline ---


@pytest.mark.parametrize("how", ["live", "finished"])
def test_means_and_numbers_are_those_of_the_report(
    how: str, live: ReplayedRun, watched: Watched, run_file: Path, record: SwitchingRecord
) -> None:
    if how == "live":
        whole_run(live, watched)
    else:
        opened(watched, run_file)
    assert record.means is not None
    assert record.result is not None
    for state in (0, 1):
        np.testing.assert_allclose(watched.feed.mean_spectrum(state), record.means.mean(state), rtol=1e-9, atol=1e-9)
    numbers, right = watched.feed.numbers, record.result
    assert numbers.contrast_535 == right.contrast_535
    assert numbers.ratio_520 == right.ratio_520
    for mine, theirs in ((numbers.on_peak_nm, right.on_peak_nm), (numbers.on_fwhm_nm, right.on_fwhm_nm)):
        assert mine.value == pytest.approx(theirs.value, rel=1e-9)
        assert mine.ci95 == pytest.approx(theirs.ci95, rel=1e-6)
    assert numbers.switched is right.switched is True


def test_live_and_finished_show_the_same(live: ReplayedRun, watched: Watched, run_file: Path, qtbot: QtBot) -> None:
    whole_run(live, watched)
    other = Watched(RunFeed(clock=Clock()), Clock())
    other = Watched(other.feed, other.feed._clock)  # type: ignore[arg-type]
    opened(other, run_file)
    for name in BANDS:
        np.testing.assert_array_equal(shown(watched, name), shown(other, name))
    assert watched.feed.stretches == other.feed.stretches
    assert watched.feed.waterfall is not None
    assert other.feed.waterfall is not None
    np.testing.assert_allclose(watched.feed.waterfall.rows, other.feed.waterfall.rows, rtol=1e-5, atol=0.01)
    assert watched.feed.numbers.shots == other.feed.numbers.shots
    other.feed.close()


def test_the_files_own_columns_are_what_is_drawn(watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    rows = open_run(run_file).frames()
    seen = (rows["flags"] & int(Flag.LEAD_IN | Flag.SATURATED | Flag.MISSED_PULSE)) == 0
    assert 700 < seen.sum() < len(rows)
    for name in BANDS:
        np.testing.assert_array_equal(shown(watched, name)[seen], rows[name][seen])
        assert np.isnan(shown(watched, name)[~seen]).all()
    assert watched.feed.traces is not None
    np.testing.assert_array_equal(watched.feed.traces.time_s, open_run(run_file).column("time_s"))


# --- while it is written ---


def test_frames_show_as_they_come_and_their_state_when_it_is_proven(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(100)
    watched.rest()
    assert len(shown(watched, "band_520")) == 100
    (expected,) = watched.feed.stretches
    assert (expected.state, expected.voltage_v, expected.proven) == (0, 0.0, False)
    assert watched.feed.mean_spectrum(0) is None
    assert watched.feed.numbers.shots.pending == 100
    live.end_block()
    watched.rest()
    (proven,) = watched.feed.stretches
    assert (proven.state, proven.cycle, proven.proven) == (0, 0, True)
    used = (live.rows["flags"][:100] == 0).sum()
    assert watched.feed.content is not None
    assert watched.feed.content.means is not None
    assert watched.feed.content.means.frames == (used, 0)
    assert watched.feed.numbers.shots.assigned == (live.rows["shot"][:100] >= 0).sum()


def test_a_final_row_is_read_again_even_when_the_next_block_has_begun(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(100)
    watched.turns(2)
    live.end_block()
    live.arrive(50)
    watched.rest()
    assert watched.feed.content is not None
    assert watched.feed.content.settled == 100
    assert [one.proven for one in watched.feed.stretches] == [True, False]


def test_a_saturated_frame_is_a_gap_at_once(live: ReplayedRun, watched: Watched) -> None:
    live.rows["flags"][20] |= int(Flag.SATURATED)
    watched.feed.open(live.path)
    live.arrive(40)
    watched.turns(2)
    assert np.flatnonzero(np.isnan(shown(watched, "band_535"))).tolist() == [20]


def test_a_frame_that_the_spectrometer_counted_and_never_gave_is_marked(live: ReplayedRun, watched: Watched) -> None:
    live.rows["frame_count"][30:] += 1
    watched.feed.open(live.path)
    live.arrive(25)
    watched.turns(1)
    live.arrive(25)
    watched.turns(2)
    assert watched.feed.traces is not None
    assert np.flatnonzero(watched.feed.traces.bad).tolist() == [30]


def test_a_reading_grows_old_until_the_next_one(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    live.arrive(20)
    live.read(slice(0, 1))
    watched.turns(10)
    assert watched.feed.readings is not None
    assert len(watched.feed.readings.voltage_v) == 1
    young = watched.feed.reading_age_s
    watched.clock.sleep(7.0)
    assert young is not None
    assert watched.feed.reading_age_s == pytest.approx(young + 7.0, abs=0.01)
    live.read(slice(1, 3))
    watched.turns(10)
    np.testing.assert_array_equal(watched.feed.readings.voltage_v, live.source.readings["voltage_v"][:3])


def test_a_reading_stands_where_its_frames_are_on_the_axis(watched: Watched, run_file: Path) -> None:
    opened(watched, run_file)
    rows, run = open_run(run_file).frames(), watched.feed
    data = rows["state"] >= 0
    told_s = run.traces.time_s[data] + rows["measured_age_s"][data]  # type: ignore[union-attr]
    assert run.readings is not None
    near = np.abs(told_s[:, None] - run.readings.time_s).min(axis=1)
    assert near.max() < 0.025


def test_a_turn_takes_no_longer_than_it_may(live: ReplayedRun, watched: Watched) -> None:
    live.arrive(800)
    live.end_block()
    watched.feed.open(live.path)
    watched.feed.poll()
    assert watched.feed.catching_up == 0  # all of it fits into the time of this clock
    watched.feed.set_bands((519.0, 2.0), (536.0, 2.0))
    watched.clock.now_ns = lambda: setattr(watched.clock, "t_ns", watched.clock.t_ns + 5_000_000) or watched.clock.t_ns  # type: ignore[method-assign]
    watched.feed.poll()
    assert watched.feed.catching_up > 0


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_run_of_the_bench_is_followed_to_its_end(mode: Mode, watched: Watched, tmp_path: Path) -> None:
    files: list[str] = []
    go_on = threading.Event()

    def observe(progress: Progress) -> None:
        if progress.file:
            files.append(progress.file)
        go_on.wait(0.003)  # else the run would be over before anybody looks

    sequence = Sequence.of(OnOff(on_time_s=0.1, off_time_s=0.1, cycles=3, settle_s=0.02), mode=mode)
    runs = threading.Thread(target=Session(out=tmp_path, seed=2).run, args=(sequence,), kwargs={"observe": observe})
    runs.start()
    seen: set[int] = set()
    expected: dict[int, int] = {}
    try:
        while runs.is_alive():
            if files and watched.feed.content is None:
                watched.feed.open(files[0])
            watched.turns(1)
            if watched.feed.traces is not None:
                seen.add(len(watched.feed.traces))
            expected |= {one.number: one.state for one in watched.feed.stretches if not one.proven}
    finally:
        go_on.set()
        runs.join()
    watched.rest()
    assert len(seen) > 5
    assert watched.ended == ["done"]
    assert watched.failed == []
    rows, right = open_run(files[0]).frames(), record_of(Path(files[0]))
    np.testing.assert_array_equal(shown(watched, "band_535")[rows["state"] >= 0], rows["band_535"][rows["state"] >= 0])
    assert right.means is not None
    np.testing.assert_allclose(watched.feed.mean_spectrum(1), right.means.mean(1), rtol=1e-9, atol=1e-9)
    proven = [one for one in watched.feed.stretches if one.state >= 0]
    assert [(one.state, one.cycle) for one in proven] == [(s, c) for c in range(3) for s in (0, 1)]
    assert {one.number: one.state for one in proven}.items() >= {n: s for n, s in expected.items() if n < 6}.items() != set()
    assert watched.feed.numbers.shots.lost == 0


def test_shots_that_left_no_frame_are_lost_once_their_block_has_ended(live: ReplayedRun, watched: Watched) -> None:
    watched.feed.open(live.path)
    first = int((live.rows["stretch"] == 0).sum())
    live.arrive(first - 7)
    watched.rest()
    assert watched.feed.numbers.shots.lost is None
    live.end_block()
    watched.rest()
    assert watched.feed.numbers.shots.lost == 7


def test_a_file_caught_while_it_is_written_is_no_trouble(
    live: ReplayedRun, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.feed.open(live.path)
    live.arrive(30)
    torn = iter([True, True, False])

    def ledger(run: Run) -> dict[str, object]:
        if next(torn, False):
            raise RecordError("this is no run file, or it is damaged: half a ledger")
        return {}

    monkeypatch.setattr(Run, "ledger", property(ledger))
    watched.turns(10)
    assert watched.failed == []
    assert len(shown(watched, "band_520")) == 30
