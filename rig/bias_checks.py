"""Whether the voltages of a run keep to the bench's limits: levels, steps, time without a break, duty. Pure."""

from collections.abc import Sequence

from drivers.errors import Reason
from rig.bench import Bench
from rig.config_file import Where
from rig.sequence import Stretch
from rig.timeline import Timeline, joined_on_time, on_time_s, swing_v


def check_levels(stretches: Sequence[Stretch], period_ns: int, bench: Bench, where: Where, *, bipolar: bool) -> list[Reason]:
    """List what each stretch of a block asks too much of; `bipolar`: the source has levels below 0 V."""
    limits = bench.voltage_source.limits
    low_v, high_v = limits.voltage_v
    reasons: list[Reason] = []
    for stretch in stretches:
        if not low_v <= stretch.voltage_v <= high_v:
            reasons.append(
                Reason(
                    "voltage-above-limit",
                    where(("parameters", f"voltage_{stretch.state.name.lower()}_v")),
                    f"{stretch.voltage_v:g} V is outside the {low_v:g} to {high_v:g} V of voltage_source.limits.voltage_v",
                )
            )
        if not (bipolar or stretch.voltage_v >= 0):
            reasons.append(
                Reason(
                    "voltage-negative",
                    where(("parameters", f"voltage_{stretch.state.name.lower()}_v")),
                    f"{stretch.voltage_v:g} V is below 0 V, the lowest level of {bench.voltage_source.model}",
                )
            )
        if not on_time_s(stretch, period_ns) <= limits.on_time_s:
            reasons.append(
                Reason(
                    "on-time-above-limit",
                    where(("parameters", f"{stretch.state.name.lower()}_time_s")),
                    f"{on_time_s(stretch, period_ns):g} s under voltage, voltage_source.limits.on_time_s allows "
                    f"{limits.on_time_s:g} s",
                )
            )
    return reasons


def check_bias(timelines: Sequence[Timeline], gap_s: float, bench: Bench, where: Where) -> list[Reason]:
    """List what a whole run asks too much of: steps, time without a break, duty; `gap_s` (s) is that between two bursts."""
    limits = bench.voltage_source.limits
    stretches = tuple(stretch for one in timelines for stretch in one.stretches)
    reasons: list[Reason] = []
    if not swing_v(stretches) <= limits.step_v:
        reasons.append(
            Reason(
                "step-above-limit",
                where(("parameters",)),
                f"a step of {swing_v(stretches):g} V, voltage_source.limits.step_v allows {limits.step_v:g} V",
            )
        )
    reasons += _check_joined(timelines, gap_s, bench, where)
    on = duty(stretches)
    if not on <= limits.duty:
        reasons.append(
            Reason(
                "duty-above-limit",
                where(("parameters",)),
                f"voltage is on for {100 * on:.4g} % of the time, voltage_source.limits.duty allows {100 * limits.duty:.4g} %",
            )
        )
    return reasons


def _check_joined(timelines: Sequence[Timeline], gap_s: float, bench: Bench, where: Where) -> list[Reason]:
    limit_s = bench.voltage_source.limits.on_time_s
    on_s, joined = joined_on_time(timelines, gap_s)
    if on_s <= limit_s or joined == 1:  # of single stretches each block has told
        return []
    message = f"{on_s:g} s under voltage in {joined} stretches without 0 V between them, voltage_source.limits.on_time_s allows"
    return [Reason("on-time-above-limit", where(("parameters", "on_time_s")), f"{message} {limit_s:g} s")]


def duty(stretches: Sequence[Stretch]) -> float:
    """Fraction of the shots under voltage; a quotient of whole numbers, so that a limit can be reached."""
    on = sum(stretch.shots for stretch in stretches if stretch.voltage_v != 0)
    return on / sum(stretch.shots for stretch in stretches)
