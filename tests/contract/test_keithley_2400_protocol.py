"""The bytes between the driver and a Keithley 2400, both ways."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.keithley_2400 import Keithley2400
from drivers.roles import HoldLevel, LevelList, SourceLimits

IDN = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,4102311,C30   Mar 17 2006 09:29:29/A02  /K/J"
OFF = (b"\n:ABOR;:TRIG:CLE;:OUTP OFF\n", None)
LIVE = ":OUTP:ENAB?;:OUTP:ENAB:TRIP?;:STAT:MEAS:COND?;:STAT:MEAS?"
NO_ERROR = (":SYST:ERR?", '0,"No error"')
LIMITS = SourceLimits(-20.0, 20.0, 1e-3)
PREPARE = [
    OFF,
    ("*CLS", None),
    (":OUTP:ENAB?", "0"),
    ("*RST", None),
    (":TRAC:FEED:CONT NEV;:TRAC:CLE", None),
    (":OUTP:SMOD NORM", None),
    (":SOUR:FUNC VOLT", None),
    (":SOUR:VOLT:MODE FIX", None),
    (":SOUR:VOLT 0", None),
    (":SENS:FUNC:CONC 1", None),
    (':SENS:FUNC "VOLT","CURR"', None),
    (":FORM:DATA ASC", None),
    (":FORM:ELEM VOLT,CURR,TIME,STAT", None),
    (":SOUR:VOLT:RANG 20", None),
    (":SENS:CURR:PROT 0.001", None),
    (":SENS:CURR:PROT?", "+1.000000E-03"),
    (":SENS:CURR:RANG 0.001", None),
    (":SOUR:VOLT:RANG?", "+2.100000E+01"),
    NO_ERROR,
]
LOAD_HOLD = [
    (":TRAC:FEED:CONT NEV;:TRAC:CLE", None),
    (":SOUR:CLE:AUTO 0", None),
    (":SOUR:VOLT:MODE FIX", None),
    (":SENS:CURR:NPLC 0.1", None),
    (":SYST:AZER 1", None),
    (":ARM:COUN 1", None),
    (":ARM:SOUR IMM", None),
    (":TRIG:COUN 1", None),
    (":TRIG:SOUR IMM", None),
    NO_ERROR,
]
LOAD_LIST = [
    (":OUTP?", "0"),
    (":TRAC:FEED:CONT NEV;:TRAC:CLE", None),
    (":SOUR:LIST:VOLT 20,0", None),
    (":SOUR:VOLT 0", None),
    (":SOUR:VOLT:MODE LIST", None),
    (":SOUR:DEL:AUTO 0", None),
    (":SOUR:DEL 0", None),
    (":SENS:CURR:NPLC 0.01", None),
    (":SYST:AZER 0", None),
    (":ARM:COUN 1", None),
    (":ARM:SOUR IMM", None),
    (":TRIG:SOUR TLIN", None),
    (":TRIG:INP SOUR", None),
    (":TRIG:DEL 0", None),
    (":TRAC:FEED SENS", None),
    (":TRAC:TST:FORM ABS", None),
    (":SOUR:CLE:AUTO:MODE TCO", None),
    (":SOUR:CLE:AUTO 1", None),
    (":TRIG:ILIN 1", None),
    (":TRIG:COUN 2", None),
    (":TRAC:POIN 2", None),
    (":TRAC:FEED:CONT NEXT", None),
    NO_ERROR,
]


def prepared(*pairs):
    """A driver that has been through prepare(), and what is expected after that."""
    return expected_protocol(Keithley2400, [*PREPARE, *pairs])


# --- properties

SETTINGS = [
    ("output_enabled", True, ":OUTP 1", ":OUTP?", "1"),
    ("output_enabled", False, ":OUTP 0", ":OUTP?", "0"),
    ("output_off_state", "HIMP", ":OUTP:SMOD HIMP", ":OUTP:SMOD?", "HIMP"),
    ("source_voltage", 20.0, ":SOUR:VOLT 20", ":SOUR:VOLT?", "+2.000000E+01"),
    ("source_voltage", -0.125, ":SOUR:VOLT -0.125", ":SOUR:VOLT?", "-1.250000E-01"),
    ("source_delay", 0.001, ":SOUR:DEL 0.001", ":SOUR:DEL?", "1.000000E-03"),
    ("compliance_current", 0.001, ":SENS:CURR:PROT 0.001", ":SENS:CURR:PROT?", "+1.000000E-03"),
    ("nplc", 0.01, ":SENS:CURR:NPLC 0.01", ":SENS:CURR:NPLC?", "0.01"),
    ("auto_zero", False, ":SYST:AZER 0", ":SYST:AZER?", "0"),
    ("functions", ["VOLT", "CURR"], ':SENS:FUNC "VOLT","CURR"', ":SENS:FUNC?", '"VOLT:DC","CURR:DC"'),
    ("functions", ["CURR"], ':SENS:FUNC "CURR"', ":SENS:FUNC?", '"CURR:DC"'),
    ("elements", ["VOLT", "TIME"], ":FORM:ELEM VOLT,TIME", ":FORM:ELEM?", "VOLT,TIME"),
    ("data_format", "REAL,32", ":FORM:DATA REAL,32", ":FORM:DATA?", "REAL,32"),
    ("trigger_source", "TLIN", ":TRIG:SOUR TLIN", ":TRIG:SOUR?", "TLIN"),
    ("trigger_count", 2500, ":TRIG:COUN 2500", ":TRIG:COUN?", "2500"),
    ("trigger_input_line", 3, ":TRIG:ILIN 3", ":TRIG:ILIN?", "3"),
    ("buffer_points", 2500, ":TRAC:POIN 2500", ":TRAC:POIN?", "2500"),
    ("auto_output_off_mode", "TCO", ":SOUR:CLE:AUTO:MODE TCO", ":SOUR:CLE:AUTO:MODE?", "TCO"),
    ("line_frequency", 50, ":SYST:LFR 50", ":SYST:LFR?", "50"),
]


@pytest.mark.parametrize(("name", "value", "setting", "question", "answer"), SETTINGS)
def test_settings(name, value, setting, question, answer):
    with expected_protocol(Keithley2400, [(setting, None), (question, answer)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_voltage", 210.0001),
        ("source_voltage", -210.0001),
        ("source_voltage", math.nan),
        ("source_voltage", math.inf),
        ("compliance_current", 1.0501),
        ("compliance_current", math.nan),
        ("nplc", 0.009),
        ("nplc", 10.1),
        ("trigger_count", 2501),
        ("trigger_count", 0),
        ("trigger_source", "BUS"),
        ("trigger_input_line", 5),
        ("output_off_state", "OFF"),
        ("output_enabled", "ON"),
        ("elements", ["VOLT", "AMPS"]),
        ("elements", []),
        ("elements", "VOLT"),
        ("line_frequency", 55),
    ],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(Keithley2400, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


@pytest.mark.parametrize("answer", ["", "KEITHLEY", "+2.0E+01,+1.0E-03", "1\x00"])
def test_an_answer_that_is_no_number_is_a_desync(answer):
    with expected_protocol(Keithley2400, [(":SOUR:VOLT?", answer)]) as inst, pytest.raises(LinkDesync):
        inst.numbers(":SOUR:VOLT?", 1)


def test_a_property_never_hands_out_text_for_a_number():
    with expected_protocol(Keithley2400, [(":SENS:CURR:PROT?", "KEITHLEY")]) as inst, pytest.raises(LinkDesync):
        _ = inst.compliance_current


@pytest.mark.parametrize(
    ("points", "messages"),
    [(1, 1), (100, 1), (101, 2), (2500, 25)],
)
def test_lists_are_split_into_messages_of_a_hundred(points, messages):
    levels = [20.0, 0.0] * (points // 2) + [0.0] * (points % 2)
    texts = [f"{level:g}" for level in levels]
    pairs = []
    for start in range(0, points, 100):
        command = ":SOUR:LIST:VOLT:APP" if start else ":SOUR:LIST:VOLT"
        pairs.append((f"{command} {','.join(texts[start : start + 100])}", None))
    assert len(pairs) == messages
    with expected_protocol(Keithley2400, pairs) as inst:
        inst.list_voltages(levels)


@pytest.mark.parametrize("levels", [[], [0.0] * 2501, [0.0, math.nan], [211.0]])
def test_impossible_lists_are_not_sent(levels):
    with expected_protocol(Keithley2400, []) as inst, pytest.raises(ValueError):
        inst.list_voltages(levels)


# --- role


@pytest.mark.parametrize("idn", [IDN, IDN.replace(",", ", "), "keithley instruments inc.,model 2400,4102311,C30"])
def test_identity(idn):
    with expected_protocol(Keithley2400, [("*IDN?", idn)]) as inst:
        identity = inst.identify()
    assert (identity.model, identity.serial) == ("2400", "4102311")


@pytest.mark.parametrize(
    "idn",
    [
        "Stanford Research Systems,DG645,s/n004025,ver1.00.00E",
        "KEITHLEY INSTRUMENTS INC.,MODEL 2450,1,1",
        "KEITHLEY INSTRUMENTS INC.,MODEL 24001,1,1",
    ],
)
def test_another_instrument_is_refused(idn):
    with expected_protocol(Keithley2400, [("*IDN?", idn)]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


def test_something_that_is_no_identity_is_a_desync():
    with expected_protocol(Keithley2400, [("*IDN?", "+2.000000E+01")]) as inst, pytest.raises(LinkDesync):
        inst.identify()


def test_prepare():
    with prepared() as inst:
        inst.prepare(LIMITS)


@pytest.mark.fault("W12")
def test_prepare_tells_a_limit_that_is_not_in_force():
    pairs = [(say, "+1.050000E-04" if say == ":SENS:CURR:PROT?" else answer) for say, answer in PREPARE]
    with expected_protocol(Keithley2400, pairs[:16]) as inst, pytest.raises(ReadbackMismatch, match="compliance_current"):
        inst.prepare(LIMITS)


def test_prepare_tells_a_range_that_does_not_reach():
    pairs = [(say, "+2.100000E+00" if say == ":SOUR:VOLT:RANG?" else answer) for say, answer in PREPARE]
    with expected_protocol(Keithley2400, pairs[:18]) as inst, pytest.raises(ReadbackMismatch, match="range"):
        inst.prepare(LIMITS)


def guarded(answer):
    """What prepare() says to a source whose output-enable line is in use, which *RST puts out of use."""
    begin = PREPARE.index(("*RST", None)) + 1
    in_use = [(":OUTP:ENAB?", "1") if said == ":OUTP:ENAB?" else (said, text) for said, text in PREPARE[:begin]]
    return [*in_use, (":OUTP:ENAB 1", None), (":OUTP:ENAB?", answer)], [(LIVE, "1;1;2048;2048"), *PREPARE[begin:]]


def test_an_output_enable_line_that_is_in_use_stays_in_use():
    begin, rest = guarded("1")
    with expected_protocol(Keithley2400, [*begin, *rest]) as inst:
        inst.prepare(LIMITS)


@pytest.mark.fault("W12")
def test_an_output_enable_line_that_stays_out_of_use_is_told():
    with expected_protocol(Keithley2400, guarded("0")[0]) as inst, pytest.raises(ReadbackMismatch, match="output_enable_line"):
        inst.prepare(LIMITS)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("0;1;0;0", {"over_temperature": 0.0}),
        ("0;0;4096;4096", {"over_temperature": 1.0}),
        ("0;0;0;4096", {"over_temperature": 1.0}),  # it was, and has cooled down
        ("1;1;2048;64", {"interlock_closed": 1.0, "over_temperature": 0.0}),
        ("1;1;2048;2048", {"interlock_closed": 0.0, "over_temperature": 0.0}),  # it was open, and has closed again
        ("1;0;+4.096000E+03;0", {"interlock_closed": 0.0, "over_temperature": 1.0}),
    ],
)
def test_live_quantities(answer, told):
    with expected_protocol(Keithley2400, [(LIVE, answer)]) as inst:
        assert {quantity.name: quantity.value for quantity in inst.live()} == told


@pytest.mark.parametrize(
    "answer", ["1;1", "1;1;0", "1;1;0;0;0", "1;2;0;0", "1;1;0;0.5", "1;1;nan;0", "2;1;0;0", "", "+9.91E37;1;0;0"]
)
def test_live_quantities_that_make_no_sense_are_a_desync(answer):
    with expected_protocol(Keithley2400, [(LIVE, answer)]) as inst, pytest.raises(LinkDesync):
        inst.live()


@pytest.mark.fault("I3")
def test_prepare_does_not_pass_over_errors():
    pairs = [*PREPARE[:-1], (":SYST:ERR?", '-222,"Parameter data out of range"'), NO_ERROR]
    with (
        expected_protocol(Keithley2400, pairs) as inst,
        pytest.raises(InstrumentError, match="-222 Parameter data out of range"),
    ):
        inst.prepare(LIMITS)


@pytest.mark.parametrize(
    "limits",
    [
        SourceLimits(-211, 20, 1e-3),
        SourceLimits(1, 20, 1e-3),
        SourceLimits(20, -20, 1e-3),
        SourceLimits(0, math.nan, 1e-3),
        SourceLimits(0, 20, 0),
        SourceLimits(0, 20, 1.06),
        SourceLimits(0, 20, math.nan),
    ],
)
def test_impossible_limits_are_refused_before_anything_is_sent(limits):
    with expected_protocol(Keithley2400, []) as inst, pytest.raises(RefusedError):
        inst.prepare(limits)


def test_hold_a_level_and_read_it():
    with prepared(
        *LOAD_HOLD,
        (":SOUR:VOLT 20", None),
        (":SOUR:VOLT?", "+2.000000E+01"),
        (":OUTP 1", None),
        (":OUTP?", "1"),
        (":OUTP?;:READ?", "1;+1.999990E+01,+2.345000E-05,+1.234500E+01,+2.150400E+04"),
        OFF,
        (":OUTP?", "0"),
    ) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()
        reading = inst.measure()
        assert (reading.voltage_v, reading.current_a, reading.t_source_s) == (19.9999, 2.345e-5, 12.345)
        assert not reading.in_compliance
        inst.make_safe()
        assert inst.read_safe().safe


def test_a_level_that_is_loaded_goes_on_with_one_message():
    """Nothing is left to be said between the decision to switch on and doing it."""
    loaded = [*LOAD_HOLD, (":SOUR:VOLT 20", None), (":SOUR:VOLT?", "+2.000000E+01")]
    with prepared(*loaded, (":OUTP 1", None), (":OUTP?", "1")) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()


def test_an_output_that_went_off_by_itself_is_not_switched_on_again():
    loaded = [*LOAD_HOLD, (":SOUR:VOLT 20", None), (":SOUR:VOLT?", "+2.000000E+01"), (":OUTP 1", None), (":OUTP?", "1")]
    again = [(":SOUR:VOLT 20", None), (":SOUR:VOLT?", "+2.000000E+01"), (":OUTP?", "0"), NO_ERROR]
    with prepared(*loaded, *again) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()
        inst.load(HoldLevel(20.0))
        with pytest.raises(InstrumentError, match="output"):
            inst.arm()


def test_the_next_level_needs_no_set_up():
    with prepared(
        *LOAD_HOLD,
        *[(":SOUR:VOLT 0", None), (":SOUR:VOLT?", "+0.000000E+00"), (":OUTP 1", None), (":OUTP?", "1")],
        *[(":SOUR:VOLT 20", None), (":SOUR:VOLT?", "+2.000000E+01"), (":OUTP?", "1")],
    ) as inst:
        inst.prepare(LIMITS)
        for level_v in (0.0, 20.0):
            inst.load(HoldLevel(level_v))
            inst.arm()


@contextmanager
def holding(dialogue: list[Any]) -> Iterator[Keithley2400]:
    """A driver that has loaded a level: no list can be in its instrument."""
    with expected_protocol(Keithley2400, dialogue) as inst:
        inst._program = HoldLevel(1.0)
        yield inst


@pytest.mark.fault("I8")
def test_while_it_is_not_known_what_is_loaded_a_reading_asks_first_and_starts_nothing():
    """With auto output-off a list that the driver has forgotten would begin to walk with the reading."""
    off = [(":OUTP?", "0"), (LIVE, "0;1;0;0"), NO_ERROR]
    with expected_protocol(Keithley2400, off) as inst, pytest.raises(InstrumentError):
        inst.measure()
    on = [(":OUTP?", "1"), (":OUTP?;:READ?", "1;+1.0E+00,+1.0E-03,+1.0,+0")]
    with expected_protocol(Keithley2400, on) as inst:
        assert inst.measure().voltage_v == 1.0


def test_compliance_is_bit_3_of_the_status():
    with holding([(":OUTP?;:READ?", "1;+3.1,+1.0E-03,+1.0,+2.151200E+04")]) as inst:
        assert inst.measure().in_compliance


@pytest.mark.fault("I8")
def test_reading_with_the_output_off_switches_nothing():
    dialogue = [(":OUTP?;:READ?", "0"), (LIVE, "0;1;0;0"), (":SYST:ERR?", '+803,"Not permitted with OUTPUT off"'), NO_ERROR]
    with holding(dialogue) as inst, pytest.raises(InstrumentError, match="output is off: 803"):
        inst.measure()


@pytest.mark.fault("I2", "I5")
@pytest.mark.parametrize(("answer", "why"), [("1;0;0;0", "its output-enable line is open"), ("0;1;0;4096", "it is too hot")])
def test_an_output_that_went_off_says_why(answer, why):
    dialogue = [(":OUTP?;:READ?", "0"), (LIVE, answer), (":SYST:ERR?", '+803,"Not permitted with OUTPUT off"'), NO_ERROR]
    with holding(dialogue) as inst, pytest.raises(InstrumentError, match=why):
        inst.measure()


@pytest.mark.parametrize("answer", ["+1.0,+2.0", "+1.0,+2.0,+3.0,+4.0,+5.0", "+1.0,+2.0,+3.0,x"])
def test_a_reading_with_other_elements_is_a_desync(answer):
    with holding([(":OUTP?;:READ?", f"1;{answer}")]) as inst, pytest.raises(LinkDesync):
        inst.measure()


def test_what_was_not_measured_is_not_a_number():
    with holding([(":OUTP?;:READ?", "1;+2.0E+01,+9.910000E+37,+1.0,+0")]) as inst:
        assert math.isnan(inst.measure().current_a)


def test_an_output_that_stays_off_is_told():
    with prepared(
        *LOAD_HOLD,
        (":SOUR:VOLT 20", None),
        (":SOUR:VOLT?", "+2.000000E+01"),
        (":OUTP 1", None),
        (":OUTP?", "0"),
        (":SYST:ERR?", '+802,"OUTPUT blocked by output enable"'),
        NO_ERROR,
    ) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        with pytest.raises(InstrumentError, match="802 OUTPUT blocked"):
            inst.arm()


def test_a_list_is_loaded_armed_and_collected():
    data = "+2.0E+01,+1.0E-05,+0.0E+00,+2.1504E+04,+0.0E+00,+0.0E+00,+2.0001E+00,+2.1504E+04"
    with prepared(
        *LOAD_LIST,
        (":ABOR;:TRIG:CLE;:INIT", None),
        OFF,
        (":TRAC:POIN:ACT?", "2"),
        (":TRAC:DATA?", data),
    ) as inst:
        inst.prepare(LIMITS)
        inst.load(LevelList((20.0, 0.0), trigger_line=1))
        inst.arm()
        points = inst.collect()
    assert [point.voltage_v for point in points] == [20.0, 0.0]
    assert [point.t_source_s for point in points] == [0.0, 2.0001]


def test_a_list_nobody_stepped_yields_nothing():
    with prepared(*LOAD_LIST, (":ABOR;:TRIG:CLE;:INIT", None), OFF, (":TRAC:POIN:ACT?", "0")) as inst:
        inst.prepare(LIMITS)
        inst.load(LevelList((20.0, 0.0), trigger_line=1))
        inst.arm()
        assert inst.collect() == []


def test_nothing_is_asked_while_a_list_runs():
    with prepared(*LOAD_LIST, (":ABOR;:TRIG:CLE;:INIT", None), OFF) as inst:
        inst.prepare(LIMITS)
        inst.load(LevelList((20.0, 0.0), trigger_line=1))
        inst.arm()
        for ask in (inst.measure, inst.errors, inst.identify, lambda: inst.compliance_current):
            with pytest.raises(InstrumentError, match="walks a list"):
                ask()
        inst.make_safe()


def test_a_list_is_not_loaded_under_voltage():
    with prepared((":OUTP?", "1")) as inst:
        inst.prepare(LIMITS)
        with pytest.raises(InstrumentError, match="only while the output is off"):
            inst.load(LevelList((20.0, 0.0), trigger_line=1))


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        (HoldLevel(20.001), {"voltage-above-limit"}),
        (HoldLevel(-20.001), {"voltage-above-limit"}),
        (HoldLevel(math.nan), {"voltage-above-limit"}),
        (LevelList((0.0, 21.0, 0.0), 1), {"voltage-above-limit"}),
        (LevelList((), 1), {"list-too-long"}),
        (LevelList((0.0,) * 2501, 1), {"list-too-long"}),
        (LevelList((0.0, 20.0), 1), {"list-ends-on"}),
        (LevelList((20.0, 0.0), 5), {"no-such-line"}),
        (LevelList((30.0, 20.0), 0), {"voltage-above-limit", "list-ends-on", "no-such-line"}),
    ],
)
def test_programs_outside_the_prepared_limits_are_refused_with_every_reason(program, codes):
    with prepared() as inst:
        inst.prepare(LIMITS)
        with pytest.raises(RefusedError) as refused:
            inst.load(program)
        assert {reason.code for reason in refused.value.reasons} == codes


def test_order_of_calls():
    with expected_protocol(Keithley2400, []) as inst:
        with pytest.raises(InstrumentError, match="no limits"):
            inst.load(HoldLevel(1.0))
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm()


def test_the_error_queue_is_emptied():
    errors = [(":SYST:ERR?", '-113,"Undefined header"'), (":SYST:ERR?", '+803,"Not permitted with OUTPUT off"')]
    with expected_protocol(Keithley2400, [*errors, NO_ERROR]) as inst:
        assert inst.errors() == ["-113 Undefined header", "803 Not permitted with OUTPUT off"]


@pytest.mark.fault("I3")
def test_an_error_queue_without_end_is_told():
    with expected_protocol(Keithley2400, [(":SYST:ERR?", '-350,"Queue overflow"')] * 64) as inst:
        with pytest.raises(InstrumentError, match="does not come to an end"):
            inst.errors()
