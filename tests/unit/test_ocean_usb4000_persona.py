"""The simulated USB4000 on its own: bytes in, bytes out, edges in."""

import itertools
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim_instruments.ocean_usb4000 import OceanUsb4000Persona, Usb4000Quirks
from sim_instruments.persona import Edges, TimesNs

US, MS = 1_000, 1_000_000
READOUT_NS = 3_800_000
NOMINAL = Usb4000Quirks()
SPECTRUM_BYTES = 2 * 3840 + 1
EDGE_MODE, FREE_MODE = b"\x0a\x03\x00", b"\x0a\x00\x00"
REQUEST, STATUS = b"\x09", b"\xfe"


class Optics:
    """Pixels 100..103 hold the opening (ns), 104..107 the closing; refuses what a light path would."""

    wavelength_coefficients = (340.0, 0.21, -4e-6, -2e-10)
    nonlinearity_coefficients = (1.0, -5e-7, 2e-12)

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        times = list(zip(open_ns.tolist(), close_ns.tolist(), strict=True))
        for opened, closed in times:
            assert opened < closed
            assert not self.asked or self.asked[-1][1] <= opened
            self.asked.append((opened, closed))
        pixels = np.full((len(open_ns), 3840), 1500, np.uint16)
        pixels[:, 100:104] = np.ascontiguousarray(open_ns, "<i8").view("<u2").reshape(-1, 4)
        pixels[:, 104:108] = np.ascontiguousarray(close_ns, "<i8").view("<u2").reshape(-1, 4)
        return pixels


class Host:
    def __init__(self, quirks: Usb4000Quirks = NOMINAL, *, wire_time: bool = True) -> None:
        self.optics = Optics()
        self.persona = OceanUsb4000Persona(self.optics, quirks=quirks, wire_time=wire_time)
        self.t_ns = 0

    def wait(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.persona.run_until(self.t_ns)

    def tell(self, *commands: bytes) -> None:
        self.persona.receive(b"".join(commands), self.t_ns)

    def edges(self, *after_ns: int) -> list[int]:
        rise_ns = self.t_ns + np.array(after_ns, np.int64)
        self.persona.receive_edges("trigger", Edges(rise_ns, rise_ns + 10 * US, 0.0, 5.0))
        return rise_ns.tolist()

    def read(self) -> bytes:
        """Everything that has arrived."""
        data = b""
        while (part := self.persona.take(1000, self.t_ns)[0]) != b"":
            data += part
        return data

    def exposure(self) -> tuple[int, int]:
        """Opening and closing in the one spectrum that has arrived."""
        data = self.read()
        assert len(data) == SPECTRUM_BYTES
        assert data[-1] == 0x69
        opened, closed = struct.unpack_from("<qq", data, 200)
        return opened, closed


def edge_host(integration_us: int = 500, quirks: Usb4000Quirks = NOMINAL) -> Host:
    host = Host(quirks)
    host.tell(struct.pack("<BI", 2, integration_us), EDGE_MODE)
    host.wait(MS)
    return host


# --- waiting for edges ------------------------------------------------------------------------------------------------


def test_an_edge_opens_the_exposure_that_was_asked_for() -> None:
    host = edge_host()
    host.tell(REQUEST)
    (edge,) = host.edges(2 * MS)
    host.wait(10 * MS)
    assert host.exposure() == (edge, edge + 500 * US)


def test_the_spectrum_is_there_when_it_has_been_read_out_and_sent_not_before() -> None:
    host = edge_host()
    host.tell(REQUEST)
    (edge,) = host.edges(MS)
    host.wait(2 * MS)
    ready_ns = host.persona.reply_ready_ns(host.t_ns)
    assert ready_ns is not None
    assert edge + 500 * US + READOUT_NS < ready_ns < edge + 500 * US + READOUT_NS + MS
    host.wait(ready_ns - 1 - host.t_ns)
    assert host.read() == b""
    host.wait(1)
    assert len(host.read()) == SPECTRUM_BYTES


def test_edges_that_nobody_asked_for_leave_no_trace() -> None:
    host = edge_host()
    host.edges(1 * MS, 2 * MS, 3 * MS)
    host.wait(20 * MS)
    host.tell(REQUEST)
    host.wait(20 * MS)
    assert host.read() == b""
    assert host.optics.asked == []


def test_edges_during_exposure_and_read_out_are_lost() -> None:
    host = edge_host()
    host.tell(REQUEST)
    first, *_ = host.edges(MS, MS + 200 * US, 3 * MS)
    host.wait(10 * MS)
    assert host.exposure() == (first, first + 500 * US)
    host.tell(REQUEST)
    host.wait(10 * MS)
    assert host.read() == b""


def test_one_exposure_per_request() -> None:
    host = edge_host()
    host.tell(REQUEST)
    edges = host.edges(*[MS + i * 10 * MS for i in range(5)])
    host.wait(100 * MS)
    assert host.exposure()[0] == edges[0]
    assert len(host.optics.asked) == 1


@pytest.mark.parametrize("remembers", [False, True])
def test_a_request_while_one_is_open_is_ignored_or_by_a_quirk_served_afterwards(remembers: bool) -> None:
    host = edge_host(quirks=Usb4000Quirks(remembers_requests=remembers))
    host.tell(REQUEST, REQUEST, REQUEST)
    host.edges(MS)
    host.wait(10 * MS)
    assert len(host.read()) == SPECTRUM_BYTES
    host.edges(MS)
    host.wait(10 * MS)
    assert len(host.read()) == (SPECTRUM_BYTES if remembers else 0)


def test_a_spectrum_that_is_not_fetched_keeps_further_requests_out() -> None:
    host = edge_host()
    for _ in range(3):
        host.tell(REQUEST)
        host.edges(MS)
        host.wait(10 * MS)
    assert len(host.read()) == SPECTRUM_BYTES


def test_levels_that_are_not_ttl_are_not_seen() -> None:
    host = edge_host()
    host.tell(REQUEST)
    rise_ns = np.array([host.t_ns + MS])
    host.persona.receive_edges("trigger", Edges(rise_ns, rise_ns + 10 * US, 0.0, 1.5))
    host.wait(20 * MS)
    assert host.optics.asked == []
    with pytest.raises(ValueError, match="no input"):
        host.persona.receive_edges("sync", Edges(rise_ns, rise_ns, 0.0, 5.0))


def test_the_trigger_delay_moves_the_exposure() -> None:
    host = edge_host()
    host.tell(struct.pack("<BBH", 0x6A, 0x28, 200), REQUEST)
    (edge,) = host.edges(MS)
    host.wait(10 * MS)
    assert host.exposure()[0] == edge + 200 * 500


# --- running free -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("integration_us", [10, 3000, 20_000])
def test_running_free_a_request_gets_the_cycle_under_way(integration_us: int) -> None:
    host = Host()
    host.tell(struct.pack("<BI", 2, integration_us), FREE_MODE)
    period_ns = max(integration_us * US, READOUT_NS)
    host.wait(5 * period_ns + period_ns // 2)
    host.tell(REQUEST)
    host.wait(2 * period_ns + READOUT_NS)
    opened, closed = host.exposure()
    assert (opened, closed) == (6 * period_ns - integration_us * US, 6 * period_ns)


def test_a_new_integration_time_holds_from_the_next_cycle_on() -> None:
    host = Host()
    host.tell(struct.pack("<BI", 2, 50_000), FREE_MODE)
    host.wait(60 * MS)
    host.tell(struct.pack("<BI", 2, 10_000), REQUEST)
    host.wait(100 * MS)
    assert host.exposure() == (50 * MS, 100 * MS)
    host.tell(REQUEST)
    host.wait(100 * MS)
    opened, closed = host.exposure()
    assert closed - opened == 10 * MS
    assert opened % (10 * MS) == 0


def test_setting_the_mode_gives_up_the_exposure_and_keeps_the_request() -> None:
    host = edge_host(integration_us=50_000)
    host.tell(REQUEST)
    host.edges(MS)
    host.wait(10 * MS)  # exposing
    switched_ns = host.t_ns
    host.tell(FREE_MODE)
    host.wait(100 * MS)
    assert host.exposure() == (switched_ns, switched_ns + 50 * MS)
    assert len(host.optics.asked) == 1


@pytest.mark.parametrize("mode", [1, 2])
def test_modes_that_are_not_simulated_give_nothing(mode: int) -> None:
    host = Host()
    host.tell(struct.pack("<BH", 0x0A, mode), REQUEST)
    host.edges(MS, 5 * MS)
    host.wait(1000 * MS)
    assert host.read() == b""


def test_a_question_between_exposure_and_spectrum_is_answered_first() -> None:
    host = edge_host()
    host.tell(REQUEST)
    host.edges(MS)
    host.wait(2 * MS)  # exposed, being read out
    host.tell(STATUS)
    host.wait(10 * MS)
    data = host.read()
    assert len(data) == 16 + SPECTRUM_BYTES
    assert data[:2] == b"\x00\x0f"
    assert data[-1] == 0x69


def test_initialising_forgets_requests_and_spectra() -> None:
    host = edge_host()
    host.tell(REQUEST)
    host.edges(MS)
    host.wait(10 * MS)
    host.tell(b"\x01", STATUS)
    host.wait(10 * MS)
    status = host.read()
    assert len(status) == 16
    assert status[7] == 0


def test_without_wire_time_answers_are_there_at_once() -> None:
    host = Host(wire_time=False)
    host.tell(STATUS)
    assert len(host.read()) == 16


# --- bytes ------------------------------------------------------------------------------------------------------------


def test_off_gets_through_whatever_was_cut_off_before_it() -> None:
    for command in (b"\x02\xf4\x01\x00\x00", b"\x06\x01" + bytes(15), b"\x0a\x03\x00", b"\x6a\x28\xff\xff", b"\x05\x00"):
        for cut in range(1, len(command)):
            host = edge_host()
            host.tell(command[:cut])
            host.tell(FREE_MODE * 7)
            host.tell(STATUS)
            host.wait(MS)
            assert host.read()[-16:][7] == 0, (command, cut)


def test_a_device_clear_forgets_half_a_command_and_unread_answers() -> None:
    host = Host()
    host.tell(STATUS, b"\x02\x01")
    host.persona.device_clear(host.t_ns)
    host.tell(STATUS)
    host.wait(MS)
    assert len(host.read()) == 16


COMMANDS = st.sampled_from(
    [REQUEST, STATUS, EDGE_MODE, FREE_MODE, b"\x01", b"\x05\x00", b"\x05\xff", b"\x6b\x04", b"\x6c", b"\x03\x01\x00"]
    + [struct.pack("<BI", 2, t) for t in (0, 10, 500, 4000, 655_001, 2**32 - 1)]
)
BYTES = st.lists(COMMANDS | st.binary(max_size=8), max_size=12).map(b"".join)


@given(BYTES, st.lists(st.integers(0, 60), max_size=6), st.lists(st.integers(0, 30_000), max_size=6))
@example(REQUEST + EDGE_MODE, [1], [0])
@settings(max_examples=150, deadline=None)
def test_any_bytes_in_any_pieces_give_the_same_answers(data: bytes, cuts: list[int], edges_us: list[int]) -> None:
    """And none raises: also the light path's rule on exposures in order is kept."""
    answers = []
    for pieces in ([0, len(data)], sorted({0, len(data), *(min(c, len(data)) for c in cuts)})):
        host = Host()
        for start, end in itertools.pairwise(pieces):
            host.tell(data[start:end])
        host.edges(*sorted(t * US for t in edges_us))
        for _ in range(6):
            host.wait(7 * MS)
        host.tell(REQUEST, STATUS)
        host.wait(300 * MS)
        answers.append(host.read())
    assert answers[0] == answers[1]


@given(st.lists(st.tuples(BYTES, st.integers(0, 20_000), st.booleans()), max_size=10))
@settings(max_examples=80, deadline=None)
def test_however_it_is_talked_to_memory_stays_small_and_times_ascend(steps: list[tuple[bytes, int, bool]]) -> None:
    host = Host()
    for data, wait_us, edge in steps:
        host.tell(data * 20)
        if edge:
            host.edges(100)
        host.wait(wait_us * US)
        ready_ns = host.persona.reply_ready_ns(host.t_ns)
        if ready_ns is not None and ready_ns > host.t_ns:
            assert host.persona.take(10, host.t_ns) == (b"", False)
    host.wait(10_000 * MS)
    assert len(host.read()) <= 65 * 17 + 2 * SPECTRUM_BYTES
