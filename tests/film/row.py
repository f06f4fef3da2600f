"""One line of the film's table: a quantity, how it is measured, and what the paper and the acceptance say about it."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rig.analysis.statistics import Value, student_t

SEED = 2021
REPEATS = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """A value and half the width of its 95 % interval, None where there is no error to speak of."""

    value: float
    half_width: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """`low` and `high` bound the acceptance, in the unit that `quantity` names; infinite where it is one-sided.

    digits  decimals that are printed
    whole   the whole 95 % interval must be accepted, not only the value
    note    prediction, deliberate deviation, or what the number rests on
    """

    claim: str
    quantity: str
    paper: str
    measure: Callable[[], Measured]
    digits: int
    low: float
    high: float
    whole: bool = False
    note: str = ""

    @property
    def measured(self) -> Measured:
        """Measure, once per process."""
        return _once(self.measure)

    @property
    def passed(self) -> bool:
        """Whether the measured value (or its whole interval) lies within the acceptance."""
        found = self.measured
        if self.whole and found.half_width is None:
            return False
        half = found.half_width if self.whole and found.half_width is not None else 0.0
        return self.low <= found.value - half and found.value + half <= self.high

    @property
    def acceptance(self) -> str:
        """The acceptance in words."""
        if math.isinf(self.low):
            text = f"at most {self.high:.4g}"
        elif math.isinf(self.high):
            text = f"at least {self.low:.4g}"
        else:
            text = f"{self.low:.4g} to {self.high:.4g}"
        return f"{text}, whole interval" if self.whole else text


@functools.cache
def _once(measure: Callable[[], Measured]) -> Measured:
    return measure()


def repeated(measure: Callable[[int], float], repeats: int = REPEATS) -> Callable[[], Measured]:
    """The measurement with the seed of the table; its interval from the scatter of as many others, by Student's t."""

    def run() -> Measured:
        first, *others = (measure(SEED + number) for number in range(1 + repeats))
        return Measured(first, student_t(0.975, repeats - 1) * float(np.std(others, ddof=1)))

    return run


def of_value(value: Value) -> Measured:
    """What the rig's analysis returns. Raises ValueError where it found nothing."""
    if value.value is None:
        raise ValueError("the analysis has no value")
    return Measured(value.value, value.half_width)


def times(found: Measured, factor: float) -> Measured:
    """The same in another unit."""
    return Measured(found.value * factor, None if found.half_width is None else found.half_width * abs(factor))
