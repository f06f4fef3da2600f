"""The simulated VISA library: what a PyVISA program sees of it, and of time."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest
from pyvisa import ResourceManager
from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError
from pyvisa.resources import MessageBasedResource

from rig.bench import default_bench
from sim_instruments.persona import Edges, OutputPulses
from sim_instruments.visa_library import DEFAULT_TIMEOUT_MS, SimulatedVisaLibrary, library_for
from sim_instruments.world import World

GPIB, SOCKET, SERIAL, USB = (
    "GPIB0::24::INSTR",
    "TCPIP::192.0.2.20::5025::SOCKET",
    "ASRL3::INSTR",
    "USB0::0x1313::0x8078::P0001::INSTR",
)
US, MS = 1_000, 1_000_000


class Scripted:
    """A persona that answers every message with what it was given for it, so much later."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.cleared_ns: list[int] = []
        self.answers: dict[bytes, list[tuple[int, bytes]]] = {}
        self.replies: deque[tuple[int, bytes]] = deque()
        self.foretells = True

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        return {}

    def receive_edges(self, connector: str, edges: Edges) -> None:
        raise AssertionError("no edges here")

    def receive(self, data: bytes, t_ns: int) -> None:
        self.heard.append(data)
        self.replies.extend((t_ns + after_ns, reply) for after_ns, reply in self.answers.get(data, []))

    def reply_ready_ns(self, t_ns: int) -> int | None:
        if not self.replies or (not self.foretells and self.replies[0][0] > t_ns):
            return None
        return self.replies[0][0]

    @property
    def reply_is_sent(self) -> bool:
        return bool(self.replies) and self.foretells

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        ready_ns, reply = self.replies.popleft()
        assert ready_ns <= t_ns
        if len(reply) > max_bytes:
            self.replies.appendleft((ready_ns, reply[max_bytes:]))
        return reply[:max_bytes], len(reply) <= max_bytes

    def device_clear(self, t_ns: int) -> None:
        self.cleared_ns.append(t_ns)
        self.replies.clear()


class Stage:
    """As much of a world as the library needs, with one scripted persona per resource."""

    def __init__(self, *resources: str) -> None:
        self.personas = {name: Scripted() for name in resources}
        self.resources = {name: name for name in resources}
        self.t_ns = 5_000_000_000
        self.stops: list[int] = []

    def now_ns(self) -> int:
        return self.t_ns

    def advance_to(self, t_ns: int) -> None:
        assert t_ns > self.t_ns
        self.t_ns = t_ns
        self.stops.append(t_ns)

    def coast_to(self, t_ns: int) -> None:
        self.advance_to(t_ns)

    def catch_up(self) -> bool:
        return False


class Talk:
    """One open resource on a stage."""

    def __init__(self, name: str = GPIB, **settings: Any) -> None:
        self.stage = Stage(name)
        self.persona = self.stage.personas[name]
        self.library = library_for(cast(World, self.stage))
        self.manager = ResourceManager(self.library)
        self.resource = cast(MessageBasedResource, self.manager.open_resource(name, **settings))

    def answer(self, question: bytes, *replies: tuple[int, bytes]) -> None:
        self.persona.answers[question] = list(replies)

    def ask(self, question: bytes) -> None:
        self.resource.write_raw(question)


def code_of(act: Callable[[], object]) -> StatusCode:
    with pytest.raises(VisaIOError) as failed:
        act()
    return StatusCode(failed.value.error_code)


# --- opening


def test_resources_are_found_by_any_spelling_of_their_name() -> None:
    manager = ResourceManager(library_for(cast(World, Stage(GPIB, SOCKET))))
    for name in ("GPIB0::24::INSTR", "gpib0::24::INSTR", "GPIB::24", "TCPIP0::192.0.2.20::5025::SOCKET"):
        manager.open_resource(name).close()


@pytest.mark.parametrize("name", ["GPIB0::23::INSTR", "TCPIP::192.0.2.20::5026::SOCKET", "ASRL1::INSTR"])
def test_what_is_not_on_the_bench_is_not_found(name: str) -> None:
    manager = ResourceManager(library_for(cast(World, Stage(GPIB, SOCKET))))
    assert code_of(lambda: manager.open_resource(name)) == StatusCode.error_resource_not_found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?*::INSTR", (GPIB, SERIAL)),
        ("?*", (GPIB, SOCKET, SERIAL)),
        ("GPIB?*", (GPIB,)),
        ("?*SOCKET", (SOCKET,)),
        ("USB?*", ()),
    ],
)
def test_resources_are_listed(query: str, found: tuple[str, ...]) -> None:
    manager = ResourceManager(library_for(cast(World, Stage(GPIB, SOCKET, SERIAL))))
    assert manager.list_resources(query) == found


def test_a_conversation_goes_on_after_closing_and_opening() -> None:
    talk = Talk()
    talk.answer(b"?", (0, b"1\n"))
    talk.resource.close()
    talk.resource.open()
    talk.ask(b"?")
    assert talk.resource.read_raw() == b"1\n"
    assert talk.persona.cleared_ns == []


# --- writing, clearing


def test_bytes_arrive_at_once_and_unchanged() -> None:
    talk = Talk()
    message = bytes(range(256))
    talk.ask(message)
    assert talk.persona.heard == [message]
    assert talk.stage.stops == []


@pytest.mark.parametrize(("name", "clears"), [(GPIB, True), (USB, True), (SOCKET, False), (SERIAL, False)])
def test_only_links_that_have_one_pass_on_a_device_clear(name: str, clears: bool) -> None:
    talk = Talk(name)
    talk.answer(b"?", (0, b"unread\n"), (MS, b"on its way\n"))
    talk.ask(b"?")
    talk.resource.clear()
    assert bool(talk.persona.cleared_ns) is clears
    # elsewhere what has arrived is dropped, and only that
    assert [reply for _, reply in talk.persona.replies] == ([] if clears else [b"on its way\n"])


# --- waiting


@pytest.mark.parametrize("after_ns", [0, 1, 17 * US, 123_456_789])
def test_a_read_moves_time_to_the_reply_and_no_further(after_ns: int) -> None:
    talk = Talk()
    talk.answer(b"?", (after_ns, b"1\n"))
    asked_ns = talk.stage.now_ns()
    talk.ask(b"?")
    assert talk.resource.read_raw() == b"1\n"
    assert talk.stage.now_ns() == asked_ns + after_ns


@pytest.mark.parametrize("timeout_ms", [1, 20, 300, DEFAULT_TIMEOUT_MS])
@pytest.mark.parametrize("foretells", [True, False])
def test_a_timeout_comes_at_its_time_exactly(timeout_ms: int, foretells: bool) -> None:
    talk = Talk()
    talk.persona.foretells = foretells
    talk.resource.timeout = timeout_ms
    talk.answer(b"?", (timeout_ms * MS + 1, b"late\n"))
    asked_ns = talk.stage.now_ns()
    talk.ask(b"?")
    assert code_of(talk.resource.read_raw) == StatusCode.error_timeout
    assert talk.stage.now_ns() == asked_ns + timeout_ms * MS
    # the answer to the earlier question is what the next read gets, as on hardware
    assert talk.resource.read_raw() == b"late\n"


@pytest.mark.parametrize("foretells", [True, False])
def test_a_reply_at_the_very_deadline_is_in_time(foretells: bool) -> None:
    talk = Talk()
    talk.persona.foretells = foretells
    talk.resource.timeout = 50
    talk.answer(b"?", (50 * MS, b"1\n"))
    talk.ask(b"?")
    assert talk.resource.read_raw() == b"1\n"


def test_the_default_timeout_is_that_of_visa() -> None:
    assert Talk().resource.timeout == DEFAULT_TIMEOUT_MS == 2000


def test_without_waiting_only_what_is_there_is_read() -> None:
    talk = Talk()
    talk.resource.timeout = 0
    talk.answer(b"now?", (0, b"now\n"))
    talk.answer(b"soon?", (1, b"soon\n"))
    asked_ns = talk.stage.now_ns()
    talk.ask(b"now?")
    assert talk.resource.read_raw() == b"now\n"
    talk.ask(b"soon?")
    assert code_of(talk.resource.read_raw) == StatusCode.error_timeout
    assert talk.stage.now_ns() == asked_ns


def test_an_endless_wait_that_can_end_ends() -> None:
    talk = Talk()
    cast(Any, talk.resource).timeout = None
    talk.answer(b"?", (100_000_000_000, b"1\n"))
    talk.ask(b"?")
    assert talk.resource.read_raw() == b"1\n"


def test_an_endless_wait_that_nobody_can_end_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim_instruments.visa_library.INFINITE_WAIT_LIMIT_NS", 500 * MS)
    talk = Talk()
    cast(Any, talk.resource).timeout = None
    with pytest.raises(RuntimeError, match="nothing on the simulated bench can cause"):
        talk.resource.read_raw()


class Boaster(Scripted):
    """Has a reply at any time, and never gives any of it."""

    def reply_ready_ns(self, t_ns: int) -> int | None:
        return t_ns

    def take(self, max_bytes: int, t_ns: int) -> tuple[bytes, bool]:
        return b"", False


@pytest.mark.parametrize("settings", [{}, {"read_termination": "\n"}], ids=["raw", "lines"])
def test_a_reply_that_is_foretold_for_now_and_does_not_come_raises_and_is_not_waited_for_without_end(
    settings: dict[str, str],
) -> None:
    talk = Talk(SOCKET, **settings)
    talk.stage.personas[SOCKET] = boaster = Boaster()
    cast(Any, talk.library)._conversations[talk.resource.session].persona = boaster
    with pytest.raises(RuntimeError, match="gives nothing of it"):
        talk.resource.read_raw()


# --- why a read ends


def status_of(talk: Talk, count: int) -> tuple[bytes, StatusCode]:
    with talk.resource.ignore_warning(StatusCode.success_max_count_read):  # as PyVISA's own reads do
        return talk.library.read(talk.resource.session, count)


def test_on_gpib_a_read_ends_with_its_message() -> None:
    talk = Talk(GPIB)
    talk.answer(b"?", (0, b"1;2\n"), (0, b"3\n"))
    talk.ask(b"?")
    assert status_of(talk, 100) == (b"1;2\n", StatusCode.success)
    assert status_of(talk, 100) == (b"3\n", StatusCode.success)


@pytest.mark.parametrize("name", [SOCKET, SERIAL])
def test_a_stream_has_no_end_of_message(name: str) -> None:
    talk = Talk(name)
    talk.resource.timeout = 20
    talk.answer(b"?", (0, b"12"), (5 * MS, b"34\n"))
    talk.ask(b"?")
    assert status_of(talk, 4) == (b"1234", StatusCode.success_max_count_read)
    assert code_of(lambda: status_of(talk, 4)) == StatusCode.error_timeout


@pytest.mark.parametrize("name", [GPIB, SOCKET])
def test_a_read_ends_at_its_count(name: str) -> None:
    talk = Talk(name)
    talk.answer(b"?", (0, b"123456"))
    talk.ask(b"?")
    assert status_of(talk, 4) == (b"1234", StatusCode.success_max_count_read)
    assert status_of(talk, 2)[0] == b"56"


@pytest.mark.parametrize("name", [GPIB, SOCKET, SERIAL, USB])
def test_a_read_ends_at_the_termination_character_and_leaves_the_rest(name: str) -> None:
    talk = Talk(name, read_termination="\n")
    talk.answer(b"?", (0, b"1\n2\n"), (0, b"3\n"))
    talk.ask(b"?")
    for expected in (b"1\n", b"2\n", b"3\n"):
        assert status_of(talk, 100) == (expected, StatusCode.success_termination_character_read)


def test_a_termination_character_that_is_off_is_a_byte_like_any_other() -> None:
    talk = Talk(SOCKET, read_termination=None)
    talk.answer(b"?", (0, b"\n\n\x00\n"))
    talk.ask(b"?")
    assert talk.resource.read_bytes(4) == b"\n\n\x00\n"


def test_text_is_read_through_pyvisa_whatever_its_segments() -> None:
    talk = Talk(SOCKET, read_termination="\r\n", write_termination="\n")
    talk.answer(b"*IDN?\n", (MS, b"Maker,Mo"), (2 * MS, b"del,1,2\r"), (3 * MS, b"\n"))
    assert talk.resource.query("*IDN?") == "Maker,Model,1,2"


def test_long_messages_are_put_together_by_pyvisa() -> None:
    talk = Talk(GPIB)
    talk.resource.chunk_size = 1000
    talk.answer(b"?", (0, b"x" * 12_345 + b"\n"))
    talk.ask(b"?")
    assert len(talk.resource.read_raw()) == 12_346


# --- whose bench it is


def test_another_thread_is_refused() -> None:
    talk = Talk()
    acts: list[Callable[[], object]] = [
        lambda: talk.ask(b"?"),
        talk.resource.read_raw,
        talk.resource.clear,
        lambda: talk.manager.open_resource(GPIB),
    ]
    caught: list[BaseException] = []

    def elsewhere() -> None:
        for act in acts:
            try:
                act()
            except RuntimeError as error:
                caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(caught) == len(acts)
    assert talk.persona.heard == []


def simulated(seed: int) -> tuple[World, SimulatedVisaLibrary, dict[str, MessageBasedResource]]:
    world = World(default_bench().description(), seed)
    library = library_for(world)
    manager = ResourceManager(library)
    resources = {role: cast(MessageBasedResource, manager.open_resource(name)) for role, name in world.resources.items()}
    return world, library, resources


def measured(seed: int) -> bytes:
    _, _, resources = simulated(seed)
    source = resources["voltage_source"]
    source.write_raw(b':SOUR:VOLT 5;:OUTP ON;:SENS:FUNC "VOLT","CURR"\n')
    answers = b""
    for _ in range(5):
        source.write_raw(b":READ?\n")
        answers += source.read_raw()
    return answers


def test_two_worlds_in_one_process_share_nothing() -> None:
    (one, _, first), (two, _, second) = simulated(1), simulated(1)
    first["voltage_source"].write_raw(b":SOUR:VOLT 5;:OUTP ON\n")
    one.sleep(0.1)
    assert (one.terminal.record.voltage_v[-1], two.terminal.record.voltage_v[-1]) == (5.0, 0.0)
    assert two.now_ns() < one.now_ns()
    second["voltage_source"].write_raw(b":OUTP?\n")
    assert second["voltage_source"].read_raw() == b"0\n"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert measured(1) == measured(1)
    assert measured(1) != measured(2)


def test_two_conversations_with_one_instrument_are_with_the_same_one() -> None:
    world, library, resources = simulated(1)
    again = cast(MessageBasedResource, ResourceManager(library).open_resource(world.resources["voltage_source"]))
    resources["voltage_source"].write_raw(b":SOUR:VOLT 7\n")
    again.write_raw(b":SOUR:VOLT?\n")
    assert float(again.read_raw()) == 7.0
