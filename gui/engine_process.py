"""Engines as processes: the living one of a bench is found, or one is started that outlives the window."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from drivers.clock import Clock, Deadline, MonotonicClock
from drivers.errors import RigError
from rig.engine_file import EngineFile, living_engines
from rig.small_file import private_folder
from rig.state_folder import state_folder

FOLDER = "window"
DEFAULT_BENCH = "default_bench.toml"
START_S = 30.0  # Python's imports from a slow disk
LOOK_S = 0.05
LINGER_S = 60.0  # of an engine that nobody is connected to: a window that has crashed is opened again within this
LOG_TAIL = 1500  # bytes of what a dead engine has said
# an engine is never ended by the window, so it must not be complained about when the window ends first
STARTED: list["subprocess.Popen[bytes]"] = []


class EngineNotStarted(RigError):  # noqa: N818 - what has happened
    """The engine's process cannot be started, or has ended before it could be found."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine is meant.

    Parameters
    ----------
    bench     path of the bench file, None for the default bench
    simulate  make that bench of software
    out       folder for run files
    """

    bench: Path | None
    simulate: bool
    out: Path

    def living(self) -> EngineFile | None:
        """Return the engine of this bench that runs on this computer, the newest of several."""
        found = [one for one in living_engines() if self._means(one)]
        return found[-1] if found else None

    def _means(self, engine: EngineFile) -> bool:
        if self.bench is None:
            # the default bench is no file: its engine names it after the folder that it was started in
            path = Path(engine.bench)
            return engine.simulated and (not engine.bench or (path.name == DEFAULT_BENCH and not path.exists()))
        return engine.bench == str(self.bench.resolve()) and (engine.simulated or not self.simulate)

    def words(self) -> list[str]:
        """Return what comes after `rig engine`."""
        bench = [] if self.bench is None else ["--bench", str(self.bench.resolve())]
        simulate = ["--simulate"] if self.simulate else []
        return [*bench, *simulate, "--out", str(self.out.resolve()), "--linger", f"{LINGER_S:g}"]


def start_engine(choice: EngineChoice, enough: threading.Event, clock: Clock | None = None) -> EngineFile:
    """Start an engine in a session of its own and wait until it can be found, or `enough` is set.

    Raises
    ------
    EngineNotStarted  it cannot be, or is not there in time
    """
    log = state_folder(FOLDER) / f"engine-{os.getpid()}.log"
    process = _spawned(choice, log)
    end = Deadline(clock or MonotonicClock(), START_S)
    while not end.over and not enough.wait(LOOK_S):
        found = [one for one in living_engines() if one.pid == process.pid]
        if found:
            return found[0]
        if process.poll() is not None:
            raise _not_started(f"The engine has ended at once (exit code {process.returncode}).", log)
    raise _not_started("The window was closed." if enough.is_set() else f"The engine is not there after {START_S:g} s.", log)


def rig_command(*words: str) -> list[str]:
    """Return how a command of `rig` is called as a process of its own."""
    return [sys.executable, "-P", "-m", "rig.cli", *words]


def rig_environment() -> dict[str, str]:
    """Return the environment of such a process; a checkout that is not installed has to be found, too."""
    root = Path(__file__).resolve().parent.parent
    more = [] if root.name in ("site-packages", "dist-packages") else [str(root)]
    path = os.pathsep.join([*more, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **({"PYTHONPATH": path} if path else {})}


def _spawned(choice: EngineChoice, log: Path) -> "subprocess.Popen[bytes]":
    STARTED[:] = [one for one in STARTED if one.poll() is None]
    windows = sys.platform == "win32"
    try:
        private_folder(log.parent)
        with log.open("wb") as words:
            # a session and a group of its own: what ends the window must not end the run
            process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-P", "-m", "rig.cli", "engine", *choice.words()],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                env=rig_environment(),
                start_new_session=not windows,
                creationflags=int(getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0))
                | int(getattr(subprocess, "CREATE_NO_WINDOW", 0)),
            )
    except OSError as error:
        raise _not_started(f"The engine cannot be started: {error.strerror or error}.", log) from error
    STARTED.append(process)
    return process


def _not_started(what: str, log: Path) -> EngineNotStarted:
    try:
        said = log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace").strip()
    except OSError:
        said = ""
    return EngineNotStarted(
        f"{what}{chr(10) + said if said else ''}",
        where="rig engine",
        hardware_state="nothing was switched on by it",
        next_step="correct what it says and press Start again; the same in a terminal: rig engine",
    )
