"""The command that calibrates: `rig calibrate fluence`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from drivers.errors import ConfigError, Reason, RefusedError
from rig.commands import SIGNALS, Command, told_to_stop
from rig.fluence_calibration import FluenceCalibration, fluence_at, keep_calibration, read_calibration, write_calibration
from rig.report.calibration_figure import calibration_figure
from rig.run_state import CTRL_C, DONE, STOPPED, StopRequest
from rig.session import Session

FILE = "fluence_calibration.toml"
_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}


def calibrate(options: argparse.Namespace, words: Console) -> int:
    """Measure, fit, store beside the bench; nothing is stored when it was stopped or the fit is none."""
    session = Session(options.bench, simulate=options.simulate, seed=options.seed)
    path: Path = options.out or _place(session)
    if not path.parent.is_dir():
        reason = Reason("folder-missing", "--out", f"there is no folder {path.parent}")
        raise RefusedError("The calibration could not be stored.", (reason,), where=str(path), next_step="choose another place")
    before = _before(path, session.simulated)
    stop = StopRequest()
    with (
        told_to_stop(stop),
        Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=words) as bar,
    ):
        task = bar.add_task("SIMULATED angles" if session.simulated else "angles", total=options.points)
        calibration = session.calibrate_fluence(
            pulses=options.pulses,
            points=options.points,
            stop=stop,
            observe=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if calibration is None:
        words.print(f"[bold]Stopped[/bold] ({stop.why}): everything is off, nothing is stored.")
        return CTRL_C if stop.why == SIGNALS["SIGINT"] else STOPPED
    kept = None if before is None else keep_calibration(path, before)
    write_calibration(path, calibration)
    figure = path.with_suffix(".png")
    try:
        calibration_figure(calibration).savefig(figure, dpi=150)
        drawn = f"figure: {figure}"
    except OSError as error:
        drawn = f"The figure could not be written to {figure}: {error}"
    _tell(session, calibration, words)
    dark = options.points - len(calibration.points)
    if dark:
        words.print(f"left out:        {dark} of {options.points} angles, where the beam is nearly dark", markup=False)
    words.print(drawn, markup=False)
    words.print(f"file: {path}{'' if kept is None else f' (the one before: {kept})'}", markup=False)
    if session.bench.attenuator is not None and session.bench.attenuator.calibration is None:
        place = os.path.relpath(path, session.bench.path.parent if session.bench.path else Path())
        words.print(f"to use it, put into [attenuator] of the bench file: calibration = {json.dumps(place)}", markup=False)
    if options.json:
        sys.stdout.write(json.dumps(as_json(session, calibration, path), allow_nan=False) + "\n")
    return DONE


def _before(path: Path, simulated: bool) -> FluenceCalibration | None:
    """Read the calibration that stands at `path`, None if there is none; a simulated one never takes a measured one's place."""
    if not path.exists():
        return None
    try:
        before = read_calibration(path)
    except ConfigError:
        reason = Reason("not-a-calibration", "--out", f"{path} is something else, and would be lost")
    else:
        if before.simulated or not simulated:
            return before
        reason = Reason(
            "measured-before", "--out", f"{path} was measured on {before.calibrated_at}, this one would be simulated"
        )
    raise RefusedError(
        "The calibration could not be stored.", (reason,), where=str(path), next_step="choose another place with --out"
    )


def as_json(session: Session, calibration: FluenceCalibration, path: Path) -> dict[str, Any]:
    """Return what --json prints."""
    plain = calibration.model_dump(mode="json", by_alias=True, exclude={"points"})
    return {
        "file": str(path),
        "figure": str(path.with_suffix(".png")),
        **plain,
        "fluence_open_uj_cm2": _open(session, calibration),
        "points": [point.model_dump(mode="json") for point in calibration.points],
    }


def _open(session: Session, calibration: FluenceCalibration) -> dict[str, float]:
    scale = session.bench.energy_scale()
    if scale is None:
        return {}
    full = fluence_at(calibration, scale, calibration.zero_deg)
    return {"value": full.value, "statistical": full.statistical, "systematic": full.systematic}


def _place(session: Session) -> Path:
    """Beside the bench file, under the name that it says."""
    plate, path = session.bench.attenuator, session.bench.path
    name = FILE if plate is None or plate.calibration is None else plate.calibration
    return (Path() if path is None else path.parent) / name


def _tell(session: Session, calibration: FluenceCalibration, words: Console) -> None:
    if calibration.simulated:
        words.print("[bold]SIMULATED[/bold] calibration: no real instrument took part")
    table = Table(title="Energies at the meter", **_PLAIN)
    for name in ("angle (deg)", "energy (uJ)", "standard error (uJ)", "residual (uJ)", "pulses"):
        table.add_column(name, justify="right")
    for point in sorted(calibration.points, key=lambda one: one.angle_deg):
        table.add_row(
            f"{point.angle_deg:.3f}",
            f"{point.energy_uj:.4g}",
            f"{point.standard_error_uj:.2g}",
            f"{point.residual_uj:+.2g}",
            str(point.pulses),
        )
    words.print(table)
    spread = [calibration.covariance[i][i] ** 0.5 for i in range(3)]
    words.print(f"greatest energy: {calibration.energy_open_uj:.5g} ± {spread[0]:.2g} uJ at the meter", markup=False)
    words.print(f"reached at:      {calibration.zero_deg:.3f} ± {spread[1]:.2g} deg", markup=False)
    words.print(f"extinction:      {calibration.extinction:.3g} ± {spread[2]:.2g}", markup=False)
    words.print(
        f"fit:             chi2 {calibration.chi2:.3g} at {calibration.degrees_of_freedom} degrees of freedom "
        f"(probability {calibration.probability:.2g})",
        markup=False,
    )
    full = _open(session, calibration)
    if full:
        words.print(
            f"fluence, open:   {full['value']:.4g} ± {full['statistical']:.2g} (statistical) ± {full['systematic']:.2g} "
            "(systematic) uJ/cm2 at the film",
            markup=False,
        )


COMMANDS: dict[str, Command] = {"calibrate": calibrate}
