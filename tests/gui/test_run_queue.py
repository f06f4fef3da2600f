"""The queue: what comes next, what halts it, and what is left of it after a crash. No Qt."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue

import pytest

from drivers.errors import RecordError, RefusedError
from gui.run_queue import MAX_ENTRIES, MAX_TEXT, STILL_RUNS, UNSEEN, Entry, RunQueue, ending_of, queue_file
from rig import Session
from rig.control import Begun, Ended, EngineStatus, ErrorWords, Event, HardwareWords, ReasonWords, Refused, Start, Stop
from rig.control import Closing as EngineClosing
from rig.engine import Engine


def _toml(title: str) -> str:
    return f'title = "{title}"\nsample = "s"\nmeasurement = "on_off"\n[parameters]\n'


def _queue(*titles: str, path: Path | None = None, ending: str = "") -> RunQueue:
    queue = RunQueue(path, lambda file: ending)
    for title in titles:
        queue.add(_toml(title), f"{title}.toml")
    return queue


def _begun(title: str, file: str) -> Begun:
    return Begun(
        title=title, sample="s", measurement="on_off", mode="gated", file=file, shots_planned=1, duration_s=1.0, simulated=True
    )


def _ended(file: str, state: str = "done", code: int = 0, off: str = "CONFIRMED", error: ErrorWords | None = None) -> Ended:
    hardware = (HardwareWords(role="voltage_source", confirmation=off, detail=""),)
    return Ended(file=file, state=state, why="Stop key", exit_code=code, hardware=hardware, error=error)


def _status(state: str, file: str = "", title: str = "") -> EngineStatus:
    return EngineStatus(
        state=state,  # pyright: ignore[reportArgumentType]
        file=file,
        title=title,
        sample="s" if title else "",
        measurement="on_off" if title else "",
        simulated=True,
        bench="b",
    )


def _words(kind: str, code: str = "") -> ErrorWords:
    reasons = (ReasonWords(code=code, where="", message="because"),) if code else ()
    return ErrorWords(kind=kind, what="It was refused.", reasons=reasons)


def _states(queue: RunQueue) -> list[str]:
    return [entry.state for entry in queue.entries]


def _start(queue: RunQueue, file: str) -> Entry:
    queue.go_on()
    entry = queue.next()
    assert entry is not None
    queue.heed(_begun(entry.title, file))
    return entry


def test_nothing_is_started_before_a_person_says_so() -> None:
    assert _queue("a").next() is None


def test_one_run_follows_the_other_when_each_ends_well() -> None:
    queue = _queue("a", "b")
    _start(queue, "a.h5")
    assert queue.next() is None  # one at a time
    queue.heed(_ended("a.h5"))
    after = queue.next()
    assert after is not None
    assert after.title == "b"
    assert _states(queue) == ["done", "running"]


def test_what_is_added_after_the_last_run_waits_for_a_person() -> None:
    queue = _queue("a")
    _start(queue, "a.h5")
    queue.heed(_ended("a.h5"))
    assert queue.next() is None
    queue.add(_toml("b"), "b.toml")
    assert queue.next() is None


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (_ended("a.h5", "stopped", 3), "stopped"),
        (_ended("a.h5", "fault", 4, error=ErrorWords(kind="LinkTimeout", what="No answer.")), "fault"),
        (_ended("a.h5", "done", 5, off="SENT"), "fault"),
        (_ended("a.h5", "stopped", 5, off="UNKNOWN"), "fault"),
        (Refused(error=_words("RecordError")), "fault"),
    ],
)
def test_it_halts_after_a_stop_a_fault_and_an_off_that_nobody_confirmed(event: Ended | Refused, state: str) -> None:
    queue = _queue("a", "b")
    _start(queue, "a.h5")
    queue.heed(event)
    assert _states(queue) == [state, "waiting"]
    assert queue.next() is None
    assert queue.halted
    queue.go_on()
    assert queue.next() is not None


@pytest.mark.parametrize("kind", ["CompileError", "ConfigError"])
def test_it_goes_on_after_a_sequence_that_the_bench_refuses(kind: str) -> None:
    queue = _queue("a", "b")
    queue.go_on()
    queue.next()
    queue.refused(_words(kind, "voltage-above-limit"))
    assert _states(queue) == ["refused", "waiting"]
    assert "voltage-above-limit" in queue.entries[0].detail
    after = queue.next()
    assert after is not None
    assert after.title == "b"


def test_an_engine_that_is_busy_leaves_the_entry_waiting_and_halts() -> None:
    queue = _queue("a")
    queue.go_on()
    queue.next()
    queue.refused(_words("RefusedError", "run-under-way"))
    assert _states(queue) == ["waiting"]
    assert not queue.going


def test_instruments_that_cannot_be_opened_halt_it() -> None:
    queue = _queue("a", "b")
    queue.go_on()
    queue.next()
    queue.heed(Refused(error=_words("LinkTimeout")))
    assert _states(queue) == ["fault", "waiting"]
    assert queue.next() is None


def test_the_end_of_somebody_elses_run_is_not_its_own() -> None:
    queue = _queue("a")
    _start(queue, "a.h5")
    queue.heed(_ended("other.h5"))
    queue.heed(_begun("other", "other.h5"))
    assert _states(queue) == ["running"]
    assert queue.entries[0].file == "a.h5"


def test_entries_are_put_into_order_by_place_and_as_a_whole() -> None:
    queue = _queue("a", "b", "c")
    queue.move(3, -2)
    assert [entry.title for entry in queue.entries] == ["c", "a", "b"]
    queue.move(3, 99)
    assert [entry.title for entry in queue.entries] == ["a", "b", "c"]
    queue.reorder([2, 3, 1])
    queue.go_on()
    first = queue.next()
    assert first is not None
    assert first.title == "b"


def test_an_order_that_is_not_of_all_entries_is_refused() -> None:
    queue = _queue("a", "b")
    with pytest.raises(RefusedError, match="changed"):
        queue.reorder([1])
    assert len(queue.entries) == 2


def test_what_runs_cannot_be_taken_out_what_waits_can() -> None:
    queue = _queue("a", "b")
    _start(queue, "a.h5")
    with pytest.raises(RefusedError, match="stop the run"):
        queue.remove(1)
    queue.remove(2)
    assert [entry.title for entry in queue.entries] == ["a"]


def test_clearing_leaves_what_waits_and_what_runs() -> None:
    queue = _queue("a", "b", "c")
    _start(queue, "a.h5")
    queue.heed(_ended("a.h5"))
    queue.next()
    queue.clear_ended()
    assert _states(queue) == ["running", "waiting"]


def test_a_queue_has_an_end_and_so_has_a_text() -> None:
    queue = RunQueue()
    with pytest.raises(RefusedError, match="too long"):
        queue.add("#" * (MAX_TEXT + 1), "long.toml")
    for _ in range(MAX_ENTRIES):
        queue.add(_toml("a"), "a.toml")
    with pytest.raises(RefusedError, match="take out"):
        queue.add(_toml("a"), "a.toml")


# --- file


def test_it_is_there_again_after_a_crash_and_starts_nothing_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "queue.json"
    script = (
        "import os, sys; from pathlib import Path; from gui.run_queue import RunQueue\n"
        "queue = RunQueue(Path(sys.argv[1])); queue.add('title = \"ü\"', 'a.toml'); queue.add('b', 'b.toml'); queue.go_on()\n"
        "queue.next(); os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False, env={**os.environ, "PYTHONUTF8": "1"})
    assert ended.returncode != 0
    queue = RunQueue(path)
    assert [(entry.toml, entry.state) for entry in queue.entries] == [('title = "ü"', "running"), ("b", "waiting")]
    assert not queue.foreign  # the lock died with its holder
    assert queue.next() is None
    assert queue.halted
    queue.close()


def _reopened(tmp_path: Path, ending: str) -> RunQueue:
    first = _queue("a", "b", path=tmp_path / "queue.json")
    _start(first, "a.h5")
    first.close()
    return RunQueue(tmp_path / "queue.json", lambda file: ending if file == "a.h5" else "wrong file")


def test_a_run_that_still_goes_on_is_followed_to_its_end(tmp_path: Path) -> None:
    queue = _reopened(tmp_path, "")
    queue.heed(_status("running", "a.h5", "a"))
    assert _states(queue) == ["running", "waiting"]
    queue.heed(_ended("a.h5"))
    assert _states(queue) == ["done", "waiting"]
    assert queue.next() is None  # a person has to say go on
    queue.close()


@pytest.mark.parametrize(
    ("ending", "state"), [("done", "done"), ("stopped", "stopped"), ("fault", "fault"), ("interrupted", "fault"), ("", "fault")]
)
def test_a_run_that_ended_meanwhile_is_judged_by_its_file(tmp_path: Path, ending: str, state: str) -> None:
    queue = _reopened(tmp_path, ending)
    queue.heed(_status("idle"))
    assert _states(queue) == [state, "waiting"]
    assert queue.next() is None
    queue.close()


def test_another_run_under_way_means_that_its_own_has_ended(tmp_path: Path) -> None:
    queue = _reopened(tmp_path, "done")
    queue.heed(_status("running", "other.h5", "other"))
    assert _states(queue) == ["done", "waiting"]
    queue.close()


def test_an_idle_engine_before_the_run_begins_is_not_its_end() -> None:
    queue = _queue("a")
    queue.go_on()
    queue.next()
    queue.heed(_status("idle"))
    assert _states(queue) == ["running"]


def test_a_status_of_the_run_before_is_not_taken_for_the_new_one() -> None:
    queue = _queue("a", "a")
    _start(queue, "first.h5")
    queue.heed(_ended("first.h5"))
    assert queue.next() is not None
    queue.heed(_status("running", "first.h5", "a"))  # put together from what was known before the run begins
    queue.heed(_begun("a", "second.h5"))
    queue.heed(_ended("second.h5"))
    assert _states(queue) == ["done", "done"]


def test_a_start_whose_answer_was_lost_with_the_engine_is_not_sent_again() -> None:
    queue = _queue("a", "b")
    queue.go_on()
    queue.next()
    queue.refused(_words("EngineGone"))
    queue.gone("killed")
    assert _states(queue) == ["running", "waiting"]
    queue.heed(_status("idle"))
    assert _states(queue) == ["fault", "waiting"]
    assert UNSEEN in queue.entries[0].detail


def test_a_person_can_go_on_when_no_engine_comes_back(tmp_path: Path) -> None:
    queue = _reopened(tmp_path, "stopped")
    queue.go_on()
    after = queue.next()
    assert after is not None
    assert after.title == "b"
    assert _states(queue) == ["stopped", "running"]
    queue.close()


def test_going_on_is_refused_while_somebody_writes_the_file_of_the_run(tmp_path: Path) -> None:
    queue = _reopened(tmp_path, STILL_RUNS)
    with pytest.raises(RefusedError, match="still running"):
        queue.go_on()
    assert queue.next() is None
    queue.close()


def test_how_a_run_ended_is_read_from_its_file(run_file: Path, tmp_path: Path) -> None:
    assert ending_of(str(run_file)) == "done"
    assert ending_of(str(tmp_path / "missing.h5")) == ""
    (tmp_path / "damaged.h5").write_bytes(b"no file")
    assert ending_of(str(tmp_path / "damaged.h5")) == ""


def test_every_bench_has_its_own_queue(tmp_path: Path) -> None:
    names = {queue_file(None), queue_file(tmp_path / "lab.toml"), queue_file(tmp_path / "other" / "lab.toml")}
    assert len(names) == 3


def test_an_engine_that_is_gone_halts_it_and_leaves_the_end_open() -> None:
    queue = _queue("a", "b", ending="fault")
    _start(queue, "a.h5")
    queue.heed(EngineClosing(why="killed"))
    assert _states(queue) == ["running", "waiting"]
    assert "killed" in queue.halted
    queue.heed(_status("idle"))
    assert _states(queue) == ["fault", "waiting"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"version": 2, "entries": []}',
        b'{"entries": [{"id": 1, "name": "a", "toml": "", "state": "on"}]}',
        b'{"entries": [{"id": 1, "name": "a", "toml": ""}, {"id": 1, "name": "b", "toml": ""}]}',
    ],
)
def test_a_file_that_makes_no_sense_is_set_aside_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "queue.json"
    path.write_bytes(content)
    queue = RunQueue(path)
    assert queue.entries == ()
    assert "queue.json.bad-1" in queue.trouble
    assert (tmp_path / "queue.json.bad-1").read_bytes() == content
    queue.add(_toml("a"), "a.toml")
    queue.close()
    again = RunQueue(path)
    assert len(again.entries) == 1
    again.close()


def test_a_second_window_sees_the_queue_and_changes_nothing(tmp_path: Path) -> None:
    first = _queue("a", path=tmp_path / "queue.json")
    second = RunQueue(tmp_path / "queue.json")
    assert len(second.entries) == 1
    with pytest.raises(RefusedError, match="Another window"):
        second.add(_toml("b"), "b.toml")
    second.go_on()
    assert second.next() is None
    first.close()
    second.close()


def test_what_cannot_be_written_down_is_not_started(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    queue = _queue("a", path=folder / "queue.json")
    queue.go_on()
    folder.rename(tmp_path / "gone")
    with pytest.raises(RecordError):
        queue.next()
    assert _states(queue) == ["waiting"]
    assert not queue.going
    queue.close()


def test_an_end_that_cannot_be_written_down_is_kept_in_mind_and_halts(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    queue = _queue("a", "b", path=folder / "queue.json")
    _start(queue, "a.h5")
    folder.rename(tmp_path / "gone")
    queue.heed(_ended("a.h5"))
    assert _states(queue) == ["done", "waiting"]
    assert queue.trouble
    assert queue.next() is None
    queue.close()


# --- with an engine


def _pump(engine: Engine, queue: RunQueue, heard: "SimpleQueue[Event]") -> None:
    """Do what the window does: start what is due, hand on what the engine says, until there is nothing more to do."""
    while (entry := queue.next()) is not None or queue.running is not None:
        if entry is not None:
            answer = engine.submit(Start(sequence_toml=entry.toml, name=entry.name), "the window")
            if answer.error is not None:
                queue.refused(answer.error)
        if queue.running is not None:
            queue.heed(heard.get(timeout=20))


def test_an_engine_runs_the_queue_to_its_end_past_a_refusal_and_halts_at_a_stop(tmp_path: Path) -> None:
    engine, heard = Engine(Session(out=tmp_path)), SimpleQueue[Event]()
    engine.listen(heard.put)
    serving = threading.Thread(target=engine.serve, args=(lambda: True, 60.0))
    serving.start()
    short = "cycles = 1\non_time_s = 0.2\noff_time_s = 0.2\n"
    queue = RunQueue(tmp_path / "queue.json")
    try:
        for title, more in (("a", ""), ("b", "voltage_on_v = 21.0\n"), ("a", "")):
            queue.add(_toml(title) + short + more, "x.toml")
        queue.go_on()
        _pump(engine, queue, heard)
        assert _states(queue) == ["done", "refused", "done"]
        assert "voltage-above-limit" in queue.entries[1].detail
        files = [entry.file for entry in queue.entries]
        assert files[0] != files[2]
        assert [ending_of(file) for file in files] == ["done", "", "done"]

        queue.add(_toml("c") + "cycles = 1000\non_time_s = 0.5\noff_time_s = 0.5\n", "long.toml")
        queue.add(_toml("d") + short, "x.toml")

        def stop_it(event: Event) -> None:
            if isinstance(event, Begun):
                engine.submit(Stop(), "a person")

        engine.listen(stop_it)
        queue.go_on()
        _pump(engine, queue, heard)
        assert _states(queue)[3:] == ["stopped", "waiting"]
        assert "a person" in queue.halted
    finally:
        engine.end("the test is over")
        serving.join(timeout=10)
        queue.close()
