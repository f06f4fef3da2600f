"""Checks that only look at one instrument: who it is, what it complains of, what its output does, how fast it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from drivers.errors import RigError
from drivers.registry import KINDS, Role
from rig.checkup import Check, Finding, Situation, Status
from rig.connections import Connections

LATENCY_QUERIES = 100
BARS = "▁▂▃▄▅▆▇█"
BINS = 12
WITH_INTERLOCK: tuple[Role, ...] = ("voltage_source", "shutter", "cw_shutter")
WITH_OUTPUT: tuple[Role, ...] = ("voltage_source", "laser_trigger", "spectrometer", "shutter", "cw_shutter")


@dataclass(frozen=True, slots=True)
class Interlock:
    """What a driver may tell of an interlock.

    Parameters
    ----------
    watched      property that says whether the instrument looks at it at all; "" always
    told         property that says what it is like
    when_closed  what that property says when it is closed
    open_means   what the instrument does when it is open
    status       of an open one
    """

    watched: str
    told: str
    when_closed: bool
    open_means: str
    status: Status


INTERLOCKS = (
    Interlock("output_enable_line", "output_enable_tripped", True, "its output cannot be switched on", "warn"),
    Interlock("", "interlock_closed", True, "its output stays below 42 V", "ok"),
    Interlock("", "interlock_tripped", False, "it stays closed whatever it is told", "warn"),
)
DOES_NOT_ANSWER = "check power, cable, address and the resource name in the bench file"


def instrument_checks(role: Role, connections: Connections) -> list[Check]:
    """Everything that is asked of one instrument, its identity first."""
    needs = (role,)
    checks = [
        Check(role, "identity", partial(_identity, role, connections)),
        Check(role, "error queue", partial(_errors, role), needs),
    ]
    if role in WITH_OUTPUT:
        checks.append(Check(role, "output", partial(_output, role), needs))
    if role in WITH_INTERLOCK:
        checks.append(Check(role, "interlock", partial(_interlock, role), needs))
    checks.append(Check(role, "latency", partial(_latency, role), needs))
    return checks


def _identity(role: Role, connections: Connections, situation: Situation) -> Finding:
    connection = connections.connect(role)
    try:
        identity = connection.instrument.identify()
    except RigError as error:
        where = f"at {connection.resource}: "
        return Finding("fail", where + error.what, next_step=error.next_step or DOES_NOT_ANSWER)
    if not connection.entry.matches(f"{identity.maker},{identity.model},{identity.serial},{identity.firmware}"):
        return Finding(
            "fail",
            f"at {connection.resource} answers {identity}; the bench file says {connection.entry.model}",
            next_step="correct the resource or the model in the bench file; nothing more was asked of it",
        )
    situation.connected[role] = connection
    told = {name: getattr(identity, name) for name in ("maker", "model", "serial", "firmware")}
    serial = identity.serial or "not told"
    who = f"{identity.maker} {identity.model}, serial {serial}, firmware {identity.firmware}"
    return Finding("ok", f"{who} at {connection.resource}", details={**told, "resource": connection.resource})


def _errors(role: Role, situation: Situation) -> Finding:
    found: list[str] = situation.instrument(role).errors()
    if not found:
        return Finding("ok", "no error waits", 0.0)
    return Finding(
        "warn",
        f"{len(found)} from before, told here and now gone: {'; '.join(found)}",
        float(len(found)),
        next_step="somebody sent it what it refused; if it was this program, please report it",
        details={"errors": found},
    )


def _output(role: Role, situation: Situation) -> Finding:
    answer = situation.instrument(role).read_safe()
    situation.states[role] = answer
    details = {"safe": answer.safe}
    if role == "spectrometer":
        waiting = getattr(situation.instrument(role), "spectra_waiting", 0)
        if waiting:
            situation.in_use[role] = f"{waiting} spectra wait in the spectrometer's buffer and would be lost"
        return Finding("ok", f"{answer.detail}; {waiting} spectra wait", details={**details, "spectra_waiting": waiting})
    if answer.safe:
        return Finding("ok", answer.detail, details=details)
    if KINDS.get(role, role) != "shutter":
        situation.in_use[role] = f"{role.replace('_', ' ')}: {answer.detail}"
    return Finding(
        "warn",
        f"{answer.detail}; somebody may be measuring, it was left as it is",
        next_step="if nobody is: switch it off at its front panel, then ask again",
        details=details,
    )


def _interlock(role: Role, situation: Situation) -> Finding:
    instrument = situation.instrument(role)
    for known in INTERLOCKS:
        if not hasattr(type(instrument), known.told):
            continue
        if known.watched and not getattr(instrument, known.watched):
            what = "its output-enable line is not used: a lid switch there would not switch the output off"
            return Finding("ok", what, details={"watched": False})
        closed = bool(getattr(instrument, known.told)) is known.when_closed
        details = {"watched": True, "closed": closed}
        if closed:
            return Finding("ok", "closed", details=details)
        step = "" if known.status == "ok" else "close the lid or the circuit, or plug the interlock connector in"
        return Finding(known.status, f"OPEN: {known.open_means}", next_step=step, details=details)
    return Finding("skipped", "this model tells nothing of an interlock")


# --- latency ----------------------------------------------------------------------------------------------------------


def _latency(role: Role, situation: Situation) -> Finding:
    instrument, clock = situation.instrument(role), situation.clock
    taken_ms: list[float] = []
    while not taken_ms or (len(taken_ms) < LATENCY_QUERIES and not situation.stopped()):
        begin_ns = clock.now_ns()
        instrument.identify()
        taken_ms.append((clock.now_ns() - begin_ns) * 1e-6)
    median, p95, worst = (float(value) for value in np.percentile(taken_ms, (50, 95, 100)))
    fastest = min(taken_ms)
    low, high = (fastest, worst) if worst > fastest else (0.0, max(worst, 1e-3))
    counts, _ = np.histogram(taken_ms, BINS, (low, high))
    return Finding(
        "ok",
        f"median {median:.3g} ms, 95 % {p95:.3g} ms, worst {worst:.3g} ms  {bars(counts.tolist())} {low:.3g} to {high:.3g} ms",
        median,
        "ms",
        details={
            "queries": len(taken_ms),
            "median_ms": median,
            "p95_ms": p95,
            "max_ms": worst,
            "histogram": counts.tolist(),
            "histogram_ms": [low, high],
        },
    )


def bars(counts: Sequence[int]) -> str:
    """Counts as a row of blocks; what is not empty shows at least the lowest."""
    highest = max(counts, default=0) or 1
    return "".join(BARS[-(-count * (len(BARS) - 1) // highest)] if count else "·" for count in counts)
