"""The switching run in numbers: line and band at ON and OFF, contrast, antiphase, stability, and whether it switched at all.

When is there an ASE line at ON? All three must hold:

1. the mean ON spectrum has a maximum of its own in 528-544 nm, significant and at least 2 pixels wide (`find_line`);
2. its full width at half maximum, counted from zero light, is below 10 nm. The 25 nm band cannot pass, however it shifts: half
   of its maximum is only reached far outside. This is the paper's own sign, gain narrowing (claim C26);
3. what ON has in 531-541 nm beyond the OFF band scaled in 500-520 nm (rule X2) exceeds its standard error, taken from the
   scatter of 20 part spectra, by Student's t for a one-sided chance of 5e-7. Noise and remains of the dark cannot pass.

The run switched when ON has the line, OFF has none by rules 1 and 2, and the 535 nm contrast is above 1 with its interval.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bands import band_slice
from rig.analysis.correction import Mask, MeanSpectra
from rig.analysis.lineshape import ABSENT, Line, LineScatter, LineValues, find_line, line_scatter
from rig.analysis.statistics import Value, correlation_of, fraction_of, ratio_of_means, student_t

Floats = NDArray[np.float64]

OFF_WINDOW_NM = (490.0, 560.0)
LINE_WINDOW_NM = (528.0, 544.0)
MAX_LINE_FWHM_NM = 10.0
EXCESS_NM = (536.0, 5.0)  # centre, half width; rule X2
SCALE_NM = (510.0, 10.0)
FALSE_LINE_CHANCE = 5e-7


@dataclass(frozen=True, slots=True)
class SwitchingResult:
    """One switching run (`cycle` None, `per_cycle` filled) or one cycle of it. Values are None where they do not exist.

    off_peak_nm             centre of the OFF band: parabola of ln I above half maximum (C17)
    off_fwhm_nm, on_*       half-maximum widths as recorded and PSF-deconvolved, peak of the ON line (X4)
    contrast_535, ratio_520 ON / OFF light at 535 +- 1 and 520 +- 1 nm
    correlation_520_535     Pearson, frame by frame
    off_drift               OFF light at 520 nm, last cycle (or this one) / first - 1, at equal pulse energy where that is known
    agreement               fraction of used frames whose state, judged at 535 nm, is that of the voltage (C16)
    """

    cycle: int | None
    off_peak_nm: Value
    off_fwhm_nm: Value
    on_peak_nm: Value
    on_fwhm_nm: Value
    on_fwhm_deconvolved_nm: Value
    contrast_535: Value
    ratio_520: Value
    correlation_520_535: Value
    off_drift: Value
    agreement: Value
    switched: bool
    reason: str
    psf_fwhm_nm: float
    per_cycle: tuple["SwitchingResult", ...] = ()
    both_states: bool = True  # have frames that count; else nothing was compared


@dataclass(frozen=True, slots=True)
class _Traces:
    """Frames in time order, (n,) each; `off_level` is the 520 nm trace at equal energy."""

    on: Mask
    cycle: NDArray[np.int64]
    at_520: Floats
    at_535: Floats
    off_level: Floats

    def where(self, m: Mask) -> "_Traces":
        return _Traces(self.on[m], self.cycle[m], self.at_520[m], self.at_535[m], self.off_level[m])

    def threshold_535(self) -> float:
        """Halfway between the medians of both states (counts), NaN when one state has no frame."""
        levels = [float(np.median(self.at_535[side])) if side.any() else math.nan for side in (~self.on, self.on)]
        return 0.5 * sum(levels)


class _Spectra:
    """Lines in the mean spectra; the scatter of the parts serves the whole run and every cycle."""

    def __init__(self, wavelength_nm: Floats, means: MeanSpectra, psf_fwhm_nm: float) -> None:
        self.wavelength_nm, self.means, self.psf_fwhm_nm = wavelength_nm, means, psf_fwhm_nm
        self.excess_pixels = band_slice(wavelength_nm, *EXCESS_NM)
        self.scale_pixels = band_slice(wavelength_nm, *SCALE_NM)
        windows = (OFF_WINDOW_NM, LINE_WINDOW_NM)
        self.scatter: tuple[LineScatter, ...] = tuple(
            line_scatter(wavelength_nm, part, window, psf_fwhm_nm) for part, window in zip(means.parts, windows, strict=True)
        )
        frames = means.frames.sum(axis=0)
        self.frames_per_part = [n / max(1, len(part)) for n, part in zip(frames, means.parts, strict=True)]
        count = min(len(part) for part in means.parts)
        off, on = (part[:count] for part in means.parts)
        self.freedom = count - 1
        self.excess_deviation = math.nan
        if count > 1:
            (over, scale_on), (under, scale_off) = self._sums(on), self._sums(off)
            rho, lever = _ratio(scale_on.mean(), scale_off.mean()), _ratio(under.mean(), scale_off.mean())
            # each part's influence on the excess, that through rho included: with a dark OFF band rho is noise and this large
            influence = over - rho * under - lever * (scale_on - rho * scale_off)
            self.excess_deviation = float(np.std(influence, ddof=1))

    def _sums(self, light: Floats) -> tuple[Floats, Floats]:
        return light[..., self.excess_pixels].sum(axis=-1), light[..., self.scale_pixels].sum(axis=-1)

    def judge(self, off: Floats, on: Floats, frames: NDArray[np.int64]) -> tuple[LineValues, LineValues, str]:
        """OFF band and ON line of mean spectra (pixels,) of `frames` (OFF, ON) frames; why there is no line, or ""."""
        if not frames.all():
            return ABSENT, ABSENT, f"no used frame at {'OFF' if frames[0] == 0 else 'ON'}"
        weights = frames / np.array(self.frames_per_part)
        band = self.scatter[0].values(self._find(off, OFF_WINDOW_NM), float(weights[0]))
        line = self._find(on, LINE_WINDOW_NM)
        reason = self._refusal(line) or self._excess_refusal(off, on, float(weights.min()))
        values = ABSENT if reason else self.scatter[1].values(line, float(weights[1]))
        if reason:
            reason = f"no ASE line at ON: {reason}"
        elif not self._refusal(self._find(off, LINE_WINDOW_NM)):
            reason = "the narrow line is there without voltage as well"
        return band, values, reason

    def _find(self, spectrum: Floats, window_nm: tuple[float, float]) -> Line:
        return find_line(self.wavelength_nm, spectrum, window_nm, self.psf_fwhm_nm)

    @staticmethod
    def _refusal(line: Line) -> str:
        if line.fwhm_nm is None:
            return line.reason
        narrow = line.fwhm_nm < MAX_LINE_FWHM_NM
        return "" if narrow else f"the maximum at {line.peak_nm:.1f} nm is {line.fwhm_nm:.1f} nm wide"

    def _excess_refusal(self, off: Floats, on: Floats, weight: float) -> str:
        (over, scale_on), (under, scale_off) = self._sums(on), self._sums(off)
        excess = float(over - _ratio(scale_on, scale_off) * under)
        limit = student_t(1 - FALSE_LINE_CHANCE, self.freedom) * self.excess_deviation / math.sqrt(weight)
        return "" if excess > limit else "531-541 nm is not significantly above the scaled OFF band"


def _ratio(numerator: np.float64 | Floats, denominator: np.float64 | Floats) -> float:
    """Quotient; 0 when there is no band to scale."""
    return float(numerator / denominator) if denominator > 0 else 0.0


def reduce_switching(
    wavelength_nm: Floats,
    means: MeanSpectra,
    trace_520: Floats,
    trace_535: Floats,
    state: NDArray[np.integer] | Mask,
    cycle: NDArray[np.integer],
    use: Mask,
    *,
    psf_fwhm_nm: float,
    energy: Floats | None = None,
) -> SwitchingResult:
    """Reduce one run.

    Parameters
    ----------
    wavelength_nm         (pixels,), ascending
    means                 `mean_spectra` of the same used frames
    trace_520, trace_535  light per frame (counts, (n,)), `band_trace` at 520 +- 1 and 535 +- 1 nm
    state, cycle, use     (n,): 0 OFF / 1 ON; cycle number; True for frames that count (assigned, settled, no fault flagged)
    psf_fwhm_nm           line width of the spectrograph itself
    energy                pulse energy per frame (any unit, (n,)), NaN where it was not measured; None without a meter
    """
    off_level = trace_520 if energy is None else _at_equal_energy(trace_520, energy, state, cycle, use)
    traces = _Traces(np.asarray(state) == 1, np.asarray(cycle, np.int64), trace_520, trace_535, off_level).where(use)
    spectra = _Spectra(wavelength_nm, means, psf_fwhm_nm)
    cycles = [traces.where(traces.cycle == c) for c in means.cycles]
    bright = [t for t in cycles if not t.on.all()] or [traces]
    threshold = traces.threshold_535()
    per_cycle = tuple(
        _observe(int(c), spectra, light, frames, t, (bright[0], t), threshold)
        for c, light, frames, t in zip(means.cycles, means.per_cycle, means.frames, cycles, strict=True)
    )
    light, frames = np.stack([means.mean(0), means.mean(1)]), means.frames.sum(axis=0)
    return _observe(None, spectra, light, frames, traces, (bright[0], bright[-1]), threshold, per_cycle)


def _observe(
    cycle: int | None,
    spectra: _Spectra,
    light: Floats,
    frames: NDArray[np.int64],
    traces: _Traces,
    first_last: tuple[_Traces, _Traces],
    threshold_535: float,
    per_cycle: tuple[SwitchingResult, ...] = (),
) -> SwitchingResult:
    """All values of the run or one cycle: mean light (2, pixels) of `frames` (2,) frames, traces of the same frames."""
    band, line, reason = spectra.judge(light[0], light[1], frames)
    first, last = first_last
    contrast = ratio_of_means(traces.at_535[traces.on], traces.at_535[~traces.on])
    if not reason and not (contrast.ci95 and contrast.ci95[0] > 1.0):
        reason = "the 535 nm light does not rise with the voltage"
    drift = ratio_of_means(last.off_level[~last.on], first.off_level[~first.on])
    if first is last:
        drift = Value(None, None, "")
    elif drift.value is not None:
        ci95 = drift.ci95 and (drift.ci95[0] - 1.0, drift.ci95[1] - 1.0)
        drift = Value(drift.value - 1.0, ci95, "")
    agree = (traces.at_535 > threshold_535) == traces.on
    return SwitchingResult(
        cycle=cycle,
        off_peak_nm=band.centre_nm,
        off_fwhm_nm=band.fwhm_nm,
        on_peak_nm=line.peak_nm,
        on_fwhm_nm=line.fwhm_nm,
        on_fwhm_deconvolved_nm=line.fwhm_deconvolved_nm,
        contrast_535=contrast,
        ratio_520=ratio_of_means(traces.at_520[traces.on], traces.at_520[~traces.on]),
        correlation_520_535=correlation_of(traces.at_520, traces.at_535) if frames.all() else Value(None, None, ""),
        off_drift=drift,
        agreement=fraction_of(int(agree.sum()), len(agree) if math.isfinite(threshold_535) else 0),
        switched=not reason,
        reason=reason or "narrow line at ON, broad band at OFF",
        psf_fwhm_nm=spectra.psf_fwhm_nm,
        per_cycle=per_cycle,
        both_states=bool(frames.all()),
    )


def _at_equal_energy(
    trace: Floats, energy: Floats, state: NDArray[np.integer] | Mask, cycle: NDArray[np.integer], use: Mask
) -> Floats:
    """Trace moved to the run's mean pulse energy, along the slope that the OFF shots inside single stretches show.

    Within a stretch, because from stretch to stretch a degrading film and a drifting laser look alike. A meter too slow to
    follow shots leaves no slope: then light is taken as proportional to energy. Frames without energy stay as they are.
    """
    known = np.isfinite(energy)
    off = use & known & (np.asarray(state) == 0)
    if not off.any():
        return trace
    mean = float(energy[off].mean())
    products = np.zeros(2)
    for c in np.unique(cycle[off]):
        m = off & (cycle == c)
        de = energy[m] - energy[m].mean()
        products += de @ de, de @ trace[m]
    slope = products[1] / products[0] if products[0] > 1e-12 * mean**2 else float(trace[off].mean()) / mean
    return np.where(known, trace - slope * (energy - mean), trace)


# --- the paper's claims ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim against one value.

    `passed` is None when the run is too short to say (the rule names the least length), or ended before both states were seen.
    """

    claim: str
    quantity: str
    paper: str
    value: float | None
    ci95: tuple[float, float] | None
    unit: str
    rule: str
    passed: bool | None

    @property
    def word(self) -> str:
        """Say the verdict."""
        if self.passed is None:
            return "not measured" if self.value is None else "too few cycles"
        return "pass" if self.passed else "FAIL"


def acceptance(result: SwitchingResult) -> list[Verdict]:
    """Judge a run by claims C06, C08 and C16 to C22; C22 has two rules, hence two verdicts.

    An absent value fails, unless one of the states has no frame that counts: then nothing is judged. Source: Qin et al., Nano
    Lett. 2021, 21, 7831, text and Figure 2; tolerances are ours, contrast and suppression have no number in the paper.
    """
    cycles = len(result.per_cycle)
    contrasts = [one.contrast_535.value for one in result.per_cycle if one.switched]
    spread = Value(None, None, "")  # a film that does not switch repeats nothing
    if cycles and len(contrasts) == cycles:
        levels = np.array(contrasts, np.float64)
        spread = Value(float(np.abs(levels / levels.mean() - 1.0).max()), None, "")
    resolved = result.psf_fwhm_nm <= 2.0
    table = (
        # claim, quantity, paper, value, rule, what passes, cycles needed
        (
            "C06",
            "cycle spread of contrast",
            "repeatable",
            spread,
            "every cycle switches, within 10 % of the mean",
            lambda v: v <= 0.10,
            5,
        ),
        (
            "C08",
            "OFF band drift",
            "no degradation",
            result.off_drift,
            "within 3 % after 6 cycles or more",
            lambda v: abs(v) <= 0.03,
            6,
        ),
        ("C16", "state agreement", "follows V", result.agreement, "> 0.99 of the frames", lambda v: v > 0.99, 1),
        ("C17", "OFF band centre", "520 nm", result.off_peak_nm, "520 ± 1.5 nm", lambda v: 518.5 <= v <= 521.5, 1),
        ("C18", "OFF width", "~25 nm", result.off_fwhm_nm, "25 ± 2 nm", lambda v: 23.0 <= v <= 27.0, 1),
        ("C19", "ON peak", "535 nm", result.on_peak_nm, "535 ± 1 nm", lambda v: 534.0 <= v <= 536.0, 1),
        ("C20", "ON width", "< 4 nm", result.on_fwhm_nm, "< 4 nm raw, PSF <= 2 nm", lambda v: v < 4.0 and resolved, 1),
        ("C21", "520 nm ON/OFF", "decreases", result.ratio_520, "< 0.5", lambda v: v < 0.5, 1),
        ("C22", "535 nm ON/OFF", "increases", result.contrast_535, "> 5", lambda v: v > 5.0, 1),
        ("C22", "520/535 correlation", "antiphase", result.correlation_520_535, "< -0.95", lambda v: v < -0.95, 1),
    )
    judged = [_judge(value.value, passes, result.both_states and cycles >= least) for *_, value, _, passes, least in table]
    return [
        Verdict(claim, quantity, paper, value.value, value.ci95, value.unit, rule, passed)
        for (claim, quantity, paper, value, rule, _, _), passed in zip(table, judged, strict=True)
    ]


def _judge(value: float | None, passes: Callable[[float], bool], enough: bool) -> bool | None:
    if not enough:
        return None
    return value is not None and passes(value)
