"""What a bias does to the film, slowly: charge in the nanocrystals, ions on the move, warming.

Between two nodes of a fixed time grid the voltage is constant and every quantity relaxes exponentially towards its target,
exactly; the targets (which depend on ions and temperature) are renewed at the nodes. Nodes lie at absolute multiples of 10 ms
and at voltage edges, so the result does not depend on when anybody asks.
"""

import math
from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.current import steady_current_a
from sim_instruments.film.parameters import FilmParameters

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

GRID_NS = 10_000_000
FULL_VOLTAGE_V = 20.0
LONG_AGO_NS = -(2**62)


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


class Node(NamedTuple):
    """State at `t_ns`, and where each quantity heads for from there until the next node.

    `rate_per_s` is that of the charge; ions and heat have constant ones.
    """

    t_ns: int
    voltage_v: float
    charged: float
    ion: float
    fast_k: float
    slow_k: float
    charged_target: float
    rate_per_s: float
    ion_target: float
    power_w: float


class SlowState(NamedTuple):
    """The state at n instants, all (n,) or all floats."""

    voltage_v: Floats
    charged: Floats
    ion: Floats
    fast_k: Floats
    slow_k: Floats

    @property
    def warming_k(self) -> Floats:
        """Temperature rise over the surroundings (K)."""
        return self.fast_k + self.slow_k


class BiasHistory:
    """Voltage against time, and the nodes of the slow state that follow from it. At rest before the first voltage."""

    def __init__(self, parameters: FilmParameters) -> None:
        self.parameters = parameters
        self._nodes = [self._node(LONG_AGO_NS, 0.0, 0.0, 0.0, 0.0, 0.0)]
        self._edge_ns = LONG_AGO_NS

    def set_voltage(self, voltage_v: float, t_ns: int) -> None:
        """Apply `voltage_v` (V) from `t_ns` on, t non-decreasing. Raises ValueError."""
        if not math.isfinite(voltage_v):
            raise ValueError(f"the film cannot be at {voltage_v} V")
        if t_ns < self._edge_ns:
            raise ValueError(f"voltage at {t_ns} ns, after one at {self._edge_ns} ns")
        if t_ns < self._nodes[0].t_ns:
            raise ValueError(f"voltage at {t_ns} ns, but the state before {self._nodes[0].t_ns} ns is forgotten")
        self._edge_ns = t_ns
        while self._nodes[-1].t_ns > t_ns:  # somebody asked about a later time before this edge was known
            self._nodes.pop()
        if voltage_v == self._nodes[-1].voltage_v:
            return
        self._advance(t_ns)
        state = self._relaxed(self._nodes[-1], t_ns)
        if self._nodes[-1].t_ns == t_ns:
            self._nodes.pop()
        self._nodes.append(self._node(t_ns, voltage_v, *state))

    def at(self, t_ns: TimesNs) -> SlowState:
        """Return the state at `t_ns` (n,), any order. Raises ValueError for times that were forgotten."""
        if not len(t_ns):
            return SlowState(*np.empty((5, 0)))
        self._advance(int(t_ns.max()))
        node_ns = np.array([node.t_ns for node in self._nodes], np.int64)
        index = np.searchsorted(node_ns, t_ns, side="right") - 1
        if index.min() < 0:
            raise ValueError(f"the film's state before {self._nodes[0].t_ns} ns is forgotten")
        columns = np.array([node[1:] for node in self._nodes]).T[:, index]
        voltage, charged, ion, fast, slow, *targets = columns
        elapsed_s = np.multiply(t_ns - node_ns[index], 1e-9, dtype=np.float64)
        return SlowState(voltage, *self._relax(elapsed_s, (charged, ion, fast, slow), *targets))

    def voltage_at(self, t_ns: TimesNs) -> Floats:
        """Return the voltage (V) alone at `t_ns` (n,), any order. Raises ValueError for times that were forgotten."""
        index = np.searchsorted(np.array([node.t_ns for node in self._nodes], np.int64), t_ns, side="right") - 1
        if len(index) and index.min() < 0:
            raise ValueError(f"the film's voltage before {self._nodes[0].t_ns} ns is forgotten")
        return np.array([node.voltage_v for node in self._nodes])[index]

    def state_at(self, t_ns: int) -> tuple[float, float, float, float]:
        """Return charged fraction, ion coordinate and the two temperature rises (K) at one instant."""
        self._advance(t_ns)
        index = bisect_right(self._nodes, t_ns, key=attrgetter("t_ns")) - 1
        if index < 0:
            raise ValueError(f"the film's state before {self._nodes[0].t_ns} ns is forgotten")
        return self._relaxed(self._nodes[index], t_ns)

    def forget_before(self, t_ns: int) -> None:
        """Drop the nodes that no question at or after `t_ns` needs."""
        del self._nodes[: max(0, bisect_right(self._nodes, t_ns, key=attrgetter("t_ns")) - 1)]

    def _advance(self, t_ns: int) -> None:
        """Put nodes on the grid up to `t_ns`. Without bias the targets are constant and no node is needed."""
        while self._nodes[-1].voltage_v:
            last = self._nodes[-1]
            next_ns = (last.t_ns // GRID_NS + 1) * GRID_NS
            if next_ns > t_ns:
                break
            self._nodes.append(self._node(next_ns, last.voltage_v, *self._relaxed(last, next_ns)))

    def _node(self, t_ns: int, voltage_v: float, charged: float, ion: float, fast_k: float, slow_k: float) -> Node:
        p = self.parameters
        rate = charge_rate_per_s(p, voltage_v, ion) + p.discharge_per_s
        power_w = abs(voltage_v * steady_current_a(p, voltage_v, ion, fast_k + slow_k))
        ion_target = math.tanh(voltage_v / FULL_VOLTAGE_V)
        charged_target = steady_fraction(p, voltage_v, ion)
        return Node(t_ns, voltage_v, charged, ion, fast_k, slow_k, charged_target, rate, ion_target, power_w)

    def _relaxed(self, node: Node, t_ns: int) -> tuple[float, float, float, float]:
        _, _, charged, ion, fast, slow, *targets = node
        charged, ion, fast, slow = map(float, self._relax((t_ns - node.t_ns) * 1e-9, (charged, ion, fast, slow), *targets))
        return charged, ion, fast, slow

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
