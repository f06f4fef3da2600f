"""Ageing that never heals: damage D, bleached fraction B and integrated hazard H, and the breakdown to a short.

Breakdown comes when H, an integral of a rate that rises a decade every 1.5 V, reaches the level H_c that the film was made with
(exponentially distributed, so that the chance of surviving is e^-H). Source: more likely above 20 V, paper; law and numbers
assumed.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.current import SOUND, Circuit, Contact
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]

MOST_DECADES = 30.0
"""Where the hazard stops rising: far beyond breakdown within a nanosecond, and before numbers overflow."""

WEAK_SHARE = 0.9
"""Share of H_c from which on a film announces its breakdown. Source: assumed; 5 s ahead at 26 V."""

WEAK_SHUNT = 0.8
WEAK_NOISE = 3e-3
"""Shunt relative to a sound one, and noise of the current, before a breakdown. Source: assumed; the noise is five times what
a source-meter adds at 20 V."""

BROKEN_LOSS = 0.5
BROKEN_GAIN = 0.8
BROKEN_LIGHT = 0.6
"""After a breakdown: loss added (relative), gain and yield left. Source: assumed."""


class Wear(NamedTuple):
    """What a film never gets rid of; each number only grows. D and B are fractions, H counts expected breakdowns."""

    damage: float = 0.0
    bleached: float = 0.0
    hazard: float = 0.0

    def merged(self, other: "Wear") -> "Wear":
        """Return the larger of each."""
        return Wear(*map(max, self, other))


class Condition(NamedTuple):
    """Factors on modal loss, modal gain and collected light of n shots, (n,) each; 1 in a film as made."""

    loss: Floats
    gain: Floats
    light: Floats


def hazard_per_s(parameters: FilmParameters, voltage_v: float, warming_k: float = 0.0, damage: float = 0.0) -> float:
    """h(V) = h20 10^((|V| - V_b)/1.5 V) exp(0.05 dT) (1 + 30 D), in 1/s; none without bias (the law: below 1e-19).

    A cold new film breaks within 60 s with a chance of 5.6e-6, 1.2e-4, 2.6e-3, 5.4e-2, 0.70, 1.00 at 18, 20, 22, 24, 26, 28 V.
    """
    if not voltage_v:
        return 0.0
    p = parameters
    decades = (abs(voltage_v) - p.breakdown_v) / p.hazard_decade_v + p.hazard_per_k * warming_k / math.log(10)
    return p.hazard_per_s * 10.0 ** min(decades, MOST_DECADES) * (1 + p.hazard_per_damage * damage)


def is_broken(parameters: FilmParameters, hazard: float) -> bool:
    """Whether a film of this H is a short."""
    return hazard >= parameters.critical_hazard


def is_weak(parameters: FilmParameters, hazard: float) -> bool:
    """Whether a film of this H announces its breakdown."""
    return WEAK_SHARE * parameters.critical_hazard <= hazard < parameters.critical_hazard


def circuit(parameters: FilmParameters, contact: Contact = SOUND, damage: float = 0.0, hazard: float = 0.0) -> Circuit:
    """Resistances of a film so aged behind such a contact.

    Damage opens the shunt, R_sh e^-3D, and a film about to break has 20 % less still; a broken one has R_short beside it and
    injects nothing. What a contact has lost of its area carries nothing.
    """
    p = parameters
    shunt_ohm = p.shunt_ohm * math.exp(-3 * damage) / contact.area
    if is_broken(p, hazard):
        return Circuit(p.series_ohm + contact.resistance_ohm, 1 / (1 / shunt_ohm + 1 / p.short_ohm), 0.0, stiff=False)
    if is_weak(p, hazard):
        shunt_ohm *= WEAK_SHUNT
    injected = p.injected_share * contact.area
    return Circuit(p.series_ohm + contact.resistance_ohm, shunt_ohm, injected, stiff=not contact.resistance_ohm)


def condition(parameters: FilmParameters, damage: Floats, hazard: Floats) -> Condition:
    """Return what ageing does to the light, all (n,): alpha_l (1 + D/2), after a breakdown x 1.5, gain x 0.8, yield x 0.6."""
    broken = hazard >= parameters.critical_hazard
    return Condition(
        1 + parameters.loss_per_damage * damage + BROKEN_LOSS * broken,
        np.where(broken, BROKEN_GAIN, 1.0),
        np.where(broken, BROKEN_LIGHT, 1.0),
    )


def crackle(seed: int, t_ns: int) -> float:
    """Factor on the current of a film about to break at `t_ns`: 1 with a standard deviation of WEAK_NOISE, white."""
    return 1 + WEAK_NOISE * float(np.random.default_rng((seed, t_ns % 2**63)).standard_normal())
