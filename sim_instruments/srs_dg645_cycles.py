"""The DG645's timing engine: triggers in, delay cycles and bursts of them, pulses out.

Times are kept in ps after the first moment seen and rounded to ns once, when a pulse leaves. Every stretch of time is one
array operation per output, however many cycles it holds. Source: DG645 operating manual, triggering and burst mode.
"""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from sim_instruments.persona import Edges, OutputPulses, TimesNs
from sim_instruments.srs_dg645_settings import OUTPUTS, PRESCALED, Dg645Quirks, Timing

OUTPUT_NAMES = ("T0", "AB", "CD", "EF", "GH")
INSERTION_NS = 85  # trigger input to T0
INHIBIT_THRESHOLD_V = 1.5  # assumed

_INSERTION_PS = INSERTION_NS * 1000
_LONG_AGO_PS = -(2**62)
_PS_UHZ = 10**18  # period (ps) times rate (uHz)
_CLOCK_BLOCK = 500_000  # as many remainders of a period fit an int64

TimesPs = NDArray[np.int64]
_NO_TIMES: TimesPs = np.empty(0, dtype=np.int64)


class Event(IntFlag):
    """Bits of INSR."""

    TRIG = 1
    RATE = 2
    END_OF_DELAY = 4
    END_OF_BURST = 8
    INHIBIT = 16
    ABORT_DELAY = 32


@dataclass(slots=True)
class _Burst:
    """A burst in progress: cycles at first_ps + i * step_ps, i < cycles, `done` of them started; over at end_ps.

    `counts` are the prescale counters that its next cycle meets.
    """

    first_ps: int
    step_ps: int
    cycles: int
    end_ps: int
    drops: bool
    counts: list[int]
    done: int = 0


def _spaced(times: TimesPs, gap: int) -> TimesPs:
    """Of ascending times keep the first and then always the next that is at least `gap` later."""
    close = np.flatnonzero(np.diff(times) < gap)
    if not len(close):
        return times
    every = int(np.searchsorted(times, times[0] + gap))
    if (times[every:] - times[:-every] >= gap).all() and (times[every - 1 :] - times[: len(times) - every + 1] < gap).all():
        return times[::every]  # a clock that is too fast: no loop over millions of its edges
    kept: list[TimesPs] = []
    i = 0
    while i < len(times):
        nearest = int(np.searchsorted(close, i))
        last = int(close[nearest]) if nearest < len(close) else len(times) - 1
        kept.append(times[i : last + 1])
        i = int(np.searchsorted(times, times[last] + gap))
    return np.concatenate(kept)


class Cycles:
    """The engine. `advance` moves time; everything else happens at the time reached.

    A setting that changes ends the cycle and the burst in progress: pulses that have begun stand, with the end they had
    been announced with; nothing more of the cycle comes. So a cycle never outlives the timing it began with.
    """

    def __init__(self, timing: Timing, quirks: Dg645Quirks) -> None:
        self.events = Event(0)
        self._timing = timing
        self._quirks = quirks
        self._epoch_ns: int | None = None
        self._now_ps = 0
        self._heard_ps = _LONG_AGO_PS  # triggers with a T0 up to here have been dealt with
        self._clock_ps = 0  # when the internal rate generator was started
        self._armed = False
        self._shot_ps: int | None = (
            None  # T0 of the single shot that was just triggered; no command is so fast as to come before it
        )
        self._busy_until_ps = _LONG_AGO_PS
        self._in_cycle = False
        self._burst: _Burst | None = None
        self._counts = [0 for _ in OUTPUTS]  # prescale counters; 0 counts triggers
        self._trigger_edges: list[Edges] = []
        self._inhibit_ns: TimesNs = np.array([_LONG_AGO_PS], dtype=np.int64)
        self._inhibit_v = np.zeros(1)
        self._coming: list[tuple[TimesNs, TimesNs]] = [(_NO_TIMES, _NO_TIMES) for _ in OUTPUTS]
        self._left: list[list[tuple[TimesNs, TimesNs]]] = [[] for _ in OUTPUTS]
        self._levels = [(pulse.idle_v, pulse.active_v) for pulse in timing.pulses]

    # --- what the instrument asks of it -------------------------------------------------------------------------------

    @property
    def in_cycle(self) -> bool:
        """Get whether a delay cycle is in progress."""
        return self._in_cycle

    @property
    def in_burst(self) -> bool:
        """Get whether a burst is in progress; true between its cycles, too."""
        return self._burst is not None

    @property
    def _at_rest(self) -> bool:
        """Get whether nothing runs, comes or is looked at, so that time may just pass."""
        return (
            self._timing.source == 5
            and self._shot_ps is None
            and self._burst is None
            and not self._in_cycle
            and not self._trigger_edges
            and len(self._inhibit_ns) == 1
            and not any(len(begin_ns) for begin_ns, _ in self._coming)
        )

    def trigger(self) -> None:
        """Fire a single shot (source 5) or wait for one edge (3, 4); while busy only RATE is set."""
        if self._in_cycle or self._burst is not None:
            self.events |= Event.RATE
        elif self._timing.source == 5:
            self._shot_ps = self._now_ps + _INSERTION_PS
        elif not self._armed:
            self._armed = True
            self._heard_ps = self._now_ps + _INSERTION_PS

    def configure(self, timing: Timing) -> None:
        """Let a changed setting take effect: what is in progress is aborted, triggers count from now on."""
        self.abort()
        if timing.source != self._timing.source:
            self._armed = False
        if (timing.source, timing.rate_uhz) != (self._timing.source, self._timing.rate_uhz):
            self._clock_ps = self._now_ps
        self._timing = timing

    def abort(self, deaf_ns: int = 0) -> None:
        """End what is in progress; hear no trigger for `deaf_ns`."""
        if self._in_cycle or self._burst is not None:
            self.events |= Event.ABORT_DELAY
        self._in_cycle = False
        self._burst = None
        self._busy_until_ps = self._now_ps
        self._heard_ps = self._now_ps + deaf_ns * 1000 + _INSERTION_PS
        self._coming = [(_NO_TIMES, _NO_TIMES) for _ in OUTPUTS]

    def restart_counters(self, outputs: range) -> None:
        """Set prescale counters back to the start of their cycle."""
        for output in outputs:
            self._counts[output] = 0

    def receive_edges(self, connector: str, edges: Edges) -> None:
        """Pulses at "EXT" or "INHIBIT". Raises KeyError for any other connector."""
        {"EXT": self._receive_trigger, "INHIBIT": self._receive_inhibit}[connector](edges)

    def drain(self) -> dict[str, OutputPulses]:
        """Return the pulses that began since the last call, {} if none did, at the levels of the last pulse."""
        if not any(self._left):
            return {}
        leaving: dict[str, OutputPulses] = {}
        for output, name in enumerate(OUTPUT_NAMES):
            parts, self._left[output] = self._left[output], []
            begin_ns = np.concatenate([part[0] for part in parts]) if parts else _NO_TIMES
            end_ns = np.concatenate([part[1] for part in parts]) if parts else _NO_TIMES
            pulse = self._timing.pulses[output]
            levels = self._levels[output] if parts else (pulse.idle_v, pulse.active_v)
            leaving[name] = OutputPulses(begin_ns, end_ns, *levels)
        return leaving

    def advance(self, t_ns: int) -> None:
        """Let everything happen up to and including `t_ns`; no Python loop over cycles."""
        if self._epoch_ns is None:
            self._epoch_ns = t_ns
        to_ps = (t_ns - self._epoch_ns) * 1000 + 499  # all that rounds to t_ns
        if self._at_rest:
            self._heard_ps = max(self._heard_ps, to_ps)
            self._now_ps = to_ps - 499
            return
        heard = self._hear(to_ps)
        while True:
            if self._burst is not None:
                self._run_burst(self._burst, to_ps)
            if self._burst is not None:
                too_early = len(heard)
            else:
                too_early = int(np.searchsorted(heard, self._busy_until_ps)) if len(heard) else 0
            if too_early:
                self.events |= Event.RATE
            heard = heard[too_early:]
            if not len(heard):
                break
            self.events |= Event.TRIG
            if self._timing.burst:
                self._begin_burst(int(heard[0]))
                heard = heard[1:]
            else:
                starts = _spaced(heard, self._timing.busy_ps)
                if len(starts) < len(heard):
                    self.events |= Event.RATE
                self._begin_cycles(starts, len(starts), self._counts)
                self._count(len(starts))
                heard = _NO_TIMES
        if self._in_cycle and self._busy_until_ps <= to_ps:
            self.events |= Event.END_OF_DELAY
            self._in_cycle = False
        self._now_ps = to_ps - 499
        self._release(t_ns)

    # --- triggers -----------------------------------------------------------------------------------------------------

    def _hear(self, to_ps: int) -> TimesPs:
        """Return the T0s that triggers ask for up to `to_ps`, after inhibit and trigger prescaler."""
        after_ps = self._heard_ps
        self._heard_ps = max(after_ps, to_ps)
        source = self._timing.source
        if source == 0:
            heard = self._tick(self._clock_ps, self._timing.rate_uhz, after_ps, to_ps)
        elif source == 6:  # assumed: the mains crosses zero when the simulation begins
            heard = self._tick(0, self._quirks.line_rate_hz * 10**6, after_ps, to_ps)
        elif source == 5:
            heard = self._shoot(to_ps)
        else:
            heard = self._listen(after_ps, to_ps)
        if self._timing.inhibit == 1 and len(heard):
            inhibited = self._inhibited(heard - _INSERTION_PS)
            if inhibited.any():
                self.events |= Event.INHIBIT
                heard = heard[~inhibited]
        if self._timing.prescaled and len(heard):
            counts = self._counts[0] + np.arange(len(heard))
            self._counts[0] += len(heard)
            heard = heard[counts % self._timing.prescale[0] == 0]  # assumed: the first trigger counts
        return heard

    def _tick(self, clock_ps: int, rate_uhz: int, after_ps: int, to_ps: int) -> TimesPs:
        """T0s of a rate generator: the k-th (k >= 1) floor(k / rate) after `clock_ps`, insertion delay added."""
        zero_ps = clock_ps + _INSERTION_PS
        first = max(1, -(-(after_ps - zero_ps + 1) * rate_uhz // _PS_UHZ))
        end = -(-(to_ps - zero_ps + 1) * rate_uhz // _PS_UHZ)
        period_ps, remainder = divmod(_PS_UHZ, rate_uhz)
        blocks = [_NO_TIMES]
        for start in range(first, end, _CLOCK_BLOCK):
            whole_ps, rest = divmod(start * _PS_UHZ, rate_uhz)
            i = np.arange(min(_CLOCK_BLOCK, end - start), dtype=np.int64)
            blocks.append(zero_ps + whole_ps + i * period_ps + (rest + i * remainder) // rate_uhz)
        return np.concatenate(blocks)

    def _shoot(self, to_ps: int) -> TimesPs:
        if self._shot_ps is None or self._shot_ps > to_ps:
            return _NO_TIMES
        shot_ps, self._shot_ps = self._shot_ps, None
        return np.array([shot_ps], dtype=np.int64)

    def _listen(self, after_ps: int, to_ps: int) -> TimesPs:
        """T0s of external edges of the right sense that cross the threshold; source 3 and 4 take one when armed."""
        rising = self._timing.source in (1, 3)
        heard = [_NO_TIMES]
        for edges in self._trigger_edges:
            if edges.low_v < self._timing.level_v < edges.high_v:
                t0_ps = self._ps(edges.rise_ns if rising else edges.fall_ns) + _INSERTION_PS
                heard.append(t0_ps[(t0_ps > after_ps) & (t0_ps <= to_ps)])
        t0_ps = np.sort(np.concatenate(heard))
        if self._timing.source in (3, 4):
            t0_ps = t0_ps[: int(self._armed)]
            self._armed = self._armed and not len(t0_ps)
        return t0_ps

    def _receive_trigger(self, edges: Edges) -> None:
        if len(edges):
            self._trigger_edges.append(edges)

    def _receive_inhibit(self, edges: Edges) -> None:
        times = np.concatenate([self._inhibit_ns, edges.rise_ns, edges.fall_ns])
        volts = np.concatenate([self._inhibit_v, np.full(len(edges), edges.high_v), np.full(len(edges), edges.low_v)])
        order = np.argsort(times, kind="stable")
        self._inhibit_ns, self._inhibit_v = times[order], volts[order]

    def _inhibited(self, t_ps: TimesPs) -> NDArray[np.bool_]:
        """Whether INHIBIT is high at each of the times; before its first edge it is low."""
        last = np.searchsorted(self._inhibit_ns, self._ns(t_ps), side="right") - 1
        return self._inhibit_v[last] > INHIBIT_THRESHOLD_V

    # --- cycles -------------------------------------------------------------------------------------------------------

    def _begin_burst(self, trigger_ps: int) -> None:
        timing = self._timing
        # assumed: a cycle that would begin while the last one is in progress is ignored like any other trigger
        stride = -(-timing.busy_ps // timing.burst_period_ps)
        cycles = -(-timing.burst_count // stride)
        first_ps = trigger_ps + timing.burst_delay_ps
        last_ps = first_ps + (timing.burst_count - 1) * timing.burst_period_ps
        step_ps = stride * timing.burst_period_ps
        self._burst = _Burst(
            first_ps=first_ps,
            step_ps=step_ps,
            cycles=cycles,
            end_ps=max(last_ps, first_ps + (cycles - 1) * step_ps + timing.busy_ps),
            drops=stride > 1 and timing.burst_count > 1,
            counts=self._counts if self._quirks.prescalers_count_burst_cycles else list(self._counts),
        )
        if not self._quirks.prescalers_count_burst_cycles:
            self._count(1)

    def _run_burst(self, burst: _Burst, to_ps: int) -> None:
        """Begin the cycles that are due; end the burst when it is over."""
        due = min(burst.cycles, (to_ps - burst.first_ps) // burst.step_ps + 1) - burst.done
        if due > 0:
            starts = burst.first_ps + (burst.done + np.arange(due, dtype=np.int64)) * burst.step_ps
            with_t0 = max(0, 1 - burst.done) if self._timing.t0_on_first_only else due
            self._begin_cycles(starts, with_t0, burst.counts)
            burst.done += due
            if self._quirks.prescalers_count_burst_cycles:
                self._count(due)
        if burst.drops and burst.first_ps + self._timing.burst_period_ps <= to_ps:
            self.events |= Event.RATE
        if burst.end_ps <= to_ps:
            self.events |= Event.END_OF_BURST
            self._busy_until_ps = max(self._busy_until_ps, burst.end_ps)
            self._burst = None

    def _count(self, cycles: int) -> None:
        if self._timing.prescaled:
            for output in PRESCALED:
                self._counts[output] += cycles

    def _begin_cycles(self, starts: TimesPs, with_t0: int, counts: list[int]) -> None:
        """Begin cycles, the first `with_t0` of them with a T0 pulse; all but the last are over when the last begins."""
        timing = self._timing
        inhibited = self._inhibited(starts) if timing.inhibit > 1 else np.zeros(len(starts), dtype=np.bool_)
        if inhibited.any():
            self.events |= Event.INHIBIT
        for output, pulse in enumerate(timing.pulses):
            if output == 0:
                chosen = starts[:with_t0]
            else:
                enabled = self._enabled(output, len(starts), counts[output])
                chosen = starts[enabled & ~inhibited if output < timing.inhibit else enabled]
            if len(chosen) and pulse.begin_ps < pulse.end_ps:
                begin_ns, end_ns = self._coming[output]
                self._coming[output] = (
                    np.concatenate([begin_ns, self._ns(chosen + pulse.begin_ps)]),
                    np.concatenate([end_ns, self._ns(chosen + pulse.end_ps)]),
                )
        if self._in_cycle or len(starts) > 1:
            self.events |= Event.END_OF_DELAY
        self._in_cycle = True
        self._busy_until_ps = int(starts[-1]) + timing.busy_ps

    def _enabled(self, output: int, cycles: int, count: int) -> NDArray[np.bool_]:
        """Whether the output's prescaler lets each of the next cycles pass."""
        if not self._timing.prescaled:
            return np.ones(cycles, dtype=np.bool_)
        step = 1 if self._quirks.prescalers_count_burst_cycles or not self._timing.burst else 0
        number = count + int(self._quirks.phase_is_ordinal) + step * np.arange(cycles, dtype=np.int64)
        return number % self._timing.prescale[output] == self._timing.phase[output]

    def _release(self, t_ns: int) -> None:
        """Let pulses that have begun leave; forget edges at the inputs that nothing can ask for any more."""
        for output, (begin_ns, end_ns) in enumerate(self._coming):
            n = int(np.searchsorted(begin_ns, t_ns, side="right")) if len(begin_ns) else 0
            if n:
                pulse = self._timing.pulses[output]
                self._left[output].append((begin_ns[:n], end_ns[:n]))
                self._levels[output] = (pulse.idle_v, pulse.active_v)
                self._coming[output] = (begin_ns[n:], end_ns[n:])
        past_ns = t_ns - INSERTION_NS
        self._trigger_edges = [e for e in self._trigger_edges if max(e.rise_ns[-1], e.fall_ns[-1]) > past_ns]
        keep = int(np.searchsorted(self._inhibit_ns, past_ns, side="right")) - 1
        self._inhibit_ns, self._inhibit_v = self._inhibit_ns[keep:], self._inhibit_v[keep:]

    def _ns(self, t_ps: TimesPs) -> TimesNs:
        return (t_ps + 500) // 1000 + (self._epoch_ns or 0)

    def _ps(self, t_ns: TimesNs) -> TimesPs:
        return (t_ns - (self._epoch_ns or 0)) * 1000
