"""How soon light follows a square-wave voltage (rule X9): edges folded, the frame's length taken out or given as a bound.

A frame shows the mean of the response over its exposure. Free-running frames meet the edges in ever other phases, so the
folded trace is finer than one frame. The response itself is taken to rise monotonically, by any law, from the edge on, plus a
straight line for what is slow; its frame means are fitted to all frames at once by non-negative least squares. No rate or
number of exponentials is assumed. Intervals come from leaving out one edge at a time and from noise drawn anew.

Where the result is not longer than a frame (or than the widest gap between phases), it is not claimed: an upper bound stands
for it. For 10-90 % that is the larger of the upper ends of what was found and of what the frames show as they are; for a time
from the edge, the end of the first frame whose mean is there, since a rising response is above its mean at the end of a frame.

The axes of edges and frames may be shifted by up to `Edges.error_s`. Edges that scatter on the frames' axis blur the response
and lengthen every time by an amount that no frame shows.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from rig.analysis.relaxation import relax
from rig.analysis.statistics import Value, mean_of, value_between, value_with_error

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_EDGES = 10
BEFORE = (-0.5, -0.02)  # plateau windows, in half periods from the edge
AFTER = (0.5, 0.95)
FEWEST_PLATEAU_FRAMES = 3
MAX_MISSING = 0.2
MAX_DRIFT_PER_EDGE = 0.05  # of the step, within half a period
LATEST_SETTLED = 0.4  # half periods: later, what is called plateau is not one
MAX_MISFIT = 0.05  # of the step (rms), beyond the noise: the light does something else than follow the edges
NOISE_MARGIN = 1.5
REDRAWN = 40
MAX_EARLY = 0.02  # of the step, mean of the frames that end right before the edge
SIGNIFICANT_STEP = 5.0  # standard errors
KNOT_GROWTH = 1.08
FINEST_KNOT_FRAMES = 0.2
LEVELS = (0.1, 1 - math.exp(-1), 0.9, 0.95)
NO_FRAMES = "too few frames on a plateau"
SATURATED = "saturated"
MISSING = "frames missing"


@dataclass(frozen=True, slots=True)
class Trace:
    """Frames of one spectrometer on the time axis of the edges, all (n,), in time order.

    open_s      start of the exposure
    light       light of a band (counts), dark-subtracted; NaN: not measured
    saturated   frames with a saturated pixel
    exposure_s  exposure of every frame
    """

    open_s: Floats
    light: Floats
    saturated: Mask
    exposure_s: float


@dataclass(frozen=True, slots=True)
class Edges:
    """When the voltage changed (s, (m,), ascending), and whether it went on (True) or off.

    error_s is how far the time axes of edges and frames may lie apart.
    """

    t_s: Floats
    on: Mask
    error_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Duration:
    """A time with interval where it is longer than a frame, else `value` is absent and it is at most `bound_s`."""

    time_s: Value
    bound_s: float | None = None

    @property
    def upper_s(self) -> float | None:
        """Get what the time is below, with its interval; None when nothing is known."""
        return self.bound_s if self.time_s.ci95 is None else self.time_s.ci95[1]


ABSENT_S = Value(None, None, "s")
UNKNOWN = Duration(ABSENT_S)


@dataclass(frozen=True, slots=True)
class EdgeResponse:
    """Edges of one kind. Without a result `reason` says why and the rest is absent.

    step      light after minus light before, relative to the brighter of both
    rise      10-90 % of the way between the plateaus
    efold     from the edge to 1 - 1/e of the way
    settle    from the edge to 95 % of the way
    seen_s    10-90 % as the frames show it, their length included
    edges     how many were used
    dropped   how many were not, by reason
    """

    step: Value
    rise: Duration
    efold: Duration
    settle: Duration
    seen_s: Value
    edges: int
    dropped: dict[str, int]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepResponse:
    """Both kinds of edges, and the light's own period (claim C56)."""

    on: EdgeResponse
    off: EdgeResponse
    period_s: Value


def reduce_step_response(trace: Trace, edges: Edges) -> StepResponse:
    """Response of a square wave, see the module.

    Refused per kind of edge: fewer than 10 usable edges; no step of one sign above 5 standard errors; drift larger than the
    step, or above 5 % of it within half a period; times that are not in the data. An edge is dropped when a frame near it is
    saturated, more than 20 % of its frames are missing, or a plateau has fewer than 3.

    Raises
    ------
    ValueError  shapes that do not fit, times that do not ascend, an exposure that is no positive number
    """
    _check(trace, edges)
    half_period_s = float(np.min(np.diff(edges.t_s))) if len(edges.t_s) > 1 else math.nan
    kinds = [_Folded(trace, edges, kind, half_period_s) for kind in (True, False)]
    return StepResponse(kinds[0].response(), kinds[1].response(), _period(kinds))


def _check(trace: Trace, edges: Edges) -> None:
    shape = trace.open_s.shape
    if len(shape) != 1 or trace.light.shape != shape or trace.saturated.shape != shape:
        raise ValueError("times, light and saturation of the frames differ in shape")
    if edges.t_s.ndim != 1 or edges.on.shape != edges.t_s.shape:
        raise ValueError("times and kinds of the edges differ in shape")
    if not (np.diff(trace.open_s) > 0).all() or not (np.diff(edges.t_s) > 0).all():
        raise ValueError("frames and edges must ascend in time")
    if not (0 < trace.exposure_s < math.inf and 0 <= edges.error_s < math.inf):
        raise ValueError(f"exposure {trace.exposure_s} s or edge error {edges.error_s} s is no such time")


@dataclass(frozen=True, slots=True)
class _Edge:
    """One usable edge: frames from the plateau before to that after, `way` is 0 and 1 there."""

    t_s: float
    before: float
    after: float
    since_s: Floats
    way: Floats


class _Folded:
    """Edges of one kind laid over each other."""

    def __init__(self, trace: Trace, edges: Edges, kind: bool, half_period_s: float) -> None:
        self._trace, self._half_s, self._error_s = trace, half_period_s, edges.error_s
        self.dropped: dict[str, int] = {}
        self.edges: list[_Edge] = []
        spacing = float(np.median(np.diff(trace.open_s))) if len(trace.open_s) > 1 else math.inf
        for t_s in edges.t_s[edges.on == kind]:
            edge = self._edge(float(t_s), spacing)
            if isinstance(edge, str):
                self.dropped[edge] = self.dropped.get(edge, 0) + 1
            else:
                self.edges.append(edge)

    def _edge(self, t_s: float, spacing_s: float) -> _Edge | str:
        trace, half = self._trace, self._half_s
        first, last = np.searchsorted(trace.open_s, [t_s + BEFORE[0] * half, t_s + AFTER[1] * half - trace.exposure_s])
        near = slice(int(first), int(last))
        since, light = trace.open_s[near] - t_s, trace.light[near]
        if trace.saturated[near].any():
            return SATURATED
        known = np.isfinite(light)
        if known.sum() < (1 - MAX_MISSING) * ((AFTER[1] - BEFORE[0]) * half / spacing_s - 2):
            return MISSING
        since, light = since[known], light[known]
        before = light[since + trace.exposure_s <= BEFORE[1] * half]
        after = light[since >= AFTER[0] * half]
        if min(len(before), len(after)) < FEWEST_PLATEAU_FRAMES:
            return NO_FRAMES
        low, high = float(before.mean()), float(after.mean())
        if low == high:
            return "no step"
        return _Edge(t_s, low, high, since, (light - low) / (high - low))

    @cached_property
    def step(self) -> Floats:
        """Light after minus light before, edge by edge (counts)."""
        return np.array([edge.after - edge.before for edge in self.edges])

    def response(self) -> EdgeResponse:
        reason = self._refusal()
        if reason:
            return self._refused(reason)
        fit = _Fit(self.edges, self._trace.exposure_s, self._half_s, self._error_s)
        if self._moves_early() or fit.misfit() > math.hypot(MAX_MISFIT, NOISE_MARGIN * self._noise()):
            return self._refused("the light does not follow the edges: check their times")
        values = self._with_intervals(fit)
        if values is None:
            return self._refused("the way from 10 to 95 % is not in the data")
        rise, efold, settle, seen, efold_seen, settle_seen, ten = values
        if rise.value is None or not (rise.half_width or math.inf) <= rise.value + fit.resolution_s:
            return self._refused("too noisy: the interval of the 10-90 % time is longer than the time")
        if not (ten.value or 0.0) - self._error_s <= max(rise.value, 2 * fit.resolution_s):
            return self._refused("the light answers later than it takes: check the times of the edges")
        if not _upper(settle) <= LATEST_SETTLED * self._half_s:
            return self._refused("the light does not come to rest within half a period")
        shift_s = self._error_s
        return EdgeResponse(
            self._relative_step(),
            fit.duration(rise, _upper(seen)),
            fit.duration(efold, _upper(efold_seen), shift_s),
            fit.duration(settle, _upper(settle_seen), shift_s),
            seen,
            len(self.edges),
            self.dropped,
        )

    def _with_intervals(self, fit: "_Fit") -> list[Value] | None:
        """The fit's times, with intervals from leaving out one edge at a time or from noise drawn anew, whichever is wider.

        The first sees whatever differs from edge to edge; but a fit with bounds jumps, which it sees too little of.
        """
        whole, count = fit.times(fit.weights()), len(self.edges)
        others = [fit.times(fit.weights(left_out)) for left_out in range(count)]
        redrawn = [fit.times(weights) for weights in fit.redrawn()]
        if whole is None or any(found is None for found in (*others, *redrawn)):
            return None
        spread = np.array(others, np.float64)
        jackknife = np.sqrt((count - 1) / count * ((spread - spread.mean(axis=0)) ** 2).sum(axis=0))
        error = np.maximum(jackknife, np.array(redrawn, np.float64).std(axis=0, ddof=1))
        error = np.hypot(error, fit.grid_error_s)
        return [value_with_error(value, float(e), count - 1, "s") for value, e in zip(whole, error, strict=True)]

    def _noise(self) -> float:
        """Noise of one frame before the edges, in units of the step: of neighbours, which a step in between hardly touches."""
        end_s = BEFORE[1] * self._half_s - self._trace.exposure_s
        steps = np.concatenate([np.diff(edge.way[edge.since_s <= end_s]) for edge in self.edges])
        return 1.4826 * float(np.median(np.abs(steps))) / math.sqrt(2)

    def _moves_early(self) -> bool:
        """Whether frames that end right before the edge have left the plateau."""
        end_s = -self._error_s - self._trace.exposure_s
        start_s = BEFORE[1] * self._half_s - self._trace.exposure_s
        last = np.concatenate([edge.way[(start_s < edge.since_s) & (edge.since_s <= end_s)] for edge in self.edges])
        if not len(last):
            return False
        return abs(float(last.mean())) > max(MAX_EARLY, SIGNIFICANT_STEP * self._noise() / math.sqrt(len(last)))

    def _refused(self, reason: str) -> EdgeResponse:
        step = self._relative_step() if len(self.edges) > 1 else Value(None, None, "")
        return EdgeResponse(step, UNKNOWN, UNKNOWN, UNKNOWN, ABSENT_S, len(self.edges), self.dropped, reason)

    def _relative_step(self) -> Value:
        brighter = float(np.mean([max(edge.before, edge.after) for edge in self.edges]))
        return mean_of(self.step / brighter, "") if brighter > 0 else Value(None, None, "")

    def _refusal(self) -> str:
        count = len(self.edges)
        if count < MIN_EDGES:
            why = "; ".join(f"{number} dropped: {text}" for text, number in self.dropped.items())
            return f"{count} usable edges, at least {MIN_EDGES} are needed" + (f" ({why})" if why else "")
        step = abs(float(self.step.mean()))
        before = np.array([edge.before for edge in self.edges])
        after = np.array([edge.after for edge in self.edges])
        # drift before no step: a large drift also spreads the steps
        times = np.array([edge.t_s for edge in self.edges])
        drift = max(float(np.ptp(before)), float(np.ptp(after)))
        noise = max(_scatter(before), _scatter(after))
        if drift > step and drift > SIGNIFICANT_STEP * noise:
            return f"the light drifts by {drift:.3g} counts, more than it steps ({step:.3g})"
        if not step > SIGNIFICANT_STEP * float(self.step.std(ddof=1)) / math.sqrt(count):
            return "no step above the noise"
        if not (np.sign(self.step) == np.sign(self.step[0])).all():
            return "no step: its sign changes from edge to edge"
        rate = max(abs(float(np.polyfit(times - times[0], level, 1)[0])) for level in (before, after))
        if rate * self._half_s > MAX_DRIFT_PER_EDGE * step:
            return f"the light drifts by {100 * rate * self._half_s / step:.2g} % of the step within half a period"
        return ""

    def half_ways(self) -> tuple[Floats, Floats]:
        """Edge times, and when each edge's light was halfway (s): first passage between two frames."""
        found = [(edge.t_s, edge.t_s + _first_passage(self._middle(edge), edge.way, 0.5)) for edge in self.edges]
        times = np.array(found, np.float64).reshape(-1, 2)
        return times[np.isfinite(times[:, 1])].T[0], times[np.isfinite(times[:, 1])].T[1]

    def _middle(self, edge: _Edge) -> Floats:
        return edge.since_s + 0.5 * self._trace.exposure_s


class _Fit:
    """Monotone response behind the frames, fitted to any choice of edges."""

    def __init__(self, edges: list[_Edge], exposure_s: float, half_period_s: float, error_s: float) -> None:
        self.exposure_s = exposure_s
        end_s = AFTER[1] * half_period_s
        opens = np.sort(np.concatenate([edge.since_s for edge in edges]))
        near = opens[(opens > -2 * exposure_s) & (opens < min(10 * exposure_s, 0.5 * half_period_s))]
        gap_s = float(np.max(np.diff(near))) if len(near) > 1 else math.inf
        self.resolution_s = max(exposure_s, gap_s)
        knot_s = min(max(gap_s, FINEST_KNOT_FRAMES * exposure_s), 0.2 * half_period_s)
        self.grid_error_s = 0.1 * knot_s
        self.knots_s = _knots(-error_s, knot_s, AFTER[0] * half_period_s)
        self._end_s = end_s
        pairs = [self._normal(edge) for edge in edges]
        self._gram = np.array([gram for gram, _ in pairs])
        self._moment = np.array([moment for _, moment in pairs])
        self._square = sum(float(edge.way @ edge.way) for edge in edges)
        self._frames = sum(len(edge.way) for edge in edges)

    def _normal(self, edge: _Edge) -> tuple[Floats, Floats]:
        design = self._means(edge.since_s)
        return design.T @ design, design.T @ edge.way

    def _means(self, open_s: Floats) -> Floats:
        """Mean over the exposure of every ramp between knots, and of the slow line up and down, (n, k + 2)."""
        opened, closed = self._integrals(open_s), self._integrals(open_s + self.exposure_s)
        return (closed - opened) / self.exposure_s

    def _integrals(self, t_s: Floats) -> Floats:
        start, width = self.knots_s[:-1], np.diff(self.knots_s)
        inside = np.clip(t_s[:, None] - start, 0.0, width)
        ramps = inside**2 / (2 * width) + np.maximum(t_s[:, None] - start - width, 0.0)
        slow = (np.maximum(t_s, 0.0) ** 2 / (2 * self._end_s))[:, None]
        return np.hstack([ramps, slow, -slow])

    def misfit(self) -> float:
        """What the fit leaves of the frames (rms, in units of the step)."""
        gram, moment, weights = self._gram.sum(axis=0), self._moment.sum(axis=0), self.weights()
        left = self._square - 2 * float(weights @ moment) + float(weights @ gram @ weights)
        return math.sqrt(max(left, 0.0) / self._frames)

    def weights(self, left_out: int | None = None) -> Floats:
        """Heights of the ramps, and of the slow line up and down, without one of the edges."""
        gram, moment = self._gram.sum(axis=0), self._moment.sum(axis=0)
        if left_out is not None:
            gram, moment = gram - self._gram[left_out], moment - self._moment[left_out]
        return _non_negative(gram, moment)

    def redrawn(self) -> list[Floats]:
        """Weights of fits to the fitted response with white noise as large as what it leaves; the same at every call."""
        gram, weights = self._gram.sum(axis=0), self.weights()
        root = _root(gram)
        draws = self.misfit() * np.random.default_rng(0).standard_normal((REDRAWN, len(gram)))
        return [_non_negative(gram, gram @ weights + root @ draw) for draw in draws]

    def times(self, weights: Floats) -> tuple[float, ...] | None:
        """Times (s) of the response: 10-90 %, 1 - 1/e, 95 %; of its frames: 10-90 %, and the ends of those at 1 - 1/e and 95 %;
        and of the response at 10 %. None when it does not get there.
        """
        t_s = self.knots_s
        way = np.concatenate([[0.0], np.cumsum(weights[:-2])]) + (weights[-2] - weights[-1]) * np.maximum(t_s, 0) / self._end_s
        seen_s = np.unique(np.concatenate([t_s + shift * self.exposure_s for shift in np.linspace(-1, 0, 11)]))
        seen = self._means(seen_s) @ weights
        found = [_first_passage(t_s, way, level) for level in LEVELS]
        found += [_first_passage(seen_s, seen, level) for level in LEVELS]
        if not np.isfinite(found).all():
            return None
        ten, efold, ninety, settled, seen_ten, seen_efold, seen_ninety, seen_settled = found
        frame_s = self.exposure_s
        return ninety - ten, efold, settled, seen_ninety - seen_ten, seen_efold + frame_s, seen_settled + frame_s, ten

    def duration(self, found: Value, seen_upper_s: float, shift_s: float = 0.0) -> Duration:
        """The time, widened by `shift_s`, where its whole interval is longer than a frame; else the bound."""
        if found.value is None or found.ci95 is None:
            return UNKNOWN
        low, high = found.ci95[0] - shift_s, found.ci95[1] + shift_s
        if low > self.resolution_s:
            return Duration(value_between(found.value, low, high, "s"))
        return Duration(ABSENT_S, max(high, seen_upper_s + shift_s))


def _non_negative(gram: Floats, moment: Floats) -> Floats:
    """Minimise |A w - y|^2 over w >= 0 from A'A and A'y. The ridge is far below the noise and keeps the root real."""
    root = _root(gram)
    return np.asarray(nnls(root.T, np.linalg.solve(root, moment), maxiter=30 * len(gram))[0], np.float64)


def _root(gram: Floats) -> Floats:
    return np.linalg.cholesky(gram + 1e-10 * np.trace(gram) / len(gram) * np.eye(len(gram)))


def _knots(start_s: float, first_s: float, end_s: float) -> Floats:
    knots = [start_s]
    width = first_s
    while knots[-1] < end_s:
        knots.append(knots[-1] + width)
        width *= KNOT_GROWTH
    return np.array(knots)


def _first_passage(t_s: Floats, way: Floats, level: float) -> float:
    """First time at which `way` passes `level`, by a straight line between samples; NaN when it never does."""
    above = np.flatnonzero(way >= level)
    if not len(above) or above[0] == 0:
        return math.nan if not len(above) else float(t_s[0])
    after = int(above[0])
    return float(np.interp(level, way[after - 1 : after + 1], t_s[after - 1 : after + 1]))


def _upper(value: Value) -> float:
    return math.inf if value.ci95 is None else value.ci95[1]


def _scatter(levels: Floats) -> float:
    """Noise of levels that may drift: from the differences of neighbours."""
    return float(np.sqrt(np.mean(np.diff(levels) ** 2) / 2))


def _period(kinds: list[_Folded]) -> Value:
    """Period of the light (s): line through its half-way times, over the number of the cycle, one offset for each kind."""
    rows: list[Floats] = []
    times: list[Floats] = []
    for column, kind in enumerate(kinds):
        edge_s, half_s = kind.half_ways()
        if len(edge_s) < MIN_EDGES:
            return ABSENT_S
        cycle = np.round((edge_s - edge_s[0]) / np.min(np.diff(edge_s)))
        rows.append(np.column_stack([cycle, np.full(len(cycle), column == 0), np.full(len(cycle), column == 1)]))
        times.append(half_s)
    design, t_s = np.concatenate(rows).astype(np.float64), np.concatenate(times)
    found, *_ = np.linalg.lstsq(design, t_s, rcond=None)
    freedom = len(t_s) - design.shape[1]
    variance = float(np.sum((design @ found - t_s) ** 2)) / freedom * np.linalg.inv(design.T @ design)[0, 0]
    return value_with_error(float(found[0]), math.sqrt(variance), freedom, "s")


@dataclass(frozen=True, slots=True)
class SlowPart:
    """What follows the fast step of a long hold. `reason` says why values are absent.

    tau_s          time constant of a single exponential
    share          its amplitude, extrapolated to the edge, relative to the fast step (magnitudes, claim C59)
    fast_fraction  fast / (fast + slow), claim C60
    """

    tau_s: Value
    share: Value
    fast_fraction: Value
    reason: str = ""


def slow_part(before: Floats, since_s: Floats, after: Floats) -> SlowPart:
    """Slow component after one edge of a long hold.

    Parameters
    ----------
    before          light of the plateau before the edge (m,), in time order
    since_s, after  time since the edge (s, (n,)) and light once the fast step is over (at least 10 of its time constants)

    A laser that drifts looks the same. Refused as in `relax`, and when the fast step does not exceed its noise.
    """
    none = Value(None, None, "")
    found = relax(since_s, after, "counts")
    level = mean_of(before[np.isfinite(before)], "counts")
    refusal = found.reason
    if not refusal and (level.value is None or level.half_width is None or not np.isfinite(before).all()):
        refusal = "no plateau before the edge"
    if refusal or level.value is None or level.half_width is None:
        return SlowPart(ABSENT_S, none, none, refusal)
    if found.amplitude.value is None or found.end.value is None:
        return SlowPart(ABSENT_S, none, none, "no slow part")
    fast = found.end.value + found.amplitude.value - level.value
    slow, slow_half = abs(found.amplitude.value), found.amplitude.half_width or math.inf
    fast_half = math.hypot(level.half_width, found.end.half_width or math.inf, slow_half)
    if not abs(fast) > 2 * fast_half:
        return SlowPart(ABSENT_S, none, none, "no fast step above the noise")
    share = slow / abs(fast)
    half = share * math.hypot(slow_half / slow, fast_half / fast)
    low, high = max(share - half, 0.0), share + half
    fraction = value_between(1 / (1 + share), 1 / (1 + high), 1 / (1 + low), "")
    return SlowPart(found.tau_s, value_between(share, low, high, ""), fraction)
