"""How the direct current grows with voltage: an ohmic leak and a power of the voltage, fitted together."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from rig.analysis.statistics import Value, student_t, value_between, value_with_error

Floats = NDArray[np.float64]

LEAST_LEVELS = 5
EXPONENTS = (1.2, 6.0)  # below it the power cannot be told from the leak; space-charge-limited currents have 2
SIGNIFICANT = 4.0  # standard errors
NONE = Value(None, None, "")


@dataclass(frozen=True, slots=True)
class CurrentLaw:
    """I = V / leak + k V^exponent. `reason` says why values are absent.

    slope   of ln I against ln V over the upper half of the voltages, leak included
    k_a     current of the power at 1 V (A), for a figure
    """

    exponent: Value
    leak_ohm: Value
    slope: Value
    k_a: float | None = None
    reason: str = ""

    def at(self, voltage_v: Floats) -> Floats:
        """Current (A, (n,)) at voltages of the sign that was fitted (V); NaN without a law."""
        size = np.abs(voltage_v)
        if self.k_a is None or self.exponent.value is None:
            return np.full(size.shape, np.nan)
        leak = 0.0 if self.leak_ohm.value is None else 1 / self.leak_ohm.value
        return leak * size + self.k_a * size**self.exponent.value


def current_law(voltage_v: Floats, current_a: Floats, error_a: Floats) -> CurrentLaw:
    """Fit currents (n,) at voltages (n,) of one sign, with their standard errors (n,); 0 V is left out.

    The intervals are those of the linearised weighted fit, widened by chi^2 where the law does not hold to the errors. Refused:
    fewer than 5 voltages, voltages or currents of both signs, anything that is no number, a power below 1.2 or above 6.
    """
    size, sign = np.abs(voltage_v), np.sign(voltage_v)
    used = size > 0
    size, flow, error = size[used], (current_a * sign)[used], error_a[used]
    if reason := _refusal(size, sign[used], flow, error):
        return CurrentLaw(NONE, Value(None, None, "ohm"), NONE, reason=reason)
    top = float(size.max())

    def law(p: Floats) -> Floats:
        return p[0] * size / top + np.exp(p[1]) * (size / top) ** p[2]

    start = [0.05 * float(flow.max()), math.log(0.95 * float(flow.max())), 2.0]
    fit = least_squares(lambda p: (law(p) - flow) / error, start, x_scale=[start[0], 1.0, 1.0])
    freedom = len(size) - 3
    scale = max(1.0, 2 * float(fit.cost) / freedom)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac)) * scale, 0.0))
    leak_a, log_k, exponent = (float(x) for x in fit.x)
    slope = _slope(size, flow, error)
    if not EXPONENTS[0] <= exponent <= EXPONENTS[1]:
        text = "the current grows in proportion to the voltage: a leak alone, no power to be told from it"
        return CurrentLaw(NONE, Value(None, None, "ohm"), slope, reason=text)
    half = student_t(0.975, freedom) * float(errors[0])
    low, high = (leak_a - half) / top, (leak_a + half) / top
    leak = value_between(top / leak_a, 1 / high, 1 / low, "ohm") if low > 0 else Value(None, None, "ohm")
    value = value_with_error(exponent, float(errors[2]), freedom, "")
    return CurrentLaw(value, leak, slope, math.exp(log_k) / top**exponent)


def _refusal(size: Floats, sign: Floats, flow: Floats, error: Floats) -> str:
    if len(size) < LEAST_LEVELS or len(np.unique(size)) < LEAST_LEVELS:
        return f"{len(np.unique(size))} voltages, at least {LEAST_LEVELS} are needed"
    if not (np.isfinite(flow).all() and np.isfinite(error).all() and (error > 0).all()):
        return "a current is no number or has no error"
    if len(np.unique(sign)) > 1:
        return "voltages of both signs"
    if (lost := _fallen(size, flow, error)) is not None:
        return f"less current at {lost[1]:g} V than at {lost[0]:g} V: the contact was lost, or the film has changed"
    if not flow[np.argmax(size)] > SIGNIFICANT * error[np.argmax(size)]:
        return "no current above the noise at the highest voltage"
    return ""


def _fallen(size: Floats, flow: Floats, error: Floats) -> tuple[float, float] | None:
    """Find two voltages, the higher one with less than half of the current beyond all errors; None when there are none."""
    order = np.argsort(size, kind="stable")
    for low in range(len(order) - 1):
        for high in range(low + 1, len(order)):
            i, j = order[low], order[high]
            if size[j] > size[i] and flow[j] < flow[i] / 2 - 4 * math.hypot(error[i], error[j]):
                return float(size[i]), float(size[j])
    return None


def _slope(size: Floats, flow: Floats, error: Floats) -> Value:
    """Straight line through ln I against ln V, weighted, over the upper half of the voltages."""
    upper = (size >= size.max() / 2) & (flow > 0)
    if len(np.unique(size[upper])) < 3:
        return NONE
    x, y, weight = np.log(size[upper]), np.log(flow[upper]), (flow[upper] / error[upper])
    design = np.column_stack([x, np.ones_like(x)]) * weight[:, None]
    found, *_ = np.linalg.lstsq(design, y * weight, rcond=None)
    freedom = len(x) - 2
    scale = max(1.0, float(np.sum((design @ found - y * weight) ** 2)) / freedom)
    sigma = math.sqrt(float(np.linalg.inv(design.T @ design)[0, 0]) * scale)
    return value_with_error(float(found[0]), sigma, freedom, "")
