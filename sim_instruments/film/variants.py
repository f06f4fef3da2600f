"""Devices made otherwise: what a layer between film and electrode changes. Source: control device, paper, Figure 4d."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from sim_instruments.film.charging import FULL_VOLTAGE_V
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.spectra import HC_EV_NM

BLOCKED_FRACTION = 1e-3
"""Charged fraction at 20 V that gets past the polymer. Source: fitted to "insensitive", paper."""

BLOCKED_SHUNT = 50.0
FILM_SHARE = 0.82
STARK_NM = 0.15
"""Shift of the band at 20 V on the device, to the red. Source: assumed; small, as the paper excludes the Stark effect."""


def pmma(parameters: FilmParameters) -> FilmParameters:
    """About 20 nm of PMMA between film and ITO: no injection, 50 times the shunt, and 82 % of the voltage still on the film.

    f = 1e-3 (V/20)^2; the band shifts by the square of the field. Breakdown as without. Ions that cannot reach the ITO dim
    nothing (assumed).
    """
    p = parameters
    shift_ev = HC_EV_NM * STARK_NM / p.se_nm**2
    return replace(
        p,
        charge_per_s=p.discharge_per_s * BLOCKED_FRACTION / (1 - BLOCKED_FRACTION),
        ion_dimming=0.0,
        injected_share=0.0,
        shunt_ohm=p.shunt_ohm * BLOCKED_SHUNT,
        voltage_share=FILM_SHARE,
        stark_ev_per_v2=shift_ev / (FILM_SHARE * FULL_VOLTAGE_V) ** 2,
    )


VARIANTS: Mapping[str, Callable[[FilmParameters], FilmParameters]] = {"bare": lambda parameters: parameters, "pmma": pmma}


def device(serial: str | None = None, variant: str | None = None) -> FilmParameters:
    """Return the film of this serial number (None: the nominal one) and make (None: bare). Raises ValueError."""
    make = VARIANTS.get(variant or "bare")
    if make is None:
        raise ValueError(f"no device variant {variant!r}; there are {', '.join(VARIANTS)}")
    return make(FilmParameters.nominal() if serial is None else FilmParameters.sampled(serial))
