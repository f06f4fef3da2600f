"""The command `rig analyze`: the estimators of this program on run files and on spectra that other software exported."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from drivers.errors import Reason, RecordError, RefusedError, RigError
from rig.analysis.ase_excess import band_excess, weakest
from rig.analysis.light_curve import LightCurve, as_given
from rig.analysis.narrowing import half_width_crossing, widths
from rig.analysis.statistics import Value
from rig.analysis.threshold import Threshold, find_threshold
from rig.commands import Command, alarms, error_words
from rig.measurements.catalogue import means_of
from rig.measurements.map_record import MapRecord
from rig.measurements.sweep_record import SweepRecord, SweepResult
from rig.reanalysis import Reanalysis, reanalyse
from rig.report.export import write_csv
from rig.report.summary import error_text, value_text
from rig.report.threshold_figure import threshold_figure
from rig.run_state import DONE, REFUSED
from rig.run_view import draw, print_results, title_of
from rig.runfile import open_run
from rig.small_file import write_whole
from rig.spectra_table import SpectraTable, read_spectra

HDF5 = b"\x89HDF\r\n\x1a\n"
FLUENCE_ERROR_PERCENT = 0.5
OF_TABLES = ("fluences", "unit", "any_order", "saturation", "fluence_error")  # options that a run file leaves no room for

NEXT_STEPS = {
    "too-few-points": "measure more fluences, four at least on either side of the threshold",
    "all-below": "measure up to at least 1.8 times the threshold that is expected",
    "all-above": "measure at lower fluences, four at least below the threshold",
    "threshold-uncertain": "measure more fluences around it, or average longer",
}


def analyze(options: argparse.Namespace, words: Console) -> int:
    """Do what `options.estimator` names."""
    return _ESTIMATORS[options.estimator](options, words)


def run_files(options: argparse.Namespace, words: Console) -> int:
    """Analyse run files anew; those that cannot be are told each with its reason, and the exit code says so."""
    told: list[dict[str, Any]] = []
    code = DONE
    for path in options.runs:
        try:
            found = reanalyse(open_run(path))
            _tell_run(found, words)
            if options.out is not None:
                _write(found, options.out, words)
        except RigError as error:
            screen, code = alarms(), REFUSED
            screen.print(f"[bold red]{title_of(error)}[/bold red]")
            screen.print(error_text(error, width=screen.width), markup=False)
            told.append({"file": str(path), "error": error_words(error)})
        else:
            told.append(found.as_json())
    if options.json:
        sys.stdout.write(json.dumps({"runs": told, "exit_code": code}, allow_nan=False) + "\n")
    return code


def _tell_run(found: Reanalysis, words: Console) -> None:
    header = found.run.header
    if header.simulated:
        words.print("[bold]SIMULATED[/bold] ", end="")
    words.print(f"{header.run_id}: {header.title}", markup=False)
    words.print(f"state: {found.run.state}", markup=False)
    print_results(found.record, words)
    for line in found.lines:
        words.print(line, markup=False)


def _write(found: Reanalysis, folder: Path, words: Console) -> None:
    """Write results, traces, mean spectra and figure.

    Raises
    ------
    RecordError  a file cannot be written
    """
    stem = found.run.path.stem
    path = folder / f"{stem}_analysis.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        what = f"The results cannot be written: {error.strerror or error}."
        raise RecordError(what, where=str(path), next_step="choose another folder with --out") from error
    for written in (path, *write_csv(found.record.run, means_of(found.record), folder)):
        words.print(str(written), markup=False)
    said = draw(found.record, folder / f"{stem}.png")
    if said:
        words.print(said, markup=False)


def threshold(options: argparse.Namespace, words: Console) -> int:
    """Threshold of exported spectra, or of the sweeps in a run file.

    Raises
    ------
    ConfigError   the tables cannot be read or are not what they have to be
    RefusedError  they are, but show no threshold
    RecordError   the run file cannot be read, or the figure cannot be written
    """
    return _threshold_of_run(options, words) if _is_run(options.spectra) else _threshold_of_table(options, words)


def _is_run(path: Path) -> bool:
    """Tell a run file by its first bytes; one that cannot be read, by its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5)) == HDF5 or path.suffix == ".h5"
    except OSError:
        return path.suffix == ".h5"


def _threshold_of_run(options: argparse.Namespace, words: Console) -> int:
    path: Path = options.spectra
    given = [name for name in OF_TABLES if getattr(options, name) not in (None, False)]
    if given:
        text = "a run file says these things itself"
        reasons = tuple(Reason("option-of-tables", f"--{name.replace('_', '-')}", text) for name in given)
        raise RefusedError(f"{path.name} is a run file.", reasons, where=str(path), next_step="leave these options out")
    found = reanalyse(open_run(path))
    sweeps = _sweeps(found)
    if options.figure is not None:
        said = draw(found.record, options.figure)
        if not said.startswith("figure"):
            raise RecordError(said or f"There is nothing to draw: {found.record.reason}", where=str(options.figure))
        words.print(said, markup=False)
    if all(sweep.value.value is None for _, sweep in sweeps):
        raise _no_threshold_in_run(path, sweeps)
    for voltage_v, sweep in sweeps:
        if sweep.value.value is None:
            words.print(f"{voltage_v:g} V: {sweep.sentence}", markup=False)
        else:
            _tell_sweep(voltage_v, sweep, words)
    for line in found.lines:
        words.print(line, markup=False)
    if options.json:
        said_of = [_plain_sweep(voltage_v, sweep, path) for voltage_v, sweep in sweeps]
        told = said_of[0] if isinstance(found.record, SweepRecord) else {"spectra": str(path), "sweeps": said_of}
        sys.stdout.write(json.dumps(told, allow_nan=False) + "\n")
    return DONE


def _sweeps(found: Reanalysis) -> list[tuple[float, SweepResult]]:
    """List voltage (V) and result of every sweep in a run.

    Raises
    ------
    RefusedError  it has none
    """
    record, path = found.record, found.run.path
    if isinstance(record, SweepRecord) and record.result is not None:
        return [(record.parameters.voltage_v, record.result)]
    if isinstance(record, MapRecord) and record.result is not None:
        sweeps = [(one.voltage_v, one.result) for one in record.result.sweeps if one.result is not None]
        if sweeps:
            return sweeps
    if isinstance(record, SweepRecord | MapRecord):
        reason = Reason("no-frames", path.name, record.reason or "no sweep has frames that can be used")
    else:
        reason = Reason("no-sweep", path.name, f"a run of {found.run.header.measurement} does not change the fluence")
    raise RefusedError(f"{path.name}: no threshold.", (reason,), where=str(path), next_step=f"rig analyze {path}")


def _no_threshold_in_run(path: Path, sweeps: list[tuple[float, SweepResult]]) -> RefusedError:
    reasons = tuple(Reason(sweep.code, f"{path.name}, {voltage_v:g} V", sweep.sentence) for voltage_v, sweep in sweeps)
    next_step = NEXT_STEPS.get(reasons[0].code, "look at the run: rig show, or rig report")
    return RefusedError(f"{path.name}: no threshold.", reasons, where=str(path), next_step=next_step)


def _threshold_of_table(options: argparse.Namespace, words: Console) -> int:
    """Threshold of exported spectra.

    Raises
    ------
    ConfigError   the tables cannot be read or are not what they have to be
    RefusedError  they are, but show no threshold
    RecordError   the figure cannot be written
    """
    table = read_spectra(
        options.spectra,
        options.fluences,
        unit=options.unit,
        any_order=options.any_order,
        saturation_counts=options.saturation,
    )
    curve = _curve(table, options.spectra, _fluence_error(options) / 100)
    found = find_threshold(curve)
    fwhm_nm = widths(table.wavelength_nm, table.light)
    crossing = half_width_crossing(table.fluence_uj_cm2, fwhm_nm)
    if options.figure is not None:
        figure = threshold_figure(curve, found, table.fluence_uj_cm2, fwhm_nm, crossing, options.spectra.name)
        try:
            figure.savefig(options.figure)
        except (OSError, ValueError) as error:
            raise RecordError(f"The figure cannot be written: {error}", where=str(options.figure)) from error
        words.print(f"figure: {options.figure}", markup=False)
    if found.refusal is not None:
        raise _no_threshold(found, crossing, options.spectra)
    _tell(table, found, crossing, words)
    if options.json:
        sys.stdout.write(json.dumps(_numbers(found, crossing, options.spectra, table.notes), allow_nan=False) + "\n")
    return DONE


_ESTIMATORS: dict[str, Callable[[argparse.Namespace, Console], int]] = {"runs": run_files, "threshold": threshold}


def _fluence_error(options: argparse.Namespace) -> float:
    return FLUENCE_ERROR_PERCENT if options.fluence_error is None else options.fluence_error


def _curve(table: SpectraTable, path: Path, fluence_error: float) -> LightCurve:
    try:
        excess = band_excess(table.wavelength_nm, table.light, weakest(table.fluence_uj_cm2))
    except ValueError as error:
        reason = Reason("no-light", path.name, str(error))
        raise RefusedError(f"{path.name}: no threshold.", (reason,), where=str(path)) from error
    return as_given(table.fluence_uj_cm2, excess.signal, excess.error, fluence_error)


def _no_threshold(found: Threshold, crossing: Value, path: Path) -> RefusedError:
    assert found.refusal is not None  # noqa: S101 - asked by the caller
    reasons = [Reason(found.refusal.code, path.name, found.refusal.message)]
    if crossing.value is not None:
        text = f"the line narrows to half its width at {value_text(crossing)}: no threshold, but worth a look"
        reasons.append(Reason("line-narrows", path.name, text))
    next_step = NEXT_STEPS.get(found.refusal.code, "look at the spectra: --figure draws light and width against fluence")
    return RefusedError(f"{path.name}: no threshold.", tuple(reasons), where=str(path), next_step=next_step)


def _tell(table: SpectraTable, found: Threshold, crossing: Value, words: Console) -> None:
    f = table.fluence_uj_cm2
    _tell_threshold("Threshold", found, crossing, (float(f[0]), float(f[-1])), words)
    for note in table.notes:
        words.print(f"note: {note}", markup=False)


def _tell_sweep(voltage_v: float, sweep: SweepResult, words: Console) -> None:
    f = sweep.curve.fluence_uj_cm2
    _tell_threshold(f"Threshold at {voltage_v:g} V", sweep.threshold, sweep.crossing, (float(f[0]), float(f[-1])), words)
    words.print(f"fluence: {sweep.fluence_from}", markup=False)
    for note in sweep.left_out:
        words.print(f"note: {note}", markup=False)


def _tell_threshold(title: str, found: Threshold, crossing: Value, ends: tuple[float, float], words: Console) -> None:
    shown = Table(title=f"{title} (± half of the 95 % interval)", show_header=False, title_justify="left", box=None)
    rows = {
        "threshold": value_text(found.value),
        "of it statistical": value_text(found.statistical),
        "line at half width": f"{value_text(crossing)} (second estimate; the interval is the grid of fluences)",
        "estimator": f"rate equation, {found.method}",
        "points": f"{found.points}, fitted {found.fitted}, {ends[0]:.4g} to {ends[1]:.4g} uJ/cm2",
        "not included": "errors common to all fluences: energy meter, spot area",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    words.print(shown)


def _plain_sweep(voltage_v: float, sweep: SweepResult, path: Path) -> dict[str, Any]:
    """Plain numbers of one sweep; no threshold, and nothing fitted, where it was refused."""
    refused = sweep.value.value is None
    numbers = _numbers(sweep.threshold, sweep.crossing, path, sweep.left_out)
    if refused:
        numbers |= {"threshold": asdict(sweep.value), "threshold_statistical": asdict(sweep.value), "law": None}
    return {"voltage_v": voltage_v, "refusal": sweep.code or None, **numbers}


def _numbers(found: Threshold, crossing: Value, path: Path, notes: tuple[str, ...]) -> dict[str, Any]:
    """Plain numbers, None where there is none."""
    law = found.law
    return {
        "spectra": str(path),
        "threshold": asdict(found.value),
        "threshold_statistical": asdict(found.statistical),
        "fwhm_crossing": asdict(crossing),
        "estimator": "rate-equation",
        "method": found.method,
        "law": None if law is None else {"slope_counts": law.slope, "beta": law.beta, "offset_counts": law.offset},
        "points": found.points,
        "fitted": found.fitted,
        "reduced_chi2": found.reduced_chi2,
        "notes": list(notes),
    }


COMMANDS: dict[str, Command] = {"analyze": analyze}
