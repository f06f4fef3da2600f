"""Windows on live quantities, and the latch behind them: pure, with time as an argument, no instruments and no threads.

A rule watches one quantity of one teller. Outside its window, not a number, missing or too old is all the same: it trips. A
trip latches; nothing here takes it back. A rule of policy "note" does not trip the latch: it is told, and frames are flagged.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Literal

from drivers.errors import InterlockTripped
from rig.monitor import Policy, StateName

Why = Literal["outside", "not a number", "missing", "too old", "within again"]
SOON = "going safe; nothing is switched on again by itself"


@dataclass(frozen=True, slots=True)
class Rule:
    """A window on one quantity.

    Parameters
    ----------
    teller     who tells it: a role, or "spectra"
    low, high  accepted values, both included, in the quantity's own unit
    state      values told in another state than this do not count, nor does the time spent there
    max_age_s  older values count as missing (s)
    policy     "stop" latches, "note" is told and goes on
    asked      told by an instrument on request, so that all time counts; else only time in blocks counts
    optional   it may never be told; once told, it must go on
    advice     what a user can do about it
    """

    teller: str
    quantity: str
    low: float
    high: float
    state: StateName = "any"
    max_age_s: float = 10.0
    policy: Policy = "stop"
    asked: bool = False
    optional: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Trip:
    """What a rule had to say: the value (None: none was told), its age (s), why, and when on the host's clock."""

    rule: Rule
    why: Why
    value: float | None
    age_s: float
    t_ns: int
    detail: str = ""

    @property
    def words(self) -> str:
        """Get it as one sentence."""
        rule = self.rule
        whose = f"{rule.quantity} of the {rule.teller.replace('_', ' ')}" + ("" if rule.state == "any" else f" ({rule.state})")
        allowed = f"allowed {rule.low:g}" if rule.low == rule.high else f"allowed {rule.low:g} to {rule.high:g}"
        value = "" if self.value is None else f"{self.value:.6g}"
        said = {
            "outside": f"{whose} is {value}, {allowed}",
            "within again": f"{whose} is {value} again, {allowed}",
            "not a number": f"{whose} is not a number, {allowed}",
            "missing": f"{whose} is not told, {allowed}",
            "too old": f"{whose} is {self.age_s:.3g} s old, at most {rule.max_age_s:g} s count; it was {value}, {allowed}",
        }[self.why]
        return f"{said}: {self.detail}" if self.detail else said

    def as_json(self) -> dict[str, object]:
        """Get it as plain values; what is no number is null."""
        rule, value = self.rule, self.value
        return {
            "quantity": rule.quantity,
            "of": rule.teller,
            "why": self.why,
            "value": value if value is not None and abs(value) < float("inf") else None,
            "between": [rule.low, rule.high],
            "age_s": round(self.age_s, 6),
            "max_age_s": rule.max_age_s if isfinite(rule.max_age_s) else None,
            "state": rule.state,
            "policy": rule.policy,
            "t_ns": self.t_ns,
        }


@dataclass(slots=True)
class _Heard:
    """The last value of a rule, and when on the rule's own clock; nothing so far."""

    value: float | None = None
    clock_ns: int = 0
    told: bool = False
    out: bool = False


@dataclass(slots=True)
class Interlocks:
    """Watches its rules; `t_ns` of every call is on one clock that never goes back.

    Between `begin` and `end` a block runs in some states; the time in it makes what comes along with data grow old.
    """

    rules: Sequence[Rule]
    _heard: dict[int, _Heard] = field(default_factory=dict[int, _Heard])
    _run_ns: dict[str, int] = field(default_factory=dict[str, int])
    _states: frozenset[str] = frozenset()
    _since_ns: int = 0
    _new: list[Trip] = field(default_factory=list[Trip])
    _latched: Trip | None = None
    _noted: set[StateName] = field(default_factory=set[StateName])

    @property
    def tripped(self) -> Trip | None:
        """Get the first trip, None as long as there is none."""
        return self._latched

    @property
    def noted(self) -> frozenset[StateName]:
        """Get the states in which a rule of policy "note" was not kept in this block."""
        return frozenset(self._noted)

    def begin(self, states: Collection[StateName], t_ns: int) -> None:
        """A block begins, in which these states ("on", "off") occur."""
        self._pass(t_ns)
        self._states = frozenset((*states, "any"))
        self._noted = {rule.state for index, rule in enumerate(self.rules) if self._of(index).out}

    def end(self, t_ns: int) -> None:
        """The block is over; what comes along with data grows no older until the next."""
        self._pass(t_ns)
        self._states = frozenset()

    def heed(
        self, teller: str, quantity: str, value: float | None, t_ns: int, state: StateName | None = None, detail: str = ""
    ) -> None:
        """Take a value that was true at `t_ns`, in a state when there is one; None: its teller does not tell it now."""
        for index, rule in enumerate(self.rules):
            if (rule.teller, rule.quantity) != (teller, quantity) or rule.state not in ("any", state):
                continue
            heard = self._of(index)
            if value is None and rule.optional and not heard.told:
                continue
            heard.told, heard.value = True, value
            heard.clock_ns = self._clock_ns(rule, t_ns)
            why = _against(rule, value)
            if why is None:
                self._back(rule, heard, t_ns)
            else:
                self._trip(heard, Trip(rule, why, value, 0.0, t_ns, detail))

    def demand(self, t_ns: int, *, asked: bool) -> None:
        """See that nothing is missing or too old, and that nothing has tripped; `asked` is whether instruments were just asked.

        Raises
        ------
        InterlockTripped  the first trip; the same again at every later call
        """
        for index, rule in enumerate(self.rules):
            heard = self._of(index)
            if (rule.asked and not asked) or (rule.optional and not heard.told) or (heard.told and heard.value is None):
                continue
            age_s = (self._clock_ns(rule, t_ns) - heard.clock_ns) * 1e-9
            never = not heard.told and rule.asked
            if never or not age_s <= rule.max_age_s:
                self._trip(heard, Trip(rule, "too old" if heard.told else "missing", heard.value, age_s, t_ns))
        if self._latched is not None:
            raise tripped(self._latched)

    def new(self) -> list[Trip]:
        """Return what has happened since the last call, oldest first."""
        found, self._new = self._new, []
        return found

    # --- parts

    def _of(self, index: int) -> _Heard:
        return self._heard.setdefault(index, _Heard())

    def _pass(self, t_ns: int) -> None:
        for state in self._states:
            self._run_ns[state] = self._run_ns.get(state, 0) + t_ns - self._since_ns
        self._since_ns = t_ns

    def _clock_ns(self, rule: Rule, t_ns: int) -> int:
        """Time on the clock that makes the rule's values grow old (ns)."""
        if rule.asked:
            return t_ns
        running = t_ns - self._since_ns if rule.state in self._states else 0
        return self._run_ns.get(rule.state, 0) + max(running, 0)

    def _trip(self, heard: _Heard, trip: Trip) -> None:
        if trip.rule.policy == "note":
            self._noted.add(trip.rule.state)
        if heard.out:
            return  # told already
        heard.out = True
        self._new.append(trip)
        if trip.rule.policy == "stop" and self._latched is None:
            self._latched = trip

    def _back(self, rule: Rule, heard: _Heard, t_ns: int) -> None:
        if heard.out and rule.policy == "note":
            heard.out = False
            self._new.append(Trip(rule, "within again", heard.value, 0.0, t_ns))


def tripped(trip: Trip) -> InterlockTripped:
    """Make the error that a trip becomes."""
    return InterlockTripped(
        f"Tripped: {trip.words}.",
        where=trip.rule.teller.replace("_", " "),
        hardware_state=SOON,
        next_step=trip.rule.advice or "see why, then start a new run",
    )


def _against(rule: Rule, value: float | None) -> Why | None:
    if value is None:
        return "missing"
    if rule.low <= value <= rule.high:
        return None
    return "not a number" if isnan(value) else "outside"
