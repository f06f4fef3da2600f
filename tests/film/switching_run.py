"""Figure 2a-c without the instruments' wires: OFF and ON at 40 uJ/cm2, cycle after cycle, one frame per shot."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from film.edge_bench import EdgeBench

from rig.analysis.bands import ASE_BAND_NM, SE_BAND_NM, Band, band_slice
from rig.analysis.correction import FrameBatch, mean_spectra, missed_pulses, saturated
from rig.analysis.statistics import Value, ratio_of_means
from rig.analysis.switching import SwitchingResult, reduce_switching
from sim_instruments.film.parameters import FilmParameters
from sim_instruments.spectrograph import ELECTRONS_PER_COUNT, PSF_FWHM_NM

CYCLES = 6
SHOTS = 2000
SETTLING = 100
FLUENCE_UJ_CM2 = 40.0


class SwitchingRun(NamedTuple):
    """The rig's reduction, and what it leaves out: light of the ON line, last cycle to first, and cycle by cycle."""

    result: SwitchingResult
    on_change: Value
    on_cycles: np.ndarray


def switching_run(parameters: FilmParameters, seed: int) -> SwitchingRun:
    """Six cycles of 2 s at 0 V and 2 s at 20 V, the first 0.1 s of each left out."""
    bench = EdgeBench(parameters, seed)
    bench.pump(FLUENCE_UJ_CM2)
    dark, wavelength = bench.dark, bench.wavelength_nm
    bands = [
        Band.prepare(
            dark.mean,
            bench.nonlinearity,
            dark.hot,
            band_slice(wavelength, *band_nm),
            ELECTRONS_PER_COUNT,
            dark.read_noise_counts,
        )
        for band_nm in (SE_BAND_NM, ASE_BAND_NM)
    ]
    seen: list[np.ndarray] = []

    def stretches() -> Iterator[FrameBatch]:
        for stretch in range(2 * CYCLES):
            cycle, state = (np.full(SHOTS, number) for number in divmod(stretch, 2))
            bench.bias(20.0 * (stretch % 2), 0)
            frames, fluence = bench.raw(SHOTS)
            trace_520, trace_535 = (band.trace(frames)[0] for band in bands)
            use = ~missed_pulses(trace_520 + trace_535, cycle) & ~saturated(frames, dark.hot)
            use[:SETTLING] = False
            seen.append(np.stack([trace_520, trace_535, state, cycle, use, fluence]))
            yield frames, state, cycle, use

    means = mean_spectra(stretches(), dark.mean, bench.nonlinearity, dark.hot)
    trace_520, trace_535, state, cycle, use, fluence = np.concatenate(seen, axis=1)
    state, cycle, use = state.astype(int), cycle.astype(int), use.astype(bool)
    result = reduce_switching(
        wavelength, means, trace_520, trace_535, state, cycle, use, psf_fwhm_nm=PSF_FWHM_NM, energy=fluence
    )
    on = [trace_535[use & (state == 1) & (cycle == number)] for number in range(CYCLES)]
    return SwitchingRun(result, ratio_of_means(on[-1], on[0]), np.array([light.mean() for light in on]))
