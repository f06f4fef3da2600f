"""The bytes between the driver and a DG645, both ways."""

import math

import pytest
from pymeasure.test import expected_protocol

from drivers.errors import InstrumentError, ReadbackMismatch, RefusedError, WrongIdentity
from drivers.roles import BurstProgram, PulseOutput
from drivers.srs_dg645 import Dg645

OFF = (b"\nTSRC 5;BURM 0\n", None)
NO_ERROR = ("LERR?", "0")
LASER = PulseOutput("EF", 100_000, 20_000, 4.0, high_z=False, positive=True)
SPECTROMETER = PulseOutput("AB", 0, 20_000, 5.0, high_z=True, positive=True)
STEP = PulseOutput("T0", 0, 20_000, 4.0, high_z=True, positive=False)
PROGRAM = BurstProgram(1_000_000, (LASER, SPECTROMETER, STEP), t0_on_first_shot_only=True)


def level(number, amplitude, polarity=1):
    return [
        (f"LAMP {number},{amplitude:.2f}", None),
        (f"LAMP?{number}", f"{amplitude:+.2f}"),
        (f"LOFF {number},0.00", None),
        (f"LOFF?{number}", "+0.00"),
        (f"LPOL {number},{polarity}", None),
        (f"LPOL?{number}", f"{polarity}"),
    ]


def edges(lead, delay_s, width_s):
    return [
        (f"DLAY {lead},0,{delay_s:.12f}", None),
        (f"DLAY?{lead}", f"0,{delay_s:+.12f}"),
        (f"DLAY {lead + 1},{lead},{width_s:.12f}", None),
        (f"DLAY?{lead + 1}", f"{lead},{width_s:+.12f}"),
    ]


LOAD = [
    *[("TSRC 5", None), ("TSRC?", "5"), ("ADVT 0", None), ("ADVT?", "0")],
    *level(0, 2.0, polarity=0),
    *[*level(1, 2.5), *edges(2, 0, 20e-6)],
    *[*level(2, 0.5), *edges(4, 0, 0)],
    *[*level(3, 4.0), *edges(6, 100e-6, 20e-6)],
    *[*level(4, 0.5), *edges(8, 0, 0)],
    *[("BURM 1", None), ("BURM?", "1"), ("BURP 0.00100000", None), ("BURP?", "+0.001000000")],
    *[("BURD 0.000000000000", None), ("BURD?", "+0.000000000000"), ("BURT 1", None), ("BURT?", "1")],
    NO_ERROR,
]


@pytest.mark.parametrize(
    ("name", "value", "setting", "question", "answer"),
    [
        ("trigger_source", 5, "TSRC 5", "TSRC?", "5"),
        ("trigger_rate_hz", 1000, "TRAT 1000.000000", "TRAT?", "+1000.000000"),
        ("trigger_level_v", 1.5, "TLVL 1.50", "TLVL?", "+1.50"),
        ("advanced_triggering", True, "ADVT 1", "ADVT?", "1"),
        ("burst_mode", False, "BURM 0", "BURM?", "0"),
        ("burst_count", 2000, "BURC 2000", "BURC?", "2000"),
        ("burst_period_s", 1e-3, "BURP 0.00100000", "BURP?", "+0.001000000"),
        ("burst_t0_first_only", True, "BURT 1", "BURT?", "1"),
    ],
)
def test_settings(name, value, setting, question, answer):
    with expected_protocol(Dg645, [(setting, None), (question, answer)]) as inst:
        setattr(inst, name, value)
        assert getattr(inst, name) == value


@pytest.mark.parametrize(
    ("name", "value", "setting", "question", "answer"),
    [
        ("amplitude_v", 4.0, "LAMP 3,4.00", "LAMP?3", "+4.00"),
        ("offset_v", -0.5, "LOFF 3,-0.50", "LOFF?3", "-0.50"),
        ("positive", 0, "LPOL 3,0", "LPOL?3", "0"),
        ("delay_s", 1e-4, "DLAY 6,0,0.000100000000", "DLAY?6", "0,+0.000100000000"),
        ("width_s", 2e-5, "DLAY 7,6,0.000020000000", "DLAY?7", "6,+0.000020000000"),
        ("prescale", 100, "PRES 3,100", "PRES?3", "100"),
        ("phase", 99, "PHAS 3,99", "PHAS?3", "99"),
    ],
)
def test_settings_of_an_output(name, value, setting, question, answer):
    with expected_protocol(Dg645, [(setting, None), (question, answer)]) as inst:
        setattr(inst.output_EF, name, value)
        assert getattr(inst.output_EF, name) == value
        assert inst.outputs["EF"] is inst.output_EF


@pytest.mark.parametrize(
    ("name", "value"),
    [("amplitude_v", 0.49), ("amplitude_v", 5.01), ("amplitude_v", math.nan), ("delay_s", -1e-9), ("delay_s", math.nan)],
)
def test_illegal_values_of_an_output_are_not_sent(name, value):
    with expected_protocol(Dg645, []) as inst, pytest.raises(ValueError):
        setattr(inst.output_AB, name, value)


@pytest.mark.parametrize(
    ("name", "value"), [("trigger_source", 7), ("burst_count", 0), ("burst_period_s", 1e-8), ("trigger_level_v", 3.6)]
)
def test_illegal_values_are_not_sent(name, value):
    with expected_protocol(Dg645, []) as inst, pytest.raises(ValueError):
        setattr(inst, name, value)


def test_t0_has_no_edges():
    with expected_protocol(Dg645, []) as inst, pytest.raises(ValueError, match="no edges"):
        inst.output_T0.delay_s = 1e-6


def test_an_edge_that_follows_another_is_not_mistaken_for_a_delay():
    with expected_protocol(Dg645, [("DLAY?6", "4,+0.000100000000")]) as inst:
        assert math.isnan(inst.output_EF.delay_s)


def test_identity():
    with expected_protocol(Dg645, [("*IDN?", "Stanford Research Systems,DG645,s/n004025,ver1.00.00E")]) as inst:
        assert inst.identify().serial == "004025"


def test_another_instrument_is_refused():
    with (
        expected_protocol(Dg645, [("*IDN?", "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,1")]) as inst,
        pytest.raises(WrongIdentity),
    ):
        inst.identify()


def test_prepare_drops_old_errors_and_confirms_single_shot():
    with expected_protocol(
        Dg645,
        [OFF, ("*CLS", None), ("LERR?", "111"), NO_ERROR, ("*RST", None), ("TSRC 5", None), ("TSRC?", "5"), NO_ERROR],
    ) as inst:
        inst.prepare()


def test_load_arm_fire():
    with expected_protocol(
        Dg645,
        [*LOAD, ("*STB?", "0"), ("BURC 2000", None), ("BURC?", "2000"), ("*TRG", None), ("*STB?", "6"), ("*STB?", "0"), OFF],
    ) as inst:
        inst.load(PROGRAM)
        inst.arm(2000)
        inst.fire()
        assert inst.busy()
        assert not inst.busy()
        inst.make_safe()


def test_loading_the_same_program_again_leaves_the_outputs_alone():
    again = [*LOAD[:2], *LOAD[-9:]]
    with expected_protocol(Dg645, [*LOAD, *again]) as inst:
        inst.load(PROGRAM)
        inst.load(PROGRAM)


def test_after_a_failed_load_everything_is_loaded_again():
    with expected_protocol(Dg645, [*LOAD, ("TSRC 5", None), ("TSRC?", "1"), *LOAD]) as inst:
        inst.load(PROGRAM)
        with pytest.raises(ReadbackMismatch):
            inst.load(PROGRAM)
        inst.load(PROGRAM)


def test_an_output_without_a_pulse_is_parked():
    pairs = [*LOAD[:4], *level(0, 0.5), *level(1, 2.5), *edges(2, 0, 20e-6), *level(2, 0.5), *edges(4, 0, 0)]
    pairs += [
        *level(3, 0.5),
        *edges(6, 0, 0),
        *level(4, 0.5),
        *edges(8, 0, 0),
        *LOAD[-9:-3],
        ("BURT 0", None),
        ("BURT?", "0"),
        NO_ERROR,
    ]
    with expected_protocol(Dg645, pairs) as inst:
        inst.load(BurstProgram(1_000_000, (SPECTROMETER,), t0_on_first_shot_only=False))


@pytest.mark.fault("W12")
@pytest.mark.parametrize(
    ("question", "wrong"),
    [
        ("TSRC?", "1"),
        ("LAMP?1", "+2.40"),
        ("LPOL?0", "1"),
        ("DLAY?6", "0,+0.000100000010"),
        ("DLAY?7", "0,+0.000020000000"),
        ("BURP?", "+0.001000010"),
    ],
)
def test_a_setting_that_is_not_in_force_is_told(question, wrong):
    asked = [say for say, _ in LOAD].index(question)
    with expected_protocol(Dg645, [*LOAD[:asked], (question, wrong)]) as inst, pytest.raises(ReadbackMismatch):
        inst.load(PROGRAM)


def test_errors_while_loading_are_told():
    with expected_protocol(Dg645, [*LOAD[:-1], ("LERR?", "12"), NO_ERROR]) as inst:
        with pytest.raises(InstrumentError, match="12 Illegal Delay"):
            inst.load(PROGRAM)


def test_nothing_fires_that_was_not_armed():
    with expected_protocol(Dg645, [*LOAD, ("*STB?", "0"), ("BURC 5", None), ("BURC?", "5"), ("*TRG", None), OFF]) as inst:
        with pytest.raises(InstrumentError, match="nothing loaded"):
            inst.arm(5)
        with pytest.raises(InstrumentError, match="not armed"):
            inst.fire()
        inst.load(PROGRAM)
        inst.arm(5)
        inst.fire()
        with pytest.raises(InstrumentError, match="not armed"):
            inst.fire()
        inst.make_safe()


def test_going_safe_disarms():
    with expected_protocol(Dg645, [*LOAD, ("*STB?", "0"), ("BURC 5", None), ("BURC?", "5"), OFF]) as inst:
        inst.load(PROGRAM)
        inst.arm(5)
        inst.make_safe()
        with pytest.raises(InstrumentError, match="not armed"):
            inst.fire()


def test_a_running_burst_is_not_aborted_by_arming():
    with expected_protocol(Dg645, [*LOAD, ("*STB?", "4")]) as inst:
        inst.load(PROGRAM)
        with pytest.raises(InstrumentError, match="still runs"):
            inst.arm(5)


@pytest.mark.parametrize("shots", [0, -1, 2**32])
def test_impossible_bursts_are_refused(shots):
    with expected_protocol(Dg645, []) as inst, pytest.raises(RefusedError):
        inst.arm(shots)


@pytest.mark.parametrize(
    ("period_ns", "outputs", "codes"),
    [
        (99, (), {"period-impossible"}),
        (1_000_000, (LASER, LASER), {"output-twice"}),
        (1_000_000, (PulseOutput("AB", 0, 100, 5.5, high_z=False, positive=True),), {"level-impossible"}),
        (1_000_000, (PulseOutput("AB", 0, 100, 0.9, high_z=True, positive=True),), {"level-impossible"}),
        (1_000_000, (PulseOutput("AB", 0, 100, math.nan, high_z=True, positive=True),), {"level-impossible"}),
        (1_000_000, (PulseOutput("T0", 5, 100, 4.0, high_z=False, positive=True),), {"delay-impossible"}),
        (1_000_000, (PulseOutput("AB", -5, 100, 4.0, high_z=False, positive=True),), {"delay-impossible"}),
        (1_000_000, (PulseOutput("AB", 0, 0, 4.0, high_z=False, positive=True),), {"delay-impossible"}),
        (120_000, (LASER,), {"pulse-outlasts-period"}),
        (120_000, (LASER, STEP, STEP), {"pulse-outlasts-period", "output-twice"}),
    ],
)
def test_impossible_programs_are_refused_with_every_reason(period_ns, outputs, codes):
    with expected_protocol(Dg645, []) as inst, pytest.raises(RefusedError) as refused:
        inst.load(BurstProgram(period_ns, outputs, t0_on_first_shot_only=False))
    assert {reason.code for reason in refused.value.reasons} == codes


@pytest.mark.parametrize(
    ("source", "status", "safe"), [("5", "0", True), ("5", "2", False), ("5", "4", False), ("1", "0", False), ("5", "32", True)]
)
def test_safe_is_single_shot_and_idle(source, status, safe):
    with expected_protocol(Dg645, [("TSRC?", source), ("*STB?", status)]) as inst:
        assert inst.read_safe().safe is safe


def test_the_error_queue_is_emptied():
    with expected_protocol(Dg645, [("LERR?", "10"), ("LERR?", "99"), NO_ERROR]) as inst:
        assert inst.errors() == ["10 Illegal Value", "99"]
