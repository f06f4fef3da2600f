"""What every laser trigger has to do, judged by the pulses that left its outputs and the flashes on the film."""

import math
from dataclasses import replace

import pytest
from role_bench import MS, US, USUAL_OUTPUTS, RoleBench, State, of_role, states_of

from drivers.errors import InstrumentError, RefusedError
from drivers.registry import DriverEntry
from drivers.roles import BurstProgram, PulseOutput

T0, AB, EF = USUAL_OUTPUTS
TTL_HIGH_V = 2.0
PROMPT_S = 0.02  # by when a command has been executed


@pytest.fixture(params=of_role("laser_trigger"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model)


def fire(bench: RoleBench, for_s: float) -> None:
    bench.laser.fire()
    bench.wait(for_s)


@pytest.mark.parametrize("state", states_of("laser_trigger"))
def test_prepare_leaves_nothing_firing_whatever_was_before(bench: RoleBench, state: State) -> None:
    state(bench)
    bench.laser.prepare()
    prepared_ns = bench.now_ns()
    bench.wait(1.0)
    assert bench.pulses_since(prepared_ns) == {}
    assert bench.laser.read_safe().safe
    assert not bench.laser.busy()
    assert bench.laser.errors() == []


def test_loading_and_arming_fire_nothing(bench: RoleBench) -> None:
    bench.laser.prepare()
    for shots in (1, 7, 2000):
        bench.laser.load(BurstProgram(MS, USUAL_OUTPUTS, True))
        bench.laser.arm(shots)
        bench.wait(1.0)
    assert bench.pulses_since(0) == {}
    assert bench.light_ns() == []


@pytest.mark.parametrize("first_only", [True, False])
@pytest.mark.parametrize(("shots", "period_ns"), [(1, MS), (2, MS), (250, MS), (250, 2 * MS), (10, 100 * MS)])
def test_a_burst_has_exactly_its_pulses_at_exactly_their_times(
    bench: RoleBench, shots: int, period_ns: int, first_only: bool
) -> None:
    bench.bursts(shots, period_ns, first_only=first_only)
    fired_ns = bench.now_ns()
    fire(bench, shots * period_ns * 1e-9 + 1.0)
    begins, _ = bench.pulses("T0")
    start_ns = begins[0]
    assert 0 < start_ns - fired_ns <= PROMPT_S * 1e9
    grid = [start_ns + i * period_ns for i in range(shots)]
    assert begins == (grid[:1] if first_only else grid)
    for pulse in (AB, EF):
        begins, ends = bench.pulses(pulse.channel)
        assert begins == [t + pulse.delay_ns for t in grid]
        assert ends == [t + pulse.delay_ns + pulse.width_ns for t in grid]
    delay_ns = bench.world.light_path.laser.pulse_delay_ns
    assert bench.light_ns() == [t + EF.delay_ns + delay_ns for t in grid]


@pytest.mark.parametrize(
    "pulse",
    [
        PulseOutput("AB", 10 * US, 20 * US, 5.0, high_z=False, positive=True),
        PulseOutput("AB", 10 * US, 20 * US, 5.0, high_z=True, positive=True),
        PulseOutput("CD", 0, 20 * US, 3.3, high_z=False, positive=False),
        PulseOutput("GH", 123_456, 1, 2.5, high_z=True, positive=False),
        PulseOutput("T0", 0, 0, 5.0, high_z=True, positive=False),
    ],
    ids=str,
)
def test_levels_are_those_asked_for_at_the_input(bench: RoleBench, pulse: PulseOutput) -> None:
    bench.bursts(3, outputs=(pulse,))
    fire(bench, 0.1)
    (seen,) = bench.wires["laser_trigger"].emitted[pulse.channel]
    gain = 2.0 if pulse.high_z else 1.0
    high, low = (seen.active_v, seen.idle_v) if pulse.positive else (seen.idle_v, seen.active_v)
    assert gain * high == pytest.approx(pulse.level_v, abs=0.02)
    assert low == 0.0


def test_outputs_without_a_pulse_switch_nothing(bench: RoleBench) -> None:
    bench.bursts(20)  # all five were at work before
    fire(bench, 0.1)
    bench.laser.load(BurstProgram(MS, (EF,), False))
    bench.laser.arm(5)
    loaded_ns = bench.now_ns()
    fire(bench, 0.1)
    assert bench.pulses_since(loaded_ns)["EF"] == 5
    for channel, parts in bench.wires["laser_trigger"].emitted.items():
        for pulses in parts:
            if channel != "EF" and pulses.begin_ns[-1] > loaded_ns:
                assert 2 * max(pulses.active_v, pulses.idle_v) < TTL_HIGH_V


def test_bursts_of_different_length_one_after_the_other(bench: RoleBench) -> None:
    bench.bursts(5)
    fire(bench, 0.1)
    for shots in (1, 300, 2):
        bench.laser.arm(shots)
        before_ns = bench.now_ns()
        fire(bench, 0.5)
        assert bench.pulses_since(before_ns) == {"T0": 1, "AB": shots, "EF": shots}
    assert bench.laser.errors() == []


def test_firing_needs_arming_every_time(bench: RoleBench) -> None:
    bench.laser.prepare()
    with pytest.raises(InstrumentError):
        bench.laser.fire()
    with pytest.raises(InstrumentError):
        bench.laser.arm(5)
    bench.bursts(5)
    fire(bench, 0.1)
    with pytest.raises(InstrumentError):
        bench.laser.fire()
    bench.wait(0.1)
    assert len(bench.pulses("EF")[0]) == 5


def test_busy_from_the_first_shot_to_the_last(bench: RoleBench) -> None:
    bench.bursts(100)
    assert not bench.laser.busy()
    bench.laser.fire()
    assert bench.laser.busy()
    last_ns = bench.pulses("T0")[0][0] + 99 * MS + EF.delay_ns
    bench.face.advance_to(last_ns - 5 * MS)
    assert bench.laser.busy()
    bench.face.advance_to(last_ns + 5 * MS)
    assert not bench.laser.busy()


def test_arming_during_a_burst_is_refused_and_does_it_no_harm(bench: RoleBench) -> None:
    bench.bursts(100)
    bench.laser.fire()
    bench.wait(0.02)
    with pytest.raises(InstrumentError):
        bench.laser.arm(50)
    bench.wait(0.2)
    assert len(bench.pulses("EF")[0]) == 100


def test_stopping_in_the_middle_ends_the_burst(bench: RoleBench) -> None:
    bench.bursts(1000)
    fire(bench, 0.1)
    bench.laser.make_safe()
    bench.wait(PROMPT_S)
    stopped_ns = bench.now_ns()
    assert 80 < len(bench.pulses("EF")[0]) < 130
    bench.wait(2.0)
    assert bench.pulses_since(stopped_ns) == {}
    assert bench.laser.read_safe().safe
    assert not bench.laser.busy()
    with pytest.raises(InstrumentError):
        bench.laser.fire()


def test_after_a_stop_the_next_burst_is_whole(bench: RoleBench) -> None:
    bench.bursts(1000)
    fire(bench, 0.1)
    bench.laser.make_safe()
    bench.wait(0.1)
    bench.laser.load(BurstProgram(MS, USUAL_OUTPUTS, True))
    bench.laser.arm(30)
    again_ns = bench.now_ns()
    fire(bench, 0.1)
    assert bench.pulses_since(again_ns) == {"T0": 1, "AB": 30, "EF": 30}


@pytest.mark.parametrize(
    "program",
    [
        BurstProgram(0, (EF,), True),
        BurstProgram(-MS, (EF,), True),
        BurstProgram(MS, (replace(EF, level_v=math.nan),), True),
        BurstProgram(MS, (replace(EF, level_v=12.0, high_z=True),), True),
        BurstProgram(MS, (replace(EF, level_v=0.2),), True),
        BurstProgram(MS, (replace(EF, delay_ns=-1),), True),
        BurstProgram(MS, (replace(EF, width_ns=0),), True),
        BurstProgram(MS, (replace(EF, delay_ns=MS),), True),
        BurstProgram(MS, (replace(EF, width_ns=2 * MS),), True),
        BurstProgram(MS, (EF, EF), True),
        BurstProgram(MS, (replace(T0, delay_ns=5),), True),
    ],
    ids=str,
)
def test_an_impossible_program_is_not_sent(bench: RoleBench, program: BurstProgram) -> None:
    bench.laser.prepare()
    before = len(bench.wires["laser_trigger"].traffic)
    with pytest.raises(RefusedError):
        bench.laser.load(program)
    assert len(bench.wires["laser_trigger"].traffic) == before


@pytest.mark.parametrize("shots", [0, -1, 2**40])
def test_an_impossible_length_is_not_sent(bench: RoleBench, shots: int) -> None:
    bench.bursts(5)
    before = len(bench.wires["laser_trigger"].traffic)
    with pytest.raises(RefusedError):
        bench.laser.arm(shots)
    assert len(bench.wires["laser_trigger"].traffic) == before
