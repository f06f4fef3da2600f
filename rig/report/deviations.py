"""What of a run was not as planned: how it ended, shots that are missing or set aside, fluence, guard, calibration.

What is routine is named here, and everything else in the event log counts as a deviation: a kind of event that nobody
thought of is shown rather than left out.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rig.report.run_facts import BY_PLAN, RunFacts, eventful
from rig.report.summary import duration_text
from rig.runfile import Flag
from rig.safety import Confirmation

SHOTS_NAMED = 20
OLD_CALIBRATION_S = 30 * 86_400  # our choice: a month
FLUENCE_OFF = 2.0  # standard uncertainties between asked and measured; beyond it by chance in 5 of 100 runs
NOT_OFF = tuple(how.value for how in Confirmation if how is not Confirmation.CONFIRMED)

_ROUTINE = (
    re.compile(r"guard: "),
    re.compile(r"dark: \d+ frames, mean -?[\d.]+ counts, \d+ hot pixels$"),
    re.compile(r"block \d+: [\d.e+-]+ uJ/cm2, plate at [\d.]+ deg$"),
    re.compile(r"done: all blocks done$"),
)
_KINDS = {
    "stopped": "stop",
    "fault": "fault",
    "tripped": "trip",
    "monitor": "monitor",
    "paused": "pause",
    "safe": "going safe",
}


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that was not as planned; `serious` when the results or the hardware are touched by it."""

    kind: str
    text: str
    serious: bool


def deviations(facts: RunFacts) -> list[Deviation]:
    """List what was not as planned, the gravest kinds first."""
    return [*_ending(facts), *_guard(facts), *_events(facts), *_shots(facts), *_pump(facts), *_record(facts)]


def _ending(facts: RunFacts) -> Iterator[Deviation]:
    if facts.cut_off:
        text = f"the program that wrote this file ended before the run did (its last state: {facts.state})"
        yield Deviation("cut off", text, True)
    elif facts.live:
        yield Deviation("not finished", f"the run was still being written when this report was made ({facts.state})", True)
    elif facts.state != "done":
        yield Deviation("ending", f"the run ended as: {facts.state}", True)
    if not facts.live and not facts.safe:
        yield Deviation("hardware", "the file does not say that everything was switched off at the end", True)
    if facts.state == "done" and not facts.ledger:
        yield Deviation("ledger", "the file has no reconciliation of triggers and frames", True)


def _guard(facts: RunFacts) -> Iterator[Deviation]:
    for line in facts.guard:
        yield Deviation("guard", line.removeprefix("guard: "), True)


def _events(facts: RunFacts) -> Iterator[Deviation]:
    for t_s, text in log_lines(facts):
        word = text.partition(":")[0]
        if any(kind.match(text) for kind in _ROUTINE) or (word == "safe" and not any(how in text for how in NOT_OFF)):
            continue
        words = _with_values(text.removeprefix(f"{word}: ") if word in _KINDS else text)
        yield Deviation(_KINDS.get(word, "event"), f"at {t_s:.3f} s: {words}", word not in ("monitor", "paused"))


def log_lines(facts: RunFacts) -> Iterator[tuple[float, str]]:
    """Yield the event log with times since its first entry (s, host's clock)."""
    start_ns = facts.events[0][0] if facts.events else 0
    for t_ns, text in facts.events:
        yield (t_ns - start_ns) * 1e-9, text


def _with_values(text: str) -> str:
    """An event with the values behind it in words."""
    words, brace, rest = text.partition(" {")
    if not brace:
        return text
    try:
        values: Any = json.loads("{" + rest)
    except (ValueError, RecursionError):
        return text
    return f"{words} ({', '.join(f'{name} {value}' for name, value in values.items() if value is not None)})"


def _shots(facts: RunFacts) -> Iterator[Deviation]:
    planned = facts.ledger.get("planned")
    without = "have no frame yet" if facts.live else "without a frame: not fired any more, or lost"
    for name, what in (("lost", without), ("unassigned", "whose place in the plan is not certain")):
        number = facts.ledger.get(name, 0)
        if number:
            yield Deviation(f"{name} shots", f"{number} of {planned} planned shots {what}{_which(facts, name)}", True)
    if surplus := facts.ledger.get("surplus", 0):
        yield Deviation("surplus frames", f"{surplus} frames that no planned shot accounts for", True)
    flags = facts.rows["flags"]
    for flag in Flag:
        if flag in BY_PLAN | Flag.UNASSIGNED | Flag.SURPLUS:  # the last two are told above
            continue
        chosen = ((flags & int(flag)) != 0) & eventful(flags)
        if chosen.any():
            shots = facts.rows["shot"][chosen]
            name = (flag.name or "").lower().replace("_", " ")
            yield Deviation("flagged frames", f"{int(chosen.sum())} flagged {name}{_named(shots[shots >= 0])}", True)


def _which(facts: RunFacts, name: str) -> str:
    if name != "unassigned":
        return ""
    blocks = np.unique(facts.rows["block"][(facts.rows["flags"] & int(Flag.UNASSIGNED)) != 0])
    return f" ({'block' if len(blocks) == 1 else 'blocks'} {_listed(blocks)})" if len(blocks) else ""


def _named(shots: Any) -> str:
    return f": shots {_listed(shots)}" if len(shots) else ""


def _listed(numbers: Any) -> str:
    shown = ", ".join(str(int(one)) for one in numbers[:SHOTS_NAMED])
    return shown if len(numbers) <= SHOTS_NAMED else f"{shown} and {len(numbers) - SHOTS_NAMED} more"


def _pump(facts: RunFacts) -> Iterator[Deviation]:
    fluence = facts.fluence
    if fluence is not None:
        if fluence.mean_uj_cm2 is None:
            yield Deviation("fluence", "the bench has an energy meter, but no reading of it is in the file", True)
        for block in fluence.blocks:
            if block.asked_uj_cm2 is None or block.measured_uj_cm2 is None:
                continue
            known = math.hypot(block.standard_error_uj_cm2 or 0.0, block.measured_uj_cm2 * fluence.scale.relative)
            if not abs(block.measured_uj_cm2 - block.asked_uj_cm2) <= FLUENCE_OFF * known:
                text = (
                    f"block {block.block}: {block.measured_uj_cm2:.4g} measured, {block.asked_uj_cm2:g} asked for "
                    f"(µJ/cm²; combined standard uncertainty {known:.2g})"
                )
                yield Deviation("fluence", text, True)
    age_s = facts.calibration_age_s
    if facts.calibration is not None and not 0 <= age_s <= OLD_CALIBRATION_S:
        age = "unknown" if math.isnan(age_s) else duration_text(age_s) if age_s < 86_400 else f"{age_s / 86_400:.0f} days"
        text = f"the fluence calibration of {facts.calibration.calibrated_at} was not fresh: age {age} when the run began"
        yield Deviation("calibration", text, False)


def _record(facts: RunFacts) -> Iterator[Deviation]:
    for text in facts.unread:
        yield Deviation("record", text, True)
    missing = [name for name in ("temperature_c", "humidity_percent", "operator") if facts.environment.get(name) is None]
    if missing:
        yield Deviation("record", f"not recorded: {', '.join(missing)}", False)
    git = str(facts.versions.get("git", ""))
    if git.endswith("-dirty"):
        yield Deviation("program", f"it was run by a copy with changes that are in no commit ({git})", False)
    faults = facts.simulation.get("faults")
    if faults and isinstance(faults, list):
        yield Deviation("simulated faults", ", ".join(map(str, faults)), True)
