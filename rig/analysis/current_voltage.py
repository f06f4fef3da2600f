"""Current against voltage and time: leakage, capacitance, and whether there is a sound device behind the leads (claim C04)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rig.analysis.relaxation import relax
from rig.analysis.statistics import Value, student_t, value_between

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Condition = Literal["sound", "short", "open", "undecided"]

MIN_READINGS = 6
NO_NUMBER = 1e30  # instruments write 9.9e37 for overflow and 9.91e37 for "not measured"
MAX_GAP = 0.01  # of the settling time that may lie between readings
BASELINE_READINGS = 10
FEWEST_BASELINE = 4
NONE_OHM = Value(None, None, "ohm")
NONE_S = Value(None, None, "S")
NONE_F = Value(None, None, "F")


@dataclass(frozen=True, slots=True)
class Resistance:
    """Slope of current against voltage near 0 V.

    conductance   (S), may contain 0
    resistance    (ohm), absent where the conductance may be 0
    at_least_ohm  lower end of the resistance, also where it has no upper one; None: nothing is known
    offset_a      current at 0 V (A): the meter's, or a battery in the circuit
    limited       readings in compliance
    """

    conductance: Value
    resistance: Value
    at_least_ohm: float | None
    offset_a: Value
    limited: int
    reason: str = ""


def resistance_of(voltage_v: Floats, current_a: Floats, in_compliance: Mask, *, gain_error: float = 0.0) -> Resistance:
    """Resistance of readings (n,) at small voltages of both signs, as measured at the terminals.

    Parameters
    ----------
    gain_error   what the meter's scales may be wrong by together (relative); widens the interval

    The intervals are those of the straight line's slope and offset, by Student's t; an offset of the meter cancels. Readings in
    compliance count, with the voltage that was measured. Refused: fewer than 6 readings, voltages of one sign only, anything
    that is no number.

    Raises
    ------
    ValueError  shapes that differ, or a negative gain error
    """
    if voltage_v.shape != current_a.shape or in_compliance.shape != current_a.shape or not gain_error >= 0:
        raise ValueError("readings differ in shape, or the gain error is negative")
    limited = int(in_compliance.sum())
    reason = _unusable(voltage_v, current_a)
    if not reason and not (voltage_v.min() < 0 < voltage_v.max()):
        reason = "voltages of both signs are needed to tell an offset from a leak"
    if reason:
        return Resistance(NONE_S, NONE_OHM, None, Value(None, None, "A"), limited, reason)
    design = np.column_stack([voltage_v, np.ones_like(voltage_v)])
    (slope, offset), *_ = np.linalg.lstsq(design, current_a, rcond=None)
    freedom = len(current_a) - 2
    variance = float(np.sum((design @ np.array([slope, offset]) - current_a) ** 2)) / freedom
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
    t = student_t(0.975, freedom)
    half = math.hypot(t * float(errors[0]), gain_error * float(slope))
    low, high = float(slope) - half, float(slope) + half
    conductance = value_between(float(slope), low, high, "S")
    offset_a = value_between(float(offset), float(offset - t * errors[1]), float(offset + t * errors[1]), "A")
    if not high > 0:
        text = "the current flows against the voltage: swapped leads, or an offset that drifts"
        return Resistance(conductance, NONE_OHM, None, offset_a, limited, text)
    resistance = value_between(1 / float(slope), 1 / high, 1 / low, "ohm") if low > 0 else NONE_OHM
    return Resistance(conductance, resistance, 1 / high, offset_a, limited)


def _unusable(*columns: Floats) -> str:
    if len(columns[0]) < MIN_READINGS:
        return f"{len(columns[0])} readings, at least {MIN_READINGS} are needed"
    usable = all((np.isfinite(column) & (np.abs(column) < NO_NUMBER)).all() for column in columns)
    return "" if usable else "a reading is no number (overflow, or not measured)"


@dataclass(frozen=True, slots=True)
class CurrentDecay:
    """Current after a voltage step, by one exponential: from `start` (extrapolated to the step) to `end`.

    fall   (start - end) / start; negative where the current grows
    """

    start: Value
    end: Value
    fall: Value
    tau_s: Value
    reason: str = ""


def current_after_step(since_s: Floats, current_a: Floats) -> CurrentDecay:
    """Slow change of the current (A, (n,)) at constant voltage, `since_s` after its step; charging must be over.

    Refused as in `relax`; then `start` to `fall` are absent too. Interval of `fall`: errors of both ends as if independent,
    which is wider than it need be where a common gain error cancels.
    """
    none_a = Value(None, None, "A")
    reason = _unusable(since_s, current_a)
    found = relax(since_s, current_a, "A")
    reason = reason or found.reason
    end, amplitude = found.end, found.amplitude
    if reason or end.value is None or amplitude.value is None or end.half_width is None or amplitude.half_width is None:
        return CurrentDecay(none_a, none_a, Value(None, None, ""), Value(None, None, "s"), reason or "no interval")
    start = end.value + amplitude.value
    start_half = math.hypot(end.half_width, amplitude.half_width)
    if not abs(start) > start_half:
        return CurrentDecay(none_a, end, Value(None, None, ""), found.tau_s, "no current above the noise")
    fall = amplitude.value / start
    half = math.hypot(amplitude.half_width * end.value, end.half_width * amplitude.value) / start**2
    return CurrentDecay(
        value_between(start, start - start_half, start + start_half, "A"),
        end,
        value_between(fall, fall - half, fall + half, ""),
        found.tau_s,
    )


@dataclass(frozen=True, slots=True)
class Integrated:
    """Readings that integrate the current over [open, close), all (n,), in time order."""

    open_s: Floats
    close_s: Floats
    current_a: Floats


@dataclass(frozen=True, slots=True)
class VoltageStep:
    """A step at `t_s` on the readings' time axis, known to +- `error_s`."""

    t_s: float
    from_v: float
    to_v: float
    error_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Capacitance:
    """Charge per volt of one or more steps, cable included; `reason` says why it is absent."""

    farad: Value
    steps: int
    reason: str = ""


def capacitance_of(readings: Integrated, steps: Sequence[VoltageStep], settle_s: float) -> Capacitance:
    """Capacitance from the charge that flows within `settle_s` after each step beyond the direct current.

    The readings must cover every step and `settle_s` after it without gaps: the charge passes in microseconds, and what falls
    between two readings is lost. Direct currents come from the 10 readings (at least 4) before and after. The interval: their
    scatter, carried through; that of the steps among each other, where larger (3 steps or more); and the unknown instant of the
    step times the change of the direct current.

    Raises
    ------
    ValueError  shapes that differ, readings that overlap or go back, no step or one of 0 V, a settling time that is none
    """
    _check_integrated(readings, steps, settle_s)
    charges: list[_Charge] = []
    for number, step in enumerate(steps):
        before_s = steps[number - 1].t_s + settle_s if number else -math.inf
        until_s = steps[number + 1].t_s - steps[number + 1].error_s if number + 1 < len(steps) else math.inf
        charge = _charge(readings, step, settle_s, (before_s, until_s))
        if isinstance(charge, str):
            return Capacitance(NONE_F, len(steps), f"step {number + 1} of {len(steps)}: {charge}")
        charges.append(charge)
    farads = np.array([charge.farad for charge in charges])
    count = len(charges)
    carried = math.sqrt(sum(charge.error_f**2 for charge in charges)) / count
    freedom = sum(charge.freedom for charge in charges)
    half = student_t(0.975, freedom) * carried
    if count >= 3:
        half = max(half, student_t(0.975, count - 1) * float(farads.std(ddof=1)) / math.sqrt(count))
    half += max(charge.instant_f for charge in charges)
    mean = float(farads.mean())
    return Capacitance(value_between(mean, mean - half, mean + half, "F"), count)


@dataclass(frozen=True, slots=True)
class _Charge:
    farad: float
    error_f: float
    instant_f: float
    freedom: int


def _check_integrated(readings: Integrated, steps: Sequence[VoltageStep], settle_s: float) -> None:
    opened, closed = readings.open_s, readings.close_s
    if opened.shape != closed.shape or opened.shape != readings.current_a.shape:
        raise ValueError("readings differ in shape")
    if not ((closed > opened).all() and (opened[1:] >= closed[:-1] - 1e-12).all()):
        raise ValueError("readings overlap, go back or last no time")
    if not steps or not 0 < settle_s < math.inf:
        raise ValueError("no step, or no settling time")
    if any(not (abs(step.to_v - step.from_v) > 0 and step.error_s >= 0) for step in steps):
        raise ValueError("a step of 0 V, or with a negative error of its time")


def _charge(readings: Integrated, step: VoltageStep, settle_s: float, span_s: tuple[float, float]) -> _Charge | str:
    opened, closed, current = readings.open_s, readings.close_s, readings.current_a
    first_s, last_s = step.t_s - step.error_s, step.t_s + step.error_s + settle_s
    over = (closed > first_s) & (opened < last_s)
    before = np.flatnonzero((closed <= first_s) & (opened >= span_s[0]))[-BASELINE_READINGS:]
    after = np.flatnonzero((opened >= last_s) & (closed <= span_s[1]))[:BASELINE_READINGS]
    if min(len(before), len(after)) < FEWEST_BASELINE:
        return f"{len(before)} readings before and {len(after)} after it, at least {FEWEST_BASELINE} are needed"
    used = np.concatenate([before, np.flatnonzero(over), after])
    if not (np.isfinite(current[used]) & (np.abs(current[used]) < NO_NUMBER)).all():
        return "a reading is no number (overflow: take a larger range)"
    covered = float(np.sum(np.minimum(closed[over], last_s) - np.maximum(opened[over], first_s)))
    at_step = bool(((opened <= first_s) & (closed >= step.t_s + step.error_s) & over).any())
    if last_s - first_s - covered > MAX_GAP * settle_s or not (at_step or last_s - first_s - covered < 1e-9):
        return "the readings have gaps where the charge flows"
    base, end = current[before], current[after]
    width = closed[over] - opened[over]
    idle_s = float(np.sum(np.clip(step.t_s - opened[over], 0.0, width)))
    on_s = float(width.sum()) - idle_s
    charge = float(current[over] @ width) - float(base.mean()) * idle_s - float(end.mean()) * on_s
    base_a2, end_a2 = float(base.var(ddof=1)), float(end.var(ddof=1))
    noise_a2 = max(base_a2, end_a2)
    variance = noise_a2 * float(width @ width) + base_a2 / len(base) * idle_s**2 + end_a2 / len(end) * on_s**2
    volts = step.to_v - step.from_v
    instant = abs(float(end.mean() - base.mean())) * step.error_s / abs(volts)
    return _Charge(charge / volts, math.sqrt(variance) / abs(volts), instant, min(len(base), len(end)) - 1)


@dataclass(frozen=True, slots=True)
class ContactLimits:
    """What a sound device keeps to. Source: claim C04's rule; where an open contact begins is assumed.

    cable_f   capacitance of leads and cable without a device (F), None where it was not measured
    """

    least_ohm: float = 100e3
    open_ohm: float = 1e9
    capacitance_f: tuple[float, float] = (0.1e-9, 10e-9)
    cable_f: float | None = None


@dataclass(frozen=True, slots=True)
class ContactVerdict:
    """Sound, short, open, or undecided, and why: every rule that spoke, with its numbers."""

    condition: Condition
    reasons: tuple[str, ...]


def judge_contact(resistance: Resistance, capacitance: Capacitance, limits: ContactLimits | None = None) -> ContactVerdict:
    """Judge a contact; intervals decide, not values.

    short      all of the resistance's interval is below `least_ohm`
    open       all of the device's capacitance (cable subtracted) is below its range, and nothing says short
    sound      resistance above `least_ohm` and capacitance inside its range, both with their whole intervals; where the
               cable's capacitance is not known, the resistance must also have an upper end below `open_ohm`
    undecided  everything else
    """
    bounds = limits or ContactLimits()
    leak = _judge_leak(resistance, bounds)
    store = _judge_store(capacitance, bounds)
    reasons = (leak[1], store[1])
    if leak[0] == "short":
        return ContactVerdict("short", reasons)
    if store[0] == "open":
        return ContactVerdict("open" if leak[0] == "sound" else "undecided", reasons)
    if leak[0] == store[0] == "sound":
        finite = resistance.resistance.ci95 is not None and resistance.resistance.ci95[1] < bounds.open_ohm
        if bounds.cable_f is not None or finite:
            return ContactVerdict("sound", reasons)
        reasons += ("without the cable's own capacitance and without a leak, a cable that ends open looks the same",)
    return ContactVerdict("undecided", reasons)


def _judge_leak(found: Resistance, limits: ContactLimits) -> tuple[Condition, str]:
    if found.reason:
        return "undecided", f"resistance: {found.reason}"
    limit = f"limit {limits.least_ohm:.3g} ohm"
    clipped = f", {found.limited} readings in compliance" if found.limited else ""
    interval = found.resistance.ci95
    if interval is not None and interval[1] < limits.least_ohm:
        return "short", f"resistance {interval[0]:.3g} to {interval[1]:.3g} ohm, {limit}{clipped}"
    least = found.at_least_ohm
    sound = least is not None and least > limits.least_ohm and not found.limited
    return "sound" if sound else "undecided", f"resistance at least {least or math.nan:.3g} ohm, {limit}{clipped}"


def _judge_store(found: Capacitance, limits: ContactLimits) -> tuple[Condition, str]:
    if found.farad.ci95 is None:
        return "undecided", f"capacitance: {found.reason or 'no interval'}"
    cable = limits.cable_f or 0.0
    low, high = found.farad.ci95[0] - cable, found.farad.ci95[1] - cable
    least, most = limits.capacitance_f
    text = f"capacitance {low:.3g} to {high:.3g} F, limits {least:.3g} to {most:.3g} F"
    text += ", cable subtracted" if limits.cable_f is not None else ", cable included"
    if high < least:
        return "open", text
    return "sound" if least <= low and high <= most else "undecided", text
