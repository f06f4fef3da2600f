"""The pump laser: one 400 nm pulse per trigger edge, each of slightly different energy."""

from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim_instruments.beam import Element
from sim_instruments.persona import Edges, OutputPulses

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

PULSE_NOISE = 0.015
DRIFT = 0.005
DRIFT_S = 600.0
MISSED = 1e-4
SYNC_NS = 10_000


class Light(Protocol):
    """What a laser's trigger input leads to."""

    def laser_triggered(self, edges: Edges) -> None:
        """The laser is told to fire."""
        ...


class LaserClock:
    """A laser that is its own master clock: it fires at its own period and says so at its output "sync".

    A sync pulse (10 us, TTL into 50 ohm: assumed) precedes its laser pulse by the pulse delay of the bench.

    Parameters
    ----------
    rate_hz    nominal repetition rate (Hz)
    clock_ppm  by how much its period is longer than it should be (1e-6)
    start_ns   no pulse before this
    """

    def __init__(self, light: Light, rate_hz: float, clock_ppm: float, start_ns: int) -> None:
        self._light = light
        self._period_ns = 1e9 / rate_hz * (1 + clock_ppm * 1e-6)
        self._start_ns = start_ns
        self._fired = 0

    def run_until(self, t_ns: int) -> dict[str, OutputPulses]:
        """Fire everything due up to and including `t_ns`; return the sync pulses."""
        due = max(self._fired, int((t_ns - self._start_ns) / self._period_ns) + 1)
        number = np.arange(self._fired, due)
        self._fired = due
        begin_ns = self._start_ns + np.rint(number * self._period_ns).astype(np.int64)
        if len(begin_ns) and begin_ns[-1] > t_ns:  # rounding
            self._fired, begin_ns = due - 1, begin_ns[:-1]
        sync = OutputPulses(begin_ns, begin_ns + SYNC_NS, idle_v=0.0, active_v=2.5)
        self._light.laser_triggered(Edges(sync.begin_ns, sync.end_ns, low_v=0.0, high_v=5.0))
        return {"sync": sync}


class PumpLaser:
    """A triggered laser of 1.5 % pulse noise, 0.5 % drift (Ornstein-Uhlenbeck, 10 min) and one missed pulse in 10 000.

    Noise is drawn in the order of pulses, so it does not depend on how triggers are divided among calls. The electronic jitter
    (0.2 ns) is below the resolution of time here. Figures: assumed.

    Parameters
    ----------
    seed : of the noise; a whole laser is fixed by it
    fluence_uj_cm2 : mean fluence on the film, with nothing in the beam; may be set between pulses
    pulse_delay_ns : from the rising edge of the trigger to the pulse
    beam : what the pulses go through, when there is something
    """

    def __init__(
        self,
        seed: int | np.random.SeedSequence,
        fluence_uj_cm2: float,
        pulse_delay_ns: int,
        beam: Element | None = None,
    ) -> None:
        self.fluence_uj_cm2 = fluence_uj_cm2
        self.pulse_delay_ns = pulse_delay_ns
        self.beam = beam
        sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self._normal, self._uniform = (np.random.Generator(np.random.SFC64(child)) for child in sequence.spawn(2))
        self._drift = float(DRIFT * self._normal.standard_normal())
        self._last_ns: int | None = None

    def fire(self, trigger_rise_ns: TimesNs) -> tuple[TimesNs, Floats]:
        """Return time (ns) and fluence (uJ/cm2, 0 where missed) of the pulses, both (n,), n the number of trigger edges.

        Edges come in non-decreasing order over all calls; ValueError otherwise.
        """
        n = len(trigger_rise_ns)
        if not n:
            return trigger_rise_ns, np.empty(0)
        gap_ns = np.diff(trigger_rise_ns, prepend=trigger_rise_ns[0] if self._last_ns is None else self._last_ns)
        if gap_ns.min() < 0:
            raise ValueError("the laser's triggers must come in the order of time")
        self._last_ns = int(trigger_rise_ns[-1])
        pulse, kick = self._normal.standard_normal((n, 2)).T
        kept = np.exp(gap_ns * (-1e-9 / DRIFT_S))
        kick *= DRIFT * np.sqrt(1 - kept**2)
        steps = zip(kept.tolist(), kick.tolist(), strict=True)
        drift = list(accumulate(steps, lambda now, step: now * step[0] + step[1], initial=self._drift))[1:]
        self._drift = drift[-1]
        energy = 1 + PULSE_NOISE * pulse + np.array(drift)
        energy[self._uniform.random(n) < MISSED] = 0
        pulse_ns, fluence = trigger_rise_ns + self.pulse_delay_ns, np.maximum(energy, 0) * self.fluence_uj_cm2
        return pulse_ns, fluence if self.beam is None else fluence * self.beam.transmission(pulse_ns)
