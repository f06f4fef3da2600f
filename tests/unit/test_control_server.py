"""Who may say what on the control channel, and who is told what."""

import threading
import time
from collections.abc import Iterator

import pytest
from control_desk import TOKEN, Channel, Wire, eventually, open_channel

from rig.backlog import Backlog
from rig.control import (
    Acknowledge,
    Answer,
    Closing,
    Command,
    CommanderChanged,
    Ended,
    EngineStatus,
    Event,
    Hello,
    Note,
    Off,
    Pause,
    Quit,
    Refused,
    Release,
    Resume,
    RunProgress,
    Start,
    Status,
    Stop,
    Take,
    Welcome,
    encode,
)
from rig.control_client import EngineGone, EngineLine, EngineRefused
from rig.control_server import MAX_LISTENERS

NEED_THE_LEASE: list[Command] = [Start(sequence_toml="", name="a"), Pause(), Resume(), Acknowledge(), Quit()]


@pytest.fixture
def channel() -> Iterator[Channel]:
    with open_channel() as one:
        yield one


def test_whoever_knows_the_token_is_welcomed_and_told_where_the_engine_is(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.say(Hello(token=TOKEN, who="me"))
        welcome, status = wire.event(), wire.event()
    assert isinstance(welcome, Welcome)
    assert (welcome.pid, welcome.who_commands, welcome.you_command) == (4711, "", False)
    assert isinstance(status, EngineStatus)


@pytest.mark.parametrize("command", [*NEED_THE_LEASE, Stop(why="x")], ids=lambda one: one.command)
def test_a_command_reaches_the_engine_with_who_gave_it_and_is_answered_under_its_number(
    channel: Channel, command: Command
) -> None:
    with channel.wire() as wire:
        wire.hello("me", commander=True)
        wire.say(command.model_copy(update={"id": 77}))
        assert wire.next(Answer) == Answer(id=77, ok=True)
    assert channel.desk.taken == [(command.model_copy(update={"id": 77}), "me")]


def test_an_engine_that_refuses_or_breaks_is_still_answered_for(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.hello(commander=True)
        channel.desk.refuse = True
        wire.say(Pause(id=1))
        refused = wire.next(Answer)
        channel.desk.refuse, channel.desk.fail = False, True
        wire.say(Pause(id=2))
        broken = wire.next(Answer)
    assert (refused.id, refused.ok, refused.error.what) == (1, False, "not now")
    assert (broken.id, broken.ok, broken.error.kind) == (2, False, "ZeroDivisionError")


def test_status_comes_before_its_answer_and_names_who_commands(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.hello("chief", commander=True)
        wire.say(Status(id=5))
        status, answer = wire.next(EngineStatus), wire.event()
    assert status.commander == "chief"
    assert answer == Answer(id=5, ok=True)


@pytest.mark.fault("R3")
@pytest.mark.parametrize("command", NEED_THE_LEASE, ids=lambda one: one.command)
def test_the_second_commander_looks_on(channel: Channel, command: Command) -> None:
    with channel.wire() as first, channel.wire() as second:
        assert first.hello("first", commander=True).you_command
        welcome = second.hello("second", commander=True)
        assert (welcome.who_commands, welcome.you_command) == ("first", False)
        second.say(command)
        answer = second.next(Answer)
    assert not answer.ok
    assert "first commands this engine" in answer.error.what
    assert channel.desk.taken == []


@pytest.mark.fault("R3")
def test_stop_and_off_work_for_everybody_who_listens(channel: Channel) -> None:
    with channel.wire() as first, channel.wire() as second:
        first.hello("first", commander=True)
        second.hello("second")
        second.say(Stop(id=1, why="smoke"), Off(id=2, why="fire"))
        assert [second.next(Answer).ok, second.next(Answer).ok] == [True, True]
    assert [(command.command, who) for command, who in channel.desk.taken] == [("stop", "second"), ("off", "second")]


@pytest.mark.fault("R3")
def test_of_many_who_want_to_command_at_once_one_does(channel: Channel) -> None:
    wires = [channel.wire() for _ in range(8)]
    barrier, granted = threading.Barrier(8), list[bool]()

    def race(wire: Wire) -> None:
        wire.hello("racer")
        barrier.wait()
        wire.say(Take(id=1))
        granted.append(wire.next(Answer).ok)

    threads = [threading.Thread(target=race, args=(wire,)) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wire in wires:
        wire.close()
    assert sorted(granted) == [False] * 7 + [True]


def test_command_is_free_again_when_the_commander_is_gone_and_everybody_is_told(channel: Channel) -> None:
    with channel.wire() as second:
        with channel.wire() as first:
            first.hello("first", commander=True)
            second.hello("second")
            second.say(Pause(id=1))
            assert not second.next(Answer).ok
        assert second.next(CommanderChanged).who == ""
        second.say(Pause(id=2))
        assert second.next(CommanderChanged).who == "second"
        assert second.next(Answer).ok


def test_command_taken_by_force_is_told_to_all(channel: Channel) -> None:
    with channel.wire() as first, channel.wire() as second:
        first.hello("first", commander=True)
        second.hello("second")
        second.say(Take(id=1))
        assert not second.next(Answer).ok
        second.say(Take(id=2, force=True))
        assert second.next(Answer).ok
        assert first.next(Note).text == "second takes command from first by force."
        assert first.next(CommanderChanged).who == "second"
        first.say(Pause(id=3))
        assert not first.next(Answer).ok


def test_only_who_commands_can_give_command_back(channel: Channel) -> None:
    with channel.wire() as first, channel.wire() as second:
        first.hello("first", commander=True)
        second.hello("second")
        second.say(Release(id=1))
        assert not second.next(Answer).ok
        first.say(Release(id=2))
        assert first.next(Answer).ok
        assert second.next(CommanderChanged).who == ""


def test_one_listener_too_many_is_told_so_and_the_others_stay(channel: Channel) -> None:
    wires = [channel.wire() for _ in range(MAX_LISTENERS)]
    for wire in wires:
        wire.hello()
    with channel.wire() as extra:
        extra.say(Hello(token=TOKEN, who="extra"))
        assert "16 listeners" in extra.next(Refused).error.what
        assert extra.ended()
    channel.server.publish(Note(text="still here"))
    assert [wire.next(Note).text for wire in wires] == ["still here"] * MAX_LISTENERS
    assert channel.server.listeners == MAX_LISTENERS
    wires[0].close()
    eventually(lambda: channel.server.listeners == MAX_LISTENERS - 1)
    with channel.wire() as extra:
        extra.hello("extra")
    for wire in wires[1:]:
        wire.close()


# --- publishing


def progress(done: int, detail: str = "") -> RunProgress:
    return RunProgress(state="armed", shots_done=done, shots_planned=10**6, detail=detail)


ENDED = Ended(file="f.h5", state="done", exit_code=0)


def test_publishing_to_a_listener_that_does_not_read_takes_no_time_and_loses_no_end(channel: Channel) -> None:
    with channel.wire() as deaf, channel.wire() as other:
        deaf.hello("deaf")
        other.hello("other")
        slowest_s = 0.0
        for number in range(20_000):
            begun = time.perf_counter()
            channel.server.publish(progress(number))
            slowest_s = max(slowest_s, time.perf_counter() - begun)
            if number % 50 == 0:
                channel.server.publish(Note(text="n" * 3000))
        channel.server.publish(ENDED)
        assert other.next(Ended) == ENDED
        assert slowest_s < 0.2
        assert deaf.next(Ended) == ENDED


def test_progress_is_told_in_order_and_the_newest_always_arrives(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.hello()
        for number in range(1, 5001):
            channel.server.publish(progress(number))
        channel.server.publish(ENDED)
        seen: list[int] = []
        while not isinstance(event := wire.event(), Ended):
            assert isinstance(event, RunProgress)
            seen.append(event.shots_done)
    assert seen == sorted(set(seen))
    assert seen[-1] == 5000


def test_who_does_not_read_what_must_be_heard_is_disconnected(channel: Channel) -> None:
    big = ENDED.model_copy(update={"outcome": {"x": "y" * 60_000}})
    with channel.wire() as deaf:
        deaf.hello("deaf", commander=True)
        for _ in range(200):
            channel.server.publish(big)
        eventually(lambda: channel.server.listeners == 0)
        assert channel.server.commander == ""
        with channel.wire() as wire:
            assert wire.hello(commander=True).you_command


def test_an_end_too_long_for_a_line_is_told_without_its_numbers(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.hello()
        channel.server.publish(ENDED.model_copy(update={"outcome": {"x": "y" * 70_000}}))
        ended = wire.next(Ended)
    assert (ended.file, ended.exit_code) == ("f.h5", 0)
    assert "left out" in ended.outcome["note"]


def test_publishing_never_raises(channel: Channel) -> None:
    channel.server.publish("no event")  # type: ignore[arg-type]
    assert channel.server.refusals == {"events that cannot be sent": 1}
    channel.server.close()
    channel.server.publish(ENDED)


def test_everybody_is_told_why_the_engine_ends_and_no_thread_is_left(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.hello()
        channel.server.close("enough")
        assert wire.next(Closing).why == "enough"
        assert wire.ended()
    assert not [thread for thread in threading.enumerate() if thread.name == "control channel"]


def test_an_engine_can_close_the_channel_from_within_a_command(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    def quit_now(command: Command, who: str) -> Answer:
        channel.server.close("quit")
        return Answer(id=0, ok=True)

    monkeypatch.setattr(channel.desk, "submit", quit_now)
    with channel.wire() as wire:
        wire.hello(commander=True)
        wire.say(Quit(id=9))
        assert wire.next(Answer) == Answer(id=9, ok=True)
        assert wire.ended()


# --- the backlog of a listener


def put_all(backlog: Backlog, *events: Event) -> list[bool]:
    return [backlog.put(event, encode(event)) for event in events]


def drained(backlog: Backlog) -> list[Event]:
    events: list[Event] = []
    while (waiting := backlog.take()) is not None:
        events.append(waiting[0])
    return events


def test_of_waiting_progress_only_the_newest_is_kept_at_its_own_place() -> None:
    backlog = Backlog()
    put_all(backlog, progress(1), Note(text="a"), progress(2), ENDED, progress(3))
    assert drained(backlog) == [Note(text="a"), ENDED, progress(3)]


def test_progress_with_words_is_not_replaced() -> None:
    backlog = Backlog()
    put_all(backlog, progress(1, "guard: ready"), progress(2), progress(3))
    assert drained(backlog) == [progress(1, "guard: ready"), progress(3)]


def test_notes_give_way_to_what_must_be_heard_and_how_many_is_told() -> None:
    backlog = Backlog(2000)
    assert all(put_all(backlog, *(Note(text="x" * 100) for _ in range(20)), ENDED))
    events = drained(backlog)
    kept = len(events) - 2
    assert events[-2] == ENDED
    assert events[-1] == Note(text=f"{20 - kept} lines were left out: this listener was too slow for them.")
    assert drained(backlog) == []


def test_no_flood_takes_more_room_than_there_is() -> None:
    backlog = Backlog(10_000)
    for number in range(3000):
        put_all(backlog, progress(number), progress(number, "words"), Note(text="n"), ENDED)
    lines = 0
    while (waiting := backlog.take()) is not None:
        lines += len(waiting[1])
    assert 9_000 < lines <= 10_100  # with the last note


def test_what_must_be_heard_and_does_not_fit_is_refused() -> None:
    backlog = Backlog(2 * len(encode(ENDED)))
    assert put_all(backlog, ENDED, ENDED, ENDED, progress(1)) == [True, True, False, True]
    assert drained(backlog) == [ENDED, ENDED]


# --- the line of a view


def test_a_line_sends_commands_and_hears_events(channel: Channel) -> None:
    with EngineLine.connect(channel.engine, "me", commander=True) as line:
        assert line.welcome.you_command
        assert line.send(Pause()) == Answer(id=1, ok=True)
        channel.server.publish(ENDED)
        assert ENDED in line.events(1.0) or ENDED in list(line.events(0.1))
        assert list(line.events(0.0)) == []
    assert channel.desk.words == ["pause"]


def test_a_line_says_what_the_engine_refuses_in_its_words(channel: Channel) -> None:
    with EngineLine.connect(channel.engine, "me", commander=True) as line:
        channel.desk.refuse = True
        with pytest.raises(EngineRefused, match="not now") as refused:
            line.order(Pause())
    assert refused.value.next_step == "later"


def test_a_line_used_from_many_threads_gives_each_its_own_answer(channel: Channel) -> None:
    answers: list[Answer] = []
    with EngineLine.connect(channel.engine, "me", commander=True) as line:
        threads = [threading.Thread(target=lambda: answers.append(line.send(Pause()))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answer.id for answer in answers) == list(range(1, 21))


def test_a_line_tells_that_the_engine_is_gone_after_all_it_has_said(channel: Channel) -> None:
    with EngineLine.connect(channel.engine, "me") as line:
        channel.server.publish(ENDED)
        channel.server.close("enough")
        heard: list[Event] = []
        with pytest.raises(EngineGone, match="enough"):
            heard.extend(line.events(3.0))
        assert [event for event in heard if not isinstance(event, EngineStatus)] == [ENDED, Closing(why="enough")]
        with pytest.raises(EngineGone):
            line.send(Pause())


def test_an_engine_that_is_not_there_is_said_to_be_gone(channel: Channel) -> None:
    engine = channel.engine
    channel.server.close()
    with pytest.raises(EngineGone, match="engine 4711"):
        EngineLine.connect(engine, "me")
