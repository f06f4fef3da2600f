"""Which models there are drivers for: finds the driver files of this package by itself and matches identities to them."""

import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any, Literal, Protocol

from pymeasure.adapters import Adapter
from pyvisa import ResourceManager

import drivers
from drivers.clock import Clock
from drivers.errors import ConfigError, Reason, WrongIdentity
from drivers.link import Link, open_link
from drivers.roles import Identity, Instrument

Role = Literal[
    "voltage_source", "laser_trigger", "spectrometer", "attenuator", "energy_meter", "shutter", "cw_shutter", "filter_wheel"
]
KINDS: Mapping[str, Role] = {"cw_shutter": "shutter"}
"""Roles that are played by the drivers of another: what stands in another beam is the same instrument."""
HAZARDS: tuple[Role, ...] = ("laser_trigger", "shutter", "cw_shutter", "voltage_source", "spectrometer")
"""Roles that can be switched off or closed; light first: without pulses nothing is measured under a falling voltage."""


class Closable(Protocol):
    """A connection that ends."""

    def close(self) -> None:
        """End it; the instrument stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class DriverEntry:
    """What a driver file says of itself in its module constant DRIVER.

    Parameters
    ----------
    model              as written in a bench file
    role               what it can be on a bench
    identity           regular expression for the beginning of "maker,model" as in an *IDN? answer (any case)
    build              makes the instrument from an adapter; talks to nobody
    read_termination   end of an answer on the wire, None for a binary protocol
    write_termination  end of a message on the wire
    serial_line        attributes of the VISA resource when it is a serial line (baud_rate), unless the caller gives others
    open_alone         opens (resource name, clock) without VISA, through the maker's own library; `build` is None then
    instrument         the class, where `build` is not it
    any_identity       a class of instruments and no model: a bench that names it accepts whoever no other driver knows
    """

    model: str
    role: Role
    identity: str
    build: Callable[[Adapter], Instrument] | None
    read_termination: str | None = "\n"
    write_termination: str | None = "\n"
    serial_line: Mapping[str, object] = field(default_factory=dict[str, object])
    open_alone: Callable[[str, Clock], tuple[Instrument, Closable]] | None = None
    instrument: type[Any] | None = None
    any_identity: bool = False

    @property
    def kind(self) -> Any:
        """Get the instrument's class: what a role wants to know of a model before it is opened."""
        return self.instrument or self.build

    def claims(self, idn: str) -> bool:
        """Tell whether an *IDN? answer (blanks after commas do not matter) is this model's own."""
        return re.match(self.identity, re.sub(r",\s+", ",", idn.strip()), re.IGNORECASE) is not None

    def matches(self, idn: str) -> bool:
        """Tell whether an *IDN? answer may come from where a bench names this model."""
        return self.claims(idn) or (self.any_identity and match_idn(idn) is None)

    def line_settings(self, resource_name: str) -> Mapping[str, object]:
        """Return the attributes that the VISA resource needs: those of a serial line if it is one."""
        return self.serial_line if resource_name.upper().startswith("ASRL") else {}

    def require(self, identity: Identity) -> Identity:
        """Return `identity` when it is this model's.

        Raises
        ------
        WrongIdentity  it is not
        """
        if not self.matches(f"{identity.maker},{identity.model}"):
            raise WrongIdentity(
                f"A {self.model} should answer here, but it is: {identity}.",
                where=str(identity),
                hardware_state="only its identity was asked",
                next_step="check the resource name and the model in the bench file",
            )
        return identity

    def connect(
        self, resource_manager: ResourceManager, resource_name: str, clock: Clock, **settings: Any
    ) -> tuple[Instrument, Closable]:
        """Open the instrument; talks to nobody yet. Also returns what has to be closed in the end.

        Raises
        ------
        InstrumentError  the resource cannot be opened
        """
        if self.build is None or self.open_alone is not None:
            if self.open_alone is None:
                raise TypeError(f"the driver of {self.model} says neither how to build nor how to open it")
            return self.open_alone(resource_name, clock)
        link = self.open_link(resource_manager, resource_name, clock, **settings)
        return self.build(link), link

    def open_link(self, resource_manager: ResourceManager, resource_name: str, clock: Clock, **settings: Any) -> Link:
        """Open a link framed for this model; further settings are attributes of the VISA resource (baud_rate).

        Raises
        ------
        InstrumentError  the resource cannot be opened
        """
        settings = {**self.line_settings(resource_name), **settings}
        return open_link(
            resource_manager,
            resource_name,
            clock,
            name=f"{self.role.replace('_', ' ')} ({self.model})",
            read_termination=self.read_termination,
            write_termination=self.write_termination,
            **settings,
        )


def require_same(found: Identity, known: Identity | None) -> Identity:
    """Return `found` when it is who answered before, or nobody did.

    Raises
    ------
    WrongIdentity  it is another instrument
    """
    if known not in (None, found):
        raise WrongIdentity(
            f"Another instrument answers than before: {found} instead of {known}.",
            where=str(found),
            hardware_state="unknown: the instrument that was set up does not answer",
            next_step="check the cabling and the resource name, then start again",
        )
    return found


@cache
def entries() -> tuple[DriverEntry, ...]:
    """Every driver of this package, by model name. The names come from the package's own folder, never from data."""
    modules = (import_module(f"{drivers.__name__}.{module.name}") for module in pkgutil.iter_modules(drivers.__path__))
    found = (getattr(module, "DRIVER", None) for module in modules)
    return tuple(sorted((entry for entry in found if isinstance(entry, DriverEntry)), key=lambda entry: entry.model))


def find(model: str, role: Role | None = None) -> DriverEntry:
    """Return the driver of a model, in a role if one is named: any of KINDS included, the entry is then that role's.

    Raises
    ------
    ConfigError  there is none; says which models there are
    """
    kind = None if role is None else KINDS.get(role, role)
    candidates = [entry for entry in entries() if kind in (None, entry.role)]
    for entry in candidates:
        if entry.model == model:
            return entry if role in (None, entry.role) else replace(entry, role=role)
    known = ", ".join(entry.model for entry in candidates) or "none"
    asked = model if role is None else f"{model} as {role.replace('_', ' ')}"
    raise ConfigError(
        f"There is no driver for {asked}.",
        (Reason("unknown-model", f"{role}.model" if role else "model", f"{model!r} is not one of the known models: {known}"),),
        next_step=f"use one of: {known}",
    )


def match_idn(idn: str) -> DriverEntry | None:
    """Return the driver whose model gives this *IDN? answer, None when there is none."""
    return next((entry for entry in entries() if entry.claims(idn)), None)
