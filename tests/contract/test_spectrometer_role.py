"""What every spectrometer has to do, judged by the exposures that the light path saw and the light that fell into them."""

from typing import Any

import numpy as np
import pytest
from role_bench import MS, US, RoleBench, State, of_role, states_of

from drivers.errors import InstrumentError, RefusedError
from drivers.link import LinkState
from drivers.roles import ExposureProgram, FrameBatch
from sim_instruments.world import FaultyCable

INTEGRATION_NS = 500 * US
LIT_COUNTS = 100  # of the brightest 3 % of the pixels above the median; in the dark it is 25, and three pixels are hot


PATIENCE_S = 0.025  # how long a spectrometer without a clock may look for its frame


def having_clock(has_clock: bool) -> list[Any]:
    return [model for model in of_role("spectrometer") if model.values[0][0].kind.has_clock is has_clock]


def let_the_beam_through(bench: RoleBench) -> None:
    """The usual fluence on the film, whatever stands in the pump beam."""
    if "attenuator" in bench.instruments:
        bench.instruments["attenuator"].prepare()
        bench.instruments["attenuator"].move_to(30.0)
    if "shutter" in bench.instruments:
        bench.instruments["shutter"].prepare()
        bench.instruments["shutter"].open()


def arm(bench: RoleBench) -> RoleBench:
    let_the_beam_through(bench)
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    bench.spectrometer.arm()
    return bench


@pytest.fixture(params=of_role("spectrometer"))
def bench(request: pytest.FixtureRequest) -> RoleBench:
    return RoleBench(*request.param)


@pytest.fixture(params=having_clock(True))
def armed(request: pytest.FixtureRequest) -> RoleBench:
    """One with a buffer, a frame count and a clock, armed."""
    return arm(RoleBench(*request.param))


@pytest.fixture(params=having_clock(False))
def single(request: pytest.FixtureRequest) -> RoleBench:
    """One that gives a single frame per request, armed."""
    return arm(RoleBench(*request.param))


def burst(bench: RoleBench, shots: int, period_ns: int = MS) -> None:
    bench.bursts(shots, period_ns)
    bench.laser.fire()
    bench.wait(shots * period_ns * 1e-9 + 0.02)


def drive_blindly(bench: RoleBench, count: int, gap_ns: int = MS) -> list[int]:
    """Edges at the spectrometer's input only, no light; returns when."""
    first_ns = bench.now_ns() + MS
    times = [first_ns + i * gap_ns for i in range(count)]
    bench.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=times)
    bench.wait(count * gap_ns * 1e-9 + 0.01)
    return times


def lit(spectra: np.ndarray) -> np.ndarray:
    return np.percentile(spectra, 97, axis=1) - np.median(spectra, axis=1) > LIT_COUNTS


@pytest.mark.parametrize("state", states_of("spectrometer"))
def test_prepare_leaves_it_idle_and_empty_whatever_was_before(bench: RoleBench, state: State) -> None:
    state(bench)
    info = bench.spectrometer.prepare()
    prepared_ns = bench.now_ns()
    assert len(bench.spectrometer.collect()) == 0
    drive_blindly(bench, 50)
    bench.wait(1.0)
    assert max(bench.exposures_ns(), default=0) <= prepared_ns
    assert len(bench.spectrometer.collect()) == 0
    assert bench.spectrometer.errors() == []
    assert (np.diff(info.wavelength_nm) > 0).all()
    assert info.wavelength_nm[0] < 500 < 560 < info.wavelength_nm[-1]
    assert info.integration_min_ns == bench.spectrometer.integration_min_ns
    assert info.integration_max_ns == bench.spectrometer.integration_max_ns


def test_it_says_of_its_wavelengths_and_its_nonlinearity_what_is_true(bench: RoleBench) -> None:
    info = bench.spectrometer.prepare()
    optics = bench.world.light_path
    pixel = np.arange(len(info.wavelength_nm)) + getattr(bench.spectrometer, "first_pixel", 0)
    assert info.wavelength_nm == pytest.approx(np.polynomial.Polynomial(optics.wavelength_coefficients)(pixel), abs=1e-3)
    assert info.nonlinearity == pytest.approx(optics.nonlinearity_coefficients, rel=1e-6)


@pytest.mark.parametrize(("shots", "period_ns"), [(1, MS), (14, MS), (15, MS), (16, MS), (123, MS), (20, 10 * MS)])
def test_every_trigger_gives_a_frame_with_count_and_time(armed: RoleBench, shots: int, period_ns: int) -> None:
    burst(armed, shots, period_ns)
    begins, _ = armed.pulses("AB")
    frames = armed.all_frames()
    assert armed.exposures_ns() == begins
    assert len(frames) == shots
    assert np.diff(frames.count).tolist() == [1] * (shots - 1)
    period_us = np.diff(frames.device_time_us.astype(np.int64))
    assert np.abs(period_us - period_ns / 1000).max(initial=0) <= 1
    assert frames.spectra.dtype == np.uint16
    assert frames.device_time_us.dtype == np.uint64
    assert frames.count.dtype == np.uint32


def test_the_pulse_that_fell_into_an_exposure_is_in_its_frame(armed: RoleBench) -> None:
    burst(armed, 30)
    frames = armed.all_frames()
    assert armed.exposures()["pulses"].tolist() == [1] * 30
    shown = lit(frames.spectra)
    assert shown[1:].all()
    assert not shown[0]  # stale: what the detector held before


@pytest.mark.fault("Y5")
def test_the_first_frame_after_arming_is_stale(armed: RoleBench) -> None:
    burst(armed, 10)
    earlier = armed.all_frames()
    assert lit(earlier.spectra[-1:]).all()
    armed.spectrometer.arm()
    drive_blindly(armed, 10)
    frames = armed.all_frames()
    assert len(frames) == 10
    assert (frames.spectra[0] == earlier.spectra[-1]).all()
    assert not lit(frames.spectra[1:]).any()


def test_arming_empties_the_buffer(armed: RoleBench) -> None:
    burst(armed, 20)
    armed.spectrometer.arm()
    assert len(armed.spectrometer.collect()) == 0
    burst(armed, 5)
    assert len(armed.all_frames()) == 5


def test_what_triggers_before_arming_is_thrown_away(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    drive_blindly(bench, 7)
    bench.spectrometer.arm()
    drive_blindly(bench, 4)
    assert len(bench.all_frames()) == (4 if bench.spectrometer.has_clock else 1)


def test_one_request_brings_so_many_frames_at_most(armed: RoleBench) -> None:
    most = armed.spectrometer.frames_per_request
    burst(armed, 2 * most + 3)
    batches = [armed.spectrometer.collect() for _ in range(4)]
    assert [len(batch) for batch in batches] == [most, most, 3, 0]
    counts = np.concatenate([batch.count for batch in batches])
    assert np.diff(counts).tolist() == [1] * (2 * most + 2)


def test_collecting_is_prompt_when_nothing_waits(armed: RoleBench) -> None:
    asked_ns = armed.now_ns()
    assert len(armed.spectrometer.collect()) == 0
    assert armed.now_ns() - asked_ns < 5 * MS


def test_frames_handed_out_stay_as_they_are(armed: RoleBench) -> None:
    burst(armed, 15)
    batch = armed.spectrometer.collect()
    kept = batch.spectra.copy(), batch.count.copy(), batch.device_time_us.copy()
    burst(armed, 15)
    armed.spectrometer.collect()
    assert all((a == b).all() for a, b in zip((batch.spectra, batch.count, batch.device_time_us), kept, strict=True))


@pytest.mark.parametrize("integration_ns", [10 * US, 500 * US, 30 * MS])
def test_a_software_trigger_makes_one_exposure_of_the_right_length(bench: RoleBench, integration_ns: int) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(integration_ns, "software"))
    bench.spectrometer.arm()
    before = len(bench.exposures_ns())
    frames: list[FrameBatch] = []
    for _ in range(3):
        bench.spectrometer.trigger()
        bench.wait(integration_ns * 1e-9 + 0.005)
        frames.append(bench.all_frames())
    assert [len(batch) for batch in frames] == [1, 1, 1]
    assert np.diff([batch.count[0] for batch in frames]).tolist() == [1, 1]
    exposures = bench.exposures()
    assert (exposures["close_ns"] - exposures["open_ns"])[before:].tolist() == [integration_ns] * 3


def test_edges_do_nothing_when_software_triggers(bench: RoleBench) -> None:
    bench.spectrometer.prepare()
    bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "software"))
    bench.spectrometer.arm()
    before = bench.exposures_ns()
    drive_blindly(bench, 10)
    assert bench.exposures_ns() == before
    assert len(bench.all_frames()) == 0


@pytest.mark.fault("Y1")
@pytest.mark.parametrize("lost", [0, 4, 9])
def test_a_trigger_that_never_came_shows_in_the_clock_only(armed: RoleBench, lost: int) -> None:
    armed.world.cable_to("spectrometer.trigger").fault = FaultyCable(lost=frozenset({lost}))
    burst(armed, 10)
    frames = armed.all_frames()
    assert len(frames) == 9
    assert np.diff(frames.count).tolist() == [1] * 8
    steps_ms = np.diff(frames.device_time_us.astype(np.int64)) / 1000
    expected = [1.0] * 8
    if lost == 4:
        expected[3] = 2.0
    assert steps_ms == pytest.approx(expected, abs=0.002)


def test_a_trigger_during_read_out_is_not_seen(armed: RoleBench) -> None:
    # twice as fast as an exposure and its read-out: every second trigger falls into one
    times = drive_blindly(armed, 20, (INTEGRATION_NS + armed.spectrometer.readout_ns) // 2 + US)
    frames = armed.all_frames()
    assert armed.exposures_ns() == times[::2]
    assert len(frames) == 10
    assert np.diff(frames.count).tolist() == [1] * 9


def test_the_read_out_is_no_longer_than_it_says(armed: RoleBench) -> None:
    times = drive_blindly(armed, 20, INTEGRATION_NS + armed.spectrometer.readout_ns)
    assert armed.exposures_ns() == times


@pytest.mark.parametrize("outside_ns", ["min - 1 us", "max + 1 us", "half a microsecond", "nothing", "negative"])
def test_an_impossible_integration_time_is_not_sent(bench: RoleBench, outside_ns: str) -> None:
    spectrometer = bench.spectrometer
    spectrometer.prepare()
    integration_ns = {
        "min - 1 us": spectrometer.integration_min_ns - US,
        "max + 1 us": spectrometer.integration_max_ns + US,
        "half a microsecond": INTEGRATION_NS + 500,
        "nothing": 0,
        "negative": -INTEGRATION_NS,
    }[outside_ns]
    before = len(bench.wires["spectrometer"].traffic)
    with pytest.raises(RefusedError):
        spectrometer.load(ExposureProgram(integration_ns, "external_edge"))
    assert len(bench.wires["spectrometer"].traffic) == before


def test_nothing_is_loaded_before_it_was_prepared(bench: RoleBench) -> None:
    with pytest.raises(InstrumentError):
        bench.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    drive_blindly(bench, 5)
    assert bench.exposures_ns() == []


def test_going_safe_keeps_what_waits_in_the_buffer(armed: RoleBench) -> None:
    burst(armed, 40)
    armed.spectrometer.make_safe()
    assert armed.spectrometer.read_safe().safe
    drive_blindly(armed, 10)
    frames = armed.all_frames()
    assert len(frames) == 40
    assert np.diff(frames.count).tolist() == [1] * 39


def test_loading_and_arming_again_after_going_safe(armed: RoleBench) -> None:
    armed.spectrometer.make_safe()
    armed.spectrometer.read_safe()
    armed.spectrometer.load(ExposureProgram(INTEGRATION_NS, "external_edge"))
    armed.spectrometer.arm()
    burst(armed, 12)
    assert len(armed.all_frames()) == 12


# --- without a clock, a frame count and a buffer ------------------------------------------------------------------------


def collected(bench: RoleBench, duration_s: float) -> FrameBatch:
    """What is collected without pause for some time."""
    until_ns = bench.now_ns() + round(duration_s * 1e9)
    batches = [bench.spectrometer.collect()]
    while bench.now_ns() < until_ns:
        batches.append(bench.spectrometer.collect())
    return FrameBatch(*(np.concatenate([getattr(b, name) for b in batches]) for name in ("spectra", "device_time_us", "count")))


def watched_burst(bench: RoleBench, shots: int, period_ns: int) -> FrameBatch:
    bench.bursts(shots, period_ns)
    bench.laser.fire()
    return collected(bench, shots * period_ns * 1e-9 + 0.02)


@pytest.mark.parametrize(("shots", "period_ns"), [(1, 20 * MS), (30, 10 * MS), (12, 50 * MS)])
def test_every_trigger_that_is_watched_gives_a_frame(single: RoleBench, shots: int, period_ns: int) -> None:
    before = len(single.exposures_ns())
    frames = watched_burst(single, shots, period_ns)
    assert single.exposures_ns()[before:] == single.pulses("AB")[0]
    assert len(frames) == shots
    assert np.diff(frames.count).tolist() == [1] * (shots - 1)
    assert (frames.spectra.dtype, frames.device_time_us.dtype, frames.count.dtype) == (np.uint16, np.uint64, np.uint32)
    assert frames.spectra.shape[1] == single.spectrometer.pixels


def test_the_host_s_time_of_a_watched_frame_is_that_of_its_trigger_and_a_delay(single: RoleBench) -> None:
    frames = watched_burst(single, 30, 10 * MS)
    begins_us = np.array(single.pulses("AB")[0]) / 1000
    delay_us = frames.device_time_us - begins_us
    assert 0 < delay_us.min()
    assert delay_us.max() - delay_us.min() <= 100  # a hundredth of the period
    assert delay_us.max() < single.spectrometer.readout_ns / 1000 + INTEGRATION_NS / 1000


def test_the_pulse_is_in_the_frame_of_its_trigger(single: RoleBench) -> None:
    frames = watched_burst(single, 10, 10 * MS)
    assert single.exposures()["pulses"][-10:].tolist() == [1] * 10
    assert lit(frames.spectra).all()
    single.spectrometer.arm()
    drive_blindly(single, 1)
    assert not lit(single.all_frames().spectra).any()


def test_one_request_is_one_exposure(single: RoleBench) -> None:
    before = len(single.exposures_ns())
    times = drive_blindly(single, 20)
    assert single.exposures_ns()[before:] == times[:1]
    assert len(single.all_frames()) == 1


def test_triggers_that_come_too_early_are_lost_silently(single: RoleBench) -> None:
    before = len(single.exposures_ns())
    first_ns = single.now_ns() + MS
    times = [first_ns + i * 3 * MS for i in range(40)]
    single.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=times)
    frames = collected(single, 0.15)
    assert single.exposures_ns()[before:] == times[::2]
    assert len(frames) == 20
    assert np.diff(frames.count).tolist() == [1] * 19
    assert single.spectrometer.errors() == []


@pytest.mark.fault("Y1")
def test_a_lost_trigger_leaves_twice_the_time_and_no_gap_in_the_count(single: RoleBench) -> None:
    single.world.cable_to("spectrometer.trigger").fault = FaultyCable(lost=frozenset({4}))
    frames = watched_burst(single, 10, 20 * MS)
    assert np.diff(frames.count).tolist() == [1] * 8
    steps_ms = np.diff(frames.device_time_us.astype(np.int64)) / 1000
    assert steps_ms == pytest.approx([20, 20, 20, 40, 20, 20, 20, 20], abs=0.2)


def test_arming_throws_away_what_waits(single: RoleBench) -> None:
    drive_blindly(single, 1)
    single.spectrometer.arm()
    assert len(single.spectrometer.collect()) == 0
    drive_blindly(single, 1)
    assert len(single.all_frames()) == 1


def test_nothing_waiting_costs_little_time_and_leaves_no_doubt(single: RoleBench) -> None:
    for _ in range(3):
        asked_ns = single.now_ns()
        assert len(single.spectrometer.collect()) == 0
        assert single.now_ns() - asked_ns < PATIENCE_S * 1e9
    assert single.links["spectrometer"].state is LinkState.READY
    assert len(watched_burst(single, 3, 10 * MS)) == 3


def test_what_was_exposed_after_going_safe_is_no_frame(single: RoleBench) -> None:
    single.spectrometer.make_safe()
    single.wait(0.05)  # the request that was open is served by the free running detector
    assert len(single.spectrometer.collect()) == 0
    assert single.spectrometer.read_safe().safe
    assert len(single.spectrometer.collect()) == 0
    with pytest.raises(InstrumentError, match="nothing loaded"):
        single.spectrometer.arm()


def test_loading_after_going_safe_starts_afresh(single: RoleBench) -> None:
    single.spectrometer.make_safe()
    single.spectrometer.read_safe()
    arm(single)
    assert len(watched_burst(single, 5, 10 * MS)) == 5


def test_it_is_not_triggered_by_software_while_it_waits_for_edges(single: RoleBench) -> None:
    told = len(single.wires["spectrometer"].traffic)
    with pytest.raises(InstrumentError):
        single.spectrometer.trigger()
    assert len(single.wires["spectrometer"].traffic) == told
