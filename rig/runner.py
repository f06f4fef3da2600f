"""The run's state machine: one loop over blocks (load, arm, fire, collect, assign, commit). Knows roles, never models.

States and their order::

    PREPARING -> DARK -> [ LOADING -> ARMED -> COLLECTING -> COMMITTING ]* -> SAFING -> SAFE
    any state -> SAFING                     (stop, fault, programming error)

Whatever happens, SAFING is passed, before anything is saved or said.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError, RigError
from drivers.roles import ExposureProgram, FrameBatch, SourceReading
from rig.compiler import Compiled
from rig.energy_watch import EnergyWatch, shot_energies
from rig.frames import BurstFrames, Ledger, blank_rows, without_lit
from rig.lifeline import Guarded, Unguarded
from rig.pump_beam import PumpBeam
from rig.run_state import FORWARD as FORWARD
from rig.run_state import FinishReason as FinishReason
from rig.run_state import Outcome as Outcome
from rig.run_state import Progress as Progress
from rig.run_state import Roles as Roles
from rig.run_state import RunState as RunState
from rig.run_state import StopRequest as StopRequest
from rig.runfile import FRAME_DTYPE, RunFile
from rig.safety import SafeReport, make_safe
from rig.sequence import Block
from rig.source_record import QUIET_S, Reading, compliance_error, demand_level, list_mismatch
from rig.steps import Walk, one_by_one

POLL_S = 0.0131  # with the time a request takes, 14 frames at 1 kHz: one request of the Ocean FX holds 15
READING_INTERVAL_S = 0.08  # V and I at most 0.1 s apart
FRESH_S = 0.03
SYNC_INTERVAL_S = 1.0
DARK_FRAMES = 100
COLLECT_S, COLLECT_S_PER_POINT = 10.0, 0.02  # far more than a source takes to send its readings
SILENT_SHOTS = 10  # a burst this long that loses more than half of its frames is a cable, not bad luck


class Reduce(Protocol):
    """Turns raw spectra into what a row holds; see rig.reduction."""

    def dark(self, spectra: NDArray[np.uint16]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Take the dark frames; return mean, variance and hot-pixel mask."""
        ...

    def rows(self, batch: FrameBatch, rows: NDArray[np.void]) -> NDArray[np.float64]:
        """Fill the traces and the saturation flag of `rows`; return the total light per frame."""
        ...


class Runner:
    """Runs the blocks of one measurement on open instruments and writes what comes back.

    Parameters
    ----------
    clock, wall  the clock that waits (stepped when simulated) and the computer's own, for `wall_s`
    observe      called with Progress; its exceptions are the caller's bug and end the run like any other
    beam         what stands in the pump beam; without it nothing does
    energy       asks the energy meter; None where there is none
    walk         how all instruments go off: one after the other on a stepped clock
    lifeline     to the guard process
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
        beam: PumpBeam | None = None,
        energy: EnergyWatch | None = None,
        walk: Walk = one_by_one,
        lifeline: Guarded | None = None,
    ) -> None:
        self.roles = roles
        self.clock = clock
        self.wall = wall
        self.runfile = runfile
        self.reduce = reduce
        self.stop = stop
        self.observe = observe
        self.beam = beam or PumpBeam(None, None, runs_free=False)
        self.energy = energy
        self.walk = walk
        self.lifeline = lifeline or Unguarded()
        self.ledger = Ledger(planned_shots)
        self.state = RunState.PREPARING
        self.states = [self.state]
        self._shots_begun = 0
        self._stretches_begun = 0
        self._last_sync_ns = wall.now_ns()
        self._armed_at: tuple[int, int] | None = None
        self._compiled: Compiled | None = None
        self._pending: list[BurstFrames] = []  # frames of the block that is running, not yet assigned
        self._dark_noise = 0.0

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
            try:
                for line in self.lifeline.reach:
                    self._log(f"guard: {line}")
                self._run_blocks(blocks, compile_one, integration_ns)
                if self.stop.requested:
                    reason = FinishReason.STOPPED
            except BaseException as error:  # noqa: BLE001 - the supervisor: safe first, then the outcome carries it
                fault = self.lifeline.reason(error)
            safe = self._go_safe()
        except BaseException as error:  # noqa: BLE001 - an interrupt on the way there must not keep anything on
            fault = fault or error
            safe = self._go_safe()
        if safe.safe:
            self.lifeline.release()
        fault = fault or safe.interrupt
        reason = reason if fault is None else FinishReason.FAULT
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

    def _run_blocks(
        self, blocks: Generator[Block, object, None], compile_one: Callable[[Block], Compiled], integration_ns: int
    ) -> None:
        self._dark(integration_ns)
        block = next(blocks, None)
        while block is not None and not self.stop.requested:
            self._block(compile_one(block))
            try:
                block = blocks.send(self.ledger)
            except StopIteration:
                block = None

    def _go_safe(self) -> SafeReport:
        self._enter(RunState.SAFING)
        report = make_safe(self.roles.by_name(), self.walk)
        self._enter(RunState.SAFE)
        return report

    def _record_end(self, reason: FinishReason, fault: BaseException | None, safe: SafeReport) -> BaseException | None:
        """After everything is off: fetch and keep what the instruments still hold, say how it ended; the first fault wins."""
        try:
            if self._pending:
                self._rescue(self._pending[-1], hangs="spectrometer" in safe.left_behind)
            self._log(f"{reason.value}: {fault or self.stop.why or 'all blocks done'}")
            self._log(f"safe: {safe}")
            self.runfile.set_ledger(self.ledger.as_dict())
            self.runfile.sync()
        except BaseException as error:  # noqa: BLE001 - the hardware is off: whatever happens now is told, never raised
            fault = fault or error
        for frames in self._pending:  # rows that could not be rewritten stand in the file as they came: unassigned
            frames.cut_off(self.runfile.count - frames.first_row)
            self.ledger = self.ledger.plus(frames.rows, frames.planned)
        return fault

    def _rescue(self, last: BurstFrames, *, hangs: bool) -> None:
        last.cut = True
        last.cut_off(self.runfile.count - last.first_row)
        trouble = "it still hangs in a conversation" if hangs else ""
        try:
            while not hangs and self._drain(last):
                pass
        except RigError as error:
            trouble = error.what
            last.cut_off(self.runfile.count - last.first_row)
        # a held level is proven by the readings around each frame; a list only by a record that nobody has read
        self._commit(proven=self._compiled is not None and self._compiled.mode == "gated")
        if trouble:
            self._log(f"frames left in the spectrometer could not be fetched: {trouble}")

    # --- dark frames

    def _dark(self, integration_ns: int) -> None:
        self._enter(RunState.DARK)
        spectrometer = self.roles.spectrometer
        spectrometer.load(ExposureProgram(integration_ns, "software"))
        spectrometer.arm()
        spectra: list[NDArray[np.uint16]] = []
        # one more than needed: the first frame after arming may be an old one
        for _ in range(DARK_FRAMES + 1):
            self.lifeline.check()
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
        dark, lit = without_lit(np.concatenate(spectra)[1:])
        mean, variance, hot = self.reduce.dark(dark)
        nothing = np.zeros(len(dark), dtype=np.uint32)
        light = self.reduce.rows(FrameBatch(dark, nothing.astype(np.uint64), nothing), np.zeros(len(dark), dtype=FRAME_DTYPE))
        self._dark_noise = float(light.std(ddof=1))
        self.runfile.set_dark(mean, variance, hot, len(dark))
        stray = f", {lit} more showed light and were not used" if lit else ""
        self._log(f"dark: {len(dark)} frames, mean {mean.mean():.1f} counts, {int(hot.sum())} hot pixels{stray}")

    # --- blocks

    def _block(self, compiled: Compiled) -> None:
        self._enter(RunState.LOADING)
        self.lifeline.check()
        # what is loaded already stays: every command is a longer gap between two stretches
        loaded = None if self._compiled is None else self._compiled.programs
        if loaded is None or loaded.trigger != compiled.programs.trigger:
            self.roles.laser_trigger.load(compiled.programs.trigger)
        if loaded is None or loaded.spectrometer != compiled.programs.spectrometer:
            self.roles.spectrometer.load(compiled.programs.spectrometer)
        self.roles.voltage_source.load(compiled.programs.source)
        if note := self.beam.set_plate(compiled.programs.plate_deg):
            self._log(f"block {compiled.block.index}: {compiled.block.fluence_uj_cm2:g} uJ/cm2, {note}")
        self._compiled = compiled
        if self._armed_at is None:
            self._armed_at = (self.clock.now_ns(), self.wall.now_ns())
        if compiled.mode == "gated":
            self._gated(compiled)
        else:
            self._stepped(compiled)
        if self.energy is not None and (note := self.energy.end_block()):
            self._log(f"block {compiled.block.index}: {note}")

    def _gated(self, compiled: Compiled) -> None:
        """One level, held: set, settle and read it while no pulse can fire, then one burst, watched."""
        source = self.roles.voltage_source
        voltage_v = compiled.block.stretches[0].voltage_v
        source.arm()
        self.lifeline.check()
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
        source, timeline = self.roles.voltage_source, compiled.timeline
        period_ns = timeline.pattern.period_ns
        self.roles.spectrometer.arm()
        source.arm()
        for index in range(len(timeline.bursts)):
            if self._burst(compiled, index, [], lambda: None).cut:
                break
        with self.lifeline.long_step(COLLECT_S + COLLECT_S_PER_POINT * len(timeline.bursts)):  # no pulse comes any more
            points = source.collect()
        self._enter(RunState.COMMITTING)
        bursts = self._pending
        against = list_mismatch(points, [f.edge(period_ns) for f in bursts], timeline.settle_shots * period_ns * 1e-9)
        if against:
            self._log(f"block {compiled.block.index}: its frames stay unassigned: {against}")
        readings: list[Reading] = []
        for number, point in enumerate(points):
            # one that fits its burst was made at the burst's first shot, else only the source's own clock says when
            after_s = point.t_source_s - points[0].t_source_s
            own_ns = bursts[0].t_fire_ns + (round(after_s * 1e9) if math.isfinite(after_s) else 0)
            frames = bursts[min(number, len(bursts) - 1)]
            t_ns = own_ns if against else frames.t_fire_ns
            readings.append(self._keep(point, t_ns, t_ns, frames.stretch_number))
        if not against:
            # a stretch is vouched for by the readings at its own edge and at the next
            for number, frames in enumerate(bursts):
                frames.readings += readings[number : number + 2]
        cut = bursts[-1].cut
        bursts[-1].passive = cut and bursts[-1].burst.voltage_v == 0.0
        self._commit(proven=not against)
        for point in points:
            if point.in_compliance:
                raise compliance_error(point)
        if not points and not cut:
            raise InstrumentError(
                f"The source saw none of {len(timeline.bursts)} trigger edges.",
                where="voltage source trigger cable",
                hardware_state="going safe",
                next_step="check the cable from the delay generator to the source's trigger link and its level",
            )

    def _burst(self, compiled: Compiled, index: int, readings: list[Reading], watch: Callable[[], None]) -> BurstFrames:
        """Fire one burst and collect its frames until the spectrometer has no more; a stop request cuts it short."""
        timeline, trigger = compiled.timeline, self.roles.laser_trigger
        burst = timeline.bursts[index]
        period_ns = timeline.pattern.period_ns
        stretch = None if burst.stretch is None else timeline.stretches[burst.stretch]
        trigger.arm(burst.shots)
        self.beam.open()
        self._enter(RunState.ARMED)
        frames = BurstFrames(
            burst,
            stretch,
            compiled.block.index,
            self._stretches_begun,
            self._shots_begun,
            self.runfile.count,
            self.clock.now_ns(),
            readings=readings,
        )
        self._pending.append(frames)
        if stretch is not None:
            self._stretches_begun += 1
            self._shots_begun += stretch.shots
        self.lifeline.check()
        trigger.fire()
        self._enter(RunState.COLLECTING)
        # an edge of the laser's begins the burst up to a period later
        waits = burst.shots + (compiled.programs.trigger.start == "external_edge")
        end = Deadline(self.clock, waits * period_ns * 1e-9 + QUIET_S)
        while not end.over:
            self.lifeline.check()
            fetched = self._drain(frames)
            watch()
            self._tell(frames)
            if self.stop.requested:
                trigger.make_safe()
                frames.cut = True
                break
            # asking blocks: only right after the source was read, so that its readings stay as close as they should be
            # (where every pulse is asked for, the meter sets the pace)
            per_shot = self.energy is not None and self.energy.per_shot
            fresh = per_shot or not readings or self.clock.now_ns() - readings[-1].t_ns <= FRESH_S * 1e9
            asked = fresh and self._measure_energy(frames, end.left_s)
            # one without a clock waits for its frame itself: the time of arrival is all that tells when it was taken
            may_sleep = self.roles.spectrometer.has_clock and not asked
            if may_sleep and fetched < self.roles.spectrometer.frames_per_request:
                self.clock.sleep(min(self._pause_s(readings), end.left_s))
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
        self.beam.after_burst()
        # the last exposure is read out, and an edge that is early by less than this touches no shot
        self.clock.sleep(QUIET_S)
        while self._drain(frames):
            pass
        if len(frames) < burst.shots / 2 and burst.shots >= SILENT_SHOTS and not frames.cut:
            begins = "" if waits == burst.shots else "that the laser runs and its sync edge reaches the delay generator, "
            raise InstrumentError(
                f"The spectrometer gave {len(frames)} frames for {burst.shots} triggers.",
                where="spectrometer trigger cable",
                hardware_state="going safe",
                next_step=f"check {begins}the cable from the delay generator to the spectrometer's trigger input, its level, "
                "and that neither instrument was switched off meanwhile",
            )
        return frames

    def _pause_s(self, readings: list[Reading]) -> float:
        """How long to wait before the next look (s); after an energy was asked for, the source must still be read in time."""
        if not readings or self.energy is None or not self.energy.asked_since(readings[-1].t_ns):
            return POLL_S
        return min(POLL_S, max(READING_INTERVAL_S - (self.clock.now_ns() - readings[-1].t_ns) * 1e-9, 1e-3))

    def _measure_energy(self, frames: BurstFrames, left_s: float) -> bool:
        """Ask the energy meter if it is time to; tell whether it was asked."""
        # asking takes time, in which frames that are told apart by their arrival alone would wait; and before the first frame
        # of a laser that never stops, pulses come that are none of the burst's
        if self.energy is None or not self.roles.spectrometer.has_clock or (self.beam.runs_free and not len(frames)):
            return False
        if not self.energy.due(left_s):
            return False
        reading = self.energy.measure()
        if reading is not None:
            frames.energies.append(reading)
            self.runfile.append_energies(reading.answered_ns, reading.energy_uj, frames.block, frames.stretch_number)
        return True

    def _drain(self, frames: BurstFrames) -> int:
        """Fetch one request's worth of what waits, give it its numbers, store it; return how many frames came."""
        batch = self.roles.spectrometer.collect()
        if len(batch):
            rows = blank_rows(batch, self.clock.now_ns(), frames.block, frames.stretch_number)
            frames.add(rows, self.reduce.rows(batch, rows))
            self.runfile.append_frames(rows, batch.spectra)
            self.ledger = replace(self.ledger, received=self.runfile.count)
        # a disk loses power on the wall clock, also under a simulated run
        if self.wall.now_ns() - self._last_sync_ns >= SYNC_INTERVAL_S * 1e9:
            self.runfile.sync()
            self._last_sync_ns = self.wall.now_ns()
        return len(batch)

    def _commit(self, *, proven: bool) -> None:
        """Assign every pending burst and write its rows once more, now with their shots."""
        compiled = self._compiled
        while self._pending and compiled is not None:
            frames = self._pending[0]
            rows = frames.settle(
                period_ns=compiled.timeline.pattern.period_ns,
                settle_shots=compiled.timeline.settle_shots,
                proven=proven,
                dark_noise=self._dark_noise,
            )
            self._file_energies(frames, rows)
            if len(rows):
                self.runfile.rewrite_rows(frames.first_row, rows)
            # in one step, so that no interrupt enters a burst twice
            self.ledger, self._pending = self.ledger.plus(rows, frames.planned), self._pending[1:]
        self.runfile.set_ledger(self.ledger.as_dict())

    def _file_energies(self, frames: BurstFrames, rows: NDArray[np.void]) -> None:
        """Give every frame the energy of its own pulse (at the film), where the meter follows every pulse."""
        compiled, energy = self._compiled, self.energy
        if compiled is None or energy is None or not energy.per_shot or not frames.energies:
            return
        pattern = compiled.timeline.pattern
        found = frames.assign(pattern.period_ns)
        if found.exact:
            rows["pulse_energy_uj"] = energy.pickoff_ratio * shot_energies(
                found.trigger,
                rows["host_time_ns"],
                frames.energies,
                shots=frames.burst.shots,
                t_fire_ns=frames.t_fire_ns,
                pattern=pattern,
                runs_free=self.beam.runs_free,
            )

    # --- source readings

    def _read(self) -> Reading:
        asked_ns = self.clock.now_ns()
        measured = self.roles.voltage_source.measure()
        return self._keep(measured, asked_ns, self.clock.now_ns(), self._stretches_begun)

    def _keep(self, measured: SourceReading, asked_ns: int, t_ns: int, stretch_number: int) -> Reading:
        reading = Reading(asked_ns, t_ns, measured.voltage_v, measured.current_a, measured.in_compliance)
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
