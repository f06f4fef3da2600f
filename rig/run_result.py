"""What is left of a run when it has ended: its file, how it ended, and what can be said of its results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.compiler import Plan
from rig.measurements.catalogue import Record, without_record
from rig.run_state import Outcome


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """A run that has ended, with the file it left.

    `record` is None when the file could not be reduced; `note` then says why.
    """

    path: Path
    plan: Plan
    outcome: Outcome
    record: Record | None
    simulated: bool
    seed: int | None
    note: str = ""
    measurement: str = ""

    @property
    def results(self) -> Any:
        """Get the reduced values (such as rig.analysis.switching.SwitchingResult), None when there are none."""
        return None if self.record is None else self.record.result

    @property
    def figure(self) -> Any:
        """Get the run's figure (a matplotlib Figure).

        Raises
        ------
        ValueError  there is nothing to draw
        """
        if self.record is None:
            raise ValueError(self.note)
        return self.record.figure()

    def as_json(self) -> dict[str, Any]:
        """Return what `rig run --json` prints."""
        return {
            "file": str(self.path),
            "simulated": self.simulated,
            "seed": self.seed,
            "mode": self.plan.mode,
            "state": self.outcome.reason.value,
            "duration_s": self.outcome.duration_s,
            "wall_s": self.outcome.wall_s,
            "frames": self.outcome.ledger.as_dict(),
            "results": without_record(self.measurement, self.note) if self.record is None else self.record.as_json(),
        }
