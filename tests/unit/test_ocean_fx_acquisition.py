import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocean_fx_host import (
    ABORT,
    AVERAGES,
    BACK_TO_BACK,
    BUFFER_SIZE,
    BUFFERING,
    CLEAR,
    DELAY,
    GET,
    IDLE,
    INTEGRATION,
    MODE,
    MS,
    NOW,
    RECORDS,
    REMOVE,
    SIMULATE,
    START,
    U8,
    U32,
    US,
    WAITING,
    Bench,
)

from sim_instruments.ocean_fx import OceanFxQuirks
from sim_instruments.persona import Edges

# --- triggered acquisition --------------------------------------------------------------------------------------------


def test_one_record_per_edge_with_exact_times_and_counts():
    bench = Bench(ppm=8.0)
    start = bench.arm(integration_us=500)
    rises = [start + k * MS + 137 for k in range(1, 41)]
    bench.edges(*rises)
    bench.run(start + 60 * MS)
    assert bench.get(WAITING) == U32(40)
    got = bench.all_records()
    assert got.open_ns == rises
    assert got.close_ns == [t + 500 * US for t in rises]
    assert got.count == list(range(1, 41))
    assert got.time_us == [1_000_000 + (t + t * 8 // 10**6) // 1000 for t in rises]
    assert got.previous_count == [0, *got.count[:-1]]
    assert got.previous_time_us == [0, *got.time_us[:-1]]
    assert set(got.integration_us) == {500}
    assert set(got.averages) == {1}
    assert [set(column) for column in got.head[1:]] == [{64}, {4272}, {1}]
    assert bench.optics.asked == list(zip(got.open_ns, got.close_ns, strict=True))


def test_a_request_is_limited_and_answered_with_what_is_there():
    bench = Bench()
    start = bench.arm()
    assert len(bench.records()) == 0
    bench.edges(*(start + k * MS for k in range(1, 21)))
    bench.run(start + 30 * MS)
    assert bench.refused(RECORDS, U32(16), GET) == 6
    assert len(bench.records(0)) == 1
    assert [len(bench.records()) for _ in range(3)] == [15, 4, 0]


def test_delay_moves_the_exposure():
    bench = Bench()
    bench.set(DELAY, U32(50))
    start = bench.arm()
    bench.edges(start + MS)
    bench.run(start + 2 * MS)
    got = bench.records()
    assert got.open_ns == [start + MS + 50 * US]
    assert got.time_us == [1_000_000 + got.open_ns[0] // US]


def test_a_frame_is_there_when_the_detector_has_been_read_out():
    bench = Bench()
    start = bench.arm(integration_us=500)
    bench.edges(start + MS)
    bench.run(start + MS + 520 * US - 1)
    bench.send(WAITING)
    bench.run(start + MS + 520 * US)
    bench.send(WAITING)
    assert [answer.data for answer in (bench.answer(), bench.answer()) if answer] == [U32(0), U32(1)]


@pytest.mark.parametrize(("integration_us", "busy_us"), [(10, 222), (202, 222), (500, 520)])
def test_triggers_while_busy_leave_a_gap_in_time_but_none_in_the_count(integration_us: int, busy_us: int):
    bench = Bench()
    first = bench.arm(integration_us) + MS
    seen = [first, first + busy_us * US, first + 3 * busy_us * US]
    bench.edges(*sorted([*seen, seen[0] + 1, seen[1] - 1, seen[1] + busy_us * US - 1]))
    bench.run(first + 10 * MS)
    got = bench.records()
    assert got.open_ns == seen
    assert got.count == [1, 2, 3]
    assert np.diff(got.time_us).tolist() == [busy_us, 2 * busy_us]


def test_a_train_too_fast_loses_every_other_trigger():
    bench = Bench()
    first = bench.arm(integration_us=100) + MS
    bench.edges(*(first + k * 200 * US for k in range(20)))
    bench.run(first + 10 * MS)
    got = bench.records()
    assert got.open_ns == [first + k * 400 * US for k in range(10)]
    assert np.diff(got.count).tolist() == [1] * 9
    assert np.diff(got.time_us).tolist() == [400] * 9


@pytest.mark.parametrize(("low_v", "high_v"), [(0.0, 1.9), (0.9, 5.0), (0.0, float("nan")), (float("nan"), 5.0)])
def test_levels_that_are_not_ttl_trigger_nothing(low_v: float, high_v: float):
    bench = Bench()
    start = bench.arm()
    bench.edges(start + MS, low_v=low_v, high_v=high_v)
    bench.run(start + 5 * MS)
    assert len(bench.records()) == 0


def test_a_negative_pulse_triggers_at_its_end():
    bench = Bench()
    start = bench.arm()
    fall = np.array([start + MS])
    bench.fx.receive_edges("trigger", Edges(fall + 30 * US, fall, 0.0, 5.0))
    bench.run(start + 5 * MS)
    assert bench.records().open_ns == [start + MS + 30 * US]


def test_there_is_one_input():
    with pytest.raises(ValueError, match="no input"):
        Bench().fx.receive_edges("ext", Edges(np.array([1]), np.array([2]), 0.0, 5.0))


@pytest.mark.parametrize("mode", [0, 2, 0xFF])
def test_edges_mean_nothing_in_other_modes(mode: int):
    bench = Bench()
    start = bench.arm()
    bench.set(MODE, U8(mode))
    bench.edges(start + MS)
    bench.run(start + 5 * MS)
    assert bench.get(WAITING) == U32(0)
    assert bench.optics.asked == []


def test_abort_stops_the_exposure_and_all_further_ones_but_keeps_the_buffer():
    bench = Bench()
    start = bench.arm(integration_us=500)
    assert bench.get(IDLE) == b"\x00"
    bench.edges(start + 1 * MS, start + 2 * MS)
    bench.run(start + 2 * MS + 100 * US)
    bench.send(ABORT)
    bench.edges(start + 3 * MS)
    bench.run(start + 9 * MS)
    assert bench.get(IDLE) == b"\x01"
    assert bench.records().open_ns == [start + 1 * MS]
    bench.set(START)
    bench.edges(start + 20 * MS)
    bench.run(start + 25 * MS)
    got = bench.records()
    assert got.open_ns == [start + 20 * MS]
    assert got.count == [2]


def test_abort_gives_up_a_frame_that_is_being_read_out():
    bench = Bench()
    start = bench.arm(integration_us=100)
    bench.edges(start + MS)
    bench.run(start + MS + 200 * US)
    bench.send(ABORT)
    assert len(bench.optics.asked) == 1
    bench.run(start + 5 * MS)
    assert bench.get(WAITING) == U32(0)


# --- buffer -----------------------------------------------------------------------------------------------------------


def overrun(quirks: OceanFxQuirks) -> list[int]:
    bench = Bench(quirks=quirks)
    bench.set(BUFFER_SIZE, U32(5))
    start = bench.arm()
    bench.edges(*(start + k * MS for k in range(1, 9)))
    bench.run(start + 10 * MS)
    assert bench.get(WAITING) == U32(5)
    counts = bench.records(2).count
    bench.edges(*(start + k * MS for k in (20, 21)))
    bench.run(start + 30 * MS)
    return counts + bench.all_records().count


def test_overrun_leaves_a_gap_in_the_count():
    assert overrun(OceanFxQuirks(stale_first_frame=False)) == [1, 2, 3, 4, 5, 9, 10]


def test_overrun_can_lose_the_oldest():
    assert overrun(OceanFxQuirks(stale_first_frame=False, drops_oldest=True)) == [4, 5, 6, 7, 8, 9, 10]


def test_remove_oldest_and_clear():
    bench = Bench()
    start = bench.arm()
    bench.edges(*(start + k * MS for k in range(1, 9)))
    bench.run(start + 10 * MS)
    bench.set(REMOVE, U32(3))
    assert bench.records(2).count == [4, 5]
    bench.set(CLEAR)
    assert bench.get(WAITING) == U32(0)
    bench.edges(start + 20 * MS)
    bench.run(start + 30 * MS)
    assert bench.records().count == [9]


def test_without_buffering_nothing_is_kept():
    bench = Bench()
    start = bench.arm()
    bench.set(BUFFERING, U8(0))
    bench.edges(start + MS)
    bench.run(start + 5 * MS)
    assert bench.get(WAITING) == U32(0)
    assert len(bench.optics.asked) == 1


# --- several frames per trigger, several scans per frame, other modes -------------------------------------------------


def test_back_to_back_frames_follow_each_trigger():
    bench = Bench()
    bench.set(BACK_TO_BACK, U32(3))
    first = bench.arm() + MS
    bench.edges(first, first + 3 * 222 * US - 1, first + 2 * MS)
    bench.run(first + 5 * MS)
    got = bench.records()
    assert got.open_ns == [t + k * 222 * US for t in (first, first + 2 * MS) for k in range(3)]
    assert got.count == [1, 2, 3, 4, 5, 6]


def test_averaged_frames_are_rounded_means_stamped_at_the_first_scan():
    bench = Bench()
    bench.set(AVERAGES, struct.pack("<H", 4))
    first = bench.arm() + MS
    bench.edges(first, first + MS)
    for t in range(first, first + 3 * MS, 100 * US):
        bench.run(t)
    got = bench.records()
    assert got.count == [1, 2]
    assert got.time_us == [1_000_000 + t // US for t in (first, first + MS)]
    assert got.averages == [4, 4]
    # exposures 0..3 and 4..7: means 1.5 and 5.5, rounded up
    assert got.pixels[:, 8].tolist() == [2, 6]
    assert len(bench.optics.asked) == 8


def test_software_trigger_makes_one_exposure():
    bench = Bench()
    bench.set(INTEGRATION, U32(300))
    bench.set(BUFFERING, U8(1))
    for _ in range(2):
        sent_ns = bench.t
        bench.set(SIMULATE)
        bench.run(bench.t + MS)
        assert bench.records().open_ns == [sent_ns]
    assert len(bench.records()) == 0
    bench.set(MODE, U8(0xFF))
    assert bench.refused(SIMULATE) == 7


def test_free_running_from_start_to_abort():
    bench = Bench()
    bench.set(INTEGRATION, U32(300))
    assert bench.refused(START) == 7
    bench.set(BUFFERING, U8(1))
    began = bench.t
    bench.set(START)
    assert bench.get(IDLE) == b"\x00"
    bench.run(began + 10 * 320 * US)
    bench.send(ABORT)
    bench.run(began + 20 * MS)
    assert bench.get(IDLE) == b"\x01"
    got = bench.all_records()
    assert got.open_ns == [began + k * 320 * US for k in range(10)]


def test_internal_sync_exposes_at_its_own_period():
    bench = Bench()
    bench.set(INTEGRATION, U32(100))
    bench.set(BUFFERING, U8(1))
    bench.set(0x310010, U32(1000))
    bench.set(0x310011, U8(1))
    armed = bench.t
    bench.set(MODE, U8(2))
    bench.run(armed + 5 * MS + 500 * US)
    assert bench.records().open_ns == [armed + k * MS for k in range(1, 6)]


def test_spectrum_now_waits_for_an_edge_and_is_interrupted_by_a_change_of_mode():
    bench = Bench()
    start = bench.arm(integration_us=100)
    bench.send(NOW)
    assert bench.answer() is None
    bench.edges(start + MS)
    bench.run(start + 2 * MS)
    answer = bench.answer()
    assert answer is not None
    assert np.frombuffer(answer.data[:8], "<i8")[0] == start + MS
    bench.send(NOW)
    assert bench.refused(MODE, U8(0)) == 15
    acknowledgement = bench.answer()
    assert acknowledgement is not None
    assert (acknowledgement.type, acknowledgement.flags) == (MODE, 0x02)
    bench.set(MODE, U8(0xFF))
    assert bench.refused(NOW, flags=GET) == 7


def test_questions_for_spectra_sent_at_once_are_answered_in_turn():
    bench = Bench()
    bench.set(INTEGRATION, U32(1000))
    asked_ns = bench.t
    for _ in range(3):
        bench.send(NOW)
    answers = [bench.answer() for _ in range(3)]
    opened = [np.frombuffer(answer.data[:8], "<i8")[0] for answer in answers if answer]
    assert opened == [asked_ns + k * 1020 * US for k in range(3)]


def test_without_buffering_a_request_for_records_is_exposed_on_demand():
    bench = Bench()
    bench.set(INTEGRATION, U32(200))
    got = bench.records(8)
    assert np.diff(got.open_ns).tolist() == [222 * US] * 7
    assert len(got) == 8
    assert bench.get(WAITING) == U32(0)


def test_a_request_starts_the_burst_of_the_makers_speed_test():
    bench = Bench()
    bench.set(INTEGRATION, U32(10))
    bench.set(BACK_TO_BACK, U32(50_000))
    bench.set(BUFFERING, U8(1))
    began = bench.t
    assert len(bench.records()) == 0
    bench.run(began + 10 * MS)
    assert bench.records().open_ns == [began + k * 222 * US for k in range(15)]
    assert bench.get(WAITING) >= U32(30)


def test_a_request_starts_nothing_at_one_frame_per_trigger():
    bench = Bench()
    bench.set(BUFFERING, U8(1))
    assert len(bench.records()) == 0
    bench.run(bench.t + 50 * MS)
    assert bench.optics.asked == []


# --- stale first frame ------------------------------------------------------------------------------------------------


def test_first_frame_after_arming_is_dark_when_nothing_was_exposed():
    bench = Bench(stale=True)
    start = bench.arm()
    bench.edges(*(start + k * MS for k in (1, 2, 3)))
    bench.run(start + 5 * MS)
    got = bench.records()
    assert got.open_ns[0] == got.close_ns[0]
    assert got.open_ns[1:] == [start + 2 * MS, start + 3 * MS]
    assert got.time_us == [1_000_000 + (start + k * MS) // US for k in (1, 2, 3)]


@pytest.mark.parametrize("rearm", [(MODE, U8(1)), (CLEAR, b"")])
def test_first_frame_after_arming_again_shows_the_frame_before(rearm: tuple[int, bytes]):
    bench = Bench(stale=True)
    start = bench.arm()
    bench.edges(start + 1 * MS, start + 2 * MS)
    bench.run(start + 5 * MS)
    assert len(bench.records()) == 2
    bench.set(*rearm)
    bench.edges(start + 11 * MS, start + 12 * MS)
    bench.run(start + 15 * MS)
    got = bench.records()
    assert got.open_ns == [start + 2 * MS, start + 12 * MS]
    assert got.count == [3, 4]
    # the exposure whose light was not shown has been made all the same
    assert (start + 11 * MS, start + 11 * MS + 100 * US) in bench.optics.asked


def test_software_frames_are_not_stale():
    bench = Bench(stale=True)
    bench.set(INTEGRATION, U32(100))
    for _ in range(2):
        asked_ns = bench.t
        assert np.frombuffer(bench.get(NOW)[:8], "<i8")[0] == asked_ns


# --- properties -------------------------------------------------------------------------------------------------------


def history(cuts: list[int], gaps_us: list[int], averages: int, back_to_back: int) -> tuple[list[bytes], list[tuple[int, int]]]:
    """A run with a change of integration time in its midst, seen at the cuts only by the clock."""
    bench = Bench(stale=True)
    bench.set(AVERAGES, struct.pack("<H", averages))
    bench.set(BACK_TO_BACK, U32(back_to_back))
    start = bench.arm()
    rises = (start + 10 * US + np.cumsum(gaps_us) * US).tolist()
    events = sorted({start + c * US for c in cuts} | {start + 5 * MS, start + 40 * MS})
    for before, t in zip([start, *events], events, strict=False):
        bench.edges(*(r for r in rises if before < r <= t))
        bench.run(t)
        if t == start + 5 * MS:
            bench.send(INTEGRATION, U32(700))
    data: list[bytes] = []
    while piece := bench.get(RECORDS, U32(15)):
        data.append(piece)
    return data, bench.optics.asked


@given(
    st.lists(st.integers(1, 39_999), max_size=25),
    st.lists(st.integers(1, 2500), min_size=1, max_size=15),
    st.integers(1, 3),
    st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_how_often_the_clock_is_looked_at_changes_nothing(cuts: list[int], gaps_us: list[int], averages: int, frames: int):
    assert history(cuts, gaps_us, averages, frames) == history([], gaps_us, averages, frames)


def test_exposures_are_rendered_in_one_call_when_they_have_closed_and_somebody_asks():
    bench = Bench()
    start = bench.arm(integration_us=500)
    bench.edges(*(start + k * MS for k in range(1, 1001)))
    bench.run(start + 1000 * MS + 500 * US - 1)
    assert bench.optics.calls == 0
    assert bench.get(WAITING) == U32(999)
    assert (bench.optics.calls, len(bench.optics.asked)) == (1, 999)
    bench.run(start + 1001 * MS)
    assert bench.get(WAITING) == U32(1000)
    assert (bench.optics.calls, len(bench.optics.asked)) == (2, 1000)
