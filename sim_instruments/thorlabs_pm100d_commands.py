"""What a PM100D with an energy head understands: headers, parameters with units, and what each does to the meter.

Source: headers and parameters as the ThorlabsPM100 package 1.2.2 lists them, parameter rules (MIN, MAX, DEF, suffixes) from the
introduction to SCPI in the operation manual.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim_instruments.scpi import CommandTree, Flag, Parsed, ScpiError, Whole, parse_number, parse_word, single
from sim_instruments.thorlabs_pm100d_absent import KNOWINGLY_ABSENT
from sim_instruments.thorlabs_pm100d_head import VOLTAGE_RANGES_V
from sim_instruments.thorlabs_pm100d_meter import (
    BEAM_DEFAULT_MM,
    BEAM_LIMITS_MM,
    ENERGY,
    ENERGY_DENSITY,
    FREQUENCY,
    FREQUENCY_LIMITS_HZ,
    LOSS_LIMITS_DB,
    THRESHOLD_DEFAULT_PERCENT,
    THRESHOLD_LIMITS_PERCENT,
    VOLTAGE,
    Meter,
    NotYetError,
    default_responsivity,
)
from sim_instruments.thorlabs_pm100d_status import INVALID_SUFFIX, OPERATION_COMPLETE, REGISTER_MAX, Register

Params = Sequence[str]
Run = Callable[[Meter, Params], str | None]


@dataclass(frozen=True, slots=True)
class Command:
    """One command or query: what it does, in steps; a step that raises NotYetError is done again later."""

    steps: tuple[Run, ...]
    query: bool = False
    measures: bool = False  # starts a measurement of its own, and answers with its result


# --- parameters -------------------------------------------------------------------------------------------------------

_WITH_SUFFIX = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<suffix>[A-Za-z%]*)")
_MULTIPLIERS = {"": 1.0, "N": 1e-9, "U": 1e-6, "M": 1e-3, "K": 1e3, "MA": 1e6}
_WORDS = ("MINimum", "MAXimum", "DEFault")
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit.

    Parameters
    ----------
    get, set  read and write it
    limits    MIN, MAX and DEF (None: has none)
    suffixes  unit -> factor; "" is the unit without a suffix
    lowest    what may be set, where that is less than MIN
    """

    get: Callable[[Meter], float]
    set: Callable[[Meter, float], None]
    limits: Callable[[Meter], tuple[float, float, float | None]]
    suffixes: dict[str, float] = field(default_factory=lambda: {"": 1.0})
    lowest: float | None = None

    def ask(self, meter: Meter, params: Params) -> str:
        """Answer the query form, with or without MIN, MAX, DEF."""
        return f"{self._word(meter, single(params)) if params else self.get(meter):.6E}"

    def tell(self, meter: Meter, params: Params) -> None:
        """Set it; -222 outside the limits (to the seven digits of an answer), -131 for a unit that is not its own."""
        text = single(params)
        self.set(meter, self._word(meter, text) if text[0].isalpha() else self._number(meter, text))

    def _word(self, meter: Meter, text: str) -> float:
        low, high, default = self.limits(meter)
        value = {"MIN": low, "MAX": high, "DEF": default}[parse_word(text, _WORDS)]
        if value is None:
            raise ScpiError(-224)
        return value

    def _number(self, meter: Meter, text: str) -> float:
        found = _WITH_SUFFIX.fullmatch(text)
        value = float(found["number"]) if found else parse_number(text)
        factor = self.suffixes.get(found["suffix"].upper() if found else "")
        if factor is None:
            raise ScpiError(INVALID_SUFFIX)
        low, high, _ = self.limits(meter)
        low = low if self.lowest is None else self.lowest
        if not low - ROUNDING * abs(low) <= value * factor <= high + ROUNDING * abs(high):
            raise ScpiError(-222)
        return value * factor


def _unit(name: str) -> dict[str, float]:
    return {"": 1.0, **{prefix + name: factor for prefix, factor in _MULTIPLIERS.items()}}


def _setting(name: str, low: float, high: float, default: float | None, suffixes: dict[str, float]) -> Quantity:
    def write(meter: Meter, value: float) -> None:
        setattr(meter.settings, name, value)
        meter.refresh()

    return Quantity(lambda meter: getattr(meter.settings, name), write, lambda _: (low, high, default), suffixes)


def _preference(name: str) -> Quantity:
    def write(meter: Meter, value: float) -> None:
        setattr(meter.preferences, name, value)

    return Quantity(lambda meter: getattr(meter.preferences, name), write, lambda _: (0.0, 1.0, None))


def _range(per_volt: Callable[[Meter], float], unit: str) -> Quantity:
    """Make a range; a number chooses the smallest range it fits in."""

    def write(meter: Meter, value: float) -> None:
        meter.settings.range_v = next(v for v in VOLTAGE_RANGES_V if value <= v * per_volt(meter) * (1 + 2 * ROUNDING))
        meter.refresh()

    return Quantity(
        lambda meter: meter.settings.range_v * per_volt(meter),
        write,
        lambda meter: (VOLTAGE_RANGES_V[0] * per_volt(meter), VOLTAGE_RANGES_V[-1] * per_volt(meter), None),
        _unit(unit),
        lowest=0.0,
    )


def _reference(name: str, per_volt: Callable[[Meter], float], unit: str) -> Quantity:
    return Quantity(
        lambda meter: getattr(meter.settings, name),
        lambda meter, value: setattr(meter.settings, name, value),
        lambda meter: (0.0, VOLTAGE_RANGES_V[-1] * per_volt(meter), 0.0),
        _unit(unit),
    )


def _responsivity_limits(meter: Meter) -> tuple[float, float, float]:
    right = default_responsivity(meter)
    return right / 10, right * 10, right


def _set_responsivity(meter: Meter, value: float) -> None:
    meter.settings.responsivity_v_per_j = value


def _per_joule(meter: Meter) -> float:
    return meter.j_per_v


QUANTITIES: dict[str, Quantity] = {
    "[SENSe:]CORRection:WAVelength": Quantity(
        lambda meter: meter.settings.wavelength_nm,
        lambda meter, value: meter.set_wavelength(value),
        lambda meter: (*meter.detector.head.wavelength_nm, None),
        {"": 1.0, "NM": 1.0, "UM": 1e3},
    ),
    "[SENSe:]CORRection[:LOSS][:INPut][:MAGNitude]": _setting("loss_db", *LOSS_LIMITS_DB, 0.0, {"": 1.0, "DB": 1.0}),
    "[SENSe:]CORRection:BEAMdiameter": _setting("beam_mm", *BEAM_LIMITS_MM, BEAM_DEFAULT_MM, {"": 1.0, "MM": 1.0, "UM": 1e-3}),
    "[SENSe:]CORRection:ENERgy[:PYRO][:RESPonse]": Quantity(
        lambda meter: meter.settings.responsivity_v_per_j, _set_responsivity, _responsivity_limits, _unit("V")
    ),
    "[SENSe:]ENERgy:RANGe[:UPPer]": _range(_per_joule, "J"),
    "[SENSe:]VOLTage[:DC]:RANGe[:UPPer]": _range(lambda _: 1.0, "V"),
    "[SENSe:]ENERgy:REFerence": _reference("reference_j", _per_joule, "J"),
    "[SENSe:]VOLTage[:DC]:REFerence": _reference("reference_v", lambda _: 1.0, "V"),
    "[SENSe:]PEAKdetector[:THReshold]": _setting(
        "threshold_percent",
        *THRESHOLD_LIMITS_PERCENT,
        THRESHOLD_DEFAULT_PERCENT,
        {"": 1.0, "PCT": 1.0, "%": 1.0},
    ),
    "DISPlay:BRIGhtness": _preference("brightness"),
    "DISPlay:CONTrast": _preference("contrast"),
}

# --- simple settings --------------------------------------------------------------------------------------------------


def _none(params: Params) -> None:
    if params:
        raise ScpiError(-108)


def _say(answer: Callable[[Meter], str]) -> Command:
    """Make a query without parameters."""

    def run(meter: Meter, params: Params) -> str:
        _none(params)
        return answer(meter)

    return Command((run,), query=True)


def _do(action: Callable[[Meter], object]) -> Command:
    """Make a command without parameters."""

    def run(meter: Meter, params: Params) -> None:
        _none(params)
        action(meter)

    return Command((run,))


def _switch(read: Callable[[Meter], bool], write: Callable[[Meter, bool], None]) -> tuple[Command, Command]:
    def tell(meter: Meter, params: Params) -> None:
        write(meter, bool(Flag().parse(params, False, False)))

    return Command((tell,)), _say(lambda meter: str(int(read(meter))))


def _number(low: int, high: int, read: Callable[[Meter], int], write: Callable[[Meter, int], None]) -> tuple[Command, Command]:
    kind = Whole(low, high)

    def tell(meter: Meter, params: Params) -> None:
        write(meter, int(str(kind.parse(params, low, low))))

    return Command((tell,)), _say(lambda meter: str(read(meter)))


def _triple(name: str, lowest: tuple[int, int, int], highest: tuple[int, int, int]) -> tuple[Command, Command]:
    """Make date or time: three whole numbers."""

    def tell(meter: Meter, params: Params) -> None:
        if len(params) != 3:
            raise ScpiError(-109 if len(params) < 3 else -108)
        values = [Whole(low, high).parse([p], low, low) for p, low, high in zip(params, lowest, highest, strict=True)]
        setattr(meter.preferences, name, tuple(int(str(value)) for value in values))

    return Command((tell,)), _say(lambda meter: ",".join(str(part) for part in getattr(meter.preferences, name)))


def _line_frequency(meter: Meter, params: Params) -> None:
    value = parse_number(single(params))
    if value not in (50, 60):
        raise ScpiError(-222)
    meter.preferences.line_hz = int(value)


def _adapter(meter: Meter, params: Params) -> None:
    meter.preferences.adapter = parse_word(single(params), ("PHOTodiode", "THERmal", "PYRo"))


def _sensor(meter: Meter) -> str:
    head = meter.detector.head
    return f'"{head.name}","{head.serial}","{head.calibrated}",{head.kind},{head.subkind},{head.flags}'


# --- measuring --------------------------------------------------------------------------------------------------------


def _fetch(meter: Meter, params: Params) -> str:
    _none(params)
    return meter.fetch()


def _wait(meter: Meter, params: Params) -> None:
    _none(params)
    if meter.running:
        raise NotYetError


def _complete(meter: Meter, params: Params) -> str:
    _wait(meter, params)
    return "1"


def _complete_later(meter: Meter) -> None:
    if meter.running:
        meter.complete_later = True
    else:
        meter.status.standard_event |= OPERATION_COMPLETE


def _read(meter: Meter, params: Params) -> None:
    _none(params)
    meter.restart()


def _measure(function: str) -> Command:
    def start(meter: Meter, params: Params) -> None:
        _none(params)
        meter.configure(function)
        meter.initiate()

    return Command((start, _fetch), query=True, measures=True)


def _refused(header: str) -> Command:
    """Make what this head cannot do; parameters of settings are not looked at."""

    def run(meter: Meter, params: Params) -> None:
        if header.startswith(("CONF", "MEAS")):
            _none(params)
        meter.refuse_sensor()

    return Command((run,), query=header.endswith("?"))


FUNCTIONS = {"ENERgy": ENERGY, "EDENsity": ENERGY_DENSITY, "VOLTage[:DC]": VOLTAGE, "FREQuency": FREQUENCY}

# --- status -----------------------------------------------------------------------------------------------------------

GROUPS: dict[str, Callable[[Meter], Register]] = {
    "OPERation": lambda meter: meter.status.operation,
    "QUEStionable": lambda meter: meter.status.questionable,
    "MEASurement": lambda meter: meter.status.measurement,
    "AUXiliary": lambda meter: meter.status.auxiliary,
}
MASKS = {"ENABle": "enable", "PTRansition": "positive", "NTRansition": "negative"}


def _read_event(meter: Meter) -> str:
    event, meter.status.standard_event = meter.status.standard_event, 0
    return str(event)


def _status(tree: CommandTree[Command]) -> None:
    for group, register in GROUPS.items():
        tree.add(f"STATus:{group}[:EVENt]?", _say(lambda meter, of=register: str(of(meter).read_event())))
        tree.add(f"STATus:{group}:CONDition?", _say(lambda meter, of=register: str(of(meter).condition)))
        for header, name in MASKS.items():
            _pair(
                tree,
                f"STATus:{group}:{header}",
                _number(
                    0,
                    REGISTER_MAX,
                    lambda meter, of=register, mask=name: int(getattr(of(meter), mask)),
                    lambda meter, value, of=register, mask=name: setattr(of(meter), mask, value),
                ),
            )
    tree.add("STATus:PRESet", _do(lambda meter: meter.status.preset()))
    for header, name in (("*ESE", "standard_enable"), ("*SRE", "service_enable")):
        read_write = _number(
            0,
            255,
            lambda meter, mask=name: int(getattr(meter.status, mask)),
            lambda meter, value, mask=name: setattr(meter.status, mask, value),
        )
        _pair(tree, header, read_write)
    tree.add("*ESR?", _say(_read_event))
    tree.add("*STB?", _say(lambda meter: str(meter.status.byte(message_available=meter.message_available()))))
    tree.add("*CLS", _do(lambda meter: meter.status.clear()))


# --- the tree ---------------------------------------------------------------------------------------------------------


def _pair(tree: CommandTree[Command], header: str, both: tuple[Command, Command]) -> None:
    tree.add(header, both[0])
    tree.add(f"{header}?", both[1])


def _system(tree: CommandTree[Command]) -> None:
    tree.add("*IDN?", _say(lambda meter: meter.identity))
    tree.add("*RST", _do(lambda meter: meter.reset()))
    tree.add("*TST?", _say(lambda _: "0"))
    tree.add("*OPC", _do(_complete_later))
    tree.add("*OPC?", Command((_complete,), query=True))
    tree.add("*WAI", Command((_wait,)))
    tree.add("SYSTem:ERRor[:NEXT]?", _say(lambda meter: meter.status.next_error()))
    tree.add("SYSTem:VERSion?", _say(lambda _: "1999.0"))
    tree.add("SYSTem:SENSor:IDN?", _say(_sensor))
    tree.add("SYSTem:BEEPer[:IMMediate]", _do(lambda _: None))
    beeper = _switch(lambda meter: meter.preferences.beeper, lambda meter, on: setattr(meter.preferences, "beeper", on))
    _pair(tree, "SYSTem:BEEPer:STATe", beeper)
    _pair(tree, "SYSTem:LFRequency", (Command((_line_frequency,)), _say(lambda meter: str(meter.preferences.line_hz))))
    _pair(tree, "SYSTem:DATE", _triple("date", (2000, 1, 1), (2099, 12, 31)))
    _pair(tree, "SYSTem:TIME", _triple("time", (0, 0, 0), (23, 59, 59)))
    tree.add("CALibration:STRing?", _say(lambda meter: f'"{meter.detector.head.calibrated}"'))
    _pair(tree, "INPut:ADAPter[:TYPE]", (Command((_adapter,)), _say(lambda meter: meter.preferences.adapter)))


def _sense(tree: CommandTree[Command]) -> None:
    for header, quantity in QUANTITIES.items():
        _pair(tree, header, (Command((quantity.tell,)), Command((quantity.ask,), query=True)))
    count = _number(1, 10_000, lambda m: m.settings.average, lambda m, value: setattr(m.settings, "average", value))
    _pair(tree, "[SENSe:]AVERage[:COUNt]", count)
    for header, name in (("ENERgy", "relative_energy"), ("VOLTage[:DC]", "relative_voltage")):
        switch = _switch(
            lambda meter, flag=name: bool(getattr(meter.settings, flag)),
            lambda meter, on, flag=name: setattr(meter.settings, flag, on),
        )
        _pair(tree, f"[SENSe:]{header}:REFerence:STATe", switch)
    for end, limit in zip(("LOWer", "[UPPer]"), FREQUENCY_LIMITS_HZ, strict=True):
        name = "[:UPPer]" if end == "[UPPer]" else f":{end}"
        tree.add(f"[SENSe:]FREQuency:RANGe{name}?", _say(lambda _, value=limit: f"{value:.6E}"))


def _measurement(tree: CommandTree[Command]) -> None:
    for header, name in FUNCTIONS.items():
        tree.add(f"CONFigure[:SCALar]:{header}", _do(lambda meter, to=name: meter.configure(to)))
        tree.add(f"MEASure[:SCALar]:{header}?", _measure(name))
    tree.add("CONFigure?", _say(lambda meter: meter.settings.function))
    tree.add("INITiate[:IMMediate]", _do(lambda meter: meter.initiate()))
    tree.add("ABORt", _do(lambda meter: meter.abort()))
    tree.add("FETCh?", Command((_fetch,), query=True))
    tree.add("READ?", Command((_read, _fetch), query=True, measures=True))


def _refusals(tree: CommandTree[Command]) -> None:
    for header in KNOWINGLY_ABSENT:
        if not header.startswith("*"):
            tree.add(header, _refused(header))


def _tree() -> CommandTree[Command]:
    tree: CommandTree[Command] = CommandTree()
    for part in (_system, _status, _sense, _measurement, _refusals):
        part(tree)
    return tree


_TREE = _tree()


def parse(message: str) -> Parsed[Command]:
    """Parse a message."""
    return _TREE.parse(message)
