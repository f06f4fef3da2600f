"""The command `rig analyze`: the estimators of a run, on spectra that other software exported."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from drivers.errors import Reason, RecordError, RefusedError
from rig.analysis.ase_excess import band_excess, weakest
from rig.analysis.light_curve import LightCurve, as_given
from rig.analysis.narrowing import half_width_crossing, widths
from rig.analysis.statistics import Value
from rig.analysis.threshold import Threshold, find_threshold
from rig.commands import Command
from rig.report.summary import value_text
from rig.report.threshold_figure import threshold_figure
from rig.run_state import DONE
from rig.spectra_table import SpectraTable, read_spectra

NEXT_STEPS = {
    "too-few-points": "measure more fluences, four at least on either side of the threshold",
    "all-below": "measure up to at least 1.8 times the threshold that is expected",
    "all-above": "measure at lower fluences, four at least below the threshold",
    "threshold-uncertain": "measure more fluences around it, or average longer",
}


def analyze(options: argparse.Namespace, words: Console) -> int:
    """Do what `options.estimator` names."""
    return _ESTIMATORS[options.estimator](options, words)


def threshold(options: argparse.Namespace, words: Console) -> int:
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
    curve = _curve(table, options.spectra, options.fluence_error / 100)
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
        sys.stdout.write(json.dumps(_plain(table, found, crossing, options.spectra), allow_nan=False) + "\n")
    return DONE


_ESTIMATORS: dict[str, Callable[[argparse.Namespace, Console], int]] = {"threshold": threshold}


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
    shown = Table(title="Threshold (± half of the 95 % interval)", show_header=False, title_justify="left", box=None)
    f = table.fluence_uj_cm2
    rows = {
        "threshold": value_text(found.value),
        "of it statistical": value_text(found.statistical),
        "line at half width": f"{value_text(crossing)} (second estimate; the interval is the grid of fluences)",
        "estimator": f"rate equation, {found.method}",
        "points": f"{found.points}, fitted {found.fitted}, {f[0]:.4g} to {f[-1]:.4g} uJ/cm2",
        "not included": "errors common to all fluences: energy meter, spot area",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    words.print(shown)
    for note in table.notes:
        words.print(f"note: {note}", markup=False)


def _plain(table: SpectraTable, found: Threshold, crossing: Value, path: Path) -> dict[str, Any]:
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
        "notes": list(table.notes),
    }


COMMANDS: dict[str, Command] = {"analyze": analyze}
