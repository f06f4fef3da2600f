"""The command line: words in, exit code out. Imports nothing heavy, so that `rig --help` is instant."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

EXIT_CODES = """exit codes:
  0 done   2 refused, nothing was switched on   3 stopped by the user   4 fault, hardware is safe
  5 hardware state unknown: go and look   130 Ctrl-C"""

# commands of packages that this one must not import; found by entry point when they are called
PLUG_INS = {
    "gui": "the window: live traces, instruments, sequences, runs",
    "sim": "the simulated bench: films and their histories; the bench as servers for other programs",
}

RUN_FILES = "runs"  # what `rig analyze` analyses when its first word names no estimator
ESTIMATORS = (RUN_FILES, "threshold")

FLUENCE_UNITS = ("nJ/cm2", "uJ/cm2", "mJ/cm2", "J/cm2", "uJ/m2", "mJ/m2", "J/m2")


def parser() -> argparse.ArgumentParser:
    """Build the parser; each command names the function of rig.commands that does it."""
    top = argparse.ArgumentParser(
        prog="rig",
        description="Runs an electrically switched optical-gain bench: real instruments, or the same made of software.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def bench_options(command: argparse.ArgumentParser) -> None:
        command.add_argument("--bench", type=Path, metavar="B", help="bench file; without it the default simulated bench")
        command.add_argument("--simulate", action="store_true", help="make that bench of software; open no resource")

    run = commands.add_parser("run", help="run sequences, in order, until the first fault")
    run.add_argument("sequences", type=Path, nargs="+", metavar="SEQUENCE.toml")
    bench_options(run)
    run.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="folder for run files (default runs/)")
    run.add_argument("--seed", type=_seed, default=0, metavar="N", help="of a simulated bench's noise (default 0)")
    run.add_argument(
        "--device", type=_serial, metavar="SERIAL", help="serial number of the simulated film (default: a nominal one)"
    )
    run.add_argument("--variant", choices=("bare", "pmma"), help="how the simulated film is made (default bare)")
    run.add_argument(
        "--fault",
        action="append",
        default=[],
        dest="faults",
        metavar="FAULT",
        help="break the simulated bench: NAME[@ONSETs][:SEVERITY][:MODE], as in breakdown@3.2s; may be repeated",
    )
    run.add_argument("--state", type=Path, metavar="DIR", help="folder of the simulated films' histories (default: your own)")
    run.add_argument("--quiet", action="store_true", help="no progress, no tables; faults are still told")
    run.add_argument("--json", action="store_true", help="the last line is one JSON object; words go to stderr")

    check = commands.add_parser("check", help="what a sequence would do and cost, or every reason why not")
    check.add_argument("sequence", type=Path, metavar="SEQUENCE.toml")
    bench_options(check)

    plan = commands.add_parser("plan", help="timeline and each instrument's program")
    plan.add_argument("sequence", type=Path, metavar="SEQUENCE.toml")
    bench_options(plan)

    show = commands.add_parser("show", help="summary and figure of a run, from its file alone")
    show.add_argument("run", type=Path, metavar="RUN.h5")
    show.add_argument("--figure", type=Path, metavar="PNG", help="where to draw it (default: beside the run)")

    report = commands.add_parser("report", help="one self-contained HTML page of a run, and its figures as PNG and SVG")
    report.add_argument("run", type=Path, metavar="RUN.h5")
    report.add_argument("--out", type=Path, metavar="DIR", help="folder (default: beside the run)")

    paper = commands.add_parser("paper", help="measure every claim of the paper that the bench can; table, figures, page")
    bench_options(paper)
    paper.add_argument("--out", type=Path, default=Path("paper"), metavar="DIR", help="folder (default paper/)")
    paper.add_argument(
        "--sample",
        type=_sample,
        metavar="NAME",
        help="name of the film, as on its box (default CsPbBr3; --no-runs: of the last run)",
    )
    paper.add_argument("--control", action="store_true", help="real bench: the PMMA control device is mounted, measure it")
    paper.add_argument("--plan", action="store_true", help="say what would be run and what it costs, and touch nothing")
    paper.add_argument("--no-runs", action="store_true", help="measure nothing: page and table from the runs in DIR")
    paper.add_argument("--seed", type=_seed, default=0, metavar="N", help="of a simulated bench's noise (default 0)")
    paper.add_argument("--quiet", action="store_true", help="no progress, no tables; faults are still told")
    paper.add_argument("--json", action="store_true", help="the last line is one JSON object; words go to stderr")

    export = commands.add_parser("export", help="traces and mean spectra of a run for other programs")
    export.add_argument("run", type=Path, metavar="RUN.h5")
    export.add_argument("--csv", action="store_true", required=True, help="as CSV, units in the header")
    export.add_argument("--out", type=Path, metavar="DIR", help="folder (default: beside the run)")

    analyze = commands.add_parser(
        "analyze",
        usage="rig analyze [-h] RUN.h5 [RUN.h5 ...] [--out DIR] [--json]\n       rig analyze threshold [-h] SPECTRA ...",
        help="run files anew from their raw spectra, or spectra that other software exported",
    )
    estimators = analyze.add_subparsers(
        dest="estimator", required=True, metavar="RUN.h5 or ESTIMATOR", prog=f"{top.prog} analyze"
    )
    runs = estimators.add_parser(RUN_FILES, prog="rig analyze", help="run files: rig analyze RUN.h5 is enough")
    runs.add_argument("runs", type=Path, nargs="+", metavar="RUN.h5")
    runs.add_argument("--out", type=Path, metavar="DIR", help="write results, traces and figure there")
    runs.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")
    threshold = estimators.add_parser("threshold", help="threshold of amplified emission from spectra at many fluences")
    threshold.add_argument(
        "spectra", type=Path, metavar="SPECTRA", help="CSV or TSV (wavelengths, one column per fluence), or the file of a run"
    )
    threshold.add_argument("--fluences", type=Path, metavar="F", help="table of fluences, when the header has none")
    threshold.add_argument("--unit", choices=FLUENCE_UNITS, help="of fluences that stand without one")
    threshold.add_argument("--any-order", action="store_true", help="fluences were measured up and down; sort them")
    threshold.add_argument("--saturation", type=float, metavar="COUNTS", help="light at or above it is saturated")
    threshold.add_argument(
        "--fluence-error",
        type=_percent,
        metavar="PERCENT",
        help="1-sigma error of each fluence for itself, as of few or noisy pulses (default 0.5)",
    )
    threshold.add_argument("--figure", type=Path, metavar="PNG", help="draw light and width against fluence")
    threshold.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    recover = commands.add_parser("recover", help="trim the file of a run whose program was killed")
    recover.add_argument("run", type=Path, metavar="RUN.h5")

    calibrate = commands.add_parser("calibrate", help="measure what a setting of the bench means, and store it")
    quantities = calibrate.add_subparsers(dest="quantity", required=True, metavar="QUANTITY")
    fluence = quantities.add_parser("fluence", help="pump energy against the angle of the attenuator")
    bench_options(fluence)
    fluence.add_argument("--out", type=Path, metavar="FILE", help="where to store it (default: beside the bench file)")
    fluence.add_argument("--pulses", type=int, default=20, metavar="N", help="at each angle (default 20)")
    fluence.add_argument("--points", type=int, default=15, metavar="N", help="angles within a quarter turn (default 15)")
    fluence.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the order, and a simulated bench's noise")
    fluence.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    new_bench = commands.add_parser("new-bench", help="print a commented bench file, or write it to FILE")
    new_bench.add_argument("file", type=Path, nargs="?", metavar="FILE")

    doctor = commands.add_parser("doctor", help="look at every instrument and say what is wrong; puts back what it changes")
    bench_options(doctor)
    doctor.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="folder whose disk is tested (default runs/)"
    )
    doctor.add_argument("--allow-output", action="store_true", help="switch the source's output on: 0 V, then 0.1 V")
    doctor.add_argument(
        "--allow-light", action="store_true", help="let the trigger tests fire the laser; a shutter stays closed"
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    off = commands.add_parser("off", help="switch everything off, whoever left it on, and say what is confirmed")
    bench_options(off)
    off.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    unlock = commands.add_parser("unlock", help="list devices that broke down, or let one be used again, and keep why")
    unlock.add_argument("device", nargs="?", metavar="DEVICE", help="sample name, or serial number of a simulated film")
    unlock.add_argument("--why", default="", metavar="TEXT", help="what was seen when somebody looked at it; is kept")
    unlock.add_argument("--simulated", action="store_true", help="a simulated one of that name")
    unlock.add_argument("--state", type=Path, metavar="DIR", help="as of rig run (default: your own)")
    unlock.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    def which_engine(command: argparse.ArgumentParser) -> None:
        command.add_argument("--bench", type=Path, metavar="B", help="the engine of this bench file")
        command.add_argument("--pid", type=int, metavar="PID", help="the engine of this process")

    attach = commands.add_parser("attach", help="follow a run of another terminal or window")
    which_engine(attach)
    attach.add_argument("--quiet", action="store_true", help="no progress, no tables; faults are still told")
    stop = commands.add_parser("stop", help="stop a run of another terminal or window, safely, and say what is off")
    which_engine(stop)
    stop.add_argument("--why", default="", metavar="TEXT", help="kept in the run file")
    which_engine(commands.add_parser("pause", help="pause a run after its block, everything off"))
    which_engine(commands.add_parser("resume", help="go on with a run that pauses"))
    status = commands.add_parser("status", help="which engines are running on this computer, and what they do")
    status.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    engine = commands.add_parser("engine", help="own a bench and wait for commands, for the window and for programs")
    bench_options(engine)
    engine.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="folder for run files (default runs/)")
    engine.add_argument("--seed", type=_seed, default=0, metavar="N", help="of a simulated bench's noise (default 0)")
    engine.add_argument(
        "--linger", type=float, default=10.0, metavar="S", help="end when nobody was connected for so long (s, default 10)"
    )
    engine.add_argument("--json", action="store_true", help="the first line is one JSON object; words go to stderr")

    listing = commands.add_parser("list", help="VISA resources, and the models there are drivers and simulations for")
    bench_options(listing)
    listing.add_argument("--ask", action="store_true", help="ask *IDN? at each resource; this can disturb what is not ours")
    listing.add_argument("--json", action="store_true", help="one JSON object to stdout; words go to stderr")

    for name, purpose in PLUG_INS.items():
        commands.add_parser(name, help=purpose, add_help=False)
    return top


def _plug_in(name: str, words: Sequence[str]) -> int:
    """Do a command that another package of this distribution brings; it parses its own words, and is lent the bench files."""
    from importlib.metadata import entry_points

    from drivers.errors import RigError
    from rig.bench_source import BenchFiles

    [found] = entry_points(group="rig.commands", name=name)
    command: Callable[[Sequence[str], BenchFiles], int] = found.load()
    try:
        return command(words, BenchFiles())
    except RigError as error:
        from rig import commands

        return commands.tell(error, argparse.Namespace(command=name, json="--json" in words))


def _complete(words: list[str]) -> list[str]:
    """Put in the word that `rig analyze RUN.h5` leaves out."""
    short = words[:1] == ["analyze"] and words[1:2] and words[1] not in (*ESTIMATORS, "-h", "--help")
    return [words[0], RUN_FILES, *words[1:]] if short else words


def _percent(text: str) -> float:
    percent = float(text)
    if not 0 <= percent <= 20:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 20 %")
    return percent


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2**63 - 1")
    return seed


def _sample(text: str) -> str:
    longest = 280  # a sequence takes 300, and the control device's name is longer
    if not (text.strip() and len(text) <= longest):
        raise argparse.ArgumentTypeError(f"the name of a sample has 1 to {longest} characters, not {len(text.strip())}")
    return text


def _serial(text: str) -> str:
    if not (0 < len(text) <= 60 and text.isprintable() and text == text.strip()):
        raise argparse.ArgumentTypeError("a serial number has 1 to 60 printable characters, no blanks around it")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    plug_in = bool(words[:1]) and words[0] in PLUG_INS
    options = argparse.Namespace() if plug_in else parser().parse_args(_complete(words))
    try:
        if plug_in:
            return _plug_in(words[0], words[1:])
        from rig import (
            commands,
            commands_analyze,
            commands_calibrate,
            commands_doctor,
            commands_engine,
            commands_off,
            commands_paper,
            commands_report,
            commands_run,
            commands_unlock,
        )

        more = (
            commands_run,
            commands_engine,
            commands_doctor,
            commands_calibrate,
            commands_off,
            commands_paper,
            commands_report,
            commands_analyze,
            commands_unlock,
        )
        return commands.dispatch(options, {name: act for module in more for name, act in module.COMMANDS.items()})
    except KeyboardInterrupt:
        # while a run holds instruments Ctrl-C is a request, not this exception
        print("Ctrl-C: no instrument was open.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
