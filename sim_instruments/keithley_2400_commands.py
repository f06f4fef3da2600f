"""The command set of a Keithley 2400 as one tree: settings from their table, and what is more than a setting.

Source: 2400S-900-01 rev K, sections 15 to 18.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache, partial

from sim_instruments.keithley_2400_assignment import Params, ask, assign
from sim_instruments.keithley_2400_meter import SourceMeter
from sim_instruments.keithley_2400_output import Limited
from sim_instruments.keithley_2400_readings import format_readings, format_statistic
from sim_instruments.keithley_2400_settings import (
    FUNCTIONS,
    MAX_A,
    MAX_POINTS,
    MAX_V,
    ROWS,
    Levels,
    Settings,
    format_functions,
    parse_functions,
)
from sim_instruments.keithley_2400_status import Register
from sim_instruments.scpi import NO_ERROR, CommandTree, Flag, Real, ScpiError, Whole

Reply = str | bytes | None
Run = Callable[[SourceMeter, Params, int], Reply]
Plain = Callable[[SourceMeter, int], Reply]

_RESET = Settings()
_READING_BYTES = 28  # assumed


class Answer(Enum):
    """What comes of a command on an idle instrument: nothing to read, a reply at once, a reading, or nobody knows."""

    NONE = auto()
    AT_ONCE = auto()
    READING = auto()
    UNCERTAIN = auto()


@dataclass(frozen=True, slots=True)
class Command:
    """What a header does.

    Parameters
    ----------
    run      executes it; takes all parameters when `plain` is False, none otherwise
    at_once  acts while the instrument is not idle, past what waits
    repeats  having acted past what waits, it acts again when its turn comes
    cancels  drops what waits
    then     is executed after it, in the same message
    answer   what comes of it on an idle instrument, without parameters; UNCERTAIN when it can fail or starts a run
    """

    run: Run
    at_once: bool = False
    repeats: bool = False
    cancels: bool = False
    then: "Command | None" = None
    answer: Answer = Answer.UNCERTAIN

    def answer_to(self, params: Params) -> Answer:
        """What comes of it on an idle instrument; a question with a parameter can fail."""
        return Answer.UNCERTAIN if params and self.answer is not Answer.NONE else self.answer


def _plain(run: Plain) -> Run:
    """Make a command without parameters; -108 when it gets one."""

    def checked(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
        if params:
            raise ScpiError(-108)
        return run(meter, t_ns)

    return checked


# --- measuring and triggering ---------------------------------------------------------------------------------------


def _initiate(meter: SourceMeter, t_ns: int) -> None:
    meter.initiate(t_ns)


def _abort(meter: SourceMeter, t_ns: int) -> None:
    meter.trigger.abort(t_ns)


def _bus_trigger(meter: SourceMeter, t_ns: int) -> None:
    if not meter.trigger.bus(t_ns):
        raise ScpiError(-211)


def _read(meter: SourceMeter, t_ns: int) -> None:
    if meter.settings.arm_count == float("inf"):
        raise ScpiError(830)
    meter.trigger.abort(t_ns)
    meter.initiate(t_ns)


def _fetch(meter: SourceMeter, t_ns: int) -> Reply:
    if not meter.store.latest:
        raise ScpiError(-230)
    return format_readings(meter.store.latest, meter.settings)


def _latest(meter: SourceMeter, t_ns: int) -> Reply:
    if not meter.store.latest:
        raise ScpiError(-230)
    return format_readings(meter.store.latest[-1:], meter.settings)


def _configure(function: str, meter: SourceMeter, t_ns: int) -> None:
    """One-shot set-up, output on. That compliance keeps its value is assumed."""
    settings = meter.settings
    settings.functions = (function,) if function else settings.functions
    if function == "CURR" and settings.sourcing_voltage:
        settings.sense_curr_auto = True
    elif function == "VOLT" and not settings.sourcing_voltage:
        settings.sense_volt_auto = True
    settings.nplc, settings.filter_on, settings.auto_zero = _RESET.nplc, False, True
    settings.arm_source = settings.trig_source = "IMM"
    settings.arm_count = settings.trig_count = 1
    settings.trig_delay_s = 0.0
    meter.standing.buffer_control, meter.store.active = "NEV", False
    if not settings.auto_clear:
        meter.switch(True, t_ns)


def _measure(function: str, meter: SourceMeter, t_ns: int) -> None:
    _configure(function, meter, t_ns)
    _read(meter, t_ns)


def _list_append(key: str, limit: float, meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    added = Levels(limit).parse(params, (), ())
    values = (*getattr(meter.settings, key), *(added if isinstance(added, tuple) else ()))
    if len(values) > MAX_POINTS:
        raise ScpiError(-223)
    setattr(meter.settings, key, values)
    return None


def _ends(meter: SourceMeter, unit: str) -> tuple[float, float]:
    return getattr(meter.settings, f"start_{unit}"), getattr(meter.settings, f"stop_{unit}")


def _set_step(unit: str, limit: float, meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    start, stop = _ends(meter, unit)
    step = abs(float(str(Real(-2 * limit, 2 * limit).parse(params, 0.0, 0.0))))
    points = abs(stop - start) / step + 1 if step > 0 else float("inf")
    if not points < MAX_POINTS + 0.5:
        raise ScpiError(-222)
    meter.settings.sweep_points = max(round(points), 2)
    return None


def _ask_step(unit: str, meter: SourceMeter, t_ns: int) -> Reply:
    start, stop = _ends(meter, unit)
    return f"{(stop - start) / max(meter.settings.sweep_points - 1, 1):+.6E}"


def _set_center_span(unit: str, limit: float, span: bool, meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    start, stop = _ends(meter, unit)
    value = float(str(Real(-2 * limit, 2 * limit).parse(params, 0.0, 0.0)))
    center, width = ((start + stop) / 2, value) if span else (value, stop - start)
    ends = center - width / 2, center + width / 2
    if not all(-limit <= end <= limit for end in ends):
        raise ScpiError(-222)
    for name, end in zip(("start", "stop"), ends, strict=True):
        setattr(meter.settings, f"{name}_{unit}", end)
    return None


def _ask_center(unit: str, meter: SourceMeter, t_ns: int) -> Reply:
    return f"{sum(_ends(meter, unit)) / 2:+.6E}"


def _ask_span(unit: str, meter: SourceMeter, t_ns: int) -> Reply:
    start, stop = _ends(meter, unit)
    return f"{stop - start:+.6E}"


def _functions_on(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    named = parse_functions(params)
    settings = meter.settings
    kept = settings.functions if settings.concurrent else ()
    chosen = {*kept, *(named if settings.concurrent else named[-1:])}
    settings.functions = tuple(name for name in FUNCTIONS if name in chosen)
    return None


def _functions_off(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    named = parse_functions(params)
    meter.settings.functions = tuple(name for name in meter.settings.functions if name not in named)
    return None


def _set_functions(functions: tuple[str, ...], meter: SourceMeter, t_ns: int) -> None:
    meter.settings.functions = functions


def _function_state(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    return str(int(parse_functions(params)[0] in meter.settings.functions))


def _output(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    meter.switch(bool(Flag().parse(params, False, False)), t_ns)
    return None


def _auto_zero(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    once = len(params) == 1 and params[0].upper() == "ONCE"
    meter.settings.auto_zero = False if once else bool(Flag().parse(params, True, True))
    return None


# --- data store, system, status -------------------------------------------------------------------------------------


def _trace_data(meter: SourceMeter, t_ns: int) -> Reply:
    if not meter.store.stored:
        raise ScpiError(-230)  # assumed
    return format_readings(meter.store.stamped(meter.standing.buffer_time), meter.settings)


def _statistic(meter: SourceMeter, t_ns: int) -> Reply:
    if not meter.store.stored:
        raise ScpiError(-230)  # assumed
    return format_statistic(meter.store.stored, meter.settings)


def _trace_clear(meter: SourceMeter, t_ns: int) -> None:
    meter.store.stored.clear()


def _trace_free(meter: SourceMeter, t_ns: int) -> Reply:
    used = len(meter.store.stored)
    return f"{(MAX_POINTS - used) * _READING_BYTES},{used * _READING_BYTES}"


def _reset(settings: Callable[[], Settings], meter: SourceMeter, t_ns: int) -> None:
    meter.reset(settings(), t_ns)


def _preset() -> Settings:
    return Settings(protection_v=40.0, byte_order="SWAP")


def _slot(params: Params) -> int:
    return int(str(Whole(0, 4).parse(params, 0, 0)))


def _save(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    meter.saved[_slot(params)] = replace(meter.settings)
    return None


def _recall(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    meter.reset(replace(meter.saved.get(_slot(params), _preset())), t_ns)
    return None


def _identity(meter: SourceMeter, t_ns: int) -> Reply:
    fields = ("KEITHLEY INSTRUMENTS INC.", "MODEL 2400", meter.serial, meter.quirks.firmware)
    return (", " if meter.quirks.identity_blanks else ",").join(fields)


def _all_errors(meter: SourceMeter, t_ns: int) -> Reply:
    entries = [meter.status.queue.pop() for _ in range(len(meter.status.queue.codes))]
    return ",".join(entries) or NO_ERROR


def _clear_errors(meter: SourceMeter, t_ns: int) -> None:
    meter.status.queue.codes.clear()


def _reset_time(meter: SourceMeter, t_ns: int) -> None:
    meter.switched_on_ns = t_ns


def _clear_latches(meter: SourceMeter, t_ns: int) -> None:
    meter.trigger.latches.clear()


def _register_reply(meter: SourceMeter, value: int) -> str:
    return {"HEX": f"#H{value:X}", "OCT": f"#Q{value:o}", "BIN": f"#B{value:b}"}.get(meter.standing.register_format, str(value))


def _standard_event(meter: SourceMeter, t_ns: int) -> Reply:
    event, meter.status.standard_event = meter.status.standard_event, 0
    return _register_reply(meter, event)


def _set_mask(top: int, write: Callable[[SourceMeter, int], None], meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    write(meter, int(str(Whole(0, top).parse(params, 0, 0))))
    return None


def _nothing(meter: SourceMeter, params: Params, t_ns: int) -> Reply:
    return None


def _write_attribute(name: str, meter: SourceMeter, value: int) -> None:
    setattr(meter.status, name, value)


def _write_enable(name: str, meter: SourceMeter, value: int) -> None:
    _register(meter, name).enable = value


def _register(meter: SourceMeter, name: str) -> Register:
    return getattr(meter.status, name)


# --- the tree -------------------------------------------------------------------------------------------------------

_FETCH = Command(_plain(_fetch))
_SOURCE, _SENSE = "SOURce[1]", "[:SENSe[1]]"
_SENSE_FUNCTION = f"{_SENSE}:FUNCtion"

_COMMANDS: dict[str, Command] = {
    "*TRG": Command(_plain(_bus_trigger), at_once=True, answer=Answer.NONE),
    "*RST": Command(_plain(partial(_reset, Settings)), at_once=True, repeats=True, cancels=True, answer=Answer.NONE),
    "*RCL": Command(_recall, at_once=True, repeats=True, answer=Answer.NONE),
    "SYSTem:PRESet": Command(_plain(partial(_reset, _preset)), at_once=True, repeats=True, answer=Answer.NONE),
    "ABORt": Command(_plain(_abort), at_once=True, repeats=True, answer=Answer.NONE),
    "INITiate[:IMMediate]": Command(_plain(_initiate), at_once=True),
    "READ?": Command(_plain(_read), then=_FETCH, answer=Answer.READING),
    "FETCh?": _FETCH,
}
_CAN_FAIL = (_latest, _trace_data, _statistic)

_PLAIN: dict[str, Plain] = {
    "*CLS": lambda m, t: m.status.clear(),
    "*ESE?": lambda m, t: _register_reply(m, m.status.standard_enable),
    "*ESR?": _standard_event,
    "*IDN?": _identity,
    "*OPC": lambda m, t: m.status.complete(),
    "*OPC?": lambda m, t: "1",
    "*SRE?": lambda m, t: _register_reply(m, m.status.service_enable),
    "*STB?": lambda m, t: _register_reply(m, m.status.byte(message_available=False)),
    "*TST?": lambda m, t: "0",
    "*WAI": lambda m, t: None,
    f"{_SENSE}:DATA[:LATest]?": _latest,
    "OUTPut[1][:STATe]?": lambda m, t: str(int(m.output.on)),
    "OUTPut[1]:ENABle:TRIPped?": lambda m, t: str(int(m.interlock_closed)),  # 1 is "no". Source: table 18-4
    f"{_SOURCE}:CLEar[:IMMediate]": lambda m, t: m.switch(False, t),
    f"{_SOURCE}:VOLTage:PROTection:TRIPped?": lambda m, t: str(int(m.output.protected)),
    "SOURce2:TTL:ACTual?": lambda m, t: str(m.settings.digital_level),
    f"{_SENSE_FUNCTION}[:ON]?": lambda m, t: format_functions(m.settings.functions),
    f"{_SENSE_FUNCTION}:OFF?": lambda m, t: format_functions([f for f in FUNCTIONS if f not in m.settings.functions]),
    f"{_SENSE_FUNCTION}[:ON]:COUNt?": lambda m, t: str(len(m.settings.functions)),
    f"{_SENSE_FUNCTION}[:ON]:ALL": partial(_set_functions, FUNCTIONS),
    f"{_SENSE_FUNCTION}:OFF:ALL": partial(_set_functions, ()),
    "CALCulate3:DATA?": _statistic,
    "CONFigure?": lambda m, t: format_functions(m.settings.functions),
    "SYSTem:ERRor[:NEXT]?": lambda m, t: m.status.queue.pop(),
    "SYSTem:ERRor:ALL?": _all_errors,
    "SYSTem:ERRor:COUNt?": lambda m, t: str(len(m.status.queue.codes)),
    "SYSTem:ERRor:CODE[:NEXT]?": lambda m, t: m.status.queue.pop().partition(",")[0],
    "SYSTem:CLEar": _clear_errors,
    "SYSTem:VERSion?": lambda m, t: "1996.0",
    "SYSTem:AZERo[:STATe]?": lambda m, t: str(int(m.settings.auto_zero)),
    "SYSTem:TIME?": lambda m, t: f"{(t - m.switched_on_ns) * 1e-9:.6f}",
    "SYSTem:TIME:RESet": _reset_time,
    "STATus:QUEue[:NEXT]?": lambda m, t: m.status.queue.pop(),
    "STATus:QUEue:CLEar": _clear_errors,
    "STATus:QUEue:ENABle?": lambda m, t: m.status.format_codes(enabled=True),
    "STATus:QUEue:DISable?": lambda m, t: m.status.format_codes(enabled=False),
    "STATus:PRESet": lambda m, t: m.status.preset(),
    "TRIGger[:SEQuence[1]]:CLEar": _clear_latches,
    "DISPlay:CNDisplay": lambda m, t: None,
    **{
        f"{trace}:{spec}": run
        for trace in ("TRACe", "DATA")
        for spec, run in {
            "DATA?": _trace_data,
            "CLEar": _trace_clear,
            "FREE?": _trace_free,
            "POINts:ACTual?": lambda m, t: str(len(m.store.stored)),  # pyright: ignore[reportUnknownLambdaType]
        }.items()
    },
}

_ACCEPTED = (
    *("SYSTem:LOCal", "SYSTem:REMote", "SYSTem:RWLock", "SYSTem:KEY", "SYSTem:BEEPer[:IMMediate]"),
    *("SYSTem:AZERo:CACHing:REFResh", "SYSTem:AZERo:CACHing:RESet"),  # from memory, unverified
)
_WITH_PARAMS: dict[str, Run] = {
    "*SAV": _save,
    "*ESE": partial(_set_mask, 255, partial(_write_attribute, "standard_enable")),
    "*SRE": partial(_set_mask, 255, partial(_write_attribute, "service_enable")),
    "OUTPut[1][:STATe]": _output,
    "SYSTem:AZERo[:STATe]": _auto_zero,
    f"{_SENSE_FUNCTION}[:ON]": _functions_on,
    f"{_SENSE_FUNCTION}:OFF": _functions_off,
    f"{_SENSE_FUNCTION}:STATe?": _function_state,
    "STATus:QUEue:ENABle": lambda m, params, t: m.status.enable_codes(params),
    "STATus:QUEue:DISable": lambda m, params, t: m.status.disable_codes(params),
    **dict.fromkeys(_ACCEPTED, _nothing),
}


def _sources() -> dict[str, Run]:
    """Commands that exist alike for the voltage and the current source."""
    table: dict[str, Run] = {}
    for name, unit, limit in (("VOLTage", "v", MAX_V), ("CURRent", "a", MAX_A)):
        source, listed, sense = f"{_SOURCE}:{name}", f"{_SOURCE}:LIST:{name}", f"{_SENSE}:{name}[:DC]:PROTection:TRIPped?"
        table[f"{listed}:APPend"] = partial(_list_append, f"list_{unit}", limit)
        table[f"{listed}:POINts?"] = _plain(partial(_list_points, f"list_{unit}"))
        table[f"{source}:STEP"] = partial(_set_step, unit, limit)
        table[f"{source}:STEP?"] = _plain(partial(_ask_step, unit))
        table[f"{source}:CENTer"] = partial(_set_center_span, unit, limit, False)
        table[f"{source}:CENTer?"] = _plain(partial(_ask_center, unit))
        table[f"{source}:SPAN"] = partial(_set_center_span, unit, limit, True)
        table[f"{source}:SPAN?"] = _plain(partial(_ask_span, unit))
        table[sense] = _plain(partial(_tripped, name == "CURRent"))
    return table


def _list_points(key: str, meter: SourceMeter, t_ns: int) -> Reply:
    return str(len(getattr(meter.settings, key)))


def _tripped(curr: bool, meter: SourceMeter, t_ns: int) -> Reply:
    return str(int(meter.settings.sourcing_voltage == curr and meter.output.limited is not Limited.NOT))


def _statuses() -> dict[str, Run]:
    table: dict[str, Run] = {}
    for node, name in (("MEASurement", "measurement"), ("OPERation", "operation"), ("QUEStionable", "questionable")):
        table[f"STATus:{node}[:EVENt]?"] = _plain(lambda m, t, n=name: _register_reply(m, _register(m, n).read_event()))
        table[f"STATus:{node}:CONDition?"] = _plain(lambda m, t, n=name: _register_reply(m, _register(m, n).condition))
        table[f"STATus:{node}:ENABle"] = partial(_set_mask, 65535, partial(_write_enable, name))
        table[f"STATus:{node}:ENABle?"] = _plain(lambda m, t, n=name: _register_reply(m, _register(m, n).enable))
    return table


def _answer(spec: str) -> Answer:
    return Answer.AT_ONCE if spec.endswith("?") else Answer.NONE


def _build() -> CommandTree[Command]:
    tree = CommandTree[Command]()
    for row in ROWS:
        tree.add(row.spec, Command(partial(assign, row), answer=Answer.NONE))
        tree.add(row.spec + "?", Command(partial(ask, row), answer=Answer.AT_ONCE))
    for spec, command in _COMMANDS.items():
        tree.add(spec, command)
    for spec, plain in _PLAIN.items():
        tree.add(spec, Command(_plain(plain), answer=Answer.UNCERTAIN if plain in _CAN_FAIL else _answer(spec)))
    for spec, run in {**_sources(), **_statuses()}.items():
        tree.add(spec, Command(run, answer=_answer(spec)))
    for spec, run in _WITH_PARAMS.items():
        tree.add(spec, Command(run, answer=Answer.UNCERTAIN if spec.endswith("?") else Answer.NONE))
    for name, function in (("", ""), (":CURRent[:DC]", "CURR"), (":VOLTage[:DC]", "VOLT"), (":RESistance", "RES")):
        tree.add(f"MEASure{name}?", Command(_plain(partial(_measure, function)), then=_FETCH))
        if function:
            tree.add(f"CONFigure{name}", Command(_plain(partial(_configure, function)), answer=Answer.NONE))
    return tree


TREE = _build()
parse = lru_cache(maxsize=1000)(TREE.parse)  # programs repeat themselves
