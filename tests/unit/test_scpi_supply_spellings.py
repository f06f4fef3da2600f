"""How programs for single-output supplies of known makers say it: units, channel lists, APPLy, protection, memory."""

import pytest
from scpi_supply_bench import MS, NO_ERROR, Bench


def told(*messages: str, ask: str) -> str:
    bench = Bench()
    bench.write(*messages)
    return bench.ask(ask)


@pytest.mark.parametrize(
    ("message", "voltage_v", "current_a"),
    [
        ("VOLT 5 V", 5.0, 1.03),
        ("VOLT 500mV;CURR 20 mA", 0.5, 0.02),
        ("SOUR:VOLT:LEV:IMM:AMPL 1.5E1V", 15.0, 1.03),
        ("VOLT 5.0,(@1)", 5.0, 1.03),
        ("APPL 20,0.1", 20.0, 0.1),
        ("APPL CH1,20V,100mA", 20.0, 0.1),
        ("APPL 3", 3.0, 1.03),
        ("APPL MAX,DEF", 30.9, 1.03),
        ("CURR 0.1;CURR DEF", 0.0, 1.03),
    ],
)
def test_a_level_in_the_words_of_a_maker(message: str, voltage_v: float, current_a: float) -> None:
    said = told(message, ask="VOLT?;CURR?;:SYST:ERR?").split(";")
    assert [float(said[0]), float(said[1]), said[2]] == [voltage_v, current_a, NO_ERROR]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("VOLT 5 A", -131),
        ("CURR 5 mV", -131),
        ("VOLT 31 V", -222),
        ("VOLT 1,(@2)", -222),
        ("OUTP ON,(@1,2)", -222),
        ("OUTP CH1,ON", -108),
        ("INST CH2", -224),
        ("APPL 40,0.1", -222),
        ("APPL 1,2,3", -108),
        ("APPL", -109),
        ("VOLT:PROT 34", -222),
        ("*SAV 6", -222),
    ],
)
def test_a_level_that_cannot_be_is_refused_and_changes_nothing(message: str, code: int) -> None:
    said = told(message, ask="SYST:ERR?;:VOLT?;CURR?;:OUTP?").split(";")
    assert said[0].startswith(f"{code},")
    assert [float(value) for value in said[1:]] == [0.0, 1.03, 0.0]


def test_measurements_take_a_channel_list_and_power_is_their_product() -> None:
    bench = Bench()
    bench.write("APPL 30,1", "OUTP ON,(@1)")
    bench.run(100 * MS)
    assert float(bench.ask("MEAS:VOLT? (@1)")) == pytest.approx(30.0, abs=0.01)
    assert float(bench.ask("MEAS:POW?")) == pytest.approx(30.0**2 / 60_000, rel=0.05)


def test_the_overvoltage_protection_takes_the_load_to_zero_and_holds_it_there() -> None:
    bench = Bench()
    bench.write("VOLT:PROT 10", "VOLT:PROT:STAT ON", "VOLT 20", "OUTP ON")
    bench.run(100 * MS)
    assert max(voltage_v for _, voltage_v in bench.load.history) <= 10.0
    assert bench.load.voltage_v == 0.0
    assert bench.ask("VOLT:PROT:TRIP?;:OUTP?") == "1;1"
    bench.write("VOLT 5", "VOLT:PROT:CLE")
    bench.run(100 * MS)
    assert bench.load.voltage_v == 5.0
    assert bench.ask("VOLT:PROT:TRIP?") == "0"


def test_a_protection_that_is_off_trips_nothing() -> None:
    bench = Bench()
    bench.write("VOLT:PROT 10", "VOLT 20", "OUTP ON")
    bench.run(100 * MS)
    assert bench.load.voltage_v == 20.0


def test_a_recalled_level_comes_with_the_output_off() -> None:
    bench = Bench()
    bench.write("APPL 12,0.5", "*SAV 2", "APPL 3,0.1", "OUTP ON")
    bench.run(100 * MS)
    bench.write("*RCL 2")
    assert bench.ask("VOLT?;CURR?;:OUTP?") == "+1.20000000E+01;+5.00000000E-01;0"
    assert bench.load.voltage_v == 0.0


def test_programs_that_lock_the_panel_and_write_on_the_display_are_not_refused() -> None:
    said = told(
        "SYST:REM", "SYST:RWL", "SYST:LOC", "SYST:BEEP", "DISP OFF", "DISP:TEXT 'run'", "DISP:TEXT:CLE", ask="SYST:ERR?"
    )
    assert said == NO_ERROR
