"""The pump beam between laser and film: what stands in it, and who looks at it."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

Witness = Callable[[TimesNs, Floats], None]
"""Told every pulse that comes through the beam, in the order of time: when (ns) and its energy (uJ), (n,) each."""


class Element(Protocol):
    """Something the beam goes through."""

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return the part of a pulse at each time that comes through, 0 to 1, (n,); never asked about the past."""
        ...


class Beam:
    """Elements in a row (attenuator, shutter), then a pick-off for the energy meter, then filters, then the film.

    Parameters
    ----------
    area_cm2 : true area of the spot on the film, which makes energy of fluence
    """

    def __init__(self, area_cm2: float) -> None:
        self.area_cm2 = area_cm2
        self.elements: list[Element] = []
        self.filters: list[Element] = []
        self.witnesses: list[Witness] = []

    def transmission(self, t_ns: TimesNs) -> Floats:
        """Return what everything before the pick-off lets through at `t_ns` (n,)."""
        return _through(self.elements, t_ns)

    def filtered(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> Floats:
        """Return what of pulses at the pick-off reaches the film, (n,) each."""
        return fluence_uj_cm2 * _through(self.filters, t_ns) if self.filters else fluence_uj_cm2

    def passed(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> None:
        """Tell the witnesses of pulses that come to the pick-off, (n,) each; fluence as it would be without filters."""
        for witness in self.witnesses:
            witness(t_ns, fluence_uj_cm2 * self.area_cm2)


def _through(elements: list[Element], t_ns: TimesNs) -> Floats:
    through = np.ones(len(t_ns))
    for element in elements:
        through *= element.transmission(t_ns)
    return through
