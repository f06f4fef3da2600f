"""A laser that is its own clock: bursts begin with it, frames are never filed wrongly, and only the shutter keeps it away."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_truth import shifted, truth_of, wrong_frames
from other_benches import at_rate, laser_as_master, other_bench

from drivers.errors import CompileError
from rig.measurements.on_off import OnOff
from rig.runfile import open_run
from rig.runner import FinishReason, Progress, RunState, StopRequest
from rig.sequence import Sequence
from rig.session import RunResult, Session

MODES = ("gated", "stepped")
SHORT = {"cycles": 2, "on_time_s": 0.5, "off_time_s": 0.5}
OPEN_UJ_CM2 = 1.0  # a pulse with more has come through an open shutter; past a closed one come 0.004
MOVES_NS = 250_000_000  # command, echo and blades, to open and to close


def master(*changes: Any, **laser: float) -> Any:
    return other_bench(*changes, laser_as_master(**laser))


def run_one(folder: Path, mode: str, bench: Any = None, prepare_world: Any = lambda world: None) -> tuple[Session, RunResult]:
    session = Session(bench or master(), simulate=True, out=folder, seed=3, prepare_world=prepare_world)
    return session, session.run(Sequence.of(OnOff(**SHORT), mode=mode))


@pytest.fixture(scope="module", params=MODES)
def nominal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, RunResult]:
    return run_one(tmp_path_factory.mktemp("runs"), request.param)


def test_no_frame_is_filed_under_a_wrong_voltage(nominal: tuple[Session, RunResult]) -> None:
    session, result = nominal
    run = open_run(result.path)
    truth, rows = truth_of(session, run), run.frames()
    assert result.outcome.reason is FinishReason.DONE
    assert result.outcome.ledger.assigned == 2000
    assert wrong_frames(rows, truth) == 0
    assert wrong_frames(shifted(rows, 1), truth) >= 3  # the judge sees one shot of error at every edge
    assert np.all(truth.pulses[rows["shot"] >= 0] == 1)  # exactly one pulse in every exposure


def test_the_shutter_is_closed_outside_of_bursts(nominal: tuple[Session, RunResult]) -> None:
    session, result = nominal
    record = session.world.light_path.record
    flashes, exposures = record.pulses, record.exposures
    bright = flashes["fluence_uj_cm2"] > OPEN_UJ_CM2
    caught = exposures["pulses"] > 0
    lit_ns = exposures["open_ns"][caught][bright[exposures["first_pulse"][caught]]]
    edges = np.flatnonzero(np.diff(lit_ns) > 2_000_000)
    begins, ends = lit_ns[np.r_[0, edges + 1]], lit_ns[np.r_[edges, len(lit_ns) - 1]]
    bursts = sum(len(one.timeline.bursts) for one in result.plan.blocks)
    assert len(begins) == bursts
    t_ns = flashes["t_ns"]
    beside = np.array([np.any((begins - MOVES_NS <= t) & (t <= ends + MOVES_NS)) for t in t_ns[bright]])
    assert beside.all()
    for end, begin in zip(ends[:-1], begins[1:], strict=True):
        assert np.any(~bright[(t_ns > end) & (t_ns < begin)])  # the laser went on, and nothing of it came through
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())


def test_afterwards_the_laser_goes_on_and_the_film_is_dark(nominal: tuple[Session, RunResult]) -> None:
    session, result = nominal
    flashes = session.world.light_path.record.pulses
    seen_uj: list[float] = []
    session.world.beam.witnesses.append(lambda t_ns, energy_uj: seen_uj.extend(energy_uj.tolist()))
    before = len(flashes)
    session.world.sleep(1.0)
    assert len(seen_uj) == pytest.approx(1000, abs=2)
    assert max(seen_uj) < OPEN_UJ_CM2 * 0.01
    assert before >= 2000
    assert result.outcome.safe.safe


def test_a_stop_in_a_burst_closes_the_shutter(tmp_path: Path) -> None:
    stop = StopRequest()

    def observe(progress: Progress) -> None:
        if progress.state is RunState.COLLECTING and progress.shots_done > 200:
            stop.request("enough")

    session = Session(master(), simulate=True, out=tmp_path, seed=3)
    result = session.run(Sequence.of(OnOff(**SHORT), mode="gated"), stop=stop, observe=observe)
    assert result.outcome.reason is FinishReason.STOPPED
    flashes = session.world.light_path.record.pulses
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert np.sum(flashes["fluence_uj_cm2"] > OPEN_UJ_CM2) < 600
    run = open_run(result.path)
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0


@pytest.mark.fault("I11")
def test_a_laser_that_gives_no_sync_is_a_fault_that_ends_dark(tmp_path: Path) -> None:
    def unplug(world: Any) -> None:
        world.cables.remove(world.cable_to("laser_trigger.EXT"))

    session, result = run_one(tmp_path, "gated", prepare_world=unplug)
    assert result.outcome.reason is FinishReason.FAULT
    assert "laser" in str(result.outcome.fault)
    assert result.outcome.safe.safe
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())
    assert open_run(result.path).ledger["assigned"] == 0


@pytest.mark.parametrize("ppm", [20.0, -20.0])
def test_the_longest_burst_that_is_allowed_still_catches_every_pulse(tmp_path: Path, ppm: float) -> None:
    """Both clocks at their worst: the laser's at what the bench says, the generator's, exact here, is added to it."""
    bench = master(lambda t: t["laser_trigger"].update(clock_ppm=0.0), clock_ppm=20.0)

    def off_its_rate(world: Any) -> None:
        world._laser_clock._period_ns = 1e6 * (1 + ppm * 1e-6)

    session = Session(bench, simulate=True, out=tmp_path, seed=3, prepare_world=off_its_rate)
    longest_s = (int(refused_for(bench, 30.0).split("the longest burst is ")[1].split(" shots")[0]) - 1) * 1e-3
    times = {"on_time_s": round(longest_s, 3), "off_time_s": round(longest_s, 3), "cycles": 1}
    result = session.run(Sequence.of(OnOff(**times), mode="gated"))
    run = open_run(result.path)
    truth, rows = truth_of(session, run), run.frames()
    assert result.outcome.ledger.assigned == 2 * round(longest_s * 1000)
    assert np.all(truth.pulses[rows["shot"] >= 0] == 1)
    assert wrong_frames(rows, truth) == 0


def refused_for(bench: Any, time_s: float) -> str:
    with pytest.raises(CompileError) as caught:
        Session(bench, simulate=True).plan(Sequence.of(OnOff(on_time_s=time_s, off_time_s=time_s), mode="gated"))
    [reason] = caught.value.reasons
    assert reason.code == "laser-drifts-out"
    return reason.message


def test_a_burst_in_which_the_laser_drifts_out_is_refused_and_the_longest_named() -> None:
    bench = master()  # 20 ppm of the laser, 25 of the generator, 248 us of room
    message = refused_for(bench, 30.0)
    shots = int(message.split("the longest burst is ")[1].split(" shots")[0])
    assert shots == int((250_000 - 2_000 - 100) / (1e6 * 45e-6)) + 1
    session = Session(bench, simulate=True)
    data_s = round((shots - 1) * 1e-3, 3)
    allowed = session.plan(Sequence.of(OnOff(on_time_s=data_s, off_time_s=data_s), mode="gated"))
    assert max(burst.shots for one in allowed.blocks for burst in one.timeline.bursts) == shots
    refused_for(bench, data_s + 1e-3)


def test_the_generator_waits_for_the_laser_and_drives_nothing_at_it() -> None:
    [one, *_] = Session(master(), simulate=True).plan(Sequence.of(OnOff(**SHORT), mode="gated")).blocks
    trigger, pattern = one.programs.trigger, one.timeline.pattern
    assert trigger.start == "external_edge"
    assert [output.channel for output in trigger.outputs] == ["AB"]
    assert pattern.pulse_ns == 700_000
    assert pattern.open_ns + 2_000 <= pattern.pulse_ns <= pattern.close_ns - 2_000


@pytest.mark.fault("Y3")
def test_a_pulse_that_comes_before_the_source_has_settled_leaves_gated_blocks() -> None:
    bench = other_bench(laser_as_master(pulse_delay_s=100e-6))
    what = Session(bench, simulate=True).plan(Sequence.of(OnOff(**SHORT), mode="auto"))
    assert what.mode == "gated"
    assert "stepped blocks are not possible" in what.why


def test_at_20_hz_energies_are_filed_too_and_none_wrongly(tmp_path: Path) -> None:
    session = Session(master(at_rate(20.0)), simulate=True, out=tmp_path, seed=5)
    result = session.run(Sequence.of(OnOff(cycles=1, on_time_s=2.0, off_time_s=2.0, settle_s=0.3), mode="gated"))
    rows, record = open_run(result.path).frames(), session.world.light_path.record
    opened_us = session.world.personas["spectrometer"].device_clock.at(record.exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(opened_us, rows["device_time_us"].astype(np.int64))
    really = record.pulses["fluence_uj_cm2"][record.exposures["first_pulse"][place]] * session.world.beam.area_cm2
    known = np.isfinite(rows["pulse_energy_uj"])
    assert known.mean() > 0.5
    assert np.std(rows["pulse_energy_uj"][known] / really[known]) < 0.008


def test_a_laser_that_never_stops_is_calibrated_behind_its_shutter() -> None:
    seen: list[tuple[int, float]] = []

    def watched(world: Any) -> None:
        world.beam.witnesses.append(lambda t_ns, energy_uj: seen.extend(zip(t_ns.tolist(), energy_uj.tolist(), strict=True)))

    session = Session(master(), simulate=True, seed=3, prepare_world=watched)
    calibration = session.calibrate_fluence(pulses=10, points=12)
    assert calibration is not None
    assert calibration.rate_hz == 1000.0
    assert calibration.energy_open_uj == pytest.approx(1.6 * 1.045, rel=0.01)  # area and gain of this bench
    assert (calibration.zero_deg + 45) % 90 == pytest.approx(45.0, abs=0.2)
    before = len(seen)
    session.world.sleep(1.0)
    assert max(energy_uj for _, energy_uj in seen[before:]) < 0.01


def test_the_dose_of_pulses_beside_the_bursts_is_priced() -> None:
    sequence = Sequence.of(OnOff(**SHORT), mode="gated")
    fired = Session(other_bench(), simulate=True).plan(sequence).price
    free = Session(master(), simulate=True).plan(sequence).price
    assert free.shots == fired.shots
    assert free.dose_j_cm2 > 1.05 * fired.dose_j_cm2
    assert free.duration_s > fired.duration_s
