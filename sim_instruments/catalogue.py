"""Which instruments can be simulated: finds the persona files of this package by itself, and what a persona gets of its world.

A persona file says what it is in its module constant PERSONA, or PERSONAS when one file holds several models.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

import sim_instruments
from sim_instruments.beam import Beam
from sim_instruments.persona import Persona
from sim_instruments.spectrograph import OCEAN_FX, Geometry

if TYPE_CHECKING:
    from sim_instruments.light_path import LightPath
    from sim_instruments.world import RecordedTerminal


KINDS = {"cw_shutter": "shutter"}
"""Roles that are played by the personas of another: what stands in another beam is the same instrument."""

ELSEWHERE = {"cw_shutter": "ASRL/dev/ttyUSB2::INSTR"}
"""A resource name for those, which must not be that of the other."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a persona may need of the world when it is made.

    Parameters
    ----------
    terminal     what hangs on a source's output
    light_path   laser, film and spectrograph; fulfils Optics
    beam         what stands in the pump beam, or in the role's own: where attenuator and shutter put themselves, a meter looks
    rng          of this role alone; the same seed gives the same noise whatever else stands on the bench
    settings     this role's part of the bench's description: model, resource, and what else a bench says of it
    wire_time    whether transfer times are the persona's to simulate: not on real wires, which take their own
    """

    terminal: "RecordedTerminal"
    light_path: "LightPath"
    beam: Beam
    rng: np.random.Generator
    settings: Mapping[str, Any]
    wire_time: bool = True

    @property
    def serial_line(self) -> bool:
        """Get whether the instrument is reached without a device clear of the interface: a serial line or a raw socket."""
        resource = str(self.settings["resource"]).upper()
        return resource.startswith("ASRL") or resource.endswith("::SOCKET")


@dataclass(frozen=True, slots=True)
class PersonaEntry:
    """What a persona file says of itself.

    Parameters
    ----------
    model      as written in a bench file
    role       what it can be on a bench
    make       makes the instrument; called once per world
    resource   a VISA resource name as this model would have it, for benches that name none
    geometry   of the detector that the light ends on, where the model is a spectrometer
    """

    model: str
    role: str
    make: Callable[[Surroundings], Persona]
    resource: str
    geometry: Geometry = OCEAN_FX


@cache
def entries() -> tuple[PersonaEntry, ...]:
    """Every persona of this package, by model name. The names come from the package's own folder, never from data."""
    modules = [import_module(f"{sim_instruments.__name__}.{m.name}") for m in pkgutil.iter_modules(sim_instruments.__path__)]
    alone = [getattr(module, "PERSONA", None) for module in modules]
    several = [entry for module in modules for entry in getattr(module, "PERSONAS", ())]
    found = [entry for entry in [*alone, *several] if isinstance(entry, PersonaEntry)]
    return tuple(sorted({entry.model: entry for entry in found}.values(), key=lambda entry: entry.model))


def find(model: str, role: str) -> PersonaEntry:
    """Return the persona of a model in a role, any of KINDS included.

    Raises
    ------
    ValueError  there is none; says which there are
    """
    candidates = [entry for entry in entries() if entry.role == KINDS.get(role, role)]
    for entry in candidates:
        if entry.model == model:
            return entry if entry.role == role else replace(entry, role=role, resource=ELSEWHERE[role])
    known = ", ".join(entry.model for entry in candidates) or "none"
    raise ValueError(f"no simulated {model} as {role.replace('_', ' ')}; there are {known}")
