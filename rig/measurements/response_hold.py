"""The long hold of a response run: what is slow in the light and in the current, and what comes back afterwards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.current_voltage import CurrentDecay, current_after_step
from rig.analysis.pump_drift import drift_per_octave, ratio_with_drift, with_drift
from rig.analysis.statistics import Value, ratio_of_means
from rig.analysis.step_response import ABSENT_S, SlowPart, slow_part
from rig.measurements.response import Part
from rig.measurements.response_trace import ResponseTrace, Stay
from rig.runfile import Run

Floats = NDArray[np.float64]

CHARGED_S = 0.5  # after an edge the current that charges the film and the leads is over
SLOW_FROM_S = {True: 0.2, False: 0.4}  # after going on, off: ten time constants of the fast step, nominal
FEWEST_LATE = 5  # frames of a level
BEFORE_S = 0.9  # plateau before an edge of the hold
BACK_S = (1.0, 20.0)  # after the hold: when the light must be back (claim C14)
BACK_OVER_S = {1.0: 0.2, 20.0: 1.0}  # mean over so long, beginning at 1 s, ending at 20 s
WATCHED = 0.98  # of that time must have been: the host's gaps are part of it
NO_SLOW = SlowPart(ABSENT_S, Value(None, None, ""), Value(None, None, ""), "no long hold")
NO_CURRENT = CurrentDecay(Value(None, None, "A"), Value(None, None, "A"), Value(None, None, ""), ABSENT_S, "no long hold")


@dataclass(frozen=True, slots=True)
class HoldResult:
    """A hold reduced; everything is absent without one.

    slow_on, slow_off          light's tail after the hold began, and after it ended; about the light, not about the ions
    current                    direct current during the hold
    recovery_1s, recovery_20s  light after the hold over light before it
    pump_drift                 wandering of the pump in an octave of frequency (relative), which is in the values of the light
    """

    slow_on: SlowPart
    slow_off: SlowPart
    current: CurrentDecay
    recovery_1s: Value
    recovery_20s: Value
    pump_drift: float | None


def reduce_hold(run: Run, trace: ResponseTrace) -> HoldResult:
    """Reduce the hold of a run; how much the pump wanders is seen in the square wave."""
    drift = _pump_drift(trace)
    slow_on, slow_off = _slow_part(trace, drift, on=True), _slow_part(trace, drift, on=False)
    after_1s, after_20s = (_recovery(trace, drift, at_s) for at_s in BACK_S)
    return HoldResult(slow_on, slow_off, _current(run, trace), after_1s, after_20s, drift)


def _hold(trace: ResponseTrace, *, on: bool) -> tuple[Stay, list[Stay]] | None:
    """The stretch before the hold (or its last one), and those that follow its edge."""
    stays = [stay for stay in trace.stays if stay.part is Part.HOLD]
    edges = [n for n in range(1, len(stays)) if _is_edge(stays[n - 1], stays[n], on=on)]
    if not edges:
        return None
    first = edges[0]
    after = [stay for stay in stays[first:] if (stay.voltage_v != 0) == on]
    return stays[first - 1], after


def _is_edge(before: Stay, after: Stay, *, on: bool) -> bool:
    return after.stretch == before.stretch + 1 and (before.voltage_v != 0) != on and (after.voltage_v != 0) == on


def _of(trace: ResponseTrace, stays: list[Stay], zero_s: float) -> tuple[Floats, Floats]:
    """Time since `zero_s` of the middle of each frame (s), and its light; those without a measurement left out."""
    chosen = np.concatenate([np.arange(stay.frames.start, stay.frames.stop) for stay in stays])
    chosen = chosen[np.isfinite(trace.light[chosen]) & ~trace.saturated[chosen]]
    return trace.t_s[chosen] + 0.5 * trace.timing.exposure_s - zero_s, trace.light[chosen]


def _pump_drift(trace: ResponseTrace) -> float | None:
    """Wandering of the pump by the second halves of the wave's stretches: the film is in the same state in every other one."""
    found: list[tuple[list[float], list[float], list[float]]] = []
    width_s = 0.0
    for on in (False, True):
        times, levels, errors = list[float](), list[float](), list[float]()
        for stay in trace.stays:
            if stay.part is not Part.WAVE or (stay.voltage_v != 0) != on:
                continue
            late = slice((stay.frames.start + stay.frames.stop) // 2, stay.frames.stop)
            light = trace.light[late][np.isfinite(trace.light[late])]
            if len(light) >= FEWEST_LATE:
                times.append(float(trace.t_s[late].mean()))
                levels.append(float(light.mean()))
                errors.append(float(np.diff(light).std()) / float(np.sqrt(2 * len(light))))
                width_s = max(width_s, len(light) * trace.timing.period_s)
        found.append((times, levels, errors))
    columns = [[np.array(kind[column]) for kind in found] for column in range(3)]
    return drift_per_octave(columns[0], columns[1], columns[2], width_s)


def _slow_part(trace: ResponseTrace, drift: float | None, *, on: bool) -> SlowPart:
    hold = _hold(trace, on=on)
    if hold is None:
        return NO_SLOW
    zero_s = trace.edge_s(hold[1][0])
    since_s, light = _of(trace, hold[1], zero_s)
    before_s, before = _of(trace, [hold[0]], zero_s)
    late = since_s >= SLOW_FROM_S[on]
    parts = before[before_s >= -BEFORE_S], since_s[late], light[late]
    return with_drift(slow_part(*parts), *parts, drift)


def _recovery(trace: ResponseTrace, drift: float | None, at_s: float) -> Value:
    """Light around `at_s` after the hold over that before it; absent when there is none."""
    on, off = _hold(trace, on=True), _hold(trace, on=False)
    if on is None or off is None:
        return Value(None, None, "")
    before_s, before = _of(trace, [on[0]], trace.edge_s(on[1][0]))
    since_s, light = _of(trace, off[1], trace.edge_s(off[1][0]))
    first_s, last_s = (at_s, at_s + BACK_OVER_S[at_s]) if at_s < 10 else (at_s - BACK_OVER_S[at_s], at_s)
    there = (first_s <= since_s) & (since_s <= last_s)
    if not (there.any() and since_s[-1] >= WATCHED * last_s):
        return Value(None, None, "")
    ratio = ratio_of_means(light[there], before[before_s >= -BEFORE_S])
    apart_s = trace.edge_s(off[1][0]) + at_s - trace.edge_s(on[1][0])
    return ratio_with_drift(ratio, apart_s, BACK_OVER_S[at_s], drift)


def _current(run: Run, trace: ResponseTrace) -> CurrentDecay:
    """Direct current of the hold, by the source's readings; their times are the host's."""
    hold = _hold(trace, on=True)
    if hold is None:
        return NO_CURRENT
    readings = run.readings
    wanted = [stay.stretch for stay in hold[1]]
    mine = readings[np.isin(readings["stretch"], wanted) & (readings["compliance"] == 0)]
    if not len(mine):
        return NO_CURRENT
    # of a step that the source takes by itself, the first reading is made at the edge
    since_s = (mine["t_ns"] - mine["t_ns"][0]).astype(np.float64) * 1e-9
    late = since_s >= CHARGED_S
    return current_after_step(since_s[late], mine["current_a"][late].astype(np.float64))
