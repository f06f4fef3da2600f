"""Quantities of instruments in words for people: name, value, unit."""

from dataclasses import dataclass

from rig.control import LiveWords
from rig.control_words import HandQuantity

UNITS = {
    "_uj_cm2": "µJ/cm²",
    "_counts": "counts",
    "_deg": "°",
    "_uj": "µJ",
    "_hz": "Hz",
    "_v": "V",
    "_a": "A",
    "_c": "°C",
    "_s": "s",
}
SCALED = ("A", "s")  # told in milli-, micro- or nano-
BITS = {
    "interlock_closed": ("interlock OPEN", "interlock closed"),
    "over_temperature": ("", "TOO HOT"),
}
BAD = {"interlock_closed": 0.0, "over_temperature": 1.0}
SILENT = ("errors_reported", "closed")  # what they say stands in a line of its own


@dataclass(frozen=True, slots=True)
class Entry:
    """How a quantity that can be set is entered: in units of `factor` times its own."""

    label: str
    unit: str
    factor: float
    tip: str


ENTRIES: dict[HandQuantity, Entry] = {
    "voltage_v": Entry("Voltage", "V", 1.0, "level of the output; acts at once when the output is on"),
    "rate_hz": Entry("Rate", "Hz", 1.0, "shots per second that the generator is loaded with; nothing fires by it"),
    "integration_time_s": Entry("Integration", "ms", 1e-3, "exposure of one frame, until the next run takes that of the bench"),
    "fluence_uj_cm2": Entry("Fluence", "µJ/cm²", 1.0, "turns the plate of the attenuator"),
}


@dataclass(frozen=True, slots=True)
class Switch:
    """How something with two states is switched: what stands on its buttons, and how it is said to be."""

    label: str
    on: str
    off: str
    is_on: str
    is_off: str


SWITCHES: dict[HandQuantity, Switch] = {
    "output_on": Switch("Output", "ON", "Off", "is ON", "is off"),
    "open": Switch("Shutter", "OPEN", "Close", "is OPEN", "is closed"),
    "cw_open": Switch("Shutter", "OPEN", "Close", "is OPEN", "is closed"),
}


def number_text(value: float) -> str:
    """Write a number with four digits that matter."""
    return f"{value:.4g}"


def value_text(value: float, unit: str) -> str:
    """Write a value with its unit, in thousandths where that is shorter."""
    if unit in SCALED and value != 0:
        for prefix, factor in (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12)):
            if abs(value) >= factor:
                return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value:.4g}{'' if unit in ('', '°') else ' '}{unit}"


def live_text(words: LiveWords) -> str:
    """Write what an instrument said: "voltage 4.998 V", "interlock closed"; "" for what needs no words."""
    if words.name in SILENT:
        return ""
    if words.name in BITS and words.value is not None:
        return BITS[words.name][int(words.value != 0)]
    suffix = next((suffix for suffix in UNITS if words.name.endswith(suffix)), "")
    name = words.name.removesuffix(suffix).replace("_", " ")
    return f"{name} no number" if words.value is None else f"{name} {value_text(words.value, UNITS.get(suffix, ''))}"


def is_bad(words: LiveWords) -> bool:
    """Tell whether what an instrument said is in itself a reason to look."""
    return words.value is None or (words.name in BAD and words.value == BAD[words.name])


def name_of(role: str) -> str:
    """Write a role for people: "Voltage source"."""
    return role.replace("_", " ").capitalize()
