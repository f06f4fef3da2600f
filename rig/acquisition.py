"""What comes back from the bursts of a run: fetched, told apart, stored, assigned, and counted in the ledger.

One burst at a time is fired and watched to its end; the frames of a block's bursts wait here until the block has proved where
the voltage stood.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock, Deadline
from drivers.errors import InstrumentError
from drivers.roles import FrameBatch
from rig.bench_watch import BenchWatch
from rig.compiler import Compiled
from rig.energy_watch import EnergyWatch, shot_energies
from rig.frames import BurstFrames, Ledger, blank_rows
from rig.lifeline import Guarded
from rig.on_time import OnTime
from rig.pump_beam import PumpBeam
from rig.run_state import Progress, Roles, RunState, Stage, StopRequest
from rig.runfile import FRAME_DTYPE, RunFile
from rig.sequence import BlockResult
from rig.source_record import QUIET_S, Reading

POLL_S = 0.0131  # with the time a request takes, 14 frames at 1 kHz: one request of the Ocean FX holds 15
READING_INTERVAL_S = 0.08  # V and I at most 0.1 s apart
FRESH_S = 0.03
SYNC_INTERVAL_S = 1.0
SILENT_SHOTS = 10  # a burst this long that loses more than half of its frames is a cable, not bad luck


class Reduce(Protocol):
    """Turns raw spectra into what a row holds; see rig.reduction."""

    def dark(self, spectra: NDArray[np.uint16]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Take the dark frames; return mean, variance and hot-pixel mask."""
        ...

    def rows(self, batch: FrameBatch, rows: NDArray[np.void]) -> NDArray[np.float64]:
        """Fill the traces and the saturation flag of `rows`; return the total light per frame."""
        ...


class Acquisition:
    """Fires bursts and keeps what they bring.

    Parameters are those of rig.runner.Runner; `stage` is where the run is.
    """

    def __init__(
        self,
        roles: Roles,
        clock: Clock,
        wall: Clock,
        runfile: RunFile,
        reduce: Reduce,
        stage: Stage,
        *,
        planned_shots: int,
        stop: StopRequest,
        observe: Callable[[Progress], None],
        beam: PumpBeam,
        energy: EnergyWatch | None,
        lifeline: Guarded,
        watch: BenchWatch,
        on_time: OnTime,
    ) -> None:
        self.ledger = Ledger(planned_shots)
        self.pending: list[BurstFrames] = []  # of the block that is running, not yet assigned
        self.settled: list[NDArray[np.void]] = []  # rows of its bursts that are
        self.stretches_begun = 0
        self.dark_noise = 0.0
        self._roles = roles
        self._clock = clock
        self._wall = wall
        self._runfile = runfile
        self._reduce = reduce
        self._stage = stage
        self._stop = stop
        self._observe = observe
        self._beam = beam
        self._energy = energy
        self._lifeline = lifeline
        self._watch = watch
        self._on_time = on_time
        self._shots_begun = 0
        self._last_sync_ns = wall.now_ns()

    def burst(self, compiled: Compiled, index: int, readings: list[Reading], watch: Callable[[], None]) -> BurstFrames | None:
        """Fire one burst and collect its frames until the spectrometer has no more; a stop request cuts it short.

        None when the stop was asked for before it was fired: then it never is. `watch` is called at every look.

        Raises
        ------
        InstrumentError  the generator does not end, or more than half of the frames are missing
        RigError         whatever the instruments, the guard or the run file have to say
        """
        frames = self._fire(compiled, index, readings)
        if frames is None:
            return None
        # an edge of the laser's begins the burst up to a period later
        waits = frames.burst.shots + (compiled.programs.trigger.start == "external_edge")
        self._follow(frames, waits * compiled.timeline.pattern.period_ns * 1e-9 + QUIET_S, readings, watch)
        self._wait_for_the_end(frames)
        shots = frames.burst.shots
        if len(frames) < shots / 2 and shots >= SILENT_SHOTS and not frames.cut:
            begins = "" if waits == shots else "that the laser runs and its sync edge reaches the delay generator, "
            raise InstrumentError(
                f"The spectrometer gave {len(frames)} frames for {shots} triggers.",
                where="spectrometer trigger cable",
                hardware_state="going safe",
                next_step=f"check {begins}the cable from the delay generator to the spectrometer's trigger input, its level, "
                "and that neither instrument was switched off meanwhile",
            )
        return frames

    def _fire(self, compiled: Compiled, index: int, readings: list[Reading]) -> BurstFrames | None:
        """Arm and fire one burst, unless the run is to stop."""
        timeline, trigger = compiled.timeline, self._roles.laser_trigger
        burst = timeline.bursts[index]
        stretch = None if burst.stretch is None else timeline.stretches[burst.stretch]
        if self._stop.requested:
            return None
        trigger.arm(burst.shots * timeline.pattern.triggers)
        if self._stop.requested:
            return None
        self._beam.open()
        self._stage.enter(RunState.ARMED)
        self._lifeline.check()
        if self._stop.requested:  # last, with no conversation between here and the first pulse
            return None
        frames = BurstFrames(
            burst,
            stretch,
            compiled.block.index,
            self.stretches_begun,
            self._shots_begun,
            self._runfile.count,
            self._clock.now_ns(),
            readings=readings,
            pulses=timeline.pattern.pulses,
            reference=compiled.block.exposure.light == "blocked",
        )
        self.pending.append(frames)
        if stretch is not None:
            self.stretches_begun += 1
            self._shots_begun += stretch.shots
        self._on_time.level(burst.voltage_v)
        trigger.fire()
        self._stage.enter(RunState.COLLECTING)
        return frames

    def _follow(self, frames: BurstFrames, duration_s: float, readings: list[Reading], watch: Callable[[], None]) -> None:
        """Fetch frames, energies and readings while a burst runs."""
        end = Deadline(self._clock, duration_s)
        while not end.over:
            self._lifeline.check()
            fetched = self.drain(frames)
            watch()
            self._watch.check()
            self._on_time.check()
            self._tell(frames)
            if self._stop.requested:
                self._roles.laser_trigger.make_safe()
                frames.cut = True
                return
            # asking blocks: only right after the source was read, so that its readings stay as close as they should be
            # (where every pulse is asked for, the meter sets the pace)
            per_shot = self._energy is not None and self._energy.per_shot
            fresh = per_shot or not readings or self._clock.now_ns() - readings[-1].t_ns <= FRESH_S * 1e9
            asked = fresh and self._measure_energy(frames, end.left_s)
            # one without a clock waits for its frame itself: the time of arrival is all that tells when it was taken
            may_sleep = self._roles.spectrometer.has_clock and not asked
            if may_sleep and fetched < self._roles.spectrometer.frames_per_request:
                self._clock.sleep(min(self._pause_s(readings), end.left_s))

    def _wait_for_the_end(self, frames: BurstFrames) -> None:
        patience = Deadline(self._clock, 1.0)
        while self._roles.laser_trigger.busy():
            if patience.over:
                raise InstrumentError(
                    f"The delay generator is still busy 1 s after a burst of {frames.burst.shots} shots should have ended.",
                    where="laser trigger",
                    hardware_state="going safe",
                    next_step="check its burst period and trigger source on the front panel",
                )
            self._clock.sleep(QUIET_S)
        self._beam.after_burst()
        # the last exposure is read out, and an edge that is early by less than this touches no shot
        self._clock.sleep(QUIET_S)
        while self.drain(frames):
            pass

    def _pause_s(self, readings: list[Reading]) -> float:
        """How long to wait before the next look (s); after an energy was asked for, the source must still be read in time."""
        if not readings or self._energy is None or not self._energy.asked_since(readings[-1].t_ns):
            return POLL_S
        return min(POLL_S, max(READING_INTERVAL_S - (self._clock.now_ns() - readings[-1].t_ns) * 1e-9, 1e-3))

    def _measure_energy(self, frames: BurstFrames, left_s: float) -> bool:
        """Ask the energy meter if it is time to; tell whether it was asked."""
        # asking takes time, in which frames that are told apart by their arrival alone would wait; and before the first frame
        # of a laser that never stops, pulses come that are none of the burst's
        if self._energy is None or not self._roles.spectrometer.has_clock or (self._beam.runs_free and not len(frames)):
            return False
        if not (frames.pulses and self._energy.due(left_s)):
            return False
        reading = self._energy.measure()
        if reading is not None:
            frames.energies.append(reading)
            self._watch.on_energy(reading, None if frames.stretch is None else frames.stretch.state)
            self._runfile.append_energies(reading.answered_ns, reading.energy_uj, frames.block, frames.stretch_number)
        return True

    def drain(self, frames: BurstFrames) -> int:
        """Fetch one request's worth of what waits, give it its numbers, store it; return how many frames came."""
        batch = self._roles.spectrometer.collect()
        if len(batch):
            rows = blank_rows(batch, self._clock.now_ns(), frames.block, frames.stretch_number)
            frames.add(rows, self._reduce.rows(batch, rows))
            self._runfile.append_frames(rows, batch.spectra)
            self.ledger = replace(self.ledger, received=self._runfile.count)
        # a disk loses power on the wall clock, also under a simulated run
        if self._wall.now_ns() - self._last_sync_ns >= SYNC_INTERVAL_S * 1e9:
            self._runfile.sync()
            self._last_sync_ns = self._wall.now_ns()
        return len(batch)

    def commit(self, compiled: Compiled | None, *, proven: bool) -> None:
        """Assign every pending burst of a block and write its rows once more, now with their shots."""
        while self.pending and compiled is not None:
            frames = self.pending[0]
            rows = frames.settle(
                period_ns=compiled.timeline.pattern.period_ns,
                settle_shots=compiled.timeline.settle_shots,
                proven=proven,
                dark_noise=self.dark_noise,
            )
            self._file_energies(compiled, frames, rows)
            self._watch.on_rows(rows)
            if len(rows):
                self._runfile.rewrite_rows(frames.first_row, rows)
            # in one step, so that no interrupt enters a burst twice
            self.ledger, self.pending = self.ledger.plus(rows, frames.planned), self.pending[1:]
            self.settled.append(rows)
        self._runfile.set_ledger(self.ledger.as_dict())

    def take_result(self) -> BlockResult:
        """Hand out the rows of all bursts committed since the last time."""
        rows, self.settled = self.settled, []
        return BlockResult(np.concatenate(rows) if rows else np.zeros(0, FRAME_DTYPE))

    def no_more_blocks(self) -> None:
        """Take note that the measurement has ended: shots that it might have asked for were not planned after all."""
        self.ledger = replace(self.ledger, planned=min(self.ledger.planned, self._shots_begun))

    def _file_energies(self, compiled: Compiled, frames: BurstFrames, rows: NDArray[np.void]) -> None:
        """Give every frame the energy of its own pulse (at the film), where the meter follows every pulse."""
        energy = self._energy
        if energy is None or not energy.per_shot or not frames.energies or frames.pulses != 1:
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
                runs_free=self._beam.runs_free,
            )

    def _tell(self, frames: BurstFrames) -> None:
        lead_in = frames.burst.lead_in
        done = self.ledger.assigned + self.ledger.unassigned + sum(max(0, len(f) - lead_in) for f in self.pending)
        self._observe(Progress(self._stage.now, min(done, self.ledger.planned), self.ledger.planned))
