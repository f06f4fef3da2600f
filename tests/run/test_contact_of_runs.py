"""The look at the contact in whole runs of the simulated bench: what it refuses, and what the terminals see on the way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_benches import other_bench
from test_other_sources import bench_with

from drivers.errors import InstrumentError
from rig.bench import Bench
from rig.contact_check import Contact, contact_in
from rig.measurements.on_off import OnOff
from rig.run_state import FinishReason, RunState, StopRequest
from rig.runfile import open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session

SHORTED, LIFTED = "breakdown@0.01s:0.005", "open-contact@0s"


def run(
    folder: Path, bench: Bench | None = None, volts: float = 20.0, mode: Any = "auto", **film: Any
) -> tuple[Session, RunResult]:
    session = Session(bench, simulate=bench is not None, out=folder, seed=2, **film)
    measurement = OnOff(on_time_s=0.2, off_time_s=0.2, cycles=1, voltage_on_v=volts)
    return session, session.run(Sequence.of(measurement, mode=mode))


def found_in(result: RunResult) -> Contact | None:
    return contact_in(open_run(result.path).events)


def policy(word: str) -> Bench:
    return other_bench(lambda tables: tables["voltage_source"].update(contact_check=word))


@pytest.mark.parametrize("mode", ["gated", "stepped"])
def test_a_sound_film_is_run_and_its_leak_is_told(tmp_path: Path, mode: str) -> None:
    session, result = run(tmp_path, mode=mode)
    found = found_in(result)
    assert result.outcome.reason is FinishReason.DONE
    assert found is not None
    assert (found.condition, found.looked_v) == ("sound", 0.1)
    film, now_ns = session.world.film, session.world.now_ns()
    own_ohm = 0.2 / (film.current_a(0.1, now_ns) - film.current_a(-0.1, now_ns))
    assert found.resistance.ci95 is not None
    assert found.resistance.ci95[0] <= own_ohm <= found.resistance.ci95[1]


def test_the_look_is_short_over_before_the_dark_frames_and_the_source_is_off_after_it(tmp_path: Path) -> None:
    session, _ = run(tmp_path)
    record = session.world.terminal.record
    levels = list(zip(record.t_ns, record.voltage_v, strict=True))[1:5]
    assert [v for _, v in levels] == [0.1, -0.1, 0.0, 20.0]
    assert levels[2][0] - levels[0][0] < 300_000_000
    exposures = session.world.light_path.record.exposures
    assert exposures["open_ns"][0] > levels[2][0]


@pytest.mark.parametrize("source", ["keithley-2400", "keithley-2450", "scpi-supply"])
def test_a_short_ends_the_run_before_any_higher_voltage(tmp_path: Path, source: str) -> None:
    bench = None if source == "keithley-2400" else bench_with(source)
    session, result = run(tmp_path, bench, faults=(SHORTED,))
    assert isinstance(result.outcome.fault, InstrumentError)
    assert "contact is short" in result.outcome.fault.what
    assert result.outcome.fault.next_step
    assert result.outcome.safe.safe
    assert max(np.abs(session.world.terminal.record.voltage_v)) <= 0.11
    assert session.world.terminal.record.voltage_v[-1] == 0.0
    assert result.outcome.states == [RunState.PREPARING, RunState.SAFING, RunState.SAFE]
    assert len(session.world.light_path.record.pulses) == 0
    assert open_run(result.path).state == "fault"


@pytest.mark.parametrize("source", ["keithley-2400", "keithley-2450"])
def test_an_open_contact_ends_the_run(tmp_path: Path, source: str) -> None:
    session, result = run(tmp_path, None if source == "keithley-2400" else bench_with(source), faults=(LIFTED,))
    assert isinstance(result.outcome.fault, InstrumentError)
    assert "contact is open" in result.outcome.fault.what
    assert max(np.abs(session.world.terminal.record.voltage_v)) <= 1.0
    assert result.outcome.safe.safe


@pytest.mark.parametrize("source", ["keithley-2400", "keithley-2450", "scpi-supply"])
def test_an_insulating_film_is_not_taken_for_an_open_contact(tmp_path: Path, source: str) -> None:
    _, result = run(tmp_path, None if source == "keithley-2400" else bench_with(source), variant="pmma")
    found = found_in(result)
    assert result.outcome.reason is FinishReason.DONE
    assert found is not None
    assert found.condition == ("undecided" if source == "scpi-supply" else "sound")


@pytest.mark.parametrize("fault", [SHORTED, LIFTED])
def test_a_bench_that_only_wants_a_note_goes_on(tmp_path: Path, fault: str) -> None:
    session, result = run(tmp_path, policy("note"), volts=2.0, faults=(fault,))
    found = found_in(result)
    assert found is not None
    assert found.condition == ("short" if fault == SHORTED else "open")
    assert RunState.DARK in result.outcome.states
    # a short draws the limit at 2 V, nothing flows through the other
    assert (result.outcome.reason is FinishReason.DONE) == (fault == LIFTED)
    assert session.world.terminal.record.voltage_v[-1] == 0.0


def test_a_bench_that_wants_none_sees_the_first_voltage_of_the_run_first(tmp_path: Path) -> None:
    session, result = run(tmp_path, policy("off"))
    assert found_in(result) is None
    assert list(session.world.terminal.record.voltage_v)[:2] == [0.0, 20.0]


def test_a_run_without_voltage_takes_no_look(tmp_path: Path) -> None:
    from rig.measurements.fluence_sweep import FluenceSweep

    session = Session(out=tmp_path)
    result = session.run(FluenceSweep(points=8, shots_per_point=5))
    assert found_in(result) is None
    assert set(session.world.terminal.record.voltage_v) == {0.0}


def test_a_stop_during_the_look_switches_off_and_applies_nothing_more(tmp_path: Path) -> None:
    stop = StopRequest()

    def tamper(world: Any) -> None:
        set_voltage = world.terminal.set_voltage

        def noticed(voltage_v: float, t_ns: int) -> None:
            set_voltage(voltage_v, t_ns)
            if voltage_v == 0.1:
                stop.request("enough")

        world.terminal.set_voltage = noticed

    session = Session(out=tmp_path, prepare_world=tamper)
    result = session.run(OnOff(on_time_s=0.2, off_time_s=0.2, cycles=1), stop=stop)
    assert result.outcome.reason is FinishReason.STOPPED
    assert result.outcome.safe.safe
    assert set(session.world.terminal.record.voltage_v) == {0.0, 0.1}
    assert session.world.terminal.record.voltage_v[-1] == 0.0


def test_the_same_seed_gives_the_same_look(tmp_path: Path) -> None:
    first, second = (found_in(run(tmp_path / name)[1]) for name in "ab")
    assert first is not None
    assert first == second
