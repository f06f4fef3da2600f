"""How fast time runs on a served bench."""

import time
from collections.abc import Generator

import pytest
from server_host import Client, client, description

from sim_instruments.pace import EARLY_NS, RealPace, SteppedPace
from sim_instruments.server import BUSY_TICK_NS, IDLE_TICK_NS, BenchServer
from sim_instruments.world import START_NS

US, MS, S = 1_000, 1_000_000, 1_000_000_000


def test_real_time_runs_with_the_computer_and_from_its_start() -> None:
    before_ns = time.monotonic_ns()
    pace = RealPace(START_NS)
    now_ns = pace.now_ns()
    spent_ns = time.monotonic_ns() - before_ns
    assert START_NS <= now_ns <= START_NS + spent_ns


def test_in_real_time_one_listens_until_something_is_due() -> None:
    pace = RealPace(START_NS)
    until_ns = pace.now_ns() + 10 * S
    assert 9.0 < pace.patience_s(until_ns) <= 10.0
    assert pace.patience_s(pace.now_ns() - S) == 0.0
    assert pace.early_ns == EARLY_NS > 0


def test_stepped_time_stands_still_until_it_is_moved_and_never_goes_back() -> None:
    pace = SteppedPace(5)
    assert (pace.now_ns(), pace.patience_s(10 * S)) == (5, 0.0)
    pace.advance_to(70)
    pace.advance_to(30)
    assert pace.now_ns() == 70


# --- a server on stepped time


@pytest.fixture
def pace() -> SteppedPace:
    return SteppedPace(START_NS)


@pytest.fixture
def server(pace: SteppedPace) -> Generator[BenchServer]:
    server = BenchServer(description(), seed=1, pace=pace)
    yield server
    server.close()


def ask(server: BenchServer, one: Client, question: bytes) -> None:
    """Send, and turn until it has been heard."""
    heard = sum(other.received_bytes for other in server.clients("laser_trigger"))
    one.send(question)
    while sum(other.received_bytes for other in server.clients("laser_trigger")) < heard + len(question):
        server.turn()


def test_a_server_whose_time_stands_still_answers_what_takes_no_time(server: BenchServer) -> None:
    with client(server, "laser_trigger") as one:
        ask(server, one, b"BURC 12;BURC?\n")
        assert one.line() == b"12"
    assert server.world.now_ns() == START_NS


def test_pulses_run_only_as_far_as_time_is_let_pass(server: BenchServer, pace: SteppedPace) -> None:
    with client(server, "laser_trigger") as one:
        ask(server, one, b"TRAT 1000;BURM 1;BURC 40;BURP 1E-3;TSRC 5\n*TRG\n")
        for _ in range(100):
            server.turn()
        assert server.world.pulses_carried < 10  # of the first cycle at most
        pace.advance_to(START_NS + 20 * MS)
        server.turn()
        half = server.world.pulses_carried
        pace.advance_to(START_NS + S)
        server.turn()
        assert 0 < half < server.world.pulses_carried
        assert server.world.now_ns() == START_NS + S


def test_it_wants_to_look_every_millisecond_for_a_second_after_a_word_and_then_less_often(
    server: BenchServer, pace: SteppedPace
) -> None:
    """An answer that the next pulse brings must not be a tick of 20 ms late, whatever the question looked like."""
    server.turn()
    assert server.wake_ns - pace.now_ns() == IDLE_TICK_NS
    with client(server, "laser_trigger") as one:
        ask(server, one, b"BURC 12\n")
        assert server.wake_ns - pace.now_ns() == BUSY_TICK_NS
        pace.advance_to(pace.now_ns() + 999 * MS)
        server.turn()
        assert server.wake_ns - pace.now_ns() == BUSY_TICK_NS
        pace.advance_to(pace.now_ns() + MS)
        server.turn()
        assert server.wake_ns - pace.now_ns() == IDLE_TICK_NS


def test_an_answer_is_sent_at_the_very_time_that_was_foretold(server: BenchServer, pace: SteppedPace) -> None:
    with client(server, "laser_trigger") as one:
        ask(server, one, b"*CAL?\n")
        due_ns = server.world.personas["laser_trigger"].reply_ready_ns(pace.now_ns())
        assert due_ns is not None
        assert due_ns > pace.now_ns()
        pace.advance_to(due_ns - 1)
        server.turn()
        assert server.wake_ns == due_ns
        assert one.quiet(0.01)
        pace.advance_to(due_ns)
        server.turn()
        assert one.line() == b"0"


def test_what_stands_in_an_instrument_s_place_hears_and_answers_for_it(server: BenchServer) -> None:
    other = BenchServer(description(), seed=2)
    try:
        server.rewire("laser_trigger", other.world.personas["voltage_source"])
        with client(server, "laser_trigger") as one:
            ask(server, one, b"*IDN?\n")
            assert one.line().startswith(b"KEITHLEY")
    finally:
        other.close()
