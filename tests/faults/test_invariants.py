"""What must hold on a bench whatever happens: random runs with random faults, and random calls of every driver.

Judged by the world's record and the bytes on the wires only, never by what the program believes. The invariants, and who looks:

====  ==========================================================================  =========================================
 1    the film's voltage is within the limits, at every sample                    both machines
 2    no step larger, no time under voltage longer than the limits                the bench machine, after every step
 3    at the end everything is off, or is said not to be known to be off          the bench machine, after every run
 4    after a stop request no ON and no trigger                                   the bench machine (`stop`, `observe`)
 5    going safe sends off, and asks nothing before (SC10: asked first, toggles)  the bench machine, every make_safe()
 6    no trigger while the voltage settles, or the shutter is not open            the bench machine, runs nobody meddled with
 7    every acknowledged frame is in the file once                                the bench machine, also after kill -9
 8    a shot's spectrum is the detector's                                         as 7
 9    a used frame's stored voltage is the film's at its pulse                    as 7
10    shots and frames are reconciled                                             as 7
11    a killed writer's file opens, and 7 to 10 hold                              `look_at_the_file`; every write: tests/crash
12    recover() is idempotent and loses nothing                                   as 11
13    what is planned is what happens                                             here; tests/unit/test_run_invariants.py
14    what is written as TOML reads the same                                      tests/unit/test_run_invariants.py
15    only drawn transitions, every path ends in SAFE                             the bench machine
16    the same seed gives the same file, but for labels                           here
17    nothing survives a run: thread, descriptor, file                            here, and the bench machine
18    opening a file executes nothing                                             tests/faults/test_security.py
====  ==========================================================================  =========================================

Each has a control below that shows that its judge can say no. A moment is the number of a message on any wire. kill -9 of real
processes is in test_guard.py and tests/crash; here the engine dies by losing every line at once, and the guard's messages are
sent over lines of their own.

Short profile: 20 examples of 14 steps and 30 of 40, the same ones every time when CI is set. RIG_LONG=1: 2000 of 30 (hours) and
1000 of 100 (10^5 calls), and failures are made small. A failure prints the steps that lead to it; it becomes a named case here.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))
from bench_machine import BenchMachine
from bench_truth import truth_of
from driver_machine import DriverMachine
from invariants import (
    Ending,
    dark_since,
    drawn_ways_only,
    fired_when_ready,
    frames_are_true,
    nothing_on_after,
    off_or_told,
    off_without_a_question,
    reconciled,
    recovered_twice,
    slew_and_on_time,
    taking_notes,
    within_limits,
)
from other_benches import other_bench
from role_bench import RoleBench
from witness import FIRE, SWITCH_ON, Witness

from drivers.errors import InstrumentError
from drivers.keithley_2400 import Keithley2400
from drivers.registry import find
from drivers.roles import HoldLevel, SafeReadback, SourceLimits
from drivers.source_checks import check_levels
from drivers.srs_dg645 import Dg645
from rig.bench import Bench, default_bench
from rig.instruments import facts
from rig.measurements.on_off import OnOff
from rig.pump_beam import PumpBeam
from rig.runfile import open_run
from rig.runner import Progress, StopRequest
from rig.sequence import Sequence
from rig.session import Session

LONG = bool(os.environ.get("RIG_LONG"))
SHORT = {"cycles": 1, "on_time_s": 0.02, "off_time_s": 0.02, "settle_s": 0.005}
MODES = ("gated", "stepped")
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # making a failure small takes minutes


def profile(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=bool(os.environ.get("CI")),
        database=None,
        report_multiple_bugs=False,
        phases=[*PHASES, Phase.shrink] if LONG else PHASES,
    )


# --- the machines -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("W1", "W2", "W3", "W4", "W8", "W11", "W12", "W14", "I5", "I9", "Y1", "Y2", "P1", "P2", "X4", "X5")
@pytest.mark.timeout(0 if LONG else 120)
def test_whatever_happens_on_a_bench(record_property: Callable[[str, object], None]) -> None:
    BenchMachine.runs = BenchMachine.frames = 0
    BenchMachine.endings.clear()
    run_state_machine_as_test(BenchMachine, settings=profile(2000, 30) if LONG else profile(20, 14))
    record_property("kept", f"{BenchMachine.frames} of {BenchMachine.frames} acknowledged frames")
    record_property("runs", f"{BenchMachine.runs} runs: {dict(BenchMachine.endings)}")
    assert BenchMachine.runs >= 10


@pytest.mark.fault("C2", "C3", "W1", "W2", "W3", "W4", "W11", "W12")
@pytest.mark.timeout(0 if LONG else 120)
def test_any_calls_of_any_driver_keep_the_film_within_its_limits(record_property: Callable[[str, object], None]) -> None:
    DriverMachine.ops = DriverMachine.under_voltage = 0
    run_state_machine_as_test(DriverMachine, settings=profile(1000, 100) if LONG else profile(30, 40))
    record_property("calls", f"{DriverMachine.ops}, {DriverMachine.under_voltage} of them under voltage")
    assert DriverMachine.ops >= 1000
    assert DriverMachine.under_voltage >= 20


def careless(levels_v: Any, limits: SourceLimits) -> list[Any]:
    return check_levels(levels_v, SourceLimits(-21.0, 21.0, limits.current_a))  # whatever was prepared


def test_control_the_driver_machine_finds_a_driver_without_limits() -> None:
    names = [f"drivers.{model}.check_levels" for model in ("keithley_2400", "keithley_2450", "scpi_supply")]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch(name, careless))
        with pytest.raises(AssertionError, match=r"was taken|at the film"):
            run_state_machine_as_test(DriverMachine, settings=settings(profile(200, 40), derandomize=True, phases=PHASES))


def test_control_the_bench_machine_finds_a_generator_that_is_not_stopped() -> None:
    """make_safe() does nothing, and read_safe() says that all is well: seen only when a burst is cut."""
    lies = patch.object(Dg645, "read_safe", lambda laser: SafeReadback(True, "stopped"))
    with patch.object(Dg645, "make_safe", lambda laser: None), lies, pytest.raises(AssertionError):
        run_state_machine_as_test(BenchMachine, settings=settings(profile(200, 14), derandomize=True, phases=PHASES))


# --- what they have found ---------------------------------------------------------------------------------------------


@pytest.mark.fault("C2")
@pytest.mark.parametrize("model", ["keithley-2400", "keithley-2450", "scpi-supply"])
def test_a_level_that_was_loaded_under_wider_limits_is_forgotten_by_prepare(model: str) -> None:
    """arm() put 0.7 V on a film for which at most 0.5 V had been prepared since."""
    bench = RoleBench(find(model, "voltage_source"))
    bench.source.prepare(SourceLimits(0.0, 1.0, 1e-3))
    bench.source.load(HoldLevel(0.7))
    bench.source.prepare(SourceLimits(0.0, 0.5, 1e-3))
    with pytest.raises(InstrumentError):
        bench.source.arm()
    bench.wait(0.2)
    assert max(bench.world.terminal.record.voltage_v) == 0.0
    bench.face.close()


# --- a run under observation ------------------------------------------------------------------------------------------


class Observed:
    """One short run of the default bench, watched; `act` happens just before message number `moment`."""

    def __init__(self, folder: Path, mode: str = "gated", bench: Bench | None = None, **changes: float) -> None:
        self.bench = bench or default_bench()
        self.sequence = Sequence.of(OnOff(**{**SHORT, **changes}), mode=mode)  # type: ignore[arg-type]
        self.session = Session(self.bench, simulate=True, out=folder)
        self.plan = self.session.plan(self.sequence)
        self.acts: dict[int, list[Any]] = {}

    def run(self, stop: StopRequest | None = None, observe: Callable[[Progress], None] = lambda progress: None) -> Ending:
        with ExitStack() as stack:

            def watch(world: Any) -> None:
                self.witness = Witness(world, self.bench.description())
                self.witness.listen(self.acts)
                self.notes = stack.enter_context(taking_notes(self.witness))

            self.session.prepare_world = watch
            result = self.session.run(self.sequence, stop=stop, observe=observe)
        self.path = result.path
        return Ending(self.witness, self.notes, result)

    def judge_the_file(self) -> int:
        return frames_are_true(self.witness, open_run(self.path), self.notes.acknowledged(self.path))


@pytest.mark.parametrize("mode", MODES)
def test_an_undisturbed_run_keeps_every_invariant(tmp_path: Path, mode: str) -> None:
    """And shows that the judges have something to look at."""
    observed = Observed(tmp_path, mode)
    ending = observed.run()
    witness, limits = observed.witness, observed.bench.voltage_source.limits
    within_limits(witness, *limits.voltage_v)
    slew_and_on_time(witness, limits.step_v, 0.5)
    off_or_told(ending)
    off_without_a_question(observed.notes.off_calls)
    fired_when_ready(witness, facts(observed.bench).source_step_ns)
    assert ending.result is not None
    drawn_ways_only([state.name for state in ending.result.outcome.states])
    reconciled(open_run(observed.path), ending.result)
    assert observed.judge_the_file() == observed.plan.price.shots
    sent = [message.data for message in witness.messages()]
    assert sum(bool(FIRE.search(data)) for data in sent) >= 2
    assert any(SWITCH_ON.search(data) for data in sent)
    told = {"voltage_source", "laser_trigger", "spectrometer", "shutter", "cw_shutter"}
    assert {call.role for call in observed.notes.off_calls} == told
    assert max(witness.world.terminal.record.voltage_v) == 20.0


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_switched_on_after_a_stop_at_any_message_of_a_block(tmp_path: Path, mode: str) -> None:
    """4, one moment after the other: between the beginning of a block and its first trigger above all."""
    undisturbed = Observed(tmp_path / "undisturbed", mode)
    undisturbed.run()
    total = len(undisturbed.witness.messages())
    first = next(n for n, m in enumerate(undisturbed.witness.messages()) if SWITCH_ON.search(m.data))
    for moment in range(first - 25, total - 8, 1 if LONG else 11):
        observed, stop = Observed(tmp_path / str(moment), mode), StopRequest()
        observed.acts[moment] = [lambda wire, stop=stop: stop.request("test")]
        ending = observed.run(stop)
        nothing_on_after(observed.witness.messages(moment + 1))
        off_or_told(ending)


# --- 13, 16, 17 -------------------------------------------------------------------------------------------------------


@settings(max_examples=60 if LONG else 6, deadline=None, derandomize=bool(os.environ.get("CI")))
@given(
    mode=st.sampled_from(MODES),
    on_v=st.floats(0.5, 20.0),
    off_v=st.sampled_from((0.0, -1.0)),
    shots=st.integers(8, 40),
    cycles=st.integers(1, 2),
)
def test_what_is_planned_is_what_happens(
    tmp_path_factory: pytest.TempPathFactory, mode: str, on_v: float, off_v: float, shots: int, cycles: int
) -> None:
    on_v = min(on_v, 20.0 + off_v)
    times = {"on_time_s": shots * 1e-3, "off_time_s": (shots + 3) * 1e-3, "cycles": cycles}

    def always_on(tables: dict[str, Any]) -> None:
        tables["voltage_source"]["limits"]["duty"] = 1.0

    folder = tmp_path_factory.mktemp("planned")
    observed = Observed(folder, mode, other_bench(always_on), voltage_on_v=on_v, voltage_off_v=off_v, **times)
    ending = observed.run()
    plan, run = observed.plan, open_run(observed.path)
    assert ending.result is not None
    assert ending.result.outcome.ledger.planned == plan.planned_shots == cycles * (2 * shots + 3)
    pulses = observed.witness.world.light_path.record.pulses
    assert len(pulses["t_ns"]) == plan.price.shots == run.count
    assert run.trimmed
    rows, truth = run.frames(), truth_of(observed.session, run)
    planned = [v for _ in range(cycles) for v, n in ((off_v, shots + 3), (on_v, shots)) for _ in range(n)]
    data = rows["shot"] >= 0
    assert rows["shot"][data].tolist() == list(range(len(planned)))
    assert truth.voltage_v[data] == pytest.approx(planned, abs=0.1)
    assert (truth.pulses == 1).sum() >= run.count - 2  # the laser itself misses one in a thousand
    assert pulses["fluence_uj_cm2"].sum() * 1e-6 == pytest.approx(plan.price.dose_j_cm2, rel=0.1)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_file_but_for_its_labels(tmp_path: Path, mode: str) -> None:
    def bytes_of(name: str, seed: int) -> bytes:
        session = Session(simulate=True, out=tmp_path / name, seed=seed)
        with patch("rig.session.now_label", lambda: "2026-01-01T00:00:00+00:00"):
            return session.run(Sequence.of(OnOff(**SHORT), mode=mode)).path.read_bytes()  # type: ignore[arg-type]

    first = bytes_of("first", 3)
    assert bytes_of("again", 3) == first
    assert bytes_of("control", 4) != first


def left_behind(folder: Path, act: Callable[[], object]) -> set[str]:
    """What an act leaves: threads, descriptors, and files that are no finished run files."""
    descriptors = Path("/proc/self/fd")
    before_threads = set(threading.enumerate())
    before = {p.name for p in descriptors.iterdir() if p.exists()} if descriptors.exists() else set[str]()
    act()
    after = {p.name for p in descriptors.iterdir() if p.exists()} if descriptors.exists() else set[str]()
    threads = {thread.name for thread in set(threading.enumerate()) - before_threads}
    files = {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".h5"}
    return threads | files | {f"descriptor {name}" for name in after - before}


def test_nothing_survives_a_run(tmp_path: Path) -> None:
    Observed(tmp_path).run()  # what is made once and kept
    assert left_behind(tmp_path, lambda: Observed(tmp_path).run()) == set()


# --- every judge can say no -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observed, Ending]:
    observed = Observed(tmp_path_factory.mktemp("watched"))
    return observed, observed.run()


def test_control_1_a_voltage_beyond_the_limits(tmp_path: Path) -> None:
    observed = Observed(tmp_path)
    observed.run()
    observed.witness.straight_to("voltage_source", b":SOUR:VOLT:RANG 21;:SOUR:VOLT 20.5;:OUTP ON\n")
    observed.witness.world.sleep(0.01)
    with pytest.raises(AssertionError, match=r"20\.5"):
        within_limits(observed.witness, -20.0, 20.0)


def test_control_2_a_step_and_a_time_beyond_the_limits(tmp_path: Path) -> None:
    observed = Observed(tmp_path)
    observed.run()
    with pytest.raises(AssertionError, match="a step of 20"):
        slew_and_on_time(observed.witness, 19.0, 60.0)
    with pytest.raises(AssertionError, match="s under voltage"):
        slew_and_on_time(observed.witness, 20.0, 0.019)


def test_control_3_a_source_that_is_called_off_and_is_not(tmp_path: Path) -> None:
    observed = Observed(tmp_path)

    def leave_it_on(source: Keithley2400) -> None:
        source.write(":OUTP?")  # instead of off

    with (
        patch.object(Keithley2400, "make_safe", leave_it_on),
        patch.object(Keithley2400, "read_safe", lambda source: SafeReadback(True, "off")),
    ):
        ending = observed.run()
    with pytest.raises(AssertionError, match="voltage_source is on and was called off"):
        off_or_told(ending)
    with pytest.raises(AssertionError, match="to go safe"):
        off_without_a_question(observed.notes.off_calls)


def test_control_3_unknown_although_nothing_was_wrong(tmp_path: Path) -> None:
    with patch.object(Keithley2400, "read_safe", lambda source: SafeReadback(False, "output ON")):
        ending = Observed(tmp_path).run()
    with pytest.raises(AssertionError, match="could be reached and is STILL_ON"):
        off_or_told(ending)


def test_control_4_a_program_that_does_not_heed_a_stop(tmp_path: Path) -> None:
    observed = Observed(tmp_path)
    observed.run()
    first = next(n for n, message in enumerate(observed.witness.messages()) if SWITCH_ON.search(message.data))
    with pytest.raises(AssertionError, match="after a stop was asked for"):
        nothing_on_after(observed.witness.messages(first - 1))


def test_control_5_a_question_before_off(tmp_path: Path) -> None:
    observed, make_safe = Observed(tmp_path), Dg645.make_safe

    def ask_first(laser: Dg645) -> None:
        laser.busy()
        make_safe(laser)

    with patch.object(Dg645, "make_safe", ask_first):
        observed.run()
    with pytest.raises(AssertionError, match="laser_trigger"):
        off_without_a_question(observed.notes.off_calls)


def test_control_6_a_shutter_that_is_not_open(tmp_path: Path) -> None:
    observed = Observed(tmp_path)
    with patch.object(PumpBeam, "open", lambda beam: None):
        observed.run()
    with pytest.raises(AssertionError, match="the shutter not open"):
        fired_when_ready(observed.witness, 0)


@pytest.mark.parametrize(("mode", "words"), [("gated", "fired"), ("stepped", "a pulse")])
def test_control_6_a_source_that_has_not_settled(tmp_path: Path, mode: str, words: str) -> None:
    """Judged as if the source were slower than the program takes it to be."""
    observed = Observed(tmp_path, mode)
    observed.run()
    with pytest.raises(AssertionError, match=words):
        fired_when_ready(observed.witness, 400_000_000 if mode == "gated" else 1_000_000)


def test_control_6_light_with_the_interlock_open(watched: tuple[Observed, Ending]) -> None:
    with pytest.raises(AssertionError, match="bright pulses"):
        dark_since(watched[0].witness, 0)


def test_control_7_a_frame_that_is_not_in_the_file(watched: tuple[Observed, Ending]) -> None:
    observed, _ = watched
    found = observed.notes.acknowledged(observed.path)
    assert found is not None
    rows, spectra = found
    twice = [*range(len(rows)), len(rows) - 1]
    with pytest.raises(AssertionError, match="acknowledged frames"):
        frames_are_true(observed.witness, open_run(observed.path), (rows[twice], spectra[twice]))


def spoilt(observed: Observed, spoil: Callable[[Any], None]) -> Path:
    """A copy of the run file with something changed in it."""
    copy = observed.path.with_name("spoilt.h5")
    copy.write_bytes(observed.path.read_bytes())
    with h5py.File(copy, "r+") as file:
        spoil(file["entry"])
    return copy


def test_control_8_a_pixel_that_differs(watched: tuple[Observed, Ending]) -> None:
    observed, _ = watched
    found = observed.notes.acknowledged(observed.path)
    assert found is not None
    rows, spectra = found
    spectra[5, 1000] += 1

    def spoil(entry: Any) -> None:
        entry["spectra/counts"][5, 1000] += 1

    copy = spoilt(observed, spoil)
    with pytest.raises(AssertionError, match="not what the detector gave"):
        frames_are_true(observed.witness, open_run(copy), (rows, spectra))
    with pytest.raises(AssertionError, match="differ from what was acknowledged"):
        frames_are_true(observed.witness, open_run(observed.path), (rows, spectra))


def test_control_9_a_reading_that_was_not_the_voltage(watched: tuple[Observed, Ending]) -> None:
    observed, _ = watched

    def spoil(entry: Any) -> None:
        entry["frames/measured_voltage_v"][10] += 1.0

    with pytest.raises(AssertionError, match="V off"):
        frames_are_true(observed.witness, open_run(spoilt(observed, spoil)), observed.notes.acknowledged(observed.path))


def test_control_10_a_shot_twice(watched: tuple[Observed, Ending]) -> None:
    observed, ending = watched

    def spoil(entry: Any) -> None:
        entry["frames/shot"][10] = entry["frames/shot"][11]

    with pytest.raises(AssertionError, match="a shot twice"):
        reconciled(open_run(spoilt(observed, spoil)), ending.result)


def test_control_12_a_recovery_that_changes_its_mind(watched: tuple[Observed, Ending]) -> None:
    observed, _ = watched
    copy = spoilt(observed, lambda entry: None)

    def touch(path: Path) -> None:
        path.write_bytes(path.read_bytes() + b"\0")

    recovered_twice(copy)
    with patch("invariants.recover", touch), pytest.raises(AssertionError):
        recovered_twice(copy)


@pytest.mark.parametrize(
    "states", [["PREPARING", "ARMED", "SAFE"], ["PREPARING", "DARK", "LOADING"], ["PREPARING", "DARK", "SAFE"]]
)
def test_control_15_a_way_that_is_not_drawn(states: list[str]) -> None:
    with pytest.raises(AssertionError):
        drawn_ways_only(states)


def test_control_17_what_is_left_behind(tmp_path: Path) -> None:
    with ExitStack() as stack:
        left = left_behind(tmp_path, lambda: stack.enter_context((tmp_path / "left.part").open("w")))
    assert "left.part" in left
    assert any(name.startswith("descriptor") for name in left)
