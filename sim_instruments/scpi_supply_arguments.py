"""Parameters as programs for plain supplies write them: numbers with a unit, and lists of channels.

Source: IEEE 488.2 suffixes (`VOLT 500 mV`); the channel list `(@1)` that makers of several outputs also take for one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sim_instruments.scpi import Real, ScpiError, Value, parse_word, single

INVALID_SUFFIX = -131
_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<suffix>[A-Za-z]+)")
_PREFIXES = {"": 1.0, "U": 1e-6, "M": 1e-3, "K": 1e3}
_CHANNELS = re.compile(r"\(\s*@\s*1\s*(?:[:,]\s*1\s*)*\)")


@dataclass(frozen=True, slots=True)
class Level:
    """A level from 0 to `hi`, with or without its unit (V or A) and a prefix; fulfils Kind."""

    hi: float
    unit: str

    def parse(self, params: Sequence[str], default: Value, current: Value) -> Value:
        """-222 outside the limits, -131 for a unit that is not its own."""
        text = single(params)
        found = _NUMBER.fullmatch(text)
        if found is not None:
            suffix = found["suffix"].upper()
            prefix = suffix.removesuffix(self.unit)
            if prefix == suffix or prefix not in _PREFIXES:
                raise ScpiError(INVALID_SUFFIX)
            text = repr(float(found["number"]) * _PREFIXES[prefix])
        return Real(0.0, self.hi).parse((text,), default, current)

    def format(self, value: Any) -> str:
        """E notation."""
        return f"{value:+.8E}"


def without_channels(params: Sequence[str]) -> tuple[str, ...]:
    """Return the parameters without the channel list at their end; ScpiError -222 when it names an output there is not."""
    if params and params[-1].startswith("(") and "@" in params[-1]:
        if not _CHANNELS.fullmatch(params[-1]):
            raise ScpiError(-222)
        return tuple(params[:-1])
    return tuple(params)


def check_output(params: Sequence[str]) -> None:
    """Read which output is meant, 1, CH1, OUT1, OUTP1 or OUTPUT1; ScpiError -224 for another."""
    text = single(params)
    if text != "1":
        parse_word(text, ("CH1", "OUT1", "OUTP1", "OUTPUT1"))
