"""Light from the edge of the film for one pump pulse: amplified and spontaneous emission.

No threshold is put in anywhere: populations give gain, gain along the stripe amplifies the guided spontaneous light, and the
Frantz-Nodvik closure lets that light use up what amplifies it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.charging import SlowState, steady_fraction
from sim_instruments.film.damage import Condition
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.film.populations import exciton_rate_per_ps, mean_excitations, poisson, state_operator
from sim_instruments.film.spectra import HC_EV_NM, absorption_spectra, stimulated_spectra

Floats = NDArray[np.float64]

NODE_STEP_NM = 0.5
NODES_NM = np.linspace(522.0, 556.0, 69)
"""Wavelengths at which gain and amplified emission are known (nm)."""

ASE_DELAY_PS = 4.0
"""Age of the populations that amplify."""

STRIPE_PUMP = np.array([1.0, 0.97, 0.92, 0.85])
STRIPE_WEIGHT = np.array([0.4, 0.3, 0.2, 0.1])
"""Transverse profile of the pump stripe: pump relative to the axis, and share of the light. Source: assumed."""

MAX_GAIN_LENGTH = 80.0
TINY = 1e-6
BLOCK = 64  # shots at a time, so that the arrays stay in the cache


@dataclass(frozen=True, slots=True)
class Emission:
    """Photons collected at the edge per shot, n shots.

    `se_area` (n,) is the area of the spontaneous band, `ase` (n, 69) the amplified light per nm at `NODES_NM`, `shift_ev` (n,)
    how far warming has moved the spontaneous band (`ase` is already moved).
    """

    se_area: Floats
    ase: Floats
    shift_ev: Floats


def band_shift_ev(parameters: FilmParameters, state: SlowState) -> Floats:
    """How far all energies have moved (eV), (n,): up by warming, down by the square of the field in the film.

    The latter is the Stark effect; there is none in the film itself, see variants.py.
    """
    stark_ev = parameters.stark_ev_per_v2 * (parameters.voltage_share * state.voltage_v) ** 2
    return parameters.gap_ev_per_k * state.warming_k - stark_ev


class EdgeEmission:
    """The emission law of one device."""

    def __init__(self, parameters: FilmParameters) -> None:
        p = self.parameters = parameters
        energy = HC_EV_NM / NODES_NM
        absorption = absorption_spectra(p, energy)
        stimulated = stimulated_spectra(p, energy)
        # Warming moves all energies: rows 6..11 multiply the shift (first order: misses 1e-5 of the gain at 1 K).
        self._absorption = np.vstack([absorption, _slope(absorption_spectra, p, energy)])
        self._stimulated = np.vstack([stimulated, _slope(stimulated_spectra, p, energy)])
        self._states = np.ascontiguousarray(state_operator(p, ASE_DELAY_PS).T)
        _, n1, n2, c0, _, c2 = absorption_spectra(p, np.array([HC_EV_NM / 536.0]))[:, 0].tolist()
        self._gain_per_photon = n1 - n2, 0.5 * (c0 - c2)

    def emit(self, fluence_uj_cm2: Floats, state: SlowState, bleached: Floats, condition: Condition | None = None) -> Emission:
        """Return the light of n shots from fluence, slow state, bleached fraction and condition (default: as made), all (n,).

        Each shot depends on its own entries only, bit for bit, however many come with it.
        """
        n, p = len(fluence_uj_cm2), self.parameters
        condition = condition or Condition(*np.ones((3, n)))
        shift_ev = band_shift_ev(p, state)
        emission = Emission(np.empty(n), np.empty((n, len(NODES_NM))), shift_ev)
        for start in range(0, n, BLOCK):
            rows = slice(start, start + BLOCK)
            self._emit_block(rows, fluence_uj_cm2[rows], state, bleached[rows], condition, emission)
        return emission

    def _emit_block(
        self, rows: slice, fluence: Floats, state: SlowState, bleached: Floats, condition: Condition, out: Emission
    ) -> None:
        p = self.parameters
        f = state.charged[rows]
        m = mean_excitations(p, fluence)[:, None] * STRIPE_PUMP
        gain_length = p.gain_per_cm * p.stripe_cm * np.exp(-p.gain_falloff_per_k * state.warming_k[rows]) * (1 - bleached)
        gain_length *= condition.gain[rows]
        x, stimulated = self._gain(m, f, gain_length, out.shift_ev[rows], condition.loss[rows])
        saturation = self._saturation(f, gain_length)[:, None]
        exponential = np.exp(x)
        unsaturated = self._unsaturated(x, stimulated, exponential)
        clamp = np.log1p(unsaturated / saturation)
        amplified = saturation * clamp

        # Line shape s (e^(x-R) - 1)/(x-R) at the clamped gain, in place of e^x.
        x -= clamp[..., None]
        np.copyto(x, TINY, where=np.abs(x) < TINY)
        exponential *= np.exp(-clamp)[..., None]
        exponential -= 1
        exponential /= x
        exponential *= stimulated
        area = exponential.sum(axis=-1) * NODE_STEP_NM
        share = np.divide(STRIPE_WEIGHT * amplified, area, out=np.zeros_like(area), where=area > 0)
        light = np.matmul(share[:, None, :], exponential)[:, 0, :]

        brightness = (1 - bleached) * (1 - p.ion_dimming * np.abs(state.ion[rows]))
        brightness *= condition.light[rows]
        out.ase[rows] = light * (p.ase_collection * brightness)[:, None]
        out.se_area[rows] = self._spontaneous(m, f, amplified) * brightness

    def _gain(self, m: Floats, f: Floats, gain_length: Floats, shift_ev: Floats, loss: Floats) -> tuple[Floats, Floats]:
        """Return x = -G g L a - (loss) L and the stimulated spectrum s, both (n, 4, 69), for `m` (n, 4) and the others (n,).

        Products are stacked, one small one per shot, so that a shot's light does not depend on its neighbours' number.
        """
        p = self.parameters
        share = np.repeat(np.stack([1 - f, f], axis=-1), 3, axis=-1)[:, None, :]
        states = np.matmul(poisson(m), self._states) * share
        states = np.concatenate([states, states * -shift_ev[:, None, None]], axis=-1)
        x = np.matmul(states * -gain_length[:, None, None], self._absorption)
        x -= (p.loss_per_cm * p.stripe_cm * loss)[:, None, None]
        np.minimum(x, MAX_GAIN_LENGTH, out=x)
        np.copyto(x, TINY, where=np.abs(x) < TINY)
        return x, np.matmul(states, self._stimulated)

    def _saturation(self, f: Floats, gain_length: Floats) -> Floats:
        """A_s = eta_x / (G g L da), (n,): da is the change of a at 536 nm per stimulated photon and nanocrystal."""
        neutral, charged = self._gain_per_photon
        return self.parameters.extraction / (gain_length * ((1 - f) * neutral + f * charged))

    def _unsaturated(self, x: Floats, stimulated: Floats, exponential: Floats) -> Floats:
        """A_u = beta * integral of s (e^x - 1)/x over the wavelength, (n, 4)."""
        shape = exponential - 1
        shape /= x
        shape *= stimulated
        return self.parameters.guided_fraction * NODE_STEP_NM * shape.sum(axis=-1)

    def _spontaneous(self, m: Floats, f: Floats, amplified: Floats) -> Floats:
        """Area of the spontaneous band (n,): quantum yields of the states times what amplification has left of them."""
        p = self.parameters
        radiative = p.quantum_yield / p.exciton_ps
        exciton = radiative / exciton_rate_per_ps(p, f)
        trion, biexciton = 2 * radiative * p.trion_ps, 4 * radiative * p.biexciton_ps
        any_pair = 1 - np.exp(-m)
        two_pairs = any_pair - m * np.exp(-m)
        neutral = any_pair * np.asarray(exciton)[:, None] + two_pairs * biexciton
        charged = any_pair * trion + 0.5 * two_pairs * biexciton
        used = np.divide(amplified, m, out=np.zeros_like(m), where=m > 0)
        band = ((1 - f)[:, None] * neutral + f[:, None] * charged) * (1 - np.clip(used, 0, 0.95))
        return np.matmul(band[:, None, :], STRIPE_WEIGHT)[:, 0]

    def drive(self, fluence_uj_cm2: Floats, charged_fraction: float) -> Floats:
        """ln(A_u / A_s) averaged over the stripe, of the cold unbleached film, shape of `fluence_uj_cm2` (n,).

        Zero at the native threshold.
        """
        n = len(fluence_uj_cm2)
        f, gain_length = np.full(n, charged_fraction), np.full(n, self.parameters.gain_per_cm * self.parameters.stripe_cm)
        m = mean_excitations(self.parameters, fluence_uj_cm2)[:, None] * STRIPE_PUMP
        x, stimulated = self._gain(m, f, gain_length, np.zeros(n), np.ones(n))
        unsaturated = self._unsaturated(x, stimulated, np.exp(x)) @ STRIPE_WEIGHT
        return np.log(unsaturated / self._saturation(f, gain_length))

    def native_threshold(self, charged_fraction: float) -> float:
        """Return the fluence (uJ/cm2) at which A_u = A_s, to 1e-5; infinite when there is none below 10 mJ/cm2."""
        fluence = np.geomspace(1.0, 1e4, 128)
        for _ in range(4):
            above = int(np.argmax(self.drive(fluence, charged_fraction) > 0))
            if not above:
                return float("inf")
            fluence = np.geomspace(fluence[above - 1], fluence[above], 32)
        return float(np.sqrt(fluence[0] * fluence[-1]))


def _slope(spectra: Callable[[FilmParameters, Floats], Floats], parameters: FilmParameters, energy_ev: Floats) -> Floats:
    """Return d(spectra)/dE by central difference, (6, n)."""
    step = 1e-4
    return (spectra(parameters, energy_ev + step) - spectra(parameters, energy_ev - step)) / (2 * step)


@functools.cache
def calibrated() -> FilmParameters:
    """Return the device whose loss and pump coupling give native thresholds of 68 and 32 uJ/cm2 at 0 and 20 V.

    Newton's method in the logarithms of both, from the table's values. Source: paper, Figure 2f.
    """
    start = FilmParameters()
    wanted = tuple((fluence, steady_fraction(start, voltage)) for fluence, voltage in ((68.0, 0.0), (32.0, 20.0)))

    def device(change: Floats) -> FilmParameters:
        loss, coupling = np.exp(change).tolist()
        return replace(start, loss_per_cm=start.loss_per_cm * loss, pump_coupling=start.pump_coupling * coupling)

    def miss(change: Floats) -> Floats:
        edge = EdgeEmission(device(change))
        return np.concatenate([edge.drive(np.array([fluence]), f) for fluence, f in wanted])

    change, step = np.zeros(2), 1e-5
    for _ in range(4):
        here = miss(change)
        slope = np.column_stack([(miss(change + step * unit) - here) / step for unit in np.eye(2)])
        change = change - np.linalg.solve(slope, here)
    return device(change)
