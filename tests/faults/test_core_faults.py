"""Ways in which a shot was once filed under a wrong voltage, data were lost or an output stayed on; each frozen as a test.

Where many moments are possible a few are tried; RIG_LONG=1 tries many more.
"""

import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pyvisa import ResourceManager

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from bench_truth import off_ms, truth_of, wrong_frames
from other_benches import nothing_in_the_beam, other_bench
from tampered_run import Tamper, leak, off, on_ns, run_on
from watched_run import when_on

from drivers.errors import ComplianceReached, InstrumentError, RecordError
from drivers.link import LinkState, open_link
from drivers.roles import SafeReadback, SourceReading
from rig.bench import default_bench
from rig.measurements.on_off import OnOff
from rig.runfile import Flag, open_run
from rig.runner import FinishReason, StopRequest
from rig.safety import Confirmation, make_safe
from rig.sequence import Sequence
from rig.session import RunResult, Session
from rig.source_record import Edge, list_mismatch
from sim_instruments.faults import FaultyCable
from sim_instruments.visa_library import library_for
from sim_instruments.world import START_NS, World

LONG = bool(os.environ.get("RIG_LONG"))
MODES = ("gated", "stepped")
ROLES = ("voltage_source", "laser_trigger", "spectrometer")
SPECTROMETER, LASER, SOURCE = "spectrometer.trigger", "laser.trigger", "voltage_source.trigger_link_1"
SHORT = {"cycles": 1, "on_time_s": 0.05, "off_time_s": 0.05, "settle_s": 0.005}
WATCHED = {"cycles": 1, "on_time_s": 0.3, "off_time_s": 0.25, "settle_s": 0.005}  # a few readings in each stretch
A_DAY_NS = 86_400 * 10**9


# --- the source limits its current, or falls silent -------------------------------------------------------------------


@pytest.mark.fault("I1", "P1")
@pytest.mark.parametrize("after_s", [0.02, 0.15, 0.295])
def test_compliance_inside_a_stepped_stretch(
    tmp_path: Path, after_s: float, record_property: Callable[[str, object], None]
) -> None:
    """The source measures at its edges only; it was fine at both, and 260 frames at 1 V were filed as 20 V in a run "done"."""
    session, result, run = run_on(tmp_path, leak(after_s), "stepped", WATCHED)
    record_property("off_ms", off_ms(session.world, on_ns(session) + round(after_s * 1e9)))
    record_property("kept", f"{run.count} of {result.outcome.ledger.received} frames")
    assert isinstance(result.outcome.fault, ComplianceReached)
    assert (run.column("flags")[run.column("planned_voltage_v") == 20.0] & int(Flag.COMPLIANCE) != 0).all()
    assert result.outcome.ledger.assigned == 250  # the stretch before is proven all the same


@pytest.mark.fault("I1", "P1")
def test_compliance_between_a_measurement_and_its_arrival(tmp_path: Path) -> None:
    """A reading that shows 20 V says nothing about what came between its measurement and its answer, here 10 ms later."""
    late_ns, on_ns = 10_000_000, list[int]()

    def undisturbed(world: Any) -> None:
        leak(1e9, late_ns)(world)
        when_on(world, on_ns.append)

    _, _, run = run_on(tmp_path, undisturbed, "gated", WATCHED)
    arrived_ns = run.readings["t_ns"][run.readings["voltage_v"] > 15][1]
    for before_ns in range(500_000, late_ns, 1_000_000 if LONG else 4_000_000):
        after_s = float(arrived_ns - before_ns - on_ns[0]) * 1e-9
        _, result, _ = run_on(tmp_path, leak(after_s, late_ns), "gated", WATCHED)
        assert isinstance(result.outcome.fault, ComplianceReached)
        assert result.outcome.ledger.assigned > 300  # what came before the question is proven


@pytest.mark.fault("I2", "W8")
@pytest.mark.parametrize("after_ns", [30_000_000, 75_000_000])
def test_one_reading_vouches_for_no_frame_of_a_gated_burst(
    tmp_path: Path, after_ns: int, record_property: Callable[[str, object], None]
) -> None:
    """The source loses its output and its voice before its second reading: 277 frames at 0 V were filed as 20 V."""

    def tamper(world: Any) -> None:
        source = world.personas["voltage_source"]
        advance, died = source.run_until, []

        def run_until(t_ns: int) -> Any:
            pulses = advance(t_ns)
            if died and not died[0] and t_ns > died[1]:
                died[0] = True
                source.meter.switch(False, t_ns)
                source.reply_ready_ns = lambda t_ns: t_ns + A_DAY_NS
            return pulses

        source.run_until = run_until
        when_on(world, lambda t_ns: died.extend([False, t_ns + after_ns]))

    session, result, _ = run_on(tmp_path, tamper, "gated", WATCHED)
    record_property("off_ms", off_ms(session.world, on_ns(session) + after_ns))
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.safe.instruments["voltage_source"][0] is Confirmation.SENT
    assert result.outcome.ledger.assigned == 250


def test_a_stop_in_a_stepped_stretch_assigns_what_is_proven(tmp_path: Path) -> None:
    """Nothing shows that 20 V were held until the stop; at 0 V nothing needs to."""
    for shots, assigned in ((100, range(100, 250)), (400, range(250, 251))):
        stop = StopRequest()

        def observe(progress: Any, stop: StopRequest = stop, shots: int = shots) -> None:
            if progress.shots_done > shots:
                stop.request("test")

        _, result, _ = run_on(tmp_path, lambda world: None, "stepped", WATCHED, observe=observe, stop=stop)
        assert result.outcome.reason is FinishReason.STOPPED
        assert result.outcome.ledger.assigned in assigned


# --- the source's edges -----------------------------------------------------------------------------------------------


def edges_of(folder: Path) -> list[int]:
    """When the source's edges come in an undisturbed run (ns)."""
    seen: list[int] = []

    def spy(pulses: Any, since_ns: int, until_ns: int) -> Any:
        seen.extend(pulses.begin_ns.tolist())
        return pulses

    def tamper(world: Any) -> None:
        world.cable_to(SOURCE).fault = spy

    _, result, _ = run_on(folder, tamper, "stepped", SHORT)
    assert result.outcome.ledger.assigned == 100
    return seen


MOVED_US = (-11_000, -6_000, -4_800, -2_400, -100, 200, 2_400, 4_800, 6_000)
MOVED = [(number, moved_us) for number in range(5) for moved_us in MOVED_US]


@pytest.mark.fault("Y1", "Y2", "Y3")
def test_an_edge_that_is_early_or_late(tmp_path: Path) -> None:
    t_ns = edges_of(tmp_path)
    assert len(t_ns) == 5
    for number, moved_us in MOVED if LONG else random.Random(3).sample(MOVED, 5):
        for lost in (frozenset([number]), frozenset[int]()):  # instead of the edge, and besides it
            fault = FaultyCable(lost=lost, invented_ns=[t_ns[number] + moved_us * 1000], idle_v=2.0, active_v=0.0)

            def tamper(world: Any, fault: FaultyCable = fault) -> None:
                world.cable_to(SOURCE).fault = fault

            run_on(tmp_path, tamper, "stepped", SHORT)


def test_an_edge_may_be_no_later_than_frames_are_flagged() -> None:
    """Five shots are the least that stepped blocks flag; at 2.2 kHz they are shorter than the tolerance was."""
    points = [SourceReading(v, 0.0, t, False) for v, t in ((0.0, 0.0), (20.0, 1.0024), (0.0, 2.0))]
    edges = [Edge(v, us, 0) for v, us in ((0.0, 0.0), (20.0, 1e6), (0.0, 2e6))]
    assert list_mismatch(points, edges, settle_s=0.005) == ""
    assert "levels 0 and 1" in list_mismatch(points, edges, settle_s=5 / 2200)


def test_a_spectrometer_s_clock_may_be_off_by_more_than_the_source_s() -> None:
    """200 ppm are 12 ms in a minute: whole blocks stayed unassigned although their shots show how long a tick is."""
    points = [SourceReading(v, 0.0, t, False) for v, t in ((0.0, 0.0), (20.0, 60.0))]
    edges = [Edge(v, us, 0, tick_s=1e-6 / 1.0002) for v, us in ((0.0, 1e9), (20.0, 1e9 + 60e6 * 1.0002))]
    assert list_mismatch(points, edges, settle_s=0.1) == ""


@pytest.mark.fault("Y1")
def test_a_source_that_sees_no_edge_at_all_ends_the_run(tmp_path: Path) -> None:
    """It went on to the end of the night, every block unassigned, and was "done"."""

    def tamper(world: Any) -> None:
        world.cable_to(SOURCE).fault = FaultyCable(lost=frozenset(range(100)))

    _, result, _ = run_on(tmp_path, tamper, "stepped", SHORT)
    assert result.outcome.reason is FinishReason.FAULT
    assert "none of 5 trigger edges" in str(result.outcome.fault)


# --- light ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("I11")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("every", [range(1000), range(130, 1000), range(0, 1000, 5), range(1, 1000, 2)])
def test_pulses_that_do_not_come_are_flagged_however_many(tmp_path: Path, mode: str, every: range) -> None:
    """A stretch's median knows what is dark only while most of its pulses come."""

    def tamper(world: Any) -> None:
        world.cable_to(LASER).fault = FaultyCable(lost=frozenset(every))

    session, result, run = run_on(tmp_path, tamper, mode, WATCHED)
    assert result.outcome.ledger.assigned == 550
    dark = truth_of(session, run).pulses == 0
    data = run.column("shot") >= 0
    flagged = run.column("flags") & int(Flag.MISSED_PULSE) != 0
    assert (flagged[data & dark]).all()
    assert np.sum(flagged[data & ~dark]) <= 8  # what the laser itself misses, 0.1 %


@pytest.mark.fault("Y2")
def test_stray_pulses_do_not_spoil_the_dark(tmp_path: Path) -> None:
    def tamper(world: Any) -> None:
        t_ns = [START_NS + 7_310_000 * number for number in range(60)]
        world.cable_to(LASER).fault = FaultyCable(invented_ns=t_ns)

    bench = other_bench(nothing_in_the_beam)  # a closed shutter would keep them away
    _, _, clean = run_on(tmp_path, lambda world: None, "gated", SHORT, bench=bench)
    _, _, run = run_on(tmp_path, tamper, "gated", SHORT, bench=bench)
    assert clean.dark is not None
    assert run.dark is not None
    assert clean.dark.frames == 100
    assert 60 <= run.dark.frames < 100
    assert np.abs(run.dark.mean - clean.dark.mean).max() < 8.0
    assert any("showed light" in text for _, text in run.events)


# --- conversations ----------------------------------------------------------------------------------------------------


class Tap:
    """Counts the answers of one instrument, and loses one of them."""

    def __init__(self, role: str, lose: int) -> None:
        self.role, self.lose = role, lose
        self.answers = 0

    def __call__(self, world: Any) -> None:
        persona = world.personas[self.role]
        self.ready, self.take = persona.reply_ready_ns, persona.take
        self.begun = False
        persona.reply_ready_ns, persona.take = self.reply_ready_ns, self.take_some

    def reply_ready_ns(self, t_ns: int) -> int | None:
        at_ns = self.ready(t_ns)
        if at_ns is not None and at_ns <= t_ns and not self.begun:
            self.answers += 1
            self.begun = self.answers != self.lose
            if not self.begun:
                data, end = self.take(65536, t_ns)
                while data and not end:
                    data, end = self.take(65536, t_ns)
                return self.ready(t_ns)
        return at_ns

    def take_some(self, count: int, t_ns: int) -> tuple[bytes, bool]:
        data, end = self.take(count, t_ns)
        self.begun = self.begun and not end
        return data, end


@pytest.mark.fault("W1")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", ROLES)
def test_an_answer_that_gets_lost(tmp_path: Path, mode: str, role: str) -> None:
    whole = Tap(role, lose=0)
    run_on(tmp_path, whole, mode, SHORT)
    numbers = range(1, whole.answers + 1)
    for number in numbers if LONG else [*random.Random(5).sample(numbers, 1), whole.answers]:
        try:
            _, result, _ = run_on(tmp_path, Tap(role, number), mode, SHORT)
        except InstrumentError:
            continue  # while it was prepared; nothing was on
        assert result.outcome.safe.safe
        # whether the output is off was asked once more: a lost answer is no unknown state
        assert (result.outcome.reason is FinishReason.DONE) == (number == whole.answers)


@pytest.mark.fault("W9")
def test_a_stop_is_heard_while_the_spectrometer_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instrument that delivers more slowly than it measures was read until the burst was over, and nothing else was done."""
    monkeypatch.setattr("sim_instruments.ocean_fx.REPLY_LATENCY_NS", 17_000_000)
    stop = StopRequest()

    def observe(progress: Any) -> None:
        if progress.shots_done > 50:
            stop.request("test")

    parameters = {"cycles": 1, "on_time_s": 3.0, "off_time_s": 3.0}
    _, result, _ = run_on(tmp_path, lambda world: None, "gated", parameters, observe=observe, stop=stop)
    assert result.outcome.reason is FinishReason.STOPPED
    assert result.outcome.duration_s < 0.7  # of 6; interlocks and energies are asked in it, too


@pytest.mark.fault("W11")
def test_a_delay_generator_that_forgets_its_program_ends_the_run(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Switched off and on it makes one shot per burst; the run was "done" with nearly everything lost."""

    def tamper(world: Any) -> None:
        when_on(world, lambda t_ns: world.personas["laser_trigger"].receive(b"*RST\n", t_ns))

    session, result, _ = run_on(tmp_path, tamper, "gated", {**SHORT, "cycles": 2})
    record_property("off_ms", off_ms(session.world, on_ns(session)))
    assert result.outcome.reason is FinishReason.FAULT
    assert result.outcome.ledger.assigned == 50


@pytest.mark.fault("X7")
@pytest.mark.parametrize("capacity", [70, 155])
def test_a_file_that_is_full_keeps_what_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capacity: int) -> None:
    plan = Session.plan
    monkeypatch.setattr(Session, "plan", lambda *arguments: replace(plan(*arguments), frame_capacity=capacity))
    _, result, run = run_on(tmp_path, lambda world: None, "gated", {**SHORT, "cycles": 3})
    assert isinstance(result.outcome.fault, RecordError)
    assert run.count <= capacity
    assert result.outcome.ledger.assigned >= capacity // 51 * 50


# --- interrupts -------------------------------------------------------------------------------------------------------


class Interrupted:
    """An instrument; the first message it is sent is interrupted before it leaves."""

    def __init__(self) -> None:
        self.told = self.interrupts = 0

    def make_safe(self) -> None:
        if not self.interrupts:
            self.interrupts += 1
            raise KeyboardInterrupt
        self.told += 1

    def read_safe(self) -> SafeReadback:
        return SafeReadback(self.told > 0, "")


@pytest.mark.fault("X5")
def test_ctrl_c_while_going_safe_keeps_nothing_on() -> None:
    instruments = {role: Interrupted() for role in ROLES}
    report = make_safe(instruments)
    assert report.safe
    assert isinstance(report.interrupt, KeyboardInterrupt)
    assert all(instrument.told for instrument in instruments.values())


@pytest.mark.fault("X5")
def test_an_interrupt_behind_a_question_leaves_doubt() -> None:
    """The question was out but not yet noted: its answer would have been taken for that to the next question."""
    world = World(default_bench().description(), 0)
    library = library_for(world)
    manager = ResourceManager(library)
    link = open_link(manager, world.resources["laser_trigger"], world, name="delay generator", read_termination="\r\n")
    send = library.write

    def interrupted(*arguments: Any) -> Any:
        send(*arguments)
        raise KeyboardInterrupt

    library.write = interrupted
    with pytest.raises(KeyboardInterrupt), link.conversation():
        link.write("TSRC?")
    assert link.state is LinkState.DOUBTFUL
    link.close()
    manager.close()


SAFING_FILES = ("safety.py", "steps.py", "runner.py", "frames.py", "link.py")


class Interrupter:
    """Raises KeyboardInterrupt at the n-th line of our own that is executed from the first shot on."""

    def __init__(self, at: int) -> None:
        self.at, self.lines = at, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self.line if frame.f_code.co_filename.endswith(SAFING_FILES) else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                raise KeyboardInterrupt
        return self.line


def interrupted_run(folder: Path, mode: str, at: int) -> tuple[int, Session, RunResult | None]:
    interrupter = Interrupter(at)
    traced = sys.gettrace()
    kept = SimpleNamespace(result=None)
    session = Session(out=folder, prepare_world=lambda world: when_on(world, lambda t_ns: sys.settrace(interrupter)))
    finish = session._finish

    def finished(*arguments: Any) -> RunResult:
        sys.settrace(traced)
        kept.result = finish(*arguments)
        return kept.result

    session._finish = finished  # type: ignore[method-assign]
    try:
        session.run(Sequence.of(OnOff(**SHORT), mode=mode))
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(traced)
    return interrupter.lines, session, kept.result


@pytest.mark.fault("X5")
@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_at_any_line(tmp_path: Path, mode: str) -> None:
    """Without a signal handler, as in a notebook: between any two lines of the core once the voltage is on."""
    lines, _, _ = interrupted_run(tmp_path / "whole", mode, 0)
    moments = random.Random(7).sample(range(1, lines), 300 if LONG else 4)
    for at in (*moments, *(lines - back for back in random.Random(8).sample(range(1, 400), 100 if LONG else 2))):
        _, session, result = interrupted_run(tmp_path / str(at), mode, at)
        assert off(session), at
        if result is None:
            continue
        ledger, run = result.outcome.ledger, open_run(result.path)
        assert ledger.received == ledger.assigned + ledger.unassigned + ledger.lead_in + ledger.surplus, at
        assert wrong_frames(run.frames(), truth_of(session, run)) == 0, at


# --- several at once --------------------------------------------------------------------------------------------------


def any_faults(chance: random.Random) -> Tamper:
    shots = 300

    def bad_cable(pulses: int, **levels: float) -> FaultyCable:
        return FaultyCable(
            lost=frozenset(chance.sample(range(pulses), chance.randrange(pulses // 2))),
            doubled=frozenset(chance.sample(range(pulses), chance.randrange(1 + pulses // 6))),
            invented_ns=sorted(START_NS + chance.randrange(1_500_000_000) for _ in range(chance.randrange(30))),
            gap_ns=chance.choice([200_000, 1_000_000, 3_000_000, 20_000_000, 70_000_000]),
            **levels,
        )

    faults = {LASER: bad_cable(shots), SPECTROMETER: bad_cable(shots), SOURCE: bad_cable(6, idle_v=2.0, active_v=0.0)}
    broken = chance.sample(sorted(faults), chance.randrange(1, 4))
    breaks_down_ns = START_NS + chance.randrange(300_000_000, 4_000_000_000)

    def tamper(world: Any) -> None:
        for target in broken:
            world.cable_to(target).fault = faults[target]
        world.add_leak(1000.0, breaks_down_ns)
        world.personas["spectrometer"].device_clock.ppm = chance.choice([8.0, 200.0, -200.0])

    return tamper


@pytest.mark.fault("Y1", "Y2", "P1")
@pytest.mark.parametrize("seed", range(500 if LONG else 8))
def test_several_faults_at_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    bench = default_bench()
    limits = bench.voltage_source.limits.model_copy(update={"duty": 1.0, "step_v": 40.0})
    bench = bench.model_copy(update={"voltage_source": bench.voltage_source.model_copy(update={"limits": limits})})
    parameters = {
        "cycles": chance.choice([1, 2]),
        "on_time_s": chance.choice([0.02, 0.05, 0.08]),
        "off_time_s": chance.choice([0.02, 0.05]),
        "voltage_off_v": chance.choice([0.0, 5.0, -5.0]),
        "voltage_on_v": chance.choice([20.0, -20.0]),
    }
    mode = chance.choice(MODES)
    parameters["settle_s"] = chance.choice([0.005, 0.01]) if mode == "stepped" else chance.choice([0.0, 0.005])
    _, result, _ = run_on(tmp_path, any_faults(chance), mode, parameters, bench=bench)
    assert result.outcome.safe.safe
