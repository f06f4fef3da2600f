"""What a fluence sweep's file says: light against fluence, threshold or why there is none. Live, finished and killed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.ase_excess import band_excess, weakest
from rig.analysis.bands import band_slice
from rig.analysis.correction import fill_hot, light_counts
from rig.analysis.hysteresis import Hysteresis, hysteresis
from rig.analysis.light_curve import LightCurve, rebinned, set_point_means
from rig.analysis.narrowing import half_width_crossing, widths
from rig.analysis.statistics import Value
from rig.analysis.threshold import Threshold, find_threshold
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements.fluence_sweep import FluenceSweep, Visit
from rig.measurements.record_frame import ended_by_fault, framed
from rig.measurements.run_parameters import parameters_of
from rig.measurements.sweep_fluence import VisitFluence, visit_fluence
from rig.reduction import CHUNK_FRAMES, usable
from rig.report.summary import value_text
from rig.runfile import Flag, Results, Run
from rig.sequence import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SEEN_NM = (525.0, 40.0)  # centre, half width: what is kept of every spectrum
FEWEST_LEFT = 0.9  # of a visit's frames: with more of them saturated its mean is one of the weak pulses only
METERED = 0.9  # of the frames with an energy of their own, for points by energy


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
    """A sweep reduced.

    curve, threshold      all visits together
    crossing              where the line is half as wide, its interval the two points around it
    width_uj_cm2, fwhm_nm per set point, (k,)
    hysteresis            None unless the sweep went both ways to its end
    fluence_from          where the fluences come from
    measured, planned     set points; an adaptive sweep plans none beyond those it has measured
    left_out              why points were left out, a sentence each
    faulted               the run was ended by a fault: there is no threshold and no crossing, whatever the points say
    """

    curve: LightCurve
    threshold: Threshold
    crossing: Value
    width_uj_cm2: Floats
    fwhm_nm: Floats
    hysteresis: Hysteresis | None
    fluence_from: str
    measured: int
    planned: int
    left_out: tuple[str, ...]
    faulted: bool

    @property
    def value(self) -> Value:
        """Get the threshold; no value when it was refused or the run ended by a fault."""
        return Value(None, None, self.threshold.value.unit) if self.faulted else self.threshold.value

    @property
    def code(self) -> str:
        """Get the code of the refusal, empty when there is a threshold."""
        if self.faulted:
            return "run-faulted"
        return "" if self.threshold.refusal is None else self.threshold.refusal.code

    @property
    def sentence(self) -> str:
        """Say the threshold, or why there is none."""
        of_all = f" of {self.planned}" if self.measured < self.planned else ""
        done = f"{self.measured}{of_all} points"
        if self.faulted:
            return f"no threshold: the run was ended by a fault after {done}, what they say of the film is not certain"
        refusal = self.threshold.refusal
        said = f"threshold {value_text(self.value)}" if refusal is None else refusal.message
        more = [] if self.measured == self.planned else [done]
        return "; ".join([said, *more, *self.left_out])


@dataclass(frozen=True, slots=True, eq=False)
class SweepRecord:
    """A sweep's run; `result` is None when no frame can be used, `reason` says why. `fluence` is None without a meter."""

    run: Run
    parameters: FluenceSweep
    result: SweepResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        if self.result is None:
            return (f"No results: {self.reason}",)
        result = self.result
        words = [f"{result.sentence} (at {self.parameters.voltage_v:g} V)"]
        if result.crossing.value is not None and result.crossing.ci95 is not None:
            lo, hi = result.crossing.ci95
            words.append(f"line half as wide at {result.crossing.value:.4g} uJ/cm2 (between points at {lo:.4g} and {hi:.4g})")
        if result.hysteresis is not None:
            words.append(result.hysteresis.reason)
        if self.parameters.chooses_fluence:
            words.append(f"adaptive: {result.measured} points chosen, instead of {self.parameters.points} of twice the shots")
        words.append(f"points: {result.curve.method}; fluence: {result.fluence_from}")
        if self.fluence is not None:
            common = 100 * self.fluence.scale.relative
            words.append(f"not in the intervals, as common to all fluences: {common:.2g} % (1 sigma)")
        return tuple(words)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        chosen = self.parameters.chooses_fluence
        numbers = _NOTHING if self.result is None else _numbers(self.result, planned=not chosen)
        return framed(self, {"voltage_v": self.parameters.voltage_v}, numbers)

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, light against fluence."""
        if self.result is None:
            return Results(text)
        curve = self.result.curve
        arrays: dict[str, tuple[NDArray[Any], str]] = {
            "sweep_fluence": (curve.fluence_uj_cm2, "uJ/cm2"),
            "sweep_signal": (curve.signal, "counts"),
            "sweep_error": (curve.error, "counts"),
        }
        return Results(text, arrays)

    def figure(self) -> "Figure":
        """Draw light against fluence, law, threshold and width.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.sweep_figure import sweep_figure

        if self.result is None or not len(self.result.curve.fluence_uj_cm2):
            raise ValueError(self.reason or "no point was measured")
        result = self.result
        return sweep_figure(
            curve=result.curve,
            threshold=result.threshold,
            width_uj_cm2=result.width_uj_cm2,
            fwhm_nm=result.fwhm_nm,
            crossing=result.crossing,
            sentence=result.sentence,
            faulted=result.faulted,
            title=f"{self.run.header.shown_id}, {self.parameters.voltage_v:g} V",
        )


_NOTHING: dict[str, Any] = dict.fromkeys(
    ("threshold_uj_cm2", "fwhm_crossing_uj_cm2", "refusal", "hysteresis", "method", "fluence_from", "points_measured")
)


def _numbers(result: SweepResult, *, planned: bool) -> dict[str, Any]:
    points = zip(result.curve.fluence_uj_cm2, result.curve.signal, result.curve.error, strict=True)
    return {
        "threshold_uj_cm2": result.value.as_json(),
        "fwhm_crossing_uj_cm2": result.crossing.as_json(),
        "refusal": result.code or None,
        "hysteresis": None
        if result.hysteresis is None
        else {"difference_uj_cm2": result.hysteresis.difference.as_json(), "agree": result.hysteresis.agree},
        "method": result.curve.method,
        "fluence_from": result.fluence_from,
        "points_measured": result.measured,
        "points_planned": result.planned if planned else None,
        "left_out": list(result.left_out),
        "points": [
            {"fluence_uj_cm2": float(f), "signal_counts": float(y), "standard_error_counts": float(e)} for f, y, e in points
        ],
    }


def reduce_sweep(
    run: Run,
    bench: Bench,
    *,
    ending: str | None = None,
    frames: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> SweepRecord:
    """Reduce a run file.

    Parameters
    ----------
    ending  how the run ended, "" while it goes on; None: as the file says
    frames  look at so many frames only: those that nobody writes again
    check   called now and then; what it raises ends the reduction

    Raises
    ------
    ConfigError  the sequence in the file is no fluence sweep
    """
    parameters, dark = parameters_of(run, FluenceSweep), run.dark
    fluence = fluence_record(run, bench, _chosen(run, parameters) if parameters.chooses_fluence else None)
    if dark is None:
        return SweepRecord(run, parameters, None, "the dark frames are not taken", fluence)
    rows = run.frames(0, run.count if frames is None else frames)
    counted = np.isin(rows["state"], (State.ON if parameters.voltage_v else State.OFF,))
    use = usable(rows["flags"]) & counted
    visits = parameters.visits()
    use, left_out = without_saturated(rows, use, counted, visits)
    if not use.any():
        reason = "; ".join(left_out) or "no frame is assigned to a shot, settled and unflagged"
        return SweepRecord(run, parameters, None, reason, fluence)
    asked = visit_fluence(run, bench, rows, counted, visits)
    if asked.strange:
        use &= ~np.isin(rows["cycle"], asked.strange)
        left_out = (*left_out, f"{len(asked.strange)} visits left out: the meter saw another fluence than was set")
    wavelength_nm, light = light_of(run, use, check)
    faulted = ended_by_fault(run, ending)
    try:
        result = reduced_sweep(wavelength_nm, light, rows[use], visits, asked, bench, left_out, parameters, faulted)
    except ValueError as error:
        return SweepRecord(run, parameters, None, str(error), fluence)
    return SweepRecord(run, parameters, result, "", fluence)


def _chosen(run: Run, parameters: FluenceSweep) -> dict[int, float]:
    """Fluence of each block of an adaptive sweep (uJ/cm2), as far as its frames are assigned."""
    visits, cycle, block = parameters.visits(), run.column("cycle"), run.column("block")
    known = cycle >= 0
    pairs = dict(zip(block[known].tolist(), cycle[known].tolist(), strict=True))
    return {number: visits[one].fluence_uj_cm2 for number, one in pairs.items()}


def light_of(run: Run, use: NDArray[np.bool_], check: Callable[[], None]) -> tuple[Floats, Floats]:
    """Wavelengths (nm, (pixels,)) around both bands, and dark-free spectra there (counts, (n, pixels)) of the frames in `use`.

    Raises
    ------
    ValueError  the dark frames are not taken
    """
    dark = run.dark
    if dark is None:
        raise ValueError("the dark frames are not taken")
    seen = band_slice(run.wavelength_nm, *SEEN_NM)
    light = [
        fill_hot(light_counts(raw, dark.mean[seen], run.header.nonlinearity), dark.hot[seen])
        for raw in _raw(run, use, seen, check)
    ]
    wavelength_nm = run.wavelength_nm[seen]
    return wavelength_nm, np.concatenate(light or [np.empty((0, len(wavelength_nm)))])


def _raw(run: Run, use: NDArray[np.bool_], seen: slice, check: Callable[[], None]) -> list[NDArray[np.uint16]]:
    pieces: list[NDArray[np.uint16]] = []
    for first in range(0, len(use), CHUNK_FRAMES):
        check()
        some = use[first : first + CHUNK_FRAMES]
        if some.any():
            pieces.append(run.spectra(first, first + len(some))[some, seen])
    return pieces


def without_saturated(
    rows: NDArray[np.void], use: NDArray[np.bool_], counted: NDArray[np.bool_], visits: tuple[Visit, ...]
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Leave out the points of whose frames too many are saturated: what is left of them would be the weak pulses."""
    settled = counted & ((rows["flags"] & int(Flag.SETTLING | Flag.LEAD_IN | Flag.UNASSIGNED)) == 0)
    over = settled & ((rows["flags"] & int(Flag.SATURATED)) != 0)
    all_of = np.bincount(rows["cycle"][settled], minlength=len(visits))
    voided = np.bincount(rows["cycle"][over], minlength=len(visits)) > (1 - FEWEST_LEFT) * all_of
    if not voided.any():
        return use, ()
    lost = {visits[number].point for number in np.flatnonzero(voided)}
    numbers = [number for number, visit in enumerate(visits) if visit.point in lost]
    words = f"{len(lost)} point{'s' if len(lost) > 1 else ''} left out: saturated frames (shorten the integration time)"
    return use & ~np.isin(rows["cycle"], numbers), (words,)


def reduced_sweep(
    wavelength_nm: Floats,
    light: Floats,
    rows: NDArray[np.void],
    visits: tuple[Visit, ...],
    asked: VisitFluence,
    bench: Bench,
    left_out: tuple[str, ...],
    parameters: FluenceSweep,
    faulted: bool,
) -> SweepResult:
    """Reduce the frames `rows` (n,) with their `light` (n, pixels); `rows["cycle"]` are indices into `visits`.

    Raises
    ------
    ValueError  the weakest fluences show no light to scale the spontaneous band by
    """
    point = np.array([visit.point for visit in visits])[rows["cycle"]]
    signal = band_excess(wavelength_nm, light, weakest(point.astype(np.float64))).signal
    own = rows["pulse_energy_uj"] / bench.pump.spot_area_cm2
    metered = np.isfinite(own)
    by_energy = bool(metered.mean() >= METERED)
    fluence = own if by_energy else asked.uj_cm2[rows["cycle"]]

    def curve_of(some: NDArray[np.bool_]) -> LightCurve:
        if by_energy:
            return rebinned(fluence[some & metered], signal[some & metered])
        return set_point_means(point[some], fluence[some], signal[some], asked.error)

    everything = np.ones(len(rows), np.bool_)
    curve = curve_of(everything)
    present = np.unique(point[metered] if by_energy else point)
    means = np.array([light[point == one].mean(axis=0) for one in present])
    at = np.array([np.nanmean(fluence[point == one]) for one in present], np.float64)
    order = np.argsort(at)
    at, fwhm_nm = at[order], widths(wavelength_nm, means[order])
    both = None
    if parameters.order == "both" and not faulted:
        downwards = np.array([visit.direction == "down" for visit in visits])[rows["cycle"]]
        both = hysteresis(find_threshold(curve_of(~downwards)), find_threshold(curve_of(downwards)))
    source = "the meter, every shot" if by_energy else asked.source
    return SweepResult(
        curve,
        find_threshold(curve),
        Value(None, None, "uJ/cm2") if faulted else half_width_crossing(at, fwhm_nm),
        at,
        fwhm_nm,
        both,
        source,
        len(present),
        len(present) if parameters.chooses_fluence else parameters.points,
        left_out,
        faulted,
    )
