"""The simulated bench as a PyVISA backend by name: `@ito`, or `bench.toml@ito` for a bench of one's own.

    import pyvisa
    source = pyvisa.ResourceManager("@ito").open_resource("GPIB0::24::INSTR")

PYVISA_LIBRARY=@ito puts it behind any program that calls `ResourceManager()` without an argument. SIMULATED: the resources are
those of the bench file, and nothing real is ever opened. The bench lives until the process ends, one per bench file.

Time is stepped while VISA waits for an answer, and passes at its usual pace while the program does something else (sleeps), see
sim_instruments/paced_world.py. With ITO_RIG_CLOCK=stepped it moves only while VISA waits: then the same program gets the same
bytes every time, but a sleep of the program is no time at all for the instruments. One thread only; for several threads or
processes use `rig sim serve`.
"""

import os
from pathlib import Path
from typing import cast

from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from rig.bench_source import BenchFiles
from sim_instruments.paced_world import PacedWorld
from sim_instruments.visa_library import library_for
from sim_instruments.world import World

CLOCK_VARIABLE = "ITO_RIG_CLOCK"
CLOCKS = ("paced", "stepped")

_libraries: dict[str, VisaLibraryBase] = {}


class ItoLibrary:
    """What PyVISA finds under the name; making one returns the library of that bench.

    Raises
    ------
    ConfigError  the bench file cannot be used
    ValueError   ITO_RIG_CLOCK is neither "paced" nor "stepped"
    """

    def __new__(cls, library_path: str | LibraryPath = "") -> VisaLibraryBase:  # type: ignore[misc] - PyVISA calls the class for a library, ours has two parts
        """Return the library of a bench; PyVISA passes what stands before the @."""
        path = Path(library_path).resolve() if library_path else None
        if str(path) not in _libraries:
            _libraries[str(path)] = library_for(_world(path))
        return _libraries[str(path)]

    @staticmethod
    def get_library_paths() -> tuple[LibraryPath, ...]:
        """Paths that PyVISA may try; the default bench has none."""
        return ()

    @staticmethod
    def get_debug_info() -> list[str]:
        """Lines for `pyvisa-info`."""
        return ["SIMULATED bench of ito-rig; the argument before @ito is a bench file"]


def _world(path: Path | None) -> World:
    clock = os.environ.get(CLOCK_VARIABLE, CLOCKS[0])
    if clock not in CLOCKS:
        raise ValueError(f"{CLOCK_VARIABLE} is {clock!r}: it can be {' or '.join(CLOCKS)}")
    world = World(BenchFiles().describe(path, {}), seed=0)
    return world if clock == "stepped" else cast(World, PacedWorld(world))


WRAPPER_CLASS = ItoLibrary
