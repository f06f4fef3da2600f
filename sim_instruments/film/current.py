"""The direct current through ITO, film and ITO: space-charge-limited, a shunt, and the resistance of the leads."""

import math
from typing import NamedTuple

from sim_instruments.film.parameters import FilmParameters

EPSILON_0 = 8.8541878128e-12


class Contact(NamedTuple):
    """What lies between lead and film: a resistance (ohm), and the part of the electrode's area that still touches."""

    resistance_ohm: float = 0.0
    area: float = 1.0

    def beside(self, other: "Contact") -> "Contact":
        """Return both faults at once."""
        return Contact(self.resistance_ohm + other.resistance_ohm, self.area * other.area)


SOUND = Contact()


class Circuit(NamedTuple):
    """The film as resistances (ohm), and the share of the sound film's injection that is left.

    `stiff` says that the film takes nearly all of the voltage, so that iterating for its share converges.
    """

    series_ohm: float
    shunt_ohm: float
    injected: float
    stiff: bool = True


def mott_gurney_a_per_v2(parameters: FilmParameters) -> float:
    """J A / V^2 = (9/8) eps0 epsr mu A / d^3 (A/V^2)."""
    p = parameters
    mobility, area, thickness = p.mobility_cm2_per_vs * 1e-4, p.area_cm2 * 1e-4, p.thickness_nm * 1e-9
    return 9 / 8 * EPSILON_0 * p.permittivity * mobility * area / thickness**3


def cable_f(parameters: FilmParameters) -> float:
    """Capacitance on the lead's side of the contact (F)."""
    return parameters.cable_pf * 1e-12


def capacitance_f(parameters: FilmParameters) -> float:
    """C = eps0 epsr A / d + cable (F); 0.71 nF in the nominal film. A layer in series with the film takes its share of it."""
    p = parameters
    film_f = EPSILON_0 * p.permittivity * p.area_cm2 * 1e-4 / (p.thickness_nm * 1e-9)
    return p.voltage_share * film_f + cable_f(p)


def steady_current_a(
    parameters: FilmParameters, voltage_v: float, ion: float, warming_k: float, circuit: Circuit | None = None
) -> float:
    """I = V'/R_sh + J A V'|V'| (1 + 0.06 sgn V)(1 - 0.15 y)(1 + 0.01 dT) with V' = V - I R_s (A), noise-free.

    `ion` is signed by the bias that built it up: it opposes a current of that sign. 1.3, 22, 83, 322 uA at 1, 5, 10, 20 V.
    Without `circuit` the film is as made.
    """
    p = parameters
    series_ohm, shunt_ohm, share, stiff = circuit or Circuit(p.series_ohm, p.shunt_ohm, p.injected_share)
    sign = math.copysign(1.0, voltage_v)
    injected = (
        mott_gurney_a_per_v2(p)
        * share
        * (1 + p.rectification * sign)
        * (1 - p.ion_current_loss * ion * sign)
        * (1 + p.current_per_k * warming_k)
    )
    if not stiff:  # the root of a quadratic in |V'|
        half = (1 + series_ohm / shunt_ohm) / 2
        inner = voltage_v / (half + math.sqrt(half**2 + injected * series_ohm * abs(voltage_v)))
        return inner / shunt_ohm + injected * inner * abs(inner)
    current = 0.0
    for _ in range(3):
        inner = voltage_v - current * series_ohm
        current = inner / shunt_ohm + injected * inner * abs(inner)
    return current
