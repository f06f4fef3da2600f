"""The PM100D persona, judged by its bytes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pm100d_host import MS, Host

from rig.bench import default_bench
from sim_instruments.persona import Edges, Persona
from sim_instruments.thorlabs_pm100d import Pm100dPersona
from sim_instruments.world import World

NOISE = 0.03  # six times the head's noise
RESULT = 512  # bit of the operation register


def test_is_a_persona_and_answers_after_a_millisecond() -> None:
    persona: Persona = Pm100dPersona(serial="P1", firmware="9.8.7")
    persona.run_until(0)
    persona.receive(b"*IDN?\r\n", 0)
    assert persona.reply_ready_ns(0) == MS
    assert not persona.reply_is_sent
    persona.run_until(MS - 1)
    assert persona.take(100, MS - 1) == (b"", False)
    persona.run_until(MS)
    assert persona.reply_is_sent
    assert persona.take(8, MS) == (b"Thorlabs", False)
    assert persona.take(100, MS) == (b",PM100D,P1,9.8.7\n", True)
    assert persona.reply_ready_ns(MS) is None


def test_on_a_wire_that_takes_its_own_time_it_answers_at_once() -> None:
    persona = Pm100dPersona(wire_time=False)
    persona.receive(b"SYST:VERS?\n", 5)
    assert persona.reply_ready_ns(5) == 5
    assert persona.take(100, 5) == (b"1999.0\n", True)


def test_it_has_no_trigger_input() -> None:
    none = np.empty(0, np.int64)
    with pytest.raises(KeyError):
        Pm100dPersona().receive_edges("EXT", Edges(none, none, 0.0, 5.0))


# --- pulses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["MEAS:ENER?", "READ?", "INIT;FETC?", "meas:scalar:energy?"])
def test_an_answer_comes_with_the_pulse_and_not_before(question: str) -> None:
    host = Host()
    host.write(question)
    host.pulses(30)
    for _ in range(29):
        host.run(MS)
        assert host.persona.reply_ready_ns(host.t_ns) is None
        assert host.read() is None
    host.run(5 * MS)
    ready_ns = host.persona.reply_ready_ns(host.t_ns)
    assert ready_ns == host.t_ns - 4 * MS
    assert float(host.read() or "nan") == pytest.approx(0.4e-6 * host.gain, rel=NOISE)
    assert host.errors() == []


def test_a_measurement_is_not_foretold() -> None:
    host = Host()
    host.write("MEAS:ENER?")
    assert host.persona.reply_ready_ns(host.t_ns) is None
    host.run(2 * MS)
    host.write("*IDN?")
    assert host.persona.reply_ready_ns(host.t_ns) == host.t_ns + MS


def test_a_pulse_from_before_is_not_measured() -> None:
    host = Host()
    host.pulses(10, energy_uj=0.9)
    host.run(50 * MS)
    host.write("INIT")
    host.pulses(30, energy_uj=0.2)
    host.run(40 * MS)
    assert float(host.ask("FETC?")) == pytest.approx(0.2e-6 * host.gain, rel=NOISE)


def test_polling_the_operation_register() -> None:
    host = Host("STAT:OPER:PTR 512;NTR 0")
    assert host.ask("ABOR;:STAT:OPER?") == "0"
    host.send("INIT")
    host.pulses(10)
    assert [host.ask("STAT:OPER?") for _ in range(8)] == ["0"] * 8
    host.run(2 * MS)
    assert [host.ask("STAT:OPER?") for _ in range(2)] == [str(RESULT), "0"]
    assert host.ask("FETC?") == host.ask("FETC?")
    host.send("INIT")
    assert int(host.ask("STAT:OPER:COND?")) & RESULT == 0


def test_there_is_nothing_to_fetch_before_a_measurement_and_after_an_abort() -> None:
    host = Host("FETC?")
    host.measure("MEAS:ENER?", 10)
    host.send("INIT", "ABOR", "FETC?")
    assert host.read() is None
    assert host.errors() == [-230, -230]


def test_a_second_start_is_refused_and_harms_nothing() -> None:
    host = Host("INIT", "INIT")
    host.pulses(5)
    host.run(10 * MS)
    assert float(host.ask("FETC?")) > 0
    assert host.errors() == [-213]


@pytest.mark.parametrize("new", ["*CLS", "ABOR", "*RST", "SENS:AVER 2"])
def test_a_new_message_ends_a_question_that_waits(new: str) -> None:
    host = Host("MEAS:ENER?", new)
    host.pulses(10)
    host.run(20 * MS)
    assert host.read() is None
    assert host.errors() == ([] if new == "*CLS" else [-410])  # *CLS forgets the error of its own arrival


def test_a_question_that_was_interrupted_measures_nothing_any_more() -> None:
    host = Host("READ?", "SENS:AVER 1")
    host.pulses(10)
    host.run(20 * MS)
    host.send("FETC?")
    assert host.read() is None
    assert host.errors() == [-410, -230]


def test_an_interrupted_fetch_leaves_the_measurement_alone() -> None:
    host = Host("INIT", "FETC?")
    assert host.ask("*IDN?").startswith("Thorlabs,PM100D")
    host.pulses(5)
    host.run(10 * MS)
    assert float(host.ask("FETC?")) > 0
    assert host.errors() == [-410]


def test_an_unread_answer_is_lost_on_usb_and_stays_on_a_line() -> None:
    usb, line = Host("*TST?"), Host("*TST?", serial_line=True)
    for host in (usb, line):
        host.send("SYST:VERS?")
    assert [usb.read(), usb.read()] == ["1999.0", None]
    assert usb.errors() == [-410]
    assert [line.read(), line.read(), line.read()] == ["0", "1999.0", None]
    assert line.errors() == []


def test_overload_is_told_and_over_with_the_next_pulse() -> None:
    host = Host()
    assert host.measure("MEAS:ENER?", 10, energy_uj=1.3) == 9.9e37
    assert host.ask("STAT:QUES:COND?") == "512"
    assert host.measure("MEAS:ENER?", 30) < 1e-6
    assert host.ask("STAT:QUES:COND?") == "0"
    assert host.ask("STAT:QUES?") == "512"


def test_pulses_below_the_trigger_level_are_none() -> None:
    host = Host("SENS:PEAK 45", "MEAS:ENER?")
    host.pulses(10, 40, 70)
    host.run(100 * MS)
    assert host.read() is None
    assert host.measure("MEAS:ENER?", 30, energy_uj=0.46) > 0
    host.send("SENS:PEAK DEF")
    assert host.measure("MEAS:ENER?", 30, energy_uj=0.02) == pytest.approx(0.02e-6 * host.gain, rel=NOISE)
    host.send("SENS:ENER:RANG 1E-4", "MEAS:ENER?")
    host.pulses(30)
    host.run(50 * MS)
    assert host.read() is None  # 1 % of 100 uJ


def test_of_a_fast_train_every_25th_pulse_is_measured() -> None:
    host = Host(wire_time=False)
    host.pulses(*range(1, 1001))
    start_ns = host.t_ns
    ready: list[int] = []
    host.write("READ?")
    while host.t_ns - start_ns < 1000 * MS:
        host.run(MS)
        if host.read() is not None:
            ready.append((host.t_ns - start_ns) // MS)
            host.write("READ?")
    assert ready == list(range(1, 1001, 25))


@pytest.mark.parametrize("period_ms", [1, 20, 500])
def test_frequency_is_that_of_all_pulses(period_ms: int) -> None:
    host = Host()
    assert host.measure("MEAS:FREQ?", 5, 5 + period_ms) == pytest.approx(1000 / period_ms, rel=1e-6)


def test_an_average_is_that_of_so_many_pulses() -> None:
    host = Host("SENS:AVER 3", "INIT")
    for energy_uj in (0.2, 0.3):
        host.pulses(30, energy_uj=energy_uj)
        host.run(40 * MS)
    assert int(host.ask("STAT:OPER:COND?")) & RESULT == 0
    host.pulses(30, energy_uj=0.7)
    host.run(40 * MS)
    assert float(host.ask("FETC?")) == pytest.approx(0.4e-6 * host.gain, rel=NOISE)


@pytest.mark.parametrize(
    ("commands", "question", "expected"),
    [
        ("SENS:CORR 10", "MEAS:ENER?", 4e-6),
        ("SENS:CORR -10", "MEAS:ENER?", 0.4e-7),
        ("SENS:ENER:REF 1E-7;REF:STAT 1", "MEAS:ENER?", 0.3e-6),
        ("SENS:ENER:REF 1E-7;REF:STAT 0", "MEAS:ENER?", 0.4e-6),
        ("SENS:CORR:ENER 2E5", "MEAS:ENER?", 0.2e-6),
        ("SENS:CORR:WAV 800", "MEAS:ENER?", 0.4e-6 / (1 + 0.02 * math.log(2))),
        ("SENS:CORR:BEAM 2", "MEAS:EDEN?", 0.4e-6 / (math.pi * 0.1**2)),
        ("", "MEAS:VOLT?", 0.04),
        ("SENS:VOLT:REF 0.01;REF:STAT 1", "MEAS:VOLT?", 0.03),
    ],
)
def test_corrections_and_units(commands: str, question: str, expected: float) -> None:
    host = Host(*([commands] if commands else []))
    assert host.measure(question, 10) == pytest.approx(expected * host.gain, rel=0.05)
    assert host.errors() == []


def test_readings_scatter_by_half_a_percent_around_the_gain() -> None:
    host = Host()
    values = np.array([host.measure("READ?", 30) for _ in range(400)]) * 1e6 / 0.4
    assert values.mean() == pytest.approx(host.gain, rel=1.5e-3)
    assert values.std() == pytest.approx(0.005, rel=0.2)
    assert host.gain != pytest.approx(1.0, abs=1e-3)


def test_at_the_pick_off_of_a_bench_it_sees_the_pulse_that_the_film_gets_less_its_ratio() -> None:
    resource = "USB0::0x1313::0x8078::P0004711::INSTR"
    readings: list[float] = []
    for ratio in ({}, {"pickoff_ratio": 0.05}):
        description = default_bench().description()
        description["energy_meter"] = {"model": "thorlabs-pm100d", "resource": resource, **ratio}
        world = World(description, 1)
        meter = world.personas["energy_meter"]
        meter.receive(b"SENS:CORR:WAV 400;:SENS:ENER:RANG 1E-5;:SENS:PEAK 0.1;:MEAS:ENER?\n", world.now_ns())
        world.beam.passed(np.array([world.now_ns() + 5 * MS]), np.array([40.0]))
        world.advance_to(world.now_ns() + 10 * MS)
        readings.append(float(meter.take(100, world.now_ns())[0]))
    assert readings[1] / readings[0] == pytest.approx(20.0)
    assert readings[0] * 1e6 == pytest.approx(40.0 * world.beam.area_cm2, rel=0.15)


# --- status -----------------------------------------------------------------------------------------------------------


def test_operation_complete_waits_for_the_measurement() -> None:
    host = Host("*CLS", "INIT;*OPC")
    assert host.ask("*ESR?") == "0"
    host.send("*OPC?")
    host.pulses(10)
    host.run(5 * MS)
    assert host.read() is None
    host.run(10 * MS)
    assert host.read() == "1"
    assert host.ask("*ESR?;*OPC?") == "1;1"


def test_wait_holds_its_message_until_the_pulse_or_a_new_message() -> None:
    host = Host("*CLS", "INIT;*WAI;:SENS:AVER 7")
    host.pulses(10)
    host.run(5 * MS)
    assert host.persona.meter.settings.average == 1
    host.run(10 * MS)
    assert host.ask("SENS:AVER?") == "7"
    host.send("INIT;*WAI;:SENS:AVER 9")
    assert host.ask("SENS:AVER?") == "7"
    assert host.errors() == []


def test_the_status_byte_sums_up() -> None:
    host = Host("*CLS", "*ESE 32;*SRE 32", "NONSENSE")
    assert host.ask("*STB?") == str(4 + 32 + 64)  # an error waits, it was a command's, and service is requested
    assert host.ask("*ESR?") == "32"
    assert host.errors() == [-113]
    host.send("STAT:OPER:ENAB 512;PTR 512", "STAT:QUES:ENAB 512")
    assert host.measure("MEAS:ENER?", 10, energy_uj=5.0) == 9.9e37
    assert host.ask("*STB?") == str(128 + 8)
    host.send("STAT:PRES")
    assert host.ask("STAT:OPER:ENAB?;PTR?;NTR?") == "0;32767;0"
    assert host.ask("*STB?") == "0"


def test_transitions_pass_their_filters_only() -> None:
    host = Host("STAT:OPER:PTR 0;NTR 512")
    host.measure("MEAS:ENER?", 10)
    assert host.ask("STAT:OPER?") == "0"
    host.send("ABOR")
    assert host.ask("STAT:OPER?") == str(RESULT)


def test_the_error_queue_holds_ten_and_says_that_there_were_more() -> None:
    host = Host(*["NONSENSE"] * 12)
    assert host.errors() == [-113] * 9 + [-350]
    assert host.ask("SYST:ERR?") == '+0,"No error"'


def test_device_clear_empties_everything_and_keeps_settings() -> None:
    host = Host("SENS:AVER 5", "*IDN?")
    host.write("MEAS:ENER?\nMEAS")
    host.persona.device_clear(host.t_ns)
    host.pulses(*range(5, 200, 5))
    host.run(300 * MS)
    assert host.read() is None
    assert host.ask("SENS:AVER?") == "5"
    assert host.errors() == []


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_pulses_that_are_over_are_forgotten() -> None:
    host = Host()
    for _ in range(20):
        host.pulses(*range(1, 2001))
        host.run(1999 * MS)
    assert host.persona.detector.waiting == 1
    host.run(MS)
    assert host.persona.detector.waiting == 0


def test_a_line_without_end_is_an_overrun_and_the_next_one_is_understood() -> None:
    host = Host()
    for _ in range(100):
        host.persona.receive(b"x" * 999, host.t_ns)
    assert host.persona.held[0] <= 1024
    host.send("", "SENS:AVER 4")
    assert host.ask("SENS:AVER?") == "4"
    assert host.errors() == [-363]


def test_a_flood_of_messages_and_unread_answers_is_bounded() -> None:
    host = Host(serial_line=True)
    for _ in range(5000):
        host.persona.receive(b"*IDN?\n", host.t_ns)
    assert host.persona.held[1] <= 200
    host.run(10_000 * MS)
    for _ in range(100):
        for _ in range(20):
            host.write("*IDN?")
        host.run(100 * MS)
    assert 10_000 < host.persona.held[2] <= 16_384
    while host.read() is not None:
        pass
    assert {-363, -350} <= set(host.errors())
    assert host.ask("*TST?") == "0"


WORDS = st.sampled_from(
    [
        *(b"*IDN?", b"*RST", b"*OPC?", b"*WAI", b"*ESE 17;*ESE?", b"MEAS:ENER?", b"READ?", b"INIT", b"FETC?", b"ABOR"),
        *(b"MEAS:POW", b"CONF ENER", b"CONF:FREQ", b"SENS:CORR:WAV ", b"400", b"1E999", b"-", b"nm", b"MAX", b"ENER:RANG "),
        *(b"#HFF", b"SYST:ERR?", b"STAT:OPER?", b":PTR 512", b"SENS:AVER 3", b"PEAK? DEF", b"SYST:DATE 1,2,3", b"'", b'"'),
        *(b"\n", b"\r\n", b";", b":", b",", b" ", b"?", b"\x00", b"\xff"),
    ]
)
STREAMS = st.lists(st.one_of(WORDS, st.binary(max_size=6)), max_size=40).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 300), max_size=8), st.booleans())
def test_any_bytes_in_any_pieces_give_the_same_answers(stream: bytes, cuts: list[int], serial_line: bool) -> None:
    def talk(pieces: list[bytes]) -> list[bytes]:
        persona = Pm100dPersona(serial_line=serial_line, seed=3)
        persona.detector.witness(np.arange(1, 40) * 7 * MS, np.linspace(0.1, 2.0, 39))
        for piece in pieces:
            persona.receive(piece, 0)
        replies: list[bytes] = []
        for t_ns in range(0, 300 * MS, 10 * MS):
            persona.run_until(t_ns)
            ready_ns = persona.reply_ready_ns(t_ns)
            reply, _ = persona.take(1 << 16, t_ns)
            assert bool(reply) == (ready_ns is not None and ready_ns <= t_ns)
            replies.append(reply)
        return replies

    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = talk([stream])
    assert talk([stream[a:b] for a, b in pairwise(edges)]) == whole
    assert talk([bytes([byte]) for byte in stream]) == whole


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60 * MS), max_size=40))
def test_answers_do_not_depend_on_how_time_is_cut(steps_ns: list[int]) -> None:
    def talk(stops_ns: list[int]) -> list[bytes]:
        persona = Pm100dPersona(serial_line=True, seed=5)
        persona.detector.witness(np.arange(1, 400) * 3 * MS, np.linspace(0.1, 0.9, 399))
        persona.receive(b"SENS:CORR:WAV 400\n" + b"INIT;*WAI;:FETC?\n" * 3 + b"STAT:OPER?\nMEAS:ENER?\n", 0)
        for stop_ns in stops_ns:
            persona.run_until(stop_ns)
        persona.run_until(1500 * MS)
        replies: list[bytes] = []
        while reply := persona.take(1 << 16, 1500 * MS)[0]:
            replies.append(reply)
        return replies

    stops = [int(t) for t in np.cumsum(np.array(steps_ns, np.int64)) if t < 1500 * MS]
    assert talk(stops) == talk([])
