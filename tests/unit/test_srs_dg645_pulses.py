"""The DG645 persona, judged by the pulses that leave it."""

import numpy as np
import pytest
from dg645_bench import COMMAND, INSERTION, MS, OUTPUTS, US, Bench, train
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.srs_dg645 import Dg645Quirks

MAKE_SAFE = "TSRC 5;BURM 0"
TRIG, RATE, END_OF_DELAY, END_OF_BURST, INHIBIT, ABORT = 1, 2, 4, 8, 16, 32  # bits of INSR


BURST = "BURM 1;BURP 1e-3;DLAY 2,0,1e-6;DLAY 3,2,10e-6;DLAY 6,0,100e-6;DLAY 7,6,5e-6"


def test_single_shot() -> None:
    bench = Bench()
    bench.send("DLAY 2,0,1.5e-6;DLAY 3,2,2e-6")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(MS)
    assert (bench.begins("T0"), bench.ends("T0")) == ([t0], [t0 + 3_525])
    assert (bench.begins("AB"), bench.ends("AB")) == ([t0 + 1_500], [t0 + 3_500])
    assert (bench.begins("GH"), bench.ends("GH")) == ([t0], [t0 + 10])
    assert bench.ask("INSR?") == str(TRIG | END_OF_DELAY)
    assert bench.ask("INSR?") == "0"


def test_burst_of_two_thousand_shots() -> None:
    bench = Bench()
    bench.send(f"{BURST};BURC 2000")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(3_000 * MS)
    expected = train(t0, MS, 2000)
    assert bench.begins("T0") == expected
    assert bench.begins("AB") == [t + 1_000 for t in expected]
    assert bench.ends("AB") == [t + 11_000 for t in expected]
    assert bench.begins("EF") == [t + 100_000 for t in expected]
    assert bench.ends("EF") == [t + 105_000 for t in expected]
    assert bench.ends("T0") == [t + 105_025 for t in expected]
    assert bench.ask("INSR?") == str(TRIG | END_OF_DELAY | END_OF_BURST)


def test_long_bursts_cost_arrays_not_loops() -> None:
    bench = Bench()
    bench.send("BURM 1;BURP 10e-6;BURC 1000000;*TRG")
    bench.run(11_000 * MS)
    assert sum(len(part) for part in bench.seen["AB"]) == 1_000_000


def test_busy_and_burst_bits() -> None:
    bench = Bench()
    bench.send("BURM 1;BURP 20e-3;BURC 3;DLAY 3,2,5e-3;*TRG")
    assert bench.ask("*STB?") == "6"
    bench.run(8 * MS)
    assert bench.ask("*STB?") == "4"
    bench.run(32 * MS)
    assert bench.ask("*STB?") == "6"  # the last cycle belongs to the burst to its end
    bench.run(5 * MS)
    assert bench.ask("*STB?") == "0"


def test_t0_on_the_first_cycle_only_steps_a_source() -> None:
    bench = Bench()
    bench.send(f"{BURST};BURC 4;BURT 1;LPOL 0,0")
    fired = [bench.send("*TRG") + INSERTION]
    bench.run(10 * MS)
    fired.append(bench.send("*TRG") + INSERTION)
    bench.run(10 * MS)
    assert bench.begins("T0") == fired
    assert bench.begins("AB") == [t + 1_000 for first in fired for t in train(first, MS, 4)]
    last = bench.seen["T0"][-1]
    assert (last.idle_v, last.active_v) == (2.5, 0.0)


def test_burst_delay_and_picoseconds_are_rounded_once() -> None:
    bench = Bench()
    bench.send("BURM 1;BURC 2;BURP 1e-3;BURD 100.0003e-6;DLAY 2,0,0.3e-9;DLAY 3,2,1e-6")
    t0 = bench.send("*TRG") + INSERTION + 100_000
    bench.run(10 * MS)
    assert bench.begins("T0") == [t0, t0 + MS]
    assert bench.begins("AB") == [t0 + 1, t0 + MS + 1]


@pytest.mark.parametrize(
    ("levels", "idle_v", "active_v"),
    [("", 0.0, 2.5), ("LPOL 1,0", 2.5, 0.0), ("LAMP 1,4;LOFF 1,-1", -1.0, 3.0), ("LAMP 1,4;LOFF 1,-1;LPOL 1,0", 3.0, -1.0)],
)
def test_levels(levels: str, idle_v: float, active_v: float) -> None:
    bench = Bench()
    bench.send(f"{levels};*TRG")
    bench.run(MS)
    pulses = bench.seen["AB"][-1]
    assert len(pulses) == 1
    assert (pulses.idle_v, pulses.active_v) == pytest.approx((idle_v, active_v))


def test_links_are_followed() -> None:
    bench = Bench()
    bench.send("DLAY 2,0,10e-6;DLAY 4,3,20e-6;DLAY 5,4,30e-6;DLAY 3,2,5e-6;LINK 6,5")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(MS)
    assert bench.begins("CD") == [t0 + 35_000]
    assert bench.ends("CD") == [t0 + 65_000]
    assert (bench.begins("EF"), bench.ends("EF")) == ([t0 + 65_000], [t0 + 65_010])


def test_trailing_delay_before_the_leading_one_and_equal_delays() -> None:
    bench = Bench()
    bench.send("DLAY 2,0,30e-6;DLAY 3,0,10e-6;DLAY 5,4,0")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(MS)
    assert (bench.begins("AB"), bench.ends("AB")) == ([t0 + 10_000], [t0 + 30_000])
    assert bench.begins("CD") == []


def test_burst_period_shorter_than_a_cycle_drops_cycles() -> None:
    bench = Bench()
    bench.send("BURM 1;BURC 6;BURP 10e-6;DLAY 3,0,14e-6")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(MS)
    assert bench.begins("T0") == train(t0, 20_000, 3)
    assert int(bench.ask("INSR?")) & RATE
    for period, cycles in (("14.09e-6", 3), ("14.1e-6", 6)):  # longest delay + 100 ns is just enough
        already = len(bench.begins("T0"))
        bench.send(f"BURP {period};*TRG")
        bench.run(MS)
        assert len(bench.begins("T0")) == already + cycles
        assert bool(int(bench.ask("INSR?")) & RATE) == (cycles < 6)


def test_internal_rate() -> None:
    bench = Bench()
    on = bench.send("TRAT 3;TSRC 0")
    bench.run(1_000 * MS)
    assert bench.begins("T0") == [on + 333_333_333 + INSERTION, on + 666_666_667 + INSERTION]
    bench.run(100 * INSERTION)
    assert bench.begins("T0")[2:] == [on + 1_000 * MS + INSERTION]
    assert bench.errors() == []


def test_internal_bursts_and_dropped_triggers() -> None:
    bench = Bench()
    on = bench.send("BURM 1;BURC 3;BURP 1e-3;TRAT 400;TSRC 0")
    bench.run(20 * MS)
    # bursts last 2 ms + one cycle, triggers come every 2.5 ms
    first = [on + INSERTION + i * 2_500_000 for i in range(1, 8)]
    assert bench.begins("AB")[:21] == [t for start in first for t in train(start, MS, 3)]
    assert not int(bench.ask("INSR?")) & RATE
    bench.send("BURC 4")
    bench.run(20 * MS)
    assert int(bench.ask("INSR?")) & RATE


def test_line_trigger() -> None:
    bench = Bench(Dg645Quirks(line_rate_hz=60))
    bench.send("TSRC 6")
    bench.run(1_000 * MS)
    assert len(bench.begins("AB")) in (59, 60)
    assert set(np.diff(bench.begins("AB")).tolist()) <= {16_666_666, 16_666_667}


def test_trigger_while_busy_is_ignored() -> None:
    bench = Bench()
    bench.send("DLAY 3,2,10e-3;*TRG;*TRG")
    bench.run(20 * MS)
    assert len(bench.begins("AB")) == 1
    assert bench.ask("INSR?") == str(TRIG | RATE | END_OF_DELAY)
    bench.send("*TRG")
    bench.run(20 * MS)
    assert len(bench.begins("AB")) == 2


@pytest.mark.parametrize(("source", "expected"), [(1, 0), (2, US)])
def test_external_edges(source: int, expected: int) -> None:
    bench = Bench()
    bench.send(f"TSRC {source}")
    times = train(bench.t_ns + 100, 50 * US, 5)
    bench.edges(*times)
    bench.run(MS)
    assert bench.begins("T0") == [t + expected + INSERTION for t in times]


@pytest.mark.parametrize(
    ("low_v", "high_v", "heard"), [(0.0, 5.0, True), (0.0, 0.9, False), (1.1, 5.0, False), (0, float("nan"), False)]
)
def test_external_edges_must_cross_the_threshold(low_v: float, high_v: float, heard: bool) -> None:
    bench = Bench()
    bench.send("TSRC 1")
    bench.edges(bench.t_ns + 100, low_v=low_v, high_v=high_v)
    bench.run(MS)
    assert bool(bench.begins("T0")) == heard


def test_edges_before_the_source_was_chosen_do_not_count() -> None:
    bench = Bench()
    bench.persona.receive(b"TSRC 1\n", 0)
    bench.edges(COMMAND - 10, COMMAND + 10_000)
    bench.run(2 * MS)
    assert bench.begins("T0") == [COMMAND + 10_000 + INSERTION]


def test_external_edges_too_close() -> None:
    bench = Bench()
    bench.send("TSRC 1;DLAY 3,2,100e-6")
    start = bench.t_ns + US
    bench.edges(*(start + t * US for t in (0, 50, 101, 150, 300, 390, 450)))
    bench.run(MS)
    assert bench.begins("T0") == [start + t * US + INSERTION for t in (0, 101, 300, 450)]
    assert int(bench.ask("INSR?")) & RATE


def test_armed_single_shot_takes_one_edge() -> None:
    bench = Bench()
    bench.send("TSRC 3")
    bench.edges(bench.t_ns + 10)
    armed = bench.send("*TRG")
    bench.edges(armed + 1000, armed + 50_000)
    bench.run(MS)
    assert bench.begins("AB") == [armed + 1000 + INSERTION]
    bench.send("*TRG;TSRC 4;TSRC 3")  # another source disarms
    bench.edges(bench.t_ns + 10)
    bench.run(MS)
    assert len(bench.begins("AB")) == 1


def test_one_external_edge_starts_a_train() -> None:
    bench = Bench()
    bench.send(f"{BURST};BURC 100;TSRC 1")
    start = bench.t_ns + 500
    bench.edges(start, start + 30 * MS)
    bench.run(200 * MS)
    assert bench.begins("T0") == train(start + INSERTION, MS, 100)
    assert bench.ask("INSR?") == str(TRIG | RATE | END_OF_DELAY | END_OF_BURST)


def test_holdoff_needs_advanced_triggering() -> None:
    def taken(advanced: int) -> tuple[list[int], list[int]]:
        bench = Bench()
        bench.send(f"TSRC 1;HOLD 25e-6;ADVT {advanced}")
        start = bench.t_ns + US
        bench.edges(*train(start, 10 * US, 7))
        bench.run(MS)
        return [(t - start) // (10 * US) for t in bench.begins("T0")], [
            b - a for a, b in zip(bench.begins("T0"), bench.ends("T0"), strict=True)
        ]

    assert taken(0) == ([0, 1, 2, 3, 4, 5, 6], [35] * 7)
    assert taken(1) == ([0, 3, 6], [25_000] * 3)


# --- prescalers ---------------------------------------------------------------------------------------------------------


def cycles_with_cd(quirks: Dg645Quirks, commands: str, n: int = 24, again: str = "") -> list[int]:
    """Run a train of n shots by one external edge; return the cycles in which CD fired, counted from 0."""
    bench = Bench(quirks)
    bench.send(f"DLAY 3,2,1e-6;DLAY 5,4,1e-6;TSRC 1;BURM 1;BURP 1e-3;BURC {n};{commands}")
    if again:
        bench.edges(bench.t_ns + 1)
        bench.run(2 * n * MS)
        bench.send(again)
        bench.seen = {name: [] for name in OUTPUTS}
    bench.edges(bench.t_ns + 1)
    bench.run(2 * n * MS)
    shots = bench.begins("AB")
    assert len(shots) == n
    return [shots.index(t) for t in bench.begins("CD")]


@pytest.mark.parametrize(
    ("ordinal", "phase", "expected"),
    [(False, 0, [0, 10, 20]), (False, 5, [5, 15]), (False, 10, []), (True, 0, [9, 19]), (True, 5, [4, 14])],
)
def test_phase_under_both_readings(ordinal: bool, phase: int, expected: list[int]) -> None:
    quirks = Dg645Quirks(phase_is_ordinal=ordinal)
    assert cycles_with_cd(quirks, f"PRES 2,10;PHAS 2,{phase};ADVT 1") == expected


def test_prescalers_that_count_bursts_pass_or_block_whole_bursts() -> None:
    quirks = Dg645Quirks(prescalers_count_burst_cycles=False)
    assert cycles_with_cd(quirks, "PRES 2,2;ADVT 1", n=6) == list(range(6))
    assert cycles_with_cd(quirks, "PRES 2,2;ADVT 1", n=6, again="TLVL 1") == []
    assert cycles_with_cd(quirks, "PRES 2,2;ADVT 1", n=6, again="ADVT 0;ADVT 1") == list(range(6))


@pytest.mark.parametrize(
    ("restart", "again", "expected"),
    [
        (True, "TLVL 1", [2]),
        (True, "ADVT 0;ADVT 1", [0, 4]),
        (True, "PRES 2,4", [0, 4]),
        (True, "PRES 3,4", [2]),
        (False, "ADVT 0;ADVT 1", [2]),
        (False, "PRES 2,4", [2]),
    ],
)
def test_restart_of_prescale_counters(restart: bool, again: str, expected: list[int]) -> None:
    quirks = Dg645Quirks(counters_restart=restart)
    assert cycles_with_cd(quirks, "PRES 2,4;ADVT 1", n=6, again=again) == expected


def test_prescalers_are_without_effect_unless_advanced_triggering_is_on() -> None:
    assert cycles_with_cd(Dg645Quirks(), "PRES 2,3", n=6) == list(range(6))


def test_prescalers_are_without_effect_in_single_shot() -> None:
    bench = Bench()
    bench.send("ADVT 1;PRES 0,7;PRES 2,3;BURM 1;BURC 6;BURP 1e-3;*TRG")
    bench.run(20 * MS)
    assert len(bench.begins("CD")) == 6


def test_trigger_prescaler() -> None:
    bench = Bench()
    bench.send("TSRC 1;ADVT 1;PRES 0,3")
    start = bench.t_ns + US
    bench.edges(*train(start, 10 * US, 8))
    bench.run(MS)
    assert bench.begins("T0") == [start + t * US + INSERTION for t in (0, 30, 60)]
    assert not int(bench.ask("INSR?")) & RATE


# --- inhibit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "counts"),
    [
        (0, (8, 8, 8, 8, 8)),
        (1, (5, 5, 5, 5, 5)),
        (2, (8, 5, 8, 8, 8)),
        (3, (8, 5, 5, 8, 8)),
        (4, (8, 5, 5, 5, 8)),
        (5, (8, 5, 5, 5, 5)),
    ],
)
def test_inhibit(mode: int, counts: tuple[int, ...]) -> None:
    bench = Bench()
    bench.send(f"TSRC 1;INHB {mode};INSR?")
    bench.read()
    start = bench.t_ns + US
    bench.edges(*train(start, 100 * US, 8))
    bench.edges(start + 150 * US, width_ns=300 * US, to="INHIBIT")
    bench.run(250 * US)
    bench.run(2 * MS)
    assert tuple(len(bench.begins(name)) for name in OUTPUTS) == counts
    assert bool(int(bench.ask("INSR?")) & INHIBIT) == (mode > 0)


def test_inhibit_counts_when_the_trigger_comes() -> None:
    bench = Bench()
    bench.send("TSRC 1")
    high = bench.t_ns + US
    bench.edges(high, width_ns=10 * US, to="INHIBIT")
    bench.edges(high - 10, high + 300, high + 10 * US - 1, high + 10 * US, width_ns=1)
    bench.run(US + 10 * US + 50)
    bench.run(MS)
    assert bench.begins("T0") == [high - 10 + INSERTION, high + 10 * US + INSERTION]


# --- abort and make safe ------------------------------------------------------------------------------------------------


def test_a_setting_written_during_a_burst_ends_it() -> None:
    bench = Bench()
    bench.send("BURM 1;BURC 100;BURP 20e-3;DLAY 2,0,1e-6;DLAY 3,0,15e-3;DLAY 6,0,10e-3;DLAY 7,6,1e-3")
    t0 = bench.send("*TRG") + INSERTION
    bench.run(44 * MS)
    aborted = bench.send("LAMP 4,3")
    bench.run(1_000 * MS)
    # the third cycle began at 40 ms: its AB had begun, its EF had not
    assert t0 + 40 * MS < aborted < t0 + 50 * MS
    assert bench.begins("AB") == [t + 1_000 for t in train(t0, 20 * MS, 3)]
    assert bench.ends("AB") == [t + 15 * MS for t in train(t0, 20 * MS, 3)]
    assert bench.begins("EF") == [t0 + 10 * MS, t0 + 30 * MS]
    assert bench.ask("*STB?") == "0"
    assert bench.ask("INSR?") == str(TRIG | END_OF_DELAY | ABORT)


def test_self_test_stops_the_outputs_while_it_lasts() -> None:
    bench = Bench()
    bench.send("TSRC 0;DLAY 3,2,0.5e-3")
    bench.run(10 * MS)
    begun = bench.send("*TST?")
    bench.read()
    over = bench.t_ns
    bench.run(10 * MS)
    assert not [t for t in bench.begins("AB") if begun < t <= over]
    assert [t for t in bench.begins("AB") if t > over]


@pytest.mark.parametrize("harmless", ["*STB?", "LERR?", "DISP 1,0", "INSE 3", "SSBC 5", "BURC?", "TSRC 9", "ABCD", "SHDP 0"])
def test_questions_and_refusals_do_not_end_a_burst(harmless: str) -> None:
    bench = Bench()
    bench.send("BURM 1;BURC 20;BURP 1e-3;*TRG")
    bench.send(harmless)
    bench.run(40 * MS)
    assert len(bench.begins("AB")) == 20


STATES = {
    "idle": "",
    "burst": "BURM 1;BURC 100000;BURP 1e-3;*TRG",
    "long cycle": "DLAY 2,0,5;DLAY 3,2,1;*TRG",
    "burst delay": "BURM 1;BURD 0.02;*TRG",
    "free running": "TSRC 0",
    "free running bursts": "TRAT 50;BURM 1;BURP 1e-3;TSRC 0",
    "line": "TSRC 6",
    "external": "TSRC 1",
    "external falling": "TSRC 2",
    "external train": "TSRC 1;BURM 1;BURC 100000;BURP 1e-3;ADVT 1;PRES 2,3",
    "armed": "TSRC 3;*TRG",
    "armed falling": "TSRC 4;*TRG",
    "just fired": "*TRG;*TRG",
    "reply unread": "TSRC 0;*IDN?;*IDN?",
    "errors": "TSRC 0;ABCD;TSRC 77",
    "self test": "TSRC 0;*TST?",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("before_ns", [0, 40, 2_500_085, 17 * MS])
def test_make_safe_in_every_state(state: str, before_ns: int) -> None:
    bench = Bench()
    bench.send(STATES[state])
    edges = train(bench.t_ns + 300 * US, 1_100 * US, 3000)
    bench.edges(*edges)
    bench.run(before_ns)
    bench.send(MAKE_SAFE)
    if state == "self test":
        bench.run(2_100 * MS)
    already = {name: len(bench.begins(name)) for name in OUTPUTS}
    # nothing began after the first of the two commands was executed either
    assert all(t <= bench.t_ns - COMMAND for name in OUTPUTS for t in bench.begins(name))
    bench.run(10_000 * MS)
    assert {name: len(bench.begins(name)) for name in OUTPUTS} == already
    bench.send("*CLS")
    while bench.read() is not None:
        pass
    assert (bench.ask("TSRC?"), bench.ask("BURM?"), bench.ask("*STB?")) == ("5", "0", "0")


def test_the_states_of_the_make_safe_test_do_fire_without_it() -> None:
    fired: dict[str, bool] = {}
    for state, commands in STATES.items():
        bench = Bench()
        bench.send(commands)
        bench.edges(*train(bench.t_ns + 300 * US, 1_100 * US, 10_000))
        bench.run(20 * MS)
        before = len(bench.begins("T0")) + len(bench.begins("AB"))
        bench.run(8_000 * MS)
        fired[state] = len(bench.begins("T0")) + len(bench.begins("AB")) > before
    quiet = {"idle", "armed", "armed falling", "just fired"}
    assert fired == {state: state not in quiet for state in STATES}


# --- chunks -------------------------------------------------------------------------------------------------------------

PROGRAMS = (
    "BURM 1;BURC 15;BURP 137e-6;DLAY 2,0,100.0004e-6;DLAY 3,2,5e-6;BURD 3.3e-6;*TRG;BURT 1;*TRG",
    "DLAY 3,2,20e-6;TRAT 30003.7;TSRC 0;ADVT 1;PRES 1,3;PHAS 1,1;PRES 0,2",
    "TRAT 7001;BURM 1;BURC 3;BURP 20e-6;INHB 2;TSRC 0;DLAY 5,4,15e-6;INSR?",
    "TSRC 1;ADVT 1;PRES 2,2;DLAY 3,2,40e-6;INHB 3;INSR?;HOLD 50e-6",
    "BURM 1;BURC 9;BURP 10e-6;DLAY 7,6,14e-6;TSRC 2;INHB 1;INSR?",
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROGRAMS), st.lists(st.integers(0, 20 * MS), max_size=25), st.sampled_from([0, 10**17]))
def test_chunks_do_not_matter(program: str, stops: list[int], start_ns: int) -> None:
    def run(times: list[int]) -> tuple[list[list[int]], str | None]:
        bench = Bench(start_ns=start_ns)
        bench.persona.receive(program.encode() + b";INSR?\n", start_ns)
        bench.edges(*train(start_ns + 11_333, 61_007, 320))
        bench.edges(*train(start_ns + 500_000, 900_123, 20), width_ns=333_333, to="INHIBIT")
        for stop in times:
            bench.run(start_ns + stop - bench.t_ns)
        pulses = [bench.begins(name) + bench.ends(name) for name in OUTPUTS]
        return pulses, bench.read()

    whole = run([20 * MS])
    assert any(whole[0])
    assert run([*sorted(stops), 20 * MS]) == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 40))
def test_busy_rule_against_one_trigger_at_a_time(gaps: list[int], longest: int) -> None:
    bench = Bench()
    bench.send(f"TSRC 1;DLAY 3,2,{25 * longest}e-9")
    times = (bench.t_ns + INSERTION + 25 * np.cumsum(gaps)).tolist()
    bench.edges(*times, width_ns=1)
    bench.run(MS)
    expected: list[int] = []
    for t in times:
        if not expected or t >= expected[-1] + 25 * longest + 100:
            expected.append(t)
    assert bench.begins("T0") == [t + INSERTION for t in expected]
