"""The FW102C persona, judged by its bytes and by the light behind its filters."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorlabs_line import MS, Line, S

from sim_instruments.filter_wheel import APERTURE, FilterWheel
from sim_instruments.persona import Persona
from sim_instruments.thorlabs_fw102c import FILTERS, Fw102cPersona
from sim_instruments.thorlabs_prompt import UNREAD_AT_MOST, WAITING_AT_MOST

STEP_S = 0.6
LINES = st.sampled_from(
    [*(b"*idn?\r", b"pos?\r", b"pos=1\r", b"pos=4\r", b"pos=7\r"), *(b"speed=0\r", b"pcount=12\r", b"save\r", b"\r", b"\n")]
)


def fw102c(**given: object) -> Line:
    return Line(Fw102cPersona(**given))  # type: ignore[arg-type]


def through(line: Line, t_ns: int | None = None) -> float:
    assert isinstance(line.persona, Fw102cPersona)
    return float(line.persona.wheel.transmission(np.array([line.t_ns if t_ns is None else t_ns]))[0])


def moved(line: Line, command: bytes) -> float:
    """Send a move and take its echo; return how long the prompt lets itself be waited for (s)."""
    assert line.ask(command) == command
    begin_ns = line.t_ns
    assert line.read() == b"> "
    return (line.t_ns - begin_ns) * 1e-9


def test_is_a_persona_and_says_who_it_is() -> None:
    persona: Persona = Fw102cPersona(identity="THORLABS FW102C/FW212C Filter Wheel version 1.04", wire_time=False)
    line = Line(persona)  # type: ignore[arg-type]
    assert line.ask(b"*idn?\r") == b"*idn?\rTHORLABS FW102C/FW212C Filter Wheel version 1.04\r> "
    assert line.read() is None


def test_stands_open_at_power_up() -> None:
    line = fw102c()
    assert through(line) == 1.0
    assert line.ask(b"pos?\r") == b"pos?\r1\r> "


@pytest.mark.parametrize("position", [2, 3, 4, 5, 6])
def test_each_filter_lets_through_what_is_engraved_within_some_per_cent(position: int) -> None:
    line = fw102c()
    moved(line, b"pos=%d\r" % position)
    found = through(line) / FILTERS[position - 1]
    assert found == pytest.approx(1.0, abs=0.15)
    assert found != 1.0


def test_filters_are_off_by_the_serial_number_and_a_hole_is_a_hole() -> None:
    one, again, other = (FilterWheel((1.0, 0.1, 0.01), 6, serial).true for serial in ("A", "A", "B"))
    assert (one == again).all()
    assert one[0] == other[0] == 1.0
    assert (one[1:3] != other[1:3]).all()
    assert (one[3:] == 0).all()


@pytest.mark.parametrize(("position", "places"), [(2, 1), (3, 2), (4, 3), (5, 2), (6, 1)])
def test_it_turns_the_shorter_way_and_prompts_when_it_is_there(position: int, places: int) -> None:
    line = fw102c()
    assert moved(line, b"pos=%d\r" % position) == pytest.approx(places * STEP_S, abs=0.01)
    arrived = through(line)
    line.run(5 * S)
    assert through(line) == arrived
    assert line.ask(b"pos?\r") == b"pos?\r%d\r> " % position


def test_it_turns_slower_at_low_speed() -> None:
    line = fw102c()
    line.ask(b"speed=0\r")
    assert moved(line, b"pos=2\r") == pytest.approx(2 * STEP_S, abs=0.01)


def test_where_it_stands_it_stays_and_prompts_at_once() -> None:
    line = fw102c()
    assert line.ask(b"pos=1\r") == b"pos=1\r> "
    assert through(line) == 1.0


def test_metal_stands_between_the_filters() -> None:
    line = fw102c()
    line.send(b"pos=3\r")
    begin_ns = line.t_ns
    line.run(2 * S)
    grid = np.arange(begin_ns, line.t_ns, MS)
    assert isinstance(line.persona, Fw102cPersona)
    shown = line.persona.wheel.transmission(grid)
    steps = [float(value) for value, before in zip(shown[1:], shown[:-1], strict=True) if value != before]
    assert steps == [0.0, through_filter(line, 2), 0.0, through_filter(line, 3)]
    assert (shown == 0).sum() * MS == pytest.approx(2 * (1 - 2 * APERTURE) * STEP_S * S, rel=0.02)


def through_filter(line: Line, position: int) -> float:
    assert isinstance(line.persona, Fw102cPersona)
    return float(line.persona.wheel.true[position - 1])


def test_what_is_asked_during_a_move_is_answered_after_it() -> None:
    line = fw102c()
    line.send(b"pos=3\rpos?\r")
    assert line.read() == b"pos=3\r"
    begin_ns = line.t_ns
    assert line.read() == b"> "
    assert line.t_ns - begin_ns > 1.1 * S
    assert line.read() == b"pos?\r3\r> "


@pytest.mark.parametrize("line_sent", [b"pos=0", b"pos=7", b"pos=", b"pos=1.0", b"pos=-1", b"speed=2", b"pcount=7", b"pos= 2"])
def test_impossible_values_are_refused_and_turn_nothing(line_sent: bytes) -> None:
    line = fw102c()
    assert line.ask(line_sent + b"\r") == line_sent + b"\rCommand error CMD_ARG_INVALID\r> "
    line.run(2 * S)
    assert through(line) == 1.0


@pytest.mark.parametrize("line_sent", [b"POS?", b"id?", b"pos", b"*IDN?", b"foo=1", b"~1"])
def test_what_is_no_keyword_is_refused(line_sent: bytes) -> None:
    assert fw102c().ask(line_sent + b"\r") == line_sent + b"\rCommand error CMD_NOT_DEFINED\r> "


def test_twelve_filters_make_a_wheel_of_twelve() -> None:
    line = fw102c(filters=[1.0] + [0.5] * 11)
    assert line.ask(b"pcount?\r") == b"pcount?\r12\r> "
    assert moved(line, b"pos=12\r") == pytest.approx(STEP_S, abs=0.01)
    assert through(line) == pytest.approx(0.5, rel=0.15)


def test_its_button_turns_it_on_by_one() -> None:
    line = fw102c()
    assert isinstance(line.persona, Fw102cPersona)
    line.persona.press_button(line.t_ns)
    line.run(S)
    assert line.ask(b"pos?\r") == b"pos?\r2\r> "
    assert through(line) == through_filter(line, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=8), st.integers(1, 9), st.booleans())
def test_answers_do_not_depend_on_how_bytes_and_time_are_cut(lines: list[bytes], width: int, wire_time: bool) -> None:
    data = b"".join(lines)
    whole, cut = (Line(Fw102cPersona(wire_time=wire_time)) for _ in range(2))
    whole.send(data)
    for begin in range(0, len(data), width):
        cut.send(data[begin : begin + width])
    told = whole.everything(40 * S)
    parts: Callable[[], bytes] = lambda: cut.everything(400 * MS)  # noqa: E731 - one at a time
    assert b"".join(parts() for _ in range(100)) == told
    assert through(cut) == through(whole)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_taken_and_it_still_answers(data: bytes) -> None:
    line = fw102c(wire_time=False)
    line.everything(0)
    line.send(data)
    line.everything(60 * S)
    line.send(b"\r")
    line.everything(60 * S)
    assert line.ask(b"pcount?\r") is not None


def test_what_nobody_reads_and_what_comes_too_fast_is_bounded() -> None:
    line = fw102c(wire_time=False)
    line.send(b"*idn?\r" * 2000)
    found = line.everything(60 * S)
    assert 0 < len(found) <= UNREAD_AT_MOST
    assert found.count(b"*idn?\r") <= WAITING_AT_MOST
