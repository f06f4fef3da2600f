"""The simulated plain supply as the host and the load see it: bytes, errors, the walk to a level, the current limit."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scpi_supply_bench import MS, Bench

from sim_instruments.persona import Edges, Persona
from sim_instruments.scpi_supply import IDENTITY, KNOWINGLY_ABSENT

PAGE = Path(__file__).parents[2] / "docs" / "instruments" / "scpi-supply.md"
WALK_MS = 80


@pytest.fixture
def bench() -> Bench:
    return Bench()


def on(bench: Bench, voltage_v: float, limit_a: float = 1e-3) -> None:
    bench.write(f"VOLT {voltage_v:g};CURR {limit_a:g}", "OUTP ON")
    bench.run(WALK_MS * MS)


# --- words


def test_is_a_persona(bench: Bench) -> None:
    persona: Persona = bench.persona
    assert persona.reply_ready_ns(0) is None
    assert bench.ask("*idn?") == IDENTITY


@pytest.mark.parametrize(
    ("setting", "question", "answer"),
    [
        ("VOLT 20", "VOLT?", "+2.00000000E+01"),
        (":source:VOLTAGE:level:IMM:AMPL 20.00049", "SOUR:VOLT?", "+2.00000000E+01"),
        ("SOUR1:VOLT MAX", "VOLT?", "+3.09000000E+01"),
        ("CURR 0.00101", "curr:lev?", "+1.00000000E-03"),
        ("CURR MIN", "CURR?", "+0.00000000E+00"),
        ("VOLT 3", "VOLT? MAX", "+3.09000000E+01"),
        ("CURR 0.5", "CURR? MIN", "+0.00000000E+00"),
        ("OUTP on", "OUTP?", "1"),
        ("OUTPUT:STATE 0", ":OUTPut:STATe?", "0"),
        ("*ESE 17;*SRE 3", "*ESE?;*SRE?", "17;3"),
        ("VOLT 5;OUTP 1;*RST", "VOLT?;CURR?;OUTP?", "+0.00000000E+00;+1.03000000E+00;0"),
    ],
)
def test_settings_and_what_is_read_back(bench: Bench, setting: str, question: str, answer: str) -> None:
    bench.write(setting)
    assert bench.ask(question) == answer
    assert bench.errors() == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("VOLT 30.901", -222),
        ("VOLT -0.001", -222),
        ("CURR 1.04", -222),
        ("VOLT", -109),
        ("VOLT 1,2", -108),
        ("VOLT abc", -224),
        ("OUTP 2", -222),
        ("VOLT? 5", -128),
        ("VOLTS 5", -113),
        ("MEAS:VOLT 5", -113),
        ("*IDN? 1", -108),
        ("VOLT\x07 5", -101),
    ],
)
def test_what_is_refused_with_its_code_and_changes_nothing(bench: Bench, message: str, code: int) -> None:
    bench.write("VOLT 5;CURR 0.5", message)
    assert bench.silent()
    assert bench.errors() == [code]
    assert bench.ask("VOLT?;CURR?;OUTP?") == "+5.00000000E+00;+5.00000000E-01;0"


def test_an_error_ends_its_message_and_keeps_what_came_before(bench: Bench) -> None:
    assert bench.ask("VOLT 4;VOLT?;VOLT 99;VOLT 7") == "+4.00000000E+00"
    assert bench.ask("VOLT?") == "+4.00000000E+00"
    assert bench.errors() == [-222]


def test_status_tells_errors(bench: Bench) -> None:
    assert bench.ask("*ESR?") == "128"
    bench.write("*ESE 48", "VOLT 99", "FOO")
    assert bench.ask("*STB?") == "36"
    assert bench.ask("*ESR?") == "48"
    bench.write("*CLS")
    assert bench.ask("*STB?;*ESR?") == "0;0"
    assert bench.errors() == []


def test_the_error_queue_is_bounded(bench: Bench) -> None:
    bench.write(*["FOO"] * 30)
    assert bench.errors() == [-113] * 19 + [-350]


# --- bytes


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_segmentation_gives_the_same(data: st.DataObject) -> None:
    stream = b"VOLT 12;CURR 0.1\r\nOUTP ON\n\n*IDN?;:VOLT?\nFOO\nSYST:ERR?\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1))))
    bench = Bench()
    for start, end in pairwise([0, *cuts, len(stream)]):
        bench.send(stream[start:end])
    assert [bench.read() for _ in range(2)] == [f"{IDENTITY};+1.20000000E+01", '-113,"Undefined header"']
    bench.run(WALK_MS * MS)
    assert bench.load.voltage_v == 12.0


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_no_bytes_upset_it(data: bytes) -> None:
    bench = Bench()
    bench.send(data)
    bench.run(5_000 * MS)
    while not bench.silent():
        bench.persona.take(1000, bench.now_ns)
    bench.send(b"\n")
    bench.run(100 * MS)
    bench.write("*CLS", "OUTP OFF")
    while not bench.silent():
        bench.persona.take(1000, bench.now_ns)
    assert bench.ask("*IDN?") == IDENTITY
    assert bench.load.voltage_v == 0.0


@pytest.mark.parametrize("piece", [5000, 700, 100_000])
def test_a_message_without_end_is_dropped_and_told_once(bench: Bench, piece: int) -> None:
    for _ in range(3 + 20_000 // piece):
        bench.send(b"x" * piece)
    bench.send(b"VOLT 9\n")
    bench.run(10 * MS)
    assert bench.errors() == [-363]
    assert bench.ask("VOLT?") == "+0.00000000E+00"


def test_a_flood_of_messages_is_bounded(bench: Bench) -> None:
    bench.send(b"*IDN?\n" * 5000)
    bench.run(10_000 * MS)
    replies = 0
    while not bench.silent():
        assert bench.read() == IDENTITY
        replies += 1
    assert replies == 256
    assert set(bench.errors()) == {-363, -350}


def test_an_unread_reply_is_lost_to_the_next_message_only_where_messages_have_an_end() -> None:
    line, bus = Bench(), Bench(has_end=True)
    for bench in (line, bus):
        bench.write("*IDN?", "VOLT?")
    assert [line.read(), line.read()] == [IDENTITY, "+0.00000000E+00"]
    assert line.errors() == []
    assert bus.read() == "+0.00000000E+00"
    assert bus.errors() == [-410]


def test_a_reply_comes_in_pieces_of_any_size(bench: Bench) -> None:
    bench.write("*IDN?")
    pieces = [bench.persona.take(7, bench.now_ns) for _ in range(6)]
    assert b"".join(data for data, _ in pieces) == IDENTITY.encode() + b"\n"
    assert [end for _, end in pieces] == [False] * 5 + [True]


def test_device_clear_forgets_messages_and_replies_and_leaves_the_output(bench: Bench) -> None:
    on(bench, 10.0)
    bench.write("*IDN?")
    bench.send(b"VOLT 3\nVOL")
    bench.persona.device_clear(bench.now_ns)
    bench.run(WALK_MS * MS)
    assert bench.silent()
    assert bench.load.voltage_v == 10.0
    assert bench.ask("VOLT?") == "+1.00000000E+01"


# --- the output


def test_a_level_is_walked_to_and_reached_exactly(bench: Bench) -> None:
    bench.write("VOLT 20", "OUTP ON")
    begin_ns = bench.now_ns
    bench.run(WALK_MS * MS)
    voltages = [v for _, v in bench.load.history]
    assert voltages == sorted(voltages)
    assert voltages[-1] == 20.0
    risen_ns = next(t for t, v in bench.load.history if v >= 20.0 * (1 - np.exp(-1)))
    assert risen_ns - begin_ns == pytest.approx(5 * MS, abs=2 * MS)
    bench.write("VOLT 4")
    bench.run(WALK_MS * MS)
    fall = [v for _, v in bench.load.history][len(voltages) :]
    assert fall == sorted(fall, reverse=True)
    assert fall[-1] == 4.0


def test_off_acts_at_once_and_the_next_on_starts_from_zero(bench: Bench) -> None:
    on(bench, 20.0)
    bench.send(b"OUTP OFF\n")
    bench.run(MS)
    assert bench.load.history[-1] == (bench.now_ns, 0.0)
    before = len(bench.load.history)
    bench.write("OUTP ON")
    bench.run(WALK_MS * MS)
    again = [v for _, v in bench.load.history[before:]]
    assert 0 < again[0] < 3.0
    assert again[-1] == 20.0


def test_off_during_a_walk_ends_it(bench: Bench) -> None:
    bench.write("VOLT 20", "OUTP ON")
    assert 0 < bench.load.voltage_v < 20
    bench.write("OUTP OFF")
    bench.run(WALK_MS * MS)
    assert bench.load.voltage_v == 0.0
    bench.run(WALK_MS * MS)
    assert bench.load.voltage_v == 0.0


def test_the_walk_does_not_depend_on_how_time_is_cut() -> None:
    histories: list[list[tuple[int, float]]] = []
    for part_ns in (MS // 3, 80 * MS):
        bench = Bench()
        bench.send(b"VOLT 20;OUTP ON\n")
        while bench.now_ns < WALK_MS * MS:
            bench.run(min(part_ns, WALK_MS * MS - bench.now_ns))
        histories.append(bench.load.history)
    assert histories[0] == histories[1]


def test_the_current_limit_holds_the_voltage_back(bench: Bench) -> None:
    bench.load.resistance_ohm = 100.0
    on(bench, 20.0)
    assert bench.load.voltage_v == pytest.approx(0.1, rel=1e-6)
    assert float(bench.ask("MEAS:CURR?")) == pytest.approx(1e-3, abs=2e-5)
    assert float(bench.ask("MEAS?")) == pytest.approx(0.1, abs=5e-3)
    bench.write("CURR 0.01")
    assert bench.load.voltage_v == pytest.approx(1.0, rel=1e-6)


def test_a_load_that_changes_is_regulated_at_that_moment(bench: Bench) -> None:
    on(bench, 20.0)
    bench.load.resistance_ohm = 1000.0
    bench.persona.load_changed(bench.now_ns)
    assert bench.load.history[-1] == (bench.now_ns, pytest.approx(1.0, rel=1e-6))
    bench.load.resistance_ohm = 60_000.0
    bench.persona.load_changed(bench.now_ns)
    assert bench.load.voltage_v == 20.0


def test_read_back_is_in_steps_and_reading_does_not_switch_on(bench: Bench) -> None:
    on(bench, 20.0)
    for _ in range(20):
        voltage, current = float(bench.ask("MEAS:VOLT?")), float(bench.ask("MEAS:CURR?"))
        assert voltage == pytest.approx(20.0, abs=6e-3)
        assert current == pytest.approx(20 / 60_000, abs=2e-5)
        for value, step in ((voltage, 1e-3), (current, 1e-5)):
            assert value / step == pytest.approx(round(value / step), abs=1e-6)
    bench.write("OUTP OFF")
    assert float(bench.ask("MEAS:VOLT?")) == pytest.approx(0.0, abs=6e-3)
    assert bench.load.voltage_v == 0.0


def test_a_measurement_takes_its_time_and_later_messages_wait(bench: Bench) -> None:
    bench.send(b"MEAS:VOLT?\nVOLT 9\n")
    bench.run(11 * MS)
    assert not bench.silent()
    assert bench.persona.output.setting_v == 0.0
    bench.run(MS)
    assert bench.persona.output.setting_v == 9.0


def test_edges_end_at_the_case(bench: Bench) -> None:
    on(bench, 20.0)
    times = np.array([bench.now_ns], dtype=np.int64)
    bench.persona.receive_edges("trigger_link_1", Edges(times, times + 20_000, 0.0, 5.0))
    bench.run(WALK_MS * MS)
    assert bench.load.voltage_v == 20.0


# --- the page


def rows_of_the_page() -> list[tuple[str, str, str]]:
    cells = [
        line.strip("| \n").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    return [(command.split("`")[1], example.strip("`"), there) for command, example, there in cells]


@pytest.mark.parametrize(("command", "example", "there"), rows_of_the_page())
def test_the_page_says_what_the_instrument_knows(bench: Bench, command: str, example: str, there: str) -> None:
    bench.write(example)
    bench.run(20 * MS)
    while not bench.silent():
        bench.read()
    code = {"yes": [], "no": [-113]}[there.partition(":")[0]]
    assert bench.errors() == code
    if code:
        assert there == f"no: {KNOWINGLY_ABSENT[command]}"


def test_what_is_absent_is_on_the_page() -> None:
    assert {command for command, _, there in rows_of_the_page() if there != "yes"} == set(KNOWINGLY_ABSENT)
