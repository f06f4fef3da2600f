"""What a bias does to the film, slowly: charge in the nanocrystals, ions on the move, warming, and damage that stays.

Between two nodes of a fixed time grid the voltage is constant and every quantity relaxes exponentially towards its target,
exactly, or grows evenly; targets and rates (which depend on ions, temperature and damage) are renewed at the nodes. Nodes lie
at absolute multiples of 10 ms, at voltage edges, where a contact changes and where the film breaks down, so the result does
not depend on when anybody asks.
"""

import math
from bisect import bisect_left, bisect_right
from functools import reduce
from operator import attrgetter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.current import SOUND, Contact, steady_current_a
from sim_instruments.film.damage import Wear, circuit, hazard_per_s, is_broken
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

GRID_NS = 10_000_000
FULL_VOLTAGE_V = 20.0
LONG_AGO_NS = -(2**62)
NEVER_NS = 2**63


def _sign(voltage_v: float) -> float:
    return math.copysign(1.0, voltage_v) if voltage_v else 0.0


def charge_rate_per_s(parameters: FilmParameters, voltage_v: float, ion: float = 0.0) -> float:
    """k_in = k_in20 (V/20)^2 (1 - beta y): space-charge injection, screened by ions (1/s).

    `ion` is signed by the bias that built it up: right after a reversal it helps until it has decayed through 0.
    """
    screening = 1 - parameters.ion_screening * ion * _sign(voltage_v)
    return parameters.charge_per_s * (voltage_v / FULL_VOLTAGE_V) ** 2 * screening


def steady_fraction(parameters: FilmParameters, voltage_v: float, ion: float = 0.0) -> float:
    """Charged fraction in balance, f = k_in / (k_in + k_out): 0, 0.20, 0.50, 0.69, 0.80 at 0, 5, 10, 15, 20 V."""
    k_in = charge_rate_per_s(parameters, voltage_v, ion)
    return k_in / (k_in + parameters.discharge_per_s)


class ContactFault(Protocol):
    """A contact that changes in time, the same whenever and however often it is asked."""

    def at(self, t_ns: int) -> Contact:
        """Return the contact from the last change at or before `t_ns` on."""
        ...

    def next_ns(self, t_ns: int) -> int | None:
        """Return when it changes next after `t_ns`; None when it does not."""
        ...


class State(NamedTuple):
    """What the bias has made of the film at one instant. Temperature rises in K; `ion` signed by the bias that built it up."""

    charged: float = 0.0
    ion: float = 0.0
    fast_k: float = 0.0
    slow_k: float = 0.0
    hazard: float = 0.0
    damage: float = 0.0

    @property
    def warming_k(self) -> float:
        """Temperature rise over the surroundings (K)."""
        return self.fast_k + self.slow_k


class Node(NamedTuple):
    """State at `t_ns`, and where each quantity heads for from there until the next node.

    `voltage_v` is that of the terminals, `film_v` what a bad contact leaves of it, `area` the part of the film it reaches.
    `rate_per_s` is that of the charge; ions and heat have constant ones.
    """

    t_ns: int
    voltage_v: float
    film_v: float
    area: float
    charged: float
    ion: float
    fast_k: float
    slow_k: float
    hazard: float
    damage: float
    charged_target: float
    rate_per_s: float
    ion_target: float
    power_w: float
    hazard_per_s: float


_NONE = np.zeros(1)
_WHOLE = np.ones(1)


class SlowState(NamedTuple):
    """The state at n instants, all (n,) or all floats; `voltage_v` is that across the film, contact and all."""

    voltage_v: Floats
    charged: Floats
    ion: Floats
    fast_k: Floats
    slow_k: Floats
    hazard: Floats = _NONE
    damage: Floats = _NONE
    area: Floats = _WHOLE

    @property
    def warming_k(self) -> Floats:
        """Temperature rise over the surroundings (K)."""
        return self.fast_k + self.slow_k


class BiasHistory:
    """Voltage against time, and the nodes of the slow state that follow from it. At rest before the first voltage.

    Parameters
    ----------
    worn : what the film has been through before; D and H go on from there
    """

    def __init__(self, parameters: FilmParameters, worn: Wear | None = None) -> None:
        self.parameters = parameters
        self._contacts: list[ContactFault] = []
        self._strains: list[tuple[int, float]] = []
        before = Wear() if worn is None else worn
        start = State(hazard=before.hazard, damage=before.damage)
        self._nodes = [self._node(LONG_AGO_NS, 0.0, start)]
        self._edge_ns = LONG_AGO_NS

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """Apply `voltage_v` (V) from `t_ns` on, t non-decreasing. Raises ValueError."""
        if not math.isfinite(voltage_v):
            raise ValueError(f"the film cannot be at {voltage_v} V")
        self._rewind(t_ns)
        self._edge_ns = t_ns
        if voltage_v != self._nodes[-1].voltage_v:
            self._advance(t_ns)
            self._append(t_ns, voltage_v)

    def add_contact(self, contact: ContactFault, t_ns: int) -> None:
        """From `t_ns` on the film's contact has this fault too. Raises ValueError for times before the last voltage edge."""
        self._rewind(t_ns)
        self._advance(t_ns)
        self._contacts.append(contact)
        if contact.at(t_ns) != SOUND:
            self._append(t_ns, self._nodes[-1].voltage_v)

    def strain(self, hazard: float, t_ns: int) -> None:
        """At `t_ns` H is at least `hazard`: a weak spot. Raises ValueError for times before the last voltage edge."""
        self._rewind(t_ns)
        self._strains = sorted([*self._strains, (t_ns, hazard)])
        if self._nodes[-1].t_ns == t_ns:
            self._append(t_ns, self._nodes[-1].voltage_v)

    def contact_at(self, t_ns: int) -> Contact:
        """Return what all contact faults together do at `t_ns`."""
        return reduce(Contact.beside, (contact.at(t_ns) for contact in self._contacts), SOUND)

    def next_change_ns(self, since_ns: int, until_ns: int) -> int | None:
        """When, in (since, until], the film's resistance next jumps by itself (contact, weak spot, breakdown), if it does.

        Under the present voltage; to be asked before `since` is forgotten.
        """
        self._advance(until_ns)
        if self._nodes[-1].t_ns <= since_ns:  # whatever is scheduled has a node
            return None
        due = [next_ns for next_ns in self._scheduled(since_ns) if next_ns <= until_ns]
        broken = bisect_left(self._nodes, True, key=self._broken)
        if broken < len(self._nodes) and since_ns < self._nodes[broken].t_ns <= until_ns:
            due.append(self._nodes[broken].t_ns)
        return min(due, default=None)

    def at(self, t_ns: TimesNs) -> SlowState:
        """Return the state at `t_ns` (n,), any order. Raises ValueError for times that were forgotten."""
        if not len(t_ns):
            return SlowState(*np.empty((8, 0)))
        self._advance(int(t_ns.max()))
        node_ns = np.array([node.t_ns for node in self._nodes], np.int64)
        index = np.searchsorted(node_ns, t_ns, side="right") - 1
        if index.min() < 0:
            raise ValueError(f"the film's state before {self._nodes[0].t_ns} ns is forgotten")
        columns = np.array([node[2:] for node in self._nodes]).T[:, index]
        voltage, area, charged, ion, fast, slow, hazard, damage, *targets, rate = columns
        elapsed_s = np.multiply(t_ns - node_ns[index], 1e-9, dtype=np.float64)
        relaxed = self._relax(elapsed_s, (charged, ion, fast, slow), *targets)
        grown = rate * elapsed_s
        return SlowState(voltage, *relaxed, hazard + grown, damage + self.parameters.damage_per_hazard * grown, area)

    def voltage_at(self, t_ns: TimesNs) -> Floats:
        """Return the terminals' voltage (V) alone at `t_ns` (n,), any order. Raises ValueError for forgotten times."""
        index = np.searchsorted(np.array([node.t_ns for node in self._nodes], np.int64), t_ns, side="right") - 1
        if len(index) and index.min() < 0:
            raise ValueError(f"the film's voltage before {self._nodes[0].t_ns} ns is forgotten")
        return np.array([node.voltage_v for node in self._nodes])[index]

    def node_at(self, t_ns: int) -> Node:
        """Return the last node at or before `t_ns`. Raises ValueError for times that were forgotten."""
        self._advance(t_ns)
        index = bisect_right(self._nodes, t_ns, key=attrgetter("t_ns")) - 1
        if index < 0:
            raise ValueError(f"the film's state before {self._nodes[0].t_ns} ns is forgotten")
        return self._nodes[index]

    def state_at(self, t_ns: int) -> State:
        """Return the state at one instant. Raises ValueError for times that were forgotten."""
        return self._relaxed(self.node_at(t_ns), t_ns)

    def forget_before(self, t_ns: int) -> None:
        """Drop the nodes that no question at or after `t_ns` needs."""
        del self._nodes[: max(0, bisect_right(self._nodes, t_ns, key=attrgetter("t_ns")) - 1)]

    def _rewind(self, t_ns: int) -> None:
        """Drop nodes after `t_ns`, made because somebody asked about a later time than is certain. Raises ValueError."""
        if t_ns < self._edge_ns:
            raise ValueError(f"a change at {t_ns} ns, after one at {self._edge_ns} ns")
        if t_ns < self._nodes[0].t_ns:
            raise ValueError(f"a change at {t_ns} ns, but the state before {self._nodes[0].t_ns} ns is forgotten")
        while self._nodes[-1].t_ns > t_ns:
            self._nodes.pop()

    def _advance(self, t_ns: int) -> None:
        """Put nodes up to `t_ns`. Without bias the targets are constant and the grid needs none."""
        while (next_ns := self._next_ns(self._nodes[-1])) <= t_ns:
            self._append(next_ns, self._nodes[-1].voltage_v)

    def _next_ns(self, last: Node) -> int:
        """When the next node is due after `last`."""
        due = self._scheduled(last.t_ns)
        if last.voltage_v:
            due.append((last.t_ns // GRID_NS + 1) * GRID_NS)
        if last.hazard_per_s:
            left_s = (self.parameters.critical_hazard - last.hazard) / last.hazard_per_s
            due.append(last.t_ns + 1 + int(left_s * 1e9))
        return min(due, default=NEVER_NS)

    def _scheduled(self, t_ns: int) -> list[int]:
        """When contacts and weak spots change next after `t_ns`."""
        changes = [next_ns for contact in self._contacts if (next_ns := contact.next_ns(t_ns)) is not None]
        return changes + [strain_ns for strain_ns, _ in self._strains if strain_ns > t_ns][:1]

    def _append(self, t_ns: int, voltage_v: float) -> None:
        """Append the node at `t_ns` (in place of one that is there); here the film breaks."""
        last, p = self._nodes[-1], self.parameters
        state = self._relaxed(last, t_ns)
        hazard = max([state.hazard, *(hazard for strain_ns, hazard in self._strains if strain_ns <= t_ns)])
        if is_broken(p, hazard) and not self._broken(last):
            state = state._replace(damage=state.damage + p.damage_at_breakdown)
        if last.t_ns == t_ns:
            self._nodes.pop()
        self._nodes.append(self._node(t_ns, voltage_v, state._replace(hazard=hazard)))

    def _broken(self, node: Node) -> bool:
        return is_broken(self.parameters, node.hazard)

    def _node(self, t_ns: int, voltage_v: float, state: State) -> Node:
        p = self.parameters
        contact, ion = self.contact_at(t_ns), state.ion
        now = circuit(p, contact, state.damage, state.hazard)
        current_a = steady_current_a(p, voltage_v, ion, state.warming_k, now)
        film_v = voltage_v - current_a * contact.resistance_ohm
        broken = is_broken(p, state.hazard)
        injecting_v = 0.0 if broken else film_v
        return Node(
            t_ns,
            voltage_v,
            film_v,
            contact.area,
            *state,
            charged_target=steady_fraction(p, injecting_v, ion),
            rate_per_s=charge_rate_per_s(p, injecting_v, ion) + p.discharge_per_s,
            ion_target=math.tanh(film_v / FULL_VOLTAGE_V),
            power_w=abs(film_v * current_a),
            hazard_per_s=0.0 if broken else hazard_per_s(p, film_v, state.warming_k, state.damage),
        )

    def _relaxed(self, node: Node, t_ns: int) -> State:
        elapsed_s = (t_ns - node.t_ns) * 1e-9
        targets = node.charged_target, node.rate_per_s, node.ion_target, node.power_w
        start = node.charged, node.ion, node.fast_k, node.slow_k
        charged, ion, fast, slow = map(float, self._relax(elapsed_s, start, *targets))
        grown = node.hazard_per_s * elapsed_s
        if grown:  # a node follows at the breakdown, where H stays
            grown = min(grown, self.parameters.critical_hazard - node.hazard)
        return State(charged, ion, fast, slow, node.hazard + grown, node.damage + self.parameters.damage_per_hazard * grown)

    def _relax(
        self,
        elapsed_s: Floats | float,
        state: tuple[Floats, Floats, Floats, Floats] | tuple[float, float, float, float],
        charged_target: Floats | float,
        rate_per_s: Floats | float,
        ion_target: Floats | float,
        power_w: Floats | float,
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return target + (x0 - target) exp(-rate t) of charge, ions and both temperature rises."""
        p = self.parameters
        targets = (charged_target, ion_target, p.fast_heat_k_per_w * power_w, p.slow_heat_k_per_w * power_w)
        rates = (rate_per_s, 1 / p.ion_s, 1 / p.fast_heat_s, 1 / p.slow_heat_s)
        charged, ion, fast, slow = (
            target + (start - target) * np.exp(-rate * elapsed_s)
            for start, target, rate in zip(state, targets, rates, strict=True)
        )
        return charged, ion, fast, slow
