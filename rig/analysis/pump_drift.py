"""How much a pump wanders between levels that ought to be equal, and what that does to slow things measured under it.

A pump that wanders looks like a film that relaxes: within one tail nothing tells them apart, and the scatter around the fit is
not all of the error. So the wandering is taken from levels of the same state at other times, is believed to have equal parts in
every octave of frequency (1/f noise, assumed), and is drawn anew over the fitted law.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rig.analysis.relaxation import BATCHES
from rig.analysis.statistics import Value, batch_means, value_between
from rig.analysis.step_response import ABSENT_S, SlowPart, slow_part

Floats = NDArray[np.float64]

TREND = 2  # degree of what is taken for the film's own course among the levels
FEWEST_LEVELS = 6
REDRAWN = 60
LOST = 0.25  # of the redrawn ones that may be refused
LONGEST = 3.0  # of the time watched: slower waves do not bend it any more
SIGMAS = 2.0  # for 95 %, of as many redrawn
SEED = 0


def drift_per_octave(t_s: Sequence[Floats], levels: Sequence[Floats], white: Sequence[Floats], width_s: float) -> float | None:
    """Wandering of the pump in an octave of frequency (relative, rms), from levels of one or several states.

    Parameters
    ----------
    t_s, levels, white   for each state: times (s), levels, and the errors of each of them that are white noise, all (n,)
    width_s              over which each level is a mean (s)

    None with fewer than 6 levels of each state. A steady course of each state, up to a parabola, is not counted.
    """
    if not levels or min(len(one) for one in levels) < FEWEST_LEVELS:
        return None
    squares, freedom, octaves = 0.0, 0, list[float]()
    for time_s, level, error in zip(t_s, levels, white, strict=True):
        since = (time_s - time_s.mean()) / np.ptp(time_s)
        relative = level / level.mean()
        left = relative - np.polynomial.polynomial.polyval(since, np.polynomial.polynomial.polyfit(since, relative, TREND))
        squares += float(left @ left) - (len(level) - TREND - 1) * float(np.mean((error / level.mean()) ** 2))
        freedom += len(level) - TREND - 1
        octaves.append(math.log2(max(2.0, float(np.ptp(time_s)) / (TREND * 2 * width_s))))
    return math.sqrt(max(squares, 0.0) / freedom / float(np.mean(octaves)))


def wandering(t_s: Floats, per_octave: float, rng: np.random.Generator) -> Floats:
    """Relative deviation of a pump at `t_s` ((n,), s), from three times their span to the shortest step between them."""
    span_s, step_s = float(np.ptp(t_s)), float(np.min(np.diff(t_s)))
    periods_s = LONGEST * span_s / 2.0 ** np.arange(max(1, math.ceil(math.log2(LONGEST * span_s / (2 * step_s)))))
    angle = 2 * math.pi * (t_s[:, None] / periods_s + rng.uniform(0, 1, len(periods_s)))
    return math.sqrt(2) * per_octave * np.sin(angle).sum(axis=1)


def with_drift(found: SlowPart, before: Floats, since_s: Floats, after: Floats, per_octave: float | None) -> SlowPart:
    """The slow part with the intervals that it has under a pump that wanders; other parameters as in `slow_part`.

    Refused when the wandering alone hides it, or is not known.
    """
    tau, share = found.tau_s.value, found.share.value
    if tau is None or share is None or not len(before):
        return found
    if per_octave is None:
        return _refused("how much the pump wanders is not known: too few cycles before")
    level, t_s = float(before.mean()), batch_means(since_s, BATCHES)
    shape = np.column_stack([np.ones_like(t_s), np.exp(-t_s / tau)])
    law = shape @ np.linalg.lstsq(shape, batch_means(after, BATCHES), rcond=None)[0]
    rng = np.random.default_rng(SEED)
    drawn: list[tuple[float, float]] = []
    for _ in range(REDRAWN):
        moved = 1 + wandering(np.concatenate([[-0.5 * float(t_s[1] - t_s[0])], t_s]), per_octave, rng)
        one = slow_part(np.full(2, level * moved[0]), t_s, law * moved[1:])
        if one.tau_s.value is not None and one.share.value is not None:
            drawn.append((math.log(one.tau_s.value), one.share.value))
    if len(drawn) < (1 - LOST) * REDRAWN and per_octave > 0:
        return _refused("the pump wanders too much to tell")
    error = np.array(drawn).std(axis=0, ddof=1) if per_octave > 0 else np.zeros(2)
    return _widened(found, tau, share, SIGMAS * float(error[0]), SIGMAS * float(error[1]))


def _widened(found: SlowPart, tau_s: float, share: float, of_log_tau: float, of_share: float) -> SlowPart:
    if found.tau_s.ci95 is None or found.share.ci95 is None:
        return found
    log_half = math.hypot(0.5 * math.log(found.tau_s.ci95[1] / found.tau_s.ci95[0]), of_log_tau)
    half = math.hypot(0.5 * (found.share.ci95[1] - found.share.ci95[0]), of_share)
    low, high = max(share - half, 0.0), share + half
    return SlowPart(
        value_between(tau_s, tau_s * math.exp(-log_half), tau_s * math.exp(log_half), "s"),
        value_between(share, low, high, ""),
        value_between(1 / (1 + share), 1 / (1 + high), 1 / (1 + low), ""),
    )


def ratio_with_drift(found: Value, apart_s: float, width_s: float, per_octave: float | None) -> Value:
    """A quotient of two levels, each a mean over `width_s`, `apart_s` apart; without an interval when nothing is known."""
    if found.value is None or found.half_width is None:
        return found
    if per_octave is None:
        return Value(found.value, None, found.unit)
    octaves = math.log2(max(2.0, LONGEST * apart_s / width_s))
    half = math.hypot(found.half_width, SIGMAS * found.value * per_octave * math.sqrt(2 * octaves))
    return value_between(found.value, found.value - half, found.value + half, found.unit)


def _refused(reason: str) -> SlowPart:
    return SlowPart(ABSENT_S, Value(None, None, ""), Value(None, None, ""), reason)
