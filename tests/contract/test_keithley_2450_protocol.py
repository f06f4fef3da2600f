"""The bytes between the driver and a Keithley 2450, both ways."""

import math

import pytest
from pymeasure.test import expected_protocol

from drivers import registry
from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.keithley_2450 import ARM_QUESTIONS, DRIVER, Keithley2450
from drivers.roles import HoldLevel, LevelList, SourceLimits

IDN = "KEITHLEY INSTRUMENTS,MODEL 2450,04412345,1.7.12b"
SCPI = ("*LANG?", "SCPI")
OFF = (b"\n:ABOR;:OUTP OFF\n", None)
NO_ERROR = (":SYST:ERR?", '0,"No error;0;0 0"')
LIMITS = SourceLimits(-20.0, 20.0, 1e-3)
PREPARE = [
    OFF,
    ("*CLS", None),
    ("*RST", None),
    (":SYST:CLE", None),
    (":OUTP:VOLT:SMOD NORM", None),
    (":SOUR:FUNC VOLT", None),
    (":SOUR:VOLT 0", None),
    (":SOUR:VOLT:READ:BACK 1", None),
    (':SENS:FUNC "CURR"', None),
    (":FORM ASC", None),
    (":SOUR:VOLT:RANG 20", None),
    (":SOUR:VOLT:ILIM 0.001", None),
    (":SOUR:VOLT:ILIM?", "0.001"),
    (":SENS:CURR:RANG 0.001", None),
    (":SOUR:VOLT:RANG?", "20"),
    NO_ERROR,
]
LOAD_HOLD = [
    (':TRAC:CLE "defbuffer1"', None),
    (":SOUR:VOLT:DEL:AUTO 1", None),
    (":SENS:CURR:NPLC 0.1", None),
    (":SENS:CURR:AZER 1", None),
    NO_ERROR,
]
LOAD_LIST = [
    (":OUTP?", "0"),
    (':TRIG:LOAD "Empty"', None),
    (':TRAC:CLE "defbuffer1"', None),
    (":SOUR:VOLT 0", None),
    (":SOUR:VOLT:DEL:AUTO 0", None),
    (":SOUR:VOLT:DEL 0", None),
    (":SENS:CURR:NPLC 0.01", None),
    (":SENS:CURR:AZER 0", None),
    (":SOUR:LIST:VOLT 0,20,0", None),
    (":SOUR:LIST:VOLT:POIN?", "3"),
    (":DIG:LINE4:MODE TRIG,IN", None),
    (":TRIG:DIG4:IN:EDGE FALL", None),
    (":TRIG:DIG4:IN:CLE", None),
    (':TRIG:LOAD "Empty"', None),
    (':TRIG:BLOC:BUFF:CLE 1,"defbuffer1"', None),
    (':TRIG:BLOC:CONF:REC 2,"VoltCustomSweepList",1', None),
    (":TRIG:BLOC:SOUR:STAT 3,ON", None),
    (":TRIG:BLOC:WAIT 4,DIG4,ENT", None),
    (':TRIG:BLOC:CONF:NEXT 5,"VoltCustomSweepList"', None),
    (":TRIG:BLOC:DEL:CONS 6,0.001", None),
    (':TRIG:BLOC:MEAS 7,"defbuffer1",1', None),
    (":TRIG:BLOC:BRAN:COUN 8,2,4", None),
    (":TRIG:BLOC:SOUR:STAT 9,OFF", None),
    NO_ERROR,
]
START = [(":ABOR", None), (":TRIG:DIG4:IN:CLE", None), (":INIT", None)]
WAITS = (":TRIG:STAT?", "WAITING;WAITING;4")
PROGRAM = LevelList((20.0, 0.0), trigger_line=4)


def prepared(*pairs):
    """A driver that has been through prepare(), and what is expected after that."""
    return expected_protocol(Keithley2450, [*PREPARE, *pairs])


def armed(*pairs, states=(WAITS,)):
    """The same after a list was loaded and its start was sent."""
    return prepared(*LOAD_LIST, *START, *states, *pairs)


def arm_list(inst):
    inst.prepare(LIMITS)
    inst.load(PROGRAM)
    inst.arm()


# --- properties

SETTINGS = [
    ("output_enabled", True, ":OUTP 1", ":OUTP?", "1"),
    ("output_enabled", False, ":OUTP 0", ":OUTP?", "0"),
    ("output_off_state", "HIMP", ":OUTP:VOLT:SMOD HIMP", ":OUTP:VOLT:SMOD?", "HIMP"),
    ("source_voltage", 20.0, ":SOUR:VOLT 20", ":SOUR:VOLT?", "20"),
    ("source_voltage", -0.125, ":SOUR:VOLT -0.125", ":SOUR:VOLT?", "-0.125"),
    ("source_delay", 0.001, ":SOUR:VOLT:DEL 0.001", ":SOUR:VOLT:DEL?", "1.000000E-03"),
    ("source_read_back", True, ":SOUR:VOLT:READ:BACK 1", ":SOUR:VOLT:READ:BACK?", "1"),
    ("compliance_current", 0.001, ":SOUR:VOLT:ILIM 0.001", ":SOUR:VOLT:ILIM?", "0.001"),
    ("functions", ["CURR"], ':SENS:FUNC "CURR"', ":SENS:FUNC?", '"CURR:DC"'),
    ("nplc", 0.01, ":SENS:CURR:NPLC 0.01", ":SENS:CURR:NPLC?", "0.01"),
    ("auto_zero", False, ":SENS:CURR:AZER 0", ":SENS:CURR:AZER?", "0"),
    ("data_format", "REAL", ":FORM REAL", ":FORM?", "REAL"),
    ("terminals", "REAR", ":ROUT:TERM REAR", ":ROUT:TERM?", "REAR"),
]


@pytest.mark.parametrize(("name", "value", "setting", "question", "answer"), SETTINGS)
def test_settings(name, value, setting, question, answer):
    with expected_protocol(Keithley2450, [(setting, None), (question, answer)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "question", "answer", "value"),
    [
        ("interlock_closed", ":OUTP:INT:TRIP?", "0", False),
        ("compliance_tripped", ":SOUR:VOLT:ILIM:TRIP?", "1", True),
        ("buffer_count", ':TRAC:ACT? "defbuffer1"', "17", 17),
        ("list_points", ":SOUR:LIST:VOLT:POIN?", "2500", 2500),
        ("language", "*LANG?", "TSP", "TSP"),
    ],
)
def test_questions(name, question, answer, value):
    with expected_protocol(Keithley2450, [(question, answer)]) as inst:
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source_voltage", 210.0001),
        ("source_voltage", math.nan),
        ("source_voltage", math.inf),
        ("compliance_current", 1.0501),
        ("compliance_current", 0.0),
        ("compliance_current", math.nan),
        ("nplc", 0.009),
        ("output_off_state", "OFF"),
        ("output_enabled", "ON"),
        ("source_delay", -1e-6),
        ("data_format", "ASCII"),
    ],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(Keithley2450, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


@pytest.mark.parametrize(("points", "messages"), [(1, 1), (100, 1), (101, 2), (2500, 25)])
def test_lists_are_split_into_messages_of_a_hundred(points, messages):
    levels = [20.0, 0.0] * (points // 2) + [0.0] * (points % 2)
    texts = [f"{level:g}" for level in levels]
    pairs = []
    for start in range(0, points, 100):
        command = ":SOUR:LIST:VOLT:APP" if start else ":SOUR:LIST:VOLT"
        pairs.append((f"{command} {','.join(texts[start : start + 100])}", None))
    assert len(pairs) == messages
    with expected_protocol(Keithley2450, pairs) as inst:
        inst.list_voltages(levels)


@pytest.mark.parametrize("levels", [[], [0.0] * 2501, [0.0, math.nan], [211.0]])
def test_impossible_lists_are_not_sent(levels):
    with expected_protocol(Keithley2450, []) as inst, pytest.raises(ValueError):
        inst.list_voltages(levels)


@pytest.mark.parametrize(
    ("answer", "state"),
    [("IDLE;IDLE;9", ("IDLE", 9)), ("RUNNING;RUNNING;4", ("RUNNING", 4)), ("waiting; waiting; 4", ("WAITING", 4))],
)
def test_the_trigger_model_s_state(answer, state):
    with expected_protocol(Keithley2450, [(":TRIG:STAT?", answer)]) as inst:
        assert inst.trigger_state() == state


@pytest.mark.parametrize("answer", ["", "IDLE", "+2.0E+01", "IDLE;IDLE;x"])
def test_a_state_that_is_none_is_a_desync(answer):
    with expected_protocol(Keithley2450, [(":TRIG:STAT?", answer)]) as inst, pytest.raises(LinkDesync):
        inst.trigger_state()


# --- identity


@pytest.mark.parametrize("idn", [IDN, IDN.replace("INSTRUMENTS", "INSTRUMENTS INC."), IDN.replace(",", ", ").lower()])
def test_identity(idn):
    assert registry.match_idn(idn) is DRIVER
    with expected_protocol(Keithley2450, [("*IDN?", idn), SCPI]) as inst:
        identity = inst.identify()
    assert (identity.model, identity.serial) == ("2450", "04412345")


@pytest.mark.parametrize(
    "idn",
    ["KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,1", "KEITHLEY INSTRUMENTS,MODEL 24501,1,1", "KEITHLEY INSTRUMENTS,MODEL 2460,1,1"],
)
def test_another_instrument_is_refused_and_asked_nothing_more(idn):
    with expected_protocol(Keithley2450, [("*IDN?", idn)]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


@pytest.mark.parametrize("language", ["TSP", "SCPI2400"])
def test_a_2450_that_speaks_another_language_is_refused(language):
    with expected_protocol(Keithley2450, [("*IDN?", IDN), ("*LANG?", language)]) as inst:
        with pytest.raises(InstrumentError, match=f"speaks {language}, not SCPI"):
            inst.identify()


# --- role: one level


def test_prepare():
    with prepared() as inst:
        inst.prepare(LIMITS)


def test_prepare_tells_a_limit_that_is_not_in_force():
    pairs = [(say, "0.000105" if say == ":SOUR:VOLT:ILIM?" else answer) for say, answer in PREPARE]
    end = [say for say, _ in pairs].index(":SOUR:VOLT:ILIM?") + 1
    with expected_protocol(Keithley2450, pairs[:end]) as inst, pytest.raises(ReadbackMismatch, match="compliance_current"):
        inst.prepare(LIMITS)


def test_prepare_tells_a_range_that_does_not_reach():
    pairs = [(say, "2" if say == ":SOUR:VOLT:RANG?" else answer) for say, answer in PREPARE]
    with expected_protocol(Keithley2450, pairs[:-1]) as inst, pytest.raises(ReadbackMismatch, match="range"):
        inst.prepare(LIMITS)


@pytest.mark.fault("I3")
def test_prepare_does_not_pass_over_errors():
    pairs = [*PREPARE[:-1], (":SYST:ERR?", '-222,"Parameter data out of range;1;2026/05/06 12:55:33.648"'), NO_ERROR]
    with (
        expected_protocol(Keithley2450, pairs) as inst,
        pytest.raises(InstrumentError, match="-222 Parameter data out of range"),
    ):
        inst.prepare(LIMITS)


@pytest.mark.parametrize(
    "limits",
    [
        SourceLimits(-211, 20, 1e-3),
        SourceLimits(1, 20, 1e-3),
        SourceLimits(0, math.nan, 1e-3),
        SourceLimits(0, 20, 0),
        SourceLimits(0, 20, 1.06),
        SourceLimits(0, 20, math.nan),
    ],
)
def test_impossible_limits_are_refused_before_anything_is_sent(limits):
    with expected_protocol(Keithley2450, []) as inst, pytest.raises(RefusedError):
        inst.prepare(limits)


def test_hold_a_level_and_read_it():
    with prepared(
        *LOAD_HOLD,
        (":SOUR:VOLT 20", None),
        (":SOUR:VOLT?", "20"),
        (":OUTP 1", None),
        (":OUTP?", "1"),
        (":OUTP?", "1"),
        (':READ? "defbuffer1",SOUR,READ,REL,SOURSTAT', "1.999990E+01,2.345000E-05,12.345,128"),
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


def test_the_next_level_needs_no_set_up():
    with prepared(
        *LOAD_HOLD,
        *[(":SOUR:VOLT 0", None), (":SOUR:VOLT?", "0"), (":OUTP 1", None), (":OUTP?", "1")],
        *[(":SOUR:VOLT 20", None), (":SOUR:VOLT?", "20"), (":OUTP?", "1")],
    ) as inst:
        inst.prepare(LIMITS)
        for level_v in (0.0, 20.0):
            inst.load(HoldLevel(level_v))
            inst.arm()


@pytest.mark.parametrize(
    ("status", "limited"), [("160", True), ("128", False), ("3.2E+01", True), ("223", False), ("255", True)]
)
def test_compliance_is_bit_5_of_the_source_s_status(status, limited):
    dialogue = [(":OUTP?", "1"), (':READ? "defbuffer1",SOUR,READ,REL,SOURSTAT', f"3.1,1.0E-03,1.0,{status}")]
    with expected_protocol(Keithley2450, dialogue) as inst:
        assert inst.measure().in_compliance is limited


def test_reading_with_the_output_off_measures_nothing():
    with expected_protocol(Keithley2450, [(":OUTP?", "0")]) as inst, pytest.raises(InstrumentError, match="output is off"):
        inst.measure()


@pytest.mark.parametrize("answer", ["1.0,2.0", "1.0,2.0,3.0,4,5.0", "1.0,2.0,3.0,x", "", "1,2,3,nan"])
def test_a_reading_with_other_elements_is_a_desync(answer):
    dialogue = [(":OUTP?", "1"), (':READ? "defbuffer1",SOUR,READ,REL,SOURSTAT', answer)]
    with expected_protocol(Keithley2450, dialogue) as inst, pytest.raises(LinkDesync):
        inst.measure()


def test_what_was_not_measured_is_not_a_number():
    dialogue = [(":OUTP?", "1"), (':READ? "defbuffer1",SOUR,READ,REL,SOURSTAT', "20,9.9E+37,1.0,128")]
    with expected_protocol(Keithley2450, dialogue) as inst:
        assert math.isnan(inst.measure().current_a)


def test_an_output_that_stays_off_is_told():
    with prepared(
        *LOAD_HOLD,
        (":SOUR:VOLT 20", None),
        (":SOUR:VOLT?", "20"),
        (":OUTP 1", None),
        (":OUTP?", "0"),
        (":SYST:ERR?", '5069,"Over temperature;1;0 0"'),
        NO_ERROR,
    ) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        with pytest.raises(InstrumentError, match="5069 Over temperature"):
            inst.arm()


# --- role: a list


def test_a_list_is_loaded_armed_and_collected():
    data = "20.0,1.0E-05,0.0,128,0.0,0.0,2.0001,128"
    with armed(
        OFF,
        (':TRAC:ACT? "defbuffer1"', "2"),
        (':TRAC:DATA? 1,2,"defbuffer1",SOUR,READ,REL,SOURSTAT', data),
        states=((":TRIG:STAT?", "RUNNING;RUNNING;3"), (":TRIG:STAT?", "RUNNING;RUNNING;4")),
    ) as inst:
        arm_list(inst)
        points = inst.collect()
    assert [point.voltage_v for point in points] == [20.0, 0.0]
    assert [point.t_source_s for point in points] == [0.0, 2.0001]


def test_a_list_nobody_stepped_yields_nothing():
    with armed(OFF, (':TRAC:ACT? "defbuffer1"', "0")) as inst:
        arm_list(inst)
        assert inst.collect() == []


def test_compliance_is_told_per_point():
    data = "1,1E-6,0,128,3.1,1.0E-03,1,160,0,0,2,128"
    dialogue = [OFF, (':TRAC:ACT? "defbuffer1"', "3"), (':TRAC:DATA? 1,3,"defbuffer1",SOUR,READ,REL,SOURSTAT', data)]
    with expected_protocol(Keithley2450, dialogue) as inst:
        assert [point.in_compliance for point in inst.collect()] == [False, True, False]


@pytest.mark.parametrize("data", ["1,2,3,128", "1,2,3,128,1,2,3,128,1,2,3,128"])
def test_another_number_of_points_than_announced_is_a_desync(data):
    dialogue = [OFF, (':TRAC:ACT? "defbuffer1"', "2"), (':TRAC:DATA? 1,2,"defbuffer1",SOUR,READ,REL,SOURSTAT', data)]
    with expected_protocol(Keithley2450, dialogue) as inst, pytest.raises(LinkDesync):
        inst.collect()


def test_a_trigger_model_that_fails_is_told_at_once():
    failed = (":TRIG:STAT?", "FAILED;FAILED;2")
    with armed((":SYST:ERR?", '2790,"List missing;1;0 0"'), NO_ERROR, states=(failed,)) as inst:
        with pytest.raises(InstrumentError, match="FAILED in block 2; 2790 List missing"):
            arm_list(inst)


def test_a_state_from_before_the_start_is_passed_over():
    states = ["BUILDING;BUILDING;0", "IDLE;IDLE;9", "ABORTED;ABORTED;4", "RUNNING;RUNNING;1", "WAITING;WAITING;4"]
    with armed(states=[(":TRIG:STAT?", state) for state in states]) as inst:
        arm_list(inst)


@pytest.mark.parametrize(("answer", "told"), [("RUNNING;RUNNING;3", "RUNNING in block 3"), ("IDLE;IDLE;9", "IDLE in block 9")])
def test_a_trigger_model_that_never_comes_to_its_wait_is_told(answer, told):
    with armed(NO_ERROR, states=((":TRIG:STAT?", answer),) * ARM_QUESTIONS) as inst:
        with pytest.raises(InstrumentError, match=told):
            arm_list(inst)


def test_a_list_that_did_not_arrive_whole_is_told():
    end = [say for say, _ in LOAD_LIST].index(":SOUR:LIST:VOLT:POIN?")
    with prepared(*LOAD_LIST[:end], (":SOUR:LIST:VOLT:POIN?", "2"), NO_ERROR) as inst:
        inst.prepare(LIMITS)
        with pytest.raises(ReadbackMismatch, match="2 points, 3 were sent"):
            inst.load(PROGRAM)
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm()


def test_a_running_list_is_neither_measured_nor_loaded_over():
    with armed(OFF) as inst:
        arm_list(inst)
        for act in (inst.measure, lambda: inst.load(HoldLevel(1.0)), lambda: inst.load(PROGRAM)):
            with pytest.raises(InstrumentError, match="walks a list"):
                act()
        inst.make_safe()


def test_the_log_of_errors_is_read_while_a_list_runs():
    with armed(NO_ERROR) as inst:
        arm_list(inst)
        assert inst.errors() == []


def test_a_list_is_not_loaded_under_voltage():
    with prepared((":OUTP?", "1")) as inst:
        inst.prepare(LIMITS)
        with pytest.raises(InstrumentError, match="only while the output is off"):
            inst.load(PROGRAM)


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        (HoldLevel(20.001), {"voltage-above-limit"}),
        (HoldLevel(math.nan), {"voltage-above-limit"}),
        (LevelList((0.0, 21.0, 0.0), 1), {"voltage-above-limit"}),
        (LevelList((), 1), {"list-too-long"}),
        (LevelList((0.0,) * 2500, 1), {"list-too-long"}),
        (LevelList((0.0, 20.0), 6), {"list-ends-on"}),
        (LevelList((20.0, 0.0), 7), {"no-such-line"}),
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
    with expected_protocol(Keithley2450, []) as inst:
        with pytest.raises(InstrumentError, match="no limits"):
            inst.load(HoldLevel(1.0))
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm()


def test_the_log_of_errors_is_emptied():
    errors = [(":SYST:ERR?", '-113,"Undefined header;1;0 0"'), (":SYST:ERR?", '2790,"List missing;1;0 0"')]
    with expected_protocol(Keithley2450, [*errors, NO_ERROR]) as inst:
        assert inst.errors() == ["-113 Undefined header;1;0 0", "2790 List missing;1;0 0"]
