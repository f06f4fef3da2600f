"""The trigger model of the simulated Keithley 2450: edges to levels, blocks, ready-made models, sweeps, digital lines."""

from itertools import pairwise

import pytest
from keithley_2450_bench import MS, US, Bench, S

QUIET = (":SOUR:VOLT:RANG 20;ILIM 1e-3;DEL 0", ":SENS:CURR:NPLC 0.01;AZER 0")
LINE = ("DIG:LINE1:MODE TRIG,IN", "TRIG:DIG1:IN:EDGE FALL")
STEP_NS = (20 + 250) * US  # edge to level: latency of the wait, recall
READING_NS = 545 * US


def stepped(levels: str, points: int, *, wait: str = "DIG1", measure: bool = True) -> Bench:
    """A source that starts at the first level and takes one more at every event; output off after the last."""
    blocks = (
        "BUFF:CLE 1",
        'CONF:REC 2,"VoltCustomSweepList",1',
        "SOUR:STAT 3,ON",
        f"WAIT 4,{wait}",
        'CONF:NEXT 5,"VoltCustomSweepList"',
        "MEAS 6" if measure else "NOP 6",
        f"BRAN:COUN 7,{points},4",
        "SOUR:STAT 8,OFF",
    )
    load = (*QUIET, *LINE, f"SOUR:LIST:VOLT {levels}", 'TRIG:LOAD "Empty"', *(f"TRIG:BLOC:{block}" for block in blocks))
    bench = Bench(*load, "INIT")
    bench.run(10 * MS)
    assert bench.errors() == []
    return bench


# --- edges to levels


def test_every_edge_brings_the_next_level_and_one_reading() -> None:
    bench = stepped("0,20,0,20,0", 4)
    begin_ns = bench.now_ns
    bench.edges([begin_ns + k * 10 * MS for k in range(4)])
    bench.run(50 * MS)
    steps = [(t_ns, v) for t_ns, v in bench.load.history if t_ns >= begin_ns]
    assert steps == [(begin_ns + k * 10 * MS + STEP_NS, v) for k, v in enumerate((20, 0, 20, 0))]
    readings = bench.numbers("TRAC:DATA? 1,4,'defbuffer1',SOUR,READ,REL")
    assert readings[0::3] == pytest.approx([20, 0, 20, 0], abs=0.01)
    assert readings[1::3] == pytest.approx([20 / 60e3, 0, 20 / 60e3, 0], abs=1e-7)
    assert readings[2::3] == pytest.approx([0, 0.01, 0.02, 0.03], abs=1e-8)
    assert bench.ask("TRIG:STAT?;:OUTP?") == "IDLE;IDLE;8;0"


@pytest.mark.parametrize(("edge", "offset_us"), [("FALL", 0), ("RIS", 20)])
def test_the_edge_that_is_set_counts(edge: str, offset_us: int) -> None:
    bench = stepped("0,20,0", 2)
    bench.write(f"TRIG:DIG1:IN:EDGE {edge}")
    begin_ns = bench.now_ns
    bench.edges([begin_ns])
    bench.run(5 * MS)
    assert bench.load.history == [(begin_ns + offset_us * US + STEP_NS, 20)]


def test_either_edge_counts() -> None:
    bench = stepped("0,20,0", 2)
    bench.write("TRIG:DIG1:IN:EDGE EITH")
    begin_ns = bench.now_ns
    bench.edges([begin_ns], width_ns=3 * MS)
    bench.run(5 * MS)
    assert [t_ns - begin_ns for t_ns, _ in bench.load.history[:2]] == [STEP_NS, 3 * MS + STEP_NS]


@pytest.mark.parametrize(
    ("low_v", "high_v", "width_ns"), [(0.8, 5.0, 20 * US), (0.0, 3.6, 20 * US), (0.0, 5.3, 20 * US), (0.0, 5.0, 1 * US)]
)
def test_weak_and_narrow_pulses_are_not_seen(low_v: float, high_v: float, width_ns: int) -> None:
    bench = stepped("0,20,0", 2)
    bench.edges([bench.now_ns], low_v=low_v, high_v=high_v, width_ns=width_ns)
    bench.run(5 * MS)
    assert bench.load.history == []
    bench.edges([bench.now_ns], low_v=0.7, high_v=3.7, width_ns=2 * US)
    bench.run(5 * MS)
    assert bench.load.levels == [20]


@pytest.mark.parametrize("mode", ["DIG,IN", "TRIG,OUT"])
def test_a_line_that_is_no_trigger_input_is_deaf(mode: str) -> None:
    bench = stepped("0,20,0", 2)
    bench.write(f"DIG:LINE1:MODE {mode}")
    bench.edges([bench.now_ns])
    bench.edges([bench.now_ns], line=2)
    bench.run(5 * MS)
    assert bench.load.history == []


def test_edges_before_the_start_do_not_count() -> None:
    bench = Bench(*LINE)
    bench.edges([bench.now_ns])
    bench.run(MS)
    bench = stepped("0,20,0", 2)
    bench.run(S)
    assert bench.load.history == []


def test_an_edge_before_the_wait_counts_unless_cleared_on_entry() -> None:
    for clear, levels in (("NEVer", [20]), ("ENTer", [])):
        bench = stepped("0,20,0", 2, wait=f"COMM,{clear}")
        bench.write("ABOR", "TRIG:BLOC:DEL:CONS 1,0.1", "INIT", "*TRG")
        bench.run(S)
        assert bench.load.levels == levels, clear


def test_of_edges_that_come_too_fast_one_is_remembered_and_the_rest_are_overruns() -> None:
    bench = stepped("0,1,2,3,4,5,6", 6)
    begin_ns = bench.now_ns
    bench.edges([begin_ns + k * 100 * US for k in range(6)])
    bench.run(20 * MS)
    assert bench.load.levels == [1, 2]
    assert bench.ask("TRIG:DIG1:IN:OVER?") == "1"
    bench.write("TRIG:DIG1:IN:CLE")
    assert bench.ask("TRIG:DIG1:IN:OVER?") == "0"


def test_it_steps_a_thousand_times_a_second_without_measuring() -> None:
    count = 200
    bench = stepped(",".join(["0", *["20", "0"] * 49, "20"]), count, measure=False)
    begin_ns = bench.now_ns
    bench.edges([begin_ns + k * MS for k in range(count)])
    bench.run(count * MS + 10 * MS)
    steps_ns = [t_ns for t_ns, _ in bench.load.history if t_ns >= begin_ns]
    assert len(steps_ns) == 200
    assert {b - a for a, b in pairwise(steps_ns[:99])} == {MS}
    assert bench.ask("TRIG:DIG1:IN:OVER?") == "0"


def test_a_bus_trigger_and_a_group_trigger_are_one_event() -> None:
    bench = stepped("0,20,5", 2, wait="COMMand")
    bench.write("*TRG")
    bench.run(5 * MS)
    assert bench.load.voltage_v == 20
    bench.persona.group_trigger(bench.now_ns)
    bench.run(5 * MS)
    assert bench.load.levels == [20, 5, 0]


def test_all_or_any_of_several_events() -> None:
    for logic, levels in (("AND", []), ("OR", [20])):
        bench = stepped("0,20,0", 2, wait=f"COMM,NEV,{logic},DIG1")
        bench.write("*TRG")
        bench.run(5 * MS)
        assert bench.load.levels == levels
        bench.edges([bench.now_ns])
        bench.run(5 * MS)
        assert bench.load.levels[:1] == [20]


# --- while it runs


def test_it_answers_and_says_for_how_long_it_waits() -> None:
    bench = stepped("0,20,0", 2)
    assert bench.ask("TRIG:STAT?") == "RUNNING;RUNNING;4"
    bench.run(100 * MS)
    assert bench.ask("TRIG:STAT?;:SOUR:VOLT?;:TRAC:ACT?;*STB?") == "WAITING;WAITING;4;0;0;0"


@pytest.mark.parametrize(
    "message",
    [
        *("SOUR:VOLT 5", "SOUR:VOLT:ILIM 1", "SOUR:FUNC CURR", "SENS:CURR:NPLC 1", "SENS:FUNC 'VOLT'", "ROUT:TERM REAR"),
        *("TRIG:BLOC:NOP 9", "TRIG:LOAD 'Empty'", "SOUR:LIST:VOLT 1", "SOUR:SWE:VOLT:LIST 1", "READ?", "MEAS:VOLT?"),
        *("SOUR:CONF:LIST:CRE 'y'", "TRAC:MAKE 'y',10", "TRAC:POIN 10"),
    ],
)
def test_it_refuses_what_would_disturb_it(message: str) -> None:
    bench = stepped("0,20,0", 2)
    bench.write(message)
    assert bench.errors() == [-221]
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    assert bench.load.levels == [20]


def test_a_second_start_is_ignored() -> None:
    bench = stepped("0,20,0", 2)
    bench.write("INIT")
    assert bench.errors() == [-213]
    assert bench.ask("TRIG:STAT?").endswith(";4")


def test_abort_leaves_the_level_and_output_off_ends_it() -> None:
    bench = stepped("0,20,0", 2)
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    bench.write("ABOR")
    assert bench.load.voltage_v == 20.0
    bench.write("OUTP OFF")
    assert bench.load.voltage_v == 0.0
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    assert bench.load.levels == [20, 0]
    assert bench.ask("TRIG:STAT?") == "ABORTED;ABORTED;4"
    assert [bench.ask("SYST:EVEN:NEXT?").split(",")[0] for _ in range(2)] == ["2731", "2728"]


def test_output_off_acts_at_once_while_the_model_goes_on() -> None:
    bench = stepped("0,20,5,0", 3)
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    bench.write("OUTP OFF")
    assert bench.load.voltage_v == 0.0
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    assert bench.load.levels == [20, 0]
    assert bench.ask("OUTP?;:TRIG:STAT?") == "0;RUNNING;RUNNING;4"


def test_a_limit_reached_while_it_runs_is_in_the_reading() -> None:
    bench = stepped("0,20,5", 2)
    bench.load.resistance_ohm = 10_000.0
    bench.edges([bench.now_ns, bench.now_ns + 10 * MS])
    bench.run(30 * MS)
    assert bench.load.levels == [pytest.approx(10.0, rel=1e-6), 5, 0]
    assert bench.numbers("TRAC:DATA? 1,2,'defbuffer1',SOURSTAT") == [160, 128]


# --- blocks


def test_counters_loop_in_loops() -> None:
    """The manual's example: five readings, a second, three times over."""
    blocks = ("BUFF:CLEAR 1", "MEAS 2", "BRAN:COUN 3, 5, 2", "DEL:CONS 4, 1", "BRAN:COUN 5, 3, 2")
    bench = Bench(*QUIET, 'TRIG:LOAD "EMPTY"', *(f"TRIG:BLOC:{block}" for block in blocks), "INIT")
    begin_ns = bench.now_ns
    assert bench.ask("*OPC?") == "1"
    assert bench.now_ns - begin_ns == pytest.approx(3 * S, abs=20 * MS)
    assert bench.ask("TRAC:ACT?;:TRIG:BLOC:BRAN:COUN:COUN? 5") == "15;3"


def test_once_and_once_excluded() -> None:
    blocks = ("BRAN:ONCE 1,3", "MEAS 2", "BRAN:ONCE:EXCL 3,6", "NOP 4", "BRAN:ALW 5,1", "NOP 6")
    bench = Bench(*QUIET, *(f"TRIG:BLOC:{block}" for block in blocks), "INIT", "*WAI")
    bench.run(S)
    assert bench.ask("TRAC:ACT?;:TRIG:STAT?") == "1;IDLE;IDLE;6"


def test_branch_on_an_event_and_end_by_block_zero() -> None:
    blocks = ("MEAS 1", "BRAN:EVEN 2,COMM,4", "BRAN:ALW 3,1", "BRAN:ALW 4,0", "MEAS 5")
    bench = Bench(*QUIET, *(f"TRIG:BLOC:{block}" for block in blocks), "INIT")
    bench.run(20 * MS)
    assert bench.ask("TRIG:STAT?").startswith("RUNNING")
    bench.write("*TRG")
    assert bench.ask("TRIG:STAT?") == "IDLE;IDLE;4"
    count = int(bench.ask("TRAC:ACT?"))
    assert 30 < count < 45


def test_measuring_in_the_background() -> None:
    blocks = ('MEAS 1,"defbuffer1",INF', "DEL:CONS 2,0.1", 'MEAS 3,"defbuffer1",0', "DEL:CONS 4,0.1")
    bench = Bench(*QUIET, *(f"TRIG:BLOC:{block}" for block in blocks), "INIT", "*WAI")
    bench.run(S)
    assert int(bench.ask("TRAC:ACT?")) == 100 * MS // READING_NS


def test_several_readings_in_one_block() -> None:
    bench = Bench(*QUIET, 'TRIG:BLOC:MEAS 1,"defbuffer2",7', "INIT", "*WAI")
    bench.run(S)
    assert bench.ask("TRAC:ACT? 'defbuffer2';ACT? 'defbuffer1'") == "7;0"


def test_next_and_previous_wrap_around() -> None:
    listed = ("SOUR:LIST:VOLT 1,2,3", "OUTP ON")
    for block, levels in (("NEXT", [1, 2, 3, 1]), ("PREV", [3, 2, 1, 3])):
        loop = (f'TRIG:BLOC:CONF:{block} 1,"VoltCustomSweepList"', "TRIG:BLOC:BRAN:COUN 2,4,1")
        bench = Bench(*QUIET, *listed, *loop, "INIT")
        bench.run(S)
        assert bench.load.levels == levels


def test_recall_of_a_measurement_list() -> None:
    setup = ("SENS:CONF:LIST:CRE 'm'", "CURR:RANG 1e-3", "SENS:CONF:LIST:STOR 'm'", "CURR:RANG 0.1", "SENS:CONF:LIST:STOR 'm'")
    bench = Bench(*QUIET, *setup, "TRIG:BLOC:CONF:REC 1,'m',1", "INIT")
    bench.run(5 * MS)
    assert bench.ask("CURR:RANG?") == "0.001"


def test_the_source_delay_holds_the_reading_back() -> None:
    bench = stepped("0,20,0", 2)
    bench.write("ABOR", "SOUR:VOLT:DEL 0.01", "SOUR:LIST:VOLT 0,20,0", "INIT")
    bench.run(50 * MS)
    begin_ns = bench.now_ns
    bench.edges([begin_ns])
    bench.run(50 * MS)
    assert (
        bench.ask("FORM:ASC:PREC 12;:TRAC:DATA? 1,1,'defbuffer1',FRAC")
        == f"{(begin_ns + STEP_NS + 10 * MS + READING_NS) * 1e-9:.11E}"
    )


def test_a_message_in_the_log_may_end_the_model() -> None:
    bench = Bench('TRIG:BLOC:LOG:EVEN 1,WARN2,"halfway"', 'TRIG:BLOC:LOG:EVEN 2,ABORt,"enough"', "TRIG:BLOC:MEAS 3", "INIT")
    bench.run(S)
    assert [bench.ask("SYST:EVEN:NEXT? WARN").split(";")[0] for _ in range(2)] == ['2739,"halfway', '2738,"enough']
    assert bench.ask("TRIG:STAT?;:TRAC:ACT?") == "ABORTED;ABORTED;2;0"


def test_a_list_that_is_gone_ends_the_model_with_an_error() -> None:
    bench = stepped("0,20,0", 2)
    bench.write("ABOR", "SOUR:CONF:LIST:DEL 'VoltCustomSweepList'", "INIT")
    bench.run(10 * MS)
    assert bench.errors() == [2790]
    assert bench.ask("TRIG:STAT?").startswith("FAILED")


# --- ready-made models and sweeps


def test_simple_loop() -> None:
    bench = Bench(*QUIET, "SOUR:VOLT 5", "TRIG:LOAD 'SimpleLoop', 10, 0.01", "OUTP ON", "INIT", "*WAI")
    bench.run(S)
    readings = bench.numbers("TRAC:DATA? 1, 10, 'defbuffer1', SOUR, REL")
    assert readings[0::2] == pytest.approx([5.0] * 10, abs=0.01)
    assert [b - a for a, b in pairwise(readings[1::2])] == pytest.approx([0.010555] * 9, abs=1e-6)
    assert bench.ask("OUTP?") == "1"


def test_duration_loop_switches_on_and_off() -> None:
    bench = Bench(*QUIET, "SOUR:VOLT 5", "TRIG:LOAD 'DurationLoop', 0.5, 0.01", "INIT")
    bench.run(2 * S)
    (on_ns, on_v), (off_ns, off_v) = bench.load.history
    assert (on_v, off_v) == (5, 0)
    assert off_ns - on_ns == pytest.approx(500 * MS, rel=0.03)
    assert 40 < int(bench.ask("TRAC:ACT?")) < 50


def test_logic_trigger_answers_every_edge_with_a_pulse() -> None:
    line = ("DIG:LINE2:MODE TRIG,OUT", "TRIG:DIG2:OUT:PULS 5e-5")
    bench = Bench(*QUIET, *LINE, *line, 'TRIG:LOAD "LogicTrigger", 1, 2, 3, ENTer, 0.001', "INIT")
    begin_ns = bench.now_ns
    bench.edges([begin_ns + k * 10 * MS for k in range(3)])
    bench.run(50 * MS)
    pulses = bench.pulses["digital_io_2"]
    assert [end - begin for begin, end in pulses] == [50 * US] * 3
    assert [begin - begin_ns for begin, _ in pulses] == [
        20 * US + 1005 * US + READING_NS + 5 * US + k * 10 * MS for k in range(3)
    ]
    assert bench.ask("TRAC:ACT?;:TRIG:DIG2:OUT:STIM?") == "3;NOT1"


def test_config_list_model_walks_both_lists() -> None:
    setup = ("SOUR:CONF:LIST:CRE 'S'", "SENS:CONF:LIST:CRE 'M'")
    for level, range_a in ((1, 1e-3), (5, 1e-2), (10, 0.1)):
        setup += (f"SOUR:VOLT {level}", "SOUR:CONF:LIST:STORE 'S'", f"SENS:CURR:RANG {range_a}", "SENS:CONF:LIST:STOR 'M'")
    bench = Bench("SOUR:VOLT:DEL 0;ILIM 1e-3", *setup, "TRIG:LOAD 'ConfigList', 'M', 'S'", "INIT")
    bench.run(2 * S)
    assert bench.load.levels == [1, 5, 10, 0]
    assert bench.ask("SENS:CURR:RANG?;:TRAC:ACT?") == "0.1;3"


def test_the_makers_list_sweep() -> None:
    bench = Bench("*RST", 'SENS:FUNC "CURR"', "SENS:CURR:RANG:AUTO ON", "SENS:CURR:RSEN OFF", "SOUR:FUNC VOLT")
    bench.write(
        "SOUR:VOLT:RANG 20", "SOUR:VOLT:ILIM 1", "SOUR:LIST:VOLT 1, 5, 1, 5, 1, 5", "SOUR:SWE:VOLT:LIST 1, 0.2", "INIT", "*WAI"
    )
    bench.run(3 * S)
    readings = bench.numbers('TRAC:DATA? 1, 6, "defbuffer1", SOUR, READ')
    assert readings[0::2] == pytest.approx([1, 5] * 3, abs=0.01)
    assert readings[1::2] == pytest.approx([1 / 60e3, 5 / 60e3] * 3, abs=1e-8)
    assert bench.load.levels == [1, 5, 1, 5, 1, 5, 0]
    assert bench.errors() == []


@pytest.mark.parametrize(
    ("sweep", "levels"),
    [
        ("LIN 0, 20, 5, 0, 1, AUTO, ON, OFF, 'defbuffer1'", [5, 10, 15, 20, 0]),  # it begins at 0 V, where the output was
        ("LIN 5, 1, 3", [5, 3, 1, 0]),
        ("LIN 1, 3, 3, 0, 2", [1, 2, 3, 1, 2, 3, 0]),
        ("LIN 1, 3, 3, 0, 1, BEST, ON, ON", [1, 2, 3, 2, 1, 0]),
        ("LIN:STEP 2, 6, 2", [2, 4, 6, 0]),
        ("LOG 1, 16, 5", [pytest.approx(v) for v in (1, 2, 4, 8, 16)] + [0]),
        ("LIST 2", [7, 3, 0]),
    ],
)
def test_sweeps(sweep: str, levels: list[float]) -> None:
    bench = Bench(*QUIET, "SOUR:VOLT:RANG:AUTO 1", "SOUR:LIST:VOLT 9,7,3", f"SOUR:SWE:VOLT:{sweep}", "INIT", "*WAI")
    bench.run(S)
    assert bench.load.levels == levels
    assert bench.errors() == []
    assert bench.ask("OUTP?") == "0"


@pytest.mark.parametrize(("abort", "readings"), [("ON", 2), ("OFF", 4)])
def test_a_sweep_ends_at_the_limit_if_it_is_to(abort: str, readings: int) -> None:
    bench = Bench(*QUIET, "SOUR:VOLT:ILIM 1e-4", f"SOUR:SWE:VOLT:LIN 4, 10, 4, 0, 1, FIX, {abort}", "INIT", "*WAI")
    bench.run(S)
    assert int(bench.ask("TRAC:ACT?")) == readings
    assert max(bench.load.levels) == pytest.approx(6.0, rel=1e-6)
    assert bench.load.voltage_v == 0.0


def test_a_level_beyond_a_fixed_range_refuses_the_sweep() -> None:
    bench = Bench("SOUR:VOLT:RANG 2", "SOUR:SWE:VOLT:LIN 0, 20, 5, 0, 1, FIXED")
    assert bench.errors() == [-222]
    assert bench.ask("TRIG:STAT?") == "EMPTY;EMPTY;0"


# --- digital lines


def test_pulses_leave_with_the_logic_and_levels_of_their_line() -> None:
    bench = Bench("DIG:LINE3:MODE TRIG,OUT", "TRIG:DIG3:OUT:STIM COMM", "TRIG:DIG3:OUT:LOG POS")
    bench.persona.group_trigger(bench.now_ns)
    out = bench.persona.run_until(bench.now_ns)["digital_io_3"]
    assert (2 * out.idle_v, 2 * out.active_v) == (0.0, 5.0)
    assert (out.begin_ns.tolist(), (out.end_ns - out.begin_ns).tolist()) == ([bench.now_ns], [10 * US])
    bench.write("TRIG:DIG3:OUT:LOG NEG")
    bench.persona.group_trigger(bench.now_ns)
    out = bench.persona.run_until(bench.now_ns)["digital_io_3"]
    assert (2 * out.idle_v, 2 * out.active_v) == (5.0, 0.0)


def test_an_input_passes_its_edges_on_to_an_output() -> None:
    bench = Bench(*LINE, "DIG:LINE2:MODE TRIG,OUT", "TRIG:DIG2:OUT:STIM DIGio1")
    bench.edges([bench.now_ns + 7 * US])
    bench.run(MS)
    assert [begin for begin, _ in bench.pulses["digital_io_2"]] == [bench.now_ns - MS + 7 * US]


def test_a_block_sets_digital_outputs() -> None:
    bench = Bench("DIG:LINE3:MODE DIG,OUT", "DIG:LINE5:MODE DIG,OUT", "TRIG:BLOC:DIG:IO 1, 20, 60", "INIT")
    bench.run(MS)
    assert bench.ask("DIG:LINE3:STAT?;:DIG:LINE5:STAT?") == "1;1"
    bench.write("DIG:LINE5:STAT 0")
    assert bench.ask("DIG:LINE3:STAT?;:DIG:LINE5:STAT?") == "1;0"


def test_an_input_tells_the_level_outside() -> None:
    bench = Bench()
    assert bench.ask("DIG:LINE1:STAT?") == "1"  # pulled up
    bench.edges([bench.now_ns + MS], width_ns=3 * MS)
    levels: list[str] = []
    for _ in range(4):
        bench.run(500 * US)
        levels.append(bench.ask("DIG:LINE1:STAT?"))
    assert levels == ["0", "0", "1", "1"]


def test_an_unknown_connector() -> None:
    bench = Bench()
    with pytest.raises(KeyError):
        bench.edges([0], line=7)
