"""The simulated Keithley 2400 against the maker's tables: status, error texts, what acts at once, and that no row is missing.

Source: Keithley 2400S-900-01 rev K, sections 11 (triggering), 15 (status), tables 18-1 to 18-11 and B-1.
"""

import copy

import numpy as np
import pytest
from keithley_2400_host import MS, NO_ERROR, Host, S

from sim_instruments.keithley_2400 import KNOWINGLY_ABSENT, Keithley2400Quirks
from sim_instruments.keithley_2400_status import TEXTS
from sim_instruments.persona import Edges

# --- no row is missing ------------------------------------------------------------------------------------------------

# every command of the tables with the forms it has ("!" set, "?" asked)
SHEET = """
*IDN? *RST! SYST:PRES! *RCL! *SAV! *CLS! *ESE!? *ESR? *SRE!? *STB? *OPC!? *TRG! *TST? *WAI!
SOUR:FUNC!? SOUR:VOLT:MODE!? SOUR:VOLT!? SOUR:VOLT:TRIG!? SOUR:VOLT:RANG!? SOUR:VOLT:RANG:AUTO!? SOUR:VOLT:PROT!?
SOUR:VOLT:PROT:TRIP? SOUR:CURR:MODE!? SOUR:CURR!? SOUR:CURR:TRIG!? SOUR:CURR:RANG!? SOUR:CURR:RANG:AUTO!?
SENS:CURR:PROT!? SENS:CURR:PROT:TRIP? SENS:VOLT:PROT!? SENS:VOLT:PROT:TRIP? SENS:FUNC!? SENS:FUNC:ON!? SENS:FUNC:OFF!?
SENS:FUNC:ALL! SENS:FUNC:OFF:ALL! SENS:FUNC:CONC!? SENS:CURR:RANG!? SENS:CURR:RANG:AUTO!? SENS:VOLT:RANG!?
SENS:VOLT:RANG:AUTO!? SENS:CURR:NPLC!? SENS:VOLT:NPLC!? SENS:RES:NPLC!? SENS:AVER!? SENS:AVER:STAT!? SENS:AVER:COUN!?
SENS:AVER:TCON!? SYST:AZER!? SYST:AZER:STAT!? SYST:AZER:CACH!? SOUR:DEL!? SOUR:DEL:AUTO!? SOUR:CLE:AUTO!?
SOUR:CLE:AUTO:MODE!? OUTP!? OUTP:STAT!? OUTP:SMOD!? OUTP:ENAB!? OUTP:ENAB:TRIP? ROUT:TERM!? SYST:RSEN!? SYST:LFR!?
SYST:TIME:RES! SYST:KEY! SYST:LOC! SYST:REM! SYST:RWL! DISP:ENAB!? FORM!? FORM:DATA!? FORM:BORD!? FORM:ELEM!? INIT! ABOR!
READ? FETC? MEAS? MEAS:CURR? MEAS:VOLT? MEAS:RES? CONF:CURR! CONF:VOLT! CONF:RES! CONF? TRAC:POIN!? TRAC:FEED!?
TRAC:FEED:CONT!? TRAC:DATA? TRAC:CLE! TRAC:FREE? TRAC:TST:FORM!? SOUR2:TTL!? SOUR2:BSIZ!? SOUR2:CLE:AUTO!? SYST:ERR?
STAT:QUE? SYST:CLE! SOUR:LIST:VOLT!? SOUR:LIST:VOLT:APP! SOUR:LIST:VOLT:POIN? SOUR:LIST:VOLT:STAR!? SOUR:VOLT:STAR!?
SOUR:VOLT:STOP!? SOUR:VOLT:STEP!? SOUR:VOLT:CENT!? SOUR:VOLT:SPAN!? SOUR:SWE:POIN!? SOUR:SWE:SPAC!? SOUR:SWE:DIR!?
SOUR:SWE:RANG!? SOUR:SWE:CAB!? ARM:COUN!? ARM:SOUR!? ARM:TIM!? ARM:DIR!? ARM:ILIN!? ARM:OLIN!? ARM:OUTP!? TRIG:COUN!?
TRIG:SOUR!? TRIG:DEL!? TRIG:DIR!? TRIG:ILIN!? TRIG:OLIN!? TRIG:INP!? TRIG:OUTP!? TRIG:CLE! STAT:OPER? STAT:OPER:COND?
STAT:OPER:ENAB!? STAT:MEAS? STAT:MEAS:COND? STAT:MEAS:ENAB!? STAT:QUES? STAT:QUES:COND? STAT:QUES:ENAB!? STAT:PRES!
STAT:QUE:ENAB!? SOUR:MEM:SAVE! SOUR:MEM:POIN!? SOUR:MEM:STAR!? CALC3:DATA? CALC3:FORM!? CALC:STAT!? CALC2:LIM:STAT!?
*OPT? SYST:GUAR!?
""".split()

# which entry of KNOWINGLY_ABSENT tells why
ABSENT = {
    "SOUR:MEM": "SOURce:MEMory, SOURce:FUNCtion MEMory, SYSTem:MEMory",
    "CALC:": "CALCulate, CALCulate2",
    "CALC2": "CALCulate, CALCulate2",
    "*OPT": "*OPT, SYSTem:GUARd, SYSTem:MEP, SYSTem:CCHeck, CALibration, DIAGnostic",
    "SYST:GUAR": "*OPT, SYSTem:GUARd, SYSTem:MEP, SYSTem:CCHeck, CALibration, DIAGnostic",
}
# understood, but part of what the tables say does not happen
IN_PART = {
    "TRAC:FEED CALC": "TRACe:FEED CALCulate",
    "ARM:SOUR NST": "NSTest, PSTest, BSTest, MANual",
    "OUTP:SMOD HIMP": "OUTPut:SMODe HIMPedance",
    "OUTP:SMOD ZERO": "OUTPut:SMODe GUARd, ZERO",
    "SENS:AVER:TCON MOV": "SENSe:AVERage:TCONtrol MOVing",
    "SYST:AZER:CACH 1": "SYSTem:AZERo:CACHing",
    "SOUR2:TTL 3": "SOURce2:TTL, SOURce2:BSIZe",
    "SYST:KEY 1": "SYSTem:KEY, LOCal, REMote, RWLock, BEEPer",
    "SENS:RES:MODE AUTO": "SENSe:RESistance:MODE AUTO",
    "error -420": "-420, -430",
    "errors +601 to +606": "+600 errors",
    "errors +804 to +821": "other error codes",
    "STAT:MEAS bits 0-5, 10": "STATus:MEASurement bits 0 to 5 and 10",
    "STAT:QUES bits 8, 14": "STATus:QUEStionable bits 8 and 14",
    "STAT word": "status word bits 5 to 10, 17, 18 and 23",
}


def absent(header: str) -> str | None:
    return next((why for start, why in ABSENT.items() if header.startswith(start)), None)


@pytest.mark.parametrize("entry", SHEET)
def test_every_row_is_understood_or_knowingly_absent(entry: str) -> None:
    header, forms = entry.rstrip("!?"), entry.removeprefix(entry.rstrip("!?"))
    why = absent(header)
    for form in forms:
        host = Host("SENS:CURR:PROT 1e-3", "*CLS")
        host.send(header + form.strip("!"))
        host.run(S)
        told = host.persona.meter.status.queue.codes
        assert (-113 in told) == (why is not None), entry
    assert why is None or KNOWINGLY_ABSENT[why]


def test_the_list_of_absences_has_no_entry_that_no_row_asks_for() -> None:
    named = {*ABSENT.values(), *IN_PART.values(), "SENSe:...:RANGe:AUTO:LLIMit, ULIMit, SYSTem:RCMode"}
    assert named == set(KNOWINGLY_ABSENT)
    assert all(KNOWINGLY_ABSENT.values())


# --- error texts ------------------------------------------------------------------------------------------------------

B_1 = """
-101 Invalid character|-102 Syntax error|-103 Invalid separator|-104 Data type error|-105 GET not allowed
-108 Parameter not allowed|-109 Missing parameter|-110 Command header error|-111 Header separator error
-112 Program mnemonic too long|-113 Undefined header|-114 Header suffix out of range|-120 Numeric data error
-121 Invalid character in number|-123 Exponent too large|-124 Too many digits|-128 Numeric data not allowed
-140 Character data error|-141 Invalid character data|-144 Character data too long|-148 Character data not allowed
-150 String data error|-151 Invalid string data|-154 String too long|-158 String data not allowed|-160 Block data error
-161 Invalid block data|-168 Block data not allowed|-170 Expression error|-171 Invalid expression
-178 Expression data not allowed|-200 Execution error|-201 Invalid while in local|-202 Settings lost due to rtl
-210 Trigger error|-211 Trigger ignored|-212 Arm ignored|-213 Init ignored|-214 Trigger deadlock|-215 Arm deadlock
-220 Parameter error|-221 Settings conflict|-222 Parameter data out of range|-223 Too much data
-224 Illegal parameter value|-225 Out of memory|-230 Data corrupt or stale|-241 Hardware missing|-260 Expression error
-281 Cannot create program|-282 Illegal program name|-284 Program currently running|-285 Program syntax error
-314 Save/recall memory lost|-315 Configuration memory lost|-330 Self-test failed|-350 Queue overflow
-360 Communications error|-361 Parity error|-362 Framing error|-363 Input buffer overrun|-410 Query INTERRUPTED
-420 Query UNTERMINATED|-430 Query DEADLOCKED|-440 Query UNTERMINATED after indefinite response|109 Buffer full
111 OUTPUT enable asserted|112 Temperature limit exceeded|113 Voltage limit exceeded|114 Source in compliance
200 Operation complete|500 Date of calibration not set|510 Not permitted with cal un-locked
601 Reading buffer data lost|606 GPIB communication language lost|700 Invalid system communication
701 ASCII only with RS-232|800 Illegal with storage active|801 Insufficient vector data
802 OUTPUT blocked by output enable|803 Not permitted with OUTPUT off|804 Expression list full
808 Expression cannot be deleted|809 Source memory location revised|810 OUTPUT blocked by Over Temp
811 Not an operator or number|821 Invalid data handle index|822 Too small for sense range
823 Invalid with source read-back on|824 Cannot exceed compliance range|825 Invalid with auto-ohms on
826 Attempt to exceed power limit|827 Invalid with ohms guard on|828 Invalid on 1 amp range|829 Invalid on 1kV range
830 Invalid with INF ARM:COUNT|831 Invalid in Pulse Mode|900 Internal System Error
"""
CODES = [entry.split(" ", 1) for line in B_1.strip().splitlines() for entry in line.split("|")]


@pytest.mark.parametrize(("code", "text"), CODES)
def test_error_texts(code: str, text: str) -> None:
    host = Host()
    host.persona.meter.status.queue.push(int(code))
    assert host.error() == f'{code},"{text}"'


def test_no_other_code_is_known_than_the_table_s() -> None:
    bounds = ((100, 114), (200, 200), (300, 310), (408, 414), (500, 510), (601, 606), (700, 701), (800, 831), (900, 900))
    assert all(code < 0 or any(low <= code <= high for low, high in bounds) for code in TEXTS)
    assert {code for code in TEXTS if code < 0} == {int(code) for code, _ in CODES if code.startswith("-")}


@pytest.mark.parametrize(
    ("message", "code", "bit"),
    [
        ("SOUR:VOLT\xb5", -101, 5),
        ("5", -102, 5),
        ("OUTP 'ON'", -158, 5),
        ("SOUR:VOLT 1,2", -108, 5),
        ("SOUR:VOLT,1", -111, 5),
        ("SENS:CURRENTCURRENTC:NPLC 1", -112, 5),
        ("OUTP3 ON", -114, 5),
        ("SOUR:VOLT 1V2", -121, 5),
        ("TRIG:COUN (1)", -178, 5),
        ("SENS:FUNC CURR", -104, 5),
        ("DISP:TEXT 'this is longer than twenty'", -154, 5),
        ("*TRG", -211, 4),
        ("SOUR:VOLT 300", -222, 4),
        ("READ?", 803, 4),
        ("*IDN?\nSOUR:VOLT 1", -410, 2),
    ],
)
def test_errors_and_their_event_bits(message: str, code: int, bit: int) -> None:
    host = Host("*CLS")
    host.persona.receive(message.encode("latin-1") + b"\n", host.t_ns)
    host.run(5 * MS)
    assert int(host.error().split(",")[0]) == code
    assert host.ask("*ESR?") == str(1 << bit)
    assert host.ask("*ESR?") == "0"


def test_the_queue_is_ten_deep_first_in_first_out() -> None:
    host = Host(*["SOUR:VOLT 300", *["FOO"] * 12])
    assert [int(host.error().split(",")[0]) for _ in range(11)] == [-222, *[-113] * 8, -350, 0]


def test_serial_lines_carry_text_only() -> None:
    host = Host("FORM:DATA REAL,32", quirks=Keithley2400Quirks(serial_link=True))
    assert host.error() == '701,"ASCII only with RS-232"'


# --- status -----------------------------------------------------------------------------------------------------------

ON = ("SENS:CURR:PROT 1e-3", "SOUR:VOLT 6", "OUTP ON")


class Silence:
    def standard_normal(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("settings", "byte"),
    [
        ((*ON, "STAT:MEAS:ENAB 512", "TRAC:POIN 1", "TRAC:FEED:CONT NEXT", "INIT"), 1 << 0),
        (("FOO",), 1 << 2),
        (("*ESE 1", "*OPC"), 1 << 5),
        (("*SRE 4", "FOO"), 1 << 6 | 1 << 2),
        ((*ON, "STAT:OPER:ENAB 1024", "INIT"), 1 << 7),
    ],
)
def test_status_byte(settings: tuple[str, ...], byte: int) -> None:
    host = Host("*CLS", *settings)
    host.run(S)
    assert host.ask("*STB?") == str(byte)


def test_a_message_is_available_to_a_serial_poll() -> None:
    host = Host("*CLS", "*IDN?")
    assert host.persona.serial_poll(host.t_ns) == 1 << 4


@pytest.mark.parametrize(
    ("settings", "register", "bits"),
    [
        (("*RST",), "OPER:COND", 1 << 10),
        ((*ON, "INIT"), "MEAS", 1 << 6),
        ((*ON, "TRAC:FEED:CONT NEXT", "TRIG:COUN 3", "INIT"), "MEAS", 1 << 6 | 1 << 8),
        ((*ON, "TRAC:POIN 2", "TRAC:FEED:CONT NEXT", "TRIG:COUN 2", "INIT"), "MEAS", 1 << 6 | 1 << 8 | 1 << 9),
        (("OUTP:ENAB 1",), "MEAS:COND", 1 << 11),
        ((*ON, "SOUR:VOLT:PROT 20", "SOUR:VOLT 30"), "MEAS:COND", 1 << 13),
        ((*ON, "SENS:CURR:PROT 1e-5"), "MEAS:COND", 1 << 14),
    ],
)
def test_condition_and_event_bits(settings: tuple[str, ...], register: str, bits: int) -> None:
    host = Host(*settings)
    host.run(S)
    assert host.ask(f"STAT:{register}?") == str(bits)
    if register == "MEAS":
        assert host.ask("STAT:MEAS?") == "0"  # reading clears it


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        (("SOUR:VOLT:MODE LIST", "SOUR:LIST:VOLT 1,2", "TRIG:SOUR TLIN"), 1 << 3 | 1 << 5),
        (("ARM:SOUR BUS",), 1 << 6),
    ],
)
def test_operation_bits_while_waiting(settings: tuple[str, ...], bits: int) -> None:
    host = Host(*ON, *settings, "INIT")
    host.run(10 * MS)
    assert host.persona.meter.status.operation.condition == bits
    host.send("ABOR")
    assert int(host.ask("STAT:OPER?")) & bits == bits


@pytest.mark.parametrize(
    ("settings", "bits"),
    [
        ((*ON,), {2, 12, 14}),
        ((*ON, "SENS:FUNC 'VOLT'"), {2, 11, 12, 14}),
        ((*ON, "SENS:FUNC 'RES'", "ROUT:TERM REAR", "OUTP ON"), {11, 12, 13, 14}),
        ((*ON, "SENS:CURR:PROT 1e-5"), {2, 3, 12, 14}),
        ((*ON, "SENS:CURR:RANG 1e-5"), {2, 12, 14, 16}),
        ((*ON, "SOUR:VOLT:PROT 20", "SOUR:VOLT 30"), {2, 4, 12, 14}),
        ((*ON, "SENS:AVER 1", "SYST:RSEN 1"), {1, 2, 12, 14, 22}),
        (("SOUR:FUNC CURR", "SOUR:CURR 1e-5", "OUTP ON"), {2, 12, 15}),
    ],
)
def test_status_word_of_a_reading(settings: tuple[str, ...], bits: set[int]) -> None:
    host = Host("*RST", *settings, "FORM:ELEM STAT")
    host.run(100 * MS)
    assert int(float(host.ask("READ?"))) == sum(1 << bit for bit in bits)


def test_what_is_not_measured_and_what_overflows() -> None:
    host = Host("SOUR:VOLT 0", "OUTP ON")
    host.persona.meter.noise = Silence()
    assert host.ask("READ?").split(",")[2] == "+9.910000E+37"
    host.send("STAT:MEAS?", "SENS:FUNC 'RES'")
    resistance, _, status = host.ask("READ?").split(",")[2:]
    assert resistance == "+9.900000E+37"
    assert int(float(status)) & 1
    assert int(host.ask("STAT:MEAS?")) & 1 << 7


def test_the_clock_of_readings_wraps() -> None:
    host = Host(*ON, "FORM:ELEM TIME", "SYST:TIME:RES")
    host.run(100_001 * S)
    assert float(host.ask("READ?")) < 2.0


# --- what acts while it is not idle -----------------------------------------------------------------------------------

ENDLESS = (*ON, "ARM:COUN INF", "TRIG:SOUR TLIN", "INIT")


@pytest.mark.parametrize("message", ["ABOR", ":abort", "*RST", "SYST:PRES", "*RCL 0"])
def test_acts_at_once(message: str) -> None:
    host = Host(*ENDLESS, message)
    assert host.ask("STAT:OPER:COND?") == "1024"


def test_a_device_clear_acts_at_once() -> None:
    host = Host(*ENDLESS)
    host.persona.device_clear(host.t_ns)
    assert host.ask("STAT:OPER:COND?") == "1024"


@pytest.mark.parametrize("message", ["*STB?", "*OPC?", "SYST:ERR?", "*IDN?", "OUTP?", "STAT:OPER:COND?", "TRIG:CLE;:OUTP?"])
def test_waits_for_idle(message: str) -> None:
    host = Host(*ON, "TRIG:SOUR TLIN", "INIT", message)
    host.run(S)
    assert host.persona.reply_ready_ns(host.t_ns) is None
    fall_ns = np.array([host.t_ns])
    host.persona.receive_edges("trigger_link_1", Edges(fall_ns + 20_000, fall_ns, low_v=0.0, high_v=5.0))
    assert host.read()


def test_init_while_it_runs() -> None:
    host = Host(*ENDLESS, "INIT", "ABOR")
    assert host.error() == '-213,"Init ignored"'
    assert host.error() == NO_ERROR


# --- when a reply is there --------------------------------------------------------------------------------------------

SCRIPTS = [
    ("*IDN?",),
    (":OUTP?;:READ?",),
    ("OUTP?;:FOO",),
    ("SOUR:VOLT 1;:FOO", "SOUR:VOLT?"),
    ("SOUR:VOLT 300;:SOUR:VOLT?", "SOUR:VOLT 2", "OUTP?"),
    ("SENS:CURR:NPLC 0.1", "READ?"),
    ("TRIG:COUN 7;:ARM:COUN 3", "*CLS", "READ?", "*OPC?"),
    ("READ?", "ABOR"),
    ("READ?;*IDN?",),
    ("MEAS:CURR?",),
    ("FETC?", "TRAC:DATA?", "*STB?"),
    ("SOUR:CLE:AUTO 1", "READ?"),
    ("SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 1,2,3;:TRIG:COUN 3", "READ?"),
    ("INIT", "*OPC?"),
    ("OUTP OFF", "READ?", "SYST:ERR?"),
    ("ARM:SOUR TIM;TIM 0.05;COUN 3", "READ?"),
    ("OUTP? 1", "SOUR:VOLT? MAX"),
]


@pytest.mark.parametrize("waited", [False, True])
@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_reply_is_there_when_it_was_foretold_and_not_before(script: tuple[str, ...], waited: bool) -> None:
    host = Host(*ON, "SENS:AVER 1;:SENS:AVER:COUN 3;:SOUR:DEL 0.003")
    if waited:
        host.send(*script[:-1])
        host.run(5 * S)
        host.persona.take(1 << 20, host.t_ns)
        script = script[-1:]
    for message in script:
        host.persona.receive(message.encode() + b"\n", host.t_ns)
    tried = copy.deepcopy(host.persona).run_to_reply()
    foretold = host.persona.reply_ready_ns(host.t_ns)
    assert foretold == tried
    if foretold is None:
        host.run(5 * S)
        assert host.persona.take(10, host.t_ns) == (b"", False)
    else:
        host.run(foretold - 1 - host.t_ns)
        assert host.persona.take(10, host.t_ns) == (b"", False)
        host.run(1)
        assert host.persona.take(1 << 20, host.t_ns)[1]
