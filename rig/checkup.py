"""What a check of the bench is and how checks are run: one after the other, none kept from running by another's failure.

A check-up changes nothing that it does not put back, see `may_change`; what it cannot put back it leaves alone and says so.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from drivers.clock import Clock
from drivers.errors import RigError
from drivers.kept_settings import KEEPERS, SettingsKeeper
from drivers.registry import Role
from drivers.roles import SafeReadback
from rig.bench import Bench
from rig.connections import Connection
from rig.safety import SafeReport, make_safe
from rig.steps import INTERRUPTS_AT_MOST, Walk, one_by_one

Status = Literal["ok", "warn", "fail", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "skipped", "warn", "fail")  # from good to bad


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found.

    Parameters
    ----------
    what       in words, with the values that matter
    value      the one number of it, if there is one, in `unit`
    next_step  what to do about it
    details    more numbers, for --json
    """

    status: Status
    what: str
    value: float | None = None
    unit: str = ""
    next_step: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Permissions:
    """What the user allows besides looking: the source's output on, pulses to the laser."""

    output: bool = False
    light: bool = False


@dataclass(slots=True)
class Situation:
    """What a check may look at, and what the checks before it have learned.

    Parameters
    ----------
    wall_clock  the computer's own clock; `clock` is the bench's, which is stepped when it is simulated
    stopped     tells whether the user wants it to end
    walk        how what was touched goes off
    connected   instruments that have said who they are
    in_use      role -> why its settings must be left alone
    unsafe      what could not be confirmed to be off again
    """

    bench: Bench
    clock: Clock
    wall_clock: Clock
    folder: Path
    allowed: Permissions
    stopped: Callable[[], bool]
    walk: Walk = one_by_one
    connected: dict[Role, Connection] = field(default_factory=dict[Role, Connection])
    in_use: dict[Role, str] = field(default_factory=dict[Role, str])
    states: dict[Role, SafeReadback] = field(default_factory=dict[Role, SafeReadback])
    unsafe: list[SafeReport] = field(default_factory=list[SafeReport])

    def instrument(self, role: Role) -> Any:
        """Return an instrument that has said who it is."""
        return self.connected[role].instrument

    def renew(self, role: Role) -> None:
        """Put a new driver on the same link: the old one remembers what it had loaded, and that has been put back since."""
        old = self.connected[role]
        if old.entry.build is not None:
            self.connected[role] = replace(old, instrument=old.entry.build(old.instrument.adapter))

    def keeper(self, role: Role) -> SettingsKeeper | None:
        """Return what can put this instrument's settings back, None when nothing can."""
        return KEEPERS.get(self.connected[role].entry.model)


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the bench.

    Parameters
    ----------
    role     the instrument it is about, "bench" or "computer"
    needs    roles that must have said who they are, else it is skipped
    changes  roles whose settings it changes (and puts back), else it only looks
    run      answers it; an error of an instrument is a finding, too
    """

    role: str
    name: str
    run: Callable[[Situation], Finding]
    needs: tuple[Role, ...] = ()
    changes: tuple[Role, ...] = ()


def run_checks(checks: Iterable[Check], situation: Situation) -> Iterator[tuple[Check, Finding]]:
    """Do the checks in order; each gives exactly one finding."""
    for check in checks:
        yield check, _finding(check, situation)


def _finding(check: Check, situation: Situation) -> Finding:
    if situation.stopped():
        return Finding("skipped", "stopped before it began")
    missing = [role.replace("_", " ") for role in check.needs if role not in situation.connected]
    if missing:
        return Finding("skipped", f"{', '.join(missing)} did not say who it is")
    against = may_change(situation, check.changes)
    if against:
        return Finding("skipped", against[0], next_step=against[1])
    try:
        return check.run(situation)
    except RigError as error:
        return Finding("fail", error.what, next_step=error.next_step)
    except Exception as error:  # noqa: BLE001 - whatever one check meets must not keep the others from running
        return Finding(
            "fail", f"{type(error).__name__}: {error}", next_step="this is a mistake in the program: please report it"
        )


def may_change(situation: Situation, roles: Iterable[Role]) -> tuple[str, str] | None:
    """Tell why settings of these roles must be left alone, and what to do about it; None when they may be changed.

    A source whose output is on, or a generator that fires, works for somebody: then nothing is changed anywhere, for there is
    no telling what belongs to whose measurement. A model whose settings cannot be read and written back is only looked at.
    """
    roles = tuple(roles)
    if not roles:
        return None
    for role, why in situation.in_use.items():
        if role in roles or role in ("voltage_source", "laser_trigger"):
            return f"nothing was changed: {why}", "end what is running there, then ask again"
    for role in roles:
        if situation.keeper(role) is None:
            model = situation.connected[role].entry.model
            return f"how to put the settings of a {model} back is not known", "nothing to do: a run tells as much"
    return None


@contextmanager
def kept(situation: Situation, roles: Sequence[Role]) -> Generator[None]:
    """Read all settings; whatever happens, make these instruments safe at the end and put their settings back.

    Raises
    ------
    ReadbackMismatch  a setting could not be put back
    """
    keepers: dict[Role, SettingsKeeper] = {role: cast(SettingsKeeper, situation.keeper(role)) for role in roles}
    touched: dict[str, Any] = dict(zip(roles, map(situation.instrument, roles), strict=True))
    before = {role: keeper.read(situation.instrument(role)) for role, keeper in keepers.items()}
    try:
        for role, keeper in keepers.items():
            keeper.clear(situation.instrument(role), before[role])
        yield
    finally:
        report = make_safe(touched, situation.walk)
        if not report.safe:
            situation.unsafe.append(report)
        put_back = [_put_back(situation.instrument(role), keepers[role], before[role]) for role in roles]
        for role in roles:
            situation.renew(role)
        failed = [error for error in put_back if error is not None]
        if report.interrupt is not None:
            failed.append(report.interrupt)
        interrupts = [error for error in failed if not isinstance(error, Exception)]
        if failed:
            raise (interrupts or failed)[0]


def _put_back(instrument: Any, keeper: SettingsKeeper, before: Mapping[str, str]) -> BaseException | None:
    """Put settings back; return what went wrong. Whatever disturbs it makes it begin anew."""
    interrupt: BaseException | None = None
    failures: list[Exception] = []
    for attempt in range(INTERRUPTS_AT_MOST):
        try:
            if attempt:
                instrument.read_safe()  # proves a link that was disturbed
            keeper.write(instrument, before)
        except Exception as error:  # noqa: BLE001 - the other instrument must still get its settings back
            failures.append(error)
            if len(failures) == 2:
                break
        except BaseException as error:  # noqa: BLE001 - an interrupt must not leave it half done
            interrupt = interrupt or error
        else:
            return interrupt
    if interrupt is not None:
        interrupt.add_note(f"Settings of {instrument.name} are not as they were found: {failures[-1:]}")
    return interrupt or failures[-1]
