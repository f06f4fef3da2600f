"""The simulated Keithley 2450 against the maker's tables: settings and questions, row by row.

Source of every row: 2450-901-01 rev B, section 6 (commands, *RST defaults, limits), completed by 2461-901-01 rev A, unless its
comment says otherwise. Error codes are the standard's; which of them the maker gives is assumed where the manual is silent.
"""

import re
from dataclasses import dataclass

import pytest
from keithley_2400_host import spellings
from keithley_2450_host import NO_ERROR, Host, S, g

from sim_instruments.keithley_2450 import Keithley2450Quirks


@dataclass(frozen=True)
class Row:
    """A setting.

    Parameters
    ----------
    spec     header in the manual's notation
    default  its reply after *RST (at power-on when *RST leaves it alone)
    good     (parameter, reply to the question)
    bad      (parameter, error code)
    words    replies to the question with MIN, MAX, DEF
    given    settings before it
    stays    *RST leaves it alone
    """

    spec: str
    default: str
    good: tuple[tuple[str, str], ...]
    bad: tuple[tuple[str, int], ...] = ()
    words: tuple[str, str, str] | None = None
    given: tuple[str, ...] = ()
    stays: bool = False


def flag(spec: str, default: str, **more: object) -> Row:
    good = (("1", "1"), ("OFF", "0"), ("on", "1"), ("0", "0"))
    return Row(spec, default, good, (("2", -222), ("MAYBE", -224)), **more)  # pyright: ignore[reportArgumentType]


def words(spec: str, default: str, *names: str, **more: object) -> Row:
    """Names in the manual's notation; each is sent short, long and in lower case."""
    short = {name: re.sub("[a-z]", "", name) for name in names}
    good = tuple((form, short[name]) for name in names for form in (short[name], name.upper(), name.lower()))
    return Row(spec, default, good, (("FOO", -224), ("1", -128)), **more)  # pyright: ignore[reportArgumentType]


def real(spec: str, default: float, low: float, high: float, *bad: str, **more: object) -> Row:
    good = tuple((f"{value:.10g}", g(value)) for value in (low, high, (low + high) / 4))
    refused = tuple((text, -222) for text in bad)
    return Row(spec, g(default), good, refused, (g(low), g(high), g(default)), **more)  # pyright: ignore[reportArgumentType]


def whole(spec: str, default: int, low: int, high: int, **more: object) -> Row:
    good = tuple((str(value), str(value)) for value in (low, high))
    bad = ((str(low - 1), -222), (str(high + 1), -222))
    return Row(spec, str(default), good, bad, (str(low), str(high), str(default)), **more)  # pyright: ignore[reportArgumentType]


VOLTS, AMPS = (0.02, 0.2, 2.0, 20.0, 200.0), (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


def ranges(spec: str, nominal: tuple[float, ...], default: float, beyond: str, **more: object) -> Row:
    """A range holds 105 % of its name; it is told by its name (form assumed)."""
    good = tuple((f"{value:.10g}", g(value)) for value in nominal)
    good += ((f"{nominal[1] * 1.05:.10g}", g(nominal[1])), (f"{-nominal[1] * 1.06:.10g}", g(nominal[2])))
    told = (g(nominal[0]), g(nominal[-1]), g(default))
    return Row(spec, g(default), good, ((beyond, -222),), told, **more)  # pyright: ignore[reportArgumentType]


def source(name: str, limit: float, beyond: str, nominal: tuple[float, ...]) -> list[Row]:
    root = f"SOURce[1]:{name}"
    return [
        real(f"{root}[:LEVel][:IMMediate][:AMPLitude]", 0, -limit, limit, beyond, "-" + beyond),
        ranges(f"{root}:RANGe", nominal, nominal[0], beyond),
        flag(f"{root}:RANGe:AUTO", "1"),
        real(f"{root}:DELay", 0, 0, 10_000, "10001", "-1"),
        flag(f"{root}:DELay:AUTO", "1"),
        flag(f"{root}:READ:BACK", "1"),
        flag(f"{root}:HIGH:CAPacitance", "0"),
        words(f"OUTPut[1]:{name}:SMODe", "NORM", "NORMal", "HIMPedance", "ZERO", "GUARd"),
    ]


def sense(name: str, nominal: tuple[float, ...], default: float, beyond: str) -> list[Row]:
    root = f"[:SENSe[1]]:{name}"
    return [
        Row(
            f"{root}:NPLCycles",
            "1",
            (("0.01", "0.01"), ("10", "10"), ("0.1", "0.1")),
            (("0.009", -222), ("10.01", -222)),
            ("0.01", "10", "1"),
        ),
        ranges(f"{root}:RANGe[:UPPer]", nominal, default, beyond),
        flag(f"{root}:RANGe:AUTO", "1"),
        flag(f"{root}:AZERo[:STATe]", "1"),
        flag(f"{root}:AVERage[:STATe]", "0"),
        whole(f"{root}:AVERage:COUNt", 10, 1, 100),
        words(f"{root}:AVERage:TCONtrol", "REP", "REPeat", "MOVing"),
        flag(f"{root}:RSENse", "0"),
        flag(f"{root}:RELative:STATe", "0"),
    ]


OHMS = (20.0, 200.0, 2e3, 2e4, 2e5, 2e6, 2e7, 2e8)
SETTINGS = [
    words("SOURce[1]:FUNCtion[:MODE]", "VOLT", "VOLTage", "CURRent"),
    *source("VOLTage", 210, "210.001", VOLTS),
    *source("CURRent", 1.05, "1.0501", AMPS),
    Row(
        "SOURce[1]:VOLTage:ILIMit[:LEVel]",
        g(1.05e-4),
        (("1e-9", g(1e-9)), ("0.001", g(1e-3)), ("1.05", g(1.05)), ("-0.01", g(-0.01))),
        (("1.0501", -222), ("0", -222)),
        (g(1e-9), g(1.05), g(1.05e-4)),
    ),
    Row(
        "SOURce[1]:CURRent:VLIMit[:LEVel]",
        "21",
        (("15", "15"), ("210", "210"), ("0.02", "0.02")),
        (("210.1", -222), ("0", -222)),
        ("0.02", "210", "21"),
    ),
    Row(  # steps from memory
        "SOURce[1]:VOLTage:PROTection[:LEVel]",
        "NONE",
        (("PROT20", "PROT20"), ("prot40", "PROT40"), ("NONE", "NONE"), ("PROT2", "PROT2")),
        (("PROT21", -224), ("20", -224)),
    ),
    Row(
        "[:SENSe[1]]:FUNCtion[:ON]",
        '"CURR:DC"',
        (('"VOLT"', '"VOLT:DC"'), ("'RES'", '"RES"'), ("'current:dc'", '"CURR:DC"')),
        (("CURR", -104), ('"WATT"', -224), ('"CURR', -151)),
    ),
    whole("[:SENSe[1]]:COUNt", 1, 1, 300_000),
    *sense("VOLTage[:DC]", VOLTS, 0.02, "210.1"),
    *sense("CURRent[:DC]", AMPS, 1e-8, "1.0501"),
    *sense("RESistance", OHMS, 2e5, "2.2e8"),
    flag("[:SENSe[1]]:RESistance:OCOMpensated", "0"),
    words("ROUTe:TERMinals", "FRON", "FRONt", "REAR"),
    words("FORMat[:DATA]", "ASC", "ASCii", "REAL", "SREal"),
    words("FORMat:BORDer", "SWAP", "NORMal", "SWAPped"),
    whole("FORMat:ASCii:PRECision", 0, 0, 16),
    words("*LANG", "SCPI", "SCPI", "TSP", stays=True),
    Row("*LANG", "SCPI", (("SCPI2400", "SCPI2400"),), (("LUA", -224),), stays=True),
    flag("OUTPut[1][:STATe]", "0"),
]
TEXTS = {
    -104: "Data type error",
    -109: "Missing parameter",
    -128: "Numeric data not allowed",
    -151: "Invalid string data",
    -222: "Parameter data out of range",
    -224: "Illegal parameter value",
}
rows = pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.spec)


@rows
def test_default_in_every_spelling(row: Row) -> None:
    host = Host("*RST")
    assert {host.ask(header + "?") for header in spellings(row.spec)} == {row.default}


@rows
def test_what_is_set_is_read_back_and_reset(row: Row) -> None:
    host = Host(*row.given)
    headers = spellings(row.spec)
    for number, (text, reply) in enumerate(row.good):
        host.send(f"{headers[number % len(headers)]} {text}")
        assert host.ask(f"{headers[(number + 1) % len(headers)]}?") == reply, text
    assert host.ask("SYST:ERR?") == NO_ERROR
    if not row.stays:
        host.send("*RST")
        assert host.ask(headers[0] + "?") == row.default


@rows
def test_limits_and_error_texts(row: Row) -> None:
    host = Host(*row.given)
    header = spellings(row.spec)[0]
    before = host.ask(header + "?")
    for text, code in row.bad:
        host.send(f"{header} {text}")
        assert host.error() == f"{code},{TEXTS[code]}", text
    host.send(header)
    assert host.error() == f"-109,{TEXTS[-109]}"
    assert host.ask(header + "?") == before


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.words], ids=lambda row: row.spec)
def test_words_for_limits(row: Row) -> None:
    assert row.words
    host = Host(*row.given)
    for header in spellings(row.spec)[:2]:
        replies = [host.ask(f"{header}? {word}") for word in ("MIN", "maximum", "DEF")]
        assert tuple(replies) == row.words
    host.send(f"{spellings(row.spec)[0]} MIN")
    assert host.ask(spellings(row.spec)[0] + "?") == row.words[0]


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", range(1, 7))
def test_settings_of_a_line(line: int) -> None:
    host = Host("*RST")
    mode, edge = f"DIG:LINE{line}:MODE", f"TRIG:DIG{line}"
    asked = f"{mode}?;:{edge}:IN:EDGE?;:{edge}:IN:OVER?;:{edge}:OUT:LOG?;PULS?;STIM?;:DIG:LINE{line}:STAT?"
    assert host.ask(asked) == "DIG,IN;FALL;0;NEG;1E-05;NONE;1"  # an input floats high
    host.send(f"{mode} TRIG, OUT", f"{edge}:IN:EDGE RIS", f"{edge}:OUT:LOG POS;PULS 2e-5;STIM NOTify8")
    assert host.ask(asked) == "TRIG,OUT;RIS;0;POS;2E-05;NOT8;0"
    host.send("*RST")
    assert host.ask(asked) == "DIG,IN;FALL;0;NEG;1E-05;NONE;1"
    for bad, code in ((f"{mode} TRIG,MAST", -221), (f"{edge}:OUT:PULS 100001", -222), (f"{edge}:OUT:STIM NOT9", -224)):
        host.send(bad)
        assert host.error().startswith(f"{code},")


def test_a_line_that_does_not_exist() -> None:
    host = Host("DIG:LINE7:MODE TRIG,IN")
    assert host.error() == "-114,Header suffix out of range"


# --- what is not a setting --------------------------------------------------------------------------------------------

ON = ("SOUR:VOLT:ILIM 1e-3", "SOUR:VOLT 6", "OUTP ON")
NUMBER = r"-?\d\.\d{6}E[+-]\d\d"
TWO = ("SOUR:CONF:LIST:CRE 'x'", "SOUR:VOLT 2", "SOUR:CONF:LIST:STOR 'x'", "SOUR:VOLT 5", "SOUR:CONF:LIST:STOR 'x'")
NONE = ",".join(NO_ERROR.split(',"')).rstrip('"').split(";")[0]

# given, question, reply (a regular expression), the error left behind
ANSWERS = [
    ((), "*IDN?", r"KEITHLEY INSTRUMENTS,MODEL 2450,\d+,1\.\S+", NONE),
    ((), "*LANG?", "SCPI", NONE),
    ((), "*OPC?", "1", NONE),
    ((), "*TST?", "0", NONE),
    ((), "*STB?", "0", NONE),
    ((), "*ESR?", "128", NONE),
    (("*ESE 255", "*SRE 255"), "*ESE?;*SRE?", "255;255", NONE),
    (("*OPC", "*WAI"), "*ESR?", "129", NONE),
    (("FOO", "*ESE 32", "*SRE 32"), "*STB?", str(4 + 32 + 64), "-113,Undefined header"),
    (("SOUR:VOLT 7", "*SAV 4", "*RST", "*RCL 4"), "SOUR:VOLT?", "7", NONE),
    (ON, "READ?", NUMBER, NONE),
    (ON, ":Read? 'defbuffer2', SOUR, READ, REL", f"{NUMBER},{NUMBER},0.000000E\\+00", NONE),
    ((*ON, "READ?"), 'FETC? "defbuffer1", DATE, READ, SOUR', f"01/01/2025,{NUMBER},{NUMBER}", NONE),
    (ON, "MEAS:VOLT?;:SENS:FUNC?", f'{NUMBER};"VOLT:DC"', NONE),
    (ON, "MEAS:RES? 'defbuffer1', UNIT", "Ohm", NONE),
    (ON, "MEAS?;:OUTP?", f"{NUMBER};1", NONE),
    ((), "MEAS:CURR?;:OUTP?", f"{NUMBER};0", NONE),  # measuring switches nothing on
    ((*ON, "SENS:COUN 3", "READ?"), "TRAC:ACT?;ACT:STAR?;END?", "3;1;3", NONE),
    ((*ON, "SENS:COUN 3", "READ?"), "TRAC:DATA? 1, 3", ",".join([NUMBER] * 3), NONE),
    ((*ON, "READ?"), "TRAC:DATA? 1,1,'defbuffer1',UNIT,SOURUNIT,STAT,SOURSTAT", "Amp DC,Volt DC,8,128", NONE),
    ((*ON, "SOUR:VOLT:ILIM 1e-5", "READ?"), "TRAC:DATA? 1,1,'defbuffer1',SOURSTAT", str(128 + 32), NONE),
    ((*ON, "FORM:ASC:PREC 3"), "READ?", r"1\.00E-04", NONE),
    ((*ON, "SENS:COUN 4", "READ?"), "TRAC:STAT:AVER?;MIN?;MAX?;PK2PK?;STDD?", ";".join([NUMBER] * 5), NONE),
    ((*ON, "READ?", "TRAC:CLE"), "TRAC:ACT?", "0", NONE),
    (("TRAC:MAKE 'run', 100, FULL",), "TRAC:POIN? 'run';FILL:MODE? 'run'", "100;ONCE", NONE),
    (("TRAC:MAKE 'run', 100", "TRAC:POIN 300, 'run'"), "TRAC:POIN? 'run'", "300", NONE),
    ((), "TRAC:POIN?;FILL:MODE?;:TRAC:LOG:STAT?", "100000;CONT;1", NONE),
    (("TRAC:FILL:MODE ONCE, 'defbuffer1'",), "TRAC:FILL:MODE?", "ONCE", NONE),
    ((*ON, "TRAC:TRIG 'defbuffer2'"), "TRAC:ACT? 'defbuffer2'", "1", NONE),
    (("SOUR:VOLT 20", "OUTP ON"), "SOUR:VOLT:ILIM:TRIP?;:SOUR:CURR:VLIM:TRIP?", "1;0", NONE),
    (ON, "SOUR:VOLT:ILIM:LEV:TRIP?;:SOUR:VOLT:PROT:TRIP?", "0;0", NONE),
    ((*ON, "SOUR:VOLT:PROT PROT20", "SOUR:VOLT 30"), "SOUR:VOLT:PROT:TRIP?", "1", NONE),
    (("SOUR:FUNC CURR", "SOUR:CURR 1e-3", "OUTP ON"), "SOUR:CURR:VLIM:TRIP?", "1", NONE),
    (("SOUR:VOLT:DEL 0.5",), "SOUR:VOLT:DEL?;DEL:AUTO?", "0.5;0", NONE),
    (("SOUR:DEL 0.1",), "SOUR:VOLT:DEL?;:SOUR:CURR:DEL?", "0.1;0.1", NONE),
    (("SOUR:VOLT:DEL:USER2 5",), "SOUR:VOLT:DEL:USER2?;USER1?", "5;0", NONE),
    (("SENS:CURR:DEL:USER5 1",), "CURR:DEL:USER5?", "1", NONE),
    (("OUTP:SMOD ZERO",), "OUTP:VOLT:SMOD?;:OUTP:CURR:SMOD?;:OUTP:SMOD?", "ZERO;ZERO;ZERO", NONE),
    ((), "OUTP:INT:TRIP?", "1", NONE),
    (("SOUR:VOLT:RANG 20",), "SOUR:VOLT:RANG:AUTO?", "0", NONE),
    (("SENS:CURR:RANG 1e-3",), "SENS:CURR:RANG:AUTO?", "0", NONE),
    (("SENS:AZER:ONCE",), "SENS:CURR:AZER?", "1", NONE),
    (("SOUR:LIST:VOLT 1, 5, 1", "SOUR:LIST:VOLT:APP 5"), "SOUR:LIST:VOLT:POIN?", "4", NONE),
    (("SOUR:LIST:VOLT 20, 0",), "SOUR:LIST:VOLT?", r"2\.000000E\+01,0\.000000E\+00", NONE),
    (("SOUR:LIST:VOLT 20, 0",), "SOUR:CONF:LIST:SIZE? 'VoltCustomSweepList'", "2", NONE),
    (TWO, "SOUR:CONF:LIST:SIZE? 'x'", "2", NONE),
    ((*TWO, "SOUR:CONF:LIST:REC 'x', 1"), "SOUR:VOLT?", "2", NONE),
    ((*TWO, "SOUR:CONF:LIST:REC 'x'"), "SOUR:VOLT?", "2", NONE),
    ((*TWO, "SOUR:CONF:LIST:DEL 'x', 1"), "SOUR:CONFIGURATION:LIST:SIZE? 'x'", "1", NONE),
    ((*TWO, "SENS:CONF:LIST:CRE 'm'"), "SOUR:CONF:LIST:CAT?;CAT?;:SENS:CONF:LIST:CAT?", '"x";"";"m"', NONE),
    (
        ("SENS:CONF:LIST:CRE 'm'", "CURR:NPLC 5", "SENS:CONF:LIST:STOR 'm'", "CURR:NPLC 1", "SENS:CONF:LIST:REC 'm'"),
        "CURR:NPLC?",
        "5",
        NONE,
    ),
    ((), "TRIG:STAT?", "EMPTY;EMPTY;0", NONE),
    (("TRIG:BLOC:MEAS 1",), "TRIG:STAT?", "BUILDING;BUILDING;0", NONE),
    (("TRIG:LOAD 'SimpleLoop', 3", "INIT", "*WAI"), "TRIG:STAT?;:TRAC:ACT?", "IDLE;IDLE;4;3", NONE),
    (("TRIG:LOAD:LOOP:SIMP 3", "INIT", "*WAI"), "TRAC:ACT?", "3", NONE),
    (("TRIG:BLOC:WAIT 1, COMM", "INIT", "ABOR"), "TRIG:STAT?", "ABORTED;ABORTED;1", NONE),
    (("TRIG:BLOC:WAIT 1, COMMand", "INIT", "*TRG", "*WAI"), "TRIG:STAT?", "IDLE;IDLE;1", NONE),
    ((), "SYST:VERS?", r"1996\.0", NONE),
    ((), "SYST:LFR?", "50", NONE),
    (("FOO",), "SYST:ERR:NEXT?", r'-113,"Undefined header;1;2025/01/01 00:00:00\.001"', NONE),
    (("FOO",), "SYSTEM:EVENTLOG:NEXT?", r'-113,"Undefined header;1;2025/01/01 00:00:00\.001"', NONE),
    (("SOUR:VOLT",), "SYST:EVEN:NEXT? ERR", r'-109,"Missing parameter;1;2025/01/01 00:00:00\.001"', NONE),
    (("FOO", "SYST:CLE"), "SYST:ERR:COUN?;:SYST:ERR?", "0;" + re.escape(NO_ERROR), NONE),
    (("FOO", "*CLS"), "SYST:ERR:CODE?", "0", NONE),
    (("SYST:EVEN:POST 'my error', INF",), "SYST:EVEN:NEXT?", r'1003,"User: my error;4;2025/01/01 00:00:00\.001"', NONE),
    (("TRIG:LOAD 'SimpleLoop', 1", "INIT", "*WAI"), "SYST:EVEN:COUN? INF;COUN? ERR;:SYST:ERR:COUN?", "2;0;0", NONE),
    ((), "STAT:OPER?;:STAT:QUES?;:STAT:OPER:COND?", "0;0;0", NONE),
    (("STAT:OPER:ENAB 5", "STAT:QUES:ENAB 6"), "STAT:OPER:ENAB?;:STAT:QUES:ENAB?", "5;6", NONE),
    (("STAT:OPER:ENAB 5", "STAT:PRES"), "STAT:OPER:ENAB?", "0", NONE),
    ((), "DIG:READ?", "63", NONE),
    (
        (*(f"DIG:LINE{n}:MODE DIG,OUT" for n in range(1, 7)), "DIG:WRIT 21"),
        "DIG:READ?;:DIG:LINE3:STAT?;:DIG:LINE2:STAT?",
        "21;1;0",
        NONE,
    ),
    # what is sent wrongly gets the instrument's error and never stops it
    (("MEAS:CURR",), "OUTP?", "0", "-113,Undefined header"),
    (("SENS:CURR:PROT 1e-3",), "OUTP?", "0", "-113,Undefined header"),  # a 2400's limit is not this language's
    (("INIT",), "OUTP?", "0", "2710,No trigger model found"),  # number assumed
    (("FETC?",), "OUTP?", "0", "-230,Data corrupt or stale"),
    (("TRAC:DATA? 1, 1",), "OUTP?", "0", "-222,Parameter data out of range"),
    (("READ? 'nobuffer'",), "OUTP?", "0", "-224,Illegal parameter value"),
    (("READ? 'defbuffer1', FOO",), "OUTP?", "0", "1133,Parameter 4, Syntax error, expected valid name parameters"),
    (
        (*ON, "FORM REAL", "READ? 'defbuffer1', DATE"),
        "OUTP?",
        "1",
        "1133,Parameter 4, Syntax error, expected valid name parameters",
    ),
    (
        ("TRAC:MAKE 'defbuffer1', 10",),
        "OUTP?",
        "0",
        "1115,Parameter error: TRACe:MAKE cannot take an existing reading buffer name",
    ),
    (("TRAC:MAKE 'a', 9",), "OUTP?", "0", "-222,Parameter data out of range"),
    (("TRAC:MAKE 'a', 4500000",), "OUTP?", "0", "-225,Out of memory"),
    (("SOUR:CONF:LIST:REC 'x'",), "OUTP?", "0", "2790,Configuration list, error, does not exist"),
    ((*TWO, "SOUR:CONF:LIST:REC 'x', 3"), "SOUR:VOLT?", "5", "2790,Configuration list, error, does not exist"),
    (("SOUR:VOLT:RANG 2;:SOUR:VOLT 2.2",), "SOUR:VOLT?", "0", "-222,Parameter data out of range"),
    (("SENS:CURR:RANG 0.1;:SOUR:VOLT:ILIM 1e-5",), "SOUR:VOLT:ILIM?", "0.000105", "-222,Parameter data out of range"),
    (("SOUR:VOLT:ILIM 0.2;:SOUR:VOLT 50",), "SOUR:VOLT?", "0", "-221,Settings conflict"),
    (("SOUR:LIST:VOLT " + ",".join(["1"] * 101),), "SOUR:LIST:VOLT:POIN?", "0", "-223,Too much data"),
    (("SOUR:LIST:VOLT 1,211",), "SOUR:LIST:VOLT:POIN?", "0", "-222,Parameter data out of range"),
    (("TRIG:BLOC:MEAS 64",), "TRIG:STAT?", "EMPTY;EMPTY;0", "-222,Parameter data out of range"),
    (("TRIG:BLOC:CONF:REC 1, 'no'",), "TRIG:STAT?", "EMPTY;EMPTY;0", "2790,Configuration list, error, does not exist"),
    (("TRIG:BLOC:WAIT 1, NONE", "INIT"), "TRIG:STAT?", "BUILDING;BUILDING;0", "-221,Settings conflict"),
    (("TRIG:BLOC:DEL:CONS 1, 1e-8",), "TRIG:STAT?", "EMPTY;EMPTY;0", "-222,Parameter data out of range"),
    (("TRIG:LOAD 'Nothing'",), "TRIG:STAT?", "EMPTY;EMPTY;0", "-224,Illegal parameter value"),
    # `;` stays in the subsystem, common commands do not change it, `;:` returns to the root, a trailing `;` is harmless
    (("*RST;:stat:pres;:*CLS;", "SOUR:VOLT:RANG 2;*WAI;LEV 1;"), "SOUR:VOLT:LEV?;RANG?;:OUTP?;", "1;2;0", NONE),
    (("SOUR:VOLT 1;:FOO;:SOUR:VOLT 2",), "SOUR:VOLT?", "1", "-113,Undefined header"),
    (("SYST:BEEP 400, 0.5", "DISP:CLE", "DISP:SCR HOME", "SYST:ACC FULL"), "OUTP?", "0", NONE),
]


@pytest.mark.parametrize(("given", "question", "reply", "error"), ANSWERS, ids=lambda value: str(value)[:60])
def test_answers(given: tuple[str, ...], question: str, reply: str, error: str) -> None:
    host = Host()
    for message in given:
        host.send(message)
        if "?" in message:
            host.run(S)
            host.persona.take(1 << 20, host.t_ns)
    host.run(S)
    answer = host.ask(question)
    assert re.fullmatch(reply, answer), answer
    assert host.error() == error


def test_the_order_of_appearance_in_the_log() -> None:
    host = Host("FOO", "SOUR:VOLT 999")
    assert [host.error() for _ in range(3)] == ["-113,Undefined header", "-222,Parameter data out of range", "0,No error"]


def test_the_manual_s_own_name_and_buffers() -> None:
    quirks = Keithley2450Quirks(maker_name="KEITHLEY INSTRUMENTS INC.", default_buffer_points=10_000)
    assert Host(quirks=quirks).ask("*IDN?").startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2450,")
    assert Host(quirks=quirks).ask("TRAC:POIN?") == "10000"


BLOCKS = [
    ("BUFF:CLE 1", "BUFFER_CLEAR BUFFER: defbuffer1"),
    ('CONF:REC 1,"x",2', "CONFIG_RECALL CONFIG_LIST: x INDEX: 2"),
    ('CONF:NEXT 1,"x"', "CONFIG_NEXT CONFIG_LIST: x"),
    ('CONF:PREV 1,"x"', "CONFIG_PREV CONFIG_LIST: x"),
    ("SOUR:STAT 1,ON", "SOURCE_OUTPUT OUTPUT: ON"),
    ("MEAS 1", "MEASURE BUFFER: defbuffer1 COUNT: 1"),
    ('MEAS 1,"defbuffer2",INF', "MEASURE BUFFER: defbuffer2 COUNT: INF"),
    ("WAIT 1,DIGio3", "WAIT EVENT: DIG3 CLEAR: NEVER"),
    ("WAIT 1,DIG1,ENTer,AND,NOT2,COMM", "WAIT EVENT: DIG1 AND NOT2 AND COMM CLEAR: ENTER"),
    ("WAIT 1,DISP,OR,TIM4", "WAIT EVENT: DISP OR TIM4 CLEAR: NEVER"),  # the older form, without the clear parameter
    ("DEL:CONS 1,1", "DELAY_CONSTANT DELAY: 1.000000000"),
    ("DEL:DYN 1,SOUR5", "DELAY_DYNAMIC DELAY: SOURCE5"),
    ("BRAN:COUN 1,5,2", "BRANCH_COUNTER VALUE: 5 BRANCH_BLOCK: 2"),
    ("BRAN:ALW 1,0", "BRANCH_ALWAYS BRANCH_BLOCK: 0"),
    ("BRAN:EVEN 1,SLIM,7", "BRANCH_ON_EVENT EVENT: SLIM BRANCH_BLOCK: 7"),
    ("BRAN:ONCE 1,4", "BRANCH_ONCE BRANCH_BLOCK: 4"),
    ("BRAN:ONCE:EXCL 1,4", "BRANCH_ONCE_EXCLUDED BRANCH_BLOCK: 4"),
    ("DIG:IO 1,20,60", "DIGITAL_IO PATTERN: 20 MASK: 60"),
    ("NOT 1,8", "NOTIFY ID: 8"),
    ('LOG:EVEN 1,INFO2,"done"', "LOG_EVENT MESSAGE: done"),
    ("NOP 1", "NOP"),
]


@pytest.mark.parametrize(("block", "listed"), BLOCKS)
def test_a_block_is_listed(block: str, listed: str) -> None:
    """Names of four blocks as the manual's example prints them, the others from memory."""
    host = Host(*TWO, f"TRIG:BLOC:{block}")
    assert host.ask("TRIG:BLOC:LIST?") == f"1) {listed}"
    assert host.ask("SYST:ERR?") == NO_ERROR


@pytest.mark.parametrize("event", ["FOO", "DIG7", "DIG0", "DIG", "NOT9", "TIM5", "COMM1", "BLEN3"])
def test_an_event_that_does_not_exist(event: str) -> None:
    assert Host(f"TRIG:BLOC:WAIT 1, {event}").error() == "-224,Illegal parameter value"
