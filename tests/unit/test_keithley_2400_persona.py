"""The simulated Keithley 2400 as the host and the load see it: commands, errors, output, data, links, clients."""

import dataclasses
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keithley_2400_bench import MS, OFF, Bench, stepped
from pymeasure.adapters import Adapter
from pymeasure.instruments.keithley import Keithley2400

from sim_instruments.keithley_2400 import KNOWINGLY_ABSENT, Keithley2400Quirks
from sim_instruments.persona import Persona


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_is_a_persona(bench: Bench) -> None:
    persona: Persona = bench.persona
    assert persona.reply_ready_ns(0) is None
    assert KNOWINGLY_ABSENT


def test_identity() -> None:
    assert Bench().ask("*IDN?").startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400,4102311,C3")
    assert Bench(Keithley2400Quirks(identity_blanks=True)).ask("*idn?").startswith("KEITHLEY INSTRUMENTS INC., MODEL 2400, ")


def test_makers_list_example(bench: Bench) -> None:
    bench.write("*RST", "SOUR:FUNC VOLT", "SOUR:VOLT:MODE LIST", "SOUR:LIST:VOLT 7, 1, 3, 8, 2", "SOUR:DEL 0.1")
    bench.write("SENS:FUNC 'CURR:DC'", "SENS:CURR:PROT 1e-3", "TRIG:COUN 5", "OUTP ON")
    numbers = [float(x) for x in bench.ask("READ?").split(",")]
    bench.write("OUTP OFF")
    assert len(numbers) == 5 * 5
    volts, amps, ohms, times = (np.array(numbers[i::5]) for i in range(4))
    assert volts.tolist() == [7, 1, 3, 8, 2]
    assert amps == pytest.approx(volts / 60_000, abs=5 * (2e-4 * 1e-3 + 1e-9))
    assert set(ohms) == {9.91e37}
    # 0.1 s delay, one current and two zero conversions of 20 ms, 810 us of overheads
    assert np.diff(times) == pytest.approx(0.16081, abs=1e-6)
    assert [v for _, v in bench.load.history] == [7, 1, 3, 8, 2, 0]
    assert bench.errors() == []


def test_defaults_and_readback(bench: Bench) -> None:
    bench.write("SOUR:VOLT 3;:SENS:CURR:NPLC 5;:TRIG:COUN 7", "*RST")
    reply = bench.ask("SOUR:VOLT?;:SOUR:VOLT:RANG?;RANG:AUTO?;:SENS:CURR:PROT?;:TRIG:COUN?;:SENS:CURR:NPLC?;:OUTP?;:SENS:FUNC?")
    assert reply == '+0.000000E+00;+2.100000E+01;1;+1.050000E-04;1;1.00;0;"CURR:DC"'
    assert (
        bench.ask(":FORM:ELEM?;:TRIG:INP?;:TRIG:OUTP?;:ARM:SOUR?;:OUTP:SMOD?") == "VOLT,CURR,RES,TIME,STAT;SOUR;NONE;IMM;NORM"
    )
    assert bench.ask("SOUR:VOLT? MAX;:TRIG:DEL? MAX;:SENS:CURR:PROT? DEF") == "+2.100000E+02;+9.999999E+02;+1.050000E-04"
    bench.write("ARM:COUN INF")
    assert bench.ask("ARM:COUN?") == "+9.900000E+37"


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ("FOO:BAR 1", -113, "Undefined header"),
        ("SOUR:VOLT 211", -222, "Parameter data out of range"),
        ("SOUR:VOLT NAN", -224, "Illegal parameter value"),
        ("SOUR:VOLT", -109, "Missing parameter"),
        ("SOUR:VOLT 1,2", -108, "Parameter not allowed"),
        ("TRIG:SOUR BUS", -224, "Illegal parameter value"),
        ("TRIG:COUN 2501", -222, "Parameter data out of range"),
        ("TRIG:COUN 100;:ARM:COUN 26", -221, "Settings conflict"),
        ("SOUR:VOLT:RANG 2;:SOUR:VOLT 2.2", -222, "Parameter data out of range"),
        ("SOUR:LIST:VOLT " + ",".join(["1"] * 101), -223, "Too much data"),
        ("SENS:CURR:RANG 1e-3", 824, "Cannot exceed compliance range"),
        ("SENS:VOLT:RANG 2", 823, "Invalid with source read-back on"),
        ("SENS:CURR:PROT 1e-2;:SENS:CURR:RANG 1e-2;:SENS:CURR:PROT 1e-6", 822, "Too small for sense range"),
        ("SENS:CURR:PROT 1;:SOUR:VOLT 50", 826, "Attempt to exceed power limit"),
        ("INIT", 803, "Not permitted with OUTPUT off"),
        ("READ?", 803, "Not permitted with OUTPUT off"),
        ("ARM:COUN INF;:OUTP ON;:READ?", 830, "Invalid with INF ARM:COUNT"),
        ("TRAC:FEED:CONT NEXT;:TRAC:POIN 5", 800, "Illegal with storage active"),
        ("*TRG", -211, "Trigger ignored"),
        ("FETC?", -230, "Data corrupt or stale"),
        ("*RST 1", -108, "Parameter not allowed"),
        ("SYST:LFR 55", -224, "Illegal parameter value"),
    ],
)
def test_errors_have_the_makers_codes_and_texts(bench: Bench, message: str, code: int, text: str) -> None:
    bench.write(message)
    assert bench.ask("SYST:ERR?") == f'{code},"{text}"'
    assert bench.ask("STAT:QUE?") == '0,"No error"'


def test_error_queue_holds_ten_and_sets_event_bits(bench: Bench) -> None:
    bench.write("*CLS", "*ESE 32;*SRE 32", *["FOO"] * 12)
    assert bench.ask("*STB?") == str(4 + 32 + 64)
    assert bench.errors() == [-113] * 9 + [-350]
    assert bench.ask("*ESR?") == "32"
    assert bench.ask("*ESR?") == "0"


def test_an_error_ends_its_message_only(bench: Bench) -> None:
    bench.write("SOUR:VOLT 1;:FOO;:SOUR:VOLT 2", "SOUR:VOLT:MODE LIST")
    assert bench.ask("SOUR:VOLT?;VOLT:MODE?") == "+1.000000E+00;LIST"
    assert bench.ask("SOUR:VOLT?;:FOO?") == "+1.000000E+00"


# --- output


def test_levels_reach_the_terminal_only_while_on(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SOUR:VOLT 5")
    assert bench.load.history == []
    bench.write("OUTP ON", "SOUR:VOLT 20", "OUTP OFF")
    assert [v for _, v in bench.load.history] == [5, 20, 0]
    assert [t for t, _ in bench.load.history] == [3 * MS, 4 * MS, 5 * MS]


def test_compliance_lowers_the_voltage_and_is_reported(bench: Bench) -> None:
    bench.write("*RST", "SENS:CURR:PROT 1e-4", "SENS:FUNC 'VOLT','CURR'", "SOUR:VOLT 20", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(6.0, rel=1e-9)
    assert bench.ask("SENS:CURR:PROT:TRIP?") == "1"
    assert int(bench.ask("STAT:MEAS:COND?")) & 1 << 14
    volt, amp, _, _, status = (float(x) for x in bench.ask("READ?").split(","))
    assert volt == pytest.approx(6.0, abs=0.02)
    assert amp == pytest.approx(1e-4, rel=2e-3)
    assert int(status) & 1 << 3
    bench.load.resistance_ohm = 120_000.0
    bench.persona.load_changed(bench.now_ns)
    assert bench.load.voltage_v == pytest.approx(12.0, rel=1e-9)
    bench.write("SENS:CURR:PROT 1e-3")
    assert bench.load.voltage_v == 20.0
    assert bench.ask("SENS:CURR:PROT:TRIP?") == "0"


def test_a_short_is_seen_at_the_next_reading(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SOUR:VOLT -20", "OUTP ON")
    assert bench.load.voltage_v == -20.0
    bench.load.resistance_ohm = 100.0
    status = float(bench.ask("READ?").split(",")[4])
    assert int(status) & 1 << 3
    assert bench.load.voltage_v == pytest.approx(-0.1, rel=1e-6)


def test_a_fixed_range_below_compliance_limits_too(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SENS:CURR:RANG 1e-4", "SOUR:VOLT 20", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(1.05e-4 * 60_000, rel=1e-6)
    assert int(float(bench.ask("READ?").split(",")[4])) & (1 << 16 | 1 << 3) == 1 << 16


def test_overvoltage_protection(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SOUR:VOLT:PROT 20", "SOUR:VOLT 30", "OUTP ON")
    assert bench.load.voltage_v == 20.0
    assert bench.ask("SOUR:VOLT:PROT:TRIP?") == "1"


def test_current_source(bench: Bench) -> None:
    bench.write("SOUR:FUNC CURR", "SOUR:CURR 1e-4", "OUTP ON")
    assert bench.load.voltage_v == pytest.approx(6.0, rel=1e-6)
    bench.write("SOUR:CURR 1e-3")
    assert bench.load.voltage_v == 21.0
    assert bench.ask("SENS:VOLT:PROT:TRIP?") == "1"


@pytest.mark.fault("I2")
def test_too_hot_is_off_and_stays_off(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SOUR:VOLT 20", "STAT:QUE:ENAB (-440:900)", "OUTP ON")
    bench.persona.set_temperature(True, bench.now_ns)
    assert bench.load.voltage_v == 0.0
    assert bench.ask("OUTP?;:STAT:MEAS:COND?") == f"0;{1 << 12}"
    bench.write("OUTP ON")
    assert [bench.ask("SYST:ERR?")[:4] for _ in range(2)] == ["112,", "810,"]
    bench.persona.set_temperature(False, bench.now_ns)
    assert bench.ask("OUTP?;:STAT:MEAS:COND?") == "0;0"
    bench.write("OUTP ON")
    assert bench.load.voltage_v == 20.0


def test_interlock(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3", "SOUR:VOLT 20", "OUTP:ENAB ON", "OUTP ON")
    bench.persona.set_interlock(False, bench.now_ns)
    assert bench.load.voltage_v == 0.0
    assert bench.ask("OUTP?;:OUTP:ENAB:TRIP?") == "0;0"
    bench.write("OUTP ON")
    assert bench.ask("SYST:ERR?") == '802,"OUTPUT blocked by output enable"'
    assert bench.load.voltage_v == 0.0


def test_changing_terminals_or_source_function_switches_off(bench: Bench) -> None:
    for message in ("ROUT:TERM REAR", "SOUR:FUNC CURR"):
        bench.write("SOUR:VOLT 1", "OUTP ON", message)
        assert bench.load.voltage_v == 0.0
        assert bench.ask("OUTP?") == "0"
        bench.write("*RST")


def test_save_and_recall(bench: Bench) -> None:
    bench.write("SOUR:VOLT 3", "*SAV 2", "*RST", "*RCL 2")
    assert bench.ask("SOUR:VOLT?") == "+3.000000E+00"
    bench.write("*RST")
    bench.write("*RCL 2")
    assert bench.ask("SOUR:VOLT?;:OUTP?") == "+3.000000E+00;0"


# --- data


def test_binary_readings(bench: Bench) -> None:
    bench.write("SENS:CURR:PROT 1e-3;:SOUR:VOLT 5;:TRIG:COUN 2;:OUTP ON;:FORM:DATA REAL,32;ELEM VOLT,TIME")
    data = bench.ask("READ?").encode("latin-1")
    assert data[:2] == b"#0"
    normal = struct.unpack(">4f", data[2:])
    assert normal[::2] == (5.0, 5.0)
    bench.write("FORM:BORD SWAP")
    swapped = struct.unpack("<4f", bench.ask("FETC?").encode("latin-1")[2:])
    assert swapped == normal


def test_noise_has_the_specified_size(bench: Bench) -> None:
    bench.write(
        "SENS:CURR:PROT 1e-3;:SENS:CURR:RANG 1e-3;:SENS:CURR:NPLC 0.01;:SOUR:VOLT 6;:TRIG:COUN 2500;:OUTP ON;:FORM:ELEM CURR"
    )
    amps = np.array(bench.ask("READ?").split(","), float)
    assert amps.mean() == pytest.approx(1e-4, abs=4 * 2.01e-7 / 50)
    assert amps.std() == pytest.approx(2e-4 * 1e-3 + 1e-9, rel=0.06)


def test_buffer_full_requests_service(bench: Bench) -> None:
    bench.write(":STAT:PRES;*CLS;*SRE 1;:STAT:MEAS:ENAB 512;", ":TRAC:CLEAR;", ":TRAC:POIN 10", ":TRIGGER:COUNT 10")
    bench.write(":TRAC:FEED SENSE;:TRAC:FEED:CONT NEXT;", "OUTP ON")
    bench.send(":INIT")
    bench.run(20 * MS)
    assert bench.persona.serial_poll(bench.now_ns) & 64 == 0
    assert int(bench.ask("*STB?")) == 65
    assert bench.ask("TRAC:FEED:CONT?;:TRAC:POIN:ACT?") == "NEV;10"


def test_timestamp_reset(bench: Bench) -> None:
    bench.write("OUTP ON;:FORM:ELEM TIME")
    bench.run(1000 * MS)
    assert float(bench.ask("READ?")) > 1.0
    bench.write("SYST:TIME:RES")
    assert float(bench.ask("READ?")) < 0.1


def test_status_messages_enter_the_queue_when_enabled(bench: Bench) -> None:
    bench.write("STAT:QUE:ENAB (-440:900)", "SENS:CURR:PROT 1e-5;:SOUR:VOLT 5;:OUTP ON")
    assert bench.errors() == [114]
    bench.write("STAT:PRES", "OUTP OFF", "OUTP ON")
    assert bench.errors() == []


# --- links and clients


def test_serial_link() -> None:
    bench = Bench(Keithley2400Quirks(serial_link=True))
    bench.write("FORM:DATA REAL,32")
    assert bench.errors() == [701]
    stepped(bench, "20,0", 5)
    bench.edges([bench.now_ns])
    bench.run(5 * MS)
    bench.send("OUTP OFF")
    bench.run(5 * MS)
    bench.persona.receive(b"\x03", bench.now_ns)
    assert bench.load.voltage_v == 0.0  # idle again, so the message that waited was executed
    bench.write("OUTP ON", "INIT", "OUTP OFF")
    bench.persona.receive(b"*ID\x18*IDN?\r", bench.now_ns)
    assert bench.read().startswith("KEITHLEY")
    assert bench.ask("OUTP?;:STAT:OPER:COND?") == "1;1024"  # the clear dropped the off that waited
    bench.write("*IDN?", "*OPC?")
    assert bench.read().startswith("KEITHLEY")  # a line has no unread replies to interrupt
    assert bench.read() == "1"


def test_control_bytes_mean_nothing_on_gpib(bench: Bench) -> None:
    bench.persona.receive(b"\x18\n", bench.now_ns)
    bench.run(MS)
    assert bench.errors() == [-101]


PYMEASURE = """
:FORMAT:ELEMENTS VOLTAGE, CURRENT, RESISTANCE, TIME, STATUS|*RST|:SOURCE:FUNCTION VOLT|:SOURCE:VOLTAGE:RANGE 20
:SENSE:CURRENT:PROTECTION 0.001|:SENS:FUNC 'CURR';:SENS:CURR:NPLC 0.010000;|:SENSE:CURRENT:RANGE 0.001|OUTPUT 1
:SOURCE:VOLTAGE 20
:SOURCE:VOLTAGE 0|OUTPUT 0|:SENSE:RESISTANCE:MODE MAN|:SENSE:FUNCTION:ALL|:ARM:COUN 1;:TRIG:COUN 10|:ARM:SOURCE TLIN
:TRIGGER:SOURCE TLIN|:ARM:ILINE 1|:TRIGGER:ILINE 1|:TRIG:OUTP DEL;:TRIG:OLIN 2;|:STAT:PRES;*CLS;*SRE 1;:STAT:MEAS:ENAB 512;
:TRAC:CLEAR;|:TRAC:POIN 10|:TRIGGER:COUNT 10|:TRIGGER:DELAY 0|:TRAC:FEED SENSE;:TRAC:FEED:CONT NEXT;|:FORM:DATA ASCII
:TRAC:FEED:CONT NEV|:ABOR|status:queue:clear;*RST;:stat:pres;:*CLS;|:SOUR:VOLT:RANG:AUTO 0;:SOUR:VOLT:RANG 20
:SENS:FUNC 'CURR';:SENS:CURR:NPLC 0.010000;:FORM:ELEM CURR;|:SYST:BEEP 400, 0.5|:ARM:SOUR TIM;:ARM:TIM 0.100
:SYSTEM:AZERO:STATE ONCE
"""


def test_what_pymeasure_sends_is_understood(bench: Bench) -> None:
    for message in PYMEASURE.strip().replace("\n", "|").split("|"):
        bench.write(message)
        assert bench.errors() == [], message


class PersonaAdapter(Adapter):
    """Lets PyMeasure talk to a persona."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench

    def _write(self, command: str, **kwargs: object) -> None:
        self.bench.write(command)

    def _read(self, **kwargs: object) -> str:
        return self.bench.read()


def test_pymeasure_drives_it(bench: Bench) -> None:
    source = Keithley2400(PersonaAdapter(bench))
    source.reset()
    source.source_mode = "voltage"
    source.source_voltage_range = 20
    source.compliance_current = 1e-3
    source.source_voltage = 20
    source.enable_source()
    source.current_range = 1e-3
    source.current_nplc = 0.01
    assert source.current == pytest.approx(20 / 60_000, rel=0.01)
    assert source.voltage == pytest.approx(20, rel=0.01)
    source.measure_all()
    source.arm_count = 2
    source.trigger_count = 3
    assert (source.arm_count, source.trigger_count) == (2, 3)
    assert source.source_enabled is True
    source.disable_source()
    assert source.check_errors() == []
    assert bench.load.voltage_v == 0.0


SCRIPT = (
    b"*RST;:SENS:CURR:PROT 1e-3\r\n:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 1,2,3\n:TRIG:COUN 3;:OUTP ON\r*CLS;;:FOO\n\nREAD?\n"
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


WORDS = st.sampled_from(
    """*RST *CLS *TRG *STB? *OPC? *SAV *RCL *IDN? ABOR INIT READ? FETC? MEAS:CURR? MEAS? OUTP OUTP? SOUR:VOLT SOUR:VOLT:MODE
    SOUR:FUNC SOUR:LIST:VOLT SOUR:LIST:VOLT:APP SOUR:VOLT:RANG SOUR:VOLT:STEP SOUR:VOLT:CENT SOUR:SWE:SPAC SOUR:SWE:DIR
    SOUR:SWE:RANG SOUR:SWE:POIN SOUR:VOLT:STAR SOUR:VOLT:STOP SENS:CURR:PROT SENS:CURR:RANG SENS:FUNC SENS:FUNC:OFF TRIG:COUN
    ARM:COUN TRIG:SOUR TRIG:INP ARM:SOUR ARM:OUTP TRIG:OUTP TRIG:CLE SOUR:CLE:AUTO SOUR:CLE:AUTO:MODE TRAC:FEED:CONT TRAC:DATA?
    TRAC:POIN FORM:DATA FORM:ELEM SYST:ERR? STAT:QUE:ENAB STAT:QUE:ENAB? STAT:MEAS? STAT:OPER:ENAB FORM:SREG *ESE *ESR?
    SYST:PRES SOUR:CURR""".split()
)
VALUES = st.sampled_from(
    """0 1 20 -5 1e-3 1e999 #HFF # ON OFF MIN MAX DEF UP DOWN INF LIST SWE FIX TLIN IMM BUS TIM TCO NEXT SOUR,DEL 'CURR','VOLT'
    ' ( (-440:900) REAL,32 LOG AUTO CURR , 1,2,,3 1,2,3,4 NONE TENT,TEX 'RES' HEX VOLT""".split()
)
SOUP = (
    st.binary(max_size=8)
    | st.builds(lambda w, v: f"{w} {v}".encode(), WORDS, VALUES)
    | st.sampled_from([b"\n", b";", b";:", b"\n", b"\x18"])
)


@given(st.lists(st.tuples(SOUP, st.integers(0, 3 * MS)), max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_nothing_that_is_sent_can_break_it(pieces: list[tuple[bytes, int]], serial: bool) -> None:
    bench = Bench(dataclasses.replace(Keithley2400Quirks(), serial_link=serial))
    for k, (data, duration_ns) in enumerate(pieces):
        bench.persona.receive(data, bench.now_ns)
        ready_ns = bench.persona.reply_ready_ns(bench.now_ns)
        if ready_ns is not None and k % 3 == 0 and ready_ns < bench.now_ns + 1000 * MS:
            bench.run(max(0, ready_ns - bench.now_ns))
            assert bench.persona.take(10**6, bench.now_ns)[1], "said that a reply would be there"
        bench.run(duration_ns)
        if k % 5 == 0:
            bench.edges([bench.now_ns], line=1)
        if k % 7 == 0:
            bench.persona.take(7, bench.now_ns)
    bench.persona.device_clear(bench.now_ns)
    bench.write(OFF)
    assert bench.load.voltage_v == 0.0
    assert bench.ask("OUTP?").endswith("0")
