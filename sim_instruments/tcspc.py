"""Time-correlated photon counting: from photons per laser shot to a histogram of their arrival times."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


class PhotonCounter:
    """Start-stop counting: of each shot the first photon in the range is recorded, later ones are lost.

    That loss (pile-up) bends a decay by half the counts per shot: 2.5 % at 5 % per shot, the usual limit. Noise is that of the
    counts; there is one draw per histogram. Figures: assumed.

    Parameters
    ----------
    seed : of the counting noise
    counts_per_photon : nanocrystals in view times the share of their light that would be counted; 1 % per shot at 2 nJ/cm2
    bin_ps, bins, first_ps : width and number of the time bins, and where the first begins; the pulse comes at 0
    irf_fwhm_ps : of the instrument response, a Gaussian
    background_per_bin : mean counts per bin of a whole histogram that have nothing to do with the pulse
    """

    def __init__(
        self,
        seed: int | np.random.SeedSequence,
        *,
        counts_per_photon: float = 300.0,
        bin_ps: float = 4.0,
        bins: int = 6400,
        first_ps: float = -600.0,
        irf_fwhm_ps: float = 60.0,
        background_per_bin: float = 2.0,
    ) -> None:
        self.counts_per_photon = counts_per_photon
        self.background_per_bin = background_per_bin
        self.edges_ps = first_ps + bin_ps * np.arange(bins + 1)
        self._sigma_ps = irf_fwhm_ps / FWHM_PER_SIGMA
        self._noise = np.random.Generator(np.random.SFC64(seed))

    def expected(self, photons: Floats, lifetime_ps: Floats, shots: int) -> Floats:
        """Return mean counts per bin (..., bins) after `shots` shots.

        `photons` per shot and `lifetime_ps` are the components of an exponential decay, (..., k). A lifetime far below the
        response, such as 0.1 ps for scattered pump light, gives the response itself. Raises ValueError unless every lifetime
        is positive and there is a shot.
        """
        return self._recorded(photons, lifetime_ps, shots)[..., :-1] * shots

    def count(self, photons: Floats, lifetime_ps: Floats, shots: int) -> Counts:
        """Return one measured histogram (..., bins); arguments and errors as in `expected`."""
        return self._noise.multinomial(shots, self._recorded(photons, lifetime_ps, shots))[..., :-1]

    def _recorded(self, photons: Floats, lifetime_ps: Floats, shots: int) -> Floats:
        """Probability per shot that a count is recorded in each bin, and last that none is, (..., bins + 1).

        e^-(counts in earlier bins) * (1 - e^-(counts in this bin)), for Poisson counts.
        """
        if not shots >= 1:
            raise ValueError(f"a histogram of {shots} shots")
        components = np.diff(self._arrived(lifetime_ps)) * photons[..., None]
        counts = components.sum(axis=-2) * self.counts_per_photon + self.background_per_bin / shots
        earlier = np.cumsum(np.insert(counts, 0, 0.0, axis=-1), axis=-1)
        return np.exp(-earlier) * np.append(-np.expm1(-counts), np.ones_like(counts[..., :1]), axis=-1)

    def _arrived(self, lifetime_ps: Floats) -> Floats:
        """Share of an exponential decay, convolved with the response, that is over at the bin edges, (..., k, bins + 1).

        Phi(x) - e^(r^2/2 - r x) Phi(x - r) with x = t / sigma, r = sigma / lifetime and the normal distribution Phi.
        """
        if not (lifetime_ps > 0).all():
            raise ValueError("lifetimes must be positive")
        x, r = self.edges_ps / self._sigma_ps, self._sigma_ps / lifetime_ps[..., None]
        return ndtr(x) - np.exp(r * r / 2 - r * x + log_ndtr(x - r))
