"""The bytes between the driver and a PM100D, both ways."""

import math

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, LinkDesync, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.roles import EnergyMeterInfo
from drivers.thorlabs_pm100d import Pm100d

SENSOR = '"ES111C","1501012","11-Nov-2025",3,2,50'
NO_ERROR = ("SYST:ERR?", '+0,"No error"')
BEGIN = [("ABOR", None), ("*CLS", None), ("*RST", None)]
HEAD = ("SYST:SENS:IDN?", SENSOR)
WAVELENGTH_LIMITS = [("SENS:CORR:WAV? MIN", "1.850000E+02"), ("SENS:CORR:WAV? MAX", "2.500000E+04")]
WAVELENGTH = [*WAVELENGTH_LIMITS, ("SENS:CORR:WAV 4.000000E+02", None), ("SENS:CORR:WAV?", "4.000000E+02")]
LOSS = [("SENS:CORR:LOSS:INP:MAGN 0", None), ("SENS:CORR:LOSS:INP:MAGN?", "0.000000E+00")]
RESPONSIVITY = [("SENS:CORR:ENER:PYRO:RESP DEF", None)]
RANGE_LIMITS = [("SENS:ENER:RANG:UPP? MIN", "1.000000E-06"), ("SENS:ENER:RANG:UPP? MAX", "1.000000E-03")]
RANGE = [*RANGE_LIMITS, ("SENS:ENER:RANG:UPP 5.000000E-07", None), ("SENS:ENER:RANG:UPP?", "1.000000E-06")]
REST = [
    *[("SENS:PEAK:THR 1.00", None), ("SENS:PEAK:THR?", "1.000000E+00"), ("SENS:AVER:COUN 1", None), ("SENS:AVER:COUN?", "1")],
    *[("SENS:ENER:REF:STAT 0", None), ("SENS:ENER:REF:STAT?", "0"), ("STAT:OPER:PTR 512", None), ("STAT:OPER:PTR?", "512")],
    *[("STAT:OPER:NTR 0", None), ("STAT:OPER:NTR?", "0"), ("CONF:ENER", None), ("CONF?", "ENER")],
]
STILL_ON = ("*ESR?", "0")
END = [NO_ERROR, STILL_ON]
PREPARE = [*BEGIN, HEAD, *WAVELENGTH, *LOSS, *RESPONSIVITY, *RANGE, *REST, *END]
START = [STILL_ON, ("ABOR;:STAT:OPER?", "0"), ("INIT", None)]


def steps_until(*last):
    """Everything prepare() says up to and including `last`, whose answers may differ from the usual."""
    commands = [command for command, _ in PREPARE]
    return [*PREPARE[: commands.index(last[0][0])], *last]


@pytest.mark.parametrize(
    ("name", "value", "setting", "question", "answer"),
    [
        ("wavelength_nm", 400, "SENS:CORR:WAV 4.000000E+02", "SENS:CORR:WAV?", "4.000000E+02"),
        ("range_j", 1e-6, "SENS:ENER:RANG:UPP 1.000000E-06", "SENS:ENER:RANG:UPP?", "1.000000E-06"),
        ("loss_db", 3.5, "SENS:CORR:LOSS:INP:MAGN 3.5", "SENS:CORR:LOSS:INP:MAGN?", "3.500000E+00"),
        ("responsivity_v_per_j", 9e4, "SENS:CORR:ENER:PYRO:RESP 9.000000E+04", "SENS:CORR:ENER:PYRO:RESP?", "9.000000E+04"),
        ("relative", True, "SENS:ENER:REF:STAT 1", "SENS:ENER:REF:STAT?", "1"),
        ("threshold_percent", 2.5, "SENS:PEAK:THR 2.50", "SENS:PEAK:THR?", "2.500000E+00"),
        ("averages", 300, "SENS:AVER:COUN 300", "SENS:AVER:COUN?", "300"),
        ("rising_filter", 512, "STAT:OPER:PTR 512", "STAT:OPER:PTR?", "512"),
        ("falling_filter", 0, "STAT:OPER:NTR 0", "STAT:OPER:NTR?", "0"),
    ],
)
def test_settings(name, value, setting, question, answer):
    with expected_protocol(Pm100d, [(setting, None), (question, answer)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "question", "answer", "value"),
    [
        ("function", "CONF?", "ENER", "ENER"),
        ("event_status", "*ESR?", "128", 128),
        ("operation_event", "STAT:OPER?", "512", 512),
        ("operation_condition", "STAT:OPER:COND?", "288", 288),
        ("energy_j", "MEAS:ENER?", "4.012345E-07", 4.012345e-7),
    ],
)
def test_readings(name, question, answer, value):
    with expected_protocol(Pm100d, [(question, answer)]) as inst:
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("threshold_percent", 0.05), ("threshold_percent", 100), ("averages", 0), ("averages", 10_001), ("loss_db", 61)),
        *(("wavelength_nm", math.nan), ("wavelength_nm", math.inf), ("range_j", math.nan), ("rising_filter", 32768)),
    ],
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(Pm100d, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


def test_limits():
    with expected_protocol(Pm100d, [*WAVELENGTH_LIMITS, *RANGE_LIMITS]) as inst:
        assert inst.wavelength_limits_nm == (185.0, 25_000.0)
        assert inst.range_limits_j == (1e-6, 1e-3)


def test_identity():
    with expected_protocol(Pm100d, [("*IDN?", "Thorlabs,PM100D,P0004711,2.4.0")]) as inst:
        assert inst.identify().serial == "P0004711"


def test_identity_of_another_model_is_refused():
    with expected_protocol(Pm100d, [("*IDN?", "Thorlabs,PM400,P5000001,1.0.0")]) as inst, pytest.raises(WrongIdentity):
        inst.identify()


# --- prepare ----------------------------------------------------------------------------------------------------------


def test_prepare():
    with expected_protocol(Pm100d, PREPARE) as inst:
        info = inst.prepare(400.0, 0.5)
    assert info == EnergyMeterInfo("ES111C", "1501012", "11-Nov-2025", 40.0, pytest.approx(1.0), 400.0)


def test_a_range_that_was_rounded_down_is_asked_for_again_until_it_holds_the_energy():
    tries = [
        *RANGE_LIMITS,
        *[("SENS:ENER:RANG:UPP 5.000000E-06", None), ("SENS:ENER:RANG:UPP?", "1.000000E-06")],
        *[("SENS:ENER:RANG:UPP 8.891397E-06", None), ("SENS:ENER:RANG:UPP?", "1.000000E-06")],
        *[("SENS:ENER:RANG:UPP 1.581139E-05", None), ("SENS:ENER:RANG:UPP?", "1.000000E-05")],
    ]
    with expected_protocol(Pm100d, [*steps_until(*tries), *REST, *END]) as inst:
        assert inst.prepare(400.0, 5.0).range_uj == pytest.approx(10.0)


def test_a_range_that_never_holds_the_energy_is_a_mismatch():
    tries = [*RANGE_LIMITS, ("SENS:ENER:RANG:UPP 1.000000E-03", None), ("SENS:ENER:RANG:UPP?", "1.000000E-04")]
    with expected_protocol(Pm100d, steps_until(*tries)) as inst, pytest.raises(ReadbackMismatch, match="range_j"):
        inst.prepare(400.0, 1000.0)


@pytest.mark.parametrize("range_uj", [0.0, -1.0, math.nan, 1001.0, math.inf])
def test_a_range_that_does_not_exist_is_refused_before_it_is_set(range_uj):
    with expected_protocol(Pm100d, steps_until(*RANGE_LIMITS)) as inst, pytest.raises(RefusedError) as refused:
        inst.prepare(400.0, range_uj)
    assert [reason.code for reason in refused.value.reasons] == ["energy-range-impossible"]


@pytest.mark.parametrize("wavelength_nm", [100.0, 26_000.0, math.nan])
def test_a_wavelength_that_is_not_calibrated_is_refused_before_it_is_set(wavelength_nm):
    with expected_protocol(Pm100d, [*BEGIN, HEAD, *WAVELENGTH_LIMITS]) as inst, pytest.raises(RefusedError) as refused:
        inst.prepare(wavelength_nm, 0.5)
    assert [reason.code for reason in refused.value.reasons] == ["wavelength-impossible"]


@pytest.mark.parametrize(
    ("sensor", "code"),
    [
        ('"S120VC","1408","01-Jan-2020",1,2,33', "no-energy-head"),
        ('"no sensor","","",0,0,0', "no-energy-head"),
        ('"ES999X","1","01-Jan-2030",3,2,50', "energy-head-unknown"),
    ],
)
def test_heads_that_are_none_or_unknown_are_refused(sensor, code):
    with expected_protocol(Pm100d, [*BEGIN, ("SYST:SENS:IDN?", sensor)]) as inst, pytest.raises(RefusedError) as refused:
        inst.prepare(400.0, 0.5)
    assert [reason.code for reason in refused.value.reasons] == [code]


def test_the_responsivity_of_a_head_that_fixes_it_is_left_alone():
    sensor = ("SYST:SENS:IDN?", '"ES120C","1","01-Jan-2030",3,2,34')
    dialogue = [*BEGIN, sensor, *WAVELENGTH, *LOSS, *RANGE, *REST, *END]
    with expected_protocol(Pm100d, dialogue) as inst:
        assert inst.prepare(400.0, 0.5).head == "ES120C"


@pytest.mark.parametrize("sensor", ["4.0E-7", '"ES111C","1501012","11-Nov-2025",3,2', '"A","B","C",3,2,x'])
def test_an_answer_that_is_no_head_belongs_to_another_question(sensor):
    with expected_protocol(Pm100d, [*BEGIN, ("SYST:SENS:IDN?", sensor)]) as inst, pytest.raises(LinkDesync):
        inst.prepare(400.0, 0.5)


@pytest.mark.parametrize(
    "last",
    [
        [*WAVELENGTH[:-1], ("SENS:CORR:WAV?", "4.010000E+02")],
        [LOSS[0], ("SENS:CORR:LOSS:INP:MAGN?", "1.000000E+00")],
        [("SENS:AVER:COUN 1", None), ("SENS:AVER:COUN?", "2")],
        [("SENS:ENER:REF:STAT 0", None), ("SENS:ENER:REF:STAT?", "1")],
        [("CONF:ENER", None), ("CONF?", "POW")],
    ],
)
def test_a_setting_that_is_not_as_set_is_a_mismatch(last):
    with expected_protocol(Pm100d, steps_until(*last)) as inst, pytest.raises(ReadbackMismatch):
        inst.prepare(400.0, 0.5)


def test_errors_while_preparing_are_told_and_nothing_is_measured():
    error = ("SYST:ERR?", '-221,"Settings conflict"')
    with expected_protocol(Pm100d, [*PREPARE[:-2], error, NO_ERROR]) as inst:
        with pytest.raises(InstrumentError, match="-221 Settings conflict"):
            inst.prepare(400.0, 0.5)
        with pytest.raises(InstrumentError, match="not prepared"):
            inst.measure(0.01)


# --- measure ----------------------------------------------------------------------------------------------------------


def test_a_pulse_is_fetched_once_it_is_there():
    dialogue = [*START, ("STAT:OPER?", "0"), ("STAT:OPER?", "0"), ("STAT:OPER?", "512"), ("FETC?", "4.012345E-07")]
    with expected_protocol(Pm100d, [*PREPARE, *dialogue]) as inst:
        inst.prepare(400.0, 0.5)
        reading = inst.measure(1.0)
    assert reading.energy_uj == pytest.approx(0.4012345)
    assert reading.answered_ns - reading.asked_ns >= 2 * 1_900_000  # two polls


def test_a_pulse_that_does_not_come_is_given_up_and_the_instrument_proved():
    dialogue = [*START, ("STAT:OPER?", "0"), ("ABOR", None), ("*IDN?", "Thorlabs,PM100D,P0004711,2.4.0")]
    with expected_protocol(Pm100d, [*PREPARE, *dialogue]) as inst:
        inst.prepare(400.0, 0.5)
        assert inst.measure(0.0) is None


@pytest.mark.parametrize("answer", ["9.900000E+37", "9.910000E+37", "-9.900000E+37"])
def test_an_overload_is_no_energy(answer):
    dialogue = [*START, ("STAT:OPER?", "512"), ("FETC?", answer)]
    with expected_protocol(Pm100d, [*PREPARE, *dialogue]) as inst:
        inst.prepare(400.0, 0.5)
        with pytest.raises(InstrumentError, match="range of 1 uJ"):
            inst.measure(1.0)


def test_one_that_was_switched_off_and_on_while_it_was_prepared_is_not_prepared():
    with expected_protocol(Pm100d, [*PREPARE[:-1], ("*ESR?", "128")]) as inst:
        with pytest.raises(InstrumentError, match="switched off and on"):
            inst.prepare(400.0, 0.5)
        with pytest.raises(InstrumentError, match="not prepared"):
            inst.measure(1.0)


def test_one_that_was_switched_off_and_on_since_measures_nothing():
    """Its wavelength and range are its own again: every energy would be wrong by the slope of its calibration."""
    with expected_protocol(Pm100d, [*PREPARE, ("*ESR?", "128")]) as inst:
        inst.prepare(400.0, 0.5)
        for why in ("switched off and on", "not prepared"):
            with pytest.raises(InstrumentError, match=why):
                inst.measure(1.0)


def test_without_preparation_nothing_is_sent():
    with expected_protocol(Pm100d, []) as inst, pytest.raises(InstrumentError, match="not prepared"):
        inst.measure(1.0)


def test_errors_come_oldest_first():
    dialogue = [("SYST:ERR?", '-410,"Query INTERRUPTED"'), ("SYST:ERR?", '-113,"Undefined header"'), NO_ERROR]
    with expected_protocol(Pm100d, dialogue) as inst:
        assert inst.errors() == ["-410 Query INTERRUPTED", "-113 Undefined header"]
