"""Composition root: from a bench and a sequence to open instruments, a run file and a finished run.

The one module that may put simulated instruments behind the drivers; it never opens a real resource when it does.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from pyvisa import ResourceManager

from drivers.clock import Clock, MonotonicClock
from drivers.errors import ConfigError, Reason, RigError, UnsafeStateError
from drivers.registry import Role
from drivers.roles import SpectrometerInfo
from rig.bench import Bench, default_bench, read_bench
from rig.bench_lock import BenchLock, lock_bench
from rig.calibrate import Scan, evaluate, require_scannable
from rig.compiler import Plan, compile_block, plan
from rig.config_file import ConfigModel
from rig.device_lock import Device, DeviceLocks, lock_broken
from rig.fluence_calibration import FluenceCalibration
from rig.instruments import (
    Instruments,
    bench_watch,
    contact_check,
    energy_watch,
    facts,
    open_instruments,
    prepare,
    require_calibrated,
    serials,
    visa,
)
from rig.lifeline import GUARD_SUFFIX, Guarded, Lifeline, Unguarded
from rig.measurements.catalogue import MEASUREMENTS as MEASUREMENTS
from rig.measurements.catalogue import reduce_run
from rig.provenance import now_label, program_texts, timing, versions
from rig.pump_beam import PumpBeam
from rig.reduction import FrameReducer
from rig.run_result import RunResult as RunResult
from rig.runfile import RunFile, RunHeader, check_folder, open_run
from rig.runner import Outcome, PauseRequest, Progress, Runner, RunState, StopRequest
from rig.sequence import Measurement, Sequence, slug
from rig.simulation import check_film, make_world, resources_of
from rig.steps import one_by_one, side_by_side

READINGS_PER_S = 25


@dataclass(slots=True)
class Opened:
    """Open instruments, and all that has to be ended with them."""

    instruments: Instruments
    clock: Clock
    assumed: str
    simulation: str
    manager: ResourceManager
    lifeline: Guarded
    lock: BenchLock | None = None
    world: Any = None

    def close(self) -> None:
        """End all conversations, then the guard: unless it was released it goes on switching off, now with every port free."""
        try:
            self.instruments.close()
            self.manager.close()
            if self.world is not None:
                self.world.close()
        finally:
            self.lifeline.close()
            if self.lock is not None:
                self.lock.release()


class Session:
    """Runs sequences on one bench.

    Parameters
    ----------
    bench     a Bench, the path of a bench file, or None for the default bench, which is always simulated
    simulate  make the bench of software; resources are then never opened
    out       folder for run files, made when it is missing

    of a simulated bench only:

    seed           of everything random
    device         serial number of the film, whose history is loaded and kept; None is the nominal, pristine one
    variant        how the film is made: "bare" or "pmma"
    faults         such as "breakdown@3.2s"; see sim_instruments.faults
    state          folder of the films' histories; None is the user's own
    prepare_world  called with the world before anything is opened

    Raises
    ------
    ConfigError  the bench file, or what is simulated, is impossible
    """

    def __init__(
        self,
        bench: Bench | Path | str | None = None,
        *,
        simulate: bool = False,
        seed: int = 0,
        device: str | None = None,
        variant: str | None = None,
        faults: Iterable[str] = (),
        state: Path | str | None = None,
        out: Path | str = "runs",
        prepare_world: Callable[[Any], None] = lambda world: None,
    ) -> None:
        self.in_process = simulate or bench is None  # else resources are opened, which a server of simulated ones may own
        self.default_bench = bench is None
        self.bench = _bench(bench)
        self.simulated = self.in_process or self.bench.simulated
        self.seed = seed
        self.device = device
        self.variant = variant
        self.faults = tuple(faults)
        self.state = state
        self.out = Path(out)
        self.prepare_world = prepare_world
        if self.in_process:
            check_film(device, variant, self.faults)
        elif device or variant or self.faults:
            raise ConfigError(
                "A film, a variant and faults can be chosen on a bench simulated here only; this one is behind its resources.",
                (Reason("bench-is-real", "", "nothing of it can be simulated while the rest is not"),),
                next_step="add --simulate (simulate=True), or leave them out; `rig sim serve` takes them for a served bench",
            )
        self.world: Any = None  # of the last simulated run: the ground truth that tests judge by

    def with_output(self, out: Path | str | None, seed: int | None) -> "Session":
        """Return the same with another folder for run files, another seed; None keeps one."""
        other = copy(self)
        other.out = self.out if out is None else Path(out)
        other.seed = self.seed if seed is None else seed
        return other

    def sequence(self, source: Sequence | ConfigModel | Path | str) -> Sequence:
        """Read a sequence file, or wrap a measurement made in Python."""
        from rig.sequence import read_sequence

        if isinstance(source, Sequence):
            return source
        if isinstance(source, ConfigModel):
            return Sequence.of(source)
        return read_sequence(Path(source), MEASUREMENTS)

    def plan(self, source: Sequence | ConfigModel | Path | str) -> Plan:
        """Compile and price a sequence; touches nothing.

        Raises
        ------
        ConfigError, CompileError  with every reason at once
        RefusedError               the device is locked after a breakdown
        """
        sequence = self.sequence(source)
        measurement = cast(Measurement, sequence.parameters)
        self._require_real_calibration()
        device = self.device_of(sequence)
        if device is not None:
            self.locks.require_unlocked(device)
        return plan(measurement, sequence.mode, self.bench, facts(self.bench), sequence.where)

    def _require_real_calibration(self) -> None:
        calibration = self.bench.calibration()
        if calibration is not None and calibration.simulated and not self.simulated:
            where = self.bench.where(("attenuator", "calibration"))
            raise ConfigError(
                "The fluence calibration is a simulated one, the bench is real.",
                (Reason("calibration-simulated", where, f"made on {calibration.calibrated_at} without any real instrument"),),
                next_step="rig calibrate fluence",
            )

    def device_of(self, sequence: Sequence) -> Device | None:
        """Name what a sequence would be run on; a nominal film, made anew for every run, is nobody's."""
        if not self.in_process:
            return Device(sequence.sample, self.simulated)
        return None if self.device is None else Device(self.device, simulated=True)

    @property
    def locks(self) -> DeviceLocks:
        """Get the locks of devices that broke down; simulated films' lie with their histories."""
        return DeviceLocks(self.state if self.in_process else None)

    def reserve(self, plans: Iterable[Plan]) -> None:
        """Make the output folder and see that it takes these runs one after the other; before any instrument is opened.

        Raises
        ------
        RefusedError  it cannot be written, or the disk is too small for all of them and the last one's finished copy
        """
        sizes = [what.price.file_bytes for what in plans]
        check_folder(_folder(self.out), (sum(sizes) + max(sizes)) // 2)

    def run(
        self,
        source: Sequence | ConfigModel | Path | str,
        *,
        observe: Callable[[Progress], None] = lambda progress: None,
        stop: StopRequest | None = None,
        pause: PauseRequest | None = None,
    ) -> RunResult:
        """Run a sequence; what happens on the bench is in the result's outcome. Stop and pause may be asked for by any thread.

        Raises
        ------
        ConfigError, CompileError, RefusedError  the run was refused, nothing was switched on
        InstrumentError                          an instrument cannot be opened or prepared; everything is off again
        RecordError                              the run file cannot be made or finished
        KeyboardInterrupt                        Ctrl-C during the run; everything is off and saved, a note says where
        """
        sequence = self.sequence(source)
        what = self.plan(sequence)
        self.reserve([what])
        stop = stop or StopRequest()
        opened = self._open(self.bench.roles())
        try:
            if not self.in_process:  # a stepped clock knows one thread only
                stop.off_now = opened.instruments.make_safe
            result = self._run(sequence, what, opened, observe, stop, pause)
        finally:
            stop.off_now = None
            opened.close()
        fault = result.outcome.fault
        if fault is not None and not isinstance(fault, Exception):  # who loops over runs must not start the next one
            fault.add_note(f"The run was ended: {result.outcome.safe}. What it has is in {result.path}.")
            raise fault
        return result

    def calibrate_fluence(
        self,
        *,
        pulses: int = 20,
        points: int = 15,
        stop: StopRequest | None = None,
        observe: Callable[[int, int], None] = lambda done, total: None,
    ) -> FluenceCalibration | None:
        """Measure the pump energy against the angle of the attenuator; None when it was stopped. Nothing is stored.

        Raises
        ------
        ConfigError, RefusedError  the bench cannot be calibrated, or what was measured makes no calibration
        InstrumentError            an instrument does not do as it is told; everything is off again
        """
        require_scannable(self.bench, pulses, points)
        stop = stop or StopRequest()
        opened = self._open(tuple(role for role in self.bench.roles() if role != "spectrometer"))

        def seen(done: int, total: int) -> None:
            opened.lifeline.check()
            observe(done, total)

        try:
            opened.lifeline.guard(self.bench, opened.instruments.by_role)
            opened.lifeline.watch(None)
            scan = Scan(opened.instruments, self.bench, opened.clock, pulses, points, self.seed, stop, seen)
            try:
                scan.run()
            except UnsafeStateError:
                raise
            except RigError:  # everything is off again
                opened.lifeline.release()
                raise
            opened.lifeline.release()
            return None if stop.requested else evaluate(scan, simulated=self.simulated, label=now_label())
        finally:
            opened.close()

    def _run(
        self,
        sequence: Sequence,
        what: Plan,
        opened: Opened,
        observe: Callable[[Progress], None],
        stop: StopRequest,
        pause: PauseRequest | None,
    ) -> RunResult:
        measurement = cast(Measurement, sequence.parameters)
        rate_hz = self.bench.laser_trigger.rate_hz
        bench = self.bench if what.filter_position is None else self.bench.behind_filter(what.filter_position)
        beam = opened.instruments.beam(bench)
        try:
            require_calibrated(self.bench, serials(opened.instruments, None), simulated=self.simulated)
            for line in opened.lifeline.guard(self.bench, self.bench.roles()):
                observe(Progress(RunState.PREPARING, 0, what.planned_shots, f"guard: {line}"))
            info, meter = prepare(opened.instruments, bench, beam)
            require_calibrated(self.bench, serials(opened.instruments, meter), simulated=self.simulated)
            energy = energy_watch(opened.instruments, meter, self.bench, opened.clock)
            watch = bench_watch(opened.instruments, self.bench, opened.clock, what.lights)
            watch.before_arming()
            header = self._header(sequence, what, opened, info)
            readings = 64 + round(what.price.duration_s * READINGS_PER_S) + 16 * len(what.blocks)
            runfile = RunFile.create(
                _folder(self.out),
                f"{header.wall_start_label[:19].replace(':', '').replace('T', '_')}_{slug(sequence.sample)}_{measurement.name}",
                header,
                frame_capacity=what.frame_capacity,
                reading_capacity=readings,
                # even a meter that follows every pulse of a run this long gives no more
                energy_capacity=0 if energy is None else readings + round(energy.rate_hz * what.price.duration_s * 1.1),
            )
        except BaseException as error:
            opened.instruments.go_safe(error)
            opened.lifeline.release()
            raise
        try:
            opened.lifeline.watch(runfile.path.with_suffix(GUARD_SUFFIX))
            runner = Runner(
                opened.instruments.roles(),
                opened.clock,
                MonotonicClock(),
                runfile,
                FrameReducer(info, self.bench.spectrometer.electrons_per_count),
                planned_shots=what.planned_shots,
                stop=stop,
                observe=observe,
                beam=beam,
                energy=energy,
                walk=opened.instruments.walk,
                lifeline=opened.lifeline,
                pause=pause,
                watch=watch,
                on_time_s=self.bench.voltage_source.limits.on_time_s,
                contact=contact_check(opened.instruments, self.bench, what, opened.clock),
            )
            known = facts(self.bench)
            outcome = runner.run(
                measurement.blocks(rate_hz, what.mode),
                lambda block: compile_block(block, what.mode, bench, known, sequence.where),
                what.integration_ns,
            )
            try:
                self._lock_broken(sequence, runfile, outcome, opened.clock)
                _see_filter(beam, runfile, outcome, opened.clock)
            finally:
                result = self._finish(sequence, what, runfile, outcome)
            return result
        finally:
            with suppress(RigError):  # whoever finished it has told; harmless when done, and no interrupt keeps file and lock
                runfile.close()

    def _lock_broken(self, sequence: Sequence, runfile: RunFile, outcome: Outcome, clock: Clock) -> None:
        device = self.device_of(sequence)
        if device is not None and (said := lock_broken(self.locks, device, runfile.path, outcome.fault)):
            with suppress(RigError):  # a file that takes nothing any more: whoever finishes it says so
                runfile.log(clock.now_ns(), said)

    def _finish(self, sequence: Sequence, what: Plan, runfile: RunFile, outcome: Outcome) -> RunResult:
        """Reduce and trim the file; whatever fails here, the frames are safe and the hardware is off."""
        record, note, state = None, "", outcome.reason.value
        simulated, seed = self.simulated, self.seed if self.in_process else None
        path = runfile.path
        try:
            record = reduce_run(open_run(path), self.bench, state)
            text = json.dumps(record.as_json(), allow_nan=False)
            runfile.finish(state, record.stored(text), now_label())
        except (RigError, ValueError) as error:
            note = str(error)
            outcome.end_as(error)
        finally:
            try:
                runfile.close()  # harmless when done; an interrupt must not keep file and lock
            except (
                RigError
            ) as error:  # the file is gone and cannot be written again: what the hardware does is known all the same
                note = note or str(error)
                outcome.end_as(error)
        return RunResult(runfile.path, what, outcome, record, simulated, seed, note, sequence.measurement)

    def open_all(self) -> Opened:
        """Open every instrument of the bench and ask who it is; nothing is set or switched. Who opens them makes them safe.

        Raises
        ------
        RefusedError     the bench is in use
        InstrumentError  one cannot be opened, or is another than the bench says; all are closed again
        """
        return self._open(self.bench.roles())

    def _open(self, roles: tuple[str, ...]) -> Opened:
        """Open the instruments of some roles and ask who they are; nothing is set or switched."""
        clock: Clock = MonotonicClock()
        lock = None if self.in_process else lock_bench(self.bench, roles)
        try:
            return self._open_locked(roles, clock, lock)
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def _open_locked(self, roles: tuple[str, ...], clock: Clock, lock: BenchLock | None) -> Opened:
        lifeline = Unguarded() if self.in_process else Lifeline(clock, self.bench.safety.guard_silence_s)
        try:
            return self._open_guarded(roles, clock, lifeline, lock)
        except BaseException:
            lifeline.close()
            raise

    def _open_guarded(self, roles: tuple[str, ...], clock: Clock, lifeline: Guarded, lock: BenchLock | None) -> Opened:
        clock = lifeline.beating(clock)
        assumed = simulation = "{}"
        world: Any = None
        if self.in_process:
            world = make_world(
                self.bench,
                seed=self.seed,
                device=self.device,
                variant=self.variant,
                state=self.state,
                faults=self.faults,
            )
            clock = world
            self.prepare_world(world)
            self.world = world
            assumed = json.dumps(world.assumed())
            simulation = json.dumps({"variant": self.variant or "bare", "faults": self.faults, "history": world.history()})
            manager = resources_of(world)
        else:
            manager = visa(self.bench.visa_library)
        walk = one_by_one if self.in_process else partial(side_by_side, clock=clock)  # a stepped clock knows one thread only
        instruments = open_instruments(self.bench, cast(tuple[Role, ...], roles), manager, clock, walk)
        return Opened(instruments, clock, assumed, simulation, manager, lifeline, lock, world)

    def _header(self, sequence: Sequence, what: Plan, opened: Opened, info: SpectrometerInfo) -> RunHeader:
        label = now_label()
        bench_toml, sequence_toml = self.bench.source_text, sequence.source_text
        # the same simulated run has the same identity; one on the real clock never happens twice
        unique = json.dumps(
            [sequence_toml, bench_toml, self.seed, self.device, self.variant, self.faults, "" if self.in_process else label]
        )
        calibration = self.bench.calibration()
        digest = hashlib.sha256(unique.encode()).hexdigest()[:8]
        return RunHeader(
            run_id=f"{slug(sequence.sample)}-{sequence.measurement}-{digest}",
            title=sequence.title,
            sample=sequence.sample,
            measurement=sequence.measurement,
            mode=what.mode,
            simulated=self.simulated,
            seed=self.seed if self.in_process else None,
            device=" ".join([self.device or "nominal", *([self.variant] if self.variant else [])]) if self.in_process else "",
            sequence_toml=sequence_toml,
            bench_toml=bench_toml,
            programs_json=json.dumps(
                program_texts(what.blocks, chooses_fluence=getattr(sequence.parameters, "chooses_fluence", False))
            ),
            timing_json=json.dumps(timing(what.blocks[0])),
            identities_json=json.dumps({role: str(who) for role, who in opened.instruments.identities.items()}),
            versions_json=json.dumps(versions()),
            environment_json=self.bench.environment.model_dump_json(),
            wavelength_nm=info.wavelength_nm,
            nonlinearity=info.nonlinearity,
            wall_start_label=label,
            assumed_json=opened.assumed,
            simulation_json=opened.simulation,
            calibration_toml="" if calibration is None else calibration.text(),
        )


def _see_filter(beam: PumpBeam, runfile: RunFile, outcome: Outcome, clock: Clock) -> None:
    """See that the filter wheel stands where it was put; a run behind another filter is a fault."""
    try:
        beam.check_filter()
    except RigError as error:
        outcome.end_as(error)
        with suppress(RigError):  # as above
            runfile.log(clock.now_ns(), str(error))


def _bench(bench: Bench | Path | str | None) -> Bench:
    if bench is None:
        return default_bench()
    return bench if isinstance(bench, Bench) else read_bench(Path(bench))


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass  # the run file's own probe says what is wrong with the folder
    return out
