"""Status of the simulated 2450 as programs poll it: mapped event bits, the summary bits they set, buffers that fill."""

import pytest
from keithley_2450_bench import NO_ERROR, Bench, S

FULL = ("STAT:OPER:MAP 0,4918,4917", "STAT:OPER:ENAB 1", "*SRE 128")


def test_a_sweep_sets_and_clears_the_bit_that_its_events_are_mapped_to() -> None:
    bench = Bench("STAT:OPER:MAP 8,2731,2732", 'TRIG:LOAD "SimpleLoop",5,0.1', "INIT")
    assert bench.ask("STAT:OPER:COND?") == "256"
    bench.run(2 * S)
    assert bench.ask("STAT:OPER:COND?;EVEN?;EVEN?") == "0;256;0"


def test_a_full_buffer_requests_service() -> None:
    bench = Bench(*FULL, 'TRAC:MAKE "ten",10', 'TRIG:LOAD "SimpleLoop",10,0,"ten"', "INIT")
    assert bench.ask("*STB?") == "0"
    assert bench.persona.serial_poll(bench.now_ns) == 0
    bench.run(2 * S)
    assert bench.ask("*STB?") == "192"
    assert bench.persona.serial_poll(bench.now_ns) == 192
    assert bench.ask("STAT:OPER?;:*STB?") == "1;0"
    assert bench.ask("STAT:OPER:COND?") == "1"
    bench.write('TRAC:CLE "ten"')
    assert bench.ask("STAT:OPER:COND?") == "0"


def test_a_questionable_event_sets_both_of_its_summary_bits() -> None:
    bench = Bench("STAT:QUES:MAP 3,-113", "STAT:QUES:ENAB 8", "FOO", "SYST:CLE")
    assert bench.ask("*STB?") == "9"
    assert bench.ask("STAT:QUES?") == "8"


@pytest.mark.parametrize("clears", ["*CLS", "STAT:CLE", "STAT:PRES"])
def test_what_clears_the_event_registers(clears: str) -> None:
    bench = Bench("STAT:OPER:MAP 1,-113", "STAT:OPER:ENAB 2", "FOO", "SYST:CLE", clears)
    assert bench.ask("STAT:OPER?") == "0"
    assert bench.ask("STAT:OPER:ENAB?") == ("0" if clears == "STAT:PRES" else "2")
    assert bench.ask("STAT:OPER:MAP? 1") == "-113,0"


def test_a_reset_takes_the_mapping_away() -> None:
    bench = Bench("STAT:OPER:MAP 0,4918,4917", "*RST")
    assert bench.ask("STAT:OPER:MAP? 0") == "0,0"


@pytest.mark.parametrize(("message", "code"), [("STAT:OPER:MAP 15,2731", -222), ("STAT:OPER:MAP 0", -109)])
def test_a_mapping_that_is_none_is_refused(message: str, code: int) -> None:
    assert Bench(message).ask("SYST:ERR:CODE?") == str(code)


@pytest.mark.parametrize(
    ("kind", "code"), [("INFO1", 2734), ("INFO4", 2737), ("WARN1", 2738), ("WARN3", 2740), ("ERROR1", 2742), ("ERR4", 2745)]
)
def test_each_log_event_of_a_block_has_its_number(kind: str, code: int) -> None:
    bench = Bench("SYST:CLE", f'TRIG:BLOC:LOG:EVEN 1,{kind},"here"', "INIT", "*WAI")
    said = [bench.ask("SYST:EVEN:NEXT?").split(";")[0] for _ in range(2)]
    assert said[1] == f'{code},"here'


def test_a_model_that_fails_says_so_by_its_own_event() -> None:
    bench = Bench(
        "SOUR:LIST:VOLT 0,1", "SOUR:SWE:VOLT:LIST 1,0", "SOUR:CONF:LIST:DEL 'VoltCustomSweepList'", "SYST:CLE", "INIT"
    )
    bench.run(S)
    assert [bench.ask("SYST:EVEN:NEXT?").split(",")[0] for _ in range(3)] == ["2731", "2790", "2730"]


def test_a_reading_past_the_capacity_of_a_buffer_that_fills_once_is_an_error() -> None:
    bench = Bench('TRAC:MAKE "ten",10', "SENS:CURR:NPLC 0.01", "SENS:COUN 10", 'TRAC:TRIG "ten"')
    bench.run(S)
    assert bench.ask("SYST:ERR?") == NO_ERROR
    bench.write("SENS:COUN 1", 'TRAC:TRIG "ten"')
    bench.run(S)
    assert bench.ask("SYST:ERR:CODE?;:TRAC:ACT? 'ten'") == "4915;10"


def test_only_an_empty_buffer_takes_another_fill_mode() -> None:
    bench = Bench('TRAC:MAKE "ten",10', 'TRAC:TRIG "ten"')
    bench.run(S)
    bench.write('TRAC:FILL:MODE CONT,"ten"')
    assert bench.ask('SYST:ERR:CODE?;:TRAC:FILL:MODE? "ten"') == "-221;ONCE"
    bench.write('TRAC:CLE "ten"', 'TRAC:FILL:MODE CONT,"ten"')
    assert bench.ask('SYST:ERR:CODE?;:TRAC:FILL:MODE? "ten"') == "0;CONT"
