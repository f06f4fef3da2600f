"""What a response run's file says: times of the fast step, the slow part of a long hold, what comes back afterwards."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rig.analysis.current_voltage import CurrentDecay
from rig.analysis.statistics import Value, mean_of, value_with_error
from rig.analysis.step_response import (
    ABSENT_S,
    Duration,
    EdgeResponse,
    SlowPart,
    StepResponse,
    reduce_step_response,
)
from rig.bench import Bench
from rig.fluence_record import FluenceRecord, fluence_record
from rig.measurements.record_frame import ended_by_fault, figure_title, framed
from rig.measurements.response import Response
from rig.measurements.response_hold import HoldResult, reduce_hold
from rig.measurements.response_trace import FrameTiming, ResponseTrace, Stay, response_trace
from rig.measurements.run_parameters import parameters_of
from rig.run_state import FinishReason
from rig.runfile import Results, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

LEAST_STEP = 0.01  # of the light: what changes less does not respond (assumed)
THERE = 0.95  # of the way, for a bound from frames on both sides of a gap
NO_RESPONSE = "no response"


@dataclass(frozen=True, slots=True, eq=False)
class ResponseResult:
    """A response run reduced.

    steps              times of the wave's edges, ON and OFF apart
    exposure_s         of the detector, of each frame; dead_s: rest of the frame's time
    frame_interval     as the spectrometer's clock has it
    hold               what is slow, and what comes back
    gated              the edges lie in gaps: times are bounds at best
    ended              how the run ended when not as planned, in words
    """

    trace: ResponseTrace
    steps: StepResponse
    exposure_s: float
    dead_s: float
    frame_interval: Value
    hold: HoldResult
    gated: bool
    ended: str

    @property
    def value(self) -> Value:
        """Get the slower of the two 10-90 % times, the response time (claim C58); absent while one of them is a bound."""
        both = (self.steps.on.rise.time_s, self.steps.off.rise.time_s)
        known = [one for one in both if one.value is not None]
        return max(known, key=lambda one: one.value or 0.0) if len(known) == 2 else self.steps.off.rise.time_s

    @property
    def upper_s(self) -> float | None:
        """Get what both 10-90 % times are below, with their intervals (s); None when one of them is not known."""
        both = [one.rise.upper_s for one in (self.steps.on, self.steps.off)]
        return None if None in both else max(one for one in both if one is not None)

    @property
    def slow_on(self) -> SlowPart:
        """Get the light's tail under voltage."""
        return self.hold.slow_on

    @property
    def slow_off(self) -> SlowPart:
        """Get the light's tail after the hold."""
        return self.hold.slow_off

    @property
    def current(self) -> CurrentDecay:
        """Get the direct current in the hold."""
        return self.hold.current

    @property
    def code(self) -> str:
        """Get the code of the refusal, empty when there is a time or a bound for ON and OFF."""
        reasons = [one.reason for one in (self.steps.on, self.steps.off) if one.reason]
        if not reasons:
            return ""
        return NO_RESPONSE.replace(" ", "-") if any(one.startswith(NO_RESPONSE) for one in reasons) else "no-times"

    @property
    def sentence(self) -> str:
        """Say how soon the light follows, or why that cannot be said."""
        on, off = self.steps.on, self.steps.off
        if self.code == "no-response":
            words = next(one.reason for one in (on, off) if one.reason.startswith(NO_RESPONSE))
        elif on.reason and on.reason == off.reason:
            words = f"no response time: {on.reason}"
        else:
            words = f"light answers ON in {told(on)} and OFF in {told(off)} (10-90 %)"
        return f"{words}; {self.ended}" if self.ended else words


def told(edge: EdgeResponse) -> str:
    """Say the 10-90 % time of one kind of edge, or why there is none."""
    return f"no time ({edge.reason})" if edge.reason else duration_words(edge.rise)


def duration_words(duration: Duration) -> str:
    """Say a time in milliseconds, with half of its 95 % interval, or its bound."""
    value, half = duration.time_s.value, duration.time_s.half_width
    if value is not None and half is not None:
        return f"{1e3 * value:.2f} ± {1e3 * half:.2f} ms"
    return "-" if duration.bound_s is None else f"at most {1e3 * duration.bound_s:.1f} ms"


@dataclass(frozen=True, slots=True, eq=False)
class ResponseRecord:
    """A response run; `result` is None when no frame can be used, `reason` says why. `fluence` is None without a meter."""

    run: Run
    parameters: Response
    result: ResponseResult | None
    reason: str
    fluence: FluenceRecord | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """Say the results in a few sentences."""
        from rig.measurements.response_findings import result_lines

        return (f"No results: {self.reason}",) if self.result is None else result_lines(self.result)

    def as_json(self) -> dict[str, Any]:
        """Return the results as plain numbers; every value null when there is none."""
        heading = {"voltage_on_v": self.parameters.voltage_on_v, "light": self.parameters.light}
        return framed(self, heading, _NOTHING if self.result is None else _numbers(self.result))

    def stored(self, text: str) -> Results:
        """What the finished file keeps: the results as JSON `text`, and the light of each frame used with its time."""
        if self.result is None:
            return Results(text)
        trace = self.result.trace
        arrays: dict[str, tuple[NDArray[Any], str]] = {
            "response_time": (trace.t_s, "s"),
            "response_light": (trace.light, "counts"),
        }
        return Results(text, arrays)

    def figure(self) -> "Figure":
        """Draw the edges folded, the wave and the hold.

        Raises
        ------
        ValueError  there is nothing to draw
        """
        from rig.report.response_figure import response_figure

        if self.result is None:
            raise ValueError(self.reason)
        trace, half_s = self.result.trace, self.parameters.half_period_s
        return response_figure(
            (*trace.folded(on=True, half_period_s=half_s), *trace.folded(on=False, half_period_s=half_s)),
            (trace.t_s, trace.light),
            [(stay.start_s, float(trace.t_s[stay.frames.stop - 1])) for stay in trace.stays if stay.voltage_v != 0],
            figure_title(self),
        )


_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        "on",
        "off",
        "slower_10_90_s",
        "both_10_90_below_s",
        "refusal",
        "period_s",
        "frame_interval_s",
        "exposure_s",
        "dead_s",
        "slow_on",
        "slow_off",
        "current_fall",
        "current_tau_s",
        "current_start_a",
        "current_end_a",
        "current_reason",
        "recovery_1s",
        "recovery_20s",
        "pump_drift_per_octave",
        "gated",
    )
)


def _numbers(result: ResponseResult) -> dict[str, Any]:
    return {
        "on": _edge(result.steps.on),
        "off": _edge(result.steps.off),
        "slower_10_90_s": result.value.as_json(),
        "both_10_90_below_s": result.upper_s,
        "refusal": result.code or None,
        "period_s": result.steps.period_s.as_json(),
        "frame_interval_s": result.frame_interval.as_json(),
        "exposure_s": result.exposure_s,
        "dead_s": result.dead_s,
        "slow_on": _slow(result.hold.slow_on),
        "slow_off": _slow(result.hold.slow_off),
        "current_fall": result.hold.current.fall.as_json(),
        "current_tau_s": result.hold.current.tau_s.as_json(),
        "current_start_a": result.hold.current.start.as_json(),
        "current_end_a": result.hold.current.end.as_json(),
        "current_reason": result.hold.current.reason or None,
        "recovery_1s": result.hold.recovery_1s.as_json(),
        "recovery_20s": result.hold.recovery_20s.as_json(),
        "pump_drift_per_octave": result.hold.pump_drift,
        "gated": result.gated,
    }


def reduce_response(
    run: Run,
    bench: Bench,
    *,
    ending: str | None = None,
    frames: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> ResponseRecord:
    """Reduce a run file; see rig.measurements.sweep_record.reduce_sweep for the parameters.

    Raises
    ------
    ConfigError  the sequence in the file is no response
    """
    parameters, fluence = parameters_of(run, Response), fluence_record(run, bench)
    if run.dark is None:
        return ResponseRecord(run, parameters, None, "the run ended before its dark frames were taken", fluence)
    rows = run.frames(0, run.count if frames is None else frames)
    state = run.state if ending is None else ending
    if ended_by_fault(run, state) and len(rows):  # what the film did in the block of the fault, nobody knows
        rows = rows[rows["block"] < rows["block"].max()]
    try:
        check()
        timing = FrameTiming.of(json.loads(run.header.timing_json))
        trace = response_trace(run, parameters, timing, rows)
    except ValueError as error:
        return ResponseRecord(run, parameters, None, str(error), fluence)
    check()
    if not np.isfinite(trace.light).any():
        return ResponseRecord(run, parameters, None, "no light: every frame lacks its pulses, or is flagged", fluence)
    return ResponseRecord(run, parameters, _result(run, parameters, trace, _ended(state)), "", fluence)


def _ended(state: str) -> str:
    words = {
        FinishReason.FAULT.value: "the run was ended by a fault, its last block is left out",
        FinishReason.STOPPED.value: "the run was stopped",
    }
    return words.get(state, "")


def _result(run: Run, parameters: Response, trace: ResponseTrace, ended: str) -> ResponseResult:
    timing = trace.timing
    gated = timing.step_s is None
    steps = _bounded(trace) if gated else _stepped(trace)
    count = len(trace.interval_s)
    error_s = float(trace.interval_s.std(ddof=1)) / count**0.5 if count > 1 else np.inf
    interval = value_with_error(float(trace.interval_s.mean()) if count else None, error_s, count - 1, "s")
    hold = reduce_hold(run, trace)
    return ResponseResult(trace, steps, timing.detector_s, timing.dead_s, interval, hold, gated, ended)


def _stepped(trace: ResponseTrace) -> StepResponse:
    frames, edges = trace.wave()
    if len(edges.t_s) < 2:
        too_few = _refused(f"{len(edges.t_s)} edges of the voltage")
        return StepResponse(too_few, too_few, ABSENT_S)
    found = reduce_step_response(frames, edges)
    on, off = _responding(found.on), _responding(found.off)
    both = not any(one.reason.startswith(NO_RESPONSE) for one in (on, off))
    return StepResponse(on, off, found.period_s if both else ABSENT_S)


def _responding(edge: EdgeResponse) -> EdgeResponse:
    """The same, unless the light does not change worth speaking of."""
    value, half = edge.step.value, edge.step.half_width
    still = edge.reason.startswith("no step") or (value is not None and abs(value) < LEAST_STEP)
    if not still or value is None:
        return edge
    change = f"{100 * value:.3f} ± {100 * (half or 0.0):.3f} %"
    return _refused(f"{NO_RESPONSE}: the light changes by {change}, less than {100 * LEAST_STEP:g} % or its noise", edge)


def _refused(reason: str, like: EdgeResponse | None = None) -> EdgeResponse:
    nothing, none = Duration(ABSENT_S), Value(None, None, "")
    step, edges, dropped = (none, 0, dict[str, int]()) if like is None else (like.step, like.edges, like.dropped)
    return EdgeResponse(step, nothing, nothing, nothing, ABSENT_S, edges, dropped, reason)


def _bounded(trace: ResponseTrace) -> StepResponse:
    """Bounds where each edge lies somewhere between two bursts: it came after the last frame before."""
    return StepResponse(_bound(trace, trace.gaps(on=True)), _bound(trace, trace.gaps(on=False)), ABSENT_S)


def _bound(trace: ResponseTrace, gaps: list[tuple[Stay, Stay]]) -> EdgeResponse:
    steps, ways, bounds = list[float](), list[float](), list[float]()
    for before, after in gaps:
        low, high = (_plateau(trace.light[stay.frames]) for stay in (before, after))
        if not low or not high:
            continue
        steps.append((high - low) / max(high, low))
        ways.append(float((trace.light[after.frames.start] - low) / (high - low)) if high != low else 0.0)
        bounds.append(float(trace.t_s[after.frames.start] + trace.timing.exposure_s - _end(trace, before)))
    if len(steps) < 2:
        return _refused(f"{len(steps)} edges of the voltage")
    none = Duration(ABSENT_S)
    edge = _responding(EdgeResponse(mean_of(np.array(steps), ""), none, none, none, ABSENT_S, len(steps), {}))
    if edge.reason:
        return edge
    reached = mean_of(np.array(ways), "")
    if reached.ci95 is None or not reached.ci95[0] >= THERE:
        return _refused("the edges lie in gaps between frames, and the light is not there yet when they go on", edge)
    most = Duration(ABSENT_S, max(bounds))
    return EdgeResponse(edge.step, most, most, most, ABSENT_S, len(steps), {})


def _plateau(light: Floats) -> float:
    known = light[len(light) // 2 :]
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else 0.0


def _end(trace: ResponseTrace, stay: Stay) -> float:
    return float(trace.t_s[stay.frames.stop - 1] + trace.timing.exposure_s)


def _edge(edge: EdgeResponse) -> dict[str, Any]:
    return {
        "10_90_s": _duration(edge.rise),
        "1_1_e_s": _duration(edge.efold),
        "95_s": _duration(edge.settle),
        "frames_10_90_s": edge.seen_s.as_json(),
        "step": edge.step.as_json(),
        "edges": edge.edges,
        "dropped": edge.dropped,
        "reason": edge.reason or None,
    }


def _duration(duration: Duration) -> dict[str, Any]:
    return {**duration.time_s.as_json(), "at_most": duration.bound_s}


def _slow(slow: SlowPart) -> dict[str, Any]:
    return {
        "tau_s": slow.tau_s.as_json(),
        "share": slow.share.as_json(),
        "fast_fraction": slow.fast_fraction.as_json(),
        "reason": slow.reason or None,
    }
