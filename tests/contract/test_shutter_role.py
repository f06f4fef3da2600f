"""What every shutter has to do, judged by the light that comes through it to the film."""

from collections.abc import Callable

import numpy as np
import pytest
from role_bench import MS, USUAL_OUTPUTS, RoleBench, Wire, of_role

from drivers.errors import InstrumentError
from drivers.link import LinkState
from drivers.registry import DriverEntry
from drivers.roles import Shutter
from rig.safety import make_safe
from sim_instruments import visa_library
from sim_instruments.thorlabs_sc10 import Sc10Persona

TIMEOUT_S = 0.2
DARK = 1e-3  # of the light with nothing in the beam
SAFE_S = 2.0  # by when it has to be closed, whatever the link had to say


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens by itself on these benches: waiting in vain need not take small steps."""
    monkeypatch.setattr(visa_library, "STEP_NS", MS)


@pytest.fixture(params=of_role("shutter"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model, timeout_s=TIMEOUT_S)


def shutter(bench: RoleBench) -> Shutter:
    return bench.instruments["shutter"]


def wire(bench: RoleBench) -> Wire:
    return bench.wires["shutter"]


def shown(bench: RoleBench) -> float:
    """Transmission now, as the world has it."""
    return float(bench.world.beam.transmission(np.array([bench.now_ns()]))[0])


def brightest(bench: RoleBench, for_s: float = 1.0) -> float:
    """Greatest transmission from now on for a while (s)."""
    begin_ns = bench.now_ns()
    bench.wait(for_s)
    return float(bench.world.beam.transmission(np.arange(begin_ns, bench.now_ns(), MS)).max())


def opened(bench: RoleBench) -> None:
    shutter(bench).prepare()
    shutter(bench).open()
    assert shown(bench) == 1.0


def test_says_who_it_is(bench: RoleBench, model: tuple[DriverEntry, str, str]) -> None:
    identity = shutter(bench).identify()
    assert model[0].matches(f"{identity.maker},{identity.model}")


def test_pulses_come_through_when_it_is_open_and_not_when_it_is_closed(bench: RoleBench) -> None:
    """Closed, open, closed in the middle of a train: each pulse bright or dark as the blades stood."""
    shutter(bench).prepare()
    bench.bursts(1000, outputs=USUAL_OUTPUTS)
    bench.laser.fire()
    marks = [bench.now_ns()]
    for act in (shutter(bench).open, shutter(bench).close):
        bench.wait(0.2)
        act()
        marks.append(bench.now_ns())
    bench.wait(1.0)
    bench.light_ns()
    record = bench.world.light_path.record.pulses
    t_ns, energy = record["t_ns"], record["fluence_uj_cm2"] / 40.0
    assert len(t_ns) == 1000
    before = (t_ns > marks[0]) & (t_ns < marks[0] + 200 * MS)
    between = (t_ns > marks[1]) & (t_ns < marks[1] + 200 * MS)
    after = t_ns > marks[2]
    assert min(before.sum(), between.sum(), after.sum()) > 150
    assert energy[before].max() < DARK
    assert energy[after].max() < DARK
    assert np.median(energy[between]) == pytest.approx(1.0, abs=0.05)
    assert (energy[between] > 0.9).mean() > 0.99  # the laser itself may miss one


def test_opening_and_closing_are_over_when_it_says_so(bench: RoleBench) -> None:
    shutter(bench).prepare()
    for _ in range(3):
        shutter(bench).open()
        assert shown(bench) == 1.0
        shutter(bench).close()
        assert shown(bench) < DARK


@pytest.mark.parametrize("byte_us", [0, 100, 160, 300])
def test_open_is_said_when_it_is_open_however_fast_the_line(bench: RoleBench, byte_us: int) -> None:
    """On some lines the question falls into the movement of the blades."""
    shutter(bench).prepare()
    other = Sc10Persona(wire_time=False)
    other._line.replies.byte_ns = byte_us * 1000
    bench.world.beam.elements[:] = [other.blades]
    wire(bench).persona = other
    shutter(bench).open()
    assert shown(bench) == 1.0
    shutter(bench).close()
    assert shown(bench) < DARK


def test_opening_twice_leaves_it_open_and_closing_twice_closed(bench: RoleBench) -> None:
    shutter(bench).prepare()
    for act, expected in ((shutter(bench).open, 1.0), (shutter(bench).close, 0.0)):
        act()
        act()
        bench.wait(0.1)
        assert shown(bench) == pytest.approx(expected, abs=DARK)


def test_it_opens_and_closes_in_the_time_it_says(bench: RoleBench) -> None:
    shutter(bench).prepare()
    kind = shutter(bench)
    before = len(wire(bench).traffic)
    kind.open()
    (sent_ns,) = [t_ns for t_ns, _, data in wire(bench).traffic[before:] if data == b"ens\r"]
    grid = np.arange(sent_ns, sent_ns + 200 * MS, MS // 10)
    open_ns = grid[bench.world.beam.transmission(grid) == 1.0][0]
    assert 0 < open_ns - sent_ns <= kind.opening_time_s * 1e9
    bench.wait(0.1)
    asked_ns = bench.now_ns()
    kind.make_safe()
    bench.wait(0.1)
    grid = np.arange(asked_ns, asked_ns + 200 * MS, MS // 10)
    closed_ns = grid[bench.world.beam.transmission(grid) < DARK][0]
    assert 0 < closed_ns - asked_ns <= kind.closing_time_s * 1e9


# --- states to be made safe from


def fresh(bench: RoleBench) -> None:
    """As it was switched on."""


def prepared(bench: RoleBench) -> None:
    shutter(bench).prepare()


def closing(bench: RoleBench) -> None:
    opened(bench)
    with bench.links["shutter"].conversation():
        bench.links["shutter"].write_bytes(b"ens\r")
        bench.links["shutter"].read_bytes(6)
    for _ in range(20):  # how long the answer took is the link's
        bench.wait(0.001)
        if shown(bench) < 1:
            break
    assert DARK < shown(bench) < 1


def opening(bench: RoleBench) -> None:
    shutter(bench).prepare()
    wire(bench).press_enable(bench.now_ns())
    bench.wait(0.009)
    assert DARK < shown(bench) < 1


def opened_by_hand(bench: RoleBench) -> None:
    shutter(bench).prepare()
    wire(bench).press_enable(bench.now_ns())
    bench.wait(0.1)
    assert shown(bench) == 1.0


def opened_by_another_host(bench: RoleBench) -> None:
    """Whose answer nobody has read."""
    bench.by_hand("shutter")
    bench.wait(0.1)
    assert shown(bench) == 1.0


def opening_by_itself(bench: RoleBench) -> None:
    for command in (b"mode=2\r", b"open=70\r", b"shut=50\r", b"ens\r"):
        wire(bench).persona.receive(command, bench.now_ns())
        bench.wait(0.1)
    bench.links["shutter"].flush_read_buffer()
    assert brightest(bench) == 1.0


STATES = [fresh, prepared, opened, opening, closing, opened_by_hand, opened_by_another_host, opening_by_itself]


# --- what may be wrong with the link then


def fine(bench: RoleBench) -> None:
    """Nothing is wrong."""


def reply_unread(bench: RoleBench) -> None:
    bench.links["shutter"].write_bytes(b"ens?\r")
    bench.wait(0.1)
    assert bench.links["shutter"].state is LinkState.AWAITING


def reply_on_its_way(bench: RoleBench) -> None:
    bench.links["shutter"].write_bytes(b"ens?\r")


def reply_lost(bench: RoleBench) -> None:
    wire(bench).lose = 1


def reply_late(bench: RoleBench) -> None:
    wire(bench).late_ns = 700 * MS


def reply_doubled(bench: RoleBench) -> None:
    wire(bench).double = True


def half_a_question(bench: RoleBench) -> None:
    wire(bench).cut_at = 2
    with pytest.raises(InstrumentError):
        bench.links["shutter"].write_bytes(b"ens?\r")


def a_toggle_without_its_end(bench: RoleBench) -> None:
    wire(bench).cut_at = 3
    with pytest.raises(InstrumentError):
        bench.links["shutter"].write_bytes(b"ens\r")


TROUBLES = [
    fine,
    reply_unread,
    reply_on_its_way,
    reply_lost,
    reply_late,
    reply_doubled,
    half_a_question,
    a_toggle_without_its_end,
]
Story = Callable[[RoleBench], None]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("state", STATES)
def test_going_safe_closes_it_from_every_state_and_it_stays_closed(bench: RoleBench, state: Story, trouble: Story) -> None:
    state(bench)
    if bench.links["shutter"].state is LinkState.READY:
        bench.links["shutter"].flush_read_buffer()
    trouble(bench)
    asked_ns = bench.now_ns()
    shutter(bench).make_safe()
    assert bench.now_ns() - asked_ns <= SAFE_S * 1e9
    bench.wait(shutter(bench).closing_time_s)
    assert brightest(bench) < DARK
    if state in (fresh, prepared):
        assert bench.world.beam.transmission(np.arange(asked_ns, bench.now_ns(), MS)).max() < DARK
    assert shutter(bench).read_safe().safe


@pytest.mark.parametrize("answers_before", range(4))
@pytest.mark.parametrize("trouble", [reply_lost, reply_late, reply_doubled])
def test_a_fault_on_the_way_to_safety_is_survived(bench: RoleBench, trouble: Story, answers_before: int) -> None:
    opened(bench)
    take, seen = wire(bench).persona.take, 0

    def count(max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        nonlocal seen
        found = take(max_bytes, t_ns)
        seen += found[1]
        if found[1] and seen == answers_before:
            trouble(bench)
        return found

    wire(bench).persona.take = count  # type: ignore[method-assign]
    if answers_before == 0:
        trouble(bench)
    shutter(bench).make_safe()
    assert shutter(bench).read_safe().safe
    assert brightest(bench) < DARK


@pytest.mark.fault("I10")
def test_a_controller_that_says_nothing_any_more_is_told(bench: RoleBench) -> None:
    opened(bench)
    wire(bench).lose = 10_000
    with pytest.raises(InstrumentError):
        shutter(bench).make_safe()
    with pytest.raises(InstrumentError):
        shutter(bench).read_safe()


def test_a_mute_controller_keeps_nobody_waiting_for_long(model: tuple[DriverEntry, str, str]) -> None:
    """Whoever goes safe waits for it before anything is said."""
    bench = RoleBench(*model)  # with the patience of a real bench
    opened(bench)
    wire(bench).lose = 10_000
    asked_ns = bench.now_ns()
    assert not make_safe({"shutter": shutter(bench)}).safe
    assert bench.now_ns() - asked_ns < 4e9


@pytest.mark.fault("I10")
def test_what_is_open_is_never_told_as_safe(bench: RoleBench) -> None:
    opened(bench)
    told = shutter(bench).read_safe()
    assert not told.safe
    assert "ENABLED" in told.detail


def test_going_safe_twice_does_not_open_it_again(bench: RoleBench) -> None:
    opened(bench)
    for _ in range(3):
        shutter(bench).make_safe()
    bench.wait(0.05)
    assert brightest(bench) < DARK


@pytest.mark.parametrize("state", STATES)
def test_prepare_leaves_it_closed_in_manual_mode(bench: RoleBench, state: Story) -> None:
    state(bench)
    for _ in range(2):  # what another host left unread may be told once
        try:
            shutter(bench).prepare()
        except InstrumentError:
            continue
        break
    assert brightest(bench) < DARK
    assert shutter(bench).errors() == []
    shutter(bench).open()
    assert shown(bench) == 1.0


@pytest.mark.fault("I5")
def test_a_tripped_interlock_is_told_and_what_to_do(bench: RoleBench) -> None:
    opened(bench)
    wire(bench).set_interlock(bench.now_ns(), tripped=True)
    bench.wait(0.1)
    assert shown(bench) < DARK
    with pytest.raises(InstrumentError, match="interlock") as told:
        shutter(bench).open()
    assert "lid" in told.value.next_step
    assert "interlock tripped" in shutter(bench).errors()
    assert brightest(bench) < DARK
    wire(bench).set_interlock(bench.now_ns(), tripped=False)
    assert brightest(bench) < DARK
    shutter(bench).open()
    assert shown(bench) == 1.0


def test_it_is_not_opened_when_somebody_has_changed_its_mode(bench: RoleBench) -> None:
    shutter(bench).prepare()
    wire(bench).persona.receive(b"mode=2\r", bench.now_ns())
    bench.wait(0.1)
    bench.links["shutter"].flush_read_buffer()
    with pytest.raises(InstrumentError, match="manual"):
        shutter(bench).open()
    assert brightest(bench) < DARK
