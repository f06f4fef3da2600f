"""Whether there is a sound device behind the leads, looked at with 0.1 V before a run applies more (claim C04).

The capacitance is not looked at: 0.7 nF beside 2 Mohm charge within microseconds, which falls between the readings of a DC
source. So a cable that ends open is told from a film by the film's leak alone.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.errors import InstrumentError, RefusedError
from drivers.roles import HoldLevel, SourceLimits, SourceReading, VoltageSource
from rig.analysis.current_voltage import (
    NONE_F,
    NONE_OHM,
    NONE_S,
    Capacitance,
    Condition,
    ContactLimits,
    Resistance,
    judge_contact,
    resistance_of,
)
from rig.analysis.statistics import Value, value_between
from rig.lifeline import Guarded
from rig.run_state import StopRequest

Floats = NDArray[np.float64]
Policy = Literal["demand", "note", "off"]

# voltage (V) and readings at each of its two levels; the second look only when the first has found no short and not enough
# current to tell a film by
LOOKS = ((0.1, 5), (1.0, 10))
LOOK_A = 1e-6  # a film of less than 100 kohm reaches it at 0.1 V; and the most sensitive range of the source-meters
SETTLE_S = 0.01  # leads and film charge through the source's own resistance
GAIN_ERROR = 2e-3  # of the source-meters' lowest current and voltage ranges together, assumed
SURELY_OHM = 2e8  # a contact above it, whose leak cannot be told from none, is open; films leak more (assumed)
NO_STORE = Capacitance(NONE_F, 0, "not measurable with this source; use an LCR meter")
MARK = "contact: "


@dataclass(frozen=True, slots=True)
class Contact:
    """What a look at the contact found.

    condition    sound, short, open or undecided
    resistance   of leads and film near 0 V; `at_least_ohm` its lower end where it has no upper one
    looked_v     highest voltage that it took
    reasons      every rule that spoke, with its numbers
    """

    condition: Condition
    resistance: Value
    at_least_ohm: float | None
    looked_v: float
    readings: int
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain numbers."""
        return {
            "condition": self.condition,
            "resistance_ohm": self.resistance.value,
            "ci95_ohm": None if self.resistance.ci95 is None else list(self.resistance.ci95),
            "at_least_ohm": self.at_least_ohm,
            "looked_v": self.looked_v,
            "readings": self.readings,
            "reasons": list(self.reasons),
        }

    @property
    def words(self) -> str:
        """Say what was found."""
        return f"{self.condition}; {'; '.join(self.reasons)}"

    @property
    def event(self) -> str:
        """Get the line of the event log: words, then everything as JSON."""
        return f"{MARK}{self.words} {json.dumps(self.as_json(), allow_nan=False)}"


def contact_in(events: list[tuple[int, str]]) -> Contact | None:
    """Find what a run's look at its contact found, None when it took none."""
    for _, text in events:
        if text.startswith(MARK) and text.endswith("}") and "{" in text:
            told = json.loads(text[text.index("{") :])
            interval = told["ci95_ohm"]
            value = Value(told["resistance_ohm"], None if interval is None else (interval[0], interval[1]), "ohm")
            least, looked_v = told["at_least_ohm"], told["looked_v"]
            return Contact(told["condition"], value, least, looked_v, told["readings"], tuple(told["reasons"]))
    return None


class ContactCheck:
    """Looks at the contact, and refuses to go on from a short or an open one.

    Parameters
    ----------
    limits  of the bench; the source is prepared with them again afterwards
    policy  "demand": a short or an open contact ends the run; "note": it is only told; "off": nothing is looked at
    """

    def __init__(self, source: VoltageSource, limits: SourceLimits, clock: Clock, policy: Policy = "demand") -> None:
        self._source = source
        self._limits = limits
        self._clock = clock
        self._policy = policy

    def run(self, stop: StopRequest, lifeline: Guarded, log: Callable[[str], None]) -> None:
        """Look, log what was found, and leave the source prepared and off; a stop request ends it where it is.

        Raises
        ------
        InstrumentError  the contact is short or open, or the source does not do as it is told: it may be on
        """
        if self._policy == "off":
            return
        found = self._look(stop, lifeline, log)
        if found is None:
            return
        with lifeline.long_step(10.0):
            self._source.prepare(self._limits)
        log(found.event)
        if self._policy == "demand" and found.condition in ("short", "open"):
            raise _refusal(found)

    def _look(self, stop: StopRequest, lifeline: Guarded, log: Callable[[str], None]) -> Contact | None:
        found: Contact | None = None
        for look_v, count in LOOKS:
            levels_v = self._levels(look_v)
            if found is not None and (found.condition != "undecided" or found.looked_v >= _reach(levels_v)):
                break
            try:
                readings = self._readings(levels_v, count, stop, lifeline)
            except RefusedError as error:  # nothing was sent
                log(f"contact not looked at with {look_v:g} V: {error.what}")
                break
            if readings is None:
                return None
            found = judged(readings, levels_v, told_small=self._source.bipolar)
            if found.condition == "undecided" and not _may_look_further(found):
                break
        return found

    def _levels(self, look_v: float) -> tuple[float, float]:
        """Choose two levels (V) as far apart as the bench and the source allow; one may be 0 V."""
        low_v = max(-look_v, self._limits.voltage_min_v) if self._source.bipolar else 0.0
        return low_v, min(look_v, self._limits.voltage_max_v)

    def _readings(
        self, levels_v: tuple[float, float], count: int, stop: StopRequest, lifeline: Guarded
    ) -> list[tuple[float, SourceReading]] | None:
        """Read at both levels, None when the run is to stop."""
        if stop.requested:
            return None
        source, readings = self._source, list[tuple[float, SourceReading]]()
        # a supply, which is unipolar, has no limit as low as a source-meter's
        limit_a = min(LOOK_A, self._limits.current_a) if source.bipolar else self._limits.current_a
        with lifeline.long_step(10.0):
            source.prepare(SourceLimits(min(levels_v[0], 0.0), max(levels_v[1], 0.0), limit_a))
        for level_v in (levels_v[1], levels_v[0]):
            source.load(HoldLevel(level_v))
            lifeline.check()
            if stop.requested:
                return None
            source.arm()
            self._clock.sleep(SETTLE_S)
            for _ in range(count):
                lifeline.check()
                if stop.requested:
                    return None
                readings.append((level_v, source.measure()))
        return readings


def judged(readings: list[tuple[float, SourceReading]], levels_v: tuple[float, float], *, told_small: bool) -> Contact:
    """Judge readings at two levels (V); `told_small` whether the source measures the small currents of a film."""
    voltage_v = np.array([reading.voltage_v for _, reading in readings], np.float64)
    current_a = np.array([reading.current_a for _, reading in readings], np.float64)
    limited = np.array([reading.in_compliance for _, reading in readings], np.bool_)
    resistance = _resistance(voltage_v, current_a, limited, sum(levels_v) / 2)
    verdict = judge_contact(resistance, NO_STORE)
    condition, reasons, least = verdict.condition, verdict.reasons, resistance.at_least_ohm
    slope = resistance.conductance
    if condition == "undecided" and not told_small:
        reasons = ("this source cannot measure the current of a film at so low a voltage", *reasons[1:])
    elif condition == "undecided" and slope.value is not None and slope.ci95 is not None:
        least = 1 / max(abs(slope.ci95[0]), abs(slope.ci95[1]))
        condition, more = _by_leak(slope.value, *slope.ci95, _reach(levels_v))
        reasons = (more, *reasons[1:])
    kept = None if least is None or not math.isfinite(least) else least
    return Contact(condition, resistance.resistance, kept, _reach(levels_v), len(readings), reasons)


def _resistance(voltage_v: Floats, current_a: Floats, limited: NDArray[np.bool_], middle_v: float) -> Resistance:
    """Fit what was not set: the current, or, where the source limits that, the voltage."""
    if not limited.any():
        return resistance_of(voltage_v - middle_v, current_a, limited, gain_error=GAIN_ERROR)
    middle_a = (float(current_a.min()) + float(current_a.max())) / 2
    swapped = resistance_of(current_a - middle_a, voltage_v, np.zeros_like(limited), gain_error=GAIN_ERROR)
    limits = swapped.conductance.ci95  # ohm: the slope of voltage against current
    none_a = Value(None, None, "A")
    if limits is None or swapped.conductance.value is None:
        return Resistance(NONE_S, NONE_OHM, None, none_a, int(limited.sum()), swapped.reason or "no interval")
    low, high = max(limits[0], 0.0), max(limits[1], 0.0)
    value = value_between(max(swapped.conductance.value, 0.0), low, high, "ohm")
    return replace(swapped, conductance=NONE_S, resistance=value, at_least_ohm=low, limited=int(limited.sum()), reason="")


def _by_leak(value_s: float, low_s: float, high_s: float, looked_v: float) -> tuple[Condition, str]:
    """Tell a film from an open lead by the conductance of its leak (S), no reading being in compliance.

    A leak counts when it is three times half of its own 95 % interval: noise is as large once in ten thousand looks. Only a
    look that would have seen a film's leak can tell that there is none.
    """
    bounds, half_s = ContactLimits(), (high_s - low_s) / 2
    if value_s > 3 * half_s and low_s > 1 / bounds.open_ohm and high_s < 1 / bounds.least_ohm:
        return "sound", f"a leak of {1 / high_s:.3g} to {1 / low_s:.3g} ohm, as a film has"
    least = f"at {looked_v:g} V no leak below {1 / max(high_s, half_s):.3g} ohm is seen for certain"
    if high_s < 1 / SURELY_OHM and 2 * half_s < 1 / SURELY_OHM and value_s > -2 * half_s:
        return "open", f"{least}: nothing is connected, or not to the film"
    against = "; the current flows against the voltage" if value_s < -2 * half_s else ""
    return "undecided", f"{least}, nor that there is none{against}"


def _may_look_further(found: Contact) -> bool:
    """Whether ten times the voltage can do no harm: the film is far from a short."""
    return found.at_least_ohm is not None and found.at_least_ohm > 10 * ContactLimits().least_ohm


def _reach(levels_v: tuple[float, float]) -> float:
    return max(abs(level_v) for level_v in levels_v)


def _refusal(found: Contact) -> InstrumentError:
    steps = {
        "short": "the film is broken down or the leads touch: take the film off and look again, or use another device",
        "open": "check the leads, the probes on both electrodes and the source's terminals (front or rear); for a device "
        'that is meant to insulate like this: [voltage_source] contact_check = "note"',
    }
    return InstrumentError(
        f"The contact is {found.condition}, no further voltage was applied: {'; '.join(found.reasons)}.",
        where="voltage source, leads and film",
        hardware_state=f"source off; it has been at {found.looked_v:g} V at most, nothing was fired",
        next_step=steps[found.condition],
    )
