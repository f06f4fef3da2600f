"""The simulated PM100D against the table of its commands, row by row.

Source of every row: headers and parameters as the ThorlabsPM100 package 1.2.2 lists them, limits from memory, unverified,
unless its comment says otherwise. The document lists the same commands; its examples are executed here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sim_instruments.thorlabs_pm100d import KNOWINGLY_ABSENT, Pm100dPersona

MS = 1_000_000
DOCUMENT = Path(__file__).parents[2] / "docs" / "instruments" / "thorlabs-pm100d.md"


class Host:
    """A host that waits for every answer; a pulse of 0.4 uJ comes every 100 ms."""

    def __init__(self, *commands: str) -> None:
        self.persona = Pm100dPersona()
        self.t_ns = 0
        self.persona.detector.witness(np.arange(1, 10_000) * 100 * MS, np.full(9999, 0.4))
        self.send(*commands)

    def run(self, duration_ns: int) -> None:
        self.t_ns += duration_ns
        self.persona.run_until(self.t_ns)

    def send(self, *commands: str) -> None:
        for command in commands:
            self.persona.receive(f"{command}\n".encode(), self.t_ns)
            self.run(2 * MS)

    def answer(self) -> str | None:
        data, ended = self.persona.take(1 << 16, self.t_ns)
        assert ended or not data
        return data.decode().removesuffix("\n") if data else None

    def ask(self, question: str) -> str:
        self.send(question)
        self.run(300 * MS if self.persona.meter.running else 0)
        answer = self.answer()
        assert answer is not None, f"no answer to {question}"
        return answer

    def errors(self) -> list[int]:
        codes: list[int] = []
        while (code := int(self.ask("SYST:ERR?").split(",")[0])) != 0:
            codes.append(code)
        return codes


def spellings(header: str) -> list[str]:
    """A header as it may be written: long, short, small, mixed, with and without each optional node, with a leading colon."""
    full, bare = header.replace("[", "").replace("]", ""), re.sub(r"\[[^]]*\]", "", header)
    forms = [full, bare, re.sub("[a-z]", "", full), re.sub("[a-z]", "", bare), full.lower(), full.swapcase()]
    return [*forms, f":{forms[-1]}", f":{forms[1]}"]


# --- settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A command that sets and asks one value.

    Parameters
    ----------
    header   in the maker's notation
    default  reply after *RST, at 400 nm
    good     (value, reply)
    bad      (value, error code)
    words    replies to ? MIN, ? MAX and ? DEF, None for a word that is refused
    """

    header: str
    default: str
    good: tuple[tuple[str, str], ...]
    bad: tuple[tuple[str, int], ...] = ()
    words: tuple[str | None, str | None, str | None] | None = None


RANGES = (("1E-9", "1.000000E-06"), ("1E-6", "1.000000E-06"), ("1.1E-6", "1.000000E-05"), ("20uJ", "1.000000E-04"))
NUMBER = (("", -109), ("1,2", -108), ("ON", -224), ("--1", -121), ("'1'", -158), ("1E999", -222), ("1 kg", -131))
MASK = (("0", "0"), ("512", "512"), ("32767", "32767"), ("#H200", "512"))
REAL = (("", -109), ("1,2", -108))
ON_OFF = (("ON", "1"), ("0", "0"), ("1", "1"), ("off", "0"))

ROWS = [
    Row(
        "[SENSe:]CORRection:WAVelength",
        "4.000000E+02",
        (("400", "4.000000E+02"), ("0.5 um", "5.000000E+02"), ("MAX", "2.500000E+04"), ("532.5nm", "5.325000E+02")),
        (*NUMBER, ("184", -222), ("25001", -222), ("DEF", -224)),
        ("1.850000E+02", "2.500000E+04", None),
    ),
    Row(
        "[SENSe:]CORRection[:LOSS][:INPut][:MAGNitude]",
        "0.000000E+00",
        (("3.5", "3.500000E+00"), ("-60 dB", "-6.000000E+01"), ("DEF", "0.000000E+00")),
        (*NUMBER, ("60.1", -222)),
        ("-6.000000E+01", "6.000000E+01", "0.000000E+00"),
    ),
    Row(
        "[SENSe:]CORRection:BEAMdiameter",
        "9.500000E+00",
        (("1.2", "1.200000E+00"), ("3 mm", "3.000000E+00")),
        (*NUMBER, ("0", -222)),
        ("1.000000E-01", "1.000000E+02", "9.500000E+00"),
    ),
    Row(
        "[SENSe:]CORRection:ENERgy[:PYRO][:RESPonse]",
        "1.000000E+05",
        (("9E4", "9.000000E+04"), ("120 kV", "1.200000E+05"), ("DEF", "1.000000E+05")),
        (*NUMBER, ("9E3", -222)),
        ("1.000000E+04", "1.000000E+06", "1.000000E+05"),
    ),
    Row(
        "[SENSe:]ENERgy:RANGe[:UPPer]",
        "1.000000E-03",
        (*RANGES, ("MIN", "1.000000E-06"), ("MAX", "1.000000E-03")),
        (*NUMBER, ("1.1E-3", -222), ("-1E-6", -222)),
        ("1.000000E-06", "1.000000E-03", None),
    ),
    Row(
        "[SENSe:]VOLTage[:DC]:RANGe[:UPPer]",
        "1.000000E+02",
        (("0.05", "1.000000E-01"), ("2 V", "1.000000E+01"), ("500mV", "1.000000E+00")),
        (*NUMBER, ("101", -222)),
        ("1.000000E-01", "1.000000E+02", None),
    ),
    Row("[SENSe:]ENERgy:REFerence", "0.000000E+00", (("2E-7", "2.000000E-07"),), (*NUMBER, ("1", -222))),
    Row("[SENSe:]VOLTage[:DC]:REFerence", "0.000000E+00", (("0.5", "5.000000E-01"),), (*NUMBER, ("101", -222))),
    Row("[SENSe:]ENERgy:REFerence:STATe", "0", ON_OFF, (*REAL, ("2", -222), ("MAYBE", -224))),
    Row("[SENSe:]VOLTage[:DC]:REFerence:STATe", "0", ON_OFF, (*REAL, ("2", -222))),
    Row(
        "[SENSe:]PEAKdetector[:THReshold]",
        "1.000000E+00",
        (("0.1", "1.000000E-01"), ("99.9 PCT", "9.990000E+01"), ("5%", "5.000000E+00")),
        (*NUMBER, ("0", -222), ("100", -222)),
        ("1.000000E-01", "9.990000E+01", "1.000000E+00"),
    ),
    Row("[SENSe:]AVERage[:COUNt]", "1", (("300", "300"), ("10000", "10000")), (*REAL, ("0", -222), ("10001", -222))),
    Row("DISPlay:BRIGhtness", "1.000000E+00", (("0.25", "2.500000E-01"),), (*NUMBER, ("1.1", -222))),
    Row("DISPlay:CONTrast", "5.000000E-01", (("1", "1.000000E+00"),), (*NUMBER, ("-0.1", -222))),
    Row("SYSTem:LFRequency", "50", (("60", "60"), ("50", "50")), (*REAL, ("55", -222))),
    Row("SYSTem:BEEPer:STATe", "1", ON_OFF, REAL),
    Row("SYSTem:DATE", "2026,1,1", (("2026,2,3", "2026,2,3"),), (("2026,2", -109), ("1,2,3,4", -108), ("2026,13,1", -222))),
    Row("SYSTem:TIME", "12,0,0", (("23,59,59", "23,59,59"),), (("24,0,0", -222), ("", -109))),
    Row("INPut:ADAPter[:TYPE]", "PYR", (("PHOT", "PHOT"), ("thermal", "THER"), ("PYRo", "PYR")), (*REAL, ("GOLAY", -224))),
    Row("*ESE", "0", (("255", "255"),), (*REAL, ("256", -222))),
    Row("*SRE", "0", (("32", "32"),), (*REAL, ("-1", -222))),
    *(
        Row(f"STATus:{group}:{mask}", default, MASK, (*REAL, ("32768", -222), ("-1", -222)))
        for group in ("OPERation", "QUEStionable", "MEASurement", "AUXiliary")
        for mask, default in (("ENABle", "0"), ("PTRansition", "32767"), ("NTRansition", "0"))
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.header)
def test_default_and_every_spelling(row: Row) -> None:
    host = Host("SENS:CORR:WAV 400")
    answers = {host.ask(f"{spelling}?") for spelling in spellings(row.header)}
    assert answers == {row.default}
    assert host.errors() == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.header)
def test_what_is_set_is_read_back(row: Row) -> None:
    host = Host("SENS:CORR:WAV 400")
    for i, (value, reply) in enumerate(row.good):
        header = spellings(row.header)[i]
        host.send(f"{header} {value}")
        assert host.ask(f"{header}?") == reply
    assert host.errors() == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.header)
def test_what_is_refused_changes_nothing(row: Row) -> None:
    host = Host("SENS:CORR:WAV 400")
    header = spellings(row.header)[3]
    for value, code in row.bad:
        host.send(f"{header} {value}".rstrip())
        assert host.errors() == [code], value
        assert host.ask(f"{header}?") == row.default


@pytest.mark.parametrize("row", [row for row in ROWS if row.words], ids=lambda row: row.header)
def test_limits_can_be_asked(row: Row) -> None:
    host = Host("SENS:CORR:WAV 400")
    assert row.words is not None
    for word, reply in zip(("MIN", "maximum", "DEF"), row.words, strict=True):
        if reply is None:
            host.send(f"{spellings(row.header)[3]}? {word}")
            assert host.errors() == [-224]
        else:
            assert host.ask(f"{spellings(row.header)[3]}? {word}") == reply


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.header)
def test_reset_restores_measuring_and_leaves_the_rest(row: Row) -> None:
    host = Host("SENS:CORR:WAV 400")
    header, (value, reply) = spellings(row.header)[3], row.good[0]
    host.send(f"{header} {value}", "*RST", "SENS:CORR:WAV 400")
    kept = row.header.startswith(("DISP", "SYST", "INP", "STAT", "*"))
    assert host.ask(f"{header}?") == (reply if kept else row.default)


# --- questions --------------------------------------------------------------------------------------------------------

QUESTIONS = {
    "*IDN?": "Thorlabs,PM100D,P0004711,2.4.0",
    "*TST?": "0",
    "*OPC?": "1",
    "*ESR?": "128",
    "*STB?": "0",
    "SYSTem:ERRor[:NEXT]?": '+0,"No error"',
    "SYSTem:VERSion?": "1999.0",
    # kind 3 is a pyroelectric head in the maker's instrument driver; flags: energy, responsivity and wavelength settable
    "SYSTem:SENSor:IDN?": '"ES111C","1501012","11-Nov-2025",3,2,50',
    "CALibration:STRing?": '"11-Nov-2025"',
    "CONFigure?": "ENER",
    "STATus:OPERation[:EVENt]?": "0",
    "STATus:OPERation:CONDition?": "256",  # a head is there
    "STATus:QUEStionable[:EVENt]?": "0",
    "STATus:QUEStionable:CONDition?": "0",
    "STATus:MEASurement[:EVENt]?": "0",
    "STATus:AUXiliary:CONDition?": "0",
    "[SENSe:]FREQuency:RANGe[:UPPer]?": "3.000000E+03",
    "[SENSe:]FREQuency:RANGe:LOWer?": "1.000000E+00",
}


@pytest.mark.parametrize(("header", "answer"), QUESTIONS.items())
def test_answers_after_power_on(header: str, answer: str) -> None:
    for spelling in spellings(header):
        assert Host().ask(spelling) == answer


MEASUREMENTS = {"ENERgy": 0.4e-6, "EDENsity": 0.4e-6 / (np.pi / 4 * 0.95**2), "VOLTage[:DC]": 0.04, "FREQuency": 10.0}


@pytest.mark.parametrize(("function", "expected"), MEASUREMENTS.items())
def test_measurements(function: str, expected: float) -> None:
    host = Host("SENS:CORR:WAV 400", "SENS:ENER:RANG 1E-6")
    for spelling in spellings(f"MEASure[:SCALar]:{function}?"):
        assert float(host.ask(spelling)) == pytest.approx(expected, rel=0.1)
    host.send("CONF:ENER")
    for spelling in spellings(f"CONFigure[:SCALar]:{function}"):
        host.send("CONF:ENER", spelling)
        assert host.ask("CONF?") == function[:4].upper()
        assert float(host.ask("READ?")) == pytest.approx(expected, rel=0.1)
        host.send("INIT")
        assert float(host.ask("FETC?")) == pytest.approx(expected, rel=0.1)
    assert host.errors() == []


def test_answers_of_one_message_come_in_one_line() -> None:
    host = Host("SENS:CORR:WAV 400", "SENS:ENER:RANG 1E-6")
    first, reading, last = host.ask("*TST?;:MEAS:ENER?;:SENS:AVER?").split(";")
    assert (first, last) == ("0", "1")
    assert re.fullmatch(r"\d\.\d{6}E-07", reading)


# --- what clients send by mistake -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        *(("MEAS:POW", -113), ("MEAS:ENER", -113), ("CONF ENER", -108), ("MEAS:ENER? 1", -108), ("SENS:AVER:1000", -110)),
        *(("INIT 1", -108), ("ABOR?", -113), ("FETC", -113), ("SENS:ENER:RANG:AUTO ON", -113), ("NONSENSE?", -113)),
        *(("STAT:AUXILLARY:COND?", -113), ("SENS:CORR:WAVELENGTHOFLIGHT 1", -112), ("SYST:DATE? 1", -108), ("*RST 1", -108)),
        *(("SENS:CORR:WAV400", -114), ("SENS:CORR:WAV=400", -111), ("\x07", -101), ("FETC?", -230)),
    ],
)
def test_mistakes_are_errors_and_never_silence_afterwards(message: str, code: int) -> None:
    host = Host(message)
    assert host.answer() is None
    assert host.errors() == [code]
    assert host.ask("*TST?") == "0"


@pytest.mark.parametrize("message", ["*RST;:stat:pres;:*CLS;", ":*CLS", "syst:beep ;", "SENS:AVER  2", " ;; ", "\r"])
def test_sloppy_messages_are_understood(message: str) -> None:
    assert Host(message).errors() == []


# --- the document -----------------------------------------------------------------------------------------------------


def documented() -> list[tuple[str, str, str]]:
    """Header, example and state of each row."""
    rows = re.findall(r"^\| `([^`]+)`(?: \(driver\))? \| `([^`]+)` \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 100
    return [(header, example, state) for header, example, state in rows]


def test_every_row_of_the_document_is_of_the_table_s_form() -> None:
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("|")]
    assert lines[0] == "| command | example | in the simulated instrument |"
    assert len(lines) == 2 + len(documented())


def test_the_document_says_what_is_knowingly_absent() -> None:
    absent = {header: state.removeprefix("no: ") for header, _, state in documented() if state != "yes"}
    assert absent == KNOWINGLY_ABSENT


@pytest.mark.parametrize(("header", "example", "state"), documented(), ids=lambda text: text)
def test_examples_do_what_the_document_says(header: str, example: str, state: str) -> None:
    host = Host("SENS:CORR:WAV 400", "SENS:ENER:RANG 1E-6", example)
    host.run(300 * MS)
    answer = host.answer()
    codes = host.errors()
    if state == "yes":
        assert codes == []
        assert (answer is not None) == header.endswith("?")
    else:
        assert answer is None
        assert codes == [-113 if header.startswith("*") else -221]


def test_no_command_of_the_table_is_missing_in_the_document() -> None:
    tested = {*QUESTIONS, *(row.header for row in ROWS), *(f"{row.header}?" for row in ROWS)}
    tested |= {f"{verb}ure[:SCALar]:{f}{end}" for f in MEASUREMENTS for verb, end in (("MEAS", "?"), ("CONFig", ""))}
    assert tested <= {header for header, _, _ in documented()}
