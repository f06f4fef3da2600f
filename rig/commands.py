"""What the commands of the command line do: everything a person reads on the terminal is said here."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from drivers.errors import RefusedError, RigError, UnsafeStateError, WrongIdentity
from rig.report.summary import ledger_table, outcome_text, results_table
from rig.runner import FinishReason, StopRequest
from rig.runner import Progress as RunProgress
from rig.sequence import Sequence
from rig.session import RunResult, Session

DONE, REFUSED, STOPPED, FAULT, UNKNOWN, CTRL_C = 0, 2, 3, 4, 5, 130


def dispatch(options: argparse.Namespace) -> int:
    """Do one command; return its exit code."""
    words = Console(stderr=bool(getattr(options, "json", False)), highlight=False, soft_wrap=True)
    commands: dict[str, Callable[[argparse.Namespace, Console], int]] = {
        "run": run,
        "check": check,
        "plan": plan,
        "show": show,
        "export": export,
        "new-bench": new_bench,
    }
    try:
        return commands[options.command](options, words)
    except RigError as error:
        return _tell(error, options, words)


def run(options: argparse.Namespace, words: Console) -> int:
    """Run sequences in order; check them all before the first one moves anything."""
    stop = StopRequest()
    with _signals(stop, words):
        session = Session(options.bench, simulate=options.simulate, seed=options.seed, device=options.device, out=options.out)
        sequences = [session.sequence(path) for path in options.sequences]
        for sequence in sequences:
            session.plan(sequence)
        results: list[RunResult] = []
        code = DONE
        for sequence in sequences:
            if stop.requested:
                break
            result = _run_one(session, sequence, stop, words, quiet=options.quiet)
            results.append(result)
            code = _exit_code(result, stop)
            if not options.quiet:
                _report(result, words)
            if options.json:
                sys.stdout.write(json.dumps(result.as_json(), allow_nan=False) + "\n")
            if code != DONE:
                break
    if len(sequences) > 1 and not options.quiet:
        words.print(_runs_table(sequences, results))
    return CTRL_C if stop.why == "Ctrl-C" else code


def _run_one(session: Session, sequence: Sequence, stop: StopRequest, words: Console, *, quiet: bool) -> RunResult:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shots"),
        TimeRemainingColumn(),
    )
    name = f"{'SIMULATED ' if session.simulated else ''}{sequence.title or sequence.measurement}"
    with Progress(*columns, console=words, disable=quiet, transient=False) as bar:
        task = bar.add_task(name, total=None)

        def observe(progress: RunProgress) -> None:
            bar.update(task, completed=progress.shots_done, total=progress.shots_planned)

        result = session.run(sequence, observe=observe, stop=stop)
        bar.update(task, completed=result.outcome.ledger.assigned + result.outcome.ledger.unassigned)
    return result


def _report(result: RunResult, words: Console) -> None:
    outcome = result.outcome
    if result.simulated:
        words.print("[bold]SIMULATED[/bold] run: no real instrument took part")
    if outcome.fault is not None:
        words.print("[bold red]FAULT[/bold red]")
        words.print(_fault_text(outcome.fault), markup=False)
    elif outcome.reason is FinishReason.STOPPED:
        words.print("Stopped by the user.")
    if not outcome.safe.safe:
        words.print("[bold red]THE STATE OF THE HARDWARE IS NOT CONFIRMED[/bold red]")
    words.print(f"hardware: {outcome.safe}", markup=False)
    words.print(f"mode: {result.plan.mode} ({result.plan.why})", markup=False)
    words.print(ledger_table(_flat(outcome.ledger.as_dict())))
    if result.record is not None and result.record.result is not None:
        words.print(results_table(result.record.verdicts))
        words.print(outcome_text(result.record.result))
    else:
        words.print(f"No results: {result.note or (result.record.reason if result.record else '')}")
    figure = result.path.with_suffix(".png")
    try:
        result.figure.savefig(figure, dpi=150)
        words.print(f"figure: {figure}")
    except ValueError:
        pass
    except OSError as error:
        words.print(f"The figure could not be written: {error}. Draw it later with: rig show {result.path}")
    words.print(f"file:   {result.path}")


def check(options: argparse.Namespace, words: Console) -> int:
    """Say what a sequence would do and cost."""
    session = Session(options.bench, simulate=options.simulate)
    sequence = session.sequence(options.sequence)
    what = session.plan(sequence)
    price = what.price
    table = Table(title=f"{sequence.title or sequence.measurement}: can run", show_header=False, title_justify="left")
    rows = {
        "bench": f"{session.bench.path or 'default bench'}{' (SIMULATED)' if session.simulated else ''}",
        "mode": f"{what.mode}: {what.why}",
        "blocks": str(len(what.blocks)),
        "shots of data": f"{what.planned_shots}",
        "laser shots": f"{price.shots} (lead-in and closing shots included)",
        "duration": f"{price.duration_s:.1f} s",
        "file": f"{price.file_bytes / 1e6:.0f} MB (twice that while it is finished)",
        "dose on the film": f"{price.dose_j_cm2:.3g} J/cm2",
        "bias": f"{price.bias_v_s:.3g} V s, on for {price.on_duty:.0%} of the time",
        "heating": f"at most {price.heating_max_k:.2g} K, at the current limit all the time (75 K/W, assumed)",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    words.print(table)
    return DONE


def plan(options: argparse.Namespace, words: Console) -> int:
    """Print the timeline of every different block and each instrument's program."""
    session = Session(options.bench, simulate=options.simulate)
    what = session.plan(options.sequence)
    words.print(f"mode: {what.mode} ({what.why})", markup=False)
    seen: dict[str, int] = {}
    for one in what.blocks:
        pattern = one.timeline.pattern
        lines = [
            f"one shot, every {pattern.period_ns / 1e3:g} us (times from its start):",
            *(
                f"  {t_ns / 1e3:10.3f} us  {name}"
                for t_ns, name in sorted(
                    (t_ns, name)
                    for t_ns, name in (
                        (pattern.edge_ns, "source edge (first shot of a burst only)"),
                        (pattern.settled_ns, "source settled, with guard"),
                        (pattern.spectrometer_ns, "spectrometer trigger"),
                        (pattern.laser_ns, "laser trigger"),
                        (pattern.open_ns, "exposure opens"),
                        (pattern.pulse_ns, "pulse reaches the film"),
                        (pattern.close_ns, "exposure closes"),
                        (pattern.ready_ns, "spectrometer ready again"),
                    )
                    if t_ns is not None
                )
            ),
            "bursts, each released by one software trigger:",
            *(
                f"  {burst.shots:8d} shots at {burst.voltage_v:g} V"
                + (f", the first {burst.lead_in} never data" if burst.lead_in and burst.stretch is not None else "")
                + (", only for its edge" if burst.stretch is None else "")
                for burst in one.timeline.bursts
            ),
            "programs:",
            f"  voltage source  {one.programs.source}",
            f"  laser trigger   {one.programs.trigger}",
            f"  spectrometer    {one.programs.spectrometer}",
        ]
        text = "\n".join(lines)
        if text in seen:
            words.print(f"block {one.block.index}: as block {seen[text]}")
        else:
            seen[text] = one.block.index
            words.print(f"block {one.block.index}:\n{text}", markup=False)
    return DONE


def show(options: argparse.Namespace, words: Console) -> int:
    """Print the summary of a run and draw its figure, from the file alone."""
    from rig.measurements.switching_record import record_of

    record = record_of(options.run)
    header, run = record.run.header, record.run
    words.print(f"{'[bold]SIMULATED[/bold] ' if header.simulated else ''}{header.run_id}: {header.title}")
    words.print(f"state: {run.state}{' (unfinished: its writer is gone)' if run.unfinished else ''}, {run.count} frames")
    if run.ledger:
        words.print(ledger_table(_flat(run.ledger)))
    if record.result is None:
        words.print(f"No results: {record.reason}")
        return DONE
    words.print(results_table(record.verdicts))
    words.print(outcome_text(record.result))
    figure = options.figure or options.run.with_suffix(".png")
    record.figure().savefig(figure, dpi=150)
    words.print(f"figure: {figure}")
    return DONE


def export(options: argparse.Namespace, words: Console) -> int:
    """Write traces and mean spectra as CSV."""
    from rig.measurements.switching_record import record_of
    from rig.report.export import write_csv

    record = record_of(options.run)
    for path in write_csv(record.run, record.means, options.out or options.run.parent):
        words.print(str(path))
    return DONE


def new_bench(options: argparse.Namespace, words: Console) -> int:
    """Print or write a commented bench file; never over an existing one."""
    from rig.bench import new_bench_text

    if options.file is None:
        sys.stdout.write(new_bench_text())
        return DONE
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(new_bench_text())
    except OSError as error:
        raise RefusedError(
            f"The bench file cannot be written: {error.strerror}.", (), where=str(options.file), next_step="choose another name"
        ) from error
    words.print(f"{options.file}: fill in resources, limits and cables, then: rig check SEQUENCE.toml --bench {options.file}")
    return DONE


# --- words ------------------------------------------------------------------------------------------------------------


def _tell(error: RigError, options: argparse.Namespace, words: Console) -> int:
    words.print(f"[bold red]{_title(error)}[/bold red]")
    words.print(str(error), markup=False)
    code = UNKNOWN if isinstance(error, UnsafeStateError) else REFUSED
    if not isinstance(error, RefusedError | WrongIdentity | UnsafeStateError):
        code = FAULT
    if getattr(options, "json", False):
        sys.stdout.write(json.dumps({"error": _error_json(error), "exit_code": code}) + "\n")
    return code


def _title(error: BaseException) -> str:
    if isinstance(error, UnsafeStateError):
        return "THE STATE OF THE HARDWARE IS NOT CONFIRMED"
    return "Refused" if isinstance(error, RefusedError | WrongIdentity) else "Fault"


def _fault_text(fault: BaseException) -> str:
    if isinstance(fault, RigError):
        return str(fault)
    return (
        f"{type(fault).__name__}: {fault}\n  next:     this is a defect of the program or of the measurement; please report it"
    )


def _error_json(error: RigError) -> dict[str, Any]:
    reasons = error.reasons if isinstance(error, RefusedError) else ()
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "hardware_state": error.hardware_state,
        "next_step": error.next_step,
        "reasons": [{"code": reason.code, "where": reason.where, "message": reason.message} for reason in reasons],
    }


def _flat(ledger: dict[str, Any]) -> dict[str, int]:
    flagged = ledger.get("flagged", {})
    return {
        **{name: int(count) for name, count in ledger.items() if name != "flagged"},
        **{f"flagged {name.replace('_', ' ')}": int(count) for name, count in flagged.items()},
    }


def _runs_table(sequences: list[Sequence], results: list[RunResult]) -> Table:
    table = Table(title="runs", title_justify="left")
    for name in ("sequence", "state", "assigned", "switched", "file"):
        table.add_column(name)
    for index, sequence in enumerate(sequences):
        name = str(sequence.path.name if sequence.path else sequence.title)
        if index >= len(results):
            table.add_row(name, "not run", "", "", "")
            continue
        result = results[index]
        frames = result.outcome.ledger
        switched = "" if result.results is None else "yes" if result.results.switched else "no"
        table.add_row(name, result.outcome.reason.value, f"{frames.assigned} of {frames.planned}", switched, str(result.path))
    return table


# --- how it ends ------------------------------------------------------------------------------------------------------


def _exit_code(result: RunResult, stop: StopRequest) -> int:
    outcome = result.outcome
    if not outcome.safe.safe:
        return UNKNOWN
    if outcome.fault is not None:
        return FAULT
    if outcome.reason is FinishReason.STOPPED:
        return CTRL_C if stop.why == "Ctrl-C" else STOPPED
    return DONE


@contextmanager
def _signals(stop: StopRequest, words: Console) -> Generator[None]:
    """Turn Ctrl-C, hang-up and terminate into a request that is read between two conversations: nothing is ever cut in half."""
    names = {"SIGINT": "Ctrl-C", "SIGTERM": "terminated", "SIGHUP": "terminal closed", "SIGBREAK": "Ctrl-Break"}

    def ask(number: int, frame: FrameType | None) -> None:
        already = stop.requested
        stop.request(names.get(signal.Signals(number).name, "signal"))
        words.print(
            "Still stopping; off is being confirmed." if already else "Stopping: output off, then what was measured is saved."
        )

    before = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
