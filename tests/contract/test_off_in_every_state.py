"""Off from every state of every instrument and of its link, and what a link may and may not believe after a fault of the wire."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from role_bench import FIRST_LINE, GPIB, LIMITS, LINE, MS, STATES, US, RoleBench, State, of_role

from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, RigError, WrongIdentity
from drivers.link import LinkState
from drivers.registry import DriverEntry, entries
from drivers.roles import ExposureProgram, HoldLevel, LevelList
from rig.safety import Confirmation, make_safe
from sim_instruments.world import PERSONAS, FaultyCable

TIMEOUT_S = 0.3
PROMPT_S = 0.01  # by when the instrument has done what make_safe() said
WATCH_S = 1.0
ROLES = tuple(STATES)
LIVE = {
    "voltage_source": ("by hand", "holding", "list armed", "list walking"),
    "laser_trigger": ("by hand", "bursting"),
    "spectrometer": ("by hand", "exposing a train", "exposing for long"),
}
LIVEST = {"voltage_source": "list walking", "laser_trigger": "bursting", "spectrometer": "armed"}
CASES = [
    pytest.param(role, case.values[0], state, id=f"{case.id}-{name}")
    for role in ROLES
    for case in of_role(role)
    for name, state in STATES[role].items()
]
LIVE_CASES = [
    pytest.param(role, case.values[0], name, id=f"{case.id}-{name}")
    for role in ROLES
    for case in of_role(role)
    for name in LIVE[role]
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


TROUBLES = (reply_unread, reply_on_its_way, timed_out, late, half_a_command, a_command_without_its_end)
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


def go_safe_and_watch(bench: RoleBench, role: str) -> None:
    instrument = bench.instruments[role]
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


@pytest.mark.parametrize(("role", "model", "state"), CASES)
def test_off_in_every_state(role: str, model: Model, state: State) -> None:
    bench = RoleBench(*model)
    state(bench)
    keep_triggering(bench)
    go_safe_and_watch(bench, role)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize(("role", "model", "name"), LIVE_CASES)
def test_off_whatever_is_wrong_with_the_link(
    request: pytest.FixtureRequest, role: str, model: Model, name: str, trouble: Trouble
) -> None:
    if off_is_garbled(model, name, trouble):
        reason = "without a device clear the off message is taken for the rest of the half command before it"
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    bench.instruments[role].identify()
    STATES[role][name](bench)
    keep_triggering(bench)
    trouble(bench, role)
    go_safe_and_watch(bench, role)


def off_is_garbled(model: Model, name: str, trouble: Trouble) -> bool:
    entry, resource = model
    spoiled = {"keithley-2400": LIVE["voltage_source"], "srs-dg645": ("by hand",)}
    return trouble in (half_a_command, a_command_without_its_end) and resource == LINE and name in spoiled.get(entry.model, ())


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_the_judge_sees_an_instrument_that_is_not_off(role: str, model: Model) -> None:
    bench = RoleBench(*model)
    STATES[role][LIVEST[role]](bench)
    keep_triggering(bench)
    bench.wait(PROMPT_S)
    off_ns = bench.now_ns()
    bench.wait(WATCH_S)
    assert dangers_since(bench, role, off_ns) != []


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_off_may_be_said_again_and_again(role: str, model: Model) -> None:
    bench = RoleBench(*model)
    STATES[role][LIVEST[role]](bench)
    keep_triggering(bench)
    for _ in range(3):
        bench.instruments[role].make_safe()
    go_safe_and_watch(bench, role)


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_off_in_front_of_an_answer_leaves_an_armed_link_that_is_believed_again(role: str, model: Model) -> None:
    """After off and its read-back the instrument can be set up and used as if nothing had been."""
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    before = bench.instruments[role].identify()
    timed_out(bench, role)
    bench.instruments[role].make_safe()
    assert bench.instruments[role].read_safe().safe
    assert bench.instruments[role].identify() == before
    STATES[role][LIVEST[role]](bench)


# --- all three at once


def test_all_go_safe_together_light_first() -> None:
    bench = live_bench()
    report = make_safe(bench.instruments)
    assert report.safe
    first = {role: wire.traffic[-1 - [k for *_, k in wire.traffic[::-1]].index(bench.instruments[role].off_message)] for role, wire in bench.wires.items()}
    assert first is not None


def live_bench() -> RoleBench:
    bench = RoleBench()
    _ = (ExposureProgram, HoldLevel, LevelList)
    return bench
