"""The DG645 persona, judged by its bytes."""

import itertools
from collections.abc import Sequence

import pytest
from dg645_bench import COMMAND, MS, Bench
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_instruments.persona import Persona
from sim_instruments.srs_dg645 import Dg645Persona, Dg645Quirks

TRIG, END_OF_DELAY = 1, 4  # bits of INSR


def test_is_a_persona_and_says_who_it_is() -> None:
    persona: Persona = Dg645Persona(serial="001234", firmware="1.10.00E")
    persona.run_until(0)
    persona.receive(b"*IDN?\r\n", 0)
    assert persona.reply_ready_ns(0) == COMMAND
    persona.run_until(COMMAND)
    assert persona.take(4096, COMMAND) == (b"Stanford Research Systems,DG645,s/n001234,ver1.10.00E\r\n", True)
    assert persona.reply_ready_ns(COMMAND) is None


DEFAULTS = {
    "TSRC?": "5",
    "TRAT?": "+1000.000000",
    "TLVL?": "+1.00",
    "HOLD?": "+0.000000000000",
    "INHB?": "1",
    "ADVT?": "0",
    **{f"PRES?{i}": "1" for i in range(5)},
    **{f"PHAS? {i}": "0" for i in range(1, 5)},
    "DLAY?0": "0,+0.000000000000",
    "DLAY?1": "0,+0.000000035000",
    "DLAY?2": "0,+0.000000000000",
    "DLAY? 3": "2,+0.000000010000",
    "DLAY?9": "8,+0.000000010000",
    "LINK?4": "0",
    "LINK?5": "4",
    "LAMP?0": "+2.50",
    "LOFF?4": "+0.00",
    "LPOL?1": "1",
    "BURM?": "0",
    "BURC?": "5",
    "BURP?": "+0.000100000",
    "BURD?": "+0.000000000000",
    "BURT?": "0",
    "SHDP?": "1",
    "LERR?": "0",
    "*ESR?": "128",
    "*STB?": "0",
    "INSR?": "0",
    "*PSC?": "1",
    "*OPC?": "1",
    "TIMB?": "0",
    "LOCK?": "1",
    "IFCF?3": "15",
}


@pytest.mark.parametrize(("question", "answer"), DEFAULTS.items())
def test_power_on_values(question: str, answer: str) -> None:
    assert Bench().ask(question) == answer


@pytest.mark.parametrize(
    ("command", "question", "answer"),
    [
        ("TSRC 6", "TSRC?", "6"),
        ("tsrc 0x3", "tsrc?", "3"),
        ("TRAT 1e-4", "TRAT?", "+0.000100"),
        ("TRAT 9999999.999999", "TRAT?", "+9999999.999999"),
        ("TLVL -3.5", "TLVL?", "-3.50"),
        ("HOLD 1e-6", "HOLD?", "+0.000001000000"),
        ("PRES 0,1073741823", "PRES?0", "1073741823"),
        ("PRES 4,65535", "PRES?4", "65535"),
        ("DLAY 2,0,1.000000e-03", "DLAY?2", "0,+0.001000000000"),
        ("DLAY 9,8,1999.999999999985", "DLAY?9", "8,+1999.999999999985"),
        ("DLAY 2,0,12e-12", "DLAY?2", "0,+0.000000000010"),
        ("DLAY 2,0,1e-3;DLAY 3,2,-.5e-3", "DLAY?3", "2,-0.000500000000"),
        ("DLAY 2,0,1e-3", "DLAY?1", "0,+0.001000035000"),
        ("LINK 4,3", "LINK?4", "3"),
        ("LAMP 1,5;LOFF 1,0.99", "LOFF?1", "+0.99"),
        ("LPOL 2,0", "LPOL?2", "0"),
        ("BURC 4294967295", "BURC?", "4294967295"),
        ("BURP 1999.99999999", "BURP?", "+1999.999999990"),
        ("BURP 1.04E-7", "BURP?", "+0.000000100"),
        ("BURD 5e-12", "BURD?", "+0.000000000005"),
        ("DISP 11,2", "DISP?", "11,2"),
        ("INSE 255", "INSE?", "255"),
        ("SSDL 3,1e-9", "SSDL?3", "+0.000000001000"),
        ("IFCF 1,115200", "IFCF?1", "115200"),
        ("IFCF 11,192.0.2.20", "IFCF?11", "192.0.2.20"),
        ("EPHY 0,0", "EPHY?0", "0"),
    ],
)
def test_what_is_set_is_read_back(command: str, question: str, answer: str) -> None:
    bench = Bench()
    bench.send(command)
    assert bench.ask(question) == answer
    assert bench.errors() == []


@pytest.mark.parametrize(
    ("sizes", "step", "question", "answer"),
    [
        ("SSDL 3,1e-9", "SPDL 3,1", "DLAY?3", "2,+0.000000011000"),
        ("SSLA 1,0.2", "SPLA 1,0", "LAMP?1", "+2.30"),
        ("SSLO 1,0.2", "SPLO 1,0", "LOFF?1", "-0.20"),
        ("SSTL 0.5", "SPTL 1", "TLVL?", "+1.50"),
        ("SSTR 10", "SPTR 0", "TRAT?", "+990.000000"),
        ("SSHD 1e-6", "SPHD 1", "HOLD?", "+0.000001000000"),
        ("SSPS 2,3", "SPPS 2,1", "PRES?2", "4"),
        ("SSPH 2,3", "SPPH 2,1", "PHAS?2", "3"),
        ("SSBC 5", "SPBC 1", "BURC?", "10"),
        ("SSBD 1e-9", "SPBD 1", "BURD?", "+0.000000001000"),
        ("SSBP 1e-6", "SPBP 0", "BURP?", "+0.000099000"),
    ],
)
def test_steps(sizes: str, step: str, question: str, answer: str) -> None:
    bench = Bench()
    bench.send(f"{sizes};{step}")
    assert bench.ask(question) == answer
    assert bench.errors() == []


REFUSED = {
    "TSRC 7": 10,
    "TRAT -1": 10,
    "TRAT 1.1e7": 10,
    "TLVL 5.0": 10,
    "INHB 6": 10,
    "PRES 0,0": 10,
    "PRES 1,65536": 10,
    "PRES 5,1": 10,
    "PHAS 0,1": 10,
    "LAMP 1, 10.0": 10,
    "LAMP 1,0.4": 10,
    "LAMP 1,5;LOFF 1,1": 10,
    "LOFF 1,2.01": 10,
    "BURC 0": 10,
    "BURP 90e-9": 10,
    "BURP 2000": 10,
    "BURP 1e300": 10,
    "BURT 2": 10,
    "DLAY 0,0,1": 10,
    "DISP 15,0": 10,
    "*SAV 0": 10,
    "IFCF 1,300": 10,
    "IFCF 11,1.2.3": 10,
    "SPTL 2": 10,
    "TSRC 0;*TRG": 11,
    "DLAY 2,0,2000": 12,
    "DLAY 2,0,-5e-12": 12,
    "DLAY 2,0,1500;DLAY 3,2,600": 12,
    "DLAY 2,2,0": 13,
    "DLAY 2,3,0": 13,
    "LINK 2,3": 13,
    "LINK 4,3;LINK 2,5": 13,
    "LINK 2,1": 13,
    "*RCL 3": 14,
    "AB 1": 110,
    "TSRCE 1": 110,
    "*RS": 110,
    "5": 110,
    ":*CLS": 110,
    "ABCD 1": 111,
    "ABCD?": 111,
    "*TRG?": 112,
    "SPTL?": 112,
    "*IDN": 113,
    "*IDN FOOBAR": 113,
    "INSR 0": 113,
    "DLAY 2,,1": 114,
    "PRES 1,": 114,
    "TSRC 1,2": 115,
    "INSR? 3": 115,
    "TSRC": 116,
    "DLAY 2,0": 116,
    "PRES?": 116,
    "TLVL " + "1" * 60: 117,
    "TLVL one": 118,
    "BURD nan": 118,
    "BURD inf": 118,
    "TSRC 1.5": 120,
    "PRES 1,x": 120,
    "BURC 4294967296": 121,
    "BURC 0x": 122,
    "TSRC 1?": 126,
    "X" * 300: 171,
}
STATUS_BIT = {10: 16, 11: 16, 12: 16, 13: 16, 14: 16, 171: 8}


@pytest.mark.parametrize(("command", "code"), REFUSED.items())
def test_refusals(command: str, code: int) -> None:
    bench = Bench()
    bench.send("*CLS")
    before = bench.ask("DLAY?2") + bench.ask("BURP?")
    bench.send(command)
    bench.run(2 * COMMAND)
    expected = [code, 110] if code == 171 else [code]  # what follows an over run is read as a command of its own
    assert bench.errors() == expected
    assert int(bench.ask("*ESR?")) == sum({STATUS_BIT.get(one, 32) for one in expected})
    if "DLAY 2,0,1500" not in command:
        assert bench.ask("DLAY?2") + bench.ask("BURP?") == before


@pytest.mark.parametrize(
    ("quirks", "command", "code"),
    [
        (Dg645Quirks(burst_period_max_ns=42_900_000_000), "BURP 43", 10),
        (Dg645Quirks(output_prescale_max=2**31 - 1), "PRES 1,65536", 0),
        (Dg645Quirks(prescale_refused_single_shot=True), "PRES 1,2", 11),
        (Dg645Quirks(prescale_refused_single_shot=True), "TSRC 1;PRES 1,2", 0),
        (Dg645Quirks(), "PRES 1,2", 0),
    ],
)
def test_limits_are_quirks(quirks: Dg645Quirks, command: str, code: int) -> None:
    bench = Bench(quirks)
    bench.send(command)
    assert bench.ask("LERR?") == str(code)


def test_error_queue_holds_twenty_the_last_says_there_were_more() -> None:
    bench = Bench()
    for _ in range(30):
        bench.send("TSRC 9")
    assert bench.errors() == [10] * 19 + [254]


def test_input_buffer_of_a_line_without_handshake_overruns() -> None:
    text = "TRAT 1000;" * 26
    patient, hasty = Bench(), Bench(Dg645Quirks(overrun_by_waiting_commands=True))
    for bench in (patient, hasty):
        bench.persona.receive(text.encode(), bench.t_ns)
        bench.run(30 * COMMAND)
    assert patient.errors() == []
    assert hasty.errors() == [171]


@pytest.mark.parametrize(
    "text", ["tsrc 1;TlVl 1.5;", "TSRC 1\r\nTLVL 1.5\r\n", " TSRC  1 \r;;\n ;TLVL 1.5\r", "TSRC 0x1\nTLVL1.5\n"]
)
def test_terminators_case_and_blanks(text: str) -> None:
    bench = Bench()
    bench.persona.receive(text.encode(), 0)
    bench.run(5 * COMMAND)
    assert (bench.ask("TSRC?"), bench.ask("TLVL?"), bench.errors()) == ("1", "+1.50", [])


def test_replies_wait_in_order_and_are_taken_in_pieces() -> None:
    bench = Bench()
    bench.send("TSRC?;BURC?")
    take = bench.persona.take
    assert [take(2, bench.t_ns) for _ in range(5)] == [
        (b"5\r", False),
        (b"\n", True),
        (b"5\r", False),
        (b"\n", True),
        (b"", False),
    ]


def test_reply_is_not_there_before_its_time() -> None:
    bench = Bench()
    bench.persona.receive(b"TLVL 2;*IDN?;BURC?\n", 0)
    assert bench.persona.reply_ready_ns(0) == 2 * COMMAND
    bench.run(2 * COMMAND - 1)
    assert bench.persona.take(100, bench.t_ns) == (b"", False)
    bench.run(1)
    assert bench.persona.take(100, bench.t_ns)[1]
    assert bench.persona.reply_ready_ns(bench.t_ns) == 3 * COMMAND


def test_question_that_is_refused_gets_no_reply() -> None:
    bench = Bench()
    bench.send("PRES?7")
    assert bench.read() is None
    assert bench.errors() == [10]


def test_self_test_takes_its_time() -> None:
    bench = Bench()
    assert bench.ask("*TST?") == "0"
    assert bench.t_ns > 1_000 * MS


def test_terminator_can_be_set() -> None:
    bench = Bench()
    bench.send("XTRM 10;TSRC?")
    assert bench.persona.take(100, bench.t_ns) == (b"5\n", True)


def test_device_clear_forgets_questions_and_answers() -> None:
    bench = Bench()
    bench.send("TSRC?")
    bench.persona.receive(b"TSRC?\nTLVL 3;BUR", bench.t_ns)
    bench.persona.device_clear(bench.t_ns)
    assert bench.read() is None
    assert bench.ask("TLVL?") == "+1.00"
    assert bench.errors() == []


def test_unknown_connector() -> None:
    with pytest.raises(KeyError):
        Bench().edges(5, to="AB")


def test_save_recall_reset() -> None:
    bench = Bench()
    bench.send("TRAT 500;DLAY 2,0,1e-3;*SAV 1;TRAT 20;DLAY 2,0,0;*RCL 1")
    assert (bench.ask("TRAT?"), bench.ask("DLAY?2")) == ("+500.000000", "0,+0.001000000000")
    bench.send("*ESE 16;TSRC 9;*RST")
    assert (bench.ask("TRAT?"), bench.ask("DLAY?2"), bench.ask("*ESE?"), bench.ask("LERR?")) == (
        "+1000.000000",
        "0,+0.000000000000",
        "16",
        "10",
    )


def test_status_byte_summaries() -> None:
    bench = Bench()
    bench.send("*CLS;*ESE 32;*SRE 32;ABCD")
    assert bench.ask("*STB?") == str(32 + 64)
    bench.send("*CLS;INSE 1;*SRE 0;*TRG")
    assert bench.ask("*STB?") == "1"
    bench.send("INSR?;*STB?")
    assert (bench.read(), bench.read()) == (str(TRIG | END_OF_DELAY), "16")
    bench.send("*OPC")
    assert bench.ask("*ESR?") == "1"
    assert bench.ask("*ESR?") == "0"


def test_bytes_of_the_makers_driver() -> None:
    bench = Bench()
    for text in ("TSRC 1", "TLVL 1.5", "ADVT 1", "PRES 0,  1", "PRES 2,  100", "PHAS 2,  0", "DLAY 3,2,1.000000e-03"):
        bench.send(text)
    for text in ("LAMP 1,  4.0", "LPOL 1,  1", "BURM 1", "BURC 10"):
        bench.send(text)
    answers = {
        "TSRC?": "1",
        "PRES? 2": "100",
        "DLAY? 3": "2,+0.001000000000",
        "LAMP? 1": "+4.00",
        "TRAT?": "+1000.000000",
        "BURM?": "1",
        "INSR?": "0",
        "LERR?": "0",
        "*STB?": "0",
    }
    assert {question: bench.ask(question) for question in answers} == answers


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 90), max_size=8))
def test_segmentation_does_not_matter(cuts: list[int]) -> None:
    data = b"TSRC 5;BURM 1\r\nburc 7;burp 2e-3;DLAY 3,2,1e-4;*TRG;\nDLAY?3;LERR?\rPRES 2,  4;PRES? 2;X;LERR?\n"

    def run(pieces: Sequence[bytes]) -> tuple[bytes, list[int]]:
        bench = Bench()
        for piece in pieces:
            bench.persona.receive(piece, 0)
        bench.run(40 * MS)
        got = b""
        while bench.persona.reply_ready_ns(bench.t_ns) is not None:
            got += bench.persona.take(7, bench.t_ns)[0]
        return got, bench.begins("AB")

    edges = [0, *sorted(cuts), len(data)]
    expected = run([data])
    assert expected[0] == b"2,+0.000100000000\r\n0\r\n4\r\n110\r\n"
    assert run([data[a:b] for a, b in itertools.pairwise(edges)]) == expected


FRAGMENTS = st.sampled_from(
    [
        b"TSRC ",
        b"BURM 1",
        b"DLAY",
        b"?",
        b";",
        b"\n",
        b"\r\n",
        b"2,3,",
        b"1e-3",
        b"*TRG",
        b",",
        b"PRES ",
        b"1e999",
        b"0x",
        b"LERR?",
        b"SPPS 1,0",
        b"ADVT 1",
        b"TSRC 0",
        b"TSRC 1",
        b"BURP 1e-7",
        b"TRAT 1e4",
        b"INHB 5",
        b"*TST?",
        b"IFCF 11,",
        b"XTRM 300",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.one_of(FRAGMENTS, st.binary(max_size=12)), st.integers(0, 3 * MS)), max_size=30), st.booleans())
def test_no_bytes_make_it_raise(script: list[tuple[bytes, int]], hasty: bool) -> None:
    bench = Bench(Dg645Quirks(overrun_by_waiting_commands=hasty))
    for data, wait_ns in script:
        bench.persona.receive(data, bench.t_ns)
        bench.edges(bench.t_ns + wait_ns // 2)
        bench.edges(bench.t_ns + wait_ns // 3, to="INHIBIT")
        bench.run(wait_ns)
        ready = bench.persona.reply_ready_ns(bench.t_ns)
        assert ready is None or ready >= 0
        bench.persona.take(3, bench.t_ns)
