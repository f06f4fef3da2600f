"""The command `rig paper`: measures the claims of the paper in one go and writes the page that says how they came out."""

import argparse
import json
import sys
from contextlib import suppress
from copy import copy
from pathlib import Path

from rich.console import Console

from drivers.errors import RecordError, RefusedError
from rig.commands import SIGNALS, Command, told_to_stop
from rig.commands_run import Asked, run_all
from rig.compiler import Plan
from rig.engine import Engine
from rig.engine_host import hosted
from rig.measurements.map_record import MapRecord
from rig.measurements.pl_record import PlRecord
from rig.measurements.response_record import ResponseRecord
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.campaign import CONTROL_VARIANT, Collected, Device, collect, steps
from rig.paper.claim import Judged
from rig.paper.figure_2 import figure_2
from rig.paper.figure_4 import figure_4
from rig.paper.paper_page import paper_page, summary
from rig.paper.verdicts import as_json, verdicts
from rig.report.findings import Drawing
from rig.report.picture_files import write_pictures
from rig.run_state import CTRL_C, DONE, STOPPED
from rig.sequence import Sequence
from rig.session import Session
from rig.small_file import write_whole

RUNS = "runs"
CAPTION_2 = (
    "Figure 2. a Emission against time (orange bar: voltage on). b Mean spectra OFF and ON. c Light at 520 and 535 nm. "
    "d, e Mean spectra against pump fluence without and with the highest voltage; inset: line width, and the threshold. "
    "f Threshold against voltage, 95 % intervals."
)
CAPTION_4 = (
    "Figure 4. a Mean spectra of weakly pumped light by voltage, with the light that is left of that at 0 V (95 %). b Light "
    "under a square wave of the voltage (shaded: voltage on); inset: all edges of each kind laid over each other."
)


def paper(options: argparse.Namespace, words: Console) -> int:
    """Run what the bench can measure, then write page, figures and table; with --no-runs from the runs that are there."""
    session = Session(options.bench, simulate=options.simulate, seed=options.seed, out=options.out / RUNS)
    refused: dict[str, str] = {}
    code = DONE if options.no_runs else _measure_all(session, options, refused, words)
    found = collect(options.out / RUNS)
    judged = verdicts(found, session.bench, refused)
    page = write_paper(judged, found, options.out)
    words.print(summary(judged), markup=False)
    words.print(str(page), markup=False)
    if options.json:
        with suppress(OSError):  # a terminal that is gone changes nothing about the runs
            sys.stdout.write(json.dumps({"claims": as_json(judged)}, allow_nan=False) + "\n")
            sys.stdout.flush()
    return code


def _measure_all(session: Session, options: argparse.Namespace, refused: dict[str, str], words: Console) -> int:
    """Run the steps of every device that is there: a simulated bench changes them by itself, on a real one somebody does."""
    devices: tuple[Device, ...] = ("film", "control") if session.in_process else ("control",) if options.control else ("film",)
    asked = Asked()
    with told_to_stop(asked):
        for device in devices:
            if asked.requested:
                break
            on = session if device == "film" else _with_control_device(session)
            code = _measure(on, device, asked, options, refused, words)
            if asked.requested:
                return CTRL_C if asked.why == SIGNALS["SIGINT"] else STOPPED
            if code != DONE:
                return code
    return DONE


def _with_control_device(session: Session) -> Session:
    other = copy(session)
    other.variant = CONTROL_VARIANT if session.in_process else None
    return other


def _measure(
    session: Session,
    device: Device,
    asked: Asked,
    options: argparse.Namespace,
    refused: dict[str, str],
    words: Console,
) -> int:
    sample = options.sample if device == "film" else f"{options.sample}, control"
    planned: list[tuple[Sequence, Plan]] = []
    for step in steps(device):
        sequence = step.sequence(sample)
        try:
            planned.append((sequence, session.plan(sequence)))
        except RefusedError as error:
            refused[step.measurement] = "; ".join(reason.message for reason in error.reasons) or error.what
            words.print(f"{step.measurement} cannot run on this bench: {refused[step.measurement]}", markup=False)
    if not planned:
        return DONE
    session.reserve(what for _, what in planned)
    engine = Engine(session, serves=False)
    asked.hand_over(engine)
    told = copy(options)
    told.json = False  # one line at the end, not one for each run
    with hosted(engine):
        _, code = run_all(engine, planned, told, words)
    return code


def write_paper(judged: list[Judged], found: Collected, folder: Path) -> Path:
    """Write paper.html and the figures into `folder`; return the page.

    Raises
    ------
    RecordError  a file cannot be written
    """
    page = folder / "paper.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures, undrawn, _ = write_pictures(_drawings(found), folder, "paper")
        write_whole(page, paper_page(judged, found, pictures, undrawn))
    except OSError as error:
        raise RecordError(
            f"The page cannot be written: {error.strerror or error}.",
            where=str(folder),
            hardware_state="everything is off, the runs are saved",
            next_step="choose another folder with --out, then rig paper --no-runs",
        ) from error
    return page


def _drawings(found: Collected) -> list[Drawing]:
    switching, thresholds = found.records.get("on_off"), found.records.get("threshold_map")
    a_to_c = switching if isinstance(switching, SwitchingRecord) else None
    d_to_f = thresholds if isinstance(thresholds, MapRecord) else None
    ladder, response = found.records.get("pl_vs_voltage"), found.records.get("response")
    a = ladder if isinstance(ladder, PlRecord) else None
    b = response if isinstance(response, ResponseRecord) else None
    return [
        Drawing("figure_2", CAPTION_2, lambda: figure_2(a_to_c, d_to_f, simulated=found.simulated)),
        Drawing("figure_4", CAPTION_4, lambda: figure_4(a, b, simulated=found.simulated)),
    ]


COMMANDS: dict[str, Command] = {"paper": paper}
