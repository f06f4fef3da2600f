"""The numbers of one film: value, unit, origin and device-to-device spread of each, in one table.

Origins: `paper` (Qin et al., Nano Lett. 2021, 21, 7831), `literature` (other published work), `fitted` (chosen so that the
paper's claims come out), `memory` (from memory, unverified), `assumed` (the paper does not say).
"""

import hashlib
import math
from dataclasses import dataclass, field, fields, replace
from typing import Literal, Self, cast

import numpy as np

Source = Literal["paper", "literature", "fitted", "memory", "assumed"]
Law = Literal["fraction", "factor", "shift", "exponential"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from and how it varies from device to device (`spread` is 1 sigma).

    `fraction` is log-normal with the mean kept, `factor` log-normal times or divided by e^spread with the median kept,
    `shift` normal, in the parameter's own unit, `exponential` the exponential distribution with the value as its mean.
    """

    source: Source
    unit: str
    spread: float = 0.0
    law: Law = "fraction"

    def draw(self, value: float, deviate: float) -> float:
        """Return the value of a device that lies `deviate` sigmas (standard normal) from `value`."""
        if self.law == "shift":
            return value + self.spread * deviate
        if self.law == "factor":
            return value * float(np.exp(self.spread * deviate))
        if self.law == "exponential":
            return value * -math.log(math.erfc(deviate / math.sqrt(2)) / 2)
        sigma_squared = float(np.log1p(self.spread**2))
        return value * float(np.exp(np.sqrt(sigma_squared) * deviate - sigma_squared / 2))


def _of(value: float, unit: str, source: Source, spread: float = 0.0, law: Law = "fraction") -> float:
    return field(default=value, metadata={"origin": Origin(source, unit, spread, law)})


@dataclass(frozen=True, slots=True)
class FilmParameters:
    """One device. `FilmParameters()` holds the table; use `nominal()` or `sampled(serial)`, which are calibrated."""

    # Lifetimes. Biexcitons: a quarter of the trion's, as counting pairs demands (paper: "~80 ps").
    trion_ps: float = _of(290.0, "ps", "paper", 0.04)
    biexciton_ps: float = _of(74.0, "ps", "fitted", 0.06)
    exciton_ps: float = _of(7000.0, "ps", "literature", 0.15)
    vacancy_ps: float = _of(14_000.0, "ps", "assumed")
    quantum_yield: float = _of(0.60, "1", "assumed")

    # State spectra; neutral exciton peak = 1. Energies move together from device to device.
    energy_shift_ev: float = _of(0.0, "eV", "assumed", 0.003, "shift")
    exciton_ev: float = _of(2.4254, "eV", "fitted")
    exciton_width_ev: float = _of(0.1442, "eV", "fitted")
    emission_nm: float = _of(520.0, "nm", "paper")
    emission_width_ev: float = _of(0.0958, "eV", "fitted")
    biexciton_shift_ev: float = _of(0.0684, "eV", "fitted")
    trion_shift_ev: float = _of(0.0559, "eV", "fitted")
    trion_strength: float = _of(0.9756, "1", "fitted")
    biexciton_strength: float = _of(0.4525, "1", "fitted")
    charged_biexciton_strength: float = _of(0.4670, "1", "fitted")
    esa_shift_ev: float = _of(0.0679, "eV", "fitted")
    esa_strength: float = _of(0.5002, "1", "fitted")
    esa_width_ev: float = _of(0.1079, "eV", "fitted")
    charged_shift_ev: float = _of(0.0043, "eV", "fitted")
    induced_absorption: float = _of(0.0453, "1", "fitted")
    continuum_strength: float = _of(0.9, "1", "fitted")
    continuum_offset_ev: float = _of(0.07, "eV", "fitted")
    continuum_width_ev: float = _of(0.05, "eV", "fitted")

    # Pump, gain stripe and collection. Loss and coupling: jointly from the thresholds at 0 and 20 V, see calibrated().
    pump_coupling: float = _of(0.33976, "1", "fitted", 0.12)
    pump_cross_section_cm2: float = _of(4e-14, "cm2", "assumed")
    gain_per_cm: float = _of(2000.0, "1/cm", "fitted", 0.08)
    loss_per_cm: float = _of(204.26, "1/cm", "fitted", 0.12)
    stripe_cm: float = _of(0.10, "cm", "assumed", 0.03)
    guided_fraction: float = _of(1e-4, "1", "assumed", 0.5, "factor")
    extraction: float = _of(0.8, "1", "assumed")
    ase_collection: float = _of(2.5, "1", "assumed")
    se_nm: float = _of(520.0, "nm", "paper", 0.8, "shift")
    se_width_nm: float = _of(25.0, "nm", "paper", 0.03)
    gain_falloff_per_k: float = _of(0.004, "1/K", "memory")
    gap_ev_per_k: float = _of(1.5e-4, "eV/K", "memory")
    ion_dimming: float = _of(0.03, "1", "assumed")
    bleach_per_shot: float = _of(5e-8, "1", "assumed", 0.5, "factor")

    # Charging, ions, heat.
    discharge_per_s: float = _of(40.0, "1/s", "fitted", 0.20)
    charge_per_s: float = _of(160.0, "1/s", "fitted", 0.25)
    ion_screening: float = _of(0.12, "1", "assumed")
    ion_s: float = _of(4.0, "s", "assumed", 0.30)
    fast_heat_k_per_w: float = _of(15.0, "K/W", "assumed", 0.20)
    fast_heat_s: float = _of(5e-3, "s", "assumed", 0.20)
    slow_heat_k_per_w: float = _of(60.0, "K/W", "assumed", 0.20)
    slow_heat_s: float = _of(3.0, "s", "assumed", 0.20)

    # Current.
    area_cm2: float = _of(0.04, "cm2", "assumed")
    thickness_nm: float = _of(300.0, "nm", "assumed")
    permittivity: float = _of(5.0, "1", "memory")
    mobility_cm2_per_vs: float = _of(1e-6, "cm2/Vs", "memory", 0.40)
    rectification: float = _of(0.06, "1", "assumed")
    ion_current_loss: float = _of(0.15, "1", "assumed")
    current_per_k: float = _of(0.01, "1/K", "assumed")
    series_ohm: float = _of(60.0, "ohm", "assumed")
    shunt_ohm: float = _of(2e6, "ohm", "assumed", 0.50)
    cable_pf: float = _of(120.0, "pF", "assumed")

    # Film in transmission, 150 nm between ITO; the paper does not say at which wavelength its optical density is meant.
    film_od: float = _of(0.46, "1", "paper")
    film_od_nm: float = _of(400.0, "nm", "assumed")
    exciton_od: float = _of(0.30, "1", "assumed")
    transmission_coupling_cm2_per_uj: float = _of(0.0354, "cm2/uJ", "assumed")

    # Damage and breakdown, see damage.py.
    hazard_per_s: float = _of(2e-6, "1/s", "assumed")
    breakdown_v: float = _of(20.0, "V", "assumed", 0.8, "shift")
    hazard_decade_v: float = _of(1.5, "V", "assumed")
    hazard_per_k: float = _of(0.05, "1/K", "assumed")
    hazard_per_damage: float = _of(30.0, "1", "assumed")
    damage_per_hazard: float = _of(0.02, "1", "assumed")
    damage_at_breakdown: float = _of(0.5, "1", "assumed")
    loss_per_damage: float = _of(0.5, "1", "assumed")
    critical_hazard: float = _of(1.0, "1", "assumed", 1.0, "exponential")
    short_ohm: float = _of(120.0, "ohm", "assumed", 0.5, "factor")

    # What a layer that blocks injection changes, see variants.py.
    injected_share: float = _of(1.0, "1", "assumed")
    voltage_share: float = _of(1.0, "1", "assumed")
    stark_ev_per_v2: float = _of(0.0, "eV/V2", "assumed")

    @classmethod
    def nominal(cls) -> Self:
        """Return the device whose thresholds are those of the paper, 68 and 32 uJ/cm2 at 0 and 20 V."""
        from sim_instruments.film.emission import calibrated  # emission is built on this module

        return cast(Self, calibrated())

    @classmethod
    def sampled(cls, serial: str) -> Self:
        """Return the device with this serial number: every spread drawn once, the same at every call.

        Each parameter has a generator of its own, so that a parameter added later leaves the others as they were.
        """
        device = cls.nominal()
        drawn = {
            name: origin.draw(getattr(device, name), float(_generator(serial, name).standard_normal()))
            for name, origin in cls.origins().items()
            if origin.spread
        }
        return replace(device, **drawn)

    @classmethod
    def origins(cls) -> dict[str, Origin]:
        """Return the origin of every parameter by name."""
        return {entry.name: entry.metadata["origin"] for entry in fields(cls)}

    @classmethod
    def assumed(cls) -> tuple[str, ...]:
        """Return the names of the parameters that are assumed or from memory: unknown rig data, not measurements."""
        return tuple(name for name, origin in cls.origins().items() if origin.source in ("assumed", "memory"))


def _generator(serial: str, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{serial}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
