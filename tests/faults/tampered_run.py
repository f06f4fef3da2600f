"""A run on a bench that somebody tampers with, and what must hold whatever happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_truth import truth_of, wrong_frames
from watched_run import when_on

from rig.measurements.on_off import OnOff
from rig.runfile import Run, open_run
from rig.sequence import Sequence
from rig.session import RunResult, Session

Tamper = Callable[[Any], None]


def run_on(
    folder: Path, tamper: Tamper, mode: str, parameters: dict[str, float], **options: Any
) -> tuple[Session, RunResult, Run]:
    """Run on a bench that somebody tampers with; whatever happens, what must always hold holds."""
    bench = options.pop("bench", None)
    session = Session(bench, simulate=True, out=folder, prepare_world=tamper)
    result = session.run(Sequence.of(OnOff(**parameters), mode=mode), **options)
    run = open_run(result.path)
    ledger = result.outcome.ledger
    assert ledger.received == run.count
    assert ledger.received == ledger.assigned + ledger.unassigned + ledger.lead_in + ledger.surplus
    assert 0 <= ledger.assigned + ledger.unassigned <= ledger.planned
    assert int(np.sum(run.column("shot") >= 0)) == ledger.assigned
    assert wrong_frames(run.frames(), truth_of(session, run)) == 0
    assert off(session)
    return session, result, run


def off(session: Session) -> bool:
    """Whether the film is at 0 V, now and a second later."""
    session.world.sleep(1.0)
    return session.world.terminal.record.voltage_v[-1] == 0.0


def leak(after_s: float, late_ns: int = 0) -> Tamper:
    """The film breaks down so long after 20 V have come on; answers of the source arrive `late_ns` later than usual."""

    def tamper(world: Any) -> None:
        when_on(world, lambda t_ns: world.add_leak(1000.0, t_ns + round(after_s * 1e9)))
        source = world.personas["voltage_source"]
        ready = source.reply_ready_ns
        source.reply_ready_ns = lambda t_ns: None if (at_ns := ready(t_ns)) is None else at_ns + late_ns

    return tamper


def on_ns(session: Session) -> int:
    """When 20 V first came on."""
    record = session.world.terminal.record
    return next(t for t, v in zip(record.t_ns, record.voltage_v, strict=True) if v > 15)
