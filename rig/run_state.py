"""Where a run is, what it runs on, how it is asked to stop, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from drivers.roles import Attenuator, EnergyMeter, LaserTrigger, Shutter, Spectrometer, VoltageSource
from rig.frames import Ledger
from rig.safety import SafeInstrument, SafeReport


class RunState(Enum):
    """Where a run is."""

    PREPARING = "preparing"
    DARK = "taking dark frames"
    LOADING = "loading"
    ARMED = "armed"
    COLLECTING = "collecting"
    COMMITTING = "committing"
    PAUSED = "paused, everything off"
    SAFING = "going safe"
    SAFE = "safe"


FORWARD = {
    RunState.PREPARING: {RunState.DARK},
    RunState.DARK: {RunState.LOADING},
    RunState.LOADING: {RunState.ARMED},
    RunState.ARMED: {RunState.COLLECTING},
    RunState.COLLECTING: {RunState.COMMITTING, RunState.ARMED},
    RunState.COMMITTING: {RunState.LOADING, RunState.PAUSED},
    RunState.PAUSED: {RunState.LOADING},
    RunState.SAFING: {RunState.SAFE},
    RunState.SAFE: set[RunState](),
}


class Stage:
    """Which state a run is in, and every one it was in; only drawn ways are gone."""

    def __init__(self) -> None:
        self.now = RunState.PREPARING
        self.passed = [self.now]

    def enter(self, state: RunState) -> None:
        """Go there; RuntimeError when there is no way, SAFING can be reached from everywhere."""
        if state is not RunState.SAFING and state not in FORWARD[self.now]:
            raise RuntimeError(f"no way from {self.now.name} to {state.name}")
        self.now = state
        self.passed.append(state)


class FinishReason(Enum):
    """Why a run ended."""

    DONE = "done"
    STOPPED = "stopped"
    FAULT = "fault"


class StopRequest:
    """Set from a signal handler or another thread; read between two conversations, and last before anything is switched on."""

    def __init__(self) -> None:
        self.requested = False
        self.why = ""
        self.heeded = False  # the run is going safe
        self.off_now: Callable[[], object] | None = None  # everything off from another thread, while instruments are open

    def request(self, why: str) -> None:
        """Ask for a safe stop; later requests change nothing."""
        if not self.requested:
            self.why = why
            self.requested = True


class PauseRequest:
    """Set and taken back from another thread; heeded between two blocks."""

    def __init__(self) -> None:
        self.asked = False


@dataclass(frozen=True, slots=True)
class Roles:
    """The open instruments; None where the bench has none."""

    voltage_source: VoltageSource
    laser_trigger: LaserTrigger
    spectrometer: Spectrometer
    attenuator: Attenuator | None = None
    energy_meter: EnergyMeter | None = None
    shutter: Shutter | None = None
    cw_shutter: Shutter | None = None

    def by_name(self) -> dict[str, SafeInstrument]:
        """Role name -> instrument, of all that can be switched off or closed."""
        known: dict[str, SafeInstrument | None] = {
            "voltage_source": self.voltage_source,
            "laser_trigger": self.laser_trigger,
            "spectrometer": self.spectrometer,
            "shutter": self.shutter,
            "cw_shutter": self.cw_shutter,
        }
        return {role: instrument for role, instrument in known.items() if instrument is not None}


@dataclass(frozen=True, slots=True)
class Progress:
    """What an onlooker is told, a few times a second."""

    state: RunState
    shots_done: int
    shots_planned: int
    detail: str = ""
    file: str = ""  # of the run, told once


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    reason: FinishReason
    safe: SafeReport
    ledger: Ledger
    duration_s: float
    wall_s: float
    fault: BaseException | None = None
    states: list[RunState] = field(default_factory=list)

    def end_as(self, error: BaseException) -> None:
        """Note what went wrong after the end; the first fault stands."""
        if self.fault is None:
            self.reason, self.fault = FinishReason.FAULT, error


DONE, REFUSED, STOPPED, FAULT, UNKNOWN, CTRL_C = 0, 2, 3, 4, 5, 130


def exit_code(outcome: Outcome) -> int:
    """What a program that ran it ends with."""
    if not outcome.safe.safe:
        return UNKNOWN
    if outcome.fault is not None:
        return FAULT
    return STOPPED if outcome.reason is FinishReason.STOPPED else DONE
