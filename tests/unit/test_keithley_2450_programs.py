"""What public programs for the 2450 send, beyond what the maker's tables list; each test is one habit."""

import pytest
from keithley_2450_bench import NO_ERROR, Bench, S


def test_a_dual_sweep_takes_its_stop_level_once() -> None:
    bench = Bench("SENS:CURR:NPLC 0.01", "SOUR:SWE:VOLT:LIN 0,2,3,0,1,BEST,OFF,ON", "INIT", "*WAI")
    bench.run(S)
    assert bench.ask('SOUR:CONF:LIST:SIZE? "VoltLinearSweepList"') == "5"
    levels = [round(float(level)) for level in bench.ask('TRAC:DATA? 1,5,"defbuffer1",SOUR').split(",")]
    assert levels == [0, 1, 2, 1, 0]


def test_a_dual_sweep_of_two_hours_is_taken() -> None:
    bench = Bench('SOUR:SWE:VOLT:LIN 0,1,75000,0,1,FIXED,ON,ON,"defbuffer1"')
    assert bench.ask('SYST:ERR?;:SOUR:CONF:LIST:SIZE? "VoltLinearSweepList"') == f"{NO_ERROR};149999"


@pytest.mark.parametrize(("count", "readings"), [("", 1), (",4", 4), (",AUTO", 7)])
def test_measure_or_digitize_is_the_measure_block_of_newer_firmware(count: str, readings: int) -> None:
    bench = Bench("SENS:CURR:NPLC 0.01", "SENS:COUN 7", "TRIG:LOAD 'EMPTY'", "TRIG:BLOC:BUFF:CLEAR 1")
    bench.write(f"TRIG:BLOC:MDIG 2, 'defbuffer1'{count}", "INIT", "*WAI")
    bench.run(S)
    assert bench.ask("SYST:ERR?;:TRAC:ACT?") == f"{NO_ERROR};{readings}"


@pytest.mark.parametrize(
    ("function", "unit", "value", "told"),
    [("CURR", "OHM", 60_000.0, "Ohm"), ("CURR", "WATT", 6e4**-1 * 100, "Watt DC"), ("VOLT", "OHM", 60_000.0, "Ohm")],
)
def test_a_reading_in_another_unit(function: str, unit: str, value: float, told: str) -> None:
    bench = Bench(f'SENS:FUNC "{function}"', f"SENS:{function}:UNIT {unit}", "SOUR:VOLT:ILIM 1", "SOUR:VOLT 10", "OUTP ON")
    reading, said = bench.ask('READ? "defbuffer1",READ,UNIT').split(",")
    assert (float(reading), said) == (pytest.approx(value, rel=0.01), told)
    bench.write(f"SENS:{function}:UNIT {'AMP' if function == 'CURR' else 'VOLT'}")
    assert bench.ask('READ? "defbuffer1",UNIT') == {"CURR": "Amp DC", "VOLT": "Volt DC"}[function]


def test_a_unit_of_the_other_function_is_refused() -> None:
    assert Bench("SENS:CURR:UNIT VOLT").ask("SYST:ERR:CODE?") == "-224"


def test_programs_that_write_on_the_screen_find_one() -> None:
    bench = Bench("DISP:SCR SWIPE_USER", 'DISP:USER1:TEXT "Batch A122"', 'DISP:BUFF:ACT "defbuffer2"', "DISP:CURR:DIG 4")
    assert bench.ask("SYST:ERR?;:DISP:BUFF:ACT?;:DISP:CURR:DIG?") == f"{NO_ERROR};defbuffer2;4"


@pytest.mark.parametrize(
    ("message", "code"),
    [(f'DISP:USER1:TEXT "{"x" * 21}"', -223), ('DISP:USER3:TEXT "x"', -114), ("DISP:CURR:DIG 7", -222), ("DISP:SCR", -109)],
)
def test_what_the_screen_cannot_show_is_refused(message: str, code: int) -> None:
    assert Bench(message).ask("SYST:ERR:CODE?") == str(code)
