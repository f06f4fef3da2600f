"""The commands that look at a bench without running anything on it: `rig doctor` and `rig list`."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rig.bench import Bench, default_bench, read_bench
from rig.checkup import Check, Finding, Permissions
from rig.commands import SIGNALS, Command, told_to_stop
from rig.connections import Connections
from rig.doctor import Diagnosis, examine
from rig.instruments import visa
from rig.inventory import Found, models, resources
from rig.run_state import CTRL_C, DONE, FAULT, STOPPED, UNKNOWN, StopRequest

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
LIBRARY = "@py"  # when no bench names one


# --- doctor -----------------------------------------------------------------------------------------------------------


def doctor(options: argparse.Namespace, words: Console) -> int:
    """Examine a bench; exit code 0 when nothing has failed, 4 when something has, 5 when an output may be on."""
    bench = default_bench() if options.bench is None else read_bench(options.bench)
    simulate = options.simulate or options.bench is None
    stop = StopRequest()
    with told_to_stop(stop), words.status("looking at the bench") as status:

        def observe(check: Check, finding: Finding) -> None:
            status.update(f"{_spaced(check.role)}: {check.name} {finding.status}")

        diagnosis = examine(
            bench,
            simulate=simulate,
            folder=options.out,
            allowed=Permissions(options.allow_output, options.allow_light),
            stopped=lambda: stop.requested,
            observe=observe,
        )
    _tell(diagnosis, words)
    if options.json:
        sys.stdout.write(json.dumps(diagnosis.as_json(), allow_nan=False) + "\n")
    if diagnosis.unsafe:
        return UNKNOWN
    if stop.requested:
        return CTRL_C if stop.why == SIGNALS["SIGINT"] else STOPPED
    return FAULT if diagnosis.status == "fail" else DONE


def _tell(diagnosis: Diagnosis, words: Console) -> None:
    if diagnosis.simulated:
        words.print("[bold]SIMULATED[/bold] bench: no real instrument took part")
    words.print(f"bench: {diagnosis.bench}", markup=False)
    words.print(findings_table(diagnosis))
    steps = [(check, finding) for check, finding in diagnosis.findings if finding.next_step]
    if steps:
        table = Table(title="What to do", show_header=False, **_PLAIN)
        for check, finding in steps:
            table.add_row(Text(f"{_spaced(check.role)}, {check.name}:"), Text(finding.next_step))
        words.print(table)
    for report in diagnosis.unsafe:
        words.print("[bold red]OFF IS NOT CONFIRMED: switch the outputs off by hand, now[/bold red]")
        words.print(str(report), markup=False)


def findings_table(diagnosis: Diagnosis) -> Table:
    """One row per check; an instrument's name stands at its first."""
    table = Table(title="Check-up", **_PLAIN)
    for name, width in (("instrument", 14), ("check", 12), ("status", 7), ("found", None)):
        table.add_column(name, no_wrap=width is not None, min_width=width, overflow="fold")
    before = ""
    for check, finding in diagnosis.findings:
        name = "" if check.role == before else _spaced(check.role)
        before = check.role
        table.add_row(name, check.name, Text(finding.status, style=_STYLES[finding.status]), Text(finding.what))
    return table


# --- list -------------------------------------------------------------------------------------------------------------


def listing(options: argparse.Namespace, words: Console) -> int:
    """Print resources and models; asks nobody anything without --ask."""
    bench = read_bench(options.bench) if options.bench is not None else default_bench() if options.simulate else None
    found, warned = _resources(bench, simulate=options.simulate, ask=options.ask)
    library = "simulated" if options.simulate else LIBRARY if bench is None else bench.visa_library
    known = models()
    for line in warned:
        words.print(f"the VISA library says: {line}", markup=False)
    words.print(_resources_table(found, library, asked=options.ask))
    if not found:
        words.print("none (raw sockets are not found by themselves: name them in a bench file)", markup=False)
    words.print(_models_table(known))
    if options.json:
        told = {"library": library, "resources": [asdict(one) for one in found], "warnings": warned, "models": known}
        sys.stdout.write(json.dumps(told) + "\n")
    return DONE


def _resources(bench: Bench | None, *, simulate: bool, ask: bool) -> tuple[list[Found], list[str]]:
    if simulate and bench is not None:
        connections = Connections(bench, simulate=True)
        try:
            return resources(connections.manager, bench, ask=ask)
        finally:
            connections.close()
    manager = visa(LIBRARY if bench is None else bench.visa_library)
    try:
        return resources(manager, bench, ask=ask)
    finally:
        manager.close()


def _resources_table(found: list[Found], library: str, *, asked: bool) -> Table:
    table = Table(title=f"Resources ({library})", **_PLAIN)
    for name in ("resource", "in the bench file", "who answers" if asked else "who answers (ask with --ask)"):
        table.add_column(name, overflow="fold", no_wrap=name == "resource")
    for one in found:
        answer = f"{one.model}: {one.answer}" if one.model else one.answer
        table.add_row(Text(one.resource), Text(one.role + ("" if one.listed else " (not found by itself)")), Text(answer))
    return table


def _models_table(known: Any) -> Table:
    table = Table(title="Models", **_PLAIN)
    for name in ("role", "model", "driver", "simulated"):
        table.add_column(name)
    for role, found in known.items():
        for i, (model, has) in enumerate(found.items()):
            table.add_row(
                "" if i else _spaced(role), model, *("yes" if has[name] else "no" for name in ("driver", "simulated"))
            )
    return table


def _spaced(name: str) -> str:
    return name.replace("_", " ")


COMMANDS: dict[str, Command] = {"doctor": doctor, "list": listing}
