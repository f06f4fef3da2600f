"""When a switching run has seen enough: its contrast is known well, or the film has degraded. Live and on a file the same."""

import numpy as np
from numpy.typing import NDArray

from rig.analysis.degradation import CycleLight, StateLight, degraded_now, narrow_enough
from rig.analysis.statistics import Value, ratio_of_means
from rig.reduction import usable
from rig.sequence import BlockResult, State

LEAST_CYCLES = 3  # with frames that count, before the contrast is looked at


class StopRule:
    """Collects what the blocks bring and says, after complete cycles, whether to go on.

    Parameters
    ----------
    below_percent     end once half the 95 % interval of the 535 nm contrast is below this part of it (%); None: never
    degraded_percent  end once a level has fallen by more than this (%), see `rig.analysis.degradation`; None: never
    """

    def __init__(self, below_percent: float | None, degraded_percent: float | None) -> None:
        self._below_percent, self._degraded_percent = below_percent, degraded_percent
        self._rows: list[NDArray[np.void]] = []  # of the cycle that is running
        self._at_535: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
        self._cycles: list[CycleLight] = []

    def take(self, result: BlockResult | None) -> None:
        """Take what a block has brought; nothing from one that is only planned."""
        if result is not None and (self._below_percent, self._degraded_percent) != (None, None):
            self._rows.append(result.rows)

    def met(self) -> bool:
        """Tell, at the end of a cycle, whether the run has seen enough."""
        rows, self._rows = self._rows, []
        if not rows:
            return False
        found = cycles_of(np.concatenate(rows))
        self._cycles += found
        if self._below_percent is not None:
            self._keep_535(np.concatenate(rows))
            enough = len(self._cycles) >= LEAST_CYCLES
            return enough and narrow_enough(self.contrast, self._below_percent)
        return self._degraded_percent is not None and degraded_now(self._cycles, 0.01 * self._degraded_percent)

    @property
    def contrast(self) -> Value:
        """Get the contrast so far, as the finished run's reduction forms it."""
        off, on = (np.concatenate(part) if part else np.zeros(0) for part in self._at_535)
        return ratio_of_means(on, off)

    def _keep_535(self, rows: NDArray[np.void]) -> None:
        use = usable(rows["flags"])
        for state, kept in zip(State, self._at_535, strict=True):
            kept.append(rows["band_535"][use & (rows["state"] == int(state))])


def cycles_of(rows: NDArray[np.void]) -> list[CycleLight]:
    """Reduce rows (n,) of FRAME_DTYPE to cycles in the order of time; those without a used frame in a state are left out."""
    use = usable(rows["flags"])
    cycles, found = rows["cycle"][use], list[CycleLight]()
    for cycle in np.unique(cycles):
        of_cycle = rows[use][cycles == cycle]
        off, on = (of_cycle[of_cycle["state"] == int(state)] for state in State)
        if len(off) and len(on):
            light = (StateLight.of(part[band], part["pulse_energy_uj"]) for part, band in ((off, "band_520"), (on, "band_535")))
            found.append(CycleLight(int(cycle), *light))
    return found
