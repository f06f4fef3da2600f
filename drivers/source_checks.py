"""What every voltage source checks of a program before it sends a byte: the bench's limits, once more."""

from collections.abc import Sequence

from drivers.errors import InstrumentError, Reason
from drivers.roles import LevelList, SourceLimits

LOWEST_A = 1e-9  # a current limit below it is none that any of these sources can set


def check_limits(limits: SourceLimits, highest_v: float, highest_a: float) -> list[Reason]:
    """Return every reason why a model that reaches `highest_v` (V) and `highest_a` (A) cannot keep these limits."""
    reasons: list[Reason] = []
    if not -highest_v <= limits.voltage_min_v <= 0 <= limits.voltage_max_v <= highest_v:
        message = f"{limits.voltage_min_v:g} to {limits.voltage_max_v:g} V must include 0 V and lie within +-{highest_v:g} V"
        reasons.append(Reason("voltage-limits-impossible", "limits.voltage_v", message))
    if not LOWEST_A <= limits.current_a <= highest_a:
        message = f"{limits.current_a:g} A is not between {LOWEST_A:g} A and {highest_a:g} A"
        reasons.append(Reason("current-limit-impossible", "limits.current_a", message))
    return reasons


def check_levels(levels_v: Sequence[float], limits: SourceLimits) -> list[Reason]:
    """Return a reason for every level (V) outside the prepared limits; NaN is outside."""
    low_v, high_v = limits.voltage_min_v, limits.voltage_max_v
    return [
        Reason("voltage-above-limit", f"level {index}", f"{level_v:g} V is outside the prepared {low_v:g} to {high_v:g} V")
        for index, level_v in enumerate(levels_v)
        if not low_v <= level_v <= high_v
    ]


def check_list(program: LevelList, longest: int, lines: int = 4) -> list[Reason]:
    """Return every reason why a list of at most `longest` points cannot be walked: length, last level, trigger line."""
    reasons: list[Reason] = []
    points = len(program.levels_v)
    if not 1 <= points <= longest:
        reasons.append(Reason("list-too-long", "levels_v", f"{points} levels, the buffer and the list hold 1 to {longest}"))
    elif program.levels_v[-1] != 0:
        reasons.append(Reason("list-ends-on", "levels_v", f"the last level is {program.levels_v[-1]:g} V and must be 0 V"))
    if program.trigger_line not in range(1, lines + 1):
        reasons.append(Reason("no-such-line", "trigger_line", f"line {program.trigger_line}; the source has 1 to {lines}"))
    return reasons


def output_stays_off(name: str, was_on: bool, errors: list[str], next_step: str) -> InstrumentError:
    """Say that an output is off that should be on; `was_on`: it was on before, so that nothing tries it again."""
    trouble = "'s output went off by itself" if was_on else " does not switch its output on"
    told = "; ".join(errors) or "no error reported"
    return InstrumentError(f"{name}{trouble}: {told}", where=name, hardware_state="output off", next_step=next_step)
