"""What a switching run with a stop rule says: how well the contrast is known, or how long the film lasted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.degradation import LEAST_CYCLES, Degradation, degradation, narrow_enough
from rig.analysis.statistics import Value
from rig.measurements.on_off import OnOff
from rig.measurements.stop_rule import cycles_of
from rig.report.summary import value_text
from rig.runfile import Flag


@dataclass(frozen=True, slots=True)
class Precision:
    """The rule on the contrast; `cycles` are those with frames that count."""

    wanted_percent: float
    cycles: int
    most_cycles: int
    contrast: Value

    @property
    def reached(self) -> bool:
        """Tell whether the interval is as narrow as wanted."""
        return narrow_enough(self.contrast, self.wanted_percent)

    @property
    def percent(self) -> float | None:
        """Get half the interval as a part of the contrast (%), None without one."""
        half, value = self.contrast.half_width, self.contrast.value
        return None if half is None or not value else 100 * half / abs(value)

    @property
    def sentence(self) -> str:
        """Say whether and when."""
        known = "not known" if self.percent is None else f"known to {self.percent:.2g} %"
        verdict = "as wanted" if self.reached else "wanted were"
        wanted = f"{verdict} ({self.wanted_percent:g} %)" if self.reached else f"{verdict} {self.wanted_percent:g} %"
        return f"the contrast is {known}, {wanted}, after {self.cycles} of at most {self.most_cycles} cycles"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain numbers."""
        return {
            "wanted_percent": self.wanted_percent,
            "percent": self.percent,
            "reached": self.reached,
            "cycles": self.cycles,
            "most_cycles": self.most_cycles,
        }


@dataclass(frozen=True, slots=True)
class Stability:
    """How long the film lasted; `dose_j_cm2` is that until it was degraded, or of the whole run."""

    found: Degradation
    dose_j_cm2: float

    @property
    def degraded(self) -> bool | None:
        """Tell whether it degraded; None with too few cycles."""
        if self.found.degraded_cycle is not None:
            return True
        return False if self.found.cycles >= LEAST_CYCLES else None

    @property
    def cycles_until_degraded(self) -> int | None:
        """Get after how many cycles, None when it did not degrade."""
        return None if self.found.degraded_cycle is None else self.found.degraded_cycle + 1

    @property
    def sentence(self) -> str:
        """Say it with its bounds."""
        found, limit = self.found, f"{100 * self.found.limit:g} %"
        if self.degraded is None:
            return f"whether the film degrades is not known: {found.cycles} cycles that count, {LEAST_CYCLES} are needed"
        if found.degraded_cycle is not None:
            after = f"after {self.cycles_until_degraded} cycles and {self.dose_j_cm2:.3g} J/cm2"
            return f"degraded: the {found.state} light had fallen by more than {limit} {after}; {self._losses}"
        within = f"within {found.cycles} cycles and {self.dose_j_cm2:.3g} J/cm2"
        bound = found.loss_bound
        known = "" if bound is None else f", by at most {100 * max(bound, 0.0):.2g} % (95 %)"
        return f"not degraded by {limit} {within}{known}; {self._losses}"

    @property
    def _losses(self) -> str:
        states = (("OFF", self.found.off_loss), ("ON", self.found.on_loss))
        losses = ", ".join(f"{name} {value_text(percent_of(loss))}" for name, loss in states)
        energy = "equal pulse energy" if self.found.equal_energy else "pulse energies as they came"
        return f"loss at the end: {losses} ({energy})"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain numbers: losses as fractions."""
        found = self.found
        return {
            "degraded": self.degraded,
            "limit_percent": 100 * found.limit,
            "cycles": found.cycles,
            "cycles_until_degraded": self.cycles_until_degraded,
            "state": found.state or None,
            "dose_j_cm2": self.dose_j_cm2,
            "off_loss": found.off_loss.as_json(),
            "on_loss": found.on_loss.as_json(),
            "loss_bound": found.loss_bound,
            "equal_energy": found.equal_energy,
            "off_loss_by_cycle": [one.value for one in found.off_by_cycle],
            "on_loss_by_cycle": [one.value for one in found.on_by_cycle],
        }


def precision_of(rows: NDArray[np.void], contrast: Value, parameters: OnOff) -> Precision | None:
    """Judge the contrast by the run's own rule; None when it has none."""
    wanted = parameters.stop_below_percent
    return None if wanted is None else Precision(wanted, len(cycles_of(rows)), parameters.cycles, contrast)


def stability_of(rows: NDArray[np.void], parameters: OnOff, fluence_uj_cm2: float | None) -> Stability | None:
    """Judge the film by the run's own rule; None when it has none.

    Parameters
    ----------
    fluence_uj_cm2  as measured (uJ/cm2); None: as asked for
    """
    if parameters.stop_degraded_percent is None:
        return None
    found = degradation(cycles_of(rows), 0.01 * parameters.stop_degraded_percent)
    lit = (rows["flags"] & int(Flag.REFERENCE)) == 0
    end = len(rows)
    if found.degraded_cycle is not None:
        end = int(np.flatnonzero(rows["cycle"] == found.degraded_cycle)[-1]) + 1
    pulses = int(np.count_nonzero(lit[:end]))  # one to a frame; those that no frame came of are not counted
    fluence = parameters.fluence_uj_cm2 if fluence_uj_cm2 is None else fluence_uj_cm2
    return Stability(found, 1e-6 * pulses * fluence)


def percent_of(loss: Value) -> Value:
    """A fraction in percent."""
    ci95 = loss.ci95 and (100 * loss.ci95[0], 100 * loss.ci95[1])
    return Value(None if loss.value is None else 100 * loss.value, ci95, "%")
