"""Other bands than those of the file: which frames are to be reduced anew, and their light by the functions of rig.analysis."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rig.analysis.bands import Band, band_slice
from rig.analysis.correction import DarkStatistics
from rig.reduction import BANDS
from rig.runfile import Dark

Floats = NDArray[np.float64]
BandNm = tuple[float, float]  # centre, half width


class BandRetrace:
    """The traces of one choice of bands, frame by frame from raw spectra; newest frames first, then back to the first.

    Parameters
    ----------
    bands   name of the trace: centre and half width (nm)
    frames  that the run has now

    Raises
    ------
    ValueError  no pixel lies in a band
    """

    def __init__(
        self,
        bands: Mapping[str, BandNm],
        frames: int,
        wavelength_nm: Floats,
        dark: Dark,
        nonlinearity: tuple[float, ...],
        electrons_per_count: float,
    ) -> None:
        self.bands = dict(bands)
        noise = DarkStatistics(dark.mean, dark.variance, dark.hot).read_noise_counts
        self._bands = {
            name: Band.prepare(dark.mean, nonlinearity, dark.hot, band_slice(wavelength_nm, *nm), electrons_per_count, noise)
            for name, nm in self.bands.items()
        }
        self._first = self._last = frames  # what is done lies between

    def traces(self, spectra: NDArray[np.uint16]) -> dict[str, Floats]:
        """Reduce raw spectra (n, pixels): name -> counts (n,)."""
        return {name: band.trace(spectra)[0] for name, band in self._bands.items()}

    def left(self, frames: int) -> int:
        """Count the frames of a run that are still to be done."""
        return self._first + max(0, frames - self._last)

    def next_rows(self, frames: int, most: int) -> range:
        """Choose the next rows to be done; empty when all of the `frames` are."""
        if self._last < frames:
            return range(self._last, min(frames, self._last + most))
        return range(max(0, self._first - most), self._first)

    def done(self, rows: range) -> None:
        """Count rows chosen last as done."""
        self._first, self._last = min(self._first, rows.start), max(self._last, rows.stop)


def is_default(bands: Mapping[str, BandNm]) -> bool:
    """Tell whether these are the bands of the file's own columns."""
    return dict(bands) == BANDS
