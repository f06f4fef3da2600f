"""What the file of a current-voltage run says: currents by voltage and way, the law they follow, how the current falls."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.current_law import CurrentLaw, current_law
from rig.analysis.current_voltage import NO_NUMBER, CurrentDecay, current_after_step
from rig.analysis.statistics import Value, mean_of, value_between
from rig.bench import Bench
from rig.contact_check import Contact, contact_in
from rig.fluence_record import FluenceRecord
from rig.measurements.iv import Iv, Leg
from rig.measurements.record_frame import by_voltage, ended_by_fault, figure_title
from rig.measurements.run_parameters import parameters_of
from rig.report.summary import value_text
from rig.runfile import Results, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 4  # readings of a stay that make a mean
NONE_UA = Value(None, None, "uA")
NONE_PERCENT = Value(None, None, "%")
NOT_MEASURED = "capacitance: not measurable with this source; use an LCR meter"


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay at a voltage: means of the readings that count, and what was set."""

    voltage_v: float
    leg: Leg
    t_s: float
    current_ua: Value
    read_v: Value
    readings: int


@dataclass(frozen=True, slots=True)
class IvLevel:
    """One voltage: current on the way up and on the way down, and their mean."""

    voltage_v: float
    up: Value
    down: Value
    current_ua: Value


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The source had to limit the current: at which set voltage, and how long after it was switched on."""

    voltage_v: float
    after_s: float

    def __str__(self) -> str:
        return f"broke down at {self.voltage_v:g} V after {self.after_s:.2f} s"


@dataclass(frozen=True, slots=True, eq=False)
class IvResult:
    """A current-voltage run reduced.

    levels         by voltage, those with readings
    stays          in the order of time, the long hold not among them
    law            of the voltages with the sign of the highest; absent after a breakdown
    hysteresis     (down - up) / mean of the currents, weighted with the current (%)
    readback       voltage read at the highest voltage over the set one, minus 1 (%)
    decay          of the current over the long hold; `decay.fall` in parts of 1
    course         (s since the step, uA) of the long hold, (n,) each
    broke          where the current limit was reached, None when it was not
    planned        stays of the ladder
    """

    levels: tuple[IvLevel, ...]
    stays: tuple[Stay, ...]
    law: CurrentLaw
    hysteresis: Value
    readback: Value
    decay: CurrentDecay
    course: tuple[NDArray[np.float64], NDArray[np.float64]]
    broke: Breakdown | None
    faulted: bool
    planned: int

    @property
    def highest(self) -> IvLevel:
        """Get the level farthest from 0 V."""
        sign = self.stays[0].voltage_v  # of two that are as far, the one with the sign that was asked for
        return max(self.levels, key=lambda one: (abs(one.voltage_v), one.voltage_v * sign))

    @property
    def exponent(self) -> Value:
        """Get the power of the voltage that the current follows beside its leak; 2 is space-charge-limited (Mott-Gurney)."""
        return self.law.exponent

    @property
    def fall(self) -> Value:
        """Get by how much the current falls over the long hold (%), from its law extrapolated to the step."""
        return scaled(self.decay.fall, 100.0, "%")

    @property
    def code(self) -> str:
        """Get the code of the refusal, empty when there is a law."""
        if self.broke is not None:
            return "broke-down"
        if self.faulted:
            return "run-faulted"
        return "" if self.exponent.value is not None else "no-law"

    @property
    def sentence(self) -> str:
        """Say how the current grows, or why that cannot be said."""
        done = f"{len(self.stays)} of {self.planned} stays"
        if self.broke is not None:
            return f"the device {self.broke}, or reached the current limit; {done} before it"
        if self.faulted:
            return f"no law: the run was ended by a fault after {done}"
        top = self.highest
        words = [f"{value_text(top.current_ua)} at {top.voltage_v:g} V"]
        words.append(f"exponent {value_text(self.exponent)}" if not self.law.reason else f"no exponent: {self.law.reason}")
        return "; ".join(words if len(self.stays) == self.planned else [*words, done])


@dataclass(frozen=True, slots=True, eq=False)
class IvRecord:
    """A current-voltage run; without readings `result` is None and `reason` says why. `contact` is None without a look."""

    run: Run
    parameters: Iv
    contact: Contact | None
    result: IvResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        contact = f"contact: not looked at; {NOT_MEASURED}" if self.contact is None else f"contact: {self.contact.words}"
        if self.result is None:
            return (f"No results: {self.reason}", contact)
        result = self.result
        words = [result.sentence, contact]
        if result.hysteresis.value is not None:
            words.append(f"down over up, minus 1: {value_text(result.hysteresis)}")
        if result.readback.value is not None:
            words.append(f"voltage read back over set, minus 1: {value_text(result.readback)}")
        if result.fall.value is not None:
            text = f"{value_text(result.fall)}, time constant {value_text(result.decay.tau_s)}"
            words.append(f"fall of the current over the long hold: {text}")
        elif result.decay.reason:
            words.append(f"fall of the current over the long hold: none told ({result.decay.reason})")
        return tuple(words)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        contact = None if self.contact is None else self.contact.as_json()
        heading = {"measurement": Iv.name, "voltage_max_v": self.parameters.voltage_max_v, "contact": contact}
        result = self.result
        if result is None:
            return {**heading, **_NOTHING, "reason": self.reason}
        return {
            **heading,
            "refusal": result.code or None,
            "current_at_highest_ua": result.highest.current_ua.as_json(),
            "exponent": result.exponent.as_json(),
            "log_slope": result.law.slope.as_json(),
            "leak_ohm": result.law.leak_ohm.as_json(),
            "hysteresis_percent": result.hysteresis.as_json(),
            "readback_percent": result.readback.as_json(),
            "fall_percent": result.fall.as_json(),
            "fall_tau_s": result.decay.tau_s.as_json(),
            "fall_reason": result.decay.reason or None,
            "broke_down": None
            if result.broke is None
            else {"voltage_v": result.broke.voltage_v, "after_s": result.broke.after_s},
            "capacitance": NOT_MEASURED,
            "levels": [
                {
                    "voltage_v": one.voltage_v,
                    "current_ua": one.current_ua.as_json(),
                    "up_ua": one.up.as_json(),
                    "down_ua": one.down.as_json(),
                }
                for one in result.levels
            ],
            "reason": result.sentence,
        }

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, currents by voltage (NaN where there is none)."""
        if self.result is None:
            return Results(text)
        levels = [(one.voltage_v, one.current_ua) for one in self.result.levels]
        return by_voltage(text, "iv", "current", "uA", levels)

    def figure(self) -> "Figure":
        """Draw current against voltage, and against time.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.iv_figure import iv_figure

        if self.result is None:
            raise ValueError(self.reason)
        curves = {
            leg: [(one.voltage_v, one.current_ua) for one in self.result.stays if one.leg == leg] for leg in ("up", "down")
        }
        return iv_figure(curves, self.result.law, self.result.course, self.result.decay, figure_title(self))


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "refusal",
        "current_at_highest_ua",
        "exponent",
        "log_slope",
        "leak_ohm",
        "hysteresis_percent",
        "readback_percent",
        "fall_percent",
        "fall_tau_s",
        "fall_reason",
        "broke_down",
        "capacitance",
        "levels",
    )
)


def reduce_iv(run: Run, bench: Bench, *, ending: str | None = None, check: Callable[[], None] = lambda: None) -> IvRecord:
    """Reduce a run file, running or finished.

    Parameters
    ----------
    ending   how the run ended, where its file does not say so yet
    check    called now and then; what it raises ends the reduction

    Raises
    ------
    ConfigError  the sequence in the file is no current-voltage run
    """
    parameters, contact = parameters_of(run, Iv), contact_in(run.events)
    readings = run.readings
    faulted = ended_by_fault(run, ending)
    broke = _breakdown(readings, parameters)
    stays: list[Stay] = []
    step_ua, step_v = _resolution(readings["current_a"] * 1e6), _resolution(readings["voltage_v"])
    start_ns = int(readings["t_ns"][0]) if len(readings) else 0
    for number, visit in enumerate(parameters.visits):
        check()
        since_s, rows = _rows(readings, number)
        counted = rows[(since_s >= parameters.settle_s) & ~rows["compliance"].astype(bool)]
        whole = broke is None or not rows["compliance"].any()
        if visit.leg != "hold" and len(counted) >= FEWEST and whole:
            t_s = (float(counted["t_ns"].mean()) - start_ns) * 1e-9
            current, read_v = _mean(counted["current_a"] * 1e6, step_ua, "uA"), _mean(counted["voltage_v"], step_v, "V")
            stays.append(Stay(visit.voltage_v, visit.leg, t_s, current, read_v, len(counted)))
    if not stays:
        why = "the run was ended by a fault before the first voltage was held" if faulted else "no voltage was held long enough"
        if broke is not None:
            why = f"the device {broke}, or reached the current limit, before any voltage was held"
        if contact is not None and contact.condition in ("short", "open"):
            why = f"the contact is {contact.condition}"
        return IvRecord(run, parameters, contact, None, why)
    levels = _levels(stays)
    course, decay = _hold(readings, parameters, broken=broke is not None or faulted)
    planned = sum(visit.leg != "hold" for visit in parameters.visits)
    law = _law(stays, levels, parameters, broken=broke is not None or faulted)
    result = IvResult(
        levels, tuple(stays), law, _hysteresis(levels, law), _readback(stays), decay, course, broke, faulted, planned
    )
    return IvRecord(run, parameters, contact, result, "")


def _rows(readings: NDArray[Any], visit: int) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Readings of a stay with usable numbers, and their times since its first one (s), which comes 6 ms after the step."""
    rows = readings[readings["block"] == 2 * visit + 1]
    since_s = (rows["t_ns"] - rows["t_ns"][0]) * 1e-9 if len(rows) else np.empty(0)
    usable = (np.abs(rows["current_a"]) < NO_NUMBER) & (np.abs(rows["voltage_v"]) < NO_NUMBER)
    return since_s[usable], rows[usable]


def _resolution(readings: NDArray[np.float64]) -> float:
    """Smallest step between readings of a run: what the meter shows; next to nothing where noise is finer."""
    steps = np.diff(np.unique(readings[np.abs(readings) < NO_NUMBER]))
    return float(steps.min()) if len(steps) else 0.0


def _mean(samples: NDArray[np.float64], step: float, unit: str) -> Value:
    """Mean, in whose interval half of the meter's last digit is added to the scatter: equal readings are not exact."""
    found = mean_of(samples, unit)
    if found.value is None or found.half_width is None:
        return found
    half = math.hypot(found.half_width, step / 2)
    return value_between(found.value, found.value - half, found.value + half, unit)


def _breakdown(readings: NDArray[Any], parameters: Iv) -> Breakdown | None:
    limited = np.flatnonzero(readings["compliance"].astype(bool) & (readings["block"] % 2 == 1) & (readings["block"] >= 0))
    if not len(limited):
        return None
    block = int(readings["block"][limited[0]])
    first = int(np.flatnonzero(readings["block"] == block)[0])
    after_s = float(readings["t_ns"][limited[0]] - readings["t_ns"][first]) * 1e-9
    return Breakdown(parameters.visits[block // 2].voltage_v, after_s)


def _levels(stays: list[Stay]) -> tuple[IvLevel, ...]:
    found: list[IvLevel] = []
    for voltage_v in sorted({one.voltage_v for one in stays}):
        ways = {one.leg: one.current_ua for one in stays if one.voltage_v == voltage_v}
        up, down = ways.get("up", NONE_UA), ways.get("down", NONE_UA)
        both = [one for one in (up, down) if one.value is not None]
        found.append(IvLevel(voltage_v, up, down, both[0] if len(both) == 1 else _middle(up, down)))
    return tuple(found)


def _middle(up: Value, down: Value) -> Value:
    """Mean of both ways; the interval holds both means' errors and half of what they differ by."""
    if up.value is None or down.value is None:
        return NONE_UA
    middle = (up.value + down.value) / 2
    noise = math.hypot(up.half_width or 0.0, down.half_width or 0.0) / 2
    half = math.hypot(noise, (down.value - up.value) / 2)
    return value_between(middle, middle - half, middle + half, "uA")


def _hysteresis(levels: tuple[IvLevel, ...], law: CurrentLaw) -> Value:
    """Compare both ways; nothing is told of a current that follows no law: it is noise, or the contact was lost."""
    if law.exponent.value is None:
        return NONE_PERCENT
    pairs = [(one.up, one.down) for one in levels if one.up.value is not None and one.down.value is not None]
    total = sum(abs((up.value or 0.0) + (down.value or 0.0)) / 2 for up, down in pairs)
    if not total > 0:
        return NONE_PERCENT
    gained = sum(abs(down.value or 0.0) - abs(up.value or 0.0) for up, down in pairs)
    half = math.sqrt(sum((up.half_width or 0.0) ** 2 + (down.half_width or 0.0) ** 2 for up, down in pairs))
    return value_between(100 * gained / total, 100 * (gained - half) / total, 100 * (gained + half) / total, "%")


def _readback(stays: list[Stay]) -> Value:
    """Compare voltages read and set at the highest voltage that was reached (%)."""
    top_v = max(abs(one.voltage_v) for one in stays)
    at_top = [one for one in stays if abs(one.voltage_v) == top_v and one.read_v.value is not None]
    errors = np.array([100 * ((one.read_v.value or 0.0) / one.voltage_v - 1) for one in at_top])
    halves = np.array([100 * (one.read_v.half_width or math.nan) / abs(one.voltage_v) for one in at_top])
    mean, half = float(errors.mean()), float(np.sqrt(np.sum(halves**2))) / len(halves)
    return value_between(mean, mean - half, mean + half, "%")


def _hold(
    readings: NDArray[Any], parameters: Iv, *, broken: bool
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], CurrentDecay]:
    absent = CurrentDecay(NONE_UA, NONE_UA, Value(None, None, ""), Value(None, None, "s"), "no long hold")
    if parameters.visits[-1].leg != "hold":
        return (np.empty(0), np.empty(0)), absent
    since_s, rows = _rows(readings, len(parameters.visits) - 1)
    later = since_s >= parameters.settle_s
    t_s, current_ua = since_s[later], np.abs(rows["current_a"][later]) * 1e6
    if broken:
        return (t_s, current_ua), CurrentDecay(absent.start, absent.end, absent.fall, absent.tau_s, "the run did not end well")
    found = current_after_step(t_s, current_ua * 1e-6)
    start, end = scaled(found.start, 1e6, "uA"), scaled(found.end, 1e6, "uA")
    return (t_s, current_ua), CurrentDecay(start, end, found.fall, found.tau_s, found.reason)


def _law(stays: list[Stay], levels: tuple[IvLevel, ...], parameters: Iv, *, broken: bool) -> CurrentLaw:
    """Fit the means of both ways, whose errors hold what these differ by; single stays first show a contact that was lost."""
    if broken:
        none = Value(None, None, "")
        return CurrentLaw(none, Value(None, None, "ohm"), none, reason="the run did not end well")
    sign = math.copysign(1.0, parameters.voltage_max_v)
    found = current_law(*_columns([(one.voltage_v, one.current_ua) for one in stays if one.voltage_v * sign > 0]))
    if found.reason:
        return found
    return current_law(*_columns([(one.voltage_v, one.current_ua) for one in levels if one.voltage_v * sign > 0]))


def _columns(points: list[tuple[float, Value]]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Voltages (V), currents and standard errors (A); a value without an interval is left out."""
    known = [(voltage_v, one.value, one.half_width) for voltage_v, one in points if one.value is not None and one.half_width]
    table = np.array(known, np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1] * 1e-6, table[:, 2] / 2 * 1e-6


def scaled(value: Value, factor: float, unit: str) -> Value:
    """Express in another unit."""
    if value.value is None:
        return Value(None, None, unit)
    interval = None if value.ci95 is None else (value.ci95[0] * factor, value.ci95[1] * factor)
    return Value(value.value * factor, interval, unit)
