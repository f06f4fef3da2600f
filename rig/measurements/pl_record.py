"""What a file of weakly pumped photoluminescence says: light by voltage, whether it falls, comes back and is linear."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bracketed_ladder import LadderLight, Recovery, exponent, ladder_light, recovery
from rig.analysis.isotonic_test import Verdict
from rig.analysis.light_curve import NOMINAL_ERROR
from rig.analysis.statistics import Value
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.record_frame import by_voltage, ended_by_fault, figure_title, framed
from rig.measurements.run_parameters import parameters_of
from rig.measurements.stay_light import StayLight, brackets_of, of_purpose, stay_light
from rig.measurements.voltage_ladder import Stay
from rig.report.summary import value_text
from rig.runfile import Results, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_READINGS = 5
LATE_S = 20.0  # after the edge: what the late recovery is about
LIFETIMES = "lifetimes are not measurable on this bench: it has no photon counter"
VERDICTS = {
    "falls": "the light falls with the voltage",
    "rises": "the light rises with the voltage",
    "constant": "the light does not depend on the voltage as far as can be seen",
    "not monotone": "the light changes with the voltage, but not in one direction",
    "undecided": "too few voltages to compare",
}
WORDS = {
    "run-faulted": "no results: the run was ended by a fault, what its frames say of the film is not certain",
    "highest-missing": "no light at the highest voltage lies between two stays at 0 V",
    "rest-too-short": f"a rest of less than {LATE_S:g} s says nothing about the light {LATE_S:g} s after the voltage",
}


@dataclass(frozen=True, slots=True, eq=False)
class PlResult:
    """A ladder reduced.

    ladder    light over that at 0 V by the matched filter, `wide` by a plain sum over the window
    recovery  of the light after the highest voltage
    slope     of ln light against ln fluence at 0 V; `slope_from` is where its fluences come from
    stays     their light
    planned   stays; `faulted`: the run was ended by a fault, there are no results whatever the frames say
    """

    ladder: LadderLight
    wide: LadderLight
    recovery: Recovery
    slope: Value
    slope_from: str
    stays: StayLight
    planned: int
    faulted: bool
    rest_s: float

    @property
    def relative_at_highest(self) -> Value:
        """Get the light at the voltage farthest from 0 V over that at 0 V."""
        return _ABSENT if self.faulted else self.ladder.levels[-1].relative

    @property
    def value(self) -> Value:
        """Get the number that stands for the run: `relative_at_highest`."""
        return self.relative_at_highest

    @property
    def recovery_early(self) -> Value:
        """Get light within the first seconds after the highest voltage over that before it, drift taken off."""
        return _ABSENT if self.faulted else self.recovery.early

    @property
    def recovery_late(self) -> Value:
        """Get the same from 20 s on; no value where rests are shorter."""
        return _ABSENT if self.faulted or not self.rest_s >= LATE_S else self.recovery.late

    @property
    def linearity(self) -> Value:
        """Get the slope of ln light against ln fluence at 0 V."""
        return _ABSENT if self.faulted else self.slope

    @property
    def verdict(self) -> Verdict | None:
        """Get whether the light falls along the voltages."""
        return None if self.faulted or self.ladder.test is None else self.ladder.test.verdict

    @property
    def code(self) -> str:
        """Get the code of the refusal, empty when there is light at the highest voltage."""
        if self.faulted:
            return "run-faulted"
        return "" if self.ladder.levels[-1].relative.value is not None else "highest-missing"

    @property
    def sentence(self) -> str:
        """Say what the voltage does to the light, or why that cannot be said."""
        if self.faulted:
            return WORDS["run-faulted"]
        words = [] if self.verdict is None else [VERDICTS[self.verdict]]
        highest = self.ladder.levels[-1]
        words.append(
            WORDS[self.code] if self.code else f"at {highest.voltage_v:g} V {value_text(highest.relative)} of it is left"
        )
        done = sum(one is not None for one in self.stays.light)
        more = [] if done == self.planned else [f"{done} of {self.planned} stays"]
        return "; ".join([*words, *more, *self.stays.left_out])


_ABSENT = Value(None, None, "")


@dataclass(frozen=True, slots=True, eq=False)
class PlRecord:
    """The run; `result` is None when no light can be used, `reason` says why. `fluence` is None without a meter."""

    run: Run
    parameters: PlVsVoltage
    result: PlResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        result = self.result
        if result is None:
            return (f"No results: {self.reason}",)
        words = [result.sentence]
        if result.faulted:
            return tuple(words)
        told = [one for one in result.ladder.levels[1:] if one.relative.value is not None]
        if told:
            words.append("light over 0 V: " + ", ".join(f"{value_text(one.relative)} at {one.voltage_v:g} V" for one in told))
        if result.recovery_early.value is not None:
            early_s = result.stays.early_s or (0.0, 0.0)
            words.append(f"back at 0 V, {early_s[0]:g} to {early_s[1]:g} s later: {value_text(result.recovery_early)}")
        if result.recovery_late.value is not None:
            words.append(f"back at 0 V, from {result.rest_s:g} s on: {value_text(result.recovery_late)} (drift taken off)")
        elif not result.rest_s >= LATE_S:
            words.append(WORDS["rest-too-short"])
        if result.linearity.value is not None:
            words.append(f"light goes with the fluence to the power of {value_text(result.linearity)} ({result.slope_from})")
        return (*words, LIFETIMES)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        parameters = self.parameters
        heading = {"voltage_max_v": parameters.voltage_max_v, "fluence_asked_uj_cm2": parameters.fluence_uj_cm2}
        return framed(self, heading, _NOTHING if self.result is None else _numbers(self.result))

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, light by voltage (NaN where there is none)."""
        if self.result is None or self.result.faulted:
            return Results(text)
        levels = [(one.voltage_v, one.relative) for one in self.result.ladder.levels]
        return by_voltage(text, "pl", "relative", "1", levels)

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
        if result.faulted:
            raise ValueError(result.sentence)
        spectra = level_spectra(result.stays, self.parameters.stays())
        return pl_figure(result.ladder, result.stays.light, *spectra, figure_title(self))


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "relative_at_highest",
        "refusal",
        "verdict",
        "p_fall",
        "p_not_falling",
        "recovery_early",
        "recovery_early_s",
        "recovery_late",
        "recovery_late_s",
        "drift_per_s",
        "linearity_slope",
        "linearity_fluence_from",
        "drift",
        "drifted",
        "levels",
        "lifetimes",
    )
)


def _numbers(result: PlResult) -> dict[str, Any]:
    test = None if result.faulted else result.ladder.test
    levels = [
        {
            "voltage_v": one.voltage_v,
            "relative": (_ABSENT if result.faulted else one.relative).as_json(),
            "relative_wide": (_ABSENT if result.faulted else wide.relative).as_json(),
            "brackets": one.brackets,
        }
        for one, wide in zip(result.ladder.levels, result.wide.levels, strict=True)
    ]
    return {
        "relative_at_highest": result.relative_at_highest.as_json(),
        "refusal": result.code or None,
        "verdict": result.verdict,
        "p_fall": None if test is None else test.p_fall,
        "p_not_falling": None if test is None else test.p_not_falling,
        "recovery_early": result.recovery_early.as_json(),
        "recovery_early_s": None if result.stays.early_s is None else list(result.stays.early_s),
        "recovery_late": result.recovery_late.as_json(),
        "recovery_late_s": result.rest_s,
        "drift_per_s": (Value(None, None, "1/s") if result.faulted else result.recovery.drift_per_s).as_json(),
        "linearity_slope": result.linearity.as_json(),
        "linearity_fluence_from": result.slope_from,
        "drift": (_ABSENT if result.faulted else result.ladder.drift).as_json(),
        "drifted": None if result.faulted else result.ladder.drifted,
        "levels": levels,
        "lifetimes": LIFETIMES,
    }


def reduce_pl(run: Run, bench: Bench, *, ending: str | None = None) -> PlRecord:
    """Reduce a run file; `ending` is how the run ended, None: as the file says.

    Raises
    ------
    ConfigError  the sequence in the file is none of this measurement
    """
    parameters = parameters_of(run, PlVsVoltage)
    fluence, stays, levels_v = fluence_record(run, bench), parameters.stays(), parameters.ladder.levels_v()
    faulted = ended_by_fault(run, ending)
    left_out: tuple[str, ...] = ()
    try:
        light = stay_light(run, stays, parameters.frame_s)
        left_out = light.left_out
        brackets = brackets_of(stays, light.light, light.early)
        ladder = ladder_light(brackets, of_purpose(stays, light.light, "rest"), levels_v, light.dark_error)
        wide = ladder_light(
            brackets_of(stays, light.wide), of_purpose(stays, light.wide, "rest"), levels_v, light.wide_dark_error
        )
    except ValueError as error:
        reason = WORDS["run-faulted"] if faulted else "; ".join([*left_out, str(error)])
        return PlRecord(run, parameters, None, reason, fluence)
    at = linearity_fluence(fluence, stays)
    lit = [
        replace(one, fluence_uj_cm2=at.uj_cm2[number])
        for number, (stay, one) in enumerate(zip(stays, light.light, strict=True))
        if stay.purpose == "linearity" and one is not None
    ]
    slope = exponent(lit, at.error, light.dark_error)
    result = PlResult(
        ladder, wide, recovery(brackets, levels_v[-1]), slope, at.source, light, len(stays), faulted, parameters.rest_s
    )
    return PlRecord(run, parameters, result, "", fluence)


@dataclass(frozen=True, slots=True)
class LinearityFluence:
    """Fluence by number of the stay (uJ/cm2), its relative error (1 sigma), and where it comes from."""

    uj_cm2: Mapping[int, float]
    error: float
    source: str


def linearity_fluence(fluence: FluenceRecord | None, stays: Sequence[Stay]) -> LinearityFluence:
    """Take the meter's means of the stays at other fluences, where all of them are better than set points."""
    asked = {number: stay.fluence_uj_cm2 for number, stay in enumerate(stays) if stay.purpose == "linearity"}
    blocks = {} if fluence is None else {one.block: one for one in fluence.blocks if one.block in asked}  # a stay is a block
    means: dict[int, float] = {}
    error = 0.0
    for number, one in blocks.items():
        mean, own = one.measured_uj_cm2, one.standard_error_uj_cm2
        if mean is not None and own is not None and mean > 0 and one.readings >= FEWEST_READINGS:
            means[number] = mean
            error = max(error, own / mean)
    if asked and len(means) == len(asked) and error <= NOMINAL_ERROR:
        return LinearityFluence(means, error, "the meter's mean of each stay")
    return LinearityFluence(asked, NOMINAL_ERROR, "set points")


def level_spectra(light: StayLight, stays: Sequence[Stay]) -> tuple[NDArray[np.float64], dict[float, NDArray[np.float64]]]:
    """Wavelengths (nm, (pixels,)) and the mean spectrum at each voltage (counts), stays at other fluences left out."""
    by_level: dict[float, list[NDArray[np.float64]]] = {}
    for number, spectrum in light.spectra.items():
        if stays[number].purpose != "linearity":
            by_level.setdefault(stays[number].voltage_v, []).append(spectrum)
    return light.wavelength_nm, {v: np.mean(by_level[v], axis=0) for v in sorted(by_level, key=abs)}
