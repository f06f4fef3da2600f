"""The energy meter during a run: when it is asked, and which pulse an answer belongs to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.clock import Clock
from drivers.errors import InstrumentError
from drivers.roles import EnergyMeter, EnergyMeterInfo, EnergyReading
from rig.timeline import ShotPattern

READING_INTERVAL_S = 0.5  # where the meter cannot follow every pulse: each reading costs the bench some 10 ms
LEAST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.1, 0.5  # nothing else happens meanwhile, a stop is not seen
CLOCK_TOLERANCE = 1e-4  # two instruments' clocks differ by this at most
NOBODY = -1
PULSES_AFTER = 3  # of a laser that never stops: what may be measured after a burst and is none of its pulses


class EnergyWatch:
    """Asks the meter for every pulse if it can follow, else now and then; one that fails is left alone for the rest of the run.

    Parameters
    ----------
    info           what the meter says of itself
    rate_hz        pulses per second of the run
    pickoff_ratio  energy at the film / energy at the meter
    """

    def __init__(
        self, meter: EnergyMeter, info: EnergyMeterInfo, clock: Clock, *, rate_hz: float, pickoff_ratio: float
    ) -> None:
        self.info = info
        self.rate_hz = rate_hz
        self.per_shot = rate_hz <= info.max_rate_hz
        self.pickoff_ratio = pickoff_ratio
        self.trouble = ""
        self._told = False
        self._meter = meter
        self._clock = clock
        # until the meter is ready again, and then the next pulse; with room for the conversation
        self._timeout_s = min(2 / rate_hz + (LEAST_TIMEOUT_S if self.per_shot else 1.5 / info.max_rate_hz), LONGEST_TIMEOUT_S)
        self._period_s = 1 / rate_hz
        self._last_ns: int | None = None
        self._answers = self._questions = 0

    def due(self, left_s: float) -> bool:
        """Tell whether to ask now, with `left_s` (s) of the burst to come: never so late that the burst's end would wait."""
        if self.trouble:
            return False
        if self.per_shot:
            return left_s >= self._period_s / 2
        rested = self._last_ns is None or self._clock.now_ns() - self._last_ns >= READING_INTERVAL_S * 1e9
        return rested and left_s > self._timeout_s

    def asked_since(self, t_ns: int) -> bool:
        """Tell whether the meter was asked after a host time (ns)."""
        return self._last_ns is not None and self._last_ns >= t_ns

    def measure(self) -> EnergyReading | None:
        """Ask for the next pulse; None when none came in time, or the meter failed, which is kept in `trouble`."""
        self._last_ns = self._clock.now_ns()
        self._questions += 1
        try:
            reading = self._meter.measure(self._timeout_s)
        except InstrumentError as error:
            self.trouble = error.what
            return None
        if reading is None or not np.isfinite(reading.energy_uj):
            return None
        self._answers += 1
        return reading

    def end_block(self) -> str:
        """Say what is to be noted of the block that ended: that the meter failed, or said nothing; "" otherwise."""
        answers, questions = self._answers, self._questions
        self._answers = self._questions = 0
        self._last_ns = None
        if self.trouble and not self._told:
            self._told = True
            return f"the energy meter is not asked any more: {self.trouble}"
        if questions and not answers:
            return f"the energy meter was asked {questions} times and measured no pulse"
        return ""


def shot_energies(
    trigger: NDArray[np.int64],
    arrival_ns: NDArray[np.int64],
    readings: Sequence[EnergyReading],
    *,
    shots: int,
    t_fire_ns: int,
    pattern: ShotPattern,
    runs_free: bool,
) -> NDArray[np.float64]:
    """Give each frame (n,) the energy (uJ) of its own pulse, NaN where that is not certain.

    A reading is some pulse's between its question and its answer. It is filed only when of all pulses exactly one can have come
    in between, and no other reading claims the same one. A pulse came no earlier than the burst was fired, and before its
    frame arrived.

    Parameters
    ----------
    trigger     int64 (n,): index in the burst of the trigger each frame answers, -1 none
    arrival_ns  int64 (n,): host time at which each frame was there
    shots       of the burst
    t_fire_ns   host time before the burst was fired
    runs_free   the laser never stops: pulses come after the burst, too
    """
    energy_uj = np.full(len(trigger), np.nan)
    known = trigger != NOBODY
    if not known.any() or not readings:
        return energy_uj
    number = np.arange(shots + (PULSES_AFTER if runs_free else 0))
    period_ns, pulse_ns = pattern.period_ns, pattern.pulse_ns
    # everything after the burst was fired: nanoseconds of a host's clock may have more digits than a float
    arrived = arrival_ns[known] - t_fire_ns
    earliest = pulse_ns + number * period_ns * (1 - CLOCK_TOLERANCE)
    began_by = (arrived - pattern.close_ns - trigger[known] * period_ns * (1 - CLOCK_TOLERANCE)).min()
    latest = began_by + pulse_ns + number * period_ns * (1 + CLOCK_TOLERANCE)
    np.minimum.at(latest, trigger[known], arrived - (pattern.close_ns - pulse_ns))
    filed = np.full(len(number), np.nan)
    claims = np.zeros(len(number), dtype=np.int64)
    for reading in readings:
        asked, answered = reading.asked_ns - t_fire_ns, reading.answered_ns - t_fire_ns
        possible = np.flatnonzero((earliest <= answered) & (latest >= asked))
        if len(possible) == 1:
            filed[possible] = reading.energy_uj
            claims[possible] += 1
    filed[claims > 1] = np.nan
    energy_uj[known] = filed[trigger[known]]
    return energy_uj
