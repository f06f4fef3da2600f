"""The command `rig report`: one page and the figures of a run, from its file alone."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from drivers.errors import RecordError, RigError
from rig.commands import Command
from rig.measurements.catalogue import record_of
from rig.measurements.control import Control
from rig.measurements.control_findings import control_findings
from rig.measurements.fluence_sweep import FluenceSweep
from rig.measurements.iv import Iv
from rig.measurements.iv_findings import iv_findings
from rig.measurements.live_view import LiveView
from rig.measurements.map_findings import map_findings
from rig.measurements.on_off import OnOff
from rig.measurements.pl_findings import pl_findings
from rig.measurements.pl_vs_voltage import PlVsVoltage
from rig.measurements.response import Response
from rig.measurements.response_findings import response_findings
from rig.measurements.sweep_findings import sweep_findings
from rig.measurements.switching_findings import switching_findings
from rig.measurements.threshold_map import ThresholdMap
from rig.report.course_figure import CAPTION, course_figure
from rig.report.findings import Drawing, Findings
from rig.report.page import report_page
from rig.report.picture_files import write_pictures
from rig.report.run_facts import RunFacts, read_facts
from rig.run_state import DONE
from rig.runfile import Run, open_run
from rig.small_file import write_whole

TRIES = 3  # a running file grows between two looks at it


def report(options: argparse.Namespace, words: Console) -> int:
    """Write the report of a run that is running, finished or was killed; say where it is."""
    run = open_run(options.run)
    page, others = write_report(run, options.out or options.run.parent)
    if run.header.simulated:
        words.print("[bold]SIMULATED[/bold] run: the report says so")
    for path in (page, *others):
        words.print(str(path), markup=False)
    return DONE


def write_report(run: Run, folder: Path) -> tuple[Path, list[Path]]:
    """Write RUN_report.html, and each figure as PNG and SVG, into `folder`, which is made; return the page and the figures.

    Raises
    ------
    RecordError  the run cannot be read, or a file cannot be written
    """
    facts, findings = read_facts(run), _findings(run)
    drawings = [*findings.drawings, *_course(facts)]
    stem = run.path.stem
    page = folder / f"{stem}_report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures, undrawn, paths = write_pictures(drawings, folder, stem)
        write_whole(page, report_page(facts, findings, pictures, undrawn))
    except OSError as error:
        raise RecordError(
            f"The report cannot be written: {error.strerror or error}.",
            where=str(folder),
            hardware_state="not touched by this command",
            next_step="choose another folder with --out",
        ) from error
    return page, paths


def _course(facts: RunFacts) -> list[Drawing]:
    return [Drawing("course", CAPTION, lambda: course_figure(facts))] if len(facts.rows) else []


FINDINGS: dict[str, Callable[[Any], Findings]] = {  # what becomes of the record that the catalogue makes
    OnOff.name: switching_findings,
    LiveView.name: switching_findings,
    FluenceSweep.name: sweep_findings,
    ThresholdMap.name: map_findings,
    Iv.name: iv_findings,
    Response.name: response_findings,
    PlVsVoltage.name: pl_findings,
    Control.name: control_findings,
}


def _findings(run: Run) -> Findings:
    """Reduce the run; one that cannot be reduced has a report as well, which says why.

    Raises
    ------
    RecordError  the file cannot be read any more
    """
    say = FINDINGS.get(run.header.measurement, switching_findings)  # one of a notebook's own has states as well
    why = ""
    for _ in range(TRIES):
        try:
            return say(record_of(run.path))
        except RecordError:
            raise
        except RigError as error:
            return Findings(f"No results: {error.what}")
        except (IndexError, ValueError) as error:  # frames came between two looks; a finished file never changes
            why = str(error)
            if not run.writer_lives:
                break
    return Findings(f"No results: the frames in the file do not fit together ({why}).")


COMMANDS: dict[str, Command] = {"report": report}
