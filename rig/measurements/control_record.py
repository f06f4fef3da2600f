"""What a control device's file says: whether its light, its colour and its current are the same under voltage."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bracketed_ladder import LadderLight, ladder_light
from rig.analysis.equivalence import Ceiling, Equivalence, Judgement, stays_below
from rig.analysis.insensitivity import Insensitivity, light_change, light_slope, peak_change
from rig.analysis.statistics import Value
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements.control import Control
from rig.measurements.pl_record import LIFETIMES, WORDS, level_spectra
from rig.measurements.record_frame import by_voltage, ended_by_fault, figure_title, framed
from rig.measurements.run_parameters import parameters_of
from rig.measurements.stay_light import StayLight, brackets_of, of_purpose, stay_light
from rig.measurements.voltage_ladder import Stay
from rig.reduction import usable
from rig.report.summary import value_text
from rig.runfile import Results, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_REFERENCE = "the current is not compared: reference_current_a, that of the bare device, is not given"
SENTENCES: dict[Judgement, str] = {
    "insensitive": "the device is insensitive to the voltage",
    "changed": "the voltage changes the device",
    "undecided": "whether the device is insensitive cannot be said",
}


@dataclass(frozen=True, slots=True, eq=False)
class ControlResult:
    """A control run reduced; `current` are the means (A) of each stay at the highest voltage, with the voltage's sign."""

    found: Insensitivity
    ladder: LadderLight
    stays: StayLight
    current: Value

    @property
    def value(self) -> Value:
        """Get the relative change of the light at the highest voltage."""
        return self.found.light.change

    @property
    def code(self) -> str:
        """Get "undecided" when nothing can be said, else nothing."""
        return "undecided" if self.found.judgement == "undecided" else ""

    @property
    def sentence(self) -> str:
        """Say whether the device is insensitive, and in what."""
        found = self.found
        parts = [
            f"light {found.light.judgement}",
            f"along the voltages {found.slope.judgement}",
            f"peak {found.peak.judgement}",
        ]
        parts.append("current not compared" if found.current is None else f"current {found.current_judgement}")
        return "; ".join([f"{SENTENCES[found.judgement]} ({', '.join(parts)})", *self.stays.left_out])


@dataclass(frozen=True, slots=True, eq=False)
class ControlRecord:
    """The run; `result` is None when nothing can be judged, `reason` says why. `fluence` is None without a meter."""

    run: Run
    parameters: Control
    result: ControlResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        if self.result is None:
            return (f"No results: {self.reason}",)
        found, full_v = self.result.found, self.parameters.voltage_max_v
        return (
            self.result.sentence,
            f"light at {full_v:g} V over 0 V, minus 1: {value_text(found.light.change)}; {found.light.reason}",
            f"the same along a line through all voltages: {value_text(found.slope.change)}; {found.slope.reason}",
            f"shift of the peak at {full_v:g} V: {value_text(found.peak.change)}; {found.peak.reason}",
            NO_REFERENCE if found.current is None else f"current at {full_v:g} V (A): {found.current.reason}",
            LIFETIMES,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        parameters = self.parameters
        heading = {"voltage_max_v": parameters.voltage_max_v, "reference_current_a": parameters.reference_current_a}
        return framed(self, heading, _NOTHING if self.result is None else _numbers(self.result))

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, light by voltage (NaN where there is none)."""
        if self.result is None:
            return Results(text)
        levels = [(one.voltage_v, one.relative) for one in self.result.ladder.levels]
        return by_voltage(text, "control", "relative", "1", levels)

    def figure(self) -> "Figure":
        """Draw light against voltage, light against time, and the mean spectra.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.pl_figure import pl_figure

        result = self.result
        if result is None:
            raise ValueError(self.reason)
        spectra = level_spectra(result.stays, self.parameters.stays())
        return pl_figure(result.ladder, result.stays.light, *spectra, figure_title(self))


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "judgement",
        "light_change",
        "light_slope",
        "peak_shift",
        "current",
        "current_below",
        "levels",
        "drift",
        "drifted",
        "lifetimes",
    )
)


def _numbers(result: ControlResult) -> dict[str, Any]:
    found = result.found
    return {
        "judgement": found.judgement,
        "light_change": _equivalence(found.light),
        "light_slope": _equivalence(found.slope),
        "peak_shift": _equivalence(found.peak),
        "current": result.current.as_json(),
        "current_below": None if found.current is None else _ceiling(found.current, found.current_judgement),
        "levels": [
            {"voltage_v": one.voltage_v, "relative": one.relative.as_json(), "brackets": one.brackets}
            for one in result.ladder.levels
        ],
        "drift": result.ladder.drift.as_json(),
        "drifted": result.ladder.drifted,
        "lifetimes": LIFETIMES,
    }


def reduce_control(run: Run, bench: Bench, *, ending: str | None = None) -> ControlRecord:
    """Reduce a run file; `ending` is how the run ended, None: as the file says.

    Raises
    ------
    ConfigError  the sequence in the file is none of this measurement
    """
    parameters = parameters_of(run, Control)
    fluence, stays = fluence_record(run, bench), parameters.stays()
    if ended_by_fault(run, ending):
        return ControlRecord(run, parameters, None, WORDS["run-faulted"], fluence)
    left_out: tuple[str, ...] = ()
    try:
        light = stay_light(run, stays, parameters.frame_s)
        left_out = light.left_out
        brackets = brackets_of(stays, light.light)
        rests = of_purpose(stays, light.light, "rest")
        ladder = ladder_light(brackets, rests, parameters.ladder.levels_v(), light.dark_error)
    except ValueError as error:
        return ControlRecord(run, parameters, None, "; ".join([*left_out, str(error)]), fluence)
    full_v, first = parameters.voltage_max_v, len(stays) - 1 - 2 * parameters.brackets
    repeated = range(first, len(stays))
    counts = [np.nan if one is None else one.counts for one in light.light[first:]]
    samples = _currents_a(run, stays, full_v)
    limit_a = None if parameters.reference_current_a is None else parameters.current_share * parameters.reference_current_a
    # the value alone is wanted where there is nothing to hold it against
    ceiling = stays_below(samples, np.finfo(np.float64).max if limit_a is None else limit_a, "A")
    found = Insensitivity(
        light_change(counts, parameters.light_margin),
        light_slope(brackets, full_v, parameters.light_margin),
        peak_change(light.wavelength_nm, [light.spectra.get(one) for one in repeated], parameters.peak_margin_nm),
        None if limit_a is None else ceiling,
    )
    return ControlRecord(run, parameters, ControlResult(found, ladder, light, ceiling.value), "", fluence)


def _currents_a(run: Run, stays: Sequence[Stay], voltage_v: float) -> NDArray[np.float64]:
    """Mean current (A, positive along the voltage) beside the frames that count of each stay at `voltage_v`."""
    rows = run.frames()
    rows = rows[usable(rows["flags"]) & np.isfinite(rows["measured_current_a"])]
    means = [
        float(rows["measured_current_a"][rows["cycle"] == number].mean()) * np.sign(voltage_v)
        for number, stay in enumerate(stays)
        if stay.voltage_v == voltage_v and (rows["cycle"] == number).any()
    ]
    return np.array(means, np.float64)


def _equivalence(one: Equivalence) -> dict[str, Any]:
    return {
        "change": one.change.as_json(),
        "ci90": None if one.ci90 is None else list(one.ci90),
        "margin": one.margin,
        "p_value": one.p_value,
        "judgement": one.judgement,
        "reason": one.reason,
    }


def _ceiling(one: Ceiling, judgement: Judgement | None) -> dict[str, Any]:
    return {"upper_a": one.upper, "limit_a": one.limit, "judgement": judgement, "reason": one.reason}
