"""What a switching run's file says: results, the paper's claims, the figure. Works on finished, running and killed files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.correction import MeanSpectra, mean_spectra
from rig.analysis.switching import SwitchingResult, Verdict, acceptance, reduce_switching
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements import run_parameters
from rig.measurements.on_off import OnOff
from rig.measurements.reference_light import ReferenceLight, reference_light
from rig.measurements.stability import Precision, Stability, precision_of, stability_of
from rig.reduction import chunks, usable
from rig.report.summary import results_json
from rig.runfile import Flag, Results, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rig.report.figure import SwitchingPicture


@dataclass(frozen=True, slots=True, eq=False)
class SwitchingRecord:
    """A run reduced: `result` None when no frame can be used (nothing assigned, no dark frames); `reason` says why.

    `fluence` is None on a bench without an energy meter; `reference`, `precision` and `stability` are there when the sequence
    asks for reference frames or a stop rule.
    """

    run: Run
    means: MeanSpectra | None
    result: SwitchingResult | None
    reason: str
    fluence: FluenceRecord | None = None
    reference: tuple[ReferenceLight, ...] = ()
    precision: Precision | None = None
    stability: Stability | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """Get the verdicts on the paper's claims that this run can judge."""
        return [] if self.result is None else acceptance(self.result)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what reference frames and stop rule brought, a sentence each."""
        told = (*self.reference, self.precision, self.stability)
        return tuple(one.sentence for one in told if one is not None)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers, every value null without a result; what was not asked for is not there."""
        more: dict[str, Any] = {"fluence": None if self.fluence is None else self.fluence.as_json()}
        if self.reference:
            more["reference"] = [one.as_json() for one in self.reference]
        if self.precision is not None:
            more["precision"] = self.precision.as_json()
        if self.stability is not None:
            more["stability"] = self.stability.as_json()
        if self.result is None:
            return {**without_result(self.reason), **more}
        return {**results_json(self.result), "switched": self.result.switched, "reason": self.result.reason, **more}

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, mean spectra per state."""
        if self.means is None:
            return Results(text)
        arrays: dict[str, tuple[NDArray[Any], str]] = {
            "mean_off": (self.means.mean(0), "counts"),
            "mean_on": (self.means.mean(1), "counts"),
        }
        return Results(text, arrays)

    def picture(self) -> "SwitchingPicture":
        """Get what is drawn of the run, read from the file.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.figure import SwitchingPicture

        dark = self.run.dark
        if self.means is None or self.result is None or dark is None:
            raise ValueError(self.reason)
        rows = self.run.frames()
        shown = np.flatnonzero((rows["state"] >= 0) & ((rows["flags"] & int(Flag.REFERENCE)) == 0))
        return SwitchingPicture(
            wavelength_nm=self.run.wavelength_nm,
            time_s=_time_s(rows)[shown],
            spectra=_Shown(self.run, shown),
            dark=dark.mean,
            hot=dark.hot,
            trace_520=rows["band_520"][shown],
            trace_535=rows["band_535"][shown],
            state=rows["state"][shown],
            missed=(rows["flags"][shown] & int(Flag.MISSED_PULSE)) != 0,
            means=self.means,
            result=self.result,
        )

    def figure(self) -> "Figure":
        """Draw the paper's Figure 2a-c from the file.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.figure import switching_figure

        header = self.run.header
        return switching_figure(self.picture(), run_id=header.run_id, sample=header.sample, simulated=header.simulated)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """Spectra of the frames that are drawn, indexed [rows, pixels] like an array, read from the file when asked for."""

    run: Run
    rows: NDArray[np.intp]

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.uint16]:
        rows = self.rows[key[0]]
        if not len(rows):
            return self.run.spectra(0, 0)[:, key[1]]
        first = int(rows[0])
        return self.run.spectra(first, int(rows[-1]) + 1)[rows - first, key[1]]


def without_result(reason: str) -> dict[str, Any]:
    """Return the plain numbers of a run that gives none, every value null."""
    return {**results_json(None), "switched": None, "reason": reason, "fluence": None}


def reduce_switching_run(run: Run, bench: Bench) -> SwitchingRecord:
    """Reduce a run file; the spectrograph's line width and the energy meter's scale are those of the bench."""
    dark, fluence = run.dark, fluence_record(run, bench)
    if dark is None:
        return SwitchingRecord(run, None, None, "the run ended before its dark frames were taken", fluence)
    rows = run.frames()
    use, reference = usable(rows["flags"]), reference_light(rows, dark.frames)
    if not use.any():
        return SwitchingRecord(run, None, None, "no frame is assigned to a shot, settled and unflagged", fluence, reference)
    batches = ((spectra, rows["state"][part], rows["cycle"][part], use[part]) for part, spectra in chunks(run, len(rows)))
    means = mean_spectra(batches, dark.mean, run.header.nonlinearity, dark.hot)
    result = reduce_switching(
        run.wavelength_nm,
        means,
        rows["band_520"],
        rows["band_535"],
        rows["state"],
        rows["cycle"],
        use,
        psf_fwhm_nm=bench.spectrometer.psf_nm,
        energy=rows["pulse_energy_uj"],
    )
    asked = parameters_of(run)
    if asked is None:
        return SwitchingRecord(run, means, result, "", fluence, reference)
    precision = precision_of(rows, result.contrast_535, asked)
    stability = stability_of(rows, asked, None if fluence is None else fluence.mean_uj_cm2)
    return SwitchingRecord(run, means, result, "", fluence, reference, precision, stability)


def parameters_of(run: Run) -> OnOff | None:
    """Read the parameters that a run was made with; None when it is one of a notebook's own, whose rules are not known here.

    Raises
    ------
    ConfigError  they cannot be understood
    """
    return run_parameters.parameters_of(run, OnOff) if run.header.measurement == OnOff.name else None


def _time_s(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Time of each frame on the spectrometer's clock, from the first one on (s)."""
    t_us = rows["device_time_us"].astype(np.int64)
    return (t_us - t_us[0]) * 1e-6 if len(t_us) else np.empty(0)
