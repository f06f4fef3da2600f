"""Off from every state of every instrument and of its link, and what a link may and may not believe after a fault of the wire."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from role_bench import (
    FIRST_LINE,
    GPIB,
    LIMITS,
    LINE,
    MS,
    STATES,
    RoleBench,
    State,
    of_role,
)

from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, RigError, WrongIdentity
from drivers.link import LinkState
from drivers.registry import DriverEntry, entries
from drivers.roles import ExposureProgram, HoldLevel, LevelList
from rig.safety import make_safe
from sim_instruments.world import PERSONAS, FaultyCable

TIMEOUT_S = 0.3
PROMPT_S = 0.01  # by when the instrument has done what make_safe() said
WATCH_S = 1.0
ROLES = tuple(STATES)
CASES = [
    pytest.param(role, case.values[0], state, id=f"{case.id}-{name}")
    for role in ROLES
    for case in of_role(role)
    for name, state in STATES[role].items()
]
LINKS = [pytest.param(role, case.values[0], id=case.id) for role in ROLES for case in of_role(role)]
Model = tuple[DriverEntry, str]


def test_every_driver_has_a_persona() -> None:
    assert {entry.model for entry in entries()} <= set(PERSONAS)
    assert {entry.role for entry in entries()} == set(ROLES)


# --- what can be wrong with a link before off is sent


def fine(bench: RoleBench, role: str) -> None:
    """Nothing is wrong."""


def reply_unread(bench: RoleBench, role: str) -> None:
    bench.links[role].write_bytes(bench.facts[role].question)
    bench.wait(0.01)
    assert bench.links[role].state is LinkState.AWAITING


def reply_on_its_way(bench: RoleBench, role: str) -> None:
    bench.links[role].write_bytes(bench.facts[role].question)


def timed_out(bench: RoleBench, role: str) -> None:
    bench.wires[role].lose = 1
    bench.links[role].write_bytes(bench.facts[role].question)
    with pytest.raises(LinkTimeout):
        bench.links[role].read_bytes(44)
    assert bench.links[role].state is LinkState.DOUBTFUL


def late(bench: RoleBench, role: str) -> None:
    bench.wires[role].late_ns = round(TIMEOUT_S * 1.1e9)
    bench.links[role].write_bytes(bench.facts[role].question)
    with pytest.raises(LinkTimeout):
        bench.links[role].read_bytes(44)


def half_a_command(bench: RoleBench, role: str) -> None:
    command = bench.facts[role].command
    bench.wires[role].cut_at = len(command) // 2
    with pytest.raises(InstrumentError):
        bench.links[role].write_bytes(command)


def a_command_without_its_end(bench: RoleBench, role: str) -> None:
    command = bench.facts[role].command
    bench.wires[role].cut_at = len(command) - 1
    with pytest.raises(InstrumentError):
        bench.links[role].write_bytes(command)


TROUBLES = (fine, reply_unread, reply_on_its_way, timed_out, late, half_a_command, a_command_without_its_end)
Trouble = Callable[[RoleBench, str], None]


def keep_triggering(bench: RoleBench) -> None:
    """Edges go on at the source and at the spectrometer, every 50 ms: off must hold against them."""
    times = [bench.now_ns() + i * 50 * MS for i in range(1, 100)]
    bench.steps_at(*times)
    bench.world.cable_to("spectrometer.trigger").fault = FaultyCable(invented_ns=times)


def dangers_since(bench: RoleBench, role: str, off_ns: int) -> object:
    """What the world saw after `off_ns` that must not have been; empty when all was well."""
    if role == "voltage_source":
        return [voltage_v for voltage_v in bench.voltages_since(off_ns) if voltage_v != 0.0]
    if role == "laser_trigger":
        flight_ns = bench.world.light_path.laser.pulse_delay_ns
        return [bench.pulses_since(off_ns)] * bool(bench.pulses_since(off_ns)) + [
            t for t in bench.light_ns() if t > off_ns + flight_ns
        ]
    return [t for t in bench.exposures()["open_ns"].tolist() if t > off_ns]


def written_since(bench: RoleBench, role: str, start: int) -> bytes:
    return b"".join(data for _, kind, data in bench.wires[role].traffic[start:] if kind == "write")


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize(("role", "model", "state"), CASES)
def test_off(role: str, model: Model, state: State, trouble: Trouble) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument = bench.instruments[role]
    instrument.identify()
    state(bench)
    keep_triggering(bench)
    trouble(bench, role)
    before, told_ns = len(bench.wires[role].traffic), bench.now_ns()
    instrument.make_safe()
    # write-only: off is all that was sent, and nothing was waited for
    assert written_since(bench, role, before) == instrument.off_message
    assert bench.now_ns() == told_ns
    bench.wait(PROMPT_S)
    off_ns = bench.now_ns()
    answer = instrument.read_safe()
    bench.wait(WATCH_S)
    assert dangers_since(bench, role, off_ns) == []
    assert answer.safe
    assert bench.links[role].state is LinkState.READY
    assert instrument.read_safe().safe


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_the_judge_sees_an_instrument_that_is_not_off(role: str, model: Model) -> None:
    state = {"voltage_source": "list walking", "laser_trigger": "bursting", "spectrometer": "armed"}[role]
    bench = RoleBench(*model)
    STATES[role][state](bench)
    keep_triggering(bench)
    bench.wait(PROMPT_S)
    off_ns = bench.now_ns()
    bench.wait(WATCH_S)
    assert dangers_since(bench, role, off_ns) != []
