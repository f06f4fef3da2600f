"""Configuration lists of a Keithley 2450: set-ups of the source or of the measurement under a name and a number.

An index holds the active function and its settings; recalling it leaves other functions alone. Whether the output is on is
not part of it (assumed: the maker's own sweeps would switch off at their second point; rev B's tables say otherwise).
Source: 2461-901-01 rev A, SOURce and SENSe CONFiguration:LIST. The limits of memory are assumed.
"""

import copy
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sim_instruments.keithley_2450_log import LIST_MISSING
from sim_instruments.keithley_2450_settings import SenseSide, SourceSide
from sim_instruments.scpi import ScpiError

MAX_LISTS = 100
MAX_INDEXES = 300_000
MAX_NAME = 31
T = TypeVar("T", SourceSide, SenseSide)


@dataclass
class ConfigurationLists(Generic[T]):
    """All lists of one kind.

    Parameters
    ----------
    lists     name -> (function, its settings) for every index
    position  name -> index recalled last while the trigger model ran, counted from 0
    """

    lists: dict[str, list[tuple[str, T]]] = field(default_factory=dict)
    position: dict[str, int] = field(default_factory=dict[str, int])
    catalog_at: int = 0

    def create(self, name: str) -> None:
        """Make an empty list; an existing one is emptied (assumed)."""
        if not 1 <= len(name) <= MAX_NAME:
            raise ScpiError(-154 if name else -109)
        if name not in self.lists and len(self.lists) >= MAX_LISTS:
            raise ScpiError(-225)
        self.lists[name] = []

    def find(self, name: str) -> list[tuple[str, T]]:
        """Return a list; ScpiError 2790 when there is none."""
        if name not in self.lists:
            raise ScpiError(LIST_MISSING)
        return self.lists[name]

    def store(self, name: str, index: int, function: str, side: T) -> None:
        """Put settings at an index (from 1; 0 appends); ScpiError -222 for an index further than the end."""
        entries = self.find(name)
        if index > len(entries) + 1:
            raise ScpiError(-222)
        if len(entries) >= MAX_INDEXES or sum(map(len, self.lists.values())) >= 2 * MAX_INDEXES:
            raise ScpiError(-225)
        entry = (function, copy.copy(side))
        if 1 <= index <= len(entries):
            entries[index - 1] = entry
        else:
            entries.append(entry)

    def at(self, name: str, index: int) -> tuple[str, T]:
        """Return function and settings at an index (from 1); ScpiError 2790 when there is none."""
        entries = self.find(name)
        if not 1 <= index <= len(entries):
            raise ScpiError(LIST_MISSING)
        function, side = entries[index - 1]
        return function, copy.copy(side)

    def delete(self, name: str, index: int) -> None:
        """Remove an index (from 1), or with 0 the whole list."""
        self.at(name, index) if index else self.find(name)
        if index:
            del self.lists[name][index - 1]
        else:
            del self.lists[name]

    def step(self, name: str, by: int) -> int:
        """Return the index (from 1) that the trigger model recalls next or, with -1, before; the list wraps around.

        The first NEXT takes the first index, the first PREVious the last one.
        """
        size = len(self.find(name))
        if not size:
            raise ScpiError(LIST_MISSING)
        last = self.position.get(name, -1 if by > 0 else 0)
        self.position[name] = (last + by) % size
        return self.position[name] + 1

    def catalog(self) -> str:
        """Return one name after the other, then an empty string."""
        names = list(self.lists)
        name = names[self.catalog_at] if self.catalog_at < len(names) else ""
        self.catalog_at = self.catalog_at + 1 if name else 0
        return name
