"""Parameters of a Keithley 2450 command that takes several: read one after the other, each with its own limits."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sim_instruments.scpi import Flag, ScpiError, parse_number, parse_string, parse_word

T = TypeVar("T")


class Arguments:
    """The parameters of one command, taken from the left; -109 for a missing one, -108 for one too many.

    Parameters
    ----------
    params  as text
    """

    def __init__(self, params: Sequence[str]) -> None:
        self._left = list(params)

    @property
    def next(self) -> str:
        """Get the parameter that comes next, empty when there is none."""
        return self._left[0] if self._left else ""

    def number(self, lo: float, hi: float, default: float | None = None) -> float:
        """Take a number in [lo, hi]; -222 outside."""
        return self._take(lambda text: _within(parse_number(text), lo, hi), default)

    def whole(self, lo: int, hi: int, default: int | None = None) -> int:
        """Take a whole number in [lo, hi]; -222 outside."""
        return self._take(lambda text: round(_within(parse_number(text), lo, hi)), default)

    def word(self, words: Sequence[str], default: str | None = None) -> str:
        """Take one of some words, in its short form; -224 for another."""
        return self._take(lambda text: parse_word(text, words), default)

    def flag(self, default: bool | None = None) -> bool:
        """Take 0, 1, ON or OFF."""
        return self._take(lambda text: bool(Flag().parse((text,), False, False)), default)

    def string(self, default: str | None = None) -> str:
        """Take a quoted string."""
        return self._take(parse_string, default)

    def text(self) -> str:
        """Take a parameter as it is written."""
        return self._take(str, None)

    def rest(self) -> tuple[str, ...]:
        """Take all that is left, as text."""
        left, self._left = tuple(self._left), []
        return left

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise ScpiError(-108)

    def _take(self, parse: Callable[[str], T], default: T | None) -> T:
        text = self._left.pop(0) if self._left else ""
        if text:
            return parse(text)
        if default is None:
            raise ScpiError(-109)
        return default


def _within(value: float, lo: float, hi: float) -> float:
    if not lo <= value <= hi:
        raise ScpiError(-222)
    return value
