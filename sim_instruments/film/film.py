"""The film as the bench meets it: a load at the source's terminals that gives light when it is pumped."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.charging import BiasHistory, ContactFault, SlowState, steady_fraction
from sim_instruments.film.current import cable_f, capacitance_f, steady_current_a
from sim_instruments.film.damage import WEAK_SHARE, Condition, Wear, circuit, condition, crackle, is_broken, is_weak
from sim_instruments.film.emission import EdgeEmission, Emission
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

BLEACH_REFERENCE_UJ_CM2 = 40.0
KEPT_NS = 250_000_000  # history kept behind the light: the source may still be averaging over its last reading


class Drift(Protocol):
    """A slow change of the optics around the film."""

    def __call__(self, t_ns: TimesNs) -> tuple[Floats, Floats]:
        """Return the factors on modal loss and on collected light at `t_ns` (n,), both (n,)."""
        ...


class Film:
    """One film. Times are int64 ns; nothing depends on how calls are divided, only on the times in them.

    What it has been through only adds up: there is no way back to an earlier `wear`.

    Parameters
    ----------
    worn  what this film has been through before
    seed  of the current's noise before a breakdown
    """

    def __init__(self, parameters: FilmParameters, worn: Wear | None = None, seed: int = 0) -> None:
        self.parameters = parameters
        self._worn = Wear() if worn is None else worn
        self._seed = seed
        self._history = BiasHistory(parameters, self._worn)
        self._edge = EdgeEmission(parameters)
        self._dose = -float(np.log1p(-self._worn.bleached))
        self._pumped_ns: int | None = None
        self._seen_ns: int | None = None
        self._leaks: list[tuple[float, int]] = []
        self._drifts: list[Drift] = []

    @property
    def capacitance_f(self) -> float:
        """Capacitance of film and cable (F)."""
        return capacitance_f(self.parameters)

    @property
    def bleached_fraction(self) -> float:
        """B = 1 - e^-dose: irreversible, after the pulses emitted so far."""
        return max(self._worn.bleached, -float(np.expm1(-self._dose)))

    def wear(self, t_ns: int) -> Wear:
        """What the film has been through up to `t_ns` (bleaching: up to the last pulse emitted)."""
        state = self._history.state_at(t_ns)
        return Wear(state.damage, self.bleached_fraction, state.hazard)

    def broken(self, t_ns: int) -> bool:
        """Whether the film is a short at `t_ns`."""
        return is_broken(self.parameters, self._history.state_at(t_ns).hazard)

    def next_change_ns(self, since_ns: int, until_ns: int) -> int | None:
        """When, in (since, until], the film's resistance jumps by itself if the voltage stays; None when it does not."""
        return self._history.next_change_ns(since_ns, until_ns)

    def native_threshold(self, voltage_v: float) -> float:
        """Fluence (uJ/cm2) at which A_u = A_s, of the unused film long enough at `voltage_v` to charge, before ions move."""
        return self._edge.native_threshold(steady_fraction(self.parameters, voltage_v))

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """From `t_ns` on the terminals are at `voltage_v` (V).

        Raises ValueError when t decreases, or when light from after `t_ns` has already been given.
        """
        self._check_unseen(t_ns)
        self._history.set_voltage(voltage_v, t_ns)

    def add_leak(self, resistance_ohm: float, t_ns: int) -> None:
        """From `t_ns` on a resistance lies across the terminals; it draws current and does nothing else."""
        self._leaks.append((resistance_ohm, t_ns))

    def add_contact(self, contact: ContactFault, t_ns: int) -> None:
        """From `t_ns` on the film's contact has this fault too. Raises ValueError when something later is certain already."""
        self._check_unseen(t_ns)
        self._history.add_contact(contact, t_ns)

    def add_drift(self, drift: Drift) -> None:
        """Let the optics around the film drift too; pulses emitted already keep their light."""
        self._drifts.append(drift)

    def weaken(self, t_ns: int) -> None:
        """Let a weak spot announce a breakdown at `t_ns`. Raises ValueError when something later is certain already."""
        self._strain(WEAK_SHARE, t_ns)

    def break_down(self, t_ns: int) -> None:
        """Let the film break at `t_ns`, for good. Raises ValueError when something later is certain already."""
        self._strain(1.0, t_ns)

    def _strain(self, share: float, t_ns: int) -> None:
        self._check_unseen(t_ns)
        self._history.strain(share * self.parameters.critical_hazard, t_ns)

    def _check_unseen(self, t_ns: int) -> None:
        if self._pumped_ns is not None and t_ns <= self._pumped_ns:
            raise ValueError(f"a change at {t_ns} ns, but the pulse at {self._pumped_ns} ns has been emitted")
        if self._seen_ns is not None and t_ns < self._seen_ns:
            raise ValueError(f"a change at {t_ns} ns, but light up to {self._seen_ns} ns has been given")

    def current_a(self, voltage_v: float, t_ns: int) -> float:
        """DC current (A) drawn at `voltage_v` (V) by the film as its history has left it at `t_ns`.

        Free of noise, except that a film about to break crackles.
        """
        p, state = self.parameters, self._history.state_at(t_ns)
        leaking = sum(voltage_v / resistance for resistance, since_ns in self._leaks if since_ns <= t_ns)
        now = circuit(p, self._history.contact_at(t_ns), state.damage, state.hazard)
        current = steady_current_a(p, voltage_v, state.ion, state.warming_k, now)
        if is_weak(p, state.hazard):
            current *= crackle(self._seed, t_ns)
        return current + leaking

    def displacement_a(self, since_ns: int, until_ns: int) -> float:
        """Mean of C dV/dt (A) over (since, until]: what a reading that integrates over a step gets on top of the dc current.

        Behind an open contact only the cable is charged. Raises ValueError for times that were forgotten.
        """
        before, after = self._history.node_at(since_ns), self._history.node_at(until_ns)
        cable = cable_f(self.parameters)
        film = self.capacitance_f - cable
        charge = cable * (after.voltage_v - before.voltage_v)
        charge += film * (after.area * after.film_v - before.area * before.film_v)
        return charge / ((until_ns - since_ns) * 1e-9)

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
        return self._light(t_ns, fluence_uj_cm2, slow, bleached)

    def _light(self, t_ns: TimesNs, fluence: Floats, slow: SlowState, bleached: Floats) -> Emission:
        """Light of the part of the film that the contact reaches, and of the part that has come off and stays uncharged."""
        how = condition(self.parameters, slow.damage, slow.hazard)
        for drift in self._drifts:
            loss, collected = drift(t_ns)
            how = Condition(how.loss * loss, how.gain, how.light * collected)
        light = self._edge.emit(fluence, slow, bleached, how)
        if (slow.area == 1).all():
            return light
        idle = self._edge.emit(fluence, slow._replace(charged=np.zeros_like(slow.charged)), bleached, how)
        return Emission(
            slow.area * light.se_area + (1 - slow.area) * idle.se_area,
            slow.area[:, None] * light.ase + (1 - slow.area)[:, None] * idle.ase,
            light.shift_ev,
        )

    def absorb(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> Floats:
        """Take pulses whose light nobody sees: bleaching only. Returns the bleached fraction before each, (n,).

        B += (1 - B) k_b (F/40)^1.5 per shot. Raises ValueError when times go back.
        """
        if len(t_ns):
            if (self._pumped_ns is not None and t_ns[0] < self._pumped_ns) or (np.diff(t_ns) < 0).any():
                raise ValueError("pulses must come in the order of time")
            self._pumped_ns = int(t_ns[-1])
        total = self._doses(fluence_uj_cm2)
        self._dose = float(total[-1])
        return -np.expm1(-total[:-1])

    def bleached_by(self, fluence_uj_cm2: Floats) -> Floats:
        """Bleached fraction before each of the next pulses (n,) and after the last, (n + 1,)."""
        return -np.expm1(-self._doses(fluence_uj_cm2))

    def collected(self, t_ns: TimesNs) -> Floats:
        """What drifts of the optics leave of the light at `t_ns` (n,)."""
        left = np.ones(len(t_ns))
        for drift in self._drifts:
            left = left * drift(t_ns)[1]
        return left

    def shone_until(self, t_ns: int) -> None:
        """Take note that continuous light up to `t_ns` has been given: what lies long before may be forgotten."""
        self._seen_ns = t_ns
        self._history.forget_before(t_ns - KEPT_NS)

    def _doses(self, fluence_uj_cm2: Floats) -> Floats:
        doses = self.parameters.bleach_per_shot * (fluence_uj_cm2 / BLEACH_REFERENCE_UJ_CM2) ** 1.5
        return np.cumsum(np.concatenate([[self._dose], doses]))
