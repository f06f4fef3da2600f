"""What every persona of the catalogue promises of its replies, whatever it is told and whenever it is asked."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from role_bench import FACTS, GPIB, LINE

from rig.bench import default_bench
from sim_instruments.catalogue import entries
from sim_instruments.world import World

US, MS = 1_000, 1_000_000
LONGEST_WAIT_NS = 100 * MS
FORETOLD_AT_MOST = 200  # times in a row that a reply is put off
SCPI = [
    b"*IDN?\n",
    b"*RST\n",
    b":READ?\n",
    b":MEAS:CURR?;*OPC?\n",
    b":MEAS?\n",
    b'*RST;:SENS:FUNC "CURR";:SENS:CURR:NPLC 0.01;:OUTP ON;:READ?;:READ?\n',
    b":INIT;*WAI;*OPC?\n",
    b':TRIG:LOAD "SimpleLoop", 3;:INIT;:TRIG:STAT?\n',
    b":SOUR:VOLT 3;:OUTP ON\n",
    b"*TST?\n",
    b":SYST:ERR?;*ESR?\n",
    b":ABOR\n",
]
OTHER = [b"0in", b"0ma00004600", b"0gp0bs", b"ens?\r", b"ens\r", b"\x09", b"\x05\x00", b"\xfe", b"TRAT?\n*TRG\n", b"*CAL?\n"]
MODELS = [
    pytest.param(entry, resource, wire_time, id=f"{entry.model}-{name}-{'slow' if wire_time else 'no'}-wire")
    for entry in entries()
    for name, resource in (("gpib", GPIB), ("line", LINE))
    for wire_time in (True, False)
]
Talk = Sequence[tuple[bytes, int]]  # bytes, and how long it is quiet after them (ns)


def bench_with(entry: Any, resource: str, wire_time: bool) -> World:
    """The default bench with this model in its role."""
    description = default_bench().description()
    role = description.setdefault(entry.role, {})
    role.update(model=entry.model, resource=resource)
    return World(description, 1, wire_time=wire_time)


def listen(world: World, role: str, until_ns: int, most: int) -> bytes:
    """What the instrument says until then, looked for when it is foretold and at no other time."""
    persona, said = world.personas[role], b""
    put_off = 0
    while (ready_ns := persona.reply_ready_ns(world.now_ns())) is not None and ready_ns <= until_ns:
        if ready_ns > world.now_ns():
            put_off += 1
            assert put_off < FORETOLD_AT_MOST, "a reply that is put off again and again"
            world.advance_to(ready_ns)
            continue
        put_off = 0
        data, _ = persona.take(most, world.now_ns())
        assert data, f"a reply is promised for {ready_ns} ns, and at {world.now_ns()} ns there is nothing of it"
        assert len(data) <= most
        said += data
    world.advance_to(until_ns)
    return said


@pytest.mark.parametrize(("entry", "resource", "wire_time"), MODELS)
def test_of_a_reply_that_is_there_at_least_a_byte_can_be_taken(entry: Any, resource: str, wire_time: bool) -> None:
    facts = FACTS.get(entry.model)
    words = SCPI + OTHER + ([facts.question, facts.command, facts.by_hand] if facts else [])
    gaps = st.sampled_from([0, 1, 40 * US, MS, 3 * MS, 30 * MS])

    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(
        talk=st.lists(st.tuples(st.sampled_from(words), gaps), min_size=1, max_size=6), most=st.sampled_from([1, 7, 1 << 20])
    )
    def whatever_is_said(talk: Talk, most: int) -> None:
        world = bench_with(entry, resource, wire_time)
        for message, gap_ns in talk:
            world.personas[entry.role].receive(message, world.now_ns())
            listen(world, entry.role, world.now_ns() + gap_ns, most)
        listen(world, entry.role, world.now_ns() + LONGEST_WAIT_NS, most)

    whatever_is_said()


@pytest.mark.parametrize(("entry", "resource", "wire_time"), MODELS)
def test_its_question_is_answered_when_that_was_foretold(entry: Any, resource: str, wire_time: bool) -> None:
    """The control of the test before: something is said at all."""
    world = bench_with(entry, resource, wire_time)
    world.personas[entry.role].receive(FACTS[entry.model].question, world.now_ns())
    assert listen(world, entry.role, world.now_ns() + LONGEST_WAIT_NS, 1 << 20)
