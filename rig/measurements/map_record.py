"""What a threshold map's file says: thresholds by voltage, what the voltage does to them, whether the film drifted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rig.analysis.field_effect import FieldEffect, Leg, field_effect
from rig.analysis.statistics import Value
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements.record_frame import by_voltage, ended_by_fault, figure_title, framed
from rig.measurements.run_parameters import parameters_of
from rig.measurements.sweep_fluence import visit_fluence
from rig.measurements.sweep_record import SweepResult, light_of, reduced_sweep, without_saturated
from rig.measurements.threshold_map import ThresholdMap
from rig.reduction import usable
from rig.report.summary import value_text
from rig.runfile import Results, Run
from rig.sequence import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {
    "": "",
    "no-reference": "no reduction: there is no threshold at 0 V to compare with",
    "no-voltage": "no reduction: no threshold under voltage lies between two at 0 V",
    "highest-missing": "no reduction: no threshold at the highest voltage lies between two at 0 V",
}
VERDICTS = {
    "falls": "the threshold falls with the voltage",
    "rises": "the threshold rises with the voltage",
    "constant": "the threshold does not depend on the voltage as far as can be seen",
    "not monotone": "the threshold changes with the voltage, but not in one direction",
    "undecided": "too few voltages to compare",
}


@dataclass(frozen=True, slots=True, eq=False)
class MapSweep:
    """One sweep of a map: voltage, time of its middle (s after the first frame), result or why there is none."""

    voltage_v: float
    t_s: float
    result: SweepResult | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class MapResult:
    """A map reduced.

    sweeps     those with frames, in the order of time
    effect     of the voltage; nothing in it when `faulted`
    planned    sweeps
    faulted    the run was ended by a fault: there are no thresholds, whatever the points say
    """

    sweeps: tuple[MapSweep, ...]
    effect: FieldEffect
    planned: int
    fluence_from: str
    faulted: bool

    @property
    def value(self) -> Value:
        """Get the reduction from 0 V to the voltage farthest from it."""
        return self.effect.reduction

    @property
    def code(self) -> str:
        """Get the code of the refusal, empty when there is a reduction."""
        return "run-faulted" if self.faulted else self.effect.code

    @property
    def sentence(self) -> str:
        """Say what the voltage does, or why that cannot be said."""
        done = f"{len(self.sweeps)} of {self.planned} sweeps"
        if self.faulted:
            return f"no thresholds: the run was ended by a fault after {done}, what they say of the film is not certain"
        effect = self.effect
        words = [] if effect.test is None else [VERDICTS[effect.test.verdict]]
        if effect.code:
            words.append(WORDS[effect.code])
        else:
            words.append(f"reduction from 0 V to {effect.levels[-1].voltage_v:g} V: {value_text(self.value)}")
        return "; ".join(words if len(self.sweeps) == self.planned else [*words, done])


@dataclass(frozen=True, slots=True, eq=False)
class MapRecord:
    """A map's run; `result` is None when no frame can be used, `reason` says why. `fluence` is None without a meter."""

    run: Run
    parameters: ThresholdMap
    result: MapResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        if self.result is None:
            return (f"No results: {self.reason}",)
        effect = self.result.effect
        words = [self.result.sentence]
        told = [f"{value_text(one.value)} at {one.voltage_v:g} V" for one in effect.levels if one.value.value is not None]
        if told:
            words.append(f"thresholds: {', '.join(told)}")
        if effect.drifted is not None:
            verdict = "differ beyond their errors: the film or the pump drifted" if effect.drifted else "agree"
            words.append(f"the sweeps at 0 V {verdict} (last over first, minus 1: {value_text(effect.drift)})")
        words.append(f"fluence: {self.result.fluence_from}")
        if self.fluence is not None:
            common = 100 * self.fluence.scale.relative
            words.append(f"not in the intervals of the thresholds, as common to all fluences: {common:.2g} % (1 sigma)")
        return tuple(words)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        heading = {"voltage_max_v": self.parameters.voltage_max_v}
        return framed(self, heading, _NOTHING if self.result is None else _numbers(self.result))

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, thresholds by voltage (NaN where there is none)."""
        if self.result is None:
            return Results(text)
        levels = [(one.voltage_v, one.value) for one in self.result.effect.levels]
        return by_voltage(text, "map", "threshold", "uJ/cm2", levels)

    def figure(self) -> "Figure":
        """Draw thresholds against voltage and time.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.map_figure import map_figure

        if self.result is None:
            raise ValueError(self.reason)
        if not any(one.value.value is not None for one in self.result.effect.levels):
            raise ValueError(self.result.sentence)
        return map_figure(
            self.result.effect,
            [(one.t_s, one.voltage_v, one.result.value) for one in self.result.sweeps if one.result is not None],
            figure_title(self),
        )


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "reduction",
        "refusal",
        "verdict",
        "p_fall",
        "p_rise",
        "p_not_falling",
        "drift",
        "drifted",
        "levels",
        "sweeps",
        "fluence_from",
    )
)


def _numbers(result: MapResult) -> dict[str, Any]:
    test = result.effect.test
    levels = [
        {
            "voltage_v": one.voltage_v,
            "threshold_uj_cm2": one.value.as_json(),
            "over_0_v": one.relative,
            "over_0_v_sigma": one.sigma,
            "sweeps_used": one.used,
            "sweeps_taken": one.taken,
        }
        for one in result.effect.levels
    ]
    return {
        "reduction": result.value.as_json(),
        "refusal": result.code or None,
        "verdict": None if test is None else test.verdict,
        "p_fall": None if test is None else test.p_fall,
        "p_rise": None if test is None else test.p_rise,
        "p_not_falling": None if test is None else test.p_not_falling,
        "drift": result.effect.drift.as_json(),
        "drifted": result.effect.drifted,
        "levels": levels,
        "sweeps": [_told(one, result.faulted) for one in result.sweeps],
        "sweeps_planned": result.planned,
        "fluence_from": result.fluence_from,
    }


def reduce_map(
    run: Run,
    bench: Bench,
    *,
    ending: str | None = None,
    frames: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> MapRecord:
    """Reduce a run file; see rig.measurements.sweep_record.reduce_sweep for the parameters.

    Raises
    ------
    ConfigError  the sequence in the file is no threshold map
    """
    parameters, fluence = parameters_of(run, ThresholdMap), fluence_record(run, bench)
    if run.dark is None:
        return MapRecord(run, parameters, None, "the dark frames are not taken", fluence)
    rows = run.frames(0, run.count if frames is None else frames)
    sweep_of = rows["cycle"] // parameters.points
    biased = np.array([sweep.voltage_v != 0 for sweep in parameters.sweeps])
    counted = (rows["cycle"] >= 0) & (rows["state"] == np.where(biased[sweep_of], int(State.ON), int(State.OFF)))
    use = usable(rows["flags"]) & counted
    if not use.any():
        return MapRecord(run, parameters, None, "no frame is assigned to a shot, settled and unflagged", fluence)
    visits = parameters.visits()
    asked = visit_fluence(run, bench, rows, counted, visits)
    use &= ~np.isin(rows["cycle"], asked.strange)
    faulted = ended_by_fault(run, ending)
    sweeps: list[MapSweep] = []
    for number, sweep in enumerate(parameters.sweeps):
        check()
        mine = sweep_of == number
        if not (use & mine).any():
            continue
        t_s = float(np.mean(rows["host_time_ns"][use & mine] - rows["host_time_ns"][use][0])) * 1e-9
        kept, left_out = without_saturated(rows, use & mine, counted & mine, visits)
        try:
            wavelength_nm, light = light_of(run, kept, check)
            result = reduced_sweep(wavelength_nm, light, rows[kept], visits, asked, bench, left_out, sweep, faulted)
        except ValueError as error:
            sweeps.append(MapSweep(sweep.voltage_v, t_s, None, "; ".join([*left_out, str(error)])))
        else:
            sweeps.append(MapSweep(sweep.voltage_v, t_s, result, "" if result.value.value is not None else result.sentence))
    legs = [Leg(one.voltage_v, one.t_s, one.result.threshold) for one in sweeps if one.result is not None and not faulted]
    effect = field_effect(legs, parameters.levels_v())
    return MapRecord(
        run, parameters, MapResult(tuple(sweeps), effect, len(parameters.sweeps), asked.source, faulted), "", fluence
    )


def _told(one: MapSweep, faulted: bool) -> dict[str, Any]:
    value = Value(None, None, "uJ/cm2") if one.result is None or faulted else one.result.value
    return {"voltage_v": one.voltage_v, "t_s": one.t_s, "threshold_uj_cm2": value.as_json(), "reason": one.reason}
