"""Where an adaptive fluence sweep goes next, from what its visits have brought so far.

It begins with the four weakest fluences, which the spontaneous band is scaled by, and climbs in coarse steps until the light
has clearly left that band's line. From there on every visit is where it tells most of the threshold. The frames' traces at 520
and 535 nm stand for the spectra here; the result is of the whole spectra.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rig.analysis.ase_excess import WEAK_FLUENCES
from rig.analysis.light_curve import LightCurve, rebinned, set_point_means, shots_per_bin
from rig.analysis.next_fluence import Design, as_narrow, expected, most_telling, needed, rough_law
from rig.analysis.rate_law import RateLaw
from rig.analysis.threshold import FITTED_TO, Threshold, find_threshold
from rig.runfile import FRAME_DTYPE, Flag
from rig.sequence import State

Floats = NDArray[np.float64]

CLIMB = 1.35  # from one coarse step to the next
OUTSHONE = 0.5  # of the spontaneous light in the line: nothing else makes so much more of it
BRACKETED = 1.45  # thresholds: so far the climb goes
METERED = 0.9  # of the frames with an energy of their own, for points by energy
FEWEST_LEFT = 0.9  # of a visit's frames: with more of them saturated nothing stronger is visited, nor is this one used
SMOOTH = ("no-kink", "no-slope")  # refusals of a light that rises, but not as beyond a threshold
CHECKS = 10  # visits after the climb by which a threshold must have been found
CHECKS_OUTSIDE = 3  # the same where the best law's threshold is at an end of the range
MARGIN = 0.1


@dataclass(slots=True, eq=False)
class SweepCourse:
    """The visits of one adaptive sweep.

    Parameters
    ----------
    grid             fluences to choose from (uJ/cm2, (n,), ascending)
    full             fluences of the sweep that this one stands in for (uJ/cm2)
    full_shots       at each of them
    stop_relative    half width of the interval that is enough (relative); 0: that of the full sweep
    state            of the frames that count
    """

    grid: Floats
    full: Floats
    full_shots: int
    stop_relative: float
    state: State
    visited: list[int] = field(default_factory=list[int], init=False)
    _taken: list[NDArray[np.void]] = field(default_factory=list[NDArray[np.void]], init=False)
    _climbing: bool = field(default=True, init=False)
    _without: int = field(default=0, init=False)  # visits after the climb that left no threshold
    _ceiling: int = field(default=0, init=False)  # first fluence that is too strong

    def __post_init__(self) -> None:
        self._ceiling = len(self.grid)

    def take(self, rows: NDArray[np.void]) -> None:
        """Take in the rows of a block; those of other states and flagged ones are left out, and points that saturate."""
        mine = rows[rows["state"] == self.state]
        settled = mine[(mine["flags"] & int(Flag.SETTLING | Flag.LEAD_IN | Flag.UNASSIGNED | Flag.SURPLUS)) == 0]
        over = (settled["flags"] & int(Flag.SATURATED)) != 0
        if over.any() and over.mean() > 1 - FEWEST_LEFT:
            self._ceiling = min(self._ceiling, int(settled["cycle"].min()))
        elif len(good := settled[settled["flags"] == 0]):
            self._taken.append(good)

    def next(self) -> int | None:
        """Choose the next visit: an index into `grid` that was not visited; None when there is nothing more to be learned."""
        if not self._ceiling:
            return None
        index = self._start() if self._climbing else None
        if index is None:
            index = self._refined()
        if index is not None:
            self.visited.append(index)
        return index

    def curve(self) -> LightCurve | None:
        """Light against fluence so far; None without light at the weakest fluences."""
        rows = self._rows()
        if not len(rows):
            return None
        point = rows["cycle"]
        rho = _scale(rows)
        if not np.isfinite(rho):
            return None
        signal = rows["band_535"] - rho * rows["band_520"]
        fluence, energy = self.grid[point], rows["pulse_energy_uj"]
        metered = np.isfinite(energy) & (energy > 0)
        if not metered.mean() >= METERED:
            return set_point_means(point, fluence, signal)
        own = energy[metered] * float(np.median(fluence[metered] / energy[metered]))
        return rebinned(own, signal[metered])

    def _start(self) -> int | None:
        """Climb: the next coarse step, None when the threshold lies below or the range ends."""
        done, top = len(self.visited), self._ceiling - 1
        if done < WEAK_FLUENCES and self.grid[top] >= self.full[done]:
            return int(np.argmin(np.abs(self.grid - self.full[done])))
        last = self.visited[-1]
        curve = self.curve()
        law = rough_law(curve) if curve is not None and self._outshone(last) else None
        bracketed = law is not None and law.threshold * BRACKETED <= self.grid[last]
        if bracketed or last >= top or curve is None:
            self._climbing = False
            return None
        return self._climbed(last)

    def _climbed(self, index: int) -> int:
        """One coarse step up, as far as there is room."""
        at = int(np.argmin(np.abs(np.log(self.grid[index] * CLIMB / self.grid))))
        return min(max(at, index + 1), self._ceiling - 1)

    def _outshone(self, index: int) -> bool:
        """Whether a visit's line is beyond doubt more than that of the spontaneous band."""
        rows = self._rows()
        mine = rows[rows["cycle"] == index]
        own = _scale(rows) * float(mine["band_520"].sum())
        return float(mine["band_535"].sum()) - own > OUTSHONE * own

    def _refined(self) -> int | None:
        curve = self.curve()
        if curve is None or not len(curve.fluence_uj_cm2):
            return None
        found = find_threshold(curve)
        mine = [index for index in self.visited if index < self._ceiling]
        if found.refusal is not None and found.refusal.code in SMOOTH and max(mine) < self._ceiling - 1:
            return self._climbed(max(mine))  # what looked like a threshold was not: higher up
        if found.law is None:
            self._without += 1
        law = found.law or rough_law(curve)
        if law is None or self._over(found, law):
            return None
        zone = needed(self.grid[mine], law.threshold, float(self.grid[self._ceiling - 1]))
        free = np.setdiff1d(np.arange(self._ceiling), self.visited)
        free = free[self.grid[free] < FITTED_TO * law.threshold]
        if zone is not None:
            inside = free[(self.grid[free] >= zone[0]) & (self.grid[free] <= zone[1])]
            free = inside if len(inside) else free
        elif found.law is not None and self._enough(found, curve):
            return None
        if not len(free):
            return None
        so_far = Design(curve.fluence_uj_cm2, curve.error, curve.fluence_error)
        return int(free[most_telling(law, so_far, expected(curve, self.grid[free]))])

    def _over(self, found: Threshold, law: RateLaw) -> bool:
        """Whether to give up on a threshold."""
        if found.law is not None:
            return False
        inside = self.grid[0] * (1 + MARGIN) <= law.threshold <= self.grid[self._ceiling - 1] * (1 - MARGIN)
        return self._without > (CHECKS if inside else CHECKS_OUTSIDE)

    def _enough(self, found: Threshold, curve: LightCurve) -> bool:
        if self.stop_relative > 0:
            value, half = found.value.value, found.value.half_width
            return value is not None and half is not None and half <= self.stop_relative * value
        if curve.method == "energy-rebinned":
            size = shots_per_bin(self.full_shots * len(self.full))
            own = sum(map(len, self._taken)) / len(curve.fluence_uj_cm2)
            return as_narrow(found, expected(curve, self.full, size / own, max(1, round(self.full_shots / size))))
        return as_narrow(found, expected(curve, self.full, self.full_shots / self._usual_shots()))

    def _rows(self) -> NDArray[np.void]:
        return np.concatenate(self._taken) if self._taken else np.zeros(0, FRAME_DTYPE)

    def _usual_shots(self) -> float:
        """Frames that count in a usual visit so far."""
        return float(np.median([len(rows) for rows in self._taken]))


def _scale(rows: NDArray[np.void]) -> float:
    """Light at 535 nm over that at 520 nm at the weakest fluences; NaN when there is none."""
    weak = np.isin(rows["cycle"], np.unique(rows["cycle"])[:WEAK_FLUENCES])
    below = float(rows["band_520"][weak].sum())
    return float(rows["band_535"][weak].sum()) / below if below > 0 else float("nan")
