"""Whether a film degrades from cycle to cycle: its ON and OFF levels against those of the first cycles, with their errors.

A level is the mean light of a cycle's frames in one state: at 535 nm for ON, at 520 nm for OFF; at equal pulse energy where
every frame has its own. A loss is 1 - level / mean level of the first `REFERENCE_CYCLES`.

The error of a level is the larger one of two: that from the scatter inside the cycle (batch means), and the scatter from
cycle to cycle, taken from the differences of neighbours about their median, so that neither a steady loss nor a single jump is
mistaken for noise. Source: the rule and its numbers are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.statistics import BATCHES, Value, batch_means, value_with_error

Floats = NDArray[np.float64]

REFERENCE_CYCLES = 3
IN_A_ROW = 2  # cycles that must be beyond the limit one after the other: a single one may be a disturbance
LEAST_CYCLES = REFERENCE_CYCLES + IN_A_ROW
ROBUST = 1.4826  # standard deviation / median absolute deviation of a normal distribution
STATES = ("OFF", "ON")


@dataclass(frozen=True, slots=True, eq=False)
class StateLight:
    """One state of one cycle: batch means of light and pulse energy, (k,) each, energy NaN where not all frames have one.

    `spread` and `lean` are sums over the frames, about their means, of energy squared and of energy times light.
    """

    light: Floats
    energy: Floats
    spread: float = 0.0
    lean: float = 0.0

    @classmethod
    def of(cls, light: Floats, energy: Floats | None = None) -> "StateLight":
        """Reduce the frames of a cycle in one state, (n,) each, in the order of time; energy in any unit."""
        batches = batch_means(light)
        if energy is None or not len(energy) or not np.isfinite(energy).all():
            return cls(batches, np.full(len(batches), np.nan))
        away = energy - energy.mean()
        return cls(batches, batch_means(energy), float(away @ away), float(away @ light))


@dataclass(frozen=True, slots=True, eq=False)
class CycleLight:
    """One cycle, with frames in both states."""

    cycle: int
    off: StateLight
    on: StateLight


@dataclass(frozen=True, slots=True)
class Degradation:
    """What became of the film.

    limit             a loss beyond it, in `IN_A_ROW` cycles in a row and by more than its error, is degradation (fraction)
    cycles            how many were looked at
    degraded_cycle    number of the first of those cycles, None while there are none
    state             the one that degraded (first), ""
    off_loss, on_loss of the last `IN_A_ROW` cycles (fractions); no value with fewer than `LEAST_CYCLES`
    off_by_cycle, on_by_cycle  losses of single cycles; those of the reference are 0 on average
    equal_energy      levels were moved to equal pulse energy
    """

    limit: float
    cycles: int
    degraded_cycle: int | None
    state: str
    off_loss: Value
    on_loss: Value
    off_by_cycle: tuple[Value, ...]
    on_by_cycle: tuple[Value, ...]
    equal_energy: bool

    @property
    def loss_bound(self) -> float | None:
        """Get the upper 95 % bound of the larger loss (fraction), None with too few cycles."""
        bounds = [loss.ci95[1] for loss in (self.off_loss, self.on_loss) if loss.ci95 is not None]
        return max(bounds) if len(bounds) == len(STATES) else None


def degradation(cycles: Sequence[CycleLight], limit: float) -> Degradation:
    """Judge cycles in the order of time; `limit` is a fraction."""
    levels = _levels(cycles)
    found: list[tuple[int, int]] = []  # (place among the cycles, state)
    for state, one in enumerate(levels):
        beyond = [_beyond(loss, limit) for loss in one.losses]
        runs = (n for n in range(REFERENCE_CYCLES, len(beyond) - IN_A_ROW + 1) if all(beyond[n : n + IN_A_ROW]))
        found += [(place, state) for place in (next(runs, None),) if place is not None]
    place, state = min(found, default=(None, None))
    return Degradation(
        limit,
        len(cycles),
        None if place is None else cycles[place].cycle,
        "" if state is None else STATES[state],
        levels[0].last,
        levels[1].last,
        levels[0].losses,
        levels[1].losses,
        all(one.equal_energy for one in levels),
    )


def degraded_now(cycles: Sequence[CycleLight], limit: float) -> bool:
    """Tell whether the last cycles are those that make it degradation; quick, for looks at a run that goes on."""
    last = range(len(cycles) - IN_A_ROW, len(cycles))
    enough = len(cycles) >= LEAST_CYCLES
    return enough and any(all(_beyond(one.loss(slice(n, n + 1)), limit) for n in last) for one in _levels(cycles))


def _levels(cycles: Sequence[CycleLight]) -> "tuple[_Levels, _Levels]":
    return _Levels([cycle.off for cycle in cycles]), _Levels([cycle.on for cycle in cycles])


def _beyond(loss: Value, limit: float) -> bool:
    return loss.ci95 is not None and loss.ci95[0] > limit


class _Levels:
    """Levels of one state in all cycles, their errors and losses."""

    def __init__(self, cycles: Sequence[StateLight]) -> None:
        self.equal_energy = bool(cycles) and all(np.isfinite(one.energy).all() for one in cycles)
        batches = _at_equal_energy(cycles) if self.equal_energy else [one.light for one in cycles]
        self._levels = np.array([one.mean() for one in batches])
        inside = [float(np.std(one, ddof=1)) / math.sqrt(len(one)) if len(one) > 1 else math.inf for one in batches]
        between, freedom = _between(self._levels)
        self._errors = np.maximum(inside, between)
        self._freedom = [freedom if between >= error else BATCHES - 1 for error in inside]

    @property
    def losses(self) -> tuple[Value, ...]:
        """Get the loss of each cycle."""
        return tuple(self.loss(slice(n, n + 1)) for n in range(len(self._levels)))

    @property
    def last(self) -> Value:
        """Get the loss of the last cycles together."""
        count = len(self._levels)
        return self.loss(slice(count - IN_A_ROW, count)) if count >= LEAST_CYCLES else Value(None, None, "")

    def loss(self, which: slice) -> Value:
        """Loss of the mean of some cycles."""
        first = slice(0, REFERENCE_CYCLES)
        reference, level = float(self._levels[first].mean()), float(self._levels[which].mean())
        if len(self._levels) < REFERENCE_CYCLES or not reference > 0:
            return Value(None, None, "")
        ratio = level / reference
        error = math.hypot(_of_mean(self._errors[which]), ratio * _of_mean(self._errors[first])) / reference
        return value_with_error(1.0 - ratio, error, min(self._freedom[which]), "")


def _of_mean(errors: Floats) -> float:
    return float(np.sqrt(np.sum(errors**2))) / len(errors)


def _between(levels: Floats) -> tuple[float, int]:
    """Scatter from cycle to cycle, robust, and its degrees of freedom; 0 with too few cycles to tell."""
    if len(levels) < REFERENCE_CYCLES:
        return 0.0, 1
    steps = np.diff(levels)
    scatter = ROBUST * float(np.median(np.abs(steps - np.median(steps)))) / math.sqrt(2)
    return scatter, max(2, len(steps) // 2)


def _at_equal_energy(cycles: Sequence[StateLight]) -> list[Floats]:
    """Batches moved to the mean energy of the first cycles, along the slope that frames show inside cycles."""
    energy = float(np.mean([one.energy.mean() for one in cycles[:REFERENCE_CYCLES]]))
    spread, lean = sum(one.spread for one in cycles), sum(one.lean for one in cycles)
    first = float(np.mean([one.light.mean() for one in cycles[:REFERENCE_CYCLES]]))
    slope = lean / spread if spread > 0 else first / energy
    return [one.light - slope * (one.energy - energy) for one in cycles]


def narrow_enough(contrast: Value, percent: float) -> bool:
    """Tell whether half the 95 % interval of a contrast is below `percent` of it; never without an interval or of nothing."""
    half, value = contrast.half_width, contrast.value
    return half is not None and value is not None and value > 0 and half < 0.01 * percent * value
