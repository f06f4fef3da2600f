"""Composition root: from a bench and a sequence to open instruments, a run file and a finished run.

The one module that may put simulated instruments behind the drivers; it never opens a real resource when it does.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from pyvisa import ResourceManager

from drivers.clock import Clock, MonotonicClock
from drivers.errors import ConfigError, InstrumentError, Reason, RigError, WrongIdentity
from drivers.registry import Closable, DriverEntry, Role, find
from drivers.roles import LaserTrigger, SourceLimits, Spectrometer, SpectrometerInfo, VoltageSource
from rig.bench import Bench, default_bench, read_bench
from rig.compiler import Facts, Plan, compile_block, plan
from rig.config_file import ConfigModel
from rig.measurements.on_off import OnOff
from rig.measurements.switching_record import SwitchingRecord, reduce_switching_run, without_result
from rig.reduction import FrameReducer
from rig.runfile import RunFile, RunHeader, check_folder, open_run
from rig.runner import FinishReason, Outcome, Progress, Roles, Runner, StopRequest
from rig.safety import SafeReport, make_safe
from rig.sequence import Measurement, Sequence, slug

MEASUREMENTS: dict[str, type[Measurement]] = {OnOff.name: OnOff}
ROLES: tuple[Role, ...] = ("laser_trigger", "voltage_source", "spectrometer")
READINGS_PER_S = 25
LIBRARIES = ("ito-rig", "numpy", "scipy", "h5py", "pyvisa", "pyvisa-py", "pymeasure", "pydantic")


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """A run that has ended, with the file it left.

    `record` is None when the file could not be reduced; `note` then says why.
    """

    path: Path
    plan: Plan
    outcome: Outcome
    record: SwitchingRecord | None
    simulated: bool
    seed: int | None
    note: str = ""

    @property
    def results(self) -> Any:
        """Get the reduced values (rig.analysis.switching.SwitchingResult), None when there are none."""
        return None if self.record is None else self.record.result

    @property
    def figure(self) -> Any:
        """Get the run's figure (a matplotlib Figure).

        Raises
        ------
        ValueError  there is nothing to draw
        """
        if self.record is None:
            raise ValueError(self.note)
        return self.record.figure()

    def as_json(self) -> dict[str, Any]:
        """Return what `rig run --json` prints."""
        return {
            "file": str(self.path),
            "simulated": self.simulated,
            "seed": self.seed,
            "mode": self.plan.mode,
            "state": self.outcome.reason.value,
            "duration_s": self.outcome.duration_s,
            "wall_s": self.outcome.wall_s,
            "frames": self.outcome.ledger.as_dict(),
            "results": without_result(self.note) if self.record is None else self.record.as_json(),
        }


@dataclass(slots=True)
class _Opened:
    roles: Roles
    links: list[Closable]
    clock: Clock
    identities: dict[str, str]
    assumed: str
    simulation: str
    manager: ResourceManager
    world: Any = None

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.manager.close()
        if self.world is not None:
            self.world.close()


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
        self.simulated = simulate or bench is None
        self.bench = _bench(bench)
        self.seed = seed
        self.device = device
        self.variant = variant
        self.faults = tuple(faults)
        self.state = state
        self.out = Path(out)
        self.prepare_world = prepare_world
        if self.simulated:
            _check_simulated(device, variant, self.faults)
        elif device or variant or self.faults:
            raise ConfigError(
                "A film, a variant and faults can be chosen on a simulated bench only; this one is real.",
                (Reason("bench-is-real", "", "nothing of it can be simulated while the rest is not"),),
                next_step="add --simulate (simulate=True), or leave them out",
            )
        self.world: Any = None  # of the last simulated run: the ground truth that tests judge by

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
        """
        sequence = self.sequence(source)
        measurement = cast(Measurement, sequence.parameters)
        return plan(measurement, sequence.mode, self.bench, facts(self.bench), sequence.where)

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
    ) -> RunResult:
        """Run a sequence; what happens on the bench is in the result's outcome.

        Raises
        ------
        ConfigError, CompileError, RefusedError  the run was refused, nothing was switched on
        InstrumentError                          an instrument cannot be opened or prepared; everything is off again
        RecordError                              the run file cannot be made or finished
        """
        sequence = self.sequence(source)
        what = self.plan(sequence)
        self.reserve([what])
        stop = stop or StopRequest()
        opened = self._open()
        try:
            return self._run(sequence, what, opened, observe, stop)
        finally:
            opened.close()

    def _run(
        self,
        sequence: Sequence,
        what: Plan,
        opened: _Opened,
        observe: Callable[[Progress], None],
        stop: StopRequest,
    ) -> RunResult:
        measurement = cast(Measurement, sequence.parameters)
        rate_hz = self.bench.laser_trigger.rate_hz
        try:
            info = self._prepare(opened.roles)
            header = self._header(sequence, what, opened, info)
            runfile = RunFile.create(
                _folder(self.out),
                f"{header.wall_start_label[:19].replace(':', '').replace('T', '_')}_{slug(sequence.sample)}_{measurement.name}",
                header,
                frame_capacity=what.frame_capacity,
                reading_capacity=64 + round(what.price.duration_s * READINGS_PER_S) + 16 * len(what.blocks),
            )
        except BaseException as error:
            _safe_again(opened.roles, error)
            raise
        runner = Runner(
            opened.roles,
            opened.clock,
            MonotonicClock(),
            runfile,
            FrameReducer(info, self.bench.spectrometer.electrons_per_count),
            planned_shots=what.planned_shots,
            stop=stop,
            observe=observe,
        )
        known = facts(self.bench)
        outcome = runner.run(
            measurement.blocks(rate_hz, what.mode),
            lambda block: compile_block(block, what.mode, self.bench, known, sequence.where),
            round(self.bench.spectrometer.integration_time_s * 1e9),
        )
        return self._finish(what, runfile, outcome)

    def _finish(self, what: Plan, runfile: RunFile, outcome: Outcome) -> RunResult:
        """Reduce and trim the file; whatever fails here, the frames are safe and the hardware is off."""
        record, note, state = None, "", outcome.reason.value
        simulated, seed = self.simulated, self.seed if self.simulated else None
        path = runfile.path
        try:
            record = reduce_switching_run(open_run(path), self.bench.spectrometer.psf_nm)
            text = json.dumps(record.as_json(), allow_nan=False)
            runfile.finish(state, record.stored(text), _now_label())
        except (RigError, ValueError) as error:
            note = str(error)
            runfile.close()
            if outcome.fault is None:
                outcome.reason, outcome.fault = FinishReason.FAULT, error
        finally:
            runfile.close()  # harmless when done; an interrupt must not keep file and lock
        return RunResult(path, what, outcome, record, simulated, seed, note)

    def _prepare(self, roles: Roles) -> SpectrometerInfo:
        limits = self.bench.voltage_source.limits
        roles.laser_trigger.prepare()
        roles.voltage_source.prepare(SourceLimits(*limits.voltage_v, limits.current_a))
        return roles.spectrometer.prepare()

    def _open(self) -> _Opened:
        """Open every instrument and ask who it is; nothing is set or switched."""
        clock: Clock = MonotonicClock()
        assumed = simulation = "{}"
        world: Any = None
        if self.simulated:
            from sim_instruments.visa_library import library_for

            world = self._make_world()
            clock = world
            self.prepare_world(world)
            self.world = world
            assumed = json.dumps(world.assumed())
            simulation = json.dumps({"variant": self.variant or "bare", "faults": self.faults, "history": world.history()})
            manager = ResourceManager(library_for(world))
        else:
            manager = _visa(self.bench.visa_library)
        links: list[Closable] = []
        instruments: dict[str, Any] = {}
        identities: dict[str, str] = {}
        try:
            for role in ROLES:
                section = getattr(self.bench, role)
                entry = find(section.model, role)
                instruments[role], link = entry.connect(manager, section.resource, clock)
                links.append(link)
                identities[role] = _identify(entry, instruments[role], section.resource)
        except BaseException as error:
            for link in links:
                link.close()
            manager.close()
            if isinstance(error, RigError):
                error.hardware_state = "instruments were only asked who they are; nothing was set or switched"
            raise
        roles = Roles(
            cast(VoltageSource, instruments["voltage_source"]),
            cast(LaserTrigger, instruments["laser_trigger"]),
            cast(Spectrometer, instruments["spectrometer"]),
        )
        return _Opened(roles, links, clock, identities, assumed, simulation, manager, world)

    def _make_world(self) -> Any:
        """Make the simulated bench; a film with a serial number comes with its history, which is written down from now on."""
        from sim_instruments.device_store import default_folder
        from sim_instruments.world import World

        folder = (self.state or default_folder()) if self.device else None
        with _impossible():
            return World(
                self.bench.description(), self.seed, self.device, self.variant, folder, _parsed_faults(self.faults, self.seed)
            )

    def _header(self, sequence: Sequence, what: Plan, opened: _Opened, info: SpectrometerInfo) -> RunHeader:
        label = _now_label()
        bench_toml, sequence_toml = self.bench.source_text, sequence.source_text
        # the same simulated run has the same identity; a real one never happens twice
        unique = json.dumps(
            [sequence_toml, bench_toml, self.seed, self.device, self.variant, self.faults, "" if self.simulated else label]
        )
        digest = hashlib.sha256(unique.encode()).hexdigest()[:8]
        return RunHeader(
            run_id=f"{slug(sequence.sample)}-{sequence.measurement}-{digest}",
            title=sequence.title,
            sample=sequence.sample,
            measurement=sequence.measurement,
            mode=what.mode,
            simulated=self.simulated,
            seed=self.seed if self.simulated else None,
            device=" ".join([self.device or "nominal", *([self.variant] if self.variant else [])]) if self.simulated else "",
            sequence_toml=sequence_toml,
            bench_toml=bench_toml,
            programs_json=json.dumps([program_text(one.programs) for one in what.blocks[:100]]),
            identities_json=json.dumps(opened.identities),
            versions_json=json.dumps(_versions()),
            environment_json=self.bench.environment.model_dump_json(),
            wavelength_nm=info.wavelength_nm,
            nonlinearity=info.nonlinearity,
            wall_start_label=label,
            assumed_json=opened.assumed,
            simulation_json=opened.simulation,
        )


@contextmanager
def _impossible() -> Generator[None]:
    """Turn what the simulation refuses into a refusal of ours."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ConfigError(
            "This bench cannot be simulated as asked.",
            (Reason("simulation-impossible", "", str(error)),),
            next_step="correct the device, the variant or the fault",
        ) from error


def _parsed_faults(faults: tuple[str, ...], seed: int) -> list[Any]:
    from sim_instruments.faults import parse_fault

    return [parse_fault(text, seed + number) for number, text in enumerate(faults)]


def _check_simulated(device: str | None, variant: str | None, faults: tuple[str, ...]) -> None:
    if device or variant or faults:
        from sim_instruments.film import variants

        with _impossible():
            variants.device(device, variant)
            _parsed_faults(faults, 0)


def facts(bench: Bench) -> Facts:
    """What the bench's models are capable of, from their drivers.

    Raises
    ------
    ConfigError  there is no driver for a model
    """
    source = cast(type[VoltageSource], find(bench.voltage_source.model, "voltage_source").kind)
    find(bench.laser_trigger.model, "laser_trigger")
    spectrometer = cast(type[Spectrometer], find(bench.spectrometer.model, "spectrometer").kind)
    return Facts(
        source_step_ns=source.step_time_ns,
        source_max_points=source.max_list_points,
        # a short exposure does not make frames come faster than the model's least frame period
        spectrometer_readout_ns=max(
            spectrometer.readout_ns,
            spectrometer.frame_period_min_ns - round(bench.spectrometer.integration_time_s * 1e9),
        ),
        integration_min_ns=spectrometer.integration_min_ns,
        integration_max_ns=spectrometer.integration_max_ns,
    )


def program_text(programs: Any) -> dict[str, str]:
    """One line per instrument: what it is loaded with."""
    return {"source": str(programs.source), "trigger": str(programs.trigger), "spectrometer": str(programs.spectrometer)}


def _bench(bench: Bench | Path | str | None) -> Bench:
    if bench is None:
        return default_bench()
    return bench if isinstance(bench, Bench) else read_bench(Path(bench))


def _visa(library: str) -> ResourceManager:
    try:
        return ResourceManager(library)
    except (OSError, ValueError) as error:
        raise InstrumentError(
            f"The VISA library {library} cannot be opened: {error}",
            where="visa_library in the bench file",
            next_step='install it, name its file, or use visa_library = "@py" with the resources that PyVISA-py knows',
        ) from error


def _identify(entry: DriverEntry, instrument: Any, resource: str) -> str:
    where = f"{entry.role.replace('_', ' ')} at {resource}"
    try:
        identity = instrument.identify()
    except RigError as error:
        error.where = where  # the driver does not know its address
        raise
    if not entry.matches(f"{identity.maker},{identity.model},{identity.serial},{identity.firmware}"):
        raise WrongIdentity(
            f"At {resource} answers {identity}; the bench file says {entry.model}.",
            where=where,
            hardware_state="only its identity was asked, nothing was set or switched",
            next_step="correct the resource or the model in the bench file, or the address on the instrument",
        )
    return str(identity)


def _safe_again(roles: Roles, error: BaseException) -> SafeReport:
    """Everything off after a failed preparation, and the error told so."""
    report = make_safe(roles.by_name())
    if isinstance(error, RigError):
        error.hardware_state = str(report)
    report.raise_if_unsafe()
    return report


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass  # the run file's own probe says what is wrong with the folder
    return out


def _now_label() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    root = Path(__file__).resolve().parent.parent
    if (root / ".git").exists():
        try:
            command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
            described = subprocess.run(command, capture_output=True, text=True, timeout=5)  # noqa: S603 - fixed words
            versions["git"] = described.stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            versions["git"] = "unknown"
    return versions
