"""Frames that are late, old, lost, too bright or never come: nothing of it is ever filed as what it is not."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent))
from bench_truth import truth_of
from watched_run import A_DAY_NS, at_time, watched_run, when_dark, when_on

from drivers.errors import LinkTimeout
from drivers.link import open_link
from rig.reduction import usable
from rig.runfile import Flag
from rig.safety import Confirmation

MODES = ("gated", "stepped")
SATURATED_COUNTS = 62_000
LOOKED_V = 1.0  # at most, at the contact before a run
PATIENCE_S = open_link.__kwdefaults__["timeout_s"]
Told = Callable[[str, object], None]


def unchanged(world: Any) -> None:
    """Nothing happens to this bench."""


# --- a source that is slower than it says -----------------------------------------------------------------------------


@pytest.mark.fault("Y3")
@pytest.mark.parametrize("late_ms", [0.3, 2.0, 4.5, 30.0])
def test_a_source_that_steps_later_than_it_promises_files_nothing_under_the_new_level(
    tmp_path: Path, late_ms: float, record_property: Told
) -> None:
    """Its own stamps show how late; what is later than the frames that are flagged leaves the block unassigned."""

    def slow(world: Any) -> None:
        meter = world.personas["voltage_source"].meter
        meter.quirks = replace(meter.quirks, trigger_latency_ns=meter.quirks.trigger_latency_ns + round(late_ms * 1e6))

    watched = watched_run(tmp_path, slow, "stepped")
    rows, truth = watched.rows, truth_of(watched.session, watched.run)
    late = np.abs(truth.voltage_v - rows["planned_voltage_v"]) > 0.1
    assert late.sum() >= int(late_ms)  # it did happen
    assert watched.wrong == 0
    assert watched.result.outcome.ledger.assigned == (550 if late_ms < 5 else 0)
    assert watched.world.terminal.record.voltage_v[-1] == 0.0
    record_property("kept", watched.kept())


@pytest.mark.fault("Y3", "I9")
def test_a_trigger_delay_that_somebody_has_set_since_it_was_prepared_files_nothing_wrongly(tmp_path: Path) -> None:
    """Every step comes 8 ms late: the source's stamps, which tell intervals only, look as they should."""

    def tamper(world: Any) -> None:
        source = world.personas["voltage_source"]
        when_dark(world, at_time(world, "voltage_source", lambda t_ns: source.receive(b":TRIG:DEL 0.008\n", t_ns)).append)

    watched = watched_run(tmp_path, tamper, "stepped")
    assert watched.wrong == 0
    assert watched.world.terminal.record.voltage_v[-1] == 0.0


# --- the spectrometer's buffer ----------------------------------------------------------------------------------------


@pytest.mark.fault("Y4")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("room", [2, 5, 9])
def test_a_buffer_that_overruns_loses_shots_and_shifts_none(
    tmp_path: Path, mode: str, room: int, record_property: Told
) -> None:
    def small(world: Any) -> None:
        buffer = world.personas["spectrometer"]._buffer
        assert not len(buffer)
        put = buffer.put

        def put_into_less(records: Any) -> None:
            buffer.size = room  # whatever it is set to
            put(records)

        buffer.put = put_into_less

    watched = watched_run(tmp_path, small, mode)
    frames = watched.result.as_json()["frames"]
    assert frames["lost"] > 20, "it did not overrun"
    assert watched.wrong == 0
    assert shots_off(watched) == 0
    assert watched.world.terminal.record.voltage_v[-1] == 0.0
    record_property("kept", watched.kept())


def shots_off(watched: Any) -> int:
    """Frames with a shot that is not the one whose pulse they show."""
    rows, record = watched.rows, watched.world.light_path.record
    device_us = watched.world.personas["spectrometer"].device_clock.at(record.exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(device_us, rows["device_time_us"].astype(np.int64))
    t_ns = record.exposures["open_ns"][place]
    wrong = 0
    for stretch in np.unique(rows["stretch"]):
        mine = (rows["stretch"] == stretch) & (rows["shot"] >= 0)
        steps = np.diff(t_ns[mine]) - 1_000_000 * np.diff(rows["shot"][mine])
        wrong += int(np.sum(np.abs(steps) > 100_000))
    return wrong


# --- an old frame -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("Y5")
@pytest.mark.parametrize("mode", MODES)
def test_the_old_frame_that_comes_first_after_arming_is_never_used(tmp_path: Path, mode: str) -> None:
    """The simulated spectrometer gives one each time: the light of the frame before."""
    watched = watched_run(tmp_path, unchanged, mode, cycles=2)
    rows, run = watched.rows, watched.run
    arms = np.flatnonzero(np.diff(rows["block"], prepend=-1))  # armed once per block
    assert len(arms) == (4 if mode == "gated" else 2)
    for first in arms[1:]:
        old, before = run.spectra(int(first), int(first) + 1)[0], run.spectra(int(first) - 1, int(first))[0]
        assert old.tobytes() == before.tobytes()  # it did happen
    assert (rows["flags"][arms] & int(Flag.LEAD_IN) != 0).all()
    assert (rows["shot"][arms] == -1).all()
    assert not usable(rows["flags"])[arms].any()


# --- a read that never returns ----------------------------------------------------------------------------------------


@pytest.mark.fault("Y6")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("moment", ["dark", "burst"])
def test_a_spectrometer_that_never_answers_again_ends_the_run_by_its_deadline(
    tmp_path: Path, mode: str, moment: str, record_property: Told
) -> None:
    asked: list[int] = []

    def tamper(world: Any) -> None:
        persona = world.personas["spectrometer"]
        receive = persona.receive

        def hang(t_ns: int) -> None:
            persona.reply_ready_ns = lambda t_ns: t_ns + A_DAY_NS
            persona.receive = lambda data, t_ns: (asked.append(t_ns), receive(data, t_ns))

        if moment == "dark":
            when_dark(world, hang)
        else:
            when_on(world, at_time(world, "voltage_source", hang).append)

    watched = watched_run(tmp_path, tamper, mode)
    late_ms = watched.off_ms(asked[0] + round(PATIENCE_S * 1e9))
    record_property("off_ms", late_ms)
    record_property("kept", watched.kept())
    assert isinstance(watched.result.outcome.fault, LinkTimeout)
    assert watched.result.outcome.safe.instruments["spectrometer"][0] is Confirmation.SENT
    assert watched.result.outcome.safe.instruments["voltage_source"][0] is Confirmation.CONFIRMED
    assert late_ms <= 100.0  # once the answer is overdue
    assert (max(watched.world.terminal.record.voltage_v) > LOOKED_V) == (moment == "burst")
    assert watched.wrong == 0


# --- too much light ---------------------------------------------------------------------------------------------------


@pytest.mark.fault("Y7")
@pytest.mark.parametrize("mode", MODES)
def test_frames_with_too_much_light_are_flagged_and_not_used(tmp_path: Path, mode: str) -> None:
    began: list[int] = []

    def gain_of_1000(world: Any) -> None:
        def brighten(light: Any, open_ns: Any, close_ns: Any, fluence_uj_cm2: Any) -> None:
            if began:
                light[(open_ns > began[0]) & (open_ns < began[0] + 100_000_000)] *= 1000

        world.light_path.light_faults.append(brighten)
        when_on(world, lambda t_ns: began.append(t_ns + 100_000_000))

    watched = watched_run(tmp_path, gain_of_1000, mode)
    rows, run = watched.rows, watched.run
    full = (run.spectra(0, run.count) >= SATURATED_COUNTS).any(axis=1)
    assert 90 <= full.sum() <= 110
    assert (rows["flags"][full] & int(Flag.SATURATED) != 0).all()
    assert not usable(rows["flags"])[full].any()
    used = usable(rows["flags"]) & (rows["planned_voltage_v"] == 20.0)
    trace = rows["band_535"][used]
    assert len(trace) > 150
    assert trace.max() < 10 * np.median(trace)  # a gap, not a wrong gain
    assert watched.wrong == 0


@pytest.mark.fault("Y7")
@pytest.mark.parametrize("mode", MODES)
def test_a_dark_level_that_jumps_is_not_filed_as_light(tmp_path: Path, mode: str) -> None:
    """2000 counts on every pixel from some moment on, as from a lamp or a detector that drifts."""
    began: list[int] = []

    def offset(world: Any) -> None:
        def jump(raw: NDArray[np.uint16], open_ns: NDArray[np.int64]) -> None:
            if began:
                raw[open_ns > began[0]] += np.uint16(2000)

        world.light_path.count_faults.append(jump)
        when_on(world, lambda t_ns: began.append(t_ns + 150_000_000))

    watched = watched_run(tmp_path, offset, mode)
    rows, run = watched.rows, watched.run
    assert run.dark is not None
    jumped = np.median(run.spectra(0, run.count), axis=1) > np.median(run.dark.mean) + 1000
    assert 100 < jumped.sum() < run.count
    assert not usable(rows["flags"])[jumped].any(), "frames on another dark level count as if they had more light"
