"""Any bytes at all, cut anywhere: three personas never raise, never hang, and say the same however their input was cut."""

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocean_fx_host import FakeOptics

from sim_instruments.keithley_2400 import Keithley2400Persona, Keithley2400Quirks
from sim_instruments.obp import HEADER, MAX_REQUEST_PAYLOAD, RequestStream
from sim_instruments.ocean_fx import OceanFxPersona
from sim_instruments.persona import Persona
from sim_instruments.scpi import INPUT_LIMIT_BYTES, MessageStream
from sim_instruments.srs_dg645 import Dg645Persona, Dg645Quirks
from sim_instruments.srs_dg645_grammar import CommandStream

US, MS = 1_000, 1_000_000
Talk = Sequence[tuple[bytes, int]]  # bytes, and how long it is quiet after them (ns)
FEW = settings(max_examples=60, deadline=None)


# --- what is said -----------------------------------------------------------------------------------------------------

NOISE = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"\0", b"\xff\xfe", b";;", b"?", b'"', b"(", b",", b"\x03", b"\x18"])
)
NUMBERS = st.sampled_from(
    "0 1 -1 2.5 1e-3 1E+99 1e999 -0.0 .5 5. 0x10 0x #H1F #H_1 #HFFFF_FFFF #B102 nan inf INF MIN MAX DEF UP ON OFF 21 2500 "
    "99999999999999999999 1e-400 --3 3e 3e+ 1_0 ' \"' \"VOLT\" 'CURR:DC' (-113) (@1) NONE".split()
)
SCPI_HEADERS = st.sampled_from(
    "*IDN? *RST *CLS *ESE *ESR? *SRE *STB? *OPC *OPC? *TRG *TST? *WAI *SAV *RCL :SOUR:FUNC :SOUR:VOLT :SOUR:VOLT:MODE "
    ":SOUR:VOLT:RANG :SOUR:VOLT:PROT :SOUR:LIST:VOLT :SOUR:LIST:VOLT:APP :SOUR:VOLT:STEP :SOUR:VOLT:STAR :SOUR:VOLT:STOP "
    ":SOUR:VOLT:CENT :SOUR:VOLT:SPAN :SOUR:SWE:POIN :SOUR:DEL :SOUR:CLE:AUTO :OUTP :OUTP:SMOD :OUTP:ENAB :SENS:FUNC "
    ":SENS:FUNC:OFF :SENS:FUNC:STAT? :SENS:CURR:PROT :SENS:CURR:RANG :SENS:CURR:NPLC :SENS:AVER:COUN :FORM:DATA :FORM:ELEM "
    ":FORM:SREG :FORM:BORD :INIT :ABOR :READ? :FETC? :MEAS:CURR? :MEAS? :CONF:VOLT :TRAC:POIN :TRAC:FEED:CONT :TRAC:DATA? "
    ":TRAC:CLE :TRAC:FREE? :ARM:COUN :ARM:SOUR :ARM:TIM :ARM:OUTP :TRIG:COUN :TRIG:SOUR :TRIG:DEL :TRIG:INP :TRIG:OUTP "
    ":TRIG:CLE :SYST:ERR? :SYST:ERR:ALL? :SYST:CLE :SYST:TIME? :SYST:LFR :STAT:QUE? :STAT:QUE:ENAB :STAT:OPER:ENAB "
    ":STAT:MEAS? :CALC3:DATA? :DISP:TEXT :DISP:WIND1:TEXT :SOUR2:TTL :SYST:KEY :NONSENSE SENS1:CURRENT:DC:NPLC OUTP2".split()
)
DG645_HEADERS = st.sampled_from(
    "TSRC TRAT TLVL HOLD INHB ADVT PRES PHAS DLAY LINK LAMP LOFF LPOL BURM BURC BURP BURD BURT *TRG SPDL SPLA SPLO SPTL SPTR "
    "SPHD SPPS SPPH SPBC SPBD SPBP SSDL SSLA SSTR DISP SHDP INSR INSE *ESE *ESR *SRE *STB *PSC *CLS LERR *TST *CAL *SAV *RCL "
    "*RST *OPC *WAI *IDN IFCF IFRS EPHY EMAC LCAL REMT LOCK UNLK TIMB XTRM ABCD AB TSRCE".split()
)


@st.composite
def text_message(draw: st.DrawFn, headers: st.SearchStrategy[str]) -> bytes:
    """Commands of the instrument with parameters that may make no sense, now and then spoilt."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        header = draw(headers)
        query = "?" if draw(st.booleans()) and not header.endswith("?") else ""
        parameters = ",".join(draw(st.lists(NUMBERS, max_size=3)))
        parts.append(f"{header}{query} {parameters}".strip())
    message = draw(st.sampled_from([";", ";:", "; "])).join(parts).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(message)))
        message = message[:at] + draw(NOISE) + message[at:]
    return message + draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b";", b""]))


OBP_TYPES = st.sampled_from(
    [
        *(
            0x000000,
            0x000001,
            0x000080,
            0x000100,
            0x000101,
            0x000A80,
            0x000E11,
            0x0FF101,
            0x100000,
            0x100800,
            0x100810,
            0x100822,
        ),
        *(
            0x100832,
            0x100830,
            0x100831,
            0x100900,
            0x100902,
            0x100908,
            0x100980,
            0x101000,
            0x110000,
            0x110010,
            0x110100,
            0x110110,
        ),
        *(
            0x110102,
            0x110112,
            0x110120,
            0x110220,
            0x110510,
            0x120010,
            0x180100,
            0x180101,
            0x181101,
            0x310010,
            0x310011,
            0x400001,
        ),
        *(0x100928, 0x123456, 0xFFFFFFFF),
    ]
)
OBP_DATA = st.one_of(
    st.just(b""),
    st.integers(0, 255).map(lambda value: bytes([value])),
    st.sampled_from([0, 1, 9, 10, 15, 16, 100, 50_000, 50_001, 2**32 - 1]).map(lambda value: struct.pack("<I", value)),
    st.binary(max_size=40),
)


@st.composite
def obp_message(draw: st.DrawFn) -> bytes:
    """A frame, often a sound one, else with one field or some bytes spoilt."""
    kind, data, flags = draw(OBP_TYPES), draw(OBP_DATA), draw(st.sampled_from([0, 4, 4, 0xFFFF]))
    version, checksum = draw(st.sampled_from([0x1100, 0x1100, 0, 0x2000])), draw(st.sampled_from([0, 0, 0, 1, 2, 255]))
    immediate, payload = (data, b"") if len(data) <= 16 else (b"", data)
    length, remaining = len(immediate), len(payload) + 20
    if draw(st.integers(0, 5)) == 0:
        length, remaining = draw(st.integers(0, 255)), draw(st.sampled_from([0, 19, 20, 21, 2**14 + 20, 2**14 + 21, 2**32 - 1]))
    head = struct.pack("<2sHHHII6xBB16sI", b"\xc1\xc0", version, flags, 0, kind, 7, checksum, length, immediate, remaining)
    frame = head + payload + bytes(16) + b"\xc5\xc4\xc3\xc2"
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(frame)))
        frame = (
            frame[:at] + draw(st.one_of(st.binary(max_size=4), st.just(b"\xc1\xc0"))) + frame[at + draw(st.integers(0, 3)) :]
        )
    return frame


def talks(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[Talk]:
    return st.lists(st.tuples(st.one_of(messages, NOISE), st.sampled_from([0, 1, 300 * US, MS, 7 * MS])), max_size=12)


CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


# --- who is spoken to -------------------------------------------------------------------------------------------------


class Quiet:
    """Terminals of a load that draws a little and minds nothing."""

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        return voltage_v / 60_000

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        return None


def keithley(quirks: Keithley2400Quirks | None = None) -> Keithley2400Persona:
    return Keithley2400Persona(Quiet(), np.random.default_rng(1), quirks=quirks)


def on_a_line() -> Keithley2400Persona:
    return keithley(Keithley2400Quirks(serial_link=True))


def overrunning() -> Dg645Persona:
    return Dg645Persona(quirks=Dg645Quirks(overrun_by_waiting_commands=True))


def fx() -> OceanFxPersona:
    return OceanFxPersona(FakeOptics())


SCPI, DG645, OBP = text_message(SCPI_HEADERS), text_message(DG645_HEADERS), obp_message()
PERSONAS = [(keithley, SCPI), (on_a_line, SCPI), (Dg645Persona, DG645), (overrunning, DG645), (fx, OBP)]
NAMES = ["keithley", "keithley-line", "dg645", "dg645-overrunning", "fx"]
each = pytest.mark.parametrize(("make", "messages"), PERSONAS, ids=NAMES)


def said(persona: Persona, talk: Talk, cuts: Sequence[int] = ()) -> list[tuple[int, bytes, bool]]:
    """Talk to a persona; return what it said, when, and where messages ended. `cuts` are lengths of pieces, over and over."""
    t_ns, heard = 0, list[tuple[int, bytes, bool]]()
    persona.run_until(t_ns)
    lengths = itertools.cycle(cuts)
    for message, quiet_ns in talk:
        while cuts and message:
            length = next(lengths)
            persona.receive(message[:length], t_ns)
            message = message[length:]
        if message:
            persona.receive(message, t_ns)
        t_ns += quiet_ns
        persona.run_until(t_ns)
        heard += answers(persona, t_ns)
    return heard


def answers(persona: Persona, t_ns: int) -> Iterator[tuple[int, bytes, bool]]:
    """Take everything that is ready."""
    for _ in range(200):
        ready_ns = persona.reply_ready_ns(t_ns)
        assert ready_ns is None or type(ready_ns) is int
        if ready_ns is None or ready_ns > t_ns:
            return
        data, ended = persona.take(1 << 20, t_ns)
        assert data, "ready, but nothing there"
        yield t_ns, data, ended
    raise AssertionError("never stops answering")


@each
@FEW
@given(data=st.data())
def test_anything_is_survived_and_cuts_change_nothing(
    make: Callable[[], Persona], messages: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    talk, cuts = data.draw(talks(messages)), data.draw(CUTS)
    assert said(make(), talk) == said(make(), talk, cuts)


@each
@FEW
@given(noise=st.lists(st.tuples(st.binary(max_size=200), st.sampled_from([0, MS])), max_size=6))
def test_noise_is_survived(make: Callable[[], Persona], messages: st.SearchStrategy[bytes], noise: Talk) -> None:
    assert said(make(), noise) == said(make(), noise, (1,))


PROOFS = [
    (keithley, SCPI, b"\x18\n*CLS\n*IDN?\n", b"KEITHLEY INSTRUMENTS INC."),
    (Dg645Persona, DG645, b"\n*CLS;XTRM 13,10\n*IDN?\n", b"Stanford Research Systems"),
]


@pytest.mark.parametrize(("make", "messages", "question", "answer"), PROOFS, ids=["keithley", "dg645"])
@FEW
@given(data=st.data())
def test_whatever_was_said_it_still_answers(
    make: Callable[[], Persona], messages: st.SearchStrategy[bytes], question: bytes, answer: bytes, data: st.DataObject
) -> None:
    """After a device clear, as a host does that has lost its way."""
    persona = make()
    said(persona, data.draw(talks(messages)))
    t_ns = 200 * MS
    persona.run_until(t_ns)
    persona.device_clear(t_ns)
    persona.run_until(100_000 * MS)  # a self-test or a calibration may have begun
    persona.receive(question, 100_000 * MS)
    persona.run_until(100_100 * MS)
    heard = b"".join(data for _, data, _ in answers(persona, 100_100 * MS))
    assert answer in heard


# --- bounded buffers, and the maker's error ---------------------------------------------------------------------------


def flood(persona: Persona, piece: bytes, total: int) -> None:
    """Send a line or frame that never ends, in pieces."""
    for _ in range(total // len(piece)):
        persona.receive(piece, 0)


LARGEST_FRAME = HEADER.size + MAX_REQUEST_PAYLOAD + 20


@pytest.mark.parametrize(
    ("stream", "begin", "limit"),
    [
        (MessageStream(), b"", INPUT_LIMIT_BYTES),
        (CommandStream(), b"", 255),
        (
            RequestStream(),
            HEADER.pack(b"\xc1\xc0", 0x1100, 0, 0, 0, 0, b"", 0, 0, b"", MAX_REQUEST_PAYLOAD + 20),
            LARGEST_FRAME,
        ),
    ],
)
@pytest.mark.parametrize("piece", [b"A", b"\xff", b"\xc1\xc0", b"1, "])
def test_what_waits_for_its_end_has_a_limit(
    stream: MessageStream | CommandStream | RequestStream, begin: bytes, limit: int, piece: bytes
) -> None:
    stream.clear()
    largest = 0
    for part in (begin, *[piece * 300] * 300):
        list(stream.feed(part))
        largest = max(largest, len(stream))
    assert 0 < largest <= limit


@pytest.mark.parametrize("piece", [b"A" * 1000, b"\xff" * 1000, b":SOUR:LIST:VOLT " + b"1," * 500])
def test_an_endless_line_overruns_the_keithley_and_is_forgotten(piece: bytes) -> None:
    persona = keithley()
    flood(persona, piece, 4 << 20)
    persona.receive(b"\n:SYST:ERR?\n", 0)
    persona.run_until(100 * MS)
    assert [data for _, data, _ in answers(persona, 100 * MS)] == [b'-363,"Input buffer overrun"\n']
    persona.receive(b":SYST:ERR?\n", 100 * MS)
    persona.run_until(200 * MS)
    assert [data for _, data, _ in answers(persona, 200 * MS)] == [b'0,"No error"\n']


def test_a_message_as_long_as_the_limit_is_taken() -> None:
    for extra, code in ((0, b"0"), (1, b"-363")):
        persona = keithley()
        persona.receive(b"*CLS" + b" " * (INPUT_LIMIT_BYTES - 4 + extra) + b"\n:SYST:ERR?\n", 0)
        persona.run_until(100 * MS)
        assert [data.partition(b",")[0] for _, data, _ in answers(persona, 100 * MS)] == [code]


@pytest.mark.parametrize("piece", [b"A" * 1000, b"\0" * 1000, b"DLAY 2,0," * 100])
def test_an_endless_command_overruns_the_dg645(piece: bytes) -> None:
    persona = Dg645Persona()
    flood(persona, piece, 1 << 18)
    persona.receive(b"\nLERR?\n", 0)
    persona.run_until(100_000 * MS)
    heard = [data for _, data, _ in answers(persona, 100_000 * MS)]
    assert heard == [b"171\r\n"]


def test_a_frame_that_announces_too_much_is_refused_at_once() -> None:
    persona = fx()
    head = struct.pack("<2sHHHII6xBB16sI", b"\xc1\xc0", 0x1100, 4, 0, 0x110010, 7, 0, 0, b"", 2**32 - 1)
    persona.receive(head, 0)
    persona.run_until(100 * MS)
    [(_, reply, _)] = answers(persona, 100 * MS)
    assert struct.unpack_from("<HHI", reply, 4) == (8, 4, 0x110010)  # NACK, too large


def test_an_endless_frame_fills_no_more_than_one_request() -> None:
    persona = fx()
    head = struct.pack("<2sHHHII6xBB16sI", b"\xc1\xc0", 0x1100, 4, 0, 0x0FF101, 7, 0, 0, b"", MAX_REQUEST_PAYLOAD + 20)
    persona.receive(head, 0)
    flood(persona, bytes(1000), 4 << 20)
    persona.run_until(100 * MS)
    [(_, reply, _)] = answers(persona, 100 * MS)
    assert struct.unpack_from("<HH", reply, 4) == (9, 14)  # answer, NACK, no proper end


REFUSED = [
    (keithley, b":FOO 1", b":SYST:ERR?", b'-113,"Undefined header"\n'),
    (keithley, b":OUTP \xff", b":SYST:ERR?", b'-101,"Invalid character"\n'),
    (keithley, b":TRIG:COUN #H_1", b":SYST:ERR?", b'-168,"Block data not allowed"\n'),
    (keithley, b":TRIG:COUN #B12", b":SYST:ERR?", b'-168,"Block data not allowed"\n'),
    (keithley, b":SOUR:VOLT 1e999", b":SYST:ERR?", b'-222,"Parameter data out of range"\n'),
    (keithley, b":SOUR:VOLT 1_0", b":SYST:ERR?", b'-121,"Invalid character in number"\n'),
    (keithley, b":OUTP2 ON", b":SYST:ERR?", b'-114,"Header suffix out of range"\n'),
    (Dg645Persona, b"ABCD", b"LERR?", b"111\r\n"),
    (Dg645Persona, b"\xff\xfe 1", b"LERR?", b"110\r\n"),
    (Dg645Persona, b"TSRC 1_0", b"LERR?", b"120\r\n"),
    (Dg645Persona, b"TRAT 1e", b"LERR?", b"118\r\n"),
    (Dg645Persona, b"BURC 0xfffffffff", b"LERR?", b"121\r\n"),
]


@pytest.mark.parametrize(("make", "message", "question", "error"), REFUSED, ids=lambda value: repr(value)[:24])
def test_what_the_maker_refuses_gets_the_maker_s_error(
    make: Callable[[], Persona], message: bytes, question: bytes, error: bytes
) -> None:
    heard = said(make(), [(message + b"\n", 10 * MS), (question + b"\n", 10 * MS)])
    assert [data for _, data, _ in heard] == [error]


@pytest.mark.timeout(20)
def test_the_highest_rate_is_no_loop_over_its_triggers() -> None:
    """10 MHz is legal, though every other trigger comes while a cycle runs; a loop over them takes half a minute."""
    persona = Dg645Persona()
    persona.receive(b"TRAT 1e7;TSRC 0\n", 0)
    persona.run_until(2 * MS)
    pulses = persona.run_until(2 * MS + 300 * MS)["AB"]
    assert len(pulses) == 1_500_000
    assert set(np.diff(pulses.begin_ns).tolist()) == {200}
