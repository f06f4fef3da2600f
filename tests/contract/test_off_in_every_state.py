"""Off from every state of every instrument and of its link, and what a link may believe after a fault of the wire."""

from collections.abc import Callable

import pytest
from faces import FACES, IN_PROCESS, SERVED
from hypothesis import given, settings
from hypothesis import strategies as st
from role_bench import FACTS, FIRST_LINE, GPIB, LIMITS, LINE, MS, STATES, US, RoleBench, State, of_role

from drivers.errors import InstrumentError, LinkDesync, LinkTimeout, RigError, WrongIdentity
from drivers.link import LinkState
from drivers.registry import DriverEntry, entries
from drivers.roles import ExposureProgram, HoldLevel, LevelList
from rig.safety import Confirmation, make_safe
from sim_instruments import catalogue
from sim_instruments.world import FaultyCable

TIMEOUT_S = 0.1
PROMPT_S = 0.01  # by when the instrument has done what make_safe() said
WATCH_S = 1.0
ROLES = tuple(STATES)
LIVE = {
    "voltage_source": ("holding", "list walking"),
    "laser_trigger": ("by hand", "bursting"),
    "spectrometer": ("exposing a train", "exposing for long"),
}


def live(role: str, entry: DriverEntry) -> tuple[str, ...]:
    """States in which something happens by itself."""
    if role == "spectrometer" and not entry.kind.has_clock:
        return "armed", "exposing for long"  # of a train its one spectrum would lie in the link already
    return LIVE[role]


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
    for name in live(role, case.values[0][0])
]
LINKS = [pytest.param(role, case.values[0], id=case.id) for role in ROLES for case in of_role(role)]
LINES = [link for link in LINKS if LINE in link.values[1]]
STRANGERS = [
    pytest.param(*link.values, other, id=f"{link.id}-answered-by-{other.model}")
    for link in LINKS
    for other in entries()
    if other is not link.values[1][0] and other.role in ROLES and other.build is not None
]
Model = tuple[DriverEntry, str, str]


def livest(role: str, entry: DriverEntry) -> str:
    """The state in which most happens by itself."""
    if role == "voltage_source":
        return "list walking" if entry.kind.max_list_points else "holding"
    return {"laser_trigger": "bursting", "spectrometer": "armed"}[role]


def test_every_driver_has_a_persona() -> None:
    on_a_wire = {(entry.model, entry.role) for entry in entries() if entry.build is not None}
    assert on_a_wire <= {(entry.model, entry.role) for entry in catalogue.entries()}


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
    bench.wires[role].lose = 9  # the answer, and a spectrum that was asked for before
    bench.links[role].write_bytes(bench.facts[role].question)
    with pytest.raises(LinkTimeout):
        bench.links[role].read_bytes(44)
    bench.wires[role].lose = 0
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
    assert bench.now_ns() - told_ns <= bench.face.transfer_ns
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


@pytest.mark.fault("W1", "W2", "W5", "W7")
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
@pytest.mark.parametrize(("role", "model", "name"), LIVE_CASES)
def test_off_whatever_is_wrong_with_the_link(role: str, model: Model, name: str, trouble: Trouble) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    bench.instruments[role].identify()
    STATES[role][name](bench)
    keep_triggering(bench)
    trouble(bench, role)
    go_safe_and_watch(bench, role)


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_the_judge_sees_an_instrument_that_is_not_off(role: str, model: Model) -> None:
    bench = RoleBench(*model)
    STATES[role][livest(role, model[0])](bench)
    keep_triggering(bench)
    bench.wait(PROMPT_S)
    off_ns = bench.now_ns()
    bench.wait(WATCH_S)
    assert dangers_since(bench, role, off_ns) != []


@pytest.mark.parametrize(("role", "model"), LINKS)
def test_off_may_be_said_again_and_again(role: str, model: Model) -> None:
    bench = RoleBench(*model)
    STATES[role][livest(role, model[0])](bench)
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
    STATES[role][livest(role, model[0])](bench)


# --- all three at once


def live_bench(face: str) -> RoleBench:
    """20 V on, pulses at 1 kHz, an exposure at every pulse."""
    bench = RoleBench(face=face)
    STATES["spectrometer"]["armed"](bench)
    STATES["voltage_source"]["holding"](bench)
    STATES["laser_trigger"]["bursting"](bench)
    return bench


@pytest.mark.parametrize("face", FACES)
def test_off_reaches_all_before_any_is_asked_and_light_goes_first(face: str) -> None:
    bench = live_bench(face)
    start = len(bench.log)
    assert make_safe(bench.instruments).safe
    first_three = ("laser_trigger", "voltage_source", "spectrometer")
    assert bench.log[start : start + 3] == [(role, bench.instruments[role].off_message) for role in first_three]
    off_ns = bench.now_ns()
    bench.wait(WATCH_S)
    assert [dangers_since(bench, role, off_ns) for role in ROLES] == [[], [], []]


@pytest.mark.fault("W8")
@pytest.mark.parametrize("silent", ROLES)
@pytest.mark.parametrize("face", FACES)
def test_one_that_never_answers_does_not_keep_the_others_on(face: str, silent: str) -> None:
    bench = live_bench(face)
    bench.wires[silent].lose = 10**9
    report = make_safe(bench.instruments)
    off_ns = bench.now_ns()
    assert {role: sure for role, (sure, _) in report.instruments.items()} == {
        role: Confirmation.SENT if role == silent else Confirmation.CONFIRMED for role in ROLES
    }
    bench.wait(WATCH_S)
    assert [dangers_since(bench, role, off_ns) for role in ROLES] == [[], [], []]


ACTS: dict[str, Callable[[RoleBench], object]] = {
    "prepare": lambda bench: [bench.source.prepare(LIMITS), bench.laser.prepare(), bench.spectrometer.prepare()],
    "load a level": lambda bench: bench.source.load(HoldLevel(20.0)),
    "load a list": lambda bench: bench.source.load(LevelList((20.0, -5.0, 0.0), FIRST_LINE)),
    "arm the source": lambda bench: bench.source.arm(),
    "measure": lambda bench: bench.source.measure(),
    "collect points": lambda bench: bench.source.collect(),
    "load a burst": lambda bench: bench.bursts(300),
    "fire": lambda bench: bench.laser.fire(),
    "load exposures": lambda bench: bench.spectrometer.load(ExposureProgram(100 * US, "external_edge")),
    "arm the spectrometer": lambda bench: bench.spectrometer.arm(),
    "collect frames": lambda bench: bench.spectrometer.collect(),
    "ask the source": lambda bench: reply_unread(bench, "voltage_source"),
    "lose an answer": lambda bench: setattr(bench.wires["voltage_source"], "lose", 1),
    "delay an answer": lambda bench: setattr(bench.wires["laser_trigger"], "late_ns", 400 * MS),
    "front panels": lambda bench: [bench.by_hand(role) for role in ROLES],
    "going safe": lambda bench: make_safe(bench.instruments),
    "wait": lambda bench: bench.wait(0.05),
}


@pytest.mark.parametrize("face", FACES)
@given(acts=st.lists(st.sampled_from(sorted(ACTS)), max_size=10))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_whatever_was_done_before_off_is_off(face: str, acts: list[str]) -> None:
    bench = RoleBench(face=face, timeout_s=TIMEOUT_S)
    for act in acts:
        try:
            ACTS[act](bench)
        except RigError:
            pass  # refusing is always allowed; what counts is the end
        lowest, highest = min(bench.voltages_since(0)), max(bench.voltages_since(0))
        assert LIMITS.voltage_min_v <= lowest <= highest <= LIMITS.voltage_max_v
    keep_triggering(bench)
    for wire in bench.wires.values():
        wire.lose = wire.late_ns = 0
    assert make_safe(bench.instruments).safe
    bench.wait(PROMPT_S)
    off_ns = bench.now_ns()
    bench.wait(WATCH_S)
    assert [dangers_since(bench, role, off_ns) for role in ROLES] == [[], [], []]


# --- links: what may be believed after a fault of the wire


@pytest.mark.fault("W1")
@pytest.mark.parametrize(("role", "model"), LINKS)
def test_a_lost_answer_makes_the_link_doubtful_and_resync_brings_it_back(role: str, model: Model) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument, link = bench.instruments[role], bench.links[role]
    identity = instrument.identify()
    bench.wires[role].lose = 1
    asked_ns = bench.now_ns()
    with pytest.raises(LinkTimeout):
        instrument.identify()
    assert bench.now_ns() - asked_ns == pytest.approx(TIMEOUT_S * 1e9, abs=2 * MS)
    assert link.state is LinkState.DOUBTFUL
    told = len(bench.wires[role].traffic)
    with pytest.raises(LinkDesync):
        link.write_bytes(bench.facts[role].question)
    assert len(bench.wires[role].traffic) == told
    assert instrument.identify() == identity
    assert link.state is LinkState.READY


@pytest.mark.fault("W2")
@pytest.mark.parametrize("late_s", [TIMEOUT_S + 0.001, TIMEOUT_S + 0.03, TIMEOUT_S + 0.25, 2 * TIMEOUT_S])
@pytest.mark.parametrize(("role", "model"), LINKS)
def test_a_late_answer_is_never_taken_for_another(role: str, model: Model, late_s: float) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument = bench.instruments[role]
    identity = instrument.identify()
    instrument.make_safe()
    bench.wires[role].late_ns = round(late_s * 1e9)
    with pytest.raises(LinkTimeout):
        instrument.read_safe()
    for _ in range(3):
        try:
            assert instrument.read_safe().safe
            assert instrument.identify() == identity
        except InstrumentError:
            bench.wait(0.1)  # it may take a second try, but never a wrong answer
            continue
        break
    else:
        pytest.fail("the link never came back")


@pytest.mark.fault("W3")
@pytest.mark.parametrize(("role", "model"), LINES)
def test_an_answer_that_comes_twice_is_noticed_before_the_next_question(role: str, model: Model) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument = bench.instruments[role]
    identity = instrument.identify()
    bench.wires[role].double = True
    with pytest.raises(LinkDesync):
        [instrument.identify(), instrument.read_safe()]  # one of the questions after it
    instrument.make_safe()
    assert instrument.read_safe().safe
    assert instrument.identify() == identity


@pytest.mark.fault("W5")
@pytest.mark.parametrize(("role", "model"), LINES)
def test_half_an_answer_and_then_silence_is_no_answer(role: str, model: Model) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument = bench.instruments[role]
    identity = instrument.identify()
    end = bench.entries[role].read_termination
    bench.wires[role].rewrite = bench.facts[role].reply_cut if end is None else (end.encode(), b"")
    with pytest.raises(LinkTimeout):
        instrument.identify()
    bench.wires[role].rewrite = None
    assert instrument.identify() == identity


@pytest.mark.fault("W10")
@pytest.mark.parametrize(("role", "model"), LINKS)
def test_another_instrument_after_a_resync_is_refused(role: str, model: Model) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    instrument = bench.instruments[role]
    serial = instrument.identify().serial.encode()
    bench.wires[role].lose = 1
    with pytest.raises(LinkTimeout):
        instrument.identify()
    bench.wires[role].rewrite = serial, serial[:-1] + b"X"
    with pytest.raises(WrongIdentity):
        instrument.identify()
    assert bench.links[role].state is LinkState.DOUBTFUL
    with pytest.raises(InstrumentError):
        instrument.read_safe()


@pytest.mark.fault("I4")
@pytest.mark.parametrize(("role", "model", "other"), STRANGERS)
def test_the_wrong_instrument_at_a_resource_is_refused_untouched(role: str, model: Model, other: DriverEntry) -> None:
    bench = RoleBench(*model, timeout_s=TIMEOUT_S)
    wire = bench.wires[role]
    elsewhere = RoleBench(other, FACTS[other.model].resources[0])
    wire.persona = elsewhere.wires[other.role].persona
    with pytest.raises(InstrumentError) as refused:
        bench.instruments[role].identify()
    both_speak_text = not bench.links[role].binary and other.read_termination is not None
    assert isinstance(refused.value, WrongIdentity) == both_speak_text
    assert len(wire.traffic) == 1  # it was asked who it is, no more
    bench.wait(0.1)
    for world in (bench, elsewhere):
        assert world.voltages_since(0) == [0.0]
    assert bench.pulses_since(0) == {}


@pytest.mark.fault("W4")
@pytest.mark.parametrize(("resource", "face"), [(GPIB, IN_PROCESS), (LINE, IN_PROCESS), (LINE, SERVED)])
def test_garbage_in_an_answer_is_never_a_value(resource: str, face: str) -> None:
    entry = next(entry for entry in entries() if entry.role == "voltage_source")
    bench = RoleBench(entry, resource, face, timeout_s=TIMEOUT_S)
    bench.source.prepare(LIMITS)
    bench.source.load(HoldLevel(20.0))
    bench.source.arm()
    for old, new in ((b"E+01", b"\xff\xfe01"), (b",", b";"), (b"+", b"x")):
        bench.wires["voltage_source"].rewrite = old, new
        with pytest.raises(InstrumentError):
            bench.source.measure()
        bench.wires["voltage_source"].rewrite = None
        bench.source.make_safe()
        assert bench.source.read_safe().safe
        bench.source.prepare(LIMITS)
        bench.source.load(HoldLevel(20.0))
        bench.source.arm()
        assert bench.source.measure().voltage_v == pytest.approx(20.0, abs=0.03)
