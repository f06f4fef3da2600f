"""The control channel against everybody who may knock: forged, broken, too much, too slow, too many."""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.control_desk import TOKEN, Channel, Wire, eventually, open_channel

from rig.control import Answer, Closing, EngineStatus, Hello, Note, Off, Pause, Quit, Start, Status, Stop, Take, encode
from rig.control_client import EngineGone, EngineLine, off_without_token
from rig.control_server import MAX_LISTENERS, MAX_STRANGERS

HTTP = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\r\n" + encode(Off(id=1))
FORGED = [Start(sequence_toml="", name="a"), Pause(), Stop(), Quit(), Take(force=True), Status()]


@pytest.fixture
def channel() -> Iterator[Channel]:
    with open_channel() as one:
        yield one


def served(channel: Channel) -> None:
    """The channel still does what it is for."""
    with channel.wire() as wire:
        wire.hello("honest", commander=True)
        wire.say(Pause(id=3))
        assert wire.next(Answer) == Answer(id=3, ok=True)


def memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.fault("R1")
def test_the_control_channel_is_open_on_this_computer_only(channel: Channel) -> None:
    assert channel.server._listener.getsockname()[0] == "127.0.0.1"
    own = next((a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), "127.0.0.1")
    if not str(own).startswith("127."):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((str(own), channel.server.port), 1)


@pytest.mark.fault("R2")
@pytest.mark.parametrize("command", FORGED, ids=lambda one: one.command)
def test_a_command_without_a_token_is_refused_without_a_word_and_logged(channel: Channel, command: Start) -> None:
    with channel.wire() as wire:
        wire.say(command, Off(id=1))
        assert wire.ended()
    assert channel.desk.taken == []
    assert [f"commands before hello: 1 so far, now: {command.command}" in line for line in channel.log] == [True]


@pytest.mark.fault("R2")
@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "µ", "x" * 200])
def test_a_wrong_token_is_refused_without_a_hint_and_what_follows_is_not_heard(channel: Channel, token: str) -> None:
    with channel.wire() as wire:
        wire.say(Hello(token=token, who="thief", commander=True), Quit(id=1), Off(id=2))
        assert wire.ended()
    assert channel.desk.taken == []
    assert channel.server.refusals == {"wrong tokens": 1}
    assert not any(token in line for line in channel.log if token)


@pytest.mark.fault("R2")
def test_a_flood_of_wrong_tokens_is_counted_and_fills_no_log(channel: Channel) -> None:
    for _ in range(300):
        with channel.wire() as wire:
            wire.say(Hello(token="guess", who="thief"))  # noqa: S106 - a guess
            assert wire.ended()
    assert channel.server.refusals == {"wrong tokens": 300}
    assert len(channel.log) == 9
    served(channel)


@pytest.mark.fault("R2")
def test_off_alone_needs_no_token_is_answered_and_logged(channel: Channel) -> None:
    begun_ns = time.monotonic_ns()
    answer = off_without_token(channel.server.port, "smoke")
    assert answer.ok
    [(command, who)] = channel.desk.taken
    assert (command, who) == (Off(id=1, why="smoke"), "somebody on this computer, without a token")
    assert channel.log == ["control channel: off without a token (obeyed): 1 so far, now: smoke"]
    took_ms = (channel.desk.when_ns[0] - begun_ns) * 1e-6
    assert took_ms < 100


@pytest.mark.fault("R2")
def test_nothing_that_comes_after_an_off_without_a_token_is_heard(channel: Channel) -> None:
    with channel.wire() as wire:
        wire.say(Off(id=1), Hello(token=TOKEN, who="me", commander=True), Quit(id=2))
        assert wire.event() == Answer(id=1, ok=True)
        assert wire.ended()
    assert channel.desk.words == ["off"]


@pytest.mark.fault("R2")
def test_a_web_page_cannot_even_switch_off(channel: Channel) -> None:
    for request in (HTTP, HTTP.replace(b"POST", b"GET"), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\n"):
        with channel.wire() as wire:
            wire.say(request)
            assert wire.ended()
    assert channel.desk.taken == []
    served(channel)


@pytest.mark.fault("R2")
def test_no_bytes_of_strangers_reach_the_engine(channel: Channel) -> None:
    luck = random.Random(5)
    hello = encode(Hello(token=TOKEN, who="me", commander=True))
    for number in range(200):
        data = bytearray(hello * 2)
        for _ in range(luck.randint(1, 4)):
            data[luck.randrange(30, 60)] = luck.randrange(256)  # inside the token
        with channel.wire() as wire:
            wire.say(bytes(data) if number % 2 else luck.randbytes(luck.randint(1, 400)) + b"\n", Quit(id=1))
            assert wire.ended()
    assert channel.desk.taken == []
    served(channel)


@pytest.mark.fault("R2")
def test_a_hundred_megabytes_without_a_newline_take_no_memory(channel: Channel) -> None:
    before = memory_bytes()
    piece = b"x" * (1 << 20)
    for welcomed in (False, True):
        with channel.wire() as wire:
            if welcomed:
                wire.hello("flooder")
            sent = 0
            try:
                for _ in range(100):
                    wire.socket.sendall(piece)
                    sent += len(piece)
            except OSError:
                pass
            assert sent < 100 << 20, "all of it was taken"
    assert memory_bytes() - before < 16 << 20
    assert channel.server.refusals["lines that are too long"] == 2
    served(channel)


@pytest.mark.fault("R2")
def test_who_says_nothing_or_a_letter_at_a_time_is_sent_away_after_two_seconds(channel: Channel) -> None:
    silent, slow = channel.wire(), channel.wire()
    begun = time.monotonic()
    hello = encode(Hello(token=TOKEN, who="slow"))
    with silent, slow:
        gone = threading.Thread(target=silent.ended)
        gone.start()
        with pytest.raises(OSError, match=r"reset|Broken pipe|closed"):  # noqa: PT012 - one letter at a time
            for letter in hello:
                slow.socket.sendall(bytes([letter]))
                time.sleep(0.05)  # noqa: TID251 - real sockets in real time
        gone.join()
    assert 1.9 < time.monotonic() - begun < 3.5
    assert channel.server.refusals == {"connections that did not say who they are": 2}
    served(channel)


@pytest.mark.fault("R2")
def test_silent_crowds_do_not_keep_off_or_an_honest_listener_out(channel: Channel) -> None:
    crowd = [Wire(channel.server.port) for _ in range(MAX_STRANGERS + 40)]
    served(channel)
    assert off_without_token(channel.server.port).ok
    assert 40 <= channel.server.refusals["connections that had to make room"] <= 42
    assert crowd[0].ended()
    for wire in crowd:
        wire.close()


@pytest.mark.fault("R2")
def test_off_gets_through_when_every_place_is_taken(channel: Channel) -> None:
    wires = [channel.wire() for _ in range(MAX_LISTENERS)]
    for wire in wires:
        wire.hello()
    assert off_without_token(channel.server.port).ok
    for wire in wires:
        wire.close()


@pytest.mark.fault("R2")
def test_off_is_not_held_up_by_a_listener_that_floods(channel: Channel) -> None:
    flooding = threading.Event()

    def flood(wire: Wire) -> None:
        lines = encode(Status(id=1)) * 500
        try:
            while not flooding.is_set():
                wire.socket.sendall(lines)
        except OSError:
            return

    with channel.wire() as flooder, channel.wire() as reader:
        flooder.hello("flooder")
        reader.hello("reader")
        flooder.socket.settimeout(0.5)
        threads = [
            threading.Thread(target=flood, args=(flooder,)),
            threading.Thread(target=_read_all, args=(flooder, flooding)),
        ]
        for thread in threads:
            thread.start()
        took_ms: list[float] = []
        for number in range(10):
            time.sleep(0.02)  # noqa: TID251 - real sockets in real time
            begun_ns = time.monotonic_ns()
            reader.say(Off(id=number))
            assert reader.next(Answer).ok
            took_ms.append((channel.desk.when_ns[-1] - begun_ns) * 1e-6)
        flooding.set()
        flooder.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    assert max(took_ms) < 100


def _read_all(wire: Wire, done: threading.Event) -> None:
    while not done.is_set():
        try:
            if not wire.socket.recv(65536):
                return
        except OSError:
            continue


@pytest.mark.fault("R2")
def test_a_listener_that_speaks_nonsense_is_answered_then_sent_away_and_hurts_nobody(channel: Channel) -> None:
    with channel.wire() as mad, channel.wire() as other:
        mad.hello("mad")
        other.hello("other")
        mad.say(b'{"command":"dance","id":7}\n')
        assert (answer := mad.next(Answer)).id == 7
        assert not answer.ok
        mad.say(b"\n" * 10_000)
        assert "no commands" in mad.next(Closing).why
        assert mad.ended()
        channel.server.publish(Note(text="still here"))
        assert other.next(Note).text == "still here"
    assert channel.desk.taken == []


def test_a_desk_that_breaks_ends_one_connection_and_not_the_channel(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> EngineStatus:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(channel.desk, "status", broken)
        with channel.wire() as wire:
            wire.say(Hello(token=TOKEN, who="me"))
            eventually(lambda: channel.server.refusals.get("connections that failed") == 1)
    served(channel)


# --- the other end


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 70_000,
        b"[" * 70_000 + b"\n",
        json.dumps({"event": "welcome", "pid": 1, "host": "h", "bench": "", "simulated": True}).encode() + b"\n",
        encode(Note(text="hello")),
        encode(Closing(why="x")) * 3,
    ],
)
def test_a_port_that_another_program_has_now_is_not_taken_for_the_engine(channel: Channel, answer: bytes) -> None:
    with _answering(answer) as port, pytest.raises(Exception, match=r"cannot be talked to|is gone") as error:
        EngineLine.connect(channel.engine.model_copy(update={"port": port}), "me")
    assert "rig off" in str(error.value)


def test_an_engine_of_another_version_is_told_apart(channel: Channel) -> None:
    welcome = {"event": "welcome", "pid": 4711, "protocol": 2, "something": "new"}
    with _answering(json.dumps(welcome).encode() + b"\n") as port, pytest.raises(Exception, match="speaks version 2"):
        EngineLine.connect(channel.engine.model_copy(update={"port": port}), "me")


def test_a_command_to_an_engine_that_hangs_is_told_in_time(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def hang(command: object, who: str) -> Answer:
        go_on.wait(5)
        return Answer(id=0, ok=True)

    with EngineLine.connect(channel.engine, "me") as line:
        monkeypatch.setattr(channel.desk, "submit", hang)
        begun = time.monotonic()
        with pytest.raises(Exception, match=r"did not answer stop within 0\.3 s"):
            line.send(Stop(), timeout_s=0.3)
        assert time.monotonic() - begun < 1.0
        go_on.set()


def test_a_line_that_breaks_while_a_command_waits_says_so_at_once(channel: Channel) -> None:
    with _answering(encode(channel.desk.welcome("")), hold_s=0.2) as port:
        line = EngineLine.connect(channel.engine.model_copy(update={"port": port}), "me")
        begun = time.monotonic()
        with pytest.raises(EngineGone):
            line.send(Stop())
        assert time.monotonic() - begun < 2.0
        line.close()


class _answering:  # noqa: N801 - used as a context manager
    """A server that says the same to whoever comes, and then hangs up."""

    def __init__(self, answer: bytes, hold_s: float = 0.0) -> None:
        self.answer, self.hold_s = answer, hold_s
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self.thread.start()
        return int(self.listener.getsockname()[1])

    def __exit__(self, *error: object) -> None:
        self.thread.join()
        self.listener.close()

    def _serve(self) -> None:
        connected, _ = self.listener.accept()
        with connected:
            connected.recv(65536)
            connected.sendall(self.answer)
            time.sleep(self.hold_s)  # noqa: TID251 - real sockets in real time
