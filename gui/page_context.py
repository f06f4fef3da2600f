"""What every page of the window is given: the bench, the line to the engine, where run files go."""

from dataclasses import dataclass
from pathlib import Path

from gui.engine_link import EngineLink
from rig.bench import Bench


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a page may use.

    Parameters
    ----------
    bench      as read from its file when the window was opened
    link       to the engine of that bench
    out        folder for run files
    simulated  whether no real instrument takes part
    """

    bench: Bench
    link: EngineLink
    out: Path
    simulated: bool
