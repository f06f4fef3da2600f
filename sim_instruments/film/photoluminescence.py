"""Light of the weakly pumped film, where no nanocrystal holds two excitations: under continuous light, per pulse, and in time.

A neutral nanocrystal decays with the exciton's lifetime, a charged one with the trion's, and emits twice as fast: the extra
carrier doubles the ways to recombine. Everything below follows from these components and the slow state.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.charging import SlowState
from sim_instruments.film.damage import condition
from sim_instruments.film.emission import band_shift_ev
from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import exciton_rate_per_ps, mean_excitations

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]

FRAME_NODES, FRAME_NODES_AT_MOST, NODE_NS = 16, 256, 625_000


class Decay(NamedTuple):
    """Emission of nanocrystals after a pulse, both (..., 3): neutral, charged, and neutral where no contact reaches them.

    I(t) = sum over the three of photons / lifetime * e^(-t / lifetime): `photons` are areas, over all times, and `lifetime_ps`
    is in ps.
    """

    photons: Floats
    lifetime_ps: Floats

    def rate_per_ps(self, t_ps: Floats) -> Floats:
        """Photons per ps at `t_ps` (b,) after the pulse, 0 before it; shape (..., b)."""
        lifetime = self.lifetime_ps[..., None]
        return (self.photons[..., None] / lifetime * np.exp(-np.maximum(t_ps, 0.0) / lifetime) * (t_ps >= 0)).sum(axis=-2)


def decay(parameters: FilmParameters, charged_fraction: Floats | float, area: Floats | float = 1.0) -> Decay:
    """Return the decay of one excitation in the film at `charged_fraction`, of any shape.

    I(t) = (1 - f) k_r e^(-t / tau_X(f)) + 2 f k_r e^(-t / tau_T) with k_r = QY / tau_X0, and f = 0 outside of the part `area`
    of the film that the contact reaches (same shape or a number). Source: fast part 290 ps, paper, Figure 4; tau_X literature,
    quantum yield assumed.
    """
    p, (f, reached) = parameters, np.broadcast_arrays(charged_fraction, area)
    exciton_ps = 1 / np.asarray(exciton_rate_per_ps(p, f), np.float64)
    lifetime_ps = np.stack([exciton_ps, np.full(f.shape, p.trion_ps), np.full(f.shape, p.exciton_ps)], axis=-1)
    share = np.stack([reached * (1 - f), reached * 2 * f, 1.0 - reached], axis=-1)
    return Decay(p.quantum_yield / p.exciton_ps * share * lifetime_ps, lifetime_ps)


def brightness(parameters: FilmParameters, state: SlowState, bleached: Floats | float = 0.0) -> Floats:
    """Return Y_B = (1 - B)(1 - 0.03 |y|), the factor on all light, (n,), and what a breakdown leaves. Source: assumed."""
    left = condition(parameters, state.damage, state.hazard).light
    return (1 - np.asarray(bleached, np.float64)) * (1 - parameters.ion_dimming * np.abs(state.ion)) * left


def cw_yield(parameters: FilmParameters, state: SlowState, bleached: Floats | float = 0.0) -> Floats:
    """Photoluminescence under weak continuous light, relative to the unused film at 0 V, (n,) for a state of n instants.

    [(1 - f) tau_X(f) + 2 f tau_T] / tau_X0 * Y_B: 1, 0.73, 0.42, 0.27, 0.20 at 0, 5, 10, 15, 20 V in the nominal film, which is
    a prediction (the paper has no numbers).
    """
    photons = decay(parameters, state.charged, state.area).photons.sum(axis=-1)
    return photons / parameters.quantum_yield * brightness(parameters, state, bleached)


def cw_frames(film: Film, open_ns: TimesNs, close_ns: TimesNs) -> Floats:
    """Mean of `cw_yield` over exposures [open, close), both (n,): what a frame collects, as a share of its light at 0 V.

    The midpoint rule on 16 nodes misses 1e-3 of a frame at a voltage edge, less elsewhere. Light this weak bleaches nothing.
    Raises ValueError for times that the film has forgotten.
    """
    t_ns = _spread(open_ns, close_ns, FRAME_NODES)
    seen = cw_yield(film.parameters, film.state(t_ns.ravel()), film.bleached_fraction)
    return seen.reshape(t_ns.shape).mean(axis=1)


def frame_nodes(open_ns: TimesNs, close_ns: TimesNs) -> TimesNs:
    """Times (n, k) that stand for exposures [open, close) of one length: every 0.6 ms, but at least 16 and at most 256."""
    longest_ns = int((close_ns - open_ns).max(initial=0))
    return _spread(open_ns, close_ns, min(FRAME_NODES_AT_MOST, max(FRAME_NODES, -(-longest_ns // NODE_NS))))


def cw_light(film: Film, t_ns: TimesNs, arriving: Floats, bleached: Floats) -> tuple[Floats, Floats]:
    """Mean of `arriving` times `cw_yield`, and of that times the shift of the band (eV), of n frames, (n,) each.

    Parameters
    ----------
    t_ns, arriving  nodes of the frames, and what part of the pump reaches the film then, (n, k)
    bleached        fraction at each frame, (n,)

    Raises ValueError for times that the film has forgotten.
    """
    flat_ns = t_ns.ravel()
    state = film.state(flat_ns)
    seen = cw_yield(film.parameters, state, np.repeat(bleached, t_ns.shape[1])) * film.collected(flat_ns) * arriving.ravel()
    moved = seen * band_shift_ev(film.parameters, state)
    return seen.reshape(t_ns.shape).mean(axis=1), moved.reshape(t_ns.shape).mean(axis=1)


def _spread(open_ns: TimesNs, close_ns: TimesNs, count: int) -> TimesNs:
    """Middles of `count` equal parts of exposures, (n, count)."""
    middle = (np.arange(count) + 0.5) / count
    return open_ns[:, None] + np.multiply((close_ns - open_ns)[:, None], middle).astype(np.int64)


def pulsed(parameters: FilmParameters, fluence_uj_cm2: Floats, state: SlowState, bleached: Floats | float = 0.0) -> Decay:
    """Return the decay after weak pulses of `fluence_uj_cm2` (n,), in photons per nanocrystal, (n, 3).

    The decay of one excitation times 1 - e^-<N> and Y_B. The share of nanocrystals with a second excitation is <N>/2, 3e-5 at
    2 nJ/cm2; above <N> of about 0.01 use the full emission instead.
    """
    photons, lifetime_ps = decay(parameters, state.charged, state.area)
    excited = -np.expm1(-mean_excitations(parameters, fluence_uj_cm2)) * brightness(parameters, state, bleached)
    return Decay(photons * excited[:, None], lifetime_ps)
