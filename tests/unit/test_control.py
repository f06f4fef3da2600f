"""The lines of the control channel: what goes through them, what is refused."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.errors import Reason, RefusedError, UnsafeStateError
from rig.control import (
    MAX_LINE_BYTES,
    SHORTENED,
    Acknowledge,
    Answer,
    Begun,
    Closing,
    Command,
    CommanderChanged,
    Connect,
    ControlError,
    Disconnect,
    Ended,
    EngineStatus,
    ErrorWords,
    Event,
    HardwareWords,
    Hello,
    Inject,
    InstrumentStates,
    InstrumentWords,
    LiveWords,
    Note,
    Off,
    Pace,
    Pause,
    Quit,
    Refused,
    Release,
    Resume,
    RunProgress,
    SetByHand,
    SettingWords,
    Start,
    Status,
    Stop,
    Take,
    Welcome,
    decode_command,
    decode_event,
    encode,
)

TOKEN = "t" * 43
WORDS = ErrorWords.of(RefusedError("no", (Reason("code-of-it", "a.toml:3", "too much"),), where="a.toml", next_step="less"))
COMMANDS: list[Command] = [
    Hello(id=0, token=TOKEN, who="me", commander=True),
    Status(id=1),
    Start(id=2, sequence_toml='title = "µ\nx"', name="a.toml", out="/tmp/runs", seed=7),  # noqa: S108
    Pause(id=3),
    Resume(id=4),
    Stop(id=5, why="done"),
    Off(id=6, why="smoke"),
    Acknowledge(id=7),
    Take(id=8, force=True),
    Release(id=9),
    Quit(id=2**53 - 1),
    Connect(id=10),
    Inject(id=31, fault="breakdown@3.2s"),
    Pace(id=13, speed=2.5),
    Disconnect(id=11),
    SetByHand(id=12, role="voltage_source", quantity="voltage_v", value=-2.5),
]
EVENTS: list[Event] = [
    Welcome(pid=3, host="h", bench="b.toml", simulated=True, who_commands="me"),
    Answer(id=4, ok=False, error=WORDS),
    EngineStatus(state="paused", elapsed_s=1.5, left_s=None, simulated=False, bench="b.toml"),
    Begun(title="t", sample="s", measurement="on_off", mode="gated", file="f", shots_planned=9, duration_s=2.0, simulated=True),
    RunProgress(state="armed", shots_done=1, shots_planned=2, left_s=3.25),
    Ended(
        file="f",
        state="fault",
        exit_code=3,
        outcome={"frames": {"lost": 0}, "results": [1, 2.5, None, True, "x"]},
        hardware=(HardwareWords(role="shutter", confirmation="SENT", detail="mute"),),
        error=WORDS,
    ),
    Refused(error=WORDS),
    Note(text="two\nlines \u2028 µ"),
    CommanderChanged(who=""),
    Closing(why="done"),
    InstrumentStates(
        connected=True,
        instruments=(
            InstrumentWords(
                role="voltage_source",
                model="keithley-2400",
                state="armed",
                live=(LiveWords(name="voltage_v", value=None, age_s=0.5),),
                settings=(SettingWords(quantity="voltage_v", value=1.0, low=-20.0, high=20.0),),
            ),
        ),
        hardware=(HardwareWords(role="voltage_source", confirmation="CONFIRMED", detail="output off"),),
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.command)
def test_a_command_arrives_as_it_was_sent_in_one_line(command: Command) -> None:
    line = encode(command)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_command(line) == command


@pytest.mark.parametrize("event", EVENTS, ids=lambda one: one.event)
def test_an_event_arrives_as_it_was_sent_in_one_line(event: Event) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


def test_every_kind_of_message_is_tried_here() -> None:
    assert {type(one) for one in COMMANDS} == set(Command.__args__)
    assert {type(one) for one in EVENTS} == set(Event.__args__)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1",
        b'"off"',
        b"[]",
        b"17",
        b"null",
        b"{}",
        b"\xff\xfe{",
        b'{"command":"off"',
        b'{"command":"OFF","id":1}',
        b'{"command":["off"],"id":1}',
        b'{"command":"off","id":-1}',
        b'{"command":"off","id":true}',
        b'{"command":"off","id":"1"}',
        b'{"command":"off","id":1e400}',
        b'{"command":"off","id":NaN}',
        b'{"command":"pause","id":1,"more":1}',
        b'{"command":"take","id":1,"force":1}',
        b'{"command":"start","id":1,"name":"x"}',
        b'{"command":"start","id":1,"name":"x","sequence_toml":"","seed":-1}',
        b'{"command":"start","id":1,"name":"x","sequence_toml":"","seed":1.5}',
        b'{"event":"note","text":"x"}',
        b"[" * (MAX_LINE_BYTES - 1),
        b'{"command":"off","id":' + b"9" * 5000 + b"}",
        b'{"command":"off","id":1,"why":"' + b"x" * MAX_LINE_BYTES + b'"}',
    ],
)
def test_what_is_no_command_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(ControlError, match=r"This is no command: ."):
        decode_command(line)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1"])
def test_no_time_and_no_result_can_be_nan_or_infinite(number: str) -> None:
    progress = f'{{"event":"run_progress","state":"x","shots_done":1,"shots_planned":2,"left_s":{number}}}'
    with pytest.raises(ControlError):
        decode_event(progress.encode())
    ended = f'{{"event":"ended","file":"","state":"","exit_code":0,"outcome":{{"a":[{number}]}}}}'
    if number != "-1":
        with pytest.raises(ControlError):
            decode_event(ended.encode())


@pytest.mark.parametrize("value", [math.nan, {1: 2}, {1, 2}, b"x", object()])
def test_an_outcome_that_json_cannot_carry_is_refused_where_it_is_made(value: Any) -> None:
    with pytest.raises(ValidationError):
        Ended(file="", state="", exit_code=0, outcome={"a": value})


def test_off_is_off_whatever_else_is_in_its_line() -> None:
    assert decode_command(b'{"command":"off","id":4,"force":true,"why":"' + b"x" * 9000 + b'"}').command == "off"


@given(st.binary(max_size=300) | st.text().map(str.encode))
@settings(max_examples=300, deadline=None)
def test_no_bytes_end_in_anything_but_a_message_or_a_control_error(line: bytes) -> None:
    for decode in (decode_command, decode_event):
        try:
            decode(line)
        except ControlError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(COMMANDS), st.dictionaries(st.sampled_from(["id", "token", "who", "force", "seed", "x"]), JSON))
@settings(max_examples=300, deadline=None)
def test_a_command_with_forged_fields_is_that_command_or_none(command: Command, forged: dict[str, Any]) -> None:
    line = json.dumps({**json.loads(encode(command)), **forged}).encode()
    try:
        read = decode_command(line)
    except ControlError:
        return
    assert type(read) is type(command)
    assert "x" not in forged or isinstance(command, Off)


def test_a_sequence_that_is_too_long_for_a_line_is_refused_where_it_is_sent() -> None:
    with pytest.raises(ControlError, match="too long for the control channel"):
        encode(Start(sequence_toml="x" * MAX_LINE_BYTES, name="a.toml"))


def test_an_error_keeps_its_four_sentences_and_its_reasons() -> None:
    assert WORDS.kind == "RefusedError"
    assert (WORDS.what, WORDS.where, WORDS.hardware_state, WORDS.next_step) == ("no", "a.toml", "nothing was touched", "less")
    assert [(r.code, r.where, r.message) for r in WORDS.reasons] == [("code-of-it", "a.toml:3", "too much")]
    assert str(WORDS).splitlines()[0] == "no"
    assert "too much [code-of-it]" in str(WORDS)


def test_an_error_of_any_length_and_any_bytes_fits_into_a_line_and_says_that_it_was_shortened() -> None:
    reasons = tuple(Reason("c" * 400, "w" * 400, "m" * 9000) for _ in range(500))
    words = ErrorWords.of(RefusedError("x" * 100_000, reasons, where="\udcff" * 9000, next_step="n" * 9000))
    line = encode(Answer(id=1, ok=False, error=words))
    assert decode_event(line) == Answer(id=1, ok=False, error=words)
    assert words.what.endswith(SHORTENED)
    assert words.reasons[-1].message == "and 460 more"


def test_an_error_that_is_not_ours_has_its_kind_and_its_text() -> None:
    assert ErrorWords.of(ZeroDivisionError()).what == "ZeroDivisionError"
    assert ErrorWords.of(UnsafeStateError("still on", hardware_state="ON")).hardware_state == "ON"


def test_names_of_others_cannot_command_a_terminal() -> None:
    assert Hello(token=TOKEN, who="\x1b[2Jme\n").who == "?[2Jme?"
    assert Off(why="\x1b]0;x\x07").why == "?]0;x?"


def test_a_token_is_not_shown_when_a_message_is() -> None:
    assert TOKEN not in repr(Hello(token=TOKEN, who="me"))
