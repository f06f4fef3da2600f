"""A run on a bench simulated in this process to which something happens, judged by the world's own record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_truth import off_ms, truth_of, wrong_frames

from rig.bench import Bench
from rig.measurements.on_off import OnOff
from rig.runfile import Run, open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session

WATCHED = {"cycles": 1, "on_time_s": 0.3, "off_time_s": 0.25, "settle_s": 0.005}  # a few readings in each stretch
A_DAY_NS = 86_400 * 10**9
ON_V = 15.0
Tamper = Callable[[Any], object]


@dataclass(frozen=True)
class WatchedRun:
    """A run that is over."""

    session: Session
    result: RunResult
    handed_us: list[int]  # of every frame that left the spectrometer, when it was exposed on its clock

    @property
    def world(self) -> Any:
        return self.session.world

    @property
    def run(self) -> Run:
        return open_run(self.result.path)

    @property
    def rows(self) -> Any:
        return self.run.frames()

    @property
    def wrong(self) -> int:
        """Frames that count and stand under a voltage that was not there."""
        return wrong_frames(self.rows, truth_of(self.session, self.run))

    @property
    def events(self) -> str:
        return "\n".join(text for _, text in self.run.events)

    def kept(self) -> str:
        """How many of the frames that left the spectrometer since the dark was taken are in the file, for the table."""
        stored = self.run.column("device_time_us").astype(np.int64)
        left = [t_us for t_us in self.handed_us if len(stored) and t_us >= stored[0]]
        assert set(stored.tolist()) <= set(left)
        return f"{len(stored)} of {len(left)} frames"

    def off_ms(self, since_ns: int) -> float:
        """From a moment to 0 V at the film and to the last light on it (ms); asserts that both have come for good."""
        return off_ms(self.world, since_ns)


def watched_run(
    folder: Path,
    tamper: Tamper,
    mode: str = "gated",
    bench: Bench | None = None,
    faults: tuple[str, ...] = (),
    **parameters: Any,
) -> WatchedRun:
    """Run on the default bench or another; raises what the run raises."""
    handed_us: list[int] = []

    def prepare(world: Any) -> None:
        tamper(world)
        buffer = world.personas["spectrometer"]._buffer
        take = buffer.take

        def witness(number: int) -> Any:
            pieces = take(number)
            handed_us.extend(int(t_us) for piece in pieces for t_us in piece["time_us"])
            return pieces

        buffer.take = witness

    session = Session(bench, simulate=True, out=folder, prepare_world=prepare, faults=faults)
    return WatchedRun(session, session.run(Sequence.of(OnOff(**{**WATCHED, **parameters}), mode=mode)), handed_us)


def when_on(world: Any, act: Callable[[int], None]) -> list[int]:
    """Call `act` with the time (ns) at which 20 V first come on; return where that time will stand."""
    set_voltage, seen = world.terminal.set_voltage, list[int]()

    def witness(voltage_v: float, t_ns: int) -> None:
        set_voltage(voltage_v, t_ns)
        if voltage_v > ON_V and not seen:
            seen.append(t_ns)
            act(t_ns)

    world.terminal.set_voltage = witness
    return seen


def at_time(world: Any, role: str, act: Callable[[int], None]) -> list[int]:
    """Let `act` happen once between two steps of an instrument, at the first time that is put into the list returned."""
    persona, due = world.personas[role], list[int]()
    advance = persona.run_until

    def run_until(t_ns: int) -> Any:
        pulses = advance(t_ns)
        if due and t_ns >= due[0]:
            due.clear()
            act(t_ns)
        return pulses

    persona.run_until = run_until
    return due


def when_dark(world: Any, act: Callable[[int], None]) -> None:
    """Call `act` with the time (ns) once the first exposure of the run, a dark one, is over."""
    exposures = world.light_path.record.exposures
    append, seen = exposures.append, list[int]()

    def witness(**columns: Any) -> None:
        append(**columns)
        if not seen:
            seen.append(int(columns["close_ns"][0]))
            act(seen[0])

    exposures.append = witness
