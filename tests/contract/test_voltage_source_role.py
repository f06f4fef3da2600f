"""What every voltage source has to do, judged by the voltage that the film saw."""

import math
from itertools import pairwise

import pytest
from role_bench import FIRST_LINE, LIMITS, MS, STATES, RoleBench, State, of_role, states_of

from drivers.errors import InstrumentError, RefusedError
from drivers.registry import DriverEntry
from drivers.roles import HoldLevel, LevelList, SourceLimits

LIST = (20.0, 0.0, 10.0, -20.0, 0.0)
EDGES_S = (0.010, 0.0173, 0.030, 0.0451, 0.060)
READ_STATES = [pytest.param(state, id=name) for name, state in STATES["voltage_source"].items()]
READING_V = 0.03  # read noise is 4 mV rms in the 20 V range


@pytest.fixture(params=of_role("voltage_source"))
def model(request: pytest.FixtureRequest) -> tuple[DriverEntry, str, str]:
    return request.param


@pytest.fixture
def bench(model: tuple[DriverEntry, str, str]) -> RoleBench:
    return RoleBench(*model)


@pytest.fixture
def prepared(bench: RoleBench) -> RoleBench:
    bench.source.prepare(LIMITS)
    return bench


def traffic(bench: RoleBench) -> int:
    return len(bench.wires["voltage_source"].traffic)


def hold(bench: RoleBench, voltage_v: float) -> None:
    bench.source.load(HoldLevel(voltage_v))
    bench.source.arm()
    bench.wait(bench.source_facts.settling_s)


def within_reach(bench: RoleBench, program: HoldLevel | LevelList) -> None:
    """Skip what this source cannot do at all."""
    if isinstance(program, LevelList) and not bench.source.max_list_points:
        pytest.skip("walks no list")
    if isinstance(program, HoldLevel) and program.voltage_v < 0 and not bench.source.bipolar:
        pytest.skip("unipolar")


@pytest.fixture
def walker(prepared: RoleBench) -> RoleBench:
    """A prepared source that can walk a list."""
    within_reach(prepared, LevelList(LIST, FIRST_LINE))
    return prepared


# --- prepare, load


@pytest.mark.fault("I8")
@pytest.mark.parametrize("state", states_of("voltage_source"))
def test_prepare_leaves_the_output_off_whatever_was_before(bench: RoleBench, state: State) -> None:
    state(bench)
    bench.source.prepare(LIMITS)
    prepared_ns = bench.now_ns()
    bench.steps_after(*(0.1 * i for i in range(1, 9)))
    bench.wait(1.0)
    assert bench.voltages_since(prepared_ns) == [0.0]
    assert bench.source.read_safe().safe
    assert bench.source.errors() == []


@pytest.mark.parametrize("program", [HoldLevel(5.0), HoldLevel(-20.0), LevelList(LIST, FIRST_LINE)], ids=str)
def test_loading_changes_nothing_at_an_output_that_is_off(prepared: RoleBench, program: HoldLevel | LevelList) -> None:
    within_reach(prepared, program)
    loading_ns = prepared.now_ns()
    prepared.source.load(program)
    prepared.wait(0.1)
    assert prepared.voltages_since(loading_ns) == [0.0]
    assert prepared.source.read_safe().safe


def test_loading_changes_nothing_at_an_output_that_is_on(prepared: RoleBench) -> None:
    hold(prepared, 20.0)
    loading_ns = prepared.now_ns()
    prepared.source.load(HoldLevel(5.0))
    with pytest.raises((InstrumentError, RefusedError)):
        prepared.source.load(LevelList(LIST, FIRST_LINE))
    prepared.wait(0.1)
    assert prepared.voltages_since(loading_ns) == [20.0]


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "program",
    [
        HoldLevel(20.0 + 1e-9),
        HoldLevel(-20.0 - 1e-9),
        HoldLevel(math.nan),
        HoldLevel(math.inf),
        LevelList((20.0, 20.001, 0.0), FIRST_LINE),
        LevelList((20.0, math.nan, 0.0), FIRST_LINE),
        LevelList((0.0, 20.0), FIRST_LINE),
        LevelList((0.0, math.nan), FIRST_LINE),
        LevelList((), FIRST_LINE),
        LevelList((20.0, 0.0), 99),
    ],
    ids=str,
)
def test_what_the_limits_forbid_is_not_sent(prepared: RoleBench, program: HoldLevel | LevelList) -> None:
    before = traffic(prepared)
    with pytest.raises(RefusedError):
        prepared.source.load(program)
    assert traffic(prepared) == before
    with pytest.raises(InstrumentError):
        prepared.source.arm()
    assert max(prepared.voltages_since(0)) == 0.0


@pytest.mark.parametrize("voltage_v", [-1e-6, -5.0])
def test_a_unipolar_source_refuses_what_is_below_zero(prepared: RoleBench, voltage_v: float) -> None:
    if prepared.source.bipolar:
        pytest.skip("bipolar")
    before = traffic(prepared)
    with pytest.raises(RefusedError) as refused:
        prepared.source.load(HoldLevel(voltage_v))
    assert [reason.code for reason in refused.value.reasons] == ["voltage-negative"]
    assert traffic(prepared) == before


def test_a_list_longer_than_the_source_holds_is_refused(prepared: RoleBench) -> None:
    with pytest.raises(RefusedError):
        prepared.source.load(LevelList((0.0,) * (prepared.source.max_list_points + 1), FIRST_LINE))


@pytest.mark.parametrize(
    "limits",
    [SourceLimits(math.nan, 20.0, 1e-3), SourceLimits(-20.0, 1e6, 1e-3), SourceLimits(-20.0, 20.0, math.nan)],
    ids=str,
)
def test_limits_that_cannot_be_kept_are_refused(bench: RoleBench, limits: SourceLimits) -> None:
    before = traffic(bench)
    with pytest.raises(RefusedError):
        bench.source.prepare(limits)
    assert traffic(bench) == before


def test_nothing_is_loaded_or_armed_before_it_was_prepared(bench: RoleBench) -> None:
    for act in (lambda: bench.source.load(HoldLevel(1.0)), bench.source.arm):
        with pytest.raises(InstrumentError):
            act()
    assert bench.voltages_since(0) == [0.0]


# --- one level


@pytest.mark.parametrize("voltage_v", [20.0, 7.5, 0.0, -0.35, -20.0])
def test_arming_puts_the_level_on_and_reading_tells_it(prepared: RoleBench, voltage_v: float) -> None:
    within_reach(prepared, HoldLevel(voltage_v))
    armed_ns = prepared.now_ns()
    hold(prepared, voltage_v)
    assert prepared.levels_since(armed_ns) == ([0.0, voltage_v] if voltage_v else [0.0])
    reading = prepared.source.measure()
    assert prepared.voltage_v == voltage_v
    assert reading.voltage_v == pytest.approx(voltage_v, abs=READING_V)
    truth_a = prepared.world.film.current_a(voltage_v, prepared.now_ns())
    assert reading.current_a == pytest.approx(truth_a, rel=0.02, abs=prepared.source_facts.reading_a)
    assert not reading.in_compliance


def test_readings_carry_the_time_between_them(prepared: RoleBench) -> None:
    if not prepared.source.max_list_points:
        pytest.skip("has no clock: only a list needs one")
    hold(prepared, 20.0)
    first, first_ns = prepared.source.measure(), prepared.now_ns()
    prepared.wait(0.5)
    second, second_ns = prepared.source.measure(), prepared.now_ns()
    assert second.t_source_s - first.t_source_s == pytest.approx((second_ns - first_ns) * 1e-9, abs=1e-5)


def test_the_next_level_replaces_the_last_without_going_through_another(prepared: RoleBench) -> None:
    hold(prepared, 20.0)
    on_ns = prepared.now_ns()
    levels = (-3.0 if prepared.source.bipolar else 3.0, 8.0, 0.0)
    for level_v in levels:
        hold(prepared, level_v)
    assert prepared.levels_since(on_ns) == [20.0, *levels]


@pytest.mark.fault("I8")
@pytest.mark.parametrize("state", READ_STATES)
def test_reading_never_switches_on_and_raises_when_off(bench: RoleBench, state: State) -> None:
    state(bench)
    bench.source.make_safe()
    bench.wait(0.01)
    off_ns = bench.now_ns()
    bench.steps_after(*(0.005 * i for i in range(1, 20)))
    with pytest.raises(InstrumentError):
        bench.source.measure()
    assert bench.now_ns() - off_ns < 50 * MS
    bench.wait(0.1)
    assert bench.voltages_since(off_ns) == [0.0]
    assert bench.source.read_safe().safe


@pytest.mark.fault("I1", "P1")
def test_compliance_is_seen_and_the_current_stays_limited(prepared: RoleBench) -> None:
    prepared.world.add_leak(100.0, prepared.now_ns())
    hold(prepared, 20.0)
    reading = prepared.source.measure()
    assert reading.in_compliance
    assert reading.voltage_v == pytest.approx(0.1, abs=READING_V)
    assert max(prepared.voltages_since(0)) * (1 / 100.0) <= LIMITS.current_a * 1.001


def test_a_leak_that_opens_under_voltage_is_seen(prepared: RoleBench) -> None:
    hold(prepared, 20.0)
    assert not prepared.source.measure().in_compliance
    prepared.world.add_leak(1000.0, prepared.now_ns() + 5 * MS)
    prepared.wait(0.01)
    reading = prepared.source.measure()
    assert reading.in_compliance
    assert reading.current_a == pytest.approx(LIMITS.current_a, rel=0.01, abs=prepared.source_facts.reading_a)
    assert prepared.voltage_v == pytest.approx(1.0, abs=0.1)


# --- a list


def test_a_list_walks_on_its_edges_and_ends_off(walker: RoleBench) -> None:
    source = walker.source
    source.load(LevelList(LIST, FIRST_LINE))
    source.arm()
    walker.wait(0.05)
    armed_ns = walker.now_ns()
    edges = walker.steps_after(*EDGES_S)
    walker.wait(0.1)
    steps = walker.steps_since(armed_ns)
    assert [voltage_v for _, voltage_v in steps] == list(LIST)
    delays = [t - edge for (t, _), edge in zip(steps, edges, strict=True)]
    assert max(delays) <= source.step_time_ns
    assert min(delays) == max(delays) > 0
    points = source.collect()
    assert [point.voltage_v for point in points] == pytest.approx(LIST, abs=READING_V)
    gaps_s = [b.t_source_s - a.t_source_s for a, b in pairwise(points)]
    assert gaps_s == pytest.approx([b - a for a, b in pairwise(EDGES_S)], abs=2e-5)
    assert not any(point.in_compliance for point in points)
    # no further edge moves it: the list is over, not wrapped
    walker.steps_after(0.01, 0.02)
    over_ns = walker.now_ns()
    walker.wait(0.1)
    assert walker.voltages_since(over_ns) == [0.0]
    assert source.read_safe().safe


def test_an_armed_list_stays_at_zero_until_its_first_edge(walker: RoleBench) -> None:
    walker.source.load(LevelList(LIST, FIRST_LINE))
    walker.source.arm()
    walker.wait(1.0)
    assert walker.voltages_since(0) == [0.0]


@pytest.mark.parametrize("executed", range(len(LIST)))
def test_a_list_that_still_waits_is_ended_and_gives_what_it_has(walker: RoleBench, executed: int) -> None:
    walker.source.load(LevelList(LIST, FIRST_LINE))
    walker.source.arm()
    walker.steps_after(*EDGES_S[:executed])
    walker.wait(0.1)
    points = walker.source.collect()
    assert [point.voltage_v for point in points] == pytest.approx(LIST[:executed], abs=READING_V)
    ended_ns = walker.now_ns()
    walker.steps_after(0.01, 0.02)
    walker.wait(1.0)
    assert walker.voltages_since(ended_ns) == [0.0]
    assert walker.source.read_safe().safe


def test_an_edge_from_before_arming_does_not_count(walker: RoleBench) -> None:
    walker.source.load(LevelList(LIST, FIRST_LINE))
    walker.steps_after(0.01)
    walker.wait(0.05)
    walker.source.arm()
    walker.wait(0.1)
    assert walker.voltages_since(0) == [0.0]
    assert walker.source.collect() == []


def test_the_same_list_runs_again(walker: RoleBench) -> None:
    for _ in range(2):
        walker.source.load(LevelList((20.0, 0.0), FIRST_LINE))
        walker.source.arm()
        armed_ns = walker.now_ns()
        walker.steps_after(0.02, 0.04)
        walker.wait(0.06)
        assert [voltage_v for _, voltage_v in walker.steps_since(armed_ns)] == [20.0, 0.0]
        assert len(walker.source.collect()) == 2
    assert walker.source.errors() == []


def test_the_longest_list_is_walked_to_its_end(walker: RoleBench) -> None:
    points = walker.source.max_list_points
    levels = (*(i % 40 - 20.0 for i in range(points - 1)), 0.0)
    walker.source.load(LevelList(levels, FIRST_LINE))
    walker.source.arm()
    walker.wait(0.01)
    walker.steps_after(*(0.005 * (i + 1) for i in range(points)))
    walker.wait(0.005 * points + 0.1)
    collected = walker.source.collect()
    assert [point.voltage_v for point in collected] == pytest.approx(levels, abs=READING_V)


def test_a_list_in_compliance_says_so_per_point(walker: RoleBench) -> None:
    walker.source.load(LevelList((1.0, 20.0, 1.0, 0.0), FIRST_LINE))
    walker.source.arm()
    walker.world.add_leak(10_000.0, walker.now_ns())
    walker.steps_after(0.01, 0.02, 0.03, 0.04)
    walker.wait(0.1)
    assert [point.in_compliance for point in walker.source.collect()] == [False, True, False, False]


def test_nothing_is_asked_of_a_list_that_runs(walker: RoleBench) -> None:
    walker.source.load(LevelList(LIST, FIRST_LINE))
    walker.source.arm()
    before, armed_ns = traffic(walker), walker.now_ns()
    with pytest.raises(InstrumentError):
        walker.source.measure()
    assert traffic(walker) == before
    assert walker.now_ns() == armed_ns


def test_holding_a_level_works_after_a_list_and_a_list_after_a_level(walker: RoleBench) -> None:
    walker.source.load(LevelList((20.0, 0.0), FIRST_LINE))
    walker.source.arm()
    walker.steps_after(0.01)
    walker.wait(0.02)
    walker.source.collect()
    hold(walker, 5.0)
    assert walker.voltage_v == 5.0
    assert walker.source.measure().voltage_v == pytest.approx(5.0, abs=READING_V)
    walker.source.make_safe()
    walker.source.load(LevelList((-20.0, 0.0), FIRST_LINE))
    walker.source.arm()
    again_ns = walker.now_ns()
    walker.steps_after(0.01, 0.02)
    walker.wait(0.05)
    assert [voltage_v for _, voltage_v in walker.steps_since(again_ns)] == [-20.0, 0.0]
