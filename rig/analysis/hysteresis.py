"""Whether a threshold is the same on the way up and on the way down; if not, the film or the pump has changed meanwhile."""

import math
from dataclasses import dataclass

from rig.analysis.statistics import Value
from rig.analysis.threshold import UNIT, Threshold

SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Up minus down (uJ/cm2) with its 95 % interval; `agree` is None when one of the two is missing, `reason` says which."""

    difference: Value
    agree: bool | None
    reason: str


def hysteresis(up: Threshold, down: Threshold) -> Hysteresis:
    """Compare two sweeps of one film: they agree within two standard errors of the difference.

    The statistical intervals are compared: what the law misses is the same in both.
    """
    halves = up.statistical.half_width, down.statistical.half_width
    if up.value.value is None or down.value.value is None or halves[0] is None or halves[1] is None:
        missing = " and ".join(name for name, one in (("up", up), ("down", down)) if one.value.value is None) or "an interval"
        return Hysteresis(Value(None, None, UNIT), None, f"up and down cannot be compared: no threshold on the way {missing}")
    difference, half = up.value.value - down.value.value, math.hypot(halves[0], halves[1])
    agree = abs(difference) <= SIGMAS / 1.96 * half
    words = "agree" if agree else "do not agree: the film or the pump has changed during the sweep"
    value = Value(difference, (difference - half, difference + half), UNIT)
    return Hysteresis(value, agree, f"up and down {words} ({difference:+.2g} ± {half:.2g} uJ/cm2)")
