"""Bytes that change on the way, over real sockets: a reply is refused, or it is what arrived; never another one's, never later.

On a line without a checksum a digit that becomes another digit cannot be told from a measurement; TCP and USB have checksums, a
serial line may have parity. Against that a run has its read-back: a level that is not the one that was set ends it.
"""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import pyvisa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "run"))
from proxy import REPLY, Corrupt
from wired_bench import Wired, WiredBench

from drivers.clock import MonotonicClock
from drivers.errors import InstrumentError
from drivers.registry import find
from drivers.roles import SourceLimits

FLIPS = st.lists(st.tuples(st.integers(0, 63), st.integers(1, 255)), min_size=1, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Generator[Wired]:
    bench = WiredBench(tmp_path_factory.mktemp("corrupt"))
    with bench.server, bench.wired() as wired:
        yield wired


@pytest.fixture(scope="module")
def source(wired: Wired) -> Generator[Any]:
    manager = pyvisa.ResourceManager("@py")
    resource = f"TCPIP::127.0.0.1::{wired.proxy.ports['voltage_source']}::SOCKET"
    instrument, link = find("keithley-2400").connect(manager, resource, MonotonicClock())
    link.timeout_s = 0.4
    instrument.identify()
    instrument.prepare(SourceLimits(-20.0, 20.0, 1e-3))
    yield instrument
    link.close()
    manager.close()


def as_number(arrived: bytes) -> float | None:
    """What the first line says, None when it is no number."""
    try:
        return float(arrived.split(b"\n")[0].decode("ascii"))
    except ValueError:
        return None


@pytest.mark.fault("W4")
@given(flips=FLIPS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_corrupt_answer_is_refused_or_is_what_arrived(wired: Wired, source: Any, flips: tuple[tuple[int, int], ...]) -> None:
    wired.proxy.wire("voltage_source").rules.clear()
    source.adapter.flush_read_buffer()
    source.identify()  # proves the link anew when it is in doubt
    rule = wired.proxy.on("voltage_source", REPLY, Corrupt(flips), match=rb"^\+")
    sent = b"+2.000000E+01\n"
    changed = bytearray(sent)
    for place, mask in flips:
        changed[place % len(sent)] ^= mask
    assume(bytes(changed) != sent)
    source.source_voltage = 20.0
    try:
        told = source.source_voltage
    except InstrumentError:
        told = None
    assert told in (None, as_number(bytes(changed)))
    assert rule.done_ns
    wired.proxy.wire("voltage_source").rules.clear()
    source.identify()
    assert source.source_voltage == 20.0  # the next answer is its own


@pytest.mark.fault("W4")
@given(place=st.integers(0, 12), mask=st.integers(0x80, 0xFF))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_no_text_are_always_refused_and_shown(wired: Wired, source: Any, place: int, mask: int) -> None:
    wired.proxy.wire("voltage_source").rules.clear()
    source.adapter.flush_read_buffer()
    source.identify()
    wired.proxy.on("voltage_source", REPLY, Corrupt(((place, mask),)), match=rb"^\+")
    with pytest.raises(InstrumentError) as refused:
        _ = source.source_voltage
    assert "\\x" in str(refused.value)
