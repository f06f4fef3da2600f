"""The film as the bench meets it: a load at the source's terminals that gives light when it is pumped."""

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.charging import BiasHistory, SlowState, steady_fraction
from sim_instruments.film.current import capacitance_f, steady_current_a
from sim_instruments.film.emission import EdgeEmission, Emission
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

BLEACH_REFERENCE_UJ_CM2 = 40.0
KEPT_NS = 250_000_000  # history kept behind the light: the source may still be averaging over its last reading


class Film:
    """One film. Times are int64 ns; nothing depends on how calls are divided, only on the times in them."""

    def __init__(self, parameters: FilmParameters) -> None:
        self.parameters = parameters
        self._history = BiasHistory(parameters)
        self._edge = EdgeEmission(parameters)
        self._dose = 0.0
        self._pumped_ns: int | None = None
        self._leaks: list[tuple[float, int]] = []

    @property
    def capacitance_f(self) -> float:
        """Capacitance of film and cable (F)."""
        return capacitance_f(self.parameters)

    @property
    def bleached_fraction(self) -> float:
        """B = 1 - e^-dose: irreversible, after the pulses emitted so far."""
        return -float(np.expm1(-self._dose))

    def native_threshold(self, voltage_v: float) -> float:
        """Fluence (uJ/cm2) at which A_u = A_s, of the unused film long enough at `voltage_v` to charge, before ions move."""
        return self._edge.native_threshold(steady_fraction(self.parameters, voltage_v))

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """From `t_ns` on the terminals are at `voltage_v` (V).

        Raises ValueError when t decreases, or when pulses from after `t_ns` have already been emitted.
        """
        if self._pumped_ns is not None and t_ns <= self._pumped_ns:
            raise ValueError(f"voltage at {t_ns} ns, but the pulse at {self._pumped_ns} ns has been emitted")
        self._history.set_voltage(voltage_v, t_ns)

    def add_leak(self, resistance_ohm: float, t_ns: int) -> None:
        """From `t_ns` on a resistance lies across the terminals; it draws current and does nothing else."""
        self._leaks.append((resistance_ohm, t_ns))

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        """DC current (A) drawn at `voltage_v` (V) by the film as its history has left it at `t_ns`, noise-free."""
        _, ion, fast_k, slow_k = self._history.state_at(t_ns)
        leaking = sum(voltage_v / resistance for resistance, since_ns in self._leaks if since_ns <= t_ns)
        return steady_current_a(self.parameters, voltage_v, ion, fast_k + slow_k) + leaking

    def state(self, t_ns: TimesNs) -> SlowState:
        """Voltage, charge, ions and warming at `t_ns` (n,). Raises ValueError long before the last emitted pulse."""
        return self._history.at(t_ns)

    def voltage_v(self, t_ns: TimesNs) -> Floats:
        """Terminal voltage (V) at `t_ns` (n,)."""
        return self._history.voltage_at(t_ns)

    def charged_fraction(self, t_ns: TimesNs) -> Floats:
        """Fraction of charged nanocrystals at `t_ns` (n,)."""
        return self.state(t_ns).charged

    def emit(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> Emission:
        """Return the light of pulses at `t_ns` (n,), non-decreasing over all calls, of `fluence_uj_cm2` (n,).

        Raises ValueError when times go back.
        """
        bleached = self.absorb(t_ns, fluence_uj_cm2)
        slow = self.state(t_ns)
        if len(t_ns):
            self._history.forget_before(int(t_ns[-1]) - KEPT_NS)
        return self._edge.emit(fluence_uj_cm2, slow, bleached)

    def absorb(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> Floats:
        """Take pulses whose light nobody sees: bleaching only. Returns the bleached fraction before each, (n,).

        B += (1 - B) k_b (F/40)^1.5 per shot. Raises ValueError when times go back.
        """
        if len(t_ns):
            if (self._pumped_ns is not None and t_ns[0] < self._pumped_ns) or (np.diff(t_ns) < 0).any():
                raise ValueError("pulses must come in the order of time")
            self._pumped_ns = int(t_ns[-1])
        doses = self.parameters.bleach_per_shot * (fluence_uj_cm2 / BLEACH_REFERENCE_UJ_CM2) ** 1.5
        total = np.cumsum(np.concatenate([[self._dose], doses]))
        self._dose = float(total[-1])
        return -np.expm1(-total[:-1])
