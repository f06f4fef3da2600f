"""From the laser's trigger to the detector's counts, and the record of what really happened on the way."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_instruments.film.emission import NODE_STEP_NM, NODES_NM, Emission
from sim_instruments.film.film import Film
from sim_instruments.film.spectra import se_band
from sim_instruments.laser import PumpLaser
from sim_instruments.persona import Edges
from sim_instruments.spectrograph import Spectrograph

Floats = NDArray[np.float64]
TimesNs = NDArray[np.int64]
Rows = NDArray[np.void]

SE_RANGE_NM = (450.0, 620.0)
SHIFT_STEP_EV = 1e-3
BLOCK = 256

PULSE = np.dtype([("t_ns", np.int64), ("fluence_uj_cm2", np.float64), ("voltage_v", np.float64)])
EXPOSURE = np.dtype([("open_ns", np.int64), ("close_ns", np.int64), ("first_pulse", np.int64), ("pulses", np.int64)])


class Table:
    """Rows of one structured type that only grow, in one array that doubles when it is full."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._rows = np.empty(1024, dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def rows(self) -> Rows:
        """View of the rows so far, (n,); columns by name."""
        return self._rows[: self._used]

    def append(self, **columns: NDArray[Any]) -> None:
        """Append as many rows as each column (n,) has entries."""
        end = self._used + len(next(iter(columns.values())))
        if end > len(self._rows):
            grown = np.empty(max(end, 2 * len(self._rows)), self._rows.dtype)
            grown[: self._used] = self.rows
            self._rows = grown
        for name, values in columns.items():
            self._rows[name][self._used : end] = values
        self._used = end


class Record:
    """The truth that tests judge by: every pulse (time, fluence, terminal voltage) and every exposure (which pulses)."""

    def __init__(self) -> None:
        self.pulses = Table(PULSE)
        self.exposures = Table(EXPOSURE)


class LightPath:
    """Laser, film and spectrograph in a row. Fulfils `sim_instruments.persona.Optics`."""

    def __init__(self, laser: PumpLaser, film: Film, spectrograph: Spectrograph) -> None:
        self.laser = laser
        self.film = film
        self.spectrograph = spectrograph
        self.record = Record()
        self.wavelength_coefficients = spectrograph.wavelength_coefficients
        self.nonlinearity_coefficients = spectrograph.nonlinearity_coefficients
        self._waiting_ns = np.empty(0, np.int64)
        self._waiting_fluence = np.empty(0)
        self._over_ns: int | None = None

        self._window = spectrograph.window(*SE_RANGE_NM)
        wavelength = np.arange(SE_RANGE_NM[0], SE_RANGE_NM[1], 0.1)
        band, moved = (se_band(film.parameters, wavelength, shift) for shift in (0.0, SHIFT_STEP_EV))
        self._se_image = spectrograph.image(wavelength, np.array([band, (moved - band) / SHIFT_STEP_EV]), self._window)
        ase_window = spectrograph.window(NODES_NM[0] - 3, NODES_NM[-1] + 3)
        self._ase_image = spectrograph.image(wavelength, _cubic_nodes(wavelength), ase_window)
        self._ase_part = slice(ase_window.start - self._window.start, ase_window.stop - self._window.start)

    def laser_triggered(self, edges: Edges) -> None:
        """The laser's trigger input sees `edges`; each rising edge gives a pulse. Before any exposure that could see it is read.

        Raises ValueError for a pulse that comes earlier than the end of an exposure already read.
        """
        t_ns, fluence = self.laser.fire(edges.rise_ns)
        if len(t_ns) and self._over_ns is not None and t_ns[0] < self._over_ns:
            raise ValueError(f"a pulse at {t_ns[0]} ns, but exposures up to {self._over_ns} ns have been read")
        self._waiting_ns = np.concatenate([self._waiting_ns, t_ns])
        self._waiting_fluence = np.concatenate([self._waiting_fluence, fluence])

    def expose(self, open_ns: TimesNs, close_ns: TimesNs) -> NDArray[np.uint16]:
        """Raw counts uint16 (n, 2136) of the exposures [open, close), all over by now, in non-decreasing order.

        Light of several pulses in one exposure adds up; a pulse outside every exposure is lost, but has bleached the film.
        """
        raw = [self._expose_block(open_ns[i : i + BLOCK], close_ns[i : i + BLOCK]) for i in range(0, max(len(open_ns), 1), BLOCK)]
        return raw[0] if len(raw) == 1 else np.concatenate(raw)

    def emit_until(self, t_ns: int) -> None:
        """Let the pulses before `t_ns` happen unseen; no exposure that is read later may reach back before `t_ns`."""
        self._take(int(np.searchsorted(self._waiting_ns, t_ns)))
        self._over_ns = t_ns
