"""What the commands of the command line do: everything a person reads on the terminal is said here.

Results, tables and files go to stdout, errors to stderr; with --json everything but the JSON goes to stderr.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.table import Table

from drivers.errors import RefusedError, RigError, UnsafeStateError, WrongIdentity
from drivers.roles import HoldLevel
from rig.bench import Bench, new_bench_text
from rig.compiler import Compiled, Plan
from rig.control import ErrorWords
from rig.lifeline import guard_words
from rig.measurements.catalogue import means_of, record_of
from rig.provenance import now_label
from rig.report.export import write_csv
from rig.report.pump import fluence_text, light_text, pulses_fired, pump_lines
from rig.report.summary import duration_text, error_text, frames_table, told_error
from rig.run_state import DONE, FAULT, REFUSED, UNKNOWN
from rig.run_view import draw, print_results, title_of
from rig.runfile import recover as recover_run
from rig.sequence import Sequence, read_sequence
from rig.session import MEASUREMENTS, Session

SESSION_OPTIONS = ("simulate", "seed", "device", "variant", "faults", "state", "out")
SWITCHES_ON = ("run", "calibrate", "paper")
SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "terminated", "SIGHUP": "terminal closed", "SIGBREAK": "Ctrl-Break"}
_ENDS = ("fault:", "stopped:", "safe:")  # events of a run that say how it ended
T = TypeVar("T")


Command = Callable[[argparse.Namespace, Console], int]


class Stoppable(Protocol):
    """What a signal can stop."""

    @property
    def requested(self) -> bool:
        """Whether it was asked to."""
        ...

    @property
    def why(self) -> str:
        """By whom, or what."""
        ...

    def request(self, why: str) -> None:
        """Ask it to; more than once is harmless."""
        ...


def dispatch(options: argparse.Namespace, more: Mapping[str, Command]) -> int:
    """Do one command, of this module or of `more`; return its exit code."""
    words = Console(stderr=bool(getattr(options, "json", False)), highlight=False, soft_wrap=True)
    commands: dict[str, Command] = {
        **more,
        "check": check,
        "plan": plan,
        "show": show,
        "export": export,
        "recover": recover,
        "new-bench": new_bench,
    }
    try:
        return commands[options.command](options, words)
    except RigError as error:
        return tell(error, options)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one screen instead of pages of traceback
        with suppress(OSError):
            alarms().print(error_text(error, width=alarms().width), markup=False)
        return UNKNOWN if options.command in SWITCHES_ON else FAULT


# --- before a run -----------------------------------------------------------------------------------------------------


def check(options: argparse.Namespace, words: Console) -> int:
    """Say what a sequence would do and cost."""
    session, [(sequence, what)] = all_planned(options, [options.sequence])
    price = what.price
    rows = {
        "bench": f"{session.bench.path or 'default bench'}{' (SIMULATED)' if session.simulated else ''}",
        "mode": f"{what.mode}: {what.why}",
        "blocks": str(len(what.blocks)),
        "light": light_text(what),
        "frames of data": f"{what.planned_shots}",
        "laser pulses": f"{pulses_fired(what)} (lead-in and closing shots included)",
        "duration": duration_text(price.duration_s),
        "file": f"{price.file_bytes / 1e6:.0f} MB (twice that while it is finished)",
        "dose on the film": f"{price.dose_j_cm2:.3g} J/cm2",
        "fluence": fluence_text(what, session.bench, now_label()),
        "bias": f"{price.bias_v_s:.3g} V s, on for {price.on_duty:.0%} of the time",
        "heating": f"at most {price.heating_max_k:.2g} K, at the current limit all the time (75 K/W, assumed)",
    }
    table = Table(title=f"{sequence.title or sequence.measurement}: can run", show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, value)
    words.print(table)
    return DONE


def plan(options: argparse.Namespace, words: Console) -> int:
    """Print the timeline of every different block and each instrument's program."""
    session, [(_, what)] = all_planned(options, [options.sequence])
    words.print(f"mode: {what.mode} ({what.why})", markup=False)
    seen: dict[str, int] = {}
    for one in what.blocks:
        text = "\n".join([*_shot_lines(one), *_burst_lines(one), *_program_lines(one, session.bench)])
        if text in seen:
            words.print(f"block {one.block.index}: as block {seen[text]}")
        else:
            seen[text] = one.block.index
            words.print(f"block {one.block.index}:\n{text}", markup=False)
    return DONE


def _shot_lines(one: Compiled) -> list[str]:
    pattern = one.timeline.pattern
    moments = (
        (pattern.edge_ns, "source edge (first shot of a burst only)"),
        (pattern.settled_ns, "source settled, with guard"),
        (pattern.spectrometer_ns, "spectrometer trigger"),
        (pattern.laser_ns, "edge of the laser's sync" if one.programs.trigger.start == "external_edge" else "laser trigger"),
        (pattern.open_ns, "exposure opens"),
        (pattern.pulse_ns, "pulse reaches the film"),
        (pattern.close_ns, "exposure closes"),
        (pattern.ready_ns, "spectrometer ready again"),
    )
    known = [(t_ns, name) for t_ns, name in moments if t_ns is not None]
    return [
        f"one shot, every {pattern.period_ns / 1e3:g} us (times from its start):",
        *(f"  {t_ns / 1e3:10.3f} us  {name}" for t_ns, name in sorted(known, key=lambda moment: moment[0])),
    ]


def _burst_lines(one: Compiled) -> list[str]:
    edge = one.programs.trigger.start == "external_edge"
    lines = [f"bursts, each released by {'an edge of the laser after ' if edge else ''}one software trigger:"]
    for burst in one.timeline.bursts:
        note = ", only for its edge" if burst.stretch is None else ""
        if burst.lead_in and burst.stretch is not None:
            note = f", the first {burst.lead_in} never data"
        lines.append(f"  {burst.shots:8d} shot{' ' if burst.shots == 1 else 's'} at {burst.voltage_v:g} V{note}")
    return lines


def _program_lines(one: Compiled, bench: Bench) -> list[str]:
    source, trigger, exposure = one.programs.source, one.programs.trigger, one.programs.spectrometer
    targets = {cable.source: cable.target for cable in bench.cables}
    if isinstance(source, HoldLevel):
        levels = f"hold {source.voltage_v:g} V"
    else:
        steps = ", ".join(f"{level_v:g}" for level_v in source.levels_v)
        levels = f"step through {steps} V, one step per falling edge on trigger link {source.trigger_line}"
    lines = [
        "programs:",
        f"  voltage source  {levels}",
        f"  laser trigger   bursts, a shot every {trigger.period_ns / 1e3:g} us",
    ]
    for output in trigger.outputs:
        when = f"at {output.delay_ns / 1e3:g} us, {output.width_ns / 1e3:g} us long"
        if output.channel == "T0":
            when = "at the start of the first shot of a burst" if trigger.t0_on_first_shot_only else "at the start of each shot"
        level = f"{'to' if output.positive else 'from'} {output.level_v:g} V{' (high impedance)' if output.high_z else ''}"
        lines.append(f"    {output.channel} {when}, {level}, leads to {targets[f'laser_trigger.{output.channel}']}")
    how = "edge of its trigger input" if exposure.trigger == "external_edge" else "software trigger"
    lines.append(f"  spectrometer    exposure of {exposure.integration_time_ns / 1e3:g} us per {how}")
    return lines + pump_lines(one, bench)


def new_bench(options: argparse.Namespace, words: Console) -> int:
    """Print or write a commented bench file; never over an existing one."""
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
    words.print(f"{options.file}: replace every FILL IN, then: rig check SEQUENCE.toml --bench {options.file}", markup=False)
    return DONE


# --- after a run ------------------------------------------------------------------------------------------------------


def show(options: argparse.Namespace, words: Console) -> int:
    """Print the summary of a run and draw its figure, from the file alone; it may be running, finished or killed."""
    record = record_of(options.run)
    run, header = record.run, record.run.header
    words.print(f"{'[bold]SIMULATED[/bold] ' if header.simulated else ''}", end="")
    words.print(f"{header.run_id}: {header.title}", markup=False)
    state = run.state
    if run.writer_lives:
        state += ", being written now"
    elif run.unfinished:
        state = f"unfinished, its writer is gone; all it recorded is here (trim the file with: rig recover {run.path})"
    words.print(f"state: {state}", markup=False)
    for line in (text.splitlines()[0] for _, text in run.events if text.startswith(_ENDS)):
        words.print(line, markup=False)
    for line in guard_words(run.path):
        words.print(line, markup=False)
    words.print(f"frames in the file: {run.count}")
    if run.ledger:
        words.print(frames_table(run.ledger))
    print_results(record, words)
    said = draw(record, options.figure or options.run.with_suffix(".png"))
    if said:
        words.print(said, markup=False)
    return REFUSED if options.figure and not said.startswith("figure") else DONE


def export(options: argparse.Namespace, words: Console) -> int:
    """Write traces and mean spectra as CSV."""
    record = record_of(options.run)
    for path in write_csv(record.run, means_of(record), options.out or options.run.parent):
        words.print(str(path), markup=False)
    return DONE


def recover(options: argparse.Namespace, words: Console) -> int:
    """Trim the file of a run whose writer is gone, and say how it ended."""
    run = recover_run(options.run)
    words.print("\n".join([f"{run.path}: {run.state}, {run.count} frames", *guard_words(run.path)]), markup=False)
    return DONE


# --- words ------------------------------------------------------------------------------------------------------------


def all_planned(options: argparse.Namespace, paths: Iterable[Path]) -> tuple[Session, list[tuple[Sequence, Plan]]]:
    """Read and compile everything a command names.

    Raises
    ------
    RefusedError  with every reason in any of the files at once
    """
    refused: list[RefusedError] = []

    def tried(make: Callable[[], T], where: Path | None) -> T | None:
        try:
            return make()
        except RefusedError as error:
            error.where = error.where or str(where or "")
            refused.append(error)
            return None

    settings = {name: getattr(options, name) for name in SESSION_OPTIONS if hasattr(options, name)}
    session = tried(lambda: Session(options.bench, **settings), options.bench)
    planned: list[tuple[Sequence, Plan]] = []
    for path in paths:
        sequence = tried(partial(read_sequence, path, MEASUREMENTS), path)
        what = tried(partial(session.plan, sequence), path) if session and sequence else None
        if sequence and what:
            planned.append((sequence, what))
    if session is None or refused:
        raise _together(refused)
    return session, planned


def _together(refused: list[RefusedError]) -> RefusedError:
    if len(refused) == 1:
        return refused[0]
    reasons = tuple(dict.fromkeys(reason for error in refused for reason in error.reasons))
    where = "; ".join(dict.fromkeys(error.where for error in refused))
    return RefusedError(
        f"{len(reasons)} mistakes in {len(refused)} files",
        reasons,
        where=where,
        next_step="correct what is listed and try again",
    )


def alarms() -> Console:
    """Make the terminal for what must be read."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def tell(error: RigError, options: argparse.Namespace) -> int:
    """Say why a command could not be done; return the exit code. Only `run` and `calibrate` switch anything on."""
    refused = isinstance(error, RefusedError | WrongIdentity) or options.command not in SWITCHES_ON
    code = UNKNOWN if isinstance(error, UnsafeStateError) else REFUSED if refused else FAULT
    screen = alarms()
    screen.print(f"[bold red]{title_of(error)}[/bold red]")
    screen.print(error_text(error, width=screen.width), markup=False)
    if getattr(options, "json", False):
        sys.stdout.write(json.dumps({"error": error_words(error), "exit_code": code}) + "\n")
    return code


def error_words(error: BaseException) -> dict[str, Any]:
    """What --json tells of an error."""
    words = ErrorWords.of(told_error(error)).model_dump(mode="json")
    given = error.reasons if isinstance(error, RefusedError) else ()  # the channel's line is short, this one is not
    reasons = [{"code": reason.code, "where": reason.where, "message": reason.message} for reason in given]
    return {**words, "kind": type(error).__name__, "reasons": reasons}


# --- signals ----------------------------------------------------------------------------------------------------------


@contextmanager
def told_to_stop(stop: Stoppable) -> Generator[None]:
    """Turn Ctrl-C, hang-up and terminate into a request that is read between two conversations: nothing is ever cut in half."""

    def ask(number: int, frame: FrameType | None) -> None:
        already = stop.requested
        stop.request(SIGNALS.get(signal.Signals(number).name, "signal"))
        text = (
            "Still stopping: off is being confirmed." if already else f"{stop.why}: stopping safely, what was measured is kept."
        )
        # a handler may interrupt a print half way: straight to the descriptor, which is never in the middle of anything
        with suppress(OSError):
            os.write(2, f"\n{text}\n".encode())

    before: dict[int, Any] = {}
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
