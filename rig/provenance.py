"""Where a run comes from: versions of what made it, labels of the wall clock, one line per program."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rig.compiler import Compiled

LIBRARIES = ("ito-rig", "numpy", "scipy", "h5py", "pyvisa", "pyvisa-py", "pymeasure", "pydantic")
PROGRAMS_AT_MOST = 100


def program_texts(blocks: Sequence[Compiled]) -> list[dict[str, str]]:
    """What each instrument is loaded with, one line each, per block; of the first hundred blocks."""
    return [_program_text(one) for one in blocks[:PROGRAMS_AT_MOST]]


def _program_text(one: Compiled) -> dict[str, str]:
    programs = one.programs
    texts = {"source": str(programs.source), "trigger": str(programs.trigger), "spectrometer": str(programs.spectrometer)}
    texts["fluence_uj_cm2"] = repr(one.block.fluence_uj_cm2)
    return texts if programs.plate_deg is None else {**texts, "plate_deg": repr(programs.plate_deg)}


def now_label() -> str:
    """Say what the wall clock says: ISO text with its time zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


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
