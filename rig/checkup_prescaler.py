"""What no manual says of a delay generator's prescalers, measured through the spectrometer's cable in the dark.

The internal rate starts bursts of CYCLES at fixed ticks; the output to the spectrometer passes one cycle in DIVIDER, and the
spectrometer's clock tells which cycles passed. One burst that is not divided shows where cycle 0 lies. Between two bursts
nothing is written but what is being tested. The manual says that prescalers do nothing in single shot; that is tried, too.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import InstrumentError
from drivers.roles import FrameBatch
from rig.checkup import Check, Finding, Situation, kept
from rig.checkup_triggers import BOTH, cannot_park, collected, fire, prepare_loop

DIVIDER, PHASE, CYCLES = 5, 2, 12
BURSTS = 6  # per stretch: neither 6 bursts nor their 72 cycles are a multiple of the divider
GAP_S = 0.15  # the least between two bursts: room to write a setting
RATES_HZ = (5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
IDLE_HZ = 1e-4
OFF_GRID = 0.3  # of a cycle
UNSUITED = "note its firmware and report this: its prescalers cannot be tested this way"


@dataclass(frozen=True, slots=True)
class PrescalerFacts:
    """What was found; None where it cannot be told.

    Parameters
    ----------
    count_burst_cycles      prescalers count every cycle of a burst; else every burst once
    phase_is_ordinal        phase p passes the p-th cycle (or burst) after a restart; else the (p + 1)-th
    restart_at_burst_start, restart_at_advt, restart_at_pres
                            whether a counter begins anew there
    work_in_single_shot     prescalers divide bursts started by *TRG, too
    """

    count_burst_cycles: bool | None = None
    phase_is_ordinal: bool | None = None
    restart_at_burst_start: bool | None = None
    restart_at_advt: bool | None = None
    restart_at_pres: bool | None = None
    work_in_single_shot: bool | None = None


Stretch = Sequence[tuple[int, ...]]  # per burst: which of its cycles passed


def facts_from(stretches: Sequence[Stretch]) -> PrescalerFacts:
    """Reduce what passed to facts. Before stretches 1 and 2 ADVT was switched off and on, before 3 and 4 PRES was written."""
    everything = [burst for stretch in stretches for burst in stretch]
    whole = tuple(range(CYCLES))
    if all(burst in ((), whole) for burst in everything) and any(everything):
        return _of_bursts(stretches)
    residues = [[{cycle % DIVIDER for cycle in burst} for burst in stretch] for stretch in stretches]
    if any(len(one) != 1 for stretch in residues for one in stretch):
        return PrescalerFacts()
    first = [[one.copy().pop() for one in stretch] for stretch in residues]
    flat = list(chain.from_iterable(first))
    if any(burst != tuple(range(residue, CYCLES, DIVIDER)) for burst, residue in zip(everything, flat, strict=True)):
        return PrescalerFacts()
    inside = [((a - b) % DIVIDER) for stretch in first for a, b in pairwise(stretch)]
    if all(step == 0 for step in inside):
        same = len(set(flat)) == 1
        return PrescalerFacts(True, _ordinal(first[0][0]) if same else None, restart_at_burst_start=True)
    if any(step != CYCLES % DIVIDER for step in inside):
        return PrescalerFacts(True)
    step = BURSTS * CYCLES
    return _with_restarts(True, [stretch[0] for stretch in first], step)


def _of_bursts(stretches: Sequence[Stretch]) -> PrescalerFacts:
    """Facts of counters that count bursts: all cycles of a burst pass, or none."""
    passing = [[i for i, burst in enumerate(stretch) if burst] for stretch in stretches]
    if any(not hits or any(i % DIVIDER != hits[0] % DIVIDER for i in hits) for hits in passing):
        return PrescalerFacts(False)
    return _with_restarts(False, [hits[0] % DIVIDER for hits in passing], BURSTS)


def _with_restarts(count_cycles: bool, firsts: Sequence[int], step: int) -> PrescalerFacts:
    advt, pres = (_restarts(firsts[a], firsts[a + 1], step) for a in (1, 3))
    begun = firsts[3] if pres else firsts[1] if advt else None
    return PrescalerFacts(
        count_burst_cycles=count_cycles,
        phase_is_ordinal=None if begun is None else _ordinal(begun),
        restart_at_burst_start=False if count_cycles else None,
        restart_at_advt=advt,
        restart_at_pres=pres,
    )


def _restarts(first: int, again: int, step: int) -> bool | None:
    """Whether the counter began anew both times (same place), or ran on from the first to the second."""
    if again == first:
        return True
    return False if again == (first - step) % DIVIDER else None


def _ordinal(begun: int) -> bool | None:
    return {PHASE: False, PHASE - 1: True}.get(begun)


# --- the measurement --------------------------------------------------------------------------------------------------


class _Bursts:
    """The generator's bursts at the ticks of its internal rate, seen by the spectrometer."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.trigger: Any = situation.instrument("laser_trigger")
        self.spectrometer: Any = situation.instrument("spectrometer")
        self.clock = situation.clock
        cable = situation.bench.cable_to("spectrometer.trigger")
        self.output: Any = self.trigger.outputs["" if cable is None else cable.source.split(".", 1)[1]]
        self.period_s = 1 / situation.bench.laser_trigger.rate_hz
        rates = [rate for rate in RATES_HZ if 1 / rate >= CYCLES * self.period_s + GAP_S]
        self.rate_hz = rates[0] if rates else 0.0
        self._middle_ns = 0  # of the gap before the next tick
        self._zero_us = 0.0  # of cycle 0, on the spectrometer's clock
        self._ticks = 0

    def start(self) -> None:
        """Let the ticks begin with nothing divided; find cycle 0."""
        trigger = self.trigger
        trigger.trigger_rate_hz = IDLE_HZ  # in single shot it may refuse prescalers
        trigger.trigger_source = 0
        trigger.burst_count = CYCLES
        trigger.advanced_triggering = True
        trigger.holdoff_s = 0.0
        trigger.outputs["T0"].prescale = 1
        self.output.prescale = 1
        self.output.phase = 0
        self.spectrometer.arm()
        trigger.trigger_rate_hz = self.rate_hz
        frames = self._first_burst()
        times = frames.device_time_us.astype(np.float64)
        if len(times) != CYCLES or not np.allclose(np.diff(times) * 1e-6, self.period_s, atol=0.1 * self.period_s):
            raise InstrumentError(f"a burst of {CYCLES} cycles that is not divided gave {len(times)} frames.")
        self._zero_us = float(times[0])
        self._middle_ns = self.clock.now_ns() + round(0.5 * (1 / self.rate_hz - CYCLES * self.period_s) * 1e9)

    def _first_burst(self) -> FrameBatch:
        """Wait for the first tick; return its frames as soon as they are complete, so that the host knows when ticks come."""
        batches: list[FrameBatch] = []
        over_ns = self.clock.now_ns() + round(2.5e9 / self.rate_hz)
        while sum(map(len, batches)) < CYCLES and self.clock.now_ns() < over_ns and not self.situation.stopped():
            self.clock.sleep(min(0.01, self.period_s))
            batches.append(self.spectrometer.collect())
        return collected(self.situation, batches)

    def stretch(self) -> Stretch:
        """Let some bursts go by, to the middle of the gap after the last; return which of their cycles passed."""
        self._middle_ns += round(BURSTS / self.rate_hz * 1e9)
        batches: list[FrameBatch] = []
        while (left_s := (self._middle_ns - self.clock.now_ns()) * 1e-9) > 0:
            self.clock.sleep(min(left_s, 0.5 / self.rate_hz))
            batches.append(self.spectrometer.collect())
            if self.situation.stopped():
                raise InstrumentError("stopped while prescalers were being measured.")
        frames = collected(self.situation, batches)
        self._ticks += BURSTS
        return self._passed(frames.device_time_us.astype(np.float64))

    def _passed(self, times_us: NDArray[np.float64]) -> Stretch:
        """Sort frames into bursts and cycles."""
        since_s = (times_us - self._zero_us) * 1e-6
        tick = np.floor(since_s * self.rate_hz + 0.25 * self.period_s * self.rate_hz).astype(np.int64)
        cycle = (since_s - tick / self.rate_hz) / self.period_s
        number = np.rint(cycle).astype(np.int64)
        first = self._ticks - BURSTS + 1
        stray = (np.abs(cycle - number) > OFF_GRID) | (number < 0) | (number >= CYCLES) | (tick < first) | (tick > self._ticks)
        if stray.any():
            raise InstrumentError(f"{int(stray.sum())} of {len(times_us)} frames lie on no cycle of any burst.")
        return [tuple(number[tick == one].tolist()) for one in range(first, self._ticks + 1)]


def measure(situation: Situation) -> PrescalerFacts:
    """Measure; generator and spectrometer are loaded already. Writes settings, restores none."""
    bursts = _Bursts(situation)
    if not bursts.rate_hz:
        raise InstrumentError(f"bursts of {CYCLES} shots at {1 / bursts.period_s:g} Hz take too long for this test.")
    bursts.start()
    bursts.output.phase = PHASE
    bursts.output.prescale = DIVIDER
    stretches = [bursts.stretch()]
    for _ in range(2):
        bursts.trigger.advanced_triggering = False
        bursts.trigger.advanced_triggering = True
        stretches.append(bursts.stretch())
    for _ in range(2):
        bursts.output.prescale = DIVIDER
        stretches.append(bursts.stretch())
    found = facts_from(stretches)
    bursts.trigger.trigger_source = 5
    frames = len(fire(situation, CYCLES))
    single = {CYCLES: False}.get(frames, True if frames in (CYCLES // DIVIDER, math.ceil(CYCLES / DIVIDER), 0) else None)
    return PrescalerFacts(**{**asdict(found), "work_in_single_shot": single})


def prescaler_facts(situation: Situation) -> Finding:
    """Whether prescalers count the cycles of a burst, and when their counters begin anew."""
    if (against := cannot_park(situation)) is not None:
        return against
    trigger = situation.instrument("laser_trigger")
    cable = situation.bench.cable_to("spectrometer.trigger")
    output = getattr(trigger, "outputs", {}).get("" if cable is None else cable.source.split(".", 1)[1])
    if cable is None or cable.source == "laser_trigger.T0" or not hasattr(output, "prescale"):
        return Finding("skipped", "the spectrometer hangs on no output that has a prescaler")
    with kept(situation, BOTH):
        prepare_loop(situation, light=False)
        found = measure(situation)
        if refused := situation.instrument("laser_trigger").errors():
            return Finding("warn", f"the generator refused a setting of this test: {'; '.join(refused)}", next_step=UNSUITED)
    known = found.count_burst_cycles is not None and found.work_in_single_shot is not None
    step = "" if known else "look at the trigger loop first; if that is right, look at this output with an oscilloscope"
    return Finding("ok" if known else "warn", in_words(found), next_step=step, details=asdict(found))


def in_words(found: PrescalerFacts) -> str:
    """Two facts: what is counted, and when counting begins anew."""
    if found.count_burst_cycles is None:
        return "what passed follows no rule that is known here: do not use prescalers in bursts"
    what = "cycles" if found.count_burst_cycles else "bursts"
    counted = "every cycle of a burst" if found.count_burst_cycles else "a burst once, all its cycles pass or none"
    ordinal = {True: f"the p-th of these {what}", False: f"the (p+1)-th of these {what}", None: "nothing that can be told"}
    places = {
        "burst start": found.restart_at_burst_start,
        "ADVT": found.restart_at_advt,
        "PRES": found.restart_at_pres,
    }
    restart = [place for place, does in places.items() if does]
    runs_on = [place for place, does in places.items() if does is False]
    words = f"prescalers count {counted}; phase p means {ordinal[found.phase_is_ordinal]}; counters begin anew at "
    words += ", ".join(restart) or "no place that was tried"
    if runs_on:
        words += f" and run on through {', '.join(runs_on)}"
    if found.work_in_single_shot is not None:
        words += f"; *TRG: {'they divide its bursts, too' if found.work_in_single_shot else 'they do nothing in single shot'}"
    return words


PRESCALER_CHECKS = [Check("laser_trigger", "prescalers", prescaler_facts, BOTH, BOTH)]
