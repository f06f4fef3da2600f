"""Which settings of a model a check-up changes, how they are asked, and in which order they can be put back.

The answers are kept as the instrument gives them and sent back as they are: nothing is interpreted, so nothing is rounded.
Source of the commands: the sources named in the drivers' own files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import ReadbackMismatch
from drivers.srs_dg645 import SINGLE_SHOT

Kept = Mapping[str, str]
SLOWEST_HZ = 1e-4


@dataclass(frozen=True, slots=True)
class SettingsKeeper:
    """Reads and restores the settings of one model; the instrument must be safe and idle.

    Parameters
    ----------
    ask    asks for every setting
    tell   puts every setting back
    clear  undoes what would keep a program from being loaded on top of these settings
    """

    ask: Callable[[Any], dict[str, str]]
    tell: Callable[[Any, Kept], None]
    clear: Callable[[Any, Kept], None] = lambda instrument, kept: None

    def read(self, instrument: Any) -> dict[str, str]:
        """Ask for every setting: name -> answer."""
        return self.ask(instrument)

    def write(self, instrument: Any, kept: Kept) -> None:
        """Put every setting back and read it again.

        Raises
        ------
        ReadbackMismatch  at least one is not as it was
        """
        self.tell(instrument, kept)
        found = self.ask(instrument)
        wrong = [f"{name} was {kept[name]}, is {found[name]}" for name in kept if found[name] != kept[name]]
        if wrong:
            raise ReadbackMismatch(
                f"{instrument.name}: {len(wrong)} settings could not be put back: {'; '.join(wrong[:5])}",
                where=str(instrument.name),
                hardware_state="safe, but not set as it was found",
                next_step="set them by hand, or recall the instrument's own set-up",
            )


# --- DG645 --------------------------------------------------------------------------------------------------------------

_OUTPUTS, _PRESCALED, _DELAYS = range(5), range(1, 5), range(2, 10)
_PRESCALERS = [*(("PRES", i) for i in _OUTPUTS), *(("PHAS", i) for i in _PRESCALED)]
# polarity first, at whatever level it is; offset 0 in between, as level and offset have a limit in common
_LEVELS = [(header, i) for i in _OUTPUTS for header in ("LPOL", "LAMP", "LOFF")]
_SINGLE = ("BURM", "BURC", "BURP", "BURD", "BURT", "TRAT", "TLVL", "HOLD", "ADVT", "TSRC")


def _ask_dg645(instrument: Any) -> dict[str, str]:
    indexed = [*_PRESCALERS, *_LEVELS, *(("DLAY", channel) for channel in _DELAYS)]
    found = {f"{header} {i}": str(instrument.ask(f"{header}?{i}")) for header, i in indexed}
    return found | {header: str(instrument.ask(f"{header}?")) for header in _SINGLE}


def _tell_dg645(instrument: Any, kept: Kept) -> None:
    found = _ask_dg645(instrument)
    if any(found[f"{header} {i}"] != kept[f"{header} {i}"] for header, i in _PRESCALERS):
        # in single shot it may refuse prescalers: they are set while it waits for a tick that is hours away
        instrument.trigger_rate_hz = SLOWEST_HZ
        instrument.trigger_source = 0
        for header, i in _PRESCALERS:
            instrument.write(f"{header} {i},{kept[f'{header} {i}']}")
        instrument.trigger_source = SINGLE_SHOT
    _clear_dg645(instrument, found)
    for header, i in _LEVELS:
        instrument.write(f"{header} {i},{kept[f'{header} {i}']}")
    for channel in _after_their_references(kept):
        instrument.write(f"DLAY {channel},{kept[f'DLAY {channel}']}")
    for header in _SINGLE:
        instrument.write(f"{header} {kept[header]}")


def _clear_dg645(instrument: Any, found: Kept) -> None:
    """Offsets to 0 (they have a limit in common with levels), every edge to T0, those first that others do not refer to."""
    for i in _OUTPUTS:
        instrument.write(f"LOFF {i},0")
    for channel in reversed(_after_their_references(found)):
        instrument.write(f"DLAY {channel},0,0")


def _after_their_references(kept: Kept) -> list[int]:
    """Edges in an order in which each refers to one that is set already."""
    references = {channel: int(kept[f"DLAY {channel}"].partition(",")[0]) for channel in _DELAYS}
    order: list[int] = []
    while len(order) < len(references):
        ready = [c for c, reference in references.items() if c not in order and (reference < 2 or reference in order)]
        order += ready or [c for c in references if c not in order]
    return order


# --- Ocean FX -----------------------------------------------------------------------------------------------------------

_FX = (
    *("integration_time_us", "scans_to_average", "acquisition_delay_us", "back_to_back", "buffer_capacity"),
    *("buffering_enabled", "trigger_mode"),  # the mode last: it is what starts anything
)


def _ask_fx(instrument: Any) -> dict[str, str]:
    return {name: str(int(getattr(instrument, name))) for name in _FX}


def _tell_fx(instrument: Any, kept: Kept) -> None:
    for name in _FX:
        setattr(instrument, name, int(kept[name]))


# --- Keithley 2400 ------------------------------------------------------------------------------------------------------

# Everything that *RST changes but the mathematics and limit tests of CALCulate, and the memory sweep's set-ups.
# In an order in which none refuses: a value before the switch that lets the instrument choose it.
_2400 = """OUTP:SMOD OUTP:ENAB ROUT:TERM SYST:RSEN SOUR:VOLT:PROT SOUR:VOLT:RANG SOUR:VOLT:RANG:AUTO SOUR:VOLT SOUR:VOLT:TRIG
SOUR:VOLT:MODE SOUR:VOLT:STAR SOUR:VOLT:STOP SOUR:CURR:RANG SOUR:CURR:RANG:AUTO SOUR:CURR SOUR:CURR:TRIG
SOUR:CURR:MODE SOUR:CURR:STAR SOUR:CURR:STOP SOUR:SWE:POIN SOUR:SWE:SPAC SOUR:SWE:DIR SOUR:SWE:RANG SOUR:SWE:CAB
SOUR:DEL SOUR:DEL:AUTO SOUR:CLE:AUTO:MODE SOUR:CLE:AUTO SENS:FUNC:CONC SENS:RES:RANG SENS:RES:RANG:AUTO SENS:RES:MODE
SENS:CURR:NPLC SENS:AVER:COUN SENS:AVER:TCON SENS:AVER SYST:AZER SYST:AZER:CACH FORM:DATA FORM:BORD FORM:ELEM ARM:COUN
ARM:SOUR ARM:TIM ARM:DIR ARM:ILIN ARM:OLIN ARM:OUTP TRIG:COUN TRIG:SOUR TRIG:DEL TRIG:DIR TRIG:ILIN TRIG:OLIN TRIG:INP
TRIG:OUTP TRAC:FEED TRAC:TST:FORM TRAC:POIN TRAC:FEED:CONT SOUR2:TTL SOUR2:BSIZ SENS:RES:OCOM SENS:VOLT:PROT:RSYN
SENS:CURR:PROT:RSYN SOUR2:CLE:AUTO SOUR:LIST:VOLT:STAR SOUR:LIST:CURR:STAR CALC3:FORM SYST:TIME:RES:AUTO""".split()
_ENDLESS = "9.9"  # an endless arm count is told as +9.900000E+37
# source function, and what can be set while it is on: limit and range of the other quantity, the limit first
_SENSED = {
    function: (f"SENS:{other}:PROT", f"SENS:{other}:RANG", f"SENS:{other}:RANG:AUTO")
    for function, other in (("VOLT", "CURR"), ("CURR", "VOLT"))
}
_LIMITS = [header for headers in _SENSED.values() for header in headers]
_FUNCTION = "SOUR:FUNC"
_LISTS = ("SOUR:LIST:VOLT", "SOUR:LIST:CURR")
_FUNCTIONS = "SENS:FUNC"


def _ask_2400(instrument: Any) -> dict[str, str]:
    found = {header: str(instrument.ask(f":{header}?")).strip() for header in (*_2400, *_LIMITS, _FUNCTION, _FUNCTIONS)}
    for header in _LISTS:
        points = int(instrument.ask(f":{header}:POIN?"))
        found[header] = str(instrument.ask(f":{header}?")).strip() if points else ""
    return found


def _tell_2400(instrument: Any, kept: Kept) -> None:
    for function, headers in _SENSED.items():
        instrument.write(f":{_FUNCTION} {function}")
        instrument.write(f":{headers[-1]} 1")  # a fixed range would refuse a limit beyond it
        for header in headers:
            instrument.write(f":{header} {kept[header]}")
    instrument.write(f":{_FUNCTION} {kept[_FUNCTION]}")
    for header in _2400:
        value = kept[header]
        if header == "SOUR:DEL" and kept["SOUR:DEL:AUTO"].startswith("1"):
            continue  # what it tells is the instrument's choice
        if header == "ARM:COUN" and _ENDLESS in value:
            value = "INF"
        instrument.write(f":{header} {value}")
    instrument.write(f":{_FUNCTIONS}:OFF:ALL")
    if kept[_FUNCTIONS].strip('"'):
        instrument.write(f":{_FUNCTIONS} {kept[_FUNCTIONS]}")
    for header in _LISTS:
        levels = [level for level in kept[header].split(",") if level]
        for start in range(0, len(levels), 100):  # as many as one message takes
            instrument.write(f":{header}{':APP' if start else ''} {','.join(levels[start : start + 100])}")


KEEPERS: dict[str, SettingsKeeper] = {
    "srs-dg645": SettingsKeeper(_ask_dg645, _tell_dg645, _clear_dg645),
    "ocean-fx": SettingsKeeper(_ask_fx, _tell_fx),
    "keithley-2400": SettingsKeeper(_ask_2400, _tell_2400),
}
