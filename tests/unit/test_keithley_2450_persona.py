"""The simulated Keithley 2450 as the host and the load see it: messages, output, readings, links, anything that is sent."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keithley_2450_bench import MS, NO_ERROR, US, Bench, S

from sim_instruments.catalogue import find
from sim_instruments.keithley_2450 import KNOWINGLY_ABSENT, MAX_UNREAD, Keithley2450Quirks
from sim_instruments.persona import Persona
from sim_instruments.scpi import INPUT_LIMIT_BYTES

ON = (":SOUR:VOLT:RANG 20;ILIM 1e-3;DEL 0", ":SENS:CURR:NPLC 0.01;AZER 0", ":SOUR:VOLT 6", ":OUTP ON")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_is_a_persona_of_its_catalogue(bench: Bench) -> None:
    persona: Persona = bench.persona
    assert persona.reply_ready_ns(0) is None
    assert find("keithley-2450", "voltage_source").resource.endswith("::5025::SOCKET")
    assert KNOWINGLY_ABSENT


# --- output


def test_levels_reach_the_terminal_only_while_on(bench: Bench) -> None:
    bench.write("SOUR:VOLT:ILIM 1e-3", "SOUR:VOLT 5")
    assert bench.load.history == []
    bench.write("OUTP ON", "SOUR:VOLT 20", "SOUR:VOLT -3", "OUTP OFF")
    assert bench.load.history == [(3 * MS, 5), (4 * MS, 20), (5 * MS, -3), (6 * MS, 0)]


def test_the_limit_lowers_the_voltage_and_is_told(bench: Bench) -> None:
    bench.write("SOUR:VOLT:ILIM 1e-4", "SOUR:VOLT 20", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(6.0, rel=1e-9)
    assert bench.ask("SOUR:VOLT:ILIM:TRIP?") == "1"
    current_a, status = bench.numbers("READ? 'defbuffer1', READ, SOURSTAT")
    assert current_a == pytest.approx(1e-4, rel=1e-3)
    assert int(status) == 128 + 32
    bench.load.resistance_ohm = 120_000.0
    bench.persona.load_changed(bench.now_ns)
    assert bench.load.voltage_v == pytest.approx(12.0, rel=1e-9)
    bench.write("SOUR:VOLT:ILIM 1e-3")
    assert bench.load.voltage_v == 20.0
    assert bench.ask("SOUR:VOLT:ILIM:TRIP?") == "0"


def test_a_short_is_seen_at_the_next_reading(bench: Bench) -> None:
    bench.write("SOUR:VOLT:ILIM 1e-3", "SOUR:VOLT -20", "OUTP ON")
    bench.load.resistance_ohm = 100.0
    assert bench.numbers("READ? 'defbuffer1', SOURSTAT") == [160]
    assert bench.load.voltage_v == pytest.approx(-0.1, rel=1e-6)


def test_a_fixed_range_too_low_for_the_reading(bench: Bench) -> None:
    bench.write("SOUR:FUNC CURR", "SOUR:CURR 1e-4", "SENS:FUNC 'VOLT'", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(6.0, rel=1e-6)
    bench.write("SENS:VOLT:RANG 2")
    assert bench.load.voltage_v == pytest.approx(2.1, rel=1e-6)  # the range holds it
    assert bench.ask("SOUR:CURR:VLIM:TRIP?") == "1"


def test_current_source(bench: Bench) -> None:
    bench.write("SOUR:FUNC CURR", "SOUR:CURR 1e-4", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(6.0, rel=1e-6)
    bench.write("SOUR:CURR 1e-3")
    assert bench.load.voltage_v == 21.0
    assert bench.ask("SOUR:CURR:VLIM:TRIP?") == "1"


def test_overvoltage_protection_and_interlock(bench: Bench) -> None:
    bench.write("SOUR:VOLT:ILIM 0.1", "SOUR:VOLT:PROT PROT40", "SOUR:VOLT 100", "OUTP ON")
    assert bench.load.voltage_v == 40.0
    bench.write("OUTP OFF", "SOUR:VOLT:PROT NONE")
    bench.persona.set_interlock(False, bench.now_ns)
    bench.write("OUTP ON")
    assert bench.load.voltage_v == 42.0
    assert bench.ask("OUTP:INT:TRIP?;:SYST:EVEN:NEXT? WARN").startswith('0;5074,"Output voltage limited by interlock;2;')
    bench.write("SOUR:VOLT 20")
    assert bench.load.voltage_v == 20.0  # legal with the interlock open
    assert bench.ask("SYST:EVEN:COUN?") == "0"


@pytest.mark.parametrize("message", ["ROUT:TERM REAR", "SOUR:FUNC CURR", "SENS:CURR:RSEN ON", "*RST", "*RCL 0"])
def test_what_switches_off(message: str) -> None:
    bench = Bench("SOUR:VOLT:ILIM 1e-3", "SOUR:VOLT 1", "OUTP ON", message)
    assert bench.load.levels == [1.0, 0.0]
    assert bench.ask("OUTP?") == "0"


def test_a_high_impedance_off_state_draws_nothing(bench: Bench) -> None:
    bench.write("OUTP:SMOD HIMP", "SENS:CURR:RANG 1e-8")
    assert abs(bench.numbers("READ?")[0]) < 1e-9


# --- readings


def test_a_reading_takes_its_conversions(bench: Bench) -> None:
    bench.write(*ON)
    begin_ns = bench.now_ns
    bench.ask("READ?")
    plain_ns = bench.now_ns - begin_ns
    assert plain_ns == MS + 2 * 200 * US + 145 * US  # message, reading and read-back of 0.01 periods, overhead
    bench.write("SENS:CURR:AZER 1;NPLC 1;AVER 1;AVER:COUN 3")
    begin_ns = bench.now_ns
    bench.ask("READ?")
    assert bench.now_ns - begin_ns == MS + 3 * 4 * 20 * MS + 145 * US


def test_the_source_delay_comes_before_the_reading(bench: Bench) -> None:
    bench.write(*ON, "SOUR:VOLT:DEL 0.05")
    bench.send("SOUR:VOLT 5", "READ?")
    begin_ns = bench.now_ns
    bench.read()
    assert bench.now_ns - begin_ns == MS + 50 * MS + 545 * US
    begin_ns = bench.now_ns
    bench.ask("READ?")
    assert bench.now_ns - begin_ns == MS + 545 * US  # the level is the same


def test_times_are_of_the_instrument_and_of_the_buffer(bench: Bench) -> None:
    bench.write(*ON)
    bench.ask("READ?")
    bench.run(2 * S)
    begin_ns = bench.now_ns
    bench.write("FORM:ASC:PREC 16")
    reply = bench.ask("READ? 'defbuffer1', REL, DATE, TIME, TST, SEC, FRAC").split(",")
    taken_ns = bench.now_ns
    assert begin_ns < taken_ns
    first_ns = taken_ns - round(float(reply[0]) * 1e9)
    assert first_ns == 5 * MS + 545 * US
    assert reply[1] == "01/01/2025"
    assert reply[2] == f"00:00:0{taken_ns // S}.{taken_ns % S:09d}"
    assert reply[3] == f"{reply[1]} {reply[2]}"
    assert int(reply[4]) == 1_735_689_600 + taken_ns // S
    assert float(reply[5]) == pytest.approx(taken_ns % S * 1e-9, abs=1e-12)


def test_read_back_or_as_programmed(bench: Bench) -> None:
    bench.write(*ON, "SOUR:VOLT:ILIM 1e-5")
    told, programmed = bench.numbers("READ? 'defbuffer1', SOUR")[0], None
    assert told == pytest.approx(0.6, rel=1e-2)
    bench.write("SOUR:VOLT:READ:BACK OFF")
    programmed = bench.numbers("READ? 'defbuffer1', SOUR")[0]
    assert programmed == 6.0


def test_binary_readings(bench: Bench) -> None:
    bench.write(*ON, "FORM REAL", "SENS:COUN 2")
    bench.ask("READ?")
    data = bench.ask("TRAC:DATA? 1,2,'defbuffer1',SOUR,READ,REL").encode("latin-1")
    assert data[:2] == b"#0"
    numbers = struct.unpack("<6d", data[2:])
    assert numbers[:2] == pytest.approx((6.0, 1e-4), rel=1e-3)
    assert numbers[5] == pytest.approx(545e-6, abs=1e-12)
    bench.write("FORM SRE", "FORM:BORD NORM")
    data = bench.ask("TRAC:DATA? 1,2,'defbuffer1',SOUR,READ,REL").encode("latin-1")
    assert struct.unpack(">6f", data[2:]) == pytest.approx(numbers, rel=1e-6)


def test_noise_has_its_size(bench: Bench) -> None:
    bench.write(*ON, "SENS:CURR:RANG 1e-3", "SENS:COUN 2000")
    bench.ask("READ?")
    amps = np.array(bench.numbers("TRAC:DATA? 1,2000"))
    sigma = 5e-5 * 1e-3 + 1e-10
    assert amps.mean() == pytest.approx(1e-4, abs=4 * sigma / 44)
    assert amps.std() == pytest.approx(sigma, rel=0.06)


def test_a_full_buffer_keeps_the_newest_or_the_oldest(bench: Bench) -> None:
    bench.write(*ON, "TRAC:MAKE 'ten', 10", "TRAC:POIN 10", "SENS:COUN 12")
    bench.ask("READ? 'ten'")
    bench.ask("READ? 'defbuffer1'")
    assert bench.ask("TRAC:ACT? 'ten';ACT? 'defbuffer1'") == "10;10"
    oldest, newest = (bench.numbers(f"TRAC:DATA? 1,1,'{name}',FRAC")[0] for name in ("ten", "defbuffer1"))
    assert newest - oldest == pytest.approx((12 + 2) * 545e-6 + MS * 1e-9, abs=1e-7)


# --- messages


def test_messages_take_their_time_to_arrive() -> None:
    bench = Bench(quirks=Keithley2450Quirks(message_time_ns=0))
    bench.send("SOUR:VOLT:ILIM 1e-3;:SOUR:VOLT 5", "OUTP ON")
    bench.run(0)
    assert bench.load.history == [(0, 5.0)]


def test_opc_and_wai_wait_for_the_trigger_model(bench: Bench) -> None:
    bench.write('TRIG:LOAD "Empty"', "TRIG:BLOC:DEL:CONS 1,0.5", "*CLS")
    bench.write("INIT")
    begin_ns = bench.now_ns
    bench.write("*OPC")
    assert bench.ask("*ESR?") == "0"
    assert bench.ask("*OPC?") == "1"
    assert bench.now_ns - begin_ns == pytest.approx(500 * MS, abs=MS)
    assert bench.ask("*ESR?") == "1"


def test_abort_acts_past_what_waits() -> None:
    bench = Bench(quirks=Keithley2450Quirks(socket_link=True))
    bench.write("TRIG:BLOC:WAIT 1,COMM", "INIT", "*WAI", "SOUR:VOLT 1", "OUTP?")
    assert bench.silent()
    bench.run(S)
    assert bench.silent()
    bench.write(":ABOR;:OUTP OFF")
    assert bench.read() == "0"
    assert bench.ask("TRIG:STAT?") == "ABORTED;ABORTED;1"
    assert bench.errors() == []


def test_abort_ends_a_measurement_without_a_reply(bench: Bench) -> None:
    bench.write("SENS:CURR:NPLC 10;:SENS:COUN 1000")
    bench.send("READ?")
    bench.run(S)
    bench.write("ABOR")
    assert bench.silent()
    assert bench.ask("*OPC?") == "1"


def test_where_abort_has_to_wait() -> None:
    bench = Bench(quirks=Keithley2450Quirks(abort_overtakes=False))
    bench.write("TRIG:BLOC:WAIT 1,COMM", "INIT", "*WAI", "ABOR")
    assert bench.silent()
    bench.persona.device_clear(bench.now_ns)
    assert bench.ask("TRIG:STAT?") == "RUNNING;RUNNING;1"
    bench.write("ABOR")
    assert bench.ask("TRIG:STAT?") == "ABORTED;ABORTED;1"


def test_device_clear_drops_what_waits_and_leaves_the_output(bench: Bench) -> None:
    bench.write(*ON)
    bench.send("*IDN?", "SENS:COUN 9;:READ?", "OUTP OFF", "SOUR:VOLT 3")
    bench.persona.receive(b"*ID", bench.now_ns)
    bench.run(3 * MS)
    bench.persona.device_clear(bench.now_ns)
    bench.run(S)
    assert bench.silent()
    assert bench.ask("OUTP?;:SOUR:VOLT?") == "1;6"
    assert bench.load.voltage_v == 6.0


def test_device_clear_may_end_the_trigger_model() -> None:
    bench = Bench("TRIG:BLOC:WAIT 1,COMM", "INIT", quirks=Keithley2450Quirks(clear_aborts=True))
    bench.persona.device_clear(bench.now_ns)
    assert bench.ask("TRIG:STAT?") == "ABORTED;ABORTED;1"


def test_an_unread_reply_is_interrupted_only_where_there_is_no_socket() -> None:
    usb, socket = Bench(), Bench(quirks=Keithley2450Quirks(socket_link=True))
    for bench in (usb, socket):
        bench.write("*IDN?", "OUTP?")
    assert usb.read() == "0"
    assert usb.errors() == [-410]
    assert socket.read().startswith("KEITHLEY")
    assert socket.read() == "0"
    assert socket.errors() == []


def test_a_language_is_only_remembered(bench: Bench) -> None:
    bench.write("*LANG TSP")
    assert bench.ask("*LANG?;*IDN?").startswith("TSP;KEITHLEY")
    assert bench.ask("SYST:ERR?") == NO_ERROR


# what QCoDeS' own driver of the 2450 puts on the wire (seen on a logging server), and what it needs in reply
QCODES = (
    ("*LANG?", "SCPI"),
    ("*RST", None),
    ("ROUTe:TERMinals front", None),
    (":SOUR:FUNC?", "VOLT"),
    (":SENS:FUNC?", '"CURR:DC"'),
    (":SOUR:voltage:RANGe 20", None),
    ("SOUR:voltage:ILIM 0.001", None),
    (":SENSe:current:NPLCycles 0.01", None),
    ("SOUR:voltage 20", None),
    (":OUTP 1", None),
    (":OUTP?", "1"),
    (":SOURce:SWEep:voltage:LINear 0,20,5,0,1,AUTO,ON,OFF,'defbuffer1'", None),
    (":INITiate", None),
    ("*WAI", None),
)


def test_what_qcodes_sends_is_understood(bench: Bench) -> None:
    for message, reply in QCODES:
        if reply is None:
            bench.write(message)
        else:
            assert bench.ask(message) == reply
    currents_a = bench.numbers(":TRACe:DATA? 1, 5, 'defbuffer1'")
    assert currents_a == pytest.approx([k * 5 / 60e3 for k in range(5)], abs=1e-7)
    bench.write(":TRACe:CLEar 'defbuffer1'", ":OUTP 1")
    assert float(bench.ask(":MEASure? 'defbuffer1'")) == pytest.approx(20 / 60e3, rel=1e-3)
    bench.write(":OUTP 0")
    assert bench.errors() == []


# --- anything that is sent


def test_a_line_that_never_ends_is_bounded(bench: Bench) -> None:
    for _ in range(40):
        bench.persona.receive(b"SOUR:VOLT 1;" * 5000, bench.now_ns)
    assert len(bench.persona._stream) <= INPUT_LIMIT_BYTES  # pyright: ignore[reportPrivateUsage]
    bench.persona.receive(b"\n*IDN?\n", bench.now_ns)
    assert bench.read().startswith("KEITHLEY")
    assert bench.errors() == [-363]
    assert bench.ask("SOUR:VOLT?") == "0"


def test_replies_that_nobody_reads_are_bounded() -> None:
    bench = Bench(quirks=Keithley2450Quirks(socket_link=True, message_time_ns=0))
    for _ in range(3):
        bench.persona.receive(b"OUTP?\n" * 5000, bench.now_ns)
        bench.run(0)
    assert 0 < len(bench.replies()) <= MAX_UNREAD
    assert -430 in bench.errors()


SCRIPT = (
    b"*RST;:SOUR:VOLT:ILIM 1e-3\r\n:SOUR:LIST:VOLT 1,2,3\nSOUR:SWE:VOLT:LIST 1,0.01\r:INIT;*WAI\n*CLS;;:FOO\n\n"
    b"TRAC:DATA? 1,3,'defbuffer1',SOUR,READ,REL\n"
)


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_segmentation_does_not_matter(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(SCRIPT)]
    bench, whole = Bench(), Bench()
    whole.persona.receive(SCRIPT, 0)
    for begin, end in pairwise(ends):
        bench.persona.receive(SCRIPT[begin:end], 0)
    assert bench.read() == whole.read()
    assert bench.load.history == whole.load.history
    assert bench.errors() == whole.errors() == [-113]
    assert bench.load.levels == [1, 2, 3, 0]


WORDS = st.sampled_from(
    """*RST *CLS *TRG *STB? *OPC? *OPC *WAI *SAV *RCL *IDN? *LANG ABOR INIT READ? FETC? MEAS:VOLT? MEAS? OUTP OUTP? SOUR:VOLT
    SOUR:FUNC SOUR:VOLT:ILIM SOUR:VOLT:RANG SOUR:LIST:VOLT SOUR:LIST:VOLT:APP SOUR:SWE:VOLT:LIST SOUR:SWE:VOLT:LIN
    SOUR:CONF:LIST:CRE SOUR:CONF:LIST:STOR SOUR:CONF:LIST:REC SOUR:CONF:LIST:DEL SENS:CONF:LIST:CRE SENS:CONF:LIST:STOR
    SENS:FUNC SENS:COUN SENS:CURR:RANG SENS:CURR:NPLC TRAC:MAKE TRAC:DEL TRAC:DATA? TRAC:CLE TRAC:POIN TRAC:FILL:MODE
    TRAC:TRIG TRAC:STAT:AVER? FORM FORM:ASC:PREC TRIG:LOAD TRIG:BLOC:WAIT TRIG:BLOC:MEAS TRIG:BLOC:CONF:REC
    TRIG:BLOC:CONF:NEXT TRIG:BLOC:BRAN:COUN TRIG:BLOC:BRAN:ALW TRIG:BLOC:BRAN:EVEN TRIG:BLOC:BRAN:ONCE TRIG:BLOC:SOUR:STAT
    TRIG:BLOC:DEL:CONS TRIG:BLOC:DEL:DYN TRIG:BLOC:NOT TRIG:BLOC:DIG:IO TRIG:BLOC:LOG:EVEN TRIG:BLOC:BUFF:CLE
    TRIG:BLOC:LIST? TRIG:BLOC:BRAN:COUN:COUN? TRIG:STAT? DIG:LINE1:MODE DIG:LINE1:STAT DIG:READ? TRIG:DIG1:IN:EDGE
    TRIG:DIG2:OUT:STIM TRIG:DIG2:OUT:PULS SYST:ERR? SYST:EVEN:NEXT? SYST:EVEN:POST SYST:CLE *ESE *ESR?""".split()
)
VALUES = st.sampled_from(
    """0 1 2 20 -5 1e-3 1e999 #HFF # ON OFF MIN MAX DEF INF VOLT CURR 'CURR' 'VOLT' 'RES' 'x' "x" '' ' ( () , 1,2,,3 1,2,3,4
    'x',1 'x',10 1,'x' 2,'x' 1,DIG1 2,DIG1,ENT,OR,COMM 1,NONE 2,'defbuffer1' 3,'defbuffer1',INF 1,5,1 4,3,1 3,1 1,1 2,0
    1,ON 2,OFF 1,1e-3 1,SOUR1 1,COMM,2 1,ERR1,'m' 1,ABOR,'m' 'SimpleLoop',3 'LogicTrigger',1,2,3 'DurationLoop',0.01
    'Empty' 'ConfigList','x','x' 1,0.001 0,20,5 TRIG,IN TRIG,OUT DIG,OUT RIS NOT1 REAL ASC 'defbuffer1',SOUR,REL
    'defbuffer1',TIME ALL SCPI2400 FALL""".split()
)
SOUP = (
    st.binary(max_size=8)
    | st.builds(lambda w, v: f"{w} {v}".encode(), WORDS, VALUES)
    | st.sampled_from([b"\n", b";", b";:", b"\n", b"\x18", b"\n"])
)


@given(st.lists(st.tuples(SOUP, st.integers(0, 3 * MS)), max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_nothing_that_is_sent_can_break_it(pieces: list[tuple[bytes, int]], socket: bool) -> None:
    bench = Bench(quirks=Keithley2450Quirks(socket_link=socket))
    for k, (data, duration_ns) in enumerate(pieces):
        bench.persona.receive(data, bench.now_ns)
        ready_ns = bench.persona.reply_ready_ns(bench.now_ns)
        if ready_ns is not None and k % 3 == 0 and ready_ns < bench.now_ns + 1000 * MS:
            bench.run(max(0, ready_ns - bench.now_ns))
        bench.run(duration_ns)
        if k % 5 == 0:
            bench.edges([bench.now_ns], line=1)
        if k % 7 == 0:
            bench.persona.take(7, bench.now_ns)
    bench.persona.device_clear(bench.now_ns)
    bench.write(":ABOR;:OUTP OFF")
    assert bench.load.voltage_v == 0.0
    assert bench.ask("OUTP?") == "0"


@given(st.lists(SOUP, max_size=40), st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_replies_are_the_same_however_the_bytes_are_cut(pieces: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(pieces) + b"\n"
    whole, cut = (Bench(quirks=Keithley2450Quirks(socket_link=True)) for _ in range(2))
    whole.persona.receive(stream, 0)
    begin = number = 0
    while begin < len(stream):
        size = sizes[number % len(sizes)]
        cut.persona.receive(stream[begin : begin + size], 0)
        begin, number = begin + size, number + 1
    for bench in (whole, cut):
        bench.run(100 * MS)
    assert whole.replies() == cut.replies()
    assert whole.load.history == cut.load.history
    assert list(whole.persona.meter.status.entries) == list(cut.persona.meter.status.entries)
