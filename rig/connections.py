"""Opens the instruments of a bench one at a time, real or simulated, so that one that fails does not keep the others closed.

With a simulated bench no real resource is ever opened.
"""

from dataclasses import dataclass
from typing import Any

from pyvisa import ResourceManager

from drivers.clock import Clock, MonotonicClock
from drivers.errors import ConfigError, Reason
from drivers.registry import Closable, DriverEntry, Role, find
from rig.bench import Bench
from rig.instruments import visa
from rig.steps import Walk, one_by_one, side_by_side


@dataclass(frozen=True, slots=True)
class Connection:
    """An open instrument of a bench; nobody has asked it anything yet."""

    role: Role
    entry: DriverEntry
    resource: str
    instrument: Any


class Connections:
    """The open instruments of one bench.

    Parameters
    ----------
    bench     whose instruments
    simulate  make them of software

    Raises
    ------
    ConfigError      the bench cannot be simulated
    InstrumentError  there is no such VISA library
    """

    def __init__(self, bench: Bench, *, simulate: bool) -> None:
        self.bench = bench
        self.clock: Clock = MonotonicClock()
        self.world: Any = None
        self.walk: Walk = one_by_one if simulate else side_by_side  # a stepped clock knows one thread only
        self._links: list[Closable] = []
        self.manager = self._simulated() if simulate else visa(bench.visa_library)

    def connect(self, role: Role) -> Connection:
        """Open the instrument of a role.

        Raises
        ------
        ConfigError      there is no driver for its model
        InstrumentError  its resource cannot be opened
        """
        section = getattr(self.bench, role)
        entry = find(section.model, role)
        instrument, link = entry.connect(self.manager, section.resource, self.clock)
        self._links.append(link)
        return Connection(role, entry, section.resource, instrument)

    def close(self) -> None:
        """End all conversations; the instruments stay as they are."""
        for link in self._links:
            link.close()
        self.manager.close()
        if self.world is not None:
            self.world.close()

    def _simulated(self) -> ResourceManager:
        from sim_instruments.visa_library import library_for
        from sim_instruments.world import World

        try:
            self.world = World(self.bench.description(), 0)
        except (ValueError, KeyError) as error:
            raise ConfigError(
                "This bench cannot be simulated.",
                (Reason("simulation-impossible", "", str(error)),),
                next_step="see `rig list` for the models that can be",
            ) from error
        self.clock = self.world
        return ResourceManager(library_for(self.world))


def simulated_models() -> dict[str, list[str]]:
    """Which models can be simulated: role -> models."""
    from sim_instruments.catalogue import entries

    models: dict[str, list[str]] = {}
    for entry in entries():
        models.setdefault(entry.role, []).append(entry.model)
    return models
