"""The simulated Keithley 2400 against the maker's tables: settings and questions, row by row.

Source of every row: Keithley 2400S-900-01 rev K, tables 18-1 to 18-11 (commands, *RST defaults, limits) and table B-1 (error
texts), unless its comment says otherwise. That no row is missing: test_keithley_2400_status_table.py.
"""

import re
from dataclasses import dataclass

import pytest
from keithley_2400_host import NO_ERROR, Host, S, e, spellings

from sim_instruments.keithley_2400 import Keithley2400Quirks


def test_spellings_of_this_test() -> None:
    assert spellings("[:SENSe[1]]:CURRent[:DC]:NPLCycles")[:4] == [
        "CURR:NPLC",
        "SENSE1:CURRENT:DC:NPLCYCLES",
        "cUrReNt:nPlCyClEs",
        ":CURR:NPLC",
    ]


# --- settings -------------------------------------------------------------------------------------------------------


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


def words(spec: str, default: str, *names: str, bad: tuple[tuple[str, int], ...] = (), **more: object) -> Row:
    """Names in the manual's notation; each is sent short, long and in lower case."""
    short = {name: re.sub("[a-z]", "", name) for name in names}
    good = tuple((form, short[name]) for name in names for form in (short[name], name.upper(), name.lower()))
    return Row(spec, default, good, (("FOO", -224), ("1", -128), *bad), **more)  # pyright: ignore[reportArgumentType]


def real(spec: str, default: float, low: float, high: float, *bad: str, **more: object) -> Row:
    good = tuple((f"{value:.10g}", e(value)) for value in (low, high, (low + high) / 4))
    refused = tuple((text, -222) for text in bad)
    return Row(spec, e(default), good, refused, (e(low), e(high), e(default)), **more)  # pyright: ignore[reportArgumentType]


def whole(spec: str, default: int, low: int, high: int, **more: object) -> Row:
    good = tuple((str(value), str(value)) for value in (low, high))
    bad = ((str(low - 1), -222), (str(high + 1), -222))
    return Row(spec, str(default), good, bad, (str(low), str(high), str(default)), **more)  # pyright: ignore[reportArgumentType]


def levels(name: str, limit: float, beyond: float, ranges: tuple[float, ...], default_range: float) -> list[Row]:
    """What exists alike for the voltage and the current source."""
    source, lowest, highest = f"SOURce[1]:{name}", ranges[0] * 1.05, ranges[-1] * 1.05
    sides = (f"{-beyond}", f"{beyond}")
    return [
        words(f"{source}:MODE", "FIX", "FIXed", "SWEep", "LIST", bad=(("MEMory", -224),)),
        real(f"{source}[:LEVel][:IMMediate][:AMPLitude]", 0, -limit, limit, *sides),
        real(f"{source}[:LEVel]:TRIGgered[:AMPLitude]", 0, -limit, limit, *sides),
        real(f"{source}:STARt", 0, -limit, limit, *sides),
        real(f"{source}:STOP", 0, -limit, limit, *sides),
        Row(
            f"{source}:RANGe",
            e(default_range * 1.05),
            (*((f"{value:g}", e(value * 1.05)) for value in ranges), ("DOWN", e(ranges[-2] * 1.05)), ("UP", e(highest))),
            tuple((side, -222) for side in sides),
            (e(lowest), e(highest), e(default_range * 1.05)),
        ),
        flag(f"{source}:RANGe:AUTO", "1"),
        whole(f"SOURce[1]:LIST:{name}:STARt", 1, 1, 100),
    ]


VOLTS, AMPS = (0.2, 2.0, 20.0, 200.0), (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
ARM, TRIG = "ARM[:SEQuence[1]][:LAYer[1]]", "TRIGger[:SEQuence[1]]"

SETTINGS = [
    words("SOURce[1]:FUNCtion[:MODE]", "VOLT", "VOLTage", "CURRent"),
    *levels("VOLTage", 210, 210.001, VOLTS, 20.0),
    *levels("CURRent", 1.05, 1.0501, AMPS, 1e-4),
    # 105 % of a range: the 20 V range reaches 21 V
    Row("SOURce[1]:VOLTage:RANGe", e(21), (("21", e(21)), ("21.01", e(210)), ("-2.1", e(2.1)), ("0", e(0.21)))),
    Row(
        "SOURce[1]:VOLTage",
        e(0),
        (("21", e(21)), ("-21", e(-21))),
        (("21.001", -222), ("-21.001", -222)),
        given=("SOUR:VOLT:RANG 20",),
    ),
    # a value between two steps takes the lower one (page 18-81)
    Row(
        "SOURce[1]:VOLTage:PROTection[:LEVel]",
        e(210),
        (
            *((f"{step}", e(step)) for step in (20, 40, 60, 80, 100, 120, 160)),
            *(("110", e(100)), ("-40", e(40)), ("5", e(20)), ("161", e(210)), ("NONE", e(210)), ("none", e(210))),
        ),
        (("211", -222), ("FOO", -224)),
        (e(20), e(210), e(210)),
    ),
    real("[:SENSe[1]]:CURRent[:DC]:PROTection[:LEVel]", 1.05e-4, -1.05, 1.05, "1.0501", "-1.0501"),
    real("[:SENSe[1]]:VOLTage[:DC]:PROTection[:LEVel]", 21, -210, 210, "210.001", given=("SOUR:FUNC CURR",)),
    Row(
        "[:SENSe[1]]:CURRent[:DC]:RANGe[:UPPer]",
        e(1.05e-4),
        (*((f"{value:g}", e(value * 1.05)) for value in AMPS), ("DOWN", e(0.105)), ("UP", e(1.05)), ("1.05e-3", e(1.05e-3))),
        (("1.0501", -222),),
        (e(1.05e-6), e(1.05), e(1.05e-4)),
        given=("SENS:CURR:PROT 1",),
    ),
    # "cannot exceed compliance range": 105 uA compliance is the 100 uA range
    Row("[:SENSe[1]]:CURRent[:DC]:RANGe", e(1.05e-4), (("1e-4", e(1.05e-4)),), (("1.06e-4", 824), ("1e-3", 824))),
    Row(
        "[:SENSe[1]]:VOLTage[:DC]:RANGe[:UPPer]",
        e(21),
        tuple((f"{value:g}", e(value * 1.05)) for value in VOLTS),
        (("210.1", -222),),
        (e(0.21), e(210), e(21)),
        given=("SOUR:FUNC CURR", "SENS:VOLT:PROT 210"),
    ),
    # the sourced quantity is measured on the source's range
    Row("[:SENSe[1]]:VOLTage[:DC]:RANGe", e(21), (), (("20", 823),)),
    Row("[:SENSe[1]]:RESistance:RANGe", e(2.1e5), (("20", e(21)), ("2100", e(2100)), ("2e8", e(2.1e8)))),
    *(flag(f"[:SENSe[1]]:{name}:RANGe:AUTO", "1") for name in ("CURRent[:DC]", "VOLTage[:DC]", "RESistance")),
    *(
        Row(
            f"[:SENSe[1]]:{name}:NPLCycles",
            "1.00",
            (("0.01", "0.01"), ("10", "10.00"), ("0.1", "0.10")),
            (("0.009", -222), ("10.01", -222)),
            ("0.01", "10.00", "1.00"),
        )
        for name in ("CURRent[:DC]", "VOLTage[:DC]", "RESistance")
    ),
    flag("[:SENSe[1]]:FUNCtion:CONCurrent", "1"),
    words("[:SENSe[1]]:RESistance:MODE", "AUTO", "MANual", "AUTO"),
    flag("[:SENSe[1]]:AVERage[:STATe]", "0"),
    whole("[:SENSe[1]]:AVERage:COUNt", 10, 1, 100),
    words("[:SENSe[1]]:AVERage:TCONtrol", "REP", "REPeat", "MOVing"),
    flag("SYSTem:AZERo[:STATe]", "1"),
    Row("SYSTem:AZERo", "1", (("ONCE", "0"), ("1", "1"))),  # ONCE leaves it off
    Row("SYSTem:AZERo:CACHing[:STATe]", "0", (("1", "1"), ("0", "0"))),
    Row(
        "SOURce[1]:DELay",
        e(1e-3),  # the automatic delay is on: PyMeasure's test on the instrument reads 1 ms; the manual says 0
        (("0", e(0)), ("9999.999", e(9999.999)), ("1e-3", e(1e-3))),
        (("10000", -222), ("-0.001", -222)),
        (e(0), e(9999.999), e(0)),
    ),
    flag("SOURce[1]:DELay:AUTO", "1"),
    flag("SOURce[1]:CLEar:AUTO", "0"),
    words("SOURce[1]:CLEar:AUTO:MODE", "ALW", "ALWays", "TCOunt"),
    flag("OUTPut[1][:STATe]", "0"),
    words("OUTPut[1]:SMODe", "NORM", "HIMPedance", "NORMal", "ZERO", "GUARd"),
    flag("OUTPut[1]:ENABle[:STATe]", "0"),
    words("ROUTe:TERMinals", "FRON", "FRONt", "REAR"),
    flag("SYSTem:RSENse", "0"),
    Row("SYSTem:LFRequency", "50", (("60", "60"), ("50", "50")), (("55", -224), ("400", -222)), stays=True),
    flag("DISPlay:ENABle", "1", stays=True),
    Row("FORMat[:DATA]", "ASC", (("REAL,32", "REAL,32"), ("sre", "REAL,32"), ("ASCII", "ASC")), (("REAL,64", -224),)),
    words("FORMat:BORDer", "NORM", "NORMal", "SWAPped"),
    Row(
        "FORMat:ELEMents[:SENSe[1]]",
        "VOLT,CURR,RES,TIME,STAT",
        (("STAT,VOLT", "VOLT,STAT"), ("TIME", "TIME"), ("VOLTAGE, current,RES ,TIME, STATUS", "VOLT,CURR,RES,TIME,STAT")),
        (("WATT", -224),),
    ),
    *(
        row
        for root in ("TRACe", "DATA")
        for row in (
            whole(f"{root}:POINts", 100, 1, 2500, stays=True),
            Row(f"{root}:FEED", "SENS", (("SENSE", "SENS"),), (("FOO", -224),), stays=True),
            words(f"{root}:FEED:CONTrol", "NEV", "NEVer", "NEXT", stays=True),
            words(f"{root}:TSTamp:FORMat", "ABS", "ABSolute", "DELTa", stays=True),
        )
    ),
    Row("SOURce2:TTL[:LEVel]", "15", (("0", "0"), ("15", "15"), ("#B101", "5")), (("16", -222), ("-1", -222))),
    Row("SOURce2:BSIZe", "3", (("3", "3"), ("4", "4")), (("2", -222), ("5", -222))),
    flag("SOURce2:CLEar:AUTO", "0"),
    whole("SOURce[1]:SWEep:POINts", 2500, 2, 2500),
    words("CALCulate3:FORMat", "MEAN", "MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK"),
    words("SOURce[1]:SWEep:SPACing", "LIN", "LINear", "LOGarithmic"),
    words("SOURce[1]:SWEep:DIRection", "UP", "UP", "DOWN"),
    words("SOURce[1]:SWEep:RANGing", "BEST", "BEST", "AUTO", "FIXed"),
    words("SOURce[1]:SWEep:CABort", "NEV", "NEVer", "EARLy", "LATE"),
    whole(f"{ARM}:COUNt", 1, 1, 2500),
    Row(f"{ARM}:COUNt", "1", (("INF", e(9.9e37)), ("INFINITE", e(9.9e37)))),
    words(f"{ARM}:SOURce", "IMM", "IMMediate", "TLINk", "TIMer", "MANual", "BUS", "NSTest", "PSTest", "BSTest"),
    real(f"{ARM}:TIMer", 0.1, 0.001, 99999.99, "0.0009", "100000"),
    words(f"{ARM}[:TCONfigure]:DIRection", "ACC", "ACCeptor", "SOURce"),
    whole(f"{ARM}[:TCONfigure][:ASYNchronous]:ILINe", 1, 1, 4),
    whole(f"{ARM}[:TCONfigure][:ASYNchronous]:OLINe", 2, 1, 4),
    Row(
        f"{ARM}[:TCONfigure][:ASYNchronous]:OUTPut",
        "NONE",
        (("TENT", "TENT"), ("texit", "TEX"), ("TEX,TENT", "TENT,TEX"), ("NONE", "NONE")),
        (("SOUR", -224),),
    ),
    whole(f"{TRIG}:COUNt", 1, 1, 2500),
    words(f"{TRIG}:SOURce", "IMM", "IMMediate", "TLINk", bad=(("BUS", -224), ("TIM", -224))),
    real(f"{TRIG}:DELay", 0, 0, 999.9999, "1000", "-0.0001"),
    words(f"{TRIG}[:TCONfigure]:DIRection", "ACC", "ACCeptor", "SOURce"),
    whole(f"{TRIG}[:TCONfigure][:ASYNchronous]:ILINe", 1, 1, 4),
    whole(f"{TRIG}[:TCONfigure][:ASYNchronous]:OLINe", 2, 1, 4),
    *(
        Row(
            f"{TRIG}[:TCONfigure][:ASYNchronous]:{name}",
            default,
            (("SENS,SOUR", "SOUR,SENS"), ("delay", "DEL"), ("NONE", "NONE"), ("SOURCE,DELAY,SENSE", "SOUR,DEL,SENS")),
            (("TENT", -224),),
        )
        for name, default in (("INPut", "SOUR"), ("OUTPut", "NONE"))
    ),
]

# exact (table B-1)
TEXTS = {
    -109: "Missing parameter",
    -128: "Numeric data not allowed",
    -222: "Parameter data out of range",
    -224: "Illegal parameter value",
    823: "Invalid with source read-back on",
    824: "Cannot exceed compliance range",
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
    assert host.error() == NO_ERROR
    if row.good and not row.stays:
        host.send("*RST")
        assert host.ask(headers[0] + "?") == row.default


@rows
def test_limits_and_error_texts(row: Row) -> None:
    host = Host(*row.given)
    header = spellings(row.spec)[0]
    before = host.ask(header + "?")
    for text, code in row.bad:
        host.send(f"{header} {text}")
        assert host.error() == f'{code},"{TEXTS[code]}"', text
    host.send(header)
    assert host.error() == f'-109,"{TEXTS[-109]}"'
    assert host.ask(header + "?") == before


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.words], ids=lambda row: row.spec)
def test_words_for_limits(row: Row) -> None:
    assert row.words
    host = Host(*row.given)
    for header in spellings(row.spec)[:2]:
        replies = [host.ask(f"{header}? {word}") for word in ("MIN", "maximum", "DEF")]
        assert tuple(replies) == row.words
    for word, reply in zip(("MINIMUM", "MAX", "default"), row.words, strict=True):
        host.send(f"{header} {word}")
        assert host.ask(header + "?") == reply
    assert host.error() == NO_ERROR


def test_the_data_store_is_not_reset() -> None:
    """Note to table 18-10."""
    for reset in ("*RST", "SYST:PRES", "*RCL 0"):
        host = Host("TRAC:POIN 7", "TRAC:TST:FORM DELT", "TRAC:FEED:CONT NEXT", reset)
        assert host.ask("TRAC:POIN?;:TRAC:TST:FORM?;:TRAC:FEED:CONT?") == "7;DELT;NEXT"
        host.send("TRAC:POIN 8")
        assert host.error() == '800,"Illegal with storage active"'


def test_bench_defaults_differ_in_two_rows() -> None:
    host = Host("SYST:PRES")
    assert host.ask("SOUR:VOLT:PROT?;:FORM:BORD?") == f"{e(40)};SWAP"


def test_the_manual_s_own_delay() -> None:
    host = Host("*RST", quirks=Keithley2400Quirks(auto_delay_told=False))
    assert host.ask("SOUR:DEL?") == e(0)
    host = Host("SOUR:DEL 0.5", "SOUR:DEL:AUTO 1")
    assert host.ask("SOUR:DEL?;DEL:AUTO?") == f"{e(1e-3)};1"


def test_one_integration_time_for_all_functions() -> None:
    host = Host("SENS:VOLT:NPLC 0.5")
    assert host.ask("CURR:NPLC?;:RES:NPLC?") == "0.50;0.50"


# --- what is not a setting ------------------------------------------------------------------------------------------

ON = ("SENS:CURR:PROT 1e-3", "SOUR:VOLT 6", "OUTP ON")
IDN = r"KEITHLEY INSTRUMENTS INC\.,MODEL 2400,\d+,[^,/]+/[^,/]+ */[A-Z]/[A-Z]"
READING = r"[+-]\d\.\d{6}E[+-]\d\d"

# given, question, reply (a regular expression), the error left behind
ANSWERS = [
    ((), "*IDN?", IDN, NO_ERROR),
    ((), "*OPC?", "1", NO_ERROR),
    ((), "*TST?", "0", NO_ERROR),
    ((), "*STB?", "0", NO_ERROR),
    ((), "*ESR?", "128", NO_ERROR),
    (("*ESE 255", "*SRE 255"), "*ESE?;*SRE?", "255;255", NO_ERROR),
    (("*OPC", "*WAI"), "*ESR?", "129", NO_ERROR),
    (("SOUR:VOLT 7", "*SAV 4", "*RST", "*RCL 4"), "SOUR:VOLT?", re.escape(e(7)), NO_ERROR),
    (ON, "READ?", ",".join([READING] * 5), NO_ERROR),
    ((*ON, "FORM:ELEM CURR"), "READ?", READING, NO_ERROR),
    ((*ON, "INIT"), "FETC?", ",".join([READING] * 5), NO_ERROR),
    ((*ON, "TRIG:COUN 3", "ARM:COUN 2"), ":Read?", ",".join([READING] * 30), NO_ERROR),
    *(((), f"MEAS{function}?", ",".join([READING] * 5), NO_ERROR) for function in ("", ":CURR", ":VOLT", ":RES", ":CURR:DC")),
    (
        ("TRIG:COUN 9", "ARM:SOUR TLIN"),
        "MEAS:CURR?;:OUTP?;:TRIG:COUN?;:ARM:SOUR?",
        rf"{READING}(,{READING}){{4}};1;1;IMM",
        NO_ERROR,
    ),
    (("CONF:VOLT",), "CONF?;:OUTP?", '"VOLT:DC";1', NO_ERROR),
    (("SENS:FUNC 'VOLT','RES'",), "SENS:FUNC?;FUNC:OFF?", '"VOLT:DC","CURR:DC","RES";""', NO_ERROR),
    (('SENS:FUNC:OFF "curr:dc"',), "SENS:FUNC?;:FUNC:OFF?", '"";"VOLT:DC","CURR:DC","RES"', NO_ERROR),
    (("SENS:FUNC:ALL",), "SENS:FUNC?", '"VOLT:DC","CURR:DC","RES"', NO_ERROR),
    (("SENS:FUNC:OFF:ALL",), "SENS:FUNC:COUN?", "0", NO_ERROR),
    (("SENS:FUNC:CONC 0", "SENS:FUNC 'VOLT'"), "SENS:FUNC?", '"VOLT:DC"', NO_ERROR),
    ((), "SENS:FUNC?", '"CURR:DC"', NO_ERROR),
    ((), "SENS:FUNC:STAT? 'CURR';STAT? 'VOLT'", "1;0", NO_ERROR),
    (("SOUR:VOLT 20", "OUTP ON"), "SENS:CURR:PROT:TRIP?;:SENS:VOLT:PROT:TRIP?", "1;0", NO_ERROR),
    (ON, "SENS:CURR:PROT:TRIP?", "0", NO_ERROR),
    ((*ON, "SOUR:VOLT:PROT 20", "SOUR:VOLT 30"), "SOUR:VOLT:PROT:TRIP?", "1", NO_ERROR),
    ((*ON, "SOUR:CLE"), "OUTP?", "0", NO_ERROR),
    ((), "OUTP:ENAB:TRIP?", "1", NO_ERROR),  # table 18-4: 1 means "no"
    (("SOUR:LIST:VOLT 7, 1, 3", "SOUR:LIST:VOLT:APP 8,2"), "SOUR:LIST:VOLT:POIN?", "5", NO_ERROR),
    (("SOUR:LIST:CURR 1e-3,0",), "SOUR:LIST:CURR?", re.escape(f"{e(1e-3)},{e(0)}"), NO_ERROR),
    (("SOUR:VOLT:STAR 1;STOP 5;STEP 0.5",), "SOUR:SWE:POIN?;:SOUR:VOLT:STEP?", re.escape(f"9;{e(0.5)}"), NO_ERROR),
    (("SOUR:VOLT:CENT 3;SPAN 4",), "SOUR:VOLT:STAR?;STOP?;CENT?;SPAN?", re.escape(";".join(map(e, (1, 5, 3, 4)))), NO_ERROR),
    ((*ON, "TRIG:COUN 4", "TRAC:POIN 4", "TRAC:FEED:CONT NEXT", "INIT"), "TRAC:POIN:ACT?;:TRAC:FREE?", r"4;\d+,\d+", NO_ERROR),
    ((*ON, "TRAC:POIN 1", "TRAC:FEED:CONT NEXT", "INIT"), "TRAC:DATA?", ",".join([READING] * 5), NO_ERROR),
    ((*ON, "TRAC:POIN 1", "TRAC:FEED:CONT NEXT", "INIT", "TRAC:CLE"), "DATA:POIN:ACT?", "0", NO_ERROR),
    ((), "SYST:VERS?", "1996.0", NO_ERROR),
    (("SYST:TIME:RES",), "SYST:TIME?", r"1\.00\d*", NO_ERROR),
    (("FOO",), "SYST:ERR:NEXT?", '-113,"Undefined header"', NO_ERROR),
    (("FOO",), "SYSTEM:ERROR?", '-113,"Undefined header"', NO_ERROR),
    (("FOO",), "STAT:QUE?", '-113,"Undefined header"', NO_ERROR),
    (("FOO", "SYST:CLE"), "STAT:QUE:NEXT?", NO_ERROR, NO_ERROR),
    (("FOO", "STAT:QUE:CLE"), "SYST:ERR:COUN?", "0", NO_ERROR),
    (
        ("STAT:QUE:ENAB (-113,-222)", "*SAV 5", "FOO", "FETC?"),
        "SYST:ERR?;ERR:COUN?",
        '-222,"Parameter data out of range";1',
        '-113,"Undefined header"',
    ),
    (("FORM:SREG HEX", "STAT:OPER:ENAB 1024"), "STAT:OPER:ENAB?", "#H400", NO_ERROR),
    *((("STAT:" + name + ":ENAB 65535",), f"STAT:{name}:ENAB?", "65535", NO_ERROR) for name in ("MEAS", "OPER", "QUES")),
    *((("STAT:" + name + ":ENAB 1", "STAT:PRES"), f"STAT:{name}:ENAB?", "0", NO_ERROR) for name in ("MEAS", "OPER", "QUES")),
    ((), "STAT:OPER:COND?;:STAT:MEAS:COND?;:STAT:QUES:COND?", "1024;0;0", NO_ERROR),
    ((), "STAT:OPER:EVEN?;:STAT:MEAS?;:STAT:QUES?", "0;0;0", NO_ERROR),
    # what is sent wrongly gets the instrument's error and never stops it
    (("SENS:CURR:PROT 1e-3;:MEAS:CURR",), "OUTP?", "0", '-113,"Undefined header"'),
    (("READ?",), "OUTP?", "0", '803,"Not permitted with OUTPUT off"'),
    (("INIT",), "OUTP?", "0", '803,"Not permitted with OUTPUT off"'),
    (("FETC?",), "OUTP?", "0", '-230,"Data corrupt or stale"'),
    (("*TRG",), "OUTP?", "0", '-211,"Trigger ignored"'),
    (("*SAV 5",), "OUTP?", "0", '-222,"Parameter data out of range"'),
    (("ARM:COUN 50", "TRIG:COUN 51"), "TRIG:COUN?", "1", '-221,"Settings conflict"'),
    (("SOUR:VOLT:MODE LIST", "OUTP ON", "READ?"), "*OPC?", "1", '801,"Insufficient vector data"'),
    ((*ON, "ARM:COUN INF", "READ?"), "*OPC?", "1", '830,"Invalid with INF ARM:COUNT"'),
    (("SOUR:LIST:VOLT " + ",".join(["1"] * 101),), "SOUR:LIST:VOLT:POIN?", "0", '-223,"Too much data"'),
    (("SOUR:LIST:VOLT 1,211",), "SOUR:LIST:VOLT:POIN?", "0", '-222,"Parameter data out of range"'),
    (("SENS:CURR:PROT 1e-2;RANG 1e-2;PROT 9e-6",), "CURR:PROT?", re.escape(e(1e-2)), '822,"Too small for sense range"'),
    (("SENS:CURR:PROT 0.2;:SOUR:VOLT 50",), "SOUR:VOLT?", re.escape(e(0)), '826,"Attempt to exceed power limit"'),
    # `;` stays in the subsystem, common commands do not change it, `;:` returns to the root, a trailing `;` is harmless
    (
        ("*RST;:stat:pres;:*CLS;", "SOUR:VOLT:MODE LIST;*WAI;RANG 2;"),
        "SOUR:VOLT:MODE?;RANG?;:OUTP?;",
        rf"LIST;{re.escape(e(2.1))};0",
        NO_ERROR,
    ),
    (("SOUR:VOLT 1;:FOO;:SOUR:VOLT 2",), "SOUR:VOLT?", re.escape(e(1)), '-113,"Undefined header"'),
    (("SYST:BEEP 400, 0.5", "SYST:KEY 24", "SYST:LOC", "SYST:REM", "SYST:RWL 1"), "OUTP?", "0", NO_ERROR),
    (("SYST:AZER:CACH:REFR", "SYST:AZER:CACH:RES", "DISP:CND"), "OUTP?", "0", NO_ERROR),
]


@pytest.mark.parametrize(("given", "question", "reply", "error"), ANSWERS, ids=lambda value: str(value)[:60])
def test_answers(given: tuple[str, ...], question: str, reply: str, error: str) -> None:
    host = Host(*given)
    host.run(S)
    answer = host.ask(question)
    assert re.fullmatch(reply, answer), answer
    assert host.error() == error
    assert host.error() == NO_ERROR
