"""The direct current through ITO, film and ITO: space-charge-limited, a shunt, and the resistance of the leads."""

import math

from sim_instruments.film.parameters import FilmParameters

EPSILON_0 = 8.8541878128e-12


def mott_gurney_a_per_v2(parameters: FilmParameters) -> float:
    """J A / V^2 = (9/8) eps0 epsr mu A / d^3 (A/V^2)."""
    p = parameters
    mobility, area, thickness = p.mobility_cm2_per_vs * 1e-4, p.area_cm2 * 1e-4, p.thickness_nm * 1e-9
    return 9 / 8 * EPSILON_0 * p.permittivity * mobility * area / thickness**3


def capacitance_f(parameters: FilmParameters) -> float:
    """C = eps0 epsr A / d + cable (F); 0.71 nF in the nominal film."""
    p = parameters
    return EPSILON_0 * p.permittivity * p.area_cm2 * 1e-4 / (p.thickness_nm * 1e-9) + p.cable_pf * 1e-12


def steady_current_a(parameters: FilmParameters, voltage_v: float, ion: float, warming_k: float) -> float:
    """I = V'/R_sh + J A V'|V'| (1 + 0.06 sgn V)(1 - 0.15 y)(1 + 0.01 dT) with V' = V - I R_s (A), noise-free.

    `ion` is signed by the bias that built it up: it opposes a current of that sign. 1.3, 22, 83, 322 uA at 1, 5, 10, 20 V.
    """
    p = parameters
    sign = math.copysign(1.0, voltage_v)
    injected = (
        mott_gurney_a_per_v2(p)
        * (1 + p.rectification * sign)
        * (1 - p.ion_current_loss * ion * sign)
        * (1 + p.current_per_k * warming_k)
    )
    current = 0.0
    for _ in range(3):
        inner = voltage_v - current * p.series_ohm
        current = inner / p.shunt_ohm + injected * inner * abs(inner)
    return current
