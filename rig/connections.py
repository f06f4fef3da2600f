"""Opens the instruments of a bench one at a time, real or simulated, so that one that fails does not keep the others closed.

With a simulated bench no real resource is ever opened.
"""

from dataclasses import dataclass
from typing import Any

from drivers.clock import Clock, MonotonicClock
from drivers.registry import Closable, DriverEntry, Role, find
from rig.bench import Bench
from rig.instruments import visa
from rig.simulation import make_world, resources_of
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
        if simulate:
            self.world = self.clock = make_world(bench)
            self.manager = resources_of(self.world)
        else:
            self.manager = visa(bench.visa_library)

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
