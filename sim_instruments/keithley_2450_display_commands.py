"""Commands of a Keithley 2450 for its screen: checked, kept where they can be asked back, and shown nowhere.

Source: 2450-901-01 rev B, DISPlay; that DIGits takes 3 to 6 and *RST leaves it alone: from memory, unverified.
"""

from functools import partial

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_command import Command, Reply, Suffixes, given, plain
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.scpi import ScpiError

DIGITS = (3, 6)
LINE_CHARACTERS = {1: 20, 2: 32}
_FUNCTIONS = {"VOLTage[:DC]": "VOLT", "CURRent[:DC]": "CURR", "RESistance": "RES"}


def _screen(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    if not arguments.text():
        raise ScpiError(-109)


def _user_text(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    """Text of a line; -223 when it is longer than the line (the code is assumed)."""
    if suffixes[0] not in LINE_CHARACTERS:
        raise ScpiError(-114)
    if len(arguments.string()) > LINE_CHARACTERS[suffixes[0]]:
        raise ScpiError(-223)


def _digits(function: str, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.standing.digits[function] = arguments.whole(*DIGITS)


def _shown_buffer(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.standing.shown_buffer = meter.buffers.find(arguments.string()).name


def commands() -> dict[str, Command]:
    """All headers of this module."""
    table = {
        "DISPlay:CLEar": plain(lambda m, t: None),
        "DISPlay:SCReen": given(_screen),
        "DISPlay:USER#:TEXT[:DATA]": given(_user_text),
        "DISPlay:BUFFer:ACTive": given(_shown_buffer),
        "DISPlay:BUFFer:ACTive?": plain(lambda m, t: m.standing.shown_buffer, asks=True),
    }
    for name, function in _FUNCTIONS.items():
        table[f"DISPlay:{name}:DIGits"] = given(partial(_digits, function))
        table[f"DISPlay:{name}:DIGits?"] = plain(lambda m, t, f=function: str(m.standing.digits[f]), asks=True)
    return table
