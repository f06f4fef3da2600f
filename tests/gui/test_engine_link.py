"""The window's end of the engine: what it tells, and that a Stop waits for nothing."""

import time
from collections.abc import Generator
from pathlib import Path

import pytest
from engine_stub import EngineStub, stub_engine
from pytestqt.qtbot import QtBot

from drivers.clock import MonotonicClock
from gui.engine_link import EngineLink
from gui.engine_process import EngineChoice
from rig.control import (
    Answer,
    Begun,
    Ended,
    EngineStatus,
    ErrorWords,
    HardwareWords,
    Note,
    Pause,
    Refused,
    RunProgress,
    Start,
    Take,
)


@pytest.fixture
def stub() -> Generator[EngineStub]:
    with stub_engine() as engine:
        yield engine


@pytest.fixture
def link(qtbot: QtBot, stub: EngineStub) -> Generator[EngineLink]:
    """A link that is attached and knows the engine's state."""
    one = EngineLink()
    with qtbot.waitSignal(one.status_changed, timeout=5000):
        one.attach(stub.file)
    yield one
    one.close()


def begun() -> Begun:
    return Begun(
        title="t",
        sample="s",
        measurement="on_off",
        mode="gated",
        file="/r.h5",
        shots_planned=100,
        duration_s=1.0,
        simulated=True,
    )


def start(name: str = "a.toml") -> Start:
    return Start(sequence_toml="x = 1", name=name)


def test_what_the_engine_says_comes_in_order_in_the_thread_of_the_window(
    qtbot: QtBot, stub: EngineStub, link: EngineLink
) -> None:
    heard: list[object] = []
    link.said.connect(heard.append)
    assert stub.server is not None
    for number in range(100):
        stub.server.publish(Note(text=str(number)))
    qtbot.waitUntil(lambda: sum(isinstance(one, Note) for one in heard) == 100, timeout=5000)
    assert [one.text for one in heard if isinstance(one, Note)] == [str(number) for number in range(100)]


def test_the_state_follows_a_run_between_two_answers_about_it(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    states: list[tuple[str, int]] = []
    link.status_changed.connect(lambda status: states.append((status.state, status.shots_done)))
    assert stub.server is not None
    stub.state = "running"
    stub.server.publish(begun())
    stub.server.publish(RunProgress(state="collecting", shots_done=7, shots_planned=100, left_s=3.0))
    qtbot.waitUntil(lambda: ("running", 7) in states, timeout=3000)
    assert link.runs
    stub.state = "paused"
    stub.server.publish(RunProgress(state="paused, everything off", shots_done=8, shots_planned=100))
    qtbot.waitUntil(lambda: ("paused", 8) in states, timeout=3000)


def test_a_run_that_ended_without_the_proof_that_all_is_off_is_latched_at_once(
    qtbot: QtBot, stub: EngineStub, link: EngineLink
) -> None:
    assert stub.server is not None
    states: list[str] = []
    link.status_changed.connect(lambda status: states.append(status.state))
    stub.state = "latched"
    off = HardwareWords(role="shutter", confirmation="SENT", detail="no answer")
    stub.server.publish(Ended(file="/r.h5", state="done", exit_code=5, hardware=(off,)))
    qtbot.waitUntil(lambda: states != [], timeout=3000)
    assert states[0] == "latched"


def test_the_answer_to_a_command_comes_to_who_sent_it(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    stub.refusal = "not now"
    answers: list[Answer] = []
    with qtbot.assertNotEmitted(link.refused, wait=200):
        link.send(Pause(), answers.append)
        qtbot.waitUntil(lambda: answers != [], timeout=3000)
    assert not answers[0].ok
    assert answers[0].error is not None
    assert answers[0].error.what == "not now"


def test_a_refusal_that_nobody_waits_for_is_told_to_all(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    stub.refusal = "not now"
    with qtbot.waitSignal(link.refused, timeout=3000) as told:
        link.send(Pause())
    assert told.args is not None
    assert told.args[0].what == "not now"


def test_a_run_that_could_not_begin_is_told(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    assert stub.server is not None
    with qtbot.waitSignal(link.refused, timeout=3000) as told:
        stub.server.publish(Refused(error=ErrorWords(kind="InstrumentError", what="no instrument")))
    assert told.args is not None
    assert told.args[0].what == "no instrument"


def test_without_an_engine_a_command_is_refused_in_words(qtbot: QtBot) -> None:
    link = EngineLink()
    with qtbot.waitSignal(link.refused, timeout=1000) as told:
        link.send(Pause())
    assert told.args is not None
    assert "No engine" in told.args[0].what


# --- stop


def test_a_stop_overtakes_a_start_that_the_engine_has_not_answered(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    """The engine compiles; two more starts wait behind that one. None of them may run after the Stop."""
    stub.slow_start.clear()
    answers: list[Answer] = []
    for name in ("a.toml", "b.toml", "c.toml"):
        link.send(start(name), answers.append)
    MonotonicClock().sleep(0.1)
    link.stop("test")
    stub.slow_start.set()
    qtbot.waitUntil(lambda: len(answers) == 3, timeout=5000)
    qtbot.waitUntil(lambda: "stop" in stub.words and stub.words.index("start") < len(stub.words) - 1, timeout=3000)
    assert stub.words.count("start") == 1
    assert stub.words[-1] == "stop"
    assert [answer.ok for answer in answers] == [True, False, False]


def test_a_stop_before_the_engine_was_reached_is_sent_as_soon_as_it_is(qtbot: QtBot, stub: EngineStub) -> None:
    link = EngineLink()
    link.attach(stub.file)
    link.send(start())
    link.stop("test")
    qtbot.waitUntil(lambda: "stop" in stub.words, timeout=5000)
    qtbot.wait(100)
    assert stub.words[-1] == "stop"
    assert "start" not in stub.words or stub.words.index("start") < len(stub.words) - 1
    link.close()


def test_a_stop_is_with_the_engine_within_100_ms_while_the_window_is_busy(
    qtbot: QtBot, stub: EngineStub, link: EngineLink
) -> None:
    """30 ms of work in the window's thread over and over, as a page that draws flat out; the line is sent before the next."""
    pressed_ns = time.monotonic_ns()
    link.stop("test")
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass  # the window does not come back to its events at all
    assert stub.words == ["stop"]
    assert (stub.taken[0][1] - pressed_ns) * 1e-6 < 100


def test_a_stop_that_is_not_answered_within_a_second_is_told(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    stub.awake.clear()
    with qtbot.waitSignal(link.stop_unanswered, timeout=3000):
        link.stop("test")
    with qtbot.waitSignal(link.stop_answered, timeout=5000):
        stub.awake.set()


def test_a_stop_pressed_a_thousand_times_on_an_engine_that_hangs_never_blocks(
    qtbot: QtBot, stub: EngineStub, link: EngineLink
) -> None:
    stub.awake.clear()
    began = time.monotonic()
    for _ in range(1000):
        link.stop("x" * 200)
    assert time.monotonic() - began < 1.0
    stub.awake.set()
    qtbot.waitUntil(lambda: stub.words.count("stop") >= 1, timeout=5000)


def test_who_only_looks_on_can_stop(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    other = EngineLink(name="another window")
    with qtbot.waitSignal(other.status_changed, timeout=5000):
        other.attach(stub.file)
    qtbot.waitUntil(lambda: other.status is not None and other.status.commander == link.name, timeout=3000)
    assert not other.commands
    other.stop("from there")
    qtbot.waitUntil(lambda: stub.words == ["stop"], timeout=3000)
    with qtbot.waitSignal(other.refused, timeout=3000):
        other.send(Pause())
    other.send(Take(force=True))
    qtbot.waitUntil(lambda: other.commands and not link.commands, timeout=3000)
    other.close()


# --- the end of an engine


def test_an_engine_that_hangs_is_told_of_and_so_is_its_return(
    qtbot: QtBot, stub: EngineStub, link: EngineLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gui.engine_link.SILENT_S", 0.5)
    with qtbot.waitSignal(link.silent_changed, timeout=4000):
        stub.awake.clear()
    assert link.silent
    with qtbot.waitSignal(link.silent_changed, timeout=8000):
        stub.awake.set()
    assert not link.silent


def test_an_engine_that_takes_leave_is_gone_in_order(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    answers: list[Answer] = []
    assert stub.server is not None
    with qtbot.waitSignal(link.gone, timeout=3000) as told:
        stub.server.close("nothing more to do")
    assert told.args is not None
    assert "nothing more to do" in told.args[0]
    assert link.orderly
    assert link.status is None
    assert link.last_status is not None
    link.send(Pause(), answers.append)
    assert not answers[0].ok


def test_an_engine_that_cannot_be_started_is_gone_with_its_own_words(qtbot: QtBot, tmp_path: Path) -> None:
    link = EngineLink()
    answers: list[Answer] = []
    with qtbot.waitSignal(link.gone, timeout=20_000) as told:
        link.start_engine(tmp_path / "missing.toml", simulate=True, out=tmp_path)
        link.send(start(), answers.append)
    assert told.args is not None
    assert "there is no file" in told.args[0]
    assert [answer.ok for answer in answers] == [False]
    assert not link.there


def test_a_choice_finds_no_engine_of_another_bench(stub: EngineStub, tmp_path: Path) -> None:
    assert EngineChoice(tmp_path / "b.toml", False, tmp_path).living() is None


def test_a_link_that_is_closed_hears_nothing_more(qtbot: QtBot, stub: EngineStub, link: EngineLink) -> None:
    heard: list[EngineStatus] = []
    assert stub.server is not None
    stub.server.publish(begun())
    MonotonicClock().sleep(0.1)  # it has arrived and waits to be delivered
    link.status_changed.connect(heard.append)
    link.close()
    qtbot.wait(50)
    assert heard == []
