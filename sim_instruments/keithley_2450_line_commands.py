"""Commands of a Keithley 2450 for its digital lines. Source: 2461-901-01 rev A, DIGital and TRIGger:DIGital."""

from collections.abc import Callable
from typing import Any

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_blocks import parse_event
from sim_instruments.keithley_2450_command import Command, Reply, Suffixes, given, plain
from sim_instruments.keithley_2450_digital import DIRECTIONS, LINE_TYPES, LINES
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.keithley_2450_settings import NUMBER

_LINE, _EDGE = "DIGital:LINE#", "TRIGger:DIGital#"


def _line_mode(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    line = meter.digital.line(suffixes[0])
    line.set_mode(arguments.word(LINE_TYPES), arguments.word(DIRECTIONS))


def _line_state(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.digital.line(suffixes[0]).drive(arguments.number(-1e9, 1e9) != 0)


def _line_told(tell: Callable[[Any], str]) -> Command:
    return given(lambda meter, arguments, suffixes, t_ns: tell(meter.digital.line(suffixes[0])), asks=True)


def _line_word(key: str, words: tuple[str, ...]) -> Command:
    return given(lambda m, arguments, suffixes, t: setattr(m.digital.line(suffixes[0]), key, arguments.word(words)))


def _line_width(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.digital.line(suffixes[0]).width_s = arguments.number(0.0, 100e3)


def _line_stimulus(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.digital.line(suffixes[0]).stimulus = parse_event(arguments.text())


def _line_clear(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    line = meter.digital.line(suffixes[0])
    line.detected = line.overrun = False


def _port_write(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.digital.write(arguments.whole(0, (1 << LINES) - 1))


COMMANDS: dict[str, Command] = {
    f"{_LINE}:MODE": given(_line_mode),
    f"{_LINE}:MODE?": _line_told(lambda line: f"{line.kind},{line.direction}"),
    f"{_LINE}:STATe": given(_line_state),
    f"{_LINE}:STATe?": _line_told(lambda line: str(int(line.level))),
    "DIGital:READ?": plain(lambda m, t: str(m.digital.read()), asks=True),
    "DIGital:WRITe": given(_port_write),
    f"{_EDGE}:IN:CLEar": given(_line_clear),
    f"{_EDGE}:IN:EDGE": _line_word("edge", ("FALLing", "RISing", "EITHer")),
    f"{_EDGE}:IN:EDGE?": _line_told(lambda line: line.edge),
    f"{_EDGE}:IN:OVERrun?": _line_told(lambda line: str(int(line.overrun))),
    f"{_EDGE}:OUT:LOGic": _line_word("logic", ("POSitive", "NEGative")),
    f"{_EDGE}:OUT:LOGic?": _line_told(lambda line: line.logic),
    f"{_EDGE}:OUT:PULSewidth": given(_line_width),
    f"{_EDGE}:OUT:PULSewidth?": _line_told(lambda line: NUMBER.format(line.width_s)),
    f"{_EDGE}:OUT:STIMulus": given(_line_stimulus),
    f"{_EDGE}:OUT:STIMulus?": _line_told(lambda line: line.stimulus),
}
