"""A claim of the paper, and what a campaign says of it."""

from dataclasses import dataclass
from typing import Literal

from rig.analysis.statistics import Value

Outcome = Literal["pass", "fail", "undecided", "not measured"]
Section = Literal["A", "B", "D"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the paper says.

    id, section  number in the list of claims, and its part: A device and protocol, B switching of ASE, D weak pump and controls
    statement    what is claimed
    paper        the paper's value, in its words where it gives none
    cannot       why no run of this bench judges it; "" where one does
    """

    id: str
    section: Section
    statement: str
    paper: str
    cannot: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule applied to one measured quantity.

    quantity  what was measured
    rule      what it has to keep to
    passed    None where the value is absent, or does not say
    note      where the value comes from, what was assumed, why there is none
    run       the file it was read from
    """

    claim: str
    quantity: str
    value: Value
    rule: str
    passed: bool | None
    note: str = ""
    run: str = ""

    @property
    def outcome(self) -> Outcome:
        """Get the verdict in words."""
        if self.passed is None:
            return "not measured" if self.value.value is None else "undecided"
        return "pass" if self.passed else "fail"


@dataclass(frozen=True, slots=True)
class Rule:
    """lo <= value <= hi; either end may be open. `strictly` excludes the ends themselves."""

    text: str
    lo: float | None = None
    hi: float | None = None
    strictly: bool = False

    def holds(self, number: float) -> bool:
        """Tell whether a number keeps to the rule; NaN never does."""
        if self.strictly:
            return (self.lo is None or number > self.lo) and (self.hi is None or number < self.hi)
        return (self.lo is None or number >= self.lo) and (self.hi is None or number <= self.hi)


def judge(claim: str, quantity: str, value: Value, rule: Rule, *, note: str = "", run: str = "") -> Judged:
    """Apply a rule to a value; where the interval goes across the limit, the note says so.

    A value beyond the limit whose interval reaches back across it has not failed: it is undecided.
    """
    if value.value is None:
        return Judged(claim, quantity, value, rule.text, None, note, run)
    passed = rule.holds(value.value)
    beyond = value.ci95 is not None and any(rule.holds(end) != passed for end in value.ci95)
    more = "the interval reaches across the limit" if beyond else ""
    verdict = None if beyond and not passed else passed
    return Judged(claim, quantity, value, rule.text, verdict, "; ".join(filter(None, (note, more))), run)


def absent(claim: str, quantity: str, rule: str, why: str, run: str = "") -> Judged:
    """Say that nothing was measured, and why."""
    return Judged(claim, quantity, Value(None, None, ""), rule, None, why, run)
