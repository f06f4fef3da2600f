"""The simulated Keithley 2400 under way: stepping on edges, both trigger layers, and what acts while it is not idle."""

from collections.abc import Callable

import numpy as np
import pytest
from keithley_2400_bench import MS, OFF, STEP_NS, STEPPED, US, Bench, stepped

from sim_instruments.persona import Edges


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_list_steps_on_edges_at_exact_times_and_wraps(bench: Bench) -> None:
    stepped(bench, "20,0", 5)
    start_ns = bench.now_ns
    edges_ns = [start_ns + k * 2 * MS for k in range(1, 6)]
    bench.edges(edges_ns)
    bench.run(100 * MS)
    assert bench.load.history == [(t + STEP_NS, v) for t, v in zip(edges_ns, [20, 0, 20, 0, 20], strict=True)]
    readings = np.array(bench.ask("TRAC:DATA?").split(","), float).reshape(-1, 5)
    assert readings[:, 0].tolist() == [20, 0, 20, 0, 20]
    assert readings[:, 3] == pytest.approx(np.arange(5) * 2e-3, abs=1e-9)
    bench.write("TRAC:FEED:CONT NEV;:TRAC:TST:FORM DELT")
    assert np.array(bench.ask("TRAC:DATA?").split(","), float)[3::5] == pytest.approx([0, 2e-3, 2e-3, 2e-3, 2e-3], abs=1e-9)


def test_one_call_and_many_calls_give_the_same(bench: Bench) -> None:
    other = Bench()
    for b in (bench, other):
        stepped(b, "20,0,10", 200)
        b.edges(range(b.now_ns + MS, b.now_ns + 201 * 3 * MS, 3 * MS))
    bench.run(700 * MS)
    for _ in range(7000):
        other.run(100 * US)
    assert bench.load.history == other.load.history
    assert bench.ask("TRAC:DATA?") == other.ask("TRAC:DATA?")


def test_source_only_step_takes_360_us(bench: Bench) -> None:
    stepped(bench, "20,0", 2500)
    bench.write(OFF, "SENS:FUNC:OFF:ALL", "OUTP ON", "INIT")
    first_ns = bench.now_ns + MS
    bench.edges(range(first_ns, first_ns + 50 * 360 * US, 360 * US))
    bench.run(100 * MS)
    times = [t for t, _ in bench.load.history]
    assert times == [first_ns + k * 360 * US + STEP_NS for k in range(50)]


def test_measured_step_does_990_per_second(bench: Bench) -> None:
    stepped(bench, "20,0", 2500)
    bench.edges(range(bench.now_ns, bench.now_ns + 1000 * MS, 500 * US))  # far too fast: latched, and lost
    bench.run(1000 * MS)
    assert len(bench.load.history) == pytest.approx(990, abs=2)


def test_an_edge_nobody_waits_for_is_latched_once(bench: Bench) -> None:
    stepped(bench, "20,0", 3)
    bench.write("ABOR")
    bench.edges([bench.now_ns + k * 100 * US for k in range(5)])
    bench.run(5 * MS)
    bench.write("INIT")
    t_ns = bench.now_ns
    bench.run(50 * MS)
    assert bench.load.history == [(t_ns + STEP_NS, 20.0)]
    bench.write("ABOR;:TRIG:CLE;:SOUR:LIST:VOLT 10,5")
    bench.edges([bench.now_ns])
    bench.write("ABOR;:TRIG:CLE", "INIT")
    bench.run(50 * MS)
    assert bench.load.voltage_v == 20.0


def test_only_good_pulses_on_the_right_line_count(bench: Bench) -> None:
    stepped(bench, "20,0", 3)
    t_ns = bench.now_ns
    bench.edges([t_ns + 1 * MS], line=2)
    bench.edges([t_ns + 2 * MS], width_ns=9 * US)
    bench.edges([t_ns + 3 * MS], high_v=1.9)
    bench.edges([t_ns + 3 * MS], high_v=5.1)
    bench.edges([t_ns + 4 * MS], low_v=0.6)
    bench.edges([t_ns + 4 * MS], low_v=float("nan"))
    bench.run(10 * MS)
    assert bench.load.history == []
    bench.edges([bench.now_ns])
    bench.run(MS)
    assert bench.load.voltage_v == 20.0


def test_a_positive_pulse_acts_at_its_falling_edge(bench: Bench) -> None:
    stepped(bench, "20,0", 3)
    rise = np.array([bench.now_ns + MS])
    bench.persona.receive_edges("trigger_link_3", Edges(rise, rise + 100 * US, 0.0, 4.0))
    bench.run(10 * MS)
    assert bench.load.history == [(int(rise[0]) + 100 * US + STEP_NS, 20.0)]


def test_list_beyond_one_message(bench: Bench) -> None:
    bench.write("SOUR:LIST:VOLT " + ",".join(["1"] * 100), *["SOUR:LIST:VOLT:APP " + ",".join(["2"] * 100)] * 24)
    assert bench.ask("SOUR:LIST:VOLT:POIN?") == "2500"
    bench.write("SOUR:LIST:VOLT:APP 3")
    assert bench.ask("SYST:ERR?") == '-223,"Too much data"'
    assert bench.ask("SOUR:LIST:VOLT:POIN?") == "2500"


def test_auto_off_by_trigger_count(bench: Bench) -> None:
    bench.write(
        *STEPPED, ":SOUR:LIST:VOLT 20,10;:TRIG:COUN 2;:SOUR:VOLT 1", ":SOUR:CLE:AUTO:MODE TCO", ":SOUR:CLE:AUTO 1", "INIT"
    )
    assert bench.load.voltage_v == 1.0  # on, at the programmed level, when the trigger layer is entered
    t_ns = bench.now_ns
    bench.edges([t_ns + MS, t_ns + 5 * MS])
    bench.run(20 * MS)
    assert [v for _, v in bench.load.history] == [1, 20, 10, 0]
    assert bench.load.history[-1][0] - bench.load.history[-2][0] < 2 * MS
    assert bench.ask("OUTP?") == "0"


def test_auto_off_when_aborted(bench: Bench) -> None:
    bench.write(*STEPPED, ":SOUR:LIST:VOLT 20,10;:TRIG:COUN 2", ":SOUR:CLE:AUTO:MODE TCO;:SOUR:CLE:AUTO 1", "INIT")
    bench.edges([bench.now_ns])
    bench.run(MS)
    assert bench.load.voltage_v == 20.0
    bench.persona.device_clear(bench.now_ns)
    assert bench.load.voltage_v == 0.0


def test_auto_off_after_every_cycle(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 5;:SOUR:CLE:AUTO 1;:TRIG:COUN 2")
    bench.ask("READ?")
    assert [v for _, v in bench.load.history] == [5, 0, 5, 0]
    bench.ask("MEAS:CURR?")
    assert bench.load.voltage_v == 0.0


def test_sweep_ends_early_on_compliance(bench: Bench) -> None:
    bench.write("SOUR:VOLT:STAR 0;STOP 10;STEP 1;:SOUR:VOLT:MODE SWE;:TRIG:COUN 11;:SENS:CURR:PROT 1e-4;:SOUR:SWE:CAB LATE")
    assert bench.ask("SOUR:SWE:POIN?") == "11"
    bench.write("OUTP ON")
    bench.send("READ?")
    bench.run(5_000 * MS)
    assert len(bench.read().split(",")) == 5 * 8


def test_arm_layer_sources_and_output_triggers(bench: Bench) -> None:
    bench.write("SYST:AZER 0;:SENS:FUNC:OFF:ALL;:SOUR:DEL 0;:ARM:COUN 2;:TRIG:COUN 3;:OUTP ON")
    bench.write(":ARM:OUTP TENT,TEX;OLIN 4;:TRIG:OUTP SOUR,SENS;OLIN 2")
    bench.write(":ARM:SOUR BUS", "INIT")
    t0_ns = bench.now_ns
    bench.run(10 * MS)
    assert bench.pulses == {}
    bench.write("*TRG")
    bench.run(10 * MS)
    fired_ns = t0_ns + 11 * MS
    assert bench.pulses["trigger_link_4"] == [fired_ns, fired_ns + 3 * 360 * US]
    assert bench.pulses["trigger_link_2"] == [fired_ns + k * 360 * US + STEP_NS for k in (0, 0, 1, 1, 2, 2)]
    bench.write("*TRG")
    bench.run(10 * MS)
    assert len(bench.pulses["trigger_link_2"]) == 12
    assert bench.ask("STAT:OPER:COND?") == "1024"


def test_output_pulses_are_active_low(bench: Bench) -> None:
    bench.write("TRIG:OUTP SOUR;:OUTP ON")
    bench.send("INIT")
    bench.now_ns += 50 * MS
    (pulse,) = bench.persona.run_until(bench.now_ns).values()
    assert (pulse.end_ns - pulse.begin_ns).tolist() == [10 * US]
    assert 2 * pulse.idle_v == pytest.approx(3.84)
    assert 2 * pulse.active_v == pytest.approx(0.33)


def test_arm_timer(bench: Bench) -> None:
    bench.write("SYST:AZER 0;:SENS:FUNC:OFF:ALL;:SOUR:DEL 0;:ARM:SOUR TIM;TIM 0.05;COUN 4;:TRIG:OUTP SOUR;:OUTP ON", "INIT")
    bench.run(500 * MS)
    assert np.diff(bench.pulses["trigger_link_2"]).tolist() == [50 * MS] * 3


def test_bypass_and_other_detectors(bench: Bench) -> None:
    stepped(bench, "20,0", 2)
    bench.write(OFF, ":TRIG:DIR SOUR;INP SOUR,SENS;:OUTP ON", "INIT")
    bench.run(20 * MS)
    assert bench.load.voltage_v == 20.0  # the first source detector was bypassed, the sense detector waits
    assert bench.silent()
    bench.edges([bench.now_ns])
    bench.run(20 * MS)
    assert bench.load.voltage_v == 20.0
    bench.edges([bench.now_ns])
    bench.run(20 * MS)
    assert bench.load.voltage_v == 0.0


# --- not idle


def test_everything_waits_while_it_is_not_idle(bench: Bench) -> None:
    stepped(bench, "20,0", 2)
    bench.write("OUTP OFF", "SOUR:VOLT 5")
    bench.send("*OPC?")
    bench.run(MS)
    bench.edges([bench.now_ns + MS])
    bench.run(100 * MS)
    assert bench.load.voltage_v == 20.0
    assert bench.silent()
    assert bench.persona.serial_poll(bench.now_ns) & 1 << 4 == 0
    bench.edges([bench.now_ns + MS])
    assert bench.read() == "1"
    assert bench.ask("OUTP?;:SOUR:VOLT?") == "0;+5.000000E+00"


def test_query_during_an_endless_sweep_gets_no_reply(bench: Bench) -> None:
    bench.write("ARM:COUN INF;:OUTP ON", "INIT")
    bench.send("*STB?")
    assert bench.silent()
    bench.run(2000 * MS)
    assert bench.silent()
    bench.persona.device_clear(bench.now_ns)
    assert bench.ask("*OPC?") == "1"


def test_init_while_running_is_refused_at_once(bench: Bench) -> None:
    stepped(bench, "20,0", 2)
    bench.write("INIT", "ABOR")
    assert bench.errors() == [-213]
    assert bench.ask("STAT:OPER:COND?") == "1024"


def sweeping(bench: Bench) -> None:
    stepped(bench, "20,0", 2000)
    bench.edges([bench.now_ns + MS])
    bench.run(5 * MS)


def sweeping_with_messages_waiting(bench: Bench) -> None:
    sweeping(bench)
    bench.write("SOUR:VOLT 13", ":TRIG:COUN 5;:OUTP ON", "*STB?", ":SOUR:DEL 0;:INIT", "SOUR:VOLT 14;:OUTP ON")


def between_edges_of_a_timed_sweep(bench: Bench) -> None:
    stepped(bench, "20,10", 1000)
    bench.write(OFF, ":TRIG:SOUR IMM;:SOUR:DEL 0.5;:OUTP ON", "INIT")
    bench.run(700 * MS)


def on_with_reply_unread(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 20;:OUTP ON", "*IDN?")
    bench.run(10 * MS)


def reading(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 20;:OUTP ON;:TRIG:COUN 50", "READ?")
    bench.run(100 * MS)


STATES = [
    lambda bench: bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 20;:OUTP ON"),
    lambda bench: stepped(bench, "20,0", 5),
    sweeping,
    sweeping_with_messages_waiting,
    between_edges_of_a_timed_sweep,
    on_with_reply_unread,
    reading,
    lambda bench: bench.write("*RST;:ARM:SOUR BUS;:SOUR:VOLT 20;:OUTP ON", "INIT"),
    lambda bench: bench.write("ARM:COUN INF;:SOUR:VOLT 20;:OUTP ON", "INIT"),
]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_off_message_works_in_every_state(bench: Bench, state: Callable[[Bench], None], clear: bool) -> None:
    state(bench)
    if clear:
        bench.persona.device_clear(bench.now_ns)
    bench.write(OFF)
    bench.run(5 * MS)
    assert bench.load.voltage_v == 0.0
    bench.edges([bench.now_ns + k * MS for k in range(5)])
    bench.run(1000 * MS)
    assert bench.load.voltage_v == 0.0
    if not clear and bench.persona.reply_ready_ns(bench.now_ns) is not None:
        bench.read()
    assert bench.ask("OUTP?") == "0"


def test_bare_off_waits_for_the_end_of_the_sweep(bench: Bench) -> None:
    sweeping(bench)
    bench.write("OUTP OFF")
    bench.run(1000 * MS)
    assert bench.load.voltage_v == 20.0


def test_device_clear_prevents_what_has_not_happened(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 1;:TRIG:DEL 0.5;COUN 3;:SOUR:VOLT:TRIG 20;:OUTP ON")
    bench.send("READ?")
    assert bench.persona.reply_ready_ns(bench.now_ns) is not None
    bench.run(400 * MS)
    bench.persona.device_clear(bench.now_ns)
    bench.run(5000 * MS)
    assert bench.load.voltage_v == 1.0
    assert bench.silent()
    bench.send("SOUR:VOLT 5")
    bench.persona.device_clear(bench.now_ns)
    bench.run(10 * MS)
    assert bench.load.voltage_v == 1.0
    assert bench.errors() == []
    bench.send(*["*CLS"] * 50)
    bench.persona.device_clear(bench.now_ns)
    bench.send("*OPC?")
    assert bench.persona.reply_ready_ns(bench.now_ns) == bench.now_ns + MS


def test_reset_drops_what_waits(bench: Bench) -> None:
    sweeping(bench)
    bench.write("OUTP ON;:SOUR:VOLT 7", "*IDN?", "*RST")
    assert bench.load.voltage_v == 0.0
    assert bench.silent()
    assert bench.errors() == []  # a dropped query leaves no reply to interrupt
    assert bench.ask("OUTP?;:SOUR:VOLT?;:SOUR:VOLT:MODE?") == "0;+0.000000E+00;FIX"


def test_an_unread_reply_is_interrupted_by_the_next_message(bench: Bench) -> None:
    bench.write("*IDN?", "SYST:ERR?")
    assert bench.read() == '-410,"Query INTERRUPTED"'
    bench.write("*IDN?")
    bench.persona.take(5, bench.now_ns)
    bench.write("SOUR:VOLT 1")
    assert bench.silent()
    assert bench.errors() == [-410]


def test_opc_tells_the_end_of_a_run(bench: Bench) -> None:
    bench.write("*CLS;:OUTP ON;:TRIG:COUN 10;:SENS:CURR:NPLC 0.1")
    bench.send("INIT;*OPC")
    bench.run(5 * MS)
    assert bench.persona.serial_poll(bench.now_ns) & 32 == 0
    assert bench.ask("*ESR?") == "1"
    assert bench.ask("FETC?").count(",") == 10 * 5 - 1


def test_a_reply_that_was_foretold_and_then_interrupted_is_foretold_no_more(bench: Bench) -> None:
    """The next message discards it before anybody has read it."""
    persona = bench.persona
    persona.receive(b"*IDN?\n", 0)
    assert persona.reply_ready_ns(0) == MS
    persona.receive(b"*RST\n", 0)
    assert persona.reply_ready_ns(0) == MS
    bench.run(7 * MS)
    assert persona.reply_ready_ns(bench.now_ns) is None
