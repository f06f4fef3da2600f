"""Everything off from a cold start: whatever a bench file names is opened and told off before it is asked anything.

Needs as little as it can: of the bench file the models and resources, of the bench any one instrument that can be opened.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from pyvisa.constants import StatusCode
from pyvisa.errors import VisaIOError

from drivers.clock import MonotonicClock
from drivers.errors import ConfigError, InstrumentError, WrongIdentity
from drivers.registry import HAZARDS, Closable, Role, find
from drivers.roles import Identity, SafeReadback
from rig.bench import Bench, default_bench, read_bench
from rig.config_file import read_document
from rig.connections import Connections
from rig.instruments import visa
from rig.safety import Confirmation, SafeReport, make_safe
from rig.steps import Step, Walk, side_by_side

IDENTIFY_S = 3.0
OPENED_AT_MOST = 2  # attempts; what takes no connection costs 2 s each time
DEFAULT_LIBRARY = "@py"
IN_USE = (StatusCode.error_resource_busy, StatusCode.error_resource_locked)
ACCESS_DENIED_MEANS_IN_USE = os.name == "nt"  # of a serial port. Source: from memory, unverified
SERIAL_DENIED = "Access is denied"

Connect = Callable[[], tuple[Any, Closable]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bench file says an instrument is."""

    role: Role
    model: str
    resource: str


@dataclass(frozen=True, slots=True)
class Hazards:
    """What can be dangerous on a bench.

    Parameters
    ----------
    library    of VISA, as a bench file calls it
    simulated  nothing real is behind the resources
    mistakes   what else is wrong with the bench file; it keeps no off from being sent
    """

    library: str
    places: tuple[Place, ...]
    simulated: bool
    mistakes: str = ""


@dataclass(frozen=True, slots=True)
class OffReport:
    """What switching off has achieved.

    Parameters
    ----------
    identities  role -> who said that it is off
    nameless    role -> why it is not known who
    strangers   role -> which other model answered, so that the one that was meant is not known to be off
    """

    hazards: Hazards
    safe: SafeReport
    identities: Mapping[str, Identity]
    nameless: Mapping[str, str]
    strangers: Mapping[str, str]

    @property
    def confirmed(self) -> bool:
        """Get whether everything is off by its own word."""
        return bool(self.safe.instruments) and self.safe.safe and not self.strangers

    def as_json(self) -> dict[str, Any]:
        """Return what `rig off --json` prints."""
        instruments: dict[str, Any] = {}
        for place in self.hazards.places:
            how, detail = self.safe.instruments[place.role]
            instruments[place.role] = {
                "model": place.model,
                "resource": place.resource,
                "off": how.name,
                "detail": detail,
                "identity": str(self.identities[place.role]) if place.role in self.identities else None,
                "another": self.strangers.get(place.role),
            }
        return {"simulated": self.hazards.simulated, "confirmed": self.confirmed, "instruments": instruments}


# --- what there is to switch off --------------------------------------------------------------------------------------


def hazards_of(path: Path) -> Hazards:
    """Read from a bench file what is needed to switch off; a mistake anywhere else in it is only told.

    Raises
    ------
    ConfigError  it cannot be read, or names nothing that could be switched off
    """
    try:
        return _of_bench(read_bench(path))
    except ConfigError as error:
        found = Hazards(*_sketched(path), simulated=False, mistakes=str(error))
        if not found.places:
            raise
        return found


def _of_bench(bench: Bench) -> Hazards:
    there: list[Role] = [role for role in HAZARDS if getattr(bench, role) is not None]
    places = tuple(Place(role, getattr(bench, role).model, getattr(bench, role).resource) for role in there)
    return Hazards(bench.visa_library, places, bench.simulated)


def _sketched(path: Path) -> tuple[str, tuple[Place, ...]]:
    """Take the VISA library, models and resources from a file that is no bench file in all its parts."""
    values = read_document(path).values
    library = values.get("visa_library")
    return library if isinstance(library, str) else DEFAULT_LIBRARY, tuple(_places(values))


def _places(values: Mapping[str, Any]) -> Iterator[Place]:
    for role in HAZARDS:
        section = values.get(role)
        if isinstance(section, dict):
            told = cast(dict[str, object], section)
            model, resource = told.get("model"), told.get("resource")
            if isinstance(model, str) and isinstance(resource, str):
                yield Place(role, model, resource)


# --- switching off ----------------------------------------------------------------------------------------------------


def switch_off(hazards: Hazards) -> OffReport:
    """Open, off, read back, then ask who it was: all instruments at once, each with its own deadlines.

    Raises
    ------
    InstrumentError  there is no such VISA library
    """
    manager, clock = visa(hazards.library), MonotonicClock()

    def connect(place: Place) -> tuple[Any, Closable]:
        return find(place.model, place.role).connect(manager, place.resource, clock)

    cold: dict[str, ColdInstrument] = {place.role: ColdInstrument(place, partial(connect, place)) for place in hazards.places}
    try:
        return _off(hazards, cold, side_by_side)
    finally:
        for instrument in cold.values():
            instrument.close()
        with suppress(Exception):  # whatever it is, off is told as it was found
            manager.close()


def switch_off_simulated(path: Path | None) -> OffReport:
    """Do the same on a bench made of software for this purpose (None: the default bench); opens no resource.

    Raises
    ------
    ConfigError  the bench file has mistakes, or cannot be simulated
    """
    bench = default_bench() if path is None else read_bench(path)
    connections = Connections(bench, simulate=True)

    def connect(role: Role) -> tuple[Any, Closable]:
        return connections.connect(role).instrument, connections

    try:
        hazards = _of_bench(bench)
        cold: dict[str, ColdInstrument] = {
            place.role: ColdInstrument(place, partial(connect, place.role)) for place in hazards.places
        }
        return _off(Hazards(hazards.library, hazards.places, simulated=True), cold, connections.walk)
    finally:
        connections.close()


@dataclass(slots=True)
class ColdInstrument:
    """An instrument that is opened when it is first told something, and first told to be off."""

    place: Place
    connect: Connect
    _opened: bool = False
    _attempts: int = 0
    _failure: Exception = field(default_factory=Exception)
    _instrument: Any = None
    _link: Closable | None = None

    @property
    def off_message(self) -> bytes:
        """Get the driver's own; b"" where it has to be asked first, or nobody knows the model."""
        try:
            return find(self.place.model, self.place.role).kind.off_message
        except ConfigError:
            return b""

    def make_safe(self) -> None:
        """Open it, and send off.

        Raises
        ------
        ConfigError      there is no driver for its model
        InstrumentError  it cannot be opened or sent to
        """
        if not self._opened:
            if self._attempts == OPENED_AT_MOST:
                raise self._failure
            self._attempts += 1
            try:
                self._instrument, self._link = _opened(self.place, self.connect)
            except Exception as error:
                self._failure = error
                raise
            self._opened = True
        self._instrument.make_safe()

    def read_safe(self) -> SafeReadback:
        """Ask whether it is off; one that could not be opened before gets a second chance."""
        if not self._opened:
            self.make_safe()
        return self._instrument.read_safe()

    def identify(self) -> Identity:
        """Ask who it is.

        Raises
        ------
        WrongIdentity    another model answers
        InstrumentError  it does not answer
        """
        return find(self.place.model, self.place.role).require(self._instrument.identify())

    def close(self) -> None:
        """End the conversation, if there is one."""
        if self._link is not None:
            with suppress(Exception):  # it may hang in a step that was given up
                self._link.close()


def _off(hazards: Hazards, cold: Mapping[str, ColdInstrument], walk: Walk) -> OffReport:
    report = make_safe(cold, walk)
    who = _Introductions(cold)
    told = [role for role, (how, _) in report.instruments.items() if how is not Confirmation.UNKNOWN]
    walk([role for role in told if role not in report.left_behind], (Step(who.ask, IDENTIFY_S),))
    return OffReport(hazards, report, dict(who.identities), dict(who.nameless), dict(who.strangers))


@dataclass(slots=True)
class _Introductions:
    cold: Mapping[str, ColdInstrument]
    identities: dict[str, Identity] = field(default_factory=dict[str, Identity])
    nameless: dict[str, str] = field(default_factory=dict[str, str])
    strangers: dict[str, str] = field(default_factory=dict[str, str])

    def ask(self, role: str) -> None:
        self.nameless[role] = f"it had not said who it is after {IDENTIFY_S:g} s"
        try:
            self.identities[role] = self.cold[role].identify()
        except WrongIdentity as error:
            self.strangers[role] = self.nameless[role] = error.what
        except Exception as error:  # noqa: BLE001 - off has been sent; who it was is only asked to be told
            self.nameless[role] = str(error).splitlines()[0] if str(error) else type(error).__name__
        else:
            del self.nameless[role]


def _opened(place: Place, connect: Connect) -> tuple[Any, Closable]:
    try:
        return connect()
    except InstrumentError as error:
        if not held_by_another(error):
            raise
        raise InstrumentError(
            f"another program holds {place.resource}: end it, then say rig off again",
            where=place.resource,
            next_step="switch it off by hand meanwhile",
        ) from error


def held_by_another(error: BaseException | None) -> bool:
    """Tell whether a resource cannot be opened because another program has it open or locked."""
    while error is not None:
        if isinstance(error, VisaIOError) and error.error_code in IN_USE:
            return True
        if isinstance(error, OSError):
            if error.errno in (errno.EBUSY, errno.EAGAIN) or (ACCESS_DENIED_MEANS_IN_USE and SERIAL_DENIED in str(error)):
                return True
        error = error.__cause__ or error.__context__
    return False
