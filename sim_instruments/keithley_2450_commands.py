"""The command set of a Keithley 2450 in SCPI as one tree: settings from their table, and what is more than a setting.

Source: 2450-901-01 rev B and 2461-901-01 rev A, section 6 and appendix B.
"""

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_assignment import ask, assign
from sim_instruments.keithley_2450_blocks import BranchCount
from sim_instruments.keithley_2450_buffers import (
    MAX_POINTS,
    MIN_POINTS,
    STATISTICS,
    STYLES,
    ReadingBuffer,
    format_readings,
    parse_elements,
)
from sim_instruments.keithley_2450_command import Command, Given, Params, Reply, Suffixes, Waits, given, plain
from sim_instruments.keithley_2450_display_commands import commands as display_commands
from sim_instruments.keithley_2450_line_commands import COMMANDS as LINE_COMMANDS
from sim_instruments.keithley_2450_list_commands import commands as list_commands
from sim_instruments.keithley_2450_log import ERROR, INFORMATION, LAST_EVENT, MAPPED_BITS, WARNING
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.keithley_2450_model_commands import CUSTOM_LIST, DEFAULT_BUFFER
from sim_instruments.keithley_2450_model_commands import commands as model_commands
from sim_instruments.keithley_2450_settings import OFF_STATES, ROWS, Settings
from sim_instruments.scpi import CommandTree, Parsed, ScpiError

MNEMONIC_LIMIT = 13  # CONFiguration has thirteen letters
ANY = ERROR | WARNING | INFORMATION


# --- measuring ------------------------------------------------------------------------------------------------------


def _buffer(meter: SourceMeter, arguments: Arguments) -> ReadingBuffer:
    return meter.buffers.find(arguments.string(DEFAULT_BUFFER))


def _read(function: str, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    buffer = _buffer(meter, arguments)
    elements = parse_elements(arguments.rest())
    if function and function != meter.settings.sense_function:
        meter.settings.sense_function = function
        meter.regulate(t_ns)
    meter.begin(buffer, elements, t_ns)
    return None


def _fetch(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    buffer = _buffer(meter, arguments)
    return meter.told_last(buffer, parse_elements(arguments.rest()))


def _trace_trigger(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.begin(_buffer(meter, arguments), (), t_ns)
    return None


def _trace_data(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    first, last = arguments.whole(1, MAX_POINTS), arguments.whole(1, MAX_POINTS)
    buffer = _buffer(meter, arguments)
    elements = parse_elements(arguments.rest())
    return format_readings(buffer.between(first, last), elements, buffer.readings[0].t_ns, meter.form)


def _trace_make(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.buffers.make(arguments.string(), arguments.whole(MIN_POINTS, MAX_POINTS), arguments.word(STYLES, "STAN"))


def _trace_points(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    points = arguments.whole(MIN_POINTS, MAX_POINTS)
    meter.buffers.resize(_buffer(meter, arguments), points)


def _trace_clear(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.empty(_buffer(meter, arguments), t_ns)


def _trace_delete(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.buffers.delete(arguments.string())


def _trace_fill(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    """Only an empty buffer takes another mode; the code is assumed."""
    continuous, buffer = arguments.word(("CONTinuous", "ONCE")) == "CONT", _buffer(meter, arguments)
    if buffer.readings and continuous != buffer.continuous:
        raise ScpiError(-221)
    buffer.continuous = continuous


def _trace_log(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    state = arguments.flag()
    _buffer(meter, arguments).log_state = state


def _told(tell: Callable[[ReadingBuffer], str]) -> Given:
    """Make a question about a buffer."""
    return lambda meter, arguments, suffixes, t_ns: tell(_buffer(meter, arguments))


def _statistic(name: str, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    values = [reading.value for reading in _buffer(meter, arguments).readings]
    if not values:
        raise ScpiError(-230)  # assumed
    return meter.form.number(STATISTICS[name](values))


def _auto_zero_once(meter: SourceMeter, t_ns: int) -> None:
    return None


# --- output ---------------------------------------------------------------------------------------------------------


def _output(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.switch(arguments.flag(), t_ns)
    meter.check_interlock(t_ns)


def _off_state(meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
    word = str(OFF_STATES.parse(params, "NORM", ""))
    meter.settings.off_states = dict.fromkeys(meter.settings.off_states, word)
    return None


def _delay(automatic: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    """SOUR:DEL without a function sets it for all."""
    value = arguments.flag() if automatic else arguments.number(0.0, 10e3)
    for side in meter.settings.sources.values():
        if automatic:
            side.delay_auto = bool(value)
        else:
            side.delay_s, side.delay_auto = float(value), False


def _list_values(function: str, meter: SourceMeter, t_ns: int) -> Reply:
    entries = meter.source_lists.lists.get(CUSTOM_LIST[function], [])
    return ",".join(f"{side.level:.6E}" for _, side in entries)


def _list_points(function: str, meter: SourceMeter, t_ns: int) -> Reply:
    return str(len(meter.source_lists.lists.get(CUSTOM_LIST[function], [])))


# --- trigger model, system, status ----------------------------------------------------------------------------------


def _counter(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    number = arguments.whole(1, 63)
    if not isinstance(meter.trigger.blocks.get(number), BranchCount):
        raise ScpiError(-224)  # assumed
    return str(meter.trigger.counters.get(number, 0))


def _counter_reset(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.trigger.counters.pop(arguments.whole(1, 63), None)


def _blocks(meter: SourceMeter, t_ns: int) -> Reply:
    return "\n".join(f"{number}) {block}" for number, block in meter.trigger.blocks.items()) or "Empty"  # assumed


def _operation_complete(meter: SourceMeter, t_ns: int) -> None:
    meter.completion_asked = True


def _clear_status(meter: SourceMeter, t_ns: int) -> None:
    meter.status.clear()
    meter.completion_asked = False


def _identity(meter: SourceMeter, t_ns: int) -> Reply:
    return ",".join((meter.quirks.maker_name, "MODEL 2450", meter.serial, meter.quirks.firmware))


def _standard_event(meter: SourceMeter, t_ns: int) -> Reply:
    event, meter.status.standard_event = meter.status.standard_event, 0
    return str(event)


def _save(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    meter.saved[arguments.whole(0, 4)] = meter.settings.copied()


def _recall(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    slot = arguments.whole(0, 4)
    meter.abort(t_ns)
    meter.take_over(copy.deepcopy(meter.saved.get(slot, Settings())), t_ns)


_KINDS = {"ERR": ERROR, "WARN": WARNING, "INF": INFORMATION, "ALL": ANY}
_KIND_WORDS = ("ERRor", "WARNing", "INFormational", "ALL")


def _kinds(arguments: Arguments) -> int:
    kinds = 0
    while arguments.next:
        kinds |= _KINDS[arguments.word(_KIND_WORDS)]
    return kinds or ANY


def _post(meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    message = arguments.string()
    meter.status.post(f"User: {message[:128]}", _KINDS[arguments.word(_KIND_WORDS[:3], "INF")], t_ns)


def _mask(holder: Callable[[SourceMeter], Any], key: str, top: int) -> Command:
    return given(lambda meter, arguments, suffixes, t_ns: setattr(holder(meter), key, arguments.whole(0, top)))


def _nothing(meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
    return None


# --- the tree -------------------------------------------------------------------------------------------------------

_READS = {"asks": True, "waits": Waits.READING, "configures": True}

_COMMANDS: dict[str, Command] = {
    "ABORt": plain(lambda m, t: m.abort(t), overtakes=True),
    "INITiate[:IMMediate]": plain(lambda m, t: m.initiate(t)),
    "READ?": given(partial(_read, ""), **_READS),
    **{
        f"MEASure{name}?": given(partial(_read, function), **_READS)
        for name, function in (
            ("", ""),
            (":CURRent[:DC]", "CURR"),
            (":VOLTage[:DC]", "VOLT"),
            (":RESistance", "RES"),
        )
    },
    "FETCh?": given(_fetch, asks=True),
    "*CLS": plain(_clear_status),
    "*ESE": _mask(lambda m: m.status, "standard_enable", 255),
    "*ESE?": plain(lambda m, t: str(m.status.standard_enable), asks=True),
    "*ESR?": plain(_standard_event, asks=True),
    "*IDN?": plain(_identity, asks=True),
    "*OPC": plain(_operation_complete),
    "*OPC?": plain(lambda m, t: "1", asks=True, waits=Waits.IDLE),
    "*RST": plain(lambda m, t: m.reset(t)),
    "*SAV": given(_save),
    "*RCL": given(_recall),
    "*SRE": _mask(lambda m: m.status, "service_enable", 255),
    "*SRE?": plain(lambda m, t: str(m.status.service_enable), asks=True),
    "*STB?": plain(lambda m, t: str(m.status.byte(message_available=False)), asks=True),
    "*TRG": plain(lambda m, t: m.event("COMM", t)),
    "*TST?": plain(lambda m, t: "0", asks=True),
    "*WAI": plain(lambda m, t: None, waits=Waits.IDLE),
    "OUTPut[1][:STATe]": given(_output),
    "OUTPut[1][:STATe]?": plain(lambda m, t: str(int(m.output.on)), asks=True),
    "OUTPut[1]:INTerlock:TRIPped?": plain(lambda m, t: str(int(m.interlock_closed)), asks=True),
    "OUTPut[1]:SMODe": Command(_off_state),
    "OUTPut[1]:SMODe?": plain(lambda m, t: m.settings.off_states[m.settings.source_function], asks=True),
    "SOURce[1]:VOLTage:ILIMit[:LEVel]:TRIPped?": plain(
        lambda m, t: str(int(m.settings.sourcing_voltage and m.limited())), asks=True
    ),
    "SOURce[1]:CURRent:VLIMit[:LEVel]:TRIPped?": plain(
        lambda m, t: str(int(not m.settings.sourcing_voltage and m.limited())), asks=True
    ),
    "SOURce[1]:VOLTage:PROTection[:LEVel]:TRIPped?": plain(lambda m, t: str(int(m.protected())), asks=True),
    "SOURce[1]:DELay": given(partial(_delay, False), configures=True),
    "SOURce[1]:DELay:AUTO": given(partial(_delay, True), configures=True),
    "[:SENSe[1]]:AZERo:ONCE": plain(_auto_zero_once),
    "TRACe:DATA?": given(_trace_data, asks=True),
    "TRACe:CLEar": given(_trace_clear),
    "TRACe:MAKE": given(_trace_make, configures=True),
    "TRACe:DELete": given(_trace_delete, configures=True),
    "TRACe:POINts": given(_trace_points, configures=True),
    "TRACe:POINts?": given(_told(lambda b: str(b.capacity)), asks=True),
    "TRACe:ACTual?": given(_told(lambda b: str(len(b.readings))), asks=True),
    "TRACe:ACTual:STARt?": given(_told(lambda b: "1" if b.readings else "0"), asks=True),
    "TRACe:ACTual:END?": given(_told(lambda b: str(len(b.readings))), asks=True),
    "TRACe:FILL:MODE": given(_trace_fill, configures=True),
    "TRACe:FILL:MODE?": given(_told(lambda b: "CONT" if b.continuous else "ONCE"), asks=True),
    "TRACe:LOG:STATe": given(_trace_log),
    "TRACe:LOG:STATe?": given(_told(lambda b: str(int(b.log_state))), asks=True),
    "TRACe:TRIGger": given(_trace_trigger, waits=Waits.READING, configures=True),
    "TRACe:STATistics:CLEar": given(lambda m, arguments, suffixes, t: _nothing(m, (arguments.string(DEFAULT_BUFFER),), (), t)),
    **{f"TRACe:STATistics:{name}?": given(partial(_statistic, name), asks=True) for name in STATISTICS},
    "TRIGger:STATe?": plain(lambda m, t: m.trigger.told(t), asks=True),
    "TRIGger:BLOCk:LIST?": plain(_blocks, asks=True),
    "TRIGger:BLOCk:BRANch:COUNter:COUNt?": given(_counter, asks=True),
    "TRIGger:BLOCk:BRANch:COUNter:RESet": given(_counter_reset, configures=True),
    "SYSTem:ERRor[:NEXT]?": plain(lambda m, t: m.status.next(ERROR), asks=True),
    "SYSTem:ERRor:CODE[:NEXT]?": plain(lambda m, t: m.status.next(ERROR).partition(",")[0], asks=True),
    "SYSTem:ERRor:COUNt?": plain(lambda m, t: str(m.status.count(ERROR)), asks=True),
    "SYSTem:EVENtlog:NEXT?": given(lambda m, arguments, suffixes, t: m.status.next(_kinds(arguments)), asks=True),
    "SYSTem:EVENtlog:COUNt?": given(lambda m, arguments, suffixes, t: str(m.status.count(_kinds(arguments))), asks=True),
    "SYSTem:EVENtlog:POST": given(_post),
    "SYSTem:CLEar": plain(lambda m, t: m.status.entries.clear()),
    "SYSTem:VERSion?": plain(lambda m, t: "1996.0", asks=True),
    "SYSTem:LFRequency?": plain(lambda m, t: str(m.standing.line_frequency_hz), asks=True),
    "SYSTem:BEEPer[:IMMediate]": given(
        lambda m, arguments, s, t: _nothing(m, (str(arguments.number(20, 20e3)), arguments.text()), s, t)
    ),
    "STATus:PRESet": plain(lambda m, t: m.status.preset()),
    "STATus:CLEar": plain(lambda m, t: m.status.clear_events()),
    "SYSTem:ACCess": Command(_nothing),
}


def _map(name: str, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    bit, sets = arguments.whole(0, MAPPED_BITS - 1), arguments.whole(-LAST_EVENT, LAST_EVENT)
    register = getattr(meter.status, name)
    register.mapped[bit] = (sets, arguments.whole(-LAST_EVENT, LAST_EVENT, 0))


def _ask_map(name: str, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    sets, clears = getattr(meter.status, name).mapped.get(arguments.whole(0, MAPPED_BITS - 1), (0, 0))
    return f"{sets},{clears}"


def _registers() -> dict[str, Command]:
    table: dict[str, Command] = {}
    for node, name in (("OPERation", "operation"), ("QUEStionable", "questionable")):
        table[f"STATus:{node}[:EVENt]?"] = plain(lambda m, t, n=name: str(getattr(m.status, n).read_event()), asks=True)
        table[f"STATus:{node}:CONDition?"] = plain(lambda m, t, n=name: str(getattr(m.status, n).condition), asks=True)
        table[f"STATus:{node}:MAP"] = given(partial(_map, name))
        table[f"STATus:{node}:MAP?"] = given(partial(_ask_map, name), asks=True)
        table[f"STATus:{node}:ENABle"] = _mask(lambda m, n=name: getattr(m.status, n), "enable", 65535)
        table[f"STATus:{node}:ENABle?"] = plain(lambda m, t, n=name: str(getattr(m.status, n).enable), asks=True)
    return table


def _source_lists() -> dict[str, Command]:
    """Questions about the lists of levels."""
    table: dict[str, Command] = {}
    for name, function in (("VOLTage", "VOLT"), ("CURRent", "CURR")):
        table[f"SOURce[1]:LIST:{name}?"] = plain(partial(_list_values, function), asks=True)
        table[f"SOURce[1]:LIST:{name}:POINts?"] = plain(partial(_list_points, function), asks=True)
    return table


def _build() -> CommandTree[Command]:
    tree = CommandTree[Command](MNEMONIC_LIMIT)
    for row in ROWS:
        tree.add(row.spec, Command(lambda m, params, suffixes, t, r=row: assign(r, m, params, t)))
        tree.add(row.spec + "?", Command(lambda m, params, suffixes, t, r=row: ask(r, m, params, t), asks=True))
    for spec, run in model_commands().items():
        tree.add(spec, given(lambda m, arguments, suffixes, t, r=run: r(m, arguments), configures=True))
    for spec, command in {
        **_COMMANDS,
        **LINE_COMMANDS,
        **list_commands(),
        **_registers(),
        **_source_lists(),
        **display_commands(),
    }.items():
        tree.add(spec, command)
    return tree


TREE = _build()
_remembered = lru_cache(maxsize=1000)(TREE.parse)  # programs repeat themselves
_REMEMBERED_LENGTH = 500


def parse(text: str) -> Parsed[Command]:
    """Parse a message."""
    return _remembered(text) if len(text) <= _REMEMBERED_LENGTH else TREE.parse(text)
