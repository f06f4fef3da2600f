"""The command `rig paper`: measures the claims of the paper in one go and writes the page that says how they came out."""

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drivers.errors import RecordError, RefusedError
from rig.commands import SIGNALS, Command, told_to_stop
from rig.commands_run import Asked, run_all
from rig.compiler import Plan
from rig.control import Refused
from rig.engine import Engine
from rig.engine_host import hosted
from rig.measurements.map_record import MapRecord
from rig.measurements.pl_record import PlRecord
from rig.measurements.response_record import ResponseRecord
from rig.measurements.switching_record import SwitchingRecord
from rig.paper.campaign import CONTROL_VARIANT, Device, Step, control_name, steps
from rig.paper.claim import Judged
from rig.paper.collected import ENDED_BY_FAULT, Collected, collect, state_of
from rig.paper.figure_2 import figure_2
from rig.paper.figure_4 import figure_4
from rig.paper.paper_page import paper_page, summary
from rig.paper.verdicts import as_json, verdicts
from rig.report.findings import Drawing
from rig.report.picture_files import write_pictures
from rig.report.summary import duration_text
from rig.run_state import CTRL_C, DONE, REFUSED, STOPPED
from rig.sequence import Sequence
from rig.session import Session
from rig.small_file import write_whole

RUNS, SAMPLE = "runs", "CsPbBr3"
NOT_BEGUN = "it was not begun: the campaign ended before"
CAPTION_2 = (
    "Figure 2. a Emission against time (orange bar: voltage on). b Mean spectra OFF and ON. c Light at 520 and 535 nm. "
    "d, e Mean spectra against pump fluence without and with the highest voltage; inset: line width, and the threshold. "
    "f Threshold against voltage, 95 % intervals."
)
CAPTION_4 = (
    "Figure 4. a Mean spectra of weakly pumped light by voltage, with the light that is left of that at 0 V (95 %). b Light "
    "under a square wave of the voltage (shaded: voltage on); inset: all edges of each kind laid over each other."
)


Planned = list[tuple[Step, Sequence, Plan]]


def paper(options: argparse.Namespace, words: Console) -> int:
    """Run what the bench can measure, then write page, figures and table; with --no-runs from the runs that are there."""
    session = Session(options.bench, simulate=options.simulate, seed=options.seed, out=options.out / RUNS)
    refused: dict[str, str] = {}
    sample, simulated = options.sample or SAMPLE, session.simulated
    if options.no_runs:
        code, found = DONE, collect(options.out / RUNS, options.sample)
    else:
        planned = _planned(session, sample, control=options.control, refused=refused)
        if not options.quiet:
            words.print(_price_table(planned, refused))
        elif refused:
            words.print("\n".join(f"{name} cannot run on this bench: {why}" for name, why in refused.items()), markup=False)
        if options.plan:
            return DONE if planned else REFUSED
        code = _measure_all(session, planned, options, refused, words)
        found = collect(options.out / RUNS, sample, simulated=simulated)
    judged = verdicts(found, refused)
    page = write_paper(judged, found, options.out)
    for line in (*found.troubles, summary(judged), str(page)):
        words.print(line, markup=False)
    if options.json:
        with suppress(OSError):  # a terminal that is gone changes nothing about the runs
            sys.stdout.write(json.dumps({"claims": as_json(judged)}, allow_nan=False) + "\n")
            sys.stdout.flush()
    return code


def _planned(session: Session, sample: str, *, control: bool, refused: dict[str, str]) -> Planned:
    """Compile the steps of every device that is there: a simulated bench changes them itself, on a real one somebody does."""
    devices: tuple[Device, ...] = ("film", "control") if session.in_process else ("control",) if control else ("film",)
    planned: Planned = []
    for step in (step for device in devices for step in steps(device)):
        sequence = step.sequence(sample if step.device == "film" else control_name(sample))
        try:
            planned.append((step, sequence, _on(session, step.device).plan(sequence)))
        except RefusedError as error:
            refused[step.measurement] = "; ".join(reason.message for reason in error.reasons) or error.what
    return planned


def _price_table(planned: Planned, refused: Mapping[str, str]) -> Table:
    """Say what would be run and what it costs."""
    table = Table(title="Planned runs", title_justify="left", box=None, pad_edge=False)
    for name in ("measurement", "device", "duration", "dose (J/cm2)", "bias (V s)", "on"):
        table.add_column(name, overflow="fold")
    for step, _, what in planned:
        price = what.price
        costs = (duration_text(price.duration_s), f"{price.dose_j_cm2:.3g}", f"{price.bias_v_s:.3g}", f"{price.on_duty:.0%}")
        table.add_row(step.measurement, step.device, *costs)
    for name, why in refused.items():
        table.add_row(name, "", Text(f"cannot run on this bench: {why}"))
    for device in dict.fromkeys(step.device for step, _, _ in planned):
        prices = [what.price for step, _, what in planned if step.device == device]
        total_s, dose, bias = (
            sum(values) for values in zip(*((p.duration_s, p.dose_j_cm2, p.bias_v_s) for p in prices), strict=True)
        )
        table.add_row("together", device, duration_text(total_s), f"{dose:.3g}", f"{bias:.3g}", "")
    return table


def _on(session: Session, device: Device) -> Session:
    """Put the control device in the film's place, on a bench that can."""
    other = copy(session)
    other.variant = CONTROL_VARIANT if session.in_process and device == "control" else None
    return other


def _measure_all(
    session: Session, planned: Planned, options: argparse.Namespace, refused: dict[str, str], words: Console
) -> int:
    """Run everything, device by device; after a run that is not done nothing more is begun."""
    if not planned:
        return REFUSED
    session.reserve(what for _, _, what in planned)
    asked, code = Asked(), DONE
    devices: list[Device] = list(dict.fromkeys(step.device for step, _, _ in planned))
    with told_to_stop(asked):
        for device in devices:
            mine = [(step, sequence, what) for step, sequence, what in planned if step.device == device]
            if code == DONE and not asked.requested:
                code = _measure(_on(session, device), mine, asked, options, refused, words)
            else:
                refused.update({step.measurement: NOT_BEGUN for step, _, _ in mine})
    return code


def _measure(
    session: Session, planned: Planned, asked: Asked, options: argparse.Namespace, refused: dict[str, str], words: Console
) -> int:
    """Run the steps of one device; as `rig run`, but that whatever was refused is told on the page."""
    engine = Engine(session, serves=False)
    told_why: list[str] = []
    engine.listen(lambda event: told_why.append(event.error.what) if isinstance(event, Refused) else None)
    asked.hand_over(engine)
    told = copy(options)
    told.json = False  # one line at the end, not one for each run
    with hosted(engine) as channel:
        if channel.trouble and not options.quiet:
            words.print(channel.trouble, markup=False)
        ended, code = run_all(engine, [(sequence, what) for _, sequence, what in planned], told, words)
    for number, (step, _, _) in enumerate(planned[len(ended) :]):
        refused[step.measurement] = told_why[-1] if told_why and number == 0 else NOT_BEGUN
    if engine.stopped and code in (DONE, STOPPED):
        return CTRL_C if engine.stopped == SIGNALS["SIGINT"] else STOPPED
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
    records = {name: record for name, record in found.records.items() if state_of(record) != ENDED_BY_FAULT}
    switching, thresholds = records.get("on_off"), records.get("threshold_map")
    a_to_c = switching if isinstance(switching, SwitchingRecord) else None
    d_to_f = thresholds if isinstance(thresholds, MapRecord) else None
    ladder, response = records.get("pl_vs_voltage"), records.get("response")
    a = ladder if isinstance(ladder, PlRecord) else None
    b = response if isinstance(response, ResponseRecord) else None
    return [
        Drawing("figure_2", CAPTION_2, lambda: figure_2(a_to_c, d_to_f, simulated=found.simulated)),
        Drawing("figure_4", CAPTION_4, lambda: figure_4(a, b, simulated=found.simulated)),
    ]


COMMANDS: dict[str, Command] = {"paper": paper}
