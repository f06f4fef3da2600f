"""A run that is written again, row by row, from a finished one: what a window sees while a run goes on."""

from pathlib import Path

import numpy as np

from rig.frames import Ledger
from rig.runfile import Flag, Results, RunFile, open_run

UNKNOWN = {"shot": -1, "cycle": -1, "state": -1, "planned_voltage_v": np.nan, "measured_voltage_v": np.nan}


class ReplayedRun:
    """Frames come as on the bench: unassigned at first, final when their block has ended."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source = open_run(source)
        self.rows = self.source.frames()
        self.spectra = self.source.spectra()
        header, dark = self.source.header, self.source.dark
        assert dark is not None
        capacity = len(self.rows) + 10
        self.file = RunFile.create(folder, "again", header, frame_capacity=capacity, reading_capacity=500)
        self.file.set_dark(dark.mean, dark.variance, dark.hot, dark.frames)
        self.path = self.file.path
        self.arrived = self.ended = 0
        self.ledger = Ledger(int(self.source.ledger["planned"]))

    def arrive(self, frames: int) -> None:
        """Let so many frames come."""
        stop = min(self.arrived + frames, len(self.rows))
        rows = self.rows[self.arrived : stop].copy()
        for name, blank in UNKNOWN.items():
            rows[name] = blank
        saturated = rows["flags"] & int(Flag.SATURATED)
        rows["flags"] = int(Flag.UNASSIGNED) | saturated
        self.file.append_frames(rows, self.spectra[self.arrived : stop])
        self.arrived = stop

    def end_block(self) -> None:
        """Prove all that has come."""
        rows = self.rows[self.ended : self.arrived]
        self.file.rewrite_rows(self.ended, rows)
        for stretch in np.unique(rows["stretch"]):
            mine = rows[rows["stretch"] == stretch]
            self.ledger = self.ledger.plus(mine, int((mine["shot"] >= 0).sum()))
        self.ended = self.arrived
        self.file.set_ledger({**self.ledger.as_dict(), "received": self.arrived})

    def read(self, rows: slice) -> None:
        """Let some of the source's readings come."""
        some = self.source.readings[rows]
        self.file.append_readings(*(some[name] for name in some.dtype.names or ()))

    def finish(self, state: str = "done") -> None:
        """End the run and put its trimmed copy in place."""
        self.file.finish(state, Results())
