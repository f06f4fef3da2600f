"""The ELL14 persona, judged by its bytes and by the light behind its plate."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorlabs_line import MS, Line, S, ell14

from sim_instruments.attenuator import malus
from sim_instruments.persona import Persona
from sim_instruments.thorlabs_ell14 import PULSES_PER_TURN, UNREAD_AT_MOST, WAITING_AT_MOST, Ell14Persona, Ell14Quirks

WORDS = st.sampled_from(
    [b"0in", b"0gs", b"0gp", b"0ho0", b"0ma00004600", b"0mrFFFFF072", b"0fw", b"0st", b"0sv64", b"0i1", b"1gs", b"\r\n", b"0"]
)


def through(line: Line) -> float:
    return float(line.persona.plate.transmission(np.array([line.t_ns]))[0])  # type: ignore[union-attr]


def test_is_a_persona_and_says_who_it_is() -> None:
    persona: Persona = Ell14Persona(np.random.default_rng(1), serial="12345678", wire_time=False)
    line = Line(persona)  # type: ignore[arg-type]
    assert line.ask(b"0in") == b"0IN0E1234567820231701016800023000\r\n"
    assert line.read() is None


def test_answers_take_their_time_at_9600_baud() -> None:
    slow, fast = ell14(home=False), ell14(home=False, wire_time=False)
    for line in (slow, fast):
        line.ask(b"0in")
    assert slow.t_ns - fast.t_ns == pytest.approx((3 + 35) * 10 / 9600 * S, abs=2 * MS)


def test_its_counter_means_nothing_before_it_is_homed() -> None:
    for seed in (1, 2, 3):
        line = ell14(seed=seed, home=False)
        assert line.ask(b"0gp") == b"0PO00000000\r\n"
        astray = through(line)
        assert line.ask(b"0ho0") == b"0PO00000000\r\n"
        assert through(line) == pytest.approx(1.0, abs=0.02)
        assert astray != pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("direction", [b"0", b"1"])
def test_both_ways_home_end_at_the_same_angle(direction: bytes) -> None:
    line = ell14()
    line.ask(b"0ma00003000")
    assert line.ask(b"0ho" + direction) == b"0PO00000000\r\n"
    assert through(line) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("angle_deg", [0.0, 10.0, 22.5, 30.0, 44.0, 90.0, 200.0])
def test_transmits_what_malus_says(angle_deg: float) -> None:
    ratios: list[float] = []
    pulses = round(angle_deg / 360 * PULSES_PER_TURN)
    for seed in range(200):
        line = ell14(seed=seed)
        for target in (pulses + 800, pulses):  # from greater angles: beyond the play
            line.ask(b"0ma%08X" % target)
        ratios.append(through(line) / float(malus(pulses / PULSES_PER_TURN * 360)))
    if angle_deg % 90:  # where all comes through, more cannot
        assert np.mean(ratios) == pytest.approx(1.0, abs=1e-3)
        assert np.std(ratios) == pytest.approx(0.003, rel=0.25)
    assert max(abs(ratio - 1) for ratio in ratios) < 0.015


def test_half_a_percent_more_when_the_angle_grew() -> None:
    means: list[float] = []
    for detour in (b"00002000", b"00002600"):
        reached: list[float] = []
        for seed in range(300):
            line = ell14(seed=seed)
            line.ask(b"0ma" + detour)
            line.ask(b"0ma00002300")
            reached.append(through(line))
        means.append(float(np.mean(reached)))
    growing, shrinking = means
    assert growing / shrinking - 1 == pytest.approx(0.005, abs=1e-3)


def test_a_move_takes_its_time_and_goes_through_what_lies_between() -> None:
    line = ell14()
    line.send(b"0ma00004600")  # 45 deg: all dark
    line.run(20 * MS)
    begun_ns = line.t_ns
    shown: list[float] = []
    while line.persona.reply_ready_ns(line.t_ns) != line.t_ns and line.t_ns - begun_ns < S:
        shown.append(through(line))
        line.run(MS)
    assert shown == sorted(shown, reverse=True)
    assert 60 < len(set(shown)) < 130  # 45 deg at 430 deg/s last 105 ms
    assert line.read() == b"0PO00004600\r\n"
    assert through(line) < 2e-3


def test_velocity_sets_how_long_a_move_takes() -> None:
    lasted: list[int] = []
    for percent in (b"64", b"32"):
        line = ell14(wire_time=False)
        assert line.ask(b"0sv" + percent) == b"0GS00\r\n"
        begun_ns = line.t_ns
        line.ask(b"0ma00008C00")
        lasted.append(line.t_ns - begun_ns)
    assert lasted[0] == pytest.approx(90 / 430 * S, rel=0.02)
    assert lasted[1] == pytest.approx(2 * lasted[0], rel=0.02)


@pytest.mark.parametrize("command", [b"0gs", b"0gp", b"0in", b"0ma00000000", b"0ho0", b"0sv32"])
def test_busy_during_a_move(command: bytes) -> None:
    line = ell14()
    line.send(b"0ma00011800")
    line.run(100 * MS)
    line.send(command)
    assert line.read() == b"0GS09\r\n"
    assert line.read() == b"0PO00011800\r\n"
    assert line.ask(b"0gv") == b"0GV64\r\n"


def test_some_firmware_says_busy_first() -> None:
    line = ell14(home=False, quirks=Ell14Quirks(settle_pulses=0, busy_first=True))
    assert line.ask(b"0ho0") == b"0GS09\r\n"
    assert line.read() == b"0PO00000000\r\n"


def test_lands_within_its_scatter() -> None:
    landed: set[int] = set()
    for seed in range(60):
        line = ell14(seed=seed, quirks=Ell14Quirks(settle_pulses=2))
        answer = line.ask(b"0ma00004600")
        assert answer is not None
        landed.add(int(answer[3:11], 16) - 0x4600)
    assert landed == {-2, -1, 0, 1, 2}


def test_stops_where_it_is() -> None:
    line = ell14()
    line.send(b"0ma00011800")
    line.run(100 * MS)
    assert line.ask(b"0st") == b"0GS00\r\n"
    stopped = line.ask(b"0gp")
    assert stopped is not None
    assert 0 < int(stopped[3:11], 16) < 0x11800
    line.run(5 * S)
    assert line.ask(b"0gp") == stopped


def test_jogs_by_its_step_and_without_one_until_it_is_stopped() -> None:
    line = ell14()
    assert line.ask(b"0sj00000E38") == b"0GS00\r\n"
    assert line.ask(b"0fw") == b"0PO00000E38\r\n"
    assert line.ask(b"0fw") == b"0PO00001C70\r\n"
    assert line.ask(b"0bw") == b"0PO00000E38\r\n"
    line.ask(b"0sj00000000")
    assert line.ask(b"0fw") == b"0GS00\r\n"
    line.run(3 * S)
    assert line.ask(b"0gs") == b"0GS09\r\n"
    assert line.ask(b"0st") == b"0GS00\r\n"
    turned = line.ask(b"0gp")
    assert turned is not None
    assert int(turned[3:11], 16) / PULSES_PER_TURN * 360 == pytest.approx(3 * 430, rel=0.02)


def test_a_partial_frame_is_forgotten_after_two_seconds() -> None:
    line = ell14()
    line.send(b"0ma0000")
    line.run(1900 * MS)
    line.send(b"4600")
    assert line.read() == b"0PO00004600\r\n"
    line.send(b"0ma0000")
    line.run(2100 * MS)
    assert line.ask(b"0gs") == b"0GS01\r\n"
    assert line.ask(b"0gs") == b"0GS00\r\n"
    assert line.ask(b"0gp") == b"0PO00004600\r\n"


def test_a_changed_address_is_the_only_one_it_answers_to() -> None:
    line = ell14()
    assert line.ask(b"0ca7") == b"7GS00\r\n"
    assert line.ask(b"0gs") is None
    assert line.ask(b"7gp") == b"7PO00000000\r\n"


def test_isolated_it_is_silent_for_its_minutes() -> None:
    line = ell14()
    assert line.ask(b"0is02") == b"0GS00\r\n"
    assert line.ask(b"0gs") is None
    line.run(119 * S)
    line.run(2 * S)
    assert line.ask(b"0gs") == b"0GS06\r\n"
    assert line.ask(b"0gs") == b"0GS00\r\n"


def test_too_hot_it_refuses_to_move_and_says_so() -> None:
    line = ell14()
    line.persona.overheat(line.t_ns)  # type: ignore[union-attr]
    assert line.ask(b"0ma00004600") == b"0GS08\r\n"
    assert line.ask(b"0gp") == b"0PO00000000\r\n"
    line.run(11 * S)
    assert line.ask(b"0ma00004600") == b"0PO00004600\r\n"


def test_a_power_cycle_loses_the_zero_but_not_the_plate() -> None:
    line = ell14()
    line.ask(b"0ma00002300")
    before = through(line)
    line.persona.power_cycle(line.t_ns)  # type: ignore[union-attr]
    assert line.ask(b"0gp") == b"0PO00000000\r\n"
    assert through(line) == pytest.approx(before)


def test_the_home_offset_shifts_where_zero_is() -> None:
    line = ell14()
    assert line.ask(b"0so00004600") == b"0GS00\r\n"
    assert line.ask(b"0ho0") == b"0PO00000000\r\n"
    assert through(line) < 2e-3


def test_zero_and_extinction_are_the_benchs() -> None:
    persona = Ell14Persona(np.random.default_rng(1), zero_deg=22.5, extinction=0.01, quirks=Ell14Quirks(settle_pulses=0))
    line = Line(persona)
    line.ask(b"0ho0")
    assert through(line) == pytest.approx(0.505, rel=0.02)
    line.ask(b"0ma00006900")  # 67.5 deg
    assert through(line) == pytest.approx(0.01, rel=0.02)


# --- any bytes


def stream(chunks: list[bytes]) -> bytes:
    line = ell14(home=False)
    for chunk in chunks:
        line.send(chunk)
    return line.everything(60 * S)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=6), max_size=15).map(b"".join), st.data())
def test_answers_are_the_same_however_the_bytes_are_cut(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    assert stream([data[a:b] for a, b in itertools.pairwise(edges)]) == stream([data])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS | st.binary(max_size=40), st.integers(0, 3 * S)), max_size=15))
def test_no_bytes_at_any_time_break_it(story: list[tuple[bytes, int]]) -> None:
    line = ell14(home=False)
    for data, pause_ns in story:
        line.send(data)
        line.run(pause_ns)
    line.everything(4 * S)
    line.everything(3600 * S)
    line.send(b"\r\n0st\r\n1st")
    line.everything(S)
    assert 0.0009 < through(line) <= 1.0


def test_of_a_flood_only_so_many_commands_are_kept() -> None:
    line = ell14(home=False)
    line.send(b"0gv" * 5000)
    answers = b"".join(line.everything(50 * MS) for _ in range(400))
    assert answers == b"0GV64\r\n" * WAITING_AT_MOST
    assert line.ask(b"0gs") == b"0GS00\r\n"


def test_answers_that_nobody_reads_are_lost_beyond_the_lines_buffer() -> None:
    line = ell14(home=False)
    for _ in range(300):
        line.send(b"0in")
        line.run(S)
    assert UNREAD_AT_MOST - 35 < len(line.everything(S)) <= UNREAD_AT_MOST
    assert line.ask(b"0gs") == b"0GS00\r\n"


def test_a_group_address_is_obeyed_until_the_end_of_the_next_move() -> None:
    line = ell14()
    assert line.ask(b"0gaA") == b"AGS00\r\n"
    assert line.ask(b"Agp0gp") == b"0PO00000000\r\n"
    assert line.read() == b"0PO00000000\r\n"
    moved = line.ask(b"Ama00004600") or b""
    assert moved[:3] == b"0PO"
    assert abs(int(moved[3:11], 16) - 0x4600) <= 2
    assert line.ask(b"0gs") == b"0GS00\r\n"
    line.send(b"Agp")
    assert line.read() is None
