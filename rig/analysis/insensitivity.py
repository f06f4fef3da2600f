"""Whether a device does not react to a voltage: light, line position and current, each a statement with its margin.

Built on rig.analysis.equivalence: "insensitive" needs data that exclude a change, "changed" data that exclude none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bracketed_ladder import Bracket
from rig.analysis.equivalence import Ceiling, Equivalence, Judgement, equivalence_of_brackets, equivalence_of_slope
from rig.analysis.lineshape import find_line
from rig.analysis.statistics import Value

Floats = NDArray[np.float64]

LINE_NM = (500.0, 545.0)


@dataclass(frozen=True, slots=True)
class Insensitivity:
    """What a control device shows.

    light    relative change of the light at the highest voltage, from brackets right after one another
    slope    relative change of the light from 0 V to the highest voltage, along a line through all voltages
    peak     shift of the line at the highest voltage (nm)
    current  at the highest voltage against its limit (A); None without a reference
    """

    light: Equivalence
    slope: Equivalence
    peak: Equivalence
    current: Ceiling | None

    @property
    def current_judgement(self) -> Judgement | None:
        """Get the judgement of the current, None without a reference."""
        if self.current is None:
            return None
        judged: dict[bool | None, Judgement] = {True: "insensitive", False: "changed", None: "undecided"}
        return judged[self.current.below]

    @property
    def judgement(self) -> Judgement:
        """Get the judgement of all: changed if anything is, insensitive if everything is that was compared."""
        found = (self.light.judgement, self.slope.judgement, self.peak.judgement, self.current_judgement)
        if "changed" in found:
            return "changed"
        return "undecided" if "undecided" in found else "insensitive"


def light_change(levels: Sequence[float], margin: float) -> Equivalence:
    """Judge light (counts) measured in turn, at 0 V, biased, at 0 V, ..., at 0 V; NaN where there is none."""
    return _alternating(levels, margin)


def light_slope(brackets: Sequence[Bracket], full_v: float, margin: float) -> Equivalence:
    """Judge the light of all brackets over that at 0 V along a straight line to `full_v` (V)."""
    voltage_v = np.array([one.biased.voltage_v for one in brackets], np.float64)
    return equivalence_of_slope(voltage_v, np.array([one.relative for one in brackets], np.float64), full_v, margin)


def peak_change(wavelength_nm: Floats, spectra: Sequence[Floats | None], margin_nm: float) -> Equivalence:
    """Judge the line's centre (parabola through ln I above half maximum) in spectra taken in turn as in `light_change`."""
    lines = [None if one is None else find_line(wavelength_nm, one, LINE_NM) for one in spectra]
    centres = [np.nan if line is None or line.centre_nm is None else line.centre_nm for line in lines]
    missing = next((line.reason for line in lines if line is not None and line.centre_nm is None), "")
    if not np.isfinite(centres).all():
        reason = missing or "a stay has no spectrum"
        return Equivalence(Value(None, None, "nm"), None, margin_nm, None, "undecided", reason)
    # a relative change of the wavelength: the same judgement, in other units
    typical_nm = float(np.mean(centres))
    found = _alternating(centres, margin_nm / typical_nm)
    change, lo_hi = found.change, found.change.ci95
    value = None if change.value is None else change.value * typical_nm
    ci95 = None if lo_hi is None else (lo_hi[0] * typical_nm, lo_hi[1] * typical_nm)
    ci90 = None if found.ci90 is None else (found.ci90[0] * typical_nm, found.ci90[1] * typical_nm)
    reason = found.reason
    if ci90 is not None:
        words = {"insensitive": "90 % interval inside", "changed": "95 % interval outside", "undecided": "not told apart from"}
        reason = f"{words[found.judgement]} ±{margin_nm:.3g} nm"
    return replace(found, change=Value(value, ci95, "nm"), ci90=ci90, margin=margin_nm, reason=reason)


def _alternating(levels: Sequence[float], margin: float) -> Equivalence:
    return equivalence_of_brackets(np.array(levels, np.float64), np.arange(len(levels)) % 2 == 1, margin)
