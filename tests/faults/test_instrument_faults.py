"""Instruments that are not as they should be: errors from before, outputs that come on by themselves, a shutter that sticks."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
sys.path.insert(0, str(Path(__file__).parent))
from bench_truth import DARK_UJ_CM2, truth_of
from other_benches import laser_as_master, other_bench
from watched_run import WatchedRun, at_time, watched_run, when_dark, when_on

from drivers.errors import InstrumentError, ReadbackMismatch
from rig.bench import default_bench
from rig.reduction import usable
from rig.runner import FinishReason
from rig.safety import Confirmation

MODES = ("gated", "stepped")
NONSENSE = {"voltage_source": b":FOO:BAR 1\n", "laser_trigger": b"FOO 1\n"}


def source_is(model: str, resource: str) -> Callable[[dict[str, Any]], None]:
    """A bench with another source, without a cable to it."""

    def change(tables: dict[str, Any]) -> None:
        tables["voltage_source"].update(model=model, resource=resource)
        tables["cable"] = [cable for cable in tables["cable"] if not cable["to"].startswith("voltage_source.")]

    return change


SOURCES = {
    "keithley-2400": default_bench,
    "keithley-2450": lambda: other_bench(source_is("keithley-2450", "TCPIP::192.0.2.22::5025::SOCKET")),
    "scpi-supply": lambda: other_bench(source_is("scpi-supply", "TCPIP::192.0.2.23::5025::SOCKET")),
}


# --- errors from before -----------------------------------------------------------------------------------------------


def errors_waiting(persona: Any) -> int:
    return len(persona.meter.status.queue.codes if hasattr(persona, "meter") else persona._errors)


@pytest.mark.fault("I3")
@pytest.mark.parametrize("number", [0, 1, 30])
@pytest.mark.parametrize("role", NONSENSE)
def test_errors_from_before_are_gone_before_anything_is_on(tmp_path: Path, role: str, number: int) -> None:
    waiting: list[int] = []

    def preload(world: Any) -> None:
        persona = world.personas[role]
        for _ in range(number):
            persona.receive(NONSENSE[role], world.now_ns())
            world.sleep(0.01)
        waiting.append(errors_waiting(persona))
        when_on(world, lambda t_ns: waiting.append(errors_waiting(persona)))

    watched = watched_run(tmp_path, preload)
    assert (waiting[0] > 0) == (number > 0)  # it did happen
    assert waiting[1] == 0
    assert watched.result.outcome.reason is FinishReason.DONE
    assert watched.wrong == 0


@pytest.mark.fault("I3")
@pytest.mark.parametrize("number", [1, 30])
@pytest.mark.parametrize("role", NONSENSE)
def test_errors_that_come_before_the_first_level_end_the_run_with_nothing_on(tmp_path: Path, role: str, number: int) -> None:
    """Of thirty the newest are lost: what they were nobody knows, and the overflow is told like any other."""

    def tamper(world: Any) -> None:
        persona = world.personas[role]

        def act(t_ns: int) -> None:
            for _ in range(number):
                persona.receive(NONSENSE[role], t_ns)

        due = at_time(world, role, act)
        when_dark(world, due.append)

    watched = watched_run(tmp_path, tamper)
    outcome = watched.result.outcome
    assert outcome.reason is FinishReason.FAULT
    assert isinstance(outcome.fault, InstrumentError)
    assert "reported errors" in str(outcome.fault)
    assert outcome.safe.safe
    assert max(abs(v) for v in watched.world.terminal.record.voltage_v) <= 0.1  # the look at the contact
    assert not len(watched.world.light_path.record.pulses)


# --- an output that comes on by itself --------------------------------------------------------------------------------

UNASKED = {
    "keithley-2400": b":SOUR:VOLT 5;:SOUR:CLE:AUTO ON;:OUTP ON\n",
    "keithley-2450": b":SOUR:VOLT 5\n:OUTP ON\n",
    "scpi-supply": b"VOLT 5;:OUTP ON\n",
}


@pytest.mark.fault("I8")
@pytest.mark.parametrize("model", SOURCES)
def test_an_output_that_is_on_at_the_start_goes_off_and_only_planned_levels_follow(
    tmp_path: Path, model: str, record_property: Callable[[str, object], None]
) -> None:
    """As after a power-on that restores the output; the 2400 also with reading set to switch it on."""
    begun: list[int] = []

    def leave_on(world: Any) -> None:
        world.personas["voltage_source"].receive(UNASKED[model], world.now_ns())
        world.sleep(0.1)
        assert world.terminal.record.voltage_v[-1] == pytest.approx(5.0, abs=0.01)
        begun.append(world.now_ns())

    watched = watched_run(tmp_path, leave_on, bench=SOURCES[model]())
    assert watched.result.outcome.reason is FinishReason.DONE
    record = watched.world.terminal.record
    later = [(t, v) for t, v in zip(record.t_ns, record.voltage_v, strict=True) if t > begun[0]]
    off = next(number for number, (_, v) in enumerate(later) if v == 0.0)
    record_property("off_ms", (later[off][0] - begun[0]) * 1e-6)
    assert max(v for _, v in later[: off + 1]) < 5.01  # a supply's output takes its time
    assert all(-0.11 <= v <= 20.01 for _, v in later)  # below 0 V: the look at the contact
    assert watched.wrong == 0


@pytest.mark.fault("I8")
@pytest.mark.parametrize("mode", MODES)
def test_an_output_that_comes_on_while_the_dark_is_taken_is_seen_before_a_pulse_falls(
    tmp_path: Path, mode: str, record_property: Callable[[str, object], None]
) -> None:
    came: list[int] = []

    def tamper(world: Any) -> None:
        persona = world.personas["voltage_source"]

        def come_on(t_ns: int) -> None:
            persona.receive(b":SOUR:VOLT 10;:OUTP ON\n", t_ns)
            came.append(t_ns)

        due = at_time(world, "voltage_source", come_on)
        when_dark(world, due.append)

    watched = watched_run(tmp_path, tamper, mode)
    record_property("off_ms", watched.off_ms(came[0]))
    assert watched.result.outcome.reason is FinishReason.FAULT
    assert watched.result.outcome.ledger.assigned == 0
    assert not len(watched.world.light_path.record.pulses)


@pytest.mark.fault("I8")
def test_an_output_that_comes_on_between_two_readings_ends_the_run(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The level is 0 V; a voltage that nobody asked for is seen at the next reading."""
    came: list[int] = []

    def tamper(world: Any) -> None:
        persona = world.personas["voltage_source"]

        def come_on(t_ns: int) -> None:
            persona.receive(b":SOUR:VOLT 10;:OUTP ON\n", t_ns)
            came.append(t_ns)

        due = at_time(world, "voltage_source", come_on)
        triggered = world.light_path.laser_triggered

        def first_pulse(edges: Any) -> None:
            triggered(edges)
            if not came and not due and len(edges.rise_ns):
                due.append(int(edges.rise_ns[-1]) + 50_000_000)

        world.light_path.laser_triggered = first_pulse

    watched = watched_run(tmp_path, tamper)
    off = watched.off_ms(came[0])
    record_property("off_ms", off)
    record_property("kept", watched.kept())
    assert isinstance(watched.result.outcome.fault, ReadbackMismatch)
    assert off < 250.0
    assert watched.wrong == 0


# --- the shutter ------------------------------------------------------------------------------------------------------


def stuck_open(world: Any) -> Any:
    """Blades that open and never close again."""
    blades = world.personas["shutter"].blades
    move = blades.move
    blades.move = lambda t_ns, *, to_open: move(t_ns, to_open=True) if to_open else None
    return blades


def light_after(watched: WatchedRun, since_ns: int) -> int:
    """Pulses that reach the film after a moment, to two seconds from now."""
    watched.world.sleep(2.0)
    watched.world.light_path.emit_until(watched.world.now_ns())
    pulses = watched.world.light_path.record.pulses
    return int(np.sum((pulses["t_ns"] > since_ns) & (pulses["fluence_uj_cm2"] > DARK_UJ_CM2)))


@pytest.mark.fault("I10")
@pytest.mark.parametrize("mode", MODES)
def test_a_shutter_that_stays_open_is_told_and_the_trigger_is_stopped(tmp_path: Path, mode: str) -> None:
    watched = watched_run(tmp_path, stuck_open, mode)
    outcome, end_ns = watched.result.outcome, watched.world.now_ns()
    assert outcome.safe.instruments["shutter"][0] is Confirmation.STILL_ON
    assert {c for role, (c, _) in outcome.safe.instruments.items() if role != "shutter"} == {Confirmation.CONFIRMED}
    assert light_after(watched, end_ns) == 0
    assert watched.world.terminal.record.voltage_v[-1] == 0.0
    assert watched.wrong == 0


@pytest.mark.fault("I10")
def test_behind_a_shutter_that_lies_about_being_closed_no_pulse_falls(tmp_path: Path) -> None:
    """Its word is all there is; that the trigger stops does not depend on it."""

    def lie(world: Any) -> None:
        stuck_open(world).closed = lambda t_ns: not lit(world)

    def lit(world: Any) -> bool:
        return bool(world.personas["shutter"]._enabled)

    watched = watched_run(tmp_path, lie)
    end_ns = watched.world.now_ns()
    assert watched.result.outcome.safe.safe  # by its word
    assert not watched.world.personas["shutter"].blades.transmission(np.array([end_ns]))[0] < 1.0  # and in truth
    assert light_after(watched, end_ns) == 0


@pytest.mark.fault("I10")
@pytest.mark.parametrize("mode", MODES)
def test_a_shutter_that_falls_silent_is_unknown_and_everything_else_is_off(
    tmp_path: Path, mode: str, record_property: Callable[[str, object], None]
) -> None:
    silent: list[int] = []

    def tamper(world: Any) -> None:
        def cut(t_ns: int) -> None:
            silent.append(t_ns)
            world.personas["shutter"].receive = lambda data, t_ns: None

        when_on(world, cut)

    watched = watched_run(tmp_path, tamper, mode)
    outcome, end_ns = watched.result.outcome, watched.world.now_ns()
    assert outcome.safe.instruments["shutter"][0] is Confirmation.UNKNOWN
    assert {c for role, (c, _) in outcome.safe.instruments.items() if role != "shutter"} == {Confirmation.CONFIRMED}
    assert light_after(watched, end_ns) == 0
    record_property("kept", watched.kept())


@pytest.mark.fault("I10")
def test_a_shutter_that_stays_open_before_a_laser_that_never_stops_is_a_fault_at_once(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Only the shutter could keep that light away: told as still open, voltage off, nothing more is fired at."""
    watched = watched_run(tmp_path, stuck_open, bench=other_bench(laser_as_master()))
    outcome = watched.result.outcome
    assert outcome.reason is FinishReason.FAULT
    assert outcome.safe.instruments["shutter"][0] is Confirmation.STILL_ON
    assert watched.world.terminal.record.voltage_v[-1] == 0.0
    assert watched.wrong == 0
    record_property("kept", watched.kept())


# --- the laser --------------------------------------------------------------------------------------------------------


@pytest.mark.fault("I11")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["missing-pulses:0.1", "missing-pulses:0.2:dark-bursts", "missing-pulses:0.1:silent"])
def test_shots_without_their_light_are_not_used(tmp_path: Path, mode: str, fault: str) -> None:
    watched = watched_run(tmp_path, lambda world: None, mode, faults=(fault,))
    rows, dark = watched.rows, truth_of(watched.session, watched.run).pulses == 0
    weak = dark | ~(np.abs(fluence_of(watched) - 40.0) < 20.0)
    data = rows["shot"] >= 0
    assert np.sum(data & weak) > 15 or "silent" in fault  # a trigger that never leaves makes no frame either
    assert not usable(rows["flags"])[weak].any()
    assert watched.result.as_json()["frames"]["lost"] > 15 or "silent" not in fault
    assert watched.wrong == 0


def fluence_of(watched: WatchedRun) -> Any:
    """The true fluence of every frame's own pulse (uJ/cm2), 0 without one."""
    record, wanted = watched.world.light_path.record, watched.run.column("device_time_us").astype(np.int64)
    device_us = watched.world.personas["spectrometer"].device_clock.at(record.exposures["open_ns"]).astype(np.int64)
    place = np.searchsorted(device_us, wanted)
    first = np.minimum(record.exposures["first_pulse"][place], len(record.pulses) - 1)
    return np.where(record.exposures["pulses"][place] > 0, record.pulses["fluence_uj_cm2"][first], 0.0)
