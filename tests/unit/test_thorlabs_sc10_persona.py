"""The SC10 persona, judged by its bytes and by the light that passes its shutter."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorlabs_line import MS, Line, S, sc10

from sim_instruments.persona import Persona
from sim_instruments.shutter import CLOSING_DELAY_NS, CLOSING_NS, LEAKAGE, OPENING_DELAY_NS, OPENING_NS, Blades
from sim_instruments.thorlabs_prompt import UNREAD_AT_MOST, WAITING_AT_MOST
from sim_instruments.thorlabs_sc10 import Sc10Persona

LINES = st.sampled_from(
    [
        b"ens\r",
        b"ens?\r",
        b"id?\r",
        b"mode=2\r",
        b"mode=1\r",
        b"open=20\r",
        b"shut=30\r",
        b"rep=3\r",
        b"closed?\r",
        b"?\r",
        b"\r",
        b"\n",
    ]
)


def through(line: Line, t_ns: int | None = None) -> float:
    assert isinstance(line.persona, Sc10Persona)
    return float(line.persona.blades.transmission(np.array([line.t_ns if t_ns is None else t_ns]))[0])


def times_open(line: Line, duration_ns: int) -> list[int]:
    """For how long (ms) it was half open or more, each time in the next while."""
    begin_ns = line.t_ns
    line.run(duration_ns)
    grid = np.arange(begin_ns, line.t_ns, MS)
    assert isinstance(line.persona, Sc10Persona)
    is_open = np.concatenate([[False], line.persona.blades.transmission(grid) >= 0.5, [False]])
    steps = np.flatnonzero(np.diff(is_open.astype(int)))
    return [int(end - begin) for begin, end in zip(steps[::2], steps[1::2], strict=True)]


def test_is_a_persona_and_says_who_it_is() -> None:
    persona: Persona = Sc10Persona(identity="THORLABS SC10 VERSION 2.00", wire_time=False)
    line = Line(persona)  # type: ignore[arg-type]
    assert line.ask(b"id?\r") == b"id?\rTHORLABS SC10 VERSION 2.00\r> "
    assert line.read() is None


def test_is_closed_and_disabled_in_manual_mode_at_power_up() -> None:
    line = sc10()
    assert through(line) == LEAKAGE
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "
    assert line.ask(b"closed?\r") == b"closed?\r1\r> "
    assert line.ask(b"mode?\r") == b"mode?\r1\r> "


def test_enabling_toggles() -> None:
    line = sc10()
    for expected in (1.0, LEAKAGE, 1.0, LEAKAGE):
        assert line.ask(b"ens\r") == b"ens\r> "
        line.run(20 * MS)
        assert through(line) == expected


def test_blades_take_milliseconds_and_move_linearly() -> None:
    blades = Blades()
    blades.move(0, to_open=True)
    begin_ns, end_ns = OPENING_DELAY_NS, OPENING_DELAY_NS + OPENING_NS
    half = blades.transmission(np.array([begin_ns, (begin_ns + end_ns) // 2, end_ns, 10**12]))
    np.testing.assert_allclose(half, [LEAKAGE, 0.5, 1, 1], atol=1e-3)
    assert [blades.closed(t) for t in (0, begin_ns, begin_ns + MS, end_ns)] == [True, True, False, False]
    blades.move(S, to_open=False)
    assert not blades.closed(S + CLOSING_DELAY_NS + CLOSING_NS - 1)
    assert blades.closed(S + CLOSING_DELAY_NS + CLOSING_NS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 15 * MS), max_size=12))
def test_blades_told_anything_at_any_time_jump_never_and_end_where_told(pauses_ns: list[int]) -> None:
    blades, t_ns, to_open = Blades(), 0, False
    for pause_ns in pauses_ns:
        t_ns, to_open = t_ns + pause_ns, not to_open
        blades.move(t_ns, to_open=to_open)
    grid = np.arange(0, t_ns + 30 * MS, MS // 10)
    shown = blades.transmission(grid)
    assert np.abs(np.diff(shown)).max() <= 0.1 * MS / min(OPENING_NS, CLOSING_NS) + 1e-6
    assert shown[-1] == (1.0 if to_open else LEAKAGE)
    assert blades.rest_ns <= t_ns + 13 * MS


def test_closed_is_said_when_it_has_closed() -> None:
    line = sc10(wire_time=False)
    line.ask(b"ens\r")
    line.run(20 * MS)
    assert line.ask(b"ens\r") == b"ens\r> "
    assert line.ask(b"closed?\r") == b"closed?\r0\r> "
    line.run(10 * MS)
    assert line.ask(b"closed?\r") == b"closed?\r1\r> "


def test_single_mode_opens_once_for_its_time() -> None:
    line = sc10()
    for command in (b"mode=3\r", b"open=40\r"):
        line.ask(command)
    line.ask(b"ens\r")
    assert times_open(line, S) == [pytest.approx(40, abs=4)]
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "


def test_repeat_mode_opens_so_often() -> None:
    line = sc10()
    for command in (b"mode=4\r", b"open=40\r", b"shut=60\r", b"rep=3\r"):
        line.ask(command)
    line.ask(b"ens\r")
    assert times_open(line, S) == [pytest.approx(40, abs=4)] * 3
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "


def test_auto_mode_goes_on_until_it_is_disabled() -> None:
    line = sc10()
    for command in (b"mode=2\r", b"open=50\r", b"shut=50\r"):
        line.ask(command)
    line.ask(b"ens\r")
    assert len(times_open(line, 2 * S)) == pytest.approx(20, abs=1)
    line.ask(b"ens\r")
    line.run(20 * MS)
    assert times_open(line, S) == []


@pytest.mark.parametrize("setting", [b"mode=5\r", b"trig=1\r"])
def test_without_a_cable_to_its_input_it_waits(setting: bytes) -> None:
    line = sc10()
    line.ask(b"mode=3\r")
    line.ask(setting)
    line.ask(b"ens\r")
    assert times_open(line, 2 * S) == []
    assert line.ask(b"ens?\r") == b"ens?\r1\r> "


def test_another_mode_disables() -> None:
    line = sc10()
    line.ask(b"ens\r")
    line.ask(b"mode=3\r")
    line.run(20 * MS)
    assert through(line) == LEAKAGE
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "


def test_a_tripped_interlock_closes_and_keeps_closed() -> None:
    line = sc10()
    line.ask(b"ens\r")
    line.run(20 * MS)
    persona = line.persona
    assert isinstance(persona, Sc10Persona)
    persona.set_interlock(line.t_ns, tripped=True)
    line.run(20 * MS)
    assert through(line) == LEAKAGE
    assert line.ask(b"interlock?\r") == b"interlock?\r1\r> "
    line.ask(b"ens\r")
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "
    persona.set_interlock(line.t_ns, tripped=False)
    line.run(S)
    assert through(line) == LEAKAGE
    line.ask(b"ens\r")
    line.run(20 * MS)
    assert through(line) == 1.0


def test_the_button_at_the_front_does_what_ens_does_without_a_word() -> None:
    line = sc10()
    persona = line.persona
    assert isinstance(persona, Sc10Persona)
    persona.press_enable(line.t_ns)
    assert line.everything(20 * MS) == b""
    assert through(line) == 1.0


def test_recalled_settings_are_those_stored() -> None:
    line = sc10()
    for command in (b"open=77\r", b"save\r", b"open=88\r"):
        line.ask(command)
    assert line.ask(b"resp\r") == b"resp\r> "
    assert line.ask(b"open?\r") == b"open?\r77\r> "


def test_a_line_that_is_too_long_is_no_command() -> None:
    line = sc10()
    answer = line.ask(b"ens" + b" " * 100 + b"\r")
    assert answer is not None
    assert answer.endswith(b"\rCommand error CMD_NOT_DEFINED\r> ")
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "


# --- any bytes


def stream(chunks: list[bytes]) -> bytes:
    line = sc10()
    for chunk in chunks:
        line.send(chunk)
    return line.everything(10 * S)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES | st.binary(max_size=6), max_size=15).map(b"".join), st.data())
def test_answers_are_the_same_however_the_bytes_are_cut(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    assert stream([data[a:b] for a, b in itertools.pairwise(edges)]) == stream([data])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LINES | st.binary(max_size=90), st.integers(0, S)), max_size=15))
def test_no_bytes_at_any_time_break_it(story: list[tuple[bytes, int]]) -> None:
    line = sc10()
    for data, pause_ns in story:
        line.send(data)
        line.run(pause_ns)
    line.everything(4 * S)
    line.send(b"~\rmode=1\r")
    line.everything(S)
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "
    assert through(line) == LEAKAGE


def test_of_a_flood_only_so_many_lines_are_kept() -> None:
    line = sc10()
    line.send(b"rep?\r" * 5000)
    answers = b"".join(line.everything(50 * MS) for _ in range(600))
    assert answers == b"rep?\r1\r> " * WAITING_AT_MOST
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "


def test_a_line_without_end_is_not_kept_in_full() -> None:
    line = sc10()
    line.send(b"x" * 100_000)
    line.run(200 * S)
    answer = line.ask(b"\r")
    assert answer is not None
    assert len(answer) < 200


def test_answers_that_nobody_reads_are_lost_beyond_the_lines_buffer() -> None:
    line = sc10()
    for _ in range(300):
        line.send(b"id?\r")
        line.run(S)
    assert UNREAD_AT_MOST - 35 < len(line.everything(S)) <= UNREAD_AT_MOST
    assert line.ask(b"ens?\r") == b"ens?\r0\r> "
