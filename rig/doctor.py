"""`rig doctor`: looks at every instrument of a bench and at the computer, and says what it has found.

What it changes it puts back (`rig.checkup.kept`); it leaves alone what works for somebody (`rig.checkup.may_change`). It
switches no output on and sends the laser no pulse unless that is allowed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.clock import MonotonicClock
from drivers.registry import Role
from rig.bench import Bench
from rig.bench_lock import lock_bench
from rig.checkup import STATUSES, Check, Finding, Permissions, Situation, run_checks
from rig.checkup_computer import COMPUTER_CHECKS
from rig.checkup_instruments import instrument_checks
from rig.checkup_prescaler import PRESCALER_CHECKS
from rig.checkup_source import SOURCE_CHECKS
from rig.checkup_triggers import TRIGGER_CHECKS
from rig.connections import Connections
from rig.safety import SafeReport

Observe = Callable[[Check, Finding], None]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings of one visit, in the order of the checks."""

    findings: tuple[tuple[Check, Finding], ...]
    unsafe: tuple[SafeReport, ...]
    simulated: bool
    bench: str

    @property
    def status(self) -> str:
        """Get the worst status."""
        return max((finding.status for _, finding in self.findings), key=STATUSES.index)

    def as_json(self) -> dict[str, Any]:
        """Return what `rig doctor --json` prints."""
        return {
            "bench": self.bench,
            "simulated": self.simulated,
            "status": self.status,
            "safe": not self.unsafe,
            "findings": [
                {
                    "instrument": check.role,
                    "check": check.name,
                    "status": finding.status,
                    "what": finding.what,
                    "value": finding.value,
                    "unit": finding.unit,
                    "next_step": finding.next_step,
                    "details": dict(finding.details),
                }
                for check, finding in self.findings
            ],
        }


def checks_for(bench: Bench, connections: Connections) -> list[Check]:
    """Every check for this bench: all instruments are looked at before anything is changed anywhere."""
    roles: list[Role] = list(bench.roles())  # pyright: ignore[reportAssignmentType] - the bench names roles
    looking = [check for role in roles for check in instrument_checks(role, connections)]
    return [*looking, *TRIGGER_CHECKS, *PRESCALER_CHECKS, *SOURCE_CHECKS, *COMPUTER_CHECKS]


def examine(
    bench: Bench,
    *,
    simulate: bool,
    folder: Path = Path("runs"),
    allowed: Permissions | None = None,
    stopped: Callable[[], bool] = lambda: False,
    observe: Observe = lambda check, finding: None,
) -> Diagnosis:
    """Do all checks; an instrument that fails keeps no other from being looked at.

    Parameters
    ----------
    folder   where runs would be written
    stopped  asked between two conversations; what is left is then skipped
    observe  told each finding as it comes

    Raises
    ------
    ConfigError      the bench cannot be simulated
    RefusedError     another program uses it
    InstrumentError  there is no such VISA library
    """
    with nullcontext() if simulate else lock_bench(bench, bench.roles()):
        return _examined(bench, simulate, folder, allowed, stopped, observe)


def _examined(
    bench: Bench,
    simulate: bool,
    folder: Path,
    allowed: Permissions | None,
    stopped: Callable[[], bool],
    observe: Observe,
) -> Diagnosis:
    connections = Connections(bench, simulate=simulate)
    permissions = allowed or Permissions()
    situation = Situation(bench, connections.clock, MonotonicClock(), folder, permissions, stopped, connections.walk)
    found: list[tuple[Check, Finding]] = []
    try:
        for check, finding in run_checks(checks_for(bench, connections), situation):
            found.append((check, finding))
            observe(check, finding)
    finally:
        connections.close()
    return Diagnosis(tuple(found), tuple(situation.unsafe), simulate or bench.simulated, str(bench.path or "default bench"))
