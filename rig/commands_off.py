"""The command `rig off`: everything off, whoever left it on, and what each instrument says of it."""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drivers.errors import ConfigError, RigError, UnsafeStateError
from drivers.registry import HAZARDS
from rig.cold_start import OffReport, hazards_of, switch_off, switch_off_simulated
from rig.commands import Command, told_to_stop
from rig.run_state import DONE, UNKNOWN, StopRequest
from rig.safety import Confirmation

_PLAIN: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
_STYLES = {Confirmation.CONFIRMED: "green", Confirmation.SENT: "bold yellow"}
BY_HAND = {
    "laser_trigger": "switch the delay generator off at its mains switch",
    "shutter": "close the laser's own shutter, or block the beam",
    "cw_shutter": "switch the continuous light off, or block it",
    "voltage_source": "switch the output off at the source's front panel",
    "spectrometer": "nothing is dangerous about it",
}


def off(options: argparse.Namespace, words: Console) -> int:
    """Switch a bench off; exit code 0 when every instrument confirms, else 5."""
    switching = StopRequest()
    switching.request("off")  # Ctrl-C must not keep anything on: it is only answered
    with told_to_stop(switching):
        report = _report(options)
    _tell(report, words)
    if options.json:
        sys.stdout.write(json.dumps(report.as_json(), allow_nan=False) + "\n")
    if not report.confirmed:
        _alarm(report)
    return DONE if report.confirmed else UNKNOWN


def _report(options: argparse.Namespace) -> OffReport:
    """Switch off.

    Raises
    ------
    UnsafeStateError  nothing could be sent at all
    """
    try:
        if options.simulate or options.bench is None:
            return switch_off_simulated(options.bench)
        return switch_off(hazards_of(options.bench))
    except Exception as error:
        lines = str(error).splitlines() if not isinstance(error, RigError) else [error.what]
        reasons = [str(reason) for reason in error.reasons] if isinstance(error, ConfigError) else []
        raise UnsafeStateError(
            " ".join(["Nothing was switched off:", *lines, *reasons[:3]]),
            where=str(options.bench or ""),
            hardware_state="unknown: nothing was sent to any instrument",
            next_step=f"by hand, now: {'; '.join(BY_HAND[role] for role in HAZARDS[:-1])}",
        ) from error


def _tell(report: OffReport, words: Console) -> None:
    if report.hazards.simulated:
        words.print("[bold]SIMULATED[/bold] bench: no real instrument was switched off; name a real one with --bench")
    table = Table(title="Off", **_PLAIN)
    for name in ("instrument", "off", "it says", "who"):
        table.add_column(name, overflow="fold")
    for role, (how, detail) in report.safe.instruments.items():
        who = report.strangers.get(role) or str(report.identities.get(role) or report.nameless.get(role, "not asked"))
        table.add_row(_spaced(role), Text(how.value, style=_STYLES.get(how, "bold red")), Text(detail), Text(who))
    words.print(table)
    if report.hazards.mistakes:
        words.print("The bench file has mistakes; off was sent to what could be read of it:")
        words.print(report.hazards.mistakes, markup=False)


def _alarm(report: OffReport) -> None:
    alarms = Console(stderr=True, highlight=False, soft_wrap=True)
    alarms.print("[bold red]OFF IS NOT CONFIRMED: go and look, now[/bold red]")
    for place in report.hazards.places:
        how, detail = report.safe.instruments[place.role]
        if how is not Confirmation.CONFIRMED or place.role in report.strangers:
            said = report.strangers.get(place.role) or f"{how.value} ({detail})"
            alarms.print(f"  {_spaced(place.role)} at {place.resource}: {said}", markup=False)
            alarms.print(f"    by hand: {BY_HAND[place.role]}", markup=False)


def _spaced(role: str) -> str:
    return role.replace("_", " ")


COMMANDS: dict[str, Command] = {"off": off}
