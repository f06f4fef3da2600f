"""Runs behind a filter: what reaches the film by the world's own record, what the file says of it, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_benches import other_bench

from drivers.errors import CompileError, InstrumentError
from rig.bench import Bench
from rig.measurements.catalogue import record_of
from rig.measurements.on_off import OnOff
from rig.run_result import RunResult
from rig.runfile import open_run
from rig.runner import FinishReason, Progress
from rig.sequence import Sequence
from rig.session import Session

SHORT: dict[str, Any] = {"cycles": 1, "on_time_s": 0.4, "off_time_s": 0.6, "settle_s": 0.05}


def run_at(
    folder: Path, fluence_uj_cm2: float, bench: Bench | None = None, *, prepare: Any = None
) -> tuple[Session, RunResult]:
    session = Session(bench or other_bench(), simulate=True, out=folder, seed=4, prepare_world=prepare or (lambda world: None))
    return session, session.run(Sequence.of(OnOff(**SHORT, fluence_uj_cm2=fluence_uj_cm2)))


def fluences(session: Session) -> Any:
    """What every pulse brought to the film (uJ/cm2), missed ones left out."""
    found = session.world.light_path.record.pulses["fluence_uj_cm2"]
    return found[found > 0]


def stood(result: RunResult) -> tuple[Any, Any]:
    """Where the wheel stood and what it let through, as the file has it."""
    timing = json.loads(open_run(result.path).header.timing_json)
    return timing.get("filter_position"), timing.get("filter_transmission")


def no_wheel(tables: dict[str, Any]) -> None:
    tables.pop("filter_wheel")


def at_position(position: int) -> Any:
    """Somebody has left the wheel elsewhere, before anything is opened."""

    def change(world: Any) -> None:
        persona = world.personas["filter_wheel"]
        persona.receive(b"pos=%d\r" % position, world.now_ns())
        world.sleep(5.0)
        while persona.take(100, world.now_ns())[0]:
            pass

    return change


@pytest.mark.parametrize("asked_uj_cm2", [0.001, 0.002, 0.004])
def test_the_film_gets_nanojoules_and_the_record_says_so(tmp_path: Path, asked_uj_cm2: float) -> None:
    session, result = run_at(tmp_path, asked_uj_cm2)
    assert result.outcome.fault is None
    truth = float(np.median(fluences(session)))
    assert truth == pytest.approx(asked_uj_cm2, rel=0.1)
    assert fluences(session).max() < 1.2 * asked_uj_cm2
    fluence = result.record.fluence  # type: ignore[union-attr]
    assert abs(fluence.mean_uj_cm2 - truth) <= 2 * np.hypot(fluence.systematic_uj_cm2, fluence.standard_error_uj_cm2)
    assert fluence.mean_uj_cm2 == pytest.approx(asked_uj_cm2, rel=0.1)
    assert fluence.blocks[0].asked_uj_cm2 == asked_uj_cm2
    assert record_of(result.path).fluence == fluence  # the file alone says it


def test_the_meter_sees_the_pulses_before_the_filter(tmp_path: Path) -> None:
    session, result = run_at(tmp_path, 0.002)
    run = open_run(result.path)
    assert stood(result) == (5, 1e-4)
    at_film_uj = float(np.median(fluences(session))) * session.world.beam.area_cm2
    wheel, meter = session.world.personas["filter_wheel"].wheel, session.world.personas["energy_meter"].detector
    assert len(run.energies) >= 2
    assert np.mean(run.energies["energy_uj"]) == pytest.approx(at_film_uj / wheel.true[4] * meter.gain, rel=0.03)


def test_weak_pulses_are_refused_without_a_wheel(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as refused:
        run_at(tmp_path, 0.002, other_bench(no_wheel))
    [reason] = refused.value.reasons
    assert reason.code == "fluence-out-of-reach"
    assert "[filter_wheel]" in reason.message


def test_a_wheel_that_stands_open_changes_nothing(tmp_path: Path) -> None:
    with_wheel, told = run_at(tmp_path, 40.0)
    without, told_without = run_at(tmp_path, 40.0, other_bench(no_wheel))
    assert (stood(told), stood(told_without)) == ((1, 1.0), (None, None))
    ours, theirs = (session.world.light_path.record.pulses["fluence_uj_cm2"] for session in (with_wheel, without))
    assert len(ours) > 1000
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("before", "asked_uj_cm2"), [(6, 40.0), (2, 0.002)])
def test_wherever_the_wheel_was_left_no_pulse_meets_another_filter(tmp_path: Path, before: int, asked_uj_cm2: float) -> None:
    session, result = run_at(tmp_path, asked_uj_cm2, prepare=at_position(before))
    assert result.outcome.fault is None
    assert float(np.median(fluences(session))) == pytest.approx(asked_uj_cm2, rel=0.1)
    assert fluences(session).max() < 1.2 * asked_uj_cm2
    assert fluences(session).min() > 0.8 * asked_uj_cm2


def mute(world: Any) -> None:
    persona, ready = world.personas["filter_wheel"], world.personas["filter_wheel"].reply_ready_ns
    sent = persona.receive

    def receive(data: bytes, t_ns: int) -> None:
        if data.startswith(b"pos="):
            persona.reply_ready_ns = lambda t_ns: None
        sent(data, t_ns)

    persona.receive = receive
    assert ready(world.now_ns()) is None


def stuck(world: Any) -> None:
    world.personas["filter_wheel"]._move = lambda position: None


@pytest.mark.parametrize("trouble", [mute, stuck])
def test_a_wheel_that_does_not_obey_ends_the_run_before_the_first_pulse(tmp_path: Path, trouble: Any) -> None:
    session = Session(other_bench(), simulate=True, out=tmp_path, seed=4, prepare_world=trouble)
    with pytest.raises(InstrumentError) as told:
        session.run(Sequence.of(OnOff(**SHORT, fluence_uj_cm2=0.002)))
    assert "confirmed" in told.value.hardware_state
    session.world.sleep(1.0)
    session.world.light_path.emit_until(session.world.now_ns())
    assert len(session.world.light_path.record.pulses) == 0
    assert session.world.personas["shutter"].blades.closed(session.world.now_ns())
    assert list(tmp_path.glob("*.h5")) == []


def test_a_wheel_that_somebody_turns_during_the_run_makes_it_a_fault(tmp_path: Path) -> None:
    pressed: list[int] = []

    def observe(progress: Progress) -> None:
        if progress.shots_done > 0 and not pressed:
            pressed.append(session.world.now_ns())
            session.world.personas["filter_wheel"].press_button(pressed[0])

    session = Session(other_bench(), simulate=True, out=tmp_path, seed=4)
    result = session.run(Sequence.of(OnOff(**SHORT, fluence_uj_cm2=0.002)), observe=observe)
    assert pressed
    assert result.outcome.reason is FinishReason.FAULT
    assert "position 6, not at 5" in str(result.outcome.fault)
    assert result.outcome.safe.safe
    assert open_run(result.path).state == "fault"
