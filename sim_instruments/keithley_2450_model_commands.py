"""Commands of a Keithley 2450 that define trigger blocks, ready-made models and sweeps.

Source: 2461-901-01 rev A and 2450-901-01 rev B, TRIGger:BLOCk, TRIGger:LOAD, SOURce:LIST, SOURce:SWEep.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_assignment import check_level
from sim_instruments.keithley_2450_blocks import (
    INFINITE,
    MAX_BLOCKS,
    MAX_COUNT,
    Block,
    BranchAlways,
    BranchCount,
    BranchEvent,
    BranchOnce,
    BufferClear,
    Delay,
    DigitalIo,
    LogEvent,
    Measure,
    Nop,
    Notify,
    Recall,
    SourceState,
    UserDelay,
    Wait,
    config_list,
    duration_loop,
    logic_trigger,
    parse_event,
    simple_loop,
    sweep,
)
from sim_instruments.keithley_2450_lists import MAX_INDEXES
from sim_instruments.keithley_2450_log import ERROR, INFORMATION, LIST_MISSING, LOGGED, WARNING
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.keithley_2450_settings import MAX_POINTS, RANGES, Levels, lowest_range
from sim_instruments.scpi import ScpiError

Run = Callable[[SourceMeter, Arguments], None]
MAX_DELAY_S = 10e3
MIN_DELAY_S = 167e-9
MAX_DURATION_S = 100e3
MIN_SWEEP_DELAY_S = 50e-6
DEFAULT_BUFFER = "defbuffer1"
CUSTOM_LIST = {"VOLT": "VoltCustomSweepList", "CURR": "CurrCustomSweepList"}


def _buffer(meter: SourceMeter, given: Arguments) -> str:
    return meter.buffers.find(given.string(DEFAULT_BUFFER)).name


def _delay_s(given: Arguments, longest_s: float = MAX_DELAY_S) -> float:
    """0, or from 167 ns on."""
    value = given.number(0.0, longest_s, 0.0)
    if 0 < value < MIN_DELAY_S:
        raise ScpiError(-222)
    return value


# --- blocks ---------------------------------------------------------------------------------------------------------


def _buffer_clear(meter: SourceMeter, given: Arguments) -> Block:
    return BufferClear(_buffer(meter, given))


def _listed(meter: SourceMeter, name: str) -> bool:
    """Whether a list is one of the source; ScpiError 2790 when there is none of that name."""
    if name in meter.source_lists.lists:
        return True
    if name in meter.sense_lists.lists:
        return False
    raise ScpiError(LIST_MISSING)


def _recall(step: int, meter: SourceMeter, given: Arguments) -> Block:
    lists: list[tuple[bool, str, int]] = []
    while not lists or given.next:
        name = given.string()
        index = 1 if step else given.whole(1, 300_000, 1)
        lists.append((_listed(meter, name), name, index))
    if len(lists) > 2 or len({of_source for of_source, _, _ in lists}) < len(lists):
        raise ScpiError(-221)  # two lists must be of opposite kinds; code assumed
    return Recall(step, tuple(lists))


def _source_state(meter: SourceMeter, given: Arguments) -> Block:
    return SourceState(given.flag())


def _measure(meter: SourceMeter, given: Arguments) -> Block:
    buffer = _buffer(meter, given)
    if given.next.upper() in ("INF", "INFINITE"):
        given.word(("INFinite",))
        return Measure(buffer, INFINITE)
    return Measure(buffer, given.whole(0, MAX_COUNT, 1))


def _measure_or_digitize(meter: SourceMeter, given: Arguments) -> Block:
    """What firmware 1.7 calls the same block; AUTO takes as many readings as SENSe:COUNt says."""
    buffer = _buffer(meter, given)
    if given.next.upper() == "AUTO":
        given.text()
        return Measure(buffer, meter.settings.count)
    if given.next.upper() in ("INF", "INFINITE"):
        given.text()
        return Measure(buffer, INFINITE)
    return Measure(buffer, given.whole(0, MAX_COUNT, 1))


def _wait(meter: SourceMeter, given: Arguments) -> Block:
    words = given.rest()
    if not words:
        raise ScpiError(-109)
    events, options = [parse_event(words[0])], list(words[1:])
    clears = bool(options) and options[0].upper() in ("ENT", "ENTER")
    if clears or (options and options[0].upper() in ("NEV", "NEVER")):
        options.pop(0)
    logic = options.pop(0).upper() if options else "OR"
    if logic not in ("AND", "OR"):
        raise ScpiError(-224)
    events += [parse_event(word) for word in options]
    if len(events) > 3:
        raise ScpiError(-108)
    return Wait(tuple(events), clears, logic == "AND")


def _delay_constant(meter: SourceMeter, given: Arguments) -> Block:
    if not given.next:
        raise ScpiError(-109)
    return Delay(_delay_s(given))


def _delay_dynamic(meter: SourceMeter, given: Arguments) -> Block:
    text = given.text().upper()
    for word, of_source in (("SOURCE", True), ("SOUR", True), ("MEASURE", False), ("MEAS", False)):
        if text[:-1] == word and text[-1] in "12345":
            return UserDelay(of_source, int(text[-1]))
    raise ScpiError(-224)


def _target(given: Arguments) -> int:
    return given.whole(0, MAX_BLOCKS)


def _branch_count(meter: SourceMeter, given: Arguments) -> Block:
    return BranchCount(given.whole(1, MAX_COUNT), _target(given))


def _branch_always(meter: SourceMeter, given: Arguments) -> Block:
    return BranchAlways(_target(given))


def _branch_event(meter: SourceMeter, given: Arguments) -> Block:
    return BranchEvent(parse_event(given.text()), _target(given))


def _branch_once(excluded: bool, meter: SourceMeter, given: Arguments) -> Block:
    return BranchOnce(_target(given), excluded)


def _digital_io(meter: SourceMeter, given: Arguments) -> Block:
    return DigitalIo(given.whole(0, 63), given.whole(0, 63, 63))


def _notify(meter: SourceMeter, given: Arguments) -> Block:
    return Notify(given.whole(1, 8))


def _log_event(meter: SourceMeter, given: Arguments) -> Block:
    kinds = {"INFO": INFORMATION, "WARN": WARNING, "WARNING": WARNING, "ERR": ERROR, "ERROR": ERROR}
    name = given.text().upper()
    aborts = name in ("ABOR", "ABORT")
    stem, number = name[:-1], name[-1:]
    if not (aborts or (stem in kinds and number in "1234")):
        raise ScpiError(-224)
    message = given.string()
    if len(message) > 31:
        raise ScpiError(-154)
    kind = WARNING if aborts else kinds[stem]
    return LogEvent(kind, message, aborts, LOGGED[kind] + (0 if aborts else int(number) - 1))  # of an abort: assumed


def _nop(meter: SourceMeter, given: Arguments) -> Block:
    return Nop()


_BLOCKS: dict[str, Callable[[SourceMeter, Arguments], Block]] = {
    "BUFFer:CLEar": _buffer_clear,
    "CONFig:RECall": partial(_recall, 0),
    "CONFig:NEXT": partial(_recall, 1),
    "CONFig:PREVious": partial(_recall, -1),
    "SOURce:STATe": _source_state,
    "MEASure": _measure,
    "MDIGitize": _measure_or_digitize,
    "WAIT": _wait,
    "DELay:CONStant": _delay_constant,
    "DELay:DYNamic": _delay_dynamic,
    "BRANch:COUNter": _branch_count,
    "BRANch:ALWays": _branch_always,
    "BRANch:EVENt": _branch_event,
    "BRANch:ONCE": partial(_branch_once, False),
    "BRANch:ONCE:EXCLuded": partial(_branch_once, True),
    "DIGital:IO": _digital_io,
    "NOTify": _notify,
    "LOG:EVENt": _log_event,
    "NOP": _nop,
}


def _set_block(make: Callable[[SourceMeter, Arguments], Block], meter: SourceMeter, given: Arguments) -> None:
    number = given.whole(1, MAX_BLOCKS)
    block = make(meter, given)
    given.end()
    meter.trigger.set_block(number, block)


# --- ready-made models ----------------------------------------------------------------------------------------------


def _load_empty(meter: SourceMeter, given: Arguments) -> None:
    meter.trigger.load({})


def _tail(meter: SourceMeter, given: Arguments) -> tuple[float, str]:
    """Delay, buffer and kind of reading that end a ready-made model's parameters."""
    delay_s, buffer = _delay_s(given), _buffer(meter, given)
    given.word(("ACTive", "MEASure"), "ACT")
    return delay_s, buffer


def _load_simple(meter: SourceMeter, given: Arguments) -> None:
    count = given.whole(1, MAX_COUNT)
    meter.trigger.load(simple_loop(count, *_tail(meter, given)))


def _load_duration(meter: SourceMeter, given: Arguments) -> None:
    duration_s = given.number(MIN_DELAY_S, MAX_DURATION_S)
    meter.trigger.load(duration_loop(duration_s, *_tail(meter, given)))


def _load_logic(clearing: bool, meter: SourceMeter, given: Arguments) -> None:
    line_in, line_out, count = given.whole(1, 6), given.whole(1, 6), given.whole(1, MAX_COUNT)
    clears = clearing and given.word(("ENTer", "NEVer"), "NEV") == "ENT"
    delay_s, buffer = _tail(meter, given)
    meter.trigger.load(logic_trigger(line_in, count, clears, delay_s, buffer))
    meter.digital.line(line_out).stimulus = "NOT1"


def _load_config(meter: SourceMeter, given: Arguments) -> None:
    measured, sourced = given.string(), given.string()
    points = max(len(meter.sense_lists.find(measured)), len(meter.source_lists.find(sourced)))
    meter.trigger.load(config_list(measured, sourced, max(points, 1), *_tail(meter, given)))


_MODELS: dict[str, Run] = {
    "EMPTY": _load_empty,
    "SIMPLELOOP": _load_simple,
    "DURATIONLOOP": _load_duration,
    "LOGICTRIGGER": partial(_load_logic, True),
    "CONFIGLIST": _load_config,
}
_DEPRECATED_MODELS: dict[str, Run] = {
    "EMPTy": _load_empty,
    "LOOP:SIMPle": _load_simple,
    "LOOP:DURation": _load_duration,
    "TRIGger:EXTernal": partial(_load_logic, False),
    "CONFiguration:LIST": _load_config,
}


def _load(meter: SourceMeter, given: Arguments) -> None:
    name = given.string().upper()
    if name not in _MODELS:
        raise ScpiError(-224)
    _MODELS[name](meter, given)


# --- lists and sweeps -----------------------------------------------------------------------------------------------


def _fill(
    meter: SourceMeter, function: str, name: str, levels: Sequence[float], *, append: bool = False, most: int = MAX_POINTS
) -> None:
    """Make (or lengthen) a source list of present settings at these levels."""
    for level in levels:
        check_level(meter, function, level)
    kept = len(meter.source_lists.lists.get(name, ())) if append else 0
    if kept + len(levels) > most:
        raise ScpiError(-223 if most == MAX_POINTS else -225)
    if not kept:
        meter.source_lists.create(name)
    for level in levels:
        side = copy.copy(meter.settings.sources[function])
        side.level = level
        meter.source_lists.store(name, 0, function, side)


def _list(function: str, limit: float, append: bool, meter: SourceMeter, given: Arguments) -> None:
    _fill(meter, function, CUSTOM_LIST[function], Levels(limit).read(given.rest()), append=append)


def _sweep_list(function: str, meter: SourceMeter, given: Arguments) -> None:
    start = given.whole(1, MAX_POINTS, 1)
    delay_s = _sweep_delay_s(given, 0.0)
    count, fail_abort = given.whole(0, MAX_COUNT, 1), given.flag(True)
    buffer = _buffer(meter, given)
    name = given.string(CUSTOM_LIST[function])
    meter.source_lists.at(name, start)
    points = len(meter.source_lists.find(name)) - start + 1
    meter.trigger.load(sweep(name, start, points, delay_s, count, fail_abort, buffer))


def _sweep_delay_s(given: Arguments, default_s: float) -> float:
    """-1 (automatic) and 0 add no delay block of their own; else from 50 us on."""
    value = given.number(-1.0, MAX_DELAY_S, default_s)
    if value not in (-1.0, 0.0) and not value >= MIN_SWEEP_DELAY_S * (1 - 1e-9):
        raise ScpiError(-222)
    return max(value, 0.0)


def _steps(kind: str, start: float, stop: float, given: Arguments) -> tuple[float, ...]:
    if kind == "step":
        step = given.number(0.0, float("inf"))
        points = round(abs(stop - start) / step) + 1 if step > 0 and abs(stop - start) / step < 1e6 else 0
        if not 2 <= points <= 1_000_000:
            raise ScpiError(-222)
    else:
        points = given.whole(2, 1_000_000)
    if points > MAX_INDEXES:
        raise ScpiError(-225)  # this simulation's own bound; the maker's is a million
    if kind == "log":
        if not start * stop > 0:
            raise ScpiError(-222)
        return tuple(start * (stop / start) ** (i / (points - 1)) for i in range(points))
    return tuple(start + (stop - start) * i / (points - 1) for i in range(points))


def _sweep_even(kind: str, function: str, limit: float, meter: SourceMeter, given: Arguments) -> None:
    start, stop = given.number(-limit, limit), given.number(-limit, limit)
    levels = _steps(kind, start, stop, given)
    delay_s = _sweep_delay_s(given, -1.0)
    count = given.whole(0, MAX_COUNT, 1)
    ranging = given.word(("AUTO", "BEST", "FIXed"), "BEST")
    fail_abort, dual = given.flag(True), given.flag(False)
    buffer = _buffer(meter, given)
    given.end()
    side = meter.settings.sources[function]
    if ranging != "FIX":
        side.range_auto = ranging == "AUTO"
        side.range_value = lowest_range(RANGES[function], max(abs(start), abs(stop)))
    name = f"{function.capitalize()}{'Log' if kind == 'log' else 'Linear'}SweepList"  # assumed
    walked = (*levels, *levels[-2::-1]) if dual else levels  # the stop level once: RocketLogger's tables of this model
    _fill(meter, function, name, walked, most=MAX_INDEXES)
    meter.trigger.load(sweep(name, 1, len(walked), delay_s, count, fail_abort, buffer))


def commands() -> dict[str, Run]:
    """All headers of this module."""
    table: dict[str, Run] = {f"TRIGger:BLOCk:{spec}": partial(_set_block, make) for spec, make in _BLOCKS.items()}
    table["TRIGger:LOAD"] = _load
    table |= {f"TRIGger:LOAD:{spec}": run for spec, run in _DEPRECATED_MODELS.items()}
    for name, function, limit in (("VOLTage", "VOLT", 210.0), ("CURRent", "CURR", 1.05)):
        table[f"SOURce[1]:LIST:{name}"] = partial(_list, function, limit, False)
        table[f"SOURce[1]:LIST:{name}:APPend"] = partial(_list, function, limit, True)
        root = f"SOURce[1]:SWEep:{name}"
        table[f"{root}:LIST"] = partial(_sweep_list, function)
        for spec, kind in ((":LINear", "linear"), (":LINear:STEP", "step"), (":LOG", "log")):
            table[root + spec] = partial(_sweep_even, kind, function, limit)
    return table
