"""The bytes between the driver and a plain supply, both ways."""

import math

import pytest
from pymeasure.test import expected_protocol

from drivers import registry
from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.roles import HoldLevel, LevelList, SourceLimits
from drivers.scpi_supply import DRIVER, SETTLE_QUESTIONS, ScpiSupply

OFF = (b"\nOUTP OFF\nVOLT 0\n", None)
NO_ERROR = ("SYST:ERR?", '+0,"No error"')
LIMITS = SourceLimits(0.0, 20.0, 1e-3)
PREPARE = [
    OFF,
    ("*CLS", None),
    ("VOLT 0", None),
    ("VOLT?", "+0.00000000E+00"),
    ("CURR 0.001", None),
    ("CURR?", "+1.00000000E-03"),
    NO_ERROR,
]


LIMIT = ("CURR?", "+1.00000000E-03")


def prepared(*pairs):
    """A driver that has been through prepare(), and what is expected after that."""
    return expected_protocol(ScpiSupply, [*PREPARE, *pairs])


def reading(voltage_v, current_a):
    return [("MEAS:VOLT?", f"{voltage_v:+.8E}"), ("MEAS:CURR?", f"{current_a:+.8E}")]


def armed_at(level_v, *readings, on="1"):
    asked = [pair for values in readings for pair in reading(*values)]
    return [(f"VOLT {level_v:g}", None), ("VOLT?", f"{level_v:g}"), LIMIT, ("OUTP ON", None), ("OUTP?", on), *asked]


# --- properties


@pytest.mark.parametrize(("word", "on"), [("1", True), ("0", False), ("ON", True), ("OFF", False), ("off", False)])
def test_the_output_s_state_in_either_maker_s_words(word, on):
    with expected_protocol(ScpiSupply, [("OUTP?", word)]) as inst:
        assert inst.output_enabled is on


@pytest.mark.parametrize("word", ["", "2", "YES", "20.000"])
def test_a_state_in_no_known_word_is_a_desync(word):
    with expected_protocol(ScpiSupply, [("OUTP?", word)]) as inst, pytest.raises(LinkDesync):
        _ = inst.output_enabled


@pytest.mark.parametrize(
    ("name", "value", "setting", "question", "answer"),
    [
        ("output_enabled", True, "OUTP ON", "OUTP?", "1"),
        ("output_enabled", False, "OUTP OFF", "OUTP?", "0"),
        ("voltage_setpoint", 20.0, "VOLT 20", "VOLT?", "+2.00000000E+01"),
        ("voltage_setpoint", 0.125, "VOLT 0.125", "VOLT?", "0.125"),
        ("current_limit", 0.001, "CURR 0.001", "CURR?", "1.0E-3"),
    ],
)
def test_settings(name, value, setting, question, answer):
    with expected_protocol(ScpiSupply, [(setting, None), (question, answer)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("voltage_setpoint", -0.001), ("voltage_setpoint", math.nan), ("current_limit", -1e-9), ("output_enabled", "ON")],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(ScpiSupply, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


# --- identity


@pytest.mark.parametrize(
    "idn",
    [
        "ITO-RIG SIMULATED,PLAIN-30V,SN000001,1.0",
        "Keysight Technologies,E36312A,MY5000001,2.1.3-1.0.4-1.12",
        "RIGOL TECHNOLOGIES,DP832,DP8A000001,00.01.14",
    ],
)
def test_whoever_no_driver_knows_is_a_plain_supply_where_the_bench_says_so(idn):
    with expected_protocol(ScpiSupply, [("*IDN?", idn)]) as inst:
        identity = inst.identify()
    assert f"{identity.maker},{identity.model},{identity.serial},{identity.firmware}" == idn
    assert DRIVER.matches(idn)


@pytest.mark.parametrize(
    "idn", ["Stanford Research Systems,DG645,s/n004025,ver1.00.00E", "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,C30"]
)
def test_a_model_that_has_its_own_driver_is_refused(idn):
    assert not DRIVER.matches(idn)
    with expected_protocol(ScpiSupply, [("*IDN?", idn)]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


def test_by_its_answer_alone_only_the_simulated_one_is_found():
    assert registry.match_idn("ITO-RIG SIMULATED,PLAIN-30V,SN000001,1.0") is DRIVER
    assert registry.match_idn("Keysight Technologies,E36312A,MY5000001,2.1.3") is None
    assert registry.match_idn("") is None


# --- role


def test_prepare():
    with prepared() as inst:
        inst.prepare(LIMITS)


@pytest.mark.parametrize(("question", "answer"), [("CURR?", "+1.00000000E-02"), ("CURR?", "0"), ("VOLT?", "+5.0E-01")])
def test_prepare_tells_a_setting_that_is_not_in_force(question, answer):
    pairs = [(say, answer if say == question else reply) for say, reply in PREPARE]
    end = [say for say, _ in pairs].index(question) + 1
    with expected_protocol(ScpiSupply, pairs[:end]) as inst, pytest.raises(ReadbackMismatch, match=r"current_limit|setpoint"):
        inst.prepare(LIMITS)


def test_prepare_does_not_pass_over_errors():
    pairs = [*PREPARE[:-1], ("SYST:ERR?", '-222,"Data out of range"'), NO_ERROR]
    with expected_protocol(ScpiSupply, pairs) as inst, pytest.raises(InstrumentError, match="-222 Data out of range"):
        inst.prepare(LIMITS)


@pytest.mark.parametrize(
    "limits",
    [SourceLimits(0, 1001, 1), SourceLimits(1, 20, 1), SourceLimits(0, math.nan, 1), SourceLimits(0, 20, 0)],
)
def test_impossible_limits_are_refused_before_anything_is_sent(limits):
    with expected_protocol(ScpiSupply, []) as inst, pytest.raises(RefusedError):
        inst.prepare(limits)


def test_hold_a_level_and_read_it():
    with prepared(
        *armed_at(20, (7.4, 1e-3), (15.2, 1e-3), (19.97, 4e-5)),
        ("OUTP?", "1"),
        *reading(19.999, 2e-5),
        OFF,
        ("OUTP?", "0"),
    ) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()
        found = inst.measure()
        assert (found.voltage_v, found.current_a, found.in_compliance) == (19.999, 2e-5, False)
        assert math.isnan(found.t_source_s)
        inst.make_safe()
        assert inst.read_safe().safe


@pytest.mark.parametrize(
    ("voltage_v", "current_a", "limited"),
    [(19.99, 1e-3, False), (18.0, 9e-4, False), (18.0, 9.6e-4, True), (0.1, 1e-3, True), (19.999, 2e-5, False)],
)
def test_compliance_is_a_current_at_its_limit_and_a_voltage_below_its_level(voltage_v, current_a, limited):
    with prepared(*armed_at(20, (20, 0)), ("OUTP?", "1"), *reading(voltage_v, current_a)) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()
        assert inst.measure().in_compliance is limited


def test_arming_ends_when_the_current_limit_holds_the_voltage_back():
    with prepared(*armed_at(20, (0.1, 1e-3), (0.1, 1e-3))) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        inst.arm()


def test_a_level_that_is_never_reached_is_told():
    with prepared(*armed_at(20, *[(12.0, 1e-5)] * SETTLE_QUESTIONS)) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        with pytest.raises(InstrumentError, match=r"stays at 12\.000 V"):
            inst.arm()


def test_an_output_that_stays_off_is_told():
    with prepared(*armed_at(20, on="0"), ("SYST:ERR?", '-200,"OVP tripped"'), NO_ERROR) as inst:
        inst.prepare(LIMITS)
        inst.load(HoldLevel(20.0))
        with pytest.raises(InstrumentError, match="-200 OVP tripped"):
            inst.arm()


def test_a_level_beyond_the_supply_is_told_before_the_output_goes_on():
    with prepared(("VOLT 20", None), ("VOLT?", "0")) as inst:
        inst.prepare(LIMITS)
        with pytest.raises(ReadbackMismatch):
            inst.load(HoldLevel(20.0))


@pytest.mark.parametrize("limit", ["+1.00000000E+00", "0", "nan"])
def test_a_current_limit_that_is_not_the_prepared_one_keeps_the_output_off(limit):
    """As of a supply that was switched off and on."""
    with prepared(("VOLT 20", None), ("VOLT?", "20"), ("CURR?", limit), OFF) as inst:
        inst.prepare(LIMITS)
        with pytest.raises(ReadbackMismatch, match="limits its current"):
            inst.load(HoldLevel(20.0))


def test_reading_with_the_output_off_switches_nothing():
    with expected_protocol(ScpiSupply, [("OUTP?", "0")]) as inst, pytest.raises(InstrumentError, match="output is off"):
        inst.measure()


@pytest.mark.parametrize("answer", ["", "+2.0E+01,+1.0E-03", "Keysight"])
def test_a_measurement_that_is_not_one_number_is_a_desync(answer):
    with expected_protocol(ScpiSupply, [("OUTP?", "1"), ("MEAS:VOLT?", answer)]) as inst, pytest.raises(LinkDesync):
        inst.measure()


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        (HoldLevel(20.001), {"voltage-above-limit"}),
        (HoldLevel(-0.001), {"voltage-above-limit", "voltage-negative"}),
        (HoldLevel(math.nan), {"voltage-above-limit", "voltage-negative"}),
        (LevelList((20.0, 0.0), 1), {"source-cannot-step"}),
        (LevelList((), 1), {"source-cannot-step"}),
    ],
)
def test_what_a_supply_cannot_do_is_refused_with_every_reason(program, codes):
    with prepared() as inst:
        inst.prepare(LIMITS)
        with pytest.raises(RefusedError) as refused:
            inst.load(program)
        assert {reason.code for reason in refused.value.reasons} == codes


def test_no_list_was_walked_so_there_is_none_to_collect():
    with expected_protocol(ScpiSupply, [OFF]) as inst:
        assert inst.collect() == []


def test_order_of_calls():
    with expected_protocol(ScpiSupply, []) as inst:
        with pytest.raises(InstrumentError, match="no limits"):
            inst.load(HoldLevel(1.0))
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm()
