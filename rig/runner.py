"""The run's state machine: one loop over blocks (load, arm, fire, collect, assign, commit). Knows roles, never models.

States and their order::

    PREPARING -> DARK -> [ LOADING -> ARMED -> COLLECTING -> COMMITTING ]* -> SAFING -> SAFE
    any state -> SAFING                     (stop, fault, programming error)

Whatever happens, SAFING is passed, before anything is saved or said.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError
from drivers.roles import ExposureProgram, FrameBatch, LaserTrigger, SourceReading, Spectrometer, VoltageSource
from rig.compiler import Compiled
from rig.frames import BurstFrames, Ledger, blank_rows
from rig.runfile import RunFile
from rig.safety import SafeReport, make_safe
from rig.sequence import Block
from rig.source_record import QUIET_S, Reading, compliance_error, demand_level, list_mismatch

POLL_S = 0.0125  # with the time a request takes, 14 frames at 1 kHz: one request of the Ocean FX holds 15
READING_INTERVAL_S = 0.08  # V and I at most 0.1 s apart
SYNC_INTERVAL_S = 1.0
DARK_FRAMES = 100
SILENT_SHOTS = 10  # a burst this long without one frame is a cable, not bad luck


class RunState(Enum):
    """Where a run is."""

    PREPARING = "preparing"
    DARK = "taking dark frames"
    LOADING = "loading"
    ARMED = "armed"
    COLLECTING = "collecting"
    COMMITTING = "committing"
    SAFING = "going safe"
    SAFE = "safe"


FORWARD = {
    RunState.PREPARING: {RunState.DARK},
    RunState.DARK: {RunState.LOADING},
    RunState.LOADING: {RunState.ARMED},
    RunState.ARMED: {RunState.COLLECTING},
    RunState.COLLECTING: {RunState.COMMITTING, RunState.ARMED},
    RunState.COMMITTING: {RunState.LOADING},
    RunState.SAFING: {RunState.SAFE},
    RunState.SAFE: set[RunState](),
}


class FinishReason(Enum):
    """Why a run ended."""

    DONE = "done"
    STOPPED = "stopped"
    FAULT = "fault"


class StopRequest:
    """Set from a signal handler or another thread; read between two conversations."""

    def __init__(self) -> None:
        self.requested = False
        self.why = ""

    def request(self, why: str) -> None:
        """Ask for a safe stop; later requests change nothing."""
        if not self.requested:
            self.why = why
            self.requested = True


@dataclass(frozen=True, slots=True)
class Roles:
    """The open instruments."""

    voltage_source: VoltageSource
    laser_trigger: LaserTrigger
    spectrometer: Spectrometer

    def by_name(self) -> dict[str, VoltageSource | LaserTrigger | Spectrometer]:
        """Role name -> instrument."""
        return {
            "voltage_source": self.voltage_source,
            "laser_trigger": self.laser_trigger,
            "spectrometer": self.spectrometer,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """What an onlooker is told, a few times a second."""

    state: RunState
    shots_done: int
    shots_planned: int
    detail: str = ""


class Reduce(Protocol):
    """Turns raw spectra into what a row holds; see rig.reduction."""

    def dark(self, spectra: NDArray[np.uint16]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Take the dark frames; return mean, variance and hot-pixel mask."""
        ...

    def rows(self, batch: FrameBatch, rows: NDArray[np.void]) -> NDArray[np.float64]:
        """Fill the traces and the saturation flag of `rows`; return the total light per frame."""
        ...


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


class Runner:
    """Runs the blocks of one measurement on open instruments and writes what comes back.

    Parameters
    ----------
    clock, wall  the clock that waits (stepped when simulated) and the computer's own, for `wall_s`
    observe      called with Progress; its exceptions are the caller's bug and end the run like any other
    """

    def __init__(
        self,
        roles: Roles,
        clock: Clock,
        wall: Clock,
        runfile: RunFile,
        reduce: Reduce,
        *,
        planned_shots: int,
        stop: StopRequest,
        observe: Callable[[Progress], None],
    ) -> None:
        self.roles = roles
        self.clock = clock
        self.wall = wall
        self.runfile = runfile
        self.reduce = reduce
        self.stop = stop
        self.observe = observe
        self.ledger = Ledger(planned_shots)
        self.state = RunState.PREPARING
        self.states = [self.state]
        self._rows_written = 0
        self._shots_begun = 0
        self._stretches_begun = 0
        self._last_sync_ns = wall.now_ns()
        self._armed_at: tuple[int, int] | None = None
        self._compiled: Compiled | None = None
        self._pending: list[BurstFrames] = []  # frames of the block that is running, not yet assigned

    # --- the run

    def run(
        self, blocks: Generator[Block, object, None], compile_one: Callable[[Block], Compiled], integration_ns: int
    ) -> Outcome:
        """Run every block. Never raises for what happens on the bench; the outcome says it.

        Parameters
        ----------
        blocks          the measurement's generator; it is sent the ledger so far after each block
        compile_one     pure: block -> timeline and programs
        integration_ns  of the dark frames, the same as of the data
        """
        reason, fault = FinishReason.DONE, None
        try:
            self._dark(integration_ns)
            block = next(blocks, None)
            while block is not None and not self.stop.requested:
                self._block(compile_one(block))
                try:
                    block = blocks.send(self.ledger)
                except StopIteration:
                    block = None
            if self.stop.requested:
                reason = FinishReason.STOPPED
        except BaseException as error:  # noqa: BLE001 - the supervisor: safe first, then the outcome carries it
            reason, fault = FinishReason.FAULT, error
        safe = self._go_safe()
        end_ns, wall_end_ns = self.clock.now_ns(), self.wall.now_ns()
        start_ns, wall_start_ns = self._armed_at or (end_ns, wall_end_ns)
        fault = self._record_end(reason, fault, safe)
        return Outcome(
            reason if fault is None else FinishReason.FAULT,
            safe,
            self.ledger,
            duration_s=(end_ns - start_ns) * 1e-9,
            wall_s=(wall_end_ns - wall_start_ns) * 1e-9,
            fault=fault,
            states=self.states,
        )

    def _go_safe(self) -> SafeReport:
        self._enter(RunState.SAFING)
        report = make_safe(self.roles.by_name())
        self._enter(RunState.SAFE)
        return report

    def _record_end(self, reason: FinishReason, fault: BaseException | None, safe: SafeReport) -> BaseException | None:
        """After everything is off: fetch and keep what the instruments still hold, say how it ended; the first fault wins."""
        try:
            if self._pending:
                self._rescue(self._pending[-1])
            self._log(f"{reason.value}: {self.stop.why or fault or 'all blocks done'}")
            self._log(f"safe: {safe}")
            self.runfile.set_ledger(self.ledger.as_dict())
            self.runfile.sync()
        except Exception as error:  # noqa: BLE001 - what broke the run may break its ending; everything is off already
            return fault or error
        return fault

    def _rescue(self, last: BurstFrames) -> None:
        last.cut = True
        try:
            while self._drain(last):
                pass
        except InstrumentError as error:
            self._log(f"frames left in the spectrometer could not be fetched: {error.what}")
        # a held level is proven by the readings around each frame; a list only by a record that nobody has read
        self._commit(proven=self._compiled is not None and self._compiled.mode == "gated")

    # --- dark frames

    def _dark(self, integration_ns: int) -> None:
        self._enter(RunState.DARK)
        spectrometer = self.roles.spectrometer
        spectrometer.load(ExposureProgram(integration_ns, "software"))
        spectrometer.arm()
        spectra: list[NDArray[np.uint16]] = []
        # one more than needed: the first frame after arming may be an old one
        for _ in range(DARK_FRAMES + 1):
            if self.stop.requested:
                return
            spectrometer.trigger()
            deadline = Deadline(self.clock, integration_ns * 1e-9 + 1.0)
            while not len(batch := spectrometer.collect()):
                if deadline.over:
                    raise InstrumentError(
                        "The spectrometer gave no frame within 1 s of a software trigger.",
                        where="spectrometer, dark frames",
                        hardware_state="source off, no pulses",
                        next_step="check its trigger mode and cabling, power-cycle it if it stays silent, then run again",
                    )
                self.clock.sleep(integration_ns * 1e-9)
            spectra.append(batch.spectra)
        mean, variance, hot = self.reduce.dark(np.concatenate(spectra)[1:])
        self.runfile.set_dark(mean, variance, hot, DARK_FRAMES)
        self._log(f"dark: {DARK_FRAMES} frames, mean {mean.mean():.1f} counts, {int(hot.sum())} hot pixels")

    # --- blocks

    def _block(self, compiled: Compiled) -> None:
        self._enter(RunState.LOADING)
        # what is loaded already stays: every command is a longer gap between two stretches
        loaded = None if self._compiled is None else self._compiled.programs
        if loaded is None or loaded.trigger != compiled.programs.trigger:
            self.roles.laser_trigger.load(compiled.programs.trigger)
        if loaded is None or loaded.spectrometer != compiled.programs.spectrometer:
            self.roles.spectrometer.load(compiled.programs.spectrometer)
        self.roles.voltage_source.load(compiled.programs.source)
        self._compiled = compiled
        if self._armed_at is None:
            self._armed_at = (self.clock.now_ns(), self.wall.now_ns())
        if compiled.mode == "gated":
            self._gated(compiled)
        else:
            self._stepped(compiled)

    def _gated(self, compiled: Compiled) -> None:
        """One level, held: set, settle and read it while no pulse can fire, then one burst, watched."""
        source = self.roles.voltage_source
        voltage_v = compiled.block.stretches[0].voltage_v
        source.arm()
        self.clock.sleep(QUIET_S)
        readings = [self._read()]
        demand_level(readings[0], voltage_v)
        self.roles.spectrometer.arm()

        def watch() -> None:
            if self.clock.now_ns() - readings[-1].t_ns >= READING_INTERVAL_S * 1e9:
                readings.append(self._read())
                demand_level(readings[-1], voltage_v)

        self._burst(compiled, 0, readings, watch)
        readings.append(self._read())
        self._enter(RunState.COMMITTING)
        self._commit(proven=True)
        demand_level(readings[-1], voltage_v)

    def _stepped(self, compiled: Compiled) -> None:
        """The source steps on its own at the start of every burst; its own record proves afterwards where it stood."""
        source = self.roles.voltage_source
        self.roles.spectrometer.arm()
        source.arm()
        for index in range(len(compiled.timeline.bursts)):
            if self._burst(compiled, index, [], lambda: None).cut:
                break
        points = source.collect()
        self._enter(RunState.COMMITTING)
        for frames, point in zip(self._pending, points, strict=False):
            t_ns = frames.t_fire_ns + (compiled.timeline.pattern.settled_ns or 0)
            frames.readings.append(self._keep(point, t_ns, frames.stretch_number))
        period_ns = compiled.timeline.pattern.period_ns
        against = list_mismatch(points, [frames.edge(period_ns) for frames in self._pending])
        if against:
            self._log(f"block {compiled.block.index}: its frames stay unassigned: {against}")
        self._commit(proven=not against)
        for point in points:
            if point.in_compliance:
                raise compliance_error(point)

    def _burst(self, compiled: Compiled, index: int, readings: list[Reading], watch: Callable[[], None]) -> BurstFrames:
        """Fire one burst and collect its frames until the spectrometer has no more; a stop request cuts it short."""
        timeline, trigger = compiled.timeline, self.roles.laser_trigger
        burst = timeline.bursts[index]
        period_ns = timeline.pattern.period_ns
        stretch = None if burst.stretch is None else timeline.stretches[burst.stretch]
        trigger.arm(burst.shots)
        self._enter(RunState.ARMED)
        frames = BurstFrames(
            burst,
            stretch,
            compiled.block.index,
            self._stretches_begun,
            self._shots_begun,
            self._rows_written,
            self.clock.now_ns(),
            readings=readings,
        )
        self._pending.append(frames)
        if stretch is not None:
            self._stretches_begun += 1
            self._shots_begun += stretch.shots
        trigger.fire()
        self._enter(RunState.COLLECTING)
        end = Deadline(self.clock, burst.shots * period_ns * 1e-9 + QUIET_S)
        while not end.over:
            self._drain(frames)
            watch()
            self._tell(frames)
            if self.stop.requested:
                trigger.make_safe()
                frames.cut = True
                break
            self.clock.sleep(min(POLL_S, end.left_s))
        patience = Deadline(self.clock, 1.0)
        while trigger.busy():
            if patience.over:
                raise InstrumentError(
                    f"The delay generator is still busy 1 s after a burst of {burst.shots} shots should have ended.",
                    where="laser trigger",
                    hardware_state="going safe",
                    next_step="check its burst period and trigger source on the front panel",
                )
            self.clock.sleep(QUIET_S)
        # the last exposure is read out, and an edge that is early by less than this touches no shot
        self.clock.sleep(QUIET_S)
        while self._drain(frames):
            pass
        if not len(frames) and burst.shots >= SILENT_SHOTS and not frames.cut:
            raise InstrumentError(
                f"The spectrometer saw none of {burst.shots} triggers.",
                where="spectrometer trigger cable",
                hardware_state="going safe",
                next_step="check the cable from the delay generator to the spectrometer's trigger input and its level",
            )
        return frames

    def _drain(self, frames: BurstFrames) -> bool:
        """Fetch what waits, give it its numbers, store it; whether anything came."""
        batch = self.roles.spectrometer.collect()
        if not len(batch):
            return False
        while len(batch):
            rows = blank_rows(batch, self.clock.now_ns(), frames.block, frames.stretch_number)
            light = self.reduce.rows(batch, rows)
            self.runfile.append_frames(rows, batch.spectra)
            self._rows_written += len(rows)
            self.ledger.received += len(rows)
            frames.add(rows, light)
            if len(batch) < self.roles.spectrometer.frames_per_request:
                break
            batch = self.roles.spectrometer.collect()
        # a disk loses power on the wall clock, also under a simulated run
        if self.wall.now_ns() - self._last_sync_ns >= SYNC_INTERVAL_S * 1e9:
            self.runfile.sync()
            self._last_sync_ns = self.wall.now_ns()
        return True

    def _commit(self, *, proven: bool) -> None:
        """Assign every pending burst and write its rows once more, now with their shots."""
        compiled = self._compiled
        pending, self._pending = self._pending, []
        for frames in pending:
            if compiled is not None:
                rows = frames.settle(
                    self.ledger,
                    period_ns=compiled.timeline.pattern.period_ns,
                    settle_shots=compiled.timeline.settle_shots,
                    proven=proven,
                )
                if len(rows):
                    self.runfile.rewrite_rows(frames.first_row, rows)
        self.runfile.set_ledger(self.ledger.as_dict())

    # --- source readings

    def _read(self) -> Reading:
        measured = self.roles.voltage_source.read()
        return self._keep(measured, self.clock.now_ns(), self._stretches_begun)

    def _keep(self, measured: SourceReading, t_ns: int, stretch_number: int) -> Reading:
        reading = Reading(t_ns, measured.voltage_v, measured.current_a, measured.in_compliance)
        block = -1 if self._compiled is None else self._compiled.block.index
        self.runfile.append_readings(t_ns, reading.voltage_v, reading.current_a, reading.in_compliance, block, stretch_number)
        return reading

    # --- telling

    def _enter(self, state: RunState) -> None:
        if state is not RunState.SAFING and state not in FORWARD[self.state]:
            raise RuntimeError(f"no way from {self.state.name} to {state.name}")
        self.state = state
        self.states.append(state)

    def _tell(self, frames: BurstFrames) -> None:
        lead_in = frames.burst.lead_in
        done = self.ledger.assigned + self.ledger.unassigned + sum(max(0, len(f) - lead_in) for f in self._pending)
        self.observe(Progress(self.state, min(done, self.ledger.planned), self.ledger.planned))

    def _log(self, text: str) -> None:
        self.runfile.log(self.clock.now_ns(), text)
