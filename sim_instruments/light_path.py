"""From the laser's trigger to the detector's counts, and the record of what really happened on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_instruments.beam import Beam
from sim_instruments.cw_light import ContinuousLight
from sim_instruments.film.emission import NODE_STEP_NM, NODES_NM, Emission
from sim_instruments.film.film import Film
from sim_instruments.film.spectra import se_band
from sim_instruments.laser import PumpLaser
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import Spectrograph

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]
Singles = NDArray[np.float32]

SE_RANGE_NM = (450.0, 620.0)
GRID_NM = 0.25  # a quarter of the spectrograph's line, half the spacing of the nodes
SHIFT_STEP_EV = 1e-3
BLOCK = 256
LONG_AGO_NS = -(2**62)

PULSE = np.dtype([("t_ns", np.int64), ("fluence_uj_cm2", np.float64), ("voltage_v", np.float64)])
EXPOSURE = np.dtype(
    [
        ("open_ns", np.int64),
        ("close_ns", np.int64),
        ("first_pulse", np.int64),
        ("pulses", np.int64),
        ("continuous", np.float64),  # light of the weak pump, as a share of an exposure's as long on the unused film at 0 V
    ]
)


class Table:
    """Rows of one structured type that only grow, in one array that doubles when it is full."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._rows = np.empty(1024, dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def __getitem__(self, column: str) -> NDArray[Any]:
        """View of one column so far, (n,)."""
        return self._rows[column][: self._used]

    def append(self, **columns: NDArray[Any]) -> None:
        """Append as many rows as each column (n,) has entries."""
        end = self._used + len(next(iter(columns.values())))
        if end > len(self._rows):
            grown = np.empty(max(end, 2 * len(self._rows)), self._rows.dtype)
            grown[: self._used] = self._rows[: self._used]
            self._rows = grown
        for name, values in columns.items():
            self._rows[name][self._used : end] = values
        self._used = end


class Record:
    """The truth that tests judge by.

    Every pulse (time, fluence, terminal voltage), and every exposure (which pulses, how much of the continuous light).
    """

    def __init__(self) -> None:
        self.pulses = Table(PULSE)
        self.exposures = Table(EXPOSURE)


PulseFault = Callable[[TimesNs, Floats], tuple[TimesNs, Floats]]
"""From the times and fluences (n,) that the laser ought to give to those that it gives, in the order of time."""

LightFault = Callable[[Singles, TimesNs, TimesNs, Floats], None]
"""Changes the light (n, pixels), in counts, of exposures [open, close) that the laser hit with so much fluence, (n,) each."""

CountFault = Callable[[NDArray[np.uint16], TimesNs], None]
"""Changes the raw counts (n, pixels) of exposures opened at (n,)."""


class LightPath:
    """Laser, film and spectrograph in a row, and what is wrong with them. Fulfils `sim_instruments.persona.Optics`.

    Parameters
    ----------
    beam        what the pulses go through; None: nothing
    continuous  weak light beside the pulses; None: there is none
    """

    def __init__(
        self,
        laser: PumpLaser,
        film: Film,
        spectrograph: Spectrograph,
        beam: Beam | None = None,
        continuous: ContinuousLight | None = None,
    ) -> None:
        self.laser = laser
        self.beam = beam
        self.continuous = continuous
        self.film = film
        self.spectrograph = spectrograph
        self.record = Record()
        self.pulse_faults: list[PulseFault] = []
        self.light_faults: list[LightFault] = []
        self.count_faults: list[CountFault] = []
        self.wavelength_coefficients = spectrograph.wavelength_coefficients
        self.nonlinearity_coefficients = spectrograph.nonlinearity_coefficients
        self._waiting_ns = np.empty(0, np.int64)
        self._waiting_fluence = np.empty(0)
        self._over_ns = LONG_AGO_NS

        self._window = spectrograph.window(*SE_RANGE_NM)
        wavelength = np.arange(*SE_RANGE_NM, GRID_NM)
        band, moved = (se_band(film.parameters, wavelength, shift) for shift in (0.0, SHIFT_STEP_EV))
        self._se_image = spectrograph.image(wavelength, np.array([band, (moved - band) / SHIFT_STEP_EV]), self._window)
        ase_window = spectrograph.window(NODES_NM[0] - 3, NODES_NM[-1] + 3)
        self._ase_image = spectrograph.image(wavelength, _cubic_nodes(wavelength), ase_window)
        self._ase_part = slice(ase_window.start - self._window.start, ase_window.stop - self._window.start)

    def laser_triggered(self, edges: Edges) -> None:
        """The laser's trigger input sees `edges`; each rising edge gives a pulse.

        Raises ValueError for a pulse earlier than the end of an exposure that has been read already.
        """
        t_ns, fluence = self.laser.fire(edges.rise_ns)
        for fault in self.pulse_faults:
            t_ns, fluence = fault(t_ns, fluence)
        if len(t_ns) and t_ns[0] < self._over_ns:
            raise ValueError(f"a pulse at {t_ns[0]} ns, but time up to {self._over_ns} ns is over")
        if self.beam is not None:
            self.beam.passed(t_ns, fluence)
            fluence = self.beam.filtered(t_ns, fluence)
        self._waiting_ns = np.concatenate([self._waiting_ns, t_ns])
        self._waiting_fluence = np.concatenate([self._waiting_fluence, fluence])

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        """Raw counts uint16 (n, pixels) of the exposures [open, close), all over by now, in non-decreasing order.

        Light of several pulses in one exposure adds up; a pulse outside every exposure is lost, but has bleached the film.
        """
        if not len(open_ns):
            return np.empty((0, self.spectrograph.pixels), np.uint16)
        if open_ns[0] < self._over_ns:
            raise ValueError(f"an exposure from {open_ns[0]} ns, but time up to {self._over_ns} ns is over")
        starts = range(0, len(open_ns), BLOCK)
        blocks = [self._expose_block(open_ns[i : i + BLOCK], close_ns[i : i + BLOCK]) for i in starts]
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]

    def emit_until(self, t_ns: int) -> None:
        """Let the pulses before `t_ns` go by unseen; no exposure that is read later may begin earlier."""
        pulses_ns, fluence = self._take(t_ns)
        self._witness(pulses_ns, fluence)
        self.film.absorb(pulses_ns, fluence)
        self._over_ns = max(t_ns, self._over_ns)

    def _expose_block(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        self.emit_until(int(open_ns[0]))
        pulses_ns, fluence = self._take(int(close_ns[-1]))
        first, end = np.searchsorted(pulses_ns, open_ns), np.searchsorted(pulses_ns, close_ns)
        before = len(self.record.pulses)
        shining = None if self.continuous is None else self.continuous.seen(self.film, open_ns, close_ns, fluence, first)
        self.record.exposures.append(
            open_ns=open_ns,
            close_ns=close_ns,
            first_pulse=before + first,
            pulses=end - first,
            continuous=np.zeros(len(open_ns)) if shining is None else shining.share,
        )
        self._witness(pulses_ns, fluence)
        emission = self.film.emit(pulses_ns, fluence)
        self._over_ns = int(close_ns[-1])
        amplitude, window = _gathered(emission, first, end), self._window
        if shining is not None:
            amplitude[:, 0] += shining.area
            amplitude[:, 1] += shining.area_ev
            self.film.shone_until(self._over_ns)
        light = self._light(amplitude)
        if self.light_faults:
            pixels = self.spectrograph.pixels
            light, window = np.pad(light, ((0, 0), (window.start, pixels - window.stop))), slice(0, pixels)
            pumped = np.array([fluence[a:b].sum() for a, b in zip(first, end, strict=True)])
            for disturb in self.light_faults:
                disturb(light, open_ns, close_ns, pumped)
        raw = self.spectrograph.read(light, window, np.multiply(close_ns - open_ns, 1e-9, dtype=np.float64))
        for spoil in self.count_faults:
            spoil(raw, open_ns)
        return raw

    def _take(self, until_ns: int) -> tuple[TimesNs, Floats]:
        """Take the waiting pulses before `until_ns`."""
        count = int(np.searchsorted(self._waiting_ns, until_ns))
        taken = self._waiting_ns[:count], self._waiting_fluence[:count]
        self._waiting_ns, self._waiting_fluence = self._waiting_ns[count:], self._waiting_fluence[count:]
        return taken

    def _witness(self, t_ns: TimesNs, fluence_uj_cm2: Floats) -> None:
        """Write down pulses; before the film emits them, as it then forgets."""
        if len(t_ns):
            self.record.pulses.append(t_ns=t_ns, fluence_uj_cm2=fluence_uj_cm2, voltage_v=self.film.voltage_v(t_ns))

    def _light(self, amplitude: Singles) -> Singles:
        """Counts (n, w) in the window from amplitudes (n, 2 + 69); each row on its own, bit for bit."""
        light = amplitude[:, :1] * self._se_image[0]
        light += amplitude[:, 1:2] * self._se_image[1]
        light[:, self._ase_part] += np.matmul(amplitude[:, None, 2:], self._ase_image)[:, 0, :]
        return light


def _gathered(emission: Emission, first: NDArray[np.intp], end: NDArray[np.intp]) -> Singles:
    """Sum of the light of pulses first..end-1 per exposure: area of the band, area times shift, 69 nodes; (n, 71)."""
    band = np.column_stack([emission.se_area, emission.se_area * emission.shift_ev])
    amplitude = np.concatenate([band, emission.ase], axis=1)
    if (end - first == 1).all():
        return amplitude[first].astype(np.float32)
    return np.array([amplitude[a:b].sum(axis=0) for a, b in zip(first, end, strict=True)], np.float32)


def _cubic_nodes(wavelength_nm: Floats) -> Floats:
    """Cubic convolution kernels (Keys, a = -1/2) that interpolate between the nodes of amplified emission, (69, q)."""
    s = np.abs(wavelength_nm - NODES_NM[:, None]) / NODE_STEP_NM
    near = (1.5 * s - 2.5) * s**2 + 1
    far = ((-0.5 * s + 2.5) * s - 4) * s + 2
    return np.where(s < 1, near, np.where(s < 2, far, 0.0))
