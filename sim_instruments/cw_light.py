"""Weak continuous light on the film (a lamp, a diode laser) behind a shutter of its own, and what a frame collects of it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.beam import Beam
from sim_instruments.film.film import Film
from sim_instruments.film.photoluminescence import cw_light, frame_nodes

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

AREA_PER_S = 200.0
"""Area of the band per second, of the unused film at 0 V: a frame of 10 ms peaks at some 3000 counts. Source: assumed.

In units of the emission per pulse, where one excitation per nanocrystal gives about its quantum yield: with a lifetime of
nanoseconds <N> stays below 1e-5.
"""

NOISE = 0.002
"""Relative, rms, of the lamp's power. Source: assumed."""

NOISE_HZ = np.geomspace(0.02, 5.0, 9)
"""Where that noise is: equal parts per octave, as in 1/f noise. Source: assumed."""

CLOSED = 2e-4
"""Transmission that counts as none: what comes past closed blades is less than a count per frame, and is left out."""


class Shining(NamedTuple):
    """What exposures collect of the continuous light, (n,) each.

    Attributes
    ----------
    share     mean of transmission, power and yield: 1 for the unused film at 0 V behind open blades
    area      of the band, in photons as of a pulse
    area_ev   area times shift of the band
    """

    share: Floats
    area: Floats
    area_ev: Floats


class ContinuousLight:
    """A lamp that is always on, and what stands between it and the film.

    Parameters
    ----------
    seed      of its slow noise, which is a function of time alone
    area_cm2  of the spot on the film
    """

    def __init__(self, seed: np.random.SeedSequence, area_cm2: float) -> None:
        self.beam = Beam(area_cm2)
        self._phases = np.random.default_rng(seed).uniform(0, 2 * math.pi, len(NOISE_HZ))

    def power(self, t_ns: TimesNs) -> Floats:
        """Power of the lamp at `t_ns`, any shape; 1 on average."""
        angle = 2 * math.pi * NOISE_HZ * (t_ns[..., None] * 1e-9) + self._phases
        return 1 + NOISE * math.sqrt(2 / len(NOISE_HZ)) * np.sin(angle).sum(axis=-1)

    def seen(
        self, film: Film, open_ns: TimesNs, close_ns: TimesNs, fluence_uj_cm2: Floats, first: NDArray[np.intp]
    ) -> Shining | None:
        """What exposures [open, close), (n,) each, collect; None when nothing comes through.

        Parameters
        ----------
        fluence_uj_cm2  of the pulses (m,) that the film gets next
        first           how many of them come before each exposure, (n,), and have bleached the film by then

        Raises ValueError for times that the film has forgotten.
        """
        share, share_ev = np.zeros(len(open_ns)), np.zeros(len(open_ns))
        for length_ns in np.unique(close_ns - open_ns).tolist():
            rows = np.flatnonzero(close_ns - open_ns == length_ns)
            t_ns = frame_nodes(open_ns[rows], close_ns[rows])
            through = self.beam.transmission(t_ns.ravel()).reshape(t_ns.shape)
            lit = (through > CLOSED).any(axis=1)
            if lit.any():
                rows, t_ns, through = rows[lit], t_ns[lit], through[lit]
                arriving = np.where(through > CLOSED, through, 0.0) * self.power(t_ns)
                bleached = film.bleached_by(fluence_uj_cm2)[first[rows]]
                share[rows], share_ev[rows] = cw_light(film, t_ns, arriving, bleached)
        if not share.any():
            return None
        area = AREA_PER_S * 1e-9 * (close_ns - open_ns)
        return Shining(share, area * share, area * share_ev)
