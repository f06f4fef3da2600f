"""The numbers that matter of a run, live: shots by what became of them, contrast, peak and width with their intervals.

They come from the functions of rig.analysis, so that at the end they are those of the report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.correction import MeanSpectra
from rig.analysis.statistics import Value
from rig.analysis.switching import SwitchingResult, reduce_switching

Floats = NDArray[np.float64]
NOTHING = Value(None, None, "")
NO_WIDTH = Value(None, None, "nm")


@dataclass(frozen=True, slots=True)
class ShotCount:
    """Shots and frames of a run; all but `received` and `pending` as far as blocks have ended.

    planned   shots asked for; None before the first block has ended
    pending   frames that came in, whose block has not ended
    lost      shots that are over and left no frame, None where the sequence does not tell how many are over
    flagged   kind of flag: frames of data that bear it
    """

    planned: int | None = None
    received: int = 0
    pending: int = 0
    assigned: int = 0
    unassigned: int = 0
    lost: int | None = None
    surplus: int = 0
    flagged: Mapping[str, int] | None = None

    @property
    def done(self) -> int:
        """Get the shots that are over: those told apart, and the frames that wait for it."""
        return self.assigned + self.unassigned + self.pending


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """What the window shows in large type; a Value without a value where there is none yet.

    `reason` says why it does not switch, or that nothing can be said yet; `frames` are those used, OFF and ON.
    """

    shots: ShotCount = ShotCount()
    frames: tuple[int, int] = (0, 0)
    contrast_535: Value = NOTHING
    ratio_520: Value = NOTHING
    off_peak_nm: Value = NO_WIDTH
    off_fwhm_nm: Value = NO_WIDTH
    on_peak_nm: Value = NO_WIDTH
    on_fwhm_nm: Value = NO_WIDTH
    switched: bool | None = None
    reason: str = "no block has ended yet"


def shot_count(ledger: Mapping[str, Any], received: int, ended_shots: int | None) -> ShotCount:
    """Count from the file's ledger and its frames; `ended_shots` of the sequence lie behind, as far as that is known.

    Raises
    ------
    ValueError, TypeError  the ledger is none
    """
    if not ledger:
        return ShotCount(received=received, pending=received)
    number = {name: int(ledger[name]) if name in ledger else 0 for name in _LEDGER_NUMBERS}
    return ShotCount(
        planned=number["planned"],
        received=received,
        pending=max(0, received - number["received"]),
        assigned=number["assigned"],
        unassigned=number["unassigned"],
        lost=None if ended_shots is None else max(0, ended_shots - number["assigned"] - number["unassigned"]),
        surplus=number["surplus"],
        flagged={str(name): int(count) for name, count in dict(ledger.get("flagged", {})).items()},
    )


_LEDGER_NUMBERS = ("planned", "received", "assigned", "unassigned", "surplus")


def grouped(
    lights: tuple[Floats, Floats], state: NDArray[np.integer], most: int | None
) -> tuple[Floats, Floats, NDArray[np.integer]]:
    """Take means over consecutive frames of a state, `most` per state, of a run too long to compute with every frame.

    Two traces and the state of used frames, each (n,); short ones, or where `most` is None, come back as they are.
    """
    if most is None or len(state) <= 2 * most:
        return *lights, state
    made: tuple[list[Floats], list[Floats]] = ([], [])
    for one in (0, 1):
        chosen = state == one
        size = max(1, -(-int(chosen.sum()) // most))
        for light, groups in zip(lights, made, strict=True):
            whole = light[chosen]
            groups.append(whole[: len(whole) // size * size].reshape(-1, size).mean(axis=1))
    counts = [len(group) for group in made[0]]
    return np.concatenate(made[0]), np.concatenate(made[1]), np.repeat(np.arange(2), counts)


def reduced(
    wavelength_nm: Floats,
    means: MeanSpectra,
    at_520: Floats,
    at_535: Floats,
    state: NDArray[np.integer],
    psf_fwhm_nm: float,
) -> SwitchingResult:
    """Reduce the used frames of a run, arrays (n,) in time order, as one cycle: what is left out is the drift over cycles."""
    use = np.ones(len(state), np.bool_)
    return reduce_switching(
        wavelength_nm, means, at_520, at_535, state, np.zeros(len(state), np.int64), use, psf_fwhm_nm=psf_fwhm_nm
    )


def numbers_of(result: SwitchingResult, shots: ShotCount, frames: tuple[int, int]) -> RunNumbers:
    """Choose what the window shows."""
    return RunNumbers(
        shots,
        frames,
        result.contrast_535,
        result.ratio_520,
        result.off_peak_nm,
        result.off_fwhm_nm,
        result.on_peak_nm,
        result.on_fwhm_nm,
        result.switched,
        result.reason,
    )
