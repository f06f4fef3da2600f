"""Where a run comes from: versions of what made it, labels of the wall clock, one line per program."""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from rig.compiler import Compiled

LIBRARIES = ("ito-rig", "numpy", "scipy", "h5py", "pyvisa", "pyvisa-py", "pymeasure", "pydantic")
PROGRAMS_AT_MOST = 100
CORRECTED = timedelta(days=1)  # a wall clock that goes back by less has jumped; by more it was wrong before


def program_texts(blocks: Sequence[Compiled], *, chooses_fluence: bool = False) -> list[dict[str, str]]:
    """What each instrument is loaded with, one line each, per block; of the first hundred blocks.

    Nothing of the pump where the run chooses its fluences itself: those of the plan are only the strongest there can be.
    """
    return [_program_text(one, chooses_fluence=chooses_fluence) for one in blocks[:PROGRAMS_AT_MOST]]


def _program_text(one: Compiled, *, chooses_fluence: bool) -> dict[str, str]:
    programs = one.programs
    texts = {"source": str(programs.source), "trigger": str(programs.trigger), "spectrometer": str(programs.spectrometer)}
    if chooses_fluence:
        return texts
    texts["fluence_uj_cm2"] = repr(one.block.fluence_uj_cm2)
    return texts if programs.plate_deg is None else {**texts, "plate_deg": repr(programs.plate_deg)}


def timing(first: Compiled) -> dict[str, object]:
    """How every frame of a run is taken: light, and times from the start of a shot (ns); `first` is its first block.

    On a bench with a filter wheel also where that stands, and what it lets through.
    """
    found: dict[str, object] = {"light": first.block.exposure.light, **asdict(first.timeline.pattern)}
    if (at := first.programs.filter) is not None:
        found |= {"filter_position": at.position, "filter_transmission": at.transmission}
    return found


class _WallClock:
    """The computer's wall clock, for labels; it may be set, also back."""

    def __init__(self) -> None:
        self._last = datetime.fromtimestamp(0, UTC)

    def label(self) -> str:
        now = datetime.now(UTC)
        if not self._last - CORRECTED <= now < self._last:
            self._last = now
        return self._last.astimezone().isoformat(timespec="seconds")


_wall_clock = _WallClock()


def now_label() -> str:
    """Say what the wall clock says: ISO text with its time zone; of two labels the later never tells an earlier time."""
    return _wall_clock.label()


def versions() -> dict[str, str]:
    """Name the version of Python, of the libraries that matter and of this program."""
    found = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    root = Path(__file__).resolve().parent.parent
    if (root / ".git").exists():
        try:
            command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
            described = subprocess.run(command, capture_output=True, text=True, timeout=5)  # noqa: S603 - fixed words
            found["git"] = described.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            found["git"] = "unknown"
    return found
