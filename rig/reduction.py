"""From raw spectra to what a row holds: the same code on live batches and on a finished file, to the last bit."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from drivers.roles import FrameBatch, SpectrometerInfo
from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, Band, band_slice
from rig.analysis.correction import DarkStatistics, dark_shift, dark_statistics, saturated
from rig.runfile import Flag, Run

LIGHT_NM = (522.5, 22.5)  # centre, half width: all light the film emits, for the missed-pulse test
UNLIT_NM = 650.0  # beyond it the film emits nothing and the pump is filtered
UNLIT_PIXELS = 64  # looked at, evenly spread; with fewer than a quarter of them the level cannot be told
DARK_SHIFT_COUNTS = 50.0  # read noise makes 2 at most, stray pump light of a clean bench 20; 50 of 62 000 bend no result
CHUNK_FRAMES = 512
BANDS = {"band_520": SE_BAND_NM, "band_535": ASE_BAND_NM}
UNUSABLE = ~Flag(0)  # any flag at all


class FrameReducer:
    """Traces, saturation and total light of raw frames; needs the dark frames of its run before anything else.

    Parameters
    ----------
    electrons_per_count  of the detector, for shot noise
    """

    def __init__(self, info: SpectrometerInfo, electrons_per_count: float) -> None:
        self.info = info
        self.electrons_per_count = electrons_per_count

    def dark(self, spectra: NDArray[np.uint16]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Take the dark frames, uint16 (n, pixels); return mean, variance and hot-pixel mask, each (pixels,)."""
        statistics = dark_statistics(spectra)
        self.use_dark(statistics)
        return statistics.mean, statistics.variance, statistics.hot

    def use_dark(self, dark: DarkStatistics) -> None:
        """Make the bands ready for a known dark spectrum."""
        self._hot = dark.hot
        self._bands = {
            name: Band.prepare(
                dark.mean,
                self.info.nonlinearity,
                dark.hot,
                band_slice(self.info.wavelength_nm, *band_nm),
                self.electrons_per_count,
                dark.read_noise_counts,
            )
            for name, band_nm in BANDS.items()
        }
        self._dark = dark.mean
        unlit = np.flatnonzero((self.info.wavelength_nm > UNLIT_NM) & ~dark.hot)
        self._unlit = unlit[:: max(1, len(unlit) // UNLIT_PIXELS)][:UNLIT_PIXELS]
        self._light = band_slice(self.info.wavelength_nm, *LIGHT_NM)
        self._light_dark = float(dark.mean[self._light].sum())

    def rows(self, batch: FrameBatch, rows: NDArray[np.void]) -> NDArray[np.float64]:
        """Fill traces, errors, saturation and dark flags of `rows`; return the light per frame, (n,) raw counts - dark."""
        for name, (counts, sigma) in self.traces(batch.spectra).items():
            rows[name], rows[f"{name}_sigma"] = counts, sigma
        rows["flags"][saturated(batch.spectra, self._hot)] |= int(Flag.SATURATED)
        if len(self._unlit) >= UNLIT_PIXELS // 4:
            shifted = np.abs(dark_shift(batch.spectra, self._dark, self._unlit)) > DARK_SHIFT_COUNTS
            rows["flags"][shifted] |= int(Flag.DARK_SHIFT)
        return batch.spectra[:, self._light].sum(axis=1, dtype=np.int64) - self._light_dark

    def traces(self, spectra: NDArray[np.uint16]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Band name -> (counts, sigma), each (n,)."""
        return {name: band.trace(spectra) for name, band in self._bands.items()}


def usable(flags: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Frames that count in statistics: assigned, settled, nothing flagged."""
    return (flags & int(UNUSABLE)) == 0


def chunks(run: Run, count: int | None = None) -> Iterator[tuple[slice, NDArray[np.uint16]]]:
    """Yield the first `count` spectra of a run (a file may grow meanwhile) in pieces: (rows, uint16 (n, pixels))."""
    end = run.count if count is None else count
    for first in range(0, end, CHUNK_FRAMES):
        rows = slice(first, min(first + CHUNK_FRAMES, end))
        yield rows, run.spectra(rows.start, rows.stop)


def retrace(run: Run, electrons_per_count: float) -> dict[str, NDArray[np.float64]]:
    """Traces and their errors computed anew from the raw spectra of a file, each (count,).

    Raises
    ------
    ValueError  the run has no dark frames
    """
    dark = run.dark
    if dark is None:
        raise ValueError(f"{run.path.name} has no dark frames: its spectra cannot be corrected")
    info = SpectrometerInfo(run.wavelength_nm, run.header.nonlinearity, 65535, 0, 0, 0)
    reducer = FrameReducer(info, electrons_per_count)
    reducer.use_dark(DarkStatistics(dark.mean, dark.variance, dark.hot))
    columns = {f"{name}{suffix}": np.empty(run.count) for name in BANDS for suffix in ("", "_sigma")}
    for rows, spectra in chunks(run):
        for name, (counts, sigma) in reducer.traces(spectra).items():
            columns[name][rows], columns[f"{name}_sigma"][rows] = counts, sigma
    return columns
