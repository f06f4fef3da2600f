"""Commands of a Keithley 2450 that exist alike for source and measurement: configuration lists and user delays.

Source: 2461-901-01 rev A, SOURce and SENSe CONFiguration:LIST, DELay:USER.
"""

from functools import partial
from typing import Any

from sim_instruments.keithley_2450_arguments import Arguments
from sim_instruments.keithley_2450_command import Command, Params, Reply, Suffixes, given, plain
from sim_instruments.keithley_2450_lists import ConfigurationLists
from sim_instruments.keithley_2450_meter import SourceMeter
from sim_instruments.keithley_2450_settings import NUMBER, USER_DELAYS
from sim_instruments.scpi import ScpiError


def _lists(source: bool, meter: SourceMeter) -> ConfigurationLists[Any]:
    return meter.source_lists if source else meter.sense_lists


def _list_create(source: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    _lists(source, meter).create(arguments.string())


def _list_store(source: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    name, index = arguments.string(), arguments.whole(0, 300_000, 0)
    settings = meter.settings
    function = settings.source_function if source else settings.sense_function
    _lists(source, meter).store(name, index, function, settings.source if source else settings.sense)


def _list_recall(source: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    name, index = arguments.string(), arguments.whole(1, 300_000, 1)
    second = arguments.string("") if source else ""
    second_index = arguments.whole(1, 300_000, index) if second else index
    if source:
        meter.recall_source(name, index)
    else:
        meter.recall_sense(name, index)
    if second:
        meter.recall_sense(second, second_index)
    meter.set_level(t_ns)


def _list_delete(source: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    _lists(source, meter).delete(arguments.string(), arguments.whole(0, 300_000, 0))


def _list_size(source: bool, meter: SourceMeter, arguments: Arguments, suffixes: Suffixes, t_ns: int) -> Reply:
    return str(len(_lists(source, meter).find(arguments.string())))


def _user_delay(holder: str, function: str, meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
    side, index = _user_side(holder, function, meter, suffixes)
    arguments = Arguments(params)
    delays = list(side.user_delays_s)
    delays[index] = arguments.number(0.0, 10e3)
    arguments.end()
    side.user_delays_s = tuple(delays)
    return None


def _ask_user_delay(holder: str, function: str, meter: SourceMeter, params: Params, suffixes: Suffixes, t_ns: int) -> Reply:
    side, index = _user_side(holder, function, meter, suffixes)
    return NUMBER.format(side.user_delays_s[index])


def _user_side(holder: str, function: str, meter: SourceMeter, suffixes: Suffixes) -> tuple[Any, int]:
    if not 1 <= suffixes[0] <= USER_DELAYS:
        raise ScpiError(-114)
    sides = meter.settings.sources if holder == "source" else meter.settings.senses
    return sides[function], suffixes[0] - 1


def commands() -> dict[str, Command]:
    """All headers of this module."""
    table: dict[str, Command] = {}
    delays = [(f"SOURce[1]:{name}", "source", function) for name, function in (("VOLTage", "VOLT"), ("CURRent", "CURR"))]
    delays += [
        (f"[:SENSe[1]]:{name}", "sense", function)
        for name, function in (
            ("VOLTage[:DC]", "VOLT"),
            ("CURRent[:DC]", "CURR"),
            ("RESistance", "RES"),
        )
    ]
    for root, holder, function in delays:
        table[f"{root}:DELay:USER#"] = Command(partial(_user_delay, holder, function), configures=True)
        table[f"{root}:DELay:USER#?"] = Command(partial(_ask_user_delay, holder, function), asks=True)
    for root, source in (("SOURce[1]", True), ("[:SENSe[1]]", False)):
        listed = f"{root}:CONFiguration:LIST"
        table[f"{listed}:CREate"] = given(partial(_list_create, source), configures=True)
        table[f"{listed}:STORe"] = given(partial(_list_store, source), configures=True)
        table[f"{listed}:RECall"] = given(partial(_list_recall, source), configures=True)
        table[f"{listed}:DELete"] = given(partial(_list_delete, source), configures=True)
        table[f"{listed}:SIZE?"] = given(partial(_list_size, source), asks=True)
        table[f"{listed}:CATalog?"] = plain(lambda m, t, s=source: f'"{_lists(s, m).catalog()}"', asks=True)
    return table
