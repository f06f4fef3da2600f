"""The run's state machine: one loop over blocks (load, arm, fire, collect, assign, commit). Knows roles, never models.

States and their order::

    PREPARING -> DARK -> [ LOADING -> ARMED -> COLLECTING -> COMMITTING -> (PAUSED) ]* -> SAFING -> SAFE
    any state -> SAFING                     (stop, fault, programming error)

Once a stop is asked for nothing is switched on or fired any more. Whatever happens, SAFING is passed, before anything is saved
or said.
"""

import math
from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError, RigError
from drivers.roles import ExposureProgram, FrameBatch, SourceReading
from rig.acquisition import READING_INTERVAL_S, Acquisition, Reduce
from rig.bench_watch import BenchWatch
from rig.compiler import Compiled, Programs
from rig.contact_check import ContactCheck
from rig.energy_watch import EnergyWatch
from rig.frame_pattern import dark_frames
from rig.frames import BurstFrames, without_lit
from rig.interlocks import Interlocks
from rig.lifeline import Guarded, Unguarded
from rig.on_time import OnTime
from rig.pump_beam import PumpBeam
from rig.run_state import FinishReason as FinishReason
from rig.run_state import Outcome as Outcome
from rig.run_state import PauseRequest as PauseRequest
from rig.run_state import Progress as Progress
from rig.run_state import Roles as Roles
from rig.run_state import RunState as RunState
from rig.run_state import Stage
from rig.run_state import StopRequest as StopRequest
from rig.runfile import FRAME_DTYPE, RunFile
from rig.safety import SafeReport, make_safe
from rig.sequence import Block, BlockResult, State
from rig.source_record import QUIET_S, Reading, compliance_error, demand_level, list_mismatch
from rig.steps import Walk, one_by_one

COLLECT_S, COLLECT_S_PER_POINT = 10.0, 0.02  # far more than a source takes to send its readings
PAUSE_LOOK_S = 0.05


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
    pause        asks for a pause between two blocks, in which everything is off
    watch        over live quantities; None watches nothing
    on_time_s    longest time with a voltage on, without a break (s)
    contact      looks at the contact before the first voltage; None looks at nothing
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
        pause: PauseRequest | None = None,
        watch: BenchWatch | None = None,
        on_time_s: float = math.inf,
        contact: ContactCheck | None = None,
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
        self.pause = pause or PauseRequest()
        self.watch = watch or BenchWatch(Interlocks([]), clock, {}, {})
        self.on_time = OnTime(on_time_s, clock)
        self.contact = contact
        self.stage = Stage()
        self.acquisition = Acquisition(
            roles,
            clock,
            wall,
            runfile,
            reduce,
            self.stage,
            planned_shots=planned_shots,
            stop=stop,
            observe=observe,
            beam=self.beam,
            energy=energy,
            lifeline=self.lifeline,
            watch=self.watch,
            on_time=self.on_time,
        )
        self._armed_at: tuple[int, int] | None = None
        self._compiled: Compiled | None = None
        self._loaded: Programs | None = None

    # --- the run

    def run(
        self, blocks: Generator[Block, BlockResult | None, None], compile_one: Callable[[Block], Compiled], integration_ns: int
    ) -> Outcome:
        """Run every block. Never raises for what happens on the bench; the outcome says it.

        Parameters
        ----------
        blocks          the measurement's generator; it is sent each block's result
        compile_one     pure: block -> timeline and programs
        integration_ns  of the dark frames, the same as of the data
        """
        reason, fault = FinishReason.DONE, None
        try:
            try:
                self.observe(Progress(self.stage.now, 0, self.acquisition.ledger.planned, file=str(self.runfile.path)))
                for line in self.lifeline.reach:
                    self._log(f"guard: {line}")
                self.watch.log_to(self._log)
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
            self.acquisition.ledger,
            duration_s=(end_ns - start_ns) * 1e-9,
            wall_s=(wall_end_ns - wall_start_ns) * 1e-9,
            fault=fault,
            states=self.stage.passed,
        )

    def _run_blocks(
        self, blocks: Generator[Block, BlockResult | None, None], compile_one: Callable[[Block], Compiled], integration_ns: int
    ) -> None:
        if self.contact is not None:
            self.contact.run(self.stop, self.lifeline, self._log)
        self._dark(integration_ns)
        block = next(blocks, None)
        while block is not None and not self.stop.requested:
            self._block(compile_one(block))
            try:
                block = blocks.send(self.acquisition.take_result())
            except StopIteration:
                block = None
                self._ended()
            if block is not None and self.pause.asked:
                self._rest()
        if not self.stop.requested:
            self.watch.at_end()

    def _ended(self) -> None:
        if not self.stop.requested:
            self.acquisition.no_more_blocks()

    def _rest(self) -> None:
        """Everything off until the pause is over or the run is to stop."""
        if self.stop.requested:
            return
        self.stage.enter(RunState.PAUSED)
        report = make_safe(self.roles.by_name(), self.walk)
        self.on_time.level(0.0)
        self._log(f"paused: {report}")
        self.beam.was_closed()
        self._loaded = None
        if report.interrupt is not None:
            raise report.interrupt
        report.raise_if_unsafe()
        ledger = self.acquisition.ledger
        while self.pause.asked and not self.stop.requested:
            self.observe(Progress(RunState.PAUSED, ledger.assigned + ledger.unassigned, ledger.planned))
            self.lifeline.check()
            self.wall.sleep(PAUSE_LOOK_S)  # also under a stepped clock: who takes it back does so in real time
        self._log("the pause is over")

    def _go_safe(self) -> SafeReport:
        self.stop.heeded = True
        self.stage.enter(RunState.SAFING)
        report = make_safe(self.roles.by_name(), self.walk)
        self.stage.enter(RunState.SAFE)
        return report

    def _record_end(self, reason: FinishReason, fault: BaseException | None, safe: SafeReport) -> BaseException | None:
        """After everything is off: fetch and keep what the instruments still hold, say how it ended; the first fault wins."""
        try:
            if self.acquisition.pending:
                self._rescue(self.acquisition.pending[-1], hangs="spectrometer" in safe.left_behind)
            self._log(f"{reason.value}: {self.stop.why or 'all blocks done' if fault is None else _text(fault)}")
            self._log(f"safe: {safe}")
            self.runfile.set_ledger(self.acquisition.ledger.as_dict())
            self.runfile.sync()
        except BaseException as error:  # noqa: BLE001 - the hardware is off: whatever happens now is told, never raised
            fault = fault or error
        for frames in self.acquisition.pending:  # rows that could not be rewritten stand in the file as they came: unassigned
            frames.cut_off(self.runfile.count - frames.first_row)
            self.acquisition.ledger = self.acquisition.ledger.plus(frames.rows, frames.planned)
        return fault

    def _rescue(self, last: BurstFrames, *, hangs: bool) -> None:
        last.cut = True
        last.cut_off(self.runfile.count - last.first_row)
        trouble = "it still hangs in a conversation" if hangs else ""
        try:
            while not hangs and self.acquisition.drain(last):
                pass
        except RigError as error:
            trouble = error.what
            last.cut_off(self.runfile.count - last.first_row)
        # a held level is proven by the readings around each frame; a list only by a record that nobody has read
        self.acquisition.commit(self._compiled, proven=self._compiled is not None and self._compiled.mode == "gated")
        if trouble:
            self._log(f"frames left in the spectrometer could not be fetched: {trouble}")

    # --- dark frames

    def _dark(self, integration_ns: int) -> None:
        self.stage.enter(RunState.DARK)
        spectrometer = self.roles.spectrometer
        spectrometer.load(ExposureProgram(integration_ns, "software"))
        spectrometer.arm()
        spectra: list[NDArray[np.uint16]] = []
        # one more than needed: the first frame after arming may be an old one
        for _ in range(dark_frames(integration_ns) + 1):
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
        self.acquisition.dark_noise = float(light.std(ddof=1))
        self.runfile.set_dark(mean, variance, hot, len(dark))
        stray = f", {lit} more showed light and were not used" if lit else ""
        self._log(f"dark: {len(dark)} frames, mean {mean.mean():.1f} counts, {int(hot.sum())} hot pixels{stray}")

    # --- blocks

    def _block(self, compiled: Compiled) -> None:
        self.stage.enter(RunState.LOADING)
        self.lifeline.check()
        # what is loaded already stays: every command is a longer gap between two stretches
        loaded, self._loaded = self._loaded, None
        if loaded is None or loaded.trigger != compiled.programs.trigger:
            self.roles.laser_trigger.load(compiled.programs.trigger)
        if loaded is None or loaded.spectrometer != compiled.programs.spectrometer:
            self.roles.spectrometer.load(compiled.programs.spectrometer)
        self.roles.voltage_source.load(compiled.programs.source)
        self.beam.set_light(compiled.block.exposure.light)
        if note := self.beam.set_plate(compiled.programs.plate_deg):
            self._log(f"block {compiled.block.index}: {compiled.block.fluence_uj_cm2:g} uJ/cm2, {note}")
        self._compiled, self._loaded = compiled, compiled.programs
        if self._armed_at is None:
            self._armed_at = (self.clock.now_ns(), self.wall.now_ns())
        self.watch.before_arming({stretch.state for stretch in compiled.block.stretches})
        if compiled.mode == "gated":
            self._gated(compiled)
        else:
            self._stepped(compiled)
        if not self.stop.requested:
            self.watch.after_block()
        if self.energy is not None and (note := self.energy.end_block()):
            self._log(f"block {compiled.block.index}: {note}")

    def _gated(self, compiled: Compiled) -> None:
        """One level, held: set, settle and read it while no pulse can fire, then one burst, watched."""
        source = self.roles.voltage_source
        voltage_v, state = compiled.block.stretches[0].voltage_v, compiled.block.stretches[0].state
        if self.stop.requested:
            return
        self.on_time.level(voltage_v)
        source.arm()
        self.lifeline.check()
        self.clock.sleep(QUIET_S)
        readings = [self._read(state)]
        demand_level(readings[0], voltage_v)
        self.roles.spectrometer.arm()

        def watch() -> None:
            if self.clock.now_ns() - readings[-1].t_ns >= READING_INTERVAL_S * 1e9:
                readings.append(self._read(state))
                demand_level(readings[-1], voltage_v)

        if self.acquisition.burst(compiled, 0, readings, watch) is None:
            return
        readings.append(self._read(state))
        self.stage.enter(RunState.COMMITTING)
        self.acquisition.commit(self._compiled, proven=True)
        demand_level(readings[-1], voltage_v)

    def _stepped(self, compiled: Compiled) -> None:
        """The source steps on its own at the start of every burst; its own record proves afterwards where it stood."""
        source, timeline = self.roles.voltage_source, compiled.timeline
        period_ns = timeline.pattern.period_ns
        self.roles.spectrometer.arm()
        if self.stop.requested:
            return
        source.arm()
        cut = False
        for index in range(len(timeline.bursts)):
            frames = self.acquisition.burst(compiled, index, [], lambda: None)
            if cut := frames is None or frames.cut:
                break
        with self.lifeline.long_step(COLLECT_S + COLLECT_S_PER_POINT * len(timeline.bursts)):  # no pulse comes any more
            points = source.collect()
        if not self.acquisition.pending:  # the stop came before the first burst
            return
        self.stage.enter(RunState.COMMITTING)
        bursts = self.acquisition.pending
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
            state = None if frames.stretch is None else frames.stretch.state
            readings.append(self._keep(point, t_ns, t_ns, frames.stretch_number, state))
        if not against:
            # a stretch is vouched for by the readings at its own edge and at the next
            for number, frames in enumerate(bursts):
                frames.readings += readings[number : number + 2]
        bursts[-1].passive = bursts[-1].cut and bursts[-1].burst.voltage_v == 0.0
        self.acquisition.commit(self._compiled, proven=not against)
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

    # --- source readings

    def _read(self, state: State) -> Reading:
        asked_ns = self.clock.now_ns()
        measured = self.roles.voltage_source.measure()
        return self._keep(measured, asked_ns, self.clock.now_ns(), self.acquisition.stretches_begun, state)

    def _keep(self, measured: SourceReading, asked_ns: int, t_ns: int, stretch_number: int, state: State | None) -> Reading:
        reading = Reading(asked_ns, t_ns, measured.voltage_v, measured.current_a, measured.in_compliance)
        block = -1 if self._compiled is None else self._compiled.block.index
        self.runfile.append_readings(t_ns, reading.voltage_v, reading.current_a, reading.in_compliance, block, stretch_number)
        self.watch.on_reading(reading, t_ns, state)
        return reading

    # --- telling

    def _log(self, text: str) -> None:
        self.runfile.log(self.clock.now_ns(), text)


def _text(fault: BaseException) -> str:
    try:
        return str(fault)
    except Exception:  # noqa: BLE001 - somebody's own error must not keep the end of the run from being written
        return type(fault).__name__
