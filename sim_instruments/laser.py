"""The pump laser: one 400 nm pulse per trigger edge, each of slightly different energy."""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from sim_instruments.attenuator import Attenuator

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

PULSE_NOISE = 0.015
DRIFT = 0.005
DRIFT_S = 600.0
MISSED = 1e-4


class PumpLaser:
    """A triggered laser of 1.5 % pulse noise, 0.5 % drift (Ornstein-Uhlenbeck, 10 min) and one missed pulse in 10 000.

    Noise is drawn in the order of pulses, so it does not depend on how triggers are divided among calls. The electronic jitter
    (0.2 ns) is below the resolution of time here. Figures: assumed.

    Parameters
    ----------
    seed : of the noise; a whole laser is fixed by it
    fluence_uj_cm2 : mean fluence on the film, with the attenuator fully open; may be set between pulses
    pulse_delay_ns : from the rising edge of the trigger to the pulse
    attenuator : in the beam, when there is one
    """

    def __init__(
        self,
        seed: int | np.random.SeedSequence,
        fluence_uj_cm2: float,
        pulse_delay_ns: int,
        attenuator: Attenuator | None = None,
    ) -> None:
        self.fluence_uj_cm2 = fluence_uj_cm2
        self.pulse_delay_ns = pulse_delay_ns
        self.attenuator = attenuator
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
        return pulse_ns, fluence if self.attenuator is None else fluence * self.attenuator.transmission(pulse_ns)
